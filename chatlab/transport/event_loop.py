"""Background threads: one with an event loop, and a blocking way to ask it for things; and those that a server starts.

Every event-loop server of the process shares that loop: two `grpc.aio` loops in one process disturb each other, and posting
between a socket endpoint and a gRPC endpoint then needs no thread hop. uvloop where it is installed, asyncio otherwise.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_starting = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """A thread that runs already, and that the end of the process does not wait for."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop where it is installed, else the standard library's loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop, running; started at the first call, on a daemon thread."""
    global _loop
    with _starting:
        if _loop is None:
            _loop = new_event_loop()
            start_thread(_loop.run_forever, "chatlab-loop")
    return _loop


def _forget_loop() -> None:
    """In a forked child the loop's thread does not exist, and its loop is the parent's: the next call starts another."""
    global _loop, _starting
    _loop, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop)


def run(coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
    """Its result, computed in the background loop. A keyboard interrupt ends the wait and cancels it."""
    future = asyncio.run_coroutine_threadsafe(coroutine, background_loop())
    try:
        return future.result(timeout_s)
    except BaseException:
        future.cancel()
        raise
