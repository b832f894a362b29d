"""How many messages a second, and at what cost? Measured from outside, with a fresh server process in every round.

The server has one process and one core, the load workers another of each, and the process that asks only waits.
Protocols and numbers of clients are measured in a shuffled order that every second round runs backwards, so that
whatever drifts in the machine drifts for all of them. Where a load can be divided, the servers of a round run side by
side and have the load in time slices that are shorter than what disturbs a machine (`testbed`). The load generator is
Python too: where it is as busy as it can be, or late, it and not the server sets the rate, and the result says so. The
server's processor time for a message is the number that this disturbs least.
"""

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace

from ..display.progress import progress_bar
from ..harness import Server
from ..messages import shorten
from ..transport.interface import Engine, Implementation, ProtocolLike, ProtocolOrList
from ..transport.registry import one_by_one, resolve
from .calibration import CALIBRATED_FROM_S, calibrate_once, capacity_of
from .context import MeasurementContext
from .load.trial import GeneratorName
from .load.workload import Workload
from .results.runs import Comparison, Round, Run
from .testbed import (
    SLICE_S,
    InterleavedTestbeds,
    LoadWorkers,
    Testbed,
    can_interleave,
    check_generator,
    check_workload,
    describe_pinning,
)

PROTOCOLS = ("text", "grpc", "grpc-stream")
CLIENTS = (1, 2, 4, 8, 16)
ROUNDS = 5
QUICK_CLIENTS, QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_S = (1, 4, 16), 3, 0.2, 0.05


def measure(
    protocol_or_server: "ProtocolLike | Server",
    workload: Workload = Workload(),
    rounds: int = 1,
    engine: Engine = "loop",
    generator: GeneratorName = "clients",
    workers: int = 1,
    executor: Executor | None = None,
    host: str = "127.0.0.1",
) -> Run:
    """Measure one protocol under one load: on a server that runs already, or on a fresh server process in each round.

    `generator` is "clients", as a user has them, or "light", which costs so little that the server is what is measured.
    The load comes from `workers` processes of this machine, or tasks of an `executor`; for those on other machines,
    `host` is the address at which they find this one. `engine` is that of the fresh servers. A measurement of five
    seconds or more is preceded by a calibration of its load, if there was none in this process (see `calibrate`).

    An interrupt ends it, and the rounds that are done are the result, marked as partial. The processor time of a server
    that runs in this process cannot be told from the caller's, and is None. Raises `MeasurementFailed` where a client
    or a worker fails; the rounds that were finished before are its `partial_result`. Raises `TypeError` or `ValueError`
    for a wrong argument.
    """
    check_workload(workload)
    check_rounds(rounds)
    check_generator(generator)
    server: Server | None = None
    if isinstance(protocol_or_server, Server):
        server = protocol_or_server
        protocol = server.endpoint()[1]
    else:
        protocol = resolve(protocol_or_server)
    context, load_workers = MeasurementContext(), LoadWorkers(workers, executor, host)
    done: list[Round] = []
    with context.measuring(lambda: bool(done)), progress_bar(rounds, "measuring") as bar:
        if workload.messages is None and rounds * (workload.seconds + workload.warm_up_s) >= CALIBRATED_FROM_S:
            calibrate_once(protocol, generator, load_workers, [workload])
        for _ in range(rounds):
            with Testbed(protocol, engine, server, generator, load_workers) as testbed:
                done.append(testbed.run(workload))
            bar.update()
    run = Run(
        protocol=protocol.name,
        workload=workload,
        rounds=tuple(done),
        environment=context.environment(describe_pinning(load_workers, owns_server=server is None)),
        generator=generator,
        partial=len(done) < rounds,
        engine=engine if server is None else None,
        acknowledges=_acknowledges(protocol),
    )
    capacity = capacity_of(protocol.name, generator, load_workers, workload, run.rate.median)
    return context.conclude(replace(run, capacity=capacity))


