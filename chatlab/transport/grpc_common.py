"""What both ends of our gRPC agree on: metadata keys, the service's name, settings. It loads no gRPC."""

import os
from collections.abc import Iterable

from google.protobuf.message import Message as Proto

from ..messages import (
    Acknowledge,
    ChatlabError,
    CreateAccount,
    DeleteAccount,
    DeleteMessages,
    Limits,
    LogIn,
    LogOut,
    Unread,
)

SERVICE = "chatlab.v1.Chat"
SESSION = "session"  # the metadata key of a session's token
CODE = "code"  # the metadata key of a refusal's code
EVENTS_BEFORE = "events"  # the metadata key of how many events were announced to the session before this answer
KEEPALIVE_S = 30.0  # of silence, then a ping; long enough that no short measurement has pings in it
KEEPALIVE_TIMEOUT_S = 10.0


def size_error(proto: Proto, max_frame: int) -> str:
    """What is said of a message that fits no frame."""
    return f"a frame of {proto.ByteSize()} bytes is over the limit of {max_frame}"


def metadata_value(metadata: Iterable[tuple[str, str]] | None, key: str) -> str | None:
    """What gRPC's metadata, a sequence of pairs or None, hold under a key."""
    return next((value for name, value in metadata or () if name == key), None)


# ---- forks ------------------------------------------------------------------------------------------------------

_used_in: int | None = None  # the process in which gRPC was used first


class ForkedAfterGrpc(ChatlabError, RuntimeError):
    """This process was forked from one that had used gRPC, whose threads do not exist here: a call would hang."""


def check_not_forked() -> None:
    """Called before a gRPC server or client is made. Raises `ForkedAfterGrpc`."""
    global _used_in
    if _used_in is None:
        _used_in = os.getpid()
    elif _used_in != os.getpid():
        raise ForkedAfterGrpc(
            "gRPC was used before this process was forked, so it does not work here; "
            'start processes by "spawn", as multiprocessing.get_context("spawn") does'
        )


# ---- settings ---------------------------------------------------------------------------------------------------

NO_PROBES = ("grpc.http2.bdp_probe", 0)  # it pings whenever it likes, and the same run would not have the same bytes
KEEPALIVE_OPTIONS = (
    ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
    ("grpc.http2.ping_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),  # newer gRPC's name for it
    ("grpc.http2.max_pings_without_data", 0),  # any number: an idle event stream sends nothing else
    NO_PROBES,
)

MAX_FRAME = Limits().frame
#: Of every server of ours. Calls that no thread or loop has taken yet may wait: beyond 1000, gRPC by itself cancels
#: some at random.
SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),  # or a server that was forgotten would take half of the connections
    ("grpc.server.max_pending_requests", 1 << 20),
    ("grpc.server.max_pending_requests_hard_limit", 1 << 20),
)
CLIENT_OPTIONS = (
    *KEEPALIVE_OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own: else all clients of a process would share one
    ("grpc.enable_http_proxy", 0),
)

# ---- the order of calls
# ------------------------------------------------------------------------------------------------

#: Calls may overtake each other. These wait for the acknowledgements that are on their way, which change their answer.
NOT_TO_OVERTAKE = frozenset({LogIn, LogOut, Unread, Acknowledge, DeleteMessages, DeleteAccount})
#: Answers may overtake events. These answers change whose events they are, so they wait for the events before them.
AFTER_EVENTS = frozenset({CreateAccount, LogIn, LogOut, DeleteAccount})
