"""Protocols that are measured side by side take turns, and nobody has another's work in his own."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy
import pytest
from raw_client import until

import chatlab
from chatlab.measurement.load import trial as trials
from chatlab.measurement.load.clients import ClientsGenerator
from chatlab.measurement.load.control import GroupFailed
from chatlab.measurement.load.coordinator import LocalProcessExecutor, run_interleaved
from chatlab.measurement.load.light import LightGenerator
from chatlab.measurement.load.samples import read_times
from chatlab.measurement.load.trial import SliceTimes, TrialResult, TrialSpec
from chatlab.measurement.load.workload import NS, Workload
from chatlab.measurement.process_stats import ServerMonitor
from chatlab.measurement.rates import compare
from chatlab.measurement.rounds import build_sliced_round
from chatlab.measurement.testbed import SLICE_S, InterleavedTestbeds
from chatlab.transport.registry import pack, resolve

pytestmark = pytest.mark.usefixtures("brief_calibrations")
GENERATORS = pytest.mark.parametrize("generator", ["light", "clients"])
BRIEF = Workload(clients=2, seconds=0.1, warm_up_s=0.02, in_flight=2)
MS = 1_000_000


@contextlib.contextmanager
def two_servers():
    """In processes of their own."""
    with (
        chatlab.serve("text", where="process", name="first") as first,
        chatlab.serve("grpc", where="process", name="second") as second,
    ):
        yield first, second


@pytest.fixture(scope="module")
def servers():
    with two_servers() as both:
        yield both


@pytest.fixture(scope="module")
def processes():
    with LocalProcessExecutor(2) as executor:
        yield executor


@pytest.fixture
def mortal():
    """Servers that are not needed afterwards."""
    with two_servers() as both:
        yield both


def tasks(executor, servers, generator="light", workload=BRIEF):
    """What each of the servers' clients has to do."""
    return [
        (
            executor,
            TrialSpec(
                pack(resolve(name)), tuple(server.addresses[name]), workload, f"w{side:06x}c", generator, group=side
            ),
        )
        for side, (server, name) in enumerate(zip(servers, ("text", "grpc")))
    ]


def turns_of(told: list[TrialResult]) -> list[tuple[int, int, int]]:
    """All turns in the order of time: (from, to, whose)."""
    return sorted((*turn, side) for side, each in enumerate(told) for turn in each.slices)


def given(processes, servers, generator, sides=(0, 1, 0, 1, 1, 0)) -> list[TrialResult]:
    """What was told after these turns, of 20 ms each."""
    return run_interleaved(tasks(processes, servers, generator), lambda turn: [turn(side, 20 * MS) for side in sides])


@GENERATORS
def test_no_turn_begins_before_the_one_before_it_has_ended(processes, servers, generator):
    turns = turns_of(given(processes, servers, generator))
    assert [side for *_, side in turns] == [0, 1, 0, 1, 1, 0]
    assert all(ended <= began for (_, ended, _), (began, _, _) in zip(turns, turns[1:]))


@GENERATORS
def test_all_that_is_asked_in_a_turn_is_answered_and_heard_in_it(processes, servers, generator):
    for each in given(processes, servers, generator):
        due, *rest = (
            numpy.frombuffer(getattr(each, name), numpy.int64) for name in ("due", "sent", "answered", "heard")
        )
        assert len(due) >= 3 * 2 * 2
        turn = [next(n for n, (began, ended) in enumerate(each.slices) if began <= at <= ended) for at in due]
        began, ended = numpy.array(each.slices)[turn].T
        assert all(((began <= at) & (at <= ended)).all() for at in rest)


def test_a_clock_stands_still_while_others_have_their_turns(processes, servers):
    for each in given(processes, servers, "light"):
        samples, lengths = read_times(each), [ended - began for began, ended in each.slices]
        assert samples.end_ns == sum(lengths)
        assert 0 <= samples.column("due").min() and samples.done_at_ns.max() <= sum(lengths)
        raw = numpy.frombuffer(each.answered, numpy.int64) - numpy.frombuffer(each.due, numpy.int64)
        assert (samples.response_ns == raw).all()


@GENERATORS
def test_each_client_has_as_many_on_their_way_in_its_second_turn_as_in_its_first(processes, servers, generator):
    for each in given(processes, servers, generator, (0, 1, 0, 1)):
        due, done = numpy.frombuffer(each.due, numpy.int64), read_times(each).done_at_ns
        (_, ended), (began, _) = each.slices
        at_once = (due == began).sum()
        assert at_once == BRIEF.clients * BRIEF.in_flight
        assert (done >= 0).all() and ended < began


