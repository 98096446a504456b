from __future__ import annotations

import itertools

import pytest

from endpoint.media import messages as m
from endpoint.media.rtp import RtpPacket
from tests.integration.endpoint.media.conftest import PhoneMaker, Studio, Talking
from tests.integration.endpoint.media.phone import PCMA, PCMU, Phone, events

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


def assert_one_legal_sender(phone: Phone, least_step: int = 160) -> None:
    """One SSRC, every number once, time never backward, a marker where the source changes."""
    packets = [each.packet for each in phone.heard]
    assert len({p.ssrc for p in packets}) == 1
    for a, b in itertools.pairwise(packets):
        assert (b.sequence - a.sequence) & 0xFFFF == 1
        step = (b.timestamp - a.timestamp) & 0xFFFFFFFF
        assert least_step <= step < 80000 or (step == 0 and a.payload_type == b.payload_type)
        assert step in (0, len(a.payload)) or b.marker


async def test_two_parties_hear_each_other_and_nobody_else(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, c = await phone("A"), await phone("B"), await phone("C")
    for each in (a, b, c):
        await studio.connect(each)
    await studio.route("AB", "BA")
    await a.until_packets(30)
    assert (a.hears(), b.hears()) == ({"B"}, {"A"})
    assert not c.heard
    assert_one_legal_sender(a)


async def test_hold_plays_music_at_once_and_retrieve_gives_the_voice_back(
    studio: Studio, talking: Talking
) -> None:
    a, b = talking
    await b.until_packets(25)
    await studio.route("mB")
    before, held_at = b.count(), a.count()
    await b.until_packets(25)
    assert b.hears() == {"moh"}
    # Not one packet of the old route after the new one was in force.
    assert all(each.packet.payload_type == 0 for each in b.heard[before:])
    assert a.count() == held_at
    await studio.route("AB", "BA")
    await b.until_packets(25)
    assert (a.hears(), b.hears()) == ({"B"}, {"A"})
    assert_one_legal_sender(a)
    assert_one_legal_sender(b)


async def test_the_payload_is_not_touched_and_numbers_are_mapped_for_each_side(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A", PCMU, events(101))
    b = await phone("B", m.PayloadType(0, "PCMU"), events(96))
    await studio.connect(a, talks=False)
    await studio.connect(b, talks=False)
    await studio.route("AB", "BA")
    sent = [bytes([n]) * 160 for n in range(5)]
    for payload in sent:
        a.send_audio(studio.to("A"), payload)
    a.send_packet(studio.to("A"), 101, b"\x05\x8a\x03\x20")
    await b.until(lambda: len(b.heard) == 6)
    packets = [each.packet for each in b.heard]
    assert [bytes(p.payload) for p in packets[:5]] == sent
    assert (packets[5].payload_type, bytes(packets[5].payload)) == (96, b"\x05\x8a\x03\x20")
    assert (await studio.until_notice(m.DigitReceived))[0] == m.DigitReceived("A", "5", 100)


async def test_contributing_sources_and_extensions_are_taken_off(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(a, talks=False)
    await studio.connect(b, talks=False)
    await studio.route("AB")
    a.send_audio(studio.to("A"))
    extended = bytes([0x92, 0]) + (a.sequence + 1).to_bytes(2) + a.timestamp.to_bytes(4)
    extended += a.ssrc.to_bytes(4) + bytes(8) + b"\xbe\xde\x00\x01abcd" + b"\x33" * 160
    a.rtp.sendto(extended, studio.to("A"))
    await b.until(lambda: len(b.heard) == 2)
    assert bytes(b.heard[1].packet.payload) == b"\x33" * 160


async def test_a_loss_stays_a_gap_and_a_late_packet_keeps_its_place(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(a, talks=False)
    await studio.connect(b, talks=False)
    await studio.route("AB")
    start, clock = a.sequence, a.timestamp
    for number in (0, 1, 4, 3, 5):
        a.sequence = (start + number) & 0xFFFF
        a.timestamp = (clock + number * 160) & 0xFFFFFFFF
        a.send_packet(studio.to("A"), 0, bytes([number]) * 160)
    await b.until(lambda: len(b.heard) == 5)
    packets = [each.packet for each in b.heard]

    def place(packet: RtpPacket) -> tuple[int, int]:
        first = packets[0]
        return (
            (packet.sequence - first.sequence) & 0xFFFF,
            (packet.timestamp - first.timestamp) & 0xFFFFFFFF,
        )

    assert [place(p) for p in packets] == [(n, n * 160) for n in (0, 1, 4, 3, 5)]
    counted = await studio.statistics("A")
    assert (counted.packets_expected, counted.packets_lost) == (6, 1)


async def test_a_far_end_that_begins_anew_goes_on_for_whom_it_is_heard_by(talking: Talking) -> None:
    a, b = talking
    await b.until_packets(10)
    a.ssrc, a.sequence, a.timestamp = 4711, 5, 6
    await b.until_packets(10)
    assert_one_legal_sender(b)


async def test_nothing_goes_to_a_far_end_that_wants_nothing(
    studio: Studio, talking: Talking
) -> None:
    a, b = talking
    await b.until_packets(3)
    await studio.link.request(b.remote("B", sending=False))
    count = b.count()
    await a.until_packets(10)
    assert b.count() == count
    await studio.link.request(b.remote("B", host="0.0.0.0"))  # how old phones say hold
    await a.until_packets(5)
    assert b.count() == count
    await studio.link.request(b.remote("B"))
    await b.until_packets(10)
    assert_one_legal_sender(b)


async def test_a_re_invite_without_a_change_leaves_no_trace_in_the_audio(
    studio: Studio, talking: Talking
) -> None:
    a, b = talking
    await b.until_packets(10)
    start = len(b.heard)
    await studio.link.request(b.remote("B"))
    await studio.link.request(a.remote("A"))
    await b.until_packets(10)
    assert not any(each.packet.marker for each in b.heard[start:])
    assert_one_legal_sender(b)


async def test_a_far_end_that_moves_is_followed_when_the_signalling_says_so(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, moved = await phone("A"), await phone("B"), await phone("C")
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await b.until_packets(5)
    await studio.link.request(moved.remote("B"))
    moved.talk_to(studio.addresses["B"])
    await moved.until_packets(30)
    count = b.count()
    await a.until_packets(30)
    assert b.count() == count
    assert (moved.hears(), a.hears()) == ({"A"}, {"C"})


async def test_a_far_end_that_does_not_listen_harms_nobody(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, gone = await phone("A"), await phone("B"), await phone("C")
    for each in (a, b, gone):
        await studio.connect(each, talks=each is not gone)
    # Its socket is closed: what is sent to it comes back as an ICMP error.
    await studio.link.request(gone.remote("C", rtp_port=9, rtcp_port=9))
    await studio.route("AB", "AC", "BA")
    await b.until_packets(30)
    assert b.hears() == {"A"}
    assert (await studio.statistics("C")).packets_sent >= 30


async def test_one_voice_may_be_heard_by_several(studio: Studio, phone: PhoneMaker) -> None:
    a, b, c = await phone("A"), await phone("B"), await phone("C", PCMU)
    for each in (a, b, c):
        await studio.connect(each, talks=each is a)
    await studio.route("AB", "AC")
    await c.until_packets(30)
    assert (b.hears(), c.hears()) == ({"A"}, {"A"})
    assert_one_legal_sender(b)
    assert_one_legal_sender(c)


async def test_a_codec_that_changes_in_mid_call_is_still_heard(
    studio: Studio, phone: PhoneMaker
) -> None:
    """Both were negotiated at A; B takes mu-law alone, so A-law must be mixed for it."""
    a, b = await phone("A", PCMU, PCMA), await phone("B", PCMU)
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await b.until_packets(10)
    a.speak(PCMA)
    await b.until_packets(40)
    assert b.hears() == {"A"}
    assert (await studio.statistics("A")).codec == "PCMA"
    a.speak(PCMU)
    await b.until_packets(40)
    assert b.hears() == {"A"}
    assert_one_legal_sender(b)


async def test_statistics_tell_what_came_and_how(studio: Studio, talking: Talking) -> None:
    a, b = talking
    await b.until_packets(60)
    counted = await studio.statistics("A")
    assert counted.packets_received == counted.packets_expected >= 60
    assert counted.packets_lost == counted.packets_foreign == counted.packets_malformed == 0
    assert counted.received_level_dbov == pytest.approx(-15.0, abs=1.0)
    assert counted.codec == "PCMU"
    assert counted.remote == f"127.0.0.1:{a.port}"
    assert set(await studio.until_notice(m.FirstPacket, 2)) == {
        m.FirstPacket("A"),
        m.FirstPacket("B"),
    }
