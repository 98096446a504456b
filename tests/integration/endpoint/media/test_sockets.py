"""Ports of UDP: what the kernel tells apart for us."""

from __future__ import annotations

import socket

import pytest

from endpoint.media.sockets import PortRange, open_facing

pytestmark = pytest.mark.integration


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def peer(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5)
    made.bind((host, 0))
    return made


def test_the_far_end_has_a_socket_of_its_own_on_the_port_and_strangers_the_other(host: str) -> None:
    with (
        PortRange(host, 20_000, 29_999).open_one() as bound,
        peer(host) as far_end,
        peer(host) as stranger,
        open_facing(bound, far_end.getsockname()[:2]) as facing,
    ):
        port = bound.getsockname()[:2]
        bound.settimeout(5)
        facing.settimeout(5)
        for number in range(20):
            stranger.sendto(b"stranger %d" % number, port)
            far_end.sendto(b"far end %d" % number, port)
        assert [facing.recv(100) for _ in range(20)] == [b"far end %d" % n for n in range(20)]
        assert [bound.recv(100) for _ in range(20)] == [b"stranger %d" % n for n in range(20)]

        facing.send(b"answer")
        assert far_end.recvfrom(100)[1][:2] == port


def test_a_port_with_two_sockets_is_taken_for_everybody_else(host: str) -> None:
    with (
        PortRange(host, 20_000, 29_999).open_one() as bound,
        peer(host) as far_end,
        open_facing(bound, far_end.getsockname()[:2]),
        socket.socket(bound.family, socket.SOCK_DGRAM) as other,
    ):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="Address already in use"):
            other.bind(bound.getsockname())


def test_where_it_cannot_be_had_the_port_is_as_it_was(host: str) -> None:
    other_family = "::1" if host == "127.0.0.1" else "not an address"
    with PortRange(host, 20_000, 29_999).open_one() as bound, peer(host) as stranger:
        with pytest.raises(OSError):  # noqa: PT011 - whatever the kernel says
            open_facing(bound, (other_family, 9))
        bound.settimeout(5)
        stranger.sendto(b"still here", bound.getsockname()[:2])
        assert bound.recv(100) == b"still here"
