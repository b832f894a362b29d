"""How a result looks as a picture. The only home of matplotlib, which is loaded when the first picture is drawn.

Each protocol has one colour, one marker, one line and one hatch everywhere, so that no picture needs colour to be read.
A function draws on the `ax` it is given, or on a figure of its own, and returns the Axes; it changes no global setting.
What is to be seen is also in words: `ax.sentence`.
"""

from dataclasses import dataclass
from textwrap import fill
from zlib import crc32

from .dissect.costs import LAYERS, TCP_IP
from .dissect.hexview import TINTS, HexTable
from .results import ByteTable, Comparison, Environment, Run, SizeTable
from .trace import Trace

INK, FAINT, GRID = "#222222", "#6b6b6b", "#e3e3e3"
LABEL_CUT = 24  # characters of a text, beside its arrow


@dataclass(frozen=True)
class Style:
    """How a protocol is drawn."""

    color: str
    marker: str
    line: str
    hatch: str


#: Colours of Okabe and Ito, which colour-blind people can tell apart: the socket protocols warm and green, gRPC blue.
PROTOCOL_STYLE = {
    "text": Style("#d55e00", "o", "-", ""),
    "json": Style("#cc79a7", "s", "--", "//"),
    "binary": Style("#e69f00", "D", "-.", "\\\\"),
    "protobuf": Style("#009e73", "P", ":", "xx"),
    "grpc": Style("#0072b2", "^", "-", ".."),
    "grpc-stream": Style("#56b4e9", "v", "--", "--"),
}
#: For protocols of a reader's own.
_FOREIGN = (
    Style("#222222", "X", "-", "++"),
    Style("#7f7f7f", "h", "--", "oo"),
    Style("#8c6d1f", "*", "-.", "||"),
    Style("#5b3a8c", "p", ":", "**"),
)


def style_of(protocol: str) -> Style:
    """The protocol's style; a foreign one has the same style every time, by its name."""
    return PROTOCOL_STYLE.get(protocol) or _FOREIGN[crc32(protocol.encode()) % len(_FOREIGN)]


# ---- bytes ------------------------------------------------------------------------------------------------------


def bytes_per_operation(table: ByteTable, ax=None):
    """For each operation a bar for each protocol: bytes up (full) and down (pale) in steady state, and the first call."""
    protocols, operations = table.protocols, table.operations
    height = 0.8 / len(protocols)
    ax = ax or _axes(7.6, _height(table))
    most = max(row.steady.total for row in table.rows)
    for row in table.rows:
        style, first = style_of(row.protocol), row.first.total
        y = operations.index(row.operation) + (protocols.index(row.protocol) - (len(protocols) - 1) / 2) * height
        up = row.steady.up
        ax.barh(y, up, height * 0.86, color=style.color, hatch=style.hatch, edgecolor="white", lw=0, zorder=2)
        ax.barh(y, row.steady.down, height * 0.86, left=up, color=_pale(style.color), edgecolor=style.color, lw=0.6, zorder=2)
        told = f"{row.steady.total:,}" + (f"   first: {first:,}" if first != row.steady.total else "")
        ax.text(row.steady.total + most * 0.012, y, told, va="center", fontsize=8, color=INK)
    ax.set_yticks(range(len(operations)), operations, fontsize=9)
    ax.set_ylim(len(operations) - 0.5, -0.5)
    ax.set_xlim(0, most * 1.28)
    ax.set_xlabel("bytes at the socket, in steady state")
    ax.set_title("What an operation costs on the wire", loc="left", fontsize=12, color=INK)
    _plain(ax, "x")
    for between in range(1, len(operations)):
        ax.axhline(between - 0.5, color=GRID, lw=0.8, zorder=0)
    _bars_legend(ax, protocols)
    note = "“first” is the first such request on a connection; a first create_account includes the set-up of the connection."
    _footnote(ax, note, table.environment)
    return _sentence(ax, _bytes_in_words(table))


def _bars_legend(ax, protocols) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=style_of(name).color, hatch=style_of(name).hatch, edgecolor="white", lw=0, label=name) for name in protocols]
    handles.append(Patch(facecolor="#777777", label="up, to the server"))
    handles.append(Patch(facecolor=_pale("#777777"), edgecolor="#777777", lw=0.6, label="down"))
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(handles), **_LEGEND)
    ax.set_title(ax.get_title(loc="left"), loc="left", fontsize=12, color=INK, pad=26)


def _bytes_in_words(table: ByteTable) -> str:
    shown = [name for name in ("ping", "send 2 characters") if name in table.operations] or table.operations[:1]
    parts = [
        f"{operation}: {', '.join(f'{row.protocol} {row.steady.total}' for row in table.rows if row.operation == operation)}"
        for operation in shown
    ]
    return f"Bars of the bytes that each of {len(table.operations)} operations takes at the socket. " + "; ".join(parts) + "."


