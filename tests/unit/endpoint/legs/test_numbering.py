"""Which rule takes a number, and what becomes of it."""

from __future__ import annotations

import pytest

from endpoint.legs.numbering import NumberRule, rewrite

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("rule", "number", "becomes"),
    [
        (NumberRule("*"), "95588", "95588"),
        (NumberRule("0*", strip=1, add="+49"), "030123", "+4930123"),
        (NumberRule("0*", strip=1), "1030", None),
        (NumberRule("+4930*", strip=5), "+49306001", "6001"),
        (NumberRule("110", to="112"), "110", "112"),
        (NumberRule("110", to="112"), "1101", None),
        (NumberRule("110*", strip=3), "110", None),
        (NumberRule("*"), "*21#", "*21#"),
        (NumberRule("**", add="9"), "*21#", "9*21#"),
    ],
)
def test_a_rule(rule: NumberRule, number: str, becomes: str | None) -> None:
    assert rewrite(number, [rule]) == becomes


def test_the_first_rule_that_fits_counts() -> None:
    rules = [NumberRule("00*", strip=2, add="+"), NumberRule("0*", strip=1, add="+49")]
    assert rewrite("0033123", rules) == "+33123"
    assert rewrite("033123", rules) == "+4933123"
    assert rewrite("6001", rules) is None
