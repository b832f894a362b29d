"""How many messages a second, and at what cost? Measured from outside, with a fresh server process in every round.

The server has one process and one core, the simulated clients another of each, and the notebook's process only waits and
looks on. Protocols and numbers of clients are measured in a shuffled order that every second round runs backwards, so
that whatever drifts in the machine drifts for all of them; and where the load can stop and go on, the servers of a round
stand there at the same time and take turns that are shorter than what disturbs a machine. The clients are Python too:
where they are as busy as they can be, or late, the rate is theirs rather than the server's, and the result says so. The
server's processor time for a message is not disturbed by it.
"""

import contextlib
import itertools
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import msgspec

from . import harness
from .environment import cores, environment, load_average, stolen_and_all, stolen_since
from .harness import Server, implementation, portable, serve
from .load.gauges import Course, Memory, Processes
from .load.generators import Told, Trial
from .load.workers import LOOK_S, OwnProcesses, Turn, SideFailed, in_turns, read_times, together
from .load.workload import NS, Workload
from .messages import cut
from .progress import progress
from .results import Comparison, Environment, Round, Run, Shown

PROTOCOLS = ("text", "grpc", "grpc-stream")
CLIENTS = (1, 2, 4, 8, 16)
ROUNDS = 5
TRIES = 3
TURN_S = 0.05  # short beside what disturbs a machine, and long beside what a turn loses by finding its caches cold
CYCLES_OF_A_TURN = 8  # and at least so many mean response times of the slowest
SETTLE_S, SETTLED_NS, SETTLE_LOOKS = 0.0005, 20_000, 40  # a server that uses less of its processor in that time is idle
GENERATORS = ("clients", "light")
CALIBRATE_S, CALIBRATE_WARM_UP_S = 0.1, 0.05
CALIBRATED_FROM_S = 5.0  # a measurement that takes so long asks for it by itself
CALIBRATED_TIMES = 3  # and the most of them counts: what disturbs it makes it less
CALIBRATED_CLIENTS, CALIBRATED_IN_FLIGHT = 4, 16
COURSE_EVERY_NS = 90_000_000  # a little less than two looks: ten readings a second
QUICK_CLIENTS, QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_S = (1, 4, 16), 3, 0.2, 0.05
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Crew:
    """Who generates the load: so many workers on an Executor, or processes of our own where it is None.

    `host` is the address at which the workers find this machine.
    """

    workers: int = 1
    executor: Executor | None = None
    host: str = "127.0.0.1"


class MeasurementFailed(RuntimeError):
    """The clients failed: they were told something untrue, or lost the server, or were lost themselves.

    `finished` is what was measured before, a partial `Run`, `Comparison` or `Ladder`; None where no round was finished.
    """

    finished: Shown | None = None


class NothingDone(MeasurementFailed):
    """No message was done in all the time that there was, and then twice that, and twice that: the machine has other things to do."""


