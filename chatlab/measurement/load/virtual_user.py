"""One simulated client without any I/O: what it asks next, whether what it hears is true, and when everything happened.

A request is *done* when its asker has the answer and, where it was a text, everybody who is to hear it has heard it.
Every number and every text is compared with what it must be, so nothing lost, doubled, changed or out of order goes
unnoticed. A load generator carries the messages and hands in the clock; a wrong answer raises `VerificationError`.
"""

from array import array
from collections.abc import Sequence

from ...messages import (
    Accounts,
    Arrived,
    Balance,
    ChatError,
    ChatlabError,
    Entered,
    Event,
    Heard,
    Left,
    ListAccounts,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    Said,
    Say,
    Send,
    Sent,
    ViewBalance,
    shorten,
)
from .workload import OPERATIONS, STEP_DIGITS, Step, Workload

CYCLE = 512  # requests spelled beforehand in a closed loop; then they repeat, so at most half of them are on their way
OPEN_CYCLE = 4096  # in an open loop, where more may be on their way
PAGE = 10  # names in one search


class VerificationError(ChatlabError, RuntimeError):
    """A client was told something else than it must be told: what was measured is worth nothing."""


class _Flight:
    """A text on its way: request `n` of its sender, who still has to hear it, and its number where that is known."""

    __slots__ = ("n", "listeners", "number")

    def __init__(self, n: int, listeners: set[int]):
        self.n, self.listeners, self.number = n, listeners, None


