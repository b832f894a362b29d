"""A timer for event loops that is exact to some ten microseconds, and costs nothing while it waits.

The timers of asyncio and uvloop wake up as much as a millisecond off, and to spin through the last millisecond would
look like a busy generator. Linux has timers that are files (timerfd), which any event loop can watch. Where there are
none, the event loop's own timer has to do, and its lateness is measured like any other.
"""

import asyncio
import ctypes
import heapq
import itertools
import os
import sys
import time
from functools import cache

NS = 1_000_000_000
_CLOCK_MONOTONIC, _NONBLOCK, _CLOSE_ON_EXEC, _ABSOLUTE = 1, 0o4000, 0o2000000, 1  # of Linux; perf_counter is this clock


class Timer:
    """Waits for moments of `time.perf_counter_ns`, in the event loop in which it was made. Close it at the end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._file = _create_timer()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap of (moment, order, who waits)
        self._order = itertools.count()
        if self._file is not None:
            self._loop.add_reader(self._file, self._expired)

    async def wait_until(self, at_ns: int) -> None:
        """Return at that moment, or at once where it has passed."""
        left_ns = at_ns - time.perf_counter_ns()
        if left_ns <= 0:
            return
        if self._file is None:
            await asyncio.sleep(left_ns / NS)
            return
        future = self._loop.create_future()
        heapq.heappush(self._waiting, (at_ns, next(self._order), future))
        if self._waiting[0][2] is future:
            _set_timer(self._file, at_ns)
        await future

    def close(self) -> None:
        if self._file is not None:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = None

    def _expired(self) -> None:
        assert self._file is not None
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            pass  # it was set anew meanwhile
        now_ns, waiting = time.perf_counter_ns(), self._waiting
        while waiting and (waiting[0][0] <= now_ns or waiting[0][2].done()):
            future = heapq.heappop(waiting)[2]
            if not future.done():  # it may have been cancelled
                future.set_result(None)
        if waiting:
            _set_timer(self._file, waiting[0][0])


class _TimerSpec(ctypes.Structure):
    """struct itimerspec: an interval, which is not used, and a moment."""

    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "at_s", "at_ns")]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _create_timer() -> int | None:
    if sys.platform != "linux":
        return None
    file: int = _libc().timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK | _CLOSE_ON_EXEC)
    return file if file >= 0 else None


def _set_timer(file: int, at_ns: int) -> None:
    _libc().timerfd_settime(file, _ABSOLUTE, ctypes.byref(_TimerSpec(0, 0, *divmod(at_ns, NS))), None)
