"""The space-time diagram of a trace."""

from collections.abc import Mapping, Sequence
from math import atan2, degrees
from typing import TYPE_CHECKING, Any

from . import shapes
from .style import INK, dark, empty, footnote, new_axes, tidy, title, with_sentence, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_LABEL = 24  # characters of a text that are shown beside its arrow
MAX_TIMES = 40  # times at the axis
_USER_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")


def space_time(trace: shapes.Trace, ax: "Axes | None" = None) -> "Axes":
    """A column for each user, time downwards, an arrow for each text. A text that was not received ends in a cross.

    Every sending and every receiving has a row of its own, so time is in order but not to scale; the rows say when.
    """
    deliveries = trace.deliveries
    ends = [user for delivery in deliveries for user in (delivery.sender, delivery.recipient)]
    users = sorted({event.who for event in trace.events}.union(ends))
    times = sorted(
        {at_s for delivery in deliveries for at_s in (delivery.sent_s, delivery.received_s) if at_s is not None}
    )
    row = {at_s: number for number, at_s in enumerate(times)}
    ax = ax or new_axes(1.4 + 2.1 * max(2, len(users)), max(2.6, min(14.0, 1.4 + 0.26 * len(times))))
    if not deliveries:
        return empty(ax, "Who said what to whom", "No text was sent.")
    for column, user in enumerate(users):
        ax.axvline(column, color="#b5b5b5", lw=1.2, zorder=1)
        place: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        write(ax, column, 1.015, user, fontsize=11, weight="bold", color=INK, **place)
    for delivery in deliveries:
        _draw_delivery(ax, delivery, users, row)
    labelled = times[:: len(times) // MAX_TIMES + 1]
    ax.set_yticks([row[at_s] for at_s in labelled], [f"{1e3 * at_s:,.1f}" for at_s in labelled], fontsize=8)
    ax.set_ylim(len(times) - 0.3, -0.9)
    ax.set_xlim(-0.45, max(1, len(users) - 1) + 0.45)
    ax.set_xticks([])
    ax.set_ylabel("ms since the start, not to scale")
    title(ax, "Who said what to whom", pad=24)
    tidy(ax, "y")
    ax.spines["bottom"].set_visible(False)
    lost = sum(delivery.received_s is None for delivery in deliveries)
    crosses = f"; a cross ends those that were not shown before the end ({lost})" if lost else ""
    footnote(ax, f"{len(deliveries)} texts{crosses}.")
    return with_sentence(ax, _trace_in_words(deliveries, users, lost))


def _draw_delivery(ax: "Axes", delivery: shapes.Delivery, users: Sequence[str], row: Mapping[float, int]) -> None:
    color = _USER_COLORS[users.index(delivery.sender) % len(_USER_COLORS)]
    start, to = (users.index(delivery.sender), row[delivery.sent_s]), users.index(delivery.recipient)
    end: tuple[float, float]
    if delivery.received_s is None:
        side = 0.5 if to > start[0] else -0.5 if to < start[0] else 0.25
        end = start[0] + side, start[1]
        ax.plot([start[0], end[0]], [start[1], end[1]], ":", color=color, lw=1.6, zorder=2)
        ax.plot(*end, "x", color=color, ms=8, mew=2, zorder=4)
    else:
        end = to, row[delivery.received_s]
        arrow = {
            "arrowstyle": "-|>",
            "color": color,
            "lw": 1.6,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 13,
            "connectionstyle": "arc3,rad=-0.6" if to == start[0] else "arc3",
        }
        ax.annotate("", end, start, arrowprops=arrow, zorder=3)
    ax.plot(*start, "o", color=color, ms=4, zorder=4)
    _label(ax, _shortened(delivery.text), color, start, end)


def _label(ax: "Axes", text: str, color: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """The text along its arrow, above it and upright, with a glow that keeps it apart from what it crosses."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import offset_copy

    (x0, y0), (x1, y1) = start, end
    glow = [withStroke(linewidth=3, foreground="white")]
    look: dict[str, Any] = {"fontsize": 8.5, "color": dark(color), "path_effects": glow, "zorder": 5}
    if x0 == x1:
        write(ax, x0 + 0.09, (y0 + y1) / 2, text, va="center", **look)
        return
    angle = degrees(atan2((y1 - y0) * (1 if x1 > x0 else -1), abs(x1 - x0)))  # as it is read, from left to right
    look |= {"rotation": angle, "rotation_mode": "anchor", "transform_rotates_text": True}
    above = offset_copy(ax.transData, ax.figure, 0, 1.5, units="points")  # type: ignore[arg-type]
    write(ax, x0 + (x1 - x0) * 0.45, y0 + (y1 - y0) * 0.45, text, ha="center", va="bottom", transform=above, **look)


def _shortened(text: str) -> str:
    text = text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
    return text.replace("\n", "⏎")


def _trace_in_words(deliveries: Sequence[shapes.Delivery], users: Sequence[str], lost: int) -> str:
    first = "; ".join(
        f"{delivery.sender} to {delivery.recipient}: {delivery.text[:MAX_LABEL]}" for delivery in deliveries[:3]
    )
    columns = f"A column for each of {', '.join(users)}, time downwards, an arrow for each of {len(deliveries)} texts."
    ending = f" {lost} of them were not shown before the end." if lost else ""
    return f"{columns} {first}.{ending}"
