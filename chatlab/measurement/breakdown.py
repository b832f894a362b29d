"""Where the time of a request goes: servers that each do a little more than the one before, and what each of them adds.

All protocols share one baseline. Each stage is a server of its own, and its *part* is what it takes beyond the stage
below.

    text          echo → frames → codec → chat      bytes come back; whole frames do; they are decoded and answered
    grpc          echo → bytes → messages → chat    a call of bytes; a call of protobuf's messages
    grpc-stream   echo → bytes → messages → chat    the same, on one stream

The request is a text said in a room where nobody else is: it has a payload and one answer, is delivered to nobody, and
nothing is kept that could grow. At each stage the same light generator encodes it and counts it, and the answer is the
same, but for the echoes, which are as long as what was sent.

*What a difference means.* It is the part, as far as all else stays as it was; and that is not quite so. gRPC does not
stand on the echo's socket and loop, it brings its own with threads that wake each other: "HTTP/2 and grpcio" is what
they take beyond an echo. The chat's part has the hub, the outbox and a writer that is woken, not the rules alone. A
codec may find the frames by itself, so that framing is in its part, too. And with several requests in flight wake-ups
and system calls are shared, and all parts are smaller. The parts of one protocol add up to its whole; they say little
about another load.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

from ..display.progress import progress_bar
from ..display.tables import Table
from ..transport.interface import ENGINES, Engine, Implementation, ProtocolOrList
from ..transport.registry import one_by_one, resolve
from .baselines.baseline import Baseline
from .context import MeasurementContext
from .errors import NoProgress
from .load.wire_clients import has_wire_client
from .load.workload import Workload
from .rates import check_rounds
from .results.environment import Environment
from .results.result import Result, plural
from .results.runs import Round
from .stats.intervals import LEVEL, STRICT_LEVEL, Interval, location
from .testbed import InterleavedTestbeds, LoadWorkers, Testbed, describe_pinning

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

PROTOCOLS = ("text", "grpc", "grpc-stream")
ROUNDS, SECONDS, WARM_UP_S = 6, 0.2, 0.05
QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP_S = 3, 0.1, 0.03
RETRY_FACTOR, MAX_SECONDS = 8, 60  # a round in which a stage completed nothing is repeated with so many times as long
BASELINE = "echo"  # the stage below all others
NOT_DETECTED = "no detectable difference"
#: For sockets and for gRPC the stages above the baseline: their name, the part that they add, and the kind of the
#: baseline server; the last is the chat itself.
_SOCKET_STAGES = (("frames", "framing", "frame-echo"), ("codec", "codec", "canned-replies"), ("chat", "chat", ""))
_GRPC_STAGES = (("bytes", "HTTP/2 and grpcio", "bytes"), ("messages", "protobuf", "messages"), ("chat", "chat", ""))

CostMetric = Literal["cpu_us", "latency_us"]
METRICS: tuple[CostMetric, ...] = get_args(CostMetric)

Series = tuple[float | None, ...]  #: a value for each round, None where it was not measured


# ---- the result -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """One server of a breakdown, and what was measured of it in each round."""

    protocol: str  #: the protocol whose stage it is; empty for the baseline, which all share
    name: str
    part: str  #: what it does that the stage below does not
    runs_on: str
    cpu_us: Series = ()  #: the server's processor time for a request; all None where it could not be read
    latency_us: Series = ()  #: the median of the response times
    limited: tuple[bool, ...] = ()  #: whether the load generator was as busy as it can be

    @property
    def generator_limited(self) -> bool:
        """Whether it was in most of the rounds: the server would have answered more, and was not asked."""
        return sum(self.limited) * 2 > sum(value is not None for value in self.latency_us)

    def series(self, metric: CostMetric) -> Series:
        return self.cpu_us if metric == "cpu_us" else self.latency_us


@dataclass(frozen=True)
class StageCost:
    """What may be said of one stage: its value, what it adds to the stage below, and its share of the whole chat's.

    In µs, as intervals over the rounds; differences and shares are of the same round. None was not measured.
    """

    protocol: str
    stage: Stage
    value: Interval | None
    added: Interval | None
    share: Interval | None
    differs: bool  #: whether it surely takes something else than the stage below

    @property
    def percent(self) -> str:
        """The share in words; empty where it is not known."""
        if self.share is None:
            return ""
        return f"{round(self.share.value, 2) + 0.0:.0%}".replace("-", "−")  # + 0.0: no −0 %

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
            return NOT_DETECTED
        if self.added.value < 0:
            return f"{'' if self.differs else 'perhaps '}less than the stage below, which is no part of it"
        return "" if self.differs else "perhaps"


@dataclass(frozen=True, repr=False)
class CostBreakdown(Result):
    """The stages of some protocols, the shared baseline first, all measured side by side in the same rounds."""

    stages: tuple[Stage, ...]
    workload: Workload
    engine: Engine
    environment: Environment
    partial: bool = False  #: it was interrupted, or failed

    def __post_init__(self) -> None:
        if not self.protocols or self.stages[0].protocol:
            raise ValueError("a cost breakdown has a baseline and at least one protocol")
        if len({len(stage.series(metric)) for stage in self.stages for metric in METRICS}) != 1:
            raise ValueError("all stages of a cost breakdown have as many rounds")
        if not self.metrics:
            raise ValueError("nothing was measured in this cost breakdown")

    def __repr__(self) -> str:
        stages = f"{len(self.stages)} stages, {plural(self.rounds, 'round')}{', partial' * self.partial}"
        return f"<CostBreakdown of {', '.join(self.protocols)} on {self.engine}: {stages}>"

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(stage.protocol for stage in self.stages if stage.protocol))

    @property
    def rounds(self) -> int:
        return len(self.stages[0].latency_us)

    @property
    def metrics(self) -> tuple[CostMetric, ...]:
        """What was measured; the first is what the table and the plot break down."""
        return tuple(
            metric
            for metric in METRICS
            if any(value is not None for stage in self.stages for value in stage.series(metric))
        )

    def __getitem__(self, protocol_and_name: tuple[str, str]) -> Stage:
        """One stage: `breakdown["grpc", "messages"]`. The baseline is a stage of each protocol.

        Raises `KeyError`, which says what there is.
        """
        protocol, name = protocol_and_name
        stages = self.stages_of(protocol)
        for stage in stages:
            if stage.name == name:
                return stage
        raise KeyError(f"{protocol} has no stage {name!r}; it has {', '.join(stage.name for stage in stages)}")

    def stages_of(self, protocol: str) -> tuple[Stage, ...]:
        """One protocol's stages, from the baseline to the chat. Raises `KeyError` for a protocol that is not in it."""
        if protocol not in self.protocols:
            raise KeyError(f"there is no breakdown of {protocol!r}; there are {', '.join(self.protocols)}")
        return tuple(stage for stage in self.stages if stage.protocol in ("", protocol))

    def costs(self, metric: CostMetric | None = None) -> tuple[StageCost, ...]:
        """For each protocol what each of its stages costs, from the baseline up; by default of the first metric.

        Raises `ValueError` for an unknown metric.
        """
        chosen = self.metrics[0] if metric is None else metric
        if chosen not in METRICS:
            raise ValueError(f"what can be broken down is {' or '.join(map(repr, METRICS))}, not {metric!r}")
        return tuple(cost for protocol in self.protocols for cost in _costs(protocol, self.stages_of(protocol), chosen))

    def cost(self, protocol: str, name: str, metric: CostMetric | None = None) -> StageCost:
        """What one stage costs: `breakdown.cost("grpc", "messages").added` is what protobuf takes."""
        stage = self[protocol, name]
        return next(cost for cost in self.costs(metric) if cost.protocol == protocol and cost.stage is stage)

    def table(self) -> Table:
        metric = self.metrics[0]
        rows = []
        for cost in self.costs(metric):
            stage, latency = cost.stage, _center(cost.stage.latency_us)
            remarks = [cost.remark] * bool(cost.remark) + ["generator-limited"] * stage.generator_limited
            rows.append(
                (
                    cost.protocol if stage.name == BASELINE else "",
                    stage.name,
                    stage.runs_on,
                    stage.part,
                    _cell(cost.value),
                    _cell(cost.added),
                    cost.percent,
                    "" if latency is None else f"{latency.value:,.0f}",
                    "; ".join(remarks),
                )
            )
        what = "CPU µs" if metric == "cpu_us" else "response µs"
        heads = ("protocol", "stage", "runs on", "its part", f"{what} in all", f"{what} added", "share", "p50 µs", "")
        return Table("Where the time of a request goes", heads, tuple(rows), self._notes(), labels=4)

    def _notes(self) -> tuple[str, ...]:
        """How it was measured, and what the differences mean."""
        load = self.workload
        ended = "; it ended early, and what is missing was not measured" * self.partial
        subject = (
            "One client has one message" if load.clients == 1 else f"Each of {load.clients} clients has one message"
        )
        notes = [f"Careful: {self.environment.warning}."] * bool(self.environment.warning)
        notes += [
            f"{subject} of {load.size_in_words} in flight, said in a room where nobody else is: "
            "one answer, and nothing is kept.",
            f"{load.duration.capitalize()} in each of {plural(self.rounds, 'round')}, in shuffled time slices, "
            f"on fresh servers, light generator, seed {load.seed}{ended}.",
            "[ .. ]: 95 % intervals over the rounds. “Added” is what a server takes beyond the one of the stage below, "
            "in the same round; it is that stage's part as far as all else stays as it was.",
            "gRPC brings a socket, a loop and threads of its own: its part is what they take beyond an echo. With more "
            "in flight wake-ups are shared, and parts are smaller. The parts add up to the whole but for scatter.",
        ]
        if any(cost.remark == NOT_DETECTED for cost in self.costs()):
            notes.append(
                f"“{NOT_DETECTED.capitalize()}”: the part is smaller than the scatter; more rounds on a quiet machine "
                "would tell how small."
            )
        if "cpu_us" not in self.metrics:
            notes.append("The servers' processor time could not be read here, so response times are broken down.")
        return (*notes, str(self.environment))

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each stage and round, in µs."""
        import pandas

        columns = ["protocol", "stage", "part", "round", "cpu_us", "latency_us"]
        rows = [
            (stage.protocol, stage.name, stage.part, number, *values)
            for stage in self.stages
            for number, values in enumerate(zip(stage.cpu_us, stage.latency_us))
        ]
        return pandas.DataFrame(rows, columns=columns).astype({"cpu_us": float, "latency_us": float})

    def plot(self, ax: "Axes | None" = None, metric: CostMetric | None = None) -> "Axes":
        """Draw a bar for each stage, on top of what the stage below takes. Returns the Axes."""
        from ..display.plots.breakdown import breakdown_bars

        return breakdown_bars(self, ax, metric or self.metrics[0])


def _costs(protocol: str, stages: tuple[Stage, ...], metric: CostMetric) -> list[StageCost]:
    costs, below, whole = [], None, stages[-1].series(metric)
    for stage in stages:
        values = stage.series(metric)
        added = values if below is None else _by_round(lambda one, other: one - other, values, below.series(metric))
        share = _center(_by_round(lambda one, other: one / other, added, whole))
        center, strict = _center(added), _center(added, STRICT_LEVEL)
        differs = center is not None and strict is not None and 0 not in center and 0 not in strict
        costs.append(StageCost(protocol, stage, _center(values), center, share, differs))
        below = stage
    return costs


def _by_round(combine: Callable[[float, float], float], one: Series, other: Series) -> Series:
    """Round by round, where both have a value."""
    return tuple(None if a is None or b is None else combine(a, b) for a, b in zip(one, other))


def _center(values: Series, level: float = LEVEL) -> Interval | None:
    known = [value for value in values if value is not None]
    return location(known, level) if known else None


def _cell(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval:,.1f}"


# ---- measuring --------------------------------------------------------------------------------------------------


def cost_breakdown(
    *protocols: "ProtocolOrList",
    rounds: int | None = None,
    seconds: float | None = None,
    engine: Engine = "loop",
    clients: int = 1,
    text_bytes: int = 32,
    seed: int = 0,
    quick: bool = False,
) -> CostBreakdown:
    """Measure every stage of these protocols, each on a fresh server process in each round, in interleaved time slices.

    Protocols are given as `cost_breakdown("text", "grpc")`; one list is understood too, and none stands for
    `PROTOCOLS`. Each of the `clients` has one message of `text_bytes` bytes in flight, for `seconds` in each round.
    With one client each request is one wake-up, one read and one write at every stage, and the response time is that of
    a server without a queue. `engine` is "loop" (one event loop; over gRPC, grpc.aio) or "threads" (one for each
    connection, the chat two; gRPC's pool). `seed` decides texts and order. `quick` is for notebooks and tests: fewer
    and shorter rounds, each only where it is not given. An interrupt ends it, and what is measured by then is the
    result, marked as partial.

    Raises `ValueError` for a wrong argument or a protocol whose bytes no light generator can write, and
    `MeasurementFailed` where a server does not answer as it must, or not at all: what was measured before is its
    `partial_result`.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {' or '.join(map(repr, ENGINES))}, not {engine!r}")
    rounds = (QUICK_ROUNDS if quick else ROUNDS) if rounds is None else rounds
    seconds = (QUICK_SECONDS if quick else SECONDS) if seconds is None else seconds
    check_rounds(rounds)
    warm_up_s = QUICK_WARM_UP_S if quick else WARM_UP_S
    load = Workload(clients, seconds, warm_up_s, None, text_bytes, seed, operations=(("say", 1.0),), rooms=clients)
    chosen = [resolve(protocol) for protocol in (one_by_one(protocols) if protocols else PROTOCOLS)]
    servers = stage_servers(chosen, engine)
    context, measured = MeasurementContext(), _Measured(list(servers))
    with (
        context.measuring(lambda: not measured.is_empty),
        progress_bar(rounds * len(servers), "breaking costs down") as bar,
    ):
        for number, stages in enumerate(stage_orders(list(servers), rounds, seed)):
            testbeds = [Testbed(servers[stage], engine, generator="light", label=_label(stage)) for stage in stages]
            with InterleavedTestbeds(testbeds, round_number=number) as together:
                in_order = _run_with_retry(together, load)
            for stage, (_, only) in zip(stages, in_order):
                measured.add(stage, only)
            bar.update(len(stages))
    environment = context.environment(describe_pinning(LoadWorkers()))
    return context.conclude(CostBreakdown(measured.stages(), load, engine, environment, context.ended_early))


def stage_servers(protocols: list[Implementation], engine: Engine) -> dict[Stage, Implementation]:
    """Each stage and what is served at it, the baseline first. Raises `ValueError`."""
    if not protocols:
        raise ValueError("there is no protocol to break down")
    baseline = Stage("", BASELINE, "socket and loop", _runs_on(engine, is_socket=True, is_chat=False))
    servers: dict[Stage, Implementation] = {baseline: Baseline("raw-echo", resolve("text"))}
    for protocol in protocols:
        _check_encodable(protocol)
        is_socket = protocol.codec is not None
        for name, part, kind in _SOCKET_STAGES if is_socket else _GRPC_STAGES:
            stage = Stage(protocol.name, name, part, _runs_on(engine, is_socket, is_chat=not kind))
            if stage in servers:
                raise ValueError(f"{protocol.name} is named twice, and can be broken down once")
            servers[stage] = Baseline(kind, protocol) if kind else protocol
    return servers


def _check_encodable(protocol: Implementation) -> None:
    """Raises `ValueError` for a protocol that the light generator does not speak: nothing else drives all stages."""
    if not has_wire_client(protocol):
        raise ValueError(
            f"{protocol.name} has no codec, so the light generator cannot speak it, and its costs cannot be broken down"
        )


def _runs_on(engine: Engine, is_socket: bool, is_chat: bool) -> str:
    if engine == "threads":
        return ("two threads" if is_chat else "a thread") if is_socket else "grpc, threads"
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    return loop if is_socket else f"grpc.aio, {loop}"


class _Measured:
    """What was measured so far: for each stage and round CPU time, response time, whether it is generator-limited."""

    def __init__(self, stages: list[Stage]) -> None:
        self._values: dict[Stage, list[tuple[float | None, float | None, bool]]] = {stage: [] for stage in stages}

    def add(self, stage: Stage, measured: Round) -> None:
        response_ms = measured.response_ms(50)
        latency_us = None if response_ms is None else response_ms * 1e3
        self._values[stage].append((measured.server_cpu_us, latency_us, bool(measured.generator_limits(is_open=False))))

    @property
    def is_empty(self) -> bool:
        return not any(self._values.values())

    def stages(self) -> tuple[Stage, ...]:
        """The stages with their values."""
        stages = []
        for stage, values in self._values.items():
            cpu_us, latency_us, limited = zip(*values)
            stages.append(replace(stage, cpu_us=cpu_us, latency_us=latency_us, limited=limited))
        return tuple(stages)


def stage_orders(stages: list[Stage], rounds: int, seed: int) -> Iterator[list[Stage]]:
    """The order in which the servers of each round are started and warmed up.

    Protocols come in a shuffled order, the stages of each up or down by chance, and each second round runs backwards:
    so each stage is as often older as younger than the one below it. The order of the time slices is another matter,
    which `InterleavedTestbeds` shuffles in each cycle.
    """
    shuffled, groups = random.Random(seed), _grouped(stages)
    order: list[Stage] = []
    for number in range(rounds):
        if number % 2 == 0:
            order = []
            for group in shuffled.sample(groups, len(groups)):
                order += group[:: shuffled.choice((1, -1))]
        else:
            order = order[::-1]
        yield order


def _grouped(stages: list[Stage]) -> list[list[Stage]]:
    """The stages of each protocol; the baseline is with the first."""
    first = next((stage.protocol for stage in stages if stage.protocol), "")
    groups: dict[str, list[Stage]] = {}
    for stage in stages:
        groups.setdefault(stage.protocol or first, []).append(stage)
    return list(groups.values())


def _run_with_retry(together: InterleavedTestbeds, load: Workload) -> list[tuple[str, Round]]:
    """One round. On an overloaded machine a stage may complete nothing in so short a time: then all get much more."""
    try:
        return together.run(load)
    except NoProgress:
        return together.run(replace(load, seconds=min(MAX_SECONDS, RETRY_FACTOR * load.seconds)))


def _label(stage: Stage) -> str:
    return f"the stage {stage.name!r} of {stage.protocol or 'all'}"
