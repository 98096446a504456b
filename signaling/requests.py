"""Requests outside any dialog: each is sent by the ways that lead there, until one is answered."""

from __future__ import annotations

import asyncio
from typing import Final

from signaling.errors import TransportError
from signaling.session import Driver
from signaling.sip.events import RequestCompleted, RequestId
from signaling.sip.flow import Flow
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.stack import Stack
from signaling.transport.layer import TransportLayer, Ways

LEFT: Final = "the user agent has been left"
NO_ANSWER: Final = (408, 503)
"""Statuses that stand for a server that does not answer, or can't serve (RFC 3263 §4.3)."""


class Requests:
    """Those of one user agent that wait for their final response."""

    def __init__(self, stack: Stack, layer: TransportLayer, driver: Driver) -> None:
        self._stack = stack
        self._layer = layer
        self._driver = driver
        self._waiting: dict[RequestId, asyncio.Future[RequestCompleted]] = {}

    async def request(self, wanted: OutOfDialogRequest) -> RequestCompleted:
        """See `UserAgent.request`. Raises TransportError where no way leads to the target."""
        ways, flow = Ways(), wanted.flow
        if flow is None:
            ways = await self._layer.ways_to(wanted.target)
            flow = await ways.next()
        while True:
            completed = await self._ask(wanted, flow)
            if completed.status not in NO_ANSWER or not ways.has_more:
                return completed
            self._layer.avoid(flow)
            try:
                flow = await ways.next()
            except TransportError:
                return completed

    async def _ask(self, wanted: OutOfDialogRequest, flow: Flow) -> RequestCompleted:
        request = self._stack.request(wanted, flow, now=self._driver.now())
        waiter: asyncio.Future[RequestCompleted] = asyncio.get_running_loop().create_future()
        self._waiting[request] = waiter
        try:
            self._driver.drain()
            return await waiter
        finally:
            if self._waiting.pop(request, None) is not None:  # who asked has given up
                self._stack.forget(request)
                self._driver.drain()

    def completed(self, event: RequestCompleted) -> None:
        """A final response came, or none will."""
        waiter = self._waiting.pop(event.request, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(event)

    def abandon(self, error: TransportError) -> None:
        """Nobody waits any longer."""
        for request, waiter in self._waiting.items():
            if not waiter.done():
                waiter.set_result(RequestCompleted(request, 503, None, error))
        self._waiting.clear()
