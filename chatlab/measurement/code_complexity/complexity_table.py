"""How much code is a protocol? Lines, branches, files and foreign names of its client, its server and its tests.

They are counted from the source. Nothing is run and nothing is measured: the same source gives the same numbers, so
anyone can count again. Which part of which protocol a piece of code is was decided by people who read it, and is
written down in `ownership.toml`, where it can be disputed.

    lines       that hold code: no blank ones, no comments, no docstrings
    branches    what McCabe's cyclomatic number counts beside its 1 ("A Complexity Measure", IEEE Transactions on
                Software Engineering, 1976), each condition by itself: if, elif, the ternary, for, while, except, a case
                that can fail to match, each `and` and `or`, and each `for` and `if` of a comprehension
    names       of other modules that the code uses, as `socket.SHUT_WR` or `grpc.aio.server`
    files       that hold some of it

What the numbers say: how much of *this* code somebody wrote, and has to read, for one protocol. What they do not say:
how hard a line was to find; what the standard library and the system do for the socket protocols (asyncio, TCP); what
the libraries contain, which is shown beside it as lines that nobody here had to write and that run all the same.
Methods of objects, and names in strings as gRPC's options are, are not counted as names. No count says how many tests
are enough: these are the ones that were written, and those of the sockets include what a codec of your own has to pass.
Our implementations are careful ones with two engines each; a first draft is shorter everywhere, though not by the same
factor.
"""

import dataclasses
import inspect
import linecache
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, NamedTuple

from ...display.progress import progress_bar
from ...display.tables import Table
from ...transport import registry
from ...transport.interface import ProtocolOrList
from ..results.result import Result
from .counter import OURS, locate, pieces
from .libraries import Library, installed_size, packages_called
from .ownership import EVERY, EXCLUDED, HANDWRITTEN, SOCKETS, Claim, Owner, claim_of, claimed_files

if TYPE_CHECKING:
    import pandas


