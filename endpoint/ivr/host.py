"""The IVRs: which code has which flow, the calls in them, and flows that change meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import structlog

from endpoint.callcontrol.controller import CallController, Keeper, once
from endpoint.callcontrol.events import CallEvent, TransferFailed
from endpoint.callcontrol.feed import EventsMissed
from endpoint.ivr import library, webhook
from endpoint.ivr.leg import IvrStation, Mouth
from endpoint.ivr.library import Place
from endpoint.ivr.reading import FlowError
from endpoint.ivr.session import Calls, Queues, Session, Version
from endpoint.legs.base import Cause, DeviceId, PlaceLeg

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""How often files are looked at: a flow that was changed is read then."""


@dataclass(frozen=True, slots=True)
class IvrSettings:
    """One IVR."""

    code: DeviceId
    """The device that it is, as 999."""
    flow: str
    """Its name: of a shipped flow, or a file."""
    directory: Path | None = None
    """Looked in first for what the flow names."""
    language: str = "en"
    """Spoken in it."""


@dataclass(frozen=True, slots=True)
class IvrFacts:
    """How an IVR is now."""

    code: DeviceId
    flow: str
    file: str
    title: str
    nodes: int
    calls: int
    read_at: datetime
    """When the flow that calls come to was read (UTC)."""
    mistakes: tuple[str, ...]
    """Of the file as it is now: calls come to the flow as it was before."""


class _Program:
    """The flow of one code, as its file is or was when it had no mistake."""

    def __init__(self, settings: IvrSettings) -> None:
        self.settings = settings
        file = library.file_of(settings.flow)
        self.place = Place(file, settings.directory, settings.language)
        self.mistakes: tuple[str, ...] = ()
        self.version: Version
        self.read_at: datetime
        self._stamp: tuple[int, int] | None = None

    def read(self) -> None:
        """Raises FlowError."""
        self._stamp = self._stamp_now()
        flow = library.load(self.place)
        self.version = Version(self.place.path.stem, flow, self.place)
        self.read_at, self.mistakes = datetime.now(UTC), ()

    def has_changed(self) -> bool:
        """Whether the file is another one than was read last."""
        return self._stamp_now() != self._stamp

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self.place.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


class Ivrs:
    """All of them: `stations` for the exchange, then `async with ivrs.serving(controller, queues)`.

    Raises FlowError where a flow has mistakes.
    """

    calls: Calls
    queues: Queues
    http: aiohttp.ClientSession

    def __init__(self, settings: Sequence[IvrSettings]) -> None:
        self._programs = {each.code: _Program(each) for each in settings}
        mistakes = []
        for program in self._programs.values():
            try:
                program.read()
            except FlowError as error:
                mistakes += error.mistakes
        if mistakes:
            raise FlowError(mistakes)
        self._sessions: set[Session] = set()
        self._tasks = asyncio.TaskGroup()
        self._kept: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Ivrs {', '.join(self._programs)}, {len(self._sessions)} calls>"

    @property
    def codes(self) -> frozenset[DeviceId]:
        """The devices that are IVRs."""
        return frozenset(self._programs)

    def stations(self) -> list[IvrStation]:
        """One for each code."""
        return [IvrStation(code, self._begin) for code in self._programs]

    def facts(self) -> list[IvrFacts]:
        """How each is now."""
        return [
            IvrFacts(
                code,
                program.version.name,
                str(program.place.path),
                program.version.flow.title,
                len(program.version.flow.node),
                sum(session.device == code for session in self._sessions),
                program.read_at,
                program.mistakes,
            )
            for code, program in self._programs.items()
        ]

    def serve(self, controller: CallController, queues: Queues, keep: Keeper = once) -> Ivrs:
        """What calls in flows need of others; then `async with`. `keep` keeps our tasks alive."""
        self._controller, self.queues, self.calls = controller, queues, controller
        self._keep = keep
        return self

    async def __aenter__(self) -> Self:
        self.http = webhook.opened_session()
        await self._tasks.__aenter__()
        if self._programs:
            self._kept = [
                self._tasks.create_task(self._keep(name, work), name=f"{name}, kept")
                for name, work in (
                    ("ivr: events", self._follow),
                    ("ivr: files", self._look_at_files),
                )
            ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._kept:
            task.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self.http.close()

    @contextmanager
    def running(self, session: Session) -> Iterator[None]:
        """See `Around`."""
        self._sessions.add(session)
        try:
            yield
        finally:
            self._sessions.discard(session)

    def _begin(self, request: PlaceLeg, mouth: Mouth) -> Session:
        return Session(request, mouth, self._programs[request.device].version, self)

    async def _follow(self) -> None:
        """Tell sessions what is told of calls."""
        while True:
            events = self._controller.subscribe()
            for session in list(self._sessions):
                session.missed()
            try:
                async for numbered in events:
                    event = numbered.event
                    if isinstance(event, TransferFailed):
                        for session in list(self._sessions):
                            if session.device == event.device:
                                session.not_taken(event.call, event.cause or Cause.UNREACHABLE)
                    elif isinstance(event, CallEvent):
                        for session in list(self._sessions):
                            session.look()
                return
            except EventsMissed:
                log.warning("events were missed", ivr=len(self._sessions))

    async def _look_at_files(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for program in self._programs.values():
                # What it names may be there by now, or be mended.
                has_changed = await asyncio.to_thread(program.has_changed)
                if program.mistakes or has_changed:
                    await self._read_again(program)

    async def _read_again(self, program: _Program) -> None:
        """A flow was changed: new calls come to it, where it has no mistake."""
        code = program.settings.code
        try:
            await asyncio.to_thread(program.read)
        except FlowError as error:
            mistakes = tuple(map(str, error.mistakes))
            if mistakes != program.mistakes:
                log.error("a flow has mistakes and is not used", ivr=code, mistakes=mistakes)
            program.mistakes = mistakes
        else:
            log.info("a flow was read again", ivr=code, flow=program.version.name)
