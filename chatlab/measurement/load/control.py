"""The conversation between the coordinator of a measurement and its load workers: both ends of it, over TCP.

A worker is a task of some Executor, on this machine or on another. With its task it gets the coordinator's address and
a secret, and connects. A message is a line of ASCII: a word, then its values.

    worker (WorkerControl)                coordinator (StartBarrier)

                                     <--  challenge NONCE    to whoever connects
    hello GROUP PROOF                -->                     the worker has arrived, and knows the secret
        (connects its virtual users)
    ready                            -->
                                     <--  clock              three times; the quickest answer tells best
    clock NS                         -->                     how the two clocks differ
                                     <--  start NS           when to start, by the worker's clock

                                     <--  slice NS           interleaved runs alone: the next time slice of the
    idle DONE                        -->                     worker's group; all is answered, so much was done
                                     <--  end                after the last of them

    finished, or failed              -->                     and both hang up

A worker that hangs up without `finished` or `failed` is lost, and so is the run: its Executor may not notice, or start
the same task again elsewhere, too late.
"""

import contextlib
import hashlib
import hmac
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Self

from ...messages import ChatlabError, ConnectionLost
from ...transport.interface import Address
from . import trial as trials
from .trial import DRAIN_S
from .workload import NS

ARRIVAL_TIMEOUT_S = 30.0  # for all workers to arrive, and to have their virtual users connected
RESULT_TIMEOUT_S = 60.0
START_DELAY_NS = 30_000_000  # from the announcement of the start to the start
POLL_S = 0.05
CLOCK_READINGS = 3
MAX_LINE = 200  # bytes of a message
MAX_UNPROVEN = 64  # connections at a time that have not answered their challenge
LOST = "the connection to it ended before it was done"

RunSlice = Callable[[int, int], int]  #: (group, duration in ns) -> requests done: gives one time slice to one group


class Word(StrEnum):
    """What a message begins with, and so what it says."""

    CHALLENGE = "challenge"
    HELLO = "hello"
    READY = "ready"
    CLOCK = "clock"
    START = "start"
    SLICE = "slice"
    IDLE = "idle"
    END = "end"
    FINISHED = "finished"
    FAILED = "failed"


class WorkerFailed(ChatlabError, RuntimeError):
    """A load worker reported an error, or ended without a report."""


class DrainTimeout(ChatlabError):
    """A worker's last requests were not answered within the drain timeout. It still returns its samples."""


class GroupFailed(ChatlabError, RuntimeError):
    """The workers of one group failed, and why. `group` is None where it is unknown whose they were."""

    def __init__(self, reason: str, group: int | None = None):
        super().__init__(reason)
        self.group = group


