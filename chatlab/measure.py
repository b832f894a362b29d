"""How many messages a second, and at what cost? Measured from outside, with a fresh server process in every round.

The server has one process and one core, the simulated clients another of each, and the notebook's process only waits.
Protocols and numbers of clients are measured in a shuffled order that is new in each round, so that whatever drifts in
the machine drifts for all of them. The clients are Python too: where they are as busy as they can be, the rate is
theirs rather than the server's, and the result says so. The server's processor time for a message is not disturbed by it.
"""

import contextlib
import itertools
import os
import random
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec

import msgspec

from . import harness
from .environment import cores, environment, load_average, stolen_and_all, stolen_since
from .harness import Server, implementation, portable, serve
from .process import Worker
from .results import Comparison, Environment, Round, Run
from .workload import STEP_TIMEOUT_S, Trial, Workload

PROTOCOLS = ("text", "grpc", "grpc-stream")
CLIENTS = (1, 2, 4, 8, 16)
ROUNDS = 5
QUICK_CLIENTS, QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_S = (1, 4, 16), 3, 0.2, 0.05
_numbers = itertools.count(1)


def measure(protocol_or_server, workload: Workload = Workload(), rounds: int = 1, engine: str = "loop") -> Run:
    """Measure one protocol under one load: on a server that runs, or on a fresh server process for each round.

    The processor time of a server that lives in this process cannot be told from the notebook's, and is None. Raises
    `RuntimeError` where the clients fail, with what they said.
    """
    _check_rounds(rounds)
    before, load = stolen_and_all(), load_average()
    done = []
    for _ in range(rounds):
        if isinstance(protocol_or_server, Server):
            bench = _Bench(_first_door(protocol_or_server), server=protocol_or_server)
        else:
            bench = _Bench(protocol_or_server, engine)
        with bench:
            done.append(bench.carry_out(workload))
    return Run(bench.name, workload, tuple(done), _environment(bench.pinned, load, before))


def compare(
    protocols: Iterable = PROTOCOLS,
    workload: Workload = Workload(),
    clients: Iterable[int] = CLIENTS,
    rounds: int = ROUNDS,
    engine: str = "loop",
    quick: bool = False,
) -> Comparison:
    """Measure several protocols side by side, each with each number of clients, in interleaved rounds.

    `quick` is for notebooks and tests: fewer clients, rounds and seconds. `workload.seed` decides the order. An
    interrupt ends it, and the processes with it. Raises `RuntimeError` where the clients fail.
    """
    if quick:
        clients, rounds = QUICK_CLIENTS, min(rounds, QUICK_ROUNDS)
        workload = replace(workload, seconds=QUICK_SECONDS, warm_up_s=QUICK_WARM_UP_S)
    protocols = [protocols] if isinstance(protocols, str) else list(protocols)
    loads = [replace(workload, clients=each) for each in clients]
    _check_rounds(rounds)
    before, load = stolen_and_all(), load_average()
    done: dict[tuple[str, int], list[Round]] = {(implementation(p).name, w.clients): [] for w in loads for p in protocols}
    shuffled = random.Random(workload.seed)
    with _progress(rounds * len(done)) as progress:
        for _ in range(rounds):
            for protocol in shuffled.sample(protocols, len(protocols)):
                with _Bench(protocol, engine) as bench:
                    for each in shuffled.sample(loads, len(loads)):
                        done[bench.name, each.clients].append(bench.carry_out(each))
                        progress.update()
    where = _environment(bench.pinned, load, before)
    runs = [Run(name, replace(workload, clients=n), tuple(each), where) for (name, n), each in done.items()]
    return Comparison(tuple(runs), where)


def _first_door(server: Server):
    """What another process can speak with at the server's first door: a name, a codec or an Implementation."""
    name, found = server._door(None)
    return name if name in harness.PROTOCOLS else getattr(found, "codec", found)


def _check_rounds(rounds: int) -> None:
    if not 1 <= rounds <= 100:
        raise ValueError(f"rounds is from 1 to 100, not {rounds!r}")


def _environment(pinned: str, load: float | None, before) -> Environment:
    return environment(pinned, load, stolen_since(before))


# ---- a server and its clients, each in a process ----------------------------------------------------------------


class _Bench:
    """A server process and a process of simulated clients, each on a core of its own where there are two."""

    def __init__(self, protocol, engine: str = "loop", server: Server | None = None):
        self.name = implementation(protocol).name
        self._portable = portable(protocol)
        self._engine, self._server = engine, server
        self._is_guest = server is not None
        self.pinned = ""

    def __enter__(self):
        own = cores()
        if len(own) > 1:
            self.pinned = f"clients on core {own[-1]}" if self._is_guest else f"server on core {own[0]}, clients on core {own[-1]}"
        with _on_core(own[-1:]):
            self._clients = Worker("chatlab.workload:generate")
        try:
            if not self._is_guest:
                with _on_core(own[:1]):
                    name = f"measured {next(_numbers)}"
                    self._server = serve(self._portable, engine=self._engine, where="process", name=name)
        except BaseException:
            self._clients.end(0)
            raise
        return self

    def __exit__(self, *_):
        self._clients.end(0)  # it has nothing to say good-bye to; and on an interrupt it is in the midst of something
        if not self._is_guest:
            self._server.close()

    def carry_out(self, workload: Workload) -> Round:
        # Names nobody else has, of a length that is always the same: the server may be one that is in use.
        prefix = f"w{os.urandom(3).hex()}c"
        trial = Trial(self._portable, self._server.addresses[self.name], self._server.pid, workload, prefix)
        patience = workload.seconds + workload.warm_up_s + 3 * STEP_TIMEOUT_S
        told = self._clients.ask(msgspec.json.encode(trial).decode(), patience)
        if "error" in told:
            raise RuntimeError(f"the clients of {self.name} failed: {told['error']}")
        return _round(told["before"], told["after"])


def _round(before: dict, after: dict) -> Round:
    if after["done"] == before["done"]:
        raise RuntimeError("no message was done in all that time: give it more seconds")
    spent = {key: after[key] - before[key] for key in after if after[key] is not None}
    server = spent["server_cpu_ns"] / 1e9 if "server_cpu_ns" in spent else None
    return Round(spent["at_ns"] / 1e9, spent["done"], server, spent["own_cpu_ns"] / 1e9)


@contextlib.contextmanager
def _on_core(which: list[int]) -> Iterator[None]:
    """Start processes from here, and they run on that core: a child inherits it from the thread that starts it."""
    if len(cores()) < 2:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, which)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- progress ---------------------------------------------------------------------------------------------------


def _progress(total: int):
    """A bar that is gone when it is done, and that nobody sees where nobody looks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm would like to have ipywidgets
        from tqdm.auto import tqdm
    return tqdm(total=total, unit=" measurements", leave=False, disable=not _somebody_looks(), desc="comparing")


def _somebody_looks() -> bool:
    return "CI" not in os.environ and (sys.stderr.isatty() or _in_notebook() and find_spec("ipywidgets") is not None)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
