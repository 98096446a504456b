"""Candidates of two WebRTC ports: late, early, nameless, of servers that are dead, of IPv6."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from aioice import mdns

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.webrtc_ice import parse_candidates
from tests.integration.endpoint.media.sides import SETTINGS, Side, connect, plane

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

DEAD = m.IceServer("stun:127.0.0.1:9"), m.IceServer("turn:127.0.0.1:9", "user", "word")
NAMELESS = "stun:no-such-host.invalid", "turns:no-such-host.invalid"
CLIENT, SERVER = m.DtlsRole.CLIENT, m.DtlsRole.SERVER
NOBODY = "1b9c8c9e-9b1c-4f0a-8a53-54b8d3a1f3a1.local"


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
        return True


def named(candidate: str, host: str) -> str:
    """The same, with its address hidden behind a name."""
    words = candidate.split()
    return " ".join([*words[:4], host, *words[5:]])


async def open_with(side: Side, *servers: m.IceServer, trickle: bool = False) -> None:
    command = m.OpenWebRtcPort("W", True, list(servers), trickle=trickle)
    side.local = await side.link.request(command)


@pytest.mark.parametrize("early", [True, False])
async def test_candidates_may_come_before_and_after_the_description(*, early: bool) -> None:
    async with plane() as a, plane() as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        if early:
            await a.link.request(m.AddCandidates("W", b.local.candidates, complete=True))
        bare = {"candidates": [], "candidates_complete": False}
        await a.link.request(a.remote(b, CLIENT, **bare))
        await b.link.request(b.remote(a, SERVER, **bare))
        if not early:
            for candidate in b.local.candidates:
                await a.link.request(m.AddCandidates("W", [candidate]))
            await a.link.request(m.AddCandidates("W", [], complete=True))
        for side in (a, b):
            await side.until_notice(m.PortConnected)


async def test_a_far_end_without_candidates_may_still_reach_us() -> None:
    """The end of its candidates is no end of patience (RFC 8863)."""
    async with plane() as a, plane() as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        await a.link.request(a.remote(b, CLIENT, candidates=[]))
        # What comes after the end is not looked at.
        await a.link.request(m.AddCandidates("W", ["1 1 udp 1 127.0.0.1 9 typ host"]))
        await b.link.request(b.remote(a, SERVER))
        for side in (a, b):
            await side.until_notice(m.PortConnected)


async def test_servers_that_are_dead_cost_their_candidates_and_nothing_else() -> None:
    hurried = msgspec.structs.replace(SETTINGS, gathering_s=0.1)
    async with plane(hurried) as a, plane() as b:
        await open_with(a, *DEAD, *map(m.IceServer, NAMELESS))
        assert a.local.complete
        assert [c.split()[7] for c in a.local.candidates] == ["host"]
        await b.open(controlling=False)
        await connect(a, b)


async def test_a_server_that_is_none_is_refused() -> None:
    async with plane() as a:
        with pytest.raises(MediaError, match="no ICE server"):
            await open_with(a, *DEAD, m.IceServer("http://nowhere"))
        await a.open(controlling=True)


async def test_with_trickle_the_answer_waits_for_no_server() -> None:
    hurried = msgspec.structs.replace(SETTINGS, connect_timeout_s=0.3, gathering_s=20)
    async with plane(hurried) as a:
        await open_with(a, *DEAD, trickle=True)
        assert not a.local.complete
        assert [c.split()[7] for c in a.local.candidates] == ["host"]
        (found,) = await a.until_notice(m.CandidatesFound)
        assert found == m.CandidatesFound("W", [], True, a.local.ufrag)


async def test_with_trickle_and_without_servers_nothing_more_comes() -> None:
    async with plane() as a:
        await open_with(a, trickle=True)
        assert a.local.complete


async def test_a_relay_is_all_that_may_be_used_and_there_is_none() -> None:
    hurried = msgspec.structs.replace(SETTINGS, connect_timeout_s=0.3, gathering_s=0.1)
    async with plane(hurried) as a:
        for servers, why in (([], "no TURN server$"), (DEAD, "no TURN server has answered")):
            command = m.OpenWebRtcPort("W", True, list(servers), relay_only=True)
            with pytest.raises(MediaError, match=why):
                await a.link.request(command)
        later = m.OpenWebRtcPort("W", True, list(DEAD), relay_only=True, trickle=True)
        assert (await a.link.request(later)).candidates == []
        (failed,) = await a.until_notice(m.PortFailed)
        assert failed.failure is m.PortFailure.NO_ROUTE


async def test_a_port_is_closed_while_its_servers_are_asked() -> None:
    async with plane() as a:
        await open_with(a, *DEAD, trickle=True)
        await a.link.request(m.ClosePort("W"))
        await a.open(controlling=True)
        assert not [n for n in a.notices if isinstance(n, m.CandidatesFound)]


@pytest.mark.parametrize("alone", [True, False])
async def test_a_name_of_mdns_that_nobody_knows_stalls_nothing(*, alone: bool) -> None:
    """Its owner's checks tell us the address (peer-reflexive)."""
    async with plane() as a, plane() as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        hidden = [named(candidate, NOBODY) for candidate in b.local.candidates]
        shown = [] if alone else b.local.candidates
        await a.link.request(a.remote(b, CLIENT, candidates=hidden + shown))
        await b.link.request(b.remote(a, SERVER))
        for side in (a, b):
            await side.until_notice(m.PortConnected)


