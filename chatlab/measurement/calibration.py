"""What a load generator and this machine can do at most, measured against a server that does next to nothing."""

from dataclasses import replace

from ..transport import registry
from ..transport.interface import Implementation
from ..transport.registry import resolve
from .baselines.baseline import Baseline
from .load.workload import Workload
from .testbed import LoadWorkers, Testbed, check_generator, check_workload

CALIBRATE_S, CALIBRATE_WARM_UP_S = 0.1, 0.05
CALIBRATED_FROM_S = 5.0  # a measurement that takes so long asks for it by itself
CALIBRATED_TIMES = 3  # and the most of them counts: what disturbs it makes it less
CALIBRATED_CLIENTS, CALIBRATED_IN_FLIGHT = 4, 16


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
    check_generator(generator)
    if workload is None:
        workload = Workload(max(CALIBRATED_CLIENTS, 2 * workers), in_flight=CALIBRATED_IN_FLIGHT)
    check_workload(workload)
    chosen = {"clients": clients, "in_flight": in_flight}
    load = replace(
        _to_calibrate(workload), seconds=seconds, **{name: each for name, each in chosen.items() if each is not None}
    )
    return _calibrate(resolve(protocol), generator, LoadWorkers(workers), [load])


#: How many messages a second each generator can do on this machine, by `_shape`. None: it cannot be told.
_calibrated: dict[tuple, float | None] = {}


def _shape(name: str, generator: str, crew: LoadWorkers, load: Workload) -> tuple:
    """What decides how many messages can be done, and so what a load is set beside."""
    return name, generator, crew.workers, _to_calibrate(load)


def _to_calibrate(load: Workload) -> Workload:
    """The same by clients who ask as soon as they may: how long, how often and by which seed it is asked decides nothing."""
    in_flight = CALIBRATED_IN_FLIGHT if load.is_open else load.in_flight
    same = replace(load, in_flight=in_flight, rate=None, arrivals="constant", think_s=0.0, messages=None, seed=0)
    return replace(same, seconds=CALIBRATE_S, warm_up_s=CALIBRATE_WARM_UP_S)


def _calibrate(protocol: Implementation, generator: str, crew: LoadWorkers, loads: list[Workload]) -> float:
    """Calibrate these loads of the same operations, on one null server. Returns what the last can do."""
    pings = {name for name, _ in loads[0].operations} == {"ping"}
    kind = "echo" if pings and generator == "light" and protocol.codec is not None else "stub-chat"
    most = dict.fromkeys(loads, 0.0)
    with Testbed(protocol, generator=generator, crew=crew, baseline=Baseline(kind, protocol)) as testbed:
        for _ in range(CALIBRATED_TIMES):
            for load in loads:
                most[load] = max(most[load], testbed.run(load).rate)
    _calibrated.update({_shape(testbed.name, generator, crew, load): rate for load, rate in most.items()})
    return most[loads[-1]]


def calibrate_once(protocol: Implementation, generator: str, crew: LoadWorkers, loads: list[Workload]) -> None:
    """Calibrate what is not yet, where there is a null server that speaks the protocol and the workers are on this machine."""
    if crew.executor is not None or (protocol.codec is None and protocol.name not in registry.PROTOCOLS):
        return
    shapes = {_shape(protocol.name, generator, crew, load): _to_calibrate(load) for load in loads}
    missing = {shape: load for shape, load in shapes.items() if shape not in _calibrated}
    try:
        if missing:
            _calibrate(protocol, generator, crew, list(missing.values()))
    except RuntimeError:
        for shape in missing:
            _calibrated.setdefault(shape)  # a codec of somebody's own may not bear a null server


def capacity_of(name: str, generator: str, crew: LoadWorkers, load: Workload) -> float | None:
    return _calibrated.get(_shape(name, generator, crew, load)) if crew.executor is None else None
