"""What a load generator can do at most on this machine, measured against a server that does next to nothing.

A rate means little without it: a rate near what the generator can do says more about the generator than about the
server. The capacities that were found are remembered for the life of this process, in `CAPACITIES`.
"""

from dataclasses import replace
from typing import NamedTuple

from ..transport.interface import Implementation, ProtocolLike
from ..transport.registry import PROTOCOLS, resolve
from .baselines.baseline import Baseline
from .load.trial import GeneratorName
from .load.workload import Workload
from .results.runs import CALIBRATION_TOLERANCE
from .testbed import LoadWorkers, Testbed, check_generator, check_workload

CALIBRATE_S, CALIBRATE_WARM_UP_S = 0.1, 0.05
CALIBRATED_FROM_S = 5.0  # `measure` calibrates by itself where it takes at least so long
CALIBRATED_TIMES = 3  # and the best counts: whatever disturbs a calibration makes it slower
CALIBRATED_CLIENTS, CALIBRATED_IN_FLIGHT = 4, 16


class CapacityKey(NamedTuple):
    """What decides a capacity. `load` is the workload without what does not matter: duration, pauses and seed."""

    protocol: str
    generator: GeneratorName
    workers: int
    load: Workload


class CapacityCache:
    """Capacities in messages a second, by what decides them; None marks a load that could not be calibrated.

    There is one for the whole process, `CAPACITIES`, and it is never emptied by itself: a capacity takes about a second
    to find, and holds as long as the machine does. One that turns out too low is discarded, and so found anew.
    """

    def __init__(self) -> None:
        self._capacities: dict[CapacityKey, float | None] = {}

    def __len__(self) -> int:
        return len(self._capacities)

    def __contains__(self, key: CapacityKey) -> bool:
        return key in self._capacities

    def get(self, key: CapacityKey) -> float | None:
        return self._capacities.get(key)

    def put(self, key: CapacityKey, capacity: float | None) -> None:
        self._capacities[key] = capacity

    def discard(self, key: CapacityKey) -> None:
        self._capacities.pop(key, None)


CAPACITIES = CapacityCache()


def calibrate(
    protocol: "ProtocolLike",
    generator: GeneratorName = "light",
    seconds: float = 0.5,
    workers: int = 1,
    clients: int | None = None,
    in_flight: int | None = None,
    workload: Workload | None = None,
) -> float:
    """How many messages a second the generator can do on this machine: the best of three times `seconds`.

    The server does next to nothing: it is a stub chat, or an echo where a light generator pings over a socket. The load
    is that of `workload` (its operations, sizes and rooms, its clients, and how many requests they have in flight); by
    default 4 clients, or two for each of the `workers`, send each other texts of 32 bytes, with 16 in flight. `clients`
    and `in_flight` override that. Thinking times are left out, and an open loop, where a schedule decides how many
    requests are in flight, is calibrated as a closed loop with 16.

    The number is remembered as long as this process lives, and is the `capacity` of runs of the same load that are
    measured afterwards. `compare` calibrates by itself, once for each protocol, generator and load, and so does a
    `measure` of five seconds or more. On a busy machine the number is too low; calibrate again, and the new one counts.
    Over gRPC a light generator finds what grpcio's server can do with nothing behind it. An interrupted calibration
    leaves nothing behind. Raises `MeasurementFailed`, and `TypeError` or `ValueError` for a wrong argument.
    """
    check_generator(generator)
    if workload is None:
        workload = Workload(max(CALIBRATED_CLIENTS, 2 * workers), in_flight=CALIBRATED_IN_FLIGHT)
    check_workload(workload)
    load = replace(_saturated(workload), seconds=seconds)
    if clients is not None:
        load = replace(load, clients=clients)
    if in_flight is not None:
        load = replace(load, in_flight=in_flight)
    return _calibrate(resolve(protocol), generator, LoadWorkers(workers), [load])


def calibrate_once(
    protocol: Implementation, generator: GeneratorName, workers: LoadWorkers, loads: list[Workload]
) -> None:
    """Calibrate those of the loads that have no capacity yet, where that is possible.

    It is not where the workers are on other machines, and where there is no baseline server that speaks the protocol.
    """
    if workers.executor is not None or (protocol.codec is None and protocol.name not in PROTOCOLS):
        return
    keys = {capacity_key(protocol.name, generator, workers, load): _saturated(load) for load in loads}
    missing = {key: load for key, load in keys.items() if key not in CAPACITIES}
    try:
        if missing:
            _calibrate(protocol, generator, workers, list(missing.values()))
    except RuntimeError:
        for key in missing:  # a reader's own codec may not get on with a baseline server; it is not tried again
            if key not in CAPACITIES:
                CAPACITIES.put(key, None)


def capacity_of(name: str, generator: GeneratorName, workers: LoadWorkers, load: Workload, rate: float) -> float | None:
    """The capacity to keep beside a run of this load, if it is known. A `rate` that is clearly above it shows that the
    calibration was disturbed: the capacity is handed out once more, for the record, and then forgotten."""
    if workers.executor is not None:
        return None
    key = capacity_key(name, generator, workers, load)
    capacity = CAPACITIES.get(key)
    if capacity is not None and rate > (1 + CALIBRATION_TOLERANCE) * capacity:
        CAPACITIES.discard(key)
    return capacity


def capacity_key(name: str, generator: GeneratorName, workers: LoadWorkers, load: Workload) -> CapacityKey:
    """What the capacity for this load is remembered by."""
    return CapacityKey(name, generator, workers.workers, _saturated(load))


def _saturated(load: Workload) -> Workload:
    """The same requests, asked in a closed loop without pauses. Duration, number and seed do not matter."""
    in_flight = CALIBRATED_IN_FLIGHT if load.is_open else load.in_flight
    same = replace(load, in_flight=in_flight, rate=None, arrivals="constant", think_s=0.0, messages=None, seed=0)
    return replace(same, seconds=CALIBRATE_S, warm_up_s=CALIBRATE_WARM_UP_S)


def _calibrate(
    protocol: Implementation, generator: GeneratorName, workers: LoadWorkers, loads: list[Workload]
) -> float:
    """Calibrate these loads of the same operations on one baseline server. Returns the last one's capacity."""
    only_pings = {name for name, _ in loads[0].operations} == {"ping"}
    kind = "echo" if only_pings and generator == "light" and protocol.codec is not None else "stub-chat"
    best = dict.fromkeys(loads, 0.0)
    with Testbed(protocol, generator=generator, workers=workers, baseline=Baseline(kind, protocol)) as testbed:
        for _ in range(CALIBRATED_TIMES):
            for load in loads:
                best[load] = max(best[load], testbed.run(load).rate)
    for load, rate in best.items():
        CAPACITIES.put(capacity_key(testbed.name, generator, workers, load), rate)
    return best[loads[-1]]
