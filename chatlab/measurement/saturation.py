"""The highest rate that a server sustains: within a bound on its response times, and without a backlog that grows.

The offered rate is doubled until it is too much, then the gap is halved until it is narrow. Each rate is tried in an open
loop on a fresh server. A rate is sustained where nearly all that was due was done, the 99th percentile is within the
bound, and what is under way does not grow. Where the generator cannot keep up, the answer is "at least so much".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..display.progress import progress_bar
from ..display.tables import Table
from ..messages import shorten
from .load.samples import Samples
from .load.workload import NS, Workload
from .results.environment import Environment, environment
from .results.result import Result
from .results.runs import MIN_ATTEMPTED, Run

MIN_COMPLETED = 0.995  # of what was due
MAX_BACKLOG_GROWTH = 0.01  # of the offered rate, by which the backlog may grow
RESOLUTION = 1.1  # the search ends when the rate that was too much is less than so many times the one that was not
MIN_RATE, MAX_RATE = 1.0, 1_000_000.0
MAX_ATTEMPTS = 2  # of a rate before it counts as too much: a pause of the machine looks the same
BACKLOG_SAMPLES = 50  # at the backlog, in the second half


@dataclass(frozen=True)
class Attempt:
    """One offered rate and what came of it. `reject_reason` is empty where it was sustained."""

    rate: float
    run: Run
    reject_reason: str

    @property
    def sustained(self) -> bool:
        return not self.reject_reason


@dataclass(frozen=True, repr=False)
class Saturation(Result):
    """All rates that were tried, in order, for one protocol and a bound on the 99th percentile of its response times."""

    protocol: str
    workload: Workload
    bound_ms: float
    attempts: tuple[Attempt, ...]
    environment: Environment
    partial: bool = False  #: it was interrupted, or failed

    def __repr__(self):
        return (
            f"<Saturation of {self.protocol} within {self.bound_ms:g} ms: {self.workload}{', partial' * self.partial}>"
        )

    @property
    def rate(self) -> float | None:
        """The highest sustained rate, in requests a second; None where even the lowest was too much."""
        return max((each.rate for each in self.attempts if each.sustained), default=None)

    @property
    def generator_limited(self) -> bool:
        """Whether the search ended because the generator could not ask more: the server may sustain more than `rate`."""
        above = [each for each in self.attempts if not each.sustained and each.rate > (self.rate or 0)]
        return bool(above) and min(above, key=lambda each: each.rate).run.generator_limited

    @property
    def verdict(self) -> str:
        """In words."""
        ended = ", as far as the search came" * self.partial
        if self.rate is None:
            return f"{self.protocol} sustained not even {min(each.rate for each in self.attempts):,.0f} requests a second{ended}"
        least = (
            "at least "
            if self.partial or self.generator_limited or all(each.sustained for each in self.attempts)
            else ""
        )
        return f"{self.protocol} sustains {least}{self.rate:,.0f} requests a second, 99 % within {self.bound_ms:g} ms{ended}"

    def table(self) -> Table:
        return _saturation_table(self)

    def to_frame(self):
        """A pandas DataFrame: a row for each rate that was tried, the lowest first."""
        import pandas

        rows = [
            {
                "protocol": self.protocol, "offered": each.rate, "rate": each.run.rate.median, "sustained": each.sustained,
                "p50_ms": each.run.rounds[0].response_ms(50), "p99_ms": each.run.rounds[0].response_ms(99),
                "generator_limited": each.run.generator_limited, "reject_reason": each.reject_reason,
            }
            for each in sorted(self.attempts, key=lambda each: each.rate)
        ]  # fmt: skip
        return pandas.DataFrame(rows)

    def plot(self, ax=None):
        """Response times over the rate that was done. Returns the Axes."""
        from ..display.plots.latency import throughput_latency

        return throughput_latency([self], ax)


def saturate(
    protocol,
    workload: Workload = Workload(clients=4, rate=200, seconds=1.0),
    bound_ms: float = 50.0,
    generator: str = "light",
    resolution: float = RESOLUTION,
    measure: Callable[..., Run] | None = None,
    **options,
) -> Saturation:
    """Search the highest rate that a protocol's server sustains; `workload.rate` is the first one tried.

    `options` are those of `measure`. An interrupt ends the search with the rates that were tried by then. Raises
    `ValueError` where the workload is no open loop of one rate, `TypeError` where it is no Workload.
    """
    if not isinstance(workload, Workload):
        raise TypeError(f"the load is a Workload, not {shorten(workload)}")
    if not isinstance(workload.rate, int | float):
        raise ValueError(f"the search begins with a rate, an open loop of one step, not {workload}")
    if measure is None:
        from .rates import measure
    attempts: list[Attempt] = []

    def sustains(rate: float) -> bool:
        for _ in range(MAX_ATTEMPTS):
            run = measure(protocol, replace(workload, rate=rate), generator=generator, **options)
            if run.partial:  # the interrupt ended with it, and is meant for us
                raise KeyboardInterrupt
            attempts.append(Attempt(rate, run, reject_reason(run, bound_ms)))
            bar.update()
            if attempts[-1].sustained:
                return True
        return False

    partial = False
    try:
        with progress_bar(None, "searching the highest rate", "rates") as bar:
            search(sustains, float(workload.rate), resolution)
    except KeyboardInterrupt:
        partial = True
        if not attempts:
            raise
    return Saturation(attempts[0].run.protocol, workload, bound_ms, tuple(attempts), environment(), partial)


def search(
    sustains: Callable[[float], bool], first: float, resolution: float = RESOLUTION
) -> tuple[float | None, float | None]:
    """The highest rate that is sustained and the lowest that is not, as far as they were found.

    >>> search(lambda rate: rate <= 700, 100)
    (700.0, 750.0)
    """
    good, bad = None, None
    rate = first
    while (good is None or bad is None) and MIN_RATE <= rate <= MAX_RATE:
        if sustains(rate):
            good, rate = rate, rate * 2
        else:
            bad, rate = rate, rate / 2
    while good is not None and bad is not None and bad / good > resolution:
        middle = (good + bad) / 2
        if sustains(middle):
            good = middle
        else:
            bad = middle
    return good, bad


def reject_reason(run: Run, bound_ms: float) -> str:
    """Why the rate is not sustained; empty where it is."""
    if run.generator_limited:
        return f"generator-limited: {run.reasons[0]}"
    samples, rate = run.samples, run.workload.rate
    if samples.completed < MIN_COMPLETED * samples.offered or samples.attempted < MIN_ATTEMPTED * samples.offered:
        return f"{samples.completed:,} of {samples.offered:,} requests were done"
    worst = max(each.response_ms(99) for each in run.rounds)
    if worst > bound_ms:
        return f"99 % within {worst:.1f} ms"
    growth = max(backlog_growth(each.samples) for each in run.rounds)
    if growth > MAX_BACKLOG_GROWTH * rate:
        return f"the backlog grows by {growth:,.0f} requests a second"
    return ""


def backlog_growth(samples: Samples) -> float:
    """By how many requests a second what is due and not done grows, in the second half of the time.

    A straight line is laid through it; what lies within the line's own doubt is no growth.
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
    doubt = 3 * float(numpy.sqrt((scatter**2).sum() / (BACKLOG_SAMPLES - 2) / (seconds**2).sum()))
    return slope if slope > doubt else 0.0


def _saturation_table(result: Saturation) -> Table:
    rows = []
    for each in sorted(result.attempts, key=lambda each: each.rate):
        done, only = each.run.rate.median, each.run.rounds[0]
        times = [only.response_ms(percent) for percent in (50, 99)]
        told = ["none" if ms is None else f"{ms:,.2f}" for ms in times]
        rows.append(
            (f"{each.rate:,.0f}", f"{done:,.0f}", *told, "yes" if each.sustained else f"no: {each.reject_reason}")
        )
    notes = (
        f"{result.verdict}.",
        f"{result.workload}.",
        *["◂ partial: it ended early."] * result.partial,
        str(result.environment),
    )
    return Table(
        f"What {result.protocol} sustains", ("offered/s", "done/s", "p50 ms", "p99 ms", "sustained"), tuple(rows), notes
    )
