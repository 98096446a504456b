"""JSON Web Tokens of an identity provider (RFC 7519), checked by its keys (RFC 7517)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import jwt
import structlog
from jwt import PyJWK, PyJWKSet

from endpoint.agents.directory import Directory
from endpoint.agents.identity import OF_ROLE, Identity, of_agent
from endpoint.agents.model import AgentId, Role
from endpoint.app.access import CredentialsUnavailable
from endpoint.app.credentialsettings import JwtSettings

log = structlog.get_logger(__name__)

_FETCH_TIMEOUT_S = 5.0
_LARGEST_SET = 256 * 1024
_LONGEST = 16 * 1024
"""Of a token: aiohttp takes no longer header either."""


class Keys:
    """The provider's keys: kept for a while; a new one is looked for, but not at every request."""

    def __init__(self, settings: JwtSettings, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: Mapping[str, PyJWK] = {}
        self._fresh_until = float("-inf")
        self._asked_at = float("-inf")
        self._trouble = ""
        """Why the last look failed."""
        self._fetching = asyncio.Lock()

    async def find(self, kid: str) -> PyJWK | None:
        """The key of that name; None where there is none. Raises CredentialsUnavailable."""
        if self._fetching.locked() and (known := self._keys.get(kid)) is not None:
            return known  # a provider that is slow must not have everybody wait
        async with self._fetching:
            now, settings = self._clock(), self._settings
            is_old = now >= self._fresh_until or (kid not in self._keys)
            # Who shows a made-up name must not have us ask the provider each time.
            if is_old and now >= self._asked_at + settings.refetch_s:
                self._asked_at = now
                await self._read(now)
        if kid not in self._keys and self._trouble:
            raise CredentialsUnavailable("the keys of JWTs can't be read now", settings.refetch_s)
        return self._keys.get(kid)

    async def _read(self, now: float) -> None:
        try:
            octets = await self._octets()
            keys = PyJWKSet.from_json(octets.decode()).keys
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError, jwt.PyJWTError) as error:
            # Those that we have may still do: the provider's trouble logs nobody out at once.
            self._trouble = str(error) or type(error).__name__
            log.warning("keys of JWTs can't be read", reason=self._trouble)
            return
        self._trouble = ""
        self._keys = {key.key_id: key for key in keys if key.key_id is not None}
        self._fresh_until = now + self._settings.cache_s

    async def _octets(self) -> bytes:
        settings = self._settings
        if settings.jwks_file is not None:
            return await asyncio.to_thread(_file, settings.jwks_file)
        timeout = aiohttp.ClientTimeout(total=_FETCH_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(settings.jwks_url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"{settings.jwks_url} answers {answer.status}")
            octets = await answer.content.read(_LARGEST_SET + 1)
            while len(octets) <= _LARGEST_SET and (
                more := await answer.content.read(_LARGEST_SET + 1 - len(octets))
            ):
                octets += more
            if len(octets) > _LARGEST_SET:
                raise ValueError(f"{settings.jwks_url} answers more than {_LARGEST_SET} octets")
            return octets


def _file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_SET)


class JwtCredentials:
    """Whose a JWT is. Implements `Credentials`."""

    def __init__(
        self,
        settings: JwtSettings,
        directory: Directory,
        *,
        tenant: str = "default",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        keys: Keys | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._tenant = tenant
        self._now = now
        self._keys = keys or Keys(settings)

    async def identify(self, token: str) -> Identity | None:
        """See `Credentials`. What is wrong with one is in the log, without the token.

        Raises CredentialsUnavailable.
        """
        if not self._settings.issuer or token.count(".") != 2 or len(token) > _LONGEST:
            return None
        try:
            claims = await self._claims(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            log.warning("JWT refused", reason=type(error).__name__)
            return None
        identity = self._identity(claims)
        if identity is None:
            log.warning("JWT refused", reason="agent, role or tenant")
        return identity

    def resembles(self, token: str) -> bool:
        """See `Credentials`."""
        return bool(self._settings.issuer) and token.startswith("eyJ") and token.count(".") == 2

    async def _claims(self, token: str) -> dict[str, Any]:
        settings = self._settings
        header = jwt.get_unverified_header(token)
        # Before a key is looked for: `none`, and a public key taken as a shared secret.
        if header.get("alg") not in settings.algorithms:
            raise jwt.InvalidAlgorithmError
        kid = header.get("kid")
        if not isinstance(kid, str) or (key := await self._keys.find(kid)) is None:
            raise jwt.InvalidKeyError
        if header["alg"] != key.algorithm_name:
            raise jwt.InvalidAlgorithmError
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[header["alg"]],
            audience=settings.audience,
            issuer=settings.issuer,
            # Its moments are judged by our clock below: PyJWT has one of its own.
            options={
                "require": ["exp", "iss", "aud", settings.agent_claim],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        now, leeway = self._now().timestamp(), settings.leeway_s
        moments = {name: _moment(claims[name]) for name in ("exp", "nbf", "iat") if name in claims}
        if now >= moments["exp"] + leeway:
            raise jwt.ExpiredSignatureError
        if any(moments[name] > now + leeway for name in ("nbf", "iat") if name in moments):
            raise jwt.ImmatureSignatureError
        return claims

    def _identity(self, claims: Mapping[str, Any]) -> Identity | None:
        settings = self._settings
        if settings.tenant_claim and claims.get(settings.tenant_claim) != self._tenant:
            return None
        number = claims.get(settings.agent_claim)
        agent = self._directory.agent(AgentId(number)) if isinstance(number, str) else None
        if agent is None or not agent.enabled:
            return None
        found = of_agent(agent, tenant=self._tenant)
        if settings.role_claim:
            try:
                role = Role(claims.get(settings.role_claim, ""))
            except ValueError:
                return None
            departments = agent.supervises if role is Role.MONITOR else ()
            found = replace(found, role=role, scopes=OF_ROLE[role], departments=departments)
        ends = datetime.fromtimestamp(_moment(claims["exp"]) + settings.leeway_s, UTC)
        return replace(found, expires_at=ends, credential=f"jwt-{agent.id}")


def _moment(claim: object) -> float:
    """NumericDate (RFC 7519 §2). Raises ValueError for what is none, or no date."""
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not 0 <= claim < 10**11:
        raise ValueError("no moment")
    return float(claim)
