"""What the chat means: every rule of accounts, mail, rooms and balances, once, for every way to carry it.

`Chat.handle` takes a session and a request and returns the reply with the events to post to other sessions, or raises
the `ChatError` that refuses it. It is handed a store. It knows no codec, no socket, no thread and no clock, and it
never waits: whoever calls it holds the turn.
"""

import unicodedata
from collections.abc import Callable
from itertools import islice

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
    cut,
)
from .storage import AccountRecord, MemoryStore, StoredMessage

MAX_NUMBER = 2**63 - 1  # what every spelling and every store can hold
PAGE = 1_000  # names, messages or numbers in one request or reply
PAGE_BYTES = 128 << 10  # of text in one page of mail: escaped sixfold it still fits a frame
SEARCH_STEPS = 100_000  # characters compared in one search, so that it cannot hold the turn
MEMBERS_SHOWN = 100
LOBBY = "lobby"  # the room that has no need to be named

Deliveries = list[tuple["Session", Event]]


class Session:
    """One connected client: for which account it speaks, and in which room it is."""

    __slots__ = ("id", "name", "room", "peer", "outbox", "pending", "pending_size")

    def __init__(self, peer: str = "", outbox=None):
        self.id: int | None = None
        self.name = ""
        self.room = ""
        self.peer = peer
        # The rest is the hub's: the service looks at none of it.
        self.outbox = outbox
        self.pending = None
        self.pending_size = 0

    def __repr__(self):
        who = f"{self.name} ({self.id})" if self.id is not None else "nobody yet"
        return f"<Session of {who}{f' in {self.room}' if self.room else ''}>"


