"""From an agent's log to what its page is told: states, and the events in BasicCall's order.

What is true is read from the log, one entry after the other, so a page is told of each thing once
and in its order. What a page has asked is remembered beside it, for BasicCall tells what became of
a command by names of its own: `FinishConsultSucc` where the log says that a connection was cleared.
An event comes before the `StateChange` that it brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from endpoint.agents import events as agent
from endpoint.agents.eventlog import AgentLogEvent
from endpoint.agents.model import AgentState
from endpoint.agents.session import Session
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import CallId, ConnectionState
from endpoint.gateways.basiccall.calls import (
    OF_CALLERS,
    OF_CONSULTS,
    OwnCall,
    Part,
    World,
    state_of,
)
from endpoint.gateways.basiccall.coinfos import HIDDEN, co_infos, shown_text, went_to
from endpoint.gateways.basiccall.frames import SPEvent
from endpoint.gateways.basiccall.names import CommandName as C
from endpoint.gateways.basiccall.names import Control, State
from endpoint.gateways.basiccall.names import EventName as E

_PAIR = (C.CONSULT, C.CONSULT_SWAP, C.CONSULT_SWAP_BACK, C.CONSULT_CONF, C.CONSULT_TRANSFER)
"""Between their beginning and their end calls are in states that nobody wants to see."""
_PAGE_STATES = {
    C.PREPARE_DIAL: (State.DIAL_INPUT, E.PREPARE_DIAL_SUCC),
    C.PREPARE_CALL_INNER: (State.INNER_SELECT, E.PREPARE_CALL_INNER_SUCC),
    C.PREPARE_MONITOR: (State.MONITOR_SELECT, E.PREPARE_MONITOR_SUCC),
}
_PAGE_ENDS = {
    C.CANCEL_PREPARE_DIAL: (State.DIAL_INPUT, E.CANCEL_PREPARE_DIAL_SUCC),
    C.CANCEL_PREPARE_CALL_INNER: (State.INNER_SELECT, E.CANCEL_PREPARE_CALL_INNER_SUCC),
    C.CANCEL_PREPARE_MONITOR: (State.MONITOR_SELECT, E.CANCEL_PREPARE_MONITOR_SUCC),
}
_FAILED = {each: f"{each.value}Failed" for each in C}
_FAILED |= {
    C.MONITOR_AGENT: E.MONITOR_FAILED,
    C.INTERVENE: E.INTERVENE_FAILED,
    C.TRANSFER_TO_IVR: E.TRANSFER_FAILED,
    C.ENCRYPT_DIAL: E.DIAL_FAILED,
}
FAILED: dict[C, E] = {
    command: E(name) for command, name in _FAILED.items() if name in {str(each) for each in E}
}
"""What tells that a command is in vain; of those that are not here the response alone does."""


def failed(command: C, agent: Mapping[str, str], code: str, text: str) -> list[SPEvent]:
    """What tells that a command is in vain; nothing, where the response alone does."""
    name = FAILED.get(command)
    return [] if name is None else [SPEvent(name, agent, code=code, text=text)]


class Fold:
    """One client's view of its agent. Entries go in in their order; what is told comes out."""

    def __init__(
        self,
        session: Session,
        world: World,
        calls: Mapping[CallId, OwnCall] | None = None,
        infos: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`session` and `calls` are as they stand where the log is begun to be read.

        `infos` are what `agentInfos` has beside state and work mode.
        """
        self.device = session.device
        self._world = world
        self._infos = infos
        self._calls = dict(calls or {})
        self._mode = session.mode.code
        self._leaves = session.state is AgentState.NOT_READY and not session.rest.ready
        self._reachable = session.reachable
        self._busy = session.busy
        self._wraps_up = session.wrap_up is not None and not session.busy
        self._logged_on = True
        self._page: State | None = None
        self._asked: set[C] = set()
        self._was_in_call = bool(self._calls)
        self._told = self.state

    def __repr__(self) -> str:
        return f"<Fold {self.device} {self.state.name}>"

    # -- what is so -------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the page shows."""
        if not self._logged_on:
            return State.NULL
        of_calls = state_of(tuple(self._calls.values()))
        if of_calls is not None:
            return of_calls
        if self._busy and self._was_in_call:
            return self._told
        if self._wraps_up:
            return State.WRAPUP
        if self._page is not None:
            return self._page
        if self._leaves:
            return State.LEAVE
        return State.IDLE if self._reachable else State.NO_DEVICE_ONLINE

    @property
    def calls(self) -> tuple[OwnCall, ...]:
        """The calls that the device is in, oldest first."""
        return tuple(self._calls.values())

    @property
    def current(self) -> CallId | None:
        """The call in which the device talks or rings; else the newest."""
        talking = (each.id for each in reversed(self.calls) if not each.holds)
        return next(talking, None) or (self.calls[-1].id if self.calls else None)

    def agent_infos(self) -> dict[str, str]:
        """`agentInfos`: texts, always all of them."""
        return {
            "agentState": str(int(self.state)),
            "agentWorkMode": str(self._mode),
            **self._infos(),
        }

    def opening(self) -> list[SPEvent]:
        """What is told at the log-on."""
        self._told = self.state
        return [
            self._event(E.LOGON_SUCC),
            self._event(E.STATE_CHANGE),
            self._event(E.WORK_MODE_CHANGE),
        ]

    def co_infos(self, call: CallId) -> dict[str, str]:
        """What is told of a call of the device; nothing where it is over."""
        known, facts = self._calls.get(call), self._world.call(call)
        if known is None or facts is None:
            return {}
        return co_infos(call, known.part, facts, self._world)

    # -- what the page asks -----------------------------------------------------------------------

    def prepare(self, command: C) -> list[SPEvent]:
        """The page is about to ask for a number, or no longer: that is between it and us."""
        if command in _PAGE_ENDS:
            state, name = _PAGE_ENDS[command]
            if self._page is not state:
                return self.refuse(command, "wrong_state", "there is nothing to cancel")
            self._page = None
            return [self._event(name), *self._changes()]
        state, name = _PAGE_STATES[command]
        if self.state not in (State.IDLE, State.LEAVE, *(s for s, _ in _PAGE_STATES.values())):
            return self.refuse(command, "wrong_state", "only while there is no call")
        self._page = state
        return [self._event(name), *self._changes()]

    def ask(self, command: C) -> list[SPEvent]:
        """A command was accepted, or is about to be; what it brings comes by the log."""
        self._asked.add(command)
        return []

    def answered(self) -> list[SPEvent]:
        """The page has picked up, and the telephone is being."""
        for call in self._calls.values():
            if call.own is ConnectionState.ALERTING:
                self._put(replace(call, answered=True))
        return [self._event(E.ANSWER_CALL_SUCC), *self._changes()]

    def is_done(self, command: C, name: E) -> list[SPEvent]:
        """It was so already."""
        self._asked.discard(command)
        return [self._event(name)]

    def refuse(self, command: C, code: str, text: str) -> list[SPEvent]:
        """A command is in vain."""
        self._asked.discard(C.DIAL if command is C.ENCRYPT_DIAL else command)
        told = failed(command, self.agent_infos(), code, text)
        if command is C.CONSULT and (first := self._first()) is not None:
            return [replace(each, call=self.co_infos(first)) for each in told]
        return told

    # -- what is told -----------------------------------------------------------------------------

    def heed(self, event: AgentLogEvent) -> list[SPEvent]:
        """What an entry of the log brings."""
        if isinstance(event, agent.AgentEvents):
            names = list(self._heed_agent(event))
        else:
            names = list(self._heed_call(event))
        if self._asked.intersection(_PAIR) and self._is_between():
            return names
        return [*names, *self._changes()]

    def _is_between(self) -> bool:
        """Whether calls are on their way from one state to another."""
        calls = self.calls
        if C.CONSULT in self._asked:
            return len(calls) == 1 and calls[0].holds
        if C.CONSULT_TRANSFER in self._asked:
            return bool(calls)
        if C.CONSULT_CONF in self._asked:
            return bool(calls) and calls[0].conference is None
        return all(each.holds for each in calls)

    def _changes(self) -> list[SPEvent]:
        if self.state is self._told:
            return []
        self._told = self.state
        return [self._event(E.STATE_CHANGE)]

    def _event(
        self,
        name: E,
        *,
        call: CallId | None = None,
        code: str = "",
        text: str = "",
        params: Mapping[str, str] | None = None,
    ) -> SPEvent:
        infos = self.agent_infos()
        co = {} if call is None else self.co_infos(call)
        return SPEvent(name, infos, co, params or {}, code, text)

    # -- of the agent -----------------------------------------------------------------------------

    def _heed_agent(self, event: agent.AgentEvents) -> Iterator[SPEvent]:
        match event:
            case agent.AgentLoggedOff():
                self._calls.clear()
                yield from self._left_calls()
                self._logged_on = False
                if event.cause is agent.LogOffCause.FORCED:
                    yield self._controlled(Control.LOG_OFF, event)
                yield self._event(E.LOGOFF_SUCC)
            case agent.OwnerReplaced():
                yield self._event(E.WEB_SOCKET_REPLACED)
            case agent.WorkModeChanged():
                self._mode = event.mode
                if event.by is not None:
                    yield self._controlled(Control.WORK_MODE, event, str(event.mode))
                yield self._event(E.SET_WORK_MODE_SUCC)
                yield self._event(E.WORK_MODE_CHANGE)
            case agent.StationLost() | agent.StationReturned():
                self._reachable = isinstance(event, agent.StationReturned)
            case agent.AgentBusy():
                self._busy, self._page = True, None
                self._was_in_call = self._was_in_call or bool(self._calls)
                self._wraps_up = False
            case agent.AgentWorkingAfterCall() | agent.AgentReady() | agent.AgentNotReady():
                yield from self._is_idle(event)
            case agent.AgentPendingState() if not self._busy:
                left, self._leaves = self._leaves, not event.ready
                if event.by is not None and self._leaves is not left:
                    yield self._controlled(_rest(left=self._leaves), event)
                yield from self._left_or_is_back(left)
            case agent.AgentPendingState():
                # It comes when the call is over; told of a log-off, pages let go of the telephone.
                if event.by is not None and not event.logs_off:
                    yield self._controlled(_rest(left=not event.ready), event)
            case agent.AgentLoggedOn():
                pass  # who is told this log has logged on already

    def _is_idle(
        self, event: agent.AgentWorkingAfterCall | agent.AgentReady | agent.AgentNotReady
    ) -> Iterator[SPEvent]:
        left, was_busy = self._leaves, self._busy
        self._busy = False
        if isinstance(event, agent.AgentWorkingAfterCall):
            self._wraps_up = True
            yield from self._left_calls()
            return
        was_wrapping, self._wraps_up = self._wraps_up, False
        self._leaves = isinstance(event, agent.AgentNotReady) and not event.wants_calls
        yield from self._left_calls()
        if event.by is not None and not was_busy:  # else that was told in the call
            if self._leaves is not left:
                yield self._controlled(_rest(left=self._leaves), event)
            elif was_wrapping:
                yield self._controlled(Control.FINISH_WRAPUP, event)
        if was_wrapping:
            self._asked.discard(C.FINISH_WRAPUP)
            yield self._event(E.FINISH_WRAPUP_SUCC)
        yield from self._left_or_is_back(left)

    def _left_or_is_back(self, left: bool) -> Iterator[SPEvent]:
        """`left`: whether it had before."""
        if self._leaves is left and C.LEAVE not in self._asked and C.RESUME_WORK not in self._asked:
            return
        self._asked -= {C.LEAVE, C.RESUME_WORK}
        yield self._event(E.LEAVE_SUCC if self._leaves else E.RESUME_WORK_SUCC)

    def _left_calls(self) -> Iterator[SPEvent]:
        """The device is in no call any more."""
        if self._calls or not self._was_in_call:
            return
        self._was_in_call = False
        if C.DROP_CALL in self._asked:
            yield self._event(E.DROP_CALL_SUCC)
        if C.DROP_CONF in self._asked:
            yield self._event(E.DROP_CONF_SUCC)
        yield self._event(E.DEV_DISCONNECTED)
        self._asked.clear()

    def _controlled(self, control: Control, event: agent.AgentEvent, extra: str = "") -> SPEvent:
        """A supervisor, whom it names, had it so. It is misspelt in BasicCall's script too."""
        params = {
            "destSPName": "" if event.by is None else self._world.name_of(event.by),
            "controlType": str(control),
            "extraControlParam": extra,
        }
        return self._event(E.MONITOR_CONTROLED, params=params)

    # -- of its calls -----------------------------------------------------------------------------

    def _put(self, call: OwnCall) -> None:
        self._calls[call.id] = call
        self._was_in_call = True
        self._page = None

    def _is_own(self, event: told.CallEvent) -> bool:
        return event.device == self.device and not event.from_outside

    def _look(self, event: told.CallEvent) -> OwnCall:
        """How a call of the device stands by this event.

        What events tell is as they have told it, as they may be read late; all else is as a page
        would find it that is loaded anew.
        """
        known, own = self._calls.get(event.call), self._is_own(event)
        calls = self._world.own_calls(self.device)
        now = calls.get(event.call) or known
        if now is None:  # it is over meanwhile
            ours = self._world.is_ours(event.calling)
            now = OwnCall(event.call, Part.INNER_CALLED if ours else Part.CALLED, event.state)
        dials = own and isinstance(event, told.ServiceInitiated) and now.part in OF_CALLERS
        before = now if known is None else known
        now = replace(
            now,
            own=event.state if own else before.own,
            established=before.established and not dials,
            transferring=before.transferring,
            verifies=before.verifies or (isinstance(event, told.Held) and now.verifies),
        )
        self._put(now)
        self._arrange(calls)
        return now

    def _arrange(self, now: Mapping[CallId, OwnCall]) -> None:
        """Oldest first; and what depends on its other calls: who consults may have left one.

        Not while that one is over, and it was not told yet.
        """
        if self._calls.keys() <= now.keys():
            self._calls = {
                call: replace(self._calls[call], part=each.part)
                for call, each in now.items()
                if call in self._calls
            }

    def _heed_call(self, event: told.CallEvents) -> Iterator[SPEvent]:
        if self._is_own(event):
            yield from self._heed_own(event)
        elif (call := self._calls.get(event.call)) is not None:
            yield from self._heed_other(event, call)

    def _heed_own(self, event: told.CallEvents) -> Iterator[SPEvent]:
        call = self._calls.get(event.call)
        match event:
            case told.ServiceInitiated():
                yield from self._begins(event)
            case told.Delivered():
                self._look(event)
                yield self._event(E.CALL_ARRIVE, call=event.call)
            case told.Established():
                self._put(replace(self._look(event), established=True))
                if call is None:
                    yield self._event(E.CALL_ARRIVE, call=event.call)
                if call is None or not call.talks:
                    yield self._event(E.DEV_CONNECTED, call=event.call)
            case told.Conferenced():
                yield from self._confers(event)
            case told.Joined():
                yield from self._joins(event, call)
            case told.ConnectionCleared() | told.Failed() | told.Diverted() | told.CallCleared():
                if call is not None:
                    yield from self._leaves_call(event, call)
            case told.Originated():
                self._look(event)  # also where it is lent to somebody by that
            case _ if call is not None:
                yield from self._goes_on(event, self._look(event))
            case _:
                pass

    def _begins(self, event: told.ServiceInitiated) -> Iterator[SPEvent]:
        """Its telephone is called for a call that it makes, listens to, picks up or takes over."""
        call = self._look(event)
        match call.part:
            case Part.MONITORS:
                if C.MONITOR_AGENT in self._asked:
                    yield self._event(E.MONITOR_BEGIN)
            case Part.CONSULTS | Part.CALLS_OUT:
                self._asked.discard(C.CONSULT)
                yield self._event(E.CONSULT_START, call=event.call)
            case Part.DIALLED | Part.INNER_DIALLED:
                self._asked -= {C.DIAL, C.CALL_INNER}
                is_inner = call.part is Part.INNER_DIALLED
                name = E.CALL_INNER_BEGIN if is_inner else E.DIAL_BEGIN
                yield self._event(name, call=event.call)
            case Part.CALLED | Part.INNER_CALLED | Part.CONSULTED:
                yield self._event(E.CALL_ARRIVE, call=event.call)

    def _goes_on(self, event: told.CallEvents, call: OwnCall) -> Iterator[SPEvent]:
        """What is told of the device's own connection in a call that it stays in."""
        match event:
            case told.Held():
                if not self._asked.intersection(_PAIR):
                    yield self._event(E.HOLD_SUCC)
            case told.Retrieved():
                yield from self._is_back()
            case told.Transferring():
                facts = self._world.call(call.id)
                if facts is not None and facts.is_taken:
                    return
                self._put(replace(call, transferring=True))
                if C.TRANSFER_TO_IVR in self._asked:
                    yield self._event(E.TRANSFER_BEGIN)
                elif C.CONSULT_TRANSFER not in self._asked:
                    yield self._event(E.ONE_STEP_TRANSFER_BEGIN)
            case told.Transferred() if call.transferring:
                name, _ = self._transfer()
                passed = self._event(name, call=call.id)
                went = went_to(event.transferred_to, self._world.call(call.id), self._world)
                yield replace(passed, call={**passed.call, **went})
                self._asked -= {C.TRANSFER_TO_IVR, C.ONE_STEP_TRANSFER}
            case told.TransferFailed() if call.transferring:
                self._put(replace(call, transferring=False))
                _, name = self._transfer()
                code = str(event.cause or "failed")
                yield self._event(name, code=code, text=self._text(event))
                self._asked -= {C.TRANSFER_TO_IVR, C.CONSULT_TRANSFER, C.ONE_STEP_TRANSFER}
            case _:
                pass

    def _is_back(self) -> Iterator[SPEvent]:
        """The device has taken a call back."""
        if C.CONSULT_SWAP in self._asked or C.CONSULT_SWAP_BACK in self._asked:
            asked = C.CONSULT_SWAP in self._asked
            self._asked -= {C.CONSULT_SWAP, C.CONSULT_SWAP_BACK}
            yield self._event(E.CONSULT_SWAP_SUCC if asked else E.CONSULT_SWAP_BACK_SUCC)
        elif len(self._calls) == 1:
            yield self._event(E.FETCH_HOLD_SUCC)
            self._asked.discard(C.FETCH_HOLD)

    def _transfer(self) -> tuple[E, E]:
        if C.TRANSFER_TO_IVR in self._asked:
            return E.TRANSFER_SUCC, E.TRANSFER_FAILED
        if C.CONSULT_TRANSFER in self._asked:
            return E.CONSULT_TRANSFER_SUCC, E.CONSULT_TRANSFER_FAILED
        return E.ONE_STEP_TRANSFER_SUCC, E.ONE_STEP_TRANSFER_FAILED

    def _confers(self, event: told.Conferenced) -> Iterator[SPEvent]:
        self._calls.pop(event.secondary, None)
        self._put(replace(self._look(event), established=True))
        self._asked.discard(C.CONSULT_CONF)
        if event.conferencing == self.device:
            yield self._event(E.CONSULT_CONF_SUCC)

    def _joins(self, event: told.Joined, known: OwnCall | None) -> Iterator[SPEvent]:
        call = replace(self._look(event), established=True)
        self._put(call)
        if known is not None and known.part is not Part.MONITORS and not known.talks:
            yield self._event(E.DEV_CONNECTED, call=call.id)  # a party has called it in
        elif call.part is not Part.MONITORS:
            yield self._event(E.INTERCEPT_SUCC, call=call.id)
        else:
            yield self._event(E.INTERVENE_SUCC if call.intervenes else E.MONITOR_SUCC)
        self._asked -= {C.MONITOR_AGENT, C.INTERVENE, C.INTERCEPT}

    def _leaves_call(self, event: told.CallEvents, call: OwnCall) -> Iterator[SPEvent]:
        """The device is in this call no more."""
        del self._calls[call.id]
        self._arrange(self._world.own_calls(self.device))
        if call.verifies:
            self._asked.discard(C.TRANSFER_TO_IVR)
            yield self._event(E.WAIT_CALL_OVER)
        match call.part:
            case Part.CONSULTS | Part.CALLS_OUT if self._calls:
                yield from self._consult_is_over(call)
            case Part.MONITORS:
                yield from self._monitor_is_over(event, call)
            case Part.CONSULTED:
                yield self._event(E.CONSULTED_OVER)
            case _ if not call.talks:
                if C.CANCEL_DIAL in self._asked:
                    yield self._event(E.CANCEL_DIAL_SUCC)
                if C.CANCEL_CALL_INNER in self._asked:
                    yield self._event(E.CANCEL_CALL_INNER_SUCC)
                if isinstance(event, told.Failed) and call.part in _FAILS:
                    yield self._dial_failed(call, event)
            case _:
                pass

    def _consult_is_over(self, call: OwnCall) -> Iterator[SPEvent]:
        is_over = call.established or C.CANCEL_CONSULT in self._asked
        for command, name in (
            (C.FINISH_CONSULT, E.FINISH_CONSULT_SUCC),
            (C.CANCEL_CONSULT, E.CANCEL_CONSULT_SUCC),
        ):
            if command in self._asked:
                self._asked.discard(command)
                yield self._event(name)
        if is_over and not self._asked.intersection((C.CONSULT_CONF, C.CONSULT_TRANSFER)):
            yield self._event(E.CONSULT_OVER, call=self._first())

    def _first(self) -> CallId | None:
        """The call beside which somebody is consulted: the page is to have its data again."""
        return next((each.id for each in self.calls if each.part not in OF_CONSULTS), None)

    def _monitor_is_over(self, event: told.CallEvents, call: OwnCall) -> Iterator[SPEvent]:
        if isinstance(event, told.Failed) or not call.talks:
            code = str(event.cause or "failed")
            yield self._event(E.MONITOR_FAILED, code=code, text=event.text)
        if C.FORCE_DROP in self._asked:
            yield self._event(E.FORCE_DROP_SUCC)
        elif call.talks:
            yield self._event(E.FINISH_MONITOR_SUCC)

    def _heed_other(self, event: told.CallEvents, known: OwnCall) -> Iterator[SPEvent]:
        """What is told of the others in a call of the device."""
        if isinstance(event, told.CallCleared):
            yield from self._leaves_call(event, known)
            return
        call = self._look(event)
        match event:
            case told.Established() if not call.established:
                self._put(replace(call, established=True))
                if call.part in _SUCCEEDS:
                    yield self._event(_SUCCEEDS[call.part], call=call.id)
            case told.Failed() if not call.established and call.part in _FAILS:
                yield self._dial_failed(call, event)
            case told.Held() if C.TRANSFER_TO_IVR in self._asked and not call.transferring:
                self._put(replace(call, verifies=True))
                yield self._event(E.TRANSFER_BEGIN)
            case told.Retrieved() if call.verifies:
                self._put(replace(call, verifies=False))
                yield self._customer_is_back(call)
            case told.ConnectionCleared() if known.conference is not None:
                if call.conference is None and call.talks:
                    yield self._event(E.CONF_OVER)
            case _:
                pass

    def _customer_is_back(self, call: OwnCall) -> SPEvent:
        """From an IVR, that need not have been there."""
        asked, facts = C.CANCEL_WAIT in self._asked, self._world.call(call.id)
        self._asked -= {C.CANCEL_WAIT, C.TRANSFER_TO_IVR}
        if asked:
            return self._event(E.CANCEL_WAIT_SUCC, call=call.id)
        if facts is not None and facts.lent_in_vain:
            return self._event(E.TRANSFER_FAILED, call=call.id, code=facts.lent_in_vain)
        return self._event(E.IVR_CHECK_RETURN, call=call.id)

    def _text(self, event: told.CallEvent) -> str:
        """Why something failed, as it may be shown."""
        facts = self._world.call(event.call)
        return shown_text(event.text) if facts is None or HIDDEN in facts.data else event.text

    def _dial_failed(self, call: OwnCall, event: told.CallEvent) -> SPEvent:
        name, code = _FAILS.get(call.part, E.DIAL_FAILED), str(event.cause or "failed")
        of = self._first() if call.part in OF_CONSULTS else call.id
        return self._event(name, call=of, code=code, text=self._text(event))


def _rest(*, left: bool) -> Control:
    return Control.LEAVE if left else Control.RESUME


_SUCCEEDS = {
    Part.DIALLED: E.DIAL_SUCC,
    Part.INNER_DIALLED: E.CALL_INNER_SUCC,
    Part.CONSULTS: E.CONSULT_SUCC,
    Part.CALLS_OUT: E.CONSULT_SUCC,
}
_FAILS = {
    Part.DIALLED: E.DIAL_FAILED,
    Part.INNER_DIALLED: E.CALL_INNER_FAILED,
    Part.CONSULTS: E.CONSULT_FAILED,
    Part.CALLS_OUT: E.CONSULT_FAILED,
}
