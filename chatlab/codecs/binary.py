r"""The compact protocol: what both sides know already is not sent.

    08 46 07 03 62 6f 62 68 69      Send("bob", "hi") with the tag 7
    |  |  |  |  b  o  b  h  i
    |  |  |  3 bytes of `to`; `text` comes last, so the end of the frame is its end
    |  |  the tag
    |  message 6, a tag follows
    8 bytes follow

A connection opens with `CLB` and the version. A frame is its length, one byte that says which message it is, a tag and
a request id where there are any, and the fields in the order of the schema, without names. Whole numbers are varints
(LEB128, as in protobuf and DWARF) in their shortest form. A boolean is a bit of the
second byte.
"""

from collections.abc import Callable
from typing import Any

from ..messages import EVENTS, REPLIES, REQUESTS, Arrived, Message, ProtocolError, Request
from .interface import Span, Tagged

#: The number of a message is its place here. Only append: the places are part of the protocol.
MESSAGE_TYPES: tuple[type[Message], ...] = (*REQUESTS, *REPLIES, *EVENTS)
MESSAGE_NUMBERS = {message: number for number, message in enumerate(MESSAGE_TYPES)}
HAS_TAG = 0x40
FLAG = 0x80  # of a request: a request id follows; of any other message: its boolean field is true
MAX_LENGTH_BYTES = 5
MAX_VARINT_BYTES = 10  # of 64 bits


def _shape(message: type[Message]) -> tuple[tuple[tuple[str, Any], ...], str]:
    """The fields that are sent in bytes of their own, with their types, and the one that is sent as `FLAG` (or "")."""
    fields = [(name, kind) for name, kind in message.__annotations__.items() if name != "request_id"]
    flag = next((name for name, kind in fields if kind is bool), "")
    return tuple((name, kind) for name, kind in fields if kind is not bool), flag


SHAPE = {message: _shape(message) for message in MESSAGE_TYPES}


