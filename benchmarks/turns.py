"""How long should a turn be? What short turns gain in noise, and what they cost in cold caches, on this machine.

    python benchmarks/turns.py            # two minutes
    python benchmarks/turns.py --quick    # a look at whether it works

*Noise.* One loop of Python runs again and again on one processor, and nothing else. It is dealt out to two sides, which are
so equal by construction, in turns (ABBA) of each length: by how much do their sums differ? That is what the machine itself
puts into every comparison.

*Cold caches.* Servers of two protocols stand side by side and take turns of each length, the lengths in a shuffled order on
the same servers: how much more processor time does a message take than in the longest turns?
"""

import argparse
import contextlib
import math
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chatlab.measurement.load.workload import Workload
from chatlab.measurement.results.environment import cores, current_environment
from chatlab.measurement.stats.intervals import location
from chatlab.measurement.testbed import InterleavedTestbeds, Testbed, pinned_to
from chatlab.transport.registry import resolve

TURNS_S = (0.005, 0.01, 0.02, 0.05, 0.1)
COLD_S = TURNS_S[1:]  # shorter ones do not answer a client of gRPC eight times, and are made longer
EACH_S = 0.4  # that a side has in all
PROTOCOLS = ("text", "grpc")


def one_loop() -> float:
    """The seconds of processor time that the same work takes now."""
    before = time.thread_time()
    for number in range(5000):
        number * number
    return time.thread_time() - before


def loops(seconds: float) -> list[tuple[float, float]]:
    """When each loop began, and how long it took, on one processor."""
    found, began = [], time.perf_counter()
    with pinned_to(cores()[-1:]):
        while (now := time.perf_counter() - began) < seconds:
            found.append((now, one_loop()))
    return found


def differences(found: list[tuple[float, float]], slice_s: float) -> list[float]:
    """The logarithm of the ratio of two equal sides that took turns, once for each time that both have had all of theirs."""
    sums: dict[int, tuple[list[float], list[float]]] = {}
    for at, took in found:
        side = (0, 1, 1, 0)[int(at / slice_s) % 4]
        sums.setdefault(int(at / (2 * EACH_S)), ([], []))[side].append(took)
    whole = list(sums.values())[:-1]
    return [math.log(statistics.mean(one) / statistics.mean(other)) for one, other in whole]


def tell_noise(seconds: float) -> None:
    found = loops(seconds)
    took_us = sorted(1e6 * took for _, took in found)
    tenth = len(took_us) // 10
    middle = took_us[len(took_us) // 2]
    print(
        f"  one loop: {middle:.0f} µs in the median, {took_us[tenth]:.0f} to {took_us[-tenth]:.0f} in eight of ten cases"
    )
    for slice_s in TURNS_S:
        scatter = statistics.stdev(differences(found, slice_s))
        print(f"  two equal sides of {EACH_S} s in turns of {1000 * slice_s:3.0f} ms differ by {scatter:.1%}")
    half = [math.log(statistics.mean(one) / statistics.mean(other)) for one, other in one_after_the_other(found)]
    print(f"  one after the other: by {statistics.stdev(half):.1%}")


def one_after_the_other(found: list[tuple[float, float]]) -> list[tuple[list[float], list[float]]]:
    """The same without turns: first all of the one side, then all of the other."""
    pieces: dict[int, list[float]] = {}
    for at, took in found:
        pieces.setdefault(int(at / EACH_S), []).append(took)
    whole = list(pieces.values())[:-1]
    return list(zip(whole[::2], whole[1::2]))


def tell_cold(rounds: int, seed: int) -> None:
    shuffled, load = random.Random(seed), Workload(clients=1, seconds=EACH_S)
    cpu_us: dict[tuple[str, float], list[float]] = {}
    for _ in range(rounds):
        benches = [
            Testbed(resolve(protocol), generator="light") for protocol in shuffled.sample(PROTOCOLS, len(PROTOCOLS))
        ]
        with contextlib.ExitStack() as opened:
            stand = opened.enter_context(InterleavedTestbeds(benches))
            for slice_s in shuffled.sample(COLD_S, len(COLD_S)):
                stand.slice_s = slice_s
                for name, found in stand.run(load):
                    cpu_us.setdefault((name, slice_s), []).append(found.server_cpu_us)
    for protocol in PROTOCOLS:
        longest = cpu_us[protocol, COLD_S[-1]]
        for slice_s in COLD_S[:-1]:
            more = location([100 * (short / long - 1) for short, long in zip(cpu_us[protocol, slice_s], longest)])
            print(
                f"  {protocol:4} in turns of {1000 * slice_s:3.0f} ms: {more:+.0f} % of the server's processor time for a message"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(current_environment())
    print("Noise:")
    tell_noise(4 if args.quick else 40)
    print(f"Cold caches, beside turns of {1000 * COLD_S[-1]:.0f} ms, with 95 % intervals:")
    tell_cold(2 if args.quick else 12, args.seed)


if __name__ == "__main__":
    main()
