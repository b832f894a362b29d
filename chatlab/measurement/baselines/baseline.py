"""A baseline: a server that does nothing, or next to nothing, in the place of a protocol's own.

Against a baseline one learns what a load generator and this machine can do at most (calibration), and, from kinds that
do a little more each, what the parts of a server cost (the cost breakdown).

    over sockets
      echo             sends back the bytes that it receives
      raw-echo         the same, for clients that take the echo of their request for its reply
      frame-echo       the same frame by frame: it finds where each frame ends, and sends whole ones back
      canned-replies   decodes each request, and answers with a constant reply of the right kind; no chat behind it
      stub-chat        a minimal chat, see `stub_chat.py`
    over gRPC
      bytes            no message is decoded or encoded, neither in a call nor on the stream
      canned-replies   the same in a call; on the stream each request is decoded and answered
      messages         each request is decoded and answered, with a constant reply of the right kind
      stub-chat        a minimal chat

A stub chat calibrates every load, and an echo calibrates pings over a socket. Over a socket the stub costs less than
the generator that drives it, most of it for the codec. Over gRPC it costs as much as `bytes`, within what can be
measured: it is grpcio's own part of a server, which no handler can avoid, and a light generator costs less than that.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...codecs.interface import Codec, preface_of
from ...transport.interface import ENGINES, Address, Endpoint, Engine, Implementation
from .socket_servers import EchoCodec, EchoConnection, LoopEndpoint, StubConnection, ThreadEndpoint, echo_function
from .stub_chat import StubChat

if TYPE_CHECKING:
    from ...chat.hub import Hub
    from ...transport.async_client import AsyncClient
    from ...transport.client import Client

SOCKET_KINDS = ("echo", "raw-echo", "frame-echo", "canned-replies", "stub-chat")
GRPC_KINDS = ("canned-replies", "bytes", "messages", "stub-chat")


@dataclass(frozen=True)
class Baseline:
    """A baseline server of one kind for the clients of one protocol. It is an Implementation, and can be pickled.

    Raises `ValueError` for a kind that the protocol cannot have.
    """

    kind: str
    protocol: Implementation

    def __post_init__(self) -> None:
        kinds = GRPC_KINDS if self.protocol.codec is None else SOCKET_KINDS
        if self.kind not in kinds:
            raise ValueError(f"a baseline of {self.name} is {', '.join(kinds)}, not {self.kind!r}")
        if self.kind == "raw-echo" and self.protocol.codec is not None and preface_of(self.protocol.codec):
            raise ValueError(f"an echo of {self.name} begins with its preface, which no answer does")

    def __repr__(self) -> str:
        return f"<baseline of {self.name}: {self.kind}>"

    @property
    def name(self) -> str:
        return self.protocol.name

    @property
    def codec(self) -> Codec | None:
        """The codec of its clients; of an echo, one that takes the echo of a request for its reply."""
        codec = self.protocol.codec
        return EchoCodec(codec) if codec is not None and self.kind in ("raw-echo", "frame-echo") else codec

    @property
    def verbs(self) -> frozenset[str] | None:
        return None

    @property
    def engines(self) -> tuple[Engine, ...]:
        return ("loop",) if self.kind == "stub-chat" else ENGINES

    def serve(self, hub: "Hub", engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Serve the baseline; the hub is not used. Raises `ValueError` for an engine that it does not have."""
        if engine not in self.engines:
            raise ValueError(f"a stub chat is served by a loop, not by {engine!r}")
        codec = self.protocol.codec
        if codec is None:
            from .grpc_servers import serve_grpc  # which loads gRPC

            return serve_grpc(self.kind, engine, host, port)
        if self.kind == "stub-chat":
            chat = StubChat()
            return LoopEndpoint(lambda: StubConnection(chat, codec), host, port)
        if engine == "loop":
            return LoopEndpoint(lambda: EchoConnection(echo_function(self.kind, codec)), host, port)
        return ThreadEndpoint(lambda: echo_function(self.kind, codec), host, port)

    def connect(self, address: Address) -> "Client":
        return self.protocol.connect(address)

    async def connect_async(self, address: Address) -> "AsyncClient":
        return await self.protocol.connect_async(address)
