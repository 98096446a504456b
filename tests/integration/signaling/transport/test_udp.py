"""UDP over loopback."""

from __future__ import annotations

import socket

import pytest

from signaling.errors import TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.transport.udp import UdpTransport, address_towards, is_numeric
from tests.fakes.receiver import Recorder

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

HAS_IPV6 = socket.has_ipv6
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as _probe:
    try:
        _probe.bind(("::1", 0))
    except OSError:
        HAS_IPV6 = False

HOSTS = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 loopback here")),
]


@pytest.mark.parametrize("host", HOSTS)
async def test_datagrams_go_both_ways(host):
    here, there = Recorder(), Recorder()
    one = await UdpTransport.open("one", host, 0, here)
    other = await UdpTransport.open("other", host, 0, there)
    try:
        one.send(one.flow_to(*other.address), b"question")
        octets, flow = await there.message()
        assert octets == b"question"
        assert flow == Flow(TransportKind.UDP, host, one.address[1], "other", 0)
        other.send(flow, b"answer")
        assert (await here.message())[0] == b"answer"
    finally:
        await one.close()
        await other.close()


async def test_keep_alives_and_empty_datagrams_are_swallowed():
    there = Recorder()
    one = await UdpTransport.open("one", "127.0.0.1", 0, Recorder())
    other = await UdpTransport.open("other", "127.0.0.1", 0, there)
    try:
        for octets in (b"", b"\r\n\r\n", b"\r\n", b"\0\0\0\0", b"message"):
            one.send(one.flow_to(*other.address), octets)
        assert (await there.message())[0] == b"message"
    finally:
        await one.close()
        await other.close()


async def test_a_taken_port_is_named():
    one = await UdpTransport.open("one", "127.0.0.1", 0, Recorder())
    try:
        with pytest.raises(TransportError, match=rf"127\.0\.0\.1:{one.address[1]}"):
            await UdpTransport.open("other", *one.address, Recorder())
    finally:
        await one.close()


async def test_what_the_system_refuses_to_send_is_an_error_at_once():
    one = await UdpTransport.open("one", "127.0.0.1", 0, Recorder())
    try:
        with pytest.raises(TransportError, match="too long"):
            one.send(one.flow_to("127.0.0.1", 9), bytes(70_000))
    finally:
        await one.close()


async def test_after_close_nothing_is_sent():
    one = await UdpTransport.open("one", "127.0.0.1", 0, Recorder())
    await one.close()
    await one.close()
    with pytest.raises(TransportError, match="closed"):
        one.send(one.flow_to("127.0.0.1", 9), b"late")


async def test_a_wildcard_listener_tells_the_address_that_faces_the_far_end():
    one = await UdpTransport.open("one", "0.0.0.0", 0, Recorder())
    try:
        flow = one.flow_to("127.0.0.1", 5060)
        assert one.local_address(flow) == ("127.0.0.1", one.address[1])
    finally:
        await one.close()


def test_numeric_hosts():
    assert is_numeric("192.0.2.1")
    assert is_numeric("2001:db8::1")
    assert not is_numeric("example.com")


def test_loopback_faces_loopback():
    assert address_towards("127.0.0.1") == "127.0.0.1"
