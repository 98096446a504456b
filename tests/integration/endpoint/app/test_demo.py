"""The demo's walk, while somebody else uses its telephones."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.app.demo import COLLEAGUE, SILENCE, SUPERVISOR, Stage, staged
from endpoint.app.demoothers import explained
from endpoint.rig.orders import CallState
from endpoint.rig.walk import Step, StepResult, WalkSettings, take

pytestmark = pytest.mark.integration

BRIEFLY = WalkSettings(step_timeout_s=1.0)


async def nothing() -> None:
    """Is done."""


async def taken(stage: Stage, step: Step, settings: WalkSettings) -> StepResult:
    result = await take(step, stage.fleet.hearing, settings)
    return await explained(result, stage.endpoint.controller, stage.own)


async def test_a_step_that_fails_while_somebody_else_calls_says_so(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        dial = stage.steps()[0]
        assert (await taken(stage, dial, WalkSettings())).ok
        wrong = Step("wrong", SILENCE, nothing)
        result = await taken(stage, wrong, BRIEFLY)
        assert not result.ok
        assert "somebody else" not in str(result.faults), "it was the walk's own call"
        await stage.client.make_call(SUPERVISOR, COLLEAGUE)
        await stage.colleague.when(lambda status: status.call is CallState.CONNECTED)
        again = Step(dial.name, dial.expected, nothing)
        result = await taken(stage, again, BRIEFLY)
    assert not result.ok
    assert f"{COLLEAGUE} should not hear {SUPERVISOR} and does" in result.faults
    assert f"somebody else has called meanwhile: {SUPERVISOR} → {COLLEAGUE}." in result.faults[-1]
    assert result.as_json()["faults"][-1] == result.faults[-1]
