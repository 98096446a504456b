"""Who is told of our devices, and of what (RFC 6665): the notifier's side of a server."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from signaling.sip.event_documents import (
    MessageSummary,
    Package,
    PhoneDialog,
    Presence,
    dialog_document,
    presence_document,
    summary_document,
)
from signaling.sip.grammar import LWS, lower, split_values
from signaling.sip.message import Request
from signaling.sip.notifier import NotifierUsage
from signaling.sip.subscription import MAX_EXPIRES_S, Activity, EventType
from signaling.sip.uri import Uri

ALLOW_EVENTS = ("Allow-Events", ", ".join(Package))


class DeviceStates(Protocol):
    """What is true of devices; whoever knows it tells `Watchers.changed` when it changes."""

    async def knows(self, user: str) -> bool:
        """Whether it is a device of ours."""

    def presence(self, user: str) -> Presence:
        """Whether a device can be reached."""

    def dialogs(self, user: str) -> Sequence[PhoneDialog]:
        """Its calls that live."""

    def messages(self, user: str) -> MessageSummary:
        """What waits in its mailbox."""


@dataclass(frozen=True, slots=True)
class WatcherLimits:
    """What a server bears."""

    minimum_expires_s: int = 60
    """Less, but not none at all, is 423."""
    maximum_expires_s: int = MAX_EXPIRES_S
    per_subscriber: int = 100
    total: int = 5000


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a SUBSCRIBE is refused."""

    status: int
    reason: str | None = None
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """A SUBSCRIBE that may be granted."""

    subscriber: str
    resource: str
    """The user whose state is wanted."""
    entity: Uri
    """What documents call it."""
    package: Package
    expires_s: int


class Watcher:
    """One subscription at us."""

    def __init__(self, wish: Wish, usage: NotifierUsage, states: DeviceStates) -> None:
        self.wish = wish
        self.usage = usage
        self._states = states
        self._versions = itertools.count()
        self._told: object = None
        """The state in the last document."""

    def __repr__(self) -> str:
        return f"<Watcher {self.wish.subscriber} {self.wish.package} of {self.wish.resource}>"

    def notify(self, now: float) -> None:
        """Tell the state, where it is another than was told; as it is when the NOTIFY goes out."""
        if not self.usage.is_over and self._state() != self._told:
            self.usage.notify(self.wish.package.content_type, self._document, now=now)

    def end(self, reason: str, now: float) -> None:
        """Tell it for the last time."""
        if not self.usage.is_over:
            self.usage.notify(
                self.wish.package.content_type,
                self._document,
                activity=Activity.TERMINATED,
                reason=reason,
                now=now,
            )

    def _state(self) -> Presence | MessageSummary | tuple[PhoneDialog, ...]:
        user = self.wish.resource
        match self.wish.package:
            case Package.PRESENCE:
                return self._states.presence(user)
            case Package.DIALOG:
                return tuple(self._states.dialogs(user))
            case Package.MESSAGE_SUMMARY:
                return self._states.messages(user)

    def _document(self) -> bytes:
        entity, state = self.wish.entity, self._state()
        self._told = state
        match state:
            case Presence():
                return presence_document(entity, state)
            case MessageSummary():
                return summary_document(entity, state)
            case dialogs:
                return dialog_document(entity, next(self._versions), dialogs)


class Watchers:
    """All subscriptions at one server."""

    def __init__(self, limits: WatcherLimits | None = None) -> None:
        self.states: DeviceStates | None = None
        """None: nothing is known, and nobody is told."""
        self._limits = limits or WatcherLimits()
        self._watchers: dict[str, Watcher] = {}
        self._of_subscriber: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._watchers)

    def __repr__(self) -> str:
        return f"<Watchers {len(self)}>"

    def judge(self, request: Request, subscriber: str, resource: str) -> Wish | Unfit:
        """What to do with a SUBSCRIBE whose sender has proved who it is.

        Raises RemoteProtocolError where its Event, SipParseError where its Accept can't be read.
        """
        package = _package(request)
        if package is None or self.states is None:
            return Unfit(489, headers=(ALLOW_EVENTS,))
        if not _accepts(request, package.content_type):
            return Unfit(406, headers=(("Accept", package.content_type),))
        if package is Package.MESSAGE_SUMMARY and resource != subscriber:
            return Unfit(403, "Not Your Mailbox")
        asked = self._limits.maximum_expires_s if request.expires is None else request.expires
        if 0 < asked < self._limits.minimum_expires_s:
            least = str(self._limits.minimum_expires_s)
            return Unfit(423, headers=(("Min-Expires", least),))
        if self._of_subscriber[subscriber] >= self._limits.per_subscriber:
            return Unfit(403, "Too Many Subscriptions")
        if len(self) >= self._limits.total:
            return Unfit(503, headers=(("Retry-After", "60"),))
        expires_s = min(asked, self._limits.maximum_expires_s)
        entity = Uri("sip", resource, host=request.to.uri.host)
        return Wish(subscriber, resource, entity, package, expires_s)

    async def knows(self, wish: Wish) -> bool:
        """Whether there is a device of that name."""
        return self.states is not None and await self.states.knows(wish.resource)

    def opened(self, wish: Wish, usage: NotifierUsage, now: float) -> None:
        """A SUBSCRIBE was granted: its first NOTIFY is owed."""
        assert self.states is not None
        watcher = self._watchers[usage.id] = Watcher(wish, usage, self.states)
        self._of_subscriber[wish.subscriber] += 1
        watcher.notify(now)

    def ended(self, usage: NotifierUsage) -> None:
        """A subscription is over. Harmless where it is not one of these."""
        watcher = self._watchers.pop(usage.id, None)
        if watcher is not None:
            subscriber = watcher.wish.subscriber
            self._of_subscriber[subscriber] -= 1
            if not self._of_subscriber[subscriber]:
                del self._of_subscriber[subscriber]

    def changed(self, users: Iterable[str], now: float, packages: Iterable[Package]) -> None:
        """Tell who watches these users."""
        about, kinds = set(users), set(packages)
        for watcher in list(self._watchers.values()):
            if watcher.wish.resource in about and watcher.wish.package in kinds:
                watcher.notify(now)

    def close(self, now: float) -> None:
        """Tell everybody that we stop; who wants to know more subscribes anew."""
        for watcher in list(self._watchers.values()):
            watcher.end("deactivated", now)


def _package(request: Request) -> Package | None:
    event = EventType.of(request).package
    return Package(event) if event in set(Package) else None


def _accepts(request: Request, media_type: str) -> bool:
    """Whether the subscriber can read a document; by default it can (RFC 6665 §8.2.2)."""
    lines = request.headers.get_all("Accept")
    if not lines:
        return True
    wanted = {media_type, f"{media_type.partition('/')[0]}/*", "*/*"}
    ranges = (value for line in lines for value in split_values(line))
    return any(lower(each.partition(";")[0].strip(LWS)) in wanted for each in ranges)
