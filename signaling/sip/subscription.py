"""Subscriptions to events (RFC 6665): what names them, how they are, and whose a request is.

A usage is known by its dialog and its Event; several may share the dialog of a call, and go on in
it after the BYE (RFC 5057 §4). REFER makes one without a SUBSCRIBE (`refer.py`). The two ends are
in `notifier.py` and `subscriber.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, cast

from signaling.errors import RemoteProtocolError, SipParseError
from signaling.sip.dialog import Dialog
from signaling.sip.grammar import LWS, find_parameter, format_parameters, is_token, parse_parameters
from signaling.sip.headers import parse_expires
from signaling.sip.message import Request

if TYPE_CHECKING:
    from signaling.sip.notifier import NotifierUsage
    from signaling.sip.subscriber import SubscriberUsage

    Usage: TypeAlias = NotifierUsage | SubscriberUsage

MAX_EXPIRES_S = 3600
"""The longest subscription, either way, before it is refreshed or given up."""


@dataclass(frozen=True, slots=True)
class EventType:
    """An Event header field: package and `id`, compared octet by octet (RFC 6665 §8.2.1)."""

    package: str
    """`refer`, `dialog`, `message-summary`, …"""
    id: str | None = None
    """Tells several subscriptions of a dialog apart."""

    @classmethod
    def of(cls, request: Request) -> EventType:
        """Of a SUBSCRIBE or NOTIFY; raises RemoteProtocolError(489) where there is none."""
        lines = request.headers.get_all("Event")
        package, _, rest = (lines[0] if len(lines) == 1 else "").partition(";")
        package = package.strip(LWS)
        if not is_token(package):
            raise RemoteProtocolError("Event names no package", 489)
        try:
            parameters = parse_parameters(f";{rest}") if rest else ()
        except SipParseError as error:
            raise RemoteProtocolError("the Event is malformed", 400) from error
        return cls(package, find_parameter(parameters, "id"))

    def __str__(self) -> str:
        return self.package if self.id is None else f"{self.package};id={self.id}"


class Activity(StrEnum):
    """How a subscription is (RFC 6665 §4.1.3)."""

    ACTIVE = "active"
    PENDING = "pending"
    """It is not decided yet whether the subscriber may know."""
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """A Subscription-State header field."""

    activity: Activity
    expires_s: int | None = None
    reason: str = ""
    """Why it is terminated: `noresource`, `timeout`, `deactivated`, …"""

    @classmethod
    def of(cls, notify: Request) -> SubscriptionState:
        """Of a NOTIFY; raises RemoteProtocolError where it is missing.

        A word that nobody knows counts as active (§4.1.3). The word is what matters: parameters
        that can't be read are left out, as linphone's `terminated;reason=reason=noresource`.
        """
        text = notify.headers.get("Subscription-State")
        if text is None:
            raise RemoteProtocolError("Subscription-State is missing", 400)
        word, _, rest = text.partition(";")
        try:
            parameters = parse_parameters(f";{rest}") if rest else ()
        except SipParseError:
            parameters = ()
        word = word.strip(LWS).lower()
        activity = Activity(word) if word in set(Activity) else Activity.ACTIVE
        expires = find_parameter(parameters, "expires")
        reason = find_parameter(parameters, "reason") or ""
        return cls(activity, None if expires is None else parse_expires(expires), reason)

    def __str__(self) -> str:
        parameters: list[tuple[str, str | None]] = []
        if self.reason:
            parameters.append(("reason", self.reason))
        if self.expires_s is not None:
            parameters.append(("expires", str(self.expires_s)))
        return self.activity + format_parameters(tuple(parameters))


class Subscriptions:
    """Every subscription of a stack, and whose a request is."""

    def __init__(self) -> None:
        self._usages: dict[tuple[str, str], list[Usage]] = {}
        """By Call-ID and our tag."""

    def __len__(self) -> int:
        return sum(map(len, self._usages.values()))

    def __repr__(self) -> str:
        return f"<Subscriptions {len(self)}>"

    def add(self, usage: Usage) -> None:
        """Let a usage be found."""
        self._usages.setdefault(usage.end_point, []).append(usage)

    def remove(self, usage: Usage) -> None:
        """It has ended; harmless where that is known."""
        siblings = self._usages.get(usage.end_point, [])
        if usage in siblings:
            siblings.remove(usage)
        if not siblings:
            self._usages.pop(usage.end_point, None)

    def dialog_for(self, request: Request) -> Dialog | None:
        """The dialog of a subscription that a request belongs to."""
        return next((usage.dialog for usage in self._of_dialog(request)), None)

    def last_word_in(self, dialog: Dialog) -> NotifierUsage | None:
        """The usage of a dialog whose last NOTIFY is on its way."""
        for usage in self._usages.get((dialog.call_id, dialog.local.tag or ""), []):
            if usage.dialog is dialog and usage.says_its_last_word:
                return cast("NotifierUsage", usage)
        return None

    def find(self, request: Request) -> Usage | None:
        """The usage that a SUBSCRIBE or NOTIFY in a dialog is for; None: it is answered 481.

        Where the Event has no `id`, that is the oldest one. Raises RemoteProtocolError for an Event
        that can't be read.
        """
        event = EventType.of(request)
        same = [usage for usage in self._of_dialog(request) if usage.event.package == event.package]
        exact = [usage for usage in same if usage.event.id == event.id]
        return next(iter(exact or (same if event.id is None else [])), None)

    def _of_dialog(self, request: Request) -> list[Usage]:
        ours = self._usages.get((request.call_id, request.to.tag or ""), [])
        tag = request.from_.tag or ""
        return [usage for usage in ours if (usage.dialog.remote.tag or "") == tag]
