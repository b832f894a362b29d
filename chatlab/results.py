"""What was learned: values that are compared, saved and shown; nothing here measures or draws.

A result is frozen. Its `repr` is stable from run to run, so that a notebook's text does not change with the weather; the
numbers are in its fields, its `to_frame()`, its HTML form, its plot, and in what `print` shows of it.
"""

import itertools
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from .dissect.costs import LAYERS, Account
from .kernel import Segments
from .load.gauges import Course, Memory
from .load.samples import Samples, percentile_ms
from .load.workload import Workload
from .relay import Traffic
from .trace import Flight, Moment, Trace

__all__ = [
    "ByteRow", "ByteTable", "Comparison", "Environment", "Flight", "Moment", "Round", "Run", "SizeRow", "SizeTable",
    "Spread", "Trace", "Traffic",
]  # fmt: skip

GENERATOR_LIMIT = 0.85  # of one processor: from here on the clients are as busy as they can be
LATE_MS, LATE_SHARE = 1.0, 0.1  # a generator may be late by so much, or by that share of the median response time
LEAST_ATTEMPTED = 0.99  # of what was due


class Shown:
    """How every result is printed, shown in a notebook, saved and loaded."""

    def __str__(self):
        from .tables import as_text

        return as_text(self)

    def _repr_html_(self):
        from .tables import as_html

        return as_html(self)

    def save(self, path: str | Path) -> Path:
        """Write it to a file, which `load` reads: `.parquet` with a row for each request, any other ending as JSON.

        Returns the path. Raises `TypeError` for a Parquet file of what has no requests, and `ModuleNotFoundError` for one
        where pyarrow is not installed.
        """
        from .files import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | Path):
        """The result that was saved there, equal to what it was. Raises `ValueError` where the file holds something else."""
        from .files import load

        return load(cls, path)


@dataclass(frozen=True)
class Environment:
    """Where and with what a number was found."""

    python: str
    system: str
    processor: str
    cores: int
    packages: tuple[tuple[str, str], ...]  #: name and version
    pinned: str = ""  #: who ran on which core, or empty
    load: float | None = None  #: runnable processes before the start, where the system tells
    stolen: float | None = None  #: share of the processors' time that the host took meanwhile

    @property
    def warning(self) -> str:
        if self.load is None or self.load <= self.cores:
            return ""
        return f"the machine was busy with other things (load {self.load:.1f} on {self.cores} cores): measure again when it is not"

    def __str__(self):
        packages = ", ".join(f"{name} {version}" for name, version in self.packages)
        parts = [f"Python {self.python}", packages, self.system, f"{self.cores} cores", self.pinned]
        if self.load is not None:
            parts.append(f"load {self.load:.1f} before")
        if self.stolen is not None:
            parts.append(f"{self.stolen:.0%} stolen")
        return ", ".join(part for part in parts if part)


def _there(*names) -> str:
    """What a place of a table is asked by, for whoever has asked by something else."""
    return " with ".join(" or ".join(map(repr, each)) for each in names)


# ---- bytes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ByteRow:
    """What one operation costs at the socket: asked for the first time on a connection, and in steady state."""

    protocol: str
    operation: str
    first: Traffic
    steady: Traffic


@dataclass(frozen=True, repr=False)
class ByteTable(Shown):
    """Bytes at the socket for each protocol and operation, exact: the same versions give the same table again."""

    rows: tuple[ByteRow, ...]
    environment: Environment

    def __repr__(self):
        return f"<ByteTable of {', '.join(self.protocols)}: {len(self.operations)} operations>"

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.protocol for row in self.rows))

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.operation for row in self.rows))

    def __getitem__(self, protocol_and_operation: tuple[str, str]) -> ByteRow:
        for row in self.rows:
            if (row.protocol, row.operation) == protocol_and_operation:
                return row
        raise KeyError(f"there is no {protocol_and_operation!r}; there is {_there(self.protocols, self.operations)}")

    def to_frame(self):
        """A pandas DataFrame: a row for each protocol and operation, in bytes."""
        import pandas

        columns = ["protocol", "operation", "first_up", "first_down", "steady_up", "steady_down"]
        rows = [(r.protocol, r.operation, r.first.up, r.first.down, r.steady.up, r.steady.down) for r in self.rows]
        return pandas.DataFrame(rows, columns=columns)

    def plot(self, ax=None):
        """A bar for each protocol and operation. Returns the Axes."""
        from .plots import bytes_per_operation

        return bytes_per_operation(self, ax)


