"""The chat over gRPC: two servers that offer both of its styles, a call for each verb and a stream for everything.

`ThreadServer` and `LoopServer` are the twins of those in `socket_impl`, under the same names in the same order; what is
missing beside them is what gRPC does by itself (framing, tags for calls, keeping connections alive):

    a *reader*  takes the calls, or the requests of a stream, and asks the hub;
    the *outbox* holds the replies and events that the hub wants written; a reply to a call goes to that call instead;
    a *writer*  hands gRPC one message after the other, each when it has taken the one before.

A session is a stream. In the style "grpc" it is the Events stream, and each verb is a call that names the session by a
token; in the style "grpc-stream" it is the Stream that carries everything. When the stream ends, however it ends, the
session is off-line. Nothing here decides what a request means (the service does). The other end of a connection is
`transport/grpc_client.py`.
"""

import asyncio
import queue
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, NoReturn

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Proto

from .chat.hub import ConnectedSession, Hub
from .messages import CODES, ChatError, Refused, Request
from .proto import chat_pb2 as pb
from .proto.convert import from_proto
from .transport.async_client import AsyncClient
from .transport.client import Client
from .transport.event_loop import background_loop, run, start_thread
from .transport.grpc_client import AsyncStreamTransport, AsyncUnaryTransport, StreamTransport, UnaryTransport
from .transport.grpc_common import AFTER_EVENTS, CODE, EVENTS_BEFORE, SESSION, check_not_forked, metadata_value
from .transport.grpc_serving import (
    CHECKED_SERVICES,
    SERVING,
    SESSION_ENDED,
    CallOutbox,
    CallReply,
    DaemonPool,
    Encode,
    ReplyTo,
    add_services,
    encode_event,
    encode_reply,
    encode_stream_message,
    health,
    listen,
    parse_request,
    peer_of,
    server_options,
    status_of,
)
from .transport.interface import ENGINES, Address, AsyncDial, Dial, Endpoint, Engine
from .transport.quiet_grpc import grpc, install_log_filter
from .transport.serving import CHECK_TIMEOUTS_S, ConnectionTimeouts, check_timeouts

SPARE_THREADS = 16  # of a thread server, for calls, while every stream that it takes holds one
WAITING_CALLS = 1024  # of a thread server, for one of those


