"""A server under test and the load on it: one trial after the other, alone or interleaved with other protocols."""

import contextlib
import itertools
import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import msgspec

from ..harness import Server, serve
from ..messages import ChatlabError, shorten
from ..transport.interface import Implementation
from ..transport.registry import pack
from .baselines.baseline import Baseline
from .load.control import GroupFailed, RunSlice
from .load.coordinator import LocalProcessExecutor, run_interleaved, run_parallel
from .load.samples import read_times
from .load.trial import TrialResult, TrialSpec
from .load.workload import NS, Workload
from .process_stats import ServerMonitor
from .results.environment import cores
from .results.result import Result
from .results.runs import Round

MAX_ATTEMPTS = 3
SLICE_S = 0.05  # short beside what disturbs a machine, and long beside what a turn loses by finding its caches cold
RESPONSE_TIMES_PER_SLICE = 8  # and at least so many mean response times of the slowest
GENERATORS = ("clients", "light")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class LoadWorkers:
    """Who generates the load: so many workers on an Executor, or processes of our own where it is None.

    `host` is the address at which the workers find this machine.
    """

    workers: int = 1
    executor: Executor | None = None
    host: str = "127.0.0.1"


class MeasurementFailed(ChatlabError, RuntimeError):
    """The clients failed: they were told something untrue, or lost the server, or were lost themselves.

    `partial_result` is what was measured before, a partial `Run`, `Comparison` or `CostBreakdown`; None where no round was finished.
    """

    partial_result: Result | None = None


class NoProgress(MeasurementFailed):
    """No message was done in all the time that there was, and then twice that, and twice that: the machine has other things to do."""


def check_workload(workload: Workload) -> None:
    if not isinstance(workload, Workload):
        raise TypeError(f"the load is a Workload, not {shorten(workload)}")


def check_generator(generator: str) -> None:
    if generator not in GENERATORS:
        raise ValueError(f"generator is {' or '.join(map(repr, GENERATORS))}, not {generator!r}")


# ---- a server and its clients, each in a process ----------------------------------------------------------------


class Testbed:
    """A server process and processes of simulated clients, on a core of their own each where there are two."""

    def __init__(
        self,
        protocol: Implementation,
        engine="loop",
        server: Server | None = None,
        generator="clients",
        crew=LoadWorkers(),
        baseline: Baseline | None = None,
        called="",
    ):
        self.name = protocol.name
        self.called = called or self.name  # in errors
        self._protocol = protocol
        self._packed = pack(protocol)
        self._engine, self._server = engine, server
        self._is_guest = server is not None
        self._generator, self._crew = generator, crew
        self._baseline = baseline  # what is served in its place
        self._own: LocalProcessExecutor | None = None
        self.pinned = ""

    def __enter__(self):
        own = cores()
        if len(own) > 1 and self._crew.executor is None:
            self.pinned = (
                f"clients on core {own[-1]}"
                if self._is_guest
                else f"server on core {own[0]}, clients on core {own[-1]}"
            )
        if self._crew.executor is None:
            with on_core(own[-1:]):
                self._own = LocalProcessExecutor(self._crew.workers)
        try:
            if not self._is_guest:
                with on_core(own[:1]):
                    name = f"measured {next(_numbers)}"
                    self._server = serve(
                        self._baseline or self._protocol,
                        engine=self._engine,
                        where="process",
                        host=self._crew.host,
                        name=name,
                    )
        except BaseException:
            self._end_own()
            raise
        return self

    def __exit__(self, *_):
        self._end_own()
        if not self._is_guest:
            self._server.close()

    def _end_own(self) -> None:
        if self._own is not None:
            self._own.shutdown()

    def run(self, workload: Workload) -> Round:
        """One round. A machine so busy that nothing was done in all that time gets more of it; the round says how much."""
        for _ in range(MAX_ATTEMPTS):
            found = self._run_once(workload)
            if found.messages:
                return found
            workload = replace(workload, seconds=2 * workload.seconds)
        raise NoProgress("no message was done in all that time: give it more seconds")

    def _run_once(self, workload: Workload) -> Round:
        watch = self.watch(workload)
        executor = self._own or self._crew.executor
        try:
            told = run_parallel(executor, self._trials(workload), watch, self.host)
        except RuntimeError as error:
            raise MeasurementFailed(f"the clients of {self.called} failed: {error}") from error
        return build_round(workload, told, watch)

    @property
    def host(self) -> str:
        return self._crew.host

    def watch(self, workload: Workload) -> "ServerMonitor":
        return ServerMonitor(self._server.pid, workload)

    def tasks(self, workload: Workload, side: int) -> list[tuple[Executor, TrialSpec]]:
        """What its processes have to do where it is one of several sides."""
        return [(self._own, msgspec.structs.replace(trial, group=side)) for trial in self._trials(workload)]

    def _trials(self, workload: Workload) -> list[TrialSpec]:
        # Names nobody else has, of a length that is always the same: the server may be one that is in use.
        workers = self._crew.workers
        address = tuple(self._server.addresses[self.name])
        path = sys.path if isinstance(self._own or self._crew.executor, LocalProcessExecutor) else []
        echo = self._baseline is not None and self._baseline.kind == "echo"
        return [
            TrialSpec(
                self._packed,
                address,
                workload.share(n, workers),
                f"w{os.urandom(3).hex()}c",
                self._generator,
                path=path,
                echo=echo,
            )
            for n in range(workers)
        ]


