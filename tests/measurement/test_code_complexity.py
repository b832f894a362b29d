"""Code counted from the source: the rules on literal pieces, the claims against the files, and the table that comes of
it."""

import ast
import linecache
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
import student_codec
from student_codec import StudentCodec

from chatlab.cli.main import main
from chatlab.codecs.text import TextCodec
from chatlab.measurement.code_complexity import ownership
from chatlab.measurement.code_complexity.complexity_table import Complexity, complexity
from chatlab.measurement.code_complexity.counter import count, pieces
from chatlab.measurement.code_complexity.ownership import (
    EVERY,
    EXCLUDED,
    GRPC,
    HANDWRITTEN,
    PACKAGE,
    SOCKETS,
    claim_of,
    claimed_files,
    claims,
    matching,
    not_counted,
)
from chatlab.transport.interface import ENGINES
from chatlab.transport.registry import PROTOCOLS

TESTS = Path(__file__).parents[1]
#: The rooms whose files encode or carry a protocol.
CARRYING = {"codecs", "proto", "transport", "socket_impl", "grpc_impl"}
FILES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.p*")
    if path.relative_to(PACKAGE).parts[0].partition(".")[0] in CARRYING and path.suffix in (".py", ".pyi", ".proto")
)
#: Folders of tests that name a codec or a transport and are about something else: the chat, the lab, the load, the
#: pages.
ABOUT_THE_LAB = {"capture", "chat", "cli", "conformance", "display", "harness", "helpers", "measurement", "project"}


@pytest.fixture(scope="module")
def ours() -> Complexity:
    return complexity()


# ---- what a line is, and what a branch --------------------------------------------------------------------------


@pytest.mark.parametrize("source, lines", [
    ("", 0),
    ("a = 1\n\n\nb = 2\n", 2),
    ("# why\na = 1  # because\n", 1),
    ('"""A thesis.\n\nAnd more."""\na = 1\n', 1),
    ('def f():\n    """One."""\n    return 1\n', 2),
    ('class A:\n    """One\n    two."""\n\n    x: int\n', 2),
    ("a = (\n    1,\n\n    2,\n)\n", 4),
    ('a = """one\ntwo"""\n', 2),
    ("a = 1; b = 2\n", 1),
])  # fmt: skip
def test_a_line_counts_where_it_holds_code(source, lines):
    assert count(source).lines == lines


@pytest.mark.parametrize("source, branches", [
    ("a = 1", 0),
    ("if a: b", 1),
    ("if a: b\nelif c: d\nelse: e", 2),
    ("if a and b or c: d", 3),
    ("a = b if c else d", 1),
    ("for a in b: c\nelse: d", 1),
    ("while a: b", 1),
    ("try: a\nexcept B: c\nexcept D: e\nelse: f\nfinally: g", 2),
    ("[a for a in b]", 1),
    ("{a for a in b for c in d if e if f and g}", 5),
    ("with a: b", 0),
    ("assert a", 0),
    ("lambda: a", 0),
    ("async def f():\n    async for a in b: c", 1),
    ("match a:\n    case 1: b\n    case C(d): e\n    case _: f", 2),
    ("match a:\n    case b if c: d", 1),
    ("match a:\n    case 1 | 2 as b: d", 1),
])  # fmt: skip
def test_a_branch_is_a_decision_as_mccabe_counts_them(source, branches):
    assert count(source).branches == branches


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".py")])
def test_only_code_counts_in_our_own_files(file):
    source = (PACKAGE / file).read_text(encoding="utf-8")
    spread = "".join(line if line.strip() else f"{line}# again\n" for line in source.splitlines(keepends=True))
    assert count(spread) == count(source)


# ---- which part of which protocol -------------------------------------------------------------------------------


def pieces_of(file: str):
    return list(pieces(claimed_files()[file].read_text(encoding="utf-8"), file.endswith(".proto")))


def unclaimed_classes(file: str) -> list[str]:
    """The classes of a file with classes for one engine that its claim does not name."""
    claim = claim_of(file)
    if not claim.is_divided:
        return []
    classes = [piece.name for piece in pieces_of(file) if piece.is_class and "." not in piece.name]
    return [name for name in classes if not any(piece.matches(name) for piece in claim.pieces)]


def unmatched_pieces(file: str) -> list[str]:
    """What a claim names in a file and is not there."""
    names = [piece.name for piece in pieces_of(file)]
    return [piece.name for piece in claim_of(file).pieces if not any(map(piece.matches, names))]


