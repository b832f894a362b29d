"""A table in a terminal that is narrower than it: its columns in several blocks, below each other, and its notes
wrapped."""

import shutil
import sys
import textwrap

from ..display.tables import Table
from ..display.text_width import columns as aligned
from ..display.text_width import width


def print_table(table: Table) -> None:
    """Print it as wide as the terminal, or as it is where the output is no terminal."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    print(fitted(table, shutil.get_terminal_size().columns) if is_terminal else table.text(), end="\n\n", flush=True)


def fitted(table: Table, cells: int) -> str:
    """The table in so many terminal cells. Each block repeats the columns that name the rows; the notes come last."""
    text = table.text()
    if max(map(width, text.splitlines())) <= cells:
        return text
    lines = [table.title]
    for numbers in _blocks(table, cells):
        chosen = [*range(table.labels), *numbers]
        sides = ["<" if i < table.labels or not table.heads[i] else ">" for i in chosen]
        head, *body = aligned([tuple(row[i] for i in chosen) for row in (table.heads, *table.rows)], sides)
        rule = "─" * max(map(width, (head, *body)))
        lines += [rule, head, rule, *body]
    lines.append("─" * min(cells, max(map(width, lines))))
    for note in table.notes:
        lines += textwrap.wrap(note, cells, break_on_hyphens=False) or [""]
    return "\n".join(lines)


def _blocks(table: Table, cells: int) -> list[list[int]]:
    """The columns of numbers, as many in each block as fit beside the labels, and one at the least."""
    widths = [max(width(row[i]) for row in (table.heads, *table.rows)) + 2 for i in range(len(table.heads))]
    room = cells + 2 - sum(widths[: table.labels])
    blocks: list[list[int]] = [[]]
    used = 0
    for i in range(table.labels, len(table.heads)):
        if blocks[-1] and used + widths[i] > room:
            blocks.append([])
            used = 0
        blocks[-1].append(i)
        used += widths[i]
    return blocks
