"""Pages that stand for a device: their audio outlives calls, is replaced, gets lost, comes back."""

from __future__ import annotations

import re
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    DigitDetected,
    DigitsSent,
    FarEndHold,
    LegAlerting,
    LegAnswered,
    LegHeld,
    LegId,
    LegReleased,
    LegRetrieved,
    LegRole,
    MediaConfirmed,
    MediaInterrupted,
    MediaResumed,
    Route,
    Side,
    Source,
)
from endpoint.legs.browser import BROWSER
from endpoint.legs.leg import LegSettings
from endpoint.media import messages as m
from endpoint.media.link import LocalLink
from endpoint.media.settings import MediaSettings
from endpoint.rig.impairment import Impairment, Proxy
from signaling.errors import SdpError
from signaling.sdp.description import Direction
from signaling.sdp.ice import Candidate, FragmentMedium, IceFragment
from tests.integration.endpoint.legs.conftest import MEDIA, Office, open_office
from tests.integration.endpoint.legs.page import Page, page
from tests.integration.endpoint.legs.phones import Answered, Ended, Line
from tests.integration.endpoint.legs.test_browsers import moved

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

AGENT = DeviceId("6001")


@pytest.fixture
async def agent(office: Office) -> AsyncIterator[Page]:
    """A page that is 6001's telephone, and free."""
    async with page("6001") as opened:
        await begin(office, opened)
        yield opened


async def begin(office: Office, opened: Page) -> None:
    await opened.begin(office.exchange.browsers)
    registered = DeviceRegistered(AGENT, opened.session.id, 0, BROWSER)
    assert await office.operator.saw(DeviceRegistered) == registered


async def called(office: Office) -> tuple[LegId, Line]:
    """The customer calls the agent, who picks up; both hear each other."""
    customer = await office.phone("10086")
    await office.operator.saw(DeviceRegistered)
    line = await customer.dial("6001")
    leg = (await office.operator.saw(LegAlerting)).leg
    office.exchange.answer(leg)
    await line.take_answer((await line.until(Answered)).sdp)
    return leg, line


async def test_a_call_comes_to_the_page_and_goes_and_the_page_stays(
    office: Office, agent: Page
) -> None:
    for _ in range(2):
        leg, line = await called(office)
        assert await office.operator.saw(LegAnswered) == LegAnswered(leg)
        assert await office.operator.saw(MediaConfirmed) == MediaConfirmed(leg)
        await agent.hears("10086")
        await line.hears("6001")
        line.session.bye()
        ended = [await office.operator.saw(LegReleased) for _ in range(2)]
        assert [(one.leg == leg, one.released_by) for one in ended] == [
            (False, Side.DEVICE),
            (True, Side.ENDPOINT),
        ]
        await agent.hears()
        await office.idle()
        line.phone.registration.unregister()


async def test_the_page_is_called_for_by_a_command_and_picks_up_by_itself(
    office: Office, agent: Page
) -> None:
    station = office.operator.place("6001", "10086", LegRole.STATION, auto_answer=True)
    assert await office.operator.saw(LegAnswered) == LegAnswered(station)
    office.operator.route(station, Route(Source.MUSIC_ON_HOLD, station))
    await agent.hears("moh")


async def test_two_pages_talk_without_transcoding(office: Office, agent: Page) -> None:
    async with page("10086") as customer:
        await customer.begin(office.exchange.browsers)
        await office.operator.saw(DeviceRegistered)
        legs = [office.operator.place(one, "x") for one in ("6001", "10086")]
        for leg in legs:
            await office.operator.saw(LegAlerting)
            office.exchange.answer(leg)
        office.operator.join(*legs)
        await agent.hears("10086")
        await customer.hears("6001")


async def test_hold_is_local_or_by_an_offer_of_the_page(office: Office, agent: Page) -> None:
    leg, line = await called(office)
    office.exchange.hold(leg)
    assert await office.operator.saw(FarEndHold) == FarEndHold(leg, held=True, accepted=True)
    office.exchange.resume(leg)
    assert await office.operator.saw(FarEndHold) == FarEndHold(leg, held=False, accepted=True)

    stations = office.exchange.browsers
    await agent.offer_again(stations, Direction.SENDONLY)
    assert await office.operator.saw(LegHeld) == LegHeld(leg)
    await agent.offer_again(stations)
    assert await office.operator.saw(LegRetrieved) == LegRetrieved(leg)
    await agent.hears("10086")
    await line.hears("6001")


async def test_digits_both_ways(office: Office, agent: Page) -> None:
    leg, _ = await called(office)
    await office.operator.saw(MediaConfirmed)
    agent.link.send(m.SendDigits(port="page", digits="5"))
    detected = await office.operator.saw(DigitDetected)
    assert (detected.leg, detected.digit) == (leg, "5")
    assert (await office.operator.saw(DigitsSent)).digits == "5"  # passed on to the customer
    office.exchange.send_digits(leg, "42")
    assert await office.operator.saw(DigitsSent) == DigitsSent(leg, "42")
    received = await agent.notice(m.DigitReceived)
    assert received == m.DigitReceived("page", "4", received.duration_ms)


