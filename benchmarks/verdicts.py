"""Are the verdicts of a comparison true? On numbers whose truth is known, with noise of several kinds, thousands of times.

For each noise and number of rounds: how often the 95 % interval of a ratio covers the truth, how often a thing compared
with itself is called different (at most 5 % are promised), how often "perhaps" is said of it, and how often a planted
difference of 10 % is called. `instrument.py` asks the same of servers; what it can find depends on how much their rounds
scatter, and the last lines here say how many rounds that takes.

    python benchmarks/verdicts.py        # half a minute; ends with 1 where a promise does not hold
"""

import argparse
import sys
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chatlab.measurement.stats.intervals import ratio, rounds_needed

EFFECT = 0.10  # that is planted
FALSE, FOUND = 0.05, 0.80  # called between equals, at most; found of what was planted, at least, with rounds enough
PLANNED = (0.01, 0.02, 0.03, 0.04, 0.06, 0.1)  # noises of a side


class Shares(NamedTuple):
    """What share of the trials ended so."""

    covered: float  # the truth was within the interval
    called: float  # surely different
    perhaps: float


def _shuffled(course, chance, rounds):
    """A machine that changes from one trial to the next, its two sides in an order that is new in each round."""
    pairs, first = course.reshape(rounds, 2), chance.random(rounds) < 0.5
    return np.where(first, pairs.T, pairs.T[::-1]) + 0.02 * chance.standard_normal((2, rounds))


#: Logarithms of the two sides' rounds; they differ by nothing but noise.
NOISES = {
    "2 % normal": lambda chance, n: 0.02 * chance.standard_normal((2, n)),
    "3 % normal": lambda chance, n: 0.03 * chance.standard_normal((2, n)),
    "6 % normal": lambda chance, n: 0.06 * chance.standard_normal((2, n)),
    "lognormal slow-downs": lambda chance, n: -0.02 * np.exp(chance.standard_normal((2, n))),
    "wild (t, 2 degrees)": lambda chance, n: 0.02 * chance.standard_t(2, (2, n)),
    "hiccups: 1 in 10 loses 30 %": lambda chance, n: (
        0.02 * chance.standard_normal((2, n)) - 0.35 * (chance.random((2, n)) < 0.1)
    ),
    "30 % slower by the end": lambda chance, n: _shuffled(np.linspace(0, 0.3, 2 * n), chance, n),
    "a random walk of 3 %": lambda chance, n: _shuffled(np.cumsum(0.03 * chance.standard_normal(2 * n)), chance, n),
}


def simulate(noise, rounds: int, effect: float, trials: int, seed: int) -> Shares:
    chance, found = np.random.default_rng(seed), []
    for _ in range(trials):
        a, b = noise(chance, rounds)
        found.append(ratio(np.exp(a + log(1 + effect)), np.exp(b)))
    counts = [
        sum(1 + effect in each.interval for each in found),
        sum(each.differs for each in found),
        sum(each.weak for each in found),
    ]
    return Shares(*(count / trials for count in counts))


def verdicts(args) -> bool:
    """The table, and whether no noise made the instrument call more than was promised."""
    print(
        f"{'noise of a side':30}{'rounds':>7}{'covered':>9}{'itself called':>15}{'and perhaps':>13}{'10 % found':>12}"
    )
    holds = True
    for name, noise in NOISES.items():
        for rounds in args.rounds:
            same, planted = (simulate(noise, rounds, effect, args.trials, args.seed) for effect in (0.0, EFFECT))
            print(
                f"{name:30}{rounds:7}{planted.covered:9.1%}{same.called:15.1%}{same.weak:13.1%}{planted.called:12.0%}"
            )
            holds &= same.called <= FALSE
    return holds


def plans(args) -> bool:
    """How many rounds find the planted tenth, and whether they do."""
    print(f"\n{'noise of a side':30}{'rounds':>7}{'10 % found':>12}")
    holds = True
    for noise in PLANNED:
        rounds = rounds_needed(noise, EFFECT, FOUND)
        found = simulate(
            lambda chance, n: noise * chance.standard_normal((2, n)), rounds, EFFECT, args.trials, args.seed
        )
        print(f"{noise:<30.0%}{rounds:7}{found.called:12.0%}")
        holds &= (
            found.called >= FOUND - 3 * (FOUND * (1 - FOUND) / args.trials) ** 0.5
        )  # what chance may take from so many
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=2000, help="for each noise and number of rounds")
    parser.add_argument("--rounds", type=int, nargs="+", default=[5, 7, 10, 15])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{args.trials:,} trials each, seed {args.seed}\n")
    holds = [verdicts(args), plans(args)]
    print("\nThe promises hold." if all(holds) else "\nA promise does not hold.")
    sys.exit(not all(holds))


if __name__ == "__main__":
    main()
