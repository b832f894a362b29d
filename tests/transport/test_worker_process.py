"""A process that answers calls: what it says is whole, what it prints is apart, and it ends when it should."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from processes import is_alive
from raw_client import until

from chatlab.transport.worker_process import CallFailed, WorkerDied, WorkerProcess, read_frame, serve_calls


def echo(calls, replies):
    serve_calls(calls, replies, lambda call: call)


def shout(calls, replies):
    def answer(call):
        print("printed", call)
        return call.upper() + sys.stdin.read().encode()

    serve_calls(calls, replies, answer)


def refuse(calls, replies):
    def answer(call):
        raise LookupError("no such thing")

    serve_calls(calls, replies, answer)


def die(calls, replies):
    raise ZeroDivisionError("at once")


@pytest.fixture
def start():
    workers = []

    def start(function):
        workers.append(WorkerProcess(function))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end(0)


def test_bytes_come_back_as_they_were_sent(start):
    assert start(echo).call(bytes(range(256)), 20) == bytes(range(256))


def test_a_large_reply_is_whole(start):
    assert start(echo).call(b"x" * 3_000_000, 20) == b"x" * 3_000_000


def test_what_it_prints_is_no_reply_and_what_it_reads_is_empty(start):
    worker = start(shout)
    assert [worker.call(b"a", 20), worker.call(b"b", 20)] == [b"A", b"B"]


def test_an_error_of_the_function_reaches_the_caller_and_the_process_lives(start):
    worker = start(refuse)
    for _ in range(2):
        with pytest.raises(CallFailed, match="LookupError: no such thing"):
            worker.call(b"?", 20)


def test_a_process_that_dies_says_why(start):
    with pytest.raises(WorkerDied, match="ZeroDivisionError: at once"):
        start(die).call(b"?", 20)


def test_a_process_that_hangs_is_not_waited_for(start):
    worker = start(echo)
    worker._process.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError, match=r"has not answered within 0\.1 s"):
        worker.call(b"hello", 0.1)
    worker.end(0)
    assert not worker.running


def test_it_ends_while_a_forked_child_holds_its_channel_open(start):
    worker = start(echo)
    worker.call(b"ready", 20)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        worker.end(20)
        assert worker._process.returncode == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="/proc tells what lives")
def test_it_ends_with_its_parent_though_a_forked_child_of_the_parent_lives(tmp_path):
    program = textwrap.dedent("""
        import os, signal, sys, time
        from test_worker_process import WorkerProcess, echo
        worker = WorkerProcess(echo)
        worker.call(b"ready", 20)
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        print(worker.pid, child, flush=True)
        time.sleep(60)
    """)
    here = os.path.dirname(__file__)
    path = os.pathsep.join([here, os.path.join(here, "..", "helpers"), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    worker, child = map(int, parent.stdout.readline().split())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        until(lambda: not is_alive(worker))
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_module_beside_the_notebook_does_not_stand_in_for_the_standard_library(tmp_path, monkeypatch, start):
    (tmp_path / "random.py").write_text("raise RuntimeError('the wrong random')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert start(echo).call(b"hi", 20) == b"hi"


IN_THE_MIDST_OF_WRITING = """
import fcntl, os, signal, sys, termios
from chatlab.transport.worker_process import serve_calls
def interrupt(*_):
    if any(fcntl.ioctl(1, termios.FIONREAD, bytes(4))):  # a part of the reply is in the pipe, which cannot hold all
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("interrupted", file=sys.stderr, flush=True)
def answer(call):
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    return b"x" * 3_000_000
signal.signal(signal.SIGALRM, interrupt)
serve_calls(os.fdopen(0, "rb", 0), os.fdopen(1, "wb"), answer)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it asks how much is in a pipe")
def test_a_reply_is_whole_though_its_writing_was_interrupted():
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", IN_THE_MIDST_OF_WRITING], env=unbuffered, **pipes) as worker:
        worker.stdin.write(bytes(7) + b"\1?")
        worker.stdin.flush()
        assert worker.stderr.readline() == b"interrupted\n"
        worker.stdin.close()
        assert len(read_frame(worker.stdout)) == 1 + 3_000_000
