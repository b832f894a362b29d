"""One page that says what was measured, how far it may be believed, and where each number comes from: a file by itself.

A page is a list of sections, and each function here makes one of them from what it tells of. It measures nothing and
writes no file. All that the page shows is inside it: no script, no font, no picture is fetched, and all text is escaped.
"""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import exp, log
from types import MappingProxyType
from typing import NamedTuple

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
from ..measurement.results.runs import Comparison, Run
from ..measurement.saturation import Saturation
from ..measurement.stats.intervals import LEVEL, STRICT_LEVEL, Ratio, location
from .report_page import NO_BREAK, Section, file_link, picture, unbroken, wide_table


def shown(title: str, result, *pictures, origin: str = "") -> Section:
    """A result as a section: its own table, and the pictures that these functions of `plots` draw of it. The origin is HTML."""
    return Section(title, wide_table(result) + "".join(picture(draw, result) for draw in pictures), origin)


class Reproduce(NamedTuple):
    """How to do again what a page tells of: lines that run as they stand, wherever they are typed."""

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


RATES, TIMES, LADDER = "Rate, and what a message costs the server", "Response times", "Where the time goes"


# ---- in short ---------------------------------------------------------------------------------------------------

IN_SHORT = "send 2 characters"  # the operation of which the summary tells


def summary(counted: ByteTable, compared: Comparison | None, climbed: CostBreakdown | None = None) -> Section:
    """What was found, in sentences: each with its interval and how sure it is."""
    clients = None if compared is None else _most_telling(compared)
    found = [_bytes_in_short(counted), *(_in_short(compared, clients, of) for of in TOLD if compared is not None)]
    if climbed is not None:
        found.append(_time_in_short(climbed))
    sure = "" if compared is None else html.paragraph(_how_sure(compared, clients), "faint")
    return Section(
        "In short", html.list_of(found) + sure, "computed from the tables below, whose origin is told there."
    )


def _how_sure(compared: Comparison, clients: int) -> str:
    why = ", the most with whom no number was the generator's" if _is_telling(compared, clients) else ""
    return (
        f"Rates and times are told for {_so_many(clients, 'client')}{why}; the tables have the others. "
        f"Each is the centre of {_rounds_in_words(compared)} with fresh servers, and in brackets is its {_percent(LEVEL)} interval; "
        "a ratio has one of its own, of the same rounds of both. "
        f"“Surely” means that the {_percent(STRICT_LEVEL)} interval, too, excludes that both are equal; “perhaps”, "
        f"that only the {_percent(LEVEL)} interval does, as it would by accident in one comparison of twenty."
    )


def _bytes_in_short(counted: ByteTable) -> str:
    operation = IN_SHORT if IN_SHORT in counted.operations else counted.operations[0]
    first, *others = [row for row in counted.rows if row.operation == operation]
    told = [f"{first.protocol} takes {first.steady.total:,} bytes, up and down."]
    for row in others:
        factor = row.steady.total / first.steady.total
        told.append(
            f"{row.protocol} takes {row.steady.total:,}, {factor:.{1 if factor < 10 else 0}f} times as many as {first.protocol}."
        )
    said = f", to {operation}, at the socket. Exact: counted, not sampled, and two fresh servers agreed."
    return f"<b>Bytes</b>{html.escape(said)}{html.list_of(map(html.escape, told))}"


def _in_short(compared: Comparison, clients: int, of: str) -> str:
    """Each protocol's number, and each beside the first."""
    told = [_alone(compared, name, clients, of) + _beside(compared, name, clients, of) for name in compared.protocols]
    return f"<b>{html.escape(TOLD[of].name)}</b>, with {_so_many(clients, 'client')}.{html.list_of(map(html.escape, told))}"


