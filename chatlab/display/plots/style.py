"""How a result looks as a picture. The only home of matplotlib, which is loaded when the first picture is drawn.

Each protocol has one colour, one marker, one line and one hatch everywhere, so that no picture needs colour to be read.
A function draws on the `ax` it is given, or on a figure of its own, and returns the Axes; it changes no global setting.
What is to be seen is also in words: `ax.sentence`.
"""

from dataclasses import dataclass
from textwrap import fill
from zlib import crc32

INK, FAINT, GRID = "#222222", "#6b6b6b", "#e3e3e3"
INFORMATION, TCP_IP = "information", "TCP/IP headers, modelled"
#: One colour for each layer of bytes, inside out, told apart by colour-blind eyes too; words always say the same.
LAYER_COLORS = {
    INFORMATION: "#009E73",
    "payload encoding": "#56B4E9",
    "message framing": "#E69F00",
    "HTTP/2 and HPACK": "#CC79A7",
    TCP_IP: "#999999",
}
LABEL_CUT = 24  # characters of a text, beside its arrow


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
#: For protocols of a reader's own.
_FOREIGN = (
    Style("#222222", "X", "-", "++"),
    Style("#7f7f7f", "h", "--", "oo"),
    Style("#8c6d1f", "*", "-.", "||"),
    Style("#5b3a8c", "p", ":", "**"),
)


def style_of(protocol: str) -> Style:
    """The protocol's style; a foreign one has the same style every time, by its name."""
    return PROTOCOL_STYLE.get(protocol) or _FOREIGN[crc32(protocol.encode()) % len(_FOREIGN)]


def _height(table) -> float:
    return 1.5 + len(table.operations) * (0.2 + 0.21 * len(table.protocols))


# ---- what all pictures share ------------------------------------------------------------------------------------

_PAPER = {"facecolor": "white"}  # whatever style a notebook has: the ink is dark
_LEGEND = dict(
    labelcolor=INK, frameon=False, fontsize=9, handlelength=1.2, handletextpad=0.5, columnspacing=1.4, borderaxespad=0.3
)


def _axes(width: float, height: float):
    from matplotlib import pyplot

    _, ax = pyplot.subplots(figsize=(width, height), dpi=100, layout="constrained", subplot_kw=_PAPER, **_PAPER)
    return ax


def figure(draw, result, size: tuple[float, float] = (7.2, 4.6)):
    """A picture that no notebook shows by itself and that any thread may draw, to be saved: a Figure with one Axes."""
    from matplotlib.figure import Figure

    made = Figure(figsize=size, dpi=150, layout="constrained", **_PAPER)
    draw(result, made.subplots(subplot_kw=_PAPER))
    return made


def _plain(ax, grid: str) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#9a9a9a")
    ax.tick_params(colors=INK, length=0 if grid == "x" else 3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(INK)
    ax.grid(axis=grid, color=GRID, lw=0.8, zorder=0)
    ax.set_axisbelow(True)


def _footnote(ax, note: str, environment=None) -> None:
    width = int(ax.figure.get_figwidth() * 17 / ax.get_gridspec().ncols) if ax.get_gridspec() else 110
    lines = [fill(note, width)] + ([fill(str(environment), width)] if environment else [])
    ax.annotate(
        "\n".join(lines), (0, 0), xytext=(0, -42 if ax.get_xlabel() else -14), xycoords="axes fraction",
        textcoords="offset points", va="top", ha="left", fontsize=7.5, color=FAINT, annotation_clip=False,
    )  # fmt: skip


def _sentence(ax, sentence: str):
    ax.sentence = sentence
    return ax


def _pale(color: str) -> tuple[float, float, float]:
    return _mixed(color, 1.0, 0.62)


def _dark(color: str) -> tuple[float, float, float]:
    return _mixed(color, 0.0, 0.30)


def _mixed(color: str, other: float, share: float) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    red, green, blue = (value * (1 - share) + other * share for value in to_rgb(color))
    return red, green, blue


def _names_at_the_ends(ax, ends) -> None:
    """Each line's name where it ends, moved apart so that none covers another."""
    placed = None
    for x, y, name, color in sorted(ends, key=lambda end: end[1]):
        height = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[1]
        placed = height if placed is None else max(height, placed + 0.06)
        ax.annotate(
            name, (x, y), xytext=(1.02, placed), textcoords="axes fraction",
            va="center", color=_dark(color), fontsize=10, annotation_clip=False,
        )  # fmt: skip
