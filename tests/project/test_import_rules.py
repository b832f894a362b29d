"""Imports run one way only: one table that covers every file, held against the source.

All imports count, those inside functions too, and those under `TYPE_CHECKING` wherever the same file follows them at
run time. What a table of folders cannot say, that no two files import each other, a search for circles says.
"""

import ast
import importlib
import pkgutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import chatlab

PACKAGE = Path(__file__).parents[2] / "chatlab"

#: What each entry of `ls chatlab` may import of the others; within an entry, whatever makes no circle.
MAY_IMPORT = {
    "messages": "",
    "chat": "messages",
    "proto": "messages",
    "codecs": "messages proto",
    "transport": "messages chat codecs proto",
    "socket_impl": "messages chat codecs transport",
    "grpc_impl": "messages chat proto transport",
    "display": "messages",
    "capture": "messages codecs proto transport display",
    "harness": "messages chat transport capture display",
    "measurement": "messages chat codecs proto transport capture display harness",
    "conformance": "messages chat codecs transport display harness",
    "cli": "messages chat codecs proto transport capture display harness measurement conformance __init__",
    "__init__": "messages chat codecs transport capture display harness measurement conformance cli",
    "__main__": "cli",
}
#: Entries that read bytes or decide rules, and neither wait, nor do I/O, nor read a clock.
WITHOUT_IO = {"messages", "codecs", "proto"}
IO = {"socket", "select", "selectors", "asyncio", "threading", "queue", "time", "random", "subprocess", "concurrent"}
#: Who may import what is not ours, where few should.
OUTSIDE = {
    "matplotlib": {"display"},
    "IPython": {"display"},
    "grpc": {"grpc_impl", "proto", "transport", "measurement"},
    "uvloop": {"transport"},
    "argon2": {"chat"},
    "sqlite3": {"chat"},
    "pyarrow": {"measurement"},
}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def entry_of(name: str) -> str:
    return (*name.split("."), "__init__")[1]


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


@cache
def imported(name: str) -> frozenset[str]:
    """Every module that a file imports when it is loaded or later; what only a type checker follows is left out."""
    package = name.split(".")[: None if FILES[name].name == "__init__.py" else -1]
    for_types = {
        inner
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = set()
    for node in ast.walk(tree_of(name)):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {full if (full := f"{module}.{alias.name}") in FILES else module for alias in node.names}
    return frozenset(found)


def ours(name: str) -> set[str]:
    return {each for each in imported(name) if each in FILES and each != name}


def test_the_table_covers_every_entry_of_the_package():
    assert {entry_of(name) for name in FILES} == set(MAY_IMPORT)


def test_the_package_has_sixteen_entries():
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    assert len(entries) == 16, entries


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_what_its_entry_may(name):
    entry = entry_of(name)
    wrong = {each for each in ours(name) if entry_of(each) != entry and entry_of(each) not in MAY_IMPORT[entry].split()}
    assert not wrong, f"{entry} may import {MAY_IMPORT[entry] or 'nothing of chatlab'}"


def circle() -> dict[str, list[str]]:
    """The files that import each other, or lean on such a circle, with what they need of each other."""
    below = {name: ours(name) for name in FILES}
    while free := [name for name in below if not below[name] & set(below)]:
        for name in free:
            del below[name]
    return {name: sorted(needs & set(below)) for name, needs in below.items()}


def test_no_files_import_each_other_in_a_circle():
    assert circle() == {}, "these import each other, or lean on such a circle"


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_ours_is_imported_only_where_it_belongs(name):
    entry = entry_of(name)
    outside = {each.split(".")[0] for each in imported(name)}
    assert not {each for each in outside & set(OUTSIDE) if entry not in OUTSIDE[each]}
    if entry in WITHOUT_IO or name in ("chatlab.chat.service", "chatlab.chat.storage"):
        assert not outside & IO, f"{name} is without I/O, threads, clocks and chance"


def test_no_module_has_the_name_of_a_public_function():
    modules = {name.rpartition(".")[2] for name in FILES}
    assert not {name for name in modules & set(chatlab.__all__) if callable(getattr(chatlab, name))}


def test_every_file_can_be_imported_by_itself():
    for module in pkgutil.walk_packages([str(PACKAGE)], "chatlab."):
        if module.name != "chatlab.__main__":
            importlib.import_module(module.name)


def test_every_file_says_first_what_it_is():
    for name in FILES:
        if "_pb2" not in name:
            thesis = (ast.get_docstring(tree_of(name)) or "").split("\n\n")[0]
            assert thesis.strip()[-1:] in (".", ":", "?"), name


def test_import_chatlab_is_light():
    heavy = "grpc google numpy pandas pyarrow matplotlib IPython prompt_toolkit argon2 uvloop"
    program = f"import sys, chatlab; print(*set({heavy.split()}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def methods_of(module: str, name: str) -> list[str]:
    """The methods of a class, in the order of the file."""
    (found,) = [each for each in tree_of(module).body if isinstance(each, ast.ClassDef) and each.name == name]
    return [each.name for each in found.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("module", ["chatlab.socket_impl", "chatlab.grpc_impl"])
@pytest.mark.parametrize("name", ["ThreadServer", "LoopServer"])
def test_the_four_servers_have_the_same_shape_under_the_same_names_in_the_same_order(module, name):
    shape = ["__init__", "__repr__", "close", "_accept", "_check_timeouts", "remove"]
    assert [each for each in methods_of(module, name) if each in shape] == shape


@pytest.mark.parametrize("module", ["chatlab.socket_impl", "chatlab.grpc_impl"])
@pytest.mark.parametrize("name", ["ThreadConnection", "LoopConnection"])
def test_each_server_reads_and_writes_for_a_client_under_the_same_names_in_the_same_order(module, name):
    shape = ["__init__", "read", "write", "_wake", "abort"]
    assert [each for each in methods_of(module, name) if each in shape] == shape
