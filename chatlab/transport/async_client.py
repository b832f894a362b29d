"""The async client: the verbs of `Client`, awaited, in one event loop.

It is `client.py` over again, in the same order, with `await` where the other one blocks, and without locks: between two
`await`s nothing changes.
"""

import asyncio
from collections.abc import Iterable

from ..messages import (
    Account,
    Accounts,
    Acknowledge,
    Balance,
    ChatError,
    Closed,
    ConnectionLost,
    CreateAccount,
    DeleteAccount,
    Deleted,
    Deposit,
    Done,
    Event,
    Join,
    Joined,
    Leave,
    ListAccounts,
    LogIn,
    LogOut,
    Mail,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    Said,
    Say,
    Send,
    Sent,
    Unread,
    ViewBalance,
    Withdraw,
    checked,
)
from .client_state import (
    ACKNOWLEDGE_EVERY,
    CLOSE_TIMEOUT_S,
    LOGIN_CHANGES,
    ClientState,
    Inbox,
    Login,
    R,
    checked_timeout,
    deletion,
    wrong_reply,
)
from .interface import Address, AsyncDial, AsyncTransport
from .pending import again


class AsyncClient(ClientState):
    """An async client, for the event loop in which it was connected; an async context manager that closes itself.

    Its verbs are those of `Client`, with the same results and errors.
    """

    def __init__(self, protocol: str, address: Address, dial: AsyncDial):
        """Not connected yet: `await AsyncClient.connect(...)` makes one that is."""
        super().__init__(protocol)
        self.address = address
        self._dial = dial
        self._changed = asyncio.Event()  # set when the state or the inbox changes
        self._login_changes = asyncio.Lock()  # held while a request changes which account is logged in
        self._login_is_changing = False
        #: The connection, as it carries requests: for measurements that need a request without what a verb does around
        #: it.
        self.transport: AsyncTransport

    @classmethod
    async def connect(cls, protocol: str, address: Address, dial: AsyncDial) -> "AsyncClient":
        """A client that is connected to the address: `dial` opens the transport. Raises `ConnectionLost`."""
        client = cls(protocol, address, dial)
        await client._connect()
        return client

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- the account

    async def create_account(self, name: str, password: str = "") -> Account:
        """Create an account and log in to it."""
        return await self._ask(CreateAccount(name, password), Account)

    async def log_in(self, name_or_id: str | int, password: str = "") -> Account:
        """Log in by name or by id. On a client whose connection was lost this connects again first."""
        return await self._ask(LogIn(str(name_or_id) if isinstance(name_or_id, int) else name_or_id, password), Account)

    async def log_out(self) -> None:
        """Log out of the account; the connection stays."""
        await self._ask(LogOut(), Done)

    async def delete_account(self) -> int:
        """Delete the own account; returns the credits that were on it. Unread mail goes back to its senders."""
        return (await self._ask(DeleteAccount(), Closed)).paid_out

    async def list_accounts(self, pattern: str = "*", after: str = "", limit: int = 100) -> Accounts:
        """A page of the names that match (`*` any run, `?` any one character) and sort behind `after`.

        The page can be iterated and has a length; its `next` is the `after` of the next page, or empty.
        """
        return await self._ask(ListAccounts(pattern, after, limit), Accounts)

    # ---- messages

    async def send(self, to: str, text: str, request_id: str = "") -> Sent:
        """Send to an account, on-line or not. A repeat with the same request id is not sent twice."""
        return await self._ask(Send(to, text, request_id), Sent)

    async def unread(self, after: int = 0, limit: int = 100) -> Mail:
        """A page of the mail that was not read yet: the messages numbered above `after`."""
        self._acknowledge(1)
        return await self._ask(Unread(after, limit), Mail)

    async def acknowledge(self, number: int) -> None:
        """Drop the mail up to this number. (What `receive` and `unread` return, the client acknowledges by itself.)"""
        await self._ask(Acknowledge(number), Done)

    async def delete_messages(self, numbers: Iterable[int]) -> int:
        """Delete messages, by their numbers, from the own mailbox; returns how many were there."""
        return (await self._ask(deletion(numbers), Deleted)).count

    # ---- credits

    async def deposit(self, amount: int, request_id: str = "") -> int:
        """Add credits; returns the new balance. A repeat with the same request id adds nothing."""
        return (await self._ask(Deposit(amount, request_id=request_id), Balance)).amount

    async def withdraw(self, amount: int, request_id: str = "") -> int:
        """Take credits; returns the new balance. A repeat with the same request id takes nothing."""
        return (await self._ask(Withdraw(amount, request_id=request_id), Balance)).amount

    async def balance(self) -> int:
        """The own balance, in whole credits."""
        return (await self._ask(ViewBalance(), Balance)).amount

    # ---- rooms

    async def join(self, room: str = "lobby") -> Joined:
        """Enter a room, and leave the one before; returns its members."""
        return await self._ask(Join(room), Joined)

    async def say(self, text: str, request_id: str = "") -> int:
        """Say something in the room; returns how many others hear it."""
        return (await self._ask(Say(text, request_id), Said)).heard_by

    async def leave(self) -> None:
        """Leave the room."""
        await self._ask(Leave(), Done)

    async def ping(self) -> None:
        """Return when the server has answered."""
        await self._ask(Ping(), Pong)

    # ---- events, and the end

    async def receive(self, timeout_s: float | None = None) -> Event:
        """The next event, in the order in which the server announced them.

        Raises `TimeoutError` when none came within `timeout_s` seconds (None waits for ever) and `ConnectionLost`
        when the connection has ended and all its events were received. One that is cancelled has taken no event.
        """
        if timeout_s is not None:
            checked_timeout(timeout_s)
        inbox = self._inbox
        self._acknowledge(1 if not inbox.events else ACKNOWLEDGE_EVERY)
        event = self._next_event(inbox)
        if event is None:
            event = await self._wait_for_event(inbox, timeout_s)
        self._notify("received", event)
        return event

    async def drain(self) -> None:
        """Return when everything that the client has sent by itself is answered, so that nothing is on its way."""
        await self.transport.drain(self.answer_timeout_s)

    async def close(self) -> None:
        """End the connection. What was read is acknowledged; what was not stays in the mailbox."""
        await self._settle_mailbox(CLOSE_TIMEOUT_S)
        await self.transport.close()

    # ---- how it is done

    async def ask(self, request: Request) -> Reply:
        """The reply to any request, as the verbs get it. For requests that no verb makes."""
        return await self._ask(request, Reply)

    async def _connect(self) -> None:
        inbox = Inbox()

        def on_event(event: Event | ConnectionLost) -> None:
            inbox.put(event)
            self._changed.set()

        self.transport = await self._dial(self.address, on_event)
        self._inbox, self._login = inbox, None

    async def _ask(self, request: Request, kind: type[R]) -> R:
        checked(request)
        if type(request) not in LOGIN_CHANGES:
            return await self._exchange(request, kind)
        async with self._login_changes:
            if self._inbox.lost is not None and not isinstance(request, LogOut | DeleteAccount):
                await self.transport.abort()
                await self._connect()
            if isinstance(request, LogOut):
                await self._settle_mailbox(self.answer_timeout_s)
            self._login_is_changing = True
            try:
                return await self._exchange(request, kind)
            finally:
                self._login_is_changing = False
                self._changed.set()

    async def _exchange(self, request: Request, kind: type[R]) -> R:
        self._notify("asked", request)
        transport, login = self.transport, self._login
        reply = await transport.exchange(request, self.answer_timeout_s)
        self._notify("answered", reply)
        if isinstance(reply, Refused):
            raise ChatError(reply.code, reply.text)
        if not isinstance(reply, kind):
            wrong = wrong_reply(request, reply)
            await transport.abort(wrong)
            raise ConnectionLost(wrong)
        return self._learn(request, reply, login)

    async def _wait_for_event(self, inbox: Inbox, timeout_s: float | None) -> Event:
        try:
            async with asyncio.timeout(timeout_s):
                while (event := self._next_event(inbox)) is None:
                    if inbox.lost is not None and not (self._login_is_changing and inbox.events):
                        raise again(inbox.lost)
                    self._changed.clear()
                    await self._changed.wait()
                return event  # taken after the last `await`, so that a cancelled wait takes none
        except TimeoutError:
            raise TimeoutError(f"no event within {timeout_s} s") from None

    def _next_event(self, inbox: Inbox) -> Event | None:
        """The next event to return, if there is one and it is settled to which log-in it belongs."""
        return None if self._login_is_changing or inbox is not self._inbox else self._take()

    def _acknowledge(self, at_least: int) -> None:
        """Acknowledge what was read, if so many messages were since the last time. Never waits.

        What could not be sent now is due again at the next opportunity.
        """
        pending = self._pending_acknowledgement(at_least)
        if pending is not None and not self._login_is_changing:
            self._post_acknowledgement(*pending)

    def _post_acknowledgement(self, login: Login, request: Acknowledge) -> None:
        if self.transport.post(request, lambda reply: login.mailbox.confirm(request, reply)):
            login.mailbox.posted = request.number

    async def _settle_mailbox(self, timeout_s: float) -> None:
        """Have the server drop exactly what was read, while there is still a log-in to say it for.

        What cannot be said comes again, and this client will know it.
        """
        for request in [] if self._login_is_changing else self._mailbox_settlement():
            try:
                if not self.transport.post(request, lambda reply: None):
                    await self.transport.exchange(request, timeout_s)
            except (ConnectionLost, ChatError):
                return
