"""How a result looks as a table: in plain text, and in HTML that can be read on light and dark pages alike.

Both say the same. Where a page's styles are taken away, as on GitHub, the HTML is still a plain table.
"""

from dataclasses import dataclass
from functools import singledispatch
from html import escape

from .complexity import WRITTEN, Complexity, Library
from .results import ByteTable, Comparison, Run, SizeTable, Spread
from .saturation import Saturation

_INK = "var(--jp-content-font-color0, var(--vscode-foreground, inherit))"
_FAINT = "var(--jp-content-font-color2, var(--vscode-descriptionForeground, inherit))"
_LINE = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, 0.4)))"


@dataclass(frozen=True)
class Table:
    """Text in rows and columns. The first `labels` columns name the row, the others are numbers or remarks."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    labels: int = 1


def as_text(result) -> str:
    """What `print` shows of a result."""
    return _text(table(result))


def as_html(result) -> str:
    """What a notebook shows of a result."""
    return _html(table(result))


# ---- what is in the table ---------------------------------------------------------------------------------------


@singledispatch
def table(result) -> Table:
    """The result as a `Table`."""
    raise TypeError(f"a {type(result).__name__} is not a result that can be shown as a table")


@table.register
def _itself(result: Table) -> Table:
    return result


@table.register
def _bytes(result: ByteTable) -> Table:
    rows = []
    for operation in result.operations:
        for row in (each for each in result.rows if each.operation == operation):
            numbers = row.steady.up, row.steady.down, row.steady.total, row.first.up, row.first.down, row.first.total
            named = operation if not rows or rows[-1][2] != operation else ""
            rows.append((named, row.protocol, operation, *(f"{n:,}" for n in numbers)))
    rows = [(named, protocol, *numbers) for named, protocol, _, *numbers in rows]
    heads = ("operation", "protocol", "up", "down", "together", "first up", "first down", "first together")
    notes = (
        "up: to the server, down: from it. first: asked for the first time on a connection; "
        "a first create_account includes setting the connection up.",
        "What the client sends by itself for what it has shown, acknowledge, is counted apart.",
    )
    return Table("Bytes at the socket", heads, tuple(rows), notes, labels=2)


@table.register
def _sizes(result: SizeTable) -> Table:
    totals = {(row.operation, row.protocol, row.size): f"{row.total:,}" for row in result.rows}
    rows = []
    for operation in result.operations:
        protocols = [name for name in result.protocols if any(key[:2] == (operation, name) for key in totals)]
        for protocol in protocols:
            cells = [totals.get((operation, protocol, size), "") for size in result.sizes]
            rows.append((operation if protocol == protocols[0] else "", protocol, *cells))
    notes = ("Both ways together, in steady state. An empty place: the operation does not come in that size.",)
    return Table("Bytes at the socket", ("operation", "protocol", *result.sizes), tuple(rows), notes, labels=2)


@table.register
def _comparison(result: Comparison) -> Table:
    rows = []
    for clients in result.clients:
        runs = [run for run in result.runs if run.workload.clients == clients]  # of an interrupted one, not of all protocols
        rows += [("" if number else f"{clients}", run.protocol, *_rates(run)) for number, run in enumerate(runs)]
    heads = ("clients", "protocol", *_RATE_HEADS)
    notes = (*_load_notes(result.runs), *_verdicts(result), str(result.environment))
    return Table("Messages per second", heads, tuple(rows), notes, labels=2)


def _verdicts(result: Comparison) -> list[str]:
    """For each number of clients, each protocol beside the first: what may be believed of the differences."""
    there = {(run.protocol, run.workload.clients) for run in result.runs if len(run.rounds) > 1}
    first, *others = result.protocols
    pairs = [(n, other) for n in result.clients for other in others if {(first, n), (other, n)} <= there]
    return [f"With {clients}, {other} beside {first}: {_verdict(result, other, first, clients)}." for clients, other in pairs]


def _verdict(result: Comparison, a: str, b: str, clients: int) -> str:
    said = []
    for of, name in ("rate", "rate"), ("server_cpu_us", "server"):
        try:
            said.append(f"{name}: {result.ratio(a, b, clients, of)}")
        except ValueError as error:
            said.append(f"{name}: left out, generator-limited" if "left out" in str(error) else f"{name}: not measured")
    return "; ".join(said)


@table.register
def _run(result: Run) -> Table:
    heads = ("protocol", *_RATE_HEADS)
    within = [(percent, result.response_interval_ms(percent)) for percent in (50, 99)]
    told = ", ".join(f"p{percent} {found} ms" for percent, found in within if found is not None)
    intervals = [f"With the 95 % intervals of all its requests: {told}."] * bool(told)
    notes = (f"{result.workload}.", *_load_notes([result])[1:], *intervals, str(result.environment))
    return Table("Messages per second", heads, ((result.protocol, *_rates(result)),), notes)


_RATE_HEADS = ("messages/s", "least to most", "p50 ms", "p99 ms", "server CPU µs/message", "clients' CPU", "")


def _rates(run: Run) -> tuple[str, ...]:
    cpu = run.server_cpu_us
    server = "not read" if cpu is None else f"{cpu.median:,.1f}"
    busy = f"{run.generator_share.median:.0%}"
    times = [run.response_ms(percent) for percent in (50, 99)]
    told = ["not kept" if ms is None else f"{ms.median:,.2f}" for ms in times]
    marks = ["◂ generator-limited" if run.workload.is_open else "◂ clients' limit"] * run.generator_limited
    marks += ["◂ partial"] * run.partial
    return f"{run.rate.median:,.0f}", _range(run.rate), *told, server, busy, " ".join(marks)


def _range(values: Spread) -> str:
    return f"{values.least:,.0f} to {values.most:,.0f}"


def _load_notes(runs) -> list[str]:
    load, rounds = runs[0].workload, len(runs[0].rounds)
    turns = max(each.turns for run in runs for each in run.rounds)
    loop = "Open loop" if load.is_open else "Closed loop"
    whose = "" if load.is_open or load.in_flight > 1 else "each client has "
    notes = [
        f"{loop}: {whose}{load.load_in_words.removesuffix(' for each')}; {load.duration}, seed {load.seed}; "
        f"the median of {rounds} {'round' if rounds == 1 else 'rounds'}.",
        *[f"In each the servers stood there at the same time and took turns, up to {turns} each."] * (turns > 1),
        *["A message is sent, answered, pushed, received and acknowledged."] * (load.operations == (("send", 1.0),)),
        _GENERATED[runs[0].generator],
    ]
    notes += ["◂ partial: it ended early, and this is what was done by then."] * any(run.partial for run in runs)
    notes += _counted(runs)
    if any(run.generator_limited for run in runs):
        mark = "generator-limited" if load.is_open else "clients' limit"
        limited = next(run for run in runs if run.generator_limited)
        notes.append(f"◂ {mark}: {limited.warning}. {limited.protocol}: {'; '.join(limited.reasons)}.")
    if runs[0].environment.warning:
        notes.append(f"Careful: {runs[0].environment.warning}.")
    return notes


_GENERATED = {
    "clients": "The load came from clients as a user has them (generator: clients).",
    "light": "The load came from requests spelled beforehand, at little cost (generator: light).",
}


def _counted(runs) -> list[str]:
    """What was due and not done, and what the generator can do, where there is something to tell."""
    notes = []
    for run in runs:
        samples = run.samples
        if samples is not None and (samples.unsent or samples.unanswered):
            notes.append(f"{run.protocol}: of {samples.offered:,} due, {samples.unsent:,} not asked, {samples.unanswered:,} not done.")
    if known := _by_protocol(runs, "share_of_capacity", ".0%"):
        notes.append(f"Of what the same clients did with a server that does next to nothing: {known}.")
    return notes


def _by_protocol(runs, field: str, spec: str) -> str:
    """The least and the most of it, for each protocol of which it is known."""
    known: dict[str, list[float]] = {}
    for run in runs:
        if (value := getattr(run, field)) is not None:
            known.setdefault(run.protocol, []).append(value)
    told = {name: dict.fromkeys(f"{each:{spec}}" for each in (min(all_), max(all_))) for name, all_ in known.items()}
    return ", ".join(f"{name} {' to '.join(limits)}" for name, limits in told.items())


@table.register
def _saturation(result: Saturation) -> Table:
    rows = []
    for each in sorted(result.tries, key=lambda each: each.rate):
        done, only = each.run.rate.median, each.run.rounds[0]
        times = [only.response_ms(percent) for percent in (50, 99)]
        told = ["none" if ms is None else f"{ms:,.2f}" for ms in times]
        rows.append((f"{each.rate:,.0f}", f"{done:,.0f}", *told, "yes" if each.sustained else f"no: {each.why_not}"))
    notes = (f"{result.verdict}.", f"{result.workload}.", *["◂ partial: it ended early."] * result.partial, str(result.environment))
    return Table(f"What {result.protocol} sustains", ("offered/s", "done/s", "p50 ms", "p99 ms", "sustained"), tuple(rows), notes)


@table.register
def _complexity(result: Complexity) -> Table:
    def row(head: str, measure: str, *parts: str, **which) -> tuple[str, ...]:
        found = [getattr(result.size(name, *parts, **which), measure) for name in result.protocols]
        return "", head, *(f"{n:,}" if n else "" for n in found)

    libraries = [sum(library.lines for library in result.libraries_of(name)) for name in result.protocols]
    lines = [
        *(row(part, "lines", part) for part in WRITTEN), row("together", "lines"), row("its own", "lines", own=True),
        row("threads alone", "lines", engine="threads"), row("a loop alone", "lines", engine="loop"),
        row("tests", "lines", "tests"), row("tests in common", "lines", "tests in common"), row("generated", "lines", "generated"),
        ("", "in libraries", *(f"{n:,}" if n else "" for n in libraries)),
    ]  # fmt: skip
    branches = [*(row(part, "branches", part) for part in WRITTEN), row("together", "branches"), row("tests", "branches", "tests")]
    names = [*(row(part, "names", part) for part in WRITTEN), row("together", "names")]
    rows = []
    for measure, group in ("lines", lines), ("branches", branches), ("names", names), ("files", [row("together", "files")]):
        shown = [each for each in group if any(each[2:])]
        rows += [(measure if not number else "", *each[1:]) for number, each in enumerate(shown)]
    return Table("Code", ("", "part", *result.protocols), tuple(rows), _complexity_notes(result), labels=2)


def _complexity_notes(result: Complexity) -> tuple[str, ...]:
    chat = result.size(result.protocols[0], "chat").lines
    notes = [
        "lines: without blank ones, comments and docstrings. branches: McCabe's decisions (1976), each condition by itself. "
        "names: of other people's modules. An empty place: none.",
        "its own: what no other protocol of ours uses. threads alone, a loop alone: what is left where only one engine is wanted. "
        "tests: those that were written, not those that are enough; in common: every protocol of ours has to pass them.",
        *result.verdicts(),
    ]
    if chat:
        notes.append(f"Not in it: the chat itself, which is the same for all, {chat:,} lines.")
    if result.libraries:
        notes.append(f"Written by others, and run all the same: {'; '.join(map(_library, result.libraries))}.")
    if not result.has_tests:
        notes.append("The tests of chatlab's tests/ were not found beside the package; those of chatlab check are counted.")
    return tuple(notes)


def _library(library: Library) -> str:
    compiled = f" and {library.compiled / 1e6:,.1f} MB compiled" if library.compiled else ""
    who = "the chat itself, so in common for all" if library.common else ", ".join(library.protocols)
    return f"{library.name} {library.version} ({library.lines:,} lines of Python{compiled}) for {who}"


# ---- how it is written ------------------------------------------------------------------------------------------


def _text(table: Table) -> str:
    grid = [table.heads, *table.rows]
    widths = [max(len(row[i]) for row in grid) for i in range(len(table.heads))]
    sides = ["<" if i < table.labels or not head else ">" for i, head in enumerate(table.heads)]
    lines = ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths)).rstrip() for row in grid]
    rule = "─" * max(map(len, lines))
    return "\n".join([table.title, rule, lines[0], rule, *lines[1:], rule, *table.notes])


_INTERVAL = "\N{NO-BREAK SPACE}..\N{NO-BREAK SPACE}"  # stays on one line


def _html(table: Table) -> str:
    heads = "".join(_cell("th", head, i >= table.labels, 'scope="col"') for i, head in enumerate(table.heads))
    rows = "".join(f"<tr>{_row(table, row)}</tr>" for row in table.rows)
    notes = "".join(f'<div style="color: {_FAINT}; font-size: 90%">{escape(note)}</div>' for note in table.notes)
    caption = f'<caption style="text-align: left; font-weight: bold; color: {_INK}">{escape(table.title)}</caption>'
    style = f"border-collapse: collapse; color: {_INK}"
    return f'<table style="{style}">{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}'


def _row(table: Table, row: tuple[str, ...]) -> str:
    begins = bool(row[0])  # a group of rows begins where the first cell is not empty
    cells = [
        _cell("th", text, False, 'scope="row"', begins) if i < table.labels else _cell("td", text, True, "", begins)
        for i, text in enumerate(row)
    ]
    return "".join(cells)


def _cell(tag: str, text: str, is_number: bool, scope: str = "", begins: bool = False) -> str:
    line = f"border-top: 1px solid {_LINE}; " if begins else ""
    style = f"{line}text-align: {'right' if is_number else 'left'}; padding: 2px 8px; background: none; color: {_INK}"
    return f'<{tag}{" " + scope if scope else ""} style="{style}">{escape(text.replace(" .. ", _INTERVAL))}</{tag}>'
