from __future__ import annotations

import pytest

from endpoint.audio.dtmf import DtmfDetector
from endpoint.audio.resample import resample
from endpoint.media.telephone_event import (
    Digit,
    DigitSender,
    EventPacket,
    EventReceiver,
    Pause,
    Step,
    ToneFrame,
)

pytestmark = pytest.mark.unit


def event(code: int, duration: int, *, end: bool = False) -> memoryview:
    return memoryview(bytes([code, 0x80 | 10 if end else 10]) + duration.to_bytes(2))


def press(code: int, start: int) -> list[tuple[int, memoryview]]:
    """The packets of one key press of 100 ms."""
    updates = [(start, event(code, n * 160)) for n in range(1, 5)]
    return updates + [(start, event(code, 800, end=True))] * 3


def received(
    receiver: EventReceiver, packets: list[tuple[int, memoryview]], now: float = 1.0
) -> list[Digit]:
    return [d for start, payload in packets for d in receiver.receive(start, payload, now)]


class TestReceiver:
    def test_a_press_is_one_digit_told_at_its_first_end(self) -> None:
        receiver = EventReceiver()
        assert received(receiver, press(5, 0)[:4]) == []
        assert receiver.is_open
        assert received(receiver, press(5, 0)[4:]) == [Digit("5", 100)]
        assert not receiver.is_open

    def test_the_same_key_twice_is_two_digits(self) -> None:
        packets = press(9, 0) + press(9, 1280)
        assert received(EventReceiver(), packets) == [Digit("9", 100), Digit("9", 100)]

    @pytest.mark.parametrize("lost", [[0], [0, 1, 2, 3], [4, 5], [1, 3, 6], [0, 1, 2, 3, 4, 5]])
    def test_a_digit_survives_the_loss_of_its_packets(self, lost: list[int]) -> None:
        packets = [p for n, p in enumerate(press(11, 4_294_967_000)) if n not in lost]
        assert received(EventReceiver(), packets) == [Digit("#", 100)]

    def test_where_every_end_is_lost_the_next_digit_tells_the_last(self) -> None:
        packets = press(1, 0)[:4] + press(2, 1280)
        assert received(EventReceiver(), packets) == [Digit("1", 80), Digit("2", 100)]

    def test_where_nothing_follows_time_tells(self) -> None:
        receiver = EventReceiver()
        received(receiver, press(1, 0)[:4], now=1.0)
        assert receiver.expire(1.1) == []
        assert receiver.expire(1.16) == [Digit("1", 80)]
        assert receiver.expire(2.0) == []

    def test_late_ends_tell_nothing_again(self) -> None:
        receiver = EventReceiver()
        received(receiver, press(1, 0) + press(2, 1280))
        assert received(receiver, press(1, 0)) == []
        assert received(receiver, press(2, 1280)) == []

    def test_an_event_longer_than_its_field_goes_on_in_segments(self) -> None:
        packets = [
            (0, event(3, 0xFFFF)),
            (0xFFFF, event(3, 8000)),
            (0xFFFF, event(3, 16000, end=True)),
        ]
        assert received(EventReceiver(), packets) == [Digit("3", (0xFFFF + 16000) // 8)]

    @pytest.mark.parametrize("lost", [0, 1, 2])
    def test_segments_are_one_digit_whichever_packet_is_lost(self, lost: int) -> None:
        packets = [(0, event(3, 65000)), (0, event(3, 0xFFFF)), (0xFFFF, event(3, 8000))]
        packets = [p for n, p in enumerate(packets) if n != lost]
        packets += [(0xFFFF, event(3, 16000, end=True))] * 3
        assert received(EventReceiver(), packets) == [Digit("3", (0xFFFF + 16000) // 8)]

    def test_after_a_restart_of_the_sender_its_timestamps_are_new(self) -> None:
        receiver = EventReceiver()
        received(receiver, press(1, 50_000))
        receiver.restart()
        assert received(receiver, press(1, 50_000)) == [Digit("1", 100)]

    @pytest.mark.parametrize("payload", [b"", b"\x01\x80", bytes([16, 0x80, 0, 9]), b"\xff" * 9])
    def test_other_events_and_short_payloads_are_nothing(self, payload: bytes) -> None:
        assert EventReceiver().receive(0, memoryview(payload), 1.0) == []


def taken(sender: DigitSender) -> tuple[list[Step], list[str]]:
    steps, finished = [], []
    while sender:
        step, digits = sender.take()
        steps.append(step)
        if digits:
            finished.append(digits)
    return steps, finished


class TestSender:
    def test_what_is_sent_is_heard_as_it_was_meant(self) -> None:
        sender = DigitSender()
        sender.add_events("1234#", 100, 60)
        steps, finished = taken(sender)
        receiver, start, heard = EventReceiver(), 0, []
        for number, step in enumerate(steps):
            if isinstance(step, EventPacket):
                start = number * 160 if step.begins else start
                heard += receiver.receive(start, memoryview(step.payload), 1.0)
        assert heard == [Digit(d, 100) for d in "1234#"]
        assert finished == ["1234#"]

    def test_an_event_is_updated_every_20_ms_and_ended_three_times(self) -> None:
        sender = DigitSender()
        sender.add_events("7", 100, 60)
        steps, _ = taken(sender)
        packets = [s for s in steps if isinstance(s, EventPacket)]
        assert [p.begins for p in packets] == [True] + [False] * 6
        durations = [int.from_bytes(p.payload[2:]) for p in packets]
        assert durations == [160, 320, 480, 640, 800, 800, 800]
        assert [bool(p.payload[1] & 0x80) for p in packets] == [False] * 4 + [True] * 3
        # 100 ms of the digit, 60 ms of the gap.
        assert len(steps) == 8
        assert isinstance(steps[-1], Pause)

    @pytest.mark.parametrize("sample_rate_hz", [8000, 16000])
    def test_in_band_digits_can_be_heard_in_the_audio(self, sample_rate_hz: int) -> None:
        sender = DigitSender()
        sender.add_tones("159D", 80, 60, sample_rate_hz)
        steps, finished = taken(sender)
        detector, heard = DtmfDetector(), []
        for step in steps:
            assert isinstance(step, ToneFrame)
            assert len(step.samples) == sample_rate_hz // 50
            heard += detector.receive_audio(resample(step.samples, sample_rate_hz, 8000))
        assert heard == list("159D")
        assert finished == ["159D"]

    def test_events_of_another_clock_last_as_long(self) -> None:
        sender = DigitSender()
        sender.add_events("3", 100, 60, 48000)
        steps, _ = taken(sender)
        packets = [s for s in steps if isinstance(s, EventPacket)]
        assert [int.from_bytes(p.payload[2:]) for p in packets][:5] == [960, 1920, 2880, 3840, 4800]
        receiver = EventReceiver()
        heard = [d for p in packets for d in receiver.receive(7, memoryview(p.payload), 1.0, 48000)]
        assert heard == [Digit("3", 100)]

    @pytest.mark.parametrize("duration_ms", [1340, 1365, 1380, 3000, 8000])
    def test_a_digit_longer_than_its_field_is_sent_in_segments(self, duration_ms: int) -> None:
        """RFC 4733 §2.5.1.3: each is full before the next one, and the last one alone ends."""
        sender = DigitSender()
        sender.add_events("5", duration_ms, 60, 48000)
        packets = [s for s in taken(sender)[0] if isinstance(s, EventPacket)]
        receiver, start, heard, full = EventReceiver(), 1000, [], 0
        for packet in packets:
            assert packet.advance in (0, full)
            start += packet.advance
            duration = int.from_bytes(packet.payload[2:])
            full = duration if duration == 0xFFFF else 0
            heard += receiver.receive(start, memoryview(packet.payload), 1.0, 48000)
        assert heard == [Digit("5", -(-duration_ms // 20) * 20)]
        assert [p.begins for p in packets] == [True] + [False] * (len(packets) - 1)
        assert [bool(p.payload[1] & 0x80) for p in packets[-4:]] == [False, True, True, True]
        assert len(packets) <= -(-duration_ms // 20) + 3

    def test_what_is_added_later_follows(self) -> None:
        sender = DigitSender()
        sender.add_events("1", 40, 0)
        sender.add_events("2", 40, 0)
        steps, finished = taken(sender)
        assert finished == ["1", "2"]
        assert [s.payload[0] for s in steps if isinstance(s, EventPacket) and s.begins] == [1, 2]
        assert not sender
