"""Rates, costs and response times: of one protocol under one load (`Run`), and of several together (`Comparison`)."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, get_args

from ...capture.traffic import Segments
from ...display.tables import Table
from ...transport.interface import Engine
from ..load.samples import Samples, percentile_ms
from ..load.trial import GeneratorName
from ..load.workload import Workload
from ..process_stats import MemoryUse, ResourceSeries
from . import parquet
from .environment import Environment
from .result import Result, available_keys, is_parquet, plural, write_json

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from ..stats.intervals import Interval, Ratio
    from ..stats.scaling import Scaling

GENERATOR_LIMIT = 0.85  # of one processor: from here on a load worker is as busy as it can be
#: In an open loop 1 % of the requests may be sent so much later than they were due, or by that share of the median
#: response time; beyond both, the load generator is late.
MAX_LATENESS_MS, MAX_LATENESS_SHARE = 1.0, 0.1
MIN_ATTEMPTED = 0.99  # of what was due in an open loop; with less, the load generator did not keep up
#: A calibration takes a fraction of a second and is no more exact than this: a rate that is above the capacity by at
#: most this share is as fast as the generator can be, and beyond that the calibration was disturbed.
CALIBRATION_TOLERANCE = 0.1


class Spread(NamedTuple):
    """The median of several rounds, their least and their largest value."""

    median: float
    min: float
    max: float


def spread(values: Iterable[float]) -> Spread:
    """Raises `statistics.StatisticsError`, a `ValueError`, where there are none."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


# ---- one round --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """One measurement with a fresh server: `messages` were completed in `seconds`. What was not measured is None."""

    seconds: float
    messages: int
    server_cpu_s: float | None  #: the server's processor time; None where it could not be read from outside
    generator_cpu_s: float  #: of all load workers
    samples: Samples | None = None  #: the times of each request that was due meanwhile
    workers: int = 1
    busiest_worker_share: float | None = None  #: the share of a processor that the busiest load worker used
    memory: MemoryUse | None = None  #: of the server at the end
    wire: Segments | None = None  #: what passed on the load workers' connections for `wire_requests`
    wire_requests: int = 0  #: requests that were completed from the start of the load, warm-up included
    #: The server's processor time and memory over time: ten readings a second, or one after each time slice.
    resources: ResourceSeries | None = None
    server_messages: int | None = None  #: completed between the two readings of `server_cpu_s`; None: as `messages`
    slices: int = 1  #: time slices, between which the protocols beside it had the load

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"a round lasts longer than 0 s, not {self.seconds!r} s")

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds

    @property
    def server_cpu_us(self) -> float | None:
        """The server's processor time for a message, in µs: for all that it takes to receive, deliver and answer it."""
        messages = self.messages if self.server_messages is None else self.server_messages
        return self.server_cpu_s / messages * 1e6 if self.server_cpu_s is not None and messages else None

    @property
    def generator_share(self) -> float:
        """How much of one processor the load generator used; with several workers, the busiest of them."""
        return self.generator_cpu_s / self.seconds if self.busiest_worker_share is None else self.busiest_worker_share

    @property
    def bytes_per_message(self) -> float | None:
        """Bytes at the load workers' sockets for a message, both ways, from the start of the load, warm-up included.

        In it are the request, its answer, the delivery, and the acknowledgements; how many of these there are depends
        on the load generator, which acknowledges once for all that it reads at once. Setting up connections and
        accounts is not in it. `count_bytes` has numbers that depend on nothing but the protocol.
        """
        return (self.wire.up + self.wire.down) / self.wire_requests if self.wire and self.wire_requests else None

    @property
    def segments_per_message(self) -> float | None:
        """TCP segments with data for a message, both ways; of the same messages as `bytes_per_message`."""
        if not self.wire or not self.wire_requests:
            return None
        return (self.wire.segments_up + self.wire.segments_down) / self.wire_requests

    def response_ms(self, percent: float) -> float | None:
        """A percentile of the response times, from due to answered. Unanswered requests count with their age."""
        return None if self.samples is None else percentile_ms(self.samples.bounded_response_ns, percent)

    def generator_limits(self, is_open: bool) -> tuple[str, ...]:
        """Why this round says more about the load generator than about the server; empty where it does not.

        Only an open loop has a schedule to be late for. In a closed loop a late generator asks less, and the rate shows
        it.
        """
        limits = []
        if self.generator_share > GENERATOR_LIMIT:
            limits.append(f"the load generator used {self.generator_share:.0%} of a processor")
        if not is_open or self.samples is None or not len(self.samples):
            return tuple(limits)
        late, response = (percentile_ms(self.samples.lateness_ns, 99) or 0), (self.response_ms(50) or 0)
        if late > max(MAX_LATENESS_MS, MAX_LATENESS_SHARE * response):
            limits.append(f"1 % of the requests were sent {late:.1f} ms late or more")
        if self.samples.attempted < MIN_ATTEMPTED * self.samples.offered:
            limits.append(f"{self.samples.attempted:,} of {self.samples.offered:,} requests that were due were sent")
        return tuple(limits)


