"""Plots of bytes: by operation, by layer, and overhead by information."""

from .style import (
    _LEGEND,
    FAINT,
    GRID,
    INK,
    LAYER_COLORS,
    TCP_IP,
    _axes,
    _footnote,
    _height,
    _names_at_the_ends,
    _pale,
    _plain,
    _sentence,
    style_of,
)

# ---- bytes ------------------------------------------------------------------------------------------------------


def bytes_per_operation(table, ax=None):
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
        ax.barh(
            y,
            row.steady.down,
            height * 0.86,
            left=up,
            color=_pale(style.color),
            edgecolor=style.color,
            lw=0.6,
            zorder=2,
        )
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

    handles = [
        Patch(facecolor=style_of(name).color, hatch=style_of(name).hatch, edgecolor="white", lw=0, label=name)
        for name in protocols
    ]
    handles.append(Patch(facecolor="#777777", label="up, to the server"))
    handles.append(Patch(facecolor=_pale("#777777"), edgecolor="#777777", lw=0.6, label="down"))
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(handles), **_LEGEND)
    ax.set_title(ax.get_title(loc="left"), loc="left", fontsize=12, color=INK, pad=26)


def _bytes_in_words(table) -> str:
    shown = [name for name in ("ping", "send 2 characters") if name in table.operations] or table.operations[:1]
    parts = [
        f"{operation}: {', '.join(f'{row.protocol} {row.steady.total}' for row in table.rows if row.operation == operation)}"
        for operation in shown
    ]
    return (
        f"Bars of the bytes that each of {len(table.operations)} operations takes at the socket. "
        + "; ".join(parts)
        + "."
    )


#: How a layer is drawn: the tints of the hex tables, and a hatch, so that it is told apart without colour.
_LAYER_HATCH = dict(zip(LAYER_COLORS, ("", "////", "\\\\\\\\", "....", "")))


def stacked_layers(table, ax=None):
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
            face = _pale(LAYER_COLORS[layer]) if layer == TCP_IP else LAYER_COLORS[layer]
            ax.barh(
                y,
                size,
                height * 0.84,
                left=left,
                color=face,
                hatch=_LAYER_HATCH[layer],
                edgecolor="white",
                lw=0,
                zorder=2,
            )
            left += size
        ax.text(left + most * 0.012, y, f"{row.protocol}: {row.total:,}", va="center", fontsize=8, color=INK)
    one_size = len(table.sizes) == 1
    names = [operation if one_size or size == operation else f"{operation}\n{size}" for operation, size in groups]
    ax.set_yticks(range(len(groups)), names, fontsize=9)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlim(0, most * 1.22)
    ax.set_xlabel("bytes, both ways, in steady state")
    ax.set_title(
        "What the bytes are for" + (f": {table.sizes[0]}" if one_size else ""),
        loc="left",
        fontsize=12,
        color=INK,
        pad=26,
    )
    _plain(ax, "x")
    for between in range(1, len(groups)):
        ax.axhline(between - 0.5, color=GRID, lw=0.8, zorder=0)
    _layers_legend(ax)
    _footnote(
        ax,
        "The number is bytes at the socket, without TCP/IP's headers: those are modelled, 52 for each segment of 1448.",
        table.environment,
    )
    return _sentence(ax, _layers_in_words(table))


def _layers_legend(ax) -> None:
    from matplotlib.patches import Patch

    faces = {layer: _pale(tint) if layer == TCP_IP else tint for layer, tint in LAYER_COLORS.items()}
    handles = [
        Patch(facecolor=face, hatch=_LAYER_HATCH[layer], edgecolor="white", lw=0, label=layer)
        for layer, face in faces.items()
    ]
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(handles), **(_LEGEND | {"fontsize": 8})
    )


def _layers_in_words(table) -> str:
    first = table.rows[0]
    parts = [
        f"{row.protocol} {row.total}"
        for row in table.rows
        if (row.operation, row.size) == (first.operation, first.size)
    ]
    return (
        f"Bars of bytes, stacked by layer, for {', '.join(table.operations)}. "
        f"At the socket, {first.operation}, {first.size}: {', '.join(parts)}."
    )


def overhead_by_information(table, ax=None):
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
        has_neighbour = any(
            bool(c.crosses) == bool(crossing.crosses) and c.information < 2 * crossing.information
            for c in crossings[n + 1 :]
        )
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
    marker, size = ("o", 11) if crossing.crosses else ("D", 8)
    ax.plot(*place, marker, mfc="none" if crossing.crosses else "white", mec=INK, mew=1.3, ms=size, zorder=5)
    side = (
        dict(xytext=(-8, 4), ha="right")
        if has_neighbour
        else dict(xytext=(8, 4 if crossing.crosses else -12), ha="left")
    )
    look = dict(fontsize=8, color=INK, zorder=6, path_effects=[withStroke(linewidth=3, foreground="white")])
    ax.annotate(f"{crossing.information:,.0f}", place, textcoords="offset points", **look, **side)


def _crossings_in_words(table) -> str:
    told = [
        f"{each.protocol} and {each.crosses} meet at {each.information:,.0f}"
        if each.crosses
        else f"{each.protocol} has as much overhead as information at {each.information:,.0f}"
        for each in table.crossings()
    ]
    return f"Overhead over information, a line for each of {', '.join(table.protocols)}. In bytes of information: {'; '.join(told)}."
