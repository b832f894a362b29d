"""One end of a conversation without any I/O: bytes go in and messages come out, and the other way round.

A connection keeps the bytes of an unfinished frame, finds where frames end, and has its codec decode each frame. It
opens no socket, reads no clock and starts no thread, so a test can feed it one byte at a time.

>>> from chatlab.codecs.text import TextCodec
>>> from chatlab.messages import Account
>>> server = Connection(TextCodec(), accepts=Request)
>>> server.receive(b"#7|1|Jo")
[]
>>> server.receive(b"hn\\n")
[(7, CreateAccount(name='John', password=''))]
>>> server.send(7, Account(1, "John"))
b'#7|account|1|John|0|0\\n'
"""

import re
from typing import Any

from ..messages import Event, Limits, Malformed, ProtocolError, Reply, Request, shorten
from .interface import Codec, Tagged, mark_of, preface_of

#: How a client of ours begins that names its protocol and version. A line that a person types does not begin like this.
PREFACE = re.compile(rb"CL[A-Z][\x00-\x09\x0b-\x1f]")
#: What each side accepts from the other.
SERVER_ACCEPTS = Request
CLIENT_ACCEPTS = (Reply, Event)

Accepted = type[Any] | tuple[type[Any], ...]


class Connection:
    """`accepts` is the type (or types) of the messages that the peer may send; any other is a `ProtocolError`."""

    def __init__(self, codec: Codec, accepts: Accepted = SERVER_ACCEPTS, max_frame: int = Limits().frame):
        self.codec = codec
        self.accepts = accepts
        self.max_frame = max_frame
        self.error: ProtocolError | None = None
        self._is_server = issubclass(Request, accepts)
        #: What the client sends first, once, to name the protocol and its version; empty when that was sent or
        #: received.
        self._preface = preface_of(codec)
        #: A server of a codec without a preface tells a client of another protocol apart by its preface, once.
        self._preface_allowed = self._is_server and not self._preface
        self.frames_in = self.frames_out = 0
        self._buffer = bytearray()
        self._searched = 0  # up to here the buffer holds no end of a frame
        self._frame_end, self._decode, self._encode = codec.frame_end, codec.decode, codec.encode
        self._encode_all = _batch_method(codec, "encode_all", "encode") or self._encode_each
        self._decode_all = _batch_method(codec, "decode_all", "decode", "frame_end")

    def __repr__(self) -> str:
        state = f"failed: {self.error}" if self.error else f"{len(self._buffer)} bytes of an unfinished frame"
        return f"<Connection over {self.codec.name}: {self.frames_in} in, {self.frames_out} out, {state}>"

    def send(self, tag: int | None, message: Any) -> bytes:
        """The frame of a message. Raises `ProtocolError` where it would be longer than a frame may be."""
        frame = self._encode(tag, message)
        if len(frame) > self.max_frame:
            raise ProtocolError(
                f"a frame of {len(frame)} bytes is over the limit of {self.max_frame}", tag, fatal=False
            )
        self.frames_out += 1
        if self._preface and not self._is_server:
            frame, self._preface = self._preface + frame, b""
        return frame

    def send_all(self, messages: list[Tagged]) -> bytes:
        """The frames of many messages in one piece, for less than they cost one by one. Raises as `send` does."""
        if self._preface and not self._is_server:
            return b"".join([self.send(tag, message) for tag, message in messages])
        frames: bytes = self._encode_all(messages)
        if len(frames) > self.max_frame:  # only then can one of them be too long
            return b"".join([self.send(tag, message) for tag, message in messages])
        self.frames_out += len(messages)
        return frames

    def _encode_each(self, messages: list[Tagged]) -> bytes:
        return b"".join([self._encode(tag, message) for tag, message in messages])

    def receive(self, data: bytes) -> list[Tagged]:
        """The messages that `data` completes, each with its tag.

        A frame that cannot be decoded but can be stepped over comes out as `Malformed`. One that cannot be stepped over
        ends the conversation: the messages before it are returned, and `error` says what was wrong.
        """
        if self.error is not None:
            return []
        held = self._buffer
        if self._preface and self._is_server:
            data = self._consume_preface(data)
            if self._preface:
                return []
        if held:
            held += data
        buffer = held or data
        if self._preface_allowed and PREFACE.match(buffer):
            self.error = self._wrong_protocol_error(bytes(buffer[:3]), buffer[3])
            return []
        size, searched = len(buffer), self._searched
        messages, start = self._read_all(buffer, searched) if self._decode_all and size <= self.max_frame else ([], 0)
        searched = max(searched, start)
        try:
            while start < size:
                end = self._frame_end(buffer, start, searched)
                if (end or size) - start > self.max_frame:
                    raise ProtocolError(f"a frame is longer than the limit of {self.max_frame} bytes")
                if not end or end > size:
                    break
                messages.append(self._read(bytes(buffer[start:end])))
                start = searched = end
        except ProtocolError as error:
            self.error = error
            self._buffer, self._searched = bytearray(), 0
            return messages
        self._preface_allowed = self._preface_allowed and not messages
        if held:
            del held[:start]
        elif start < size:
            held += buffer[start:]
        self._searched = len(held)
        return messages

    def end(self) -> list[Tagged]:
        """The peer sends no more. A frame that it left unfinished is never carried out; a server refuses it."""
        if not self._buffer or self.error is not None:
            return []
        rest, self._buffer = bytes(self._buffer), bytearray()
        if self._is_server:
            text = f"the connection ended inside a frame; the first {len(rest)} bytes of it were ignored"
            return [(None, Malformed(text))]
        self.error = ProtocolError(
            f"the connection ended inside a frame, after {len(rest)} bytes of it: {shorten(rest, 100)}"
        )
        return []

    def _consume_preface(self, data: bytes) -> bytes:
        """Hold what was received until it is a whole preface. Returns what follows the preface."""
        expected, received = self._preface, bytes(self._buffer) + data
        self._buffer.clear()
        if received.startswith(expected):
            self._preface = b""
            return received[len(expected) :]
        if expected.startswith(received):
            self._buffer += received
        elif received.startswith(expected[:-1]):
            self.error = self._wrong_version_error(received[len(expected) - 1], expected[-1])
        else:
            self.error = ProtocolError(
                f"{self.codec.name} begins with {shorten(expected)}, not with {shorten(received)}"
            )
        return b""

    def _wrong_protocol_error(self, mark: bytes, version: int) -> ProtocolError:
        """An unexpected preface means that the peer uses another protocol, or another version of this one."""
        if mark == mark_of(self.codec):
            return self._wrong_version_error(version, 1)
        return ProtocolError(
            f"{mark.decode()}, version {version}, is another protocol; this port speaks {self.codec.name}"
        )

    def _wrong_version_error(self, theirs: int, ours: int) -> ProtocolError:
        return ProtocolError(f"you speak version {theirs} of {self.codec.name}; this server speaks version {ours}")

    def _read_all(self, buffer: bytes | bytearray, searched: int) -> tuple[list[Tagged], int]:
        """All whole frames in the buffer at once, where nothing is wrong with any of them; else none."""
        try:
            messages, end = self._decode_all(buffer, searched)
        except ProtocolError:
            return [], 0
        accepts = self.accepts
        for _, message in messages:
            if not isinstance(message, accepts):
                return [], 0
        self.frames_in += len(messages)
        return messages, end

    def _read(self, frame: bytes) -> Tagged:
        try:
            tag, message = self._decode(frame)
        except ProtocolError as error:
            if error.fatal or not self._is_server:
                raise
            self.frames_in += 1
            return error.tag, Malformed(error.text)
        self.frames_in += 1
        if not isinstance(message, self.accepts):
            side = "server" if self._is_server else "client"
            raise ProtocolError(f"a {side} does not accept the message {type(message).__name__}", tag)
        return tag, message


def _batch_method(codec: Codec, name: str, *one_by_one: str) -> Any:
    """The codec's method for many messages, or None.

    A subclass that overrides what happens to one message, and not to many, is asked for each message by itself.
    """
    for cls in type(codec).__mro__:
        if name in vars(cls):
            return getattr(codec, name)
        if any(method in vars(cls) for method in one_by_one):
            return None
    return None
