"""The chat over gRPC: two servers that speak both of its styles, and a client for each style.

`ThreadServer` and `LoopServer` are the twins of those in `socket_impl`, under the same names in the same order; what is
missing beside them is what gRPC does by itself (framing, tags for calls, keeping connections alive):

    a *reader*  takes the calls, or the asks of a stream, and asks the hub;
    the *outbox* holds what the hub wants said, in the order of turns; what answers a call goes to that call instead;
    a *writer*  hands gRPC one message after the other, each when it has taken the one before.

A session is a stream. In the style "grpc" it is the Events stream, and each verb is a call that names the session by a
token; in the style "grpc-stream" it is the Stream that carries everything. When the stream ends, however it ends, the
session is off-line. Nothing here decides what a request means (the service does).
"""

import asyncio
import errno
import queue
import secrets
import socket
import threading
import time
from concurrent import futures
from functools import partial
from types import SimpleNamespace
from urllib.parse import unquote

from .transport import grpc_logging  # noqa: F401  before gRPC is loaded

# isort: split
import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Proto
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from .chat.hub import Hub, Outbox
from .messages import (
    CODES,
    REQUESTS,
    ChatError,
    Event,
    Limits,
    Malformed,
    Message,
    ProtocolError,
    Refused,
    Reply,
    Request,
)
from .proto import chat_pb2 as pb
from .proto.chat_pb2_grpc import add_ChatServicer_to_server
from .proto.convert import from_ask, from_proto, to_event, to_proto, to_told
from .transport.async_client import AsyncClient
from .transport.client import Client
from .transport.event_loop import background_loop, run, start_thread
from .transport.grpc_client import AsyncStreamTransport, AsyncUnaryTransport, StreamTransport, UnaryTransport
from .transport.grpc_common import (
    CODE,
    EVENTS_BEFORE,
    KEEPALIVE_OPTIONS,
    KEEPALIVE_TIMEOUT_S,
    MAX_PENDING,
    SERVICE,
    SESSION,
    install_log_filter,
    metadata_value,
    size_error,
)
from .transport.interface import ENGINES, Address, AsyncDial, Dial, format_address
from .transport.serving import Patience, label

SPARE_THREADS = 16  # of a thread server, for calls, while every stream that it takes holds one
WAITING_CALLS = 1024  # of a thread server, for one of those
SWEEP_S = 0.25  # how often a server looks for newcomers that ask nothing and for peers that do not read


class GrpcImplementation:
    """One style of speaking gRPC. Every server of ours understands both, so the two differ in their clients only."""

    def __init__(self, name: str, dial: Dial, dial_async: AsyncDial):
        self.name = name
        self.codec = None  # gRPC and protobuf encode the messages themselves
        self.verbs: frozenset[str] | None = None
        self.engines = ENGINES
        self._dial, self._dial_async = dial, dial_async

    def __repr__(self):
        return f"<{self.name}>"

    def serve(self, hub: Hub, engine: str = "loop", host: str = "127.0.0.1", port: int = 0):
        """Open a door to the hub: `engine` "threads" is gRPC's pool of threads, "loop" is grpc.aio."""
        return {"threads": ThreadServer, "loop": LoopServer}[engine](hub, host, port)

    def connect(self, address: Address) -> Client:
        """A blocking client. Raises `ConnectionLost`."""
        return Client(self.name, address, self._dial)

    async def connect_async(self, address: Address) -> AsyncClient:
        """An async client for the running event loop. Raises `ConnectionLost`."""
        return await AsyncClient.connect(self.name, address, self._dial_async)


def unary() -> GrpcImplementation:
    """A call for each verb, and a stream of events: the idiomatic way."""
    return GrpcImplementation("grpc", UnaryTransport, AsyncUnaryTransport.dial)


def stream() -> GrpcImplementation:
    """Everything over one bidirectional stream."""
    return GrpcImplementation("grpc-stream", StreamTransport, AsyncStreamTransport.dial)