def measure(
    protocol_or_server,
    workload: Workload = Workload(),
    rounds: int = 1,
    engine: str = "loop",
    generator: str = "clients",
    workers: int = 1,
    executor: Executor | None = None,
    host: str = "127.0.0.1",
) -> Run:
    """Measure one protocol under one load: on a server that runs, or on a fresh server process for each round.

    `generator` is "clients", as a user has them, or "light", which costs so little that the server is what is measured.
    The load comes from so many `workers`, processes of our own or tasks of any `executor`; for those of other machines
    `host` is where they find this one. What the generator can do is told beside it where that is known, and found out
    first where the measurement takes so long that it does not matter (see `calibrate`). An interrupt ends it with the
    rounds that are done. The processor time of a server that lives in this process cannot be told from the notebook's,
    and is None. Raises `MeasurementFailed`, a `RuntimeError`, where the clients fail, with what they said; the rounds that
    were finished before are its `finished`.
    """
    _check_workload(workload)
    check_rounds(rounds)
    _check_generator(generator)
    before, load, crew = stolen_and_all(), load_average(), Crew(workers, executor, host)
    done: list[Round] = []
    takes_s = rounds * (workload.seconds + workload.warm_up_s)
    failed: MeasurementFailed | None = None
    try:
        with progress(rounds, "measuring") as bar:
            if workload.messages is None and takes_s >= CALIBRATED_FROM_S:
                _calibrate_once(_protocol_of(protocol_or_server), generator, crew, [workload])
            for _ in range(rounds):
                bench = _bench(protocol_or_server, engine, generator, crew)
                with bench:
                    done.append(bench.carry_out(workload))
                bar.update()
    except (KeyboardInterrupt, MeasurementFailed) as ended:
        if not done:
            raise
        failed = ended if isinstance(ended, MeasurementFailed) else None
    where = _environment(bench.pinned, load, before)
    capacity = _capacity(bench.name, generator, crew, workload)
    return _found(Run(bench.name, workload, tuple(done), where, generator, capacity, len(done) < rounds), failed)


def _found(found: Run | Comparison, failed: MeasurementFailed | None):
    """What was found; where the clients failed before it was whole, their error, which then has it."""
    if failed is None:
        return found
    failed.finished = found
    failed.add_note("The rounds that were finished before are the error's `finished`.")
    raise failed


def _bench(protocol_or_server, engine: str, generator: str, crew: Crew) -> "Bench":
    server = protocol_or_server if isinstance(protocol_or_server, Server) else None
    return Bench(_protocol_of(protocol_or_server), engine, server, generator, crew)


def _protocol_of(protocol_or_server):
    return _first_door(protocol_or_server) if isinstance(protocol_or_server, Server) else protocol_or_server


def compare(
    protocols: Iterable = PROTOCOLS,
    workload: Workload = Workload(),
    clients: int | Iterable[int] = CLIENTS,
    rounds: int = ROUNDS,
    engine: str = "loop",
    quick: bool = False,
    generator: str = "clients",
    workers: int = 1,
    executor: Executor | None = None,
    host: str = "127.0.0.1",
    turn_s: float = TURN_S,
) -> Comparison:
    """Measure several protocols side by side, each with each number of clients, in interleaved rounds.

    `quick` is for notebooks and tests: fewer clients, rounds and seconds. `workload.seed` decides the order, and each
    second round runs backwards, so that whatever drifts in the machine drifts for all. In a closed loop that lasts `seconds`,
    without `think_s` or an `executor`, the protocols of a round take turns: each has `seconds` in all, in parts of `turn_s` or
    8 mean response times of the slowest (two parts at the least), and its clock stands still meanwhile (`Round.turns`).
    Shorter turns scatter less, and cost more: whose turn it is finds its caches cold (docs/design.md has the figures).

    Each protocol's generator is calibrated first, once in this process for each number of clients (`calibrate`). An interrupt
    ends it, and the processes with it; what was done by then is the result, marked as partial. Raises `ValueError` for no
    protocol or one named twice, and `MeasurementFailed`, as `measure` does, where the clients fail.
    """
    _check_workload(workload)
    check_rounds(rounds)
    if not 0.001 <= turn_s <= 60:
        raise ValueError(f"turn_s is from 0.001 to 60 s, not {turn_s!r}")
    if quick:
        clients, rounds = QUICK_CLIENTS, min(rounds, QUICK_ROUNDS)
        workload = replace(workload, seconds=QUICK_SECONDS, warm_up_s=QUICK_WARM_UP_S)
    protocols = _listed(protocols)
    _check_compared([implementation(each).name for each in protocols])
    loads = [replace(workload, clients=each) for each in dict.fromkeys(_listed(clients))]
    if not loads:
        raise ValueError("there is no number of clients to measure with")
    _check_generator(generator)
    before, load, crew = stolen_and_all(), load_average(), Crew(workers, executor, host)
    done: dict[tuple[str, int], list[Round]] = {(implementation(p).name, w.clients): [] for w in loads for p in protocols}
    failed: MeasurementFailed | None = None
    try:
        with progress(rounds * len(done), "comparing") as bar:
            for protocol in protocols:
                _calibrate_once(protocol, generator, crew, loads)
            for number, order in enumerate(_orders(protocols, loads, rounds, workload.seed)):
                for side_by_side in [order] if _can_take_turns(workload, crew) else [[each] for each in order]:
                    benches = [Bench(protocol, engine, None, generator, crew) for protocol, _ in side_by_side]
                    with SideBySide(benches, turn_s, number) as stand:
                        for each in side_by_side[0][1]:
                            for name, found in stand.carry_out(each):
                                done[name, each.clients].append(found)
                                bar.update()
    except (KeyboardInterrupt, MeasurementFailed) as ended:
        if not any(done.values()):
            raise
        failed = ended if isinstance(ended, MeasurementFailed) else None
    where = _environment(stand.pinned, load, before)
    partial = any(len(each) < rounds for each in done.values())
    runs = [
        Run(name, each, tuple(found), where, generator, _capacity(name, generator, crew, each), partial)
        for each in loads
        for name in dict.fromkeys(name for name, _ in done)
        if (found := done[name, each.clients])
    ]
    return _found(Comparison(tuple(runs), where), failed)