async def test_a_browser_in_a_call_is_busy_for_another(office: Office, agent: Page) -> None:
    await called(office)
    second = office.operator.place("6001", "10087")
    released = await office.operator.saw(LegReleased)
    assert (released.leg, released.cause) == (second, Cause.BUSY)
    await agent.hears("10086")


async def test_the_phones_of_a_device_do_not_ring_beside_its_browser(
    office: Office, agent: Page
) -> None:
    await office.phone("6001")
    leg = office.operator.place("6001", "10086")
    office.exchange.answer(leg)
    assert await office.operator.saw(LegAnswered) == LegAnswered(leg)
    office.operator.route(leg, Route(Source.MUSIC_ON_HOLD, leg))
    await agent.hears("moh")


async def test_a_recording_ends_with_the_call_and_the_port_goes_on(
    office: Office, agent: Page, tmp_path: Path
) -> None:
    leg, line = await called(office)
    await agent.hears("10086")
    await office.exchange.start_recording(leg, str(tmp_path / "call.wav"))
    await office.exchange.read_heard(leg)
    line.session.bye()
    await office.operator.saw(LegReleased)
    await agent.hears()
    with wave.open(str(tmp_path / "call.wav")) as recorded:
        length = recorded.getnframes()
    await agent.hears()
    with wave.open(str(tmp_path / "call.wav")) as recorded:
        assert recorded.getnframes() == length


# -- another page ------------------------------------------------------------------------------


async def test_a_newer_page_takes_the_place_of_the_older_and_its_call(
    office: Office, agent: Page
) -> None:
    leg, line = await called(office)
    await agent.hears("10086")
    async with page("6001") as newer:
        await begin(office, newer)
        await newer.hears("10086")
        await line.hears("6001")
        await agent.notice(m.PortFailed)
        stations = office.exchange.browsers
        assert stations.find(AGENT, agent.session.id) is None
        assert stations.of(AGENT) is newer.session
        office.exchange.release(leg, Cause.NORMAL)
        await newer.hears()
        assert not any(isinstance(event, DeviceUnregistered) for event in office.operator.log)


async def test_a_newer_page_that_never_connects_leaves_the_older_alone(
    office: Office, agent: Page
) -> None:
    async with page("6001") as newer, page("6001") as newest:
        stations = office.exchange.browsers
        first, _ = await stations.open(AGENT, newer.offer())
        second, _ = await stations.open(AGENT, newest.offer())
        assert stations.find(AGENT, first.id) is None
        assert stations.find(AGENT, second.id) is second
        stations.close(second)
        assert stations.of(AGENT) is agent.session
    await called(office)
    await agent.hears("10086")
    assert not any(isinstance(event, DeviceUnregistered) for event in office.operator.log)


async def test_a_page_that_leaves_is_unregistered_and_its_call_ends(
    office: Office, agent: Page
) -> None:
    leg, line = await called(office)
    office.exchange.browsers.close(agent.session)
    released = await office.operator.saw(LegReleased)
    assert (released.leg, released.cause) == (leg, Cause.NORMAL)
    assert released.released_by is Side.DEVICE
    await line.until(Ended)
    gone = next(one for one in office.operator.log if isinstance(one, DeviceUnregistered))
    assert (gone.device, gone.cause, gone.server) == (AGENT, Cause.NORMAL, BROWSER)
    await office.operator.saw(LegReleased)
    office.operator.place("6001", "10086")
    assert (await office.operator.saw(LegReleased)).cause is Cause.NOT_REGISTERED


async def test_a_page_that_was_closed_without_a_call_is_unregistered_at_once(
    office: Office, agent: Page
) -> None:
    agent.audio.close()
    gone = await office.operator.saw(DeviceUnregistered)
    assert (gone.device, gone.cause) == (AGENT, Cause.NORMAL)
    assert office.exchange.browsers.of(AGENT) is None


# -- offers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sdp: b"nonsense",
        lambda sdp: re.sub(rb"a=fingerprint:[^\r]*\r\n", b"", sdp),
        lambda sdp: re.sub(rb"a=ice-pwd:[^\r]*\r\n", b"", sdp),
        lambda sdp: sdp.replace(b"m=audio", b"m=video"),
    ],
    ids=["no SDP", "no fingerprint", "no ICE", "no audio"],
)
async def test_an_offer_that_is_no_webrtc_audio_is_refused(office: Office, spoil: object) -> None:
    assert callable(spoil)
    async with page("6001") as opened:
        opened.rewrite = spoil
        stations = office.exchange.browsers
        with pytest.raises(SdpError):
            await stations.open(AGENT, opened.offer())
        assert stations.of(AGENT) is None
        opened.rewrite = lambda sdp: sdp
        await begin(office, opened)


async def test_a_bad_further_offer_changes_nothing(office: Office, agent: Page) -> None:
    await called(office)
    with pytest.raises(SdpError):
        await office.exchange.browsers.renew(agent.session, b"v=0\r\n")
    await agent.hears("10086")


