"""The instrument proved, on real servers: it finds no difference where there is none, finds one that was planted, and sees
a stall.

    a-a     the same protocol under two names, again and again: in at most 5 % of the trials may a difference be called
    slower  beside a server that does 10 % more work for each message: in at least 80 % of the trials it must be found
    stall   a server that stands still for 500 ms: an open loop's p99 is what arithmetic says it must be, within 10 %, and
            a closed loop does not show it

    python benchmarks/instrument.py                   # all three, 100 trials: about forty minutes
    python benchmarks/instrument.py --quick           # 6 trials: a look at whether it works, and no proof
    python benchmarks/instrument.py stall

A trial is one `chatlab.compare` of the protocols, with a seed of its own that decides the order: in each round a fresh
server process, a fresh generator and fresh connections for each. The verdict is the comparison's own, on the server's
processor time for a message; what it would have been on the rate is told beside it and judges nothing. Both proofs use
the same trials where both are asked for: the twin and the slower one are each compared with "one".

Everything runs on one processor, so that who waits for whom does not depend on which of two processors is ahead: with a
processor each, the same server's cost for a message varies by a tenth and more with how many messages one wake-up finds.
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
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chatlab
from chatlab.codecs.text import TextCodec
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.results.environment import cores, cpu_ticks, current_environment, stolen_share
from chatlab.measurement.stats.intervals import Ratio, rounds_needed
from chatlab.messages import Sent

PLANTED = 0.10  # of the server's processor time for a message
DOSE = "CHATLAB_DOSE"  # the share that the slower server uses in addition to its own work
TRIED_DOSE, TRIED_ROUNDS = 0.2, 40
FALSE, FOUND = 0.05, 0.80  # called between equals, at most; found of what was planted, at least
SLICE_S = 0.02  # twins find their caches equally cold, so it may be short
STALL_S, STALL_AFTER_S, LASTS_S = 0.5, 2.0, 5.0
NUMBERS = ("server_cpu_us", "rate")  # the first is what the verdicts are about


class One(TextCodec):
    """The text protocol with a server that looks, whenever it has accepted messages, how much of the processor it has used
    since the last time, and uses `more` of that in addition: the same share however fast the machine is just then.
    """

    name = "one"
    more = 0.0
    _until_ns = _clock_ns = 0

    def encode(self, tag, message):
        if type(message) is Sent:
            self._use_more()
        return super().encode(tag, message)

    def encode_all(self, waiting):
        if any(type(message) is Sent for _, message in waiting):
            self._use_more()
        return super().encode_all(waiting)

    def _use_more(self) -> None:
        if not self._until_ns:
            self._clock_ns = round(min(timeit.repeat(time.process_time_ns, number=1000, repeat=20)) * 1e6)
            self._until_ns = time.process_time_ns()
        now_ns = time.process_time_ns()
        until_ns = (
            now_ns + int(self.more * (now_ns - self._until_ns)) - self._clock_ns
        )  # a loop stops half a turn too late
        while now_ns < until_ns:
            now_ns = time.process_time_ns()
        self._until_ns = now_ns


class Twin(One):
    """And under another name."""

    name = "twin"


class Slower(One):
    """The same, with more work for each message: so much that it takes a tenth more in all (see `plant`)."""

    name = "slower"
    more = float(os.environ.get(DOSE, "0"))


# ---- comparisons ------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """The verdicts on one protocol beside "one", a trial at a time."""

    ratios: dict[str, list[Ratio]] = field(default_factory=lambda: {name: [] for name in NUMBERS})

    def add(self, found: chatlab.Comparison, other: str) -> None:
        for number, ratios in self.ratios.items():
            with contextlib.suppress(ValueError):  # the generator set it
                ratios.append(found.ratio(other, "one", metric=number))

    def called(self, of: str = NUMBERS[0], only_more: bool = False) -> int:
        """In how many trials a difference was called; `only_more` leaves out whoever says it is less."""
        return sum(each.differs and (each.interval.value > 1 or not only_more) for each in self.ratios[of])

    def noise(self, of: str = NUMBERS[0]) -> float:
        """How much one side's rounds scatter beside the other's: the median of the trials."""
        return statistics.median(each.noise for each in self.ratios[of])

    def centre(self, of: str = NUMBERS[0]) -> float:
        return statistics.median(each.interval.value for each in self.ratios[of])


def comparisons(wanted: list[str], args) -> dict[str, bool]:
    """The proofs of those names, from trials that they share."""
    with _one_processor():
        if "slower" in wanted:
            plant(args)
        others = [name for name in ("twin", "slower") if {"twin": "a-a", "slower": "slower"}[name] in wanted]
        tallies = {name: Tally() for name in others}
        before, began = cpu_ticks(), time.monotonic()
        done = 0
        try:
            for number in range(args.trials):
                load = _load(args, args.seed + number)
                found = chatlab.compare(
                    _named(others), workload=load, clients=1, rounds=args.rounds, generator="light", slice_s=SLICE_S
                )
                for name, tally in tallies.items():
                    tally.add(found, name)
                done += not found.partial
                said = "; ".join(f"{name} {tally.ratios[NUMBERS[0]][-1]}" for name, tally in tallies.items())
                print(f"  {number + 1:4}  {said}", flush=True)
                if found.partial:
                    break
        except KeyboardInterrupt:
            pass
        if not done:
            raise KeyboardInterrupt
    verdicts = {"twin": _a_a, "slower": _slower}
    holds = {}
    for name, tally in tallies.items():
        holds["a-a" if name == "twin" else name] = verdicts[name](tally, done) and done == args.trials
    _tell_noise(next(iter(tallies.values())), done, args, stolen_share(before, cpu_ticks()), time.monotonic() - began)
    return holds


def _named(others: list[str]) -> list[str]:
    return ["instrument:One", *(f"instrument:{name.capitalize()}" for name in others)]


def _load(args, seed: int) -> Workload:
    """One client that writes to itself, one message on its way: each message is the same work, however slow the machine is."""
    return Workload(clients=1, seconds=args.seconds, warm_up_s=0.05, seed=seed)


@contextlib.contextmanager
def _one_processor():
    """Whatever starts from here runs on the last processor that we have."""
    own = cores()
    if len(own) > 1:
        os.sched_setaffinity(0, own[-1:])
    try:
        yield
    finally:
        if len(own) > 1:
            os.sched_setaffinity(0, own)


def plant(args) -> None:
    """Find out how much more a server takes that does a fifth more, in as many rounds as five trials have; then plant as much
    as makes a tenth: not all that is added need remain, because who answers later is woken less often.

    Raises `RuntimeError` where a fifth is not seen.
    """
    os.environ[DOSE] = f"{TRIED_DOSE}"
    load = _load(args, args.seed - 1)
    compared = chatlab.compare(
        _named(["slower"]), workload=load, clients=1, rounds=TRIED_ROUNDS, generator="light", slice_s=SLICE_S
    )
    found = compared.ratio("slower", "one", metric=NUMBERS[0])
    if not found.differs:
        raise RuntimeError(
            f"a server that does {TRIED_DOSE:.0%} more is not seen to take more ({found}): it does not do it"
        )
    dose = TRIED_DOSE * math.log(1 + PLANTED) / math.log(found.interval.value)
    os.environ[DOSE] = f"{dose}"
    print(
        f"planted: with {TRIED_DOSE:.0%} more work the server takes {found}; so {dose:.1%} are planted, for a tenth",
        flush=True,
    )


def _a_a(tally: Tally, done: int) -> bool:
    called = tally.called()
    holds = called <= FALSE * done
    _tell(
        "a-a",
        holds,
        f"in {called} of {done} trials a difference was called ({called / done:.0%}); at most {FALSE:.0%} may be",
        tally,
    )
    return holds


def _slower(tally: Tally, done: int) -> bool:
    found = tally.called(only_more=True)
    holds = found >= FOUND * done
    _tell(
        "slower",
        holds,
        f"it was found in {found} of {done} trials ({found / done:.0%}); at least {FOUND:.0%} must be",
        tally,
    )
    print(
        f"        by the median of the trials the slower one takes {tally.centre() - 1:+.1%} of processor time for a message"
    )
    return holds


def _tell(name: str, holds: bool, what: str, tally: Tally) -> None:
    print(f"{name}: {'proved' if holds else 'NOT PROVED'}, by the server's processor time for a message: {what}")
    rates = tally.ratios["rate"]
    if rates:
        called = f"called in {tally.called('rate')} of {len(rates)}, noise {tally.noise('rate'):.1%}"
        print(f"        by the rate, which judges nothing here: {called}")


def _tell_noise(tally: Tally, done: int, args, stolen: float | None, took_s: float) -> None:
    noise = tally.noise()
    try:
        takes = f"a planted tenth takes {rounds_needed(noise, PLANTED)} rounds of that; these had {args.rounds}"
    except ValueError as error:
        takes = f"{error}"
    host = "" if stolen is None else f"; {stolen:.1%} of the processors' time was stolen by the host"
    print(
        f"noise: the rounds of a side scatter by {noise:.1%} beside the other's; {takes}{host}; load {os.getloadavg()[0]:.1f} at the end"
    )
    print(f"time: {took_s / done:.1f} s for a trial, {took_s / 60:.1f} minutes for {done}")


# ---- a stall ----------------------------------------------------------------------------------------------------


def stall(args) -> bool:
    """Of requests due evenly during T seconds, 1 % wait longer than S - T / 100 where the server stands still for S."""
    holds = True
    for _ in range(args.stalls):
        open_ms, _, stood_s = stalled(Workload(clients=4, rate=400, seconds=LASTS_S, warm_up_s=0.5))
        closed_ms, closed_most, _ = stalled(Workload(clients=4, seconds=LASTS_S, warm_up_s=0.5))
        true_ms = 1000 * (stood_s - LASTS_S / 100)
        saw, missed = abs(open_ms / true_ms - 1) <= 0.1, closed_ms < true_ms / 10
        print(
            f"stall: {'proved' if saw and missed else 'NOT PROVED'}: the server stood still for {1000 * stood_s:.0f} ms, so p99 is "
            f"{true_ms:.0f} ms in truth; an open loop says {open_ms:.0f} ms ({open_ms / true_ms - 1:+.1%}), a closed one "
            f"{closed_ms:.1f} ms, though its slowest request took {closed_most:.0f} ms"
        )
        holds &= saw and missed
    return holds


def stalled(load: Workload) -> tuple[float, float, float]:
    """p99 and the most of the response times, in ms, on a server that is stopped in the midst of it, and for how long it was, in s."""
    stood = []
    with chatlab.serve("text", where="process", name="stalled") as server:

        def stop_and_go_on() -> None:
            os.kill(server.pid, signal.SIGSTOP)
            stopped = time.perf_counter()
            time.sleep(STALL_S)
            os.kill(server.pid, signal.SIGCONT)
            stood.append(time.perf_counter() - stopped)

        timer = threading.Timer(STALL_AFTER_S, stop_and_go_on)
        timer.start()
        try:
            run = chatlab.measure(server, load, generator="light")
        finally:
            timer.join()
    (only,) = run.rounds
    return only.response_ms(99), only.response_ms(100), stood[0]


# ---- all of it --------------------------------------------------------------------------------------------------


PROOFS = ("stall", "a-a", "slower")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "proofs", nargs="*", metavar="PROOF", help=f"{', '.join(PROOFS)}; all of them where none is named"
    )
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
    holds = {"stall": stall(args)} if "stall" in wanted else {}
    if set(wanted) & {"a-a", "slower"}:
        holds |= comparisons(wanted, args)
    failed = [name for name, each in holds.items() if not each]
    few = (
        f" ({args.trials} trials are no proof of a-a and slower)"
        if args.trials < 100 and set(wanted) != {"stall"}
        else ""
    )
    print(f"not proved: {', '.join(failed)}{few}" if failed else f"all proved{few}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
