"""The load generators: simulated clients in a process of their own, which carries out one trial after the other.

Two kinds carry the same workload, and every result says which of them it was:

    light       one loop over non-blocking sockets; requests are spelled beforehand; what it costs is little and known
    clients     the clients that a user would have (`AsyncClient`), in one event loop: realistic, and often busier than
                the server that they are to measure

A request's time counts from when it was due. What was due and could not be asked, and what was asked and not answered
before the end, is written down as such. `work` is the whole of it: bytes in, bytes out, so any Executor can run it.
"""

import asyncio
import gc
import heapq
import os
import select
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

import msgspec

from .client import Address
from .harness import implementation
from .kernel import Segments, tcp_segments
from .loops import new_event_loop
from .messages import (
    Acknowledge, Accounts, Balance, ConnectionLost, CreateAccount, DeleteAccount, Deposit, Done, Goodbye, Join,
    ListAccounts, Ping, Pong, Refused, Reply, Request, Said, Say, Send, ViewBalance, cut,
)  # fmt: skip
from .process import answer_questions
from .speaker import Speaker, Untrue
from .wires import keeps_order, wire_for
from .workload import NS, Workload

DRAIN_S = 10.0  # for what is on its way at the end; what is not done by then is counted as unanswered
STEP_TIMEOUT_S = 30.0
DIAL_TIMEOUT_S = 10.0
RECEIVE_BYTES = 256 << 10
ACKNOWLEDGED = 1 << 20  # the tag of acknowledgements; requests have theirs from 1 up


class Trial(msgspec.Struct):
    """One measurement to carry out: which protocol, against which server, under which load."""

    protocol: str
    address: tuple[str, int]
    workload: Workload
    prefix: str  #: of the accounts' names
    generator: str = "clients"
    control: tuple[str, int] | None = None  #: whom to tell that all is ready, and who says when to start
    path: list[str] = []  #: where a reader's own modules are
    echo: bool = False  #: the server is a null server that says back what it hears


class Told(msgspec.Struct):
    """What one generator has to tell when it is done: times in ns by this machine's `perf_counter_ns`."""

    start_ns: int
    due: bytes
    sent: bytes
    answered: bytes
    heard: bytes
    operation: bytes
    cpu_ns: tuple[int, int]  #: of this process at the start and the end of what is measured
    marks_ns: tuple[int, int]  #: and when that was
    over_ns: int  #: when it stopped waiting for what was on its way
    wire: Segments | None  #: from the start to the end of the trial, warm-up and all


class Clock:
    """When what is measured begins and ends, and what the generator had used of its processor then."""

    def __init__(self, workload: Workload, start_ns: int):
        self.counts = workload.messages is not None
        self.start_ns = start_ns
        self.begin_ns = start_ns + (0 if self.counts else int(workload.warm_up_s * NS))
        self.end_ns = self.begin_ns + int(workload.seconds * NS)
        self.cpu, self.at = [], []

    def mark(self) -> None:
        self.cpu.append(time.process_time_ns())
        self.at.append(time.perf_counter_ns())


# ---- the light one ----------------------------------------------------------------------------------------------


