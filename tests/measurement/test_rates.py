"""Bytes that are exact, and rates whose relations hold: nothing here asserts a speed."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from array import array

import pytest
from external_adapter import Bazaar, ForkingBazaar
from processes import is_alive
from raw_client import until

import chatlab
from chatlab.capture.tcp_relay import relay
from chatlab.capture.traffic import Traffic
from chatlab.codecs.text import TextCodec
from chatlab.measurement import byte_counts as counting
from chatlab.measurement.load.trial import TrialResult
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.process_stats import Processes, ServerMonitor, cpu_ns
from chatlab.measurement.rounds import build_round
from chatlab.messages import Arrived, Ping, Pong, Send, Sent

pytestmark = pytest.mark.usefixtures("brief_calibrations")
BOTH = ("text", "grpc")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads what only Linux tells")
BRIEF = Workload(clients=2, messages=20)
spelled = TextCodec().encode


@pytest.fixture(scope="module")
def table():
    return chatlab.count_bytes("text", "grpc", "grpc-stream")


# ---- bytes ------------------------------------------------------------------------------------------------------


def test_counting_twice_gives_the_same_table(table, monkeypatch):
    some = [
        each
        for each in counting.OPERATIONS
        if each.name in ("create_account", "push 2 to the recipient", "unread, 1 message")
    ]
    monkeypatch.setattr(counting, "OPERATIONS", some)
    again = chatlab.count_bytes("text", "grpc", "grpc-stream").rows
    assert len(again) == 3 * (len(some) + 1) and set(again) <= set(table.rows)


def test_a_ping_in_text_is_its_two_lines(table):
    assert table["text", "ping"].steady == Traffic(len(spelled(12, Ping())), len(spelled(12, Pong())))


@pytest.mark.parametrize("length", [2, 50])
def test_a_send_in_text_is_its_two_lines(table, length):
    up, down = spelled(12, Send("bob", "x" * length)), spelled(12, Sent(1, False))
    assert table["text", f"send {length} characters"].steady == Traffic(len(up), len(down))


def test_a_push_in_text_is_one_line_down(table):
    assert table["text", "push 2 to the recipient"].steady == Traffic(0, len(spelled(None, Arrived(1, "ann", "hi"))))


def test_the_first_account_in_text_is_the_two_lines_a_person_would_see(table):
    assert table["text", "create_account"].first == Traffic(len("#1|1|ann\n"), len("#1|account|1|ann|0|0\n"))


@pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])
def test_48_characters_more_are_48_bytes_more(table, protocol):
    short, long = (table[protocol, f"send {n} characters"].steady for n in (2, 50))
    assert long - short == Traffic(48, 0)


def test_a_first_grpc_call_spells_out_its_headers(table):
    row = table["grpc", "send 2 characters"]
    assert row.first.up > row.steady.up and row.first.down == row.steady.down


def test_setting_up_a_grpc_connection_takes_more_than_any_call(table):
    first = table["grpc", "create_account"].first.total
    assert first > 2 * max(row.steady.total for row in table.rows)


def test_a_stream_takes_less_than_a_call_for_each_verb(table):
    for operation in table.operations:
        assert table["grpc-stream", operation].steady.total < table["grpc", operation].steady.total, operation


def test_counting_disturbs_no_server_that_runs():
    with chatlab.serve("text", name="text") as server:
        chatlab.count_bytes("text")
        server.connect().ping()


def tcp_info(port):
    """Bytes that this process has sent to that port and received from it, as the kernel counted them."""
    sent = received = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            sock = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue  # it was closed meanwhile
        with sock:
            try:
                to_port = sock.getpeername()[1] == port
            except (OSError, IndexError):
                continue  # not a connection
            if to_port and sock.family in (socket.AF_INET, socket.AF_INET6):
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512)
                received += struct.unpack_from("Q", info, 128)[0]
                sent += struct.unpack_from("Q", info, 200)[0] - struct.unpack_from("Q", info, 208)[0]
    return Traffic(sent, received)


@LINUX
@pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])
def test_the_kernel_has_counted_the_same(protocol):
    with chatlab.serve(protocol, name="counted twice", where="process") as server, relay(server) as tap:
        ann = tap.connect()
        ann.create_account("ann")
        for _ in range(20):
            ann.send("ann", "hi")
        tap.wait_until_quiet()
        assert tap.traffic_since() == tcp_info(tap.address[1])


# ---- rates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])
@pytest.mark.parametrize("clients", [1, 2, 3])
def test_every_message_that_was_to_be_sent_is_done(protocol, clients):
    run = chatlab.measure(protocol, Workload(clients=clients, messages=20))
    assert run.rounds[0].messages == 20 * clients


def test_a_load_of_seconds_is_measured_for_exactly_so_long():
    (only,) = chatlab.measure("text", Workload(seconds=0.5, warm_up_s=0.02)).rounds
    assert only.seconds == 0.5 and only.messages > 0


def a_told(done_ms, marks_ms):
    """What a worker tells whose requests were done then."""
    times = array("q", [int(at * 1e6) for at in done_ms]).tobytes()
    return TrialResult(
        0,
        times,
        times,
        times,
        times,
        bytes(len(done_ms)),
        (0, 0),
        tuple(int(at * 1e6) for at in marks_ms),
        int(400e6),
        None,
    )


def a_watch(load, *readings_ms_and_cpu_ms):
    watch = ServerMonitor(None, load)
    watch.readings = [(int(at * 1e6), int(cpu * 1e6)) for at, cpu in readings_ms_and_cpu_ms]
    return watch


def test_time_in_which_nothing_was_asked_any_more_is_not_measured_time():
    load = Workload(seconds=0.2, warm_up_s=0.1)
    late = build_round(load, [a_told([50, 150, 250, 299, 310], (100, 300))], a_watch(load, (120, 0), (390, 6)))
    assert (late.messages, late.seconds) == (3, 0.2)


def test_the_servers_processor_time_is_divided_among_the_messages_of_its_own_span():
    load = Workload(seconds=0.2, warm_up_s=0.1)
    late = build_round(load, [a_told([110, 150, 250, 299, 310], (100, 300))], a_watch(load, (120, 0), (390, 6)))
    assert late.messages == 4 and late.server_cpu_us == pytest.approx(6000 / 4)  # of those at 150, 250, 299 and 310 ms


def test_a_reading_that_comes_when_the_load_is_over_is_not_taken():
    watch = ServerMonitor(os.getpid(), Workload(seconds=0.01, warm_up_s=0))
    over = iter([False, True, True, True])  # it looks once, and then the clients take their leave
    watch(time.perf_counter_ns() - 1_000, lambda: next(over, True))
    assert watch.readings[-1] == watch._series[-1][:2] and len(watch._series) == 2


@LINUX
def test_the_servers_processor_time_is_read_from_outside():
    run = chatlab.measure("text", BRIEF, rounds=2)
    assert len(run.rounds) == 2 and 0 < run.server_cpu_us.min


@LINUX
def test_a_process_is_told_by_its_clock():
    before = cpu_ns(os.getpid())
    sum(range(100_000))
    assert cpu_ns(os.getpid()) > before


def test_a_server_that_runs_can_be_measured_and_is_left_as_it_was():
    with chatlab.serve("text", name="measured here") as server:
        run = chatlab.measure(server, BRIEF)
        assert run.rounds[0].messages == 40
        assert run.server_cpu_us is None  # it lives in this process, with much else
        (ann,) = server.users("ann")
        assert ann.list_accounts().names == ("ann",)


def test_a_server_of_a_readers_own_codec_can_be_measured():
    with chatlab.serve(TextCodec, name="measured here") as server:
        assert chatlab.measure(server, BRIEF).protocol == "text"


def test_clients_that_fail_are_heard():
    with chatlab.serve("text", name="too small", limits=chatlab.Limits(text=16)) as server:
        with pytest.raises(RuntimeError, match="the clients of text failed: ChatError: TEXT_TOO_LONG"):
            chatlab.measure(server, BRIEF)


def test_a_comparison_has_a_run_for_each_protocol_and_load():
    found = chatlab.compare(BOTH, workload=Workload(messages=10), clients=(1, 2), rounds=2)
    assert [(run.protocol, run.workload.clients, len(run.rounds)) for run in found.runs] == [
        ("text", 1, 2), ("grpc", 1, 2), ("text", 2, 2), ("grpc", 2, 2),
    ]  # fmt: skip


def test_measuring_prints_nothing(capfd):
    chatlab.compare(["text"], workload=Workload(messages=5), clients=[1], rounds=1)
    assert capfd.readouterr() == ("", "")


def test_measuring_leaves_the_users_server_alone():
    with chatlab.serve("text", name="text") as server:
        chatlab.measure("text", BRIEF)
        server.connect().ping()


@pytest.mark.parametrize("rounds", [0, 101])
def test_the_number_of_rounds_is_bounded(rounds):
    with pytest.raises(ValueError, match="rounds is from 1 to 100"):
        chatlab.compare(BOTH, rounds=rounds)


@pytest.mark.parametrize("rounds", ["4", 1.5, True])
@pytest.mark.parametrize(
    "act", [chatlab.measure, lambda protocol, rounds: chatlab.compare(protocol, rounds=rounds, quick=True)]
)
def test_the_number_of_rounds_is_whole(act, rounds):
    with pytest.raises(TypeError, match=f"rounds is a whole number from 1 to 100, not {rounds!r}"):
        act("text", rounds=rounds)


@pytest.mark.parametrize("one", ["text", TextCodec, TextCodec()])
def test_one_protocol_is_enough(one):
    assert chatlab.compare(one, workload=Workload(messages=5), clients=1, rounds=1).protocols == ("text",)


def test_a_comparison_needs_a_number_of_clients():
    with pytest.raises(ValueError, match="no number of clients"):
        chatlab.compare("text", clients=[])


@pytest.mark.parametrize("protocols, why", [([], "no protocol to measure"), (["text", "text"], "not with itself")])
def test_a_comparison_is_of_different_protocols(protocols, why):
    with pytest.raises(ValueError, match=why):
        chatlab.compare(protocols)


def test_a_load_is_a_workload():
    with pytest.raises(TypeError, match="a Workload, not 5"):
        chatlab.measure("text", 5)


def test_one_number_of_clients_is_enough():
    assert [
        run.workload.clients for run in chatlab.compare("text", workload=Workload(messages=5), clients=1, rounds=1).runs
    ] == [1]


def test_a_foreign_server_stands_in_the_table_with_the_operations_it_has():
    table = chatlab.count_bytes("text", Bazaar)
    assert {row.operation for row in table.rows if row.protocol == "bazaar"} == {
        "send 2, recipient on-line",
        "push 2 to the recipient",
    }
    # "to", "bob", "hi" between tabs behind four digits; back come "re", "sent", "now".
    assert table["bazaar", "send 2, recipient on-line"].steady == Traffic(4 + 9, 4 + 11)
    assert "bazaar" in str(table)


INTERRUPTED = """
import chatlab, os
from chatlab.measurement.rates import Testbed
run = Testbed.run
def told(testbed, load):
    print(os.getpid(), testbed.server.pid, *testbed.worker_pids, flush=True)
    return run(testbed, load)
