"""What a null server must know so that a load of any kind goes on: who is there, and nothing of a chat besides.

An echo answers a ping. A text must reach somebody else before it counts, under the number that its sender was told; so a
*stub* knows each connection's name, balance and room, and how many texts went to it. It answers each request with a reply of
the right kind and hands texts on to whom they are for. That is all: no account outlives its connection, no mailbox keeps a
text, an acknowledgement drops nothing; nobody is told who comes and goes; there is no password, no limit, no refusal, no lock
and no order of turns. What is sent to nobody is gone.

It costs more than an echo: each message is read and spelled, as a chat's must be. It does no I/O; its doors are in null.py.

>>> stub, ada, bob = StubChat(), StubPeer(), StubPeer()
>>> stub.answer(ada, CreateAccount("ada")), stub.answer(bob, CreateAccount("bob"))
(Account(id=1, name='ada', unread=0, acknowledged=0), Account(id=1, name='bob', unread=0, acknowledged=0))
>>> stub.answer(ada, Send("bob", "hi")), bob.take()
(Sent(number=1, delivered=True), [(None, Arrived(number=1, sender='ada', text='hi', returned=False))])
"""

from collections.abc import Callable
from fnmatch import fnmatchcase

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

_DONE, _PONG, _GONE = Done(), Pong(), Sent(0)


class StubPeer:
    """Who is at the other end of a connection, and what waits to be said there; `wake` is called when that begins to wait."""

    __slots__ = ("name", "balance", "arrived", "room", "_wake", "_waiting")

    def __init__(self, wake: Callable[[], None] = lambda: None):
        self.name, self.balance, self.arrived = "", 0, 0
        self.room: str | None = None
        self._wake = wake
        self._waiting: list[tuple[int | None, Message | None]] = []

    def put(self, tag: int | None, message: Message | None) -> None:
        """A reply with its request's tag, or an event; None is for whoever owns the connection."""
        self._waiting.append((tag, message))
        if len(self._waiting) == 1:
            self._wake()

    def take(self) -> list[tuple[int | None, Message | None]]:
        waiting, self._waiting = self._waiting, []
        return waiting


class StubChat:
    """All who are there. One thread at a time may ask."""

    def __init__(self):
        self._peers: dict[str, StubPeer] = {}
        self._rooms: dict[str | None, list[StubPeer]] = {}
        self._pages: dict[ListAccounts, Accounts] = {}  # found already, as long as nobody comes or goes

    def answer(self, peer: StubPeer, request: Request) -> Reply:
        """The reply; what others are to hear of it waits with them."""
        act = _ACTS.get(type(request))
        return _DONE if act is None else act(self, peer, request)

    def forget(self, peer: StubPeer) -> None:
        """The connection is gone, or speaks for nobody any more."""
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
        self.forget(peer)
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
            more = names[request.limit - 1] if len(names) > request.limit else ""
            page = self._pages[request] = Accounts(tuple(names[: request.limit]), more)
        return page

    def _send(self, peer: StubPeer, request: Send) -> Sent:
        other = self._peers.get(request.to)
        if other is None:
            return _GONE
        other.arrived = number = other.arrived + 1
        other.put(None, Arrived(number, peer.name, request.text))
        return Sent(number, True)

    def _join(self, peer: StubPeer, request: Join) -> Joined:
        self._leave(peer)
        there = self._rooms.setdefault(request.room, [])
        there.append(peer)
        peer.room = request.room
        return Joined(peer.room, (peer.name,), len(there))

    def _say(self, peer: StubPeer, request: Say) -> Said:
        others = [other for other in self._rooms.get(peer.room, ()) if other is not peer]
        if others:
            heard = Heard(peer.room, peer.name, request.text)
            for other in others:
                other.put(None, heard)
        return Said(len(others))


_ACTS = {
    CreateAccount: StubChat._create_account, DeleteAccount: StubChat._delete_account, Deposit: StubChat._deposit,
    ViewBalance: StubChat._view_balance, Ping: StubChat._ping, ListAccounts: StubChat._list_accounts, Send: StubChat._send,
    Join: StubChat._join, Say: StubChat._say,
}  # fmt: skip
