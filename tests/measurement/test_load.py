"""Load on real servers: everything that was due is accounted for, and a wrong answer is no result. No speed is asserted."""

import asyncio
import os
import pickle
import signal
import socket
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy
import pytest
from raw_client import until

import chatlab
from chatlab.measurement import calibration
from chatlab.measurement.baselines.baseline import GRPC_KINDS, SOCKET_KINDS, Baseline
from chatlab.measurement.calibration import CapacityCache, calibrate
from chatlab.measurement.load import coordinator as workers
from chatlab.measurement.load import trial as trials
from chatlab.measurement.load.control import WorkerControl
from chatlab.measurement.load.samples import NEVER, Samples
from chatlab.measurement.load.timer import Timer
from chatlab.measurement.load.workload import OPERATIONS, Workload
from chatlab.measurement.process_stats import ResourceSeries, memory_of
from chatlab.measurement.rates import _orders, compare, measure
from chatlab.measurement.results.environment import Environment
from chatlab.measurement.results.runs import Comparison, Round, Run
from chatlab.measurement.testbed import LoadWorkers
from chatlab.messages import Accounts, Arrived, Sent

pytestmark = pytest.mark.usefixtures("brief_calibrations")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads what only Linux tells")
GENERATORS = pytest.mark.parametrize("generator", ["light", "clients"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["text", "json", "binary", "protobuf", "grpc", "grpc-stream"])
MIXED = Workload(
    clients=4, messages=30, in_flight=4, rooms=2, text_bytes={32: 3, 20_000: 1},
    operations={"send": 3, "say": 2, "ping": 1, "balance": 1, "search": 1},
)  # fmt: skip
OPEN = Workload(clients=2, messages=20, rate=400, arrivals="poisson")
HERE = Environment("3.11.7", "Linux", "a processor", 2, ())
BASELINES = [("text", kind) for kind in SOCKET_KINDS] + [("grpc", kind) for kind in GRPC_KINDS]
MS = 1_000_000


# ---- everything is done, and is true ----------------------------------------------------------------------------


@GENERATORS
@PROTOCOLS
def test_every_operation_is_answered_truly(protocol, generator):
    (only,) = measure(protocol, MIXED, generator=generator, executor=Here()).rounds
    assert (only.messages, only.samples.completed, only.samples.unanswered) == (120, 120, 0)


@GENERATORS
@pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])
def test_the_server_with_threads_can_be_driven_too(protocol, generator):
    assert (
        measure(protocol, replace(MIXED, messages=10), engine="threads", generator=generator, executor=Here())
        .rounds[0]
        .messages
        == 40
    )


@GENERATORS
@pytest.mark.parametrize("codec, told", [
    ("WrongNumber", "was answered by"), ("WrongText", "not in flight to it"), ("Forgetful", "never delivered to"),
])  # fmt: skip
def test_a_run_with_wrong_answers_is_no_result(codec, told, generator, monkeypatch):
    monkeypatch.setattr(trials, "DRAIN_S", 0.5)
    load = Workload(clients=2, in_flight=8, seconds=0.2, warm_up_s=0)
    with pytest.raises(RuntimeError, match=f"VerificationError: .*{told}"):
        measure(f"faulty_codecs:{codec}", load, generator=generator, executor=Here())


@GENERATORS
def test_the_server_is_left_as_it_was(generator):
    with chatlab.serve("grpc", name="measured here") as server:
        measure(server, replace(MIXED, messages=5), generator=generator)
        (ann,) = server.users("ann")
        assert ann.list_accounts().names == ("ann",)


def test_a_protocol_without_a_codec_has_no_light_generator():
    with pytest.raises(RuntimeError, match="the light generator cannot speak it"):
        measure("faulty_codecs:Codecless", Workload(messages=1), generator="light", executor=Here())


def test_a_protocol_without_a_codec_has_realistic_clients():
    assert measure("faulty_codecs:Codecless", Workload(messages=3)).rounds[0].messages == 6


def test_an_unknown_generator_is_refused():
    with pytest.raises(ValueError, match="'clients' or 'light', not 'heavy'"):
        measure("text", generator="heavy")