def annotated_bytes(frame, ax=None):
    """A dissected frame as a picture of its hex table: where CSS is stripped, and for slides."""
    table = HexTable(frame)
    rows = [[_cut(cell) for cell in (row[0], row[1], *row[3:])] for row in table.rows()]
    heads = (table.heads[0], table.heads[1], *table.heads[3:])
    widths = [max(len(line) for row in [heads, *rows] for line in row[i].split("\n")) for i in range(len(heads))]
    lefts = [sum(widths[:i]) + 2 * i for i in range(len(widths))]
    heights = [row[1].count("\n") + 1 for row in rows]
    ax = ax or _axes(1 + (sum(widths) + 2 * len(widths)) * 0.075, 0.8 + sum(heights) * 0.19)
    look = dict(fontsize=8.5, family="monospace", va="baseline", color=INK)
    for left, head in zip(lefts, heads):
        ax.text(left, -0.4, head, **look, weight="bold")
    y = 0
    for row, height, tint in zip(rows, heights, table.tints()):
        ax.axhline(y, color=GRID, lw=0.6)
        ax.plot([-0.7, -0.7], [y + 0.1, y + height - 0.1], color=tint, lw=4, solid_capstyle="butt")
        for left, cell in zip(lefts, row):
            for number, line in enumerate(cell.split("\n")):
                ax.text(left, y + number + 0.7, line, **look)
        y += height
    ax.set_xlim(-1.5, lefts[-1] + widths[-1] + 1)
    ax.set_ylim(y + 0.2, -1.3)
    ax.set_axis_off()
    ax.set_title(table.title(), loc="left", fontsize=11, color=INK)
    names = ", ".join(dict.fromkeys(field.name for field in frame.fields))
    return _sentence(ax, f"{table.title()}. From left to right: {names}. {table.notes()[0]}.")


def _cut(cell: str) -> str:
    return "\n".join(line if len(line) <= 48 else line[:47] + "…" for line in cell.split("\n"))


#: How a layer is drawn: the tints of the hex tables, and a hatch, so that it is told apart without colour.
_LAYER_HATCH = dict(zip(LAYERS, ("", "////", "\\\\\\\\", "....", "")))


def stacked_layers(table: SizeTable, ax=None):
    """For each operation and size a bar for each protocol, its layers stacked; TCP/IP's part, which is a model, is pale."""
    groups = list(dict.fromkeys((row.operation, row.size) for row in table.rows))
    height = 0.84 / len(table.protocols)
    ax = ax or _axes(7.6, 1.7 + len(groups) * (0.2 + 0.22 * len(table.protocols)))
    most = max(row.both.up_to(TCP_IP) for row in table.rows)
    for row in table.rows:
        middle = (len(table.protocols) - 1) / 2
        y = groups.index((row.operation, row.size)) + (table.protocols.index(row.protocol) - middle) * height
        left = 0
        for layer, size in row.both.to_dict().items():
            face = _pale(TINTS[layer]) if layer == TCP_IP else TINTS[layer]
            ax.barh(y, size, height * 0.84, left=left, color=face, hatch=_LAYER_HATCH[layer], edgecolor="white", lw=0, zorder=2)
            left += size
        ax.text(left + most * 0.012, y, f"{row.protocol}: {row.total:,}", va="center", fontsize=8, color=INK)
    one_size = len(table.sizes) == 1
    names = [operation if one_size or size == operation else f"{operation}\n{size}" for operation, size in groups]
    ax.set_yticks(range(len(groups)), names, fontsize=9)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlim(0, most * 1.22)
    ax.set_xlabel("bytes, both ways, in steady state")
    ax.set_title("What the bytes are for" + (f": {table.sizes[0]}" if one_size else ""), loc="left", fontsize=12, color=INK, pad=26)
    _plain(ax, "x")
    for between in range(1, len(groups)):
        ax.axhline(between - 0.5, color=GRID, lw=0.8, zorder=0)
    _layers_legend(ax)
    _footnote(ax, "The number is bytes at the socket, without TCP/IP's headers: those are modelled, 52 for each segment of 1448.", table.environment)
    return _sentence(ax, _layers_in_words(table))


def _layers_legend(ax) -> None:
    from matplotlib.patches import Patch

    faces = {layer: _pale(tint) if layer == TCP_IP else tint for layer, tint in TINTS.items()}
    handles = [Patch(facecolor=face, hatch=_LAYER_HATCH[layer], edgecolor="white", lw=0, label=layer) for layer, face in faces.items()]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(handles), **(_LEGEND | {"fontsize": 8}))


def _layers_in_words(table: SizeTable) -> str:
    first = table.rows[0]
    parts = [f"{row.protocol} {row.total}" for row in table.rows if (row.operation, row.size) == (first.operation, first.size)]
    return (
        f"Bars of bytes, stacked by layer, for {', '.join(table.operations)}. "
        f"At the socket, {first.operation}, {first.size}: {', '.join(parts)}."
    )


