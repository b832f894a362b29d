"""Background threads: the shared event loop, a blocking way to run coroutines in it, and daemon threads for servers.

All event-loop servers of a process share one loop. Two `grpc.aio` loops in one process disturb each other, and a
message from a socket client to a gRPC client then stays on one thread. It is uvloop's where that is installed, else
asyncio's.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_starting = threading.Lock()  # guards `_loop`
_loop: asyncio.AbstractEventLoop | None = None
#: After a fork: kept, because freeing a loop could close what the parent still uses.
_of_the_parent: list[asyncio.AbstractEventLoop | None] = []


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """A daemon thread, started."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new uvloop where it is installed, else a new asyncio loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def background_loop() -> asyncio.AbstractEventLoop:
    """The shared loop; the first call starts it, on a daemon thread."""
    global _loop
    with _starting:
        if _loop is None:
            _loop = new_event_loop()
            start_thread(_loop.run_forever, "chatlab-loop")
    return _loop


def _forget_loop() -> None:
    """In a forked child the loop's thread does not exist: the next call there starts another loop."""
    global _loop, _starting
    _of_the_parent.append(_loop)
    _loop, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop)


def run(coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
    """Run a coroutine in the background loop and return its result. A keyboard interrupt ends the wait and cancels it.

    Raises what the coroutine raises, and `TimeoutError` after `timeout_s` seconds.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, background_loop())
    try:
        return future.result(timeout_s)
    except BaseException:
        future.cancel()
        raise
