"""Commands about a call say what became of them: in plain words, and by their exit status."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.app.context import running_client
from endpoint.app.enrolment import add_extension
from endpoint.app.exitcodes import ExitCode
from endpoint.app.wiring import Endpoint
from endpoint.gateways.native import messages as wire
from endpoint.storage.extensions import Extension
from signaling.sip.message import respond
from tests.integration.signaling.raw import RawClient
from tests.integration.signaling.stage import REALM

from .conftest import PASSWORD, configuration
from .test_serve import COMMAND, PATIENCE_S

pytestmark = pytest.mark.integration

STATIONS = ("6002", "6003", "6004", "6005")


async def said(endpoint: Endpoint, *arguments: str) -> tuple[int, str]:
    """Exit status of a command, and all that a person reads of it."""
    state = str(endpoint.config.state.directory)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "AGENT_ENDPOINT_STATE__DIRECTORY": state, "COLUMNS": "80"},
    )
    async with asyncio.timeout(PATIENCE_S):
        shown, complaint = await process.communicate()
    return process.returncode or 0, " ".join((shown + complaint).decode().split())


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    stations = [{"device": device, "kind": "tone"} for device in STATIONS]
    supervision = [
        {"supervisor": each, "devices": ["6002", "6005"]} for each in ("6003", "6004", "6005")
    ]
    groups = [{"devices": ["6002", "6004"]}]
    async with Endpoint(
        configuration(
            tmp_path / "state",
            station=stations,
            sip={"realm": REALM},
            supervision=supervision,
            pickup_group=groups,
        )
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def call(endpoint: Endpoint) -> AsyncIterator[str]:
    """6002 talks with 6003."""
    async with running_client(endpoint.config) as client, client.events() as frames:
        async with asyncio.timeout(PATIENCE_S):
            await anext(frames)  # from now on
            accepted = await client.make_call("6002", "6003")
            async for frame in frames:
                if isinstance(frame, wire.EventFrame) and frame.event == "Established":
                    break
        yield accepted.call


async def test_what_was_done_is_said_in_plain_words(endpoint: Endpoint, call: str) -> None:
    await go_through(
        endpoint,
        {
            "hold 6002": "6002 holds its call with 6003",
            "retrieve 6002": "6002 talks with 6003 again",
            "press 6002 12#": "3 digits went to 6003",
            "mute 6002": "nobody hears 6002",
            "unmute 6002": "6002 is heard",
            "hang-up 6002": "6002 has left the call",
        },
    )


async def go_through(endpoint: Endpoint, steps: dict[str, str]) -> None:
    """Give each command; it succeeds and ends with these words."""
    for command, expected in steps.items():
        code, text = await said(endpoint, *command.split())
        assert (code, text.rpartition("✔ ")[2]) == (ExitCode.OK, expected), (command, text)


async def test_a_device_consults_swaps_goes_back_and_brings_all_together(
    endpoint: Endpoint, call: str
) -> None:
    await go_through(
        endpoint,
        {
            "consult 6002 6004": "6002 talks with 6004, and holds its other call",
            "swap 6002": "6002 talks with 6003 again, and holds its other call",
            "reconnect 6002": "6002 talks with 6004 again",
            "consult 6002 6003": "6002 talks with 6003, and holds its other call",
            "conference 6002": "6002 talks with 6004, 6003",
            "add 6002 6005": "6005 has come into the call of 6002",
            "end 6002": "the call is over",
        },
    )


async def test_who_is_lent_is_taken_back(endpoint: Endpoint, call: str) -> None:
    talks = "talks with 6004, and 6002 has it back afterwards"
    await go_through(
        endpoint,
        {
            "lend 6002 6004": f"6003 {talks}",
            "reconnect 6002": "6002 talks with 6003 again",
        },
    )
    code, text = await said(endpoint, "lend", "6002", "6999")
    assert code == ExitCode.CALL_FAILED
    assert "✘ 6999 did not take the call: unknown device (404 nobody knows 6999)" in text
    code, text = await said(endpoint, "reconnect", "6002")
    assert (code, text.partition(", and can ")[0]) == (
        ExitCode.CALL_FAILED,
        "✘ 6002 can't: it has no other call",
    )


async def test_two_calls_are_brought_together(endpoint: Endpoint, call: str) -> None:
    code, text = await said(endpoint, "transfer", "6002")
    assert (code, text.partition(", and can ")[0]) == (
        ExitCode.CALL_FAILED,
        "✘ 6002 can't: it has no other call",
    )
    await go_through(
        endpoint,
        {
            "consult 6002 6004": "6002 talks with 6004, and holds its other call",
            "transfer 6002": "6004 has taken the place of 6002",
        },
    )


async def test_who_can_not_be_consulted_is_told_with_the_cause(
    endpoint: Endpoint, call: str
) -> None:
    code, text = await said(endpoint, "consult", "6002", "6999")
    assert code == ExitCode.CALL_FAILED
    assert "✘ 6999 did not take the call: unknown device (404 nobody knows 6999)" in text


async def test_a_supervisor_listens_whispers_barges_in_and_takes_over(
    endpoint: Endpoint, call: str
) -> None:
    code, text = await said(endpoint, "monitor", "6003", "6004")
    assert (code, text) == (ExitCode.CALL_FAILED, "✘ 6004 is in no call")
    heard = "6005 listens to 6002, 6003; "
    await go_through(
        endpoint,
        {
            "monitor 6005 6002": heard + "nobody hears it",
            "whisper 6005 6002": heard + "6002 alone hears it",
            "barge 6005 6002": "6005 talks with 6002, 6003",
            "intercept 6005 6002": "6005 has taken the place of 6002",
            "intercept 6004 6005": "6004 has taken the place of 6005",
        },
    )


async def test_who_may_not_supervise_is_told_the_setting(endpoint: Endpoint, call: str) -> None:
    code, text = await said(endpoint, "monitor", "6004", "6003")
    assert code == ExitCode.CALL_FAILED
    assert "no [[supervision]] lets 6004 supervise 6003" in text


async def test_a_call_is_parked_picked_up_carries_data_and_a_party_is_dropped(
    endpoint: Endpoint, call: str
) -> None:
    await go_through(
        endpoint,
        {
            "data 6002 order=4711 note=back": "the call carries order=4711, note=back",
            "data 6002 note=": "the call carries order=4711",
            "park 6002 701": "the call waits at 701",
            "pick-up 6004 701": "6004 talks with 6003",
            "add 6004 6005": "6005 has come into the call of 6004",
            "hang-up 6004 --party 6003": "6003 has left the call",
            "hang-up 6003 --party 6005": "6005 has left the call",
        },
    )


async def test_what_a_command_of_a_party_can_not_do_is_told(endpoint: Endpoint, call: str) -> None:
    for command, expected in {
        "pick-up 6004 6003": "6003 is connected",
        "data 6002 order": "expected as order=4711",
        "data 6002 no_key!=1": "a key is 1 to 64",
    }.items():
        code, text = await said(endpoint, *command.split())
        assert code in (ExitCode.CALL_FAILED, ExitCode.USAGE)
        assert expected in text, (command, text)


async def test_a_supervisor_in_a_call_of_its_own_is_told_so(endpoint: Endpoint, call: str) -> None:
    _, text = await said(endpoint, "dial", "6005", "--from", "6004", "--detach")
    assert "6004 is picked up to dial" in text
    assert text.endswith("6005 has answered")
    code, text = await said(endpoint, "monitor", "6004", "6002")
    assert code == ExitCode.CALL_FAILED
    assert text.startswith("✘ 6004 can't: it is in another call, and can add, consult, data, end, ")


async def test_a_call_that_rings_is_sent_on(endpoint: Endpoint, call: str) -> None:
    await add_extension(endpoint.extensions, REALM, Extension("6009"), PASSWORD)
    _, port = endpoint.sip_address
    async with RawClient(port) as phone, running_client(endpoint.config) as client:
        assert (await phone.authorised("REGISTER", "6009", PASSWORD)).status == 200
        async with client.events() as frames, asyncio.timeout(PATIENCE_S):
            await client.make_call("6004", "6009")
            invite = await phone.asked("INVITE", 180)
            async for frame in frames:
                if isinstance(frame, wire.EventFrame) and frame.event == "Delivered":
                    break
        code, text = await said(endpoint, "hold", "6009")
        assert code == ExitCode.CALL_FAILED
        can = "answer, data, deflect, hang-up"
        assert text == f"✘ 6009 can't: to this call it is 'alerting', and can {can}"
        await go_through(endpoint, {"deflect 6009 6005": "6005 has taken the call"})
        await phone.asked("CANCEL")
        phone.send(respond(invite, 487, to_tag="raw").serialise())


async def test_what_can_not_be_done_says_what_can(endpoint: Endpoint, call: str) -> None:
    await said(endpoint, "hold", "6002")
    expected = (
        "✘ 6002 can't: to this call it is 'hold', and can"
        " add, consult, data, end, hang-up, mute, park, record, retrieve, transfer"
    )
    assert await said(endpoint, "press", "6002", "1") == (ExitCode.CALL_FAILED, expected)
    told = json.loads((await said(endpoint, "hold", "6002", "--json"))[1])
    assert (told["ok"], told["reason"]) == (False, "invalid_state")


async def test_a_transfer_ends_when_somebody_has_answered(endpoint: Endpoint, call: str) -> None:
    code, text = await said(endpoint, "transfer", "6002", "6004")
    assert code == ExitCode.OK
    assert text.startswith("6004 is being called")
    assert text.endswith("✔ 6004 has taken the place of 6002")


async def test_a_transfer_that_failed_says_why(endpoint: Endpoint, call: str) -> None:
    code, text = await said(endpoint, "transfer", "6002", "6999")
    assert code == ExitCode.CALL_FAILED
    assert "✘ 6999 did not take the call: unknown device (404 nobody knows 6999)" in text
    code, text = await said(endpoint, "transfer", "6002", "6999", "--json")
    told = json.loads(text)
    assert (told["ok"], told["event"], told["call"]) == (False, "TransferFailed", call)


async def test_what_does_not_come_in_time_is_no_success(endpoint: Endpoint, call: str) -> None:
    """The phone of 6009 says nothing."""
    await add_extension(endpoint.extensions, REALM, Extension("6009"), PASSWORD)
    _, port = endpoint.sip_address
    async with RawClient(port) as phone:
        assert (await phone.authorised("REGISTER", "6009", PASSWORD)).status == 200
        code, text = await said(endpoint, "transfer", "6002", "6009", "--wait", "0.1")
    assert code == ExitCode.CALL_FAILED
    assert "nothing has come of it in 0.1 s" in text


async def test_doctor_counts_one_call_as_one(endpoint: Endpoint, call: str) -> None:
    _, text = await said(endpoint, "doctor")
    assert "runs, 1 call, 0 registered devices" in text
