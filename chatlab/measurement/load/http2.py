"""A minimal HTTP/2 client without I/O: just enough to make gRPC calls, at little cost.

Frames are told apart by their nine bytes of header, and a header block that has come before is not decoded again. What
is sent keeps within the windows of the connection and of each stream. `capture/http2.py` is the other half: it explains
every byte, and is not in a hurry.
"""

import struct
from collections.abc import Iterable
from typing import Any, cast

from hpack import Decoder, Encoder

from ...capture.http2 import ACK, END_HEADERS, END_STREAM, KINDS, PADDED, PREFACE, PRIORITY
from ...messages import ConnectionLost, Message, ProtocolError
from ...transport.grpc_common import SERVICE

DATA, HEADERS, _, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(len(KINDS))
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4  # settings
MAX_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535  # of the connection and of each stream, until a setting or an update says otherwise
MAX_FRAME = 16_384  # bytes of payload that every peer accepts
MAIN_STREAM = 1  # the first call, which lasts as long as the connection

#: Messages that bytes have completed, each with its tag; an event has none.
Received = list[tuple[int | None, Message]]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame.

    >>> frame(PING, ACK, 0, bytes(8)).hex(" ")
    '00 00 08 06 01 00 00 00 00 00 00 00 00 00 00 00 00'
    """
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def data_frames(payload: bytes, flags: int) -> list[bytes]:
    """The payload in DATA frames of stream 0, none longer than MAX_FRAME; the last has the flags."""
    parts = [payload[at : at + MAX_FRAME] for at in range(0, len(payload), MAX_FRAME)]
    return [frame(DATA, flags if part is parts[-1] else 0, 0, part) for part in parts]


def prefixed(message: bytes) -> bytes:
    """A gRPC message: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message


def status_of(headers: dict[str, str]) -> str:
    """How a call ended, for an error."""
    return f"status {headers.get('grpc-status', 'missing')}, {headers.get('grpc-message', '')}"