# ---- the result -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CodeRow:
    """One part in one file: `protocols` are all that use it, `names` what it calls of other people's modules."""

    part: str
    protocols: tuple[str, ...]
    engine: str
    file: str
    lines: int
    branches: int
    names: tuple[str, ...] = ()


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

    def __post_init__(self) -> None:
        if not self.protocols:
            raise ValueError("a Complexity is of one protocol at the least")

    def __repr__(self) -> str:
        return f"<Complexity of {', '.join(self.protocols)}>"

    def size(self, protocol: str, *parts: str, engine: str = "", own: bool = False) -> Size:
        """How much code of these parts (by default all that is `HANDWRITTEN`) a protocol needs.

        With `engine` "threads" or "loop", what only the other engine needs is left out; with `own`, what another
        protocol needs too. Raises `KeyError` for a protocol that was not counted and for an unknown part.
        """
        if protocol not in self.protocols:
            raise KeyError(f"no {protocol!r} was counted; there are {', '.join(self.protocols)}")
        if unknown := set(parts) - {*HANDWRITTEN, *EXCLUDED}:
            raise KeyError(f"no part is called {unknown.pop()!r}; there are {', '.join((*HANDWRITTEN, *EXCLUDED))}")
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
        """Each protocol beside the first, in lines: the client, the server, the tests, and all that was written."""
        first, *others = self.protocols
        sentences = []
        for other in others:
            ratios = [f"{what} {ratio}" for what, parts in _COMPARED if (ratio := self._ratio(other, first, parts))]
            sentences.append(f"{other} beside {first}, in lines: {', '.join(ratios)}.")
        return tuple(sentences)

    def _ratio(self, a: str, b: str, parts: tuple[str, ...]) -> str:
        one, other = self.size(a, *parts).lines, self.size(b, *parts).lines
        return f"{one / other:.2f} times as many" if one and other else ""

    def table(self) -> Table:
        """The counts, a row for each part and a column for each protocol."""
        lines = [
            *(self._row(part, "lines", part) for part in HANDWRITTEN),
            self._row("together", "lines"),
            self._row("its own", "lines", own=True),
            self._row("threads alone", "lines", engine="threads"),
            self._row("a loop alone", "lines", engine="loop"),
            *(self._row(part, "lines", part) for part in ("tests", "shared tests", "generated")),
            ("in libraries", *(_or_empty(sum(of.lines for of in self.libraries_of(name))) for name in self.protocols)),
        ]
        branches = [*(self._row(part, "branches", part) for part in HANDWRITTEN)]
        branches += [self._row("together", "branches"), self._row("tests", "branches", "tests")]
        names = [*(self._row(part, "names", part) for part in HANDWRITTEN), self._row("together", "names")]
        groups = {"lines": lines, "branches": branches, "names": names, "files": [self._row("together", "files")]}
        rows = []
        for measure, group in groups.items():
            shown = [row for row in group if any(row[1:])]
            rows += [(measure if number == 0 else "", *row) for number, row in enumerate(shown)]
        return Table("Code", ("", "part", *self.protocols), tuple(rows), _notes(self), labels=2)

    def _row(self, label: str, measure: str, *parts: str, engine: str = "", own: bool = False) -> tuple[str, ...]:
        sizes = [self.size(protocol, *parts, engine=engine, own=own) for protocol in self.protocols]
        return label, *(_or_empty(getattr(size, measure)) for size in sizes)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each protocol, part, engine and file.

        `shared_by` is the number of protocols that use the row.
        """
        import pandas

        columns = ["protocol", "part", "engine", "file", "lines", "branches", "names", "shared_by"]
        rows = [
            (protocol, row.part, row.engine, row.file, row.lines, row.branches, len(row.names), len(row.protocols))
            for protocol in self.protocols
            for row in self.rows
            if protocol in row.protocols
        ]
        return pandas.DataFrame(rows, columns=columns)


_COMPARED = (
    ("the client", ("client",)),
    ("the server", ("server",)),
    ("the tests", ("tests",)),
    ("all that was written", HANDWRITTEN),
)


def _or_empty(number: int) -> str:
    return f"{number:,}" if number else ""


def complexity(*protocols: "ProtocolOrList") -> Complexity:
    """Count the code of these protocols, by default of all of ours.

    A codec or an Implementation of your own (its class, an instance, or "module:NAME") is counted by the file that its
    class is in, or by its notebook cell: a codec as an encoding, to which our sockets do the rest; an Implementation as
    both ends, undivided. What a codec inherits from one of ours counts as its encoding, too; modules that its file
    imports do not.

    Raises `ValueError` for a protocol given twice, for one of your own that has the name of one of ours, and where its
    source cannot be found; `ValueError` or `TypeError` for what is no protocol.

    >>> import chatlab
    >>> chatlab.complexity("text").size("text", "framing").files
    1
    """
    rows, names = list(_our_rows()), []
    for protocol in registry.one_by_one(protocols) or EVERY:
        if isinstance(protocol, str) and protocol in EVERY:
            names.append(protocol)
            continue
        implementation = registry.resolve(protocol)
        original: object = registry.as_given(implementation)  # without what was filled in
        implemented_by = type(implementation.codec or original)
        if implemented_by.__module__.partition(".")[0] != OURS:
            if implementation.name in EVERY:
                raise ValueError(f"{implementation.name} is the name of one of ours; give yours another")
            rows = _with_own(rows, implementation.name, implemented_by, is_codec=implementation.codec is not None)
        names.append(implementation.name)
    if len(set(names)) < len(names):
        raise ValueError(f"a protocol is compared with others, not with itself: {', '.join(names)}")
    chosen = tuple(row for row in rows if set(names) & set(row.protocols))
    return Complexity(tuple(names), chosen, _libraries(names, chosen))


# ---- counting ---------------------------------------------------------------------------------------------------


@cache
def _our_rows() -> tuple[CodeRow, ...]:
    """Every part of ours in every file; the tests only where they are, which is beside a package that is a checkout."""
    rows: list[CodeRow] = []
    files = claimed_files()
    with progress_bar(len(files), "counting code", "files") as bar:
        for name, path in files.items():
            claim = claim_of(name)
            assert claim is not None  # claimed_files has only what is claimed
            rows += _rows_of(name, path.read_text(encoding="utf-8"), claim)
            bar.update()
    return tuple(rows)


def _rows_of(file: str, source: str, claim: Claim) -> list[CodeRow]:
    """A row for each owner of something in the file."""
    places = locate(source, file.endswith(".proto"))
    lines_of: dict[Owner, set[int]] = {}
    for line, owner in _owner_of_each_line(file, source, claim).items():
        lines_of.setdefault(owner, set()).add(line)
    return [
        CodeRow(
            *owner,
            file,
            len(lines & places.lines),
            sum(line in lines for line in places.branches),
            tuple(sorted({name for line, name in places.names if line in lines})),
        )
        for owner, lines in lines_of.items()
    ]


def _owner_of_each_line(file: str, source: str, claim: Claim) -> dict[int, Owner]:
    """Outer pieces are assigned before the pieces inside them, so the innermost claim holds."""
    owners = dict.fromkeys(range(1, source.count("\n") + 2), claim.owner)
    if claim.pieces:
        for found in pieces(source, file.endswith(".proto")):
            for piece in claim.pieces:
                if piece.matches(found.name):
                    owner = piece.owner(owners[found.first])
                    owners |= dict.fromkeys(range(found.first, found.last + 1), owner)
    return owners


# ---- a reader's own ---------------------------------------------------------------------------------------------

_INHERITED_PARTS = ("encoding", "schema", "generated", "dissection")


def _with_own(rows: list[CodeRow], name: str, kind: type, is_codec: bool) -> list[CodeRow]:
    """The rows, and those of a reader's own protocol."""
    if is_codec:
        needed = set(_needed_rows(rows, kind))
        rows = [replace(row, protocols=(*row.protocols, name)) if row in needed else row for row in rows]
    file, source = _source_of(kind)
    return rows + _rows_of(file, source, Claim((file,), Owner("encoding" if is_codec else "both ends", (name,))))


