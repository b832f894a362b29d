"""Where the time of a request goes: servers that each do a little more than the one before, and what each of them adds.

Three ladders stand on one ground. Each stage is a server of its own; its *part* is what it takes beyond the stage below.

    text          echo → frames → codec → chat       bytes come back; whole frames do; they are read and answered; the chat
    grpc          echo → bytes → messages → chat     a call of bytes; of protobuf's messages; the chat
    grpc-stream   echo → bytes → messages → chat     the same, on one stream

The request is a text said in a room where nobody else is: it has a payload and one answer, no third party hears of it, and
nothing is kept that could grow. On each stage it is spelled and counted by the same light generator, and the answer is the
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

from ..display.progress import progress_bar
from ..display.tables import Table
from ..harness import ENGINES
from ..transport.interface import Implementation
from ..transport.registry import one_by_one, resolve
from .baselines.baseline import Baseline
from .load.wire_clients import wire_for
from .load.workload import Workload
from .rates import check_rounds
from .results.environment import Environment, cores, environment, load_average, stolen_and_all, stolen_since
from .results.result import Result
from .results.runs import Round
from .stats.intervals import LEVEL, STRICT_LEVEL, Interval, location
from .testbed import InterleavedTestbeds, MeasurementFailed, NoProgress, Testbed

PROTOCOLS = ("text", "grpc", "grpc-stream")
ROUNDS, SECONDS, WARM_UP_S = 6, 0.2, 0.05
QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_S = 3, 0.1, 0.03
PATIENCE = 8  # times as long are stages measured once more, if on one of them nothing was done
BASELINE = "echo"
NOT_FOUND = "no detectable difference"
#: For sockets and for gRPC the stages above the ground: the name, the part that it adds, and the null server; none is the chat.
_SOCKET_STAGES = (("frames", "framing", "frame-echo"), ("codec", "codec", "canned-replies"), ("chat", "chat", ""))
_GRPC_STAGES = (("bytes", "HTTP/2 and grpcio", "bytes"), ("messages", "protobuf", "messages"), ("chat", "chat", ""))
METRICS = ("cpu_us", "latency_us")  #: what can be attributed

Series = tuple[float | None, ...]


@dataclass(frozen=True)
class Stage:
    """One server of a ladder, and what was measured of it: a value for each round, None where there is none."""

    protocol: str  #: whose ladder it is; empty for the ground, which all share
    name: str
    part: str  #: what it does that the stage below does not
    runs_on: str
    cpu_us: Series = ()  #: the server's processor time for a request; all None where it could not be read
    latency_us: Series = ()  #: the median of the response times
    limited: tuple[bool, ...] = ()  #: rounds in which the generator was as busy as it can be

    @property
    def generator_limited(self) -> bool:
        """In most of its rounds: the server would have answered more, and was not asked."""
        return sum(self.limited) * 2 > sum(each is not None for each in self.latency_us)


@dataclass(frozen=True)
class StageCost:
    """What may be said of one stage: its value, what it adds to the stage below, and which share of the top that is.

    All in µs, as intervals over the rounds; differences and shares are of the same round. None was not measured.
    """

    protocol: str
    stage: Stage
    value: Interval | None
    added: Interval | None
    share: Interval | None
    differs: bool  #: surely

    @property
    def percent(self) -> str:
        """The share in words; empty where it is not known."""
        return "" if self.share is None else f"{round(self.share.value, 2) + 0.0:.0%}".replace("-", "−")  # and no −0%

    @property
    def remark(self) -> str:
        """What to doubt; empty where the stage surely takes more than the one below."""
        if self.value is None:
            return "not measured"
        if self.added is None:
            return "the stage below was not measured"
        if self.added.low is None:
            return "one round cannot tell"
        if self.stage.name == BASELINE:
            return ""  # there is nothing below that it could be no different from
        if 0 in self.added:
            return NOT_FOUND
        if self.added.value < 0:
            return f"{'' if self.differs else 'perhaps '}less than the stage below, which is no part of it"
        return "" if self.differs else "perhaps"


@dataclass(frozen=True, repr=False)
class CostBreakdown(Result):
    """Rungs in order, the ground first, all measured in turns in the same rounds."""

    stages: tuple[Stage, ...]
    workload: Workload
    engine: str
    environment: Environment
    partial: bool = False  #: it was interrupted, or failed

    def __repr__(self):
        stages = f"{len(self.stages)} stages, {_rounds(self.rounds)}{', partial' * self.partial}"
        return f"<CostBreakdown of {', '.join(self.protocols)} on {self.engine}: {stages}>"

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(stage.protocol for stage in self.stages if stage.protocol))

    @property
    def rounds(self) -> int:
        return len(self.stages[0].latency_us)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What was measured; the first is what a table and a plot attribute."""
        return tuple(
            of for of in METRICS if any(each is not None for stage in self.stages for each in getattr(stage, of))
        )

    def __getitem__(self, protocol_and_name: tuple[str, str]) -> Stage:
        """One stage: `found["grpc", "messages"]`. The ground is a stage of each."""
        protocol, name = protocol_and_name
        for stage in self.stages_of(protocol):
            if stage.name == name:
                return stage
        raise KeyError(
            f"{protocol} has no stage {name!r}; it has {', '.join(stage.name for stage in self.stages_of(protocol))}"
        )

    def stages_of(self, protocol: str) -> tuple[Stage, ...]:
        """One protocol's ladder, from the ground to the top."""
        if protocol not in self.protocols:
            raise KeyError(f"there is no ladder of {protocol!r}; there are {', '.join(self.protocols)}")
        return tuple(stage for stage in self.stages if stage.protocol in ("", protocol))

    def costs(self, metric: str = "") -> tuple[StageCost, ...]:
        """For each protocol each stage from the ground up. `metric` is "cpu_us" or "latency_us"; without it, the first measured."""
        metric = metric or self.metrics[0]
        if metric not in METRICS:
            raise ValueError(f"what can be attributed is {' or '.join(map(repr, METRICS))}, not {metric!r}")
        return tuple(step for protocol in self.protocols for step in _steps(protocol, self.stages_of(protocol), metric))

    def cost(self, protocol: str, name: str, metric: str = "") -> StageCost:
        """One of them: `found.cost("grpc", "messages").added` is what protobuf takes."""
        stage = self[protocol, name]
        return next(step for step in self.costs(metric) if step.protocol == protocol and step.stage is stage)

    def table(self) -> Table:
        return _breakdown_table(self)

    def to_frame(self):
        """A pandas DataFrame: a row for each stage and round, in µs."""
        import pandas

        columns = ["protocol", "stage", "part", "round", "cpu_us", "latency_us"]
        rows = [
            (stage.protocol, stage.name, stage.part, number, *values)
            for stage in self.stages
            for number, values in enumerate(zip(stage.cpu_us, stage.latency_us))
        ]
        return pandas.DataFrame(rows, columns=columns).astype({"cpu_us": float, "latency_us": float})

    def plot(self, ax=None, metric: str = ""):
        """A bar for each stage, on what the stage below takes. Returns the Axes."""
        from ..display.plots.breakdown import breakdown_bars

        return breakdown_bars(self, ax, metric)