def _listed(one_or_several) -> list:
    """One protocol or one number is a list of one."""
    single = isinstance(one_or_several, str | type) or not isinstance(one_or_several, Iterable)
    return [one_or_several] if single else list(one_or_several)


def _orders(protocols: list, loads: list[Workload], rounds: int, seed: int) -> Iterator[list[tuple[object, list[Workload]]]]:
    """Who comes when: each second round is the one before it backwards (ABBA), and each such pair is shuffled anew."""
    shuffled = random.Random(seed)
    for number in range(rounds):
        if number % 2 == 0:
            each_load = shuffled.sample(loads, len(loads))
            turns = [(protocol, each_load) for protocol in shuffled.sample(protocols, len(protocols))]
        else:
            turns = [(protocol, each[::-1]) for protocol, each in reversed(turns)]
        yield turns


def calibrate(
    protocol,
    generator: str = "light",
    seconds: float = 0.5,
    workers: int = 1,
    clients: int | None = None,
    in_flight: int | None = None,
    workload: Workload | None = None,
) -> float:
    """How many messages a second of a load this generator can do on this machine, the best of three times `seconds`, against a
    server that does next to nothing (load/mirror.py; where a light generator pings over a socket, an echo).

    The load is that of `workload`: its operations, sizes and rooms, its clients, and how many they have on their way; without
    one it is 4 clients (or two for each worker) that send each other texts of 32 bytes, with 16 on their way. `clients` and
    `in_flight` may say otherwise. Nobody thinks between two requests, and of an open loop, where a schedule decides how many
    are on their way, 16 are.

    It is remembered as long as this process lives, and runs of the same load that are measured afterwards have it as their
    `capacity` (and see `Run.share_of_capacity`). `compare` asks for it by itself, once for each protocol, generator and load,
    and so does a `measure` of five seconds or more: it takes about a second, and a shorter measurement is not made longer
    by it. Whatever it finds on a busy machine is too little; ask again, and the new number counts. Over gRPC a light generator
    finds out what grpcio's server can do with nothing behind it. Of an interrupted calibration nothing is kept.
    """
    _check_generator(generator)
    if workload is None:
        workload = Workload(max(CALIBRATED_CLIENTS, 2 * workers), in_flight=CALIBRATED_IN_FLIGHT)
    _check_workload(workload)
    chosen = {"clients": clients, "in_flight": in_flight}
    load = replace(_to_calibrate(workload), seconds=seconds, **{name: each for name, each in chosen.items() if each is not None})
    return _calibrate(protocol, generator, Crew(workers), [load])


