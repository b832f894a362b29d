"""The command line: as a person meets it at a shell, in processes of its own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pty_terminal import Window, served

import chatlab
from chatlab import harness
from chatlab.chat.hub import Hub
from chatlab.chat.service import Chat
from chatlab.cli.fitted_table import fitted
from chatlab.cli.main import COMMANDS, main
from chatlab.display.tables import Table
from chatlab.messages import Done
from chatlab.transport import registry

DEADLINE_S = 60.0
ROOT = Path(chatlab.__file__).resolve().parent.parent


def run(*words: str, typed: str = "", **options) -> subprocess.CompletedProcess:
    """`python -m chatlab` with these words, to its end."""
    command = [sys.executable, "-m", "chatlab", *words]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=DEADLINE_S, **options)


@pytest.fixture
def taken():
    """A port of which somebody else is the owner."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


# ---- what every subcommand shares -------------------------------------------------------------------------------


def test_it_tells_its_version(capsys):
    with pytest.raises(SystemExit, match="^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"chatlab {chatlab.__version__}\n"


def test_help_names_every_subcommand(capsys):
    with pytest.raises(SystemExit, match="^0$"):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(f"\n    {name} " in said for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_explains_itself(name, capsys):
    with pytest.raises(SystemExit, match="^0$"):
        main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: chatlab {name} ")


def test_it_runs_as_a_module_from_a_fresh_shell(tmp_path):
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = run("--version", cwd=tmp_path, env=environment)
    assert (done.stdout, done.stderr, done.returncode) == (f"chatlab {chatlab.__version__}\n", "", 0)


def test_help_loads_neither_grpc_nor_a_terminal():
    program = "import sys; from chatlab.cli.main import _parser; _parser()"
    program += "; print(sorted({'grpc', 'prompt_toolkit', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT).stdout == "[]\n"


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["serve", "telegraph"], "no protocol is called 'telegraph'; there are text, "),
        (["serve", "nowhere:CODEC"], "No module named 'nowhere'"),
        (["serve", "--port", "65536"], "a port is a number from 0 to 65535, not '65536'"),
        (["serve", "text", "grpc", "--port", "65535"], "2 ports from 65535 on go past 65535"),
        (["serve", "--engine", "steam"], "invalid choice: 'steam'"),
        (["chat", "127.0.0.1", "--protocol", "telegraph"], "no protocol is called 'telegraph'; there are text, "),
        (["check", "text", "--only", "zzz"], "no case is called 'zzz'"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_argument_is_named(words, complaint, capsys):
    with pytest.raises(SystemExit, match="^2$"):
        main(words)
    assert complaint in capsys.readouterr().err


# ---- serve ------------------------------------------------------------------------------------------------------


def test_every_protocol_has_a_port_of_its_own():
    assert set(registry.PORTS) == set(registry.PROTOCOLS)
    assert len(set(registry.PORTS.values())) == len(registry.PORTS) and registry.PORTS["text"] == 2428


def test_a_server_says_that_it_works_centred_by_tabs_and_how_to_reach_it():
    with subprocess.Popen(
        [sys.executable, "-m", "chatlab", "serve", "text", "grpc", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        lines = [server.stdout.readline() for _ in range(6)]
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=DEADLINE_S)[0]
    assert lines[:2] == ["\t\t\t\tSERVER WORKING\n", "\n"] and lines[4] == "Ctrl-C stops it.\n"
    assert lines[2].startswith("text         127.0.0.1, port ") and " chatlab chat 127.0.0.1 --port " in lines[2]
    assert (
        lines[3].startswith("grpc         127.0.0.1, port ")
        and "chatlab chat 127.0.0.1 --protocol grpc --port " in lines[3]
    )
    assert rest == "\n\t\t\t\tSERVER STOPPED\n" and server.returncode == 0


@pytest.mark.parametrize("engine", harness.ENGINES)
@pytest.mark.parametrize("how", ["ctrl-c", "terminate"])
def test_a_server_ends_cleanly_and_sends_its_guests_home(how, engine):
    window, ports = served("text", "grpc", "--engine", engine)
    with window:
        guests = [chatlab.connect("127.0.0.1", int(ports[protocol]), protocol) for protocol in ports]
        for name, guest in zip(("tesla", "albert"), guests):
            guest.create_account(name)
            line = window.shows_part(f"connected  [ {name} ]")
            assert line.startswith("Client (127.0.0.1, ")
        window.type("\x03") if how == "ctrl-c" else window.process.terminate()
        assert window.ends() == 0
        assert "SERVER STOPPED" in window.lines[-1]
        assert {f"is offline  [ {name} ]" for name in ("tesla", "albert")} == {
            line[line.index("is off") :] for line in window.lines[-3:-1]
        }
        for guest in guests:
            with pytest.raises(chatlab.ConnectionLost, match="the server stops"):
                while True:
                    guest.receive(5)
            guest.close()


@pytest.mark.parametrize("protocol", ["text", "grpc"])
@pytest.mark.parametrize("engine", harness.ENGINES)
def test_a_port_in_use_is_one_line_and_exit_code_1(taken, protocol, engine):
    done = run("serve", protocol, "--port", taken, "--engine", engine)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.splitlines() == [
        f"chatlab serve: cannot listen at 127.0.0.1, port {taken}: Address already in use;"
        " --port N names another port, --host another address"
    ]


def test_where_the_host_is_unknown_no_other_port_is_proposed():
    done = run("serve", "--host", "nowhere.invalid")
    assert (
        done.returncode == 1
        and done.stderr.endswith("; --host names another address\n")
        and "--port" not in done.stderr
    )


def test_a_store_in_a_folder_that_is_missing_is_said_so():
    done = run("serve", "--store", "/no/where/chat.db")
    assert (done.returncode, done.stderr) == (
        1,
        "chatlab serve: the store's file cannot be made: there is no folder '/no/where'\n",
    )


def test_several_protocols_take_one_port_after_the_other():
    for first in range(20_000, 60_000, 997):  # two neighbours that nobody has
        try:
            for port in first, first + 1:
                socket.create_server(("127.0.0.1", port)).close()
            break
        except OSError:
            continue
    with Window("serve", "text", "json", "--port", str(first)) as window:
        window.shows_part(f"text         127.0.0.1, port {first}")
        window.shows_part(f"json         127.0.0.1, port {first + 1}")


def test_a_codec_of_ones_own_is_found_where_one_stands(tmp_path):
    (tmp_path / "mine.py").write_text("from chatlab import TextCodec\nclass Shout(TextCodec):\n    name = 'shout'\n")
    with Window("serve", "mine:Shout", cwd=str(tmp_path)) as window:
        assert window.shows_part("shout ").startswith("shout        127.0.0.1, port ")


def test_a_server_can_demand_passwords():
    window, ports = served("text", "--password-required")
    with window:
        done = run("chat", "127.0.0.1", "--port", ports["text"], typed="ada\nsesame\ntata\n")
        assert done.stdout.splitlines()[1:4] == [
            "Enter username: ada",
            "Enter password: ",
            "Welcome to chat room. Enter 'tata' anytime to exit",
        ]


def test_a_store_outlives_its_server(tmp_path):
    for known in "a new account, number 1.", "account 1, as before.":
        window, ports = served("text", "--store", str(tmp_path / "chat.db"))
        with window:
            done = run("chat", "127.0.0.1", "--port", ports["text"], "--name", "ada")
            assert f"You are ada, {known}" in done.stdout.splitlines()
            window.type("\x03")
            assert window.ends() == 0


def test_a_store_that_is_none_is_one_line_and_exit_code_1(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Ada, " * 1000)
    done = run("serve", "--port", "0", "--store", str(tmp_path / "letter.txt"))
    assert done.returncode == 1 and done.stderr.startswith(
        f"chatlab serve: {tmp_path / 'letter.txt'} is not a chatlab store"
    )
    assert len(done.stderr.splitlines()) == 1


# ---- chat -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["text", "grpc"])
def test_a_chat_where_nobody_answers_is_one_line_and_exit_code_1(protocol):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, so that nobody takes it, and not listening
        port = str(nobody.getsockname()[1])
        done = run("chat", "127.0.0.1", "--port", port, "--protocol", protocol)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith(f"chatlab chat: cannot connect to 127.0.0.1:{port}: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_chat_works_in_a_pipe_line_by_line():
    with chatlab.serve("text") as server:
        done = run("chat", "127.0.0.1", "--port", str(server.address[1]), typed="tesla\nhello\n/balance\ntata\nnever\n")
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (
        [
            "CREATING NEW ID:",
            "Enter username: tesla",
            "Welcome to chat room. Enter 'tata' anytime to exit",
            "You are tesla, a new account, number 1.",
            "You: hello",
            "You: /balance",
            "Your balance is 0 credits.",
            "You: tata",
            "DISCONNECTED!!",
        ],
        "",
        0,
    )


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["a..b"], "'a..b' is not the name or the address of a host"),
        (["localhost:many"], "a port is a number from 0 to 65535, not 'many'"),
        (["localhost:80", "--port", "81"], "the server's port is given twice, as 80 and as 81"),
        ([":80"], "':80' is not HOST or HOST:PORT"),
    ],
)
def test_a_host_that_is_none_is_named(words, complaint, capsys):
    with pytest.raises(SystemExit, match="^2$"):
        main(["chat", *words])
    assert complaint in capsys.readouterr().err


def test_a_host_may_bring_its_port():
    with chatlab.serve("text") as server:
        done = run("chat", f"localhost:{server.address[1]}", "--name", "ada", typed="tata\n")
    assert (done.stdout.splitlines()[-1], done.stderr, done.returncode) == ("DISCONNECTED!!", "", 0)


def test_who_never_gets_in_ends_with_exit_code_1():
    with chatlab.serve("text") as server:
        done = run("chat", f"127.0.0.1:{server.address[1]}", "--name", "al ice")
    assert done.returncode == 1 and "Not done (BAD_NAME)" in done.stdout


def test_a_server_that_answers_the_wrong_thing_is_said_not_to_speak_as_it_should():
    class Absent(Chat):
        def unread(self, session, request):
            return Done(), []

    hub = Hub(Absent())
    endpoint = chatlab.resolve("text").serve(hub, port=0)
    try:
        done = run("chat", f"127.0.0.1:{endpoint.address[1]}", "--name", "ada", typed="/unread\n")
    finally:
        endpoint.close()
    assert "the server does not speak the protocol as it should: it answered Unread with Done" in done.stdout
    assert not done.stderr and "Traceback" not in done.stdout


# ---- output that cannot be written ------------------------------------------------------------------------------

SHELL = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}


def shell(line: str, **environment: str) -> subprocess.CompletedProcess:
    """A line of sh in which `$CHATLAB` is this chatlab."""
    own = {**SHELL, "CHATLAB": f"{sys.executable} -m chatlab", **environment}
    own.pop("PYTHONUNBUFFERED", None)
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=DEADLINE_S, env=own)


