r"""Every byte belongs to a named field, and every field to a layer: what a frame says, and what each part of it costs.

Bytes go in and frames come out; no socket is opened and no clock is read. A codec that offers `spans` is shown field by
field, one that does not in one piece. HTTP/2 is read in `http2.py`. What cannot be read is shown too, as what it is.

>>> from chatlab.codecs import TextCodec
>>> for field in dissect(TextCodec(), b"#7|sent|3|yes\n"):
...     print(field.start, field.end, field.name, "=", field.meaning)
0 1 mark of tag = '#'
1 2 tag = 7
2 3 separator after tag = '|'
3 7 message = Sent
7 8 separator = '|'
8 9 number = 3
9 10 separator = '|'
10 13 delivered = yes
13 14 line end = '\n'
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from msgspec.structs import fields as fields_of

from . import messages
from .costs import ENCODING, FRAMING, Account, account, default_of, information, information_of
from .messages import Message, ProtocolError, cut


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
        from .hexview import HexTable

        return HexTable(self, varying)

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

    def since(self, mark) -> "Frames":
        """Those that begin after a relay's `mark()`: what an operation has cost is `frames.since(mark).account()`."""
        begun = {(n, way): getattr(there, way) for n, there in enumerate(mark.carried, 1) for way in ("up", "down")}
        return Frames(frame for frame in self if frame.offset >= begun.get((frame.connection, frame.direction), 0))

    def account(self) -> Account:
        """What they cost, layer by layer."""
        return account(self)

    def by_exchange(self) -> dict[tuple[int, int | None], "Frames"]:
        """The frames of each question and its answer, by (connection, tag); over HTTP/2 by (connection, stream)."""
        exchanges: dict[tuple[int, int | None], list[Frame]] = {}
        for frame in self:
            exchanges.setdefault((frame.connection, frame.stream), []).append(frame)
        return {key: Frames(found) for key, found in exchanges.items()}

    def table(self, times: bool = False):
        """A row for each frame. With `times` the plain text tells them too."""
        from .hexview import FrameTable

        return FrameTable(self, times)

    def __repr__(self):
        return repr(self.table())

    def _repr_html_(self):
        return self.table()._repr_html_()


# ---- one frame --------------------------------------------------------------------------------------------------


def dissect(codec, frame: bytes) -> tuple[Field, ...]:
    """The fields of one whole frame of a codec, in order and without gaps. Raises `ProtocolError` like its decoder."""
    _, message = codec.decode(frame)
    if not hasattr(codec, "spans"):
        known = min(information(message), len(frame))
        return (Field(0, len(frame), "frame", message, said(message), ENCODING, known),)
    spans = codec.spans(frame)
    fields = [_field(type(message).__name__, *span) for span in spans]
    # A yes that has no bytes of its own is a bit of those that say which message it is.
    inside = [name for name in _flags_of(type(message)) - {span[2] for span in spans} if getattr(message, name)]
    if inside:
        fields = [f._replace(meaning=f"{f.meaning}, {inside[0]}") if f.name == "message" else f for f in fields]
    return tiled(fields, len(frame), "without a name", ENCODING)


def spelled(codec, message: Message, tag: int | None = None) -> Frame:
    """The frame that says a message, taken apart; it never travels, it is there to be looked at.

    >>> from chatlab.codecs import TextCodec
    >>> spelled(TextCodec(), messages.Send("bob", "hi"), tag=7)
    <Send up on 7, 12 bytes: Send to='bob' text='hi'>
    """
    codec = codec() if isinstance(codec, type) else codec
    raw = codec.encode(tag, message)
    direction = "up" if isinstance(message, messages.Request) else "down"
    return Frame(0.0, 1, direction, codec.name, type(message).__name__, 0, raw, dissect(codec, raw), said(message), tag)


@cache
def _flags_of(kind: type[Message]) -> set[str]:
    return {field.name for field in fields_of(kind) if field.type is bool}


def _field(kind: str, start: int, end: int, name: str, value: object) -> Field:
    # A tag finds the asker and a length finds the end: with them and the line end a stream becomes messages.
    frames = name in ("length", "which", "line end") or name.split()[-1:] == ["tag"]
    known = min(end - start, information_of(kind, name, value))
    return Field(start, end, name, value, in_words(name, value), FRAMING if frames else ENCODING, known)


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
    return cut(value, limit) if isinstance(value, (str, bytes)) else repr(value)


def said(message: Message, limit: int = 90) -> str:
    """A message in a line: its name, and the fields that have not their default."""
    pairs = [(f.name, getattr(message, f.name)) for f in fields_of(type(message))]
    return summed_up(type(message).__name__, [pair for pair in pairs if pair[1] != default_of(type(message).__name__, pair[0])])


def summed_up(name: str, pairs: Iterable[tuple[str, object]], limit: int = 90) -> str:
    line = " ".join([name, *(f"{key}={shown(value, 30)}" for key, value in pairs)])
    return line if len(line) <= limit else line[: limit - 1] + "…"


# ---- a tape -----------------------------------------------------------------------------------------------------


