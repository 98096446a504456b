"""The directory of agents over HTTP, below `/api/v1/directory`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import hdrs, web

from endpoint.agents.directoryrules import Kind
from endpoint.app.bodies import BadRequest, decode, json_answer, read_body, read_octets
from endpoint.app.directorybook import DirectoryBook, DirectoryRejected
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import messages as wire

MOST_OCTETS = 8 * 1024 * 1024
"""Of all that is brought in."""

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class DirectoryRoutes:
    """Handlers over the one book. What is accepted counts when it is answered."""

    book: DirectoryBook
    body_timeout_s: float
    _bringing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time: each is held whole."""

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        all_ = f"{wire.API}/directory"
        return [
            web.get(all_, self.all),
            web.post(f"{all_}/import", told(self.bring)),
            web.put(f"{all_}/agents/{{agent}}/password", told(self.password)),
            *(route for kind in Kind for route in self._of_kind(kind, f"{all_}/{kind.value}")),
        ]

    def _of_kind(self, kind: Kind, path: str) -> list[web.RouteDef]:
        one = f"{path}/{{{_word(kind)}}}"
        handlers = {
            (hdrs.METH_GET, path): self.list,
            (hdrs.METH_POST, path): self.add,
            (hdrs.METH_GET, one): self.one,
            (hdrs.METH_PUT, one): self.put,
            (hdrs.METH_PATCH, one): self.change,
            (hdrs.METH_DELETE, one): self.remove,
        }
        return [
            web.route(method, at, told(partial(handler, kind)))
            for (method, at), handler in handlers.items()
        ]

    async def all(self, _request: web.Request) -> web.Response:
        """`GET /directory`."""
        return json_answer(await self.book.directory())

    async def list(self, kind: Kind, request: web.Request) -> web.Response:
        """`GET /directory/{kind}`."""
        entries = getattr(await self.book.of_kinds(kind), kind.value)
        return json_answer({kind.value: entries})

    async def one(self, kind: Kind, request: web.Request) -> web.Response:
        """`GET /directory/{kind}/{key}`."""
        return json_answer(self.book.one(kind, request.match_info[_word(kind)]))

    async def add(self, kind: Kind, request: web.Request) -> web.Response:
        """`POST /directory/{kind}`."""
        entry = await read_body(request, directory.ENTRIES[kind], timeout_s=self.body_timeout_s)
        made = await self.book.add_to_directory(kind, entry)
        log.info("added to the directory", of=kind.value)
        return json_answer(made, 201)

    async def put(self, kind: Kind, request: web.Request) -> web.Response:
        """`PUT /directory/{kind}/{key}`."""
        key = request.match_info[_word(kind)]
        entry = await read_body(request, directory.ENTRIES[kind], timeout_s=self.body_timeout_s)
        new = await self.book.put_in_directory(kind, key, entry)
        log.info("put in the directory", of=kind.value, key=key)
        return json_answer(self.book.one(kind, key), 201 if new else 200)

    async def change(self, kind: Kind, request: web.Request) -> web.Response:
        """`PATCH /directory/{kind}/{key}`: a merge patch (RFC 7396) of one level."""
        key = request.match_info[_word(kind)]
        octets = await read_octets(
            request,
            "application/json",
            "application/merge-patch+json",
            timeout_s=self.body_timeout_s,
        )
        changed = await self.book.change_in_directory(kind, key, _changes(octets, kind))
        log.info("changed in the directory", of=kind.value, key=key)
        return json_answer(changed)

    async def remove(self, kind: Kind, request: web.Request) -> web.Response:
        """`DELETE /directory/{kind}/{key}`."""
        key = request.match_info[_word(kind)]
        await self.book.remove_from_directory(kind, key)
        log.info("removed from the directory", of=kind.value, key=key)
        return web.Response(status=204)

    async def bring(self, request: web.Request) -> web.Response:
        """`POST /directory/import`."""
        # All at once is more than any other request holds.
        whole = request.clone(client_max_size=MOST_OCTETS)
        kind = directory.DirectoryImport
        async with self._bringing:
            brought = await read_body(whole, kind, timeout_s=self.body_timeout_s)
            counts = await self.book.bring_into_directory(brought)
        log.info("brought into the directory", **msgspec.to_builtins(counts))
        return json_answer(counts)

    async def password(self, request: web.Request) -> web.Response:
        """`PUT /directory/agents/{agent}/password`."""
        wanted = await read_body(request, directory.SetPassword, timeout_s=self.body_timeout_s)
        agent = request.match_info["agent"]
        await self.book.set_agent_password(agent, wanted.password)
        log.info("password of an agent set", agent=agent)
        return web.Response(status=204)


def told(handler: Handler) -> Handler:
    """The handler, with the refusals of a book as answers."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except DirectoryRejected as rejected:
            return json_answer(rejected.refused, rejected.status)

    return handle


def _word(kind: Kind) -> str:
    """What one is called in a path."""
    return kind.value.removesuffix("s")


_PARTS = {
    kind: msgspec.defstruct(
        f"Changed{entry.__name__}",
        [
            (each.name, each.type | msgspec.UnsetType, msgspec.UNSET)
            for each in msgspec.structs.fields(entry)
        ],
        forbid_unknown_fields=True,
        frozen=True,
    )
    for kind, entry in directory.ENTRIES.items()
}
"""Of each kind what need not say all."""


def _changes(octets: bytes, kind: Kind) -> dict[str, Any]:
    """The fields that are named, each of its type. Raises BadRequest."""
    changes: dict[str, Any] = msgspec.to_builtins(decode(octets, _PARTS[kind]))
    if not changes:
        expected = ", ".join(directory.ENTRIES[kind].__struct_fields__)
        raise BadRequest(
            400, wire.Refused("bad_field", "it says nothing", field="$", expected=expected)
        )
    return changes
