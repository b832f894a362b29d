"""How much may be believed of a number: intervals for percentiles, rates and ratios, from samples and nothing else.

Pure functions over numbers: they know no protocol, no clock and no file. Three rules run through them.

*Neighbours are alike.* A pause of the machine makes a thousand samples slow at once, and they are one observation. So a
long series counts as fewer independent samples than it has, by overlapping batch means (Meketon & Schmeiser, "Overlapping
batch means: something for nothing?", Winter Simulation Conference 1984; Flegal & Jones, Annals of Statistics 38, 2010).

*A round with a fresh server is one observation*, however many messages it had (Georges, Buytaert & Eeckhout,
"Statistically rigorous Java performance evaluation", OOPSLA 2007). Two protocols are compared within each round, so that
what drifts in the machine drifts for both, and it is the ratios of the rounds that get an interval: Hodges & Lehmann's
centre (Annals of Mathematical Statistics 34, 1963) with the limits of Wilcoxon's signed ranks (Hollander & Wolfe,
"Nonparametric Statistical Methods", section 3.3), which are exact for whatever is symmetric, however wild; Student's t on
the logarithms where there are too few rounds for that. A bootstrap of five to fifteen rounds is not used: tried on nine
kinds of noise, its 95 % interval of the median covered as little as 87 %, and bootstrap-t as little as 86 %.

*A difference is called only where we are sure.* The interval that is printed covers 95 %, so of twenty comparisons of a
thing with itself one would exclude equality. A verdict without "perhaps" needs the 99 % interval to exclude it as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import atan, ceil, cos, exp, floor, inf, log, log10, pi, sin, sqrt
from statistics import NormalDist

import numpy as np

LEVEL = 0.95  # of an interval that is printed
STRICT_LEVEL = 0.99  # of the interval that must exclude equality before a difference is called
BATCHES = 20  # a series is cut into; each must be longer than what makes neighbours alike
INCONCLUSIVE_FACTOR = 1.5  # an interval that holds equality and so great a factor, up or down, says nothing
MOST_ROUNDS = 1000  # that anybody would plan
LEAST_RANK = 3  # with a limit nearer to the end than this the signed ranks are exact, and blunt beside Student's t
RANKED = 10  # rounds and more have an interval by signed ranks that is STRICT_LEVEL
LEAST_WORTH = 40  # independent samples: with fewer, how alike the neighbours are is not known either


@dataclass(frozen=True)
class Interval:
    """A number and between which limits it may lie. A limit of None is one that the samples cannot give; `note` says why.

    >>> print(Interval(1.1, 1.234, 1.38, 0.95))
    1.23 [1.10 .. 1.38]
    >>> print(f"{Interval(11_000, 12_345.6, None, 0.95):,.0f}")
    12,346 [11,000 .. ?]
    """

    low: float | None
    value: float
    high: float | None
    level: float = LEVEL
    note: str = ""

    def __str__(self):
        return format(self)

    def __format__(self, spec: str) -> str:
        spec = spec or f",.{_decimals(self.value)}f"
        return f"{_told(self.value, spec)} [{_told(self.low, spec)} .. {_told(self.high, spec)}]"

    def __contains__(self, value: float) -> bool:
        """Whether it may be that. What has no limit on a side excludes nothing there."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    def __mul__(self, factor: float) -> "Interval":
        """In another unit: the factor is not negative."""
        low, high = (None if limit is None else limit * factor for limit in (self.low, self.high))
        return Interval(low, self.value * factor, high, self.level, self.note)

    __rmul__ = __mul__


def _decimals(value: float) -> int:
    """After the point, for three digits in all."""
    return 2 if not value or abs(value) == inf else max(0, 2 - floor(log10(abs(value))))


def _told(value: float | None, spec: str) -> str:
    if value is None:
        return "?"
    told = format(value, spec) if abs(value) != inf else "∞" if value > 0 else "-∞"
    return told.replace("-", "−")


