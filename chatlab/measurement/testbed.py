"""Servers under test and the load on them: one server at a time, or several whose time slices are interleaved.

A `Testbed` is one server process with its load workers; where the machine has two cores, each side is pinned to one of
its own. `InterleavedTestbeds` are several that run at the same time, of which one has the load while the others are
idle. Both return `Round`s; what these are made of is in `rounds`.
"""

import contextlib
import itertools
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, get_args

from ..harness import Server, serve
from ..messages import shorten
from ..transport.interface import Engine, Implementation
from ..transport.registry import pack
from .baselines.baseline import Baseline
from .errors import MeasurementFailed, NoProgress
from .load.control import GroupFailed, RunSlice
from .load.coordinator import LocalProcessExecutor, run_interleaved, run_parallel
from .load.trial import GeneratorName, TrialSpec
from .load.workload import NS, Workload
from .process_stats import ServerMonitor
from .results.environment import cores
from .results.runs import Round
from .rounds import build_round, build_sliced_round

GENERATORS: tuple[GeneratorName, ...] = get_args(GeneratorName)

MAX_ATTEMPTS = 3  # to complete any request at all, each with twice the duration of the one before
#: The length of a time slice: short beside what disturbs a machine, long beside what a slice loses to cold caches.
SLICE_S = 0.05
RESPONSE_TIMES_PER_SLICE = 8  # a slice is at least so many mean response times of the slowest protocol long

_server_numbers = itertools.count(1)  # for the servers' names, which are unique in a process


@dataclass(frozen=True)
class LoadWorkers:
    """Where the load comes from: `workers` tasks of an Executor, or processes of our own where it is None.

    `host` is the address at which the workers find this machine.
    """

    workers: int = 1
    executor: Executor | None = None
    host: str = "127.0.0.1"


def check_workload(workload: object) -> None:
    """Raises `TypeError` where it is no Workload."""
    if not isinstance(workload, Workload):
        raise TypeError(f"the load is a Workload, not {shorten(workload)}")


def check_generator(generator: object) -> None:
    """Raises `ValueError` for a load generator that does not exist."""
    if generator not in GENERATORS:
        raise ValueError(f"generator is {' or '.join(map(repr, GENERATORS))}, not {generator!r}")


def describe_pinning(workers: LoadWorkers, owns_server: bool = True) -> str:
    """Which process runs on which core, for the `Environment`; empty where none is pinned."""
    own = cores()
    if len(own) < 2 or workers.executor is not None:
        return ""
    return f"server on core {own[0]}, clients on core {own[-1]}" if owns_server else f"clients on core {own[-1]}"


# ---- one server and its load ------------------------------------------------------------------------------------


