"""Baseline servers over TCP sockets, on an event loop or with threads; `baseline.py` describes the kinds."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import cast

from ...codecs.connection import Connection
from ...codecs.interface import Codec, Tagged, preface_of
from ...messages import Message, Request
from ...transport.event_loop import background_loop, run, start_thread
from ...transport.interface import Address
from ...transport.serving import RECEIVE_BYTES, listen
from .stub_chat import StubChat, StubPeer, canned_reply

Echo = Callable[[bytes], bytes]  #: from the bytes that one connection has received to the bytes to send


class EchoCodec:
    """The codec of clients that talk to an echo: their own request, come back, counts as its reply."""

    def __init__(self, codec: Codec):
        self.name, self.preface = codec.name, preface_of(codec)
        self.encode, self.frame_end, self._decode = codec.encode, codec.frame_end, codec.decode

    def decode(self, frame: bytes) -> Tagged:
        tag, request = self._decode(frame)
        return tag, canned_reply(cast(Request, request))


class WholeFrames:
    """A codec that knows where frames end, and leaves them as they are."""

    def __init__(self, codec: Codec):
        self.name, self.preface = codec.name, preface_of(codec)
        self.frame_end = codec.frame_end

    def encode(self, tag: int | None, frame: Message) -> bytes:
        return cast(bytes, frame)

    def decode(self, frame: bytes) -> Tagged:
        return None, cast(Message, frame)


def echo_function(kind: str, codec: Codec) -> Echo:
    """What one connection answers, without a chat: each kind does a little more of what a server of ours does."""
    if kind in ("echo", "raw-echo"):
        return bytes  # which returns the same object, not a copy
    if kind == "frame-echo":
        frames = Connection(WholeFrames(codec), (Request, bytes))
        return lambda data: frames.send_all(frames.receive(data))
    connection = Connection(codec)
    return lambda data: connection.send_all(
        [(tag, canned_reply(cast(Request, request))) for tag, request in connection.receive(data)]
    )


class EchoConnection(asyncio.Protocol):
    """One connection of an echo: one write for all that was received."""

    def __init__(self, echo: Echo):
        self._echo = echo

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._echo(data))


class StubConnection(asyncio.Protocol):
    """One connection of a stub chat. What waits for it is written in one go, when the loop has read from all."""

    def __init__(self, stub: StubChat, codec: Codec):
        self._stub, self._connection, self._loop = stub, Connection(codec), background_loop()
        self._peer = StubPeer(lambda: self._loop.call_soon(self._write))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        peer, answer = self._peer, self._stub.answer
        for tag, request in self._connection.receive(data):
            peer.put(tag, answer(peer, cast(Request, request)))

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._connection.send_all(self._peer.take()))

    def connection_lost(self, error: Exception | None) -> None:
        self._stub.disconnect(self._peer)


class LoopEndpoint:
    """A server on the shared event loop."""

    def __init__(self, make_connection: Callable[[], asyncio.Protocol], host: str, port: int):
        # By host and port, not by a socket of ours: asyncio then turns Nagle's algorithm off.
        self._server = run(background_loop().create_server(make_connection, host, port))
        self.address: Address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        run(self._close())

    async def _close(self) -> None:
        self._server.close()


class ThreadEndpoint:
    """A server with a thread for each connection. They are daemons, which nothing has to wait for."""

    def __init__(self, make_echo: Callable[[], Echo], host: str, port: int):
        self._make_echo, self._listener = make_echo, listen(host, port)
        self.address: Address = self._listener.getsockname()[:2]
        start_thread(self._accept, "chatlab-baseline")

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # it was closed
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            start_thread(partial(self._serve, connection), "chatlab-baseline")

    def _serve(self, connection: socket.socket) -> None:
        echo = self._make_echo()
        with connection:
            try:
                while data := connection.recv(RECEIVE_BYTES):
                    connection.sendall(echo(data))
            except OSError:
                pass  # the peer is gone

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        except OSError:
            pass  # some systems do not; there the next connection wakes it
        self._listener.close()