def overhead_by_information(table: SizeTable, ax=None):
    """Overhead over information, both in bytes, a line for each protocol; a ring where two lines cross, a diamond where one
    crosses the diagonal, on which half of all bytes are overhead."""
    ax = ax or _axes(7.2, 5.2)
    ends, places = [], []
    for name in table.protocols:
        style = style_of(name)
        line = sorted((row.both.information, row.both.overhead) for row in table.rows if row.protocol == name)
        xs, ys = zip(*line)
        places += line
        ax.plot(xs, ys, style.line, color=style.color, marker=style.marker, ms=5, lw=1.8, zorder=2)
        ends.append((xs[-1], ys[-1], name, style.color))
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = min(min(place) for place in places) * 0.8, max(x for x, _ in places)
    ax.set_xlim(low, high * 1.15)
    ax.set_ylim(low, max(y for _, y in places) * 1.6)
    ax.plot([low, high], [low, high], color=FAINT, lw=0.9, ls=(0, (4, 4)), zorder=1)
    crossings = table.crossings()
    for n, crossing in enumerate(crossings):
        has_neighbour = any(bool(c.other) == bool(crossing.other) and c.information < 2 * crossing.information for c in crossings[n + 1 :])
        _crossing(ax, crossing, has_neighbour)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlabel("bytes of information: which message, to whom, what")
    ax.set_ylabel("bytes of overhead at the socket")
    ax.set_title("What it costs to say so much", loc="left", fontsize=12, color=INK)
    _plain(ax, "both")
    _names_at_the_ends(ax, ends)
    note = "A request and its answer, in steady state. Ring: two protocols cost the same. Diamond: as much overhead as information."
    _footnote(ax, note, table.environment)
    return _sentence(ax, _crossings_in_words(table))


def _crossing(ax, crossing, has_neighbour: bool) -> None:
    """A mark and the information at it, on the side where no close neighbour to the right has its own."""
    from matplotlib.patheffects import withStroke

    place = crossing.information, crossing.overhead
    marker, size = ("o", 11) if crossing.other else ("D", 8)
    ax.plot(*place, marker, mfc="none" if crossing.other else "white", mec=INK, mew=1.3, ms=size, zorder=5)
    side = dict(xytext=(-8, 4), ha="right") if has_neighbour else dict(xytext=(8, 4 if crossing.other else -12), ha="left")
    look = dict(fontsize=8, color=INK, zorder=6, path_effects=[withStroke(linewidth=3, foreground="white")])
    ax.annotate(f"{crossing.information:,.0f}", place, textcoords="offset points", **look, **side)


def _crossings_in_words(table: SizeTable) -> str:
    told = [
        f"{each.protocol} and {each.other} meet at {each.information:,.0f}"
        if each.other
        else f"{each.protocol} has as much overhead as information at {each.information:,.0f}"
        for each in table.crossings()
    ]
    return f"Overhead over information, a line for each of {', '.join(table.protocols)}. In bytes of information: {'; '.join(told)}."


# ---- rates ------------------------------------------------------------------------------------------------------


def rate_by_clients(comparison: Comparison, ax=None):
    """Messages per second over the number of clients: the median of the rounds, and a band from the least to the most."""
    ax = ax or _axes(7.2, 4.6)
    _lines(ax, comparison, lambda run: run.rate)
    ax.set_ylabel("messages per second")
    ax.set_title("How many messages a second", loc="left", fontsize=12, color=INK)
    limited = any(run.generator_limited for run in comparison.runs)
    hollow = "Hollow and grey: the clients, not the server, set this number. " if limited else ""
    _footnote(ax, hollow + _load_in_words(comparison), comparison.environment)
    return _sentence(ax, _lines_in_words(comparison, "Messages per second"))


def cost_by_clients(comparison: Comparison, ax=None):
    """The server's processor time for a message over the number of clients: what a slow client cannot spoil."""
    ax = ax or _axes(7.2, 4.6)
    _lines(ax, comparison, lambda run: run.server_cpu_us)
    ax.set_ylabel("server's CPU time for a message, µs")
    ax.set_title("What a message costs the server", loc="left", fontsize=12, color=INK)
    _footnote(ax, _load_in_words(comparison), comparison.environment)
    return _sentence(ax, _lines_in_words(comparison, "The server's processor time for a message, in microseconds,"))


def _lines(ax, comparison: Comparison, value) -> None:
    ends = []
    for name in comparison.protocols:
        style = style_of(name)
        runs = sorted((run for run in comparison.runs if run.protocol == name), key=lambda run: run.workload.clients)
        runs = [run for run in runs if value(run) is not None]
        xs, ys = [run.workload.clients for run in runs], [value(run) for run in runs]
        if not runs:
            continue
        ax.fill_between(xs, [y.least for y in ys], [y.most for y in ys], color=style.color, alpha=0.15, lw=0, zorder=1)
        ax.plot(xs, [y.median for y in ys], style.line, color=style.color, lw=1.8, zorder=2)
        for x, y, run in zip(xs, ys, runs):
            face, edge = ("white", LIMITED) if run.generator_limited else (style.color, style.color)
            ax.plot(x, y.median, style.marker, color=edge, mfc=face, mew=1.6, ms=7, zorder=3)
        ends.append((xs[-1], ys[-1].median, name, style.color))
    ax.set_xscale("log", base=2)
    ax.set_xticks(comparison.clients, [str(n) for n in comparison.clients])
    ax.minorticks_off()
    ax.set_xlabel("clients, each with one message on its way")
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
    _plain(ax, "y")
    _names_at_the_ends(ax, ends)


