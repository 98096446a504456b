"""What a page asks, done: by the roster where it is about the agent, by call control for calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from endpoint.agents import session as agents
from endpoint.agents.events import LogOffCause
from endpoint.agents.model import AgentId, BasicMode, WorkMode
from endpoint.app.basiccall.centre import MESSAGES, Centre
from endpoint.callcontrol import commands as do
from endpoint.callcontrol.model import CallId, ConnectionState, Participation
from endpoint.errors import CommandRejected
from endpoint.gateways.basiccall import requests as wire
from endpoint.gateways.basiccall.calls import OF_CONSULTS
from endpoint.gateways.basiccall.coinfos import HIDDEN, shown_text
from endpoint.gateways.basiccall.fold import Fold
from endpoint.gateways.basiccall.frames import SPEvent
from endpoint.gateways.basiccall.names import CommandName as C
from endpoint.gateways.basiccall.names import Control, Destination, State
from endpoint.gateways.basiccall.names import EventName as E
from endpoint.gateways.basiccall.settings import UnknownReason
from endpoint.legs.base import DeviceId

Told = list[SPEvent]
"""What is told at once; the rest comes by the log."""


def rejected(reason: str, text: str) -> CommandRejected:
    """It can't be done."""
    return CommandRejected(reason, text)


