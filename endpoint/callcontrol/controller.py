"""The controller: keeps the interactions, brings commands and leg events to them, tells what came.

One asyncio task an interaction, all owned here. The controller decides nothing about calls, the
machine does. It answers for order: an interaction's stimuli are taken one by one, and the effects
of one are done before the next is looked at.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import structlog

from endpoint.callcontrol.addressing import addressed
from endpoint.callcontrol.clock import SteadyClock
from endpoint.callcontrol.commands import (
    CallCommand,
    Command,
    CommandAccepted,
    CommandOfOthers,
    MakeCall,
    MakingCommand,
    PairCommand,
    Rejection,
)
from endpoint.callcontrol.dialplan import DialPlan, PlanInUse
from endpoint.callcontrol.dials import DialLimits, Dials
from endpoint.callcontrol.events import CallEvents
from endpoint.callcontrol.feed import EventFeed, Subscription
from endpoint.callcontrol.machine import EndEverything
from endpoint.callcontrol.model import (
    Call,
    CallSettings,
    Interaction,
    are_of_one,
)
from endpoint.callcontrol.refusals import check_allowed, refused
from endpoint.callcontrol.refusedcalls import keep, record_of_offer
from endpoint.callcontrol.runner import (
    CallRecords,
    ExtensionLookup,
    InteractionRunner,
    NotNoted,
    OpenCalls,
)
from endpoint.callcontrol.whereabouts import Whereabouts
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    Exchange,
    InteractionId,
    LegDiverted,
    LegEvent,
    LegId,
    LegOffered,
    LegReleased,
    LegRole,
    OfferRefused,
    OfNoCall,
    RecordingEvent,
    RegistrationEvent,
    TransferAsked,
)

__all__ = ["CallController", "CallRecords", "ControllerSettings"]

_NO_ERROR = (None, None, None)
_STOPPING = EndEverything(Cause.NORMAL, "the endpoint stops")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """How the controller behaves."""

    calls: CallSettings = field(default_factory=CallSettings)
    """How long calls wait for what."""
    dials: DialLimits = field(default_factory=DialLimits)
    """How much one device may dial,"""
    dials_of: tuple[DialLimits, ...] = ()
    """and how much devices that are told by a pattern; of these the first."""
    history: int = 4096
    """How many events are kept for those who read late."""
    drain_timeout_s: float = 5.0
    """How long legs may take to end when we stop, or when an interaction broke."""


def random_interaction() -> InteractionId:
    """An id for an interaction of our making."""
    return InteractionId(secrets.token_hex(8))


Keeper = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]
"""Given a name and a work, does the work, and begins it anew where it dies."""


async def once(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A keeper that does the work, and lets its fault be its owner's."""
    await work()


Commanding = Callable[
    [Command, Callable[[Command], Awaitable[CommandAccepted]]], Awaitable[CommandAccepted]
]
"""What is around a command, given it and what does it."""


async def _unobserved(
    command: Command, go: Callable[[Command], Awaitable[CommandAccepted]]
) -> CommandAccepted:
    return await go(command)


async def _anybody(device: DeviceId) -> bool:
    return True


async def _no_alias(number: DeviceId) -> DeviceId | None:
    return None


