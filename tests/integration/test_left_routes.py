"""Whoever has left a route is in no packet after: each packet, after each command.

The media process itself tells how many packets it had sent to a telephone, straight before and
straight behind a change of routes. A packet's number in the stream then says which routes held when
it was sent: no clock is asked. The telephones talk on while they are held, so what must not come
would be there to come.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from endpoint.app import enrolment, wiring
from endpoint.app.settings import Config
from endpoint.callcontrol import commands as do
from endpoint.callcontrol.events import Delivered
from endpoint.callcontrol.model import CallId, Participation
from endpoint.errors import MediaError
from endpoint.legs.base import DeviceId, Source
from endpoint.media import messages as m
from endpoint.media.pool import MediaPool, in_turn
from endpoint.storage.extensions import Extension
from tests.fakes.telephones import (
    MUSIC,
    PROGRESS,
    Arrived,
    Telephone,
    Telephones,
    telephones,
    tones_for,
    voice,
    voices,
)

pytestmark = pytest.mark.integration

PASSWORD = "n0t-a-default-7Qx"
PATIENCE_S = 30.0
PACKETS = 6
"""So many that each says after a command, and that are heard to be right."""
DEPARTURES = 30
"""At least so often somebody is to be heard no longer by somebody."""
R = TypeVar("R", bound=m.Result)

A, B, C, S, RINGS = (DeviceId(number) for number in ("9101", "9102", "9103", "9104", "9105"))
ROLES = {"A": A, "B": B, "C": C, "S": S}
TONES_HZ = tones_for((*ROLES.values(), RINGS))
PARKED_AT = DeviceId("700")
SOUNDS = {f"sound.{each.value}": PROGRESS for each in Source} | {
    f"sound.{Source.MUSIC_ON_HOLD.value}": MUSIC
}


@dataclass(frozen=True, slots=True)
class Switched:
    """A change of the routes to one sink."""

    before: int
    """Packets to it, just before; those from here on may be by the new routes."""
    after: int
    """When it had switched; those from here on are by the new routes alone."""
    sources: frozenset[m.PortName]
    """Whom it hears then."""


Count = asyncio.Task[int | None]
"""Packets that a port has sent; None: it is closed, and sends nothing more."""


@dataclass(slots=True)
class Stream:
    """What one port of the media process sends, and to whom."""

    ssrc: int
    far_port: int = 0
    asked: list[tuple[Count, Count, frozenset[m.PortName]]] = field(default_factory=list)
    """Of each switch, in order: how far it was before, and after, and whom its sink hears then."""

    @property
    def switches(self) -> list[Switched]:
        """Those in which it was not closed; all answers must be there."""
        return [
            Switched(earlier, later, sources)
            for before, after, sources in self.asked
            if (earlier := before.result()) is not None and (later := after.result()) is not None
        ]


class WitnessedPool(MediaPool):
    """Asks behind each change of routes how far the streams have come."""

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self.streams: dict[m.PortName, Stream] = {}
        """Of all ports that were ever opened."""
        self._groups: dict[str, list[m.RouteTo]] = {}

    async def request(self, command: m.Command[R]) -> R:
        result = await super().request(command)
        if isinstance(command, m.OpenRtpPort) and isinstance(result, m.RtpAddress):
            self.streams[command.port] = Stream(result.ssrc)
        elif isinstance(command, m.SetRemote):
            self.streams[command.port].far_port = command.rtp_port
        return result

    def send(self, command: m.AnyCommand) -> None:
        if not isinstance(command, m.SetRoutes):
            super().send(command)
            return
        before = self._sources()
        self._groups[command.group] = list(command.routes)
        after = self._sources()
        changed = [port for port in self.streams if before[port] != after[port]]
        counts = [self._count(port) for port in changed]
        super().send(command)
        for port, count in zip(changed, counts, strict=True):
            self.streams[port].asked.append((count, self._count(port), frozenset(after[port])))

    def _sources(self) -> defaultdict[m.PortName, set[m.PortName]]:
        sources = defaultdict[m.PortName, set[m.PortName]](set)
        for route in (route for routes in self._groups.values() for route in routes):
            sources[route.sink].add(route.source)
        return sources

    def _count(self, port: m.PortName) -> Count:
        """Asked when this returns, in order with the commands to its worker."""
        worker = self.links[self._shared.homes.get(port) or 0]
        return self._group.create_task(_counted(worker.ask(m.ReadStatistics(port))))


async def _counted(answer: Coroutine[Any, Any, m.Statistics]) -> int | None:
    try:
        return (await answer).packets_sent
    except MediaError:
        return None


def faults_in(
    packets: Sequence[Arrived], switches: Sequence[Switched], names: dict[m.PortName, str]
) -> list[str]:
    """The packets of a stream, in its order, that have a voice of no route that held then."""
    faults: list[str] = []
    heard = voices([each.payload for each in packets], TONES_HZ)
    for number, (packet, says) in enumerate(zip(packets, heard, strict=True)):
        if packet.sequence != (packets[0].sequence + number) & 0xFFFF:
            return [*faults, f"packet {number} is not the next: some are not seen"]
        begun = bisect.bisect_right([each.before for each in switches], number)
        ended = bisect.bisect_right([each.after for each in switches], number)
        held = switches[max(0, ended - 1) : begun]
        allowed = {names[source] for each in held for source in each.sources}
        if surplus := says - allowed:
            faults.append(f"{sorted(surplus)} in packet {number}, by routes from {sorted(allowed)}")
    return faults


@dataclass(slots=True)
class Office:
    """An endpoint, its telephones, and what they are to hear."""

    endpoint: wiring.Endpoint
    line: Telephones
    phones: dict[DeviceId, Telephone] = field(default_factory=dict)

    async def do(self, command: do.Command, **hears: str) -> CallId:
        """Have a command done, and wait until each telephone hears who is named, for a while."""
        phones = {device: self.phones[device] for device in ROLES.values()}
        accepted = await self.endpoint.controller.submit(command)
        started = {device: len(phone.received) for device, phone in phones.items()}
        for role, names in hears.items():
            heard, start = phones[ROLES[role]].received, started[ROLES[role]]
            expected = frozenset(ROLES.get(name, name) for name in names.split())
            await self.line.until(partial(hears_just, heard, start, expected))
        # Who is heard no longer talks on: it would come now, if it came.
        talking = [(each, each.sent + PACKETS) for each in phones.values()]
        await self.line.until(
            lambda: not any(each.is_in_call and each.sent < enough for each, enough in talking)
        )
        return accepted.call

    async def rings(self, caller: DeviceId, called: DeviceId) -> CallId:
        """Let somebody call a telephone that is not picked up."""
        events = self.endpoint.controller.subscribe()
        accepted = await self.endpoint.controller.submit(do.MakeCall(caller, called))
        async with asyncio.timeout(PATIENCE_S):
            async for numbered in events:
                if isinstance(numbered.event, Delivered):
                    return accepted.call
        raise AssertionError("the endpoint stopped")

    async def hang_up(self, device: DeviceId) -> None:
        """End the call of a device, and wait until all are free."""
        await self.endpoint.controller.submit(do.ClearCall(device))
        await self.line.until(lambda: not any(each.is_busy for each in self.phones.values()))
        async with asyncio.timeout(PATIENCE_S):
            await self.endpoint.exchange.wait_idle()


def hears_just(packets: Sequence[Arrived], start: int, expected: frozenset[str]) -> bool:
    """Whether the last packets, of those from there on, have exactly these voices, each of them."""
    last = [each.payload for each in packets[max(start, len(packets) - PACKETS) :]]
    return len(last) == PACKETS and set(voices(last, TONES_HZ)) == {expected}


@asynccontextmanager
async def opened(
    directory: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> AsyncIterator[Office]:
    monkeypatch.setattr(wiring, "MediaPool", WitnessedPool)
    config = Config.model_validate(
        {
            "http": {"port": 0, "plain_port": 0},
            "sip": {"port": 0},
            "state": {"directory": directory},
            "calls": {"dials_per_minute": 1_000_000},
            "supervision": [{"supervisor": S, "devices": [A]}],
            "pickup_group": [{"devices": ["91*"]}],
            "media": {"workers": workers},
        }
    )
    async with wiring.Endpoint(config, placement=in_turn()) as endpoint:
        for device in TONES_HZ:
            await enrolment.add_extension(
                endpoint.extensions, config.sip.realm, Extension(device), PASSWORD
            )
        async with telephones(endpoint.running.sip_udp, PASSWORD) as line:
            office = Office(endpoint, line)
            for device, tone_hz in TONES_HZ.items():
                answers = device != RINGS
                office.phones[DeviceId(device)] = await line.add(device, tone_hz, answers=answers)
            yield office


@pytest.mark.parametrize("workers", [1, 2])
async def test_who_has_left_a_route_is_in_no_packet_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Also where the legs are spread over media workers."""
    async with opened(tmp_path, monkeypatch, workers) as office:
        link = office.endpoint.media
        assert isinstance(link, WitnessedPool)
        await walk(office)
    users = {phone.port: device for device, phone in office.phones.items()}
    streams = {port: each for port, each in link.streams.items() if each.far_port}  # not who rang
    names = SOUNDS | {port: users[each.far_port] for port, each in streams.items()}
    faults: dict[str, list[str]] = {}
    departures = 0
    for port, stream in streams.items():
        phone = office.phones[users[stream.far_port]]
        packets = [each for each in phone.received if each.ssrc == stream.ssrc]
        switches = stream.switches
        if found := faults_in(packets, switches, names):
            faults[f"{users[stream.far_port]} ({port})"] = found
        departures += sum(
            len(before.sources - after.sources) for before, after in itertools.pairwise(switches)
        )
    assert faults == {}
    assert departures >= DEPARTURES


