"""What more clients would do to the rate: Gunther's universal scalability law, fitted, with its doubts.

    X(N) = λ N / (1 + σ (N - 1) + κ N (N - 1))

λ is the rate of one client; σ, contention, is the share of the work that has to wait in line; κ, coherency, is what each
pays for each other to stay in agreement. With κ the rate has a peak, at N* = √((1 - σ) / κ), and falls beyond it; without
it the rate nears λ / σ, which is Amdahl's law (Gunther, "Guerrilla Capacity Planning", 2007, chapters 4 to 6; Gunther, "A
general theory of computational scalability based on rational functions", arXiv:0808.1431, 2008, for why these two suffice).

It is a law of queues, not of this machine: it cannot foresee the core, the memory or the buffer that ends, so it says
where it extrapolates. It knows no protocol, no clock and no file.

N / X is linear in 1/λ, σ/λ and κ/λ, and that is how it is fitted: by least squares on relative errors, reweighted so that
a round which went wrong pulls little (Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical
Statistics 35, 1964). σ and κ are not below 0: of the four laws with and without each, the best that has none below.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from statistics import NormalDist

import numpy as np

from .intervals import LEVEL, Interval, ratio, student

DRAWS = 1000
FARTHEST = 4  # times the most clients that were measured: beyond, a prediction is a guess
SMALLEST = 1e-6  # contention or coherency; less is none
HUBER = (
    1.345  # scatters from the law at which a measurement begins to lose weight: 95 % as good as none where all is well
)
_FREE = ((1, 1), (1, 0), (0, 1), (0, 0))  # whether σ and κ are in the law


@dataclass(frozen=True)
class Prediction:
    """The rate that the law foresees for a number of clients. `warning` is empty where that number was within those measured."""

    clients: float
    rate: Interval
    warning: str = ""

    def __str__(self):
        return f"{self.clients:g} clients: {self.rate:,.0f} a second" + (f" ({self.warning})" if self.warning else "")


@dataclass(frozen=True)
class Scaling:
    """The law, fitted to the rates of one protocol with several numbers of clients."""

    clients: tuple[float, ...]  #: that were measured
    lambda_: Interval  #: λ, the rate of one client
    contention: Interval  #: σ
    coherency: Interval  #: κ
    peak: Interval  #: N*, the number of clients with the highest rate; infinite where the law has no peak
    misfit: float  #: the most by which the typical rate of a number of clients is off the law; 0.05 is 5 %
    warnings: tuple[str, ...]
    bootstrap: np.ndarray = field(
        repr=False, compare=False
    )  #: of 1/λ, σ/λ and κ/λ: what might have been fitted as well

    def __call__(self, clients: float) -> float:
        """The rate that the law gives."""
        n = clients
        return self.lambda_.value * n / (1 + self.contention.value * (n - 1) + self.coherency.value * n * (n - 1))

    def predict(self, clients: float, level: float = LEVEL) -> Prediction:
        """The rate to expect with so many clients, measured or not, with a warning where that is beyond what was measured."""
        if not clients >= 1:
            raise ValueError(f"clients are 1 or more, not {clients!r}")
        might_be = clients / (self.bootstrap @ _terms(np.array([clients]))[0])
        return Prediction(clients, _interval(self(clients), might_be, level), self._beyond(clients))

    def _beyond(self, clients: float) -> str:
        least, most = self.clients[0], self.clients[-1]
        if least <= clients <= most:
            return ""
        warning = f"extrapolated: {least:g} to {most:g} clients were measured, and a limit that none of them met is not foreseen"
        return warning if clients <= FARTHEST * most else f"a guess, {warning}"

    @cached_property
    def verdict(self) -> str:
        """What the fit says, in a sentence."""
        peak, most = self.peak, self.clients[-1]
        if peak.value == inf or peak.high == inf:
            least = f", if there is one: at {peak.low:,.0f} or more" if peak.low != inf else ""
            return f"no peak is seen up to {most:g} clients{least}"
        where = "" if peak.value <= most else f", beyond the {most:g} that were measured"
        return f"the rate is highest with {peak:,.0f} clients{where}"

    def __str__(self):
        share = f"contention {self.contention * 100:.1f} %, coherency {self.coherency * 100:.3f} %"
        return "\n".join([f"one client {self.lambda_:,.0f} a second, {share}; {self.verdict}", *self.warnings])


def scaling(clients: Iterable[int], rates: Iterable[Sequence[float]], level: float = LEVEL, seed: int = 0) -> Scaling:
    """Fit the law: for each number of clients, the rates of the same rounds, in the same order.

    Only rates that the server has set, please, and not the clients' own limit. The intervals are by bootstrap over the
    rounds, and over what the law does not explain. Raises `ValueError` where there are fewer than three numbers of clients.
    """
    numbers, table = _checked(clients, rates)
    logs = np.log(table)  # a row for each round
    fitted = _fit(numbers, logs[None])
    law = _log_rate(numbers, fitted)[0]
    off = logs - law
    draws = _fit(numbers, law + _might_be(off, np.random.default_rng(seed)))
    value, cloud = _parameters(fitted)[0], _parameters(draws)
    alone, contention, coherency, peak = (_interval(value[i], cloud[:, i], level) for i in range(4))
    misfit = float(np.abs(np.median(off, 0)).max())
    doubts = _doubts(numbers, logs, off, (contention, coherency))
    return Scaling(tuple(numbers.tolist()), alone, contention, coherency, peak, misfit, doubts, draws)


def _checked(clients, rates) -> tuple[np.ndarray, np.ndarray]:
    numbers, rows = np.asarray(list(clients), float), [list(each) for each in rates]
    if len(set(numbers.tolist())) < 3 or len(set(numbers.tolist())) < len(numbers) or numbers.min() < 1:
        raise ValueError(
            f"a law with three unknowns needs three numbers of clients or more, each once, not {numbers.tolist()}"
        )
    if len(rows) != len(numbers) or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(f"each number of clients needs the rates of the same rounds, not {[len(row) for row in rows]}")
    table = np.array(rows, float).T[:, np.argsort(numbers)]
    if not (np.isfinite(table).all() and table.min() > 0):
        raise ValueError(f"a rate is above 0, not {table.min()}")
    return np.sort(numbers), table


# ---- the fit ----------------------------------------------------------------------------------------------------


def _terms(numbers: np.ndarray) -> np.ndarray:
    """What 1/λ, σ/λ and κ/λ are multiplied with to give N/X."""
    return np.stack([np.ones_like(numbers), numbers - 1, numbers * (numbers - 1)], -1)


def _log_rate(numbers: np.ndarray, laws: np.ndarray) -> np.ndarray:
    return np.log(numbers / (laws @ _terms(numbers).T))


def _parameters(laws: np.ndarray) -> np.ndarray:
    """λ, σ, κ and N* of each law."""
    first, wait, agree = laws.T
    with np.errstate(divide="ignore"):
        peak = np.sqrt(np.maximum(first - wait, 0) / agree, where=agree > 0, out=np.full_like(first, inf))
    return np.stack([1 / first, wait / first, agree / first, np.maximum(peak, 1)], -1)


def _fit(numbers: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """A law for each of the first axis of `logs`, whose others are rounds and numbers of clients."""
    best, least = np.full((len(logs), 3), np.nan), np.full(len(logs), inf)
    for free in _FREE:
        laws, loss = _fit_these(numbers, logs, (0, *(i for i in (1, 2) if free[i - 1])))
        better = (laws[:, 0] > 0) & (laws[:, 1:].min(1) >= 0) & (loss < least)
        best[better] = laws[better]
        least[better] = loss[better] if free != _FREE[0] else -inf  # where both are in it, no other law comes nearer
    return best


def _fit_these(numbers: np.ndarray, logs: np.ndarray, columns: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Iteratively reweighted least squares of N/X on these terms, by relative errors."""
    terms, told = _terms(numbers)[:, columns], numbers / np.exp(logs)
    products = terms[:, :, None] * terms[:, None]
    expected, weight = np.broadcast_to(np.exp(np.log(told).mean(1, keepdims=True)), told.shape), np.ones_like(told)
    for _ in range(12):
        scaled = weight / expected**2
        left = np.tensordot(scaled.sum(1), products, 1)
        right = (scaled * told).sum(1) @ terms
        some = np.linalg.solve(left, right[..., None])[..., 0]
        expected = np.maximum((some @ terms.T)[:, None], told.min() * 1e-3) + 0 * told
        off = told / expected - 1
        scatter = np.median(np.abs(off), (1, 2))[:, None, None] / 0.6745 + 1e-12
        weight = np.minimum(1, HUBER * scatter / np.maximum(np.abs(off), 1e-12))
    laws = np.zeros((len(logs), 3))
    laws[:, columns] = some
    size = np.abs(np.log(told / expected))
    return laws, _huber(size, HUBER * np.median(np.abs(logs - np.median(logs, 1, keepdims=True)), (1, 2)) + 1e-9)


