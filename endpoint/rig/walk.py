"""A walk: steps that each change who hears whom, and the proof that it became so.

A step is right when every ear reports exactly the expected sources twice: once at first, and once
more over audio that was all received after that, so that what is still on its way can't hide a
wrong route. Where something is missing the second time, both are tried again until the step's time
is over: a machine that does too much tears holes into audio. But once it was right, and all from
before the step has been heard, nobody may hear anything else, for however short a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from endpoint.errors import EndpointError
from endpoint.rig.matrix import HearingMatrix, as_lists, differences, hears_too_much

Ears = Callable[[int], Awaitable[HearingMatrix]]
"""Measures all parties at once, over the last milliseconds of audio."""


@dataclass(frozen=True, slots=True)
class WalkSettings:
    """How a walk listens, and how patient it is."""

    glance_ms: int = 100
    """Audio that one measurement looks at until a step is right: as short as tones allow."""
    confirm_ms: int = 300
    """Audio that must be right in full after that, with no hole in it."""
    late_ms: int = 200
    """Audio from before a step may be heard so long after it: where a machine is held up, behind a
    hole that looks as if the step were done."""
    poll_s: float = 0.02
    """How often the ears are asked while a step is not right yet."""
    step_timeout_s: float = 20.0
    """A step that is not right by then has failed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, what everybody should hear then, and more to prove."""

    name: str
    expected: HearingMatrix
    act: Callable[[], Awaitable[None]]
    prove: Callable[[], Awaitable[dict[str, Any]]] | None = None
    """Facts for the result (as `digits`);

    raises `ProofFailed` when they are not what they should be.
    """


class ProofFailed(Exception):
    """What a step had to prove besides its matrix is not so; `facts` is what was found instead."""

    def __init__(self, text: str, facts: dict[str, Any]) -> None:
        super().__init__(text)
        self.facts = facts


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step."""

    name: str
    ok: bool
    expected: HearingMatrix
    heard: HearingMatrix
    switch_ms: float
    """From the start of the action until everybody was heard to hear what they should.

    An upper bound: some of the glance's length, and of the time between two glances, is in it.
    """
    facts: dict[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The step as `demo --once --json` prints it."""
        return {
            "name": self.name,
            "ok": self.ok,
            "expected": as_lists(self.expected),
            "heard": as_lists(self.heard),
            "switch_ms": round(self.switch_ms, 1),
            **self.facts,
            **({"faults": list(self.faults)} if self.faults else {}),
        }


async def walk(
    steps: Sequence[Step], ears: Ears, settings: WalkSettings
) -> AsyncIterator[StepResult]:
    """Take the steps in order, and yield each result as soon as it is known.

    Stops after the first that failed.
    """
    for step in steps:
        result = await take(step, ears, settings)
        yield result
        if not result.ok:
            return


async def take(step: Step, ears: Ears, settings: WalkSettings) -> StepResult:
    """Take one step, and say what came of it."""
    clock = asyncio.get_running_loop().time
    began = clock()
    heard: HearingMatrix = {}
    facts: dict[str, Any] = {}
    switch_s = 0.0

    def failed(*faults: str) -> StepResult:
        return StepResult(step.name, False, step.expected, heard, switch_s * 1000, facts, faults)

    try:
        async with asyncio.timeout(settings.step_timeout_s):
            await step.act()
            settled = clock() + (settings.late_ms + settings.glance_ms) / 1000
            was_right = False
            while True:
                heard = await ears(settings.glance_ms)
                if heard == step.expected:
                    was_right, switch_s = clock() >= settled, clock() - began
                    # A window that lies wholly behind the moment of the match.
                    await asyncio.sleep(settings.confirm_ms / 1000)
                    heard = await ears(settings.confirm_ms)
                    if heard == step.expected:
                        break
                if was_right and hears_too_much(step.expected, heard):
                    return failed(*differences(step.expected, heard))
                await asyncio.sleep(settings.poll_s)
            if step.prove is not None:
                facts = await step.prove()
    except TimeoutError:
        switch_s = clock() - began
        wrong = differences(step.expected, heard)
        return failed(f"not so within {settings.step_timeout_s:g} s", *wrong)
    except EndpointError as exc:
        return failed(str(exc))
    except ProofFailed as exc:
        facts = exc.facts
        return failed(str(exc))
    return StepResult(step.name, True, step.expected, heard, switch_s * 1000, facts)
