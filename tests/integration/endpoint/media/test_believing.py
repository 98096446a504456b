"""Media only from and to a proven source: S9 and S10."""

from __future__ import annotations

import asyncio
import itertools
import socket

import pytest

from endpoint.media import messages as m
from endpoint.media.link import MediaSettings
from endpoint.media.plane import Plane
from endpoint.media.port import RtpPort
from endpoint.media.rtp import HEADER
from endpoint.media.udp import UdpTransport
from tests.integration.endpoint.media.conftest import SETTINGS, PhoneMaker, Studio
from tests.integration.endpoint.media.phone import Phone

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

LOUD = b"\x00" * 160
"""A payload that nobody else sends: full negative scale."""


def spray(attacker: Phone, to: tuple[str, int], packets: int, *, ssrc: int = 66) -> None:
    for number in range(packets):
        header = HEADER.pack(0x80, 0, number & 0xFFFF, number * 160, ssrc)
        attacker.rtp.sendto(header + LOUD, to)


async def test_s11_strangers_do_not_fill_the_queue_before_a_source_is_proven(
    studio: Studio, phone: PhoneMaker
) -> None:
    """The loop may turn seldom, by the beat (`Pace`)."""
    a, attacker = await phone("A"), await phone("X")
    await studio.connect(a, talks=False)
    spray(attacker, studio.to("A"), 160)
    turns = 0
    while (await studio.statistics("A")).packets_foreign < 160:
        await asyncio.sleep(0)
        turns += 1
        assert turns <= 20


def heard_the_attacker(phone: Phone) -> bool:
    return any(bytes(each.packet.payload) == LOUD for each in phone.heard)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("knows_the_ssrc", [True, False])
async def test_s9_a_thousand_packets_from_a_wrong_source_change_nothing(
    studio: Studio, phone: PhoneMaker, host: str, knows_the_ssrc: bool
) -> None:
    a, b, attacker = await phone("A"), await phone("B"), await phone("X", host=host)
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await b.until_packets(5)
    for _ in range(20):
        spray(attacker, studio.to("A"), 50, ssrc=a.ssrc if knows_the_ssrc else 66)
        await b.until_packets(1)
    await b.until_packets(20)
    assert not heard_the_attacker(b)
    assert not attacker.heard
    assert b.hears() == {"A"}
    counted = await studio.statistics("A")
    assert counted.packets_lost == 0
    assert counted.packets_received == counted.packets_expected
    assert counted.remote == f"127.0.0.1:{a.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
async def test_s10_who_was_there_first_is_not_who_is_believed(
    studio: Studio, phone: PhoneMaker, host: str
) -> None:
    """The attacker sprays from before the remote is known, and until after the peer talks."""
    a, b, attacker = await phone("A"), await phone("B"), await phone("X", host=host)
    for each in (a, b):
        studio.addresses[each.name] = await studio.link.request(m.OpenRtpPort(each.name))
    spray(attacker, studio.to("A"), 200)
    await studio.route("AB", "BA")
    await studio.link.request(b.remote("B"))
    b.talk_to(studio.addresses["B"])
    spray(attacker, studio.to("A"), 200)
    await studio.link.request(a.remote("A"))
    spray(attacker, studio.to("A"), 2)
    a.talk_to(studio.addresses["A"])
    for _ in range(20):
        spray(attacker, studio.to("A"), 50)
        await a.until_packets(2)
    await b.until_packets(25)
    assert not heard_the_attacker(b)
    assert not attacker.heard
    assert not attacker.reports
    assert (a.hears(), b.hears()) == ({"B"}, {"A"})
    assert (await studio.statistics("A")).packets_foreign >= 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
