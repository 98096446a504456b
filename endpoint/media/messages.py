"""What the control plane and the media plane say to each other: plain, tagged, frozen data.

Every command gets exactly one `Reply` or `Failed` with its `id`; notices come unasked. A command's
type says which result it gets (`Command[RtpAddress]`). One message is one `SOCK_SEQPACKET` record
(msgpack), so there is no framing. A port is a source and a sink of audio. Levels are dBov (0 is
full scale), times of the media plane's own monotonic clock are never sent: durations are.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from endpoint.audio.cadence import Segment as Segment
from endpoint.media.diagnosis import ReceivedDiagnosis as ReceivedDiagnosis
from endpoint.media.diagnosis import SentDiagnosis as SentDiagnosis

PortName = str
"""Chosen by the control plane, unique in the plane. `link.` begins those of a pool's own ports."""


class PayloadType(Struct, frozen=True):
    """One line of an SDP codec list: number to encoding (RFC 3551, RFC 8866 §6.6)."""

    number: Annotated[int, Meta(ge=0, le=127)]
    encoding: str
    """Upper-case SDP name: PCMU, PCMA, G722, L16, OPUS, TELEPHONE-EVENT, CN."""
    clock_rate_hz: int = 8000
    channels: int = 1
    """2 for Opus, whatever it carries (RFC 7587 §7)."""
    fmtp: str = ""
    """The value of `a=fmtp`, without its number: what whoever receives this codec wants of it."""


class SrtpProfile(StrEnum):
    """How packets are protected, by the names of SDP (RFC 4568 §6.2, RFC 7714 §14.2)."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"

    @property
    def master_size(self) -> int:
        """Octets of master key and salt together."""
        match self:
            case SrtpProfile.AES_CM_128_HMAC_SHA1_80:
                return 16 + 14
            case SrtpProfile.AEAD_AES_128_GCM:
                return 16 + 12
            case SrtpProfile.AEAD_AES_256_GCM:
                return 32 + 12


class SrtpKey(Struct, frozen=True):
    """Of one direction. The key is never shown."""

    profile: SrtpProfile
    master: bytes
    """Master key, then salt: what `inline:` says in base64."""

    def __repr__(self) -> str:
        return f"SrtpKey({self.profile})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("profile", self.profile)]


class SrtpKeys(Struct, frozen=True):
    """Both directions of an SDES negotiation (RFC 4568)."""

    send: SrtpKey
    """Of our own `a=crypto` line."""
    receive: SrtpKey
    """Of the far end's."""


class DtlsRole(StrEnum):
    """Which end of the DTLS handshake we are."""

    CLIENT = "client"
    """We said `setup:active`."""
    SERVER = "server"
    """We said `setup:passive`."""


class IceServer(Struct, frozen=True):
    """A STUN or TURN server (RFC 7064, RFC 7065). The credential is never shown.

    The certificate of a `turns:` server is judged by OpenSSL's defaults (`SSL_CERT_FILE`).
    """

    url: str
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        return f"IceServer({self.url!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("url", self.url)]


class Fingerprint(Struct, frozen=True):
    """Of a DTLS certificate (RFC 8122)."""

    hash: str
    """Lower-case: sha-256."""
    value: str
    """Upper-case octets with colons."""


class PortFailure(StrEnum):
    """Why a WebRTC port has no media, or no longer."""

    NO_ROUTE = "no_route"
    """No pair of candidates works, for `MediaSettings.connect_timeout_s`."""
    HANDSHAKE = "handshake"
    """DTLS failed."""
    WRONG_FINGERPRINT = "wrong_fingerprint"
    """The far end's certificate is not the one that was signalled."""
    NO_PROFILE = "no_profile"
    """No common SRTP profile."""
    TIMED_OUT = "timed_out"
    """Packets go, but the DTLS handshake has not ended after `MediaSettings.connect_timeout_s`."""
    CONSENT_LOST = "consent_lost"
    """The far end no longer says that it wants our packets (RFC 7675)."""
    CLOSED = "closed"
    """The far end has closed DTLS, or its way to us."""
    BROKEN = "broken"
    """A fault of our own."""


