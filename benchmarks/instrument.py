"""Is the instrument true? It is asked for what is known beforehand: nothing between twins, and a tenth where it was planted.

First on numbers, with noise of several kinds and in thousands of trials: how often the 95 % interval of a ratio covers the
truth, how often a thing compared with itself is called different, how often a planted difference of 10 % is called.
Then, with `--real`, the same on servers: the text protocol against itself under another name, and against itself with
server work planted in it, calibrated to a tenth of what a message costs the server.

    python benchmarks/instrument.py                            # numbers only: about a minute
    python benchmarks/instrument.py --real --minutes 20        # and servers, as many trials as there is time for

It ends with 1 where a promise does not hold: at most 5 % called between twins, at least 80 % of the planted tenths found.
"""

import argparse
import os
import statistics
import sys
import time
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from twins import BURN, Slower, Twin  # noqa: E402

import chatlab  # noqa: E402
from chatlab.uncertainty import Ratio, ratio, rounds_needed, typical  # noqa: E402

EFFECT = 0.10  # that is planted
FALSE, FOUND = 0.05, 0.80  # what is promised: at most, and at least
CALIBRATION_ROUNDS = 7


class Tally(NamedTuple):
    """What the instrument said in many trials whose truth is known."""

    trials: int
    called: int  # surely different
    perhaps: int
    covered: int  # the truth was within the interval

    @classmethod
    def of(cls, ratios: list[Ratio], truth: float) -> "Tally":
        return cls(
            len(ratios),
            sum(each.differs for each in ratios),
            sum(each.perhaps for each in ratios),
            sum(truth in each.interval for each in ratios),
        )


# ---- on numbers -------------------------------------------------------------------------------------------------


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
    "hiccups: 1 in 10 loses 30 %": lambda chance, n: 0.02 * chance.standard_normal((2, n)) - 0.35 * (chance.random((2, n)) < 0.1),
    "30 % slower by the end": lambda chance, n: _shuffled(np.linspace(0, 0.3, 2 * n), chance, n),
    "a random walk of 3 %": lambda chance, n: _shuffled(np.cumsum(0.03 * chance.standard_normal(2 * n)), chance, n),
}


def simulated(args) -> bool:
    print(f"On numbers, {args.simulations:,} trials each\n")
    print(f"{'noise of a side':30}{'rounds':>7}{'covered':>9}{'itself called':>15}{'and perhaps':>13}{'10 % found':>12}")
    holds = True
    for name, noise in NOISES.items():
        for rounds in args.simulated_rounds:
            same, planted = (_simulate(noise, rounds, effect, args) for effect in (0.0, EFFECT))
            shares = [each / args.simulations for each in (planted.covered, same.called, same.perhaps, planted.called)]
            print(f"{name:30}{rounds:7}{shares[0]:9.1%}{shares[1]:15.1%}{shares[2]:13.1%}{shares[3]:12.0%}")
            holds &= shares[1] <= FALSE
    print("\nRounds that find a difference of 10 % in four of five trials, by the noise of a side beside the other:")
    print(", ".join(f"{noise:.0%}: {rounds_needed(noise, EFFECT)}" for noise in (0.01, 0.02, 0.03, 0.04, 0.06, 0.1)))
    return holds


def _simulate(noise, rounds: int, effect: float, args) -> Tally:
    chance, found = np.random.default_rng(args.seed), []
    for _ in range(args.simulations):
        a, b = noise(chance, rounds)
        found.append(ratio(np.exp(a + log(1 + effect)), np.exp(b)))
    return Tally.of(found, 1 + effect)


# ---- on servers -------------------------------------------------------------------------------------------------


def real(args) -> bool:
    """Twins for half of the time, and then the planted tenth; each trial is a whole comparison with fresh servers."""
    load = chatlab.Workload(clients=2, seconds=args.seconds, warm_up_s=0.05)
    holds = True
    same = trials(Twin, load, args, "twins")
    for of, found in same.items():
        tally = Tally.of(found, 1.0)
        print(f"text and its twin, {of}: {tally.called} of {tally.trials} called, {tally.perhaps} perhaps; {_noise(found)}")
        holds &= tally.called <= FALSE * tally.trials
    os.environ[BURN] = str(calibrated(load))
    planted = trials(Slower, load, args, "planted")
    for of, found in planted.items():
        tally = Tally.of(found, 1 + EFFECT)
        typically = statistics.median(each.interval.value for each in found)
        print(f"text and slower, {of}: {tally.called} of {tally.trials} found, typically × {typically:.3f}; {_noise(found)}")
    found = Tally.of(planted["server_cpu_us"], 1 + EFFECT)
    return holds and found.called >= FOUND * found.trials


def trials(other: type, load, args, name: str) -> dict[str, list[Ratio]]:
    """Compare text with the other again and again, until there are enough trials or half of the minutes are over."""
    found: dict[str, list[Ratio]] = {"server_cpu_us": [], "rate": []}
    end = time.monotonic() + 30 * args.minutes
    for number in range(args.trials):
        if time.monotonic() > end:
            print(f"Only {number} of {args.trials} trials in {args.minutes / 2:g} minutes.")
            break
        print(f"\r\033[K{name}: trial {number + 1} of {args.trials}", end="", file=sys.stderr, flush=True)
        for of, values in one_trial(other, load, args.seed + number, args.rounds).items():
            found[of].append(ratio(*values))
    print("\r\033[K", end="", file=sys.stderr)
    return found


def one_trial(other: type, load, seed: int, rounds: int) -> dict[str, list[list[float]]]:
    """The other's rounds and text's. Rates are what the pair of them gave, whoever set them; here it is a relation that counts."""
    from dataclasses import replace

    compared = chatlab.compare(["text", other], replace(load, seed=seed), [load.clients], rounds)
    sides = [compared[name, load.clients].rounds for name in (other.name, "text")]
    return {of: [[getattr(each, of) for each in side] for side in sides] for of in ("server_cpu_us", "rate")}


def calibrated(load) -> int:
    """Nanoseconds of planted work for each message: a tenth of what a message costs the server, less the work of planting."""
    own, empty = (chatlab.measure(each, load, rounds=CALIBRATION_ROUNDS) for each in ("text", Slower))
    costs = [typical([each.server_cpu_us for each in run.rounds]) for run in (own, empty)]
    planting_us = max(0.0, costs[1].value - costs[0].value)
    burn_ns = round(1e3 * max(0.0, EFFECT * costs[0].value - planting_us))
    print(f"A message costs the server {costs[0]:.1f} µs, with the planted loop empty {costs[1]:.1f} µs: {burn_ns:,} ns are planted.")
    return burn_ns


def _noise(found: list[Ratio]) -> str:
    noise = statistics.median(each.noise for each in found)
    return f"a side's rounds scatter by {noise:.1%}, so that 10 % take {rounds_needed(noise, EFFECT)} rounds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000, help="trials on numbers, for each noise and number of rounds")
    parser.add_argument("--simulated-rounds", type=int, nargs="+", default=[5, 7, 10, 15])
    parser.add_argument("--real", action="store_true", help="compare servers too")
    parser.add_argument("--trials", type=int, default=100, help="comparisons of servers, of each kind")
    parser.add_argument("--rounds", type=int, default=7, help="in each comparison of servers")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each round")
    parser.add_argument("--minutes", type=float, default=20, help="after which no new comparison of servers begins")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    holds = simulated(args)
    if args.real:
        print("\nOn servers\n")
        holds &= real(args)
    print("\nThe promises hold." if holds else "\nA promise does not hold.")
    sys.exit(not holds)


if __name__ == "__main__":
    main()
