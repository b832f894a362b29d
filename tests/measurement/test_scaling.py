"""The universal scalability law, fitted to rates that were made by it, and to rates that were not."""

from math import inf, sqrt

import numpy as np
import pytest

from chatlab.measurement.stats.scaling import scaling

CLIENTS = (1, 2, 4, 8, 16)


def law(n, alone=1000.0, contention=0.05, coherency=0.002):
    return alone * n / (1 + contention * (n - 1) + coherency * n * (n - 1))


def rates(chance=None, noise=0.03, rounds=5, clients=CLIENTS, off=0.0, **parameters):
    """What each number of clients did in each round; a round has noise of its own that all its numbers share."""
    chance = chance or np.random.default_rng(0)
    shared = 2 / 3 * noise * chance.standard_normal(rounds)
    wrong = off * chance.standard_normal(len(clients))
    return [
        law(n, **parameters) * np.exp(shared + w + noise * chance.standard_normal(rounds))
        for n, w in zip(clients, wrong)
    ]


def test_without_noise_the_law_is_found():
    found = scaling(CLIENTS, rates(noise=0))
    assert found.lambda_.value == pytest.approx(1000)
    assert (found.contention.value, found.coherency.value) == pytest.approx((0.05, 0.002))
    assert found.peak.value == pytest.approx(sqrt(0.95 / 0.002))
    assert found(64) == pytest.approx(law(64)) and found.misfit < 1e-6


@pytest.mark.parametrize(
    "contention, coherency, off",
    [(0.05, 0.002, 0), (0.1, 0, 0), (0.02, 0.0005, 0), (0, 0.01, 0), (0.3, 0.01, 0), (0.05, 0.002, 0.03)],
)
def test_the_intervals_cover_the_truth(contention, coherency, off):
    """In the last case by no more than four of five, because there it is no such law that made the rates."""
    chance, covered, trials = np.random.default_rng(1), np.zeros(4), 20
    true = dict(contention=contention, coherency=coherency)
    peak = sqrt((1 - contention) / coherency) if coherency else inf
    for _ in range(trials):
        found = scaling(CLIENTS, rates(chance, off=off, **true))
        rate = found.predict(32).rate
        covered += [
            contention in found.contention,
            coherency in found.coherency,
            peak in found.peak,
            law(32, **true) in rate,
        ]
    assert (covered / trials).min() >= (0.9 if not off else 0.8)


def test_a_seed_gives_the_same_again():
    assert scaling(CLIENTS, rates(), seed=3) == scaling(CLIENTS, rates(), seed=3)


def test_the_order_of_the_numbers_does_not_matter():
    assert scaling(CLIENTS[::-1], rates()[::-1]) == scaling(CLIENTS, rates())


def test_a_round_that_went_wrong_moves_the_law_little():
    measured = rates(noise=0.01)
    before = scaling(CLIENTS, measured)
    measured[2][1] *= 0.4
    after = scaling(CLIENTS, measured)
    assert after(16) == pytest.approx(before(16), rel=0.03)


def test_within_what_was_measured_a_prediction_needs_no_warning():
    found = scaling(CLIENTS, rates()).predict(6)
    assert found.warning == "" and law(6) in found.rate


def test_beyond_what_was_measured_a_prediction_warns():
    assert scaling(CLIENTS, rates()).predict(32).warning.startswith("extrapolated: 1 to 16 clients were measured")


def test_far_beyond_it_is_a_guess():
    assert "a guess, extrapolated" in str(scaling(CLIENTS, rates()).predict(1000))


def test_the_farther_the_less_certain():
    found = scaling(CLIENTS, rates())
    widths = [(each.high - each.low) / each.value for n in (8, 32, 128) for each in [found.predict(n).rate]]
    assert widths == sorted(widths)


def test_a_peak_that_was_seen_is_told():
    found = scaling((1, 2, 4, 8, 16, 32), rates(clients=(1, 2, 4, 8, 16, 32), coherency=0.01))
    assert (
        found.verdict.startswith("the rate is highest with") and "beyond" not in found.verdict and found.warnings == ()
    )


def test_a_peak_that_is_only_foreseen_is_told_as_such():
    assert "beyond the 16 that were measured" in scaling(CLIENTS, rates(coherency=0.002, noise=0.01)).verdict


def test_without_coherency_no_peak_is_seen():
    found = scaling(CLIENTS, rates(contention=0.1, coherency=0))
    assert found.peak.high == inf and found.verdict.startswith("no peak is seen up to 16 clients")


@pytest.mark.filterwarnings("error")
def test_a_coherency_of_next_to_nothing_has_no_peak_at_millions_of_clients():
    for seed in range(20):
        found = scaling(CLIENTS, rates(np.random.default_rng(seed), contention=0.1, coherency=0))
        assert found.peak.value == inf or found.peak.value <= 1000 * 16
    exact = scaling(CLIENTS, rates(noise=0, contention=0.1, coherency=1e-15))
    assert exact.verdict == "no peak is seen up to 16 clients, and none is within reach"


def test_where_contention_and_coherency_cannot_be_told_apart_it_says_so():
    found = scaling((1, 2, 3, 4), rates(clients=(1, 2, 3, 4), contention=0.02, coherency=0.002))
    assert any("do not tell contention from coherency" in warning for warning in found.warnings)


def test_three_numbers_of_clients_test_nothing():
    assert any("nothing tests it" in warning for warning in scaling((1, 4, 16), rates(clients=(1, 4, 16))).warnings)


def test_one_round_is_too_little():
    assert any("one round" in warning for warning in scaling(CLIENTS, rates(rounds=1)).warnings)


def rates_of(*typical, noise=0.02, rounds=8):
    chance = np.random.default_rng(4)
    return [each * np.exp(noise * chance.standard_normal(rounds)) for each in typical]


def test_rates_that_follow_another_law_are_not_believed():
    found = scaling(CLIENTS, rates_of(1000, 2000, 4000, 4000, 4000))
    assert found.misfit > 0.1 and "do not predict with it" in str(found)


def test_more_than_linear_is_beyond_the_law():
    assert "with 2 clients each does more than with 1" in str(scaling(CLIENTS, rates_of(1000, 2400, 4700, 9000, 17000)))


@pytest.mark.parametrize(
    "clients, measured, says",
    [
        ((1, 2), [[1], [2]], "three numbers of clients or more"),
        ((1, 2, 2), [[1]] * 3, "each once"),
        ((1, 2, 4), [[1], [2], [3, 4]], "the same rounds, not \\[1, 1, 2\\]"),
        ((1, 2, 4), [[1], [0], [3]], "above 0, not 0.0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(clients, measured, says):
    with pytest.raises(ValueError, match=says):
        scaling(clients, measured)


def test_fewer_than_one_client_is_no_question():
    with pytest.raises(ValueError, match="1 or more, not 0"):
        scaling(CLIENTS, rates()).predict(0)
