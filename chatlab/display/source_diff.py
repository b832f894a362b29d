"""Two pieces of source code side by side, the lines that both have marked. HTML, and plain text that says the same."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from . import html

#: What has source: a class, a function, or several functions.
HasSource = type | Callable[..., Any] | Sequence[Callable[..., Any]]


def side_by_side(left: HasSource, right: HasSource) -> "SourceDiff":
    """The source of two classes, two functions, or two lists of functions, next to each other.

    Functions of the same name, a leading underscore aside, share a row. Lines that both sides have are tinted.
    """
    return SourceDiff(_pieces(left), _pieces(right), _title(left), _title(right))


class SourceDiff:
    """Two columns of named pieces of source. In plain text a line that both have begins with `=`."""

    def __init__(self, left: dict[str, str], right: dict[str, str], left_title: str, right_title: str):
        self.left, self.right = left, right
        self.titles = left_title, right_title

    def rows(self) -> list[tuple[str, str]]:
        """Pieces of the same name together, in the order of the source; a piece without a partner stands alone."""
        partners = self._partners()
        if not partners:
            return [("\n\n".join(self.left.values()), "\n\n".join(self.right.values()))]
        rows, pending = [], dict(self.right)
        for name, piece in self.left.items():
            partner = partners.get(name)
            if partner is None:
                rows.append((piece, ""))
                continue
            while partner in pending and (first := next(iter(pending))) != partner and first not in partners.values():
                rows.append(("", pending.pop(first)))
            rows.append((piece, pending.pop(partner, "")))
        return rows + [("", piece) for piece in pending.values()]

    def _partners(self) -> dict[str, str]:
        """For a name on the left the name on the right: the same, or else the same but for its underscore."""
        partners = {name: name for name in self.left if name in self.right}
        for name in self.left:
            other = name[1:] if name.startswith("_") else f"_{name}"
            if name not in partners and other in self.right and other not in self.left:
                partners[name] = other
        return partners

    def __repr__(self) -> str:
        columns = []
        for title, pieces, others in zip(self.titles, (self.left, self.right), (self.right, self.left)):
            shared = _lines(others)
            lines = [line for piece in pieces.values() for line in [*piece.splitlines(), ""]]
            columns.append("\n".join([f"---- {title}", *(_marked(line, shared) for line in lines)]))
        return "\n".join(columns)

    def _repr_html_(self) -> str:
        heads = html.row(html.cell(html.escape(title), "text-align: left", "col") for title in self.titles)
        shared = _lines(self.right), _lines(self.left)
        rows = [
            html.row((_cell(piece, lines) for piece, lines in zip(pair, shared)), style="background: none")
            for pair in self.rows()
        ]
        return html.table(rows, heads, style="table-layout: fixed; width: 100%; border-collapse: collapse; margin: 0")


def _title(source: HasSource) -> str:
    sources = source if isinstance(source, Sequence) else [source]
    return ", ".join(item.__qualname__ for item in sources)


def _pieces(source: HasSource) -> dict[str, str]:
    """The pieces of source by name: of a class its head and its methods, of functions each one."""
    if not isinstance(source, type):
        functions = source if isinstance(source, Sequence) else [source]
        return {function.__name__: _source(function) for function in functions}
    lines = _source(source).splitlines()
    (definition,) = ast.parse("\n".join(lines)).body
    assert isinstance(definition, ast.ClassDef)
    methods = [node for node in definition.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    head = lines[: methods[0].lineno - 1] if methods else lines
    pieces = {"": "\n".join(head).rstrip()}
    for node in methods:
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        pieces[node.name] = textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))
    return pieces


def _source(thing: type | Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(thing)).rstrip()


def _lines(pieces: dict[str, str]) -> set[str]:
    return {line.strip() for piece in pieces.values() for line in piece.splitlines()}


def _marked(line: str, shared: set[str]) -> str:
    return ("= " if line and line.strip() in shared else "  ") + line


_PRE = (
    "font-family: var(--jp-code-font-family, monospace); font-size: 80%; line-height: 1.4; color: inherit; "
    "background: none; white-space: pre-wrap; word-break: normal; overflow-wrap: break-word; text-align: left; "
    "margin: 0; padding: 0; border: 0"
)
_CELL = (
    "text-align: left; vertical-align: top; padding: 4px 12px 4px 4px; "
    "border-top: 1px solid var(--jp-border-color2, #bbb)"
)
_TINT = "font-style: normal; background: rgba(30, 140, 230, 0.22)"


def _cell(piece: str, shared: set[str]) -> str:
    lines = [
        _tinted(line) if line.strip() and line.strip() in shared else html.escape(line) for line in piece.splitlines()
    ]
    return html.cell(html.element("pre", "\n".join(lines), style=_PRE), _CELL)


def _tinted(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    # An <em>, because it is italic where styles are stripped.
    return line[:indent] + html.element("em", html.escape(line[indent:]), style=_TINT)
