"""What a user of the chat can do, written once for every protocol, blocking and async.

A verb builds a request; a transport (a subclass in `socket_impl` or `grpc_impl`) carries it and hands back the reply;
this file turns a refusal into `ChatError`, remembers what was shown, and acknowledges it. It opens no connection
itself. `Implementation` is what a whole protocol must offer: a door to serve at, and clients to connect with.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable

from ..messages import (
    Account,
    Acknowledge,
    Arrived,
    Balance,
    ChatError,
    Closed,
    ConnectionLost,
    CreateAccount,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Deposit,
    Done,
    Event,
    Join,
    Leave,
    ListAccounts,
    LoggedOut,
    LogIn,
    LogOut,
    Mail,
    Message,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    Said,
    Say,
    Send,
    Unread,
    ViewBalance,
    Withdraw,
    checked,
    cut,
)
from .interface import Address
from .read_state import Shown

ACKNOWLEDGE_EVERY = 64  # shown messages, while more are waiting to be shown
ANSWER_TIMEOUT_S = 30.0


def nobody_at(address: Address) -> str:
    return f"nobody answers at {address[0]}, port {address[1]}"


def unanswered(client: "Client | AsyncClient") -> str:
    return f"no answer within {client.answer_timeout_s:g} s; nobody knows if it was done"


class Verbs:
    """Everything a user can ask. On a `Client` a verb returns its result; on an `AsyncClient` it is awaited.

    Every verb raises `ChatError` where the server refuses (the user must act; nothing was changed) and
    `ConnectionLost` where no answer came (nobody knows whether it was done).
    """

    def create_account(self, name: str, password: str = "") -> Account:
        """Create an account and log in to it."""
        return self._ask(CreateAccount(name, password))

    def log_in(self, name_or_id: str | int, password: str = "") -> Account:
        """Log in by name or by id. On a client whose connection was lost this connects again first."""
        return self._ask(LogIn(str(name_or_id) if isinstance(name_or_id, int) else name_or_id, password))

    def log_out(self) -> None:
        """Stop speaking for the account; the connection stays."""
        return self._ask(LogOut())

    def list_accounts(self, pattern: str = "*", after: str = "", limit: int = 100):
        """A page of names that match (`*` any run, `?` any one character): `Accounts`, with `names` and `next`."""
        return self._ask(ListAccounts(pattern, after, limit))

    def send(self, to: str, text: str, request_id: str = ""):
        """Send to somebody, on-line or not: `Sent`. A repeat with the same request id is not sent twice."""
        return self._ask(Send(to, text, request_id))

    def unread(self, after: int = 0, limit: int = 100) -> Mail:
        """A page of the mail that was not shown yet. What it shows is acknowledged."""
        return self._ask(Unread(after, limit))

    def acknowledge(self, number: int) -> None:
        """Drop the mail up to this number. Clients do it by themselves for what `receive` and `unread` showed."""
        return self._ask(Acknowledge(number))

    def delete_messages(self, numbers) -> int:
        """Delete messages (their numbers) from the own mailbox; how many there were."""
        is_list = isinstance(numbers, Iterable) and not isinstance(numbers, str)
        return self._ask(DeleteMessages(tuple(numbers) if is_list else numbers))

    def delete_account(self) -> int:
        """Delete the own account; the credits that were on it. Unread mail goes back to its senders."""
        return self._ask(DeleteAccount())

    def deposit(self, amount: int, request_id: str = "") -> int:
        """Add credits; the new balance. A repeat with the same request id adds nothing."""
        return self._ask(Deposit(amount, request_id=request_id))

    def withdraw(self, amount: int, request_id: str = "") -> int:
        """Take credits; the new balance. A repeat with the same request id takes nothing."""
        return self._ask(Withdraw(amount, request_id=request_id))

    def balance(self) -> int:
        """The own balance, in whole credits."""
        return self._ask(ViewBalance())

    def join(self, room: str = "lobby"):
        """Enter a room and leave the one before: `Joined`, with its members."""
        return self._ask(Join(room))

    def say(self, text: str, request_id: str = "") -> int:
        """Say something in the room; how many others were told."""
        return self._ask(Say(text, request_id))

    def leave(self) -> None:
        """Leave the room."""
        return self._ask(Leave())

    def ping(self) -> None:
        """Return when the server has answered."""
        return self._ask(Ping())


class Memory(Verbs):
    """What every client keeps between requests: its account, what it has shown, and who listens in."""

    def __init__(self, protocol: str):
        self.protocol = protocol
        self.account: Account | None = None
        #: Called with "asked", "answered" or "received" and the message, in the caller's thread.
        self.listener: Callable[[str, Message], None] | None = None
        self._shown: Shown | None = None

    def __repr__(self):
        who = f"{self.account.name} ({self.account.id})" if self.account else "nobody yet"
        return f"<{self.protocol} client of {who}>"

    @property
    def name(self) -> str:
        """The account's name, or empty while logged in to none."""
        return self.account.name if self.account else ""

    def _heard(self, what: str, message: Message) -> None:
        if self.listener is not None:
            self.listener(what, message)

    def _result(self, request: Request, reply: Reply):
        """What the verb returns; raises the `ChatError` that the server answered."""
        self._heard("answered", reply)
        if isinstance(reply, Refused):
            raise ChatError(reply.code, reply.text)
        learn = _LEARN.get(type(reply))
        return reply if learn is None else learn(self, request, reply)

    def _learn_account(self, request: Request, reply: Account) -> Account:
        if self.account is not None and self.account.id != reply.id:
            self._forget()  # the server had logged us out, and that event waits there too
        self.account = reply
        if self._shown is None or self._shown.account != reply.id:
            self._shown = Shown(reply.id, reply.acknowledged)
        self._shown.told = reply.acknowledged
        self._shown.floor = max(self._shown.floor, reply.acknowledged)
        return reply

    def _learn_mail(self, request: Unread, reply: Mail) -> Mail:
        fresh = tuple([message for message in reply.messages if message.number not in self._shown])
        self._shown.add_page(request.after, reply.messages)
        return Mail(fresh, reply.more)

    def _learn_done(self, request: Request, reply: Done) -> None:
        if isinstance(request, LogOut):
            self.account = None
            self._forget()
        elif isinstance(request, Acknowledge):
            self._shown.acknowledge(request.number)

    def _learn_deleted(self, request: DeleteMessages, reply: Deleted) -> int:
        self._shown.delete(request.numbers, reply.count)
        return reply.count

    def _learn_closed(self, request: DeleteAccount, reply: Closed) -> int:
        self.account = self._shown = None
        self._forget()
        return reply.paid_out

    def _is_new(self, event: Event) -> bool:
        """Whether to show this event. What was shown before a connection was lost may come again."""
        if isinstance(event, Arrived) and self._shown is not None:
            if event.number in self._shown:
                return False
            self._shown.arrive(event.number)
        elif isinstance(event, LoggedOut):
            self.account = None
        return True

    def _due(self, at_least: int = 1) -> Acknowledge | None:
        """The acknowledgement that is due when so many shown messages are not acknowledged yet."""
        shown = self._shown
        if self.account is None or shown is None or shown.floor - shown.told < at_least:
            return None
        shown.told = shown.floor
        return Acknowledge(shown.floor)

    def _forget(self) -> None:
        """Drop the events that wait: they are of an account this client no longer speaks for, and so are their numbers."""
        try:
            while True:
                self._events.get_nowait()
        except (queue.Empty, asyncio.QueueEmpty):
            if self._lost is not None:
                self._events.put_nowait(self._lost)


