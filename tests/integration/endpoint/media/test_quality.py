"""How a port is heard, and why it is not: one word for each direction."""

from __future__ import annotations

import asyncio

import pytest

from endpoint.media import messages as m
from endpoint.media.messages import ReceivedDiagnosis, SentDiagnosis
from endpoint.media.rtcp import PacketType, Reporter
from endpoint.media.rtp import Sender, Source
from endpoint.media.xr import Block, ReferenceTime, VoipMetrics, parse_blocks
from tests.integration.endpoint.media.conftest import PhoneMaker, Studio, Talking
from tests.integration.endpoint.media.phone import PCMA, PCMU, Phone
from tests.integration.endpoint.media.test_srtp import OURS, PROFILE, THEIRS, SecurePhone, key

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

SILENCE = 0xFF


async def until_received(studio: Studio, port: str, diagnosis: ReceivedDiagnosis) -> m.Statistics:
    return await studio.until_counted(port, lambda s: s.diagnosis_received is diagnosis)


async def until_sent(studio: Studio, port: str, diagnosis: SentDiagnosis) -> m.Statistics:
    return await studio.until_counted(port, lambda s: s.diagnosis_sent is diagnosis)


class FarEnd:
    """What a phone says in RTCP of what it heard of us."""

    def __init__(self, studio: Studio, phone: Phone) -> None:
        self.heard = Source()
        self._phone = phone
        self._address = studio.addresses[phone.name]
        self._reporter = Reporter("far", Sender(), self.heard)

    def report(self, *, lost: int = 0, metrics: VoipMetrics | None = None) -> None:
        """Count all that came since the report before, and that so much was lost."""
        for each in self._phone.heard:
            self.heard.receive(each.packet.ssrc, each.packet.sequence)
        self._phone.heard.clear()
        self.heard.lost += lost
        self.say(metrics)

    def say(self, metrics: VoipMetrics | None = None) -> None:
        """Report what has been counted."""
        report = self._reporter.report(1000.0, sends=False, metrics=metrics)
        self._phone.rtcp.sendto(report, (self._address.host, self._address.rtcp_port))


async def test_a_call_that_is_fine_has_the_best_score_both_ways(
    studio: Studio, talking: Talking
) -> None:
    a, _ = talking
    far = FarEnd(studio, a)
    await a.until_packets(30)
    far.report()
    counted = await studio.until_counted("A", lambda s: s.remote_mos is not None)
    assert counted.diagnosis_received is ReceivedDiagnosis.FINE
    assert counted.diagnosis_sent is SentDiagnosis.FINE
    assert (counted.loss_percent, counted.remote_loss_percent) == (0, 0)
    assert counted.mos is not None
    assert counted.mos > 4
    assert counted.remote_mos is not None
    assert counted.remote_mos > 4
    assert counted.remote_jitter_ms is not None
    assert counted.sent_level_dbov == pytest.approx(-15, abs=0.5)


# -- what comes -----------------------------------------------------------------------------------


async def test_without_a_far_end_that_is_what_is_said(studio: Studio) -> None:
    await studio.link.request(m.OpenRtpPort("A"))
    counted = await studio.statistics("A")
    assert counted.diagnosis_received is ReceivedDiagnosis.NO_FAR_END
    assert counted.diagnosis_sent is SentDiagnosis.NO_FAR_END


async def test_nothing_that_comes_is_a_beginning_at_first_and_then_a_fault(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a, talks=False)
    assert (await studio.statistics("A")).diagnosis_received is ReceivedDiagnosis.BEGINNING
    counted = await until_received(studio, "A", ReceivedDiagnosis.NO_PACKETS)
    assert (counted.mos, counted.loss_percent) == (None, None)


async def test_packets_that_stop_are_missed_though_many_came(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a)
    await until_received(studio, "A", ReceivedDiagnosis.FINE)
    a.hush()
    counted = await until_received(studio, "A", ReceivedDiagnosis.NO_PACKETS)
    assert counted.packets_received > 0
    a.talk_to(studio.addresses["A"])
    await until_received(studio, "A", ReceivedDiagnosis.FINE)


async def test_a_call_on_hold_by_the_far_end_is_no_fault(studio: Studio, phone: PhoneMaker) -> None:
    a = await phone("A")
    await studio.connect(a, talks=False)
    await studio.link.request(a.remote("A", receiving=False, sending=False))
    await asyncio.sleep(0)
    counted = await studio.statistics("A")
    assert counted.diagnosis_received is ReceivedDiagnosis.HELD
    assert counted.diagnosis_sent is SentDiagnosis.HELD


async def test_packets_of_silence(studio: Studio, phone: PhoneMaker) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(a, talks=False)
    await studio.connect(b)
    await studio.route("AB")
    a.count_in(studio.addresses["A"], [SILENCE])
    await until_received(studio, "A", ReceivedDiagnosis.SILENCE)
    await until_sent(studio, "B", SentDiagnosis.SILENCE)


