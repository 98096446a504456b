"""The network in memory."""

from __future__ import annotations

import asyncio

import pytest

from signaling.errors import TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.transport.memory import MemoryNetwork
from tests.fakes.receiver import Recorder

pytestmark = pytest.mark.unit


async def test_datagrams_go_both_ways():
    network, here, there = MemoryNetwork(), Recorder(), Recorder()
    one = network.attach("one", "192.0.2.1", 5060, here)
    network.attach("other", "192.0.2.2", 5070, there)
    one.send(one.flow_to("192.0.2.2", 5070), b"question")
    octets, flow = await there.message()
    assert octets == b"question"
    assert flow == Flow(TransportKind.UDP, "192.0.2.1", 5060, "other", 0)


async def test_a_datagram_to_nobody_is_lost_in_silence():
    network = MemoryNetwork()
    one = network.attach("one", "192.0.2.1", 5060, Recorder())
    one.send(one.flow_to("192.0.2.9", 5060), b"anybody?")
    await asyncio.sleep(0)
    assert [packet.octets for packet in network.sent] == [b"anybody?"]


async def test_the_rule_decides_what_is_lost():
    network, there = MemoryNetwork(drop=lambda packet: packet.index == 0), Recorder()
    one = network.attach("one", "192.0.2.1", 5060, Recorder())
    network.attach("other", "192.0.2.2", 5060, there)
    for octets in (b"lost", b"found"):
        one.send(one.flow_to("192.0.2.2", 5060), octets)
    assert (await there.message())[0] == b"found"
    assert len(network.sent) == 2


async def test_an_address_is_taken_once():
    network = MemoryNetwork()
    one = network.attach("one", "192.0.2.1", 5060, Recorder())
    with pytest.raises(TransportError):
        network.attach("other", "192.0.2.1", 5060, Recorder())
    await one.close()
    network.attach("other", "192.0.2.1", 5060, Recorder())


async def test_a_connection_has_two_ends_and_breaks_at_both():
    network, here, there = MemoryNetwork(), Recorder(), Recorder()
    client = network.attach("client", "192.0.2.1", 40000, here)
    server = network.attach("server", "192.0.2.2", 443, there)
    flow = client.connect("192.0.2.2", 443, TransportKind.WSS)
    back = await there.opening()
    assert (flow.host, flow.listener) == ("192.0.2.2", "client")
    assert (back.host, back.listener) == ("192.0.2.1", "server")
    assert client.local_address(flow) is None
    assert server.local_address(back) == ("192.0.2.2", 443)
    client.send(flow, b"question")
    assert await there.message() == (b"question", back)
    server.send(back, b"answer")
    assert await here.message() == (b"answer", flow)
    error = TransportError("cut")
    client.disconnect(flow, error)
    assert await here.closing() == (flow, error)
    assert await there.closing() == (back, error)
    for transport, gone in ((client, flow), (server, back)):
        with pytest.raises(TransportError):
            transport.send(gone, b"too late")


async def test_nobody_listens():
    network = MemoryNetwork()
    client = network.attach("client", "192.0.2.1", 40000, Recorder())
    with pytest.raises(TransportError, match="refused"):
        client.connect("192.0.2.2", 443)
