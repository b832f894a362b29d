"""Intervals that cover what they say, and verdicts that are right as often as they claim: on numbers whose truth is known."""

from math import log

import numpy as np
import pytest

from chatlab.measurement.stats.intervals import (
    Interval,
    effective_size,
    location,
    percentile,
    ratio,
    rounds_needed,
    samples_needed,
    student,
)

TRIALS = 1500
MARGIN = 3 * (0.05 * 0.95 / TRIALS) ** 0.5  # what chance may add to a share of 5 % in so many trials


def numbers(seed=0):
    return np.random.default_rng(seed)


def alike(chance, count, likeness):
    """Numbers around 0 whose neighbours are alike, as an AR(1) process."""
    fresh = chance.standard_normal(count + 500) * (1 - likeness**2) ** 0.5
    return np.convolve(fresh, likeness ** np.arange(300))[
        500 : count + 500
    ]  # what is further back is nothing: 0.9**300


# ---- an interval ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "interval, shown",
    [
        (Interval(1.1, 1.234, 1.38), "1.23 [1.10 .. 1.38]"),
        (Interval(11_000, 12_345.6, 13_000), "12,346 [11,000 .. 13,000]"),
        (Interval(-0.02, 0.0123, None), "0.0123 [−0.0200 .. ?]"),
        (Interval(30, float("inf"), float("inf")), "∞ [30.00 .. ∞]"),
    ],
)
def test_an_interval_prints_with_three_digits(interval, shown):
    assert str(interval) == shown


def test_an_interval_without_a_limit_excludes_nothing_there():
    assert 1e9 in Interval(1, 2, None) and 0 not in Interval(1, 2, None)


def test_an_interval_in_another_unit():
    assert Interval(1, 2, None) * 1000 == Interval(1000, 2000, None)


@pytest.mark.parametrize(
    "freedom, limit", [(1, 12.7062), (2, 4.3027), (4, 2.7764), (6, 2.4469), (9, 2.2622), (30, 2.0423)]
)
def test_students_limits_are_those_of_the_tables(freedom, limit):
    assert student(freedom, 0.95) == pytest.approx(limit, abs=1e-4)


# ---- samples ----------------------------------------------------------------------------------------------------


