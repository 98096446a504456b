"""Requests that come from outside of any dialog: what is decided on each, and carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from signaling.agent_config import UserAgentConfig
from signaling.decisions import Admit, AdmitSubscription, Answer, Decision, RequestHandler
from signaling.mailbox import Mailbox
from signaling.session import Driver, InviteSession
from signaling.sip.events import RequestReceived
from signaling.sip.notifier import NotifierUsage
from signaling.sip.overload import Overload
from signaling.sip.stack import Stack

log = structlog.get_logger(__name__)


class Admission:
    """That of one user agent. A call that is let in is among its `sessions`, by the usage's id."""

    def __init__(
        self,
        stack: Stack,
        driver: Driver,
        config: UserAgentConfig,
        handler: RequestHandler,
        sessions: dict[str, InviteSession],
        invitations: Mailbox[InviteSession],
        next_name: Callable[[], str],
    ) -> None:
        """`invitations` is given each call to ring; `next_name` names it."""
        self._stack = stack
        self._driver = driver
        self._config = config
        self._handler = handler
        self._sessions = sessions
        self._invitations = invitations
        self._next_name = next_name
        self._overload = Overload(config.calls)
        self._pending = 0
        self._subscriptions: dict[str, Callable[[NotifierUsage], None]] = {}
        """What is to be told of the end of each."""

    async def decide_on(self, event: RequestReceived) -> None:
        """Ask the handler, and carry out what it decides."""
        decision: Decision
        if self._driver.is_closing or self._pending >= self._config.maximum_pending:
            decision = Answer(503)
        elif (
            event.request.method == "INVITE"
            and self._config.is_short()
            and not self._config.is_urgent(event.request)
        ):
            decision = Answer(503)  # before the user is looked up, which may take what is left
        else:
            self._pending += 1
            try:
                # Later than this nobody waits for the answer any more (RFC 3261 §17.1).
                async with asyncio.timeout(self._config.timers.timeout_s):
                    decision = await self._handler(event.request, event.flow)
            except Exception:
                # Last resort: a fault in deciding on one request must not end everybody's calls.
                log.exception("request could not be decided on", method=event.request.method)
                decision = Answer(500)
            finally:
                self._pending -= 1
        try:
            self._carry_out(event, decision)
        except Exception:
            log.exception("decision could not be carried out", method=event.request.method)
            self._stack.respond(event.transaction, 500, now=self._driver.now())
        self._driver.drain()

    def subscription_ended(self, usage: NotifierUsage) -> None:
        """Nobody is notified any more."""
        ended = self._subscriptions.pop(usage.id, None)
        if ended is not None:
            ended(usage)

    def _carry_out(self, event: RequestReceived, decision: Decision) -> None:
        match decision:
            case Answer():
                self._stack.respond(
                    event.transaction,
                    decision.status,
                    decision.reason,
                    headers=decision.headers,
                    now=self._driver.now(),
                )
            case Admit():
                self._admit(event, decision.user)
            case AdmitSubscription():
                self._admit_subscription(event, decision)

    def _admit_subscription(self, event: RequestReceived, decision: AdmitSubscription) -> None:
        usage = self._stack.accept_subscription(
            event.transaction, decision.expires_s, now=self._driver.now()
        )
        if usage is not None:
            self._subscriptions[usage.id] = decision.ended
            decision.opened(usage)

    def _admit(self, event: RequestReceived, user: str | None) -> None:
        if event.request.method != "INVITE":
            # A REFER is taken in a call alone: outside of one nobody is there to be transferred.
            status = 403 if event.request.method == "REFER" else 405
            self._stack.respond(event.transaction, status, now=self._driver.now())
            return
        is_urgent = user is not None and self._config.is_urgent(event.request)
        if not self._overload.admits(len(self._sessions), self._driver.now()) and not is_urgent:
            self._stack.respond(event.transaction, 503, now=self._driver.now())
            if self._overload.is_news(self._driver.now()):
                log.warning("calls are refused: overload", calls=len(self._sessions))
            return
        usage = self._stack.open_session(event.transaction, now=self._driver.now())
        if usage is None:
            return
        session = InviteSession(
            self._next_name(),
            self._driver,
            usage,
            local=usage.local,
            remote=usage.remote,
            authenticated_user=user,
            replaces=None if usage.replaces is None else self._driver.session_of(usage.replaces),
        )
        self._sessions[usage.id] = session
        self._invitations.put(session)
