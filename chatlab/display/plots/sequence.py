"""The space-time diagram of a trace."""

from .style import INK, LABEL_CUT, _axes, _dark, _footnote, _plain, _sentence

# ---- who said what to whom --------------------------------------------------------------------------------------


def space_time(trace, ax=None):
    """A column for each user, time downwards, an arrow for each text. A text that was never shown ends in a cross.

    Every sending and every showing has a row of its own, so time is in order but not to scale; the rows say when.
    """
    users = sorted(
        {event.who for event in trace.events} | {who for f in trace.deliveries for who in (f.sender, f.recipient)}
    )
    times = sorted(
        {t for delivery in trace.deliveries for t in (delivery.sent_s, delivery.received_s) if t is not None}
    )
    row = {at_s: number for number, at_s in enumerate(times)}
    ax = ax or _axes(1.4 + 2.1 * max(2, len(users)), max(2.6, min(14.0, 1.4 + 0.26 * len(times))))
    for column, user in enumerate(users):
        ax.axvline(column, color="#b5b5b5", lw=1.2, zorder=1)
        place = dict(transform=ax.get_xaxis_transform(), ha="center", va="bottom")
        ax.text(column, 1.015, user, fontsize=11, weight="bold", color=INK, **place)
    for delivery in trace.deliveries:
        _delivery(ax, delivery, users, row)
    shown = times[:: len(times) // 40 + 1]
    ax.set_yticks([row[at_s] for at_s in shown], [f"{1e3 * at_s:,.1f}" for at_s in shown], fontsize=8)
    ax.set_ylim(len(times) - 0.3, -0.9)
    ax.set_xlim(-0.45, max(1, len(users) - 1) + 0.45)
    ax.set_xticks([])
    ax.set_ylabel("ms since the start, not to scale")
    ax.set_title("Who said what to whom", loc="left", fontsize=12, color=INK, pad=24)
    _plain(ax, "y")
    ax.spines["bottom"].set_visible(False)
    lost = sum(delivery.received_s is None for delivery in trace.deliveries)
    note = f"{len(trace.deliveries)} texts" + (
        f"; a cross ends those that were not shown before the end ({lost})." if lost else "."
    )
    _footnote(ax, note)
    return _sentence(ax, _trace_in_words(trace, users, lost))


def _delivery(ax, delivery, users, row) -> None:
    color = _USER_COLORS[users.index(delivery.sender) % len(_USER_COLORS)]
    x0, y0, x1 = users.index(delivery.sender), row[delivery.sent_s], users.index(delivery.recipient)
    if delivery.received_s is None:
        x1, y1 = x0 + (0.5 if x1 > x0 else -0.5 if x1 < x0 else 0.25), y0
        ax.plot([x0, x1], [y0, y1], ":", color=color, lw=1.6, zorder=2)
        ax.plot(x1, y1, "x", color=color, ms=8, mew=2, zorder=4)
    else:
        y1 = row[delivery.received_s]
        bend = "arc3,rad=-0.6" if x0 == x1 else "arc3"
        arrow = dict(
            arrowstyle="-|>", color=color, lw=1.6, shrinkA=0, shrinkB=0, mutation_scale=13, connectionstyle=bend
        )
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=arrow, zorder=3)
    ax.plot(x0, y0, "o", color=color, ms=4, zorder=4)
    _label(ax, delivery, color, (x0, y0), (x1, y1))


def _label(ax, delivery, color, start, end) -> None:
    """The text along its arrow, above it and upright, with a glow that keeps it apart from what it crosses."""
    from math import atan2, degrees

    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import offset_copy

    text = delivery.text if len(delivery.text) <= LABEL_CUT else delivery.text[: LABEL_CUT - 1] + "…"
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


def _trace_in_words(trace, users, lost: int) -> str:
    first = "; ".join(f"{f.sender} to {f.recipient}: {f.text[:LABEL_CUT]}" for f in trace.deliveries[:3])
    ending = f" {lost} of them were not shown before the end." if lost else ""
    return f"A column for each of {', '.join(users)}, time downwards, an arrow for each of {len(trace.deliveries)} texts. {first}.{ending}"
