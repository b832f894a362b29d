"""How much may be believed of a number: intervals for percentiles, medians of rounds and ratios, from samples alone.

Pure functions over numbers: they know no protocol, no clock and no file. Three rules run through them.

*Neighbours are correlated.* A pause of the machine makes a thousand samples slow at once, and they are one observation.
So a long series counts as fewer independent samples than it has, by overlapping batch means (Meketon & Schmeiser,
"Overlapping batch means: something for nothing?", Winter Simulation Conference 1984; Flegal & Jones, Annals of
Statistics 38, 2010).

*A round with a fresh server is one observation*, however many messages it had (Georges, Buytaert & Eeckhout,
"Statistically rigorous Java performance evaluation", OOPSLA 2007). Two protocols are compared within each round, so
that what drifts in the machine drifts for both, and it is the ratios of the rounds that get an interval: Hodges &
Lehmann's location (Annals of Mathematical Statistics 34, 1963) with the limits of Wilcoxon's signed ranks (Hollander &
Wolfe, "Nonparametric Statistical Methods", section 3.3), which are exact for whatever is symmetric, however heavy its
tails; Student's t on the logarithms where there are too few rounds for that. A bootstrap of five to fifteen rounds is
not used: tried on nine kinds of noise, its 95 % interval of the median covered as little as 87 %, and bootstrap-t as
little as 86 %.

*A difference is stated only where it is sure.* The interval that is printed covers 95 %, so of twenty comparisons of a
thing with itself one would exclude equality. A verdict without "perhaps" needs the 99 % interval to exclude it as well.
"""

from dataclasses import dataclass
from functools import cache
from math import atan, ceil, cos, exp, floor, inf, log, log10, pi, sin, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95  # of an interval that is printed
STRICT_LEVEL = 0.99  # of the interval that must exclude equality before a difference is called sure
BATCHES = 20  # into which a series is divided; each must be longer than the correlation of neighbours reaches
INCONCLUSIVE_FACTOR = 1.5  # an interval that contains equality and so large a factor, up or down, says nothing
MAX_ROUNDS = 1000  # that `rounds_needed` plans
MIN_RANK = 3  # with a limit nearer to the end than this the signed ranks are exact, and wide beside Student's t
RANKED_ROUNDS = 10  # from so many rounds on the interval of STRICT_LEVEL is by signed ranks
MIN_EFFECTIVE_SIZE = 40  # independent samples: with fewer, how correlated the neighbours are is not known either


@dataclass(frozen=True)
class Interval:
    """A number and the limits between which it may lie. Where the samples cannot give a limit it is None.

    `note` says why.

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

    def __str__(self) -> str:
        return format(self)

    def __format__(self, spec: str) -> str:
        spec = spec or f",.{_decimals(self.value)}f"
        return f"{_number(self.value, spec)} [{_number(self.low, spec)} .. {_number(self.high, spec)}]"

    def __contains__(self, value: float) -> bool:
        """Whether it may be that value. A side without a limit excludes nothing."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    def __mul__(self, factor: float) -> "Interval":
        """In another unit; the factor is not negative."""
        low, high = (None if limit is None else limit * factor for limit in (self.low, self.high))
        return Interval(low, self.value * factor, high, self.level, self.note)

    __rmul__ = __mul__


def _decimals(value: float) -> int:
    """After the point, for three digits in all."""
    return 2 if not value or abs(value) == inf else max(0, 2 - floor(log10(abs(value))))


def _number(value: float | None, spec: str) -> str:
    if value is None:
        return "?"
    number = format(value, spec) if abs(value) != inf else "∞" if value > 0 else "-∞"
    return number.replace("-", "−")


# ---- samples within a run: neighbours are correlated ------------------------------------------------------------


def effective_size(series: ArrayLike) -> int:
    """How many independent samples a series, in its order of time, is worth for its mean: at most as many as it has.

    By overlapping batch means; see above.
    """
    values = _floats(series, least=2)
    spread = values.var(ddof=1)
    return len(values) if spread == 0 else int(len(values) / max(1.0, _long_run_variance(values) / spread) + 1e-6)


def percentile(samples: ArrayLike, percent: float, level: float = LEVEL) -> Interval:
    """The percentile of samples in their order of time, with an interval that assumes no distribution.

    Its limits are samples too: how many lie below the percentile is binomial (Conover, "Practical Nonparametric
    Statistics", section 3.2), with as many trials as the samples are worth independent ones. A limit that would lie
    beyond all samples is None: they are too few. Raises `ValueError` for what is no percentile or no series of numbers.
    """
    if not 0 < percent < 100:
        raise ValueError(f"a percentile is between 0 and 100, not {percent!r}")
    values, share = _floats(samples, least=2), percent / 100
    count, in_order = len(values), np.sort(values)
    value = in_order[ceil(count * share - 1e-9) - 1]
    worth = effective_size(values <= value)
    low, high = _ranks(worth, share, level) if worth >= min(MIN_EFFECTIVE_SIZE, count) else (None, None)
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
    independent = "" if worth == count else f", worth {worth:,} independent ones"
    needed = max(MIN_EFFECTIVE_SIZE, samples_needed(percent, level))
    return f"not enough samples for p{percent:g}: {count:,}{independent}; it takes {needed:,}"


