"""What the client asks about tokens, and who it is."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from endpoint.client.plan import Asks
from endpoint.gateways.native import tokenmessages as wire


class TokenRequests:
    """Part of `EndpointClient`. Each raises as its other methods do."""

    async def log_in(
        self: Asks, agent: str, password: str, scopes: Sequence[wire.ScopeWord] = ()
    ) -> wire.IssuedToken:
        """A token for an agent's password; the client goes on with its own."""
        body = wire.AskToken(agent, password, [*scopes])
        return await self._ask("POST", "/tokens", wire.IssuedToken, body)

    async def refresh_token(self: Asks, refresh_token: str) -> wire.IssuedToken:
        """The next token; the refresh token can't be used again."""
        body = wire.RefreshToken(refresh_token)
        return await self._ask("POST", "/tokens/refresh", wire.IssuedToken, body)

    async def add_program(
        self: Asks, name: str, scopes: Sequence[wire.ScopeWord], expires_in_s: float | None = None
    ) -> wire.IssuedToken:
        """A token for a program, for these scopes alone."""
        body = wire.AddProgram(name, [*scopes], expires_in_s)
        return await self._ask("POST", "/tokens/programs", wire.IssuedToken, body)

    async def tokens(self: Asks) -> list[wire.TokenFacts]:
        """Those that are not over; of an agent its own."""
        return (await self._ask("GET", "/tokens", wire.Tokens)).tokens

    async def revoke_token(self: Asks, token: str) -> None:
        """End a token at once, by its name, and the sockets that were opened with it."""
        await self._send("DELETE", f"/tokens/{quote(token, safe='')}")

    async def identity(self: Asks) -> wire.Asking:
        """Who asks, and what it may."""
        return await self._ask("GET", "/identity", wire.Asking)