# ---- times ------------------------------------------------------------------------------------------------------


@GENERATORS
def test_an_open_loop_asks_what_is_due_and_when(generator):
    samples = measure("text", OPEN, generator=generator).samples
    scheduled = sorted(at for client in range(2) for at in OPEN.arrivals_of(client))
    assert sorted(samples.column("due").tolist()) == scheduled
    assert (samples.column("sent") >= samples.column("due")).all()


@GENERATORS
def test_the_three_times_belong_together(generator):
    samples = measure("text", OPEN, generator=generator).samples
    assert (samples.response_ns == samples.service_ns + samples.lateness_ns).all()
    assert (samples.service_ns > 0).all() and len(samples.end_to_end_ns) == 40


def test_what_was_due_in_the_warm_up_does_not_count():
    load = Workload(rate=200, seconds=0.2, warm_up_s=0.1)
    due = measure("text", load, generator="light").samples.column("due")
    assert len(due) == 40 and due.min() >= 100 * MS


@LINUX
def test_a_generator_that_waits_is_not_busy():
    async def wait():
        timer = Timer()
        for _ in range(100):
            await timer.wait_until(time.perf_counter_ns() + MS)
        timer.close()

    began_s, busy_s = time.perf_counter(), time.process_time()
    asyncio.run(wait())
    assert time.process_time() - busy_s < 0.5 * (time.perf_counter() - began_s)


@pytest.mark.parametrize("delays_ms", [(20, 40, 60), (60, 40, 20), (40, 40, -20)])
def test_a_timer_wakes_each_when_it_is_due_and_not_before(delays_ms):
    async def wait():
        timer, began_ns, woken = Timer(), time.perf_counter_ns(), []

        async def sleep(ms):
            await timer.wait_until(began_ns + ms * MS)
            woken.append((ms, time.perf_counter_ns() - began_ns))

        cancelled = asyncio.ensure_future(timer.wait_until(began_ns + MS))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(*map(sleep, delays_ms))
        timer.close()
        return woken

    woken = asyncio.run(wait())
    assert [ms for ms, _ in woken] == sorted(delays_ms) and all(at_ns >= ms * MS for ms, at_ns in woken)


@GENERATORS
def test_more_than_can_be_done_is_late_or_unsent_and_no_error(generator):
    (only,) = measure("text", Workload(4, rate=300_000, seconds=0.1, warm_up_s=0), generator=generator).rounds
    assert only.samples.offered == 30_000 and 0 < only.messages < 30_000


def test_a_thinking_client_waits_before_it_asks_again():
    samples = measure(
        "text", Workload(clients=1, messages=4, think_s=0.02, operations="ping"), generator="light"
    ).samples
    assert (samples.column("due")[1:] - samples.column("answered")[:-1] == 20 * MS).all()


@LINUX
def test_a_server_that_stands_still_is_seen_by_whoever_was_due_meanwhile():
    with chatlab.serve("text", where="process", name="stands still") as server:
        load = Workload(clients=2, rate=200, seconds=0.8, warm_up_s=0)
        pause = threading.Timer(0.2, os.kill, (server.pid, signal.SIGSTOP))
        go_on = threading.Timer(0.6, os.kill, (server.pid, signal.SIGCONT))
        with Starting(pause, go_on) as executor:
            samples = measure(server, load, generator="light", executor=executor).samples
    assert samples.offered == 160 and samples.unanswered == samples.unsent == 0
    assert numpy.percentile(samples.response_ns, 80) > 100 * MS


@LINUX
def test_what_is_never_answered_counts_with_its_age(monkeypatch):
    monkeypatch.setattr(trials, "DRAIN_S", 1.0)
    monkeypatch.setattr(trials, "DIAL_TIMEOUT_S", 1.0)
    with chatlab.serve("text", where="process", name="stands still") as server:
        with Starting(threading.Timer(0.3, os.kill, (server.pid, signal.SIGSTOP))) as executor:
            load = Workload(clients=2, rate=100, seconds=0.6, warm_up_s=0)
            only = measure(server, load, generator="light", executor=executor).rounds[0]
        os.kill(server.pid, signal.SIGCONT)
    assert only.samples.unanswered > 10 and only.samples.offered == 60
    assert len(only.samples.bounded_response_ns) == 60 and only.response_ms(99) > 300


