"""A party that dies is noticed at once, with its last words, whatever the test waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest

from endpoint.rig.fleet import Party, PartyError
from endpoint.rig.orders import CallState, PartySettings

pytestmark = pytest.mark.integration


def settings(server: str = "udp:127.0.0.1:9") -> PartySettings:
    """A party that can't register, which it lives with."""
    return PartySettings("6001", server, "127.0.0.1", "n0t-a-default-7Qx", 1010.0)


async def test_a_party_that_fails_is_told_with_its_traceback() -> None:
    async with asyncio.timeout(25), Party(settings("udp:127.0.0.1:nowhere")) as party:
        with pytest.raises(PartyError, match=r"(?s)6001 has ended with 1.*ValueError"):
            await party.registered()


async def test_an_order_to_a_party_that_is_dead_fails_at_once() -> None:
    async with Party(settings()) as party:
        with pytest.raises(PartyError, match="nothing rings"):
            await party.answer()
        os.kill(party.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(PartyError, match="has ended with -9"):
                await party.answer()


async def test_a_death_that_nobody_saw_is_told_at_the_end() -> None:
    with pytest.raises(PartyError, match="has ended with -9"):
        async with Party(settings()) as party:
            os.kill(party.pid, signal.SIGKILL)


async def test_a_party_that_is_told_to_quit_ends_without_a_fault() -> None:
    async with Party(settings()) as party:
        with pytest.raises(PartyError, match="nothing rings"):
            await party.answer()
    with pytest.raises(PartyError, match="has ended"):
        await party.answer()


async def test_a_caller_who_leaves_at_once_does_no_harm() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.setblocking(False)
        port = caller.getsockname()[1]
        async with asyncio.timeout(25), Party(settings(f"udp:127.0.0.1:{port}")) as party:
            loop = asyncio.get_running_loop()
            _, phone = await loop.sock_recvfrom(caller, 65_535)  # REGISTER
            for method in ("INVITE", "CANCEL"):
                caller.sendto(_request(method, port), phone)
            await party.when(lambda status: status.call is CallState.ENDED)
            with pytest.raises(PartyError, match="nothing rings"):
                await party.answer()


async def test_a_party_without_a_server_is_called_where_it_is_and_dials_nobody() -> None:
    async with asyncio.timeout(25), Party(settings("")) as party:
        host, _, port = (await party.address()).rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            caller.bind(("127.0.0.1", 0))
            caller.sendto(_request("INVITE", caller.getsockname()[1]), (host, int(port)))
            await party.when(lambda status: status.call is CallState.RINGING)
            await party.hang_up()
            await party.when(lambda status: status.call is CallState.ENDED)
        with pytest.raises(PartyError, match="no server to dial by"):
            await party.dial("10086")


def _request(method: str, port: int) -> bytes:
    lines = (
        f"{method} sip:6001@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKgone",
        "From: <sip:10086@127.0.0.1>;tag=1",
        "To: <sip:6001@127.0.0.1>",
        "Call-ID: gone",
        f"CSeq: 1 {method}",
        f"Contact: <sip:10086@127.0.0.1:{port}>",
        "Max-Forwards: 70",
        "Content-Length: 0",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
