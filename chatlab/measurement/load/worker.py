"""The load generators: simulated clients in a process of their own, which carries out one trial after the other.

Two kinds carry the same workload, and every result says which of them it was:

    light       one loop over non-blocking sockets; requests are spelled beforehand; what it costs is little and known
    clients     the clients that a user would have (`AsyncClient`), in one event loop: realistic, and often busier than
                the server that they are to measure

A request's time counts from when it was due. What was due and could not be asked, and what was asked and not answered
before the end, is written down as such. `work` is the whole of it: bytes in, bytes out, so any Executor can run it.
"""

import asyncio
import gc
import sys
import time
from typing import IO

import msgspec

from ...capture.tcp_info import tcp_segments
from ...capture.traffic import Segments
from ...transport.event_loop import new_event_loop
from ...transport.worker_process import serve_calls
from .clients import RealisticGenerator
from .control import WorkerControl
from .light import LightGenerator
from .trial import MeasurementWindow, SliceTimes, TrialResult, TrialSpec
from .virtual_user import VirtualUser


def run(trial: TrialSpec) -> TrialResult:
    """Run the clients, and say what happened. Raises `VerificationError` and whatever a client raises."""
    control = WorkerControl(trial.control, trial.side)
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
        control.over(b"failed")  # unless it was over already


def _run_light(trial: TrialSpec, control: WorkerControl) -> TrialResult:
    generator = LightGenerator(trial)
    try:
        start_ns = control.wait_for_start()
        gc.freeze()
        gc.disable()  # what is collected would be our own, in the midst of a measurement
        before = tcp_segments(trial.address)
        clock = generator.run_slices(control.turns(generator.done)) if trial.interleaved else generator.run(start_ns)
        told = _told(clock, generator.users, before, tcp_segments(trial.address))
        control.over()
        generator.leave()
    finally:
        gc.enable()
        gc.unfreeze()
        generator.close()
    return told


async def _run_clients(trial: TrialSpec, control: WorkerControl) -> TrialResult:
    generator = RealisticGenerator(trial)
    try:
        await generator.connect_all()
        start_ns = control.wait_for_start()
        before = tcp_segments(trial.address)
        clock = await (
            generator.run_slices(control.turns(generator.done)) if trial.interleaved else generator.run(start_ns)
        )
        told = _told(clock, generator.users, before, tcp_segments(trial.address))
        control.over()
        await generator.leave()
    finally:
        await generator.close()
    return told


def _told(
    clock: MeasurementWindow | SliceTimes, users: list[VirtualUser], before: Segments | None, after: Segments | None
) -> TrialResult:
    for user in users:
        user.verify_all_delivered()
    columns = [b"".join([getattr(s, name).tobytes() for s in users]) for name in ("due", "sent", "answered", "heard")]
    operation = b"".join([_operations(user) for user in users])
    wire = None if before is None or after is None else after - before
    now_ns, turns = time.perf_counter_ns(), tuple(getattr(clock, "turns", ()))
    return TrialResult(clock.start_ns, *columns, operation, tuple(clock.cpu), tuple(clock.at), now_ns, wire, turns)


def _operations(user: VirtualUser) -> bytes:
    times, rest = divmod(len(user.due), len(user.operations))
    return (user.operations * times + user.operations[:rest]).tobytes()


def work(spec: bytes) -> bytes:
    """One worker's task: a `TrialSpec` in msgpack in, a `TrialResult` in msgpack out. Any process that can import this can run it."""
    trial = msgspec.msgpack.decode(spec, type=TrialSpec)
    sys.path.extend(entry for entry in trial.path if entry not in sys.path)
    try:
        return msgspec.msgpack.encode(run(trial))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several


def generate(calls: IO[bytes], replies: IO[bytes]) -> None:
    """What a load generator's own process does: run one trial after the other."""
    serve_calls(calls, replies, work)