# ---- samples ----------------------------------------------------------------------------------------------------


def some(*rows, operation="send", end_ns=100):
    columns = (numpy.array(column, numpy.int64).tobytes() for column in zip(*rows))
    return Samples(*columns, numpy.full(len(rows), OPERATIONS.index(operation), numpy.int8).tobytes(), end_ns)


def test_a_text_is_done_when_both_have_it():
    assert some((0, 1, 5, 7), (0, 1, 9, 7), (0, 1, 5, NEVER)).done_at_ns.tolist() == [7, 9, NEVER]


def test_a_ping_is_done_when_it_is_answered():
    assert some((0, 1, 5, NEVER), (0, 1, NEVER, NEVER), operation="ping").done_at_ns.tolist() == [5, NEVER]


def test_response_times_come_in_the_order_in_which_they_were_due():
    samples = some((20, 21, 25, 26), (0, 1, NEVER, NEVER), (10, 11, 13, 14))
    assert samples.bounded_response_in_order_ns.tolist() == [100, 3, 5]


def test_a_percentile_of_a_run_has_an_interval_from_its_raw_samples():
    uneven = a_round(*[(n * MS, n * MS, (n + 1 + n * 7 % 13) * MS, NEVER) for n in range(100)])
    found = a_run(uneven, uneven).response_interval_ms(50)
    assert found.low < found.value == 7 < found.high and f"p50 {found} ms" in str(a_run(uneven, uneven))


def test_what_was_not_answered_is_as_old_as_its_own_round_lasted():
    first, second = some((0, 1, NEVER, NEVER), (0, 1, 7, 7), end_ns=100), some((50, 51, NEVER, NEVER), end_ns=10_000)
    both = first + second
    assert both.ages_ns.tolist() == [100, 9_950] and both.bounded_response_in_order_ns.tolist() == [100, 7, 9_950]
    assert (both + first).where(numpy.array([True, False, True, True, False])).ages_ns.tolist() == [100, 9_950, 100]
    assert both.end_ns == 10_000 and len(both.where(slice(0))) == 0


def test_what_was_not_asked_and_what_was_not_answered_is_counted():
    samples = some((0, 1, 5, 6), (10, 11, NEVER, NEVER), (20, NEVER, NEVER, NEVER))
    assert (samples.offered, samples.attempted, samples.unsent, samples.completed, samples.unanswered) == (
        3,
        2,
        1,
        1,
        1,
    )
    assert samples.ages_ns.tolist() == [90, 80] and samples.bounded_response_ns.tolist() == [5, 90, 80]


def test_samples_of_workers_add_up_raw():
    both = some((0, 1, 5, 6)) + some((0, 2, 9, 9), end_ns=200)
    assert both.response_ns.tolist() == [5, 9] and both.end_ns == 200


def test_samples_are_saved_with_the_run(tmp_path):
    run = measure("text", Workload(messages=5), generator="light")
    assert Run.load(run.save(tmp_path / "run.json")) == run


def test_samples_make_a_frame():
    frame = some((0, 10**9, NEVER, NEVER)).to_frame()
    assert frame["sent_s"].tolist() == [1.0] and frame["answered_s"].isna().all()


# ---- verdicts ---------------------------------------------------------------------------------------------------


def a_round(*rows, busy=0.1):
    return Round(1.0, len(rows), 0.1, busy, some(*rows))


def a_run(*rounds, rate: float | None = 100.0, protocol="text"):
    return Run(protocol, Workload(rate=rate), rounds, HERE, "light")


ON_TIME = [(n * MS, n * MS, n * MS + 2 * MS, n * MS + 2 * MS) for n in range(100)]
LATE = [(n * MS, n * MS + 5 * MS, n * MS + 7 * MS, n * MS + 7 * MS) for n in range(100)]
UNSENT = [*ON_TIME[:98], *[(n * MS, NEVER, NEVER, NEVER) for n in (98, 99)]]


