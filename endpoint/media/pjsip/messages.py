"""What the control plane and a PJSIP process say to each other, as to the media plane.

A process has one line: an account at a server. A call that we place is named by us, one that comes
in by the process. Audio of each call goes as L16 over RTP between the process and the media plane,
on this machine.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from endpoint.media.messages import Command, Done, Failed, Ping, Reply

CallName = str
SAMPLE_RATE_HZ: Final = 16000
PAYLOAD_TYPE: Final = 96
"""Of L16 on the way between the two processes."""


class OpenLine(Command[Done], frozen=True):
    """Register the account and take its calls. The password is never shown."""

    uri: str
    """Address of record, as `sip:6002@pbx.example`."""
    registrar: str
    """A SIP URI, as `sip:pbx.example:5060;transport=tcp`."""
    username: str
    password: str
    realm: str
    """`*` for any."""
    display_name: str
    expires_s: int
    host: str
    """Where SIP is bound; empty: everywhere."""
    port: int
    """Of SIP over UDP; 0: any. With that of before, a new process takes the old one's binding."""
    audio_host: str
    """Where the audio between the processes is bound."""
    over_tcp: bool

    def __repr__(self) -> str:
        return f"OpenLine({self.uri!r}, {self.registrar!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("uri", self.uri), ("registrar", self.registrar)]


class CloseLine(Command[Done], frozen=True):
    """Take the registration back; `LineClosed` follows."""


class PlaceCall(Command[Done], frozen=True):
    """Call somebody. Then `CallPlaced`, and at the end `CallEnded`."""

    call: CallName
    target: str
    from_: str
    """Empty: the account's own."""
    headers: list[tuple[str, str]]
    host: str
    """Where the media plane takes the call's audio."""
    rtp_port: int


class RingCall(Command[Done], frozen=True):
    """Answer 180; with an address 183, and audio begins."""

    call: CallName
    host: str = ""
    rtp_port: int = 0


class AnswerCall(Command[Done], frozen=True):
    """Answer 200."""

    call: CallName
    host: str
    rtp_port: int


class EndCall(Command[Done], frozen=True):
    """CANCEL, a refusal with the status, or BYE. Then `CallEnded`."""

    call: CallName
    status: int


class HoldCall(Command[Done], frozen=True):
    """Offer `sendonly`, or `sendrecv` again. Then `HoldAnswered`."""

    call: CallName
    held: bool


class SendDigit(Command[Done], frozen=True):
    """One DTMF digit."""

    call: CallName
    digit: str
    duration_ms: int
    by_info: bool
    """By INFO; else as a telephone-event."""


class ReferCall(Command[Done], frozen=True):
    """Ask the far end to call somebody. Then `ReferTold`, the last of it `final`."""

    call: CallName
    refer_to: str
    """May hold `Replaces`."""
    referred_by: str


class LineRegistered(Struct, frozen=True, tag=True):
    """The server took the registration, for the first time or after a failure."""

    contact: str
    expires_s: int
    port: int
    """Of SIP over UDP."""


class LineFailed(Struct, frozen=True, tag=True):
    """The server refused the registration, or does not answer."""

    status: int | None
    text: str
    fatal: bool
    """It is not tried again by itself."""


class LineClosed(Struct, frozen=True, tag=True):
    """The registration is taken back, or the server does not say so."""


class LineFull(Struct, frozen=True, tag=True):
    """A call was refused with 486: the process has as many as it can."""


class CallArrived(Struct, frozen=True, tag=True):
    """Somebody calls."""

    call: CallName
    invite: bytes
    """As it came."""
    rtp_port: int
    """Where the process takes the call's audio."""


class CallPlaced(Struct, frozen=True, tag=True):
    """The INVITE is out."""

    call: CallName
    call_id: str
    rtp_port: int


class CallProgress(Struct, frozen=True, tag=True):
    """A provisional response above 100."""

    call: CallName
    status: int
    reason: str


class CallHeard(Struct, frozen=True, tag=True):
    """Audio is agreed on before the answer."""

    call: CallName


class CallConfirmed(Struct, frozen=True, tag=True):
    """It is answered, and the answer acknowledged."""

    call: CallName
    call_id: str
    local_tag: str
    remote_tag: str
    """Empty where they were not seen: then it can't be taken over."""


class FarEndHeld(Struct, frozen=True, tag=True):
    """The far end has put the call on hold, or taken it back."""

    call: CallName
    held: bool


class HoldAnswered(Struct, frozen=True, tag=True):
    """What the far end says to our `HoldCall`."""

    call: CallName
    status: int


class DigitHeard(Struct, frozen=True, tag=True):
    """A DTMF digit from the far end, by telephone-event or INFO."""

    call: CallName
    digit: str
    duration_ms: int


class ReferTold(Struct, frozen=True, tag=True):
    """What the far end tells of our `ReferCall`."""

    call: CallName
    status: int
    reason: str
    final: bool


class CallMoved(Struct, frozen=True, tag=True):
    """The far end had somebody else take its place (REFER, Replaces), which PJSIP did by itself."""

    call: CallName
    to: str


class CallEnded(Struct, frozen=True, tag=True):
    """The call is over; its last notice, and there is exactly one."""

    call: CallName
    status: int
    """200 where an answered one was hung up."""
    reason: str
    q850: int | None
    by_remote: bool


CallNotice = (
    CallArrived
    | CallPlaced
    | CallProgress
    | CallHeard
    | CallConfirmed
    | FarEndHeld
    | HoldAnswered
    | DigitHeard
    | ReferTold
    | CallMoved
    | CallEnded
)
LineNotice = LineRegistered | LineFailed | LineClosed | LineFull | CallNotice
LineCommand = (
    OpenLine
    | CloseLine
    | PlaceCall
    | RingCall
    | AnswerCall
    | EndCall
    | HoldCall
    | SendDigit
    | ReferCall
    | Ping
)

decode_command = msgspec.msgpack.Decoder(LineCommand).decode
decode_answer = msgspec.msgpack.Decoder(Reply | Failed | LineNotice).decode
