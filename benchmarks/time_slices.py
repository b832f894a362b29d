"""How long should a time slice be? What short slices gain in noise, and what they cost in cold caches, on this machine.

    python benchmarks/time_slices.py            # two minutes
    python benchmarks/time_slices.py --quick    # a look at whether it works

*Noise.* One loop of Python runs again and again on one processor, and nothing else. Its times are dealt out to two
sides, which are equal by construction, in slices (ABBA) of each length: by how much do their sums differ? That is what
the machine itself puts into every comparison.

*Cold caches.* Servers of two protocols run side by side and have the load in slices of each length, the lengths in a
shuffled order on the same servers: how much more processor time does a message take than in the longest slices?
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

NOISE_SLICES_S = (0.005, 0.01, 0.02, 0.05, 0.1)
COLD_SLICES_S = NOISE_SLICES_S[1:]  # shorter ones do not answer a client of gRPC eight times, and are made longer
EACH_S = 0.4  # that a side has in all
PROTOCOLS = ("text", "grpc")

LoopTime = tuple[float, float]  #: when a loop began, and how long it took, in s


def one_loop() -> float:
    """The seconds of processor time that the same work takes now."""
    before = time.thread_time()
    for number in range(5000):
        number * number
    return time.thread_time() - before


def loop_times(seconds: float) -> list[LoopTime]:
    """One loop after the other, on one processor."""
    times: list[LoopTime] = []
    began = time.perf_counter()
    with pinned_to(cores()[-1:]):
        while (now := time.perf_counter() - began) < seconds:
            times.append((now, one_loop()))
    return times


def differences(times: list[LoopTime], slice_s: float) -> list[float]:
    """The logarithm of the ratio of two equal sides in slices of this length, once for each time that both had all."""
    sides: dict[int, tuple[list[float], list[float]]] = {}
    for at, took in times:
        side = (0, 1, 1, 0)[int(at / slice_s) % 4]
        sides.setdefault(int(at / (2 * EACH_S)), ([], []))[side].append(took)
    whole = list(sides.values())[:-1]
    return [math.log(statistics.mean(one) / statistics.mean(other)) for one, other in whole]


def one_after_the_other(times: list[LoopTime]) -> list[float]:
    """The same without slices: first all of the one side, then all of the other."""
    sides: dict[int, list[float]] = {}
    for at, took in times:
        sides.setdefault(int(at / EACH_S), []).append(took)
    whole = list(sides.values())[:-1]
    return [math.log(statistics.mean(one) / statistics.mean(other)) for one, other in zip(whole[::2], whole[1::2])]


def print_noise(seconds: float) -> None:
    times = loop_times(seconds)
    took_us = sorted(1e6 * took for _, took in times)
    tenth = len(took_us) // 10
    print(
        f"  one loop: {took_us[len(took_us) // 2]:.0f} µs in the median, "
        f"{took_us[tenth]:.0f} to {took_us[-tenth]:.0f} in eight of ten cases"
    )
    for slice_s in NOISE_SLICES_S:
        scatter = statistics.stdev(differences(times, slice_s))
        print(f"  two equal sides of {EACH_S} s in slices of {1000 * slice_s:3.0f} ms differ by {scatter:.1%}")
    print(f"  one after the other: by {statistics.stdev(one_after_the_other(times)):.1%}")


def print_cold_caches(rounds: int, seed: int) -> None:
    shuffled, load = random.Random(seed), Workload(clients=1, seconds=EACH_S)
    cpu_us: dict[tuple[str, float], list[float]] = {}
    for _ in range(rounds):
        order = shuffled.sample(PROTOCOLS, len(PROTOCOLS))
        testbeds = [Testbed(resolve(protocol), generator="light") for protocol in order]
        with contextlib.ExitStack() as stack:
            together = stack.enter_context(InterleavedTestbeds(testbeds))
            for slice_s in shuffled.sample(COLD_SLICES_S, len(COLD_SLICES_S)):
                together.slice_s = slice_s
                for name, measured in together.run(load):
                    cpu_us.setdefault((name, slice_s), []).append(measured.server_cpu_us)
    for protocol in PROTOCOLS:
        longest = cpu_us[protocol, COLD_SLICES_S[-1]]
        for slice_s in COLD_SLICES_S[:-1]:
            shares = [100 * (short / long - 1) for short, long in zip(cpu_us[protocol, slice_s], longest)]
            print(
                f"  {protocol:4} in slices of {1000 * slice_s:3.0f} ms: {location(shares):+.0f} % of the server's "
                "processor time for a message"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(current_environment())
    print("Noise:")
    print_noise(4 if args.quick else 40)
    print(f"Cold caches, beside slices of {1000 * COLD_SLICES_S[-1]:.0f} ms, with 95 % intervals:")
    print_cold_caches(2 if args.quick else 12, args.seed)


if __name__ == "__main__":
    main()
