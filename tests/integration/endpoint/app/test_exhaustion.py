"""F15: descriptors run out. New calls are 503 with Retry-After, those that live go on."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from signaling.sip.auth import DigestCredentials
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, Ended, InviteRequest, InviteSession, UserAgent
from tests.integration.signaling.stage import OFFER, ending, until

from .conftest import PASSWORD
from .test_serve import ended, line, started
from .test_serve import surroundings as surroundings  # a fixture

pytestmark = pytest.mark.integration

DESCRIPTORS = 128
_TICK = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def dial(phone: UserAgent, host: str, port: int, called: str = "6002") -> InviteSession:
    def at(user: str) -> Uri:
        return Uri("sip", user, host=host, port=port)

    return phone.invite(
        InviteRequest(
            target=at(called),
            from_=NameAddr("", at("6001")),
            to=NameAddr("", at(called)),
            sdp=OFFER,
            credentials=DigestCredentials("6001", password=PASSWORD),
        )
    )


async def test_f15_without_descriptors_new_calls_are_503_and_live_ones_go_on(
    surroundings: dict[str, str],
) -> None:
    environment = {
        **surroundings,
        "AGENT_ENDPOINT_MEDIA__RTP_TIMEOUT_S": "0",
        "AGENT_ENDPOINT_HTTP__CONNECTIONS_PER_SOURCE": "1000",
        "AGENT_ENDPOINT_HTTP__HEADER_TIMEOUT_S": "120",
        "AGENT_ENDPOINT_SIP__LIMITS__RETRY_AFTER_S": "9",
    }
    add = ("extension", "add", "6001", "--password-stdin", "--json")
    async with started(environment, *add, given=PASSWORD + "\n") as command:
        assert await ended(command) == 0
    said: list[bytes] = []
    limited = f'ulimit -n {DESCRIPTORS}; exec "$@"'
    async with (
        started(environment, "serve", "--json", before=("sh", "-c", limited, "sh")) as serve,
        UserAgent(trace=lambda way, flow, octets, now: said.append(octets)) as phone,
        AsyncExitStack() as idle,
    ):
        ready = await line(serve)
        host, _, port = ready["sip_udp"].rpartition(":")
        await phone.listen_udp("127.0.0.1", 0)
        live = await dial(phone, host, int(port))
        await until(live.events(), Answered)

        plain = int(ready["plain"].rpartition(":")[2])
        for _ in range(DESCRIPTORS):
            _, writer = await asyncio.open_connection("127.0.0.1", plain)
            idle.callback(writer.close)
        refused = await ending(await dial(phone, host, int(port)))
        assert refused.status == 503
        assert any(b"SIP/2.0 503" in each and b"Retry-After: 9\r\n" in each for each in said)

        # It waits for a descriptor, and does not ask for one without end.
        before = cpu_s(serve.pid), asyncio.get_running_loop().time()
        assert await live.info("text/plain", b"still there") == 200
        await asyncio.sleep(1.5)  # the span that is measured
        spent, elapsed = cpu_s(serve.pid) - before[0], asyncio.get_running_loop().time() - before[1]
        assert spent < 0.5 * elapsed

        await idle.aclose()
        while True:
            again = await dial(phone, host, int(port), "6003")
            event = await until(again.events(), (Answered, Ended))
            if isinstance(event, Answered):
                break
        again.bye()
        live.bye()
        assert (await ending(live)).by_remote is False
