"""Interactions in any state, for the tests of the pure parts."""

from __future__ import annotations

from datetime import UTC, datetime

from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    CallId,
    Connection,
    ConnectionState,
    Ending,
    Interaction,
    Leg,
    LegProgress,
)
from endpoint.legs.base import Cause, DeviceId, InteractionId, LegId, LegRole, Side

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ENDED = (ConnectionState.FAIL,)


def leg(name: str, progress: LegProgress = LegProgress.UP, *, early_media: bool = False) -> Leg:
    role = LegRole.STATION if name.startswith("6") else LegRole.LINE
    return Leg(LegId(name), DeviceId(name), role, progress, early_media=early_media)


def connection(name: str, state: ConnectionState) -> Connection:
    role = LegRole.STATION if name.startswith("6") else LegRole.LINE
    ending = Ending(Cause.BUSY, Side.DEVICE) if state in ENDED else None
    return Connection(DeviceId(name), role, LegId(name), state, ending=ending)


def call(number: int = 1, **states: ConnectionState) -> Call:
    """`call(d6001=CONNECTED, d10086=HOLD)`."""
    connections = tuple(connection(name[1:], state) for name, state in states.items())
    return Call(
        CallId(f"i-{number}"),
        CallDirection.OUTBOUND,
        connections[0].device,
        connections[-1].device,
        NOW,
        connections=connections,
        established_at=NOW,
        outcome=next((each.ending for each in connections if each.ending is not None), None),
    )


def interaction(*calls: Call, legs: tuple[Leg, ...]) -> Interaction:
    return Interaction(InteractionId("i"), calls=calls, legs=legs)
