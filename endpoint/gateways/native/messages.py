"""What the native interface and its clients say to each other: JSON over HTTP and one WebSocket.

The server encodes these very types and the client decodes them, so the two can't drift apart.
Requests forbid unknown fields; answers allow them, so that an older client reads a newer server.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from endpoint.callcontrol.model import CallRecord

API = "/api/v1"
SUBPROTOCOL = "agent-endpoint.v1"
"""Of the event WebSocket."""
BEARER_SUBPROTOCOL = "bearer."
"""Browsers can't set a header on a WebSocket: they offer `bearer.TOKEN` as a second subprotocol."""

Device = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.+*#-]+\Z")]
CallingNumber = Annotated[str, Meta(max_length=32, pattern=r"^[A-Za-z0-9_.+*#-]*\Z")]
DialText = Annotated[str, Meta(min_length=1, max_length=128)]
Digits = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9*#A-D]+\Z")]


# -- requests ---------------------------------------------------------------------------------


class MakeCall(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls`."""

    device: Device
    """Who dials."""
    destination: DialText
    """A number or a device, with post-dial digits if any (`10086-WW8001`)."""
    calling_name: Annotated[str, Meta(max_length=64)] = ""
    """How the caller is shown to the far end."""
    calling_number: CallingNumber = ""
    """The number to show there; by default the one that the line has for the device."""
    withhold: bool = False
    """The far end is not to know who calls."""
    data: dict[str, Annotated[str, Meta(max_length=4096)]] = {}
    """Texts by their key, which follow the call."""


class OfDevice(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/answer`, `hold`, `retrieve`, `end`, `record`, `stop-recording`."""

    device: Device
    """Who answers, holds, takes back, ends it for all, has it recorded."""


class Clear(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/clear`."""

    device: Device
    """Who leaves, or wants another party to."""
    connection: Annotated[int, Meta(ge=1)] | None = None
    """Of that other party."""


class OfTwoCalls(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/alternate`, `reconnect`, `conference`: the call that the device holds.

    Of `reconnect` also the one whose other party is lent.
    """

    device: Device
    """Who swaps, goes back, brings all together."""
    other: Annotated[str, Meta(max_length=128)] = ""
    """The call that it talks in; not needed where it is in two only."""


class Consult(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/consult`: the call is held meanwhile."""

    device: Device
    """Who consults."""
    destination: DialText
    """Whom: a number or a device, as of `MakeCall`."""


class AddParty(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/add`."""

    device: Device
    """In whose call."""
    destination: DialText
    """Who is called in."""
    participation: Literal["active", "silent"] = "active"
    """Whether the others hear it."""


class Join(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/join`."""

    device: Device
    """Who joins, or takes part another way from now on."""
    beside: Device
    """Whom it supervises."""
    participation: Literal["silent", "whisper", "active"] = "silent"
    """Who hears it: nobody, the one beside it, all."""


class Intercept(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/intercept`."""

    device: Device
    """Who takes the place."""
    beside: Device
    """Whose."""


class PickUp(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/pickup`."""

    device: Device
    """Who takes the call, at its own telephone."""
    beside: Device
    """Where it rings, or is parked."""


class Park(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/park`."""

    device: Device
    """Who leaves the call."""
    at: Device
    """A device, or any number, by which it is picked up."""


class Lend(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/lend`."""

    device: Device
    """Who waits, with music, and has the other party back afterwards."""
    destination: DialText
    """With whom that one talks meanwhile."""


class Deflect(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/deflect`."""

    device: Device
    """Where it rings."""
    destination: DialText
    """Who is called in its place."""


class Mute(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/mute`."""

    device: Device
    """Whom nobody is to hear."""
    muted: bool = True
    """Or all again."""


class GiveData(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/data`."""

    device: Device
    """Who has part in the call."""
    data: dict[str, Annotated[str, Meta(max_length=4096)]]
    """Texts by their key; an empty one takes the key away, and those that are not named stay."""


class Press(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/digits`."""

    device: Device
    """Who presses the keys."""
    digits: Digits
    """`0-9*#A-D`."""


class TransferTo(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /calls/{call}/transfer`: to a destination, or to who is in another call of the device.

    One of the two.
    """

    device: Device
    """Who transfers, and leaves when the other has answered."""
    destination: Annotated[str, Meta(max_length=128)] = ""
    """A number or a device."""
    other: Annotated[str, Meta(max_length=128)] = ""
    """Another call of the device."""


class SendText(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /devices/{device}/texts`."""

    sender: Device
    """Whom it is from: a device of ours."""
    text: Annotated[str, Meta(min_length=1, max_length=1300)]


SoundName = Annotated[str, Meta(min_length=1, max_length=1024)]
SoundGain = Annotated[float, Meta(ge=-60, le=30)]


class ChooseSound(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`PUT /devices/{device}/sound`: what is not said stays as it is."""

    input: SoundName | None = None
    """The microphone: a sound device by its name, `default`, `null` or `tone:HZ`."""
    output: SoundName | None = None
    """The speaker: a sound device by its name, `default` or `null`."""
    ringer: SoundName | None = None
    """Where it rings, likewise."""
    input_gain_db: SoundGain | None = None
    output_gain_db: SoundGain | None = None
    ringer_gain_db: SoundGain | None = None


class MediaOffer(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /devices/{device}/media`, and `PUT` of a further offer."""

    sdp: Annotated[str, Meta(min_length=1, max_length=60_000)]
    """Of an `RTCPeerConnection` with one audio transceiver."""


class AttachAudio(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /calls/{call}/audio`: a program on this machine is the device's ears and mouth."""

    device: Device
    """Whose; its station is for a program."""
    port: Annotated[int, Meta(ge=1, le=65_535)]
    """Where the program takes RTP on 127.0.0.1: L16/16000 is 97, telephone-event/16000 is 101."""


# -- answers ----------------------------------------------------------------------------------


class Accepted(Struct, frozen=True):
    """202: the command is being done; events tell what becomes of it."""

    command: str
    call: str
    interaction: str


class TextSent(Struct, frozen=True):
    """200 of `POST /devices/{device}/texts`."""

    device: str
    delivered: bool
    """A telephone of the device took it."""
    sip_status: int
    """What they said, as in `TextReceived`; 480 where none is registered."""


class SoundPart(Struct, frozen=True):
    """One of the three sound devices of a station."""

    use: str
    """`input`, `output` or `ringer`."""
    name: str
    """As it was chosen."""
    gain_db: float
    failure: str = ""
    """Why it is not there; empty where it is, or is not in use."""


class Sound(Struct, frozen=True):
    """200 of `GET` and `PUT /devices/{device}/sound`."""

    device: str
    parts: list[SoundPart]
    in_call: bool
    """They are in use, or ready to be: it rings."""


class Media(Struct, frozen=True):
    """201 of `POST /devices/{device}/media`, 200 of `PUT`."""

    device: str
    media: str
    """The session: `/devices/{device}/media/{media}`."""
    etag: str
    """Of its ICE session; another one after a restart."""
    sdp: str
    """Our answer."""


class AudioAddress(Struct, frozen=True):
    """200 of `PUT /calls/{call}/audio`."""

    host: str
    """Where the program is to send the same."""
    port: int
    ssrc: int
    """Of what it will hear: one for all calls that the device has one telephone in."""


class Mistake(Struct, frozen=True, omit_defaults=True):
    """One of several things that are wrong with what was given."""

    field: str
    """In the body, as `$.skills[0].level`."""
    found: str = ""
    expected: str = ""
    text: str = ""
    """Both in words, of rules of the dial plan."""


class Refused(Struct, frozen=True, omit_defaults=True):
    """Any answer of 400 and above."""

    error: str
    """A stable word."""
    text: str
    """For a person."""
    field: str = ""
    """Where in the body, as `$.device`."""
    expected: str = ""
    mistakes: list[Mistake] = []
    """All of them, where what was given holds several; the first is that of `field`."""
    agent: str = ""
    """Who is logged on there, of `device_in_use`."""
    device: str = ""
    """Where the agent is logged on, of `logged_on_here`, `logged_on_elsewhere` and `in_call`."""


class Party(Struct, frozen=True):
    """One device in one call."""

    device: str
    """Its number; of a caller from outside what he says."""
    connection: int
    """Its name in the call, which it keeps; what `clear` takes."""
    from_outside: bool
    """A caller from outside: no device of ours, whatever number he says."""
    role: str
    """`station` or `line`."""
    state: str
    """`null initiated alerting connected hold queued fail`."""
    media_confirmed: bool
    """Audio from it was seen."""
    commands: list[str]
    """What it may do now: the buttons to show."""
    participation: str = "active"
    """Who hears it: `active` all, `whisper` the one `beside`, `silent` nobody."""
    beside: str | None = None
    """Whom it supervises, or who called it in."""
    muted: bool = False
    """Nobody hears it, until it says so."""
    hears: list[str] = []
    """Whom it hears in this call, or `music`, `ring-back`, `busy tone`, `announcement`."""
    parked_by: str | None = None
    """The call waits here; who parked it."""
    of_others: list[str] = []
    """What another device may do about it now, as far as it `supervises` it or `picks_up` here."""


class Call(Struct, frozen=True):
    """One call that lives."""

    call: str
    direction: str
    """`outbound` or `inbound`."""
    calling: str
    calling_name: str
    withheld: bool
    """The caller does not want to be known; a caller from outside is `anonymous` then."""
    called: str
    first_called: str | None
    """Whom the caller dialled, where the call was sent on to us."""
    last_redirection: str | None
    """Who sent it on to us."""
    started_at: datetime
    delivered_at: datetime | None
    established_at: datetime | None
    parties: list[Party]
    data: dict[str, str] = {}
    """What clients gave to it."""
    recording: str | None = None
    """The recording that runs; none where none does."""
    recording_paused: bool = False
    """Nothing that is said goes into it now."""


class AudioQuality(Struct, frozen=True):
    """One direction of a party's audio. What is not said otherwise is of the last seconds."""

    diagnosis: str
    """`fine`, or why it is not: `no_packets`, `silence`, `not_routed`…"""
    text: str
    """What that means, and where to look."""
    mos: float | None
    """E-model (ITU-T G.107), 1 to 4.5; none while nothing is known."""
    loss_percent: float | None
    jitter_ms: float | None
    level_dbov: float | None
    packets: int
    """Since the leg began, as the next one."""
    lost: int | None
    """Negative where more came than was sent."""


class PartyQuality(Struct, frozen=True):
    """How one device in a call is heard, and how it hears."""

    device: str
    from_outside: bool
    role: str
    state: str
    """As of `Party`."""
    codec: str
    """Empty while unknown."""
    protection: str
    """As `DTLS-SRTP (AES-256-GCM)`, `SRTP (…)` or `unprotected`; empty while unknown."""
    remote: str
    """Where its audio comes from, as host:port; empty until that is proven."""
    round_trip_ms: float | None
    received: AudioQuality | None
    """What comes from it; none where no network is between, as at a station of ours."""
    sent: AudioQuality | None
    """What goes to it; what its own reports say."""


class CallQuality(Struct, frozen=True):
    """`GET /calls/{call}/quality`."""

    call: str
    parties: list[PartyQuality]


class Registration(Struct, frozen=True):
    """What is known of how a device is reached."""

    device: str
    registered: bool
    server: str
    """The outside server's name; empty for the embedded one; `browser` for a page's audio."""
    contact: str
    """Where it is, for a browser its session; empty when it is not registered."""
    expires_s: int
    """As granted; 0 when it is not registered, and for a browser."""
    cause: str
    """Why it is not registered; empty when it is."""
    sip_status: int | None
    text: str


class TrunkPeer(Struct, frozen=True):
    """One far end of a trunk."""

    peer: str
    """Its address."""
    state: str
    """`up`, `down`, `unknown`: it has not been asked yet."""
    text: str
    """Why it takes no calls; empty when it does."""


class Trunk(Struct, frozen=True):
    """A line to the public network."""

    trunk: str
    up: bool
    """Calls may go over it."""
    calls: int
    """Now, both ways."""
    most_calls: int | None
    """At once; none: as many as there are."""
    peers: list[TrunkPeer]


class DeviceState(Struct, frozen=True):
    """One device of ours."""

    device: str
    kinds: list[str]
    """Of `extension` (may register here), `account` (registered outside), `station` (no phone)."""
    display_name: str
    reachable: bool
    calls: list[str]
    commands: list[str]
    """What it may do outside a call."""
    supervises: list[str] = []
    """Beside whom it may join, intercept and clear: devices, or how they begin, as `60*`."""
    picks_up: list[str] = []
    """Where it may pick up, and whose parked calls, in the same way."""


class RecordingPause(Struct, frozen=True):
    """Silence on a recording, as somebody has asked for it."""

    started_at: datetime
    ended_at: datetime | None
    """None while it lasts, or where the recording ended in it."""


class Recording(Struct, frozen=True):
    """What is known of one recording; of its file while that is there."""

    recording: str
    """A UUID."""
    call: str
    interaction: str
    state: str
    """`recording`, `complete`, `failed` (see text), `lost` (we were killed), `deleted`."""
    format: str
    """`opus` (in Ogg) or `wav`."""
    sample_rate_hz: int
    encrypted: bool
    """On disk; what is fetched is not."""
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int
    left: list[str]
    """All that were on this side: customers."""
    right: list[str]
    """Agents."""
    pauses: list[RecordingPause]
    by: str | None
    """Who asked for it; none where a rule did."""
    rule: str
    size: int
    """Octets on disk."""
    sha256: str
    """Of the file as it is on disk."""
    text: str
    """Why it failed."""
    file_name: str
    """What it is called when it is fetched."""


class Recordings(Struct, frozen=True):
    """`GET /recordings`, the newest first."""

    recordings: list[Recording]


class Health(Struct, frozen=True):
    """`GET /health`."""

    ok: bool
    version: str
    uptime_s: float
    calls: int
    registrations: int
    """Of devices that are registered now."""
    last_event: int
    draining: bool
    alarms: list[str] = []
    """What is begun anew again and again, for a person; see the log."""


class Ban(Struct, frozen=True):
    """A source of SIP that is not listened to."""

    source: str
    """An IPv4 address, or an IPv6 network of 64 bits."""
    user: str
    """Whose password was tried last; empty where nobody's."""
    failures: int
    """Wrong passwords that led to it."""
    left_s: float
    """How long it lasts yet."""


class Bans(Struct, frozen=True):
    """`GET /bans`."""

    bans: list[Ban]


class Calls(Struct, frozen=True):
    """`GET /calls`."""

    calls: list[Call]


class Registrations(Struct, frozen=True):
    """`GET /registrations`."""

    registrations: list[Registration]


class Trunks(Struct, frozen=True):
    """`GET /trunks`."""

    trunks: list[Trunk]


class Ivr(Struct, frozen=True):
    """A device that is a flow."""

    code: str
    """Which."""
    flow: str
    """The flow's name."""
    file: str
    """Where it is read from."""
    title: str
    """What it is, for a person."""
    nodes: int
    """How many it has."""
    calls: int
    """That are in it now."""
    read_at: datetime
    """When it was read (UTC)."""
    mistakes: list[str] = []
    """Of the file as it is now; calls come to the flow as it was before."""


class Ivrs(Struct, frozen=True):
    """`GET /ivr`."""

    ivr: list[Ivr]


class WaitingCall(Struct, frozen=True):
    """Somebody who waits in a queue."""

    call: str | None
    """None: he has gone, and is to be called back."""
    caller: str
    """As he is shown; of who is to be called back, the number."""
    position: int
    """From 1; 0: he is to be called back later, and stands in nobody's way."""
    waited_s: float
    """So long, in all queues that he was in."""
    priority: int
    """0 to 9: a higher one goes first."""
    offered_to: str | None
    """Where it rings for him."""
    call_back: bool
    """He is to be called back."""
    call_back_id: str | None = None
    """By which that can be withdrawn."""
    not_before: datetime | None = None
    """He is not called before; null: as soon as it is his turn."""


class AskCallBack(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /queues/{queue}/call-backs`."""

    number: DialText
    """Whom to call, once an agent is there."""
    not_before: Annotated[datetime, Meta(tz=True)] | None = None
    """Not to be called before, with its zone; by default as soon as it is his turn."""
    priority: Annotated[int, Meta(ge=0, le=9)] | None = None
    """By default that of the queue."""


class CallBack(Struct, frozen=True):
    """201 of `POST /queues/{queue}/call-backs`."""

    call_back_id: str
    """By which it can be withdrawn."""
    queue: str
    number: str
    not_before: datetime | None
    priority: int


class QueueDay(Struct, frozen=True):
    """What has become of a queue's calls today."""

    date: date
    """The day (UTC)."""
    outcomes: dict[str, int]
    """How many have left it how: `answered`, `abandoned`, `overflow`, `timeout`, `nobody`, …"""
    waited_s: dict[str, float]
    """How long all of these have waited together."""


class Queue(Struct, frozen=True):
    """Where calls wait for agents."""

    queue: str
    """Its code: of a queue, or of a skill that has none of its own."""
    name: str
    """For a person."""
    devices: list[str]
    """Where those are who could serve it,"""
    reachable: int
    """how many they are,"""
    free: int
    """and how many of them may be offered a call."""
    agents: int
    """Agents among them: who is logged on and has a skill that it wants,"""
    ready: int
    """how many of these are ready,"""
    busy: int
    """and how many are in a call."""
    waiting: list[WaitingCall]
    """In the order in which they are served."""
    longest_s: float
    """How long the one who came first has waited; 0 where nobody waits."""
    wait_s: float | None
    """How long who comes now may have to wait; null: nobody knows."""
    today: QueueDay
    """Since midnight (UTC), over restarts too."""


class Queues(Struct, frozen=True):
    """`GET /queues`."""

    queues: list[Queue]


class Records(Struct, frozen=True):
    """`GET /records`: calls that are over, the latest first."""

    records: list[CallRecord]
    next: str = ""
    """To be asked for with `after`; empty where there are no more."""


class RecordFound(Struct, frozen=True):
    """`GET /records/{call}`."""

    record: CallRecord
    explanation: list[str]
    """What happened and why it ended, in sentences."""
    recordings: list[Recording] = []
    """Its audio, the newest first; what is known of a file stays when that is deleted."""


class Devices(Struct, frozen=True):
    """`GET /devices`."""

    devices: list[DeviceState]


# -- the event WebSocket, server to client ----------------------------------------------------


class Snapshot(Struct, frozen=True, tag="snapshot"):
    """The first frame, and again when events were lost to a slow reader: what is true now."""

    run: str
    """Of this start of the endpoint: numbers of another run mean nothing."""
    number: int
    """Of the last event that is in it."""
    time: datetime
    """The server's clock, to show durations by."""
    missed: bool
    """Events that were asked for are no longer kept."""
    calls: list[Call]
    registrations: list[Registration]
    devices: list[DeviceState]
    trunks: list[Trunk] = []


class EventFrame(Struct, frozen=True, tag="event"):
    """One event, in its order."""

    number: int
    """Counts from 1 without gaps since the endpoint started."""
    at: datetime
    event: str
    """`Delivered`, `Established`, `Held`, `DeviceRegistered`…"""
    fields: dict[str, Any]
    """All that the event says."""
    call: Call | None = None
    """The event's call as it is now; absent when it is over."""
    registration: Registration | None = None
    """Of a registration event: the device's state now."""
    trunk: Trunk | None = None
    """Of `TrunkUp` and `TrunkDown`: the trunk now."""
    devices: list[DeviceState] = []
    """The devices that the event is about."""
    others: list[Call] = []
    """Other calls of those devices, as they are now: what they may do there hangs on this one."""


class SipMessage(Struct, frozen=True):
    """One message of a call, as the endpoint sent or received it."""

    at: datetime
    sent: bool
    """True: from the endpoint to the party."""
    transport: str
    peer: str
    """`host:port` of the far end."""
    party: str
    """The device whose telephone that is."""
    label: str
    """Method or status, and what the description asks for."""
    text: str
    """As on the wire; digests, keys, passwords, pressed digits and texts are blotted out."""


class Trace(Struct, frozen=True):
    """`GET /calls/{call}/trace`."""

    call: str
    parties: list[str]
    messages: list[SipMessage]


class TraceSummary(Struct, frozen=True):
    """A call whose SIP is kept."""

    call: str
    """For `GET /calls/{call}/trace`."""
    parties: list[str]
    began_at: datetime
    messages: int


class Traces(Struct, frozen=True):
    """`GET /traces`, the latest last."""

    traces: list[TraceSummary]


class CredentialsExpiring(Struct, frozen=True, tag="credentials"):
    """The token by which this socket was opened is about to end; so is the socket, with 4401.

    Get another one, and come back with `from` and `run`: nothing is missed.
    """

    expires_at: datetime


Frame = Snapshot | EventFrame | CredentialsExpiring
