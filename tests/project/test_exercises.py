"""The folded solutions of the notebooks' exercises are right and as short as announced, and each has a stub."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

import chatlab

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
STUB = "raise NotImplementedError"
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)
ANNOUNCED = re.compile(r"Our solution: (\d+) lines")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def cells(request):
    return nbformat.read(request.param, as_version=4).cells


def test_every_solution_is_as_long_as_announced(cells):
    for cell in cells:
        solutions = SOLUTION.findall(cell.source)
        assert [sum(bool(line.strip()) for line in each.splitlines()) for each in solutions] == [
            int(lines) for lines in ANNOUNCED.findall(cell.source)
        ]


def test_every_exercise_has_a_stub_and_a_solution(cells):
    solutions = [each for cell in cells for each in SOLUTION.findall(cell.source)]
    stubs = [cell for cell in cells if cell.cell_type == "code" and STUB in cell.source]
    assert len(solutions) == len(stubs) >= 1


def test_the_solutions_are_right(cells, capsys, cheap_hashes):
    names: dict = {}
    exercises = 0
    try:
        for source in with_solutions(cells):
            exec(source, names)
            exercises += source.count("chatlab.check_exercise(")
    finally:
        chatlab.stop_all()
    told = capsys.readouterr().out
    assert told.count("✓") == exercises >= 1, told


def with_solutions(cells):
    """What the exercises need of the other cells (imports and definitions), and the exercises, solved."""
    solution = ""
    for cell in cells:
        if cell.cell_type == "markdown":
            solution = "".join(SOLUTION.findall(cell.source)) or solution
        elif STUB in cell.source:
            yield solution
        else:
            yield cell.source if "chatlab.check_exercise(" in cell.source else definitions(cell.source)


def definitions(source: str) -> str:
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    return ast.unparse([node for node in ast.parse(source).body if isinstance(node, kept)])
