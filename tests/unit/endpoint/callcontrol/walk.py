"""An interaction walked step by step: does the effects on legs that are numbers, and checks each.

The walk is exchange, clock and reader of events in one, without any of them. It keeps what is true
of the legs beside the machine, and `check` compares both after every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from endpoint.callcontrol import effects as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.calldata import LARGEST
from endpoint.callcontrol.commands import InterceptCall
from endpoint.callcontrol.machine import Stimulus, TimerFired, step
from endpoint.callcontrol.model import (
    Call,
    CallId,
    CallRecord,
    CallSettings,
    Connection,
    ConnectionState,
    Interaction,
    LegProgress,
    Participation,
    StepKind,
    Timer,
    TimerKind,
    are_of_one,
)
from endpoint.callcontrol.routes import routes
from endpoint.errors import CommandRejected
from endpoint.legs.base import (
    Cause,
    InteractionId,
    LegAnswered,
    LegId,
    LegOffered,
    LegReleased,
    Route,
    Side,
    Source,
)
from tests.fakes.permissions import EVERYBODY
from tests.unit.endpoint.callcontrol.build import NOW

TRANSFERS = (StepKind.TRANSFER, StepKind.INTERCEPT, StepKind.REPLACE)


@dataclass
class WalkedLeg:
    """What is true of a leg, whatever the machine thinks."""

    offered: bool
    alerted: bool = False
    hears_early: bool = False
    asked_to_answer: bool = False
    up: bool = False
    let_go: bool = False
    over: bool = False
    held: bool = False
    digits: str = ""

    @property
    def listens(self) -> bool:
        """Whether anything may be routed to it."""
        return self.up or (self.hears_early and not self.is_gone)

    @property
    def is_gone(self) -> bool:
        """Whether it is over, or soon will be."""
        return self.let_go or self.over


@dataclass
class Walk:
    """One interaction from nothing to its end."""

    state: Interaction = field(
        default_factory=lambda: Interaction(
            InteractionId("i"),
            CallSettings(no_answer_s=60, failure_tone_s=3, permissions=EVERYBODY),
        )
    )
    legs: dict[LegId, WalkedLeg] = field(default_factory=dict)
    routes: frozenset[Route] = frozenset()
    timers: dict[Timer, float] = field(default_factory=dict)
    events: list[told.CallEvents] = field(default_factory=list)
    records: list[CallRecord] = field(default_factory=list)
    transfers: dict[CallId, Stimulus] = field(default_factory=dict)
    """What began the last one of each call."""
    steps: int = 0

    def take(self, stimulus: Stimulus) -> tuple[do.Effect, ...]:
        """One step, its effects done and everything checked.

        Raises: CommandRejected; then nothing has changed.
        """
        self._before(stimulus)
        self.steps += 1
        before = {call.id: call.transfer for call in self.state.calls}
        self.state, effects = step(self.state, stimulus, NOW + timedelta(seconds=self.steps))
        for call in self.state.calls:
            if call.transfer is not None and before.get(call.id) is None:
                self.transfers[call.id] = stimulus
        for at, effect in enumerate(effects):
            self._do(effect, first=at == 0)
        self.check()
        return effects

    def try_to(self, stimulus: Stimulus) -> bool:
        """One step that may be refused; a refusal must change nothing and name itself."""
        before = self.state
        try:
            self.take(stimulus)
        except CommandRejected as rejection:
            rejected = rejection
        else:
            return True
        assert rejected.reason
        assert str(rejected)
        assert self.state is before
        return False

    def fire(self, kind: TimerKind) -> tuple[do.Effect, ...]:
        """The running deadline of that kind passes."""
        (timer,) = [each for each in self.timers if each.kind is kind]
        return self.take(TimerFired(timer))

    def end(self) -> None:
        """Let every deadline pass and every leg end; then nothing may be left, and one record."""
        for _ in range(10):
            for timer in list(self.timers):
                self.take(TimerFired(timer))
            for leg, truth in self.legs.items():
                if not truth.over:
                    self.take(LegReleased(leg, Cause.NORMAL, Side.DEVICE))
        assert not self.timers
        assert self.routes == frozenset()
        assert all(each.over for each in self.legs.values())
        if not self.state.calls:
            return
        assert self.state.is_finished
        records = {each.call: each for each in self.records}
        assert len(records) == len(self.records)
        assert set(records) == {each.id for each in self.state.calls}
        for call in self.state.calls:
            record = records[call.id]
            own = [each for each in self.events if each.call == call.id]
            ends = [each for each in own if isinstance(each, told.Failed | told.ConnectionCleared)]
            assert len(ends) == len(call.connections)
            assert isinstance(own[-1], told.CallCleared)
            assert sum(isinstance(each, told.CallCleared) for each in own) == 1
            begun = sum(isinstance(each, told.Transferring) for each in own)
            done = sum(isinstance(each, told.Transferred) for each in own)
            assert begun == done + sum(isinstance(each, told.TransferFailed) for each in own)
            parked = sum(isinstance(each, told.Queued) for each in own)
            assert sum(isinstance(each, told.Established) for each in own) <= 1 + done + parked
            last = [each.data for each in own if isinstance(each, told.CallInformation)][-1:]
            assert record.data == (last[0] if last else record.data)
            assert sum(len(key) + len(text) for key, text in record.data.items()) <= LARGEST
            assert own[-1].cause is record.ending.cause
            assert record.ending.q850 is not None
            assert len(record.connections) == len(call.connections)
            self._check_moments(record)
            transfers = sum(each.kind in TRANSFERS for each in record.steps)
            assert transfers >= begun, "each transfer that began is in the record"

    def _check_moments(self, record: CallRecord) -> None:
        """Each connection's story is one that can be, and lies in that of its call."""
        for each in record.connections:
            moments = each.moments
            assert moments is not None
            assert moments.ended_at is not None
            told = [moments.delivered_at, moments.established_at]
            for hold in moments.holds:
                assert hold.ended_at is not None
                told += [hold.began_at, hold.ended_at]
            within = [at for at in told if at is not None]
            assert [moments.initiated_at, *within, moments.ended_at] == sorted(
                [moments.initiated_at, *within, moments.ended_at]
            )
            assert record.started_at <= moments.initiated_at
            assert moments.ended_at <= record.ended_at
            assert not (each.failed and moments.established_at)
            assert moments.established_at or not moments.holds
        if record.established_at is not None:
            assert any(each.moments.established_at for each in record.connections if each.moments)

    # -- effects ----------------------------------------------------------------------------------

    def _before(self, stimulus: Stimulus) -> None:
        match stimulus:
            case LegOffered(leg=leg):
                self.legs[leg] = WalkedLeg(offered=True)
            case LegAnswered(leg=leg):
                truth = self.legs[leg]
                truth.up = not truth.let_go and not truth.over
            case LegReleased(leg=leg):
                self.legs[leg].over, self.legs[leg].up = True, False
            case TimerFired(timer):
                self.timers.pop(timer, None)
            case _:
                pass

    def _do(self, effect: do.Effect, *, first: bool) -> None:
        match effect:
            case do.SetRoutes(_, routes):
                assert first, "routes stand before everything else"
                assert routes != self.routes
                self.routes = routes
            case do.Place(request):
                assert request.leg not in self.legs
                self.legs[request.leg] = WalkedLeg(offered=False)
            case do.Alert(leg, early_media):
                truth = self.legs[leg]
                assert not (early_media and truth.hears_early), "said once"
                truth.hears_early |= early_media
                assert truth.offered
                assert not truth.asked_to_answer
                assert not truth.is_gone
                truth.alerted = True
            case do.Answer(leg):
                truth = self.legs[leg]
                assert not truth.asked_to_answer
                assert not truth.up
                assert not truth.is_gone
                truth.asked_to_answer = True
            case do.Release(leg, _):
                truth = self.legs[leg]
                assert not truth.is_gone, "released twice"
                truth.let_go, truth.up = True, False
            case do.Hold(leg):
                assert self.legs[leg].up
                assert not self.legs[leg].held
                self.legs[leg].held = True
            case do.Resume(leg):
                assert self.legs[leg].up
                self.legs[leg].held = False
            case do.SendDigits(leg, digits):
                assert self.legs[leg].up
                self.legs[leg].digits += digits
            case do.Refer(leg, _):
                assert self.legs[leg].up
            case do.TellTransfer(leg, status):
                assert leg in self.legs
                assert 100 <= status < 700
            case do.StartTimer(timer, after_s):
                assert timer not in self.timers
                self.timers[timer] = after_s
            case do.CancelTimer(timer):
                del self.timers[timer]
            case do.Publish(event):
                self.events.append(event)
            case do.WriteRecord(record):
                self.records.append(record)

    # -- what must always be so -------------------------------------------------------------------

    def check(self) -> None:
        """The machine's view is the truth, and nobody hears what they should not."""
        assert self.routes == routes(self.state)
        assert set(self.timers) == self.state.timers
        assert {leg.id for leg in self.state.legs} == {
            leg for leg, truth in self.legs.items() if not truth.over
        }
        for leg in self.state.legs:
            assert (leg.progress is LegProgress.UP) == self.legs[leg.id].up
            assert (leg.progress is LegProgress.RELEASING) == self.legs[leg.id].let_go
        for route in self.routes:
            assert self.legs[route.sink].listens
            if isinstance(route.source, str):
                source = self.state.leg(route.source)
                assert source is not None
                assert self.legs[source.id].up or source.early_media
        for leg_id in self.legs:
            own = [
                (call, each)
                for call in self.state.calls
                for each in call.connections
                if each.leg == leg_id and each.is_live
            ]
            expected = set[object]().union(*(self._expected(*each) for each in own))
            assert self._heard(leg_id) == expected
            assert sum(each.state is ConnectionState.CONNECTED for _, each in own) <= 1
            if own and self.legs[leg_id].up and not expected:
                assert any(self._may_hear_nothing(*each) for each in own), "left in silence"
            for call, connection in own:
                assert self.state.leg(connection.leg) is not None
                assert not call.is_cleared
                if connection.held_for is not None and not self._has_given_away(call, connection):
                    assert connection.state is ConnectionState.HOLD
                    assert self._is_in(connection, connection.held_for), "left on hold"
            for call, _ in own:
                if call.away is not None:
                    away = self.state.call(call.away)
                    assert away is not None
                    lent = {each.leg for each in call.connections if each.held_for == away.id}
                    assert any(each.is_live and each.leg in lent for each in away.connections), (
                        "lent to nobody"
                    )
        for call in self.state.calls:
            names = [each.id for each in call.connections]
            assert names == list(range(1, len(names) + 1)), "a connection keeps its name"
            if call.is_cleared:
                continue
            parties = sum(each.is_party for each in call.connections)
            assert parties > 1 or call.outcome is not None or not call.is_established, "alone"
            for each in call.connections:
                if each.is_live and each.parked_by is not None:
                    coming = [one for one in call.connections if one.picks_up == each.leg]
                    assert Timer(TimerKind.PARK, each.leg) in self.timers or any(
                        one.is_live for one in coming
                    ), "waits without an end"
                    assert any(
                        one.is_party and one.parked_by is None for one in call.connections
                    ), "nobody waits"
                elif each.is_live and each.picks_up is not None:
                    assert not self.legs[each.leg].up, "has answered and not got it"
                    rings = [one for one in call.connections if one.leg == each.picks_up]
                    states = (ConnectionState.ALERTING, ConnectionState.QUEUED)
                    assert any(one.is_live and one.state in states for one in rings), (
                        "picks up what rings no more"
                    )
                elif each.is_live and not each.is_party:
                    beside = [one for one in call.connections if one.leg == each.beside]
                    assert any(one.is_live for one in beside), "supervises nobody"
        live = [each for call in self.state.calls for each in call.connections if each.is_live]
        kept = {each.leg for each in live}
        for leg in self.state.legs:
            assert leg.id in kept or leg.progress is LegProgress.RELEASING, "a leg nobody needs"

    def _may_hear_nothing(self, call: Call, connection: Connection) -> bool:
        """Its own doing, an answer that is on its way, or others who say nothing."""
        others = [
            each
            for each in call.connections
            if each.is_live and each is not connection and each.parked_by is None
        ]
        if connection.state is not ConnectionState.CONNECTED:
            # Put aside for nothing else, or for somebody to come whom it asked for; or the device
            # has two telephones, and went on at the other one.
            elsewhere = self.state.call(connection.held_for) if connection.held_for else None
            return (
                elsewhere is None
                or self._has_given_away(call, connection)
                or any(
                    each.is_live and are_of_one(each, connection) and each.leg != connection.leg
                    for each in elsewhere.connections
                )
            )
        silent = [each for each in others if each.muted or not each.is_party]
        coming = [each for each in others if not self.legs[each.leg].up and each not in silent]
        return bool(silent or coming)

    def _has_given_away(self, call: Call, connection: Connection) -> bool:
        transfer = call.transfer
        if transfer is None or transfer.leg != connection.leg:
            return False
        return not isinstance(self.transfers[call.id], InterceptCall | LegOffered)

    def _is_in(self, connection: Connection, call_id: CallId) -> bool:
        call = self.state.call(call_id)
        assert call is not None
        return any(each.is_live and are_of_one(each, connection) for each in call.connections)

    def _heard(self, leg: LegId) -> set[object]:
        return {each.source for each in self.routes if each.sink == leg}

    def _expected_of_several(
        self, call: Call, connection: Connection, others: list[Connection], *, parked: bool
    ) -> set[object]:
        """The same where somebody is, was, or was to be transferred, or the call is parked."""
        up = [each for each in others if each.is_live and self.legs[each.leg].up]
        talking: set[object] = {each.leg for each in up if each.state is ConnectionState.CONNECTED}
        target = None if call.transfer is None else call.transfer.target
        for each in others:
            if each.leg != target or not each.is_live or self.legs[each.leg].up:
                continue
            rings = each.state is ConnectionState.ALERTING
            asked = self.state.leg(each.leg)
            assert asked is not None
            if asked.progress is not LegProgress.ANSWERING and (rings or not talking):
                return {each.leg if asked.early_media else Source.RING_BACK}
        if talking:
            return talking
        if any(each.state is ConnectionState.HOLD for each in up) or parked:
            return {Source.MUSIC_ON_HOLD}
        if Timer(TimerKind.FAILURE_TONE, connection.leg, call.id) in self.timers:
            return {Source.BUSY}
        assert any(each.is_live for each in others), "left alone"
        return self._heard(connection.leg)  # an answer is on its way

    def _expected_beside(
        self, call: Call, connection: Connection, others: list[Connection]
    ) -> set[object]:
        """The same where somebody supervises, was called in, or is muted."""
        if call.transfer is not None:
            return self._heard(connection.leg)  # said by `_expected_of_several`
        there = [each for each in others if each.is_live and self.legs[each.leg].up]
        connected = [each for each in there if each.state is ConnectionState.CONNECTED]
        audible: set[object] = {
            each.leg
            for each in connected
            if not each.muted
            and (
                each.participation is Participation.ACTIVE
                or (each.participation is Participation.WHISPER and each.beside == connection.leg)
            )
        }
        if any(each.is_party for each in connected):
            return audible
        holds = any(each.is_party and each.state is ConnectionState.HOLD for each in there)
        parked = any(each.is_live and each.parked_by is not None for each in call.connections)
        if holds or parked:
            return audible | {Source.MUSIC_ON_HOLD}
        for each in others:
            if each.is_live and each.state is ConnectionState.ALERTING:
                rings = self.state.leg(each.leg)
                assert rings is not None
                return audible | {rings.id if rings.early_media else Source.RING_BACK}
        if Timer(TimerKind.FAILURE_TONE, connection.leg, call.id) in self.timers:
            return audible | {Source.BUSY}
        assert any(each.is_party for each in others), "left alone"
        return audible  # an answer is on its way

    def _expected(self, call: Call, connection: Connection) -> set[object]:
        """What a party of a call hears of it, said from its own end."""
        if not connection.is_live or not self.legs[connection.leg].listens:
            return set()
        if connection.state is ConnectionState.HOLD:
            return set()
        # Who picks up, or did not come to it, is as if he were not there.
        others = [
            each
            for each in call.connections
            if each is not connection and each.picks_up is None and each.parked_by is None
        ]
        parked = any(each.is_live and each.parked_by is not None for each in call.connections)
        if any(each.beside is not None or each.muted for each in call.connections):
            return self._expected_beside(call, connection, others)
        if len(others) > 1 or parked:
            return self._expected_of_several(call, connection, others, parked=parked)
        if not others:
            return set()
        (other,) = others
        leg = self.state.leg(other.leg)
        up = other.is_live and self.legs[other.leg].up
        match other.state:
            case ConnectionState.CONNECTED:
                return {other.leg} if up else set()
            case ConnectionState.HOLD:
                return {Source.MUSIC_ON_HOLD} if up else set()
            case ConnectionState.ALERTING:
                assert leg is not None
                return {leg.id if leg.early_media else Source.RING_BACK}
            case ConnectionState.FAIL:
                tone = Timer(TimerKind.FAILURE_TONE, connection.leg, call.id)
                assert tone in self.timers, "busy tone without an end"
                return {Source.BUSY}
            case ConnectionState.NULL | ConnectionState.INITIATED | ConnectionState.QUEUED:
                assert other.is_live, "left alone"
                return set()
