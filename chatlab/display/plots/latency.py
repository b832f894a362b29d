"""Plots of response times: distributions, percentiles, over time, and against throughput."""

from .style import _LEGEND, FAINT, INK, Style, _axes, _footnote, _pale, _plain, _sentence, style_of

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


def time_series(run, ax=None, of: str = "response"):
    """Each request where it was due, and how long it took: pauses are seen as what they are. One round, the first."""
    import numpy

    ax = ax or _axes(7.2, 4.6)
    samples = run.rounds[0].samples
    names = {"response": ("due", "answered"), "service": ("sent", "answered"), "end_to_end": ("due", "heard")}[of]
    first, last = (samples.column(name) for name in names)
    there = (first >= 0) & (last >= 0)
    style = _style_of_run(run)
    ax.plot(
        samples.column("due")[there] / 1e9,
        (last - first)[there] / 1e6,
        ".",
        color=style.color,
        ms=3,
        alpha=0.6,
        label=_named(run),
    )
    missing = samples.column("due")[samples.column("answered") < 0]
    if len(missing):
        ax.plot(
            missing / 1e9,
            (samples.end_ns - missing) / 1e6,
            "x",
            color="#b00020",
            ms=5,
            label="not answered: its age at the end",
        )
    ax.set_yscale("log")
    ax.set_ylabel(f"{of.replace('_', ' ')} time, ms")
    ax.set_xlim(0, numpy.max(samples.column("due"), initial=1) / 1e9)
    return _finish_times(
        ax, [run], f"When requests were due, and how long they took, {TIMES[of]}", "due after so many seconds", of
    )


def throughput_latency(saturations, ax=None):
    """What response times cost: the 99th percentile (full) and the median (pale) over the rate that was done."""
    ax = ax or _axes(7.2, 4.6)
    for found in saturations:
        style = style_of(found.protocol)
        attempts = list(
            {each.rate: each for each in sorted(found.attempts, key=lambda each: each.rate)}.values()
        )  # the last counts
        for percent, color, label in (99, style.color, found.protocol), (50, _pale(style.color), None):
            points = [
                (each.run.rate.median, ms, each) for each in attempts if (ms := each.run.rounds[0].response_ms(percent))
            ]
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
    _footnote(
        ax, f"Open loop, {first.workload.size_in_words}, {first.workload.arrivals} arrivals. {note}", first.environment
    )
    names = ", ".join(found.protocol for found in saturations)
    return _sentence(ax, f"Response times over the rate for {names}. print() of the result shows the numbers.")


def _times_of(runs, of: str):
    for run in runs:
        samples = run.samples
        times_ns = getattr(samples, f"{of}_ns") if samples is not None else ()
        if len(times_ns):
            yield run, _style_of_run(run), times_ns / 1e6


def _style_of_run(run) -> Style:
    style = style_of(run.protocol)
    return Style(LIMITED, style.marker, style.line, style.hatch) if run.generator_limited else style


def _line_of(run, style: Style) -> dict:
    """A line with a marker here and there, so that two grey ones are told apart."""
    return dict(
        color=style.color, linestyle=style.line, lw=1.8, marker=style.marker, ms=6, markevery=0.15, label=_named(run)
    )


def _named(run) -> str:
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


def _loop_in_words(run) -> str:
    load = run.workload
    return f"{'Open' if load.is_open else 'Closed'} loop, {load.load_in_words}, {load.duration}; generator: {run.generator}."
