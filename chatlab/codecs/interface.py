"""What a codec is: it turns a message into the bytes of one frame, and back.

A codec is a small object without state and without I/O. `Codec` says what it must offer; a class that offers this need
not inherit from anything. Two abilities are optional: `BatchCodec`, to encode and decode many messages at once, and
`AnnotatedCodec`, to tell which bytes mean what. Each of the other files here is one codec, or uses them.
"""

from typing import Protocol, TypeGuard, runtime_checkable

from ..messages import Message

#: One part of a frame: the index of its first byte and of the byte after its last, the field's name, and its value.
Span = tuple[int, int, str, object]
#: A message with its tag.
Tagged = tuple[int | None, Message]


class Codec(Protocol):
    """How to encode a message, where a frame ends, and how to decode it.

    A *tag* is a whole number from 1 to 2**63 - 1 that a client picks for a request and that the reply repeats; an event
    has none, which is None.

    Two attributes are optional. `preface` is what a client sends first, once: bytes that name the protocol, and as the
    last its version. `mark` is, where version 1 has no preface, how that of a later version will begin, before the
    version. `preface_of` and `mark_of` return them.
    """

    @property
    def name(self) -> str:
        """What users call the protocol."""

    def encode(self, tag: int | None, message: Message) -> bytes:
        """One whole frame."""

    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        """Where the frame that begins at `start` ends: the index after its last byte, or 0 while it cannot be known.

        The index may lie beyond the end of the buffer, once a length was read. Up to `searched` an earlier call has
        looked and found no end. A codec that looks for a delimiter starts there, or a frame that arrives in many pieces
        costs quadratic time. Raises `ProtocolError` where no frame can begin like this.
        """

    def decode(self, frame: bytes) -> Tagged:
        """The tag and the message of one whole frame.

        Raises `ProtocolError`, with `fatal=False` where the next frame can still be read.
        """


@runtime_checkable
class BatchCodec(Codec, Protocol):
    """A codec that can also encode and decode many messages at once, for less than they cost one by one.

    A `Connection` uses these methods where a codec has them. Their results must be those of the one-by-one methods.
    """

    def encode_all(self, messages: list[Tagged]) -> bytes:
        """The frames of all these messages, one after the other."""

    def decode_all(self, buffer: bytes | bytearray, searched: int) -> tuple[list[Tagged], int]:
        """The messages of all whole frames that the buffer begins with, and the index after the last of these frames.

        Raises `ProtocolError` where any of them cannot be decoded; then each frame is decoded by itself.
        """


@runtime_checkable
class AnnotatedCodec(Codec, Protocol):
    """A codec that can also tell which bytes of a frame mean what, for dissection."""

    def spans(self, frame: bytes) -> list[Span]:
        """The parts of the frame, in order and without gaps, as the decoder reads them. Raises as `decode` does."""


def is_annotated(codec: Codec) -> TypeGuard[AnnotatedCodec]:
    """Whether a codec tells which bytes of a frame mean what."""
    return hasattr(codec, "spans")


def preface_of(codec: Codec) -> bytes:
    """What a client of this codec sends first, once; empty where the codec has no preface."""
    preface: bytes = getattr(codec, "preface", b"")
    return preface


def mark_of(codec: Codec) -> bytes:
    """How the preface of a later version of this codec will begin; empty where it is not known."""
    mark: bytes = getattr(codec, "mark", b"")
    return mark
