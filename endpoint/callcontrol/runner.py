"""One interaction, alive: feeds the machine its stimuli and does the effects, in one task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from endpoint.callcontrol import effects as do
from endpoint.callcontrol import transfer
from endpoint.callcontrol.commands import (
    Command,
    ConsultationCall,
    DeflectCall,
    LendCall,
    MakeCall,
    Rejection,
    SingleStepConference,
    SingleStepTransfer,
)
from endpoint.callcontrol.dialplan import Decision, Kind, PlanInUse
from endpoint.callcontrol.events import CallEvents
from endpoint.callcontrol.machine import (
    DialRefused,
    EndEverything,
    Stimulus,
    TimerFired,
    step,
)
from endpoint.callcontrol.model import (
    CallDirection,
    CallId,
    CallRecord,
    Ending,
    Interaction,
    Timer,
)
from endpoint.callcontrol.refusals import refused
from endpoint.callcontrol.refusedcalls import keep, refused_record
from endpoint.callcontrol.routes import routes
from endpoint.callcontrol.turn import ended_by_us, lost_record
from endpoint.callcontrol.whereabouts import Whereabouts
from endpoint.errors import CommandRejected
from endpoint.legs.base import (
    CAUSES,
    Cause,
    DeviceId,
    Exchange,
    LegId,
    LegOffered,
    LegQuality,
    LegReleased,
    LegRole,
    TransferAsked,
)

log = structlog.get_logger(__name__)


LAST_FIGURES_S = 0.5
"""How long a record waits for what the audio of its call was like."""


class CallRecords(Protocol):
    """Where the records of calls are kept."""

    async def write(self, record: CallRecord) -> None:
        """Keep one record. It is there when this returns."""


class OpenCalls(Protocol):
    """Where the calls that are not over are noted, for a process after us."""

    def put(self, record: CallRecord, *, is_over: bool) -> None:
        """What stays of a call if we die now."""

    def drop(self, call: CallId) -> None:
        """Its record is kept."""


class NotNoted:
    """Open calls of whom no process comes after."""

    def put(self, record: CallRecord, *, is_over: bool) -> None:
        """Not kept."""

    def drop(self, call: CallId) -> None:
        """It is not there."""


_DIALS = (
    MakeCall | ConsultationCall | DeflectCall | LendCall | SingleStepConference | SingleStepTransfer
)
ExtensionLookup = Callable[[DeviceId], Awaitable[DeviceId | None]]
"""The extension of ours that a number means: itself, or by an alias; None for any other number."""


class Surroundings(Protocol):
    """What an interaction needs of its controller."""

    exchange: Exchange
    """Makes the legs."""
    records: CallRecords
    """Keeps what stays of calls."""
    open_calls: OpenCalls
    """Knows what would stay of them now."""
    whereabouts: Whereabouts
    """Knows which calls each device is in."""
    clock: Callable[[], datetime]
    """The wall clock (UTC)."""
    extension: ExtensionLookup
    """Whom a number means."""

    @property
    def plan(self) -> PlanInUse:
        """Where numbers go."""

    def count_dial(self, device: DeviceId) -> tuple[Rejection, str] | None:
        """Count a dial; why the device may not, where it may not."""

    def keeps_refusal(self, device: DeviceId, reason: str) -> bool:
        """Whether a dial of the device that was refused is recorded."""

    def publish(self, event: CallEvents) -> None:
        """Tell everybody."""

    def expect(self, leg: LegId, runner: InteractionRunner) -> None:
        """The leg's events are for this interaction from now on."""


_Asker = asyncio.Future[Interaction]
"""Whoever waits for a command to be accepted: gets the interaction as it stood then."""


class _DialRejected(Exception):
    """A command dials whom it may not; what is kept of that."""

    def __init__(self, rejection: CommandRejected, record: CallRecord) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection
        self.record = record


