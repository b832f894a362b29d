"""Everything that can be said in the chat: requests, their replies, events, and the errors.

A message is a frozen value. It knows what it means to a person and nothing of bytes, sockets or stores:
how it is spelled is a codec's business, what it does is the service's. The names here are the names everywhere:
in the service, on every wire, in the `.proto`, in the client's verbs.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

__all__ = [
    "Account",
    "Accounts",
    "Acknowledge",
    "Arrived",
    "Balance",
    "CODES",
    "ChatError",
    "ChatlabError",
    "Closed",
    "Code",
    "ConnectionLost",
    "CreateAccount",
    "DeleteAccount",
    "DeleteMessages",
    "Deleted",
    "Deposit",
    "Done",
    "EVENTS",
    "Entered",
    "Event",
    "Goodbye",
    "Heard",
    "Join",
    "Joined",
    "Leave",
    "Left",
    "Limits",
    "ListAccounts",
    "LogIn",
    "LogOut",
    "LoggedOut",
    "Mail",
    "Malformed",
    "Message",
    "Ping",
    "Pong",
    "ProtocolError",
    "REPLIES",
    "REQUESTS",
    "Refused",
    "Reply",
    "Request",
    "Said",
    "Say",
    "Send",
    "Sent",
    "Unread",
    "ViewBalance",
    "Withdraw",
]


class Message(Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A value that travels. Compared with `==`; never changed after it is made."""


class Request(Message, frozen=True, gc=False):
    """What a client asks. Every request is answered by exactly one `Reply`."""


class Reply(Message, frozen=True, gc=False):
    """What the server answers to one request."""


class Event(Message, frozen=True, gc=False):
    """What the server announces unasked."""


# ---- requests ---------------------------------------------------------------------------------------------------


class CreateAccount(Request, frozen=True, gc=False):
    """Create an account and log in to it. Answered by `Account`."""

    name: str
    password: str = ""


class LogIn(Request, frozen=True, gc=False):
    """Log in to an account by its name or by its id in decimal digits. Answered by `Account`."""

    account: str
    password: str = ""


class LogOut(Request, frozen=True, gc=False):
    """Stop speaking for the account; the connection lives on. Answered by `Done`."""


class ListAccounts(Request, frozen=True, gc=False):
    """One page of the names that match `pattern` (`*` any run, `?` any one character) and sort after `after`.

    Answered by `Accounts`.
    """

    pattern: str = "*"
    after: str = ""
    limit: int = 100


class Send(Request, frozen=True, gc=False):
    """Put a text into somebody's mailbox, and push it at once where they are on-line. Answered by `Sent`."""

    to: str
    text: str
    request_id: str = ""


class Unread(Request, frozen=True, gc=False):
    """One page of the mailbox: the messages numbered above `after`, oldest first. Answered by `Mail`."""

    after: int = 0
    limit: int = 100


class Acknowledge(Request, frozen=True, gc=False):
    """Everything in the mailbox up to and including `number` has been shown; drop it. Answered by `Done`."""

    number: int


class DeleteMessages(Request, frozen=True, gc=False):
    """Delete these messages from the own mailbox; numbers that are not there are passed over. Answered by `Deleted`."""

    numbers: tuple[int, ...]


class DeleteAccount(Request, frozen=True, gc=False):
    """Delete the own account; unread mail goes back to its senders. Answered by `Closed`."""


class Deposit(Request, frozen=True, gc=False):
    """Add whole credits to the own balance. `account` may repeat the own id or name. Answered by `Balance`."""

    amount: int
    account: str = ""
    request_id: str = ""


class Withdraw(Request, frozen=True, gc=False):
    """Take whole credits from the own balance; never below zero. Answered by `Balance`."""

    amount: int
    account: str = ""
    request_id: str = ""


class ViewBalance(Request, frozen=True, gc=False):
    """Ask for the own balance. Answered by `Balance`."""

    account: str = ""


class Join(Request, frozen=True, gc=False):
    """Enter a room, leaving the one before; without a name it is the lobby. Answered by `Joined`."""

    room: str = ""


class Say(Request, frozen=True, gc=False):
    """Say something to everybody else in the room. Answered by `Said`."""

    text: str
    request_id: str = ""


class Leave(Request, frozen=True, gc=False):
    """Leave the room. Answered by `Done`."""


class Ping(Request, frozen=True, gc=False):
    """Ask whether anybody is there. Answered by `Pong`."""


class Malformed(Request, frozen=True, gc=False):
    """What a connection yields in place of a frame it could not read but could step over. Never on a wire.

    It keeps its place among the requests around it, so that answers without a tag stay in order.
    """

    text: str


# ---- replies ----------------------------------------------------------------------------------------------------


class Account(Reply, frozen=True, gc=False):
    """You are logged in. `unread` counts the mailbox; mail up to `acknowledged` was dropped from it long ago."""

    id: int
    name: str
    unread: int = 0
    acknowledged: int = 0


