r"""HTTP/2 as gRPC uses it, dissected to the byte: frames, HPACK, the gRPC prefix, and protobuf fields by name.

    00 00 04 08 00 00 00 00 00 00 00 00 05      WINDOW_UPDATE on the connection: 5 more bytes may come
    length   |  |  stream      increment
             |  flags
             type

A stream of bytes has to be fed in both directions from the first byte on, because HPACK keeps state: a header that was
sent once takes one byte from then on. Frames are labelled, not validated. A header block, a message or a field that
comes in fragments is understood when its last fragment has come, and each fragment then gets its own part. `hpack`
decodes each header line by itself, so that each line owns its bytes. No bytes make this raise anything.
"""

import struct
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from google.protobuf.descriptor import MethodDescriptor
from hpack import Decoder
from hpack.exceptions import HPACKError

from ..messages import shorten
from .fields import Field, Frame, describe, fill_gaps, place_fragments, render_value
from .grpc_messages import MessageReader, method_of, with_information
from .layers import HTTP2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9  # bytes of a frame's header: length 3, type 1, flags 1, stream 4
KINDS = (
    "DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
    "CONTINUATION",
)  # fmt: skip
ACK, END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
FLAGS = {
    "DATA": {END_STREAM: "END_STREAM", PADDED: "PADDED"},
    "HEADERS": {END_STREAM: "END_STREAM", END_HEADERS: "END_HEADERS", PADDED: "PADDED", PRIORITY: "PRIORITY"},
    "SETTINGS": {ACK: "ACK"},
    "PUSH_PROMISE": {END_HEADERS: "END_HEADERS", PADDED: "PADDED"},
    "PING": {ACK: "ACK"},
    "CONTINUATION": {END_HEADERS: "END_HEADERS"},
}
SETTINGS = {
    1: "HEADER_TABLE_SIZE",
    2: "ENABLE_PUSH",
    3: "MAX_CONCURRENT_STREAMS",
    4: "INITIAL_WINDOW_SIZE",
    5: "MAX_FRAME_SIZE",
    6: "MAX_HEADER_LIST_SIZE",
    8: "ENABLE_CONNECT_PROTOCOL",
    9: "NO_RFC7540_PRIORITIES",
    0xFE03: "GRPC_ALLOW_TRUE_BINARY_METADATA",
    0xFE04: "GRPC_PREFERRED_RECEIVE_CRYPTO_FRAME_SIZE",
}
ERRORS = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip
STATUSES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
MAX_TABLE = 1 << 20  # the largest HPACK table that is accepted; a real encoder is allowed less, and keeps to it


