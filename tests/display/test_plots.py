"""Pictures: what they say, and that they change nothing besides. How they look, a person has to look at."""

import warnings
from dataclasses import replace

import matplotlib
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from sample_results import HERE, a_comparison, a_run, a_table, made_up, planted, served

import chatlab
from chatlab.capture.layers import LAYERS
from chatlab.capture.trace import Trace, TraceEvent
from chatlab.display.plots import fonts
from chatlab.display.plots.fonts import STAND_IN, drawable
from chatlab.display.plots.latency import latency_distribution, percentiles, throughput_latency, time_series
from chatlab.display.plots.rates import cost_by_clients, overview
from chatlab.display.plots.sequence import space_time
from chatlab.display.plots.server import server_over_time
from chatlab.display.plots.style import LAYER_COLORS, LIMITED, PROTOCOL_STYLE, figure, readable_ticks, style_of
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.process_stats import ResourceSeries
from chatlab.measurement.results.runs import Round, Run
from chatlab.measurement.saturation import search_saturation
from chatlab.messages import Arrived, Send, Sent


@pytest.fixture(autouse=True)
def no_window():
    backend = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    settings = matplotlib.rcParams.copy()
    yield
    pyplot.close("all")
    assert matplotlib.rcParams == settings, "a plot has changed a global setting"
    pyplot.switch_backend(backend)


def a_trace():
    return Trace((
        TraceEvent(0.001, "ann", "asked", Send("bob", "hi")),
        TraceEvent(0.002, "ann", "answered", Sent(1, True)),
        TraceEvent(0.003, "bob", "received", Arrived(1, "ann", "hi")),
        TraceEvent(0.004, "ann", "asked", Send("bob", "a $text$ that is longer than its arrow has room for")),
        TraceEvent(0.005, "ann", "answered", Sent(2, True)),
        TraceEvent(0.006, "bob", "asked", Send("bob", "a note to self")),
        TraceEvent(0.007, "bob", "answered", Sent(3, True)),
        TraceEvent(0.008, "bob", "received", Arrived(3, "bob", "a note to self")),
    ))  # fmt: skip


RESULTS = pytest.mark.parametrize(
    "result", [a_table(), a_run(), a_comparison(), a_trace()], ids=lambda r: type(r).__name__
)


def words(ax):
    ax.figure.canvas.draw()
    return [text.get_text() for text in ax.findobj(matplotlib.text.Text) if text.get_text()]


@RESULTS
def test_a_plot_is_one_axes_of_a_figure_of_its_own(result):
    ax = result.plot()
    assert ax.figure.axes == [ax] and len(pyplot.get_fignums()) == 1


@RESULTS
def test_a_plot_draws_on_the_axes_it_is_given(result):
    ax = Figure().subplots()
    assert result.plot(ax) is ax and pyplot.get_fignums() == []


@RESULTS
def test_a_plot_says_in_words_what_is_to_be_seen(result):
    assert result.plot().sentence.endswith(".")


@RESULTS
def test_a_plot_has_a_title(result):
    assert result.plot().get_title(loc="left")


@pytest.mark.parametrize("draw", [
    a_table().plot, a_run().plot, a_trace().plot, lambda: a_load().plot(metric="percentiles"),
    lambda: a_watched_run().plot(metric="processor"), lambda: a_watched_run().plot(metric="memory"),
])  # fmt: skip
def test_in_a_dark_style_the_paper_stays_white_and_the_ink_dark(draw):
    with pyplot.style.context("dark_background"):
        ax = draw()
        ax.figure.canvas.draw()
        papers = {matplotlib.colors.to_hex(paper.get_facecolor()) for paper in (ax.figure, ax)}
        inks = [
            matplotlib.colors.to_rgb(text.get_color()) for text in ax.findobj(matplotlib.text.Text) if text.get_text()
        ]
    assert papers == {"#ffffff"} and all(max(ink) < 0.75 for ink in inks)


@pytest.mark.parametrize("result", [a_table(), a_run(), a_comparison()], ids=lambda r: type(r).__name__)
def test_a_figure_names_the_machine_and_the_versions(result):
    assert any("Python 3.11.7, grpcio 1.85.1" in text.replace("\n", " ") for text in words(result.plot()))


def test_rates_name_the_load_and_the_rounds():
    said = " ".join(words(a_comparison().plot())).replace("\n", " ")
    assert "Closed loop, messages of 32 bytes" in said and "the median of 3 rounds" in said


