"""What the kernel counted: the bytes that a process sent to an address and received from it, as TCP_INFO tells.

A second opinion on what a relay has taped, and one that needs no relay. It asks about sockets that somebody else opened,
gRPC's hidden ones too, so it looks through all open files of this process. Linux only; elsewhere it knows nothing.
"""

import os
import socket
import stat
import struct

from ..transport.interface import Address
from .traffic import Segments, Traffic

TCP_INFO = 11
_RECEIVED, _SENT, _AGAIN = 128, 200, 208  # where struct tcp_info has them, each in 8 bytes
_SEGMENTS = 152  # received and sent, of those with data, each in 4 bytes


def tcp_bytes(peer: Address) -> Traffic | None:
    """The bytes of this process's open connections to `peer`: up are those sent. None where the kernel does not tell.

    What was sent twice because it was lost is counted once. A connection counts until it is closed.
    """
    return _sum(peer, Traffic(), lambda up, down, *_: Traffic(up, down))


def _sum(peer: Address, total, counted):
    """What `counted` makes of each open connection to `peer`, added to `total`."""
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
                if len(info) < _AGAIN + 8:
                    return None
                received, sent, again = (struct.unpack_from("Q", info, at)[0] for at in (_RECEIVED, _SENT, _AGAIN))
                total += counted(sent - again, received, *struct.unpack_from("II", info, _SEGMENTS))
    return total if os.path.isdir("/proc/self/fd") else None


def _open_files() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return []


def _peer(connection: socket.socket) -> tuple | None:
    """Whom a TCP connection is to, an IPv4 address in IPv4's words."""
    try:
        if connection.type != socket.SOCK_STREAM or connection.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        host, port, *_ = connection.getpeername()
    except OSError:
        return None
    return host.removeprefix("::ffff:"), port


def tcp_segments(peer: Address) -> Segments | None:
    """As `tcp_bytes`, with the segments that held data. None where the kernel does not tell."""
    return _sum(peer, Segments(0, 0, 0, 0), lambda up, down, data_down, data_up: Segments(up, down, data_up, data_down))