def listen(server: "grpc.Server | grpc.aio.Server", host: str, port: int) -> Address:
    """Have gRPC listen. Raises `OSError` that says which address could not be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:  # gRPC would not say why it cannot
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"cannot listen at {host}, port {port}: {error.strerror or error}") from error
        number = probe.getsockname()[0]
    try:
        return number, server.add_insecure_port(format_address((number, port)))
    except RuntimeError as error:
        raise OSError(errno.EADDRINUSE, f"cannot listen at {host}, port {port}: {error}") from error


# ---- a server with threads --------------------------------------------------------------------------------------


class ThreadServer:
    """A pool of threads: a stream holds one of them for as long as it lives, a call for as long as it takes."""

    def __init__(self, hub: Hub, host: str, port: int):
        self.hub = hub
        self._clients: dict[str, _ThreadClient] = {}  # by token
        self._places = threading.Semaphore(hub.limits.streams)
        self._pool = _Pool(hub.limits.streams + SPARE_THREADS)
        most = hub.limits.streams + SPARE_THREADS + WAITING_CALLS
        self._server = grpc.server(self._pool, options=_server_options(hub.limits), maximum_concurrent_rpcs=most)
        self.address = listen(self._server, host, port)
        self._closing = threading.Event()
        self._accept()

    def __repr__(self):
        return f"<ThreadServer over gRPC, {len(self._clients)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to everybody, and return when all streams have ended."""
        self._closing.set()
        stopped = self._server.stop(self.hub.limits.linger_s)
        for client in list(self._clients.values()):
            client.outbox.end("the server stops")
        stopped.wait()
        for client in list(self._clients.values()):
            client.lost()
        self._sweeper.join()
        self._pool.shutdown()

    def _accept(self) -> None:
        add_ChatServicer_to_server(_servicer(self), self._server)
        checks = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, self._server)
        for service in ("", SERVICE):
            checks.set(service, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection(_REFLECTED, self._server)
        self._server.start()
        self._sweeper = start_thread(self._sweep, "chatlab-sweeper")

    def _welcome(self, context: grpc.ServicerContext) -> "_ThreadClient":
        client = _ThreadClient(self, context)
        if not self._places.acquire(blocking=False):
            full = f"the server has threads for {self.hub.limits.streams} sessions and takes no more"
            self._refuse(context, Refused("SERVER_FULL", full))
        try:
            client.session = self.hub.open_session(client.outbox, client.peer)
        except ChatError as full:
            self._places.release()
            self._refuse(context, Refused(full.code, full.text))
        self._clients[client.token] = client
        if not context.add_callback(client.lost):
            client.lost()  # the newcomer left already
        return client

    def _sweep(self) -> None:
        while not self._closing.wait(SWEEP_S):
            now = time.monotonic()
            for client in list(self._clients.values()):
                client.sweep(now)

    def forget(self, client: "_ThreadClient") -> None:
        if self._clients.pop(client.token, None) is not None:
            self.hub.close_session(client.session)
            self._places.release()

    def _find(self, context: grpc.ServicerContext) -> "_ThreadClient":
        client = self._clients.get(metadata_value(context.invocation_metadata(), SESSION))
        if client is None:
            self._refuse(context, Refused("NO_SESSION", CODES["NO_SESSION"].sentence))
        return client

    def _refuse(self, context: grpc.ServicerContext, refused: Refused | pb.Refused) -> None:
        context.set_trailing_metadata(((CODE, refused.code),))
        context.abort(_status(refused), refused.text)

    # ---- the calls of chat.proto

    def verb(self, request: Proto, context: grpc.ServicerContext) -> Proto:
        reply, events_before = self._find(context).answer(from_proto(request))
        proto = _spell_reply(reply, self.hub.limits.frame)
        if isinstance(proto, pb.Refused):
            self._refuse(context, proto)
        if type(request) in _TELLS_EVENTS_BEFORE:
            context.set_trailing_metadata(((EVENTS_BEFORE, str(events_before)),))
        return proto

    def events(self, request: pb.Subscribe, context: grpc.ServicerContext):
        return self._welcome(context).write(_spell_event)

    def end(self, request: pb.Unsubscribe, context: grpc.ServicerContext) -> pb.Done:
        self.hub.finish_session(self._find(context).session)
        return pb.Done()

    def stream(self, asks, context: grpc.ServicerContext):
        client = self._welcome(context)
        start_thread(partial(client.read, asks), "chatlab-reader")
        return client.write(_spell_told)


class _ThreadClient:
    """The server's side of one session."""

    def __init__(self, server: ThreadServer, context: grpc.ServicerContext):
        self.server, self.context, self.peer = server, context, _peer(context)
        self.token = secrets.token_urlsafe(12)
        self._awake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.outbox = _Outbox(self._wake, server.hub.limits)
        self.patience = Patience(server.hub.limits)
        self._has_asked = False
        self._calls: set = set()  # where the answers go that calls are waiting for
        self._gone = False

    def answer(self, request: Request) -> tuple[Reply, int]:
        """Ask the hub; the answer comes at once, or from another thread when a password has been hashed."""
        self._has_asked = True
        answer: queue.SimpleQueue[tuple[Reply, int]] = queue.SimpleQueue()
        self._calls.add(answer.put)
        self.server.hub.ask(self.session, answer.put, request)
        if self._gone:  # after its calls were told so, perhaps, so this one would wait for ever
            answer.put(_GONE)
        reply = answer.get()
        self._calls.discard(answer.put)
        return reply

    def read(self, asks) -> None:
        try:
            for ask in asks:
                self._has_asked = True
                self.server.hub.ask(self.session, *_understand(ask))
        except grpc.RpcError:
            return  # the stream broke: `lost` hears of it too
        self.server.hub.finish_session(self.session)

    def write(self, spell):
        """What the stream's own thread hands to gRPC, which asks for the next when it has taken the one before."""
        self.context.send_initial_metadata(((SESSION, self.token),))
        while not self.outbox.closed or self.outbox:
            self._awake.get()
            for tag, message in self.outbox.take():
                yield from spell(tag, message, self.server.hub.limits.frame)
        self.server.forget(self)  # before the peer is told that it is over

    def _wake(self) -> None:
        self._awake.put(None)

    def sweep(self, now: float) -> None:
        """Close it where the peer has asked nothing for too long, or does not read its last words."""
        verdict = self.patience.verdict(now, self.outbox, self._has_asked)
        if verdict == "cut":
            self.cut()
        elif verdict:
            self.outbox.end(verdict)

    def cut(self) -> None:
        """End the stream, whatever still waits; a writer that gRPC keeps waiting returns, and `lost` is called."""
        self.context.cancel()

    def lost(self) -> None:
        """The stream is over; gRPC calls this from a thread of its own."""
        self._gone = True
        self.server.forget(self)
        self._wake()  # the writer, so that its thread is free again
        for answer in list(self._calls):
            answer(_GONE)


# ---- a server with an event loop --------------------------------------------------------------------------------


class LoopServer:
    """One thread for all clients: a stream and a call are coroutines, and waiting costs no thread."""

    def __init__(self, hub: Hub, host: str, port: int):
        self.hub = hub
        self._clients: dict[str, _LoopClient] = {}  # by token
        self.loop = background_loop()
        self._sweeper: asyncio.TimerHandle | None = None
        run(self._accept(host, port))

    def __repr__(self):
        return f"<LoopServer over gRPC, {len(self._clients)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to everybody, and return when all streams have ended."""
        run(self._close())

    async def _close(self) -> None:
        self._sweeper.cancel()
        stopping = asyncio.ensure_future(self._server.stop(self.hub.limits.linger_s))
        for client in list(self._clients.values()):
            client.outbox.end("the server stops")
        await stopping
        for client in list(self._clients.values()):
            client.cut()
        while self._clients:
            await asyncio.sleep(0)

    async def _accept(self, host: str, port: int) -> None:
        self._thread = threading.get_ident()
        install_log_filter()
        self._server = grpc.aio.server(options=_server_options(self.hub.limits))
        self.address = listen(self._server, host, port)
        add_ChatServicer_to_server(_servicer(self), self._server)
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, self._server)
        for service in ("", SERVICE):
            await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection(_REFLECTED, self._server)
        await self._server.start()
        self._sweep()

    async def _welcome(self, context: grpc.aio.ServicerContext) -> "_LoopClient":
        client = _LoopClient(self, context)
        try:
            client.session = self.hub.open_session(client.outbox, client.peer)
        except ChatError as full:
            await self._refuse(context, Refused(full.code, full.text))
        self._clients[client.token] = client
        return client

    def _sweep(self) -> None:
        now = time.monotonic()
        for client in list(self._clients.values()):
            client.sweep(now)
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def forget(self, client: "_LoopClient") -> None:
        if self._clients.pop(client.token, None) is not None:
            self.hub.close_session(client.session)

    async def _find(self, context: grpc.aio.ServicerContext) -> "_LoopClient":
        client = self._clients.get(metadata_value(context.invocation_metadata(), SESSION))
        if client is None:
            await self._refuse(context, Refused("NO_SESSION", CODES["NO_SESSION"].sentence))
        return client

    async def _refuse(self, context: grpc.aio.ServicerContext, refused: Refused | pb.Refused) -> None:
        context.set_trailing_metadata(((CODE, refused.code),))
        await context.abort(_status(refused), refused.text)

    def soon(self, act, *args) -> None:
        """Do it on the loop's thread, at once where we are on it; any thread may call."""
        if threading.get_ident() == self._thread:
            act(*args)
        else:
            self.loop.call_soon_threadsafe(act, *args)

    # ---- the calls of chat.proto

    async def verb(self, request: Proto, context: grpc.aio.ServicerContext) -> Proto:
        client = await self._find(context)
        reply, events_before = await client.answer(from_proto(request))
        proto = _spell_reply(reply, self.hub.limits.frame)
        if isinstance(proto, pb.Refused):
            await self._refuse(context, proto)
        if type(request) in _TELLS_EVENTS_BEFORE:
            context.set_trailing_metadata(((EVENTS_BEFORE, str(events_before)),))
        return proto

    async def events(self, request: pb.Subscribe, context: grpc.aio.ServicerContext) -> None:
        client = await self._welcome(context)
        await client.write(_spell_event)

    async def end(self, request: pb.Unsubscribe, context: grpc.aio.ServicerContext) -> pb.Done:
        client = await self._find(context)
        self.hub.finish_session(client.session)
        return pb.Done()

    async def stream(self, asks, context: grpc.aio.ServicerContext) -> None:
        client = await self._welcome(context)
        reader = asyncio.ensure_future(client.read(asks))
        try:
            await client.write(_spell_told)
        finally:
            reader.cancel()


