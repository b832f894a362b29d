"""The conversation between the coordinator of a measurement and its load workers, both ends."""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from ...messages import ChatlabError, ConnectionLost
from ...transport.interface import Address
from . import trial as trials
from .trial import DRAIN_S
from .workload import NS


class WorkerControl:
    """A worker's line to who coordinates: it says that it is ready, and hears when to start. Without one it starts at once."""

    def __init__(self, address: Address | None, side: int = 0):
        self._side = side
        self._socket = None if address is None else socket.create_connection(address, trials.DIAL_TIMEOUT_S)
        self._line = None if self._socket is None else self._socket.makefile("rwb")

    def wait_for_start(self) -> int:
        """When to start, by this process's clock. Raises `ConnectionLost` where the others are not coming."""
        if self._socket is None:
            return time.perf_counter_ns() + 1_000_000
        self._socket.settimeout(2 * trials.STEP_TIMEOUT_S)
        self._say(b"ready %d" % self._side)
        for _ in range(3):  # the quickest of these tells best how our clock differs
            self._line.readline()
            self._say(b"%d" % time.perf_counter_ns())
        told = self._line.readline()
        if not told.startswith(b"start "):
            raise ConnectionLost("who coordinates has called it off")
        return int(told.split()[1])

    def turns(self, has_done: Callable[[], int]) -> Iterator[int]:
        """How long each turn is, in ns, until there is no other. Who asks for the next has had all answers of this one.

        Raises `ConnectionLost` where who coordinates has gone.
        """
        self._socket.settimeout(None)  # it comes when the others have had theirs
        while (told := self._line.readline()).startswith(b"turn "):
            before = has_done()
            yield int(told.split()[1])
            self._say(b"quiet %d" % (has_done() - before))
        if told != b"end\n":
            raise ConnectionLost("who coordinates has called it off")

    def over(self, word: bytes = b"over") -> None:
        """Say how it ended, and hang up. Only who is lost hangs up without a word."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # who coordinates has gone
                self._say(word)
                self._line.close()
            self._socket.close()
            self._socket = None

    def _say(self, word: bytes) -> None:
        self._line.write(word + b"\n")
        self._line.flush()


COME_TIMEOUT_S = 30.0  # for all workers to have their clients connected
START_AFTER_NS = 30_000_000
RESULT_TIMEOUT_S = 60.0
LOOK_S = 0.05
GONE = "the connection to it ended before it was done"


class WorkerFailed(ChatlabError, RuntimeError):
    """What a process of ours said that went wrong, or that a worker went without a word."""


class DrainTimeout(ChatlabError):
    """A worker's last requests are not answered, and it waits no longer; it still tells all that it has seen."""


class GroupFailed(ChatlabError, RuntimeError):
    """What went wrong with the workers of one side, in words. `side` is None where nobody can tell whose it was."""

    def __init__(self, told: str, side: int | None = None):
        super().__init__(told)
        self.side = side


Slice = Callable[[int, int], int]  #: (which side, for how many ns): requests that were done


