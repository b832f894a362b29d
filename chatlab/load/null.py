"""Servers that do nothing, or next to nothing: what a load generator and this machine can do at most, and what is left of
a server when its parts are taken away one by one.

    echo       whatever bytes come go back: over a socket, with no codec and no chat
    raw        the same, for a client that takes the echo of its request for the answer
    frames     the same, whole frame by whole frame: what is not a whole one yet waits for its rest
    answers    each request has an answer of the right kind at once, with no chat; over gRPC a call is bytes in, bytes out
    bytes      gRPC alone: no message is read or written, neither in a call nor on the stream
    messages   gRPC and protobuf: each message is read and answered, as `answers` does over a socket
    mirror     each request has its own answer and texts reach whom they are for, so that any load goes on (mirror.py)

A mirror calibrates, for pings over a socket an echo; the others are the rungs of a ladder. A mirror is served by an event
loop alone. Over a socket it costs less than the generator that drives it, most of it the codec's. Over gRPC it costs what
`bytes` does, as nearly as can be measured: that is grpcio's own part of a server, which no handler can leave out, and a light
generator costs less than that.

`implementation("chatlab.load.null:echo:text")` is the echo server in the framing of "text", and so for every protocol.
What `raw` and `frames` say back a client reads as an answer by the codec `Echoed`.
"""

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
    Message,
    Ping,
    Pong,
    Reply,
    Request,
    Said,
    Say,
    ViewBalance,
)  # fmt: skip
from .mirror import Mirror, Peer

SOCKET_KINDS, GRPC_KINDS = ("echo", "raw", "frames", "answers", "mirror"), ("answers", "bytes", "messages", "mirror")
KINDS = tuple(dict.fromkeys(SOCKET_KINDS + GRPC_KINDS))
STOP_S = 0.1
RECEIVE_BYTES = 256 << 10
THREADS = 512  # of a gRPC server with threads: a stream of events holds one, and so does a call


def __getattr__(name: str):
    """`echo:PROTOCOL`, `answers:PROTOCOL` and so on, for whoever loads an Implementation by its name."""
    kind, colon, protocol = name.partition(":")
    if not colon or kind not in KINDS:
        raise AttributeError(f"there is no {name!r} here; there is {', '.join(f'{each}:PROTOCOL' for each in KINDS)}")
    return Null(kind, protocol)


class Null:
    """A server that does nothing, in the place of a protocol's. Clients are the protocol's own."""

    def __init__(self, kind: str, protocol: str):
        self.kind, self._carried = kind, implementation(protocol)
        self.name = self._carried.name
        codec: Codec | None = getattr(self._carried, "codec", None)
        if codec is None and kind not in GRPC_KINDS:
            raise ValueError(f"{self.name} has no frames of ours to echo; its null server answers")
        if codec is not None and kind not in SOCKET_KINDS:
            raise ValueError(f"{kind} is what gRPC does with a call, and {self.name} is not carried by gRPC")
        if kind == "raw" and getattr(codec, "preface", b""):
            raise ValueError(f"an echo of {self.name} begins with its preface, which no answer does")
        if codec is not None:
            self.codec = Echoed(codec) if kind in ("raw", "frames") else codec
        self.connect, self.connect_async = self._carried.connect, self._carried.connect_async

    def __repr__(self):
        return f"<a null server of {self.name}: {self.kind}>"

    def serve(self, hub, engine: str = "loop", host: str = "127.0.0.1", port: int = 0):
        """A door with nothing behind it, on either engine; with a mirror behind it, on a loop."""
        codec: Codec | None = getattr(self._carried, "codec", None)
        if self.kind == "mirror":
            if engine != "loop":
                raise ValueError(f"a mirror is served by a loop, not by {engine!r}")
            mirror = Mirror()
            return _GrpcMirrorDoor(mirror, host, port) if codec is None else _LoopDoor(lambda: _Mirrored(mirror, codec), host, port)
        if codec is None:
            return {"loop": _GrpcLoopDoor, "threads": _GrpcThreadDoor}[engine](self.kind, host, port)
        if engine == "loop":
            return _LoopDoor(lambda: _Echo(_say_back(self.kind, codec)), host, port)
        return _ThreadDoor(lambda: _say_back(self.kind, codec), host, port)


def answer(request: Request) -> Reply:
    """What costs nothing to answer."""
    return _ANSWERS.get(type(request), _DONE)


_DONE = Done()
_ANSWERS = {
    CreateAccount: Account(1, "nobody"), Deposit: Balance(0), ViewBalance: Balance(0), Ping: Pong(),
    ListAccounts: Accounts(()), DeleteAccount: Closed(0), Say: Said(0),
}  # fmt: skip


