"""A chat server that is not ours: another process with its own protocol, brought in by an adapter of some thirty lines.

An adapter is a subclass of `ExternalServer`. It says how the server is started, which of our verbs it has, how a
request is encoded, and what an answer means. Then `serve`, `check`, a relay and a measurement treat it as they treat
ours. The chat behind it is its own: it shares no accounts with another endpoint, and it keeps its own rules.

    class Parrot(ExternalServer):
        name = "parrot"
        command = ["./parrot", "--port", "{port}"]
        verbs = "create_account send receive"

        def encode(self, request):
            ...
        def decode(self, frame, asked):
            ...
"""

import itertools
import re
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator

from ..chat.hub import Hub
from ..messages import (
    REQUESTS,
    Arrived,
    ChatError,
    Message,
    ProtocolError,
    Reply,
    Request,
    ViewBalance,
    shorten,
)
from .async_client import AsyncClient
from .client import Client
from .event_loop import start_thread
from .interface import Address, Engine, connect_error
from .socket_client import AsyncSocketTransport, SocketTransport

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 2.0

# Ends the program when its own input reaches end of file, and so whenever this process ends, even by SIGKILL. The
# program has a process group of its own, so that what a shell has started ends with the shell; where there are no
# groups, as on Windows, it ends alone.
_SUPERVISOR = """
import os, signal, subprocess, sys, threading, time
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
over = threading.Event()
def watch(end):
    end()
    over.set()
for end in program.wait, sys.stdin.read:
    threading.Thread(target=watch, args=[end], daemon=True).start()
over.wait()
try:
    if not hasattr(os, "killpg"):
        program.terminate()
    else:
        os.killpg(program.pid, signal.SIGTERM)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            os.killpg(program.pid, 0)
            time.sleep(0.01)
        os.killpg(program.pid, signal.SIGKILL)
except OSError:
    pass  # nobody is left in the group
os._exit(program.wait() % 256)
"""

#: What a server can do and not all can; an adapter's `verbs` may name them beside the client's verbs.
CAPABILITIES = ("async", "big_texts", "fixed_port", "foreign_balance", "paging", "passwords", "request_ids")


