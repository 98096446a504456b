"""Tokens are kept by their hashes: on SQLite and on PostgreSQL, each tenant's by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from endpoint.agents.credentials import StoredToken, TokenKind, TokenStore
from endpoint.storage.database import Database
from endpoint.storage.tokens import StoredTokens

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
REFRESH = StoredToken(
    "tok-1",
    TokenKind.REFRESH,
    "a" * 64,
    "1001",
    "",
    ("calls:read", "calls:write"),
    NOW,
    NOW + timedelta(hours=12),
)
PROGRAM = StoredToken("tok-2", TokenKind.PROGRAM, "b" * 64, "", "crm", (), NOW)


async def test_what_is_kept_comes_back_as_it_was(database: Database) -> None:
    store: TokenStore = StoredTokens(database)
    await store.put([REFRESH, PROGRAM])
    assert sorted(await store.all(), key=lambda token: token.hash) == [REFRESH, PROGRAM]
    spent = replace(REFRESH, spent_at=NOW)
    await store.put([spent])
    await store.remove([PROGRAM.hash, "c" * 64])
    await store.remove([])
    assert await store.all() == [spent]


async def test_a_token_is_its_tenants_alone(database: Database, elsewhere: Database) -> None:
    here, there = StoredTokens(database), StoredTokens(elsewhere)
    await here.put([REFRESH])
    await there.put([replace(REFRESH, agent="1002")])
    await there.remove([PROGRAM.hash])
    assert await here.all() == [REFRESH]
    await there.remove([REFRESH.hash])
    assert await here.all() == [REFRESH]
    assert await there.all() == []


async def test_when_families_were_used_is_kept_of_all_their_tokens(
    database: Database, elsewhere: Database
) -> None:
    here, there = StoredTokens(database), StoredTokens(elsewhere)
    access = replace(REFRESH, kind=TokenKind.ACCESS, hash="d" * 64)
    await here.put([REFRESH, access, PROGRAM])
    await there.put([REFRESH])
    await here.used({REFRESH.name: NOW, "tok-9": NOW})
    found = {each.hash: each.used_at for each in await here.all()}
    assert found == {REFRESH.hash: NOW, access.hash: NOW, PROGRAM.hash: None}
    assert await there.all() == [REFRESH]
