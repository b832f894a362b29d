"""Servers that a cell starts and that end with the kernel, in this process and in their own; scripts on threads."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from processes import is_alive
from raw_client import DEADLINE_S, in_a_loop, until

import chatlab
from chatlab.chat.storage import MemoryStore
from chatlab.codecs.text import TextCodec
from chatlab.messages import Arrived, ChatError, ConnectionLost, Goodbye

PLACES = pytest.mark.parametrize("where", ["thread", "process"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    chatlab.stop_all()


def python(program, *args, **options):
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([sys.executable, "-c", program, *args], **pipes | options)


def ran(program, *args):
    process = python(program, *args)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out


# ---- a server ---------------------------------------------------------------------------------------------------


@PLACES
@PROTOCOLS
def test_a_cell_starts_a_server_and_two_users_talk(no_background_output, where, protocol):
    with chatlab.serve(protocol, where=where) as server:
        ann, bob = server.users("ann", "bob")
        ann.send("bob", "hi")
        assert bob.receive(DEADLINE_S) == Arrived(1, "ann", "hi")


@PLACES
def test_one_chat_has_two_doors(no_background_output, where):
    with chatlab.serve("text", "grpc", where=where) as server:
        ann, bob = server.users("ann", "bob", protocol={"ann": "text", "bob": "grpc"})
        ann.send("bob", "hi")
        assert bob.receive(DEADLINE_S).text == "hi"


@PLACES
def test_a_closed_server_is_gone_from_its_port(where):
    server = chatlab.serve("text", where=where)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, DEADLINE_S)


@PLACES
def test_its_users_are_told_that_it_stops(where):
    server = chatlab.serve("text", where=where)
    stranger = chatlab.connect(*server.address)
    server.close()
    assert stranger.receive(DEADLINE_S) == Goodbye("the server stops")


def test_closing_twice_is_fine():
    server = chatlab.serve("text", where="process")
    server.close()
    server.close()
    assert not server.running


@PLACES
def test_a_port_is_free_again_at_once(where):
    server = chatlab.serve("text", where=where)
    server.users("ann")
    server.close()
    again = chatlab.serve("text", where=where, port=server.address[1])
    assert again.address == server.address


def test_running_a_cell_again_replaces_its_server():
    first = chatlab.serve("text")
    second = chatlab.serve("text")
    assert (first.running, second.running) == (False, True)


def test_servers_of_different_names_live_side_by_side():
    first, second = chatlab.serve("text", name="one"), chatlab.serve("text", name="two")
    assert first.running and second.running


def test_a_server_that_a_with_block_holds_is_not_replaced():
    with chatlab.serve("text") as held:
        chatlab.serve("text")
        assert held.running


def test_stop_all_ends_every_server():
    with chatlab.serve("text") as held:
        other = chatlab.serve("text", name="other", where="process")
        chatlab.stop_all()
        assert not held.running and not other.running


def test_users_are_logged_in_to_accounts_that_exist():
    with chatlab.serve("text") as server:
        (first,) = server.users("ann")
        (second,) = server.users("ann")
        assert second.account.id == first.account.id


def test_an_async_client_speaks_in_the_running_loop():
    async def ask(server):
        async with await server.connect_async() as ann:
            return (await ann.create_account("ann")).name

    with chatlab.serve("text") as server:
        assert in_a_loop(ask(server)) == "ann"


def test_the_log_says_who_came_and_who_left():
    with chatlab.serve("text") as server:
        server.users("ann")[0].close()
        until(lambda: len(server.log) == 2)
        assert [line.split(") ")[1] for line in server.log] == ["connected  [ ann ]", "is offline  [ ann ]"]


def test_nothing_is_printed_while_many_come_and_go(no_background_output, engine):
    with chatlab.serve("text", "grpc", "grpc-stream", engine=engine) as server:
        for protocol in server.addresses:
            for client in server.users(*(f"{protocol}{n}" for n in range(5)), protocol=protocol):
                client.close()


@pytest.mark.parametrize(
    "wrong, why",
    [
        (dict(engine="fast"), "engine is 'loop' or 'threads', not 'fast'"),
        (dict(where="cloud"), "where is 'thread' or 'process', not 'cloud'"),
        (dict(port=-1), "a port is a number from 0 to 65535, not -1"),
        (dict(port="7"), "a port is a number from 0 to 65535, not '7'"),
        (dict(port={"text": 65536}), "a port is a number from 0 to 65535, not 65536"),
        (dict(port={"grpc": 5}), "a port is given for 'grpc', and what is served is text"),
        (dict(host=5), "a host is a machine's name or address, .*, not 5"),
        (dict(store="/no/where/chat.db"), "there is no folder '/no/where'"),
        (dict(store=5), "store is None, the path of an SQLite file, or a store .*, not 5"),
        (dict(store=MemoryStore(), where="process"), "would work on a copy .* give it None or a path"),
        (dict(limits=5), "limits is a Limits, not 5"),
        (dict(name=5), "name is a str or None, not 5"),
    ],
)
def test_a_wrong_choice_is_answered_with_the_right_ones(wrong, why):
    with pytest.raises(ValueError, match=why):
        chatlab.serve("text", **wrong)


def test_ports_one_after_the_other_end_at_the_last():
    with pytest.raises(ValueError, match="2 ports from 65535 on go past 65535"):
        chatlab.serve("text", "grpc", port=65535)


def test_one_list_of_protocols_is_understood():
    with chatlab.serve(["text", "grpc"]) as server:
        assert list(server.addresses) == ["text", "grpc"]


def test_a_list_among_other_protocols_is_refused_in_words():
    with pytest.raises(ValueError, match=r"side by side, or as one list; \['text', 'grpc'\] is a list among others"):
        chatlab.serve("json", ["text", "grpc"])


@pytest.mark.parametrize(
    "host, port, why",
    [
        ("127.0.0.1", 99999, "a port is a number from 1 to 65535, not 99999"),
        ("127.0.0.1", "2428", "a port is a number from 1 to 65535, not '2428'"),
        ("127.0.0.1", 0, "a port is a number from 1 to 65535, not 0"),
        (None, 2428, "a host is a machine's name or address, .*, not None"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_before_anybody_is_called(host, port, why):
    with pytest.raises(ValueError, match=why):
        chatlab.connect(host, port)


def test_a_name_like_no_other_is_answered_with_where_the_names_are():
    with pytest.raises(AttributeError, match=r"chatlab has no 'zzz'; dir\(chatlab\) lists what it has"):
        chatlab.zzz


def test_a_closed_server_takes_no_client():
    with chatlab.serve("text") as server:
        server.close()
        with pytest.raises(ConnectionLost, match="this server is closed"):
            server.connect()


def test_stop_all_goes_on_after_an_error_and_raises_it(monkeypatch):
    broken, other = chatlab.serve("text"), chatlab.serve("text", name="other")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="stuck"):
        patch.setattr(broken, "close", lambda: (_ for _ in ()).throw(OSError("stuck")))
        chatlab.stop_all()
    assert not other.running


def test_an_unknown_protocol_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no protocol is called 'telepathy'; there are text, "):
        chatlab.serve("telepathy")


def test_what_is_no_protocol_says_what_it_lacks():
    with pytest.raises(TypeError, match="neither an Implementation .* nor a Codec"):
        chatlab.serve(42)


@pytest.mark.parametrize(
    "scripts, why",
    [(["ann"], "dictionary from each user's name to a function"), ({"ann": 5}, "script of ann is a function")],
)
def test_scripts_that_are_none_are_refused_in_words(scripts, why):
    with chatlab.serve("text", name="scripts") as server, pytest.raises(TypeError, match=why):
        chatlab.simulate(server, scripts)


def test_a_protocol_has_one_endpoint():
    with pytest.raises(ValueError, match="one endpoint"):
        chatlab.serve("text", "text")


def test_a_door_that_is_not_there_is_answered_with_those_that_are():
    with chatlab.serve("text") as server, pytest.raises(ValueError, match="does not speak 'grpc'; it speaks text"):
        server.connect("grpc")


@PLACES
@pytest.mark.parametrize("codec", [TextCodec, "chatlab.codecs.text:TextCodec"])
def test_a_codec_can_be_served_by_itself_or_by_name(where, codec):
    with chatlab.serve(codec, where=where) as server:
        server.connect().ping()


# ---- in a process of its own ------------------------------------------------------------------------------------


def test_a_server_process_is_another_process():
    with chatlab.serve("text", where="process") as server:
        assert is_alive(server.pid) and server.pid != os.getpid()


def test_its_log_is_fetched_and_kept_when_it_ends():
    server = chatlab.serve("text", where="process")
    server.users("ann")
    server.close()
    assert "connected  [ ann ]" in str(server.log)


def test_an_error_of_the_process_comes_back():
    with chatlab.serve("text") as server, pytest.raises(OSError, match="could not start: .*cannot listen at 127.0.0.1"):
        chatlab.serve("text", where="process", name="second", port=server.address[1])


def test_a_codec_of_the_notebook_has_to_be_written_to_a_file_first():
    out = ran(
        "import chatlab\nfrom chatlab.codecs.text import TextCodec\nclass Mine(TextCodec): pass\n"
        "try: chatlab.serve(Mine, where='process')\nexcept ValueError as error: print(error)"
    )
    assert "Mine is defined in this notebook or script" in out


def test_a_server_process_that_was_killed_is_not_running():
    server = chatlab.serve("text", where="process")
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not server.running)
    server.close()
    assert repr(server) == "<Server 'text', closed: text>"


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent_however_the_parent_dies(end):
    parent = python("import chatlab; s = chatlab.serve('text', where='process'); print(s.pid, flush=True); input()")
    pid = int(parent.stdout.readline())
    parent.send_signal(end)
    parent.communicate()
    until(lambda: not is_alive(pid))


# ---- an interrupt -----------------------------------------------------------------------------------------------

WAITING = """
import sys, time, chatlab
server = chatlab.serve(sys.argv[1], where=sys.argv[2])
ann, bob = server.users("ann", "bob")
try:
    print("waiting", flush=True)
    ann.receive()
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
bob.send("ann", "still there?")
print(ann.receive(5).text)
"""


@pytest.mark.timing
@PLACES
@PROTOCOLS
def test_an_interrupt_ends_the_waiting_at_once_and_everything_works_after_it(protocol, where):
    process = python(WAITING, protocol, where)
    assert process.stdout.readline() == "waiting\n"
    interrupted = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    at, said = out.splitlines()
    assert said == "still there?", err
    assert float(at) - interrupted < 0.5


# ---- scripts ----------------------------------------------------------------------------------------------------


def test_a_simulation_tells_who_said_what_to_whom():
    with chatlab.serve("text") as server:
        trace = chatlab.simulate(server, {"ann": lambda me: me.send("bob", "hi"), "bob": lambda me: me.receive(5)})
    assert [(delivery.sender, delivery.recipient, delivery.text) for delivery in trace.deliveries] == [
        ("ann", "bob", "hi")
    ]


def test_an_error_in_a_script_is_raised_with_the_name_of_its_user():
    with chatlab.serve("text") as server, pytest.raises(ChatError) as caught:
        chatlab.simulate(server, {"ann": lambda me: me.send("nobody", "hi"), "bob": lambda me: me.receive(30)})
    assert caught.value.__notes__ == ["in the script of ann"]


def test_a_script_that_waits_for_ever_is_named():
    with chatlab.serve("text") as server, pytest.raises(TimeoutError, match="did not end in time: ann"):
        chatlab.simulate(server, {"ann": lambda me: me.receive()}, timeout_s=0.1)


def test_each_script_has_chance_of_its_own_and_the_same_every_time():
    def drawn():
        numbers = {}

        def script(me):
            numbers[me.name] = me.random.random()

        with chatlab.serve("text") as server:
            chatlab.simulate(server, {"ann": script, "bob": script}, seed=7)
        return numbers

    first = drawn()
    assert first == drawn() and first["ann"] != first["bob"]


# ---- the package ------------------------------------------------------------------------------------------------


def test_importing_chatlab_is_light():
    loaded = ran("import sys, chatlab; print(*{m.partition('.')[0] for m in sys.modules})").split()
    assert not {"grpc", "google", "matplotlib", "numpy", "pandas", "tqdm", "IPython"} & set(loaded)


def test_every_name_of_the_map_is_there():
    assert [name for name in chatlab.__all__ if getattr(chatlab, name, None) is None] == []


def test_a_file_does_not_hide_the_function_of_its_name():
    script = "import chatlab.capture.tcp_relay, chatlab.measurement.rates\n"
    script += "print(chatlab.relay.__name__, chatlab.measure.__name__)"
    assert ran(script).split() == ["relay", "measure"]


TALKATIVE = """
from chatlab.codecs.text import TextCodec

