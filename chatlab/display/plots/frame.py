"""A picture of one dissected frame: where CSS is stripped, and for slides."""

from .style import GRID, INK, _axes, _sentence


def annotated_bytes(frame, ax=None):
    """A dissected frame as a picture of its hex table: where CSS is stripped, and for slides."""
    table = frame.explain()
    rows = [[_cut(cell) for cell in (row[0], row[1], *row[3:])] for row in table.rows()]
    heads = (table.heads[0], table.heads[1], *table.heads[3:])
    widths = [max(len(line) for row in [heads, *rows] for line in row[i].split("\n")) for i in range(len(heads))]
    lefts = [sum(widths[:i]) + 2 * i for i in range(len(widths))]
    heights = [row[1].count("\n") + 1 for row in rows]
    ax = ax or _axes(1 + (sum(widths) + 2 * len(widths)) * 0.075, 0.8 + sum(heights) * 0.19)
    look = dict(fontsize=8.5, family="monospace", va="baseline", color=INK)
    for left, head in zip(lefts, heads):
        ax.text(left, -0.4, head, **look, weight="bold")
    y = 0
    for row, height, tint in zip(rows, heights, table.tints()):
        ax.axhline(y, color=GRID, lw=0.6)
        ax.plot([-0.7, -0.7], [y + 0.1, y + height - 0.1], color=tint, lw=4, solid_capstyle="butt")
        for left, cell in zip(lefts, row):
            for number, line in enumerate(cell.split("\n")):
                ax.text(left, y + number + 0.7, line, **look)
        y += height
    ax.set_xlim(-1.5, lefts[-1] + widths[-1] + 1)
    ax.set_ylim(y + 0.2, -1.3)
    ax.set_axis_off()
    ax.set_title(table.title(), loc="left", fontsize=11, color=INK)
    names = ", ".join(dict.fromkeys(field.name for field in frame.fields))
    return _sentence(ax, f"{table.title()}. From left to right: {names}. {table.notes()[0]}.")


def _cut(cell: str) -> str:
    return "\n".join(line if len(line) <= 48 else line[:47] + "…" for line in cell.split("\n"))
