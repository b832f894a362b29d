"""A Python process of ours that answers calls, bytes for bytes, over a channel that nothing else writes to.

It is spawned, never forked (gRPC does not survive a fork), and an interrupt of the kernel does not reach it. The
channel is what the process was given as standard input and output; before any other code runs it is moved away from
there, so that whatever is printed goes to standard error, and whatever reads standard input finds it empty. A call and
its reply are frames: eight bytes of length, then as many bytes; an empty call ends the process, and so does the death
of its parent."""

import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import IO

from ..messages import ChatlabError

END_TIMEOUT_S = 5.0
ORPHAN_CHECK_S = 0.5  # how often a process checks that its parent lives: a forked child may hold its input open
_LENGTH = struct.Struct(">Q")
_OK, _ERROR = b"\0", b"\1"

# `-P` leaves the working folder out of sys.path, so that a reader's random.py beside the notebook is not imported in
# the standard library's place while chatlab is; then the process has the path of its parent, in the same order.
_BOOT = """
import importlib, json, os, sys
calls, replies = os.dup(0), os.dup(1)
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.dup2(2, 1)
module, name, path = json.loads(sys.argv.pop())
sys.path[:] = [entry for entry in path if entry not in ("", ".")] + [os.getcwd()]
function = getattr(importlib.import_module(module), name)
sys.path[:] = path
function(os.fdopen(calls, "rb", 0), os.fdopen(replies, "wb"))
"""


class WorkerDied(ChatlabError, RuntimeError):
    """The process ended before it replied. The text is the last line that it wrote to standard error."""


class CallFailed(ChatlabError, RuntimeError):
    """The called function raised an error in its process; the text is the error's type and its text."""


class WorkerProcess:
    """Runs a function in a process of its own: one of a module, which passes its two arguments to `serve_calls`."""

    def __init__(self, function: Callable[[IO[bytes], IO[bytes]], None]):
        # Not a pipe: a full one that is not read would stop the process.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115, `end` closes it
        where = json.dumps([function.__module__, function.__qualname__, sys.path])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # an interrupt of the kernel reaches its whole process group; not this one
        )
        self._calling = threading.Lock()  # guards the channel: a call and its reply belong together
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._unwanted = 0  # replies still to come to calls that nobody waits for any more
        self._listener = threading.Thread(target=self._listen, name="chatlab-worker", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def call(self, argument: bytes, timeout_s: float) -> bytes:
        """What the process replies. Raises `CallFailed`, `WorkerDied`, and `TimeoutError` after `timeout_s` seconds."""
        with self._calling:
            try:
                self._send(argument)
            except (BrokenPipeError, ValueError):  # it died, or it was ended
                raise WorkerDied(self._stderr_tail()) from None
            reply = self._next_reply(timeout_s)
        if not reply:
            raise WorkerDied(self._stderr_tail())
        if reply[:1] == _ERROR:
            raise CallFailed(reply[1:].decode(errors="replace"))
        return reply[1:]

    def end(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """Let it finish; kill it where that takes longer. Ending twice is fine."""
        assert self._process.stdin is not None
        try:
            if timeout_s and not self._process.stdin.closed:
                self._send(b"")  # the end of its input would do, if no forked child of ours held the other end open
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._stderr.close()

    def _send(self, argument: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(_LENGTH.pack(len(argument)) + argument)
        self._process.stdin.flush()

    def _next_reply(self, timeout_s: float) -> bytes:
        self._unwanted += 1  # an interrupt may end the waiting anywhere below
        try:
            reply = self._replies.get(timeout=timeout_s)
            while reply and self._unwanted > 1:
                self._unwanted -= 1
                reply = self._replies.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"the process {self.pid} has not answered within {timeout_s:g} s") from None
        self._unwanted -= 1
        return reply

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as replies:
            while reply := read_frame(replies):
                self._replies.put(reply)
        self._replies.put(b"")  # nothing more will come: a waiting caller must not wait for ever

    def _stderr_tail(self) -> str:
        self._listener.join()  # so it has ended, and has written all it had to write
        if self._stderr.closed:
            return "it was ended"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"


def serve_calls(calls: IO[bytes], replies: IO[bytes], answer: Callable[[bytes], bytes]) -> None:
    """What a worker's process does: answer each call, and return when there are no more. Errors go to the caller."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    while _is_readable(calls, parent) and (call := read_frame(calls)):
        try:
            reply = _OK + answer(call)
        except BaseException as error:  # whatever it is, it belongs to the caller
            reply = _ERROR + f"{type(error).__name__}: {error}".encode()
        replies.write(_LENGTH.pack(len(reply)) + reply)
        replies.flush()


def read_frame(channel: IO[bytes]) -> bytes:
    """The next frame of a channel; empty where it has ended, or the other side has sent an empty one."""
    head = _read_exactly(channel, _LENGTH.size)
    return _read_exactly(channel, _LENGTH.unpack(head)[0]) if head else b""


def _read_exactly(channel: IO[bytes], size: int) -> bytes:
    parts = []
    while size:
        part = channel.read(size)
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _is_readable(calls: IO[bytes], parent: int) -> bool:
    """Wait for a call; false where the parent died first, while something else still holds the channel open."""
    if os.name != "posix":
        return True
    poll = select.poll()
    poll.register(calls, select.POLLIN)
    while not poll.poll(ORPHAN_CHECK_S * 1000):
        if os.getppid() != parent:
            return False
    return True
