"""A load worker: simulates the virtual users of one trial, in a process of its own, and returns their samples.

Two generators put the same workload on a server, and every result says by which of them it was made:

    light       one loop over non-blocking sockets; requests are encoded beforehand; it costs little, and always as much
    clients     the clients that a user would have (`AsyncClient`), in one event loop: realistic, and often busier than
                the server that they are to measure

A request's time counts from when it was due. What was due and could not be sent, and what was sent and not answered
before the end, is recorded as such. `work` is the whole task: bytes in, bytes out, so any Executor can run it.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from typing import IO

import msgspec

from ...capture.tcp_info import tcp_segments
from ...capture.traffic import Segments
from ...transport.event_loop import new_event_loop
from ...transport.worker_process import serve_calls
from .clients import ClientsGenerator
from .control import Word, WorkerControl
from .light import LightGenerator
from .trial import COLUMNS, MeasurementWindow, SliceTimes, TrialResult, TrialSpec
from .virtual_user import VirtualUser


def run(trial: TrialSpec) -> TrialResult:
    """Run one trial. Raises `VerificationError`, and whatever a client raises."""
    control = WorkerControl(trial.control, trial.secret, trial.group)
    try:
        if trial.generator == "light":
            return _run_light(trial, control)
        loop = new_event_loop()
        try:
            asyncio.set_event_loop(loop)
            return loop.run_until_complete(_run_clients(trial, control))
        finally:
            loop.close()
    finally:
        control.finish(Word.FAILED)  # unless it has finished already


def _run_light(trial: TrialSpec, control: WorkerControl) -> TrialResult:
    generator = LightGenerator(trial)
    try:
        start_ns = control.wait_for_start()
        gc.freeze()
        gc.disable()  # there is no garbage but ours, and collecting it would take time from the measurement
        before = tcp_segments(trial.address)
        if trial.interleaved:
            times: MeasurementWindow | SliceTimes = generator.run_slices(control.slices(generator.count_done))
        else:
            times = generator.run(start_ns)
        after = tcp_segments(trial.address)
        generator.verify_deliveries()
        result = _result(times, generator.users, before, after)
        control.finish()
        generator.leave()
    finally:
        gc.enable()
        gc.unfreeze()
        generator.close()
    return result


async def _run_clients(trial: TrialSpec, control: WorkerControl) -> TrialResult:
    generator = ClientsGenerator(trial)
    try:
        await generator.connect_all()
        start_ns = control.wait_for_start()
        before = tcp_segments(trial.address)
        if trial.interleaved:
            times: MeasurementWindow | SliceTimes = await generator.run_slices(control.slices(generator.count_done))
        else:
            times = await generator.run(start_ns)
        after = tcp_segments(trial.address)
        await generator.verify_deliveries()
        result = _result(times, generator.users, before, after)
        control.finish()
        await generator.leave()
    finally:
        await generator.close()
    return result


def _result(
    times: MeasurementWindow | SliceTimes,
    users: Sequence[VirtualUser],
    before: Segments | None,
    after: Segments | None,
) -> TrialResult:
    due, sent, answered, heard = (b"".join([getattr(user, name).tobytes() for user in users]) for name in COLUMNS)
    return TrialResult(
        start_ns=times.start_ns,
        due=due,
        sent=sent,
        answered=answered,
        heard=heard,
        operation=b"".join(map(_operations, users)),
        cpu_ns=(times.cpu_ns[0], times.cpu_ns[1]),
        window_ns=(times.window_ns[0], times.window_ns[1]),
        end_ns=time.perf_counter_ns(),
        wire=None if before is None or after is None else after - before,
        slices=tuple(times.slices),
    )


def _operations(user: VirtualUser) -> bytes:
    """The operation of each request: those of one cycle of the script, repeated."""
    times, rest = divmod(len(user.due), len(user.operations))
    return (user.operations * times + user.operations[:rest]).tobytes()


def work(spec: bytes) -> bytes:
    """The task of a worker: a `TrialSpec` in msgpack in, a `TrialResult` in msgpack out."""
    trial = msgspec.msgpack.decode(spec, type=TrialSpec)
    sys.path.extend(entry for entry in trial.path if entry not in sys.path)
    try:
        return msgspec.msgpack.encode(run(trial))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several


def run_in_process(calls: IO[bytes], replies: IO[bytes]) -> None:
    """What a local worker's process does: one trial after the other."""
    serve_calls(calls, replies, work)
