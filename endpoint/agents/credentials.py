"""Tokens as they are kept: what a store of them keeps, and never the token itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class TokenKind(StrEnum):
    """What a token is for."""

    ACCESS = "access"
    REFRESH = "refresh"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it is kept: by its hash."""

    name: str
    """Of the family: an agent's access and refresh tokens since it gave its password."""
    kind: TokenKind
    hash: str
    agent: str
    """Empty for a program's."""
    label: str
    """The program's name; empty for an agent's."""
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    spent_at: datetime | None = None
    """When a refresh token was used."""
    used_at: datetime | None = None
    """When one of its family was used last, to the minute; none: never, as far as is known."""

    def is_over(self, now: datetime) -> bool:
        """Whether it proves nothing any more."""
        return self.expires_at is not None and now >= self.expires_at


class TokenStore(Protocol):
    """Where tokens are kept. Everything raises StorageError."""

    async def all(self) -> Sequence[StoredToken]:
        """Every one of the tenant."""

    async def put(self, tokens: Iterable[StoredToken]) -> None:
        """Keep these, in place of those of the same hash. All or none."""

    async def used(self, moments: Mapping[str, datetime]) -> None:
        """When families, by their names, were used last."""

    async def remove(self, hashes: Iterable[str]) -> None:
        """Keep these no longer."""
