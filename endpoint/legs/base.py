"""The face of the legs: all that call control knows of them.

A leg is the realisation of one CSTA connection: its signalling (a SIP dialog, a browser session,
none) plus one media port. Call control asks for legs by calling `Exchange`; what happens to them
comes back as `LegEvent`s. Asking never blocks and never raises: a leg that can't be placed ends
with `LegReleased`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NewType, Protocol

LegId = NewType("LegId", str)
DeviceId = NewType("DeviceId", str)
"""An extension (`6002`), a remote phone (`RP_913800138000`), an outside number: what CSTA
calls a device.
"""
InteractionId = NewType("InteractionId", str)
RecordingId = NewType("RecordingId", str)
"""A UUID; also how its file is named."""
WITHHELD = DeviceId("anonymous")
"""Somebody who calls and does not want to be known; also what records keep of him."""


class Cause(StrEnum):
    """Why a connection ended or a command failed. SIP status and Q.850 for each: `CAUSES`."""

    NORMAL = "normal"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    UNKNOWN_DEVICE = "unknown_device"
    NOT_REGISTERED = "not_registered"
    UNREACHABLE = "unreachable"
    INCOMPATIBLE_MEDIA = "incompatible_media"
    UNAUTHORISED = "unauthorised"
    CERTIFICATE_REFUSED = "certificate_refused"
    MEDIA_TIMEOUT = "media_timeout"
    MEDIA_LOST = "media_lost"
    MEDIA_UNREACHABLE = "media_unreachable"
    MEDIA_UNTRUSTED = "media_untrusted"
    SESSION_EXPIRED = "session_expired"
    DIAL_LIMIT = "dial_limit"
    OVERLOAD = "overload"
    NETWORK_FAILURE = "network_failure"
    CALLER_NOT_ALLOWED = "caller_not_allowed"
    NUMBER_REFUSED = "number_refused"
    TRUNKS_DOWN = "trunks_down"
    TRUNK_FULL = "trunk_full"
    PROTOCOL_ERROR = "protocol_error"
    LOST = "lost"
    """Our process died in the call."""


class Side(StrEnum):
    """Who let go of a connection."""

    DEVICE = "device"
    """The device itself: its phone hung up, declined, vanished."""
    ENDPOINT = "endpoint"
    """We did: a command, a time-out, a lost media worker."""
    NETWORK = "network"
    """Something between: a proxy, a trunk, an unreachable server."""


class DigitKind(StrEnum):
    """How a DTMF digit travels."""

    EVENTS = "rfc4733"
    """As telephone-events beside the audio (RFC 4733)."""
    INFO = "info"
    """In INFO requests: `application/dtmf-relay` or `application/dtmf`."""
    INBAND = "inband"
    """As tones in the audio."""


class Source(Enum):
    """Sounds of our own that can be routed to a leg."""

    MUSIC_ON_HOLD = "moh"
    RING_BACK = "ringback"
    BUSY = "busy"
    NOTICE = "notice"
    """Two short tones: a call comes to a telephone that is up already."""
    SILENCE = "silence"
    """Packets of it: between its calls a telephone hears that it is up still."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A file of the operator's, that parties hear once."""

    path: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Route:
    """Audio from a leg, or from a sound of ours, to a leg."""

    source: LegId | Source | Announcement
    sink: LegId
    gain_db: float = 0.0


class LegRole(StrEnum):
    """Which end of a device a leg reaches."""

    STATION = "station"
    """The agent's ears and mouth."""
    LINE = "line"
    """The far party, by whatever line leads there."""