_LEARN = {
    Account: Memory._learn_account,
    Mail: Memory._learn_mail,
    Done: Memory._learn_done,
    Deleted: Memory._learn_deleted,
    Closed: Memory._learn_closed,
    Balance: lambda self, request, reply: reply.amount,
    Said: lambda self, request, reply: reply.heard_by,
    Pong: lambda self, request, reply: None,
}


class Client(Memory):
    """A blocking client; any thread may use it. A transport supplies `_exchange`, `_tell`, `_connect` and `close`.

    Its reader puts events into the queue by `_arrive`, and calls `_end` when the connection is over.
    """

    def __init__(self, protocol: str):
        super().__init__(protocol)
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        self._events: queue.SimpleQueue[Event | ConnectionLost] = queue.SimpleQueue()
        self._lost: ConnectionLost | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def receive(self, timeout_s: float | None = None) -> Event:
        """The next event, in the order in which the server announced them.

        Raises `TimeoutError` when none came within `timeout_s` seconds (None waits for ever) and `ConnectionLost`
        when the connection is over and all its events were shown.
        """
        deadline = None if timeout_s is None else time.monotonic() + _checked_s(timeout_s)
        while True:
            try:
                left = None if deadline is None else max(0, deadline - time.monotonic())
                event = self._events.get(timeout=left)
            except queue.Empty:
                raise TimeoutError(f"no event within {timeout_s} s") from None
            if isinstance(event, ConnectionLost):
                self._events.put(event)  # for whoever asks next
                raise event
            if self._is_new(event):
                self._heard("received", event)
                self._acknowledge()
                return event

    def _ask(self, request: Request):
        checked(request)
        if self._lost is not None and isinstance(request, (LogIn, CreateAccount)):
            self._reconnect()
        if isinstance(request, LogOut):
            self._acknowledge(now=True)
        self._heard("asked", request)
        result = self._result(request, self._exchange(request))
        if isinstance(request, Unread):
            self._acknowledge()
        return result

    def _acknowledge(self, now: bool = False) -> None:
        """Tell the server what was shown: now, or when nothing waits to be shown, in batches otherwise."""
        due = self._due(1 if now or self._events.empty() else ACKNOWLEDGE_EVERY)
        if due is not None and self._lost is None:
            try:
                self._tell(due)
            except ConnectionLost:
                pass  # not acknowledged, so it will come again, and `_is_new` will know it

    def _reconnect(self) -> None:
        self.account = None
        self._events = queue.SimpleQueue()
        self._lost = None
        try:
            self._connect()
        except ConnectionLost as lost:
            self._end(lost)
            raise

    def _arrive(self, event: Event) -> None:
        self._events.put(event)

    def _end(self, lost: ConnectionLost) -> None:
        events = self._events  # once `_lost` is set, the user may connect again and have new ones
        if self._lost is None:
            self._lost = lost
            events.put(lost)

    # ---- what a transport supplies

    def _connect(self) -> None:
        """Open the connection. Raises `ConnectionLost`."""
        raise NotImplementedError

    def _exchange(self, request: Request) -> Reply:
        """Carry a request and wait for its reply, at most `answer_timeout_s`. Raises `ConnectionLost`."""
        raise NotImplementedError

    def _tell(self, request: Request) -> None:
        """Carry a request whose reply nobody waits for."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection. What was shown is acknowledged; what was not stays in the mailbox."""
        raise NotImplementedError