@dataclass(slots=True)
class Commands:
    """Of one agent that is logged on."""

    centre: Centre
    agent: AgentId
    device: DeviceId
    fold: Fold

    async def carry_out(self, name: C, request: wire.Request) -> Told:
        """Have a command done. Raises CommandRejected."""
        match request:
            case wire.Plain():
                return await self._plain(name)
            case wire.SetWorkMode(mode):
                return await self._set_work_mode(mode)
            case wire.Leave(reason):
                try:
                    code = self.centre.reasons.code(reason)
                except UnknownReason as error:
                    raise rejected("unknown_reason", str(error)) from None
                return await self._ask(name, agents.SetNotReady(code))
            case wire.Dial():
                return await self._dial(request)
            case wire.Consult(kind, to) | wire.CallInner(kind, to):
                return await self._call(name, kind, to)
            case wire.MonitorAgent(kind, to):
                return await self._monitor(self._device_of(to, kind))
            case wire.MonitorControl():
                return await self._control(request)
            case wire.RefreshAgentList(kind):
                found = self.centre.list_for(self.agent, self.device, kind)
                return [self._event(E.REFRESH_AGENT_LIST_SUCC, {"agentList": found})]
            case wire.SendMessage(to, text):
                return self._send_message(to, text)
            case wire.OneStepTransfer():
                return await self._one_step(request)
            case wire.TransferToIvr():
                return await self._to_ivr(request)
            case _:
                raise rejected("invalid_state", f"{name} is not for who is logged on")

    # -- of the agent -----------------------------------------------------------------------------

    async def _ask(self, name: C, what: agents.AgentCommand) -> Told:
        """Of the roster, in the agent's own name."""
        told, before = self.fold.ask(name), self.centre.roster.session(self.agent)
        await self.centre.roster.command(self.agent, what)
        is_same = before == self.centre.roster.session(self.agent)
        if is_same and before is not None and not before.busy and name in _ARE_SO:
            return self.fold.is_done(name, _ARE_SO[name])
        return told

    async def _set_work_mode(self, code: int) -> Told:
        before = self._session().mode
        mode = self.centre.roster.work_mode(code)
        told = await self._ask(C.SET_WORK_MODE, agents.SetWorkMode(mode))
        await self._follow_mode(before, self.agent)
        return told

    async def _follow_mode(self, before: WorkMode, agent: AgentId) -> None:
        """Who is in the mode of being away now leaves too, where the centre has it so."""
        session, away = self.centre.roster.session(agent), BasicMode.LEAVE
        if session is None or not self.centre.parameters.leave_mode_sync:
            return
        what: agents.AgentCommand
        if session.mode.basic is away:
            name, what = C.LEAVE, agents.SetNotReady()
        elif before.basic is away:
            name, what = C.RESUME_WORK, agents.SetReady(anyway=True)
        else:
            return
        if agent == self.agent:
            await self._ask(name, what)
        else:
            await self.centre.roster.command(agent, what, by=self.agent)

    def _session(self) -> agents.Session:
        session = self.centre.roster.session(self.agent)
        if session is None:
            raise rejected("not_logged_on", f"agent {self.agent} is not logged on")
        return session

    async def _control(self, request: wire.MonitorControl) -> Told:
        """Make another agent do something."""
        other = self._agent_of(request.to)
        known = self.centre.roster.directory
        own, target = known.agent(self.agent), known.agent(other)
        session = self.centre.roster.session(other)
        if own is None or target is None or session is None:
            raise rejected("not_logged_on", f"agent {other} is not logged on")
        if not self.centre.may_supervise(own, self.device, target, session.device):
            raise rejected("not_permitted", f"{self.agent} does not supervise agent {other}")
        await self.centre.roster.command(other, self._controlled(request), by=self.agent)
        if request.control is Control.WORK_MODE:
            await self._follow_mode(session.mode, other)
        params = {
            "destSPName": self.centre.name_of(other),
            "controlType": str(request.control),
            "extraControlParam": request.extra,
        }
        return [self._event(E.MONITOR_CONTROL_SUCC, params)]

    def _controlled(self, request: wire.MonitorControl) -> agents.AgentCommand:
        match request.control:
            case Control.LOG_OFF:
                return agents.LogOff(LogOffCause.FORCED)
            case Control.LEAVE:
                return agents.SetNotReady()
            case Control.RESUME:
                return agents.SetReady(anyway=True)
            case Control.FINISH_WRAPUP:
                return agents.FinishWrapUp()
            case Control.WORK_MODE:
                extra = request.extra.strip()
                if not (extra.removeprefix("-").isdecimal() and extra.isascii()):
                    why = f"extraControlParam: found {extra[:20]!r}, expected a work mode as 0"
                    raise rejected("unknown_mode", why)
                return agents.SetWorkMode(
                    self.centre.roster.work_mode(int(extra[:6]), by=self.agent)
                )

    def _send_message(self, to: str, text: str) -> Told:
        """To another agent's page, if that is there."""
        now, other = asyncio.get_running_loop().time(), self._agent_of(to)
        own = self.centre.roster.directory.agent(self.agent)
        holder = self.centre.holders.get(other)
        if self.centre.messages.wait_s(self.agent, now):
            raise rejected("too_many_messages", f"{MESSAGES} a minute at most; wait a little")
        self.centre.messages.count(self.agent, now)
        said = {
            "agentId": self.agent,
            "agentName": "" if own is None else own.name,
            "ins": self.device,
            "message": text,
            "time": datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        }
        event = SPEvent(E.AGENT_MESSAGE, params=said)
        if other == self.agent or holder is None or not holder.be_told(event):
            raise rejected("not_logged_on", f"agent {to} has no page here that is logged on")
        return [self._event(E.SEND_AGENT_MESSAGE_SUCC, {"destSPIns": to})]

    def _agent_of(self, ins: str) -> AgentId:
        """Who works there, or has that number."""
        at = self.centre.roster.agent_at(DeviceId(ins))
        return at.id if at is not None else AgentId(ins)

    def _device_of(self, ins: str, kind: Destination = Destination.AGENT) -> DeviceId:
        """Where a colleague works: by the device, or by his number.

        An agent is meant by his number also where an IVR has it as its code.
        """
        device = DeviceId(ins)
        if kind is Destination.EXTENSION and ins in self.centre.directory:
            return device
        if self.centre.roster.agent_at(device) is not None:
            return device
        session = self.centre.roster.session(AgentId(ins))
        return device if session is None else session.device

    # -- of calls ---------------------------------------------------------------------------------

    async def _submit(self, name: C, command: do.Command) -> Told:
        told = self.fold.ask(name)
        accepted = await self.centre.controller.submit(command)
        if isinstance(command, do.MakeCall | do.AnswerCall):
            self.centre.note(self.device, accepted.call, name)
        return told

    async def _plain(self, name: C) -> Told:
        by_roster: dict[C, agents.AgentCommand] = {
            C.RESUME_WORK: agents.SetReady(anyway=True),
            C.FINISH_WRAPUP: agents.FinishWrapUp(),
            C.LOGOFF: agents.LogOff(),
        }
        if name in by_roster:
            return await self._ask(name, by_roster[name])
        if name is C.CANCEL_PREPARE_MONITOR and self.fold.calls:
            name = C.FINISH_MONITOR  # its own telephone is being called already
        if name in _OF_THE_PAGE:
            return self.fold.prepare(name)
        expected = _ONLY_IN.get(name)
        if expected is not None and self.fold.state not in expected:
            states = ", ".join(str(int(each)) for each in sorted(expected))
            why = f"{name} is for who is in state {states}; this is {int(self.fold.state)}"
            raise rejected("invalid_state", why)
        done: dict[C, Callable[[], Awaitable[Told]]] = {
            C.ANSWER_CALL: self._answer,
            C.HOLD: self._hold,
            C.FETCH_HOLD: self._fetch_hold,
            C.CONSULT_SWAP: lambda: self._swap(name, back=False),
            C.CONSULT_SWAP_BACK: lambda: self._swap(name, back=True),
            C.DROP_CONF: self._drop_conference,
        }
        if name in done:
            return await done[name]()
        commands: dict[C, Callable[[], do.Command]] = {
            C.CANCEL_DIAL: self._give_up,
            C.CANCEL_CALL_INNER: self._give_up,
            C.DROP_CALL: self._clear,
            C.FINISH_MONITOR: self._clear,
            C.INTERVENE: lambda: self._supervise(name),
            C.INTERCEPT: lambda: self._supervise(name),
            C.FORCE_DROP: lambda: self._supervise(name),
            C.CANCEL_CONSULT: lambda: do.ReconnectCall(self.device),
            C.FINISH_CONSULT: lambda: do.ReconnectCall(self.device),
            C.CANCEL_WAIT: lambda: do.ReconnectCall(self.device),
            C.CONSULT_TRANSFER: lambda: do.TransferCall(self.device),
            C.CONSULT_CONF: lambda: do.ConferenceCall(self.device),
        }
        return await self._submit(name, commands[name]())

    def _clear(self) -> do.Command:
        return do.ClearConnection(self.device, self.fold.current)

    def _give_up(self) -> do.Command:
        """Of a call that nobody has answered: that one has may not have been told here yet."""
        for call in self.centre.world.own_calls(self.device).values():
            if not call.established and call.own is not ConnectionState.ALERTING:
                return do.ClearConnection(self.device, call.id)
        raise rejected("invalid_state", "somebody has answered")

    async def _answer(self) -> Told:
        await self._submit(C.ANSWER_CALL, do.AnswerCall(self.device, self.fold.current))
        return self.fold.answered()

    async def _hold(self) -> Told:
        if self.fold.state in (State.HOLD, State.INNER_HOLD):
            return self.fold.is_done(C.HOLD, E.HOLD_SUCC)
        return await self._submit(C.HOLD, do.HoldCall(self.device, self.fold.current))

    async def _fetch_hold(self) -> Told:
        """Where the call is back already, as it is after a consultation, that is what was asked."""
        if self.fold.state in (State.TALK, State.INNER_TALK):
            return self.fold.is_done(C.FETCH_HOLD, E.FETCH_HOLD_SUCC)
        held = next((each.id for each in self.fold.calls if each.holds), None)
        return await self._submit(C.FETCH_HOLD, do.RetrieveCall(self.device, held))

    async def _swap(self, name: C, *, back: bool) -> Told:
        is_out = self.fold.state in (State.TALK_CONSULT_HOLD, State.TALK_HOLD)
        if is_out is not back:
            raise rejected("invalid_state", "the calls are the other way round already")
        return await self._submit(name, do.AlternateCall(self.device))

    async def _drop_conference(self) -> Told:
        """Who has made it ends it for all; who came in later leaves it."""
        call = self.fold.current
        is_own = self.fold.state in (State.CONSULT_CONF, State.CALLOUT_CONF)
        ends: do.Command = (
            do.ClearCall(self.device, call) if is_own else do.ClearConnection(self.device, call)
        )
        return await self._submit(C.DROP_CONF, ends)

    async def _monitor(self, other: DeviceId) -> Told:
        """The call in which another one talks, where it has put another aside."""
        calls = self.centre.controller.whereabouts.connections_of(other)
        talks = (call.id for _, call, at in calls if at.state is ConnectionState.CONNECTED)
        return await self._submit(
            C.MONITOR_AGENT, do.JoinCall(self.device, other, call=next(talks, None))
        )

    def _supervise(self, name: C) -> do.Command:
        """Of whom it listens to, in the call in which it does."""
        for _, call, own in self.centre.controller.whereabouts.connections_of(self.device):
            beside = None if own.beside is None else call.connection_by(own.beside)
            if beside is None or beside.device is None:
                continue
            if name is C.INTERVENE:
                return do.JoinCall(self.device, beside.device, Participation.ACTIVE, call.id)
            if name is C.INTERCEPT:
                return do.InterceptCall(self.device, beside.device, call.id)
            return do.ClearConnection(self.device, call.id, beside.id)
        raise rejected("invalid_state", "there is nobody whom you listen to")

    async def _dial(self, request: wire.Dial) -> Told:
        mode = request.encryption
        if mode not in ("", "0", "1", "2", "3"):
            why = f"encryptMode: found {mode[:20]!r}, expected 1, 2 or 3, or nothing"
            raise rejected("bad_field", why)
        number = request.prefix + self.centre.keys.number(mode, request.number)
        data = {HIDDEN: mode} if mode in ("1", "2", "3") else {}
        command = do.MakeCall(self.device, number, calling_number=request.ani, data=data)
        try:
            return await self._submit(C.DIAL, command)
        except CommandRejected as refused:
            why = shown_text(str(refused)) if data else str(refused)
            raise rejected(refused.reason, why) from None

    async def _call(self, name: C, kind: Destination, to: str) -> Told:
        number = to if kind is Destination.OUTSIDE else self._device_of(to, kind)
        if name is C.CALL_INNER:
            return await self._submit(name, do.MakeCall(self.device, number))
        held = next((each.id for each in self.fold.calls if each.part not in OF_CONSULTS), None)
        return await self._submit(name, do.ConsultationCall(self.device, number, held))

    async def _one_step(self, request: wire.OneStepTransfer) -> Told:
        to = request.to
        if request.kind in (Destination.AGENT, Destination.EXTENSION):
            to = self._device_of(to, request.kind)
        elif request.kind is Destination.SKILL and to not in self.centre.directory:
            why = f"no call can be sent to {to}: let an [[ivr]] with that code put it into a queue"
            raise rejected("unknown_device", why)
        call = await self._with_data(request.data)
        return await self._submit(C.ONE_STEP_TRANSFER, do.SingleStepTransfer(self.device, to, call))

    async def _to_ivr(self, request: wire.TransferToIvr) -> Told:
        call = await self._with_data(request.data)
        command: do.Command = (
            do.LendCall(self.device, request.code, call)
            if request.checks_password
            else do.SingleStepTransfer(self.device, request.code, call)
        )
        return await self._submit(C.TRANSFER_TO_IVR, command)

    async def _with_data(self, data: Mapping[str, str]) -> CallId | None:
        """The call, with what goes with it from now on."""
        call = self.fold.current
        if data:
            command = do.AssociateData(self.device, data, call)
            await self.centre.controller.submit(command)
        return call

    def _event(self, name: E, params: dict[str, str]) -> SPEvent:
        return SPEvent(name, self.fold.agent_infos(), params=params)


