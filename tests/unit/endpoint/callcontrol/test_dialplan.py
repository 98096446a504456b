"""Where a number goes, and why: every kind of rule, their order, and the tricks of S12."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.app.planbook import MOST_RULES
from endpoint.app.plansettings import PREMIUM
from endpoint.callcontrol.dialplan import (
    Action,
    Considered,
    Decision,
    Dial,
    DialPlan,
    Direction,
    Kind,
    Line,
    PlanInUse,
    Rule,
)
from endpoint.legs.base import Cause, DeviceId
from endpoint.legs.numbering import NumberRefused, NumberRule, TrunkNumbers, Ways

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
"""A Friday."""
AGENT = DeviceId("6001")
TRUNKS = (
    TrunkNumbers("first", (NumberRule("0*", strip=1, add="+49"),), (NumberRule("+4930*", 5),)),
    TrunkNumbers("second", (NumberRule("*"),)),
)
PLAN = DialPlan(
    trunks=TRUNKS, emergency=("112",), refused=tuple(PREMIUM), devices={"7001": "station"}
)


def rule(pattern: str, action: Action = Action.TRUNK, **facts: Any) -> Rule:
    if action is Action.TRUNK:
        facts.setdefault("lines", (Line("second"),))
    return Rule(facts.pop("name", "rule"), pattern, action, **facts)


def plan(*rules: Rule, **facts: Any) -> DialPlan:
    return replace(PLAN, rules=rules, **facts)


def decide(of: DialPlan, number: str, caller: str = "6001", **facts: Any) -> Decision:
    return of.decide(Dial(number, DeviceId(caller), facts.pop("now", NOON), **facts))


def why(of: DialPlan, number: str, **facts: Any) -> list[str]:
    """What is told of each rule that is looked at."""
    trace: list[Considered] = []
    of.decide(Dial(number, AGENT, NOON, **facts), trace)
    return [each.why for each in trace]


def sent(decision: Decision) -> list[tuple[str, str]]:
    return [(course.trunk, course.number) for course in decision.courses]


# -- without a rule of the database -----------------------------------------------------------


def test_without_rules_all_trunks_that_take_a_number_are_tried_in_their_order() -> None:
    assert sent(decide(PLAN, "030123")) == [("first", "+4930123"), ("second", "030123")]
    assert sent(decide(PLAN, "95588")) == [("second", "95588")]
    nobody = decide(replace(PLAN, trunks=TRUNKS[:1]), "95588")
    assert (nobody.kind, nobody.cause) == (Kind.UNKNOWN, Cause.UNKNOWN_DEVICE)
    assert "nobody knows 95588" in nobody.text
    nothing_left = TrunkNumbers("first", (NumberRule("95588", strip=5),))
    assert decide(replace(PLAN, trunks=(nothing_left,)), "95588").kind is Kind.UNKNOWN


def test_devices_of_ours_are_no_trunk_s() -> None:
    of_alias = decide(PLAN, "0800", device=AGENT)
    assert (of_alias.kind, of_alias.device) == (Kind.DEVICE, AGENT)
    assert "by alias 0800" in why(PLAN, "0800", device=AGENT)[-1]
    station = decide(PLAN, "7001")
    assert (station.kind, station.device) == (Kind.DEVICE, "7001")
    assert "station" in why(PLAN, "7001")[-1]


def test_a_remote_agent_is_one_that_we_know() -> None:
    agent = DeviceId("RP_030123")
    assert decide(PLAN, agent, device=agent).kind is Kind.REMOTE
    unknown = decide(PLAN, agent)
    assert (unknown.kind, unknown.text) == (Kind.UNKNOWN, "there is no remote agent RP_030123")


def test_an_account_takes_every_number_that_no_rule_takes() -> None:
    assert decide(PLAN, "95588", by_account=True).kind is Kind.ACCOUNT
    assert decide(PLAN, "0900123", by_account=True).kind is Kind.REFUSED
    assert decide(plan(rule("955*")), "95588", by_account=True).kind is Kind.TRUNK
    assert decide(plan(rule("955*", Action.REFUSE)), "95588", by_account=True).is_refused


# -- rules ------------------------------------------------------------------------------------


def test_a_rule_says_trunks_their_order_and_how_the_number_is_dialled_at_each() -> None:
    lines = (Line("second", strip=1, add="0049"), Line("first", to="112233"), Line("gone"))
    found = decide(plan(rule("_0Z.", lines=lines, shown="+4930100")), "030-123")
    assert sent(found) == [("second", "004930123"), ("first", "112233")]
    assert {course.shown for course in found.courses} == {"+4930100"}
    assert found.rule == "rule rule"


def test_a_rule_whose_trunks_are_gone_leads_nowhere_else() -> None:
    found = decide(plan(rule("0*", lines=(Line("gone"),))), "030123")
    assert (found.kind, found.cause) == (Kind.REFUSED, Cause.TRUNKS_DOWN)


def test_lower_positions_go_first_and_then_names() -> None:
    first = rule("03*", Action.REFUSE, name="b", position=1)
    second = rule("0*", name="a", position=2)
    same = rule("0*", Action.REFUSE, name="0", position=2)
    assert decide(plan(second, first), "030").rule == "rule b"
    assert decide(plan(second, same), "040").rule == "rule 0"
    assert decide(plan(second, replace(first, enabled=False)), "030").rule == "rule a"


def test_the_largest_plan_costs_as_its_rules_do_and_no_more() -> None:
    # Who dials waits in the process that all calls are in: no pattern may be read for each number.
    rules = [
        rule(f"_0{number:04}X.", name=f"{number:04}", callers=(f"6{number:04}*",))
        for number in range(MOST_RULES)
    ]

    def cost_s(of: DialPlan) -> float:
        costs = []
        for _ in range(6):
            began = process_time()
            decide(of, "09999123")
            costs.append(process_time() - began)
        return min(costs[1:])

    part = cost_s(plan(*rules[: MOST_RULES // 4]))
    assert cost_s(plan(*rules)) < 12 * part


def test_a_rule_is_for_those_who_are_named() -> None:
    of = plan(rule("00*", Action.REFUSE, callers=("_60[1-9]X", "7001")))
    assert decide(of, "0033123", "6010").is_refused
    assert decide(of, "0033123", "7001").is_refused
    assert decide(of, "0033123", "6001").kind is Kind.TRUNK


def test_a_rule_is_for_agents_wherever_they_work() -> None:
    of = plan(rule("00*", Action.REFUSE, callers=("agent:20*", "7001")))
    at = {"6001": "2001", "6002": "1001"}
    in_use = PlanInUse(of, lambda: NOON, agent_at=lambda device: at.get(device, ""))

    def dials(caller: str) -> bool:
        return in_use.decide("0033123", DeviceId(caller)).is_refused

    assert [dials(each) for each in ("6001", "6002", "6003", "7001")] == [True, False, False, True]
    assert isinstance(in_use.outgoing("0033123", DeviceId("6001")), NumberRefused)
    assert [dials(each) for each in ("agent:2001", "agent:1001")] == [True, False]
    trace: list[Considered] = []
    in_use.decide("0033123", DeviceId("6002"), trace=trace)
    assert "6002 (agent:1001) is none of its callers (agent:20*, 7001)" in str(trace)


def test_a_rule_counts_at_its_hours() -> None:
    of = plan(rule("0*", Action.REFUSE, hours="mon-fri 18:00-08:00", time_zone="Europe/Berlin"))
    assert decide(of, "030").kind is Kind.TRUNK
    night = datetime(2026, 11, 27, 17, 30, tzinfo=UTC)
    assert decide(of, "030", now=night).is_refused
    assert "not mon-fri" in why(of, "030")[2]


def test_a_number_may_mean_a_device() -> None:
    found = decide(plan(rule("0", Action.DEVICE, device="6009")), "0")
    assert (found.kind, found.device) == (Kind.DEVICE, "6009")
    remote = decide(plan(rule("5", Action.DEVICE, device="RP_0301")), "5")
    assert remote.kind is Kind.REMOTE


def test_what_is_refused_has_a_cause_and_words() -> None:
    plain = decide(plan(rule("00*", Action.REFUSE, name="no abroad")), "0033")
    assert (plain.cause, plain.text) == (Cause.NUMBER_REFUSED, "rule no abroad refuses 0033")
    said = decide(plan(rule("00*", Action.REFUSE, cause=Cause.BUSY, text="Ask first.")), "0033")
    assert (said.cause, said.text) == (Cause.BUSY, "Ask first.")


def test_extensions_are_no_rule_s_to_take() -> None:
    found = decide(plan(rule("*", Action.REFUSE)), "6002", device=DeviceId("6002"))
    assert found.kind is Kind.DEVICE


# -- emergencies ------------------------------------------------------------------------------


def test_an_emergency_goes_by_every_trunk_whoever_dials_and_whatever_is_refused() -> None:
    of = plan(rule("*", Action.REFUSE, position=0), refused=("*",))
    found = decide(of, "112", device=DeviceId("112"))
    assert (found.kind, sent(found)) == (Kind.EMERGENCY, [("first", "112"), ("second", "112")])
    assert isinstance(found.ways, Ways)
    assert found.ways.emergency


def test_an_emergency_rule_says_the_first_trunk_and_who_is_in_need() -> None:
    lines = (Line("second", add="0"),)
    facts = {"lines": lines, "shown": "+4930100", "location": "https://lis.example/1"}
    found = decide(plan(rule("110", Action.EMERGENCY, **facts)), "1-1-0")
    assert sent(found) == [("second", "0110"), ("first", "110")]
    assert {(each.shown, each.location) for each in found.courses} == {
        ("+4930100", "https://lis.example/1")
    }
    assert decide(plan(rule("110", Action.EMERGENCY)), "112").kind is Kind.EMERGENCY


def test_an_emergency_goes_by_the_account_where_no_trunk_takes_it() -> None:
    for of in (PLAN, replace(PLAN, trunks=())):
        found = decide(of, "112", by_account=True)
        assert (found.kind, len(found.courses)) == (Kind.EMERGENCY, len(of.trunks))
        assert found.by_account
        assert isinstance(found.ways, Ways)
        assert found.ways.by_account
    assert not decide(PLAN, "112").by_account


def test_an_emergency_without_a_trunk_says_so() -> None:
    found = decide(replace(PLAN, trunks=()), "112")
    assert (found.kind, found.cause) == (Kind.UNKNOWN, Cause.TRUNKS_DOWN)


# -- numbers that cost more -------------------------------------------------------------------

WRITTEN = [
    "0900123456",
    "0900 123 456",
    "0.900.123456",
    "(0900)123456",
    "+49900123456",
    "0049900123456",
    "00 49 (0) 900 123456",
    "+49 (0)900-123456",
    "*31#0900123456",
    "#31#+49900123456",
    "*670900123456",
    "*31#*31#0049900123456",
    "*21*0900123456#",
    "+979123456",
    "00979123456",
    "+881612345",
    "0088112345",
]


@pytest.mark.parametrize("number", WRITTEN)
def test_s12_a_number_that_costs_more_is_refused_however_it_is_written(number: str) -> None:
    for of in (PLAN, plan(rule("*")), plan(rule("_!")), replace(PLAN, trunks=())):
        for by_account in (False, True):
            found = decide(of, number, by_account=by_account)
            assert (found.kind, found.cause) == (Kind.REFUSED, Cause.NUMBER_REFUSED)
            assert "plan.refused" in found.text


@pytest.mark.parametrize(
    ("number", "digits"), [("0900", "123456"), ("09", "00123456"), ("0049", "900123456")]
)
def test_s12_digits_behind_a_dash_are_part_of_the_number(number: str, digits: str) -> None:
    found = decide(PLAN, number, digits=digits)
    assert found.is_refused
    assert digits not in found.text
    assert ("with the digits behind it" in found.text) is (number != "0900")


def test_s12_what_a_rule_would_send_is_looked_at_too() -> None:
    added = rule("_9X.", lines=(Line("second", strip=1),))
    assert decide(plan(added), "90900123").is_refused
    prefixed = rule("_8X.", lines=(Line("second", strip=1, add="+49"),))
    assert decide(plan(prefixed), "8900123").is_refused
    assert decide(plan(prefixed), "830123").kind is Kind.TRUNK
    assert decide(PLAN, "0900123").is_refused


def test_a_rule_may_let_them_be_called() -> None:
    of = plan(rule("0900*", premium=True, callers=("6009",)))
    assert decide(of, "0900123", "6009").kind is Kind.TRUNK
    assert decide(of, "0900123", "6001").is_refused


def test_what_is_refused_is_the_operator_s_list() -> None:
    assert decide(replace(PLAN, refused=()), "0900123").kind is Kind.TRUNK
    american = replace(PLAN, refused=("+1900*",), international="011")
    assert decide(american, "0111900123").is_refused
    assert decide(american, "001900123").kind is Kind.TRUNK
    assert decide(replace(american, international=""), "0111900123").kind is Kind.TRUNK
    assert decide(replace(american, international=""), "+1900123").is_refused
    assert decide(replace(american, international=""), "1900123").kind is Kind.TRUNK


def test_by_default_no_plain_number_is_refused() -> None:
    plain = ["95588", "01371234567", "01901234567", "19001234567", "+8613800138000", "0301234"]
    plain += ["+4930123456", "+12125550100", "+442071234567", "1001", "9", "00493012345"]
    of = replace(PLAN, trunks=TRUNKS[1:])
    assert [number for number in plain if decide(of, number).is_refused] == []


# -- calls that come in -----------------------------------------------------------------------


def incoming(of: DialPlan, number: str, caller: str = "+4989", trunk: str = "first") -> Decision:
    return of.decide_incoming(trunk, number, caller, NOON)


def inbound(pattern: str, action: Action = Action.DEVICE, **facts: Any) -> Rule:
    facts.setdefault("device", "6001" if action is Action.DEVICE else "")
    return rule(pattern, action, direction=Direction.IN, **facts)


def test_without_rules_a_trunk_s_own_say_who_is_called() -> None:
    assert incoming(PLAN, "+49 30 6002").device == "6002"
    unknown = incoming(PLAN, "+4989")
    assert (unknown.kind, unknown.cause) == (Kind.UNKNOWN, Cause.UNKNOWN_DEVICE)
    assert incoming(PLAN, "+49306002", trunk="second").kind is Kind.UNKNOWN


def test_a_rule_for_calls_that_come_in_goes_before() -> None:
    of = plan(
        inbound("+49301*", callers=("+4989*",), trunks=("first",), device="999"),
        inbound("+49302", Action.REFUSE, name="gone", cause=Cause.BUSY),
    )
    assert incoming(of, "+49301").device == "999"
    assert incoming(of, "+49301", "+4940").device == "1"
    assert incoming(of, "+49301", trunk="second").kind is Kind.UNKNOWN
    assert (incoming(of, "+49302").kind, incoming(of, "+49302").cause) == (
        Kind.REFUSED,
        Cause.BUSY,
    )
    assert decide(of, "+49302").kind is Kind.TRUNK


# -- what the legs are told -------------------------------------------------------------------


def test_the_legs_are_told_the_same_and_a_plan_is_exchanged_whole() -> None:
    in_use = PlanInUse(PLAN, lambda: NOON, lambda device: device == "7001")
    refused = in_use.outgoing("0900123", AGENT)
    assert refused == NumberRefused(Cause.NUMBER_REFUSED, decide(PLAN, "0900123").text)
    ways = in_use.outgoing("95588", AGENT)
    assert isinstance(ways, Ways)
    assert ways.courses == decide(PLAN, "95588").courses
    assert in_use.outgoing("95588", AGENT, by_account=True) == Ways(by_account=True)
    assert in_use.decide("95588", DeviceId("7001")).kind is Kind.ACCOUNT
    assert in_use.incoming("first", "+49306002", "") == "6002"
    nobody = in_use.incoming("first", "1", "")
    assert isinstance(nobody, NumberRefused)
    assert nobody.answer == (404, None)
    assert in_use.premium("0900123")
    assert not in_use.premium("030123")
    in_use.plan = plan(rule("955*", Action.DEVICE, device="6009"))
    assert in_use.outgoing("95588", AGENT) == Ways(device=DeviceId("6009"))


# -- whatever is dialled ----------------------------------------------------------------------

_NUMBERS = st.one_of(
    st.text(max_size=20),
    st.text("0123456789+*#.-() ", max_size=20),
    st.sampled_from(WRITTEN),
)
_PATTERNS = st.sampled_from(["*", "0*", "_0Z.", "_X!", "112", "+49*", "_9."])
_LINES = st.lists(
    st.builds(
        Line,
        st.sampled_from(["first", "second", "gone"]),
        st.integers(0, 5),
        st.sampled_from(["", "+49", "00"]),
        st.sampled_from(["", "0301"]),
    ),
    max_size=3,
).map(tuple)
_RULES = st.lists(
    st.builds(
        Rule,
        st.text(max_size=4),
        _PATTERNS,
        st.sampled_from(Action),
        st.sampled_from(Direction),
        st.integers(0, 3),
        st.sampled_from([(), ("60*",)]),
        st.sampled_from([(), ("first",)]),
        st.sampled_from(["", "fri 08:00-13:00", "sat"]),
        lines=_LINES,
        device=st.sampled_from(["6009", "RP_1"]),
    ),
    max_size=5,
).map(tuple)


@given(_RULES, _NUMBERS, st.booleans(), st.text("0123456789", max_size=8))
def test_a_decision_is_total_and_tells_its_way(
    rules: tuple[Rule, ...], number: str, by_account: bool, digits: str
) -> None:
    found = decide(plan(*rules), number, by_account=by_account, digits=digits)
    assert (found.kind in (Kind.REFUSED, Kind.UNKNOWN)) == isinstance(found.ways, NumberRefused)
    leads_out = found.kind in (Kind.TRUNK, Kind.EMERGENCY, Kind.ACCOUNT)
    assert bool(found.courses or found.by_account) == leads_out
    assert (found.device is not None) == (found.kind in (Kind.DEVICE, Kind.REMOTE))
    assert all(course.number for course in found.courses)
    assert why(plan(*rules), number, by_account=by_account, digits=digits)
    into = plan(*rules).decide_incoming("first", number, number, NOON)
    assert into.kind in (Kind.DEVICE, Kind.REFUSED, Kind.UNKNOWN)


@given(_RULES, _NUMBERS, st.booleans())
def test_s12_nothing_that_is_refused_is_ever_sent(
    rules: tuple[Rule, ...], number: str, by_account: bool
) -> None:
    of = plan(*rules)
    found = decide(of, number, by_account=by_account)
    if found.kind in (Kind.TRUNK, Kind.ACCOUNT):
        assert not any(of.premium(each) for each in (number, *(n for _, n in sent(found))))


def test_a_decision_that_nobody_has_explained_costs_less_than_its_words() -> None:
    """Each dial asks the whole plan: at thousands of rules their words were most of it."""
    of = plan(*(rule(f"_0{at:04d}.", name=str(at)) for at in range(3000)))

    def cost_s(trace: list[Considered] | None) -> float:
        begin = process_time()
        of.decide(Dial("95588", AGENT, NOON), trace)
        return process_time() - begin

    cost_s(None)  # patterns are read once
    assert 2 * min(cost_s(None) for _ in range(5)) < min(cost_s([]) for _ in range(5))
