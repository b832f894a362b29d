"""Runs notebooks and stores what they print, in a form that changes only where the results do.

A notebook is written back only if all of its cells ran and nothing went to stderr; the others stay as they were.

    python tools/run_notebooks.py                          every notebook under notebooks/
    python tools/run_notebooks.py notebooks/05_bytes_on_the_wire.ipynb only this one
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import ipykernel.kernelspec
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

ROOT = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}
# Where the reader left the scroll bar, and when it was: not part of the notebook.
PASSING = {"ExecuteTime", "collapsed", "execution", "scrolled", "trusted"}


class ThisPython(KernelSpecManager):
    """The kernel that belongs to the Python running this file, whatever "python3" means elsewhere on the machine."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict())


class Kernel(AsyncKernelManager):
    def _default_kernel_spec_manager(self):
        return ThisPython()


def execute(path: Path, timeout_s: int) -> nbformat.NotebookNode:
    client = NotebookClient(
        nbformat.read(path, as_version=4),
        kernel_name="python3",
        kernel_manager_class=Kernel,
        timeout=timeout_s,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},  # the folder that JupyterLab and nbval run it in, too
    )
    return client.execute(stderr=subprocess.DEVNULL)  # the kernel's own log; what cells write comes another way


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Leaves in the metadata only what a reader or a test looks at. Cell ids stay: they keep differences small."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: value for key, value in cell.metadata.items() if key not in PASSING})


def stderr_of(notebook: nbformat.NotebookNode) -> str:
    return "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    )


def run(path: Path, timeout_s: int) -> str:
    """The complaint about the notebook at `path`, or "" if it was run and stored."""
    try:
        notebook = execute(path, timeout_s)
    except (CellExecutionError, CellTimeoutError) as error:
        return str(error)
    if text := stderr_of(notebook):
        return f"it wrote to stderr, which no notebook should:\n{text}"
    normalise(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="which ones; all of notebooks/ if none is named")
    parser.add_argument("--timeout-s", type=int, default=120, help="how long one cell may take")
    args = parser.parse_args()
    os.environ.setdefault("CI", "1")  # nobody watches: a progress bar would be stored as a widget that is dead
    paths = args.notebooks or sorted(
        path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    failed = 0
    for path in paths:
        start = time.monotonic()
        complaint = run(path, args.timeout_s)
        failed += bool(complaint)
        print(f"{'FAILED' if complaint else 'stored'} {path.name} ({time.monotonic() - start:.1f} s)", flush=True)
        if complaint:
            print(complaint, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
