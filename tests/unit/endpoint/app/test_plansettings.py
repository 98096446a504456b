"""`[plan]` and `[[calls.limits]]` in the configuration."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from endpoint.app.facts import dial_limits, dial_plan, outside_trunks
from endpoint.app.settings import Config
from endpoint.callcontrol.dialplan import Dial, Kind
from endpoint.callcontrol.dials import DialLimits
from endpoint.legs.base import DeviceId
from tests.unit.endpoint.callcontrol.test_dialplan import NOON

pytestmark = pytest.mark.unit

TRUNK = {
    "name": "carrier",
    "peers": ["sip:192.0.2.1"],
    "outgoing": [{"match": "_0[1-9].", "strip": 1, "add": "+49"}, {"match": "0*"}],
    "incoming": [{"match": "+49301*", "strip": 5}],
}


def test_what_the_configuration_says_is_the_plan_without_rules() -> None:
    account = {"device": "7001", "server": "sip:pbx.example", "username": "u", "password": "s"}
    config = Config.model_validate(
        {
            "trunk": [TRUNK],
            "station": [{"device": "6002", "kind": "tone"}],
            "account": [account],
            "plan": {"emergency": ["110"], "refused": ["+49900*"], "international_prefix": "011"},
        }
    )
    plan = dial_plan(config, outside_trunks(config))

    def kind(number: str) -> Kind:
        return plan.decide(Dial(number, DeviceId("6001"), NOON)).kind

    assert [
        kind(number) for number in ("110", "112", "6002", "7001", "030", "0900", "01149900")
    ] == [
        Kind.EMERGENCY,
        Kind.UNKNOWN,
        Kind.DEVICE,
        Kind.DEVICE,
        Kind.TRUNK,
        Kind.REFUSED,
        Kind.REFUSED,
    ]
    assert plan.decide_incoming("carrier", "+49301", "", NOON).device == "1"


def test_by_default_there_are_emergencies_and_numbers_that_cost_more() -> None:
    plan = Config().plan
    assert plan.emergency == ["112", "911"]
    assert "0900*" in plan.refused


def test_limits_of_some_devices() -> None:
    own = {"devices": "_60[1-9]X", "dials_per_minute": 60, "at_once": 9}
    config = Config.model_validate({"calls": {"limits": [own]}})
    assert dial_limits(config)[-1] == DialLimits(60, 9, "_60[1-9]X")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"plan": {"emergency": ["1 1 2"]}}, "its beginning and *"),
        ({"plan": {"refused": ["_0("]}}, "expected digits, X, Z, N"),
        ({"plan": {"international_prefix": "oo"}}, "up to 8 digits"),
        ({"plan": {"rules": []}}, "rules"),
        ({"calls": {"limits": [{"devices": "", "dials_per_minute": 1, "at_once": 1}]}}, "expected"),
        ({"calls": {"limits": [{"devices": "60*", "dials_per_minute": 0, "at_once": 1}]}}, "1"),
    ],
)
def test_a_mistake_says_what_was_expected(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(given)
    assert told in str(caught.value)
