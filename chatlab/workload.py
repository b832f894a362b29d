"""Who says what, to whom, how often: the load, as a value, and the simulated clients that follow it.

A *closed loop*: each client has one message on its way and sends the next when that one is done. Clients come in pairs
that write to each other; an odd one out writes to itself. One step of a client is: send, have the answer, receive the
partner's message of the same step, acknowledge it. A message is *done* when its sender has the answer and its recipient
has the text; every number and every text is compared with what it must be, so nothing lost, doubled, changed or out of
order goes unnoticed. The clients share an event loop in a process of their own, which `generate` runs.
"""

import asyncio
import os
import random
import string
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from .client import AsyncClient
from .harness import implementation
from .loops import new_event_loop
from .messages import Arrived, Sent
from .process import answer_questions

STEP_TIMEOUT_S = 30.0
STEP_DIGITS = 8
VARIETY = 64  # different texts of one client, besides their numbers


@dataclass(frozen=True)
class Workload:
    """A load that is the same for every protocol. Each of the `clients` has one message on its way at any time.

    It lasts `seconds`, after `warm_up_s` that are not counted; or, where `messages` is given, until each client has sent
    so many. A text has `text_bytes` bytes. Raises `ValueError` where that makes no sense.
    """

    clients: int = 2
    seconds: float = 0.4
    warm_up_s: float = 0.1
    messages: int | None = None
    text_bytes: int = 32
    seed: int = 0

    def __post_init__(self):
        bounds = {"clients": (1, 256), "text_bytes": (STEP_DIGITS + 1, 65_536), "seconds": (0.01, 600), "warm_up_s": (0, 60)}
        for field, (least, most) in bounds.items():
            if not least <= getattr(self, field) <= most:
                raise ValueError(f"{field} is from {least} to {most}, not {getattr(self, field)!r}")
        if self.messages is not None and not 1 <= self.messages <= 1_000_000:
            raise ValueError(f"messages is from 1 to 1000000, or None, not {self.messages!r}")

    def __str__(self):
        who = "1 client writing to itself" if self.clients == 1 else f"{self.clients} clients in pairs"
        load = f"one message of {self.text_bytes} bytes on its way for each"
        return f"{who}, {load}, {self.duration}, seed {self.seed}"

    @property
    def duration(self) -> str:
        if self.messages is not None:
            return f"{self.messages} messages each"
        return f"for {self.seconds:g} s after {self.warm_up_s:g} s of warm-up"

    def partner(self, client: int) -> int:
        """Whom the client (0 is the first) writes to: its neighbour, or itself where it has none."""
        neighbour = client ^ 1
        return neighbour if neighbour < self.clients else client

    def texts(self, client: int) -> Callable[[int, bool], str]:
        """What the client says in each step (0 is the first), given whether it is the last one: its number, and noise."""
        pick = random.Random(f"{self.seed}:{client}").choices
        noise = ["".join(pick(string.ascii_letters, k=self.text_bytes - STEP_DIGITS - 1)) for _ in range(VARIETY)]
        return lambda step, last: f"{step:0{STEP_DIGITS}d}{'.' if last else ','}{noise[step % VARIETY]}"


class Untrue(AssertionError):
    """A client was told something else than it must be told: what was measured is worth nothing."""


# ---- the clients ------------------------------------------------------------------------------------------------


class Writer:
    """One simulated client: it goes on until it, or its partner, has said its last word."""

    def __init__(self, workload: Workload, number: int, client: AsyncClient, names: list[str]):
        partner = workload.partner(number)
        self.client, self.messages = client, workload.messages
        self.name, self.to = names[number], names[partner]
        self._says, self._hears = workload.texts(number), workload.texts(partner)
        self.answered = self.received = 0
        self.may_end = False

    async def converse(self) -> None:
        """Say and hear one text at a time. Raises `Untrue`."""
        client, step, partner_ends = self.client, 0, False
        while True:
            last = self.may_end or step + 1 == self.messages
            sent = await client.send(self.to, self._says(step, last))
            if sent.number != step + 1 or type(sent) is not Sent:
                raise Untrue(f"{self.name}: message {step + 1} was answered by {sent}")
            self.answered += 1
            partner_ends = self._check(step, await client.receive(STEP_TIMEOUT_S))
            self.received += 1
            step += 1
            if last or partner_ends:
                return

    def _check(self, step: int, event) -> bool:
        """Whether it was the partner's last word. It is the only thing about it that we cannot know."""
        for last in (False, True):
            if event == Arrived(step + 1, self.to, self._hears(step, last)):
                return last
        raise Untrue(f"{self.name} waited for message {step + 1} of {self.to} and received {event}")