def test_the_axes_have_units():
    assert (a_comparison().plot().get_ylabel(), a_table().plot().get_xlabel()) == (
        "messages per second", "bytes at the socket, in steady state",
    )  # fmt: skip
    assert cost_by_clients(a_comparison()).get_ylabel().endswith("µs")


def test_every_bar_has_its_number():
    said = words(a_table().plot())
    assert "16   first: 14" in said and "148   first: 176" in said and "7" in said


def test_what_the_clients_limited_is_hollow_and_says_so():
    ax = a_comparison().plot()
    hollow = [line for line in ax.lines if line.get_marker() == style_of("text").marker and line.get_mfc() == "white"]
    assert len(hollow) == 1 and any("Hollow and grey: limited by the load generator" in text for text in words(ax))


def test_the_sentence_of_a_measurement_holds_no_measured_number():
    assert a_comparison().plot().sentence == (
        "Messages per second over 2 to 4 clients, a line for each of text, grpc. "
        "print() of the comparison shows the numbers."
    )


def test_no_two_protocols_share_a_colour_a_marker_or_a_hatch():
    for what in ("color", "marker", "hatch"):
        seen = [getattr(style, what) for style in PROTOCOL_STYLE.values()]
        assert len(set(seen)) == len(seen), what


def test_every_protocol_of_chatlab_has_a_style():
    assert set(PROTOCOL_STYLE) == set(chatlab.transport.registry.PROTOCOLS)


def test_a_foreign_protocol_has_a_style_of_its_own_every_time():
    assert style_of("telepathy") == style_of("telepathy") not in PROTOCOL_STYLE.values()


def test_a_space_time_diagram_shortens_long_texts_and_shows_dollars_as_dollars():
    said = words(space_time(a_trace()))
    assert "a $text$ that is longer…" in said and "hi" in said


def test_a_text_that_was_never_shown_ends_in_a_cross_and_is_counted():
    ax = space_time(a_trace())
    assert sum(line.get_marker() == "x" for line in ax.lines) == 1
    assert any("not shown before the end (1)" in text for text in words(ax))


def test_an_empty_trace_can_be_drawn():
    assert space_time(Trace(())).sentence


def test_pictures_to_be_saved_need_no_screen(tmp_path):
    for name, made in {"a": figure(cost_by_clients, a_comparison()), "b": overview(a_table(), a_comparison())}.items():
        made.savefig(tmp_path / f"{name}.png")
    assert pyplot.get_fignums() == []


# ---- names and texts of a user's ---------------------------------------------------------------------------------

ODD = "my $x$ 名前 🙂 is $y$"


def odd(result):
    """The result with a protocol whose name is a formula, and in a script that this machine's font may not have."""
    return replace(result, protocol=ODD)


def an_odd_trace():
    return Trace((
        TraceEvent(0.001, ODD, "asked", Send("ann", "$5 or $6? 👩‍💻 \N{BELL}")),
        TraceEvent(0.002, ODD, "answered", Sent(1, True)),
        TraceEvent(0.003, "ann", "received", Arrived(1, ODD, "$5 or $6? 👩‍💻 \N{BELL}")),
    ))  # fmt: skip


@pytest.mark.parametrize("draw", [
    lambda: replace(a_table(), rows=tuple(map(odd, a_table().rows))).plot(),
    lambda: replace(a_comparison(), runs=tuple(map(odd, a_comparison().runs))).plot(),
    lambda: odd(a_load()).plot(metric="distribution"),
    lambda: odd(a_load()).plot(metric="percentiles"),
    lambda: odd(a_load(unanswered=5)).plot(metric="time"),
    lambda: odd(a_watched_run()).plot(metric="memory"),
    lambda: odd(a_saturation()).plot(),
    lambda: replace(planted(), stages=tuple(odd(each) if each.protocol else each for each in planted().stages)).plot(),
    lambda: an_odd_trace().plot(),
], ids="bytes rates distribution percentiles time memory saturation breakdown trace".split())  # fmt: skip
def test_a_name_is_never_a_formula_and_no_character_is_left_out_without_a_word(draw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a glyph that its font lacks
        said = " ".join(words(draw()))
    assert "$" in said and ("名前" in said or STAND_IN * 2 in said)


def test_a_character_without_a_font_is_one_empty_box():
    assert drawable("a\U0001f469\u200d\U0001f4bb!\a")[0] in (
        f"a{STAND_IN}!{STAND_IN}",
        f"a\U0001f469\u200d\U0001f4bb!{STAND_IN}",
    )
    assert drawable("plain $x$") == ("plain $x$", {"parse_math": False})


def test_a_font_of_the_system_is_used_where_it_has_what_matplotlibs_lacks(monkeypatch):
    monkeypatch.setattr(fonts, "_font_of", lambda character, family: "" if character.isascii() else "Some CJK")
    text, look = drawable("名 a")
    assert text == "名 a" and look["fontfamily"] == [*matplotlib.rcParams["font.family"], "Some CJK"]


def test_a_logarithmic_axis_reads_round_numbers():
    ax = percentiles([a_load()])
    ax.set_ylim(0.5, 40)
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "3", "10", "30"]


