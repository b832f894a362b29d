"""How code, claims and exercises look in a notebook: HTML where it is shown, and plain text that says the same.

Nothing here measures or decides; what it shows was found out elsewhere. Every view can be read without colour, and on
a light and on a dark page alike.
"""

import ast
import base64
import inspect
import io
import textwrap
from html import escape

from .messages import cut


def claim(sentence: str, holds, numbers: object = "") -> None:
    """Print the sentence if it holds; otherwise raise `AssertionError` with the numbers that speak against it.

    >>> claim("two and two make four", 2 + 2 == 4)
    ✓ two and two make four
    """
    if not holds:
        raise AssertionError(f"not so this time: {sentence} ({numbers})" if numbers != "" else f"not so this time: {sentence}")
    print(f"✓ {sentence}")


def exercise(function, *cases) -> None:
    """Try a reader's function. A case is what it is given and, last, what it should return; the first wrong one is told.

    A function that still raises `NotImplementedError` is only reminded of; any other error is the reader's to see.

    >>> exercise(max, (1, 2, 2), (7, 5, 7))
    ✓ max is right in 2 of 2 cases
    """
    name = function.__name__
    for *given, expected in cases:
        try:
            got = function(*given)
        except NotImplementedError:
            print("not written yet: your turn")
            return
        if got != expected:
            call = f"{name}({', '.join(cut(value, 60) if isinstance(value, str) else _short(value) for value in given)})"
            print(f"✗ {call}\n  should be {_short(expected)}\n  and is    {_short(got)}")
            return
    print(f"✓ {name} is right in {len(cases)} of {len(cases)} cases")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def show(ax, sentence: str = "") -> None:
    """Show the figure of a plot, once. The sentence (by default the plot's own) is for whoever cannot see it."""
    from IPython.display import display

    sentence = sentence or getattr(ax, "sentence", "")
    figure, picture = ax.figure, io.BytesIO()
    figure.savefig(picture, format="png", dpi=min(figure.dpi, 100), bbox_inches="tight", facecolor="white")
    _forget(figure)
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": sentence}
    display(data, raw=True, metadata={"image/png": {"alt": sentence}})


def _forget(figure) -> None:
    """Or JupyterLab shows it a second time, at the end of the cell."""
    from matplotlib import pyplot

    pyplot.close(figure)


# ---- two pieces of code, side by side ---------------------------------------------------------------------------


def side_by_side(left, right) -> "SideBySide":
    """The source of two classes, or of two functions, or of two lists of functions, next to each other.

    What has the same name, underscores aside, stands in the same row. Lines that both sides have are tinted.
    """
    return SideBySide(_parts(left), _parts(right), _title(left), _title(right))


class SideBySide:
    """Two columns of named pieces of source. In plain text a line that both have begins with `=`."""

    def __init__(self, left: dict[str, str], right: dict[str, str], left_title: str, right_title: str):
        self.left, self.right = left, right
        self.titles = left_title, right_title

    def rows(self) -> list[tuple[str, str]]:
        """Pieces of the same name together, in the order in which they stand; a piece alone has an empty neighbour."""
        partners = self._partners()
        if not partners:
            return [("\n\n".join(self.left.values()), "\n\n".join(self.right.values()))]
        rows, waiting = [], dict(self.right)
        for name, piece in self.left.items():
            partner = partners.get(name)
            while partner in waiting and (first := next(iter(waiting))) != partner and first not in partners.values():
                rows.append(("", waiting.pop(first)))
            rows.append((piece, waiting.pop(partner, "")))
        return rows + [("", piece) for piece in waiting.values()]

    def _partners(self) -> dict[str, str]:
        """For a name on the left the name on the right: the same, or else the same but for its underscore."""
        partners = {name: name for name in self.left if name in self.right}
        for name in self.left:
            other = name[1:] if name.startswith("_") else f"_{name}"
            if name not in partners and other in self.right and other not in self.left:
                partners[name] = other
        return partners

    def __repr__(self):
        columns = []
        for title, pieces, others in zip(self.titles, (self.left, self.right), (self.right, self.left)):
            known = _lines(others)
            lines = [line for piece in pieces.values() for line in [*piece.splitlines(), ""]]
            columns.append("\n".join([f"---- {title}", *(_marked(line, known) for line in lines)]))
        return "\n".join(columns)

    def _repr_html_(self):
        heads = "".join(f'<th scope="col" style="text-align: left">{escape(title)}</th>' for title in self.titles)
        known = _lines(self.right), _lines(self.left)
        row = '<tr style="background: none">{}{}</tr>'
        rows = "".join(row.format(*(_cell(piece, others) for piece, others in zip(pair, known))) for pair in self.rows())
        style = "table-layout: fixed; width: 100%; border-collapse: collapse; margin: 0"
        return f'<table style="{style}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _title(thing) -> str:
    things = thing if isinstance(thing, (list, tuple)) else [thing]
    return ", ".join(each.__qualname__ for each in things)


def _parts(thing) -> dict[str, str]:
    """The pieces of source by name: of a class its head and its methods, of functions each one."""
    if not isinstance(thing, type):
        things = thing if isinstance(thing, (list, tuple)) else [thing]
        return {each.__name__: _source(each) for each in things}
    lines = _source(thing).splitlines()
    body = ast.parse("\n".join(lines)).body[0].body
    methods = [node for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    parts = {"": "\n".join(lines[: methods[0].lineno - 1]).rstrip()}
    for node in methods:
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        parts[node.name] = textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))
    return parts


def _source(thing) -> str:
    return textwrap.dedent(inspect.getsource(thing)).rstrip()


def _lines(pieces: dict[str, str]) -> set[str]:
    return {line.strip() for piece in pieces.values() for line in piece.splitlines()}


def _marked(line: str, known: set[str]) -> str:
    return ("= " if line and line.strip() in known else "  ") + line


_PRE = (
    "font-family: var(--jp-code-font-family, monospace); font-size: 80%; line-height: 1.4; color: inherit; background: none; "
    "white-space: pre-wrap; word-break: normal; overflow-wrap: break-word; text-align: left; margin: 0; padding: 0; border: 0"
)
_CELL = "text-align: left; vertical-align: top; padding: 4px 12px 4px 4px; border-top: 1px solid var(--jp-border-color2, #bbb)"
_TINT = "font-style: normal; background: rgba(30, 140, 230, 0.22)"


def _cell(piece: str, known: set[str]) -> str:
    lines = [_tinted(line) if line.strip() and line.strip() in known else escape(line) for line in piece.splitlines()]
    return f'<td style="{_CELL}"><pre style="{_PRE}">{chr(10).join(lines)}</pre></td>'


def _tinted(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return f'{line[:indent]}<em style="{_TINT}">{escape(line[indent:])}</em>'  # italic where styles are taken away
