"""How many messages a second, and at what cost? Measured from outside, with a fresh server process in every round.

The server has one process and one core, the simulated clients another of each, and the notebook's process only waits and
looks on. Protocols and numbers of clients are measured in a shuffled order that every second round runs backwards, so
that whatever drifts in the machine drifts for all of them; and where the load can stop and go on, the servers of a round
stand there at the same time and take turns that are shorter than what disturbs a machine. The clients are Python too:
where they are as busy as they can be, or late, the rate is theirs rather than the server's, and the result says so. The
server's processor time for a message is not disturbed by it.
"""

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from ..display.progress import progress_bar
from ..harness import Server
from ..messages import shorten
from ..transport.interface import Implementation
from ..transport.registry import one_by_one, resolve
from .calibration import CALIBRATED_FROM_S, calibrate_once, capacity_of
from .load.workload import Workload
from .results.environment import Environment, environment, load_average, stolen_and_all, stolen_since
from .results.runs import Comparison, Round, Run
from .testbed import (
    SLICE_S,
    InterleavedTestbeds,
    LoadWorkers,
    MeasurementFailed,
    Testbed,
    can_interleave,
    check_generator,
    check_workload,
)

PROTOCOLS = ("text", "grpc", "grpc-stream")
CLIENTS = (1, 2, 4, 8, 16)
ROUNDS = 5
QUICK_CLIENTS, QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_S = (1, 4, 16), 3, 0.2, 0.05


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
    were finished before are its `partial_result`.
    """
    check_workload(workload)
    check_rounds(rounds)
    check_generator(generator)
    before, load, crew = stolen_and_all(), load_average(), LoadWorkers(workers, executor, host)
    done: list[Round] = []
    takes_s = rounds * (workload.seconds + workload.warm_up_s)
    failed: MeasurementFailed | None = None
    try:
        with progress_bar(rounds, "measuring") as bar:
            if workload.messages is None and takes_s >= CALIBRATED_FROM_S:
                calibrate_once(_protocol_of(protocol_or_server), generator, crew, [workload])
            for _ in range(rounds):
                testbed = _bench(protocol_or_server, engine, generator, crew)
                with testbed:
                    done.append(testbed.run(workload))
                bar.update()
    except (KeyboardInterrupt, MeasurementFailed) as ended:
        if not done:
            raise
        failed = ended if isinstance(ended, MeasurementFailed) else None
    where = _environment(testbed.pinned, load, before)
    capacity = capacity_of(testbed.name, generator, crew, workload)
    return _found(Run(testbed.name, workload, tuple(done), where, generator, capacity, len(done) < rounds), failed)


def _found(found: Run | Comparison, failed: MeasurementFailed | None):
    """What was found; where the clients failed before it was whole, their error, which then has it."""
    if failed is None:
        return found
    failed.partial_result = found
    failed.add_note("The rounds that were finished before are the error's `partial_result`.")
    raise failed


def _bench(protocol_or_server, engine: str, generator: str, crew: LoadWorkers) -> "Testbed":
    server = protocol_or_server if isinstance(protocol_or_server, Server) else None
    return Testbed(_protocol_of(protocol_or_server), engine, server, generator, crew)


def _protocol_of(protocol_or_server: object) -> Implementation:
    """The protocol itself, or that of the server's first endpoint."""
    return protocol_or_server.endpoint()[1] if isinstance(protocol_or_server, Server) else resolve(protocol_or_server)


