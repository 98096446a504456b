"""Accounts whose calls are PJSIP's: a process each, kept running, and what it tells.

To the legs this is one more user agent: an account that is kept registered, sessions that are
placed and that come in. A process that dies or hangs ends its own calls and no others, and is
replaced; its account is registered again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import structlog

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.legs.base import DigitKind, LineFull
from endpoint.legs.cause import ProcessLost
from endpoint.legs.pjsipsession import PjsipSession
from endpoint.legs.session import CallSession
from endpoint.media.messages import Command, Done
from endpoint.media.pjsip import MOST_CALLS
from endpoint.media.pjsip import messages as w
from endpoint.media.process import WorkerKind, WorkerLost, WorkerProcess
from signaling.errors import SipParseError
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.grammar import find_parameter
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request, parse_message
from signaling.supervision import Supervision
from signaling.user_agent import (
    Account,
    Ended,
    InviteRequest,
    Registered,
    RegistrationEvent,
    RegistrationFailed,
    Unregistered,
)

log = structlog.get_logger(__name__)

_LINE_FULL: Final = 34
"""Q.850: no circuit available."""


@dataclass(frozen=True, slots=True)
class PjsipSettings:
    """Facts of the deployment, and how long a process is waited for."""

    host: str = ""
    """Where SIP is bound; empty: everywhere. RTP is everywhere in any case."""
    audio_host: str = "127.0.0.1"
    """Where the processes hand audio to the media plane."""
    request_timeout_s: float = 4.0
    heartbeat_s: float = 1.0
    """With the former: a process that hangs is replaced after five seconds."""
    restart_delay_s: float = 1.0
    goodbye_s: float = 2.0
    """How long a registration may take to be taken back."""


class PjsipLine:
    """One account and its process."""

    credentials: DigestCredentials | None = None
    """PJSIP has them."""
    service_route: tuple[NameAddr, ...] = ()

    def __init__(self, account: Account, label: str, digits: DigitKind, owner: PjsipLines) -> None:
        self.account = account
        self.label = label
        self.digits = digits
        self.audio_host = owner.settings.audio_host
        self.sessions: dict[w.CallName, PjsipSession] = {}
        self._owner = owner
        self._link: WorkerProcess[w.LineNotice] | None = None
        self._port = 0
        self._is_registered = False
        self._closed = asyncio.Event()
        self._gone = asyncio.Event()
        registrar = account.registrar_uri
        kind = TransportKind.TCP if _over_tcp(account) else TransportKind.UDP
        port = registrar.port or kind.default_port
        self._flow = Flow(kind, registrar.host, port, f"pjsip {account.name}", 1)

    def __repr__(self) -> str:
        return f"<PjsipLine {self.account.aor} {len(self.sessions)} calls>"

    @property
    def flow(self) -> Flow | None:
        """How calls of the account go; None while it is not registered."""
        return self._flow if self._is_registered else None

    @property
    def pid(self) -> int | None:
        """Of its process."""
        return self._link.pid if self._link is not None else None

    # -- asked ----------------------------------------------------------------------------------

    def unregister(self) -> None:
        """Remove the binding; then `Unregistered`, and the process ends."""
        self._closed.set()

    def invite(self, request: InviteRequest, name: str) -> PjsipSession:
        """Place a call; its end says so where there are as many as can be."""
        session = PjsipSession(self, name, self._flow, local=request.from_, remote=request.to)
        if len(self.sessions) >= MOST_CALLS:
            text = f"{self.label} has all of its {MOST_CALLS} calls"
            session.end(Ended(by_remote=True, status=503, reason_text=text, q850=_LINE_FULL))
            self._owner.emit(LineFull(self.label, MOST_CALLS))
            return session
        self.sessions[name] = session
        own = request.from_.uri == self.account.aor and not request.from_.display_name
        from_ = "" if own else str(request.from_)
        session.place(f"<{request.target}>", from_, request.headers, request.sdp or b"")
        return session

    async def request(self, command: Command[Done]) -> Done:
        """See `Asking`."""
        if self._link is None:
            raise MediaUnavailable("its process does not run")
        return await self._link.request(command)

    def send(self, command: Command[Done]) -> None:
        """See `Asking`."""
        if self._link is not None:
            self._link.send(command)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Asking`."""
        self._owner.spawn(work)

    # -- its life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep it registered until `unregister`."""
        settings = self._owner.settings
        kind = WorkerKind(
            name=f"PJSIP process of {self.label}",
            module="endpoint.media.pjsip.worker",
            settings="{}",
            decode=w.decode_answer,
            request_timeout_s=settings.request_timeout_s,
            heartbeat_s=settings.heartbeat_s,
            restart_delay_s=settings.restart_delay_s,
        )
        try:
            async with WorkerProcess[w.LineNotice](kind, self._owner.supervision) as link:
                self._link = link
                await self._open()
                async with asyncio.TaskGroup() as tasks:
                    reading = tasks.create_task(self._read(link))
                    await self._closed.wait()
                    await self._take_back(link)
                    reading.cancel()
        except MediaError as exc:  # it can't even start
            await self._tell_lost(str(exc))
            raise
        finally:
            self._link = None
            self._lose("its process has ended")
        await self._owner.registration(Unregistered(self.account))

    async def _read(self, link: WorkerProcess[w.LineNotice]) -> None:
        async for notice in link.notices():
            await self._take(notice)

    async def _take_back(self, link: WorkerProcess[w.LineNotice]) -> None:
        try:
            async with asyncio.timeout(self._owner.settings.goodbye_s):
                await link.request(w.CloseLine())
                await self._gone.wait()
        except (MediaError, TimeoutError) as exc:
            log.info("not unregistered", line=self.label, reason=str(exc))

    async def _open(self) -> None:
        account, credentials = self.account, self.account.credentials
        command = w.OpenLine(
            uri=str(account.aor),
            registrar=str(account.registrar_uri),
            username=credentials.username,
            password=credentials.password or "",
            realm=credentials.realm or "*",
            display_name=account.display_name,
            expires_s=account.expires_s,
            host=self._owner.settings.host,
            port=self._port,
            audio_host=self.audio_host,
            over_tcp=_over_tcp(account),
        )
        try:
            await self.request(command)
        except MediaUnavailable:
            pass  # `WorkerLost` follows, and with it the next try
        except MediaError as exc:
            await self._failed(None, str(exc), fatal=True)

    async def _take(self, notice: w.LineNotice | WorkerLost) -> None:
        match notice:
            case WorkerLost(reason=reason):
                self._lose(reason)
                await self._tell_lost(reason)
                await self._open()
            case w.LineRegistered(contact=_, expires_s=expires_s, port=port):
                is_news, self._port, self._is_registered = not self._is_registered, port, True
                if is_news:
                    registered = Registered(self.account, self.account.aor, expires_s)
                    await self._owner.registration(registered)
            case w.LineFailed(status=status, text=text, fatal=fatal):
                await self._failed(status, text, fatal=fatal)
            case w.LineClosed():
                self._gone.set()
            case w.LineFull():
                log.warning("line is full, a call is refused", line=self.label)
                self._owner.emit(LineFull(self.label, MOST_CALLS))
            case w.CallArrived(call=call, invite=invite, rtp_port=rtp_port):
                self._arrived(call, invite, rtp_port)
            case _:
                session = self.sessions.get(notice.call)
                if session is not None:
                    session.take(notice)
                if isinstance(notice, w.CallEnded):
                    self.sessions.pop(notice.call, None)

    async def _tell_lost(self, reason: str) -> None:
        error = ProcessLost(reason)
        await self._owner.registration(
            RegistrationFailed(self.account, None, reason, fatal=False, error=error)
        )

    async def _failed(self, status: int | None, text: str, *, fatal: bool) -> None:
        self._is_registered = False
        await self._owner.registration(RegistrationFailed(self.account, status, text, fatal=fatal))

    def _arrived(self, call: w.CallName, invite: bytes, rtp_port: int) -> None:
        try:
            request = parse_message(invite)
            if not isinstance(request, Request):
                raise SipParseError("an INVITE that is none")
            local, remote = request.to, request.from_
        except SipParseError as exc:
            log.warning("call can't be read", line=self.label, reason=str(exc))
            self.send(w.EndCall(call, 400))
            return
        session = self.sessions[call] = PjsipSession(
            self, call, self._flow, local=local, remote=remote, invite=request, rtp_port=rtp_port
        )
        self._owner.invited(session)

    def _lose(self, reason: str) -> None:
        self._is_registered = False
        sessions, self.sessions = self.sessions, {}
        for session in sessions.values():
            session.lose(reason)


