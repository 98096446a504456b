from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.media.diagnosis import (
    Counts,
    ReceivedDiagnosis,
    Reception,
    Sending,
    SentDiagnosis,
    judge_received,
    judge_sent,
)

pytestmark = pytest.mark.unit

DOCUMENTED = Path(__file__).parents[4] / "docs" / "native.md"
NOTHING = Counts(*[0] * len(Counts._fields))


def reception(*, is_young: bool = False, mos: float | None = None, **last: int) -> Reception:
    return Reception(True, True, is_young, -20.0, False, mos, NOTHING._replace(**last))


def sending(*, is_heard: bool | None = None, mos: float | None = None, sent: int = 50) -> Sending:
    return Sending(True, True, False, True, -20.0, is_heard, mos, sent)


@pytest.mark.parametrize("diagnosis", [*ReceivedDiagnosis, *SentDiagnosis])
def test_every_diagnosis_is_explained(diagnosis: ReceivedDiagnosis | SentDiagnosis) -> None:
    assert diagnosis.text.endswith(".")
    assert f"`{diagnosis}`" in DOCUMENTED.read_text(encoding="utf-8")


def test_what_is_heard_excuses_what_was_dropped_besides() -> None:
    heard = reception(received=50, expected=50, foreign=900, refused=900, malformed=900)
    assert judge_received(heard) is ReceivedDiagnosis.FINE


@pytest.mark.parametrize(
    ("dropped", "diagnosis"),
    [
        ("refused", ReceivedDiagnosis.NOT_AUTHENTIC),
        ("foreign", ReceivedDiagnosis.WRONG_SOURCE),
        ("malformed", ReceivedDiagnosis.UNDECODABLE),
    ],
)
def test_what_is_dropped_explains_that_nothing_is_heard_even_at_the_beginning(
    dropped: str, diagnosis: ReceivedDiagnosis
) -> None:
    assert judge_received(reception(is_young=True, **{dropped: 1})) is diagnosis


def test_comfort_noise_that_nobody_agreed_on_is_no_fault_beside_audio() -> None:
    assert judge_received(reception(received=50, unnegotiated=5)) is ReceivedDiagnosis.FINE


def test_a_far_end_that_hears_nothing_is_worse_than_one_that_hears_badly() -> None:
    assert judge_sent(sending(is_heard=False, mos=1.0)) is SentDiagnosis.PEER_HEARS_NOTHING
    assert judge_sent(sending(is_heard=True, mos=1.0)) is SentDiagnosis.POOR
    assert judge_sent(sending(is_heard=True, mos=4.4)) is SentDiagnosis.FINE


def test_nothing_that_is_sent_is_not_the_far_end_s_fault() -> None:
    assert judge_sent(sending(is_heard=False, sent=0)) is SentDiagnosis.NOTHING_TO_SEND
