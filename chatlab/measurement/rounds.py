"""A round, put together from what the load workers reported and what was observed of the server from outside."""

from .load.samples import Samples, read_times
from .load.trial import TrialResult
from .load.workload import NS, Workload
from .process_stats import ServerMonitor
from .results.runs import Round


def build_round(workload: Workload, results: list[TrialResult], monitor: ServerMonitor) -> Round:
    """One round in which the load ran without a break.

    The load lasts from before the planned beginning until after the planned end, and what completes between the two
    counts. The server's processor time is read a little beside them, so it is divided by what completed between its own
    two readings (`server_messages`).
    """
    parts = [read_times(result) for result in results]
    samples = sum(parts[1:], parts[0])
    done_at, due = samples.done_at_ns, samples.column("due")
    first_reading, last_reading = (at_ns - monitor.start_ns for at_ns, _ in monitor.readings)
    if workload.messages is None:
        begin, end = int(workload.warm_up_s * NS), int((workload.warm_up_s + workload.seconds) * NS)
        messages, seconds = int(((done_at >= begin) & (done_at < end)).sum()), float(workload.seconds)
        between_readings = int(((done_at >= first_reading) & (done_at < last_reading)).sum())
        counted = samples.where((due >= begin) & (due < end))
    else:
        messages, seconds, counted = samples.completed, max(1, int(done_at.max())) / NS, samples
        between_readings = messages
    return _assemble(monitor, results, seconds, messages, between_readings, counted, samples.completed)


def build_sliced_round(results: list[TrialResult], monitor: ServerMonitor) -> Round:
    """One round of time slices. What is due in a slice is answered in it, so all count but the first, the warm-up."""
    parts = [read_times(result) for result in results]
    warm_ups = [result.slices[0] if result.slices else (0, 0) for result in results]
    warm_up_ns = [ended - began for began, ended in warm_ups]
    counted_parts = [part.where(part.column("due") >= warm) for part, warm in zip(parts, warm_up_ns)]
    counted = sum(counted_parts[1:], counted_parts[0])
    seconds = max(1, *(result.window_ns[1] for result in results)) / NS
    messages, requests = counted.completed, sum(part.completed for part in parts)
    return _assemble(
        monitor, results, seconds, messages, messages, counted, requests, max(1, len(results[0].slices) - 1)
    )


def _assemble(
    monitor: ServerMonitor,
    results: list[TrialResult],
    seconds: float,
    messages: int,
    server_messages: int,
    samples: Samples,
    wire_requests: int,
    slices: int = 1,
) -> Round:
    (_, cpu_before), (_, cpu_after) = monitor.readings
    used = [
        (result.cpu_ns[1] - result.cpu_ns[0], result.window_ns[1] - result.window_ns[0]) for result in results
    ]  # processor time and wall-clock time of each worker
    wires = [result.wire for result in results if result.wire is not None]
    return Round(
        seconds=seconds,
        messages=messages,
        server_cpu_s=None if cpu_before is None or cpu_after is None else (cpu_after - cpu_before) / NS,
        server_messages=server_messages,
        generator_cpu_s=sum(cpu for cpu, _ in used) / NS,
        samples=samples,
        workers=len(results),
        busiest_worker_share=max(cpu / max(1, wall) for cpu, wall in used),
        memory=monitor.memory,
        wire=sum(wires[1:], wires[0]) if len(wires) == len(results) else None,
        wire_requests=wire_requests,
        resources=monitor.resources,
        slices=slices,
    )