Testbed.run = told
try:
    chatlab.compare(["text"], workload=chatlab.Workload(seconds=60), clients=2)
except KeyboardInterrupt:
    print("ended", flush=True)
input()
"""


@pytest.mark.timing
@LINUX
def test_an_interrupt_ends_a_comparison_and_its_processes():
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], **pipes) as notebook:
        own, *children = map(int, notebook.stdout.readline().split())
        asked = time.monotonic()
        os.kill(own, signal.SIGINT)
        assert notebook.stdout.readline() == "ended\n"
        assert time.monotonic() - asked < 3
        until(lambda: not any(map(is_alive, children)))
        notebook.communicate("\n")


HALF_DONE = """
import chatlab, sys
from dataclasses import replace
from importlib import import_module
measure = import_module("chatlab.measurement.testbed")
run, left = measure.Testbed.run, int(sys.argv[1])
def told(testbed, load):
    global left
    left -= testbed.baseline is None
    if left < 0:
        print("in the midst of it", flush=True)
        load = replace(load, seconds=60, messages=None)
    return run(testbed, load)
measure.Testbed.run = told
result = eval(sys.argv[2])
print(repr(result), "partial" in str(result), result.partial, type(result).load(result.save(sys.argv[3])) == result, flush=True)
"""
BOTH_COMPARED = (
    "chatlab.compare(['text', 'json'], workload=chatlab.Workload(messages=5), clients=2, rounds=3, generator='light')"
)
SEARCHED = "chatlab.saturate('text', chatlab.Workload(clients=2, rate=50, seconds=0.2), resolution=1.01)"


def interrupted(script, *args) -> str:
    """What a script says at last that is interrupted as soon as it says its first line."""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", script, *map(str, args)], **pipes) as notebook:
        assert notebook.stdout.readline() == "in the midst of it\n"
        os.kill(notebook.pid, signal.SIGINT)
        return notebook.communicate(timeout=60)[0]


@LINUX
@pytest.mark.parametrize("done, left", [
    (1, "text|json with 2 clients, 1 round, partial"), (3, "(text, json|json, text) with 2 clients, 2 rounds, partial"),
])  # fmt: skip
def test_an_interrupted_comparison_keeps_the_rounds_that_are_done(done, left, tmp_path):
    said = interrupted(HALF_DONE, done, BOTH_COMPARED, tmp_path / "half.json")
    assert re.fullmatch(f"<Comparison of ({left})> True True True\n", said)


@LINUX
def test_an_interrupted_search_keeps_the_rates_that_were_tried(tmp_path):
    said = interrupted(HALF_DONE, 2, SEARCHED, tmp_path / "half.json")
    assert re.fullmatch("<Saturation of text within 50 ms: .*, partial> True True True\n", said)


@LINUX
def test_of_an_interrupted_calibration_nothing_is_kept():
    script = (
        HALF_DONE.replace("testbed.baseline is None", "1")
        .replace("result =", "try:\n    result =")
        .split("print(repr")[0]
    )
    said = interrupted(
        script
        + "except KeyboardInterrupt:\n    print(len(import_module('chatlab.measurement.calibration').CAPACITIES))",
        0,
        "chatlab.calibrate('text')",
    )
    assert said == "0\n"


# ---- a server that is not ours ----------------------------------------------------------------------------------


@LINUX
def test_a_foreign_server_is_measured_like_ours():
    (found,) = chatlab.measure(Bazaar, BRIEF).rounds
    assert (found.messages, found.server_cpu_us > 0, found.memory.resident > 0) == (40, True, True)


@LINUX
def test_a_foreign_server_is_compared_with_ours():
    compared = chatlab.compare(["text", Bazaar], workload=BRIEF, clients=[2], rounds=2)
    assert compared.ratio("bazaar", "text", 2, "server_cpu_us").interval.value > 0


def test_an_operation_that_a_foreign_server_lacks_is_named():
    with pytest.raises(RuntimeError, match="bazaar has no ping"):
        chatlab.measure(Bazaar, Workload(clients=1, messages=5, operations="ping"))


@LINUX
def test_of_a_program_that_is_guarded_the_guard_is_not_the_server():
    with chatlab.serve(Bazaar, where="process") as server:
        looked_at = Processes(server.pid).pids
        assert len(looked_at) == 1 and server.pid not in looked_at
        assert b"external_server" in open(f"/proc/{looked_at[0]}/cmdline", "rb").read()


@LINUX
def test_of_a_server_of_ours_its_own_process_is_looked_at():
    with chatlab.serve("text", where="process") as server:
        assert Processes(server.pid).pids == (server.pid,)


BURNT_US = 2000  # by the process of each connection, for each request


@LINUX
def test_a_process_that_a_foreign_server_starts_for_a_connection_is_part_of_it():
    run = chatlab.measure(ForkingBazaar, Workload(clients=2, seconds=0.4, operations="ping"))
    assert run.server_cpu_us.median == pytest.approx(BURNT_US, rel=0.5)


@pytest.fixture
def forking():
    """A program with a guard as a foreign server has it, which starts a child that burns 0.1 s for each line it is told."""
    program = subprocess.Popen([sys.executable, "-c", GUARDED, FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    program.stdout.readline()
    yield program
    program.stdin.close()
    program.wait()
    program.stdout.close()


GUARDED = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])", sys.argv[1]])
"""
FORKING = """
import os, signal, sys, time
print("ready", flush=True)
for line in sys.stdin:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN if line == "forget\\n" else signal.SIG_DFL)
    to_child, told = os.pipe()
    child = os.fork()
    if not child:
        while time.process_time() < 0.1:
            pass
        print("burnt", flush=True)
        os.read(to_child, 1)
        os._exit(0)
    sys.stdin.readline()
    os.write(told, b".")
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        pass  # it has ended, and was forgotten
    print("over", flush=True)
"""


def said(program, line):
    program.stdin.write(line)
    program.stdin.flush()
    return program.stdout.readline()


@LINUX
def test_the_time_of_a_process_that_has_ended_still_counts(forking):
    looked_at = Processes(forking.pid)
    before = looked_at.cpu_ns()
    said(forking, b"wait for\n")
    living = looked_at.cpu_ns() - before
    said(forking, b"end\n")
    assert looked_at.cpu_ns() - before == pytest.approx(living, abs=30_000_000) and living >= 90_000_000


@LINUX
def test_where_the_time_of_a_process_that_has_ended_is_lost_there_is_none(forking):
    looked_at = Processes(forking.pid)
    said(forking, b"forget\n")
    assert looked_at.cpu_ns() > 0
    said(forking, b"end\n")
    assert looked_at.cpu_ns() is None and looked_at.memory().resident > 0
