"""Who is logged on: agents log on and off, ask for things, and listen.

Whoever asks is told no, or that it is kept: a command is answered when what it brought about is on
the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog

from endpoint.agents.attempts import Attempts, Guesses
from endpoint.agents.directory import Directory
from endpoint.agents.eventlog import Entry
from endpoint.agents.events import LogOffCause, OwnerReplaced
from endpoint.agents.keeping import Keeping, Kept
from endpoint.agents.logon import LogOn, LogOnRefused, Refusal, check
from endpoint.agents.model import Agent, AgentId, AgentState, WorkMode
from endpoint.agents.observer import Observer
from endpoint.agents.ownership import (
    Liveness,
    Owner,
    attached,
    detached,
    heard,
    is_owner,
    new_owner,
)
from endpoint.agents.place import Attachment, Place
from endpoint.agents.places import Places
from endpoint.agents.session import (
    AgentCommand,
    LogOff,
    Rest,
    Session,
    SetNotReady,
    SetWorkMode,
    log_on,
)
from endpoint.callcontrol.controller import CallController, Keeper, once
from endpoint.callcontrol.model import CallId
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId

log = structlog.get_logger(__name__)

_WRONG_PER_MINUTE = 10


@dataclass(frozen=True, slots=True)
class RosterSettings:
    """How agents are kept."""

    after_all_calls: bool = False
    """There is something to write down after each call that was answered; else after a queue's."""
    take_overs_per_minute: int = 10


@dataclass(frozen=True, slots=True)
class LoggedOn:
    """What a client is told whose agent is logged on."""

    session: Session
    delegator_id: str = field(repr=False)
    """By which the session is its own; told this once."""
    number: int
    """Of the log: what comes next is behind it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An agent, as it is now."""

    agent: Agent
    session: Session | None
    """None: not logged on."""
    number: int
    """Of the log's last entry that this has in it: no more is shown than is kept."""
    is_owned: bool = False
    """A client listens."""
    liveness: Liveness | None = None
    """When its client counts as gone."""

    @property
    def state(self) -> AgentState:
        """What it is."""
        return AgentState.NULL if self.session is None else self.session.state