class InteractionRunner:
    """Owns an interaction's state. `run` is its task; it returns when nothing more can happen.

    An exception, in the machine or in an effect, ends this interaction only: its legs are released,
    its calls end with `protocol_error` and their records, and it is logged once.
    """

    def __init__(
        self,
        interaction: Interaction,
        surroundings: Surroundings,
        *,
        release_timeout_s: float,
        dialling: DeviceId | None = None,
    ) -> None:
        self.dialling = dialling
        """The device whose MakeCall opens it: busy from the start."""
        self._around = surroundings
        self._state = interaction
        self._release_timeout_s = release_timeout_s
        self._inbox: asyncio.Queue[tuple[Stimulus | None, _Asker | None]] = asyncio.Queue()
        """None says only that it is time to look whether anything is left."""
        self._deadlines: dict[Timer, asyncio.TimerHandle] = {}
        self._released: set[LegId] = set()
        self._undone: deque[do.Effect] = deque()
        """Decided, and not done yet."""
        self._refused_dials = 0
        self._failure: Exception | None = None
        """The first of those effects that failed."""

    def __repr__(self) -> str:
        calls = ", ".join(
            f"{call.id}: " + " ".join(f"{each.number} {each.state}" for each in call.connections)
            for call in self.state.calls
        )
        return f"<InteractionRunner {self.state.id} [{calls}] {len(self.state.legs)} legs>"

    @property
    def state(self) -> Interaction:
        """The interaction as it stands. The audio agrees with it."""
        return self._state

    @state.setter
    def state(self, state: Interaction) -> None:
        self._state = state
        self._around.whereabouts.put(state)

    @property
    def is_behind(self) -> bool:
        """Whether something was decided that is not done or told yet, as it waits for a record."""
        return bool(self._undone)

    def tell(self, stimulus: Stimulus) -> None:
        """Something happened; it is taken in its turn."""
        self._inbox.put_nowait((stimulus, None))

    async def ask(self, command: Command) -> Interaction:
        """Do a command in its turn. Cancelling the wait does not take the command back.

        Raises: CommandRejected.
        """
        asker: _Asker = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait((command, asker))
        return await asker

    def adopt(self, other: InteractionRunner) -> None:
        """Take everything of another interaction over, which has nothing left and ends.

        What waits to be taken there is taken here. Nobody's audio changes.
        """
        other.catch_up()
        exchange = self._around.exchange
        theirs = other.state
        deadlines = {timer: handle.when() for timer, handle in other._deadlines.items()}
        waiting = [other._inbox.get_nowait() for _ in range(other._inbox.qsize())]
        other.state = Interaction(theirs.id, theirs.settings)
        other._inbox.put_nowait((None, None))
        exchange.set_routes(theirs.id, [])
        self.state = replace(
            self.state,
            calls=(*self.state.calls, *theirs.calls),
            legs=(*self.state.legs, *theirs.legs),
            timers=self.state.timers | theirs.timers,
            ours=self.state.ours | theirs.ours,
        )
        for call in theirs.calls:
            if not call.is_cleared:  # under the name of its new interaction
                record = lost_record(self.state.id, call, self._around.clock())
                self._around.open_calls.put(record, is_over=False)
        self._released |= other._released
        for leg in theirs.legs:
            exchange.move(leg.id, self.state.id)
            self._around.expect(leg.id, self)
        exchange.set_routes(self.state.id, sorted(routes(self.state), key=repr))
        loop = asyncio.get_running_loop()
        for timer, when in deadlines.items():
            other._deadlines.pop(timer).cancel()
            if timer in theirs.timers:
                self._deadlines[timer] = loop.call_at(when, self._deadline_passed, timer)
        for stimulus, asker in waiting:
            self._inbox.put_nowait((stimulus, asker))

    def catch_up(self) -> None:
        """Do all that was decided, at once; only records may still be on their way."""
        undone, self._undone = self._undone, deque()
        for effect in undone:
            if isinstance(effect, do.WriteRecord):
                self._undone.append(effect)
            else:
                self._try(effect)

    async def run(self) -> None:
        """Take stimuli until every call is cleared and every leg is over."""
        try:
            await self._take(*await self._inbox.get())
            # A first command that was refused leaves nothing to run.
            while self.state.calls and not self.state.is_finished:
                await self._take(*await self._inbox.get())
        except Exception:
            log.exception("interaction broke, its calls end", interaction=self.state.id)
            await self.give_up()
        finally:
            for deadline in self._deadlines.values():
                deadline.cancel()
            while not self._inbox.empty():
                self._refuse_late(*self._inbox.get_nowait())

    async def _take(self, stimulus: Stimulus | None, asker: _Asker | None) -> None:
        if stimulus is None:
            return
        try:
            stimulus, decision = await self._planned(stimulus)
            before = self.state
            self.state, effects = self._decide(stimulus, decision)
            self._note_calls(before)
        except _DialRejected as rejected:
            await keep(self._around.records, rejected.record)
            _refuse(asker, rejected.rejection)
            return
        except CommandRejected as rejection:
            _refuse(asker, rejection)
            return
        except Exception:
            _refuse(asker, CommandRejected(Rejection.INTERNAL_ERROR, "the interaction broke"))
            if isinstance(stimulus, TransferAsked):
                self._around.exchange.tell_transfer(stimulus.leg, 500)
            raise
        if asker is not None and not asker.done():
            asker.set_result(self.state)
        await self._perform_all(effects)

    def _note_calls(self, before: Interaction) -> None:
        """Note what would stay of each call that has changed."""
        for call in self.state.calls:
            old = before.call(call.id)
            if call is not old and (old is None or not old.is_cleared):
                record = lost_record(self.state.id, call, self._around.clock())
                self._around.open_calls.put(record, is_over=call.is_cleared)

    def _decide(
        self, stimulus: Stimulus, decision: Decision | None
    ) -> tuple[Interaction, tuple[do.Effect, ...]]:
        """A step; where somebody dials by it and may not, as if he had not.

        So what can't be done counts for nothing. Who is in need is refused by nothing. Raises
        CommandRejected, or _DialRejected where it is dialled in vain.
        """
        now = self._around.clock()
        state, effects = step(self.state, stimulus, now)
        device = _who_dials(self.state, stimulus) if any(map(_calls, effects)) else None
        if device is None or (decision is not None and decision.kind is Kind.EMERGENCY):
            return state, effects
        if decision is not None and decision.is_refused:
            keeps = self._around.keeps_refusal(device, decision.rule)
            cause = decision.cause or Cause.NUMBER_REFUSED
            return self._dial_refused(
                stimulus, device, Rejection.NUMBER_REFUSED, cause, decision.text, keeps=keeps
            )
        limit = self._around.count_dial(device)
        if limit is None:
            return state, effects
        reason, why = limit
        cause = Cause.DIAL_LIMIT if reason is Rejection.DIAL_LIMIT else Cause.OVERLOAD
        keeps = self._around.keeps_refusal(device, why)
        return self._dial_refused(stimulus, device, reason, cause, why, keeps=keeps)

    def _dial_refused(
        self,
        stimulus: Stimulus,
        device: DeviceId,
        reason: Rejection,
        cause: Cause,
        why: str,
        *,
        keeps: bool,
    ) -> tuple[Interaction, tuple[do.Effect, ...]]:
        """What is left of a dial that may not be: an answer, and a record of it if it `keeps`."""
        if isinstance(stimulus, LegOffered):
            if not keeps:
                return self.state, (do.Release(stimulus.leg, cause),)
            return step(self.state, DialRefused(stimulus, why, cause), self._around.clock())
        ending = ended_by_us(cause, device, why)
        record = self._record_of_refused(stimulus, device, ending) if keeps else None
        if isinstance(stimulus, Command):
            rejection = refused(reason, stimulus, why)
            raise rejection if record is None else _DialRejected(rejection, record)
        assert isinstance(stimulus, TransferAsked)
        told = do.TellTransfer(stimulus.leg, CAUSES[cause].sip_status)
        return self.state, (told,) if record is None else (do.WriteRecord(record), told)

    def _record_of_refused(
        self, stimulus: Stimulus, device: DeviceId, ending: Ending
    ) -> CallRecord | None:
        """A call that nobody had part in; none where nobody was dialled."""
        if not isinstance(stimulus, _DIALS | TransferAsked):
            return None
        self._refused_dials += 1
        called = DeviceId(stimulus.destination.partition("-")[0])
        return refused_record(
            self.state.id,
            self._refused_dials,
            CallDirection.OUTBOUND,
            device,
            called,
            ending,
            self._around.clock(),
        )

    async def _planned(self, stimulus: Stimulus) -> tuple[Stimulus, Decision | None]:
        """A number is what it means before anything is decided: nobody is called by an alias."""
        if isinstance(stimulus, _DIALS):
            number, decision = await self._dialled(stimulus.destination, stimulus.device)
            return replace(stimulus, destination=number), decision
        if isinstance(stimulus, LegOffered):
            dials = stimulus.role is LegRole.STATION and stimulus.replaces is None
            number, decision = await self._dialled(
                stimulus.called, stimulus.calling if dials else None
            )
            return replace(stimulus, called=DeviceId(number)), decision
        if isinstance(stimulus, TransferAsked):
            who = transfer.who_dials(self.state, stimulus) if stimulus.replaces is None else None
            number, decision = await self._dialled(stimulus.destination, who)
            return replace(stimulus, destination=DeviceId(number)), decision
        return stimulus, None

    async def _dialled(self, text: str, device: DeviceId | None) -> tuple[str, Decision | None]:
        """What is dialled in the end, and what the plan says; None: no device of ours dials."""
        number, dash, extension = text.partition("-")
        found = await self._around.extension(DeviceId(number)) if number else None
        decision: Decision | None = None
        if device is not None and number:
            digits = extension.lstrip("Ww")
            decision = self._around.plan.decide(number, device, digits=digits, device=found)
            meant = decision.device
            if decision.kind is Kind.EMERGENCY:
                found = None  # nobody of ours has that number
            if found is None and meant is not None and meant != number:
                found = await self._around.extension(meant) or meant
        if found is not None:
            self.state = replace(self.state, ours=self.state.ours | {found})
        return f"{found or number}{dash}{extension}", decision

    async def _perform_all(self, effects: Iterable[do.Effect]) -> None:
        """Do every effect, also behind one that fails; the first failure is raised at the end."""
        self._undone.extend(effects)
        while self._undone:
            effect = self._undone.popleft()
            if not isinstance(effect, do.WriteRecord):
                self._try(effect)
                continue
            try:
                record = await self._with_quality(effect)
                await self._around.records.write(record)
                self._around.open_calls.drop(record.call)
                _log_summary(record)
            except Exception as error:
                self._failure = self._failure or error
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _with_quality(self, effect: do.WriteRecord) -> CallRecord:
        """The record with what the audio of each connection was like, as far as that is known."""
        if not effect.legs:
            return effect.record
        found = await asyncio.gather(*(self._quality(leg) for leg in effect.legs))
        connections = zip(effect.record.connections, found, strict=True)
        return replace(
            effect.record,
            connections=tuple(replace(each, quality=quality) for each, quality in connections),
        )

    async def _quality(self, leg: LegId) -> LegQuality | None:
        try:
            async with asyncio.timeout(LAST_FIGURES_S):
                return await self._around.exchange.last_quality(leg)
        except TimeoutError:
            log.warning("quality not known", leg=leg)
        except Exception:
            # The record must not be lost for it.
            log.exception("quality not known", leg=leg)
        return None

    def _try(self, effect: do.AtOnce) -> None:
        try:
            self._perform(effect)
        except Exception as error:
            self._failure = self._failure or error

    def _perform(self, effect: do.AtOnce) -> None:
        exchange = self._around.exchange
        match effect:
            case do.Place(request):
                self._around.expect(request.leg, self)
                exchange.place(request)
            case do.Alert(leg, early_media):
                exchange.alert(leg, early_media=early_media)
            case do.Answer(leg):
                exchange.answer(leg)
            case do.Release(leg, cause):
                exchange.release(leg, cause)
                self._released.add(leg)
            case do.Hold(leg):
                exchange.hold(leg)
            case do.Resume(leg):
                exchange.resume(leg)
            case do.SendDigits(leg, digits):
                exchange.send_digits(leg, digits)
            case do.Refer(leg, destination, replacing):
                exchange.refer(leg, destination, replacing)
            case do.TellTransfer(leg, sip_status):
                exchange.tell_transfer(leg, sip_status)
            case do.SetRoutes(interaction, whole):
                exchange.set_routes(interaction, sorted(whole, key=repr))
            case do.BeginRecording(request):
                exchange.begin_recording(request)
            case do.SetTracks(recording, tracks, paused):
                exchange.set_tracks(recording, sorted(tracks, key=repr), paused=paused)
            case do.EndRecording(recording):
                exchange.end_recording(recording)
            case do.StartTimer(timer, after_s):
                self._deadlines[timer] = asyncio.get_running_loop().call_later(
                    after_s, self._deadline_passed, timer
                )
            case do.CancelTimer(timer):
                self._deadlines.pop(timer).cancel()
            case do.Publish(event):
                self._around.publish(event)

    def _deadline_passed(self, timer: Timer) -> None:
        self.tell(TimerFired(timer))

    async def give_up(self) -> None:
        """End every call with a cause, and wait for the legs for a while."""
        transfers = [call.transfer for call in self.state.calls if call.transfer is not None]
        asked = [each.leg for each in transfers if each.asked_by_phone]
        with suppress(Exception):
            end = EndEverything(Cause.PROTOCOL_ERROR, "an internal error ended the call")
            before = self.state
            self.state, effects = step(before, end, self._around.clock())
            self._note_calls(before)
            asked.clear()  # they are told by that
            await self._perform_all(effects)
        for leg in asked:
            with suppress(Exception):
                self._around.exchange.tell_transfer(leg, 500)
        for call in self.state.calls:
            if call.recording is not None:
                with suppress(Exception):
                    self._around.exchange.end_recording(call.recording.id)
        legs = {leg.id for leg in self.state.legs}
        for leg in legs - self._released:
            with suppress(Exception):
                self._around.exchange.release(leg, Cause.PROTOCOL_ERROR)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._release_timeout_s):
                while legs:
                    stimulus, asker = await self._inbox.get()
                    self._refuse_late(stimulus, asker)
                    if isinstance(stimulus, LegReleased):
                        legs.discard(stimulus.leg)

    def _refuse_late(self, stimulus: Stimulus | None, asker: _Asker | None) -> None:
        _refuse(asker, CommandRejected(Rejection.UNKNOWN_CALL, "the call is over"))
        if isinstance(stimulus, TransferAsked):
            self._around.exchange.tell_transfer(stimulus.leg, 481)


def _who_dials(state: Interaction, stimulus: Stimulus) -> DeviceId | None:
    """The device for whom somebody is called where a stimulus has that done, else None."""
    match stimulus:
        case LegOffered(role=LegRole.STATION, replaces=None):
            return stimulus.calling
        case TransferAsked(replaces=None):
            return transfer.who_dials(state, stimulus)
        case _:
            return stimulus.device if isinstance(stimulus, Command) else None


def _calls(effect: do.Effect) -> bool:
    """Whether somebody is called by it, by us or by a far end that we ask."""
    return isinstance(effect, do.Place) or (isinstance(effect, do.Refer) and not effect.replacing)


def _refuse(asker: _Asker | None, rejection: CommandRejected) -> None:
    if asker is not None and not asker.done():
        asker.set_exception(rejection)


def _log_summary(record: CallRecord) -> None:
    """The one line that says what a call was. No numbers, no digits."""
    log.info(
        "call over",
        call=record.call,
        direction=record.direction,
        cause=record.ending.cause,
        sip_status=record.ending.sip_status,
        q850=record.ending.q850,
        released_by=record.ending.released_by,
        answered=record.established_at is not None,
        media_confirmed=[each.media_confirmed for each in record.connections],
    )
