"""A table of text: in plain text, and in HTML that can be read on light and dark pages alike. Both say the same."""

from dataclasses import dataclass

from . import html
from .text_width import columns, width

_INTERVAL = "\N{NO-BREAK SPACE}..\N{NO-BREAK SPACE}"  # stays on one line


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
        sides = ["<" if i < self.labels or not head else ">" for i, head in enumerate(self.heads)]
        lines = columns([self.heads, *self.rows], sides)
        rule = "─" * max(map(width, lines))
        return "\n".join([self.title, rule, lines[0], rule, *lines[1:], rule, *self.notes])

    def html(self) -> str:
        """The table as a notebook shows it."""
        caption_style = html.styled(text_align="left", font_weight="bold", color=html.INK)
        caption = html.element("caption", html.escape(self.title), style=caption_style)
        heads = html.row(self._html_cell(head, i >= self.labels, "col") for i, head in enumerate(self.heads))
        style = html.styled(border_collapse="collapse", color=html.INK)
        note_style = html.styled(color=html.FAINT, font_size="90%")
        notes = "".join(html.element("div", html.escape(note), style=note_style) for note in self.notes)
        return html.table(map(self._html_row, self.rows), heads, caption, style) + notes

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()

    def _html_row(self, row: tuple[str, ...]) -> str:
        line = f"1px solid {html.LINE}" if row[0] else ""  # a group of rows begins where the first cell is not empty
        return html.row(
            self._html_cell(text, i >= self.labels, "row" if i < self.labels else None, line)
            for i, text in enumerate(row)
        )

    def _html_cell(self, text: str, is_number: bool, head_of: str | None, line: str = "") -> str:
        style = html.styled(
            border_top=line,
            text_align="right" if is_number else "left",
            padding="2px 8px",
            background="none",
            color=html.INK,
        )
        return html.cell(html.escape(text.replace(" .. ", _INTERVAL)), style, head_of)
