"""RFC 3261 §8.2.1 to §8.2.3, and the RFC 4475 messages that live there."""

from __future__ import annotations

import pytest

from signaling.sip.screening import Abilities, Refusal, screen
from tests.unit.signaling.sip.messages import request

pytestmark = pytest.mark.unit

ABILITIES = Abilities(("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"), ("application/sdp",), ())
ALLOW = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")
SDP = (("Content-Type", "application/sdp"),)


def refusal(*args: object, **kwargs: object) -> Refusal | None:
    return screen(request(*args, **kwargs), ABILITIES)  # type: ignore[arg-type]


def test_ordinary_requests_pass() -> None:
    assert refusal("INVITE") is None
    assert refusal("INVITE", headers=SDP, body=b"v=0") is None
    assert refusal("OPTIONS", contact=None) is None


def test_known_method_that_we_lack_is_405_and_unknown_one_501() -> None:
    assert refusal("REGISTER") == Refusal(405, (ALLOW,))
    assert refusal("NEWMETHOD") == Refusal(501, (ALLOW,))
    assert refusal("invite") == Refusal(501, (ALLOW,))


def test_other_scheme_is_416() -> None:
    assert refusal("OPTIONS", uri="nobodyKnowsThisScheme:totallyopaquecontent") == Refusal(416)
    assert refusal("OPTIONS", uri="tel:+13035551234") == Refusal(416)


def test_required_extension_is_420_and_named() -> None:
    required = (("Require", "foo, bar"), ("Proxy-Require", "for-proxies"))
    assert refusal("OPTIONS", headers=required) == Refusal(420, (("Unsupported", "foo, bar"),))
    able = Abilities(ABILITIES.allow, ABILITIES.accept, ("foo", "bar"))
    assert screen(request("OPTIONS", headers=required), able) is None


def test_require_is_ignored_in_cancel() -> None:
    assert refusal("CANCEL", headers=(("Require", "foo"),)) is None


def test_body_that_we_cannot_read_is_415() -> None:
    unknown = (("Content-Type", "application/unknownformat"),)
    accept = (("Accept", "application/sdp"),)
    assert refusal("INVITE", headers=unknown, body=b"x") == Refusal(415, accept)
    assert refusal("INVITE", headers=unknown) is None
    assert refusal("INVITE", body=b"x") == Refusal(415, accept)
    packed = (*SDP, ("Content-Encoding", "gzip"))
    assert refusal("INVITE", headers=packed, body=b"x") == Refusal(
        415, (("Accept-Encoding", "identity"),)
    )


@pytest.mark.parametrize(
    ("accept", "fits"),
    [
        ("application/sdp", True),
        ("text/plain, application/SDP;level=1", True),
        ("application/*", True),
        ("*/*", True),
        ("text/nobodyKnowsThis", False),
        ("", False),
    ],
)
def test_invite_that_takes_no_session_description_is_406(accept: str, fits: bool) -> None:
    found = refusal("INVITE", headers=(("Accept", accept),))
    assert (found is None) == fits
    if found is not None:
        assert found.status == 406
        assert found.headers[0][0] == "Warning"


def test_invite_without_contact_is_400() -> None:
    assert refusal("INVITE", contact=None) == Refusal(400, reason="Missing Contact")


def test_abilities_as_options_is_answered() -> None:
    assert ABILITIES.headers == (ALLOW, ("Accept", "application/sdp"), ("Supported", ""))
