"""One page that says what was measured, how far it may be believed, and where each number comes from: a file by itself.

A page is a list of sections, and each function here makes one of them from results. It measures nothing and
writes no file. All that the page shows is inside it: no script, no font, no picture is fetched, and all text is
escaped.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import exp, log
from types import MappingProxyType
from typing import Any, NamedTuple

from ..display import html
from ..display.plots.breakdown import breakdown_bars
from ..display.plots.latency import latency_distribution, percentiles, throughput_latency
from ..display.plots.rates import cost_by_clients, rate_by_clients
from ..display.plots.traffic import bytes_per_operation
from ..display.tables import Table
from ..measurement.breakdown import QUICK_SECONDS, CostBreakdown
from ..measurement.byte_counts import ByteTable
from ..measurement.code_complexity.complexity_table import Complexity
from ..measurement.results import runs as results
from ..measurement.results.environment import Environment
from ..measurement.results.result import Result
from ..measurement.results.runs import Comparison, ComparisonMetric, Run
from ..measurement.saturation import Saturation
from ..measurement.stats.intervals import LEVEL, STRICT_LEVEL, Ratio, location
from .report_page import NO_BREAK, Section, file_link, picture, unbroken, wide_table


def result_section(title: str, result: Result, *plots: Callable[..., Any], origin: str = "") -> Section:
    """A result as a section: its own table, and what these plots draw of it. The origin is HTML."""
    return Section(title, wide_table(result) + "".join(picture(draw, result) for draw in plots), origin)


class Reproduce(NamedTuple):
    """The commands that measure again what a page shows; they run unmodified from any directory."""

    given: Mapping[str, str] = MappingProxyType({})  #: what a protocol was given as, where that is not its name
    folders: tuple[str, ...] = ()  #: where the modules of a reader's own are

    def protocols(self, names: Iterable[str]) -> list[str]:
        return [self.given.get(name, name) for name in names]

    def call(self, what: str, of: str = "chatlab") -> str:
        """A line of Python."""
        path = f"import sys; sys.path[:0] = {list(self.folders)!r}; " if self.folders else ""
        return f"{path}import {of}; {of}.{what}"

    def command(self, *words: str) -> str:
        """A line for a shell."""
        path = f"PYTHONPATH={shlex.quote(os.pathsep.join(self.folders))} " if self.folders else ""
        return f"{path}{shlex.join(['chatlab', *words])}"


def missing(title: str, why: str) -> Section:
    """A section of what was not measured."""
    return Section(title, html.paragraph(why, "faint"))


RATES, TIMES, BREAKDOWN = "Rate, and what a message costs the server", "Response times", "Where the time goes"


# ---- in short ---------------------------------------------------------------------------------------------------

IN_SHORT = "send 2 characters"  # the operation that the summary names


class Point(NamedTuple):
    """A point of the summary: what it is of, under which conditions, and a sentence for each protocol."""

    name: str
    conditions: str
    sentences: list[str]


def summary(byte_table: ByteTable, comparison: Comparison | None, breakdown: CostBreakdown | None = None) -> Section:
    """What was found, in sentences: each with its interval and how sure it is."""
    points = [
        f"<b>{html.escape(point.name)}</b>{html.escape(point.conditions)}"
        + html.list_of(map(html.escape, point.sentences))
        for point in _points(byte_table, comparison, breakdown)
    ]
    sure = "" if comparison is None else html.paragraph(_how_sure(comparison), "faint")
    origin = "computed from the tables below; each names its own origin."
    return Section("In short", html.list_of(points) + sure, origin)


def summary_text(byte_table: ByteTable, comparison: Comparison | None, breakdown: CostBreakdown | None = None) -> str:
    """The same for a terminal."""
    lines = ["In short"]
    for point in _points(byte_table, comparison, breakdown):
        lines += [f"  {point.name}{point.conditions}", *(f"    {sentence}" for sentence in point.sentences)]
    return "\n".join(lines).replace(NO_BREAK, " ")


def _points(byte_table: ByteTable, comparison: Comparison | None, breakdown: CostBreakdown | None) -> list[Point]:
    points = [_bytes_in_short(byte_table)]
    if comparison is not None:
        points += [_rates_in_short(comparison, metric) for metric in METRICS]
    if breakdown is not None:
        points.append(_breakdown_in_short(breakdown))
    return points


def _how_sure(comparison: Comparison) -> str:
    clients = _most_telling(comparison)
    why = ", the most with whom no number was limited by the generator" if _is_telling(comparison, clients) else ""
    return (
        f"Rates and times are those with {plural(clients, 'client')}{why}; the tables have the others. Each is the "
        f"centre of {_rounds_in_words(comparison)} with fresh servers, and in brackets is its {_percent(LEVEL)} "
        "interval; a ratio has one of its own, of the same rounds of both. “Surely” means that the "
        f"{_percent(STRICT_LEVEL)} interval, too, excludes that both are equal; “perhaps”, that only the "
        f"{_percent(LEVEL)} interval does, as it would by accident in one comparison of twenty."
    )


def _bytes_in_short(byte_table: ByteTable) -> Point:
    operation = IN_SHORT if IN_SHORT in byte_table.operations else byte_table.operations[0]
    first, *others = [row for row in byte_table.rows if row.operation == operation]
    sentences = [f"{first.protocol} takes {first.steady.total:,} bytes, up and down."]
    for row in others:
        factor = row.steady.total / first.steady.total
        times = f"{factor:.{1 if factor < 10 else 0}f} times as many as {first.protocol}"
        sentences.append(f"{row.protocol} takes {row.steady.total:,}, {times}.")
    conditions = f", to {operation}, at the socket. Exact: counted, not sampled, and two fresh servers agreed."
    return Point("Bytes", conditions, sentences)


def _rates_in_short(comparison: Comparison, metric: ComparisonMetric) -> Point:
    """Each protocol's number, and each beside the first."""
    clients = _most_telling(comparison)
    sentences = [
        _value_text(comparison, name, clients, metric) + _beside_first(comparison, name, clients, metric)
        for name in comparison.protocols
    ]
    return Point(METRICS[metric].name, f", with {plural(clients, 'client')}.", sentences)


