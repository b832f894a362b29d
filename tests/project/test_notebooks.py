"""What every stored notebook must be, besides what nbval compares: run once, from top to bottom, and free of anything
that belongs to the machine that ran it. `make notebooks` brings a notebook into this state.
"""

import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)

# A folder of somebody's machine, but not a part of an address or of a longer path.
ABSOLUTE = re.compile(
    r"(?<![\w./:~-])/(?:root|home|tmp|work|Users|private/var|var/folders)(?:/|\b)[^\s'\"\\]*|\b[A-Z]:\\+Users\b"
)
PICTURES = ("image/png", "image/jpeg", "application/pdf")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def absolute_paths(notebook):
    """The folders of a machine that the notebook names. Pictures are left out: their base64 may spell anything."""
    shown = json.loads(json.dumps(notebook))
    for cell in shown["cells"]:
        for output in cell.get("outputs", []):
            for kind in PICTURES:
                output.get("data", {}).pop(kind, None)
    return [match.group() for match in ABSOLUTE.finditer(json.dumps(shown, ensure_ascii=False).replace("\\n", "\n"))]


def test_it_is_a_valid_notebook(notebook):
    nbformat.validate(notebook)


def test_its_cells_ran_once_each_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_ended_in_an_error(notebook):
    assert [output for output in outputs(notebook) if output.output_type == "error"] == []


def test_nothing_was_written_to_stderr(notebook):
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []


def test_no_cell_hides_its_value_behind_a_semicolon(notebook):
    """nbval, which keeps no history, shows the value all the same, and fails the cell. Write `_ = ...` instead."""
    assert [cell.source for cell in code_cells(notebook) if cell.source.rstrip().endswith(";")] == []


def test_its_kernel_is_the_one_that_everybody_has(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


def test_it_stores_no_widget_state(notebook):
    assert "widgets" not in notebook.metadata


def test_it_stays_small(path):
    assert path.stat().st_size < 500_000


def test_it_names_no_folder_of_a_machine(notebook):
    assert absolute_paths(notebook) == []


@pytest.mark.parametrize(
    "text", ["open('/tmp/x')", "at /root/chatlab/a.py", "saved: /home/ann/run.json", r"C:\Users\ann"]
)
def test_a_folder_of_a_machine_is_noticed(text):
    assert absolute_paths({"cells": [{"source": "", "outputs": [{"text": f"first\n{text}"}]}]})


@pytest.mark.parametrize(
    "text", ["results/tmp/x", "https://example.org/home/", "requests/work", "~/work", "a/homework"]
)
def test_an_address_or_a_relative_path_is_not(text):
    assert absolute_paths({"cells": [{"source": text, "outputs": [{"data": {"image/png": "+/tmp/"}}]}]}) == []
