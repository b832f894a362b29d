"""JSON lines: one object on one line, its keys in words.

    {"op":"Send","tag":7,"to":"bob","text":"hi"}
    {"op":"Sent","tag":7,"number":3,"delivered":true}

Everybody can read it and every language has a parser for it; the price is the names of all the keys, every time.
A field that holds its default is left out, and a key that nobody knows is refused by name. JSON itself keeps a line
end out of a line: inside a string it is `\\n`.
"""

import json
import re
from typing import Annotated, Union

import msgspec
from msgspec.structs import astuple

from ..messages import EVENTS, REPLIES, REQUESTS, DeleteMessages, Mail, Message, ProtocolError, cut

_MESSAGES = {message.__name__: message for message in (*REQUESTS, *REPLIES, *EVENTS)}
_Tag = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None


class _Head(msgspec.Struct):
    """What every line has in common. Of a line that cannot be read it is read alone, to know whom to tell."""

    op: str
    tag: _Tag = None


def _line_of(message: type[Message]) -> type[Message]:
    """The message as it stands on a line: with its name in `op`, and its tag behind its own fields."""
    return msgspec.defstruct(
        message.__name__, [("tag", _Tag, None)], bases=(message,), kw_only=True,
        tag_field="op", tag=message.__name__, forbid_unknown_fields=True,
    )  # fmt: skip


_MEANT = {_line_of(message): message for message in _MESSAGES.values()}
_LINE = msgspec.json.Decoder(Union[tuple(_MEANT)])
_HEAD = msgspec.json.Decoder(_Head)
_NUMBERS = {message: [f for f, of in message.__annotations__.items() if of is int] for message in _MESSAGES.values()}
_LISTS = {
    DeleteMessages: lambda message: message.numbers,
    Mail: lambda message: [each.number for each in message.messages],
}
_encode = msgspec.json.Encoder().encode
_TOKEN = re.compile(rb'[ \t\r\n]+|[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^ \t\r\n{}\[\],:"]+|.', re.DOTALL)
_PUNCTUATION = {
    b"{": "opening brace", b"}": "closing brace", b"[": "opening bracket", b"]": "closing bracket", b",": "comma",
    b":": "colon",
}  # fmt: skip


class _Walk:
    """A line that was read already, walked once more to note which bytes said what."""

    def __init__(self):
        self.spans: list[tuple[int, int, str, object]] = []
        self.open: list[list] = []  # of each object or list around here: its name, and the index or the key inside it
        self.awaits_key = False

    def line(self, frame: bytes) -> list:
        for found in _TOKEN.finditer(frame):
            token, start, end = found[0], found.start(), found.end()
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
        """What is being read, in the words of messages.py."""
        if not self.open:
            return ""
        around, inside = self.open[-1]
        if isinstance(inside, int):
            return f"{around}[{inside}]"
        return f"{around} {inside}" if around else {"op": "message"}.get(inside, inside)

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
        self.awaits_key = token == b"{" or token == b"," and isinstance(self.open[-1][1], str)

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


def _loaded(token: bytes):
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

    def frame_end(self, buffer: bytes, start: int, searched: int) -> int:
        return buffer.find(b"\n", searched) + 1

    def decode(self, frame: bytes) -> tuple[int | None, Message]:
        try:
            line = _LINE.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _explained(frame, error) from error
        *values, tag = astuple(line)
        message = _MEANT[type(line)](*values)
        kind = type(message)
        for field in _NUMBERS[kind]:
            if not -(2**63) <= getattr(message, field) < 2**63:  # JSON has no end of numbers; the other protocols do
                raise _too_long(field, getattr(message, field), tag)
        for number in _LISTS[kind](message) if kind in _LISTS else ():
            if not -(2**63) <= number < 2**63:
                raise _too_long("number", number, tag)
        return tag, message

    def spans(self, frame: bytes) -> list[tuple[int, int, str, object]]:
        """Which bytes of the line say what: (start, end, name, value), without gaps, as the decoder read them."""
        self.decode(frame)
        return _Walk().line(frame)


def _too_long(field: str, number: int, tag: int | None) -> ProtocolError:
    return ProtocolError(f"{field} is a whole number of at most 63 bits, not {cut(number)}", tag, fatal=False)


def _explained(frame: bytes, error: Exception) -> ProtocolError:
    """What is wrong with the line, under its tag where it has one that can be read."""
    try:
        keys = json.loads(frame)
        line = json.dumps(keys, ensure_ascii=False)
        head = _HEAD.decode(
            line.encode("utf-8", "replace")
        )  # msgspec reads no halves of characters, as "\ud800" is one
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ProtocolError(f"not a message in JSON: {error}", fatal=False)
    message = _MESSAGES.get(head.op)
    if message is None:
        return ProtocolError(f"no message is called {cut(head.op)}", head.tag, fatal=False)
    unknown = [cut(key) for key in keys if key not in ("op", "tag", *message.__struct_fields__)]
    if unknown:
        return ProtocolError(f"{head.op} has no {' and no '.join(unknown)} in version 1", head.tag, fatal=False)
    if half := re.search("[\ud800-\udfff]", line):
        return ProtocolError(f"a text holds half a character, {cut(half[0])}", head.tag, fatal=False)
    return ProtocolError(f"not a message in JSON: {error}", head.tag, fatal=False)
