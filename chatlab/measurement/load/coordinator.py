"""Load generators as tasks of an Executor: as many as were asked for, started at one moment, and none of them lost.

Any `concurrent.futures.Executor` will do: the processes of our own, the standard library's, or a cluster's. An Executor
does not promise to run its tasks at the same time, so each worker says over a TCP connection that it is ready, and all
are told one moment at which to start. Where fewer come than were asked for, or one fails, there is no result.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait

import msgspec

from ...transport.worker_process import CallFailed, WorkerDied, WorkerProcess
from .control import RESULT_TIMEOUT_S, DrainTimeout, GroupFailed, Slice, StartBarrier, WorkerFailed, _failed, _failure
from .trial import TrialResult, TrialSpec
from .worker import generate, work


class LocalProcessExecutor(Executor):
    """Processes of this machine, for `work` alone. Each is used again and again, so that starting it is no part of a trial."""

    def __init__(self, count: int = 1):
        self._workers = [WorkerProcess(generate) for _ in range(count)]
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    def submit(self, function, spec: bytes, /) -> Future:
        if function is not work:
            raise TypeError(f"these processes run {work.__module__}.{work.__qualname__}, not {function!r}")
        future: Future = Future()
        threading.Thread(target=self._ask, args=(future, spec), name="chatlab-asking", daemon=True).start()
        return future

    def _ask(self, future: Future, spec: bytes) -> None:
        if not future.set_running_or_notify_cancel():
            return
        worker = self._idle.get()
        try:
            future.set_result(worker.call(spec, 24 * 3600))  # whoever waits for the future has less patience
        except (CallFailed, WorkerDied) as error:
            future.set_exception(WorkerFailed(str(error)))
        except Exception as error:  # whatever it is, it belongs to the one who waits
            future.set_exception(error)
        finally:
            self._idle.put(worker)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for worker in self._workers:
            worker.end(0)  # it has nothing to say good-bye to; and on an interrupt it is in the midst of something


def run_parallel(
    executor: Executor, trials: list[TrialSpec], watch: Callable, host: str = "127.0.0.1"
) -> list[TrialResult]:
    """Carry out all trials at the same time, each in a worker. `watch(start_ns, over)` is called when they have started
    and returns when `over()` is true. Raises `RuntimeError` where a worker does not come, fails, or is lost."""

    def conduct(barrier: StartBarrier, futures: list[Future]) -> None:
        watch(barrier.start(), lambda: _failed(futures) is not None or barrier.over())

    return _run([(executor, trial) for trial in trials], conduct, host)


def run_interleaved(
    tasks: list[tuple[Executor, TrialSpec]], conduct: Callable[["Slice"], None], host: str = "127.0.0.1"
) -> list[TrialResult]:
    """Carry out all trials, those of one `side` at a time. `conduct` gives a side its turn, again and again, and the first
    of each side is its warm-up; where one never has all its answers, there are no more. Raises `RuntimeError` as `run_parallel` does."""

    def give_turns(barrier: StartBarrier, futures: list[Future]) -> None:
        barrier.start()
        with contextlib.suppress(DrainTimeout):
            conduct(barrier.turn)
        barrier.end()

    return _run(
        [(executor, msgspec.structs.replace(trial, interleaved=True)) for executor, trial in tasks],
        give_turns,
        host,
    )


def _run(
    tasks: list[tuple[Executor, TrialSpec]], conduct: Callable[["StartBarrier", list[Future]], None], host: str
) -> list[TrialResult]:
    with StartBarrier(host, len(tasks)) as barrier:
        trials = [(executor, msgspec.structs.replace(trial, control=barrier.address)) for executor, trial in tasks]
        futures = [executor.submit(work, msgspec.msgpack.encode(trial)) for executor, trial in trials]
        sides = [trial.side for _, trial in tasks]
        try:
            barrier.wait(futures, sides)
            conduct(barrier, futures)
            return [msgspec.msgpack.decode(_result(future, futures, sides), type=TrialResult) for future in futures]
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
        raise GroupFailed(
            f"1 of {sides.count(side)} workers has not answered within {RESULT_TIMEOUT_S:g} s", side
        ) from None
    except Exception as error:
        raise _failure(error, all_of_them, sides) from error
