from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.media.quality import (
    Bursts,
    burst_ratio,
    delay_impairment,
    loss_impairment,
    opinion,
    rating,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("r", "mos"),
    [(100, 4.5), (93.2, 4.41), (90, 4.34), (80, 4.03), (70, 3.6), (60, 3.1), (50, 2.58)],
)
def test_the_opinion_for_a_rating_is_that_of_g_107_annex_b(r: float, mos: float) -> None:
    assert opinion(r) == pytest.approx(mos, abs=0.007)


@pytest.mark.parametrize(
    ("percent", "impairment"), [(0, 0.0), (1, 3.64), (2, 7.01), (3, 10.14), (5, 15.78), (10, 27.07)]
)
def test_random_loss_of_g_711_with_concealment_costs_what_g_113_says(
    percent: float, impairment: float
) -> None:
    assert loss_impairment(percent / 100) == pytest.approx(impairment, abs=0.01)


@pytest.mark.parametrize(("ms", "impairment"), [(0, 0.0), (100, 0.0), (200, 3.04), (400, 24.1)])
def test_delay_costs_nothing_up_to_100_ms_and_much_from_400(ms: float, impairment: float) -> None:
    assert delay_impairment(ms) == pytest.approx(impairment, abs=0.05)


def test_nothing_lost_and_no_delay_is_the_best_that_a_telephone_has() -> None:
    assert rating(0, 0) == 93.2
    assert opinion(rating(0, 0)) == pytest.approx(4.41, abs=0.005)


def test_losses_in_a_row_cost_more_than_single_ones() -> None:
    single = burst_ratio(0.02, lost=20, runs=20)
    clustered = burst_ratio(0.02, lost=20, runs=4)
    assert single == 1.0
    assert clustered == pytest.approx(4.9)
    assert rating(0.02, 50, clustered) < rating(0.02, 50, single)


@given(st.floats(-1, 2), st.floats(0, 1e5), st.floats(0, 1e3))
def test_an_opinion_is_between_1_and_4_5_whatever_was_measured(
    loss: float, delay_ms: float, ratio: float
) -> None:
    assert 1 <= opinion(rating(loss, delay_ms, ratio)) <= 4.5


def test_a_burst_is_told_from_the_gaps_around_it() -> None:
    bursts = Bursts()
    bursts.lose(received=100, lost=5)
    figures = bursts.figures(received=100, packet_ms=20)
    assert figures.burst_density == 1.0
    assert figures.burst_ms == pytest.approx(100)
    assert figures.gap_density == 0.0
    assert figures.gap_ms == pytest.approx(4000, abs=21)


def test_losses_with_few_packets_between_are_one_burst() -> None:
    bursts = Bursts()
    bursts.lose(received=200, lost=1)
    for _ in range(9):
        bursts.lose(received=3, lost=1)
    figures = bursts.figures(received=200, packet_ms=20)
    # Ten losses among 37 packets.
    assert figures.burst_ms == pytest.approx(37 * 20, abs=21)
    assert figures.burst_density == pytest.approx(10 / 37, abs=0.02)
    assert bursts.runs == 10


def test_single_losses_far_apart_are_no_burst() -> None:
    bursts = Bursts()
    for _ in range(5):
        bursts.lose(received=99, lost=1)
    figures = bursts.figures(received=99, packet_ms=20)
    assert (figures.burst_density, figures.burst_ms) == (0.0, 0.0)
    assert figures.gap_density == pytest.approx(5 / 599)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 3000))), st.integers(0, 500))
def test_figures_are_shares_and_times_whatever_is_lost(
    losses: list[tuple[int, int]], rest: int
) -> None:
    bursts = Bursts()
    for received, lost in losses:
        bursts.lose(received, lost)
    figures = bursts.figures(rest, 20)
    assert 0 <= figures.burst_density <= 1
    assert 0 <= figures.gap_density <= 1
    assert figures.burst_ms >= 0
    assert figures.gap_ms >= 0
