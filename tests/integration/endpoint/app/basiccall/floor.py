"""An office with three agents at their pages, and customers at a carrier, in virtual time.

The carrier is another endpoint: each call of its customers is SIP and RTP. Each act is written
down: what every page was told by it, and who hears whom then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from endpoint.app.enrolment import add_extension
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.audio.analysis import heard
from endpoint.audio.tones import MUSIC_ON_HOLD_HZ
from endpoint.callcontrol.commands import AnswerCall, ClearCall, MakeCall
from endpoint.callcontrol.model import ConnectionState
from endpoint.errors import CommandRejected, MediaError
from endpoint.legs.base import DeviceId
from endpoint.media.messages import Heard
from endpoint.rig.fleet import MUSIC_ON_HOLD
from endpoint.rig.matrix import HearingMatrix, matrix
from endpoint.rig.walk import Step, WalkSettings, take
from endpoint.storage.extensions import Extension, Extensions
from tests.interop.peers.process import free_port
from tests.interop.peers.sound import write_tone
from tests.softphone import PATIENCE_S, SoftPhone
from tests.unit.endpoint.app.test_dialkeys import DES_KEY

from .office import ANNA, BERT, CARL, Office, configuration, office_of
from .walkbook import Book, Row, told

HZ = {
    "6001": 350.0,
    "6002": 620.0,
    "6003": 890.0,
    "10086": 1250.0,
    "10087": 1570.0,
    "10088": 2210.0,
}
IVR, IVR_HZ = "ivr", 1890
"""What an IVR says here: a tone too, so that it is no other party's voice."""
_PROMPTS = ("enter_password", "rate")
_PROMPT_S = 20
SIGNATURES = {MUSIC_ON_HOLD: list(MUSIC_ON_HOLD_HZ), IVR: [IVR_HZ]} | {
    who: [hz] for who, hz in HZ.items()
}
SETTINGS = WalkSettings(glance_ms=200, step_timeout_s=60.0)
NOBODY: dict[str, Any] = dict.fromkeys(HZ, ())


def trunk(port: int, ours: list[str], theirs: list[str]) -> dict[str, Any]:
    return {
        "name": "trunk",
        "peers": [f"sip:127.0.0.1:{port}"],
        "incoming": [{"match": each} for each in ours],
        "outgoing": [{"match": each} for each in theirs],
    }


def carrier_of(directory: Any, own: int, other: int) -> Config:
    return Config.model_validate(
        {
            "http": {"port": 0, "plain": False},
            "sip": {"port": own, "tcp": False, "tls": False},
            "media": {"webrtc_ready": False, "port_first": 30_000, "port_last": 34_999},
            "state": {"directory": directory},
            "calls": {"dials_per_minute": 1_000_000},
            "station": [
                {"device": device, "kind": "tone", "frequency_hz": HZ[device]}
                for device in ("10086", "10087")
            ],
            # He picks up by himself; his neighbours' telephones do so at once.
            "agent": [{"device": "10088", "input": f"tone:{HZ['10088']:.0f}"}],
            "trunk": [trunk(other, ["1*"], ["6*", "900"])],
        }
    )


MASKED = frozenset({4, 5, 6, 7, 8, 42, 25, 26, 27})
"""Buttons that remote agents have not by default."""
REMOTE, SLOW_REMOTE = "RP_10087", "RP_10088"
"""Agents whose telephones are at the carrier."""
WHO = {
    "a1": "6001",
    "a2": "6002",
    "a3": "6003",
    "c1": "10086",
    "c2": "10087",
    "c3": "10088",
}
_PAGE_OF = {ins: who for who, ins in WHO.items()} | {REMOTE: "a3"}
_SHOWN_PARAMS = (
    *("destSPType", "destType", "controlType", "SVN", "TRANSFERPREPARE_CHECKPASSWORD"),
    *("encryptMode", "functionCode", "isOn", "workMode"),
)
"""Those that decide what comes of a command."""


