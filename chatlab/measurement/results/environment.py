"""What the machine says about itself: kept with every number, because the number is worth little without it."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Environment:
    """Where and with what a number was found."""

    python: str
    system: str
    processor: str
    cores: int
    packages: tuple[tuple[str, str], ...]  #: name and version
    pinned: str = ""  #: who ran on which core, or empty
    load: float | None = None  #: runnable processes before the start, where the system tells
    stolen: float | None = None  #: share of the processors' time that the host took meanwhile

    @property
    def warning(self) -> str:
        if self.load is None or self.load <= self.cores:
            return ""
        return f"the machine was busy with other things (load {self.load:.1f} on {self.cores} cores): measure again when it is not"

    def __str__(self):
        packages = ", ".join(f"{name} {version}" for name, version in self.packages)
        parts = [f"Python {self.python}", packages, self.system, f"{self.cores} cores", self.pinned]
        if self.load is not None:
            parts.append(f"load {self.load:.1f} before")
        if self.stolen is not None:
            parts.append(f"{self.stolen:.0%} stolen")
        return ", ".join(part for part in parts if part)


PACKAGES = ("grpcio", "protobuf", "msgspec", "uvloop")


def environment(pinned: str = "", load: float | None = None, stolen: float | None = None) -> Environment:
    """This machine, this Python, and the packages that carry a chat."""
    packages = tuple((name, found) for name in PACKAGES if (found := _version(name)))
    system = f"{platform.system()} {platform.release()}"
    return Environment(platform.python_version(), system, _processor(), _cores(), packages, pinned, load, stolen)


def load_average() -> float | None:
    """How many processes were runnable in the last minute, where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def stolen_and_all() -> tuple[int, int] | None:
    """The processors' time that the host took for somebody else, and all of it, in ticks since the start; Linux only."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
    except OSError:
        return None
    return ticks[7], sum(ticks)


def stolen_since(before: tuple[int, int] | None) -> float | None:
    """The share of the processors' time that was stolen since then."""
    now = stolen_and_all()
    if before is None or now is None or now[1] == before[1]:
        return None
    return (now[0] - before[0]) / (now[1] - before[1])


def cores() -> list[int]:
    """The processors that this process may use, or none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _cores() -> int:
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
