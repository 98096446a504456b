"""From what SIP says of an end to its `Cause`, and to who let go."""

from __future__ import annotations

from endpoint.legs.base import Cause, Side
from endpoint.media.messages import PortFailure
from signaling.errors import CertificateRefused, TransportError
from signaling.user_agent import Ended


class ProcessLost(TransportError):
    """The process that has a line's calls died, or no longer answered, and they with it."""


_STATUS: dict[int, Cause] = {
    300: Cause.UNREACHABLE,  # a redirection that was not followed, see `redirection`
    301: Cause.UNREACHABLE,
    302: Cause.UNREACHABLE,
    305: Cause.UNREACHABLE,
    380: Cause.UNREACHABLE,
    401: Cause.UNAUTHORISED,
    402: Cause.UNAUTHORISED,
    403: Cause.UNAUTHORISED,
    404: Cause.UNKNOWN_DEVICE,
    407: Cause.UNAUTHORISED,
    410: Cause.UNKNOWN_DEVICE,
    415: Cause.INCOMPATIBLE_MEDIA,
    416: Cause.UNKNOWN_DEVICE,
    430: Cause.UNREACHABLE,
    484: Cause.UNKNOWN_DEVICE,
    485: Cause.UNKNOWN_DEVICE,
    486: Cause.BUSY,
    487: Cause.CANCELLED,
    488: Cause.INCOMPATIBLE_MEDIA,
    600: Cause.BUSY,
    603: Cause.DECLINED,
    604: Cause.UNKNOWN_DEVICE,
    606: Cause.INCOMPATIBLE_MEDIA,
    607: Cause.DECLINED,
    608: Cause.DECLINED,
}
"""Statuses that say by themselves what happened."""

_Q850: dict[int, Cause] = {
    1: Cause.UNKNOWN_DEVICE,
    2: Cause.UNREACHABLE,
    3: Cause.UNREACHABLE,
    16: Cause.NORMAL,
    17: Cause.BUSY,
    18: Cause.NO_ANSWER,
    19: Cause.NO_ANSWER,
    20: Cause.NOT_REGISTERED,
    21: Cause.DECLINED,
    22: Cause.UNKNOWN_DEVICE,
    27: Cause.UNREACHABLE,
    28: Cause.UNKNOWN_DEVICE,
    31: Cause.NORMAL,
    34: Cause.OVERLOAD,
    38: Cause.NETWORK_FAILURE,
    41: Cause.NETWORK_FAILURE,
    42: Cause.OVERLOAD,
    44: Cause.OVERLOAD,
    47: Cause.OVERLOAD,
    57: Cause.UNAUTHORISED,
    58: Cause.INCOMPATIBLE_MEDIA,
    65: Cause.INCOMPATIBLE_MEDIA,
    79: Cause.INCOMPATIBLE_MEDIA,
    88: Cause.INCOMPATIBLE_MEDIA,
    102: Cause.MEDIA_TIMEOUT,
    111: Cause.PROTOCOL_ERROR,
}
"""Cause values of a Reason header field (ITU-T Q.850, RFC 3326)."""

_SAID_BY_THE_DEVICE = frozenset((415, 480, 486, 487, 488, 600, 603, 606, 607, 608))

BEST_FIRST: tuple[Cause, ...] = (
    Cause.NUMBER_REFUSED,
    Cause.DECLINED,
    Cause.BUSY,
    Cause.NO_ANSWER,
    Cause.INCOMPATIBLE_MEDIA,
    Cause.MEDIA_UNTRUSTED,
    Cause.MEDIA_UNREACHABLE,
    Cause.UNAUTHORISED,
    Cause.DIAL_LIMIT,
    Cause.NOT_REGISTERED,
    Cause.UNKNOWN_DEVICE,
    Cause.CALLER_NOT_ALLOWED,
    Cause.TRUNK_FULL,
    Cause.OVERLOAD,
    Cause.PROTOCOL_ERROR,
    Cause.NETWORK_FAILURE,
    Cause.UNREACHABLE,
    Cause.TRUNKS_DOWN,
    Cause.CERTIFICATE_REFUSED,
    Cause.CANCELLED,
    Cause.NORMAL,
    Cause.MEDIA_TIMEOUT,
    Cause.MEDIA_LOST,
    Cause.LOST,
    Cause.SESSION_EXPIRED,
)
"""Which of several phones' refusals says most of the person (after RFC 3261 §16.7 step 6)."""


