"""WebSockets live longer than what let them in: they are told before that ends, and closed then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from aiohttp import web

from endpoint import plaintext
from endpoint.agents.identity import Identity
from endpoint.gateways.native import messages as wire

log = structlog.get_logger(__name__)

CREDENTIALS_OVER = 4401
"""Close code (RFC 6455 §7.4.2, private use): get another token, and come back behind the event."""
LOOK_S = 1.0
_CLOSE_TIMEOUT_S = 2.0


@dataclass(eq=False, slots=True)
class _Held:
    identity: Identity
    socket: web.WebSocketResponse
    request: web.Request
    told: bool = False
    over: bool = False


class LiveSockets:
    """All that are open. `watch` goes on beside; each socket is held while it is served."""

    def __init__(
        self,
        stands: Callable[[Identity], bool],
        notice_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`stands`: whether who was let in may still ask."""
        self._stands = stands
        self._notice = timedelta(seconds=notice_s)
        self._now = now
        self._held: set[_Held] = set()
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Something was revoked: look at once."""
        self._changed.set()

    @contextmanager
    def held(
        self, identity: Identity, socket: web.WebSocketResponse, request: web.Request
    ) -> Iterator[None]:
        """While this socket is served, and has been prepared."""
        one = _Held(identity, socket, request)
        self._held.add(one)
        try:
            yield
        finally:
            self._held.discard(one)

    async def watch(self) -> None:
        """Look at all, now and again.

        What a token says is a moment of the wall clock, and that may be set: so no timer is set to
        that moment, it is looked at every second.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for one in tuple(self._held):
                    self._look(one, group)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()

    def _look(self, one: _Held, group: asyncio.TaskGroup) -> None:
        ends = one.identity.expires_at
        if one.over:
            return
        if not self._stands(one.identity):
            one.over = True
            log.info("socket closed", reason="credentials", credential=one.identity.credential)
            group.create_task(self._close(one))
        elif ends is not None and not one.told and self._now() >= ends - self._notice:
            one.told = True
            group.create_task(self._tell(one, ends))

    async def _tell(self, one: _Held, ends: datetime) -> None:
        frame = plaintext.encode(wire.CredentialsExpiring(ends)).decode()
        # Who reads nothing is closed when it is over, told or not.
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await one.socket.send_str(frame)

    async def _close(self, one: _Held) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await one.socket.close(code=CREDENTIALS_OVER, message=b"credentials are over")
        except (ConnectionError, TimeoutError):
            if (transport := one.request.transport) is not None:
                transport.abort()
