"""Baseline servers over gRPC: grpc.aio on an event loop, or gRPC's pool of threads; `baseline.py` describes the kinds.

All methods of the service are served by the same few functions, registered as generic handlers. But for `messages` and
`stub-chat` these take and return bytes, so gRPC has nothing to parse or to serialize.
"""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...messages import Event, Message, Request
from ...proto import chat_pb2 as pb
from ...proto.convert import from_proto, from_stream_request, to_event, to_proto, to_stream_response
from ...transport.event_loop import run
from ...transport.grpc_common import NO_PROBES, SERVER_OPTIONS, SESSION
from ...transport.grpc_serving import listen
from ...transport.interface import Endpoint, Engine
from ...transport.quiet_grpc import grpc
from .stub_chat import DONE, StubChat, StubPeer, canned_reply

THREADS = 512  # of a server with threads: a stream of events holds one, and so does a call
STOP_S = 0.1
OPTIONS = (*SERVER_OPTIONS, NO_PROBES)
_NO_SESSION = ((SESSION, "nobody"),)

#: A call's request, or its reply: a protobuf message, or its bytes.
Wire = Any


def serve_grpc(kind: str, engine: Engine, host: str, port: int) -> Endpoint:
    """Serve a baseline of this kind."""
    if kind == "stub-chat":
        return StubEndpoint(StubChat(), host, port)
    return (LoopEndpoint if engine == "loop" else ThreadEndpoint)(kind, host, port)


class LoopEndpoint:
    """grpc.aio, on the shared event loop."""

    def __init__(self, kind: str, host: str, port: int):
        self._answer_call, self._answer_ask = _answer_functions(kind)
        run(self._start(kind, host, port))

    async def _start(self, kind: str, host: str, port: int) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        _add_handlers(self._server, kind, self.call, self.end, self.events, self.stream)
        self.address = listen(self._server, host, port)
        await self._server.start()

    async def call(self, request: Wire, context: Any) -> Wire:
        return self._answer_call(request)

    async def end(self, request: Wire, context: Any) -> Wire:
        return self._answer_call(request)

    async def events(self, request: Wire, context: Any) -> None:
        await context.send_initial_metadata(_NO_SESSION)
        await asyncio.Event().wait()  # until the peer goes

    async def stream(self, asks: AsyncIterator[Wire], context: Any) -> None:
        await context.send_initial_metadata(_NO_SESSION)
        async for ask in asks:
            await context.write(self._answer_ask(ask))

    def close(self) -> None:
        run(self._server.stop(STOP_S))


class StubEndpoint(LoopEndpoint):
    """A stub chat behind generic handlers: a call names its session by a token, a stream is a session of its own."""

    def __init__(self, stub: StubChat, host: str, port: int):
        self._stub = stub
        self._peers: dict[str, StubPeer] = {}  # by token
        self._tokens = map(str, itertools.count(1))
        super().__init__("messages", host, port)

    async def call(self, request: Wire, context: Any) -> Wire:
        return to_proto(self._stub.answer(self._peer_of(context), from_proto(request)))

    async def end(self, request: Wire, context: Any) -> Wire:
        self._peer_of(context).put(None, None)
        return to_proto(DONE)

    def _peer_of(self, context: Any) -> StubPeer:
        return self._peers[dict(context.invocation_metadata())[SESSION]]

    async def events(self, request: Wire, context: Any) -> None:
        await self._write(context, _to_event)

    async def stream(self, asks: AsyncIterator[Wire], context: Any) -> None:
        await self._write(context, to_stream_response, asks)

    async def _write(
        self, context: Any, convert: Callable[[int | None, Any], Any], asks: AsyncIterator[Wire] | None = None
    ) -> None:
        """Write what waits for the peer, one message after the other, until the session ends."""
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
                    await context.write(convert(tag, message))
        finally:
            if reader is not None:
                reader.cancel()
            del self._peers[token]
            self._stub.disconnect(peer)

    async def _read(self, peer: StubPeer, asks: AsyncIterator[Wire]) -> None:
        try:
            async for ask in asks:
                tag, request = from_stream_request(ask)
                peer.put(tag, self._stub.answer(peer, request))
        except grpc.aio.BaseError:
            return  # the stream broke, which ends the writer too
        peer.put(None, None)


class ThreadEndpoint:
    """gRPC's pool of threads."""

    def __init__(self, kind: str, host: str, port: int):
        self._answer_call, self._answer_ask = _answer_functions(kind)
        self._server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
        _add_handlers(self._server, kind, self.call, self.call, self.events, self.stream)
        self.address = listen(self._server, host, port)
        self._server.start()

    def call(self, request: Wire, context: Any) -> Wire:
        return self._answer_call(request)

    def events(self, request: Wire, context: Any) -> Iterator[Wire]:
        context.send_initial_metadata(_NO_SESSION)
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait()
        return iter(())

    def stream(self, asks: Iterator[Wire], context: Any) -> Iterator[Wire]:
        context.send_initial_metadata(_NO_SESSION)
        return map(self._answer_ask, asks)

    def close(self) -> None:
        self._server.stop(STOP_S).wait()


# ---- replies ----------------------------------------------------------------------------------------------------


def _to_event(tag: int | None, event: Event) -> pb.Event:
    return to_event(event)


def _answer_functions(kind: str) -> tuple[Callable[[Wire], Wire], Callable[[Wire], Wire]]:
    """What answers a call, and what answers a request on the stream."""
    if kind == "messages":
        return _canned_call, _canned_ask
    if kind == "bytes":
        return _empty_message, _said_with_the_tag_of
    return _empty_message, lambda raw: _canned_ask(pb.StreamRequest.FromString(raw)).SerializeToString()


def _canned_call(proto: Wire) -> Wire:
    request: Request = from_proto(proto)
    reply: Message = canned_reply(request)
    return to_proto(reply)


def _canned_ask(ask: pb.StreamRequest) -> pb.StreamResponse:
    tag, request = from_stream_request(ask)
    return to_stream_response(tag, canned_reply(request))


def _empty_message(raw: bytes) -> bytes:
    """No bytes are a valid message of whatever type."""
    return b""


def _said_with_the_tag_of(raw: bytes) -> bytes:
    """A request on the stream begins with its tag, and so does its response: `Said(0)`, which is two bytes more.

    >>> _said_with_the_tag_of(b"\\x08\\x07j\\x04\\n\\x02hi").hex(" ")
    '08 07 42 00'
    """
    end = 1
    while raw[end] & 0x80:
        end += 1
    return raw[: end + 1] + b"B\x00"


def _add_handlers(server: Any, kind: str, call: Any, end: Any, events: Any, stream: Any) -> None:
    """Have the server offer all methods that chat.proto names."""
    service = pb.DESCRIPTOR.services_by_name["Chat"]
    special = {
        "Events": (grpc.unary_stream_rpc_method_handler, events),
        "Stream": (grpc.stream_stream_rpc_method_handler, stream),
        "End": (grpc.unary_unary_rpc_method_handler, end),
    }
    handlers = {}
    for method in service.methods:
        make, act = special.get(method.name, (grpc.unary_unary_rpc_method_handler, call))
        if kind == "messages":
            request, reply = getattr(pb, method.input_type.name), getattr(pb, method.output_type.name)
            handlers[method.name] = make(act, request.FromString, reply.SerializeToString)
        else:
            handlers[method.name] = make(act)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    server.add_registered_method_handlers(service.full_name, handlers)
