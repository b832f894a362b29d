"""Who is connected, and the one lock between a single-threaded chat and many connections.

Under the lock the hub carries out one request and puts everything it causes, the reply and the events alike, into
outboxes. So the order in which requests take the lock is the order that every client sees. Nothing waits under the
lock: passwords are hashed before it is taken, on threads of their own, and outboxes are written after it is released,
by the transport that owns them. The hub knows no transport and no codec."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..messages import (
    Arrived,
    ChatError,
    CreateAccount,
    Goodbye,
    Limits,
    LogIn,
    Message,
    Refused,
    Request,
)
from .passwords import fits_password, hash_password
from .service import Chat, Deliveries, Outcome, Session
from .weight import NAME, WEIGHTS, weight

#: The goodbye where a reply can no longer be given.
SERVER_FAILED = "the server failed; your last request may or may not have been carried out"
HASHING_THREADS = 2
FAIR_SHARE = 16  # requests behind a password check that are carried out before others may take the lock
PAUSE_S = 0.001  # for which a thread without a client of its own leaves the lock to others
WAIT_S = 0.05  # until it looks again for a session that has read something


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
        if kind is Arrived:  # the most frequent one: `arrived_weight` without the call
            text: str = message.text  # type: ignore[attr-defined]
            self._bytes += NAME + (len(text) if text.isascii() else 4 * len(text))
        elif kind in WEIGHTS:
            self._bytes += WEIGHTS[kind](message)
        if len(items) > self._most or self._bytes > self._most_bytes:
            self._overflow()
        if not self._awake:
            self._awake = True
            self._wake()

    def has_room(self, count: int, weight: int) -> bool:
        """Whether so many messages of such a weight fit into the half of it that returned mail may fill."""
        if self.closed or (not self._items and count == 1):
            return True
        return len(self._items) + count <= self._most // 2 and self._bytes + weight <= self._most_bytes // 2

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


class ConnectedSession(Session):
    """A session with what the hub keeps of its connection: its outbox, and the requests that have to wait."""

    __slots__ = ("check", "outbox", "peer", "pending", "pending_weight")

    def __init__(self, outbox: Outbox, peer: str):
        super().__init__()
        self.outbox = outbox
        self.peer = peer  #: as the log names it
        self.check: Future[None] | None = None  #: the password check that is under way or waits for a thread
        #: Requests behind a password check; None while there is no check. A request of None finishes the session.
        self.pending: deque[tuple[Any, Request | None]] | None = None
        self.pending_weight = 0


Act = Callable[[], Outcome[ConnectedSession]]


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
        self._checks = 0  # passwords that are being checked or wait for it
        self._housekeeper: threading.Thread | None = None  # does what requests have left over
        self._closed = False
        self.chat.has_room = lambda session, count, weight: session.outbox.has_room(count, weight)
        self.chat.on_unfinished = self._start_housekeeping
        if self.chat.unfinished:
            self._start_housekeeping()

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
                    return  # the connection is being closed, or is gone
                if session.pending is not None:
                    self._enqueue_pending(session, tag, request)
                elif type(request) in _AUTH_REQUESTS and request.password:  # type: ignore[attr-defined]
                    self._authenticate(session, tag, request)  # type: ignore[arg-type]
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
            if session.check is not None and session.check.cancel():
                self._checks -= 1
            was = session.name
            self._deliver(self.chat.end_session(session))
            session.outbox.closed = True
        if was:
            self._log_change(session, was)

    def close(self) -> None:
        """Stop the threads of its own. What is unfinished then is finished when the store is opened again."""
        with self._lock:
            self._closed = True
            housekeeper = self._housekeeper
        if housekeeper is not None:
            housekeeper.join()
        if self._hashing is not None:
            self._hashing.shutdown(wait=False, cancel_futures=True)

    # ---- what requests have left over, on a thread of its own

    def _start_housekeeping(self) -> None:
        if self._housekeeper is None and not self._closed:
            self._housekeeper = threading.Thread(target=self._housekeep, name="chatlab-housekeeping", daemon=True)
            self._housekeeper.start()

    def _housekeep(self) -> None:
        waiting = 0  # jobs, one after the other, that have to wait for a session
        while True:
            with self._lock:
                if self._closed or not self.chat.unfinished:
                    self._housekeeper = None
                    return
                try:
                    deliveries, progressed = self.chat.step()
                    self._commit()
                except Exception as error:  # a full disk, say: it is tried again after the next deletion, or start
                    self._rollback()
                    self.log(f"The server failed while it returned or deleted mail: {error!r}")
                    self._housekeeper = None
                    return
                self._deliver(deliveries)
                waiting = 0 if progressed else waiting + 1
                all_wait = waiting >= self.chat.unfinished
            time.sleep(WAIT_S if all_wait else PAUSE_S)

    # ---- under the lock

    def _answer(self, session: ConnectedSession, tag: Any, request: Request, act: Act | None = None) -> None:
        """Carry out a request, by `act` where that is more than the chat's `handle`, and put what comes of it."""
        was = session.name
        try:
            reply, deliveries = self.chat.handle(session, request) if act is None else act()
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
        self._rollback()
        self.log(f"Client {session.peer} is cut off, because the server failed: {error!r}")
        session.outbox.end(SERVER_FAILED)

    def _rollback(self) -> None:
        try:
            self.chat.rollback()
        except Exception as error:  # the store fails for good; so will every request
            self.log(f"The server cannot undo what failed: {error!r}")

    def _deliver(self, deliveries: Deliveries[ConnectedSession]) -> None:
        for session, event in deliveries:
            session.outbox.put(None, event)

    def _log_change(self, session: ConnectedSession, was: str) -> None:
        if was:
            self.log(f"Client {session.peer} is offline  [ {was} ]")
        if session.name:
            self.log(f"Client {session.peer} connected  [ {session.name} ]")

    # ---- passwords: hashed without the lock, answered under it

    def _authenticate(self, session: ConnectedSession, tag: Any, request: CreateAccount | LogIn) -> None:
        """Have the password checked, and what the session asks from now on wait for that. Needs the lock.

        Nothing is hashed where the reply does not depend on it.
        """
        try:
            stored = self.chat.stored_hash(session, request)
            if stored or isinstance(request, CreateAccount):
                self._start_check(session, tag, request, stored)
            else:
                self._answer(session, tag, request)
        except ChatError as error:
            session.outbox.put(tag, Refused(error.code, error.text))
        except Exception as error:
            self._fail(session, error)

    def _start_check(self, session: ConnectedSession, tag: Any, request: CreateAccount | LogIn, stored: str) -> None:
        if self._checks >= self.limits.password_checks:
            raise ChatError("SERVER_FULL", f"{self._checks} passwords wait to be checked; try again later")
        if self._hashing is None:
            self._hashing = ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="chatlab-hashing")
        if session.pending is None:
            session.pending = deque()
        self._checks += 1
        session.check = self._hashing.submit(self._finish_check, session, tag, request, stored)

    def _finish_check(self, session: ConnectedSession, tag: Any, request: CreateAccount | LogIn, stored: str) -> None:
        """Hash the password, then log in or create the account under the lock. Runs on a hashing thread."""
        failure: Exception | None = None
        password_hash = ""
        try:
            if self._is_gone(session):
                pass  # its client does not wait for the reply any more
            elif isinstance(request, CreateAccount):
                password_hash = hash_password(request.password)
            elif fits_password(stored, request.password):
                password_hash = stored
        except Exception as error:  # no memory for a hash, say
            failure = error
        with self._lock:
            self._checks -= 1
            session.check = None
            if self._is_gone(session):
                session.pending = None
                return
            if failure is not None:
                self._fail(session, failure)
            elif isinstance(request, CreateAccount):
                self._answer(session, tag, request, lambda: self.chat.create_account(session, request, password_hash))
            else:
                self._answer(session, tag, request, lambda: self.chat.log_in(session, request, password_hash))
        self._drain_pending(session)

    def _is_gone(self, session: ConnectedSession) -> bool:
        return session.outbox.closed or session not in self._sessions

    def _enqueue_pending(self, session: ConnectedSession, tag: Any, request: Request) -> None:
        """Keep a request until the password check before it is finished, within the limits of an outbox."""
        assert session.pending is not None
        session.pending.append((tag, request))
        session.pending_weight += weight(request)
        if len(session.pending) > self.limits.outbox or session.pending_weight > self.limits.outbox_bytes:
            session.pending.clear()
            session.outbox.end("you asked too much while a log-in was being checked")

    def _drain_pending(self, session: ConnectedSession) -> None:
        """Carry out what was asked behind a password check, a few requests at a time: others want the lock too."""
        while self._carry_out_pending(session):
            time.sleep(PAUSE_S)

    def _carry_out_pending(self, session: ConnectedSession) -> bool:
        """Whether there may be more to do, and no other check to be waited for."""
        with self._lock:
            for _ in range(FAIR_SHARE):
                if not session.pending or self._is_gone(session):
                    session.pending, session.pending_weight = None, 0
                    return False
                tag, request = session.pending.popleft()
                if request is None:
                    session.outbox.end()
                    continue
                session.pending_weight -= weight(request)
                if isinstance(request, CreateAccount | LogIn) and request.password:
                    self._authenticate(session, tag, request)
                    if session.check is not None:
                        return False
                else:
                    self._answer(session, tag, request)
        return True


_AUTH_REQUESTS = {CreateAccount, LogIn}
