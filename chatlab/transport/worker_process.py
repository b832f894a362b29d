"""A Python process of ours that answers questions: a line of JSON for each, over its standard input and output.

It is spawned, never forked (gRPC does not survive a fork), and an interrupt of the kernel does not reach it. Its input
ends when we end it or when this process dies, however it dies; it ends when its input does.
"""

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable

END_TIMEOUT_S = 5.0


class Worker:
    """Runs the function `task`, a `"module:NAME"`, in a process of its own. The function calls `answer_questions`."""

    def __init__(self, task: str):
        module, _, name = task.partition(":")
        self._last_words = tempfile.TemporaryFile()  # not a pipe: a full one that nobody reads would stop the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {module} import {name}; {name}()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._last_words,
            start_new_session=True,  # an interrupt of the kernel reaches its whole process group; not this one
        )
        self._asking = threading.Lock()  # guards the pipes: a question and its answer belong together
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._unwanted = 0  # answers still to come to questions that nobody waits for any more
        self._listener = threading.Thread(target=self._listen, name="chatlab-worker", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: str, timeout_s: float) -> dict:
        """Its answer; `{"error": …}` where it has died. Raises `TimeoutError`."""
        with self._asking:
            try:
                self._process.stdin.write(question.encode() + b"\n")
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):  # it died, or it was ended
                return {"error": self._last_word()}
            answer = self._next_answer(timeout_s)
        return json.loads(answer) if answer else {"error": self._last_word()}

    def end(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """Let it finish; kill it where that takes longer. Ending twice is fine."""
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has died before; that is what we want
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._last_words.close()

    def _next_answer(self, timeout_s: float) -> bytes:
        self._unwanted += 1  # an interrupt may end the waiting anywhere below
        try:
            answer = self._answers.get(timeout=timeout_s)
            while answer and self._unwanted > 1:
                self._unwanted -= 1
                answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"the process {self.pid} has not answered within {timeout_s:g} s") from None
        self._unwanted -= 1
        return answer

    def _listen(self) -> None:
        with self._process.stdout as stdout:
            for line in stdout:
                self._answers.put(line)
        self._answers.put(b"")  # nothing more will come; whoever waits must not wait for ever

    def _last_word(self) -> str:
        self._listener.join()  # so it has ended, and has said all it had to say
        if self._last_words.closed:
            return "it was ended"
        self._last_words.seek(0)
        lines = self._last_words.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"


def answer_questions(answer: Callable[[bytes], dict]) -> None:
    """What a worker's process does: answer each line, and return when there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not print: where PYTHONUNBUFFERED is set, it drops what the pipe did not take at once.
    with open(sys.stdout.fileno(), "wb", closefd=False) as answers:
        for question in sys.stdin.buffer:
            answers.write(json.dumps(answer(question)).encode() + b"\n")
            answers.flush()
