"""The notifier's end of a subscription (RFC 6665 §4.2).

It is told the state once, by `notify`; what a refresh, an unsubscription or the end of its time
need is sent by itself, with the content of the last `notify`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from signaling.errors import LocalProtocolError
from signaling.sip.core import Core
from signaling.sip.dialog import Dialog
from signaling.sip.events import SubscriptionChanged, SubscriptionEnded
from signaling.sip.exchange import Exchange
from signaling.sip.message import Request, Response
from signaling.sip.subscription import MAX_EXPIRES_S, Activity, EventType, SubscriptionState
from signaling.sip.transaction import Failure, ServerTransaction

if TYPE_CHECKING:
    from signaling.sip.invite import InviteUsage

BodySource: TypeAlias = bytes | Callable[[], bytes]
"""A body; or what makes it, called each time when it is really sent."""


@dataclass(frozen=True, slots=True)
class _Notice:
    """What a NOTIFY is to say."""

    content_type: str | None
    body: BodySource = field(repr=False)
    activity: Activity
    reason: str = ""


def tell_driver(usage: NotifierUsage, event: SubscriptionEnded, now: float) -> None:
    """What is done with the end of a subscription that nobody else minds."""
    usage.core.tell(SubscriptionChanged(usage, event))


class NotifierUsage:
    """We notify. Made by `Stack.accept_subscription`; its end comes as `SubscriptionChanged`.

    One NOTIFY at a time is on its way; of those that wait, the last alone is sent: it holds the
    whole state. Methods raise LocalProtocolError once it has ended.
    """

    def __init__(
        self,
        core: Core,
        event: EventType,
        dialog: Dialog,
        *,
        expires_at: float,
        contact_user: str | None,
        session: InviteUsage | None = None,
        says_id: bool = True,
        on_end: Callable[[NotifierUsage, SubscriptionEnded, float], None] = tell_driver,
    ) -> None:
        """`session` is the call in whose dialog it lives, if it does.

        `says_id` False leaves the `id` out, as it may be for the first REFER of a dialog.
        """
        self.core = core
        self.id = core.next_id("n")
        """Unique in its stack."""
        self.event = event
        self.dialog = dialog
        self.has_ended = False
        """Whether `SubscriptionEnded` was told."""
        self._session = session
        self._event = event if says_id else EventType(event.package)
        self._contact_user = contact_user
        self._expires_at = expires_at
        self._on_end = on_end
        self._last: _Notice | None = None
        self._waiting: _Notice | None = None
        self._sent: _Notice | None = None
        """On its way."""
        self.on_told: Callable[[float], None] | None = None
        """Called once, when the last NOTIFY was answered, or will not be."""
        self._is_over = False
        """The last NOTIFY is on its way or waits."""
        core.subscriptions.add(self)
        core.timers.start(self, "expires", expires_at)

    @classmethod
    def granted(
        cls,
        core: Core,
        event: EventType,
        server: ServerTransaction,
        expires_s: int | None,
        now: float,
    ) -> NotifierUsage:
        """The usage of a SUBSCRIBE outside any dialog, which is answered 200."""
        request = server.request
        asked = MAX_EXPIRES_S if request.expires is None else request.expires
        granted_s = min(asked, MAX_EXPIRES_S if expires_s is None else expires_s)
        notifier = cls(
            core,
            event,
            Dialog.of_request(request, server.to_tag, server.source),
            expires_at=now + granted_s,
            contact_user=request.uri.user,
        )
        notifier.answer(request, server, granted_s, now)
        return notifier

    def __repr__(self) -> str:
        return f"<NotifierUsage {self.id} {self.event} {self.dialog}>"

    @property
    def _contact(self) -> tuple[str, str]:
        """That of the call, where there is one: a NOTIFY may change the target (§4.2.1.1)."""
        if self._session is not None:
            return self._session.contact
        return self.core.contact(self.dialog.flow, self._contact_user)

    @property
    def says_its_last_word(self) -> bool:
        """The last NOTIFY is on its way, or about to be."""
        return self._is_over and not self.has_ended

    @property
    def end_point(self) -> tuple[str, str]:
        """What a request to it names: Call-ID and our tag."""
        return self.dialog.call_id, self.dialog.local.tag or ""

    @property
    def is_over(self) -> bool:
        """Whether its last NOTIFY is on its way, or was answered."""
        return self._is_over or self.has_ended

    def notify(
        self,
        content_type: str | None = None,
        body: BodySource = b"",
        *,
        activity: Activity = Activity.ACTIVE,
        reason: str = "",
        now: float,
    ) -> None:
        """Tell the state, as it is now. TERMINATED, with a `reason`, ends the subscription."""
        if self.is_over:
            raise LocalProtocolError("notify: the subscription has ended")
        self._last = _Notice(content_type, body, activity, reason)
        self._queue(self._last, now)

    def answer(
        self, subscribe: Request, server: ServerTransaction, expires_s: int, now: float
    ) -> None:
        """Grant a SUBSCRIBE so long; with 0 the NOTIFY that follows is the last (§4.2.1.4)."""
        self.dialog.refresh_target(subscribe)
        self._expires_at = now + expires_s
        headers = (
            ("Expires", str(expires_s)),
            self._contact,
        )
        self.core.respond(server, 200, headers=headers, now=now)
        if self._is_over:
            return
        if expires_s:
            self.core.timers.start(self, "expires", self._expires_at)
        if self._last is not None:
            self._queue(self._last, now)

    def receive(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a SUBSCRIBE in its dialog: a refresh, or the end. It is never longer than before."""
        if request.method != "SUBSCRIBE":
            self.core.respond(server, 481, now=now)
            return
        self.dialog.flow = server.source
        asked = MAX_EXPIRES_S if request.expires is None else request.expires
        self.answer(request, server, min(asked, MAX_EXPIRES_S), now)

    def handle_timer(self, name: str, now: float) -> None:
        """Its time is over (§4.2.1.4)."""
        self._queue(self._last or _Notice(None, b"", Activity.ACTIVE), now)

    # -- inside -------------------------------------------------------------------------------

    def _queue(self, notice: _Notice, now: float) -> None:
        self._is_over = notice.activity is Activity.TERMINATED or self._expires_at <= now
        if self._is_over:
            self.core.timers.stop(self, "expires")
        self._waiting = notice
        if self._sent is None:
            self._send(now)

    def _send(self, now: float) -> None:
        notice, self._waiting = self._waiting, None
        if notice is None:
            return
        self._sent = notice
        left_s = max(0, round(self._expires_at - now))
        if notice.activity is Activity.TERMINATED or self._is_over:
            state = SubscriptionState(Activity.TERMINATED, None, notice.reason or "timeout")
        else:
            state = SubscriptionState(notice.activity, left_s)
        self._exchange(
            (
                ("Event", str(self._event)),
                ("Subscription-State", str(state)),
                self._contact,
            ),
            notice.body() if callable(notice.body) else notice.body,
            notice.content_type,
        ).start(now)

    def _exchange(
        self, headers: tuple[tuple[str, str], ...], body: bytes, content_type: str | None
    ) -> Exchange:
        if self._session is not None:
            return self._session.in_dialog.exchange(
                "NOTIFY",
                headers=headers,
                body=body,
                content_type=content_type,
                on_response=self._answered,
                on_failure=self._failed,
                dialog=self.dialog,
            )
        return Exchange(
            self.core,
            self.core.dialog_request(
                self.dialog, "NOTIFY", headers=headers, body=body, content_type=content_type
            ),
            self.dialog.next_hop(),
            on_response=self._answered,
            on_failure=self._failed,
            next_cseq=self.dialog.next_cseq,
        )

    def _answered(self, response: Response, now: float) -> None:
        if response.status < 200:
            return
        self._sent = None
        if response.status >= 300 and response.headers.get("Retry-After") is None:
            self._end(response.status, response.phrase, now)  # §4.2.2
        elif self._waiting is not None:
            self._send(now)
        elif self._is_over:
            self._end(None, "", now)

    def _failed(self, failure: Failure, now: float) -> None:
        self._end(failure.status, "", now)

    def _end(self, status: int | None, text: str, now: float) -> None:
        self.has_ended = True
        self.core.timers.stop(self, "expires")
        self.core.subscriptions.remove(self)
        self._on_end(self, SubscriptionEnded(status, text), now)
        if self.on_told is not None:
            self.on_told(now)