def _rounds(count: int) -> str:
    return f"{count} round{'s'[: count != 1]}"


def _steps(protocol: str, stages: tuple[Stage, ...], of: str) -> list[StageCost]:
    steps, below, top = [], None, getattr(stages[-1], of)
    for stage in stages:
        values = getattr(stage, of)
        added = values if below is None else _together(lambda one, other: one - other, values, getattr(below, of))
        share = _centre(_together(lambda one, whole: one / whole, added, top))
        more, sure = _centre(added), _centre(added, STRICT_LEVEL)
        differs = more is not None and 0 not in more and 0 not in sure
        steps.append(StageCost(protocol, stage, _centre(values), more, share, differs))
        below = stage
    return steps


def _together(act, one: Series, other: Series) -> Series:
    """Round by round, where both have a value."""
    return tuple(None if None in pair else act(*pair) for pair in zip(one, other))


def _centre(values: Series, level: float = LEVEL) -> Interval | None:
    there = [each for each in values if each is not None]
    return location(there, level) if there else None


# ---- measuring --------------------------------------------------------------------------------------------------


def cost_breakdown(
    *protocols: Any,
    rounds: int | None = None,
    seconds: float | None = None,
    engine: str = "loop",
    clients: int = 1,
    text_bytes: int = 32,
    seed: int = 0,
    quick: bool = False,
) -> CostBreakdown:
    """Measure each stage of these protocols' ladders, each with a fresh server process in each round, where they all take turns.

    Each of the `clients` has one message of `text_bytes` bytes on its way, for `seconds` in each round. With one of them
    each request is one wake-up, one read and one write on every stage, and the response time is that of a server without
    a queue. `engine` is "loop" (one event loop; over gRPC, grpc.aio) or "threads" (one for each connection, the chat two;
    gRPC's pool). `seed` decides texts and order. `quick` is for tests and notebooks: fewer and shorter rounds, where these are not given. An interrupt ends it with what is measured.

    Raises `ValueError` for a wrong argument or a protocol of which no light generator knows the bytes, and `MeasurementFailed`,
    a `RuntimeError`, where a server does not answer as it must, or at all: what was measured before is its `partial_result`.
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
    ended = _measure_rounds(found, load, rounds, engine)
    own = cores()
    pinned = f"server on core {own[0]}, clients on core {own[-1]}" if len(own) > 1 else ""
    measured = CostBreakdown(
        found.stages(), load, engine, environment(pinned, busy, stolen_since(before)), ended is not None
    )
    if isinstance(ended, MeasurementFailed):
        ended.partial_result = measured
        raise ended
    return measured


def _servers(protocols: list, engine: str) -> dict[Stage, Implementation]:
    """Each stage and what is served on it, the ground first. Raises `ValueError`."""
    if not protocols:
        raise ValueError("there is no protocol whose ladder to measure")
    servers = {
        Stage("", BASELINE, "socket and loop", _runs_on(engine, True, False)): Baseline("raw-echo", resolve("text"))
    }
    for protocol in protocols:
        carried = resolve(protocol)
        wire_for(carried)  # or nobody could ask it anything
        is_socket = carried.codec is not None
        for name, part, null in _SOCKET_STAGES if is_socket else _GRPC_STAGES:
            stage = Stage(carried.name, name, part, _runs_on(engine, is_socket, not null))
            if stage in servers:
                raise ValueError(f"{carried.name} has one ladder, and is named twice")
            servers[stage] = Baseline(null, carried) if null else carried
    return servers


def _runs_on(engine: str, is_socket: bool, is_chat: bool) -> str:
    if engine == "threads":
        return ("two threads" if is_chat else "a thread") if is_socket else "grpc, threads"
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    return loop if is_socket else f"grpc.aio, {loop}"


class _Found:
    """What was measured so far: for each stage and round the processor time, the response time and whose limit it was."""

    def __init__(self, servers: dict[Stage, Implementation]):
        self.servers = servers
        self._values: dict[Stage, list[tuple]] = {stage: [] for stage in servers}

    def put(self, stage: Stage, only: Round) -> None:
        self._values[stage].append(
            (only.server_cpu_us, only.response_ms(50) * 1e3, bool(only.generator_limits(is_open=False)))
        )

    @property
    def is_empty(self) -> bool:
        return not any(self._values.values())

    def stages(self) -> tuple[Stage, ...]:
        """The stages with their values."""
        columns = {stage: [tuple(column) for column in zip(*values)] for stage, values in self._values.items()}
        return tuple(
            replace(stage, cpu_us=cpu, latency_us=latency, limited=limited)
            for stage, (cpu, latency, limited) in columns.items()
        )


def _measure_rounds(
    found: _Found, load: Workload, rounds: int, engine: str
) -> KeyboardInterrupt | MeasurementFailed | None:
    """Measure all stages in all rounds. Returns what ended it before, and raises it where no round was whole."""
    try:
        with progress_bar(rounds * len(found.servers), "climbing") as bar:
            for number, stages in enumerate(_orders(list(found.servers), rounds, load.seed)):
                testbeds = [
                    Testbed(found.servers[stage], engine, generator="light", called=_named(stage)) for stage in stages
                ]
                with InterleavedTestbeds(testbeds, number=number) as stand:
                    measured = _run_with_retry(stand, load)
                for stage, (_, only) in zip(stages, measured):
                    found.put(stage, only)
                bar.update(len(stages))
    except (KeyboardInterrupt, MeasurementFailed) as ended:
        if found.is_empty:
            raise
        return ended
    return None


def _orders(stages: list[Stage], rounds: int, seed: int) -> Iterator[list[Stage]]:
    """Who is started and warmed up when: ladders in a shuffled order, up or down by chance, each second round backwards.

    So each stage is as often older than the one below it as younger. Owner turn it is, `InterleavedTestbeds` shuffles anew each time.
    """
    shuffled, ladders = random.Random(seed), {}
    for stage in stages:
        ladders.setdefault(stage.protocol or next((each.protocol for each in stages if each.protocol), ""), []).append(
            stage
        )
    for number in range(rounds):
        if number % 2 == 0:
            order = [
                stage
                for each in shuffled.sample(list(ladders.values()), len(ladders))
                for stage in each[:: shuffled.choice((1, -1))]
            ]
        else:
            order = order[::-1]
        yield order


def _run_with_retry(stand: InterleavedTestbeds, load: Workload) -> list[tuple[str, Round]]:
    """On a machine with much else to do it may take long until a server and its clients had their turns: it is given that time."""
    try:
        return stand.run(load)
    except NoProgress:
        pass
    try:
        return stand.run(replace(load, seconds=min(60, PATIENCE * load.seconds)))
    except NoProgress as error:
        raise MeasurementFailed(f"{error}, or measure again when the machine is less busy") from error


def _named(stage: Stage) -> str:
    return f"the stage {stage.name!r} of {stage.protocol or 'all'}"


# ---- as a table -------------------------------------------------------------------------------------------------


def _breakdown_table(result: CostBreakdown) -> Table:
    rows, of = [], result.metrics[0]
    for step in result.costs(of):
        latency = _centre(step.stage.latency_us)
        named = step.protocol if step.stage.name == BASELINE else ""
        marks = [step.remark] * bool(step.remark) + ["generator-limited"] * step.stage.generator_limited
        numbers = _told(step.value), _told(step.added), step.percent, "" if latency is None else f"{latency.value:,.0f}"
        rows.append((named, step.stage.name, step.stage.runs_on, step.stage.part, *numbers, "; ".join(marks)))
    in_all, more = ("CPU µs in all", "CPU µs more") if of == "cpu_us" else ("response µs in all", "response µs more")
    heads = ("protocol", "stage", "runs on", "its part", in_all, more, "share", "p50 µs", "")
    return Table("Where the time of a request goes", heads, tuple(rows), _notes(result), labels=4)


def _told(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval:,.1f}"


def _notes(result: CostBreakdown) -> tuple[str, ...]:
    """How it was measured, and what the differences mean."""
    load, cut_short = result.workload, "; it ended early, and what is missing was not measured" * result.partial
    who = "One client has one message" if load.clients == 1 else f"Each of {load.clients} clients has one message"
    told = [
        f"{who} of {load.size_in_words} on its way, said in a room where nobody else is: one answer, and nothing is kept.",
        f"{load.duration.capitalize()} in each of {_rounds(result.rounds)}, in turns, shuffled, on fresh servers, light generator, "
        f"seed {load.seed}{cut_short}.",
        "[ .. ]: 95 % intervals over the rounds. “More” is what a server takes beyond the one on the stage below, round by round;",
        "it is that stage's part as far as all else stays as it was. gRPC brings a socket, a loop and threads of its own: its part is what",
        "they take beyond an echo. With more on their way wake-ups are shared, and parts are smaller. Centres add up but for scatter.",
    ]
    if any(step.remark == NOT_FOUND for step in result.costs()):
        told.append(
            f"“{NOT_FOUND.capitalize()}”: the part is smaller than the scatter; more rounds on a quiet machine would tell how small."
        )
    if "cpu_us" not in result.metrics:
        told.append("The servers' processor time could not be read here, so it is response times that are attributed.")
    told += [f"Careful: {result.environment.warning}."] * bool(result.environment.warning)
    return (*told, str(result.environment))
