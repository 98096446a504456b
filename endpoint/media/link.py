"""The control plane's end of the media plane: ask, be told, survive its death.

`WorkerLink` runs the plane in a process of its own and replaces it when it dies. `LocalLink` runs
the same plane in the caller's loop, for tests and the rig. Both are a `MediaLink`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol, Self, TypeVar, cast

import msgspec

from endpoint.errors import MediaUnavailable
from endpoint.media import messages as m
from endpoint.media.plane import Plane
from endpoint.media.process import Exchange, WorkerKind, WorkerLost, WorkerProcess
from endpoint.media.settings import MediaSettings
from signaling.supervision import Supervision

__all__ = ["LocalLink", "MediaLink", "MediaSettings", "WorkerLink", "WorkerLost"]

R = TypeVar("R", bound=m.Result)


class MediaLink(Protocol):
    """What the legs know of the media plane."""

    async def request(self, command: m.Command[R]) -> R:
        """Ask, and wait for the answer; its type follows from the command's.

        Commands take effect in the order in which they were asked or sent, also when nobody awaits
        the earlier ones.

        Raises:
            MediaError: the plane refused; nothing has changed.
            MediaUnavailable: the worker is gone, or did not answer.
        """

    def send(self, command: m.AnyCommand) -> None:
        """Ask without waiting; a refusal is logged. For what can't sensibly fail: routes, close."""

    def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        """All that the plane tells unasked, in order; ends when the link closes. One reader."""


class LocalLink:
    """A plane in the caller's own loop. Use as `async with LocalLink() as link`."""

    def __init__(self, settings: MediaSettings | None = None) -> None:
        self._settings = settings or MediaSettings()
        self._exchange = Exchange[m.Notice]()
        self._plane: Plane | None = None

    async def __aenter__(self) -> Self:
        self._plane = await Plane(self._settings, self._exchange.receive).__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._plane is not None:
            plane, self._plane = self._plane, None
            await plane.__aexit__(None, None, None)
        self._exchange.fail("the media plane is closed")
        self._exchange.tell(None)

    async def request(self, command: m.Command[R]) -> R:
        """See `MediaLink`."""
        numbered = self._exchange.numbered(command)
        answer = self._exchange.expect(numbered)
        self._running().handle(cast("m.AnyCommand", numbered))
        return cast("R", await answer)

    def send(self, command: m.AnyCommand) -> None:
        """See `MediaLink`."""
        numbered = self._exchange.numbered(command)
        self._exchange.watch(numbered)
        self._running().handle(cast("m.AnyCommand", numbered))

    def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        """See `MediaLink`."""
        return self._exchange.told()

    def _running(self) -> Plane:
        if self._plane is None:
            raise MediaUnavailable("the media plane is closed")
        return self._plane


class WorkerLink(WorkerProcess[m.Notice]):
    """A plane in a process of its own. Use as `async with WorkerLink(settings) as link`."""

    def __init__(
        self, settings: MediaSettings | None = None, *, supervision: Supervision | None = None
    ) -> None:
        """`supervision` counts how often a worker had to be replaced."""
        settings = settings or MediaSettings()
        kind = WorkerKind(
            name="media worker",
            module="endpoint.media.worker",
            settings=msgspec.json.encode(settings).decode(),
            decode=m.decode_answer,
            request_timeout_s=settings.request_timeout_s,
            heartbeat_s=settings.heartbeat_s,
            restart_delay_s=settings.restart_delay_s,
        )
        super().__init__(kind, supervision or Supervision())
