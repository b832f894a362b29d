"""What the kernel counted: the bytes that a process sent to an address and received from it, as TCP_INFO tells.

A second opinion on what a relay has taped, and one that needs no relay. It asks about sockets that somebody else opened,
gRPC's hidden ones too, so it looks through all open files of this process. Linux only; elsewhere it knows nothing.
"""

import os
import socket
import stat
import struct

from .client import Address
from .relay import Traffic

TCP_INFO = 11
_RECEIVED, _SENT, _AGAIN = 128, 200, 208  # where struct tcp_info has them, each in 8 bytes


def tcp_bytes(peer: Address) -> Traffic | None:
    """The bytes of this process's open connections to `peer`: up are those sent. None where the kernel does not tell.

    What was sent twice because it was lost is counted once. A connection counts until it is closed.
    """
    total = Traffic()
    for descriptor in _open_files():
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            connection = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue  # closed meanwhile
        with connection:
            if _peer(connection) == peer:
                info = connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 512)
                if len(info) < _AGAIN + 8:
                    return None
                received, sent, again = (struct.unpack_from("Q", info, at)[0] for at in (_RECEIVED, _SENT, _AGAIN))
                total += Traffic(sent - again, received)
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