# ---- over sockets -----------------------------------------------------------------------------------------------


class Echoed:
    """The codec of a client that talks to an echo: its own request, come back, counts as the answer to it."""

    def __init__(self, codec: Codec):
        self.name, self.preface = codec.name, getattr(codec, "preface", b"")
        self.encode, self.frame_end, self._decode = codec.encode, codec.frame_end, codec.decode

    def decode(self, frame: bytes) -> tuple[int | None, Message]:
        tag, request = self._decode(frame)
        return tag, answer(request)


class _WholeFrames:
    """A codec that knows where frames end and leaves them as they are."""

    def __init__(self, codec: Codec):
        self.name, self.preface = codec.name, getattr(codec, "preface", b"")
        self.frame_end = codec.frame_end

    def encode(self, tag: None, frame: bytes) -> bytes:
        return frame

    def decode(self, frame: bytes) -> tuple[None, bytes]:
        return None, frame


def _say_back(kind: str, codec: Codec) -> Callable[[bytes], bytes]:
    """What one connection says to what it has received: with each kind a little more of what our own server does."""
    if kind in ("echo", "raw"):
        return bytes  # of bytes it is the same bytes, not a copy
    if kind == "frames":
        connection = Connection(_WholeFrames(codec), (Request, bytes))
        return lambda data: connection.send_all(connection.receive(data))
    connection = Connection(codec)
    return lambda data: connection.send_all([(tag, answer(request)) for tag, request in connection.receive(data)])


class _Echo(asyncio.Protocol):
    """One write for all that has come."""

    def __init__(self, say_back: Callable[[bytes], bytes]):
        self._say_back = say_back

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._say_back(data))


class _Mirrored(asyncio.Protocol):
    """One connection of a mirror. What waits for it is written in one go, when the loop has heard everybody."""

    def __init__(self, mirror: Mirror, codec: Codec):
        self._mirror, self._connection, self._loop = mirror, Connection(codec), background_loop()
        self._peer = Peer(lambda: self._loop.call_soon(self._write))

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


class _LoopDoor:
    def __init__(self, connected: Callable[[], asyncio.Protocol], host: str, port: int):
        # By host and port, not by a socket of ours: asyncio then turns Nagle's algorithm off.
        self._server = run(background_loop().create_server(connected, host, port))
        self.address: Address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        run(self._close())

    async def _close(self) -> None:
        self._server.close()


class _ThreadDoor:
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


# ---- over gRPC --------------------------------------------------------------------------------------------------

_PENDING = 1 << 20  # calls that wait to be taken; beyond 1000, gRPC by itself cancels some at random
_OPTIONS = (
    ("grpc.so_reuseport", 0), ("grpc.http2.bdp_probe", 0),
    ("grpc.server.max_pending_requests", _PENDING), ("grpc.server.max_pending_requests_hard_limit", _PENDING),
)  # fmt: skip
SESSION = "session"  # the metadata key of a session's token
_NOBODY = ((SESSION, "nobody"),)


class _GrpcLoopDoor:
    """grpc.aio: every method by the same few coroutines."""

    def __init__(self, kind: str, host: str, port: int):
        self._call, self._told = _answers_of(kind)
        run(self._accept(kind, host, port))

    async def _accept(self, kind: str, host: str, port: int) -> None:
        import grpc

        self._server = grpc.aio.server(options=_OPTIONS)
        _add_methods(self._server, kind, self)
        self.address: Address = (host, self._server.add_insecure_port(f"{host}:{port}"))
        await self._server.start()

    async def call(self, request, context):
        return self._call(request)

    end = call

    async def events(self, request, context) -> None:
        await context.send_initial_metadata(_NOBODY)
        await asyncio.Event().wait()  # until the peer goes

    async def stream(self, asks, context) -> None:
        await context.send_initial_metadata(_NOBODY)
        async for ask in asks:
            await context.write(self._told(ask))

    def close(self) -> None:
        run(self._server.stop(STOP_S))


