"""What the client asks about the directory of agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from endpoint.gateways.native import directorymessages as wire

T = TypeVar("T", bound=msgspec.Struct)
E = TypeVar("E", bound=wire.Entry)

HASHING_S = 0.5
"""More than a password takes: so much longer may the answer be awaited, for each."""
JSON = {"Content-Type": "application/json"}


class Asks(Protocol):
    """What one request takes."""

    async def _ask(
        self, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None
    ) -> T:
        """Send one, and read its answer."""

    async def _send(
        self,
        method: str,
        path: str,
        octets: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        patience_s: float = 0,
    ) -> bytes:
        """Send one of any shape."""


class DirectoryRequests:
    """Part of `EndpointClient`. Each raises as its other methods do."""

    async def directory(self: Asks) -> wire.Directory:
        """All agents, skills, queues, work modes and leave reasons."""
        return await self._ask("GET", "/directory", wire.Directory)

    async def add_to_directory(self: Asks, kind: str, entry: E) -> E:
        """One more of `agents`, `skills`, `queues`, `modes`, `reasons`; it counts at once."""
        return await self._ask("POST", f"/directory/{kind}", type(entry), entry)

    async def put_in_directory(self: Asks, kind: str, key: str, entry: E) -> E:
        """This, whether there was one or not."""
        return await self._ask("PUT", _path(kind, key), type(entry), entry)

    async def change_in_directory(
        self: Asks, kind: str, key: str, changes: Mapping[str, Any]
    ) -> wire.Entry:
        """One, in what is named: `change_in_directory("agents", "1001", {"name": "Anna"})`."""
        octets = msgspec.json.encode(changes)
        content = await self._send("PATCH", _path(kind, key), octets, JSON)
        return msgspec.json.decode(content, type=wire.ENTRIES[kind])

    async def remove_from_directory(self: Asks, kind: str, key: str) -> None:
        """One less."""
        await self._send("DELETE", _path(kind, key))

    async def bring_into_directory(
        self: Asks, brought: wire.DirectoryImport
    ) -> wire.DirectoryImported:
        """Many at once, or none."""
        octets, patience_s = msgspec.json.encode(brought), HASHING_S * len(brought.passwords)
        content = await self._send("POST", "/directory/import", octets, JSON, patience_s=patience_s)
        return msgspec.json.decode(content, type=wire.DirectoryImported)

    async def set_agent_password(self: Asks, agent: str, password: str) -> None:
        """Let an agent have another password."""
        octets = msgspec.json.encode(wire.SetPassword(password))
        await self._send("PUT", f"{_path('agents', agent)}/password", octets, JSON)


def _path(kind: str, key: str) -> str:
    return f"/directory/{kind}/{quote(key, safe='')}"
