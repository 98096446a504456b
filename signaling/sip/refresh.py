"""Keeps a session alive, and ends one whose far end keeps silent (RFC 4028 §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signaling.sip.message import Request, Response
from signaling.sip.session_timer import SessionTimer

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage

MAX_REFRESHES = 3
"""So often a refresh is tried in one interval: at its half, and then at half of what is left."""


class SessionRefresh:
    """The session timer of one session, as it runs."""

    def __init__(self, session: InviteUsage) -> None:
        self.timer = SessionTimer(session.core.config.session_timer)
        self._session = session
        self._timers = session.core.timers
        self._over_at = 0.0
        self._tries = 0

    def __repr__(self) -> str:
        return f"<SessionRefresh {self.timer!r} tries={self._tries}>"

    def agree(self, response: Response, now: float) -> None:
        """Our INVITE or UPDATE was answered 2xx."""
        self.timer.agree(response)
        self._begin(now)

    def answer(self, request: Request, now: float) -> tuple[tuple[str, str], ...]:
        """Header fields of the 2xx that we send now to theirs."""
        headers = self.timer.answer(request)
        self._begin(now)
        return headers

    def stop(self) -> None:
        """The session is over."""
        self._timers.stop(self, "refresh", "expiry")

    def handle_timer(self, name: str, now: float) -> None:
        """`refresh`: ours is due. `expiry`: nobody has refreshed the session."""
        if name == "expiry":
            self.stop()
            self._session.expire(now)
            return
        self._tries += 1
        if self._tries < MAX_REFRESHES:
            self._timers.start(self, "refresh", now + (self._over_at - now) / 2)
        self._session.refresh(now)

    def _begin(self, now: float) -> None:
        self.stop()
        lives_s, refresh_after_s = self.timer.lives_s, self.timer.refresh_after_s
        if lives_s is None or self._session.has_ended:
            return
        self._tries = 0
        self._over_at = now + lives_s
        self._timers.start(self, "expiry", self._over_at)
        if refresh_after_s is not None:
            self._timers.start(self, "refresh", now + refresh_after_s)
