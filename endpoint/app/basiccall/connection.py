"""One page: from its Init to its end, whoever its agent is and whether that is logged on.

Commands are taken one by one, and what the log tells is told between them: so a response comes
before the events that its command brings. A page that was replaced stays connected, and has
nothing to say any more, until it begins anew.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from endpoint.agents.events import AgentLoggedOff
from endpoint.agents.logon import LogOn, LogOnRefused, Refusal
from endpoint.agents.model import AgentId
from endpoint.agents.ownership import Liveness, new_delegator_id
from endpoint.agents.place import Attachment
from endpoint.agents.roster import LoggedOn
from endpoint.agents.session import Session
from endpoint.app.basiccall.centre import Centre
from endpoint.app.basiccall.commands import Commands
from endpoint.app.basiccall.proof import Proof, is_same
from endpoint.callcontrol.feed import EventsMissed
from endpoint.errors import CommandRejected, StorageError
from endpoint.gateways.basiccall import requests as wire
from endpoint.gateways.basiccall.fold import failed
from endpoint.gateways.basiccall.frames import BadFrame, SPCommand, SPEvent, SPResponse, decode
from endpoint.gateways.basiccall.names import KEEP_LOGON, ErrorCode, State
from endpoint.gateways.basiccall.names import CommandName as C
from endpoint.gateways.basiccall.names import EventName as E
from endpoint.gateways.basiccall.queuelist import ListedCall, queue_list
from endpoint.gateways.basiccall.settings import is_remote
from endpoint.legs.base import DeviceId

log = structlog.get_logger(__name__)

Send = Callable[[str], Awaitable[None]]


_NOT_PROVEN = (Refusal.UNKNOWN_AGENT, Refusal.WRONG_PASSWORD)
_OF_THE_PAGE_ITSELF = (C.CHECK_WEB_SOCKET, C.INIT, C.LOGON, C.WS_HELLO, C.SET_FUNCTION_SWITCH)


class _ReplacedMeanwhile(Exception):
    """A page has taken an agent over, and another one has since."""


class Connection:
    """A page's. `take` its frames, and `leave` when it is gone."""

    def __init__(
        self, centre: Centre, proof: Proof, source: str, send: Send, tasks: asyncio.TaskGroup
    ) -> None:
        self._centre = centre
        self._proof = proof
        self._source = source
        self._send = send
        self._tasks = tasks
        self._turn = asyncio.Lock()
        self._agent: AgentId | None = None
        """Of its Init; none before, and none once it was replaced."""
        self._ins = ""
        self._delegator_id = ""
        self._custom = wire.CustomInit()
        self._command_token = ""
        self._answers: list[str] | None = None
        """Where responses go while a command is another page's; None: to this one."""
        self._keeps_logon = False
        self._attachment: Attachment | None = None
        self._commands: Commands | None = None
        """While its agent is logged on."""
        self._shown_since = 0.0
        """When the state that its page shows was told; not since it was loaded."""
        self._queue: tuple[ListedCall, ...] = ()
        """Who waits, as its page shows it."""
        self._follower: asyncio.Task[None] | None = None
        self._ticker: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection of {self._agent or 'nobody'} at {self._ins or '?'}>"

    @property
    def delegator_id(self) -> str:
        """See `Holder`."""
        return self._delegator_id

    @property
    def agent(self) -> AgentId:
        """See `Holder`."""
        return self._agent or AgentId("")

    @property
    def ins(self) -> str:
        """See `Holder`."""
        return self._ins

    @property
    def is_logged_on(self) -> bool:
        """See `Holder`."""
        return self._commands is not None

    @property
    def command_token(self) -> str:
        """See `Holder`."""
        return self._command_token

    # -- what comes -------------------------------------------------------------------------------

    async def take(self, text: str | bytes) -> bool:
        """A frame. False where it was none that could be done: who sends many is let go."""
        async with self._turn:
            return await self._take(text)

    async def take_for(self, text: str) -> str:
        """See `Holder`."""
        async with self._turn:
            answers = self._answers = []
            try:
                await self._take(text)
            finally:
                self._answers = None
            return answers[0]

    async def _take(self, text: str | bytes) -> bool:
        try:
            command = decode(text)
            request = wire.request_of(command)
            self._check(command)
            await self._do(command, request)
        except CommandRejected as refused:  # another page has the session, and this one's log lags
            await self._answer(command.name, ErrorCode.PROCESS_FAILED, str(refused))
        except BadFrame as bad:
            log.info("frame refused", code=str(bad.code), command=bad.command, agent=self._agent)
            await self._answer(bad.command, bad.code, str(bad))
            return False
        return True

    def leave(self) -> None:
        """The page is gone, or has nothing any more that is worth anything."""
        for task in (self._follower, self._ticker):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._follower = self._ticker = None
        if self._attachment is not None:
            self._centre.roster.detach(self._attachment)
            self._attachment = None
        if self._agent is not None and self._centre.holders.get(self._agent) is self:
            del self._centre.holders[self._agent]
        self._commands = None
        self._agent, self._delegator_id, self._command_token = None, "", ""

    async def be_replaced(self) -> None:
        """See `Holder`."""
        async with self._turn:
            # Else the log has told it, or it has begun anew meanwhile.
            if self._agent is not None and self._centre.holders.get(self._agent) is not self:
                infos = self._agent_infos()
                self.leave()
                await self._tell([SPEvent(E.WEB_SOCKET_REPLACED, infos)])

    def queue_changed(self) -> None:
        """See `Holder`."""
        if self._commands is not None and self._waiting() != self._queue:
            self._tasks.create_task(self._tell_queue_in_turn())

    def be_told(self, event: SPEvent) -> bool:
        """See `Holder`."""
        if self._commands is None:
            return False
        self._tasks.create_task(self._tell_in_turn(event))
        return True

    def _check(self, command: SPCommand) -> None:
        """Whether the session is this page's. Raises BadFrame."""
        if self._answers is not None and command.name in _OF_THE_PAGE_ITSELF:
            why = f"{command.name} is for the soft phone's own page"
            raise BadFrame(ErrorCode.PROCESS_FAILED, why, command.name)
        if command.name in (C.CHECK_WEB_SOCKET, C.INIT, C.WS_HELLO):
            return
        if self._agent is not None and command.ins != self._ins:
            why = f"ins: found {command.ins[:40]!r}, expected {self._ins}, as at Init"
            raise BadFrame(ErrorCode.INVALID_INS, why, command.name)
        if self._agent is None or not is_same(command.delegator_id, self._delegator_id):
            why = "delegatorId: that is not of this page's session; begin anew by Init"
            raise BadFrame(ErrorCode.DELEGATOR_ID_NO_MATCH, why, command.name)
        named = command.params.get("agentId")
        if named and named != self._agent:
            why = f"agentId: found {named[:40]!r}, expected {self._agent}, as at Init"
            raise BadFrame(ErrorCode.PROCESS_FAILED, why, command.name)

    async def _do(self, command: SPCommand, request: wire.Request) -> None:
        match request:
            case wire.CheckWebSocket(agent):
                holder = self._centre.holders.get(agent)
                known = command.delegator_id or command.params.get("delegatorId", "")
                is_own = holder is not None and known and is_same(known, holder.delegator_id)
                exists = holder is not None and holder is not self and not is_own
                await self._answer(command.name, datas={"isWebSocketExists": exists})
            case wire.Init():
                await self._init(command, request)
            case wire.Logon():
                await self._log_on(request)
            case wire.SetFunctionSwitch(function, is_on):
                await self._switch(function, is_on=is_on)
            case wire.Hello():
                await self._answer(command.name, datas={"stateTimeLength": self._state_lasts()})
            case _:
                await self._command(command.name, request)

    # -- who it is --------------------------------------------------------------------------------

    async def _init(self, command: SPCommand, request: wire.Init) -> None:
        agent, device = request.agent, DeviceId(command.ins)
        if self._proof.excludes(agent):
            why = f"agentId: the token of this connection is not one of agent {agent}"
            raise BadFrame(ErrorCode.PROCESS_FAILED, why, C.INIT)
        if not await self._centre.is_seat(device):
            why = f"ins: {device[:40]} is no extension, account or station of this endpoint"
            raise BadFrame(ErrorCode.INVALID_INS, why, C.INIT)
        self.leave()
        self._custom = request.custom
        shown = command.delegator_id or command.params.get("delegatorId", "")
        session = self._centre.roster.session(agent)
        is_here = session is not None and session.device == device
        self._ins = device
        try:
            begun = (await self._resume(agent, shown)) if is_here else None
        except _ReplacedMeanwhile:
            infos = self._agent_infos()
            await self._answer(C.INIT, datas={"delegatorId": "", **_state(infos)}, agent=infos)
            await self._tell([SPEvent(E.WEB_SOCKET_REPLACED, infos)])
            return
        self._agent = agent
        self._delegator_id = begun or new_delegator_id()
        if begun is None:
            self._keeps_logon = False
        else:
            self._begin(agent)
        if begun is not None or self._proof.covers(agent):
            self._hold()
        elif agent not in self._centre.holders:
            self._centre.holders[agent] = self
        infos = self._agent_infos()
        datas = {"delegatorId": self._delegator_id, **_state(infos)}
        await self._answer(C.INIT, datas=datas, agent=infos)
        await self._tell([self._settings(agent)])
        self._queue = ()
        await self._tell_queue()

    async def _resume(self, agent: AgentId, shown: str) -> str | None:
        """The `delegatorId` of a session that goes on.

        It is this page's by its id, which only it was told; or as it has proven whose it is. None:
        it has to log on. Raises BadFrame where too many wrong ids came from there.
        """
        roster, is_known = self._centre.roster, self._proof.covers(agent)
        standing = roster.standing(agent)
        liveness = None if standing is None else standing.liveness
        kept = (None, self._centre.kept.grace_s)
        self._keeps_logon = liveness is not None and liveness.grace_s in kept
        if shown:
            try:
                self._attach(agent, shown, "" if is_known else self._source)
            except LogOnRefused as refused:
                if refused.reason == Refusal.TOO_MANY_ATTEMPTS:
                    raise BadFrame(ErrorCode.PROCESS_FAILED, str(refused), C.INIT) from None
            else:
                return shown
        if not is_known:
            return None
        try:
            taken = await roster.take_over(agent, self._liveness, delegator_id=new_delegator_id())
        except CommandRejected as refused:
            raise BadFrame(ErrorCode.PROCESS_FAILED, str(refused), C.INIT) from None
        with suppress(LogOnRefused):
            self._attach(agent, taken.delegator_id, "")  # no guess
            return taken.delegator_id
        raise _ReplacedMeanwhile

    def _attach(self, agent: AgentId, delegator_id: str, source: str) -> None:
        """Listen as the owner. Raises LogOnRefused."""
        self._attachment = self._centre.roster.attach(agent, delegator_id, self._liveness, source)

    def _hold(self) -> None:
        """The page is this one's from now on; another that has it is told so.

        Beside: that one may be about to replace us.
        """
        assert self._agent is not None
        before = self._centre.holders.get(self._agent)
        self._centre.holders[self._agent] = self
        if before is not None and before is not self:
            self._tasks.create_task(before.be_replaced())

    async def _log_on(self, request: wire.Logon) -> None:
        agent = self._agent
        assert agent is not None  # `_check` has seen to it
        await self._answer(C.LOGON, datas={"delegatorId": self._delegator_id})
        if self._commands is not None:
            await self._tell(self._commands.fold.opening())
            return
        try:
            logged_on = await self._logged_on(agent, request)
            self._attach(agent, logged_on.delegator_id, self._source)
        except CommandRejected as refused:
            await self._tell(failed(C.LOGON, self._agent_infos(), refused.reason, str(refused)))
            return
        self._begin(agent)
        self._hold()
        if self._commands is not None:
            if not self._proof.covers(agent):  # so it has not all buttons yet
                await self._tell([self._settings(agent)])
            begun, *rest = self._commands.fold.opening()
            await self._tell([replace(begun, params=self._for_other_pages()), *rest])
            await self._tell_queue()

    async def _logged_on(self, agent: AgentId, request: wire.Logon) -> LoggedOn:
        password: str | None = None
        if not self._proof.covers(agent):
            password = request.code
            if not password:
                why = "say softPhoneCode, the agent's password, or connect with ?token=… of its own"
                raise LogOnRefused(Refusal.WRONG_PASSWORD, why)
        custom = self._custom if request.custom == wire.CustomInit() else request.custom
        wanted = LogOn(
            agent=agent,
            device=DeviceId(self._ins),
            password=password,
            mode=request.mode,
            ready=not self._centre.is_away(request.mode),
            skills=custom.skills,
            wrap_up_s=custom.wrap_up_s,
            take_over=True,
            liveness=self._liveness,
            delegator_id=self._delegator_id,
            source=self._source,
        )
        try:
            return await self._centre.roster.log_on(wanted)
        except LogOnRefused as refused:
            if password is None or refused.reason not in _NOT_PROVEN:
                raise
            # Who has proven nothing is not told who there is.
            why = "no such agent, or another password"
            raise LogOnRefused(Refusal.WRONG_PASSWORD, why) from None

    @property
    def _liveness(self) -> Liveness:
        if self._keeps_logon:
            return self._centre.kept
        return self._centre.liveness

    async def _switch(self, function: str, *, is_on: bool) -> None:
        """Whether the agent stays logged on when its page has gone."""
        if function != KEEP_LOGON:
            why = f"functionCode: found {function[:40]!r}, expected {KEEP_LOGON}"
            raise BadFrame(ErrorCode.PROCESS_FAILED, why, C.SET_FUNCTION_SWITCH)
        self._keeps_logon = is_on
        if self._attachment is not None and self._agent is not None:
            before = self._attachment
            self._attach(self._agent, self._delegator_id, "")
            self._centre.roster.detach(before)
        datas = {"functionCode": KEEP_LOGON, "isOn": "true" if is_on else "false"}
        await self._answer(C.SET_FUNCTION_SWITCH, datas=datas)

    def _is_proven(self, agent: AgentId) -> bool:
        """Who has proven nothing yet is not told whom an agent supervises."""
        return self._commands is not None or self._proof.covers(agent)

    def _infos(self) -> dict[str, str]:
        """What `agentInfos` has beside state and work mode."""
        known = None
        if self._agent is not None and self._is_proven(self._agent):
            known = self._centre.roster.directory.agent(self._agent)
        monitors = known is not None and self._centre.supervises(known, DeviceId(self._ins))
        return {
            "isMonitor": "true" if monitors else "false",
            "monitorDepts": ",".join(known.supervises) if known is not None else "",
            "canKeepLogon": "true",
            "isKeepLogon": "true" if self._keeps_logon else "false",
            "isDigitalDevice": "false" if is_remote(self._ins) else "true",
        }

    def _agent_infos(self) -> dict[str, str]:
        """`agentInfos`, whether its agent is logged on or not."""
        if self._commands is not None:
            return self._commands.fold.agent_infos()
        return {"agentState": str(int(State.INITIAL)), "agentWorkMode": "", **self._infos()}

    def _settings(self, agent: AgentId) -> SPEvent:
        """How the centre works, for this page."""
        proven = self._is_proven(agent)
        notified = self._centre.notified(agent, DeviceId(self._ins), is_proven=proven)
        notified |= self._for_other_pages()
        return SPEvent(E.SETTINGS_NOTIFY, self._agent_infos(), self._call_now(), notified)

    def _call_now(self) -> dict[str, str]:
        """`coInfos` of the call that the agent is in: a page that was loaded anew has forgotten."""
        fold = None if self._commands is None else self._commands.fold
        return {} if fold is None or fold.current is None else fold.co_infos(fold.current)

    def _for_other_pages(self) -> dict[str, str]:
        """What the page has to hand on to those that send scripts in its name."""
        return {"commandToken": self._command_token} if self._command_token else {}

    def _state_lasts(self) -> str:
        """How long its page has shown the state that it does, for a person."""
        session = None if self._commands is None else self._session()
        if session is None:
            return "00:00:00"
        since = max(session.since, self._shown_since)
        seconds = int(asyncio.get_running_loop().time() - since)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    # -- a command --------------------------------------------------------------------------------

    async def _command(self, name: C, request: wire.Request) -> None:
        commands = self._commands
        if commands is None:
            why = f"agent {self._agent} is not logged on"
            await self._answer(name, ErrorCode.PROCESS_FAILED, why)
            await self._tell(failed(name, self._agent_infos(), "not_logged_on", why))
            return
        try:
            told = await commands.carry_out(name, request)
        except CommandRejected as refused:
            await self._answer(name, ErrorCode.PROCESS_FAILED, str(refused))
            told = commands.fold.refuse(name, refused.reason, str(refused))
        else:
            await self._answer(name)
        await self._tell(told)

    # -- what is told -----------------------------------------------------------------------------

    def _begin(self, agent: AgentId) -> None:
        """The agent is logged on: show how it stands, and read its log from there."""
        standing = self._centre.roster.standing(agent)
        if standing is None or standing.session is None:
            return
        fold = self._centre.fold(standing.session, self._infos)
        self._commands = Commands(self._centre, agent, fold.device, fold)
        self._follower = self._tasks.create_task(self._follow(agent, standing.number))
        if self._centre.jsonp:
            self._command_token = new_delegator_id()
        self._tick()

    def _session(self) -> Session | None:
        return None if self._agent is None else self._centre.roster.session(self._agent)

    async def _follow(self, agent: AgentId, number: int) -> None:
        while True:
            try:
                async for entry in self._centre.roster.follow(agent, number):
                    number = entry.number
                    async with self._turn:
                        if self._commands is None:
                            return
                        await self._tell(self._commands.fold.heed(entry.event))
                        await self._tell_queue()
                        self._tick()
                        until = None if self._attachment is None else self._attachment.until
                        if until is not None and number >= until:
                            self._is_over(logged_off=isinstance(entry.event, AgentLoggedOff))
                            return
                return
            except (EventsMissed, StorageError) as error:
                log.warning("old events can't be read", agent=agent, reason=str(error))
                if (now := await self._anew(agent)) is None:
                    return
                number = now

    async def _anew(self, agent: AgentId) -> int | None:
        """What was told meanwhile is not to be had: tell what is so now. None: it is over."""
        async with self._turn:
            standing, commands = self._centre.roster.standing(agent), self._commands
            if commands is None:
                return None
            session = None if standing is None else standing.session
            if standing is None or session is None:
                gone = {**commands.fold.agent_infos(), "agentState": str(int(State.NULL))}
                await self._tell([SPEvent(E.LOGOFF_SUCC, gone), SPEvent(E.STATE_CHANGE, gone)])
                self._is_over(logged_off=True)
                return None
            until = None if self._attachment is None else self._attachment.until
            if until is not None and until <= standing.number:
                await self._tell([SPEvent(E.WEB_SOCKET_REPLACED, self._agent_infos())])
                self._is_over(logged_off=False)
                return None
            commands.fold = self._centre.fold(session, self._infos)
            _, *shown = commands.fold.opening()
            await self._tell(shown)
            await self._tell_queue()
            self._tick()
            return standing.number

    def _is_over(self, *, logged_off: bool) -> None:
        """The session is this page's no more; who has logged off may log on again."""
        if not logged_off:
            self.leave()
            return
        self._attachment = self._follower = self._commands = None
        self._command_token = ""
        self._stop_ticking()

    def _waits(self) -> list[tuple[ListedCall, float]]:
        session = None if self._commands is None else self._session()
        return [] if session is None else list(self._centre.waiting_for(session))

    def _waiting(self) -> tuple[ListedCall, ...]:
        return tuple(each for each, _ in self._waits())

    async def _tell_queue(self) -> None:
        """Who waits, where that is another than the page shows."""
        if (shown := self._waiting()) == self._queue:
            return
        self._queue = shown
        listed = {"queueList": queue_list(self._waits(), self._centre.tenant)}
        await self._tell([SPEvent(E.QUEUE_CHANGE, self._agent_infos(), params=listed)])

    async def _tell_queue_in_turn(self) -> None:
        async with self._turn:
            await self._tell_queue()

    async def _tell_in_turn(self, event: SPEvent) -> None:
        async with self._turn:
            if self._commands is not None:
                await self._tell([replace(event, agent=self._agent_infos())])

    async def _tell(self, events: list[SPEvent]) -> None:
        for event in events:
            if event.name is E.STATE_CHANGE:
                self._shown_since = asyncio.get_running_loop().time()
            await self._send(event.encode(self._ins))

    async def _answer(
        self,
        command: str,
        code: ErrorCode = ErrorCode.SUCC,
        text: str = "",
        datas: dict[str, Any] | None = None,
        agent: dict[str, str] | None = None,
    ) -> None:
        response = SPResponse(command, code, text, datas or {}, agent or {}).encode()
        if self._answers is None:
            await self._send(response)
        else:
            self._answers.append(response)

    # -- the wrap-up runs out ---------------------------------------------------------------------

    def _tick(self) -> None:
        """Count down while the agent writes up its call."""
        shown = self._commands is not None and self._commands.fold.state is State.WRAPUP
        if not shown:
            self._stop_ticking()
        elif self._ticker is None:
            self._ticker = self._tasks.create_task(self._count_down())

    def _stop_ticking(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def _count_down(self) -> None:
        loop = asyncio.get_running_loop()
        while (session := self._session()) is not None and session.wrap_up is not None:
            ends_at = session.wrap_up.ends_at
            if ends_at is None:
                return
            left = max(0, math.ceil(ends_at - loop.time()))
            async with self._turn:
                infos = self._agent_infos()
                await self._tell([SPEvent(E.WRAPUP_TICK, infos, params={"tick": str(left)})])
            if left == 0:
                return
            await asyncio.sleep(max(0.0, ends_at - loop.time() - (left - 1)))


def _state(infos: dict[str, str]) -> dict[str, str]:
    """What the answer to Init says twice."""
    return {key: infos[key] for key in ("agentState", "agentWorkMode")}
