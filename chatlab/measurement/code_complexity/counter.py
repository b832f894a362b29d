"""Lines, branches and foreign names in source code. Pure: it is given text and reads no file.

A line counts where it holds code: no blank ones, no comments, no docstrings. A branch is what McCabe's cyclomatic
number counts beside its 1. A foreign name is one of a module that is not chatlab's.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from typing import NamedTuple

OURS = "chatlab"  # names of this package are not foreign


class Count(NamedTuple):
    """How much code some source is."""

    lines: int
    branches: int


class Places(NamedTuple):
    """Where the code of some source is."""

    lines: set[int]  #: the numbers of the lines that hold code
    branches: list[int]  #: the line of each branch
    names: list[tuple[int, str]]  #: the line of each foreign name, and the name


class Piece(NamedTuple):
    """A class, function, method or constant, or a message of a schema."""

    name: str
    first: int  #: line
    last: int  #: line
    is_class: bool


def count(source: str) -> Count:
    r"""The lines and the branches of some Python source. Raises `SyntaxError`.

    >>> count("def sign(x):  # of a number\n    'Is 1 or -1.'\n\n    return 1 if x and x > 0 else -1")
    Count(lines=2, branches=2)
    """
    places = locate(source)
    return Count(len(places.lines), len(places.branches))


def locate(source: str, is_proto: bool = False) -> Places:
    """Where the code is, in Python source or in a protobuf schema, in which nothing branches. Raises `SyntaxError`."""
    if is_proto:
        return Places({n for n, line in enumerate(source.splitlines(), 1) if line.partition("//")[0].strip()}, [], [])
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    branches = [line for node in nodes for line in _branches(node)]
    return Places(code_lines(source), branches, list(_foreign_names(tree, _imported_names(nodes))))


def pieces(source: str, is_proto: bool = False) -> Iterator[Piece]:
    """Each constant, class and function, and the methods of a class after it; of a schema each top-level block."""
    if is_proto:
        for block in re.finditer(r"^(?:message|service|enum) (\w+) \{(?:\}|.*?^\})", source, re.MULTILINE | re.DOTALL):
            first, last = (source.count("\n", 0, place) + 1 for place in block.span())
            yield Piece(block[1], first, last, is_class=True)
    else:
        yield from _definitions(ast.parse(source).body, "")


def _definitions(body: list[ast.stmt], within: str) -> Iterator[Piece]:
    for node in body:
        last = node.end_lineno or node.lineno
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield Piece(within + node.name, first, last, isinstance(node, ast.ClassDef))
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node.body, f"{within}{node.name}.")
        elif not within and isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                yield Piece(target.id, node.lineno, last, is_class=False)


_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}


def code_lines(source: str) -> set[int]:
    """The lines of all statements but those that are a string and nothing else, as a docstring is."""
    lines: set[int] = set()
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if any(part.type != tokenize.STRING for part in statement):
                lines.update(line for part in statement for line in range(part.start[0], part.end[0] + 1))
            statement = []
        elif token.type not in _NO_CODE:
            statement.append(token)
    return lines


def _branches(node: ast.AST) -> list[int]:
    """The line of each decision that is made right here."""
    match node:
        case ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler():
            return [node.lineno]
        case ast.BoolOp():
            return [node.lineno] * (len(node.values) - 1)
        case ast.comprehension():
            return [node.target.lineno] * (1 + len(node.ifs))
        case ast.match_case():
            can_fail = not isinstance(node.pattern, ast.MatchAs) or node.pattern.pattern is not None
            return [node.pattern.lineno] * (can_fail + (node.guard is not None))
    return []


def _imported_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """What each imported name stands for: {"futures": "concurrent.futures"}. Those of this package are left out."""
    imported = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                imported[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: whole for name, whole in imported.items() if whole.partition(".")[0] != OURS}


def _foreign_names(node: ast.AST, imported: dict[str, str]) -> Iterator[tuple[int, str]]:
    """The line and the whole name of each use of an imported name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and (name := _dotted(child, imported)):
            yield child.lineno, name
        else:
            yield from _foreign_names(child, imported)


def _dotted(node: ast.AST, imported: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return imported.get(node.id, "")
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value, imported)):
        return f"{before}.{node.attr}"
    return ""
