"""Plots of rates and costs by number of clients."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import shapes
from .style import (
    LIMITED,
    empty,
    footnote,
    names_at_line_ends,
    new_axes,
    new_figure,
    style_of,
    subplots,
    tidy,
    title,
    with_sentence,
)
from .traffic import bytes_per_operation, height_of_bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rate_by_clients(comparison: shapes.Comparison, ax: "Axes | None" = None) -> "Axes":
    """Messages per second over the number of clients: the median of the rounds, and a band over their range."""
    ax = ax or new_axes(7.2, 4.6)
    _lines(ax, comparison, lambda run: run.rate)
    ax.set_ylabel("messages per second")
    title(ax, "How many messages a second")
    limited = any(run.generator_limited for run in comparison.runs)
    hollow = "Hollow and grey: limited by the load generator, not by the server. " if limited else ""
    footnote(ax, hollow + _load_in_words(comparison), comparison.environment)
    return with_sentence(ax, _lines_in_words(comparison, "Messages per second"))


def cost_by_clients(comparison: shapes.Comparison, ax: "Axes | None" = None) -> "Axes":
    """The server's CPU time per message over the number of clients, which slow clients do not change."""
    ax = ax or new_axes(7.2, 4.6)
    if all(run.server_cpu_us is None for run in comparison.runs):
        return empty(ax, "What a message costs the server", "The server's processor time could not be read.")
    _lines(ax, comparison, lambda run: run.server_cpu_us)
    ax.set_ylabel("server's CPU time for a message, µs")
    title(ax, "What a message costs the server")
    footnote(ax, _load_in_words(comparison), comparison.environment)
    return with_sentence(ax, _lines_in_words(comparison, "The server's processor time for a message, in microseconds,"))


def _lines(ax: "Axes", comparison: shapes.Comparison, value_of: Callable[[shapes.Run], shapes.Spread | None]) -> None:
    ends = []
    for name in comparison.protocols:
        style = style_of(name)
        runs = sorted((run for run in comparison.runs if run.protocol == name), key=lambda run: run.workload.clients)
        points = [(run, value) for run in runs if (value := value_of(run)) is not None]
        if not points:
            continue
        xs, values = [run.workload.clients for run, _ in points], [value for _, value in points]
        low, high = [value.min for value in values], [value.max for value in values]
        ax.fill_between(xs, low, high, color=style.color, alpha=0.15, lw=0, zorder=1)
        ax.plot(xs, [value.median for value in values], style.line, color=style.color, lw=1.8, zorder=2)
        for run, value in points:
            face, edge = ("white", LIMITED) if run.generator_limited else (style.color, style.color)
            look = {"color": edge, "mfc": face, "mew": 1.6, "ms": 7, "zorder": 3}
            ax.plot(run.workload.clients, value.median, style.marker, **look)  # type: ignore[arg-type]
        ends.append((xs[-1], values[-1].median, name, style.color))
    ax.set_xscale("log", base=2)
    ax.set_xticks(comparison.clients, [str(clients) for clients in comparison.clients])
    ax.minorticks_off()
    ax.set_xlabel("clients, each with one message on its way")
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    tidy(ax, "y")
    names_at_line_ends(ax, ends)


def _load_in_words(comparison: shapes.Comparison) -> str:
    load, rounds = comparison.runs[0].workload, len(comparison.runs[0].rounds)
    loop = "Open loop" if load.is_open else "Closed loop"
    return (
        f"{loop}, messages of {load.size_in_words}, {load.duration}; the median of {rounds} rounds, "
        "each with a fresh server, and their range."
    )


def _lines_in_words(comparison: shapes.Comparison, what: str) -> str:
    # No measured number: a notebook's stored output must be the same in the next run.
    clients, names = comparison.clients, ", ".join(comparison.protocols)
    over = f"{clients[0]} to {clients[-1]} clients" if len(clients) > 1 else f"{clients[0]} clients"
    return f"{what} over {over}, a line for each of {names}. print() of the comparison shows the numbers."


def overview(table: shapes.ByteTable, comparison: shapes.Comparison) -> "Figure":
    """Bytes on the left, rates on the right: a Figure, to be saved."""
    made = new_figure((13.2, max(5.0, height_of_bars(table))), dpi=110)
    left, right = subplots(made, 2, width_ratios=(1.05, 1), gridspec_kw={"wspace": 0.06})
    bytes_per_operation(table, left)
    rate_by_clients(comparison, right)
    title(right, right.get_title(loc="left"), pad=26)
    return made
