"""The webhooks: added, changed, removed, and each told by a task of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog

from endpoint import plaintext
from endpoint.agents.webhooks import KNOWN_EVENTS, Message, Webhook, WebhookStore
from endpoint.app.agentview import AgentView
from endpoint.app.rights import Rights
from endpoint.app.signatures import new_secret
from endpoint.app.telling import Around, Teller
from endpoint.app.webhooksettings import WebhookSettings
from endpoint.callcontrol.controller import Keeper, once
from endpoint.errors import EndpointError
from endpoint.gateways.native import webhookmessages as wire
from endpoint.ivr.webhook import is_within, opened_session

log = structlog.get_logger(__name__)

TEST_TIMEOUT_S = 5.0


class WebhookRefused(EndpointError):
    """It can't be so, and why."""

    def __init__(self, reason: str, text: str, field: str = "", expected: str = "") -> None:
        super().__init__(text)
        self.reason = reason
        self.field = field
        self.expected = expected


class Webhooks:
    """All of a tenant: `async with Webhooks(store, settings, agents, rights) as webhooks`.

    Entering raises StorageError.
    """

    def __init__(
        self,
        store: WebhookStore,
        settings: WebhookSettings,
        agents: AgentView,
        rights: Rights,
        *,
        keep: Keeper = once,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._settings = settings
        self._agents = agents
        self._rights = rights
        self._keep = keep
        self._now = now
        self._tellers: dict[str, Teller] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks = asyncio.TaskGroup()
        self._changing = asyncio.Lock()
        """One change at a time: what is removed must not be begun by another meanwhile."""
        self._around: Around

    async def __aenter__(self) -> Self:
        found = [
            (webhook, places, list(await self._store.undelivered(webhook.name)))
            for webhook, places in await self._store.all()
        ]
        http = opened_session()
        self._around = Around(
            self._settings, self._store, http, self._agents, self._rights, self._now
        )
        await self._tasks.__aenter__()
        for webhook, places, undelivered in found:
            teller = Teller(webhook, places, undelivered, self._around)
            self._tellers[webhook.name] = teller
            self._begin(teller)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for name in list(self._running):
                await self._stop(name)
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._around.http.close()

    def all(self) -> list[Teller]:
        """Every webhook, and how it goes."""
        return list(self._tellers.values())

    def find(self, name: str) -> Teller:
        """One. Raises WebhookRefused."""
        if (found := self._tellers.get(name)) is None:
            raise WebhookRefused("unknown_webhook", f"there is no webhook {name}")
        return found

    async def add(self, wanted: wire.AddWebhook) -> Teller:
        """One more; it is told what happens from now on. Raises WebhookRefused, StorageError."""
        async with self._changing:
            self._check(wanted)
            webhook = Webhook(
                name=wanted.name,
                url=wanted.url,
                secret=new_secret(),
                key=secrets.token_hex(6),
                events=tuple(dict.fromkeys(wanted.events)),
                agents=tuple(dict.fromkeys(wanted.agents)),
                devices=tuple(dict.fromkeys(wanted.devices)),
                enabled=wanted.enabled,
                created_at=self._now(),
            )
            teller = Teller(webhook, {}, [], self._around)
            teller.begin_here()
            await self._store.put(webhook, teller.places)
            self._tellers[webhook.name] = teller
            self._begin(teller)
        log.info("webhook added", webhook=webhook.name)
        return teller

    async def enable(self, name: str, enabled: bool) -> Teller:
        """Have one told, or nothing for now. Raises WebhookRefused, StorageError."""
        async with self._changing:
            teller = self.find(name)
            if teller.webhook.enabled is not enabled:
                await self._stop(name)
                changed = replace(teller.webhook, enabled=enabled)
                try:
                    await self._store.put(changed, teller.places)
                    teller.webhook = changed
                finally:
                    self._begin(teller)
        return teller

    async def remove(self, name: str) -> None:
        """Tell one nothing any more. Raises WebhookRefused, StorageError."""
        async with self._changing:
            teller = self.find(name)
            # First: it is to put nothing aside that nobody would take away.
            await self._stop(name)
            try:
                await self._store.remove(name)
            except BaseException:
                self._begin(teller)
                raise
            del self._tellers[name]
        log.info("webhook removed", webhook=name)

    def retry(self, name: str) -> int:
        """Try at once; how much of what was put aside is told again. Raises WebhookRefused."""
        teller = self.find(name)
        if not teller.webhook.enabled:
            raise WebhookRefused("disabled", f"webhook {name} is disabled: enable it first")
        return teller.retry()

    async def test(self, name: str) -> str:
        """Tell one that it is tested, once; why it was not taken. Raises WebhookRefused."""
        teller, now = self.find(name), self._now()
        body = plaintext.encode(wire.WebhookTest(name, now))
        message = Message(f"{teller.webhook.key}-{secrets.token_hex(6)}-test", "test", "test", body)
        return await teller.try_once(message, min(TEST_TIMEOUT_S, self._settings.timeout_s))

    def _check(self, wanted: wire.AddWebhook) -> None:
        if wanted.name in self._tellers:
            raise WebhookRefused("name_taken", f"there is a webhook {wanted.name}; remove it first")
        if len(self._tellers) >= self._settings.most:
            raise WebhookRefused("too_many", f"there are {self._settings.most}, as webhooks.most")
        if unknown := sorted(set(wanted.events) - KNOWN_EVENTS):
            text = f"no event has the name {unknown[0][:64]}"
            raise WebhookRefused("bad_field", text, "$.events", "events of docs/native.md")
        try:
            is_allowed = is_within(wanted.url, self._settings.allowed)
        except ValueError:
            is_allowed = False
        if not is_allowed:
            begins = " or ".join(self._settings.allowed) or "nothing: webhooks.allowed is empty"
            text = "that address is not allowed; add how it begins to `allowed` below [webhooks]"
            raise WebhookRefused("bad_field", text, "$.url", f"what begins as {begins}")

    def _begin(self, teller: Teller) -> None:
        name = teller.webhook.name
        if teller.webhook.enabled:
            work = self._keep(f"webhook {name}", teller.run)
            self._running[name] = self._tasks.create_task(work, name=f"webhook {name}, kept")

    async def _stop(self, name: str) -> None:
        if (task := self._running.pop(name, None)) is None:
            return
        task.cancel()
        await asyncio.wait((task,))
        await self._tellers[name].keep_places()
