"""What all plots share: colours, axes, texts. The only home of matplotlib, which is loaded when the first plot is
drawn.

Each protocol has one colour, one marker, one line and one hatch everywhere, so that no picture needs colour to be read.
A plot draws on the `ax` it is given, or on a figure of its own, and returns the Axes; it changes no global setting.
What is to be seen is also in words: `ax.sentence`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, floor, log10
from textwrap import fill
from typing import TYPE_CHECKING, Any
from zlib import crc32

from .fonts import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#222222", "#6b6b6b", "#e3e3e3"
LIMITED = "#9a9a9a"  # what the load generator, and not the server, has limited
INFORMATION, TCP_IP = "information", "TCP/IP headers, modelled"
#: One colour for each layer of bytes, inside out, told apart by colour-blind eyes too; words always say the same.
LAYER_COLORS = {
    INFORMATION: "#009E73",
    "payload encoding": "#56B4E9",
    "message framing": "#E69F00",
    "HTTP/2 and HPACK": "#CC79A7",
    TCP_IP: "#999999",
}


@dataclass(frozen=True)
class Style:
    """How a protocol is drawn."""

    color: str
    marker: str
    line: str
    hatch: str


#: Colours of Okabe and Ito, which colour-blind people can tell apart: the socket protocols warm and green, gRPC blue.
PROTOCOL_STYLE = {
    "text": Style("#d55e00", "o", "-", ""),
    "json": Style("#cc79a7", "s", "--", "//"),
    "binary": Style("#e69f00", "D", "-.", "\\\\"),
    "protobuf": Style("#009e73", "P", ":", "xx"),
    "grpc": Style("#0072b2", "^", "-", ".."),
    "grpc-stream": Style("#56b4e9", "v", "--", "--"),
}
#: For a reader's own protocols.
_OTHER_STYLES = (
    Style("#222222", "X", "-", "++"),
    Style("#7f7f7f", "h", "--", "oo"),
    Style("#8c6d1f", "*", "-.", "||"),
    Style("#5b3a8c", "p", ":", "**"),
)


def style_of(protocol: str) -> Style:
    """The protocol's style; a protocol that is not ours has the same style every time, by its name."""
    return PROTOCOL_STYLE.get(protocol) or _OTHER_STYLES[crc32(protocol.encode()) % len(_OTHER_STYLES)]


def pale(color: str) -> str:
    return mixed(color, 1.0, 0.62)


def dark(color: str) -> str:
    return mixed(color, 0.0, 0.30)


def mixed(color: str, other: float, share: float) -> str:
    """A colour with this share of white (1.0) or black (0.0)."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (value * (1 - share) + other * share for value in to_rgb(color))
    return to_hex((red, green, blue))


# ---- axes -------------------------------------------------------------------------------------------------------

_PAPER: dict[str, Any] = {"facecolor": "white"}  # whatever style a notebook has: the ink is dark
_LEGEND: dict[str, Any] = {
    "labelcolor": INK,
    "frameon": False,
    "fontsize": 9,
    "handlelength": 1.2,
    "handletextpad": 0.5,
    "columnspacing": 1.4,
    "borderaxespad": 0.3,
}


def new_axes(width: float, height: float) -> "Axes":
    """The Axes of a figure of its own, in inches."""
    from matplotlib import pyplot

    _, ax = pyplot.subplots(figsize=(width, height), dpi=100, layout="constrained", subplot_kw=_PAPER, **_PAPER)
    return ax


def new_figure(size: tuple[float, float], dpi: int) -> "Figure":
    """A figure that no notebook shows by itself, and that any thread may draw."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=dpi, layout="constrained", **_PAPER)


def subplots(figure: "Figure", columns: int = 1, **options: Any) -> list["Axes"]:
    """Axes side by side, as wide as `width_ratios` says."""
    return list(figure.subplots(1, columns, subplot_kw=_PAPER, squeeze=False, **options)[0])


def figure(draw: Callable[..., Any], result: object, size: tuple[float, float] = (7.2, 4.6)) -> "Figure":
    """A plot on a Figure with one Axes, to be saved: `figure(rate_by_clients, comparison).savefig("rates.png")`."""
    made = new_figure(size, dpi=150)
    draw(result, *subplots(made))
    return made