def _names_at_the_ends(ax, ends) -> None:
    """Each line's name where it ends, moved apart so that none covers another."""
    placed = None
    for x, y, name, color in sorted(ends, key=lambda end: end[1]):
        height = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[1]
        placed = height if placed is None else max(height, placed + 0.06)
        ax.annotate(
            name, (x, y), xytext=(1.02, placed), textcoords="axes fraction",
            va="center", color=_dark(color), fontsize=10, annotation_clip=False,
        )  # fmt: skip


def _load_in_words(comparison: Comparison) -> str:
    load, rounds = comparison.runs[0].workload, len(comparison.runs[0].rounds)
    loop = "Open loop" if load.is_open else "Closed loop"
    return (
        f"{loop}, messages of {load.size_in_words}, {load.duration}; the median of {rounds} rounds, "
        "each with a fresh server, and their range."
    )


def _lines_in_words(comparison: Comparison, what: str) -> str:
    # No number that was measured: a notebook's text must not change with the weather.
    clients = comparison.clients
    over = f"{clients[0]} to {clients[-1]} clients" if len(clients) > 1 else f"{clients[0]} clients"
    return f"{what} over {over}, a line for each of {', '.join(comparison.protocols)}. print() of the comparison shows the numbers."


# ---- response times ---------------------------------------------------------------------------------------------

LIMITED = "#9a9a9a"  # whatever the generator, and not the server, has set
TIMES = {"response": "from due to answered", "service": "from asked to answered", "end_to_end": "from due to heard"}