class Line:
    """One end of the connection: sends and receives messages. Raises `ConnectionError` where the other end has gone."""

    def __init__(self, connection: socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self._received = b""

    def send(self, word: Word, *values: object) -> None:
        self.socket.sendall(" ".join([word, *map(str, values)]).encode("ascii") + b"\n")

    def receive(self) -> tuple[Word, list[str]]:
        """The next message, with its values. Raises `TimeoutError` after the socket's time-out."""
        while (message := self.receive_available()) is None:
            pass
        return message

    def receive_available(self) -> tuple[Word, list[str]] | None:
        """As `receive`, with one read from the socket at most: None where that completed no message."""
        if b"\n" not in self._received:
            data = self.socket.recv(MAX_LINE)
            if not data:
                raise ConnectionResetError(LOST)
            self._received += data
        line, end, rest = self._received.partition(b"\n")
        if not end and len(line) < MAX_LINE:
            return None
        try:
            word, *values = line.decode("ascii").split(" ")
            message = Word(word), values
        except ValueError:
            raise ConnectionAbortedError(f"the other end of a load worker's line sent {line[:40]!r}") from None
        self._received = rest
        return message

    def close(self) -> None:
        self.socket.close()


# ---- the worker's end -------------------------------------------------------------------------------------------


class WorkerControl:
    """A worker's line to the coordinator. Without an address there is no coordinator, and the worker starts at once."""

    def __init__(self, address: Address | None, secret: bytes = b"", group: int = 0):
        """Connect, and prove that this is a worker. Raises `ConnectionLost`."""
        self._line: Line | None = None
        if address is None:
            return
        with _coordinator_lost():
            self._line = Line(socket.create_connection(address, trials.DIAL_TIMEOUT_S))
            (nonce,) = self._expect(Word.CHALLENGE)
            self._line.send(Word.HELLO, group, _proof(secret, nonce))

    def wait_for_start(self) -> int:
        """Report that all virtual users are connected, and wait. Returns when to start, by this process's clock in ns.

        Raises `ConnectionLost` where the coordinator has called the run off.
        """
        if self._line is None:
            return time.perf_counter_ns() + 1_000_000
        with _coordinator_lost():
            self._line.socket.settimeout(2 * trials.STEP_TIMEOUT_S)
            self._line.send(Word.READY)
            for _ in range(CLOCK_READINGS):
                self._expect(Word.CLOCK)
                self._line.send(Word.CLOCK, time.perf_counter_ns())
            (start_ns,) = self._expect(Word.START)
            return int(start_ns)

    def slices(self, count_done: Callable[[], int]) -> Iterator[int]:
        """The duration of each time slice, in ns, until there are no more.

        Asking for the next one reports that all requests of this one are answered. Raises `ConnectionLost` where the
        coordinator has gone.
        """
        assert self._line is not None, "time slices are given by a coordinator"
        with _coordinator_lost():
            self._line.socket.settimeout(None)  # the other groups have theirs meanwhile
            while (message := self._line.receive())[0] is Word.SLICE:
                done_before = count_done()
                yield int(message[1][0])
                self._line.send(Word.IDLE, count_done() - done_before)
            if message[0] is not Word.END:
                raise ConnectionAbortedError

    def finish(self, word: Word = Word.FINISHED) -> None:
        """Report how the trial ended, and hang up. Calling it again does nothing."""
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(OSError):  # the coordinator has gone
                line.send(word)
            line.close()

    def _expect(self, word: Word) -> list[str]:
        assert self._line is not None
        received, values = self._line.receive()
        if received is not word:
            raise ConnectionAbortedError
        return values


@contextlib.contextmanager
def _coordinator_lost() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConnectionLost(f"the coordinator of the measurement has called it off: {error}".rstrip(": ")) from error


# ---- the coordinator's end --------------------------------------------------------------------------------------


class StartBarrier:
    """Waits until all workers are ready, starts them at one moment, and gives out time slices. A context manager."""

    def __init__(self, host: str, count: int):
        """Listen on `host`, the address at which the workers find this machine, for so many of them."""
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        self._listener = socket.create_server(address[:2], family=family, backlog=max(count, 128))
        self.address: Address = self._listener.getsockname()[:2]
        self.secret = secrets.token_bytes(16)  #: what a worker must know to be one
        self._count = count
        self._workers: list[tuple[int, Line]] = []  # (group, line)
        self._working = selectors.DefaultSelector()
        self.group = 0  #: whose time slice it is, or was last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._working.close()
        self._listener.close()
        for _, line in self._workers:
            line.close()

    def wait_for_workers(self, check: Callable[[], None]) -> None:
        """Return when all workers have arrived. `check` is called meanwhile, and may raise. Raises `GroupFailed`."""
        deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
        self._listener.setblocking(False)
        unproven: dict[Line, str] = {}  # with the challenge of each
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            try:
                while len(self._workers) < self._count:
                    check()
                    if time.monotonic() > deadline:
                        raise GroupFailed(
                            f"{len(self._workers)} of {self._count} workers came within {ARRIVAL_TIMEOUT_S:g} s"
                        )
                    for key, _ in selector.select(POLL_S):
                        if key.fileobj is self._listener:
                            self._accept(selector, unproven)
                        else:
                            self._admit(selector, unproven, key.data)
            finally:
                for line in unproven:
                    line.close()

    def _accept(self, selector: selectors.BaseSelector, unproven: dict[Line, str]) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        nonce = secrets.token_hex(16)
        try:
            connection.settimeout(ARRIVAL_TIMEOUT_S)
            line = Line(connection)
            line.send(Word.CHALLENGE, nonce)
        except OSError:
            connection.close()
            return
        if len(unproven) >= MAX_UNPROVEN:
            self._refuse(selector, unproven, next(iter(unproven)))
        unproven[line] = nonce
        selector.register(connection, selectors.EVENT_READ, line)

    def _admit(self, selector: selectors.BaseSelector, unproven: dict[Line, str], line: Line) -> None:
        """Count a connection as a worker if it proves to be one, and close it otherwise."""
        if line not in unproven:
            return  # it was refused meanwhile
        try:
            if (message := line.receive_available()) is None:
                return
            word, (group, proof) = message
            if word is not Word.HELLO or not hmac.compare_digest(proof, _proof(self.secret, unproven[line])):
                raise ConnectionAbortedError
            self._workers.append((int(group), line))
        except (OSError, ValueError):
            self._refuse(selector, unproven, line)
        else:
            del unproven[line]
            selector.unregister(line.socket)

    @staticmethod
    def _refuse(selector: selectors.BaseSelector, unproven: dict[Line, str], line: Line) -> None:
        del unproven[line]
        selector.unregister(line.socket)
        line.close()

    def start(self) -> int:
        """Announce one moment to all workers, to each by its own clock. Returns it by this process's clock, in ns.

        Raises `WorkerFailed` where a worker was lost, `ConnectionAbortedError` where one reports that it failed, and
        `GroupFailed` where one was not ready in time.
        """
        try:
            offsets_ns = [_clock_offset_ns(line) for _, line in self._workers]
            start_ns = time.perf_counter_ns() + START_DELAY_NS
            for (_, line), offset_ns in zip(self._workers, offsets_ns):
                line.send(Word.START, start_ns + offset_ns)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkerFailed(LOST) from error
        except TimeoutError:
            raise GroupFailed(f"not all virtual users were connected within {ARRIVAL_TIMEOUT_S:g} s") from None
        for _, line in self._workers:
            self._working.register(line.socket, selectors.EVENT_READ, line)
        return start_ns

    def run_slice(self, group: int, duration_ns: int) -> int:
        """Let the workers of one group generate load for so long, and until all is answered. Returns the requests done.

        Raises as `start` does, and `DrainTimeout` where a request was not answered.
        """
        self.group, done = group, 0
        lines = [line for its_group, line in self._workers if its_group == group]
        try:
            for line in lines:
                line.send(Word.SLICE, duration_ns)
            for line in lines:
                line.socket.settimeout(duration_ns / NS + DRAIN_S + RESULT_TIMEOUT_S)
                word, values = line.receive()
                if word is Word.FINISHED:
                    raise DrainTimeout
                if word is not Word.IDLE:
                    raise ConnectionAbortedError("a worker failed during its time slice")
                done += int(values[0])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkerFailed(LOST) from error
        except TimeoutError:
            overdue_s = DRAIN_S + RESULT_TIMEOUT_S
            raise GroupFailed(f"a worker had not ended its time slice {overdue_s:g} s after its end", group) from None
        return done

    def end_slices(self) -> None:
        """Announce that there are no more time slices."""
        for _, line in self._workers:
            with contextlib.suppress(OSError):  # it has reported why it ended, or is missed when its result is fetched
                line.send(Word.END)

    def all_finished(self) -> bool:
        """Whether all workers have reported that their measurement is finished, or failed. Raises `WorkerFailed`."""
        for key, _ in self._working.select(0):
            try:
                message = key.data.receive_available()
            except OSError as error:
                raise WorkerFailed(LOST) from error
            if message is not None:
                self._working.unregister(key.fileobj)
        return not self._working.get_map()


def _proof(secret: bytes, nonce: str) -> str:
    """What only a holder of the secret can answer to a challenge."""
    return hmac.new(secret, nonce.encode(), hashlib.sha256).hexdigest()


def _clock_offset_ns(line: Line) -> int:
    """How far a worker's clock is ahead of this process's, when it is ready. On one machine they are one clock: 0."""
    if line.receive()[0] is not Word.READY:
        raise ConnectionAbortedError("a worker failed before the start")
    readings = []
    for _ in range(CLOCK_READINGS):
        asked_ns = time.perf_counter_ns()
        line.send(Word.CLOCK)
        _, (reading,) = line.receive()
        answered_ns = time.perf_counter_ns()
        readings.append((answered_ns - asked_ns, int(reading) - asked_ns, int(reading) - answered_ns))
    _, at_most, at_least = min(readings)
    return 0 if at_least <= 0 <= at_most else (at_most + at_least) // 2
