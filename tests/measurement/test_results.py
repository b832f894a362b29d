"""Results as values: compared, added, saved, printed; and a repr that does not change with the weather."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from sample_results import HERE, a_comparison, a_run, a_table

import chatlab
from chatlab.capture.traffic import Traffic
from chatlab.measurement.byte_counts import ByteTable
from chatlab.measurement.results.result import FORMAT
from chatlab.measurement.results.runs import Comparison, Round, Run

RESULTS = pytest.mark.parametrize(
    "result", [a_table(), a_run(), a_comparison()], ids=lambda result: type(result).__name__
)


@RESULTS
def test_a_result_is_frozen(result):
    with pytest.raises(FrozenInstanceError):
        result.environment = None


@RESULTS
def test_a_result_comes_back_from_its_file(result, tmp_path):
    assert type(result).load(result.save(tmp_path / "result.json")) == result


@RESULTS
def test_a_saved_result_is_json_that_says_what_it_is(result, tmp_path):
    saved = json.loads(result.save(tmp_path / "result.json").read_text())
    assert (saved["chatlab"], saved["format"]) == (type(result).__name__, FORMAT)


def test_another_kind_of_result_is_not_loaded(tmp_path):
    path = a_table().save(tmp_path / "bytes.json")
    with pytest.raises(ValueError, match=f"holds a ByteTable in format {FORMAT}, not a Comparison"):
        Comparison.load(path)


def test_what_is_no_result_is_not_loaded(tmp_path):
    (tmp_path / "x.json").write_text('{"hello": 1}')
    with pytest.raises(ValueError, match="is not a result that chatlab has saved"):
        Run.load(tmp_path / "x.json")


def test_the_reprs_hold_no_number_that_varies():
    assert repr(a_table()) == "<ByteTable of text, grpc: 2 operations>"
    assert repr(a_run()) == (
        "<Run of text: 2 clients in pairs, one message of 32 bytes on its way for each, "
        "for 0.4 s after 0.1 s of warm-up, seed 0, 3 rounds>"
    )
    assert repr(a_comparison()) == "<Comparison of text, grpc with 2, 4 clients, 3 rounds>"


def test_a_run_is_the_median_of_its_rounds_and_their_range():
    assert a_run().rate == (200, 100, 300)


def test_the_servers_time_is_told_for_one_message():
    assert a_run(rates=(100,)).server_cpu_us.median == pytest.approx(100)


def test_a_servers_time_that_was_not_read_is_not_invented():
    assert a_run(cpu_s=None).server_cpu_us is None
    assert "not read" in str(a_run(cpu_s=None))


def test_runs_of_the_same_load_add_up():
    assert len((a_run() + a_run()).rounds) == 6


def test_runs_of_different_loads_do_not():
    with pytest.raises(ValueError, match="not the same measurement"):
        a_run() + a_run(clients=4)


def test_where_the_clients_were_at_their_limit_the_run_says_so():
    assert a_run(busy=0.95).warning == "limited by the load generator, not by the server"
    assert a_run(busy=0.5).warning == ""


def test_where_the_machine_was_busy_the_environment_says_so():
    assert "busy with other things (load 5.0 on 2 cores)" in replace(HERE, load=5.0).warning
    assert HERE.warning == ""


def test_a_row_is_found_by_its_names():
    assert a_table()["grpc", "ping"].steady == Traffic(84, 64)
    assert a_comparison()["grpc", 2].rate.median == 20


@pytest.mark.parametrize("result, wrong, there", [
    (a_table(), ("grpc", "pong"), "'text' or 'grpc' with 'ping' or 'a<b'"), (a_comparison(), ("text", 3), "'text' or 'grpc' with 2 or 4"),
    (a_comparison(), "text", "'text' or 'grpc' with 2 or 4"),
])  # fmt: skip
def test_who_asks_for_what_is_not_there_is_told_what_there_is(result, wrong, there):
    with pytest.raises(KeyError, match=f"there is no .*; there is {there}"):
        result[wrong]


def test_what_cannot_be_compared_is_told_with_what_can():
    with pytest.raises(ValueError, match="'rate', 'server_cpu_us', 'p99_ms', not 'p50_ms'"):
        a_comparison().ratio("text", "grpc", 2, metric="p50_ms")


def test_what_cannot_be_drawn_is_told_with_what_can():
    with pytest.raises(
        ValueError, match="'rate', 'distribution', 'percentiles', 'time', 'processor', 'memory', not 'foo'"
    ):
        a_run().plot(metric="foo")


def test_the_servers_time_is_divided_by_what_was_done_while_it_was_read():
    run = replace(a_run(), rounds=(Round(1.0, 100, 0.01, 0.5, server_messages=50),))
    assert run.server_cpu_us.median == pytest.approx(200)


def test_a_servers_time_in_which_nothing_was_done_is_no_time_for_a_message():
    assert replace(a_run(), rounds=(Round(1.0, 100, 0.01, 0.5, server_messages=0),)).server_cpu_us is None


def test_a_table_prints_as_text():
    lines = str(a_table()).splitlines()
    assert lines[2].split() == "operation protocol up down together first up first down first together".split()
    assert lines[4].split() == ["ping", "text", "7", "9", "16", "6", "8", "14"]
    assert lines[5].split() == ["grpc", "84", "64", "148", "112", "64", "176"]


def test_a_comparison_prints_its_doubts():
    shown = str(a_comparison())
    assert "100 to 300" in shown
    assert "◂ generator-limited: limited by the load generator, not by the server." in shown


@RESULTS
def test_in_html_a_table_names_its_rows_and_columns(result):
    html = result._repr_html_()
    assert 'scope="col"' in html and 'scope="row"' in html and "<caption" in html


@RESULTS
def test_html_takes_its_colours_from_the_page(result):
    html = result._repr_html_()
    assert "var(--jp-content-font-color0, " in html and "#fff" not in html


def test_html_escapes_what_it_is_given():
    assert "a&lt;b" in a_table()._repr_html_() and "a<b" not in a_table()._repr_html_()


def test_html_says_what_the_text_says():
    for number in ("3,000", "148", "176"):
        assert number in str(a_table()) and number in a_table()._repr_html_()


def test_frames_have_a_row_for_each_number():
    assert list(a_table().to_frame().columns) == [
        "protocol",
        "operation",
        "first_up",
        "first_down",
        "steady_up",
        "steady_down",
    ]
    assert a_comparison().to_frame().shape == (12, 18)
    assert a_run().to_frame()["rate"].tolist() == [100, 300, 200]


def test_the_names_a_notebook_types():
    assert (chatlab.ByteTable, chatlab.Run, chatlab.Comparison) == (ByteTable, Run, Comparison)


def test_a_comparison_foretells_more_clients_by_the_scalability_law():
    rates = {1: (1000, 1010, 990), 2: (1900, 1910, 1890), 4: (3400, 3390, 3410), 8: (5600, 5610, 5590)}
    compared = Comparison(tuple(a_run(clients=n, rates=at, busy=0.1) for n, at in rates.items()), HERE)
    law = compared.scaling("text")
    assert law.clients == (1, 2, 4, 8)
    assert law(4) == pytest.approx(3400, rel=0.05)


def test_rates_that_the_clients_set_are_no_evidence_of_scaling():
    compared = Comparison(tuple(a_run(clients=n, rates=(n * 100,) * 3, busy=0.99) for n in (1, 2, 4)), HERE)
    with pytest.raises(ValueError, match="needs three numbers of clients"):
        compared.scaling("text")
