from __future__ import annotations

import itertools

import pytest

from endpoint.audio.tones import level_of
from endpoint.errors import MediaError
from endpoint.media import messages as m
from tests.integration.endpoint.media.conftest import PhoneMaker, Studio
from tests.integration.endpoint.media.phone import PCMA, PCMU, events
from tests.integration.endpoint.media.test_forwarding import assert_one_legal_sender

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


async def test_two_parties_without_a_common_codec_hear_each_other(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A", PCMU), await phone("B", PCMA)
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await b.until_packets(40)
    assert (a.hears(), b.hears()) == ({"B"}, {"A"})
    assert level_of(b.audio()) == pytest.approx(-15.0, abs=0.5)
    assert {each.packet.payload_type for each in b.heard} == {8}
    assert_one_legal_sender(b)


async def test_in_a_conference_everybody_hears_all_others_and_not_himself(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, c = await phone("A"), await phone("B", PCMA), await phone("C")
    for each in (a, b, c):
        await studio.connect(each)
    await studio.route("AB", "BA", "AC", "CA", "BC", "CB")
    await b.until_packets(40)
    assert (a.hears(), b.hears(), c.hears()) == ({"B", "C"}, {"A", "C"}, {"A", "B"})


async def test_from_two_to_three_and_back_every_sender_stays_legal(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, c = await phone("A"), await phone("B"), await phone("C")
    for each in (a, b, c):
        await studio.connect(each)
    await studio.route("AB", "BA")
    await b.until_packets(10)
    await studio.route("AB", "BA", "AC", "CA", "BC", "CB")
    await b.until_packets(30)
    assert b.hears() == {"A", "C"}
    await studio.route("AB", "BA", "mC")
    await b.until_packets(30)
    assert (a.hears(), b.hears(), c.hears()) == ({"B"}, {"A"}, {"moh"})
    for each in (a, b, c):
        assert_one_legal_sender(each)


async def test_from_a_mix_to_forwarding_no_sample_is_lost_or_heard_twice(
    studio: Studio, phone: PhoneMaker
) -> None:
    """A counts in its payload; B hears the count without a gap while a listener comes and goes."""
    a, b = await phone("A", PCMU), await phone("B", PCMU)
    await studio.connect(a, talks=False)
    await studio.connect(b, talks=False)
    await studio.link.request(m.OpenPlayer("quiet", [m.Segment([], 1000)]))
    mixed = [m.RouteTo("A", "B"), m.RouteTo("quiet", "B")]
    await studio.link.request(m.SetRoutes("x", mixed))
    # Code bytes that mu-law keeps as they are: 0x00 to 0x6f.
    a.count_in(studio.addresses["A"], range(0x70))
    await b.until(lambda: any(h.packet.payload[0] == 20 for h in b.heard))
    await studio.link.request(m.SetRoutes("x", [m.RouteTo("A", "B")]))
    await b.until(lambda: b.heard[-1].packet.payload[0] >= 60)
    heard = b"".join(bytes(h.packet.payload) for h in b.heard).lstrip(b"\xff")
    assert heard == b"".join(bytes([n]) * 160 for n in range(heard[-1] + 1))
    assert_one_legal_sender(b, least_step=1)


async def test_a_listener_hears_both_and_is_heard_by_nobody(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, supervisor = await phone("A"), await phone("B"), await phone("C")
    for each in (a, b, supervisor):
        await studio.connect(each)
    await studio.route("AB", "BA", "AC", "BC")
    await supervisor.until_packets(40)
    assert (a.hears(), b.hears(), supervisor.hears()) == ({"B"}, {"A"}, {"A", "B"})


async def test_a_gain_makes_softer(studio: Studio, phone: PhoneMaker) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", gain_db=-12.0)
    await b.until_packets(40)
    assert level_of(b.audio()) == pytest.approx(-27.0, abs=0.5)


@pytest.mark.parametrize("gain_db", [1e6, float("nan")])
async def test_a_gain_that_no_number_can_hold_is_refused(
    studio: Studio, phone: PhoneMaker, gain_db: float
) -> None:
    await studio.connect(await phone("B"), talks=False)
    with pytest.raises(MediaError, match="gain"):
        await studio.route("mB", gain_db=gain_db)


async def test_a_voice_and_music_together(studio: Studio, phone: PhoneMaker) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "mB")
    await b.until_packets(40)
    assert b.hears() == {"A", "moh"}


@pytest.mark.parametrize("ptime_ms", [10, 30, 40])
async def test_our_own_audio_comes_in_packets_of_the_negotiated_size(
    studio: Studio, phone: PhoneMaker, ptime_ms: int
) -> None:
    b = await phone("B")
    await studio.connect(b, talks=False)
    await studio.link.request(b.remote("B", ptime_ms=ptime_ms))
    await studio.route("mB")
    packets = await b.until_packets(1200 // ptime_ms)
    assert {len(p.payload) for p in packets} == {8 * ptime_ms}
    steps = {(y.timestamp - x.timestamp) & 0xFFFFFFFF for x, y in itertools.pairwise(packets)}
    assert steps == {8 * ptime_ms}
    assert b.hears() == {"moh"}


async def test_packets_of_any_size_and_order_can_be_mixed(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A", PCMU), await phone("B", PCMA)
    await studio.connect(a, talks=False)
    await studio.connect(b)
    await studio.route("AB", "BA")
    a.talk_to(studio.addresses["A"], ptime_ms=40, swaps=True)
    await b.until_packets(50)
    assert b.hears() == {"A"}


async def test_a_digit_is_sent_anew_where_it_can_not_be_passed_on(
    studio: Studio, phone: PhoneMaker
) -> None:
    """A and B have no codec in common; D takes no events at all, and gets the tones."""
    a = await phone("A", PCMU, events(101))
    b = await phone("B", PCMA, events(96))
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await b.until_packets(10)
    a.press("7")
    await b.until(lambda: len([h for h in b.heard if h.packet.payload_type == 96]) >= 3)
    await b.until_packets(10)
    pressed = [h.packet for h in b.heard if h.packet.payload_type == 96]
    assert {p.payload[0] for p in pressed} == {7}
    assert len({p.timestamp for p in pressed}) == 1
    assert_one_legal_sender(b)


async def test_a_digit_becomes_tones_where_no_events_were_negotiated(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A", PCMU, events(101)), await phone("B", PCMU)
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await b.until_packets(10)
    a.press("7")
    await b.until(lambda: "7" in b.digits_in_audio())
    await studio.until_notice(m.DigitReceived)
    await b.until_packets(30)
    assert b.hears() == {"A"}
