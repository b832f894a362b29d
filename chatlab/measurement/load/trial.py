"""One trial of one load worker as values: what it is to do, what it measured, and how long it waits.

Both generators, the light one and the one of real clients, take a `TrialSpec` and make a `TrialResult`.
"""

import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec

from ...capture.traffic import Segments
from ...messages import ConnectionLost
from ...transport.interface import Address
from .virtual_user import VirtualUser
from .workload import NS, Workload

GeneratorName = Literal["clients", "light"]  #: clients as a user has them, or requests encoded beforehand

DRAIN_S = 10.0  # for requests in flight at the end; what is not done by then is counted as unanswered
PROBE_TIMEOUT_S = 2.0  # then, for an answer that tells whether a text that was accepted is late or lost
QUIET_S = 0.5  # without an event: so long after such an answer none is on its way
STEP_TIMEOUT_S = 30.0
DIAL_TIMEOUT_S = 10.0
COLUMNS = ("due", "sent", "answered", "heard")


def installed_version() -> str:
    """The version of chatlab that this process runs, as it was installed; empty where it was not."""
    try:
        return version("chatlab-protocols")
    except PackageNotFoundError:
        return ""


class TrialSpec(msgspec.Struct):
    """One trial to run: which protocol, against which server, under which load."""

    protocol: bytes  #: an Implementation, packed
    address: Address
    workload: Workload
    prefix: str  #: of the accounts' names
    generator: GeneratorName = "clients"
    control: Address | None = None  #: the coordinator's; None: there is none, and the trial starts at once
    secret: bytes = b""  #: proves to the coordinator that this is one of its workers
    path: list[str] = []  #: entries of `sys.path`, where a reader's own modules are
    echo: bool = False  #: the server is a baseline that sends back the bytes it receives
    group: int = 0  #: of the workers that have their time slices together
    interleaved: bool = False  #: it runs in time slices, which the coordinator gives out
    version: str = ""  #: of the chatlab that made this


class TrialResult(msgspec.Struct):
    """What one generator measured. Times are in ns, by the `perf_counter_ns` of its machine."""

    start_ns: int
    due: bytes  #: this and the next three: a column of int64, a time for each request; 0 is never
    sent: bytes
    answered: bytes
    heard: bytes
    operation: bytes  #: a column of int8: indices of OPERATIONS
    cpu_ns: tuple[int, int]  #: processor time of this process at the beginning and the end of the measurement window
    window_ns: tuple[int, int]  #: the measurement window
    end_ns: int  #: when it stopped waiting for what was in flight
    wire: Segments | None  #: from the start to the end of the trial, warm-up included
    slices: tuple[tuple[int, int], ...] = ()  #: (begin, end) of each time slice; the first was the warm-up


class MeasurementWindow:
    """When what is measured begins and ends, and the processor time that the generator had used then."""

    def __init__(self, workload: Workload, start_ns: int):
        self.is_counted = workload.messages is not None  #: it ends with the last answer, not at a time
        self.start_ns = start_ns
        self.begin_ns = start_ns + (0 if self.is_counted else int(workload.warm_up_s * NS))
        self.end_ns = self.begin_ns + int(workload.seconds * NS)
        self.cpu_ns: list[int] = []
        self.window_ns: list[int] = []
        self.slices: list[tuple[int, int]] = []

    def mark(self) -> None:
        """To be called at the beginning and at the end."""
        self.cpu_ns.append(time.process_time_ns())
        self.window_ns.append(time.perf_counter_ns())


class SliceTimes:
    """When a generator had its time slices, and its processor time in those that count: all but the first, the warm-up.

    A slice lasts until all is answered. One in which a request was never answered counts with its planned duration.
    """

    def __init__(self) -> None:
        self.cpu_ns, self.window_ns = [0, 0], [0, 0]  # the second of each grows
        self.slices: list[tuple[int, int]] = []
        self._cpu_ns = self._began_ns = 0

    @property
    def start_ns(self) -> int:
        return self.slices[0][0] if self.slices else 0

    def begin(self) -> int:
        self._cpu_ns, self._began_ns = time.process_time_ns(), time.perf_counter_ns()
        return self._began_ns

    def end(self, is_idle: bool, duration_ns: int) -> None:
        ended_ns = time.perf_counter_ns()
        if self.slices:
            self.cpu_ns[1] += time.process_time_ns() - self._cpu_ns
            self.window_ns[1] += ended_ns - self._began_ns if is_idle else duration_ns
        self.slices.append((self._began_ns, ended_ns))


class ProgressTimeout:
    """A condition that is waited for. Raises `ConnectionLost` where it makes no progress for STEP_TIMEOUT_S."""

    def __init__(self, users: Sequence[VirtualUser], condition: Callable[[], bool]):
        self._users, self._condition = users, condition
        self._progress, self._since_s = -1, 0.0

    def __call__(self) -> bool:
        progress = sum(len(user.due) + user.done for user in self._users)
        if progress != self._progress:
            self._progress, self._since_s = progress, time.monotonic()
        elif time.monotonic() - self._since_s > STEP_TIMEOUT_S:
            raise ConnectionLost(f"no answer within {STEP_TIMEOUT_S:g} s")
        return self._condition()


def count_undelivered(users: Sequence[VirtualUser]) -> int:
    """How many deliveries are missing of texts that the server has accepted."""
    return sum(len(listeners) for user in users for _, listeners in user.undelivered())


def account_names(trial: TrialSpec) -> list[str]:
    """The accounts of a trial's virtual users: all of one length, so that each costs the same."""
    return [f"{trial.prefix}{number:03d}" for number in range(trial.workload.clients)]
