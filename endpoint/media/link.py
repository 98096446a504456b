"""The control plane's end of the media plane: ask, be told, survive its death.

`WorkerLink` runs the plane in a process of its own and replaces it when it dies. `LocalLink` runs
the same plane in the caller's loop, for tests and the rig. Both are a `MediaLink`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar, cast

import msgspec
import structlog

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.media import messages as m
from endpoint.media.channel import Channel, make_pair
from endpoint.media.plane import Plane
from endpoint.media.settings import MediaSettings
from signaling.supervision import Supervision

__all__ = ["LocalLink", "MediaLink", "MediaSettings", "WorkerLink", "WorkerLost"]

log = structlog.get_logger(__name__)

R = TypeVar("R", bound=m.Result)


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The media worker has died, and all its ports with it. A new one takes requests already."""

    reason: str


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


class _Exchange:
    """Numbers commands, gives answers to whom they belong, keeps notices for their reader."""

    def __init__(self) -> None:
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[m.Result]] = {}
        self._unwatched: dict[int, str] = {}
        self._told: asyncio.Queue[m.Notice | WorkerLost | None] = asyncio.Queue()

    def numbered(self, command: m.Command[R]) -> m.AnyCommand:
        self._last_id += 1
        return cast("m.AnyCommand", msgspec.structs.replace(command, id=self._last_id))

    def expect(self, command: m.AnyCommand) -> asyncio.Future[m.Result]:
        answer = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = answer
        return answer

    def watch(self, command: m.AnyCommand) -> None:
        self._unwatched[command.id] = type(command).__name__

    def forget(self, command: m.AnyCommand) -> None:
        self._waiting.pop(command.id, None)

    def receive(self, message: m.Reply | m.Failed | m.Notice) -> None:
        if isinstance(message, m.Reply):
            self._unwatched.pop(message.id, None)
            answer = self._waiting.pop(message.id, None)
            if answer is not None and not answer.done():
                answer.set_result(message.result)
        elif isinstance(message, m.Failed):
            answer = self._waiting.pop(message.id, None)
            if answer is None:
                command = self._unwatched.pop(message.id, "")
                log.warning("media command refused", command=command, text=message.text)
            elif not answer.done():
                answer.set_exception(MediaError(message.text))
        else:
            self._told.put_nowait(message)

    def fail(self, reason: str) -> None:
        """Nothing that was asked will be answered."""
        waiting, self._waiting = self._waiting, {}
        self._unwatched.clear()
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(MediaUnavailable(reason))

    def tell(self, notice: m.Notice | WorkerLost | None) -> None:
        self._told.put_nowait(notice)

    async def told(self) -> AsyncIterator[m.Notice | WorkerLost]:
        while (notice := await self._told.get()) is not None:
            yield notice


class LocalLink:
    """A plane in the caller's own loop. Use as `async with LocalLink() as link`."""

    def __init__(self, settings: MediaSettings | None = None) -> None:
        self._settings = settings or MediaSettings()
        self._exchange = _Exchange()
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
        self._running().handle(numbered)
        return cast("R", await answer)

    def send(self, command: m.AnyCommand) -> None:
        """See `MediaLink`."""
        numbered = self._exchange.numbered(command)
        self._exchange.watch(numbered)
        self._running().handle(numbered)

    def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        """See `MediaLink`."""
        return self._exchange.told()

    def _running(self) -> Plane:
        if self._plane is None:
            raise MediaUnavailable("the media plane is closed")
        return self._plane


