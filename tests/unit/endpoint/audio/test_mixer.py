from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.audio.frame import Samples
from endpoint.audio.mixer import Mixer, MixRoute

pytestmark = pytest.mark.unit


def frames(*values: int) -> Samples:
    return np.array([[v] * 160 for v in values], dtype=np.int16)


def test_in_a_room_everybody_hears_the_others_and_not_himself() -> None:
    room = [MixRoute(a, b) for a in range(3) for b in range(3) if a != b]
    mixed = Mixer(room, 3).mix(frames(1, 20, 300))
    assert mixed[:, 0].tolist() == [320, 301, 21]
    assert mixed.shape == (3, 160)


def test_a_sum_clips_and_never_wraps() -> None:
    mixer = Mixer([MixRoute(0, 0), MixRoute(1, 0)], 1)
    assert mixer.mix(frames(30000, 30000)).max() == 32767
    assert mixer.mix(frames(-30000, -30000)).min() == -32768


def test_gain_is_in_db() -> None:
    mixer = Mixer([MixRoute(0, 0, -6.0206), MixRoute(0, 1, 6.0206)], 2)
    assert mixer.mix(frames(1000))[:, 0].tolist() == [500, 2000]


def test_rooms_do_not_hear_each_other_and_a_sink_without_a_route_hears_nothing() -> None:
    mixer = Mixer([MixRoute(3, 4), MixRoute(0, 1), MixRoute(1, 0)], 5)
    assert mixer.mix(frames(1, 2, 3, 4))[:, 0].tolist() == [2, 1, 0, 0, 4]
    assert not Mixer([], 2).mix(frames(9)).any()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), unique=True, max_size=20),
    st.lists(st.integers(-32768, 32767), min_size=5, max_size=5),
)
def test_mixing_is_adding_up_the_routes(routes: list[tuple[int, int]], values: list[int]) -> None:
    mixed = Mixer([MixRoute(a, b) for a, b in routes], 5).mix(frames(*values))
    for sink in range(5):
        total = sum(values[a] for a, b in routes if b == sink)
        assert (mixed[sink] == max(-32768, min(32767, total))).all()