def _needed_rows(rows: list[CodeRow], codec: type) -> Iterator[CodeRow]:
    """Which of our rows a reader's codec needs: what all our sockets do, and encodings that it inherits."""
    inherited = {vars(base).get("name") for base in codec.__mro__ if base.__module__.partition(".")[0] == OURS}
    for row in rows:
        protocols = set(row.protocols)
        if set(SOCKETS) <= protocols or (row.part in _INHERITED_PARTS and inherited & protocols & set(SOCKETS)):
            yield row


def _source_of(kind: type) -> tuple[str, str]:
    """The file or the cell in which a class was written, and all that is in it."""
    files = [
        inspect.unwrap(value).__code__.co_filename for value in vars(kind).values() if isinstance(value, FunctionType)
    ]
    generated = "<string>", inspect.getsourcefile(dataclasses)  # where a dataclass has methods that nobody wrote
    written = [file for file in files if file not in generated]
    try:
        path = written[0] if written else inspect.getsourcefile(kind)
    except TypeError:
        path = None
    source = "".join(linecache.getlines(path)) if path else ""
    if not path or not source:
        raise ValueError(f"the source of {kind.__qualname__} is not to be found")
    return f"yours: {Path(path).name}" if Path(path).exists() else "yours: a cell", source


# ---- what was not written here ----------------------------------------------------------------------------------


def _libraries(protocols: list[str], rows: tuple[CodeRow, ...]) -> tuple[Library, ...]:
    """The packages that the code of these protocols calls, written or generated, and those that the chat calls."""
    common = {package for row in _our_rows() if row.part == "chat" for package in packages_called(row.names)}
    users: dict[str, set[str]] = {package: set(protocols) for package in common}
    for row in rows:
        if row.part in (*HANDWRITTEN, "generated"):
            for package in packages_called(row.names):
                users.setdefault(package, set()).update(row.protocols)
    return tuple(
        Library(package, metadata.version(package), used_by, *installed_size(package), package in common)
        for package in sorted(users)
        if (used_by := tuple(protocol for protocol in protocols if protocol in users[package]))
    )


# ---- how it looks -----------------------------------------------------------------------------------------------


def _notes(result: Complexity) -> tuple[str, ...]:
    chat = result.size(result.protocols[0], "chat").lines
    notes = [
        "lines: without blank ones, comments and docstrings. branches: McCabe's decisions (1976), each condition by "
        "itself. names: of modules that are not chatlab's. An empty cell: none.",
        "its own: what no other protocol of ours uses. threads alone, a loop alone: what is left where only one "
        "engine is wanted. tests: those that were written, not those that are enough; shared tests: every protocol of "
        "ours has to pass them.",
        *result.verdicts(),
    ]
    if chat:
        notes.append(f"Not counted: the chat itself, which is the same for all, {chat:,} lines.")
    if result.libraries:
        notes.append(f"Libraries that run as well: {'; '.join(map(_in_a_sentence, result.libraries))}.")
    if not result.has_tests:
        notes.append(
            "The tests of chatlab's tests/ were not found beside the package; those of chatlab check are counted."
        )
    return tuple(notes)


def _in_a_sentence(library: Library) -> str:
    compiled = f" and {library.compiled / 1e6:,.1f} MB compiled" if library.compiled else ""
    users = "the chat itself, so shared by all" if library.common else ", ".join(library.protocols)
    return f"{library.name} {library.version} ({library.lines:,} lines of Python{compiled}) for {users}"
