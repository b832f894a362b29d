"""Where the time goes: which stages there are, that each answers rightly, and that a cost is found where it is. No speed is asserted."""

import importlib
import os
import signal
import socket
from dataclasses import replace

import pytest
from external_adapter import Bazaar
from matplotlib.figure import Figure
from sample_results import COSTS, planted

import chatlab
from chatlab.codecs.text import TextCodec
from chatlab.display.plots.style import LIMITED
from chatlab.harness import serve
from chatlab.measurement.baselines.baseline import Baseline
from chatlab.measurement.baselines.socket_servers import EchoCodec
from chatlab.measurement.breakdown import CostBreakdown, Stage, stage_orders, stage_servers
from chatlab.measurement.errors import MeasurementFailed
from chatlab.measurement.load.light import LightGenerator
from chatlab.measurement.load.trial import TrialSpec
from chatlab.measurement.load.wire_clients import StreamWireClient, UnaryWireClient
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.results.environment import Environment
from chatlab.measurement.results.runs import Round
from chatlab.measurement.testbed import InterleavedTestbeds
from chatlab.messages import Ping, Said, Say
from chatlab.transport.registry import pack, resolve

ladder_room = importlib.import_module("chatlab.measurement.breakdown")
HERE = Environment("3.11.7", "Linux", "a processor", 2, (("grpcio", "1.85.1"),))
ALONE = Workload(clients=1, rooms=1, operations="say", messages=5)
ORDER = [
    ("", "echo"), ("text", "frames"), ("text", "codec"), ("text", "chat"), ("grpc", "bytes"), ("grpc", "messages"), ("grpc", "chat"),
    ("grpc-stream", "bytes"), ("grpc-stream", "messages"), ("grpc-stream", "chat"),
]  # fmt: skip


def servers_of(protocols, engine):
    return stage_servers([resolve(protocol) for protocol in protocols], engine)


# ---- which stages there are --------------------------------------------------------------------------------------


def test_the_rungs_are_in_order_and_the_ground_is_the_first():
    assert [(stage.protocol, stage.name) for stage in servers_of(["text", "grpc", "grpc-stream"], "loop")] == ORDER


@pytest.mark.parametrize("engine, words", [("loop", "grpc.aio"), ("threads", "grpc, threads")])
def test_each_rung_says_on_what_it_runs(engine, words):
    runs_on = [stage.runs_on for stage in servers_of(["text", "grpc"], engine)]
    assert all(runs_on) and [words in each for each in runs_on] == [False] * 4 + [True] * 3


@pytest.mark.parametrize("protocols, why", [
    ([], "no protocol"), (["text", "text"], "named twice"), (["external_adapter:Bazaar"], "no codec"), (["nowhere"], "no protocol is called"),
])  # fmt: skip
def test_a_ladder_is_of_different_protocols_that_the_generator_speaks(protocols, why):
    with pytest.raises(ValueError, match=why):
        chatlab.cost_breakdown(protocols)


def test_a_class_alone_is_one_protocol_and_no_list():
    with pytest.raises(ValueError, match="no codec, so the light generator"):
        chatlab.cost_breakdown(Bazaar)


@pytest.mark.parametrize(
    "wrong, why", [({"engine": "steam"}, "engine is 'loop' or 'threads'"), ({"rounds": 0}, "rounds is from 1")]
)
def test_a_wrong_argument_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        chatlab.cost_breakdown(**wrong)


# ---- each stage answers rightly ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol, name", ORDER)
def test_each_rung_answers_what_is_asked(protocol, name, engine):
    (server,) = [
        s
        for stage, s in servers_of(["text", "grpc", "grpc-stream"], engine).items()
        if (stage.protocol, stage.name) == (protocol, name)
    ]
    carried = resolve(server)
    with serve(server, engine=engine, name="a stage") as door:
        generator = LightGenerator(
            TrialSpec(pack(resolve(server)), tuple(door.addresses[carried.name]), ALONE, "w000000c", "light")
        )
        generator.run(0)
        generator.leave()
        generator.close()
    assert [(speaker.done, len(speaker.due)) for speaker in generator.users] == [(5, 5)]


def listened(server, engine, pieces, size):
    """What a server says to bytes that come in these pieces."""
    with serve(server, engine=engine, name="a stage") as door, socket.create_connection(door.address) as line:
        line.settimeout(10)
        heard = b""
        for piece in pieces:
            line.sendall(piece)
        while len(heard) < size:
            heard += line.recv(4096)
        return heard


