"""Are the verdicts of a comparison true? Tried thousands of times on numbers whose truth is known, with several noises.

For each noise and number of rounds: how often the 95 % interval of a ratio covers the truth, how often a protocol
compared with itself is called different (at most 5 % are promised), how often "perhaps" is said of it, and how often a
planted difference of 10 % is found. `instrument.py` asks the same of servers; what it can find depends on how much
their rounds scatter, and the last lines here say how many rounds that takes.

    python benchmarks/verdicts.py        # half a minute; ends with 1 where a promise does not hold
"""

import argparse
import sys
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chatlab.measurement.stats.intervals import ratio, rounds_needed

EFFECT = 0.10  # that is planted
MAX_FALSE, MIN_FOUND = 0.05, 0.80  # called different though equal; found of what was planted, with enough rounds
PLANNED_NOISES = (0.01, 0.02, 0.03, 0.04, 0.06, 0.1)  # of one side's rounds

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Floats]  #: (generator, rounds) -> logarithms of both sides' rounds


class Shares(NamedTuple):
    """What share of the trials ended so."""

    covered: float  # the truth was within the interval
    sure: float  # called different without "perhaps"
    weak: float  # called different with "perhaps"


def _drifting(drift: Floats, random: np.random.Generator, rounds: int) -> Floats:
    """A machine that changes from one trial to the next; the order of the two sides is new in each round."""
    pairs, is_first = drift.reshape(rounds, 2), random.random(rounds) < 0.5
    return np.where(is_first, pairs.T, pairs.T[::-1]) + 0.02 * random.standard_normal((2, rounds))


def normal(scatter: float) -> Noise:
    return lambda random, rounds: scatter * random.standard_normal((2, rounds))


#: The two sides differ by nothing but noise.
NOISES: dict[str, Noise] = {
    "2 % normal": normal(0.02),
    "3 % normal": normal(0.03),
    "6 % normal": normal(0.06),
    "lognormal slow-downs": lambda random, n: -0.02 * np.exp(random.standard_normal((2, n))),
    "heavy tails (t, 2 degrees)": lambda random, n: 0.02 * random.standard_t(2, (2, n)),
    "hiccups: 1 in 10 loses 30 %": lambda random, n: (
        0.02 * random.standard_normal((2, n)) - 0.35 * (random.random((2, n)) < 0.1)
    ),
    "30 % slower by the end": lambda random, n: _drifting(np.linspace(0, 0.3, 2 * n), random, n),
    "a random walk of 3 %": lambda random, n: _drifting(np.cumsum(0.03 * random.standard_normal(2 * n)), random, n),
}


def simulate(noise: Noise, rounds: int, effect: float, trials: int, seed: int) -> Shares:
    random = np.random.default_rng(seed)
    ratios = []
    for _ in range(trials):
        a, b = noise(random, rounds)
        ratios.append(ratio(np.exp(a + log(1 + effect)), np.exp(b)))
    return Shares(
        covered=sum(1 + effect in found.interval for found in ratios) / trials,
        sure=sum(found.differs for found in ratios) / trials,
        weak=sum(found.weak for found in ratios) / trials,
    )


def print_verdicts(args: argparse.Namespace) -> bool:
    """Print the table. Returns whether no noise made the instrument call more different than was promised."""
    print(f"{'noise of a side':30}{'rounds':>7}{'covered':>9}{'itself sure':>13}{'and perhaps':>13}{'10 % found':>12}")
    holds = True
    for name, noise in NOISES.items():
        for rounds in args.rounds:
            same, planted = (simulate(noise, rounds, effect, args.trials, args.seed) for effect in (0.0, EFFECT))
            print(f"{name:30}{rounds:7}{planted.covered:9.1%}{same.sure:13.1%}{same.weak:13.1%}{planted.sure:12.0%}")
            holds &= same.sure <= MAX_FALSE
    return holds


def print_plans(args: argparse.Namespace) -> bool:
    """Print how many rounds find the planted tenth. Returns whether they do."""
    print(f"\n{'noise of a side':30}{'rounds':>7}{'10 % found':>12}")
    holds = True
    by_chance = 3 * (MIN_FOUND * (1 - MIN_FOUND) / args.trials) ** 0.5
    for noise in PLANNED_NOISES:
        rounds = rounds_needed(noise, EFFECT, MIN_FOUND)
        planted = simulate(normal(noise), rounds, EFFECT, args.trials, args.seed)
        print(f"{noise:<30.0%}{rounds:7}{planted.sure:12.0%}")
        holds &= planted.sure >= MIN_FOUND - by_chance
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=2000, help="for each noise and number of rounds")
    parser.add_argument("--rounds", type=int, nargs="+", default=[5, 7, 10, 15])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{args.trials:,} trials each, seed {args.seed}\n")
    holds = [print_verdicts(args), print_plans(args)]
    print("\nThe promises hold." if all(holds) else "\nA promise does not hold.")
    sys.exit(not all(holds))


if __name__ == "__main__":
    main()
