"""What a person types at a shell: parse, call, print.

A subcommand is an entry of `COMMANDS`: a sentence, the function that names its arguments, and the function that does it
and returns the exit code. What goes wrong is one line on standard error and exit code 1, or 2 for a wrong argument.
"""

import argparse
import asyncio
import codecs
import errno
import os
import queue
import re
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from chatlab import __version__

from .. import harness
from ..messages import ConnectionLost, ProtocolError
from ..transport import registry
from ..transport.interface import ENGINES, Implementation
from .screen import escape_control

WORKING = "\t\t\t\tSERVER WORKING"
STOPPED = "\t\t\t\tSERVER STOPPED"
LAST_PORT = 65535
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    _prepare_streams()
    try:
        try:
            options = _parser().parse_args(arguments)
            return options.run(options)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where it can still be said that it failed
    except KeyboardInterrupt:
        print("chatlab: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        _discard_output()
        return 1
    except OSError as error:
        _discard_output()
        sys.exit(f"chatlab: the output cannot be written: {error.strerror or error}")


def _discard_output() -> None:
    """Or Python would try once more to write what is left, when it ends, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


#: What stands for a character that an encoding lacks.
PLAIN_CHARACTERS = {
    **{"─": "-", "–": "-", "−": "-", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'", "\N{NO-BREAK SPACE}": " "},
    **{"×": "x", "µ": "u", "±": "+-", "✓": "ok", "✗": "x", "†": "+", "·": ".", "→": "->", "≥": ">=", "≤": "<="},
}


def plain_substitute(error: UnicodeError) -> tuple[str, int]:
    """An error handler for `encode`: the plain character for each of ours, and an escape for any other."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = "".join(PLAIN_CHARACTERS.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return plain, error.end


def _prepare_streams() -> None:
    """Neither what others write nor what is typed can break a stream, whatever the terminal's encoding."""
    codecs.register_error("chatlab-plain", plain_substitute)
    for stream, errors in (sys.stdin, "replace"), (sys.stdout, "chatlab-plain"), (sys.stderr, "chatlab-plain"):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatlab",
        description="One chat, carried in many ways, and what each of them costs.",
        epilog=f"documentation: {_documentation()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # which breaks no line in the midst of a path
    )
    parser.add_argument("-V", "--version", action="version", version=f"chatlab {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.what, description=f"{command.what[0].upper()}{command.what[1:]}.")
        command.arguments(one)
        one.set_defaults(run=command.run, fail=one.error)
    return parser


def _documentation() -> Path:
    """The folder of protocol.md and the others: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "docs"
    return installed if installed.is_dir() else package.parent / "docs"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {LAST_PORT}, not {text!r}")
    return int(text)


def _implementation(name: str, options: argparse.Namespace) -> Implementation:
    """What the protocol's name stands for; the parser's error where it stands for nothing."""
    if ":" in name and "" not in sys.path:
        sys.path.insert(0, "")  # a reader's own module lies where they stand
    try:
        return registry.resolve(name)
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        _fail(options, error)


def _fail(options: argparse.Namespace, why: object) -> NoReturn:
    """End with the subcommand's usage, the reason, and exit code 2."""
    options.fail(f"{why}")
    raise AssertionError("the parser has ended the program")


# ---- serve ------------------------------------------------------------------------------------------------------


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("protocols", nargs="*", default=["text"], metavar="PROTOCOL", help=_protocols_help("text"))
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (%(default)s: this machine only)")
    parser.add_argument(
        "--port", type=_port, metavar="N", help=f"the first protocol's port, the next takes N+1 ({_ports_help()})"
    )
    parser.add_argument("--engine", choices=ENGINES, default="loop", help="one event loop, or threads for each client")
    parser.add_argument(
        "--store", default="memory", metavar="FILE", help="keep the chat in this SQLite file (otherwise in memory)"
    )
    parser.add_argument("--password-required", action="store_true", help="take no account without a password")


def _serve(options: argparse.Namespace) -> int:
    names = [_implementation(name, options).name for name in options.protocols]
    ports = {name: registry.PORTS.get(name, 0) for name in names} if options.port is None else options.port
    if options.port and options.port + len(options.protocols) - 1 > LAST_PORT:
        _fail(options, f"{len(options.protocols)} ports from {options.port} on go past {LAST_PORT}")
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # what to print; None is the end
    with _signals_end(lines):
        server = _started(options, ports)
        server.log.follow(lines.put)
        _print_endpoints(server, options.host)
        _print_all(lines)
    server.close()
    lines.put(None)
    _print_all(lines)
    print(f"\n{STOPPED}", flush=True)
    return 0


@contextmanager
def _signals_end(lines: "queue.SimpleQueue[str | None]"):
    """Inside, Ctrl-C and a polite kill put an end to the lines; outside, they interrupt as ever."""
    before = {number: signal.signal(number, lambda *_: lines.put(None)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _started(options: argparse.Namespace, ports: int | dict[str, int]) -> harness.Server:
    try:
        return harness.serve(
            *options.protocols,
            engine=options.engine,
            host=options.host,
            port=ports,
            store=None if options.store == "memory" else options.store,
            password_required=options.password_required,
        )
    except ValueError as error:
        sys.exit(f"chatlab serve: {error}")
    except OSError as error:
        other = "--host names another address"
        if error.errno in (errno.EADDRINUSE, errno.EACCES, None):
            other = "--port N names another port, --host another address"
        sys.exit(f"chatlab serve: {error.strerror or error}; {other}")


def _print_endpoints(server: harness.Server, host: str) -> None:
    print(f"{WORKING}\n")
    for name, (_, port) in server.addresses.items():
        words = ["chatlab chat", "127.0.0.1" if host in LOOPBACK else "HOST"]
        words += [f"--protocol {name}"] * (name != "text") + [f"--port {port}"] * (port != registry.PORTS.get(name))
        print(f"{name:12} {host}, port {port:<7} {' '.join(words)}")
    if host not in LOOPBACK:
        print("Whoever reaches this machine can come in, and nothing on the way is encrypted.")
    print("Ctrl-C stops it.\n", flush=True)


def _print_all(lines: "queue.SimpleQueue[str | None]") -> None:
    """Print the lines as they come, from this thread only, until the end."""
    while True:
        try:
            line = lines.get(timeout=1)  # Windows interrupts no wait, so none may be long
        except queue.Empty:
            continue
        if line is None:
            return
        print(escape_control(line), flush=True)


def _protocols_help(default: str) -> str:
    return f"{', '.join(registry.PROTOCOLS)}, or module:NAME of your own ({default})"


def _ports_help() -> str:
    return ", ".join(f"{name} {port}" for name, port in registry.PORTS.items())


# ---- chat -------------------------------------------------------------------------------------------------------


def _chat_arguments(parser: argparse.ArgumentParser) -> None:
    what = "where the server runs, as localhost or 192.0.2.7:2428"
    parser.add_argument("host", type=_host_and_port, metavar="HOST[:PORT]", help=what)
    parser.add_argument("--protocol", default="text", help=_protocols_help("%(default)s"))
    parser.add_argument("--port", type=_port, metavar="N", help=f"the server's port ({_ports_help()})")
    parser.add_argument("--name", default="", help="the user's name; asked for if not given")
    parser.add_argument("--password", action="store_true", help="ask for a password, also for a new account")


def _host_and_port(text: str) -> tuple[str, int | None]:
    """A host, with its port where one follows a colon; an address of IPv6 is in brackets then.

    >>> _host_and_port("localhost:2428"), _host_and_port("::1"), _host_and_port("[::1]:80")
    (('localhost', 2428), ('::1', None), ('::1', 80))
    """
    match = re.fullmatch(
        r"\[(?P<v6>[^][]+)\](:(?P<v6_port>.*))?|(?P<host>[^:]+)(:(?P<port>.*))?|(?P<bare>.*:.*:.*)", text
    )
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST or HOST:PORT")
    host = match["v6"] or match["host"] or match["bare"]
    port = match["v6_port"] if match["v6"] else match["port"]
    try:
        host.encode("idna")
    except UnicodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name or the address of a host") from None
    return host, None if port is None else _port(port)


def _chat(options: argparse.Namespace) -> int:
    from . import terminal

    implementation = _implementation(options.protocol, options)
    host, port = options.host
    if port is not None and options.port not in (None, port):
        _fail(options, f"the server's port is given twice, as {port} and as {options.port}")
    port = options.port if port is None else port
    port = registry.PORTS.get(implementation.name) if port is None else port
    if port is None:
        _fail(options, f"{options.protocol} has no port of its own; --port N names the server's")
    try:
        dial = implementation.connect_async((host, port))
        return asyncio.run(terminal.chat(dial, options.name, options.password))
    except (ConnectionLost, ProtocolError) as error:
        sys.exit(f"chatlab chat: {escape_control(str(error))}")


# ---- lab --------------------------------------------------------------------------------------------------------


def _lab_arguments(parser: argparse.ArgumentParser) -> None:
    what = "work on a copy of the notebooks in this folder, made where it holds none yet"
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help=what)
    parser.add_argument("--port", type=_port, metavar="N", help="JupyterLab's port (8888, or the next that is free)")
    parser.add_argument("--no-browser", action="store_true", help="only say which address to open")


def _lab(options: argparse.Namespace) -> int:
    from .jupyter import open_lab

    try:
        open_lab(options.folder, options.port, browser=not options.no_browser)
    except (ImportError, OSError) as error:
        sys.exit(f"chatlab lab: {error}")


# ---- compare ----------------------------------------------------------------------------------------------------


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "protocols",
        nargs="*",
        default=["text", "grpc", "grpc-stream"],
        metavar="PROTOCOL",
        help=_protocols_help("text grpc grpc-stream"),
    )
    parser.add_argument(
        "--out", default="comparison", metavar="DIR", help="where the report, pictures and data go (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer clients and rounds, no open loop: half a minute")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="decides the texts and the order (%(default)s)"
    )


