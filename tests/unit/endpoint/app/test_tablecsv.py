"""Extensions and trunks as CSV: no secret goes out, and what goes out comes back."""

from __future__ import annotations

import string
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoint.app import extensioncsv, trunkcsv
from endpoint.app.csvtable import CsvRefused
from endpoint.app.trunksettings import TrunkSettings
from endpoint.storage.extensions import Extension

pytestmark = pytest.mark.unit

CALM = settings(suppress_health_check=[HealthCheck.too_slow])
"""Where the machine is busy."""
numbers = st.text(string.digits + "+*#-", min_size=1, max_size=6)
names = st.text(st.characters(exclude_categories=("C", "Z")), max_size=8)
extensions = st.builds(
    Extension, numbers, names, st.sets(numbers, max_size=3).map(sorted).map(tuple)
)
patterns = st.text(string.digits + "+", min_size=1, max_size=6).map(lambda text: f"{text}*")
trunks = st.fixed_dictionaries(
    {
        "name": st.text(string.ascii_letters + "._-", min_size=1, max_size=8),
        "peers": st.lists(
            st.one_of(
                st.sampled_from(["sip:192.0.2.1", "sip:a.example:5070;transport=tls"]),
                st.just({"uri": "sip:[2001:db8::1]", "priority": 2, "weight": 10}),
            ),
            min_size=1,
            max_size=3,
        ),
    },
    optional={
        "networks": st.lists(st.just("203.0.113.0/28"), max_size=2),
        "order": st.integers(-5, 5),
        "outgoing": st.lists(
            st.builds(lambda m, s, a: {"match": m, "strip": s, "add": a}, patterns,
                      st.integers(0, 3), numbers),
            max_size=2,
        ),
        "numbers": st.just(["+4930*"]),
        "default_number": st.just("+49301"),
        "device_numbers": st.just({"6001": "+49302", "#7": "+49303"}),
        "srtp": st.sampled_from(["required", "optional", "off"]),
        "codecs": st.lists(st.sampled_from(["PCMU", "G722"]), max_size=2),
        "accept_refer": st.booleans(),
        "most_calls": st.integers(1, 90),
        "options_interval_s": st.floats(0, 3600),
    },
).map(TrunkSettings.model_validate)  # fmt: skip


@given(st.lists(extensions, max_size=3, unique_by=lambda each: each.number))
@CALM
def test_extensions_come_back_without_a_password_where_they_are(known: list[Extension]) -> None:
    file = extensioncsv.exported(known)
    taken = [number for each in known for number in {each.number, *each.aliases}]
    if len(taken) > len(set(taken)):
        with pytest.raises(CsvRefused):
            extensioncsv.brought(file, known)
        return
    found = extensioncsv.brought(file, known)
    assert [each.extension for each in found] == known
    assert not any(each.new or each.password for each in found)


def test_all_that_is_wrong_with_extensions_is_told_at_once() -> None:
    known = [Extension("6001", "Desk", ("4000",)), Extension("6009", aliases=("4009",))]
    text = (
        "number,name,aliases,password\n"
        "6001,,,\n"
        "6002,New,,\n"
        "60 03,,4009; a b,secret\n"
        "6004,,6002,secret\n"
    )
    with pytest.raises(CsvRefused) as refused:
        extensioncsv.brought(text.encode(), known)
    assert refused.value.mistakes == [
        "line 3, column password: found nothing, expected one for a new extension, or --generate",
        "line 4, column number: '60 03': expected 1 to 64 letters, digits or any of _ . + * # -",
        "line 4, column aliases: 'a b': expected 1 to 64 letters, digits or any of _ . + * # -",
        "line 4, column aliases: 4009 is extension 6009's",
        "line 5, column aliases: 6002 is line 3's",
    ]


def test_what_a_file_of_extensions_does_not_say_stays() -> None:
    """An alias that one gives up another may have."""
    known = [Extension("6001", "Desk", ("4000",)), Extension("6002", "Lab")]
    file = b"number,aliases\n6001,\n6002,4000\n6003,\n"
    found = extensioncsv.brought(file, known, generate=True)
    assert [(each.extension, each.new) for each in found] == [
        (Extension("6001", "Desk"), False),
        (Extension("6002", "Lab", ("4000",)), False),
        (Extension("6003"), True),
    ]


def test_a_password_of_a_file_is_not_shown() -> None:
    (found,) = extensioncsv.brought(b"number,password\n6001,canary\n", [])
    assert found.password == "canary"
    assert "canary" not in repr(found)


@given(st.lists(trunks, max_size=3, unique_by=lambda trunk: trunk.name))
@CALM
def test_trunks_come_back_and_become_the_configuration(found: list[TrunkSettings]) -> None:
    assert trunkcsv.brought(trunkcsv.exported(found)) == found
    written = tomllib.loads(trunkcsv.as_toml(found))
    again = [TrunkSettings.model_validate(each) for each in written.get("trunk", [])]
    assert again == found


def test_all_that_is_wrong_with_trunks_is_told_at_once() -> None:
    text = (
        "name,peers,account,order,srtp,outgoing,accept_refer\n"
        "a b,sip:x,,,,,\n"
        "second,,,soon,never,[{,maybe\n"
        "third,sip:x,,,,,\n"
        "third,sip:x,,,,,\n"
    )
    with pytest.raises(CsvRefused) as refused:
        trunkcsv.brought(text.encode())
    told = refused.value.mistakes
    places = [each.partition(":")[0] for each in told]
    assert places == [
        "line 2, column name",
        "line 3, column order",
        "line 3, column outgoing",
        "line 3, column accept_refer",
        "line 3, column srtp",
        "line 5, column name",
    ]
    assert "'required', 'optional' or 'off'" in told[4]


def test_a_trunk_has_one_end() -> None:
    with pytest.raises(CsvRefused, match="line 2: trunk first: expected exactly one of peers and"):
        trunkcsv.brought(b"name\nfirst\n")