def ambiguous_pieces(file: str) -> list[str]:
    """What a claim names more than once."""
    names = [piece.name for piece in pieces_of(file)]
    return [name for name in names if sum(piece.matches(name) for piece in claim_of(file).pieces) > 1]


@pytest.mark.parametrize("file", FILES)
def test_every_file_that_encodes_or_carries_is_claimed_or_known_to_be_no_protocols(file):
    assert (claim_of(file) is not None) != (file in not_counted()), (
        f"{ownership.__name__}: ownership.toml claims it not"
    )


@pytest.mark.parametrize("file", claimed_files())
def test_every_class_of_one_engine_is_claimed_and_nothing_twice_or_in_vain(file):
    assert (unclaimed_classes(file), unmatched_pieces(file), ambiguous_pieces(file)) == ([], [], [])


@pytest.mark.parametrize("pattern", [*(pattern for claim in claims() for pattern in claim.files), *not_counted()])
def test_no_file_is_claimed_in_vain(pattern):
    assert list(matching(pattern))


def without(monkeypatch, name: str, *instead) -> None:
    """Leave a piece out of the claim of socket_impl.py, or put others in its place."""
    claim = claim_of("socket_impl.py")
    changed = replace_pieces(claim, [piece for piece in claim.pieces if piece.name != name] + list(instead))
    monkeypatch.setattr(ownership, "claims", lambda: (changed, *claims()))


def replace_pieces(claim, pieces):
    return claim._replace(pieces=tuple(pieces))


def test_a_class_that_is_not_claimed_is_noticed(monkeypatch):
    without(monkeypatch, "LoopServer")
    assert unclaimed_classes("socket_impl.py") == ["LoopServer"]


def test_a_claim_of_what_is_not_there_is_noticed(monkeypatch):
    without(monkeypatch, "", ownership.Piece("Telegraph", {"part": "client"}))
    assert unmatched_pieces("socket_impl.py") == ["Telegraph"]


def test_a_second_claim_of_a_piece_is_noticed(monkeypatch):
    without(monkeypatch, "", ownership.Piece("Loop*r", {"part": "client"}))
    assert ambiguous_pieces("socket_impl.py") == ["LoopServer"]


def test_a_method_belongs_to_its_class_in_all_that_its_own_claim_does_not_say(ours):
    engines = {row.engine for row in ours.rows if (row.file, row.protocols) == ("grpc_impl.py", ("grpc",))}
    assert {"threads", "loop"} <= engines
    assert {row.part for row in ours.rows if row.file == "socket_impl.py" and row.engine} == {"server"}


@pytest.mark.parametrize("file", [file for file in claimed_files() if file.endswith(".py")])
def test_the_pieces_of_a_file_add_up_to_the_file(file, ours):
    rows = [row for row in ours.rows if row.file == file]
    assert (sum(row.lines for row in rows), sum(row.branches for row in rows)) == count(
        claimed_files()[file].read_text(encoding="utf-8")
    )


def test_every_claim_is_of_a_part_and_of_protocols_that_exist():
    for claim in claims():
        for owner in [claim.owner, *(piece.owner(claim.owner) for piece in claim.pieces)]:
            assert owner.part in HANDWRITTEN + EXCLUDED and owner.engine in ("", *ENGINES)
            assert owner.protocols and set(owner.protocols) <= set(EVERY) == set(PROTOCOLS)


