"""What the machine wants done. The controller does it, in this order, and decides nothing.

Each method of `legs.base.Exchange` has its effect here; the rest are timers, events and the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from endpoint.callcontrol.events import CallEvents
from endpoint.callcontrol.model import CallRecord, Timer
from endpoint.legs.base import (
    Cause,
    DeviceId,
    InteractionId,
    LegId,
    PlaceLeg,
    RecordingId,
    RecordingRequest,
    Route,
    Track,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Reach a device."""

    request: PlaceLeg
    """Whom, and how."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell an offered leg's caller that it rings."""

    leg: LegId
    """Offered."""
    early_media: bool = False
    """Let the caller hear what is routed to it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an offered leg, or pick up one that rings."""

    leg: LegId
    """Offered, or ringing."""


@dataclass(frozen=True, slots=True)
class Release:
    """End a leg by what its state needs."""

    leg: LegId
    """Not over yet."""
    cause: Cause
    """What its far end is told."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Offer `sendonly` to a leg's far end: it is held. Always behind the routes."""

    leg: LegId
    """Up."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Offer `sendrecv` to a leg's far end: it is held no longer. Always behind the routes."""

    leg: LegId
    """Up."""


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Send DTMF to a leg's far end."""

    leg: LegId
    """Up."""
    digits: str = field(repr=False)
    """`0-9*#A-D`; never logged."""


@dataclass(frozen=True, slots=True)
class Refer:
    """Ask a leg's far end to call somebody itself."""

    leg: LegId
    """Up."""
    destination: DeviceId
    """Whom."""
    replacing: LegId | None = None
    """Another leg of ours, to that one: its call is to be taken over."""


@dataclass(frozen=True, slots=True)
class TellTransfer:
    """Tell a phone what becomes of the transfer that it asked for."""

    leg: LegId
    """It asked; it may be gone."""
    sip_status: int
    """100 to 199: under way. Else the outcome; as the first word, 300 and above refuse it."""


@dataclass(frozen=True, slots=True)
class SetRoutes:
    """The whole truth of who hears whom in an interaction. First of a step's effects."""

    interaction: InteractionId
    """Where."""
    routes: frozenset[Route]
    """All of them."""


@dataclass(frozen=True, slots=True)
class BeginRecording:
    """Begin a file, on which nobody is yet."""

    request: RecordingRequest
    """Of which call."""


@dataclass(frozen=True, slots=True)
class SetTracks:
    """The whole truth of who is on a recording. Always behind the routes."""

    recording: RecordingId
    """Which."""
    tracks: frozenset[Track]
    """All of them."""
    paused: bool
    """Nobody is, as somebody has asked for that."""


@dataclass(frozen=True, slots=True)
class EndRecording:
    """Finish a file."""

    recording: RecordingId
    """Which."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Let a deadline run."""

    timer: Timer
    """Which; it comes back in `TimerFired`."""
    after_s: float
    """From now."""


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget a deadline."""

    timer: Timer
    """Which."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell what happened."""

    event: CallEvents
    """True by now: what it tells stands before it among the effects."""


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """Keep what stays of a call. Once a call, before its `CallCleared`."""

    record: CallRecord
    """The call, when it was over, without what its audio was like."""
    legs: tuple[LegId, ...] = ()
    """Those of its connections, in their order: they are asked for that."""


AtOnce = (
    Place
    | Alert
    | Answer
    | Release
    | Hold
    | Resume
    | SendDigits
    | Refer
    | TellTransfer
    | SetRoutes
    | BeginRecording
    | SetTracks
    | EndRecording
    | StartTimer
    | CancelTimer
    | Publish
)
"""What is done when it is asked for."""

Effect = AtOnce | WriteRecord
"""A record is waited for."""
