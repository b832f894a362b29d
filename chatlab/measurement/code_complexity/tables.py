"""How much code is a protocol? Lines, branches, files and foreign names of its client, its server and its tests, counted from the source.

Nothing is run and nothing is measured: the same source gives the same numbers, so anyone can count again. Owner a piece
of code is was decided by people who read it, and is written down in `OWNERSHIP` and `TESTS` below, where it can be disputed.

    lines       that hold code: no blank ones, no comments, no docstrings
    branches    what McCabe's cyclomatic number counts beside its 1 ("A Complexity Measure", IEEE Transactions on Software
                Engineering, 1976), each condition by itself: if, elif, the ternary, for, while, except, a case that can
                fail to match, each `and` and `or`, and each `for` and `if` of a comprehension
    names       what the code calls by a name of somebody else's module, as `socket.SHUT_WR` or `grpc.aio.server`
    files       that hold some of it

What the numbers say: how much of *this* code somebody wrote, and has to read, for one protocol. What they do not say: how
hard a line was to find; what is in the libraries, which is counted beside ours as lines that nobody had to write, and
that run all the same; what the standard library and the system do for the socket protocols (asyncio, TCP). Names that are
methods of an object, or words in a string as gRPC's options are, are not seen. How many tests are enough nobody can count:
these are the ones that were written, and those of the sockets include what a codec of your own has to pass. Ours are careful
implementations with two engines each; a first draft is shorter everywhere, though not everywhere by the same factor.
"""

import dataclasses
import inspect
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

from ...display.progress import progress_bar
from ...display.tables import Table
from ...transport import registry
from ..results.result import Result
from .counter import _code_lines, _count_proto, _count_python, _pieces
from .ownership import EVERY, HANDWRITTEN, HEAD, OWNERSHIP, REST, SOCKETS, TESTS, Owner

PACKAGE = Path(__file__).resolve().parents[2]


# ---- the result -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CodeRow:
    """A part of one file: `protocols` are all that use it, `names` what it calls of modules that are not chatlab's."""

    part: str
    protocols: tuple[str, ...]
    engine: str
    file: str
    lines: int
    branches: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """What a protocol leans on: lines of Python that nobody here wrote, and bytes of what was compiled."""

    name: str
    version: str
    protocols: tuple[str, ...]
    lines: int
    compiled: int
    common: bool = False  #: the chat itself calls it, whatever carries it


class Size(NamedTuple):
    """How much code, in how many files, calling how many foreign names."""

    lines: int
    branches: int
    files: int
    names: int


@dataclass(frozen=True, repr=False)
class Complexity(Result):
    """The code of some protocols, part by part. Equal source gives equal results."""

    protocols: tuple[str, ...]
    rows: tuple[CodeRow, ...]
    libraries: tuple[Library, ...]

    def __repr__(self):
        return f"<Complexity of {', '.join(self.protocols)}>"

    def size(self, protocol: str, *parts: str, engine: str = "", own: bool = False) -> Size:
        """How much code of these parts (by default all that is `HANDWRITTEN`) a protocol needs.

        With `engine` "threads" or "loop", what only the other engine needs is left out; with `own`, what another protocol
        needs too. Raises `KeyError` for a protocol that was not counted.
        """
        if protocol not in self.protocols:
            raise KeyError(f"no {protocol!r} was counted; there are {', '.join(self.protocols)}")
        wanted = [
            row
            for row in self.rows
            if protocol in row.protocols
            and row.part in (parts or HANDWRITTEN)
            and (not engine or row.engine in ("", engine))
            and (not own or len(row.protocols) == 1)
        ]
        names = {name for row in wanted for name in row.names}
        files = {row.file for row in wanted if row.lines}
        return Size(sum(row.lines for row in wanted), sum(row.branches for row in wanted), len(files), len(names))

    @property
    def has_tests(self) -> bool:
        """Whether `tests/` was there to be counted."""
        return any(row.file.startswith("tests/") for row in self.rows)

    def libraries_of(self, protocol: str) -> tuple[Library, ...]:
        return tuple(library for library in self.libraries if protocol in library.protocols)

    def verdicts(self) -> tuple[str, ...]:
        """Each protocol beside the first, in lines: of the client, the server, the tests, and of all that was written."""
        first, *others = self.protocols
        said = []
        for other in others:
            ratios = [
                f"{what} {ratio}" for what, parts in _BESIDE_THE_FIRST if (ratio := self._ratio(other, first, parts))
            ]
            said.append(f"{other} beside {first}, in lines: {', '.join(ratios)}.")
        return tuple(said)

    def _ratio(self, a: str, b: str, parts: tuple[str, ...]) -> str:
        one, other = self.size(a, *parts).lines, self.size(b, *parts).lines
        return f"{one / other:.2f} times as many" if one and other else ""

    def table(self) -> Table:
        return _complexity_table(self)

    def to_frame(self):
        """A pandas DataFrame: a row for each protocol, part, engine and file. `shared_by` is how many protocols use it."""
        import pandas

        columns = ["protocol", "part", "engine", "file", "lines", "branches", "names", "shared_by"]
        rows = [
            (protocol, row.part, row.engine, row.file, row.lines, row.branches, len(row.names), len(row.protocols))
            for protocol in self.protocols
            for row in self.rows
            if protocol in row.protocols
        ]
        return pandas.DataFrame(rows, columns=columns)