class Testbed:
    """A server process and its load workers. A context manager: inside, the processes run.

    With a `server` that runs already, only the workers are started. With a `baseline`, that is served instead of the
    protocol's own chat. `label` names the server in errors, by default as its protocol.
    """

    def __init__(
        self,
        protocol: Implementation,
        engine: Engine = "loop",
        server: Server | None = None,
        generator: GeneratorName = "clients",
        workers: LoadWorkers = LoadWorkers(),
        baseline: Baseline | None = None,
        label: str = "",
    ) -> None:
        self.name = protocol.name
        self.label = label or protocol.name
        self.host = workers.host
        self.baseline = baseline
        self._protocol, self._packed = protocol, pack(protocol)
        self._engine, self._server = engine, server
        self._owns_server = server is None
        self._generator: GeneratorName = generator
        self._workers = workers
        self._processes: LocalProcessExecutor | None = None

    def __enter__(self) -> Self:
        own = cores()
        if self._workers.executor is None:
            with pinned_to(own[-1:]):
                self._processes = LocalProcessExecutor(self._workers.workers)
        try:
            if self._owns_server:
                with pinned_to(own[:1]):
                    self._server = serve(
                        self.baseline or self._protocol,
                        engine=self._engine,
                        where="process",
                        host=self.host,
                        name=f"measured {next(_server_numbers)}",
                    )
        except BaseException:
            self._end_workers()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end_workers()
        if self._owns_server and self._server is not None:
            self._server.close()

    def _end_workers(self) -> None:
        if self._processes is not None:
            self._processes.shutdown()

    @property
    def server(self) -> Server:
        """The server; only inside the `with`, unless it was given."""
        if self._server is None:
            raise RuntimeError(f"the testbed of {self.label} is not entered")
        return self._server

    @property
    def executor(self) -> Executor:
        """Where the load workers run; only inside the `with`."""
        executor = self._processes or self._workers.executor
        if executor is None:
            raise RuntimeError(f"the testbed of {self.label} is not entered")
        return executor

    @property
    def worker_pids(self) -> list[int]:
        """The load workers that are processes of this machine."""
        return [] if self._processes is None else self._processes.pids

    def run(self, workload: Workload) -> Round:
        """Measure one round. Where no request completes, it is repeated with twice the duration, and then four times.

        Raises `NoProgress` where none completes even then, and `MeasurementFailed` where a worker fails.
        """
        for _ in range(MAX_ATTEMPTS):
            measured = self._run_once(workload)
            if measured.messages:
                return measured
            workload = replace(workload, seconds=2 * workload.seconds)
        raise _no_progress([self])

    def _run_once(self, workload: Workload) -> Round:
        monitor = self.monitor(workload)
        try:
            results = run_parallel(self.executor, self.trials(workload), monitor, self.host)
        except RuntimeError as error:
            raise _failed([self], error) from error
        return build_round(workload, results, monitor)

    def monitor(self, workload: Workload) -> ServerMonitor:
        """A fresh monitor of the server's process."""
        return ServerMonitor(self.server.pid, workload)

    def trials(self, workload: Workload, group: int = 0) -> list[TrialSpec]:
        """What the workers have to do, one trial each. `group` is this testbed's number among interleaved ones."""
        # Account names that no other client uses, because the server may be in use; of one length, so that they cost
        # the same.
        count = self._workers.workers
        path = sys.path if isinstance(self.executor, LocalProcessExecutor) else []
        return [
            TrialSpec(
                protocol=self._packed,
                address=self.server.addresses[self.name],
                workload=workload.share(number, count),
                prefix=f"w{os.urandom(3).hex()}c",
                generator=self._generator,
                path=path,
                echo=self.baseline is not None and self.baseline.kind == "echo",
                group=group,
            )
            for number in range(count)
        ]


def _failed(testbeds: Sequence[Testbed], error: Exception) -> MeasurementFailed:
    return MeasurementFailed(f"the clients of {' or '.join(testbed.label for testbed in testbeds)} failed: {error}")


def _no_progress(testbeds: Sequence[Testbed]) -> NoProgress:
    return NoProgress(
        f"no request of {', '.join(testbed.label for testbed in testbeds)} completed, although the duration was "
        "doubled twice: the machine is probably overloaded; measure for more seconds, or when it is less busy"
    )


# ---- several servers, whose time slices are interleaved ---------------------------------------------------------


