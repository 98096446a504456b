from __future__ import annotations

import pytest

from endpoint.media import messages as m
from endpoint.media.rtcp import PacketType, Reporter
from endpoint.media.rtp import Sender, Source
from tests.integration.endpoint.media.conftest import PhoneMaker, Studio, Talking
from tests.integration.endpoint.media.phone import Phone

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


def kinds(phone: Phone) -> list[int]:
    return [report[1] for report in phone.reports]


async def test_reports_go_to_the_rtcp_port_while_the_call_is_held_too(
    studio: Studio, talking: Talking
) -> None:
    a, _ = talking
    await a.until(lambda: PacketType.SR in kinds(a))
    await studio.route()
    count = len(a.reports)
    await a.until(lambda: kinds(a)[count:].count(PacketType.RR) >= 2)
    block = a.reports[-1][8:32]
    assert int.from_bytes(block[:4]) == a.ssrc


async def test_both_sides_learn_loss_and_round_trip(studio: Studio, talking: Talking) -> None:
    a, _ = talking
    far = Source()
    reporter = Reporter("far", Sender(), far)
    await a.until(lambda: PacketType.SR in kinds(a))
    for each in a.heard:
        far.receive(each.packet.ssrc, each.packet.sequence)
    far.lost += 3
    now = 1000.0
    reporter.receive(memoryview(next(r for r in a.reports if r[1] == PacketType.SR)), now)
    address = studio.addresses["A"]
    a.rtcp.sendto(reporter.report(now, sends=False), (address.host, address.rtcp_port))
    await a.until_packets(2)
    counted = await studio.statistics("A")
    assert counted.remote_lost == 3
    assert counted.round_trip_ms is not None
    assert counted.round_trip_ms >= 0


async def test_reports_share_the_rtp_port_where_that_was_negotiated(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a)
    await studio.link.request(a.remote("A", rtcp_mux=True))
    count = len(a.reports)
    await a.until(lambda: len(a.muxed_reports) >= 2)
    assert len(a.reports) == count
    goodbye = Reporter("far", Sender(), Source()).goodbye(1.0)
    a.rtp.sendto(goodbye, studio.to("A"))
    a.rtp.sendto(b"\x81\xc8\x00\x01", studio.to("A"))
    await studio.until_counted("A", lambda c: c.packets_malformed == 1)


async def test_a_bye_of_the_far_end_ends_nothing(studio: Studio, talking: Talking) -> None:
    a, b = talking
    await b.until_packets(5)
    address = studio.addresses["A"]
    goodbye = Reporter("far", Sender(), Source()).goodbye(1.0)
    a.rtcp.sendto(goodbye, (address.host, address.rtcp_port))
    await b.until_packets(30)
    assert b.hears() == {"A"}


async def test_closing_a_port_says_bye_and_frees_both_sockets(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a)
    await a.until(lambda: bool(a.reports))
    await studio.link.request(m.ClosePort("A"))
    await a.until(lambda: b"\xcb" in {report[-7:-6] for report in a.reports})
    again = await studio.link.request(m.OpenRtpPort("A"))
    assert again.rtp_port % 2 == 0
    assert again.rtcp_port == again.rtp_port + 1
    assert again.rtp_port != studio.addresses["A"].rtp_port


async def test_a_silent_far_end_is_told_once_and_again_after_it_spoke(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a, timeout_s=0.3)
    await studio.until_counted("A", lambda c: c.packets_received >= 25)
    assert m.MediaTimedOut("A") not in studio.notices
    a.hush()
    await studio.until_notice(m.MediaTimedOut)
    a.talk_to(studio.addresses["A"])
    received = (await studio.statistics("A")).packets_received
    await studio.until_counted("A", lambda c: c.packets_received >= received + 25)
    a.hush()
    await studio.until_notice(m.MediaTimedOut, 2)


async def test_a_far_end_that_may_be_silent_does_not_time_out(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a, talks=False, timeout_s=0.05)
    await studio.link.request(a.remote("A", receiving=False))
    await a.until(lambda: len(a.reports) >= 3)
    assert not [n for n in studio.notices if isinstance(n, m.MediaTimedOut)]