#: How many messages a second each generator can do on this machine, by `_shape`. None: it cannot be told.
_calibrated: dict[tuple, float | None] = {}


def _shape(name: str, generator: str, crew: Crew, load: Workload) -> tuple:
    """What decides how many messages can be done, and so what a load is set beside."""
    return name, generator, crew.workers, _to_calibrate(load)


def _to_calibrate(load: Workload) -> Workload:
    """The same by clients who ask as soon as they may: how long, how often and by which seed it is asked decides nothing."""
    in_flight = CALIBRATED_IN_FLIGHT if load.is_open else load.in_flight
    same = replace(load, in_flight=in_flight, rate=None, arrivals="constant", think_s=0.0, messages=None, seed=0)
    return replace(same, seconds=CALIBRATE_S, warm_up_s=CALIBRATE_WARM_UP_S)


def _calibrate(protocol, generator: str, crew: Crew, loads: list[Workload]) -> float:
    """Calibrate these loads of the same operations, on one null server. Returns what the last can do."""
    pings = {name for name, _ in loads[0].operations} == {"ping"}
    kind = "echo" if pings and generator == "light" and hasattr(implementation(protocol), "codec") else "mirror"
    null = f"chatlab.load.null:{kind}:{portable(protocol)}"
    most = dict.fromkeys(loads, 0.0)
    with Bench(protocol, generator=generator, crew=crew, null=null) as bench:
        for _ in range(CALIBRATED_TIMES):
            for load in loads:
                most[load] = max(most[load], bench.carry_out(load).rate)
    _calibrated.update({_shape(bench.name, generator, crew, load): rate for load, rate in most.items()})
    return most[loads[-1]]


def _calibrate_once(protocol, generator: str, crew: Crew, loads: list[Workload]) -> None:
    """Calibrate what is not yet, where there is a null server that speaks the protocol and the workers are on this machine."""
    carried = implementation(protocol)
    if crew.executor is not None or not hasattr(carried, "codec") and carried.name not in harness.PROTOCOLS:
        return
    shapes = {_shape(carried.name, generator, crew, load): _to_calibrate(load) for load in loads}
    missing = {shape: load for shape, load in shapes.items() if shape not in _calibrated}
    try:
        if missing:
            _calibrate(protocol, generator, crew, list(missing.values()))
    except RuntimeError:
        for shape in missing:
            _calibrated.setdefault(shape)  # a codec of somebody's own may not bear a null server


def _capacity(name: str, generator: str, crew: Crew, load: Workload) -> float | None:
    return _calibrated.get(_shape(name, generator, crew, load)) if crew.executor is None else None


def _check_generator(generator: str) -> None:
    if generator not in GENERATORS:
        raise ValueError(f"generator is {' or '.join(map(repr, GENERATORS))}, not {generator!r}")


def _first_door(server: Server):
    """What another process can speak with at the server's first door: a name, a codec or an Implementation."""
    name, found = server._door(None)
    return name if name in harness.PROTOCOLS else getattr(found, "codec", found)


def check_rounds(rounds: int) -> None:
    if not isinstance(rounds, int) or isinstance(rounds, bool):
        raise TypeError(f"rounds is a whole number from 1 to 100, not {cut(rounds)}")
    if not 1 <= rounds <= 100:
        raise ValueError(f"rounds is from 1 to 100, not {rounds!r}")


def _check_workload(workload: Workload) -> None:
    if not isinstance(workload, Workload):
        raise TypeError(f"the load is a Workload, not {cut(workload)}")


def _check_compared(names: list[str]) -> None:
    if not names:
        raise ValueError("there is no protocol to measure")
    if len(set(names)) < len(names):
        raise ValueError(f"a protocol is compared with others, not with itself: {', '.join(names)}")


def _environment(pinned: str, load: float | None, before) -> Environment:
    return environment(pinned, load, stolen_since(before))