def test_the_ground_says_back_whatever_it_hears(engine):
    assert listened(Baseline("raw-echo", chatlab.resolve("text")), engine, [b"\x00|no frame"], 10) == b"\x00|no frame"


def test_whole_frames_come_back_and_no_others(engine):
    whole = TextCodec().encode(1, Ping()) + TextCodec().encode(2, Say("hi"))
    assert (
        listened(
            Baseline("frame-echo", chatlab.resolve("text")),
            engine,
            [whole[:3], whole[3:] + b"#3|1"],
            len(whole),
        )
        == whole
    )


def test_an_echo_counts_as_the_answer_to_its_request():
    codec = TextCodec()
    assert EchoCodec(codec).decode(codec.encode(7, Say("hi"))) == (7, Said(0))


class Tapped:
    """A wire that remembers the bytes of what it heard."""

    def __init__(self, wire):
        self.wire, self.heard = wire, []
        self._message = wire._message
        wire._message = self.remember

    def remember(self, stream, raw, heard):
        self.heard.append(bytes(raw))
        self._message(stream, raw, heard)


@pytest.mark.parametrize("protocol, wire", [("grpc", UnaryWireClient), ("grpc-stream", StreamWireClient)])
@pytest.mark.parametrize("kind", ["bytes", "messages"])
def test_what_is_answered_without_a_chat_is_byte_for_byte_what_the_chat_answers(
    protocol, wire, kind, engine, monkeypatch
):
    answers = []
    for server in (Baseline(kind, chatlab.resolve(protocol)), protocol):
        taps = []
        monkeypatch.setattr(
            "chatlab.measurement.load.light.wire_client",
            lambda implementation: taps.append(Tapped(wire())) or taps[-1].wire,
        )
        with serve(server, engine=engine, name="a stage") as door:
            generator = LightGenerator(
                TrialSpec(pack(resolve(server)), tuple(door.address), ALONE, "w000000c", "light")
            )
            introduced = len(taps[0].heard)
            generator.run(0)
            answers.append(taps[0].heard[introduced:])
            generator.close()
    assert len(answers[0]) == 5 and answers[0] == answers[1]


@pytest.mark.parametrize("name, why", [
    ("bytes:text", "a baseline of text is echo, .*, not 'bytes'"), ("frame-echo:grpc", "of grpc is .*, not 'frame-echo'"),
    ("raw-echo:binary", "begins with its preface"),
])  # fmt: skip
def test_a_baseline_that_makes_no_sense_is_refused(name, why):
    kind, _, protocol = name.partition(":")
    with pytest.raises(ValueError, match=why):
        Baseline(kind, resolve(protocol))


# ---- measuring --------------------------------------------------------------------------------------------------


def test_a_ladder_is_measured_on_both_engines(engine):
    found = chatlab.cost_breakdown(rounds=1, seconds=0.03, engine=engine, quick=True, seed=3)
    assert [(stage.protocol, stage.name) for stage in found.stages] == ORDER
    assert all(len(stage.latency_us) == 1 and stage.latency_us[0] > 0 for stage in found.stages)
    assert (found.rounds, found.engine, found.partial) == (1, engine, False)
    assert "one round cannot tell" in str(found)


def test_every_second_round_runs_backwards_and_ladders_change_places():
    stages = list(servers_of(["text", "grpc", "grpc-stream"], "loop"))
    rounds = list(stage_orders(stages, 20, seed=1))
    assert all(second == first[::-1] for first, second in zip(rounds[::2], rounds[1::2]))
    assert all(set(turns) == set(stages) for turns in rounds) and len({turns[0] for turns in rounds}) > 3


def test_a_rung_is_started_right_beside_the_one_below_it():
    stages = list(servers_of(["text", "grpc"], "loop"))
    for turns in stage_orders(stages, 20, seed=2):
        places = {stage: number for number, stage in enumerate(turns)}
        assert all(
            abs(places[a] - places[b]) == 1
            for a, b in zip(stages, stages[1:])
            if a.protocol in ("", b.protocol) and b.name != "bytes"
        )


def test_other_protocols_of_ours_have_a_ladder_too():
    found = chatlab.cost_breakdown("binary", rounds=1, quick=True)
    assert [stage.name for stage in found.stages_of("binary")] == ["echo", "frames", "codec", "chat"]


