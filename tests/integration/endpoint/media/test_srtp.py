"""Ports with SRTP by SDES, and who attacks them: S9, S11."""

from __future__ import annotations

import asyncio
import socket

import pytest

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.rtcp import is_rtcp
from endpoint.media.rtp import HEADER, RtpPacket, parse_rtp
from endpoint.media.srtp import SrtpSession
from endpoint.media.transport import BUFFER
from tests.integration.endpoint.media.conftest import PhoneMaker, Studio
from tests.integration.endpoint.media.phone import Heard, Phone

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


def key(profile: m.SrtpProfile, octet: int) -> m.SrtpKey:
    return m.SrtpKey(profile, bytes([octet]) * profile.master_size)


PROFILE = m.SrtpProfile.AES_CM_128_HMAC_SHA1_80
OURS, THEIRS = key(PROFILE, 1), key(PROFILE, 2)


class SecurePhone(Phone):
    """A phone whose sockets carry SRTP."""

    def secure(self, ours: m.SrtpKey, theirs: m.SrtpKey) -> m.SrtpKeys:
        """Protect from now on. Returns what the port must be told."""
        self.session = SrtpSession(m.SrtpKeys(theirs, ours))
        return m.SrtpKeys(ours, theirs)

    def send_packet(self, to: tuple[str, int], payload_type: int, payload: bytes) -> None:
        self.sequence = (self.sequence + 1) & 0xFFFF
        header = HEADER.pack(0x80, payload_type, self.sequence, self.timestamp, self.ssrc)

        def send(protected: bytes | memoryview) -> None:
            self.last = bytes(protected)
            self.rtp.sendto(self.last, to)

        self.session.protecting(send)(header + payload)

    def _receive(self, opened: socket.socket) -> None:
        datagram = opened.recv(2048)
        BUFFER[: len(datagram)] = datagram
        size = self.session.unprotect(len(datagram))
        clear = bytes(BUFFER[:size])
        assert clear, "nothing comes that is not authentic"
        packet = parse_rtp(memoryview(clear))
        if is_rtcp(clear[1]):
            self.muxed_reports.append(clear)
        elif packet is not None:
            self.heard.append(Heard(packet, self._loop.time()))
        self._arrived.set()

    def _receive_report(self, opened: socket.socket) -> None:
        report = self.session.unprotect_rtcp(opened.recv(2048))
        assert report
        self.reports.append(report)
        self._arrived.set()


async def connect(
    studio: Studio, phone: SecurePhone, keys: m.SrtpKeys, *, talks: bool = True, mux: bool = False
) -> None:
    address = await studio.link.request(m.OpenRtpPort(phone.name))
    studio.addresses[phone.name] = address
    await studio.link.request(phone.remote(phone.name, srtp=keys, rtcp_mux=mux))
    if talks:
        phone.talk_to(address)


@pytest.mark.parametrize("profile", m.SrtpProfile)
@pytest.mark.parametrize("mux", [True, False])
async def test_audio_digits_and_reports_go_both_ways(
    studio: Studio, phone: PhoneMaker, profile: m.SrtpProfile, mux: bool
) -> None:
    async with SecurePhone("A") as a:
        b = await phone("B")
        await connect(studio, a, a.secure(key(profile, 1), key(profile, 2)), mux=mux)
        await studio.connect(b)
        await studio.route("AB", "BA")
        await a.until_packets(60)
        assert (a.hears(), b.hears()) == ({"B"}, {"A"})
        a.press("7")
        (digit,) = await studio.until_notice(m.DigitReceived)
        assert (digit.port, digit.digit) == ("A", "7")
        await studio.link.request(m.SendDigits("A", "5"))
        await studio.until_notice(m.DigitsSent)
        assert any(h.packet.payload_type == 101 for h in a.heard)
        await a.until(lambda: bool(a.muxed_reports if mux else a.reports))
        counted = await studio.statistics("A")
        assert counted.packets_refused == counted.packets_foreign == counted.packets_lost == 0
        assert counted.srtp_profile is profile
        assert (await studio.statistics("B")).srtp_profile is None