_BESIDE_THE_FIRST = (
    ("the client", ("client",)),
    ("the server", ("server",)),
    ("the tests", ("tests",)),
    ("all that was written", HANDWRITTEN),
)


def complexity(*protocols) -> Complexity:
    """Count the code of these protocols, by default of all of ours.

    A codec or an Implementation of your own (its class, an instance, or "module:NAME") is counted by the file that its class is
    in, or by its cell: a codec as a spelling, to which our sockets do the rest; an Implementation as both ends, undivided.
    What a codec inherits of a codec of ours is its spelling, too. What its file imports of yours is not followed.
    Raises `ValueError` and `TypeError` for what is neither, and `ValueError` for one named twice or without a source.
    """
    protocols = registry.one_by_one(protocols)
    rows, names = list(_ours()), []
    for protocol in protocols or EVERY:
        name = protocol if protocol in EVERY else None
        if name is None:
            guest = registry.resolve(protocol)
            name, carried = guest.name, guest.codec or guest
            if type(carried).__module__.partition(".")[0] != __package__:
                if name in EVERY:
                    raise ValueError(f"{name} is the name of one of ours; give yours another")
                rows = _with_guest(rows, name, type(carried), spells=carried is not guest)
        names.append(name)
    if len(set(names)) < len(names):
        raise ValueError(f"a protocol is compared with others, not with itself: {', '.join(names)}")
    chosen = tuple(row for row in rows if set(names) & set(row.protocols))
    return Complexity(tuple(names), chosen, _libraries(names, chosen))


# ---- whose is what ----------------------------------------------------------------------------------------------


@cache
def _ours() -> tuple[CodeRow, ...]:
    """Every piece of ours; the tests only where they are, which is beside a package that was not installed from a wheel."""
    rows = []
    with progress_bar(len(OWNERSHIP), "counting code", "files") as bar:
        for path, claims in OWNERSHIP.items():
            rows += _rows(path, _read(PACKAGE / path), claims)
            bar.update()
    for name, whose in TESTS.items():
        path = PACKAGE.parent / "tests" / name
        if path.exists():
            rows += _rows(f"tests/{name}", _read(path), {REST: whose})
    return tuple(rows)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _with_guest(rows: list[CodeRow], name: str, kind: type, spells: bool) -> list[CodeRow]:
    """The rows, and those of a reader's own protocol."""
    if spells:
        needed = set(_needed(rows, kind))
        rows = [replace(row, protocols=(*row.protocols, name)) if row in needed else row for row in rows]
    file, source = _source(kind)
    return rows + _rows(file, source, {REST: Owner("spelling" if spells else "both ends", (name,))})