async def test_candidates_may_come_later(office: Office) -> None:
    async with page("6001") as opened:
        opened.rewrite = opened.reread = lambda sdp: re.sub(
            rb"a=(candidate:[^\r]*|end-of-candidates)\r\n", b"", sdp
        )
        await opened.begin(office.exchange.browsers)
        told = opened.described.media[0]
        fragment = IceFragment(
            told.attribute("ice-ufrag") or "",
            told.attribute("ice-pwd") or "",
            (FragmentMedium("0", tuple(map(Candidate.parse, told.attributes("candidate"))), True),),
        )
        await opened.session.end.add_candidates(fragment.serialise())
        await office.operator.saw(DeviceRegistered)


async def test_the_page_begins_ice_anew_in_the_call(office: Office, agent: Page) -> None:
    _, line = await called(office)
    await agent.hears("10086")
    before = agent.session.ice
    await agent.audio.restart()
    await agent.offer_again(office.exchange.browsers)
    assert agent.session.ice != before
    await agent.hears("10086")
    await line.hears("6001")


# -- loss --------------------------------------------------------------------------------------


class TestLoss:
    """Browsers whose network goes away, and that may come back for a while."""

    @pytest.fixture
    async def office(self) -> AsyncIterator[Office]:
        settings = MediaSettings(
            rtp_port_low=MEDIA.rtp_port_low,
            rtp_port_high=MEDIA.rtp_port_high,
            consent_interval_s=0.1,
            consent_expiry_s=0.5,
            connect_timeout_s=1.0,
        )
        legs = LegSettings(domain="127.0.0.1", browser_grace_s=1.5)
        async with LocalLink(settings) as link, open_office(legs, link) as opened:
            yield opened

    @pytest.fixture
    async def proxy(self) -> AsyncIterator[Proxy]:
        async with Proxy() as proxy:
            yield proxy

    @pytest.fixture
    async def agent(self, office: Office, proxy: Proxy) -> AsyncIterator[Page]:
        """A page behind a network that can be switched off."""
        crossing = await proxy.cross()
        async with page("6001") as opened:
            opened.rewrite = lambda sdp: moved(sdp, crossing.near_address)
            opened.reread = lambda sdp: moved(sdp, crossing.far_address)
            await begin(office, opened)
            opened.rewrite = opened.reread = lambda sdp: sdp
            yield opened

    async def test_a_page_that_comes_back_by_another_network_keeps_its_call(
        self, office: Office, agent: Page, proxy: Proxy
    ) -> None:
        leg, line = await called(office)
        await agent.hears("10086")
        proxy.change(Impairment(blackhole=True))
        assert await office.operator.saw(MediaInterrupted) == MediaInterrupted(leg)
        await agent.audio.restart()
        await agent.offer_again(office.exchange.browsers)
        assert await office.operator.saw(MediaResumed) == MediaResumed(leg)
        await agent.hears("10086")
        await line.hears("6001")

    async def test_a_page_that_does_not_come_back_is_unregistered_and_its_call_ends(
        self, office: Office, agent: Page, proxy: Proxy
    ) -> None:
        leg, line = await called(office)
        await agent.hears("10086")
        proxy.change(Impairment(blackhole=True))
        assert await office.operator.saw(MediaInterrupted) == MediaInterrupted(leg)
        gone = await office.operator.saw(DeviceUnregistered)
        assert (gone.device, gone.cause, gone.server) == (AGENT, Cause.MEDIA_TIMEOUT, BROWSER)
        assert "network was lost" in gone.text
        released = await office.operator.saw(LegReleased)
        assert (released.leg, released.cause) == (leg, Cause.MEDIA_TIMEOUT)
        assert released.released_by is Side.ENDPOINT
        await line.until(Ended)

    async def test_a_page_that_was_reloaded_in_the_call_goes_on_with_it(
        self, office: Office, agent: Page
    ) -> None:
        leg, line = await called(office)
        await agent.hears("10086")
        agent.audio.close()
        assert await office.operator.saw(MediaInterrupted) == MediaInterrupted(leg)
        async with page("6001") as reloaded:
            await begin(office, reloaded)
            assert await office.operator.saw(MediaResumed) == MediaResumed(leg)
            await reloaded.hears("10086")
            await line.hears("6001")

    async def test_audio_that_finds_no_way_is_told(self, office: Office) -> None:
        async with page("6001") as opened:
            opened.rewrite = lambda sdp: sdp.replace(b"a=ice-pwd:", b"a=ice-pwd:other")
            await opened.begin(office.exchange.browsers)
            gone = await office.operator.saw(DeviceUnregistered)
            assert (gone.cause, gone.server) == (Cause.MEDIA_UNREACHABLE, BROWSER)
            assert "media.ice_servers" in gone.text

    async def test_a_wrong_certificate_is_told(self, office: Office) -> None:
        async with page("6001") as opened:
            other = b"a=fingerprint:sha-256 " + b":".join([b"AB"] * 32) + b"\r\n"
            opened.rewrite = lambda sdp: re.sub(rb"a=fingerprint:[^\r]*\r\n", other, sdp)
            await opened.begin(office.exchange.browsers)
            gone = await office.operator.saw(DeviceUnregistered)
            assert gone.cause is Cause.MEDIA_UNTRUSTED