def _breakdown_in_short(breakdown: CostBreakdown) -> Point:
    """Of each protocol's request the largest part, and whether it may be only scatter."""
    sentences = []
    for protocol in breakdown.protocols:
        parts = [
            (cost.added, cost.share, cost)
            for cost in breakdown.costs()
            if cost.protocol == protocol and cost.added is not None and cost.share is not None
        ]
        added, share, largest = max(parts, key=lambda part: part[0].value, default=(None, None, None))
        if added is None or share is None or largest is None or added.low is None or 0 in added:
            sentences.append(f"{protocol}: no part stands out of the scatter.")
            continue
        value, low, high = ("?" if part is None else _percent(part) for part in (share.value, share.low, share.high))
        part = f"{'' if largest.differs else 'perhaps '}{largest.stage.part}"
        sentences.append(f"{protocol}: the largest part is {part}, {value} [{unbroken(f'{low} … {high}')}].")
    what = "the server's CPU time" if breakdown.metrics[0] == "cpu_us" else "the response time"
    return Point("Where the time goes", f": of {what} for a request, with one in flight.", sentences)


def _value_text(comparison: Comparison, protocol: str, clients: int, metric: ComparisonMetric) -> str:
    run, text, (value, *_) = _run_of(comparison, protocol, clients), METRICS[metric], results.COMPARED[metric]
    rounds = () if run is None else run.rounds
    values = [number for round in rounds if (number := value(round)) is not None]
    if not values or len(values) < len(rounds):
        return f"{protocol} was not measured."
    centre, limits = location_text(values, text.spec)
    return f"{protocol} {text.sentence.format(f'{centre} [{limits}]')}."


