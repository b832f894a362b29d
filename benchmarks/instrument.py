"""The instrument proved on real servers: it finds no difference where there is none, finds a planted one, sees a stall.

    a-a     the same protocol under two names, again and again: in at most 5 % of the trials may it be called different
    slower  beside a server that does 10 % more work for each message: in at least 80 % of the trials it must be found
    stall   a server that stands still for 500 ms: an open loop's p99 is what arithmetic says it must be, within 10 %,
            and a closed loop does not show it

    python benchmarks/instrument.py                   # all three, 100 trials: about forty minutes
    python benchmarks/instrument.py --quick           # 6 trials: a look at whether it works, and no proof
    python benchmarks/instrument.py stall

A trial is one `chatlab.compare` of the protocols, with a seed of its own that decides the order: in each round a fresh
server process, a fresh load worker and fresh connections for each. The verdict is the comparison's own, on the server's
processor time for a message; what it would have been on the rate is printed beside it and judges nothing. Both proofs
use the same trials where both are asked for: the twin and the slower one are each compared with "one".

Everything runs on one processor, so that which process waits for which does not depend on which of two processors is
ahead: with a processor each, the same server's cost for a message varies by a tenth and more with how many messages one
wake-up finds.
"""

import argparse
import contextlib
import math
import os
import signal
import statistics
import sys
import threading
import time
import timeit
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chatlab
from chatlab.codecs.text import TextCodec
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.results.environment import cores, cpu_ticks, current_environment, stolen_share
from chatlab.measurement.stats.intervals import Ratio, rounds_needed
from chatlab.messages import Message, Sent

PLANTED = 0.10  # of the server's processor time for a message
EXTRA_WORK = "CHATLAB_EXTRA_WORK"  # environment variable: the share that the slower server uses beside its own work
TRIED_EXTRA_WORK, TRIED_ROUNDS = 0.2, 40
MAX_FALSE, MIN_FOUND = 0.05, 0.80  # called different though equal; found of what was planted
SLICE_S = 0.02  # twins find their caches equally cold, so it may be short
STALL_S, STALL_AFTER_S, LASTS_S = 0.5, 2.0, 5.0
METRICS = ("server_cpu_us", "rate")  # the first is what the verdicts are about


class One(TextCodec):
    """The text protocol with a server that uses a share `extra_work` more of the processor than it needs.

    Whenever it has accepted messages it looks how much it has used since the last time, and uses that share in
    addition: the same share however fast the machine is just then.
    """

    name = "one"
    extra_work = 0.0
    _until_ns = _clock_ns = 0

    def encode(self, tag: int | None, message: Message) -> bytes:
        if type(message) is Sent:
            self._work()
        return super().encode(tag, message)

    def encode_all(self, waiting: Any) -> bytes:
        if any(type(message) is Sent for _, message in waiting):
            self._work()
        return super().encode_all(waiting)

    def _work(self) -> None:
        if not self._until_ns:
            self._clock_ns = round(min(timeit.repeat(time.process_time_ns, number=1000, repeat=20)) * 1e6)
            self._until_ns = time.process_time_ns()
        now_ns = time.process_time_ns()
        extra_ns = int(self.extra_work * (now_ns - self._until_ns))
        until_ns = now_ns + extra_ns - self._clock_ns  # a loop stops half a pass too late
        while now_ns < until_ns:
            now_ns = time.process_time_ns()
        self._until_ns = now_ns


class Twin(One):
    """The same under another name."""

    name = "twin"


class Slower(One):
    """The same with more work for each message: so much that it takes a tenth more in all (see `plant`)."""

    name = "slower"
    extra_work = float(os.environ.get(EXTRA_WORK, "0"))


# ---- comparisons ------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """The verdicts on one protocol beside "one", a trial at a time."""

    ratios: dict[str, list[Ratio]] = field(default_factory=lambda: {metric: [] for metric in METRICS})

    def add(self, comparison: chatlab.Comparison, other: str) -> None:
        for metric, ratios in self.ratios.items():
            with contextlib.suppress(ValueError):  # generator-limited
                ratios.append(comparison.ratio(other, "one", metric=metric))

    def sure(self, metric: str = METRICS[0], only_more: bool = False) -> int:
        """In how many trials it was called different; with `only_more`, in the right direction."""
        return sum(found.differs and (found.interval.value > 1 or not only_more) for found in self.ratios[metric])

    def noise(self, metric: str = METRICS[0]) -> float:
        """How much one side's rounds scatter beside the other's: the median of the trials."""
        return statistics.median(found.noise for found in self.ratios[metric] if found.noise is not None)

    def factor(self, metric: str = METRICS[0]) -> float:
        """How many times as much it has: the median of the trials."""
        return statistics.median(found.interval.value for found in self.ratios[metric])


