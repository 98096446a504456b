"""The process that writes recordings, as the control plane has it, and media workers' ways to it.

The socketpairs are made here and never closed before the end: whoever dies at one of their ends is
replaced by one that takes the same end. The process begins with the first recording, which misses
nothing by that: what was said meanwhile waits in the socketpairs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self

import msgspec

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.media import recordingmessages as m
from endpoint.media.channel import make_pair
from endpoint.media.process import WorkerKind, WorkerLost, WorkerProcess
from endpoint.media.recordingworker import RecorderSettings
from signaling.supervision import Supervision

_SILENT_S = 5.0
"""A process that does not answer for so long hangs, most likely in its disk."""
_BEGINS_S = 15.0
_HEARTBEAT_S = 1.0
_RETRY_S = 1.0


class RecorderProcess:
    """Use as `async with RecorderProcess(workers) as recorder`, outside the media workers."""

    def __init__(
        self, workers: int, supervision: Supervision | None = None, *, silent_s: float = _SILENT_S
    ) -> None:
        """Make a way for each media worker.

        A process that does not answer for `silent_s` is replaced.
        """
        self._pairs = [make_pair() for _ in range(workers)]
        self._silent_s = silent_s
        self._supervision = supervision or Supervision()
        self._worker: WorkerProcess[m.Notice] | None = None
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None
        self._up, self._over = asyncio.Event(), asyncio.Event()
        self._told: asyncio.Queue[m.Notice | WorkerLost | None] = asyncio.Queue()

    @property
    def descriptors(self) -> list[int]:
        """For `MediaSettings.recorder` of each media worker."""
        return [ours.fileno() for ours, _ in self._pairs]

    @property
    def pid(self) -> int | None:
        """Of the process that runs; None while none does."""
        return None if self._worker is None else self._worker.pid

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._told.put_nowait(None)
            for pair in self._pairs:
                for end in pair:
                    end.close()

    def begin(self) -> None:
        """Have the process ready, where it is not."""
        if self._task is None and not self._over.is_set():
            self._task = self._group.create_task(self._run(), name="recorder")

    async def open(self, command: m.OpenRecording, then: Iterable[m.SetVoices] = ()) -> None:
        """Begin a file, and say who is on it, in one go. Raises MediaError, MediaUnavailable."""
        self.begin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BEGINS_S):
                await self._up.wait()
        if self._worker is None:
            raise MediaUnavailable("the recorder can't begin; see the log")
        answer = self._worker.ask(command)
        for voices in then:
            self._worker.send(voices)
        await answer

    def send(self, command: m.SetVoices | m.CloseRecording) -> None:
        """Ask without waiting; a refusal is logged."""
        if self._worker is not None:
            self._worker.send(command)

    async def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        """What is told of files; after `WorkerLost` none of those that ran is written any more."""
        while (notice := await self._told.get()) is not None:
            yield notice

    async def _run(self) -> None:
        """Keep the process until the end."""
        ends = [theirs.fileno() for _, theirs in self._pairs]
        kind = WorkerKind(
            name="recorder",
            module="endpoint.media.recordingworker",
            settings=msgspec.json.encode(RecorderSettings(ends)).decode(),
            decode=m.decode_answer,
            request_timeout_s=self._silent_s,
            heartbeat_s=_HEARTBEAT_S,
            restart_delay_s=_RETRY_S,
            descriptors=tuple(ends),
        )
        while not self._over.is_set():
            try:
                async with WorkerProcess(kind, self._supervision) as worker:
                    self._worker = worker
                    self._up.set()
                    await self._listen(worker)
            except MediaError:  # it did not even start
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._over.wait()
            finally:
                self._worker = None
                self._up.clear()

    async def _listen(self, worker: WorkerProcess[m.Notice]) -> None:
        async def hear() -> None:
            async for notice in worker.notices():
                self._told.put_nowait(notice)

        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(hear())
            await self._over.wait()
            hearing.cancel()
