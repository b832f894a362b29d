"""JSON lines: one object on one line, its keys in words.

    {"op":"Send","tag":7,"to":"bob","text":"hi"}
    {"op":"Sent","tag":7,"number":3,"delivered":true}

People can read it and every language has a parser for it; in exchange every line spells out the names of its keys. A
field that holds its default is left out, and an unknown key is refused by name. A line end never occurs inside a line,
because in a JSON string it is `\\n`."""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Union, cast

import msgspec
from msgspec.structs import astuple

from ..messages import EVENTS, REPLIES, REQUESTS, DeleteMessages, Mail, Message, ProtocolError, shorten
from .interface import Span, Tagged

_MESSAGES = {message.__name__: message for message in (*REQUESTS, *REPLIES, *EVENTS)}
_Tag = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None


class _Head(msgspec.Struct):
    """What every line has. Of a line that cannot be decoded, only this is decoded, to refuse it under its tag."""

    op: str
    tag: _Tag = None


def _line_of(message: type[Message]) -> type[Message]:
    """The message as a line has it: with its name in `op`, and its tag after its own fields."""
    line = msgspec.defstruct(
        message.__name__, [("tag", _Tag, None)], bases=(message,), kw_only=True,
        tag_field="op", tag=message.__name__, forbid_unknown_fields=True,
    )  # fmt: skip
    return cast(type[Message], line)


_MESSAGE_OF = {_line_of(message): message for message in _MESSAGES.values()}
_LINE: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[tuple(_MESSAGE_OF)])  # noqa: UP007 (it is made, not written)
_HEAD = msgspec.json.Decoder(_Head)
_NUMBERS = {message: [f for f, of in message.__annotations__.items() if of is int] for message in _MESSAGES.values()}
_NUMBER_LISTS: dict[type[Message], Callable[[Any], Any]] = {
    DeleteMessages: lambda message: message.numbers,
    Mail: lambda mail: [message.number for message in mail.messages],
}
_encode = msgspec.json.Encoder().encode
_TOKEN = re.compile(rb'[ \t\r\n]+|[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^ \t\r\n{}\[\],:"]+|.', re.DOTALL)
_PUNCTUATION = {
    b"{": "opening brace", b"}": "closing brace", b"[": "opening bracket", b"]": "closing bracket", b",": "comma",
    b":": "colon",
}  # fmt: skip