def latency_distribution(runs, ax=None, of: str = "response"):
    """How the times of each run are spread: how many requests took so long, on a logarithmic scale. `of` is one of `TIMES`."""
    import numpy

    ax = ax or _axes(7.2, 4.6)
    for run, style, times_ms in _times_of(runs, of):
        edges = numpy.geomspace(max(times_ms.min(), 1e-3) * 0.999, times_ms.max() * 1.001, 60)
        counts, _ = numpy.histogram(times_ms, edges)
        middles = numpy.sqrt(edges[1:] * edges[:-1])
        ax.plot(middles, counts / len(times_ms), drawstyle="steps-mid", **_line_of(run, style))
        median = numpy.percentile(times_ms, 50, method="inverted_cdf")
        ax.axvline(median, color=style.color, lw=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("share of requests")
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    return _finish_times(ax, runs, f"How long requests took, {TIMES[of]}", f"{of.replace('_', ' ')} time, ms", of)


def percentiles(runs, ax=None, of: str = "response"):
    """Which share of the requests took at least so long: the further to the right, the rarer. A straight look at the tail."""
    import numpy

    ax = ax or _axes(7.2, 4.6)
    longest = 1
    for run, style, times_ms in _times_of(runs, of):
        times_ms = numpy.sort(times_ms)
        rarer = len(times_ms) / (len(times_ms) - numpy.arange(len(times_ms)))
        ax.plot(rarer, times_ms, drawstyle="steps-post", **_line_of(run, style))
        longest = max(longest, len(times_ms))
    marks = [(1, "0"), (2, "50"), (10, "90"), (100, "99"), (1_000, "99.9"), (10_000, "99.99"), (100_000, "99.999")]
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(*zip(*[mark for mark in marks if mark[0] <= longest]))
    ax.minorticks_off()
    ax.set_ylabel(f"{of.replace('_', ' ')} time, ms")
    return _finish_times(ax, runs, f"The percentiles, {TIMES[of]}", "percent of the requests took at most so long", of)


def time_series(run: Run, ax=None, of: str = "response"):
    """Each request where it was due, and how long it took: pauses are seen as what they are. One round, the first."""
    import numpy

    ax = ax or _axes(7.2, 4.6)
    samples = run.rounds[0].samples
    names = {"response": ("due", "answered"), "service": ("sent", "answered"), "end_to_end": ("due", "heard")}[of]
    first, last = (samples.column(name) for name in names)
    there = (first >= 0) & (last >= 0)
    style = _style_of_run(run)
    ax.plot(samples.column("due")[there] / 1e9, (last - first)[there] / 1e6, ".", color=style.color, ms=3, alpha=0.6, label=_named(run))
    missing = samples.column("due")[samples.column("answered") < 0]
    if len(missing):
        ax.plot(missing / 1e9, (samples.end_ns - missing) / 1e6, "x", color="#b00020", ms=5, label="not answered: its age at the end")
    ax.set_yscale("log")
    ax.set_ylabel(f"{of.replace('_', ' ')} time, ms")
    ax.set_xlim(0, numpy.max(samples.column("due"), initial=1) / 1e9)
    return _finish_times(ax, [run], f"When requests were due, and how long they took, {TIMES[of]}", "due after so many seconds", of)


def throughput_latency(saturations, ax=None):
    """What response times cost: the 99th percentile (full) and the median (pale) over the rate that was done."""
    ax = ax or _axes(7.2, 4.6)
    for found in saturations:
        style = style_of(found.protocol)
        tries = list({each.rate: each for each in sorted(found.tries, key=lambda each: each.rate)}.values())  # the last counts
        for percent, color, label in (99, style.color, found.protocol), (50, _pale(style.color), None):
            points = [(each.run.rate.median, ms, each) for each in tries if (ms := each.run.rounds[0].response_ms(percent))]
            servers = [point for point in points if not point[2].run.generator_limited]
            ax.plot([x for x, *_ in servers], [y for _, y, _ in servers], style.line, color=color, lw=1.8, label=label)
            for x, y, each in points:
                ink = LIMITED if each.run.generator_limited else color
                ax.plot(x, y, style.marker, color=ink, mfc=ink if each.sustained else "white", mew=1.4, ms=6)
        ax.axhline(found.bound_ms, color=FAINT, lw=0.8, linestyle="--")
    ax.set_yscale("log")
    ax.set_xlabel("requests done per second")
    ax.set_ylabel("response time, ms")
    ax.set_title("What a rate does to response times", loc="left", fontsize=12, color=INK)
    ax.set_xlim(left=0)
    _plain(ax, "y")
    ax.legend(**_LEGEND)
    first = saturations[0]
    note = "Full: 99 % were answered within that; pale: half. Hollow: not sustained; grey: the generator's limit, not the server's."
    _footnote(ax, f"Open loop, {first.workload.size_in_words}, {first.workload.arrivals} arrivals. {note}", first.environment)
    names = ", ".join(found.protocol for found in saturations)
    return _sentence(ax, f"Response times over the rate for {names}. print() of the result shows the numbers.")


def _times_of(runs, of: str):
    for run in runs:
        samples = run.samples
        times_ns = getattr(samples, f"{of}_ns") if samples is not None else ()
        if len(times_ns):
            yield run, _style_of_run(run), times_ns / 1e6


def _style_of_run(run: Run) -> Style:
    style = style_of(run.protocol)
    return Style(LIMITED, style.marker, style.line, style.hatch) if run.generator_limited else style


def _line_of(run: Run, style: Style) -> dict:
    """A line with a marker here and there, so that two grey ones are told apart."""
    return dict(color=style.color, linestyle=style.line, lw=1.8, marker=style.marker, ms=6, markevery=0.15, label=_named(run))


def _named(run: Run) -> str:
    return f"{run.protocol} (generator-limited)" if run.generator_limited else run.protocol


def _finish_times(ax, runs, title: str, x_label: str, of: str):
    runs = list(runs)
    ax.set_title(title, loc="left", fontsize=12, color=INK)
    ax.set_xlabel(x_label)
    _plain(ax, "y")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**_LEGEND)
    loads = dict.fromkeys(_loop_in_words(run) for run in runs)
    counts = ", ".join(f"{run.protocol} {len(run.samples or ()):,}" for run in runs)
    missing = sum(run.samples.offered - run.samples.completed for run in runs if run.samples is not None)
    note = f"{' '.join(loads)} Requests: {counts}; not done: {missing:,}."
    _footnote(ax, note, runs[0].environment)
    names = ", ".join(run.protocol for run in runs)
    return _sentence(ax, f"{title}: a line for each of {names}. to_frame() of the run's samples has the numbers.")


def _loop_in_words(run: Run) -> str:
    load = run.workload
    return f"{'Open' if load.is_open else 'Closed'} loop, {load.load_in_words}, {load.duration}; generator: {run.generator}."


# ---- the server meanwhile ---------------------------------------------------------------------------------------

NAMED_ROUNDS = 6  # of more, the first and the last
_ROUND_LINES = ("-", "--", "-.", ":")


