"""Imports run down only: the table of rooms, held against the files.

All imports count, those inside functions and under `TYPE_CHECKING` too. A room that is not in the table belongs to the
studied floor: it may see everything below it except the transports, which it knows as Implementations only.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "chatlab"

#: What each room of the lower floors may import of the package.
ROOMS = {
    # said
    "messages": "",
    # meant
    "storage": "",
    "storage_sqlite": "storage",
    "service": "messages storage",
    "hub": "messages service",
    # spelled: bytes <-> messages, without any I/O
    "proto": "messages",
    "codecs": "messages proto",
    "connection": "messages codecs",
    "dissect": "messages codecs connection proto",
    # carried
    "loops": "",
    "process": "",
    "client": "messages hub",  # the hub only as the type of what an Implementation serves
    "socket_impl": "messages hub codecs connection client loops",
    "grpc_impl": "messages hub proto client loops",
    "foreign": "messages hub client socket_impl",
    "relay": "messages client loops dissect",
}
TRANSPORTS = {"socket_impl", "grpc_impl", "foreign"}
PICTURES = {"plots", "views", "report"}
TOP = {"__init__", "__main__", "cli", "terminal", "comparison"}  # the only places that name everything

WITHOUT_IO = {"messages", "storage", "service", "proto", "codecs", "connection", "dissect"}
IO = {"socket", "select", "selectors", "asyncio", "threading", "queue", "time", "random", "subprocess", "concurrent"}
#: Who may import what is not ours, where few should.
OUTSIDE = {
    "matplotlib": PICTURES,
    "IPython": PICTURES,
    "grpc": {"grpc_impl", "proto", "load"},  # load.null: a handler that takes bytes and gives bytes
    "uvloop": {"loops"},
    "argon2": {"hub"},
    "sqlite3": {"storage_sqlite"},
    "pyarrow": {"files"},
}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, as (its full name, whether it is at the file's top level)."""
    found, tree = [], tree_of(path)
    inside = {node for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(f)}
    package = ["chatlab", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append((alias.name, node not in inside))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                found.append((f"{module}.{alias.name}", node not in inside))
    return found


def rooms_imported(path: Path, top_level_only=False):
    """The rooms of the package that a file imports, its own left out. `from . import X` imports the room X."""
    names = {p.stem for p in PACKAGE.iterdir()}
    for module, top in imports(path):
        head, *rest = module.split(".")
        if head == "chatlab" and (top or not top_level_only):
            room = rest[0] if rest and rest[0] in names else "__init__"
            if room != room_of(path):
                yield room


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_is_below_it(path):
    room, seen = room_of(path), set(rooms_imported(path)) - {"__init__"}
    if room in ROOMS:
        assert seen <= set(ROOMS[room].split()), f"{room} may import {ROOMS[room] or 'nothing of chatlab'}"
    elif room not in TOP:
        assert not seen & TRANSPORTS, f"{room} is to see an Implementation, and not which one"
        assert not seen & TOP - {"comparison"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_a_function_that_draws_reaches_up_to_the_pictures(path):
    if room_of(path) not in PICTURES | TOP:
        assert not set(rooms_imported(path, top_level_only=True)) & PICTURES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_not_ours_is_imported_only_where_it_belongs(path):
    room = room_of(path)
    outside = {module.split(".")[0] for module, _ in imports(path)}
    assert not {name for name in outside & set(OUTSIDE) if room not in OUTSIDE[name]}
    if room in WITHOUT_IO:
        assert not outside & IO, f"{room} is without I/O, threads, clocks and chance"


def test_only_the_map_names_the_transports():
    for path in FILES:
        if room_of(path) not in TOP | TRANSPORTS:
            constants = [node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)]
            assert not [c for c in constants if c in ("socket_impl", "grpc_impl") or str(c).startswith(("chatlab.socket_impl", "chatlab.grpc_impl"))]  # fmt: skip


def test_no_two_files_import_each_other_when_they_are_loaded():
    below = defaultdict(set)
    for path in FILES:
        below[room_of(path)] |= set(rooms_imported(path, top_level_only=True)) - {"__init__"}
    while free := [room for room in below if not below[room] & set(below)]:
        for room in free:
            del below[room]
    assert not below, f"these import each other: {dict(below)}"


def test_every_room_of_the_table_exists():
    missing = {room for room in ROOMS if not (PACKAGE / room).exists() and not (PACKAGE / f"{room}.py").exists()}
    assert not missing


def test_every_file_says_first_what_it_is():
    for path in FILES:
        if "_pb2" not in path.name:
            thesis = (ast.get_docstring(tree_of(path)) or "").split("\n\n")[0]
            assert thesis.strip()[-1:] in (".", ":", "?"), path


def test_import_chatlab_is_light():
    heavy = "grpc google numpy pandas pyarrow matplotlib IPython prompt_toolkit argon2 uvloop"
    program = f"import sys, chatlab; print(*set({heavy.split()}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def names_of(module, name):
    """The methods of a class, in the order of the file."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    (found,) = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name]
    return [each.name for each in found.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("module", ["socket_impl", "grpc_impl"])
@pytest.mark.parametrize("name", ["ThreadServer", "LoopServer"])
def test_the_four_servers_have_the_same_shape_under_the_same_names_in_the_same_order(module, name):
    shape = ["__init__", "__repr__", "close", "_accept", "_welcome", "_sweep", "forget"]
    assert [each for each in names_of(module, name) if each in shape] == shape


@pytest.mark.parametrize("module", ["socket_impl", "grpc_impl"])
@pytest.mark.parametrize("name", ["_ThreadClient", "_LoopClient"])
def test_each_server_reads_and_writes_for_a_client_under_the_same_names_in_the_same_order(module, name):
    shape = ["__init__", "read", "write", "_wake", "sweep", "cut"]
    assert [each for each in names_of(module, name) if each in shape] == shape
