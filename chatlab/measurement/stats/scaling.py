"""What more clients would do to the rate: Gunther's universal scalability law, fitted, with intervals and warnings.

    X(N) = λ N / (1 + σ (N - 1) + κ N (N - 1))

λ is the rate of one client; σ, contention, is the share of the work that has to wait in line; κ, coherency, is what
each pays for each other to stay in agreement. With κ the rate has a peak, at N* = √((1 - σ) / κ), and falls beyond it;
without it the rate nears λ / σ, which is Amdahl's law (Gunther, "Guerrilla Capacity Planning", 2007, chapters 4 to 6;
Gunther, "A general theory of computational scalability based on rational functions", arXiv:0808.1431, 2008, for why
these two suffice).

It is a law of queues, not of this machine: it cannot foresee the core, the memory or the buffer that runs out, so it
says where it extrapolates. It knows no protocol, no clock and no file.

N / X is linear in 1/λ, σ/λ and κ/λ, and that is how it is fitted: by least squares on relative errors, reweighted so
that a round which went wrong has little weight (Huber, "Robust Estimation of a Location Parameter", Annals of
Mathematical Statistics 35, 1964). σ and κ are not below 0: of the four laws with and without each, the best that has
none below.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from statistics import NormalDist

import numpy as np

from .intervals import LEVEL, Floats, Interval, ratio, student

DRAWS = 1000  # of the bootstrap
MAX_EXTRAPOLATION = 4  # times the most clients that were measured: beyond, a prediction is a guess
MAX_REACH = 1000  # times the most clients that were measured: a peak that is farther away is none
MIN_SHARE = 1e-6  # of contention or coherency; less is none
HUBER = 1.345  # scatters at which a measurement begins to lose weight: 95 % efficient where the noise is normal
_FREE = ((1, 1), (1, 0), (0, 1), (0, 0))  # whether σ and κ are in the law


@dataclass(frozen=True)
class Prediction:
    """The rate that the law predicts for a number of clients, with a `warning` where none so large was measured."""

    clients: float
    rate: Interval
    warning: str = ""

    def __str__(self) -> str:
        return f"{self.clients:g} clients: {self.rate:,.0f} a second" + (f" ({self.warning})" if self.warning else "")


@dataclass(frozen=True)
class Scaling:
    """The law, fitted to the rates of one protocol with several numbers of clients."""

    clients: tuple[float, ...]  #: that were measured
    lambda_: Interval  #: λ, the rate of one client, in messages a second
    contention: Interval  #: σ
    coherency: Interval  #: κ
    peak: Interval  #: N*, the number of clients with the highest rate; infinite where the law has no peak within reach
    misfit: float  #: the largest relative error of the law at a number of clients, by the median round; 0.05 is 5 %
    warnings: tuple[str, ...]
    bootstrap: Floats = field(
        repr=False, compare=False
    )  #: 1/λ, σ/λ and κ/λ of laws that might have been fitted as well

    def __call__(self, clients: float) -> float:
        """The rate that the law gives, in messages a second."""
        n = clients
        return self.lambda_.value * n / (1 + self.contention.value * (n - 1) + self.coherency.value * n * (n - 1))

    def predict(self, clients: float, level: float = LEVEL) -> Prediction:
        """The rate to expect with so many clients, with a warning where that is beyond what was measured.

        Raises `ValueError` for fewer than one client.
        """
        if not clients >= 1:
            raise ValueError(f"clients are 1 or more, not {clients!r}")
        rates = clients / (self.bootstrap @ _terms(np.array([clients]))[0])
        return Prediction(clients, _interval(self(clients), rates, level), self._extrapolation(clients))

    def _extrapolation(self, clients: float) -> str:
        least, most = self.clients[0], self.clients[-1]
        if least <= clients <= most:
            return ""
        warning = (
            f"extrapolated: {least:g} to {most:g} clients were measured, "
            "and a limit that none of them met is not foreseen"
        )
        return warning if clients <= MAX_EXTRAPOLATION * most else f"a guess, {warning}"

    @cached_property
    def verdict(self) -> str:
        """What the fit says, in a sentence."""
        peak, most = self.peak, self.clients[-1]
        if inf in (peak.value, peak.high):
            is_possible = peak.low is not None and peak.low < inf
            rest = f"if there is one, it is at {peak.low:,.0f} or more" if is_possible else "and none is within reach"
            return f"no peak is seen up to {most:g} clients, {rest}"
        where = "" if peak.value <= most else f", beyond the {most:g} that were measured"
        return f"the rate is highest with {peak:,.0f} clients{where}"

    def __str__(self) -> str:
        shares = f"contention {self.contention * 100:.1f} %, coherency {self.coherency * 100:.3f} %"
        return "\n".join([f"one client {self.lambda_:,.0f} a second, {shares}; {self.verdict}", *self.warnings])


def scaling(clients: Iterable[int], rates: Iterable[Sequence[float]], level: float = LEVEL, seed: int = 0) -> Scaling:
    """Fit the law: for each number of clients, the rates of the same rounds, in the same order.

    Only rates that the server has set belong in it, and not a load generator's own limit. The intervals are by
    bootstrap over the rounds, and over what the law does not explain. Raises `ValueError` where there are fewer than
    three numbers of clients, and for rates that are no such table.
    """
    numbers, table = _checked(clients, rates)
    logs = np.log(table)  # a row for each round
    fitted = _fit(numbers, logs[None])
    law = _log_rate(numbers, fitted)[0]
    errors = logs - law
    bootstrap = _fit(numbers, law + _resampled(errors, np.random.default_rng(seed)))
    farthest = MAX_REACH * float(numbers[-1])
    value, cloud = _parameters(fitted, farthest)[0], _parameters(bootstrap, farthest)
    lambda_, contention, coherency, peak = (_interval(value[i], cloud[:, i], level) for i in range(4))
    misfit = float(np.abs(np.median(errors, 0)).max())
    warnings = _doubts(numbers, logs, errors, (contention, coherency))
    return Scaling(tuple(numbers.tolist()), lambda_, contention, coherency, peak, misfit, warnings, bootstrap)


def _checked(clients: Iterable[int], rates: Iterable[Sequence[float]]) -> tuple[Floats, Floats]:
    """The numbers of clients in order, and a table of rates with a row for each round."""
    numbers, columns = np.asarray(list(clients), float), [list(series) for series in rates]
    if len(set(numbers.tolist())) < 3 or len(set(numbers.tolist())) < len(numbers) or numbers.min() < 1:
        raise ValueError(
            f"a law with three unknowns needs three numbers of clients or more, each once, not {numbers.tolist()}"
        )
    lengths = [len(column) for column in columns]
    if len(columns) != len(numbers) or len(set(lengths)) != 1 or not columns[0]:
        raise ValueError(f"each number of clients needs the rates of the same rounds, not {lengths}")
    table = np.array(columns, float).T[:, np.argsort(numbers)]
    if not (np.isfinite(table).all() and table.min() > 0):
        raise ValueError(f"a rate is above 0, not {table.min()}")
    return np.sort(numbers), table


# ---- the fit ----------------------------------------------------------------------------------------------------


def _terms(numbers: Floats) -> Floats:
    """What 1/λ, σ/λ and κ/λ are multiplied with to give N/X."""
    return np.stack([np.ones_like(numbers), numbers - 1, numbers * (numbers - 1)], -1)


def _log_rate(numbers: Floats, laws: Floats) -> Floats:
    return np.asarray(np.log(numbers / (laws @ _terms(numbers).T)))


def _parameters(laws: Floats, farthest: float) -> Floats:
    """λ, σ, κ and N* of each law; N* is infinite where there is no peak up to so many clients."""
    inverse_rate, contention, coherency = laws.T
    peak = np.full_like(inverse_rate, inf)
    with np.errstate(over="ignore"):  # a coherency of next to nothing has its peak beyond all numbers
        np.divide(np.maximum(inverse_rate - contention, 0), coherency, out=peak, where=coherency > 0)
    peak = np.maximum(np.sqrt(peak), 1)
    peak[peak > farthest] = inf
    return np.stack([1 / inverse_rate, contention / inverse_rate, coherency / inverse_rate, peak], -1)


def _fit(numbers: Floats, logs: Floats) -> Floats:
    """A law for each of the first axis of `logs`, whose others are rounds and numbers of clients."""
    best, least = np.full((len(logs), 3), np.nan), np.full(len(logs), inf)
    for free in _FREE:
        laws, loss = _fit_these(numbers, logs, (0, *(i for i in (1, 2) if free[i - 1])))
        better = (laws[:, 0] > 0) & (laws[:, 1:].min(1) >= 0) & (loss < least)
        best[better] = laws[better]
        least[better] = loss[better] if free != _FREE[0] else -inf  # where both are in it, no other law comes nearer
    return best


def _fit_these(numbers: Floats, logs: Floats, columns: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Iteratively reweighted least squares of N/X on these terms, by relative errors. Returns laws and their loss."""
    terms, measured = _terms(numbers)[:, columns], numbers / np.exp(logs)
    products = terms[:, :, None] * terms[:, None]
    expected = np.broadcast_to(np.exp(np.log(measured).mean(1, keepdims=True)), measured.shape)
    weight = np.ones_like(measured)
    for _ in range(12):
        scaled = weight / expected**2
        left = np.tensordot(scaled.sum(1), products, 1)
        right = (scaled * measured).sum(1) @ terms
        coefficients = np.linalg.solve(left, right[..., None])[..., 0]
        expected = np.maximum((coefficients @ terms.T)[:, None], measured.min() * 1e-3) + 0 * measured
        errors = measured / expected - 1
        scatter = np.median(np.abs(errors), (1, 2))[:, None, None] / 0.6745 + 1e-12
        weight = np.minimum(1, HUBER * scatter / np.maximum(np.abs(errors), 1e-12))
    laws = np.zeros((len(logs), 3))
    laws[:, columns] = coefficients
    size = np.abs(np.log(measured / expected))
    return laws, _huber(size, HUBER * np.median(np.abs(logs - np.median(logs, 1, keepdims=True)), (1, 2)) + 1e-9)


