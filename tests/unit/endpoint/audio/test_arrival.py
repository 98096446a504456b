from __future__ import annotations

import pytest

from endpoint.audio.arrival import Arrivals, DelaySettings

pytestmark = pytest.mark.unit


def arrivals() -> Arrivals:
    return Arrivals(8000, DelaySettings())


def feed(watched: Arrivals, first: int, last: int, late_s: float = 0.0) -> None:
    for number in range(first, last):
        watched.receive(number * 160, number * 0.02 + late_s)


def test_jitter_is_that_of_rfc_3550() -> None:
    watched = arrivals()
    watched.receive(0, 0.0)
    watched.receive(160, 0.036)
    assert watched.jitter_ms == pytest.approx(1.0)
    watched.receive(320, 0.056)
    assert watched.jitter_ms == pytest.approx(1.0 - 1.0 / 16)


def test_the_target_grows_at_once_and_shrinks_slowly_to_the_least() -> None:
    watched = arrivals()
    feed(watched, 0, 50)
    watched.receive(50 * 160, 50 * 0.02 + 0.1)
    assert watched.target_ms == pytest.approx(110)
    feed(watched, 51, 150)
    assert watched.target_ms == pytest.approx(110)
    targets = []
    for second in range(3, 15):
        feed(watched, second * 50, second * 50 + 50)
        targets.append(watched.target_ms)
    assert targets == sorted(targets, reverse=True)
    assert targets[1] > 60
    assert targets[-1] == 20


def test_the_target_stays_in_its_bounds() -> None:
    watched = arrivals()
    assert watched.target_ms == 40
    feed(watched, 0, 10)
    watched.receive(10 * 160, 5.0)
    assert watched.target_ms == 200


def test_a_packet_that_others_overtook_counts_when_it_is_not_alone() -> None:
    watched = arrivals()
    feed(watched, 0, 30)
    watched.receive(20 * 160, 20 * 0.02 + 0.18)
    assert watched.target_ms == pytest.approx(70)
    watched.receive(22 * 160, 22 * 0.02 + 0.17)
    assert watched.target_ms == pytest.approx(180)


def test_a_path_that_became_longer_is_the_new_measure_after_ten_seconds() -> None:
    watched = arrivals()
    feed(watched, 0, 50)
    feed(watched, 50, 600, late_s=0.05)
    assert watched.delay_ms(600 * 160, 600 * 0.02 + 0.05) == pytest.approx(0)
