"""The rules of the chat: what every request means for accounts, mail, rooms and balances, whatever protocol carries it.

`Chat.handle` takes a session and a request. It returns the reply and the events to deliver to other sessions, or raises
the `ChatError` that refuses the request. The service is given a store; it knows no codec, no socket, no thread and no
clock. It never waits and it is not thread-safe: its caller (the hub) holds a lock.
"""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, Generic, NoReturn, TypeVar

from msgspec import msgpack
from msgspec.structs import astuple

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
from .weight import NAME, frame_weight, text_weight

MAX_NUMBER = 2**63 - 1  # what every codec and every store can hold
PAGE = 1_000  # names, messages or numbers in one request or reply
ENTRY_BYTES = 128  # a bound of what a name or a message in a page takes in a frame beside its text
SEARCH_STEPS = 100_000  # characters compared in one search, so that it does not hold the lock for long
MEMBERS_SHOWN = 100
STEP_MESSAGES, STEP_LOOKED_AT, STEP_BYTES = 100, 2_000, 256 << 10  # of a deleted account's mail, in one step
LOBBY = "lobby"  # the room that is meant where a request names none


class Session:
    """One connected client: the account it is logged in to (id 0 for none), and the room it is in."""

    __slots__ = ("created", "id", "name", "room")

    def __init__(self) -> None:
        self.id = 0
        self.name = ""
        self.room = ""
        self.created = 0  # accounts that it has created, less those that it has deleted

    def __repr__(self) -> str:
        account = f"{self.name} ({self.id})" if self.id else "no account"
        return f"<Session of {account}{f' in {self.room}' if self.room else ''}>"


S = TypeVar("S", bound=Session)
Deliveries = list[tuple[S, Event]]  #: events, each with the session that is to get it
Outcome = tuple[Reply, Deliveries[S]]


class _Bounce:
    """A deleted account whose unread mail is being returned to its senders."""

    __slots__ = ("after", "id", "name", "postponed")

    def __init__(self, id: int, name: str):
        self.id, self.name = id, name
        self.begin_again()

    def begin_again(self) -> None:
        """Begin another pass through the mailbox."""
        self.after = 0  # the number of the last message that was looked at
        self.postponed: set[int] = set()  # senders who get their messages in the next pass