def _beside_first(comparison: Comparison, protocol: str, clients: int, metric: ComparisonMetric) -> str:
    first = comparison.protocols[0]
    if protocol == first:
        return ""
    ratio = _ratio(comparison, protocol, first, clients, metric)
    text = f"{'surely ' * ratio.differs}{unbroken(ratio.verdict)}" if isinstance(ratio, Ratio) else ratio
    return f" Beside {first}: {text}."


def _ratio(comparison: Comparison, a: str, b: str, clients: int, metric: ComparisonMetric) -> Ratio | str:
    """The ratio, or in words why there is none."""
    try:
        text = METRICS[metric]
        return replace(comparison.ratio(a, b, clients, metric), more=text.more, less=text.less)
    except KeyError:
        return "not measured"
    except ValueError as error:
        return str(error)


def _most_telling(comparison: Comparison) -> int:
    """The most clients with whom every protocol was measured and none was generator-limited; else simply the most."""
    return max((n for n in comparison.clients if _is_telling(comparison, n)), default=comparison.clients[-1])


def _is_telling(comparison: Comparison, clients: int) -> bool:
    runs = [_run_of(comparison, name, clients) for name in comparison.protocols]
    return all(run is not None and not run.generator_limited for run in runs)


# ---- bytes ------------------------------------------------------------------------------------------------------


def bytes_on_the_wire(byte_table: ByteTable, file: str, reproduce: Reproduce = Reproduce()) -> Section:
    """Every operation's bytes, as a table and as a picture. `file` is where the table is kept."""
    call = reproduce.call(f"count_bytes({', '.join(map(repr, reproduce.protocols(byte_table.protocols)))})")
    again = f"counted by {html.code(call)}, which gives them again with the same versions."
    origin = f"{file_link(file)}, the same numbers; {again}"
    return result_section("Bytes on the wire", byte_table, bytes_per_operation, origin=origin)


# ---- rates ------------------------------------------------------------------------------------------------------


def rates(comparison: Comparison, files: Sequence[str]) -> Section:
    """Messages a second and the server's CPU time, for each protocol and number of clients, and their differences."""
    body = wide_table(_rates_of(comparison))
    if len(comparison.protocols) > 1:
        body += wide_table(_verdicts(comparison))
    body += picture(rate_by_clients, comparison) + picture(cost_by_clients, comparison)
    return Section(RATES, body, _origin(comparison, files, "rate", "server_cpu_us"))


def _rates_of(comparison: Comparison) -> Table:
    heads = (
        *("clients", "protocol", "messages/s", "interval", "server CPU µs/message", "interval"),
        *("bytes/message", "clients' CPU", "of what they can"),
    )
    rows = [
        (f"{run.workload.clients}" if begins else "", run.protocol, *_rate_of(run))
        for run, begins in _in_order(comparison)
    ]
    notes = (
        f"Rates and the server's CPU: the centre of {_rounds_in_words(comparison)} and its {_percent(LEVEL)} interval "
        "(see “How it was measured”); the rest are medians. A message is sent, answered, pushed, received and "
        "acknowledged, and costs the server all of that. Bytes are the clients' own count at the socket for a message, "
        "with its acknowledgement and warm-up included and without setting up: how often one is acknowledged depends "
        "on the generator. The clients' CPU is the share of one processor that they used; what they can is how "
        "many messages of this load they completed per second with a server that does next to nothing. An asterisk: "
        "the generator, not the server, set this rate. A dagger: ended early.",
    )
    return Table("Messages per second, and processor time for each", heads, tuple(rows), notes, labels=2)


def _rate_of(run: Run) -> tuple[str, ...]:
    mark = "*" * run.generator_limited + "†" * run.partial
    message_bytes = [count for round in run.rounds if (count := round.bytes_per_message) is not None]
    cpu_us = [time for round in run.rounds if (time := round.server_cpu_us) is not None]
    rate, rate_limits = location_text([round.rate for round in run.rounds], ",.0f")
    cpu = ("not read", "") if run.server_cpu_us is None else location_text(cpu_us, ",.1f")
    is_counted = len(message_bytes) == len(run.rounds)
    return (
        f"{rate}{mark}",
        rate_limits,
        *cpu,
        f"{results.spread(message_bytes).median:,.0f}" if is_counted else "not read",
        f"{run.generator_share.median:.0%}",
        "not known" if run.share_of_capacity is None else f"{run.share_of_capacity:.0%} of {run.capacity:,.0f}/s",
    )