# ---- bytes by size and layer ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SizeRow:
    """What one operation costs in steady state, in one size, layer by layer: on its way up and on its way down."""

    protocol: str
    operation: str
    size: str
    up: Account
    down: Account

    @property
    def both(self) -> Account:
        return self.up + self.down

    @property
    def total(self) -> int:
        """Bytes at the socket, both ways."""
        return self.both.bytes


class Crossing(NamedTuple):
    """At so much information two lines of overhead meet. `other` is empty where the overhead meets the information itself."""

    protocol: str
    other: str
    information: float
    overhead: float


@dataclass(frozen=True, repr=False)
class SizeTable(Shown):
    """Layers of bytes for each protocol, operation and size, exact: the same versions give the same table again."""

    rows: tuple[SizeRow, ...]
    environment: Environment

    def __repr__(self):
        return f"<SizeTable of {', '.join(self.protocols)}: {', '.join(self.operations)} in {len(self.sizes)} sizes>"

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.protocol for row in self.rows))

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.operation for row in self.rows))

    @property
    def sizes(self) -> tuple[str, ...]:
        """From the operation that comes in most of them."""
        by_operation = [tuple(dict.fromkeys(r.size for r in self.rows if r.operation == name)) for name in self.operations]
        most = max(by_operation, key=len, default=())
        return (*most, *(size for size in dict.fromkeys(row.size for row in self.rows) if size not in most))

    def __getitem__(self, protocol_operation_size: tuple[str, str, str]) -> SizeRow:
        for row in self.rows:
            if (row.protocol, row.operation, row.size) == protocol_operation_size:
                return row
        raise KeyError(f"there is no {protocol_operation_size!r}; there is {_there(self.protocols, self.operations, self.sizes)}")

    def where(self, **wanted) -> "SizeTable":
        """A part of it: `table.where(size="small")`, `table.where(protocol=("text", "grpc"))`."""
        each = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in wanted.items()}
        rows = [row for row in self.rows if all(getattr(row, name) in values for name, values in each.items())]
        return SizeTable(tuple(rows), self.environment)

    def crossings(self) -> tuple[Crossing, ...]:
        """Where the lines of overhead over information cross, and where each has as much overhead as information."""
        lines = {name: sorted((r.both.information, r.both.overhead) for r in self.rows if r.protocol == name) for name in self.protocols}
        found = []
        for name, line in lines.items():
            found += [Crossing(name, "", *place) for place in _meetings(line, [(x, x) for x, _ in line])]
        for one, other in itertools.combinations(lines, 2):
            if [x for x, _ in lines[one]] == [x for x, _ in lines[other]]:
                found += [Crossing(one, other, *place) for place in _meetings(lines[one], lines[other])]
        return tuple(sorted(found, key=lambda crossing: crossing.information))

    def to_frame(self):
        """A pandas DataFrame: a row for each protocol, operation and size; layers in bytes, up and down."""
        import pandas

        ways = {"up": 0, "down": 1}
        columns = ["protocol", "operation", "size", *(f"{way}: {layer}" for way in ways for layer in LAYERS)]
        rows = [(row.protocol, row.operation, row.size, *row.up, *row.down) for row in self.rows]
        return pandas.DataFrame(rows, columns=columns)

    def plot(self, ax=None):
        """A bar for each protocol, operation and size, its layers stacked. Returns the Axes."""
        from .plots import stacked_layers

        return stacked_layers(self, ax)

    def plot_overhead(self, ax=None):
        """Overhead over information, a line for each protocol, crossings marked. Returns the Axes."""
        from .plots import overhead_by_information

        return overhead_by_information(self, ax)


