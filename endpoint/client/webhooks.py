"""What the client asks about webhooks."""

from __future__ import annotations

from urllib.parse import quote

from endpoint.client.plan import Asks
from endpoint.gateways.native import webhookmessages as wire


def _at(name: str, word: str = "") -> str:
    return f"/webhooks/{quote(name, safe='')}{word}"


class WebhookRequests:
    """Part of `EndpointClient`. Each raises as its other methods do."""

    async def webhooks(self: Asks) -> list[wire.Webhook]:
        """All, and how each goes."""
        return (await self._ask("GET", "/webhooks", wire.Webhooks)).webhooks

    async def webhook(self: Asks, name: str) -> wire.Webhook:
        """One, and how it goes."""
        return await self._ask("GET", _at(name), wire.Webhook)

    async def add_webhook(self: Asks, webhook: wire.AddWebhook) -> wire.IssuedWebhook:
        """One more, and its secret, which is told this once."""
        return await self._ask("POST", "/webhooks", wire.IssuedWebhook, webhook)

    async def enable_webhook(self: Asks, name: str, enabled: bool = True) -> wire.Webhook:
        """Have it told, or nothing for now."""
        return await self._ask("PATCH", _at(name), wire.Webhook, wire.ChangeWebhook(enabled))

    async def remove_webhook(self: Asks, name: str) -> None:
        """Tell it nothing any more."""
        await self._send("DELETE", _at(name))

    async def retry_webhook(self: Asks, name: str) -> int:
        """Try at once, and what was given up too; how much that is."""
        return (await self._ask("POST", _at(name, "/retry"), wire.WebhookRetried)).retrying

    async def test_webhook(self: Asks, name: str) -> wire.WebhookTested:
        """Tell it something that is no event, once."""
        return await self._ask("POST", _at(name, "/test"), wire.WebhookTested)
