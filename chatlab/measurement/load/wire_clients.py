"""The client's side of each protocol without I/O, as cheap as it can be: what the light load generator speaks.

Over sockets it is a `Connection`. Over gRPC it is a minimal HTTP/2 client: requests are encoded once,
beforehand, and a call only fills in the number of its stream. grpcio's own client costs more than the server,
and would be what is measured.
"""

from typing import Any, NamedTuple, Protocol

from ... import messages
from ...codecs.connection import CLIENT_ACCEPTS, Accepted, Connection
from ...codecs.interface import Codec, preface_of
from ...messages import (
    Acknowledge,
    ConnectionLost,
    Deposit,
    ListAccounts,
    Ping,
    ProtocolError,
    Refused,
    Reply,
    Request,
    Say,
    Send,
    ViewBalance,
)
from ...proto import chat_pb2 as pb
from ...proto.convert import from_event, from_proto, from_stream_response, to_proto, to_stream_request
from ...transport.grpc_common import CODE, SESSION
from ...transport.interface import Implementation
from .http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    HEADERS,
    MAIN_STREAM,
    Http2Client,
    Received,
    data_frames,
    frame,
    prefixed,
    status_of,
)


class WireClient(Protocol):
    """One connection of a client. A request is prepared once, and what was prepared may be sent often."""

    @property
    def in_order(self) -> bool:
        """Whether replies and events come in the order of the requests."""

    @property
    def ready(self) -> bool:
        """Whether requests may be sent. Before, only what comes has to be received."""

    def preamble(self) -> bytes:
        """The bytes to send first."""

    def warm_up_requests(self) -> list[Any]:
        """Prepared requests to be sent before others are prepared; they may be refused."""

    def prepare(self, tag: int, request: Request) -> Any:
        """The request in the form that `send` takes."""

    def send(self, prepared: Any) -> bytes:
        """The bytes to send for it now."""

    def receive(self, data: bytes) -> Received:
        """The messages that these bytes complete, each with its tag. Raises `ConnectionLost`, `ProtocolError`."""

    def control_bytes(self) -> bytes:
        """What the protocol itself has to send now."""


class CodecWireClient:
    """The client of a codec: what is prepared is the frame."""

    in_order = True
    ready = True

    def __init__(self, codec: Codec, accepts: Accepted = CLIENT_ACCEPTS):
        self._codec, self._connection = codec, Connection(codec, accepts)

    def preamble(self) -> bytes:
        return preface_of(self._codec)

    def warm_up_requests(self) -> list[bytes]:
        return []

    def prepare(self, tag: int, request: Request) -> bytes:
        return self._codec.encode(tag, request)

    def send(self, prepared: bytes) -> bytes:
        return prepared

    def receive(self, data: bytes) -> Received:
        received = self._connection.receive(data)
        if self._connection.error is not None:
            raise self._connection.error
        return received

    def control_bytes(self) -> bytes:
        return b""


class PreparedCall(NamedTuple):
    """A unary call, all but the number of its stream."""

    tag: int
    reply_type: Any  #: of protobuf
    size: int  #: bytes of data
    frames: list[tuple[int, bytes, bytes]]  #: bytes of data, what is before the stream's number, and what is behind it


class UnaryWireClient(Http2Client):
    """A call for each request, beside the stream of events whose token every call repeats.

    Calls of one connection may overtake each other on the server, so replies and events are in no order.
    """

    in_order = False

    def __init__(self, authority: str = "chatlab"):
        super().__init__(authority)
        self.ready = False
        self._next_stream = MAIN_STREAM + 2
        self._calls: dict[int, tuple[int, Any]] = {}  # by stream: the tag, and the reply's type
        self._replies: dict[int, Reply] = {}  # by stream: a reply whose call has not ended
        self._blocks: dict[str, bytes] = {}  # by method

    def open_main_stream(self) -> bytes:
        headers = frame(HEADERS, END_HEADERS, MAIN_STREAM, self.header_block("Events"))
        return headers + frame(DATA, END_STREAM, MAIN_STREAM, prefixed(b""))

    def warm_up_requests(self) -> list[PreparedCall]:
        """A harmless call of each kind, after which their header blocks are short, as in any longer conversation."""
        return [self._prepare(0, request, self._block_of(request)) for request in _HARMLESS]

    def _block_of(self, request: Request) -> bytes:
        return self.header_block(type(request).__name__, [(SESSION, self._token)])

    def prepare(self, tag: int, request: Request) -> PreparedCall:
        method = type(request).__name__
        if method not in self._blocks:
            self._blocks[method] = self._block_of(request)
        return self._prepare(tag, request, self._blocks[method])

    @staticmethod
    def _prepare(tag: int, request: Request, block: bytes) -> PreparedCall:
        headers = frame(HEADERS, END_HEADERS, 0, block)
        data = data_frames(prefixed(to_proto(request).SerializeToString()), END_STREAM)
        frames = [(0, headers[:5], headers[9:]), *((len(part) - 9, part[:5], part[9:]) for part in data)]
        return PreparedCall(tag, _REPLY_TYPES[type(request)], sum(cost for cost, _, _ in frames), frames)

    def send(self, prepared: PreparedCall) -> bytes:
        tag, reply_type, size, frames = prepared
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._calls[stream] = tag, reply_type
        number = stream.to_bytes(4)
        if not self._waiting and size <= self._window and size <= self._initial_window:
            self._window -= size
            return b"".join([head + number + body for _, head, body in frames])
        return self._send_within_windows(stream, [(cost, head + number + body) for cost, head, body in frames])

    def _stream_began(self, stream: int, headers: dict[str, str]) -> None:
        if stream == MAIN_STREAM:
            self._token, self.ready = headers[SESSION], True

    def _message(self, stream: int, raw: bytes, received: Received) -> None:
        if stream == MAIN_STREAM:
            received.append((None, from_event(pb.Event.FromString(raw))))
        else:
            self._replies[stream] = from_proto(self._calls[stream][1].FromString(raw))

    def _stream_ended(self, stream: int, headers: dict[str, str], received: Received) -> None:
        self._messages.pop(stream, None)
        if stream == MAIN_STREAM:
            raise ConnectionLost(f"the stream of events ended: {status_of(headers)}")
        tag, _ = self._calls.pop(stream)
        reply = self._replies.pop(stream, None)
        if headers.get("grpc-status") != "0":
            code = headers.get(CODE)
            if code is None:
                raise ConnectionLost(f"a call failed: {status_of(headers)}")
            reply = Refused(code, headers.get("grpc-message", ""))
        elif reply is None:
            raise ProtocolError(f"a call ended well without a reply: {headers}")
        received.append((tag, reply))