class Http2Client:
    """One connection: settings, pings, windows, header blocks, and messages that span several frames.

    A subclass makes the first call in `open_main_stream`, and gets what comes by the three methods at the end.
    """

    def __init__(self, authority: str = "chatlab"):
        self._authority = authority
        self._held, self._control = b"", bytearray()
        self._encoder, self._decoder = Encoder(), Decoder()
        self._decoded: dict[bytes, dict[str, str]] = {}  # header blocks that left HPACK's table as it was
        self._block = 0, 0, b""  # a header block that has not ended: its flags, its stream, its bytes
        self._messages: dict[int, bytes] = {}  # by stream: a message that has not ended
        # What the server still lets this client send: in all, and on each stream that has something to send.
        self._window = self._initial_window = FIRST_WINDOW
        self._stream_windows: dict[int, int] = {}
        self._waiting: list[tuple[int, int, bytes]] = []  # (stream, bytes of data, frame): what no window lets through
        self._unread = self._unread_main = 0  # received since the windows were last opened, in all and on MAIN_STREAM
        self._handlers = {
            DATA: self._data,
            HEADERS: self._headers,
            CONTINUATION: self._continuation,
            SETTINGS: self._settings,
            PING: self._ping,
            WINDOW_UPDATE: self._window_update,
            RST_STREAM: self._reset,
            GOAWAY: self._goaway,
        }

    def preamble(self) -> bytes:
        """The bytes to send first."""
        settings = {ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: MAX_WINDOW, MAX_CONCURRENT_STREAMS: 0}
        payload = b"".join([struct.pack(">HI", *setting) for setting in settings.items()])
        open_window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", MAX_WINDOW - FIRST_WINDOW))
        return PREFACE + frame(SETTINGS, 0, 0, payload) + open_window + self.open_main_stream()

    def header_block(self, method: str, more: Iterable[tuple[str, str]] = ()) -> bytes:
        """The headers of a call. The first block of its kind has them in full; the next ones refer to it."""
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{SERVICE}/{method}"),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more,
        ]
        return self._encoder.encode(headers)

    def control_bytes(self) -> bytes:
        """What the protocol itself has to send now: acknowledgements, answers to pings, and data that had to wait."""
        if not self._control and not self._waiting:
            return b""
        control, self._control = bytes(self._control), bytearray()
        return control + self._send_waiting()

    def receive(self, data: bytes) -> Received:
        """The messages that these bytes complete. Raises `ConnectionLost`, `ProtocolError`."""
        data = self._held + data if self._held else data
        received: Received = []
        at, size = 0, len(data)
        while size - at >= 9:
            end = at + 9 + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if end > size:
                break
            handle = self._handlers.get(data[at + 3])
            if handle is not None:
                stream = int.from_bytes(data[at + 5 : at + 9]) & 0x7FFF_FFFF
                handle(data[at + 4], stream, data[at + 9 : end], received)
            at = end
        self._held = data[at:]
        return received

    # ---- sending within the windows

    def _send_within_windows(self, stream: int, frames: Iterable[tuple[int, bytes]]) -> bytes:
        """The bytes to send now of these frames, each given with its bytes of data; the rest waits, in order."""
        self._stream_windows.setdefault(stream, self._initial_window)
        self._waiting += [(stream, cost, raw) for cost, raw in frames]
        return self._send_waiting()

    def _send_waiting(self) -> bytes:
        sent = 0
        for stream, cost, _ in self._waiting:
            if cost > min(self._window, self._stream_windows[stream]):
                break
            self._window -= cost
            self._stream_windows[stream] -= cost
            sent += 1
        out = b"".join([raw for _, _, raw in self._waiting[:sent]])
        done = {stream for stream, _, _ in self._waiting[:sent]}
        del self._waiting[:sent]
        for stream in done - {stream for stream, _, _ in self._waiting} - {MAIN_STREAM}:
            del self._stream_windows[stream]  # all of its request is sent
        return out

    # ---- frames that come

    def _data(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        self._unread += len(payload)
        if stream == MAIN_STREAM:
            self._unread_main += len(payload)
        if self._unread > MAX_WINDOW // 4:
            self._open_windows()
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        held = self._messages.get(stream, b"") + payload
        while len(held) >= 5 and len(held) >= (end := 5 + int.from_bytes(held[1:5])):
            if held[0]:
                raise ProtocolError("a compressed message, which this client did not offer to read")
            self._message(stream, held[5:end], received)
            held = held[end:]
        self._messages[stream] = held
        if flags & END_STREAM:
            self._stream_ended(stream, {}, received)

    def _open_windows(self) -> None:
        """Let the server send as much again as was read. Other calls end long before they have used up their window."""
        self._control += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unread))
        if self._unread_main:
            self._control += frame(WINDOW_UPDATE, 0, MAIN_STREAM, struct.pack(">I", self._unread_main))
        self._unread = self._unread_main = 0

    def _headers(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        if flags & (PADDED | PRIORITY):
            start = bool(flags & PADDED) + 5 * bool(flags & PRIORITY)
            payload = payload[start : len(payload) - (payload[0] if flags & PADDED else 0)]
        if not flags & END_HEADERS:
            self._block = flags, stream, payload
            return
        headers = self._decoded.get(payload) or self._decode(payload)
        if flags & END_STREAM:
            self._stream_ended(stream, headers, received)
        else:
            self._stream_began(stream, headers)

    def _continuation(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        first_flags, stream, begun = self._block
        self._headers(first_flags & END_STREAM | flags & END_HEADERS, stream, begun + payload, received)

    def _decode(self, block: bytes) -> dict[str, str]:
        """The headers of a block, remembered as long as the table to which it may refer does not change."""
        entries: Any = self._decoder.header_table.dynamic_entries
        newest, size = entries[0] if entries else None, len(entries)
        headers = dict(cast("list[tuple[str, str]]", self._decoder.decode(block)))
        if len(entries) != size or (entries[0] if entries else None) is not newest:
            self._decoded.clear()
        else:
            self._decoded[block] = headers
        return headers

    def _settings(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        if flags & ACK:
            return
        for at in range(0, len(payload), 6):
            setting, value = struct.unpack_from(">HI", payload, at)
            if setting == HEADER_TABLE_SIZE:
                self._encoder.header_table_size = min(value, self._encoder.header_table_size)
            elif setting == INITIAL_WINDOW_SIZE:
                for open_stream in self._stream_windows:
                    self._stream_windows[open_stream] += value - self._initial_window
                self._initial_window = value
        self._control += frame(SETTINGS, ACK, 0, b"")

    def _ping(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        if not flags & ACK:
            self._control += frame(PING, ACK, 0, payload)

    def _window_update(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        more = int.from_bytes(payload) & 0x7FFF_FFFF
        if stream == 0:
            self._window += more
        elif stream in self._stream_windows:
            self._stream_windows[stream] += more

    def _reset(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        raise ConnectionLost(f"the server reset stream {stream} with error {int.from_bytes(payload)}")

    def _goaway(self, flags: int, stream: int, payload: bytes, received: Received) -> None:
        error, reason = int.from_bytes(payload[4:8]), payload[8:].decode("utf-8", "replace")
        raise ConnectionLost(f"the server ended the connection: error {error}, {reason}")

    # ---- what a subclass supplies

    def open_main_stream(self) -> bytes:
        """The frames of the first call, which is on MAIN_STREAM."""
        raise NotImplementedError

    def _stream_began(self, stream: int, headers: dict[str, str]) -> None:
        raise NotImplementedError

    def _message(self, stream: int, raw: bytes, received: Received) -> None:
        raise NotImplementedError

    def _stream_ended(self, stream: int, headers: dict[str, str], received: Received) -> None:
        raise NotImplementedError
