"""Tokens, in the database: their hashes, never themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Delete, delete, select, update

from endpoint.agents.credentials import StoredToken, TokenKind
from endpoint.storage.database import Database
from endpoint.storage.schema import TokenRow


class StoredTokens:
    """Those of one tenant; implements `TokenStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[StoredToken]:
        """See `TokenStore`."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(TokenRow).where(TokenRow.tenant_id == self._database.tenant_id)
            )
            return [
                StoredToken(
                    row.name,
                    TokenKind(row.kind),
                    row.hash,
                    row.agent,
                    row.label,
                    tuple(row.scopes),
                    row.created_at,
                    row.expires_at,
                    row.spent_at,
                    row.used_at,
                )
                for row in rows
            ]

    async def put(self, tokens: Iterable[StoredToken]) -> None:
        """See `TokenStore`."""
        kept = list(tokens)
        async with self._database.session() as session:
            await session.execute(self._these([token.hash for token in kept]))
            session.add_all(self._row(token) for token in kept)

    async def used(self, moments: Mapping[str, datetime]) -> None:
        """See `TokenStore`."""
        async with self._database.session() as session:
            for name, at in moments.items():
                await session.execute(
                    update(TokenRow)
                    .where(TokenRow.tenant_id == self._database.tenant_id, TokenRow.name == name)
                    .values(used_at=at)
                )

    async def remove(self, hashes: Iterable[str]) -> None:
        """See `TokenStore`."""
        if these := list(hashes):
            async with self._database.session() as session:
                await session.execute(self._these(these))

    def _these(self, hashes: list[str]) -> Delete:
        return delete(TokenRow).where(
            TokenRow.tenant_id == self._database.tenant_id, TokenRow.hash.in_(hashes)
        )

    def _row(self, token: StoredToken) -> TokenRow:
        return TokenRow(
            tenant_id=self._database.tenant_id,
            name=token.name,
            kind=str(token.kind),
            hash=token.hash,
            agent=token.agent,
            label=token.label,
            scopes=list(token.scopes),
            created_at=token.created_at,
            expires_at=token.expires_at,
            spent_at=token.spent_at,
            used_at=token.used_at,
        )
