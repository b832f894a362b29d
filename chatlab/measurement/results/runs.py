"""What was learned: values that are compared, saved and shown; nothing here measures or draws.

A result is frozen. Its `repr` is stable from run to run, so that a notebook's text does not change with the weather; the
numbers are in its fields, its `to_frame()`, its HTML form, its plot, and in what `print` shows of it.
"""

import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ...capture.traffic import Segments
from ...display.tables import Table
from ..load.samples import Samples, percentile_ms
from ..load.workload import Workload
from ..process_stats import MemoryUse, ResourceSeries
from . import parquet
from .environment import Environment
from .result import Result, available_keys, is_parquet, write_json

GENERATOR_LIMIT = 0.85  # of one processor: from here on the clients are as busy as they can be
MAX_LATENESS_MS, MAX_LATENESS_SHARE = (
    1.0,
    0.1,
)  # a generator may be late by so much, or by that share of the median response time
MIN_ATTEMPTED = 0.99  # of what was due


# ---- rates ------------------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """The median of several rounds, and between which values they lay."""

    median: float
    min: float
    max: float


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
    busiest_worker_share: float | None = None  #: the share of a processor that the busiest_worker_share worker used
    memory: MemoryUse | None = None  #: of the server at the end
    wire: Segments | None = (
        None  #: what passed on the generator's connections for `wire_requests` requests, warm-up and all
    )
    wire_requests: int = 0
    resources: ResourceSeries | None = (
        None  #: the server's processor and memory, read from outside ten times a second or after each turn
    )
    server_messages: int | None = None  #: done between the two readings of `server_cpu_s`; without it, `messages` were
    slices: int = 1  #: in so many parts, between which it was the turn of the protocols beside it

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
        """How much of one processor the clients used; where there are several workers, the busiest_worker_share of them."""
        return self.generator_cpu_s / self.seconds if self.busiest_worker_share is None else self.busiest_worker_share

    @property
    def bytes_per_message(self) -> float | None:
        """What passed at the socket for a message, up and down, acknowledgements and all."""
        return (self.wire.up + self.wire.down) / self.wire_requests if self.wire and self.wire_requests else None

    @property
    def segments_per_message(self) -> float | None:
        """TCP segments with data, up and down, for a message."""
        return (
            (self.wire.segments_up + self.wire.segments_down) / self.wire_requests
            if self.wire and self.wire_requests
            else None
        )

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
        if late > max(MAX_LATENESS_MS, MAX_LATENESS_SHARE * response):
            limits.append(f"1 % of its requests were asked {late:.1f} ms late or later")
        if self.samples.attempted < MIN_ATTEMPTED * self.samples.offered:
            limits.append(f"it asked {self.samples.attempted:,} of {self.samples.offered:,} requests that were due")
        return tuple(limits)


class SampledResult(Result):
    """A result that has raw samples, and so may also be saved as Parquet."""

    def save(self, path: str | Path) -> Path:
        """Write it to a file, which `load` reads: `.parquet` with a row for each request, any other ending as JSON.

        Returns the path. Raises `ModuleNotFoundError` for a Parquet file where pyarrow is not installed.
        """
        path = Path(path)
        return parquet.write_parquet(self, path) if is_parquet(path) else write_json(self, path)

    @classmethod
    def load(cls, path: str | Path):
        """The result that was saved there, equal to what it was. Raises `ValueError` where the file holds something else."""
        path = Path(path)
        return parquet.read_parquet(cls, path, path.read_bytes()) if is_parquet(path) else super().load(path)


@dataclass(frozen=True, repr=False)
class Run(SampledResult):
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

        from ..stats.intervals import percentile

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

    def table(self) -> Table:
        return _run_table(self)

    def to_frame(self):
        """A pandas DataFrame: a row for each round."""
        return _frame([self])

    def plot(self, ax=None, metric: str = "rate"):
        """Its "rate", or its response times: their "distribution", their "percentiles", or over "time"; or what the server
        used of a "processor" and had in "memory" meanwhile. Returns the Axes."""
        from ...display import plots

        if metric == "rate":
            return Comparison((self,), self.environment).plot(ax)
        if metric in ("processor", "memory"):
            if not any(each.resources is not None and len(each.resources) > 1 for each in self.rounds):
                raise ValueError(f"of the server of {self!r} there are no readings over time to draw")
            return plots.server_over_time(self, ax, metric)
        drawn = {
            "distribution": plots.latency_distribution,
            "percentiles": plots.percentiles,
            "time": plots.time_series,
        }
        if metric not in drawn:
            raise ValueError(
                f"what can be drawn is {', '.join(map(repr, ('rate', *drawn, 'processor', 'memory')))}, not {metric!r}"
            )
        if self.samples is None or not len(self.samples):
            raise ValueError(f"{self!r} has kept no samples to draw")
        return drawn[metric](self if metric == "time" else [self], ax)