def dissect_tape(tape: Iterable, protocol) -> Frames:
    """All frames of a tape, whose chunks are (at_s, connection, direction, data).

    `protocol` is a codec, an Implementation, or "grpc" for anything over HTTP/2. What is neither spoken with a codec nor
    HTTP/2 is shown chunk by chunk. Nothing is raised, whatever the bytes.
    """
    codec = getattr(protocol, "codec", protocol)
    is_codec = hasattr(codec, "frame_end") and not hasattr(codec, "serve")
    if not (is_codec or hasattr(codec, "serve") or codec in ("grpc", "grpc-stream", "http2")):
        raise TypeError(f'a tape is read with a codec, as an Implementation has it, or as "grpc", not with {cut(codec)}')
    conversations: dict[int, list] = {}
    for chunk in tape:
        conversations.setdefault(chunk[1], []).append(chunk)
    frames = []
    for connection, chunks in conversations.items():
        conversation = _Spoken(codec, connection) if is_codec else _unspoken(codec, connection, chunks)
        for at_s, _, direction, data in chunks:
            conversation.feed(at_s, direction, data)
        frames += conversation.finish()
    return Frames(sorted(frames, key=lambda frame: frame.at_s))


def _unspoken(implementation, connection: int, chunks: list):
    """For a connection of which only the Implementation is known: HTTP/2, if it looks like it."""
    from .http2 import PREFACE, Conversation

    up = b"".join([data for _, _, direction, data in chunks if direction == "up"])[: len(PREFACE)]
    if isinstance(implementation, str) or up and PREFACE.startswith(up):
        return Conversation(connection)
    return _Unknown(implementation.name, connection)


class _Unknown:
    """One connection in a protocol that we cannot read."""

    def __init__(self, name: str, connection: int):
        self.name, self.connection = name, connection
        self.frames: list[Frame] = []
        self.offsets = {"up": 0, "down": 0}

    def feed(self, at_s: float, direction: str, data: bytes) -> None:
        field = Field(0, len(data), "bytes", data, shown(data))
        where = (at_s, self.connection, direction, self.name, "chunk", self.offsets[direction])
        self.frames.append(Frame(*where, data, (field,) if data else (), shown(data)))
        self.offsets[direction] += len(data)

    def finish(self) -> list[Frame]:
        return self.frames


class _Spoken:
    """One connection on which both sides speak with the same codec."""

    def __init__(self, codec, connection: int):
        self.codec, self.connection = codec, connection
        self.frames: list[Frame] = []
        self.sides = {direction: _Side(codec) for direction in ("up", "down")}
        self.sides["up"].preface = getattr(codec, "preface", b"")

    def feed(self, at_s: float, direction: str, data: bytes) -> None:
        side = self.sides[direction]
        side.at_s = at_s
        side.held += data
        for kind, raw, fields, summary, tag in side.take():
            self.note(direction, side, kind, raw, fields, summary, tag)

    def finish(self) -> list[Frame]:
        for direction, side in self.sides.items():
            if side.held:
                kind = "unreadable" if side.error else "unfinished"
                field = Field(0, len(side.held), kind, None, side.error or f"{len(side.held)} bytes of a frame", FRAMING)
                self.note(direction, side, kind, bytes(side.held), (field,), field.meaning, None)
        return self.frames

    def note(self, direction: str, side: "_Side", kind: str, raw: bytes, fields, summary: str, tag) -> None:
        where = (side.at_s, self.connection, direction, self.codec.name, kind, side.offset)
        self.frames.append(Frame(*where, raw, fields, summary, tag))
        side.offset += len(raw)


class _Side:
    """One direction: the bytes that are no frame yet."""

    def __init__(self, codec):
        self.codec = codec
        self.held, self.offset, self.at_s = bytearray(), 0, 0.0
        self.preface, self.error, self.searched = b"", "", 0

    def take(self):
        """The frames that are complete: (kind, bytes, fields, summary, tag)."""
        if self.preface and not self.error:
            yield from self.take_preface()
        start = 0
        while start < len(self.held) and not self.preface and not self.error:
            try:
                end = self.codec.frame_end(self.held, start, max(start, self.searched))
            except ProtocolError as error:
                self.error = error.text
                break
            if not start < end <= len(self.held):
                break
            yield self.read(bytes(self.held[start:end]))
            start = end
        del self.held[:start]
        self.searched = len(self.held)

    def take_preface(self):
        wanted = self.preface
        if self.held.startswith(wanted):
            del self.held[: len(wanted)]
            self.preface = b""
            meaning = f"{self.codec.name}, version {wanted[-1]}"
            yield "preface", wanted, (Field(0, len(wanted), "preface", wanted, meaning, FRAMING),), meaning, None
        elif not wanted.startswith(self.held):
            self.error = f"{self.codec.name} begins with {cut(wanted)}, not with {cut(bytes(self.held))}"

    def read(self, raw: bytes):
        try:
            tag, message = self.codec.decode(raw)
            return type(message).__name__, raw, dissect(self.codec, raw), said(message), tag
        except ProtocolError as error:
            field = Field(0, len(raw), "unreadable", None, error.text, ENCODING)
            return "unreadable", raw, (field,), error.text, error.tag


# ---- things that come in pieces --------------------------------------------------------------------------------------


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
