r"""Dissection: every byte of a frame belongs to a named field, and every field to a layer.

Bytes go in and frames come out; no socket is opened and no clock is read. The frames of an annotated codec (one with
`spans`) are shown field by field, those of other codecs as one field. HTTP/2 is read in `http2.py`. Bytes that cannot
be read are shown too, as unreadable.

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

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Protocol

from msgspec.structs import fields as fields_of

from .. import messages
from ..codecs.interface import Codec, is_annotated, preface_of
from ..messages import Message, ProtocolError, shorten
from ..transport.interface import ProtocolLike
from ..transport.registry import resolve
from .fields import Field, Frame, Frames, describe, fill_gaps, render_value, summarize_message
from .layers import ENCODING, FRAMING, information, information_of
from .traffic import AnyChunk

# ---- one frame --------------------------------------------------------------------------------------------------


def dissect(codec: Codec, frame: bytes) -> tuple[Field, ...]:
    """The fields of one whole frame of a codec, in order and without gaps. Raises `ProtocolError` as `decode` does."""
    _, message = codec.decode(frame)
    if not is_annotated(codec):
        known = min(information(message), len(frame))
        return (Field(0, len(frame), "frame", message, summarize_message(message), ENCODING, known),)
    spans = codec.spans(frame)
    fields = [_field(type(message).__name__, *span) for span in spans]
    # A flag that is set and has no bytes of its own is a bit of the byte that says which message it is.
    named = {name for _, _, name, _ in spans}
    set_bits = [name for name in _flags_of(type(message)) - named if getattr(message, name)]
    if set_bits:
        fields = [
            field._replace(meaning=f"{field.meaning}, {set_bits[0]}") if field.name == "message" else field
            for field in fields
        ]
    return fill_gaps(fields, len(frame), "without a name", ENCODING)


def dissect_message(codec: Codec | type[Codec], message: Message, tag: int | None = None) -> Frame:
    """Encode a message and dissect the frame, which is only to be looked at: nothing is sent.

    >>> from chatlab.codecs.text import TextCodec
    >>> dissect_message(TextCodec(), messages.Send("bob", "hi"), tag=7)
    <Send up on 7, 12 bytes: Send to='bob' text='hi'>
    """
    codec = codec() if isinstance(codec, type) else codec
    data = codec.encode(tag, message)
    direction = "up" if isinstance(message, messages.Request) else "down"
    fields, summary = dissect(codec, data), summarize_message(message)
    return Frame(0.0, 1, direction, codec.name, type(message).__name__, 0, data, fields, summary, tag)


@cache
def _flags_of(kind: type[Message]) -> set[str]:
    return {field.name for field in fields_of(kind) if field.type is bool}


def _field(kind: str, start: int, end: int, name: str, value: object) -> Field:
    # Tags match replies to requests, and lengths and line ends split the stream into messages: that is framing.
    is_framing = name in ("length", "which", "line end") or name.split()[-1:] == ["tag"]
    known = min(end - start, information_of(kind, name, value))
    return Field(start, end, name, value, describe(name, value), FRAMING if is_framing else ENCODING, known)


# ---- a tape -----------------------------------------------------------------------------------------------------


class Stream(Protocol):
    """One connection of a tape that is being dissected."""

    def feed(self, at_s: float, direction: str, data: bytes) -> None:
        """Add the next chunk."""

    def finish(self) -> list[Frame]:
        """All frames, in the order in which they were complete; whatever is left over becomes a frame too."""


def dissect_tape(tape: Iterable[AnyChunk], protocol: "ProtocolLike") -> Frames:
    """All frames of a tape, whose chunks are (at_s, connection, direction, data).

    `protocol` is a protocol's name, a codec or an Implementation; "grpc" reads anything over HTTP/2. A connection that
    has no codec and is not HTTP/2 is shown chunk by chunk. No bytes make it raise anything.

    Raises `TypeError` if the protocol is none of these.
    """
    if protocol == "http2":
        protocol = "grpc"
    try:
        implementation = resolve(protocol)
    except (TypeError, ValueError):
        raise TypeError(
            f'a tape is read with a codec, as an Implementation has it, or as "grpc", not with {shorten(protocol)}'
        ) from None
    by_connection: dict[int, list[AnyChunk]] = {}
    for chunk in tape:
        by_connection.setdefault(chunk[1], []).append(chunk)
    frames: list[Frame] = []
    for connection, chunks in by_connection.items():
        stream: Stream
        if implementation.codec is not None:
            stream = _CodecStream(implementation.codec, connection)
        else:
            stream = _stream_without_codec(implementation.name, isinstance(protocol, str), connection, chunks)
        for at_s, _, direction, data in chunks:
            stream.feed(at_s, direction, data)
        frames += stream.finish()
    return Frames(sorted(frames, key=lambda frame: frame.at_s))


def _stream_without_codec(name: str, is_named: bool, connection: int, chunks: list[AnyChunk]) -> Stream:
    """HTTP/2 if the protocol is one of ours, given by name, or the client's bytes begin as HTTP/2 does."""
    from .http2 import PREFACE, Http2Stream  # loads hpack and protobuf

    begin = b"".join([data for _, _, direction, data in chunks if direction == "up"])[: len(PREFACE)]
    if is_named or (begin and PREFACE.startswith(begin)):
        return Http2Stream(connection)
    return _OpaqueStream(name, connection)