class Chat:
    """One chat. `password_required` refuses accounts without a password."""

    def __init__(self, store: MemoryStore | None = None, limits: Limits = Limits(), password_required: bool = False):
        self.store = MemoryStore() if store is None else store
        self.limits = limits
        self.password_required = password_required
        self._online: dict[int, list[Session]] = {}
        self._rooms: dict[str, dict[int, list[Session]]] = {}
        self._verbs: dict[type[Request], Callable[[Session, Request], tuple[Reply, Deliveries]]] = {
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

    def __repr__(self):
        return f"<Chat: {self.store!r}, {len(self._online)} on-line, {len(self._rooms)} rooms>"

    def handle(self, session: Session, request: Request) -> tuple[Reply, Deliveries]:
        """Carry out one request. Raises `ChatError` where it is refused; then nothing was changed."""
        if session.id is None and type(request) not in _ALLOWED_WITHOUT_LOGIN:
            raise ChatError("NOT_LOGGED_IN")
        return self._verbs[type(request)](session, request)

    def end_session(self, session: Session) -> Deliveries:
        """The session's connection is gone, or it speaks for nobody any more."""
        if session.id is None:
            return []
        deliveries = self._leave_room(session)
        sessions = self._online[session.id]
        sessions.remove(session)
        if not sessions:
            del self._online[session.id]
        session.id, session.name = None, ""
        return deliveries

    # ---- accounts

    def create_account(self, session: Session, request: CreateAccount, password_hash: str = ""):
        """`password_hash` is the hash of the password, made before the turn; the service never stores a password."""
        if session.id is not None:
            raise ChatError("ALREADY_LOGGED_IN", f"this connection speaks for {session.name}; log out first")
        name = checked_name(request.name)
        if self.password_required and not request.password:
            raise ChatError("PASSWORD_REQUIRED")
        if self.store.by_name(name) is not None:
            raise ChatError("NAME_TAKEN", f"somebody has an account named {cut(name)}")
        _require_password_hash(request, password_hash)
        return self._welcome(session, self.store.create(name, password_hash)), []

    def log_in(self, session: Session, request: LogIn, password_hash: str = ""):
        """`password_hash` is the stored hash that the password was found to match, or empty where it matched none."""
        record = self._find(request.account)
        if session.id not in (None, record.id):
            raise ChatError("ALREADY_LOGGED_IN", f"this connection speaks for {session.name}; log out first")
        if record.password_hash and record.password_hash != password_hash:
            raise ChatError("WRONG_PASSWORD", f"that is not the password of {cut(record.name)}")
        return self._welcome(session, record), []

    def password_hash_of(self, name_or_id: str) -> str:
        """The stored hash to check a password against; empty where there is no such account or it has none."""
        record = self._lookup(name_or_id)
        return record.password_hash if record is not None else ""

    def log_out(self, session: Session, request: LogOut):
        return Done(), self.end_session(session)

    def list_accounts(self, session: Session, request: ListAccounts):
        limit = checked_limit(request.limit)
        pattern = unicodedata.normalize("NFC", request.pattern)
        if len(pattern) > 256:
            raise ChatError("BAD_VALUE", f"a pattern has at most 256 characters, not {len(pattern)}")
        matches = matcher(pattern)
        prefix = pattern[: min((pattern.find(c) for c in "*?" if c in pattern), default=len(pattern))]
        # A piece with a `?` may be compared at every place of a name, one character after the other.
        slow = "*" in pattern and "?" in pattern
        cost = (lambda name: len(name) * len(pattern)) if slow else (lambda name: len(name) + len(pattern))
        found: list[str] = []
        steps = 0
        last = ""
        for name in self.store.names(request.after, prefix):
            if len(found) == limit or steps >= SEARCH_STEPS:
                return Accounts(tuple(found), next=last), []
            if matches(name):
                found.append(name)
            last = name
            steps += cost(name)
        return Accounts(tuple(found)), []

    def delete_account(self, session: Session, request: DeleteAccount):
        id, name = session.id, session.name
        deliveries: Deliveries = []
        for letter in list(self.store.mail(id)):
            deliveries += self._bounce(letter, id, name)
        paid_out = self.store.balance(id)
        self.store.delete(id)
        for other in list(self._online[id]):
            deliveries += self.end_session(other)
            if other is not session:
                deliveries.append((other, LoggedOut(f"the account {name} was deleted")))
        return Closed(paid_out), deliveries

    # ---- mail

    def send(self, session: Session, request: Send):
        text = request.text
        if len(text) * 4 > self.limits.text:  # no character takes more than four bytes
            self._check_text(text)
        if request.request_id:
            return self._idempotent(session, request, self._send)
        return self._send(session, request)

    def _send(self, session: Session, request: Send):
        store = self.store
        record = store.by_name(request.to) or self._find(request.to)
        if store.unread(record.id) >= self.limits.mailbox:
            raise ChatError("MAILBOX_FULL", f"the mailbox of {cut(record.name)} holds {self.limits.mailbox} messages")
        number = store.put(record.id, session.id, session.name, request.text)
        online = self._online.get(record.id)
        if online is None:
            return Sent(number, False), []
        event = Arrived(number, session.name, request.text)
        deliveries = []
        for other in online:  # a comprehension costs twice as much where there is one
            deliveries.append((other, event))
        return Sent(number, True), deliveries

    def unread(self, session: Session, request: Unread):
        limit = checked_limit(request.limit)
        page: list[Arrived] = []
        size = 0
        for letter in self.store.mail(session.id, min(request.after, MAX_NUMBER)):
            size += len(letter.text.encode())
            if page and (len(page) == limit or size > PAGE_BYTES):
                return Mail(tuple(page), more=True), []
            page.append(Arrived(letter.number, letter.sender, letter.text, letter.returned))
        return Mail(tuple(page)), []

    def acknowledge(self, session: Session, request: Acknowledge):
        self.store.acknowledge(session.id, min(request.number, MAX_NUMBER))
        return Done(), []

    def delete_messages(self, session: Session, request: DeleteMessages):
        if len(request.numbers) > PAGE:
            raise ChatError("BAD_VALUE", f"at most {PAGE} messages at once, not {len(request.numbers)}")
        numbers = [number for number in request.numbers if 0 < number <= MAX_NUMBER]
        return Deleted(self.store.remove(session.id, numbers)), []

    # ---- balance

    def deposit(self, session: Session, request: Deposit):
        return self._idempotent(session, request, self._move)

    def withdraw(self, session: Session, request: Withdraw):
        return self._idempotent(session, request, self._move)

    def _move(self, session: Session, request: Deposit | Withdraw):
        self._must_own(session, request.account)
        amount = request.amount
        if not 1 <= amount <= MAX_NUMBER:
            raise ChatError("BAD_VALUE", f"an amount is a whole number from 1 to {MAX_NUMBER}, not {cut(amount)}")
        before = self.store.balance(session.id)
        after = before + amount if isinstance(request, Deposit) else before - amount
        if after < 0:
            raise ChatError("OVERDRAFT", f"there are {before} credits, {amount} cannot be taken")
        if after > MAX_NUMBER:
            raise ChatError("OVERFLOW", f"there are {before} credits, a balance cannot pass {MAX_NUMBER}")
        self.store.set_balance(session.id, after)
        return Balance(after), []

    def view_balance(self, session: Session, request: ViewBalance):
        self._must_own(session, request.account)
        return Balance(self.store.balance(session.id)), []

    # ---- rooms

    def join(self, session: Session, request: Join):
        room = checked_name(request.room or LOBBY, what="a room's name", digits_alone=True)
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

    def say(self, session: Session, request: Say):
        if not session.room:
            raise ChatError("NOT_IN_ROOM")
        self._check_text(request.text)
        return self._idempotent(session, request, self._say)

    def _say(self, session: Session, request: Say):
        event = Heard(session.room, session.name, request.text)
        members = self._rooms[session.room].values()
        deliveries = [(other, event) for sessions in members for other in sessions if other is not session]
        return Said(len(deliveries)), deliveries

    def leave(self, session: Session, request: Leave):
        if not session.room:
            raise ChatError("NOT_IN_ROOM")
        return Done(), self._leave_room(session)

    # ---- neither

    def ping(self, session: Session, request: Ping):
        return Pong(), []

    def malformed(self, session: Session, request: Malformed):
        raise ChatError("MALFORMED", request.text)

    # ---- what several verbs need

    def _lookup(self, name_or_id: str) -> AccountRecord | None:
        record = self.store.by_name(name_or_id)
        if record is not None:
            return record
        if name_or_id.isascii() and name_or_id.isdigit() and len(name_or_id) < 20:
            return self.store.by_id(int(name_or_id))
        return self.store.by_name(unicodedata.normalize("NFC", name_or_id))

    def _find(self, name_or_id: str) -> AccountRecord:
        record = self._lookup(name_or_id)
        if record is None:
            raise ChatError("NO_SUCH_ACCOUNT", f"nobody is called {cut(name_or_id)}")
        return record

    def _welcome(self, session: Session, record: AccountRecord) -> Account:
        if session.id is None:
            session.id, session.name = record.id, record.name
            self._online.setdefault(record.id, []).append(session)
        return Account(record.id, record.name, self.store.unread(record.id), self.store.acknowledged(record.id))

    def _idempotent(self, session: Session, request, act) -> tuple[Reply, Deliveries]:
        """Carry out a request that may carry a request id: a repeat gets the first answer and does nothing."""
        request_id = request.request_id
        if not request_id:
            return act(session, request)
        if len(request_id) > 64:
            raise ChatError("BAD_VALUE", f"a request id has at most 64 characters, not {len(request_id)}")
        before = self.store.saved_reply(session.id, request_id)
        if before is None:
            reply, deliveries = act(session, request)
            self.store.save_reply(session.id, request_id, request, reply)
            return reply, deliveries
        if before[0] != request:
            raise ChatError("REQUEST_ID_REUSED", f"the request id {cut(request_id)} stands for another request")
        return before[1], []

    def _bounce(self, letter: StoredMessage, id: int, name: str) -> Deliveries:
        """Put an unread letter of a mailbox that ends back into its sender's; a notice is not returned again."""
        if letter.returned or letter.sender_id == id or self.store.by_id(letter.sender_id) is None:
            return []
        number = self.store.put(letter.sender_id, id, name, letter.text, returned=True)
        event = Arrived(number, name, letter.text, returned=True)
        return [(other, event) for other in self._online.get(letter.sender_id, ())]

    def _leave_room(self, session: Session) -> Deliveries:
        room, session.room = session.room, ""
        if not room:
            return []
        members = self._rooms[room]
        members[session.id].remove(session)
        if members[session.id]:
            return []
        del members[session.id]
        if not members:
            del self._rooms[room]
        event = Left(room, session.name)
        return [(other, event) for sessions in members.values() for other in sessions]

    def _must_own(self, session: Session, account: str) -> None:
        if account and self._find(account).id != session.id:
            raise ChatError("NOT_YOUR_ACCOUNT", f"{cut(account)} is not the account you are logged in to")

    def _check_text(self, text: str) -> None:
        size = len(text.encode())
        if size > self.limits.text:
            raise ChatError("TEXT_TOO_LONG", f"a text has at most {self.limits.text} bytes, not {size}")


_ALLOWED_WITHOUT_LOGIN = {CreateAccount, LogIn, Ping, Malformed}


def _require_password_hash(request: CreateAccount, password_hash: str) -> None:
    if request.password and not password_hash:
        raise TypeError("hash the password before the turn and pass it as password_hash (Hub.ask does)")


def checked_name(name: str, what: str = "a name", digits_alone: bool = False) -> str:
    """The name in its normal form (NFC), or `ChatError`.

    >>> checked_name("Jose\\u0301") == "José"
    True
    """
    normal = unicodedata.normalize("NFC", name) if len(name) <= 256 else name
    if (
        1 <= len(normal) <= 64
        and all(c in "_.-" or unicodedata.category(c)[0] in "LN" or unicodedata.category(c)[0] == "M" for c in normal)
        and unicodedata.category(normal[0])[0] != "M"
        and (digits_alone or not all(unicodedata.category(c)[0] == "N" for c in normal))
    ):
        return normal
    rule = "1 to 64 letters, digits or _ . -" + ("" if digits_alone else ", and not digits alone")
    raise ChatError("BAD_NAME", f"{what} is {rule}; {cut(name)} is not")


def checked_limit(limit: int) -> int:
    """How long a page is asked to be, or `ChatError`."""
    if not 1 <= limit <= PAGE:
        raise ChatError("BAD_VALUE", f"a page has 1 to {PAGE} entries, not {cut(limit)}")
    return limit


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for names. `*` stands for any run of characters, `?` for any one; nothing else is special.

    Never a regular expression, so no pattern can make it explode: the pieces between the stars are looked for once
    each, from left to right, in linear space and at most len(name) * len(pattern) steps.

    >>> fits = matcher("a*?c")
    >>> fits("abc"), fits("a[c"), fits("ac")
    (True, True, False)
    """
    first, *rest = pattern.split("*")
    if not rest:
        return lambda name: len(name) == len(first) and _fits(first, name, 0)
    *middle, last = rest
    middle = [piece for piece in middle if piece]
    shortest = len(first) + len(last) + sum(map(len, middle))

    def fits(name: str) -> bool:
        end = len(name) - len(last)
        if len(name) < shortest or not _fits(first, name, 0) or not _fits(last, name, end):
            return False
        at = len(first)
        for piece in middle:
            at = _find(piece, name, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return fits


def _fits(piece: str, name: str, at: int) -> bool:
    if "?" not in piece:
        return name.startswith(piece, at)
    return all(p in ("?", c) for p, c in zip(piece, islice(name, at, None)))


def _find(piece: str, name: str, start: int, end: int) -> int:
    if "?" not in piece:
        return name.find(piece, start, end)
    return next((at for at in range(start, end - len(piece) + 1) if _fits(piece, name, at)), -1)
