"""The programs in docs/examples, each run as it is, against telephones that we did not write."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.events import CallCleared, ConnectionCleared, Established
from endpoint.legs.base import DeviceId

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.process import Process

pytestmark = pytest.mark.interop

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BOT, CUSTOMER, COLLEAGUE = DeviceId("6001"), DeviceId("10086"), DeviceId("6002")
CUSTOMER_HZ, COLLEAGUE_HZ = 1400, 1010
ANSWER_HZ = 1800
START_S = 60.0
"""Python itself, and an endpoint, on a machine that is busy."""


def program(name: str, directory: Path, *arguments: str | Path) -> Process:
    """One of the examples, with a state directory of its own."""
    return Process(
        [sys.executable, EXAMPLES / name, *arguments],
        directory=directory,
        name=name,
        environment={"XDG_STATE_HOME": str(directory)},
    )


async def says(bot: Process, line: str) -> None:
    """What it says last of all words may be a time of day."""
    await bot.lines.next(
        lambda said: re.sub(r" \d\d:\d\d:\d\d$", "", said) == line, line, timeout_s=START_S
    )


async def test_bots_at_an_outside_server_echo_and_are_interrupted(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    """One over WSS says what it hears, and nothing else; one over UDP speaks until he does."""
    secret = kamailio.password
    async with (
        program("echo.py", tmp_path, "6001", kamailio.wss_url, secret, kamailio.ca_file) as echo,
        program("greeter.py", tmp_path, "6002", f"sip:{kamailio.address}", secret) as greeter,
        Baresip(
            tmp_path / "customer",
            CUSTOMER,
            kamailio.address,
            password=secret,
            tone_hz=CUSTOMER_HZ,
        ) as customer,
    ):
        await says(echo, "ready")
        await customer.dial("6001")
        await customer.established()
        await hear({customer: {CUSTOMER_HZ}})
        await customer.hang_up()
        await customer.closed()

        await says(greeter, "ready")
        await customer.dial("6002")
        await customer.established()
        await says(greeter, "interrupted")
        await hear({customer: {ANSWER_HZ}})
        await customer.closed()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """The bot is a device of an endpoint that runs; the colleague a tone of it."""
    station = {"device": BOT, "kind": "program"}
    colleague = {"device": COLLEAGUE, "kind": "tone", "frequency_hz": COLLEAGUE_HZ}
    async with Desk(
        tmp_path / "state",
        extensions=[CUSTOMER],
        settings={"station": [station, colleague]},
    ) as started:
        yield started


@pytest.fixture
async def customer(desk: Desk) -> AsyncIterator[Baresip]:
    async with desk.telephone(CUSTOMER, CUSTOMER_HZ) as phone:
        yield phone


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """By which a program finds the endpoint that runs."""
    path = tmp_path / "agent-endpoint.toml"
    path.write_text(f'[state]\ndirectory = "{tmp_path / "state"}"\n')
    return path


async def test_a_script_works_a_call_and_a_bot_hands_callers_over(
    desk: Desk, customer: Baresip, config: Path, tmp_path: Path
) -> None:
    async with (
        program("desk.py", tmp_path, BOT, CUSTOMER, COLLEAGUE, config) as script,
        program("hand_over.py", tmp_path, BOT, "9999", COLLEAGUE, config) as bot,
    ):
        await customer.event("CALL_INCOMING", timeout_s=START_S)
        await customer.accept()
        assert await customer.digits(2) == "1#"
        await says(script, "answered since")
        await says(script, "nobody hears us")
        await says(script, f"together with {CUSTOMER} {COLLEAGUE} {{'order': '4711'}}")
        await says(script, "calls now: 0")
        await hear({customer: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {CUSTOMER_HZ}})
        await customer.hang_up()
        await desk.event(CallCleared)

        await says(bot, f"ready as {BOT}")
        await customer.dial(BOT)
        await customer.established()
        await customer.send_digits("5")
        await says(bot, "key 5")
        await desk.event(Established, device=COLLEAGUE)
        await desk.event(ConnectionCleared, device=COLLEAGUE)
        await customer.send_digits("2")
        await says(bot, "done: normal")
        await hear({customer: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {CUSTOMER_HZ}})