# ---- a server and its clients, each in a process ----------------------------------------------------------------


class Bench:
    """A server process and processes of simulated clients, on a core of their own each where there are two."""

    def __init__(self, protocol, engine="loop", server: Server | None = None, generator="clients", crew=Crew(), null="", called=""):
        self.name = implementation(protocol).name
        self.called = called or self.name  # in errors
        self._portable = portable(protocol)
        self._engine, self._server = engine, server
        self._is_guest = server is not None
        self._generator, self._crew = generator, crew
        self._null = null  # what is served in its place
        self._own: OwnProcesses | None = None
        self.pinned = ""

    def __enter__(self):
        own = cores()
        if len(own) > 1 and self._crew.executor is None:
            self.pinned = f"clients on core {own[-1]}" if self._is_guest else f"server on core {own[0]}, clients on core {own[-1]}"
        if self._crew.executor is None:
            with on_core(own[-1:]):
                self._own = OwnProcesses(self._crew.workers)
        try:
            if not self._is_guest:
                with on_core(own[:1]):
                    name = f"measured {next(_numbers)}"
                    self._server = serve(self._null or self._portable, engine=self._engine, where="process", host=self._crew.host, name=name)
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

    def carry_out(self, workload: Workload) -> Round:
        """One round. A machine so busy that nothing was done in all that time gets more of it; the round says how much."""
        for _ in range(TRIES):
            found = self._once(workload)
            if found.messages:
                return found
            workload = replace(workload, seconds=2 * workload.seconds)
        raise NothingDone("no message was done in all that time: give it more seconds")

    def _once(self, workload: Workload) -> Round:
        watch = self.watch(workload)
        executor = self._own or self._crew.executor
        try:
            told = together(executor, self._trials(workload), watch, self.host)
        except RuntimeError as error:
            raise MeasurementFailed(f"the clients of {self.called} failed: {error}") from error
        return _round(workload, told, watch)

    @property
    def host(self) -> str:
        return self._crew.host

    def watch(self, workload: Workload) -> "_Watch":
        return _Watch(self._server.pid, workload)

    def tasks(self, workload: Workload, side: int) -> list[tuple[Executor, Trial]]:
        """What its processes have to do where it is one of several sides."""
        return [(self._own, msgspec.structs.replace(trial, side=side)) for trial in self._trials(workload)]

    def _trials(self, workload: Workload) -> list[Trial]:
        # Names nobody else has, of a length that is always the same: the server may be one that is in use.
        workers = self._crew.workers
        address = tuple(self._server.addresses[self.name])
        path = sys.path if isinstance(self._own or self._crew.executor, OwnProcesses) else []
        echo = self._null.startswith("chatlab.load.null:echo:")
        return [
            Trial(self._portable, address, workload.share(n, workers), f"w{os.urandom(3).hex()}c", self._generator, path=path, echo=echo)
            for n in range(workers)
        ]


