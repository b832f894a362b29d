"""The blocking client: what a user of the chat can do, written once for every protocol.

A verb builds a request and hands it to the *transport*, one connection that can carry it; the reply comes back as the
verb's result, a refusal as `ChatError`. Events come up from the transport by one callback and wait in an inbox until
`receive` hands them out. The client itself opens no connection: it is given a function that does.
"""

import threading
import time
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
from .interface import Address, Dial, Transport
from .pending import again


class Client(ClientState):
    """A blocking client; any thread may use it, and it is a context manager that closes itself.

    Every verb raises `ChatError` where the server refuses (the user must act; nothing was changed) and `ConnectionLost`
    where no answer came (the request may or may not have been carried out). After a lost connection `log_in` and
    `create_account` connect again.

    A message that `receive` or `unread` has returned is returned only once, also where the server sends it again after
    a lost connection. The client acknowledges it by itself when it is called for the next one (`receive`, `unread`),
    logs out or closes: a program that dies before that is given the message again.
    """

    def __init__(self, protocol: str, address: Address, dial: Dial):
        """Connect to the address: `dial` opens the transport. Raises `ConnectionLost`."""
        super().__init__(protocol)
        self.address = address
        self._dial = dial
        self._changed = threading.Condition()  # guards the state, the inbox included; notified when any of it changes
        self._login_changes = threading.Lock()  # held while a request changes which account is logged in
        self._login_is_changing = False
        #: The connection, as it carries requests: for measurements that need a request without what a verb does around
        #: it.
        self.transport: Transport
        self._connect()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the account

    def create_account(self, name: str, password: str = "") -> Account:
        """Create an account and log in to it."""
        return self._ask(CreateAccount(name, password), Account)

    def log_in(self, name_or_id: str | int, password: str = "") -> Account:
        """Log in by name or by id. On a client whose connection was lost this connects again first."""
        return self._ask(LogIn(str(name_or_id) if isinstance(name_or_id, int) else name_or_id, password), Account)

    def log_out(self) -> None:
        """Log out of the account; the connection stays."""
        self._ask(LogOut(), Done)

    def delete_account(self) -> int:
        """Delete the own account; returns the credits that were on it. Unread mail goes back to its senders."""
        return self._ask(DeleteAccount(), Closed).paid_out

    def list_accounts(self, pattern: str = "*", after: str = "", limit: int = 100) -> Accounts:
        """A page of the names that match (`*` any run, `?` any one character) and sort behind `after`.

        The page can be iterated and has a length; its `next` is the `after` of the next page, or empty.
        """
        return self._ask(ListAccounts(pattern, after, limit), Accounts)

    # ---- messages

    def send(self, to: str, text: str, request_id: str = "") -> Sent:
        """Send to an account, on-line or not. A repeat with the same request id is not sent twice."""
        return self._ask(Send(to, text, request_id), Sent)

    def unread(self, after: int = 0, limit: int = 100) -> Mail:
        """A page of the mail that was not read yet: the messages numbered above `after`."""
        self._acknowledge(1)
        return self._ask(Unread(after, limit), Mail)

    def acknowledge(self, number: int) -> None:
        """Drop the mail up to this number. (What `receive` and `unread` return, the client acknowledges by itself.)"""
        self._ask(Acknowledge(number), Done)

    def delete_messages(self, numbers: Iterable[int]) -> int:
        """Delete messages, by their numbers, from the own mailbox; returns how many were there."""
        return self._ask(deletion(numbers), Deleted).count

    # ---- credits

    def deposit(self, amount: int, request_id: str = "") -> int:
        """Add credits; returns the new balance. A repeat with the same request id adds nothing."""
        return self._ask(Deposit(amount, request_id=request_id), Balance).amount

    def withdraw(self, amount: int, request_id: str = "") -> int:
        """Take credits; returns the new balance. A repeat with the same request id takes nothing."""
        return self._ask(Withdraw(amount, request_id=request_id), Balance).amount

    def balance(self) -> int:
        """The own balance, in whole credits."""
        return self._ask(ViewBalance(), Balance).amount

    # ---- rooms

    def join(self, room: str = "lobby") -> Joined:
        """Enter a room, and leave the one before; returns its members."""
        return self._ask(Join(room), Joined)

    def say(self, text: str, request_id: str = "") -> int:
        """Say something in the room; returns how many others hear it."""
        return self._ask(Say(text, request_id), Said).heard_by

    def leave(self) -> None:
        """Leave the room."""
        self._ask(Leave(), Done)

    def ping(self) -> None:
        """Return when the server has answered."""
        self._ask(Ping(), Pong)

    # ---- events, and the end

    def receive(self, timeout_s: float | None = None) -> Event:
        """The next event, in the order in which the server announced them.

        Raises `TimeoutError` when none came within `timeout_s` seconds (None waits for ever) and `ConnectionLost`
        when the connection has ended and all its events were received.
        """
        deadline = None if timeout_s is None else time.monotonic() + checked_timeout(timeout_s)
        with self._changed:
            self._acknowledge(1 if not self._inbox.events else ACKNOWLEDGE_EVERY)
            inbox = self._inbox
            while (event := self._next_event(inbox)) is None:
                if inbox.lost is not None and not (self._login_is_changing and inbox.events):
                    raise again(inbox.lost)
                if not self._changed.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"no event within {timeout_s} s")
        self._notify("received", event)
        return event

    def drain(self) -> None:
        """Return when everything that the client has sent by itself is answered, so that nothing is on its way."""
        self.transport.drain(self.answer_timeout_s)

    def close(self) -> None:
        """End the connection. What was read is acknowledged; what was not stays in the mailbox."""
        self._settle_mailbox(CLOSE_TIMEOUT_S)
        self.transport.close()

    # ---- how it is done

    def ask(self, request: Request) -> Reply:
        """The reply to any request, as the verbs get it. For requests that no verb makes."""
        return self._ask(request, Reply)

    def _connect(self) -> None:
        inbox = Inbox()

        def on_event(event: Event | ConnectionLost) -> None:
            with self._changed:
                inbox.put(event)
                self._changed.notify_all()

        transport = self._dial(self.address, on_event)
        with self._changed:
            self.transport = transport
            self._inbox, self._login = inbox, None

    def _ask(self, request: Request, kind: type[R]) -> R:
        checked(request)
        if type(request) not in LOGIN_CHANGES:
            return self._exchange(request, kind)
        with self._login_changes:
            if self._inbox.lost is not None and not isinstance(request, LogOut | DeleteAccount):
                self.transport.abort()
                self._connect()
            if isinstance(request, LogOut):
                self._settle_mailbox(self.answer_timeout_s)
            with self._changed:
                self._login_is_changing = True
            try:
                return self._exchange(request, kind)
            finally:
                with self._changed:
                    self._login_is_changing = False
                    self._changed.notify_all()

    def _exchange(self, request: Request, kind: type[R]) -> R:
        self._notify("asked", request)
        with self._changed:
            transport, login = self.transport, self._login
        reply = transport.exchange(request, self.answer_timeout_s)
        self._notify("answered", reply)
        if isinstance(reply, Refused):
            raise ChatError(reply.code, reply.text)
        if not isinstance(reply, kind):
            wrong = wrong_reply(request, reply)
            transport.abort(wrong)
            raise ConnectionLost(wrong)
        with self._changed:
            return self._learn(request, reply, login)

    def _next_event(self, inbox: Inbox) -> Event | None:
        """The next event to return, if there is one and it is settled to which log-in it belongs."""
        return None if self._login_is_changing or inbox is not self._inbox else self._take()

    def _acknowledge(self, at_least: int) -> None:
        """Acknowledge what was read, if so many messages were since the last time. Never waits.

        What could not be sent now is due again at the next opportunity.
        """
        with self._changed:
            pending = self._pending_acknowledgement(at_least)
            if pending is not None and not self._login_is_changing:
                self._post_acknowledgement(*pending)

    def _post_acknowledgement(self, login: Login, request: Acknowledge) -> None:
        def confirm(reply: Reply) -> None:
            with self._changed:
                login.mailbox.confirm(request, reply)

        if self.transport.post(request, confirm):
            login.mailbox.posted = request.number

    def _settle_mailbox(self, timeout_s: float) -> None:
        """Have the server drop exactly what was read, while there is still a log-in to say it for.

        What cannot be said comes again, and this client will know it.
        """
        with self._changed:
            requests = [] if self._login_is_changing else self._mailbox_settlement()
        for request in requests:
            try:
                if not self.transport.post(request, lambda reply: None):
                    self.transport.exchange(request, timeout_s)
            except (ConnectionLost, ChatError):
                return
