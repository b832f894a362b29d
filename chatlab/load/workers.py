"""Load generators as tasks of an Executor: as many as were asked for, started at one moment, and none of them lost.

Any `concurrent.futures.Executor` will do: the processes of our own, the standard library's, or a cluster's. An Executor
does not promise to run its tasks at the same time, so each worker says over a TCP connection that it is ready, and all
are told one moment at which to start. Where fewer come than were asked for, or one fails, there is no result.
"""

import base64
import contextlib
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait

import msgspec

from ..process import Worker
from .generators import Told, Trial, work
from .trials import DRAIN_S
from .workload import NS

COME_TIMEOUT_S = 30.0  # for all workers to have their clients connected
START_AFTER_NS = 30_000_000
RESULT_TIMEOUT_S = 60.0
LOOK_S = 0.05
GONE = "the connection to it ended before it was done"


class OwnProcesses(Executor):
    """Processes of this machine, for `work` alone. Each is used again and again, so that starting it is no part of a trial."""

    def __init__(self, count: int = 1):
        self._workers = [Worker("chatlab.load.generators:generate") for _ in range(count)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    def submit(self, function, spec: bytes, /) -> Future:
        if function is not work:
            raise TypeError(f"these processes carry out chatlab.load.generators.work, not {function!r}")
        future: Future = Future()
        threading.Thread(target=self._ask, args=(future, spec), name="chatlab-asking", daemon=True).start()
        return future

    def _ask(self, future: Future, spec: bytes) -> None:
        if not future.set_running_or_notify_cancel():
            return
        worker = self._idle.get()
        try:
            told = worker.ask(base64.b64encode(spec).decode(), 24 * 3600)  # whoever waits for the future has less patience
            if "error" in told:
                raise WorkerFailed(told["error"])
            future.set_result(base64.b64decode(told["told"]))
        except Exception as error:  # whatever it is, it belongs to the one who waits
            future.set_exception(error)
        finally:
            self._idle.put(worker)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for worker in self._workers:
            worker.end(0)  # it has nothing to say good-bye to; and on an interrupt it is in the midst of something


class WorkerFailed(RuntimeError):
    """What a process of ours said that went wrong, or that a worker went without a word."""


class GaveUp(Exception):
    """A worker's last requests are not answered, and it waits no longer; it still tells all that it has seen."""


def together(executor: Executor, trials: list[Trial], watch: Callable, host: str = "127.0.0.1") -> list[Told]:
    """Carry out all trials at the same time, each in a worker. `watch(start_ns, over)` is called when they have started
    and returns when `over()` is true. Raises `RuntimeError` where a worker does not come, fails, or is lost."""
    def conduct(barrier: _Barrier, futures: list[Future]) -> None:
        watch(barrier.start(), lambda: _failed(futures) is not None or barrier.over())

    return _carry_out([(executor, trial) for trial in trials], conduct, host)


def in_turns(tasks: list[tuple[Executor, Trial]], conduct: Callable[["Turn"], None], host: str = "127.0.0.1") -> list[Told]:
    """Carry out all trials, those of one `side` at a time. `conduct` gives a side its turn, again and again, and the first
    of each side is its warm-up; where one never has all its answers, there are no more. Raises `RuntimeError` as `together` does."""
    def give_turns(barrier: _Barrier, futures: list[Future]) -> None:
        barrier.start()
        with contextlib.suppress(GaveUp):
            conduct(barrier.turn)
        barrier.end()

    return _carry_out([(executor, msgspec.structs.replace(trial, in_turns=True)) for executor, trial in tasks], give_turns, host)


def _carry_out(tasks: list[tuple[Executor, Trial]], conduct: Callable[["_Barrier", list[Future]], None], host: str) -> list[Told]:
    with _Barrier(host, len(tasks)) as barrier:
        trials = [(executor, msgspec.structs.replace(trial, control=barrier.address)) for executor, trial in tasks]
        futures = [executor.submit(work, msgspec.msgpack.encode(trial)) for executor, trial in trials]
        sides = [trial.side for _, trial in tasks]
        try:
            barrier.wait(futures, sides)
            conduct(barrier, futures)
            return [msgspec.msgpack.decode(_result(future, futures, sides), type=Told) for future in futures]
        except WorkerFailed as lost:
            raise _failure(lost, futures, sides, barrier.side) from lost
        except ConnectionError as error:  # a worker has hung up instead of starting, and says why in a moment
            wait(futures, RESULT_TIMEOUT_S, FIRST_EXCEPTION)
            raise _failure(_failed(futures) or error, futures, sides, barrier.side) from error
        finally:
            for future in futures:
                future.cancel()


def _result(future: Future, all_of_them: list[Future], sides: list[int]) -> bytes:
    try:
        return future.result(RESULT_TIMEOUT_S)
    except TimeoutError:
        side = sides[all_of_them.index(future)]
        raise SideFailed(f"1 of {sides.count(side)} workers has not answered within {RESULT_TIMEOUT_S:g} s", side) from None
    except Exception as error:
        raise _failure(error, all_of_them, sides) from error


def _failed(futures: list[Future]) -> BaseException | None:
    return next((f.exception() for f in futures if f.done() and not f.cancelled() and f.exception() is not None), None)


class SideFailed(RuntimeError):
    """What went wrong with the workers of one side, in words. `side` is None where nobody can tell whose it was."""

    def __init__(self, told: str, side: int | None = None):
        super().__init__(told)
        self.side = side


def _failure(error: BaseException, futures: list[Future], sides: list[int], side: int = 0) -> SideFailed:
    """In words, and whose it was: his whose task has failed, or where none has, `side`'s, who had the load."""
    told = str(error) if isinstance(error, WorkerFailed) else f"{type(error).__name__}: {error}"
    side = next((its_side for future, its_side in zip(futures, sides) if _failed([future]) is not None), side)
    count = sides.count(side)
    return SideFailed(told if count == 1 else f"one of {count} workers was lost, and the result with it: {told}", side)


Turn = Callable[[int, int], int]  #: (which side, for how many ns): requests that were done


class _Barrier:
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
                raise SideFailed(f"{self._count} workers were asked for, and {len(self._ready)} came within {COME_TIMEOUT_S:g} s")
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
            raise SideFailed(f"not all clients were connected within {COME_TIMEOUT_S:g} s") from None
        for connection in self._ready:
            self._working.register(connection, selectors.EVENT_READ)
        return start_ns

    def turn(self, side: int, lasts_ns: int) -> int:
        """Let those of one side have the load for so long, and until all is answered. Returns how much was done.

        Raises `WorkerFailed` as `over` does, `ConnectionAbortedError` where one says that it failed, and `GaveUp`.
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
                    raise SideFailed(f"its turn was not over {DRAIN_S + RESULT_TIMEOUT_S:g} s after its end", side) from None
                _check_word(word)
                if word.startswith(b"over"):
                    raise GaveUp
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


def read_times(told: Told):
    """A worker's raw columns as `Samples`, in ns after the start by its own clock, which stands still out of its turns."""
    import numpy

    from .samples import NEVER, Samples

    passed_over = _passed_over(told)

    def since_start(column: bytes) -> bytes:
        at = numpy.frombuffer(column, numpy.int64)
        return numpy.where(at == 0, NEVER, at - told.start_ns - passed_over).tobytes()

    columns = [since_start(getattr(told, name)) for name in ("due", "sent", "answered", "heard")]
    end_ns = sum(ended - began for began, ended in told.turns) or max(told.over_ns, told.marks_ns[1]) - told.start_ns
    return Samples(*columns, told.operation, end_ns)


def _passed_over(told: Told):
    """The time before each request in which the load was the others', and which counts for nobody."""
    import numpy

    if not told.turns:
        return 0
    began, ended = numpy.array(told.turns, numpy.int64).T
    before = numpy.concatenate([[0], numpy.cumsum(began[1:] - ended[:-1])])
    turn = numpy.searchsorted(began, numpy.frombuffer(told.due, numpy.int64), side="right") - 1
    return before[turn]
