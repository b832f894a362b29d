"""What a transport is: an address at which a server answers, and what a whole protocol must offer."""

from typing import TYPE_CHECKING, Literal, Protocol

from ..codecs.interface import Codec

if TYPE_CHECKING:
    from ..chat.hub import Hub
    from .client import AsyncClient, Client

Address = tuple[str, int]
Engine = Literal["loop", "threads"]
ENGINES: tuple[Engine, ...] = ("loop", "threads")


class Endpoint(Protocol):
    """One address at which a server answers. `close` returns when the port is free again."""

    address: Address

    def close(self) -> None: ...


class Implementation(Protocol):
    """One way to carry the chat, for those who bring a whole transport.

    What it can do it declares: the codec that encodes its frames, if a codec does; the client's verbs that its server has
    (None: all of them); the engines on which it can be served.
    """

    name: str
    codec: Codec | None = None
    verbs: frozenset[str] | None = None
    engines: tuple[Engine, ...] = ENGINES

    def serve(self, hub: "Hub", engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Open an endpoint of the hub, served in the background. Port 0 is any free one."""

    def connect(self, address: Address) -> "Client":
        """A blocking client. Raises `ConnectionLost` where no server answers."""

    async def connect_async(self, address: Address) -> "AsyncClient":
        """An async client, to be used in the running loop."""