class LightClient:
    """One connection: what it says is spelled beforehand, and goes out in one write for each wake-up."""

    def __init__(self, generator: "LightGenerator", address: Address, speaker: Speaker, wire):
        self._generator, self.speaker, self._wire = generator, speaker, wire
        self.socket = socket.create_connection(address, DIAL_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._early: list = []  # heard while something else was waited for
        self._out: list[bytes] = []
        self._rest = b""  # what the kernel did not take yet
        self._fresh: list[int] = []  # requests in `_out`
        self._asked: dict[int, int] = {}  # tag: request
        self.behind: deque[int] = deque()  # what is due and cannot be asked yet
        self._acknowledged = self._to_acknowledge = 0
        self._is_writing = False

    def greet(self, echo: bool = False) -> None:
        """Say who we are and spell all that will be asked."""
        self.socket.sendall(self._wire.opening())
        while not self._wire.ready:
            self._listen_once()
        if not echo:
            self._introduce()
        self._frames = [self._wire.spell(entry + 1, request) for entry, request in enumerate(self.speaker.requests)]

    def _introduce(self) -> None:
        speaker = self.speaker
        self.exchange(self._wire.spell(ACKNOWLEDGED, CreateAccount(speaker.name)))
        self.exchange(self._wire.spell(ACKNOWLEDGED, Deposit(speaker.balance)))
        for frame in getattr(self._wire, "prime", list)():
            self.exchange(frame, may_refuse=True)
        if speaker.room is not None:
            self.exchange(self._wire.spell(ACKNOWLEDGED, Join(f"{speaker.name[:-4]}{speaker.room}")))

    def exchange(self, frame, may_refuse: bool = False) -> Reply:
        """Say one thing and wait for its answer. Events meanwhile are who came and went."""
        self.socket.settimeout(STEP_TIMEOUT_S)
        self.socket.sendall(self._wire.say(frame))
        while True:
            for _, message in self._listen_once():
                if isinstance(message, Refused) and not may_refuse:
                    raise Untrue(f"{self.speaker.name} was refused: {message.code}: {message.text}")
                if isinstance(message, Reply):
                    return message

    def _listen_once(self) -> list:
        heard = self._wire.receive(_received(self.socket))
        if chores := self._wire.chores():
            self.socket.sendall(chores)
        return heard

    # ---- while it is measured

    def ask(self, due_ns: int) -> None:
        """Ask the next request, now or as soon as it can be."""
        speaker = self.speaker
        if self._rest or self.behind or speaker.full:
            self.behind.append(due_ns)
            return
        entry = speaker.next_entry
        n = speaker.ask(due_ns)
        self._asked[entry + 1] = n
        self._fresh.append(n)
        self._out.append(self._wire.say(self._frames[entry]))
        self._generator.dirty.add(self)

    def hear(self) -> None:
        try:
            data = _received(self.socket)
        except BlockingIOError:
            return
        now, generator, speaker = time.perf_counter_ns(), self._generator, self.speaker
        for tag, message in self._wire.receive(data):
            if isinstance(message, generator.answers):
                self._hear_answer(tag, message, now)
            else:
                self._hear_event(message, now)
        if chores := self._wire.chores():
            self._out.append(chores)
            generator.dirty.add(self)
        if self._to_acknowledge > self._acknowledged:
            self._acknowledge()
        while self.behind and not self._rest and not speaker.full and generator.going:
            self._catch_up()

    def _hear_answer(self, tag: int | None, reply: Reply, now: int) -> None:
        if tag == ACKNOWLEDGED:
            if type(reply) is not Done:
                raise Untrue(f"{self.speaker.name}: an acknowledgement was answered by {cut(reply)}")
            return
        n = self._asked.pop(tag, None)
        if n is None:
            raise Untrue(f"{self.speaker.name} heard {cut(reply)}, an answer to nothing that it asked")
        if self._generator.is_echo:
            reply = self._echoed(n, reply)
        if self.speaker.answer(n, reply, now):
            self._generator.free(self, now)

    def _echoed(self, n: int, said: Request) -> Reply:
        if said != self.speaker.requests[n % len(self.speaker.requests)]:
            raise Untrue(f"{self.speaker.name}: the echo of request {n} is {cut(said)}")
        return Pong()

    def _hear_event(self, event, now: int) -> None:
        if isinstance(event, Goodbye):
            raise ConnectionLost(event.reason)
        said_by = self.speaker.hear(event, now)
        self._to_acknowledge = getattr(event, "number", self._to_acknowledge)
        if said_by is not None and said_by[1]:
            self._generator.free(self._generator.clients[said_by[0].number], now)

    def _acknowledge(self) -> None:
        self._acknowledged = self._to_acknowledge
        self._out.append(self._wire.say(self._wire.spell(ACKNOWLEDGED, Acknowledge(self._acknowledged))))
        self._generator.dirty.add(self)

    def _catch_up(self) -> None:
        due, self.behind = self.behind, deque()
        while due and not self.speaker.full:
            self.ask(due.popleft())
        self.behind.extend(due)

    def flush(self) -> None:
        """One write for all that is to be said now."""
        now, sent = time.perf_counter_ns(), self.speaker.sent
        for n in self._fresh:
            sent[n] = now
        data = self._rest + b"".join(self._out)
        self._fresh.clear()
        self._out.clear()
        try:
            self._rest = data[self.socket.send(data) :]
        except BlockingIOError:
            self._rest = data
        if bool(self._rest) != self._is_writing:
            self._is_writing = bool(self._rest)
            self._generator.watch(self, self._is_writing)

    def say_good_bye(self) -> None:
        """Leave the server as it was, where it still answers."""
        try:
            self.socket.settimeout(DIAL_TIMEOUT_S)
            self.socket.sendall(self._rest + b"".join(self._out) + self._wire.say(self._wire.spell(ACKNOWLEDGED + 1, DeleteAccount())))
            while not any(tag == ACKNOWLEDGED + 1 for tag, _ in self._listen_once()):
                pass
        except OSError:
            pass  # it has too much to do, or is gone


class LightGenerator:
    """All connections of one trial under one selector."""

    def __init__(self, trial: Trial):
        self.workload, self.is_echo = trial.workload, trial.echo
        self.answers = Request if trial.echo else Reply
        carried = implementation(trial.protocol)
        names = names_of(trial)
        self._address, self.clients, self._selector = trial.address, [], selectors.DefaultSelector()
        self.dirty: set[LightClient] = set()
        self.going = True
        self._due: list[tuple[int, int]] = []  # a heap of (when, which client)
        try:
            for number in range(len(names)):
                wire = wire_for(carried) if not trial.echo else _echo_wire(carried)
                speaker = Speaker(trial.workload, number, names, wire.in_order)
                self.clients.append(LightClient(self, trial.address, speaker, wire))
            for client in self.clients:
                client.greet(trial.echo)
        except BaseException:
            self.close()
            raise
        self.speakers = [client.speaker for client in self.clients]
        for client in self.clients:
            client.speaker.crowd = self.speakers
            client.socket.setblocking(False)
            self._selector.register(client.socket, selectors.EVENT_READ, client)

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()
        self._selector.close()

    def watch(self, client: LightClient, writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        self._selector.modify(client.socket, events, client)

    def run(self, start_ns: int) -> Clock:
        """From the start to the end of the drain."""
        clock = Clock(self.workload, start_ns)
        self._begin(start_ns)
        if not clock.counts:
            self._listen_until(clock.begin_ns)
            clock.mark()
            self._listen_until(clock.end_ns)
        else:
            clock.mark()
            self._listen_until(sys.maxsize, _Patience(self.speakers, self._has_said_all))
        clock.mark()
        self.going = False
        self._listen_until(time.perf_counter_ns() + int(DRAIN_S * NS), self._is_quiet)
        for client in self.clients:
            for due_ns in client.behind:
                client.speaker.skip(due_ns)
        self._skip_what_was_due(clock.end_ns)
        return clock

    def _begin(self, start_ns: int) -> None:
        if self.workload.is_open:
            self._arrivals = [self.workload.arrivals_of(client.speaker.number) for client in self.clients]
            for number, arrivals in enumerate(self._arrivals):
                self._push_next(number, start_ns)
            self._start_ns = start_ns
        else:
            self._left = [self.workload.messages or sys.maxsize for _ in self.clients]
            first = [(start_ns, number) for number in range(len(self.clients)) for _ in range(self.workload.in_flight)]
            self._due = first
            heapq.heapify(first)

    def _push_next(self, number: int, start_ns: int) -> None:
        at_ns = next(self._arrivals[number], None)
        if at_ns is not None:
            heapq.heappush(self._due, (start_ns + at_ns, number))

    def free(self, client: LightClient, now_ns: int) -> None:
        """A request of the client is done: in a closed loop the next one is due."""
        if not self.workload.is_open and self.going:
            heapq.heappush(self._due, (now_ns + int(self.workload.think_s * NS), client.speaker.number))

    def _listen_until(self, end_ns: int, enough: Callable[[], bool] = lambda: False) -> None:
        while (now := time.perf_counter_ns()) < end_ns and not enough():
            if self.going:
                self._ask_what_is_due(now)
            self._flush()
            until = min(self._due[0][0], end_ns) if self._due and self.going else end_ns
            self._listen(min(0.5, max(0, until - time.perf_counter_ns()) / NS))

    def _ask_what_is_due(self, now: int) -> None:
        due, clients = self._due, self.clients
        while due and due[0][0] <= now:
            at_ns, number = heapq.heappop(due)
            if self.workload.is_open:
                self._push_next(number, self._start_ns)
            elif not self._left[number]:
                continue
            else:
                self._left[number] -= 1
            clients[number].ask(at_ns)

    def _flush(self) -> None:
        while self.dirty:
            self.dirty.pop().flush()

    def _listen(self, timeout_s: float) -> None:
        if timeout_s > 0 and (ready := getattr(self._selector, "fileno", None)) and (fd := ready()) < 1024:
            select.select([fd], [], [], timeout_s)  # to the microsecond, where epoll rounds up to the next millisecond
            timeout_s = 0
        for key, events in self._selector.select(timeout_s):
            if events & selectors.EVENT_READ:
                key.data.hear()
            if events & selectors.EVENT_WRITE:
                key.data.flush()

    def _is_quiet(self) -> bool:
        self._flush()
        return not any(speaker.waits for speaker in self.speakers)

    def _has_said_all(self) -> bool:
        wanted = self.workload.messages
        return all(len(speaker.due) == wanted for speaker in self.speakers) and self._is_quiet()

    def _skip_what_was_due(self, end_ns: int) -> None:
        """What fell due before the end and was not even looked at, because there was no time."""
        while self.workload.is_open and self._due and self._due[0][0] < end_ns:
            at_ns, number = heapq.heappop(self._due)
            self.speakers[number].skip(at_ns)
            self._push_next(number, self._start_ns)

    def leave(self) -> None:
        self._selector.close()
        if not self.is_echo:
            for client in self.clients:
                client.say_good_bye()


def _received(sock: socket.socket) -> bytes:
    data = sock.recv(RECEIVE_BYTES)
    if not data:
        raise ConnectionLost("the server closed a connection")
    return data


def _echo_wire(carried):
    from .wires import CodecWire

    wire = CodecWire(carried.codec, Request)
    wire.opening = lambda: getattr(carried.codec, "preface", b"")  # it comes back, and is expected to
    return wire


# ---- the realistic one ------------------------------------------------------------------------------------------


class ClientsGenerator:
    """Clients as a user has them, in one event loop: a task for each request, one for each listener."""

    def __init__(self, trial: Trial):
        self.workload, self._trial = trial.workload, trial
        self._carried = implementation(trial.protocol)
        names = names_of(trial)
        in_order = keeps_order(self._carried)
        self.speakers = [Speaker(trial.workload, number, names, in_order) for number in range(len(names))]
        self.clients: list = []
        self.going = True
        self._tasks: set[asyncio.Task] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved = asyncio.Event()

    async def greet(self) -> None:
        for speaker in self.speakers:
            speaker.crowd = self.speakers
            client = await self._carried.connect_async(self._trial.address)
            client.answer_timeout_s = STEP_TIMEOUT_S
            self.clients.append(client)
            await client.create_account(speaker.name)
            await client.deposit(speaker.balance)
            if speaker.room is not None:
                await client.join(f"{speaker.name[:-4]}{speaker.room}")

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self.clients), return_exceptions=True)

    async def run(self, start_ns: int) -> Clock:
        clock = Clock(self.workload, start_ns)
        for speaker, client in zip(self.speakers, self.clients):
            self._start(self._listen(speaker, client))
        pace = self._follow_schedule if self.workload.is_open else self._follow_answers
        await self._sleep_until(start_ns)
        pacing = self._start(pace(start_ns, clock.end_ns))
        await self._measure(clock)
        self.going = False
        pacing.cancel()
        await asyncio.gather(pacing, return_exceptions=True)  # it writes down what it could not ask
        await self._until(self._is_quiet, DRAIN_S)
        for task in list(self._tasks):
            task.cancel()
        return clock

    async def _measure(self, clock: Clock) -> None:
        if clock.counts:
            clock.mark()
            await self._until(_Patience(self.speakers, self._has_said_all), sys.maxsize)
        else:
            await self._sleep_until(clock.begin_ns)
            clock.mark()
            await self._sleep_until(clock.end_ns)
        clock.mark()

    # ---- asking

    async def _follow_answers(self, start_ns: int, end_ns: int) -> None:
        self._left = [self.workload.messages or sys.maxsize for _ in self.speakers]
        for speaker in self.speakers:
            for _ in range(self.workload.in_flight):
                self._free(speaker, start_ns)

    def _free(self, speaker: Speaker, now_ns: int) -> None:
        self._moved.set()
        if self.going and not self.workload.is_open and self._left[speaker.number]:
            self._left[speaker.number] -= 1
            self._start(self._think_and_ask(speaker, now_ns + int(self.workload.think_s * NS)))

    async def _think_and_ask(self, speaker: Speaker, due_ns: int) -> None:
        await self._sleep_until(due_ns)
        if self.going:
            await self._ask(speaker, due_ns)

    async def _follow_schedule(self, start_ns: int, end_ns: int) -> None:
        arrivals = [_numbered(self.workload.arrivals_of(s.number), start_ns, s.number) for s in self.speakers]
        for due_ns, number in heapq.merge(*arrivals):
            try:
                if self.going:
                    await self._sleep_until(due_ns)
            except asyncio.CancelledError:
                self.going = False
            if not self.going and due_ns >= end_ns:
                return
            speaker = self.speakers[number]
            if not self.going or speaker.full:
                speaker.skip(due_ns)
            else:
                self._start(self._ask(speaker, due_ns))

    async def _ask(self, speaker: Speaker, due_ns: int) -> None:
        request = speaker.requests[speaker.next_entry]
        n = speaker.ask(due_ns)
        speaker.sent[n] = time.perf_counter_ns()
        reply = await _VERBS[type(request)](self.clients[speaker.number], request)
        now = time.perf_counter_ns()
        if speaker.answer(n, reply, now):
            self._free(speaker, now)

    async def _listen(self, speaker: Speaker, client) -> None:
        while True:
            event = await client.receive()
            now = time.perf_counter_ns()
            said_by = speaker.hear(event, now)
            if said_by is not None and said_by[1]:
                self._free(said_by[0], now)

    # ---- waiting

    async def _sleep_until(self, at_ns: int) -> None:
        while (left := at_ns - time.perf_counter_ns()) > 0:
            self._check()
            await asyncio.sleep(min(0.1, left / NS - 0.001) if left > 2_000_000 else 0)  # loops wake up to 1 ms off
        self._check()

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            self._check()
            self._moved.clear()
            try:
                async with asyncio.timeout(0.05):
                    await self._moved.wait()
            except TimeoutError:
                pass
        self._check()

    def _has_said_all(self) -> bool:
        return all(len(speaker.due) == self.workload.messages for speaker in self.speakers) and self._is_quiet()

    def _is_quiet(self) -> bool:
        return not any(speaker.waits for speaker in self.speakers)

    def _start(self, coroutine) -> asyncio.Task:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._failed.done():
            self._failed.set_exception(task.exception())
            self._moved.set()

    def _check(self) -> None:
        if self._failed.done():
            self._failed.result()

    async def leave(self) -> None:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                for client in self.clients:
                    await client.delete_account()
        except (TimeoutError, ConnectionLost):
            pass  # it has too much to do, or is gone