def _time_in_short(climbed: CostBreakdown) -> str:
    """Of each protocol's request the largest part, and whether it may be only scatter."""
    told = []
    for protocol in climbed.protocols:
        steps = [
            step
            for step in climbed.costs()
            if step.protocol == protocol and step.added is not None and step.share is not None
        ]
        largest = max(steps, key=lambda step: step.added.value, default=None)
        if largest is None or largest.added.low is None or 0 in largest.added:
            told.append(f"{protocol}: no part stands out of the scatter.")
            continue
        value, low, high = (_percent(each) for each in (largest.share.value, largest.share.low, largest.share.high))
        part = f"{'' if largest.differs else 'perhaps '}{largest.stage.part}"
        told.append(f"{protocol}: the largest part is {part}, {value} [{unbroken(f'{low} … {high}')}].")
    what = "the server's processor time" if climbed.metrics[0] == "cpu_us" else "the response time"
    return f"<b>Where the time goes</b>: of {what} for a request, with one on its way.{html.list_of(map(html.escape, told))}"


def _alone(compared: Comparison, protocol: str, clients: int, of: str) -> str:
    run, told, (value, *_) = _run_of(compared, protocol, clients), TOLD[of], results.COMPARED[of]
    values = [] if run is None else [value(each) for each in run.rounds]
    if not values or None in values:
        return f"{protocol} was not measured."
    centre, limits = _centre(values, told.spec)
    return f"{protocol} {told.said.format(f'{centre} [{limits}]')}."


def _beside(compared: Comparison, protocol: str, clients: int, of: str) -> str:
    first = compared.protocols[0]
    if protocol == first:
        return ""
    found = _ratio(compared, protocol, first, clients, of)
    told = f"{'surely ' * found.differs}{unbroken(found.verdict)}" if isinstance(found, Ratio) else found
    return f" Beside {first}: {told}."


def _ratio(compared: Comparison, a: str, b: str, clients: int, of: str) -> Ratio | str:
    """The ratio, or in words why there is none."""
    try:
        return replace(compared.ratio(a, b, clients, of), more=TOLD[of].more, less=TOLD[of].less)
    except KeyError:
        return "not measured"
    except ValueError as error:
        return str(error)


def _most_telling(compared: Comparison) -> int:
    """The most clients with whom every protocol was measured and no number was the generator's; else simply the most."""
    return max((n for n in compared.clients if _is_telling(compared, n)), default=compared.clients[-1])


def _is_telling(compared: Comparison, clients: int) -> bool:
    runs = [_run_of(compared, name, clients) for name in compared.protocols]
    return all(run is not None and not run.generator_limited for run in runs)


# ---- bytes ------------------------------------------------------------------------------------------------------


def bytes_on_the_wire(counted: ByteTable, file: str, again: Reproduce = Reproduce()) -> Section:
    """Every operation's bytes, as a table and as a picture. `file` is where the table is kept."""
    call = again.call(f"count_bytes({', '.join(map(repr, again.protocols(counted.protocols)))})")
    origin = f"{file_link(file)}, the same numbers; counted by {html.code(call)}, which gives them again with the same versions."
    return shown("Bytes on the wire", counted, bytes_per_operation, origin=origin)


# ---- rates ------------------------------------------------------------------------------------------------------


def rates(compared: Comparison, files: Sequence[str]) -> Section:
    """Messages a second and the server's processor time, for each protocol and number of clients, and what may be said of them."""
    body = wide_table(_rates_of(compared))
    if len(compared.protocols) > 1:
        body += wide_table(_verdicts(compared))
    body += picture(rate_by_clients, compared) + picture(cost_by_clients, compared)
    return Section(RATES, body, _origin(compared, files, "rate", "server_cpu_us"))


def _rates_of(compared: Comparison) -> Table:
    heads = (
        "clients", "protocol", "messages/s", "interval", "server CPU µs/message", "interval", "bytes/message", "clients' CPU",
        "of what they can",
    )  # fmt: skip
    rows = [
        (f"{run.workload.clients}" if begins else "", run.protocol, *_rate_of(run))
        for run, begins in _in_order(compared)
    ]
    notes = (
        f"Rates and the server's CPU: the centre of {_rounds_in_words(compared)} and its {_percent(LEVEL)} interval (how, is told below); "
        "the rest are medians. A message is sent, answered, pushed, received and acknowledged, and costs the server all of that. "
        "Bytes are the clients' own count at the socket for a message, with its acknowledgement and warm-up included and without setting up: how often one is acknowledged depends on the generator. "
        "The clients' CPU is the share of one processor that they used; what they can is how many messages of this load they did a second "
        "with a server that does next to nothing. An asterisk: the generator, not the server, set this rate. A dagger: ended early.",
    )
    return Table("Messages per second, and processor time for each", heads, tuple(rows), notes, labels=2)


