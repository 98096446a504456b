"""When a connection became what: followed from one of its states to the next."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from endpoint.callcontrol.model import Connection, ConnectionState, Hold, Moments

_THERE = (ConnectionState.CONNECTED, ConnectionState.HOLD)


def moments_of(
    connection: Connection, before: Moments | None, at: datetime, *, is_up: bool
) -> Moments:
    """The moments of a connection as it is now.

    `before` are those that it has had until now, none of one that is new. With `is_up` its
    telephone is answered: who calls us is connected before that.
    """
    now = before or Moments(at)
    state = connection.state
    if state is ConnectionState.ALERTING and now.delivered_at is None:
        now = replace(now, delivered_at=at)
    if state in _THERE and is_up and now.established_at is None:
        now = replace(now, established_at=at)
    holds = bool(now.holds) and now.holds[-1].ended_at is None
    if state is ConnectionState.HOLD and not holds:
        now = replace(now, holds=(*now.holds, Hold(at)))
    elif state is not ConnectionState.HOLD and holds:
        now = replace(now, holds=(*now.holds[:-1], Hold(now.holds[-1].began_at, at)))
    if connection.ending is not None and now.ended_at is None:
        now = replace(now, ended_at=at)
    return now


def cut_off(moments: Moments, at: datetime) -> Moments:
    """The moments of a connection whose call was lost then: what goes on ends with it."""
    holds = tuple(Hold(each.began_at, each.ended_at or at) for each in moments.holds)
    return replace(moments, holds=holds, ended_at=moments.ended_at or at)
