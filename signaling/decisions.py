"""What may be decided on a request outside any dialog."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from signaling.sip.flow import Flow
from signaling.sip.message import Request
from signaling.sip.notifier import NotifierUsage


@dataclass(frozen=True, slots=True)
class Admit:
    """A decision: let the INVITE become a session."""

    user: str | None = None
    """Who proved to be the caller."""


@dataclass(frozen=True, slots=True)
class AdmitSubscription:
    """A decision: grant the SUBSCRIBE for so long."""

    expires_s: int
    opened: Callable[[NotifierUsage], None]
    """Given what notifies; its first NOTIFY is owed at once."""
    ended: Callable[[NotifierUsage], None]
    """Told once, when nobody is notified any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision: answer so, and that is all."""

    status: int
    reason: str | None = None
    headers: Sequence[tuple[str, str]] = ()


Decision = Admit | AdmitSubscription | Answer
RequestHandler = Callable[[Request, Flow], Awaitable[Decision]]
"""Decides on a request outside any dialog."""
