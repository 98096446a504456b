from __future__ import annotations

from dataclasses import replace

import pytest

from endpoint.rig.matrix import HearingMatrix, matrix
from endpoint.rig.walk import ProofFailed, Step, StepResult, WalkSettings, walk
from endpoint.rig.walk import take as walk_one

pytestmark = pytest.mark.unit

TALK = matrix({"6001": ["10086"], "10086": ["6001"]})
CROSSED = matrix({"6001": ["10086", "moh"], "10086": ["6001"]})
SILENCE = matrix({"6001": [], "10086": []})
QUICK = WalkSettings(glance_ms=0, confirm_ms=0, poll_s=0.0, late_ms=0, step_timeout_s=0.2)


async def nothing() -> None:
    pass


def ears_that_report(*measurements: HearingMatrix):
    """The last one for ever."""
    left = list(measurements)

    async def ears(_last_ms: int) -> HearingMatrix:
        return left.pop(0) if len(left) > 1 else left[0]

    return ears


async def take(steps: list[Step], ears) -> list[StepResult]:
    return [result async for result in walk(steps, ears, QUICK)]


async def test_a_step_is_right_once_everybody_hears_what_they_should():
    results = await take([Step("dial", TALK, nothing)], ears_that_report(SILENCE, SILENCE, TALK))

    assert [(result.ok, result.heard) for result in results] == [(True, TALK)]


async def test_a_hole_in_the_audio_is_no_wrong_route():
    ears = ears_that_report(SILENCE, TALK, SILENCE, TALK)
    results = await take([Step("dial", TALK, nothing)], ears)

    assert [(result.ok, result.heard) for result in results] == [(True, TALK)]


async def test_a_match_that_does_not_last_is_a_failure():
    ears = ears_that_report(SILENCE, TALK, SILENCE)
    results = await take([Step("hold", SILENCE, nothing)], ears)

    assert [result.ok for result in results] == [False]
    assert "6001 should not hear 10086 and does" in results[0].faults


async def test_what_is_heard_too_much_behind_a_hole_is_a_failure():
    ears = ears_that_report(TALK, SILENCE, CROSSED, TALK)
    results = await take([Step("dial", TALK, nothing)], ears)

    assert [(result.ok, result.faults) for result in results] == [
        (False, ("6001 should not hear moh and does",))
    ]


async def test_audio_from_before_the_step_behind_a_hole_is_none():
    ears, late = ears_that_report(SILENCE, TALK, SILENCE), replace(QUICK, late_ms=10_000)
    result = await walk_one(Step("hold", SILENCE, nothing), ears, late)

    assert (result.ok, result.heard) == (True, SILENCE)


async def test_a_walk_stops_at_the_first_failure_and_says_what_is_wrong():
    steps = [Step("dial", TALK, nothing), Step("hangup", SILENCE, nothing)]

    results = await take(steps, ears_that_report(SILENCE))

    assert [result.name for result in results] == ["dial"]
    assert results[0].faults[1:] == (
        "10086 should hear 6001 and does not",
        "6001 should hear 10086 and does not",
    )


async def test_a_proof_that_fails_keeps_its_facts():
    async def prove() -> dict[str, object]:
        raise ProofFailed("the far end received 12", {"digits": "12"})

    results = await take([Step("dtmf", TALK, nothing, prove)], ears_that_report(TALK))

    assert results[0].ok is False
    assert results[0].as_json()["digits"] == "12"
    assert results[0].faults == ("the far end received 12",)


async def test_a_result_is_printed_in_the_documented_shape():
    results = await take([Step("dial", TALK, nothing)], ears_that_report(TALK))

    printed = results[0].as_json()
    assert printed.pop("switch_ms") >= 0
    assert printed == {
        "name": "dial",
        "ok": True,
        "expected": {"6001": ["10086"], "10086": ["6001"]},
        "heard": {"6001": ["10086"], "10086": ["6001"]},
    }
