"""Plots of rates and costs by number of clients."""

from .latency import LIMITED
from .style import _PAPER, INK, _axes, _footnote, _height, _names_at_the_ends, _plain, _sentence, style_of
from .traffic import bytes_per_operation

# ---- rates ------------------------------------------------------------------------------------------------------


def rate_by_clients(comparison, ax=None):
    """Messages per second over the number of clients: the median of the rounds, and a band from the least to the most."""
    ax = ax or _axes(7.2, 4.6)
    _lines(ax, comparison, lambda run: run.rate)
    ax.set_ylabel("messages per second")
    ax.set_title("How many messages a second", loc="left", fontsize=12, color=INK)
    limited = any(run.generator_limited for run in comparison.runs)
    hollow = "Hollow and grey: the clients, not the server, set this number. " if limited else ""
    _footnote(ax, hollow + _load_in_words(comparison), comparison.environment)
    return _sentence(ax, _lines_in_words(comparison, "Messages per second"))


def cost_by_clients(comparison, ax=None):
    """The server's processor time for a message over the number of clients: what a slow client cannot spoil."""
    ax = ax or _axes(7.2, 4.6)
    _lines(ax, comparison, lambda run: run.server_cpu_us)
    ax.set_ylabel("server's CPU time for a message, µs")
    ax.set_title("What a message costs the server", loc="left", fontsize=12, color=INK)
    _footnote(ax, _load_in_words(comparison), comparison.environment)
    return _sentence(ax, _lines_in_words(comparison, "The server's processor time for a message, in microseconds,"))


def _lines(ax, comparison, value) -> None:
    ends = []
    for name in comparison.protocols:
        style = style_of(name)
        runs = sorted((run for run in comparison.runs if run.protocol == name), key=lambda run: run.workload.clients)
        runs = [run for run in runs if value(run) is not None]
        xs, ys = [run.workload.clients for run in runs], [value(run) for run in runs]
        if not runs:
            continue
        ax.fill_between(xs, [y.min for y in ys], [y.max for y in ys], color=style.color, alpha=0.15, lw=0, zorder=1)
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


def _load_in_words(comparison) -> str:
    load, rounds = comparison.runs[0].workload, len(comparison.runs[0].rounds)
    loop = "Open loop" if load.is_open else "Closed loop"
    return (
        f"{loop}, messages of {load.size_in_words}, {load.duration}; the median of {rounds} rounds, "
        "each with a fresh server, and their range."
    )


def _lines_in_words(comparison, what: str) -> str:
    # No number that was measured: a notebook's text must not change with the weather.
    clients = comparison.clients
    over = f"{clients[0]} to {clients[-1]} clients" if len(clients) > 1 else f"{clients[0]} clients"
    return f"{what} over {over}, a line for each of {', '.join(comparison.protocols)}. print() of the comparison shows the numbers."


# ---- the whole comparison ---------------------------------------------------------------------------------------


def overview(table, comparison):
    """Bytes on the left, rates on the right: a Figure, to be saved."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(13.2, max(5.0, _height(table))), dpi=110, layout="constrained", **_PAPER)
    left, right = made.subplots(1, 2, width_ratios=(1.05, 1), gridspec_kw={"wspace": 0.06}, subplot_kw=_PAPER)
    bytes_per_operation(table, left)
    rate_by_clients(comparison, right)
    right.set_title(right.get_title(loc="left"), loc="left", fontsize=12, color=INK, pad=26)
    return made