class _GrpcMirrorDoor(_GrpcLoopDoor):
    """A mirror behind generic handlers: a call names its session by a token, a stream is its own."""

    def __init__(self, mirror: Mirror, host: str, port: int):
        from ..proto import convert

        self._mirror, self._convert = mirror, convert
        self._peers: dict[str, Peer] = {}  # by token
        self._tokens = map(str, itertools.count(1))
        super().__init__("messages", host, port)

    async def call(self, request, context):
        return self._convert.to_proto(self._mirror.answer(self._peer_of(context), self._convert.from_proto(request)))

    async def end(self, request, context):
        self._peer_of(context).put(None, None)
        return self._convert.to_proto(_DONE)

    def _peer_of(self, context) -> Peer:
        return self._peers[dict(context.invocation_metadata())[SESSION]]

    async def events(self, request, context) -> None:
        await self._tell(context, lambda tag, event: self._convert.to_event(event))

    async def stream(self, asks, context) -> None:
        await self._tell(context, self._convert.to_told, asks)

    async def _tell(self, context, spell: Callable, asks=None) -> None:
        """What waits, one message after the other, until the session ends."""
        awake, token = asyncio.Event(), next(self._tokens)
        peer = self._peers[token] = Peer(awake.set)
        reader = asyncio.ensure_future(self._read(peer, asks)) if asks is not None else None
        try:
            await context.send_initial_metadata(((SESSION, token),))
            while True:
                await awake.wait()
                awake.clear()
                for tag, message in peer.take():
                    if message is None:
                        return
                    await context.write(spell(tag, message))
        finally:
            if reader is not None:
                reader.cancel()
            del self._peers[token]
            self._mirror.forget(peer)

    async def _read(self, peer: Peer, asks) -> None:
        import grpc

        try:
            async for ask in asks:
                tag, request = self._convert.from_ask(ask)
                peer.put(tag, self._mirror.answer(peer, request))
        except grpc.aio.BaseError:
            return  # the stream broke: whoever tells hears of it too
        peer.put(None, None)


class _GrpcThreadDoor:
    """gRPC's pool of threads: every method by the same few functions."""

    def __init__(self, kind: str, host: str, port: int):
        import grpc

        self._call, self._told = _answers_of(kind)
        self._server = grpc.server(ThreadPoolExecutor(THREADS), options=_OPTIONS)
        _add_methods(self._server, kind, self)
        self.address: Address = (host, self._server.add_insecure_port(f"{host}:{port}"))
        self._server.start()

    def call(self, request, context):
        return self._call(request)

    end = call

    def events(self, request, context):
        context.send_initial_metadata(_NOBODY)
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait()
        return iter(())

    def stream(self, asks, context):
        context.send_initial_metadata(_NOBODY)
        return map(self._told, asks)

    def close(self) -> None:
        self._server.stop(STOP_S).wait()


def _answers_of(kind: str) -> tuple[Callable, Callable]:
    """What answers a call, and what answers an ask of the stream, in bytes or in protobuf's messages."""
    from ..proto.convert import from_ask, from_proto, to_proto, to_told

    def told(ask):
        tag, request = from_ask(ask)
        return to_told(tag, answer(request))

    if kind == "messages":
        return lambda proto: to_proto(answer(from_proto(proto))), told
    if kind == "bytes":
        return _nothing, _told_in_bytes
    from ..proto import chat_pb2 as pb

    return _nothing, lambda raw: told(pb.Ask.FromString(raw)).SerializeToString()


def _nothing(raw: bytes) -> bytes:
    """An empty message is an answer of whatever type."""
    return b""


def _told_in_bytes(raw: bytes) -> bytes:
    """An Ask begins with its tag, and so does the Told that answers it: `Said(0)`, which is two bytes more.

    >>> _told_in_bytes(b"\\x08\\x07j\\x04\\n\\x02hi").hex(" ")
    '08 07 42 00'
    """
    end = 1
    while raw[end] & 0x80:
        end += 1
    return raw[: end + 1] + b"B\x00"


def _add_methods(server, kind: str, door: _GrpcLoopDoor | _GrpcThreadDoor) -> None:
    """All that chat.proto names. But for `messages` it is bytes in and bytes out: there is nothing that (de)serializes."""
    import grpc

    from ..proto import chat_pb2 as pb

    service = pb.DESCRIPTOR.services_by_name["Chat"]
    special = {
        "Events": (grpc.unary_stream_rpc_method_handler, door.events), "Stream": (grpc.stream_stream_rpc_method_handler, door.stream),
        "End": (grpc.unary_unary_rpc_method_handler, door.end),
    }  # fmt: skip
    handlers = {}
    for method in service.methods:
        make, act = special.get(method.name, (grpc.unary_unary_rpc_method_handler, door.call))
        asked, told = getattr(pb, method.input_type.name), getattr(pb, method.output_type.name)
        handlers[method.name] = make(act, asked.FromString, told.SerializeToString) if kind == "messages" else make(act)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    server.add_registered_method_handlers(service.full_name, handlers)
