"""Writes chatlab/proto/chat_pb2.py, .pyi and chat_pb2_grpc.py from chat.proto, with the oldest gRPC that we support.

Stubs load on the gRPC that wrote them and on newer ones, never on older ones. So the version that is the lower bound in
pyproject.toml writes them, in an environment of its own (.venv-proto). With --check nothing is written; the exit
code is 1 where the committed stubs are not what chat.proto says.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Given to protoc as this path, from the root: the stubs then import each other by their full name, and in protobuf's
# global pool the file has another name than a reader's own chat.proto.
PROTO = Path("chatlab/proto/chat.proto")
STUBS = ("chat_pb2.py", "chat_pb2.pyi", "chat_pb2_grpc.py")
VENV = ROOT / ".venv-proto"

# protobuf 6 warns on stderr that a stub of protobuf 5 is old, though it loads, as it does on 7; in a notebook that
# would be part of the first cell. pip keeps to the lower bound, so the check protects from nothing.
VERSION_CHECK = re.compile(
    r"from google\.protobuf import runtime_version as _runtime_version\n"
    r"|_runtime_version\.ValidateProtobufRuntimeVersion\(\n(?: .*\n)*\)\n"
)


def floor(package: str) -> str:
    """The lower bound of a dependency, as pyproject.toml declares it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bound,) = [line.split(">=")[1] for line in project["dependencies"] if line.split(">=")[0] == package]
    return bound


def generate(out: Path) -> None:
    """Writes the stubs under `out`. Needs grpc_tools in the Python that runs this."""
    options = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *options, PROTO.as_posix()], cwd=ROOT, check=True)
    messages = out / PROTO.with_name("chat_pb2.py")
    text, removed = VERSION_CHECK.subn("", messages.read_text(encoding="utf-8"))
    if removed != 2:
        sys.exit(
            f"Expected one import and one call of the version check in {messages.name}, found {removed} of the two."
        )
    messages.write_text(text, encoding="utf-8", newline="\n")


def differing(out: Path) -> list[str]:
    """The committed stubs that are not what was just generated under `out`."""
    folder = PROTO.parent
    return [
        name
        for name in STUBS
        if not (ROOT / folder / name).exists()
        or (ROOT / folder / name).read_text(encoding="utf-8") != (out / folder / name).read_text(encoding="utf-8")
    ]


def has_tools(version: str) -> bool:
    try:
        return metadata.version("grpcio-tools") == version
    except metadata.PackageNotFoundError:
        return False


def start_again_with_tools(version: str) -> int:
    """Runs this file once more, in an environment that holds the grpcio-tools of that version."""
    bins = VENV / ("Scripts" if sys.platform == "win32" else "bin")
    python = bins / "python"
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ]
    subprocess.run([*pip, f"grpcio-tools=={version}", f"grpcio=={version}", "setuptools"], check=True)
    return subprocess.run([python, __file__, *sys.argv[1:]]).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the stubs are not up to date")
    args = parser.parse_args()
    version = floor("grpcio")
    if not has_tools(version):
        return start_again_with_tools(version)
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        names = differing(Path(folder))
        if args.check:
            print(
                f"Not what {PROTO} says: {', '.join(names)}. Run `make proto`."
                if names
                else "The stubs are up to date."
            )
            return 1 if names else 0
        for name in STUBS:
            text = (Path(folder) / PROTO.with_name(name)).read_text(encoding="utf-8")
            (ROOT / PROTO.with_name(name)).write_text(text, encoding="utf-8", newline="\n")
            print(f"{'wrote' if name in names else 'same '} {PROTO.with_name(name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
