"""One virtual user without any I/O: what it requests next, whether what it receives is right, and
when everything happened.

A request is *done* when the user has its reply and, if it was a text, when everybody who is to hear it has heard it.
Every number and every text is compared with what it must be, so nothing that is lost, doubled, changed or out of order
goes unnoticed. A load generator carries the messages and reads the clock; what is wrong raises `VerificationError`.
"""

from array import array
from collections.abc import Callable, Collection, Sequence
from typing import Any

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

CYCLE = 512  # requests encoded beforehand in a closed loop; then they repeat, so at most half of them are in flight
OPEN_CYCLE = 4096  # the same in an open loop, where more may be in flight
PAGE = 10  # names in one search


class VerificationError(ChatlabError, RuntimeError):
    """A virtual user received something that is wrong, or a text was lost: what was measured is worth nothing."""


class _TextInFlight:
    """The text of request `n`, which has not reached all its listeners; `number` is its mailbox number, once known."""

    __slots__ = ("n", "listeners", "number")

    def __init__(self, n: int, listeners: set[int]):
        self.n, self.listeners = n, listeners
        self.number: int | None = None


class VirtualUser:
    """The state of one virtual user: the requests of its script, when each was due, sent, answered and heard, and
    what it still waits for.

    `in_order` says whether the protocol keeps replies and events in the order of the requests, `numbers` whether it
    tells the sender of a text its number in the mailbox. `due`, `sent`, `answered` and `heard` hold a time in ns for
    each request, 0 for never; `heard` is when the last listener had heard a text. `peers`, to be set afterwards, are
    all users of the workload, this one included.
    """

    def __init__(
        self, workload: Workload, number: int, names: Sequence[str], in_order: bool, numbers: bool = True
    ) -> None:
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
        self.done = 0  #: requests
        self._unanswered: dict[int, int] = {}  # index in the cycle: request
        self._texts: dict[int, _TextInFlight] = {}  # index in the cycle: a text in flight
        self._texts_sent = self._texts_answered = 0  # to the partner's mailbox
        self._texts_heard = 0  # in the own mailbox

    def __repr__(self) -> str:
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
        return ListAccounts(_common_prefix(self.names) + "*", limit=PAGE)

    # ---- requests

    @property
    def next_index(self) -> int:
        """The index of the next request in `requests`, the cycle that repeats."""
        return len(self.due) % len(self.requests)

    @property
    def window_full(self) -> bool:
        """Whether the next request of the cycle is still in flight from the last time round."""
        index = self.next_index
        return index in self._unanswered or index in self._texts

    def begin_request(self, due_ns: int) -> int:
        """Begin the next request, which was due then. Returns its number `n`; the generator sets `sent[n]`."""
        index, n = self.next_index, len(self.due)
        for times, at in (self.due, due_ns), (self.sent, 0), (self.answered, 0), (self.heard, 0):
            times.append(at)
        self._unanswered[index] = n
        operation = self.steps[index].operation
        if operation == "send":
            self._texts_sent += 1
            self._texts[index] = _TextInFlight(n, {self.partner})
        elif operation == "say" and self.roommates:
            self._texts[index] = _TextInFlight(n, set(self.roommates))
        return n

    def skip_request(self, due_ns: int) -> None:
        """Record that a request was due then and is never sent."""
        for times, at in (self.due, due_ns), (self.sent, 0), (self.answered, 0), (self.heard, 0):
            times.append(at)

    # ---- replies and events

    def on_reply(self, n: int, reply: Reply, now_ns: int) -> bool:
        """Take the reply to request `n`. Returns whether it is done. Raises `VerificationError`, `ChatError`."""
        index = n % len(self.requests)
        if self._unanswered.get(index) != n:
            raise VerificationError(f"{self.name}: request {n} was answered twice, by {shorten(reply)}")
        if self.in_order and next(iter(self._unanswered)) != index:
            raise VerificationError(f"{self.name}: request {n} was answered before an earlier request")
        del self._unanswered[index]
        if isinstance(reply, Refused):
            raise ChatError(reply.code, reply.text)
        self._check_reply(index, n, reply)
        self.answered[n] = now_ns
        if type(reply) is Said and not self.roommates:
            self.heard[n] = now_ns
        return self._is_done(index)

    def _check_reply(self, index: int, n: int, reply: Any) -> None:
        operation = self.steps[index].operation
        right = _IS_RIGHT[operation](self, reply)
        if operation == "send" and right and self.numbers:
            right = self._check_number(index, reply.number)
        if not right:
            raise VerificationError(f"{self.name}: request {n}, {operation}, was answered by {shorten(reply)}")

    def _check_number(self, index: int, number: int) -> bool:
        """Whether the number in the reply is the one under which the text arrives, or has arrived."""
        self._texts_answered += 1
        text = self._texts.get(index)
        if text is not None and text.number is None:
            text.number = number
        elif text is not None:
            return text.number == number
        return number == self._texts_answered if self.in_order else 1 <= number <= self._texts_sent

    def on_event(self, event: Event, now_ns: int) -> "tuple[VirtualUser, bool] | None":
        """Take an event. Returns the sender of the text and whether that request is now done, None if it is no text.

        Raises `VerificationError`.
        """
        if type(event) is Arrived:
            return self._on_arrived(event, now_ns)
        if type(event) is Heard:
            return self._on_heard(event, now_ns)
        if type(event) in (Entered, Left) and self.room is not None:
            return None
        raise VerificationError(f"{self.name} received {shorten(event)}, which no request has caused")

    def _on_arrived(self, event: Arrived, now_ns: int) -> "tuple[VirtualUser, bool]":
        sender = self.peers[self.partner]
        self._texts_heard += 1
        if (event.number, event.sender, event.returned) != (self._texts_heard, sender.name, False):
            expected = f"message {self._texts_heard} of {sender.name}"
            raise VerificationError(f"{self.name} expected {expected} and received {shorten(event)}")
        return sender, sender.confirm_delivery(event.text, self, now_ns, event.number)

    def _on_heard(self, event: Heard, now_ns: int) -> "tuple[VirtualUser, bool]":
        for sender in map(self.peers.__getitem__, self.roommates):
            if sender.name == event.sender:
                return sender, sender.confirm_delivery(event.text, self, now_ns)
        raise VerificationError(f"{self.name} received {shorten(event)} from somebody in another room")

    def confirm_delivery(self, text: str, listener: "VirtualUser", now_ns: int, number: int | None = None) -> bool:
        """A listener has received this text of ours. Returns whether the request is done.

        Raises `VerificationError`.
        """
        index = int(text[:STEP_DIGITS]) if text[:STEP_DIGITS].isdecimal() else -1
        in_flight = self._texts.get(index)
        if in_flight is None or listener.number not in in_flight.listeners or text != self.steps[index].text:
            raise VerificationError(
                f"{listener.name} received {shorten(text)} of {self.name}, which was not in flight to it"
            )
        if self.in_order and self._is_overtaking(in_flight, listener, number is None):
            raise VerificationError(f"{listener.name} received {shorten(text)} of {self.name} before an earlier text")
        if number is not None and in_flight.number not in (None, number):
            raise VerificationError(
                f"{self.name} was told that {shorten(text)} is message {in_flight.number}, and it arrived as {number}"
            )
        in_flight.number = number
        in_flight.listeners.discard(listener.number)
        if in_flight.listeners:
            return False
        self.heard[in_flight.n] = now_ns
        return self._is_done(index)

    def _is_overtaking(self, text: _TextInFlight, listener: "VirtualUser", in_room: bool) -> bool:
        kind = "say" if in_room else "send"
        for (
            index,
            other,
        ) in self._texts.items():  # in the order of sending: the first for this listener must be this one
            if listener.number in other.listeners and self.steps[index].operation == kind:
                return other is not text
        return False

    def _is_done(self, index: int) -> bool:
        text = self._texts.get(index)
        if index in self._unanswered or (text is not None and text.listeners):
            return False
        self._texts.pop(index, None)
        self.done += 1
        return True

    # ---- the end

    @property
    def has_pending(self) -> bool:
        """Whether a request that was sent is not done."""
        return bool(self._unanswered or self._texts)

    def undelivered(self) -> list[tuple[str, set[int]]]:
        """The texts that the server has accepted and that have not been heard, each with the users who wait for it."""
        return [
            (self.steps[index].text, text.listeners)
            for index, text in self._texts.items()
            if index not in self._unanswered
        ]

    def verify_all_delivered(self, drained: Collection[int]) -> None:
        """Raise `VerificationError` if a text that was accepted is lost.

        `drained` are the users to whom the server has sent everything that it had for them. To any other user a text
        may still be on its way: then it is unknown whether it is lost.
        """
        for text, listeners in self.undelivered():
            lost = sorted(listeners.intersection(drained))
            if lost:
                names = ", ".join(self.names[number] for number in lost)
                raise VerificationError(f"{self.name}: {shorten(text)} was accepted, and never delivered to {names}")


def _common_prefix(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    return first[: next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))]


def _is_page(user: VirtualUser, reply: Reply) -> bool:
    if type(reply) is not Accounts:
        return False
    expected = tuple(sorted(user.names))[:PAGE]
    return len(reply.names) > 0 and reply.names == expected[: len(reply.names)]


#: For each operation, whether a reply is right, except for the number of a text.
_IS_RIGHT: dict[str, Callable[[VirtualUser, Any], bool]] = {
    "send": lambda user, reply: type(reply) is Sent and reply.delivered,
    "say": lambda user, reply: reply == Said(len(user.roommates)),
    "balance": lambda user, reply: reply == Balance(user.balance),
    "ping": lambda user, reply: reply == Pong(),
    "search": _is_page,
}