class CallController:
    """Call control over an exchange. Open it with `async with`; leaving ends every call.

    clock: the wall clock (UTC) for events and records. new_interaction: makes ids; call ids are
    made from them. extension: whom a dialled number means, where that is an extension of ours.
    plan: says where all other numbers go, and which are refused.
    is_ours: whether a device may be commanded. keep: keeps our reader of leg events alive.
    open_calls: where what would stay of calls is noted, should we die. commanding: around each
    command, for who observes.
    """

    def __init__(
        self,
        exchange: Exchange,
        records: CallRecords,
        *,
        settings: ControllerSettings | None = None,
        clock: Callable[[], datetime] | None = None,
        new_interaction: Callable[[], InteractionId] = random_interaction,
        extension: ExtensionLookup = _no_alias,
        plan: PlanInUse | None = None,
        is_ours: Callable[[DeviceId], Awaitable[bool]] = _anybody,
        keep: Keeper = once,
        open_calls: OpenCalls | None = None,
        commanding: Commanding = _unobserved,
    ) -> None:
        self.exchange = exchange
        """Makes the legs."""
        self.records = records
        """Keeps what stays of calls."""
        self.open_calls = open_calls or NotNoted()
        """Knows what would stay of them now."""
        self.settings = settings or ControllerSettings()
        """How it behaves."""
        self.clock = clock or SteadyClock()
        """The wall clock (UTC)."""
        self.extension = extension
        """Whom a number means."""
        self.plan = plan or PlanInUse(DialPlan(), self.clock)
        """Where numbers go."""
        self._new_interaction = new_interaction
        self._is_ours = is_ours
        self._keep = keep
        self._commanding = commanding
        self._feed = EventFeed(self.settings.history)
        self._group = asyncio.TaskGroup()
        self._reader: asyncio.Task[None] | None = None
        self._runners: dict[InteractionId, InteractionRunner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._legs: dict[LegId, InteractionRunner] = {}
        self._joining: set[DeviceId] = set()
        self._dials = Dials(self.settings.dials, self.settings.dials_of)
        self.whereabouts = Whereabouts()
        """Which calls each device is in."""
        self._registrations: dict[tuple[DeviceId, str], RegistrationEvent] = {}
        self._registered_at: dict[DeviceId, set[str]] = {}
        """The servers at which a device is registered now."""
        self._is_draining = False
        """New calls are refused, but for those of who is in need; when we close those too."""
        self._is_closing = False

    def __repr__(self) -> str:
        return f"<CallController {len(self._runners)} interactions, {len(self._legs)} legs>"

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        keeping = self._keep("leg events", self._read)
        self._reader = self._group.create_task(keeping, name="call control: leg events, kept")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_closing = True
        for runner in self._runners.values():
            if self.plan.is_needed(runner.state):
                log.critical("an emergency call is hung up", interaction=runner.state.id)
            runner.tell(_STOPPING)
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self.settings.drain_timeout_s)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._reader is not None:
                self._reader.cancel()
            self._feed.close()
            # A failure of the body is the caller's own: it must not come back inside a group.
            cancelled = isinstance(error, asyncio.CancelledError)
            await self._group.__aexit__(*((kind, error, trace) if cancelled else _NO_ERROR))

    # -- for clients ------------------------------------------------------------------------------

    async def submit(self, command: Command) -> CommandAccepted:
        """Have a command done. What becomes of it is told by events.

        Raises: CommandRejected; then nothing has changed.
        """
        return await self._commanding(command, self._submit)

    async def _submit(self, command: Command) -> CommandAccepted:
        if not await self._is_ours(command.device):
            why = f"{command.device} is no device of ours: no extension, account or station"
            raise refused(Rejection.UNKNOWN_DEVICE, command, why)
        if isinstance(command, MakeCall):
            runner = self._open_for(command)
        else:
            runner, command = self._addressed(command)
        with self._picked_up_for(command):
            state = await runner.ask(command)
        call = state.calls[-1].id if isinstance(command, MakingCommand) else command.call
        assert call is not None  # `_addressed` names it
        return CommandAccepted(command.name, state.id, call)

    def subscribe(self, after: int | None = None) -> Subscription:
        """Read events from now on, or first those behind number `after`.

        `snapshot then subscribe(last_number)` without an await between them misses nothing.

        Raises: EventsMissed, also while reading, when the next event is not kept any more.
        """
        return self._feed.subscribe(after)

    @property
    def last_number(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._feed.last_number

    @property
    def has_told_all(self) -> bool:
        """Whether what is so now is what events have told; some wait for a record to be written."""
        return not any(runner.is_behind for runner in self._runners.values())

    def interactions(self) -> tuple[Interaction, ...]:
        """The interactions that live, as they stand."""
        return tuple(runner.state for runner in self._runners.values())

    def calls(self) -> tuple[Call, ...]:
        """The calls that are not over, as they stand."""
        return tuple(
            call
            for interaction in self.interactions()
            for call in interaction.calls
            if not call.is_cleared
        )

    def registrations(self) -> tuple[RegistrationEvent, ...]:
        """What was last heard of each device at each server: that it registered, or why not."""
        return tuple(self._registrations.values())

    def is_registered(self, device: DeviceId) -> bool:
        """Whether it is registered anywhere."""
        return bool(self._registered_at.get(device))

    def refuse_new_calls(self) -> None:
        """Take no new calls from now on, unless somebody is in need; those that live go on."""
        self._is_draining = True

    def end_calls(self) -> int:
        """End those that live, but for those of who is in need; returns how many these are."""
        left = 0
        for runner in self._runners.values():
            if self.plan.is_needed(runner.state):
                left += sum(not call.is_cleared for call in runner.state.calls)
            else:
                runner.tell(_STOPPING)
        return left

    @property
    def takes_new_calls(self) -> bool:
        """Whether a new call has a chance."""
        return not (self._is_draining or self._is_closing)

    def _may_begin(self, dialled: str) -> bool:
        """Whether a new call of a device of ours may begin."""
        in_need = not self._is_closing and self.plan.is_emergency(dialled)
        return self.takes_new_calls or in_need

    # -- for the interactions ---------------------------------------------------------------------

    def publish(self, event: CallEvents) -> None:
        """Number an event and tell every reader."""
        self._feed.publish(event, self.clock())

    def expect(self, leg: LegId, runner: InteractionRunner) -> None:
        """The leg's events are for this interaction from now on."""
        self._legs[leg] = runner

    def count_dial(self, device: DeviceId) -> tuple[Rejection, str] | None:
        """Count a dial that comes about now; why it may not, where it may not."""
        if not self.takes_new_calls:
            return Rejection.SHUTTING_DOWN, "the endpoint is about to stop"
        now = asyncio.get_running_loop().time()
        at_once = sum(
            runner.state.at_once_of(device, self.plan.is_device)
            for runner in self._runners.values()
        )
        limit = self._dials.refusal(device, at_once, now)
        if limit is not None:
            return Rejection.DIAL_LIMIT, limit
        self._dials.count(device, now)
        return None

    def keeps_refusal(self, device: DeviceId, reason: str) -> bool:
        """Whether a dial that was refused is recorded; of those of a loop only the first are."""
        keeps = self._dials.keeps_refusal(device, asyncio.get_running_loop().time())
        if keeps:
            log.warning("dial refused", device=device, reason=reason)
        return keeps

    # -- inside -----------------------------------------------------------------------------------

    def _open_for(self, command: MakeCall) -> InteractionRunner:
        """A new interaction for a call, if its device is free.

        Raises: CommandRejected.
        """
        if not self._may_begin(command.destination):
            raise refused(Rejection.SHUTTING_DOWN, command, "the endpoint is about to stop")
        for _, call, connection in self.whereabouts.connections_of(command.device):
            check_allowed(command, call, connection)
        if self._is_picked_up(command.device):
            raise refused(Rejection.DEVICE_BUSY, command, f"{command.device} dials already")
        return self._start(self._new_interaction(), dialling=command.device)

    def _addressed(self, command: CallCommand) -> tuple[InteractionRunner, CallCommand]:
        """Whose command it is, with its calls named; two calls are brought to one interaction.

        Raises: CommandRejected.
        """
        living = (runner.state for runner in self._runners.values())
        interaction, command = addressed(command, self.whereabouts, living)
        runner = self._runners[interaction]
        if isinstance(command, PairCommand):
            self._gather(runner, command)
        return runner, command

    @contextmanager
    def _picked_up_for(self, command: Command) -> Iterator[None]:
        """While a station is picked up for a call of others, it dials and joins nothing else.

        Raises: CommandRejected, where it is in another call itself.
        """
        if not isinstance(command, CommandOfOthers):
            yield
            return
        device = command.device
        is_there = False
        for _, other, own in self.whereabouts.connections_of(device):
            if other.id != command.call:
                why = f"{device} is {own.state} in call {other.id}"
                raise refused(Rejection.DEVICE_BUSY, command, why)
            is_there = True
        if not is_there and self._is_picked_up(device):
            raise refused(Rejection.DEVICE_BUSY, command, f"{device} is being picked up")
        self._joining.add(device)
        try:
            yield
        finally:
            self._joining.discard(device)

    def _is_picked_up(self, device: DeviceId) -> bool:
        """Whether a command picks the device's station up this moment."""
        dials = (each.dialling for each in self._runners.values() if not each.state.calls)
        return device in self._joining or device in dials

    def _gather(self, runner: InteractionRunner, command: PairCommand) -> None:
        """Two calls of a device that are to be one belong to one interaction."""
        own = {
            call.id: self._runners[interaction.id]
            for interaction, call, _ in self.whereabouts.connections_of(command.device)
        }
        other = own.get(command.other) if command.other is not None else None
        # Where the first is not its own too it is refused, and nothing may have changed.
        if other not in (None, runner) and command.call in own:
            runner.adopt(other)

    def _may_transfer(self, runner: InteractionRunner | None, event: TransferAsked) -> bool:
        """A phone that asks for a transfer may bring two calls of its own together."""
        leg = None if runner is None else runner.state.leg(event.leg)
        if runner is None or leg is None:
            self.exchange.tell_transfer(event.leg, 481)
            return False
        if event.replaces is not None:
            other = self._legs.get(event.replaces)
            theirs = None if other is None else other.state.leg(event.replaces)
            if other not in (None, runner) and theirs is not None and are_of_one(theirs, leg):
                runner.adopt(other)
        return True

    def _start(
        self, interaction: InteractionId, *, dialling: DeviceId | None = None
    ) -> InteractionRunner:
        runner = InteractionRunner(
            Interaction(interaction, self.settings.calls),
            self,
            release_timeout_s=self.settings.drain_timeout_s,
            dialling=dialling,
        )
        self._runners[interaction] = runner
        task = self._group.create_task(self._run(runner), name=f"interaction {interaction}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return runner

    async def _run(self, runner: InteractionRunner) -> None:
        task = asyncio.current_task()
        try:
            await runner.run()
        except asyncio.CancelledError:
            if self._is_closing or task is None:
                raise
            # Killed, and not by us: as any other fault it ends this interaction alone.
            task.uncancel()
            log.error("interaction was cancelled, its calls end", interaction=runner.state.id)
            await runner.give_up()
        finally:
            del self._runners[runner.state.id]
            self.whereabouts.put(Interaction(runner.state.id, runner.state.settings))
            for leg in runner.state.legs:  # Only those of an interaction that broke.
                self._legs.pop(leg.id, None)

    async def _read(self) -> None:
        async for event in self.exchange.events():
            if isinstance(event, DeviceRegistered | DeviceUnregistered):
                self._registrations[event.device, event.server] = event
                servers = self._registered_at.setdefault(event.device, set())
                is_there = isinstance(event, DeviceRegistered)
                (servers.add if is_there else servers.discard)(event.server)
                self._feed.publish(event, self.clock())
            elif isinstance(event, OfNoCall):
                self._feed.publish(event, self.clock())
            elif isinstance(event, LegOffered):
                self._offered(event)
            elif isinstance(event, RecordingEvent):
                self._tell_of(event)
            elif isinstance(event, OfferRefused):
                if self.keeps_refusal(DeviceId(f"trunk {event.trunk}"), event.text):
                    record = record_of_offer(event, self.clock())
                    self._group.create_task(keep(self.records, record), name="refused call")
            else:
                self._pass_on(event)

    def _tell_of(self, event: RecordingEvent) -> None:
        for runner in self._runners.values():
            for call in runner.state.calls:
                if call.recording is not None and call.recording.id == event.recording:
                    runner.tell(event)

    def _offered(self, offer: LegOffered) -> None:
        is_ours = offer.role is LegRole.STATION
        if not (self._may_begin(offer.called) if is_ours else self.takes_new_calls):
            self.exchange.release(offer.leg, Cause.UNREACHABLE)
            return
        if offer.replaces is not None:
            runner = self._legs.get(offer.replaces)
            if runner is None:
                self.exchange.release(offer.leg, Cause.DECLINED)
                return
            self.expect(offer.leg, runner)
            runner.tell(offer)
            return
        runner = self._start(offer.interaction)
        self.expect(offer.leg, runner)
        runner.tell(offer)

    def _count_diversion(self, runner: InteractionRunner, leg: LegId) -> None:
        """A phone forwards: who had it called dials once more, and may dial less in this minute."""
        forwards = runner.state.leg(leg)
        if forwards is not None and forwards.dialled_by is not None:
            self._dials.count(forwards.dialled_by, asyncio.get_running_loop().time())

    def _pass_on(self, event: LegEvent) -> None:
        if isinstance(event, LegReleased):
            runner = self._legs.pop(event.leg, None)
        else:
            runner = self._legs.get(event.leg)
        if isinstance(event, TransferAsked) and not self._may_transfer(runner, event):
            return
        if isinstance(event, LegDiverted) and runner is not None:
            self._count_diversion(runner, event.leg)
        if runner is None:
            log.debug("leg event for no interaction", leg=event.leg, kind=type(event).__name__)
            return
        runner.tell(event)
