"""Agents at an IVR desk: the roster that its queues ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from endpoint.agents.directory import DirectoryInUse
from endpoint.agents.roster import Roster
from endpoint.callcontrol.controller import CallController
from endpoint.legs.base import DeviceId
from tests.fakes.agentlogs import MemoryKeeping


class RosterCrew:
    """The `crew` of `open_ivr_desk`: a roster over what a directory says, in memory.

    needs_no_registration: whether all devices can be called as they are.
    """

    roster: Roster
    """There while the desk is open."""

    def __init__(self, directory: DirectoryInUse, *, needs_no_registration: bool) -> None:
        self._directory = directory
        self._needs_no_registration = needs_no_registration

    @asynccontextmanager
    async def __call__(self, controller: CallController) -> AsyncIterator[Roster]:
        """Open it."""

        async def is_ours(device: DeviceId) -> bool:
            return True

        async with Roster(
            controller,
            self._directory,
            MemoryKeeping(),
            is_ours=is_ours,
            needs_no_registration=lambda device: self._needs_no_registration,
        ) as self.roster:
            yield self.roster