def _verdicts(comparison: Comparison) -> Table:
    first, *others = comparison.protocols
    rows = []
    for n in comparison.clients:
        for other in others:
            verdicts = [_verdict_text(_ratio(comparison, other, first, n, metric)) for metric in METRICS]
            rows.append((f"{n}" if other == others[0] else "", f"{other} beside {first}", *verdicts))
    heads = ("clients", "of whom", *(each.name for each in METRICS.values()))
    notes = (
        f"Each round of the one beside the same round of the other, with the {_percent(LEVEL)} interval. Without "
        f"“perhaps”, a difference is sure: the {_percent(STRICT_LEVEL)} interval excludes equality, too.",
    )
    return Table("What may be said of the differences", heads, tuple(rows), notes, labels=2)


def _verdict_text(found: Ratio | str) -> str:
    if isinstance(found, Ratio):
        return unbroken(found.verdict)
    return "left out" if "left out" in found else "not measured"


# ---- response times ---------------------------------------------------------------------------------------------


def response_times(comparison: Comparison, files: Sequence[str]) -> Section:
    """How long requests took: percentiles of each round, and how the times are spread."""
    heads = (
        *("clients", "protocol", "half within", "interval", "90 % within", "99 % within", "interval"),
        *("longest", "requests", "not done"),
    )
    rows = [
        (f"{run.workload.clients}" if begins else "", run.protocol, *_times_of(run))
        for run, begins in _in_order(comparison)
    ]
    notes = (
        "From when a request was due to when it was answered. A percentile is of one round; shown are the centre of "
        f"the rounds and its {_percent(LEVEL)} interval (see “How it was measured”). What was not answered counts "
        "with its age when the round ended.",
    )
    clients = _most_telling(comparison)
    runs = [
        run
        for run, _ in _in_order(comparison)
        if run.workload.clients == clients and run.samples is not None and len(run.samples)
    ]
    body = wide_table(Table("How long messages took, in ms", heads, tuple(rows), notes, labels=2))
    if runs:
        title = html.element("h3", html.escape(f"With {plural(clients, 'client')}"))
        body += title + picture(latency_distribution, runs) + picture(percentiles, runs)
    return Section(TIMES, body, _origin(comparison, files, "p50_ms", "p99_ms"))


def _times_of(run: Run) -> tuple[str, ...]:
    samples = run.samples
    if samples is None or not len(samples):
        return ("not kept", *[""] * 7)
    kept = [round for round in run.rounds if round.samples]
    half, most, nearly_all = (
        location_text([time for round in kept if (time := round.response_ms(percent)) is not None], ",.2f")
        for percent in (50, 90, 99)
    )
    longest = f"{samples.bounded_response_ns.max() / 1e6:,.1f}"
    return (*half, most[0], *nearly_all, longest, f"{samples.offered:,}", f"{samples.offered - samples.completed:,}")


# ---- where the time goes, and how much code it takes ------------------------------------------------------------


def where_time_goes(breakdown: CostBreakdown, file: str, reproduce: Reproduce = Reproduce()) -> Section:
    """What each part of a server adds to the cost of a request, as a table and as a picture."""
    quick = ", quick=True" * (breakdown.workload.seconds == QUICK_SECONDS)
    call = reproduce.call(
        f"cost_breakdown({reproduce.protocols(breakdown.protocols)!r}, seed={breakdown.workload.seed}{quick})"
    )
    origin = f"{file_link(file)}, every round of every stage; {html.code(call)} measures it again."
    return result_section(BREAKDOWN, breakdown, breakdown_bars, origin=origin)


def how_much_code(code: Complexity, file: str, reproduce: Reproduce = Reproduce()) -> Section:
    """Lines, branches and names of each protocol's client, server and tests."""
    command = html.code(reproduce.command("complexity", *reproduce.protocols(code.protocols)))
    origin = f"{file_link(file)}; counted from the source by {command}, the same each time."
    return result_section("How much code it takes", code, origin=origin)