def server_over_time(run: Run, ax=None, of: str = "processor"):
    """What the server used of a "processor", or had in "memory", over time: a line for each round, the later the darker."""
    ax = ax or _axes(7.2, 4.6)
    load = run.workload
    seen = [(number, each) for number, each in enumerate(run.rounds, 1) if each.course is not None and len(each.course) > 1]
    for number, each in seen:
        pale = 0.55 * (seen[-1][0] - number) / max(1, seen[-1][0] - seen[0][0])
        label = f"round {number}" if len(seen) <= NAMED_ROUNDS or number in (seen[0][0], seen[-1][0]) else None
        look = dict(color=_mixed(style_of(run.protocol).color, 1.0, pale), ls=_ROUND_LINES[number % 4 - 1], lw=1.6, label=label)
        if of == "processor":
            ax.stairs(each.course.busy, each.course.at_s, baseline=None, **look)
        else:
            ax.plot(each.course.at_s, [size / 2**20 for size in each.course.resident], **look)
    took_turns = any(each.turns > 1 for _, each in seen)
    if load.messages is None and not took_turns:
        _mark_warm_up(ax, load.warm_up_s)
    title, ax_label = _SERVER_LABELS[of]
    if of == "processor":
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    else:
        _at_least(ax, 1.0)
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:,.1f}")
    ax.set_xlim(0, max(each.course.at_s[-1] for _, each in seen))
    ax.set_xlabel("seconds of its turns, the warm-up left out" if took_turns else "seconds since the start of the load")
    ax.set_ylabel(ax_label)
    ax.set_title(f"{title}: {run.protocol}", loc="left", fontsize=12, color=INK)
    _plain(ax, "y")
    ax.legend(**(_LEGEND | {"handlelength": 2.4}))
    rounds, when = f"{len(seen)} round{'s'[: len(seen) != 1]}", "after each turn" if took_turns else "ten times a second"
    _footnote(ax, f"{_loop_in_words(run)} Read from outside, {when}; {rounds}, each with a fresh server.", run.environment)
    return _sentence(ax, f"{title}, a line for each of {rounds} of {run.protocol}. to_frame() of a round's course has the numbers.")


_SERVER_LABELS = {
    "processor": ("What the server used of a processor", "share of one processor"),
    "memory": ("What the server had in memory", "resident memory, MiB"),
}


def _mark_warm_up(ax, seconds: float) -> None:
    ax.axvspan(0, seconds, color=GRID, lw=0, zorder=0)
    ax.annotate("warm-up", (0, 1), xytext=(3, -3), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=8, color=FAINT)


def _at_least(ax, span: float) -> None:
    """No closer a look than that: what changes by less shall not look like much."""
    low, high = ax.get_ylim()
    room = max(0.0, span - (high - low)) / 2
    ax.set_ylim(low - room, high + room)


# ---- where the time goes ----------------------------------------------------------------------------------------


def ladder(result, ax=None, of: str = ""):
    """For each protocol its rungs from the ground up: pale what the rung below takes, full what this one adds to it.

    `of` is "cpu_us" or "latency_us". A whisker is the interval of what is added; grey is the generator's limit.
    """
    of = of or result.measures[0]
    steps = result.steps(of)
    ax = ax or _axes(8.0, 1.9 + 0.27 * len(steps) + 0.3 * len(result.protocols))
    most = min(max(_reach(step) for step in steps), 1.5 * max(step.value.value for step in steps if step.value))
    y, places, below = 0.0, [], 0.0
    for step in steps:
        if step.rung.protocol == "":  # the ground: another protocol begins
            y, below = y + (0.75 if places else 0), 0.0
            ax.text(most * 0.004, y - 0.45, step.protocol, fontsize=10, weight="bold", color=_dark(style_of(step.protocol).color), va="bottom")
            y += 0.1
        _rung(ax, step, y, below, most)
        places.append((y, step.rung.part))
        below, y = step.value.value if step.value else below, y + 1
    ax.set_yticks(*zip(*places), fontsize=9)
    ax.set_ylim(y - 0.4, -1.1)
    ax.set_xlim(0, most * 1.6)
    ax.set_xlabel(_LADDER_LABELS[of])
    ax.set_title("Where the time of a request goes", loc="left", fontsize=12, color=INK)
    _plain(ax, "x")
    _footnote(ax, _ladder_note(result), result.environment)
    return _sentence(ax, _ladder_in_words(result, of))


_LADDER_LABELS = {"cpu_us": "server's CPU time for a request, µs", "latency_us": "median response time, µs"}


def _rung(ax, step, y: float, below: float, most: float) -> None:
    """One row: what the rung below takes, what this one adds, how sure that is, and both in numbers."""
    if step.value is None:
        ax.text(most * 0.012, y, step.remark, va="center", fontsize=8, color=FAINT)
        return
    style, value = style_of(step.protocol), step.value.value
    color = LIMITED if step.rung.generator_limited else style.color
    less = min(below, value)
    ax.barh(y, less, 0.72, color=_pale(_pale(color)), lw=0, zorder=2)
    added = dict(color=color, hatch=style.hatch, edgecolor="white") if value >= below else dict(color="none", edgecolor=color)
    ax.barh(y, abs(value - below), 0.72, left=less, lw=0 if value >= below else 0.9, zorder=2.5, **added)
    if step.more is not None and step.more.low is not None:
        arms = [[step.more.value - step.more.low], [step.more.high - step.more.value]]
        for ink, width, cap in ("white", 2.6, 3.2), (INK, 1.1, 2.5):  # with a rim, or it is lost on its bar
            look = dict(fmt="none", ecolor=ink, elinewidth=width, capsize=cap, capthick=width)
            ax.errorbar(value, y, xerr=arms, zorder=3, **look)
    ax.text(min(max(_reach(step), below), most) + most * 0.018, y, _rung_in_words(step), va="center", fontsize=8, color=INK)