def _compare(options: argparse.Namespace) -> int:
    for name in options.protocols:
        _implementation(name, options)
    if len(set(options.protocols)) < len(options.protocols):
        _fail(options, "a protocol is compared with others, not with itself")
    from .comparison import run_comparison

    try:
        run_comparison(options.protocols, options.out, options.quick, options.seed)
    except (OSError, RuntimeError, AssertionError) as error:
        sys.exit(f"chatlab compare: {error}")
    return 0


# ---- check ------------------------------------------------------------------------------------------------------


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("protocol", metavar="PROTOCOL", help=_protocols_help("no default"))
    parser.add_argument("--only", default="", metavar="WORDS", help="only the cases whose name contains these words")


def _check(options: argparse.Namespace) -> int:
    from ..conformance.runner import check

    _implementation(options.protocol, options)
    try:
        report = check(options.protocol, only=options.only)
    except ValueError as error:
        _fail(options, f"{error}")
    print(report)
    return 0 if report.passed else 1


# ---- complexity -------------------------------------------------------------------------------------------------


def _complexity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("protocols", nargs="*", metavar="PROTOCOL", help=_protocols_help("all of ours"))


def _complexity(options: argparse.Namespace) -> int:
    from ..measurement.code_complexity.complexity_table import complexity

    for name in options.protocols:
        if name not in registry.PROTOCOLS:
            _implementation(name, options)
    try:
        print(complexity(*options.protocols))
    except ValueError as error:
        _fail(options, f"{error}")
    return 0


# ---- all of them ------------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """What it does, which arguments it has, and what does it."""

    what: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "serve": Command("run a chat server, and print who comes and goes", _serve_arguments, _serve),
    "chat": Command("join a chat as one user, in this terminal", _chat_arguments, _chat),
    "compare": Command("measure protocols side by side, and write a report of it", _compare_arguments, _compare),
    "complexity": Command("count the code of protocols: client, server and tests", _complexity_arguments, _complexity),
    "lab": Command("open the notebooks in JupyterLab", _lab_arguments, _lab),
    "check": Command("try a protocol of your own, case by case", _check_arguments, _check),
}
