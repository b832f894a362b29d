"""The public names: listed for static tools, light at run time; importing changes nothing outside chatlab."""

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import pytest

import chatlab
from chatlab import messages

FACE = Path(chatlab.__file__)
TREE = ast.parse(FACE.read_text(encoding="utf-8"))


def in_a_fresh_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=FACE.parents[1]
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def imported_for_static_tools() -> dict[str, str]:
    (branch,) = [node for node in TREE.body if isinstance(node, ast.If)]
    imports = [node for node in branch.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: node.module for node in imports for alias in node.names}


def test_static_tools_and_python_find_each_name_in_the_same_file():
    assert imported_for_static_tools() == {name: home for home, names in chatlab._HOMES.items() for name in names}


def test_every_public_name_is_listed_and_nothing_else():
    assert set(chatlab.__all__) == {*imported_for_static_tools(), "__version__"}


@pytest.mark.parametrize("name", chatlab.__all__)
def test_a_public_name_is_there(name):
    assert getattr(chatlab, name) is not None


@pytest.mark.parametrize("room", chatlab._ROOMS)
def test_a_room_is_there_without_an_import_of_its_own(room):
    assert in_a_fresh_python(f"import chatlab; print(chatlab.{room}.__name__)") == f"chatlab.{room}"


def test_dir_shows_the_public_names_alone():
    assert dir(chatlab) == sorted(chatlab.__all__)


def test_a_misspelled_name_is_answered_with_the_right_one():
    done = subprocess.run(
        [sys.executable, "-c", "import chatlab; chatlab.conect"], capture_output=True, text=True, cwd=FACE.parents[1]
    )
    assert "Did you mean: 'connect'?" in done.stderr


def test_importing_changes_no_environment_variable():
    assert (
        in_a_fresh_python("import os; before = dict(os.environ); import chatlab; print(dict(os.environ) == before)")
        == "True"
    )


def test_a_star_import_of_the_messages_brings_messages_alone():
    names = {}
    exec("from chatlab.messages import *", names)
    assert set(names) - {"__builtins__"} == set(messages.__all__)
    assert not {"Struct", "NamedTuple", "shorten"} & set(names)


def test_every_error_has_one_base_and_none_is_an_assertion():
    names = [name for _, name, _ in pkgutil.walk_packages(chatlab.__path__, "chatlab.")]
    modules = [importlib.import_module(name) for name in names if name != "chatlab.__main__"]
    errors = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Exception) and thing.__module__.startswith("chatlab.")
    }
    assert {chatlab.ChatError, chatlab.MeasurementFailed, chatlab.ProtocolError} < errors
    assert [error for error in errors if not issubclass(error, chatlab.ChatlabError)] == []
    assert [error for error in errors if issubclass(error, AssertionError)] == []


def public_functions() -> list[tuple[str, Callable[..., object]]]:
    """Every public function, and every public method of a public class that is written here."""
    found = [(name, getattr(chatlab, name)) for name in chatlab.__all__ if callable(getattr(chatlab, name))]
    for name, thing in list(found):
        if isinstance(thing, type):
            found += [
                (f"{name}.{verb}", method)
                for verb, method in vars(thing).items()
                if isinstance(method, FunctionType) and not verb.startswith("_")
            ]
    return [(name, function) for name, function in found if isinstance(function, FunctionType)]


@pytest.mark.parametrize(
    ("name", "function"), public_functions(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_signature_shows_the_address_of_a_function(name, function):
    assert " at 0x" not in str(inspect.signature(function))


@pytest.mark.parametrize(
    ("name", "function"), public_functions(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_public_function_has_all_its_types(name, function):
    signature = inspect.signature(function)
    untyped = [name for name, each in signature.parameters.items() if each.annotation is each.empty and name != "self"]
    assert untyped == [] and signature.return_annotation is not signature.empty


# ---- what static tools say of a user's script -------------------------------------------------------------------

SCRIPT = """
from typing import assert_type

import chatlab.messages

class OwnCodec:
    name = "own"
    def encode(self, tag: int | None, message: chatlab.messages.Message) -> bytes:
        return b""
    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        return 0
    def decode(self, frame: bytes) -> tuple[int | None, chatlab.messages.Message]:
        return None, chatlab.messages.Pong()

class OwnTransport:
    def serve(self, hub, engine, host, port):
        raise NotImplementedError
    def connect(self, address):
        raise NotImplementedError

async def talk() -> None:
    with chatlab.serve("text") as server:
        alice = server.users("alice")[0]
        assert_type(alice.send("bob", "hi").number, int)
        carol = await server.connect_async()
        assert_type((await carol.send("bob", "hi")).number, int)
        assert_type(len(alice.list_accounts()), int)
        chatlab.serve(["text", "grpc"], OwnCodec, OwnCodec(), OwnTransport())
        alice.sendd("bob", "hi")  # wrong: no such verb
        alice.send("bob", 5)  # wrong: a number for a text
        carol.send("bob", "hi").number  # wrong: not awaited
        chatlab.serve("text", prot=5)  # wrong: no such argument
        chatlab.serve("text", engine="thread")  # wrong: no such engine
        chatlab.serve(5)  # wrong: no protocol
        chatlab.compare("text", "grpc", clients="many")  # wrong: no number
        chatlab.serv("text")  # wrong: no such name
        chatlab.messages.Send("bob", 5)  # wrong: a number for a text
"""
WRONG = [number for number, line in enumerate(SCRIPT.splitlines(), 1) if "# wrong" in line]
CHECKERS = {
    "mypy": ["-m", "mypy", "--no-error-summary", "--cache-dir", ".mypy"],
    "pyright": ["-m", "basedpyright", "--level", "error", "--pythonpath", sys.executable],
}


@pytest.fixture(scope="module", params=CHECKERS)
def said(request, tmp_path_factory):
    """What a type checker prints about the script, line by line: the number of the line, and the message."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, *CHECKERS[request.param], "script.py"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder,
        env=os.environ | dict.fromkeys(["PYTHONPATH", "MYPYPATH"], str(FACE.parents[1])),
    )
    lines = [re.match(r".*script\.py:(\d+)(?::\d+)?:? ?-? ?(.*)", line) for line in done.stdout.splitlines()]
    return [(int(line[1]), line[2]) for line in lines if line]


def test_a_type_checker_knows_what_each_verb_takes_and_returns(said):
    assert sorted({number for number, message in said if "error" in message}) == WRONG


def test_an_editor_offers_the_public_names():
    jedi = pytest.importorskip("jedi")
    project = jedi.Project(FACE.parents[1])
    offered = [each.name for each in jedi.Script("import chatlab\nchatlab.ser", project=project).complete(2, 11)]
    assert "serve" in offered
    script = 'import chatlab\nserver = chatlab.serve("text")\nserver.'
    assert {"users", "connect", "close", "log"} <= {
        each.name for each in jedi.Script(script, project=project).complete(3, 7)
    }
