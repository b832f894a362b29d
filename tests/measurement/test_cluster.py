"""Load from a Dask cluster: the same call as with processes of our own, on a real cluster with several worker processes."""

import logging
import os
import signal
import threading
from contextlib import contextmanager

import pytest
from distributed import Client, LocalCluster
from processes import is_alive
from raw_client import until

import chatlab
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.rates import measure

pytestmark = pytest.mark.cluster


@contextmanager
def dask():
    """A client of a cluster with two workers, each a process with one thread; afterwards none of them may be left."""
    settings = dict(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=logging.CRITICAL
    )
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        processes = pids(client)
        yield client
    until(lambda: not any(map(is_alive, processes)))


def pids(client: Client) -> list[int]:
    return list(client.run(os.getpid).values())


@pytest.fixture(scope="module")
def client():
    with dask() as client:
        yield client


@pytest.fixture
def executor(client):
    return client.get_executor(pure=False)  # pure, it would carry out the same task only once


# ---- the same cell ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol, generator", [("text", "clients"), ("grpc", "light")])
def test_a_cluster_and_local_processes_give_compatible_results(executor, protocol, generator):
    load = Workload(clients=4, messages=20, operations={"send": 1, "ping": 1})
    here, there = (measure(protocol, load, generator=generator, workers=2, executor=each) for each in (None, executor))
    for run in here, there:
        (only,), samples = run.rounds, run.samples
        assert (only.workers, only.messages, samples.offered, samples.completed, run.partial) == (2, 80, 80, 80, False)
    assert sorted(here.samples.column("operation")) == sorted(there.samples.column("operation"))
    assert len((here + there).rounds) == 2 and repr(here) == repr(there)


def test_several_rounds_on_a_cluster_are_several_measurements(executor):
    run = measure("text", Workload(clients=4, messages=20), rounds=2, generator="light", workers=2, executor=executor)
    assert [(each.workers, each.messages, len(each.samples)) for each in run.rounds] == [(2, 80, 80)] * 2


def test_workers_of_a_cluster_keep_a_schedule_together(executor):
    load = Workload(clients=4, rate=200, messages=10)
    samples = measure("text", load, generator="light", workers=2, executor=executor).samples
    assert samples.completed == 40 and samples.column("due").max() < 1_000_000_000


# ---- fewer than were asked for ----------------------------------------------------------------------------------


def test_more_workers_than_the_cluster_has_is_an_error(executor, monkeypatch):
    monkeypatch.setattr("chatlab.measurement.load.control.ARRIVAL_TIMEOUT_S", 0.5)
    with pytest.raises(RuntimeError, match="[012] of 3 workers came within 0.5 s"):
        measure("text", Workload(clients=6, messages=10), generator="light", workers=3, executor=executor)


def test_after_such_an_error_the_cluster_can_be_used_again(executor, monkeypatch):
    with monkeypatch.context() as patience, pytest.raises(RuntimeError):
        patience.setattr("chatlab.measurement.load.control.ARRIVAL_TIMEOUT_S", 0.1)
        measure("text", Workload(clients=6, messages=10), generator="light", workers=3, executor=executor)
    assert (
        measure("text", Workload(clients=4, messages=10), generator="light", workers=2, executor=executor)
        .rounds[0]
        .messages
        == 40
    )


def test_a_worker_that_is_killed_in_the_midst_is_an_error_that_says_so(capfd):
    with dask() as client, chatlab.serve("text") as server:
        (witness,) = server.users("witness")
        victim = pids(client)[0]

        def kill():
            until(lambda: len(witness.list_accounts("w*c*").names) == 4)  # all clients of both workers are there
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        load = Workload(clients=4, seconds=30)
        with pytest.raises(
            RuntimeError, match="one of 2 workers was lost, and the result with it: the connection to it ended"
        ):
            measure(server, load, generator="light", workers=2, executor=client.get_executor(pure=False))
        killer.join()
    assert capfd.readouterr() == ("", "")
