"""What both gRPC servers do the same way: where a reply goes, how messages become protobuf, and how gRPC is set up."""

import errno
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from .quiet_grpc import add_ChatServicer_to_server, grpc

# What is imported below loads gRPC too, and has to come after that.
# isort: split
from google.protobuf.message import Message as Proto
from grpc_health.v1 import health as health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ..chat.hub import Outbox
from ..messages import CODES, REQUESTS, Event, Limits, Malformed, Message, ProtocolError, Refused, Reply, Request
from ..proto import chat_pb2 as pb
from ..proto.convert import from_stream_request, to_event, to_proto, to_stream_response
from .event_loop import start_thread
from .grpc_common import KEEPALIVE_OPTIONS, KEEPALIVE_TIMEOUT_S, SERVER_OPTIONS, SERVICE, size_error
from .interface import Address, format_address
from .serving import bind, format_peer

# ---- where a reply goes -----------------------------------------------------------------------------------------


class CallReply(NamedTuple):
    """The reply to a call, and how many events were announced to the session before it.

    Call and stream go different ways to the client, which may have to know what was first.
    """

    reply: Reply
    events_before: int


#: What answers a call whose session has ended meanwhile.
SESSION_ENDED = CallReply(Refused("NO_SESSION", "the session ended before this was done"), 0)


class ReplyTo:
    """The address of one call that waits: its tag in the hub. The hub replies on whatever thread it is just then."""

    __slots__ = ("deliver",)

    def __init__(self, deliver: Callable[[CallReply], None]):
        self.deliver = deliver


class CallOutbox(Outbox):
    """The hub's outbox, except that a reply to a call goes to that call at once, past what waits for the stream."""

    __slots__ = ("_events",)

    def __init__(self, wake: Callable[[], None], limits: Limits):
        super().__init__(wake, limits)
        self._events = 0

    def put(self, tag: ReplyTo | int | None, message: Message) -> None:
        """As `Outbox.put`."""
        if type(tag) is ReplyTo:
            tag.deliver(CallReply(message, self._events))  # type: ignore[arg-type]  # what has a tag is a reply
        else:
            self._events += tag is None
            super().put(tag, message)


# ---- messages ---------------------------------------------------------------------------------------------------

#: Makes a message of the stream, or none where it fits no frame: its tag, the message, and the size of a frame.
Encode = Callable[[Any, Any, int], Iterator[Proto]]


def encode_reply(reply: Reply, max_frame: int) -> Proto:
    """The answer to a call."""
    proto = to_proto(reply)
    return proto if proto.ByteSize() <= max_frame else to_proto(_too_large(proto, max_frame))


def encode_event(tag: None, event: Event, max_frame: int) -> Iterator[pb.Event]:
    """A message of the Events stream."""
    proto = to_event(event)
    if proto.ByteSize() <= max_frame:  # an event that fits no frame is in the mailbox all the same
        yield proto


def encode_stream_message(tag: int | None, message: Reply | Event, max_frame: int) -> Iterator[pb.StreamResponse]:
    """A message of the Stream that carries everything."""
    proto = to_stream_response(tag, message)
    if proto.ByteSize() <= max_frame:
        yield proto
    elif isinstance(message, Reply):
        yield to_stream_response(tag, _too_large(proto, max_frame))


def _too_large(proto: Proto, max_frame: int) -> Refused:
    return Refused("FRAME_TOO_LONG", f"the answer does not fit: {size_error(proto, max_frame)}")


def parse_request(request: pb.StreamRequest) -> tuple[int | None, Request]:
    """The tag and the request; one that says nothing known is `Malformed`, in its place among the others."""
    try:
        return from_stream_request(request)
    except ProtocolError as error:
        return error.tag, Malformed(error.text)


def status_of(refused: Refused) -> grpc.StatusCode:
    """The gRPC status that carries a refusal."""
    return grpc.StatusCode[CODES[refused.code].status]


# ---- gRPC -------------------------------------------------------------------------------------------------------


#: The services whose health is told: the chat, and under the empty name the server.
CHECKED_SERVICES = ("", SERVICE)
SERVING = health_pb2.HealthCheckResponse.SERVING


class Calls(Protocol):
    """What a server of ours does for the calls of chat.proto. The verbs differ by the type of their request alone."""

    def verb(self, request: Any, context: Any) -> Any: ...

    def events(self, request: Any, context: Any) -> Any: ...

    def end(self, request: Any, context: Any) -> Any: ...

    def stream(self, requests: Any, context: Any) -> Any: ...


def add_services(server: Any, calls: Calls, checks: Any) -> None:
    """Have a gRPC server offer the chat, its health (`checks`), and reflection."""
    verbs = dict.fromkeys([request.__name__ for request in REQUESTS], calls.verb)
    servicer = SimpleNamespace(Events=calls.events, End=calls.end, Stream=calls.stream, **verbs)
    add_ChatServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)


def listen(server: Any, host: str, port: int) -> Address:
    """Have a gRPC server listen. Raises `OSError` that names the address."""
    with bind(host, port) as probe:  # gRPC would not say why it cannot
        number = probe.getsockname()[0]
    try:
        return number, server.add_insecure_port(format_address((number, port)))
    except RuntimeError as error:
        raise OSError(errno.EADDRINUSE, f"cannot listen at {host}, port {port}: {error}") from error


def peer_of(context: grpc.ServicerContext) -> str:
    """How a log line names a peer that gRPC calls ipv4:127.0.0.1:51638 or ipv6:%5B::1%5D:51638."""
    host, _, port = unquote(context.peer()).partition(":")[2].rpartition(":")
    return format_peer((host.strip("[]").removeprefix("::ffff:"), int(port)))


def server_options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """The settings of a gRPC server."""
    return (
        *SERVER_OPTIONS,
        *KEEPALIVE_OPTIONS,
        # By default a client that pings each half minute is sent away after some minutes, for "too many pings".
        ("grpc.http2.min_ping_interval_without_data_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
        ("grpc.max_receive_message_length", limits.frame),
        ("grpc.server_handshake_timeout_ms", int(limits.first_frame_s * 1000)),
    )


class DaemonPool(futures.Executor):
    """Threads, up to a number, started when none is idle. Only gRPC's one serving thread may submit.

    Unlike those of the standard library's pool they are daemons: a stream waits for ever, and so would the end of the
    process for it.
    """

    def __init__(self, size: int):
        self._work: queue.SimpleQueue[tuple[futures.Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._size, self._started = size, 0

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """As `Executor.submit`."""
        future: futures.Future[Any] = futures.Future()
        self._work.put((future, partial(work, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._started < self._size:
            self._started += 1
            start_thread(self._run, "chatlab-call")
        return future

    def _run(self) -> None:
        for item in iter(self._work.get, None):
            future, work = item
            future.set_result(work())
            del item, future, work  # or what they hold lives until this thread has something else to do
            self._idle.release()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads, each when its work is done."""
        for _ in range(self._started):
            self._work.put(None)