def interrupt_after(count, monkeypatch):
    run = InterleavedTestbeds.run

    def interrupted(stand, load):
        nonlocal count
        if not count:
            raise KeyboardInterrupt
        count -= 1
        return run(stand, load)

    monkeypatch.setattr(InterleavedTestbeds, "run", interrupted)


def test_an_interrupt_leaves_whole_rounds(monkeypatch, tmp_path):
    interrupt_after(2, monkeypatch)
    found = chatlab.cost_breakdown("text", rounds=4, seconds=0.05)
    assert found.partial and found.rounds == 2 and all(None not in stage.latency_us for stage in found.stages)
    assert "partial" in repr(found) and "it ended early" in str(found) and "not measured" in str(found)
    assert CostBreakdown.load(found.save(tmp_path / "ladder.json")) == found
    found.plot(Figure().subplots())


def test_an_interrupt_before_anything_was_measured_is_an_interrupt(monkeypatch):
    interrupt_after(0, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        chatlab.cost_breakdown("text", quick=True)


def test_a_worker_that_dies_is_told_with_its_rung_and_the_rounds_before_are_kept(monkeypatch):
    run, left = InterleavedTestbeds.run, 2

    def cut_short(stand, load):
        nonlocal left
        left -= 1
        if not left:
            for testbed in stand.testbeds:
                os.kill(testbed.worker_pids[0], signal.SIGKILL)
        return run(stand, load)

    monkeypatch.setattr(InterleavedTestbeds, "run", cut_short)
    with pytest.raises(MeasurementFailed, match="the clients of the stage '.*' of (text|all) failed: ") as failed:
        chatlab.cost_breakdown("text", rounds=3, seconds=0.05)
    found = failed.value.partial_result
    assert found.partial and found.rounds == 1


def nothing_done(monkeypatch, times):
    """So many attempts complete nothing at any stage. Returns how long each attempt lasted, in s."""
    run_once, asked_s = InterleavedTestbeds._run_once, []

    def measured(together, load):
        asked_s.append(load.seconds)
        if len(asked_s) <= times:
            return [Round(load.seconds, 0, None, 0.01) for _ in together.testbeds]
        return run_once(together, load)

    monkeypatch.setattr(InterleavedTestbeds, "_run_once", measured)
    return asked_s


def test_stages_at_which_nothing_was_completed_are_given_more_time(monkeypatch):
    asked_s = nothing_done(monkeypatch, times=3)
    found = chatlab.cost_breakdown("text", rounds=1, seconds=0.02)
    assert asked_s == [0.02, 0.04, 0.08, 0.16] and not found.partial
    assert all(stage.latency_us[0] > 0 for stage in found.stages)


def test_where_nothing_is_completed_in_that_time_either_the_error_says_what_to_do(monkeypatch):
    asked_s = nothing_done(monkeypatch, times=6)
    with pytest.raises(MeasurementFailed, match="measure for more seconds, or when it is less busy"):
        chatlab.cost_breakdown("text", rounds=1, seconds=0.02)
    assert asked_s == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64]


def test_measuring_prints_nothing(capfd):
    chatlab.cost_breakdown("text", rounds=1, quick=True)
    assert capfd.readouterr() == ("", "")


# ---- what may be said of it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol, name, cost", [
    ("text", "frames", 2), ("text", "codec", 4), ("text", "chat", 9), ("grpc", "bytes", 235), ("grpc", "messages", 20), ("grpc", "chat", 30),
])  # fmt: skip
def test_a_planted_cost_is_found_on_its_rung_though_the_machine_drifts(protocol, name, cost):
    step = planted().cost(protocol, name)
    assert step.added.value == pytest.approx(cost, abs=0.3) and step.differs and step.remark == ""


def test_differences_are_of_the_same_round():
    step = planted().cost("text", "frames")
    assert step.value.high - step.value.low > 10 > 1 > step.added.high - step.added.low


def test_an_extra_cost_of_one_rung_is_that_rungs_alone():
    plain, dearer = planted(), planted({**COSTS, "grpc messages": 290, "grpc chat": 320})
    changed = [
        now.stage.name for was, now in zip(plain.costs(), dearer.costs()) if abs(now.added.value - was.added.value) > 1
    ]
    assert changed == ["messages"]


