"""A record is told in sentences that a person can act on: each cause, each step, poor audio."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from endpoint.callcontrol.explanation import REASONS, explain
from endpoint.callcontrol.model import (
    CallDirection,
    CallId,
    CallRecord,
    CallStep,
    ConnectionRecord,
    Ending,
    IvrStep,
    Moments,
    StepKind,
)
from endpoint.legs.base import (
    CAUSES,
    AudioFigures,
    Cause,
    DeviceId,
    InteractionId,
    LegQuality,
    LegRole,
    Side,
)

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")


def record(
    cause: Cause = Cause.NORMAL,
    *,
    talked_s: float | None = None,
    ended_s: float = 0.4,
    sip_status: int | None = None,
    q850: int | None = None,
    by: Side = Side.NETWORK,
    text: str = "",
) -> CallRecord:
    ended = NOON + timedelta(seconds=ended_s)
    answered = None if talked_s is None else ended - timedelta(seconds=talked_s)
    who = CUSTOMER if by is Side.DEVICE else None
    ending = Ending(cause, by, who, sip_status, q850 or CAUSES[cause].q850, text)
    moments = Moments(NOON, None, answered, (), ended)
    connections = tuple(
        ConnectionRecord(device, role, answered is None, ending, True, moments=moments)
        for device, role in ((AGENT, LegRole.STATION), (CUSTOMER, LegRole.LINE))
    )
    return CallRecord(
        InteractionId("i1"),
        CallId("i1-1"),
        CallDirection.OUTBOUND,
        AGENT,
        CUSTOMER,
        NOON,
        None,
        answered,
        ended,
        ending,
        connections,
    )


def told(kept: CallRecord) -> str:
    sentences = explain(kept)
    assert all(sentence.strip() == sentence and sentence for sentence in sentences)
    return "\n".join(sentences)


def test_each_cause_has_its_reason() -> None:
    assert set(REASONS) == set(CAUSES) == set(Cause)


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_is_told_with_its_figures_and_what_to_look_at(cause: Cause) -> None:
    text = told(record(cause))
    assert REASONS[cause].why in text
    assert str(CAUSES[cause].sip_status) in text
    assert REASONS[cause].look in text
    by_itself = (Cause.NORMAL, Cause.BUSY, Cause.DECLINED, Cause.CANCELLED)
    assert bool(REASONS[cause].look) is (cause not in by_itself)


@pytest.mark.parametrize(
    ("cause", "status", "q850", "first"),
    [
        (Cause.UNKNOWN_DEVICE, 404, 1, "1. the number"),
        (Cause.DECLINED, 484, 28, "1. the number"),
        (Cause.UNAUTHORISED, 403, 50, "1. the caller's number"),
        (Cause.NETWORK_FAILURE, 503, 38, "1. the trunk"),
        (Cause.NORMAL, 480, 1, "1. the number"),
        (Cause.INCOMPATIBLE_MEDIA, 488, 88, "1. the number"),
    ],
)
def test_hung_up_at_once_is_the_number_the_caller_s_or_the_trunk(
    cause: Cause, status: int, q850: int, first: str
) -> None:
    """Which of them is likeliest comes first; all three are told."""
    text = told(record(cause, sip_status=status, q850=q850))
    assert f"SIP {status}, Q.850 {q850}" in text
    assert first in text
    for one in ("need a prefix", "caller's number", "agent-endpoint trunks", "telephone itself"):
        assert one in text


@pytest.mark.parametrize(
    "kept",
    [
        record(Cause.BUSY, sip_status=486),
        record(Cause.CANCELLED),
        record(Cause.UNREACHABLE, ended_s=30),
        record(Cause.NETWORK_FAILURE, ended_s=2, talked_s=1),
        replace(record(Cause.UNKNOWN_DEVICE), direction=CallDirection.INBOUND),
        replace(record(Cause.DIAL_LIMIT), connections=()),
    ],
    ids=["busy", "given up", "after a while", "had talked", "came in", "never dialled"],
)
def test_what_is_plain_is_not_told_as_hung_up_at_once(kept: CallRecord) -> None:
    assert "ends at once" not in told(kept)


def test_the_course_of_a_call_is_told() -> None:
    kept = record(ended_s=200, talked_s=150.5, by=Side.DEVICE)
    kept = replace(kept, delivered_at=NOON + timedelta(seconds=1.25))
    assert explain(kept)[0] == (
        "6001 called 10086; it rang after 1.2 s; it was answered after 49.5 s; "
        "and lasted 2 min 30 s."
    )
    assert "10086 let go." in told(kept)
    assert explain(record(ended_s=60))[0] == (
        "6001 called 10086; it never rang; it was never answered and ended after 60.0 s."
    )


def test_a_refused_dial_says_that_nobody_was_called_and_why() -> None:
    kept = replace(record(Cause.DIAL_LIMIT, text="wait 7 s", by=Side.ENDPOINT), connections=())
    text = told(kept)
    assert "was refused: nobody was called" in text
    assert "It was told: wait 7 s" in text


@pytest.mark.parametrize("kind", StepKind)
def test_each_step_is_told_with_who_and_the_other_call(kind: StepKind) -> None:
    step = CallStep(NOON, kind, DeviceId("by"), DeviceId("to"), DeviceId("place"), CallId("i1-2"))
    (sentence,) = explain(replace(record(), steps=(step,)))[-1:]
    assert sentence.endswith(".")
    named = {
        StepKind.CONSULT: ("by", "to", "i1-2"),
        StepKind.LEND: ("by", "to", "place", "i1-2"),
        StepKind.CONFERENCE: ("by", "i1-2"),
        StepKind.TRANSFER: ("by", "to", "i1-2"),
        StepKind.INTERCEPT: ("by", "place"),
        StepKind.REPLACE: ("to", "place"),
        StepKind.DEFLECT: ("by", "to"),
        StepKind.FORWARD: ("by", "to"),
        StepKind.PICK_UP: ("by", "place"),
        StepKind.PARK: ("by", "to"),
    }
    assert all(each in sentence for each in named[kind])
    failed = replace(record(), steps=(replace(step, cause=Cause.BUSY),))
    assert explain(failed)[-1].endswith("which failed: busy.")


def test_the_flow_is_told_by_its_nodes() -> None:
    path = (IvrStep(NOON, "survey", "welcome"), IvrStep(NOON, "survey", "score", "5"))
    assert explain(replace(record(), ivr_path=path))[-1] == (
        "In the flow survey: welcome → score (5)."
    )


def test_for_which_queue_a_call_was_made_is_told() -> None:
    made = IvrStep(NOON, "", "", "outbound", "order")
    assert explain(replace(record(), ivr_path=(made,)))[-1] == ("It was made for the queue order.")
    path = (made, IvrStep(NOON, "survey", "welcome"))
    assert explain(replace(record(), ivr_path=path))[-2:] == [
        "It was made for the queue order.",
        "In the flow survey: welcome.",
    ]


def test_poor_audio_and_none_are_told() -> None:
    kept = record(ended_s=60, talked_s=50)
    poor = LegQuality("PCMU", AudioFigures(100, 12.5, 40.0, 2.9), AudioFigures(100, mos=4.2))
    agent, customer = kept.connections
    kept = replace(
        kept,
        connections=(replace(agent, media_confirmed=False), replace(customer, quality=poor)),
    )
    text = told(kept)
    assert "No audio of 6001 was ever seen" in text
    assert "The audio from 10086 was poor: MOS 2.9, loss 12.5 %, jitter 40.0 ms" in text
    assert "audio to 10086" not in text