# -- answers -------------------------------------------------------------------------------------


class Done(Struct, frozen=True, tag=True):
    """It is so."""


class RtpAddress(Struct, frozen=True, tag=True):
    """Where an RTP port listens, as bound; what is advertised is the control plane's business."""

    host: str
    rtp_port: int
    rtcp_port: int
    ssrc: int
    cname: str


class WebRtcAddress(Struct, frozen=True, tag=True):
    """Our end of a WebRTC port, for the description that we send. The password is never shown."""

    ufrag: str
    pwd: str
    candidates: list[str]
    """Values of `a=candidate`, without its name, all of component 1."""
    fingerprints: list[Fingerprint]
    ssrc: int
    cname: str
    complete: bool = True
    """False: more will come by `CandidatesFound`."""

    def __repr__(self) -> str:
        return f"WebRtcAddress({self.ufrag!r}, candidates={self.candidates!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("ufrag", self.ufrag), ("candidates", self.candidates)]


class RecordingInfo(Struct, frozen=True, tag=True):
    """A finished recording."""

    path: str
    duration_ms: int


class Heard(Struct, frozen=True, tag=True):
    """Decoded audio: 16 bit signed little-endian mono."""

    samples: bytes
    sample_rate_hz: int


class Statistics(Struct, frozen=True, tag=True):
    """Of one port, since it was opened. Loss is RFC 3550 A.3, jitter A.8.

    What is a share, a score or a diagnosis is of the last `MediaSettings.quality_window_s`.
    """

    packets_received: int = 0
    packets_expected: int = 0
    packets_lost: int = 0
    packets_sent: int = 0
    packets_foreign: int = 0
    """From a source that is not the proven one: dropped."""
    packets_refused: int = 0
    """SRTP that was not authentic, or came twice: dropped."""
    packets_malformed: int = 0
    packets_unnegotiated: int = 0
    """Of payload types that nobody agreed on: dropped."""
    packets_late: int = 0
    """Too late for the jitter buffer, which is there where audio is mixed, recorded or listened to;
    forwarding has none."""
    packets_discarded: int = 0
    """Because too much waited there already."""
    packets_undecodable: int = 0
    concealed_ms: int = 0
    """Audio that was made up there for what was lost or late."""
    playout_ms: float | None = None
    """How long packets wait there now."""
    loss_percent: float | None = None
    """Lost or late; None: nothing was expected."""
    jitter_ms: float = 0.0
    mos: float | None = None
    """As somebody hears it: E-model, 1 to 4.5 (G.107); None: nothing was expected."""
    received_level_dbov: float | None = None
    """Of the last second that was decoded or tapped."""
    sent_level_dbov: float | None = None
    """Of whom the far end hears, as it comes from them; None: nobody, or a sound of ours."""
    remote_lost: int | None = None
    """As the far end's receiver reports say, as all that is called remote."""
    remote_loss_percent: float | None = None
    """Between its last two reports."""
    remote_jitter_ms: float | None = None
    remote_mos: float | None = None
    """As it says itself (RFC 3611 §4.7), or as its reports make it."""
    round_trip_ms: float | None = None
    codec: str = ""
    srtp_profile: SrtpProfile | None = None
    """What each packet from the far end must be authenticated by; None: it comes in the clear."""
    is_dtls: bool = False
    """Its keys are agreed by DTLS."""
    remote: str = ""
    """The proven source, `host:port`; empty until one is proven."""
    diagnosis_received: ReceivedDiagnosis = ReceivedDiagnosis.NO_FAR_END
    diagnosis_sent: SentDiagnosis = SentDiagnosis.NO_FAR_END


Result = Done | RtpAddress | WebRtcAddress | RecordingInfo | Heard | Statistics

R_co = TypeVar("R_co", bound="Result", covariant=True)


# -- commands ------------------------------------------------------------------------------------


class Command(Struct, Generic[R_co], frozen=True, tag=True, kw_only=True):
    """Base of all that the control plane asks. `R_co` is the answer that it gets."""

    id: int = 0
    """Filled in by the link."""


# -- ports ---------------------------------------------------------------------------------------