# ---- runs -------------------------------------------------------------------------------------------------------


class SampledResult(Result):
    """A result of one or more runs, which has raw samples and so may also be saved as Parquet."""

    def all_runs(self) -> tuple["Run", ...]:
        """The runs that it consists of."""
        raise NotImplementedError

    def with_runs(self, runs: tuple["Run", ...]) -> Self:
        """The same result of other runs, as many as `all_runs` has."""
        raise NotImplementedError

    def save(self, path: str | Path) -> Path:
        """Write it to a file, which `load` reads: `.parquet` with a row for each request, or `.json`.

        Returns the path. Raises `ValueError` for another ending, and `ModuleNotFoundError` for a Parquet file where
        pyarrow is not installed.
        """
        path = Path(path)
        return parquet.write_parquet(self, path) if is_parquet(path) else write_json(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The result that was saved there, equal to what it was. Raises `ValueError` for any other file."""
        path = Path(path)
        return parquet.read_parquet(cls, path, path.read_bytes()) if is_parquet(path) else super().load(path)


RunMetric = Literal["rate", "distribution", "percentiles", "time", "processor", "memory"]


@dataclass(frozen=True, repr=False)
class Run(SampledResult):
    """One protocol under one load, in one or more rounds. Runs of the same measurement add up with `+`.

    Whatever makes a run another run is a field: `generator` is the load generator, `engine` the server's (None: a
    server that ran already), `slice_s` the length of the time slices (None: the load was not divided), `acknowledges`
    whether the clients acknowledge what they receive, which those of an external server may not. `capacity` is how many
    messages a second of the same load the generator did against a server that does next to nothing; None where it was
    not calibrated.
    """

    protocol: str
    workload: Workload
    rounds: tuple[Round, ...]
    environment: Environment
    generator: GeneratorName = "clients"
    capacity: float | None = None
    partial: bool = False  #: it was interrupted, or failed
    engine: Engine | None = "loop"
    slice_s: float | None = None
    acknowledges: bool = True

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError("a run has at least one round")

    def __repr__(self) -> str:
        light = ", light generator" if self.generator == "light" else ""
        marks = [", partial"] * self.partial + [", generator-limited"] * self.generator_limited
        return f"<Run of {self.protocol}: {self.workload}{light}, {plural(len(self.rounds), 'round')}{''.join(marks)}>"

    def __add__(self, other: "Run") -> "Run":
        """The rounds of both. Raises `ValueError` where something else than the rounds differs, and says what."""
        if differences := self._differences(other):
            raise ValueError(
                f"{self!r} and {other!r} are not the same measurement: they differ in {', '.join(differences)}"
            )
        return replace(
            self,
            rounds=self.rounds + other.rounds,
            environment=self.environment.together_with(other.environment),
            capacity=max((run.capacity for run in (self, other) if run.capacity is not None), default=None),
            partial=self.partial or other.partial,
        )

    def _differences(self, other: "Run") -> list[str]:
        names = ("protocol", "workload", "generator", "engine", "slice_s", "acknowledges", "workers")
        differences = [name for name in names if getattr(self, name) != getattr(other, name)]
        return differences + ["environment"] * (not self.environment.is_equivalent(other.environment))

    def all_runs(self) -> tuple["Run", ...]:
        return (self,)

    def with_runs(self, runs: tuple["Run", ...]) -> "Run":
        (run,) = runs
        return run

    @property
    def workers(self) -> frozenset[int]:
        """How many load workers its rounds had."""
        return frozenset(measured.workers for measured in self.rounds)

    @property
    def rate(self) -> Spread:
        """Messages per second."""
        return spread(measured.rate for measured in self.rounds)

    @property
    def server_cpu_us(self) -> Spread | None:
        """The server's processor time for a message, in µs; None where it was not read in each round."""
        values = [measured.server_cpu_us for measured in self.rounds]
        known = [value for value in values if value is not None]
        return spread(known) if len(known) == len(values) else None

    @property
    def generator_share(self) -> Spread:
        """How much of one processor the load generator used."""
        return spread(measured.generator_share for measured in self.rounds)

    @property
    def share_of_capacity(self) -> float | None:
        """What share the rate is of what the load generator can do, at most 1.

        None where that is not known: there was no calibration, or it was disturbed, because it gave clearly less than
        this measurement (see `CALIBRATION_TOLERANCE`).
        """
        if self.capacity is None or self.is_capacity_disturbed:
            return None
        return min(1.0, self.rate.median / self.capacity)

    @property
    def is_capacity_disturbed(self) -> bool:
        """Whether more was measured than the calibration said could be: something else kept the machine busy then."""
        return self.capacity is not None and self.rate.median > (1 + CALIBRATION_TOLERANCE) * self.capacity

    @property
    def samples(self) -> Samples | None:
        """The requests of all rounds, raw; None where none were kept."""
        kept = [measured.samples for measured in self.rounds if measured.samples is not None]
        return sum(kept[1:], kept[0]) if kept else None

    def response_ms(self, percent: float) -> Spread | None:
        """A percentile of the response times, taken in each round by itself; None where no samples were kept."""
        values = [ms for measured in self.rounds if (ms := measured.response_ms(percent)) is not None]
        return spread(values) if values else None

    def response_interval_ms(self, percent: float) -> "Interval | None":
        """A percentile of the response times of all rounds together, with its interval.

        The interval allows for correlated neighbours. None where fewer than two samples were kept.
        """
        import numpy

        from ..stats.intervals import percentile

        kept = [
            measured.samples.bounded_response_in_order_ns for measured in self.rounds if measured.samples is not None
        ]
        return percentile(numpy.concatenate(kept), percent) * 1e-6 if sum(map(len, kept)) > 1 else None

    @property
    def generator_limited(self) -> bool:
        """Whether the load generator, and not the server, set these numbers in most of the rounds."""
        return 2 * sum(bool(self.limits_of(measured)) for measured in self.rounds) > len(self.rounds)

    @property
    def warning(self) -> str:
        """What to think of a generator-limited run; empty for another."""
        return "limited by the load generator, not by the server" if self.generator_limited else ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is generator-limited, each reason once; of single rounds there may be some in other runs, too."""
        return tuple(dict.fromkeys(reason for measured in self.rounds for reason in self.limits_of(measured)))

    def limits_of(self, measured: Round) -> tuple[str, ...]:
        """Why one of its rounds is generator-limited; empty where it is not."""
        return measured.generator_limits(self.workload.is_open)

    def table(self) -> Table:
        heads = ("protocol", *_RATE_HEADS)
        intervals = [(percent, self.response_interval_ms(percent)) for percent in (50, 99)]
        percentiles = ", ".join(f"p{percent} {interval} ms" for percent, interval in intervals if interval is not None)
        notes = [
            *_warnings([self]),
            f"{self.workload}.",
            *_load_notes([self])[1:],
            *[f"With the 95 % intervals of all its requests: {percentiles}."] * bool(percentiles),
            str(self.environment),
        ]
        return Table("Messages per second", heads, ((self.protocol, *_rate_cells(self)),), tuple(notes))

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each round."""
        return _frame([self])

    def plot(self, ax: "Axes | None" = None, metric: RunMetric = "rate") -> "Axes":
        """Draw its `metric`. Returns the Axes.

        That is its "rate"; its response times, as their "distribution", their "percentiles", or over "time"; or what
        the server used of a "processor" and had in "memory" meanwhile. Raises `ValueError` where that was not measured.
        """
        from ...display import plots

        if metric not in get_args(RunMetric):
            raise ValueError(f"what can be drawn is {', '.join(map(repr, get_args(RunMetric)))}, not {metric!r}")
        if metric == "rate":
            return Comparison((self,), self.environment).plot(ax)
        if metric in ("processor", "memory"):
            if not any(measured.resources and len(measured.resources) > 1 for measured in self.rounds):
                raise ValueError(f"of the server of {self!r} there are no readings over time to draw")
            return plots.server_over_time(self, ax, metric)
        if self.samples is None or not len(self.samples):
            raise ValueError(f"{self!r} has kept no samples to draw")
        if metric == "time":
            return plots.time_series(self, ax)
        draw = plots.latency_distribution if metric == "distribution" else plots.percentiles
        return draw([self], ax)


