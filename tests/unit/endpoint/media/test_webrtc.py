"""The private names that endpoint/media/webrtc.py stands on; a new version must pass this."""

from __future__ import annotations

import importlib.metadata
import inspect

import pytest
from aioice import ice
from aiortc import rtcdtlstransport, rtcicetransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("package", "version"), [("aiortc", "1.16.0"), ("aioice", "0.13.0")])
def test_the_version_is_the_one_that_was_read(package: str, version: str) -> None:
    assert importlib.metadata.version(package) == version


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (ice.Connection, "gather_candidates", ["self"]),
        (ice.Connection, "request_received", ["self", "message", "addr", "protocol"]),
        (ice.Connection, "check_incoming", ["self", "message", "addr", "protocol"]),
        (ice.Connection, "check_complete", ["self", "pair"]),
        (ice.Connection, "query_consent", ["self"]),
        (ice.Connection, "build_request", ["self", "pair", "nominate"]),
        (ice.Connection, "data_received", ["self", "data", "component"]),
        (ice.StunProtocol, "datagram_received", ["self", "data", "addr"]),
        (ice, "server_reflexive_candidate", ["protocol", "stun_server"]),
        (rtcicetransport, "connection_kwargs", ["servers"]),
        (rtcdtlstransport, "certificate_digest", ["certificate", "algorithm"]),
        (RTCCertificate, "_create_ssl_context", ["self", "srtp_profiles"]),
        (RTCDtlsTransport, "_validate_peer_identity", ["self", "remoteParameters"]),
        (RTCDtlsTransport, "_setup_srtp", ["self"]),
        (RTCDtlsTransport, "_set_role", ["self", "role"]),
        (RTCDtlsTransport, "_set_state", ["self", "state"]),
    ],
)
def test_a_hook_is_where_it_was(owner: object, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_a_relay_is_asked_for_as_before() -> None:
    assert set(inspect.signature(ice.relayed_candidate).parameters) == {
        "component",
        "hide_related_address",
        "protocol_factory",
        "turn_server",
        "turn_username",
        "turn_password",
        "turn_ssl",
        "turn_transport",
    }


async def test_attributes_are_where_they_were() -> None:
    gatherer = RTCIceGatherer(iceServers=[])
    connection = gatherer._connection
    for name in (
        "_early_checks",
        "_nominated",
        "_protocols",
        "_queue",
        "_local_candidates",
        "_local_candidates_start",
        "_local_candidates_end",
    ):
        assert hasattr(connection, name), name
    transport = RTCIceTransport(gatherer)
    assert "_send" in vars(transport), "of the instance, so that it can be replaced"
    dtls = RTCDtlsTransport(transport, [RTCCertificate.generateCertificate()])
    assert {"_role", "_state", "_ssl"} <= vars(dtls).keys()
    assert "self.transport._send" in inspect.getsource(RTCDtlsTransport._write_ssl)
    assert "self._query_consent_task" in inspect.getsource(ice.Connection.connect)
    assert {p.openssl_profile for p in rtcdtlstransport.SRTP_PROFILES} == {
        b"SRTP_AEAD_AES_256_GCM",
        b"SRTP_AEAD_AES_128_GCM",
        b"SRTP_AES128_CM_SHA1_80",
    }