def prove_comparisons(wanted: list[str], args: argparse.Namespace) -> dict[str, bool]:
    """The proofs of those names, from trials that they share."""
    with _one_processor():
        if "slower" in wanted:
            plant(args)
        others = [other for proof, other in (("a-a", "twin"), ("slower", "slower")) if proof in wanted]
        tallies = {name: Tally() for name in others}
        before, began_s = cpu_ticks(), time.monotonic()
        done = 0
        try:
            for number in range(args.trials):
                compared = _compare(others, args, args.seed + number, args.rounds)
                for name, tally in tallies.items():
                    tally.add(compared, name)
                done += not compared.partial
                verdicts = "; ".join(f"{name} {tally.ratios[METRICS[0]][-1]}" for name, tally in tallies.items())
                print(f"  {number + 1:4}  {verdicts}", flush=True)
                if compared.partial:
                    break
        except KeyboardInterrupt:
            pass
        if not done:
            raise KeyboardInterrupt
    holds = {}
    if "twin" in tallies:
        holds["a-a"] = _judge_twin(tallies["twin"], done) and done == args.trials
    if "slower" in tallies:
        holds["slower"] = _judge_slower(tallies["slower"], done) and done == args.trials
    stolen, took_s = stolen_share(before, cpu_ticks()), time.monotonic() - began_s
    _print_noise(next(iter(tallies.values())), done, args, stolen, took_s)
    return holds


def _compare(others: list[str], args: argparse.Namespace, seed: int, rounds: int) -> chatlab.Comparison:
    """One client that writes to itself, with one message in flight: each message is the same work on any machine."""
    load = Workload(clients=1, seconds=args.seconds, warm_up_s=0.05, seed=seed)
    protocols = ["instrument:One", *(f"instrument:{name.capitalize()}" for name in others)]
    return chatlab.compare(*protocols, workload=load, rounds=rounds, generator="light", slice_s=SLICE_S)


@contextlib.contextmanager
def _one_processor() -> Iterator[None]:
    """Processes that are started inside run on the last processor that we have."""
    own = cores()
    if len(own) > 1:
        os.sched_setaffinity(0, own[-1:])
    try:
        yield
    finally:
        if len(own) > 1:
            os.sched_setaffinity(0, own)


def plant(args: argparse.Namespace) -> None:
    """Plant as much extra work as makes the slower server take a tenth more in all.

    First a fifth is tried, in as many rounds as five trials have: not all that is added need remain, because a server
    that answers later is woken less often. Raises `RuntimeError` where a fifth is not seen.
    """
    os.environ[EXTRA_WORK] = f"{TRIED_EXTRA_WORK}"
    tried = _compare(["slower"], args, args.seed - 1, TRIED_ROUNDS).ratio("slower", "one", metric=METRICS[0])
    if not tried.differs:
        raise RuntimeError(f"{TRIED_EXTRA_WORK:.0%} more work is not seen ({tried}): the server does not do it")
    extra_work = TRIED_EXTRA_WORK * math.log(1 + PLANTED) / math.log(tried.interval.value)
    os.environ[EXTRA_WORK] = f"{extra_work}"
    print(
        f"planted: with {TRIED_EXTRA_WORK:.0%} more work the server takes {tried}; so {extra_work:.1%} are planted, "
        "for a tenth",
        flush=True,
    )


def _judge_twin(tally: Tally, done: int) -> bool:
    sure = tally.sure()
    holds = sure <= MAX_FALSE * done
    what = f"called different in {sure} of {done} trials ({sure / done:.0%}); at most {MAX_FALSE:.0%} are allowed"
    _print_proof("a-a", holds, what, tally)
    return holds


def _judge_slower(tally: Tally, done: int) -> bool:
    found = tally.sure(only_more=True)
    holds = found >= MIN_FOUND * done
    what = f"found in {found} of {done} trials ({found / done:.0%}); at least {MIN_FOUND:.0%} are required"
    _print_proof("slower", holds, what, tally)
    print(f"        by the median of the trials it takes {tally.factor() - 1:+.1%} of processor time for a message")
    return holds


