"""What a rig and its parties say to each other: a JSON object a line, over stdin and stdout."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec import Struct

from endpoint.legs.audio_end import Protection
from endpoint.media.messages import PortFailure, SrtpProfile


class AnswerMode(StrEnum):
    """What a party does when it is called."""

    AUTOMATIC = "automatic"
    """Rings and answers."""
    WHEN_TOLD = "when_told"
    """Answers an `Answer` order, and calls that ask for it (`Call-Info: answer-after`)."""
    BUSY = "busy"
    DECLINE = "decline"
    IGNORE = "ignore"
    """Rings for ever."""


class PartySettings(Struct, frozen=True):
    """One party: a telephone with a tone of its own."""

    name: str
    """Its number; also what others hear it as."""
    server: str
    """`udp:host:port`, `tls:host:port`, `ws://host:port/sip` or `wss://host:port/sip`.

    Empty: it is registered nowhere, and takes the calls that come to `Status.address`.
    """
    domain: str
    password: str
    tone_hz: float
    answer: AnswerMode = AnswerMode.WHEN_TOLD
    ca_file: str = ""
    """PEM of the authority that signed the server's certificate; empty for the system's own."""
    expires_s: int = 120
    rtp_port_first: int = 36000
    rtp_port_last: int = 39999
    protection: Protection = Protection.RTP
    """What it offers, and the only thing that it takes."""
    codecs: list[str] = []
    """By their names in SDP, most wanted first; empty for all that fit its protection."""


class Order(Struct, frozen=True, tag=True, kw_only=True):
    """Base of all orders; each gets one `Done` or `Refused` with its number."""

    number: int


class Dial(Order, frozen=True):
    """Call somebody through the server."""

    destination: str


class Answer(Order, frozen=True):
    """Answer the call that rings."""


class Hold(Order, frozen=True):
    """Re-INVITE sendonly from this phone itself."""


class Retrieve(Order, frozen=True):
    """Re-INVITE sendrecv from this phone itself."""


class RestartIce(Order, frozen=True):
    """Re-INVITE with new ICE from this phone itself, as a browser whose network has changed."""


class SendDigits(Order, frozen=True):
    """Send DTMF by RFC 4733."""

    digits: str


class HangUp(Order, frozen=True):
    """BYE, CANCEL or a refusal, as the call's state needs."""


class Listen(Order, frozen=True):
    """Which sources are in the last `last_ms` of received, decoded audio? `Done.heard`."""

    last_ms: int
    signatures: dict[str, list[float]]
    """Source → the frequencies that make it up; the party's own too, as an echo is a fault."""


class Quit(Order, frozen=True):
    """Hang up, un-register, end."""


class CallState(StrEnum):
    """Of the party's one call."""

    IDLE = "idle"
    DIALLING = "dialling"
    RINGING = "ringing"
    CONNECTED = "connected"
    ENDED = "ended"


class Done(Struct, frozen=True, tag=True):
    """The order was carried out."""

    number: int
    heard: list[str] = []


class Refused(Struct, frozen=True, tag=True):
    """The order can't be carried out now."""

    number: int
    text: str


class Status(Struct, frozen=True, tag=True):
    """How the party stands; sent whenever it changes."""

    registered: bool = False
    registration_failure: str = ""
    address: str = ""
    """`host:port` of its SIP over UDP, where it speaks that."""
    call: CallState = CallState.IDLE
    peer: str = ""
    digits: str = ""
    """Received in this call."""
    held_by_peer: bool = False
    released_by_peer: bool = False
    """The last call ended by the far end's BYE, CANCEL or refusal."""
    sip_status: int = 0
    """Final status of a call that was not answered."""
    protection: Protection | None = None
    """How audio came when somebody listened last; None while none has come."""
    srtp_profile: SrtpProfile | None = None
    """What it was authenticated and decrypted by."""
    codec: str = ""
    """What it was decoded by."""
    connections: int = 0
    """How often ICE and DTLS have come up in this call: once, and again at each restart."""
    media_failure: PortFailure | None = None
    """Why a WebRTC call has no audio, or has it no longer."""


PhoneOrder = Dial | Answer | Hold | Retrieve | RestartIce | SendDigits | HangUp | Listen
AnyOrder = PhoneOrder | Quit
Report = Done | Refused | Status
encode: Callable[[AnyOrder | Report], bytes] = msgspec.json.Encoder().encode
decode_order: Callable[[bytes], AnyOrder] = msgspec.json.Decoder(AnyOrder).decode
decode_report: Callable[[bytes], Report] = msgspec.json.Decoder(Report).decode
