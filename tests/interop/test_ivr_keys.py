"""SIPp presses keys in a flow: as telephone-events, in INFO, as tones; each counts once."""

from __future__ import annotations

from contextlib import AsyncExitStack
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


WAYS = {"events": "rfc4733", "info": "info", "inband": "inband"}
"""What SIPp does, and what its trunk says of it."""


def did(kind: str) -> str:
    """The number that is called by who presses keys so: by that its trunk is known."""
    return f"{DID}{list(WAYS).index(kind)}"


async def test_each_key_counts_once_however_it_comes(tmp_path: Path) -> None:
    """Three callers at once, each by a trunk of his own."""
    (tmp_path / "keys.toml").write_text(FLOW)
    trunks = [
        {
            "name": kind,
            "peers": ["sip:127.0.0.1:9"],
            "incoming": [{"match": did(kind), "to": IVR}],
            "options_interval_s": 0,
            "dtmf": dtmf,
        }
        for kind, dtmf in WAYS.items()
    ]
    settings = {"trunk": trunks, "ivr": [{"code": IVR, "flow": str(tmp_path / "keys.toml")}]}
    tones = np.concatenate([SECOND, keys_pressed(f"{KEYS}#", duration_s=0.2), SECOND])
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(Desk(tmp_path / "state", settings=settings))
        callers = [
            Sipp(
                tmp_path,
                f"uac_keys_{kind}",
                desk.sip,
                user=f"3099{kind}",
                target=did(kind),
                says=tones if kind == "inband" else None,
                echoes=False,
            )
            for kind in WAYS
        ]
        for sipp in callers:
            await stack.enter_async_context(sipp)
        for sipp in callers:
            await sipp.finished()
        over = [await desk.cleared() for _ in WAYS]
        assert {each.cause for each in over} == {Cause.NORMAL}
        calls = {each.call for each in over}
        assert len(calls) == len(WAYS)
        told = [each for each in desk.told if isinstance(each, CallInformation)]
        assert {each.call: each.data for each in told} == {call: {"Keys": KEYS} for call in calls}
        for call in calls:
            assert await path_of(desk, call) == [("keys", KEYS), ("keep", ""), ("end", "")]
            visits = [each for each in desk.told if isinstance(each, IvrVisited)]
            here = [each.node for each in visits if each.call == call and not each.result]
            assert here == ["keys", "keep", "end"]
        assert desk.endpoint.ivrs.facts()[0].calls == 0
