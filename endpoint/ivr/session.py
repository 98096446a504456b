"""A call in a flow: what the interpreter decides is done, and what comes of it is told to it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import aiohttp
import structlog

from endpoint.callcontrol.commands import (
    AssociateData,
    CallCommand,
    ClearConnection,
    CommandAccepted,
    SingleStepTransfer,
)
from endpoint.callcontrol.model import Call, CallId, Connection, ConnectionState, Interaction
from endpoint.callcontrol.whereabouts import Whereabouts
from endpoint.errors import CommandRejected
from endpoint.ivr import hashes, library, webhook
from endpoint.ivr import model as ivr
from endpoint.ivr.flow import Flow, Sound
from endpoint.ivr.interpreter import MOST_AHEAD, begin, step
from endpoint.ivr.leg import Mouth, Part, QueuePlace
from endpoint.legs.base import Cause, DeviceId, PlaceLeg
from endpoint.media import messages as m

log = structlog.get_logger(__name__)


class Waiting(Protocol):
    """A call that waits in a queue."""

    def offer(self, device: DeviceId) -> None:
        """Call this one for it. Then `Queues.refused`, unless it is taken."""

    def withdraw(self, *, unanswered: bool) -> None:
        """It has rung there for long enough; or, where not `unanswered`, in vain."""

    def turned_away(self, reason: str) -> None:
        """It waits no longer: nobody comes."""

    def divert(self, device: DeviceId) -> None:
        """It waits no longer: this device is to take it."""

    def announce(self, position: int, wait_s: float | None) -> None:
        """Have the caller told where he is."""

    def tell_place(self, place: QueuePlace) -> None:
        """Where it is now is another place than before."""

    def call_id(self) -> CallId | None:
        """The call; None where it has gone."""

    def caller(self) -> str:
        """Who calls, as he is shown."""


class Queues(Protocol):
    """Where calls wait for agents."""

    def music(self, queue: str) -> str:
        """What its callers hear, a file; empty: the music on hold."""

    def enter(self, call: Waiting, queue: str, priority: int | None) -> None:
        """A call waits in a queue from now on; None: with the priority of that."""

    def call_back(self, call: Waiting, number: str) -> bool:
        """It waits no longer: its place is that of who is to be called. False: that can't be."""

    def leave(self, call: Waiting) -> None:
        """It waits no longer: it was taken, gave up, or is over. Harmless where it does not."""

    def refused(self, call: Waiting, cause: Cause) -> None:
        """Whom it was offered to last has not come."""


class Calls(Protocol):
    """What a session asks of call control."""

    @property
    def whereabouts(self) -> Whereabouts:
        """Where a leg is."""

    async def submit(self, command: CallCommand) -> CommandAccepted:
        """Have a command done. Raises CommandRejected."""


@dataclass(frozen=True, slots=True)
class Version:
    """A flow as it was when a call came: it finishes in that."""

    name: str
    flow: Flow
    place: library.Place


class Around(Protocol):
    """What all sessions share."""

    calls: Calls
    queues: Queues
    http: aiohttp.ClientSession

    def running(self, session: Session) -> AbstractContextManager[None]:
        """It is told of calls meanwhile."""


