"""The rules of the chat: what every request means for accounts, mail, rooms and balances, whatever protocol carries it.

`Chat.handle` takes a session and a request. It returns the reply and the events to deliver to other sessions, or raises
the `ChatError` that refuses the request. The service is given a store; it knows no codec, no socket, no thread and no
clock. It never waits and it is not thread-safe: its caller (the hub) holds a lock.
"""

from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

from ..messages import (
    Account,
    Accounts,
    Acknowledge,
    Arrived,
    Balance,
    ChatError,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Deposit,
    Done,
    Entered,
    Event,
    Heard,
    Join,
    Joined,
    Leave,
    Left,
    Limits,
    ListAccounts,
    LoggedOut,
    LogIn,
    LogOut,
    Mail,
    Malformed,
    Ping,
    Pong,
    Reply,
    Request,
    Said,
    Say,
    Send,
    Sent,
    Unread,
    ViewBalance,
    Withdraw,
    shorten,
)
from .names import MAX_PATTERN, checked_name, checked_room, matcher, normalized
from .passwords import checked_password
from .storage import MemoryStore, Store, StoredAccount, StoredMessage

MAX_NUMBER = 2**63 - 1  # what every codec and every store can hold
PAGE = 1_000  # names, messages or numbers in one request or reply
PAGE_BYTES = 128 << 10  # of text in one page of mail: escaped sixfold it still fits a frame
SEARCH_STEPS = 100_000  # characters compared in one search, so that it does not hold the lock for long
MEMBERS_SHOWN = 100
LOBBY = "lobby"  # the room that is meant where a request names none


class Session:
    """One connected client: the account it is logged in to (id 0 for none), and the room it is in."""

    __slots__ = ("id", "name", "room")

    def __init__(self) -> None:
        self.id = 0
        self.name = ""
        self.room = ""

    def __repr__(self) -> str:
        account = f"{self.name} ({self.id})" if self.id else "nobody yet"
        return f"<Session of {account}{f' in {self.room}' if self.room else ''}>"


S = TypeVar("S", bound=Session)
Deliveries = list[tuple[S, Event]]  #: events, each with the session that is to get it
Outcome = tuple[Reply, Deliveries[S]]