class OpenRtpPort(Command[RtpAddress], frozen=True):
    """Open an RTP/RTCP pair on a free even port of the plane's range. Reply: `RtpAddress`."""

    port: PortName
    rtp_timeout_s: float = 0.0
    """Nothing received for so long while receiving is expected: `MediaTimedOut`. 0: never."""
    strict_source: bool = False
    """Only the address of `SetRemote` is believed, however long nothing comes from there."""
    detects_tones: bool = False
    """Digits are looked for in the audio too (ITU-T Q.24): `DigitReceived`, `in_band`."""
    relays_digits: bool = True
    """Digits of others' telephone-events are sent on to this far end, if only as tones. False: they
    go another way."""
    near: PortName = ""
    """A port that it will hear or be heard by: where there are several workers, one takes both."""
    on_loopback: bool = False
    """Out of the range and of everybody's reach: for another worker of this machine."""


class SetRemote(Command[Done], frozen=True):
    """The negotiated far end of an RTP port; may be said again (re-INVITE)."""

    port: PortName
    host: str
    rtp_port: int
    rtcp_port: int
    send: list[PayloadType]
    """What the far end takes. A far end that is forwarded to it chooses among these; audio of our
    own goes in the first that we can encode."""
    receive: list[PayloadType]
    """What we said that we take."""
    sending: bool = True
    """False: the far end wants nothing (our direction is recvonly or inactive)."""
    receiving: bool = True
    """False: the far end sends nothing (sendonly or inactive): no time-out, no first packet."""
    rtcp_mux: bool = False
    ptime_ms: int = 20
    srtp: SrtpKeys | None = None
    """By SDES. The same keys again change nothing; a port that had keys takes no remote without."""
    reports: list[str] = []
    """Extended reports that the far end asked for, as SDP names them (RFC 3611 §5.1)."""


class OpenWebRtcPort(Command[WebRtcAddress], frozen=True):
    """Open a WebRTC port: ICE, DTLS-SRTP, RTP and RTCP on one port of the plane's range.

    Reply: `WebRtcAddress`, when candidates are gathered: at once without `ice_servers`, after
    `MediaSettings.gathering_s` at the latest.
    """

    port: PortName
    controlling: bool
    """We made the offer (RFC 8445 §6.1.1)."""
    ice_servers: list[IceServer] = []
    """All are asked; one that does not answer costs its own candidates and nothing else."""
    relay_only: bool = False
    """Only by TURN servers of `ice_servers`; where none answers, the port is refused."""
    trickle: bool = False
    """Answer at once; what the servers say follows as `CandidatesFound` (RFC 8838)."""
    rtp_timeout_s: float = 0.0
    detects_tones: bool = False
    relays_digits: bool = True
    near: PortName = ""
    """As in `OpenRtpPort`, all."""


class RestartIce(Command[WebRtcAddress], frozen=True):
    """Prepare another ICE session for a WebRTC port whose far end is known (RFC 8445 §9).

    Reply: `WebRtcAddress`, gathered as the port was; SSRC, sequence and timestamps go on. Packets
    take the old way until the new one works. The far end's new values, by `SetWebRtcRemote`, make
    it connect; its current values drop what was prepared, and so does another `RestartIce`. Then
    comes `PortConnected`, or `RestartFailed` where the old way goes on, or `PortFailed`. Also the
    way back for a port that has failed.
    """

    port: PortName
    controlling: bool
    new_association: bool = False
    """Offer a DTLS association of its own too, where the description says so (RFC 8842 §5)."""


class SetWebRtcRemote(Command[Done], frozen=True):
    """The negotiated far end of a WebRTC port; then comes `PortConnected` or `PortFailed`.

    May be said again with the same ICE and DTLS values (re-INVITE), which drops a prepared restart;
    other ICE values answer a `RestartIce`. The password is never shown.
    """

    port: PortName
    ufrag: str
    pwd: str
    fingerprints: list[Fingerprint]
    """At least one of SHA-2; all of those must be the certificate's."""
    role: DtlsRole
    """Ours."""
    send: list[PayloadType]
    receive: list[PayloadType]
    candidates: list[str] = []
    """As `WebRtcAddress.candidates`."""
    candidates_complete: bool = True
    """False: more will follow by `AddCandidates`."""
    ice_lite: bool = False
    new_association: bool = False
    """With other ICE values: a new DTLS association was agreed on. Else the old one, its keys and
    counters go on, without a handshake (RFC 8842 §5.5)."""
    sending: bool = True
    receiving: bool = True
    ptime_ms: int = 20
    reports: list[str] = []
    """As in `SetRemote`."""

    def __repr__(self) -> str:
        return f"SetWebRtcRemote({self.port!r}, {self.ufrag!r}, candidates={self.candidates!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("port", self.port), ("ufrag", self.ufrag), ("candidates", self.candidates)]