@pytest.mark.parametrize("number", [0, 1])
def test_no_acknowledgement_is_on_its_way_when_a_turn_of_light_clients_is_over(servers, number):
    left = []

    def lasting_ns():
        for _ in range(3):
            yield 10 * MS
            left.append(sum(client.unacknowledged for client in generator.clients))

    (_, trial) = tasks(None, servers)[number]
    generator = LightGenerator(trial)
    try:
        generator.run_slices(lasting_ns())
        generator.leave()
    finally:
        generator.close()
    assert left == [0, 0, 0]


def test_no_acknowledgement_is_on_its_way_when_a_turn_of_grpc_clients_is_over(servers):
    left = []

    async def turns():
        def lasting_ns():
            for _ in range(3):
                yield 10 * MS
                left.append(sum(len(client.transport._posted) for client in generator.clients))

        generator = ClientsGenerator(tasks(None, servers, "clients")[1][1])
        await generator.connect_all()
        await generator.run_slices(lasting_ns())
        await generator.leave()
        await generator.close()

    asyncio.run(turns())
    assert left == [0, 0, 0]


def test_who_gave_up_before_a_turn_that_counts_has_a_round_of_nothing():
    watch = ServerMonitor(None, BRIEF)
    watch.sample_after_slice(0)
    told = TrialResult(0, b"", b"", b"", b"", b"", (0, 0), (0, 0), 5 * MS, None, ((0, 5 * MS),))
    found = build_sliced_round([told], watch)
    assert (found.messages, found.generator_share) == (0, 0)


def test_the_wait_for_what_is_never_answered_counts_for_no_turn():
    turns = SliceTimes()
    for is_quiet in True, True, False:
        turns.begin()
        turns.end(is_quiet, duration_ns=60 * NS)
    assert 60 * NS <= turns.window_ns[1] < 61 * NS


def test_a_turn_says_how_much_was_done_in_it(processes, servers):
    said = []
    told = run_interleaved(
        tasks(processes, servers), lambda turn: said.extend(turn(side, 10 * MS) for side in (0, 1, 0, 1))
    )
    assert [said[0] + said[2], said[1] + said[3]] == [read_times(each).completed for each in told]


def test_whoever_loses_his_server_in_the_midst_of_it_is_named(processes, mortal):
    def conduct(turn):
        turn(0, 5 * MS), turn(1, 5 * MS)
        os.kill(mortal[1].pid, signal.SIGKILL)
        turn(0, 5 * MS), turn(1, 5 * MS)

    with pytest.raises(GroupFailed, match="ConnectionLost") as lost:
        run_interleaved(tasks(processes, mortal), conduct)
    assert lost.value.group == 1


def test_a_generator_that_is_killed_in_the_midst_of_it_is_missed(servers):
    def conduct(turn):
        turn(0, 5 * MS)
        for pid in executor.pids:
            os.kill(pid, signal.SIGKILL)
        turn(1, 5 * MS)

    with LocalProcessExecutor(2) as executor, pytest.raises(GroupFailed, match="ended before it was done"):
        run_interleaved(tasks(executor, servers), conduct)


@GENERATORS
def test_after_a_server_that_stands_still_there_are_no_more_turns_and_what_it_owes_is_counted(
    mortal, generator, monkeypatch
):
    monkeypatch.setattr(trials, "DRAIN_S", 1.0)
    monkeypatch.setattr(trials, "DIAL_TIMEOUT_S", 1.0)
    given = []

    def conduct(turn):
        turn(0, 5 * MS), turn(1, 5 * MS)
        os.kill(mortal[0].pid, signal.SIGSTOP)
        try:
            given.append(turn(0, 5 * MS))
        finally:
            os.kill(mortal[0].pid, signal.SIGCONT)

    with ThreadPoolExecutor(2) as executor:
        stuck, other = run_interleaved(tasks(executor, mortal, generator), conduct)
    assert not given
    assert (read_times(stuck).unanswered, read_times(other).unanswered) == (BRIEF.clients * BRIEF.in_flight, 0)


# ---- in a comparison --------------------------------------------------------------------------------------------


def turns_among(sides: int) -> list[tuple[int, float]]:
    """Who had the load, and for how many seconds it was to be; the load lasts for four turns."""
    turns, load = [], replace(BRIEF, seconds=4 * SLICE_S)
    InterleavedTestbeds([]).run_slices(
        lambda side, lasts_ns: turns.append((side, lasts_ns / NS)),
        load,
        [ServerMonitor(None, load) for _ in range(sides)],
    )
    return turns


