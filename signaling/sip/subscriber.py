"""The subscriber's end of a subscription (RFC 6665 §4.1)."""

from __future__ import annotations

from collections.abc import Callable

from signaling.errors import RemoteProtocolError
from signaling.sip.core import Core
from signaling.sip.dialog import Dialog
from signaling.sip.message import Request
from signaling.sip.subscription import MAX_EXPIRES_S, Activity, EventType, SubscriptionState
from signaling.sip.transaction import ServerTransaction


class SubscriberUsage:
    """We are notified: what waits for the NOTIFYs that a request of ours has asked for.

    Each is answered 200 and handed to `on_notify`. `on_silence` is told once where none comes in
    time: the first within 64*T1 of `expect` (timer N), the next before what the last one granted.
    """

    def __init__(
        self,
        core: Core,
        event: EventType,
        dialog: Dialog,
        *,
        on_notify: Callable[[SubscriptionState, Request, float], None],
        on_silence: Callable[[float], None],
    ) -> None:
        self.core = core
        self.event = event
        """An `id` that the far end leaves out counts as this one."""
        self.dialog = dialog
        self._on_notify = on_notify
        self._on_silence = on_silence
        core.subscriptions.add(self)

    def __repr__(self) -> str:
        return f"<SubscriberUsage {self.event} {self.dialog}>"

    says_its_last_word = False

    @property
    def end_point(self) -> tuple[str, str]:
        """What a request to it names: Call-ID and our tag."""
        return self.dialog.call_id, self.dialog.local.tag or ""

    def expect(self, now: float) -> None:
        """The request was taken: a NOTIFY must come soon, unless one came before."""
        if not self.core.timers.is_running(self, "silence"):
            self._wait(now, 0)

    def end(self) -> None:
        """Wait no longer."""
        self.core.timers.stop(self, "silence")
        self.core.subscriptions.remove(self)

    def receive(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a NOTIFY."""
        if request.method != "NOTIFY":
            self.core.respond(server, 481, now=now)
            return
        try:
            state = SubscriptionState.of(request)
        except RemoteProtocolError as error:
            self.core.respond(server, error.status_hint, str(error), now=now)
            return
        self.core.respond(server, 200, now=now)
        self.dialog.refresh_target(request)
        self.dialog.flow = server.source
        self._wait(now, MAX_EXPIRES_S if state.expires_s is None else state.expires_s)
        if state.activity is Activity.TERMINATED:
            self.end()
        self._on_notify(state, request, now)

    def handle_timer(self, name: str, now: float) -> None:
        """No NOTIFY came."""
        self.end()
        self._on_silence(now)

    def _wait(self, now: float, expires_s: int) -> None:
        until = now + min(expires_s, MAX_EXPIRES_S) + self.core.config.timers.timeout_s
        self.core.timers.start(self, "silence", until)
