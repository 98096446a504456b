"""What roster and logs hear of calls, of telephones, and of the directory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import structlog

from endpoint.agents.directory import Directory
from endpoint.agents.events import LogOffCause
from endpoint.agents.keeping import OwnCall
from endpoint.agents.parts import Parts
from endpoint.agents.place import Place
from endpoint.agents.places import Places
from endpoint.agents.session import CallBegan, LogOff, SetWorkMode, StationSeen
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import CallEvents, NumberedEvent
from endpoint.callcontrol.feed import EventsMissed
from endpoint.callcontrol.model import CallId
from endpoint.legs.base import (
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    TrunkDown,
    TrunkUp,
)

log = structlog.get_logger(__name__)


class Observer:
    """Follows the controller for everybody who is logged on."""

    def __init__(
        self,
        controller: CallController,
        directory: Directory,
        places: Places,
        needs_no_registration: Callable[[DeviceId], bool],
    ) -> None:
        self._controller = controller
        self._directory = directory
        self._places = places
        self._needs_no_registration = needs_no_registration
        self._parts = Parts()

    def is_reached(self, device: DeviceId) -> bool:
        """Whether a telephone of the device can be called."""
        return self._needs_no_registration(device) or self._controller.is_registered(device)

    def calls_of(self, device: DeviceId) -> dict[CallId, OwnCall]:
        """Those that a device is in now; they are known to be its own from now on."""
        connections = self._controller.whereabouts.connections_of(device)
        calls = {
            call.id: OwnCall(at.id, call.id, own.id, call.calling, call.called)
            for at, call, own in connections
        }
        self._parts.set_calls(device, calls)
        return calls

    async def follow(self) -> None:
        """Hear what is told, until the controller closes."""
        while True:
            events = self._controller.subscribe()
            self._look_at_all()
            try:
                async for numbered in events:
                    self._heed(numbered)
                return
            except EventsMissed:
                log.error("agents miss events of calls")
                self._parts = Parts()

    def directory_changed(self) -> None:
        """Other skills, another wrap-up or mode; who is not to be there any more goes."""
        for place in tuple(self._places.at.values()):
            agent, session = self._directory.agent(place.agent), place.session
            assert session is not None  # `at` has those that are logged on
            if agent is None or not agent.enabled:
                self._places.apply(place, LogOff(LogOffCause.CREDENTIALS))
                continue
            skills = session.skills if place.own_skills else agent.skills
            wrap_up_s = session.wrap_up_s if place.own_wrap_up else agent.wrap_up_s
            own = place.own_dials_for_skill
            dials = session.dials_for_skill if own else agent.dials_for_skill
            now = replace(session, skills=skills, wrap_up_s=wrap_up_s, dials_for_skill=dials)
            if now != session:
                place.session = now
                self._places.record(place, ())
                self._places.changed(place)
            mode = self._directory.mode(session.mode.code)
            if mode is not None and mode != session.mode:
                self._places.apply(place, SetWorkMode(mode))

    def _heed(self, numbered: NumberedEvent) -> None:
        event = numbered.event
        if isinstance(event, DeviceRegistered | DeviceUnregistered):
            if (place := self._places.at.get(event.device)) is not None:
                self._look_at_telephone(place)
        elif isinstance(event, TrunkUp | TrunkDown):
            for place in tuple(self._places.at.values()):
                self._look_at_telephone(place)
        elif isinstance(event, CallEvents):
            is_newest = (
                numbered.number == self._controller.last_number and self._controller.has_told_all
            )
            for device in self._parts.heed(event, self._lives):
                if (place := self._places.at.get(device)) is not None:
                    self._heed_call(place, device, event, is_newest=is_newest)

    def _heed_call(
        self, place: Place, device: DeviceId, event: CallEvents, *, is_newest: bool
    ) -> None:
        session = place.session
        assert session is not None  # `at` has those that are logged on
        living = self._living(device)
        if is_newest:
            # Nothing was done that is not told yet: what is so now is what was told.
            self._parts.set_calls(device, living)
        inside = self._parts.calls_of(device)
        place.heed(event, device, inside)
        if inside and not session.busy:
            self._places.apply(place, CallBegan(), first=(event,))
        elif self._is_over(place, inside, living):
            self._places.end_call(place, (event,))
        else:
            self._places.record(place, (event,))

    def look_at_calls(self, place: Place, device: DeviceId) -> None:
        """The queue has said what becomes of its offer: its call may have ended before."""
        if self._is_over(place, self._parts.calls_of(device), self._living(device)):
            self._places.end_call(place)

    def _is_over(self, place: Place, *calls: Collection[CallId]) -> bool:
        """Whether who was in a call is in none any more."""
        session = place.session
        if session is None or not session.busy or any(calls):
            return False
        return place.talked or not place.is_offered

    def _look_at_all(self) -> None:
        """See what is so of everybody who is logged on."""
        for device, place in tuple(self._places.at.items()):
            place.calls = calls = self.calls_of(device)
            session = place.session
            assert session is not None  # `at` has those that are logged on
            if calls and not session.busy:
                self._places.apply(place, CallBegan())
            elif self._is_over(place, calls):
                self._places.end_call(place)
            if place.session is not None:
                self._look_at_telephone(place)

    def _look_at_telephone(self, place: Place) -> None:
        session = place.session
        assert session is not None  # whoever calls has looked
        reachable = self.is_reached(session.device)
        if reachable != session.reachable:
            self._places.apply(place, StationSeen(reachable))

    def _living(self, device: DeviceId) -> set[CallId]:
        connections = self._controller.whereabouts.connections_of(device)
        return {call.id for _, call, _ in connections}

    def _lives(self, call: CallId) -> bool:
        return self._controller.whereabouts.living(call) is not None
