"""The highest rate that a server sustains: within a bound on its response times, and without a backlog that grows.

The offered rate is doubled until it is too much, then the gap is halved until it is narrow. Each rate is tried in an
open loop on a fresh server. A rate is sustained where nearly all that was due was completed, the 99th percentile is
within the bound, and the backlog does not grow. Where the load generator cannot keep up, the answer is "at least so
much".
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..display.progress import progress_bar
from ..display.tables import Table
from ..harness import Server
from ..transport.interface import Engine, ProtocolLike
from .context import MeasurementContext
from .load.samples import Samples
from .load.trial import GeneratorName
from .load.workload import NS, Workload
from .rates import measure
from .results.environment import Environment
from .results.result import Result
from .results.runs import MIN_ATTEMPTED, Run
from .testbed import check_workload

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

MIN_COMPLETED = 0.995  # of what was due
MAX_BACKLOG_GROWTH = 0.01  # requests a second by which the backlog may grow, as a share of the offered rate
RESOLUTION = 1.1  # the search ends when the lowest rate that is too much is within this factor of the highest sustained
MIN_RATE, MAX_RATE = 1.0, 1_000_000.0
MAX_ATTEMPTS = 2  # at a rate before it counts as too much: a pause of the machine looks the same
BACKLOG_SAMPLES = 50  # of the backlog, in the second half


# ---- the result -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """One offered rate, in requests a second, and what was measured. A sustained one has no `reject_reason`."""

    rate: float
    run: Run
    reject_reason: str

    @property
    def sustained(self) -> bool:
        return not self.reject_reason


@dataclass(frozen=True, repr=False)
class Saturation(Result):
    """All rates that were tried, in order, for one protocol and a bound on its 99th percentile of response times."""

    protocol: str
    workload: Workload
    bound_ms: float
    attempts: tuple[Attempt, ...]
    environment: Environment
    partial: bool = False  #: it was interrupted, or failed

    def __post_init__(self) -> None:
        if not self.attempts:
            raise ValueError("a saturation has at least one attempt")

    def __repr__(self) -> str:
        partial = ", partial" * self.partial
        return f"<Saturation of {self.protocol} within {self.bound_ms:g} ms: {self.workload}{partial}>"

    @property
    def rate(self) -> float | None:
        """The highest sustained rate, in requests a second; None where even the lowest was too much."""
        return max((attempt.rate for attempt in self.attempts if attempt.sustained), default=None)

    @property
    def generator_limited(self) -> bool:
        """Whether the load generator ended the search, so that the server may sustain more than `rate`."""
        above = [attempt for attempt in self.attempts if not attempt.sustained and attempt.rate > (self.rate or 0)]
        return bool(above) and min(above, key=lambda attempt: attempt.rate).run.generator_limited

    @property
    def verdict(self) -> str:
        """In words: "text sustains 5,500 requests a second, 99 % within 50 ms"."""
        ended = ", as far as the search came" * self.partial
        if self.rate is None:
            lowest = min(attempt.rate for attempt in self.attempts)
            return f"{self.protocol} sustained not even {lowest:,.0f} requests a second{ended}"
        is_bound = self.partial or self.generator_limited or all(attempt.sustained for attempt in self.attempts)
        rate = f"{'at least ' * is_bound}{self.rate:,.0f}"
        return f"{self.protocol} sustains {rate} requests a second, 99 % within {self.bound_ms:g} ms{ended}"

    def _by_rate(self) -> list[Attempt]:
        return sorted(self.attempts, key=lambda attempt: attempt.rate)

    def table(self) -> Table:
        rows = []
        for attempt in self._by_rate():
            times = [attempt.run.rounds[0].response_ms(percent) for percent in (50, 99)]
            rows.append(
                (
                    f"{attempt.rate:,.0f}",
                    f"{attempt.run.rate.median:,.0f}",
                    *("none" if ms is None else f"{ms:,.2f}" for ms in times),
                    "yes" if attempt.sustained else f"no: {attempt.reject_reason}",
                )
            )
        notes = (
            *[f"Careful: {self.environment.warning}."] * bool(self.environment.warning),
            f"{self.verdict}.",
            f"{self.workload}.",
            *["◂ partial: it ended early."] * self.partial,
            str(self.environment),
        )
        heads = ("offered/s", "done/s", "p50 ms", "p99 ms", "sustained")
        return Table(f"What {self.protocol} sustains", heads, tuple(rows), notes)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each attempt, the lowest rate first."""
        import pandas

        rows = [
            {
                "protocol": self.protocol,
                "offered": attempt.rate,
                "rate": attempt.run.rate.median,
                "sustained": attempt.sustained,
                "p50_ms": attempt.run.rounds[0].response_ms(50),
                "p99_ms": attempt.run.rounds[0].response_ms(99),
                "generator_limited": attempt.run.generator_limited,
                "reject_reason": attempt.reject_reason,
            }
            for attempt in self._by_rate()
        ]
        return pandas.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw response times over the rate that was completed. Returns the Axes."""
        from ..display.plots.latency import throughput_latency

        return throughput_latency([self], ax)


# ---- the search -------------------------------------------------------------------------------------------------


def saturate(
    protocol: "ProtocolLike | Server",
    workload: Workload = Workload(clients=4, rate=200, seconds=1.0),
    bound_ms: float = 50.0,
    generator: GeneratorName = "light",
    resolution: float = RESOLUTION,
    rounds: int = 1,
    engine: Engine = "loop",
    workers: int = 1,
    executor: Executor | None = None,
    host: str = "127.0.0.1",
) -> Saturation:
    """Search the highest rate that a protocol's server sustains; `workload.rate` is the first one tried.

    It is sustained where 99 % of the requests are answered within `bound_ms` and the backlog does not grow.
    `resolution` is the factor within which the rate is found. The other arguments are those of `measure`, which
    measures each rate.

    An interrupt ends the search, and the rates that were tried by then are the result, marked as partial. Raises
    `MeasurementFailed` where a client or a worker fails; the rates that were tried before are its `partial_result`.
    Raises `ValueError` where the workload is no open loop of one rate, and `TypeError` where it is no Workload.
    """
    check_workload(workload)

    def measure_at(rate: float) -> Run:
        load = replace(workload, rate=rate)
        return measure(protocol, load, rounds, engine, generator, workers, executor, host)

    return search_saturation(measure_at, workload, bound_ms, resolution)


def search_saturation(
    measure_at: Callable[[float], Run], workload: Workload, bound_ms: float, resolution: float = RESOLUTION
) -> Saturation:
    """As `saturate`, with anything that measures a rate."""
    if not isinstance(workload.rate, int | float):
        raise ValueError(f"the search begins with a rate, an open loop of one step, not {workload}")
    context = MeasurementContext()
    attempts: list[Attempt] = []

    def sustains(rate: float) -> bool:
        for _ in range(MAX_ATTEMPTS):
            run = measure_at(rate)
            if run.partial:  # an interrupt has ended it, and is meant for the search
                raise KeyboardInterrupt
            attempts.append(Attempt(rate, run, reject_reason(run, bound_ms)))
            bar.update()
            if attempts[-1].sustained:
                return True
        return False

    with (
        context.measuring(lambda: bool(attempts)),
        progress_bar(None, "searching the highest rate", "rates") as bar,
    ):
        search(sustains, float(workload.rate), resolution)
    first = attempts[0].run
    environment = context.environment(first.environment.pinned)
    return context.conclude(
        Saturation(first.protocol, workload, bound_ms, tuple(attempts), environment, context.ended_early)
    )


def search(
    sustains: Callable[[float], bool], first: float, resolution: float = RESOLUTION
) -> tuple[float | None, float | None]:
    """The highest rate that is sustained and the lowest that is not; None for what was not found.

    >>> search(lambda rate: rate <= 700, 100)
    (700.0, 750.0)
    """
    sustained: float | None = None
    rejected: float | None = None
    rate = first
    while (sustained is None or rejected is None) and MIN_RATE <= rate <= MAX_RATE:
        if sustains(rate):
            sustained, rate = rate, rate * 2
        else:
            rejected, rate = rate, rate / 2
    while sustained is not None and rejected is not None and rejected / sustained > resolution:
        middle = (sustained + rejected) / 2
        if sustains(middle):
            sustained = middle
        else:
            rejected = middle
    return sustained, rejected


def reject_reason(run: Run, bound_ms: float) -> str:
    """Why the run's offered rate is not sustained; empty where it is."""
    if run.generator_limited:
        return f"generator-limited: {run.reasons[0]}"
    samples, rate = run.samples, run.workload.rate
    if samples is None or not isinstance(rate, int | float):
        raise ValueError(f"{run!r} has no samples of an open loop of one rate")
    if samples.completed < MIN_COMPLETED * samples.offered or samples.attempted < MIN_ATTEMPTED * samples.offered:
        return f"{samples.completed:,} of {samples.offered:,} requests were completed"
    worst = max(measured.response_ms(99) or 0.0 for measured in run.rounds)
    if worst > bound_ms:
        return f"99 % within {worst:.1f} ms"
    growth = max(backlog_growth(measured.samples) for measured in run.rounds if measured.samples is not None)
    if growth > MAX_BACKLOG_GROWTH * rate:
        return f"the backlog grows by {growth:,.0f} requests a second"
    return ""


def backlog_growth(samples: Samples) -> float:
    """By how many requests a second the backlog (due and not completed) grows in the second half of the time.

    It is the slope of a straight line, by least squares; a slope within three of its standard errors is 0.
    """
    import numpy

    due, done = numpy.sort(samples.column("due")), samples.done_at_ns
    done = numpy.sort(done[done >= 0])
    if len(due) < BACKLOG_SAMPLES:
        return 0.0
    at = numpy.linspace((due[0] + due[-1]) / 2, due[-1], BACKLOG_SAMPLES)
    backlog = numpy.searchsorted(due, at, "right") - numpy.searchsorted(done, at, "right")
    seconds = (at - at.mean()) / NS
    slope = float((seconds * backlog).sum() / (seconds**2).sum())
    scatter = backlog - backlog.mean() - slope * seconds
    error = float(numpy.sqrt((scatter**2).sum() / (BACKLOG_SAMPLES - 2) / (seconds**2).sum()))
    return slope if slope > 3 * error else 0.0
