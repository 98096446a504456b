"""The end of an endpoint that was asked to stop: calls may end by themselves, for a while."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import CallCleared
from endpoint.callcontrol.feed import Subscription

log = structlog.get_logger(__name__)


async def drain(controller: CallController, timeout_s: float) -> None:
    """Take no new calls, and hang up those that still live after so long.

    Who is in need is left on the line until the call is over: nobody knows what it is worth. Who
    can't wait for that cancels this; what lives then is hung up as the controller closes.
    """
    controller.refuse_new_calls()
    events = controller.subscribe()
    if calls := len(controller.calls()):
        log.info("waiting for calls to end", calls=calls, up_to_s=timeout_s)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await _over(controller, events)
            return
    log.warning("calls are hung up", calls=len(controller.calls()))
    if left := controller.end_calls():
        log.warning("emergency calls go on; a second signal hangs them up", calls=left)
        await _over(controller, events)


async def _over(controller: CallController, events: Subscription) -> None:
    """Wait until no call lives."""
    if not controller.calls():
        return
    async for numbered in events:
        if isinstance(numbered.event, CallCleared) and not controller.calls():
            return
