"""The private names that endpoint/media/webrtc*.py stand on; a new version must pass this."""

from __future__ import annotations

import importlib.metadata
import inspect

import pytest
from aioice import ice
from aiortc import rtcdtlstransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.webrtc_servers import StunServer, TurnServer, parse_server

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("package", "version"), [("aiortc", "1.16.0"), ("aioice", "0.13.0")])
def test_the_version_is_the_one_that_was_read(package: str, version: str) -> None:
    assert importlib.metadata.version(package) == version


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (ice.Connection, "request_received", ["self", "message", "addr", "protocol"]),
        (ice.Connection, "check_incoming", ["self", "message", "addr", "protocol"]),
        (ice.Connection, "check_complete", ["self", "pair"]),
        (ice.Connection, "query_consent", ["self"]),
        (ice.Connection, "close", ["self"]),
        (ice.Connection, "switch_role", ["self", "ice_controlling"]),
        (ice.Connection, "check_start", ["self", "pair"]),
        (ice.Connection, "build_request", ["self", "pair", "nominate"]),
        (ice.Connection, "data_received", ["self", "data", "component"]),
        (ice.Connection, "protocol_lost", ["self", "protocol"]),
        (ice.Connection, "sort_check_list", ["self"]),
        (ice.Connection, "_pair_remote_candidate", ["self", "remote_candidate"]),
        (ice.StunProtocol, "datagram_received", ["self", "data", "addr"]),
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
        "_remote_candidates",
        "_local_candidates",
        "_local_candidates_start",
        "_local_candidates_end",
    ):
        assert hasattr(connection, name), name
    dtls = RTCDtlsTransport(RTCIceTransport(gatherer), [RTCCertificate.generateCertificate()])
    assert {"_role", "_state", "_ssl", "_task"} <= vars(dtls).keys()
    assert "self._query_consent_task" in inspect.getsource(ice.Connection.connect)
    assert {p.openssl_profile for p in rtcdtlstransport.SRTP_PROFILES} == {
        b"SRTP_AEAD_AES_256_GCM",
        b"SRTP_AEAD_AES_128_GCM",
        b"SRTP_AES128_CM_SHA1_80",
    }


def test_dtls_uses_no_more_of_ice_than_we_give_it() -> None:
    used = set()
    for line in inspect.getsource(RTCDtlsTransport).splitlines():
        _, found, rest = line.partition("self.transport.")
        if found:
            used.add(rest.partition("(")[0].partition(" ")[0])
    # The role is asked for only where none was set, or for aiortc's own statistics.
    assert used == {"_send", "_recv", "role", "role,"}


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("stun:192.0.2.1", StunServer(("192.0.2.1", 3478))),
        ("stun:stun.example.com:19302", StunServer(("stun.example.com", 19302))),
        ("STUN:[2001:db8::1]:3479", StunServer(("2001:db8::1", 3479))),
        ("turn:turn.example.com", TurnServer(("turn.example.com", 3478), "udp", False, "u", "c")),
        ("turn:192.0.2.1:80?transport=TCP", TurnServer(("192.0.2.1", 80), "tcp", False, "u", "c")),
        ("turns:turn.example.com", TurnServer(("turn.example.com", 5349), "tcp", True, "u", "c")),
        ("turns:a:443?transport=tcp", TurnServer(("a", 443), "tcp", True, "u", "c")),
    ],
)
def test_a_server_is_read_from_its_url(url: str, server: StunServer | TurnServer) -> None:
    assert parse_server(m.IceServer(url, "u", "c")) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://secret",
        "stuns:secret",
        "turn:turn.example.com?transport=tls&credential=secret",
        "turn:secret@turn.example.com",
        "turn:user:secret@turn.example.com",
        "turn:user:se@secret@turn.example.com",
        "turn:turn.example.com:3478:secret",
        "turn:2001:db8::1",
        "turn:",
    ],
)
def test_nothing_is_shown_of_a_url_that_can_not_be_read(url: str) -> None:
    """Any part of it could be a credential."""
    with pytest.raises(MediaError, match=r"^no ICE server: its URL is none of stun:") as refused:
        parse_server(m.IceServer(url, "u", "secret"))
    assert "secret" not in str(refused.value)
    assert "user" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "stun:stun.example.com?transport=udp",
        "turn:turn.example.com:0",
        "turn:turn.example.com:70000",
        "turns:turn.example.com?transport=udp",
    ],
)
def test_a_url_that_can_not_be_used_is_named(url: str) -> None:
    with pytest.raises(MediaError) as refused:
        parse_server(m.IceServer(url, "u", "secret"))
    assert repr(url) in str(refused.value)
    assert "secret" not in str(refused.value)
