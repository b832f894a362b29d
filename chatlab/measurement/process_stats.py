"""A server process's processor time and memory, read from outside: Linux says, and other systems give None.

Nothing is asked of the process itself, so that observing it costs it next to nothing.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from .load.control import POLL_S
from .load.workload import NS, Workload

if TYPE_CHECKING:
    import pandas

#: A server is idle that uses less than `IDLE_NS` of its processor in `IDLE_WAIT_S`; it is waited for so many times.
IDLE_WAIT_S, IDLE_NS, IDLE_WAITS = 0.0005, 20_000, 40
SAMPLE_EVERY_NS = 90_000_000  # a little less than two looks: ten readings a second


class MemoryUse(msgspec.Struct, frozen=True):
    """RSS, PSS and peak RSS, in bytes.

    PSS divides what is shared among its owners: it is less the more processes of the same programs there are, and so
    says little when servers run side by side.
    """

    resident: int
    proportional: int
    peak: int

    def __add__(self, other: "MemoryUse") -> "MemoryUse":
        """Of two processes together. The sum of their peaks is an upper bound: they may not have had them at once."""
        return MemoryUse(self.resident + other.resident, self.proportional + other.proportional, self.peak + other.peak)


class Processes:
    """The processes of a server: that one, or, where it only supervises an external program, all of the program's.

    An external program may start and end processes at any time, so they are listed anew at each look. A server of ours
    starts none and is not asked for any, because that costs a look at each of its threads.
    """

    def __init__(self, pid: int | None) -> None:
        supervised = [] if pid is None else _children(pid)
        self._supervisors = supervised if _descendants(supervised) else []
        self._alone = () if pid is None else (pid,)
        #: Of the last look: the processor time of each process, and that of its ended children.
        self._last_seen: dict[int, tuple[int, int]] = {}
        self._has_lost_time = False

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(_descendants(self._supervisors)) if self._supervisors else self._alone

    def cpu_ns(self) -> int | None:
        """CPU time of all live processes plus that of reaped ones, which the kernel adds to their parent's to 20 ms.

        Returns None for good once a process has ended unreaped, because its time cannot be recovered. What starts and
        ends between two looks counts if it was reaped, and is not seen otherwise.
        """
        if not self._supervisors:
            return total_of(cpu_ns, self._alone)
        seen: dict[int, tuple[int, int]] = {}
        for pid in self.pids:
            own, ended = cpu_ns(pid), ended_children_ns(pid)
            if own is not None and ended is not None:
                seen[pid] = own, ended
        self._has_lost_time = self._has_lost_time or self._loses_time(seen)
        self._last_seen = seen
        return None if self._has_lost_time or not seen else sum(map(sum, seen.values()))

    def _loses_time(self, seen: dict[int, tuple[int, int]]) -> bool:
        """Whether the processes that ended since the last look had used more than was added to their parents."""
        ended = [sum(times) for pid, times in self._last_seen.items() if pid not in seen]
        stayed = [pid for pid in self._last_seen if pid in seen]
        added = sum(seen[pid][1] - self._last_seen[pid][1] for pid in stayed)
        return sum(ended) > added + 2 * _tick_ns() * min(len(ended), len(stayed))

    def memory(self) -> MemoryUse | None:
        return total_of(memory_of, self.pids, self._may_end)

    def resident(self) -> int | None:
        """RSS in bytes. Cheaper than `memory`: it may be asked ten times a second."""
        return total_of(resident_of, self.pids, self._may_end)

    @property
    def _may_end(self) -> bool:
        return bool(self._supervisors)


def _descendants(pids: Iterable[int]) -> list[int]:
    descendants: list[int] = []
    for pid in pids:
        children = _children(pid)
        descendants += children + _descendants(children)
    return descendants


def _children(pid: int) -> list[int]:
    """The live processes that it has started; empty where the system does not say."""
    children: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, listed.read_text().split())
        except OSError:
            pass  # that thread has ended meanwhile
    return children


Amount = TypeVar("Amount", int, MemoryUse)


def total_of(read: Callable[[int], Amount | None], pids: tuple[int, ...], may_end: bool = False) -> Amount | None:
    """The sum of what is read of each process, or None where there is none or one cannot be read.

    Where processes `may_end`, one that cannot be read has ended, and is left out.
    """
    amounts = [amount for pid in pids if (amount := read(pid)) is not None]
    if not amounts or (len(amounts) < len(pids) and not may_end):
        return None
    total = amounts[0]
    for amount in amounts[1:]:
        total = total + amount
    return total


def cpu_ns(pid: int | None) -> int | None:
    """The processor time that all threads of a process have used; None where the system does not say."""
    if pid is None or not hasattr(time, "clock_gettime_ns") or os.uname().sysname != "Linux":
        return None
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)  # the clock id of a process: see clock_getcpuclockid(3)
    except OSError:
        return None  # it has ended


def ended_children_ns(pid: int) -> int | None:
    """The processor time of a process's reaped children, and of theirs; None where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()  # its name is in brackets, and may hold anything
    except OSError:
        return None
    return (int(fields[13]) + int(fields[14])) * _tick_ns()


