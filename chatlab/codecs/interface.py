"""Spellings of the same messages: a codec turns a message into the bytes of one frame and back.

A codec is a small thing without state and without I/O. `Codec` says what one must offer; a class that offers it need
not inherit from anything. Each file beside this one is one spelling.
"""

from typing import Protocol

from ..messages import Message


class Codec(Protocol):
    """How to spell a message, where a frame ends, and how to read it back.

    `name` is what users call the protocol. A *tag* is a whole number from 1 to 2**63 - 1 that a client picks for a
    request and that the reply repeats; an event has none, which is spelled None.
    """

    name: str
    preface: bytes = b""  #: what a client says first, once: the protocol, and as the last byte its version
    mark: bytes = b""  #: where version 1 has no preface: how that of a later version will begin, before the version

    def encode(self, tag: int | None, message: Message) -> bytes:
        """One whole frame."""

    def frame_end(self, buffer: bytes, start: int, searched: int) -> int:
        """Where the frame that begins at `start` ends: the index after its last byte, or 0 while nobody can know.

        The answer may lie beyond the buffer's end, once a length was read. Up to `searched` an earlier call looked
        already and found no end: whoever looks for a delimiter starts there, or a frame that arrives in many pieces
        costs quadratic time. Raises `ProtocolError` where no frame can begin like this.
        """

    def decode(self, frame: bytes) -> tuple[int | None, Message]:
        """The tag and the message of one whole frame.

        Raises `ProtocolError`, with `fatal=False` where the next frame can still be read.
        """


class BatchCodec(Codec, Protocol):
    """A codec that also spells and reads many messages at once, where that costs a fraction of one by one.

    A `Connection` uses these two where a codec offers them; what they do must be what the one-by-one methods do.
    """

    def encode_all(self, waiting: list[tuple[int | None, Message]]) -> bytes:
        """The frames of all these, one after the other."""

    def decode_all(self, buffer: bytes, searched: int) -> tuple[list[tuple[int | None, Message]], int]:
        """All whole frames that the buffer begins with, and where the last of them ends.

        Raises `ProtocolError` where any of them cannot be read: then each is looked at by itself.
        """