def test_a_pause_of_all_workers_is_seen_as_one_in_the_order_of_time():
    chance, when = numbers(), np.arange(400.0)
    workers = [chance.random(400) + 10 * ((when // 40) % 2) for _ in range(8)]
    assert effective_size(np.stack(workers, axis=1).ravel()) < 50


def test_independent_samples_are_worth_as_many_as_they_are():
    chance = numbers()
    assert 1750 < np.mean([effective_size(chance.random(2000)) for _ in range(30)]) <= 2000
    assert effective_size([1.0, 1.0, 1.0]) == 3


def test_samples_whose_neighbours_are_alike_are_worth_fewer():
    assert 300 < effective_size(alike(numbers(), 10_000, 0.9)) < 900  # in truth 526: a nineteenth


# ---- percentiles ------------------------------------------------------------------------------------------------


def test_a_percentile_is_a_sample():
    assert [percentile(range(1, 101), percent).value for percent in (1, 50, 99, 99.5)] == [1, 50, 99, 100]


@pytest.mark.parametrize("percent", [50, 90, 99])
@pytest.mark.parametrize("likeness", [0.0, 0.9])
def test_the_interval_of_a_percentile_covers_it(percent, likeness):
    chance = numbers(percent)
    truth = np.quantile(numbers(99).standard_normal(1_000_000), percent / 100)
    covered = sum(truth in percentile(alike(chance, 2000, likeness), percent) for _ in range(300))
    assert covered / 300 >= 0.90


def test_the_limits_are_on_either_side_and_are_samples():
    samples = numbers().exponential(1, 1000)
    for percent in (1, 10, 50, 90, 95):
        found = percentile(samples, percent)
        assert found.low < found.value < found.high and {found.low, found.value, found.high} <= set(samples)


def test_too_few_samples_for_a_percentile_leave_its_limit_open_and_say_why():
    found = percentile(numbers().random(100), 99)
    assert found.low is not None and found.high is None
    assert found.note.startswith("not enough samples for p99: 100") and found.note.endswith("it takes 368")


@pytest.mark.parametrize("percent, needed", [(50, 6), (99, 368), (99.9, 3688), (0.1, 3688)])
def test_how_many_samples_give_both_limits(percent, needed):
    assert samples_needed(percent) == needed
    samples = numbers().random(2 * max(needed, 20))
    assert None not in (percentile(samples, percent).low, percentile(samples, percent).high)


def test_one_stall_is_one_observation_however_many_samples_it_made_slow():
    samples = numbers().random(3000)
    samples[1000:1100] += 500
    found = percentile(samples, 99)
    assert found.value > 500 and found.high is None and "worth" in found.note


@pytest.mark.parametrize(
    "samples, says", [([1.0], "at least 2"), ([1.0, float("nan")], "not nan"), ([[1.0, 2.0]], "in a row")]
)
def test_what_is_no_series_is_refused(samples, says):
    with pytest.raises(ValueError, match=says):
        percentile(samples, 50)


def test_what_is_no_percentile_is_refused():
    with pytest.raises(ValueError, match="between 0 and 100, not 100"):
        percentile([1, 2, 3], 100)


# ---- rounds -----------------------------------------------------------------------------------------------------


def hiccups(chance, rounds):
    """A tenth of the rounds lose 30 %."""
    return 0.02 * chance.standard_normal(rounds) - 0.35 * (chance.random(rounds) < 0.1)


def drifting(chance, rounds):
    """The machine gets 30 % slower from the first round to the last; who comes first is chance."""
    slower, first = np.linspace(0, 0.3, 2 * rounds).reshape(rounds, 2), chance.random(rounds) < 0.5
    sides = np.where(first, slower.T, slower.T[::-1]) + 0.02 * chance.standard_normal((2, rounds))
    return sides[0], sides[1]


#: The logarithms of two sides' rounds that differ by nothing but noise.
NOISES = {
    "normal": lambda chance, rounds: 0.03 * chance.standard_normal((2, rounds)),
    "slow-downs": lambda chance, rounds: -0.03 * np.exp(chance.standard_normal((2, rounds))),
    "wild": lambda chance, rounds: 0.02 * chance.standard_t(2, (2, rounds)),
    "hiccups": lambda chance, rounds: (hiccups(chance, rounds), hiccups(chance, rounds)),
    "drifting": drifting,
}
EACH_NOISE = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES.keys())


def comparisons(noise, rounds, effect=0.0, trials=TRIALS):
    chance = numbers(rounds)
    for _ in range(trials):
        a, b = noise(chance, rounds)
        yield ratio(np.exp(a + log(1 + effect)), np.exp(b))


@EACH_NOISE
@pytest.mark.parametrize("rounds", [5, 7, 10])
def test_a_thing_compared_with_itself_differs_in_fewer_than_one_of_twenty(noise, rounds):
    called = sum(each.differs for each in comparisons(noise, rounds)) / TRIALS
    assert called <= 0.03  # called without "perhaps" it is one or two of a hundred: far from the promised 5 %


@EACH_NOISE
@pytest.mark.parametrize("rounds", [5, 7, 12])
def test_the_interval_of_a_ratio_covers_it(noise, rounds):
    covered = sum(1.1 in each.interval for each in comparisons(noise, rounds, effect=0.1)) / TRIALS
    assert 0.95 - MARGIN <= covered <= 0.99


def test_where_one_side_alone_is_restless_the_interval_covers_the_centre():
    chance, covered = numbers(9), 0
    noise = lambda count: -0.04 * chance.exponential(1, count) - 0.01 * chance.standard_normal(count)  # noqa: E731
    many = noise(400_000)
    truth = float(np.exp(np.median((many[::2] + many[1::2]) / 2)))
    for _ in range(TRIALS):
        covered += truth in ratio(np.exp(noise(8)), np.ones(8)).interval
    assert covered / TRIALS >= 0.95 - 2 * MARGIN


@pytest.mark.parametrize("noise, rounds", [(0.02, 5), (0.03, 7), (0.06, 15)])
def test_a_planted_tenth_is_found_in_four_of_five(noise, rounds):
    normal = lambda chance, rounds: noise * chance.standard_normal((2, rounds))  # noqa: E731
    assert sum(each.differs for each in comparisons(normal, rounds, 0.1, 500)) / 500 >= 0.8


@pytest.mark.parametrize("noise, effect", [(0.02, 0.05), (0.03, 0.1), (0.06, 0.1), (0.05, -0.1), (0.02, 0.2)])
def test_the_rounds_that_are_planned_suffice(noise, effect):
    rounds = rounds_needed(noise, effect)
    normal = lambda chance, rounds: noise * chance.standard_normal((2, rounds))  # noqa: E731
    assert sum(each.differs for each in comparisons(normal, rounds, effect, 800)) / 800 >= 0.77


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match="effect 0"):
        rounds_needed(0.03, 0)
    with pytest.raises(ValueError, match="not even 1000 rounds"):
        rounds_needed(0.5, 0.001)


def test_the_noise_of_rounds_is_that_of_one_side():
    chance = numbers()
    drift = np.linspace(0, 0.5, 500)
    found = ratio(*np.exp(drift + 0.03 * chance.standard_normal((2, 500))))
    assert found.noise == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize(
    "a, b, verdict",
    [
        ([111, 112, 113, 112, 111, 112, 114, 113], [100] * 8, "12 % faster (11 … 13 %)"),
        ([88, 87, 89, 88, 88, 89, 87, 88], [100] * 8, "12 % slower (12 … 13 %)"),
        ([97, 104, 99, 102, 100, 98, 103], [100] * 7, "no detectable difference (−2 … +3 %)"),
        ([101, 105, 103, 109, 102], [100] * 5, "perhaps 3 % faster (0 … 8 %)"),
        ([300, 310, 305, 290, 300, 300, 310, 300], [100] * 8, "faster by a factor of 3 (2.9 … 3.1)"),
        ([100.5, 100.6, 100.4, 100.5, 100.6, 100.5, 100.4, 100.5], [100] * 8, "0.5 % faster (0.4 … 0.5 %)"),
        ([160, 70, 130, 80, 150], [100] * 5, "cannot tell: between 0.7 and 1.8 times as much"),
        ([112], [100], "one round cannot tell (+12 %)"),
        ([1, 1, 1], [1, 1, 1], "no detectable difference (0 … 0 %)"),
    ],
)
def test_a_verdict_is_a_phrase(a, b, verdict):
    assert ratio(a, b).verdict == str(ratio(a, b)) == verdict


def test_where_nothing_can_be_said_there_is_no_difference_that_was_looked_for():
    wide, narrow = ratio([200, 60, 150, 50], [100] * 4), ratio([97, 104, 99, 102], [100] * 4)
    assert wide.is_inconclusive and not wide.differs and not narrow.is_inconclusive


def test_what_differs_is_never_vague():
    found = ratio([300, 900, 2700, 800, 1200, 500, 400, 700], [100] * 8)
    assert found.differs and not found.is_inconclusive


def test_a_verdict_of_costs_has_its_own_words():
    assert (
        ratio([120.0, 121, 119, 120], [100.0, 100, 100, 100], more="dearer", less="cheaper").verdict
        == "20 % dearer (19 … 21 %)"
    )


def test_the_other_way_round_is_the_inverse():
    a, b = numbers().random(9) + 1, numbers(1).random(9) + 1
    there, back = ratio(a, b).interval, ratio(b, a).interval
    assert (there.low, there.value, there.high) == pytest.approx((1 / back.high, 1 / back.value, 1 / back.low))


@pytest.mark.parametrize(
    "a, b, says", [([1, 2], [1], "in pairs, not 2 with 1"), ([0, 1], [1, 1], "above 0, not 0"), ([], [], "at least 1")]
)
def test_rounds_that_are_no_pairs_are_refused(a, b, says):
    with pytest.raises(ValueError, match=says):
        ratio(a, b)


def test_one_round_that_went_wrong_moves_the_centre_little():
    found = location([100, 101, 99, 100, 102, 98, 100, 20])
    assert 98 < found.value < 101


def test_one_round_has_no_interval():
    assert location([5.0]).low is None and "one round" in location([5.0]).note
