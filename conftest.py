"""How `make test` spreads tests and notebooks over processes, with pytest-xdist.

A file is one piece of work: the fixtures of a module are made once, and the cells of a notebook run in order in one
kernel. Files that take long come first, so that no process is left alone with one at the end. Tests with the mark
`timing` come last, in one process, and while one of them runs nothing else does. All of this needs `-n`; without it,
pytest runs as ever.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

try:
    import fcntl
except ImportError:  # not on Windows: there the timing tests have company
    fcntl = None  # type: ignore[assignment]

#: What takes longest, longest first. A new file need not be named here; if it takes more than ten seconds it should.
LONGEST = (
    "07_comparing_protocols.ipynb",
    "06_latency_and_throughput.ipynb",
    "test_load.py",
    "test_interleaving.py",
    "test_rates.py",
    "test_report.py",
    "05_bytes_on_the_wire.ipynb",
    "test_conformance.py",
    "test_breakdown.py",
    "00_start_here.ipynb",
    "test_regressions.py",
    "test_grpc_impl.py",
    "test_jupyter.py",
    "test_scaling.py",
    "test_progress.py",
    "test_minimum_versions.py",
)
TIMING = "timing"
LOCKS = "CHATLAB_TEST_LOCKS"  # the folder of two lock files, while tests run


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto` is one process more than there are cores, because many tests wait; at most 4: each starts servers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + 1, 4)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadGroupScheduling

    class FileScheduling(LoadGroupScheduling):
        """A file is a piece of work, and so are all tests with the mark `timing` together."""

        def _split_scope(self, nodeid: str) -> str:
            group = super()._split_scope(nodeid)
            return TIMING if group == TIMING else nodeid.split("::", 1)[0]

    config.option.loadscopereorder = False  # the order is ours
    return FileScheduling(config, log)


@pytest.hookimpl(tryfirst=True)  # xdist looks for groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item, "output_timeout"):  # a notebook's cell: how many seconds nbval waits for what it has printed
            item.output_timeout = 60
    if hasattr(config, "workerinput"):
        for item in items:
            if item.get_closest_marker(TIMING):
                item.add_marker(pytest.mark.xdist_group(TIMING))
        items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, int]:
    rank = LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)
    return item.get_closest_marker(TIMING) is not None, rank


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if not hasattr(item.config, "workerinput") or LOCKS not in os.environ:
        return (yield)
    with _on_the_floor(Path(os.environ[LOCKS]), alone=item.get_closest_marker(TIMING) is not None):
        return (yield)


@contextlib.contextmanager
def _on_the_floor(folder: Path, alone: bool) -> Iterator[None]:
    """Inside, no other process of this run is in a test with the mark `timing`; `alone`, none is in any test.

    All pass the door on their way in, so whoever wants to be alone waits for those who are inside, and for no others.
    """
    with open(folder / "door", "w", encoding="ascii") as door, open(folder / "floor", "w", encoding="ascii") as floor:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(floor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


def pytest_configure(config: pytest.Config) -> None:
    if fcntl is not None and not hasattr(config, "workerinput"):
        os.environ[LOCKS] = tempfile.mkdtemp(prefix="chatlab-tests-")  # our workers inherit it


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and LOCKS in os.environ:
        shutil.rmtree(os.environ.pop(LOCKS), ignore_errors=True)
