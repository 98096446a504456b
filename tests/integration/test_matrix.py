"""Every kind of leg in every role, with every other: who hears whom after each command.

Roles: A the agent, B the customer, C who is consulted, comes into the conference and supervises.
Kinds: a browser (WebRTC over WSS), a telephone (RTP over UDP), a secure one (SRTP over TLS), a
remote agent's (`RP_`, by a trunk to a carrier, which is another endpoint), another's whose trunk is
an account of PJSIP's at that carrier, a file's, sound devices (PulseAudio's null sinks).
Where the legs are: at the media worker of those whom they face, or spread over two.
`make test` walks a covering array: each pair of kinds in each pair of roles, each kind in each role
at one worker and spread over two. `make soak` walks all. Some walks go on at a time, of different
parties.
"""

from __future__ import annotations

import asyncio
import itertools
import operator
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from endpoint.app.enrolment import add_extension
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.audio.analysis import heard
from endpoint.audio.tones import MUSIC_ON_HOLD_HZ, PARTY_TONES_HZ
from endpoint.callcontrol import commands as do
from endpoint.callcontrol.model import CallId, Participation
from endpoint.errors import EndpointError, MediaError
from endpoint.legs.audio_end import Protection
from endpoint.legs.base import DeviceId
from endpoint.media.pool import in_turn, together
from endpoint.rig.fleet import MUSIC_ON_HOLD, START_TIMEOUT_S, Party
from endpoint.rig.matrix import HearingMatrix, matrix
from endpoint.rig.orders import AnswerMode, CallState, PartySettings
from endpoint.rig.walk import Step, WalkSettings, take
from endpoint.storage.extensions import Extension
from tests.interop.peers.pjsip import need_pjsip
from tests.interop.peers.process import free_port
from tests.interop.peers.pulse import Pulse, require_portaudio
from tests.interop.peers.sound import write_tone

pytestmark = pytest.mark.integration

PASSWORD = "n0t-a-default-7Qx"
HOST = "127.0.0.1"


class Where(StrEnum):
    """At which of two media workers a port is opened."""

    ONE = "one worker"
    SPREAD = "spread"


class Kind(StrEnum):
    """What a leg is made of."""

    BROWSER = "WebRTC/WSS"
    TELEPHONE = "RTP/UDP"
    SECURE = "SRTP/TLS"
    REMOTE = "RP_"
    PJSIP = "PJSIP"
    FILE = "file"
    SOUND = "device"


ROLES = "ABC"
TONES_HZ = dict(zip(ROLES, PARTY_TONES_HZ, strict=False))
SIGNATURES = {MUSIC_ON_HOLD: MUSIC_ON_HOLD_HZ} | {role: [hz] for role, hz in TONES_HZ.items()}
KINDS = list(Kind)
Row = tuple[Kind, Kind, Kind, Where]
CUBE: list[Row] = list(itertools.product(KINDS, KINDS, KINDS, Where))
_MANY = len(KINDS)
COVERING: list[Row] = [
    (
        KINDS[a],
        KINDS[b],
        KINDS[(a + b) % _MANY],
        Where.ONE if (a + 2 * b) % _MANY < _MANY // 2 else Where.SPREAD,
    )
    for a in range(_MANY)
    for b in range(_MANY)
]
"""A Latin square, and a part of another one: any two columns have each pair."""
SETTINGS = WalkSettings(glance_ms=250, step_timeout_s=20.0)
"""Opus makes more of a short window of two tones than these: 100 ms were too few."""
BY_LOUDSPEAKER = replace(SETTINGS, late_ms=2000)
"""What was given to a sound server is played, however long the server was held up."""


def test_the_covering_array_has_each_pair_of_kinds_in_each_pair_of_roles() -> None:
    values: list[list[StrEnum]] = [[*KINDS], [*KINDS], [*KINDS], [*Where]]
    for one, other in itertools.combinations(range(4), 2):
        pairs = {(row[one], row[other]) for row in COVERING}
        assert pairs == set(itertools.product(values[one], values[other]))


LANES = 7
"""Walks at a time: most of its time a walk waits, for a telephone to answer or for audio."""


