"""How much code is a protocol? Lines, branches, files and foreign names of its client, its server and its tests, counted from the source.

Nothing is run and nothing is measured: the same source gives the same numbers, so anyone can count again. Whose a piece
of code is was decided by people who read it, and is written down in `CLAIMS` and `TESTS` below, where it can be disputed.

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

import ast
import dataclasses
import inspect
import io
import linecache
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

from . import harness
from .progress import progress
from .results import Shown

PACKAGE = Path(__file__).resolve().parent
TEXT, JSON, BINARY, PROTOBUF = ("text",), ("json",), ("binary",), ("protobuf",)
UNARY, STREAM = ("grpc",), ("grpc-stream",)
SOCKETS = TEXT + JSON + BINARY + PROTOBUF
GRPC = UNARY + STREAM
TAGGED = PROTOBUF + STREAM  #: every message with its tag, in an Ask or a Told
PROTO = PROTOBUF + GRPC  #: all that speak protobuf
EVERY = SOCKETS + GRPC

#: What somebody writes for a protocol, in the order in which it is shown.
WRITTEN = ("client", "server", "both ends", "spelling", "framing", "schema")
#: And what is not: it tests, is generated, shows bytes to a reader of the lab, or is the chat, the same for all.
BESIDE = ("tests", "tests in common", "generated", "dissection", "chat")


class Whose(NamedTuple):
    """Which part it is, and of which protocols; `engine` where only "threads" or only the "loop" need it."""

    part: str
    protocols: tuple[str, ...]
    engine: str = ""


_S, _C, _B = "server", "client", "both ends"
REST = "*"  #: all of a file that no other entry names
HEAD = ""  #: its imports and constants; every class and function of such a file has to be named

#: Whose every class and function is that carries or spells a protocol, by file and name. A method may be claimed apart
#: from its class; the claim that names it most closely holds.
CLAIMS: dict[str, dict[str, Whose]] = {
    "codecs/__init__.py": {REST: Whose("spelling", SOCKETS)},
    "codecs/text.py": {
        REST: Whose("spelling", TEXT),
        "_Walk TextCodec.spans": Whose("dissection", TEXT),
    },
    "codecs/json_lines.py": {
        REST: Whose("spelling", JSON),
        "_Walk _loaded _TOKEN _PUNCTUATION JsonCodec.spans": Whose("dissection", JSON),
    },
    "codecs/binary.py": {
        REST: Whose("spelling", BINARY),
        "_Reader.note BinaryCodec.spans": Whose("dissection", BINARY),
    },
    "codecs/protobuf.py": {
        REST: Whose("spelling", PROTOBUF),
        "_plain ProtobufCodec.spans": Whose("dissection", PROTOBUF),
    },
    "connection.py": {REST: Whose("framing", SOCKETS)},
    "socket_impl.py": {
        HEAD: Whose(_B, SOCKETS),
        "SocketImplementation": Whose(_B, SOCKETS),
        "SocketImplementation.serve listen spell _spell_one": Whose(_S, SOCKETS),
        "ThreadServer _ThreadClient": Whose(_S, SOCKETS, "threads"),
        "LoopServer _LoopClient": Whose(_S, SOCKETS, "loop"),
        "_receive": Whose(_B, SOCKETS, "threads"),
        "SocketImplementation.connect SocketImplementation.connect_async _last_word": Whose(_C, SOCKETS),
        "SocketClient": Whose(_C, SOCKETS, "threads"),
        "AsyncSocketClient": Whose(_C, SOCKETS, "loop"),
    },
    "grpc_impl.py": {
        HEAD: Whose(_B, GRPC),
        "GrpcImplementation _value _over _target _is_news _KEEPALIVE": Whose(_B, GRPC),
        "unary": Whose(_B, UNARY),
        "stream": Whose(_B, STREAM),
        # server
        "GrpcImplementation.serve listen _servicer _not_fitting _status _peer": Whose(_S, GRPC),
        "_server_options _PENDING _REFLECTED": Whose(_S, GRPC),
        "_GONE _TELLS_EVENTS_BEFORE _Outbox _spell_reply _spell_event": Whose(_S, UNARY),
        "_spell_told _understand": Whose(_S, STREAM),
        "ThreadServer _ThreadClient _Pool": Whose(_S, GRPC, "threads"),
        "ThreadServer._find ThreadServer.verb ThreadServer.events ThreadServer.end _ThreadClient.answer": Whose(_S, UNARY, "threads"),
        "ThreadServer.stream _ThreadClient.read": Whose(_S, STREAM, "threads"),
        "LoopServer _LoopClient": Whose(_S, GRPC, "loop"),
        "LoopServer._find LoopServer.verb LoopServer.events LoopServer.end _LoopClient.answer _settle": Whose(_S, UNARY, "loop"),
        "LoopServer.stream _LoopClient.read": Whose(_S, STREAM, "loop"),
        # client
        "GrpcImplementation.connect GrpcImplementation.connect_async": Whose(_C, GRPC),
        "_CLIENT_OPTIONS _MAX_FRAME _fitting _refused _lost_by": Whose(_C, GRPC),
        "_NOT_TO_OVERTAKE _AFTER_EVENTS _deadline_s _refusal": Whose(_C, UNARY),
        "GrpcClient": Whose(_C, GRPC, "threads"),
        "GrpcClient._open GrpcClient._exchange GrpcClient._tell GrpcClient._wait_for_told GrpcClient._wait_for_events "
        "GrpcClient._hear GrpcClient._fail GrpcClient.close": Whose(_C, UNARY, "threads"),
        "GrpcStreamClient": Whose(_C, STREAM, "threads"),
        "AsyncGrpcClient": Whose(_C, GRPC, "loop"),
        "AsyncGrpcClient._open AsyncGrpcClient._exchange AsyncGrpcClient._tell AsyncGrpcClient._wait_for_told "
        "AsyncGrpcClient._wait_for_events AsyncGrpcClient._hear AsyncGrpcClient._fail AsyncGrpcClient.close":
            Whose(_C, UNARY, "loop"),
        "AsyncGrpcStreamClient _until_none": Whose(_C, STREAM, "loop"),
    },
    "proto/__init__.py": {REST: Whose("spelling", PROTO)},
    "proto/convert.py": {
        HEAD: Whose("spelling", PROTO),
        "to_proto from_proto _wrapped _unwrapped _Row _reader _field_reader _default": Whose("spelling", PROTO),
        "to_ask from_ask to_told from_told _tag": Whose("spelling", TAGGED),
        "to_event from_event": Whose("spelling", UNARY),
    },
    "proto/walk.py": {REST: Whose("dissection", PROTO)},
    "proto/chat.proto": {
        REST: Whose("schema", PROTO),
        "Chat": Whose("schema", GRPC),
        "Subscribe Unsubscribe Event": Whose("schema", UNARY),
        "Ask Told": Whose("schema", TAGGED),
    },
    "proto/chat_pb2.py": {REST: Whose("generated", PROTO)},
    "proto/chat_pb2.pyi": {REST: Whose("generated", PROTO)},
    "proto/chat_pb2_grpc.py": {REST: Whose("generated", GRPC)},
    # the suite that every protocol has to pass
    "conformance/__init__.py": {REST: Whose("tests in common", EVERY)},
    "conformance/report.py": {REST: Whose("tests in common", EVERY)},
    "conformance/scenes.py": {REST: Whose("tests in common", EVERY)},
    "conformance/server_cases.py": {REST: Whose("tests in common", EVERY)},
    "conformance/codec_cases.py": {REST: Whose("tests", SOCKETS)},
    "conformance/framing_cases.py": {REST: Whose("tests", SOCKETS)},
    # what is said and meant, and what both ends of every protocol build on
    **{
        f"{name}.py": {REST: Whose("chat", EVERY)}
        for name in ("messages", "service", "storage", "hub", "client", "loops")
    },
}  # fmt: skip

#: Whose tests are in which file of `tests/`. The pitfalls are asked in the text protocol, and are about the chat, most of
#: them: they are common to all, and the few about framing are so to the sockets' advantage.
TESTS: dict[str, Whose] = {
    "test_text_codec.py": Whose("tests", TEXT),
    "test_codecs.py": Whose("tests", SOCKETS),
    "sayings.py": Whose("tests", SOCKETS),
    "test_vectors.py": Whose("tests", SOCKETS),
    "test_connection.py": Whose("tests", SOCKETS),
    "test_socket_impl.py": Whose("tests", SOCKETS),
    "test_grpc_impl.py": Whose("tests", GRPC),
    "test_transcripts.py": Whose("tests in common", EVERY),
    "test_pitfalls.py": Whose("tests in common", EVERY),
    "voices.py": Whose("tests in common", EVERY),
}


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
class Complexity(Shown):
    """The code of some protocols, part by part. Equal source gives equal results."""

    protocols: tuple[str, ...]
    rows: tuple[CodeRow, ...]
    libraries: tuple[Library, ...]

    def __repr__(self):
        return f"<Complexity of {', '.join(self.protocols)}>"

    def size(self, protocol: str, *parts: str, engine: str = "", own: bool = False) -> Size:
        """How much code of these parts (by default all that is `WRITTEN`) a protocol needs.

        With `engine` "threads" or "loop", what only the other engine needs is left out; with `own`, what another protocol
        needs too. Raises `KeyError` for a protocol that was not counted.
        """
        if protocol not in self.protocols:
            raise KeyError(f"no {protocol!r} was counted; there are {', '.join(self.protocols)}")
        wanted = [
            row
            for row in self.rows
            if protocol in row.protocols
            and row.part in (parts or WRITTEN)
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
            ratios = [f"{what} {ratio}" for what, parts in _BESIDE_THE_FIRST if (ratio := self._ratio(other, first, parts))]
            said.append(f"{other} beside {first}, in lines: {', '.join(ratios)}.")
        return tuple(said)

    def _ratio(self, a: str, b: str, parts: tuple[str, ...]) -> str:
        one, other = self.size(a, *parts).lines, self.size(b, *parts).lines
        return f"{one / other:.2f} times as many" if one and other else ""

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


_BESIDE_THE_FIRST = (("the client", ("client",)), ("the server", ("server",)), ("the tests", ("tests",)), ("all that was written", WRITTEN))


def complexity(*protocols) -> Complexity:
    """Count the code of these protocols, by default of all of ours.

    A codec or an Implementation of your own (its class, an instance, or "module:NAME") is counted by the file that its class is
    in, or by its cell: a codec as a spelling, to which our sockets do the rest; an Implementation as both ends, undivided.
    What a codec inherits of a codec of ours is its spelling, too. What its file imports of yours is not followed.
    Raises `ValueError` and `TypeError` for what is neither, and `ValueError` for one named twice or without a source.
    """
    harness.check_protocols("complexity", protocols)
    rows, names = list(_ours()), []
    for protocol in protocols or EVERY:
        name = protocol if protocol in EVERY else None
        if name is None:
            guest = harness.implementation(protocol)
            name, carried = guest.name, getattr(guest, "codec", guest)
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
    with progress(len(CLAIMS), "counting code", "files") as bar:
        for path, claims in CLAIMS.items():
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
    return rows + _rows(file, source, {REST: Whose("spelling" if spells else "both ends", (name,))})


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
    files = [inspect.unwrap(value).__code__.co_filename for value in vars(kind).values() if isinstance(value, FunctionType)]
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
    """The classes and functions of a file of ours that `CLAIMS` should name and does not."""
    claims = CLAIMS.get(path, {HEAD: Whose("", ())})
    if REST in claims:
        return []
    named = {name.partition(".")[0] for names in claims for name in names.split()}
    return [name for name, _, _ in _pieces(path, _read(PACKAGE / path)) if "." not in name and name not in named]


def claimed_in_vain(path: str) -> list[str]:
    """What `CLAIMS` names in a file and is not there, or is named twice."""
    names = [name for names in CLAIMS[path] if names != REST for name in names.split()]
    known = {name for name, _, _ in _pieces(path, _read(PACKAGE / path), constants=True)}
    return [name for name in names if name not in known or names.count(name) > 1]


def _rows(path: str, source: str, claims: dict[str, Whose]) -> list[CodeRow]:
    """A row for each owner of something in the file."""
    owners = _owners(path, source, claims)
    lines, branches, names = _count_proto(source) if path.endswith(".proto") else _count_python(source)
    rows = []
    for whose in dict.fromkeys(owners.values()):
        mine = {line for line, owner in owners.items() if owner == whose}
        called = sorted({name for line, name in names if line in mine})
        rows.append(CodeRow(*whose, path, len(mine & lines), sum(line in mine for line in branches), tuple(called)))
    return rows


def _owners(path: str, source: str, claims: dict[str, Whose]) -> dict[int, Whose]:
    """Who owns each line: pieces are painted from the outside in, so the claim that names a line most closely holds."""
    by_name = {name: whose for names, whose in claims.items() if names != REST for name in names.split()}
    owners = dict.fromkeys(range(1, source.count("\n") + 2), claims.get(REST) or claims[HEAD])
    for name, first, last in _pieces(path, source, constants=True):
        if name in by_name:
            owners |= dict.fromkeys(range(first, last + 1), by_name[name])
    return owners


Piece = tuple[str, int, int]  #: its name, its first line, its last line


def _pieces(path: str, source: str, constants: bool = False) -> Iterator[Piece]:
    """Each class and function, the outer ones before what is in them; and constants, where wanted."""
    if path.endswith(".proto"):
        for block in re.finditer(r"^(?:message|service|enum) (\w+) \{(?:\}|.*?^\})", source, re.MULTILINE | re.DOTALL):
            yield block[1], source.count("\n", 0, block.start()) + 1, source.count("\n", 0, block.end()) + 1
    else:
        yield from _defined(ast.parse(source).body, "", constants)


def _defined(body: list[ast.stmt], within: str, constants: bool) -> Iterator[Piece]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield within + node.name, min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno
            if isinstance(node, ast.ClassDef):
                yield from _defined(node.body, f"{within}{node.name}.", constants=False)
        elif constants and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.lineno, node.end_lineno


# ---- counting ---------------------------------------------------------------------------------------------------


class Count(NamedTuple):
    """Of one piece of source."""

    lines: int
    branches: int


def count(source: str) -> Count:
    r"""The lines and the branches of some Python source. Raises `SyntaxError`.

    >>> count("def sign(x):  # of a number\n    'Is 1 or -1.'\n\n    return 1 if x and x > 0 else -1")
    Count(lines=2, branches=2)
    """
    lines, branches, _ = _count_python(source)
    return Count(len(lines), len(branches))


Found = tuple[set[int], list[int], list[tuple[int, str]]]  #: lines of code, the line of each branch, of each foreign name


def _count_python(source: str) -> Found:
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    branches = [line for node in nodes for line in _branches(node)]
    return _code_lines(source), branches, list(_foreign(tree, _imported(nodes)))


def _count_proto(source: str) -> Found:
    """The lines of a schema that hold more than a comment; nothing in it branches."""
    return {number for number, line in enumerate(source.splitlines(), 1) if line.partition("//")[0].strip()}, [], []


_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}


def _code_lines(source: str) -> set[int]:
    """The lines of all statements but those that are a string and nothing else, as a docstring is."""
    lines: set[int] = set()
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if any(each.type != tokenize.STRING for each in statement):
                lines.update(line for each in statement for line in range(each.start[0], each.end[0] + 1))
            statement = []
        elif token.type not in _NO_CODE:
            statement.append(token)
    return lines


def _branches(node: ast.AST) -> list[int]:
    """The line of each decision that is made right here."""
    match node:
        case ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler():
            return [node.lineno]
        case ast.BoolOp():
            return [node.lineno] * (len(node.values) - 1)
        case ast.comprehension():
            return [node.target.lineno] * (1 + len(node.ifs))
        case ast.match_case():
            can_fail = not isinstance(node.pattern, ast.MatchAs) or node.pattern.pattern is not None
            return [node.pattern.lineno] * (can_fail + (node.guard is not None))
    return []


def _imported(nodes: list[ast.AST]) -> dict[str, str]:
    """What each name stands for that was imported from elsewhere: {"futures": "concurrent.futures"}."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for each in node.names:
                root = each.name.partition(".")[0]
                found[each.asname or root] = each.name if each.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return {name: whole for name, whole in found.items() if whole.partition(".")[0] != __package__}


