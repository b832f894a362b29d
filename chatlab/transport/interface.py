"""What a transport is: an address at which a server answers, and what a whole protocol must offer."""

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Literal, Protocol

from ..codecs.interface import Codec
from ..messages import ConnectionLost, Event, Reply, Request

if TYPE_CHECKING:
    from ..chat.hub import Hub
    from .async_client import AsyncClient
    from .client import Client

Address = tuple[str, int]
Engine = Literal["loop", "threads"]
ENGINES: tuple[Engine, ...] = ("loop", "threads")


class Endpoint(Protocol):
    """One address at which a server answers. `close` returns when the port is free again."""

    address: Address

    def close(self) -> None: ...


class Implementation(Protocol):
    """One way to transport the chat: how it is served, how a client connects, and what it can do.

    Whoever brings a whole transport may leave out all but `serve` and `connect` (`OwnTransport`); `registry.resolve`
    fills in the rest."""

    @property
    def name(self) -> str:
        """What users call the protocol."""

    @property
    def codec(self) -> Codec | None:
        """What encodes its frames; None where no codec does."""

    @property
    def verbs(self) -> frozenset[str] | None:
        """The client's verbs that its server has; None for all of them."""

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines on which it can be served."""

    def serve(self, hub: "Hub", engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Open an endpoint of the hub, served in the background. Port 0 is any free one."""

    def connect(self, address: Address) -> "Client":
        """A blocking client. Raises `ConnectionLost` where no server answers."""

    async def connect_async(self, address: Address) -> "AsyncClient":
        """An async client, to be used in the running event loop. Raises `ConnectionLost`."""


class OwnTransport(Protocol):
    """The least that a transport of a reader's own must have; it gets no codec, all verbs and both engines."""

    def serve(self, hub: "Hub", *, engine: Engine, host: str, port: int) -> Endpoint:
        """As `Implementation.serve`."""

    def connect(self, address: Address) -> "Client":
        """As `Implementation.connect`."""


#: What is understood wherever a protocol is taken: its name, a `"module:NAME"`, a codec, a transport, or a class of
#: these.
ProtocolLike = str | Codec | OwnTransport | Callable[[], Codec | OwnTransport]
#: What functions take that take protocols side by side: each of them, or a single list.
ProtocolOrList = ProtocolLike | Collection[ProtocolLike]


# ---- one connection of a client ---------------------------------------------------------------------------------

#: Takes what comes up from a connection: its events in order, and once, as the last, why the connection ended.
OnEvent = Callable[[Event | ConnectionLost], None]


class Transport(Protocol):
    """One connection of a blocking client, which any thread may use. It is made by a `Dial`, and never connects again.

    Requests go down by its methods. Events, and the end, come up by the callback that it was dialled with.
    """

    def exchange(self, request: Request, timeout_s: float) -> Reply:
        """Send a request and wait for its reply.

        Raises `ConnectionLost` where the connection has ended (and the callback knows it by then), or no reply came
        within `timeout_s` seconds, sending included; and `ChatError` FRAME_TOO_LONG where the request fits no frame.
        """

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool:
        """Send a request without waiting for anything, and hand its reply, should it come, to `on_reply`.

        False where it was not sent, because the server does not take it at once or the connection has ended.
        """

    def drain(self, timeout_s: float) -> None:
        """Return when all that was posted is answered, or after so many seconds."""

    def close(self) -> None:
        """End the connection in order: what was sent is carried out, and the server has closed too on return."""

    def abort(self, reason: str = "") -> None:
        """End the connection at once, whatever is on its way."""


class AsyncTransport(Protocol):
    """As `Transport`, for the event loop in which it was dialled."""

    async def exchange(self, request: Request, timeout_s: float) -> Reply: ...

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool: ...

    async def drain(self, timeout_s: float) -> None: ...

    async def close(self) -> None: ...

    async def abort(self, reason: str = "") -> None: ...


#: Open a connection to the address. Raises `ConnectionLost`.
Dial = Callable[[Address, OnEvent], Transport]
AsyncDial = Callable[[Address, OnEvent], Awaitable[AsyncTransport]]


def format_address(address: Address) -> str:
    """`HOST:PORT`, with brackets around an IPv6 address.

    >>> format_address(("127.0.0.1", 2428)), format_address(("::1", 2428))
    ('127.0.0.1:2428', '[::1]:2428')
    """
    host, port, *_ = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connect_error(address: Address, why: object) -> str:
    """What is said where no connection to a server could be opened."""
    return f"cannot connect to {format_address(address)}: {why}"