def _needed(rows: list[CodeRow], codec: type) -> Iterator[CodeRow]:
    """Which of our rows a reader's codec needs: what all our sockets do, and what spells the codecs that it inherits."""
    inherited = {vars(base).get("name") for base in codec.__mro__ if base.__module__.partition(".")[0] == __package__}
    for row in rows:
        protocols = set(row.protocols)
        if set(SOCKETS) <= protocols or row.part in _INHERITED and inherited & protocols & set(SOCKETS):
            yield row


_INHERITED = ("spelling", "schema", "generated", "dissection")


def _source(kind: type) -> tuple[str, str]:
    """The file or the cell in which a class was written, and all that is in it."""
    files = [
        inspect.unwrap(value).__code__.co_filename for value in vars(kind).values() if isinstance(value, FunctionType)
    ]
    made_up = "<string>", inspect.getsourcefile(dataclasses)  # where a dataclass has methods that nobody wrote
    written = [file for file in files if file not in made_up]
    try:
        path = written[0] if written else inspect.getsourcefile(kind)
    except TypeError:
        path = None
    source = "".join(linecache.getlines(path)) if path else ""
    if not source:
        raise ValueError(f"the source of {kind.__qualname__} is not to be found")
    return f"yours: {Path(path).name}" if Path(path).exists() else "yours: a cell", source


def unclaimed(path: str) -> list[str]:
    """The classes and functions of a file of ours that `OWNERSHIP` should name and does not."""
    claims = OWNERSHIP.get(path, {HEAD: Owner("", ())})
    if REST in claims:
        return []
    named = {name.partition(".")[0] for names in claims for name in names.split()}
    return [name for name, _, _ in _pieces(path, _read(PACKAGE / path)) if "." not in name and name not in named]


def claimed_in_vain(path: str) -> list[str]:
    """What `OWNERSHIP` names in a file and is not there, or is named twice."""
    names = [name for names in OWNERSHIP[path] if names != REST for name in names.split()]
    known = {name for name, _, _ in _pieces(path, _read(PACKAGE / path), constants=True)}
    return [name for name in names if name not in known or names.count(name) > 1]


def _rows(path: str, source: str, claims: dict[str, Owner]) -> list[CodeRow]:
    """A row for each owner of something in the file."""
    owners = _owners(path, source, claims)
    lines, branches, names = _count_proto(source) if path.endswith(".proto") else _count_python(source)
    rows = []
    for whose in dict.fromkeys(owners.values()):
        mine = {line for line, owner in owners.items() if owner == whose}
        called = sorted({name for line, name in names if line in mine})
        rows.append(CodeRow(*whose, path, len(mine & lines), sum(line in mine for line in branches), tuple(called)))
    return rows


def _owners(path: str, source: str, claims: dict[str, Owner]) -> dict[int, Owner]:
    """Who owns each line: pieces are painted from the outside in, so the claim that names a line most closely holds."""
    by_name = {name: whose for names, whose in claims.items() if names != REST for name in names.split()}
    owners = dict.fromkeys(range(1, source.count("\n") + 2), claims.get(REST) or claims[HEAD])
    for name, first, last in _pieces(path, source, constants=True):
        if name in by_name:
            owners |= dict.fromkeys(range(first, last + 1), by_name[name])
    return owners


# ---- what was not written here ----------------------------------------------------------------------------------


def _libraries(names: list[str], rows: tuple[CodeRow, ...]) -> tuple[Library, ...]:
    """The installed packages that the files of these protocols call, written or generated, and those that the chat calls."""
    common = {package for row in _ours() if row.part == "chat" for package in map(_package, row.names) if package}
    users: dict[str, set[str]] = {package: set(names) for package in common}
    for row in rows:
        if row.part in (*HANDWRITTEN, "generated"):
            for package in filter(None, map(_package, row.names)):
                users.setdefault(package, set()).update(row.protocols)
    of = {package: tuple(name for name in names if name in users[package]) for package in sorted(users)}
    return tuple(
        Library(name, metadata.version(name), protocols, *_installed(name), name in common)
        for name, protocols in of.items()
        if protocols
    )


