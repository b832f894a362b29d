"""Which code belongs to which part of which protocol, read from ownership.toml.

The table is data, so that it can be read and disputed without reading this package. It is by file, and by class or
function only where one file serves several parts.
"""

import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parents[2]

SOCKETS = ("text", "json", "binary", "protobuf")
GRPC = ("grpc", "grpc-stream")
EVERY = SOCKETS + GRPC

#: The parts that somebody writes for a protocol, in the order in which they are shown.
HANDWRITTEN = ("client", "server", "both ends", "encoding", "framing", "schema")
#: And the others: tests, generated code, what explains bytes to a reader of the lab, and the chat, the same for all.
EXCLUDED = ("tests", "shared tests", "generated", "dissection", "chat")


class Owner(NamedTuple):
    """The part, and the protocols that need it; `engine` where only "threads" or only the "loop" does."""

    part: str
    protocols: tuple[str, ...]
    engine: str = ""


class Piece(NamedTuple):
    """A class, function, method or constant that is something else than the file that it is in."""

    name: str  #: or a pattern with *
    differs: Mapping[str, Any]  #: the fields of its `Owner` that are not those of the class or file around it

    def matches(self, name: str) -> bool:
        return fnmatchcase(name, self.name)

    def owner(self, around: Owner) -> Owner:
        return around._replace(**self.differs)


class Claim(NamedTuple):
    """To whom some files belong, and which pieces of them to somebody else."""

    files: tuple[str, ...]  #: relative to the package, or to the repository where they begin with "tests/"
    owner: Owner
    pieces: tuple[Piece, ...] = ()

    @property
    def is_divided(self) -> bool:
        """Whether it has classes for one engine only, so that every class has to be named."""
        return any("engine" in piece.differs for piece in self.pieces)


@cache
def claims() -> tuple[Claim, ...]:
    """All of ownership.toml, in its order."""
    table = _table()

    def differs(entry: Mapping[str, str]) -> dict[str, Any]:
        fields: dict[str, Any] = {field: entry[field] for field in ("part", "engine") if field in entry}
        if "of" in entry:
            fields["protocols"] = tuple(table["groups"].get(entry["of"], [entry["of"]]))
        return fields

    return tuple(
        Claim(
            tuple(entry["files"]),
            Owner(**differs(entry)),
            tuple(Piece(name, differs(piece)) for piece in entry.get("pieces", ()) for name in piece["names"].split()),
        )
        for entry in table["claim"]
    )


def not_counted() -> tuple[str, ...]:
    """The files among those of protocols that are no protocol's."""
    return tuple(_table()["not-counted"]["files"])


def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def claim_of(file: str) -> Claim | None:
    """The claim that holds for a file: the first that matches."""
    return next((claim for claim in claims() if any(fnmatchcase(file, pattern) for pattern in claim.files)), None)


@cache
def claimed_files() -> Mapping[str, Path]:
    """Every file that is claimed and exists. Those of `tests/` exist in a checkout, not in an installed package."""
    return {name: path for claim in claims() for pattern in claim.files for name, path in sorted(matching(pattern))}


def matching(pattern: str) -> Iterator[tuple[str, Path]]:
    """The files of a pattern, by the name under which they are claimed."""
    root = PACKAGE.parent if pattern.startswith("tests/") else PACKAGE
    for path in root.glob(pattern):
        yield path.relative_to(root).as_posix(), path