def _print_proof(name: str, holds: bool, what: str, tally: Tally) -> None:
    print(f"{name}: {'proved' if holds else 'NOT PROVED'}, by the server's processor time for a message: {what}")
    rates = tally.ratios["rate"]
    if rates:
        sure = f"called different in {tally.sure('rate')} of {len(rates)}, noise {tally.noise('rate'):.1%}"
        print(f"        by the rate, which judges nothing here: {sure}")


def _print_noise(tally: Tally, done: int, args: argparse.Namespace, stolen: float | None, took_s: float) -> None:
    noise = tally.noise()
    try:
        plan = f"a planted tenth takes {rounds_needed(noise, PLANTED)} rounds of that; these had {args.rounds}"
    except ValueError as error:
        plan = f"{error}"
    host = "" if stolen is None else f"; {stolen:.1%} of the processors' time was stolen by the host"
    print(
        f"noise: the rounds of a side scatter by {noise:.1%} beside the other's; {plan}{host}; "
        f"load {os.getloadavg()[0]:.1f} at the end"
    )
    print(f"time: {took_s / done:.1f} s for a trial, {took_s / 60:.1f} minutes for {done}")


# ---- a stall ----------------------------------------------------------------------------------------------------


def prove_stall(args: argparse.Namespace) -> bool:
    """Of requests due evenly during T seconds, 1 % wait longer than S - T / 100 where the server stands still for S."""
    holds = True
    for _ in range(args.stalls):
        open_ms, _, stood_s = stalled(Workload(clients=4, rate=400, seconds=LASTS_S, warm_up_s=0.5))
        closed_ms, closed_longest_ms, _ = stalled(Workload(clients=4, seconds=LASTS_S, warm_up_s=0.5))
        true_ms = 1000 * (stood_s - LASTS_S / 100)
        open_sees_it, closed_misses_it = abs(open_ms / true_ms - 1) <= 0.1, closed_ms < true_ms / 10
        proved = open_sees_it and closed_misses_it
        print(
            f"stall: {'proved' if proved else 'NOT PROVED'}: the server stood still for {1000 * stood_s:.0f} ms, so "
            f"p99 is {true_ms:.0f} ms in truth; an open loop says {open_ms:.0f} ms ({open_ms / true_ms - 1:+.1%}), a "
            f"closed one {closed_ms:.1f} ms, though its slowest request took {closed_longest_ms:.0f} ms"
        )
        holds &= proved
    return holds


def stalled(load: Workload) -> tuple[float, float, float]:
    """Measure a server that is stopped for a while.

    Returns the 99th percentile and the longest of the response times, in ms, and how long it was stopped, in s.
    """
    stopped_s = []
    with chatlab.serve("text", where="process", name="stalled") as server:
        assert server.pid is not None
        pid = server.pid

        def stop_and_continue() -> None:
            os.kill(pid, signal.SIGSTOP)
            began = time.perf_counter()
            time.sleep(STALL_S)
            os.kill(pid, signal.SIGCONT)
            stopped_s.append(time.perf_counter() - began)

        timer = threading.Timer(STALL_AFTER_S, stop_and_continue)
        timer.start()
        try:
            run = chatlab.measure(server, load, generator="light")
        finally:
            timer.join()
    (only,) = run.rounds
    return only.response_ms(99), only.response_ms(100), stopped_s[0]


# ---- all of it --------------------------------------------------------------------------------------------------


PROOFS = ("stall", "a-a", "slower")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=f"{', '.join(PROOFS)}; by default all of them")
    parser.add_argument(
        "--quick", action="store_true", help="6 trials and one stall: a look at whether it works, and no proof"
    )
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=8, help="of a trial")
    parser.add_argument("--seconds", type=float, default=0.3, help="that a protocol is measured in a round")
    parser.add_argument("--stalls", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; each has its own")
    args = parser.parse_args()
    if unknown := set(args.proofs) - set(PROOFS):
        parser.error(f"no proof is called {', '.join(unknown)}")
    if args.quick:
        args.trials, args.stalls = 6, 1
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of some thousand processes would compile chatlab anew
    wanted = args.proofs or list(PROOFS)
    print(f"{current_environment(load=os.getloadavg()[0])}")
    holds = {"stall": prove_stall(args)} if "stall" in wanted else {}
    if set(wanted) & {"a-a", "slower"}:
        holds |= prove_comparisons(wanted, args)
    failed = [name for name, proved in holds.items() if not proved]
    is_quick = args.trials < 100 and set(wanted) != {"stall"}
    few = f" ({args.trials} trials are no proof of a-a and slower)" if is_quick else ""
    print(f"not proved: {', '.join(failed)}{few}" if failed else f"all proved{few}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