async def test_a_name_of_mdns_is_looked_up() -> None:
    name = mdns.create_mdns_hostname()
    responder = await mdns.create_mdns_protocol()
    try:
        try:
            await responder.publish(name, "127.0.0.1")
            answered = await responder.resolve(name)
        except OSError:
            answered = None
        if answered is None:
            pytest.skip("this machine has no multicast")
        async with plane() as a, plane() as b:
            await a.open(controlling=True)
            await b.open(controlling=False)
            for side, other, role in ((a, b, CLIENT), (b, a, SERVER)):
                hidden = [named(candidate, name) for candidate in other.local.candidates]
                await side.link.request(side.remote(other, role, candidates=hidden))
            for side in (a, b):
                await side.until_notice(m.PortConnected)
    finally:
        await responder.close()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_goes_the_same_way() -> None:
    six = msgspec.structs.replace(SETTINGS, bind_host="::1")
    async with plane(six) as a, plane(six) as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        assert a.web_address[0] == "::1"
        await connect(a, b)
        for times in (2, 3):
            await a.restart(controlling=True)
            await b.restart(controlling=False)
            await connect(a, b, times=times)
        host, port = b.web_address
        assert (await a.statistics("W")).remote == f"[{host}]:{port}"


async def test_candidates_that_are_told_again_and_again_take_no_others_place() -> None:
    async with plane() as a, plane() as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        told = [f"{n} 1 udp {n} 127.0.0.1 {10000 + n} typ host" for n in range(1, 11)]
        for _ in range(7):
            again = a.remote(b, CLIENT, candidates=told, candidates_complete=False)
            await a.link.request(again)
        await b.link.request(b.remote(a, SERVER, candidates=[]))
        await a.link.request(m.AddCandidates("W", b.local.candidates))
        for side in (a, b):
            await side.until_notice(m.PortConnected)


@pytest.mark.parametrize("host", ["224.0.0.251", "255.255.255.255", "0.0.0.0", "ff02::fb", "::"])
def test_nobody_and_everybody_are_no_far_end(host: str) -> None:
    assert parse_candidates([f"1 1 udp 1 {host} 5353 typ host"]) == []


async def test_many_candidates_are_taken_up_to_a_bound() -> None:
    async with plane() as a, plane() as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        others = [f"{n} 1 udp {n} 127.0.0.1 {10000 + n} typ host" for n in range(1, 200)]
        mixed = [*b.local.candidates, *others, "1 1 tcp 1 127.0.0.1 9 typ host tcptype active"]
        await a.link.request(a.remote(b, CLIENT, candidates=mixed))
        await b.link.request(b.remote(a, SERVER))
        async with asyncio.timeout(20):
            for side in (a, b):
                await side.until_notice(m.PortConnected)
