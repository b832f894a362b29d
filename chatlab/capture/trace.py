"""What was said to whom and when in a simulation: a value that can be compared and drawn. Nothing here simulates."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..messages import Account, Arrived, Heard, Message, Say, Send, Sent

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class TraceEvent:
    """A message that a user asked, was answered or received, which `kind` says. `at_s` counts from the start."""

    at_s: float
    who: str
    kind: str
    message: Message


@dataclass(frozen=True)
class Delivery:
    """A text on its way from one user to another. `received_s` is None if it was not received before the end."""

    sender: str
    recipient: str
    text: str
    sent_s: float
    received_s: float | None


@dataclass(frozen=True)
class Trace:
    """A simulation as a list of events in order of time.

    `accounts` has the users' names by account id, as they were when the scripts began: a text may be sent to an id.
    """

    events: tuple[TraceEvent, ...]
    accounts: Mapping[int, str] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        users = sorted({event.who for event in self.events})
        return f"<Trace of {', '.join(users)}: {len(self.events)} events, {len(self.deliveries)} texts>"

    def transcript(self) -> dict[str, list[str]]:
        """What each user asked, was answered and received, in that user's order and without times.

        Equal for the same scripts over any protocol, unless a script's result depends on a race.
        """
        lines: dict[str, list[str]] = {}
        for event in self.events:
            lines.setdefault(event.who, []).append(f"{event.kind} {event.message}")
        return lines

    @cached_property
    def deliveries(self) -> tuple[Delivery, ...]:
        """In order of sending: each text sent to a user, and each said in a room, once for every hearer."""
        deliveries = _mail(self.events, self.accounts) + _room_talk(self.events)
        return tuple(sorted(deliveries, key=lambda delivery: delivery.sent_s))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """A space-time diagram: a line for each user, time downwards, an arrow for each text. Returns the Axes."""
        from ..display.plots.sequence import space_time

        return space_time(self, ax)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each event: at_s, who, kind, message (as text)."""
        import pandas

        rows = [(event.at_s, event.who, event.kind, str(event.message)) for event in self.events]
        return pandas.DataFrame(rows, columns=["at_s", "who", "kind", "message"])


def _mail(events: tuple[TraceEvent, ...], accounts: Mapping[int, str]) -> list[Delivery]:
    """The texts sent with Send, matched with their arrival by mailbox and number."""
    received = _received(events, accounts)
    names = {str(number): name for number, name in accounts.items()}
    pending: dict[str, TraceEvent] = {}  # each user's last Send
    deliveries = []
    for event in events:
        if isinstance(event.message, Send):
            pending[event.who] = event
        elif isinstance(event.message, Sent) and isinstance(request := pending[event.who].message, Send):
            mailbox = _normalized(request.to)
            missing = names.get(mailbox, request.to), None
            recipient, received_s = received.get((mailbox, event.message.number), missing)
            deliveries.append(Delivery(event.who, recipient, request.text, pending[event.who].at_s, received_s))
    return deliveries


def _received(events: tuple[TraceEvent, ...], accounts: Mapping[int, str]) -> dict[tuple[str, int], tuple[str, float]]:
    """Who received each message first, and when; by its number and its mailbox, which goes by a name and by an id."""
    mailboxes = {name: (_normalized(name), str(number)) for number, name in accounts.items()}
    received: dict[tuple[str, int], tuple[str, float]] = {}
    for event in events:
        if isinstance(event.message, Account):  # logged in, perhaps to another account
            mailboxes[event.who] = event.message.name, str(event.message.id)
        elif isinstance(event.message, Arrived):
            for mailbox in mailboxes.get(event.who, (_normalized(event.who),)):
                received.setdefault((mailbox, event.message.number), (event.who, event.at_s))
    return received


def _normalized(name_or_id: str) -> str:
    """A name or an id as the server understands it: the name in NFC, the id without leading zeros."""
    if name_or_id.isascii() and name_or_id.isdigit() and len(name_or_id) < 20:
        return str(int(name_or_id))
    return unicodedata.normalize("NFC", name_or_id)


def _room_talk(events: tuple[TraceEvent, ...]) -> list[Delivery]:
    """The texts said in rooms, a delivery for each user who heard one: the n-th hearing is of the n-th saying."""
    said: dict[tuple[str, str], list[TraceEvent]] = {}
    names: dict[str, str] = {}
    for event in events:
        if isinstance(event.message, Account):
            names[event.who] = event.message.name
        elif isinstance(event.message, Say):
            name = names.get(event.who, _normalized(event.who))
            said.setdefault((name, event.message.text), []).append(event)
    deliveries = []
    heard: dict[tuple[str, str, str], int] = {}
    for event in events:
        if isinstance(event.message, Heard):
            sender, text = event.message.sender, event.message.text
            nth = heard[sender, text, event.who] = heard.get((sender, text, event.who), -1) + 1
            sayings = said.get((sender, text), [])
            if nth < len(sayings):
                deliveries.append(Delivery(sayings[nth].who, event.who, text, sayings[nth].at_s, event.at_s))
    return deliveries