@dataclass(frozen=True, slots=True)
class PlaceLeg:
    """Ask for a leg to a device."""

    leg: LegId
    interaction: InteractionId
    """Legs of one interaction share a media worker."""
    device: DeviceId
    """Whom to reach."""
    role: LegRole
    calling: DeviceId
    """Who is shown as the caller, and whose outside account is used where the device has one."""
    calling_name: str = ""
    calling_number: str = ""
    """The number to show outside; empty: the one that the line has for the device."""
    on_behalf_of: DeviceId | None = None
    """For whom `calling` calls it: who is transferred, lent or sent on.

    Telephones of ours show him, as he is whom they will talk with; lines outside know `calling`.
    """
    withheld: bool = False
    """The called one is not to know who calls."""
    auto_answer: bool = False
    """The device should pick up by itself: a command dials for it, or its caller may ask so.

    Said in SIP as `Call-Info: answer-after=0`, and in other ways that telephones know.
    """
    answer_after_s: float = 0.0
    """With `auto_answer`: it rings for so long before."""
    referred_by: DeviceId | None = None
    """Who transfers somebody to it; said in SIP as `Referred-By` (RFC 3892)."""


@dataclass(frozen=True, slots=True)
class AudioFigures:
    """One direction of a leg's audio, from its beginning to its end."""

    packets: int
    """That came, or were sent."""
    loss_percent: float | None = None
    """Of those that were sent; none where nothing was expected, or the far end does not say."""
    jitter_ms: float | None = None
    """RFC 3550; the last one."""
    mos: float | None = None
    """E-model, 1 to 4.5 (G.107), of the last seconds."""


@dataclass(frozen=True, slots=True)
class LegQuality:
    """What a leg's audio was like."""

    codec: str
    """The last one."""
    received: AudioFigures
    """From the far end."""
    sent: AudioFigures
    """To it, as it says itself."""
    round_trip_ms: float | None = None
    """The last one; none where the far end sends no reports."""


class RecordingSide(StrEnum):
    """Of a stereo file."""

    LEFT = "left"
    """Customers."""
    RIGHT = "right"
    """Agents."""


@dataclass(frozen=True, slots=True)
class Track:
    """Somebody on a recording."""

    leg: LegId
    side: RecordingSide
    number: DeviceId
    """Who, for whoever looks it up."""


@dataclass(frozen=True, slots=True)
class RecordingRequest:
    """Ask for a recording, on which nobody is yet."""

    recording: RecordingId
    interaction: InteractionId
    call: str
    by: DeviceId | None
    """Who asked for it; none where a rule did."""
    rule: str
    """By which rule; empty where somebody asked."""


# -- what legs tell ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LegOffered:
    """A call came in.

    The leg exists and its caller waits: answer with `alert`, `answer` or `release`.
    """

    leg: LegId
    interaction: InteractionId
    """Made by the exchange: an offered leg opens a new interaction."""
    calling: DeviceId
    called: DeviceId
    role: LegRole
    """STATION: a phone of ours dials (`calling` is its own device).

    LINE: somebody outside calls `called`.
    """
    calling_name: str = ""
    replaces: LegId | None = None
    """It came for the place of this leg, whose interaction it is in (RFC 3891): answer or release.

    With the answer the old leg ends by itself.
    """
    withheld: bool = False
    """The caller does not want to be known: from outside `calling` is `WITHHELD` then."""
    first_called: DeviceId | None = None
    """Whom the caller dialled, where the call was sent on to us (CSTA calledDevice)."""
    last_redirection: DeviceId | None = None
    """Who sent it on to us (CSTA lastRedirectionDevice)."""
    answer_after_s: float | None = None
    """The caller asks, and may ask, that the called picks up by itself after so long."""


@dataclass(frozen=True, slots=True)
class LegAlerting:
    """A placed leg rings at the far end. Said again where `early_media` changes."""

    leg: LegId
    early_media: bool = False
    """The far end sends its own ring-back; route it instead of ours."""


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """A placed leg was answered, or an offered one that we answered is confirmed.

    Its port can be routed.
    """

    leg: LegId
    refers: bool = False
    """Its line wants transfers to be done by its far end: see `Exchange.refer`."""


@dataclass(frozen=True, slots=True)
class LegReleased:
    """The leg is over, whoever ended it; exactly one for each leg, also after our own `release`."""

    leg: LegId
    cause: Cause
    released_by: Side
    sip_status: int | None = None
    q850: int | None = None
    text: str = ""
    """For a person: reason phrase, or what to do about it."""