@dataclass(frozen=True, repr=False)
class Comparison(SampledResult):
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
        raise KeyError(f"there is no {protocol_and_clients!r}; there is {available_keys(self.protocols, self.clients)}")

    def ratio(self, a: str, b: str, clients: int | None = None, metric: str = "rate"):
        """How `a` compares with `b`, round by round: an `uncertainty.Ratio`, which says in words what may be believed.

        `metric` is "rate", "server_cpu_us" or "p99_ms". Where it was interrupted, the rounds count that both have. Raises
        `ValueError` where the generator set one of the numbers or there are none, `KeyError` for who was not measured.
        """
        from ..stats.intervals import ratio

        if metric not in COMPARED:
            raise ValueError(f"what can be compared is {', '.join(map(repr, COMPARED))}, not {metric!r}")
        clients = self.clients[-1] if clients is None else clients
        runs = [self[name, clients] for name in (a, b)]
        for run in runs:
            if run.generator_limited and metric != "server_cpu_us":
                raise ValueError(
                    f"{run.protocol} with {clients} clients is left out: {run.warning} ({'; '.join(run.reasons)})"
                )
        value, more, less = COMPARED[metric]
        both = min(len(run.rounds) for run in runs)
        values = [[value(each) for each in run.rounds[:both]] for run in runs]
        if any(each is None for series in values for each in series):
            raise ValueError(f"{metric} was not measured for {a} and {b}")
        return ratio(*values, more=more, less=less)

    def scaling(self, protocol: str):
        """What more clients would do to the rate: an `scaling.Scaling`, with its doubts and warnings.

        Rates that the generator set are left out. Raises `ValueError` where too few are left to fit a law.
        """
        from ..stats.scaling import scaling

        runs = [self[protocol, clients] for clients in self.clients]
        runs = [run for run in runs if not run.generator_limited]
        return scaling([run.workload.clients for run in runs], [[each.rate for each in run.rounds] for run in runs])

    def table(self) -> Table:
        return _comparison_table(self)

    def to_frame(self):
        """A pandas DataFrame: a row for each protocol, number of clients and round."""
        return _frame(self.runs)

    def plot(self, ax=None):
        """Messages per second over the number of clients, a line for each protocol. Returns the Axes."""
        from ...display.plots.rates import rate_by_clients

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


def _comparison_table(result: Comparison) -> Table:
    rows = []
    for clients in result.clients:
        runs = [
            run for run in result.runs if run.workload.clients == clients
        ]  # of an interrupted one, not of all protocols
        rows += [("" if number else f"{clients}", run.protocol, *_rates(run)) for number, run in enumerate(runs)]
    heads = ("clients", "protocol", *_RATE_HEADS)
    notes = (*_load_notes(result.runs), *_verdicts(result), str(result.environment))
    return Table("Messages per second", heads, tuple(rows), notes, labels=2)


def _verdicts(result: Comparison) -> list[str]:
    """For each number of clients, each protocol beside the first: what may be believed of the differences."""
    there = {(run.protocol, run.workload.clients) for run in result.runs if len(run.rounds) > 1}
    first, *others = result.protocols
    pairs = [(n, other) for n in result.clients for other in others if {(first, n), (other, n)} <= there]
    return [
        f"With {clients}, {other} beside {first}: {_verdict(result, other, first, clients)}."
        for clients, other in pairs
    ]


def _verdict(result: Comparison, a: str, b: str, clients: int) -> str:
    said = []
    for of, name in ("rate", "rate"), ("server_cpu_us", "server"):
        try:
            said.append(f"{name}: {result.ratio(a, b, clients, of)}")
        except ValueError as error:
            said.append(f"{name}: left out, generator-limited" if "left out" in str(error) else f"{name}: not measured")
    return "; ".join(said)