def _ranks(count: int, share: float, level: float) -> tuple[int | None, int | None]:
    """Which of so many sorted samples, the first is 1, are the limits; None where it would be none of them."""
    below = np.arange(count)
    # The binomial distribution by the ratios of its neighbours, which never overflow.
    logs = np.concatenate([[0.0], np.cumsum(np.log((count - below) / (below + 1) * share / (1 - share)))])
    probabilities = np.exp(logs - logs.max())
    at_most = np.cumsum(probabilities / probabilities.sum())
    low = int(np.searchsorted(at_most, (1 - level) / 2, side="right"))
    high = int(np.searchsorted(at_most, 1 - (1 - level) / 2)) + 1
    return low or None, high if high <= count else None


def _long_run_variance(series: Floats) -> float:
    """The variance of the mean times the number of samples: by overlapping batch means."""
    count = len(series)
    size = max(1, count // BATCHES) if count >= 2 * BATCHES else 1
    sums = np.concatenate([[0.0], np.cumsum(series - series.mean())])
    batches = (sums[size:] - sums[:-size]) / size
    return count * size / ((count - size) * (count - size + 1)) * float(batches @ batches)


def _floats(samples: ArrayLike, least: int = 0) -> Floats:
    values = np.asarray(samples, float)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(f"at least {least} samples in a row are needed, not {np.shape(samples)}")
    if not np.isfinite(values).all():
        raise ValueError(f"a sample is a number, not {values[~np.isfinite(values)][0]}")
    return values


# ---- rounds, each with a fresh server ---------------------------------------------------------------------------


def location(rounds: ArrayLike, level: float = LEVEL) -> Interval:
    """The Hodges-Lehmann location of independent rounds: the median of all means of two of them.

    Its interval is exact if the rounds scatter symmetrically. One round has a value and no limits. Raises `ValueError`
    for none, and for what is no number.
    """
    values = _floats(rounds, least=1)
    count = len(values)
    means = np.add.outer(values, values)[_pairs(count)] / 2
    means.sort()
    center = float(means[(len(means) - 1) // 2] + means[len(means) // 2]) / 2
    if count == 1:
        return Interval(None, center, None, level, "one round cannot tell how much another would differ")
    rank = signed_rank_limit(count, 1 - level)
    if rank >= MIN_RANK:
        return Interval(float(means[rank - 1]), center, float(means[-rank]), level)
    reach = student(count - 1, level) * float(values.std(ddof=1)) / sqrt(count)
    mean = float(values.mean())
    return Interval(min(mean - reach, center), center, max(mean + reach, center), level)


@dataclass(frozen=True)
class Ratio:
    """How many times as much one protocol has as the other, and what may be said about it."""

    interval: Interval
    differs: bool  #: surely: the interval of STRICT_LEVEL excludes equality, too
    rounds: int
    noise: float | None  #: the scatter of one protocol's rounds beside the other's: 0.03 is 3 %; None for one round
    more: str = "faster"
    less: str = "slower"

    @property
    def weak(self) -> bool:
        """Whether the interval excludes equality, as one such comparison of twenty does by accident, and no more."""
        return not self.differs and 1 not in self.interval

    @property
    def is_inconclusive(self) -> bool:
        """Whether it may be equal, and may as well be far from it, so that nothing can be said."""
        low, high = self.interval.low, self.interval.high
        return low is not None and high is not None and 1 in self.interval and max(high, 1 / low) >= INCONCLUSIVE_FACTOR

    @property
    def verdict(self) -> str:
        """In words: "12 % faster (9 … 15 %)", "perhaps 3 % slower (1 … 6 %)", "no detectable difference (−3 … +4 %)".

        Where a large difference might be hidden by the noise it is "cannot tell: between 0.52 and 1.9 times as much".
        """
        low, value, high = self.interval.low, self.interval.value, self.interval.high
        if low is None or high is None:
            return f"one round cannot tell ({_percents('+', value - 1)} %)"
        if self.is_inconclusive:
            return f"cannot tell: between {_factor(low)} and {_factor(high)} times as much"
        if 1 in self.interval:
            return f"no detectable difference ({_percents('+', low - 1, high - 1)} %)"
        perhaps, word = "perhaps " if self.weak else "", self.more if value > 1 else self.less
        if not 1 / 2 <= value <= 2:
            factors = sorted(limit if value > 1 else 1 / limit for limit in (low, high))
            limits = " … ".join(map(_factor, factors))
            return f"{perhaps}{word} by a factor of {_factor(max(value, 1 / value))} ({limits})"
        shares = sorted(abs(limit - 1) for limit in (low, high))
        return f"{perhaps}{_percents('', abs(value - 1), around=shares[1])} % {word} ({_percents('', *shares)} %)"

    def __str__(self) -> str:
        return self.verdict


def _factor(factor: float) -> str:
    """With two significant digits.

    >>> _factor(0.243), _factor(2.0), _factor(12.34), _factor(347.8)
    ('0.24', '2', '12', '350')
    """
    return f"{factor:.2g}" if factor < 99.5 else f"{float(f'{factor:.2g}'):,.0f}"


def ratio(
    a_rounds: ArrayLike, b_rounds: ArrayLike, more: str = "faster", less: str = "slower", level: float = LEVEL
) -> Ratio:
    """How many times as much `a` has as `b`, from rounds that were measured side by side: the first with the first.

    `more` and `less` say what it means to have more: of messages a second "faster", of processor time "dearer". It is
    made for rounds in which the order of the two changes. Raises `ValueError` where the rounds are no pairs, and for a
    number that is not above 0.
    """
    a, b = _floats(a_rounds, least=1), _floats(b_rounds, least=1)
    if len(a) != len(b):
        raise ValueError(f"rounds are compared in pairs, not {len(a)} with {len(b)}")
    if min(a.min(), b.min()) <= 0:
        raise ValueError(f"a ratio needs numbers above 0, not {min(a.min(), b.min())}")
    logs = np.log(a / b)
    printed, strict = location(logs, level), location(logs, max(STRICT_LEVEL, level))
    low, high = (None if limit is None else exp(limit) for limit in (printed.low, printed.high))
    interval = Interval(low, exp(printed.value), high, level, printed.note)
    noise = float(logs.std(ddof=1)) / sqrt(2) if len(logs) > 1 else None
    return Ratio(interval, 0 not in strict and 0 not in printed, len(logs), noise, more, less)


def rounds_needed(noise: float, effect: float, power: float = 0.8) -> int:
    """How many rounds find a difference of `effect` with probability `power`, if one side's rounds scatter by `noise`.

    Both are shares: 0.03 is 3 %. The noise is what is left beside the drift that both sides of a round have in common:
    `Ratio.noise` of rounds that were measured. To find it is to call it sure, without "perhaps". It is for planning;
    `benchmarks/verdicts.py` shows that the rounds suffice. Raises `ValueError` where more than `MAX_ROUNDS` would be
    needed.

    >>> rounds_needed(noise=0.03, effect=0.10), rounds_needed(noise=0.06, effect=0.10)
    (6, 14)
    """
    if not (noise >= 0 and effect > -1 and effect != 0 and 0 < power < 1):
        raise ValueError(f"cannot plan for noise {noise!r}, effect {effect!r}, power {power!r}")
    distance, normal = abs(log(1 + effect)) / max(sqrt(2) * noise, 1e-9), NormalDist()
    # If the noise were known exactly, it would take so many: the search begins a little below.
    least = (normal.inv_cdf((1 + STRICT_LEVEL) / 2) + normal.inv_cdf(power)) ** 2 / distance**2
    if least > MAX_ROUNDS:
        raise ValueError(
            f"not even {MAX_ROUNDS} rounds find a difference of {effect:.2%} beside a noise of {noise:.2%}"
        )
    rounds = max(2, floor(0.9 * least))
    # Where the noise is normal, signed ranks need a difference 5 % larger than Student's t does: found by simulation.
    while _power(distance * sqrt(rounds) * (0.95 if rounds >= RANKED_ROUNDS else 1), rounds - 1) < power:
        rounds += 1
    return rounds


def _power(distance: float, freedom: int) -> float:
    """How often Student's t, at a distance of so many standard errors from 0, is beyond its limit."""
    limit, normal = student(freedom, STRICT_LEVEL), NormalDist()
    spreads = np.sqrt(_chi_squared_quantiles(freedom) / freedom)
    return float(np.mean([normal.cdf(distance - limit * spread) for spread in spreads]))


@cache
def _chi_squared_quantiles(freedom: int, count: int = 200) -> Floats:
    """By the approximation of Wilson & Hilferty (1931), which is exact enough to plan with."""
    normal = NormalDist()
    z = np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])
    return np.asarray(freedom * np.maximum(0, 1 - 2 / (9 * freedom) + z * sqrt(2 / (9 * freedom))) ** 3)


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count)


@cache
def signed_rank_limit(count: int, outside: float) -> int:
    """Which of the sorted means of pairs, from either end, are the limits; 0 where there are too few rounds for any.

    It is how many sums of signed ranks are so small that at most half of `outside` of all lie there.
    """
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
        ways /= 2
    return int(np.searchsorted(np.cumsum(ways), outside / 2 * (1 + 1e-9), side="right"))


@cache
def student(freedom: int, level: float) -> float:
    """The limit of Student's t: between minus and plus this lies the share `level` of the distribution.

    Abramowitz & Stegun, 26.7.3 and 26.7.4, by bisection.
    """
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
    """Shares in percent, with a digit after the point where all are small; with a real minus sign."""
    digits = 1 if max(around, *map(abs, shares)) < 0.02 else 0
    percents = [f"{percent:{sign}.{digits}f}" if (percent := round(100 * share, digits)) else "0" for share in shares]
    return " … ".join(percents).replace("-", "−")