class GrpcImplementation:
    """One style of speaking gRPC. Every server of ours understands both, so the two differ in their clients only."""

    codec = None  #: gRPC and protobuf encode the messages themselves
    verbs: frozenset[str] | None = None
    engines = ENGINES

    def __init__(self, name: str, dial: Dial, dial_async: AsyncDial):
        self.name = name
        self._dial, self._dial_async = dial, dial_async

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def serve(self, hub: Hub, engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Serve the hub: the engine "threads" is gRPC's pool of threads, "loop" is grpc.aio."""
        check_not_forked()
        servers: dict[Engine, type[ThreadServer | LoopServer]] = {"threads": ThreadServer, "loop": LoopServer}
        return servers[engine](hub, host, port)

    def connect(self, address: Address) -> Client:
        """A blocking client. Raises `ConnectionLost`."""
        check_not_forked()
        return Client(self.name, address, self._dial)

    async def connect_async(self, address: Address) -> AsyncClient:
        """An async client for the running event loop. Raises `ConnectionLost`."""
        check_not_forked()
        return await AsyncClient.connect(self.name, address, self._dial_async)


def grpc_unary() -> GrpcImplementation:
    """A call for each verb, and a stream of events: the idiomatic way."""
    return GrpcImplementation("grpc", UnaryTransport, AsyncUnaryTransport.dial)


def grpc_stream() -> GrpcImplementation:
    """Everything over one bidirectional stream."""
    return GrpcImplementation("grpc-stream", StreamTransport, AsyncStreamTransport.dial)


# ---- a server with threads --------------------------------------------------------------------------------------


class ThreadServer:
    """A pool of threads: a stream holds one of them for as long as it lives, a call for as long as it takes."""

    def __init__(self, hub: Hub, host: str, port: int):
        self.hub = hub
        self._connections: dict[str, ThreadConnection] = {}  # by token
        self._places = threading.Semaphore(hub.limits.streams)
        self._pool = DaemonPool(hub.limits.streams + SPARE_THREADS)
        most = hub.limits.streams + SPARE_THREADS + WAITING_CALLS
        self._server = grpc.server(self._pool, options=server_options(hub.limits), maximum_concurrent_rpcs=most)
        self.address = listen(self._server, host, port)
        self._closing = threading.Event()
        self._accept()

    def __repr__(self) -> str:
        return f"<ThreadServer over gRPC, {len(self._connections)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to all clients, and return when all streams have ended."""
        self._closing.set()
        stopped = self._server.stop(self.hub.limits.linger_s)
        for connection in list(self._connections.values()):
            connection.outbox.end("the server stops")
        stopped.wait()
        for connection in list(self._connections.values()):
            connection.lost()
        self._timer.join()
        self._pool.shutdown()

    def _accept(self) -> None:
        checks = health.HealthServicer()
        for service in CHECKED_SERVICES:
            checks.set(service, SERVING)
        add_services(self._server, self, checks)
        self._server.start()
        self._timer = start_thread(self._check_timeouts, "chatlab-timeouts")

    def _accept_client(self, context: grpc.ServicerContext) -> "ThreadConnection":
        connection = ThreadConnection(self, context)
        if not self._places.acquire(blocking=False):
            full = f"the server has threads for {self.hub.limits.streams} sessions and takes no more"
            self._refuse(context, Refused("SERVER_FULL", full))
        try:
            connection.session = self.hub.open_session(connection.outbox, connection.peer)
        except ChatError as error:
            self._places.release()
            self._refuse(context, Refused(error.code, error.text))
        self._connections[connection.token] = connection
        if not context.add_callback(connection.lost):
            connection.lost()  # the newcomer left already
        return connection

    def _check_timeouts(self) -> None:
        while not self._closing.wait(CHECK_TIMEOUTS_S):
            check_timeouts(self._connections.values())

    def remove(self, connection: "ThreadConnection") -> None:
        """Forget a session whose stream has ended; again is fine."""
        if self._connections.pop(connection.token, None) is not None:
            self.hub.close_session(connection.session)
            self._places.release()

    def _find(self, context: grpc.ServicerContext) -> "ThreadConnection":
        connection = self._connections.get(metadata_value(context.invocation_metadata(), SESSION) or "")
        if connection is None:
            self._refuse(context, Refused("NO_SESSION", CODES["NO_SESSION"].sentence))
        return connection

    def _refuse(self, context: grpc.ServicerContext, refused: Refused) -> NoReturn:
        context.set_trailing_metadata(((CODE, refused.code),))
        context.abort(status_of(refused), refused.text)
        raise AssertionError("abort raises")

    # ---- the calls of chat.proto

    def verb(self, proto: Proto, context: grpc.ServicerContext) -> Proto:
        """One verb, in a thread of the pool."""
        request = from_proto(proto)
        reply, events_before = self._find(context).answer(request)
        answer = encode_reply(reply, self.hub.limits.frame)
        if isinstance(answer, pb.Refused):
            self._refuse(context, Refused(answer.code, answer.text))
        if type(request) in AFTER_EVENTS:
            context.set_trailing_metadata(((EVENTS_BEFORE, str(events_before)),))
        return answer

    def events(self, request: pb.Subscribe, context: grpc.ServicerContext) -> Iterator[Proto]:
        """The session of a client that makes a call for each verb."""
        return self._accept_client(context).write(encode_event)

    def end(self, request: pb.Unsubscribe, context: grpc.ServicerContext) -> pb.Done:
        """That client's session ends when everything it asked is answered."""
        self.hub.finish_session(self._find(context).session)
        return pb.Done()

    def stream(self, requests: Iterator[pb.StreamRequest], context: grpc.ServicerContext) -> Iterator[Proto]:
        """The session of a client that sends everything over one stream."""
        connection = self._accept_client(context)
        start_thread(partial(connection.read, requests), "chatlab-reader")
        return connection.write(encode_stream_message)


class ThreadConnection:
    """The server's side of one session."""

    session: ConnectedSession  #: set by the server that accepts the connection

    def __init__(self, server: ThreadServer, context: grpc.ServicerContext):
        self.server, self.context, self.peer = server, context, peer_of(context)
        self.token = secrets.token_urlsafe(12)
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.outbox = CallOutbox(self._wake, server.hub.limits)
        self.timeouts = ConnectionTimeouts(server.hub.limits)
        self.has_asked = False
        self._calls: set[ReplyTo] = set()
        self._lost = False

    def answer(self, request: Request) -> CallReply:
        """Ask the hub; the reply comes at once, or from another thread when a password has been hashed."""
        self.has_asked = True
        replies: queue.SimpleQueue[CallReply] = queue.SimpleQueue()
        call = ReplyTo(replies.put)
        self._calls.add(call)
        self.server.hub.ask(self.session, call, request)
        if self._lost:  # perhaps after `lost` has told all calls, and then this one would wait for ever
            call.deliver(SESSION_ENDED)
        reply = replies.get()
        self._calls.discard(call)
        return reply

    def read(self, requests: Iterator[pb.StreamRequest]) -> None:
        """The reader's thread: until the peer asks no more, or the stream breaks."""
        try:
            for request in requests:
                self.has_asked = True
                self.server.hub.ask(self.session, *parse_request(request))
        except grpc.RpcError:
            return  # the stream broke: gRPC calls `lost` too
        self.server.hub.finish_session(self.session)

    def write(self, encode: Encode) -> Iterator[Proto]:
        """In the stream's own thread: gRPC takes one message after the other from this generator."""
        self.context.send_initial_metadata(((SESSION, self.token),))
        while not self.outbox.closed or self.outbox:
            self._wakeups.get()
            for tag, message in self.outbox.take():
                yield from encode(tag, message, self.server.hub.limits.frame)
        self.server.remove(self)  # before the peer is told that it is over

    def _wake(self) -> None:
        self._wakeups.put(None)

    def abort(self) -> None:
        """End the stream, whatever still waits; a writer that gRPC keeps waiting returns, and `lost` is called."""
        self.context.cancel()

    def lost(self) -> None:
        """The stream has ended; gRPC calls this from a thread of its own."""
        self._lost = True
        self.server.remove(self)
        self._wake()  # the writer, so that its thread is free again
        for call in list(self._calls):
            call.deliver(SESSION_ENDED)


# ---- a server with an event loop --------------------------------------------------------------------------------


class LoopServer:
    """One thread for all clients: a stream and a call are coroutines, and waiting costs no thread."""

    address: Address
    _timer: asyncio.TimerHandle

    def __init__(self, hub: Hub, host: str, port: int):
        self.hub = hub
        self._connections: dict[str, LoopConnection] = {}  # by token
        self.loop = background_loop()
        run(self._accept(host, port))

    def __repr__(self) -> str:
        return f"<LoopServer over gRPC, {len(self._connections)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to all clients, and return when all streams have ended."""
        run(self._close())

    async def _close(self) -> None:
        self._timer.cancel()
        stopping = asyncio.ensure_future(self._server.stop(self.hub.limits.linger_s))
        for connection in list(self._connections.values()):
            connection.outbox.end("the server stops")
        await stopping
        for connection in list(self._connections.values()):
            connection.abort()
        while self._connections:
            await asyncio.sleep(0)

    async def _accept(self, host: str, port: int) -> None:
        self._thread = threading.get_ident()
        install_log_filter()
        self._server = grpc.aio.server(options=server_options(self.hub.limits))
        self.address = listen(self._server, host, port)
        checks = health.aio.HealthServicer()
        for service in CHECKED_SERVICES:
            await checks.set(service, SERVING)
        add_services(self._server, self, checks)
        await self._server.start()
        self._check_timeouts()

    async def _accept_client(self, context: grpc.aio.ServicerContext) -> "LoopConnection":
        connection = LoopConnection(self, context)
        try:
            connection.session = self.hub.open_session(connection.outbox, connection.peer)
        except ChatError as error:
            await self._refuse(context, Refused(error.code, error.text))
        self._connections[connection.token] = connection
        return connection

    def _check_timeouts(self) -> None:
        check_timeouts(self._connections.values())
        self._timer = self.loop.call_later(CHECK_TIMEOUTS_S, self._check_timeouts)

    def remove(self, connection: "LoopConnection") -> None:
        """Forget a session whose stream has ended; again is fine."""
        if self._connections.pop(connection.token, None) is not None:
            self.hub.close_session(connection.session)

    async def _find(self, context: grpc.aio.ServicerContext) -> "LoopConnection":
        connection = self._connections.get(metadata_value(context.invocation_metadata(), SESSION) or "")
        if connection is None:
            await self._refuse(context, Refused("NO_SESSION", CODES["NO_SESSION"].sentence))
        return connection

    async def _refuse(self, context: grpc.aio.ServicerContext, refused: Refused) -> NoReturn:
        context.set_trailing_metadata(((CODE, refused.code),))
        await context.abort(status_of(refused), refused.text)
        raise AssertionError("abort raises")

    def call_soon(self, act: Any, *args: Any) -> None:
        """Call it on the loop's thread, at once where we are on it; any thread may call."""
        if threading.get_ident() == self._thread:
            act(*args)
        else:
            self.loop.call_soon_threadsafe(act, *args)

    # ---- the calls of chat.proto

    async def verb(self, proto: Proto, context: grpc.aio.ServicerContext) -> Proto:
        """One verb, in a task of its own."""
        request = from_proto(proto)
        connection = await self._find(context)
        reply, events_before = await connection.answer(request)
        answer = encode_reply(reply, self.hub.limits.frame)
        if isinstance(answer, pb.Refused):
            await self._refuse(context, Refused(answer.code, answer.text))
        if type(request) in AFTER_EVENTS:
            context.set_trailing_metadata(((EVENTS_BEFORE, str(events_before)),))
        return answer

    async def events(self, request: pb.Subscribe, context: grpc.aio.ServicerContext) -> None:
        """The session of a client that makes a call for each verb."""
        connection = await self._accept_client(context)
        await connection.write(encode_event)

    async def end(self, request: pb.Unsubscribe, context: grpc.aio.ServicerContext) -> pb.Done:
        """That client's session ends when everything it asked is answered."""
        connection = await self._find(context)
        self.hub.finish_session(connection.session)
        return pb.Done()

    async def stream(self, requests: AsyncIterator[pb.StreamRequest], context: grpc.aio.ServicerContext) -> None:
        """The session of a client that sends everything over one stream."""
        connection = await self._accept_client(context)
        reader = asyncio.ensure_future(connection.read(requests))
        try:
            await connection.write(encode_stream_message)
        finally:
            reader.cancel()


class LoopConnection:
    """The server's side of one session."""

    session: ConnectedSession  #: set by the server that accepts the connection

    def __init__(self, server: LoopServer, context: grpc.aio.ServicerContext):
        self.server, self.context, self.peer = server, context, peer_of(context)
        self.token = secrets.token_urlsafe(12)
        self._wakeup = asyncio.Event()
        self.outbox = CallOutbox(self._wake, server.hub.limits)
        self.timeouts = ConnectionTimeouts(server.hub.limits)
        self.has_asked = False
        self._calls: set[ReplyTo] = set()
        self._writer = asyncio.current_task()
        self._aborted = False

    async def answer(self, request: Request) -> CallReply:
        """Ask the hub; the reply comes at once, or from another thread when a password has been hashed."""
        self.has_asked = True
        answer: asyncio.Future[CallReply] = self.server.loop.create_future()
        call = ReplyTo(partial(self.server.call_soon, _settle, answer))
        self._calls.add(call)
        self.server.hub.ask(self.session, call, request)
        try:
            return await answer
        finally:
            self._calls.discard(call)

    async def read(self, requests: AsyncIterator[pb.StreamRequest]) -> None:
        """The reader's task: until the peer asks no more, or the stream breaks."""
        try:
            async for request in requests:
                self.has_asked = True
                self.server.hub.ask(self.session, *parse_request(request))
        except DecodeError as error:
            self.outbox.end(f"protocol error: {error}")
        except grpc.aio.BaseError:
            return  # the stream broke: the writer finds out too
        self.server.hub.finish_session(self.session)

    async def write(self, encode: Encode) -> None:
        """In the stream's own task: hand gRPC what waits, until the outbox ends or gRPC cancels the task."""
        try:
            await self.context.send_initial_metadata(((SESSION, self.token),))
            while not self.outbox.closed or self.outbox:
                await self._wakeup.wait()
                self._wakeup.clear()
                for tag, message in self.outbox.take():
                    for proto in encode(tag, message, self.server.hub.limits.frame):
                        await self.context.write(proto)
        except asyncio.CancelledError:
            if self._aborted:
                await self._tell_of_abort()
            raise
        finally:
            self.lost()  # before the peer is told that it is over

    def _wake(self) -> None:
        self.server.call_soon(self._wakeup.set)

    def abort(self) -> None:
        """End the stream, whatever still waits. What gRPC has taken already it keeps until the peer goes."""
        self._aborted = True
        if self._writer is not None:
            self._writer.cancel()

    async def _tell_of_abort(self) -> None:
        """A task that merely ends as cancelled tells its peer nothing, and the peer would wait for ever."""
        self.lost()
        try:
            await self.context.abort(grpc.StatusCode.UNAVAILABLE, "you have not read your last words")
        except grpc.aio.InternalError:
            pass  # the peer went without reading them

    def lost(self) -> None:
        """The stream has ended."""
        self.server.remove(self)
        for call in list(self._calls):
            call.deliver(SESSION_ENDED)


def _settle(answer: "asyncio.Future[CallReply]", reply: CallReply) -> None:
    if not answer.done():  # the caller may have gone meanwhile
        answer.set_result(reply)
