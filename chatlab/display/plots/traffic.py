"""Plots of bytes: by operation, by layer, and overhead by information."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import shapes
from .style import (
    FAINT,
    INK,
    LAYER_COLORS,
    TCP_IP,
    annotate,
    footnote,
    legend,
    log_scale,
    names_at_line_ends,
    new_axes,
    pale,
    rows_of_bars,
    style_of,
    tidy,
    title,
    with_sentence,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def height_of_bars(table: shapes.ByteTable) -> float:
    """The height, in inches, of a picture with a bar for each operation and protocol."""
    return 1.5 + len(table.operations) * (0.2 + 0.21 * len(table.protocols))


def bytes_per_operation(table: shapes.ByteTable, ax: "Axes | None" = None) -> "Axes":
    """For each operation a bar for each protocol: bytes up (full) and down (pale) in steady state, and of the first."""
    protocols, operations = table.protocols, table.operations
    height = 0.8 / len(protocols)
    ax = ax or new_axes(7.6, height_of_bars(table))
    most = max(row.steady.total for row in table.rows)
    for row in table.rows:
        style, up = style_of(row.protocol), row.steady.up
        y = operations.index(row.operation) + (protocols.index(row.protocol) - (len(protocols) - 1) / 2) * height
        look: dict[str, Any] = {"height": height * 0.86, "zorder": 2}
        ax.barh(y, up, color=style.color, hatch=style.hatch, edgecolor="white", lw=0, **look)
        ax.barh(y, row.steady.down, left=up, color=pale(style.color), edgecolor=style.color, lw=0.6, **look)
        first = f"   first: {row.first.total:,}" if row.first.total != row.steady.total else ""
        number = f"{row.steady.total:,}{first}"
        write(ax, row.steady.total + most * 0.012, y, number, va="center", fontsize=8, color=INK)
    ax.set_xlabel("bytes at the socket, in steady state")
    title(ax, "What an operation costs on the wire", pad=26)
    tidy(ax, "x")
    rows_of_bars(ax, operations, most * 1.28)
    _legend_of_directions(ax, protocols)
    note = (
        "“first” is the first such request on a connection; "
        "a first create_account includes the set-up of the connection."
    )
    footnote(ax, note, table.environment)
    return with_sentence(ax, _bytes_in_words(table))


def _legend_of_directions(ax: "Axes", protocols: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=style_of(name).color, hatch=style_of(name).hatch, edgecolor="white", lw=0, label=name)
        for name in protocols
    ]
    handles.append(Patch(facecolor="#777777", label="up, to the server"))
    handles.append(Patch(facecolor=pale("#777777"), edgecolor="#777777", lw=0.6, label="down"))
    legend(ax, above=True, handles=handles)


def _bytes_in_words(table: shapes.ByteTable) -> str:
    named = [name for name in ("ping", "send 2 characters") if name in table.operations] or table.operations[:1]
    parts = []
    for operation in named:
        totals = [f"{row.protocol} {row.steady.total}" for row in table.rows if row.operation == operation]
        parts.append(f"{operation}: {', '.join(totals)}")
    operations = f"Bars of the bytes that each of {len(table.operations)} operations takes at the socket."
    return f"{operations} {'; '.join(parts)}."


# ---- by layer ---------------------------------------------------------------------------------------------------

#: Each layer has a hatch too, so that it is told apart without colour.
_LAYER_HATCH = dict(zip(LAYER_COLORS, ("", "////", "\\\\\\\\", "....", "")))
#: TCP/IP's part, which is a model, is pale.
_LAYER_FACE = {layer: pale(color) if layer == TCP_IP else color for layer, color in LAYER_COLORS.items()}


def stacked_layers(table: shapes.SizeTable, ax: "Axes | None" = None) -> "Axes":
    """For each operation and size a bar for each protocol, its layers stacked; TCP/IP's modelled part is pale."""
    groups = list(dict.fromkeys((row.operation, row.size) for row in table.rows))
    height = 0.84 / len(table.protocols)
    ax = ax or new_axes(7.6, 1.7 + len(groups) * (0.2 + 0.22 * len(table.protocols)))
    most = max(row.both.up_to(TCP_IP) for row in table.rows)
    for row in table.rows:
        middle = (len(table.protocols) - 1) / 2
        y = groups.index((row.operation, row.size)) + (table.protocols.index(row.protocol) - middle) * height
        left = 0
        for layer, size in row.both.to_dict().items():
            look: dict[str, Any] = {"color": _LAYER_FACE[layer], "hatch": _LAYER_HATCH[layer], "edgecolor": "white"}
            ax.barh(y, size, height * 0.84, left=left, lw=0, zorder=2, **look)
            left += size
        write(ax, left + most * 0.012, y, f"{row.protocol}: {row.total:,}", va="center", fontsize=8, color=INK)
    one_size = len(table.sizes) == 1
    names = [operation if one_size or size == operation else f"{operation}\n{size}" for operation, size in groups]
    ax.set_xlabel("bytes, both ways, in steady state")
    title(ax, "What the bytes are for" + (f": {table.sizes[0]}" if one_size else ""), pad=26)
    tidy(ax, "x")
    rows_of_bars(ax, names, most * 1.22)
    _legend_of_layers(ax)
    note = (
        "The number is bytes at the socket, without TCP/IP's headers: those are modelled, 52 for each segment of 1448."
    )
    footnote(ax, note, table.environment)
    return with_sentence(ax, _layers_in_words(table))


