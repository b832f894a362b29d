"""The installed packages that a protocol's code calls: their lines of Python, and their bytes of compiled code."""

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from .counter import code_lines


class Library(NamedTuple):
    """An installed package, and the protocols whose code calls it."""

    name: str
    version: str
    protocols: tuple[str, ...]
    lines: int  #: of Python
    compiled: int  #: bytes of compiled code
    common: bool = False  #: the chat itself calls it, whatever the protocol


@cache
def package_of(name: str) -> str | None:
    """The installed package that has the module of this dotted name; None for the standard library's and loose
    files."""
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names:
        return None
    packages = _packages().get(root, [])
    if len(packages) > 1:  # a namespace that several share, as `google`
        folder = "/".join(name.split(".")[:2])
        packages = [
            package
            for package in packages
            if any(str(file).startswith(folder) for file in metadata.files(package) or ())
        ] or list(packages)
    return packages[0] if packages else None


@cache
def _packages() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def packages_called(names: Iterable[str]) -> set[str]:
    """The installed packages that code with these foreign names calls."""
    return {package for name in names if (package := package_of(name))}


@cache
def installed_size(package: str) -> tuple[int, int]:
    """The lines of Python of an installed package, and the bytes of its compiled code."""
    lines = compiled = 0
    for file in metadata.files(package) or ():
        path = Path(str(file.locate()))
        if file.suffix in (".so", ".pyd", ".dylib") and path.exists():
            compiled += path.stat().st_size
        elif file.suffix == ".py" and path.exists():
            lines += len(code_lines(path.read_text(encoding="utf-8")))
    return lines, compiled