def tidy(ax: "Axes", grid: str) -> None:
    """Thin spines, a pale grid across the axis "x", "y" or "both", and dark ink."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#9a9a9a")
    ax.tick_params(colors=INK, length=0 if grid == "x" else 3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(INK)
    ax.grid(axis=grid, color=GRID, lw=0.8, zorder=0)  # type: ignore[arg-type]
    ax.set_axisbelow(True)


def rows_of_bars(ax: "Axes", names: Sequence[str], longest: float) -> None:
    """The rows of a horizontal bar chart, from the top down, a line between them, and room for a number at each bar."""
    ticks(ax.yaxis, range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, longest)
    for between in range(1, len(names)):
        ax.axhline(between - 0.5, color=GRID, lw=0.8, zorder=0)


def log_scale(ax: "Axes", *axes: str) -> None:
    """Logarithmic axes, "x" or "y", that read 1, 3, 10, 30 instead of powers of ten."""
    for name in axes:
        axis, set_scale = (ax.xaxis, ax.set_xscale) if name == "x" else (ax.yaxis, ax.set_yscale)
        set_scale("log")
        axis.set_major_locator(_readable_locator()())
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_minor_locator(_no_locator())


@cache
def _readable_locator() -> Any:
    from matplotlib.ticker import Locator

    class ReadableLogLocator(Locator):
        def __call__(self) -> list[float]:
            assert self.axis is not None
            return self.tick_values(*self.axis.get_view_interval())

        def tick_values(self, vmin: float, vmax: float) -> list[float]:
            return readable_ticks(vmin, vmax)

    return ReadableLogLocator


def _no_locator() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def readable_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis: as few digits as give at least four of them, and at most nine numbers.

    >>> readable_ticks(0.7, 40), readable_ticks(1, 1000), readable_ticks(4, 9.5)
    ([1.0, 3.0, 10.0, 30.0], [1.0, 10.0, 100.0, 1000.0], [4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    """
    low, high = min(low, high), max(low, high)
    if low <= 0 or high <= low:
        return [high] if high > 0 else []
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    found: list[float] = []
    for digits in (1,), (1, 3), (1, 2, 5), range(1, 10):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        found = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(found) >= 4:
            return found[:: ceil(len(found) / 9)]
    return found if len(found) > 1 else _linear_ticks(low, high)


def _linear_ticks(low: float, high: float) -> list[float]:
    """For less than a fraction of a decade, where a logarithmic axis is almost a linear one."""
    step = 10.0 ** floor(log10(high - low))
    return [float(f"{n * step:.12g}") for n in range(ceil(low / step), floor(high / step) + 1)]


# ---- texts ------------------------------------------------------------------------------------------------------
# Every text goes through these, because what is in it may be a user's: a name with dollars is not a formula, and one in
# another script needs another font.


def write(ax: "Axes", x: float, y: float, text: str, family: str = "", **look: Any) -> None:
    """A text at a place, as `ax.text` puts it."""
    drawn, how = drawable(text, family)
    ax.text(x, y, drawn, **how, **look)


def annotate(ax: "Axes", text: str, place: tuple[float, float], **look: Any) -> None:
    """A text beside a place, as `ax.annotate` puts it."""
    drawn, how = drawable(text)
    ax.annotate(drawn, place, **how, **look)


def title(ax: "Axes", text: str, pad: float | None = None) -> None:
    drawn, how = drawable(text)
    ax.set_title(drawn, loc="left", fontsize=12, color=INK, pad=pad, **how)


def ticks(axis: "Axis", places: Iterable[float], labels: Iterable[str], **look: Any) -> None:
    """Ticks with these labels, and no others."""
    drawn = [drawable(label) for label in labels]
    families = {tuple(family): None for _, how in drawn if isinstance(family := how.get("fontfamily"), list)}
    if families:
        look["fontfamily"] = list(dict.fromkeys(name for family in families for name in family))
    axis.set_ticks(list(places), [text for text, _ in drawn], parse_math=False, **look)


def legend(ax: "Axes", above: bool = False, **look: Any) -> None:
    """The legend; `above` puts it in a line between the title and the axes."""
    if above:
        look |= {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": len(look["handles"])}
    for text in ax.legend(**(_LEGEND | look)).get_texts():
        drawn, how = drawable(text.get_text())
        text.set(text=drawn, **how)


def footnote(ax: "Axes", note: str, environment: object = None) -> None:
    """Under the axes: what was drawn, and where it was measured."""
    from matplotlib.figure import Figure

    grid, whole = ax.get_gridspec(), ax.figure
    width = int(whole.get_figwidth() * 17 / grid.ncols) if grid and isinstance(whole, Figure) else 110
    lines = [fill(note, width)] + ([fill(str(environment), width)] if environment else [])
    place: dict[str, Any] = {"xytext": (0, -42 if ax.get_xlabel() else -14), "textcoords": "offset points"}
    annotate(
        ax, "\n".join(lines), (0, 0), xycoords="axes fraction", **place, va="top", ha="left", fontsize=7.5, color=FAINT,
        annotation_clip=False,
    )  # fmt: skip


def names_at_line_ends(ax: "Axes", ends: Iterable[tuple[float, float, str, str]]) -> None:
    """(x, y, name, colour): each line's name where it ends, moved apart so that none covers another."""
    placed = None
    for x, y, name, color in sorted(ends, key=lambda end: end[1]):
        height = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[1]
        placed = height if placed is None else max(height, placed + 0.06)
        look: dict[str, Any] = {"va": "center", "color": dark(color), "fontsize": 10, "annotation_clip": False}
        annotate(ax, name, (x, y), xytext=(1.02, placed), textcoords="axes fraction", **look)


def with_sentence(ax: "Axes", sentence: str) -> "Axes":
    """The Axes, which say in words what is to be seen."""
    ax.sentence = sentence  # type: ignore[attr-defined]
    return ax


def empty(ax: "Axes", heading: str, why: str) -> "Axes":
    """A picture that says why it is empty, instead of axes without a line."""
    title(ax, heading)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    place: dict[str, Any] = {"transform": ax.transAxes, "ha": "center", "va": "center"}
    write(ax, 0.5, 0.5, fill(why, 60), **place, fontsize=10, color=FAINT)
    return with_sentence(ax, f"{heading}: nothing to draw. {why}")