class InterleavedTestbeds:
    """Several testbeds whose servers run at the same time, of which one has the load while the others are idle.

    A time slice is short beside what disturbs a machine (a neighbour, a change of clock rate), so that a disturbance
    falls on all of them alike. A slice lasts until all its requests are answered, so none leaves work to the next. A
    single testbed has the whole duration at once. `round_number` decides, with the workload's seed, the order of
    slices.
    """

    def __init__(self, testbeds: list[Testbed], slice_s: float = SLICE_S, round_number: int = 0) -> None:
        self.testbeds, self.slice_s, self._round_number = testbeds, slice_s, round_number
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._open as opening:
            for testbed in self.testbeds:
                opening.enter_context(testbed)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self, workload: Workload) -> list[tuple[str, Round]]:
        """One round of each, with its protocol's name. Where one completes no request, all get twice the duration.

        Raises as `Testbed.run` does.
        """
        if len(self.testbeds) == 1:
            return [(testbed.name, testbed.run(workload)) for testbed in self.testbeds]
        for _ in range(MAX_ATTEMPTS):
            rounds = self._run_once(workload)
            if all(measured.messages for measured in rounds):
                return [(testbed.name, measured) for testbed, measured in zip(self.testbeds, rounds)]
            workload = replace(workload, seconds=2 * workload.seconds)
        raise _no_progress([testbed for testbed, measured in zip(self.testbeds, rounds) if not measured.messages])

    def _run_once(self, workload: Workload) -> list[Round]:
        monitors = [testbed.monitor(workload) for testbed in self.testbeds]
        tasks = [
            (testbed.executor, trial)
            for group, testbed in enumerate(self.testbeds)
            for trial in testbed.trials(workload, group)
        ]
        try:
            results = run_interleaved(
                tasks, lambda run_slice: self.run_slices(run_slice, workload, monitors), self.testbeds[0].host
            )
        except GroupFailed as error:
            raise _failed(self.testbeds if error.group is None else [self.testbeds[error.group]], error) from error
        by_group = [
            [result for (_, trial), result in zip(tasks, results) if trial.group == group]
            for group in range(len(monitors))
        ]
        return [build_sliced_round(*parts) for parts in zip(by_group, monitors)]

    def run_slices(self, run_slice: RunSlice, workload: Workload, monitors: list[ServerMonitor]) -> None:
        """Warm all servers up, and then run all time slices.

        `run_slice(group, ns)` runs one, and returns how many requests it completed. An error ends it early; the
        monitors have their readings all the same.
        """
        try:
            least_s = max(_warm_up(run_slice, group, monitor, workload) for group, monitor in enumerate(monitors))
        finally:
            for monitor in monitors:
                monitor.sample_after_slice(0)
        count = 2 * max(1, int(workload.seconds / max(self.slice_s, least_s) / 2 + 1e-6))
        try:
            for order in _slice_orders(
                len(monitors), count, f"{workload.seed}:{workload.clients}:{self._round_number}"
            ):
                for group in order:
                    began_ns = time.perf_counter_ns()
                    try:
                        run_slice(group, int(workload.seconds / count * NS))
                    finally:
                        lasted_ns = time.perf_counter_ns() - began_ns
                        monitors[group].wait_until_idle()
                        monitors[group].sample_after_slice(lasted_ns)
        finally:
            for monitor in monitors:
                monitor.sample_memory()


def _slice_orders(groups: int, cycles: int, seed: str) -> Iterator[list[int]]:
    """The order of the time slices in each cycle, after the warm-up in their own order.

    Two protocols alternate ABBA, so that both start equally often with warm caches. With three or more the order is
    reshuffled every cycle such that no protocol runs twice in a row (reversing would always repeat the first and last).
    """
    shuffled, order = random.Random(seed), list(range(groups))
    for _ in range(cycles):
        last = order[-1]
        if groups == 2:
            order.reverse()
        else:
            shuffled.shuffle(order)
            while order[0] == last:
                shuffled.shuffle(order)
        yield list(order)


def _warm_up(run_slice: RunSlice, group: int, monitor: ServerMonitor, workload: Workload) -> float:
    """Warm one server up. Returns the least length of its time slices, in s, by the response times in the warm-up."""
    began_ns = time.perf_counter_ns()
    completed = run_slice(group, int(workload.warm_up_s * NS))
    monitor.wait_until_idle()
    took_s = (time.perf_counter_ns() - began_ns) / NS
    return RESPONSE_TIMES_PER_SLICE * took_s * workload.clients * workload.in_flight / completed if completed else 0.0


def can_interleave(workload: Workload, workers: LoadWorkers) -> bool:
    """Whether this load can be divided into time slices.

    A closed loop of our own processes can. An open loop cannot: while it stood still its queues would never grow.
    """
    is_timed_closed_loop = not workload.is_open and workload.messages is None and not workload.think_s
    return workers.executor is None and is_timed_closed_loop


@contextlib.contextmanager
def pinned_to(which: list[int]) -> Iterator[None]:
    """Processes that are started inside run on these cores: a child inherits them from the thread that starts it.

    It does nothing where there is one core only, or where the system does not say.
    """
    if len(cores()) < 2:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, which)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
