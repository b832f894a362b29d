"""Where the time of a request goes: servers that each do a little more than the one before, and what each of them adds.

Three ladders stand on one ground. Each rung is a server of its own; its *part* is what it takes beyond the rung below.

    text          echo → frames → codec → chat       bytes come back; whole frames do; they are read and answered; the chat
    grpc          echo → bytes → messages → chat     a call of bytes; of protobuf's messages; the chat
    grpc-stream   echo → bytes → messages → chat     the same, on one stream

The request is a text said in a room where nobody else is: it has a payload and one answer, no third party hears of it, and
nothing is kept that could grow. On each rung it is spelled and counted by the same light generator, and the answer is the
same, but for the echoes, which are as long as what was said.

*What a difference means.* It is the part, as far as all else stays as it was; and that is not quite so. gRPC does not stand
on the echo's socket and loop, it brings its own with threads that wake each other: "HTTP/2 and grpcio" is what they
take beyond an echo. The chat's part has the hub, the outbox and a writer that is woken, not the rules alone. A codec may find
the frames by itself, so that framing is in its part, too. And with several messages on their way wake-ups and system
calls are shared, and all parts are smaller. Parts of one ladder lead to its top; they say little about another load.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from ..display import tables
from ..display.progress import progress
from ..harness import ENGINES
from ..transport.interface import Implementation
from ..transport.registry import one_by_one, resolve
from .baselines.baseline import Baseline
from .load.wire_clients import wire_for
from .load.workload import Workload
from .rates import check_rounds
from .results.environment import Environment, cores, environment, load_average, stolen_and_all, stolen_since
from .results.result import Shown
from .results.runs import Round
from .stats.intervals import LEVEL, SURE, Interval, typical
from .testbed import Bench, MeasurementFailed, NothingDone, SideBySide

PROTOCOLS = ("text", "grpc", "grpc-stream")
ROUNDS, SECONDS, WARM_UP_S = 6, 0.2, 0.05
QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_S = 3, 0.1, 0.03
PATIENCE = 8  # times as long are rungs measured once more, if on one of them nothing was done
GROUND = "echo"
NOT_FOUND = "no detectable difference"
#: For sockets and for gRPC the rungs above the ground: the name, the part that it adds, and the null server; none is the chat.
_SOCKET_RUNGS = (("frames", "framing", "frame-echo"), ("codec", "codec", "canned-replies"), ("chat", "chat", ""))
_GRPC_RUNGS = (("bytes", "HTTP/2 and grpcio", "bytes"), ("messages", "protobuf", "messages"), ("chat", "chat", ""))
MEASURES = ("cpu_us", "latency_us")  #: what can be attributed

Series = tuple[float | None, ...]


@dataclass(frozen=True)
class Rung:
    """One server of a ladder, and what was measured of it: a value for each round, None where there is none."""

    protocol: str  #: whose ladder it is; empty for the ground, which all share
    name: str
    part: str  #: what it does that the rung below does not
    runs_on: str
    cpu_us: Series = ()  #: the server's processor time for a request; all None where it could not be read
    latency_us: Series = ()  #: the median of the response times
    limited: tuple[bool, ...] = ()  #: rounds in which the generator was as busy as it can be

    @property
    def generator_limited(self) -> bool:
        """In most of its rounds: the server would have answered more, and was not asked."""
        return sum(self.limited) * 2 > sum(each is not None for each in self.latency_us)


@dataclass(frozen=True)
class Step:
    """What may be said of one rung: its value, what it adds to the rung below, and which share of the top that is.

    All in µs, as intervals over the rounds; differences and shares are of the same round. None was not measured.
    """

    protocol: str
    rung: Rung
    value: Interval | None
    more: Interval | None
    share: Interval | None
    differs: bool  #: surely

    @property
    def percent(self) -> str:
        """The share in words; empty where it is not known."""
        return "" if self.share is None else f"{round(self.share.value, 2) + 0.0:.0%}".replace("-", "−")  # and no −0%

    @property
    def remark(self) -> str:
        """What to doubt; empty where the rung surely takes more than the one below."""
        if self.value is None:
            return "not measured"
        if self.more is None:
            return "the rung below was not measured"
        if self.more.low is None:
            return "one round cannot tell"
        if self.rung.name == GROUND:
            return ""  # there is nothing below that it could be no different from
        if 0 in self.more:
            return NOT_FOUND
        if self.more.value < 0:
            return f"{'' if self.differs else 'perhaps '}less than the rung below, which is no part of it"
        return "" if self.differs else "perhaps"


@dataclass(frozen=True, repr=False)
class Ladder(Shown):
    """Rungs in order, the ground first, all measured in turns in the same rounds."""

    rungs: tuple[Rung, ...]
    workload: Workload
    engine: str
    environment: Environment
    partial: bool = False  #: it was interrupted, or failed

    def __repr__(self):
        rungs = f"{len(self.rungs)} rungs, {_rounds(self.rounds)}{', partial' * self.partial}"
        return f"<Ladder of {', '.join(self.protocols)} on {self.engine}: {rungs}>"

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rung.protocol for rung in self.rungs if rung.protocol))

    @property
    def rounds(self) -> int:
        return len(self.rungs[0].latency_us)

    @property
    def measures(self) -> tuple[str, ...]:
        """What was measured; the first is what a table and a plot attribute."""
        return tuple(
            of for of in MEASURES if any(each is not None for rung in self.rungs for each in getattr(rung, of))
        )

    def __getitem__(self, protocol_and_name: tuple[str, str]) -> Rung:
        """One rung: `found["grpc", "messages"]`. The ground is a rung of each."""
        protocol, name = protocol_and_name
        for rung in self.flight(protocol):
            if rung.name == name:
                return rung
        raise KeyError(
            f"{protocol} has no rung {name!r}; it has {', '.join(rung.name for rung in self.flight(protocol))}"
        )

    def flight(self, protocol: str) -> tuple[Rung, ...]:
        """One protocol's ladder, from the ground to the top."""
        if protocol not in self.protocols:
            raise KeyError(f"there is no ladder of {protocol!r}; there are {', '.join(self.protocols)}")
        return tuple(rung for rung in self.rungs if rung.protocol in ("", protocol))

    def steps(self, of: str = "") -> tuple[Step, ...]:
        """For each protocol each rung from the ground up. `of` is "cpu_us" or "latency_us"; without it, the first measured."""
        of = of or self.measures[0]
        if of not in MEASURES:
            raise ValueError(f"what can be attributed is {' or '.join(map(repr, MEASURES))}, not {of!r}")
        return tuple(step for protocol in self.protocols for step in _steps(protocol, self.flight(protocol), of))

    def step(self, protocol: str, name: str, of: str = "") -> Step:
        """One of them: `found.step("grpc", "messages").more` is what protobuf takes."""
        rung = self[protocol, name]
        return next(step for step in self.steps(of) if step.protocol == protocol and step.rung is rung)

    def to_frame(self):
        """A pandas DataFrame: a row for each rung and round, in µs."""
        import pandas

        columns = ["protocol", "rung", "part", "round", "cpu_us", "latency_us"]
        rows = [
            (rung.protocol, rung.name, rung.part, number, *values)
            for rung in self.rungs
            for number, values in enumerate(zip(rung.cpu_us, rung.latency_us))
        ]
        return pandas.DataFrame(rows, columns=columns).astype({"cpu_us": float, "latency_us": float})

    def plot(self, ax=None, of: str = ""):
        """A bar for each rung, on what the rung below takes. Returns the Axes."""
        from ..display.plots.breakdown import ladder

        return ladder(self, ax, of)


