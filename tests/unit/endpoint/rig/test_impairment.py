"""A bad network, without sockets: what comes out of a path, and when."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.rig.impairment import Counts, Impairment, Path

pytestmark = pytest.mark.unit

SIZE = 172
"""Octets of 20 ms of G.711."""


def packet(number: int, size: int = SIZE) -> bytes:
    return number.to_bytes(4) + bytes(size - 4)


def send(path: Path, count: int, *, size: int = SIZE, start: int = 0) -> list[tuple[float, int]]:
    """A packet each 20 ms. Returns when which of them arrived, in the order of arrival."""
    arrivals = [
        (at, int.from_bytes(arrived[:4]))
        for number in range(start, start + count)
        for at, arrived in path.send(packet(number, size), number * 0.02)
    ]
    return sorted(arrivals)


def numbers(arrivals: Sequence[tuple[float, int]]) -> list[int]:
    return [number for _, number in arrivals]


def delays_ms(arrivals: Sequence[tuple[float, int]]) -> list[float]:
    return [1000 * (at - 0.02 * number) for at, number in arrivals]


def test_a_good_network_does_nothing() -> None:
    path = Path(Impairment(), 1)
    assert send(path, 100) == [(number * 0.02, number) for number in range(100)]
    assert path.counts == Counts(received=100, delivered=100)


def test_so_many_are_lost_and_all_others_are_in_order() -> None:
    path = Path(Impairment(loss=0.05), 1)
    arrived = numbers(send(path, 10_000))
    assert arrived == sorted(set(arrived))
    assert path.counts.lost == 10_000 - len(arrived)
    assert 400 <= path.counts.lost <= 600


def test_a_burst_takes_all_of_its_time() -> None:
    path = Path(Impairment(burst_ms=200, burst_every_ms=2000), 1)
    arrived = numbers(send(path, 10_000))
    gaps = [after - before - 1 for before, after in itertools.pairwise(arrived)]
    bursts = [gap for gap in gaps if gap]
    # 200 s with a burst every 2.2 s; two may follow each other without a packet between them.
    assert 70 <= len(bursts) <= 115
    assert set(bursts) <= {9, 10, 11, 20, 21}
    assert sorted(bursts)[len(bursts) // 2] == 10


def test_jitter_is_even_around_the_delay_and_may_reorder() -> None:
    arrivals = send(Path(Impairment(delay_ms=100, jitter_ms=80), 1), 5000)
    delays = delays_ms(arrivals)
    assert 20 <= min(delays) < 22
    assert 178 < max(delays) <= 180
    assert sum(delays) / len(delays) == pytest.approx(100, abs=3)
    assert numbers(arrivals) != sorted(numbers(arrivals))


def test_what_is_held_back_is_overtaken() -> None:
    path = Path(Impairment(reorder=0.1, reorder_ms=30), 1)
    arrivals = send(path, 5000)
    overtaken = sum(a > b for a, b in itertools.pairwise(numbers(arrivals)))
    assert 400 <= path.counts.reordered <= 600
    assert 0 < overtaken <= path.counts.reordered
    assert len(arrivals) == 5000


def test_some_come_twice() -> None:
    path = Path(Impairment(duplicate=0.05), 1)
    arrived = numbers(send(path, 5000))
    assert len(arrived) - 5000 == path.counts.duplicated
    assert 200 <= path.counts.duplicated <= 300
    assert sorted(set(arrived)) == list(range(5000))


def test_a_narrow_line_lets_its_rate_through_and_its_queue_is_bounded() -> None:
    """80 kbit/s where 64 go."""
    path = Path(Impairment(rate_kbit_s=64, queue_ms=100), 1)
    arrivals = send(path, 5000)
    assert len(arrivals) / 5000 == pytest.approx(0.8, abs=0.01)
    assert numbers(arrivals) == sorted(numbers(arrivals))
    assert max(delays_ms(arrivals)) <= 100 + 25
    assert path.counts.overflowed == 5000 - len(arrivals)
    # A stream that fits waits for itself alone.
    arrivals = send(Path(Impairment(rate_kbit_s=64), 1), 500, size=100)
    assert delays_ms(arrivals) == pytest.approx([16.0] * 500)


def test_what_is_too_large_is_lost() -> None:
    path = Path(Impairment(mtu=1200), 1)
    assert len(send(path, 10, size=1172)) == 10
    assert send(path, 10, size=1173) == []
    assert path.counts.too_large == 10


def test_a_hole_closes_again() -> None:
    path = Path(Impairment(), 1)
    assert len(send(path, 10)) == 10
    path.impairment = Impairment(blackhole=True)
    assert send(path, 10, start=10) == []
    path.impairment = Impairment()
    assert len(send(path, 10, start=20)) == 10


def test_another_setting_for_a_while_does_not_change_what_befalls_the_packets_after_it() -> None:
    lossy, quiet = Path(Impairment(loss=0.2), 1), Path(Impairment(loss=0.2), 1)
    quiet.impairment = Impairment(duplicate=0.5, delay_ms=10, jitter_ms=10)
    send(lossy, 100)
    send(quiet, 100)
    quiet.impairment = lossy.impairment
    assert send(lossy, 100, start=100) == send(quiet, 100, start=100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 1.1},
        {"duplicate": -0.1},
        {"delay_ms": 10, "jitter_ms": 20},
        {"burst_ms": -1},
        {"burst_every_ms": 0},
        {"rate_kbit_s": 0},
    ],
)
def test_what_can_not_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its only one
        Impairment(**wrong)


SHARES = st.floats(0, 1)
TIMES = st.floats(0, 500)


@st.composite
def impairments(draw: st.DrawFn) -> Impairment:
    delay_ms = draw(TIMES)
    return Impairment(
        loss=draw(SHARES),
        burst_ms=draw(TIMES),
        burst_every_ms=draw(st.floats(10, 5000)),
        delay_ms=delay_ms,
        jitter_ms=draw(st.floats(0, delay_ms)),
        reorder=draw(SHARES),
        duplicate=draw(SHARES),
        rate_kbit_s=draw(st.none() | st.floats(1, 1000)),
        queue_ms=draw(TIMES),
        mtu=draw(st.integers(0, 3000)),
        blackhole=draw(st.booleans()),
    )


Traffic = list[tuple[float, int, Impairment | None]]
TRAFFIC = st.lists(
    st.tuples(st.floats(0, 0.3), st.integers(0, 2000), st.none() | impairments()), max_size=60
)


def carry(traffic: Traffic, seed: int) -> tuple[list[list[tuple[float, bytes]]], Counts]:
    path, now, out = Path(Impairment(), seed), 0.0, []
    for wait_s, size, changed in traffic:
        now += wait_s
        if changed is not None:
            path.impairment = changed
        arrivals = path.send(bytes(size), now)
        assert all(at >= now - 1e-9 and arrived == bytes(size) for at, arrived in arrivals)
        assert len(arrivals) <= 2
        out.append(arrivals)
    return out, path.counts


@given(TRAFFIC, st.integers(0, 2**32))
def test_whatever_the_settings_every_packet_is_accounted_for_and_a_run_repeats(
    traffic: Traffic, seed: int
) -> None:
    out, counts = carry(traffic, seed)
    assert counts.received == len(traffic)
    assert counts.delivered == sum(map(len, out))
    ended = counts.delivered + counts.lost + counts.too_large + counts.overflowed
    assert counts.received + counts.duplicated == ended
    assert carry(traffic, seed) == (out, counts)