class AsyncClient(Memory):
    """The same verbs, awaited, in one event loop. A transport supplies what `Client`'s does, as coroutines."""

    def __init__(self, protocol: str):
        super().__init__(protocol)
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        self._events: asyncio.Queue[Event | ConnectionLost] = asyncio.Queue()
        self._lost: ConnectionLost | None = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def receive(self, timeout_s: float | None = None) -> Event:
        """As `Client.receive`."""
        try:
            async with asyncio.timeout(None if timeout_s is None else _checked_s(timeout_s)):
                while True:
                    event = await self._events.get()
                    if isinstance(event, ConnectionLost):
                        self._events.put_nowait(event)
                        raise event
                    if self._is_new(event):
                        break
        except TimeoutError:
            raise TimeoutError(f"no event within {timeout_s} s") from None
        self._heard("received", event)
        await self._acknowledge()
        return event

    async def _ask(self, request: Request):
        checked(request)
        if self._lost is not None and isinstance(request, (LogIn, CreateAccount)):
            await self._reconnect()
        if isinstance(request, LogOut):
            await self._acknowledge(now=True)
        self._heard("asked", request)
        result = self._result(request, await self._exchange(request))
        if isinstance(request, Unread):
            await self._acknowledge()
        return result

    async def _acknowledge(self, now: bool = False) -> None:
        due = self._due(1 if now or self._events.empty() else ACKNOWLEDGE_EVERY)
        if due is not None and self._lost is None:
            try:
                await self._tell(due)
            except ConnectionLost:
                pass  # not acknowledged, so it will come again, and `_is_new` will know it

    async def _reconnect(self) -> None:
        self.account = None
        self._events = asyncio.Queue()
        self._lost = None
        try:
            await self._connect()
        except ConnectionLost as lost:
            self._end(lost)
            raise

    def _arrive(self, event: Event) -> None:
        self._events.put_nowait(event)

    def _end(self, lost: ConnectionLost) -> None:
        if self._lost is None:
            self._lost = lost
            self._events.put_nowait(lost)

    # ---- what a transport supplies

    async def _connect(self) -> None:
        raise NotImplementedError

    async def _exchange(self, request: Request) -> Reply:
        raise NotImplementedError

    async def _tell(self, request: Request) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def _checked_s(timeout_s: float) -> float:
    if not isinstance(timeout_s, int | float):
        raise TypeError(f"timeout_s is a number of seconds, or None, not {cut(timeout_s)}")
    if not 0 <= timeout_s <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout_s is a number of seconds from 0 on, or None to wait for ever, not {cut(timeout_s)}")
    return timeout_s
