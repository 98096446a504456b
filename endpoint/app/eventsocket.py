"""The event WebSocket: a snapshot, then every event in its order, exactly once.

`GET /api/v1/events?from=N&run=R` resumes behind event N of run R; `from=-N` begins with the last N.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from aiohttp import WSCloseCode, web

from endpoint import plaintext
from endpoint.app.access import identity_of
from endpoint.app.bodies import BadRequest
from endpoint.app.livesockets import LiveSockets
from endpoint.app.native import NativeView
from endpoint.app.rights import Rights
from endpoint.app.sight import Sight
from endpoint.callcontrol.feed import EventsMissed, Subscription
from endpoint.gateways.native import messages as wire

HEARTBEAT_S = 30.0
MESSAGE_LIMIT_BYTES = 4096
"""Of what a client sends; it has nothing to say."""


class EventSocket:
    """One handler for all clients; each has a place of its own in the stream."""

    def __init__(self, view: NativeView, rights: Rights, live: LiveSockets) -> None:
        self._view = view
        self._rights = rights
        self._live = live
        self.clients = 0
        """Who reads events now."""

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [web.get(f"{wire.API}/events", self.handle)]

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it goes, or we do."""
        start = start_of(request)
        socket = web.WebSocketResponse(
            protocols=(wire.SUBPROTOCOL,),
            heartbeat=HEARTBEAT_S,
            max_msg_size=MESSAGE_LIMIT_BYTES,
            compress=False,
        )
        if not socket.can_prepare(request):
            raise BadRequest(426, wire.Refused("upgrade_required", "this is a WebSocket"))
        # The place is taken before the answer: whoever has that misses nothing from then on.
        run = request.query.get("run")
        sight = Sight(self._rights, identity_of(request))
        subscription, snapshot = await self._begin(sight, start, run, missed=False)
        await socket.prepare(request)
        self.clients += 1
        try:
            with self._live.held(identity_of(request), socket, request):
                async with asyncio.TaskGroup() as group:
                    writer = group.create_task(self._write(socket, sight, subscription, snapshot))
                    async for _ in socket:
                        pass
                    writer.cancel()
        finally:
            self.clients -= 1
        return socket

    async def _write(
        self,
        socket: web.WebSocketResponse,
        sight: Sight,
        subscription: Subscription,
        snapshot: str,
    ) -> None:
        with suppress(ConnectionError):
            while not socket.closed:
                try:
                    await socket.send_str(snapshot)
                    async for event in subscription:
                        await self._view.learn(event)
                        if (frame := sight.frame(self._view.frame(event))) is not None:
                            await socket.send_str(_encode(frame))
                except EventsMissed:
                    # Too slow for the history: what is true now replaces what was lost.
                    subscription, snapshot = await self._begin(sight, None, None, missed=True)
                    continue
                await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the endpoint stops")

    async def _begin(
        self, sight: Sight, start: int | None, run: str | None, *, missed: bool
    ) -> tuple[Subscription, str]:
        await self._view.directory.refresh()
        # No await between reading the state and taking a place in the stream.
        subscription, lost = self._subscribe(start, run)
        return subscription, _encode(sight.snapshot(self._view.snapshot(missed=missed or lost)))

    def _subscribe(self, start: int | None, run: str | None) -> tuple[Subscription, bool]:
        controller = self._view.controller
        if start is None:
            return controller.subscribe(), False
        if start < 0:
            after = max(0, controller.last_number + start)
        elif run is not None and run != self._view.run:
            return controller.subscribe(), True
        else:
            after = start
        try:
            return controller.subscribe(after), False
        except EventsMissed as error:
            oldest = min(error.oldest - 1, controller.last_number)
            return controller.subscribe(oldest), start >= 0


def _encode(frame: wire.Frame) -> str:
    return plaintext.encode(frame).decode()


def start_of(request: web.Request) -> int | None:
    """Where a client wants to begin; None: now. Raises `BadRequest`."""
    text = request.query.get("from")
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
        raise BadRequest(
            400,
            wire.Refused("bad_field", f"found {text[:40]!r}", "from", "an event's number, or -N"),
        )
    return int(text)