@pytest.mark.parametrize("low, high, ticks", [
    (0.01, 9_000, [0.01, 0.1, 1, 10, 100, 1_000]),
    (0.9, 110, [1, 3, 10, 30, 100]),
    (20, 90, [20, 30, 40, 50, 60, 70, 80, 90]),
    (2.2, 2.6, [2.2, 2.3, 2.4, 2.5, 2.6]),
    (40, 0.7, [1, 3, 10, 30]),
    (0, 0, []),
])  # fmt: skip
def test_round_numbers_for_a_logarithmic_axis(low, high, ticks):
    assert readable_ticks(low, high) == pytest.approx(ticks)


# ---- nothing to draw ---------------------------------------------------------------------------------------------


def limited(run):
    return replace(run, rounds=tuple(replace(each, busiest_worker_share=1.0) for each in run.rounds))


def a_saturation(protocol="text", limit=False):
    found = search_saturation(lambda rate: made_up("text", Workload(rate=rate)), Workload(rate=400), bound_ms=20)
    attempts = tuple(replace(each, run=limited(each.run)) if limit else each for each in found.attempts)
    return replace(found, protocol=protocol, attempts=attempts)


@pytest.mark.parametrize("draw, why", [
    (lambda: throughput_latency([a_saturation(limit=True)]), "The load generator, not the server, set every number"),
    (lambda: space_time(Trace(())), "No text was sent"),
    (lambda: percentiles([a_run()]), "none was kept"),
    (lambda: latency_distribution([a_run()]), "none was kept"),
    (lambda: time_series(a_run()), "none was kept"),
    (lambda: server_over_time(a_run()), "no readings over time"),
    (lambda: cost_by_clients(replace(a_comparison(), runs=(a_run(cpu_s=None),))), "could not be read"),
], ids="saturation trace percentiles distribution time server cost".split())  # fmt: skip
def test_an_empty_picture_says_why_it_is_empty(draw, why):
    ax = draw()
    assert not ax.lines and ax.get_legend() is None and ax.get_title(loc="left")
    assert why in " ".join(words(ax)).replace("\n", " ") and why in ax.sentence


def test_only_what_is_drawn_stands_in_the_legend():
    ax = throughput_latency([a_saturation(), a_saturation("grpc", limit=True)])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["text", "grpc (generator-limited)"]
    lines = {line.get_label(): line for line in ax.lines}
    assert (
        len(lines["text"].get_xdata()) > 1 and lines["grpc (generator-limited)"].get_marker() == style_of("grpc").marker
    )


def test_layers_have_the_same_names_in_a_picture_as_in_a_capture():
    assert tuple(LAYER_COLORS) == LAYERS


# ---- response times ---------------------------------------------------------------------------------------------


def a_load(protocol="text", late_ms=0, unanswered=0):
    samples = served(100, late_ns=late_ms * 1_000_000, answered=1 - unanswered / 100)
    return Run(protocol, Workload(rate=100), (Round(1.0, 100, 0.1, 0.1, samples),), HERE, "light")


TIMES = pytest.mark.parametrize("what", ["distribution", "percentiles", "time"])


@TIMES
def test_a_picture_of_times_says_the_load_the_loop_and_how_many(what):
    said = " ".join(words(a_load().plot(metric=what))).replace("\n", " ")
    assert "Open loop, 100 messages of 32 bytes per second" in said and "Requests: text 100; not done: 0" in said


@TIMES
def test_what_the_generator_limited_is_grey_and_named(what):
    ax = a_load(late_ms=9).plot(metric=what)
    assert any("text (generator-limited)" in text for text in words(ax)) and LIMITED in str(ax.lines[0].get_color())


def test_what_was_never_answered_is_drawn_at_its_age():
    ax = a_load(unanswered=5).plot(metric="time")
    assert [len(line.get_xdata()) for line in ax.lines if line.get_marker() == "x"] == [5]