class Chat(Generic[S]):
    """One chat. With `password_required`, no account can be created or logged in to that has no password."""

    def __init__(self, store: Store | None = None, limits: Limits = Limits(), password_required: bool = False):
        self.store: Store = MemoryStore() if store is None else store
        self.limits = limits
        self.password_required = password_required
        self._online: dict[int, list[S]] = {}
        self._rooms: dict[str, dict[int, list[S]]] = {}
        self._bounces = self._unfinished_bounces()
        #: Whether so many messages of such a weight can be pushed to a session; asked before messages are returned.
        self.has_room: Callable[[S, int, int], bool] = lambda session, count, weight: True
        #: Called when there is work for `step`.
        self.on_unfinished: Callable[[], None] = lambda: None
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
        """Carry out one request. Raises `ChatError` where it is refused; then nothing was changed.

        The caller commits what was written to the store, or calls `rollback` where anything else is raised. What cannot
        be rolled back, as logging a session in or out, is done only after a commit of our own.
        """
        kind = type(request)
        if not session.id and kind not in _ALLOWED_WITHOUT_LOGIN:
            raise ChatError("NOT_LOGGED_IN")
        if kind in _WITH_REQUEST_ID and request.request_id:  # type: ignore[attr-defined]
            return self._idempotent(session, request, self._verbs[kind])
        return self._verbs[kind](session, request)

    def rollback(self) -> None:
        """Undo what was written since the last commit."""
        self.store.rollback()
        self._bounces = self._unfinished_bounces()

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

    # ---- what takes longer than one request may

    @property
    def unfinished(self) -> int:
        """How many jobs there are for `step`."""
        return len(self._bounces) + self.store.has_garbage

    def step(self) -> tuple[Deliveries[S], bool]:
        """Do a bounded part of what requests have left over, one job after the other.

        The second value is False where the job has to wait for a session to read. The caller commits, as for `handle`.
        """
        had_garbage = self.store.has_garbage
        if had_garbage:
            self.store.purge()
        if not self._bounces:
            return [], had_garbage
        bounce = self._bounces.popleft()
        self._bounces.append(bounce)
        deliveries, progressed = self._bounce_some(bounce)
        return deliveries, progressed or had_garbage

    def _bounce_some(self, bounce: _Bounce) -> tuple[Deliveries[S], bool]:
        """Return some messages of a deleted account to their senders; False where none could be returned or dropped.

        A sender who has a session without room for more is passed over until the next pass through the mailbox.
        """
        deliveries: Deliveries[S] = []
        settled: list[int] = []
        messages, is_last = self._next_to_bounce(bounce)
        for message in messages:
            deliveries += self._bounce(message, bounce)
            settled.append(message.number)
        self.store.remove(bounce.id, settled)
        if not is_last:
            return deliveries, bool(settled)
        if bounce.postponed:
            bounce.begin_again()
            return deliveries, bool(settled)
        self.store.forget(bounce.id)
        self._bounces = deque([other for other in self._bounces if other is not bounce])
        return deliveries, True

    def _unfinished_bounces(self) -> deque[_Bounce]:
        return deque([_Bounce(id, name) for id, name in self.store.deleted()])

    def _next_to_bounce(self, bounce: _Bounce) -> tuple[list[StoredMessage], bool]:
        """The next messages that can be returned now, and whether the mailbox ends after them."""
        messages: list[StoredMessage] = []
        planned: dict[S, tuple[int, int]] = {}  # for each session: how many messages it is to get, and their weight
        size = 0
        for looked_at, message in enumerate(self.store.mail(bounce.id, bounce.after)):
            if len(messages) == STEP_MESSAGES or looked_at == STEP_LOOKED_AT or size > STEP_BYTES:
                return messages, False
            size += len(message.text)
            bounce.after = message.number
            sessions = self._online.get(message.sender_id, ())
            plans = {}
            for session in sessions:
                count, weight = planned.get(session, (0, 0))
                plans[session] = (count + 1, weight + NAME + text_weight(message.text))
            if message.sender_id in bounce.postponed or not all(self.has_room(to, *plan) for to, plan in plans.items()):
                bounce.postponed.add(message.sender_id)
            else:
                planned |= plans
                messages.append(message)
        return messages, True

    def _bounce(self, message: StoredMessage, bounce: _Bounce) -> Deliveries[S]:
        """Return a message to its sender's mailbox; drop it where it was returned before, or finds no room there."""
        if message.returned or message.sender_id == bounce.id:
            return []
        sender = self.store.by_id(message.sender_id)
        if sender is None or self._is_full(sender):
            return []
        number = self.store.put(sender.id, bounce.id, bounce.name, message.text, returned=True)
        event = Arrived(number, bounce.name, message.text, returned=True)
        return [(session, event) for session in self._online.get(sender.id, ())]

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
        record = self.store.create(name, password_hash)
        self.store.commit()
        session.created += 1
        return self._welcome(session, record), []

    def _name_of_new_account(self, session: S, request: CreateAccount) -> str:
        _require_no_login(session)
        name = checked_name(request.name)
        if self.password_required and not request.password:
            raise ChatError("PASSWORD_REQUIRED")
        if self.store.by_name(name) is not None:
            raise ChatError("NAME_TAKEN", f"the name {shorten(name)} is taken")
        if session.created >= self.limits.session_accounts:
            raise ChatError("SERVER_FULL", f"one connection may create {self.limits.session_accounts} accounts")
        if self.store.account_count >= self.limits.accounts:
            raise ChatError("SERVER_FULL", f"the server has {self.store.account_count} accounts and takes no more")
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
        room = self.limits.frame - ENTRY_BYTES
        last = ""
        for name in self.store.names(request.after, prefix):
            if len(found) == limit or steps >= SEARCH_STEPS or room < ENTRY_BYTES:
                return Accounts(tuple(found), next=last), []
            if matches(name):
                found.append(name)
                room -= ENTRY_BYTES + text_weight(name)
            last = name
            steps += len(name) * factor + len(pattern)
        return Accounts(tuple(found)), []

    def delete_account(self, session: S, request: DeleteAccount) -> Outcome[S]:
        """The mail is returned to its senders in steps: the first one now, the others by `step`."""
        id, name = session.id, session.name
        paid_out = self.store.balance(id)
        self.store.delete(id)
        bounce = _Bounce(id, name)
        self._bounces.append(bounce)
        deliveries, _ = self._bounce_some(bounce)
        self.store.commit()
        session.created -= 1
        for other in list(self._online[id]):
            deliveries += self.end_session(other)
            if other is not session:
                deliveries.append((other, LoggedOut(f"the account {name} was deleted")))
        if self.unfinished:
            self.on_unfinished()
        return Closed(paid_out), deliveries

    # ---- mail

    def send(self, session: S, request: Send) -> Outcome[S]:
        store, limits = self.store, self.limits
        text = request.text
        if len(text) * 4 > limits.text:  # no character takes more than four bytes
            self._check_text(text)
        record = store.by_name(request.to) or self._find(request.to)
        if record.unread >= limits.mailbox or record.mail_bytes >= limits.mailbox_bytes:
            raise ChatError("MAILBOX_FULL", f"{shorten(record.name)} has {record.unread} messages, and takes no more")
        if store.mail_bytes >= limits.mail_bytes:
            raise ChatError("MAILBOX_FULL", "the server keeps as much mail as it can")
        number = store.put(record.id, session.id, session.name, text)
        online = self._online.get(record.id)
        if online is None:
            return Sent(number, False), []
        event = Arrived(number, session.name, text)
        deliveries: Deliveries[S] = []
        for other in online:  # a comprehension costs twice as much where there is one
            deliveries.append((other, event))
        return Sent(number, True), deliveries

    def unread(self, session: S, request: Unread) -> Outcome[S]:
        limit = checked_limit(request.limit)
        page: list[Arrived] = []
        room = self.limits.frame
        for message in self.store.mail(session.id, min(request.after, MAX_NUMBER)):
            room -= ENTRY_BYTES + frame_weight(message.text) + text_weight(message.sender)
            if page and (len(page) == limit or room < ENTRY_BYTES):
                return Mail(tuple(page), more=True), []
            page.append(Arrived(message.number, message.sender, message.text, message.returned))
        return Mail(tuple(page)), []

    def acknowledge(self, session: S, request: Acknowledge) -> Outcome[S]:
        self.store.acknowledge(session.id, min(request.number, MAX_NUMBER))
        if self.store.has_garbage:
            self.on_unfinished()
        return Done(), []

    def delete_messages(self, session: S, request: DeleteMessages) -> Outcome[S]:
        if len(request.numbers) > PAGE:
            raise ChatError("BAD_VALUE", f"at most {PAGE} messages at once, not {len(request.numbers)}")
        numbers = [number for number in request.numbers if 0 < number <= MAX_NUMBER]
        count = self.store.remove(session.id, numbers)
        if self.store.has_garbage:
            self.on_unfinished()
        return Deleted(count), []

    # ---- balance

    def deposit(self, session: S, request: Deposit) -> Outcome[S]:
        return self._change_balance(session, request)

    def withdraw(self, session: S, request: Withdraw) -> Outcome[S]:
        return self._change_balance(session, request)

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
        names = nsmallest(MEMBERS_SHOWN, [sessions[0].name for sessions in members.values()])
        return Joined(room, tuple(names), len(members)), deliveries

    def say(self, session: S, request: Say) -> Outcome[S]:
        if not session.room:
            raise ChatError("NOT_IN_ROOM")
        self._check_text(request.text)
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
        """Carry out a request that has a request id: a repeat gets the first reply and changes nothing."""
        request_id = request.request_id
        if len(request_id) > 64:
            raise ChatError("BAD_VALUE", f"a request id has at most 64 characters, not {len(request_id)}")
        saved = self.store.saved_reply(session.id, request_id)
        if saved is None:
            reply, deliveries = act(session, request)
            self.store.save_reply(session.id, request_id, _fingerprint(request), reply)
            return reply, deliveries
        if saved[0] != _fingerprint(request):
            raise ChatError("REQUEST_ID_REUSED", f"the request id {shorten(request_id)} was used for another request")
        return saved[1], []

    def _is_full(self, record: StoredAccount) -> bool:
        """Whether the mailbox takes no more messages."""
        limits = self.limits
        return record.unread >= limits.mailbox or record.mail_bytes >= limits.mailbox_bytes

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
_WITH_REQUEST_ID = {Send, Deposit, Withdraw, Say}


def _fingerprint(request: Request) -> bytes:
    """16 bytes that tell requests apart: less to keep than a request, which may hold a long text."""
    return blake2b(msgpack.encode((type(request).__name__, *astuple(request))), digest_size=16).digest()


def _require_no_login(session: Session) -> None:
    if session.id:
        raise ChatError("ALREADY_LOGGED_IN", f"this connection is logged in as {session.name}; log out first")


def checked_limit(limit: int) -> int:
    """How long a page is asked to be, or `ChatError`."""
    if not 1 <= limit <= PAGE:
        raise ChatError("BAD_VALUE", f"a page has 1 to {PAGE} entries, not {shorten(limit)}")
    return limit