class SideBySide:
    """Several benches, which stand there at the same time and take turns: one has the load, and the others are idle.

    The turns are short beside what disturbs a machine, a neighbour or a change of its clock rate, so that it disturbs all
    alike. Each lasts until all is answered, and so nobody has another's work in his turn. A bench alone has all the time for itself.
    """

    def __init__(self, benches: list[Bench], turn_s: float = TURN_S, number: int = 0):
        self._benches, self.turn_s, self._number, self._open = benches, turn_s, number, contextlib.ExitStack()

    @property
    def pinned(self) -> str:
        return self._benches[0].pinned

    def __enter__(self):
        with self._open as opening:
            for bench in self._benches:
                opening.enter_context(bench)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_):
        self._open.close()

    def carry_out(self, workload: Workload) -> list[tuple[str, Round]]:
        """One round of each, by name. Who has done nothing in all that time has all get more of it."""
        if len(self._benches) == 1:
            return [(bench.name, bench.carry_out(workload)) for bench in self._benches]
        for _ in range(TRIES):
            found = self._once(workload)
            if all(each.messages for each in found):
                return [(bench.name, each) for bench, each in zip(self._benches, found)]
            workload = replace(workload, seconds=2 * workload.seconds)
        idle = ", ".join(bench.called for bench, each in zip(self._benches, found) if not each.messages)
        raise NothingDone(f"no message of {idle} was done in all that time: give it more seconds")

    def _once(self, workload: Workload) -> list[Round]:
        watches = [bench.watch(workload) for bench in self._benches]
        tasks = [task for side, bench in enumerate(self._benches) for task in bench.tasks(workload, side)]
        try:
            told = in_turns(tasks, lambda turn: self._give_turns(turn, workload, watches), self._benches[0].host)
        except SideFailed as error:
            whose = self._benches if error.side is None else [self._benches[error.side]]
            raise MeasurementFailed(f"the clients of {' or '.join(bench.called for bench in whose)} failed: {error}") from error
        of = [[each for (_, trial), each in zip(tasks, told) if trial.side == side] for side in range(len(watches))]
        return [_round_of_turns(*each) for each in zip(of, watches)]

    def _give_turns(self, turn: Turn, workload: Workload, watches: list["_Watch"]) -> None:
        """The warm-ups, and then the turns, unless a side gives up before."""
        try:
            longest_s = max(_warm_up(turn, side, watch, workload) for side, watch in enumerate(watches))
        finally:
            for watch in watches:
                watch.look_after(0)
        turns = 2 * max(1, int(workload.seconds / max(self.turn_s, longest_s) / 2 + 1e-6))
        try:
            for order in _cycles(len(watches), turns, f"{workload.seed}:{workload.clients}:{self._number}"):
                for side in order:
                    began_ns = time.perf_counter_ns()
                    try:
                        turn(side, int(workload.seconds / turns * NS))
                    finally:
                        lasted_ns = time.perf_counter_ns() - began_ns
                        watches[side].settle()
                        watches[side].look_after(lasted_ns)
        finally:
            for watch in watches:
                watch.look_at_memory()


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


def _warm_up(turn: Turn, side: int, watch: "_Watch", workload: Workload) -> float:
    """Warm a side up. Returns how long its turns are to be at least, in s, by how long its clients have waited."""
    began_ns = time.perf_counter_ns()
    done = turn(side, int(workload.warm_up_s * NS))
    watch.settle()
    took_s = (time.perf_counter_ns() - began_ns) / NS
    return CYCLES_OF_A_TURN * took_s * workload.clients * workload.in_flight / done if done else 0.0


def _can_take_turns(workload: Workload, crew: Crew) -> bool:
    """A closed loop may stop and go on, and so may processes of our own. A schedule may not: its queues would never grow."""
    return crew.executor is None and not workload.is_open and workload.messages is None and not workload.think_s


