"""Phones that ask for a transfer (REFER), and what they are told of it, also after their leg."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from endpoint.legs.base import DeviceId, LegEvent, LegId, TransferAsked
from endpoint.legs.line import Transfers
from endpoint.legs.session import CallSession
from signaling.sip.identity import number_of
from signaling.user_agent import Referred

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Asked:
    referred: Referred
    is_accepted: bool = False


class Referrals:
    """One transfer a leg is under way at a time; another is refused meanwhile (491)."""

    def __init__(
        self,
        emit: Callable[[LegEvent], None],
        leg_with: Callable[[CallSession], LegId | None],
    ) -> None:
        """`leg_with` finds the leg of a call."""
        self._emit = emit
        self._leg_with = leg_with
        self._open: dict[LegId, _Asked] = {}

    def __repr__(self) -> str:
        return f"<Referrals {list(self._open)}>"

    def ask(self, leg: LegId, referred: Referred, transfers: Transfers) -> None:
        """A leg's far end asks; `transfers` is what its line does about that."""
        destination = number_of(referred.refer_to)
        replaced = None if referred.replaced is None else self._leg_with(referred.replaced)
        if not transfers.accepts:
            self._refuse(leg, referred, 603, "its line takes no transfers: accept_refer")
        elif leg in self._open:
            self._refuse(leg, referred, 491, "another one is under way")
        elif not destination:
            self._refuse(leg, referred, 404, "it names nobody")
        elif referred.replaces is not None and replaced is None:
            self._refuse(leg, referred, 481, "the call that it names is none of ours")
        else:
            self._open[leg] = _Asked(referred)
            outside = not transfers.are_ours
            self._emit(TransferAsked(leg, DeviceId(destination), replaced, outside))

    def tell(self, leg: LegId, sip_status: int) -> None:
        """See `Exchange.tell_transfer`."""
        asked = self._open.get(leg)
        if asked is None:
            return
        if sip_status >= 200:
            del self._open[leg]
        if sip_status >= 300 and not asked.is_accepted:
            self._refuse(leg, asked.referred, sip_status, "call control does not allow it")
            return
        if not asked.is_accepted:
            asked.is_accepted = True
            asked.referred.accept()
        if sip_status >= 200:
            asked.referred.complete(sip_status)
        elif sip_status > 100:
            asked.referred.progress(sip_status)

    def _refuse(self, leg: LegId, referred: Referred, status: int, reason: str) -> None:
        log.warning("transfer refused", leg=leg, sip_status=status, reason=reason)
        referred.refuse(status)
