"""Calls of ours on their way: the INVITE goes by one way after the other, until one is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from signaling.errors import LocalProtocolError, TransportError
from signaling.requests import LEFT, NO_ANSWER
from signaling.session import Driver, InviteRequest, InviteSession
from signaling.sip.events import Ended, SessionChanged
from signaling.sip.flow import Flow
from signaling.sip.stack import Stack
from signaling.transport.layer import STREAMS, TransportLayer, Ways

log = structlog.get_logger(__name__)


class Placing:
    """Those of one user agent; what is sent is among its `sessions`, by the usage's id."""

    def __init__(
        self,
        stack: Stack,
        layer: TransportLayer,
        driver: Driver,
        sessions: dict[str, InviteSession],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._stack = stack
        self._layer = layer
        self._driver = driver
        self._sessions = sessions
        self._spawn = spawn
        self._searches: dict[str, tuple[InviteSession, InviteRequest, Ways]] = {}
        """Calls that nobody has answered in any way yet, and how else they may go."""

    def place(self, session: InviteSession, invitation: InviteRequest) -> None:
        """Send the INVITE, by its flow or as soon as a way is found."""
        if invitation.flow is not None:
            self._begin(session, invitation, invitation.flow)
        else:
            self._spawn(self._begin_when_found(session, invitation))

    async def _begin_when_found(
        self, session: InviteSession, invitation: InviteRequest, ways: Ways | None = None
    ) -> None:
        hop = invitation.routes[0].uri if invitation.routes else invitation.target
        try:
            if ways is None:
                ways = await self._layer.ways_to(hop, invitation.by or STREAMS)
            flow = await ways.next()
        except TransportError as error:
            session.fail(error)
            return
        except asyncio.CancelledError:
            session.fail(TransportError(LEFT))
            raise
        except Exception as error:
            # Last resort: a fault in finding the way of one call must not end all others.
            log.exception("the way of a call could not be found", target=str(hop))
            session.fail(TransportError(f"the way to {hop} could not be found: {error}"))
            return
        if session.ended is None:
            self._begin(session, invitation, flow, ways)

    def goes_another_way(self, event: SessionChanged) -> bool:
        """Where an INVITE had no answer at all, or a 503, the next way is taken (RFC 3263 §4.3)."""
        search = self._searches.pop(event.session.id, None)
        if search is None or not isinstance(event.event, Ended):
            return False
        session, invitation, ways = search
        failed = event.event.by_remote and event.event.status in NO_ANSWER
        if self._driver.is_closing or not (failed and ways.has_more):
            return False
        self._layer.avoid(event.session.flow)
        del self._sessions[event.session.id]
        session.begin_again()
        self._spawn(self._begin_when_found(session, invitation, ways))
        return True

    def _begin(
        self,
        session: InviteSession,
        invitation: InviteRequest,
        flow: Flow,
        ways: Ways | None = None,
    ) -> None:
        try:
            usage = self._stack.invite(
                invitation.target,
                flow,
                from_=invitation.from_,
                to=invitation.to,
                sdp=invitation.sdp,
                credentials=invitation.credentials,
                headers=invitation.headers,
                contact_user=invitation.contact_user,
                routes=invitation.routes,
                now=self._driver.now(),
            )
        except LocalProtocolError as error:
            session.fail(TransportError(f"the INVITE can't be sent: {error}"))
            return
        session.begin(usage)
        self._sessions[usage.id] = session
        if ways is not None and ways.has_more:
            self._searches[usage.id] = session, invitation, ways
        self._driver.drain()