def _numbered(arrivals, start_ns: int, number: int):
    return ((start_ns + at_ns, number) for at_ns in arrivals)


async def _send(client, request: Send) -> Reply:
    return await client.send(request.to, request.text)


async def _say(client, request: Say) -> Reply:
    return Said(await client.say(request.text))


async def _balance(client, request: ViewBalance) -> Reply:
    return Balance(await client.balance())


async def _ping(client, request: Ping) -> Reply:
    await client.ping()
    return Pong()


async def _search(client, request: ListAccounts) -> Accounts:
    return await client.list_accounts(request.pattern, request.after, request.limit)


_VERBS = {Send: _send, Say: _say, ViewBalance: _balance, Ping: _ping, ListAccounts: _search}


class _Patience:
    """A condition that is waited for as long as anything moves. Raises `ConnectionLost` when nothing does."""

    def __init__(self, speakers: list[Speaker], condition: Callable[[], bool]):
        self._speakers, self._condition = speakers, condition
        self._moves, self._since = -1, 0.0

    def __call__(self) -> bool:
        moves = sum(len(speaker.due) + speaker.done for speaker in self._speakers)
        if moves != self._moves:
            self._moves, self._since = moves, time.monotonic()
        elif time.monotonic() - self._since > STEP_TIMEOUT_S:
            raise ConnectionLost(f"no answer within {STEP_TIMEOUT_S:g} s")
        return self._condition()