MEDIA_FAILURES: dict[PortFailure, tuple[Cause, str]] = {
    PortFailure.NO_ROUTE: (
        Cause.MEDIA_UNREACHABLE,
        "no way to the far end's audio: look at firewalls and media.ice_servers",
    ),
    PortFailure.TIMED_OUT: (
        Cause.MEDIA_UNREACHABLE,
        "the far end's audio did not connect in time: look at firewalls and media.ice_servers",
    ),
    PortFailure.HANDSHAKE: (
        Cause.INCOMPATIBLE_MEDIA,
        "the far end's DTLS handshake failed: look at its log",
    ),
    PortFailure.NO_PROFILE: (
        Cause.INCOMPATIBLE_MEDIA,
        "the far end has no SRTP profile in common with us",
    ),
    PortFailure.WRONG_FINGERPRINT: (
        Cause.MEDIA_UNTRUSTED,
        "the far end's certificate is not the one of its SDP: somebody between may listen in",
    ),
    PortFailure.CONSENT_LOST: (
        Cause.MEDIA_TIMEOUT,
        "the far end no longer takes our audio: its network was lost",
    ),
    PortFailure.CLOSED: (Cause.MEDIA_TIMEOUT, "the far end closed its audio and not its call"),
    PortFailure.BROKEN: (Cause.MEDIA_LOST, "internal fault, see the log"),
}
"""Why a port failed, and for a person what it means or what to do."""


def cause_of_status(status: int, q850: int | None = None, *, rang: bool = False) -> Cause:
    """Why an INVITE or REGISTER was refused.

    Args:
        status: the final status, 300 to 699.
        q850: of its Reason header field, where one came.
        rang: whether the far end had rung, which tells "nobody picked up" from "nobody is there".
    """
    if (plain := _STATUS.get(status)) is not None:
        return plain
    if q850 is not None and (said := _Q850.get(q850)) is not None and said is not Cause.NORMAL:
        return Cause.NO_ANSWER if said is Cause.MEDIA_TIMEOUT else said
    if status == 480:
        return Cause.NO_ANSWER if rang else Cause.NOT_REGISTERED
    if status == 408:
        return Cause.NO_ANSWER if rang else Cause.UNREACHABLE
    if status in (505, 513):
        return Cause.PROTOCOL_ERROR
    if 500 <= status < 600:
        return Cause.NETWORK_FAILURE
    if status >= 600:
        return Cause.DECLINED
    return Cause.PROTOCOL_ERROR


def cause_of_error(error: Exception) -> Cause:
    """Why a flow failed."""
    if isinstance(error, CertificateRefused):
        return Cause.CERTIFICATE_REFUSED
    if isinstance(error, ProcessLost):
        return Cause.MEDIA_LOST
    return Cause.UNREACHABLE


def cause_of_end(ended: Ended, *, answered: bool, rang: bool) -> tuple[Cause, Side]:
    """Why a session ended that we did not end ourselves, and who let go."""
    if ended.error is not None:
        side = Side.ENDPOINT if isinstance(ended.error, ProcessLost) else Side.NETWORK
        return cause_of_error(ended.error), side
    if ended.expired:
        return Cause.SESSION_EXPIRED, Side.NETWORK
    if answered:
        if ended.status is not None:  # the peer stopped answering (RFC 3261 §12.2.1.2)
            return Cause.UNREACHABLE, Side.NETWORK
        return _Q850.get(ended.q850 or 16, Cause.NORMAL), Side.DEVICE
    status = 487 if ended.status is None else ended.status
    side = Side.DEVICE if status in _SAID_BY_THE_DEVICE else Side.NETWORK
    return cause_of_status(status, ended.q850, rang=rang), side
