"""Results as if they had been measured: tables, runs, comparisons, saturations, breakdowns."""

from dataclasses import replace

import numpy

from chatlab.capture.traffic import Traffic
from chatlab.measurement.breakdown import CostBreakdown, Stage
from chatlab.measurement.byte_counts import ByteRow, ByteTable
from chatlab.measurement.load.samples import NEVER, Samples
from chatlab.measurement.load.workload import NS, Workload
from chatlab.measurement.results.environment import Environment
from chatlab.measurement.results.runs import Comparison, Round, Run

HERE = Environment("3.11.7", "Linux 6.18", "a processor", 2, (("grpcio", "1.85.1"),), "server on core 0", 0.5, 0.0)


def a_table():
    rows = (
        ByteRow("text", "ping", Traffic(6, 8), Traffic(7, 9)),
        ByteRow("grpc", "ping", Traffic(112, 64), Traffic(84, 64)),
        ByteRow("text", "a<b", Traffic(1_000, 2_000), Traffic(10, 20)),
        ByteRow("grpc", "a<b", Traffic(3, 4), Traffic(3, 4)),
    )
    return ByteTable(rows, HERE)


def a_run(protocol="text", clients=2, rates=(100, 300, 200), busy=0.5, cpu_s=0.01):
    rounds = tuple(Round(1.0, rate, cpu_s, busy) for rate in rates)
    return Run(protocol, Workload(clients=clients), rounds, HERE)


def a_comparison():
    return Comparison(
        (a_run(), a_run(clients=4, busy=0.95), a_run("grpc", rates=(10, 20, 30)), a_run("grpc", clients=4)), HERE
    )


MS = NS // 1000


def served(rate, service_s=0.001, servers=1, seconds=1.0, answered=1.0, late_ns=0):
    """Samples of a queue with so many servers, each of which takes so long for a request."""
    due = (numpy.arange(int(rate * seconds)) / rate * NS).astype(numpy.int64)
    done, free = [], [0] * servers
    for at in due:
        first = min(range(servers), key=free.__getitem__)
        free[first] = max(free[first], int(at)) + int(service_s * NS)
        done.append(free[first])
    done = numpy.array(done)
    done[int(len(done) * answered) :] = NEVER
    columns = due, due + late_ns, done, numpy.full(len(due), NEVER)
    pings = numpy.full(len(due), 3, numpy.int8)
    return Samples(
        *(column.astype(numpy.int64).tobytes() for column in columns), pings.tobytes(), int(3 * seconds * NS)
    )


def made_up(protocol, workload, generator="light", **how):
    samples = served(workload.rate, **how)
    return Run(protocol, workload, (Round(1.0, samples.completed, 0.1, 0.1, samples),), HERE, generator)


DRIFT = (1.0, 1.2, 0.9, 1.1, 1.3, 0.8)  # of the machine, the same for all stages of a round


NOISE = (0.1, -0.2, 0.0, 0.2, -0.1, 0.05)


COSTS = {
    "echo": 15,
    "text frames": 17,
    "text codec": 21,
    "text chat": 30,
    "grpc bytes": 250,
    "grpc messages": 270,
    "grpc chat": 300,
}


def planted(costs=COSTS, rounds=6, limited=()):
    """A ladder whose stages cost so much, on a machine that drifts by much more than the stages differ."""
    stages = []
    for number, (named, cost) in enumerate(costs.items()):
        protocol, _, name = named.rpartition(" ")
        cpu = tuple(cost + 40 * DRIFT[n] + NOISE[(n + number) % 6] for n in range(rounds))
        busy = (named in limited,) * rounds
        stages.append(Stage(protocol, name, f"part of {name}", "uvloop", cpu, tuple(2 * each for each in cpu), busy))
    return CostBreakdown(tuple(stages), Workload(clients=1, rooms=1, operations="say"), "loop", HERE)


def sampled(run, rate=50):
    """The run with samples in each round but the first; the last request of a round was not answered."""
    first, *others = run.rounds
    samples = served(rate, answered=1 - 1 / rate)
    return replace(run, rounds=(first, *(replace(each, samples=samples) for each in others)))