@dataclass(frozen=True, slots=True)
class LegHeld:
    """The device's own phone put the call on hold (sendonly or inactive, RFC 3264 §8.4)."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class LegRetrieved:
    """The device's own phone took the call back (re-INVITE sendrecv)."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class FarEndHold:
    """The answer to our `hold` or `resume`: what the far end said to the re-INVITE."""

    leg: LegId
    held: bool
    accepted: bool
    sip_status: int | None = None


@dataclass(frozen=True, slots=True)
class DigitDetected:
    """A DTMF digit heard from the leg (RFC 4733, INFO or in-band), once, when it ended."""

    leg: LegId
    digit: str
    duration_ms: int
    kind: DigitKind = DigitKind.EVENTS
    """How it came."""


@dataclass(frozen=True, slots=True)
class DigitsSent:
    """What became of `send_digits`."""

    leg: LegId
    digits: str
    """Those that are out; empty where none could be sent."""


@dataclass(frozen=True, slots=True)
class IvrVisited:
    """The leg is an IVR's, whose call has come to a node of its flow, or what came of that."""

    leg: LegId
    flow: str
    """The flow's name."""
    node: str
    """The node's name in it."""
    kind: str
    """What is done there, as `menu`."""
    result: str
    """What came of it: a key that was chosen, `no_input`; nothing secret. Empty: it is there."""


@dataclass(frozen=True, slots=True)
class IvrQueued:
    """The leg is an IVR's, whose call waits in a queue: where it is there now."""

    leg: LegId
    queue: str
    """Its code."""
    position: int
    """From 1."""
    wait_s: float | None = None
    """How long it may take; None: nobody knows."""
    offered_to: DeviceId | None = None
    """Where it rings for the call."""


@dataclass(frozen=True, slots=True)
class MediaConfirmed:
    """The first audio packet from the leg was seen."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class LegDiverted:
    """The device's telephone forwards the call: another device is called in its place."""

    leg: LegId
    to: DeviceId


@dataclass(frozen=True, slots=True)
class MediaInterrupted:
    """The far end's network takes no audio any more; we look for another way to it.

    Then `MediaResumed` or `LegReleased`.
    """

    leg: LegId


@dataclass(frozen=True, slots=True)
class MediaResumed:
    """Audio goes both ways again."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """The leg's phone wants somebody else to take its place (REFER).

    `tell_transfer` is owed.
    """

    leg: LegId
    destination: DeviceId
    """Who."""
    replaces: LegId | None = None
    """Another leg of the same phone, in the call with that one, which it leaves as well."""
    from_outside: bool = False
    """No phone of ours asks: it is our device in the call that dials then."""


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """What became of our `refer`."""

    leg: LegId
    sip_status: int | None
    """200 to 299: the far end has called whom we named, who has answered. None: it did not say."""
    cause: Cause
    text: str = ""


@dataclass(frozen=True, slots=True)
class RecordingBegan:
    """There is a file for it."""

    recording: RecordingId


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """A recording ended by itself, or could not begin; what is in its file can be played."""

    recording: RecordingId
    text: str
    """Why, for a person."""
    again: bool = False
    """It was the fault of the process that writes; another recording is possible at once."""


RecordingEvent = RecordingBegan | RecordingEnded


@dataclass(frozen=True, slots=True)
class DeviceRegistered:
    """A device can be reached now.

    By a binding at our registrar, or by our own account at an outside sipWsServer.
    """

    device: DeviceId
    contact: str
    expires_s: int
    server: str = ""
    """The outside server's name; empty for our own registrar."""