class AddCandidates(Command[Done], frozen=True):
    """More candidates of a WebRTC port's far end (RFC 8838), also before `SetWebRtcRemote`.

    They belong to the ICE session that the last one named.
    """

    port: PortName
    candidates: list[str]
    complete: bool = False


class OpenPlayer(Command[Done], frozen=True):
    """A source: a cadence of tones. Many sinks may be routed from one player.

    With `loop` every sink hears it from its start; without, it is played once, for all, while
    somebody is routed from it.
    """

    port: PortName
    cadence: Sequence[Segment]
    """As `endpoint.audio.tones.MUSIC_ON_HOLD`."""
    loop: bool = True
    near: PortName = ""
    """As in `OpenRtpPort`; one that loops is at every worker."""


class OpenFilePlayer(Command[Done], frozen=True):
    """A source: a WAV file.

    PCM of 8, 16 or 24 bit, A-law or mu-law; mono or stereo; any rate; at most 64 MiB. `loop` as in
    `OpenPlayer`; without it `PlaybackEnded` follows the last frame.
    """

    port: PortName
    path: str
    loop: bool = False
    pause_ms: int = 0
    """Silence behind it, before it begins again."""
    near: PortName = ""
    """As in `OpenPlayer`."""


class OpenSink(Command[Done], frozen=True):
    """A port without a network.

    It hears what is routed to it, says nothing. A station for tests and bots records it.
    """

    port: PortName
    near: PortName = ""
    """As in `OpenRtpPort`."""


class ClosePort(Command[Done], frozen=True):
    """Then `PortClosed`. Close a port of any kind; its routes and recordings go with it."""

    port: PortName


# -- routes --------------------------------------------------------------------------------------


class RouteTo(Struct, frozen=True):
    """Audio from a port to a port."""

    source: PortName
    sink: PortName
    gain_db: float = 0.0


class SetRoutes(Command[Done], frozen=True):
    """All routes of one group (an interaction).

    Replaces that group's routes, and touches no other group's. A route that names a port which is
    not open is left out: what is said no longer to be routed is cut in any case.
    """

    group: str
    routes: list[RouteTo]


# -- actions -------------------------------------------------------------------------------------


class SendDigits(Command[Done], frozen=True):
    """Send DTMF from a port.

    By RFC 4733 where negotiated, else in-band tones. Then the notice `DigitsSent`.
    """

    port: PortName
    digits: str
    duration_ms: int = 100
    gap_ms: int = 60


class StartRecording(Command[Done], frozen=True):
    """Tap a port into a WAV file.

    Left what it says to us, right what it hears. Never changes forwarding.
    """

    recording: str
    port: PortName
    path: str


class StopRecording(Command[RecordingInfo], frozen=True):
    """Finish the file. Reply: `RecordingInfo`."""

    recording: str


class StartVoice(Command[Done], frozen=True):
    """Hand what a port says to the writer of recordings, by a number that nobody else has.

    Never changes forwarding. It ends with the port, too.
    """

    voice: int
    port: PortName


class StopVoice(Command[Done], frozen=True):
    """Hand over no more of it; one that is over already is none."""

    voice: int


class StartListening(Command[Done], frozen=True):
    """Keep the last seconds that `ReadHeard` may ask for, at most 10."""

    port: PortName
    keep_s: float = 2.0


class ReadHeard(Command[Heard], frozen=True):
    """The last audio that an RTP port received from its far end, or that a sink hears, decoded.

    Needs `StartListening`. Reply: `Heard`; a time without audio is silence.
    """

    port: PortName
    last_ms: int = 400