async def test_packets_of_another_source(studio: Studio, phone: PhoneMaker) -> None:
    a, stranger = await phone("A"), await phone("S", PCMA, host="127.0.0.2")
    await studio.connect(a, talks=False)
    stranger.talk_to(studio.addresses["A"])
    counted = await until_received(studio, "A", ReceivedDiagnosis.WRONG_SOURCE)
    assert counted.packets_foreign > 0
    assert counted.remote == ""


async def test_a_far_end_that_has_moved_is_told_from_one_that_is_gone(
    studio: Studio, phone: PhoneMaker
) -> None:
    """It is not believed at its new place, and nothing is sent there; it may come back."""
    a, b, moved = await phone("A"), await phone("B"), await phone("M")
    await studio.connect(a)
    await studio.connect(b)
    await studio.route("AB", "BA")
    await until_received(studio, "A", ReceivedDiagnosis.FINE)
    a.hush()
    await until_received(studio, "A", ReceivedDiagnosis.NO_PACKETS)
    moved.talk_to(studio.addresses["A"])
    counted = await until_received(studio, "A", ReceivedDiagnosis.WRONG_SOURCE)
    assert counted.remote.endswith(f":{a.port}")
    await a.until_packets(5)
    a.talk_to(studio.addresses["A"])
    await until_received(studio, "A", ReceivedDiagnosis.FINE)
    await b.until(lambda: b.hears() == {"A"})
    assert moved.heard == []


async def test_packets_with_other_keys(studio: Studio) -> None:
    async with SecurePhone("A") as a:
        a.secure(key(PROFILE, 3), key(PROFILE, 4))
        address = await studio.link.request(m.OpenRtpPort("A"))
        keys = m.SrtpKeys(OURS, THEIRS)
        await studio.link.request(a.remote("A", srtp=keys, sending=False))
        # Reports of ours are nothing that it could read either.
        a.rtcp.close()
        a.talk_to(address)
        counted = await until_received(studio, "A", ReceivedDiagnosis.NOT_AUTHENTIC)
        assert counted.packets_refused > 0


async def test_packets_of_a_codec_that_nobody_agreed_on(studio: Studio, phone: PhoneMaker) -> None:
    a = await phone("A")
    await studio.connect(a, talks=False)
    a.speak(PCMA)
    a.talk_to(studio.addresses["A"])
    counted = await until_received(studio, "A", ReceivedDiagnosis.NOT_NEGOTIATED)
    assert counted.packets_unnegotiated > 0
    a.speak(PCMU)
    await until_received(studio, "A", ReceivedDiagnosis.FINE)


async def test_packets_that_are_no_rtp(studio: Studio, phone: PhoneMaker) -> None:
    a = await phone("A")
    await studio.connect(a)
    await until_received(studio, "A", ReceivedDiagnosis.FINE)
    a.hush()
    async with asyncio.timeout(20):
        while True:
            a.rtp.sendto(b"what is this?", studio.to("A"))
            counted = await studio.statistics("A")
            if counted.diagnosis_received is ReceivedDiagnosis.UNDECODABLE:
                break
            await asyncio.sleep(0.02)
    assert counted.packets_malformed > 0


async def test_packets_that_can_not_be_decoded_are_told_though_they_are_only_forwarded(
    studio: Studio, phone: PhoneMaker
) -> None:
    opus = m.PayloadType(111, "OPUS", 48000, 2)
    a = await phone("A")
    await studio.connect(a, talks=False)
    await studio.link.request(a.remote("A", send=[opus], receive=[opus]))
    for _ in range(40):
        a.send_packet(studio.to("A"), opus.number, b"\xff\xff\xff")
    await until_received(studio, "A", ReceivedDiagnosis.UNDECODABLE)


