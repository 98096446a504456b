"""Why there is no audio: one word for each direction of a port, judged over its last seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

_SILENT_DBOV: Final = -65.0
"""A quiet room is louder; a microphone that is muted is not."""
_POOR_MOS: Final = 3.1
"""Nearly all users are dissatisfied (R of 60, G.109)."""


class ReceivedDiagnosis(StrEnum):
    """What is the matter with the audio that comes from a far end."""

    FINE = "fine"
    POOR = "poor"
    BEGINNING = "beginning"
    SILENCE = "silence"
    NO_FAR_END = "no_far_end"
    NOT_CONNECTED = "not_connected"
    HELD = "held"
    NO_PACKETS = "no_packets"
    WRONG_SOURCE = "wrong_source"
    NOT_AUTHENTIC = "not_authentic"
    NOT_NEGOTIATED = "not_negotiated"
    UNDECODABLE = "undecodable"

    @property
    def text(self) -> str:
        """For a person: what it means, and where to look."""
        return _RECEIVED[self]


class SentDiagnosis(StrEnum):
    """What is the matter with the audio that goes to a far end."""

    FINE = "fine"
    POOR = "poor"
    BEGINNING = "beginning"
    SILENCE = "silence"
    NO_FAR_END = "no_far_end"
    NOT_CONNECTED = "not_connected"
    HELD = "held"
    NOT_ROUTED = "not_routed"
    NOTHING_TO_SEND = "nothing_to_send"
    PEER_HEARS_NOTHING = "peer_hears_nothing"

    @property
    def text(self) -> str:
        """For a person: what it means, and where to look."""
        return _SENT[self]


_NO_FAR_END: Final = "Signalling has not said yet where the far end is."
_NOT_CONNECTED: Final = (
    "ICE and DTLS have found no way to the far end. Look at firewalls for UDP, at the address that"
    " we advertise, and whether a STUN or TURN server is needed."
)
_RECEIVED: Final = {
    ReceivedDiagnosis.FINE: "Audio arrives.",
    ReceivedDiagnosis.POOR: (
        "Audio arrives, but too much of it is lost or late. Look at loss and jitter, and at the"
        " network of the far end."
    ),
    ReceivedDiagnosis.BEGINNING: "Nothing has come yet; it has only just begun.",
    ReceivedDiagnosis.SILENCE: (
        "Packets arrive, but hold silence: the microphone is muted or the wrong one, or nobody"
        " speaks."
    ),
    ReceivedDiagnosis.NO_FAR_END: _NO_FAR_END,
    ReceivedDiagnosis.NOT_CONNECTED: _NOT_CONNECTED,
    ReceivedDiagnosis.HELD: "The call is on hold: it was agreed that the far end sends nothing.",
    ReceivedDiagnosis.NO_PACKETS: (
        "No packet comes from the far end. Look at firewalls and NAT between us, at the address"
        " that we advertise, and whether the telephone is still there."
    ),
    ReceivedDiagnosis.WRONG_SOURCE: (
        "Packets come from another address than the far end's, and are dropped. Look at NAT, or"
        " for a telephone that has changed its address."
    ),
    ReceivedDiagnosis.NOT_AUTHENTIC: (
        "Packets come, but SRTP refuses them: the far end encrypts with other keys than it"
        " signalled, or does not encrypt."
    ),
    ReceivedDiagnosis.NOT_NEGOTIATED: (
        "Packets come with payload types that nobody agreed on: the far end uses another codec"
        " than its description says."
    ),
    ReceivedDiagnosis.UNDECODABLE: (
        "What comes can't be decoded: it is no RTP, or not of the codec that was agreed."
    ),
}
_SENT: Final = {
    SentDiagnosis.FINE: "Audio is sent.",
    SentDiagnosis.POOR: (
        "The far end reports that too much is lost or late on the way to it. Look at its network."
    ),
    SentDiagnosis.BEGINNING: "Nothing has been sent yet; it has only just begun.",
    SentDiagnosis.SILENCE: "Silence is sent: whom it should hear says nothing.",
    SentDiagnosis.NO_FAR_END: _NO_FAR_END,
    SentDiagnosis.NOT_CONNECTED: _NOT_CONNECTED,
    SentDiagnosis.HELD: "The far end is on hold: it was agreed that it hears nothing.",
    SentDiagnosis.NOT_ROUTED: (
        "Nobody's audio is routed to it: as the call stands, it is meant to hear nothing."
    ),
    SentDiagnosis.NOTHING_TO_SEND: (
        "Nothing comes from whom it should hear: look at what is received from them."
    ),
    SentDiagnosis.PEER_HEARS_NOTHING: (
        "We send, but the far end reports that nothing arrives. Look at firewalls and NAT in front"
        " of it, and at the address in its description."
    ),
}


class Counts(NamedTuple):
    """What has been counted on a port: packets, up to a moment or between two."""

    received: int
    expected: int
    lost: int
    loss_runs: int
    """Losses; those in a row count as one."""
    unheard: int
    """Came, but too late or too many at once to be heard."""
    foreign: int
    refused: int
    malformed: int
    unnegotiated: int
    """Among those received."""
    sent: int

    def since(self, earlier: Counts) -> Counts:
        """What came in between."""
        return Counts(*(now - then for now, then in zip(self, earlier, strict=True)))


@dataclass(frozen=True, slots=True)
class Reception:
    """What is known of the audio that comes from a far end."""

    is_connected: bool
    is_expected: bool
    """The far end may send, as was agreed."""
    is_young: bool
    """It has only just been agreed so."""
    level_dbov: float | None
    """The loudest of late; None: not known."""
    is_garbled: bool
    """Nothing of late could be decoded."""
    mos: float | None
    last: Counts
    """Of the last seconds."""


def judge_received(it: Reception) -> ReceivedDiagnosis:
    """What is the matter, or `FINE`. The far end is known."""
    last = it.last
    if not it.is_connected:
        return ReceivedDiagnosis.NOT_CONNECTED
    if not it.is_expected:
        return ReceivedDiagnosis.HELD
    if last.received > 0:
        if last.unnegotiated >= last.received:
            return ReceivedDiagnosis.NOT_NEGOTIATED
        if it.is_garbled:
            return ReceivedDiagnosis.UNDECODABLE
        if it.level_dbov is not None and it.level_dbov < _SILENT_DBOV:
            return ReceivedDiagnosis.SILENCE
        return ReceivedDiagnosis.POOR if _is_poor(it.mos) else ReceivedDiagnosis.FINE
    if last.refused > 0:
        return ReceivedDiagnosis.NOT_AUTHENTIC
    if last.foreign > 0:
        return ReceivedDiagnosis.WRONG_SOURCE
    if last.malformed > 0:
        return ReceivedDiagnosis.UNDECODABLE
    return ReceivedDiagnosis.BEGINNING if it.is_young else ReceivedDiagnosis.NO_PACKETS


@dataclass(frozen=True, slots=True)
class Sending:
    """What is known of the audio that goes to a far end."""

    is_connected: bool
    is_wanted: bool
    """The far end wants to hear something, as was agreed."""
    is_young: bool
    is_routed: bool
    level_dbov: float | None
    """Of whom it should hear; None: not known."""
    is_heard: bool | None
    """What its reports say; None: nothing."""
    mos: float | None
    sent: int
    """Packets of the last seconds."""


def judge_sent(it: Sending) -> SentDiagnosis:
    """What is the matter, or `FINE`. The far end is known."""
    if not it.is_connected:
        return SentDiagnosis.NOT_CONNECTED
    if not it.is_wanted:
        return SentDiagnosis.HELD
    if not it.is_routed:
        return SentDiagnosis.NOT_ROUTED
    if it.sent <= 0:
        return SentDiagnosis.BEGINNING if it.is_young else SentDiagnosis.NOTHING_TO_SEND
    if it.is_heard is False:
        return SentDiagnosis.PEER_HEARS_NOTHING
    if it.level_dbov is not None and it.level_dbov < _SILENT_DBOV:
        return SentDiagnosis.SILENCE
    return SentDiagnosis.POOR if _is_poor(it.mos) else SentDiagnosis.FINE


def _is_poor(mos: float | None) -> bool:
    return mos is not None and mos < _POOR_MOS