class ReadStatistics(Command[Statistics], frozen=True):
    """Counts, loss, jitter, level of a port. Reply: `Statistics`."""

    port: PortName


class Ping(Command[Done], frozen=True):
    """Are you there? Reply: `Done`."""


# -- what comes back for a command ---------------------------------------------------------------


class Reply(Struct, frozen=True, tag=True):
    """What came of command `id`."""

    id: int
    result: Result


class Failed(Struct, frozen=True, tag=True):
    """Command `id` changed nothing; the text says why."""

    id: int
    text: str


# -- notices -------------------------------------------------------------------------------------


class FirstPacket(Struct, frozen=True, tag=True):
    """The first RTP packet from the proven source of a port."""

    port: PortName


class PortConnected(Struct, frozen=True, tag=True):
    """A WebRTC port is up: media goes both ways from now on. Said again after a restart."""

    port: PortName
    profile: SrtpProfile


class PortFailed(Struct, frozen=True, tag=True):
    """A WebRTC port has no media, nothing is sent. It waits to be closed, or for `RestartIce`.

    After a failure of DTLS itself a restart needs a new association.
    """

    port: PortName
    failure: PortFailure


class RestartFailed(Struct, frozen=True, tag=True):
    """A restart came to nothing; media goes on by the way that works."""

    port: PortName
    failure: PortFailure


class CandidatesFound(Struct, frozen=True, tag=True):
    """More of our own candidates, of a port with `OpenWebRtcPort.trickle`."""

    port: PortName
    candidates: list[str]
    """As `WebRtcAddress.candidates`."""
    complete: bool
    """These were the last."""
    ufrag: str
    """Of the `WebRtcAddress` to which they belong."""


class DigitReceived(Struct, frozen=True, tag=True):
    """A DTMF digit from the far end of a port, once, when it ended."""

    port: PortName
    digit: str
    duration_ms: int
    in_band: bool = False
    """It was heard as tones, which whoever hears the far end has heard too."""


class DigitsSent(Struct, frozen=True, tag=True):
    """The digits of `SendDigits` are out."""

    port: PortName
    digits: str


class MediaTimedOut(Struct, frozen=True, tag=True):
    """Nothing came from the far end for the port's `rtp_timeout_s`.

    Said once until packets come again.
    """

    port: PortName


class PlaybackEnded(Struct, frozen=True, tag=True):
    """A player that does not loop has played its last frame."""

    port: PortName


class PortClosed(Struct, frozen=True, tag=True):
    """A port was closed by command."""

    port: PortName
    statistics: Statistics | None = None
    """Its last; None where it had no far end."""


class RecordingFailed(Struct, frozen=True, tag=True):
    """A recording stopped by itself (disk full).

    The call goes on; what is on disk can be played.
    """

    recording: str
    text: str


Remote = SetRemote | SetWebRtcRemote
Notice = (
    FirstPacket
    | PortConnected
    | PortFailed
    | RestartFailed
    | CandidatesFound
    | DigitReceived
    | DigitsSent
    | MediaTimedOut
    | PlaybackEnded
    | PortClosed
    | RecordingFailed
)
AnyCommand = (
    OpenRtpPort
    | SetRemote
    | OpenWebRtcPort
    | RestartIce
    | SetWebRtcRemote
    | AddCandidates
    | OpenPlayer
    | OpenFilePlayer
    | OpenSink
    | ClosePort
    | SetRoutes
    | SendDigits
    | StartRecording
    | StopRecording
    | StartVoice
    | StopVoice
    | StartListening
    | ReadHeard
    | ReadStatistics
    | Ping
)

Opening = OpenRtpPort | OpenWebRtcPort | OpenPlayer | OpenFilePlayer | OpenSink
"""What opens a port."""


def is_loop(command: AnyCommand) -> bool:
    """True for a player that plays over and over: it has no state that could be lost."""
    return isinstance(command, OpenPlayer | OpenFilePlayer) and command.loop


encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(AnyCommand).decode
decode_answer = msgspec.msgpack.Decoder(Reply | Failed | Notice).decode
