"""What the native interface and its clients say to each other: JSON over HTTP and one WebSocket.

The server encodes these very types and the client decodes them, so the two can't drift apart.
Requests forbid unknown fields; answers allow them, so that an older client reads a newer server.
"""

from __future__ import annotations

from datetime import datetime
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


class CredentialsExpiring(Struct, frozen=True, tag="credentials"):
    """The token by which this socket was opened is about to end; so is the socket, with 4401.

    Get another one, and come back with `from` and `run`: nothing is missed.
    """

    expires_at: datetime


Frame = Snapshot | EventFrame | CredentialsExpiring
