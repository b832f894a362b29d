"""What a client knows between requests, blocking or async: its account, what was read, and the events not yet received.

Nothing here waits, opens a connection or takes a lock: `Client` and `AsyncClient` do, each in its own way.
"""

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from threading import TIMEOUT_MAX
from typing import TypeVar, cast

from ..messages import (
    Account,
    Acknowledge,
    Arrived,
    ConnectionLost,
    CreateAccount,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Event,
    LoggedOut,
    LogIn,
    LogOut,
    Mail,
    Message,
    Reply,
    Request,
    Unread,
    shorten,
)
from .read_state import ReadState

ANSWER_TIMEOUT_S = 30.0
ACKNOWLEDGE_EVERY = 64  # messages read, while more wait to be received
CLOSE_TIMEOUT_S = 2.0

#: These change which account a client is logged in to. They are sent one at a time: otherwise the events and replies
#: around them could not be attributed to an account.
LOGIN_CHANGES: frozenset[type[Request]] = frozenset({CreateAccount, LogIn, LogOut, DeleteAccount})
_OF_A_MAILBOX: frozenset[type[Request]] = frozenset({Unread, Acknowledge, DeleteMessages})

R = TypeVar("R", bound=Reply)

_unseeded = Random()


class Inbox:
    """What one connection brought and was not received yet, and in the end why the connection ended.

    Each connection has its own, so the end of an old one is never taken for the end of the new one.
    """

    __slots__ = ("events", "lost")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.lost: ConnectionLost | None = None

    def put(self, event: Event | ConnectionLost) -> None:
        """Add an event, or the reason for the end."""
        if isinstance(event, ConnectionLost):
            self.lost = event
        else:
            self.events.append(event)


class Login:
    """One log-in: the account and its mailbox. A later log-in is another one, even to the same account."""

    __slots__ = ("account", "mailbox")

    def __init__(self, account: Account, mailbox: ReadState):
        self.account, self.mailbox = account, mailbox


class ClientState:
    """The part of a client that is the same in a thread and in an event loop."""

    def __init__(self, protocol: str):
        self.protocol = protocol
        #: How long a verb waits for its answer.
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        #: Called with "asked", "answered" or "received" and the message, in the caller's thread.
        self.on_message: Callable[[str, Message], None] | None = None
        #: Random numbers for a script. `simulate` gives each script a seeded generator of its own.
        self.random: Random = _unseeded
        self._inbox = Inbox()
        self._login: Login | None = None
        self._last_login: Login | None = None  # the mailbox may be read on, after a log-out or a lost connection

    def __repr__(self) -> str:
        account = self.account
        who = f"logged in as {account.name} ({account.id})" if account else "not logged in"
        return f"<{self.protocol} client, {who}>"

    @property
    def account(self) -> Account | None:
        """The reply to the log-in that is in force; None while this client is logged in to no account."""
        return self._login.account if self._login else None

    @property
    def name(self) -> str:
        """The account's name, or empty while logged in to none."""
        return self._login.account.name if self._login else ""

    @property
    def events_waiting(self) -> int:
        """How many events have come and were not received yet."""
        return len(self._inbox.events)

    def _notify(self, kind: str, message: Message) -> None:
        if self.on_message is not None:
            self.on_message(kind, message)

    # ---- what a reply says of the account and its mailbox

    def _learn(self, request: Request, reply: R, login: Login | None) -> R:
        """Remember what the reply says. `login` is the one that was in force when the request was sent.

        What the verb returns: the reply, except for a page of mail, which is without what the user has read before.
        """
        kind = type(request)
        if kind in LOGIN_CHANGES:
            if isinstance(reply, Account):
                self._logged_in(reply, is_new=kind is CreateAccount)
            else:
                self._logged_out(forget=kind is DeleteAccount)
        elif kind in _OF_A_MAILBOX and login is not None and login is self._login:  # else another thread has changed it
            return cast(R, self._learn_of_mailbox(request, reply, login.mailbox))
        return reply

    def _learn_of_mailbox(self, request: Request, reply: Reply, mailbox: ReadState) -> Reply:
        if isinstance(request, Unread) and isinstance(reply, Mail):
            return Mail(mailbox.add_page(request.after, reply.messages), reply.more)
        if isinstance(request, Acknowledge):
            mailbox.acknowledge(request.number)
        elif isinstance(request, DeleteMessages) and isinstance(reply, Deleted):
            mailbox.delete(request.numbers, reply.count)
        return reply

    def _logged_in(self, account: Account, is_new: bool) -> None:
        if self._login is not None and self._login.account.id != account.id:
            self._discard_events_of_the_account_before()
        last = self._last_login
        same = last is not None and (last.account.id, last.account.name) == (account.id, account.name)
        if last is None or is_new or not same or not last.mailbox.log_in(account):
            mailbox = ReadState(account.acknowledged)
        else:
            mailbox = last.mailbox
        self._login = self._last_login = Login(account, mailbox)

    def _logged_out(self, forget: bool = False) -> None:
        self._login = None
        if forget:
            self._last_login = None
        self._inbox.events.clear()  # they are of the account that was logged out

    def _discard_events_of_the_account_before(self) -> None:
        """The server has ended the log-in before by itself. Events after its `LoggedOut` are the new account's."""
        events = self._inbox.events
        while events and not isinstance(events.popleft(), LoggedOut):
            pass

    # ---- what was read

    def _take(self) -> Event | None:
        """The next event to hand to the user, marked as read; None where there is none."""
        events = self._inbox.events
        while events:
            event = events.popleft()
            if isinstance(event, LoggedOut):
                self._login = None
            if not isinstance(event, Arrived) or self._login is None or self._login.mailbox.arrive(event.number):
                return event
        return None

    def _pending_acknowledgement(self, at_least: int) -> tuple[Login, Acknowledge] | None:
        """The acknowledgement to send, when so many messages were read since the last; and whose it is."""
        login = self._login
        if login is None or self._inbox.lost is not None:
            return None
        request = login.mailbox.pending_acknowledgement(at_least)
        return None if request is None else (login, request)

    def _mailbox_settlement(self) -> list[Request]:
        """The requests after which the mailbox holds exactly what was not read."""
        login = self._login
        if login is None or self._inbox.lost is not None:
            return []
        acknowledgement = login.mailbox.pending_acknowledgement()
        return [*([] if acknowledgement is None else [acknowledgement]), *login.mailbox.pending_deletions()]


def wrong_reply(request: Request, reply: Reply) -> str:
    """What is said of a server that answers a request with something else than the protocol says."""
    asked, answered = type(request).__name__, type(reply).__name__
    return f"the server does not speak the protocol as it should: it answered {asked} with {answered}"


def deletion(numbers: Iterable[int]) -> DeleteMessages:
    """The request that deletes messages; what is no list is left as it is, for `checked` to refuse."""
    is_list = isinstance(numbers, Iterable) and not isinstance(numbers, str)
    return DeleteMessages(tuple(numbers) if is_list else cast(tuple[int, ...], numbers))


def checked_timeout(timeout_s: float) -> float:
    """The time-out, if it is one; else `TypeError` or `ValueError`."""
    if not isinstance(timeout_s, int | float):
        raise TypeError(f"timeout_s is a number of seconds, or None, not {shorten(timeout_s)}")
    if not 0 <= timeout_s <= TIMEOUT_MAX:
        raise ValueError(
            f"timeout_s is a number of seconds from 0 on, or None to wait for ever, not {shorten(timeout_s)}"
        )
    return timeout_s
