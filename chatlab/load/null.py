"""Servers that do nothing, to find out what a load generator and this machine can do at most.

    echo       whatever bytes come go back: over a socket, with no codec and no chat
    answers    each request has an answer of the right kind at once, with no chat; over gRPC by a generic handler, bytes
               in and bytes out

`implementation("chatlab.load.null:echo:text")` is the echo server in the framing of "text", and so for every protocol.
"""

import asyncio
from collections.abc import Callable

from ..client import Address
from ..codecs import Codec
from ..connection import Connection
from ..harness import implementation
from ..loops import background_loop, run
from ..messages import (
    Account,
    Accounts,
    Balance,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deposit,
    Done,
    ListAccounts,
    Ping,
    Pong,
    Reply,
    Request,
    ViewBalance,
)  # fmt: skip

KINDS = ("echo", "answers")
STOP_S = 0.1


def __getattr__(name: str):
    """`echo:PROTOCOL` and `answers:PROTOCOL`, for whoever loads an Implementation by its name."""
    kind, colon, protocol = name.partition(":")
    if not colon or kind not in KINDS:
        raise AttributeError(f"there is no {name!r} here; there is echo:PROTOCOL and answers:PROTOCOL")
    return Null(kind, protocol)


class Null:
    """A server that does nothing, in the place of a protocol's. Clients are the protocol's own."""

    def __init__(self, kind: str, protocol: str):
        self.kind, self._carried = kind, implementation(protocol)
        self.name = self._carried.name
        self._codec: Codec | None = getattr(self._carried, "codec", None)
        if kind == "echo" and self._codec is None:
            raise ValueError(f"{self.name} has no frames of ours to echo; its null server answers")
        self.connect, self.connect_async = self._carried.connect, self._carried.connect_async

    def __repr__(self):
        return f"<a null server of {self.name} that {'echoes' if self.kind == 'echo' else self.kind}>"

    def serve(self, hub, engine: str = "loop", host: str = "127.0.0.1", port: int = 0):
        """A door with nothing behind it; it has one engine, the loop."""
        if self._codec is None:
            return _GrpcDoor(host, port)
        codec = self._codec
        return _SocketDoor(_Echo if self.kind == "echo" else lambda: _Answering(codec), host, port)


def answer(request: Request) -> Reply:
    """What costs nothing to answer."""
    return _ANSWERS.get(type(request), _DONE)


_DONE = Done()
_ANSWERS = {
    CreateAccount: Account(1, "nobody"), Deposit: Balance(0), ViewBalance: Balance(0), Ping: Pong(),
    ListAccounts: Accounts(()), DeleteAccount: Closed(0),
}  # fmt: skip


# ---- over sockets -----------------------------------------------------------------------------------------------


class _Echo(asyncio.Protocol):
    """One write for all that has come."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _Answering(_Echo):
    """The same, with the codec between: what our own server does, without a hub and a chat."""

    def __init__(self, codec: Codec):
        self._connection = Connection(codec)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        self._transport.write(b"".join([connection.send(tag, answer(request)) for tag, request in connection.receive(data)]))


class _SocketDoor:
    def __init__(self, protocol: Callable[[], asyncio.Protocol], host: str, port: int):
        # By host and port, not by a socket of ours: asyncio then turns Nagle's algorithm off.
        self._server = run(background_loop().create_server(protocol, host, port))
        self.address: Address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        run(self._close())

    async def _close(self) -> None:
        self._server.close()


# ---- over gRPC --------------------------------------------------------------------------------------------------


class _GrpcDoor:
    """Every method, by one generic handler: an empty message is an answer of whatever type."""

    def __init__(self, host: str, port: int):
        run(self._accept(host, port))

    async def _accept(self, host: str, port: int) -> None:
        import grpc

        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.http2.bdp_probe", 0)))
        self._server.add_generic_rpc_handlers((_handlers(grpc),))
        self.address: Address = (host, self._server.add_insecure_port(f"{host}:{port}"))
        await self._server.start()

    def close(self) -> None:
        run(self._server.stop(STOP_S))


def _handlers(grpc):
    """Bytes in, bytes out: there is nothing that (de)serializes."""
    call = grpc.unary_unary_rpc_method_handler(_call)
    special = {"Events": grpc.unary_stream_rpc_method_handler(_events), "Stream": grpc.stream_stream_rpc_method_handler(_stream)}

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details):
            return special.get(details.method.rpartition("/")[2], call)

    return Handlers()


async def _call(raw: bytes, context) -> bytes:
    return b""


async def _events(raw: bytes, context) -> None:
    await context.send_initial_metadata((("session", "nobody"),))
    await asyncio.Event().wait()  # until the peer goes


async def _stream(asks, context) -> None:
    from ..proto import chat_pb2 as pb
    from ..proto.convert import from_ask, to_told

    await context.send_initial_metadata((("session", "nobody"),))
    async for raw in asks:
        tag, request = from_ask(pb.Ask.FromString(raw))
        await context.write(to_told(tag, answer(request)).SerializeToString())