class PjsipLines:
    """All of them. Use as `async with`; leaving ends what `unregister` has not."""

    def __init__(
        self,
        settings: PjsipSettings,
        supervision: Supervision,
        *,
        registration: Callable[[RegistrationEvent], Awaitable[None]],
        invited: Callable[[PjsipSession], None],
        emit: Callable[[LineFull], None],
    ) -> None:
        """Set up; what happens is told by `registration`, `invited` and `emit`."""
        self.settings = settings
        self.supervision = supervision
        self.registration = registration
        self.invited = invited
        self.emit = emit
        self._numbers = itertools.count(1)
        self._lines: dict[str, PjsipLine] = {}
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<PjsipLines {list(self._lines.values())}>"

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in self._lines.values():
            line.unregister()
        if self._running:
            await asyncio.wait(self._running, timeout=2 * self.settings.goodbye_s)
        for task in self._running:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def register(self, account: Account, label: str, digits: DigitKind) -> PjsipLine:
        """Keep an account registered; `label` is its device, or its trunk, for people."""
        line = self._lines[account.name] = PjsipLine(account, label, digits, self)
        keeping = self.supervision.keep(f"line {label}", partial(self._run, line))
        task = self._group.create_task(keeping, name=f"line {label}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return line

    async def _run(self, line: PjsipLine) -> None:
        await line.run()
        self._lines.pop(line.account.name, None)

    def lines(self) -> list[PjsipLine]:
        """All that are kept registered."""
        return list(self._lines.values())

    def invite(
        self, otherwise: Callable[[InviteRequest], CallSession], request: InviteRequest
    ) -> CallSession:
        """Place a call: by the line whose flow it is to go, where it is one of PJSIP's."""
        for line in self._lines.values():
            if line.flow is not None and line.flow == request.flow:
                return line.invite(request, f"pjsip-{next(self._numbers)}")
        return otherwise(request)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside."""
        self._group.create_task(work)


def _over_tcp(account: Account) -> bool:
    kind = find_parameter(account.registrar_uri.parameters, "transport") or ""
    return kind.lower() == "tcp"