# ---- what a rate does to response times -------------------------------------------------------------------------


def under_load(saturations: Sequence[Saturation], left_out: Mapping[str, str], files: Sequence[str] = ()) -> Section:
    """Response times over the rate, in an open loop. `left_out` has the protocols without (all of) it, and why."""
    tried = [saturation.protocol for saturation in saturations]
    missing = [f"{name} is left out{' from there on' * (name in tried)}: {why}." for name, why in left_out.items()]
    body = origin = ""
    if saturations:
        limits = html.list_of(map(html.escape, map(_limit_text, saturations)))
        body = wide_table(_attempts_table(saturations)) + limits + picture(throughput_latency, saturations)
    if missing:
        body += html.list_of(map(html.escape, missing))
    if files:
        rows = f"{_loaded('Saturation', files[0])} has a row for each try."
        origin = f"{_and(map(file_link, files))}; {rows}"
    return Section("Throughput and response times", body, origin)


def _attempts_table(saturations: Sequence[Saturation]) -> Table:
    tables, load = [saturation.table() for saturation in saturations], saturations[0].workload
    rows = [
        ("" if number else saturation.protocol, *row)
        for saturation, table in zip(saturations, tables)
        for number, row in enumerate(table.rows)
    ]
    notes = (
        f"Open loop: {plural(load.clients, 'client')}, {load.arrivals} arrivals of messages of {load.size_in_words}, "
        f"{load.duration}, seed {load.seed}. {_GENERATORS['light']} The lowest rate came first, until the server was "
        "left behind. A rate was tried once, and again where the generator was late: this shows the shape and the "
        "order of magnitude, and has no intervals.",
    )
    return Table("Requests that fall due by a schedule", ("protocol", *tables[0].heads), tuple(rows), notes)


def _limit_text(saturation: Saturation) -> str:
    """Between which two of the rates the limit lies, as far as the generator let it be seen."""
    kept, within = saturation.rate, f"{_percent(0.99)} within {saturation.bound_ms:g} ms"
    of_the_server = [attempt for attempt in saturation.attempts if not attempt.run.generator_limited]
    beyond = [attempt.rate for attempt in of_the_server if not attempt.sustained and attempt.rate > (kept or 0)]
    parts = []
    if kept is not None:
        parts.append(f"kept up with {kept:,.0f} requests a second, {within}")
    if beyond:
        parts.append(f"did not keep up with {min(beyond):,.0f}")
    if not parts:
        return f"{saturation.protocol}: nothing can be said, because the generator was late at every rate."
    if len(of_the_server) < len(saturation.attempts):
        parts.append("rates at which the generator was late say nothing about the server")
    return f"{saturation.protocol} {'; '.join(parts)}."


# ---- how and where ----------------------------------------------------------------------------------------------


def _slices_in_words(comparison: Comparison) -> str:
    turns = max(each.slices for run in comparison.runs for each in run.rounds)
    if turns == 1:
        return ""
    return (
        f" Within a round the servers run at the same time and are measured in up to {turns} short time slices each: "
        "one has the load until all is answered, the others are idle, and only that time counts. Two protocols "
        "alternate ABBA; with more the order is shuffled each time, and none has two slices in a row."
    )