# ---- one trial --------------------------------------------------------------------------------------------------


def names_of(trial: Trial) -> list[str]:
    """The accounts of a trial: all of one length, so that each costs the same."""
    return [f"{trial.prefix}{number:03d}" for number in range(trial.workload.clients)]


class Control:
    """A worker's line to who coordinates: it says that it is ready, and hears when to start. Without one it starts at once."""

    def __init__(self, address: Address | None):
        self._socket = None if address is None else socket.create_connection(address, DIAL_TIMEOUT_S)

    def wait_for_start(self) -> int:
        """When to start, by this process's clock. Raises `ConnectionLost` where the others are not coming."""
        if self._socket is None:
            return time.perf_counter_ns() + 1_000_000
        self._socket.settimeout(2 * STEP_TIMEOUT_S)
        with self._socket.makefile("rwb") as line:
            line.write(b"ready %d\n" % os.getpid())
            line.flush()
            for _ in range(3):  # the quickest of these tells best how our clock differs
                line.readline()
                line.write(b"%d\n" % time.perf_counter_ns())
                line.flush()
            told = line.readline()
        if not told.startswith(b"start "):
            raise ConnectionLost("who coordinates has called it off")
        return int(told.split()[1])

    def over(self) -> None:
        if self._socket is not None:
            self._socket.close()