class _LoopClient:
    """The server's side of one session."""

    def __init__(self, server: LoopServer, context: grpc.aio.ServicerContext):
        self.server, self.context, self.peer = server, context, _peer(context)
        self.token = secrets.token_urlsafe(12)
        self._awake = asyncio.Event()
        self.outbox = _Outbox(self._wake, server.hub.limits)
        self.patience = Patience(server.hub.limits)
        self._has_asked = False
        self._calls: set = set()  # where the answers go that calls are waiting for
        self._writer = asyncio.current_task()
        self._was_cut = False

    async def answer(self, request: Request) -> tuple[Reply, int]:
        """Ask the hub; the answer comes at once, or from another thread when a password has been hashed."""
        self._has_asked = True
        answer = self.server.loop.create_future()
        settle = partial(self.server.soon, _settle, answer)
        self._calls.add(settle)
        self.server.hub.ask(self.session, settle, request)
        try:
            return await answer
        finally:
            self._calls.discard(settle)

    async def read(self, asks) -> None:
        try:
            async for ask in asks:
                self._has_asked = True
                self.server.hub.ask(self.session, *_understand(ask))
        except DecodeError as error:
            self.outbox.end(f"protocol error: {error}")
        except grpc.aio.BaseError:
            return  # the stream broke: the writer hears of it too
        self.server.hub.finish_session(self.session)

    async def write(self, spell) -> None:
        """Hand gRPC what waits, one after the other, until the outbox ends or gRPC cancels the stream's task."""
        try:
            await self.context.send_initial_metadata(((SESSION, self.token),))
            while not self.outbox.closed or self.outbox:
                await self._awake.wait()
                self._awake.clear()
                for tag, message in self.outbox.take():
                    for proto in spell(tag, message, self.server.hub.limits.frame):
                        await self.context.write(proto)
        except asyncio.CancelledError:
            if self._was_cut:
                await self._abort()
            raise
        finally:
            self.lost()  # before the peer is told that it is over

    def _wake(self) -> None:
        self.server.soon(self._awake.set)

    def sweep(self, now: float) -> None:
        """Close it where the peer has asked nothing for too long, or does not read its last words."""
        verdict = self.patience.verdict(now, self.outbox, self._has_asked)
        if verdict == "cut":
            self.cut()
        elif verdict:
            self.outbox.end(verdict)

    def cut(self) -> None:
        """End the stream, whatever still waits. What gRPC has taken already it keeps until the peer goes."""
        self._was_cut = True
        self._writer.cancel()

    async def _abort(self) -> None:
        """A task that merely ends as cancelled tells its peer nothing, who would wait for ever."""
        self.lost()
        try:
            await self.context.abort(grpc.StatusCode.UNAVAILABLE, "you have not read your last words")
        except grpc.aio.InternalError:
            pass  # the peer went without reading them

    def lost(self) -> None:
        """The stream is over."""
        self.server.forget(self)
        for settle in list(self._calls):
            settle(_GONE)


