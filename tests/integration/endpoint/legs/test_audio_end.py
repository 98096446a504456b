"""Two ends of a call's audio, each in a media plane of its own: described, agreed, heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from endpoint.legs.audio_end import (
    AudioEnd,
    AudioSettings,
    Protection,
    codecs_for,
    payload_types,
)
from endpoint.legs.terms import LOCAL, AudioTerms, on_this_machine
from endpoint.media import messages as m
from endpoint.media.link import LocalLink
from endpoint.media.settings import MediaSettings
from signaling.errors import SdpError
from signaling.sdp.crypto import CryptoSuite
from signaling.sdp.description import Direction, Line, SessionDescription
from signaling.sdp.negotiation import OPUS, Negotiated
from signaling.sdp.security import AgreedDtls, AgreedSdes, Plain
from tests.integration.endpoint.legs.phones import TONES_HZ, hears

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

PORTS = MediaSettings(rtp_port_low=28000, rtp_port_high=28999, rtcp_interval_s=1.0)
NAMES = ("6001", "10086")
AGREED = {
    Protection.RTP: Plain,
    Protection.SRTP: AgreedSdes,
    Protection.WEBRTC: AgreedDtls,
}


@pytest.fixture
async def links() -> AsyncIterator[tuple[LocalLink, LocalLink]]:
    async with LocalLink(PORTS) as one, LocalLink(PORTS) as two:
        yield one, two


async def open_end(
    link: LocalLink,
    protection: Protection,
    *,
    offering: bool,
    settings: AudioSettings | None = None,
) -> AudioEnd:
    """An end that speaks its own tone, and is listened to."""
    end = AudioEnd(link, NAMES[not offering], protection, settings)
    await end.open(controlling=offering)
    tone = m.Segment(frequencies_hz=[TONES_HZ[end.port]], duration_ms=1000)
    await link.request(m.OpenPlayer(port="tone", cadence=[tone]))
    await link.request(m.StartListening(port=end.port))
    link.send(m.SetRoutes(group="call", routes=[m.RouteTo(source="tone", sink=end.port)]))
    return end


async def agree(
    offerer: AudioEnd, answerer: AudioEnd, direction: Direction = Direction.SENDRECV
) -> tuple[Negotiated, Negotiated]:
    """One round of offer and answer."""
    offer = offerer.offer(direction)
    answer, theirs = await answerer.answer(offer.serialise())
    await answerer.agree(theirs)
    ours = offerer.accept(offer, answer.serialise())
    await offerer.agree(ours)
    return ours, theirs


@pytest.mark.parametrize("protection", Protection)
async def test_what_is_agreed_is_heard_held_and_heard_again(
    links: tuple[LocalLink, LocalLink], protection: Protection
) -> None:
    one, two = links
    a = await open_end(one, protection, offering=True)
    b = await open_end(two, protection, offering=False)
    first, _ = await agree(a, b)
    assert isinstance(first.security, AGREED[protection])
    await hears(one, a.port, {b.port})
    await hears(two, b.port, {a.port})
    held, _ = await agree(a, b, Direction.SENDONLY)
    assert (held.sending, held.receiving) == (True, False)
    await hears(one, a.port, set())
    await hears(two, b.port, {a.port})
    again, _ = await agree(b, a)
    assert again.direction is Direction.SENDRECV
    await hears(one, a.port, {b.port})
    statistics = await one.request(m.ReadStatistics(port=a.port))
    assert statistics.packets_refused == statistics.packets_malformed == 0
    a.close()
    b.close()


async def test_parameters_that_are_no_utf_8_cross_to_the_media_process(
    links: tuple[LocalLink, LocalLink],
) -> None:
    """A call with such an offer was refused by 500."""
    a = await open_end(links[0], Protection.RTP, offering=True)
    b = await open_end(links[1], Protection.RTP, offering=False)
    offer = a.offer(Direction.SENDRECV).serialise() + b"a=fmtp:0 \xe4\r\n"
    _, agreed = await b.answer(offer)
    await b.agree(agreed)
    assert "\N{REPLACEMENT CHARACTER}" in [each.fmtp for each in payload_types(agreed.send)]
    a.close()
    b.close()


@pytest.mark.parametrize("suite", CryptoSuite)
async def test_every_suite_of_srtp_is_spoken(
    links: tuple[LocalLink, LocalLink], suite: CryptoSuite
) -> None:
    a = await open_end(
        links[0],
        Protection.SRTP,
        offering=True,
        settings=AudioSettings(srtp_suites=(suite,), advertised_host="127.0.0.1"),
    )
    b = await open_end(links[1], Protection.SRTP, offering=False)
    agreed, _ = await agree(a, b)
    assert isinstance(agreed.security, AgreedSdes)
    assert agreed.security.send.suite is suite
    await hears(links[0], a.port, {b.port})


@pytest.mark.parametrize("asked", Protection)
async def test_an_offer_says_how_it_is_to_be_answered(
    links: tuple[LocalLink, LocalLink], asked: Protection
) -> None:
    a = await open_end(links[0], asked, offering=True)
    offer = a.offer()
    assert Protection.of(offer) is asked
    for other in Protection:
        if other is not asked:
            b = AudioEnd(links[1], other, other)
            await b.open(controlling=False)
            with pytest.raises(SdpError) as refused:
                b.foresee(offer.serialise())
            assert refused.value.status_hint == 488


async def test_keys_that_went_missing_on_the_way_are_no_clear_call(
    links: tuple[LocalLink, LocalLink],
) -> None:
    """Whether the profile or the fingerprint is left: nobody answers with RTP in the clear."""
    for asked in (Protection.SRTP, Protection.WEBRTC):
        end = AudioEnd(links[0], f"asks {asked}", asked)
        await end.open(controlling=True)
        offer = end.offer()
        kept = tuple(
            line
            for line in offer.media[0].lines
            if not line.value.startswith(("crypto:", "fingerprint:"))
        )
        bare = replace(offer, media=(replace(offer.media[0], lines=kept),))
        assert Protection.of(bare) is asked
        answerer = AudioEnd(links[1], f"takes {asked}", asked)
        await answerer.open(controlling=False)
        with pytest.raises(SdpError, match=r"crypto|fingerprint"):
            answerer.foresee(bare.serialise())


async def test_another_fingerprint_without_a_new_handshake_is_refused(
    links: tuple[LocalLink, LocalLink],
) -> None:
    a = await open_end(links[0], Protection.WEBRTC, offering=True)
    b = await open_end(links[1], Protection.WEBRTC, offering=False)
    await agree(a, b)
    offer = a.offer()
    lines = tuple(
        Line("a", "fingerprint:sha-256 " + ":".join(["AB"] * 32))
        if line.value.startswith("fingerprint:")
        else line
        for line in offer.media[0].lines
    )
    forged = replace(offer, media=(replace(offer.media[0], lines=lines),))
    with pytest.raises(SdpError, match="another fingerprint"):
        await b.answer(forged.serialise())
    assert await b.answer(offer.serialise())


async def test_a_restart_of_ours_gives_way_to_an_offer_of_theirs(
    links: tuple[LocalLink, LocalLink],
) -> None:
    """Ours waits, or was refused for the glare: theirs is about the ICE session that holds."""
    one, two = links
    a = await open_end(one, Protection.WEBRTC, offering=True)
    b = await open_end(two, Protection.WEBRTC, offering=False)
    await agree(a, b)
    await hears(one, a.port, {b.port})
    before = a.offer().media[0].attribute("ice-ufrag"), b.ice
    await a.restart()
    await agree(b, a, Direction.SENDONLY)
    assert (a.offer().media[0].attribute("ice-ufrag"), b.ice) == (before[0], before[1])
    await agree(b, a)
    await hears(one, a.port, {b.port})
    await a.restart()
    await agree(a, b)
    assert b.ice != before[1]
    await hears(one, a.port, {b.port})


async def test_ice_begins_anew_with_another_who_answers(
    links: tuple[LocalLink, LocalLink],
) -> None:
    """A proxy may ring two browsers by our one offer: one is heard early, another answers."""
    one, two = links
    a = await open_end(one, Protection.WEBRTC, offering=True)
    early = await open_end(two, Protection.WEBRTC, offering=False)
    offer = a.offer()
    answer, _ = await early.answer(offer.serialise())
    await a.agree(a.accept(offer, answer.serialise()))
    async with LocalLink(PORTS) as three:
        answering = await open_end(three, Protection.WEBRTC, offering=False)
        answer, agreed = await answering.answer(offer.serialise())
        await answering.agree(agreed)
        assert a.accept(offer, answer.serialise()).ice_restarted
        await a.restart()
        await agree(a, answering)
        await hears(one, a.port, {answering.port})
        await hears(three, answering.port, {a.port})


async def test_a_webrtc_end_tells_its_candidate_as_its_address(
    links: tuple[LocalLink, LocalLink],
) -> None:
    a = await open_end(links[0], Protection.WEBRTC, offering=True)
    offer = SessionDescription.parse(a.offer().serialise())
    (medium,) = offer.media
    assert offer.host_of(medium) == "127.0.0.1"
    assert PORTS.rtp_port_low <= medium.port <= PORTS.rtp_port_high
    assert medium.attribute("end-of-candidates") is not None
    stream, track = (medium.attribute("msid") or "").split(" ")
    assert stream != track


def test_codecs_stand_so_that_the_other_leg_can_be_forwarded_to() -> None:
    def names(protection: Protection, *faced: str, offering: bool = True) -> list[str]:
        codecs = codecs_for(protection, faced, offering=offering)
        return [codec.encoding for codec in codecs if codec.encoding != "TELEPHONE-EVENT"]

    browser, telephone = Protection.WEBRTC, Protection.RTP
    assert names(browser) == ["PCMU", "PCMA", "OPUS"]
    assert names(browser, "OPUS", "PCMU") == ["OPUS", "PCMU", "PCMA"]
    assert names(browser, "PCMA") == ["PCMA", "PCMU", "OPUS"]
    assert names(telephone, "OPUS") == ["PCMU", "PCMA"]
    assert names(telephone, "G722", "PCMA") == ["G722", "PCMA", "PCMU"]
    assert names(telephone, offering=False) == ["PCMU", "PCMA", "G722", "OPUS"]


def test_without_libopus_there_is_no_opus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endpoint.audio.opus.library", lambda: None)
    for offering in (True, False):
        assert OPUS not in codecs_for(Protection.WEBRTC, ("OPUS",), offering=offering)


@pytest.mark.parametrize("protection", [Protection.RTP, Protection.WEBRTC])
async def test_who_offers_extended_reports_is_told_how_it_is_heard(
    links: tuple[LocalLink, LocalLink], protection: Protection
) -> None:
    one, two = links
    a = await open_end(one, protection, offering=True)
    b = await open_end(two, protection, offering=False)
    offer = a.offer()
    asking = offer.serialise() + b"a=rtcp-xr:rcvr-rtt=all:10000 voip-metrics\r\n"
    answer, agreed = await b.answer(asking)
    await b.agree(agreed)
    await a.agree(a.accept(offer, answer.serialise()))
    assert answer.media[0].attribute("rtcp-xr") == "rcvr-rtt=all voip-metrics"
    async with asyncio.timeout(20):
        while True:
            counted = await one.request(m.ReadStatistics(port=a.port))
            # Extended reports say it in tenths; what we make of a plain one is 4.41.
            if counted.remote_mos == 4.4:
                break
            await asyncio.sleep(0.05)


async def test_who_is_on_this_machine_is_told_the_address_that_is_bound(
    links: tuple[LocalLink, LocalLink],
) -> None:
    """Others are told the advertised one, which may lead nowhere from here."""
    settings = AudioSettings(advertised_host="192.0.2.1")
    for terms, host in ((LOCAL, "127.0.0.1"), (AudioTerms(), "192.0.2.1")):
        end = AudioEnd(links[0], f"told {host}", Protection.RTP, settings, terms)
        await end.open(controlling=True)
        offer = end.offer()
        assert offer.host_of(offer.media[0]) == host
    assert [on_this_machine(host) for host in ("0.0.0.0", "::", "192.0.2.1")] == [
        "127.0.0.1",
        "::1",
        "192.0.2.1",
    ]
