"""Where a call may go on that was sent elsewhere by 3xx (RFC 3261 §8.1.3.4, §21.3).

A phone of ours deflects to a *number*, which is reached as if the caller had dialled it. A server
outside may name other places within its own hosts. Nothing else is followed: a called party would
say whom our caller dials, and at whose cost.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from endpoint.legs.base import DeviceId, LegId
from endpoint.legs.line import Target
from signaling.sip.headers import NameAddr
from signaling.sip.identity import number_of
from signaling.sip.uri import Uri

log = structlog.get_logger(__name__)

_NUMBER = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")


@dataclass(frozen=True, slots=True)
class Deflection:
    """A phone of ours wants somebody else to be called in its place."""

    number: DeviceId


class Redirections:
    """What one call was sent elsewhere for so far, and where it may still go."""

    def __init__(
        self,
        leg: LegId,
        dialled: DeviceId,
        limit: int,
        premium: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Follow at most `limit`; what is refused is logged with its reason.

        `premium` says why a number costs more than a call.
        """
        self._leg = leg
        self._limit = limit
        self._premium = premium
        self._followed = 0
        self._been = {str(dialled)}
        self._open: deque[tuple[Target, NameAddr]] = deque()

    def __repr__(self) -> str:
        return f"<Redirections {self._followed} of {self._limit}, {len(self._open)} open>"

    def take(self, target: Target, contacts: Sequence[NameAddr]) -> None:
        """A target answered 3xx; `contacts` with the best first."""
        self._been.add(_place(target.uri))
        self._open.extend((target, contact) for contact in contacts)

    def next(self) -> Target | Deflection | None:
        """Where to go now; None where nothing is left that may be followed."""
        while self._open:
            target, contact = self._open.popleft()
            goal = self._goal(target, contact)
            if isinstance(goal, str):
                self.refuse(str(contact.uri), goal)
                continue
            self._followed += 1
            return goal
        return None

    def enter(self, place: str) -> bool:
        """Note where the call goes; False where it has been there, and would go round."""
        is_new = place not in self._been
        self._been.add(place)
        return is_new

    def refuse(self, to: str, reason: str) -> None:
        """Say that a redirection is not followed."""
        log.warning("redirection refused", leg=self._leg, to=to, reason=reason)

    def _goal(self, target: Target, contact: NameAddr) -> Target | Deflection | str:
        """What a contact means, or why it is not followed."""
        if self._followed >= self._limit:
            return f"calls.maximum_redirections is {self._limit}"
        if target.is_phone:
            number = number_of(contact.uri)
            if not _NUMBER.fullmatch(number):
                return "it names no number"
            return Deflection(DeviceId(number))
        if not contact.uri.is_sip:
            return "it is no SIP address"
        if contact.uri.host not in (target.uri.host, *target.hosts):
            return f"{contact.uri.host} is not of the line that sends it there"
        number = number_of(contact.uri)
        if target.numbers and not any(rule.makes(number) for rule in target.numbers):
            return "the line takes no such number"
        if why := self._premium(number):
            return why
        if not self.enter(_place(contact.uri)):
            return "the call has been there"
        # No more than who and where: headers, maddr and the like would be the called one's orders.
        who, host, port = contact.uri.user, contact.uri.host, contact.uri.port
        log.info("call redirected", leg=self._leg, to=str(contact.uri))
        return replace(target, uri=replace(target.uri, user=who, host=host, port=port))


def _place(uri: Uri) -> str:
    return f"{uri.user or ''}@{uri.host}:{uri.port or ''}"