class InterleavedTestbeds:
    """Several testbeds, which stand there at the same time and take turns: one has the load, and the others are idle.

    The turns are short beside what disturbs a machine, a neighbour or a change of its clock rate, so that it disturbs all
    alike. Each lasts until all is answered, and so nobody has another's work in his turn. A testbed alone has all the time for itself.
    """

    def __init__(self, testbeds: list[Testbed], slice_s: float = SLICE_S, number: int = 0):
        self._benches, self.slice_s, self._number, self._open = testbeds, slice_s, number, contextlib.ExitStack()

    @property
    def pinned(self) -> str:
        return self._benches[0].pinned

    def __enter__(self):
        with self._open as opening:
            for testbed in self._benches:
                opening.enter_context(testbed)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_):
        self._open.close()

    def run(self, workload: Workload) -> list[tuple[str, Round]]:
        """One round of each, by name. Who has done nothing in all that time has all get more of it."""
        if len(self._benches) == 1:
            return [(testbed.name, testbed.run(workload)) for testbed in self._benches]
        for _ in range(MAX_ATTEMPTS):
            found = self._run_once(workload)
            if all(each.messages for each in found):
                return [(testbed.name, each) for testbed, each in zip(self._benches, found)]
            workload = replace(workload, seconds=2 * workload.seconds)
        idle = ", ".join(testbed.called for testbed, each in zip(self._benches, found) if not each.messages)
        raise NoProgress(f"no message of {idle} was done in all that time: give it more seconds")

    def _run_once(self, workload: Workload) -> list[Round]:
        watches = [testbed.watch(workload) for testbed in self._benches]
        tasks = [task for side, testbed in enumerate(self._benches) for task in testbed.tasks(workload, side)]
        try:
            told = run_interleaved(tasks, lambda turn: self._run_slices(turn, workload, watches), self._benches[0].host)
        except GroupFailed as error:
            whose = self._benches if error.group is None else [self._benches[error.group]]
            raise MeasurementFailed(
                f"the clients of {' or '.join(testbed.called for testbed in whose)} failed: {error}"
            ) from error
        of = [[each for (_, trial), each in zip(tasks, told) if trial.group == side] for side in range(len(watches))]
        return [build_sliced_round(*each) for each in zip(of, watches)]

    def _run_slices(self, turn: RunSlice, workload: Workload, watches: list["ServerMonitor"]) -> None:
        """The warm-ups, and then the turns, unless a side gives up before."""
        try:
            longest_s = max(_warm_up(turn, side, watch, workload) for side, watch in enumerate(watches))
        finally:
            for watch in watches:
                watch.sample_after_slice(0)
        turns = 2 * max(1, int(workload.seconds / max(self.slice_s, longest_s) / 2 + 1e-6))
        try:
            for order in _cycles(len(watches), turns, f"{workload.seed}:{workload.clients}:{self._number}"):
                for side in order:
                    began_ns = time.perf_counter_ns()
                    try:
                        turn(side, int(workload.seconds / turns * NS))
                    finally:
                        lasted_ns = time.perf_counter_ns() - began_ns
                        watches[side].wait_until_idle()
                        watches[side].sample_after_slice(lasted_ns)
        finally:
            for watch in watches:
                watch.sample_memory()