def carry_out(trial: Trial) -> Told:
    """Run the clients, and say what happened. Raises `Untrue` and whatever a client raises."""
    control = Control(trial.control)
    try:
        if trial.generator == "light":
            return _carry_out_light(trial, control)
        loop = new_event_loop()
        try:
            asyncio.set_event_loop(loop)
            return loop.run_until_complete(_carry_out_clients(trial, control))
        finally:
            loop.close()
    finally:
        control.over()


def _carry_out_light(trial: Trial, control: Control) -> Told:
    generator = LightGenerator(trial)
    try:
        start_ns = control.wait_for_start()
        gc.freeze()
        gc.disable()  # what is collected would be our own, in the midst of a measurement
        before = tcp_segments(trial.address)
        clock = generator.run(start_ns)
        told = _told(clock, generator.speakers, before, tcp_segments(trial.address))
        control.over()
        generator.leave()
    finally:
        gc.enable()
        gc.unfreeze()
        generator.close()
    return told


async def _carry_out_clients(trial: Trial, control: Control) -> Told:
    generator = ClientsGenerator(trial)
    try:
        await generator.greet()
        start_ns = control.wait_for_start()
        before = tcp_segments(trial.address)
        clock = await generator.run(start_ns)
        told = _told(clock, generator.speakers, before, tcp_segments(trial.address))
        control.over()
        await generator.leave()
    finally:
        await generator.close()
    return told