def abreast(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Those that can be walked at a time: at the same workers, with no party in common."""
    left = list(rows)
    while left:
        chosen: list[Row] = []
        for row in left:
            if all(row[3] is other[3] and not shares(row, other) for other in chosen):
                chosen.append(row)
            if len(chosen) == LANES:
                break
        for row in chosen:
            left.remove(row)
        yield chosen


def shares(row: Row, other: Row) -> bool:
    """Whether somebody is in both."""
    return any(map(operator.is_, row[:3], other[:3]))


def number_of(role: str, kind: Kind) -> str:
    """By its beginning it goes by the carrier's one trunk or by the role's other one."""
    beginning = 8 if kind is Kind.PJSIP else 9
    return f"{beginning}{ROLES.index(role) + 1}0{KINDS.index(kind) + 1}"


KEPT_UP = {f"RP_{number_of('A', Kind.REMOTE)}": 3600}
"""As the agent, a remote agent has a telephone that stays up between calls; else it rings."""


@dataclass(frozen=True, slots=True)
class Device:
    """Somebody in a role, with a kind of leg."""

    id: DeviceId
    hear: Callable[[int], Any]
    """Names of the sources in the last milliseconds; awaitable."""
    party: Party | None = None
    """Its telephone, where it has one."""

    stays_up: bool = False
    """Its telephone is not hung up between calls."""

    async def is_free(self) -> None:
        """Its telephone has seen the end of its last call, where it sees that."""
        if self.party is not None and not self.stays_up:
            await self.party.when(lambda status: status.call in (CallState.IDLE, CallState.ENDED))


class Placing:
    """A placement that a test changes as it goes."""

    def __init__(self) -> None:
        self.where = Where.ONE
        self._in_turn = in_turn()

    def __call__(self, ports: Mapping[int, int], near: int | None) -> int:
        place = together if self.where is Where.ONE else self._in_turn
        return place(ports, near)


@dataclass(slots=True)
class House:
    """An endpoint with a device of each kind for each role."""

    endpoint: Endpoint
    placing: Placing = field(default_factory=Placing)
    devices: dict[tuple[str, Kind], Device] = field(default_factory=dict)
    enrolling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time: SQLite has the others wait for a second only."""

    async def all_trunks_up(self) -> None:
        """Those by an account have to be registered first."""
        async with asyncio.timeout(START_TIMEOUT_S):
            async for _ in self.endpoint.controller.subscribe(after=0):
                if all(trunk.up for trunk in self.endpoint.exchange.trunks()):
                    return

    async def do(self, command: do.Command) -> CallId:
        return (await self.endpoint.controller.submit(command)).call

    async def heard_by_file(self, device: DeviceId, last_ms: int) -> frozenset[str]:
        """What the station of a file hears; nothing while it is in no call."""
        legs = [
            each.leg
            for call in self.endpoint.controller.calls()
            for each in call.connections
            if each.device == device and each.is_live
        ]
        if not legs:
            return frozenset()
        try:
            audio = await self.endpoint.exchange.read_heard(legs[0], last_ms)
        except MediaError:  # its port is being opened
            return frozenset()
        samples = np.frombuffer(audio.samples, "<i2")
        return frozenset(heard(samples, SIGNATURES, sample_rate_hz=audio.sample_rate_hz))


def config(directory: Path, port: int, **more: Any) -> Config:
    return Config.model_validate(
        {
            "http": {"port": 0, "plain_port": 0},
            "sip": {"port": port, "tls_port": 0},
            "state": {"directory": directory},
            "calls": {"dials_per_minute": 1_000_000, "keep_up_devices": KEPT_UP},
            **more,
        }
    )


def trunk(peer_port: int, **rules: Any) -> dict[str, Any]:
    return {
        "name": "other",
        "peers": [f"sip:{HOST}:{peer_port}"],
        "options_interval_s": 0,
        "default_number": "100",
        **rules,
    }


def account(role: str, at_port: int) -> dict[str, Any]:
    """An account of PJSIP's for each role: it has four calls, and those of a walk overlap."""
    return {
        "device": f"800{ROLES.index(role)}",
        "server": f"sip:{HOST}:{at_port}",
        "password": PASSWORD,
        "media_engine": "pjsip",
    }


def registered_trunk(role: str) -> dict[str, Any]:
    number = f"800{ROLES.index(role)}"
    return {
        "name": f"PJSIP-{role}",
        "account": number,
        "default_number": number,
        "outgoing": [{"match": f"8{ROLES.index(role) + 1}*"}],
    }


@asynccontextmanager
async def opened(directory: Path, pulse: Pulse | None, *, has_pjsip: bool) -> AsyncIterator[House]:
    """The endpoint, its carrier, and a telephone in a process of its own for all that need one."""
    absent = [] if pulse is not None else [Kind.SOUND]
    absent += [] if has_pjsip else [Kind.PJSIP]
    kinds = [kind for kind in Kind if kind not in absent]
    roles = ROLES if has_pjsip else ""
    async with AsyncExitStack() as lives:
        ours, theirs = free_port(), free_port()
        stations = [says_a_file(directory, role) for role in ROLES]
        if pulse is not None:
            stations += [await plugged_in(pulse, lives, role) for role in ROLES]
        carrier = await lives.enter_async_context(
            Endpoint(
                config(
                    directory / "carrier",
                    theirs,
                    media={"port_first": 40000, "port_last": 42000},
                    # From one address: PJSIP's calls are taken for the trunk's too.
                    trunk=[trunk(ours, incoming=[{"match": "9*"}, {"match": "8*"}])],
                )
            )
        )
        for role in roles:
            number = account(role, theirs)["device"]
            realm = carrier.config.sip.realm
            await add_extension(carrier.extensions, realm, Extension(number), PASSWORD)
        placing = Placing()
        house = House(
            await lives.enter_async_context(
                Endpoint(
                    config(
                        directory / "ours",
                        ours,
                        station=stations,
                        media={"telephones": "srtp-over-tls", "workers": 2},
                        supervision=[{"supervisor": "*", "devices": ["*"]}],
                        account=[account(role, theirs) for role in roles],
                        trunk=[
                            trunk(theirs, outgoing=[{"match": "9*"}]),
                            *(registered_trunk(role) for role in roles),
                        ],
                    ),
                    placement=placing,
                )
            ),
            placing,
        )
        await house.all_trunks_up()
        async with asyncio.TaskGroup() as group:
            for role, kind in itertools.product(ROLES, kinds):
                group.create_task(add(house, carrier, lives, role, kind, pulse))
        yield house


def says_a_file(directory: Path, role: str) -> dict[str, Any]:
    """A station that says a file with the tone of its role, over and over."""
    path = write_tone(directory / f"{role}.wav", int(TONES_HZ[role]), 3)
    return {"device": number_of(role, Kind.FILE), "kind": "file", "path": path}


async def plugged_in(pulse: Pulse, lives: AsyncExitStack, role: str) -> dict[str, Any]:
    """A station with a microphone that hears the tone of its role, and ears."""
    for sink in (f"mouth{role}", f"ears{role}"):
        await pulse.plug_in(sink)
    await lives.enter_async_context(pulse.playing(f"mouth{role}", int(TONES_HZ[role])))
    return {
        "device": number_of(role, Kind.SOUND),
        "kind": "sound",
        "input": f"pulse:mouth{role}.monitor",
        "output": f"pulse:ears{role}",
        "ringer": "null",
        "answer_after_s": 0,
    }


async def add(
    house: House,
    carrier: Endpoint,
    lives: AsyncExitStack,
    role: str,
    kind: Kind,
    pulse: Pulse | None = None,
) -> None:
    number = number_of(role, kind)
    is_remote = kind in (Kind.REMOTE, Kind.PJSIP)
    device = DeviceId(f"RP_{number}" if is_remote else number)
    if kind is Kind.FILE:
        house.devices[role, kind] = Device(
            device, lambda last_ms: house.heard_by_file(device, last_ms)
        )
        return
    if kind is Kind.SOUND:
        assert pulse is not None
        ears = await lives.enter_async_context(pulse.recording(f"ears{role}"))

        async def hear(last_ms: int) -> frozenset[str]:
            return frozenset(heard(ears.last(last_ms), SIGNATURES))

        house.devices[role, kind] = Device(device, hear)
        return
    home = house.endpoint
    async with house.enrolling:
        await add_extension(home.extensions, home.config.sip.realm, Extension(device), PASSWORD)
    if is_remote:  # his telephone is at the carrier
        home = carrier
        async with house.enrolling:
            await add_extension(home.extensions, home.config.sip.realm, Extension(number), PASSWORD)
    host, port = home.sip_address
    server, protection = f"udp:{host}:{port}", Protection.RTP
    if kind is Kind.BROWSER:
        server, protection = home.wss_url, Protection.WEBRTC
    elif kind is Kind.SECURE:
        assert home.sip_tls_address is not None
        server, protection = f"tls:{HOST}:{home.sip_tls_address[1]}", Protection.SRTP
    settings = PartySettings(
        number,
        server,
        HOST,
        PASSWORD,
        TONES_HZ[role],
        answer=AnswerMode.AUTOMATIC,
        ca_file=str(home.certificate.authority),
        protection=protection,
    )
    party = await lives.enter_async_context(Party(settings))
    await party.registered()
    house.devices[role, kind] = Device(
        device,
        lambda last_ms: party.listen(last_ms, SIGNATURES),
        party,
        stays_up=device in KEPT_UP,
    )


async def walk(house: House, row: Row, lane: int) -> dict[str, HearingMatrix]:
    """All commands once. Returns what was heard after each. Raises AssertionError."""
    *kinds, house.placing.where = row
    parked_at = DeviceId(f"70{lane}")
    people = {role: house.devices[role, kind] for role, kind in zip(ROLES, kinds, strict=True)}
    a, b, c = (people[role].id for role in ROLES)
    calls: dict[str, CallId] = {}
    measured: dict[str, HearingMatrix] = {}

    async def ears(last_ms: int) -> HearingMatrix:
        rows = await asyncio.gather(*(each.hear(last_ms) for each in people.values()))
        return dict(zip(people, rows, strict=True))

    settings = BY_LOUDSPEAKER if Kind.SOUND in kinds else SETTINGS

    async def step(name: str, command: do.Command | None, **rows: Iterable[str]) -> None:
        async def act() -> None:
            if command is not None:
                calls[name] = await house.do(command)

        expected = matrix({"A": (), "B": (), "C": (), **rows})
        result = await take(Step(name, expected, act), ears, settings)
        assert result.ok, f"{'-'.join(row)}, {name}: {'; '.join(result.faults)}"
        measured[name] = result.heard

    for each in people.values():
        await each.is_free()
    await step("dial", do.MakeCall(a, b), A="B", B="A")
    call = calls["dial"]
    await step("hold", do.HoldCall(a, call), B=[MUSIC_ON_HOLD])
    await step("retrieve", do.RetrieveCall(a, call), A="B", B="A")
    await step("consult", do.ConsultationCall(a, c, call), A="C", C="A", B=[MUSIC_ON_HOLD])
    await step("swap", do.AlternateCall(a), A="B", B="A", C=[MUSIC_ON_HOLD])
    await step("confer", do.ConferenceCall(a), A="BC", B="AC", C="AB")
    call = calls["confer"]  # the one that A held
    await step("drop", do.ClearConnection(c, call), A="B", B="A")
    await step("park", do.ParkCall(a, parked_at, call), B=[MUSIC_ON_HOLD])
    for role in "AC":
        await people[role].is_free()
    await step("pick up", do.DirectedPickupCall(a, parked_at, call), A="B", B="A")
    await step("monitor", do.JoinCall(c, a, call=call), A="B", B="A", C="AB")
    if house.placing.where is Where.SPREAD:
        whisper = do.JoinCall(c, a, Participation.WHISPER, call)
        await step("whisper", whisper, A="BC", B="A", C="AB")
    await step("hang up", do.ClearCall(a, call))
    return measured


STEPS = {Where.ONE: 11, Where.SPREAD: 12}


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "rows",
    [COVERING, pytest.param(CUBE, marks=pytest.mark.soak)],
    ids=["covering array", "whole cube"],
)
async def test_every_kind_in_every_role(
    tmp_path: Path, rows: Sequence[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    table: dict[Row, int] = {}
    failures: list[str] = []

    async def tell(house: House, row: Row, lane: int) -> None:
        try:
            table[row] = len(await walk(house, row, lane))
        except (AssertionError, EndpointError) as error:
            # Told when all are down: their ends would hide it.
            failures.append(f"{' '.join(row)}: {error}")

    async with AsyncExitStack() as lives:
        pulse: Pulse | None = None
        missing: list[str] = []
        try:
            need_pjsip()
        except pytest.skip.Exception as error:
            missing.append(str(error))
            rows = [row for row in rows if Kind.PJSIP not in row]
        has_pjsip = not missing
        try:
            await require_portaudio()
            pulse = await lives.enter_async_context(Pulse(tmp_path / "pulse"))
            pulse.use(monkeypatch)
        except pytest.skip.Exception as error:
            missing.append(str(error))
            rows = [row for row in rows if Kind.SOUND not in row]
        house = await lives.enter_async_context(opened(tmp_path, pulse, has_pjsip=has_pjsip))
        for walks in abreast(rows):
            await asyncio.gather(*(tell(house, row, lane) for lane, row in enumerate(walks)))
            if failures:
                break
    lines = ["A           B           C           at          steps heard as they must be"]
    for row, steps in table.items():
        lines.append("".join(f"{each:<12}" for each in row) + str(steps))
    sys.stdout.write("\n".join(lines) + "\n")
    assert failures == []
    assert table == {row: STEPS[row[3]] for row in rows}
    if missing:
        pytest.skip(f"all but: {'; '.join(missing)}")