async def walk(office: Office) -> None:
    """Each command that moves audio."""
    first = await office.do(do.MakeCall(A, B), A="B", B="A")
    await office.do(do.SetMicrophoneMute(A, True), A="B")
    await office.do(do.SetMicrophoneMute(A, False), A="B", B="A")
    await office.do(do.HoldCall(A), B=MUSIC)
    await office.do(do.RetrieveCall(A), A="B", B="A")
    await office.do(do.ConsultationCall(A, C), A="C", B=MUSIC, C="A")
    await office.do(do.AlternateCall(A), A="B", B="A", C=MUSIC)
    await office.do(do.AlternateCall(A), A="C", B=MUSIC, C="A")
    await office.do(do.ReconnectCall(A), A="B", B="A")
    await office.do(do.ConsultationCall(A, C), A="C", B=MUSIC, C="A")
    await office.do(do.ConferenceCall(A), A="B C", B="A C", C="A B")
    await office.do(do.HoldCall(A), B="C", C="B")
    await office.do(do.RetrieveCall(A), A="B C", B="A C", C="A B")
    await office.do(do.ClearConnection(C), A="B", B="A")
    await office.do(do.SingleStepConference(A, C), A="B C", B="A C", C="A B")
    active, whisper = Participation.ACTIVE, Participation.WHISPER
    await office.do(do.JoinCall(S, A, active), A="B C S", B="A C S", C="A B S", S="A B C")
    await office.do(do.JoinCall(S, A, whisper), A="B C S", B="A C", C="A B", S="A B C")
    await office.do(do.ClearConnection(S), A="B C", B="A C", C="A B")
    await office.do(do.SetMicrophoneMute(C, True), A="B", B="A", C="A B")
    await office.do(do.ClearConnection(C), A="B", B="A")
    await office.do(do.JoinCall(S, A), A="B", B="A", S="A B")
    await office.do(do.JoinCall(S, A, whisper), A="B S", B="A", S="A B")
    await office.do(do.JoinCall(S, A, active), A="B S", B="A S", S="A B")
    await office.do(do.JoinCall(S, A), A="B", B="A", S="A B")
    await office.do(do.InterceptCall(S, A), B="S", S="B")
    await office.do(do.SingleStepTransfer(S, A), A="B", B="A")
    await office.do(do.ConsultationCall(A, C), A="C", B=MUSIC, C="A")
    await office.do(do.TransferCall(A), B="C", C="B")
    await office.do(do.ParkCall(C, PARKED_AT), B=MUSIC)
    await office.do(do.DirectedPickupCall(A, PARKED_AT, first), A="B", B="A")
    await office.hang_up(A)
    await office.rings(B, RINGS)
    await office.do(do.DeflectCall(RINGS, C), B="C", C="B")
    await office.hang_up(B)
    await office.rings(B, RINGS)
    await office.do(do.DirectedPickupCall(C, RINGS), B="C", C="B")
    await office.hang_up(B)


def test_a_voice_of_no_route_is_found_and_a_packet_that_was_not_seen() -> None:
    says = {name: voice(hz) for name, hz in TONES_HZ.items()}
    names = {"a": str(A), "b": str(B)}
    switches = [Switched(0, 0, frozenset("a")), Switched(1, 2, frozenset("b"))]

    def packets(*users: DeviceId) -> list[Arrived]:
        first = 65_534
        return [
            Arrived(0.0, 1, (first + number) & 0xFFFF, says[user])
            for number, user in enumerate(users)
        ]

    for fine in (packets(A, A, B, B), packets(A, B, B, B), []):
        assert faults_in(fine, switches, names) == []
    assert faults_in(packets(A, A, A, B), switches, names) == [
        f"['{A}'] in packet 2, by routes from ['{B}']"
    ]
    assert faults_in(packets(B, A, B, B), switches, names) == [
        f"['{B}'] in packet 0, by routes from ['{A}']"
    ]
    assert faults_in(packets(A, A, B, B)[::2], switches, names) == [
        "packet 1 is not the next: some are not seen"
    ]
