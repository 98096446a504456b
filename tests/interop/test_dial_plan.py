"""The dial plan with peers that we did not write: what they are sent, and whom they reach."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Delivered, Established, Failed
from endpoint.errors import CommandRejected
from endpoint.gateways.native.planmessages import PlanLine, PlanRule
from endpoint.legs.base import Cause, DeviceId

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.process import free_port
from .peers.sipp import Sipp, register

pytestmark = pytest.mark.interop

AGENT, NIGHT, PHONE, CUSTOMER = map(DeviceId, ("6001", "6003", "6002", "30999"))
AGENT_HZ, NIGHT_HZ, CUSTOMER_HZ = 1400, 1800, 1010
DID = "+4930100"
TODAY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[datetime.now(UTC).weekday()]
WRITTEN = ("0900123456", "%2B49900123456", "0900.123-456", "900123;phone-context=+49")
OTHER_DAYS = " + ".join(day for day in ("mon", "wed", "fri") if day != TODAY)


def trunk(name: str, port: int, **facts: Any) -> dict[str, Any]:
    """One that says nothing of numbers."""
    peers = [f"sip:127.0.0.1:{port}"]
    return {"name": name, "peers": peers, "options_interval_s": 0, "first_response_s": 1, **facts}


def office(directory: Path, *trunks: dict[str, Any], **calls: Any) -> Desk:
    """Two agents, who are tones, and a telephone that may register."""
    return Desk(
        directory / "state",
        extensions=[PHONE],
        stations={AGENT: AGENT_HZ, NIGHT: NIGHT_HZ},
        settings={"trunk": list(trunks), "calls": {"answer_timeout_s": 20.0, **calls}},
    )


def carrier(directory: Path, number: str = CUSTOMER) -> Baresip:
    """A telephone that takes calls for one number, without registering anywhere."""
    return Baresip(
        directory / "carrier",
        number,
        "127.0.0.1:9",
        password="unused",
        tone_hz=CUSTOMER_HZ,
        register=False,
        outbound=False,
    )


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes every datagram and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        yield hole.getsockname()[1]


def asked(sipp: Sipp) -> dict[str, str]:
    """What the INVITE that came to it says."""
    line, *headers = sipp.received()[0].splitlines()
    said = dict(header.partition(": ")[::2] for header in headers)
    return {"line": line, **said}


async def test_a_rule_says_who_is_tried_in_which_order_with_which_number(
    tmp_path: Path, silent: int
) -> None:
    """The first refuses with 503, the second says nothing, the third is dead, the last takes it."""
    phone = carrier(tmp_path)
    async with Sipp(tmp_path, "uas_unavailable", "127.0.0.1:9", user="x", status=503) as sipp:
        trunks = [
            trunk("phone", phone.sip_port, order=1),
            trunk("silent", silent, order=2),
            trunk("busy", sipp.sip_port, order=3),
            trunk("dead", free_port(), order=4),
        ]
        async with office(tmp_path, *trunks) as desk, phone:
            lines = [
                PlanLine("busy", strip=1, add="0049"),
                PlanLine("silent"),
                PlanLine("dead"),
                PlanLine("phone", strip=1),
            ]
            rule = PlanRule("city", "_0[1-9].", "trunk", lines=lines, shown="+4930555")
            await desk.endpoint.plan_book.add_plan_rule(rule)
            await desk.do(MakeCall(AGENT, f"0{CUSTOMER}"))
            assert (await phone.ringing())["peeruri"].startswith("sip:+4930555@")
            await phone.accept()
            await desk.event(Established, device=f"0{CUSTOMER}")
            await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})
            await sipp.finished()
            said = asked(sipp)
            assert said["line"].startswith(f"INVITE sip:0049{CUSTOMER}@127.0.0.1")
            assert "<sip:+4930555@" in said["From"]
            assert "<sip:+4930555@" in said["P-Asserted-Identity"]
            await desk.do(ClearConnection(AGENT))
            await phone.closed()
            await desk.cleared()


async def test_who_is_in_need_is_left_on_the_line_when_the_endpoint_stops(tmp_path: Path) -> None:
    """All others are hung up when their time is over; the log says why it does not end."""
    phone = carrier(tmp_path, "112")
    desk = Desk(
        tmp_path / "state",
        stations={AGENT: AGENT_HZ, NIGHT: NIGHT_HZ, "6004": 2200},
        settings={"trunk": [trunk("only", phone.sip_port)], "calls": {"drain_timeout_s": 0.1}},
    )
    async with desk, phone, asyncio.TaskGroup() as group:
        await desk.do(MakeCall(AGENT, "112"))
        await phone.ringing()
        await phone.accept()
        await desk.event(Established, device="112")
        other = (await desk.do(MakeCall(NIGHT, "6004"))).call
        await desk.event(Established, device="6004")
        with capture_logs() as log:
            stopping = group.create_task(desk.endpoint.drain())
            assert (await desk.cleared(call=other)).text == "the endpoint stops"
            await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})
            assert not stopping.done()
            await phone.hang_up()
            await stopping
        (said,) = (each for each in log if each["event"].startswith("emergency calls go on"))
        assert said["calls"] == 1
        assert (await desk.cleared()).cause is Cause.NORMAL


async def test_who_is_in_need_reaches_the_carrier_when_nobody_else_would(tmp_path: Path) -> None:
    """The agent has dialled all that he may, and asks for a number that may not be shown."""
    facts = {"numbers": ["+4930*"], "default_number": "+49301"}
    async with Sipp(tmp_path, "uas_unavailable", "127.0.0.1:9", user="x", status=486) as sipp:
        only = trunk("only", sipp.sip_port, **facts)
        async with office(tmp_path, only, dials_per_minute=1) as desk:
            here = "https://lis.example/office"
            book = desk.endpoint.plan_book
            await book.add_plan_rule(PlanRule("fire", "112", "emergency", location=here))
            await book.add_plan_rule(PlanRule("none", "*", "refuse", text="Closed."))
            with pytest.raises(CommandRejected, match="Closed"):
                await desk.do(MakeCall(AGENT, "030123"))
            await book.remove_plan_rule("none")
            await desk.do(MakeCall(AGENT, NIGHT))
            await desk.event(Established, device=NIGHT)
            await desk.do(ClearConnection(AGENT))
            await desk.cleared()
            with pytest.raises(CommandRejected) as caught:
                await desk.do(MakeCall(AGENT, "030123"))
            assert caught.value.reason == "dial_limit"
            await desk.do(MakeCall(AGENT, "112", calling_number="+4989", withhold=True))
            await sipp.finished()
            assert (await desk.cleared()).cause is Cause.BUSY
            said = asked(sipp)
            assert said["line"].startswith("INVITE sip:112@127.0.0.1")
            assert "<sip:+49301@" in said["From"]
            assert said["Geolocation"] == f"<{here}>"
            assert "Privacy" not in said


async def test_a_trunk_s_call_goes_where_rules_say_and_when(tmp_path: Path) -> None:
    phone = carrier(tmp_path)
    incoming = [{"match": DID, "to": AGENT}]
    only = trunk("only", phone.sip_port, incoming=incoming)
    async with office(tmp_path, only) as desk, phone:
        book = desk.endpoint.plan_book
        closed = PlanRule("closed", DID, "refuse", "in", hours=TODAY, cause="busy")
        await book.add_plan_rule(closed)
        await phone.dial(f"sip:{DID}@{desk.sip}")
        assert "486" in (await phone.closed())["param"]

        at_night = PlanRule("closed", DID, "device", "in", device=NIGHT, hours=TODAY)
        await book.change_plan_rule("closed", at_night)
        await phone.dial(f"sip:{DID}@{desk.sip}")
        rang = await desk.event(Delivered)
        assert (rang.device, rang.calling) == (NIGHT, CUSTOMER)
        await desk.event(Established, device=NIGHT)
        await hear({desk.ear(NIGHT): {CUSTOMER_HZ}, phone: {NIGHT_HZ}})
        await phone.hang_up()
        await phone.closed()
        await desk.cleared()

        another_day = PlanRule("closed", DID, "device", "in", device=NIGHT, hours=OTHER_DAYS)
        await book.change_plan_rule("closed", another_day)
        await phone.dial(f"sip:{DID}@{desk.sip}")
        assert (await desk.event(Delivered)).device == AGENT
        await phone.hang_up()
        await phone.closed()
        await desk.cleared()


async def test_s12_a_telephone_reaches_no_refused_number_however_it_writes_it(
    tmp_path: Path,
) -> None:
    """SIPp as the telephone; nothing is sent to the trunk."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as never_asked:
        never_asked.bind(("127.0.0.1", 0))
        never_asked.setblocking(False)
        # A telephone in the networks of a trunk would be taken for its far end.
        only = trunk("only", never_asked.getsockname()[1], networks=["192.0.2.1"])
        async with office(tmp_path, only) as desk:
            port = await register(tmp_path, desk.sip, user=PHONE, password=desk.password)
            for number in WRITTEN:
                async with Sipp(
                    tmp_path / number,
                    "uac_refused",
                    desk.sip,
                    user=PHONE,
                    password=desk.password,
                    target=number,
                    sip_port=port,
                    status=403,
                ) as sipp:
                    await sipp.finished()
                failed = await desk.event(Failed, device=PHONE)
                assert failed.cause is Cause.NUMBER_REFUSED
                await desk.cleared()
            assert await desk.endpoint.journal.settled(10)
            assert await desk.endpoint.journal.settled(60)
            records = await desk.endpoint.records.latest(10)
            assert {record.ending.cause for record in records} == {Cause.NUMBER_REFUSED}
            assert [record.called for record in records][::-1] == [
                "0900123456",
                "+49900123456",
                "0900.123",
                "+49900123",
            ]
            with pytest.raises(BlockingIOError):
                never_asked.recv(1)


async def test_s12_a_telephone_transfers_nobody_to_a_refused_number(tmp_path: Path) -> None:
    """By REFER of baresip, which is told 403; it hangs up then, of itself."""
    async with (
        office(tmp_path) as desk,
        desk.telephone(PHONE, CUSTOMER_HZ) as phone,
    ):
        await phone.dial(f"sip:{AGENT}@{desk.sip}")
        await desk.event(Established, device=AGENT)
        await phone.transfer("0900123456")
        line = await phone.process.lines.next(lambda line: "transfer failed" in line, "its outcome")
        assert "403" in line
        assert await desk.endpoint.journal.settled(10)
        assert await desk.endpoint.journal.settled(60)
        (record,) = await desk.endpoint.records.latest(1)
        assert (record.calling, record.called) == (PHONE, "0900123456")
        assert record.ending.cause is Cause.NUMBER_REFUSED
        await desk.cleared()
