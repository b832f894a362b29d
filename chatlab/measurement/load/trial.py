"""What a load generator is told, what it tells, and how long it waits: the values of one trial.

Both generators, the light one and the realistic one, take a `TrialSpec` and give a `TrialResult`.
"""

import time
from collections.abc import Callable

import msgspec

from ...capture.traffic import Segments
from ...messages import ConnectionLost
from .virtual_user import VirtualUser
from .workload import NS, Workload

DRAIN_S = 10.0  # for what is on its way at the end; what is not done by then is counted as unanswered
STEP_TIMEOUT_S = 30.0
DIAL_TIMEOUT_S = 10.0


class TrialSpec(msgspec.Struct):
    """One measurement to carry out: which protocol, against which server, under which load."""

    protocol: bytes  #: an Implementation, packed
    address: tuple[str, int]
    workload: Workload
    prefix: str  #: of the accounts' names
    generator: str = "clients"
    control: tuple[str, int] | None = None  #: whom to tell that all is ready, and who says when to start
    path: list[str] = []  #: where a reader's own modules are
    echo: bool = False  #: the server is a null server that says back what it hears
    side: int = 0  #: of several that take turns
    interleaved: bool = False  #: it asks only while it is told to


class TrialResult(msgspec.Struct):
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
    turns: tuple[tuple[int, int], ...] = ()  #: from when to when it had the load; the first turn was the warm-up


class MeasurementWindow:
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


class SliceTimes:
    """When a generator had its turns, and what it used of its processor in those that count: all but the first.

    A turn lasts until all is answered; one in which that never happened counts as long as it was to last.
    """

    def __init__(self):
        self.cpu, self.at = [0, 0], [0, 0]  # the second of each grows
        self.turns: list[tuple[int, int]] = []
        self._cpu_ns = self._began_ns = 0

    @property
    def start_ns(self) -> int:
        return self.turns[0][0] if self.turns else 0

    def begin(self) -> int:
        self._cpu_ns, self._began_ns = time.process_time_ns(), time.perf_counter_ns()
        return self._began_ns

    def end(self, is_quiet: bool, lasts_ns: int) -> None:
        ended_ns = time.perf_counter_ns()
        if self.turns:
            self.cpu[1] += time.process_time_ns() - self._cpu_ns
            self.at[1] += ended_ns - self._began_ns if is_quiet else lasts_ns
        self.turns.append((self._began_ns, ended_ns))


class ProgressTimeout:
    """A condition that is waited for as long as anything moves. Raises `ConnectionLost` when nothing does."""

    def __init__(self, users: list[VirtualUser], condition: Callable[[], bool]):
        self._speakers, self._condition = users, condition
        self._moves, self._since = -1, 0.0

    def __call__(self) -> bool:
        moves = sum(len(user.due) + user.done for user in self._speakers)
        if moves != self._moves:
            self._moves, self._since = moves, time.monotonic()
        elif time.monotonic() - self._since > STEP_TIMEOUT_S:
            raise ConnectionLost(f"no answer within {STEP_TIMEOUT_S:g} s")
        return self._condition()


def names_of(trial: TrialSpec) -> list[str]:
    """The accounts of a trial: all of one length, so that each costs the same."""
    return [f"{trial.prefix}{number:03d}" for number in range(trial.workload.clients)]
