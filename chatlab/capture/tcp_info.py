"""What the kernel counted: bytes and segments that this process exchanged with an address, read from TCP_INFO.

An independent check of what a relay recorded, and one that needs no relay. It asks about sockets that other code
opened, gRPC's included, so it looks through all open files of this process. Linux only; elsewhere every answer is None.
"""

import os
import socket
import stat
import struct
from collections.abc import Callable
from typing import TypeVar

from ..transport.interface import Address
from .traffic import Segments, Traffic

TCP_INFO = 11
#: Offsets in `struct tcp_info`: tcpi_bytes_received, _bytes_sent and _bytes_retrans, 8 bytes each.
_RECEIVED, _SENT, _RETRANSMITTED = 128, 200, 208
_SEGMENTS = 152  # tcpi_data_segs_in and _data_segs_out, 4 bytes each


def tcp_bytes(peer: Address) -> Traffic | None:
    """Bytes on this process's open connections to `peer`: up are those sent. None where the kernel does not tell.

    Retransmitted bytes are counted once. A connection is counted until it is closed.
    """
    return _sum(peer, Traffic(), lambda up, down, *_: Traffic(up, down))


def tcp_segments(peer: Address) -> Segments | None:
    """As `tcp_bytes`, with the segments that held data. None where the kernel does not tell."""
    return _sum(peer, Segments(0, 0, 0, 0), lambda up, down, data_down, data_up: Segments(up, down, data_up, data_down))


Amount = TypeVar("Amount", Traffic, Segments)


def _sum(peer: Address, total: Amount, amount: Callable[[int, int, int, int], Amount]) -> Amount | None:
    """`total` and, for each open connection to `peer`, `amount(bytes up, bytes down, segments down, segments up)`."""
    for descriptor in _open_files():
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            connection = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue  # closed meanwhile
        with connection:
            if _peer(connection) == tuple(peer):
                info = connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 512)
                if len(info) < _RETRANSMITTED + 8:
                    return None
                received, sent, again = (
                    struct.unpack_from("Q", info, at)[0] for at in (_RECEIVED, _SENT, _RETRANSMITTED)
                )
                total += amount(sent - again, received, *struct.unpack_from("II", info, _SEGMENTS))
    return total if os.path.isdir("/proc/self/fd") else None


def _open_files() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return []


def _peer(connection: socket.socket) -> Address | None:
    """The address at the other end of a TCP connection, an IPv4 address always in IPv4's notation."""
    try:
        if connection.type != socket.SOCK_STREAM or connection.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        host, port, *_ = connection.getpeername()
    except OSError:
        return None
    return host.removeprefix("::ffff:"), port
