"""What a session sends in its dialogs, and with which credentials (RFC 3261 §12.2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from signaling.sip.answer import SDP
from signaling.sip.auth import DigestClient
from signaling.sip.dialog import Dialog
from signaling.sip.events import InfoCompleted, OperationId
from signaling.sip.exchange import Exchange
from signaling.sip.flow import Flow
from signaling.sip.message import Request, Response
from signaling.sip.transaction import Failure

if TYPE_CHECKING:
    from signaling.sip.core import Core
    from signaling.sip.invite import InviteUsage


class InDialog:
    """Sends the requests of one session in whichever dialog of it; it may outlive the session."""

    def __init__(self, core: Core, first_hop: str, flow: Flow, digest: DigestClient | None) -> None:
        self.flow = flow
        """How the INVITE went, or the server before the far end is reached since."""
        self._core = core
        self._first_hop = first_hop
        self._digest = digest
        self._infos: dict[OperationId, None] = {}

    def __repr__(self) -> str:
        return f"<InDialog {self.flow} infos={len(self._infos)}>"

    def exchange(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[Failure, float], None],
        dialog: Dialog,
    ) -> Exchange:
        """A request in the dialog, ready to be started."""
        request = self._core.dialog_request(
            dialog, method, headers=headers, body=body, content_type=content_type
        )
        return self.exchange_of(request, on_response, on_failure, dialog)

    def exchange_of(
        self,
        request: Request,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[Failure, float], None],
        dialog: Dialog,
    ) -> Exchange:
        """The same for a request that is made already."""
        return Exchange(
            self._core,
            request,
            dialog.next_hop(),
            on_response=on_response,
            on_failure=on_failure,
            next_cseq=dialog.next_cseq,
            digest=self._digest,
            may_answer=lambda response: self._may_prove(dialog),
        )

    def acknowledgement(
        self,
        dialog: Dialog,
        cseq: int,
        sdp: bytes,
        credentials: Sequence[tuple[str, str]],
    ) -> Callable[[float], None]:
        """What sends the ACK of a 2xx to an INVITE in the dialog, as often as it is called.

        The credentials are left out where it goes another way than the first INVITE.
        """
        flow = dialog.next_hop()
        ack = self._core.dialog_request(
            dialog,
            "ACK",
            cseq=cseq,
            headers=credentials if flow == self.flow else (),
            body=sdp,
            content_type=SDP if sdp else None,
        )
        self._core.stamp(ack, flow)
        way = flow

        def send(now: float) -> None:
            # By TCP where it is too large for a datagram. Where that leads nowhere the ACK is lost,
            # the 2xx comes again, and that way is not taken a second time.
            nonlocal way
            chosen = self._core.stream_for(ack, flow) or flow
            if chosen != way:
                way = chosen
                self._core.stamp(ack, way)
            self._core.layer.send(way, ack.serialise(), now)

        return send

    def send_bye(self, dialog: Dialog, headers: Iterable[tuple[str, str]], now: float) -> None:
        """Send BYE; the dialog is kept for requests that cross it until it is answered.

        A last NOTIFY goes first: many a far end listens to none after the BYE, and would not hear
        what became of its REFER.
        """
        notifier = self._core.subscriptions.last_word_in(dialog)
        if notifier is not None:
            notifier.on_told = lambda now: self._say_bye_late(dialog, headers, now)
            return

        def answered(response: Response, now: float) -> None:
            if response.status >= 200:
                self._core.dialogs.pop(dialog.key, None)

        def failed(failure: Failure, now: float) -> None:
            self._core.dialogs.pop(dialog.key, None)

        self.exchange(
            "BYE", headers=headers, on_response=answered, on_failure=failed, dialog=dialog
        ).start(now)

    def _say_bye_late(self, dialog: Dialog, headers: Iterable[tuple[str, str]], now: float) -> None:
        if dialog.key in self._core.dialogs:  # else the far end has said BYE meanwhile
            self.send_bye(dialog, headers, now)

    # -- INFO ---------------------------------------------------------------------------------

    def info(
        self,
        session: InviteUsage,
        operation: OperationId,
        content_type: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        now: float,
    ) -> None:
        """Send INFO (RFC 6086). Then one `InfoCompleted`."""
        self._infos[operation] = None
        self.exchange(
            "INFO",
            headers=headers,
            body=body,
            content_type=content_type,
            on_response=partial(self._info_answered, session, operation),
            on_failure=lambda failure, now: self._info_completed(
                session, operation, failure.status
            ),
            dialog=session.dialog,
        ).start(now)

    def _info_answered(
        self, session: InviteUsage, operation: OperationId, response: Response, now: float
    ) -> None:
        if response.status < 200:
            return
        self._info_completed(session, operation, response.status)
        if response.status == 481:
            session.lose(481, response.phrase, now, bye=False)

    def _info_completed(self, session: InviteUsage, operation: OperationId, status: int) -> None:
        if operation in self._infos:
            del self._infos[operation]
            session.tell(InfoCompleted(operation, status))

    def end(self, session: InviteUsage) -> None:
        """The session is over: nobody waits any more."""
        for operation in list(self._infos):
            self._info_completed(session, operation, 481)

    # -- credentials --------------------------------------------------------------------------

    def _may_prove(self, dialog: Dialog) -> bool:
        """Whether a challenge in the dialog is surely not the called party's (S15).

        It is the server's own if the far end is the server: at the place that the INVITE went to,
        and with nobody between. Behind a proxy nothing tells a proxy's 407 from a forged one.
        """
        if self._digest is None or dialog.flow != self.flow:
            return False
        credentials = self._digest.credentials
        if credentials.in_dialog:
            return True
        places = {self.flow.host, self._first_hop, credentials.host}
        return not dialog.route_set and dialog.remote_target.host in places
