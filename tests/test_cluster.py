"""Load from a Dask cluster: the same call, with workers that the cluster runs. Skipped where Dask is not installed."""

import logging

import pytest

from chatlab.measure import measure
from chatlab.load.workload import Workload

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def executor():
    settings = dict(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR)
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        yield client.get_executor(pure=False)  # pure, it would carry out the same trial only once


@pytest.mark.parametrize("generator", ["light", "clients"])
@pytest.mark.parametrize("protocol", ["text", "grpc"])
def test_two_workers_of_a_cluster_share_a_load(executor, protocol, generator):
    run = measure(protocol, Workload(clients=4, messages=20), rounds=2, generator=generator, workers=2, executor=executor)
    assert [(each.workers, each.messages, len(each.samples)) for each in run.rounds] == [(2, 80, 80)] * 2


def test_workers_of_a_cluster_keep_a_schedule_together(executor):
    load = Workload(clients=4, rate=200, messages=10)
    samples = measure("text", load, generator="light", workers=2, executor=executor).samples
    assert samples.completed == 40 and samples.column("due").max() < 1_000_000_000
