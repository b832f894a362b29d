"""Baseline servers: a protocol's clients against a server that does nothing, or next to nothing.

A `Baseline` is a value and an Implementation: it can be compared, pickled for another process, and served.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...codecs.interface import Codec, preface_of
from ...transport.interface import ENGINES, Address, Endpoint, Engine, Implementation
from .grpc_servers import GrpcLoopEndpoint, GrpcStubEndpoint, GrpcThreadEndpoint
from .socket_servers import EchoCodec, EchoConnection, LoopEndpoint, StubConnection, ThreadEndpoint, echo_function
from .stub_chat import StubChat

if TYPE_CHECKING:
    from ...chat.hub import Hub

SOCKET_KINDS = ("echo", "raw-echo", "frame-echo", "canned-replies", "stub-chat")
GRPC_KINDS = ("canned-replies", "bytes", "messages", "stub-chat")


@dataclass(frozen=True)
class Baseline:
    """A server of the given kind in the place of a protocol's own; clients are the protocol's own.

    The kinds are described in `socket_servers`. Raises `ValueError` for a kind that the protocol cannot have.
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
        """What the clients read and write: for an echo of bytes or frames, one that takes the echo for the answer."""
        codec = self.protocol.codec
        return EchoCodec(codec) if codec is not None and self.kind in ("raw-echo", "frame-echo") else codec

    @property
    def verbs(self) -> frozenset[str] | None:
        return None

    @property
    def engines(self) -> tuple[Engine, ...]:
        return ("loop",) if self.kind == "stub-chat" else ENGINES

    def serve(self, hub: "Hub", engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """An endpoint with nothing behind it, on either engine; with a stub chat behind it, on an event loop."""
        codec = self.protocol.codec
        if engine not in self.engines:
            raise ValueError(f"a stub chat is served by a loop, not by {engine!r}")
        if self.kind == "stub-chat":
            chat = StubChat()
            if codec is None:
                return GrpcStubEndpoint(chat, host, port)
            return LoopEndpoint(lambda: StubConnection(chat, codec), host, port)
        if codec is None:
            return {"loop": GrpcLoopEndpoint, "threads": GrpcThreadEndpoint}[engine](self.kind, host, port)
        if engine == "loop":
            return LoopEndpoint(lambda: EchoConnection(echo_function(self.kind, codec)), host, port)
        return ThreadEndpoint(lambda: echo_function(self.kind, codec), host, port)

    def connect(self, address: Address) -> Any:
        return self.protocol.connect(address)

    async def connect_async(self, address: Address) -> Any:
        return await self.protocol.connect_async(address)
