"""Calls outlive our process on paper: noted before anything is sent for them, ended by the next."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from signaling.errors import SipParseError, TransportError
from signaling.sip.flow import Flow
from signaling.sip.invite import InviteUsage
from signaling.sip.kept import KeptCall, Stage, kept_of
from signaling.sip.stack import Stack
from signaling.transport.layer import TransportLayer

log = structlog.get_logger(__name__)

FORGET_S = 600.0
"""A far end that was not reached by then has ended the call by itself."""


class CallKeeper(Protocol):
    """Where open calls are noted, so that a process that comes after us finds them."""

    def put(self, key: str, kept: KeptCall) -> None:
        """Note a call, or what has changed of it. It must be safe when this returns."""

    def drop(self, key: str) -> None:
        """It is over."""


class Driver(Protocol):
    """What is needed of the user agent."""

    def now(self) -> float:
        """The loop's clock."""

    def drain(self) -> None:
        """Send what there is."""

    def keep(self, flow: Flow) -> None:
        """Who is there has proved who he is."""


class Keeping:
    """The notes of one user agent, and the calls of the one before it."""

    def __init__(
        self, stack: Stack, layer: TransportLayer, driver: Driver, keeper: CallKeeper | None
    ) -> None:
        self._stack = stack
        self._layer = layer
        self._driver = driver
        self._keeper = keeper
        self._prefix = stack.token()
        """Names of sessions begin anew with each process; keys must not."""
        self._noted: dict[InviteUsage, KeptCall] = {}
        self._left: dict[str, KeptCall] = {}
        """Calls of the process before that are not ended yet."""

    def __repr__(self) -> str:
        return f"<Keeping noted={len(self._noted)} left={len(self._left)}>"

    def note(self) -> None:
        """Note what has changed; before it is sent."""
        for session in self._stack.take_changed():
            if self._keeper is None:
                continue
            kept, before = kept_of(session), self._noted.get(session)
            if kept == before:
                continue
            key = f"{self._prefix}-{session.id}"
            if kept is None:
                del self._noted[session]
                self._keeper.drop(key)
            else:
                self._noted[session] = kept
                self._keeper.put(key, kept)

    def release(self, left: Mapping[str, KeptCall], connections: Mapping[str, Flow]) -> None:
        """End the calls that a process before us has left; `connections` are those that are up.

        Who can't be reached is tried again when a connection of ours to its server is up, or when
        its phone registers: a phone that came to us by a connection knows that it is gone. Nobody
        waits for longer than `FORGET_S`.
        """
        self._left |= left
        for key, kept in left.items():
            name = kept.flow.listener
            if not _is_websocket(kept.flow):
                self._end(key, self._reachable(kept))
            elif name in connections:
                self._end(key, kept.by(connections[name]))
        self._driver.drain()

    def opened(self, flow: Flow) -> None:
        """A connection of ours is up."""
        for key, kept in list(self._left.items()):
            if _is_websocket(kept.flow) and kept.flow.listener == flow.listener:
                self._end(key, kept.by(flow))
        self._driver.drain()

    def came_back(self, user: str, flow: Flow) -> None:
        """A phone has registered over a connection."""
        for key, kept in list(self._left.items()):
            if kept.user == user and kept.flow.host == flow.host and kept.flow.reliable:
                self._end(key, kept.by(flow))
        if self._left:
            self._driver.drain()

    def forget(self) -> None:
        """Whoever is left has heard long ago that nobody is there."""
        for key in list(self._left):
            self._done(key, "it could not be reached")

    def _reachable(self, kept: KeptCall) -> KeptCall:
        """By whichever connection leads there: the old one is gone, and numbers begin anew."""
        flow = replace(kept.flow, connection=0)
        if flow.listener not in self._layer:
            with suppress(TransportError):
                flow = self._layer.another_way(flow)
        return replace(kept, flow=flow)

    def _end(self, key: str, kept: KeptCall) -> None:
        self._driver.keep(kept.flow)  # to the process before us; to us he has said nothing yet
        try:
            self._stack.release(kept, partial(self._heard, key, kept), now=self._driver.now())
        except (SipParseError, TransportError) as error:
            self._done(key, str(error))

    def _heard(self, key: str, kept: KeptCall, status: int) -> None:
        """The far end has answered, or can't be reached."""
        if key not in self._left:
            return
        is_unknown = kept.is_direct and status in (404, 481)  # as by another phone of the user
        if status != 503 and not is_unknown:
            self._done(key, f"{kept.stage}: {status}")
        elif kept.listens_at is not None:
            self._end(key, self._reachable(kept).by(kept.listens_at))

    def _done(self, key: str, outcome: str) -> None:
        if self._left.pop(key, None) is None:
            return
        log.info("call of an earlier run is ended", outcome=outcome)
        if self._keeper is not None:
            self._keeper.drop(key)


def _is_websocket(flow: Flow) -> bool:
    return flow.reliable and not flow.transport.is_stream


__all__ = ["CallKeeper", "Keeping", "KeptCall", "Stage"]
