"""Who is connected, and the one lock between a single-threaded chat and many connections.

Under the lock the hub carries out one request and puts everything it causes, the reply and the events alike, into
outboxes. So the order in which requests take the lock is the order that every client sees. Nothing waits under the
lock: passwords are hashed before it is taken, on threads of their own, and outboxes are written after it is released,
by the transport that owns them. The hub knows no transport and no codec."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec.structs import astuple

from ..messages import (
    Accounts,
    Arrived,
    ChatError,
    CreateAccount,
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
from .service import Chat, Deliveries, Session

#: What a client is told where a reply can no longer be given.
SERVER_FAILED = "the server failed; your last request may or may not have been carried out"


class Outbox:
    """What is still to be written to one session, in order, and bounded.

    Any thread may `put`; one writer at a time may `take`. `wake` is called when there is something to take, on the
    thread that puts and under the hub's lock, so it must return at once. Past a limit everything in the outbox is
    dropped except for a final `Goodbye`; `overflowed` is then true, and the connection is to be closed when that was
    written.

    A tag is whatever the transport uses to tell replies apart. The hub only passes it on.
    """

    __slots__ = ("_items", "_bytes", "_awake", "_wake", "_most", "_most_bytes", "overflowed", "closed")

    def __init__(self, wake: Callable[[], None], limits: Limits = Limits()):
        self._items: deque[tuple[Any, Message]] = deque()
        self._bytes = 0
        self._awake = False
        self._wake = wake
        self._most, self._most_bytes = limits.outbox, limits.outbox_bytes
        self.overflowed = False
        self.closed = False

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        state = "overflowed" if self.overflowed else "closed" if self.closed else "open"
        return f"<Outbox {state}, {len(self._items)} waiting>"

    def put(self, tag: Any, message: Message) -> None:
        """Append a reply (with its request's tag) or an event (with None). After the end it is dropped."""
        if self.closed:
            return
        items = self._items
        items.append((tag, message))
        kind = type(message)
        if kind in _WEIGHTS:
            self._bytes += len(message.text) if kind is Arrived else _WEIGHTS[kind](message)  # type: ignore[attr-defined]
        if len(items) > self._most or self._bytes > self._most_bytes:
            self._overflow()
        if not self._awake:
            self._awake = True
            self._wake()

    def end(self, reason: str = "") -> None:
        """Accept nothing more. What is in it is still written, then the reason, then the connection closes."""
        if not self.closed:
            if reason:
                self.put(None, Goodbye(reason))
            self.closed = True
            self._awake = True
            self._wake()

    def take(self) -> list[tuple[Any, Message]]:
        """Everything in it. A `put` after this wakes the writer again."""
        self._awake = False  # before emptying: a message put from now on is either taken below or wakes us again
        items = self._items
        taken: list[tuple[Any, Message]] = []
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


#: The messages that may be long, and how long they are; the others are short.
_WEIGHTS: dict[type[Message], Callable[[Any], int]] = {
    Arrived: lambda message: len(message.text),
    Heard: lambda message: len(message.text),
    Mail: lambda page: sum([len(letter.text) for letter in page.messages]),
    Accounts: lambda page: sum(map(len, page.names)),
}


class ConnectedSession(Session):
    """A session with what the hub keeps of its connection: its outbox, and the requests that have to wait."""

    __slots__ = ("outbox", "peer", "pending", "pending_size")

    def __init__(self, outbox: Outbox, peer: str):
        super().__init__()
        self.outbox = outbox
        self.peer = peer  #: as the log names it
        #: Requests behind a password check; None while there is no check. A request of None ends the session.
        self.pending: deque[tuple[Any, Request | None]] | None = None
        self.pending_size = 0


class Hub:
    """All sessions of one chat. Servers open sessions, pass on their requests, and close them. Any thread may call."""

    def __init__(
        self,
        chat: "Chat[ConnectedSession] | None" = None,
        limits: Limits = Limits(),
        log: Callable[[str], None] | None = None,
    ):
        self.chat: Chat[ConnectedSession] = Chat(limits=limits) if chat is None else chat
        self.limits = limits
        self.log: Callable[[str], None] = (lambda line: None) if log is None else log
        self._lock = threading.Lock()  # guards the chat, its store, the set of sessions and the order of outboxes
        self._commit = self.chat.store.commit
        self._sessions: set[ConnectedSession] = set()
        self._hashing: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"<Hub of {len(self._sessions)} sessions, {self.chat!r}>"

    def open_session(self, outbox: Outbox, peer: str = "") -> ConnectedSession:
        """A session for a new connection. Raises `ChatError` SERVER_FULL."""
        session = ConnectedSession(outbox, peer)
        with self._lock:
            if len(self._sessions) >= self.limits.sessions:
                raise ChatError("SERVER_FULL", f"the server has {len(self._sessions)} sessions and takes no more")
            self._sessions.add(session)
        return session

    def ask(self, session: ConnectedSession, tag: Any, request: Request) -> None:
        """Carry out a request. Its reply goes to the session's outbox under `tag`, whatever `tag` is.

        The requests of one session are answered in the order asked, even where one of them waits for a slow hash.
        """
        self.ask_all(session, ((tag, request),))

    def ask_all(self, session: ConnectedSession, requests: Iterable[tuple[Any, Request]]) -> None:
        """Carry out several requests without releasing the lock in between: keep it to a fair share."""
        outbox = session.outbox
        with self._lock:
            for tag, request in requests:
                if outbox.closed:
                    return  # the session was told goodbye, or its connection is gone
                if session.pending is not None:
                    self._enqueue_pending(session, tag, request)
                elif type(request) in _AUTH_REQUESTS and request.password:  # type: ignore[attr-defined]
                    session.pending = deque()
                    self._hash_then_answer(session, tag, request)  # type: ignore[arg-type]
                else:
                    self._answer(session, tag, request)

    def finish_session(self, session: ConnectedSession) -> None:
        """The client will ask nothing more: when everything it asked is answered, its outbox ends."""
        with self._lock:
            if session.pending is None:
                session.outbox.end()
            else:
                session.pending.append((None, None))

    def close_session(self, session: ConnectedSession) -> None:
        """The session's connection is gone. Closing twice is fine."""
        with self._lock:
            if session not in self._sessions:
                return
            self._sessions.remove(session)
            was = session.name
            self._deliver(self.chat.end_session(session))
            session.outbox.closed = True
        if was:
            self._log_change(session, was)

    # ---- under the lock

    def _answer(self, session: ConnectedSession, tag: Any, request: Request) -> None:
        was = session.name
        try:
            reply, deliveries = self.chat.handle(session, request)
            self._commit()  # before any client learns of it
        except ChatError as error:
            session.outbox.put(tag, Refused(error.code, error.text))
            return
        except Exception as error:  # a full disk, a mistake of ours: this session ends, the others go on
            self._fail(session, error)
            return
        session.outbox.put(tag, reply)
        for other, event in deliveries:
            other.outbox.put(None, event)
        if session.name != was:
            self._log_change(session, was)

    def _fail(self, session: ConnectedSession, error: Exception) -> None:
        self.chat.store.rollback()
        self.log(f"Client {session.peer} is cut off, because the server failed: {error!r}")
        session.outbox.end(SERVER_FAILED)

    def _deliver(self, deliveries: Deliveries[ConnectedSession]) -> None:
        for session, event in deliveries:
            session.outbox.put(None, event)

    def _log_change(self, session: ConnectedSession, was: str) -> None:
        if was:
            self.log(f"Client {session.peer} is offline  [ {was} ]")
        if session.name:
            self.log(f"Client {session.peer} connected  [ {session.name} ]")

    def _enqueue_pending(self, session: ConnectedSession, tag: Any, request: Request) -> None:
        assert session.pending is not None
        session.pending.append((tag, request))
        session.pending_size += sum([len(value) for value in astuple(request) if isinstance(value, str | tuple)])
        if len(session.pending) > self.limits.outbox or session.pending_size > self.limits.outbox_bytes:
            session.pending.clear()
            session.outbox.end("you asked too much while a log-in was being checked")

    # ---- passwords: hashed without the lock, answered under it

    def _hash_then_answer(self, session: ConnectedSession, tag: Any, request: CreateAccount | LogIn) -> None:
        if self._hashing is None:
            self._hashing = ThreadPoolExecutor(2, thread_name_prefix="chatlab-hashing")
        stored = self.chat.password_hash_of(request.account) if isinstance(request, LogIn) else ""
        self._hashing.submit(self._finish_log_in, session, tag, request, stored)

    def _finish_log_in(self, session: ConnectedSession, tag: Any, request: CreateAccount | LogIn, stored: str) -> None:
        failure: Exception | None = None
        password_hash = ""
        try:
            if isinstance(request, CreateAccount):
                password_hash = hash_password(request.password)
            elif stored and fits_password(stored, request.password):
                password_hash = stored
        except Exception as error:  # no memory for a hash, say
            failure = error
        with self._lock:
            pending, session.pending, session.pending_size, was = session.pending, None, 0, session.name
            if session not in self._sessions:  # its connection ended while we hashed: do not log it in
                return
            try:
                if failure is not None:
                    raise failure
                if isinstance(request, CreateAccount):
                    reply, _ = self.chat.create_account(session, request, password_hash)
                else:
                    reply, _ = self.chat.log_in(session, request, password_hash)
                self._commit()
            except ChatError as error:
                reply = Refused(error.code, error.text)
            except Exception as error:
                self._fail(session, error)
                return
            session.outbox.put(tag, reply)
            if session.name != was:
                self._log_change(session, was)
            self._drain_pending(session, pending or deque())

    def _drain_pending(self, session: ConnectedSession, pending: deque[tuple[Any, Request | None]]) -> None:
        while pending:
            tag, request = pending.popleft()
            if request is None:
                session.outbox.end()
            elif isinstance(request, CreateAccount | LogIn) and request.password:
                session.pending = pending  # the rest waits for this check in turn
                self._hash_then_answer(session, tag, request)
                return
            else:
                self._answer(session, tag, request)


_AUTH_REQUESTS = {CreateAccount, LogIn}