class StartBarrier:
    """Where workers say that they are ready, and hear when to start, or when it is their turn."""

    def __init__(self, host: str, count: int):
        self._listener = socket.create_server((host, 0))
        self.address = self._listener.getsockname()[:2]
        self._count, self._ready, self._sides = count, [], []
        self._working = selectors.DefaultSelector()
        self.side = 0  #: who has the load

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._working.close()
        for connection in [self._listener, *self._ready]:
            connection.close()

    def wait(self, futures: list[Future], sides: list[int]) -> None:
        """Until all are ready. Raises `RuntimeError`."""
        deadline = time.monotonic() + COME_TIMEOUT_S
        self._listener.settimeout(LOOK_S)
        while len(self._ready) < self._count:
            if (error := _failed(futures)) is not None:
                raise _failure(error, futures, sides) from error
            if time.monotonic() > deadline:
                raise GroupFailed(
                    f"{self._count} workers were asked for, and {len(self._ready)} came within {COME_TIMEOUT_S:g} s"
                )
            with contextlib.suppress(TimeoutError):
                self._welcome(self._listener.accept()[0])

    def _welcome(self, connection: socket.socket) -> None:
        connection.settimeout(COME_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ready.append(connection)

    def start(self) -> int:
        """Tell all the same moment, each by its own clock. Returns it by ours. Raises `WorkerFailed` as `over` does."""
        try:
            self._sides, offsets = zip(*map(_side_and_offset_ns, self._ready))
            start_ns = time.perf_counter_ns() + START_AFTER_NS
            for connection, offset in zip(self._ready, offsets):
                connection.sendall(b"start %d\n" % (start_ns + offset))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkerFailed(GONE) from error
        except TimeoutError:
            raise GroupFailed(f"not all clients were connected within {COME_TIMEOUT_S:g} s") from None
        for connection in self._ready:
            self._working.register(connection, selectors.EVENT_READ)
        return start_ns

    def turn(self, side: int, lasts_ns: int) -> int:
        """Let those of one side have the load for so long, and until all is answered. Returns how much was done.

        Raises `WorkerFailed` as `over` does, `ConnectionAbortedError` where one says that it failed, and `DrainTimeout`.
        """
        self.side, done = side, 0
        theirs = [connection for connection, its_side in zip(self._ready, self._sides) if its_side == side]
        try:
            for connection in theirs:
                connection.sendall(b"turn %d\n" % lasts_ns)
            for connection in theirs:
                connection.settimeout(lasts_ns / NS + DRAIN_S + RESULT_TIMEOUT_S)
                try:
                    word = _heard(connection)
                except TimeoutError:
                    raise GroupFailed(
                        f"its turn was not over {DRAIN_S + RESULT_TIMEOUT_S:g} s after its end", side
                    ) from None
                _check_word(word)
                if word.startswith(b"over"):
                    raise DrainTimeout
                if not word.startswith(b"quiet "):
                    raise ConnectionAbortedError("a worker failed in the midst of its turn")
                done += int(word.split()[1])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkerFailed(GONE) from error
        return done

    def end(self) -> None:
        """No more turns."""
        for connection in self._ready:
            with contextlib.suppress(OSError):  # whoever is not there any more has said why, or is missed later
                connection.sendall(b"end\n")

    def over(self) -> bool:
        """Whether all workers have measured what they were to measure, or failed: they say so. Raises `WorkerFailed`
        where one hung up without a word: an Executor may not tell, but start the same task somewhere else, too late."""
        for key, _ in self._working.select(0):
            _check_word(_heard(key.fileobj))
            self._working.unregister(key.fileobj)
        return not self._working.get_map()


def _heard(connection: socket.socket) -> bytes:
    try:
        return connection.recv(64)
    except ConnectionError:
        return b""  # reset, which is no word either


def _check_word(word: bytes) -> None:
    if not word:
        raise WorkerFailed(GONE)


def _side_and_offset_ns(connection: socket.socket) -> tuple[int, int]:
    """A worker's side, and how much its clock is ahead of ours. On one machine they are one clock, and that is 0."""
    with connection.makefile("rwb") as line:
        told = line.readline()
        _check_word(told)
        if not told.startswith(b"ready"):
            raise ConnectionAbortedError("a worker failed before the start")
        side, tries = int(told.split()[1]), []
        for _ in range(3):
            asked = time.perf_counter_ns()
            line.write(b"now?\n")
            line.flush()
            heard, answered = line.readline(), time.perf_counter_ns()
            _check_word(heard)
            theirs = int(heard)
            tries.append((answered - asked, theirs - asked, theirs - answered))
    _, at_most, at_least = min(tries)
    return side, 0 if at_least <= 0 <= at_most else (at_most + at_least) // 2


def _failed(futures: list[Future]) -> BaseException | None:
    return next((f.exception() for f in futures if f.done() and not f.cancelled() and f.exception() is not None), None)


def _failure(error: BaseException, futures: list[Future], sides: list[int], side: int = 0) -> GroupFailed:
    """In words, and whose it was: his whose task has failed, or where none has, `side`'s, who had the load."""
    told = str(error) if isinstance(error, WorkerFailed) else f"{type(error).__name__}: {error}"
    side = next((its_side for future, its_side in zip(futures, sides) if _failed([future]) is not None), side)
    count = sides.count(side)
    return GroupFailed(told if count == 1 else f"one of {count} workers was lost, and the result with it: {told}", side)
