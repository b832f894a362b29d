"""How bytes look in a cell: a frame with every byte named, and a tape as a table. HTML, and plain text that says the same.

Nothing rests on colour: which field and which layer a byte belongs to stands there in words. The colours of the page are
used, so dark pages stay readable; where a page's styles are taken away, what is left is still a plain table. Times, ports
and session tokens are shown only to those who ask, so a cell's output is the same from run to run.
`plots.annotated_bytes` draws a picture of the same.
"""

from html import escape

from .plots.style import INFORMATION, LAYER_COLORS

BYTES_A_LINE = 16
LINES_A_FIELD = 4  # of a longer field the beginning is shown

_INK = "var(--jp-content-font-color0, var(--vscode-foreground, inherit))"
_LINE = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, 0.4)))"
_MONO = "var(--jp-code-font-family, var(--vscode-editor-font-family, monospace))"
#: Headers and the like that differ from run to run, or from machine to machine.
VARYING = {":authority", "session", "grpc-timeout", "user-agent", "opaque data"}


def printable(data: bytes) -> str:
    """Bytes as a hex editor prints them: what is no printable ASCII is a dot."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def layer_of(field) -> str:
    """Where a field's bytes are booked. What is information in part and price in part says so."""
    if not field.information:
        return field.layer
    rest = field.size - field.information
    return f"{field.information} {INFORMATION}, {rest} {field.layer}" if rest else INFORMATION


class _View:
    """Something to look at, as HTML and as text; it says in `title`, `heads` and `rows` what is to be seen."""

    heads: tuple[str, ...]
    numbers: tuple[int, ...] = ()  #: the columns that are printed to the right
    code: tuple[int, ...] = ()  #: those in type of one width
    short: tuple[int, ...] = ()  #: and those that are never broken into lines

    def __repr__(self):
        lines = [self.heads] + [cells for row in self.rows() for cells in _side_by_side(row)]
        widths = [max(len(cells[i]) for cells in lines) for i in range(len(self.heads))]
        sides = [">" if i in self.numbers else "<" for i in range(len(widths))]
        text = [
            "  ".join(f"{c:{side}{width}}" for c, side, width in zip(cells, sides, widths)).rstrip() for cells in lines
        ]
        rule = "─" * max(map(len, text))
        return "\n".join([self.title(), rule, text[0], rule, *text[1:], rule, *self.notes()])

    def _repr_html_(self):
        caption = f'<caption style="text-align: left; color: {_INK}">{escape(self.title())}</caption>'
        heads = "".join(
            f'<th scope="col" style="text-align: left; padding: 1px 8px">{escape(head)}</th>' for head in self.heads
        )
        body = "".join(f"<tr>{self._html_row(row, tint)}</tr>" for row, tint in zip(self.rows(), self.tints()))
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes())
        style = f"border-collapse: collapse; color: {_INK}; background: none"
        return f'<table style="{style}">{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{notes}'

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _html_row(self, row: tuple[str, ...], tint: str) -> str:
        cells = []
        for i, cell in enumerate(row):
            style = (
                f"padding: 1px 8px; vertical-align: top; border-top: 1px solid {_LINE}; background: none; color: {_INK}"
            )
            style += f"; text-align: {'right' if i in self.numbers else 'left'}"
            style += (
                f"; font-family: {_MONO}; white-space: pre"
                if i in self.code
                else "; white-space: nowrap"
                if i in self.short
                else ""
            )
            style += f"; border-left: 4px solid {tint}" if tint and not i else ""
            tag, scope = ("th", ' scope="row"') if i == self.row_head else ("td", "")
            cells.append(f'<{tag}{scope} style="{style}">{escape(cell).replace(chr(10), "<br>")}</{tag}>')
        return "".join(cells)

    def notes(self) -> list[str]:
        return []

    def tints(self) -> list[str]:
        return [""] * len(self.rows())


class HexTable(_View):
    """A frame, field by field: where its bytes are, what they are, what they say, and what they are paid for."""

    heads = ("at", "bytes", "text", "field", "meaning", "layer")
    numbers, code, short, row_head = (0,), (1, 2), (3, 5), 3

    def __init__(self, frame, cost: str, varying: bool = False):
        self.frame, self.cost, self.varying = frame, cost, varying

    def title(self) -> str:
        frame = self.frame
        stream = "" if frame.stream is None else f", {'stream' if frame.protocol == 'http2' else 'tag'} {frame.stream}"
        return f"{frame.kind} {frame.direction}{stream}: {_bytes(len(frame.data))}, {frame.protocol}"

    def rows(self) -> list[tuple[str, ...]]:
        return [self._row(field) for field in self.frame.fields]

    def _row(self, field) -> tuple[str, ...]:
        raw = self.frame.data[field.start : field.end]
        if self.hides(field):
            dots = "\n".join(" ".join(["··"] * len(raw[at:][:BYTES_A_LINE])) for at in range(0, len(raw), BYTES_A_LINE))
            return str(field.start), dots, "", field.name, "differs from run to run", layer_of(field)
        shown = [raw[at : at + BYTES_A_LINE] for at in range(0, len(raw), BYTES_A_LINE)]
        hidden = sum(map(len, shown[LINES_A_FIELD:]))
        left = [line.hex(" ") for line in shown[:LINES_A_FIELD]] + ([f"and {hidden} more"] if hidden else [])
        right = [printable(line) for line in shown[:LINES_A_FIELD]]
        return str(field.start), "\n".join(left), "\n".join(right), field.name, field.meaning, layer_of(field)

    def hides(self, field) -> bool:
        return not self.varying and field.name.removeprefix("part of ") in VARYING

    def tints(self) -> list[str]:
        return [LAYER_COLORS[INFORMATION if field.information else field.layer] for field in self.frame.fields]

    def notes(self) -> list[str]:
        asks = ["·· differs from run to run; explain(varying=True) shows it"]
        return [self.cost] + asks * any(map(self.hides, self.frame.fields))


class FrameTable(_View):
    """Frames in the order in which they were complete, with the bytes that have passed by then."""

    def __init__(self, frames, cost: str, times: bool = False):
        self.frames, self.cost, self.times = frames, cost, times
        self.heads = (
            *(("time",) if times else ()),
            "direction",
            "connection",
            "on",
            "frame",
            "bytes",
            "so far",
            "says",
        )
        first = int(times)
        self.numbers = (*range(first), first + 1, first + 2, first + 4, first + 5)
        self.row_head = first + 3

    def title(self) -> str:
        total = sum(len(frame.data) for frame in self.frames)
        return f"{len(self.frames)} {'frame' if len(self.frames) == 1 else 'frames'}, {_bytes(total)}"

    def rows(self) -> list[tuple[str, ...]]:
        rows, total = [], 0
        for frame in self.frames:
            total += len(frame.data)
            time = (f"{frame.at_s * 1000:.1f} ms",) if self.times else ()
            stream = "" if frame.stream is None else str(frame.stream)
            numbers = str(len(frame.data)), str(total)
            rows.append((*time, frame.direction, str(frame.connection), stream, frame.kind, *numbers, frame.summary))
        return rows

    def notes(self) -> list[str]:
        return [self.cost]


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def _side_by_side(row: tuple[str, ...]) -> list[list[str]]:
    """A row whose cells have several lines, line by line."""
    cells = [cell.split("\n") for cell in row]
    height = max(map(len, cells))
    return [[lines[i] if i < len(lines) else "" for lines in cells] for i in range(height)]
