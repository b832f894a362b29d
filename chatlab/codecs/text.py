r"""The text protocol: lines of UTF-8 that a person can type, with `|` between the fields.

    1|John                          create an account, as a person types it
    account|1|John|0|0              the reply
    #7|6|bob|hi                     send, with the tag 7 that the reply repeats
    #7|sent|3|yes

A request begins with the number of its operation, a reply or an event with its word. A tag (`#7|`) and a request id
(`@rent|`) may precede that. A raw `|` or line end never occurs inside a field: they are escaped as `\p`, `\n` and `\r`,
and a backslash as `\\`, so that splitting at `|` is always right. `docs/protocol.md` has the whole grammar.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from ..messages import (
    Account,
    Accounts,
    Acknowledge,
    Arrived,
    Balance,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Deposit,
    Done,
    Entered,
    Goodbye,
    Heard,
    Join,
    Joined,
    Leave,
    Left,
    ListAccounts,
    LoggedOut,
    LogIn,
    LogOut,
    Mail,
    Message,
    Ping,
    Pong,
    ProtocolError,
    Refused,
    Said,
    Say,
    Send,
    Sent,
    Unread,
    ViewBalance,
    Withdraw,
    shorten,
)
from .interface import Span, Tagged

_ESCAPES = str.maketrans({"|": r"\p", "\\": r"\\", "\n": r"\n", "\r": r"\r"})
_ESCAPED = re.compile(r"\\([pnr\\])")
_MEANING = {"p": "|", "n": "\n", "r": "\r", "\\": "\\"}


def escape(text: str) -> str:
    r"""The text as a field of a line, without a raw `|` or line end.

    >>> print(escape("a|b"), escape("c:\\dir"))
    a\pb c:\\dir
    """
    # Four searches for a character take a third of the time of one regular expression.
    if "|" in text or "\\" in text or "\n" in text or "\r" in text:
        return text.translate(_ESCAPES)
    return text


def unescape(field: str) -> str:
    r"""The text of a field. A backslash before any other character stands for itself.

    >>> unescape(r"a\pb"), unescape(r"1\2")
    ('a|b', '1\\2')
    """
    return _ESCAPED.sub(lambda found: _MEANING[found[1]], field) if "\\" in field else field


def _text_fields(*strings: str) -> str:
    return "".join(["|" + escape(s) for s in strings])


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _request_id(m: Deposit | Withdraw | Send | Say) -> str:
    return f"@{escape(m.request_id)}|" if m.request_id else ""


def _mail_fields(mail: Mail) -> str:
    return "".join(["|" + _message_fields(message) for message in mail.messages])


def _message_fields(m: Arrived) -> str:
    return f"{m.number}|{escape(m.sender)}|{_yes(m.returned)}|{escape(m.text)}"


#: For every message its line, without tag and line end.
ENCODERS: dict[type[Message], Callable[[Any], str]] = {
    LogIn: lambda m: f"0{_text_fields(m.account, m.password)}" if m.password else f"0{_text_fields(m.account)}",
    CreateAccount: lambda m: f"1{_text_fields(m.name, m.password)}" if m.password else f"1{_text_fields(m.name)}",
    Deposit: lambda m: f"{_request_id(m)}2{_text_fields(m.account)}|{m.amount}",
    Withdraw: lambda m: f"{_request_id(m)}3{_text_fields(m.account)}|{m.amount}",
    ViewBalance: lambda m: f"4{_text_fields(m.account)}",
    ListAccounts: lambda m: f"5{_text_fields(m.pattern, m.after)}|{m.limit}",
    Send: lambda m: f"{_request_id(m)}6|{escape(m.to)}|{escape(m.text)}",
    Unread: lambda m: f"7|{m.after}|{m.limit}",
    Acknowledge: lambda m: f"8|{m.number}",
    DeleteMessages: lambda m: "|".join(["9", *map(str, m.numbers)]),
    LogOut: lambda m: "10",
    Join: lambda m: f"11|{escape(m.room)}",
    Say: lambda m: f"{_request_id(m)}12|{escape(m.text)}",
    Leave: lambda m: "13",
    Ping: lambda m: "14",
    DeleteAccount: lambda m: "15",
    Account: lambda m: f"account|{m.id}|{escape(m.name)}|{m.unread}|{m.acknowledged}",
    Accounts: lambda m: f"accounts{_text_fields(m.next, *m.names)}",
    Sent: lambda m: f"sent|{m.number}|{'yes' if m.delivered else 'no'}",
    Mail: lambda m: f"mail|{_yes(m.more)}{_mail_fields(m)}",
    Deleted: lambda m: f"deleted|{m.count}",
    Closed: lambda m: f"closed|{m.paid_out}",
    Balance: lambda m: f"balance|{m.amount}",
    Joined: lambda m: f"joined|{escape(m.room)}|{m.count}{_text_fields(*m.members)}",
    Said: lambda m: f"said|{m.heard_by}",
    Done: lambda m: "done",
    Pong: lambda m: "pong",
    Refused: lambda m: f"!{_text_fields(m.code, m.text)}",
    Arrived: lambda m: f"arrived|{m.number}|{escape(m.sender)}|{'yes' if m.returned else 'no'}|{escape(m.text)}",
    Entered: lambda m: f"entered{_text_fields(m.room, m.name)}",
    Left: lambda m: f"left{_text_fields(m.room, m.name)}",
    Heard: lambda m: f"heard{_text_fields(m.room, m.sender, m.text)}",
    LoggedOut: lambda m: f"logged_out|{escape(m.reason)}",
    Goodbye: lambda m: f"goodbye|{escape(m.reason)}",
}


class _Fields:
    """The fields of one line, taken from left to right. Each error names the field that is missing or wrong."""

    def __init__(self, word: str, fields: list[str]):
        self.word, self.fields, self.at = word, fields, 0

    def text(self, what: str, default: str | None = None) -> str:
        if self.at >= len(self.fields):
            if default is None:
                raise ValueError(f"{self.word} needs {what}")
            return default
        self.at += 1
        return unescape(self.fields[self.at - 1])

    def number(self, what: str, default: int | None = None) -> int:
        field = self.text(what, None if default is None else "")
        return _number(field, what) if field or default is None else default

    def flag(self, what: str) -> bool:
        return _flag(self.text(what), what)

    def free_text(self, what: str) -> str:
        """The last field of a line that people type: `|` in it is a character like any other."""
        if self.at >= len(self.fields):
            raise ValueError(f"{self.word} needs {what}")
        rest, self.at = self.fields[self.at :], len(self.fields)
        return unescape("|".join(rest))

    def rest(self) -> list[str]:
        rest, self.at = self.fields[self.at :], len(self.fields)
        return rest

    def message(self) -> Arrived:
        number, sender, returned = self.number("a number"), self.text("a sender"), self.flag("returned")
        return Arrived(number, sender, self.text("a text"), returned)

    def messages(self) -> tuple[Arrived, ...]:
        return tuple(self.message() for _ in range((len(self.fields) - self.at) // 4))

    def texts(self) -> tuple[str, ...]:
        return tuple([unescape(field) for field in self.rest()])


def _number(field: str, what: str) -> int:
    if len(field) < 19 and field.isdigit() and field.isascii():  # nearly every number; takes half the time
        return int(field)
    digits = field[1:] if field[:1] == "-" else field
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise ValueError(f"{what} is a whole number, not {shorten(field)}")
    number = int(field)
    if not -(2**63) <= number < 2**63:  # more than the other codecs and the stores can hold
        raise ValueError(f"{what} is a signed 64-bit integer, not {shorten(field)}")
    return number


def _flag(field: str, what: str) -> bool:
    if field not in ("yes", "no"):
        raise ValueError(f"{what} is yes or no, not {shorten(field)}")
    return field == "yes"


#: For every first field the message that the other fields make. The second argument is the request id.
DECODERS: dict[str, Callable[[_Fields, str], Message]] = {
    "0": lambda f, id: LogIn(f.text("a name or an id"), f.text("a password", "")),
    "1": lambda f, id: CreateAccount(f.text("a name"), f.text("a password", "")),
    "2": lambda f, id: Deposit(account=f.text("an account"), amount=f.number("the amount"), request_id=id),
    "3": lambda f, id: Withdraw(account=f.text("an account"), amount=f.number("the amount"), request_id=id),
    "4": lambda f, id: ViewBalance(f.text("an account", "")),
    "5": lambda f, id: ListAccounts(f.text("a pattern", "*"), f.text("a name", ""), f.number("the limit", 100)),
    "6": lambda f, id: Send(f.text("a recipient"), f.free_text("a text"), id),
    "7": lambda f, id: Unread(f.number("a number", 0), f.number("the limit", 100)),
    "8": lambda f, id: Acknowledge(f.number("a number")),
    "9": lambda f, id: DeleteMessages(tuple([_number(field, "a message's number") for field in f.rest()])),
    "10": lambda f, id: LogOut(),
    "11": lambda f, id: Join(f.text("a room", "")),
    "12": lambda f, id: Say(f.free_text("a text"), id),
    "13": lambda f, id: Leave(),
    "14": lambda f, id: Ping(),
    "15": lambda f, id: DeleteAccount(),
    "account": lambda f, id: Account(f.number("an id"), f.text("a name"), f.number("unread"), f.number("acknowledged")),
    "accounts": lambda f, id: Accounts(next=f.text("a name"), names=f.texts()),
    "sent": lambda f, id: Sent(f.number("a number"), f.flag("delivered")),
    "mail": lambda f, id: Mail(more=f.flag("more"), messages=f.messages()),
    "deleted": lambda f, id: Deleted(f.number("a count")),
    "closed": lambda f, id: Closed(f.number("an amount")),
    "balance": lambda f, id: Balance(f.number("an amount")),
    "joined": lambda f, id: Joined(f.text("a room"), count=f.number("a count"), members=f.texts()),
    "said": lambda f, id: Said(f.number("a count")),
    "done": lambda f, id: Done(),
    "pong": lambda f, id: Pong(),
    "!": lambda f, id: Refused(f.text("a code"), f.text("a text")),
    "arrived": lambda f, id: f.message(),
    "entered": lambda f, id: Entered(f.text("a room"), f.text("a name")),
    "left": lambda f, id: Left(f.text("a room"), f.text("a name")),
    "heard": lambda f, id: Heard(f.text("a room"), f.text("a sender"), f.text("a text")),
    "logged_out": lambda f, id: LoggedOut(f.text("a reason")),
    "goodbye": lambda f, id: Goodbye(f.text("a reason")),
}
_WITH_REQUEST_ID = {"2", "3", "6", "12"}

#: A faster way for the lines of a relayed message that have exactly so many fields and nothing escaped: it takes a
#: third of the time.
FAST_DECODERS: dict[str, tuple[int, Callable[[list[str]], Message]]] = {
    "6": (3, lambda f: Send(f[1], f[2])),
    "8": (2, lambda f: Acknowledge(_number(f[1], "a number"))),
    "sent": (3, lambda f: Sent(_number(f[1], "a number"), _flag(f[2], "delivered"))),
    "done": (1, lambda f: Done()),
    "arrived": (5, lambda f: Arrived(_number(f[1], "a number"), f[2], f[4], _flag(f[3], "returned"))),
}
_NO_FAST_DECODER: tuple[int, Callable[[list[str]], Message]] = (0, lambda fields: Done())


#: The names of the fields behind each first field, for those who want to see which bytes say what.
FIELD_ORDER = {
    "0": "account password",
    "1": "name password",
    "2": "account amount",
    "3": "account amount",
    "4": "account",
    "5": "pattern after limit",
    "6": "to text",
    "7": "after limit",
    "8": "number",
    "9": "numbers",
    "10": "",
    "11": "room",
    "12": "text",
    "13": "",
    "14": "",
    "15": "",
    "account": "id name unread acknowledged",
    "accounts": "next names",
    "sent": "number delivered",
    "mail": "more messages",
    "deleted": "count",
    "closed": "paid_out",
    "balance": "amount",
    "joined": "room count members",
    "said": "heard_by",
    "done": "",
    "pong": "",
    "!": "code text",
    "arrived": "number sender returned text",
    "entered": "room name",
    "left": "room name",
    "heard": "room sender text",
    "logged_out": "reason",
    "goodbye": "reason",
}


def _values(word: str, message: Message) -> Iterator[tuple[str, object]]:
    """The name and the value of every field of the line, in order; of a list, of every element."""
    for name in FIELD_ORDER[word].split():
        value = getattr(message, name)
        if not isinstance(value, tuple):
            yield name, value
            continue
        for index, element in enumerate(value):
            if isinstance(element, Arrived):
                for part in FIELD_ORDER["arrived"].split():
                    yield f"{name}[{index}] {part}", getattr(element, part)
            else:
                yield f"{name}[{index}]", element


class _Annotator:
    """Goes through a line that was decoded already, and notes which bytes mean what."""

    def __init__(self) -> None:
        self.at = 0
        self.spans: list[Span] = []

    def note(self, raw: bytes, name: str, value: object) -> None:
        if raw:
            self.spans.append((self.at, self.at + len(raw), name, value))
            self.at += len(raw)

    def marked(self, fields: list[bytes], mark: bytes, name: str, value: object) -> None:
        """A tag or a request id, if the line begins with one: its mark, itself and the separator after it."""
        if fields[0].startswith(mark):
            self.note(mark, f"mark of {name}", mark.decode())
            self.note(fields.pop(0)[1:], name, value)
            self.note(b"|", f"separator after {name}", "|")

    def line(self, frame: bytes, tag: int | None, message: Message) -> list[Span]:
        body = frame.removesuffix(b"\n").removesuffix(b"\r")
        fields = body.split(b"|")
        self.marked(fields, b"#", "tag", tag)
        self.marked(fields, b"@", "request_id", getattr(message, "request_id", ""))
        word = fields.pop(0)
        self.note(word, "message", type(message).__name__)
        values = list(_values(word.decode().strip(), message))
        if len(fields) > len(values):  # typed by hand: the last field holds the rest of the line
            fields[len(values) - 1 :] = [b"|".join(fields[len(values) - 1 :])]
        for raw, (name, value) in zip(fields, values):
            self.note(b"|", "separator", "|")
            self.note(raw, name, value)
        self.note(frame[len(body) :], "line end", frame[len(body) :].decode())
        return self.spans


class TextCodec:
    r"""Lines of UTF-8.

    >>> text = TextCodec()
    >>> text.encode(7, Send("bob", "a|b"))
    b'#7|6|bob|a\\pb\n'
    >>> text.decode(b"6|bob|a|b\r\n")
    (None, Send(to='bob', text='a|b', request_id=''))
    """

    name = "text"
    mark = b"CLT"

    def encode(self, tag: int | None, message: Message) -> bytes:
        line = ENCODERS[type(message)](message)
        return f"{line}\n".encode() if tag is None else f"#{tag}|{line}\n".encode()

    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        return buffer.find(b"\n", searched) + 1

    def decode(self, frame: bytes) -> Tagged:
        tag = None
        try:
            line = frame.decode().removesuffix("\n").removesuffix("\r")
            tag, fields = self._tagged(line)
            return tag, self._message(line, fields)
        except UnicodeDecodeError as error:
            wrong = f"a line is UTF-8; byte {error.start} of it, 0x{frame[error.start]:02x}, is not"
            raise ProtocolError(wrong, tag, fatal=False) from error
        except ValueError as error:
            raise ProtocolError(str(error), tag, fatal=False) from error

    def encode_all(self, messages: list[Tagged]) -> bytes:
        lines = [
            f"{ENCODERS[type(message)](message)}\n" if tag is None else f"#{tag}|{ENCODERS[type(message)](message)}\n"
            for tag, message in messages
        ]
        return "".join(lines).encode()

    def decode_all(self, buffer: bytes | bytearray, searched: int) -> tuple[list[Tagged], int]:
        end = buffer.rfind(b"\n", searched) + 1
        if not end:
            return [], 0
        messages: list[Tagged] = []
        try:
            text = buffer[:end].decode()
            lines = (text.replace("\r\n", "\n") if "\r" in text else text).split("\n")
            lines.pop()  # nothing follows the last line end
            for line in lines:
                tag, fields = self._tagged(line)
                messages.append((tag, self._message(line, fields)))
        except ValueError as error:
            raise ProtocolError(str(error), fatal=False) from error
        return messages, end

    def spans(self, frame: bytes) -> list[Span]:
        """Which bytes of the line mean what: (start, end, name, value), without gaps, as the decoder reads them."""
        return _Annotator().line(frame, *self.decode(frame))

    def _tagged(self, line: str) -> tuple[int | None, list[str]]:
        """The tag of the line, or None, and the fields after it."""
        fields = line.split("|")
        if line[:1] != "#":
            return None, fields
        field = fields.pop(0)
        digits = field[1:]
        # The tags that programs send, without calling two functions.
        number = int(digits) if len(digits) < 19 and digits.isdigit() and digits.isascii() else 0
        return number or self._tag(field), fields or [""]

    def _tag(self, field: str) -> int:
        tag = _number(field[1:], "a tag")
        if not 1 <= tag < 2**63:
            raise ValueError(f"a tag is from 1 to {2**63 - 1}, not {shorten(field)}")
        return tag

    def _message(self, line: str, fields: list[str]) -> Message:
        count, read = FAST_DECODERS.get(fields[0], _NO_FAST_DECODER)
        if count == len(fields) and "\\" not in line:
            return read(fields)
        request_id = ""
        if fields[0][:1] == "@":
            request_id = unescape(fields.pop(0)[1:])
        word = fields[0].strip() if fields else ""
        decode = DECODERS.get(word)
        if decode is None:
            raise ValueError(f"unknown operation {shorten(word)}; a line begins with a number from 0 to 15")
        if request_id and word not in _WITH_REQUEST_ID:
            raise ValueError(f"{word} takes no request id")
        taken = _Fields(word, fields[1:])
        message = decode(taken, request_id)
        if taken.at < len(taken.fields):
            raise ValueError(f"{word} takes {taken.at} fields, not {len(taken.fields)}")
        return message
