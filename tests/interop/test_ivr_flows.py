"""baresip in shipped flows: a menu, a queue, a password. Prompts are tones, not words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from endpoint.callcontrol.commands import ClearConnection, LendCall, MakeCall
from endpoint.callcontrol.events import CallEvent, Established, Retrieved, Transferred
from endpoint.ivr import hashes
from endpoint.ivr.library import FLOWS
from endpoint.legs.base import DeviceId

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ, write_tone
from .test_ivr import (
    AGENT,
    AGENT_HZ,
    ASK_HZ,
    CUSTOMER,
    CUSTOMER_HZ,
    DONE_HZ,
    MENU_HZ,
    OTHER,
    OTHER_HZ,
    PIN_HZ,
    WRONG_HZ,
    has_data,
    path_of,
    visited,
)

pytestmark = pytest.mark.interop

WELCOME, DISTRIBUTORS = DeviceId("1000"), DeviceId("59006258")
PASSWORD, HURRIED = DeviceId("8888"), DeviceId("8889")
LONG_S, SHORT_S = 20.0, 0.2
MANDARIN = [f"zh/digits/{word}" for word in ("8", "yao", "5")]
"""As 815 is read aloud."""


def ivr(code: DeviceId, flow: str, directory: Path, **prompts: tuple[int, float]) -> dict[str, Any]:
    """The settings of one whose prompts are tones, each for so long."""
    for name, (tone_hz, lasts_s) in prompts.items():
        file = directory / f"{name}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tone(file, tone_hz, lasts_s)
    return {"code": code, "flow": flow, "directory": str(directory)}


@asynccontextmanager
async def talking(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Desk, Baresip]]:
    """Agent and customer talk; another agent is there."""
    async with (
        Desk(
            tmp_path / "state",
            extensions=[CUSTOMER],
            stations={AGENT: AGENT_HZ, OTHER: OTHER_HZ},
            settings=settings,
        ) as desk,
        desk.telephone(CUSTOMER, CUSTOMER_HZ) as customer,
    ):
        await desk.do(MakeCall(AGENT, CUSTOMER))
        await customer.ringing()
        await customer.accept()
        await desk.event(Established, device=CUSTOMER)
        yield desk, customer


async def test_who_waits_in_welcome_and_distributors_hears_music_and_then_an_agent(
    tmp_path: Path,
) -> None:
    """Lent to the one, he comes back from its agent; transferred to the other, he stays there."""
    settings = {
        "ivr": [
            ivr(WELCOME, "welcome", tmp_path / "sounds", welcome=(MENU_HZ, SHORT_S)),
            ivr(
                DISTRIBUTORS,
                "distributors",
                tmp_path / "sounds",
                distributors=(MENU_HZ, LONG_S),
                enter_number=(ASK_HZ, LONG_S),
                invalid=(WRONG_HZ, 2.5),
                you_entered=(PIN_HZ, SHORT_S),
                **dict.fromkeys(MANDARIN, (DONE_HZ, 0.8)),
            )
            | {"language": "zh"},
        ],
        "skill": [{"code": code, "devices": [OTHER]} for code in ("1001", "1002", "1003")],
    }
    async with talking(tmp_path, **settings) as (desk, customer):
        busy = await desk.do(MakeCall(OTHER, DISTRIBUTORS))
        await desk.event(Established, call=busy.call)
        lent = await desk.do(LendCall(AGENT, WELCOME))
        await visited(desk, "wait", "", device=WELCOME)
        await hear({customer: set(MUSIC_HZ), desk.ear(AGENT): set(MUSIC_HZ)})
        await desk.do(ClearConnection(OTHER, busy.call))
        await desk.event(Transferred, transferred_to=OTHER)
        await hear(
            {
                customer: {OTHER_HZ},
                desk.ear(OTHER): {CUSTOMER_HZ},
                desk.ear(AGENT): set(MUSIC_HZ),
            }
        )
        await desk.do(ClearConnection(OTHER, lent.call))
        await desk.event(Retrieved)
        await hear({customer: {AGENT_HZ}, desk.ear(AGENT): {CUSTOMER_HZ}})
        await customer.hang_up()
        await desk.cleared()
        assert await path_of(desk, lent.call) == [("welcome", ""), ("wait", "answered")]

        busy = await desk.do(MakeCall(OTHER, AGENT))
        await desk.event(Established, call=busy.call)
        await customer.dial(DISTRIBUTORS)
        await customer.established()
        await visited(desk, "menu", "", device=DISTRIBUTORS)
        (call,) = (each.id for each in desk.endpoint.controller.calls() if each.id != busy.call)
        await customer.send_digits("5")
        await hear({customer: {WRONG_HZ}})
        await customer.send_digits("3")
        await visited(desk, "menu", "3", device=DISTRIBUTORS)
        await customer.send_digits("12#")
        await hear({customer: {WRONG_HZ}})
        await customer.send_digits("815#")
        await visited(desk, "number", "815", device=DISTRIBUTORS)
        await hear({customer: {DONE_HZ}})
        await has_data(desk, {"DistributorID": "815"})
        await visited(desk, "menu", "", device=DISTRIBUTORS)
        await customer.send_digits("2")
        await visited(desk, "english", "", device=DISTRIBUTORS)
        await hear({customer: set(MUSIC_HZ)})
        await desk.do(ClearConnection(OTHER, busy.call))
        await desk.event(Transferred, transferred_to=OTHER)
        await hear({customer: {OTHER_HZ}, desk.ear(OTHER): {CUSTOMER_HZ}})
        await customer.hang_up()
        await desk.cleared(call=call)
        nodes = ["menu", "number", "keep", "repeat", "menu", "english"]
        assert [node for node, _ in await path_of(desk, call)] == nodes


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as told:
        yield told


async def test_a_password_is_wrong_three_times_not_keyed_in_or_right(
    tmp_path: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    """Meanwhile the agent hears music and no key; then he talks on, and knows what came of it."""
    text = (FLOWS / "password.toml").read_text()
    quick = tmp_path / "hurried.toml"
    quick.write_text(text.replace("secret = true", "secret = true\nfirst_digit_s = 0.3"))
    said = dict.fromkeys(
        ("wrong_password", "invalid", "verified", "not_verified"), (WRONG_HZ, SHORT_S)
    )
    slow = ivr(PASSWORD, "password", tmp_path / "slow", enter_password=(PIN_HZ, LONG_S), **said)
    hurried = ivr(HURRIED, str(quick), tmp_path / "quick", enter_password=(PIN_HZ, SHORT_S), **said)
    line = f'{CUSTOMER} = "{hashes.make("4A1D")}"\n'
    for directory in ("slow", "quick"):
        (tmp_path / directory / "passwords.toml").write_text(line)
    settings = {"ivr": [slow, hurried]}
    async with talking(tmp_path, **settings) as (desk, customer):
        (first,) = (call.id for call in desk.endpoint.controller.calls())

        async def keys_in(*pins: str) -> None:
            for pin in pins:
                await visited(desk, "ask", "", device=PASSWORD)
                await customer.send_digits(f"{pin}#")
                await visited(desk, "ask", "•" * len(pin), device=PASSWORD)

        async def is_back(outcome: str) -> None:
            await desk.event(Retrieved, call=first)
            await has_data(desk, {"CustomerID": CUSTOMER, "PasswordCheck": outcome})

        lent = await desk.do(LendCall(AGENT, PASSWORD))
        await hear({customer: {PIN_HZ}, desk.ear(AGENT): set(MUSIC_HZ)})
        await keys_in("0B15", "4A1D0", "11C1")
        await is_back("wrong")
        await hear({customer: {AGENT_HZ}, desk.ear(AGENT): {CUSTOMER_HZ}})
        tried = [("ask", "••••"), ("check", "wrong"), ("sorry", "")]
        tried += [("ask", "•••••"), ("check", "wrong"), ("sorry", "")]
        tried += [("ask", "••••"), ("check", "wrong"), ("wrong", ""), ("not_verified", "")]
        assert (await path_of(desk, lent.call))[2:] == [*tried, ("back", "")]

        lent = await desk.do(LendCall(AGENT, HURRIED))
        await is_back("no input")
        tried = [("ask", "no_input"), ("no_input", ""), ("not_verified", ""), ("back", "")]
        assert [each for each in await path_of(desk, lent.call) if each in tried] == tried

        await desk.do(LendCall(AGENT, PASSWORD))
        await keys_in("4A1D")
        await is_back("right")
        await hear({customer: {AGENT_HZ}, desk.ear(AGENT): {CUSTOMER_HZ}})
        assert logged
        assert not any(pin in str(logged) for pin in ("4A1D", "0B15", "11C1"))
        # What is told of the agent's own call is no key.
        told = [each for each in desk.told if isinstance(each, CallEvent) and each.call == first]
        assert told
        assert not any("Digit" in type(event).__name__ for event in told)