def _huber(size: np.ndarray, bend: np.ndarray) -> np.ndarray:
    bend = bend[:, None, None]
    return np.where(size <= bend, size**2 / 2, bend * (size - bend / 2)).sum((1, 2))


# ---- what else it might have been -------------------------------------------------------------------------------


def _might_be(off: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Errors as they might have been: whole rounds drawn anew, and what the law does not explain with other signs.

    Both are larger than seen, by as much as the fit and the small numbers, of rounds and of points, make them look small.
    """
    rounds, numbers = off.shape
    unexplained = np.median(off, 0)
    scattered = (off - unexplained) * (np.sqrt(rounds / (rounds - 1)) if rounds > 1 else 1)
    if numbers > 3:
        unexplained = unexplained * np.sqrt(numbers / (numbers - 3)) * _wider(numbers - 3)
    elif rounds > 1:
        scattered = scattered * _wider(rounds - 1)  # the only source of doubt that is left
    drawn = scattered[chance.integers(0, rounds, (DRAWS, rounds))]
    return drawn + chance.choice((-1.0, 1.0), (DRAWS, 1, numbers)) * unexplained


def _wider(freedom: int) -> float:
    return student(freedom, LEVEL) / NormalDist().inv_cdf((1 + LEVEL) / 2)


def _interval(value: float, draws: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(float(min(low, value)), float(value), float(max(high, value)), level)


# ---- what to doubt ----------------------------------------------------------------------------------------------


def _doubts(
    numbers: np.ndarray, logs: np.ndarray, off: np.ndarray, shares: tuple[Interval, Interval]
) -> tuple[str, ...]:
    told = [_not_tested(numbers, len(off)), _not_explained(numbers, off), _not_in_its_words(numbers, logs)]
    if max(each.low for each in shares) < SMALLEST < max(each.value for each in shares):
        told.append(
            "these rates do not tell contention from coherency: either alone would explain them; measure more clients"
        )
    return tuple(each for each in told if each)


def _not_in_its_words(numbers: np.ndarray, logs: np.ndarray) -> str:
    """Where each client does more among more: of that the law knows nothing (Gunther, Puglia & Tomasette, ACM Queue 13, 2015)."""
    each = np.exp(logs) / numbers
    for i in range(len(numbers) - 1):
        more = ratio(each[:, i + 1], each[:, i])
        if more.differs and more.interval.value > 1.02:
            return f"with {numbers[i + 1]:g} clients each does more than with {numbers[i]:g}, for which this law has no word"
    return ""


def _not_tested(numbers: np.ndarray, rounds: int) -> str:
    if len(numbers) == 3:
        return "three numbers of clients fit some such law always: nothing tests it"
    return "one round does not tell how much another would differ: the intervals are too narrow" if rounds == 1 else ""


def _not_explained(numbers: np.ndarray, off: np.ndarray) -> str:
    """Where the law is off by more than the rounds scatter: an analysis of variance, its limit about that of F at 99 %."""
    rounds, points = off.shape
    if rounds == 1 or points == 3:
        return ""
    missed = off.mean(0)
    within = (off - off.mean(1, keepdims=True) - missed + off.mean()).var() * rounds / (rounds - 1)
    share = float(missed @ missed) / (points - 3) / (within / rounds + 1e-12)
    worst = int(np.argmax(np.abs(missed)))
    if share < 8 or abs(missed[worst]) < 0.02:
        return ""
    return f"the law is {abs(missed[worst]):.0%} off at {numbers[worst]:g} clients, more than rounds scatter: do not predict with it"
