"""The instrument proved: it finds no difference where there is none, finds one that was planted, and sees a stall.

    a-a     the same protocol under two names, again and again: in at most 5 % of the trials may a difference be called
    slower  the same with a server that burns 10 % more processor time for a message: in at least 80 % it must be found
    stall   a server that stands still for 500 ms: an open loop's p99 is what arithmetic says it must be, within 10 %, and
            a closed loop does not show it

    python benchmarks/instrument.py stall
    python benchmarks/instrument.py a-a slower --trials 100 --rounds 6
"""

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chatlab
from chatlab.codecs import TextCodec
from chatlab.load.workload import Workload
from chatlab.messages import Sent

BURN = "CHATLAB_BURN_NS"
STALL_S, STALL_AFTER_S, LASTS_S = 0.5, 2.0, 5.0


class Twin(TextCodec):
    """The text protocol under another name."""

    name = "twin"


class Slower(TextCodec):
    """The text protocol, with a server that burns some processor time for each message that it accepts."""

    name = "slower"

    def encode(self, tag, message):
        if type(message) is Sent:
            until = time.thread_time_ns() + int(os.environ[BURN])
            while time.thread_time_ns() < until:
                pass
        return super().encode(tag, message)


def trials(other: str, args) -> int:
    """How often a difference in the server's processor time is called between "text" and another."""
    load = Workload(clients=4, seconds=args.seconds, warm_up_s=0.1)
    called = 0
    for number in range(args.trials):
        found = chatlab.compare(
            ["text", f"instrument:{other}"], load, clients=[4], rounds=args.rounds, generator="light",
        ).ratio(other.lower(), "text", of="server_cpu_us")  # fmt: skip
        called += found.differs and found.interval.value > 1 if other == "Slower" else found.differs
        print(f"  {number + 1:4}  {found}", flush=True)
    return called


def a_a(args) -> bool:
    called = trials("Twin", args)
    print(f"a-a: a difference was called in {called} of {args.trials} trials; at most 5 % may be")
    return called <= 0.05 * args.trials


def slower(args) -> bool:
    load = Workload(clients=4, seconds=args.seconds)
    cpu_us = chatlab.measure("text", load, rounds=args.rounds, generator="light").server_cpu_us.median
    os.environ[BURN] = str(int(0.1 * cpu_us * 1000))
    called = trials("Slower", args)
    print(f"slower: {0.1 * cpu_us:.1f} µs planted in {cpu_us:.1f}; found in {called} of {args.trials} trials; at least 80 % must be")
    return called >= 0.8 * args.trials


def stall(args) -> bool:
    """Of requests due evenly during T seconds, 1 % wait longer than S - T / 100 where the server stands still for S."""
    true_ms = 1000 * (STALL_S - LASTS_S / 100)
    open_ms = stalled(Workload(clients=4, rate=400, seconds=LASTS_S, warm_up_s=0.5))
    closed_ms = stalled(Workload(clients=4, seconds=LASTS_S, warm_up_s=0.5))
    print(f"stall: p99 is {true_ms:.0f} ms in truth, {open_ms:.0f} ms by an open loop, {closed_ms:.1f} ms by a closed one")
    return abs(open_ms / true_ms - 1) <= 0.1 and closed_ms < true_ms / 10


def stalled(load: Workload) -> float:
    """The 99th percentile of the response times on a server that is stopped for a while in the midst of it."""
    with chatlab.serve("text", where="process", name="stalled") as server:
        timers = [
            threading.Timer(STALL_AFTER_S + after_s, os.kill, (server.pid, what))
            for after_s, what in ((0, signal.SIGSTOP), (STALL_S, signal.SIGCONT))
        ]
        for timer in timers:
            timer.start()
        try:
            run = chatlab.measure(server, load, generator="light")
        finally:
            for timer in timers:
                timer.join()
    return run.rounds[0].response_ms(99)


PROOFS = {"stall": stall, "a-a": a_a, "slower": slower}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=f"{', '.join(PROOFS)}; all of them where none is named")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.3)
    args = parser.parse_args()
    if unknown := set(args.proofs) - set(PROOFS):
        parser.error(f"no proof is called {', '.join(unknown)}")
    failed = [name for name in args.proofs or PROOFS if not PROOFS[name](args)]
    print(f"not proved: {', '.join(failed)}" if failed else "all proved")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
