"""The client's side of each protocol without I/O, as cheap as it can be: what a light load generator speaks.

Over our sockets it is a `Connection`. Over gRPC it is HTTP/2 of our own: header blocks are spelled once, a call patches in
its stream's number, frames are told apart by their nine bytes, and header blocks that came before are not read again.
grpcio's client costs more than the server, and would be what is measured.

A *wire* offers `preamble()`, the bytes to say first; `spell(tag, request)`, a frame that may be said often; `say(frame)`,
the bytes to send for it now; `receive(data)`, the messages that the data completes, each with its tag; and `control_bytes()`, bytes
that the protocol itself wants sent. `ready` is false until requests may be said.
"""

from ...codecs.connection import CLIENT_ACCEPTS, Connection
from ...codecs.interface import preface_of
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
from .http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    HEADERS,
    MAX_FRAME,
    Heard,
    _Http2,
    _in_frames,
    _status,
    frame,
    prefixed,
)


class CodecWireClient:
    """One of our codecs: a frame is what the codec spells, and is sent as it is."""

    in_order = True
    ready = True

    def __init__(self, codec, accepts=CLIENT_ACCEPTS):
        self._codec, self._connection = codec, Connection(codec, accepts)

    def preamble(self) -> bytes:
        return preface_of(self._codec)

    def spell(self, tag: int, request: Request) -> bytes:
        return self._codec.encode(tag, request)

    def say(self, frame: bytes) -> bytes:
        return frame

    def receive(self, data: bytes) -> Heard:
        heard = self._connection.receive(data)
        if self._connection.error is not None:
            raise self._connection.error
        return heard

    def warm_up_requests(self) -> list[bytes]:
        return []

    def control_bytes(self) -> bytes:
        return b""


class UnaryWireClient(_Http2):
    """A call for each request, beside the stream of events whose token every call repeats.

    Calls of one connection may overtake each other on the server, so answers and texts are in no order.
    """

    in_order = False

    def __init__(self, authority: str = "chatlab"):
        super().__init__(authority)
        self.ready = False
        self._next = 3  # the number of the next stream; 1 is the events
        self._calls: dict[int, tuple[int, type]] = {}  # stream: tag, and what the answer is made of
        self._replies: dict[int, Reply] = {}
        self._blocks: dict[str, bytes] = {}

    def _first(self) -> bytes:
        return frame(HEADERS, END_HEADERS, 1, self.block("Events")) + frame(DATA, END_STREAM, 1, prefixed(b""))

    def warm_up_requests(self) -> list[bytes]:
        """A harmless call of each kind, after which their header blocks are short, as in any longer conversation."""
        return [self._template(0, request, self._spelled(request)) for request in _HARMLESS]

    def _spelled(self, request: Request) -> bytes:
        return self.block(type(request).__name__, [("session", self._token)])

    def spell(self, tag: int, request: Request):
        """Its frames without the number of a stream; spelled when all kinds of calls were made before."""
        kind = type(request).__name__
        if kind not in self._blocks:
            self._blocks[kind] = self._spelled(request)
        return self._template(tag, request, self._blocks[kind])

    def _template(self, tag: int, request: Request, block: bytes):
        head = frame(HEADERS, END_HEADERS, 0, block)
        parts = [(0, head[:5], head[9:])]
        for part in _in_frames(prefixed(to_proto(request).SerializeToString()), END_STREAM):
            parts.append((len(part) - 9, part[:5], part[9:]))
        return tag, _ANSWERED_BY[type(request)], parts

    def say(self, frame) -> bytes:
        tag, answered_by, parts = frame
        stream, self._next = self._next, self._next + 2
        self._calls[stream] = tag, answered_by
        number = stream.to_bytes(4)
        if not self._waiting and self._window > 4 * MAX_FRAME:
            self._window -= sum([cost for cost, _, _ in parts])
            return b"".join([head + number + body for _, head, body in parts])
        return self._sendable([(cost, head + number + body) for cost, head, body in parts])

    def _begun(self, stream: int, headers: dict[str, str]) -> None:
        if stream == 1:
            self._token, self.ready = headers["session"], True

    def _message(self, stream: int, raw: bytes, heard: Heard) -> None:
        if stream == 1:
            heard.append((None, from_event(pb.Event.FromString(raw))))
        else:
            self._replies[stream] = from_proto(self._calls[stream][1].FromString(raw))

    def _ended(self, stream: int, headers: dict[str, str], heard: Heard) -> None:
        self._messages.pop(stream, None)
        if stream == 1:
            raise ConnectionLost(f"the stream of events ended: {_status(headers)}")
        tag, _ = self._calls.pop(stream)
        reply = self._replies.pop(stream, None)
        if headers.get("grpc-status") != "0":
            code = headers.get("code")
            if code is None:
                raise ConnectionLost(f"a call failed: {_status(headers)}")
            reply = Refused(code, headers.get("grpc-message", ""))
        elif reply is None:
            raise ProtocolError(f"a call ended well without an answer: {headers}")
        heard.append((tag, reply))


