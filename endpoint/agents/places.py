"""All agents' places, and the one way in which something becomes of them: decided, kept, told.

What the machine decides gets its numbers at once, so that there is one order; it is told when it is
on the disk. What was told is there after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial

import structlog

from endpoint.agents.eventlog import AgentLog, AgentLogEvent, Entry, gapless, written
from endpoint.agents.events import AgentEvents, LogOffCause
from endpoint.agents.keeping import Clocks, Keeping, Kept, Write, lost, restored
from endpoint.agents.model import AgentId
from endpoint.agents.place import Place
from endpoint.agents.session import CallEnded, Input, LogOff, Session, TimePassed, apply
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.feed import EventsMissed
from endpoint.legs.base import DeviceId

log = structlog.get_logger(__name__)

PAGE = 200
"""Lines that are read at once where they are kept."""


class Places:
    """Of every agent that has been heard of; who is logged on is found by its device too."""

    def __init__(
        self, controller: CallController, keeping: Keeping, *, after_all_calls: bool
    ) -> None:
        self.after_all_calls = after_all_calls
        """There is something to write down after each call that was answered."""
        self.at: dict[DeviceId, Place] = {}
        """Who is logged on where."""
        self._controller = controller
        self._keeping = keeping
        self._all: dict[AgentId, Place] = {}
        self._watchers: list[Callable[[AgentId], None]] = []
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Places {len(self.at)} of {len(self._all)} agents logged on>"

    def find(self, agent: AgentId) -> Place | None:
        """The place of an agent that has been heard of."""
        return self._all.get(agent)

    def of(self, agent: AgentId) -> Place:
        """The place of an agent, which is made where there is none."""
        place = self._all.get(agent)
        if place is None:
            place = self._all[agent] = Place(AgentLog(agent))
        return place

    def watch(self, changed: Callable[[AgentId], None]) -> Callable[[], None]:
        """Be told whose state may be another, until what is returned is called."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed) if changed in self._watchers else None

    def clocks(self) -> Clocks:
        """What time it is."""
        return Clocks(self.now(), self._controller.clock())

    def now(self) -> float:
        """By the loop."""
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        """Let nothing happen by time any more, and readers end."""
        self._is_closed = True
        for place in self._all.values():
            if place.timer is not None:
                place.timer.cancel()
            place.wake()

    # -- what happens -----------------------------------------------------------------------------

    def apply(
        self,
        place: Place,
        what: Input,
        by: AgentId | None = None,
        *,
        first: Iterable[AgentLogEvent] = (),
    ) -> None:
        """Let something happen to who is logged on, and keep what is told. `first` is told before.

        Raises: CommandRejected; then nothing has changed.
        """
        before = place.session
        assert before is not None  # whoever calls has looked
        after, of_agent = apply(before, what, self.now(), by)
        told = (*first, *of_agent)
        if after == before and not told:
            return
        place.session = after
        if after is not None:
            self.record(place, told)
            return
        self.at.pop(before.device, None)
        self.record(place, told, and_then=place.end)

    def record(
        self,
        place: Place,
        events: Iterable[AgentLogEvent],
        *,
        and_then: Callable[[], None] = lambda: None,
    ) -> None:
        """Number events, keep them with what is so after them, and tell them when that is done."""
        clocks, events = self.clocks(), tuple(events)
        entries = [place.log.append(event, clocks.wall) for event in events]
        and_then()
        kept = place.kept(clocks, after_all_calls=self.after_all_calls)
        writing = self._keeping.put(Write(kept, tuple(map(written, entries))))
        place.writing = writing
        told = partial(self._told, place, place.log.last, place.session)
        writing.add_done_callback(told)
        self.set_timer(place)
        if any(isinstance(event, AgentEvents) for event in events):
            self.changed(place)

    def changed(self, place: Place) -> None:
        """Tell whoever watches."""
        for changed in tuple(self._watchers):
            changed(place.agent)

    def end_call(self, place: Place, first: Iterable[AgentLogEvent] = ()) -> None:
        """Its device is in no call any more."""
        wraps_up = place.wraps_up(after_all_calls=self.after_all_calls)
        place.talked = place.of_queue = place.is_offered = False
        self.apply(place, CallEnded(wraps_up), first=first)

    def restore(self, kept: Kept) -> None:
        """Let an agent be as it was; the calls that it was in ended with the process before."""
        place = self._all[kept.agent] = Place(AgentLog(kept.agent, kept.number))
        if kept.session is None:
            return
        session, owner = restored(kept.agent, kept.session, self.clocks())
        place.begin(session, owner, {})
        place.shown = session
        place.own_skills, place.own_wrap_up = kept.session.own_skills, kept.session.own_wrap_up
        place.own_dials_for_skill = kept.session.own_dials_for_skill
        self.at[session.device] = place
        if session.busy:
            ended = [event for call in kept.session.calls for event in lost(call, session.device)]
            self.apply(place, CallEnded(kept.session.wraps_up), first=ended)
        self.set_timer(place)

    async def written(self, place: Place) -> None:
        """Wait until all that was decided so far is kept, or is known to be in memory alone."""
        if place.writing is not None:
            await asyncio.wait((place.writing,))

    def stored(self, agent: AgentId, number: int) -> None:
        """An agent's log up to there need not be in memory."""
        if (place := self._all.get(agent)) is not None:
            place.log.store(number)

    def _told(
        self, place: Place, number: int, session: Session | None, writing: asyncio.Future[None]
    ) -> None:
        if not writing.cancelled():
            writing.exception()  # whoever keeps has said so: agents must see their calls
        before = place.shown
        place.tell(number, session)
        if session != before:
            self.changed(place)

    # -- what is read -----------------------------------------------------------------------------

    async def follow(self, agent: AgentId, after: int) -> AsyncIterator[Entry]:
        """An agent's log behind number `after`, and what comes; it ends when we close.

        Raises: EventsMissed, where that is not kept any more; StorageError, where what is not in
        memory can't be read now.
        """
        place = self.of(agent)
        if after > place.log.last:
            raise EventsMissed(after + 1, place.log.last + 1)
        while True:
            news = place.news
            found = place.log.after(after)
            if found is None:
                lines = await self._keeping.lines(agent, after, PAGE)
                found = tuple(gapless(lines, after))
                if not found:
                    oldest = lines[0].number if lines else await self._keeping.oldest(agent)
                    raise EventsMissed(after + 1, oldest or place.log.in_memory)
            for entry in found:
                after = entry.number
                yield entry
            if not found:
                if self._is_closed:
                    return
                await news.wait()

    # -- what time brings -------------------------------------------------------------------------

    def set_timer(self, place: Place) -> None:
        """Look again when something is due."""
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
        if (due := place.due()) is not None and not self._is_closed:
            place.timer = asyncio.get_running_loop().call_at(due, self._time_passed, place)

    def _time_passed(self, place: Place) -> None:
        place.timer = None
        if place.session is not None:
            self.apply(place, TimePassed())
        session, owner = place.session, place.owner
        if session is not None and owner is not None and not session.busy:
            gone_at = owner.gone_at
            if gone_at is not None and self.now() >= gone_at:
                log.info("agent is logged off: its client is gone", agent=place.agent)
                self.apply(place, LogOff(LogOffCause.SILENCE))
        self.set_timer(place)