def _foreign(node: ast.AST, imported: dict[str, str]) -> Iterator[tuple[int, str]]:
    """The line and the whole name of each use of somebody else's."""
    for child in ast.iter_child_nodes(node):
        name = _dotted(child, imported)
        if name:
            yield child.lineno, name
        else:
            yield from _foreign(child, imported)


def _dotted(node: ast.AST, imported: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return imported.get(node.id, "")
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value, imported)):
        return f"{before}.{node.attr}"
    return ""


# ---- what was not written here ----------------------------------------------------------------------------------


def _libraries(names: list[str], rows: tuple[CodeRow, ...]) -> tuple[Library, ...]:
    """The installed packages that the files of these protocols call, written or generated, and those that the chat calls."""
    common = {package for row in _ours() if row.part == "chat" for package in map(_package, row.names) if package}
    users: dict[str, set[str]] = {package: set(names) for package in common}
    for row in rows:
        if row.part in (*WRITTEN, "generated"):
            for package in filter(None, map(_package, row.names)):
                users.setdefault(package, set()).update(row.protocols)
    of = {package: tuple(name for name in names if name in users[package]) for package in sorted(users)}
    return tuple(
        Library(name, metadata.version(name), protocols, *_installed(name), name in common) for name, protocols in of.items() if protocols
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
        found = [each for each in found if any(str(file).startswith(folder) for file in metadata.files(each) or ())] or found
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