class StreamWireClient(_Http2):
    """Everything over one stream: a request is a DATA frame, and so is an answer or an event."""

    in_order = True
    ready = False

    def __init__(self, authority: str = "chatlab"):
        super().__init__(authority)
        self._own_window = FIRST_WINDOW

    def warm_up_requests(self) -> list[bytes]:
        return []

    def _first(self) -> bytes:
        return frame(HEADERS, END_HEADERS, 1, self.block("Stream"))

    def _spend(self, cost: int) -> None:
        self._stream_window -= cost

    def spell(self, tag: int, request: Request) -> list[tuple[int, bytes]]:
        raw = prefixed(to_stream_request(tag, request).SerializeToString())
        return [(len(part) - 9, part[:5] + (1).to_bytes(4) + part[9:]) for part in _in_frames(raw, 0)]

    def say(self, frame: list[tuple[int, bytes]]) -> bytes:
        return self._sendable(frame)

    def _begun(self, stream: int, headers: dict[str, str]) -> None:
        self.ready = True

    def _message(self, stream: int, raw: bytes, heard: Heard) -> None:
        heard.append(from_stream_response(pb.StreamResponse.FromString(raw)))

    def _ended(self, stream: int, headers: dict[str, str], heard: Heard) -> None:
        raise ConnectionLost(f"the stream ended: {_status(headers)}")


_HARMLESS = (Send("?", "?"), Say("?"), Acknowledge(0), ViewBalance(), ListAccounts(limit=1), Ping(), Deposit(0))
_GRPC: dict[str, type[UnaryWireClient | StreamWireClient]] = {"grpc": UnaryWireClient, "grpc-stream": StreamWireClient}


def _answers() -> dict[type[Request], type]:
    """What each call is answered by, as the service's description says."""
    from ... import messages

    methods = pb.DESCRIPTOR.services_by_name["Chat"].methods
    return {
        getattr(messages, method.name): getattr(pb, method.output_type.name)
        for method in methods
        if hasattr(messages, method.name) and issubclass(getattr(messages, method.name), Request)
    }


_ANSWERED_BY = _answers()


def wire_for(implementation):
    """A fresh wire for a protocol. Raises `ValueError` where it has neither a codec nor our gRPC."""
    if implementation.codec is not None:
        return CodecWireClient(implementation.codec)
    if implementation.name in _GRPC:
        return _GRPC[implementation.name]()
    raise ValueError(f'{implementation.name} has no codec, so no light generator speaks it; use generator="clients"')


def keeps_order(implementation) -> bool:
    """Whether requests and answers of one client stay in the order asked; of a foreign protocol nobody knows."""
    if implementation.codec is not None:
        return CodecWireClient.in_order
    return implementation.name in _GRPC and _GRPC[implementation.name].in_order
