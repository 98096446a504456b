"""An agent that is logged on, and what becomes of it: a pure machine.

What it is now is not kept but follows: from whether it is in a call, has something to write down
after one, can be reached, and what it wants to be between calls. So a wish that comes in a call
waits for its end by itself, and a telephone that was lost and is back makes nobody forget his wish.
Events are the difference between before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypedDict

from endpoint.agents.events import (
    AgentBusy,
    AgentEvents,
    AgentLoggedOff,
    AgentLoggedOn,
    AgentNotReady,
    AgentPendingState,
    AgentReady,
    AgentWorkingAfterCall,
    LogOffCause,
    StationLost,
    StationReturned,
    WorkModeChanged,
)
from endpoint.agents.model import AgentId, AgentState, SkillLevel, WorkMode
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId

BY_QUEUES = AgentId("queues")
"""Whose doing it is that an agent is set aside, who let a queue's call ring in vain."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What an agent is between calls."""

    ready: bool = False
    """It takes calls of queues."""
    reason: str = ""
    """Why it does not: the code of a leave reason."""
    logs_off: LogOffCause | None = None
    """It is logged off."""
    by: AgentId | None = field(default=None, compare=False)
    """Who wanted it so in a call, where it was not the agent itself; until it is so."""


@dataclass(frozen=True, slots=True)
class WrapUp:
    """What follows a call."""

    ends_at: float | None
    """By itself; None: when the agent says so."""


@dataclass(frozen=True, slots=True)
class Session:
    """One agent at one device, from log-on to log-off. Times are the loop's, in seconds."""

    agent: AgentId
    device: DeviceId
    mode: WorkMode
    rest: Rest = Rest()
    skills: tuple[SkillLevel, ...] = ()
    """That count in this session."""
    wrap_up_s: float = 0.0
    """See `Agent`."""
    since: float = 0.0
    """When it came into its state, or into the reason for it."""
    busy: bool = False
    """In a call, or one rings."""
    wrap_up: WrapUp | None = None
    """What is left to do of the last call."""
    reachable: bool = True
    """Its telephone can be called."""
    dials_for_skill: bool = False
    """See `Agent`."""

    @property
    def state(self) -> AgentState:
        """What it is now."""
        if self.busy:
            return AgentState.BUSY
        if self.wrap_up is not None:
            return AgentState.WORKING_AFTER_CALL
        if self.rest.ready and self.reachable and self.mode.takes_calls:
            return AgentState.READY
        return AgentState.NOT_READY

    @property
    def serves(self) -> tuple[SkillLevel, ...]:
        """The skills whose calls it may be offered, in this mode."""
        if not self.mode.skill:
            return self.skills
        bound = tuple(each for each in self.skills if each.skill == self.mode.skill)
        return bound or (SkillLevel(self.mode.skill),)

    @property
    def dials_for(self) -> str:
        """The skill whose call it is where it calls the outside: its mode's, else its best.

        Of equals the first, as the directory or its client lists them; empty: none's.
        """
        if not self.dials_for_skill:
            return ""
        best = max(self.serves, key=lambda each: each.level, default=None)
        return "" if best is None else best.skill


# -- what happens to it ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetReady:
    """It wants calls of queues; in a call, after it. Ends what is left to do of the last one."""

    anyway: bool = False
    """Also where its work mode or its telephone lets none come now: they come when that is over."""


@dataclass(frozen=True, slots=True)
class SetNotReady:
    """It wants none; likewise."""

    reason: str = ""
    """The code of a leave reason."""


@dataclass(frozen=True, slots=True)
class SetWorkMode:
    """It works in another way."""

    mode: WorkMode


@dataclass(frozen=True, slots=True)
class FinishWrapUp:
    """It has done what there was to do of the last call."""


@dataclass(frozen=True, slots=True)
class LogOff:
    """It goes; in a call, after that: no call is cut by it."""

    cause: LogOffCause = LogOffCause.ASKED


@dataclass(frozen=True, slots=True)
class CallBegan:
    """Its device is in a call, or one rings there."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Its device is in no call any more."""

    wraps_up: bool = False
    """It was in one that is to be worked on."""


