"""Whose an agent's session is: one client has it, by a secret that is made here. Pure.

Whoever shows the `delegator_id` is that client: so a page that was loaded anew has its session
back, and one that was replaced has nothing to say any more. How it is noticed that a client is gone
is for each gateway to say: by its socket, or by how long nothing was heard.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, replace

DELEGATOR_BITS = 128


@dataclass(frozen=True, slots=True)
class Liveness:
    """When a client counts as gone."""

    silence_s: float | None = None
    """It is lost when nothing was heard for so long, whatever its sockets are; None: when the last
    of those closes.
    """
    grace_s: float | None = 60.0
    """Lost for so long it is gone, and its agent logged off; None: it stays logged on."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The client that has a session. Times are the loop's."""

    digest: str = field(repr=False)
    """Of its `delegator_id`, which is not kept."""
    liveness: Liveness
    heard_at: float
    """When something was heard last."""
    sockets: int = 0
    """Through which it listens now."""
    turn: int = 1
    """Counts the owners of one session."""

    @property
    def gone_at(self) -> float | None:
        """When it counts as gone, if nothing is heard; None: never."""
        policy = self.liveness
        if policy.grace_s is None or (self.sockets and policy.silence_s is None):
            return None
        return self.heard_at + (policy.silence_s or 0.0) + policy.grace_s

    @property
    def listens(self) -> bool:
        """It has a socket."""
        return self.sockets > 0


def new_delegator_id() -> str:
    """For one client alone."""
    return secrets.token_urlsafe(DELEGATOR_BITS // 8)


def new_owner(
    liveness: Liveness, now: float, before: Owner | None = None, delegator_id: str = ""
) -> tuple[Owner, str]:
    """An owner in place of the one before, and its `delegator_id`: only it is told that.

    Some clients have theirs before they log on, made by `new_delegator_id` too.
    """
    delegator_id = delegator_id or new_delegator_id()
    turn = 1 if before is None else before.turn + 1
    return Owner(digest(delegator_id), liveness, now, turn=turn), delegator_id


def digest(delegator_id: str) -> str:
    """What is kept of it. It is random, so no salt is needed."""
    return hashlib.sha256(delegator_id.encode("utf-8", "surrogateescape")).hexdigest()


def is_owner(owner: Owner, delegator_id: str) -> bool:
    """Whether the id is this owner's, in constant time."""
    return hmac.compare_digest(owner.digest, digest(delegator_id))


def heard(owner: Owner, now: float) -> Owner:
    """Something was heard of it."""
    return replace(owner, heard_at=now)


def attached(owner: Owner, liveness: Liveness, now: float) -> Owner:
    """It listens through one socket more; who was to stay without a client does so after it."""
    stays = owner.liveness.grace_s is None
    liveness = owner.liveness if stays else liveness
    return replace(owner, sockets=owner.sockets + 1, liveness=liveness, heard_at=now)


def detached(owner: Owner, now: float) -> Owner:
    """It listens through one socket less."""
    return replace(owner, sockets=max(0, owner.sockets - 1), heard_at=now)
