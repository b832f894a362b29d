"""How bytes look in a cell: a frame with every byte named, and the frames of a tape as a table. HTML, and the same as
text.

Nothing depends on colour: the field and the layer of each byte are named in words. Times, ports and session tokens are
shown only on request, so a cell's output is the same from run to run. `plots.annotated_bytes` draws the same as a
picture.
"""

from collections.abc import Sequence
from typing import Protocol

from . import html
from .plots.style import INFORMATION, LAYER_COLORS
from .text_width import columns, width

BYTES_PER_LINE = 16
LINES_PER_FIELD = 4  # of a longer field only the beginning is shown

#: Fields that differ from run to run, or from machine to machine.
VARYING = {":authority", "session", "grpc-timeout", "user-agent", "opaque data"}


class DissectedField(Protocol):
    """Bytes of a frame and what they say; `information` counts those that are no cost of the `layer`."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def meaning(self) -> str: ...
    @property
    def layer(self) -> str: ...
    @property
    def information(self) -> int: ...


class DissectedFrame(Protocol):
    """A frame and the fields that tile its bytes."""

    @property
    def at_s(self) -> float: ...
    @property
    def connection(self) -> int: ...
    @property
    def direction(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def fields(self) -> Sequence[DissectedField]: ...
    @property
    def summary(self) -> str: ...
    @property
    def stream(self) -> int | None: ...


class ExplainableFrame(DissectedFrame, Protocol):
    """A frame that makes its own hex table."""

    def explain(self) -> "HexTable": ...


def printable(data: bytes) -> str:
    """Bytes as a hex editor prints them: anything but printable ASCII is a dot."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def layer_of(field: DissectedField) -> str:
    """The layer of a field's bytes; of a field that is partly information, how many bytes of each."""
    if not field.information:
        return field.layer
    rest = field.size - field.information
    return f"{field.information} {INFORMATION}, {rest} {field.layer}" if rest else INFORMATION


class _View:
    """A table as HTML and as text; a subclass says what is in it."""

    heads: tuple[str, ...]
    row_head = 0  #: the column that names the row
    right: tuple[int, ...] = ()  #: columns that are aligned to the right
    code: tuple[int, ...] = ()  #: columns in a monospaced font
    unbroken: tuple[int, ...] = ()  #: columns whose text is never wrapped

    def title(self) -> str:
        raise NotImplementedError

    def rows(self) -> list[tuple[str, ...]]:
        raise NotImplementedError

    def notes(self) -> list[str]:
        return []

    def tints(self) -> list[str]:
        """The colour of each row's left edge, or an empty string."""
        return [""] * len(self.rows())

    def __repr__(self) -> str:
        sides = [">" if i in self.right else "<" for i in range(len(self.heads))]
        lines = columns([self.heads] + [line for row in self.rows() for line in _lines_of(row)], sides)
        rule = "─" * max(map(width, lines))
        return "\n".join([self.title(), rule, lines[0], rule, *lines[1:], rule, *self.notes()])

    def _repr_html_(self) -> str:
        caption_style = html.styled(text_align="left", color=html.INK)
        caption = html.element("caption", html.escape(self.title()), style=caption_style)
        head_style = html.styled(text_align="left", padding="1px 8px")
        heads = html.row(html.cell(html.escape(head), head_style, "col") for head in self.heads)
        rows = [self._html_row(row, tint) for row, tint in zip(self.rows(), self.tints())]
        style = html.styled(border_collapse="collapse", color=html.INK, background="none")
        notes = "".join(html.element("div", html.escape(note)) for note in self.notes())
        return html.table(rows, heads, caption, style) + notes

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _html_row(self, row: tuple[str, ...], tint: str) -> str:
        cells = []
        for i, text in enumerate(row):
            style = html.styled(
                padding="1px 8px",
                vertical_align="top",
                border_top=f"1px solid {html.LINE}",
                background="none",
                color=html.INK,
                text_align="right" if i in self.right else "left",
                font_family=html.MONOSPACE if i in self.code else "",
                white_space="pre" if i in self.code else "nowrap" if i in self.unbroken else "",
                border_left=f"4px solid {tint}" if tint and not i else "",
            )
            cells.append(html.cell(html.with_breaks(text), style, "row" if i == self.row_head else None))
        return html.row(cells)


class HexTable(_View):
    """A frame, field by field: where its bytes are, what they are, what they mean, and to which layer they belong."""

    heads = ("at", "bytes", "text", "field", "meaning", "layer")
    right, code, unbroken, row_head = (0,), (1, 2), (3, 5), 3

    def __init__(self, frame: DissectedFrame, cost: str, varying: bool = False):
        self.frame, self.cost, self.varying = frame, cost, varying

    def title(self) -> str:
        frame = self.frame
        stream = "" if frame.stream is None else f", {'stream' if frame.protocol == 'http2' else 'tag'} {frame.stream}"
        return f"{frame.kind} {frame.direction}{stream}: {_bytes(len(frame.data))}, {frame.protocol}"

    def rows(self) -> list[tuple[str, ...]]:
        return [self._row(field) for field in self.frame.fields]

    def _row(self, field: DissectedField) -> tuple[str, ...]:
        data = self.frame.data[field.start : field.end]
        lines = [data[at : at + BYTES_PER_LINE] for at in range(0, len(data), BYTES_PER_LINE)]
        if self._hides(field):
            dots = "\n".join(" ".join(["··"] * len(line)) for line in lines)
            return str(field.start), dots, "", field.name, "differs from run to run", layer_of(field)
        omitted = sum(map(len, lines[LINES_PER_FIELD:]))
        as_hex = [line.hex(" ") for line in lines[:LINES_PER_FIELD]] + ([f"and {omitted} more"] if omitted else [])
        as_text = [printable(line) for line in lines[:LINES_PER_FIELD]]
        return str(field.start), "\n".join(as_hex), "\n".join(as_text), field.name, field.meaning, layer_of(field)

    def _hides(self, field: DissectedField) -> bool:
        return not self.varying and field.name.removeprefix("part of ") in VARYING

    def tints(self) -> list[str]:
        return [LAYER_COLORS[INFORMATION if field.information else field.layer] for field in self.frame.fields]

    def notes(self) -> list[str]:
        hint = ["·· differs from run to run; explain(varying=True) shows it"]
        return [self.cost] + hint * any(map(self._hides, self.frame.fields))


class FrameTable(_View):
    """Frames in the order in which they were complete, with the number of bytes that had passed by then."""

    def __init__(self, frames: Sequence[DissectedFrame], cost: str, times: bool = False):
        self.frames, self.cost, self.times = frames, cost, times
        heads = "direction", "connection", "on", "frame", "bytes", "so far", "says"
        self.heads = ("time", *heads) if times else heads
        self.right = tuple(
            i for i, head in enumerate(self.heads) if head in ("time", "connection", "on", "bytes", "so far")
        )
        self.row_head = self.heads.index("frame")

    def title(self) -> str:
        total = sum(len(frame.data) for frame in self.frames)
        return f"{len(self.frames)} {'frame' if len(self.frames) == 1 else 'frames'}, {_bytes(total)}"

    def rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        total = 0
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


def _lines_of(row: tuple[str, ...]) -> list[tuple[str, ...]]:
    """A row whose cells have several lines, line by line."""
    cells = [text.split("\n") for text in row]
    height = max(map(len, cells))
    return [tuple(lines[i] if i < len(lines) else "" for lines in cells) for i in range(height)]
