"""An INVITE of ours on its way: forks, ACKs and CANCEL (RFC 3261 §9.1, §13.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from signaling.sip.answer import sdp_of
from signaling.sip.auth import DigestClient
from signaling.sip.dialog import Dialog
from signaling.sip.early import EarlyDialog
from signaling.sip.exchange import CREDENTIALS, Exchange, credentials_of
from signaling.sip.flow import Flow
from signaling.sip.headers import CSeq
from signaling.sip.machines import State
from signaling.sip.message import Headers, Request, Response
from signaling.sip.offers import First
from signaling.sip.session_timer import MAX_RAISES
from signaling.sip.transaction import Failure

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage


MAX_FORKS = 32
"""So many far ends may ring by one INVITE; of more it is only told that they ring."""


class Calling:
    """The caller's half of a session, until its INVITE is answered, and its stragglers after that.

    A proxy may fork the INVITE, so each To tag is a dialog of its own. The first 2xx wins; every
    other one is acknowledged and ended with BYE. So is one that crosses our CANCEL.
    """

    def __init__(self, session: InviteUsage, flow: Flow, digest: DigestClient | None) -> None:
        self._session = session
        self._core = session.core
        self._digest = digest
        self._exchange = self._attempt(session.request, flow)
        self._raises = 0
        """How often the INVITE was sent again for a 422."""
        self._forks: dict[str, EarlyDialog] = {}
        """Early dialogs by the far end's tag, the one that spoke last at the end."""
        self._acks: dict[str, Callable[[float], None] | None] = {}
        """By tag of each 2xx, what sends its ACK; None while our answer to its offer is awaited."""
        self._is_answered = False
        self._cancel: tuple[tuple[str, str], ...] | None = None
        """Headers of the CANCEL that is wanted."""

    def __repr__(self) -> str:
        return f"<Calling {self._exchange!r} forks={list(self._forks)}>"

    def _attempt(self, invite: Request, flow: Flow, *, guess: bool = False) -> Exchange:
        return Exchange(
            self._core,
            invite,
            flow,
            on_response=self._responded,
            on_failure=self._failed,
            next_cseq=self._next_cseq,
            digest=self._digest,
            may_answer=lambda response: not self._session.has_ended,
            guess=guess,
        )

    def _next_cseq(self) -> int:
        self._session.note()  # it is sent again, as another transaction
        return self._exchange.request.cseq.number + 1

    @property
    def sent(self) -> tuple[Request, Flow]:
        """The INVITE as it was sent last, and how."""
        return self._exchange.request, self._exchange.way

    @property
    def is_heard(self) -> bool:
        """Whether any response came."""
        transaction = self._exchange.transaction
        return transaction is not None and transaction.state is not State.CALLING

    def start(self, now: float) -> None:
        """Send the INVITE."""
        self._exchange.start(now)

    def fork(self, tag: str) -> EarlyDialog | None:
        """The early dialog with the far end of that tag; "": the one that spoke last."""
        if not tag and self._forks:
            return next(reversed(self._forks.values()))
        return self._forks.get(tag)

    def drop_fork(self, tag: str, now: float) -> bool:
        """Forget an early dialog; False if there is none."""
        fork = self._forks.pop(tag, None)
        if fork is not None:
            self._core.dialogs.pop(fork.dialog.key, None)
            fork.offers.end(now)
        return fork is not None

    def acknowledge(self, dialog: Dialog, sdp: bytes, now: float) -> None:
        """Send the ACK of a 2xx, now and whenever the 2xx is repeated (§13.2.2.4).

        It holds the credentials of the INVITE (§22.1), where it goes the same way.
        """
        request = self._exchange.request
        send = self._session.in_dialog.acknowledgement(
            dialog, request.cseq.number, sdp, credentials_of(request)
        )
        self._acks[dialog.remote.tag or ""] = send
        send(now)

    def cancel(self, headers: tuple[tuple[str, str], ...], now: float) -> None:
        """Send CANCEL, once a first response says that there is something to cancel (§9.1)."""
        self._cancel = headers
        self.forget_forks(now)
        transaction = self._exchange.transaction
        if transaction is not None and transaction.state is State.PROCEEDING:
            self._send_cancel(headers, now)

    def handle_timer(self, name: str, now: float) -> None:
        """64*T1 after the CANCEL: the INVITE counts as ended (§9.1)."""
        if self._exchange.transaction is not None:
            self._exchange.transaction.abandon(now)

    # -- responses ----------------------------------------------------------------------------

    def _responded(self, response: Response, now: float) -> None:
        if response.status < 200:
            self._progressed(response, now)
        elif response.status < 300:
            self._succeeded(response, now)
        else:
            self._core.timers.stop(self, "cancel")
            self.forget_forks(now)
            if response.status == 422 and self._may_ask_longer(response):
                self._ask_longer(now)
            else:
                self._session.refused(response, now)

    def _may_ask_longer(self, response: Response) -> bool:
        if self._session.has_ended or self._raises == MAX_RAISES:
            return False
        return self._session.session_refresh.timer.raise_minimum(response)

    def _ask_longer(self, now: float) -> None:
        """Send the INVITE again, with the interval that was asked for (RFC 4028 §7.3)."""
        self._raises += 1
        before = self._exchange.request
        headers = before.headers.copy()
        for name in CREDENTIALS:  # their nonce count has been used
            headers.remove(name)
        headers.set("CSeq", str(CSeq(before.cseq.number + 1, "INVITE")))
        for name, value in self._session.session_refresh.timer.ask():
            headers.set(name, value)
        again = Request("INVITE", before.uri, headers, before.body)
        self._exchange = self._attempt(again, self._exchange.flow, guess=True)
        self._exchange.start(now)
        self._session.note()

    def _failed(self, failure: Failure, now: float) -> None:
        self._core.timers.stop(self, "cancel")
        self.forget_forks(now)
        self._session.failed(failure, now)

    def _progressed(self, response: Response, now: float) -> None:
        if self._cancel is not None:
            self._send_cancel(self._cancel, now)
        elif response.status > 100 and not self._is_answered:
            is_news, sdp = True, sdp_of(response)
            tag = response.to.tag
            if tag and (tag in self._forks or len(self._forks) < MAX_FORKS):
                fork = self._forks.pop(tag, None)
                if fork is None:
                    fork = EarlyDialog(self._session, self._dialog(response))
                    self._core.dialogs[fork.dialog.key] = self._session
                self._forks[tag] = fork
                is_news, sdp = fork.take(response, now)
            if is_news:
                self._session.progressed(response, sdp)

    def _succeeded(self, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            send = self._acks[tag]
            if send is not None:
                send(now)
            return
        fork = self._forks.pop(tag, None) or EarlyDialog(self._session, self._dialog(response))
        dialog, offers = fork.dialog, fork.offers
        dialog.confirm(response)
        self._core.dialogs[dialog.key] = self._session
        if self._is_answered or self._cancel is not None:
            # Another fork was first, or a CANCEL of ours crossed this 2xx: the 2xx wins.
            self._core.timers.stop(self, "cancel")
            self.acknowledge(dialog, b"", now)
            offers.end(now)
            self._session.in_dialog.send_bye(dialog, self._cancel or (), now)
            return
        self._is_answered = True
        self.forget_forks(now)
        if offers.first is not First.SETTLED:
            offers.take(sdp_of(response) or fork.preview or offers.sdp)
            offers.first = First.SETTLED if self._session.request.body else First.THEIRS
        if offers.first is First.SETTLED:
            self.acknowledge(dialog, b"", now)
        else:
            self._acks[tag] = None
        self._session.answered(dialog, offers, response, now)

    def _dialog(self, response: Response) -> Dialog:
        return Dialog.of_response(self._exchange.request, response, self._exchange.flow)

    def forget_forks(self, now: float) -> None:
        """Nobody rings any more, or one has answered."""
        for tag in list(self._forks):
            self.drop_fork(tag, now)

    def _send_cancel(self, extra: tuple[tuple[str, str], ...], now: float) -> None:
        """As the INVITE, to the same hop, with the same branch (§9.1)."""
        timers, invite = self._core.timers, self._exchange.request
        if timers.is_running(self, "cancel"):
            return
        timers.start(self, "cancel", now + self._core.config.timers.timeout_s)
        self._core.layer.start_client(
            cancel_of(invite, extra),
            self._exchange.way,
            now,
            lambda response, now: None,
            lambda failure, now: None,
        )


def cancel_of(invite: Request, extra: tuple[tuple[str, str], ...]) -> Request:
    """The CANCEL of an INVITE, as it was sent (§9.1)."""
    headers = Headers([("Via", str(invite.via)), ("Max-Forwards", "70")])
    for route in invite.headers.get_all("Route"):
        headers.add("Route", route)
    for name in ("From", "To", "Call-ID"):
        headers.add(name, invite.headers.get(name) or "")
    headers.add("CSeq", str(CSeq(invite.cseq.number, "CANCEL")))
    for name, value in extra:
        headers.add(name, value)
    return Request("CANCEL", invite.uri, headers)