class Accounts(Reply, frozen=True, gc=False):
    """Names in order. `next` is the `after` of the following page, or empty when there is none.

    A page may hold fewer names than were asked for: the server bounds the work of one request. It can be iterated, and
    has a length.
    """

    names: tuple[str, ...]
    next: str = ""

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Sent(Reply, frozen=True, gc=False):
    """Accepted, as message `number` of the recipient's mailbox; `delivered` tells whether it was also pushed."""

    number: int
    delivered: bool = False


class Deleted(Reply, frozen=True, gc=False):
    """So many messages were there and are gone."""

    count: int


class Closed(Reply, frozen=True, gc=False):
    """The account is gone; `paid_out` credits were on it."""

    paid_out: int


class Balance(Reply, frozen=True, gc=False):
    """The balance after the request, in whole credits."""

    amount: int


class Joined(Reply, frozen=True, gc=False):
    """You are in the room. `members` are the first hundred names, in order; `count` is everybody, you included."""

    room: str
    members: tuple[str, ...]
    count: int


class Said(Reply, frozen=True, gc=False):
    """So many other sessions in the room were told."""

    heard_by: int


class Done(Reply, frozen=True, gc=False):
    """It is done; there is nothing more to tell."""


class Pong(Reply, frozen=True, gc=False):
    """Somebody is there."""


class Refused(Reply, frozen=True, gc=False):
    """The request was refused and changed nothing. `code` is a key of `CODES`, `text` is for the user."""

    code: str
    text: str


# ---- events -----------------------------------------------------------------------------------------------------


class Arrived(Event, frozen=True, gc=False):
    """A message of the mailbox. `returned`: it is your own, back from the mailbox of an account that is gone."""

    number: int
    sender: str
    text: str
    returned: bool = False


class Entered(Event, frozen=True, gc=False):
    """Somebody came into the room."""

    room: str
    name: str


class Left(Event, frozen=True, gc=False):
    """Somebody left the room."""

    room: str
    name: str


class Heard(Event, frozen=True, gc=False):
    """Somebody said something in the room."""

    room: str
    sender: str
    text: str


class LoggedOut(Event, frozen=True, gc=False):
    """The server logged this session out; the connection lives."""

    reason: str


class Goodbye(Event, frozen=True, gc=False):
    """The last word before the server closes the connection."""

    reason: str


class Mail(Reply, frozen=True, gc=False):
    """A page of the mailbox; `more` tells whether messages follow it."""

    messages: tuple[Arrived, ...]
    more: bool = False


REQUESTS = (
    LogIn, CreateAccount, Deposit, Withdraw, ViewBalance, ListAccounts, Send, Unread, Acknowledge, DeleteMessages,
    LogOut, Join, Say, Leave, Ping, DeleteAccount,
)  # fmt: skip
REPLIES = (Account, Accounts, Sent, Mail, Deleted, Closed, Balance, Joined, Said, Done, Pong, Refused)
EVENTS = (Arrived, Entered, Left, Heard, LoggedOut, Goodbye)


# ---- limits -----------------------------------------------------------------------------------------------------


class Limits(Struct, frozen=True):
    """What one peer may cost another. Sizes in bytes, times in seconds, the rest are counts."""

    frame: int = 1 << 20  #: the longest frame, whole
    text: int = 64 << 10  #: the longest text of a message, in UTF-8
    mailbox: int = 100_000  #: messages that wait for one account
    mailbox_bytes: int = 64 << 20  #: bytes of their texts; a mailbox that holds as much takes no more
    mail_bytes: int = 1 << 30  #: and those of all mailboxes together
    accounts: int = 100_000  #: accounts of one server
    session_accounts: int = 100  #: accounts that one connection may create and not delete
    outbox: int = 10_000  #: messages that wait for one slow connection
    outbox_bytes: int = 16 << 20  #: and the bytes of what is in them
    first_frame_s: float = 30.0  #: until a newcomer's first complete frame
    linger_s: float = 1.0  #: for the last words to a peer that does not read
    sessions: int = 10_000  #: connections of one server
    password_checks: int = 64  #: passwords that are being checked, or wait for it
    streams: int = 64  #: event streams of a thread-pool gRPC server: each holds a thread


# ---- errors -----------------------------------------------------------------------------------------------------


class Code(NamedTuple):
    """One way to be refused: the gRPC status that carries it, and what it means in a sentence."""

    status: str
    sentence: str