class Talkative(TextCodec):
    name = "talkative"

    def decode(self, frame):
        print("a frame of", len(frame), "bytes")
        return super().decode(frame)
"""


def test_what_a_codec_prints_in_a_servers_process_goes_to_the_servers_log(tmp_path, monkeypatch):
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with chatlab.serve("talkative:Talkative", where="process") as server, server.connect() as ada:
        ada.ping()
        assert "a frame of 6 bytes" in str(server.log)


FORKED = """
import os, sys
import chatlab
server = chatlab.serve("text")
alice = server.users("alice")[0]
child = os.fork()
if not child:
    server.close()
    with chatlab.serve("text", name="the child's") as other:
        other.users("bob")[0].ping()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
alice.ping()
server.connect().ping()
print("both live")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_has_servers_of_its_own_and_leaves_its_parents_alone():
    assert ran(FORKED).strip() == "both live"


def test_grpc_is_refused_in_a_process_that_was_forked_after_its_use_where_it_would_hang(monkeypatch):
    with chatlab.serve("grpc") as server:
        monkeypatch.setattr(
            "chatlab.transport.grpc_common._used_in", os.getpid() - 1
        )  # a real child may crash at random
        for use in server.connect, lambda: chatlab.serve("grpc", name="the child's"):
            with pytest.raises(RuntimeError, match="gRPC was used before this process was forked"):
                use()
