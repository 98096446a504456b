"""Calling back who did not want to wait: the agent first, then the customer.

So whoever picks up hears a person, and nobody is called for whom there is no agent. What the agent
pays for that is to hear the customer's telephone ring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol
from uuid import uuid4

import structlog

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import CallCleared, CallEvent, Established, Originated
from endpoint.callcontrol.model import CallId
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId

log = structlog.get_logger(__name__)


class CallBackOutcome(StrEnum):
    """What came of one try."""

    TALKED = "talked"
    NO_AGENT = "no_agent"
    """The agent's telephone was not answered."""
    UNREACHABLE = "unreachable"
    """The agent's could not be called at all."""
    NOBODY = "nobody"
    """The customer's was not answered, or may not be called."""


@dataclass(frozen=True, slots=True)
class KeptCallBack:
    """What a process after us has to know to call somebody back."""

    number: str
    queue: str
    came_at: datetime
    """When he came to wait (UTC)."""
    priority: int
    tries: int = 0
    not_before: datetime | None = None
    """He is not to be called before (UTC)."""


class CallBackNotes(Protocol):
    """Where they are noted, for a process after us."""

    @property
    def left(self) -> Mapping[str, KeptCallBack]:
        """What the process before us has left."""

    def put(self, key: str, value: KeptCallBack) -> None:
        """Somebody is to be called back, or was tried."""

    def drop(self, key: str) -> None:
        """Nobody has to call him any more."""


class NoNotes:
    """Where no process comes after us."""

    left: Mapping[str, KeptCallBack] = MappingProxyType({})

    def put(self, key: str, value: KeptCallBack) -> None:
        """Not kept."""

    def drop(self, key: str) -> None:
        """It is not there."""


@dataclass(slots=True, eq=False)
class CallBack:
    """Somebody who is to be called, and the try that goes on."""

    number: str
    """Whom to call."""
    queue: str
    since: float
    """When he came to wait."""
    key: str = field(default_factory=lambda: uuid4().hex)
    """By which he is noted."""
    device: DeviceId | None = None
    """The agent's."""
    call: CallId | None = None
    has_agent: bool = False
    """He has picked up: the customer's telephone rings."""
    withdrawn: bool = False


class CallBacks:
    """Tries that go on; told of each once what came of it."""

    def __init__(
        self,
        controller: CallController,
        begun: Callable[[DeviceId, CallId], None],
        ended: Callable[[CallBack, CallBackOutcome], None],
    ) -> None:
        """`begun`: told which call it is that an agent is called by, and where."""
        self._controller = controller
        self._begun = begun
        self._ended = ended
        self._trying: dict[CallId, CallBack] = {}

    async def offer(self, what: CallBack, device: DeviceId) -> None:
        """Call the agent, then the customer."""
        what.device, what.has_agent, what.withdrawn = device, False, False
        # It is counted as a call-back, and never as one that the agent makes for a skill.
        command = MakeCall(device, what.number, data={"CallBackOf": what.queue}, queue="")
        try:
            accepted = await self._controller.submit(command)
        except CommandRejected as rejected:
            log.warning("call-back refused", queue=what.queue, reason=rejected.reason)
            busy = any(True for _ in self._controller.whereabouts.calls_of(device))
            refused = CallBackOutcome.UNREACHABLE if busy else CallBackOutcome.NOBODY
            self._ended(what, refused)
            return
        what.call = accepted.call
        self._begun(device, accepted.call)
        self._trying[accepted.call] = what
        if self._controller.whereabouts.living(accepted.call) is None:
            self._over(what)

    async def withdraw(self, what: CallBack) -> None:
        """The agent has let it ring for long enough. One who is there stays."""
        if what.call is None or what.device is None or what.has_agent:
            return
        what.withdrawn = True
        try:
            await self._controller.submit(ClearConnection(what.device, what.call))
        except CommandRejected as rejected:
            log.info("call-back not withdrawn", queue=what.queue, reason=rejected.reason)

    def heed(self, event: CallEvent) -> None:
        """Something was told of a call."""
        what = self._trying.get(event.call)
        if what is None:
            return
        match event:
            case Originated():
                what.has_agent = True
            case Established() if event.device != what.device:
                del self._trying[event.call]
                what.call = None
                self._ended(what, CallBackOutcome.TALKED)
            case CallCleared():
                self._over(what)
            case _:
                pass

    def _over(self, what: CallBack) -> None:
        if what.call is not None:
            self._trying.pop(what.call, None)
            what.call = None
        outcome = CallBackOutcome.NOBODY if what.has_agent else CallBackOutcome.NO_AGENT
        self._ended(what, outcome)
