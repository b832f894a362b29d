"""Code counted from the source: the rules on literal pieces, the claims against the files, and the table that comes of it."""

import ast
import linecache
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
from student_codec import StudentCodec

import chatlab
from chatlab.cli.main import main
from chatlab.codecs.text import TextCodec
from chatlab.measurement.code_complexity.counter import count
from chatlab.measurement.code_complexity.ownership import EVERY, EXCLUDED, GRPC, HANDWRITTEN, OWNERSHIP, SOCKETS, TESTS
from chatlab.measurement.code_complexity.tables import PACKAGE, Complexity, claimed_in_vain, complexity, unclaimed

HERE = Path(__file__).parent
CARRIED = {"codecs", "proto", "connection", "socket_impl", "grpc_impl"}
PATHS = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.p*")
    if path.relative_to(PACKAGE).parts[0].partition(".")[0] in CARRIED and path.suffix in (".py", ".pyi", ".proto")
)
#: Tests that name a codec or a transport and are about something else: the lab, the load, the bytes shown, the pages.
OF_THE_LAB = {
    "lying_codec.py", "planted.py", "test_capture.py", "test_complexity.py", "test_conformance.py", "test_dissect.py",
    "test_harness.py", "test_hexview.py", "test_http2.py", "test_ladder.py", "test_measure.py", "test_protocol_doc.py",
    "test_views.py", "test_wires.py",
}  # fmt: skip


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


@pytest.mark.parametrize("path", [path for path in PATHS if path.endswith(".py")])
def test_only_code_counts_in_our_own_files(path):
    source = (PACKAGE / path).read_text(encoding="utf-8")
    spread = "".join(line if line.strip() else f"{line}# again\n" for line in source.splitlines(keepends=True))
    assert count(spread) == count(source)


# ---- whose is what ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_every_class_and_function_is_claimed(path):
    assert path in OWNERSHIP and unclaimed(path) == []


@pytest.mark.parametrize("path", OWNERSHIP)
def test_nothing_is_claimed_twice_or_in_vain(path):
    assert claimed_in_vain(path) == []


def test_a_class_that_nobody_claims_is_noticed(monkeypatch):
    monkeypatch.delitem(OWNERSHIP["socket_impl.py"], "LoopServer LoopConnection")
    assert unclaimed("socket_impl.py") == ["LoopServer", "LoopConnection"]


def test_a_claim_of_what_is_not_there_is_noticed(monkeypatch):
    monkeypatch.setitem(OWNERSHIP["connection.py"], "Telegraph", OWNERSHIP["connection.py"]["*"])
    assert claimed_in_vain("connection.py") == ["Telegraph"]


@pytest.mark.parametrize("path", [path for path in OWNERSHIP if path.endswith(".py")])
def test_the_pieces_of_a_file_add_up_to_the_file(path, ours):
    rows = [row for row in ours.rows if row.file == path]
    assert (sum(row.lines for row in rows), sum(row.branches for row in rows)) == count(
        (PACKAGE / path).read_text(encoding="utf-8")
    )


def test_every_claim_is_of_a_part_and_of_protocols_that_there_are():
    for whose in [*TESTS.values(), *(whose for claims in OWNERSHIP.values() for whose in claims.values())]:
        assert whose.part in HANDWRITTEN + EXCLUDED and whose.engine in ("", *chatlab.harness.ENGINES)
        assert whose.protocols and set(whose.protocols) <= set(EVERY) == set(chatlab.transport.registry.PROTOCOLS)


def imported(path: Path) -> set[str]:
    """The rooms of the package that a file imports."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{each.name}" for node in nodes for each in node.names]
    return {name.split(".")[1] for name in names if name.startswith("chatlab.")}


@pytest.mark.parametrize(
    "path", [path for path in HERE.glob("*.py") if imported(path) & CARRIED], ids=lambda path: path.name
)
def test_a_test_that_names_what_spells_or_carries_is_a_protocols_or_the_labs(path):
    assert (path.name in TESTS) != (path.name in OF_THE_LAB), (
        "complexity.TESTS says whose tests these are, or OF_THE_LAB here"
    )


def test_every_file_of_tests_that_is_named_exists():
    assert [name for name in TESTS if not (HERE / name).exists()] == []


# ---- what comes of it -------------------------------------------------------------------------------------------


def test_all_socket_protocols_share_their_client_and_server(ours):
    for part in "client", "server", "framing":
        assert len({ours.size(name, part) for name in SOCKETS}) == 1 and ours.size("text", part, own=True).lines == 0


def test_grpc_needs_no_framing_and_sockets_no_schema(ours):
    for name in EVERY:
        assert (ours.size(name, "framing").lines == 0) == (name in GRPC)
        assert (ours.size(name, "schema").lines > 0) == (name in (*GRPC, "protobuf"))


def test_a_spelling_is_its_own(ours):
    whole, shown = count((PACKAGE / "codecs/text.py").read_text(encoding="utf-8")), ours.size("text", "dissection")
    assert ours.size("text", own=True).lines == whole.lines - shown.lines


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
    assert "for the chat itself, so in common for all" in str(ours)


def test_a_library_is_counted_in_lines_and_in_what_was_compiled(ours):
    (grpcio,) = [library for library in ours.libraries if library.name == "grpcio"]
    assert grpcio.lines > ours.size("grpc").lines and grpcio.compiled > 1_000_000


# ---- one of your own --------------------------------------------------------------------------------------------


def test_a_codec_of_ones_own_is_counted_by_its_file(ours):
    own = complexity(StudentCodec).size("student", own=True)
    assert own[:3] == (*count((HERE / "student_codec.py").read_text(encoding="utf-8")), 1)


def test_our_sockets_do_the_rest_for_it():
    both = complexity("text", "student_codec:StudentCodec")
    assert both.size("student", "client", "server", "framing") == both.size("text", "client", "server", "framing")


def test_a_codec_that_was_written_in_a_cell_is_counted_by_its_cell():
    source = "import json\nclass CellCodec:\n    name = 'cell'\n    def encode(self, tag, message):\n        return json.dumps(0)\n"
    linecache.cache["<a cell>"] = (len(source), None, source.splitlines(keepends=True), "<a cell>")
    names = {}
    exec(compile(source, "<a cell>", "exec"), names)
    names["CellCodec"].frame_end = names["CellCodec"].decode = TextCodec.decode
    assert complexity(names["CellCodec"]).size("cell", own=True) == (5, 0, 1, 1)


def test_what_a_codec_inherits_of_ours_is_its_spelling_too():
    class Loud(TextCodec):
        name = "loud"

        def encode(self, tag, message): ...

    both = complexity("text", Loud)
    mine = sum(row.lines for row in both.rows if row.file.startswith("yours"))
    assert both.size("loud", "spelling").lines == both.size("text", "spelling").lines + mine


def test_a_dataclass_is_counted_by_its_file_and_not_by_its_made_up_methods():
    @dataclass
    class Levelled(TextCodec):
        level: int = 1
        name = "levelled"

    assert {row.file for row in complexity(Levelled).rows if row.protocols == ("levelled",)} == {
        "yours: test_complexity.py"
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