def _legend_of_layers(ax: "Axes") -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=face, hatch=_LAYER_HATCH[layer], edgecolor="white", lw=0, label=layer)
        for layer, face in _LAYER_FACE.items()
    ]
    legend(ax, above=True, handles=handles, fontsize=8)


def _layers_in_words(table: shapes.SizeTable) -> str:
    first = table.rows[0]
    totals = [
        f"{row.protocol} {row.total}"
        for row in table.rows
        if (row.operation, row.size) == (first.operation, first.size)
    ]
    return (
        f"Bars of bytes, stacked by layer, for {', '.join(table.operations)}. "
        f"At the socket, {first.operation}, {first.size}: {', '.join(totals)}."
    )


# ---- overhead by information ------------------------------------------------------------------------------------


def overhead_by_information(table: shapes.SizeTable, ax: "Axes | None" = None) -> "Axes":
    """Overhead over information, both in bytes, a line for each protocol.

    A ring marks where two lines cross, a diamond where one crosses the diagonal, on which half of all bytes are
    overhead.
    """
    ax = ax or new_axes(7.2, 5.2)
    ends, points = [], []
    for name in table.protocols:
        style = style_of(name)
        line = sorted((row.both.information, row.both.overhead) for row in table.rows if row.protocol == name)
        points += line
        xs, ys = [x for x, _ in line], [y for _, y in line]
        ax.plot(xs, ys, style.line, color=style.color, marker=style.marker, ms=5, lw=1.8, zorder=2)
        ends.append((xs[-1], ys[-1], name, style.color))
    log_scale(ax, "x", "y")
    low, high = min(min(point) for point in points) * 0.8, max(x for x, _ in points)
    ax.set_xlim(low, high * 1.15)
    ax.set_ylim(low, max(y for _, y in points) * 1.6)
    ax.plot([low, high], [low, high], color=FAINT, lw=0.9, ls=(0, (4, 4)), zorder=1)
    crossings = table.crossings()
    for number, crossing in enumerate(crossings):
        has_neighbour = any(
            bool(other.crosses) == bool(crossing.crosses) and other.information < 2 * crossing.information
            for other in crossings[number + 1 :]
        )
        _mark_crossing(ax, crossing, has_neighbour)
    ax.set_xlabel("bytes of information: which message, to whom, what")
    ax.set_ylabel("bytes of overhead at the socket")
    title(ax, "What it costs to say so much")
    tidy(ax, "both")
    names_at_line_ends(ax, ends)
    note = (
        "A request and its answer, in steady state. Ring: two protocols cost the same. "
        "Diamond: as much overhead as information."
    )
    footnote(ax, note, table.environment)
    return with_sentence(ax, _crossings_in_words(table))


def _mark_crossing(ax: "Axes", crossing: shapes.Crossing, has_neighbour: bool) -> None:
    """A mark and the information at it, on the side where no close neighbour to the right has its own."""
    from matplotlib.patheffects import withStroke

    place = crossing.information, crossing.overhead
    marker, size, face = ("o", 11, "none") if crossing.crosses else ("D", 8, "white")
    ax.plot(*place, marker, mfc=face, mec=INK, mew=1.3, ms=size, zorder=5)
    side: dict[str, Any] = {"xytext": (8, 4 if crossing.crosses else -12), "ha": "left"}
    if has_neighbour:
        side = {"xytext": (-8, 4), "ha": "right"}
    rim = [withStroke(linewidth=3, foreground="white")]
    look: dict[str, Any] = {"fontsize": 8, "color": INK, "zorder": 6, "path_effects": rim}
    annotate(ax, f"{crossing.information:,.0f}", place, textcoords="offset points", **look, **side)


def _crossings_in_words(table: shapes.SizeTable) -> str:
    crossings = [
        f"{crossing.protocol} and {crossing.crosses} meet at {crossing.information:,.0f}"
        if crossing.crosses
        else f"{crossing.protocol} has as much overhead as information at {crossing.information:,.0f}"
        for crossing in table.crossings()
    ]
    lines = f"Overhead over information, a line for each of {', '.join(table.protocols)}."
    return f"{lines} In bytes of information: {'; '.join(crossings)}."
