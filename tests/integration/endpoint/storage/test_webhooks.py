"""Webhooks, and what was not taken, on SQLite and on PostgreSQL, each tenant's by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from endpoint.agents.webhooks import Message, Undelivered, Webhook, WebhookStore
from endpoint.storage.database import Database
from endpoint.storage.webhooks import StoredWebhooks

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CRM = Webhook(
    name="crm",
    url="https://crm.example.com/hooks/",
    secret="whsec_1",
    key="0a1b2c3d4e5f",
    events=("Established",),
    agents=("1001",),
    devices=("6001", "RP_913800138000"),
    created_at=NOW,
)
BODY = '{"type":"event","text":"grüß Gott \\u0000"}'.encode()


def given_up(number: int) -> Undelivered:
    message = Message(f"0a1b2c3d4e5f-1001-{number}", "agents/1001", "AgentReady", BODY)
    return Undelivered(message, NOW, 3, "status_500")


async def test_what_is_kept_comes_back_as_it_was(database: Database) -> None:
    store: WebhookStore = StoredWebhooks(database)
    await store.put(CRM, {})
    assert await store.all() == [(CRM, {})]
    await store.keep_places("crm", {"agents/1001": 7, "events/6f0c": 42})
    changed = replace(CRM, enabled=False, url="https://crm.example.com/hooks/other")
    await store.put(changed, {"agents/1001": 7, "events/6f0c": 42})
    assert await store.all() == [(changed, {"agents/1001": 7, "events/6f0c": 42})]
    for number in (1, 2, 3):
        await store.put_undelivered("crm", given_up(number))
    await store.put_undelivered("crm", replace(given_up(1), tries=4))
    await store.remove_undelivered("crm", [given_up(2).message.id, "unknown"])
    await store.remove_undelivered("crm", [])
    assert await store.undelivered("crm") == [replace(given_up(1), tries=4), given_up(3)]
    await store.remove("crm")
    assert await store.all() == []
    assert await store.undelivered("crm") == []


async def test_a_webhook_is_its_tenants_alone(database: Database, elsewhere: Database) -> None:
    here, there = StoredWebhooks(database), StoredWebhooks(elsewhere)
    await here.put(CRM, {})
    await here.put_undelivered("crm", given_up(1))
    await there.put(replace(CRM, secret="whsec_2"), {})
    await there.keep_places("crm", {"agents/1001": 1})
    await there.remove_undelivered("crm", [given_up(1).message.id])
    assert await there.undelivered("crm") == []
    await there.remove("crm")
    assert await here.all() == [(CRM, {})]
    assert await here.undelivered("crm") == [given_up(1)]
