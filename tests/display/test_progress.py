"""A progress bar is never part of a notebook's output under nbval, wherever the tests run."""

import os
import subprocess
import sys

import nbformat
import pytest

SLOW_CELL = """
import time
from chatlab.display.progress import SHOWN_AFTER_S, progress_bar

with progress_bar(3, "waiting") as bar:
    for _ in range(3):
        time.sleep(SHOWN_AFTER_S / 2)
        bar.update()
"""


@pytest.mark.slow
@pytest.mark.parametrize("ci", [None, "true"], ids=["without CI", "with CI"])
def test_a_slow_cell_passes_nbval_with_the_empty_output_that_is_stored(tmp_path, ci):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SLOW_CELL, execution_count=1)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "slow.ipynb")
    ambient = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "slow.ipynb"],
        cwd=tmp_path, env=ambient | ({"CI": ci} if ci else {}), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout
