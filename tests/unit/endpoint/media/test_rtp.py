from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.media.rtp import HEADER, Forward, Order, RtpPacket, Sender, Source, parse_rtp

pytestmark = pytest.mark.unit


def rtp(
    payload: bytes = b"audio", *, flags: int = 0x80, kind: int = 0, extra: bytes = b""
) -> memoryview:
    return memoryview(HEADER.pack(flags, kind, 7, 160, 99) + extra + payload)


def parsed(datagram: memoryview) -> RtpPacket:
    packet = parse_rtp(datagram)
    assert packet is not None
    return packet


class TestPackets:
    def test_a_plain_packet(self) -> None:
        packet = parsed(rtp(kind=0x80 | 101))
        assert (packet.marker, packet.payload_type) == (True, 101)
        assert (packet.sequence, packet.timestamp, packet.ssrc) == (7, 160, 99)
        assert bytes(packet.payload) == b"audio"

    def test_contributors_extension_and_padding_are_not_payload(self) -> None:
        extra = bytes(8) + b"\xbe\xde\x00\x01abcd"
        packet = parsed(rtp(b"audio\x00\x00\x03", flags=0x80 | 0x20 | 0x10 | 2, extra=extra))
        assert bytes(packet.payload) == b"audio"

    @pytest.mark.parametrize(
        "datagram",
        [
            memoryview(b""),
            memoryview(b"\x80"),
            rtp(b""),
            rtp(flags=0x40),
            rtp(flags=0x8F),
            rtp(b"abc", flags=0x90),
            rtp(b"\x00\x00\x00\xff", flags=0x90),
            rtp(b"abc\x00", flags=0xA0),
            rtp(b"abc\x09", flags=0xA0),
        ],
    )
    def test_what_is_cut_short_or_not_rtp_is_none(self, datagram: memoryview) -> None:
        assert parse_rtp(datagram) is None

    @given(st.binary(max_size=64))
    def test_noise_never_raises(self, noise: bytes) -> None:
        packet = parse_rtp(memoryview(noise))
        assert packet is None or packet.payload


class TestSource:
    def test_counts_survive_the_wrap(self) -> None:
        source = Source()
        for number in range(65530, 65550):
            source.receive(1, number & 0xFFFF)
        assert (source.expected, source.lost) == (20, 0)
        assert source.highest == 65549

    def test_a_gap_is_lost_until_the_late_packet_comes(self) -> None:
        source = Source()
        orders = [source.receive(1, number) for number in (10, 11, 14, 12)]
        assert orders == [Order.RESTARTED, Order.NEXT, Order.NEXT, Order.OLD]
        assert (source.expected, source.lost) == (5, 1)

    def test_a_packet_seen_twice_counts_as_received_as_the_standard_has_it(self) -> None:
        source = Source()
        for number in (1, 2, 2, 3):
            source.receive(1, number)
        assert (source.expected, source.lost) == (3, -1)

    def test_one_stray_packet_is_doubted_and_two_in_a_row_begin_anew(self) -> None:
        source = Source()
        source.receive(1, 100)
        assert source.receive(1, 30000) is Order.DOUBTFUL
        assert source.receive(1, 101) is Order.NEXT
        assert source.receive(1, 40000) is Order.DOUBTFUL
        assert source.receive(1, 40001) is Order.RESTARTED
        assert source.expected == 3

    def test_another_ssrc_begins_anew_and_keeps_the_total(self) -> None:
        source = Source()
        for number in (1, 2, 4):
            source.receive(1, number)
        assert source.receive(2, 60000) is Order.RESTARTED
        assert source.receive(2, 60001) is Order.NEXT
        assert (source.expected, source.lost) == (6, 1)

    def test_an_even_stream_has_no_jitter_and_an_uneven_one_has(self) -> None:
        even, uneven = Source(), Source()
        for number in range(1000):
            even.measure(number * 160, 5 + number * 0.02)
            uneven.measure(number * 160, 5 + number * 0.02 + number % 2 * 0.005)
        assert even.jitter == pytest.approx(0, abs=1e-3)
        assert uneven.jitter == pytest.approx(40, abs=1)

    def test_jitter_is_a_time_whatever_the_clock(self) -> None:
        source = Source()
        for number in range(1000):
            source.measure(number * 160, 5 + number * 0.02 + number % 2 * 0.005)
        assert source.jitter_ms == pytest.approx(5, abs=0.2)
        source.use_clock(48000)
        assert source.jitter_ms == pytest.approx(5, abs=0.2)
        for number in range(1000):
            source.measure(number * 960, 50 + number * 0.02)
        assert source.jitter_ms < 0.1

    def test_a_jump_of_the_timestamp_is_no_jitter(self) -> None:
        source = Source()
        source.measure(0, 5.0)
        source.measure(0xFFFFFF00, 5.02)
        source.measure(0x60, 5.04)
        assert source.jitter < 100

    @given(st.permutations(range(40)), st.sets(st.integers(0, 39)))
    def test_expected_less_lost_is_what_came(self, order: list[int], missing: set[int]) -> None:
        source = Source()
        source.receive(1, 65520)
        came = [65521 + n for n in order if n not in missing]
        for number in came:
            source.receive(1, number & 0xFFFF)
        assert source.expected - source.lost == len(came) + 1


