"""What an agent's calls are to BasicCall: which part the device has in each, and so which state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from endpoint.callcontrol.model import (
    Call,
    CallId,
    Connection,
    ConnectionState,
    Interaction,
    Participation,
    StepKind,
)
from endpoint.gateways.basiccall.names import State
from endpoint.legs.base import DeviceId


class Part(StrEnum):
    """How the device came into a call."""

    CALLED = "called"
    DIALLED = "dialled"
    INNER_CALLED = "inner_called"
    INNER_DIALLED = "inner_dialled"
    CONSULTS = "consults"
    """It has put another call aside to ask a colleague."""
    CALLS_OUT = "calls_out"
    """Likewise, somebody outside."""
    CONSULTED = "consulted"
    MONITORS = "monitors"
    """It listens to another one's call, or has come into it so."""


OF_CONSULTS = (Part.CONSULTS, Part.CALLS_OUT)
"""The second call of a device."""
_DIALLED = (Part.DIALLED, Part.INNER_DIALLED)
_INNER = (Part.INNER_CALLED, Part.INNER_DIALLED, Part.CONSULTS)


@dataclass(frozen=True, slots=True)
class OwnCall:
    """A call that the device is in."""

    id: CallId
    part: Part
    own: ConnectionState
    established: bool = False
    is_held: bool = False
    """The other one has put it aside."""
    conference: State | None = None
    """More than two talk; as what that is shown."""
    intervenes: bool = False
    """Who monitored it is heard by all."""
    verifies: bool = False
    """Its customer is at an IVR, and comes back."""
    transferring: bool = False
    answered: bool = False
    """The page has picked up."""

    @property
    def holds(self) -> bool:
        """The device has put it aside."""
        return self.own is ConnectionState.HOLD


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call beside what was told."""

    calling: DeviceId
    called: DeviceId
    started_at: datetime
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    queue: str = ""
    """In which it has waited last."""
    outside: DeviceId | None = None
    """Its party that is no device of ours: the customer."""
    parties: int = 2
    """Who are in it."""
    lent_in_vain: str = ""
    """Why whom its party was lent to last was never there; empty: it was."""


class World(Protocol):
    """What is asked where events do not say it."""

    @property
    def tenant(self) -> str:
        """Whose world it is."""

    def is_ours(self, device: DeviceId) -> bool:
        """Whether somebody of the centre is there."""

    def is_consulting(self, device: DeviceId, call: CallId) -> bool:
        """Whether it has called there beside another call of its own."""

    def call(self, call: CallId) -> CallFacts | None:
        """None where it is over."""

    def name_of(self, agent: str) -> str:
        """By which an agent's colleagues know it."""


def state_of(calls: Sequence[OwnCall]) -> State | None:
    """What a device's calls are shown as, the newest last; None: that is not to be told."""
    consult = next((each for each in reversed(calls) if each.part in OF_CONSULTS), None)
    main = next((each for each in calls if each is not consult), None)
    if main is None and consult is None:
        return None
    if main is None or consult is None:
        only = main or consult
        assert only is not None
        return _of_one(only)
    inner = consult.part is Part.CONSULTS
    if main.transferring:
        return State.ONE_STEP_TRANSFERRING
    if not consult.established:
        return State.HOLD_CONSULT_RINGING if inner else State.HOLD_CALLING
    if consult.holds and not main.holds:
        return State.TALK_CONSULT_HOLD if inner else State.TALK_HOLD
    return State.HOLD_CONSULT if inner else State.HOLD_TALK


def _of_one(call: OwnCall) -> State:
    if call.part is Part.MONITORS:
        if not call.established:
            return State.MONITOR_SELECT
        return State.INTERVENE_CONF if call.intervenes else State.MONITORING
    if call.own is ConnectionState.ALERTING:
        return State.WAIT_RINGING if call.answered else State.RINGING
    inner = call.part in _INNER
    if not call.established:
        return State.INNER_ALERTING if inner else State.DIALING
    if call.transferring:
        return State.ONE_STEP_TRANSFERRING
    if call.verifies:
        return State.IVR_VERIFY
    if call.holds:
        return State.INNER_HOLD if inner else State.HOLD
    if call.conference is not None:
        return call.conference
    if call.part is Part.CONSULTED:
        return State.CONSULTED_HOLD if call.is_held else State.CONSULTED
    if inner:
        return State.INNER_HELD if call.is_held else State.INNER_TALK
    return State.TALK


def own_calls(
    device: DeviceId,
    found: Iterable[tuple[Interaction, Call, Connection]],
    world: World,
) -> dict[CallId, OwnCall]:
    """The calls of a device as they stand, oldest first: where nobody was told of them yet."""
    ordered = sorted(found, key=lambda each: each[1].started_at)
    known = [_known(device, call, own, world) for _, call, own in ordered]
    beside = [at for at, each in enumerate(known) if at and each.part in _DIALLED]
    if beside:
        at = beside[-1]
        part = Part.CONSULTS if world.is_ours(ordered[at][1].called) else Part.CALLS_OUT
        known[at] = _replaced_part(known[at], part)
    return {each.id: each for each in known}


def _replaced_part(call: OwnCall, part: Part) -> OwnCall:
    return OwnCall(
        call.id, part, call.own, call.established, call.is_held, transferring=call.transferring
    )


def _known(device: DeviceId, call: Call, own: Connection, world: World) -> OwnCall:
    others = [each for each in call.connections if each.is_live and each is not own]
    monitors = own.beside is not None or own.participation is not Participation.ACTIVE
    talking = [each for each in others if each.is_party]
    is_conference = call.is_established and own.is_party and len(talking) > 1
    conference = _conference_of(device, call, talking, world) if is_conference else None
    return OwnCall(
        call.id,
        Part.MONITORS if monitors else part_of(device, call.id, call.calling, call.called, world),
        own.state,
        established=call.is_established and own.state is not ConnectionState.ALERTING,
        is_held=call.away is None and any(e.state is ConnectionState.HOLD for e in talking),
        conference=conference,
        intervenes=monitors and own.participation is Participation.ACTIVE,
        verifies=call.away is not None,
        transferring=call.transfer is not None,
    )


def _conference_of(
    device: DeviceId, call: Call, others: Sequence[Connection], world: World
) -> State | None:
    """As what a conference is shown, to who has made it and to others. None: as a talk."""
    made = [each for each in call.steps if each.kind is StepKind.CONFERENCE and each.cause is None]
    if not made:
        return None
    if made[-1].by != device:
        return State.SLAVE_CONF
    outside = [each for each in others if each.from_outside or not world.is_ours(each.number)]
    return State.CALLOUT_CONF if len(outside) > 1 else State.CONSULT_CONF


def part_of(
    device: DeviceId, call: CallId, calling: DeviceId, called: DeviceId, world: World
) -> Part:
    """How a device is in a call of two."""
    if calling == device:
        return Part.INNER_DIALLED if world.is_ours(called) else Part.DIALLED
    if world.is_consulting(calling, call):
        return Part.CONSULTED
    facts = world.call(call)
    if facts is not None and facts.outside is not None:
        return Part.CALLED
    return Part.INNER_CALLED if world.is_ours(calling) else Part.CALLED
