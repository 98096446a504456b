"""WebRTC by coturn: ports that may use nothing but a relay, restarts included."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from endpoint.audio.tones import MUSIC_ON_HOLD
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.link import LocalLink

from .peers.coturn import Coturn

pytestmark = pytest.mark.interop

CODECS = [m.PayloadType(0, "PCMU")]
USER = "2000000000:agent"
"""Valid until 2033, as coturn's shared secret has it."""
DEAD = m.IceServer("turn:127.0.0.1:9", USER, "word"), m.IceServer("stun:127.0.0.1:9")


def server(coturn: Coturn, url: str = "turn:{host}:{port}", *, secret: str = "") -> m.IceServer:
    key = (secret or coturn.secret).encode()
    password = base64.b64encode(hmac.digest(key, USER.encode(), "sha1")).decode()
    return m.IceServer(url.format(host=coturn.host, port=coturn.port), USER, password)


@pytest.fixture
async def coturn(tmp_path: Path) -> AsyncIterator[Coturn]:
    async with Coturn(tmp_path / "coturn") as started:
        yield started


class End:
    """A port `W` that sends music and counts what comes."""

    local: m.WebRtcAddress

    def __init__(self, link: LocalLink, *, controlling: bool) -> None:
        self.link = link
        self.controlling = controlling
        self.candidates: list[str] = []
        self._received = 0
        self._notices = link.notices()

    async def open(self, *servers: m.IceServer, relay_only: bool, trickle: bool = False) -> None:
        self.local = await self.link.request(
            m.OpenWebRtcPort(
                "W", self.controlling, list(servers), relay_only=relay_only, trickle=trickle
            )
        )
        await self.link.request(m.OpenPlayer("music", MUSIC_ON_HOLD))
        await self.link.request(m.SetRoutes("call", [m.RouteTo("music", "W")]))

    async def restart(self) -> None:
        self.local = await self.link.request(m.RestartIce("W", self.controlling))

    async def describe(self, other: End) -> None:
        of, role = other.local, m.DtlsRole.CLIENT if self.controlling else m.DtlsRole.SERVER
        await self.link.request(
            m.SetWebRtcRemote(
                "W",
                of.ufrag,
                of.pwd,
                of.fingerprints,
                role,
                CODECS,
                CODECS,
                candidates=of.candidates,
                candidates_complete=of.complete,
            )
        )

    async def until_up(self, far: End) -> None:
        """Meanwhile the far end is told of candidates that are found."""
        async with asyncio.timeout(20):
            async for notice in self._notices:
                assert not isinstance(notice, m.PortFailed | m.RestartFailed)
                if isinstance(notice, m.CandidatesFound):
                    self.candidates += notice.candidates
                    far.link.send(m.AddCandidates("W", notice.candidates, notice.complete))
                elif isinstance(notice, m.PortConnected):
                    return

    async def until_heard(self) -> m.Statistics:
        """Twenty packets more than when it was last asked."""
        async with asyncio.timeout(20):
            while True:
                counted = await self.link.request(m.ReadStatistics("W"))
                if counted.packets_received >= self._received + 20:
                    self._received = counted.packets_received
                    return counted
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def ends() -> AsyncIterator[tuple[End, End]]:
    async with LocalLink() as a, LocalLink() as b:
        yield End(a, controlling=True), End(b, controlling=False)


async def talk(a: End, b: End) -> None:
    """Connect; then both hear the other."""
    await b.describe(a)
    await a.describe(b)
    async with asyncio.TaskGroup() as group:
        group.create_task(a.until_up(b))
        group.create_task(b.until_up(a))
    for end in (a, b):
        counted = await end.until_heard()
        assert counted.packets_lost == counted.packets_refused == 0