def _meetings(one: list, other: list) -> list[tuple[float, float]]:
    """Where two lines of points at the same places cross, straight between the points."""
    found = []
    for (x0, a0), (x1, a1), (_, b0), (_, b1) in zip(one, one[1:], other, other[1:]):
        before, after = a0 - b0, a1 - b1
        if before * after < 0 or before == 0 != after:
            part = before / (before - after)
            found.append((x0 + part * (x1 - x0), a0 + part * (a1 - a0)))
    return found


# ---- rates ------------------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """The median of several rounds, and between which values they lay."""

    median: float
    least: float
    most: float


def spread(values) -> Spread:
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Round:
    """One measurement with a fresh server: `messages` were done in `seconds`. What was not measured is None."""

    seconds: float
    messages: int
    server_cpu_s: float | None  #: None where it could not be read from outside
    generator_cpu_s: float  #: of all workers
    samples: Samples | None = None  #: what happened to each request that was due meanwhile
    workers: int = 1
    busiest: float | None = None  #: the share of a processor that the busiest worker used
    memory: Memory | None = None  #: of the server at the end
    wire: Segments | None = None  #: what passed on the generator's connections for `carried` requests, warm-up and all
    carried: int = 0
    course: Course | None = None  #: the server's processor and memory, read from outside ten times a second or after each turn
    server_messages: int | None = None  #: done between the two readings of `server_cpu_s`; without it, `messages` were
    turns: int = 1  #: in so many parts, between which it was the turn of the protocols beside it

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds

    @property
    def server_cpu_us(self) -> float | None:
        """The server's processor time for a message, in microseconds: sent, pushed, acknowledged."""
        messages = self.messages if self.server_messages is None else self.server_messages
        return self.server_cpu_s / messages * 1e6 if self.server_cpu_s is not None and messages else None

    @property
    def generator_share(self) -> float:
        """How much of one processor the clients used; where there are several workers, the busiest of them."""
        return self.generator_cpu_s / self.seconds if self.busiest is None else self.busiest

    @property
    def bytes_per_message(self) -> float | None:
        """What passed at the socket for a message, up and down, acknowledgements and all."""
        return (self.wire.up + self.wire.down) / self.carried if self.wire and self.carried else None

    @property
    def segments_per_message(self) -> float | None:
        """TCP segments with data, up and down, for a message."""
        return (self.wire.segments_up + self.wire.segments_down) / self.carried if self.wire and self.carried else None

    def response_ms(self, percent: float) -> float | None:
        """A percentile of the response times, from due to answered; unanswered requests count with their age."""
        return None if self.samples is None else percentile_ms(self.samples.bounded_response_ns, percent)

    def generator_limits(self, is_open: bool) -> tuple[str, ...]:
        """Why this round says more about the generator than about the server; empty where it does not.

        A closed loop has no schedule to be late for: whoever asks late there asks less, and the rate says so.
        """
        limits = []
        if self.generator_share > GENERATOR_LIMIT:
            limits.append(f"its processor was busy for {self.generator_share:.0%} of the time")
        if not is_open or self.samples is None or not len(self.samples):
            return tuple(limits)
        late, response = (percentile_ms(self.samples.lateness_ns, 99) or 0), (self.response_ms(50) or 0)
        if late > max(LATE_MS, LATE_SHARE * response):
            limits.append(f"1 % of its requests were asked {late:.1f} ms late or later")
        if self.samples.attempted < LEAST_ATTEMPTED * self.samples.offered:
            limits.append(f"it asked {self.samples.attempted:,} of {self.samples.offered:,} requests that were due")
        return tuple(limits)


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """One protocol under one load, in one or more rounds. Runs of the same load add up with `+`.

    `generator` says by what the load was generated, "clients" or "light"; `capacity` is how many messages a second of the same
    load it did against a server that does next to nothing, where that was calibrated.
    """

    protocol: str
    workload: Workload
    rounds: tuple[Round, ...]
    environment: Environment
    generator: str = "clients"
    capacity: float | None = None
    partial: bool = False  #: it was interrupted, or failed

    def __repr__(self):
        light = ", light generator" if self.generator == "light" else ""
        marks = [", partial"] * self.partial + [", generator-limited"] * self.generator_limited
        return f"<Run of {self.protocol}: {self.workload}{light}, {_rounds(len(self.rounds))}{''.join(marks)}>"

    def __add__(self, other: "Run") -> "Run":
        if (self.protocol, self.workload, self.generator) != (other.protocol, other.workload, other.generator):
            raise ValueError(f"{self!r} and {other!r} are not the same measurement")
        return replace(self, rounds=self.rounds + other.rounds, partial=self.partial or other.partial)

    @property
    def rate(self) -> Spread:
        """Messages per second."""
        return spread(each.rate for each in self.rounds)

    @property
    def server_cpu_us(self) -> Spread | None:
        """The server's processor time for a message, in microseconds."""
        if any(each.server_cpu_us is None for each in self.rounds):
            return None
        return spread(each.server_cpu_us for each in self.rounds)

    @property
    def generator_share(self) -> Spread:
        """How much of one processor the clients used."""
        return spread(each.generator_share for each in self.rounds)

    @property
    def share_of_capacity(self) -> float | None:
        """What share the rate is of `capacity`. Above 1, the machine was slower while that was found. None where it was not."""
        return None if self.capacity is None else self.rate.median / self.capacity

    @property
    def samples(self) -> Samples | None:
        """The requests of all rounds, raw."""
        found = [each.samples for each in self.rounds if each.samples is not None]
        return sum(found[1:], found[0]) if found else None

    def response_ms(self, percent: float) -> Spread | None:
        """A percentile of the response times of each round: their median, and between which values they lay."""
        found = [ms for each in self.rounds if (ms := each.response_ms(percent)) is not None]
        return spread(found) if found else None

    def response_interval_ms(self, percent: float):
        """A percentile of the response times of all rounds, raw, and between which values it may lie: an
        `uncertainty.Interval`, which knows that neighbours are alike. None where no samples were kept."""
        import numpy

        from .uncertainty import percentile

        kept = [each.samples.bounded_response_in_order_ns for each in self.rounds if each.samples is not None]
        return percentile(numpy.concatenate(kept), percent) * 1e-6 if sum(map(len, kept)) > 1 else None

    @property
    def generator_limited(self) -> bool:
        """Whether the generator set these numbers, in most rounds: it was late, or as busy as it can be."""
        return 2 * sum(bool(self._limits(each)) for each in self.rounds) > len(self.rounds)

    @property
    def warning(self) -> str:
        return "the clients, not the server, set this number" if self.generator_limited else ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the generator set these numbers."""
        return tuple(dict.fromkeys(reason for each in self.rounds for reason in self._limits(each)))

    def _limits(self, each: Round) -> tuple[str, ...]:
        return each.generator_limits(self.workload.is_open)

    def to_frame(self):
        """A pandas DataFrame: a row for each round."""
        return _frame([self])

    def plot(self, ax=None, what: str = "rate"):
        """Its "rate", or its response times: their "distribution", their "percentiles", or over "time"; or what the server
        used of a "processor" and had in "memory" meanwhile. Returns the Axes."""
        from . import plots

        if what == "rate":
            return Comparison((self,), self.environment).plot(ax)
        if what in ("processor", "memory"):
            if not any(each.course is not None and len(each.course) > 1 for each in self.rounds):
                raise ValueError(f"of the server of {self!r} there are no readings over time to draw")
            return plots.server_over_time(self, ax, what)
        drawn = {"distribution": plots.latency_distribution, "percentiles": plots.percentiles, "time": plots.time_series}
        if what not in drawn:
            raise ValueError(f"what can be drawn is {', '.join(map(repr, ('rate', *drawn, 'processor', 'memory')))}, not {what!r}")
        if self.samples is None or not len(self.samples):
            raise ValueError(f"{self!r} has kept no samples to draw")
        return drawn[what](self if what == "time" else [self], ax)


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Runs of several protocols under several loads, their rounds interleaved."""

    runs: tuple[Run, ...]
    environment: Environment

    def __repr__(self):
        clients, partial = ", ".join(map(str, self.clients)), ", partial" * self.partial
        return f"<Comparison of {', '.join(self.protocols)} with {clients} clients, {_rounds(self.rounds)}{partial}>"

    @property
    def partial(self) -> bool:
        """Whether it was interrupted, or failed: some of its runs have fewer rounds than were planned, or are missing."""
        return any(run.partial for run in self.runs)

    @property
    def rounds(self) -> int:
        """How many rounds its runs have; where it was interrupted, the most that one of them has."""
        return max(len(run.rounds) for run in self.runs)

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.protocol for run in self.runs))

    @property
    def clients(self) -> tuple[int, ...]:
        return tuple(sorted({run.workload.clients for run in self.runs}))

    def __getitem__(self, protocol_and_clients: tuple[str, int]) -> Run:
        for run in self.runs:
            if (run.protocol, run.workload.clients) == protocol_and_clients:
                return run
        raise KeyError(f"there is no {protocol_and_clients!r}; there is {_there(self.protocols, self.clients)}")

    def ratio(self, a: str, b: str, clients: int | None = None, of: str = "rate"):
        """How `a` compares with `b`, round by round: an `uncertainty.Ratio`, which says in words what may be believed.

        `of` is "rate", "server_cpu_us" or "p99_ms". Where it was interrupted, the rounds count that both have. Raises
        `ValueError` where the generator set one of the numbers or there are none, `KeyError` for who was not measured.
        """
        from .uncertainty import ratio

        if of not in COMPARED:
            raise ValueError(f"what can be compared is {', '.join(map(repr, COMPARED))}, not {of!r}")
        clients = self.clients[-1] if clients is None else clients
        runs = [self[name, clients] for name in (a, b)]
        for run in runs:
            if run.generator_limited and of != "server_cpu_us":
                raise ValueError(f"{run.protocol} with {clients} clients is left out: {run.warning} ({'; '.join(run.reasons)})")
        value, more, less = COMPARED[of]
        both = min(len(run.rounds) for run in runs)
        values = [[value(each) for each in run.rounds[:both]] for run in runs]
        if any(each is None for series in values for each in series):
            raise ValueError(f"{of} was not measured for {a} and {b}")
        return ratio(*values, more=more, less=less)

    def scaling(self, protocol: str):
        """What more clients would do to the rate: an `scaling.Scaling`, with its doubts and warnings.

        Rates that the generator set are left out. Raises `ValueError` where too few are left to fit a law.
        """
        from .scaling import scaling

        runs = [self[protocol, clients] for clients in self.clients]
        runs = [run for run in runs if not run.generator_limited]
        return scaling([run.workload.clients for run in runs], [[each.rate for each in run.rounds] for run in runs])

    def to_frame(self):
        """A pandas DataFrame: a row for each protocol, number of clients and round."""
        return _frame(self.runs)

    def plot(self, ax=None):
        """Messages per second over the number of clients, a line for each protocol. Returns the Axes."""
        from .plots import rate_by_clients

        return rate_by_clients(self, ax)


