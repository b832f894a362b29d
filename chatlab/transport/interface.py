"""What a transport is: an address at which a server answers, and what a whole protocol must offer."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..chat.hub import Hub
    from .client import AsyncClient, Client


Address = tuple[str, int]


class Door(Protocol):
    """One address at which a server answers. `close` returns when the port is free again."""

    address: Address

    def close(self) -> None: ...


class Implementation(Protocol):
    """One way to carry the chat, for those who bring a whole transport."""

    name: str

    def serve(self, hub: "Hub", engine: str = "loop", host: str = "127.0.0.1", port: int = 0) -> Door:
        """Open a door to the hub, served in the background. `engine` is "loop" or "threads"; port 0 is any free one."""

    def connect(self, address: Address) -> "Client":
        """A blocking client. Raises `ConnectionLost` where nobody answers."""

    async def connect_async(self, address: Address) -> "AsyncClient":
        """An async client, to be used in the running loop."""
