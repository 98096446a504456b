"""Tokens, as the native interface tells of them: how agents and programs get one, and lose it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

ScopeWord = Literal[
    "calls:read",
    "calls:write",
    "agents:read",
    "agents:write",
    "records:read",
    "recordings:read",
    "recordings:write",
    "admin:read",
    "admin:write",
]
AgentNumber = Annotated[str, Meta(min_length=1, max_length=64)]
Password = Annotated[str, Meta(min_length=1, max_length=256)]
Secret = Annotated[str, Meta(min_length=1, max_length=256)]


class AskToken(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /tokens`."""

    agent: AgentNumber
    """Who asks."""
    password: Password
    """Its password; never logged."""
    scopes: Annotated[list[ScopeWord], Meta(max_length=16)] = []
    """What the token is for; empty: all that the agent's role has."""


class RefreshToken(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /tokens/refresh`: a refresh token can be used once."""

    refresh_token: Secret
    """That of the last answer."""


class AddProgram(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /tokens/programs`: a token for a program, that no agent stands behind."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+\Z")]
    """What lists and the log call it."""
    scopes: Annotated[list[ScopeWord], Meta(min_length=1, max_length=16)]
    """What it is for; no more than who asks has."""
    expires_in_s: Annotated[float, Meta(ge=1, le=10 * 366 * 86_400)] | None = None
    """It ends by itself then; none: when it is revoked."""


class IssuedToken(Struct, frozen=True):
    """A token. It is told this once: only its hash is kept."""

    token: str
    """Its name, which is no secret."""
    access_token: str
    """What `Authorization: Bearer` holds."""
    expires_at: datetime | None
    """The access token proves nothing from then on; none: it does not end by itself."""
    refresh_token: str = ""
    """For the next one; empty for programs."""
    refresh_expires_at: datetime | None = None
    agent: str = ""
    """Whose it is; empty for programs."""
    role: str = ""
    """`agent`, `monitor` or `administrator`."""
    scopes: list[str] = []
    token_type: str = "Bearer"


class TokenFacts(Struct, frozen=True):
    """What is known of a token that is not over."""

    token: str
    """Its name."""
    kind: str
    """`agent` or `program`."""
    name: str
    """The program's; of an agent's empty."""
    agent: str
    """Whose it is; empty for programs."""
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    """Of an agent's with its refresh token: when it must give the password again."""
    used_at: datetime | None = None
    """When it was used last, to the minute, also by a WebSocket that was open; none: never."""


class Tokens(Struct, frozen=True):
    """`GET /tokens`: of an agent its own."""

    tokens: list[TokenFacts]


class Asking(Struct, frozen=True):
    """`GET /identity`: who asks, and what it may."""

    kind: str
    """`agent` or `machine`."""
    agent: str
    role: str
    departments: list[str]
    """That a monitor supervises."""
    tenant: str
    scopes: list[str]
    expires_at: datetime | None
