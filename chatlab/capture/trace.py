"""What was said to whom and when, in a simulation: a value that can be compared and drawn; nothing here simulates."""

from dataclasses import dataclass
from functools import cached_property

from ..messages import Arrived, Heard, Message, Say, Send, Sent


@dataclass(frozen=True)
class TraceEvent:
    """Something that one user did or saw. `kind` is "asked", "answered" or "received"; `at_s` counts from the start."""

    at_s: float
    who: str
    kind: str
    message: Message


@dataclass(frozen=True)
class Delivery:
    """A text on its way from one user to another. `received_s` is None where it was not shown before the end."""

    sender: str
    recipient: str
    text: str
    sent_s: float
    received_s: float | None


@dataclass(frozen=True)
class Trace:
    """A simulation, moment by moment, in order of time."""

    moments: tuple[TraceEvent, ...]

    def __repr__(self):
        who = sorted({moment.who for moment in self.moments})
        return f"<Trace of {', '.join(who)}: {len(self.moments)} moments, {len(self.flights)} texts>"

    def transcript(self) -> dict[str, list[str]]:
        """What each user asked, was answered and received, in that user's order and without times.

        Equal for the same scripts over any protocol, unless a script races with itself.
        """
        said: dict[str, list[str]] = {}
        for moment in self.moments:
            said.setdefault(moment.who, []).append(f"{moment.kind} {moment.message}")
        return said

    @cached_property
    def flights(self) -> tuple[Delivery, ...]:
        """Every text that was sent to somebody or said in a room and shown, with the two times."""
        return tuple(sorted(_letters(self.moments) + _sayings(self.moments), key=lambda flight: flight.sent_s))

    def plot(self, ax=None):
        """A space-time diagram: a line for each user, time downwards, an arrow for each text. Returns the Axes."""
        from ..display.plots.sequence import space_time

        return space_time(self, ax)

    def to_frame(self):
        """A pandas DataFrame, a row for each moment: at_s, who, kind, message."""
        import pandas

        rows = [(moment.at_s, moment.who, moment.kind, str(moment.message)) for moment in self.moments]
        return pandas.DataFrame(rows, columns=["at_s", "who", "kind", "message"])


def _letters(moments) -> list[Delivery]:
    shown = {(m.who, m.message.number): m.at_s for m in moments if isinstance(m.message, Arrived)}
    asked: dict[str, TraceEvent] = {}
    flights = []
    for moment in moments:
        if isinstance(moment.message, Send):
            asked[moment.who] = moment
        elif isinstance(moment.message, Sent):
            ask = asked[moment.who]
            to, text = ask.message.to, ask.message.text
            flights.append(Delivery(moment.who, to, text, ask.at_s, shown.get((to, moment.message.number))))
    return flights


def _sayings(moments) -> list[Delivery]:
    said: dict[tuple[str, str], list[float]] = {}
    for moment in moments:
        if isinstance(moment.message, Say):
            said.setdefault((moment.who, moment.message.text), []).append(moment.at_s)
    flights = []
    heard: dict[tuple[str, str, str], int] = {}
    for moment in moments:
        if isinstance(moment.message, Heard):
            sender, text = moment.message.sender, moment.message.text
            nth = heard[sender, text, moment.who] = heard.get((sender, text, moment.who), -1) + 1
            times = said.get((sender, text), ())
            if nth < len(times):
                flights.append(Delivery(sender, moment.who, text, times[nth], moment.at_s))
    return flights
