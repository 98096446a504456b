from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.media.rtcp import PacketType, Reporter, is_rtcp
from endpoint.media.rtp import Sender, Source
from endpoint.media.xr import VoipMetrics

pytestmark = pytest.mark.unit


class End:
    """One end of a stream each way."""

    def __init__(self) -> None:
        self.sender = Sender()
        self.source = Source()
        self.reporter = Reporter("name@host", self.sender, self.source)

    def hears(self, other: End, packets: int, lost: int = 0) -> None:
        for number in range(packets + lost):
            packet = other.sender.frame(0, bytes(160), 100 + number * 0.02)
            if number < packets - 1 or number == packets + lost - 1:
                self.source.receive(other.sender.ssrc, int.from_bytes(packet[2:4]))


def kinds(compound: bytes) -> list[int]:
    found, at = [], 0
    while at < len(compound):
        found.append(compound[at + 1])
        at += 4 + 4 * int.from_bytes(compound[at + 2 : at + 4])
    assert at == len(compound)
    return found


def test_who_has_sent_reports_as_a_sender_and_names_itself() -> None:
    a, b = End(), End()
    b.hears(a, 10)
    assert kinds(a.reporter.report(101.0, sends=True)) == [PacketType.SR, PacketType.SDES]
    assert kinds(b.reporter.report(101.0, sends=False)) == [PacketType.RR, PacketType.SDES]
    assert b"name@host" in a.reporter.report(101.0, sends=True)
    report = a.reporter.report(101.0, sends=True)
    assert int.from_bytes(report[20:24]) == 10
    assert int.from_bytes(report[24:28]) == 1600


def test_the_far_end_s_report_tells_loss_and_round_trip() -> None:
    a, b = End(), End()
    b.hears(a, 30, lost=10)
    # 30 ms there, half a second to answer, 20 ms back.
    b.reporter.receive(memoryview(a.reporter.report(200.0, sends=True)), 200.03)
    a.reporter.receive(memoryview(b.reporter.report(200.53, sends=False)), 200.55)
    assert a.reporter.remote.lost == 10
    assert a.reporter.remote.round_trip_s == pytest.approx(0.05, abs=0.001)


def test_the_fraction_lost_is_of_the_time_since_the_last_report() -> None:
    a, b = End(), End()
    b.hears(a, 75, lost=25)
    block = 8
    assert b.reporter.report(1.0, sends=False)[block + 4] == 64
    assert b.reporter.report(2.0, sends=False)[block + 4] == 0


def test_what_another_ssrc_lost_before_is_not_told_of_the_new_one() -> None:
    a, b, c = End(), End(), End()
    b.hears(a, 30, lost=10)
    b.hears(c, 30, lost=2)
    c.reporter.receive(memoryview(b.reporter.report(1.0, sends=False)), 1.0)
    assert c.reporter.remote.lost == 2
    assert b.source.lost == 12


def test_a_report_about_somebody_else_tells_nothing() -> None:
    a, b, c = End(), End(), End()
    b.hears(c, 10, lost=5)
    a.reporter.receive(memoryview(b.reporter.report(1.0, sends=False)), 1.0)
    assert a.reporter.remote.lost is None


def test_the_far_end_s_report_tells_jitter_and_the_loss_since_the_one_before() -> None:
    a, b = End(), End()
    b.hears(a, 75, lost=25)
    b.source.jitter = 24.0
    a.reporter.receive(memoryview(b.reporter.report(1.0, sends=False)), 1.0)
    assert (a.reporter.remote.loss, a.reporter.remote.jitter) == (0.25, 24)


class Browser:
    """Reports what it sends and what it receives apart, as Chromium; hears what it is sent."""

    def __init__(self) -> None:
        self.ours, self.receiver, self.sender = End(), End(), End()
        self.sender.sender.frame(0, bytes(160), 0.0)
        self.now = 100.0

    def is_sent(self, seconds: float, *, heard: bool = True) -> None:
        self.now += seconds
        for _ in range(round(seconds * 50)):
            packet = self.ours.sender.frame(0, bytes(160), self.now)
            if heard:
                self.receiver.source.receive(self.ours.sender.ssrc, int.from_bytes(packet[2:4]))

    def says_what_it_sends(self) -> bool | None:
        return self._says(self.sender.reporter.report(self.now, sends=True))

    def says_what_it_receives(self) -> bool | None:
        return self._says(self.receiver.reporter.report(self.now, sends=False))

    def _says(self, report: bytes) -> bool | None:
        self.ours.reporter.receive(memoryview(report), self.now)
        return self.ours.reporter.remote.hears


@pytest.mark.parametrize("interval_s", [1.0, 2.5, 5.0, 7.5])
def test_a_report_of_what_is_sent_alone_does_not_say_that_we_are_not_heard(
    interval_s: float,
) -> None:
    browser = Browser()
    for _ in range(8):
        browser.is_sent(interval_s / 2)
        assert browser.says_what_it_sends() is not False
        browser.is_sent(interval_s / 2)
        assert browser.says_what_it_receives() is True
        assert browser.says_what_it_sends() is True


@pytest.mark.parametrize("interval_s", [1.0, 2.5, 5.0, 7.5])
def test_after_a_pause_of_ours_the_far_end_has_its_time_to_report(interval_s: float) -> None:
    browser = Browser()
    for _ in range(3):
        browser.is_sent(interval_s)
        assert browser.says_what_it_receives() is True
        for _ in range(12):
            browser.now += interval_s
            assert browser.says_what_it_sends() is not False
        browser.is_sent(interval_s - 0.02)
        assert browser.says_what_it_sends() is not False


