"""What both ends of our gRPC agree on: metadata keys, the service name, keep-alive."""

import logging

from google.protobuf.message import Message as Proto

from ..messages import Acknowledge, CreateAccount, DeleteAccount, DeleteMessages, Limits, LogIn, LogOut, Unread

SERVICE = "chatlab.v1.Chat"
SESSION = "session"  # the metadata key of a session's token
CODE = "code"  # the metadata key of a refusal's code
EVENTS_BEFORE = "events"  # the metadata key of how many events were announced to the session before this answer
KEEPALIVE_S = 30.0  # of silence, then a ping; long enough that no short measurement has pings in it
KEEPALIVE_TIMEOUT_S = 10.0


def size_error(proto: Proto, max_frame: int) -> str:
    return f"a frame of {proto.ByteSize()} bytes is over the limit of {max_frame}"


def metadata_value(metadata, key: str) -> str | None:
    """What gRPC's metadata, a sequence of pairs or None, hold under a key."""
    return next((value for name, value in metadata or () if name == key), None)


# ---- settings ---------------------------------------------------------------------------------------------------

KEEPALIVE_OPTIONS = (
    ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
    ("grpc.http2.ping_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),  # newer gRPC's name for it
    ("grpc.http2.max_pings_without_data", 0),  # any number: an idle event stream sends nothing else
    ("grpc.http2.bdp_probe", 0),  # it sends pings whenever it likes, and the same run would not have the same bytes
)

MAX_FRAME = Limits().frame
MAX_PENDING = 1 << 20  # calls that no thread or loop has taken yet; beyond 1000, gRPC by itself cancels some at random
CLIENT_OPTIONS = (
    *KEEPALIVE_OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own: else all clients of a process would share one
    ("grpc.enable_http_proxy", 0),
)


def install_log_filter() -> None:
    """Drop what grpc.aio logs although nothing is wrong. Called where the first aio server or client of ours starts."""
    logging.getLogger("asyncio").addFilter(_not_spurious)  # adding it again changes nothing


def _not_spurious(record: logging.LogRecord) -> bool:
    """False for what gRPC says where a process has several event loops; nothing is wrong (grpc#25364).

    It wakes all of them for what concerns one of them, or one that has ended with calls under way.
    """
    error = record.exc_info[1] if record.exc_info else None
    of_grpc = "PollerCompletionQueue" in record.getMessage()
    return not (of_grpc and (isinstance(error, BlockingIOError) or str(error) == "Event loop is closed"))


# ---- clients ----------------------------------------------------------------------------------------------------

#: Calls may overtake each other. These wait for acknowledgements on their way, which would change their answer.
NOT_TO_OVERTAKE = {LogIn, LogOut, Unread, Acknowledge, DeleteMessages, DeleteAccount}
#: Answers may overtake events. These answers change whose events they are, so they wait for the events before them.
AFTER_EVENTS = {CreateAccount, LogIn, LogOut, DeleteAccount}
