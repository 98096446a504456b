"""The INVITE usage: one call's signalling, in either role, as an object without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from signaling.sip.events import OperationId
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request


class Role(StrEnum):
    """Which end of the INVITE we are."""

    UAC = "uac"
    UAS = "uas"


class InviteUsage:
    """Made by `Stack.invite` and `Stack.open_session`. Methods raise `LocalProtocolError` in a state that forbids them.

    Everything that happens comes as `SessionChanged` events; `Ended` is the last, and there is exactly one.
    """

    id: str
    call_id: str
    role: Role
    local: NameAddr
    remote: NameAddr
    request: Request
    """The INVITE that began it."""
    flow: Flow
    sdp: bytes | None
    """The far end's current description."""

    def ring(self, sdp: bytes | None = None, *, status: int = 180, now: float) -> None:
        """Send a provisional response, 183 with early media or 180 (UAS). May be said again."""

    def accept(self, sdp: bytes, *, now: float) -> None:
        """UAS: answer 200 with our answer (or our offer, where the INVITE held none).

        UAC: give the answer to an offer that came in a 2xx (`Answered`, `ReinviteCompleted`); it goes in the ACK.
        """

    def reject(
        self,
        status: int,
        reason: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        now: float,
    ) -> None:
        """Refuse with 3xx–6xx (UAS)."""

    def cancel(self, q850: int | None = None, *, now: float) -> None:
        """Take back an INVITE that is not answered (UAC). A 2xx that crosses it gets ACK and BYE."""

    def bye(self, q850: int | None = None, *, now: float) -> None:
        """End an answered call. Before our 2xx is acknowledged the BYE waits for the ACK (RFC 3261 §15)."""

    def hang_up(self, status: int = 480, q850: int | None = None, *, now: float) -> None:
        """Whatever the state needs: CANCEL, `reject(status)`, BYE, or nothing. Never raises."""

    def reinvite(self, sdp: bytes | None, *, now: float) -> OperationId:
        """Offer anew; None asks the far end to offer. Waits for its turn; glare is retried. `ReinviteCompleted`."""

    def answer_reinvite(self, sdp: bytes, *, now: float) -> None:
        """Answer `Reinvited` with 200."""

    def reject_reinvite(self, status: int, *, now: float) -> None:
        """Refuse `Reinvited`; the session stays as it was."""

    def info(self, content_type: str, body: bytes, *, now: float) -> OperationId:
        """Send INFO in the dialog. Then `InfoCompleted`."""
