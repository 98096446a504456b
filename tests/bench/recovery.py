"""How soon calls work again after the media process was killed.

The whole endpoint and two telephones in processes of their own. From the kill until both parties
of a new call hear each other; who gets no call dials again at once.
"""

from __future__ import annotations

import os
import signal
import statistics

from endpoint.app.demo import AGENT, CUSTOMER, SILENCE, TALK, Stage, staged
from endpoint.callcontrol.events import CallCleared, Established
from endpoint.callcontrol.feed import Subscription
from endpoint.rig.walk import Step, WalkSettings, take
from tests.bench.report import Row
from tests.bench.rtpload import Ground

MOST_TIMES = 5
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
        pid = self.stage.endpoint.media_workers[0].pid
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


async def recovery(ground: Ground) -> list[Row]:
    """From each kill until both hear each other again."""
    times = min(ground.times, MOST_TIMES)
    ground.say(f"media process killed {times} times")
    taken = []
    async with staged(ground.folder) as stage:
        recovery = Recovery(stage)
        for _ in range(times):
            for step in (
                Step("dial", TALK, recovery.dial),
                Step("recover", TALK, recovery.kill_and_dial),
                Step("hang up", SILENCE, recovery.hang_up),
            ):
                result = await take(step, stage.fleet.hearing, PATIENT)
                assert result.ok, result.faults
                if step.name == "recover":
                    taken.append(result.switch_ms)
    return [
        Row(
            name="recovery",
            what=f"media process killed, both hear each other again, longest of {times}",
            unit="ms",
            ours=max(taken),
            limit=GATE_MS,
            details={"median ms": statistics.median(taken)},
        )
    ]
