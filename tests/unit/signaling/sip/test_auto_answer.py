"""Wishes that a telephone picks up by itself, as callers write them."""

from __future__ import annotations

import pytest

from signaling.sip.auto_answer import LONGEST_S, answer_after_s, ask_to_answer
from tests.unit.signaling.sip.messages import request

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        (("Call-Info", "<sip:pbx.example>;answer-after=0"), 0),
        (("Call-Info", "<sip:pbx.example>;answer-after=5"), 5),
        (("Call-Info", "<http://a.example/p.png>;purpose=icon, <sip:b>;answer-after=2.5"), 2.5),
        (("Call-Info", "answer-after=1"), None),
        (("Call-Info", ";answer-after=1"), 1),
        (("Call-Info", "<sip:pbx.example>;answer-after=soon"), 0),
        (("Call-Info", "<sip:pbx.example>;answer-after=999"), LONGEST_S),
        (("Call-Info", "<sip:pbx.example>;purpose=icon"), None),
        (("Alert-Info", "<http://www.notused.com>;info=alert-autoanswer;delay=0"), 0),
        (("Alert-Info", "<http://www.notused.com>;info=alert-autoanswer;delay=3"), 3),
        (("Alert-Info", "<sip:a>;info=auto-answer"), 0),
        (("Alert-Info", '<sip:a>;info="Auto Answer"'), 0),
        (("Alert-Info", "info=alert-autoanswer"), None),
        (("Alert-Info", ";info=alert-autoanswer"), 0),
        (("Alert-Info", "Auto Answer"), 0),
        (("Alert-Info", "<auto-answer>"), 0),
        (("Alert-Info", "Ring Answer"), 2),
        (("Alert-Info", "<sip:a>;info=ring-answer"), 2),
        (("Alert-Info", "<http://a.example/ring.wav>"), None),
        (("Answer-Mode", "Auto"), 0),
        (("Answer-Mode", "auto;require"), 0),
        (("Answer-Mode", "Manual"), None),
    ],
)
def test_a_wish_is_understood_as_telephones_do(
    header: tuple[str, str], after_s: float | None
) -> None:
    assert answer_after_s(request(headers=(header,))) == after_s


def test_of_several_wishes_the_longest_wait_is_kept_and_manual_says_no() -> None:
    headers = (("Call-Info", "<sip:a>;answer-after=4"), ("Answer-Mode", "Auto"))
    assert answer_after_s(request(headers=headers)) == 4
    assert answer_after_s(request(headers=(headers[0], ("Answer-Mode", "Manual")))) is None
    assert answer_after_s(request()) is None


@pytest.mark.parametrize("text", ['"', "<", ",", ";", ";;", "<>;=", "a;b;b", "<a>;answer-after"])
def test_nonsense_is_no_wish(text: str) -> None:
    headers = (("Call-Info", text), ("Alert-Info", text), ("Answer-Mode", text))
    assert answer_after_s(request(headers=headers)) in (None, 0.0)


@pytest.mark.parametrize("after_s", [0.0, 2.5, 7.0])
def test_what_we_ask_for_is_what_we_would_understand(after_s: float) -> None:
    assert answer_after_s(request(headers=ask_to_answer(after_s))) == after_s
