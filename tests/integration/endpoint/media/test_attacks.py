"""S9, S11 and S13 against streams that are up or come up, by what is heard and counted."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import product
from pathlib import Path

import pytest

from endpoint.audio.codec import G711, encode
from endpoint.audio.frame import frames_of
from endpoint.audio.tones import tone
from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaSettings, WorkerLink
from endpoint.media.rtp import HEADER
from endpoint.rig.impairment import Proxy
from tests.integration.endpoint.media.hearing import continuity, loudest
from tests.integration.endpoint.media.stream import PROTECTIONS, Kind, Stream, two_planes

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

SETTINGS = MediaSettings(rtcp_interval_s=0.5, latch_other_port_s=0.1, latch_other_host_s=0.6)
INTRUDER_HZ = 2300.0
CLIENT_HELLO = bytes.fromhex("16feff000000000000000000360100002a000000000000002afefd") + bytes(42)
FATAL_ALERT = bytes.fromhex("15fefd00000000000000000002022f")


@asynccontextmanager
async def stream(
    kind: Kind, link: type[LocalLink | WorkerLink] = LocalLink
) -> AsyncIterator[Stream]:
    async with two_planes(SETTINGS, link) as sides, Proxy() as proxy:
        opened = Stream(sides, proxy, kind, "S")
        await opened.open()
        await opened.play("tone")
        yield opened


@contextmanager
def stranger() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.setblocking(False)
        yield opened


@pytest.mark.parametrize("kind", PROTECTIONS)
async def test_s9_nothing_of_a_thousand_foreign_packets_is_in_the_recording(
    tmp_path: Path, kind: Kind
) -> None:
    """A loud tone, with numbers that follow each other."""
    voice = [encode(G711.PCMU, frame) for frame in frames_of(tone(INTRUDER_HZ, 1000, -6.0))]
    async with stream(kind) as call:
        await call.far.link.request(m.StartRecording("R", "S", str(tmp_path / "R")))
        with stranger() as attacker:
            for number in range(1000):
                header = HEADER.pack(0x80, 0, number, number * 160, 66)
                attacker.sendto(header + voice[number % 50], call.far_address)
                if number % 20 == 19:
                    await call.plays(1)
        await call.far.link.request(m.StopRecording("R"))
    # A gap of our own tone, on a busy machine, has a little of every frequency.
    assert loudest(tmp_path / "R", INTRUDER_HZ) < -40
    assert continuity(tmp_path / "R", from_ms=500) >= 0.97


JUNK = {
    "rtp": b"\x80\x00",
    "rtcp": b"\x81\xc9",
    "stun": b"\x00\x01\x00\x94\x21\x12\xa4\x42",
    "hello": CLIENT_HELLO,
    "none of them": b"\xff",
}


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", PROTECTIONS)
@pytest.mark.virtual_time(False)
async def test_s11_ten_thousand_packets_of_junk_a_second_cost_no_frame(
    kind: Kind, seconds: int
) -> None:
    """From a stranger; of every protocol that shares the port, and of none."""
    async with stream(kind, WorkerLink) as call:
        junk = [start + os.urandom(172 - len(start)) for start in JUNK.values() for _ in range(10)]
        before = await counted(call)
        passed = call.proxy.there.counts
        begins, sent = passed.received, 0
        with stranger() as attacker:
            # 200 for each frame of 20 ms that goes by, also where the machine is slow.
            while sent < 10_000 * seconds:
                await asyncio.sleep(0.002)
                for _ in range(min(20, 200 * (passed.received - begins) - sent)):
                    attacker.sendto(junk[sent % len(junk)], call.far_address)
                    sent += 1
        await call.plays(5)
        after = await counted(call)
        frames_sent, frames_received = (b - a for a, b in zip(before, after, strict=True))
        assert frames_received >= 0.99 * frames_sent
        assert frames_sent >= 45 * seconds


async def counted(call: Stream) -> tuple[int, int]:
    """Frames that the near port has sent, and the far one received."""
    near, far = await call.near.statistics("S"), await call.far.statistics("S")
    return near.packets_sent, far.packets_received


@pytest.mark.parametrize("kind", [Kind.SRTP, Kind.WEBRTC])
async def test_s11_two_hundred_packets_that_are_not_authentic_in_a_row_end_no_call(
    kind: Kind,
) -> None:
    """From the far end's own address."""
    async with stream(kind) as call:
        for number in range(200):
            forged = HEADER.pack(0x80, 0, number, number * 160, 66) + os.urandom(170)
            call.crossing.forge_near(forged)
        refused = await call.far.until_counted("S", lambda c: c.packets_refused >= 200)
        assert refused.packets_refused == 200
        await call.plays(50)
        after = await call.far.statistics("S")
        assert after.packets_lost == 0
        assert after.packets_received == after.packets_expected


ATTACKS = {"a hello": [CLIENT_HELLO], "20 hellos": [CLIENT_HELLO] * 20, "an alert": [FATAL_ALERT]}
STAGES = ("before", "during", "after")


async def repeat(attack: Callable[[], None]) -> None:
    while True:
        attack()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("role", m.DtlsRole)
async def test_s13_ten_of_ten_calls_come_up_with_audio(role: m.DtlsRole) -> None:
    """A stranger sends to both ends before ICE, all the time until both are up, and then."""

    attacks = [(each, {stage}) for each, stage in product(ATTACKS.values(), STAGES)]
    attacks.append(([CLIENT_HELLO, FATAL_ALERT], set(STAGES)))
    with stranger() as attacker:
        async with two_planes(SETTINGS) as sides, Proxy() as proxy:
            for number, (packets, stages) in enumerate(attacks, 1):
                call = Stream(sides, proxy, Kind.WEBRTC, f"S{number}")
                await call.prepare()

                def attack(packets: list[bytes] = packets, call: Stream = call) -> None:
                    for packet in packets:
                        attacker.sendto(packet, call.near_address)
                        attacker.sendto(packet, call.far_address)

                if "before" in stages:
                    attack()
                async with asyncio.TaskGroup() as group:
                    attacking = group.create_task(repeat(attack))
                    if "during" not in stages:
                        attacking.cancel()
                    await call.connect(role)
                    for side in sides:
                        await side.until_notice(m.PortConnected, number)
                    attacking.cancel()
                if "after" in stages:
                    attack()
                await call.play("tone")
                await call.play_back("tone")
                await call.plays(20)
                for side in sides:
                    counted = await side.statistics(call.name)
                    assert counted.packets_received == counted.packets_expected
            for side in sides:
                assert len(await side.until_notice(m.PortConnected)) == len(attacks) == 10
                assert not [notice for notice in side.notices if isinstance(notice, m.PortFailed)]
