"""A TCP relay in front of any server: bytes in, bytes out, and a recording (the tape) of what passed.

The relay knows neither codec nor chat and is transparent to both sides: an end of stream is passed on as an end of
stream, a reset as a reset, and a slow reader slows down its sender (backpressure). Bytes are counted and recorded after
they are received and before they are passed on, so when a client holds an answer, the answer's bytes are already
counted. It runs on the background event loop and never prints.
"""

import asyncio
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ..messages import shorten
from ..transport.client import Client
from ..transport.event_loop import background_loop, run
from ..transport.interface import Address, Implementation
from .traffic import Chunk, Position, Traffic

if TYPE_CHECKING:
    from .fields import Frames

TAPE_BYTES = 16 << 20
CHUNK_COST = 256  # memory that a chunk takes besides its bytes, so that a million chunks of one byte are bounded too


class RelayableServer(Protocol):
    """What a relay needs of a server; `serve()` returns one."""

    def endpoint(self, protocol: str | None = None) -> tuple[str, Implementation, Address]:
        """The name, implementation and address of an endpoint: the protocol's, or the first."""


def relay(server: RelayableServer, protocol: str | None = None, tape_bytes: int = TAPE_BYTES) -> "Relay":
    """Put a relay in front of an endpoint of a server (the first, if no protocol is named).

    `connect()` of the relay returns clients whose traffic goes through it. The tape takes at most about `tape_bytes` of
    memory: when it is full, counting goes on and recording stops.

    Raises `ValueError` if the server has no such endpoint, `TypeError` if it is not a server.
    """
    if not callable(getattr(server, "endpoint", None)):
        raise TypeError(
            f"a relay is put in front of a server, as serve() returns it, not in front of {shorten(server)}"
        )
    name, implementation, address = server.endpoint(protocol)
    return Relay(address, implementation, name, tape_bytes)


