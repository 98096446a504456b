"""What an agent's calls are to BasicCall: which part the device has in each, and so which state.

All of it is read from a call as it stands, whoever asks and whenever: a page that is loaded anew is
shown what the one before was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from endpoint.callcontrol.model import (
    Call,
    CallId,
    CallStep,
    Connection,
    ConnectionState,
    Interaction,
    Participation,
    StepKind,
)
from endpoint.callcontrol.transitions import TALKS
from endpoint.gateways.basiccall.names import CommandName, State
from endpoint.legs.base import DeviceId, LegRole


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
OF_CALLERS = (Part.DIALLED, Part.INNER_DIALLED, *OF_CONSULTS)
_INNER = (Part.INNER_CALLED, Part.INNER_DIALLED, Part.CONSULTS)


@dataclass(frozen=True, slots=True)
class OwnCall:
    """A call that the device is in."""

    id: CallId
    part: Part
    own: ConnectionState
    established: bool = False
    """Caller and called have talked."""
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
    """The page has picked up, or another's call: its telephone is waited for."""

    @property
    def holds(self) -> bool:
        """The device has put it aside."""
        return self.own is ConnectionState.HOLD

    @property
    def talks(self) -> bool:
        """The device has part in what is said there."""
        return self.established and self.own in TALKS


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
    is_taken: bool = False
    """Somebody takes a device's place in it by himself: nobody has transferred it."""
    lent_in_vain: str = ""
    """Why whom its party was lent to last was never there; empty: it was."""


class World(Protocol):
    """What is asked where events do not say it."""

    @property
    def tenant(self) -> str:
        """Whose world it is."""

    def is_ours(self, device: DeviceId) -> bool:
        """Whether somebody of the centre is there."""

    def kind_of(self, device: DeviceId) -> str:
        """`AGT` where an agent works there, `IVR`, `EXT` for others of ours, else `OUT`."""

    def asked(self, device: DeviceId, call: CallId) -> CommandName | None:
        """By which command its page has begun or answered a call; None: by none of a page."""

    def own_calls(self, device: DeviceId) -> dict[CallId, OwnCall]:
        """The calls of a device as they stand, oldest first."""

    def call(self, call: CallId) -> CallFacts | None:
        """None where it is over."""

    def name_of(self, agent: str) -> str:
        """By which an agent's colleagues know it."""


def state_of(calls: Sequence[OwnCall]) -> State | None:
    """What a device's calls are shown as, the newest last; None: that is not to be told."""
    consult = next((each for each in reversed(calls) if each.part in OF_CONSULTS), None)
    main = next((each for each in calls if each is not consult), None)
    if main is None or consult is None:
        only = main or consult
        return None if only is None else _of_one(only)
    inner = consult.part is Part.CONSULTS
    if main.transferring:
        return State.ONE_STEP_TRANSFERRING
    if not consult.established:
        return State.HOLD_CONSULT_RINGING if inner else State.HOLD_CALLING
    if consult.holds and not main.holds:
        return State.TALK_CONSULT_HOLD if inner else State.TALK_HOLD
    return State.HOLD_CONSULT if inner else State.HOLD_TALK


def _of_one(call: OwnCall) -> State:
    inner = call.part in _INNER
    if not call.talks:
        if call.part in OF_CALLERS:
            return State.INNER_ALERTING if inner else State.DIALING
        if call.part is Part.MONITORS and call.own is not ConnectionState.ALERTING:
            return State.MONITOR_SELECT
        return State.WAIT_RINGING if call.answered else State.RINGING
    if call.part is Part.MONITORS:
        return State.INTERVENE_CONF if call.intervenes else State.MONITORING
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
    """The calls of a device as they stand, oldest first.

    One that does not ring there yet is none.
    """
    told = (each for each in found if each[2].state is not ConnectionState.NULL)
    ordered = sorted(told, key=lambda each: each[1].started_at)
    known = [_known(device, call, own, world) for _, call, own in ordered]
    beside = [
        at
        for at, (_, call, own) in enumerate(ordered)
        if _has_made(call, own) and any(each.talks for each in known[:at])
    ]
    if beside:
        at = beside[-1]
        part = Part.CONSULTS if world.is_ours(ordered[at][1].called) else Part.CALLS_OUT
        known[at] = replace(known[at], part=part)
    return {each.id: each for each in known}