def method(comparison: Comparison) -> Section:
    """What was done, in which order, what the words mean, and what was left out and why."""
    load = comparison.runs[0].workload
    who = _and(f"{n}" for n in comparison.clients)
    loop = (
        "an open loop: requests fall due by a schedule"
        if load.is_open
        else "a closed loop: the next is due when one is done"
    )
    facts = {
        "Load": f"{who} clients in pairs, {load.load_in_words}, {load.duration}, as {loop}. The seed {load.seed} "
        "decides every text.",
        "Checked": "Every answer and every delivery is comparison with what it must be while it is counted; a wrong "
        "one ends the measurement.",
        "Rounds": f"{_rounds_in_words(comparison)}{', because it ended early' * comparison.partial}; in each a fresh "
        "server process for each protocol and fresh connections. A round, not a message, is one observation.",
        "Order": "Protocols and numbers of clients come in an order shuffled by the seed; each second round is the "
        f"one before it backwards. What drifts in the machine so drifts for all alike.{_slices_in_words(comparison)}",
        "Generator": _GENERATORS[comparison.runs[0].generator],
        "Capacity": "What this generator did of this very load on this machine, with as many clients and as many on "
        "their way (in an open loop 16 for each), with a server that hands texts on and keeps nothing. Over gRPC such "
        "a server still has all of grpcio to carry: there a share near 100% says that the chat adds little to that. "
        "Where clearly more was measured than the clients could do then, that is not known: something disturbed its "
        "measurement.",
        "Latency": "The response time counts from when a request was due, not from when a late generator asked. In a "
        "closed loop the two are the same but for the generator's own delay. The warm-up is left out.",
        "Server's CPU": "The processor time of the server's process, all its threads, read from outside before and "
        "after, divided by messages done between the two readings. It is the number that busy clients and a busy "
        "machine disturb least.",
        "Bytes": "What TCP carries, counted by a relay between client and server, in steady state: when the same "
        "request costs the same twice in a row. The headers of TCP and IP are not in it.",
        "Intervals": f"{_percent(LEVEL)}: Hodges and Lehmann's centre of the rounds' logarithms with the limits of "
        "Wilcoxon's signed ranks, or Student's t where the rounds are too few for those. Ratios are of the same round "
        "of both.",
        "Generator-limited": "So is marked, and left out of comparisons of rates and times, what in most rounds had "
        f"clients busy for more than {_percent(results.GENERATOR_LIMIT)} of a processor; in an open loop also what "
        f"was asked late ({_percent(0.01)} later than {results.MAX_LATENESS_MS:g} ms and "
        f"{_percent(results.MAX_LATENESS_SHARE)} of the median response time) or not at all (more than "
        f"{_percent(1 - results.MIN_ATTEMPTED)}).",
        "Left out": _left_out(comparison),
    }
    return Section("How it was measured", html.definition_list(facts))


_GENERATORS = {
    "clients": "Clients as a user has them, all in one process of their own. What they need for themselves is part of "
    "the rate and of the response times, and they need more over one protocol than over another.",
    "light": "Requests encoded beforehand, over bare sockets, in a process of their own: it costs little, so that the "
    "server is measured.",
}


def _rounds_in_words(comparison: Comparison) -> str:
    least, most = min(len(run.rounds) for run in comparison.runs), comparison.rounds
    return plural(most, "round") if least == most else f"{least} to {most} rounds"


def _left_out(comparison: Comparison) -> str:
    limited = [
        f"{run.protocol} with {run.workload.clients}, generator-limited: {'; '.join(run.reasons)}"
        for run, _ in _in_order(comparison)
        if run.generator_limited
    ]
    places = [(name, n) for n in comparison.clients for name in comparison.protocols]
    missing = [f"{name} with {n}, not measured" for name, n in places if _run_of(comparison, name, n) is None]
    return (
        ". ".join(limited + missing) + "." if limited or missing else "Nothing was: no number was set by the generator."
    )


def environment(found: Environment) -> Section:
    """The machine and the versions, as they were kept with the numbers."""
    facts = {
        "Python": found.python,
        **dict(found.packages),
        "System": found.system,
        "Processor": f"{found.processor}, {found.cores} of its cores" if found.processor else f"{found.cores} cores",
        "Pinned": found.pinned or "no process to any core",
        "Load before": "not known" if found.load is None else f"{found.load:.1f} runnable processes",
        "Stolen by the host": (
            "not known" if found.stolen is None else f"{found.stolen:.1%} of the processors' time meanwhile"
        ),
    }
    return Section(
        "Where it was measured", html.definition_list(facts), "kept with every number, in each of the files below."
    )


