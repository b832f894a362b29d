"""A codec whose answers are checked before they are believed, and what the cases of a codec share.

There is no socket and no server here. Bytes are handed over as a `Connection` hands them over, which is how all our
servers and clients read.
"""

from collections.abc import Callable, Iterable
from typing import Any

from ..codecs.connection import Connection
from ..codecs.interface import Codec, Span, Tagged, mark_of, preface_of
from ..messages import EVENTS, REPLIES, REQUESTS, Arrived, Message
from .report import CaseFailed, CaseSkipped, clipped

EVERY_KIND: tuple[type[Message], ...] = (*REQUESTS, *REPLIES, *EVENTS)
LARGEST = 2**63 - 1
TEXT_BYTES = 65536  # the longest text that a chat accepts


class CheckedCodec:
    """A codec whose every answer is checked before it is believed."""

    def __init__(self, codec: Codec):
        self.codec = codec
        self.name, self.preface, self.mark = codec.name, preface_of(codec), mark_of(codec)
        self.steps = 0  #: how often it has returned or raised: it is slow where this grows, and hangs where it does not

    def encode(self, tag: int | None, message: Message) -> bytes:
        frame = self._call(self.codec.encode, tag, message)
        if type(frame) is not bytes or not frame:
            raise CaseFailed(f"encode({tag}, {message!r})", frame, "encode returns one whole frame, as bytes.")
        return frame

    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        end = self._call(self.codec.frame_end, buffer, start, searched)
        if type(end) is not int or (end and end <= start):
            sent = f"frame_end of {clipped(repr(bytes(buffer)))} from {start}"
            hint = "An end that lies not behind the start: a loop that reads so many bytes never advances."
            raise CaseFailed(sent, end, hint, cause="frame_end returns no end")
        return end

    def decode(self, frame: bytes) -> Tagged:
        pair = self._call(self.codec.decode, frame)
        if type(pair) is not tuple or len(pair) != 2:
            raise CaseFailed(frame, pair, "decode returns two things: the tag and the message.")
        return pair

    def spans(self, frame: bytes) -> Iterable[Span]:
        """Raises `CaseSkipped` for a codec that annotates nothing."""
        spans = getattr(self.codec, "spans", None)  # without a name and a preface, it would be no AnnotatedCodec yet
        if spans is None:
            raise CaseSkipped("it has no spans; its frames are shown in one piece")
        found: Iterable[Span] = self._call(spans, frame)
        return found

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            words = ", ".join(repr(bytes(each) if isinstance(each, bytearray) else each) for each in arguments)
            error.add_note(f"{getattr(function, '__name__', 'it')}({clipped(words)})")
            raise
        finally:
            self.steps += 1


def listener(codec: CheckedCodec, max_frame: int = 1 << 20) -> Connection:
    """A Connection that accepts every message and has received the preface already."""
    connection = Connection(codec, accepts=Message, max_frame=max_frame)
    connection.receive(codec.preface)
    return connection


# ---- messages to try --------------------------------------------------------------------------------------------


def filled(
    kind: type[Message], text: str | None = None, number: int | None = None, flag: bool = True, many: int = 2
) -> Message:
    """A message of this kind with every field filled: with these values, or with a different one in each field."""
    values: dict[str, Any] = {}
    for place, (field, wanted) in enumerate(kind.__annotations__.items()):
        word, count = (f"{field}{place}" if text is None else text), (1000 + place if number is None else number)
        letter = Arrived(count, word, word, flag)
        scalar = {str: word, int: count, bool: flag}
        elements = {tuple[int, ...]: count, tuple[str, ...]: word, tuple[Arrived, ...]: letter}
        values[field] = scalar[wanted] if wanted in scalar else (elements[wanted],) * many
    return kind(**values)


def kinds_with(*wanted: type) -> list[type[Message]]:
    """The messages that have a field of one of these types, or a list of such."""
    inside: dict[type, tuple[Any, ...]] = {
        str: (str, tuple[str, ...], tuple[Arrived, ...]),
        int: (int, tuple[int, ...], tuple[Arrived, ...]),
        bool: (bool,),
    }
    types = {field_type for kind in wanted for field_type in inside[kind]}
    return [kind for kind in EVERY_KIND if types & set(kind.__annotations__.values())]


# ---- comparing --------------------------------------------------------------------------------------------------


def same(one: object, other: object) -> bool:
    """Equal in value and in type, all the way down: True is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Message):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def difference(sent: Message, got: object) -> tuple[str, str]:
    """Where the two differ, in words."""
    if type(got) is not type(sent):
        return clipped(repr(sent)), clipped(repr(got))
    fields = [name for name in sent.__struct_fields__ if not same(getattr(sent, name), getattr(got, name))]
    shown = [", ".join(f"{name}={clipped(repr(getattr(m, name)), 100)}" for name in fields) for m in (sent, got)]
    return f"{type(sent).__name__} with {shown[0]}", shown[1]


def _cause(sent: Message, got: object) -> str:
    """What many cases see alike where a value is lost, and not changed by something in it; empty where unknown."""
    if type(got) is not type(sent):
        return f"a {type(sent).__name__} comes back as something else"
    field = next(name for name in sent.__struct_fields__ if not same(getattr(sent, name), getattr(got, name)))
    value, returned = getattr(sent, field), getattr(got, field)
    if type(value) is not type(returned):
        return f"a {type(value).__name__} comes back as {type(returned).__name__}"
    if isinstance(value, bool) or not returned:
        return f"{value if isinstance(value, bool) else field} comes back as {returned!r}"
    return "a text comes back shorter" if isinstance(value, str) and value.startswith(returned) else ""


def round_trip(codec: CheckedCodec, tag: int | None, message: Message, hint: str = "") -> bytes:
    """Encode, find the end, decode; `CaseFailed` where something else comes back than was sent. Returns the frame."""
    frame = codec.encode(tag, message)
    end = codec.frame_end(frame, 0, 0)
    if end != len(frame):
        got = f"frame_end says {end}, the frame has {len(frame)} bytes: {clipped(repr(frame))}"
        raise CaseFailed(message, got, hint, cause="frame_end does not find the end of a frame that stands alone")
    got_tag, got_message = codec.decode(frame)
    if not same(got_message, message):
        raise CaseFailed(*difference(message, got_message), hint, _cause(message, got_message))
    if not same(got_tag, tag):
        raise CaseFailed(f"tag {tag}", f"tag {got_tag!r}", hint, cause="the tag does not come back")
    return frame
