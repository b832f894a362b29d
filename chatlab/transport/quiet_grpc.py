"""gRPC itself, told to be quiet. Every file of ours takes gRPC, and what is generated for it, from here.

gRPC's core writes to stderr from threads of its own, which in a notebook lands in whatever cell runs just then. How
much it writes it reads from a variable of the environment while it is loaded, so the variable is set first, unless the
user has set it. `import chatlab` alone changes nothing.
"""

import logging
import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# isort: split
import grpc as grpc

from ..proto.chat_pb2_grpc import ChatStub as ChatStub
from ..proto.chat_pb2_grpc import add_ChatServicer_to_server as add_ChatServicer_to_server


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