def _rounds(count: int) -> str:
    return f"{count} round{'s'[: count != 1]}"


def _steps(protocol: str, rungs: tuple[Rung, ...], of: str) -> list[Step]:
    steps, below, top = [], None, getattr(rungs[-1], of)
    for rung in rungs:
        values = getattr(rung, of)
        added = values if below is None else _together(lambda one, other: one - other, values, getattr(below, of))
        share = _centre(_together(lambda one, whole: one / whole, added, top))
        more, sure = _centre(added), _centre(added, SURE)
        differs = more is not None and 0 not in more and 0 not in sure
        steps.append(Step(protocol, rung, _centre(values), more, share, differs))
        below = rung
    return steps


def _together(act, one: Series, other: Series) -> Series:
    """Round by round, where both have a value."""
    return tuple(None if None in pair else act(*pair) for pair in zip(one, other))


def _centre(values: Series, level: float = LEVEL) -> Interval | None:
    there = [each for each in values if each is not None]
    return typical(there, level) if there else None


# ---- measuring --------------------------------------------------------------------------------------------------


def ladder(
    *protocols: Any,
    rounds: int | None = None,
    seconds: float | None = None,
    engine: str = "loop",
    clients: int = 1,
    text_bytes: int = 32,
    seed: int = 0,
    quick: bool = False,
) -> Ladder:
    """Measure each rung of these protocols' ladders, each with a fresh server process in each round, where they all take turns.

    Each of the `clients` has one message of `text_bytes` bytes on its way, for `seconds` in each round. With one of them
    each request is one wake-up, one read and one write on every rung, and the response time is that of a server without
    a queue. `engine` is "loop" (one event loop; over gRPC, grpc.aio) or "threads" (one for each connection, the chat two;
    gRPC's pool). `seed` decides texts and order. `quick` is for tests and notebooks: fewer and shorter rounds, where these are not given. An interrupt ends it with what is measured.

    Raises `ValueError` for a wrong argument or a protocol of which no light generator knows the bytes, and `MeasurementFailed`,
    a `RuntimeError`, where a server does not answer as it must, or at all: what was measured before is its `finished`.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {' or '.join(map(repr, ENGINES))}, not {engine!r}")
    rounds = (QUICK_ROUNDS if quick else ROUNDS) if rounds is None else rounds
    seconds = (QUICK_SECONDS if quick else SECONDS) if seconds is None else seconds
    check_rounds(rounds)
    warm_up_s = QUICK_WARM_UP_S if quick else WARM_UP_S
    load = Workload(clients, seconds, warm_up_s, None, text_bytes, seed, operations="say", rooms=clients)
    servers = _servers(list(one_by_one(protocols) if protocols else PROTOCOLS), engine)
    before, busy = stolen_and_all(), load_average()
    found = _Found(servers)
    ended = _climb(found, load, rounds, engine)
    own = cores()
    pinned = f"server on core {own[0]}, clients on core {own[-1]}" if len(own) > 1 else ""
    measured = Ladder(found.rungs(), load, engine, environment(pinned, busy, stolen_since(before)), ended is not None)
    if isinstance(ended, MeasurementFailed):
        ended.finished = measured
        raise ended
    return measured


def _servers(protocols: list, engine: str) -> dict[Rung, Implementation]:
    """Each rung and what is served on it, the ground first. Raises `ValueError`."""
    if not protocols:
        raise ValueError("there is no protocol whose ladder to measure")
    servers = {
        Rung("", GROUND, "socket and loop", _runs_on(engine, True, False)): Baseline("raw-echo", resolve("text"))
    }
    for protocol in protocols:
        carried = resolve(protocol)
        wire_for(carried)  # or nobody could ask it anything
        is_socket = carried.codec is not None
        for name, part, null in _SOCKET_RUNGS if is_socket else _GRPC_RUNGS:
            rung = Rung(carried.name, name, part, _runs_on(engine, is_socket, not null))
            if rung in servers:
                raise ValueError(f"{carried.name} has one ladder, and is named twice")
            servers[rung] = Baseline(null, carried) if null else carried
    return servers


def _runs_on(engine: str, is_socket: bool, is_chat: bool) -> str:
    if engine == "threads":
        return ("two threads" if is_chat else "a thread") if is_socket else "grpc, threads"
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    return loop if is_socket else f"grpc.aio, {loop}"


class _Found:
    """What was measured so far: for each rung and round the processor time, the response time and whose limit it was."""

    def __init__(self, servers: dict[Rung, Implementation]):
        self.servers = servers
        self._values: dict[Rung, list[tuple]] = {rung: [] for rung in servers}

    def put(self, rung: Rung, only: Round) -> None:
        self._values[rung].append(
            (only.server_cpu_us, only.response_ms(50) * 1e3, bool(only.generator_limits(is_open=False)))
        )

    @property
    def is_empty(self) -> bool:
        return not any(self._values.values())

    def rungs(self) -> tuple[Rung, ...]:
        """The rungs with their values."""
        columns = {rung: [tuple(column) for column in zip(*values)] for rung, values in self._values.items()}
        return tuple(
            replace(rung, cpu_us=cpu, latency_us=latency, limited=limited)
            for rung, (cpu, latency, limited) in columns.items()
        )


def _climb(found: _Found, load: Workload, rounds: int, engine: str) -> KeyboardInterrupt | MeasurementFailed | None:
    """Measure all rungs in all rounds. Returns what ended it before, and raises it where no round was whole."""
    try:
        with progress(rounds * len(found.servers), "climbing") as bar:
            for number, rungs in enumerate(_orders(list(found.servers), rounds, load.seed)):
                benches = [Bench(found.servers[rung], engine, generator="light", called=_named(rung)) for rung in rungs]
                with SideBySide(benches, number=number) as stand:
                    measured = _patiently(stand, load)
                for rung, (_, only) in zip(rungs, measured):
                    found.put(rung, only)
                bar.update(len(rungs))
    except (KeyboardInterrupt, MeasurementFailed) as ended:
        if found.is_empty:
            raise
        return ended
    return None


def _orders(rungs: list[Rung], rounds: int, seed: int) -> Iterator[list[Rung]]:
    """Who is started and warmed up when: ladders in a shuffled order, up or down by chance, each second round backwards.

    So each rung is as often older than the one below it as younger. Whose turn it is, `SideBySide` shuffles anew each time.
    """
    shuffled, ladders = random.Random(seed), {}
    for rung in rungs:
        ladders.setdefault(rung.protocol or next((each.protocol for each in rungs if each.protocol), ""), []).append(
            rung
        )
    for number in range(rounds):
        if number % 2 == 0:
            order = [
                rung
                for each in shuffled.sample(list(ladders.values()), len(ladders))
                for rung in each[:: shuffled.choice((1, -1))]
            ]
        else:
            order = order[::-1]
        yield order


def _patiently(stand: SideBySide, load: Workload) -> list[tuple[str, Round]]:
    """On a machine with much else to do it may take long until a server and its clients had their turns: it is given that time."""
    try:
        return stand.carry_out(load)
    except NothingDone:
        pass
    try:
        return stand.carry_out(replace(load, seconds=min(60, PATIENCE * load.seconds)))
    except NothingDone as error:
        raise MeasurementFailed(f"{error}, or measure again when the machine is less busy") from error


def _named(rung: Rung) -> str:
    return f"the rung {rung.name!r} of {rung.protocol or 'all'}"


# ---- as a table -------------------------------------------------------------------------------------------------


@tables.table.register
def _table(result: Ladder) -> tables.Table:
    rows, of = [], result.measures[0]
    for step in result.steps(of):
        latency = _centre(step.rung.latency_us)
        named = step.protocol if step.rung.name == GROUND else ""
        marks = [step.remark] * bool(step.remark) + ["generator-limited"] * step.rung.generator_limited
        numbers = _told(step.value), _told(step.more), step.percent, "" if latency is None else f"{latency.value:,.0f}"
        rows.append((named, step.rung.name, step.rung.runs_on, step.rung.part, *numbers, "; ".join(marks)))
    in_all, more = ("CPU µs in all", "CPU µs more") if of == "cpu_us" else ("response µs in all", "response µs more")
    heads = ("protocol", "rung", "runs on", "its part", in_all, more, "share", "p50 µs", "")
    return tables.Table("Where the time of a request goes", heads, tuple(rows), _notes(result), labels=4)


def _told(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval:,.1f}"


def _notes(result: Ladder) -> tuple[str, ...]:
    """How it was measured, and what the differences mean."""
    load, cut_short = result.workload, "; it ended early, and what is missing was not measured" * result.partial
    who = "One client has one message" if load.clients == 1 else f"Each of {load.clients} clients has one message"
    told = [
        f"{who} of {load.size_in_words} on its way, said in a room where nobody else is: one answer, and nothing is kept.",
        f"{load.duration.capitalize()} in each of {_rounds(result.rounds)}, in turns, shuffled, on fresh servers, light generator, "
        f"seed {load.seed}{cut_short}.",
        "[ .. ]: 95 % intervals over the rounds. “More” is what a server takes beyond the one on the rung below, round by round;",
        "it is that rung's part as far as all else stays as it was. gRPC brings a socket, a loop and threads of its own: its part is what",
        "they take beyond an echo. With more on their way wake-ups are shared, and parts are smaller. Centres add up but for scatter.",
    ]
    if any(step.remark == NOT_FOUND for step in result.steps()):
        told.append(
            f"“{NOT_FOUND.capitalize()}”: the part is smaller than the scatter; more rounds on a quiet machine would tell how small."
        )
    if "cpu_us" not in result.measures:
        told.append("The servers' processor time could not be read here, so it is response times that are attributed.")
    told += [f"Careful: {result.environment.warning}."] * bool(result.environment.warning)
    return (*told, str(result.environment))
