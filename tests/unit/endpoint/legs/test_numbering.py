"""Numbers on their way to a trunk and from it."""

from __future__ import annotations

import pytest

from endpoint.legs.numbering import NumberRule, Pattern, canonical, rewrite

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
        (NumberRule("_0Z.", strip=1, add="+49"), "030123", "+4930123"),
        (NumberRule("_0Z.", strip=1, add="+49"), "0030123", None),
    ],
)
def test_a_rule(rule: NumberRule, number: str, becomes: str | None) -> None:
    assert rewrite(number, [rule]) == becomes


def test_the_first_rule_that_fits_counts() -> None:
    rules = [NumberRule("00*", strip=2, add="+"), NumberRule("0*", strip=1, add="+49")]
    assert rewrite("0033123", rules) == "+33123"
    assert rewrite("033123", rules) == "+4933123"
    assert rewrite("6001", rules) is None


@pytest.mark.parametrize(
    ("pattern", "taken", "not_taken"),
    [
        ("6001", ["6001"], ["6002", "60011", "600", ""]),
        ("60*", ["60", "6001"], ["6", "160"]),
        ("*", ["", "6001", "*21#", "a\nb"], []),
        ("*21*", ["*21", "*21*30#"], ["21", "*2"]),
        ("RP_9*", ["RP_91"], ["RP_1", "RPX9"]),
        ("1.5*", ["1.5"], ["125"]),
        ("_60XX", ["6000", "6099"], ["600", "60000", "60X0", "60٣٣"]),
        ("_Z.", ["10", "9x"], ["0", "1", "00"]),
        ("_0!", ["0", "01"], ["1", ""]),
        ("_.", ["1", "+", "name"], [""]),
        ("_!", ["", "1"], []),
        ("_N[135-7]", ["21", "95"], ["11", "22", "28"]),
        ("_[X]Z", ["X1"], ["11"]),
        ("_+49[1-9].", ["+49301"], ["4930", "+490301", "+493"]),
        ("_*[67]#", ["*6#"], ["*8#", "66#"]),
        ("_[+.]1", ["+1", ".1"], ["21"]),
    ],
)
def test_a_pattern(pattern: str, taken: list[str], not_taken: list[str]) -> None:
    asked = Pattern(pattern)
    assert [number for number in taken + not_taken if asked.takes(number)] == taken
    assert str(asked) == pattern


@pytest.mark.parametrize(
    "text",
    ["", "_", "0 1", "0 1*", "_1.2", "_[9-0]", "_[", "_[]", "_[^1]", "_1(2)", "é", "_é", "1" * 65],
)
def test_what_is_no_pattern_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Pattern(text)


@pytest.mark.parametrize(
    ("rule", "made", "not_made"),
    [
        (NumberRule("*"), ["", "0900"], []),
        (NumberRule("0*", strip=1, add="+49"), ["+4930"], ["030", "+1"]),
        (NumberRule("030*", strip=1), ["301"], ["0301", "31"]),
        (NumberRule("0*", strip=3, add="9"), ["91"], ["81"]),
        (NumberRule("110"), ["110"], ["1100"]),
        (NumberRule("110", add="0"), ["0110"], ["110"]),
        (NumberRule("1*", to="+4930100"), ["+4930100"], ["1"]),
        (NumberRule("_0Z.", strip=1, add="+49"), ["+4930", "+4912"], ["+4900", "+493", "30"]),
        (NumberRule("_0ZX", strip=9, add="7"), ["7"], ["", "71"]),
        (NumberRule("_0.", strip=1), ["1", "0900"], [""]),
    ],
)
def test_what_a_rule_may_make(rule: NumberRule, made: list[str], not_made: list[str]) -> None:
    assert [number for number in made + not_made if rule.makes(number)] == made


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+49 (30) 12-34.5/6", "+4930123456"),
        ("0.900", "0900"),
        ("*31#0900", "*31#0900"),
        ("a.b-c", "a.b-c"),
        ("RP_9.1", "RP_9.1"),
        ("", ""),
        ("...", "..."),
    ],
)
def test_a_number_is_its_digits_however_it_is_written(written: str, number: str) -> None:
    assert canonical(written) == number