class ExternalServer:
    """An Implementation whose server is another program. Subclass it; `encode` and `decode` are yours to write.

    The server must answer requests in their order. What `decode` returns is a Reply to `asked`, the oldest request that
    was not answered yet, or an Event. Where the server does not number its messages, its clients number them.
    """

    name = "external"
    #: How to start it. "{port}" and "{host}" are filled in; a server that chooses its port says so in what it prints.
    command: list[str] = []
    #: Where it prints its port, as a regular expression with one group; empty where it takes the port that it is given.
    port_pattern = ""
    #: The client's verbs that it has, "receive" where it pushes, and its `CAPABILITIES`: words, or a collection of
    #: them. `check` leaves out the cases that need another.
    verbs: str | Collection[str] = "create_account send"
    engines: tuple[Engine, ...] = ("loop",)
    codec = None  # its frames depend on what was asked: only its own clients can read them

    def encode(self, request: Request) -> bytes:
        """The bytes of the request."""
        raise NotImplementedError(f"{self.name} has no {type(request).__name__}")

    def decode(self, frame: bytes, asked: Request | None) -> Message:
        """What the frame says. Raises `ProtocolError` for nonsense."""
        raise NotImplementedError

    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        """As a codec's; lines, unless an adapter says otherwise."""
        return buffer.find(b"\n", searched) + 1

    # ---- what an Implementation offers

    def __init_subclass__(cls) -> None:
        verbs = frozenset(cls.verbs.split() if isinstance(cls.verbs, str) else cls.verbs)
        known = {*(_verb(request) for request in REQUESTS), "receive", *CAPABILITIES}
        if unknown := sorted(verbs - known):
            raise ValueError(
                f"{cls.__name__}.verbs has {', '.join(map(shorten, unknown))}; known are {', '.join(sorted(known))}"
            )
        cls.verbs = verbs

    def serve(self, hub: Hub, engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> "ExternalProcess":
        """Start the program. Our hub stays empty: the chat is the program's own."""
        if not self.command or isinstance(self.command, str):
            raise ValueError(f"{self.name} is started by its command, a list of words, not by {shorten(self.command)}")
        return ExternalProcess(self, hub, host, port)

    def connect(self, address: Address) -> Client:
        """A blocking client. Raises `ConnectionLost`."""
        codec = _FifoCodec(self)
        return Client(self.name, address, lambda to, on_event: SocketTransport(codec.for_connection(), to, on_event))

    async def connect_async(self, address: Address) -> AsyncClient:
        """An async client for the running event loop. Raises `ConnectionLost`."""
        codec = _FifoCodec(self)
        return await AsyncClient.connect(
            self.name, address, lambda to, on_event: AsyncSocketTransport.dial(codec.for_connection(), to, on_event)
        )


class ExternalProcess:
    """The running program. What it prints goes into the server's log."""

    def __init__(self, adapter: ExternalServer, hub: Hub, host: str, port: int):
        self._log = hub.log
        self._changed = threading.Condition()  # guards the three below, which the listener sets
        self._port_match: re.Match[str] | None = None
        self._last_line = ""
        self._ended = False
        port = port or (0 if adapter.port_pattern else _free_port(host))
        words = [str(word).replace("{port}", str(port)).replace("{host}", host) for word in adapter.command]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SUPERVISOR, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt of the kernel is not for it
        )
        start_thread(lambda: self._listen(adapter.port_pattern), "chatlab-external")
        try:
            self.address: Address = (host, self._printed_port(adapter.name) if adapter.port_pattern else port)
            self._wait_until_it_accepts()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the program and return when it has ended."""
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            return
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self, port_pattern: str) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for raw in lines:
                line = raw.decode(errors="replace").rstrip()
                with self._changed:
                    self._last_line = line
                    if port_pattern and self._port_match is None:
                        self._port_match = re.search(port_pattern, line)
                    self._changed.notify_all()
                self._log(line)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _printed_port(self, name: str) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._port_match or self._ended, START_TIMEOUT_S)
            if self._port_match is None:
                raise OSError(f"{name} did not print its port; {self._last_words()}")
            return int(self._port_match[1])

    def _wait_until_it_accepts(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return socket.create_connection(self.address, 1.0).close()
            except OSError as error:
                with self._changed:
                    self._changed.wait_for(lambda: self._ended, 0.02)
                if self._ended or time.monotonic() > deadline:
                    raise OSError(f"{connect_error(self.address, error)}; {self._last_words()}") from None

    def _last_words(self) -> str:
        return f"its last line was {self._last_line!r}" if self._last_line else "it printed nothing"


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _verb(kind: type[Request]) -> str:
    """The client's verb that asks it: `CreateAccount` is "create_account"."""
    return "balance" if kind is ViewBalance else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


class _FifoCodec:
    """The adapter as the codec of one connection: it remembers what was asked, since the answers come in that order."""

    preface = b""

    def __init__(self, adapter: ExternalServer, numbers: Iterator[int] | None = None):
        self.adapter, self.name = adapter, adapter.name
        self.frame_end: Callable[[bytes | bytearray, int, int], int] = adapter.frame_end
        self._asked: deque[tuple[int | None, Request]] = deque()
        self._numbers = itertools.count(1) if numbers is None else numbers

    def for_connection(self) -> "_FifoCodec":
        """For a new connection of the same client: nothing is asked yet, and the numbers of messages go on."""
        return _FifoCodec(self.adapter, self._numbers)

    def encode(self, tag: int | None, message: Message) -> bytes:
        if not isinstance(message, Request):
            raise TypeError(f"an adapter encodes requests, not {shorten(message)}")
        verb = _verb(type(message))
        if verb not in self.adapter.verbs:
            if verb == "acknowledge":
                return b""  # our clients send it by themselves; this server has no use for it
            if verb != "create_account":
                raise ChatError("BAD_VALUE", f"{self.name} has no {verb}")
        frame = self.adapter.encode(message)
        self._asked.append((tag, message))
        return frame

    def decode(self, frame: bytes) -> tuple[int | None, Message]:
        asked = self._asked[0][1] if self._asked else None
        message = self.adapter.decode(frame, asked)
        if isinstance(message, Reply):
            if asked is None:
                raise ProtocolError(f"{self.name} sent a reply without a request")
            return self._asked.popleft()[0], message
        if isinstance(message, Arrived) and not message.number:
            message = Arrived(next(self._numbers), message.sender, message.text, message.returned)
        return None, message