class _OpaqueStream:
    """One connection in a protocol that cannot be read."""

    def __init__(self, name: str, connection: int):
        self.name, self.connection = name, connection
        self.frames: list[Frame] = []
        self.offsets = {"up": 0, "down": 0}

    def feed(self, at_s: float, direction: str, data: bytes) -> None:
        text = render_value(data)
        fields = (Field(0, len(data), "bytes", data, text),) if data else ()
        where = at_s, self.connection, direction, self.name, "chunk", self.offsets[direction]
        self.frames.append(Frame(*where, data, fields, text))
        self.offsets[direction] += len(data)

    def finish(self) -> list[Frame]:
        return self.frames


class _CodecStream:
    """One connection on which both sides use the same codec."""

    def __init__(self, codec: Codec, connection: int):
        self.codec, self.connection = codec, connection
        self.frames: list[Frame] = []
        self.sides = {"up": _Side(codec, preface_of(codec)), "down": _Side(codec)}

    def feed(self, at_s: float, direction: str, data: bytes) -> None:
        side = self.sides[direction]
        side.at_s = at_s
        side.buffer += data
        for part in side.take():
            self._add(direction, side, part)

    def finish(self) -> list[Frame]:
        for direction, side in self.sides.items():
            if side.buffer:
                kind = "unreadable" if side.error else "unfinished"
                text = side.error or f"{len(side.buffer)} bytes of a frame"
                field = Field(0, len(side.buffer), kind, None, text, FRAMING)
                self._add(direction, side, (kind, bytes(side.buffer), (field,), text, None))
        return self.frames

    def _add(self, direction: str, side: "_Side", part: "_Part") -> None:
        kind, data, fields, summary, tag = part
        where = side.at_s, self.connection, direction, self.codec.name, kind, side.offset
        self.frames.append(Frame(*where, data, fields, summary, tag))
        side.offset += len(data)


#: What a side has read: kind, bytes, fields, summary, tag.
_Part = tuple[str, bytes, tuple[Field, ...], str, int | None]


class _Side:
    """One direction: the bytes that are not a whole frame yet."""

    def __init__(self, codec: Codec, preface: bytes = b""):
        self.codec = codec
        self.preface = preface  # that is still to come
        self.buffer, self.offset, self.at_s = bytearray(), 0, 0.0
        self.error, self.searched = "", 0

    def take(self) -> Iterator[_Part]:
        """What is complete."""
        if self.preface and not self.error:
            yield from self._take_preface()
        start = 0
        while start < len(self.buffer) and not self.preface and not self.error:
            try:
                end = self.codec.frame_end(self.buffer, start, max(start, self.searched))
            except ProtocolError as error:
                self.error = error.text
                break
            if not start < end <= len(self.buffer):
                break
            yield self._read(bytes(self.buffer[start:end]))
            start = end
        del self.buffer[:start]
        self.searched = len(self.buffer)

    def _take_preface(self) -> Iterator[_Part]:
        expected = self.preface
        if self.buffer.startswith(expected):
            del self.buffer[: len(expected)]
            self.preface = b""
            meaning = f"{self.codec.name}, version {expected[-1]}"
            field = Field(0, len(expected), "preface", expected, meaning, FRAMING)
            yield "preface", expected, (field,), meaning, None
        elif not expected.startswith(self.buffer):
            received = shorten(bytes(self.buffer))
            self.error = f"{self.codec.name} begins with {shorten(expected)}, not with {received}"

    def _read(self, data: bytes) -> _Part:
        try:
            tag, message = self.codec.decode(data)
            return type(message).__name__, data, dissect(self.codec, data), summarize_message(message), tag
        except ProtocolError as error:
            field = Field(0, len(data), "unreadable", None, error.text, ENCODING)
            return "unreadable", data, (field,), error.text, error.tag
