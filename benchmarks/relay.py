"""How fast a server relays: the request answered, the message pushed to another connection, beside Redis and Mosquitto.

P pairs of connections, k messages in flight in each. A message is *done* when its sender has the answer and its
recipient has the text; only then is the next one sent. One load generator, this process, drives every system in the
same way: blocking greetings, then non-blocking sockets under one epoll, requests spelled beforehand, and everything
that comes back compared with what must come, byte for byte, so that nothing is lost, doubled or out of order unnoticed.

What each protocol promises differs, and costs: Redis forgets a message at once; Mosquitto (QoS 1) and chatlab keep it
until its recipient acknowledges. The report says which. It is not a benchmark of Redis:
a generator in Python is itself busy, and the table says how busy. Where other processes took CPU during a trial it is
run again, and the quietest of at most `TRIES` counts.

    python benchmarks/relay.py --pairs 25 --in-flight 1 16 --rounds 7 --seconds 2
"""

import argparse
import os
import platform
import random
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from peers import SYSTEMS, Pair

ROOT = Path(__file__).resolve().parent.parent
START_S = 10.0  # for a server to answer its port
DRAIN_S = 10.0  # for what is in flight at the end
TRIES = 3
QUIET = 0.1  # of one core, taken by other processes: less is quiet
PATH = os.environ.get("PATH", "") + ":/usr/sbin"  # where Debian keeps mosquitto


# ---- a server ---------------------------------------------------------------------------------------------------


class Server:
    """A fresh server process of one system, on a free loopback port; its end is certain."""

    def __init__(self, system: type[Pair], core: int | None):
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="chatlab-relay-")
        os.chmod(self._folder.name, 0o755)  # Mosquitto, started by root, reads it as somebody else
        command = [str(word) for word in system.command(self.port, Path(self._folder.name))]
        quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PATH": PATH}, **quiet)
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})

    def __enter__(self):
        try:
            self._wait()
        except BaseException:  # an interrupt too
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=START_S).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise TimeoutError(f"{self._process.args[0]} did not open its port within {START_S:g} s")

    def cpu_ns(self) -> int:
        """CPU time of the process, all its threads, in nanoseconds: Linux has a clock for each process id."""
        return time.clock_gettime_ns((~self._process.pid << 3) | 2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- one measurement --------------------------------------------------------------------------------------------


class Result(NamedTuple):
    """One system in one round."""

    rate: float  # messages per second
    server_us: float  # CPU of the server for one message
    generator_busy: float  # this process's CPU over wall time; near 1 the generator is the limit
    others: float  # CPU of all other processes over wall time; 0.1 is a tenth of one core


def trial(system: type[Pair], in_flight: int, args) -> Result:
    """A fresh server, fresh connections. The warm-up is thrown away; what is in flight at the end must still come."""
    with Server(system, args.cores[0]) as server:
        pairs = [system(server.port, number, in_flight, args) for number in range(args.pairs)]
        poll, ears = select.epoll(), {}
        for pair in pairs:
            for sock, hear in (pair.sender, pair.hear_sender), (pair.recipient, pair.hear_recipient):
                sock.setblocking(False)
                poll.register(sock, select.EPOLLIN)
                ears[sock.fileno()] = hear
        try:
            for pair in pairs:
                pair.go_on()
            listen(poll, ears, args.warm_up)
            before = gauges(server, pairs)
            listen(poll, ears, args.seconds)
            after = gauges(server, pairs)
            drain(poll, ears, pairs)
        finally:
            poll.close()
            for pair in pairs:
                pair.close()
    wall, all_cpu, cpu, own, done = (a - b for a, b in zip(after, before))
    return Result(done / wall * 1e9, cpu / done / 1e3, own / wall, max(0, all_cpu - cpu - own) / wall)


def quiet_trial(system: type[Pair], in_flight: int, args) -> Result:
    """The trial, or the one that other processes disturbed least."""
    results = []
    while len(results) < TRIES:
        results.append(trial(system, in_flight, args))
        if results[-1].others < QUIET:
            break
    return min(results, key=lambda result: result.others)


def listen(poll: select.epoll, ears: dict, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fd, _ in poll.poll(0.1):
            ears[fd]()


def gauges(server: Server, pairs: list[Pair]) -> tuple[int, ...]:
    """Wall time, CPU of the machine, the server and this process, in nanoseconds, and how many messages are done."""
    done = sum(pair.done for pair in pairs)
    return time.perf_counter_ns(), machine_cpu_ns(), server.cpu_ns(), time.process_time_ns(), done


def machine_cpu_ns() -> int:
    """What all cores did, and what the host took from them, in steps of 10 ms."""
    user, nice, system, _, _, irq, softirq, stolen = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + stolen) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def drain(poll: select.epoll, ears: dict, pairs: list[Pair]) -> None:
    """Send nothing more; whatever was sent must be answered and delivered."""
    for pair in pairs:
        pair.going = False
    deadline = time.monotonic() + DRAIN_S
    while missing := sum(pair.sent - pair.done for pair in pairs):
        if time.monotonic() > deadline:
            raise AssertionError(f"{pairs[0].name} lost {missing} messages")
        listen(poll, ears, 0.01)


# ---- many, and what they say ------------------------------------------------------------------------------------


def campaign(args) -> dict[tuple[str, int], list[Result]]:
    """All rounds. Each runs every system once, in a shuffled order that the following round runs backwards."""
    shuffled = random.Random(args.seed).shuffle
    results = {(name, k): [] for k in args.in_flight for name in args.systems}
    for number in range(args.rounds):
        if number % 2 == 0:
            order = list(results)
            shuffled(order)
        for name, k in order if number % 2 == 0 else reversed(order):
            progress = f"round {number + 1} of {args.rounds}: {name}, {k} in flight"
            print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)
            results[name, k].append(quiet_trial(SYSTEMS[name], k, args))
    print("\r\033[K", end="", file=sys.stderr)
    return results