# ---- what both servers do the same way --------------------------------------------------------------------------

_GONE = Refused("NO_SESSION", "the session ended before this was done"), 0
_TELLS_EVENTS_BEFORE = {pb.CreateAccount, pb.LogIn, pb.LogOut, pb.DeleteAccount}
_REFLECTED = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)


def _servicer(server: ThreadServer | LoopServer) -> SimpleNamespace:
    """What gRPC calls for each name in chat.proto: the verbs differ by the type of their request alone."""
    verbs = dict.fromkeys([request.__name__ for request in REQUESTS], server.verb)
    return SimpleNamespace(Events=server.events, End=server.end, Stream=server.stream, **verbs)


class _Outbox(Outbox):
    """The hub's outbox, except that the tag of a call is a function that takes the answer and how many events were
    announced before it: call and stream go different ways to the client, who may want to know which was first."""

    __slots__ = ("_events",)

    def __init__(self, wake, limits: Limits):
        super().__init__(wake, limits)
        self._events = 0

    def put(self, tag, message: Message) -> None:
        if callable(tag):
            tag((message, self._events))
        else:
            self._events += tag is None
            super().put(tag, message)


def _spell_reply(reply: Reply, max_frame: int) -> Proto:
    proto = to_proto(reply)
    return proto if proto.ByteSize() <= max_frame else to_proto(_not_fitting(proto, max_frame))


