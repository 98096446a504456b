"""Calls with phones over WebSocket, that speak WebRTC: among themselves and with plain RTP."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import pytest

from endpoint.legs.audio_end import AudioEnd, AudioSettings, Protection
from endpoint.legs.base import (
    Cause,
    FarEndHold,
    LegAlerting,
    LegAnswered,
    LegHeld,
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
from endpoint.legs.info import TRICKLE_HEADERS
from endpoint.legs.leg import LegSettings
from endpoint.media.link import LocalLink
from endpoint.media.messages import IceServer
from endpoint.media.settings import MediaSettings
from endpoint.rig.impairment import Impairment, Proxy
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.ice import FRAGMENT_CONTENT_TYPE, IceFragment
from signaling.sdp.negotiation import G722, OPUS, OPUS_TELEPHONE_EVENTS, PCMU
from signaling.sdp.security import AgreedDtls, AgreedSdes
from signaling.user_agent import InfoReceived
from tests.integration.endpoint.legs.conftest import MEDIA, Office, open_office
from tests.integration.endpoint.legs.phones import WAIT_S, Answered, Ended, Line

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


async def talk(
    office: Office, *, browsers: tuple[bool, bool], calling: str = "6001", called: str = "10086"
) -> tuple[Line, Line]:
    """One calls another, who picks up; both hear each other."""
    caller = await office.phone(calling, websocket=browsers[0])
    callee = await office.phone(called, websocket=browsers[1])
    a = await caller.dial(called)
    b = await callee.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    await a.hears(called)
    await b.hears(calling)
    return a, b


def codec_of(line: Line) -> str:
    assert line.agreed is not None
    return line.agreed.send[0].encoding


def offer_to(line: Line) -> SessionDescription:
    assert line.session.sdp is not None
    return SessionDescription.parse(line.session.sdp)


def ufrag_in(offer: SessionDescription) -> str | None:
    return offer.media[0].attribute("ice-ufrag")


@pytest.mark.parametrize(
    ("browsers", "codec"),
    [((True, False), "PCMU"), ((False, True), "PCMU"), ((True, True), "OPUS")],
    ids=["browser calls", "browser is called", "two browsers"],
)
async def test_a_call_of_browsers_is_forwarded_and_held_by_the_exchange(
    office: Office, browsers: tuple[bool, bool], codec: str
) -> None:
    a, b = await talk(office, browsers=browsers)
    assert (codec_of(a), codec_of(b)) == (codec, codec)
    for line, is_browser in zip((a, b), browsers, strict=True):
        assert line.agreed is not None
        assert isinstance(line.agreed.security, AgreedDtls) is is_browser
    operator = office.operator
    legs = await operator.talk()
    operator.route(legs[0], Route(Source.MUSIC_ON_HOLD, legs[1]))
    async with asyncio.TaskGroup() as phones:
        office.exchange.hold(legs[1])
        phones.create_task(b.serve(1))
        assert await operator.saw(FarEndHold) == FarEndHold(legs[1], True, True, 200)
        await a.hears()
        operator.join(*legs)
        office.exchange.resume(legs[1])
        phones.create_task(b.serve(2))
        assert await operator.saw(FarEndHold) == FarEndHold(legs[1], False, True, 200)
    await b.hears("6001")
    await a.hears("10086")
    assert b.reinvites == [Direction.SENDONLY, Direction.SENDRECV]
    a.session.bye()
    assert (await operator.saw(LegReleased)).cause is Cause.NORMAL
    await office.idle()


async def test_a_held_telephone_hears_music_of_a_browsers_call(office: Office) -> None:
    _, b = await talk(office, browsers=(True, False))
    legs = await office.operator.talk()
    office.operator.route(legs[0], Route(Source.MUSIC_ON_HOLD, legs[1]))
    await b.hears("moh")


async def test_a_browser_with_nothing_but_opus_talks_with_a_telephone(office: Office) -> None:
    agent = await office.phone("6001", websocket=True)
    customer = await office.phone("10086")
    agent.codecs = (OPUS, OPUS_TELEPHONE_EVENTS)
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    assert (codec_of(a), codec_of(b)) == ("OPUS", "PCMU")
    await a.hears("10086")
    await b.hears("6001")


async def test_two_telephones_with_g722_are_forwarded(office: Office) -> None:
    agent, customer = await office.phone("6001"), await office.phone("10086")
    agent.codecs = customer.codecs = (G722, PCMU)
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    assert (codec_of(a), codec_of(b)) == ("G722", "G722")
    await a.hears("10086")
    await b.hears("6001")


async def test_a_browser_holds_and_retrieves_by_its_own_button(office: Office) -> None:
    a, b = await talk(office, browsers=(True, False))
    caller, _ = await office.operator.talk()
    assert await a.reoffer(Direction.SENDONLY) == 200
    assert await office.operator.saw(LegHeld) == LegHeld(caller)
    assert await a.reoffer(Direction.SENDRECV) == 200
    assert await office.operator.saw(LegRetrieved) == LegRetrieved(caller)
    await a.hears("10086")
    await b.hears("6001")


async def test_the_browsers_of_a_device_ring_each_with_an_offer_of_its_own(office: Office) -> None:
    agent = await office.phone("6001")
    first = await office.phone("10086", key="first", websocket=True)
    second = await office.phone("10086", key="second", websocket=True)
    a = await agent.dial("10086")
    losing, winning = await first.rings(), await second.rings()
    assert ufrag_in(offer_to(losing)) != ufrag_in(offer_to(winning)) is not None
    await winning.pick_up()
    assert (await losing.until(Ended)).by_remote
    await a.take_answer((await a.until(Answered)).sdp)
    await a.hears("10086")
    await winning.hears("6001")
    a.session.bye()
    await office.idle()
    assert "0 ports" in repr(office.exchange)


async def test_a_browser_that_invites_without_an_offer_gets_one_of_webrtc(office: Office) -> None:
    agent = await office.phone("6001", websocket=True)
    customer = await office.phone("10086")
    a = await agent.dial("10086", late_offer=True)
    b = await customer.rings()
    await b.pick_up()
    answered = await a.until(Answered)
    assert answered.sdp is not None
    assert Protection.of(SessionDescription.parse(answered.sdp)) is Protection.WEBRTC
    a.session.accept(await a.answer_to(answered.sdp))
    await a.hears("10086")
    await b.hears("6001")


@pytest.mark.parametrize("repeated", [True, False])
async def test_early_media_of_a_browser_is_heard_and_its_answer_stands(
    office: Office, repeated: bool
) -> None:
    customer = await office.phone("10086", websocket=True)
    leg = office.operator.place("10086", "6001")
    b = await customer.rings()
    assert await office.operator.saw(LegAlerting) == LegAlerting(leg)
    await b.open(Protection.WEBRTC, controlling=False)
    answer = await b.answer_to(b.session.sdp)
    b.session.ring(answer)
    assert await office.operator.saw(LegAlerting) == LegAlerting(leg, early_media=True)
    assert await office.operator.saw(MediaConfirmed) == MediaConfirmed(leg)
    b.session.accept(answer if repeated else b"")
    assert await office.operator.saw(LegAnswered) == LegAnswered(leg)
    office.operator.route(leg, Route(Source.MUSIC_ON_HOLD, leg))
    await b.hears("moh")


async def test_a_station_that_is_to_call_a_browser_is_offered_opus_first(office: Office) -> None:
    agent = await office.phone("6001", websocket=True)
    await office.phone("10086", websocket=True)
    for called, first in (("10086", "OPUS"), ("95588", "PCMU")):
        leg = office.operator.place("6001", called, LegRole.STATION)
        ringing = await agent.rings()
        assert offer_to(ringing).media[0].codecs[0].encoding == first
        office.exchange.release(leg, Cause.CANCELLED)
        await ringing.until(Ended)


async def test_a_profile_without_its_beginning_is_webrtc_too(office: Office) -> None:
    """So rtpengine writes it, in offers and in answers."""
    agent = await office.phone("6001", websocket=True)
    customer = await office.phone("10086", websocket=True)
    for phone in (agent, customer):
        phone.rewrite = lambda sdp: sdp.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/SAVPF")
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    sdp = (await a.until(Answered)).sdp
    assert sdp is not None
    assert SessionDescription.parse(sdp).media[0].protocol == "RTP/SAVPF"
    await a.take_answer(sdp)
    await a.hears("10086")
    await b.hears("6001")


async def test_keys_in_the_sdp_protect_a_call_that_is_held_and_taken_back(office: Office) -> None:
    agent = await office.phone("6001")
    customer = await office.phone("10086")
    agent.protection = Protection.SRTP
    a = await agent.dial("10086")
    b = await customer.rings()
    assert Protection.of(offer_to(b)) is Protection.RTP
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    assert a.agreed is not None
    assert isinstance(a.agreed.security, AgreedSdes)
    await a.hears("10086")
    await b.hears("6001")
    caller, _ = await office.operator.talk()
    for direction in (Direction.SENDONLY, Direction.SENDRECV):
        assert await a.reoffer(direction) == 200
    assert await office.operator.saw(LegHeld) == LegHeld(caller)
    await a.hears("10086")
    await b.hears("6001")


class TestSecretPhones:
    @pytest.fixture
    async def office(self) -> AsyncIterator[Office]:
        legs = LegSettings(domain="127.0.0.1", telephone_media=Protection.SRTP)
        async with LocalLink(MEDIA) as link, open_office(legs, link) as opened:
            yield opened

    async def test_a_phone_of_ours_is_offered_keys(self, office: Office) -> None:
        a, b = await talk(office, browsers=(True, False))
        assert b.agreed is not None
        assert isinstance(b.agreed.security, AgreedSdes)
        legs = await office.operator.talk()
        for reinvites, act in ((1, office.exchange.hold), (2, office.exchange.resume)):
            async with asyncio.TaskGroup() as phones:
                act(legs[1])
                phones.create_task(b.serve(reinvites))
                assert (await office.operator.saw(FarEndHold)).accepted
        await a.hears("10086")
        await b.hears("6001")


# -- candidates that come later -----------------------------------------------------------------


async def test_candidates_of_a_browser_may_come_in_info(office: Office) -> None:
    """It is offered none of ours, so that nothing begins before we know its own."""
    agent = await office.phone("6001", websocket=True)
    customer = await office.phone("10086")
    kept: list[bytes] = []

    def without_candidates(sdp: bytes) -> bytes:
        kept.extend(re.findall(rb"a=(?:candidate:[^\r]*|end-of-candidates)\r\n", sdp))
        return re.sub(rb"a=(candidate:[^\r]*|end-of-candidates)\r\n", b"", sdp)

    agent.rewrite = agent.reread = without_candidates
    a = await agent.dial("10086")
    own = b"".join(kept)
    b = await customer.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    credentials = re.findall(rb"a=ice-(?:ufrag|pwd):[^\r]*\r\n", a.described)
    fragment = b"".join([*credentials, b"m=audio 9 RTP/AVP 0\r\na=mid:0\r\n", own])
    for body in (b"nonsense", fragment):
        assert await a.session.info(FRAGMENT_CONTENT_TYPE, body, TRICKLE_HEADERS) == 200
    await a.hears("10086")
    await b.hears("6001")


class TestSlowServers:
    """A STUN server that does not answer."""

    @pytest.fixture
    async def office(self) -> AsyncIterator[Office]:
        settings = MediaSettings(
            rtp_port_low=MEDIA.rtp_port_low, rtp_port_high=MEDIA.rtp_port_high, gathering_s=3.0
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            server = IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
            legs = LegSettings(domain="127.0.0.1", audio=AudioSettings(ice_servers=(server,)))
            async with LocalLink(settings) as link, open_office(legs, link) as opened:
                yield opened

    async def test_who_takes_candidates_later_is_not_kept_waiting(self, office: Office) -> None:
        agent = await office.phone("6001", websocket=True, trickles=True)
        customer = await office.phone("10086")
        a = await agent.dial("10086")
        b = await customer.rings()
        await b.pick_up()
        sdp = (await a.until(Answered)).sdp
        assert sdp is not None
        assert b"a=end-of-candidates" not in sdp
        await a.take_answer(sdp)
        await a.hears("10086")
        await b.hears("6001")
        later = await a.until(InfoReceived)
        assert later.content_type == FRAGMENT_CONTENT_TYPE
        assert IceFragment.parse(later.body).media[0].end_of_candidates


# -- ICE restarts -------------------------------------------------------------------------------


async def test_a_browser_begins_ice_anew_in_the_call(office: Office) -> None:
    a, b = await talk(office, browsers=(True, False))
    before = a.local_ufrag, a.agreed_ufrag
    await a.audio.restart()
    assert await a.reoffer(Direction.SENDRECV) == 200
    assert not {a.local_ufrag, a.agreed_ufrag} & set(before)
    await a.hears("10086")
    await b.hears("6001")


async def test_we_begin_ice_anew_in_the_call(office: Office) -> None:
    a, b = await talk(office, browsers=(True, False))
    caller, called = await office.operator.talk()
    before = a.local_ufrag, a.agreed_ufrag
    async with asyncio.TaskGroup() as phones:
        office.exchange.restart_ice(caller)
        phones.create_task(a.serve(1))
    assert not {a.local_ufrag, a.agreed_ufrag} & set(before)
    await a.hears("10086")
    await b.hears("6001")
    office.exchange.restart_ice(called)  # harmless where there is no ICE
    await b.hears("6001")


async def test_a_restart_that_is_refused_leaves_all_as_it_is(office: Office) -> None:
    a, b = await talk(office, browsers=(True, False))
    caller, _ = await office.operator.talk()
    a.phone.refuse_reinvites = 488
    async with asyncio.TaskGroup() as phones:
        office.exchange.restart_ice(caller)
        phones.create_task(a.serve(1))
    a.phone.refuse_reinvites = 0
    office.exchange.hold(caller)
    before = a.agreed_ufrag
    async with asyncio.TaskGroup() as phones:
        phones.create_task(a.serve(2))
        await office.operator.saw(FarEndHold)
    assert a.agreed_ufrag == before
    await b.hears("6001")


# -- failures -----------------------------------------------------------------------------------


def forged(sdp: bytes, line: bytes) -> bytes:
    """The description with another line in place of its fingerprint."""
    return re.sub(rb"a=fingerprint:[^\r]*\r\n", line, sdp)


def moved(sdp: bytes, address: tuple[str, int]) -> bytes:
    """The description with another address in its candidate."""
    host, port = address
    return re.sub(
        rb"(a=candidate:\S+ 1 udp \d+) \S+ \d+ ", rb"\1 %s %d " % (host.encode(), port), sdp
    )


def unreachable(sdp: bytes) -> bytes:
    """The description of an end whose address is wrong, and which takes no check of ours."""
    return moved(sdp, ("127.0.0.1", 9)).replace(b"a=ice-pwd:", b"a=ice-pwd:other")


ANOTHER = b"a=fingerprint:sha-256 " + b":".join([b"AB"] * 32) + b"\r\n"
MD5_ONLY = b"a=fingerprint:md5 " + b":".join([b"AB"] * 16) + b"\r\n"


async def test_s14_a_wrong_fingerprint_ends_the_call(office: Office) -> None:
    agent = await office.phone("6001")
    customer = await office.phone("10086", websocket=True)
    customer.rewrite = lambda sdp: forged(sdp, ANOTHER)
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    released = await office.operator.saw(LegReleased)
    assert (released.cause, released.released_by) == (Cause.MEDIA_UNTRUSTED, Side.ENDPOINT)
    assert "certificate" in released.text
    assert (await b.until(Ended)).q850 == 57
    await a.until(Ended)
    await b.hears()
    await office.idle()


@pytest.mark.parametrize("line", [b"", MD5_ONLY], ids=["none", "md5"])
async def test_s14_an_answer_without_a_good_fingerprint_is_no_clear_call(
    office: Office, line: bytes
) -> None:
    agent = await office.phone("6001")
    customer = await office.phone("10086", websocket=True)
    customer.rewrite = lambda sdp: forged(sdp, line)
    await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    released = await office.operator.saw(LegReleased)
    assert (released.cause, released.released_by) == (Cause.INCOMPATIBLE_MEDIA, Side.ENDPOINT)
    assert (await b.until(Ended)).by_remote
    await b.hears()


@pytest.mark.parametrize("line", [b"", MD5_ONLY], ids=["none", "md5"])
async def test_s14_an_offer_without_a_good_fingerprint_is_refused(
    office: Office, line: bytes
) -> None:
    agent = await office.phone("6001", websocket=True)
    agent.rewrite = lambda sdp: forged(sdp, line)
    a = await agent.dial("10086")
    assert (await a.until(Ended)).status == 488


async def test_s14_another_fingerprint_in_the_call_needs_another_handshake(office: Office) -> None:
    a, b = await talk(office, browsers=(True, False))
    a.phone.rewrite = lambda sdp: forged(sdp, ANOTHER)
    assert await a.reoffer(Direction.SENDRECV) == 488
    await a.hears("10086")
    await b.hears("6001")


async def test_a_phone_whose_early_media_fails_is_given_up_alone(office: Office) -> None:
    agent = await office.phone("6001")
    bad = await office.phone("10086", key="bad", websocket=True)
    good = await office.phone("10086", key="good", websocket=True)
    bad.rewrite = lambda sdp: forged(sdp, ANOTHER)
    a = await agent.dial("10086")
    failing, answering = await bad.rings(), await good.rings()
    await failing.open(Protection.WEBRTC, controlling=False)
    failing.session.ring(await failing.answer_to(failing.session.sdp))
    assert (await failing.until(Ended)).by_remote
    await answering.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    await a.hears("10086")
    await answering.hears("6001")


class TestLostPath:
    """A browser whose packets no longer come, and that takes none."""

    @pytest.fixture
    async def office(self) -> AsyncIterator[Office]:
        settings = MediaSettings(
            rtp_port_low=MEDIA.rtp_port_low,
            rtp_port_high=MEDIA.rtp_port_high,
            consent_interval_s=0.1,
            consent_expiry_s=0.5,
        )
        legs = LegSettings(domain="127.0.0.1")
        async with LocalLink(settings) as link, open_office(legs, link) as opened:
            yield opened

    @pytest.fixture
    async def call(self, office: Office) -> AsyncIterator[tuple[Line, Line, Proxy]]:
        """A browser behind a network that can be switched off; who comes back has another one."""
        caller, callee = await office.phone("6001", websocket=True), await office.phone("10086")
        async with Proxy() as proxy:
            crossing = await proxy.cross()
            caller.rewrite = lambda sdp: moved(sdp, crossing.near_address)
            caller.reread = lambda sdp: moved(sdp, crossing.far_address)
            a = await caller.dial("10086")
            b = await callee.rings()
            await b.pick_up()
            await a.take_answer((await a.until(Answered)).sdp)
            await a.hears("10086")
            await b.hears("6001")
            caller.rewrite = caller.reread = lambda sdp: sdp
            yield a, b, proxy

    async def test_f10_a_browser_whose_network_changed_is_found_again(
        self, office: Office, call: tuple[Line, Line, Proxy]
    ) -> None:
        a, b, proxy = call
        caller, _ = await office.operator.talk()
        proxy.change(Impairment(blackhole=True))
        await a.serve(1)
        assert await office.operator.saw(MediaInterrupted) == MediaInterrupted(caller)
        assert await office.operator.saw(MediaResumed) == MediaResumed(caller)
        await a.hears("10086")
        await b.hears("6001")

    async def test_f10_a_browser_that_is_not_found_again_is_released(
        self, office: Office, call: tuple[Line, Line, Proxy]
    ) -> None:
        a, b, proxy = call
        a.phone.refuse_reinvites = 488
        proxy.change(Impairment(blackhole=True))
        await a.serve(1)
        released = await office.operator.saw(LegReleased)
        assert (released.cause, released.released_by) == (Cause.MEDIA_TIMEOUT, Side.ENDPOINT)
        assert "network was lost" in released.text
        assert (await a.until(Ended)).by_remote
        await b.until(Ended)


class TestImpatient:
    @pytest.fixture
    async def office(self) -> AsyncIterator[Office]:
        settings = MediaSettings(
            rtp_port_low=MEDIA.rtp_port_low,
            rtp_port_high=MEDIA.rtp_port_high,
            connect_timeout_s=0.5,
        )
        legs = LegSettings(domain="127.0.0.1", goodbye_s=0.1)
        async with LocalLink(settings) as link, open_office(legs, link) as opened:
            yield opened

    async def test_audio_that_finds_no_way_ends_the_call(self, office: Office) -> None:
        customer = await office.phone("10086", websocket=True)
        customer.rewrite = unreachable
        office.operator.place("10086", "6001")
        b = await customer.rings()
        await b.pick_up()
        released = await office.operator.saw(LegReleased)
        assert (released.cause, released.released_by) == (Cause.MEDIA_UNREACHABLE, Side.ENDPOINT)
        assert "media.ice_servers" in released.text
        assert (await b.until(Ended)).by_remote

    async def test_a_restart_that_finds_no_way_leaves_the_old_one(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also for what is said later: hold and retrieve."""
        a, b = await talk(office, browsers=(True, False))
        caller, _ = await office.operator.talk()
        a.phone.rewrite = unreachable
        failed, restart_failed = asyncio.Event(), AudioEnd.restart_failed

        def notice(end: AudioEnd) -> None:
            restart_failed(end)
            failed.set()

        monkeypatch.setattr(AudioEnd, "restart_failed", notice)
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as phones:
            office.exchange.restart_ice(caller)
            phones.create_task(a.serve(1))
            await failed.wait()
        for reinvites, act in ((2, office.exchange.hold), (3, office.exchange.resume)):
            async with asyncio.TaskGroup() as phones:
                act(caller)
                phones.create_task(a.serve(reinvites))
                assert (await office.operator.saw(FarEndHold)).accepted
        await b.hears("6001")

    async def test_a_browser_that_closes_its_audio_is_given_time_for_its_bye(
        self, office: Office
    ) -> None:
        for says_goodbye, cause in ((True, Cause.NORMAL), (False, Cause.MEDIA_TIMEOUT)):
            customer = await office.phone("10086", websocket=True, key=str(cause))
            office.operator.place("10086", "6001")
            b = await customer.rings()
            await b.pick_up()
            await office.operator.saw(MediaConfirmed)
            b.go_silent()
            if says_goodbye:
                b.session.bye()
            released = await office.operator.saw(LegReleased)
            assert (released.cause, released.released_by) == (cause, Side.DEVICE)
            customer.registration.unregister()
