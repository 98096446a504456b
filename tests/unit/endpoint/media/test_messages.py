from __future__ import annotations

import msgspec
import pytest

from endpoint.audio.tones import RING_BACK
from endpoint.media import messages as m

pytestmark = pytest.mark.unit

COMMANDS: list[m.AnyCommand] = [
    m.OpenRtpPort("a", 20.0, id=1),
    m.SetRemote(
        "a", "192.0.2.1", 4000, 4001, [m.PayloadType(0, "PCMU")], [m.PayloadType(8, "PCMA")], id=2
    ),
    m.SetRemote(
        "a",
        "192.0.2.1",
        4000,
        4001,
        [],
        [],
        srtp=m.SrtpKeys(*(m.SrtpKey(m.SrtpProfile.AEAD_AES_128_GCM, bytes(28)) for _ in range(2))),
        id=14,
    ),
    m.OpenWebRtcPort("w", True, [m.IceServer("turn:192.0.2.1", "user", "word")], id=15),
    m.SetWebRtcRemote(
        "w",
        "abcd",
        "p" * 22,
        [m.Fingerprint("sha-256", "AB")],
        m.DtlsRole.SERVER,
        [],
        [],
        candidates=["1 1 udp 1 192.0.2.1 4000 typ host"],
        id=16,
    ),
    m.AddCandidates("w", [], complete=True, id=17),
    m.RestartIce("w", True, new_association=True, id=18),
    m.OpenFilePlayer("f", "voice.wav", id=3),
    m.OpenSink("s", id=4),
    m.ClosePort("a", id=5),
    m.SetRoutes("g", [m.RouteTo("a", "b", -6.0)], id=6),
    m.SendDigits("a", "1#", id=7),
    m.StartRecording("r", "a", "r.wav", id=8),
    m.StopRecording("r", id=9),
    m.StartListening("a", id=10),
    m.ReadHeard("a", id=11),
    m.ReadStatistics("a", id=12),
    m.Ping(id=13),
]
ANSWERS: list[m.Reply | m.Failed | m.Notice] = [
    m.Reply(1, m.Done()),
    m.Reply(2, m.RtpAddress("127.0.0.1", 20000, 20001, 7, "name")),
    m.Reply(3, m.RecordingInfo("r.wav", 1000)),
    m.Reply(4, m.Heard(b"\x01\x02", 8000)),
    m.Reply(5, m.Statistics(packets_received=3, round_trip_ms=1.5)),
    m.Failed(6, "no"),
    m.Reply(6, m.WebRtcAddress("abcd", "p" * 22, [], [m.Fingerprint("sha-256", "AB")], 7, "name")),
    m.PortConnected("w", m.SrtpProfile.AEAD_AES_256_GCM),
    m.PortFailed("w", m.PortFailure.WRONG_FINGERPRINT),
    m.RestartFailed("w", m.PortFailure.NO_ROUTE),
    m.CandidatesFound("w", ["1 1 udp 1 192.0.2.1 4000 typ host"], False, "abcd"),
    m.FirstPacket("a"),
    m.DigitReceived("a", "#", 100),
    m.DigitsSent("a", "1"),
    m.MediaTimedOut("a"),
    m.PlaybackEnded("f"),
    m.PortClosed("a", m.Statistics(packets_received=3)),
    m.PortClosed("s"),
    m.RecordingFailed("r", "full"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_a_command_arrives_as_it_was_sent(command: m.AnyCommand) -> None:
    assert m.decode_command(m.encode(command)) == command


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_an_answer_arrives_as_it_was_sent(answer: m.Reply | m.Failed | m.Notice) -> None:
    assert m.decode_answer(m.encode(answer)) == answer


def test_a_cadence_arrives_with_its_segments() -> None:
    arrived = m.decode_command(m.encode(m.OpenPlayer("p", RING_BACK)))
    assert isinstance(arrived, m.OpenPlayer)
    assert [s.duration_ms for s in arrived.cadence] == [1000, 4000]
    assert list(arrived.cadence[0].frequencies_hz) == [425.0]


def test_a_payload_type_that_can_not_be_is_refused() -> None:
    remote = m.SetRemote("a", "h", 1, 2, [m.PayloadType(128, "PCMU")], [])
    with pytest.raises(msgspec.ValidationError):
        m.decode_command(m.encode(remote))
