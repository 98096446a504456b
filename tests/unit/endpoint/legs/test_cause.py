"""What SIP and Q.850 say becomes a cause, and every cause of ours comes back as itself."""

from __future__ import annotations

import pytest

from endpoint.legs.base import CAUSES, Cause, Side
from endpoint.legs.cause import BEST_FIRST, cause_of_end, cause_of_error, cause_of_status
from signaling.errors import CertificateRefused, TransportError
from signaling.user_agent import Ended

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("status", "q850", "rang", "cause"),
    [
        (486, None, True, Cause.BUSY),
        (600, None, False, Cause.BUSY),
        (603, None, True, Cause.DECLINED),
        (607, None, True, Cause.DECLINED),
        (480, None, True, Cause.NO_ANSWER),
        (480, None, False, Cause.NOT_REGISTERED),
        (480, 19, False, Cause.NO_ANSWER),
        (480, 20, True, Cause.NOT_REGISTERED),
        (408, None, True, Cause.NO_ANSWER),
        (408, None, False, Cause.UNREACHABLE),
        (404, None, False, Cause.UNKNOWN_DEVICE),
        (404, 17, False, Cause.UNKNOWN_DEVICE),
        (484, None, False, Cause.UNKNOWN_DEVICE),
        (604, None, False, Cause.UNKNOWN_DEVICE),
        (488, None, False, Cause.INCOMPATIBLE_MEDIA),
        (606, None, False, Cause.INCOMPATIBLE_MEDIA),
        (415, None, False, Cause.INCOMPATIBLE_MEDIA),
        (401, None, False, Cause.UNAUTHORISED),
        (403, None, False, Cause.UNAUTHORISED),
        (407, None, False, Cause.UNAUTHORISED),
        (487, None, True, Cause.CANCELLED),
        (500, None, False, Cause.NETWORK_FAILURE),
        (503, None, False, Cause.NETWORK_FAILURE),
        (503, 42, False, Cause.OVERLOAD),
        (503, 16, False, Cause.NETWORK_FAILURE),
        (504, 102, False, Cause.NO_ANSWER),
        (505, None, False, Cause.PROTOCOL_ERROR),
        (400, None, False, Cause.PROTOCOL_ERROR),
        (302, None, False, Cause.UNREACHABLE),
        (699, None, False, Cause.DECLINED),
    ],
)
def test_a_refusal(status: int, q850: int | None, rang: bool, cause: Cause) -> None:
    assert cause_of_status(status, q850, rang=rang) is cause


@pytest.mark.parametrize(
    ("ended", "answered", "cause", "side"),
    [
        (Ended(by_remote=True), True, Cause.NORMAL, Side.DEVICE),
        (Ended(by_remote=True, q850=16), True, Cause.NORMAL, Side.DEVICE),
        (Ended(by_remote=True, q850=102), True, Cause.MEDIA_TIMEOUT, Side.DEVICE),
        (Ended(by_remote=True, q850=127), True, Cause.NORMAL, Side.DEVICE),
        (Ended(by_remote=True, status=408), True, Cause.UNREACHABLE, Side.NETWORK),
        (Ended(True, q850=102, expired=True), True, Cause.SESSION_EXPIRED, Side.NETWORK),
        (Ended(by_remote=True), False, Cause.CANCELLED, Side.DEVICE),
        (Ended(by_remote=True, status=487), False, Cause.CANCELLED, Side.DEVICE),
        (Ended(by_remote=True, status=486), False, Cause.BUSY, Side.DEVICE),
        (Ended(by_remote=True, status=503), False, Cause.NETWORK_FAILURE, Side.NETWORK),
        (Ended(by_remote=True, status=404), False, Cause.UNKNOWN_DEVICE, Side.NETWORK),
        (
            Ended(by_remote=True, status=503, error=TransportError("refused")),
            False,
            Cause.UNREACHABLE,
            Side.NETWORK,
        ),
        (
            Ended(by_remote=True, error=CertificateRefused("expired")),
            True,
            Cause.CERTIFICATE_REFUSED,
            Side.NETWORK,
        ),
    ],
)
def test_an_end(ended: Ended, answered: bool, cause: Cause, side: Side) -> None:
    assert cause_of_end(ended, answered=answered, rang=False) == (cause, side)


def test_a_cause_that_we_say_is_understood_by_ourselves() -> None:
    """Two endpoints in one call: what one refuses for, the other tells its agent."""
    other = {
        Cause.NORMAL: Cause.NOT_REGISTERED,  # 480 without ringing and without a telling Q.850
        Cause.CERTIFICATE_REFUSED: Cause.NETWORK_FAILURE,  # said only to others, as a fault of ours
        Cause.DIAL_LIMIT: Cause.UNAUTHORISED,
        Cause.CALLER_NOT_ALLOWED: Cause.UNAUTHORISED,
        Cause.NUMBER_REFUSED: Cause.UNAUTHORISED,
        Cause.TRUNKS_DOWN: Cause.NETWORK_FAILURE,
        Cause.TRUNK_FULL: Cause.OVERLOAD,
        Cause.MEDIA_TIMEOUT: Cause.NO_ANSWER,
        Cause.MEDIA_LOST: Cause.NETWORK_FAILURE,
        Cause.MEDIA_UNREACHABLE: Cause.INCOMPATIBLE_MEDIA,
        Cause.MEDIA_UNTRUSTED: Cause.INCOMPATIBLE_MEDIA,
        Cause.SESSION_EXPIRED: Cause.NO_ANSWER,
        Cause.LOST: Cause.NETWORK_FAILURE,
    }
    for cause, codes in CAUSES.items():
        understood = cause_of_status(codes.sip_status, codes.q850)
        assert understood is other.get(cause, cause), cause


def test_errors_of_the_way() -> None:
    assert cause_of_error(TransportError("lost")) is Cause.UNREACHABLE
    assert cause_of_error(CertificateRefused("expired")) is Cause.CERTIFICATE_REFUSED


def test_every_cause_has_its_place_among_refusals() -> None:
    assert sorted(BEST_FIRST) == sorted(Cause)
