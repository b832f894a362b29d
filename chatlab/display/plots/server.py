"""Plots of a server's processor and memory over time."""

from typing import TYPE_CHECKING, Any

from . import shapes
from .latency import loop_in_words
from .style import FAINT, GRID, annotate, empty, footnote, legend, mixed, new_axes, style_of, tidy, title, with_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED_ROUNDS = 6  # of more, the first and the last
_ROUND_LINES = ("-", "--", "-.", ":")
_LABELS = {
    "processor": ("What the server used of a processor", "share of one processor"),
    "memory": ("What the server had in memory", "resident memory, MiB"),
}


def server_over_time(run: shapes.Run, ax: "Axes | None" = None, metric: str = "processor") -> "Axes":
    """What the server used of a "processor", or had in "memory", over time: a line for each round."""
    ax = ax or new_axes(7.2, 4.6)
    load, (what, y_label) = run.workload, _LABELS[metric]
    series = [
        (number, round_, round_.resources)
        for number, round_ in enumerate(run.rounds, 1)
        if round_.resources is not None and len(round_.resources) > 1
    ]
    if not series:
        return empty(ax, f"{what}: {run.protocol}", "There are no readings over time.")
    first, last = series[0][0], series[-1][0]
    for number, _, resources in series:
        fade = 0.55 * (last - number) / max(1, last - first)
        label = f"round {number}" if len(series) <= NAMED_ROUNDS or number in (first, last) else None
        color = mixed(style_of(run.protocol).color, 1.0, fade)
        look: dict[str, Any] = {"color": color, "ls": _ROUND_LINES[number % 4 - 1], "lw": 1.6, "label": label}
        if metric == "processor":
            ax.stairs(resources.busy, resources.at_s, baseline=None, **look)
        else:
            ax.plot(resources.at_s, [size / 2**20 for size in resources.resident], **look)
    sliced = any(round_.slices > 1 for _, round_, _ in series)
    if load.messages is None and not sliced:
        _mark_warm_up(ax, load.warm_up_s)
    if metric == "processor":
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    else:
        _show_at_least(ax, 1.0)
        ax.yaxis.set_major_formatter(lambda mebibytes, _: f"{mebibytes:,.1f}")
    ax.set_xlim(0, max(resources.at_s[-1] for *_, resources in series))
    ax.set_xlabel(
        "seconds of its time slices, the warm-up left out" if sliced else "seconds since the start of the load"
    )
    ax.set_ylabel(y_label)
    title(ax, f"{what}: {run.protocol}")
    tidy(ax, "y")
    legend(ax, handlelength=2.4)
    rounds = f"{len(series)} round{'s'[: len(series) != 1]}"
    when = "after each time slice" if sliced else "ten times a second"
    note = f"{loop_in_words(run)} Read from outside, {when}; {rounds}, each with a fresh server."
    footnote(ax, note, run.environment)
    lines = f"{what}, a line for each of {rounds} of {run.protocol}."
    return with_sentence(ax, f"{lines} to_frame() of a round's resources has the numbers.")


def _mark_warm_up(ax: "Axes", seconds: float) -> None:
    ax.axvspan(0, seconds, color=GRID, lw=0, zorder=0)
    place: dict[str, Any] = {"xytext": (3, -3), "xycoords": "axes fraction", "textcoords": "offset points"}
    annotate(ax, "warm-up", (0, 1), **place, va="top", fontsize=8, color=FAINT)


def _show_at_least(ax: "Axes", span: float) -> None:
    """Show at least such a span of the y axis, so that a change of less does not look large."""
    low, high = ax.get_ylim()
    room = max(0.0, span - (high - low)) / 2
    ax.set_ylim(low - room, high + room)
