"""Load workers as tasks of an Executor: as many as were asked for, started at one moment, and none of them lost.

Any `concurrent.futures.Executor` will do: processes of this machine, the standard library's, or a cluster's. An
Executor does not promise to run its tasks at the same time, so the workers wait for each other at a `StartBarrier`.
Where fewer come than were asked for, or one fails, there is no result.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait
from typing import Any

import msgspec

from ...transport.worker_process import CallFailed, WorkerDied, WorkerProcess
from .control import RESULT_TIMEOUT_S, DrainTimeout, GroupFailed, RunSlice, StartBarrier, WorkerFailed
from .trial import TrialResult, TrialSpec
from .worker import run_in_process, work

DAY_S = 24 * 3600

Task = tuple[Executor, TrialSpec]
#: Called with the start of the load, in ns of `perf_counter_ns`, and whether all workers have finished; returns then.
Monitor = Callable[[int, Callable[[], bool]], object]


class LocalProcessExecutor(Executor):
    """Processes of this machine, for `work` alone. Each runs trial after trial, so starting it is part of none."""

    def __init__(self, count: int = 1):
        self._processes = [WorkerProcess(run_in_process) for _ in range(count)]
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        if function is not work:
            raise TypeError(f"these processes run {work.__module__}.{work.__qualname__}, not {function!r}")
        (spec,) = args
        future: Future[bytes] = Future()
        threading.Thread(target=self._call, args=(future, spec), name="chatlab-load-worker", daemon=True).start()
        return future

    def _call(self, future: "Future[bytes]", spec: bytes) -> None:
        if not future.set_running_or_notify_cancel():
            return
        process = self._idle.get()
        try:
            future.set_result(process.call(spec, DAY_S))  # the coordinator, which waits for the future, gives up sooner
        except (CallFailed, WorkerDied) as error:
            future.set_exception(WorkerFailed(str(error)))
        except Exception as error:  # whatever it is, it is the coordinator's
            future.set_exception(error)
        finally:
            self._idle.put(process)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Kill the processes at once: there is nothing to flush, and after an interrupt they may be amid a trial."""
        for process in self._processes:
            process.end(0)


def run_parallel(
    executor: Executor, trials: list[TrialSpec], monitor: Monitor, host: str = "127.0.0.1"
) -> list[TrialResult]:
    """Run all trials at the same time, each in a worker of its own; `monitor` is called when they have started.

    `host` is the address at which the workers find this machine. Raises `GroupFailed` where a worker does not come,
    fails, or is lost.
    """

    def conduct(barrier: StartBarrier, workers: _Workers) -> None:
        monitor(barrier.start(), lambda: workers.first_error() is not None or barrier.all_finished())

    return _run([(executor, trial) for trial in trials], conduct, host)


def run_interleaved(
    tasks: list[Task], conduct: Callable[[RunSlice], object], host: str = "127.0.0.1"
) -> list[TrialResult]:
    """Run all trials in time slices, those of one group at a time.

    `conduct` is called with a function that gives a group its next time slice; the first of each group is its warm-up.
    Where a request of a slice is never answered, there are no more slices. Raises as `run_parallel` does.
    """

    def give_slices(barrier: StartBarrier, workers: _Workers) -> None:
        barrier.start()
        with contextlib.suppress(DrainTimeout):
            conduct(barrier.run_slice)
        barrier.end_slices()

    interleaved = [(executor, msgspec.structs.replace(trial, interleaved=True)) for executor, trial in tasks]
    return _run(interleaved, give_slices, host)


def _run(tasks: list[Task], conduct: "Callable[[StartBarrier, _Workers], None]", host: str) -> list[TrialResult]:
    with StartBarrier(host, len(tasks)) as barrier, _Workers(tasks, barrier) as workers:
        try:
            barrier.wait_for_workers(workers.check)
            conduct(barrier, workers)
            return workers.results()
        except WorkerFailed as error:
            raise workers.failure(error, barrier.group) from error
        except ConnectionError as error:  # a worker has hung up early, and its task says why in a moment
            raise workers.failure(workers.wait_for_error() or error, barrier.group) from error


class _Workers:
    """The tasks of one run, submitted to their Executors. Leaving it cancels what has not begun."""

    def __init__(self, tasks: list[Task], barrier: StartBarrier):
        self._groups = [trial.group for _, trial in tasks]
        self._futures: list[Future] = []
        for executor, trial in tasks:
            trial = msgspec.structs.replace(trial, control=barrier.address, secret=barrier.secret)
            self._futures.append(executor.submit(work, msgspec.msgpack.encode(trial)))

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        for future in self._futures:
            future.cancel()

    def first_error(self) -> BaseException | None:
        return next(filter(None, map(_error_of, self._futures)), None)

    def check(self) -> None:
        """Raise `GroupFailed` if a task has failed."""
        error = self.first_error()
        if error is not None:
            raise self.failure(error) from error

    def wait_for_error(self) -> BaseException | None:
        wait(self._futures, RESULT_TIMEOUT_S, FIRST_EXCEPTION)
        return self.first_error()

    def failure(self, error: BaseException, group: int = 0) -> GroupFailed:
        """The error in words, with its group: that of the first failed task, or else the given one."""
        reason = str(error) if isinstance(error, WorkerFailed) else f"{type(error).__name__}: {error}"
        failed = [its_group for its_group, future in zip(self._groups, self._futures) if _error_of(future) is not None]
        group = failed[0] if failed else group
        count = self._groups.count(group)
        return GroupFailed(
            reason if count == 1 else f"one of {count} workers was lost, and the result with it: {reason}", group
        )

    def results(self) -> list[TrialResult]:
        return [
            msgspec.msgpack.decode(self._result(future, group), type=TrialResult)
            for future, group in zip(self._futures, self._groups)
        ]

    def _result(self, future: Future, group: int) -> bytes:
        try:
            return future.result(RESULT_TIMEOUT_S)
        except TimeoutError:
            raise GroupFailed(
                f"1 of {self._groups.count(group)} workers has not answered within {RESULT_TIMEOUT_S:g} s", group
            ) from None
        except Exception as error:
            raise self.failure(error, group) from error


def _error_of(future: Future) -> BaseException | None:
    return future.exception() if future.done() and not future.cancelled() else None
