"""What the system says of a process, read from outside: its processor time and its memory. Linux tells; others do not.

Nothing is asked of the process itself, so that looking at it costs it next to nothing.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from .load.control import POLL_S
from .load.workload import NS, Workload

SETTLE_S, SETTLED_NS, SETTLE_LOOKS = 0.0005, 20_000, 40  # a server that uses less of its processor in that time is idle


class MemoryUse(msgspec.Struct, frozen=True):
    """In bytes: what is in memory now, that with what is shared divided among its owners, and the most there was.

    The second is less the more processes of the same programs there are, and so says little beside them.
    """

    resident: int
    proportional: int
    peak: int

    def __add__(self, other: "MemoryUse") -> "MemoryUse":
        """Of two processes; the most that both had, though it may not have been at once."""
        return MemoryUse(self.resident + other.resident, self.proportional + other.proportional, self.peak + other.peak)


class Processes:
    """A server's processes: that one, or, where it only guards a program that is not ours, all that the program is now.

    Such a program may start and end processes at any time, so they are listed anew at each look. A server of ours has no
    children, and is not asked for any: its threads may be many.
    """

    def __init__(self, pid: int | None):
        guards = [] if pid is None else _children(pid)
        self._guards = guards if _descendants(guards) else []
        self._alone = () if pid is None else (pid,)
        self._seen: dict[
            int, tuple[int, int]
        ] = {}  # of the last look: each one's own time, and that of its ended children
        self._is_lost = False

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(_descendants(self._guards)) if self._guards else self._alone

    def cpu_ns(self) -> int | None:
        """The processor time of all there are, and of those that have ended, which the system adds to their parents' when these
        have waited for them, to 0.02 s. None, from then on, where one has ended that nobody waited for: its time is lost.

        What starts and ends between two looks counts if it is waited for, and otherwise nobody sees it.
        """
        if not self._guards:
            return of_all(cpu_ns, self._alone)
        there = {pid: (cpu_ns(pid), ended_children_ns(pid)) for pid in self.pids}
        there = {pid: times for pid, times in there.items() if None not in times}
        self._is_lost = self._is_lost or self._has_lost(there)
        self._seen = there
        return None if self._is_lost or not there else sum(map(sum, there.values()))

    def _has_lost(self, there: dict[int, tuple[int, int]]) -> bool:
        """Whether those that have ended since the last look had more time than their parents were told of."""
        gone = [sum(times) for pid, times in self._seen.items() if pid not in there]
        stayed = [pid for pid in self._seen if pid in there]
        told = sum(there[pid][1] - self._seen[pid][1] for pid in stayed)
        return sum(gone) > told + 2 * _tick_ns() * min(len(gone), len(stayed))

    def memory(self) -> MemoryUse | None:
        return of_all(memory_of, self.pids, self._may_end)

    def resident(self) -> int | None:
        return of_all(resident_of, self.pids, self._may_end)

    @property
    def _may_end(self) -> bool:
        return bool(self._guards)


def _descendants(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        children = _children(pid)
        found += children + _descendants(children)
    return found


def _children(pid: int) -> list[int]:
    """The processes that it has started and that live; none where the system does not tell."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, listed.read_text().split())
        except OSError:
            pass  # that thread has ended meanwhile
    return found


def of_all(read: Callable[[int], "int | MemoryUse | None"], pids: tuple[int, ...], may_end: bool = False):
    """The sum of what is read of each, or None where there is none or the system does not tell of one: unless that one
    `may_end`, and then has nothing any more."""
    values = [value for pid in pids if (value := read(pid)) is not None or not may_end]
    if not values or None in values:
        return None
    return sum(values[1:], values[0])


def cpu_ns(pid: int | None) -> int | None:
    """The processor time that a process has used, all its threads, or None where the system does not tell."""
    if pid is None or not hasattr(time, "clock_gettime_ns") or os.uname().sysname != "Linux":
        return None
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)  # the clock id of a process: see clock_getcpuclockid(3)
    except OSError:
        return None  # it is gone


def ended_children_ns(pid: int) -> int | None:
    """The processor time of the children that it has waited for, and of theirs, or None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()  # its name is in brackets, and may hold anything
    except OSError:
        return None
    return (int(fields[13]) + int(fields[14])) * _tick_ns()


def _tick_ns() -> int:
    return 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def memory_of(pid: int | None) -> MemoryUse | None:
    """The memory of a process, or None where the system does not tell."""
    if pid is None:
        return None
    try:
        with (
            open(f"/proc/{pid}/status", encoding="ascii") as status,
            open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as maps,
        ):
            told = _kilobytes(status) | _kilobytes(maps)
    except OSError:
        return None
    if "VmRSS" not in told:
        return None  # it has ended, and nobody has waited for it
    return MemoryUse(told["VmRSS"] << 10, told.get("Pss", told["VmRSS"]) << 10, told["VmHWM"] << 10)


def resident_of(pid: int | None) -> int | None:
    """The bytes of a process that are in memory now, or None where the system does not tell. `memory_of` says more and
    costs more: this may be asked ten times a second."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


