"""Requests that wait for their replies: a tag for each, and the reply with that tag handed to whoever waits for it.

Written once for threads and once for an event loop. A transport whose connection carries replies in any order, each
with the tag of its request, has one of these for as long as the connection lives.
"""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial

from ..messages import ConnectionLost, Reply

#: Takes the reply to one request, or what ended the connection before there was one.
Sink = Callable[[Reply | ConnectionLost], None]


def timeout_error(timeout_s: float) -> str:
    """Why a request is given up."""
    return f"no answer within {timeout_s:g} s; the request may or may not have been carried out"


class PendingReplies:
    """Replies that threads wait for. A reader thread hands them in by `settle`, and ends all waiting by `fail`."""

    def __init__(self) -> None:
        self._tags = itertools.count(1)
        self._sinks: dict[int, Sink] = {}
        self._lost: ConnectionLost | None = None
        self._posted: set[int] = set()
        self._settled = threading.Condition()  # guards `_posted`

    def exchange(self, send: Callable[[int, float], None], timeout_s: float) -> Reply:
        """Call `send` with a new tag and the deadline (of `time.monotonic`), and wait for the reply with that tag.

        Raises `ConnectionLost` where the reply does not come in time, sending included, or the connection ends.
        """
        deadline = time.monotonic() + timeout_s
        tag = next(self._tags)
        answers: queue.SimpleQueue[Reply | ConnectionLost] = queue.SimpleQueue()
        self._sinks[tag] = answers.put
        try:
            self._check_open()  # after the sink is there: `fail` finds the sink, or this finds what `fail` has left
            send(tag, deadline)
            answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except (queue.Empty, TimeoutError):
            raise ConnectionLost(timeout_error(timeout_s)) from None
        finally:
            self._sinks.pop(tag, None)
        return _reply(answer)

    def post(self, send: Callable[[int], bool], on_reply: Callable[[Reply], None]) -> bool:
        """Call `send` with a new tag; where that was sent, its reply goes to `on_reply`. Whether it was sent."""
        tag = next(self._tags)
        with self._settled:
            self._posted.add(tag)
        self._sinks[tag] = partial(self._settle_posted, tag, on_reply)
        sent = False
        try:
            sent = self._lost is None and send(tag)
        finally:
            if not sent:
                self._forget_posted(tag)
        return sent

    def drain(self, timeout_s: float) -> None:
        """Return when all that was posted is answered, when the connection has ended, or after so many seconds."""
        with self._settled:
            self._settled.wait_for(lambda: not self._posted, timeout_s)

    def settle(self, tag: int | None, reply: Reply) -> None:
        """The reply with this tag has come. Where nobody waits for it any more it is dropped."""
        sink = None if tag is None else self._sinks.pop(tag, None)
        if sink is not None:
            sink(reply)

    def fail(self, lost: ConnectionLost) -> None:
        """No replies come any more: everybody who waits for one gets this, and so does everybody who asks later."""
        self._lost = lost
        for sink in list(self._sinks.values()):
            sink(lost)

    def _check_open(self) -> None:
        if self._lost is not None:
            raise again(self._lost)

    def _settle_posted(self, tag: int, on_reply: Callable[[Reply], None], answer: Reply | ConnectionLost) -> None:
        try:
            if isinstance(answer, Reply):
                on_reply(answer)
        finally:
            self._forget_posted(tag)

    def _forget_posted(self, tag: int) -> None:
        self._sinks.pop(tag, None)
        with self._settled:
            self._posted.discard(tag)
            self._settled.notify_all()


class AsyncPendingReplies:
    """Replies that tasks of one event loop wait for. A reader task hands them in by `settle`, and ends it by `fail`."""

    def __init__(self) -> None:
        self._tags = itertools.count(1)
        self._sinks: dict[int, Sink] = {}
        self._lost: ConnectionLost | None = None
        self._posted: set[asyncio.Future[None]] = set()

    async def exchange(self, send: Callable[[int], Awaitable[None]], timeout_s: float) -> Reply:
        """As `PendingReplies.exchange`."""
        if self._lost is not None:
            raise again(self._lost)
        tag = next(self._tags)
        answer: asyncio.Future[Reply | ConnectionLost] = asyncio.get_running_loop().create_future()
        self._sinks[tag] = partial(_settle_future, answer)
        try:
            async with asyncio.timeout(timeout_s):
                await send(tag)
                reply = await answer
        except TimeoutError:
            raise ConnectionLost(timeout_error(timeout_s)) from None
        finally:
            self._sinks.pop(tag, None)
        return _reply(reply)

    def post(self, send: Callable[[int], bool], on_reply: Callable[[Reply], None]) -> bool:
        """As `PendingReplies.post`: nothing is awaited."""
        if self._lost is not None:
            return False
        tag = next(self._tags)
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sinks[tag] = partial(self._settle_posted, answered, on_reply)
        self._posted.add(answered)
        sent = False
        try:
            sent = send(tag)
        finally:
            if not sent:
                self._sinks.pop(tag, None)
                self._posted.discard(answered)
        return sent

    async def drain(self, timeout_s: float) -> None:
        """As `PendingReplies.drain`."""
        if self._posted:
            await asyncio.wait(self._posted, timeout=timeout_s)

    def settle(self, tag: int | None, reply: Reply) -> None:
        """As `PendingReplies.settle`."""
        sink = None if tag is None else self._sinks.pop(tag, None)
        if sink is not None:
            sink(reply)

    def fail(self, lost: ConnectionLost) -> None:
        """As `PendingReplies.fail`."""
        self._lost = lost
        for sink in list(self._sinks.values()):
            sink(lost)

    def _settle_posted(
        self, answered: "asyncio.Future[None]", on_reply: Callable[[Reply], None], answer: Reply | ConnectionLost
    ) -> None:
        self._posted.discard(answered)
        if not answered.done():
            answered.set_result(None)
        if isinstance(answer, Reply):
            on_reply(answer)


def again(lost: ConnectionLost) -> ConnectionLost:
    """The same error for one more caller: one exception raised by many threads would collect all their tracebacks."""
    return ConnectionLost(*lost.args)


def _reply(answer: Reply | ConnectionLost) -> Reply:
    if isinstance(answer, ConnectionLost):
        raise again(answer)
    return answer


def _settle_future(future: "asyncio.Future[Reply | ConnectionLost]", answer: Reply | ConnectionLost) -> None:
    if not future.done():  # the caller may have been cancelled meanwhile
        future.set_result(answer)
