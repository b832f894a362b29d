"""HTTP/2 for a load generator: just enough to make gRPC calls at little cost."""

import struct
from collections.abc import Iterable

from hpack import Decoder, Encoder

from ...messages import ConnectionLost, Message, ProtocolError
from ...transport.grpc_common import SERVICE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
WINDOW = 2**31 - 1  # the most that HTTP/2 lets a peer send unasked
FIRST_WINDOW = 65_535
MAX_FRAME = 16_384

Heard = list[tuple[int | None, Message]]


# ---- HTTP/2 -----------------------------------------------------------------------------------------------------


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame.

    >>> frame(PING, ACK, 0, bytes(8)).hex(" ")
    '00 00 08 06 01 00 00 00 00 00 00 00 00 00 00 00 00'
    """
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def prefixed(message: bytes) -> bytes:
    """A gRPC message: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message


class _Http2:
    """What both styles share: settings, pings, windows, header blocks, and messages that span frames."""

    def __init__(self, authority: str = "chatlab"):
        self._authority = authority
        self._held, self._chores = b"", bytearray()
        self._encoder, self._decoder = Encoder(), Decoder()
        self._known: dict[bytes, dict[str, str]] = {}  # header blocks that left HPACK's table as it was
        self._block: tuple[int, int, bytes] | None = None  # a header block that has not ended
        self._messages: dict[int, bytes] = {}
        self._window, self._stream_window = FIRST_WINDOW, FIRST_WINDOW  # what we may still send
        self._unread = 0  # received since we last opened the window
        self._waiting: list[tuple[int, bytes]] = []  # what no window lets through yet
        self._on = {
            DATA: self._data,
            HEADERS: self._headers,
            CONTINUATION: self._continuation,
            SETTINGS: self._settings,
        }
        self._on |= {
            PING: self._ping,
            WINDOW_UPDATE: self._window_update,
            RST_STREAM: self._reset,
            GOAWAY: self._goaway,
        }

    def preamble(self) -> bytes:
        settings = struct.pack(">HIHIHI", 2, 0, 4, WINDOW, 3, 0)  # no pushes; a wide window for each stream
        wide = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - FIRST_WINDOW))
        return PREFACE + frame(SETTINGS, 0, 0, settings) + wide + self._first()

    def block(self, method: str, more: Iterable[tuple[str, str]] = ()) -> bytes:
        """The header block of a call. The first of its kind spells what the next ones only point at."""
        return self._encoder.encode([
            (":method", "POST"), (":scheme", "http"), (":path", f"/{SERVICE}/{method}"), (":authority", self._authority),
            ("te", "trailers"), ("content-type", "application/grpc"), *more,
        ])  # fmt: skip

    def control_bytes(self) -> bytes:
        if not self._chores and not self._waiting:
            return b""
        control_bytes, self._chores = bytes(self._chores), bytearray()
        return control_bytes + self._let_through()

    def receive(self, data: bytes) -> Heard:
        data = self._held + data if self._held else data
        at, size, heard = 0, len(data), []
        while size - at >= 9:
            end = at + 9 + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if end > size:
                break
            stream = int.from_bytes(data[at + 5 : at + 9]) & 0x7FFF_FFFF
            act = self._on.get(data[at + 3])
            if act is not None:
                act(data[at + 4], stream, data[at + 9 : end], heard)
            at = end
        self._held = data[at:]
        return heard

    # ---- sending within the windows

    def _sendable(self, frames: list[tuple[int, bytes]]) -> bytes:
        self._waiting += frames
        return self._let_through()

    def _let_through(self) -> bytes:
        out = []
        while self._waiting and self._waiting[0][0] <= min(self._window, self._stream_window):
            cost, raw = self._waiting.pop(0)
            self._window -= cost
            self._spend(cost)
            out.append(raw)
        return b"".join(out)

    def _spend(self, cost: int) -> None:
        """A stream that lives long has a window of its own to spend."""

    # ---- frames that come

    def _data(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        self._unread += len(payload)
        if self._unread > WINDOW // 4:
            self._open_windows(stream)
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        held = self._messages.get(stream, b"") + payload
        while len(held) >= 5 and len(held) >= (end := 5 + int.from_bytes(held[1:5])):
            if held[0]:
                raise ProtocolError("a compressed message, which nobody asked for")
            self._message(stream, held[5:end], heard)
            held = held[end:]
        self._messages[stream] = held
        if flags & END_STREAM:
            self._ended(stream, {}, heard)

    def _open_windows(self, stream: int) -> None:
        more, self._unread = struct.pack(">I", self._unread), 0
        self._chores += frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, stream, more)

    def _headers(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        if flags & (PADDED | PRIORITY):
            start = bool(flags & PADDED) + 5 * bool(flags & PRIORITY)
            payload = payload[start : len(payload) - (payload[0] if flags & PADDED else 0)]
        if not flags & END_HEADERS:
            self._block = flags, stream, payload
            return
        headers = self._known.get(payload) or self._read(payload)
        if flags & END_STREAM:
            self._ended(stream, headers, heard)
        else:
            self._begun(stream, headers)

    def _continuation(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        first, stream, begun = self._block
        self._headers(first & END_STREAM | flags & END_HEADERS, stream, begun + payload, heard)

    def _read(self, block: bytes) -> dict[str, str]:
        """A header block as it is, remembered as long as what it points at does not change."""
        entries = self._decoder.header_table.dynamic_entries
        newest, size = entries[0] if entries else None, len(entries)
        headers = dict(self._decoder.decode(block))
        if len(entries) != size or (entries[0] if entries else None) is not newest:
            self._known.clear()
        else:
            self._known[block] = headers
        return headers

    def _settings(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        if flags & ACK:
            return
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, at)
            if name == 1:
                self._encoder.header_table_size = min(value, self._encoder.header_table_size)
            elif name == 4:
                self._stream_window += value - FIRST_WINDOW
        self._chores += frame(SETTINGS, ACK, 0, b"")

    def _ping(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        if not flags & ACK:
            self._chores += frame(PING, ACK, 0, payload)

    def _window_update(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        more = int.from_bytes(payload) & 0x7FFF_FFFF
        if stream == 0:
            self._window += more
        else:
            self._spend(-more)

    def _reset(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        raise ConnectionLost(f"the server reset stream {stream} with error {int.from_bytes(payload)}")

    def _goaway(self, flags: int, stream: int, payload: bytes, heard: Heard) -> None:
        raise ConnectionLost(
            f"the server sent us away: error {int.from_bytes(payload[4:8])}, {payload[8:].decode('utf-8', 'replace')}"
        )

    # ---- what a style supplies

    def _first(self) -> bytes:
        """The first call."""
        raise NotImplementedError

    def _begun(self, stream: int, headers: dict[str, str]) -> None: ...

    def _message(self, stream: int, raw: bytes, heard: Heard) -> None:
        raise NotImplementedError

    def _ended(self, stream: int, headers: dict[str, str], heard: Heard) -> None:
        raise NotImplementedError


def _status(headers: dict[str, str]) -> str:
    return f"status {headers.get('grpc-status', 'missing')}, {headers.get('grpc-message', '')}"


def _in_frames(payload: bytes, flags: int) -> list[bytes]:
    """DATA frames, still on stream 0, none longer than everybody takes; the last has the flags."""
    parts = [payload[at : at + MAX_FRAME] for at in range(0, len(payload), MAX_FRAME)]
    return [frame(DATA, flags if part is parts[-1] else 0, 0, part) for part in parts]
