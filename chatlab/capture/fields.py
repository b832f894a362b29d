"""What a dissection is made of: fields that tile a frame, frames of a conversation, and values in words.

A field knows its bytes, its name, its meaning and what of it is information. Nothing here reads a byte.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import fields as fields_of

from ..messages import Message, shorten
from .layers import ENCODING, LayerBytes, bytes_by_layer, cost_in_words, default_of
from .traffic import Position


class Field(NamedTuple):
    """Bytes `start` to `end` of a frame and what they say.

    `meaning` is the value in words. Of these bytes so many are `information`; the rest is the price at this `layer`.
    """

    start: int
    end: int
    name: str
    value: object = None
    meaning: str = ""
    layer: str = ENCODING
    information: int = 0

    @property
    def size(self) -> int:
        return self.end - self.start


class Frame(NamedTuple):
    """One frame of a conversation: where it was found, what it is, and the fields that tile its bytes.

    `direction` is "up" (to the server) or "down", `at_s` the time of its last byte, `offset` its place among all bytes
    of this direction. `stream` is HTTP/2's stream, or the tag that a frame of ours carries.
    """

    at_s: float
    connection: int
    direction: str
    protocol: str
    kind: str
    offset: int
    data: bytes
    fields: tuple[Field, ...]
    summary: str = ""
    stream: int | None = None

    def __repr__(self):
        stream = "" if self.stream is None else f" on {self.stream}"
        return f"<{self.kind} {self.direction}{stream}, {len(self.data)} bytes: {self.summary}>"

    def explain(self, varying: bool = False):
        """The frame as an annotated hex table. With `varying` also what differs from run to run, as ports do."""
        from ..display.hexview import HexTable

        return HexTable(self, cost_in_words(bytes_by_layer([self])), varying)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.explain()._repr_mimebundle_(include, exclude)


class Frames(tuple):
    """Frames in the order in which they were complete. Slices and sums of them are Frames again."""

    def __getitem__(self, index):
        found = super().__getitem__(index)
        return Frames(found) if isinstance(index, slice) else found

    def __add__(self, other):
        return Frames(super().__add__(tuple(other)))

    def where(self, **wanted) -> "Frames":
        """Those whose attributes have these values: `frames.where(direction="up", kind="DATA")`."""
        return Frames(frame for frame in self if all(getattr(frame, name) == value for name, value in wanted.items()))

    def since(self, start: Position) -> "Frames":
        """Those that begin after a relay's `position()`: an operation costs `frames.since(start).bytes_by_layer()`."""
        begun = {
            (connection, way): getattr(traffic, way)
            for connection, traffic in enumerate(start.by_connection, 1)
            for way in ("up", "down")
        }
        return Frames(frame for frame in self if frame.offset >= begun.get((frame.connection, frame.direction), 0))

    def bytes_by_layer(self) -> LayerBytes:
        """What they cost, layer by layer."""
        return bytes_by_layer(self)

    def by_exchange(self) -> dict[tuple[int, int | None], "Frames"]:
        """The frames of each question and its answer, by (connection, tag); over HTTP/2 by (connection, stream)."""
        exchanges: dict[tuple[int, int | None], list[Frame]] = {}
        for frame in self:
            exchanges.setdefault((frame.connection, frame.stream), []).append(frame)
        return {key: Frames(found) for key, found in exchanges.items()}

    def table(self, times: bool = False):
        """A row for each frame. With `times` the plain text tells them too."""
        from ..display.hexview import FrameTable

        return FrameTable(self, cost_in_words(bytes_by_layer(self)), times)

    def __repr__(self):
        return repr(self.table())

    def _repr_html_(self):
        return self.table()._repr_html_()


def in_words(name: str, value: object) -> str:
    """What a field's value means, as a person would say it."""
    if name == "length" or name.startswith("length of "):
        return f"{value} {'byte follows' if value == 1 else 'bytes follow'}"
    if name.startswith("key of ") and " " in str(value):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "message" and isinstance(value, str):
        return value
    return shown(value) if isinstance(value, (str, bytes)) else str(value)


def shown(value: object, limit: int = 60) -> str:
    """A value as a person reads it, on one line and not too long."""
    return shorten(value, limit) if isinstance(value, (str, bytes)) else repr(value)


def said(message: Message, limit: int = 90) -> str:
    """A message in a line: its name, and the fields that have not their default."""
    pairs = [(f.name, getattr(message, f.name)) for f in fields_of(type(message))]
    return summed_up(
        type(message).__name__, [pair for pair in pairs if pair[1] != default_of(type(message).__name__, pair[0])]
    )


def summed_up(name: str, pairs: Iterable[tuple[str, object]], limit: int = 90) -> str:
    line = " ".join([name, *(f"{key}={shown(value, 30)}" for key, value in pairs)])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def lay(fields: Iterable[Field], pieces: list[tuple[list[Field], int, int]]) -> None:
    """Put the fields of something that came in pieces where its bytes are.

    A piece is (the fields of its frame, start, end). A field that lies in two pieces becomes a part in each.
    """
    fields = sorted(fields)
    at = first = 0
    for home, start, end in pieces:
        if start == end:
            continue
        stop = at + end - start
        while first < len(fields) and fields[first].end <= at:
            first += 1
        for field in fields[first:]:
            if field.start >= stop:
                break
            home.append(_part(field, max(field.start, at), min(field.end, stop), start - at))
        at = stop


def _part(field: Field, start: int, end: int, shift: int) -> Field:
    if (start, end) == (field.start, field.end):
        return field._replace(start=start + shift, end=end + shift)
    before = start - field.start  # the information is in the first bytes, as far as it reaches
    known = max(0, min(field.information - before, end - start))
    return field._replace(start=start + shift, end=end + shift, name=f"part of {field.name}", information=known)


def tiled(fields: Iterable[Field], size: int, name: str, layer: str) -> tuple[Field, ...]:
    """The fields in order, and what none of them holds under this name."""
    whole, at = [], 0
    for field in sorted(fields, key=lambda field: field.start):
        if field.start > at:
            whole.append(Field(at, field.start, name, None, "", layer))
        whole.append(field)
        at = field.end
    if at < size:
        whole.append(Field(at, size, name, None, "", layer))
    return tuple(whole)