def _huber(size: Floats, bend: Floats) -> Floats:
    bend = bend[:, None, None]
    return np.asarray(np.where(size <= bend, size**2 / 2, bend * (size - bend / 2)).sum((1, 2)))


# ---- what else it might have been -------------------------------------------------------------------------------


def _resampled(errors: Floats, generator: np.random.Generator) -> Floats:
    """Errors as they might have been: whole rounds drawn anew, and what the law does not explain with other signs.

    Both are larger than seen, by as much as the fit and the small numbers, of rounds and of points, make them look
    small.
    """
    rounds, numbers = errors.shape
    unexplained = np.median(errors, 0)
    scattered = (errors - unexplained) * (np.sqrt(rounds / (rounds - 1)) if rounds > 1 else 1)
    if numbers > 3:
        unexplained = unexplained * np.sqrt(numbers / (numbers - 3)) * _inflation(numbers - 3)
    elif rounds > 1:
        scattered = scattered * _inflation(rounds - 1)  # the only source of doubt that is left
    drawn = scattered[generator.integers(0, rounds, (DRAWS, rounds))]
    return np.asarray(drawn + generator.choice((-1.0, 1.0), (DRAWS, 1, numbers)) * unexplained)


def _inflation(freedom: int) -> float:
    """By how much Student's t is wider than the normal distribution."""
    return student(freedom, LEVEL) / NormalDist().inv_cdf((1 + LEVEL) / 2)