def _reach(step) -> float:
    """How far to the right a rung and its whisker go."""
    if step.value is None:
        return 0.0
    return step.value.value + (step.more.high - step.more.value if step.more is not None and step.more.high is not None else 0.0)


def _rung_in_words(step) -> str:
    if step.more is None:
        return step.remark
    sign, digits = "+" if step.rung.protocol else "", 0 if abs(step.more.value) >= 100 else 1
    told = f"{step.more.value:{sign},.{digits}f} µs{f', {step.percent}' if step.percent else ''}".replace("-", "−")
    if step.remark == "perhaps":
        return f"perhaps {told}"
    return told + (f": {step.remark.partition(',')[0]}" if step.remark else "")


def _ladder_note(result) -> str:
    load, rounds = result.workload, f"{result.rounds} round{'s'[: result.rounds != 1]}"
    grey = " Grey: the generator's limit." if any(rung.generator_limited for rung in result.rungs) else ""
    cut_short = ", ended early" * result.partial
    who = "one client with" if load.clients == 1 else f"{load.clients} clients, each with"
    return (
        f"Full: what a server takes beyond the one above it in the picture (pale), with its 95 % interval over {rounds}{cut_short}; the share is "
        f"of the whole chat.{grey} Closed loop, {who} one message of {load.size_in_words} on its way, {load.duration}; "
        f"light generator; engine: {result.engine}."
    )


def _ladder_in_words(result, of: str) -> str:
    # No number that was measured: a notebook's text must not change with the weather.
    ladders = "; ".join(f"{name}: {', '.join(rung.part for rung in result.flight(name))}" for name in result.protocols)
    what = {"cpu_us": "The server's processor time for a request", "latency_us": "The median response time"}[of]
    return f"{what}, part by part, for {ladders}. print() of the result shows the numbers."


# ---- who said what to whom --------------------------------------------------------------------------------------


def space_time(trace: Trace, ax=None):
    """A column for each user, time downwards, an arrow for each text. A text that was never shown ends in a cross.

    Every sending and every showing has a row of its own, so time is in order but not to scale; the rows say when.
    """
    users = sorted({m.who for m in trace.moments} | {who for f in trace.flights for who in (f.sender, f.recipient)})
    times = sorted({t for flight in trace.flights for t in (flight.sent_s, flight.received_s) if t is not None})
    row = {at_s: number for number, at_s in enumerate(times)}
    ax = ax or _axes(1.4 + 2.1 * max(2, len(users)), max(2.6, min(14.0, 1.4 + 0.26 * len(times))))
    for column, user in enumerate(users):
        ax.axvline(column, color="#b5b5b5", lw=1.2, zorder=1)
        place = dict(transform=ax.get_xaxis_transform(), ha="center", va="bottom")
        ax.text(column, 1.015, user, fontsize=11, weight="bold", color=INK, **place)
    for flight in trace.flights:
        _flight(ax, flight, users, row)
    shown = times[:: len(times) // 40 + 1]
    ax.set_yticks([row[at_s] for at_s in shown], [f"{1e3 * at_s:,.1f}" for at_s in shown], fontsize=8)
    ax.set_ylim(len(times) - 0.3, -0.9)
    ax.set_xlim(-0.45, max(1, len(users) - 1) + 0.45)
    ax.set_xticks([])
    ax.set_ylabel("ms since the start, not to scale")
    ax.set_title("Who said what to whom", loc="left", fontsize=12, color=INK, pad=24)
    _plain(ax, "y")
    ax.spines["bottom"].set_visible(False)
    lost = sum(flight.received_s is None for flight in trace.flights)
    note = f"{len(trace.flights)} texts" + (f"; a cross ends those that were not shown before the end ({lost})." if lost else ".")
    _footnote(ax, note)
    return _sentence(ax, _trace_in_words(trace, users, lost))


def _flight(ax, flight, users, row) -> None:
    color = _USER_COLORS[users.index(flight.sender) % len(_USER_COLORS)]
    x0, y0, x1 = users.index(flight.sender), row[flight.sent_s], users.index(flight.recipient)
    if flight.received_s is None:
        x1, y1 = x0 + (0.5 if x1 > x0 else -0.5 if x1 < x0 else 0.25), y0
        ax.plot([x0, x1], [y0, y1], ":", color=color, lw=1.6, zorder=2)
        ax.plot(x1, y1, "x", color=color, ms=8, mew=2, zorder=4)
    else:
        y1 = row[flight.received_s]
        bend = "arc3,rad=-0.6" if x0 == x1 else "arc3"
        arrow = dict(arrowstyle="-|>", color=color, lw=1.6, shrinkA=0, shrinkB=0, mutation_scale=13, connectionstyle=bend)
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=arrow, zorder=3)
    ax.plot(x0, y0, "o", color=color, ms=4, zorder=4)
    _label(ax, flight, color, (x0, y0), (x1, y1))


