"""How soon calls work again after the media process was killed: `python -m tests.bench.recovery`.

The whole endpoint and two telephones in processes of their own. From the kill until both parties
of a new call hear each other; who gets no call dials again at once. Fails (exit status 1) where it
took longer than the gate.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import structlog
from rich.console import Console

from endpoint.app.demo import AGENT, CUSTOMER, SILENCE, TALK, Stage, staged
from endpoint.callcontrol.events import CallCleared, Established
from endpoint.callcontrol.feed import Subscription
from endpoint.rig.walk import Step, WalkSettings, take

TIMES = 5
GATE_MS = 1000
PATIENT = WalkSettings(step_timeout_s=30)


class Recovery:
    """Calls on a stage whose media process is killed."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.call = ""

    async def dial(self) -> None:
        """Dial until somebody answers."""
        events = self.stage.endpoint.controller.subscribe()
        while True:
            self.call = (await self.stage.client.make_call(AGENT, CUSTOMER)).call
            if await _until(events, Established, CallCleared) is Established:
                return

    async def kill_and_dial(self) -> None:
        """Kill the media process; dial when the call has ended for it."""
        pid = self.stage.endpoint.media.pid
        assert pid is not None
        events = self.stage.endpoint.controller.subscribe()
        os.kill(pid, signal.SIGKILL)
        await _until(events, CallCleared)
        await self.dial()

    async def hang_up(self) -> None:
        """End the call."""
        await self.stage.client.clear(AGENT, self.call)
        await self.stage.endpoint.exchange.wait_idle()


async def _until(events: Subscription, *kinds: type[object]) -> type[object]:
    async for numbered in events:
        for kind in kinds:
            if isinstance(numbered.event, kind):
                return kind
    raise AssertionError("the endpoint stopped")


async def measure() -> list[float]:
    """Milliseconds from each kill until both hear each other again."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder)) as stage:
            recovery = Recovery(stage)
            for _ in range(TIMES):
                for step in (
                    Step("dial", TALK, recovery.dial),
                    Step("recover", TALK, recovery.kill_and_dial),
                    Step("hang up", SILENCE, recovery.hang_up),
                ):
                    result = await take(step, stage.fleet.hearing, PATIENT)
                    assert result.ok, result.faults
                    if step.name == "recover":
                        taken.append(result.switch_ms)
    return taken


def main() -> int:
    """Run from the command line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    taken = asyncio.run(measure())
    Console().print(
        f"Media process killed {len(taken)} times: both parties of a new call hear each other "
        f"after {statistics.median(taken):.0f} ms (median), {max(taken):.0f} ms (longest); "
        f"at most {GATE_MS}"
    )
    return int(max(taken) > GATE_MS)


if __name__ == "__main__":
    sys.exit(main())