class Relay:
    """Listens at `address` and passes every connection on to `upstream`. A context manager; closing twice is fine."""

    def __init__(self, upstream: Address, implementation: Implementation, name: str, tape_bytes: int = TAPE_BYTES):
        self.upstream, self.name = upstream, name
        self._implementation = implementation  # connects its clients, and reads the tape
        self._tape: list[Chunk] = []
        self._tape_left = tape_bytes
        self._counts: list[list[int]] = []  # bytes up and down of each connection; only the loop's thread writes
        self._halves: set[_Half] = set()
        self._clients: list[Client] = []
        self._opened_ns = time.time_ns()  # read once, so that a tape is the same capture whenever it is written
        self._opened = time.perf_counter()
        self._listener: asyncio.Server | None = None
        run(self._listen())

    def __repr__(self) -> str:
        state = "closed" if self._listener is None else "open"
        return f"<Relay to {self.name}, {state}: {len(self._counts)} connections so far>"

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> Client:
        """A blocking client of the server, through this relay; it is closed with the relay. Raises `ConnectionLost`."""
        client = self._implementation.connect(self.address)
        self._clients.append(client)
        return client

    @property
    def tape(self) -> tuple[Chunk, ...]:
        """What passed, chunk by chunk, in the order received; if it did not all fit, the beginning of it."""
        return tuple(self._tape)

    @property
    def tape_full(self) -> bool:
        """Whether something passed that is not on the tape."""
        return self._tape_left < 0

    @property
    def frames(self) -> "Frames":
        """The tape, dissected: `Frames` in which every byte belongs to a named field."""
        from .dissection import dissect_tape

        return dissect_tape(self.tape, self._implementation)

    def to_pcapng(self, path: str | Path) -> Path:
        """Write the tape as a capture for Wireshark, with the server's real port; returns the path.

        The same tape gives the same bytes, however often it is written.
        """
        from .wireshark import to_pcapng

        return to_pcapng(path, self.tape, self.upstream[1], self._opened_ns)

    @property
    def bytes_up(self) -> int:
        """All bytes that went to the server, on the tape or not."""
        return self.traffic_since().up

    @property
    def bytes_down(self) -> int:
        """All bytes that came from the server, on the tape or not."""
        return self.traffic_since().down

    def position(self) -> Position:
        """How far each connection has come now: a start for `traffic_since` and for `frames.since`."""
        return Position(tuple(Traffic(up, down) for up, down in self._counts))

    def traffic_since(self, start: Position = Position(()), connection: int | None = None) -> Traffic:
        """The bytes that passed since `start`, by default since the relay was opened.

        They are those of all connections, or of one; 1 is the first.
        """
        now, then = self.position().by_connection, start.by_connection
        if connection is not None:
            now, then = now[connection - 1 : connection], then[connection - 1 : connection]
        return sum(now, Traffic()) - sum(then, Traffic())

    def wait_until_quiet(self, quiet_s: float = 0.005, timeout_s: float = 10.0) -> None:
        """Wait until nothing has passed for `quiet_s` seconds, which does not prove that nothing will.

        Raises `TimeoutError` if bytes still pass after `timeout_s` seconds.
        """
        deadline, before = time.monotonic() + timeout_s, None
        while before != (before := self.traffic_since()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"bytes still pass after {timeout_s:g} s")
            time.sleep(quiet_s)

    def close(self) -> None:
        """Close the clients made by `connect`, stop listening, and abort the connections that are still open."""
        clients, self._clients = self._clients, []
        for client in clients:
            client.close()
        if self._listener is not None:
            run(self._close())

    # ---- in the event loop

    async def _listen(self) -> None:
        self._listener = await background_loop().create_server(self._accept_client, "127.0.0.1", 0)
        self.address: Address = self._listener.sockets[0].getsockname()[:2]

    def _accept_client(self) -> "_Half":
        self._counts.append([0, 0])
        return _Half(self, len(self._counts), "up")

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for half in list(self._halves):
            half.transport.abort()

    def _record(self, connection: int, direction: str, data: bytes) -> None:
        self._counts[connection - 1][direction == "down"] += len(data)
        if self._tape_left >= 0:
            self._tape_left -= len(data) + CHUNK_COST
            if self._tape_left >= 0:
                self._tape.append(Chunk(time.perf_counter() - self._opened, connection, direction, data))


class _Half(asyncio.Protocol):
    """One of the two sockets of a relayed connection. What it receives, `other` sends; `direction` says which way."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay, connection: int, direction: str, other: "_Half | None" = None):
        self.relay, self.connection, self.direction = relay, connection, direction
        self.other = other
        self.has_ended = False
        self._early: list[bytes] = []  # received before the server's half existed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.relay._halves.add(self)
        if self.other is None:
            self.transport.pause_reading()  # uvloop delivers what it has read already, all the same
            self._dialing = asyncio.ensure_future(self._connect_upstream())
        elif self.other.transport.is_closing():
            self._reset()
        else:
            self.other._pair(self)

    async def _connect_upstream(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Half(self.relay, self.connection, "down", self), *self.relay.upstream
            )
        except OSError:
            self._reset()  # the server refuses connections, so the relay does

    def _pair(self, other: "_Half") -> None:
        self.other = other
        early, self._early = self._early, []
        for data in early:
            other.transport.write(data)
        if self.has_ended:
            other.transport.write_eof()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.relay._record(self.connection, self.direction, data)
        if self.other is None:
            self._early.append(data)
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.has_ended = True
        if self.other is None:
            pass  # `_pair` passes it on
        elif self.other.has_ended:
            self.transport.close()
            self.other.transport.close()  # when all it has to pass on is written
        elif not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True  # half-closed: the other direction goes on

    def connection_lost(self, error: Exception | None) -> None:
        self.relay._halves.discard(self)
        if self.other is not None and not self.other.transport.is_closing():
            if error is None:
                self.other.transport.close()
            else:
                self.other._reset()

    def _reset(self) -> None:
        """End the connection as a crash does: the peer receives a RST."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()
