"""What makes a rule of the dial plan whole: every mistake is told with its field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.callcontrol.dialplan import Action, Considered, Dial, DialPlan, Direction, Line, Rule
from endpoint.callcontrol.planrules import mistakes_of, trunks_of
from endpoint.legs.base import Cause, DeviceId
from tests.unit.endpoint.callcontrol.test_dialplan import NOON, TRUNKS

pytestmark = pytest.mark.unit

MAY_SHOW = {"first": ("+4930*",), "second": ()}
OUT = {"name": "rule", "pattern": "_0X.", "action": Action.TRUNK, "lines": (Line("first"),)}
IN = {"direction": Direction.IN, "action": Action.DEVICE, "lines": (), "device": "6001"}


def fields(**facts: Any) -> list[str]:
    return [each.field for each in mistakes_of(Rule(**{**OUT, **facts}), MAY_SHOW)]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"shown": "+49301", "premium": True, "callers": ("60*", "_70XX")},
        {"callers": ("agent:1001", "agent:20*", "agent:_20XX")},
        {"lines": (Line("second", 1, "+49"), Line("first", to="112"))},
        {"hours": "mon-fri 08:00-18:00", "time_zone": "Europe/Berlin", "holidays": ("12-25",)},
        {"action": Action.REFUSE, "lines": (), "cause": Cause.BUSY, "text": "Not now."},
        {"action": Action.DEVICE, "lines": (), "device": "RP_0301"},
        {"action": Action.EMERGENCY, "lines": (), "location": "https://lis.example/1"},
        {"action": Action.EMERGENCY, "shown": "+49301"},
        IN,
        {**IN, "trunks": ("second",), "callers": ("+49*",), "hours": "sat"},
        {**IN, "action": Action.REFUSE, "device": "", "cause": Cause.DECLINED},
    ],
)
def test_what_is_whole(facts: dict[str, Any]) -> None:
    assert fields(**facts) == []


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [
        ({"name": ""}, ["name"]),
        ({"name": " a"}, ["name"]),
        ({"name": "a/b"}, ["name"]),
        ({"name": "a\nb"}, ["name"]),
        ({"name": "a" * 65}, ["name"]),
        ({"pattern": "_1.2", "callers": ("60*", "6 0")}, ["pattern", "callers[1]"]),
        ({"callers": ("agent:", "agent:2 0")}, ["callers[0]", "callers[1]"]),
        ({**IN, "callers": ("agent:1001",)}, ["callers[0]"]),
        ({"position": 10**7}, ["position"]),
        ({"hours": "noon", "time_zone": "Mars"}, ["hours", "time_zone"]),
        ({"hours": "mon", "holidays": ("12-25", "25.12.")}, ["holidays[1]"]),
        ({"holidays": ("12-25",)}, ["holidays"]),
        ({"lines": ()}, ["lines"]),
        ({"lines": (Line("gone"), Line("first", strip=65))}, ["lines[0].trunk", "lines[1].strip"]),
        ({"lines": (Line("first"), Line("first"))}, ["lines[1].trunk"]),
        (
            {"lines": (Line("first", add="a b", to="é"),)},
            ["lines[0].add", "lines[0].to", "lines[0].to"],
        ),
        ({"lines": (Line("second", strip=1, to="112"),)}, ["lines[0].to"]),
        ({"shown": "+4989"}, ["shown"]),
        ({"shown": "a b", "lines": (Line("second"),)}, ["shown"]),
        ({"trunks": ("first",)}, ["trunks"]),
        ({"device": "6001"}, ["device"]),
        ({"location": "https://x.example"}, ["location"]),
        ({"cause": Cause.BUSY}, ["cause"]),
        ({"text": "Why."}, ["text"]),
        ({"action": Action.REFUSE}, ["lines"]),
        ({"action": Action.REFUSE, "lines": (), "cause": Cause.NORMAL}, ["cause"]),
        ({"action": Action.REFUSE, "lines": (), "text": "a\nb"}, ["text"]),
        ({"action": Action.REFUSE, "lines": (), "premium": True}, ["premium"]),
        ({"action": Action.DEVICE, "lines": ()}, ["device"]),
        ({"action": Action.DEVICE, "lines": (), "device": "a b"}, ["device"]),
        ({"action": Action.DEVICE, "lines": (), "device": "6001", "shown": "1"}, ["shown"]),
        ({"action": Action.EMERGENCY, "location": "here"}, ["location"]),
        ({"action": Action.EMERGENCY, "callers": ("6001",), "hours": "mon"}, ["callers", "hours"]),
        ({**IN, "lines": (Line("first"),)}, ["lines"]),
        ({**IN, "trunks": ("gone",)}, ["trunks[0]"]),
        ({**IN, "action": Action.TRUNK, "device": ""}, ["action"]),
        ({**IN, "action": Action.EMERGENCY, "device": ""}, ["action"]),
    ],
)
def test_each_mistake_is_told_with_its_field(facts: dict[str, Any], wrong: list[str]) -> None:
    assert fields(**facts) == wrong
    told = mistakes_of(Rule(**{**OUT, **facts}), MAY_SHOW)
    assert all("expected" in each.text for each in told)


def test_trunks_that_a_rule_names() -> None:
    assert trunks_of(Rule(**OUT)) == ["first"]
    assert trunks_of(Rule(**{**OUT, **IN, "trunks": ("second",)})) == ["second"]


_TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["_0X.", "mon 8:00-9:00", "6001", "*"]))


@given(
    st.builds(
        Rule,
        _TEXTS,
        _TEXTS,
        st.sampled_from(Action),
        st.sampled_from(Direction),
        st.integers(),
        st.lists(_TEXTS, max_size=2).map(tuple),
        hours=_TEXTS,
        time_zone=st.sampled_from(["UTC", "Europe/Berlin", "Nowhere"]),
        lines=st.lists(st.builds(Line, st.just("first"), st.integers(), _TEXTS), max_size=2).map(
            tuple
        ),
        device=_TEXTS,
    ),
    st.text(max_size=12),
)
def test_a_rule_without_mistakes_decides_about_every_number(rule: Rule, number: str) -> None:
    if mistakes_of(rule, MAY_SHOW):
        return
    plan = DialPlan(rules=(rule,), trunks=TRUNKS)
    out: list[Considered] = []
    into: list[Considered] = []
    dial = Dial(number, DeviceId("6001"), NOON)
    assert plan.decide(dial, out) == plan.decide(dial)
    incoming = plan.decide_incoming("first", number, "1", NOON)
    assert plan.decide_incoming("first", number, "1", NOON, into) == incoming
    assert out
    assert into