def _rate_of(run: Run) -> tuple[str, ...]:
    mark = "*" * run.generator_limited + "†" * run.partial
    carried = [each.bytes_per_message for each in run.rounds]
    rate, rate_limits = _centre([each.rate for each in run.rounds], ",.0f")
    cpu = (
        ("not read", "") if run.server_cpu_us is None else _centre([each.server_cpu_us for each in run.rounds], ",.1f")
    )
    return (
        f"{rate}{mark}", rate_limits, *cpu,
        "not read" if None in carried else f"{results.spread(carried).median:,.0f}",
        f"{run.generator_share.median:.0%}",
        "not known" if run.share_of_capacity is None else f"{run.share_of_capacity:.0%} of {run.capacity:,.0f}/s",
    )  # fmt: skip


def _verdicts(compared: Comparison) -> Table:
    first, *others = compared.protocols
    rows = []
    for n in compared.clients:
        for other in others:
            told = [_in_a_word(_ratio(compared, other, first, n, of)) for of in TOLD]
            rows.append((f"{n}" if other == others[0] else "", f"{other} beside {first}", *told))
    heads = ("clients", "of whom", *(each.name for each in TOLD.values()))
    notes = (
        f"Each round of the one beside the same round of the other, with the {_percent(LEVEL)} interval. Without “perhaps”, a difference "
        f"is sure: the {_percent(STRICT_LEVEL)} interval excludes equality, too.",
    )
    return Table("What may be said of the differences", heads, tuple(rows), notes, labels=2)


def _in_a_word(found: Ratio | str) -> str:
    if isinstance(found, Ratio):
        return unbroken(found.verdict)
    return "left out" if "left out" in found else "not measured"


# ---- response times ---------------------------------------------------------------------------------------------


def response_times(compared: Comparison, files: Sequence[str]) -> Section:
    """How long requests took: percentiles of each round, and how the times are spread."""
    heads = (
        "clients",
        "protocol",
        "half within",
        "interval",
        "90 % within",
        "99 % within",
        "interval",
        "longest",
        "requests",
        "not done",
    )
    rows = [
        (f"{run.workload.clients}" if begins else "", run.protocol, *_times_of(run))
        for run, begins in _in_order(compared)
    ]
    notes = (
        f"From when a request was due to when it was answered. A percentile is of one round; told are the centre of the "
        f"rounds and its {_percent(LEVEL)} interval (how, is told below). What was not answered counts with its age when the round ended.",
    )
    clients = _most_telling(compared)
    runs = [
        run
        for run, _ in _in_order(compared)
        if run.workload.clients == clients and run.samples is not None and len(run.samples)
    ]
    body = wide_table(Table("How long messages took, in ms", heads, tuple(rows), notes, labels=2))
    if runs:
        body += f"<h3>With {_so_many(clients, 'client')}</h3>{picture(latency_distribution, runs)}{picture(percentiles, runs)}"
    return Section(TIMES, body, _origin(compared, files, "p50_ms", "p99_ms"))


def _times_of(run: Run) -> tuple[str, ...]:
    samples = run.samples
    if samples is None or not len(samples):
        return ("not kept", *[""] * 7)
    kept = [each for each in run.rounds if each.samples]
    half, (most, _), nearly_all = (
        _centre([each.response_ms(percent) for each in kept], ",.2f") for percent in (50, 90, 99)
    )
    return (
        *half, most, *nearly_all,
        f"{samples.bounded_response_ns.max() / 1e6:,.1f}", f"{samples.offered:,}", f"{samples.offered - samples.completed:,}",
    )  # fmt: skip