@dataclass(frozen=True)
class Gauge:
    """What the clocks and the counters say at one moment."""

    at_ns: int
    done: int
    server_cpu_ns: int | None
    own_cpu_ns: int

    @classmethod
    def read(cls, writers: list[Writer], server_pid: int | None) -> "Gauge":
        done = sum(min(a.answered, b.received) for a, b in zip(writers, _partners(writers)))
        return cls(time.perf_counter_ns(), done, cpu_ns(server_pid), time.process_time_ns())


def _partners(writers: list[Writer]) -> list[Writer]:
    by_name = {writer.name: writer for writer in writers}
    return [by_name[writer.to] for writer in writers]


def cpu_ns(pid: int | None) -> int | None:
    """The processor time that another process has used, all its threads, or None where the system does not tell."""
    if pid is None or not hasattr(time, "clock_gettime_ns") or os.uname().sysname != "Linux":
        return None
    return time.clock_gettime_ns((~pid << 3) | 2)  # the clock id of a process: see clock_getcpuclockid(3)


# ---- the process that they live in ------------------------------------------------------------------------------


class Trial(msgspec.Struct):
    """One measurement to carry out: which protocol, against which server, under which load."""

    protocol: str
    address: tuple[str, int]
    server_pid: int | None
    workload: Workload
    prefix: str  #: of the accounts' names


async def carry_out(trial: Trial) -> dict:
    """Run the clients, and say what the gauges said. Raises `Untrue` and whatever a client raises."""
    connect, workload = implementation(trial.protocol).connect_async, trial.workload
    names = [f"{trial.prefix}{number}" for number in range(workload.clients)]
    clients = [await connect(trial.address) for _ in names]
    try:
        for name, client in zip(names, clients):
            await client.create_account(name)
        writers = [Writer(workload, number, client, names) for number, client in enumerate(clients)]
        before, after = await _measure(writers, workload, trial.server_pid)
        for client in clients:
            await client.delete_account()
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    return msgspec.to_builtins({"before": before, "after": after})


async def _measure(writers: list[Writer], workload: Workload, server_pid: int | None) -> tuple[Gauge, Gauge]:
    before = Gauge.read(writers, server_pid)
    async with asyncio.TaskGroup() as conversations:
        for writer in writers:
            conversations.create_task(writer.converse())
        if workload.messages is None:
            await asyncio.sleep(workload.warm_up_s)
            before = Gauge.read(writers, server_pid)
            await asyncio.sleep(workload.seconds)
            after = Gauge.read(writers, server_pid)
            while after.done == before.done:  # a machine that is so busy gets more time; the gauges say how much
                await asyncio.sleep(workload.seconds)
                after = Gauge.read(writers, server_pid)
            for writer in writers:
                writer.may_end = True
    if workload.messages is not None:
        after = Gauge.read(writers, server_pid)
    return before, after


def generate() -> None:
    """What the load generator's own process does: carry out one trial after the other."""
    loop = new_event_loop()
    asyncio.set_event_loop(loop)

    def answer(question: bytes) -> dict:
        try:
            return loop.run_until_complete(carry_out(msgspec.json.decode(question, type=Trial)))
        except BaseExceptionGroup as several:
            return {"error": _told(several.exceptions[0])}
        except (Exception, asyncio.CancelledError) as error:  # whatever it is, the one who asked must hear of it
            return {"error": _told(error)}

    answer_questions(answer)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