def _known(device: DeviceId, call: Call, own: Connection, world: World) -> OwnCall:
    talking = [each for each in call.connections if _talks(call, each)]
    others = [each for each in talking if each is not own]
    is_conference = own in talking and len(others) > 1
    monitors = _monitors(call, own)
    part = Part.MONITORS if monitors else _part_of(device, call, own, world)
    was_called = part not in (*OF_CALLERS, Part.MONITORS)
    waits = own.state is ConnectionState.INITIATED or _has_picked_up(call, own)
    return OwnCall(
        call.id,
        part,
        own.state,
        established=call.is_established,
        is_held=call.away is None and any(e.state is ConnectionState.HOLD for e in others),
        conference=_conference_of(own, call, talking, world) if is_conference else None,
        intervenes=monitors and own.participation is Participation.ACTIVE,
        verifies=call.away is not None and own.held_for != call.away,
        transferring=_transfers(call, own),
        answered=was_called and (waits or world.asked(device, call.id) is CommandName.ANSWER_CALL),
    )


def _transfers(call: Call, own: Connection) -> bool:
    """Whether a device has given its place in a call to somebody who is being called."""
    return call.transfer is not None and call.transfer.asked and call.transfer.leg == own.leg


def _monitors(call: Call, own: Connection) -> bool:
    """Whether a device is in a call as who supervises it, and was not called in by a party.

    Who only hears is no party, however it came. That who was called in has a telephone which rang
    as any line does; who has picked its call up has the place, not another one.
    """
    if own.participation is not Participation.ACTIVE:
        return True
    is_station = own.role is LegRole.STATION
    return own.beside is not None and is_station and not _has_picked_up(call, own)


def _has_picked_up(call: Call, own: Connection) -> bool:
    return any(each.kind is StepKind.PICK_UP and each.to == own.number for each in call.steps)


def _talks(call: Call, connection: Connection) -> bool:
    """Whether somebody is there and counts among those who confer: not who supervises one."""
    return connection.is_party and connection.state in TALKS and not _monitors(call, connection)


def _conference_of(
    own: Connection, call: Call, talking: Sequence[Connection], world: World
) -> State:
    """As what a conference is shown: to who has made it, by whom it brought in last; to others."""
    maker, brought = _maker_of(call, talking)
    if maker is None or maker != own.device:
        return State.SLAVE_CONF
    return State.CONSULT_CONF if world.is_ours(brought) else State.CALLOUT_CONF


def _maker_of(call: Call, talking: Sequence[Connection]) -> tuple[DeviceId | None, DeviceId]:
    """Who has made a conference of a call, and by whom. None: that one has left."""
    there = {each.device for each in talking}
    made = [at for at, each in enumerate(call.steps) if _has_conferred(each, there)]
    if made:
        step = call.steps[made[-1]]
        asked = [each for each in call.steps[: made[-1]] if each.kind is StepKind.CONSULT]
        whom = next((each.to for each in reversed(asked) if each.by == step.by), step.to)
        return step.by, whom
    for came in reversed(talking):  # called in by one of them, without a call beside
        by = None if came.beside is None else call.connection_by(came.beside)
        if by is not None:
            return by.device, came.number
    return None, call.called


def _has_conferred(step: CallStep, there: Collection[DeviceId | None]) -> bool:
    return step.kind is StepKind.CONFERENCE and step.by in there


def _part_of(device: DeviceId, call: Call, own: Connection, world: World) -> Part:
    """How a device that supervises nobody is in a call."""
    if _has_made(call, own):
        by_page = world.asked(device, call.id)
        if by_page is CommandName.DIAL:  # whoever that number is, it is shown as a dial
            return Part.DIALLED
        inner = by_page is CommandName.CALL_INNER or world.is_ours(call.called)
        return Part.INNER_DIALLED if inner else Part.DIALLED
    if _began_by(call, StepKind.CONSULT) and call.connections[0].is_live:
        return Part.CONSULTED
    first, ours = call.connections[0], world.is_ours
    named = [each for each in call.connections if each.state in TALKS or each is first]
    is_inner = all(ours(each.number) and not each.from_outside for each in named)
    return Part.INNER_CALLED if is_inner and ours(call.called) else Part.CALLED


def _has_made(call: Call, own: Connection) -> bool:
    """Whether a device has dialled; who is lent to somebody has not."""
    return own.id == call.connections[0].id and not _began_by(call, StepKind.LEND)


def _began_by(call: Call, kind: StepKind) -> bool:
    """Whether a call was made beside another one, to consult or to lend. That one notes it too."""
    first = next(iter(call.steps), None)
    return (
        first is not None
        and (first.kind, first.to) == (kind, call.called)
        and (first.at == call.started_at)
    )
