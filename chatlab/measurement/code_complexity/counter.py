"""Counts lines, branches and foreign names in source code."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

Piece = tuple[str, int, int]  #: its name, its first line, its last line


def _pieces(path: str, source: str, constants: bool = False) -> Iterator[Piece]:
    """Each class and function, the outer ones before what is in them; and constants, where wanted."""
    if path.endswith(".proto"):
        for block in re.finditer(r"^(?:message|service|enum) (\w+) \{(?:\}|.*?^\})", source, re.MULTILINE | re.DOTALL):
            yield block[1], source.count("\n", 0, block.start()) + 1, source.count("\n", 0, block.end()) + 1
    else:
        yield from _defined(ast.parse(source).body, "", constants)


def _defined(body: list[ast.stmt], within: str, constants: bool) -> Iterator[Piece]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield (
                within + node.name,
                min([node.lineno, *(each.lineno for each in node.decorator_list)]),
                node.end_lineno,
            )
            if isinstance(node, ast.ClassDef):
                yield from _defined(node.body, f"{within}{node.name}.", constants=False)
        elif constants and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.lineno, node.end_lineno


# ---- counting ---------------------------------------------------------------------------------------------------


class Count(NamedTuple):
    """Of one piece of source."""

    lines: int
    branches: int


def count(source: str) -> Count:
    r"""The lines and the branches of some Python source. Raises `SyntaxError`.

    >>> count("def sign(x):  # of a number\n    'Is 1 or -1.'\n\n    return 1 if x and x > 0 else -1")
    Count(lines=2, branches=2)
    """
    lines, branches, _ = _count_python(source)
    return Count(len(lines), len(branches))


Found = tuple[
    set[int], list[int], list[tuple[int, str]]
]  #: lines of code, the line of each branch, of each foreign name


def _count_python(source: str) -> Found:
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    branches = [line for node in nodes for line in _branches(node)]
    return _code_lines(source), branches, list(_foreign(tree, _imported(nodes)))


def _count_proto(source: str) -> Found:
    """The lines of a schema that hold more than a comment; nothing in it branches."""
    return {number for number, line in enumerate(source.splitlines(), 1) if line.partition("//")[0].strip()}, [], []


_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}


def _code_lines(source: str) -> set[int]:
    """The lines of all statements but those that are a string and nothing else, as a docstring is."""
    lines: set[int] = set()
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if any(each.type != tokenize.STRING for each in statement):
                lines.update(line for each in statement for line in range(each.start[0], each.end[0] + 1))
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


def _imported(nodes: list[ast.AST]) -> dict[str, str]:
    """What each name stands for that was imported from elsewhere: {"futures": "concurrent.futures"}."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for each in node.names:
                root = each.name.partition(".")[0]
                found[each.asname or root] = each.name if each.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return {name: whole for name, whole in found.items() if whole.partition(".")[0] != __package__}


def _foreign(node: ast.AST, imported: dict[str, str]) -> Iterator[tuple[int, str]]:
    """The line and the whole name of each use of somebody else's."""
    for child in ast.iter_child_nodes(node):
        name = _dotted(child, imported)
        if name:
            yield child.lineno, name
        else:
            yield from _foreign(child, imported)


def _dotted(node: ast.AST, imported: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return imported.get(node.id, "")
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value, imported)):
        return f"{before}.{node.attr}"
    return ""