def test_the_turns_of_two_run_backwards_and_forwards_after_the_warm_up():
    assert turns_among(2) == [
        (0, BRIEF.warm_up_s),
        (1, BRIEF.warm_up_s),
        *[(side, SLICE_S) for side in (1, 0, 0, 1, 1, 0, 0, 1)],
    ]


def test_of_several_nobody_has_two_turns_in_a_row_and_all_have_as_many():
    sides = [side for side, _ in turns_among(5)]
    assert all(one != other for one, other in zip(sides, sides[1:]))
    assert [sides.count(side) for side in range(5)] == [1 + 4] * 5


@pytest.fixture
def swift_responses(monkeypatch):
    """Slices are as long as was asked for, as where responses are swift; a busy machine would make them longer."""
    monkeypatch.setattr("chatlab.measurement.testbed.RESPONSE_TIMES_PER_SLICE", 0)


def test_shorter_turns_are_more_turns(swift_responses):
    found = compare(
        ["text", "json"],
        workload=replace(BRIEF, seconds=0.2, in_flight=1),
        clients=1,
        rounds=1,
        generator="light",
        slice_s=0.01,
    )
    assert {run.rounds[0].slices for run in found.runs} == {20}


def test_a_turn_that_is_no_time_is_refused():
    with pytest.raises(ValueError, match="slice_s is from 0.001 to 60 s, not 0"):
        compare(["text", "json"], slice_s=0)


def test_a_closed_loop_is_compared_in_turns(swift_responses):
    found = compare(["text", "json"], workload=replace(BRIEF, seconds=0.4), clients=2, rounds=1, generator="light")
    assert {run.rounds[0].slices for run in found.runs} == {8}


@pytest.mark.parametrize(
    "load", [replace(BRIEF, in_flight=1, rate=200), replace(BRIEF, messages=20), replace(BRIEF, think_s=0.01)]
)
def test_what_cannot_stop_and_go_on_is_measured_one_protocol_at_a_time(load):
    found = compare(["text", "json"], workload=load, clients=2, rounds=1, generator="light")
    assert {run.rounds[0].slices for run in found.runs} == {1}


@pytest.mark.slow
@GENERATORS
def test_every_protocol_of_ours_can_take_turns(generator):
    found = compare(
        ["text", "json", "binary", "protobuf", "grpc", "grpc-stream"],
        workload=BRIEF,
        clients=2,
        rounds=1,
        generator=generator,
    )
    assert [(run.rounds[0].slices, run.rounds[0].samples.unanswered) for run in found.runs] == [(2, 0)] * 6


def test_a_round_of_turns_counts_what_was_done_after_the_warm_up_and_no_time_of_the_others():
    found = compare(
        ["text", "json"], workload=replace(BRIEF, seconds=0.2, warm_up_s=0.1), clients=2, rounds=1, generator="light"
    )
    for run in found.runs:
        (only,) = run.rounds
        assert only.messages == only.samples.completed == only.server_messages < only.wire_requests
        assert 0.2 <= only.seconds < 0.4
        assert only.samples.end_ns > (0.1 + only.seconds) * NS - MS


def test_slow_clients_have_fewer_and_longer_turns():
    found = compare(
        ["text", "json"], workload=replace(BRIEF, in_flight=16, seconds=0.4), clients=64, rounds=1, generator="light"
    )
    assert {run.rounds[0].slices for run in found.runs} <= {2, 4}


@GENERATORS
def test_several_workers_of_a_protocol_have_their_turn_together(generator):
    found = compare(["text", "json"], workload=BRIEF, clients=4, rounds=1, workers=2, generator=generator)
    assert [(run.rounds[0].workers, run.rounds[0].samples.unanswered) for run in found.runs] == [(2, 0), (2, 0)]


INTERRUPTED = """
import chatlab, os
from chatlab.measurement.rates import InterleavedTestbeds
run = InterleavedTestbeds.run
def told(together, load):
    pids = [pid for testbed in together.testbeds for pid in (testbed.server.pid, *testbed.worker_pids)]
    print(os.getpid(), *pids, flush=True)
    return run(together, load)
InterleavedTestbeds.run = told
try:
    chatlab.compare(["text", "json"], workload=chatlab.Workload(seconds=60), clients=2)
except KeyboardInterrupt:
    print("ended", flush=True)
input()
"""


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="reads what only Linux tells")
def test_an_interrupt_in_the_midst_of_a_turn_ends_all_processes():
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], **pipes) as notebook:
        own, *others = map(int, notebook.stdout.readline().split())
        assert len(others) == 4
        os.kill(own, signal.SIGINT)
        assert notebook.stdout.readline() == "ended\n"
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in others))
        notebook.communicate("\n")
