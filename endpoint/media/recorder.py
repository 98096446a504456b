"""The process that writes recordings, as the control plane has it, and media workers' ways to it.

The socketpairs are made here and never closed before the end: whoever dies at one of their ends is
replaced by one that takes the same end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from endpoint.media import messages
from endpoint.media import recordingmessages as m
from endpoint.media.channel import make_pair
from endpoint.media.process import WorkerKind, WorkerLost, WorkerProcess
from endpoint.media.recordingworker import RecorderSettings
from signaling.supervision import Supervision

R = TypeVar("R", bound=messages.Result)

_SILENT_S = 5.0
"""A process that does not answer for so long hangs, most likely in its disk."""
_HEARTBEAT_S = 1.0
_RETRY_S = 1.0


class RecorderProcess:
    """Use as `async with RecorderProcess(workers) as recorder`, outside the media workers."""

    def __init__(
        self, workers: int, supervision: Supervision | None = None, *, silent_s: float = _SILENT_S
    ) -> None:
        """Make a way for each media worker; nothing runs before entering.

        A process that does not answer for `silent_s` is replaced.
        """
        self._pairs = [make_pair() for _ in range(workers)]
        self._silent_s = silent_s
        self._supervision = supervision or Supervision()
        self._worker: WorkerProcess[m.Notice] | None = None

    @property
    def descriptors(self) -> list[int]:
        """For `MediaSettings.recorder` of each media worker."""
        return [ours.fileno() for ours, _ in self._pairs]

    @property
    def pid(self) -> int | None:
        """Of the process that runs."""
        return self._running.pid

    async def __aenter__(self) -> Self:
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
        self._worker = WorkerProcess(kind, self._supervision)
        try:
            await self._worker.__aenter__()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._running.__aexit__(None, None, None)
        finally:
            self._close()

    async def request(self, command: messages.Command[R]) -> R:
        """Ask, and wait for the answer. Raises MediaError, MediaUnavailable."""
        return await self._running.request(command)

    def send(self, command: m.AnyCommand) -> None:
        """Ask without waiting; a refusal is logged."""
        self._running.send(command)

    def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        """What is told of files; after `WorkerLost` none of those that ran is written any more."""
        return self._running.notices()

    def _close(self) -> None:
        for pair in self._pairs:
            for end in pair:
                end.close()

    @property
    def _running(self) -> WorkerProcess[m.Notice]:
        if self._worker is None:
            raise RuntimeError("use the recorder inside `async with`")
        return self._worker