def varint(number: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first. A negative number is its 64-bit two's complement.

    >>> varint(1).hex(" "), varint(300).hex(" ")
    ('01', 'ac 02')
    """
    if 0 <= number < 0x80:
        return bytes((number,))
    rest = number & 0xFFFF_FFFF_FFFF_FFFF
    digits = bytearray()
    while rest >= 0x80:
        digits.append(rest & 0x7F | 0x80)
        rest >>= 7
    digits.append(rest)
    return bytes(digits)


def _sized(text: str) -> bytes:
    raw = text.encode()
    return varint(len(raw)) + raw


def _encode_arrived(message: Arrived) -> bytes:
    return varint(message.number) + _sized(message.sender) + bytes((message.returned,)) + _sized(message.text)


#: How one element of a list is encoded, by the type of the list.
_ELEMENT: dict[Any, Callable[[Any], bytes]] = {
    tuple[int, ...]: varint,
    tuple[str, ...]: _sized,
    tuple[Arrived, ...]: _encode_arrived,
}


def _encode_field(kind: Any, value: Any, last: bool) -> bytes:
    if kind is int:
        return varint(value)
    if kind is str:
        return value.encode() if last else _sized(value)
    elements = b"".join(map(_ELEMENT[kind], value))
    return elements if last else varint(len(value)) + elements


class _Reader:
    """One frame, read from left to right. With `spans` it also notes which bytes mean what."""

    def __init__(self, frame: bytes, spans: list[Span] | None = None):
        self.frame, self.at, self.spans = frame, 0, spans

    def note(self, start: int, name: str, value: object) -> None:
        if self.spans is not None:
            self.spans.append((start, self.at, name, value))

    def byte(self, name: str) -> int:
        if self.at >= len(self.frame):
            raise ValueError(f"the frame ends before {name}")
        self.at += 1
        return self.frame[self.at - 1]

    def varint(self, name: str) -> int:
        start, number = self.at, 0
        for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
            digit = self.byte(name)
            number |= (digit & 0x7F) << shift
            if digit < 0x80:
                break
        if digit >= 0x80 or number >= 2**64 or (digit == 0 and shift):
            raise ValueError(f"{name} is not a varint of 64 bits in its shortest form")
        number = number if number < 2**63 else number - 2**64
        self.note(start, name, number)
        return number

    def text(self, name: str, size: int | None = None) -> str:
        if size is None:
            size = self.varint(f"length of {name}")
        start = self.at
        if not 0 <= size <= len(self.frame) - start:
            raise ValueError(f"{name} has {size} bytes, but {len(self.frame) - start} are left in the frame")
        self.at = start + size
        value = self.frame[start : self.at].decode()
        if size:
            self.note(start, name, value)
        return value

    def arrived(self, name: str) -> Arrived:
        number, sender, start = self.varint(f"{name} number"), self.text(f"{name} sender"), self.at
        returned = self.byte(f"{name} returned")
        if returned > 1:
            raise ValueError(f"{name} returned is 0 or 1, not {returned}")
        self.note(start, f"{name} returned", bool(returned))
        return Arrived(number, sender, self.text(f"{name} text"), bool(returned))

    def field(self, name: str, kind: Any, last: bool) -> Any:
        if kind is int:
            return self.varint(name)
        if kind is str:
            return self.text(name, len(self.frame) - self.at if last else None)
        readers: dict[Any, Callable[[str], object]] = {
            tuple[int, ...]: self.varint,
            tuple[str, ...]: self.text,
            tuple[Arrived, ...]: self.arrived,
        }
        element = readers[kind]
        elements: list[object] = []
        if last:
            while self.at < len(self.frame):
                elements.append(element(f"{name}[{len(elements)}]"))
        else:
            count = self.varint(f"count of {name}")
            if not 0 <= count <= len(self.frame) - self.at:  # an element takes at least one byte
                raise ValueError(f"{name} has {count} elements, but {len(self.frame) - self.at} bytes are left")
            for index in range(count):
                elements.append(element(f"{name}[{index}]"))
        return tuple(elements)

    def message(self) -> Tagged:
        self.varint("length")
        start, kind = self.at, self.byte("message")
        number = kind & 0x3F
        if number >= len(MESSAGE_TYPES):
            raise ValueError(f"version 1 of this protocol has no message {number}")
        message = MESSAGE_TYPES[number]
        self.note(start, "message", message.__name__)
        tag = self.varint("tag") if kind & HAS_TAG else None
        if tag is not None and tag < 1:
            raise ValueError(f"a tag is from 1 to {2**63 - 1}, not {tag}")
        return tag, self._body(message, bool(kind & FLAG), tag)

    def _body(self, message: type[Message], flagged: bool, tag: int | None) -> Message:
        shape, flag = SHAPE[message]
        values: dict[str, Any] = {}
        try:
            if issubclass(message, Request):
                if flagged and "request_id" not in message.__annotations__:
                    raise ValueError(f"{message.__name__} takes no request id")
                if flagged:
                    values["request_id"] = self.text("request_id")
            elif flag:
                values[flag] = flagged
            elif flagged:
                raise ValueError(f"{message.__name__} has no boolean field")
            for name, kind in shape:
                values[name] = self.field(name, kind, name == shape[-1][0])
            if self.at < len(self.frame):
                raise ValueError(f"{len(self.frame) - self.at} bytes follow the last field of {message.__name__}")
            return message(**values)
        except ValueError as error:
            raise ProtocolError(f"not a valid binary message: {error}", tag, fatal=False) from error


class BinaryCodec:
    r"""Varints and texts in the order of the schema.

    >>> from chatlab.messages import Send
    >>> BinaryCodec().encode(7, Send("bob", "hi")).hex(" ")
    '08 46 07 03 62 6f 62 68 69'
    """

    name = "binary"
    preface = b"CLB\x01"  # the protocol and its version

    def encode(self, tag: int | None, message: Message) -> bytes:
        kind = MESSAGE_NUMBERS[type(message)]
        shape, flag = SHAPE[type(message)]
        head = b""
        if tag is not None:
            kind |= HAS_TAG
            head = varint(tag)
        request_id = getattr(message, "request_id", "")
        if request_id:
            kind |= FLAG
            head += _sized(request_id)
        elif flag and getattr(message, flag):
            kind |= FLAG
        last = shape[-1][0] if shape else ""
        body = head + b"".join([_encode_field(field, getattr(message, name), name == last) for name, field in shape])
        return varint(len(body) + 1) + bytes((kind,)) + body

    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        size = shift = 0
        for at in range(start, min(len(buffer), start + MAX_LENGTH_BYTES)):
            digit = buffer[at]
            size |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                if not size:
                    raise ProtocolError("a frame holds at least one byte, not 0")
                return at + 1 + size
        if shift == 7 * MAX_LENGTH_BYTES:
            raise ProtocolError(f"a frame's length has at most {MAX_LENGTH_BYTES} bytes")
        return 0

    def decode(self, frame: bytes) -> Tagged:
        try:
            return _Reader(frame).message()
        except ValueError as error:
            raise ProtocolError(f"not a valid binary message: {error}", fatal=False) from error

    def spans(self, frame: bytes) -> list[Span]:
        """Which bytes of the frame mean what: (start, end, name, value), without gaps, as the decoder reads them."""
        spans: list[Span] = []
        _Reader(frame, spans).message()
        return spans
