"""The machine and the versions with which a number was measured: a number is worth little without them."""

import os
import platform
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Environment:
    """Where and with what a number was measured."""

    python: str
    system: str
    processor: str
    cores: int
    packages: tuple[tuple[str, str], ...]  #: name and version
    pinned: str = ""  #: which process ran on which core; empty where none was pinned
    load: float | None = None  #: runnable processes in the minute before the start; None where the system does not say
    stolen: float | None = None  #: share of the processors' time that the hypervisor took meanwhile; None if unknown

    @property
    def warning(self) -> str:
        """Why the numbers may be disturbed; empty where nothing is known against them."""
        if self.load is None or self.load <= self.cores:
            return ""
        return (
            f"the machine was busy with other things (load {self.load:.1f} on {self.cores} cores): "
            "measure again when it is not"
        )

    def is_equivalent(self, other: "Environment") -> bool:
        """Whether machine, versions and pinning are equal. Load and stolen time change from minute to minute.

        Where the workers are an Executor's, it is not known on which cores they run, and nothing is said of pinning.
        """
        same_pinning = self.pinned == other.pinned or not (self.pinned and other.pinned)
        return self._fixed == other._fixed and same_pinning

    def together_with(self, other: "Environment") -> "Environment":
        """Of two equivalent environments one for both, as disturbed as the more disturbed of them."""
        loads = [load for load in (self.load, other.load) if load is not None]
        shares = [share for share in (self.stolen, other.stolen) if share is not None]
        return replace(self, load=max(loads, default=None), stolen=max(shares, default=None))

    @property
    def _fixed(self) -> tuple[object, ...]:
        return self.python, self.system, self.processor, self.cores, self.packages

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {version}" for name, version in self.packages)
        parts = [f"Python {self.python}", packages, self.system, f"{self.cores} cores", self.pinned]
        if self.load is not None:
            parts.append(f"load {self.load:.1f} before")
        if self.stolen is not None:
            parts.append(f"{self.stolen:.0%} stolen")
        return ", ".join(part for part in parts if part)


PACKAGES = ("grpcio", "protobuf", "msgspec", "uvloop")  # those that carry a chat


def current_environment(pinned: str = "", load: float | None = None, stolen: float | None = None) -> Environment:
    """This machine, this Python, and the versions of `PACKAGES`; the arguments are fields of `Environment`."""
    packages = tuple((name, installed) for name in PACKAGES if (installed := _version(name)))
    system = f"{platform.system()} {platform.release()}"
    return Environment(platform.python_version(), system, _processor(), _core_count(), packages, pinned, load, stolen)


def load_average() -> float | None:
    """The mean number of runnable processes in the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cpu_ticks() -> tuple[int, int] | None:
    """Processor time since the machine started, in ticks: what the hypervisor took, and all. None except on Linux."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
    except OSError:
        return None
    return ticks[7], sum(ticks)


def stolen_share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """The share of the processors' time that the hypervisor took between two readings of `cpu_ticks`."""
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def cores() -> list[int]:
    """The cores that this process may use; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _core_count() -> int:
    return len(cores()) or os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else platform.processor() or platform.machine()