# ---- where the time goes, and how much code it takes ------------------------------------------------------------


def where_time_goes(climbed: CostBreakdown, file: str, again: Reproduce = Reproduce()) -> Section:
    """What each part of a server adds to the cost of a request, as a table and as a picture."""
    quick = ", quick=True" * (climbed.workload.seconds == QUICK_SECONDS)
    call = again.call(f"cost_breakdown({again.protocols(climbed.protocols)!r}, seed={climbed.workload.seed}{quick})")
    origin = f"{file_link(file)}, every round of every stage; {html.code(call)} measures it again."
    return shown(LADDER, climbed, breakdown_bars, origin=origin)


def how_much_code(found: Complexity, file: str, again: Reproduce = Reproduce()) -> Section:
    """Lines, branches and names of each protocol's client, server and tests."""
    command = again.command("complexity", *again.protocols(found.protocols))
    return shown(
        "How much code it takes",
        found,
        origin=f"{file_link(file)}; counted from the source by {html.code(command)}, the same each time.",
    )


# ---- what a rate does to response times -------------------------------------------------------------------------


def under_load(found: Sequence[Saturation], left_out: Mapping[str, str], files: Sequence[str] = ()) -> Section:
    """Response times over the rate, in an open loop. `left_out` says of whom it was not tried, or no further, and why."""
    tried = [each.protocol for each in found]
    missing = [f"{name} is left out{' from there on' * (name in tried)}: {why}." for name, why in left_out.items()]
    body = (
        wide_table(_tries_of(found))
        + html.list_of(map(html.escape, map(_kept_up, found)))
        + picture(throughput_latency, found)
        if found
        else ""
    )
    origin = (
        f"{_and(map(file_link, files))}; {_loaded('Saturation', files[0])} has a row for each try." if files else ""
    )
    return Section(
        "Throughput and response times", body + (html.list_of(map(html.escape, missing)) if missing else ""), origin
    )


def _tries_of(found: Sequence[Saturation]) -> Table:
    tables, load = [each.table() for each in found], found[0].workload
    rows = [
        ("" if number else each.protocol, *row)
        for each, made in zip(found, tables)
        for number, row in enumerate(made.rows)
    ]
    notes = (
        f"Open loop: {_so_many(load.clients, 'client')}, {load.arrivals} arrivals of messages of {load.size_in_words}, {load.duration}, "
        f"seed {load.seed}. {_GENERATORS['light']} The lowest rate came first, until the server was left behind. A rate was "
        "tried once, and again where the generator was late: this shows the shape and the order of magnitude, and has no intervals.",
    )
    return Table("Requests that fall due by a schedule", ("protocol", *tables[0].heads), tuple(rows), notes)


def _kept_up(found: Saturation) -> str:
    """Between which two of the rates the limit lies, as far as the generator let it be seen."""
    kept, within = found.rate, f"{_percent(0.99)} within {found.bound_ms:g} ms"
    servers = [each for each in found.attempts if not each.run.generator_limited]
    beyond = [each.rate for each in servers if not each.sustained and each.rate > (kept or 0)]
    parts = []
    if kept is not None:
        parts.append(f"kept up with {kept:,.0f} requests a second, {within}")
    if beyond:
        parts.append(f"did not keep up with {min(beyond):,.0f}")
    if not parts:
        return f"{found.protocol}: nothing can be said, because the generator was late at every rate."
    if len(servers) < len(found.attempts):
        parts.append("rates at which the generator was late say nothing about the server")
    return f"{found.protocol} {'; '.join(parts)}."


# ---- how and where ----------------------------------------------------------------------------------------------


def _turns_in_words(compared: Comparison) -> str:
    turns = max(each.slices for run in compared.runs for each in run.rounds)
    if turns == 1:
        return ""
    return (
        f" Within a round the servers stand there at the same time and take turns, up to {turns} each: one "
        "has the load until all is answered, the others are idle. Their clocks stand still meanwhile. Two of them come forwards and "
        "backwards; of more the order is shuffled each time, and nobody comes twice in a row."
    )


