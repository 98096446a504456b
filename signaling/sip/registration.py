"""The REGISTER client: keeps one address of record bound, without I/O (RFC 3261 §10.2)."""

from __future__ import annotations

from enum import StrEnum

from signaling.sip.flow import Flow
from signaling.sip.uri import Uri


class RegistrationState(StrEnum):
    """What is true at the registrar, as far as we know."""

    WAITING = "waiting"
    """No flow to register over."""
    TRYING = "trying"
    REGISTERED = "registered"
    FAILED = "failed"
    """Refused; tried again after a pause unless the failure was fatal."""
    UNREGISTERING = "unregistering"
    UNREGISTERED = "unregistered"


class RegistrationUsage:
    """Made by `Stack.register`; kept alive by the stack's timers until `unregister` or a fatal refusal."""

    id: str
    aor: Uri
    state: RegistrationState
    flow: Flow | None
    contact: Uri | None

    def unregister(self, *, now: float) -> None:
        """Remove the binding (Expires: 0), then `Unregistered`; at once if there is none or no flow."""

    def flow_available(self, flow: Flow, *, now: float) -> None:
        """There is a (new) way to the registrar: register over it at once."""

    def retry(self, *, now: float) -> None:
        """Try again now, also after a fatal failure."""