@dataclass(frozen=True, slots=True)
class DeviceUnregistered:
    """A device can no longer be reached, and why."""

    device: DeviceId
    cause: Cause
    sip_status: int | None = None
    server: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class LineFull:
    """A line has all the calls that it can have: one more was refused."""

    line: str
    """The device of the account, or the trunk."""
    most_calls: int


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A telephone of ours sent a text to a device of ours (MESSAGE, RFC 3428)."""

    device: DeviceId
    """Whom it is for."""
    sender: DeviceId
    """Who proved to be the sender."""
    text: str = field(repr=False)
    sip_status: int
    """200 where a telephone of the device took it, else what the sender was told."""


LegEvent = (
    LegOffered
    | LegAlerting
    | LegAnswered
    | LegReleased
    | LegHeld
    | LegRetrieved
    | FarEndHold
    | DigitDetected
    | DigitsSent
    | IvrVisited
    | IvrQueued
    | MediaConfirmed
    | LegDiverted
    | MediaInterrupted
    | MediaResumed
    | TransferAsked
    | TransferOutcome
)
RegistrationEvent = DeviceRegistered | DeviceUnregistered


@dataclass(frozen=True, slots=True)
class TrunkUp:
    """A trunk takes calls: one of its peers at least answers, or its account is registered."""

    trunk: str
    text: str = ""
    """For a person: which peers do not."""


@dataclass(frozen=True, slots=True)
class TrunkDown:
    """A trunk takes no calls: none of its peers answers, or its account is not registered."""

    trunk: str
    cause: Cause
    sip_status: int | None = None
    text: str = ""
    """For a person: what each peer said last."""


TrunkEvent = TrunkUp | TrunkDown


@dataclass(frozen=True, slots=True)
class SourceBanned:
    """An address is not listened to for a while: it tried too many passwords."""

    source: str
    """IPv4 address, or IPv6 network of 64 bits."""
    device: DeviceId
    """Whose password was tried last; empty where nobody's."""
    failures: int
    for_s: float


class SoundUse(StrEnum):
    """What a sound device is to an agent."""

    INPUT = "input"
    """The microphone."""
    OUTPUT = "output"
    """The speaker."""
    RINGER = "ringer"


@dataclass(frozen=True, slots=True)
class SoundDeviceLost:
    """A station's sound device is not there, or no longer: silence in its place, the call goes on.

    It is looked for until it is back.
    """

    device: DeviceId
    use: SoundUse
    name: str
    """Of the sound device."""
    text: str
    """Why, for a person."""


@dataclass(frozen=True, slots=True)
class SoundDeviceReturned:
    """It is there, and used."""

    device: DeviceId
    use: SoundUse
    name: str


SoundEvent = SoundDeviceLost | SoundDeviceReturned
OfNoCall = TrunkEvent | LineFull | SourceBanned | TextReceived | SoundEvent
"""What is told and concerns no leg and no registration."""


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """A trunk's call was refused by us before it was offered."""

    interaction: InteractionId
    """That it would have opened."""
    trunk: str
    calling: DeviceId
    called: DeviceId
    cause: Cause
    text: str
    """For a person."""


ExchangeEvent = LegEvent | RecordingEvent | RegistrationEvent | OfNoCall | OfferRefused
"""Everything that an exchange tells."""