class TestSender:
    def test_frames_follow_each_other_and_the_first_has_the_marker(self) -> None:
        sender = Sender()
        packets = [parsed(memoryview(sender.frame(0, bytes(160), 1 + n / 50))) for n in range(3)]
        assert [p.marker for p in packets] == [True, False, False]
        assert [p.sequence - packets[0].sequence for p in packets] == [0, 1, 2]
        assert [p.timestamp - packets[0].timestamp for p in packets] == [0, 160, 320]
        assert {p.ssrc for p in packets} == {sender.ssrc}
        assert (sender.packets, sender.octets) == (3, 480)

    def test_after_a_pause_the_timestamp_has_moved_on_with_time(self) -> None:
        sender = Sender()
        first = parsed(memoryview(sender.frame(0, bytes(160), 1.0)))
        sender.interrupt()
        second = parsed(memoryview(sender.frame(0, bytes(160), 3.0)))
        assert second.marker
        assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 16000
        assert second.sequence == first.sequence + 1

    def test_another_source_within_a_packet_still_gets_a_later_timestamp(self) -> None:
        sender = Sender()
        first = parsed(memoryview(sender.frame(0, bytes(160), 1.0)))
        sender.interrupt()
        second = parsed(memoryview(sender.frame(0, bytes(160), 1.001)))
        assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 160

    @pytest.mark.parametrize("late_s", [0.02, 0.09])
    def test_frames_that_a_busy_machine_makes_up_for_are_no_pause(self, late_s: float) -> None:
        sender = Sender()
        times = [1.0, 1.02, *[1.04 + late_s] * round(late_s / 0.02 + 1)]
        packets = [parsed(memoryview(sender.frame(0, bytes(160), now))) for now in times]
        steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(packets)]
        assert steps == [160] * len(steps)
        assert [p.marker for p in packets] == [True] + [False] * len(steps)

    def test_time_that_a_busy_machine_let_go_has_passed(self) -> None:
        """Else whatever comes later would be late by as much, to the end of the call."""
        sender = Sender()
        packets = [parsed(memoryview(sender.frame(0, bytes(160), at))) for at in (1.0, 1.25, 1.27)]
        steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(packets)]
        assert steps == [2000, 160]
        assert [p.marker for p in packets] == [True, True, False]

    def test_time_that_was_let_go_after_several_delays_has_passed_too(self) -> None:
        """Each delay alone is made up for; what the clock lets go is their sum.

        Timestamps that fall behind look to a jitter buffer as a path that becomes longer and
        longer: it drops what comes until it has measured anew, over and over.
        """
        sender, now, due = Sender(), 1.0, 1.0
        first = parsed(memoryview(sender.frame(0, bytes(160), now)))
        behind = []
        for delay_s in [0.11, 0.06] * 20:
            now += delay_s
            due += 0.02
            if now - due > 0.1:  # as `FrameClock` does
                due = now
            packet = parsed(memoryview(sender.frame(0, bytes(160), now)))
            media_s = ((packet.timestamp - first.timestamp) & 0xFFFFFFFF) / 8000
            behind.append(now - 1.0 - media_s)
        assert max(behind) <= 0.1 + 0.001

    def test_an_event_keeps_one_timestamp_and_audio_goes_on_after_it(self) -> None:
        sender = Sender()
        audio = parsed(memoryview(sender.frame(0, bytes(160), 1.0)))
        event = [
            parsed(memoryview(sender.event(101, b"1234", begins=n == 0, now=1.02 + n / 50)))
            for n in range(5)
        ]
        after = parsed(memoryview(sender.frame(0, bytes(160), 1.12)))
        assert {(e.timestamp - audio.timestamp) & 0xFFFFFFFF for e in event} == {160}
        assert [e.marker for e in event] == [True, False, False, False, False]
        assert (after.timestamp - event[0].timestamp) & 0xFFFFFFFF == 800
        numbers = [p.sequence for p in (audio, *event, after)]
        assert numbers == list(range(numbers[0], numbers[0] + 7))

    def test_a_segment_of_an_event_begins_where_the_one_before_ended(self) -> None:
        sender = Sender()
        first, second = (
            parsed(memoryview(sender.event(101, b"1234", begins=not n, now=1.0, advance=n)))
            for n in (0, 0xFFFF)
        )
        after = parsed(memoryview(sender.frame(0, bytes(160), 10.0)))
        assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 0xFFFF
        assert not second.marker
        assert (after.timestamp - first.timestamp) & 0xFFFFFFFF == 9 * 8000

    def test_another_clock_goes_on_from_the_last_timestamp(self) -> None:
        sender = Sender()
        first = parsed(memoryview(sender.frame(0, bytes(160), 1.0)))
        sender.use_clock(48000)
        second = parsed(memoryview(sender.frame(111, b"opus", 1.02, 960)))
        third = parsed(memoryview(sender.frame(111, b"opus", 1.04, 960)))
        assert second.marker
        assert (second.timestamp - first.timestamp) & 0xFFFFFFFF in (959, 960)
        assert (third.timestamp - second.timestamp) & 0xFFFFFFFF == 960
        assert (sender.timestamp_at(2.04) - sender.timestamp) & 0xFFFFFFFF == 48000

    def test_the_media_clock_runs_on_between_packets(self) -> None:
        sender = Sender()
        sender.frame(0, bytes(160), 1.0)
        assert (sender.timestamp_at(2.0) - sender.timestamp) & 0xFFFFFFFF == 8000


