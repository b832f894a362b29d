"""A raw client and a chat server for tests.

`RawClient` types bytes into a real socket, as a hostile or a clumsy peer does; the package's own clients do the rest.
Nothing here is a mock and nothing sleeps: every wait is for something, with a deadline.
"""

import asyncio
import socket
import struct
import threading
import time
from contextlib import ExitStack

from chatlab.chat.hub import Hub
from chatlab.chat.service import Chat
from chatlab.codecs.text import TextCodec
from chatlab.messages import Limits
from chatlab.socket_impl import SocketImplementation

DEADLINE_S = 30.0
TEXT = SocketImplementation(TextCodec())


class RawClient:
    """One end of a TCP connection that says what it likes. `receive_buffer` makes it a reader that is soon full."""

    def __init__(self, address, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self._heard = b""

    def send(self, *lines: str) -> None:
        """Lines in one segment, each with its line end."""
        self.send_bytes("".join(line + "\n" for line in lines).encode())

    def send_bytes(self, data: bytes) -> None:
        self.sock.sendall(data)

    def line(self, timeout_s: float = DEADLINE_S) -> str:
        """The next line, without its end. Raises `TimeoutError`, or `EOFError` when the server has closed."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError(f"the server closed after {self._heard!r}")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def bytes(self, count: int) -> bytes:
        """The next so many bytes. Raises `TimeoutError`, or `EOFError` when the server has closed."""
        while len(self._heard) < count:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError(f"the server closed after {self._heard.hex(' ')}")
            self._heard += data
        found, self._heard = self._heard[:count], self._heard[count:]
        return found

    def lines(self, count: int) -> list[str]:
        return [self.line() for _ in range(count)]

    def ask(self, line: str) -> str:
        self.send(line)
        return self.line()

    def rest(self) -> list[str]:
        """All lines until the server closes the connection."""
        self.sock.settimeout(DEADLINE_S)
        while data := self.sock.recv(1 << 20):
            self._heard += data
        lines, self._heard = self._heard.decode().splitlines(), b""
        return lines

    def end(self) -> None:
        """Send no more; go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish like a crashed machine: the connection is reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


class ChatServer:
    """A chat with one endpoint, and the clients that use it. Leaving it closes the clients, then the endpoint."""

    def __init__(self, engine: str, limits: Limits = Limits(), chat: Chat | None = None, port: int = 0):
        self.engine, self.limits = engine, limits
        self.log: list[str] = []
        self.hub = Hub(chat or Chat(limits=limits), limits, self.log.append)
        self.endpoint = TEXT.serve(self.hub, engine=engine, port=port)
        self.address = self.endpoint.address
        self._clients = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._clients.close()
        self.endpoint.close()

    def client(self, name: str = "", password: str = ""):
        """A blocking client of the package; with a name, its account is created."""
        client = TEXT.connect(self.address)
        self._clients.callback(client.close)
        if name:
            client.create_account(name, password)
        return client

    def raw(self, name: str = "", receive_buffer=None) -> RawClient:
        """A raw socket; with a name, its account is created and the answer read."""
        raw = RawClient(self.address, receive_buffer)
        self._clients.callback(raw.close)
        if name:
            raw.ask(f"1|{name}")
        return raw


def until(true, timeout_s: float = DEADLINE_S) -> None:
    """Return when `true()` is; the one place that polls, for what port_pattern itself to nobody."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"still not so after {timeout_s:g} s"
        pause.wait(0.002)


def in_a_loop(coroutine):
    """Run the coroutine of an async test, with a deadline."""
    return asyncio.run(asyncio.wait_for(coroutine, 4 * DEADLINE_S))