@pytest.mark.parametrize("rounds, reason", [
    ([a_round(*ON_TIME)], ""), ([a_round(*LATE)], "sent 5.0 ms late"), ([a_round(*UNSENT)], "98 of 100 requests"),
    ([a_round(*ON_TIME, busy=0.9)], "used 90% of a processor"), ([a_round(*ON_TIME)] * 2 + [a_round(*LATE)], ""),
])  # fmt: skip
def test_a_run_says_when_it_is_the_generators(rounds, reason):
    run = a_run(*rounds)
    assert run.generator_limited == bool(reason) == ("generator-limited" in repr(run))
    assert not reason or reason in run.reasons[0]


def test_a_closed_loop_has_no_schedule_to_be_late_for():
    assert not a_run(a_round(*LATE), rate=None).generator_limited


def test_what_the_generator_limited_is_left_out_of_comparisons():
    runs = a_run(a_round(*ON_TIME)), a_run(a_round(*LATE), protocol="grpc")
    with pytest.raises(ValueError, match="grpc with 2 clients is left out"):
        Comparison(runs, HERE).ratio("text", "grpc")


def test_a_comparison_says_what_may_be_believed():
    rounds = [Round(1.0, n, n / 1e4, 0.1) for n in (100, 103, 98, 101, 99, 102)]
    runs = a_run(*rounds), a_run(*rounds[::-1], protocol="grpc")
    assert str(Comparison(runs, HERE).ratio("text", "grpc")).startswith("no detectable difference (")


def test_every_second_round_runs_backwards():
    first, second, third, _ = _orders(list("abcdef"), [Workload(), Workload(4)], 4, seed=1)
    backwards = [(protocol, loads[::-1]) for protocol, loads in reversed(first)]
    assert second == backwards and third != first


# ---- what it costs ----------------------------------------------------------------------------------------------


@LINUX
@PROTOCOLS
def test_the_wire_is_counted_for_every_message(protocol):
    (only,) = measure(protocol, Workload(messages=50, operations="ping"), generator="light").rounds
    assert only.wire.up >= 100 * 3 and only.segments_per_message == pytest.approx(2, abs=1)


@LINUX
def test_the_bytes_of_a_ping_are_those_of_its_lines():
    (only,) = measure("text", Workload(clients=1, messages=9, operations="ping"), generator="light").rounds
    assert (only.wire.up, only.wire.down) == (9 * len("#1|14\n"), 9 * len("#1|pong\n"))


@LINUX
def test_the_servers_memory_is_seen_from_outside():
    (only,) = measure("text", Workload(messages=5)).rounds
    assert 1 << 20 < only.memory.proportional <= only.memory.resident <= only.memory.peak


@LINUX
def test_the_servers_processor_and_memory_are_a_series(tmp_path):
    run = measure("text", Workload(seconds=0.5, warm_up_s=0.05), generator="light")
    course = run.rounds[0].resources
    distances = numpy.diff(course.at_s)
    assert (
        5 <= len(course) and distances.max() < 0.5 and course.at_s[0] >= 0
    )  # ten a second, unless the machine is busy
    assert all(each >= 0 for each in course.busy) and course.cpu_s[-1] > 0 and min(course.resident) > 1 << 20
    assert Run.load(run.save(tmp_path / "run.json")).rounds[0].resources == course


def test_a_server_in_this_process_has_no_series_of_its_own():
    with chatlab.serve("text", name="measured here") as server:
        assert measure(server, Workload(messages=5)).rounds[0].resources is None


def test_a_series_makes_a_frame():
    frame = ResourceSeries((0.0, 0.1, 0.3), (0.0, 0.05, 0.15), (4096, 4096, 8192)).to_frame()
    assert frame["busy"].tolist()[1:] == [0.5, 0.5] and frame["busy"].isna()[0]


@LINUX
def test_a_server_that_dies_while_it_is_measured_is_no_result():
    with chatlab.serve("text", where="process", name="dies") as server:
        with Starting(threading.Timer(0.3, os.kill, (server.pid, signal.SIGKILL))) as executor:
            with pytest.raises(RuntimeError, match="the clients of text failed: ConnectionLost: the server closed"):
                measure(server, Workload(seconds=20), generator="light", executor=executor)