class ResourceSeries(msgspec.Struct, frozen=True):
    """A process over time: readings, `at_s` seconds after the start of the load, warm-up and all. Of a process that took turns
    with others there is one after each turn; then `at_s` counts its own turns alone, from the end of the warm-up.

    `cpu_s` is the processor time of all its threads since the first reading, `resident` the bytes it has in memory.

    >>> ResourceSeries((0.0, 0.1, 0.3), (0.0, 0.05, 0.15), (4096, 4096, 8192)).busy
    (0.5, 0.5)
    """

    at_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    resident: tuple[int, ...]

    def __len__(self):
        return len(self.at_s)

    @property
    def busy(self) -> tuple[float, ...]:
        """The share of a processor that it used from each reading to the next."""
        cpu, at = zip(self.cpu_s, self.cpu_s[1:]), zip(self.at_s, self.at_s[1:])
        return tuple((after - before) / (then - now) for (before, after), (now, then) in zip(cpu, at))

    def to_frame(self):
        """A pandas DataFrame: a row for each reading; `busy` is since the one before."""
        import pandas

        columns = {"at_s": self.at_s, "cpu_s": self.cpu_s, "resident": self.resident}
        return pandas.DataFrame(columns).assign(busy=[None, *self.busy][: len(self)])


def _kilobytes(lines) -> dict[str, int]:
    return {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in lines)
        if rest.endswith(" kB\n")
    }


SAMPLE_EVERY_NS = 90_000_000  # a little less than two looks: ten readings a second


class ServerMonitor:
    """Looks at the server from outside while the load runs: ten times a second, and at the start and the end of what counts."""

    def __init__(self, pid: int | None, workload: Workload):
        self._server, self._workload = Processes(pid), workload
        self.start_ns = 0
        self.readings: list[tuple[int, int | None]] = []  #: (ns, the server's processor time), the first and the last
        self.memory: MemoryUse | None = None
        self._course: list[tuple[int, int | None, int | None]] = []  # (ns, processor time, bytes in memory)

    def __call__(self, start_ns: int, over: Callable[[], bool]) -> None:
        self.start_ns = start_ns
        load = self._workload
        if load.messages is None:
            self._sample_until(start_ns + int(load.warm_up_s * NS), over)
            self._read()
            looks = len(self._course)
            self._sample_until(start_ns + int((load.warm_up_s + load.seconds) * NS), over)
            self._read(is_late=over() and len(self._course) > looks)
        else:
            self._read()
        while not over():
            self._sample_until(time.perf_counter_ns() + int(POLL_S * NS), over)
        if load.messages is not None:
            self._read()
        self.sample_memory()

    def wait_until_idle(self) -> None:
        """Wait until the server does nothing more: what nobody waits for, such as the answer to an acknowledgement, is still its own."""
        before = self._server.cpu_ns()
        for _ in range(SETTLE_LOOKS):
            time.sleep(SETTLE_S)
            now = self._server.cpu_ns()
            if None in (before, now) or now - before < SETTLED_NS:
                break
            before = now

    def sample_after_slice(self, turn_ns: int) -> None:
        """Its turn is over, which took so long; the first time none was. Its clock stands still while others have theirs."""
        self._look(turn_ns + (self._course[-1][0] if self._course else 0))
        self.readings = [self._course[0][:2], self._course[-1][:2]]

    def sample_memory(self) -> None:
        self.memory = self._server.memory()

    @property
    def resources(self) -> ResourceSeries | None:
        """What was seen over time; None where the system does not tell."""
        if not self._course or any(None in each for each in self._course):
            return None
        first_cpu = self._course[0][1]
        seen = [((at - self.start_ns) / NS, (cpu - first_cpu) / NS, resident) for at, cpu, resident in self._course]
        return ResourceSeries(*zip(*seen))

    def _read(self, is_late: bool = False) -> None:
        """Too late, when the load is over and the clients take their leave: then the last look counts."""
        if not is_late:
            self._look()
        self.readings.append(self._course[-1][:2])

    def _look(self, at_ns: int | None = None) -> None:
        at_ns = time.perf_counter_ns() if at_ns is None else at_ns
        self._course.append((at_ns, self._server.cpu_ns(), self._server.resident()))

    def _sample_until(self, at_ns: int, over: Callable[[], bool]) -> None:
        while (now := time.perf_counter_ns()) < at_ns and not over():
            if now >= self.start_ns and (not self._course or now - self._course[-1][0] >= SAMPLE_EVERY_NS):
                self._look()
            time.sleep(min(at_ns - now, int(POLL_S * NS)) / NS)
