"""A terminal window with a chatlab in it: a real pseudo-terminal, and an emulator that says what a person would see.

Nothing sleeps: every wait is for something on the screen, with a deadline. Nothing forks either, as `pty` and `pexpect`
would: a process in which gRPC has run does not survive that, and the tests' process is one.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time

import pyte

DEADLINE_S = 45.0
COLUMNS, ROWS = 100, 40
# What a login does before the shell starts: it makes the terminal the one whose Ctrl-C interrupts us.
IN_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Window:
    """`chatlab` with these words, started in a window of its own."""

    def __init__(self, *words: str, terminal: str = "xterm-256color", **options):
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._emulator = pyte.ByteStream(self.screen)
        self._written = self.all_written = b""
        self._terminal, inside = os.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": terminal}
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_ITS_TERMINAL, "-m", "chatlab", *words],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            env={name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")},
            **options,
        )
        self._inside = inside  # kept open: a terminal that nobody has open forgets what was written to it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._inside)
        os.close(self._terminal)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, line by line, without the empty ones."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def enter(self, text: str) -> None:
        self.type(text + "\r")

    def shows(self, *wanted: str) -> list[str]:
        """Wait until each of these is a line of the screen; the lines."""
        return self.until(lambda lines: all(line in lines for line in wanted), f"{wanted}")

    def shows_part(self, wanted: str) -> str:
        """Wait until this is in a line of the screen; that line."""
        self.until(lambda lines: any(wanted in line for line in lines), wanted)
        return next(line for line in self.lines if wanted in line)

    def writes(self, wanted: str) -> None:
        """Wait until these very bytes were written after the ones waited for before, as a script does."""
        self.until(lambda lines: wanted.encode() in self._written, f"the bytes of {wanted!r}")
        self._written = self._written.partition(wanted.encode())[2]

    def until(self, true, what: str) -> list[str]:
        deadline = time.monotonic() + DEADLINE_S
        while not true(self.lines):
            more = self._read(min(0.1, max(0, deadline - time.monotonic())))
            assert more or (self.process.poll() is None and time.monotonic() < deadline), self._complaint(what)
        return self.lines

    def ends(self) -> int:
        """Wait until the program has ended; its exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            self._read(0.01)
            assert time.monotonic() < deadline, self._complaint("the end")
        while self._read(0):
            pass
        return self.process.returncode

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as a shell expects it to."""
        return bool(termios.tcgetattr(self._inside)[3] & termios.ECHO)

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], timeout_s)
        if ready:
            data = os.read(self._terminal, 1 << 16)
            self._written += data
            self.all_written += data
            self._emulator.feed(data)
        return bool(ready)

    def _complaint(self, what: str) -> str:
        screen = "\n".join(f"| {line}" for line in self.lines)
        return f"not shown: {what}\n{screen}\nexit code: {self.process.poll()}"


def served(*words: str) -> tuple[Window, dict[str, str]]:
    """A window with a server on free ports, and the port of each protocol."""
    window = Window("serve", *words, "--port", "0")
    window.shows("Ctrl-C stops it.")
    doors = [line.split() for line in window.lines if ", port " in line]
    return window, {words[0]: words[words.index("port") + 1] for words in doors}