class Roster:
    """All agents of a tenant: `async with Roster(controller, directory, keeping, …) as roster`."""

    def __init__(
        self,
        controller: CallController,
        directory: Directory,
        keeping: Keeping,
        *,
        is_ours: Callable[[DeviceId], Awaitable[bool]],
        needs_no_registration: Callable[[DeviceId], bool] = lambda device: False,
        settings: RosterSettings | None = None,
        left: Sequence[Kept] = (),
        keep: Keeper = once,
        guesses: Guesses | None = None,
    ) -> None:
        """Set up.

        Args:
            controller: whose calls count.
            directory: who there is.
            keeping: where logs are kept.
            is_ours: whether a device is one of ours.
            needs_no_registration: whether it can be called though nothing has registered for it.
            settings: how agents are kept.
            left: what an earlier run has left.
            keep: keeps alive what follows the controller.
            guesses: wrong passwords and ids, here and at other ways in.
        """
        self.directory = directory
        """Who there is."""
        self.settings = settings or RosterSettings()
        self._places = Places(controller, keeping, after_all_calls=self.settings.after_all_calls)
        self._observer = Observer(controller, directory, self._places, needs_no_registration)
        self._is_ours = is_ours
        self._left = left
        self._keep = keep
        self._guesses = guesses or Guesses(_WRONG_PER_MINUTE, self._places.now)
        self._taken = Attempts(self.settings.take_overs_per_minute)
        self._unwatch: Callable[[], None] = lambda: None
        self._tasks = asyncio.TaskGroup()
        self._follower: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Roster {self._places!r}>"

    async def __aenter__(self) -> Self:
        for kept in self._left:
            self._places.restore(kept)
        self._observer.directory_changed()
        self._unwatch = self.directory.watch(self._observer.directory_changed)
        await self._tasks.__aenter__()
        keeping = self._keep("agents", self._observer.follow)
        self._follower = self._tasks.create_task(keeping, name="agents: events, kept")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._unwatch()
        if self._follower is not None:
            self._follower.cancel()
        self._places.close()
        await self._tasks.__aexit__(None, None, None)

    # -- what is so -------------------------------------------------------------------------------

    def standing(self, agent: AgentId) -> Standing | None:
        """One agent; None where the directory knows none."""
        known = self.directory.agent(agent)
        return None if known is None else self._standing(known)

    def standings(self) -> list[Standing]:
        """All agents of the directory."""
        return [self._standing(each) for each in self.directory.agents()]

    def _standing(self, known: Agent) -> Standing:
        place = self._places.find(known.id)
        if place is None:
            return Standing(known, None, 0)
        owner = place.owner
        owned, liveness = (False, None) if owner is None else (owner.listens, owner.liveness)
        return Standing(known, place.shown, place.log.told, owned, liveness)

    def session(self, agent: AgentId) -> Session | None:
        """An agent's session; None where it is not logged on."""
        place = self._places.find(agent)
        return None if place is None else place.session

    def agent_at(self, device: DeviceId) -> Agent | None:
        """Who is logged on at a device."""
        place = self._places.at.get(device)
        return None if place is None else self.directory.agent(place.agent)

    def dials_for(self, device: DeviceId) -> str:
        """The skill whose call it is where that device calls the outside; empty: none's."""
        place = self._places.at.get(device)
        session = None if place is None else place.session
        return "" if session is None else session.dials_for

    def sessions(self) -> list[Session]:
        """Of everybody who is logged on, as they stand."""
        places = self._places.at.values()
        return [place.session for place in places if place.session is not None]

    def watch(self, changed: Callable[[AgentId], None]) -> Callable[[], None]:
        """Be told whose state, or what is shown of it, may be another.

        Until what is returned is called.
        """
        return self._places.watch(changed)

    def follow(self, agent: AgentId, after: int) -> AsyncIterator[Entry]:
        """An agent's log behind number `after`, and what comes; it ends when we close.

        Raises, while it is read: EventsMissed, where that is not kept any more; StorageError, where
        what is not in memory can't be read now.
        """
        return self._places.follow(agent, after)

    def stored(self, agent: AgentId, number: int) -> None:
        """An agent's log up to there need not be in memory."""
        self._places.stored(agent, number)

    # -- log on and off ---------------------------------------------------------------------------

    async def log_on(self, wanted: LogOn) -> LoggedOn:
        """Log an agent on, or let another client have its session. Raises LogOnRefused."""
        await self._check_password(wanted)
        is_ours = await self._is_ours(wanted.device)
        # From here on nothing is awaited until all is as it will be.
        agent = self.directory.agent(wanted.agent)
        place = self._places.of(wanted.agent) if agent is not None else None
        there = self._places.at.get(wanted.device)
        session = place.session if place is not None else None
        check(
            wanted,
            agent,
            is_ours=is_ours,
            is_reached=self._observer.is_reached(wanted.device),
            used_by=there.agent if there is not None else None,
            logged_on_at=session.device if session is not None else None,
        )
        assert agent is not None  # `check` has seen to it
        assert place is not None
        mode = self._mode(wanted)
        self._check_reason(wanted.reason, wanted.by)
        if session is not None:
            self._count_take_over(wanted.agent)
        if session is not None and session.device == wanted.device:
            delegator_id = self._replace_owner(
                place, wanted.liveness, wanted.by, wanted.delegator_id
            )
        else:
            if session is not None:
                self._leave_for(place, session, wanted)
            delegator_id = self._begin(place, agent, mode, wanted)
        number = place.log.last
        session = place.session
        assert session is not None  # it has just begun
        await self._places.written(place)
        return LoggedOn(session, delegator_id, number)

    async def take_over(
        self,
        agent: AgentId,
        liveness: Liveness,
        *,
        delegator_id: str,
    ) -> LoggedOn:
        """Let a client that has shown that it is the agent have the session from now on.

        `delegator_id` as of `LogOn`. Raises: LogOnRefused.
        """
        place = self._logged_on(agent)
        self._count_take_over(agent)
        delegator_id = self._replace_owner(place, liveness, None, delegator_id)
        number, session = place.log.last, place.session
        assert session is not None  # it is logged on
        await self._places.written(place)
        return LoggedOn(session, delegator_id, number)

    async def _check_password(self, wanted: LogOn) -> None:
        if wanted.password is None:
            return
        if wanted.source:
            self._check_guesses(wanted.agent, self._guesses.wait_s(wanted.agent, wanted.source))
            self._guesses.begin(wanted.agent, wanted.source)
        if await self.directory.is_password(wanted.agent, wanted.password):
            self._guesses.forgive(wanted.agent, wanted.source)
            return
        if wanted.source:
            self._guesses.fail(wanted.source)
        log.warning("log-on refused", agent=wanted.agent, source=wanted.source, reason="password")
        if self.directory.agent(wanted.agent) is None:
            raise LogOnRefused(Refusal.UNKNOWN_AGENT, f"there is no agent {wanted.agent}")
        raise LogOnRefused(Refusal.WRONG_PASSWORD, f"that is not the password of {wanted.agent}")

    def _check_guesses(self, agent: AgentId, wait_s: float) -> None:
        if wait_s:
            why = f"too many wrong ones for {agent} from here; wait a minute"
            raise LogOnRefused(Refusal.TOO_MANY_ATTEMPTS, why)

    def _count_take_over(self, agent: AgentId) -> None:
        now = self._places.now()
        if self._taken.wait_s(agent, now):
            why = f"the session of {agent} was taken over too often; wait a minute"
            raise LogOnRefused(Refusal.TOO_MANY_ATTEMPTS, why)
        self._taken.count(agent, now)

    def _mode(self, wanted: LogOn) -> WorkMode:
        if wanted.mode is not None:
            return self.work_mode(wanted.mode, wanted.by)
        modes = self.directory.modes()
        takes_calls = [each for each in modes if each.takes_calls and not each.skill]
        return (takes_calls or list(modes))[0]

    def work_mode(self, code: int, by: AgentId | None = None) -> WorkMode:
        """A work mode that may be chosen by the agent itself, or by somebody else.

        Raises: CommandRejected.
        """
        mode = self.directory.mode(code)
        if mode is None or not (mode.visible or by is not None):
            codes = ", ".join(str(each.code) for each in self.directory.modes() if each.visible)
            raise CommandRejected(Refusal.UNKNOWN_MODE, f"found mode {code}, expected {codes}")
        return mode

    def _check_reason(self, code: str, by: AgentId | None) -> None:
        reason = self.directory.reason(code)
        if code and (reason is None or not (reason.visible or by is not None)):
            codes = ", ".join(each.code for each in self.directory.reasons() if each.visible)
            raise CommandRejected(Refusal.UNKNOWN_REASON, f"found {code!r}, expected {codes}")

    def _begin(self, place: Place, agent: Agent, mode: WorkMode, wanted: LogOn) -> str:
        now, device = self._places.now(), wanted.device
        calls = self._observer.calls_of(device)
        session = Session(
            agent.id,
            device,
            mode,
            Rest(ready=True) if wanted.ready else Rest(reason=wanted.reason),
            agent.skills if wanted.skills is None else wanted.skills,
            agent.wrap_up_s if wanted.wrap_up_s is None else wanted.wrap_up_s,
            since=now,
            busy=bool(calls),
            dials_for_skill=(
                agent.dials_for_skill if wanted.dials_for_skill is None else wanted.dials_for_skill
            ),
        )
        owner, delegator_id = new_owner(wanted.liveness, now, None, wanted.delegator_id)
        place.begin(session, owner, calls)
        place.own_skills = wanted.skills is not None
        place.own_wrap_up = wanted.wrap_up_s is not None
        place.own_dials_for_skill = wanted.dials_for_skill is not None
        self._places.at[device] = place
        self._places.record(place, log_on(session, wanted.by))
        return delegator_id

    def _leave_for(self, place: Place, session: Session, wanted: LogOn) -> None:
        """End a session, for the agent is to work at another device."""
        if session.busy:
            why = f"agent {session.agent} is in a call at {session.device}: it can't leave it now"
            raise LogOnRefused(Refusal.IN_CALL, why, device=session.device)
        self._places.apply(place, LogOff(LogOffCause.ELSEWHERE), wanted.by)

    def _replace_owner(
        self, place: Place, liveness: Liveness, by: AgentId | None, delegator_id: str
    ) -> str:
        session = place.session
        assert session is not None  # whoever calls has looked
        now = self._places.now()
        place.owner, delegator_id = new_owner(liveness, now, place.owner, delegator_id)
        replaced = OwnerReplaced(
            agent=session.agent, device=session.device, mode=session.mode.code, by=by
        )
        self._places.record(place, (replaced,), and_then=place.end_attachments)
        return delegator_id

    # -- commands ---------------------------------------------------------------------------------

    async def command(self, agent: AgentId, what: AgentCommand, by: AgentId | None = None) -> int:
        """Have a command done, and kept; the number of the log behind it. Raises CommandRejected.

        `by` is who does it where that is not the agent.
        """
        number = self.do(agent, what, by)
        await self._places.written(self._places.of(agent))
        return number

    def do(self, agent: AgentId, what: AgentCommand, by: AgentId | None = None) -> int:
        """The same, for who need not know that it is kept."""
        place = self._logged_on(agent)
        if isinstance(what, SetNotReady):
            self._check_reason(what.reason, by)
        if isinstance(what, SetWorkMode):
            self.work_mode(what.mode.code, by)
        self._places.apply(place, what, by)
        return place.log.last

    def note_offer(self, device: DeviceId, call: CallId) -> None:
        """A queue offers a call there: what it brings about is to be written down after it."""
        if (place := self._places.at.get(device)) is not None:
            place.offered, place.is_offered = call, True

    def note_verdict(self, device: DeviceId) -> None:
        """What the queue does about its offer, taken or not, is done."""
        place = self._places.at.get(device)
        if place is not None and place.is_offered:
            place.is_offered = False
            self._observer.look_at_calls(place, device)

    # -- owners -----------------------------------------------------------------------------------

    def check_owner(self, agent: AgentId, delegator_id: str, source: str = "") -> None:
        """Refuse who does not have the session. Whoever has it was heard by that.

        Raises: LogOnRefused.
        """
        place, owner = self._owned(agent, delegator_id, source)
        place.owner = heard(owner, self._places.now())
        self._places.set_timer(place)

    def attach(
        self, agent: AgentId, delegator_id: str, liveness: Liveness, source: str = ""
    ) -> Attachment:
        """The owner listens through one socket more. Raises LogOnRefused."""
        place, owner = self._owned(agent, delegator_id, source)
        place.owner = attached(owner, liveness, self._places.now())
        is_other = owner.liveness != place.owner.liveness
        attachment = Attachment(agent, owner.turn)
        place.attachments.append(attachment)
        if is_other:
            self._places.record(place, ())
        self._places.set_timer(place)
        return attachment

    def detach(self, attachment: Attachment) -> None:
        """A socket of an owner is closed, or counts as that."""
        place = self._places.of(attachment.agent)
        if attachment not in place.attachments:
            return
        place.attachments.remove(attachment)
        if place.owner is not None:
            place.owner = detached(place.owner, self._places.now())
            self._places.set_timer(place)

    def hear(self, attachment: Attachment) -> None:
        """Something came through a socket of an owner."""
        place = self._places.of(attachment.agent)
        if attachment in place.attachments and place.owner is not None:
            place.owner = heard(place.owner, self._places.now())
            self._places.set_timer(place)

    def _owned(self, agent: AgentId, delegator_id: str, source: str) -> tuple[Place, Owner]:
        if source:
            self._check_guesses(agent, self._guesses.wait_with_id_s(agent, source))
        place = self._places.find(agent)
        owner = place.owner if place is not None else None
        if place is None or owner is None or not is_owner(owner, delegator_id):
            if source:
                self._guesses.fail_with_id(agent, source)
            log.warning("client refused", agent=agent, source=source, reason="delegator_id")
            why = f"that is no delegator_id of the session of {agent}: log on, or take it over"
            raise LogOnRefused(Refusal.NOT_OWNER, why)
        return place, owner

    # -- inside -----------------------------------------------------------------------------------

    def _logged_on(self, agent: AgentId) -> Place:
        place = self._places.find(agent)
        if place is None or place.session is None:
            raise LogOnRefused(Refusal.NOT_LOGGED_ON, f"agent {agent} is not logged on")
        return place
