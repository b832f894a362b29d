"""Plots of response times: distributions, percentiles, over time, and against throughput."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import shapes
from .style import (
    FAINT,
    LIMITED,
    Style,
    empty,
    footnote,
    legend,
    log_scale,
    new_axes,
    pale,
    style_of,
    tidy,
    title,
    with_sentence,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

#: The times of a request that can be drawn, and from when to when each is.
TIMES = {"response": "from due to answered", "service": "from asked to answered", "end_to_end": "from due to heard"}
_ENDS = {"response": ("due", "answered"), "service": ("sent", "answered"), "end_to_end": ("due", "heard")}


def latency_distribution(runs: Sequence[shapes.Run], ax: "Axes | None" = None, metric: str = "response") -> "Axes":
    """How the times of each run are distributed, on a logarithmic scale. `metric` is one of `TIMES`."""
    import numpy

    ax = ax or new_axes(7.2, 4.6)
    heading = f"How long requests took, {TIMES[metric]}"
    for run, style, times_ms in _times_of(runs, metric):
        edges = numpy.geomspace(max(times_ms.min(), 1e-3) * 0.999, times_ms.max() * 1.001, 60)
        counts, _ = numpy.histogram(times_ms, edges)
        middles = numpy.sqrt(edges[1:] * edges[:-1])
        ax.plot(middles, counts / len(times_ms), drawstyle="steps-mid", **_line_of(run, style))
        median = float(numpy.percentile(times_ms, 50, method="inverted_cdf"))
        ax.axvline(median, color=style.color, lw=0.8, linestyle=":")
    if not ax.lines:
        return _empty_times(ax, heading, runs)
    log_scale(ax, "x")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("share of requests")
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return _finish_times(ax, runs, heading, f"{_name_of(metric)}, ms")


def percentiles(runs: Sequence[shapes.Run], ax: "Axes | None" = None, metric: str = "response") -> "Axes":
    """Which share of the requests took at least so long: the further to the right, the rarer, so the tail is seen."""
    import numpy

    ax = ax or new_axes(7.2, 4.6)
    heading, longest = f"The percentiles, {TIMES[metric]}", 1
    for run, style, times_ms in _times_of(runs, metric):
        times_ms = numpy.sort(times_ms)
        rarer = len(times_ms) / (len(times_ms) - numpy.arange(len(times_ms)))
        ax.plot(rarer, times_ms, drawstyle="steps-post", **_line_of(run, style))
        longest = max(longest, len(times_ms))
    if not ax.lines:
        return _empty_times(ax, heading, runs)
    marks = [(1, "0"), (2, "50"), (10, "90"), (100, "99"), (1_000, "99.9"), (10_000, "99.99"), (100_000, "99.999")]
    marks = [mark for mark in marks if mark[0] <= longest]
    log_scale(ax, "x", "y")
    ax.set_xticks([place for place, _ in marks], [label for _, label in marks])
    ax.set_ylabel(f"{_name_of(metric)}, ms")
    return _finish_times(ax, runs, heading, "percent of the requests took at most so long")


def time_series(run: shapes.Run, ax: "Axes | None" = None, metric: str = "response") -> "Axes":
    """Each request where it was due, and how long it took, so that pauses are visible. The first round only."""
    import numpy

    ax = ax or new_axes(7.2, 4.6)
    heading, samples = f"When requests were due, and how long they took, {TIMES[metric]}", run.rounds[0].samples
    if samples is None or not len(samples):
        return _empty_times(ax, heading, [run])
    first, last = (samples.column(name) for name in _ENDS[metric])
    due, known, style = samples.column("due"), (first >= 0) & (last >= 0), _style_of_run(run)
    look: dict[str, Any] = {"color": style.color, "ms": 3, "alpha": 0.6, "label": _label_of(run)}
    ax.plot(due[known] / 1e9, (last - first)[known] / 1e6, ".", **look)
    missing = due[samples.column("answered") < 0]
    if len(missing):
        look = {"color": "#b00020", "ms": 5, "label": "not answered: its age at the end"}
        ax.plot(missing / 1e9, (samples.end_ns - missing) / 1e6, "x", **look)
    log_scale(ax, "y")
    ax.set_ylabel(f"{_name_of(metric)}, ms")
    ax.set_xlim(0, numpy.max(due, initial=1) / 1e9)
    return _finish_times(ax, [run], heading, "due after so many seconds")


def throughput_latency(saturations: Sequence[shapes.Saturation], ax: "Axes | None" = None) -> "Axes":
    """Response times over the rate that was done: the 99th percentile (full) and the median (pale)."""
    ax = ax or new_axes(7.2, 4.6)
    heading = "What a rate does to response times"
    first, names = saturations[0], ", ".join(saturation.protocol for saturation in saturations)
    attempts = [attempt for saturation in saturations for attempt in saturation.attempts]
    if all(attempt.run.generator_limited for attempt in attempts):
        return empty(ax, heading, f"The load generator, not the server, set every number of {names}.")
    for saturation in saturations:
        _curve(ax, saturation)
        ax.axhline(saturation.bound_ms, color=FAINT, lw=0.8, linestyle="--")
    log_scale(ax, "y")
    ax.set_xlabel("requests done per second")
    ax.set_ylabel("response time, ms")
    title(ax, heading)
    ax.set_xlim(left=0)
    tidy(ax, "y")
    legend(ax)
    load = f"Open loop, {first.workload.size_in_words}, {first.workload.arrivals} arrivals."
    note = (
        "Full: 99 % were answered within that; pale: half. "
        "Hollow: not sustained; grey: the generator's limit, not the server's."
    )
    footnote(ax, f"{load} {note}", first.environment)
    return with_sentence(ax, f"Response times over the rate for {names}. print() of the result shows the numbers.")


def _curve(ax: "Axes", saturation: shapes.Saturation) -> None:
    style = style_of(saturation.protocol)
    by_rate = {attempt.rate: attempt for attempt in sorted(saturation.attempts, key=lambda attempt: attempt.rate)}
    for percent, color in (99, style.color), (50, pale(style.color)):
        points = [
            (attempt.run.rate.median, ms, attempt)
            for attempt in by_rate.values()
            if (ms := attempt.run.rounds[0].response_ms(percent)) is not None
        ]
        line = [(x, y) for x, y, attempt in points if not attempt.run.generator_limited]
        if line:  # a line without points would still stand in the legend
            label = saturation.protocol if percent == 99 else None
            ax.plot([x for x, _ in line], [y for _, y in line], style.line, color=color, lw=1.8, label=label)
        unnamed = percent == 99 and not line
        for x, y, attempt in points:
            ink = LIMITED if attempt.run.generator_limited else color
            label, unnamed = f"{saturation.protocol} (generator-limited)" if unnamed else None, False
            face = ink if attempt.sustained else "white"
            ax.plot(x, y, style.marker, color=ink, mfc=face, mew=1.4, ms=6, ls="none", label=label)


# ---- what they share --------------------------------------------------------------------------------------------


def _times_of(runs: Sequence[shapes.Run], metric: str) -> Iterator[tuple[shapes.Run, Style, "NDArray[Any]"]]:
    for run in runs:
        samples = run.samples
        if samples is None:
            continue
        times_ns = {
            "response": samples.response_ns,
            "service": samples.service_ns,
            "end_to_end": samples.end_to_end_ns,
        }[metric]
        if len(times_ns):
            yield run, _style_of_run(run), times_ns / 1e6


def _name_of(metric: str) -> str:
    return f"{metric.replace('_', ' ')} time"


def _style_of_run(run: shapes.Run) -> Style:
    style = style_of(run.protocol)
    return replace(style, color=LIMITED) if run.generator_limited else style


def _line_of(run: shapes.Run, style: Style) -> dict[str, Any]:
    """A line with a marker here and there, so that two grey ones are told apart."""
    markers = {"marker": style.marker, "ms": 6, "markevery": 0.15}
    return {"color": style.color, "linestyle": style.line, "lw": 1.8, "label": _label_of(run), **markers}


def _label_of(run: shapes.Run) -> str:
    return f"{run.protocol} (generator-limited)" if run.generator_limited else run.protocol


def _empty_times(ax: "Axes", heading: str, runs: Sequence[shapes.Run]) -> "Axes":
    return empty(ax, heading, f"No request of {', '.join(run.protocol for run in runs)} was done, or none was kept.")


def _finish_times(ax: "Axes", runs: Sequence[shapes.Run], heading: str, x_label: str) -> "Axes":
    title(ax, heading)
    ax.set_xlabel(x_label)
    tidy(ax, "y")
    if ax.get_legend_handles_labels()[0]:
        legend(ax)
    loads = dict.fromkeys(loop_in_words(run) for run in runs)
    counts = ", ".join(f"{run.protocol} {len(run.samples or ()):,}" for run in runs)
    missing = sum(run.samples.offered - run.samples.completed for run in runs if run.samples is not None)
    footnote(ax, f"{' '.join(loads)} Requests: {counts}; not done: {missing:,}.", runs[0].environment)
    names = ", ".join(run.protocol for run in runs)
    lines = f"{heading}: a line for each of {names}."
    return with_sentence(ax, f"{lines} to_frame() of the run's samples has the numbers.")


def loop_in_words(run: shapes.Run) -> str:
    """The load and what generated it, for a footnote."""
    loop = "Open" if run.workload.is_open else "Closed"
    return f"{loop} loop, {run.workload.load_in_words}, {run.workload.duration}; generator: {run.generator}."
