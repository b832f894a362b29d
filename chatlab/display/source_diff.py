"""Two pieces of source code side by side, their differences marked."""

import ast
import inspect
import textwrap
from html import escape

# ---- two pieces of code, side by side ---------------------------------------------------------------------------


def side_by_side(left, right) -> "SourceDiff":
    """The source of two classes, or of two functions, or of two lists of functions, next to each other.

    What has the same name, underscores aside, stands in the same row. Lines that both sides have are tinted.
    """
    return SourceDiff(_parts(left), _parts(right), _title(left), _title(right))


class SourceDiff:
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
        rows = "".join(
            row.format(*(_cell(piece, others) for piece, others in zip(pair, known))) for pair in self.rows()
        )
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