_ARE_SO = {
    C.SET_WORK_MODE: E.SET_WORK_MODE_SUCC,
    C.LEAVE: E.LEAVE_SUCC,
    C.RESUME_WORK: E.RESUME_WORK_SUCC,
}
"""What is asked for and was so already: the log tells nothing of it, but whoever asks waits."""
_DIALS = frozenset({State.DIALING, State.INNER_ALERTING})
_CONSULTS = frozenset(
    {
        *(State.HOLD_CONSULT_RINGING, State.HOLD_CONSULT, State.TALK_CONSULT_HOLD),
        *(State.HOLD_CALLING, State.HOLD_TALK, State.TALK_HOLD),
    }
)
_LISTENS = frozenset({State.MONITORING, State.INTERVENE_CONF})
_ONLY_IN: dict[C, frozenset[State]] = {
    C.CANCEL_DIAL: _DIALS,
    C.CANCEL_CALL_INNER: _DIALS,
    C.CANCEL_CONSULT: _CONSULTS,
    C.FINISH_CONSULT: _CONSULTS,
    C.CANCEL_WAIT: frozenset({State.IVR_VERIFY}),
    C.DROP_CONF: frozenset(
        {State.CONSULT_CONF, State.CALLOUT_CONF, State.SLAVE_CONF, State.INTERVENE_CONF}
    ),
    C.FINISH_MONITOR: _LISTENS | {State.MONITOR_SELECT},
    C.INTERVENE: _LISTENS,
    C.INTERCEPT: _LISTENS,
    C.FORCE_DROP: frozenset({State.MONITORING}),
}
"""Commands that end something: where there is that. They would end something else."""
_OF_THE_PAGE = frozenset(
    {
        *(C.PREPARE_DIAL, C.CANCEL_PREPARE_DIAL),
        *(C.PREPARE_CALL_INNER, C.CANCEL_PREPARE_CALL_INNER),
        *(C.PREPARE_MONITOR, C.CANCEL_PREPARE_MONITOR),
    }
)
