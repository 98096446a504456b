"""The control plane's end of the media plane: ask, be told, survive its death.

`WorkerLink` runs the plane in a process of its own and replaces it when it dies. `LocalLink` runs
the same plane in the caller's loop, for tests and the rig. Both are a `MediaLink`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

import msgspec

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.media import messages as m
from endpoint.media.plane import Plane
from endpoint.media.process import Exchange, WorkerKind, WorkerLost, WorkerProcess
from endpoint.media.settings import MediaSettings
from signaling.supervision import Supervision

__all__ = ["Link", "LocalLink", "MediaLink", "MediaSettings", "WorkerLink", "WorkerLost"]

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


class Link(MediaLink, Protocol):
    """A media plane that takes part in a pool: entered and left by it."""

    @property
    def is_up(self) -> bool:
        """Whether ports are opened there; else it is about to begin, or can't."""

    def ask(self, command: m.Command[R]) -> Coroutine[Any, Any, R]:
        """As `request`, but it is asked when this returns; the answer must be awaited."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


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

    @property
    def is_up(self) -> bool:
        """See `Link`."""
        return self._plane is not None

    async def request(self, command: m.Command[R]) -> R:
        """See `MediaLink`."""
        return await self.ask(command)

    def ask(self, command: m.Command[R]) -> Coroutine[Any, Any, R]:
        """See `Link`."""
        numbered = self._exchange.numbered(command)
        answer = self._exchange.expect(numbered)
        try:
            self._running().handle(cast("m.AnyCommand", numbered))
        except MediaUnavailable as exc:
            answer.set_exception(exc)
        return self._answered(answer)

    async def _answered(self, answer: asyncio.Future[m.Result]) -> Any:
        return await answer

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
        self,
        settings: MediaSettings | None = None,
        *,
        supervision: Supervision | None = None,
        name: str = "media worker",
    ) -> None:
        """`supervision` counts how often a worker of this name had to be replaced."""
        settings = settings or MediaSettings()
        kind = WorkerKind(
            name=name,
            module="endpoint.media.worker",
            settings=msgspec.json.encode(settings).decode(),
            decode=m.decode_answer,
            request_timeout_s=settings.request_timeout_s,
            heartbeat_s=settings.heartbeat_s,
            restart_delay_s=settings.restart_delay_s,
            descriptors=(settings.recorder,) if settings.recorder >= 0 else (),
        )
        super().__init__(kind, supervision or Supervision())
        self._open: dict[m.PortName, m.Opening] = {}
        """What was opened, and not closed."""

    @property
    def ports(self) -> int:
        """How many ports and players are open."""
        return len(self._open)

    def ask(self, command: m.Command[R]) -> Coroutine[Any, Any, R]:
        """See `Link`."""
        is_new = self._keep_in_mind(command)
        return self._kept(super().ask(command), command if is_new else None)

    async def _kept(self, answer: Coroutine[Any, Any, R], opening: m.Command[R] | None) -> R:
        try:
            return await answer
        except MediaError:
            if isinstance(opening, m.Opening):
                self._open.pop(opening.port, None)
            raise

    def send(self, command: m.Command[Any]) -> None:
        """See `MediaLink`."""
        self._keep_in_mind(command)
        super().send(command)

    def _keep_in_mind(self, command: m.Command[Any]) -> bool:
        """Note what is open in the worker. True for a port that was not."""
        if isinstance(command, m.ClosePort):
            self._open.pop(command.port, None)
        elif isinstance(command, m.Opening) and command.port not in self._open:
            self._open[command.port] = command
            return True
        return False

    def _loss(self, reason: str) -> WorkerLost:
        before, self._open = self._open, {}
        for command in before.values():
            if m.is_loop(command):
                self.send(command)
        return WorkerLost(reason, frozenset(before.keys() - self._open.keys()))
