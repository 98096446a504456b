"""Calls that a process of ours died in: noted while they are open, their records written after."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from endpoint.app.openstate import OpenState
from endpoint.callcontrol.model import CallId, CallRecord
from endpoint.callcontrol.moments import cut_off
from endpoint.callcontrol.runner import CallRecords

log = structlog.get_logger(__name__)

LIFE_S = 1.0
"""How exactly is known when we died."""


class OpenCall(msgspec.Struct, frozen=True):
    """One call."""

    record: CallRecord
    """What stays of it, should we die now."""
    is_over: bool = False
    """So it ended; only its record may not be written yet."""


class OpenCallNotes:
    """`with OpenCallNotes(path).opened():`, then `bring_in` what an earlier run has left."""

    def __init__(self, path: Path) -> None:
        self._state = OpenState(path, OpenCall)

    def opened(self) -> AbstractContextManager[OpenState[OpenCall]]:
        """While it is entered, calls are noted."""
        return self._state.opened()

    def put(self, record: CallRecord, *, is_over: bool) -> None:
        """What stays of a call if we die now."""
        self._state.put(record.call, OpenCall(record, is_over))

    def drop(self, call: CallId) -> None:
        """Its record is kept."""
        self._state.drop(call)

    async def show_life(self) -> None:
        """Say every second that what is open still is: it ended then if we die."""
        while True:
            await asyncio.sleep(LIFE_S)
            self._state.show_life()

    async def bring_in(self, records: CallRecords) -> int:
        """Write the records of calls that an earlier run died in; how many."""
        left, died_at = dict(self._state.left), self._state.last_sign
        for call, found in left.items():
            record = found.record
            if not found.is_over:
                # The file's time is the kernel's, which is some milliseconds behind ours.
                record = _lost(record, max(record.ended_at, died_at))
            await records.write(record)
            self._state.drop(call)
        if left:
            log.warning("an earlier run was killed in calls", calls=len(left), at=str(died_at))
        return len(left)


def _lost(record: CallRecord, at: datetime) -> CallRecord:
    """Everybody who was still in the call left it when we died."""
    connections = tuple(
        each if each.moments is None else replace(each, moments=cut_off(each.moments, at))
        for each in record.connections
    )
    return replace(record, ended_at=at, connections=connections)
