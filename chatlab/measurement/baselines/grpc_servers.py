"""Baseline servers over gRPC."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ...transport.event_loop import run
from ...transport.grpc_common import NO_PROBES, SERVER_OPTIONS, SESSION
from ...transport.interface import Address
from .socket_servers import _DONE, STOP_S, answer
from .stub_chat import StubChat, StubPeer

THREADS = 512  # of a gRPC server with threads: a stream of events holds one, and so does a call


# ---- over gRPC --------------------------------------------------------------------------------------------------

_OPTIONS = (*SERVER_OPTIONS, NO_PROBES)
_NOBODY = ((SESSION, "nobody"),)


class GrpcLoopEndpoint:
    """grpc.aio: every method by the same few coroutines."""

    def __init__(self, kind: str, host: str, port: int):
        self._call, self._told = _answers_of(kind)
        run(self._accept(kind, host, port))

    async def _accept(self, kind: str, host: str, port: int) -> None:
        from ...transport.quiet_grpc import grpc

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


class GrpcStubEndpoint(GrpcLoopEndpoint):
    """A stub behind generic handlers: a call names its session by a token, a stream is its own."""

    def __init__(self, stub: StubChat, host: str, port: int):
        from ...proto import convert

        self._mirror, self._convert = stub, convert
        self._peers: dict[str, StubPeer] = {}  # by token
        self._tokens = map(str, itertools.count(1))
        super().__init__("messages", host, port)

    async def call(self, request, context):
        return self._convert.to_proto(self._mirror.answer(self._peer_of(context), self._convert.from_proto(request)))

    async def end(self, request, context):
        self._peer_of(context).put(None, None)
        return self._convert.to_proto(_DONE)

    def _peer_of(self, context) -> StubPeer:
        return self._peers[dict(context.invocation_metadata())[SESSION]]

    async def events(self, request, context) -> None:
        await self._tell(context, lambda tag, event: self._convert.to_event(event))

    async def stream(self, asks, context) -> None:
        await self._tell(context, self._convert.to_told, asks)

    async def _tell(self, context, spell: Callable, asks=None) -> None:
        """What waits, one message after the other, until the session ends."""
        awake, token = asyncio.Event(), next(self._tokens)
        peer = self._peers[token] = StubPeer(awake.set)
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

    async def _read(self, peer: StubPeer, asks) -> None:
        from ...transport.quiet_grpc import grpc

        try:
            async for ask in asks:
                tag, request = self._convert.from_ask(ask)
                peer.put(tag, self._mirror.answer(peer, request))
        except grpc.aio.BaseError:
            return  # the stream broke: whoever tells hears of it too
        peer.put(None, None)


class GrpcThreadEndpoint:
    """gRPC's pool of threads: every method by the same few functions."""

    def __init__(self, kind: str, host: str, port: int):
        from ...transport.quiet_grpc import grpc

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
    from ...proto.convert import from_ask, from_proto, to_proto, to_told

    def told(ask):
        tag, request = from_ask(ask)
        return to_told(tag, answer(request))

    if kind == "messages":
        return lambda proto: to_proto(answer(from_proto(proto))), told
    if kind == "bytes":
        return _nothing, _told_in_bytes
    from ...proto import chat_pb2 as pb

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


def _add_methods(server, kind: str, door: GrpcLoopEndpoint | GrpcThreadEndpoint) -> None:
    """All that chat.proto names. But for `messages` it is bytes in and bytes out: there is nothing that (de)serializes."""
    from ...proto import chat_pb2 as pb
    from ...transport.quiet_grpc import grpc

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
