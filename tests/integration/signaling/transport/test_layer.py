"""The transport layer: which socket leads to a far end, and what the far end is told of us."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from random import Random

import pytest

from signaling.errors import LocalProtocolError, TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.uri import Uri
from signaling.transport.layer import TransportLayer, TransportSettings
from signaling.transport.memory import MemoryNetwork
from tests.fakes.receiver import Recorder

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


@pytest.fixture
async def layer() -> AsyncIterator[TransportLayer]:
    layer = TransportLayer(Recorder(), TransportSettings(), Random(1))
    yield layer
    await layer.close()


def uri(text: str) -> Uri:
    return Uri.parse(text)


async def test_the_socket_that_faces_the_far_end_is_taken(layer):
    await layer.listen_udp("127.0.0.2", 0)
    _, port = await layer.listen_udp("127.0.0.1", 0)
    flow = await layer.flow_to(uri("sip:6001@127.0.0.1"))
    assert flow == Flow(TransportKind.UDP, "127.0.0.1", 5060, "udp1", 0)
    assert layer.local_uri(flow, "me") == uri(f"sip:me@127.0.0.1:{port}")


async def test_names_are_resolved_for_the_families_that_listen(layer):
    await layer.listen_udp("127.0.0.1", 0)
    flow = await layer.flow_to(uri("sip:6001@localhost:5070"))
    assert (flow.host, flow.port) == ("127.0.0.1", 5070)


@pytest.mark.parametrize(
    "text", ["sips:6001@127.0.0.1:{}", "sip:6001@127.0.0.1:{};transport=tcp", "sip:6001@[::1]:{}"]
)
async def test_what_no_socket_leads_to_is_an_error(layer, text):
    await layer.listen_udp("127.0.0.1", 0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody else listens there, and neither do we
        with pytest.raises(TransportError):
            await layer.flow_to(uri(text.format(silent.getsockname()[1])))


async def test_the_advertised_address_is_told_in_place_of_the_bound_one():
    settings = TransportSettings(advertised_host="sip.example", advertised_port=5080)
    layer = TransportLayer(Recorder(), settings, Random(1))
    await layer.listen_udp("127.0.0.1", 0)
    flow = await layer.flow_to(uri("sip:127.0.0.1"))
    assert layer.local_uri(flow, "me") == uri("sip:me@sip.example:5080")
    await layer.close()


async def test_a_client_connection_names_no_address_and_always_the_same(layer):
    """RFC 7118 §5: nobody can connect to it."""
    network = MemoryNetwork()
    network.attach("server", "192.0.2.1", 443, Recorder())
    client = network.attach("client", "192.0.2.2", 40000, Recorder())
    layer.attach(client)
    first, second = (client.connect("192.0.2.1", 443) for _ in range(2))
    told = layer.local_uri(first, "me")
    assert told.host.endswith(".invalid")
    assert told.parameter("transport") == "ws"
    assert layer.local_uri(second, "me") == told
    assert layer.is_ours(first)
    await layer.remove("client")
    with pytest.raises(TransportError):
        layer.send(first, b"too late")


async def test_a_name_is_given_once(layer):
    client = MemoryNetwork().attach("client", "192.0.2.2", 40000, Recorder())
    layer.attach(client)
    with pytest.raises(LocalProtocolError):
        layer.attach(client)