# ---- comparisons ------------------------------------------------------------------------------------------------


ComparisonMetric = Literal["rate", "server_cpu_us", "p99_ms"]


class MetricInfo(NamedTuple):
    """A metric by which protocols are compared: its value in a round, and what to call more and less of it."""

    value: Callable[[Round], float | None]
    more: str
    less: str


COMPARED: dict[str, MetricInfo] = {
    "rate": MetricInfo(lambda measured: measured.rate, "faster", "slower"),
    "server_cpu_us": MetricInfo(
        lambda measured: measured.server_cpu_us, "more CPU for a message", "less CPU for a message"
    ),
    "p99_ms": MetricInfo(lambda measured: measured.response_ms(99), "longer", "shorter"),
}


@dataclass(frozen=True, repr=False)
class Comparison(SampledResult):
    """Runs of several protocols under several loads, their rounds interleaved."""

    runs: tuple[Run, ...]
    environment: Environment

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("a comparison has at least one run")

    def __repr__(self) -> str:
        clients, partial = ", ".join(map(str, self.clients)), ", partial" * self.partial
        rounds = plural(self.rounds, "round")
        return f"<Comparison of {', '.join(self.protocols)} with {clients} clients, {rounds}{partial}>"

    @property
    def partial(self) -> bool:
        """Whether it was interrupted or failed, so that runs are missing or have fewer rounds than were planned."""
        return any(run.partial for run in self.runs)

    @property
    def rounds(self) -> int:
        """How many rounds its runs have; in a partial comparison, the most that one of them has."""
        return max(len(run.rounds) for run in self.runs)

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.protocol for run in self.runs))

    @property
    def clients(self) -> tuple[int, ...]:
        return tuple(sorted({run.workload.clients for run in self.runs}))

    def __getitem__(self, protocol_and_clients: tuple[str, int]) -> Run:
        """One of its runs: `found["grpc", 8]`. Raises `KeyError`, which says what there is."""
        for run in self.runs:
            if (run.protocol, run.workload.clients) == protocol_and_clients:
                return run
        raise KeyError(f"there is no {protocol_and_clients!r}; there is {available_keys(self.protocols, self.clients)}")

    def all_runs(self) -> tuple[Run, ...]:
        return self.runs

    def with_runs(self, runs: tuple[Run, ...]) -> "Comparison":
        return replace(self, runs=runs)

    def ratio(self, a: str, b: str, clients: int | None = None, metric: ComparisonMetric = "rate") -> "Ratio":
        """How many times as much `a` has as `b`, round by round, with what may be believed of it in words.

        `clients` is the largest number by default. Of a partial comparison those rounds count that both have. Raises
        `ValueError` where one of the two is generator-limited or was not measured, and `KeyError` for a protocol or a
        number of clients that is not in it.
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
        common = min(len(run.rounds) for run in runs)
        series = [[value(measured) for measured in run.rounds[:common]] for run in runs]
        known = [[number for number in numbers if number is not None] for numbers in series]
        if known != series:
            raise ValueError(f"{metric} was not measured for {a} and {b}")
        return ratio(known[0], known[1], more=more, less=less)

    def scaling(self, protocol: str) -> "Scaling":
        """What more clients would do to the rate, by the universal scalability law, with intervals and warnings.

        Generator-limited runs are left out. Raises `ValueError` where too few are left to fit the law.
        """
        from ..stats.scaling import scaling

        runs = [self[protocol, clients] for clients in self.clients]
        runs = [run for run in runs if not run.generator_limited]
        rates = [[measured.rate for measured in run.rounds] for run in runs]
        return scaling([run.workload.clients for run in runs], rates)

    def table(self) -> Table:
        rows = []
        for clients in self.clients:  # of a partial comparison there are not all protocols
            runs = [run for run in self.runs if run.workload.clients == clients]
            rows += [("" if n else f"{clients}", run.protocol, *_rate_cells(run)) for n, run in enumerate(runs)]
        heads = ("clients", "protocol", *_RATE_HEADS)
        notes = (*_warnings(self.runs), *_load_notes(self.runs), *self._verdicts(), str(self.environment))
        return Table("Messages per second", heads, tuple(rows), notes, labels=2)

    def _verdicts(self) -> list[str]:
        """For each number of clients, each protocol beside the first, in words."""
        measured = {(run.protocol, run.workload.clients) for run in self.runs if len(run.rounds) > 1}
        first, *others = self.protocols
        return [
            f"With {clients}, {other} beside {first}: {self._verdict(other, first, clients)}."
            for clients in self.clients
            for other in others
            if {(first, clients), (other, clients)} <= measured
        ]

    def _verdict(self, a: str, b: str, clients: int) -> str:
        verdicts = []
        metrics: list[tuple[ComparisonMetric, str]] = [("rate", "rate"), ("server_cpu_us", "server")]
        for metric, name in metrics:
            try:
                verdicts.append(f"{name}: {self.ratio(a, b, clients, metric)}")
            except ValueError as error:
                is_left_out = "left out" in str(error)
                verdicts.append(f"{name}: {'left out, generator-limited' if is_left_out else 'not measured'}")
        return "; ".join(verdicts)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each protocol, number of clients and round."""
        return _frame(self.runs)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw messages per second over the number of clients, a line for each protocol. Returns the Axes."""
        from ...display.plots.rates import rate_by_clients

        return rate_by_clients(self, ax)


def _frame(runs: Sequence[Run]) -> "pandas.DataFrame":
    import pandas

    rows = [
        {
            "protocol": run.protocol,
            "clients": run.workload.clients,
            "round": number,
            "messages": measured.messages,
            "seconds": measured.seconds,
            "rate": measured.rate,
            "server_cpu_us": measured.server_cpu_us,
            "generator_share": measured.generator_share,
            "generator": run.generator,
            "generator_limited": bool(run.limits_of(measured)),
            "p50_ms": measured.response_ms(50),
            "p99_ms": measured.response_ms(99),
            "offered": None if measured.samples is None else measured.samples.offered,
            "unsent": None if measured.samples is None else measured.samples.unsent,
            "unanswered": None if measured.samples is None else measured.samples.unanswered,
            "bytes_per_message": measured.bytes_per_message,
            "segments_per_message": measured.segments_per_message,
            "server_memory": None if measured.memory is None else measured.memory.resident,
        }
        for run in runs
        for number, measured in enumerate(run.rounds, 1)
    ]
    return pandas.DataFrame(rows)


# ---- tables of rates --------------------------------------------------------------------------------------------


_RATE_HEADS = ("messages/s", "least to most", "p50 ms", "p99 ms", "server CPU µs/message", "clients' CPU", "")


def _rate_cells(run: Run) -> tuple[str, ...]:
    cpu = run.server_cpu_us
    server = "not read" if cpu is None else f"{cpu.median:,.1f}"
    times = [run.response_ms(percent) for percent in (50, 99)]
    marks = ["◂ generator-limited"] * run.generator_limited + ["◂ partial"] * run.partial
    return (
        f"{run.rate.median:,.0f}",
        f"{run.rate.min:,.0f} to {run.rate.max:,.0f}",
        *("not kept" if ms is None else f"{ms.median:,.2f}" for ms in times),
        server,
        f"{run.generator_share.median:.0%}",
        " ".join(marks),
    )


def _warnings(runs: Sequence[Run]) -> list[str]:
    """What stands above all other notes."""
    warning = runs[0].environment.warning
    return [f"Careful: {warning}."] * bool(warning)


def _load_notes(runs: Sequence[Run]) -> list[str]:
    """How it was measured, and what is to be doubted. The first note is the load itself."""
    load, slices = runs[0].workload, max(measured.slices for run in runs for measured in run.rounds)
    loop = "Open loop" if load.is_open else "Closed loop"
    subject = "" if load.is_open or load.in_flight > 1 else "each client has "
    notes = [
        f"{loop}: {subject}{load.load_in_words.removesuffix(' for each')}; {load.duration}, seed {load.seed}; "
        f"the median of {plural(len(runs[0].rounds), 'round')}."
    ]
    if slices > 1:
        notes.append(f"The servers of a round ran side by side and had the load in time slices, up to {slices} each.")
    if load.operations == (("send", 1.0),):
        notes.append(_message_in_words(runs))
    notes.append(_GENERATED[runs[0].generator])
    if any(run.engine == "threads" for run in runs):
        notes.append("The servers ran on threads (engine: threads).")
    if any(run.partial for run in runs):
        notes.append("◂ partial: it ended early, and this is what was done by then.")
    notes += _count_notes(runs)
    if any(run.generator_limited for run in runs):
        limited = next(run for run in runs if run.generator_limited)
        notes.append(f"◂ generator-limited: {limited.warning}. {limited.protocol}: {'; '.join(limited.reasons)}.")
    return notes


def _message_in_words(runs: Sequence[Run]) -> str:
    """What happens to a message: clients of an external server may not acknowledge it."""
    without = list(dict.fromkeys(run.protocol for run in runs if not run.acknowledges))
    if len(without) == len({run.protocol for run in runs}):
        return "A message is sent, answered, pushed and received; nothing is acknowledged."
    exception = f"; over {' and '.join(without)} nothing is acknowledged" if without else ""
    return f"A message is sent, answered, pushed, received and acknowledged{exception}."


_GENERATED: dict[GeneratorName, str] = {
    "clients": "The load came from clients as a user has them (generator: clients).",
    "light": "The load came from requests that were encoded beforehand, at little cost (generator: light).",
}


def _count_notes(runs: Sequence[Run]) -> list[str]:
    """What was due and not completed, and what the load generator can do, where there is something to say."""
    notes = []
    for run in runs:
        samples = run.samples
        if samples is not None and (samples.unsent or samples.unanswered):
            notes.append(
                f"{run.protocol}: of {samples.offered:,} due, {samples.unsent:,} were not sent and "
                f"{samples.unanswered:,} not completed."
            )
    if shares := _shares_of_capacity(runs):
        notes.append(f"Of what the same clients did with a server that does next to nothing: {shares}.")
    disturbed = dict.fromkeys(run.protocol for run in runs if run.is_capacity_disturbed)
    if disturbed:
        notes.append(
            f"What the clients of {' and '.join(disturbed)} can do is not known: the calibration was disturbed, "
            "and gave less than was measured; calibrate again."
        )
    return notes


def _shares_of_capacity(runs: Sequence[Run]) -> str:
    """The least and the largest share for each protocol of which one is known."""
    shares: dict[str, list[float]] = {}
    for run in runs:
        if run.share_of_capacity is not None:
            shares.setdefault(run.protocol, []).append(run.share_of_capacity)
    limits = {name: dict.fromkeys(f"{share:.0%}" for share in (min(all_), max(all_))) for name, all_ in shares.items()}
    return ", ".join(f"{name} {' to '.join(both)}" for name, both in limits.items())