CODES = {
    "BAD_NAME": Code("INVALID_ARGUMENT", "A name is 1 to 64 letters, digits or _ . -, and not digits alone."),
    "NAME_TAKEN": Code("ALREADY_EXISTS", "The name is taken."),
    "NO_SUCH_ACCOUNT": Code("NOT_FOUND", "There is no account of that name or id."),
    "WRONG_PASSWORD": Code("PERMISSION_DENIED", "The password is wrong."),
    "PASSWORD_REQUIRED": Code("INVALID_ARGUMENT", "This server takes only accounts with a password."),
    "NOT_LOGGED_IN": Code("FAILED_PRECONDITION", "Create an account or log in first."),
    "ALREADY_LOGGED_IN": Code("FAILED_PRECONDITION", "This connection is logged in to another account; log out first."),
    "NOT_YOUR_ACCOUNT": Code("PERMISSION_DENIED", "Only its owner can see or change a balance."),
    "TEXT_TOO_LONG": Code("INVALID_ARGUMENT", "The text is over the server's limit."),
    "BAD_VALUE": Code("INVALID_ARGUMENT", "A value is outside what the request allows."),
    "OVERDRAFT": Code("FAILED_PRECONDITION", "The balance is too low."),
    "OVERFLOW": Code("OUT_OF_RANGE", "The balance would pass the largest number it can hold."),
    "NOT_IN_ROOM": Code("FAILED_PRECONDITION", "Join a room first."),
    "MAILBOX_FULL": Code("RESOURCE_EXHAUSTED", "The recipient must read or delete something first."),
    "REQUEST_ID_REUSED": Code("ABORTED", "The request id was used for another request."),
    "SERVER_FULL": Code("RESOURCE_EXHAUSTED", "The server takes no more at the moment; try again later."),
    "NO_SESSION": Code("UNAUTHENTICATED", "Open the event stream first and send its session token."),
    "MALFORMED": Code("INVALID_ARGUMENT", "The request could not be read."),
    "FRAME_TOO_LONG": Code("RESOURCE_EXHAUSTED", "The request is longer than a frame may be."),
}


class ChatlabError(Exception):
    """The base of every error that chatlab raises on purpose. Its subclasses say who must act."""


class ChatError(ChatlabError):
    """Refused: the *user* must act. Nothing was changed and the connection lives. `code` is a key of `CODES`."""

    def __init__(self, code: str, text: str = ""):
        super().__init__(code, text or CODES[code].sentence)
        self.code, self.text = self.args

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class ProtocolError(ChatlabError):
    """The *peer* sent nonsense. It is told why; after a `fatal` one the connection closes.

    `tag` is the tag of the frame where that much could be read. A text of more than 400 characters is cut, for it may
    quote what the peer sent.
    """

    def __init__(self, text: str, tag: int | None = None, fatal: bool = True):
        text = text if len(text) <= 400 else text[:400] + "…"
        super().__init__(text)
        self.text, self.tag, self.fatal = text, tag, fatal


class ConnectionLost(ChatlabError, ConnectionError):
    """*Unknown*: the connection ended before the reply came. The request may or may not have been carried out."""


def shorten(value: object, limit: int = 40) -> str:
    """A wrong value as an error text shows it, with at most `limit` bytes of it: text in quotes, all else without.

    >>> shorten("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'"
    >>> shorten("80000"), shorten(80000)
    ("'80000'", '80000')
    """
    if isinstance(value, str | bytes):
        start = value[: limit + 1]  # one character more, to see that something was cut
        return repr(_shortened(start if isinstance(start, str) else start.decode("utf-8", "replace"), limit))
    plain = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in repr(value)[: limit + 1])
    return _shortened(plain, limit)


def _shortened(text: str, limit: int) -> str:
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore") + "…"


def checked(request: Request) -> Request:
    """The request, if every field has its type and fits every wire; else `TypeError`, or `ChatError` BAD_VALUE."""
    for field, kind in type(request).__annotations__.items():
        value = getattr(request, field)
        if kind is str and type(value) is str:
            _check_text(field, value)
        elif kind is int and type(value) is int:
            _check_number(field, value)
        elif kind == tuple[int, ...] and isinstance(value, tuple) and all(type(number) is int for number in value):
            for number in value:
                _check_number(field, number)
        elif kind == tuple[int, ...] and isinstance(value, tuple):
            wrong = next(number for number in value if type(number) is not int)
            raise TypeError(
                f"{field} is a list of whole numbers, and holds {shorten(wrong)} of type {type(wrong).__name__}"
            )
        else:
            wanted = {str: "a string", int: "a whole number"}.get(kind, "a list of whole numbers")
            raise TypeError(f"{field} is {wanted}, not {shorten(value)} of type {type(value).__name__}")
    return request


def _check_text(field: str, value: str) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ChatError("BAD_VALUE", f"{field} holds a lone surrogate, {shorten(value[error.start])}") from error


def _check_number(field: str, value: int) -> None:
    if not -(2**63) <= value < 2**63:
        raise ChatError("BAD_VALUE", f"{field} is a signed 64-bit integer, not {shorten(value)}")
