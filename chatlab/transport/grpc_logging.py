"""How loud gRPC is: its core writes nothing to stderr unless the user wants it, and grpc.aio does not log what is no error.

The core writes from threads of its own, which in a notebook lands in whatever cell runs just then. It reads the variable
below when it is loaded, so `grpc_common`, from which all our files take gRPC, imports this file first. `import chatlab` alone
changes nothing.
"""

import logging
import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")


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
