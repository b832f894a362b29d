"""Prints the counts by which the house is judged: entries, circles, files under the import table, annotations, tests.

python tools/house.py           all of them; counting the tests takes some ten seconds
python tools/house.py --quick   all but the tests
"""

import argparse
import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "chatlab"
RULES = ROOT / "tests" / "project" / "test_import_rules.py"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def import_rules() -> ModuleType:
    """The test that holds the imports to the table: what it knows of the files is what is counted here."""
    spec = importlib.util.spec_from_file_location("import_rules", RULES)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT))
    spec.loader.exec_module(module)
    return module


def entries() -> list[str]:
    """What `ls chatlab` shows, without what Python caches."""
    return sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")


def functions(node: ast.AST, is_public: bool = True) -> Iterator[tuple[Function, bool]]:
    """Every function below the node, and whether it can be reached by public names alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            child_is_public = is_public and (not child.name.startswith("_") or child.name == "__init__")
            if isinstance(child, Function):
                yield child, child_is_public
                child_is_public = False  # what is defined inside a function is its own business
            yield from functions(child, child_is_public)
        else:
            yield from functions(child, is_public)


def is_annotated(function: Function) -> bool:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if positional and positional[0].arg in ("self", "cls", "mcs"):
        del positional[0]
    rest = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    needs_return = function.name != "__init__"
    every = [*positional, *arguments.kwonlyargs, *rest]
    return all(argument.annotation is not None for argument in every) and (
        function.returns is not None or not needs_return
    )


def annotated(only_public: bool) -> tuple[int, list[str]]:
    """How many functions there are, and where those stand that lack an annotation."""
    count, lacking = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_pb2" in path.name:
            continue
        for function, is_public in functions(ast.parse(path.read_text(encoding="utf-8"))):
            if is_public or not only_public:
                count += 1
                if not is_annotated(function):
                    lacking.append(f"{path.relative_to(ROOT)}:{function.lineno} {function.name}")
    return count, lacking


def number_of_tests() -> int:
    """As many as `make test` runs, each notebook's cell one of them."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--collect-only", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = re.search(r"^(\d+) tests? collected", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(done.stdout + done.stderr)
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="do not count the tests")
    parser.add_argument("--lacking", action="store_true", help="list the functions that are not fully annotated")
    options = parser.parse_args()
    rules = import_rules()
    covered = [name for name in rules.FILES if rules.entry_of(name) in rules.MAY_IMPORT]
    print(f"entries of chatlab/            {len(entries())}")
    print(f"files in import circles        {len(rules.circle())}")
    print(f"files under the import table   {len(covered)} of {len(rules.FILES)}")
    for title, only_public in (("public functions annotated ", True), ("all functions annotated    ", False)):
        count, lacking = annotated(only_public)
        print(f"{title}    {count - len(lacking)} of {count}, {(count - len(lacking)) / count:.1%}")
        if options.lacking:
            print(*(f"    {place}" for place in lacking), sep="\n")
    if not options.quick:
        print(f"tests                          {number_of_tests():,}")


if __name__ == "__main__":
    main()
