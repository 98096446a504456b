"""One agent as the roster has it: log, session, owner, and what is heard of the device's calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from endpoint.agents.eventlog import AgentLog
from endpoint.agents.keeping import Clocks, Kept, OwnCall, keep
from endpoint.agents.model import AgentId
from endpoint.agents.ownership import Owner
from endpoint.agents.session import Session, deadline
from endpoint.callcontrol.events import CallEvents, Established, ServiceInitiated
from endpoint.callcontrol.model import UNNAMED, CallId
from endpoint.legs.base import DeviceId


@dataclass(slots=True, eq=False)
class Attachment:
    """A socket of an owner. It ends behind the event of that number, once there is one."""

    agent: AgentId
    turn: int
    """Of the owner."""
    until: int | None = None
    """Its last event: the owner was replaced, or the agent logged off."""


@dataclass(slots=True, eq=False)
class Place:
    """Where one agent's things are; it stays when the agent logs off."""

    log: AgentLog
    session: Session | None = None
    """As it was decided last."""
    shown: Session | None = None
    """As it was told last."""
    owner: Owner | None = None
    own_skills: bool = False
    """The session's skills are not the directory's."""
    own_wrap_up: bool = False
    own_dials_for_skill: bool = False
    calls: dict[CallId, OwnCall] = field(default_factory=dict)
    """That its device is in, by what was told."""
    talked: bool = False
    """In one of them."""
    offered: CallId | None = None
    """The call that a queue has offered last: it need not have come."""
    dialled: CallId | None = None
    """The call that it has made for a queue last."""
    of_queue: bool = False
    """It talked in one of these two."""
    is_offered: bool = False
    """A queue has yet to say what becomes of its offer: no end of a call makes it ready before."""
    attachments: list[Attachment] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and made anew, when something is told."""
    writing: asyncio.Future[None] | None = None
    """The last that is to be kept."""
    timer: asyncio.TimerHandle | None = None

    @property
    def agent(self) -> AgentId:
        """Whose."""
        return self.log.agent

    def due(self) -> float | None:
        """When time alone changes something. Nobody is taken out of a call."""
        session, owner = self.session, self.owner
        if session is None:
            return None
        gone_at = owner.gone_at if owner is not None and not session.busy else None
        return min((at for at in (deadline(session), gone_at) if at is not None), default=None)

    def kept(self, clocks: Clocks, *, after_all_calls: bool) -> Kept:
        """What is to be found after a crash."""
        session, owner = self.session, self.owner
        if session is None or owner is None:
            return Kept(agent=self.agent, number=self.log.last, session=None)
        kept = keep(
            session,
            owner,
            clocks,
            calls=tuple(self.calls.values()),
            wraps_up=self.wraps_up(after_all_calls=after_all_calls),
            own_skills=self.own_skills,
            own_wrap_up=self.own_wrap_up,
            own_dials_for_skill=self.own_dials_for_skill,
        )
        return Kept(agent=self.agent, number=self.log.last, session=kept)

    def wraps_up(self, *, after_all_calls: bool) -> bool:
        """Whether the call that it is in is to be worked on."""
        return self.talked and (after_all_calls or self.of_queue)

    def heed(self, event: CallEvents, device: DeviceId, calls: Iterable[CallId]) -> None:
        """Take note of an event of one of its calls; it is in these from now on."""
        if isinstance(event, ServiceInitiated) and event.queue and event.device == device:
            self.dialled = event.call
        if isinstance(event, Established):
            calls_out = event.calling == device and not event.from_outside
            if event.device == device or calls_out:
                self.talked = True
                self.of_queue = self.of_queue or event.call in (self.offered, self.dialled)
        is_own = event.device == device and not event.from_outside
        now: dict[CallId, OwnCall] = {}
        for call in calls:
            known = self.calls.get(call)
            if call == event.call and (is_own or known is None):
                connection = event.connection if is_own else UNNAMED
                known = OwnCall(event.interaction, call, connection, event.calling, event.called)
            if known is not None:
                now[call] = known
        self.calls = now

    def begin(self, session: Session, owner: Owner, calls: Mapping[CallId, OwnCall]) -> None:
        """Somebody logs on, whose device is in these calls."""
        self.session, self.owner = session, owner
        self.calls, self.talked, self.of_queue, self.is_offered = dict(calls), False, False, False

    def end(self) -> None:
        """Nobody is logged on any more; whoever listened does so to the last event."""
        self.session = self.owner = None
        self.calls, self.talked, self.of_queue = {}, False, False
        self.end_attachments()

    def end_attachments(self) -> None:
        """Whoever listens now is no owner from the log's last event on."""
        for each in self.attachments:
            each.until = self.log.last
        self.attachments.clear()

    def tell(self, number: int, session: Session | None) -> None:
        """Readers may read up to this number, and see what is so after it."""
        self.log.tell(number)
        self.shown = session
        self.wake()

    def wake(self) -> None:
        """Let readers look."""
        news, self.news = self.news, asyncio.Event()
        news.set()
