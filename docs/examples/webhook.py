"""A program that is told of events by HTTP: `webhook.py SECRET [PORT]`."""

from __future__ import annotations

import sys
from collections import OrderedDict

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

REMEMBERED = 10_000


class Receiver:
    def __init__(self, secret: str) -> None:
        self.webhook = Webhook(secret)
        self.seen: OrderedDict[str, None] = OrderedDict()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()  # before it is decoded: these very octets are signed
        try:
            told = self.webhook.verify(body, dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        if (message := request.headers["Webhook-Id"]) in self.seen:
            return web.Response(status=204)  # our last answer got lost
        source, event = request.headers["Webhook-Source"], request.headers["Webhook-Event"]
        print(source, told.get("number", "-"), event, flush=True)
        self.seen[message] = None
        if len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        return web.Response(status=204)  # taken: it is not told again


def main(secret: str, port: str = "9000") -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", Receiver(secret).take)
    web.run_app(app, host="127.0.0.1", port=int(port), print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