class TestForward:
    def test_a_route_continues_the_sender_s_numbers(self) -> None:
        sender = Sender()
        sender.frame(0, bytes(160), 1.0)
        forward = Forward(sender, {0: 0})
        forward.anchor(65535, 65535, 4_000_000_000, 1.02)
        assert (65535 + forward.sequence_shift) & 0xFFFF == (sender.sequence + 1) & 0xFFFF
        out = (4_000_000_000 + forward.timestamp_shift) & 0xFFFFFFFF
        assert (out - sender.timestamp) & 0xFFFFFFFF in (159, 160)

    def test_what_was_late_before_the_route_was_set_is_known(self) -> None:
        forward = Forward(Sender(), {0: 0})
        source = Source()
        source.receive(1, 2)
        forward.anchor(2, source.extended(2), 0, 1.0)
        assert forward.precedes_anchor(source.extended(1))
        assert forward.precedes_anchor(source.extended(65535))
        source.receive(1, 4)
        assert not forward.precedes_anchor(source.extended(3))


def test_a_source_tells_its_losses_in_a_row_as_one_burst() -> None:
    source = Source()
    for number in (*range(65500, 65530), *range(65533, 65536), *range(40)):
        source.receive(7, number)
    assert (source.lost, source.bursts.runs, source.since_loss) == (3, 1, 43)
    assert source.bursts.figures(source.since_loss, 20).burst_ms == pytest.approx(60)