def _interval(value: float, draws: Floats, level: float) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(float(min(low, value)), float(value), float(max(high, value)), level)


# ---- what to doubt ----------------------------------------------------------------------------------------------


def _doubts(numbers: Floats, logs: Floats, errors: Floats, shares: tuple[Interval, Interval]) -> tuple[str, ...]:
    warnings = [_not_tested(numbers, len(errors)), _not_explained(numbers, errors), _superlinear(numbers, logs)]
    lows = [share.low for share in shares if share.low is not None]
    if max(lows, default=0.0) < MIN_SHARE < max(share.value for share in shares):
        warnings.append(
            "these rates do not tell contention from coherency: either alone would explain them; measure more clients"
        )
    return tuple(warning for warning in warnings if warning)


def _superlinear(numbers: Floats, logs: Floats) -> str:
    """Where each client does more among more, of which the law knows nothing.

    Gunther, Puglia & Tomasette, "Hadoop superlinear scalability", ACM Queue 13, 2015.
    """
    for_each = np.exp(logs) / numbers
    for i in range(len(numbers) - 1):
        change = ratio(for_each[:, i + 1], for_each[:, i])
        if change.differs and change.interval.value > 1.02:
            return (
                f"with {numbers[i + 1]:g} clients each does more than with {numbers[i]:g}, "
                "which this law cannot describe"
            )
    return ""


def _not_tested(numbers: Floats, rounds: int) -> str:
    if len(numbers) == 3:
        return "three numbers of clients fit some such law always: nothing tests it"
    return "one round does not tell how much another would differ: the intervals are too narrow" if rounds == 1 else ""


def _not_explained(numbers: Floats, errors: Floats) -> str:
    """Where the law is off by more than the rounds scatter: an analysis of variance, its limit about F's at 99 %."""
    rounds, points = errors.shape
    if rounds == 1 or points == 3:
        return ""
    missed = errors.mean(0)
    within = (errors - errors.mean(1, keepdims=True) - missed + errors.mean()).var() * rounds / (rounds - 1)
    share = float(missed @ missed) / (points - 3) / (within / rounds + 1e-12)
    worst = int(np.argmax(np.abs(missed)))
    if share < 8 or abs(missed[worst]) < 0.02:
        return ""
    return (
        f"the law is {abs(missed[worst]):.0%} off at {numbers[worst]:g} clients, more than rounds scatter: "
        "do not predict with it"
    )