class WorkerLink:
    """A plane in a process of its own. Use as `async with WorkerLink(settings) as link`.

    The worker ends when our end of the socketpair closes, however that comes about. A worker that
    dies, or no longer answers, is replaced; a `WorkerLost` notice says so.
    """

    def __init__(
        self, settings: MediaSettings | None = None, *, supervision: Supervision | None = None
    ) -> None:
        """`supervision` counts how often a worker had to be replaced."""
        self._settings = settings or MediaSettings()
        self._supervision = supervision or Supervision()
        self._exchange = _Exchange()
        self._channel: Channel | None = None
        self._theirs: socket.socket | None = None
        """The far end of the channel, until a worker has it."""
        self._process: asyncio.subprocess.Process | None = None
        self._group = asyncio.TaskGroup()
        self._closing = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._theirs = self._open_channel()
        keeping = self._supervision.keep("media worker's keeper", self._keep_running)
        self._group.create_task(keeping, name="media worker")
        try:
            await self.request(m.Ping())
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        if self._channel is not None:
            self._channel.close()
        self._exchange.fail("the media link is closed")
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._exchange.tell(None)

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        return self._process.pid if self._process is not None else None

    async def request(self, command: m.Command[R]) -> R:
        """See `MediaLink`."""
        numbered = self._exchange.numbered(command)
        answer = self._exchange.expect(numbered)
        try:
            self._send(numbered)
            async with asyncio.timeout(self._settings.request_timeout_s):
                return cast("R", await answer)
        except TimeoutError:
            if answer.done() and not answer.cancelled():
                # It came while this process was held up, and is read in the same turn.
                return cast("R", answer.result())
            text = f"the media worker did not answer {type(command).__name__}"
            raise MediaUnavailable(text) from None
        finally:
            self._exchange.forget(numbered)

    def send(self, command: m.AnyCommand) -> None:
        """See `MediaLink`."""
        numbered = self._exchange.numbered(command)
        try:
            self._send(numbered)
        except MediaUnavailable:
            # Its ports are gone with it, and WorkerLost says so.
            log.info("media command dropped", command=type(command).__name__)
        except MediaError as exc:
            log.warning("media command refused", command=type(command).__name__, text=str(exc))
        else:
            self._exchange.watch(numbered)

    def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        """See `MediaLink`."""
        return self._exchange.told()

    def _send(self, command: m.AnyCommand) -> None:
        if self._channel is None or not self._channel.is_open:
            raise MediaUnavailable("the media worker is gone; a new one is being started")
        self._channel.send(m.encode(command))

    def _open_channel(self) -> socket.socket:
        """A new pair; what is sent waits in it until the new worker reads.

        What a dead worker has said and we have not read is dropped: its end, read late, would be
        taken for that of the new one.
        """
        if self._channel is not None:
            self._channel.close()
        ours, theirs = make_pair()
        self._channel = Channel(
            ours,
            received=lambda record: self._exchange.receive(m.decode_answer(record)),
            closed=lambda: self._exchange.fail("the media worker is gone"),
        )
        return theirs

    async def _keep_running(self) -> None:
        """Run worker after worker until the link closes."""
        if self._theirs is None:  # whoever did this before died, and its worker with it
            self._replace("its keeper died")
        while self._theirs is not None:
            theirs, self._theirs = self._theirs, None
            reason, has_answered = await self._run_worker(theirs)
            if self._closing:
                return
            self._exchange.fail("the media worker is gone")
            log.error("media worker lost", reason=reason)
            too_often = self._supervision.restarted("media worker", reason)
            if too_often or not has_answered:
                # It can't start, or can't last: saying so fast does not help it.
                await asyncio.sleep(self._settings.restart_delay_s)
                if self._closing:
                    return
            self._replace(reason)

    def _replace(self, reason: str) -> None:
        """Take requests for the next worker, and say that the last one is lost."""
        self._exchange.fail("the media worker is gone")
        self._theirs = self._open_channel()
        self._exchange.tell(WorkerLost(reason))

    async def _run_worker(self, theirs: socket.socket) -> tuple[str, bool]:
        """Run one worker. Returns why it ended, and whether it had ever answered."""
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "endpoint.media.worker",
                    str(theirs.fileno()),
                    msgspec.json.encode(self._settings).decode(),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # Its matrices are too small to be worth a second thread, which would spin.
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                    # Ctrl-C is for us alone: the audio lasts until we have said goodbye.
                    start_new_session=True,
                )
        except OSError as exc:
            return f"can't start the media worker: {exc}", False
        self._process = process
        try:
            has_answered = await self._watch(process)
        finally:
            self._process = None
            if process.returncode is None:
                process.kill()
                await process.wait()
        return f"the media worker ended with {process.returncode}", has_answered

    async def _watch(self, process: asyncio.subprocess.Process) -> bool:
        """Until it ends or stops answering. Returns whether it ever answered."""
        has_answered = False
        wait_s = 0.0
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await process.wait()
                return has_answered
            except TimeoutError:
                wait_s = self._settings.heartbeat_s
            if self._closing:
                return has_answered
            try:
                await self.request(m.Ping())
            except MediaUnavailable:
                if process.returncode is None:
                    return has_answered
                continue
            has_answered = True
