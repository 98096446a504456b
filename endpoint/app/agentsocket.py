"""The WebSocket of an agent's log: a snapshot, then every event in its order, exactly once.

`GET /api/v1/agents/{agent}/events?from=N` resumes behind event N. A client that shows the
`delegator_id` has the agent's session: while it listens the agent stays logged on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiohttp import WSCloseCode, hdrs, web

from endpoint import plaintext
from endpoint.agents.eventlog import Entry
from endpoint.agents.identity import Identity
from endpoint.agents.logon import LogOnRefused, Refusal
from endpoint.agents.model import AgentId
from endpoint.agents.ownership import Liveness
from endpoint.agents.place import Attachment
from endpoint.agents.roster import Roster
from endpoint.app.access import identity_of
from endpoint.app.agentview import AgentView
from endpoint.app.bodies import BadRequest
from endpoint.app.eventsocket import HEARTBEAT_S, MESSAGE_LIMIT_BYTES, start_of
from endpoint.app.livesockets import LiveSockets
from endpoint.callcontrol.feed import EventsMissed
from endpoint.errors import StorageError
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native.messages import API, SUBPROTOCOL, Refused

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who reads."""

    identity: Identity
    attachment: Attachment | None
    """Of an owner."""

    def is_over(self, number: int) -> bool:
        """Whether the session is its own no more, behind that number."""
        until = self.attachment.until if self.attachment is not None else None
        return until is not None and number >= until


class AgentSocket:
    """One handler for all clients; each has a place of its own in an agent's log."""

    def __init__(
        self, roster: Roster, view: AgentView, liveness: Liveness, live: LiveSockets
    ) -> None:
        self._roster = roster
        self._view = view
        self._liveness = liveness
        self._live = live

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [web.get(f"{API}/agents/{{agent}}/events", self.handle)]

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it goes, the session is not its own any more, or we go."""
        start, agent = start_of(request), AgentId(request.match_info["agent"])
        if start is not None and start < 0:
            raise BadRequest(400, Refused("bad_field", "found -", "from", "an event's number"))
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            heartbeat=HEARTBEAT_S,
            max_msg_size=MESSAGE_LIMIT_BYTES,
            compress=False,
        )
        if not socket.can_prepare(request):
            raise BadRequest(426, Refused("upgrade_required", "this is a WebSocket"))
        if self._view.agent(agent) is None:
            raise LogOnRefused(Refusal.UNKNOWN_AGENT, f"there is no agent {agent}")
        attachment = self._attach(request, agent)
        try:
            await socket.prepare(request)
            with self._live.held(identity_of(request), socket, request):
                async with asyncio.TaskGroup() as group:
                    reader = _Reader(identity_of(request), attachment)
                    writer = group.create_task(self._write(socket, agent, start, reader))
                    async for _ in socket:
                        if attachment is not None:
                            self._roster.hear(attachment)
                    writer.cancel()
        finally:
            if attachment is not None:
                self._roster.detach(attachment)
        return socket

    def _attach(self, request: web.Request, agent: AgentId) -> Attachment | None:
        """The place of an owner; None: who supervises it looks on. Raises LogOnRefused."""
        delegator_id = _delegator_id(request)
        if delegator_id is not None:
            source = request.remote or ""
            return self._roster.attach(agent, delegator_id, self._liveness, source)
        standing = self._roster.standing(agent)
        if standing is not None and standing.is_owned and identity_of(request).agent == agent:
            why = f"another client has the session of {agent}: show its delegator_id, or take over"
            raise LogOnRefused(Refusal.OWNED, why)
        return None

    async def _write(
        self,
        socket: web.WebSocketResponse,
        agent: AgentId,
        start: int | None,
        reader: _Reader,
    ) -> None:
        with suppress(ConnectionError):
            missed = False
            while not socket.closed:
                # No await between what is true now and the place in the log behind it.
                snapshot = self._view.snapshot(agent, missed=missed)
                if snapshot is None:
                    await socket.close(code=WSCloseCode.GOING_AWAY, message=b"no such agent")
                    return
                after = snapshot.number if start is None else start
                entries = self._roster.follow(agent, after)
                try:
                    await self._write_from(socket, snapshot, entries, after, reader)
                except EventsMissed:
                    start, missed = None, True
                except StorageError as error:
                    log.warning("old events can't be read", agent=agent, reason=str(error))
                    await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"storage")
                    return
                else:
                    return

    async def _write_from(
        self,
        socket: web.WebSocketResponse,
        snapshot: wire.AgentSnapshot,
        entries: AsyncIterator[Entry],
        after: int,
        reader: _Reader,
    ) -> None:
        """Write the snapshot, and what is behind it."""
        agent = AgentId(snapshot.agent.agent)
        await socket.send_str(_encode(snapshot))
        if reader.is_over(after):
            await socket.close(message=b"not the owner any more")
            return
        async for entry in entries:
            known = self._roster.directory.agent(agent)
            if known is not None and not reader.identity.is_about(known):
                # It was let in for the agent's department, which is another now.
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"not permitted")
                return
            frame = self._view.frame(agent, entry)
            if frame is not None:
                await socket.send_str(_encode(frame))
            if reader.is_over(entry.number):
                await socket.close(message=b"not the owner any more")
                return
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the endpoint stops")


def _delegator_id(request: web.Request) -> str | None:
    if (given := request.headers.get(wire.DELEGATOR_HEADER)) is not None:
        return given
    for offered in request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, []):
        for protocol in offered.split(","):
            name = protocol.strip()
            if name.startswith(wire.DELEGATOR_SUBPROTOCOL):
                return name.removeprefix(wire.DELEGATOR_SUBPROTOCOL)
    return None


def _encode(frame: wire.AgentFrame) -> str:
    return plaintext.encode(frame).decode()
