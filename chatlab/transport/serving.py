"""What every server of ours shares: how it names a peer, and how long it waits for one."""

import socket
import time

from ..chat.hub import Outbox
from ..messages import Limits
from .interface import Address


class Patience:
    """How long a server waits for a newcomer's first request, and for a closing peer to read its last words."""

    __slots__ = ("_limits", "_first_request_by", "_cut_at")

    def __init__(self, limits: Limits):
        self._limits = limits
        self._first_request_by = time.monotonic() + limits.first_frame_s
        self._cut_at: float | None = None

    def verdict(self, now: float, outbox: Outbox, has_asked: bool) -> str:
        """Empty to go on, "cut" to end the connection now, or the reason to say goodbye with."""
        if outbox.closed:
            self._cut_at = self._cut_at or now + self._limits.linger_s
            return "cut" if now > self._cut_at else ""
        if not has_asked and now > self._first_request_by:
            return f"no complete request within {self._limits.first_frame_s:g} s"
        return ""


def label(address: Address | None) -> str:
    """How a log line names a peer: `(127.0.0.1, 51638)`. None, where it was gone before it could be asked, is `(?, 0)`.

    >>> label(("127.0.0.1", 51638))
    '(127.0.0.1, 51638)'
    """
    host, port, *_ = address or ("?", 0)
    return f"({host}, {port})"


RECEIVE_BYTES = 256 << 10


def receive_bytes(sock: socket.socket) -> bytes | None:
    """Some bytes; none at the end of the stream; None where the connection broke."""
    try:
        return sock.recv(RECEIVE_BYTES)
    except OSError:
        return None