def test_several_runs_share_a_picture():
    ax = percentiles([a_load(), a_load("grpc")])
    assert {"text", "grpc"} <= set(words(ax))


def test_runs_of_different_loads_that_share_a_picture_are_both_told():
    said = " ".join(words(percentiles([a_load(), replace(a_load(), protocol="closed", workload=Workload())]))).replace(
        "\n", " "
    )
    assert "Open loop, 100 messages" in said and "Closed loop, one message" in said


def test_a_run_without_samples_has_no_times_to_draw():
    with pytest.raises(ValueError, match="has kept no samples"):
        a_run().plot(metric="time")


def test_a_curve_marks_what_was_not_sustained():
    found = search_saturation(lambda rate: made_up("text", Workload(rate=rate)), Workload(rate=400), bound_ms=20)
    faces = {
        line.get_mfc() for line in throughput_latency([found]).lines if line.get_marker() == style_of("text").marker
    }
    assert "white" in faces and style_of("text").color in faces


# ---- the server meanwhile ---------------------------------------------------------------------------------------

COURSE = ResourceSeries((0.0, 0.1, 0.2, 0.3), (0.0, 0.05, 0.15, 0.16), (8 << 20, 9 << 20, 12 << 20, 12 << 20))
SERVER = pytest.mark.parametrize(
    "what, unit", [("processor", "share of one processor"), ("memory", "resident memory, MiB")]
)


def a_watched_run(rounds=3, turns=1):
    each = Round(0.2, 100, 0.1, 0.1, resources=COURSE, slices=turns)
    return Run("text", Workload(seconds=0.2, warm_up_s=0.1), (each,) * rounds, HERE)


def handed(ax):
    return ax.get_legend_handles_labels()[1]


@SERVER
def test_the_server_over_time_is_a_line_for_each_round_with_its_unit_and_a_title(what, unit):
    ax = a_watched_run().plot(metric=what)
    assert handed(ax) == ["round 1", "round 2", "round 3"] and ax.get_ylabel() == unit
    assert ax.get_xlabel() == "seconds since the start of the load" and ax.get_title(loc="left").endswith(": text")
    assert ax.sentence.endswith(
        "a line for each of 3 rounds of text. to_frame() of a round's resources has the numbers."
    )


@SERVER
def test_rounds_of_the_server_are_told_apart_without_colour(what, unit):
    drawn = a_watched_run().plot(metric=what)
    lines = [each for each in (*drawn.lines, *drawn.patches) if str(each.get_label()).startswith("round")]
    assert len({str(line.get_linestyle()) for line in lines}) == 3


def test_the_share_of_the_processor_is_that_from_reading_to_reading():
    (steps,) = [
        each for each in a_watched_run(rounds=1).plot(metric="processor").patches if each.get_label() == "round 1"
    ]
    assert tuple(steps.get_data().values) == COURSE.busy and tuple(steps.get_data().edges) == COURSE.at_s


def test_memory_is_drawn_in_mebibytes():
    (line,) = [each for each in a_watched_run(rounds=1).plot(metric="memory").lines if each.get_label() == "round 1"]
    assert list(line.get_ydata()) == [8, 9, 12, 12]


@SERVER
def test_a_picture_of_the_server_says_the_load_and_marks_the_warm_up(what, unit):
    said = " ".join(words(a_watched_run().plot(metric=what))).replace("\n", " ")
    assert (
        "Closed loop, one message" in said
        and "ten times a second; 3 rounds" in said
        and "warm-up" in said
        and "Python 3.11.7" in said
    )


def test_of_a_run_in_time_slices_it_is_their_time_without_a_warm_up():
    ax = a_watched_run(turns=8).plot(metric="processor")
    assert ax.get_xlabel() == "seconds of its time slices, the warm-up left out" and "warm-up" not in words(ax)


def test_of_many_rounds_the_first_and_the_last_are_named():
    assert handed(a_watched_run(rounds=9).plot(metric="memory")) == ["round 1", "round 9"]


def test_what_hardly_changes_does_not_look_as_if_it_did():
    course = ResourceSeries((0.0, 0.1), (0.0, 0.1), (8 << 20, (8 << 20) + 4096))
    run = replace(a_watched_run(), rounds=(Round(0.2, 100, 0.1, 0.1, resources=course),))
    low, high = run.plot(metric="memory").get_ylim()
    assert high - low == pytest.approx(1)


@SERVER
def test_without_readings_there_is_nothing_to_draw(what, unit):
    with pytest.raises(ValueError, match="there are no readings over time to draw"):
        a_run().plot(metric=what)
