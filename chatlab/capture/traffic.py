"""Amounts of traffic as values: chunks of bytes, byte counts, segment counts, and positions to count from."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec


class Segments(msgspec.Struct, frozen=True):
    """Bytes between one process and one address, and the TCP segments that held them. They add and subtract."""

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

    at_s: float  #: seconds since the relay was opened
    connection: int  #: 1 is the first
    direction: str
    data: bytes


#: A chunk as functions take it: a `Chunk`, or a plain tuple of its four values.
AnyChunk = Chunk | tuple[float, int, str, bytes]


@dataclass(frozen=True)
class Traffic:
    """Bytes up (to the server) and down. They add and subtract, and multiply by a number."""

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
    """A position in a relay's traffic, to count from: the bytes that each connection had transferred by then."""

    by_connection: tuple[Traffic, ...]