def test_one_report_that_is_lost_does_not_say_that_we_are_not_heard() -> None:
    browser = Browser()
    browser.is_sent(7.5)
    assert browser.says_what_it_receives() is True
    browser.is_sent(7.5)
    assert browser.says_what_it_sends() is True
    browser.is_sent(7.5)
    assert browser.says_what_it_sends() is True
    assert browser.says_what_it_receives() is True


def test_what_was_agreed_anew_is_judged_anew() -> None:
    browser = Browser()
    browser.is_sent(5.0)
    browser.says_what_it_receives()
    browser.is_sent(5.0, heard=False)
    assert browser.says_what_it_receives() is False
    browser.ours.reporter.restart()
    assert browser.says_what_it_receives() is None
    browser.is_sent(5.0)
    assert browser.says_what_it_receives() is True


def test_a_far_end_that_never_says_that_it_hears_us_does_not() -> None:
    browser = Browser()
    said = []
    for _ in range(4):
        browser.is_sent(5.0, heard=False)
        said.append(browser.says_what_it_sends())
    assert said == [None, None, False, False]


def test_a_far_end_that_says_no_more_that_it_hears_us_does_not() -> None:
    browser = Browser()
    browser.is_sent(5.0)
    assert browser.says_what_it_receives() is True
    said = []
    for _ in range(5):
        browser.is_sent(5.0, heard=False)
        said.append(browser.says_what_it_sends())
    assert said == [True, True, True, False, False]
    browser.is_sent(1.0)
    assert browser.says_what_it_receives() is True


@pytest.mark.parametrize("interval_s", [2.5, 5.0, 7.5])
def test_a_block_that_stays_as_it_was_says_at_once_that_we_are_not_heard(
    interval_s: float,
) -> None:
    browser = Browser()
    browser.is_sent(interval_s)
    assert browser.says_what_it_receives() is True
    browser.is_sent(interval_s, heard=False)
    assert browser.says_what_it_receives() is False
    browser.is_sent(interval_s)
    assert browser.says_what_it_receives() is True


def test_extended_reports_are_sent_where_they_were_asked_for() -> None:
    a, b = End(), End()
    plain = [PacketType.RR, PacketType.SDES]
    assert kinds(a.reporter.report(1.0, sends=False)) == plain
    a.reporter.extended = ("rcvr-rtt=all",)
    assert kinds(a.reporter.report(1.0, sends=False)) == [*plain, PacketType.XR]
    metrics = VoipMetrics(b.sender.ssrc, loss=0.5, conversation_mos=3.9)
    report = a.reporter.report(2.0, sends=False, metrics=metrics)
    assert b.reporter.receive(memoryview(report), 2.0)
    assert b.reporter.remote.metrics == metrics


def test_who_only_receives_learns_the_round_trip_by_extended_reports() -> None:
    a, b = End(), End()
    a.reporter.extended = b.reporter.extended = ("rcvr-rtt=all",)
    b.reporter.receive(memoryview(a.reporter.report(200.0, sends=False)), 200.03)
    a.reporter.receive(memoryview(b.reporter.report(200.53, sends=False)), 200.55)
    assert a.reporter.remote.round_trip_s == pytest.approx(0.05, abs=0.001)


def test_where_only_senders_shall_say_it_back_a_receiver_does_not() -> None:
    a, b = End(), End()
    a.reporter.extended = b.reporter.extended = ("rcvr-rtt=sender",)
    b.reporter.receive(memoryview(a.reporter.report(200.0, sends=False)), 200.03)
    a.reporter.receive(memoryview(b.reporter.report(200.53, sends=False)), 200.55)
    assert a.reporter.remote.round_trip_s is None
    b.sender.frame(0, bytes(160), 200.6)
    a.reporter.receive(memoryview(b.reporter.report(201.03, sends=True)), 201.05)
    assert a.reporter.remote.round_trip_s == pytest.approx(0.05, abs=0.001)


def test_metrics_about_somebody_else_tell_nothing() -> None:
    a, b = End(), End()
    report = b.reporter.report(2.0, sends=False, metrics=VoipMetrics(1234))
    a.reporter.receive(memoryview(report), 2.0)
    assert a.reporter.remote.metrics is None


def test_more_received_than_expected_is_a_negative_loss() -> None:
    a, b = End(), End()
    b.hears(a, 5)
    b.source.receive(a.sender.ssrc, a.sender.sequence)
    a.reporter.receive(memoryview(b.reporter.report(1.0, sends=False)), 1.0)
    assert a.reporter.remote.lost == -1


def test_a_bye_is_counted_and_nothing_else_happens() -> None:
    a, b = End(), End()
    goodbye = b.reporter.goodbye(5.0)
    assert kinds(goodbye) == [PacketType.RR, PacketType.SDES, PacketType.BYE]
    assert a.reporter.receive(memoryview(goodbye), 5.0)
    assert a.reporter.remote.byes == 1


@pytest.mark.parametrize(
    "datagram",
    [b"\x80", b"\x40\xc9\x00\x00", b"\x80\xc9\x00\x09abcd", b"\x80\xc9\x00\x01abcd\x80\xca"],
)
def test_what_is_cut_short_is_malformed(datagram: bytes) -> None:
    assert not End().reporter.receive(memoryview(datagram), 1.0)


@given(st.binary(max_size=120))
def test_noise_never_raises(noise: bytes) -> None:
    End().reporter.receive(memoryview(b"\x81\xc8" + noise), 1.0)
    words = (len(noise) // 4).to_bytes(2)
    End().reporter.receive(memoryview(b"\x80\xcf" + words + noise), 1.0)
    End().reporter.receive(memoryview(noise), 1.0)


def test_rtcp_and_rtp_are_told_apart_by_the_second_octet() -> None:
    assert [octet for octet in range(256) if is_rtcp(octet)] == list(range(192, 224))