def compare(
    *protocols: Any,
    workload: Workload | None = None,
    clients: int | Iterable[int] | None = None,
    rounds: int | None = None,
    engine: str = "loop",
    quick: bool = False,
    generator: str = "clients",
    workers: int = 1,
    executor: Executor | None = None,
    host: str = "127.0.0.1",
    slice_s: float = SLICE_S,
) -> Comparison:
    """Measure several protocols side by side, each with each number of clients, in interleaved rounds.

    `quick` is for notebooks and tests: fewer clients, rounds and seconds, where these are not given. With a `workload` and no
    `clients`, its number of clients is measured; with neither, a range of them. `workload.seed` decides the order, and each
    second round runs backwards, so that whatever drifts in the machine drifts for all. In a closed loop that lasts `seconds`,
    without `think_s` or an `executor`, the protocols of a round take turns: each has `seconds` in all, in parts of `slice_s` or
    8 mean response times of the slowest (two parts at the least), and its clock stands still meanwhile (`Round.slices`).
    Shorter turns scatter less, and cost more: whose turn it is finds its caches cold (docs/measuring.md has the figures).

    Each protocol's generator is calibrated first, once in this process for each number of clients (`calibrate`). An interrupt
    ends it, and the processes with it; what was done by then is the result, marked as partial. Raises `ValueError` for no
    protocol or one named twice, and `MeasurementFailed`, as `measure` does, where the clients fail.
    """
    loads = _loads(workload, clients, quick)
    rounds = (QUICK_ROUNDS if quick else ROUNDS) if rounds is None else rounds
    check_rounds(rounds)
    if not 0.001 <= slice_s <= 60:
        raise ValueError(f"slice_s is from 0.001 to 60 s, not {slice_s!r}")
    if any(isinstance(protocol, Workload) for protocol in protocols):
        raise TypeError('a Workload is given by its name: compare("text", "grpc", workload=Workload(...))')
    implementations = [resolve(protocol) for protocol in (one_by_one(protocols) if protocols else PROTOCOLS)]
    _check_compared([protocol.name for protocol in implementations])
    check_generator(generator)
    before, load, crew = stolen_and_all(), load_average(), LoadWorkers(workers, executor, host)
    done: dict[tuple[str, int], list[Round]] = {
        (protocol.name, load.clients): [] for load in loads for protocol in implementations
    }
    failed: MeasurementFailed | None = None
    try:
        with progress_bar(rounds * len(done), "comparing") as bar:
            for protocol in implementations:
                calibrate_once(protocol, generator, crew, loads)
            for number, order in enumerate(_orders(implementations, loads, rounds, loads[0].seed)):
                for side_by_side in [order] if can_interleave(loads[0], crew) else [[each] for each in order]:
                    testbeds = [Testbed(protocol, engine, None, generator, crew) for protocol, _ in side_by_side]
                    with InterleavedTestbeds(testbeds, slice_s, number) as stand:
                        for each in side_by_side[0][1]:
                            for name, found in stand.run(each):
                                done[name, each.clients].append(found)
                                bar.update()
    except (KeyboardInterrupt, MeasurementFailed) as ended:
        if not any(done.values()):
            raise
        failed = ended if isinstance(ended, MeasurementFailed) else None
    where = _environment(stand.pinned, load, before)
    partial = any(len(each) < rounds for each in done.values())
    runs = [
        Run(name, each, tuple(found), where, generator, capacity_of(name, generator, crew, each), partial)
        for each in loads
        for name in dict.fromkeys(name for name, _ in done)
        if (found := done[name, each.clients])
    ]
    return _found(Comparison(tuple(runs), where), failed)


def _listed(one_or_several) -> list:
    """One protocol or one number is a list of one."""
    single = isinstance(one_or_several, str | type) or not isinstance(one_or_several, Iterable)
    return [one_or_several] if single else list(one_or_several)


def _loads(workload: Workload | None, clients: int | Iterable[int] | None, quick: bool) -> list[Workload]:
    """One load for each number of clients. What was given explicitly, `quick` leaves as it is."""
    if workload is not None:
        check_workload(workload)
    base = workload or (Workload(seconds=QUICK_SECONDS, warm_up_s=QUICK_WARM_UP_S) if quick else Workload())
    if clients is None:
        clients = base.clients if workload is not None else QUICK_CLIENTS if quick else CLIENTS
    loads = [replace(base, clients=count) for count in dict.fromkeys(_listed(clients))]
    if not loads:
        raise ValueError("there is no number of clients to measure with")
    return loads


def _orders(
    protocols: list, loads: list[Workload], rounds: int, seed: int
) -> Iterator[list[tuple[object, list[Workload]]]]:
    """Who comes when: each second round is the one before it backwards (ABBA), and each such pair is shuffled anew."""
    shuffled = random.Random(seed)
    for number in range(rounds):
        if number % 2 == 0:
            each_load = shuffled.sample(loads, len(loads))
            turns = [(protocol, each_load) for protocol in shuffled.sample(protocols, len(protocols))]
        else:
            turns = [(protocol, each[::-1]) for protocol, each in reversed(turns)]
        yield turns


def check_rounds(rounds: int) -> None:
    if not isinstance(rounds, int) or isinstance(rounds, bool):
        raise TypeError(f"rounds is a whole number from 1 to 100, not {shorten(rounds)}")
    if not 1 <= rounds <= 100:
        raise ValueError(f"rounds is from 1 to 100, not {rounds!r}")


def _check_compared(names: list[str]) -> None:
    if not names:
        raise ValueError("there is no protocol to measure")
    if len(set(names)) < len(names):
        raise ValueError(f"a protocol is compared with others, not with itself: {', '.join(names)}")


def _environment(pinned: str, load: float | None, before) -> Environment:
    return environment(pinned, load, stolen_since(before))
