"""The conversation between the coordinator and its load workers: who is a worker, when they start, and how it ends."""

import socket
import threading
import time

import pytest
from raw_client import until

from chatlab.measurement.load.control import GroupFailed, StartBarrier, WorkerControl, WorkerFailed
from chatlab.messages import ConnectionLost

MS = 1_000_000


@pytest.fixture
def barrier():
    with StartBarrier("127.0.0.1", 1) as barrier:
        yield barrier


def connect(barrier: StartBarrier) -> socket.socket:
    """A stranger's connection to the workers' port."""
    return socket.create_connection(barrier.address, 5)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed it: in order, or by a reset where something of ours was left unread."""
    try:
        while connection.recv(100):
            pass
    except ConnectionResetError:
        pass
    return True


def arrive(barrier: StartBarrier, act, secret: bytes | None = None) -> threading.Thread:
    """A worker on a thread, which does `act(control)` once it has arrived."""
    secret = barrier.secret if secret is None else secret
    thread = threading.Thread(target=lambda: act(WorkerControl(barrier.address, secret)))
    thread.start()
    return thread


def wait_for_workers(barrier: StartBarrier) -> None:
    barrier.wait_for_workers(lambda: None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_workers_start_at_the_announced_moment(host):
    started = []

    def start(control):
        started.append(control.wait_for_start())
        control.finish()

    with StartBarrier(host, 2) as barrier:
        threads = [arrive(barrier, start) for _ in range(2)]
        wait_for_workers(barrier)
        start_ns = barrier.start()
        until(barrier.all_finished)
        for thread in threads:
            thread.join()
    assert started == [start_ns, start_ns]


def test_time_slices_are_given_and_reported():
    done, durations = [0], []

    def run(control):
        control.wait_for_start()
        for duration_ns in control.slices(lambda: done[0]):
            durations.append(duration_ns)
            done[0] += 7
        control.finish()

    with StartBarrier("127.0.0.1", 1) as barrier:
        thread = arrive(barrier, run)
        wait_for_workers(barrier)
        barrier.start()
        assert [barrier.run_slice(0, 5 * MS), barrier.run_slice(0, 6 * MS)] == [7, 7]
        barrier.end_slices()
        until(barrier.all_finished)
        thread.join()
    assert durations == [5 * MS, 6 * MS]


@pytest.mark.parametrize("said", [b"", b"ready\n", b"hello 0 " + b"0" * 64 + b"\n", b"hello\n", b"x" * 1000, b"\xff\n"])
def test_a_stranger_is_no_worker_and_keeps_none_away(barrier, said):
    with connect(barrier) as stranger:
        stranger.sendall(said)
        thread = arrive(barrier, lambda control: control.finish())
        wait_for_workers(barrier)
        thread.join()
        stranger.settimeout(5)
        assert is_closed(stranger)


def test_a_stranger_alone_is_not_counted(barrier, monkeypatch):
    monkeypatch.setattr("chatlab.measurement.load.control.ARRIVAL_TIMEOUT_S", 0.2)
    with connect(barrier), pytest.raises(GroupFailed, match="0 of 1 workers came within 0.2 s"):
        wait_for_workers(barrier)


def test_a_worker_with_another_secret_is_refused(barrier):
    failed = []

    def start(control):
        try:
            control.wait_for_start()
        except ConnectionLost as error:
            failed.append(error)

    impostor = arrive(barrier, start, secret=b"a guess")
    worker = arrive(barrier, lambda control: time.sleep(0.1) or control.finish())
    wait_for_workers(barrier)
    impostor.join(), worker.join()
    assert "called it off" in str(failed[0])


def test_many_silent_strangers_are_held_in_bounds(barrier):
    strangers = [connect(barrier) for _ in range(100)]
    try:
        thread = arrive(barrier, lambda control: control.finish())
        wait_for_workers(barrier)
        thread.join()
    finally:
        for stranger in strangers:
            stranger.close()


def test_a_worker_that_hangs_up_without_a_report_is_lost(barrier):
    thread = arrive(barrier, lambda control: control.wait_for_start() and control._line.close())
    wait_for_workers(barrier)
    barrier.start()
    thread.join()
    with pytest.raises(WorkerFailed, match="ended before it was done"):
        until(barrier.all_finished)


def test_a_worker_notices_that_its_coordinator_has_gone():
    failed = threading.Event()

    def start(control):
        with pytest.raises(ConnectionLost, match="called it off"):
            control.wait_for_start()
        failed.set()

    with StartBarrier("127.0.0.1", 1) as barrier:
        thread = arrive(barrier, start)
        wait_for_workers(barrier)
    thread.join()
    assert failed.is_set()