def compare(
    *protocols: "ProtocolOrList",
    workload: Workload | None = None,
    clients: int | Iterable[int] | None = None,
    rounds: int | None = None,
    engine: Engine = "loop",
    quick: bool = False,
    generator: GeneratorName = "clients",
    workers: int = 1,
    executor: Executor | None = None,
    host: str = "127.0.0.1",
    slice_s: float = SLICE_S,
) -> Comparison:
    """Measure several protocols side by side, each with each number of clients, in interleaved rounds.

    Protocols are given as `compare("text", "grpc")`; one list is understood too, and none stands for `PROTOCOLS`. With
    a `workload` and no `clients`, its number of clients is measured; with neither, a range of them. `quick` is for
    notebooks and tests: fewer clients and rounds and a shorter load, each only where it is not given. The other
    arguments are those of `measure`.

    `workload.seed` decides the order; each second round runs backwards, so that whatever drifts in the machine drifts
    for all. In a closed loop that lasts `seconds`, without `think_s` or an `executor`, the servers of a round run side
    by side and have the load in time slices: each has `seconds` in all, in slices of `slice_s` or of 8 mean response
    times of the slowest, whichever is longer, and at least two; its clock stands still meanwhile (`Round.slices`).
    Shorter slices scatter less and cost more, because a server that was idle finds its caches cold (docs/measuring.md
    has the figures).

    Each protocol's generator is calibrated first, once in this process for each load (see `calibrate`). An interrupt
    ends it, and what was done by then is the result, marked as partial. Raises `ValueError` for no protocol, or for one
    that is named twice, and otherwise as `measure` does.
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
    context, load_workers = MeasurementContext(), LoadWorkers(workers, executor, host)
    interleaved = can_interleave(loads[0], load_workers)
    done: dict[tuple[str, int], list[Round]] = {
        (protocol.name, load.clients): [] for load in loads for protocol in implementations
    }
    with (
        context.measuring(lambda: any(done.values())),
        progress_bar(rounds * len(done), "comparing") as bar,
    ):
        for protocol in implementations:
            calibrate_once(protocol, generator, load_workers, loads)
        for number, order in enumerate(_orders(implementations, loads, rounds, loads[0].seed)):
            for group in [order] if interleaved else [[alone] for alone in order]:
                testbeds = [Testbed(protocol, engine, None, generator, load_workers) for protocol, _ in group]
                with InterleavedTestbeds(testbeds, slice_s, number) as together:
                    for load in group[0][1]:
                        for name, measured in together.run(load):
                            done[name, load.clients].append(measured)
                            bar.update()
    environment = context.environment(describe_pinning(load_workers))
    partial = any(len(finished) < rounds for finished in done.values())
    runs = [
        Run(
            protocol=protocol.name,
            workload=load,
            rounds=tuple(finished),
            environment=environment,
            generator=generator,
            partial=partial,
            engine=engine,
            slice_s=slice_s if interleaved and len(implementations) > 1 else None,
            acknowledges=_acknowledges(protocol),
        )
        for load in loads
        for protocol in implementations
        if (finished := done[protocol.name, load.clients])
    ]
    capacities = [capacity_of(run.protocol, generator, load_workers, run.workload, run.rate.median) for run in runs]
    runs = [replace(run, capacity=capacity) for run, capacity in zip(runs, capacities)]
    return context.conclude(Comparison(tuple(runs), environment))


def _acknowledges(protocol: Implementation) -> bool:
    """Whether clients of this protocol acknowledge what they receive; those of an external server may not."""
    return protocol.verbs is None or "acknowledge" in protocol.verbs


def _loads(workload: Workload | None, clients: int | Iterable[int] | None, quick: bool) -> list[Workload]:
    """One load for each number of clients. What is given explicitly, `quick` leaves as it is."""
    if workload is not None:
        check_workload(workload)
    base = workload or (Workload(seconds=QUICK_SECONDS, warm_up_s=QUICK_WARM_UP_S) if quick else Workload())
    if clients is None:
        clients = base.clients if workload is not None else QUICK_CLIENTS if quick else CLIENTS
    counts = clients if isinstance(clients, Iterable) else [clients]
    loads = [replace(base, clients=count) for count in dict.fromkeys(counts)]
    if not loads:
        raise ValueError("there is no number of clients to measure with")
    return loads


def _orders(
    protocols: list[Implementation], loads: list[Workload], rounds: int, seed: int
) -> Iterator[list[tuple[Implementation, list[Workload]]]]:
    """For each round the protocols in order, each with its loads in order: ABBA, each pair of rounds shuffled anew."""
    shuffled = random.Random(seed)
    order: list[tuple[Implementation, list[Workload]]] = []
    for number in range(rounds):
        if number % 2 == 0:
            shuffled_loads = shuffled.sample(loads, len(loads))
            order = [(protocol, shuffled_loads) for protocol in shuffled.sample(protocols, len(protocols))]
        else:
            order = [(protocol, ordered[::-1]) for protocol, ordered in reversed(order)]
        yield order


def check_rounds(rounds: object) -> None:
    """Raises `TypeError` or `ValueError` for what is no number of rounds."""
    if not isinstance(rounds, int) or isinstance(rounds, bool):
        raise TypeError(f"rounds is a whole number from 1 to 100, not {shorten(rounds)}")
    if not 1 <= rounds <= 100:
        raise ValueError(f"rounds is from 1 to 100, not {rounds!r}")


def _check_compared(names: list[str]) -> None:
    if not names:
        raise ValueError("there is no protocol to measure")
    if len(set(names)) < len(names):
        raise ValueError(f"a protocol is compared with others, not with itself: {', '.join(names)}")
