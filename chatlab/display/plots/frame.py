"""A picture of one dissected frame: for slides, and for pages that strip styles."""

from typing import TYPE_CHECKING, Any

from ..text_width import width
from .style import GRID, INK, new_axes, title, with_sentence, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..hexview import ExplainableFrame

MAX_CELL = 48  # characters of a line of a cell


def annotated_bytes(frame: "ExplainableFrame", ax: "Axes | None" = None) -> "Axes":
    """A dissected frame as a picture of its hex table."""
    table = frame.explain()
    rows = [[_shortened(cell) for cell in (row[0], row[1], *row[3:])] for row in table.rows()]
    heads = [table.heads[0], table.heads[1], *table.heads[3:]]
    widths = [max(width(line) for row in [heads, *rows] for line in row[i].split("\n")) for i in range(len(heads))]
    lefts = [sum(widths[:i]) + 2 * i for i in range(len(widths))]
    heights = [row[1].count("\n") + 1 for row in rows]
    ax = ax or new_axes(1 + (sum(widths) + 2 * len(widths)) * 0.075, 0.8 + sum(heights) * 0.19)
    look: dict[str, Any] = {"fontsize": 8.5, "family": "monospace", "va": "baseline", "color": INK}
    for left, head in zip(lefts, heads):
        write(ax, left, -0.4, head, **look, weight="bold")
    y = 0
    for row, height, tint in zip(rows, heights, table.tints()):
        ax.axhline(y, color=GRID, lw=0.6)
        ax.plot([-0.7, -0.7], [y + 0.1, y + height - 0.1], color=tint, lw=4, solid_capstyle="butt")
        for left, cell in zip(lefts, row):
            for number, line in enumerate(cell.split("\n")):
                write(ax, left, y + number + 0.7, line, **look)
        y += height
    ax.set_xlim(-1.5, lefts[-1] + widths[-1] + 1)
    ax.set_ylim(y + 0.2, -1.3)
    ax.set_axis_off()
    title(ax, table.title())
    names = ", ".join(dict.fromkeys(field.name for field in frame.fields))
    return with_sentence(ax, f"{table.title()}. From left to right: {names}. {table.notes()[0]}.")


def _shortened(cell: str) -> str:
    return "\n".join(line if len(line) <= MAX_CELL else line[: MAX_CELL - 1] + "…" for line in cell.split("\n"))