@LINUX
def test_a_process_that_is_gone_has_no_memory():
    assert memory_of(2**22 + 1) is None


# ---- null servers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol, generator", [
    ("text", "light"), ("binary", "light"), ("grpc", "light"), ("grpc-stream", "light"), ("text", "clients"), ("grpc", "clients"),
])  # fmt: skip
def test_a_generator_is_calibrated_by_a_server_that_does_nothing(protocol, generator):
    capacity = calibrate(protocol, generator, seconds=0.1, clients=2, in_flight=3)
    run = measure(protocol, Workload(clients=2, in_flight=3, messages=5), generator=generator)
    assert run.capacity == capacity > 0 and (run.is_capacity_disturbed or 0 < run.share_of_capacity <= 1)


@pytest.mark.parametrize("load", [
    Workload(operations="ping", in_flight=16), Workload(clients=4, operations={"say": 2, "search": 1}, rooms=2, text_bytes=100),
    OPEN, Workload(think_s=0.001), Workload(messages=3, seed=5),
], ids=str)  # fmt: skip
def test_a_load_of_any_kind_is_calibrated_with_itself(load, uncalibrated):
    capacity = calibrate("text", seconds=0.1, workload=load)
    run = measure("text", replace(load, messages=3), generator="light")
    assert run.capacity == capacity and (run.is_capacity_disturbed or 0 < run.share_of_capacity <= 1)


def test_a_calibration_may_be_given_other_clients_than_its_workload(uncalibrated):
    capacity = calibrate("text", seconds=0.1, clients=3, in_flight=2, workload=Workload(operations="balance"))
    assert (
        measure("text", Workload(3, messages=5, in_flight=2, operations="balance"), generator="light").capacity
        == capacity
    )


@pytest.mark.parametrize("other", [
    Workload(clients=2), Workload(clients=4, operations="ping"), Workload(clients=4, text_bytes=33), Workload(clients=4, rooms=1),
    Workload(clients=4, in_flight=2),
], ids=str)  # fmt: skip
def test_what_can_be_done_of_one_load_is_not_set_beside_another(other, uncalibrated):
    calibrate("text", seconds=0.1, workload=Workload(clients=4))
    assert measure("text", replace(other, messages=5), generator="light").capacity is None


def test_what_is_calibrated_is_a_workload():
    with pytest.raises(TypeError, match="the load is a Workload, not 'ping'"):
        calibrate("text", workload="ping")


def test_a_result_tells_what_share_its_rate_is():
    run = replace(a_run(a_round(*ON_TIME)), capacity=1000.0)
    assert run.share_of_capacity == 0.1
    assert "Of what the same clients did with a server that does next to nothing: text 10%." in str(run)


def test_a_little_more_than_the_capacity_is_all_of_it():
    assert replace(a_run(a_round(*ON_TIME)), capacity=95.0).share_of_capacity == 1.0


def test_a_share_above_all_is_no_share_but_a_disturbed_calibration():
    run = replace(a_run(a_round(*ON_TIME)), capacity=50.0)
    assert run.rate.median == 100 and run.share_of_capacity is None and run.is_capacity_disturbed
    assert "What the clients of text can do is not known: the calibration was disturbed" in str(run)


def test_a_capacity_that_a_rate_disproves_is_found_anew(uncalibrated):
    workers = LoadWorkers()
    key = calibration.capacity_key("text", "light", workers, Workload())
    calibration.CAPACITIES.put(key, 100.0)
    assert calibration.capacity_of("text", "light", workers, Workload(), rate=109.0) == 100.0
    assert calibration.capacity_of("text", "light", workers, Workload(), rate=131.0) == 100.0
    assert key not in calibration.CAPACITIES


@GENERATORS
@PROTOCOLS
def test_a_mirror_answers_every_operation_truly(protocol, generator):
    (only,) = measure(
        Baseline("stub-chat", chatlab.resolve(protocol)), MIXED, generator=generator, executor=Here()
    ).rounds
    assert (only.messages, only.samples.completed, only.samples.unanswered) == (120, 120, 0)