async def test_a_report_that_can_not_be_protected_is_not_sent(
    studio: Studio, phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsrtp refuses what is no report."""
    a = await phone("A")
    protect, refused = SrtpSession.protect_rtcp, asyncio.Event()

    def refuse(self: SrtpSession, report: bytes) -> memoryview:
        refused.set()
        return protect(self, report[:4])

    with monkeypatch.context() as patch:
        patch.setattr(SrtpSession, "protect_rtcp", refuse)
        address = await studio.link.request(m.OpenRtpPort("A"))
        await studio.link.request(a.remote("A", srtp=m.SrtpKeys(OURS, THEIRS)))
        a.talk_to(address)
        async with asyncio.timeout(20):
            await refused.wait()
    await a.until(lambda: any(a.reports))
    assert all(a.reports)


async def test_what_is_not_authentic_or_replayed_changes_nothing(
    studio: Studio, phone: PhoneMaker
) -> None:
    """From the right address and from a wrong one; clear audio, junk, and its own packets again."""
    async with SecurePhone("A") as a:
        b, attacker = await phone("B"), await phone("X")
        await connect(studio, a, a.secure(OURS, THEIRS), talks=False)
        await studio.connect(b, talks=False)
        await studio.route("AB")
        to = studio.to("A")
        clear = HEADER.pack(0x80, 0, 1, 160, a.ssrc) + bytes(160)
        for _ in range(50):
            attacker.rtp.sendto(clear, to)
            a.rtp.sendto(clear, to)
        assert (await studio.until_counted("A", lambda c: c.packets_refused == 100)).remote == ""
        a.send_audio(to)
        for _ in range(50):
            a.rtp.sendto(a.last, to)
            a.rtp.sendto(clear, to)
        a.send_audio(to)
        await b.until_packets(2)
        counted = await studio.until_counted("A", lambda c: c.packets_refused == 200)
        assert len(b.heard) == counted.packets_received == 2
        assert counted.remote == f"127.0.0.1:{a.port}"


async def test_only_an_authentic_packet_moves_the_source_to_another_port(
    studio: Studio, phone: PhoneMaker
) -> None:
    async with SecurePhone("A") as a:
        attacker, real = await phone("X"), await phone("C")
        await connect(studio, a, a.secure(OURS, THEIRS), talks=False)
        await studio.link.request(m.SetRoutes("moh", [m.RouteTo("music", "A")]))
        attacker.talk_to(studio.addresses["A"])
        await studio.until_counted("A", lambda c: c.packets_refused >= 20)
        assert not attacker.heard
        # The same phone, behind another port.
        a.rtp, real.rtp = real.rtp, a.rtp
        a.talk_to(studio.addresses["A"])
        await studio.until_counted("A", lambda c: c.remote == f"127.0.0.1:{a.port}")
        a.rtp, real.rtp = real.rtp, a.rtp


async def test_new_keys_are_taken_the_same_keys_keep_their_counters_and_none_is_refused(
    studio: Studio, phone: PhoneMaker
) -> None:
    async with SecurePhone("A") as a:
        b = await phone("B")
        keys = a.secure(OURS, THEIRS)
        await connect(studio, a, keys)
        await studio.connect(b)
        await studio.route("AB", "BA")
        await b.until_packets(60)
        await studio.link.request(a.remote("A", srtp=keys))
        await b.until_packets(10)
        with pytest.raises(MediaError, match="never sent in the clear"):
            await studio.link.request(a.remote("A"))
        refused = (await studio.statistics("A")).packets_refused
        assert refused == 0
        renewed = a.secure(key(PROFILE, 3), key(PROFILE, 4))
        await studio.link.request(a.remote("A", srtp=renewed))
        heard: list[RtpPacket] = await b.until_packets(10)
        assert heard
        await a.until_packets(5)