@dataclass(frozen=True, slots=True)
class StationSeen:
    """Whether its telephone can be called."""

    reachable: bool


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Its deadline has come."""


AgentCommand = SetReady | SetNotReady | SetWorkMode | FinishWrapUp | LogOff
"""What a client may ask."""
Input = AgentCommand | CallBegan | CallEnded | StationSeen | TimePassed
_WITHDRAWN = LogOffCause.CREDENTIALS
Outcome = tuple[Session | None, tuple[AgentEvents, ...]]
"""What it is from now on, None: logged off; and what is told."""


def log_on(session: Session, by: AgentId | None = None) -> tuple[AgentEvents, ...]:
    """What is told of a session that begins."""
    about = _about(session, by)
    return AgentLoggedOn(**about), _state(AgentState.NULL, 0.0, session, session.since, about)


def apply(session: Session, what: Input, now: float, by: AgentId | None = None) -> Outcome:
    """What becomes of a session. Raises CommandRejected; then nothing has changed."""
    after = _changed(session, what, now)
    if not isinstance(what, AgentCommand):
        by = after.rest.by
    elif after.busy and isinstance(what, SetReady | SetNotReady | LogOff):
        after = replace(after, rest=_waiting(session.rest, after.rest, by))
    if after.rest.logs_off is not None and not after.busy:
        was, lasted_s = session.state, now - session.since
        about = _about(after, by)
        gone = AgentLoggedOff(**about, was=was, lasted_s=lasted_s, cause=after.rest.logs_off)
        return None, (gone,)
    if _standing(after) != _standing(session):
        after = replace(after, since=now)
        if after.state in (AgentState.READY, AgentState.NOT_READY):
            after = replace(after, rest=replace(after.rest, by=None))
        elif not isinstance(what, AgentCommand):
            by = None  # that a call begins or ends is nobody's wish
    return after, tuple(_told(session, after, now, by))


def _waiting(before: Rest, wanted: Rest, by: AgentId | None) -> Rest:
    """A wish that waits for the end of the call. The agent does not undo a log-off by others.

    A queue undoes none: who has asked to go, and lets its call ring, goes.
    """
    if by == BY_QUEUES:
        may_undo: set[LogOffCause | None] = {None}
    elif by is None:
        may_undo = {None, LogOffCause.ASKED}
    else:
        may_undo = {None, *LogOffCause} - {_WITHDRAWN}
    if before.logs_off in may_undo:
        return replace(wanted, by=by)
    return replace(wanted, logs_off=before.logs_off, by=before.by)


def deadline(session: Session) -> float | None:
    """When `TimePassed` is due."""
    return session.wrap_up.ends_at if session.wrap_up and not session.busy else None


def allowed(session: Session) -> frozenset[type[AgentCommand]]:
    """What can be asked now, and would change something."""
    commands = SetReady(), SetNotReady(), FinishWrapUp(), LogOff()
    return frozenset({SetWorkMode, *(type(each) for each in commands if _would(session, each))})


def _would(session: Session, command: AgentCommand) -> bool:
    if isinstance(command, SetNotReady):
        return session.rest.ready or session.wrap_up is not None
    try:
        return _changed(session, command, session.since) != session
    except CommandRejected:
        return False


def _changed(session: Session, what: Input, now: float) -> Session:
    match what:
        case SetReady(anyway):
            if not anyway:
                _check_ready(session)
            return replace(session, rest=Rest(ready=True), wrap_up=None)
        case SetNotReady(reason):
            return replace(session, rest=Rest(reason=reason), wrap_up=None)
        case SetWorkMode(mode):
            return replace(session, mode=mode)
        case FinishWrapUp():
            if session.state is not AgentState.WORKING_AFTER_CALL:
                raise CommandRejected("no_wrap_up", f"{session.agent} has no call to work on")
            return replace(session, wrap_up=None)
        case LogOff(cause):
            return replace(session, rest=replace(session.rest, logs_off=cause))
        case CallBegan():
            return replace(session, busy=True)
        case CallEnded(wraps_up):
            ends_at = now + session.wrap_up_s
            wrap_up = WrapUp(ends_at) if wraps_up and session.wrap_up_s else session.wrap_up
            return replace(session, busy=False, wrap_up=wrap_up)
        case StationSeen(reachable):
            return replace(session, reachable=reachable)
        case TimePassed():
            due = deadline(session)
            return replace(session, wrap_up=None) if due is not None and now >= due else session


def _check_ready(session: Session) -> None:
    if not session.mode.takes_calls:
        why = f"no calls are offered in the work mode {session.mode.name!r}: choose another first"
        raise CommandRejected("mode_takes_no_calls", why)
    if not session.reachable:
        why = f"the telephone of {session.device} is not registered: bring it back first"
        raise CommandRejected("not_registered", why)


class _About(TypedDict):
    agent: AgentId
    device: DeviceId
    mode: int
    by: AgentId | None


def _about(session: Session, by: AgentId | None) -> _About:
    return {
        "agent": session.agent,
        "device": session.device,
        "mode": session.mode.code,
        "by": by,
    }


def _standing(session: Session) -> tuple[AgentState, str]:
    """What a state event would say: another one is told where this is another."""
    state = session.state
    return state, session.rest.reason if state is AgentState.NOT_READY else ""


def _told(before: Session, after: Session, now: float, by: AgentId | None) -> Iterator[AgentEvents]:
    about = _about(after, by)
    if after.mode != before.mode:
        yield WorkModeChanged(**about)
    if after.reachable != before.reachable:
        yield StationReturned(**about) if after.reachable else StationLost(**about)
    if _standing(after) != _standing(before):
        yield _state(before.state, now - before.since, after, now, about)
    elif after.rest != before.rest:
        rest = after.rest
        logs_off = rest.logs_off is not None
        yield AgentPendingState(**about, ready=rest.ready, reason=rest.reason, logs_off=logs_off)


def _state(
    was: AgentState, lasted_s: float, session: Session, now: float, about: _About
) -> AgentEvents:
    match session.state:
        case AgentState.BUSY:
            return AgentBusy(**about, was=was, lasted_s=lasted_s)
        case AgentState.WORKING_AFTER_CALL:
            assert session.wrap_up is not None  # it is what makes the state
            ends_at = session.wrap_up.ends_at
            ends_in_s = None if ends_at is None else max(0.0, ends_at - now)
            return AgentWorkingAfterCall(**about, was=was, lasted_s=lasted_s, ends_in_s=ends_in_s)
        case AgentState.READY:
            return AgentReady(**about, was=was, lasted_s=lasted_s)
        case AgentState.NOT_READY:
            rest = session.rest
            return AgentNotReady(
                **about, was=was, lasted_s=lasted_s, reason=rest.reason, wants_calls=rest.ready
            )
        case AgentState.NULL:
            raise AssertionError("who is logged on has a state")