class VirtualUser:
    """The script and the diary of one client. `in_order`: whether the protocol keeps requests and answers in order;
    `numbers`: whether it tells the sender under which number a text stands in the mailbox.

    `due`, `sent`, `answered` and `heard` hold a time for each request, in ns; 0 is never. `heard` is when the last of those
    who are to hear a text had heard it. `peers` is all users of the workload, this one among them; it is filled in afterwards.
    """

    def __init__(self, workload: Workload, number: int, names: Sequence[str], in_order: bool, numbers: bool = True):
        self.number, self.name, self.names = number, names[number], names
        self.partner, self.in_order, self.numbers = workload.partner(number), in_order, numbers
        self.roommates, self.room = workload.roommates(number), workload.room(number)
        self.balance = 100 + number
        cycle = OPEN_CYCLE if workload.is_open else CYCLE
        self.steps = workload.steps(number, min(cycle, workload.messages or cycle))
        self.requests = [self._request(step) for step in self.steps]
        self.operations = array("b", [OPERATIONS.index(step.operation) for step in self.steps])
        self.peers: Sequence[VirtualUser] = ()
        self.due, self.sent, self.answered, self.heard = array("q"), array("q"), array("q"), array("q")
        self.done = 0
        self._unanswered: dict[int, int] = {}  # entry of the cycle: request
        self._flights: dict[int, _Flight] = {}  # entry of the cycle: a text on its way
        self._texts_sent = self._texts_answered = 0  # to the partner's mailbox
        self._texts_heard = 0  # of the own mailbox

    def __repr__(self):
        return f"<VirtualUser {self.name}: {self.done} of {len(self.due)} requests done>"

    def _request(self, step: Step) -> Request:
        match step.operation:
            case "send":
                return Send(self.names[self.partner], step.text)
            case "say":
                return Say(step.text)
            case "balance":
                return ViewBalance()
            case "ping":
                return Ping()
        return ListAccounts(_common(self.names) + "*", limit=PAGE)

    # ---- asking

    @property
    def next_entry(self) -> int:
        """Which of `requests` comes next."""
        return len(self.due) % len(self.requests)

    @property
    def full(self) -> bool:
        """Whether what would be asked next is still on its way since the last time round."""
        entry = self.next_entry
        return entry in self._unanswered or entry in self._flights

    def ask(self, due_ns: int) -> int:
        """The next request is asked, which was due then. Returns its number; `sent` is for the generator to fill in."""
        entry, n = self.next_entry, len(self.due)
        for times, at in (self.due, due_ns), (self.sent, 0), (self.answered, 0), (self.heard, 0):
            times.append(at)
        self._unanswered[entry] = n
        operation = self.steps[entry].operation
        if operation == "send":
            self._texts_sent += 1
            self._flights[entry] = _Flight(n, {self.partner})
        elif operation == "say" and self.roommates:
            self._flights[entry] = _Flight(n, set(self.roommates))
        return n

    def skip(self, due_ns: int) -> None:
        """A request that was due then was never asked."""
        for times, at in (self.due, due_ns), (self.sent, 0), (self.answered, 0), (self.heard, 0):
            times.append(at)

    # ---- hearing

    def answer(self, n: int, reply: Reply, now_ns: int) -> bool:
        """The answer to request `n` has come. Returns whether the request is done. Raises `VerificationError`, `ChatError`."""
        entry = n % len(self.requests)
        if self._unanswered.get(entry) != n:
            raise VerificationError(f"{self.name}: request {n} was answered twice, by {shorten(reply)}")
        if self.in_order and next(iter(self._unanswered)) != entry:
            raise VerificationError(f"{self.name}: request {n} was answered before those asked earlier")
        del self._unanswered[entry]
        if isinstance(reply, Refused):
            raise ChatError(reply.code, reply.text)
        self._check_reply(entry, n, reply)
        self.answered[n] = now_ns
        if type(reply) is Said and not self.roommates:
            self.heard[n] = now_ns
        return self._is_done(entry)

    def _check_reply(self, entry: int, n: int, reply: Reply) -> None:
        operation = self.steps[entry].operation
        right = _RIGHT[operation](self, reply)
        if operation == "send" and right and self.numbers:
            right = self._check_number(entry, reply.number)
        if not right:
            raise VerificationError(f"{self.name}: request {n}, {operation}, was answered by {shorten(reply)}")

    def _check_number(self, entry: int, number: int) -> bool:
        """The mailbox's number in an answer is the one under which the text arrives, or has arrived."""
        self._texts_answered += 1
        flight = self._flights.get(entry)
        if flight is not None and flight.number is None:
            flight.number = number
        elif flight is not None:
            return flight.number == number
        return number == self._texts_answered if self.in_order else 1 <= number <= self._texts_sent

    def hear(self, event: Event, now_ns: int) -> "tuple[VirtualUser, bool] | None":
        """An event has come. Returns who said it and whether that request is now done. Raises `VerificationError`."""
        if type(event) is Arrived:
            return self._hear_text(event, now_ns)
        if type(event) is Heard:
            return self._hear_room(event, now_ns)
        if type(event) in (Entered, Left) and self.room is not None:
            return None
        raise VerificationError(f"{self.name} heard {shorten(event)}, which nobody caused")

    def _hear_text(self, event: Arrived, now_ns: int) -> "tuple[VirtualUser, bool]":
        sender = self.peers[self.partner]
        self._texts_heard += 1
        if (event.number, event.sender, event.returned) != (self._texts_heard, sender.name, False):
            raise VerificationError(
                f"{self.name} waited for message {self._texts_heard} of {sender.name} and received {shorten(event)}"
            )
        return sender, sender.confirm_delivery(event.text, self, now_ns, event.number)

    def _hear_room(self, event: Heard, now_ns: int) -> "tuple[VirtualUser, bool]":
        for sender in map(self.peers.__getitem__, self.roommates):
            if sender.name == event.sender:
                return sender, sender.confirm_delivery(event.text, self, now_ns)
        raise VerificationError(f"{self.name} heard {shorten(event)} from somebody in another room")

    def confirm_delivery(self, text: str, listener: "VirtualUser", now_ns: int, number: int | None = None) -> bool:
        """One of those who are to hear it has heard it. Returns whether the request is now done. Raises `VerificationError`."""
        entry = int(text[:STEP_DIGITS]) if text[:STEP_DIGITS].isdecimal() else -1
        flight = self._flights.get(entry)
        if flight is None or listener.number not in flight.listeners or text != self.steps[entry].text:
            raise VerificationError(
                f"{listener.name} heard {shorten(text)} of {self.name}, which was not on its way to it"
            )
        if self.in_order and self._is_overtaking(flight, listener, number is None):
            raise VerificationError(
                f"{listener.name} heard {shorten(text)} of {self.name} before what was said earlier"
            )
        if number is not None and flight.number not in (None, number):
            raise VerificationError(
                f"{self.name} was told that {shorten(text)} is message {flight.number}, and it came as {number}"
            )
        flight.number = number
        flight.listeners.discard(listener.number)
        if flight.listeners:
            return False
        self.heard[flight.n] = now_ns
        return self._is_done(entry)

    def _is_overtaking(self, flight: _Flight, listener: "VirtualUser", in_room: bool) -> bool:
        kind = "say" if in_room else "send"
        for entry, other in self._flights.items():  # in the order asked: the first for this listener must be this one
            if listener.number in other.listeners and self.steps[entry].operation == kind:
                return other is not flight
        return False

    def _is_done(self, entry: int) -> bool:
        flight = self._flights.get(entry)
        if entry in self._unanswered or flight is not None and flight.listeners:
            return False
        self._flights.pop(entry, None)
        self.done += 1
        return True

    # ---- the end

    @property
    def waits(self) -> bool:
        """Whether something that was asked is not done."""
        return bool(self._unanswered or self._flights)

    def verify_all_delivered(self) -> None:
        """To be called when what was on its way has had its time. Raises `VerificationError` for a text that was accepted and never came."""
        for entry, flight in self._flights.items():
            if entry not in self._unanswered:
                missing = ", ".join(self.names[number] for number in sorted(flight.listeners))
                text = shorten(self.steps[entry].text)
                raise VerificationError(f"{self.name}: {text} was accepted, and {missing} never heard it")


def _common(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    return first[: next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))]


def _is_page(user: VirtualUser, reply: Reply) -> bool:
    expected = tuple(sorted(user.names))[:PAGE]
    return type(reply) is Accounts and 0 < len(reply.names) and reply.names == expected[: len(reply.names)]


#: For each operation, whether an answer is right, except for the number of a text.
_RIGHT = {
    "send": lambda user, reply: type(reply) is Sent and reply.delivered,
    "say": lambda user, reply: reply == Said(len(user.roommates)),
    "balance": lambda user, reply: reply == Balance(user.balance),
    "ping": lambda user, reply: reply == Pong(),
    "search": _is_page,
}