def imported(path: Path) -> set[str]:
    """The entries of the package that a file imports."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{alias.name}" for node in nodes for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("chatlab.")}


@pytest.mark.parametrize(
    "name", [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py") if imported(path) & CARRYING]
)
def test_a_test_that_names_what_encodes_or_carries_is_a_protocols_or_the_labs(name):
    folder = name.partition("/")[0] if "/" in name else Path(name).stem.removeprefix("test_")
    assert claim_of(f"tests/{name}") is not None or folder in ABOUT_THE_LAB, (
        "ownership.toml claims it, or ABOUT_THE_LAB"
    )


# ---- what comes of it -------------------------------------------------------------------------------------------


def test_all_socket_protocols_share_their_client_and_server(ours):
    for part in "client", "server", "framing":
        assert len({ours.size(name, part) for name in SOCKETS}) == 1 and ours.size("text", part, own=True).lines == 0


def test_grpc_needs_no_framing_and_sockets_no_schema(ours):
    for name in EVERY:
        assert (ours.size(name, "framing").lines == 0) == (name in GRPC)
        assert (ours.size(name, "schema").lines > 0) == (name in (*GRPC, "protobuf"))


def test_an_encoding_is_its_own(ours):
    whole, shown = count((PACKAGE / "codecs/text.py").read_text(encoding="utf-8")), ours.size("text", "dissection")
    assert ours.size("text", own=True).lines == whole.lines - shown.lines


def test_a_part_that_does_not_exist_is_refused(ours):
    with pytest.raises(KeyError, match="no part is called 'poetry'; there are client, server"):
        ours.size("text", "poetry")


def test_the_parts_of_a_protocol_add_up(ours):
    for name in EVERY:
        assert sum(ours.size(name, part).lines for part in HANDWRITTEN) == ours.size(name).lines


def test_with_one_engine_the_code_of_the_other_is_left_out(ours):
    for name in EVERY:
        both, (threads, loop) = (
            ours.size(name).lines,
            (ours.size(name, engine=each).lines for each in ("threads", "loop")),
        )
        of_none = sum(
            row.lines for row in ours.rows if name in row.protocols and row.part in HANDWRITTEN and not row.engine
        )
        assert threads + loop == both + of_none


def test_names_are_those_of_other_peoples_modules(ours):
    (acceptor,) = [
        row for row in ours.rows if row.file == "socket_impl.py" and row.part == "server" and row.engine == "threads"
    ]
    assert "socket.SHUT_RDWR" in acceptor.names and not [name for name in acceptor.names if name.startswith("chatlab")]


def test_libraries_are_those_that_the_files_call(ours):
    called = {name: {library.name for library in ours.libraries_of(name) if not library.common} for name in EVERY}
    assert called["text"] == called["binary"] == called["json"] == set()
    assert {"grpcio", "protobuf"} <= called["grpc"] == called["grpc-stream"]


def test_what_the_chat_calls_is_common_to_all(ours):
    common = {library.name: library.protocols for library in ours.libraries if library.common}
    assert "msgspec" in common and set(common.values()) == {EVERY}
    assert "for the chat itself, so shared by all" in str(ours)


def test_a_library_is_counted_in_lines_and_in_what_was_compiled(ours):
    (grpcio,) = [library for library in ours.libraries if library.name == "grpcio"]
    assert grpcio.lines > ours.size("grpc").lines and grpcio.compiled > 1_000_000


# ---- one of your own --------------------------------------------------------------------------------------------


def test_a_codec_of_ones_own_is_counted_by_its_file(ours):
    own = complexity(StudentCodec).size("student", own=True)
    assert own[:3] == (*count(Path(student_codec.__file__).read_text(encoding="utf-8")), 1)


def test_our_sockets_do_the_rest_for_it():
    both = complexity("text", "student_codec:StudentCodec")
    assert both.size("student", "client", "server", "framing") == both.size("text", "client", "server", "framing")


def test_a_codec_that_was_written_in_a_cell_is_counted_by_its_cell():
    source = "import json\nclass CellCodec:\n    name = 'cell'\n"
    source += "    def encode(self, tag, message):\n        return json.dumps(0)\n"
    linecache.cache["<a cell>"] = (len(source), None, source.splitlines(keepends=True), "<a cell>")
    names = {}
    exec(compile(source, "<a cell>", "exec"), names)
    names["CellCodec"].frame_end = names["CellCodec"].decode = TextCodec.decode
    assert complexity(names["CellCodec"]).size("cell", own=True) == (5, 0, 1, 1)


def test_what_a_codec_inherits_of_ours_is_its_encoding_too():
    class Loud(TextCodec):
        name = "loud"

        def encode(self, tag, message): ...

    both = complexity("text", Loud)
    mine = sum(row.lines for row in both.rows if row.file.startswith("yours"))
    assert both.size("loud", "encoding").lines == both.size("text", "encoding").lines + mine


def test_a_dataclass_is_counted_by_its_file_and_not_by_its_made_up_methods():
    @dataclass
    class Levelled(TextCodec):
        level: int = 1
        name = "levelled"

    assert {row.file for row in complexity(Levelled).rows if row.protocols == ("levelled",)} == {
        "yours: test_code_complexity.py"
    }


def test_an_implementation_of_ones_own_is_both_ends():
    class Telegraph:
        name = "telegraph"

        def serve(self, hub, engine="loop", host="127.0.0.1", port=0): ...

        def connect(self, address): ...

    result = complexity(Telegraph())
    assert result.size("telegraph") == result.size("telegraph", "both ends") and result.size("telegraph").files == 1


def test_a_class_without_a_source_is_refused():
    made = type("Made", (), {"name": "made", "encode": len, "decode": len, "frame_end": len})
    made.__module__ = "nowhere"
    with pytest.raises(ValueError, match="the source of Made is not to be found"):
        complexity(made)


def test_the_name_of_one_of_ours_is_taken():
    class Mine(StudentCodec):
        name = "text"

    with pytest.raises(ValueError, match="text is the name of one of ours"):
        complexity(Mine)


def test_our_own_codec_is_the_protocol_of_its_name(ours):
    assert complexity(TextCodec).size("text") == ours.size("text")


def test_a_protocol_is_counted_once():
    with pytest.raises(ValueError, match="compared with others, not with itself: text, text"):
        complexity("text", "text")


# ---- how it looks -----------------------------------------------------------------------------------------------


class Cells(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.cells = []
        self.feed(html)

    def handle_data(self, data):
        self.cells.append(data)


def test_the_same_source_gives_the_same_result_again(ours):
    assert complexity() == ours and repr(ours) == "<Complexity of text, json, binary, protobuf, grpc, grpc-stream>"


def test_it_comes_back_from_its_file(ours, tmp_path):
    assert Complexity.load(ours.save(tmp_path / "code.json")) == ours


@pytest.mark.parametrize("protocols", ["[]", "null"])
def test_a_file_without_what_it_shows_is_refused_when_it_is_loaded(ours, tmp_path, protocols):
    file = complexity("text").save(tmp_path / "code.json")
    file.write_text(re.sub(r'"protocols": \[\s*"text"\s*\]', f'"protocols": {protocols}', file.read_text(), count=1))
    with pytest.raises(ValueError, match="is not a result that chatlab has saved"):
        Complexity.load(file)


def test_text_and_html_say_the_same(ours):
    assert "".join(str(ours).replace("─", "").split()) == "".join("".join(Cells(ours._repr_html_()).cells).split())


def test_client_server_and_tests_stand_side_by_side(ours):
    shown = {tuple(line.split()[-7:]) for line in str(ours).splitlines()}
    for part in "client", "server", "tests":
        assert (part, *(f"{ours.size(name, part).lines:,}" for name in EVERY)) in shown


def test_a_verdict_is_of_the_numbers():
    both = complexity("text", "grpc")
    (said,) = both.verdicts()
    ratio = both.size("grpc", "client").lines / both.size("text", "client").lines
    assert said.startswith(f"grpc beside text, in lines: the client {ratio:.2f} times as many, the server ")


def test_the_frame_holds_every_piece(ours):
    frame = ours.to_frame()
    for name in EVERY:
        mine = frame[(frame.protocol == name) & frame.part.isin(HANDWRITTEN)]
        assert (mine.lines.sum(), mine[mine.shared_by == 1].lines.sum()) == (
            ours.size(name).lines,
            ours.size(name, own=True).lines,
        )


def test_without_the_tests_it_says_that_they_are_missing(ours):
    there = Complexity(
        ours.protocols, tuple(row for row in ours.rows if not row.file.startswith("tests/")), ours.libraries
    )
    assert "tests/ were not found" in str(there) and "tests/ were not found" not in str(ours)


# ---- the command ------------------------------------------------------------------------------------------------


def test_the_command_prints_the_table(capsys):
    assert main(["complexity", "text", "grpc"]) == 0
    assert capsys.readouterr() == (f"{complexity('text', 'grpc')}\n", "")


def test_the_command_loads_no_transport():
    program = "import sys; from chatlab.cli.main import main; main(['complexity']); print('grpc' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent
    )
    assert (done.stdout.splitlines()[-1], done.stderr) == ("False", "")


@pytest.mark.parametrize("words, complaint", [
    (["telegraph"], "no protocol is called 'telegraph'; there are text, "),
    (["text", "text"], "a protocol is compared with others, not with itself: text, text"),
])  # fmt: skip
def test_a_wrong_protocol_is_a_sentence_and_exit_code_2(words, complaint, capsys):
    with pytest.raises(SystemExit, match="^2$"):
        main(["complexity", *words])
    assert complaint in capsys.readouterr().err
