"""The errors are one tree, and tell what to answer."""

from __future__ import annotations

import pytest

from signaling import errors

pytestmark = pytest.mark.unit


def test_one_tree() -> None:
    assert issubclass(errors.LocalProtocolError, errors.SignalingError)
    assert issubclass(errors.SipParseError, errors.RemoteProtocolError)
    assert issubclass(errors.SdpError, errors.RemoteProtocolError)
    assert issubclass(errors.CertificateRefused, errors.TransportError)


def test_what_to_answer() -> None:
    assert errors.RemoteProtocolError("x").status_hint == 400
    assert errors.SdpError("x").status_hint == 488
    error = errors.SipParseError("x", 505, fatal=True)
    assert (error.status_hint, error.request, error.fatal) == (505, None, True)
