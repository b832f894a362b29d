"""What a dissection is made of: fields that tile a frame, the frames of a conversation, and values as text.

A field knows its bytes, its name, its meaning, and how many of its bytes are information. Nothing here reads a byte.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex, overload

from msgspec.structs import fields as fields_of

from ..messages import Message, shorten
from .layers import ENCODING, LayerBytes, bytes_by_layer, default_of, describe_cost
from .traffic import Position

if TYPE_CHECKING:
    from ..display.hexview import FrameTable, HexTable


class Field(NamedTuple):
    """Bytes `start` to `end` of a frame and what they say.

    `meaning` is the value as text. `information` counts how many of the bytes are information; the rest is the cost of
    this `layer`.
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

    `direction` is "up" (to the server) or "down", `at_s` the time of its last byte, `offset` its position among all
    bytes of this direction. `stream` is HTTP/2's stream id, or the tag that a frame of ours has.
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

    def __repr__(self) -> str:
        stream = "" if self.stream is None else f" on {self.stream}"
        return f"<{self.kind} {self.direction}{stream}, {len(self.data)} bytes: {self.summary}>"

    def explain(self, varying: bool = False) -> "HexTable":
        """The frame as an annotated hex table; with `varying`, also what differs from run to run, as a token does."""
        from ..display.hexview import HexTable

        return HexTable(self, describe_cost(bytes_by_layer([self])), varying)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return self.explain()._repr_mimebundle_(include, exclude)


class Frames(tuple[Frame, ...]):
    """Frames in the order in which they were complete. Slices and sums of Frames are Frames."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> "Frames": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "Frame | Frames":
        item = super().__getitem__(index)
        return Frames(item) if isinstance(index, slice) else item  # type: ignore[arg-type,return-value]

    def __add__(self, other: Iterable[Frame]) -> "Frames":  # type: ignore[override]  # a tuple adds tuples alone
        return Frames(super().__add__(tuple(other)))

    def where(self, **attributes: object) -> "Frames":
        """The frames whose attributes have these values: `frames.where(direction="up", kind="DATA")`."""
        return Frames(
            frame for frame in self if all(getattr(frame, name) == value for name, value in attributes.items())
        )

    def since(self, start: Position) -> "Frames":
        """The frames that begin after a relay's `position()`.

        What an operation has cost is `frames.since(start).bytes_by_layer()`.
        """
        begins = {
            (connection, way): getattr(traffic, way)
            for connection, traffic in enumerate(start.by_connection, 1)
            for way in ("up", "down")
        }
        return Frames(frame for frame in self if frame.offset >= begins.get((frame.connection, frame.direction), 0))

    def bytes_by_layer(self) -> LayerBytes:
        """What the frames cost, layer by layer."""
        return bytes_by_layer(self)

    def by_exchange(self) -> dict[tuple[int, int | None], "Frames"]:
        """The frames of each request and its reply, by (connection, tag); over HTTP/2 by (connection, stream)."""
        exchanges: dict[tuple[int, int | None], list[Frame]] = {}
        for frame in self:
            exchanges.setdefault((frame.connection, frame.stream), []).append(frame)
        return {key: Frames(frames) for key, frames in exchanges.items()}

    def table(self, times: bool = False) -> "FrameTable":
        """A row for each frame; with `times`, also when each was complete."""
        from ..display.hexview import FrameTable

        return FrameTable(self, describe_cost(bytes_by_layer(self)), times)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


# ---- values as text ---------------------------------------------------------------------------------------------


def describe(name: str, value: object) -> str:
    """What a field's value means, in words."""
    if name == "length" or name.startswith("length of "):
        return f"{value} {'byte follows' if value == 1 else 'bytes follow'}"
    if name.startswith("key of ") and " " in str(value):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "message" and isinstance(value, str):
        return value
    return render_value(value) if isinstance(value, str | bytes) else str(value)


def render_value(value: object, limit: int = 60) -> str:
    """A value on one line, strings and bytes quoted and shortened to `limit` bytes."""
    return shorten(value, limit) if isinstance(value, str | bytes) else repr(value)


def summarize_message(message: Message) -> str:
    """A message on one line: its name, and the fields that differ from their default."""
    kind = type(message).__name__
    values = [(field.name, getattr(message, field.name)) for field in fields_of(type(message))]
    return summary_line(kind, [(name, value) for name, value in values if value != default_of(kind, name)])


def summary_line(name: str, values: Iterable[tuple[str, object]], limit: int = 90) -> str:
    """A name and its named values, as `Send to='bob' text='hi'`, in at most `limit` characters."""
    line = " ".join([name, *(f"{key}={render_value(value, 30)}" for key, value in values)])
    return line if len(line) <= limit else line[: limit - 1] + "…"


# ---- fields and their places ------------------------------------------------------------------------------------


def place_fragments(fields: Iterable[Field], fragments: list[tuple[list[Field], int, int]]) -> None:
    """Put the fields of something that came in fragments where its bytes are.

    A fragment is (the list of fields of its frame, start, end). A field that lies in two fragments becomes a part in
    each.
    """
    fields = sorted(fields, key=lambda field: field[:3])
    at = first = 0
    for frame_fields, start, end in fragments:
        if start == end:
            continue
        stop = at + end - start
        while first < len(fields) and fields[first].end <= at:
            first += 1
        for field in fields[first:]:
            if field.start >= stop:
                break
            frame_fields.append(_part(field, max(field.start, at), min(field.end, stop), start - at))
        at = stop


def _part(field: Field, start: int, end: int, shift: int) -> Field:
    if (start, end) == (field.start, field.end):
        return field._replace(start=start + shift, end=end + shift)
    before = start - field.start  # the information is in the field's first bytes
    known = max(0, min(field.information - before, end - start))
    return field._replace(start=start + shift, end=end + shift, name=f"part of {field.name}", information=known)


def fill_gaps(fields: Iterable[Field], size: int, name: str, layer: str) -> tuple[Field, ...]:
    """The fields in order; bytes that belong to none of them become fields of this name and layer."""
    tiles: list[Field] = []
    at = 0
    for field in sorted(fields, key=lambda field: field.start):
        if field.start > at:
            tiles.append(Field(at, field.start, name, None, "", layer))
        tiles.append(field)
        at = field.end
    if at < size:
        tiles.append(Field(at, size, name, None, "", layer))
    return tuple(tiles)
