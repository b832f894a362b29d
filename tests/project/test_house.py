"""The counts of `tools/house.py` are right."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import house
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_command_prints_every_count():
    done = subprocess.run(
        [sys.executable, "tools/house.py", "--quick"], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    titles = [re.sub(r"\s\s+.*", "", line) for line in done.stdout.splitlines()]
    assert (done.stderr, titles) == ("", [
        "entries of chatlab/", "files in import circles", "files under the import table", "public functions annotated",
        "all functions annotated",
    ])  # fmt: skip


ANNOTATED = [
    "def f() -> int: ...",
    "def f(a: int) -> int: ...",
    "def f(*a: int, **b: int) -> int: ...",
    "def f(self) -> int: ...",
    "def __init__(self): ...",
]
LACKING = [
    "def f(): ...",
    "def f(a) -> int: ...",
    "def f(*a) -> int: ...",
    "def f(*, a) -> int: ...",
    "def __init__(self, a): ...",
]


@pytest.mark.parametrize("source", ANNOTATED + LACKING)
def test_a_function_is_annotated_where_every_argument_and_what_it_returns_are(source):
    (function,) = ast.parse(source).body
    assert house.is_annotated(function) == (source in ANNOTATED)


def test_what_is_public_is_reached_by_public_names_alone():
    source = """
class A:
    def __init__(self): ...
    def b(self):
        def c(): ...
    def _d(self): ...
class _E:
    def f(self): ...
"""
    public = [function.name for function, is_public in house.functions(ast.parse(source)) if is_public]
    assert public == ["__init__", "b"]
