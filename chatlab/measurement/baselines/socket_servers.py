"""Servers that do nothing, or next to nothing: what a load generator and this machine can do at most, and what is left of
a server when its parts are taken away one by one.

    echo       whatever bytes come go back: over a socket, with no codec and no chat
    raw        the same, for a client that takes the echo of its request for the answer
    frames     the same, whole frame by whole frame: what is not a whole one yet waits for its rest
    answers    each request has an answer of the right kind at once, with no chat; over gRPC a call is bytes in, bytes out
    bytes      gRPC alone: no message is read or written, neither in a call nor on the stream
    messages   gRPC and protobuf: each message is read and answered, as `answers` does over a socket
    stub     each request has its own answer and texts reach whom they are for, so that any load goes on (stub.py)

A stub calibrates, for pings over a socket an echo; the others are the stages of a ladder. A stub is served by an event
loop alone. Over a socket it costs less than the generator that drives it, most of it the codec's. Over gRPC it costs what
`bytes` does, as nearly as can be measured: that is grpcio's own part of a server, which no handler can leave out, and a light
generator costs less than that.

`implementation("chatlab.measurement.baselines.baseline:echo:text")` is the echo server in the framing of "text", and so for every protocol.
What `raw` and `frames` say back a client reads as an answer by the codec `EchoCodec`.
"""

import asyncio
import socket
import threading
from collections.abc import Callable

from ...codecs.connection import Connection
from ...codecs.interface import Codec, preface_of
from ...messages import (
    Account,
    Accounts,
    Balance,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deposit,
    Done,
    ListAccounts,
    Message,
    Ping,
    Pong,
    Reply,
    Request,
    Said,
    Say,
    ViewBalance,
)
from ...transport.event_loop import background_loop, run
from ...transport.interface import Address
from .stub_chat import StubChat, StubPeer

STOP_S = 0.1
RECEIVE_BYTES = 256 << 10


def answer(request: Request) -> Reply:
    """What costs nothing to answer."""
    return _ANSWERS.get(type(request), _DONE)


_DONE = Done()
_ANSWERS = {
    CreateAccount: Account(1, "nobody"), Deposit: Balance(0), ViewBalance: Balance(0), Ping: Pong(),
    ListAccounts: Accounts(()), DeleteAccount: Closed(0), Say: Said(0),
}  # fmt: skip


# ---- over sockets -----------------------------------------------------------------------------------------------


class EchoCodec:
    """The codec of a client that talks to an echo: its own request, come back, counts as the answer to it."""

    def __init__(self, codec: Codec):
        self.name, self.preface = codec.name, preface_of(codec)
        self.encode, self.frame_end, self._decode = codec.encode, codec.frame_end, codec.decode

    def decode(self, frame: bytes) -> tuple[int | None, Message]:
        tag, request = self._decode(frame)
        return tag, answer(request)


class WholeFrames:
    """A codec that knows where frames end and leaves them as they are."""

    def __init__(self, codec: Codec):
        self.name, self.preface = codec.name, preface_of(codec)
        self.frame_end = codec.frame_end

    def encode(self, tag: None, frame: bytes) -> bytes:
        return frame

    def decode(self, frame: bytes) -> tuple[None, bytes]:
        return None, frame


def echo_function(kind: str, codec: Codec) -> Callable[[bytes], bytes]:
    """What one connection says to what it has received: with each kind a little more of what our own server does."""
    if kind in ("echo", "raw-echo"):
        return bytes  # of bytes it is the same bytes, not a copy
    if kind == "frame-echo":
        connection = Connection(WholeFrames(codec), (Request, bytes))
        return lambda data: connection.send_all(connection.receive(data))
    connection = Connection(codec)
    return lambda data: connection.send_all([(tag, answer(request)) for tag, request in connection.receive(data)])


class EchoConnection(asyncio.Protocol):
    """One write for all that has come."""

    def __init__(self, say_back: Callable[[bytes], bytes]):
        self.echo_function = say_back

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self.echo_function(data))


class StubConnection(asyncio.Protocol):
    """One connection of a stub. What waits for it is written in one go, when the loop has heard everybody."""

    def __init__(self, stub: StubChat, codec: Codec):
        self._mirror, self._connection, self._loop = stub, Connection(codec), background_loop()
        self._peer = StubPeer(lambda: self._loop.call_soon(self._write))

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        peer, answer = self._peer, self._mirror.answer
        for tag, request in self._connection.receive(data):
            peer.put(tag, answer(peer, request))

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._connection.send_all(self._peer.take()))

    def connection_lost(self, error: Exception | None) -> None:
        self._mirror.forget(self._peer)


class LoopEndpoint:
    def __init__(self, connected: Callable[[], asyncio.Protocol], host: str, port: int):
        # By host and port, not by a socket of ours: asyncio then turns Nagle's algorithm off.
        self._server = run(background_loop().create_server(connected, host, port))
        self.address: Address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        run(self._close())

    async def _close(self) -> None:
        self._server.close()


class ThreadEndpoint:
    """A thread for each connection. They are daemons: whoever has nothing to say need not be waited for."""

    def __init__(self, conversation: Callable[[], Callable[[bytes], bytes]], host: str, port: int):
        self._conversation, self._listener = conversation, socket.create_server((host, port))
        self.address: Address = self._listener.getsockname()[:2]
        _start(self._accept)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # it was closed
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        say_back = self._conversation()
        with connection:
            try:
                while data := connection.recv(RECEIVE_BYTES):
                    connection.sendall(say_back(data))
            except OSError:
                pass  # the peer is gone

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        except OSError:
            pass  # not on every system; there the next newcomer does
        self._listener.close()


def _start(target, *args) -> None:
    threading.Thread(target=target, args=args, name="chatlab-null", daemon=True).start()