def _run_table(result: Run) -> Table:
    heads = ("protocol", *_RATE_HEADS)
    within = [(percent, result.response_interval_ms(percent)) for percent in (50, 99)]
    told = ", ".join(f"p{percent} {found} ms" for percent, found in within if found is not None)
    intervals = [f"With the 95 % intervals of all its requests: {told}."] * bool(told)
    notes = (f"{result.workload}.", *_load_notes([result])[1:], *intervals, str(result.environment))
    return Table("Messages per second", heads, ((result.protocol, *_rates(result)),), notes)


_RATE_HEADS = ("messages/s", "least to most", "p50 ms", "p99 ms", "server CPU µs/message", "clients' CPU", "")


def _rates(run: Run) -> tuple[str, ...]:
    cpu = run.server_cpu_us
    server = "not read" if cpu is None else f"{cpu.median:,.1f}"
    busy = f"{run.generator_share.median:.0%}"
    times = [run.response_ms(percent) for percent in (50, 99)]
    told = ["not kept" if ms is None else f"{ms.median:,.2f}" for ms in times]
    marks = ["◂ generator-limited" if run.workload.is_open else "◂ clients' limit"] * run.generator_limited
    marks += ["◂ partial"] * run.partial
    return f"{run.rate.median:,.0f}", _range(run.rate), *told, server, busy, " ".join(marks)


def _range(values: Spread) -> str:
    return f"{values.min:,.0f} to {values.max:,.0f}"


def _load_notes(runs) -> list[str]:
    load, rounds = runs[0].workload, len(runs[0].rounds)
    turns = max(each.slices for run in runs for each in run.rounds)
    loop = "Open loop" if load.is_open else "Closed loop"
    whose = "" if load.is_open or load.in_flight > 1 else "each client has "
    notes = [
        f"{loop}: {whose}{load.load_in_words.removesuffix(' for each')}; {load.duration}, seed {load.seed}; "
        f"the median of {rounds} {'round' if rounds == 1 else 'rounds'}.",
        *[f"In each the servers stood there at the same time and took turns, up to {turns} each."] * (turns > 1),
        *["A message is sent, answered, pushed, received and acknowledged."] * (load.operations == (("send", 1.0),)),
        _GENERATED[runs[0].generator],
    ]
    notes += ["◂ partial: it ended early, and this is what was done by then."] * any(run.partial for run in runs)
    notes += _counted(runs)
    if any(run.generator_limited for run in runs):
        mark = "generator-limited" if load.is_open else "clients' limit"
        limited = next(run for run in runs if run.generator_limited)
        notes.append(f"◂ {mark}: {limited.warning}. {limited.protocol}: {'; '.join(limited.reasons)}.")
    if runs[0].environment.warning:
        notes.append(f"Careful: {runs[0].environment.warning}.")
    return notes


_GENERATED = {
    "clients": "The load came from clients as a user has them (generator: clients).",
    "light": "The load came from requests spelled beforehand, at little cost (generator: light).",
}


def _counted(runs) -> list[str]:
    """What was due and not done, and what the generator can do, where there is something to tell."""
    notes = []
    for run in runs:
        samples = run.samples
        if samples is not None and (samples.unsent or samples.unanswered):
            notes.append(
                f"{run.protocol}: of {samples.offered:,} due, {samples.unsent:,} not asked, {samples.unanswered:,} not done."
            )
    if known := _by_protocol(runs, "share_of_capacity", ".0%"):
        notes.append(f"Of what the same clients did with a server that does next to nothing: {known}.")
    return notes


def _by_protocol(runs, field: str, spec: str) -> str:
    """The least and the most of it, for each protocol of which it is known."""
    known: dict[str, list[float]] = {}
    for run in runs:
        if (value := getattr(run, field)) is not None:
            known.setdefault(run.protocol, []).append(value)
    told = {name: dict.fromkeys(f"{each:{spec}}" for each in (min(all_), max(all_))) for name, all_ in known.items()}
    return ", ".join(f"{name} {' to '.join(limits)}" for name, limits in told.items())
