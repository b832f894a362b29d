"""What passed on a connection, as values: pieces of bytes, byte counts, segment counts."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec


class Segments(msgspec.Struct, frozen=True):
    """What passed on a process's connections to one address: bytes, and the TCP segments that carried them."""

    up: int
    down: int
    segments_up: int
    segments_down: int

    def __add__(self, other: "Segments") -> "Segments":
        return Segments(*(a + b for a, b in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other))))

    def __sub__(self, other: "Segments") -> "Segments":
        return Segments(*(a - b for a, b in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other))))


class Chunk(NamedTuple):
    """Bytes that the relay received in one piece. `direction` is "up" (to the server) or "down"."""

    at_s: float  #: since the relay was opened
    connection: int  #: 1 for the first
    direction: str
    data: bytes


@dataclass(frozen=True)
class Traffic:
    """Bytes up (to the server) and down. They add and subtract."""

    up: int = 0
    down: int = 0

    @property
    def total(self) -> int:
        return self.up + self.down

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.up + other.up, self.down + other.down)

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.up - other.up, self.down - other.down)

    def __mul__(self, times: int) -> "Traffic":
        return Traffic(self.up * times, self.down * times)


@dataclass(frozen=True)
class Position:
    """A moment to count from: what each connection had carried by then."""

    carried: tuple[Traffic, ...]
