from __future__ import annotations

import random

import pytest

from endpoint.audio.jitter import JitterBuffer

pytestmark = pytest.mark.unit

SILENCE = 0xFF
START = 0xFFFFFFFF - 1000
"""Near the wrap, so that every test crosses it."""


def packet(number: int) -> tuple[int, bytes]:
    return (START + 160 * number) & 0xFFFFFFFF, bytes([number % 200 + 1]) * 160


def audible(taken: list[bytes]) -> list[int]:
    return [frame[0] for frame in taken if frame[0] != SILENCE]


def test_what_goes_in_comes_out_after_the_delay() -> None:
    buffer = JitterBuffer(SILENCE, 320)
    taken = []
    for number in range(20):
        buffer.put(*packet(number))
        taken.append(buffer.take(160))
    assert taken[:2] == [bytes([SILENCE]) * 160] * 2
    assert taken[2:] == [packet(number)[1] for number in range(18)]


def test_packets_in_the_wrong_order_come_out_in_the_right_one() -> None:
    buffer = JitterBuffer(SILENCE, 480)
    taken = []
    for number in (0, 2, 1, 3, 5, 4, 7, 6, 8):
        buffer.put(*packet(number))
        taken.append(buffer.take(160))
    taken += [buffer.take(160) for _ in range(3)]
    assert audible(taken) == list(range(1, 10))


def test_a_lost_packet_is_silence_in_its_place() -> None:
    buffer = JitterBuffer(SILENCE, 160)
    taken = []
    for number in range(5):
        if number != 2:
            buffer.put(*packet(number))
        taken.append(buffer.take(160))
    taken.append(buffer.take(160))
    assert [frame[0] for frame in taken] == [SILENCE, 1, 2, SILENCE, 4, 5]


def test_packets_of_other_sizes_make_the_same_audio() -> None:
    buffer = JitterBuffer(SILENCE, 320)
    sound = bytes(random.Random(1).choices(range(200), k=1600))
    for start in range(0, 1600, 80):
        buffer.put(START + start, sound[start : start + 80])
    taken = b"".join(buffer.take(160) for _ in range(12))
    assert taken[320:] == sound


def test_one_late_packet_is_dropped_and_counted() -> None:
    buffer = JitterBuffer(SILENCE, 160)
    for number in (0, 1, 2, 3):
        buffer.put(*packet(number))
        buffer.take(160)
    buffer.put(*packet(1))
    assert buffer.late_packets == 1
    assert buffer.take(160) == packet(3)[1]


def test_a_stream_that_falls_behind_for_good_is_followed() -> None:
    buffer = JitterBuffer(SILENCE, 320)
    for number in range(10):
        buffer.put(*packet(number))
        buffer.take(160)
    for _ in range(10):
        buffer.take(160)
    taken = []
    for number in range(10, 30):
        buffer.put(*packet(number))
        taken.append(buffer.take(160))
    assert audible(taken)[-5:] == [packet(number)[1][0] for number in range(23, 28)]


def test_a_jump_of_the_timestamp_is_followed_and_leaves_nothing_of_before() -> None:
    buffer = JitterBuffer(SILENCE, 320)
    for number in range(5):
        buffer.put(*packet(number))
    for jump in (1_000_000, 3_000_000_000):
        buffer.put((START + jump) & 0xFFFFFFFF, b"\x07" * 160)
        if jump > 1 << 31:
            for late in range(1, 3):
                buffer.put((START + jump + 160 * late) & 0xFFFFFFFF, b"\x07" * 160)
        taken = [buffer.take(160) for _ in range(6)]
        assert set(audible(taken)) == {7}


def test_a_far_end_with_a_fast_clock_does_not_pile_up_delay() -> None:
    buffer = JitterBuffer(SILENCE, 320)
    number = 0
    for tick in range(3000):
        buffer.put(*packet(number))
        number += 1
        if tick % 100 == 0:
            buffer.put(*packet(number))
            number += 1
        taken = buffer.take(160)
    behind = (number - 1) % 200 + 1 - taken[0]
    assert 0 <= behind % 200 <= 6


def test_half_a_second_without_packets_makes_it_idle() -> None:
    buffer = JitterBuffer(SILENCE, 320)
    assert not buffer.is_active
    buffer.put(*packet(0))
    assert buffer.is_active
    for _ in range(40):
        buffer.take(160)
    assert not buffer.is_active
    assert buffer.take(160) == bytes([SILENCE]) * 160


def test_another_codec_begins_with_its_own_silence() -> None:
    buffer = JitterBuffer(SILENCE, 160)
    buffer.put(*packet(0))
    buffer.reset(0xD5)
    assert buffer.take(3) == b"\xd5" * 3


def test_an_absurd_packet_is_ignored() -> None:
    buffer = JitterBuffer(SILENCE, 160)
    buffer.put(0, bytes(5000))
    assert not buffer.is_active


def test_what_waits_can_be_looked_at_and_stays() -> None:
    buffer = JitterBuffer(SILENCE, 320)
    assert buffer.rest() == b""
    for number in range(3):
        buffer.put(*packet(number))
    for _ in range(3):
        buffer.take(160)
    assert buffer.rest() == packet(1)[1] + packet(2)[1]
    assert buffer.take(160) == packet(1)[1]