def test_parts_add_up_to_the_whole():
    for protocol in ("text", "grpc"):
        steps = [step for step in planted().costs() if step.protocol == protocol]
        assert sum(step.added.value for step in steps) == pytest.approx(steps[-1].value.value, rel=0.02)
        assert sum(step.share.value for step in steps) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    "cost, remark",
    [(15.0, "no detectable difference"), (14.95, "no detectable difference"), (10, "less than the stage below")],
)
def test_a_rung_that_takes_no_more_says_so(cost, remark):
    found = planted({**COSTS, "text frames": cost})
    assert found.cost("text", "frames").remark.startswith(remark) and remark in str(found)


def test_one_round_cannot_tell():
    assert {step.remark for step in planted(rounds=1).costs()} == {"one round cannot tell"}


def test_the_ground_belongs_to_every_ladder():
    found = planted()
    assert found["text", "echo"] is found["grpc", "echo"] is found.stages[0]
    assert [step.stage.name for step in found.costs()] == [
        "echo",
        "frames",
        "codec",
        "chat",
        "echo",
        "bytes",
        "messages",
        "chat",
    ]


def test_a_rung_that_is_missing_is_answered_with_those_there_are():
    found = planted()
    with pytest.raises(KeyError, match="text has no stage 'bytes'; it has echo, frames, codec, chat"):
        found["text", "bytes"]
    with pytest.raises(KeyError, match="grpc has no stage 'codec'; it has echo, bytes, messages, chat"):
        found.cost("grpc", "codec")
    with pytest.raises(KeyError, match="there is no breakdown of 'json'; there are text, grpc"):
        found["json", "echo"]


def test_response_times_can_be_attributed_too():
    assert planted().cost("grpc", "messages", "latency_us").added.value == pytest.approx(40, abs=0.6)
    with pytest.raises(ValueError, match="'cpu_us' or 'latency_us', not 'rate'"):
        planted().costs("rate")


def test_where_no_processor_time_could_be_read_it_is_response_times():
    stages = tuple(
        Stage(r.protocol, r.name, r.part, r.runs_on, (None,) * 6, r.latency_us, r.limited) for r in planted().stages
    )
    found = CostBreakdown(stages, planted().workload, "loop", HERE)
    assert (
        found.metrics == ("latency_us",)
        and "could not be read here" in str(found)
        and "response µs in all" in str(found)
    )


# ---- how it looks -----------------------------------------------------------------------------------------------


def test_a_ladder_is_saved_and_loaded(tmp_path):
    found = planted(limited=["text frames"])
    assert CostBreakdown.load(found.save(tmp_path / "ladder.json")) == found


def test_a_busy_machine_is_told_in_a_sentence():
    busy = replace(planted(), environment=replace(HERE, load=5.0))
    assert "\nCareful: the machine was busy with other things (load 5.0 on 2 cores)" in str(busy)


def test_the_repr_does_not_change_with_the_weather():
    assert repr(planted()) == "<CostBreakdown of text, grpc on loop: 7 stages, 6 rounds>"


def test_text_and_html_say_the_same():
    text, html = str(planted()), planted()._repr_html_()
    for part in ("part of messages", "µs added", "as far as all else stays as it was", "Python 3.11.7"):
        assert part in text and part in html


def test_a_frame_has_a_row_for_each_rung_and_round():
    frame = planted().to_frame()
    assert len(frame) == 7 * 6 and list(frame.columns) == ["protocol", "stage", "part", "round", "cpu_us", "latency_us"]


def test_a_picture_has_a_bar_and_a_number_for_each_step():
    ax = planted().plot(Figure().subplots())
    told = [text.get_text() for text in ax.texts]
    assert [label.get_text() for label in ax.get_yticklabels()] == [step.stage.part for step in planted().costs()]
    assert len([each for each in told if "µs, " in each]) == 8 and {"text", "grpc"} <= set(told)
    assert ax.sentence.startswith("The server's processor time for a request, part by part, for text: ")


def test_a_rung_that_the_generator_limited_is_grey_and_says_so():
    from matplotlib.colors import to_hex

    found = planted(limited=["text frames"])
    colors = [to_hex(bar.get_facecolor()) for bar in found.plot(Figure().subplots()).patches]
    assert colors.count(LIMITED) == 1 and "generator-limited" in str(found)
