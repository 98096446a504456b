"""The terminal agent, its keys pressed in tmux, with telephones at the other end."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from endpoint.callcontrol.events import CallCleared
from endpoint.legs.base import DeviceId

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ
from .peers.tmux import Tmux

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, COLLEAGUE = DeviceId("6001"), DeviceId("10086"), DeviceId("6003")
REMOTE, TELEPHONE = DeviceId("RP_13800138000"), "13800138000"
AGENT_HZ, CUSTOMER_HZ, COLLEAGUE_HZ = 1400, 1010, 590
PROGRAM = Path(sys.executable).with_name("agent-endpoint")


async def test_an_agent_dials_holds_consults_confers_and_hangs_up_by_keys(tmp_path: Path) -> None:
    """Registered over WSS at a sipWsServer; his password is in nobody's list of processes."""
    async with Desk(
        tmp_path / "desk", extensions=[AGENT, CUSTOMER], stations={COLLEAGUE: COLLEAGUE_HZ}
    ) as desk:
        secret = tmp_path / "secret"
        secret.write_text(f"{desk.password}\n")
        customer = Baresip(
            tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password, tone_hz=CUSTOMER_HZ
        )
        options = {
            "--extension": AGENT,
            "--sip-ws-server": desk.endpoint.wss_url,
            "--ca": desk.ca_file,
            "--media": "rtp",
            "--password-file": secret,
            "--input": f"tone:{AGENT_HZ}",
            "--output": "null",
        }
        async with (
            customer,
            Tmux(
                tmp_path,
                [PROGRAM, "agent", *(str(word) for pair in options.items() for word in pair)],
                environment={"XDG_STATE_HOME": str(tmp_path / "agent")},
            ) as terminal,
        ):
            await terminal.shows(lambda seen: "● 6001  registered at" in seen, "its registration")
            await terminal.press("d", *CUSTOMER, "Enter")
            await customer.ringing()
            await terminal.shows(lambda seen: bool(re.search("▶ 10086 +calling ", seen)), "calling")
            await customer.accept()
            talking = await terminal.shows(lambda seen: "MOS 4" in seen, "talking, and quality")
            assert "talking" in talking
            assert "█" in talking
            assert "h hold   c consult   t transfer   m mute" in talking
            await hear({customer: {AGENT_HZ}})

            await terminal.press("h")
            await terminal.shows(lambda seen: "h take back" in seen, "the held call")
            await hear({customer: MUSIC_HZ})
            await terminal.press("h")
            await terminal.shows(lambda seen: "h hold" in seen, "the call")

            await terminal.press("c", *COLLEAGUE, "Enter")
            await terminal.shows(
                lambda seen: bool(re.search(r"  10086 +held .*\n▶ 6003 +talking ", seen)),
                "two calls",
            )
            assert "s swap   b back   f conference" in await terminal.screen()
            await hear({desk.ear(COLLEAGUE): {AGENT_HZ}, customer: MUSIC_HZ})

            await terminal.press("f")
            await terminal.shows(lambda seen: "▶ 10086, 6003" in seen, "the conference")
            await hear(
                {
                    desk.ear(COLLEAGUE): {AGENT_HZ, CUSTOMER_HZ},
                    customer: {AGENT_HZ, COLLEAGUE_HZ},
                }
            )
            await terminal.press("x")
            await terminal.shows(lambda seen: "No call." in seen, "no call")
            await hear({customer: {COLLEAGUE_HZ}})
            await terminal.press("q")
            await terminal.shows(lambda seen: "ended with 0" in seen, "its end")


async def test_a_remote_agent_drives_the_call_that_is_at_his_telephone(tmp_path: Path) -> None:
    """A device of the endpoint that runs; a key that means nothing is told so."""
    telephone = Baresip(
        tmp_path / "telephone",
        TELEPHONE,
        "127.0.0.1:9",
        password="unused",
        tone_hz=AGENT_HZ,
        register=False,
        outbound=False,
    )
    async with telephone:
        trunk = {
            "name": "carrier",
            "peers": [f"sip:127.0.0.1:{telephone.sip_port}"],
            "outgoing": [{"match": "1*"}],
            "default_number": "+4930100",
            "options_interval_s": 0,
        }
        config = tmp_path / "agent-endpoint.toml"
        config.write_text(f'[state]\ndirectory = "{tmp_path / "desk"}"\n')
        async with (
            Desk(
                tmp_path / "desk",
                extensions=[REMOTE],
                stations={COLLEAGUE: COLLEAGUE_HZ},
                settings={"trunk": [trunk]},
            ) as desk,
            Tmux(tmp_path, [PROGRAM, "agent", "--extension", REMOTE, "--config", config]) as keys,
        ):
            await keys.shows(lambda seen: "RP_13800138000  at the endpoint" in seen, "the agent")
            await keys.press("h")
            await keys.shows(lambda seen: "no call: h means nothing now" in seen, "a refusal")
            await keys.press("d", *COLLEAGUE, "Enter")
            await telephone.ringing()
            await telephone.accept()
            await keys.shows(lambda seen: bool(re.search("▶ 6003 +talking ", seen)), "the call")
            await hear({telephone: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {AGENT_HZ}})
            await keys.press("x")
            await telephone.closed()
            await desk.event(CallCleared)