def limits(comparison: Comparison) -> Section:
    """What should not be concluded from the page."""
    load = comparison.runs[0].workload
    fewest = min(
        (len(each.samples) for run in comparison.runs for each in run.rounds if each.samples is not None), default=0
    )
    said = [
        "<b>Nothing about a network.</b> Client and server share one machine and its loopback: no distance, no loss, "
        "no packets of 1,500 bytes.",
        "<b>Nothing about gRPC or sockets as such.</b> These are one chat and these servers, in Python; grpcio's core "
        "is C, our servers are Python. Other languages, TLS and compression would give other numbers.",
        f"<b>Nothing about other loads.</b> Messages of {html.escape(load.size_in_words)}, "
        f"{html.escape(load.duration)}: no long run, no large message, no crowd beyond the clients of the tables.",
        "<b>Little about the server's highest rate</b> in the closed loop: each client waits for its answers. "
        "The open loop shows more of it, with one try for each rate.",
        f"<b>Nothing about rare delays.</b> A round had {fewest:,} requests at the least; beyond the 99th percentile "
        "that is a handful, and the longest is one.",
        "<b>No control.</b> No protocol was measured beside itself: the intervals are all that is known of the noise.",
        "<b>Nothing about another day.</b> The intervals cover rounds on this machine at this time; another machine "
        "may even turn an order round.",
    ]
    return Section("What this does not say", html.list_of(said))


def raw_data(files: Mapping[str, str], again: str) -> Section:
    """Links to the files beside the page, with a word on each, and the command that measures reproduce."""
    items = [f"{file_link(name)}: {html.escape(what)}" for name, what in files.items()]
    return Section("Raw data", html.list_of(items) + f"<p>The same measurement again: {html.code(again)}</p>")


# ---- what sections share ----------------------------------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{NO_BREAK}%"


class MetricText(NamedTuple):
    """How the page tells a number by which protocols are comparison: its name, a sentence with a place for it, its
    digits."""

    name: str
    sentence: str
    spec: str
    more: str
    less: str


#: Of what `results.COMPARED` has.
METRICS: dict[ComparisonMetric, MetricText] = {
    "rate": MetricText("Rate", "did {} messages a second", ",.0f", "faster", "slower"),
    "server_cpu_us": MetricText(
        "Server's CPU", "took {} µs of the server's processor time for a message", ",.1f", "more", "less"
    ),
    "p99_ms": MetricText(
        "Response time", f"answered {_percent(0.99)} of its messages within {{}} ms", ",.2f", "longer", "shorter"
    ),
}


def location_text(values: Sequence[float], spec: str) -> tuple[str, str]:
    """The rounds' centre and the limits of its interval: of their logarithms, as none of them can be below 0."""
    if len(values) < 2 or min(values) <= 0:
        return f"{results.spread(values).median:{spec}}", "?"
    found = location([log(value) for value in values])
    low, high = ("?" if limit is None else f"{exp(limit):{spec}}" for limit in (found.low, found.high))
    return f"{exp(found.value):{spec}}", unbroken(f"{low} … {high}")


def _run_of(comparison: Comparison, protocol: str, clients: int) -> Run | None:
    """None where it ended before."""
    try:
        return comparison[protocol, clients]
    except KeyError:
        return None


def _in_order(comparison: Comparison) -> Iterable[tuple[Run, bool]]:
    """The runs by their number of clients, and whether a number begins with it."""
    for clients in comparison.clients:
        runs = [run for name in comparison.protocols if (run := _run_of(comparison, name, clients)) is not None]
        yield from ((run, run is runs[0]) for run in runs)


def _origin(comparison: Comparison, files: Sequence[str], *columns: str) -> str:
    has = _and(html.code(column) for column in columns)
    return f"{_and(map(file_link, files))}; {_loaded('Comparison', files[0])} has a row for each round, with {has}."


def _loaded(kind: str, file: str) -> str:
    return f"beside this page, {html.code(Reproduce().call(f'{kind}.load({file!r}).to_frame()'))}"


def plural(count: int, what: str) -> str:
    return f"{count} {what}{'s'[: count > 1]}"


def _and(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