@PROTOCOLS
def test_a_mirror_serves_who_writes_to_itself(protocol):
    load = Workload(clients=1, messages=10, in_flight=4, text_bytes=20_000)
    assert (
        measure(Baseline("stub-chat", chatlab.resolve(protocol)), load, generator="light", executor=Here())
        .rounds[0]
        .messages
        == 10
    )


@PROTOCOLS
def test_a_mirror_forgets_whose_connection_is_gone(protocol):
    with (
        chatlab.serve(Baseline("stub-chat", chatlab.resolve(protocol)), name="a stub") as server,
        server.connect() as ada,
    ):
        ada.create_account("ada")
        with server.connect() as bob:
            bob.create_account("bob")
            assert ada.send("bob", "hi") == Sent(1, True) and bob.receive(5) == Arrived(1, "ada", "hi")
        until(lambda: ada.send("bob", "hi") == Sent(0))
        assert ada.list_accounts() == Accounts(("ada",))


def test_a_mirror_is_served_by_a_loop_alone():
    with pytest.raises(ValueError, match="a stub chat is served by a loop, not by 'threads'"):
        chatlab.serve(Baseline("stub-chat", chatlab.resolve("text")), engine="threads")


@pytest.fixture
def uncalibrated(monkeypatch):
    """As if nothing had been calibrated yet."""
    monkeypatch.setattr(calibration, "CAPACITIES", CapacityCache())


def test_a_comparison_calibrates_by_itself_and_once(uncalibrated):
    first, second = (compare(["text", "grpc"], workload=Workload(messages=5), clients=2, rounds=1) for _ in range(2))
    assert all(run.capacity > 0 for run in first.runs)
    kept = [pair for pair in zip(first.runs, second.runs) if not pair[0].is_capacity_disturbed]
    assert all(one.capacity == other.capacity for one, other in kept)
    assert not kept or "the same clients did with a server that does next to nothing" in str(first)


def test_a_short_measurement_is_not_made_longer_by_a_calibration(uncalibrated):
    assert measure("text", Workload(messages=5)).capacity is None and not len(calibration.CAPACITIES)


def test_a_protocol_without_a_null_server_is_compared_all_the_same(uncalibrated):
    (run,) = compare("faulty_codecs:Codecless", workload=Workload(messages=3), clients=2, rounds=1).runs
    assert run.rounds and run.capacity is None


def test_what_one_worker_can_do_is_not_what_two_can(uncalibrated):
    calibrate("text", seconds=0.1, clients=4, in_flight=1)
    assert measure("text", Workload(clients=4, messages=5), generator="light", workers=2).capacity is None


@pytest.mark.parametrize("engine", ["loop", "threads"])
@pytest.mark.parametrize("protocol, kind", BASELINES)
def test_a_baseline_is_served_at_an_ipv6_address_too(protocol, kind, engine):
    baseline = Baseline(kind, chatlab.resolve(protocol))
    if engine not in baseline.engines:
        engine = "loop"
    with chatlab.serve(baseline, engine=engine, host="::1", name="at ::1") as server:
        assert server.address[0] == "::1"
        socket.create_connection(server.address, 5).close()


@pytest.mark.parametrize("protocol, kind", BASELINES)
def test_a_baseline_is_a_value_that_can_be_pickled(protocol, kind):
    baseline = Baseline(kind, chatlab.resolve(protocol))
    copy = pickle.loads(pickle.dumps(baseline))
    assert (copy.kind, copy.name) == (kind, protocol) and repr(copy) == f"<baseline of {protocol}: {kind}>"


@GENERATORS
@pytest.mark.parametrize("protocol", ["text", "grpc"])
def test_a_server_is_measured_at_an_ipv6_address(protocol, generator):
    (only,) = measure(protocol, Workload(clients=4, messages=5), generator=generator, workers=2, host="::1").rounds
    assert only.messages == 20


def test_grpc_has_no_echo():
    with pytest.raises(ValueError, match="a baseline of grpc is .*, not 'echo'"):
        Baseline("echo", chatlab.resolve("grpc"))


