"""A DNS server that does not answer keeps nobody waiting for long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from signaling.transport.locating import DnsResolver

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


class _Mute(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.questions = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.questions += 1


@contextlib.asynccontextmanager
async def mute() -> AsyncIterator[tuple[_Mute, int]]:
    """A DNS server that is asked and says nothing."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        _Mute, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_who_does_not_answer_is_not_asked_again_at_once() -> None:
    async with mute() as (server, port):
        resolver = DnsResolver("127.0.0.1", port, timeout_s=0.1)
        assert await resolver.naptr("pbx.example.com") == []
        asked = server.questions
        assert asked
        assert await resolver.srv("_sip._udp.pbx.example.com") == []
        assert server.questions == asked


async def test_a_domain_that_nobody_answers_for_is_no_reason_not_to_ask_for_others() -> None:
    async with mute() as (server, port):
        resolver = DnsResolver("127.0.0.1", port, timeout_s=0.1)
        assert await resolver.naptr("pbx.example.com") == []
        asked = server.questions
        assert await resolver.srv("_sip._udp.other.example.com") == []
        assert server.questions > asked