class _Watch:
    """Looks at the server from outside while the load runs: ten times a second, and at the start and the end of what counts."""

    def __init__(self, pid: int | None, workload: Workload):
        self._server, self._workload = Processes(pid), workload
        self.start_ns = 0
        self.readings: list[tuple[int, int | None]] = []  #: (ns, the server's processor time), the first and the last
        self.memory: Memory | None = None
        self._course: list[tuple[int, int | None, int | None]] = []  # (ns, processor time, bytes in memory)

    def __call__(self, start_ns: int, over: Callable[[], bool]) -> None:
        self.start_ns = start_ns
        load = self._workload
        if load.messages is None:
            self._look_until(start_ns + int(load.warm_up_s * NS), over)
            self._read()
            looks = len(self._course)
            self._look_until(start_ns + int((load.warm_up_s + load.seconds) * NS), over)
            self._read(is_late=over() and len(self._course) > looks)
        else:
            self._read()
        while not over():
            self._look_until(time.perf_counter_ns() + int(LOOK_S * NS), over)
        if load.messages is not None:
            self._read()
        self.look_at_memory()

    def settle(self) -> None:
        """Wait until the server does nothing more: what nobody waits for, such as the answer to an acknowledgement, is still its own."""
        before = self._server.cpu_ns()
        for _ in range(SETTLE_LOOKS):
            time.sleep(SETTLE_S)
            now = self._server.cpu_ns()
            if None in (before, now) or now - before < SETTLED_NS:
                break
            before = now

    def look_after(self, turn_ns: int) -> None:
        """Its turn is over, which took so long; the first time none was. Its clock stands still while others have theirs."""
        self._look(turn_ns + (self._course[-1][0] if self._course else 0))
        self.readings = [self._course[0][:2], self._course[-1][:2]]

    def look_at_memory(self) -> None:
        self.memory = self._server.memory()

    @property
    def course(self) -> Course | None:
        """What was seen over time; None where the system does not tell."""
        if not self._course or any(None in each for each in self._course):
            return None
        first_cpu = self._course[0][1]
        seen = [((at - self.start_ns) / NS, (cpu - first_cpu) / NS, resident) for at, cpu, resident in self._course]
        return Course(*zip(*seen))

    def _read(self, is_late: bool = False) -> None:
        """Too late, when the load is over and the clients take their leave: then the last look counts."""
        if not is_late:
            self._look()
        self.readings.append(self._course[-1][:2])

    def _look(self, at_ns: int | None = None) -> None:
        at_ns = time.perf_counter_ns() if at_ns is None else at_ns
        self._course.append((at_ns, self._server.cpu_ns(), self._server.resident()))

    def _look_until(self, at_ns: int, over: Callable[[], bool]) -> None:
        while (now := time.perf_counter_ns()) < at_ns and not over():
            if now >= self.start_ns and (not self._course or now - self._course[-1][0] >= COURSE_EVERY_NS):
                self._look()
            time.sleep(min(at_ns - now, int(LOOK_S * NS)) / NS)


def _round(workload: Workload, told: list[Told], watch: _Watch) -> Round:
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
    return _seen_and_told(watch, told, seconds, messages, seen, due_then, every.completed)


def _round_of_turns(told: list[Told], watch: _Watch) -> Round:
    """The same where turns were taken: what was due in one was answered in it, so all of it counts but the first, the warm-up."""
    samples = [read_times(each) for each in told]
    warm_up_ns = [ended - began for began, ended in (each.turns[0] if each.turns else (0, 0) for each in told)]
    counted = [each.where(each.column("due") >= warm) for each, warm in zip(samples, warm_up_ns)]
    due_then = sum(counted[1:], counted[0])
    seconds = max(1, *(each.marks_ns[1] for each in told)) / NS
    carried = sum(each.completed for each in samples)
    found = _seen_and_told(watch, told, seconds, due_then.completed, due_then.completed, due_then, carried)
    return replace(found, turns=max(1, len(told[0].turns) - 1))


def _seen_and_told(watch: _Watch, told: list[Told], seconds: float, messages: int, seen: int, due_then, carried: int) -> Round:
    (_, cpu_before), (_, cpu_after) = watch.readings
    spent = [(each.cpu_ns[1] - each.cpu_ns[0], each.marks_ns[1] - each.marks_ns[0]) for each in told]
    wires = [each.wire for each in told]
    return Round(
        seconds=seconds,
        messages=messages,
        server_cpu_s=None if None in (cpu_before, cpu_after) else (cpu_after - cpu_before) / NS,
        server_messages=seen,
        generator_cpu_s=sum(cpu for cpu, _ in spent) / NS,
        samples=due_then,
        workers=len(told),
        busiest=max(cpu / max(1, wall) for cpu, wall in spent),
        memory=watch.memory,
        wire=None if None in wires else sum(wires[1:], wires[0]),
        carried=carried,
        course=watch.course,
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