def _spell_event(tag: None, event: Event, max_frame: int):
    proto = to_event(event)
    if proto.ByteSize() <= max_frame:  # an event that fits no frame is in the mailbox all the same
        yield proto


def _spell_told(tag: int | None, message: Reply | Event, max_frame: int):
    told = to_told(tag, message)
    if told.ByteSize() <= max_frame:
        yield told
    elif isinstance(message, Reply):
        yield to_told(tag, _not_fitting(told, max_frame))


def _not_fitting(proto: Proto, max_frame: int) -> Refused:
    return Refused("FRAME_TOO_LONG", f"the answer does not fit: {size_error(proto, max_frame)}")


def _understand(ask: pb.Ask) -> tuple[int | None, Request]:
    try:
        return from_ask(ask)
    except ProtocolError as error:
        return error.tag, Malformed(error.text)


def _status(refused: Refused | pb.Refused) -> grpc.StatusCode:
    return grpc.StatusCode[CODES[refused.code].status]


def _peer(context) -> str:
    """The label of a peer that gRPC calls ipv4:127.0.0.1:51638 or ipv6:%5B::1%5D:51638."""
    host, _, port = unquote(context.peer()).partition(":")[2].rpartition(":")
    return label((host.strip("[]").removeprefix("::ffff:"), int(port)))


def _settle(answer: asyncio.Future, result: tuple[Reply, int]) -> None:
    if not answer.done():  # the caller may have gone meanwhile
        answer.set_result(result)


class _Pool(futures.Executor):
    """Threads, up to a number, started when none is idle. Only gRPC's one serving thread may submit.

    Unlike those of the standard library's pool they are daemons: a stream waits for ever, and so would the end of the
    process for it.
    """

    def __init__(self, size: int):
        self._work: queue.SimpleQueue = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._size, self._started = size, 0

    def submit(self, work, /, *args, **kwargs) -> futures.Future:
        future: futures.Future = futures.Future()
        self._work.put((future, partial(work, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._started < self._size:
            self._started += 1
            start_thread(self._run, "chatlab-call")
        return future

    def _run(self) -> None:
        for future, work in iter(self._work.get, None):
            future.set_result(work())
            del future, work  # or what they hold lives until this thread has something else to do
            self._idle.release()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for _ in range(self._started):
            self._work.put(None)


def _server_options(limits: Limits) -> tuple:
    return (
        *KEEPALIVE_OPTIONS,
        # By default a client that pings each half minute is sent away after some minutes, for "too many pings".
        ("grpc.http2.min_ping_interval_without_data_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
        ("grpc.so_reuseport", 0),  # or a server that was forgotten would take half of the connections
        ("grpc.max_receive_message_length", limits.frame),
        ("grpc.server.max_pending_requests", MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
        ("grpc.server_handshake_timeout_ms", int(limits.first_frame_s * 1000)),
    )