def method(compared: Comparison) -> Section:
    """What was done, in which order, what the words mean, and what was left out and why."""
    load = compared.runs[0].workload
    who = _and(f"{n}" for n in compared.clients)
    loop = (
        "an open loop: requests fall due by a schedule"
        if load.is_open
        else "a closed loop: the next is due when one is done"
    )
    facts = {
        "Load": f"{who} clients in pairs, {load.load_in_words}, {load.duration}, as {loop}. The seed {load.seed} decides every text.",
        "Checked": "Every answer and every delivery is compared with what it must be while it is counted; a wrong one ends the "
        "measurement.",
        "Rounds": f"{_rounds_in_words(compared)}{', because it ended early' * compared.partial}; in each a fresh server "
        "process for each protocol and fresh connections. A round, not a message, is one observation.",
        "Order": "Protocols and numbers of clients come in an order shuffled by the seed; each second round is the one before it "
        f"backwards. What drifts in the machine so drifts for all alike.{_turns_in_words(compared)}",
        "Generator": _GENERATORS[compared.runs[0].generator],
        "Capacity": "What this generator did of this very load on this machine, with as many clients and as many on their way (in an open "
        "loop 16 for each), with a server that hands texts on and keeps nothing. Over gRPC such a server still has all of grpcio to carry: "
        "there a share near 100% says that the chat adds little to that. Where clearly more was measured than the clients could do then, that is not known: something disturbed its measurement.",
        "Latency": "The response time counts from when a request was due, not from when a late generator asked. In a closed loop the "
        "two are the same but for the generator's own delay. The warm-up is left out.",
        "Server's CPU": "The processor time of the server's process, all its threads, read from outside before and after, divided by "
        "messages done between the two readings. It is the number that busy clients and a busy machine disturb least.",
        "Bytes": "What TCP carries, counted by a relay between client and server, in steady state: when the same request costs the same "
        "twice in a row. The headers of TCP and IP are not in it.",
        "Intervals": f"{_percent(LEVEL)}: Hodges and Lehmann's centre of the rounds' logarithms with the limits of Wilcoxon's signed "
        "ranks, or Student's t where the rounds are too few for those. Ratios are of the same round of both.",
        "Generator-limited": "So is marked, and left out of comparisons of rates and times, what in most rounds had clients busy for more "
        f"than {_percent(results.GENERATOR_LIMIT)} of a processor; in an open loop also what was asked late ({_percent(0.01)} later than "
        f"{results.MAX_LATENESS_MS:g} ms and {_percent(results.MAX_LATENESS_SHARE)} of the median response time) or not at all (more than "
        f"{_percent(1 - results.MIN_ATTEMPTED)}).",
        "Left out": _left_out(compared),
    }
    return Section("How it was measured", html.definition_list(facts))


_GENERATORS = {
    "clients": "Clients as a user has them, all in one process of their own. What they need for themselves is part of the rate "
    "and of the response times, and they need more over one protocol than over another.",
    "light": "Requests spelled beforehand over bare sockets, in a process of their own: it costs little, so that the server is measured.",
}


def _rounds_in_words(compared: Comparison) -> str:
    least, most = min(len(run.rounds) for run in compared.runs), compared.rounds
    return _so_many(most, "round") if least == most else f"{least} to {most} rounds"


def _left_out(compared: Comparison) -> str:
    limited = [
        f"{run.protocol} with {run.workload.clients}, generator-limited: {'; '.join(run.reasons)}"
        for run, _ in _in_order(compared)
        if run.generator_limited
    ]
    places = [(name, n) for n in compared.clients for name in compared.protocols]
    missing = [f"{name} with {n}, not measured" for name, n in places if _run_of(compared, name, n) is None]
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
        "Pinned": found.pinned or "nobody to any core",
        "Load before": "not told" if found.load is None else f"{found.load:.1f} runnable processes",
        "Stolen by the host": "not told"
        if found.stolen is None
        else f"{found.stolen:.1%} of the processors' time meanwhile",
    }
    return Section(
        "Where it was measured", html.definition_list(facts), "kept with every number, in each of the files below."
    )


