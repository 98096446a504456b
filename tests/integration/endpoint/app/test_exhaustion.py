"""F15: descriptors run out. New calls are 503 with Retry-After, those that live go on."""

from __future__ import annotations

import asyncio
import os
import resource
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from signaling.sip.auth import DigestCredentials
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, Ended, InviteRequest, InviteSession, UserAgent
from tests.integration.signaling.stage import OFFER, ending, until

from .conftest import PASSWORD
from .test_serve import PATIENCE_S, ended, line, started
from .test_serve import surroundings as surroundings  # a fixture

pytestmark = pytest.mark.integration

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def dial(phone: UserAgent, host: str, port: int, called: str) -> InviteSession:
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


async def outcome(phone: UserAgent, host: str, port: int, status: int | None) -> None:
    """Dial until it ends so, None: until it is answered. The endpoint looks at times only."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            session = await dial(phone, host, port, "6003")
            event = await until(session.events(), (Answered, Ended))
            if isinstance(event, Answered):
                session.bye()
                event = await ending(session)
            assert event.status in (None, 503)
            if event.status == status:
                return


@asynccontextmanager
async def serving(
    surroundings: dict[str, str], descriptors: int
) -> AsyncIterator[tuple[Process, Any]]:
    """An endpoint with so many descriptors where 6001 may register; and what it said."""
    environment = {
        **surroundings,
        "AGENT_ENDPOINT_MEDIA__RTP_TIMEOUT_S": "0",
        "AGENT_ENDPOINT_HTTP__CONNECTIONS_PER_SOURCE": "1000",
        "AGENT_ENDPOINT_HTTP__HEADER_TIMEOUT_S": "120",
        "AGENT_ENDPOINT_SIP__LIMITS__RETRY_AFTER_S": "9",
        "AGENT_ENDPOINT_CALLS__DIALS_PER_MINUTE": "1000",
    }
    add = ("extension", "add", "6001", "--password-stdin", "--json")
    async with started(environment, *add, given=PASSWORD + "\n") as command:
        assert await ended(command) == 0
    limited = ("sh", "-c", f'ulimit -Sn {descriptors}; ulimit -Hn {descriptors}; exec "$@"', "sh")
    async with started(environment, "serve", "--json", before=limited) as serve:
        yield serve, await line(serve)


async def test_f15_without_descriptors_new_calls_are_503_and_live_ones_go_on(
    surroundings: dict[str, str],
) -> None:
    said: list[bytes] = []
    async with (
        serving(surroundings, 1024) as (serve, ready),
        UserAgent(trace=lambda way, flow, octets, now: said.append(octets)) as phone,
    ):
        host, _, port = ready["sip_udp"].rpartition(":")
        await phone.listen_udp("127.0.0.1", 0)
        live = await dial(phone, host, int(port), "6002")
        await until(live.events(), Answered)

        used = len(os.listdir(f"/proc/{serve.pid}/fd"))
        _, hard = resource.prlimit(serve.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(serve.pid, resource.RLIMIT_NOFILE, (used + 8, hard))
        await outcome(phone, host, int(port), 503)
        assert any(b"SIP/2.0 503" in each and b"Retry-After: 9\r\n" in each for each in said)
        assert await live.info("text/plain", b"still there") == 200

        resource.prlimit(serve.pid, resource.RLIMIT_NOFILE, (hard, hard))
        await outcome(phone, host, int(port), None)
        live.bye()
        assert not (await ending(live)).by_remote


async def test_f15_connections_take_no_descriptors_from_calls(
    surroundings: dict[str, str],
) -> None:
    """Those over what is left are closed at once; asyncio alone would be deaf, and say so 100
    times a second."""
    async with (
        serving(surroundings, 256) as (serve, ready),
        UserAgent() as phone,
        AsyncExitStack() as idle,
        asyncio.TaskGroup() as watching,
    ):
        await phone.listen_udp("127.0.0.1", 0)
        port = int(ready["plain"].rpartition(":")[2])

        async def closed(reader: asyncio.StreamReader) -> None:
            with suppress(ConnectionError):
                assert await reader.read() == b""

        ends = []
        for _ in range(300):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            idle.callback(writer.close)
            ends.append(watching.create_task(closed(reader)))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        before, begun = cpu_s(serve.pid), asyncio.get_running_loop().time()
        host, _, sip_port = ready["sip_udp"].rpartition(":")
        session = await dial(phone, host, int(sip_port), "6002")
        await until(session.events(), Answered)
        await asyncio.sleep(1.0)  # the span that is measured
        assert cpu_s(serve.pid) - before < 0.7 * (asyncio.get_running_loop().time() - begun)
        session.bye()
        await ending(session)
        serve.terminate()
        assert serve.stderr is not None
        assert b"out of system resource" not in await serve.stderr.read()
