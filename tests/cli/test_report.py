"""The report: a page by itself, in which every number is the comparison's and every link leads somewhere."""

import base64
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html import unescape
from itertools import combinations_with_replacement
from math import exp, log
from pathlib import Path
from statistics import mean, median
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from sample_results import HERE, MS, a_comparison, a_run, a_table, made_up, planted, sampled

import chatlab
from chatlab.capture.traffic import Traffic
from chatlab.cli import comparison, report, report_page
from chatlab.cli.comparison import SWEEP, SWEPT, run_comparison
from chatlab.display.tables import Table
from chatlab.measurement.breakdown import QUICK_SECONDS, SECONDS
from chatlab.measurement.byte_counts import ByteRow, ByteTable
from chatlab.measurement.code_complexity.complexity_table import complexity
from chatlab.measurement.load.coordinator import LocalProcessExecutor
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.rates import measure
from chatlab.measurement.results.runs import Comparison
from chatlab.measurement.saturation import Saturation, search_saturation
from chatlab.measurement.testbed import MeasurementFailed

pytestmark = pytest.mark.usefixtures("brief_calibrations")
SECTIONS = [
    "In short", "Bytes on the wire", "Rate, and what a message costs the server", "Where the time goes", "Response "
    "times",
    "Throughput and response times", "How much code it takes", "How it was measured", "Where it was measured", "What "
    "this does not say", "Raw data",
]  # fmt: skip


@cache
def code():
    """Read once, and not already when the tests are collected: it takes seconds."""
    return complexity("text", "grpc")


def a_page(folder, counted=a_table(), compared=None, swept=(), left_out=None, climbed=None, failed=None):
    """The page of these results, beside their files, as `chatlab compare` would have written it."""
    compared = compared or Comparison(tuple(map(sampled, a_comparison().runs)), HERE)
    failed = failed or {}
    compared = None if comparison.RATES in failed and not compared.partial else compared
    found = comparison.ComparisonResults(counted, code(), compared, climbed, list(swept), left_out or {}, errors=failed)
    data = comparison.write_data(folder, found)
    page = comparison.report_html(found, data, "chatlab compare text 'mine:It'")
    (folder / "report.html").write_text(page)
    return page