async def test_a_server_that_has_died_is_not_waited_for(coturn: Coturn) -> None:
    async with contextlib.AsyncExitStack() as stack:
        a, _ = await stack.enter_async_context(ends())
        await a.open(server(coturn), relay_only=False)
        assert len(a.local.candidates) == 2
        os.kill(coturn.process.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(30):
                await stack.aclose()
        finally:
            os.kill(coturn.process.pid, signal.SIGCONT)


def relay_port(candidate: str) -> int:
    assert " typ relay raddr 0.0.0.0 " in candidate
    return int(candidate.split()[5])


async def test_audio_goes_both_ways_by_the_relay_alone_and_after_a_restart(coturn: Coturn) -> None:
    """The answerer shows its own address, the offerer never, and each restart has its own relay."""
    async with ends() as (a, b):
        await a.open(server(coturn), relay_only=True)
        await b.open(relay_only=False)
        relays = []
        for restarts in range(3):
            if restarts:
                await a.restart()
                await b.restart()
            (relay,) = a.local.candidates
            await talk(a, b)
            relays.append(relay_port(relay))
            counted = await b.until_heard()
            assert counted.remote == f"{coturn.host}:{relays[-1]}"
        assert len(set(relays)) == 3


async def test_both_may_hide(coturn: Coturn) -> None:
    async with ends() as (a, b):
        for end in (a, b):
            await end.open(server(coturn), relay_only=True)
        await talk(a, b)
        for end in (a, b):
            await end.restart()
        await talk(a, b)


@pytest.mark.parametrize("url", ["turn:{host}:{port}?transport=tcp", "turn:localhost:{port}"])
async def test_a_relay_is_reached_over_tcp_and_by_name(coturn: Coturn, url: str) -> None:
    async with ends() as (a, b):
        await a.open(server(coturn, url), relay_only=True)
        await b.open(relay_only=False)
        await talk(a, b)


async def test_a_relay_is_reached_over_tls(
    coturn: Coturn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificate is judged as OpenSSL's defaults say."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(4096):
                writer.write(octets)
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            inner_reader, inner_writer = await asyncio.open_connection(coturn.host, coturn.port)
            with contextlib.closing(inner_writer):
                async with asyncio.TaskGroup() as group:
                    group.create_task(pump(reader, inner_writer))
                    group.create_task(pump(inner_reader, writer))

    front = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    async with front, ends() as (a, b):
        url = f"turns:localhost:{front.sockets[0].getsockname()[1]}"
        with pytest.raises(MediaError, match="no TURN server"):
            await a.open(server(coturn, url), relay_only=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        await a.open(server(coturn, url), relay_only=True)
        await b.open(relay_only=False)
        await talk(a, b)


async def test_of_several_servers_all_that_live_are_used(coturn: Coturn) -> None:
    living = server(coturn), server(coturn, "turn:{host}:{port}?transport=tcp")
    reflexive = server(coturn, "stun:{host}:{port}")
    async with ends() as (a, b):
        await a.open(DEAD[0], *living, *DEAD, reflexive, relay_only=False)
        await b.open(relay_only=False)
        # On one machine the reflexive address is the host's own, which says nothing new.
        kinds = sorted(candidate.split()[7] for candidate in a.local.candidates)
        assert kinds == ["host", "relay", "relay"]
        assert len({candidate.split()[3] for candidate in a.local.candidates}) == 3
        await talk(a, b)


async def test_a_relay_may_be_told_of_later(coturn: Coturn) -> None:
    async with ends() as (a, b):
        await a.open(DEAD[0], server(coturn), relay_only=True, trickle=True)
        assert a.local.candidates == []
        await b.open(relay_only=False)
        await talk(a, b)
        (relay,) = a.candidates
        assert (await b.until_heard()).remote == f"{coturn.host}:{relay_port(relay)}"
        await a.restart()
        assert a.local.candidates == []
        await b.restart()
        await talk(a, b)
        assert (await b.until_heard()).remote == f"{coturn.host}:{relay_port(a.candidates[-1])}"


async def test_a_relay_that_refuses_us_is_told_where_nothing_else_may_be_used(
    coturn: Coturn,
) -> None:
    wrong = server(coturn, secret="not the secret")
    async with ends() as (a, _):
        with pytest.raises(MediaError, match="no TURN server"):
            await a.open(wrong, relay_only=True)
        await a.open(wrong, relay_only=False)
        (host,) = a.local.candidates
        assert " typ host" in host