# ---- samples within a run: neighbours are alike -----------------------------------------------------------------


def merged(workers: Iterable[Sequence], when: Iterable[Sequence] | None = None) -> np.ndarray:
    """The raw samples of several workers as one series; their percentiles are never averaged, which would mean nothing.

    With `when`, the times of each worker's samples, they come in the order of time: what made all workers slow at once
    then stands together, and `effective_size` sees that it is one observation.
    """
    workers = [_series(samples) for samples in workers]
    together = np.concatenate(workers) if workers else np.empty(0)
    if when is None:
        return together
    times = [_series(each) for each in when]
    if [len(each) for each in times] != [len(each) for each in workers]:
        raise ValueError("each worker needs as many times as it has samples")
    return together[np.argsort(np.concatenate(times), kind="stable")] if times else together


def effective_size(series: Sequence) -> int:
    """How many independent samples the mean of a series, in its order of time, is worth: at most as many as it has."""
    series = _series(series, least=2)
    spread = series.var(ddof=1)
    return len(series) if spread == 0 else int(len(series) / max(1.0, _long_run_variance(series) / spread) + 1e-6)


def mean(series: Sequence, level: float = LEVEL) -> Interval:
    """The mean of a series in its order of time, and an interval that knows that neighbours are alike."""
    series = _series(series, least=2)
    count = len(series)
    # Overlapping batches are worth half as much again as those side by side (Meketon & Schmeiser).
    freedom = count - 1 if count < 2 * BATCHES else int(1.5 * BATCHES)
    error = sqrt(_long_run_variance(series) / count)
    return _around(float(series.mean()), error, freedom, level)


def rate(done_at: Sequence, start: float, end: float, level: float = LEVEL) -> Interval:
    """How many a second, from the times at which each was done, in seconds, between `start` and `end`."""
    if not start < end:
        raise ValueError(f"a rate is measured from a start to a later end, not from {start!r} to {end!r}")
    bins = 10 * BATCHES
    counts, _ = np.histogram(_series(done_at), bins, (start, end))
    return mean(counts, level) * (bins / (end - start))


def percentile(samples: Sequence, percent: float, level: float = LEVEL) -> Interval:
    """The percentile of samples in their order of time, with an interval that assumes no distribution.

    Its limits are samples too: as many lie below the percentile as heads fall in that many throws of a coin (Conover,
    "Practical Nonparametric Statistics", section 3.2), where the throws are the independent samples that these are worth.
    A limit that would lie beyond all samples is None: they are too few to tell.
    """
    if not 0 < percent < 100:
        raise ValueError(f"a percentile is between 0 and 100, not {percent!r}")
    samples, share = _series(samples, least=2), percent / 100
    count, in_order = len(samples), np.sort(samples)
    value = in_order[ceil(count * share - 1e-9) - 1]
    worth = effective_size(samples <= value)
    low, high = _ranks(worth, share, level) if worth >= min(LEAST_WORTH, count) else (None, None)
    limits = (
        None if low is None else float(in_order[floor((low - 1) / worth * count)]),
        None if high is None else float(in_order[ceil(high / worth * count) - 1]),
    )
    note = "" if None not in limits else _too_few(count, worth, percent, level)
    return Interval(limits[0], float(value), limits[1], level, note)


def samples_needed(percent: float, level: float = LEVEL) -> int:
    """How many independent samples give a percentile both its limits.

    >>> samples_needed(99), samples_needed(99.9)
    (368, 3688)
    """
    tail = max(percent, 100 - percent) / 100
    return ceil(log((1 - level) / 2) / log(tail))


def _too_few(count: int, worth: int, percent: float, level: float) -> str:
    alike = "" if worth == count else f", worth {worth:,} independent ones"
    return f"not enough samples for p{percent:g}: {count:,}{alike}; it takes {max(LEAST_WORTH, samples_needed(percent, level)):,}"


