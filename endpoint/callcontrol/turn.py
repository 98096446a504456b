"""One turn of the machine: the state as it changes within a step, and the effects that it collects.

The verbs that more than one stimulus needs: place and release a leg, end a connection, settle what
is left of its call, tell it. `machine.py` says when; this says what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TypedDict

from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import (
    Call,
    CallId,
    CallRecord,
    CallStep,
    Connection,
    ConnectionId,
    ConnectionRecord,
    ConnectionState,
    Ending,
    Interaction,
    Leg,
    LegProgress,
    Moments,
    StepKind,
    Timer,
    TimerKind,
)
from endpoint.callcontrol.moments import moments_of
from endpoint.callcontrol.recorded import running
from endpoint.callcontrol.routes import held_legs, routes
from endpoint.legs.base import (
    CAUSES,
    Cause,
    DeviceId,
    InteractionId,
    LegId,
    LegOffered,
    LegRole,
    PlaceLeg,
    RecordingRequest,
    Side,
)


class Facts(TypedDict):
    """What every event of a call carries."""

    interaction: InteractionId
    call: CallId
    device: DeviceId
    connection: ConnectionId
    from_outside: bool
    state: ConnectionState
    calling: DeviceId
    called: DeviceId
    media_confirmed: bool


class EndFacts(Facts):
    """The same, where something ended."""

    cause: Cause
    sip_status: int | None
    q850: int | None
    released_by: Side
    releasing_device: DeviceId | None
    text: str


def ended_by_us(cause: Cause, device: DeviceId | None = None, text: str = "") -> Ending:
    """An ending of our making; `device`: whose command, or whose doing, it was."""
    return Ending(
        cause=cause,
        released_by=Side.ENDPOINT,
        releasing_device=device,
        q850=CAUSES[cause].q850,
        text=text,
    )


class Turn:
    """The state on its way through one step. Drain `all_effects` once, at the end."""

    def __init__(
        self,
        state: Interaction,
        now: datetime,
        on_left: Callable[[Turn, CallId, Connection, Ending], None],
    ) -> None:
        """`on_left` hears of each device that has left a call, before what is left is settled."""
        self._before = state
        self._on_left = on_left
        self.state = state
        """The state as it stands."""
        self.now = now
        """The wall clock (UTC), for the record."""
        self.effects: list[do.Effect] = []
        """What is to be done so far, without routes and far-end holds."""

    def all_effects(self) -> Iterator[do.Effect]:
        """The routes first, then the far ends, then everything else in its order."""
        before, after = routes(self._before), routes(self.state)
        if before != after:
            yield do.SetRoutes(self.state.id, after)
        held_before, held = held_legs(self._before), held_legs(self.state)
        for leg in self.state.legs:
            if leg.id in held - held_before:
                yield do.Hold(leg.id)
            elif leg.id in held_before - held and leg.progress is LegProgress.UP:
                yield do.Resume(leg.id)
        yield from self._recordings()
        yield from self.effects

    def _recordings(self) -> Iterator[do.Effect]:
        """Those that begin and end, and who is on each: from the state alone, as routes are."""
        before, now = running(self._before), running(self.state)
        for name, each in now.items():
            recording = each.recording
            if name not in before:
                wanted = RecordingRequest(
                    recording.id, self.state.id, each.call.id, recording.by, recording.rule
                )
                yield do.BeginRecording(wanted)
            was = before.get(name)
            there = (each.tracks, recording.paused)
            if there != ((was.tracks, was.recording.paused) if was else (frozenset(), False)):
                yield do.SetTracks(recording.id, *there)
        for name in before.keys() - now.keys():
            yield do.EndRecording(before[name].recording.id)

    # -- the state ---------------------------------------------------------------------------------

    def call(self, call: CallId) -> Call:
        """A call of the interaction as it stands. It must exist."""
        return next(each for each in self.state.calls if each.id == call)

    def put_call(self, call: Call) -> None:
        """Add a call, or replace it by its newer self."""
        kept = [each for each in self.state.calls if each.id != call.id]
        at = next((i for i, each in enumerate(self.state.calls) if each.id == call.id), len(kept))
        kept.insert(at, call)
        self.state = replace(self.state, calls=tuple(kept))

    def put_connection(self, call: CallId, connection: Connection) -> Connection:
        """Replace a connection by its newer self; the last one of a leg is its present one.

        Who has left a call may come back into it by the same leg.
        """
        old = self.call(call)
        kept = list(old.connections)
        at = max(i for i, each in enumerate(kept) if each.leg == connection.leg)
        moments = self._moments(connection, kept[at])
        kept[at] = replace(connection, id=kept[at].id, moments=moments)
        self.put_call(replace(old, connections=tuple(kept)))
        return kept[at]

    def add(self, call: CallId, connection: Connection) -> Connection:
        """Take somebody into a call, and give his connection its name there."""
        old = self.call(call)
        connection = replace(
            connection,
            id=ConnectionId(len(old.connections) + 1),
            moments=self._moments(connection),
            agent=self._agent_at(connection.device),
        )
        self.put_call(replace(old, connections=(*old.connections, connection)))
        return connection

    def _agent_at(self, device: DeviceId | None) -> str:
        return "" if device is None else self.state.settings.agent_at(device)

    def _moments(self, connection: Connection, before: Connection | None = None) -> Moments:
        known = None if before is None else before.moments
        return moments_of(connection, known, self.now, is_up=self.is_up(connection))

    def note(
        self,
        call: CallId,
        kind: StepKind,
        by: DeviceId,
        to: DeviceId,
        *,
        place_of: DeviceId | None = None,
        other: CallId | None = None,
        cause: Cause | None = None,
    ) -> None:
        """Something was done with a call that its record tells."""
        step = CallStep(self.now, kind, by, to, place_of, other, cause)
        old = self.call(call)
        self.put_call(replace(old, steps=(*old.steps, step)))

    def add_connection(self, call: CallId, leg: Leg, state: ConnectionState) -> Connection:
        """Take a leg's device into a call."""
        return self.add(
            call,
            Connection(leg.number, leg.role, leg.id, state=state, from_outside=leg.from_outside),
        )

    def put_leg(self, leg: Leg) -> Leg:
        """Add a leg, or replace it by its newer self."""
        before = self.state.leg(leg.id)
        if before is None:
            legs = (*self.state.legs, leg)
        else:
            legs = tuple(leg if each.id == leg.id else each for each in self.state.legs)
        self.state = replace(self.state, legs=legs)
        if (
            before is not None and leg.progress is LegProgress.UP
        ):  # whoever is connected by it already is there now
            for call, each in self.live_connections(leg.id):
                self.put_connection(call.id, each)
        return leg

    def put_offered(self, offer: LegOffered, progress: LegProgress) -> Leg:
        """Add a leg that came to us."""
        from_outside = offer.role is LegRole.LINE
        return self.put_leg(
            Leg(offer.leg, offer.calling, offer.role, progress, from_outside=from_outside)
        )

    def forget_leg(self, leg: LegId) -> None:
        """The leg is over: nothing waits for it any more."""
        self.stop_timers(leg)
        self.state = replace(
            self.state, legs=tuple(each for each in self.state.legs if each.id != leg)
        )

    def live_connections(self, leg: LegId) -> list[tuple[Call, Connection]]:
        """The connections that a leg realises: one, or several where its device consults."""
        return [
            (call, connection)
            for call in self.state.calls
            for connection in call.connections
            if connection.leg == leg and connection.is_live
        ]

    def is_up(self, connection: Connection) -> bool:
        """Whether a connection's leg is answered and not let go."""
        leg = self.state.leg(connection.leg)
        return leg is not None and leg.progress is LegProgress.UP

    # -- legs and timers ---------------------------------------------------------------------------

    def place(
        self,
        device: DeviceId,
        role: LegRole,
        *,
        calling: DeviceId,
        calling_name: str = "",
        calling_number: str = "",
        on_behalf_of: DeviceId | None = None,
        withheld: bool = False,
        referred_by: DeviceId | None = None,
        answer_after_s: float | None = None,
        dialled_by: DeviceId | None = None,
    ) -> Leg:
        """Ask for a leg, and wait for its answer for as long as the settings say.

        `answer_after_s` lets the device pick up by itself after so long; `dialled_by` is who calls
        it, where that is not the device itself or somebody outside.
        """
        number = self.state.legs_made + 1
        self.state = replace(self.state, legs_made=number)
        name = LegId(f"{self.state.id}.{number}")
        leg = self.put_leg(Leg(name, device, role, LegProgress.PLACED, dialled_by=dialled_by))
        self.effects.append(
            do.Place(
                PlaceLeg(
                    leg=leg.id,
                    interaction=self.state.id,
                    device=device,
                    role=role,
                    calling=calling,
                    calling_name=calling_name,
                    calling_number=calling_number,
                    on_behalf_of=on_behalf_of,
                    withheld=withheld,
                    referred_by=referred_by,
                    auto_answer=answer_after_s is not None,
                    answer_after_s=answer_after_s or 0.0,
                )
            )
        )
        self.start_timer(TimerKind.NO_ANSWER, leg.id, self.state.settings.no_answer_s)
        return leg

    def release(self, leg_id: LegId, cause: Cause) -> None:
        """Let go of a leg, unless a connection still needs it or it is let go already."""
        if self.live_connections(leg_id):
            return
        self.stop_timers(leg_id)
        leg = self.state.leg(leg_id)
        if leg is None or leg.progress is LegProgress.RELEASING:
            return
        self.put_leg(replace(leg, progress=LegProgress.RELEASING))
        self.effects.append(do.Release(leg_id, cause))

    def start_timer(
        self, kind: TimerKind, leg: LegId, after_s: float, call: CallId | None = None
    ) -> None:
        """Let a deadline run."""
        timer = Timer(kind, leg, call)
        self.state = replace(self.state, timers=self.state.timers | {timer})
        self.effects.append(do.StartTimer(timer, after_s))

    def stop_timer(self, kind: TimerKind, leg: LegId, call: CallId | None = None) -> None:
        """Forget a deadline, if it runs."""
        timer = Timer(kind, leg, call)
        if timer in self.state.timers:
            self.state = replace(self.state, timers=self.state.timers - {timer})
            self.effects.append(do.CancelTimer(timer))

    def stop_timers(self, leg: LegId) -> None:
        """Forget every deadline of a leg."""
        for timer in sorted(self.state.timers, key=repr):
            if timer.leg == leg:
                self.stop_timer(timer.kind, leg, timer.call)

    # -- endings -----------------------------------------------------------------------------------

    def end(self, call: CallId, connection: Connection, ending: Ending, *, failed: bool) -> None:
        """A device leaves a call, or could not be brought into it; then settle what is left.

        failed: it could not be reached; its connection stays `fail` and its caller hears so.
        """
        self.over(call, connection, ending, failed=failed)
        self._on_left(self, call, connection, ending)
        self._settle(call, ending, failed=failed)

    def over(
        self, call_id: CallId, connection: Connection, ending: Ending, *, failed: bool
    ) -> None:
        """The same without looking at what is left."""
        state = ConnectionState.FAIL if failed else ConnectionState.NULL
        over = self.put_connection(call_id, replace(connection, state=state, ending=ending))
        self.release(over.leg, ending.cause)
        call = self.call(call_id)
        if call.outcome is None and sum(each.is_party for each in call.connections) < 2:
            call = replace(call, outcome=ending)
            self.put_call(call)
        waited = call.waits is not None and call.waits.leg == over.leg and call.transfer is None
        # One whose caller has gone is over in a moment, and abandoned by that.
        if waited and any(each.is_party for each in call.connections):
            self.left_queue(call_id, over, "ended")
        facts = self.end_facts(call, over, ending)
        self.publish(told.Failed(**facts) if failed else told.ConnectionCleared(**facts))

    def left_queue(self, call_id: CallId, own: Connection, outcome: str) -> None:
        """A call waits in its queue no longer. Harmless where it is in none."""
        call = self.call(call_id)
        if (waits := call.waits) is None:
            return
        waited_s = (self.now - waits.since).total_seconds()
        path = call.ivr_path
        if path and path[-1].queue:
            path = (*path[:-1], replace(path[-1], outcome=outcome, waited_s=waited_s))
        call = replace(call, ivr_path=path, waits=None)
        self.put_call(call)
        self.publish(
            told.LeftQueue(
                **self.facts(call, own), queue=waits.queue, outcome=outcome, waited_s=waited_s
            )
        )

    def _settle(self, call_id: CallId, ending: Ending, *, failed: bool) -> None:
        """Two or more talk on; one is let go or hears why; after the last, the call is over."""
        call = self.call(call_id)
        left = [each for each in call.connections if each.is_party]
        if len(left) > 1:
            return
        for each in call.connections:
            if each.is_live and not each.is_party:
                passed_on = ended_by_us(ending.cause, ending.releasing_device)
                self.over(call_id, each, passed_on, failed=False)
        if left:
            (last,) = left
            if failed and self.is_up(last) and not self._is_lent(call_id, last):
                after_s = self.state.settings.failure_tone_s
                self.start_timer(TimerKind.FAILURE_TONE, last.leg, after_s, call_id)
                return
            passed_on = ended_by_us(ending.cause, ending.releasing_device)
            self.over(call_id, last, passed_on, failed=False)
        self._clear(call_id)

    def _is_lent(self, call_id: CallId, connection: Connection) -> bool:
        """Whether a device has another call to go back to at once."""
        own = [call for call, _ in self.live_connections(connection.leg)]
        return any(each.away == call_id for each in own)

    def _clear(self, call_id: CallId) -> None:
        self.left_queue(call_id, self.call(call_id).connections[0], "abandoned")
        call = replace(self.call(call_id), cleared_at=self.now, post_dial=None)
        self.put_call(call)
        for each in call.connections:
            self.stop_timer(TimerKind.FAILURE_TONE, each.leg, call_id)
        if call.recording is not None:
            facts = self.facts(call, call.connections[0])
            self.publish(told.RecordingStopped(**facts, recording=call.recording.id))
        record = call_record(self.state.id, call)
        legs = tuple(each.leg for each in call.connections)
        self.effects.append(do.WriteRecord(record, legs))
        self.publish(told.CallCleared(**self.end_facts(call, call.connections[0], record.ending)))

    # -- telling -----------------------------------------------------------------------------------

    def publish(self, event: told.CallEvents) -> None:
        """Tell what has become true."""
        self.effects.append(do.Publish(event))

    def facts(self, call: Call, connection: Connection) -> Facts:
        """What every event about a connection carries."""
        return Facts(
            interaction=self.state.id,
            call=call.id,
            device=connection.number,
            connection=connection.id,
            from_outside=connection.from_outside,
            state=connection.state,
            calling=call.calling,
            called=call.called,
            media_confirmed=connection.media_confirmed,
        )

    def end_facts(self, call: Call, connection: Connection, ending: Ending) -> EndFacts:
        """What every event about an ended connection or call carries."""
        return EndFacts(
            **self.facts(call, connection),
            cause=ending.cause,
            sip_status=ending.sip_status,
            q850=ending.q850,
            released_by=ending.released_by,
            releasing_device=ending.releasing_device,
            text=ending.text,
        )


