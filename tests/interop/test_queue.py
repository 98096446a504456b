"""Who waits in a queue for agents at telephones: baresip, SIPp, and what theirs are shown."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from endpoint.agents.logon import LogOn
from endpoint.agents.model import AgentId
from endpoint.agents.ownership import Liveness
from endpoint.agents.session import SetNotReady, SetReady
from endpoint.callcontrol.events import Established, LeftQueue, WaitsInQueue
from endpoint.legs.base import DeviceId

from .desk import Desk
from .peers.hearing import hear
from .peers.sipp import Sipp, register
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

DID, OUTSIDE = "+4930100", "+4989123"
IVR, CUSTOMER, FIRST, SECOND = map(DeviceId, ("900", "10086", "6001", "6002"))
CUSTOMER_HZ, FIRST_HZ, SECOND_HZ = 1010, 1400, 1130
FLOW = """
start = "agent"

[node.agent]
kind = "queue"
queue = "orders"
nobody = "end"
timeout = "end"
call_back = "promised"

[node.promised]
kind = "play"
prompt = { tone_hz = [590], ms = 500 }
next = "end"

[node.end]
kind = "hangup"
"""
DIRECTORY = {
    "skills": [{"code": "order"}],
    "agents": [
        {"id": "1001", "skills": [{"skill": "order", "level": 9}], "wrap_up_s": 1},
        {"id": "1002", "skills": [{"skill": "order", "level": 2}]},
    ],
    "queues": [
        {
            "code": "orders",
            "skills": [{"skill": "order"}],
            "ring_s": 2,
            "no_answer": "leave",
            "no_answer_reason": "other",
            "call_back": True,
        }
    ],
}


async def import_directory(desk: Desk) -> None:
    endpoint = desk.endpoint
    url = f"http://127.0.0.1:{endpoint.http.plain_port}/api/v1/directory/import"
    headers = {"Authorization": f"Bearer {endpoint.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json=DIRECTORY) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def log_on(desk: Desk, agent: str, device: DeviceId) -> None:
    stays = Liveness(grace_s=None)
    await desk.endpoint.roster.log_on(
        LogOn(agent=AgentId(agent), device=device, ready=True, liveness=stays)
    )


def state_of(desk: Desk, agent: str) -> tuple[str, str]:
    session = desk.endpoint.roster.session(AgentId(agent))
    assert session is not None
    return str(session.state), session.rest.reason


@pytest.mark.soak
async def test_who_waits_hears_music_then_the_next_agent_and_is_called_back(
    tmp_path: Path,
) -> None:
    """The best does not answer and is set aside; the other one does; who hangs up is called."""
    (tmp_path / "flow.toml").write_text(FLOW)
    async with (
        Desk(
            tmp_path / "state",
            extensions=[CUSTOMER, FIRST, SECOND],
            settings={"ivr": [{"code": IVR, "flow": str(tmp_path / "flow.toml")}]},
        ) as desk,
        desk.telephone(CUSTOMER, CUSTOMER_HZ) as customer,
        desk.telephone(FIRST, FIRST_HZ) as first,
        desk.telephone(SECOND, SECOND_HZ) as second,
    ):
        await import_directory(desk)
        await log_on(desk, "1001", FIRST)
        await log_on(desk, "1002", SECOND)

        await customer.dial(IVR)
        await first.ringing()
        await second.ringing()
        assert state_of(desk, "1001") == ("notReady", "other")
        await second.accept()
        left = await desk.event(LeftQueue, queue="orders")
        assert left.outcome == "answered"
        await hear({customer: {SECOND_HZ}, second: {CUSTOMER_HZ}})
        await customer.hang_up()
        await customer.closed()
        await second.closed()

        # Both are away: music, and a key for a call-back.
        await desk.endpoint.roster.command(AgentId("1002"), SetNotReady("other"))
        await customer.dial(IVR)
        await customer.established()
        await desk.event(WaitsInQueue, offered_to=None, position=1)
        await hear({customer: set(MUSIC_HZ)})
        await customer.send_digits("1")
        await desk.event(LeftQueue, outcome="call_back")
        await customer.closed()
        await desk.endpoint.roster.command(AgentId("1001"), SetReady())
        await first.ringing()  # before the customer is called
        await first.accept()
        await customer.ringing()
        await customer.accept()
        await desk.event(Established, device=CUSTOMER)
        await hear({customer: {FIRST_HZ}, first: {CUSTOMER_HZ}})
        (facts,) = [each for each in desk.endpoint.queues.facts() if each.settings.code == "orders"]
        assert facts.calls == ()
        await customer.hang_up()
        await first.closed()


async def test_the_telephone_of_who_is_rung_by_a_queue_shows_the_customer(tmp_path: Path) -> None:
    """SIPp calls by a trunk and waits in the IVR; the agent's telephone, SIPp too, notes From."""
    (tmp_path / "flow.toml").write_text(FLOW)
    settings = {
        "ivr": [{"code": IVR, "flow": str(tmp_path / "flow.toml")}],
        "trunk": [
            {
                "name": "carrier",
                "peers": ["sip:127.0.0.1:9"],
                "incoming": [{"match": DID, "to": IVR}],
                "options_interval_s": 0,
            }
        ],
    }
    async with Desk(tmp_path / "state", extensions=[FIRST], settings=settings) as desk:
        await import_directory(desk)
        port = await register(tmp_path, desk.sip, user=FIRST, password=desk.password)
        phone = Sipp(tmp_path, "uas_hangs_up", desk.sip, user=FIRST, sip_port=port, talk_ms=200)
        customer = Sipp(tmp_path, "uac_claims", desk.sip, user=OUTSIDE, target=DID)
        async with phone:
            await log_on(desk, "1001", FIRST)
            async with customer:
                await desk.event(Established, timeout_s=60, device=FIRST)
                await phone.finished()
                await customer.finished()
        invite = next(each for each in phone.received() if each.startswith("INVITE"))
        from_ = next(line for line in invite.splitlines() if line.startswith("From:"))
        assert from_.startswith(f'From: "Customer" <sip:{OUTSIDE}@')
        assert f"Referred-By: <sip:{IVR}@" in invite