@cache
def _package(name: str) -> str | None:
    """The installed package that has the module of this name; None for the standard library's and a reader's own."""
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names:
        return None
    found = _packages().get(root, [])
    if len(found) > 1:  # a namespace that several share, as `google`
        folder = "/".join(name.split(".")[:2])
        found = [
            each for each in found if any(str(file).startswith(folder) for file in metadata.files(each) or ())
        ] or found
    return found[0] if found else None


@cache
def _packages():
    return metadata.packages_distributions()


@cache
def _installed(package: str) -> tuple[int, int]:
    """Lines of Python, and bytes of what was compiled."""
    lines = compiled = 0
    for file in metadata.files(package) or ():
        path = Path(file.locate())
        if file.suffix in (".so", ".pyd", ".dylib") and path.exists():
            compiled += path.stat().st_size
        elif file.suffix == ".py" and path.exists():
            lines += len(_code_lines(_read(path)))
    return lines, compiled


def _complexity_table(result: Complexity) -> Table:
    def row(head: str, measure: str, *parts: str, **which) -> tuple[str, ...]:
        found = [getattr(result.size(name, *parts, **which), measure) for name in result.protocols]
        return "", head, *(f"{n:,}" if n else "" for n in found)

    libraries = [sum(library.lines for library in result.libraries_of(name)) for name in result.protocols]
    lines = [
        *(row(part, "lines", part) for part in HANDWRITTEN), row("together", "lines"), row("its own", "lines", own=True),
        row("threads alone", "lines", engine="threads"), row("a loop alone", "lines", engine="loop"),
        row("tests", "lines", "tests"), row("tests in common", "lines", "tests in common"), row("generated", "lines", "generated"),
        ("", "in libraries", *(f"{n:,}" if n else "" for n in libraries)),
    ]  # fmt: skip
    branches = [
        *(row(part, "branches", part) for part in HANDWRITTEN),
        row("together", "branches"),
        row("tests", "branches", "tests"),
    ]
    names = [*(row(part, "names", part) for part in HANDWRITTEN), row("together", "names")]
    rows = []
    for measure, group in (
        ("lines", lines),
        ("branches", branches),
        ("names", names),
        ("files", [row("together", "files")]),
    ):
        shown = [each for each in group if any(each[2:])]
        rows += [(measure if not number else "", *each[1:]) for number, each in enumerate(shown)]
    return Table("Code", ("", "part", *result.protocols), tuple(rows), _complexity_notes(result), labels=2)


def _complexity_notes(result: Complexity) -> tuple[str, ...]:
    chat = result.size(result.protocols[0], "chat").lines
    notes = [
        "lines: without blank ones, comments and docstrings. branches: McCabe's decisions (1976), each condition by itself. "
        "names: of other people's modules. An empty place: none.",
        "its own: what no other protocol of ours uses. threads alone, a loop alone: what is left where only one engine is wanted. "
        "tests: those that were written, not those that are enough; in common: every protocol of ours has to pass them.",
        *result.verdicts(),
    ]
    if chat:
        notes.append(f"Not in it: the chat itself, which is the same for all, {chat:,} lines.")
    if result.libraries:
        notes.append(f"Written by others, and run all the same: {'; '.join(map(_library, result.libraries))}.")
    if not result.has_tests:
        notes.append(
            "The tests of chatlab's tests/ were not found beside the package; those of chatlab check are counted."
        )
    return tuple(notes)


def _library(library: Library) -> str:
    compiled = f" and {library.compiled / 1e6:,.1f} MB compiled" if library.compiled else ""
    who = "the chat itself, so in common for all" if library.common else ", ".join(library.protocols)
    return f"{library.name} {library.version} ({library.lines:,} lines of Python{compiled}) for {who}"
