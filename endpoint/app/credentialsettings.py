"""`[tokens]` and `[jwt]`: what proves who asks, beside the token of the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from endpoint.app.section import STRICT, Count, Seconds

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""None of them is symmetric: who can check a token must not be able to make one."""
_LONG = Annotated[float, Field(gt=0, le=366 * 86_400, allow_inf_nan=False)]
_LOCAL = ("localhost", "127.0.0.1", "::1")


class TokenSettings(BaseModel):
    """`[tokens]`: tokens that agents get for their password, and programs from administrators."""

    model_config = STRICT

    access_s: Seconds = 900
    """How long an access token is good for."""
    refresh_s: _LONG = 43_200
    """How long a refresh token is: an agent who was away for longer gives its password again."""
    notice_s: Seconds = 60
    """So long before a token ends, open WebSockets are told."""
    attempts_per_minute: Count = 10
    """How many wrong passwords of an agent one address may show in a minute, before it must wait:
    to get a token, or to log on. Five times as many of all agents together; and of one agent ten
    times as many from everywhere.
    """


class JwtSettings(BaseModel):
    """`[jwt]`: JSON Web Tokens of an identity provider, taken as bearer tokens.

    The agent must be in the directory, which says its role and department.
    """

    model_config = STRICT

    issuer: str = ""
    """The claim `iss`; empty: no JWT is taken."""
    audience: str = ""
    """What the claim `aud` must hold."""
    jwks_url: str = ""
    """Where the provider's keys are: https, or http on this machine."""
    jwks_file: Path | None = None
    """Or a file that holds them; it is read again as if it were fetched."""
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = ["RS256", "ES256", "EdDSA"]
    """Which signatures count. `none` and those with a shared secret never do."""
    agent_claim: Annotated[str, Field(min_length=1)] = "sub"
    """Which claim holds the agent's number."""
    role_claim: str = ""
    """Which claim holds the role, where it is not the directory that says it."""
    tenant_claim: str = ""
    """Which claim must name our tenant; empty: none."""
    leeway_s: Annotated[float, Field(ge=0, le=300)] = 10
    """How far the provider's clock may be from ours."""
    cache_s: Seconds = 3600
    """How long keys are kept before they are fetched again."""
    refetch_s: Seconds = 10
    """Who shows a key that we do not know has them fetched, at most this often."""

    @field_validator("jwks_url")
    @classmethod
    def _safe(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in _LOCAL
        if not parts.hostname or not (parts.scheme == "https" or is_local) or "@" in parts.netloc:
            raise ValueError("expected https://…, or http://… on this machine, without a user")
        return url

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.issuer:
            return self
        if not self.audience:
            raise ValueError("audience is missing: expected what the claim `aud` must hold")
        if bool(self.jwks_url) == (self.jwks_file is not None):
            raise ValueError("expected exactly one of jwks_url and jwks_file")
        return self
