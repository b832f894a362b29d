"""What chatlab's load generators can do and what they cost, against servers that do nothing, and beside `h2load`.

The light generator claims to be cheap enough that a server is what it measures. This is where the claim is tried: each
generator pings a baseline server, `h2load` (in C) calls the same gRPC server, and the table has requests a second, the
generator's processor time for each, and the server's. All take turns in each round, in a shuffled order that the
following round runs backwards.

    apt install nghttp2-client
    python benchmarks/generators.py --rounds 5 --seconds 1
"""

import argparse
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chatlab
from chatlab.measurement.baselines.baseline import Baseline
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.process_stats import cpu_ns
from chatlab.measurement.results.environment import cores, current_environment
from chatlab.measurement.testbed import LoadWorkers, Testbed, pinned_to

SYSTEMS = (
    *(("light", protocol) for protocol in ("text", "binary", "grpc", "grpc-stream")),
    *(("clients", protocol) for protocol in ("text", "grpc")),
    ("h2load", "grpc"),
)


class Result(NamedTuple):
    """One generator in one round."""

    rate: float  # requests per second
    generator_us: float  # of its processor for one request
    server_us: float  # of the null server's


def ours(generator: str, protocol: str, args) -> Result:
    """One of our generators, in a process of its own."""
    kind = "echo" if generator == "light" and "grpc" not in protocol else "canned-replies"
    load = Workload(
        clients=args.clients, in_flight=args.in_flight, seconds=args.seconds, warm_up_s=0.2, operations="ping"
    )
    with Testbed(
        chatlab.resolve(protocol),
        generator=generator,
        workers=LoadWorkers(),
        baseline=Baseline(kind, chatlab.resolve(protocol)),
    ) as bench:
        found = bench.run(load)
    return Result(found.rate, found.generator_cpu_s / found.messages * 1e6, found.server_cpu_us)


def h2load(args) -> Result:
    """The same calls by h2load: as many as our light generator would make, on as many connections."""
    own = cores()
    with tempfile.NamedTemporaryFile() as body, pinned_to(own[:1]):
        body.write(bytes(5))  # an empty message with its prefix
        body.flush()
        server = chatlab.serve(Baseline("canned-replies", chatlab.resolve("grpc")), where="process", name="for h2load")
        with server:
            calls = int(2000 * args.seconds)
            url = "http://{}:{}/chatlab.v1.Chat/Ping".format(*server.address)
            heads = [word for head in ("te: trailers", "content-type: application/grpc") for word in ("-H", head)]
            command = ["h2load", "-n", calls, "-c", args.clients, "-m", args.in_flight, "-d", body.name, *heads, url]
            before, own_before = cpu_ns(server.pid), resource.getrusage(resource.RUSAGE_CHILDREN)
            with pinned_to(own[-1:]):
                told = subprocess.run(
                    [str(word) for word in command], capture_output=True, text=True, check=True
                ).stdout
            after, own_after = cpu_ns(server.pid), resource.getrusage(resource.RUSAGE_CHILDREN)
    if f"{calls} succeeded" not in told:
        raise RuntimeError(told)
    spent = sum(getattr(own_after, name) - getattr(own_before, name) for name in ("ru_utime", "ru_stime"))
    return Result(float(re.search(r"([\d.]+) req/s", told)[1]), spent / calls * 1e6, (after - before) / calls / 1e3)


def campaign(args) -> dict[tuple[str, str], list[Result]]:
    systems = [system for system in SYSTEMS if system[0] != "h2load" or shutil.which("h2load")]
    results = {system: [] for system in systems}
    shuffled = random.Random(args.seed)
    order: list = []
    for number in range(args.rounds):
        order = shuffled.sample(systems, len(systems)) if number % 2 == 0 else order[::-1]
        for generator, protocol in order:
            print(f"\r\033[Kround {number + 1}: {generator}, {protocol}", end="", file=sys.stderr, flush=True)
            results[generator, protocol].append(
                h2load(args) if generator == "h2load" else ours(generator, protocol, args)
            )
    print("\r\033[K", end="", file=sys.stderr)
    return results


def table(results: dict[tuple[str, str], list[Result]]) -> str:
    lines = [f"{'generator':10}{'protocol':14}{'requests/s [min..max]':>30}{'generator µs':>15}{'null server µs':>16}"]
    for (generator, protocol), rounds in results.items():
        rates = [each.rate for each in rounds]
        rate = f"{statistics.median(rates):,.0f} [{min(rates):,.0f}..{max(rates):,.0f}]"
        own, servers = (statistics.median([each[i] for each in rounds]) for i in (1, 2))
        lines.append(f"{generator:10}{protocol:14}{rate:>30}{own:15.1f}{servers:16.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(
        f"{args.clients} connections with {args.in_flight} pings on their way each, {args.rounds} rounds; "
        f"{current_environment()}"
    )
    print(table(campaign(args)))
    if not shutil.which("h2load"):
        print("h2load is not installed: apt install nghttp2-client")


if __name__ == "__main__":
    main()