def interval(ratios: list[float], seed: int) -> str:
    """Their median, and a bootstrap 95% interval of it."""
    pick = random.Random(seed).choices
    medians = sorted(statistics.median(pick(ratios, k=len(ratios))) for _ in range(2000))
    return f"{statistics.median(ratios):.2f} [{medians[50]:.2f}..{medians[1949]:.2f}]"


def table(results: dict[tuple[str, int], list[Result]], args) -> str:
    """One row for each system and k. A ratio compares rates round by round, side by side."""
    others = [name for name in ("redis", "mosquitto") if name in args.systems]
    lines = [
        f"{'in flight':>9}  {'system':22}{'messages/s [min..max]':>28}{'server µs':>11}{'generator':>11}"
        + "".join(f"{'of ' + SYSTEMS[name].name:>24}" for name in others)
    ]
    for (name, k), rounds in results.items():
        rates = [result.rate for result in rounds]
        rate = f"{statistics.median(rates):,.0f} [{min(rates):,.0f}..{max(rates):,.0f}]"
        server_us, busy = (statistics.median([result[i] for result in rounds]) for i in (1, 2))
        line = f"{k:9}  {SYSTEMS[name].name:22}{rate:>28}{server_us:11.1f}{busy:11.0%}"
        for other in others:
            ratios = [a.rate / b.rate for a, b in zip(rounds, results[other, k])]
            line += f"{interval(ratios, args.seed) if other != name else '1':>24}"
        lines.append(line)
    return "\n".join(lines)


def environment(args) -> str:
    redis, mosquitto = (told(name, flag) for name, flag in (("redis-server", "-v"), ("mosquitto", "-h")))
    try:
        uvloop = version("uvloop")
    except PackageNotFoundError:
        uvloop = "absent"
    cores = f"{os.cpu_count()} cores"
    if args.cores[0] is not None:
        cores += ", server on {}, generator on {}".format(*args.cores)
    versions = f"Python {platform.python_version()}, uvloop {uvloop}, Redis {redis}, Mosquitto {mosquitto}"
    return f"{versions}; Linux {platform.release()}, {cores}, load {os.getloadavg()[0]:.1f}"


def told(name: str, flag: str) -> str:
    """The version in the first line that a program prints about itself."""
    text = subprocess.run([shutil.which(name, path=PATH), flag], capture_output=True, text=True).stdout
    return re.search(r"\d+\.\d+\.\d+", text)[0]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16], help="messages in flight in each pair")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="measured in each trial")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds thrown away before")
    parser.add_argument("--payload", type=int, default=32, help="bytes of text, at least 9")
    parser.add_argument("--acknowledge-every", type=int, default=1, help="deliveries, in chatlab; 1 is each batch read")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seed", type=int, default=0, help="of the order, and of the bootstrap")
    args = parser.parse_args()
    flights = args.in_flight
    if not (1 <= args.pairs <= 999 and min(flights) >= 1 and max(flights) <= 256 and 9 <= args.payload <= 4096):
        parser.error("1 to 999 pairs, 1 to 256 in flight, 9 to 4096 bytes")
    timely = 0 < args.seconds <= 60 and 0 <= args.warm_up <= 60
    if not (timely and args.acknowledge_every >= 1 and 1 <= args.rounds <= 100):
        parser.error("1 to 100 rounds, at most 60 seconds each, acknowledgements every 1 or more")
    cores = sorted(os.sched_getaffinity(0))
    args.cores = cores[:2] if len(cores) > 1 else [None, None]
    return args


def main() -> None:
    args = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it still ends its servers
    if args.cores[1] is not None:
        os.sched_setaffinity(0, {args.cores[1]})
    print(f"{args.pairs} pairs, {args.payload} bytes, {args.rounds} rounds of {args.seconds:g} s, seed {args.seed}")
    print(environment(args))
    results = campaign(args)
    print("\n" + table(results, args) + "\n")
    batch = "once for each batch read" if args.acknowledge_every == 1 else f"once for {args.acknowledge_every} or more"
    for name in args.systems:
        print(f"{SYSTEMS[name].name:22}{SYSTEMS[name].promise.format(batch)}")
    others = [result.others for rounds in results.values() for result in rounds]
    print(f"\nOther processes took {statistics.median(others):.0%} of a core (median), at most {max(others):.0%}.")


if __name__ == "__main__":
    main()
