"""A progress bar for whatever takes longer than a second: removed when it is done, and absent where nobody can see it.

Under pytest there is none, because nbval compares every output of a cell, and a bar that appears on a slow machine only
is a difference.
"""

import os
import sys
import warnings
from importlib.util import find_spec
from typing import Any

SHOWN_AFTER_S = 1.0  # shorter work needs no bar


def progress_bar(total: int | None, what: str, unit: str = "measurements") -> Any:
    """A tqdm bar for a `with` statement; call `update()` when one more is done. `total` is None if it is unknown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm would like to have ipywidgets
        from tqdm.auto import tqdm
    return tqdm(total=total, unit=f" {unit}", leave=False, disable=not _is_visible(), desc=what, delay=SHOWN_AFTER_S)


def _is_visible() -> bool:
    if "CI" in os.environ or _in_test_run():
        return False
    return _is_terminal() or (_in_notebook() and find_spec("ipywidgets") is not None)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # stderr is closed, or is an object without isatty
        return False


def _in_test_run() -> bool:
    """Whether pytest started this process, or the notebook kernel that it is: kernels inherit pytest's environment."""
    return "PYTEST_VERSION" in os.environ or "PYTEST_CURRENT_TEST" in os.environ


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
