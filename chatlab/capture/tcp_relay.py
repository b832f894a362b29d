"""A TCP relay in front of any server: bytes in, bytes out, and a tape of what passed.

It knows neither codec nor chat, and nobody on either side can tell that it is there: an end of sending is passed on as
an end of sending, a reset as a reset, and who reads slowly slows down whoever sends. It counts and tapes a byte when it
has received it and before it passes it on; so whoever holds an answer finds the answer's bytes counted. It runs on the
background loop and never prints.
"""

import asyncio
import socket
import struct
import time

from ..messages import shorten
from ..transport.client import Client
from ..transport.event_loop import background_loop, run
from ..transport.interface import Address, Implementation
from .traffic import Chunk, Position, Traffic

TAPE_BYTES = 16 << 20
CHUNK_COST = 256  # what a chunk takes besides its bytes, so that a million of one byte are bounded too


def relay(server, protocol: str | None = None, tape_bytes: int = TAPE_BYTES) -> "Relay":
    """Put a relay in front of a server's door (the first, where no protocol is named). `connect()` goes through it.

    The tape takes at most about `tape_bytes` of memory: when it is full the counting goes on and the taping stops.
    Raises `ValueError` where the server has no such door, `TypeError` where it is no server.
    """
    if not callable(getattr(server, "endpoint", None)):
        raise TypeError(f"a relay stands before a server, as serve() returns it, not before {shorten(server)}")
    name, implementation, address = server.endpoint(protocol)
    return Relay(address, implementation, name, tape_bytes)


class Relay:
    """Listens at `address` and passes every connection on to `upstream`. A context manager; closing twice is fine."""

    def __init__(self, upstream: Address, implementation: Implementation, name: str, tape_bytes: int = TAPE_BYTES):
        self.upstream, self.name = upstream, name
        self._implementation = implementation  # for its clients, and for those who read the tape
        self._room = tape_bytes
        self._tape: list[Chunk] = []
        self._carried: list[list[int]] = []  # up and down of each connection; only the loop's thread writes
        self._ends: set[_End] = set()
        self._guests: list[Client] = []
        self._opened = time.perf_counter()
        self._listener: asyncio.Server | None = None
        run(self._listen())

    def __repr__(self):
        state = "closed" if self._listener is None else "open"
        return f"<Relay to {self.name}, {state}: {len(self._carried)} connections so far>"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self) -> Client:
        """A blocking client of the server, through this relay. Raises `ConnectionLost`."""
        guest = self._implementation.connect(self.address)
        self._guests.append(guest)
        return guest

    @property
    def tape(self) -> tuple[Chunk, ...]:
        """What passed, piece by piece, in the order received; the beginning of it where it did not all fit."""
        return tuple(self._tape)

    @property
    def frames(self):
        """The tape, taken apart: `Frames` in which every byte has a name."""
        from .dissection import dissect_tape

        return dissect_tape(self.tape, self._implementation)

    def to_pcapng(self, path):
        """Write the tape as a capture that Wireshark opens, with the real port of the server; returns its path."""
        from .wireshark import to_pcapng

        return to_pcapng(path, self.tape, self.upstream[1], time.time() - (time.perf_counter() - self._opened))

    @property
    def tape_full(self) -> bool:
        """Whether something passed that is not on the tape."""
        return self._room < 0

    @property
    def bytes_up(self) -> int:
        return self.since().up

    @property
    def bytes_down(self) -> int:
        return self.since().down

    def mark(self) -> Position:
        """This moment, to count from with `since`."""
        return Position(tuple(Traffic(up, down) for up, down in self._carried))

    def since(self, mark: Position = Position(()), connection: int | None = None) -> Traffic:
        """What passed since the mark, or since the relay was opened: on one connection (1 is the first) or on all."""
        now, then = self.mark().carried, mark.carried
        if connection is not None:
            now, then = now[connection - 1 : connection], then[connection - 1 : connection]
        return sum(now, Traffic()) - sum(then, Traffic())

    def wait_until_quiet(self, quiet_s: float = 0.005, timeout_s: float = 10.0) -> None:
        """Return when nothing has passed for `quiet_s` seconds: no proof that nothing will. Raises `TimeoutError`."""
        deadline, before = time.monotonic() + timeout_s, None
        while before != (before := self.since()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"bytes still pass after {timeout_s:g} s")
            time.sleep(quiet_s)

    def close(self) -> None:
        """Close its clients, stop listening, and cut what still passes."""
        guests, self._guests = self._guests, []
        for guest in guests:
            guest.close()
        if self._listener is not None:
            run(self._close())

    # ---- in the loop

    async def _listen(self) -> None:
        self._listener = await background_loop().create_server(self._welcome, "127.0.0.1", 0)
        self.address: Address = self._listener.sockets[0].getsockname()[:2]

    def _welcome(self) -> "_End":
        self._carried.append([0, 0])
        return _End(self, len(self._carried), "up")

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for end in list(self._ends):
            end.transport.abort()

    def _record(self, connection: int, direction: str, data: bytes) -> None:
        self._carried[connection - 1][direction == "down"] += len(data)
        if self._room >= 0:
            self._room -= len(data) + CHUNK_COST
            if self._room >= 0:
                self._tape.append(Chunk(time.perf_counter() - self._opened, connection, direction, data))


class _End(asyncio.Protocol):
    """One of the two sockets of a connection. What it receives, `other` sends: `direction` says which way that is."""

    def __init__(self, relay: Relay, connection: int, direction: str, other: "_End | None" = None):
        self.relay, self.connection, self.direction = relay, connection, direction
        self.other = other
        self.has_ended = False
        self._early: list[bytes] = []  # what came before there was somebody to pass it on to

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.relay._ends.add(self)
        if self.other is None:
            transport.pause_reading()  # uvloop hands over what it has read already, all the same
            self._dialing = asyncio.ensure_future(self._dial())
        elif self.other.transport.is_closing():
            self.reset()
        else:
            self.other._meet(self)

    async def _dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _End(self.relay, self.connection, "down", self), *self.relay.upstream
            )
        except OSError:
            self.reset()  # nobody listens there any more; neither do we

    def _meet(self, other: "_End") -> None:
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
            pass  # passed on when there is somebody
        elif self.other.has_ended:
            self.transport.close()
            self.other.transport.close()  # when all it has to pass on is written
        elif not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True  # the other direction goes on

    def connection_lost(self, error: Exception | None) -> None:
        self.relay._ends.discard(self)
        if self.other is not None and not self.other.transport.is_closing():
            if error is None:
                self.other.transport.close()
            else:
                self.other.reset()

    def reset(self) -> None:
        """End the connection as a crash does: the peer is told that it was reset."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def pause_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()