@dataclass
class Floor:
    """The office and its carrier, with three agents at their pages."""

    office: Office
    carrier: Endpoint
    pages: dict[str, SoftPhone] = field(default_factory=dict)
    book: Book = field(default_factory=Book)
    rows: dict[str, str] = field(default_factory=dict)
    """Who hears whom now, as it was measured last."""
    _read: dict[str, int] = field(default_factory=dict)

    async def heard(self, device: str, last_ms: int) -> frozenset[str]:
        """Whom a device hears."""
        audio = await self._audio(device, last_ms)
        if audio is None:
            return frozenset()
        samples = np.frombuffer(audio.samples, "<i2")
        return frozenset(heard(samples, SIGNATURES, sample_rate_hz=audio.sample_rate_hz))

    @asynccontextmanager
    async def no_gap(self, *devices: str) -> AsyncIterator[None]:
        """Whatever is done in it: those hear somebody all the time."""
        clock = asyncio.get_running_loop().time
        for device in devices:
            await self._audio(device, 20)  # it begins to listen
        began = clock()
        yield
        last_ms = round(1000 * (clock() - began)) // 20 * 20
        assert last_ms >= 500, "it was over before anybody could have noticed"
        for device in devices:
            audio = await self._audio(device, last_ms)
            assert audio is not None, device
            samples = np.frombuffer(audio.samples, "<i2").astype(float)
            loud = np.sqrt((samples.reshape(last_ms // 20, -1) ** 2).mean(axis=1))
            assert loud.min() > loud.max() / 2, f"{device}: {loud.round()}"

    async def _audio(self, device: str, last_ms: int) -> Heard | None:
        endpoint = self.carrier if device.startswith("1") else self.office.endpoint
        legs = [
            own.leg
            for _, _, own in endpoint.controller.whereabouts.connections_of(DeviceId(device))
        ]
        try:
            return await endpoint.exchange.read_heard(legs[0], last_ms) if legs else None
        except MediaError:  # its port is being opened
            return None

    async def hearing(self, last_ms: int) -> HearingMatrix:
        rows = await asyncio.gather(*(self.heard(device, last_ms) for device in HZ))
        return dict(zip(HZ, rows, strict=True))

    async def becomes(self, name: str, act: Callable[[], Awaitable[None]], **rows: str) -> Row:
        """An act of nobody's page, and who hears whom by it: by `a1` to `a3`, `c1` to `c3`."""
        return await self._becomes(name, None, act, rows)

    async def press(
        self, page: SoftPhone, command: str, state: int, params: dict[str, Any], **rows: str
    ) -> Row:
        """A button of a page: the state that it shows then, and who hears whom."""

        async def act() -> None:
            await page.do(command, **params)
            await page.shows(state)

        return await self._becomes(shown(command, params), page, act, rows)

    async def tap(self, page: SoftPhone, command: str, until: str = "", **params: Any) -> Row:
        """A button that changes nobody's audio, until an event of that name; none: its answer."""

        async def act() -> None:
            answers = len(page.answers)
            await page.do(command, **params)
            if until:
                await page.event(until)
            await page.answered(answers)
            assert page.answers[answers] == (command, "Succ")

        return await self._becomes(shown(command, params), page, act, self.rows)

    async def _becomes(
        self,
        name: str,
        page: SoftPhone | None,
        act: Callable[[], Awaitable[None]],
        rows: Mapping[str, str],
    ) -> Row:
        expected = NOBODY | {WHO[key]: _named(row) for key, row in rows.items()}
        before = None if page is None else page.state
        self.told()
        for each in self.pages.values():
            each.read_past()
        result = await take(Step(name, matrix(expected), act), self.hearing, SETTINGS)
        assert result.ok, f"{name}: {'; '.join(result.faults)}"
        self.rows = dict(rows)
        hears = " · ".join(f"{who}: {rows[who]}" for who in sorted(rows))
        own = "" if page is None else _PAGE_OF[page.ins]
        row = Row(name, before, self.told(), own, hears)
        self.book.rows.append(row)
        return row

    def told(self) -> dict[str, tuple[str, ...]]:
        """What each page was told since the last time."""
        found = {}
        for ins, page in self.pages.items():
            read, self._read[ins] = self._read.get(ins, 0), len(page.events)
            if words := told(page.events[read:]):
                found[_PAGE_OF[ins]] = words
        return found

    async def refused(
        self, page: SoftPhone, command: str, code: str = "ProcessFailed", **params: Any
    ) -> tuple[str, str]:
        """A button that does nothing: why in words, and the event that tells of it."""
        before, read, answers = page.state, len(page.events), len(page.answers)
        await page.do(command, **params)
        await page.answered(answers)
        await page.send("WSHello", helloInfo="", time="")  # behind the events that tell of it
        await page.answered(answers + 1)
        assert page.answers[answers] == (command, code)
        assert page.state == before
        events = [each for each in page.events[read:] if each["event"].endswith("Failed")]
        event = f"`{told(events)[0]}`" if events else "–"
        self.book.refused.append((shown(command, params), before or 0, code, event))
        return page.refusals[-1] if code != "Succ" else "", event


def shown(command: str, params: Mapping[str, Any]) -> str:
    """A command with those of its parameters that decide what comes of it."""
    return " ".join([command, *(str(params[key]) for key in _SHOWN_PARAMS if params.get(key))])


def _named(row: str) -> list[str]:
    sounds = {"moh": MUSIC_ON_HOLD, "ivr": IVR}
    return [sounds.get(each) or WHO[each] for each in row.split()]


def to_agent(device: str) -> dict[str, str]:
    """For commands that are about a colleague."""
    return {"destSPType": "AGT", "destSPIns": device}


@asynccontextmanager
async def open_house(directory: Path, **more: Any) -> AsyncIterator[tuple[Office, Endpoint]]:
    """The office and its carrier, that know each other; `more` is of the office's settings."""
    ours, theirs = free_port(), free_port()
    for name in ("office", "carrier"):
        (directory / name).mkdir()
    for prompt in _PROMPTS:
        write_tone(directory / "office" / f"{prompt}.wav", IVR_HZ, _PROMPT_S)
    config = configuration(
        directory / "office",
        {"des_key": DES_KEY, "second_port": 0},
        sip={"port": ours, "tcp": False, "tls": False},
        station=[
            {"device": device, "kind": "tone", "frequency_hz": HZ[device]}
            for device in ("6002", "6003")
        ],
        agent=[{"device": "6001", "input": "tone:350"}],
        trunk=[trunk(theirs, ["6*", "900"], ["1*"])],
        **more,
    )
    async with (
        Endpoint(carrier_of(directory / "carrier", theirs, ours)) as carrier,
        office_of(config, passwords=False) as office,
    ):
        for endpoint in (carrier, office.endpoint):
            events = endpoint.controller.subscribe(0)
            async with asyncio.timeout(PATIENCE_S):
                while not all(each.up for each in endpoint.exchange.trunks()):
                    await anext(events)
        extensions = Extensions(office.endpoint.database)
        realm = office.endpoint.config.sip.realm
        for remote in (REMOTE, SLOW_REMOTE):
            await add_extension(extensions, realm, Extension(remote, ""), "not-used-8Zx")
        yield office, carrier


@asynccontextmanager
async def open_floor(directory: Path, anna: str = "", **more: Any) -> AsyncIterator[Floor]:
    """Everybody is logged on; at the end nobody talks any more.

    With `anna`, the `customInitParams` of her page, she is not: it has sent Init. `more` is of the
    office's settings.
    """
    async with open_house(directory, **more) as (office, carrier), AsyncExitStack() as pages:
        floor = Floor(office, carrier)
        for agent, ins in ((ANNA, "6001"), (BERT, "6002"), (CARL, "6003")):
            waits = ins == "6001" and anna
            page = (
                office.page(agent, ins, init_params=anna) if waits else office.at_work(agent, ins)
            )
            floor.pages[ins] = await pages.enter_async_context(page)
        yield floor
        for customer in ("10086", "10087", "10088"):
            await hang_up(floor, customer)
        await office.close()


async def reload(endpoint: Endpoint) -> None:
    """Its parameters are read anew."""
    url = f"http://127.0.0.1:{endpoint.basiccall.port}/reloadSystemParam.do"
    headers = {"Authorization": f"Bearer {endpoint.token}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        assert await answer.text() == "true"


async def hang_up(floor: Floor, customer: str) -> None:
    """A customer does, in whatever calls he is."""
    device, controller = DeviceId(customer), floor.carrier.controller
    for _, call, _ in controller.whereabouts.connections_of(device):
        with suppress(CommandRejected):  # it is over meanwhile
            await controller.submit(ClearCall(device, call.id))


async def dials(floor: Floor, customer: str, number: str) -> None:
    """A customer does."""
    await floor.carrier.controller.submit(MakeCall(DeviceId(customer), number, data={}))


async def picks_up(floor: Floor) -> None:
    """He who does so himself, however often he is rung."""
    controller, slow = floor.carrier.controller, DeviceId("10088")
    async for _ in controller.subscribe(0):
        for _, call, own in controller.whereabouts.connections_of(slow):
            if own.state is ConnectionState.CONNECTED:
                return
            with suppress(CommandRejected):  # it was given up meanwhile
                await controller.submit(AnswerCall(slow, call.id))


async def calls(floor: Floor, page: SoftPhone) -> None:
    """A customer calls Anna, whose page picks up."""

    async def rings() -> None:
        await dials(floor, "10086", "6001")
        arrived = await page.until("onCallArrive")
        assert arrived["ANI"] == "10086"
        assert arrived["17"] == "0"
        await page.shows(5)
        assert page.buttons() == [42, 10]

    await floor.becomes("a customer calls", rings)
    await floor.press(page, "AnswerCall", 6, {}, a1="c1", c1="a1")