class Chat(Generic[S]):
    """One chat. With `password_required`, no account can be created or logged in to that has no password."""

    def __init__(self, store: Store | None = None, limits: Limits = Limits(), password_required: bool = False):
        self.store: Store = MemoryStore() if store is None else store
        self.limits = limits
        self.password_required = password_required
        self._online: dict[int, list[S]] = {}
        self._rooms: dict[str, dict[int, list[S]]] = {}
        self._verbs: dict[type[Request], Callable[[S, Any], Outcome[S]]] = {
            CreateAccount: self.create_account,
            LogIn: self.log_in,
            LogOut: self.log_out,
            ListAccounts: self.list_accounts,
            Send: self.send,
            Unread: self.unread,
            Acknowledge: self.acknowledge,
            DeleteMessages: self.delete_messages,
            DeleteAccount: self.delete_account,
            Deposit: self.deposit,
            Withdraw: self.withdraw,
            ViewBalance: self.view_balance,
            Join: self.join,
            Say: self.say,
            Leave: self.leave,
            Ping: self.ping,
            Malformed: self.malformed,
        }

    def __repr__(self) -> str:
        return f"<Chat: {self.store!r}, {len(self._online)} on-line, {len(self._rooms)} rooms>"

    def handle(self, session: S, request: Request) -> Outcome[S]:
        """Carry out one request. Raises `ChatError` where it is refused; then nothing was changed."""
        if not session.id and type(request) not in _ALLOWED_WITHOUT_LOGIN:
            raise ChatError("NOT_LOGGED_IN")
        return self._verbs[type(request)](session, request)

    def end_session(self, session: S) -> Deliveries[S]:
        """Log the session out: its connection is gone, or its account is, or it asked for it."""
        if not session.id:
            return []
        deliveries = self._leave_room(session)
        sessions = self._online[session.id]
        sessions.remove(session)
        if not sessions:
            del self._online[session.id]
        session.id, session.name = 0, ""
        return deliveries

    # ---- accounts

    def stored_hash(self, session: S, request: CreateAccount | LogIn) -> str:
        """The hash that the request's password has to fit, for the caller to check; empty where there is none.

        Raises `ChatError` where the request is refused whatever the hash is, so that it need not be made.
        """
        checked_password(request.password)
        if isinstance(request, LogIn):
            return self._account_to_log_in_to(session, request).password_hash
        self._name_of_new_account(session, request)
        return ""

    def create_account(self, session: S, request: CreateAccount, password_hash: str = "") -> Outcome[S]:
        """`password_hash` is made by the caller, without the lock: the service never stores a password."""
        name = self._name_of_new_account(session, request)
        if request.password and not password_hash:
            raise TypeError("hash the password before calling create_account, and pass password_hash (Hub.ask does)")
        return self._welcome(session, self.store.create(name, password_hash)), []

    def _name_of_new_account(self, session: S, request: CreateAccount) -> str:
        _require_no_login(session)
        name = checked_name(request.name)
        if self.password_required and not request.password:
            raise ChatError("PASSWORD_REQUIRED")
        if self.store.by_name(name) is not None:
            raise ChatError("NAME_TAKEN", f"the name {shorten(name)} is taken")
        return name

    def log_in(self, session: S, request: LogIn, password_hash: str = "") -> Outcome[S]:
        """`password_hash` is the stored hash that the caller found the password to fit, or empty if it did not."""
        record = self._account_to_log_in_to(session, request)
        if record.password_hash and record.password_hash != password_hash:
            raise ChatError("WRONG_PASSWORD", f"that is not the password of {shorten(record.name)}")
        return self._welcome(session, record), []

    def _account_to_log_in_to(self, session: S, request: LogIn) -> StoredAccount:
        record = self._find(request.account)
        if session.id != record.id:
            _require_no_login(session)
        if self.password_required and not record.password_hash:
            raise ChatError("PASSWORD_REQUIRED", f"{shorten(record.name)} has no password, and this server demands one")
        return record

    def log_out(self, session: S, request: LogOut) -> Outcome[S]:
        return Done(), self.end_session(session)

    def list_accounts(self, session: S, request: ListAccounts) -> Outcome[S]:
        limit = checked_limit(request.limit)
        if len(request.pattern) > MAX_PATTERN:
            raise ChatError("BAD_VALUE", f"a pattern has at most {MAX_PATTERN} characters, not {len(request.pattern)}")
        pattern = normalized(request.pattern)
        matches = matcher(pattern)
        prefix = pattern[: min((pattern.find(c) for c in "*?" if c in pattern), default=len(pattern))]
        # A piece with a `?` may be compared at every place of a name, one character after the other.
        factor = len(pattern) if "*" in pattern and "?" in pattern else 1
        found: list[str] = []
        steps = 0
        last = ""
        for name in self.store.names(request.after, prefix):
            if len(found) == limit or steps >= SEARCH_STEPS:
                return Accounts(tuple(found), next=last), []
            if matches(name):
                found.append(name)
            last = name
            steps += len(name) * factor + len(pattern)
        return Accounts(tuple(found)), []

    def delete_account(self, session: S, request: DeleteAccount) -> Outcome[S]:
        id, name = session.id, session.name
        deliveries: Deliveries[S] = []
        for message in list(self.store.mail(id)):
            deliveries += self._bounce(message, id, name)
        paid_out = self.store.balance(id)
        self.store.delete(id)
        for other in list(self._online[id]):
            deliveries += self.end_session(other)
            if other is not session:
                deliveries.append((other, LoggedOut(f"the account {name} was deleted")))
        return Closed(paid_out), deliveries

    # ---- mail

    def send(self, session: S, request: Send) -> Outcome[S]:
        text = request.text
        if len(text) * 4 > self.limits.text:  # no character takes more than four bytes
            self._check_text(text)
        if request.request_id:
            return self._idempotent(session, request, self._send)
        return self._send(session, request)

    def _send(self, session: S, request: Send) -> Outcome[S]:
        store = self.store
        record = store.by_name(request.to) or self._find(request.to)
        if store.unread(record.id) >= self.limits.mailbox:
            raise ChatError("MAILBOX_FULL", f"{shorten(record.name)} has {self.limits.mailbox} messages, the limit")
        number = store.put(record.id, session.id, session.name, request.text)
        online = self._online.get(record.id)
        if online is None:
            return Sent(number, False), []
        event = Arrived(number, session.name, request.text)
        deliveries: Deliveries[S] = []
        for other in online:  # a comprehension costs twice as much where there is one
            deliveries.append((other, event))
        return Sent(number, True), deliveries

    def unread(self, session: S, request: Unread) -> Outcome[S]:
        limit = checked_limit(request.limit)
        page: list[Arrived] = []
        size = 0
        for message in self.store.mail(session.id, min(request.after, MAX_NUMBER)):
            size += len(message.text.encode())
            if page and (len(page) == limit or size > PAGE_BYTES):
                return Mail(tuple(page), more=True), []
            page.append(Arrived(message.number, message.sender, message.text, message.returned))
        return Mail(tuple(page)), []

    def acknowledge(self, session: S, request: Acknowledge) -> Outcome[S]:
        self.store.acknowledge(session.id, min(request.number, MAX_NUMBER))
        return Done(), []

    def delete_messages(self, session: S, request: DeleteMessages) -> Outcome[S]:
        if len(request.numbers) > PAGE:
            raise ChatError("BAD_VALUE", f"at most {PAGE} messages at once, not {len(request.numbers)}")
        numbers = [number for number in request.numbers if 0 < number <= MAX_NUMBER]
        return Deleted(self.store.remove(session.id, numbers)), []

    # ---- balance

    def deposit(self, session: S, request: Deposit) -> Outcome[S]:
        return self._idempotent(session, request, self._change_balance)

    def withdraw(self, session: S, request: Withdraw) -> Outcome[S]:
        return self._idempotent(session, request, self._change_balance)

    def _change_balance(self, session: S, request: Deposit | Withdraw) -> Outcome[S]:
        self._must_own(session, request.account)
        amount = request.amount
        if not 1 <= amount <= MAX_NUMBER:
            raise ChatError("BAD_VALUE", f"an amount is a whole number from 1 to {MAX_NUMBER}, not {shorten(amount)}")
        before = self.store.balance(session.id)
        after = before + amount if isinstance(request, Deposit) else before - amount
        if after < 0:
            raise ChatError("OVERDRAFT", f"the balance is {before}, too low to withdraw {amount}")
        if after > MAX_NUMBER:
            raise ChatError("OVERFLOW", f"the balance is {before} and cannot pass {MAX_NUMBER}")
        self.store.set_balance(session.id, after)
        return Balance(after), []

    def view_balance(self, session: S, request: ViewBalance) -> Outcome[S]:
        self._must_own(session, request.account)
        return Balance(self.store.balance(session.id)), []

    # ---- rooms

    def join(self, session: S, request: Join) -> Outcome[S]:
        room = checked_room(request.room or LOBBY)
        deliveries = self._leave_room(session) if session.room != room else []
        members = self._rooms.setdefault(room, {})
        if session.room != room:
            if session.id not in members:
                event = Entered(room, session.name)
                deliveries += [(other, event) for sessions in members.values() for other in sessions]
            members.setdefault(session.id, []).append(session)
            session.room = room
        names = sorted(sessions[0].name for sessions in members.values())
        return Joined(room, tuple(names[:MEMBERS_SHOWN]), len(names)), deliveries

    def say(self, session: S, request: Say) -> Outcome[S]:
        if not session.room:
            raise ChatError("NOT_IN_ROOM")
        self._check_text(request.text)
        return self._idempotent(session, request, self._say)

    def _say(self, session: S, request: Say) -> Outcome[S]:
        event = Heard(session.room, session.name, request.text)
        members = self._rooms[session.room].values()
        deliveries: Deliveries[S] = [
            (other, event) for sessions in members for other in sessions if other is not session
        ]
        return Said(len(deliveries)), deliveries

    def leave(self, session: S, request: Leave) -> Outcome[S]:
        if not session.room:
            raise ChatError("NOT_IN_ROOM")
        return Done(), self._leave_room(session)

    # ---- neither

    def ping(self, session: S, request: Ping) -> Outcome[S]:
        return Pong(), []

    def malformed(self, session: S, request: Malformed) -> NoReturn:
        raise ChatError("MALFORMED", request.text)

    # ---- what several verbs need

    def _lookup(self, name_or_id: str) -> StoredAccount | None:
        record = self.store.by_name(name_or_id)
        if record is not None:
            return record
        if len(name_or_id) < 20 and name_or_id.isascii() and name_or_id.isdigit():
            return self.store.by_id(int(name_or_id))
        return self.store.by_name(normalized(name_or_id))

    def _find(self, name_or_id: str) -> StoredAccount:
        record = self._lookup(name_or_id)
        if record is None:
            raise ChatError("NO_SUCH_ACCOUNT", f"there is no account {shorten(name_or_id)}")
        return record

    def _welcome(self, session: S, record: StoredAccount) -> Account:
        """Log the session in."""
        if not session.id:
            session.id, session.name = record.id, record.name
            self._online.setdefault(record.id, []).append(session)
        return Account(record.id, record.name, self.store.unread(record.id), self.store.acknowledged(record.id))

    def _idempotent(self, session: S, request: Any, act: Callable[[S, Any], Outcome[S]]) -> Outcome[S]:
        """Carry out a request that may have a request id: a repeat gets the first reply and changes nothing."""
        request_id = request.request_id
        if not request_id:
            return act(session, request)
        if len(request_id) > 64:
            raise ChatError("BAD_VALUE", f"a request id has at most 64 characters, not {len(request_id)}")
        saved = self.store.saved_reply(session.id, request_id)
        if saved is None:
            reply, deliveries = act(session, request)
            self.store.save_reply(session.id, request_id, request, reply)
            return reply, deliveries
        if saved[0] != request:
            raise ChatError("REQUEST_ID_REUSED", f"the request id {shorten(request_id)} was used for another request")
        return saved[1], []

    def _bounce(self, message: StoredMessage, id: int, name: str) -> Deliveries[S]:
        """Return an unread message of a deleted account to its sender's mailbox. A returned one is dropped."""
        if message.returned or message.sender_id == id or self.store.by_id(message.sender_id) is None:
            return []
        number = self.store.put(message.sender_id, id, name, message.text, returned=True)
        event = Arrived(number, name, message.text, returned=True)
        return [(other, event) for other in self._online.get(message.sender_id, ())]

    def _leave_room(self, session: S) -> Deliveries[S]:
        room, session.room = session.room, ""
        if not room:
            return []
        members = self._rooms[room]
        members[session.id].remove(session)
        if members[session.id]:
            return []  # another session of the account is still there
        del members[session.id]
        if not members:
            del self._rooms[room]
        event = Left(room, session.name)
        return [(other, event) for sessions in members.values() for other in sessions]

    def _must_own(self, session: S, account: str) -> None:
        if account and self._find(account).id != session.id:
            raise ChatError("NOT_YOUR_ACCOUNT", f"{shorten(account)} is not the account you are logged in to")

    def _check_text(self, text: str) -> None:
        size = len(text.encode())
        if size > self.limits.text:
            raise ChatError("TEXT_TOO_LONG", f"a text has at most {self.limits.text} bytes, not {size}")


_ALLOWED_WITHOUT_LOGIN = {CreateAccount, LogIn, Ping, Malformed}


def _require_no_login(session: Session) -> None:
    if session.id:
        raise ChatError("ALREADY_LOGGED_IN", f"this connection is logged in as {session.name}; log out first")


def checked_limit(limit: int) -> int:
    """How long a page is asked to be, or `ChatError`."""
    if not 1 <= limit <= PAGE:
        raise ChatError("BAD_VALUE", f"a page has 1 to {PAGE} entries, not {shorten(limit)}")
    return limit
