"""Tokens over HTTP, below `/api/v1/tokens`, and who asks, at `/api/v1/identity`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import hdrs, web

from endpoint.agents.credentials import StoredToken, TokenKind
from endpoint.agents.identity import Scope
from endpoint.agents.model import Role
from endpoint.app.access import identity_of, refusal
from endpoint.app.bodies import json_answer, read_body
from endpoint.app.tokens import NAME_PREFIX, Issued, TokenBook, TokenRefused
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import tokenmessages as tokens

log = structlog.get_logger(__name__)

_STATUS = {"unauthorised": 401, "not_permitted": 403, "name_taken": 409, "too_many_attempts": 429}
_Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class TokenRoutes:
    """Handlers over the one book."""

    book: TokenBook
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        all_ = f"{wire.API}/tokens"
        return [
            web.post(all_, self._told(self.log_in)),
            web.post(f"{all_}/refresh", self._told(self.refresh)),
            web.post(f"{all_}/programs", self._told(self.add_program)),
            web.get(all_, self.list),
            web.delete(f"{all_}/{{token:{NAME_PREFIX}[0-9a-f]{{16}}}}", self.revoke),
            web.get(f"{wire.API}/identity", self.identity),
        ]

    async def log_in(self, request: web.Request) -> web.Response:
        """`POST /tokens`."""
        asked = await read_body(request, tokens.AskToken, timeout_s=self.body_timeout_s)
        issued = await self.book.log_in(
            asked.agent, asked.password, request.remote or "", asked.scopes
        )
        return json_answer(_issued(issued), 201)

    async def refresh(self, request: web.Request) -> web.Response:
        """`POST /tokens/refresh`."""
        asked = await read_body(request, tokens.RefreshToken, timeout_s=self.body_timeout_s)
        return json_answer(_issued(await self.book.refresh(asked.refresh_token)), 201)

    async def add_program(self, request: web.Request) -> web.Response:
        """`POST /tokens/programs`."""
        asked = await read_body(request, tokens.AddProgram, timeout_s=self.body_timeout_s)
        issued = await self.book.add_program(
            asked.name, asked.scopes, asked.expires_in_s, identity_of(request)
        )
        return json_answer(_issued(issued), 201)

    async def list(self, request: web.Request) -> web.Response:
        """`GET /tokens`."""
        found = self.book.of(identity_of(request))
        return json_answer(tokens.Tokens([_facts(token) for token in found]))

    async def revoke(self, request: web.Request) -> web.Response:
        """`DELETE /tokens/{token}`: an agent its own, an administrator all."""
        name, identity = request.match_info["token"], identity_of(request)
        is_own = name == identity.credential or any(
            token.name == name and token.agent == identity.agent for token in self.book.of(identity)
        )
        administers = identity.role is Role.ADMINISTRATOR and identity.may(Scope.ADMIN_WRITE)
        if not (is_own or administers) or not await self.book.revoke(name):
            return refusal(404, wire.Refused("unknown_token", "no such token, or it is over"))
        return web.Response(status=204)

    async def identity(self, request: web.Request) -> web.Response:
        """`GET /identity`."""
        found = identity_of(request)
        return json_answer(
            tokens.Asking(
                str(found.kind),
                found.agent or "",
                str(found.role),
                [*found.departments],
                found.tenant,
                sorted(map(str, found.scopes)),
                found.expires_at,
            )
        )

    @staticmethod
    def _told(handler: _Handler) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except TokenRefused as refused:
                status = _STATUS[refused.reason]
                headers: dict[str, str] = {}
                if status == 401:
                    headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
                if status == 429:
                    headers[hdrs.RETRY_AFTER] = str(math.ceil(refused.wait_s))
                return refusal(status, wire.Refused(refused.reason, str(refused)), headers)

        return handle


def _issued(issued: Issued) -> tokens.IssuedToken:
    identity = issued.identity
    return tokens.IssuedToken(
        token=identity.credential,
        access_token=issued.access,
        expires_at=issued.expires_at,
        refresh_token=issued.refresh,
        refresh_expires_at=issued.refresh_expires_at,
        agent=identity.agent or "",
        role=str(identity.role),
        scopes=sorted(map(str, identity.scopes)),
    )


def _facts(token: StoredToken) -> tokens.TokenFacts:
    return tokens.TokenFacts(
        token=token.name,
        kind="program" if token.kind is TokenKind.PROGRAM else "agent",
        name=token.label,
        agent=token.agent,
        scopes=[*token.scopes],
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
    )