def _tick_ns() -> int:
    return 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def memory_of(pid: int | None) -> MemoryUse | None:
    """The memory of a process; None where the system does not say."""
    if pid is None:
        return None
    try:
        with (
            open(f"/proc/{pid}/status", encoding="ascii") as status,
            open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as maps,
        ):
            kilobytes = _kilobytes(status) | _kilobytes(maps)
    except OSError:
        return None
    if "VmRSS" not in kilobytes:
        return None  # it has ended, and was not reaped
    resident = kilobytes["VmRSS"]
    return MemoryUse(resident << 10, kilobytes.get("Pss", resident) << 10, kilobytes["VmHWM"] << 10)


def resident_of(pid: int | None) -> int | None:
    """The RSS of a process, in bytes; None where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _kilobytes(lines: Iterable[str]) -> dict[str, int]:
    return {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in lines)
        if rest.endswith(" kB\n")
    }


class ResourceSeries(msgspec.Struct, frozen=True):
    """A process over time: its processor time and memory at each reading.

    `at_s` is in seconds after the start of the load, warm-up included. Of a process whose load came in time slices
    there is a reading after each slice; then `at_s` counts its own slices alone, from the end of the warm-up. `cpu_s`
    is the processor time of all its threads since the first reading, `resident` its RSS in bytes.

    >>> ResourceSeries((0.0, 0.1, 0.3), (0.0, 0.05, 0.15), (4096, 4096, 8192)).busy
    (0.5, 0.5)
    """

    at_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    resident: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def busy(self) -> tuple[float, ...]:
        """The share of one processor that it used from each reading to the next."""
        cpu, at = zip(self.cpu_s, self.cpu_s[1:]), zip(self.at_s, self.at_s[1:])
        return tuple((after - before) / (end - begin) for (before, after), (begin, end) in zip(cpu, at))

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each reading; `busy` is since the one before."""
        import pandas

        columns = {"at_s": self.at_s, "cpu_s": self.cpu_s, "resident": self.resident}
        return pandas.DataFrame(columns).assign(busy=[None, *self.busy][: len(self)])


class ServerMonitor:
    """Reads a server's processor time and memory while the load runs.

    Called as `run_parallel` calls it, it reads at the start and the end of what is counted and ten times a second
    between. With interleaved servers it reads when it is told that a time slice is over.
    """

    def __init__(self, pid: int | None, workload: Workload) -> None:
        self._server, self._workload = Processes(pid), workload
        self.start_ns = 0
        #: (ns, the server's processor time in ns): the first and the last reading of what is counted.
        self.readings: list[tuple[int, int | None]] = []
        self.memory: MemoryUse | None = None
        self._series: list[tuple[int, int | None, int | None]] = []  # (ns, processor time, RSS)

    def __call__(self, start_ns: int, is_over: Callable[[], bool]) -> None:
        """Read until the load `is_over`; it started at `start_ns`."""
        self.start_ns = start_ns
        load = self._workload
        if load.messages is None:
            self._sample_until(start_ns + int(load.warm_up_s * NS), is_over)
            self._add_reading()
            count = len(self._series)
            self._sample_until(start_ns + int((load.warm_up_s + load.seconds) * NS), is_over)
            self._add_reading(is_late=is_over() and len(self._series) > count)
        else:
            self._add_reading()
        while not is_over():
            self._sample_until(time.perf_counter_ns() + int(POLL_S * NS), is_over)
        if load.messages is not None:
            self._add_reading()
        self.sample_memory()

    def wait_until_idle(self) -> None:
        """Wait until the server does nothing more: answers that no client waits for are this server's work, too."""
        before = self._server.cpu_ns()
        for _ in range(IDLE_WAITS):
            time.sleep(IDLE_WAIT_S)
            now = self._server.cpu_ns()
            if before is None or now is None or now - before < IDLE_NS:
                break
            before = now

    def sample_after_slice(self, lasted_ns: int) -> None:
        """Read after a time slice of this length, or with 0 before the first; between slices the clock stands still."""
        self._sample(lasted_ns + (self._series[-1][0] if self._series else 0))
        self.readings = [self._series[0][:2], self._series[-1][:2]]

    def sample_memory(self) -> None:
        self.memory = self._server.memory()

    @property
    def resources(self) -> ResourceSeries | None:
        """All readings; None where the system does not say."""
        at_s, cpu_s, resident = [], [], []
        first_cpu = self._series[0][1] if self._series else None
        for at, cpu, memory in self._series:
            if first_cpu is None or cpu is None or memory is None:
                return None
            at_s.append((at - self.start_ns) / NS)
            cpu_s.append((cpu - first_cpu) / NS)
            resident.append(memory)
        return ResourceSeries(tuple(at_s), tuple(cpu_s), tuple(resident)) if at_s else None

    def _add_reading(self, is_late: bool = False) -> None:
        """Add to `readings`. When the load is over already and the clients are leaving, it is too late to read anew."""
        if not is_late:
            self._sample()
        self.readings.append(self._series[-1][:2])

    def _sample(self, at_ns: int | None = None) -> None:
        at_ns = time.perf_counter_ns() if at_ns is None else at_ns
        self._series.append((at_ns, self._server.cpu_ns(), self._server.resident()))

    def _sample_until(self, at_ns: int, is_over: Callable[[], bool]) -> None:
        while (now := time.perf_counter_ns()) < at_ns and not is_over():
            if now >= self.start_ns and (not self._series or now - self._series[-1][0] >= SAMPLE_EVERY_NS):
                self._sample()
            time.sleep(min(at_ns - now, int(POLL_S * NS)) / NS)
