"""Who is connected, and whose turn it is: the one lock between a single-threaded chat and many connections.

A *turn* is one request carried out and everything it causes put into outboxes, reply and events alike, so the order of
turns is the order that everybody sees. A turn never waits: slow password hashing happens before it, on a thread of its
own, and writing happens after it, by whoever owns the outbox. The hub knows no transport and no codec.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import astuple

from ..messages import (
    Accounts,
    Arrived,
    ChatError,
    CreateAccount,
    Event,
    Goodbye,
    Heard,
    Limits,
    LogIn,
    Mail,
    Message,
    Refused,
    Request,
)
from .passwords import fits_password, hash_password
from .service import Chat, Session


class Outbox:
    """What waits to be written to one session, in the order of turns, and bounded.

    Any thread may `put`; one writer at a time may `take`. `wake` is called when there is something to take, from the
    putting thread and inside its turn, so it must return at once. Past the limit what waits is dropped, except for a
    last `Goodbye`: `overflowed` is then true, and the session is to be closed when that was written.
    """

    __slots__ = ("_items", "_bytes", "_awake", "_wake", "_most", "_most_bytes", "overflowed", "closed")

    def __init__(self, wake: Callable[[], None], limits: Limits = Limits()):
        self._items: deque[tuple[object, Message]] = deque()
        self._bytes = 0
        self._awake = False
        self._wake = wake
        self._most, self._most_bytes = limits.outbox, limits.outbox_bytes
        self.overflowed = False
        self.closed = False

    def __len__(self):
        return len(self._items)

    def __repr__(self):
        state = "overflowed" if self.overflowed else "closed" if self.closed else "open"
        return f"<Outbox {state}, {len(self._items)} waiting>"

    def put(self, tag, message: Message) -> None:
        """Append a reply (with its request's tag) or an event (with None). After the end it is dropped."""
        if self.closed:
            return
        items = self._items
        items.append((tag, message))
        kind = type(message)
        if kind in _WEIGHTS:
            self._bytes += len(message.text) if kind is Arrived else _WEIGHTS[kind](message)
        if len(items) > self._most or self._bytes > self._most_bytes:
            self._overflow()
        if not self._awake:
            self._awake = True
            self._wake()

    def end(self, reason: str = "") -> None:
        """Nothing comes after this: what waits is still written, then the reason, then the connection closes."""
        if not self.closed:
            if reason:
                self.put(None, Goodbye(reason))
            self.closed = True
            self._awake = True
            self._wake()

    def take(self) -> list[tuple[object, Message]]:
        """All that waits. A `put` after this wakes the writer again."""
        self._awake = False  # before emptying: a message put from now on is either taken below or wakes us again
        items, taken = self._items, []
        while items:
            taken.append(items.popleft())
        self._bytes = 0
        return taken

    def _overflow(self) -> None:
        waiting = len(self._items)
        # A new deque: a writer on another thread may be counting on what the old one holds.
        reason = f"you read too slowly: {waiting} messages were waiting; your mail is kept"
        self._items = deque([(None, Goodbye(reason))])
        self.overflowed = self.closed = True
        self._wake()


#: What may be long, and how long it is; the others are not worth a look.
_WEIGHTS = {
    Arrived: lambda message: len(message.text),
    Heard: lambda message: len(message.text),
    Mail: lambda page: sum([len(letter.text) for letter in page.messages]),
    Accounts: lambda page: sum(map(len, page.names)),
}


class Hub:
    """All sessions of one chat. Doors open sessions, ask in their name, and close them; any thread may call."""

    def __init__(self, chat: Chat | None = None, limits: Limits = Limits(), log: Callable[[str], None] | None = None):
        self.chat = Chat(limits=limits) if chat is None else chat
        self.limits = limits
        self.log = (lambda line: None) if log is None else log
        self._lock = threading.Lock()  # guards the chat, its store, the set of sessions and the order of outboxes
        self._commit = self.chat.store.commit
        self._sessions: set[Session] = set()
        self._hashing: ThreadPoolExecutor | None = None

    def __repr__(self):
        return f"<Hub of {len(self._sessions)} sessions, {self.chat!r}>"

    def open_session(self, outbox: Outbox, peer: str = "") -> Session:
        """A session for a new connection. Raises `ChatError` SERVER_FULL."""
        session = Session(peer, outbox)
        with self._lock:
            if len(self._sessions) >= self.limits.sessions:
                raise ChatError("SERVER_FULL", f"the server has {len(self._sessions)} sessions and takes no more")
            self._sessions.add(session)
        return session

    def ask(self, session: Session, tag, request: Request) -> None:
        """Carry out a request in a turn; the answer goes to the session's outbox under `tag`, whatever `tag` is.

        Requests of one session are answered in the order asked, even where one of them waits for a slow hash.
        """
        self.ask_all(session, ((tag, request),))

    def ask_all(self, session: Session, requests: Iterable[tuple[object, Request]]) -> None:
        """One turn after the other, with nobody else's between them: keep it to a fair share."""
        outbox = session.outbox
        with self._lock:
            for tag, request in requests:
                if outbox.closed:
                    return  # it was told goodbye, or is gone: nobody is there to log in, or to be answered
                if session.pending is not None:
                    self._enqueue_pending(session, tag, request)
                elif type(request) in _AUTH_REQUESTS and request.password:
                    session.pending = deque()
                    self._hash_then_answer(session, tag, request)
                else:
                    self._answer(session, tag, request)

    def finish_session(self, session: Session) -> None:
        """The session asks nothing more: when all it asked is answered, its outbox ends."""
        with self._lock:
            if session.pending is None:
                session.outbox.end()
            else:
                session.pending.append((None, None))

    def close_session(self, session: Session) -> None:
        """The session's connection is gone. Closing twice is fine."""
        with self._lock:
            if session not in self._sessions:
                return
            self._sessions.remove(session)
            was = session.name
            self._post(self.chat.end_session(session))
            session.outbox.closed = True
        if was:
            self._log_change(session, was)

    # ---- inside a turn

    def _answer(self, session: Session, tag, request: Request) -> None:
        was = session.name
        try:
            reply, deliveries = self.chat.handle(session, request)
            self._commit()  # before anybody is told
        except ChatError as error:
            reply, deliveries = Refused(error.code, error.text), ()
        except Exception as error:  # a store that is full, a mistake of ours: this session ends, the others go on
            self._fail(session, error)
            return
        session.outbox.put(tag, reply)
        for other, event in deliveries:
            other.outbox.put(None, event)
        if session.name != was:
            self._log_change(session, was)

    def _fail(self, session: Session, error: Exception) -> None:
        self.chat.store.rollback()
        self.log(f"Client {session.peer} is cut off, because the server failed: {error!r}")
        session.outbox.end(SERVER_FAILED)

    def _post(self, deliveries: list[tuple[Session, Event]]) -> None:
        for session, event in deliveries:
            session.outbox.put(None, event)

    def _log_change(self, session: Session, was: str) -> None:
        if was:
            self.log(f"Client {session.peer} is offline  [ {was} ]")
        if session.name:
            self.log(f"Client {session.peer} connected  [ {session.name} ]")

    def _enqueue_pending(self, session: Session, tag, request: Request) -> None:
        session.pending.append((tag, request))
        session.pending_size += sum([len(value) for value in astuple(request) if isinstance(value, str | tuple)])
        if len(session.pending) > self.limits.outbox or session.pending_size > self.limits.outbox_bytes:
            session.pending.clear()
            session.outbox.end("you asked too much while a log-in was being checked")

    # ---- passwords: hashed outside the turn, answered in one

    def _hash_then_answer(self, session: Session, tag, request: CreateAccount | LogIn) -> None:
        if self._hashing is None:
            self._hashing = ThreadPoolExecutor(2, thread_name_prefix="chatlab-hashing")
        stored = self.chat.password_hash_of(request.account) if isinstance(request, LogIn) else ""
        self._hashing.submit(self._finish_log_in, session, tag, request, stored)

    def _finish_log_in(self, session: Session, tag, request: CreateAccount | LogIn, stored: str) -> None:
        failed, password_hash = None, ""
        try:
            if isinstance(request, CreateAccount):
                password_hash, act = hash_password(request.password), self.chat.create_account
            else:
                password_hash, act = stored if stored and fits_password(stored, request.password) else "", self.chat.log_in
        except Exception as error:  # no memory for a hash, say
            failed = error
        with self._lock:
            waiting, session.pending, session.pending_size, was = session.pending, None, 0, session.name
            if session not in self._sessions:  # gone while we hashed: nobody logs in
                return
            try:
                if failed is not None:
                    raise failed
                reply, _ = act(session, request, password_hash)
                self._commit()
            except ChatError as error:
                reply = Refused(error.code, error.text)
            except Exception as error:
                self._fail(session, error)
                return
            session.outbox.put(tag, reply)
            if session.name != was:
                self._log_change(session, was)
            self._drain_pending(session, waiting)

    def _drain_pending(self, session: Session, waiting: deque) -> None:
        while waiting:
            tag, request = waiting.popleft()
            if request is None:
                session.outbox.end()
            elif type(request) in _AUTH_REQUESTS and request.password:
                session.pending = waiting  # what is left waits for this one in its turn
                self._hash_then_answer(session, tag, request)
                return
            else:
                self._answer(session, tag, request)


_AUTH_REQUESTS = {CreateAccount, LogIn}
SERVER_FAILED = "the server failed; whether your last request was carried out nobody knows"
