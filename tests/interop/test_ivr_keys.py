"""SIPp presses keys in a flow: as telephone-events, in INFO, as tones; each counts once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from endpoint.callcontrol.events import CallInformation, IvrVisited
from endpoint.legs.base import Cause

from .desk import Desk
from .peers.sipp import Sipp
from .peers.sound import RATE_HZ, keys_pressed
from .test_ivr import path_of

pytestmark = pytest.mark.interop

DID, IVR = "+4930100", "999"
KEYS = "1259"
FLOW = """
start = "keys"

[node.keys]
kind = "collect"
prompt = { tone_hz = [440], ms = 300 }
into = "keys"
no_input = "end"
invalid = "end"
next = "keep"

[node.keep]
kind = "set"
values = { Keys = "{keys}" }
next = "end"

[node.end]
kind = "hangup"
"""
SECOND = np.zeros(RATE_HZ, np.int16)


@pytest.mark.parametrize(
    ("kind", "dtmf"), [("events", "rfc4733"), ("info", "info"), ("inband", "inband")]
)
async def test_each_key_counts_once_however_it_comes(tmp_path: Path, kind: str, dtmf: str) -> None:
    (tmp_path / "keys.toml").write_text(FLOW)
    trunk = {
        "name": "carrier",
        "peers": ["sip:127.0.0.1:9"],
        "incoming": [{"match": DID, "to": IVR}],
        "options_interval_s": 0,
        "dtmf": dtmf,
    }
    settings = {"trunk": [trunk], "ivr": [{"code": IVR, "flow": str(tmp_path / "keys.toml")}]}
    says = None
    if kind == "inband":
        says = np.concatenate([SECOND, keys_pressed(f"{KEYS}#", duration_s=0.2), SECOND])
    async with (
        Desk(tmp_path / "state", settings=settings) as desk,
        Sipp(
            tmp_path,
            f"uac_keys_{kind}",
            desk.sip,
            user="30999",
            target=DID,
            says=says,
            echoes=False,
        ) as sipp,
    ):
        told = await desk.event(CallInformation, device=IVR)
        assert told.data == {"Keys": KEYS}
        await sipp.finished()
        over = await desk.cleared()
        assert over.cause is Cause.NORMAL
        assert await path_of(desk, over.call) == [
            ("keys", KEYS),
            ("keep", ""),
            ("end", ""),
        ]
        visits = [each for each in desk.told if isinstance(each, IvrVisited)]
        assert [each.node for each in visits if not each.result] == ["keys", "keep", "end"]
        assert desk.endpoint.ivrs.facts()[0].calls == 0
