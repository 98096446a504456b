"""WebRTC by coturn: a port that may use nothing but a relay."""

from __future__ import annotations

import asyncio
import base64
import hmac
from pathlib import Path

import pytest

from endpoint.audio.tones import MUSIC_ON_HOLD
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.link import LocalLink

from .peers.coturn import Coturn

pytestmark = pytest.mark.interop

CODECS = [m.PayloadType(0, "PCMU")]
USER = "2000000000:agent"
"""Valid until 2033, as coturn's shared secret has it."""


def server(coturn: Coturn, secret: str) -> m.IceServer:
    password = base64.b64encode(hmac.digest(secret.encode(), USER.encode(), "sha1")).decode()
    return m.IceServer(f"turn:{coturn.host}:{coturn.port}", USER, password)


def remote(of: m.WebRtcAddress, role: m.DtlsRole) -> m.SetWebRtcRemote:
    return m.SetWebRtcRemote(
        "W", of.ufrag, of.pwd, of.fingerprints, role, CODECS, CODECS, candidates=of.candidates
    )


async def until_heard(link: LocalLink) -> m.Statistics:
    async with asyncio.timeout(20):
        while True:
            counted = await link.request(m.ReadStatistics("W"))
            if counted.packets_received >= 20:
                return counted
            await asyncio.sleep(0.02)


async def test_audio_goes_both_ways_by_the_relay_alone(tmp_path: Path) -> None:
    async with Coturn(tmp_path / "coturn") as coturn, LocalLink() as a, LocalLink() as b:
        hidden = await a.request(
            m.OpenWebRtcPort("W", True, [server(coturn, coturn.secret)], relay_only=True)
        )
        (relay,) = hidden.candidates
        assert " typ relay raddr 0.0.0.0 " in relay
        shown = await b.request(m.OpenWebRtcPort("W", False))
        for link in (a, b):
            await link.request(m.OpenPlayer("music", MUSIC_ON_HOLD))
            await link.request(m.SetRoutes("call", [m.RouteTo("music", "W")]))
        await b.request(remote(hidden, m.DtlsRole.SERVER))
        await a.request(remote(shown, m.DtlsRole.CLIENT))
        for link in (b, a):
            counted = await until_heard(link)
            assert counted.packets_lost == 0
        counted = await until_heard(b)
        assert counted.remote == f"{coturn.host}:{relay.split()[5]}"


async def test_a_relay_that_refuses_us_is_told_where_nothing_else_may_be_used(
    tmp_path: Path,
) -> None:
    async with Coturn(tmp_path / "coturn") as coturn, LocalLink() as a:
        wrong = [server(coturn, "not the secret")]
        with pytest.raises(MediaError, match="no TURN server"):
            await a.request(m.OpenWebRtcPort("W", True, wrong, relay_only=True))
        (host,) = (await a.request(m.OpenWebRtcPort("W", True, wrong))).candidates
        assert " typ host" in host
