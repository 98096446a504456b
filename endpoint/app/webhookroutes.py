"""Webhooks over HTTP, below `/api/v1/webhooks`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from endpoint.app.access import refusal
from endpoint.app.bodies import json_answer, read_body
from endpoint.app.telling import Teller
from endpoint.app.webhooks import WebhookRefused, Webhooks
from endpoint.gateways.native import messages
from endpoint.gateways.native import webhookmessages as wire

_STATUS = {
    "unknown_webhook": 404,
    "bad_field": 400,
    "name_taken": 409,
    "too_many": 409,
    "disabled": 409,
}
_Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class WebhookRoutes:
    """Handlers over all webhooks."""

    webhooks: Webhooks
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        all_ = f"{messages.API}/webhooks"
        one = f"{all_}/{{webhook}}"
        return [
            web.get(all_, self.all),
            web.post(all_, self._told(self.add)),
            web.get(one, self._told(self.one)),
            web.patch(one, self._told(self.change)),
            web.delete(one, self._told(self.remove)),
            web.post(f"{one}/retry", self._told(self.retry)),
            web.post(f"{one}/test", self._told(self.test)),
        ]

    async def all(self, _request: web.Request) -> web.Response:
        """`GET /webhooks`."""
        return json_answer(wire.Webhooks([_shown(each) for each in self.webhooks.all()]))

    async def add(self, request: web.Request) -> web.Response:
        """`POST /webhooks`."""
        wanted = await read_body(request, wire.AddWebhook, timeout_s=self.body_timeout_s)
        added = await self.webhooks.add(wanted)
        return json_answer(wire.IssuedWebhook(_shown(added), added.webhook.secret), 201)

    async def one(self, request: web.Request) -> web.Response:
        """`GET /webhooks/{webhook}`."""
        return json_answer(_shown(self.webhooks.find(_name(request))))

    async def change(self, request: web.Request) -> web.Response:
        """`PATCH /webhooks/{webhook}`."""
        wanted = await read_body(request, wire.ChangeWebhook, timeout_s=self.body_timeout_s)
        return json_answer(_shown(await self.webhooks.enable(_name(request), wanted.enabled)))

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /webhooks/{webhook}`."""
        await self.webhooks.remove(_name(request))
        return web.Response(status=204)

    async def retry(self, request: web.Request) -> web.Response:
        """`POST /webhooks/{webhook}/retry`."""
        return json_answer(wire.WebhookRetried(self.webhooks.retry(_name(request))), 202)

    async def test(self, request: web.Request) -> web.Response:
        """`POST /webhooks/{webhook}/test`."""
        failure = await self.webhooks.test(_name(request))
        return json_answer(wire.WebhookTested(not failure, failure))

    @staticmethod
    def _told(handler: _Handler) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except WebhookRefused as refused:
                told = messages.Refused(
                    refused.reason, str(refused), refused.field, refused.expected
                )
                return refusal(_STATUS[refused.reason], told)

        return handle


def _name(request: web.Request) -> str:
    return request.match_info["webhook"]


def _shown(teller: Teller) -> wire.Webhook:
    webhook, places = teller.webhook, teller.progress()
    return wire.Webhook(
        name=webhook.name,
        url=webhook.url,
        events=[*webhook.events],
        agents=[*webhook.agents],
        devices=[*webhook.devices],
        enabled=webhook.enabled,
        created_at=webhook.created_at,
        taken=teller.taken,
        failures=teller.failures,
        failing=teller.failing,
        last_failure=teller.last_failure,
        places=[wire.WebhookPlace(*each) for each in places],
        waiting=sum(waiting for _, _, waiting in places),
        undelivered=[
            wire.UndeliveredEvent(
                id=each.message.id,
                source=each.message.source,
                event=each.message.event,
                given_up_at=each.given_up_at,
                tries=each.tries,
                failure=each.failure,
            )
            for each in teller.undelivered.values()
        ],
        forgotten=teller.forgotten,
    )