def _label(ax, flight, color, start, end) -> None:
    """The text along its arrow, above it and upright, with a glow that keeps it apart from what it crosses."""
    from math import atan2, degrees

    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import offset_copy

    text = flight.text if len(flight.text) <= LABEL_CUT else flight.text[: LABEL_CUT - 1] + "…"
    (x0, y0), (x1, y1) = start, end
    style = dict(fontsize=8.5, color=_dark(color), path_effects=[withStroke(linewidth=3, foreground="white")], zorder=5)
    text = text.replace("$", r"\$").replace("\n", "⏎")
    if x0 == x1:
        ax.text(x0 + 0.09, (y0 + y1) / 2, text, va="center", **style)
        return
    angle = degrees(atan2((y1 - y0) * (1 if x1 > x0 else -1), abs(x1 - x0)))  # as it is read, from left to right
    above = offset_copy(ax.transData, ax.figure, 0, 1.5, units="points")
    turned = dict(rotation=angle, rotation_mode="anchor", transform_rotates_text=True, transform=above)
    ax.text(x0 + (x1 - x0) * 0.45, y0 + (y1 - y0) * 0.45, text, ha="center", va="bottom", **turned, **style)


_USER_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")


def _trace_in_words(trace: Trace, users, lost: int) -> str:
    first = "; ".join(f"{f.sender} to {f.recipient}: {f.text[:LABEL_CUT]}" for f in trace.flights[:3])
    ending = f" {lost} of them were not shown before the end." if lost else ""
    return f"A column for each of {', '.join(users)}, time downwards, an arrow for each of {len(trace.flights)} texts. {first}.{ending}"


# ---- the whole comparison ---------------------------------------------------------------------------------------


def overview(table: ByteTable, comparison: Comparison):
    """Bytes on the left, rates on the right: a Figure, to be saved."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(13.2, max(5.0, _height(table))), dpi=110, layout="constrained", **_PAPER)
    left, right = made.subplots(1, 2, width_ratios=(1.05, 1), gridspec_kw={"wspace": 0.06}, subplot_kw=_PAPER)
    bytes_per_operation(table, left)
    rate_by_clients(comparison, right)
    right.set_title(right.get_title(loc="left"), loc="left", fontsize=12, color=INK, pad=26)
    return made


def _height(table: ByteTable) -> float:
    return 1.5 + len(table.operations) * (0.2 + 0.21 * len(table.protocols))


# ---- what all pictures share ------------------------------------------------------------------------------------

_PAPER = {"facecolor": "white"}  # whatever style a notebook has: the ink is dark
_LEGEND = dict(labelcolor=INK, frameon=False, fontsize=9, handlelength=1.2, handletextpad=0.5, columnspacing=1.4, borderaxespad=0.3)


def _axes(width: float, height: float):
    from matplotlib import pyplot

    _, ax = pyplot.subplots(figsize=(width, height), dpi=100, layout="constrained", subplot_kw=_PAPER, **_PAPER)
    return ax


def figure(draw, result):
    """A picture that no notebook shows by itself and that any thread may draw, to be saved: a Figure with one Axes."""
    from matplotlib.figure import Figure

    width, height = (7.6, _height(result)) if isinstance(result, ByteTable) else (7.2, 4.6)
    made = Figure(figsize=(width, height), dpi=150, layout="constrained", **_PAPER)
    draw(result, made.subplots(subplot_kw=_PAPER))
    return made


def _plain(ax, grid: str) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#9a9a9a")
    ax.tick_params(colors=INK, length=0 if grid == "x" else 3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(INK)
    ax.grid(axis=grid, color=GRID, lw=0.8, zorder=0)
    ax.set_axisbelow(True)


def _footnote(ax, note: str, environment: Environment | None = None) -> None:
    width = int(ax.figure.get_figwidth() * 17 / ax.get_gridspec().ncols) if ax.get_gridspec() else 110
    lines = [fill(note, width)] + ([fill(str(environment), width)] if environment else [])
    ax.annotate(
        "\n".join(lines), (0, 0), xytext=(0, -42 if ax.get_xlabel() else -14), xycoords="axes fraction",
        textcoords="offset points", va="top", ha="left", fontsize=7.5, color=FAINT, annotation_clip=False,
    )  # fmt: skip


def _sentence(ax, sentence: str):
    ax.sentence = sentence
    return ax


def _pale(color: str) -> tuple[float, float, float]:
    return _mixed(color, 1.0, 0.62)


def _dark(color: str) -> tuple[float, float, float]:
    return _mixed(color, 0.0, 0.30)


def _mixed(color: str, other: float, share: float) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    red, green, blue = (value * (1 - share) + other * share for value in to_rgb(color))
    return red, green, blue