def _cycles(sides: int, cycles: int, seed: str) -> Iterator[list[int]]:
    """Who comes when, after they were warmed up in their order: two of them backwards and forwards (ABBA), so that each finds
    its caches warm as often. Of more the order is shuffled anew in each cycle, and nobody comes twice in a row: backwards, the
    first and the last would, and those between never.
    """
    shuffled, order = random.Random(seed), list(range(sides))
    for _ in range(cycles):
        last = order[-1]
        if sides == 2:
            order.reverse()
        else:
            shuffled.shuffle(order)
            while order[0] == last:
                shuffled.shuffle(order)
        yield list(order)


def _warm_up(turn: RunSlice, side: int, watch: "ServerMonitor", workload: Workload) -> float:
    """Warm a side up. Returns how long its turns are to be at least, in s, by how long its clients have waited."""
    began_ns = time.perf_counter_ns()
    done = turn(side, int(workload.warm_up_s * NS))
    watch.wait_until_idle()
    took_s = (time.perf_counter_ns() - began_ns) / NS
    return RESPONSE_TIMES_PER_SLICE * took_s * workload.clients * workload.in_flight / done if done else 0.0


def can_interleave(workload: Workload, crew: LoadWorkers) -> bool:
    """A closed loop may stop and go on, and so may processes of our own. A schedule may not: its queues would never grow."""
    return crew.executor is None and not workload.is_open and workload.messages is None and not workload.think_s


def build_round(workload: Workload, told: list[TrialResult], watch: ServerMonitor) -> Round:
    """What the workers have told and what was seen from outside, as one round.

    The load lasts from before the planned beginning until after the planned end, so what is between the two counts. The
    server's processor time is read a little beside them, and belongs to what was done between its own two readings.
    """
    samples = [read_times(each) for each in told]
    every = sum(samples[1:], samples[0])
    done_at, due = every.done_at_ns, every.column("due")
    first, last = (at - watch.start_ns for at, _ in watch.readings)
    if workload.messages is None:
        begin, end = int(workload.warm_up_s * NS), int((workload.warm_up_s + workload.seconds) * NS)
        messages, seconds = int(((done_at >= begin) & (done_at < end)).sum()), workload.seconds
        seen = int(((done_at >= first) & (done_at < last)).sum())
        due_then = every.where((due >= begin) & (due < end))
    else:
        messages, seconds, due_then = every.completed, max(1, int(done_at.max())) / NS, every
        seen = messages
    return _build_round(watch, told, seconds, messages, seen, due_then, every.completed)


def build_sliced_round(told: list[TrialResult], watch: ServerMonitor) -> Round:
    """The same where turns were taken: what was due in one was answered in it, so all of it counts but the first, the warm-up."""
    samples = [read_times(each) for each in told]
    warm_up_ns = [ended - began for began, ended in (each.slices[0] if each.slices else (0, 0) for each in told)]
    counted = [each.where(each.column("due") >= warm) for each, warm in zip(samples, warm_up_ns)]
    due_then = sum(counted[1:], counted[0])
    seconds = max(1, *(each.window_ns[1] for each in told)) / NS
    carried = sum(each.completed for each in samples)
    found = _build_round(watch, told, seconds, due_then.completed, due_then.completed, due_then, carried)
    return replace(found, slices=max(1, len(told[0].slices) - 1))


def _build_round(
    watch: ServerMonitor, told: list[TrialResult], seconds: float, messages: int, seen: int, due_then, carried: int
) -> Round:
    (_, cpu_before), (_, cpu_after) = watch.readings
    spent = [(each.cpu_ns[1] - each.cpu_ns[0], each.window_ns[1] - each.window_ns[0]) for each in told]
    wires = [each.wire for each in told]
    return Round(
        seconds=seconds,
        messages=messages,
        server_cpu_s=None if None in (cpu_before, cpu_after) else (cpu_after - cpu_before) / NS,
        server_messages=seen,
        generator_cpu_s=sum(cpu for cpu, _ in spent) / NS,
        samples=due_then,
        workers=len(told),
        busiest_worker_share=max(cpu / max(1, wall) for cpu, wall in spent),
        memory=watch.memory,
        wire=None if None in wires else sum(wires[1:], wires[0]),
        wire_requests=carried,
        resources=watch.resources,
    )


@contextlib.contextmanager
def on_core(which: list[int]) -> Iterator[None]:
    """Start processes from here, and they run on that core: a child inherits it from the thread that starts it."""
    if len(cores()) < 2:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, which)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
