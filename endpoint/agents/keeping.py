"""What of an agent is kept for the process after us: its session, and lines of its log. Pure.

Times of the loop mean nothing after a restart: moments of the wall clock are kept in their place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from endpoint.agents.eventlog import Line
from endpoint.agents.model import AgentId, SkillLevel, WorkMode
from endpoint.agents.ownership import Liveness, Owner
from endpoint.agents.session import Rest, Session, WrapUp
from endpoint.callcontrol.events import CallCleared, CallEvents, ConnectionCleared
from endpoint.callcontrol.model import CallId, ConnectionId, ConnectionState
from endpoint.legs.base import Cause, DeviceId, InteractionId, Side


class OwnCall(msgspec.Struct, frozen=True):
    """A call that the agent is in: its end is told after a crash."""

    interaction: InteractionId
    call: CallId
    connection: ConnectionId
    calling: DeviceId
    called: DeviceId


class KeptSession(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that is logged on."""

    device: DeviceId
    mode: WorkMode
    rest: Rest
    skills: tuple[SkillLevel, ...]
    own_skills: bool = False
    """They are not the directory's: its client gave them."""
    wrap_up_s: float
    own_wrap_up: bool = False
    dials_for_skill: bool = False
    own_dials_for_skill: bool = False
    since: datetime
    reachable: bool
    wraps_up: bool = False
    """After the call that it is in."""
    wrap_up: bool = False
    wrap_up_ends_at: datetime | None = None
    busy: bool = False
    """In a call, also where the agent was told of none yet that goes on."""
    calls: tuple[OwnCall, ...] = ()
    """Those that it was told of."""
    owner: str
    """The digest of its `delegator_id`."""
    turn: int = 1
    liveness: Liveness


def lost(call: OwnCall, device: DeviceId) -> tuple[CallEvents, ...]:
    """What is told of a call that our process has died in."""
    left = ConnectionCleared(
        interaction=call.interaction,
        call=call.call,
        device=device,
        connection=call.connection,
        state=ConnectionState.NULL,
        calling=call.calling,
        called=call.called,
        cause=Cause.LOST,
        released_by=Side.ENDPOINT,
    )
    over = CallCleared(
        interaction=call.interaction,
        call=call.call,
        device=call.calling,
        state=ConnectionState.NULL,
        calling=call.calling,
        called=call.called,
        cause=Cause.LOST,
        released_by=Side.ENDPOINT,
    )
    return left, over


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that has ever been logged on."""

    agent: AgentId
    number: int
    """Of its log's last line."""
    session: KeptSession | None
    """None: logged off."""


class Write(msgspec.Struct, frozen=True):
    """What is kept at once, all of it or nothing: lines, and the session that they tell of."""

    kept: Kept
    lines: tuple[Line, ...] = ()


class Keeping(Protocol):
    """Where logs are kept. What is put is on the disk when its future is done, in its order."""

    def put(self, write: Write) -> asyncio.Future[None]:
        """Keep it. An exception of the future says that it is in memory alone."""

    async def lines(self, agent: AgentId, after: int, limit: int) -> Sequence[Line]:
        """Lines behind `after`, those that are not too old. Raises `StorageError`."""

    async def oldest(self, agent: AgentId) -> int:
        """The number of its oldest line that is kept; 0: none is. Raises `StorageError`."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The loop's time and the wall's, read at once."""

    loop: float
    wall: datetime

    def to_wall(self, at: float) -> datetime:
        """A moment of the loop's, to the millisecond: asked again it is the same."""
        moment = self.wall + timedelta(seconds=at - self.loop)
        return moment + timedelta(microseconds=500 - (moment.microsecond + 500) % 1000)

    def to_loop(self, at: datetime) -> float:
        """A moment of the wall's."""
        return self.loop + (at - self.wall).total_seconds()


def keep(
    session: Session,
    owner: Owner,
    clocks: Clocks,
    *,
    calls: Sequence[OwnCall] = (),
    wraps_up: bool = False,
    own_skills: bool = False,
    own_wrap_up: bool = False,
    own_dials_for_skill: bool = False,
) -> KeptSession:
    """A session as it is kept."""
    ends_at = session.wrap_up.ends_at if session.wrap_up else None
    return KeptSession(
        device=session.device,
        mode=session.mode,
        rest=session.rest,
        skills=session.skills,
        own_skills=own_skills,
        wrap_up_s=session.wrap_up_s,
        own_wrap_up=own_wrap_up,
        dials_for_skill=session.dials_for_skill,
        own_dials_for_skill=own_dials_for_skill,
        since=clocks.to_wall(session.since),
        reachable=session.reachable,
        wraps_up=wraps_up,
        wrap_up=session.wrap_up is not None,
        wrap_up_ends_at=None if ends_at is None else clocks.to_wall(ends_at),
        busy=session.busy,
        calls=tuple(calls),
        owner=owner.digest,
        turn=owner.turn,
        liveness=owner.liveness,
    )


def restored(agent: AgentId, kept: KeptSession, clocks: Clocks) -> tuple[Session, Owner]:
    """A session as it was when it was kept; whoever has it may come back from now on.

    Where the wall clock was set meanwhile, no wrap-up lasts longer than it would have.
    """
    wrap_up: WrapUp | None = None
    if kept.wrap_up:
        ends_at = kept.wrap_up_ends_at
        latest = clocks.loop + kept.wrap_up_s
        wrap_up = WrapUp(None if ends_at is None else min(latest, clocks.to_loop(ends_at)))
    session = Session(
        agent=agent,
        device=kept.device,
        mode=kept.mode,
        rest=kept.rest,
        skills=kept.skills,
        wrap_up_s=kept.wrap_up_s,
        since=min(clocks.loop, clocks.to_loop(kept.since)),
        busy=kept.busy or bool(kept.calls),
        wrap_up=wrap_up,
        reachable=kept.reachable,
        dials_for_skill=kept.dials_for_skill,
    )
    return session, Owner(kept.owner, kept.liveness, clocks.loop, turn=kept.turn)
