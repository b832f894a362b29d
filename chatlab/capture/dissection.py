r"""Every byte belongs to a named field, and every field to a layer: what a frame says, and what each part of it costs.

Bytes go in and frames come out; no socket is opened and no clock is read. A codec that offers `spans` is shown field by
field, one that does not in one piece. HTTP/2 is read in `http2.py`. What cannot be read is shown too, as what it is.

>>> from chatlab.codecs.text import TextCodec
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

from msgspec.structs import fields as fields_of

from .. import messages
from ..messages import Message, ProtocolError, shorten
from ..transport.registry import resolve
from .fields import Field, Frame, Frames, in_words, said, shown, tiled
from .layers import ENCODING, FRAMING, information, information_of

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


def dissect_message(codec, message: Message, tag: int | None = None) -> Frame:
    """The frame that says a message, taken apart; it never travels, it is there to be looked at.

    >>> from chatlab.codecs.text import TextCodec
    >>> dissect_message(TextCodec(), messages.Send("bob", "hi"), tag=7)
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


# ---- a tape -----------------------------------------------------------------------------------------------------


def dissect_tape(tape: Iterable, protocol) -> Frames:
    """All frames of a tape, whose chunks are (at_s, connection, direction, data).

    `protocol` is a codec, an Implementation, or "grpc" for anything over HTTP/2. What is neither spoken with a codec nor
    HTTP/2 is shown chunk by chunk. Nothing is raised, whatever the bytes.
    """
    if protocol == "http2":
        protocol = "grpc"
    try:
        implementation = resolve(protocol)
    except (TypeError, ValueError):
        raise TypeError(
            f'a tape is read with a codec, as an Implementation has it, or as "grpc", not with {shorten(protocol)}'
        ) from None
    codec = implementation.codec
    conversations: dict[int, list] = {}
    for chunk in tape:
        conversations.setdefault(chunk[1], []).append(chunk)
    frames = []
    for connection, chunks in conversations.items():
        conversation = _Spoken(codec, connection) if codec else _unspoken(implementation, protocol, connection, chunks)
        for at_s, _, direction, data in chunks:
            conversation.feed(at_s, direction, data)
        frames += conversation.finish()
    return Frames(sorted(frames, key=lambda frame: frame.at_s))


def _unspoken(implementation, protocol, connection: int, chunks: list):
    """For a connection of which only the Implementation is known: HTTP/2, if it looks like it."""
    from .http2 import PREFACE, Conversation

    up = b"".join([data for _, _, direction, data in chunks if direction == "up"])[: len(PREFACE)]
    if isinstance(protocol, str) or up and PREFACE.startswith(up):
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
                field = Field(
                    0, len(side.held), kind, None, side.error or f"{len(side.held)} bytes of a frame", FRAMING
                )
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
            self.error = f"{self.codec.name} begins with {shorten(wanted)}, not with {shorten(bytes(self.held))}"

    def read(self, raw: bytes):
        try:
            tag, message = self.codec.decode(raw)
            return type(message).__name__, raw, dissect(self.codec, raw), said(message), tag
        except ProtocolError as error:
            field = Field(0, len(raw), "unreadable", None, error.text, ENCODING)
            return "unreadable", raw, (field,), error.text, error.tag