def _told(clock: Clock, speakers: list[Speaker], before: Segments | None, after: Segments | None) -> Told:
    for speaker in speakers:
        speaker.check_nothing_lost()
    columns = [b"".join([getattr(s, name).tobytes() for s in speakers]) for name in ("due", "sent", "answered", "heard")]
    operation = b"".join([_operations(speaker) for speaker in speakers])
    wire = None if before is None or after is None else after - before
    return Told(clock.start_ns, *columns, operation, tuple(clock.cpu), tuple(clock.at), time.perf_counter_ns(), wire)


def _operations(speaker: Speaker) -> bytes:
    times, rest = divmod(len(speaker.due), len(speaker.operations))
    return (speaker.operations * times + speaker.operations[:rest]).tobytes()


def work(spec: bytes) -> bytes:
    """One worker's task: a `Trial` in msgpack in, a `Told` in msgpack out. Any process that can import this can run it."""
    trial = msgspec.msgpack.decode(spec, type=Trial)
    sys.path.extend(entry for entry in trial.path if entry not in sys.path)
    try:
        return msgspec.msgpack.encode(carry_out(trial))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several


def generate() -> None:
    """What a load generator's own process does: carry out one trial after the other."""
    import base64

    def answer(question: bytes) -> dict:
        try:
            return {"told": base64.b64encode(work(base64.b64decode(question))).decode()}
        except (Exception, asyncio.CancelledError) as error:  # whatever it is, the one who asked must hear of it
            return {"error": f"{type(error).__name__}: {error}"}

    answer_questions(answer)