def measured(*protocols):
    """Results of a comparison that has only begun."""
    return comparison.ComparisonResults(a_table(), complexity(*protocols))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a page of everything that a page can have."""
    folder = tmp_path_factory.mktemp("comparison")
    a_page(
        folder,
        climbed=planted(),
        swept=[
            search_saturation(lambda rate: made_up("text", Workload(rate=rate)), Workload(rate=400), 50, resolution=2)
        ],
        left_out={"grpc": "it has no codec"},
    )
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def tree(page):
    return ElementTree.fromstring(page)


def words(element):
    return " ".join("".join(element.itertext()).replace("\N{NO-BREAK SPACE}", " ").split())


def cells(tree, caption):
    """The rows of the table of that caption, without the cells that name the row."""
    (table,) = [each for each in tree.iter("table") if words(each.find("caption")) == caption]
    return [[words(cell) for cell in row.findall("td")] for row in table.find("tbody")]


# ---- a page by itself -------------------------------------------------------------------------------------------


def test_the_page_is_well_formed_and_has_all_sections_in_order(tree):
    assert [words(each) for each in tree.iter("h2")] == SECTIONS


def test_nothing_is_fetched_from_elsewhere(page, tree):
    assert not re.search(r"<script|<link|<iframe|@import|url\(|https?:", page)
    assert all(each.get("src").startswith("data:image/svg+xml;base64,") for each in tree.iter("img"))


def test_a_picture_refers_to_nothing_outside_itself(tree):
    for each in tree.iter("img"):
        picture = ElementTree.fromstring(base64.b64decode(each.get("src").partition(",")[2]))
        links = [value for part in picture.iter() for name, value in part.attrib.items() if name.endswith("href")]
        assert all(link.startswith("#") for link in links)


def test_a_picture_is_told_in_words(tree):
    assert [
        each.get("alt").split(" ")[0] for each in tree.iter("img")
    ] == "Bars Messages The The How The Response".split()


def test_every_link_leads_to_a_section_or_to_a_file_beside_the_page(folder, tree):
    ids = {each.get("id") for each in tree.iter("section")}
    links = [each.get("href") for each in tree.iter("a")]
    assert all(link[1:] in ids if link[0] == "#" else (folder / unquote(link)).is_file() for link in links)
    assert {"bytes.json", "rates.json", "rates.parquet", "sweep-1-text.json"} <= set(links)


def test_every_section_with_numbers_says_where_they_are_from(tree):
    origins = [words(each.find("h2")) for each in tree.iter("section") if each.find("p[@class='origin']") is not None]
    assert origins == [*SECTIONS[:7], "Where it was measured"]


def test_whatever_is_shown_is_escaped(tmp_path):
    name = '<b>"it\'s" & so'
    runs = (sampled(a_run()), sampled(a_run(name)))
    counted = ByteTable((*a_table().rows, ByteRow(name, "a<b", Traffic(1, 2), Traffic(1, 2))), HERE)
    tree = ElementTree.fromstring(a_page(tmp_path, counted, Comparison(runs, HERE), left_out={name: "<i>why</i>"}))
    assert name in words(tree) and "<i>why</i>" in words(tree)


def test_the_page_says_when_it_was_written():
    page = report_page.page("A page", [], at=datetime(2031, 2, 3, 4, 5, tzinfo=UTC))
    assert "written on 3 February 2031 at 04:05 UTC" in page


def test_another_section_is_another_entry_of_the_list():
    page = report_page.page("A page", [report_page.Section("Where: the time goes", "<p>there</p>", "a clock")])
    assert '<a href="#where-the-time-goes">' in page and '<section id="where-the-time-goes">' in page


def test_any_result_makes_a_section_with_its_own_table():
    section = report.result_section("All of it", a_run(), origin="a run")
    assert (section.anchor, section.origin) == ("all-of-it", "a run") and a_run()._repr_html_() in section.body


def test_on_a_narrow_page_tables_scroll_below_a_hint_and_their_first_columns_stay(page):
    narrow = page.partition("@media (max-width: 700px)")[2].partition("@media")[0]
    assert "This table scrolls sideways." in narrow and ".wide { overflow-x: auto" in page
    assert '.wide th[scope="row"] { position: sticky; left: 0' in narrow.replace("&quot;", '"')


def test_it_can_be_read_dark_and_printed(page):
    assert "@media (prefers-color-scheme: dark)" in page and "@media print" in page


# ---- its numbers ------------------------------------------------------------------------------------------------


def test_the_bytes_are_those_of_the_table(tree):
    each = [[n for cost in (row.steady, row.first) for n in (cost.up, cost.down, cost.total)] for row in a_table().rows]
    assert cells(tree, "Bytes at the socket") == [[f"{n:,}" for n in row] for row in each]


def test_the_rates_and_costs_are_those_of_the_runs(tree):
    compared = a_comparison()
    runs = [compared[name, n] for n in compared.clients for name in compared.protocols]
    shown = [
        (row[0].rstrip("*"), row[2], row[5]) for row in cells(tree, "Messages per second, and processor time for each")
    ]
    rates, costs = ([[getattr(each, of) for each in run.rounds] for run in runs] for of in ("rate", "server_cpu_us"))
    busy = [f"{run.generator_share.median:.0%}" for run in runs]
    assert shown == list(
        zip([f"{centre(each):,.0f}" for each in rates], [f"{centre(each):,.1f}" for each in costs], busy)
    )


def centre(values):
    """Hodges and Lehmann's, of the logarithms: the median of the means of all pairs."""
    pairs = combinations_with_replacement(map(log, values), 2)
    return exp(median(map(mean, pairs)))


@pytest.mark.parametrize("rates", [(50, 100, 100, 100, 100), (1, 2, 100, 101, 102), (100, 300, 200)])
def test_the_number_beside_an_interval_is_the_one_it_belongs_to(rates):
    shown, limits = report.location_text(rates, ",.6f")
    assert float(shown) == pytest.approx(centre(rates))
    low, high = map(float, limits.replace(",", "").split("\N{NO-BREAK SPACE}…\N{NO-BREAK SPACE}"))
    assert low <= float(shown) <= high


