"""What the client asks about agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from endpoint.client.frames import FramesOf
from endpoint.gateways.native import agentmessages as wire

T = TypeVar("T", bound=msgspec.Struct)


class AgentFrames(FramesOf[wire.AgentFrame]):
    """The frames of an agent's WebSocket; they end with the session, or where another has it."""

    decoder = msgspec.json.Decoder(
        wire.AgentSnapshot | wire.AgentEventFrame | wire.CredentialsExpiring
    )


class Asks(Protocol):
    """What one request takes."""

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: msgspec.Struct | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Send one, and read its answer."""

    def _listen(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket."""


class AgentRequests:
    """Part of `EndpointClient`. Each raises as its other methods do.

    `delegator_id`: of who has the agent's session; without it a command is a supervisor's.
    """

    async def agents(self: Asks) -> list[wire.AgentNow]:
        """Those that the token may know of, as they are now."""
        return (await self._ask("GET", "/agents", wire.Agents)).agents

    async def agent(self: Asks, agent: str) -> wire.AgentNow:
        """One agent."""
        return await self._ask("GET", _path(agent), wire.AgentNow)

    async def agent_times(
        self: Asks, agent: str, since: str = "", until: str = ""
    ) -> wire.AgentTimes:
        """How long it was what, from one moment (ISO 8601, with its zone) to another: today."""
        words = {"since": since, "until": until}
        query = urlencode({name: word for name, word in words.items() if word})
        path = _path(agent, "times") + (f"?{query}" if query else "")
        return await self._ask("GET", path, wire.AgentTimes)

    async def log_on(self: Asks, agent: str, wanted: wire.LogOnAgent) -> wire.AgentLoggedOn:
        """Log an agent on, or take its session over."""
        return await self._ask("POST", _path(agent, "log-on"), wire.AgentLoggedOn, wanted)

    async def log_off(self: Asks, agent: str, delegator_id: str = "") -> int:
        """Log it off; in a call, after it. Each of these returns the number of the log behind."""
        path, owner = _path(agent, "log-off"), _shown(delegator_id)
        return (await self._ask("POST", path, wire.AgentCommandDone, None, owner)).number

    async def set_ready(self: Asks, agent: str, delegator_id: str = "") -> int:
        """Let queues offer calls; in a call, after it."""
        path, owner = _path(agent, "ready"), _shown(delegator_id)
        return (await self._ask("POST", path, wire.AgentCommandDone, None, owner)).number

    async def set_not_ready(
        self: Asks, agent: str, reason: str = "", delegator_id: str = ""
    ) -> int:
        """Let queues offer none; likewise."""
        path, owner = _path(agent, "not-ready"), _shown(delegator_id)
        body = wire.NotReady(reason)
        return (await self._ask("POST", path, wire.AgentCommandDone, body, owner)).number

    async def set_work_mode(self: Asks, agent: str, mode: int, delegator_id: str = "") -> int:
        """Work in another way."""
        path, owner = _path(agent, "work-mode"), _shown(delegator_id)
        body = wire.ChooseWorkMode(mode)
        return (await self._ask("POST", path, wire.AgentCommandDone, body, owner)).number

    async def finish_wrap_up(self: Asks, agent: str, delegator_id: str = "") -> int:
        """What there was to do of the last call is done."""
        path, owner = _path(agent, "finish-wrap-up"), _shown(delegator_id)
        return (await self._ask("POST", path, wire.AgentCommandDone, None, owner)).number

    @asynccontextmanager
    async def agent_events(
        self: Asks, agent: str, delegator_id: str = "", after: int | None = None
    ) -> AsyncIterator[AgentFrames]:
        """Frames: an `AgentSnapshot` first, then each event behind `after`, or from now on.

        Who has the session shows its `delegator_id`: while it listens the agent stays logged on.
        """
        query = {"from": str(after)} if after is not None else {}
        async with self._listen(_path(agent, "events"), query, _shown(delegator_id)) as socket:
            yield AgentFrames(socket)


def _path(agent: str, word: str = "") -> str:
    return f"/agents/{quote(agent, safe='')}" + (f"/{word}" if word else "")


def _shown(delegator_id: str) -> dict[str, str]:
    return {wire.DELEGATOR_HEADER: delegator_id} if delegator_id else {}
