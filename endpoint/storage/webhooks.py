"""Webhooks in the database: who is told, what was taken, what nobody took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, and_, delete, select, update

from endpoint.agents.webhooks import Message, Places, Undelivered, Webhook
from endpoint.storage.database import Database
from endpoint.storage.schema import UndeliveredRow, WebhookRow


class StoredWebhooks:
    """Those of one tenant; implements `WebhookStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[tuple[Webhook, Places]]:
        """See `WebhookStore`."""
        query = select(WebhookRow).where(WebhookRow.tenant_id == self._database.tenant_id)
        async with self._database.session() as session:
            rows = await session.scalars(query.order_by(WebhookRow.id))
            return [(_webhook(row), dict(row.places)) for row in rows]

    async def put(self, webhook: Webhook, places: Places) -> None:
        """See `WebhookStore`."""
        async with self._database.session() as session:
            found = await session.scalar(select(WebhookRow).where(self._is(webhook.name)))
            row = found or WebhookRow(tenant_id=self._database.tenant_id, name=webhook.name)
            row.url, row.secret, row.key = webhook.url, webhook.secret, webhook.key
            row.events, row.agents = list(webhook.events), list(webhook.agents)
            row.devices, row.enabled = list(webhook.devices), webhook.enabled
            row.created_at, row.places = webhook.created_at, dict(places)
            session.add(row)

    async def remove(self, name: str) -> None:
        """See `WebhookStore`."""
        async with self._database.session() as session:
            await session.execute(delete(UndeliveredRow).where(self._of(name)))
            await session.execute(delete(WebhookRow).where(self._is(name)))

    async def keep_places(self, name: str, places: Places) -> None:
        """See `WebhookStore`."""
        async with self._database.session() as session:
            changing = update(WebhookRow).where(self._is(name))
            await session.execute(changing.values(places=dict(places)))

    async def undelivered(self, name: str) -> Sequence[Undelivered]:
        """See `WebhookStore`."""
        query = select(UndeliveredRow).where(self._of(name)).order_by(UndeliveredRow.id)
        async with self._database.session() as session:
            return [
                Undelivered(
                    Message(row.message, row.source, row.event, row.body.encode()),
                    row.given_up_at,
                    row.tries,
                    row.failure,
                )
                for row in await session.scalars(query)
            ]

    async def put_undelivered(self, name: str, kept: Undelivered) -> None:
        """See `WebhookStore`."""
        message = kept.message
        async with self._database.session() as session:
            found = await session.scalar(
                select(UndeliveredRow).where(self._of(name), UndeliveredRow.message == message.id)
            )
            row = found or UndeliveredRow(
                tenant_id=self._database.tenant_id,
                webhook=name,
                message=message.id,
                source=message.source,
                event=message.event,
                body=message.body.decode(),
            )
            row.given_up_at, row.tries, row.failure = kept.given_up_at, kept.tries, kept.failure
            session.add(row)

    async def remove_undelivered(self, name: str, messages: Iterable[str]) -> None:
        """See `WebhookStore`."""
        if ids := list(messages):
            these = delete(UndeliveredRow).where(self._of(name), UndeliveredRow.message.in_(ids))
            async with self._database.session() as session:
                await session.execute(these)

    def _is(self, name: str) -> ColumnElement[bool]:
        return and_(WebhookRow.tenant_id == self._database.tenant_id, WebhookRow.name == name)

    def _of(self, name: str) -> ColumnElement[bool]:
        tenant = UndeliveredRow.tenant_id == self._database.tenant_id
        return and_(tenant, UndeliveredRow.webhook == name)


def _webhook(row: WebhookRow) -> Webhook:
    return Webhook(
        name=row.name,
        url=row.url,
        secret=row.secret,
        key=row.key,
        events=tuple(row.events),
        agents=tuple(row.agents),
        devices=tuple(row.devices),
        enabled=row.enabled,
        created_at=row.created_at,
    )
