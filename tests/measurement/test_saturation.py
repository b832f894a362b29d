"""The search for the highest rate, on servers whose limit is known because they are made up; and once on a real one."""

import pytest
from matplotlib.figure import Figure
from sample_results import MS, made_up, served

from chatlab.measurement.errors import MeasurementFailed
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.results.environment import Environment
from chatlab.measurement.saturation import (
    Saturation,
    backlog_growth,
    reject_reason,
    saturate,
    search,
    search_saturation,
)

HERE = Environment("3.11.7", "Linux", "a processor", 2, ())


def made_up_at(rate, **how):
    return made_up("x", Workload(rate=rate), **how)


def test_a_rate_below_the_limit_is_sustained():
    assert reject_reason(made_up("x", Workload(rate=900)), bound_ms=20) == ""


@pytest.mark.parametrize("rate, how, reason", [
    (2000, dict(), "99 % within"), (1020, dict(), "the backlog grows by 20 "),
    (500, dict(answered=0.9), "450 of 500 requests were completed"), (500, dict(late_ns=5 * MS), "generator-limited: 1 %"),
], ids=["slow", "a backlog", "not answered", "late"])  # fmt: skip
def test_a_rate_above_the_limit_says_why_not(rate, how, reason):
    assert reason in reject_reason(made_up("x", Workload(rate=rate), **how), bound_ms=50)


def test_a_backlog_that_grows_is_measured():
    assert backlog_growth(served(1500)) == pytest.approx(500, rel=0.05)
    assert backlog_growth(served(500)) == 0


@pytest.mark.parametrize("first", [10, 900, 40_000])
def test_the_search_comes_close_from_wherever_it_begins(first):
    good, bad = search(lambda rate: rate <= 1000, first, resolution=1.05)
    assert good <= 1000 < bad and bad / good <= 1.05


def test_the_search_ends_where_nothing_is_too_much():
    assert search(lambda rate: True, 100_000)[1] is None


def test_a_saturation_knows_its_rate_and_its_reasons():
    found = search_saturation(made_up_at, Workload(rate=100), bound_ms=20)
    assert 900 <= found.rate <= 1010 and not found.generator_limited
    assert found.verdict == f"x sustains {found.rate:,.0f} requests a second, 99 % within 20 ms"
    assert found.to_frame()["sustained"].tolist() == sorted(found.to_frame()["sustained"], reverse=True)


def test_where_the_generator_gives_up_first_the_server_may_do_more():
    def late_at(rate):
        return made_up_at(rate, late_ns=9 * MS if rate > 300 else 0)

    found = search_saturation(late_at, Workload(rate=100), bound_ms=50)
    assert found.generator_limited and "sustains at least 300" in found.verdict


def test_a_saturation_comes_back_from_its_file(tmp_path):
    found = search_saturation(made_up_at, Workload(rate=400), bound_ms=50, resolution=2)
    assert Saturation.load(found.save(tmp_path / "x.json")) == found


def test_a_saturation_is_a_table_and_a_picture():
    found = search_saturation(made_up_at, Workload(rate=400), bound_ms=50, resolution=2)
    assert found.verdict in str(found) and "the backlog" not in found._repr_html_()[:100]
    assert found.plot(Figure().subplots()).get_ylabel().endswith("ms")


def test_a_search_that_fails_keeps_the_rates_that_were_tried():
    def failing_at(rate):
        if rate > 300:
            raise MeasurementFailed("the clients of x failed: lost")
        return made_up_at(rate)

    with pytest.raises(MeasurementFailed, match="lost") as failed:
        search_saturation(failing_at, Workload(rate=100), bound_ms=50)
    kept = failed.value.partial_result
    assert kept.partial and kept.rate == 200 and "as far as the search came" in kept.verdict


def test_a_search_needs_an_open_loop():
    with pytest.raises(ValueError, match="the search begins with a rate"):
        saturate("text", Workload())


def test_a_real_server_is_tried():
    load = Workload(clients=2, rate=20_000, seconds=0.1, warm_up_s=0.05, operations="ping")
    found = saturate("text", load, bound_ms=10_000, resolution=10_000)
    assert found.attempts[0].run.workload.rate == 20_000 and len(found.attempts) >= 2