def _ranks(count: int, share: float, level: float) -> tuple[int | None, int | None]:
    """Which of so many sorted samples, the first is 1, are the limits; None where it would be none of them."""
    heads = np.arange(count)
    # The binomial distribution by the ratios of its neighbours, which never overflow.
    logs = np.concatenate([[0.0], np.cumsum(np.log((count - heads) / (heads + 1) * share / (1 - share)))])
    chances = np.exp(logs - logs.max())
    at_most = np.cumsum(chances / chances.sum())
    low = int(np.searchsorted(at_most, (1 - level) / 2, side="right"))
    high = int(np.searchsorted(at_most, 1 - (1 - level) / 2)) + 1
    return low or None, high if high <= count else None


def _long_run_variance(series: np.ndarray) -> float:
    """The variance of the mean times the number of samples: by overlapping batch means."""
    count = len(series)
    size = max(1, count // BATCHES) if count >= 2 * BATCHES else 1
    sums = np.concatenate([[0.0], np.cumsum(series - series.mean())])
    batches = (sums[size:] - sums[:-size]) / size
    return count * size / ((count - size) * (count - size + 1)) * float(batches @ batches)


def _series(samples: Sequence, least: int = 0) -> np.ndarray:
    series = np.asarray(samples, float)
    if series.ndim != 1 or len(series) < least:
        raise ValueError(f"at least {least} samples in a row are needed, not {np.shape(samples)}")
    if not np.isfinite(series).all():
        raise ValueError(f"a sample is a number, not {series[~np.isfinite(series)][0]}")
    return series


# ---- a run over time: does it drift? ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """By how much a series has changed over its second half, and whether that matters."""

    change: Interval
    matters: float  #: a change of less than this is none

    @property
    def is_sure(self) -> bool:
        """It drifts: the change is more than matters, and no accident."""
        return abs(self.change.value) > self.matters and 0 not in self.change

    @property
    def is_steady(self) -> bool:
        """It does not drift: whatever the change may be, it is less than matters."""
        return max(abs(self.change.low), abs(self.change.high)) <= self.matters

    def __str__(self):
        says = "drifts" if self.is_sure else "is steady" if self.is_steady else "is too restless to tell"
        return f"{says}: {self.change} over the second half"


def steady(series: Sequence, matters: float | None = None, level: float = STRICT_LEVEL) -> Drift:
    """Whether a series, taken at even times, drifts in its second half: a backlog that grows, a warm-up that was too short.

    A straight line through the means of ten pieces, each long enough that the next is another matter. `matters` is in the
    unit of the series; without it, a twentieth of its mean.
    """
    pieces = 10
    series = _series(series, least=4 * pieces)
    half = series[len(series) // 2 :]
    means = np.array([piece.mean() for piece in np.array_split(half, pieces)])
    at = np.linspace(-0.5, 0.5, pieces) * (1 - 1 / pieces)  # the middles of the pieces; the half is 1 long
    slope = float(at @ means / (at @ at))
    off = means - means.mean() - slope * at
    error = sqrt(float(off @ off) / (pieces - 2) / float(at @ at))
    matters = abs(float(half.mean())) / 20 if matters is None else matters
    return Drift(_around(slope, error, pieces - 2, level), matters)


# ---- rounds, each with a fresh server ---------------------------------------------------------------------------


def location(rounds: Sequence, level: float = LEVEL) -> Interval:
    """The centre of independent rounds, and its interval: Hodges and Lehmann's, exact if the rounds scatter evenly."""
    values = _series(rounds, least=1)
    count = len(values)
    pairs = np.add.outer(values, values)[_pairs(count)] / 2
    pairs.sort()
    centre = float(pairs[(len(pairs) - 1) // 2] + pairs[len(pairs) // 2]) / 2
    if count == 1:
        return Interval(None, centre, None, level, "one round cannot tell how much another would differ")
    cut = signed_rank_limit(count, 1 - level)
    if cut >= LEAST_RANK:
        return Interval(float(pairs[cut - 1]), centre, float(pairs[-cut]), level)
    around = _around(float(values.mean()), float(values.std(ddof=1)) / sqrt(count), count - 1, level)
    return Interval(min(around.low, centre), centre, max(around.high, centre), level)


@dataclass(frozen=True)
class Ratio:
    """How many times as much one has as the other, and what may be said about it."""

    interval: Interval
    differs: bool  #: surely
    rounds: int
    noise: float | None  #: how much one side's rounds scatter beside the other's: 0.03 is 3 %; None for one round
    more: str = "faster"
    less: str = "slower"

    @property
    def weak(self) -> bool:
        """The interval excludes equality, and yet one such comparison of twenty does so by accident."""
        return not self.differs and 1 not in self.interval

    @property
    def is_inconclusive(self) -> bool:
        """It may be equal, and it may as well be far from it: nothing can be said."""
        low, high = self.interval.low, self.interval.high
        return low is not None and 1 in self.interval and max(high, 1 / low) >= INCONCLUSIVE_FACTOR

    @property
    def verdict(self) -> str:
        """In words: "12 % faster (9 … 15 %)", "perhaps 3 % slower (1 … 6 %)", "no detectable difference (−3 … +4 %)", or,
        where a great difference might hide in the noise, "cannot tell: between 0.52 and 1.9 times as much".
        """
        low, value, high = self.interval.low, self.interval.value, self.interval.high
        if low is None:
            return f"one round cannot tell ({_percents('+', value - 1)} %)"
        if self.is_inconclusive:
            return f"cannot tell: between {_factor(low)} and {_factor(high)} times as much"
        if 1 in self.interval:
            return f"no detectable difference ({_percents('+', low - 1, high - 1)} %)"
        perhaps, word = "perhaps " if self.weak else "", self.more if value > 1 else self.less
        if not 1 / 2 <= value <= 2:
            factors = sorted(each if value > 1 else 1 / each for each in (low, high))
            return (
                f"{perhaps}{word} by a factor of {_factor(max(value, 1 / value))} ({' … '.join(map(_factor, factors))})"
            )
        limits = sorted(abs(each - 1) for each in (low, high))
        return f"{perhaps}{_percents('', abs(value - 1), around=limits[1])} % {word} ({_percents('', *limits)} %)"

    def __str__(self):
        return self.verdict


def _factor(factor: float) -> str:
    """Two digits of it.

    >>> _factor(0.243), _factor(2.0), _factor(12.34), _factor(347.8)
    ('0.24', '2', '12', '350')
    """
    return f"{factor:.2g}" if factor < 99.5 else f"{float(f'{factor:.2g}'):,.0f}"


def ratio(
    a_rounds: Sequence, b_rounds: Sequence, more: str = "faster", less: str = "slower", level: float = LEVEL
) -> Ratio:
    """How many times as much `a` has as `b`, from rounds that were measured side by side: the first with the first.

    `more` and `less` say what it means to have more: of messages a second "faster", of processor time "dearer". It is
    made for rounds in which the order of the two changes. Raises `ValueError` where the rounds are no pairs.
    """
    a, b = _series(a_rounds, least=1), _series(b_rounds, least=1)
    if len(a) != len(b):
        raise ValueError(f"rounds are compared in pairs, not {len(a)} with {len(b)}")
    if min(a.min(), b.min()) <= 0:
        raise ValueError(f"a ratio needs numbers above 0, not {min(a.min(), b.min())}")
    logs = np.log(a / b)
    found, sure = location(logs, level), location(logs, max(STRICT_LEVEL, level))
    limits = (None if limit is None else exp(limit) for limit in (found.low, found.high))
    interval = Interval(next(limits), exp(found.value), next(limits), level, found.note)
    noise = float(logs.std(ddof=1)) / sqrt(2) if len(logs) > 1 else None
    return Ratio(interval, 0 not in sure and 0 not in found, len(logs), noise, more, less)


def rounds_needed(noise: float, effect: float, power: float = 0.8) -> int:
    """How many rounds find a difference of `effect` with the chance `power`, where one side's rounds scatter by `noise`.

    Both are shares: 0.03 is 3 %. The noise is what is left beside the drift that both sides of a round have in common:
    `Ratio.noise` of rounds that were measured. Found means called, without "perhaps".

    >>> rounds_needed(noise=0.03, effect=0.10), rounds_needed(noise=0.06, effect=0.10)
    (6, 14)
    """
    if not (noise >= 0 and effect > -1 and effect != 0 and 0 < power < 1):
        raise ValueError(f"cannot plan for noise {noise!r}, effect {effect!r}, power {power!r}")
    away, normal = abs(log(1 + effect)) / max(sqrt(2) * noise, 1e-9), NormalDist()
    # A known noise would need so many: the search begins a little below.
    least = (normal.inv_cdf((1 + STRICT_LEVEL) / 2) + normal.inv_cdf(power)) ** 2 / away**2
    if least > MOST_ROUNDS:
        raise ValueError(
            f"not even {MOST_ROUNDS} rounds find a difference of {effect:.2%} beside a noise of {noise:.2%}"
        )
    rounds = max(2, floor(0.9 * least))
    # Where the noise is normal, signed ranks need a difference 5 % larger than Student's t does: found by simulation.
    while _power(away * sqrt(rounds) * (0.95 if rounds >= RANKED else 1), rounds - 1) < power:
        rounds += 1
    return rounds


def _power(away: float, freedom: int) -> float:
    """How often Student's t, `away` standard errors from nothing, is beyond its limit."""
    limit, normal = student(freedom, STRICT_LEVEL), NormalDist()
    spreads = np.sqrt(_chi_squared_quantiles(freedom) / freedom)
    return float(np.mean([normal.cdf(away - limit * spread) for spread in spreads]))


@cache
def _chi_squared_quantiles(freedom: int, count: int = 200) -> np.ndarray:
    """As Wilson & Hilferty 1931: near enough to plan with."""
    normal = NormalDist()
    z = np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])
    return freedom * np.maximum(0, 1 - 2 / (9 * freedom) + z * sqrt(2 / (9 * freedom))) ** 3


@cache
def _pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(count)


@cache
def signed_rank_limit(count: int, outside: float) -> int:
    """Which of the sorted pair means, from either end, are the limits; 0 where there are too few rounds for any.

    It is how many sums of signed ranks are so small that at most half of `outside` of all lie there.
    """
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
        ways /= 2
    return int(np.searchsorted(np.cumsum(ways), outside / 2 * (1 + 1e-9), side="right"))


def _around(value: float, error: float, freedom: int, level: float) -> Interval:
    reach = student(freedom, level) * error
    return Interval(value - reach, value, value + reach, level)


@cache
def student(freedom: int, level: float) -> float:
    """Between minus this and this lies that share of Student's t (Abramowitz & Stegun, 26.7.3 and 26.7.4), by bisection."""
    low, high = 0.0, 1e6
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _between(middle, freedom) < level else (low, middle)
    return high


def _between(t: float, freedom: int) -> float:
    angle = atan(t / sqrt(freedom))
    odd = freedom % 2
    term, total = (cos(angle), 0.0) if odd else (1.0, 0.0)
    for k in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cos(angle) ** 2 * (k + 1) / (k + 2)
    return (angle + sin(angle) * total) * 2 / pi if odd else sin(angle) * total


def _percents(sign: str, *shares: float, around: float = 0.0) -> str:
    """Shares in percent, with a digit after the point where all are small; a minus is a minus."""
    digits = 1 if max(around, *map(abs, shares)) < 0.02 else 0
    told = [f"{percent:{sign}.{digits}f}" if (percent := round(100 * share, digits)) else "0" for share in shares]
    return " … ".join(told).replace("-", "−")