class PreparedStreamRequest(NamedTuple):
    """A request on the stream."""

    size: int  #: bytes of data
    frames: list[tuple[int, bytes]]  #: each with its bytes of data


class StreamWireClient(Http2Client):
    """Everything on one bidirectional stream: a request is a DATA frame, and so is a reply or an event."""

    in_order = True

    def __init__(self, authority: str = "chatlab"):
        super().__init__(authority)
        self.ready = False
        self._stream_windows[MAIN_STREAM] = FIRST_WINDOW

    def open_main_stream(self) -> bytes:
        return frame(HEADERS, END_HEADERS, MAIN_STREAM, self.header_block("Stream"))

    def warm_up_requests(self) -> list[PreparedStreamRequest]:
        return []

    def prepare(self, tag: int, request: Request) -> PreparedStreamRequest:
        data = prefixed(to_stream_request(tag, request).SerializeToString())
        frames = [(len(part) - 9, part[:5] + MAIN_STREAM.to_bytes(4) + part[9:]) for part in data_frames(data, 0)]
        return PreparedStreamRequest(len(data), frames)

    def send(self, prepared: PreparedStreamRequest) -> bytes:
        size, frames = prepared
        windows = self._stream_windows
        if not self._waiting and size <= self._window and size <= windows[MAIN_STREAM]:
            self._window -= size
            windows[MAIN_STREAM] -= size
            return frames[0][1] if len(frames) == 1 else b"".join([raw for _, raw in frames])
        return self._send_within_windows(MAIN_STREAM, frames)

    def _stream_began(self, stream: int, headers: dict[str, str]) -> None:
        self.ready = True

    def _message(self, stream: int, raw: bytes, received: Received) -> None:
        received.append(from_stream_response(pb.StreamResponse.FromString(raw)))

    def _stream_ended(self, stream: int, headers: dict[str, str], received: Received) -> None:
        raise ConnectionLost(f"the stream ended: {status_of(headers)}")


_HARMLESS = (Send("?", "?"), Say("?"), Acknowledge(0), ViewBalance(), ListAccounts(limit=1), Ping(), Deposit(0))


def _reply_types() -> dict[type[Request], Any]:
    """The protobuf type that answers each kind of request, as the service's description says."""
    methods = pb.DESCRIPTOR.services_by_name["Chat"].methods
    return {
        request: getattr(pb, method.output_type.name)
        for method in methods
        for request in messages.REQUESTS
        if request.__name__ == method.name
    }


_REPLY_TYPES = _reply_types()
_GRPC: dict[str, type[UnaryWireClient | StreamWireClient]] = {"grpc": UnaryWireClient, "grpc-stream": StreamWireClient}


def has_wire_client(implementation: Implementation) -> bool:
    """Whether the light generator speaks this protocol: it has a codec, or is gRPC as chatlab does it."""
    return implementation.codec is not None or implementation.name in _GRPC


def check_wire_client(implementation: Implementation) -> None:
    """Raise `ValueError` where the light generator does not speak the protocol."""
    if not has_wire_client(implementation):
        name = implementation.name
        raise ValueError(f'{name} has no codec, so the light generator cannot speak it; use generator="clients"')


def wire_client(implementation: Implementation) -> WireClient:
    """A client for one connection. Raises `ValueError` where the light generator does not speak the protocol."""
    check_wire_client(implementation)
    codec = implementation.codec
    return _GRPC[implementation.name]() if codec is None else CodecWireClient(codec)


def keeps_order(implementation: Implementation) -> bool:
    """Whether replies and events of one client come in the order of its requests; False where that is not known."""
    if implementation.codec is not None:
        return True
    return implementation.name in _GRPC and _GRPC[implementation.name].in_order
