"""Who calls, and who was called first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.sip.fields import Headers
from signaling.sip.headers import NameAddr
from signaling.sip.identity import (
    Claim,
    Redirection,
    caller_of,
    identity_headers,
    number_of,
    redirection_of,
)
from signaling.sip.message import Request
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.messages import request

pytestmark = pytest.mark.unit

PAI = ("P-Asserted-Identity", '"Customer" <sip:+4930123450@carrier.example>')


def invite(*headers: tuple[str, str], from_: str | None = None) -> Request:
    made = request(headers=headers)
    if from_ is not None:
        made.headers.set("From", f"{from_};tag=f1")
    return made


def who(*headers: tuple[str, str], trusted: bool = True, from_: str | None = None) -> list[object]:
    caller = caller_of(invite(*headers, from_=from_), trusted=trusted)
    return [number_of(caller.address.uri), caller.is_withheld]


def test_an_asserted_identity_counts_where_the_sender_is_trusted() -> None:
    assert who(PAI) == ["+4930123450", False]
    assert who(PAI, trusted=False) == ["alice", False]
    assert caller_of(invite(PAI), trusted=True).address.display_name == "Customer"


def test_a_number_is_text_whatever_octets_came() -> None:
    """A lone surrogate can be put neither into JSON nor into a database."""
    assert number_of(Uri.parse("sip:60%ff01%00@h")) == "60\ufffd01\ufffd"


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("tel:900-123;phone-context=+49", "+49900123"),
        ("tel:%2B49(900)123", "+49900123"),
        ("sip:900123;phone-context=+49@h;user=phone", "+49900123"),
        ("sip:900123;isub=1;PHONE-CONTEXT=+4-9;ext=2@h", "+49900123"),
        ("sip:900123;phone-context=example.test@h", "900123"),
        ("tel:+33900123;phone-context=+49", "+33900123"),
        ("sip:alice;phone-context=+49@h", "alice"),
        ("mailto:900123;phone-context=+49", ""),
    ],
)
def test_a_local_number_is_whole_with_its_country(uri: str, number: str) -> None:
    """RFC 3966 §5.1.4."""
    assert number_of(Uri.parse(uri)) == number


def test_of_a_sip_and_a_tel_uri_the_first_with_a_number_counts() -> None:
    both = ("P-Asserted-Identity", "<sip:carrier.example>, <tel:+49-30-123(450);phone-context=x>")
    assert who(both) == ["+4930123450", False]


@pytest.mark.parametrize(
    ("privacy", "withheld"),
    [
        ("id", True),
        ("user", True),
        ("ID; critical", True),
        ("header;user;id", True),
        ("header", False),
        ("none", False),
        ("history", False),
    ],
)
def test_privacy_withholds_the_caller(privacy: str, withheld: bool) -> None:
    assert who(PAI, ("Privacy", privacy)) == ["+4930123450", withheld]


def test_who_is_anonymous_in_from_is_withheld_unless_he_says_otherwise() -> None:
    anonymous = '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert who(from_=anonymous) == ["anonymous", True]
    assert who(PAI, from_=anonymous) == ["+4930123450", True]
    assert who(PAI, ("Privacy", "none"), from_=anonymous) == ["+4930123450", False]


@pytest.mark.parametrize(
    ("line", "number", "withheld"),
    [
        ("<sip:22@x>;party=calling;screen=yes;privacy=off", "22", False),
        ("<sip:22@x>;privacy=full", "22", True),
        ("<sip:22@x>;party=called", "alice", False),
        ("<sip:11@x>;party=called, <sip:22@x>;party=calling", "22", False),
    ],
)
def test_remote_party_id_is_read(line: str, number: str, withheld: bool) -> None:
    assert who(("Remote-Party-ID", line)) == [number, withheld]
    assert who(("Remote-Party-ID", line), trusted=False) == ["alice", False]


@pytest.mark.parametrize("name", ["P-Asserted-Identity", "Remote-Party-ID"])
@pytest.mark.parametrize("line", ["", "<sip:a b@c>", '"open <sip:1@x>', "<sip:1@x", ","])
def test_what_cannot_be_read_was_not_sent(name: str, line: str) -> None:
    assert who((name, line)) == ["alice", False]


def test_what_an_invite_says_of_its_caller() -> None:
    shown = NameAddr("Desk", Uri("sip", "+4930123450", host="us.example"))
    text = '"Desk" <sip:+4930123450@us.example>'
    assert identity_headers(shown, Claim.ASSERTED, withheld=False) == (
        ("P-Asserted-Identity", text),
    )
    assert identity_headers(shown, Claim.PREFERRED, withheld=True) == (
        ("P-Preferred-Identity", text),
        ("Privacy", "id"),
    )
    assert identity_headers(shown, Claim.NONE, withheld=True) == (("Privacy", "id"),)
    assert identity_headers(shown, Claim.NONE, withheld=False) == ()


def redirected(*lines: tuple[str, str]) -> list[str] | None:
    found = redirection_of(Headers(list(lines)))
    return None if found is None else [number_of(found.first_called), number_of(found.last)]


def test_diversion_has_the_newest_on_top() -> None:
    assert redirected(
        ("Diversion", '<sip:second@x>;reason=user-busy;privacy="off", <sip:first@x>')
    ) == ["first", "second"]
    assert redirected(("Diversion", "<tel:+4930-1>;reason=unconditional")) == ["+49301", "+49301"]
    assert redirected(("Diversion", "<sip:1@x>;privacy=full")) == ["anonymous", "anonymous"]
    assert redirected() is None


def test_history_goes_by_its_indexes() -> None:
    history = (
        "<sip:third@x>;index=1.1.1;mp=1.1, <sip:first@x?Reason=SIP%3Bcause%3D302>;index=1, "
        "<sip:second@x>;index=1.1;rc=1"
    )
    assert redirected(("History-Info", history)) == ["first", "second"]
    ten = "<sip:a@x>;index=1, <sip:b@x>;index=1.9, <sip:c@x>;index=1.10"
    assert redirected(("History-Info", ten)) == ["a", "b"]
    assert redirected(("History-Info", "<sip:a@x>;index=1")) is None
    unchanged = "<sip:a@x>;index=1, <sip:a@10.0.0.1>;index=1.1;rc=1"
    assert redirected(("History-Info", unchanged)) is None
    hidden = "<sip:a@x?Privacy=history>;index=1, <sip:b@x>;index=1.1;mp=1"
    assert redirected(("History-Info", hidden)) == ["anonymous", "anonymous"]


def test_history_goes_before_diversion_and_nonsense_is_left_out() -> None:
    history = ("History-Info", "<sip:a@x>;index=1, <sip:b@x>;index=x, <sip:c@x>;index=1.1")
    assert redirected(("Diversion", "<sip:z@x>"), history) == ["a", "a"]
    assert redirected(("Diversion", "<sip:"), ("History-Info", ";;")) is None


PIECES = st.lists(
    st.sampled_from(
        [
            *("<sip:1@x>", "<tel:+49-1>", '"a" <sip:2@y?Privacy=id>', "<sip:", ">", '"', ",", ";"),
            *(
                "index=1",
                "index=1.1",
                "index=" + "9" * 5000,
                "index=1..2",
                "mp=1",
                "rc=",
                "privacy=",
            ),
            *("party=calling", "full", "none", "id", " ", "%", "\x00", "\ud800", "é", "=", "?"),
        ]
    ),
    max_size=12,
).map("".join)


@given(PIECES, PIECES, PIECES, PIECES, PIECES)
def test_nothing_that_is_said_of_a_caller_breaks_a_call(
    asserted: str, party: str, privacy: str, diversion: str, history: str
) -> None:
    told = invite(("X", "1"))
    told.headers.add("P-Asserted-Identity", asserted)
    told.headers.add("Remote-Party-ID", party)
    told.headers.add("Privacy", privacy)
    told.headers.add("Diversion", diversion)
    told.headers.add("History-Info", history)
    for trusted in (True, False):
        number_of(caller_of(told, trusted=trusted).address.uri)
    before = redirection_of(told.headers)
    if before is not None:
        number_of(before.first_called)
        number_of(before.last)


def test_a_redirection_is_a_value() -> None:
    first, last = Uri.parse("sip:1@x"), Uri.parse("sip:2@x")
    diverted = redirection_of(Headers([("Diversion", "<sip:2@x>, <sip:1@x>")]))
    assert diverted == Redirection(first, last)
