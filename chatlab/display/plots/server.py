"""Plots of a server's processor and memory over time."""

from .latency import _loop_in_words
from .style import _LEGEND, FAINT, GRID, INK, _axes, _footnote, _mixed, _plain, _sentence, style_of

# ---- the server meanwhile ---------------------------------------------------------------------------------------

NAMED_ROUNDS = 6  # of more, the first and the last
_ROUND_LINES = ("-", "--", "-.", ":")


def server_over_time(run, ax=None, of: str = "processor"):
    """What the server used of a "processor", or had in "memory", over time: a line for each round, the later the darker."""
    ax = ax or _axes(7.2, 4.6)
    load = run.workload
    seen = [
        (number, each)
        for number, each in enumerate(run.rounds, 1)
        if each.resources is not None and len(each.resources) > 1
    ]
    for number, each in seen:
        pale = 0.55 * (seen[-1][0] - number) / max(1, seen[-1][0] - seen[0][0])
        label = f"round {number}" if len(seen) <= NAMED_ROUNDS or number in (seen[0][0], seen[-1][0]) else None
        look = dict(
            color=_mixed(style_of(run.protocol).color, 1.0, pale), ls=_ROUND_LINES[number % 4 - 1], lw=1.6, label=label
        )
        if of == "processor":
            ax.stairs(each.resources.busy, each.resources.at_s, baseline=None, **look)
        else:
            ax.plot(each.resources.at_s, [size / 2**20 for size in each.resources.resident], **look)
    took_turns = any(each.slices > 1 for _, each in seen)
    if load.messages is None and not took_turns:
        _mark_warm_up(ax, load.warm_up_s)
    title, ax_label = _SERVER_LABELS[of]
    if of == "processor":
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    else:
        _at_least(ax, 1.0)
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:,.1f}")
    ax.set_xlim(0, max(each.resources.at_s[-1] for _, each in seen))
    ax.set_xlabel("seconds of its turns, the warm-up left out" if took_turns else "seconds since the start of the load")
    ax.set_ylabel(ax_label)
    ax.set_title(f"{title}: {run.protocol}", loc="left", fontsize=12, color=INK)
    _plain(ax, "y")
    ax.legend(**(_LEGEND | {"handlelength": 2.4}))
    rounds, when = (
        f"{len(seen)} round{'s'[: len(seen) != 1]}",
        "after each turn" if took_turns else "ten times a second",
    )
    _footnote(
        ax, f"{_loop_in_words(run)} Read from outside, {when}; {rounds}, each with a fresh server.", run.environment
    )
    return _sentence(
        ax, f"{title}, a line for each of {rounds} of {run.protocol}. to_frame() of a round's course has the numbers."
    )


_SERVER_LABELS = {
    "processor": ("What the server used of a processor", "share of one processor"),
    "memory": ("What the server had in memory", "resident memory, MiB"),
}


def _mark_warm_up(ax, seconds: float) -> None:
    ax.axvspan(0, seconds, color=GRID, lw=0, zorder=0)
    ax.annotate(
        "warm-up",
        (0, 1),
        xytext=(3, -3),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=FAINT,
    )


def _at_least(ax, span: float) -> None:
    """No closer a look than that: what changes by less shall not look like much."""
    low, high = ax.get_ylim()
    room = max(0.0, span - (high - low)) / 2
    ax.set_ylim(low - room, high + room)