def test_a_pipe_that_nobody_reads_ends_it_quietly():
    done = shell("$CHATLAB complexity text | true; echo ${PIPESTATUS[0]}")
    assert (done.stdout.strip() in ("0", "1"), done.stderr) == (True, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device is always full here")
def test_a_full_disk_is_one_line_and_exit_code_1():
    done = shell("$CHATLAB complexity text > /dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        "chatlab: the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_an_encoding_lacks_has_a_plain_substitute(encoding):
    done = shell("$CHATLAB complexity text", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0 and "----------" in done.stdout and "\\u" not in done.stdout


def test_it_works_where_standard_error_is_closed():
    done = shell("$CHATLAB complexity text 2>&-")
    assert done.returncode == 0 and done.stdout.startswith("Code\n")


def test_an_interrupt_in_the_first_second_is_one_line(tmp_path):
    program = "import sys; from chatlab.cli import main as cli\n" + INTERRUPTED_AT_ONCE
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=SHELL)
    assert (done.returncode, done.stderr) == (130, "chatlab: interrupted\n")


INTERRUPTED_AT_ONCE = """
from chatlab.cli import comparison
def interrupted(*protocols): raise KeyboardInterrupt
comparison.complexity = interrupted
sys.exit(cli.main(["compare", "text", "--quick", "--out", sys.argv[1]]))
"""


# ---- tables in a narrow terminal --------------------------------------------------------------------------------

WIDE = Table("Wide", ("who", *(f"number {n}" for n in range(9))), (("ada", *map(str, range(9))),), ("word " * 30,))


@pytest.mark.parametrize("cells", [20, 40, 80])
def test_a_wide_table_is_folded_with_its_labels_repeated_and_loses_nothing(cells):
    lines = fitted(WIDE, cells).splitlines()
    assert max(map(len, lines)) <= cells
    assert " ".join(lines).count("number") == 9 and sum(line.startswith("ada ") for line in lines) > 1
    assert " ".join(lines).count("word") == 30 and not any("number" in line for line in lines[-3:])


def test_a_table_that_fits_stays_as_it_is():
    assert fitted(WIDE, 1000) == WIDE.text()


def test_an_encoding_that_lacks_a_letter_harms_nothing():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with chatlab.serve("text") as server:
        done = run(
            "chat",
            "127.0.0.1",
            "--port",
            str(server.address[1]),
            "--name",
            "ada",
            typed="/msg ada ¡olé!\n",
            env=environment,
        )
    assert done.returncode == 0 and r"ada (to you): \xa1ol\xe9!" in done.stdout