async def test_what_is_listened_to_has_a_jitter_buffer_that_is_told_of(
    studio: Studio, phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await phone("A")
    await studio.connect(a)
    await until_received(studio, "A", ReceivedDiagnosis.FINE)
    assert (await studio.statistics("A")).playout_ms is None
    await studio.link.request(m.StartListening("A"))
    counted = await studio.until_counted("A", lambda s: bool(s.playout_ms))

    lost, enough = 0, asyncio.Event()

    def lose(*_: object) -> None:
        nonlocal lost
        a.sequence, lost = (a.sequence + 1) & 0xFFFF, lost + 1
        if lost >= 5:
            enough.set()

    with monkeypatch.context() as network:
        network.setattr(a, "send_packet", lose)
        async with asyncio.timeout(20):
            await enough.wait()
    after = await studio.until_counted("A", lambda s: s.packets_lost == lost)
    after = await studio.until_counted("A", lambda s: s.concealed_ms >= counted.concealed_ms + 20)
    assert after.packets_late == 0


async def test_many_packets_that_get_lost(studio: Studio, phone: PhoneMaker) -> None:
    a = await phone("A")
    await studio.connect(a, talks=False)
    for _ in range(60):
        a.send_audio(studio.to("A"))
        a.sequence = (a.sequence + 1) & 0xFFFF
    counted = await until_received(studio, "A", ReceivedDiagnosis.POOR)
    assert counted.loss_percent is not None
    assert 45 < counted.loss_percent < 50
    assert counted.mos is not None
    assert counted.mos < 2


async def test_a_webrtc_port_without_a_way(studio: Studio) -> None:
    await studio.link.request(m.OpenWebRtcPort("W", True))
    fingerprint = m.Fingerprint("sha-256", ":".join(["AB"] * 32))
    remote = m.SetWebRtcRemote(
        "W",
        "abcd",
        "p" * 22,
        [fingerprint],
        m.DtlsRole.SERVER,
        [PCMU],
        [PCMU],
        candidates_complete=False,
    )
    await studio.link.request(remote)
    counted = await studio.statistics("W")
    assert counted.diagnosis_received is ReceivedDiagnosis.NOT_CONNECTED
    assert counted.diagnosis_sent is SentDiagnosis.NOT_CONNECTED


# -- what goes ------------------------------------------------------------------------------------


async def test_who_is_routed_to_nobody_and_who_to_somebody_who_sends_nothing(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A"), await phone("B")
    await studio.connect(a, talks=False)
    await studio.connect(b)
    await until_sent(studio, "B", SentDiagnosis.NOT_ROUTED)
    await studio.route("AB")
    await until_sent(studio, "B", SentDiagnosis.NOTHING_TO_SEND)
    await studio.route("mB")
    counted = await until_sent(studio, "B", SentDiagnosis.FINE)
    assert counted.sent_level_dbov is None


async def test_a_far_end_that_reports_to_hear_nothing(studio: Studio, phone: PhoneMaker) -> None:
    b = await phone("B")
    await studio.connect(b)
    await studio.route("mB")
    await b.until_packets(30)
    far = FarEnd(studio, b)
    far.report()
    await until_sent(studio, "B", SentDiagnosis.FINE)
    await b.until_packets(80)
    far.say()
    await until_sent(studio, "B", SentDiagnosis.PEER_HEARS_NOTHING)
    far.report()
    await until_sent(studio, "B", SentDiagnosis.FINE)


async def test_a_far_end_that_reports_much_loss(studio: Studio, phone: PhoneMaker) -> None:
    b = await phone("B")
    await studio.connect(b)
    await studio.route("mB")
    await b.until_packets(30)
    far = FarEnd(studio, b)
    far.report(lost=15)
    counted = await until_sent(studio, "B", SentDiagnosis.POOR)
    assert counted.remote_loss_percent == pytest.approx(50, abs=5)


async def test_reports_that_no_longer_come_tell_nothing_of_now(
    studio: Studio, phone: PhoneMaker
) -> None:
    b = await phone("B")
    await studio.connect(b)
    await studio.route("mB")
    await b.until_packets(30)
    FarEnd(studio, b).report(lost=15)
    await until_sent(studio, "B", SentDiagnosis.POOR)
    counted = await until_sent(studio, "B", SentDiagnosis.FINE)
    assert counted.remote_mos is None
    assert counted.remote_lost == 15


async def test_reports_about_nothing_tell_nothing(studio: Studio, phone: PhoneMaker) -> None:
    b = await phone("B")
    await studio.connect(b)
    await studio.route("mB")
    await b.until_packets(30)
    far = FarEnd(studio, b)
    far.report()
    await studio.until_counted("B", lambda s: s.remote_mos is not None)
    await studio.route()
    await until_sent(studio, "B", SentDiagnosis.NOT_ROUTED)
    far.report()
    await studio.until_counted("B", lambda s: s.remote_mos is None)


async def test_what_the_far_end_judges_itself_goes_before_what_we_make_of_its_reports(
    studio: Studio, phone: PhoneMaker
) -> None:
    b = await phone("B")
    await studio.connect(b)
    await studio.route("mB")
    await b.until_packets(30)
    ssrc = studio.addresses["B"].ssrc
    FarEnd(studio, b).report(metrics=VoipMetrics(ssrc, conversation_mos=2.1))
    counted = await until_sent(studio, "B", SentDiagnosis.POOR)
    assert counted.remote_mos == 2.1


# -- extended reports -----------------------------------------------------------------------------


def blocks(report: bytes) -> list[Block]:
    """The extended blocks of a compound packet."""
    found: list[Block] = []
    at = 0
    while at < len(report):
        size = 4 + 4 * int.from_bytes(report[at + 2 : at + 4])
        if report[at + 1] == PacketType.XR:
            found += parse_blocks(memoryview(report)[at + 8 : at + size])
        at += size
    return found


async def test_who_asked_for_extended_reports_is_told_how_it_is_heard(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a)
    await a.until(lambda: len(a.reports) >= 2)
    assert [blocks(report) for report in a.reports] == [[]] * len(a.reports)
    await studio.link.request(a.remote("A", reports=["rcvr-rtt=all", "voip-metrics"]))
    await a.until(lambda: len(blocks(a.reports[-1])) == 2)
    reference, metrics = blocks(a.reports[-1])
    assert isinstance(reference, ReferenceTime)
    assert isinstance(metrics, VoipMetrics)
    assert (metrics.ssrc, metrics.loss, metrics.burst_ms) == (a.ssrc, 0, 0)
    assert metrics.signal_dbm == pytest.approx(-9, abs=1)
    assert metrics.conversation_mos is not None
    assert metrics.conversation_mos > 4