def test_the_times_are_those_of_the_runs(tree):
    run = sampled(a_run())
    shown = cells(tree, "How long messages took, in ms")[0]
    assert (shown[0], shown[3]) == tuple(f"{run.response_ms(percent).median:,.2f}" for percent in (50, 99))
    assert shown[-2:] == ["100", "2"]  # two rounds of 50, and the last of each was not answered


def test_the_differences_are_those_of_the_comparison(tree):
    ratio = a_comparison().ratio("grpc", "text", 2)
    assert cells(tree, "What may be said of the differences")[0][0] == ratio.verdict


def test_each_number_of_the_summary_has_its_interval_and_how_sure_it_is(tree):
    (summary,) = [words(each) for each in tree.iter("section") if each.get("id") == "in-short"]
    assert re.search(r"text did 186 \[\d+ … \d+\] messages a second\.", summary)
    assert f"Beside text: {a_comparison().ratio('grpc', 'text', 2).verdict}." in summary
    assert "Exact: counted, not sampled" in summary


def test_the_summary_says_the_same_in_a_terminal_and_on_the_page(tree):
    (section,) = [each for each in tree.iter("section") if each.get("id") == "in-short"]
    compared = Comparison(tuple(map(sampled, a_comparison().runs)), HERE)
    title, *lines = report.summary_text(a_table(), compared, planted()).splitlines()
    assert title == "In short" and len(lines) > 8
    assert all(" ".join(line.split()) in words(section) for line in lines)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(comparison, "measure_all", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(OSError, match="file"):
        run_comparison(["text"], tmp_path / "file" / "out")
    done = subprocess.run(
        [sys.executable, "-m", "chatlab", "compare", "text", "--out", "/dev/null/out"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("chatlab compare: ")
    assert len(done.stderr.splitlines()) == 1


def test_what_is_sure_is_called_so():
    compared = Comparison((a_run(rates=(100, 101, 102)), a_run("grpc", rates=(50, 50, 51))), HERE)
    assert "Beside text: surely slower by a factor of 2 " in report.summary(a_table(), compared).body


def test_the_summary_tells_of_the_most_clients_that_were_not_the_limit(tree):
    assert a_comparison()["text", 4].generator_limited and "Rate, with 2 clients." in words(tree)


def test_what_the_generator_set_is_marked_and_left_out_with_the_reason(tree):
    assert [row[0] for row in cells(tree, "Messages per second, and processor time for each")] == [
        "186",
        "19",
        "186*",
        "186",
    ]
    assert cells(tree, "What may be said of the differences")[1][0] == "left out"
    assert "text with 4, generator-limited: the load generator used 95% of a processor" in words(tree)


def test_an_interval_of_one_round_is_not_invented(tmp_path):
    tree = ElementTree.fromstring(
        a_page(tmp_path, compared=Comparison((a_run(rates=(100,)), a_run("grpc", rates=(50,))), HERE))
    )
    assert cells(tree, "Messages per second, and processor time for each")[0][:2] == ["100", "?"]
    assert cells(tree, "What may be said of the differences")[0][0] == "one round cannot tell (−50 %)"


def test_the_environment_is_told_with_its_versions(tree):
    (where,) = [words(each) for each in tree.iter("section") if each.get("id") == "where-it-was-measured"]
    assert all(
        told in where
        for told in ("Python3.11.7", "grpcio1.85.1", "Linux 6.18", "a processor, 2 of its cores", "server on core 0")
    )


def test_who_is_left_out_of_the_open_loop_is_named_with_the_reason(tree):
    assert "grpc is left out: it has no codec." in words(tree)


def test_between_which_rates_the_limit_lies_is_said(tree):
    assert "text kept up with 800 requests a second, 99 % within 50 ms; did not keep up with 1,600." in words(tree)


def test_where_the_generator_was_always_late_nothing_is_said_of_the_server():
    def late_at(rate):
        return made_up("x", Workload(rate=rate), late_ns=9 * MS)

    section = report.under_load([search_saturation(late_at, Workload(rate=2), bound_ms=50)], {})
    assert "x: nothing can be said, because the generator was late at every rate." in section.body


# ---- what is not whole ------------------------------------------------------------------------------------------


def a_partial_comparison():
    """Interrupted in the second round: grpc with 4 clients was never measured."""
    runs = [a_run(rates=(100, 300)), a_run(clients=4), a_run("grpc", rates=(20,))]
    return Comparison(tuple(replace(run, partial=True) for run in runs), HERE)


def test_a_partial_comparison_has_a_whole_page_that_says_so(tmp_path):
    tree = ElementTree.fromstring(a_page(tmp_path, compared=a_partial_comparison()))
    assert [words(each) for each in tree.iter("h2")] == [each for each in SECTIONS if each != "Where the time goes"]
    assert words(tree.find(".//p[@class='warning']")).startswith("Partial: it was interrupted")
    assert "1 to 3 rounds, because it ended early" in words(tree) and "grpc with 4, not measured" in words(tree)


def test_a_busy_machine_is_told_above_everything(tmp_path):
    compared = Comparison((replace(a_run(), environment=(busy := replace(HERE, load=5.0))),), busy)
    tree = ElementTree.fromstring(a_page(tmp_path, compared=compared))
    assert "busy with other things (load 5.0 on 2 cores)" in words(tree.find(".//p[@class='warning']"))


def test_a_comparison_that_failed_has_a_whole_page_that_says_why(tmp_path):
    failed = {comparison.RATES: MeasurementFailed("the clients of grpc failed: lost.")}
    tree = ElementTree.fromstring(a_page(tmp_path, compared=a_partial_comparison(), failed=failed))
    assert [words(each) for each in tree.findall(".//p[@class='warning']")] == [
        "Partial: the rates could not be measured to the end: the clients of grpc failed: lost. "
        "Some numbers rest on fewer rounds than others, or are missing."
    ]
    assert "1 to 3 rounds, because it ended early" in words(tree) and "interrupted" not in words(tree)


def test_a_protocol_of_which_no_round_was_finished_is_named(tmp_path):
    compared = Comparison((replace(a_run(), partial=True),), HERE)
    assert "there are no rates of grpc." in a_page(
        tmp_path, compared=compared, failed={comparison.RATES: MeasurementFailed("lost")}
    )


def test_what_failed_before_a_round_was_finished_is_missing_and_the_rest_is_there(tmp_path):
    page = a_page(
        tmp_path, climbed=planted(), failed={comparison.RATES: MeasurementFailed("the clients of text failed: lost")}
    )
    tree = ElementTree.fromstring(page)
    assert [words(each) for each in tree.iter("h2")] == [
        each for each in SECTIONS if each not in (SECTIONS[7], SECTIONS[9])
    ]
    for title in SECTIONS[2], SECTIONS[4]:
        (section,) = [words(each) for each in tree.iter("section") if words(each.find("h2")) == title]
        assert section.endswith("The rates could not be measured to the end: the clients of text failed: lost.")
    assert cells(tree, "Bytes at the socket") and "In short" in page and not (tmp_path / "rates.json").exists()


def test_a_ladder_that_failed_at_once_is_a_section_that_says_why(tmp_path):
    tree = ElementTree.fromstring(
        a_page(tmp_path, failed={comparison.BREAKDOWN: MeasurementFailed("on the stage 'codec' of text: lost")})
    )
    assert [words(each) for each in tree.iter("h2")] == SECTIONS
    (section,) = [words(each) for each in tree.iter("section") if each.get("id") == "where-the-time-goes"]
    assert section.endswith("Where the time goes could not be measured to the end: on the stage 'codec' of text: lost.")


def test_a_whole_comparison_says_nothing_of_that(tree):
    assert "Partial" not in words(tree)


def test_protocols_are_compared_by_the_rounds_that_both_have():
    assert a_partial_comparison().ratio("grpc", "text", 2).rounds == 1


def test_a_single_protocol_is_beside_nobody(tmp_path):
    tree = ElementTree.fromstring(a_page(tmp_path, compared=Comparison((a_run(),), HERE)))
    assert (
        "Beside" not in words(tree) and cells(tree, "Messages per second, and processor time for each")[0][0] == "186"
    )


def test_what_share_a_rate_is_of_what_the_clients_can_is_told_where_it_is_known(tmp_path):
    compared = Comparison((replace(a_run(), capacity=1000.0), a_run("grpc")), HERE)
    rows = cells(
        ElementTree.fromstring(a_page(tmp_path, compared=compared)), "Messages per second, and processor time for each"
    )
    assert [row[-1] for row in rows] == ["20% of 1,000/s", "not known"]


def test_what_was_not_read_is_not_invented(tmp_path):
    tree = ElementTree.fromstring(
        a_page(tmp_path, compared=Comparison((a_run(cpu_s=None), a_run("grpc", cpu_s=None)), HERE))
    )
    assert cells(tree, "Messages per second, and processor time for each")[0][2:5] == ["not read", "", "not read"]
    assert "text was not measured." in words(tree)


# ---- measured ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_comparison_leaves_its_report_data_and_pictures_and_says_where(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["chatlab.measurement.breakdown"], "QUICK_ROUNDS", 1)
    written = run_comparison(["text"], tmp_path / "out", quick=True, rounds=1)
    assert [path.name for path in written] == [
        "report.html", "bytes.json", "rates.json", "rates.parquet", "breakdown.json", "code.json",
        "comparison.png", "bytes.png", "rates.png", "cost.png", "breakdown.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 1_000 for path in written)
    said = capsys.readouterr().out
    assert "Bytes at the socket" in said and f"The report: {written[0]}\n" in said
    assert said.index("1/4") < said.index("2/4") < said.index("In short") < said.index("Bytes at the socket")
    tree, measured = ElementTree.fromstring(written[0].read_text()), Comparison.load(tmp_path / "out" / "rates.parquet")
    shown = [row[0].rstrip("*") for row in cells(tree, "Messages per second, and processor time for each")]
    assert shown == [f"{run.rate.median:,.0f}" for run in measured.runs]
    assert "text is left out: a quick comparison does not try it." in words(tree)
    assert (
        "import chatlab.cli.comparison; chatlab.cli.comparison.run_comparison(['text'], quick=True, seed=0, rounds=1)"
        in words(tree)
    )


def test_a_rate_of_the_open_loop_is_tried_with_the_light_generator():
    first = next(comparison.attempts_of("text", replace(SWEPT, seconds=0.1)))
    assert (first.rate, first.run.generator, first.run.workload.rate) == (SWEEP[0], "light", SWEEP[0])


def test_whom_no_light_generator_speaks_is_left_out_with_the_reason():
    results = measured("external_adapter:Bazaar")
    comparison.measure_saturations(results, ["external_adapter:Bazaar"], 0)
    found, left_out, failed = results.saturations, results.left_out, results.errors
    assert (
        found == []
        and "bazaar has no codec, so the light generator cannot speak it" in left_out["bazaar"]
        and not failed
    )


def test_a_sweep_comes_back_from_its_file(folder):
    assert Saturation.load(folder / "sweep-1-text.json").protocol == "text"


def test_on_a_dark_page_pictures_are_dark_too_and_on_paper_they_are_not():
    style = report_page.page("A", [])
    rules = style.split("@media screen and (prefers-color-scheme: dark) {")[1].split("\n}")[0]
    assert "figure { background: var(--paper); }" in rules and "invert" in rules
    assert style.count("invert") == 1


def test_a_table_is_shown_as_it_is():
    assert "<caption" in report_page.wide_table(Table("A", ("x",), (("1",),)))


# ---- where the time goes, and how much code it takes ------------------------------------------------------------


def test_the_largest_part_of_a_request_is_told_in_short(tree):
    step = max((each for each in planted().costs() if each.protocol == "grpc"), key=lambda each: each.added.value)
    (section,) = [each for each in tree.iter("section") if words(each.find("h2")) == "In short"]
    assert f"grpc: the largest part is {step.stage.part}, {step.share.value * 100:.0f} %" in words(section)


def test_without_a_ladder_there_is_no_such_section(tmp_path):
    assert "Where the time goes" not in a_page(tmp_path)


def test_the_code_is_counted_on_the_page(tree):
    (row, *_) = cells(tree, "Code")
    assert row[-2:] == [f"{code().size(name, 'client').lines}" for name in ("text", "grpc")]


def test_who_has_no_ladder_is_left_out_of_it():
    results = measured("external_adapter:Bazaar")
    comparison.measure_breakdown(results, ["external_adapter:Bazaar"], quick=True, seed=0)
    assert (results.breakdown, results.interrupted, results.errors) == (None, False, {})


def test_a_ladder_that_was_interrupted_makes_the_page_partial(tmp_path):
    assert "Partial:" in a_page(tmp_path, climbed=replace(planted(), partial=True))


def test_an_interrupt_before_the_first_rung_ends_the_measuring_and_the_page_says_so(tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "cost_breakdown", interrupted)
    monkeypatch.setattr(comparison, "CLIENTS", (1,))
    page, *_ = run_comparison(["text"], tmp_path, rounds=1)
    assert (
        "Partial: it was interrupted" in page.read_text()
        and "text is left out: it was interrupted before." in page.read_text()
    )


def test_a_server_that_dies_in_the_open_loop_is_told_and_the_others_go_on(monkeypatch):
    def on_a_dead_server(protocol, load, **options):
        with chatlab.serve(protocol, where="process", name="to die") as server:
            os.kill(server.pid, signal.SIGKILL)
            return measure(server, load, **options)

    monkeypatch.setattr(comparison, "measure", on_a_dead_server)
    results = measured("text", "json")
    comparison.measure_saturations(results, ["text", "json"], 0)
    found, left_out, failed = results.saturations, results.left_out, results.errors
    assert (
        found == []
        and list(left_out) == ["text", "json"]
        and list(failed) == ["the open loop of text", "the open loop of json"]
    )
    assert str(failed["the open loop of text"]) == left_out["text"] and "the clients of text failed" in left_out["text"]


# ---- a server that dies in the midst ----------------------------------------------------------------------------

DEADLY = """
import os, signal, sys
from importlib import import_module
from chatlab import harness
from chatlab.cli import comparison, main as cli

measure = import_module("chatlab.measurement.rates")
comparison.QUICK_ROUNDS, import_module("chatlab.measurement.breakdown").QUICK_ROUNDS = 2, 1
progress_bar, left = measure.progress_bar, 4  # the first round has three

def deadly(*args):
    bar = progress_bar(*args).__enter__()
    update = bar.update
    def kill():
        global left
        left -= 1
        if not left:
            for server in harness._servers.values():
                os.kill(server.pid, signal.SIGKILL)
        update()
    bar.update = kill
    return bar

measure.progress_bar = deadly
import_module("chatlab.measurement.breakdown").QUICK_ROUNDS = 1
sys.exit(cli.main(["compare", "text", "--quick", "--out", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What was said by a `chatlab compare` whose server was killed in the second round, and its page."""
    out = tmp_path_factory.mktemp("killed")
    done = subprocess.run([sys.executable, "-c", DEADLY, out], capture_output=True, text=True, timeout=120)
    return done, ElementTree.fromstring((out / "report.html").read_text())


def test_the_command_fails_and_says_why(killed):
    done, _ = killed
    assert done.returncode == 1
    assert done.stderr.startswith(
        "chatlab compare: the report is partial: the rates could not be measured to the end: the clients of text"
    )
    assert "Traceback" not in done.stderr and "The rates could not be measured to the end: " in done.stdout


def test_its_page_has_what_was_finished_and_says_why_it_is_partial(killed):
    done, tree = killed
    assert [words(each) for each in tree.iter("h2")] == SECTIONS and "/report.html\n" in done.stdout
    warning = words(tree.find(".//p[@class='warning']"))
    assert warning.startswith("Partial: the rates could not be measured to the end: the clients of text failed: ")
    assert len(cells(tree, "Messages per second, and processor time for each")) == 3
    assert "1 to 2 rounds, because it ended early" in words(tree)


def test_where_every_worker_dies_there_is_a_page_of_what_needs_none(tmp_path, monkeypatch):
    start = LocalProcessExecutor.__init__

    def start_and_kill(own, *args):
        start(own, *args)
        for pid in own.pids:
            os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(LocalProcessExecutor, "__init__", start_and_kill)
    with pytest.raises(
        RuntimeError, match="the report is partial: the rates could .*; where the time goes could not"
    ) as failed:
        run_comparison(["text"], tmp_path, quick=True, rounds=1)
    assert isinstance(failed.value.__cause__, MeasurementFailed)
    tree = ElementTree.fromstring((tmp_path / "report.html").read_text())
    assert [words(each) for each in tree.iter("h2")] == [
        each for each in SECTIONS if each not in (SECTIONS[7], SECTIONS[9])
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes.json", "bytes.png", "code.json", "report.html"]


# ---- the same again ---------------------------------------------------------------------------------------------

#: Protocols as they are given, and as they are called.
HELPERS = Path(__file__).resolve().parents[1] / "helpers"
GIVEN = {"text": "text", "student": "student_codec:StudentCodec"}
AGAIN = report.Reproduce(GIVEN, (str(HELPERS),))


def done_again(line, folder):
    """What a line that a page prints does in a fresh process that knows nothing of our own modules."""
    *imports, act = line.split("; ")
    command = [sys.executable, "-c", "; ".join([*imports, f"print({act})"])] if imports else ["sh", "-c", line]
    environment = {**os.environ, "PYTHONPATH": str(Path(chatlab.__file__).parents[1])}
    environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment["PATH"]])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def line_of(section):
    return unescape(re.search("<code>(.*?)</code>", section.origin)[1])


def named_so(result, names=tuple(GIVEN)):
    """The result with these protocols in place of its own."""
    return replace(
        result,
        rows=tuple(replace(row, protocol=dict(zip(result.protocols, names))[row.protocol]) for row in result.rows),
    )


def test_the_call_on_the_page_counts_the_bytes_of_a_protocol_of_ones_own_again(tmp_path):
    line = line_of(report.bytes_on_the_wire(named_so(a_table()), "bytes.json", AGAIN))
    assert "student" in done_again(line, tmp_path)


def test_the_call_on_the_page_measures_the_ladder_of_a_protocol_of_ones_own_again(tmp_path):
    found = planted({"echo": 15, "student frames": 17, "student codec": 21, "student chat": 30})
    found = replace(found, workload=Workload(seconds=QUICK_SECONDS, seed=7))
    line = line_of(report.where_time_goes(found, "breakdown.json", AGAIN))
    assert "seed 7" in done_again(line, tmp_path)


def test_the_command_on_the_page_counts_the_code_of_a_protocol_of_ones_own_again(tmp_path):
    line = line_of(report.how_much_code(complexity(*GIVEN.values()), "code.json", AGAIN))
    assert line.endswith("chatlab complexity text student_codec:StudentCodec") and "student" in done_again(
        line, tmp_path
    )


@pytest.mark.parametrize("anchor", ["response-times", "throughput-and-response-times"])
def test_the_call_on_the_page_loads_the_rounds_that_lie_beside_it(anchor, tree, folder):
    (section,) = [each for each in tree.iter("section") if each.get("id") == anchor]
    assert "protocol" in done_again(words(next(section.iter("code"))), folder)


def test_a_module_of_ones_own_is_looked_for_where_it_was_found():
    assert comparison.module_folders(["text", "student_codec:StudentCodec", "external_adapter:Bazaar"]) == (
        str(HELPERS),
    )


def test_what_is_installed_is_found_by_everybody():
    assert comparison.module_folders(["text", "chatlab.codecs.text:TextCodec", "json:JSONDecoder"]) == ()


@pytest.mark.parametrize("seconds, quick", [(QUICK_SECONDS, ", quick=True"), (SECONDS, "")])
def test_the_call_that_measures_a_ladder_again_is_the_one_that_measured_it(seconds, quick):
    found = replace(planted(), workload=Workload(seconds=seconds, seed=7))
    assert f"chatlab.cost_breakdown(['text', 'grpc'], seed=7{quick})" in unescape(
        report.where_time_goes(found, "breakdown.json").origin
    )
