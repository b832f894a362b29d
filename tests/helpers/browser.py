"""A browser that a test looks through: headless Chromium, told by its DevTools protocol what a person's hand would do.

Nothing sleeps: every wait is for something on the page, or for a line that a program says, with a deadline.
"""

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1400,1200",
    "--disable-dev-shm-usage",  # in a container /dev/shm is smaller than a page
]
LIFE_S = 300.0  # from the start of a program to the last thing that is waited for
GRACE_S = 5.0
MARK = "CHATLAB_TEST_PROGRAM"  # the variable by which a program's descendants are known

# Asks the condition again whenever something on the page changes.
UNTIL = """new Promise(done => {
    const look = () => { const seen = condition(); if (seen) { watch.disconnect(); done(seen) } };
    const watch = new MutationObserver(look);
    watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
    look();
})"""


class Program:
    """A program that lives in a `with` block. What it started ends with it, in other sessions too (as kernels are)."""

    def __init__(self, *words: str | Path, **environment: str):
        self.lines: list[str] = []
        self._end = time.monotonic() + LIFE_S
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._mark = f"{MARK}={uuid.uuid4()}"
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, **environment, MARK: self._mark.partition("=")[2]},
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self._new.put(line)
        self._new.put(None)

    @property
    def left_s(self) -> float:
        return max(0.001, self._end - time.monotonic())

    def says(self, pattern: str) -> str:
        """Wait for a line in which this is found; what was found."""
        while True:
            try:
                line = self._new.get(timeout=self.left_s)
            except queue.Empty:
                line = None
            assert line is not None, f"no line has {pattern!r}, but there are\n{''.join(self.lines)}"
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found.group()

    def end(self) -> int:
        """Ask it to end, as a shell does; its exit code."""
        self.process.terminate()
        return self.process.wait(self.left_s)

    def family(self) -> list[int]:
        """The processes that it started and that they started, itself included, as long as they live. Linux only."""
        found = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self._mark.encode() in environment.read_bytes().split(b"\0"):
                    found.append(int(environment.parent.name))
            except OSError:
                pass  # it has ended, or is not ours
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)  # so that its own are buried, and do not haunt a container without an init
        except subprocess.TimeoutExpired:
            pass
        while everybody := self.family():
            for pid in everybody:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.kill()
        self.process.wait()
        self._listener.join()
        self.process.stdout.close()


class Browser(Program):
    """A Chromium that nobody used before, with one empty page."""

    def __init__(self, folder: Path):
        super().__init__(CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank")
        self._calls = 0
        self._socket = None

    def __enter__(self):
        try:
            door = self.says(r"(?<=DevTools listening on ws://)[^/]+")
            with urllib.request.urlopen(f"http://{door}/json/list", timeout=self.left_s) as told:
                page = next(each for each in json.load(told) if each["type"] == "page")
            self._socket = websocket.create_connection(page["webSocketDebuggerUrl"], self.left_s, suppress_origin=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._socket:
            self._socket.shutdown()
        super().__exit__()

    def ask(self, method: str, **parameters) -> dict:
        """Call a method of the DevTools protocol; its result."""
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        return self._told(lambda told: told.get("id") == self._calls)["result"]

    def _told(self, wanted) -> dict:
        while True:
            self._socket.settimeout(self.left_s)
            told = json.loads(self._socket.recv())
            assert "error" not in told, told["error"]
            if wanted(told):
                return told

    def open(self, address: str) -> None:
        self.ask("Page.enable")
        self.ask("Page.navigate", url=address)
        self._told(lambda told: told.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str):
        """The value of a JavaScript expression on the page; that of a promise, once it is kept."""
        told = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, condition: str):
        """Wait until this JavaScript expression is true of the page; its value."""
        try:
            return self.evaluate(f"{{ const condition = () => {condition}; {UNTIL} }}")
        except websocket.WebSocketTimeoutException:
            self._end += 5  # to look what there is instead
            shown = self.evaluate("document.body.innerText")
            raise AssertionError(f"{LIFE_S:.0f} s, and it is not true that {condition}; the page is\n{shown}") from None

    def press(self, selector: str, text: str) -> None:
        """Wait for the element with this text, and click it as a mouse does."""
        found = f"[...document.querySelectorAll({selector!r})].find(each => each.innerText.trim() == {text!r})"
        x, y = self.until(
            f"(box => box && [box.x + box.width / 2, box.y + box.height / 2])({found}?.getBoundingClientRect())"
        )
        for kind in "mouseMoved", "mousePressed", "mouseReleased":
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
