"""A minimal chat, and replies of the right kind without any chat: what baseline servers have in the hub's place.

A load needs more than an echo: a text counts only when another client has received it, under the number that its sender
was told. So a *stub* keeps the name, balance and room of each connection, and a counter of the texts that were sent to
it. It answers each request with a reply of the right kind, and passes texts on. There is nothing else: an account ends
with its connection, no text is stored, an acknowledgement has no effect, nobody is told who joins or leaves a room, and
there are no passwords, limits, refusals or locks. A text to an unknown recipient is dropped.

It costs more than an echo, because each message is decoded and encoded, as a chat's must be. It does no I/O.

>>> stub, ada, bob = StubChat(), StubPeer(), StubPeer()
>>> stub.answer(ada, CreateAccount("ada")), stub.answer(bob, CreateAccount("bob"))
(Account(id=1, name='ada', unread=0, acknowledged=0), Account(id=1, name='bob', unread=0, acknowledged=0))
>>> stub.answer(ada, Send("bob", "hi")), bob.take()
(Sent(number=1, delivered=True), [(None, Arrived(number=1, sender='ada', text='hi', returned=False))])
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ...messages import (
    Account,
    Accounts,
    Arrived,
    Balance,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deposit,
    Done,
    Heard,
    Join,
    Joined,
    ListAccounts,
    Message,
    Ping,
    Pong,
    Reply,
    Request,
    Said,
    Say,
    Send,
    Sent,
    ViewBalance,
)

DONE = Done()
_PONG, _NOT_SENT = Pong(), Sent(0)
_CANNED_REPLIES: dict[type[Request], Reply] = {
    CreateAccount: Account(1, "nobody"),
    Deposit: Balance(0),
    ViewBalance: Balance(0),
    Ping: _PONG,
    ListAccounts: Accounts(()),
    DeleteAccount: Closed(0),
    Say: Said(0),
}


def canned_reply(request: Request) -> Reply:
    """A reply of the right kind, always the same."""
    return _CANNED_REPLIES.get(type(request), DONE)


class StubPeer:
    """One connection: its account, and what waits to be sent. `wake` is called when something begins to wait."""

    __slots__ = ("name", "balance", "received", "room", "_wake", "_waiting")

    def __init__(self, wake: Callable[[], object] = lambda: None):
        self.name, self.balance = "", 0
        self.received = 0  # texts
        self.room: str | None = None
        self._wake = wake
        self._waiting: list[tuple[int | None, Any]] = []

    def put(self, tag: int | None, message: Message | None) -> None:
        """A reply with its request's tag, or an event; None tells the owner of the connection that it has ended."""
        self._waiting.append((tag, message))
        if len(self._waiting) == 1:
            self._wake()

    def take(self) -> list[tuple[int | None, Any]]:
        """All that waits."""
        waiting, self._waiting = self._waiting, []
        return waiting


class StubChat:
    """All connections of one server. It is not thread-safe: one thread at a time may call it."""

    def __init__(self) -> None:
        self._peers: dict[str, StubPeer] = {}
        self._rooms: dict[str, list[StubPeer]] = {}
        self._pages: dict[ListAccounts, Accounts] = {}  # results of searches, valid until an account comes or goes

    def answer(self, peer: StubPeer, request: Request) -> Reply:
        """The reply. Events that it causes wait in the other peers."""
        act = _ACTS.get(type(request))
        return DONE if act is None else act(self, peer, request)

    def disconnect(self, peer: StubPeer) -> None:
        """The connection has ended, or its account was deleted."""
        if self._peers.get(peer.name) is peer:
            del self._peers[peer.name]
            self._pages.clear()
        self._leave(peer)

    def _leave(self, peer: StubPeer) -> None:
        if peer.room is not None:
            self._rooms[peer.room].remove(peer)
            peer.room = None

    # ---- one for each kind of request

    def _create_account(self, peer: StubPeer, request: CreateAccount) -> Account:
        peer.name = request.name
        self._peers[peer.name] = peer
        self._pages.clear()
        return Account(1, peer.name)

    def _delete_account(self, peer: StubPeer, request: DeleteAccount) -> Closed:
        self.disconnect(peer)
        return Closed(peer.balance)

    def _deposit(self, peer: StubPeer, request: Deposit) -> Balance:
        peer.balance += request.amount
        return Balance(peer.balance)

    def _view_balance(self, peer: StubPeer, request: ViewBalance) -> Balance:
        return Balance(peer.balance)

    def _ping(self, peer: StubPeer, request: Ping) -> Pong:
        return _PONG

    def _list_accounts(self, peer: StubPeer, request: ListAccounts) -> Accounts:
        page = self._pages.get(request)
        if page is None:
            names = sorted(name for name in self._peers if name > request.after and fnmatchcase(name, request.pattern))
            next_after = names[request.limit - 1] if len(names) > request.limit else ""
            page = self._pages[request] = Accounts(tuple(names[: request.limit]), next_after)
        return page

    def _send(self, peer: StubPeer, request: Send) -> Sent:
        recipient = self._peers.get(request.to)
        if recipient is None:
            return _NOT_SENT
        recipient.received = number = recipient.received + 1
        recipient.put(None, Arrived(number, peer.name, request.text))
        return Sent(number, True)

    def _join(self, peer: StubPeer, request: Join) -> Joined:
        self._leave(peer)
        members = self._rooms.setdefault(request.room, [])
        members.append(peer)
        peer.room = request.room
        return Joined(peer.room, (peer.name,), len(members))

    def _say(self, peer: StubPeer, request: Say) -> Said:
        if peer.room is None:
            return Said(0)
        others = [member for member in self._rooms[peer.room] if member is not peer]
        if others:
            heard = Heard(peer.room, peer.name, request.text)
            for other in others:
                other.put(None, heard)
        return Said(len(others))


_ACTS: dict[type[Request], Callable[[StubChat, StubPeer, Any], Reply]] = {
    CreateAccount: StubChat._create_account,
    DeleteAccount: StubChat._delete_account,
    Deposit: StubChat._deposit,
    ViewBalance: StubChat._view_balance,
    Ping: StubChat._ping,
    ListAccounts: StubChat._list_accounts,
    Send: StubChat._send,
    Join: StubChat._join,
    Say: StubChat._say,
}