async def test_s10_a_strict_port_never_believes_who_sprays_while_its_peer_is_silent(
    studio: Studio, phone: PhoneMaker, host: str
) -> None:
    """Elsewhere another host wins after `latch_other_host_s`: here long after it, nobody has."""
    a, b, attacker = await phone("A"), await phone("B"), await phone("X", host=host)
    await studio.connect(a, talks=False, strict_source=True)
    await studio.connect(b)
    await studio.route("AB", "BA")
    attacker.talk_to(studio.addresses["A"])
    waited_s = 1.5 * SETTINGS.latch_other_host_s
    await studio.until_counted("A", lambda c: c.packets_foreign >= waited_s / 0.02)
    assert (await studio.statistics("A")).remote == ""
    assert not attacker.heard
    a.talk_to(studio.addresses["A"])
    await b.until_packets(25)
    assert (a.hears(), b.hears()) == ({"B"}, {"A"})
    assert not attacker.heard


async def test_before_the_remote_is_known_nothing_is_accepted_and_nothing_is_sent(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(b)
    studio.addresses["A"] = await studio.link.request(m.OpenRtpPort("A"))
    a.talk_to(studio.addresses["A"])
    await studio.route("AB", "BA", "mA")
    await studio.until_counted("A", lambda c: c.packets_foreign >= 20)
    assert not a.heard
    assert not b.heard
    assert m.FirstPacket("A") not in studio.notices


async def test_a_peer_behind_another_port_is_found_and_keeps_the_port(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, real, b = await phone("A"), await phone("C"), await phone("B")
    await studio.connect(b)
    await studio.connect(a, talks=False)
    await studio.route("AB", "BA")
    real.talk_to(studio.addresses["A"])
    await real.until_packets(30)
    assert (real.hears(), b.hears()) == ({"B"}, {"C"})
    assert (await studio.statistics("A")).remote == f"127.0.0.1:{real.port}"
    # Even the signalled address comes too late now.
    count = len(b.heard)
    spray(a, studio.to("A"), 50)
    await b.until_packets(20)
    assert not heard_the_attacker(b)
    assert len(b.heard) - count >= 20


async def test_a_hold_by_the_null_address_leaves_the_source_who_it_is(
    studio: Studio, phone: PhoneMaker
) -> None:
    """Its port is not the signalled one; coming back must not open the search for it anew."""
    a, real, b = await phone("A"), await phone("C"), await phone("B")
    await studio.connect(b)
    await studio.connect(a, talks=False)
    await studio.route("AB", "BA")
    real.talk_to(studio.addresses["A"])
    await real.until_packets(2)
    real.hush()
    await studio.link.request(a.remote("A", host="0.0.0.0"))
    await studio.link.request(a.remote("A"))
    assert (await studio.statistics("A")).remote == f"127.0.0.1:{real.port}"
    await real.until_packets(5)


async def test_a_peer_at_the_highest_port_is_reported_to_and_can_be_closed(
    studio: Studio, phone: PhoneMaker
) -> None:
    """There is no port above it for RTCP."""
    a = await phone("A")
    await studio.connect(a, talks=False)
    with socket.socket(type=socket.SOCK_DGRAM) as real:
        real.bind(("127.0.0.1", 65535))
        async with asyncio.timeout(20):
            for number in itertools.count():
                packet = HEADER.pack(0x80, 0, number, number * 160, 66) + LOUD
                real.sendto(packet, studio.to("A"))
                if (await studio.statistics("A")).remote:
                    break
                await asyncio.sleep(0.01)
    await studio.link.request(m.ClosePort("A"))
    # Its sockets are free again.
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(studio.to("A"))


class _Unreachable(socket.socket):
    """Reports two ICMP errors in place of its second and third packet."""

    reads = 0

    def recvfrom_into(
        self, buffer: bytearray, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, tuple[str, int]]:
        self.reads += 1
        if self.reads in (2, 3):
            raise ConnectionRefusedError
        return super().recvfrom_into(buffer, nbytes, flags)


async def test_an_error_of_the_socket_does_not_end_the_search_for_foreign_packets(
    phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the socket was connected is behind the error, and foreign all the same."""
    monkeypatch.setattr("endpoint.media.udp._TRUST_KERNEL_AFTER_S", 0.0)
    a, attacker = await phone("A"), await phone("X")
    pair = _Unreachable(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    for each in pair:
        each.setblocking(False)
        each.bind(("127.0.0.1", 0))
    owner = Plane(MediaSettings(), lambda message: None)
    transport = UdpTransport(pair, MediaSettings(), owner.readers)
    port = RtpPort("A", transport, MediaSettings(), owner, rtp_timeout_s=0)
    port.set_remote(a.remote("A"))
    a.send_audio(pair[0].getsockname())
    spray(attacker, pair[0].getsockname(), 5)
    async with asyncio.timeout(20):
        while port.statistics().packets_foreign + port.statistics().packets_received < 6:
            await asyncio.sleep(0)
            continue
    assert port.statistics().packets_foreign == 5
    port.close()


async def test_a_peer_behind_another_host_is_found_later(studio: Studio, phone: PhoneMaker) -> None:
    a, real, b = await phone("A"), await phone("C", host="127.0.0.2"), await phone("B")
    await studio.connect(b)
    await studio.connect(a, talks=False)
    await studio.route("AB", "BA")
    real.talk_to(studio.addresses["A"])
    await real.until_packets(5)
    assert b.heard
    assert (await studio.statistics("A")).remote == f"127.0.0.2:{real.port}"


async def test_another_payload_type_never_proves_a_source(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, stranger = await phone("A"), await phone("C", m.PayloadType(77, "PCMU"))
    await studio.connect(a, talks=False)
    stranger.talk_to(studio.addresses["A"])
    counted = await studio.until_counted("A", lambda c: c.packets_foreign >= 40)
    assert counted.remote == ""


async def test_what_waited_in_the_socket_before_it_was_connected_is_looked_at_too(
    studio: Studio, phone: PhoneMaker
) -> None:
    """All these packets are there before the loop turns: attacker, peer, attacker."""
    a, b, attacker = await phone("A"), await phone("B"), await phone("X")
    await studio.connect(b, talks=False)
    await studio.connect(a, talks=False)
    await studio.route("AB")
    spray(attacker, studio.to("A"), 50)
    a.send_audio(studio.to("A"))
    spray(attacker, studio.to("A"), 50, ssrc=a.ssrc)
    a.send_audio(studio.to("A"))
    await b.until_packets(2)
    assert not heard_the_attacker(b)
    assert (await studio.statistics("A")).packets_foreign == 100


async def test_malformed_packets_of_the_peer_are_counted_and_dropped(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(b, talks=False)
    await studio.connect(a, talks=False)
    await studio.route("AB")
    a.send_audio(studio.to("A"))
    for junk in (b"", b"\x80", b"\x80" * 12, b"\xa0" + b"\xff" * 30, b"hello world", bytes(3000)):
        a.rtp.sendto(junk, studio.to("A"))
    a.send_audio(studio.to("A"))
    await b.until_packets(2)
    assert len(b.heard) == 2
    assert (await studio.statistics("A")).packets_malformed == 6


async def test_reports_from_elsewhere_are_not_believed(studio: Studio, phone: PhoneMaker) -> None:
    a, attacker = await phone("A"), await phone("X", host="127.0.0.2")
    await studio.connect(a)
    address = studio.addresses["A"]
    for _ in range(10):
        attacker.rtcp.sendto(b"\x80\xc9\x00\x01abcd", (address.host, address.rtcp_port))
    await a.until(lambda: len(a.reports) >= 3)
    assert not attacker.reports
    assert (await studio.statistics("A")).packets_foreign == 10


async def test_the_kernel_keeps_others_away_once_a_source_is_proven(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, attacker = await phone("A"), await phone("B"), await phone("X")
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await b.until_packets(10)
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect(studio.to("A"))
        probe.setblocking(False)
        probe.send(b"anybody?")
        await b.until_packets(2)
        with pytest.raises(ConnectionRefusedError):
            probe.send(b"anybody?")
    spray(attacker, studio.to("A"), 5)
    await b.until_packets(5)
    assert not heard_the_attacker(b)
