"""One end of a conversation without any I/O: bytes go in and messages come out, and the other way round.

A connection keeps what it has not understood yet, finds where frames end, and hands each frame to its codec. It opens
no socket, reads no clock and starts no thread, so a test can feed it one byte at a time.

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

from ..messages import Event, Limits, Malformed, Message, ProtocolError, Reply, Request, cut
from .interface import Codec

#: How a client of ours begins that names its protocol and version; a person who types does not.
PREFACE = re.compile(rb"CL[A-Z][\x00-\x09\x0b-\x1f]")
#: What each role may hear from the other.
SERVER_ACCEPTS = Request
CLIENT_ACCEPTS = (Reply, Event)


class Connection:
    """`accepts` is the type of message (or types) that this end may be sent; anything else is a `ProtocolError`."""

    def __init__(self, codec: Codec, accepts=SERVER_ACCEPTS, max_frame: int = Limits().frame):
        self.codec = codec
        self.accepts = accepts
        self.max_frame = max_frame
        self.error: ProtocolError | None = None
        self._is_server = issubclass(Request, accepts)
        #: What the client says first, once, to name the protocol and its version; still to be said or heard.
        self._preface = getattr(codec, "preface", b"")
        self._preface_allowed = self._is_server and not self._preface  # what begins with a preface waits for no line end
        self.frames_in = self.frames_out = 0
        self._buffer = bytearray()
        self._searched = 0  # so far into the buffer there is no end of a frame
        self._frame_end, self._decode, self._encode = codec.frame_end, codec.decode, codec.encode
        self._encode_all = _batch_method(codec, "encode_all", "encode") or self._encode_each
        self._decode_all = _batch_method(codec, "decode_all", "decode", "frame_end")

    def __repr__(self):
        state = f"failed: {self.error}" if self.error else f"{len(self._buffer)} bytes of an unfinished frame"
        return f"<Connection over {self.codec.name}: {self.frames_in} in, {self.frames_out} out, {state}>"

    def send(self, tag: int | None, message: Message) -> bytes:
        """The frame that says `message`. Raises `ProtocolError` where it would be longer than a frame may be."""
        frame = self._encode(tag, message)
        if len(frame) > self.max_frame:
            raise ProtocolError(
                f"a frame of {len(frame)} bytes is over the limit of {self.max_frame}", tag, fatal=False
            )
        self.frames_out += 1
        if self._preface and not self._is_server:
            frame, self._preface = self._preface + frame, b""
        return frame

    def send_all(self, waiting: list[tuple[int | None, Message]]) -> bytes:
        """The frames of all these, in one piece, for a fraction of what they cost one by one. Raises as `send` does."""
        if self._preface and not self._is_server:
            return b"".join([self.send(tag, message) for tag, message in waiting])
        frames = self._encode_all(waiting)
        if len(frames) > self.max_frame:  # only then can one of them be too long
            return b"".join([self.send(tag, message) for tag, message in waiting])
        self.frames_out += len(waiting)
        return frames

    def _encode_each(self, waiting: list[tuple[int | None, Message]]) -> bytes:
        return b"".join([self._encode(tag, message) for tag, message in waiting])

    def receive(self, data: bytes) -> list[tuple[int | None, Message]]:
        """The messages that `data` completes, each with its tag.

        What cannot be read but can be stepped over comes out as `Malformed`. What cannot be stepped over ends the
        conversation: the messages before it are returned, and `error` says what was wrong.
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

    def end(self) -> list[tuple[int | None, Message]]:
        """The peer sends no more. A frame that it left unfinished is never carried out; it is told so."""
        if not self._buffer or self.error is not None:
            return []
        rest, self._buffer = bytes(self._buffer), bytearray()
        if self._is_server:
            return [(None, Malformed(f"the last {len(rest)} bytes are not a whole frame and were not carried out"))]
        self.error = ProtocolError(
            f"the connection ended inside a frame, after {len(rest)} bytes of it: {cut(rest, 100)}"
        )
        return []

    def _consume_preface(self, data: bytes) -> bytes:
        """Hold what has come until it is a whole preface, and take that off."""
        wanted, begun = self._preface, bytes(self._buffer) + data
        self._buffer.clear()
        if begun.startswith(wanted):
            self._preface = b""
            return begun[len(wanted) :]
        if wanted.startswith(begun):
            self._buffer += begun
        elif begun.startswith(wanted[:-1]):
            self.error = self._wrong_version_error(begun[len(wanted) - 1], wanted[-1])
        else:
            self.error = ProtocolError(f"{self.codec.name} begins with {cut(wanted)}, not with {cut(begun)}")
        return b""

    def _wrong_protocol_error(self, mark: bytes, version: int) -> ProtocolError:
        """Who opens with a preface where none is due speaks another protocol, or another version of this one."""
        if mark == getattr(self.codec, "mark", None):
            return self._wrong_version_error(version, 1)
        return ProtocolError(
            f"{mark.decode()}, version {version}, is another protocol; this port speaks {self.codec.name}"
        )

    def _wrong_version_error(self, theirs: int, ours: int) -> ProtocolError:
        return ProtocolError(f"you speak version {theirs} of {self.codec.name}; this server speaks version {ours}")

    def _read_all(self, buffer: bytes | bytearray, searched: int) -> tuple[list[tuple[int | None, Message]], int]:
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

    def _read(self, frame: bytes) -> tuple[int | None, Message]:
        try:
            tag, message = self._decode(frame)
        except ProtocolError as error:
            if error.fatal or not self._is_server:
                raise
            self.frames_in += 1
            return error.tag, Malformed(error.text)
        self.frames_in += 1
        if not isinstance(message, self.accepts):
            raise ProtocolError(f"a {type(message).__name__} may not come from this side of a conversation", tag)
        return tag, message


def _batch_method(codec: Codec, name: str, *one_by_one: str):
    """The codec's method for many messages, unless a subclass says anew what happens to one of them."""
    for cls in type(codec).__mro__:
        if name in vars(cls):
            return getattr(codec, name)
        if any(method in vars(cls) for method in one_by_one):
            return None
    return None