class Session:
    """One call in one flow; it has a leg for a mouth and for ears."""

    def __init__(self, request: PlaceLeg, mouth: Mouth, version: Version, around: Around) -> None:
        self.mouth = mouth
        self.version = version
        self.state = begin(version.flow, {})
        """Where the call is."""
        self._request = request
        self._around = around
        self._inbox: asyncio.Queue[ivr.Input] = asyncio.Queue()
        self._has_begun = False
        self._music = ""
        """Heard in the queue."""
        self._early: deque[ivr.KeyPressed] = deque(maxlen=MOST_AHEAD)
        """Keys of who does not wait until both ends are up."""
        self._transferring = asyncio.Lock()
        """What is taken back must have been begun."""
        self._transfers: deque[int] = deque()
        """Those under way, by their tickets: each comes to nothing once, or ends the flow."""
        self._tasks: asyncio.TaskGroup
        self._doing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Session {self.mouth.id} in {self.version.name} at {self.state.node}>"

    @property
    def device(self) -> DeviceId:
        """The IVR's code."""
        return self._request.device

    # -- asked by the leg -------------------------------------------------------------------------

    async def run(self) -> None:
        """See `Listener`."""
        with self._around.running(self):
            self.look()
            async with asyncio.TaskGroup() as self._tasks:
                while self.state.phase is not ivr.Phase.OVER:
                    event = await self._happening()
                    now = asyncio.get_running_loop().time()
                    self.state, actions = step(self.state, event, now)
                    for action in actions:
                        await self._do(action)
                self._around.queues.leave(self)
                for task in self._doing:
                    task.cancel()

    def press(self, key: str) -> None:
        """See `Listener`."""
        pressed = ivr.KeyPressed(key)
        if self._has_begun:
            self._inbox.put_nowait(pressed)
        else:
            self._early.append(pressed)

    def end(self) -> None:
        """See `Listener`."""
        self._around.queues.leave(self)
        self._inbox.put_nowait(ivr.CallEnded())

    # -- told of the call -------------------------------------------------------------------------

    def look(self) -> None:
        """Something was told of a call that may be this one's: can it begin?"""
        if self._has_begun or (found := self._found()) is None:
            return
        _, call, own = found
        if call.is_established and own.state is ConnectionState.CONNECTED:
            self._has_begun = True
            self._inbox.put_nowait(ivr.Begun())
            while self._early:
                self._inbox.put_nowait(self._early.popleft())

    def not_taken(self, call: CallId, cause: Cause) -> None:
        """Who was called for a call does not take it."""
        found = self._found()
        if found is not None and found[1].id == call and self._transfers:
            self._came_to_nothing(self._transfers.popleft(), cause)

    def missed(self) -> None:
        """Something may have been told that was not heard."""
        self.look()
        self._begin(self._catch_up())

    async def _catch_up(self) -> None:
        async with self._transferring:
            found = self._found()
            if found is not None and found[1].transfer is None:
                while self._transfers:
                    self._came_to_nothing(self._transfers.popleft(), Cause.UNREACHABLE)

    def _came_to_nothing(self, ticket: int, cause: Cause) -> None:
        if ticket == self.state.ticket and self.state.phase is ivr.Phase.QUEUED:
            self._around.queues.refused(self, cause)
        else:
            self._inbox.put_nowait(ivr.Failed(ticket, str(cause)))

    # -- asked by the queue -----------------------------------------------------------------------

    def offer(self, device: DeviceId) -> None:
        """See `Waiting`."""
        self._begin(self._offer(device, self.state.ticket))

    def withdraw(self, *, unanswered: bool) -> None:
        """See `Waiting`."""
        self._begin(self._take_back(unanswered=unanswered))

    def turned_away(self, reason: str) -> None:
        """See `Waiting`."""
        if self.state.phase is ivr.Phase.QUEUED:
            self._inbox.put_nowait(ivr.Failed(self.state.ticket, reason))

    def divert(self, device: DeviceId) -> None:
        """See `Waiting`."""
        self._inbox.put_nowait(ivr.Diverted(self.state.ticket, device))

    def announce(self, position: int, wait_s: float | None) -> None:
        """See `Waiting`."""
        wait = "" if wait_s is None else str(max(1, math.ceil(wait_s / 60)))
        self._inbox.put_nowait(ivr.Announced(self.state.ticket, position, wait))

    def tell_place(self, place: QueuePlace) -> None:
        """See `Waiting`."""
        self.mouth.tell_queued(place)

    def call_id(self) -> CallId | None:
        """See `Waiting`."""
        found = self._found()
        return found[1].id if found is not None else None

    def caller(self) -> str:
        """See `Waiting`."""
        return self.state.variables.get("caller", "")

    async def _offer(self, device: DeviceId, ticket: int) -> None:
        if not await self._transfer(device, ticket):
            self._around.queues.refused(self, Cause.UNREACHABLE)

    async def _take_back(self, *, unanswered: bool = False) -> None:
        async with self._transferring:
            found = self._found()
            if found is None or found[1].transfer is None:
                return
            _, call, _ = found
            target = call.transfer.target if call.transfer is not None else None
            for each in call.connections:
                if each.is_live and each.leg == target:
                    over = ClearConnection(self.device, call.id, each.id, unanswered)
                    await self._submit(over)

    # -- what is decided --------------------------------------------------------------------------

    async def _do(self, action: ivr.Action) -> None:
        match action:
            case ivr.PlayPrompt(ticket, sounds):
                ended = partial(self._inbox.put_nowait, ivr.PromptEnded(ticket))
                self.mouth.play(self._parts(sounds), ended)
            case ivr.StopPrompt():
                self.mouth.stop()
            case ivr.AskWebhook():
                self._begin(self._ask(action))
            case ivr.CompareHash():
                self._begin(self._compare(action))
            case ivr.EnterQueue(_, queue, priority, music):
                self._music = music or self._around.queues.music(queue)
                self._play_music()
                self._around.queues.enter(self, queue, priority)
            case ivr.ResumeMusic():
                self._play_music()
            case ivr.AskForCallBack(ticket, number):
                if self._around.queues.call_back(self, number):
                    self._inbox.put_nowait(ivr.CallBackKept(ticket))
            case ivr.LeaveQueue():
                self._around.queues.leave(self)
                await self._take_back()
                self.mouth.stop()
            case ivr.TransferTo(ticket, destination):
                if not await self._transfer(destination, ticket):
                    self._inbox.put_nowait(ivr.Failed(ticket, "refused"))
            case ivr.ReturnCall(ticket):
                await self._return(ticket)
            case ivr.GiveData(data):
                found = self._found()
                if found is not None:
                    await self._submit(AssociateData(self.device, data, found[1].id))
            case ivr.Visited(visit):
                self.mouth.tell(self.version.name, visit)
            case ivr.EndCall():
                self.mouth.hang_up()

    async def _transfer(self, destination: str, ticket: int) -> bool:
        """Have somebody called who takes the call; whether that was begun."""
        async with self._transferring:
            found = self._found()
            if found is None or ticket != self.state.ticket:  # the flow has gone on meanwhile
                return False
            # Before it can be told that nobody came.
            self._transfers.append(ticket)
            command = SingleStepTransfer(self.device, destination, found[1].id)
            is_begun = await self._submit(command)
            if not is_begun and ticket in self._transfers:
                self._transfers.remove(ticket)
            return is_begun

    async def _return(self, ticket: int) -> None:
        found = self._found()
        if found is None:
            return
        interaction, call, _ = found
        if any(each.away == call.id and not each.is_cleared for each in interaction.calls):
            self.mouth.hang_up()  # who waits has the call back by that
            return
        agent = self._request.referred_by
        if agent is None or not await self._transfer(agent, ticket):
            self._inbox.put_nowait(ivr.Failed(ticket, "nobody"))

    async def _submit(self, command: CallCommand) -> bool:
        try:
            await self._around.calls.submit(command)
        except CommandRejected as rejected:
            log.warning(
                "the IVR's command was refused",
                leg=self.mouth.id,
                flow=self.version.name,
                node=self.state.node,
                command=str(command.name),
                reason=rejected.reason,
            )
            return False
        return True

    async def _ask(self, asked: ivr.AskWebhook) -> None:
        try:
            values = await webhook.ask(self._around.http, asked)
        except webhook.WebhookFailed as failed:
            log.warning(
                "webhook failed", flow=self.version.name, node=self.state.node, reason=str(failed)
            )
            self._inbox.put_nowait(ivr.Failed(asked.ticket, str(failed)))
        else:
            self._inbox.put_nowait(ivr.Answered(asked.ticket, values))

    async def _compare(self, asked: ivr.CompareHash) -> None:
        right = await asyncio.to_thread(self._is_right, asked)
        self._inbox.put_nowait(ivr.Answered(asked.ticket, right=right))

    def _is_right(self, asked: ivr.CompareHash) -> bool:
        """In a thread: it reads a file, and computes for long on purpose."""
        expected = asked.hash
        if asked.file:
            try:
                expected = library.hashes_in(self.version.place.find(asked.file)).get(asked.key, "")
            except ValueError as error:
                log.warning("hashes can't be read", flow=self.version.name, reason=str(error))
        return hashes.matches(asked.secret, expected)

    # -- inside -----------------------------------------------------------------------------------

    async def _happening(self) -> ivr.Input:
        """What happens next; that time has passed, where nothing does before."""
        deadline = self.state.deadline
        try:
            async with asyncio.timeout_at(deadline):
                event = await self._inbox.get()
        except TimeoutError:
            return ivr.TimePassed()
        if not isinstance(event, ivr.Begun):
            return event
        self.state = begin(self.version.flow, self._variables())
        return event

    def _play_music(self) -> None:
        self.mouth.music(self.version.place.find(self._music) if self._music else None)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    def _found(self) -> tuple[Interaction, Call, Connection] | None:
        """The call that the leg is in."""
        interaction = self._around.calls.whereabouts.interaction_of(self.mouth.id)
        for call in interaction.calls if interaction is not None else ():
            own = call.connection_by(self.mouth.id)
            if interaction is not None and own is not None:
                return interaction, call, own
        return None

    def _variables(self) -> dict[str, str]:
        found = self._found()
        if found is None:
            return {}
        _, call, own = found
        agent = self._request.referred_by
        others = [
            each.number
            for each in call.connections
            if each.is_party and each.leg != own.leg and each.number != agent
        ]
        return {
            **call.data,
            "caller": others[0] if others else call.calling,
            "called": self.device,
            "agent": agent or "",
            "call": call.id,
            "reason": "",
        }

    def _parts(self, sounds: Sequence[Sound]) -> list[Part]:
        parts: list[Part] = []
        for sound in sounds:
            if sound.ms:
                parts.append((m.Segment(list(sound.tone_hz), sound.ms),))
            else:
                parts += self.version.place.files(sound)
        return parts