class Http2Stream:
    """The bytes of one HTTP/2 connection in both directions, and the method called on each of its streams."""

    def __init__(self, connection: int = 1):
        self.connection = connection
        self.sides = {"up": _Side("up", PREFACE), "down": _Side("down")}
        self.methods: dict[int, MethodDescriptor | None] = {}
        self.drafts: list[_Draft] = []
        self._readers: dict[str, Callable[[_Side, _Draft, int, int], None]] = {
            "DATA": self._data,
            "HEADERS": self._headers,
            "PRIORITY": self._priority,
            "RST_STREAM": self._rst_stream,
            "SETTINGS": self._settings,
            "PUSH_PROMISE": self._headers,
            "PING": self._ping,
            "GOAWAY": self._goaway,
            "WINDOW_UPDATE": self._window_update,
            "CONTINUATION": self._headers,
        }

    def feed(self, at_s: float, direction: str, data: bytes) -> None:
        side = self.sides[direction]
        side.at_s = at_s
        side.buffer += data
        for frame in side.take():
            draft = _Draft(at_s, side, frame)
            self.drafts.append(draft)
            if draft.kind in self._readers:
                self._readers[draft.kind](side, draft, *draft.payload())

    def finish(self) -> list[Frame]:
        for side in self.sides.values():
            if side.buffer:
                kind = "unreadable" if side.lost else "unfinished"
                self.drafts.append(_Draft(side.at_s, side, bytes(side.buffer), kind))
                side.buffer.clear()
        return [draft.frame(self.connection) for draft in self.drafts]

    # ---- the kinds of frames

    def _data(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        reader = side.messages.setdefault(draft.stream, MessageReader())
        reader.add(draft, start, end, self.methods.get(draft.stream), side.direction)

    def _headers(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        side.block.append((draft, start, end))
        if draft.flags & END_HEADERS:
            fragments, side.block = side.block, []
            self._header_block(side, fragments)

    def _header_block(self, side: "_Side", fragments: list[tuple["_Draft", int, int]]) -> None:
        """A whole header block: one frame, or one and its CONTINUATIONs."""
        block = b"".join([draft.data[start:end] for draft, start, end in fragments])
        draft = fragments[0][0]
        lines = side.header_lines(block)
        for line in lines:
            if line.name == ":path" and side.direction == "up":
                self.methods[draft.stream] = method_of(str(line.value))
        lines = with_information(lines, self.methods.get(draft.stream), side.direction)
        place_fragments(lines, [(draft.fields, start, end) for draft, start, end in fragments])
        summary = " ".join(_brief(line) for line in lines if line.name in _SUMMARIZED)
        draft.summary.append(summary or f"{len(lines)} headers")

    def _settings(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        for at in range(start, end - 5, 6):
            number, value = struct.unpack_from(">HI", draft.data, at)
            name = SETTINGS.get(number, f"setting {number}")
            draft.add(at, at + 6, name, value, f"setting {number} is {value}")
            draft.summary.append(f"{name}={value}")

    def _ping(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        draft.add(start, end, "opaque data", draft.data[start:end], "the answer repeats it")

    def _window_update(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        if end - start == 4:
            more = int.from_bytes(draft.data[start:end]) & 0x7FFF_FFFF
            draft.add(start, end, "increment", more, f"{more} more bytes may come")
            draft.summary.append(f"+{more} {'on the stream' if draft.stream else 'on the connection'}")

    def _rst_stream(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        if end - start == 4:
            draft.add_error(start)

    def _goaway(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        if end - start >= 8:
            last = int.from_bytes(draft.data[start : start + 4]) & 0x7FFF_FFFF
            draft.add(start, start + 4, "last stream", last, f"streams up to {last} were heard")
            draft.add_error(start + 4)
            text = draft.data[start + 8 : end].decode("utf-8", "replace")
            draft.add(start + 8, end, "text", text, render_value(text))

    def _priority(self, side: "_Side", draft: "_Draft", start: int, end: int) -> None:
        if end - start == 5:
            draft.add_priority(start)


class _Side:
    """One direction: the bytes that are not a whole frame yet, and the state of HPACK."""

    def __init__(self, direction: str, preface: bytes = b""):
        self.direction, self.preface = direction, preface
        self.buffer, self.at_s, self.offset = bytearray(), 0.0, 0
        self.block: list[tuple[_Draft, int, int]] = []  # fragments of a header block that has not ended
        self.messages: dict[int, MessageReader] = {}
        self.lost = False  # it does not begin as HTTP/2 does
        self.decoder: Decoder | None = Decoder()  # None once a line could not be read: no index means anything then
        self.decoder.max_allowed_table_size = MAX_TABLE

    def take(self) -> Iterator[bytes]:
        while not self.lost:
            size = len(self.preface) or (HEAD + int.from_bytes(self.buffer[:3]) if len(self.buffer) >= HEAD else 0)
            self.lost = not self.preface.startswith(self.buffer[: len(self.preface)])
            if self.lost or not 0 < size <= len(self.buffer):
                return
            frame = bytes(self.buffer[:size])
            del self.buffer[:size]
            yield frame
            self.preface = b""

    def header_lines(self, block: bytes) -> list[Field]:
        """Each header line of a block, owning its bytes."""
        lines: list[Field] = []
        at = 0
        while at < len(block):
            try:
                end, encoding = _representation(block, at)
                lines.append(self._header_line(block, at, end, encoding))
            except ValueError as error:
                self.decoder = None
                return [*lines, Field(at, len(block), "unreadable", None, str(error), HTTP2)]
            at = end
        return lines

    def _header_line(self, block: bytes, at: int, end: int, encoding: str) -> Field:
        if self.decoder is None:
            return Field(at, end, "header", None, f"{encoding}; what came before is not known", HTTP2)
        try:
            headers = list(self.decoder.decode(block[at:end], raw=True))
        except HPACKError as error:
            raise ValueError(f"HPACK: {error}") from error
        if not headers:
            return Field(at, end, "table size", None, encoding, HTTP2)
        name, value = (bytes(part).decode("utf-8", "replace") for part in headers[0])
        return Field(at, end, name, value, f"{_header_value(name, value)} ({encoding})", HTTP2)


class _Draft:
    """A frame whose fields are still being found."""

    def __init__(self, at_s: float, side: _Side, data: bytes, kind: str = ""):
        self.at_s, self.direction, self.offset, self.data = at_s, side.direction, side.offset, data
        self.fields: list[Field] = []
        self.summary: list[str] = []
        self.flags = self.stream = 0
        self.kind = kind or ("preface" if side.preface else self._read_header())
        side.offset += len(data)
        if self.kind == "preface":
            self.add(0, len(data), "preface", data, "HTTP/2 from here on")
        elif self.kind == "unreadable":
            self.summary.append(f"not HTTP/2, which begins with {shorten(PREFACE)}")
        elif self.kind == "unfinished" and len(data) >= HEAD and not side.preface:
            self.summary.append(f"a frame of {self._read_header()}, of which {len(data) - HEAD} bytes have come")

    def _read_header(self) -> str:
        length, kind, self.flags, stream = struct.unpack(">3sBBI", self.data[:HEAD])
        self.stream = stream & 0x7FFF_FFFF
        name = KINDS[kind] if kind < len(KINDS) else f"type {kind}"
        size = int.from_bytes(length)
        self.add(0, 3, "length", size, describe("length", size))
        self.add(3, 4, "type", kind, name)
        self.add(4, 5, "flags", self.flags, _flags(name, self.flags))
        self.add(5, HEAD, "stream", self.stream, f"stream {self.stream}" if self.stream else "the whole connection")
        flags = FLAGS.get(name, {})
        self.summary += [flags[bit] for bit in flags if self.flags & bit and flags[bit] in ("ACK", "END_STREAM")]
        return name

    def add(self, start: int, end: int, name: str, value: object, meaning: str) -> None:
        if start < end:
            self.fields.append(Field(start, end, name, value, meaning, HTTP2))

    def payload(self) -> tuple[int, int]:
        """Where the payload is, without what PADDED and PRIORITY put around it."""
        start, end = HEAD, len(self.data)
        if self.flags & PADDED and self.kind in ("DATA", "HEADERS", "PUSH_PROMISE") and start < end:
            padding = min(self.data[start], end - start - 1)
            self.add(start, start + 1, "pad length", padding, f"{padding} bytes of padding at the end")
            self.add(end - padding, end, "padding", self.data[end - padding :], "no meaning")
            start, end = start + 1, end - padding
        if self.flags & PRIORITY and self.kind == "HEADERS" and end - start >= 5:
            self.add_priority(start)
            start += 5
        if self.kind == "PUSH_PROMISE" and end - start >= 4:
            promised = int.from_bytes(self.data[start : start + 4]) & 0x7FFF_FFFF
            self.add(start, start + 4, "promised stream", promised, f"stream {promised}")
            start += 4
        return start, end

    def add_priority(self, start: int) -> None:
        on, weight = struct.unpack_from(">IB", self.data, start)
        self.add(start, start + 4, "depends on", on & 0x7FFF_FFFF, f"stream {on & 0x7FFF_FFFF}")
        self.add(start + 4, start + 5, "weight", weight + 1, str(weight + 1))

    def add_error(self, start: int) -> None:
        code = int.from_bytes(self.data[start : start + 4])
        name = ERRORS[code] if code < len(ERRORS) else f"error {code}"
        self.add(start, start + 4, "error", code, name)
        self.summary.append(name)

    def frame(self, connection: int) -> Frame:
        rest = "unfinished"
        if self.kind.startswith("type "):
            rest = "payload"
        elif self.kind == "unreadable":
            rest = "unreadable"
        fields = fill_gaps(self.fields, len(self.data), rest, HTTP2)
        where = self.at_s, connection, self.direction, "http2", self.kind, self.offset
        return Frame(*where, self.data, fields, "; ".join(self.summary), self.stream or None)


def _flags(kind: str, flags: int) -> str:
    known = FLAGS.get(kind, {})
    names = [name for bit, name in known.items() if flags & bit]
    unknown = flags & ~sum(known)
    return ", ".join(names + ([f"0x{unknown:02x}"] if unknown else [])) or "none"


# ---- header blocks ----------------------------------------------------------------------------------------------

#: The headers that a summary shows.
_SUMMARIZED = {":path", ":status", "grpc-status", "grpc-message", "code"}


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """RFC 7541, 5.1: a number that begins in the low `bits` of a byte. Raises `ValueError`."""
    if at >= len(block):
        raise ValueError("the block ends inside a header")
    most = (1 << bits) - 1
    number, at = block[at] & most, at + 1
    if number < most:
        return number, at
    for shift in range(0, 35, 7):
        if at >= len(block):
            raise ValueError("the block ends inside a number")
        number += (block[at] & 0x7F) << shift
        at += 1
        if block[at - 1] < 0x80:
            return number, at
    raise ValueError("a number of more than 32 bits")


def _string(block: bytes, at: int) -> tuple[int, str]:
    """Where a string ends, and how it is encoded. Raises `ValueError`."""
    size, start = _integer(block, at, 7)
    if start + size > len(block):
        raise ValueError("the block ends inside a string")
    return start + size, f"{size} bytes of Huffman code" if block[at] & 0x80 else f"{size} bytes"


def _representation(block: bytes, at: int) -> tuple[int, str]:
    """Where one header line ends, and how it is encoded (RFC 7541, 6). Raises `ValueError`."""
    first = block[at]
    if first & 0x80:
        index, end = _integer(block, at, 7)
        return end, f"indexed: entry {index} of the table"
    if first & 0xE0 == 0x20:
        size, end = _integer(block, at, 5)
        return end, f"the table may take {size} bytes"
    adds = bool(first & 0x40)
    index, at = _integer(block, at, 6 if adds else 4)
    name = f"name of entry {index}"
    if not index:
        at, encoding = _string(block, at)
        name = f"name literal, {encoding}"
    end, encoding = _string(block, at)
    indexing = "added to the table" if adds else "never to be indexed" if first & 0x10 else "not added to the table"
    return end, f"{name}; value literal, {encoding}; {indexing}"


def _header_value(name: str, value: str) -> str:
    if name == "grpc-status":
        code = int(value) if value.isascii() and value.isdigit() and len(value) < 4 else -1
        return f"{value} {STATUSES[code]}" if 0 <= code < len(STATUSES) else value
    return render_value(unquote(value) if name == "grpc-message" else value)


def _brief(line: Field) -> str:
    """A header line in a summary."""
    if line.name in (":path", ":status"):
        return str(line.value)
    return f"{line.name} {line.meaning.rpartition(' (')[0]}"
