"""The lower bounds in pyproject.toml are promises: in an environment of exactly these, a chat crosses both transports.

The newest end needs no test of its own: it is what `make setup` installs and what every other test runs on.
"""

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FLOORED = ("argon2-cffi", "grpcio", "grpcio-health-checking", "grpcio-reflection", "msgspec", "protobuf")
NEWEST_WITH_WHEELS = (3, 13)  # the bounds are older than any later Python

CHAT = """
import chatlab.proto.chat_pb2_grpc
import chatlab
server = chatlab.serve("text", "grpc")
a, b = server.connect("text"), server.connect("grpc")
a.create_account("ann")
b.create_account("ben")
a.send("ben", "hi")
assert b.receive(timeout_s=5).text == "hi"
b.send("ann", "hello")
assert a.receive(timeout_s=5).text == "hello"
server.close()
"""

INSTALLED = "from importlib.metadata import version; import sys; print(*map(version, sys.argv[1:]))"


def bounds():
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    every = dict(line.split(">=") for line in lines)
    return {name: every[name] for name in FLOORED}


def run(python, *arguments, timeout_s=300):
    # With this folder's chatlab, and with no packages besides those of that Python's environment.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONNOUSERSITE": "1"}
    return subprocess.run(
        [python, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s
    )


def index_is_out_of_reach(complaint):
    """Whether pip got no answer, or an empty one. A bound that no release meets is another matter."""
    return "connection broken by" in complaint or "from versions: none" in complaint


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """A Python whose environment holds the lower bounds of what carries a chat, and grpcio-tools to match."""
    if sys.version_info[:2] > NEWEST_WITH_WHEELS:
        pytest.skip("the lower bounds were released before this Python")
    folder = tmp_path_factory.mktemp("floors")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = bounds()
    pins = [f"{name}=={bound}" for name, bound in wanted.items()] + [f"grpcio-tools=={wanted['grpcio']}"]
    pip = [
        "-m",
        "pip",
        f"--python={python}",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries=1",
        "--only-binary=:all:",
    ]
    done = run(sys.executable, *pip, *pins)
    if done.returncode and index_is_out_of_reach(done.stderr):
        pytest.skip("pip reaches no package index")
    assert done.returncode == 0, done.stderr
    return python


def test_the_environment_holds_the_bounds_themselves(old_python):
    wanted = bounds()
    shown = run(old_python, "-c", INSTALLED, *wanted).stdout.split()
    for (name, bound), version in zip(wanted.items(), shown, strict=True):
        assert re.fullmatch(re.escape(bound) + r"(\.0)*", version), name


def test_a_chat_crosses_both_doors_on_the_lower_bounds(old_python):
    done = run(old_python, "-W", "error::UserWarning", "-c", CHAT, timeout_s=60)
    assert done.returncode == 0, done.stderr


def test_the_committed_stubs_are_what_the_proto_file_says(old_python):
    done = run(old_python, "tools/make_stubs.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stubs_were_written_for_the_lower_bounds():
    messages = (ROOT / "chatlab/proto/chat_pb2.py").read_text(encoding="utf-8")
    service = (ROOT / "chatlab/proto/chat_pb2_grpc.py").read_text(encoding="utf-8")
    assert f"# Protobuf Python Version: {bounds()['protobuf']}\n" in messages
    assert f"GRPC_GENERATED_VERSION = '{bounds()['grpcio']}'\n" in service


def test_the_stubs_do_not_warn_on_a_newer_protobuf():
    assert "ValidateProtobufRuntimeVersion" not in (ROOT / "chatlab/proto/chat_pb2.py").read_text(encoding="utf-8")