def lost_record(interaction: InteractionId, call: Call, now: datetime) -> CallRecord:
    """What will be kept of a call if our process dies now; who is in it has no end yet."""
    if call.is_cleared:
        return call_record(interaction, call)
    ending = ended_by_us(Cause.LOST, text="the endpoint was killed")
    return call_record(interaction, replace(call, outcome=call.outcome or ending, cleared_at=now))


def call_record(interaction: InteractionId, call: Call) -> CallRecord:
    """What stays of a call that is over: every connection has its ending."""
    outcome = call.outcome or ended_by_us(Cause.NORMAL)
    return CallRecord(
        interaction=interaction,
        call=call.id,
        direction=call.direction,
        calling=call.calling,
        called=call.called,
        started_at=call.started_at,
        delivered_at=call.delivered_at,
        established_at=call.established_at,
        ended_at=call.cleared_at or call.started_at,
        ending=outcome,
        connections=tuple(
            ConnectionRecord(
                device=each.number,
                role=each.role,
                failed=each.state is ConnectionState.FAIL,
                ending=each.ending or outcome,
                media_confirmed=each.media_confirmed,
                from_outside=each.from_outside,
                participation=each.participation,
                moments=each.moments,
                agent=each.agent,
            )
            for each in call.connections
        ),
        data=dict(call.data),
        steps=call.steps,
        ivr_path=call.ivr_path,
    )