def limits(compared: Comparison) -> Section:
    """What nobody should conclude from the page."""
    load = compared.runs[0].workload
    fewest = min(
        (len(each.samples) for run in compared.runs for each in run.rounds if each.samples is not None), default=0
    )
    said = [
        "<b>Nothing about a network.</b> Client and server share one machine and its loopback: no distance, no loss, no packets "
        "of 1,500 bytes.",
        "<b>Nothing about gRPC or sockets as such.</b> These are one chat and these servers, in Python; grpcio's core is C, our servers "
        "are Python. Other languages, TLS and compression would give other numbers.",
        f"<b>Nothing about other loads.</b> Messages of {html.escape(load.size_in_words)}, {html.escape(load.duration)}: no long run, no large "
        "message, no crowd beyond the clients of the tables.",
        "<b>Little about the server's highest rate</b> in the closed loop: each client waits for its answers. "
        "The open loop shows more of it, with one try for each rate.",
        f"<b>Nothing about rare delays.</b> A round had {fewest:,} requests at the least; beyond the 99th percentile that is a handful, "
        "and the longest is one.",
        "<b>No control.</b> No protocol was measured beside itself: the intervals are all that is known of the noise.",
        "<b>Nothing about another day.</b> The intervals cover rounds on this machine at this time; another machine may even turn "
        "an order round.",
    ]
    return Section("What this does not say", html.list_of(said))


def raw_data(files: Mapping[str, str], again: str) -> Section:
    """Links to the files beside the page, with a word on each, and the command that measures again."""
    items = [f"{file_link(name)}: {html.escape(what)}" for name, what in files.items()]
    return Section("Raw data", html.list_of(items) + f"<p>The same measurement again: {html.code(again)}</p>")


# ---- what sections share ----------------------------------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{NO_BREAK}%"


class Told(NamedTuple):
    """How the page tells a number by which protocols are compared: its name, a sentence with a place for it, its digits."""

    name: str
    said: str
    spec: str
    more: str
    less: str


#: Of what `results.COMPARED` has.
TOLD = {
    "rate": Told("Rate", "did {} messages a second", ",.0f", "faster", "slower"),
    "server_cpu_us": Told(
        "Server's CPU", "took {} µs of the server's processor time for a message", ",.1f", "more", "less"
    ),
    "p99_ms": Told(
        "Response time", f"answered {_percent(0.99)} of its messages within {{}} ms", ",.2f", "longer", "shorter"
    ),
}


def _centre(values: Sequence[float], spec: str) -> tuple[str, str]:
    """The rounds' centre and the limits of its interval: of their logarithms, as none of them can be below 0."""
    if len(values) < 2 or min(values) <= 0:
        return f"{results.spread(values).median:{spec}}", "?"
    found = location([log(value) for value in values])
    return f"{exp(found.value):{spec}}", unbroken(f"{exp(found.low):{spec}} … {exp(found.high):{spec}}")


def _run_of(compared: Comparison, protocol: str, clients: int) -> Run | None:
    """None where it ended before."""
    try:
        return compared[protocol, clients]
    except KeyError:
        return None


def _in_order(compared: Comparison) -> Iterable[tuple[Run, bool]]:
    """The runs by their number of clients, and whether a number begins with it."""
    for clients in compared.clients:
        runs = [run for name in compared.protocols if (run := _run_of(compared, name, clients)) is not None]
        yield from ((run, run is runs[0]) for run in runs)


def _origin(compared: Comparison, files: Sequence[str], *columns: str) -> str:
    has = _and(html.code(column) for column in columns)
    return f"{_and(map(file_link, files))}; {_loaded('Comparison', files[0])} has a row for each round, with {has}."


def _loaded(kind: str, file: str) -> str:
    return f"beside this page, {html.code(Reproduce().call(f'{kind}.load({file!r}).to_frame()'))}"


def _so_many(count: int, what: str) -> str:
    return f"{count} {what}{'s'[: count > 1]}"


def _and(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