class Exchange(Protocol):
    """What call control may ask of the legs.

    No call blocks; answers come as events, in the order they happened.
    """

    def place(self, request: PlaceLeg) -> None:
        """Reach a device. Then `LegAlerting`?, `LegAnswered`, or `LegReleased`."""

    def alert(self, leg: LegId, *, early_media: bool = False) -> None:
        """Tell an offered leg's caller that it rings (180).

        With `early_media` it hears what is routed to it (183 with a description), as far as it can
        be described before the answer. May be said again with it.
        """

    def answer(self, leg: LegId) -> None:
        """Answer an offered leg, or pick up a station leg that rings.

        Then `LegAnswered` or `LegReleased`.
        """

    def release(self, leg: LegId, cause: Cause) -> None:
        """End the leg by what its state needs.

        That is CANCEL, a refusal with the cause's status, or BYE.
        """

    def hold(self, leg: LegId) -> None:
        """Offer `sendonly` to the leg's far end. Then `FarEndHold`. Routes are not touched."""

    def resume(self, leg: LegId) -> None:
        """Offer `sendrecv` to the leg's far end. Then `FarEndHold`. Routes are not touched."""

    def send_digits(self, leg: LegId, digits: str) -> None:
        """Send DTMF (`0-9*#A-D`) to the leg's far end. Then `DigitsSent`."""

    def tell_transfer(self, leg: LegId, sip_status: int) -> None:
        """Tell the phone that asked for a transfer (`TransferAsked`) what becomes of it.

        100 to 199: under way; said first, it accepts. Else the outcome, or a refusal. The leg may
        be over meanwhile: its phone is told nevertheless.
        """

    def refer(self, leg: LegId, destination: DeviceId, replacing: LegId | None = None) -> None:
        """Ask the leg's far end to call somebody itself. Then `TransferOutcome`, unless it ends.

        `replacing` is another leg of ours, to that one, whose call is to be taken over.
        """

    def move(self, leg: LegId, interaction: InteractionId) -> None:
        """The leg belongs to another interaction from now on. Routes are not touched."""

    def set_routes(self, interaction: InteractionId, routes: Sequence[Route]) -> None:
        """The whole truth of who hears whom in this interaction.

        Takes effect before later calls do.
        """

    async def last_quality(self, leg: LegId) -> LegQuality | None:
        """What the leg's audio is like, or was when it ended; None where nothing was counted.

        Known for a short time after its end.
        """

    def begin_recording(self, request: RecordingRequest) -> None:
        """Begin a file. Then `RecordingBegan`, or `RecordingEnded`, which may also come later."""

    def set_tracks(self, recording: RecordingId, tracks: Sequence[Track], *, paused: bool) -> None:
        """The whole truth of who is on a recording; where nobody is, it is silent.

        `paused`: by command; told apart, so that who listens knows why.
        """

    def end_recording(self, recording: RecordingId) -> None:
        """Finish its file. One that is over already is none."""

    def events(self) -> AsyncIterator[ExchangeEvent]:
        """Everything that happens, in order. One reader."""


@dataclass(frozen=True, slots=True)
class CauseCodes:
    """How a cause is said in SIP (RFC 3261 §21) and in Q.850."""

    sip_status: int
    q850: int


CAUSES: dict[Cause, CauseCodes] = {
    Cause.NORMAL: CauseCodes(480, 16),
    Cause.BUSY: CauseCodes(486, 17),
    Cause.NO_ANSWER: CauseCodes(480, 19),
    Cause.DECLINED: CauseCodes(603, 21),
    Cause.CANCELLED: CauseCodes(487, 16),
    Cause.UNKNOWN_DEVICE: CauseCodes(404, 1),
    Cause.NOT_REGISTERED: CauseCodes(480, 20),
    Cause.UNREACHABLE: CauseCodes(503, 27),
    Cause.INCOMPATIBLE_MEDIA: CauseCodes(488, 88),
    Cause.UNAUTHORISED: CauseCodes(403, 21),
    Cause.CERTIFICATE_REFUSED: CauseCodes(503, 38),
    Cause.MEDIA_TIMEOUT: CauseCodes(408, 102),
    Cause.MEDIA_LOST: CauseCodes(500, 41),
    Cause.MEDIA_UNREACHABLE: CauseCodes(488, 3),
    Cause.MEDIA_UNTRUSTED: CauseCodes(488, 57),
    Cause.SESSION_EXPIRED: CauseCodes(408, 102),
    Cause.DIAL_LIMIT: CauseCodes(403, 21),
    Cause.OVERLOAD: CauseCodes(503, 42),
    Cause.NETWORK_FAILURE: CauseCodes(503, 38),
    Cause.CALLER_NOT_ALLOWED: CauseCodes(403, 50),
    Cause.NUMBER_REFUSED: CauseCodes(403, 21),
    Cause.TRUNKS_DOWN: CauseCodes(503, 38),
    Cause.TRUNK_FULL: CauseCodes(503, 34),
    Cause.PROTOCOL_ERROR: CauseCodes(500, 111),
    Cause.LOST: CauseCodes(503, 41),
}
"""For each cause, what we say when we refuse or end a leg for it."""
