"""Who says what, to whom, how often: the load, as a value.

In a *closed loop* each client has so many requests on their way and asks the next when one is done. In an *open loop*
requests fall due by a schedule, whether or not the earlier ones were answered, as with users who do not know of each
other. Both are decided by the seed alone, before anything is sent: the same workload asks the same of every protocol.

Clients come in pairs that write to each other; an odd one out writes to itself. A workload knows no clock and no
socket.

>>> print(Workload(clients=4, seconds=5))
4 clients in pairs, one message of 32 bytes on its way for each, for 5 s after 0.1 s of warm-up, seed 0
>>> list(Workload(clients=1, rate=4, seconds=1, warm_up_s=0).arrivals_of(0))
[125000000, 375000000, 625000000, 875000000]
"""

import math
import random
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

STEP_DIGITS = 8
VARIETY = 64  # different noises of one client, besides their numbers
OPERATIONS = ("send", "say", "balance", "ping", "search")
ARRIVALS = ("constant", "poisson")
NS = 1_000_000_000

Pieces = tuple[tuple[float, ...], ...]


class Step(NamedTuple):
    """What a client asks once; only `send` and `say` have a text."""

    operation: str
    text: str


@dataclass(frozen=True)
class Workload:
    """A load that is the same for every protocol.

    Closed loop (`rate` is None): each of the `clients` has `in_flight` requests on their way, and thinks for `think_s`
    before the next. Open loop: `rate` requests a second by all clients together, at constant distances or, with
    `arrivals="poisson"`, at random ones; or steps and ramps, each (seconds, rate) or (seconds, first rate, last rate).

    It lasts `seconds`, after `warm_up_s` that are not counted; or, where `messages` is given, until each client has
    asked so many. A text has `text_bytes` bytes, or sizes by weight: ((32, 0.9), (1000, 0.1)). `operations` is the name
    of one of send, say, balance, ping, search, or a mapping of names to weights. `rooms` is how many rooms the clients
    are in; there they `say`. Raises `ValueError` or `TypeError` where that makes no sense.
    """

    clients: int = 2
    seconds: float = 0.4
    warm_up_s: float = 0.1
    messages: int | None = None
    text_bytes: int | tuple[tuple[int, float], ...] = 32
    seed: int = 0
    in_flight: int = 1
    rate: float | Pieces | None = None
    arrivals: str = "constant"
    operations: tuple[tuple[str, float], ...] = (("send", 1.0),)
    think_s: float = 0.0
    rooms: int = 0

    def __post_init__(self):
        self._settle("operations", _weighted(self.operations))
        if isinstance(self.text_bytes, Mapping | list | tuple):
            self._settle("text_bytes", _weighted(self.text_bytes))
        if isinstance(self.rate, list | tuple):
            self._settle(
                "rate", tuple(tuple(piece) if isinstance(piece, list | tuple) else (piece,) for piece in self.rate)
            )
            self._check_pieces(self.rate)
            self._settle("seconds", sum(piece[0] for piece in self.rate))
        self._check_bounds()
        self._check_choices()

    def _settle(self, field: str, value) -> None:
        object.__setattr__(self, field, value)

    def _check_bounds(self) -> None:
        for field, most in ("clients", 256), ("in_flight", 256):
            _check_whole(field, getattr(self, field), 1, most)
        _check_whole("rooms", self.rooms, 0, self.clients)
        for field, least, most in ("seconds", 0.01, 600), ("warm_up_s", 0, 60), ("think_s", 0, 60):
            _check(field, getattr(self, field), least, most)
        for size, _ in self.sizes:
            _check_whole("text_bytes", size, STEP_DIGITS + 1, 65_536)
        if self.messages is not None:
            _check_whole("messages", self.messages, 1, 1_000_000)
        if not _is_whole(self.seed):
            raise TypeError(f"seed is a whole number, not {self.seed!r}")
        if self.rate is not None and not isinstance(self.rate, tuple):
            _check("rate", self.rate, 0.1, 1_000_000)

    def _check_choices(self) -> None:
        if self.arrivals not in ARRIVALS:
            raise ValueError(f"arrivals is {' or '.join(map(repr, ARRIVALS))}, not {self.arrivals!r}")
        for name, _ in self.operations:
            if name not in OPERATIONS:
                raise ValueError(f"operations is made of {', '.join(OPERATIONS)}, not {name!r}")
        if not self.rooms and any(name == "say" for name, _ in self.operations):
            raise ValueError("who says something is in a room: rooms is from 1 to the number of clients")
        if self.is_open and (self.think_s or self.in_flight != 1):
            raise ValueError(
                "in an open loop the schedule decides: neither in_flight nor think_s can be given with a rate"
            )
        if isinstance(self.rate, tuple) and self.messages is not None:
            raise ValueError("steps of a rate last their seconds; a number of messages cannot be given with them")

    def _check_pieces(self, pieces: Pieces) -> None:
        for piece in pieces:
            right = 2 <= len(piece) <= 3 and all(map(_is_finite, piece))
            if not (right and piece[0] > 0 and min(piece[1:]) >= 0 and max(piece[1:]) > 0):
                raise ValueError(
                    f"a step of a rate is (seconds, rate) or (seconds, first rate, last rate), not {piece!r}"
                )
        if not pieces:
            raise ValueError("a rate has at least one step")

    # ---- in words

    def __str__(self):
        who = "1 client writing to itself" if self.clients == 1 else f"{self.clients} clients in pairs"
        rooms = f", in {self.rooms} room{'s'[: self.rooms > 1]}" if self.rooms else ""
        return f"{who}{rooms}, {self.load_in_words}, {self.duration}, seed {self.seed}"

    @property
    def load_in_words(self) -> str:
        """What is asked and how often, without for how long."""
        if self.is_open:
            rate = f"{self.rate:,.6g}" if not isinstance(self.rate, tuple) else " then ".join(map(_in_words, self.rate))
            load = f"{rate} messages of {self.size_in_words} per second in all, {self.arrivals} arrivals"
        elif self.in_flight == 1:
            load = f"one message of {self.size_in_words} on its way for each"
        else:
            load = f"{self.in_flight} messages of {self.size_in_words} on their way for each"
        load += f", {self.think_s:g} s of thought between them" if self.think_s else ""
        if self.operations != (("send", 1.0),):
            total = sum(weight for _, weight in self.operations)
            load += ", " + " ".join(f"{name} {weight / total:.0%}" for name, weight in self.operations)
        return load

    @property
    def size_in_words(self) -> str:
        return " or ".join(f"{size:,}" for size, _ in self.sizes) + " bytes"

    @property
    def duration(self) -> str:
        if self.messages is not None:
            return f"{self.messages} messages each"
        return f"for {self.seconds:g} s after {self.warm_up_s:g} s of warm-up"

    # ---- who

    @property
    def is_open(self) -> bool:
        """Whether requests fall due by a schedule."""
        return self.rate is not None

    @property
    def sizes(self) -> tuple[tuple[int, float], ...]:
        """The sizes of texts, with their weights."""
        return self.text_bytes if isinstance(self.text_bytes, tuple) else ((self.text_bytes, 1.0),)

    def partner(self, client: int) -> int:
        """Whom the client (0 is the first) writes to: its neighbour, or itself where it has none."""
        neighbour = client ^ 1
        return neighbour if neighbour < self.clients else client

    def room(self, client: int) -> int | None:
        """The room that the client is in, 0 is the first."""
        return client * self.rooms // self.clients if self.rooms else None

    def roommates(self, client: int) -> frozenset[int]:
        """Who hears what the client says."""
        room = self.room(client)
        return frozenset(other for other in range(self.clients) if room is not None and self.room(other) == room) - {
            client
        }

    def share(self, worker: int, workers: int) -> "Workload":
        """What one of several load generators has to do, so that together they do this. No pair and no room is divided.

        Raises `ValueError` where there are too few clients.
        """
        if workers == 1:
            return self
        if self.clients < 2 * workers or 0 < self.rooms < workers:
            raise ValueError(f"{workers} workers need {2 * workers} clients and {workers} rooms or none, not {self}")
        pairs = _part(self.clients // 2, worker, workers)
        clients = 2 * pairs + (self.clients % 2 if worker == workers - 1 else 0)
        part = clients / self.clients
        rate = self.rate
        if isinstance(rate, tuple):
            rate = tuple((piece[0], *[part * each for each in piece[1:]]) for piece in rate)
        elif rate is not None:
            rate = rate * part
        seed = self.seed * 1_000_003 + worker + 1
        return replace(self, clients=clients, rate=rate, rooms=_part(self.rooms, worker, workers), seed=seed)

    # ---- what, and when

    def steps(self, client: int, how_many: int) -> list[Step]:
        """What the client asks, decided by the seed: a text begins with the number of its step, then comes noise."""
        rng = random.Random(f"{self.seed}:{client}")
        longest = max(size for size, _ in self.sizes) - STEP_DIGITS - 1
        noise = ["".join(rng.choices(string.ascii_letters, k=longest)) for _ in range(min(VARIETY, how_many))]
        operations = rng.choices(*zip(*self.operations), k=how_many)
        sizes = rng.choices(*zip(*self.sizes), k=how_many)
        return [
            Step(
                name,
                f"{n:0{STEP_DIGITS}d},{noise[n % VARIETY][: size - STEP_DIGITS - 1]}"
                if name in ("send", "say")
                else "",
            )
            for n, (name, size) in enumerate(zip(operations, sizes))
        ]

    def arrivals_of(self, client: int) -> Iterator[int]:
        """When each request of the client falls due, in ns after the start of the warm-up. Open loop only.

        A thinned copy of one schedule: at constant distances the clients take turns, so all together are even, too.
        """
        rng = random.Random(f"{self.seed}:{client}:arrivals")
        when = _inverse(self._pieces())
        expected, phase = 0.0, (client + 0.5) / self.clients
        for n in count() if self.messages is None else range(self.messages):
            expected = n + phase if self.arrivals == "constant" else expected + rng.expovariate(1.0)
            at_s = when(expected * self.clients)
            if at_s is None:
                return
            yield int(at_s * NS)

    def _pieces(self) -> list[tuple[float, float, float]]:
        """The rate over time: (seconds, first rate, last rate), the warm-up at the rate of the beginning."""
        if isinstance(self.rate, tuple):
            pieces = [(piece[0], piece[1], piece[-1]) for piece in self.rate]
            return [(self.warm_up_s, pieces[0][1], pieces[0][1]), *pieces]
        seconds = math.inf if self.messages is not None else self.warm_up_s + self.seconds
        rate = self.rate or 0.0
        return [(seconds, rate, rate)]


def _check_whole(field: str, value, least: int, most: int) -> None:
    if not _is_whole(value):
        raise TypeError(f"{field} is a whole number from {least} to {most}, not {value!r}")
    _check(field, value, least, most)


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(field: str, value, least, most) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{field} is a number from {least} to {most}, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{field} is from {least} to {most}, not {value!r}")


def _weighted(mix) -> tuple:
    """Names or sizes with their weights, as a tuple of pairs."""
    pairs = ((mix, 1.0),) if isinstance(mix, str) else mix.items() if isinstance(mix, Mapping) else mix
    try:
        settled = tuple((what, float(weight)) for what, weight in pairs)
    except (TypeError, ValueError):
        raise TypeError(f"a mixture is a name, or names or sizes with their weights, not {mix!r}") from None
    weights = [weight for _, weight in settled]
    if not all(map(math.isfinite, weights)) or min(weights, default=-1) < 0 or not sum(weights):
        raise ValueError(f"weights are positive numbers, not {mix!r}")
    return settled


def _part(whole: int, worker: int, workers: int) -> int:
    return whole * (worker + 1) // workers - whole * worker // workers


def _in_words(piece: tuple[float, ...]) -> str:
    return " to ".join(f"{rate:,.6g}" for rate in piece[1:]) + f" for {piece[0]:g} s"


def _inverse(pieces: list[tuple[float, float, float]]):
    """When so many requests were due, by a rate that changes: a function to be called with growing numbers."""
    left, before_s, done = list(pieces), 0.0, 0.0

    def when(amount: float) -> float | None:
        nonlocal before_s, done
        while left:
            seconds, first, last = left[0]
            all_of_it = seconds * (first + last) / 2
            if amount - done < all_of_it:
                return before_s + _solved(amount - done, seconds, first, last)
            before_s, done = before_s + seconds, done + all_of_it
            left.pop(0)
        return None

    return when


def _solved(amount: float, seconds: float, first: float, last: float) -> float:
    slope = (last - first) / seconds
    if not slope:
        return amount / first
    return (math.sqrt(max(0.0, first * first + 2 * slope * amount)) - first) / slope
