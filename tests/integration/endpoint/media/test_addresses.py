from __future__ import annotations

import asyncio
import socket

import pytest

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaSettings
from endpoint.media.rtp import HEADER, parse_rtp
from tests.integration.endpoint.media.phone import PCMU

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


def can_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not can_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("host", ["::1", "0:0:0:0:0:0:0:1"])
async def test_two_parties_talk_over_ipv6_and_one_of_them_moves(host: str) -> None:
    """However the far end spells its address."""
    loop = asyncio.get_running_loop()
    ends = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(3)]
    async with LocalLink(MediaSettings(bind_host="::1")) as link:
        ports = {}
        for name, end in zip("AB", ends, strict=False):
            end.bind(("::1", 0))
            ports[name] = await link.request(m.OpenRtpPort(name))
            await link.request(_remote(name, end, host))
        await link.request(m.SetRoutes("x", [m.RouteTo("A", "B"), m.RouteTo("B", "A")]))
        moved = ends[2]
        moved.bind(("::1", 0))
        for turn, (speaker, listener) in enumerate(((0, 1), (1, 0), (0, 1), (2, 1))):
            if speaker == 2:
                await link.request(_remote("A", moved, host))
            to = ports["B" if speaker == 1 else "A"]
            header = HEADER.pack(0x80, 0, turn, turn * 160, speaker)
            ends[speaker].sendto(header + bytes([turn + 1]) * 160, ("::1", to.rtp_port))
            ends[listener].setblocking(False)
            async with asyncio.timeout(10):
                packet = parse_rtp(memoryview(await loop.sock_recv(ends[listener], 2048)))
            assert packet is not None
            assert bytes(packet.payload) == bytes([turn + 1]) * 160
        counted = await link.request(m.ReadStatistics("A"))
        assert counted.remote == f"[::1]:{moved.getsockname()[1]}"
        with pytest.raises(MediaError, match="can't be reached"):
            await link.request(m.SetRemote("A", "127.0.0.1", 4000, 4001, [PCMU], [PCMU]))
    for end in ends:
        end.close()


def _remote(name: str, end: socket.socket, host: str) -> m.SetRemote:
    port = end.getsockname()[1]
    return m.SetRemote(name, host, port, port - 1, [PCMU], [PCMU])


@pytest.mark.parametrize(
    ("remote", "text"),
    [
        (m.SetRemote("A", "phone.example", 4000, 4001, [PCMU], [PCMU]), "not a numeric address"),
        (m.SetRemote("A", "127.0.0.1", 0, 4001, [PCMU], [PCMU]), "no ports"),
        (m.SetRemote("A", "127.0.0.1", 4000, 70000, [PCMU], [PCMU]), "no ports"),
        (m.SetRemote("A", "127.0.0.1", 4000, 4001, [], [PCMU]), "no audio codec"),
        (m.SetRemote("A", "127.0.0.1", 4000, 4001, [PCMU], [PCMU], ptime_ms=0), "0 ms"),
        (m.SetRemote("Z", "127.0.0.1", 4000, 4001, [PCMU], [PCMU]), "no port 'Z'"),
    ],
)
async def test_a_far_end_that_can_not_be_is_refused(remote: m.SetRemote, text: str) -> None:
    async with LocalLink() as link:
        await link.request(m.OpenRtpPort("A"))
        with pytest.raises(MediaError, match=text):
            await link.request(remote)


async def test_a_range_that_is_used_up_is_said() -> None:
    async with LocalLink(MediaSettings(rtp_port_low=19989, rtp_port_high=19994)) as link:
        opened = [await link.request(m.OpenRtpPort(f"port {n}")) for n in range(2)]
        assert {address.rtp_port for address in opened} == {19990, 19992}
        with pytest.raises(MediaError, match="no free pair of RTP ports"):
            await link.request(m.OpenRtpPort("port 2"))
        await link.request(m.ClosePort("port 0"))
        assert (await link.request(m.OpenRtpPort("port 2"))).rtp_port == opened[0].rtp_port
    with pytest.raises(MediaError, match="no pair"):
        async with LocalLink(MediaSettings(rtp_port_low=30000, rtp_port_high=30000)):
            pass
