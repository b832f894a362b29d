"""What every server of ours does the same way: how it listens, names a peer, and looks after slow or silent ones."""

import socket
import time
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from ..chat.hub import Outbox
from ..messages import Limits
from .interface import Address

BACKLOG = 1024  # connections that the kernel holds until they are accepted
CHECK_TIMEOUTS_S = 0.25  # how often a server looks for newcomers that ask nothing and for peers that do not read
RECEIVE_BYTES = 256 << 10  # at once, of one connection


# ---- listening --------------------------------------------------------------------------------------------------


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to an address, not listening yet. Raises `OSError` that names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only on sockets that say IPPROTO_TCP.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise listen_error(host, port, error) from error
    return bound


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises `OSError` that names the address."""
    listener = bind(host, port)
    try:
        listener.listen(BACKLOG)
    except OSError as error:  # another socket listens there
        listener.close()
        raise listen_error(host, port, error) from error
    return listener


def listen_error(host: str, port: int, error: OSError) -> OSError:
    """What is said where a server cannot listen."""
    return OSError(error.errno, f"cannot listen at {host}, port {port}: {error.strerror or error}")


def format_peer(address: Address | None) -> str:
    """How a log line names a peer: `(127.0.0.1, 51638)`. None, where it was gone before it could be asked, is `(?, 0)`.

    >>> format_peer(("127.0.0.1", 51638))
    '(127.0.0.1, 51638)'
    """
    host, port, *_ = address or ("?", 0)
    return f"({host}, {port})"


def receive_bytes(connected: socket.socket) -> bytes | None:
    """Some bytes; none at the end of the stream; None where the connection broke."""
    try:
        return connected.recv(RECEIVE_BYTES)
    except OSError:
        return None


# ---- time-outs --------------------------------------------------------------------------------------------------


class TimeoutResult(Enum):
    """What a server has to do about a connection."""

    NONE = "nothing"
    SAY_GOODBYE = "end it with a reason"
    ABORT = "end it now, whatever still waits"


class ConnectionTimeouts:
    """How long a server waits for a newcomer's first request, and for a peer to read what comes before the end."""

    __slots__ = ("_limits", "_first_request_by", "_abort_at")

    def __init__(self, limits: Limits):
        self._limits = limits
        self._first_request_by = time.monotonic() + limits.first_frame_s
        self._abort_at: float | None = None

    def check(self, now: float, outbox: Outbox, has_asked: bool) -> TimeoutResult:
        """What to do at this time (of `time.monotonic`) with a connection in this state."""
        if outbox.closed:
            self._abort_at = self._abort_at or now + self._limits.linger_s
            return TimeoutResult.ABORT if now > self._abort_at else TimeoutResult.NONE
        if not has_asked and now > self._first_request_by:
            return TimeoutResult.SAY_GOODBYE
        return TimeoutResult.NONE

    @property
    def reason(self) -> str:
        """What a newcomer is told that has asked nothing in time."""
        return f"no complete request within {self._limits.first_frame_s:g} s"


class ServerConnection(Protocol):
    """The server's side of one connection, as far as its time-outs are concerned."""

    @property
    def outbox(self) -> Outbox: ...

    @property
    def timeouts(self) -> ConnectionTimeouts: ...

    @property
    def has_asked(self) -> bool:
        """Whether a whole request has come."""

    def abort(self) -> None:
        """End the connection in both directions, whatever still waits."""


def check_timeouts(connections: Iterable[ServerConnection]) -> None:
    """End the connections whose peer has asked nothing for too long, or does not read what comes before the end."""
    now = time.monotonic()
    for connection in list(connections):
        result = connection.timeouts.check(now, connection.outbox, connection.has_asked)
        if result is TimeoutResult.ABORT:
            connection.abort()
        elif result is TimeoutResult.SAY_GOODBYE:
            connection.outbox.end(connection.timeouts.reason)