# ---- workers ----------------------------------------------------------------------------------------------------


class Here(Executor):
    """Runs a worker on a thread of this process, so that a test can change what it waits for."""

    def submit(self, function, *args):
        future = Future()

        def run():
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future


class Starting(Here):
    """The same, and starts timers with the load; they are over when it is left."""

    def __init__(self, *timers):
        self.timers = timers

    def __enter__(self):
        self.wait_for_start = WorkerControl.wait_for_start
        WorkerControl.wait_for_start = lambda control: self.start(control)
        return self

    def start(self, control):
        start_ns = self.wait_for_start(control)
        for timer in self.timers:
            timer.start()
        return start_ns

    def __exit__(self, *_):
        WorkerControl.wait_for_start = self.wait_for_start
        for timer in self.timers:
            timer.join()


@GENERATORS
def test_two_workers_do_the_work_of_one(generator):
    (only,) = measure("text", Workload(clients=5, messages=10), generator=generator, workers=2).rounds
    assert (only.workers, only.messages, len(only.samples)) == (2, 50, 50)


def test_any_executor_will_do():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        run = measure("text", Workload(clients=4, messages=10), generator="light", workers=2, executor=pool)
    assert run.rounds[0].messages == 40


def test_fewer_workers_than_asked_for_is_an_error(monkeypatch):
    monkeypatch.setattr("chatlab.measurement.load.control.ARRIVAL_TIMEOUT_S", 0.3)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(RuntimeError, match="[01] of 2 workers came within 0.3 s"):
            measure("text", Workload(clients=4, messages=10), generator="light", workers=2, executor=pool)


def die(spec: bytes) -> bytes:
    os._exit(1)


def test_a_lost_worker_is_an_error(monkeypatch):
    monkeypatch.setattr(workers, "work", die)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(RuntimeError, match="the clients of text failed: BrokenProcessPool"):
            measure("text", Workload(messages=10), executor=pool)


class Lost(Here):
    """Works so often, and then is lost."""

    def __init__(self, left: int):
        self.left = left

    def submit(self, function, *args):
        self.left -= 1
        return super().submit(function if self.left >= 0 else lose, *args)


def lose(spec: bytes):
    raise ConnectionError("the worker's machine is gone")


@pytest.mark.parametrize("act, kind", [
    (lambda pool: measure("text", Workload(messages=5), rounds=3, executor=pool), Run),
    (lambda pool: compare("text", workload=Workload(messages=5), clients=2, rounds=3, executor=pool), Comparison),
])  # fmt: skip
def test_the_error_of_a_later_round_has_the_rounds_that_were_finished(act, kind):
    with pytest.raises(RuntimeError, match="the worker's machine is gone") as failed:
        act(Lost(1))
    assert (
        type(failed.value.partial_result) is kind
        and failed.value.partial_result.partial
        and ", 1 round, partial" in repr(failed.value.partial_result)
    )


def test_the_error_of_the_first_round_has_nothing():
    with pytest.raises(RuntimeError, match="the worker's machine is gone") as failed:
        measure("text", Workload(messages=5), rounds=2, executor=Lost(0))
    assert failed.value.partial_result is None


@LINUX
def test_workers_are_heard_where_many_files_are_open():
    import resource  # which only Unix has

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = []
    try:
        while not opened or opened[-1] < 1024:  # select, which ends there, would refuse
            opened.append(os.open(os.devnull, os.O_RDONLY))
        assert measure("text", Workload(messages=5)).rounds[0].messages == 10
    finally:
        for each in opened:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_interrupt_leaves_the_rounds_that_are_done(monkeypatch):
    real, rounds = workers.run_parallel, []

    def interrupted(*args):
        if rounds:
            raise KeyboardInterrupt
        rounds.append(1)
        return real(*args)

    monkeypatch.setattr(sys.modules["chatlab.measurement.testbed"], "run_parallel", interrupted)
    run = measure("text", Workload(messages=5), rounds=3)
    assert run.partial and len(run.rounds) == 1 and ", 1 round, partial" in repr(run)