#: What can be compared: its value in a round, and what more and less of it are called.
COMPARED = {
    "rate": (lambda each: each.rate, "faster", "slower"),
    "server_cpu_us": (lambda each: each.server_cpu_us, "more CPU for a message", "less CPU for a message"),
    "p99_ms": (lambda each: each.response_ms(99), "longer", "shorter"),
}


def _rounds(count: int) -> str:
    return f"{count} round" if count == 1 else f"{count} rounds"


def _frame(runs):
    import pandas

    rows = [
        {
            "protocol": run.protocol,
            "clients": run.workload.clients,
            "round": number,
            "messages": each.messages,
            "seconds": each.seconds,
            "rate": each.rate,
            "server_cpu_us": each.server_cpu_us,
            "generator_share": each.generator_share,
            "generator": run.generator,
            "generator_limited": bool(run._limits(each)),
            "p50_ms": each.response_ms(50),
            "p99_ms": each.response_ms(99),
            "offered": None if each.samples is None else each.samples.offered,
            "unsent": None if each.samples is None else each.samples.unsent,
            "unanswered": None if each.samples is None else each.samples.unanswered,
            "bytes_per_message": each.bytes_per_message,
            "segments_per_message": each.segments_per_message,
            "server_memory": None if each.memory is None else each.memory.resident,
        }
        for run in runs
        for number, each in enumerate(run.rounds, 1)
    ]
    return pandas.DataFrame(rows)