class _Annotator:
    """Goes through a line that was decoded already, and notes which bytes mean what."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        #: For each object or array that is open here: its name, and the key or the index inside it.
        self.open: list[list[Any]] = []
        self.awaits_key = False

    def line(self, frame: bytes) -> list[Span]:
        for match in _TOKEN.finditer(frame):
            token, start, end = match[0], match.start(), match.end()
            if token.isspace():
                self.note(start, end, "line end" if end == len(frame) else "space", token.decode())
            elif token in _PUNCTUATION:
                self.punctuation(token, start, end)
            elif self.awaits_key:
                self.key(token, start, end)
            else:
                self.value(token, start, end)
        return self.spans

    def note(self, start: int, end: int, name: str, value: object) -> None:
        self.spans.append((start, end, name, value))

    def name(self) -> str:
        """The field at this place, in the words of messages.py."""
        if not self.open:
            return ""
        around, inside = self.open[-1]
        if isinstance(inside, int):
            return f"{around}[{inside}]"
        return f"{around} {inside}" if around else {"op": "message"}.get(inside, str(inside))

    def punctuation(self, token: bytes, start: int, end: int) -> None:
        if token == b":" and self.spans[-1][2].startswith("key of "):
            start, _, name, value = self.spans.pop()
            self.note(start, end, name, value)
            return
        self.note(start, end, _PUNCTUATION[token], token.decode())
        if token in b"{[":
            self.open.append([self.name(), "" if token == b"{" else 0])
        elif token in b"}]":
            self.open.pop()
        elif token == b"," and isinstance(self.open[-1][1], int):
            self.open[-1][1] += 1
        self.awaits_key = token == b"{" or (token == b"," and isinstance(self.open[-1][1], str))

    def key(self, token: bytes, start: int, end: int) -> None:
        self.open[-1][1], self.awaits_key = _loaded(token), False
        if self.name() == "tag" and self.spans[-1][2] == "comma":
            comma_start, comma_end, _, comma = self.spans.pop()
            self.note(comma_start, comma_end, "comma before tag", comma)
        self.note(start, end, f"key of {self.name()}", self.open[-1][1])

    def value(self, token: bytes, start: int, end: int) -> None:
        if token[:1] != b'"':
            self.note(start, end, self.name(), _loaded(token))
            return
        self.note(start, start + 1, "quote", '"')
        if end - start > 2:
            self.note(start + 1, end - 1, self.name(), _loaded(token))
        self.note(end - 1, end, "quote", '"')


def _loaded(token: bytes) -> object:
    value = json.loads(token)
    return int(value) if isinstance(value, float) and value.is_integer() else value


class JsonCodec:
    """One JSON object a line.

    >>> from chatlab.messages import Send
    >>> JsonCodec().encode(7, Send("bob", "hi"))
    b'{"op":"Send","tag":7,"to":"bob","text":"hi"}\\n'
    """

    name = "json"
    mark = b"CLJ"

    def encode(self, tag: int | None, message: Message) -> bytes:
        head = f'{{"op":"{type(message).__name__}"' + (f',"tag":{tag}' if tag is not None else "")
        body = _encode(message)
        comma = b"," if len(body) > 2 else b""
        return head.encode() + comma + body[1:] + b"\n"

    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        return buffer.find(b"\n", searched) + 1

    def decode(self, frame: bytes) -> Tagged:
        try:
            line = _LINE.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _explained(frame, error) from error
        *values, tag = astuple(line)
        message = _MESSAGE_OF[type(line)](*values)
        kind = type(message)
        for field in _NUMBERS[kind]:
            if not -(2**63) <= getattr(message, field) < 2**63:  # the other protocols cannot hold it
                raise _too_long(field, getattr(message, field), tag)
        for number in _NUMBER_LISTS[kind](message) if kind in _NUMBER_LISTS else ():
            if not -(2**63) <= number < 2**63:
                raise _too_long("number", number, tag)
        return tag, message

    def spans(self, frame: bytes) -> list[Span]:
        """Which bytes of the line mean what: (start, end, name, value), without gaps, as the decoder reads them."""
        self.decode(frame)
        return _Annotator().line(frame)


def _too_long(field: str, number: int, tag: int | None) -> ProtocolError:
    return ProtocolError(f"{field} is a signed 64-bit integer, not {shorten(number)}", tag, fatal=False)


def _explained(frame: bytes, error: Exception) -> ProtocolError:
    """What is wrong with the line, with its tag where it has one that can be decoded."""
    try:
        keys = json.loads(frame)
        line = json.dumps(keys, ensure_ascii=False)
        head = _HEAD.decode(line.encode("utf-8", "replace"))  # msgspec decodes no lone surrogates
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ProtocolError(f"not a valid JSON message: {error}", fatal=False)
    message = _MESSAGES.get(head.op)
    if message is None:
        return ProtocolError(f"unknown message {shorten(head.op)}", head.tag, fatal=False)
    unknown = [shorten(key) for key in keys if key not in ("op", "tag", *message.__struct_fields__)]
    if unknown:
        return ProtocolError(f"{head.op} has no {' and no '.join(unknown[:3])} in version 1", head.tag, fatal=False)
    if surrogate := re.search("[\ud800-\udfff]", line):
        return ProtocolError(f"a text holds a lone surrogate, {shorten(surrogate[0])}", head.tag, fatal=False)
    return ProtocolError(f"not a valid JSON message: {error}", head.tag, fatal=False)
