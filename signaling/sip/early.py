"""One of the far ends that an INVITE of ours rings at: an early dialog, and its PRACKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signaling.sip.answer import SDP, sdp_of
from signaling.sip.dialog import Dialog
from signaling.sip.headers import CSeq, RAck
from signaling.sip.message import Response
from signaling.sip.offers import First, Offers
from signaling.sip.reliable import rseq_of
from signaling.sip.transaction import Failure

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage


class EarlyDialog:
    """What came from one far end before its final response (RFC 3261 §13.2.2.1, RFC 3262 §4).

    Reliable responses are acknowledged in the order of RSeq. One that comes too early is as good
    as lost: it is repeated until its turn has come.
    """

    def __init__(self, session: InviteUsage, dialog: Dialog) -> None:
        first = First.OURS if session.request.body else First.MISSING
        self.dialog = dialog
        self.offers = Offers(session, dialog, first, fork=dialog.remote.tag or "")
        self.preview: bytes | None = None
        """An answer in a response that was not reliable; the 2xx will hold the same."""
        self._session = session
        self._rseq: int | None = None
        """The last that came in order."""
        self._owing: RAck | None = None
        """Of a response that held an offer: its PRACK waits for our answer."""
        self._pracks = 0
        """Those on their way."""

    def __repr__(self) -> str:
        return f"<EarlyDialog {self.dialog!r} rseq={self._rseq}>"

    def take(self, response: Response, now: float) -> tuple[bool, bytes | None]:
        """Whether a 101-199 is news, and what it says of audio: an answer, or an offer.

        An offer is there where the INVITE held none; then `accept` is owed.
        """
        self.dialog.learn(response)
        rseq, sdp = rseq_of(response), sdp_of(response)
        if rseq is None:
            if self.offers.first is not First.OURS:
                sdp = None  # answered already; or an offer, which must be reliable (§13.2.1)
            self.preview = sdp or self.preview
            return True, sdp
        if self._rseq is not None and rseq != self._rseq + 1:
            return False, None
        self._rseq = rseq
        if self.offers.first in (First.SETTLED, First.THEIRS):
            sdp = None  # RFC 3261 §13.2.1: it holds the same, or nothing that counts
        rack = RAck(rseq, CSeq(response.cseq.number, "INVITE"))
        self.offers.take(sdp)
        if sdp is not None and self.offers.first is First.MISSING:
            self.offers.first = First.THEIRS
            self._owing = rack
        else:
            if sdp is not None:
                self.offers.first = First.SETTLED
            self._acknowledge(rack, None, now)
        return True, sdp

    def accept(self, sdp: bytes, now: float) -> bool:
        """Answer its offer in the PRACK that waits (RFC 3262 §5); False where none does."""
        rack, self._owing = self._owing, None
        if rack is None:
            return False
        self.offers.first = First.SETTLED
        self.offers.local_sdp = sdp
        self._acknowledge(rack, sdp, now)
        return True

    def _acknowledge(self, rack: RAck, sdp: bytes | None, now: float) -> None:
        self._pracks += 1
        self.offers.is_paused = True

        def answered(response: Response, now: float) -> None:
            if response.status >= 200:
                self._go_on(now)

        def failed(failure: Failure, now: float) -> None:
            self._go_on(now)

        self._session.in_dialog.exchange(
            "PRACK",
            headers=(("RAck", str(rack)),),
            body=sdp or b"",
            content_type=None if sdp is None else SDP,
            on_response=answered,
            on_failure=failed,
            dialog=self.dialog,
        ).start(now)

    def _go_on(self, now: float) -> None:
        """Also where it was refused: what becomes of the call, the INVITE's response will say."""
        self._pracks -= 1
        self.offers.is_paused = self._pracks > 0
        self.offers.proceed(now)
