"""A table of text: in plain text, and in HTML that can be read on light and dark pages alike.

Both say the same. Where a page's styles are taken away, as on GitHub, the HTML is still a plain table.
"""

from dataclasses import dataclass
from html import escape

_INK = "var(--jp-content-font-color0, var(--vscode-foreground, inherit))"
_FAINT = "var(--jp-content-font-color2, var(--vscode-descriptionForeground, inherit))"
_LINE = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, 0.4)))"


@dataclass(frozen=True)
class Table:
    """Text in rows and columns. The first `labels` columns name the row, the others are numbers or remarks."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    labels: int = 1

    def text(self) -> str:
        """The table as `print` shows it."""
        return _text(self)

    def html(self) -> str:
        """The table as a notebook shows it."""
        return _html(self)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()


# ---- how it is written ------------------------------------------------------------------------------------------


def _text(table: Table) -> str:
    grid = [table.heads, *table.rows]
    widths = [max(len(row[i]) for row in grid) for i in range(len(table.heads))]
    sides = ["<" if i < table.labels or not head else ">" for i, head in enumerate(table.heads)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths)).rstrip() for row in grid
    ]
    rule = "─" * max(map(len, lines))
    return "\n".join([table.title, rule, lines[0], rule, *lines[1:], rule, *table.notes])


_INTERVAL = "\N{NO-BREAK SPACE}..\N{NO-BREAK SPACE}"  # stays on one line


def _html(table: Table) -> str:
    heads = "".join(_cell("th", head, i >= table.labels, 'scope="col"') for i, head in enumerate(table.heads))
    rows = "".join(f"<tr>{_row(table, row)}</tr>" for row in table.rows)
    notes = "".join(f'<div style="color: {_FAINT}; font-size: 90%">{escape(note)}</div>' for note in table.notes)
    caption = f'<caption style="text-align: left; font-weight: bold; color: {_INK}">{escape(table.title)}</caption>'
    style = f"border-collapse: collapse; color: {_INK}"
    return f'<table style="{style}">{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}'


def _row(table: Table, row: tuple[str, ...]) -> str:
    begins = bool(row[0])  # a group of rows begins where the first cell is not empty
    cells = [
        _cell("th", text, False, 'scope="row"', begins) if i < table.labels else _cell("td", text, True, "", begins)
        for i, text in enumerate(row)
    ]
    return "".join(cells)


def _cell(tag: str, text: str, is_number: bool, scope: str = "", begins: bool = False) -> str:
    line = f"border-top: 1px solid {_LINE}; " if begins else ""
    style = f"{line}text-align: {'right' if is_number else 'left'}; padding: 2px 8px; background: none; color: {_INK}"
    return f'<{tag}{" " + scope if scope else ""} style="{style}">{escape(text.replace(" .. ", _INTERVAL))}</{tag}>'
