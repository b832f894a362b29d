"""A progress bar for whatever takes longer than two seconds: removed when that is done, and absent where nobody watches.

Under pytest there is none: nbval compares every output of a cell, and a bar that appears on a slow machine only is a difference.
"""

import os
import sys
import warnings
from importlib.util import find_spec

SHOWN_AFTER_S = 1.0  # what is over sooner needs none


def progress_bar(total: int | None, what: str, unit: str = "measurements"):
    """A tqdm bar, to be used in a `with` and told by `update()` that one more is done. `total` is None where nobody knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm would like to have ipywidgets
        from tqdm.auto import tqdm
    return tqdm(
        total=total, unit=f" {unit}", leave=False, disable=not _somebody_looks(), desc=what, delay=SHOWN_AFTER_S
    )


def _somebody_looks() -> bool:
    if "CI" in os.environ or _in_test_run():
        return False
    return sys.stderr.isatty() or _in_notebook() and find_spec("ipywidgets") is not None


def _in_test_run() -> bool:
    """Whether pytest started this process, or the notebook kernel that it is: pytest marks its environment, kernels inherit it."""
    return "PYTEST_VERSION" in os.environ or "PYTEST_CURRENT_TEST" in os.environ


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
