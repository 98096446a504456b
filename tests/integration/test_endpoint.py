"""The whole endpoint, with telephones in processes of their own: who hears whom."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from endpoint.app import certificates
from endpoint.app.enrolment import add_extension
from endpoint.app.settings import (
    CallSettings,
    Config,
    HttpSettings,
    SipSettings,
    StateSettings,
)
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import ClearConnection, HoldCall, MakeCall, RetrieveCall
from endpoint.callcontrol.events import (
    CallCleared,
    Event,
    Failed,
    Held,
    Retrieved,
)
from endpoint.callcontrol.feed import Subscription
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import messages as wire
from endpoint.legs.audio_end import Protection
from endpoint.legs.base import Cause, DeviceId, Side
from endpoint.rig.fleet import Fleet, Party, PartyError
from endpoint.rig.orders import AnswerMode, CallState
from endpoint.storage.extensions import Extension

pytest_plugins = ["endpoint.rig.plugin"]
pytestmark = pytest.mark.integration

AGENT, CUSTOMER = "6001", "10086"
PASSWORD = "n0t-a-default-7Qx"
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A telephone as somebody may have it."""

    number: str
    protection: Protection
    codecs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.protection}-{self.codecs[0]}"


RTP = Kind("7001", Protection.RTP, ("PCMA",))
SRTP = Kind("7002", Protection.SRTP, ("PCMU",))
BROWSER = Kind("7003", Protection.WEBRTC, ("PCMU",))
OPUS = Kind("7004", Protection.WEBRTC, ("OPUS",))
OTHER_OPUS = Kind("7005", Protection.WEBRTC, ("OPUS",))
PAIRS = [
    (RTP, BROWSER),
    (RTP, OPUS),
    (SRTP, RTP),
    (SRTP, BROWSER),
    (SRTP, OPUS),
    (BROWSER, RTP),
    (BROWSER, OPUS),
    (OPUS, BROWSER),
    (OPUS, RTP),
    (OPUS, OTHER_OPUS),
]
"""Every kind meets every other. A telephone is offered keys in SDP only where it offered some."""


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    config = Config(
        http=HttpSettings(port=0, plain_port=0),
        sip=SipSettings(port=0),
        state=StateSettings(directory=tmp_path),
        calls=CallSettings(dials_per_minute=1_000_000),
    )
    async with Endpoint(config) as running:
        yield running


async def add_phone(
    fleet: Fleet,
    endpoint: Endpoint,
    number: str,
    answer: AnswerMode = AnswerMode.WHEN_TOLD,
    kind: Kind | None = None,
) -> Party:
    """The agent's phone is a browser and on WSS, as all browsers are; others are on UDP."""
    realm = endpoint.config.sip.realm
    await add_extension(endpoint.extensions, realm, Extension(number), PASSWORD)
    host, port = endpoint.sip_address
    protection = Protection.WEBRTC if number == AGENT else Protection.RTP
    if kind is not None:
        protection = kind.protection
    return await fleet.add(
        number,
        server=endpoint.wss_url if protection is Protection.WEBRTC else f"udp:{host}:{port}",
        password=PASSWORD,
        answer=answer,
        ca_file=str(endpoint.certificate.authority),
        protection=protection,
        codecs=kind.codecs if kind is not None else (),
    )


async def add_kind(fleet: Fleet, endpoint: Endpoint, kind: Kind) -> Party:
    """A phone that answers at once."""
    return await add_phone(fleet, endpoint, kind.number, AnswerMode.AUTOMATIC, kind)


@pytest.fixture
async def phones(fleet: Fleet, endpoint: Endpoint) -> Fleet:
    await add_phone(fleet, endpoint, AGENT)
    await add_phone(fleet, endpoint, CUSTOMER, AnswerMode.AUTOMATIC)
    return fleet


async def told(events: Subscription, kind: type[Event], **fields: object) -> Event:
    """Wait for the next event of a kind with these fields."""
    async with asyncio.timeout(PATIENCE_S):
        async for numbered in events:
            event = numbered.event
            if isinstance(event, kind) and all(
                getattr(event, name) == value for name, value in fields.items()
            ):
                return event
    raise AssertionError(f"no {kind.__name__} with {fields}")


async def test_a_phone_dials_holds_by_itself_and_hangs_up(endpoint: Endpoint, phones: Fleet):
    """An INVITE of a registered phone is a call of its device; its own hold is HoldCall."""
    events = endpoint.controller.subscribe()
    agent, customer = phones.parties[AGENT], phones.parties[CUSTOMER]

    await agent.dial(CUSTOMER)
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})
    await agent.hold()
    await told(events, Held, device=AGENT)
    await phones.becomes({AGENT: [], CUSTOMER: ["moh"]})
    await agent.retrieve()
    await told(events, Retrieved, device=AGENT)
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})
    await agent.send_digits("42#")
    await customer.when(lambda status: status.digits == "42#")
    await customer.hang_up()
    cleared = await told(events, CallCleared)
    await phones.becomes({AGENT: [], CUSTOMER: []})

    assert cleared.released_by is Side.DEVICE
    assert agent.status.released_by_peer


async def test_both_may_hold_at_once_and_come_back_in_any_order(endpoint: Endpoint, phones: Fleet):
    agent, customer = phones.parties[AGENT], phones.parties[CUSTOMER]
    await agent.dial(CUSTOMER)
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})

    await customer.hold()
    await phones.becomes({AGENT: ["moh"], CUSTOMER: []})
    await agent.hold()
    await phones.becomes({AGENT: [], CUSTOMER: []})
    await customer.retrieve()
    await phones.becomes({AGENT: [], CUSTOMER: ["moh"]})
    await agent.retrieve()
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})


async def test_a_phone_that_holds_by_itself_stays_held_whatever_a_command_says(
    endpoint: Endpoint, phones: Fleet
):
    """Only the phone can come back: its answer to our re-INVITE is sendonly, and events say so."""
    await phones.parties[AGENT].dial(CUSTOMER)
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})
    await phones.parties[AGENT].hold()
    await phones.becomes({AGENT: [], CUSTOMER: ["moh"]})
    events = endpoint.controller.subscribe()

    await endpoint.controller.submit(RetrieveCall(DeviceId(AGENT)))

    await told(events, Held, device=AGENT)
    await phones.becomes({AGENT: [], CUSTOMER: ["moh"]})


@pytest.mark.parametrize(("caller", "callee"), PAIRS, ids=str)
async def test_any_two_kinds_talk_hold_and_send_digits(
    endpoint: Endpoint, fleet: Fleet, caller: Kind, callee: Kind
):
    a, b = await add_kind(fleet, endpoint, caller), await add_kind(fleet, endpoint, callee)
    talk = {a.name: [b.name], b.name: [a.name]}

    await a.dial(b.name)
    await fleet.becomes(talk)
    for party, kind in ((a, caller), (b, callee)):
        assert party.status.protection is kind.protection
        assert (party.status.srtp_profile is None) == (kind.protection is Protection.RTP)
        assert party.status.codec == kind.codecs[0]
        assert party.status.connections == (kind.protection is Protection.WEBRTC)

    await a.hold()
    await fleet.becomes({a.name: [], b.name: ["moh"]})
    await a.retrieve()
    await fleet.becomes(talk)
    await b.hold()
    await fleet.becomes({a.name: ["moh"], b.name: []})
    await b.retrieve()
    await fleet.becomes(talk)

    await a.send_digits("12#")
    await b.send_digits("98*")
    await a.when(lambda status: status.digits == "98*")
    await b.when(lambda status: status.digits == "12#")
    await fleet.becomes(talk)
    assert a.status.media_failure is b.status.media_failure is None

    await b.hang_up()
    for party in (a, b):
        await party.when(lambda status: status.call is CallState.ENDED)
    await fleet.becomes({a.name: [], b.name: []})


async def test_a_browser_begins_ice_anew_in_a_call_and_audio_goes_on(
    endpoint: Endpoint, fleet: Fleet
):
    a, b = await add_kind(fleet, endpoint, BROWSER), await add_kind(fleet, endpoint, RTP)
    talk = {a.name: [b.name], b.name: [a.name]}
    await a.dial(b.name)
    await fleet.becomes(talk)

    with pytest.raises(PartyError, match="no WebRTC"):
        await b.restart_ice()
    for connections in (2, 3):
        await a.restart_ice()
        await a.when(lambda status, wanted=connections: status.connections == wanted)
        await fleet.becomes(talk)
    await a.hold()
    await fleet.becomes({a.name: [], b.name: ["moh"]})
    await a.retrieve()
    await fleet.becomes(talk)
    assert a.status.media_failure is None


@pytest.mark.parametrize(
    ("answer", "cause", "status"),
    [(AnswerMode.BUSY, Cause.BUSY, 486), (AnswerMode.DECLINE, Cause.DECLINED, 603)],
)
async def test_a_call_that_is_not_taken_says_why_and_plays_busy(
    endpoint: Endpoint, fleet: Fleet, answer: AnswerMode, cause: Cause, status: int
):
    await add_phone(fleet, endpoint, AGENT)
    await add_phone(fleet, endpoint, CUSTOMER, answer)
    events = endpoint.controller.subscribe()

    await endpoint.controller.submit(MakeCall(DeviceId(AGENT), CUSTOMER))
    failed = await told(events, Failed, device=CUSTOMER)
    await fleet.becomes({AGENT: ["progress"], CUSTOMER: []})
    await told(events, CallCleared)

    assert (failed.cause, failed.sip_status) == (cause, status)
    await fleet.parties[AGENT].when(lambda party: party.call is CallState.ENDED)


async def test_a_caller_who_gives_up_stops_the_ringing(endpoint: Endpoint, fleet: Fleet):
    await add_phone(fleet, endpoint, AGENT)
    await add_phone(fleet, endpoint, CUSTOMER, AnswerMode.IGNORE)
    events = endpoint.controller.subscribe()

    call = (await endpoint.controller.submit(MakeCall(DeviceId(AGENT), CUSTOMER))).call
    await fleet.parties[CUSTOMER].when(lambda party: party.call is CallState.RINGING)
    await fleet.becomes({AGENT: ["progress"], CUSTOMER: []})
    await endpoint.controller.submit(ClearConnection(DeviceId(AGENT), call))

    cleared = await told(events, CallCleared)
    ended = await fleet.parties[CUSTOMER].when(lambda party: party.call is CallState.ENDED)
    assert cleared.cause is Cause.CANCELLED
    assert ended.released_by_peer


async def test_a_killed_media_process_ends_its_calls_and_new_ones_work(
    endpoint: Endpoint, phones: Fleet
):
    events = endpoint.controller.subscribe()
    await phones.parties[AGENT].dial(CUSTOMER)
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})

    pid = endpoint.media_workers[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    cleared = await told(events, CallCleared)
    for party in phones.parties.values():
        await party.when(lambda status: status.call is CallState.ENDED)
    await phones.parties[AGENT].dial(CUSTOMER)
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})

    assert (cleared.cause, cleared.released_by) == (Cause.MEDIA_LOST, Side.ENDPOINT)
    assert endpoint.media_workers[0].pid not in (None, pid)


def descriptors(pid: int | str = "self") -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.soak)])
async def test_calls_of_all_kinds_leave_no_task_socket_or_port(
    endpoint: Endpoint, fleet: Fleet, rounds: int
):
    """Ten calls a round. What the media process has open counts too."""
    for kind in (RTP, SRTP, BROWSER, OPUS, OTHER_OPUS):
        await add_kind(fleet, endpoint, kind)
    events = endpoint.controller.subscribe()

    async def one_round() -> None:
        for caller, callee in PAIRS:
            a, b = fleet.parties[caller.number], fleet.parties[callee.number]
            await a.dial(b.name)
            for party in (a, b):
                await party.when(lambda status: status.call is CallState.CONNECTED)
            await a.hold()
            await a.retrieve()
            await b.hang_up()
            await told(events, CallCleared)
            for party in (a, b):
                await party.when(lambda status: status.call is CallState.ENDED)
            async with asyncio.timeout(PATIENCE_S):
                await endpoint.exchange.wait_idle()

    def left() -> tuple[int, int, int]:
        assert endpoint.media_workers[0].pid is not None
        return len(asyncio.all_tasks()), descriptors(), descriptors(endpoint.media_workers[0].pid)

    await one_round()
    before = left()
    for _ in range(rounds):
        await one_round()

    assert left() == before
    assert endpoint.exchange.leg_count == 0
    assert "0 ports" in repr(endpoint.exchange)


async def test_a_telephone_that_falls_silent_is_told_from_one_that_is_held_and_one_that_is_fine(
    endpoint: Endpoint, phones: Fleet
):
    """By REST and on the command line: each direction of each party has its diagnosis."""
    agent, customer = phones.parties[AGENT], phones.parties[CUSTOMER]
    await agent.dial(CUSTOMER)
    await phones.becomes({AGENT: [CUSTOMER], CUSTOMER: [AGENT]})
    (call,) = endpoint.controller.calls()
    trust = certificates.client_context(endpoint.certificate.authority)
    url = f"https://localhost:{endpoint.http.port}"
    async with EndpointClient(url, endpoint.token, ssl_context=trust) as client:

        async def until(**diagnoses: tuple[str, str]) -> dict[str, wire.PartyQuality]:
            """Wait until the audio from and to these devices is so."""
            found: dict[str, tuple[str, str]] = {}
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        quality = await client.quality(call.id)
                        parties = {party.device: party for party in quality.parties}
                        found = {
                            f"d{name}": (one.received.diagnosis, one.sent.diagnosis)
                            for name, one in parties.items()
                            if one.received is not None and one.sent is not None
                        }
                        if found.items() >= diagnoses.items():
                            return parties
                        await asyncio.sleep(0.1)
            except TimeoutError:
                raise AssertionError(f"found {found}") from None

        parties = await until(d6001=("fine", "fine"), d10086=("fine", "fine"))
        protections = {name: party.protection for name, party in parties.items()}
        assert protections == {AGENT: "DTLS-SRTP (AES-256-GCM)", CUSTOMER: "unprotected"}
        for party in parties.values():
            assert party.codec == "PCMU"
            assert party.remote
            assert party.received is not None
            assert party.received.mos is not None
            assert party.received.mos > 4
            assert party.received.level_dbov is not None
            assert party.received.text == "Audio arrives."

        await endpoint.controller.submit(HoldCall(DeviceId(AGENT), call.id))
        await until(d6001=("fine", "not_routed"), d10086=("held", "fine"))
        await endpoint.controller.submit(RetrieveCall(DeviceId(AGENT), call.id))
        await until(d6001=("fine", "fine"), d10086=("fine", "fine"))

        os.kill(customer.pid, signal.SIGSTOP)
        try:
            await until(d6001=("fine", "nothing_to_send"), d10086=("no_packets", "fine"))
            shown = await quality_by_command(endpoint)
        finally:
            os.kill(customer.pid, signal.SIGCONT)
        (told,) = shown["calls"]
        mute = next(party for party in told["parties"] if party["device"] == CUSTOMER)
        assert (told["call"], mute["received"]["diagnosis"]) == (call.id, "no_packets")
        assert "Look at firewalls" in mute["received"]["text"]
        await until(d6001=("fine", "fine"), d10086=("fine", "fine"))


async def quality_by_command(endpoint: Endpoint) -> Any:
    """What `agent-endpoint quality` prints; the table for a person too."""
    command = Path(sys.executable).with_name("agent-endpoint")
    surroundings = {**os.environ, "AGENT_ENDPOINT_STATE__DIRECTORY": str(endpoint.state.path)}
    printed = []
    for options in ([], ["--json"]):
        process = await asyncio.create_subprocess_exec(
            *(command, "quality", AGENT, *options),
            stdout=asyncio.subprocess.PIPE,
            env=surroundings | {"COLUMNS": "200"},
        )
        async with asyncio.timeout(PATIENCE_S):
            printed.append((await process.communicate())[0].decode())
        assert process.returncode == 0, printed
    assert f"{CUSTOMER}: PCMU · unprotected" in printed[0]
    assert f"{CUSTOMER}, from it: No packet comes from the far end." in printed[0]
    return json.loads(printed[1])


async def test_the_demo_walks_its_steps_and_prints_them_as_json():
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("agent-endpoint"), "demo", "--once", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        printed, _ = await process.communicate()

    document = json.loads(printed)
    assert process.returncode == 0, document
    assert document["ok"] is True
    assert [step["name"] for step in document["steps"]] == [
        "dial",
        "hold",
        "retrieve",
        "dtmf",
        "consult",
        "swap",
        "swap-back",
        "conference",
        "drop-one",
        "transfer",
        "single-step-transfer",
        "ivr-password",
        "ivr-return",
        "monitor",
        "whisper",
        "record",
        "barge",
        "intercept",
        "forced-drop",
        "ivr-survey",
        "rp-dial",
        "rp-consult",
        "hangup",
    ]
    assert all(step["ok"] for step in document["steps"])
    assert all(step["heard"] == step["expected"] for step in document["steps"])
    nobody = {"6001": [], "10086": [], "6002": [], "7001": [], "62345678": []}
    heard = {step["name"]: step["heard"] for step in document["steps"]}
    assert heard["dial"] == {**nobody, "6001": ["10086"], "10086": ["6001"]}
    assert heard["hold"] == {**nobody, "10086": ["moh"]}
    assert heard["conference"] == {
        **nobody,
        "6001": ["10086", "6002"],
        "10086": ["6001", "6002"],
        "6002": ["10086", "6001"],
    }
    assert heard["ivr-password"] == {**nobody, "6001": ["moh"], "10086": ["ivr"]}
    assert heard["ivr-return"] == heard["dial"]
    assert heard["ivr-survey"] == {**nobody, "10086": ["ivr"]}
    facts = {step["name"]: step.get("data") for step in document["steps"]}
    assert facts["ivr-return"] == {"CustomerID": "10086", "PasswordCheck": "right"}
    assert facts["ivr-survey"] == {"SurveyScore": "5"}
    assert heard["whisper"]["10086"] == ["6001"]
    assert heard["rp-dial"] == {**nobody, "62345678": ["10086"], "10086": ["62345678"]}
    assert heard["rp-consult"] == {
        **nobody,
        "62345678": ["6002"],
        "6002": ["62345678"],
        "10086": ["moh"],
    }
    assert heard["hangup"] == nobody
    audio = document["steps"][0]["audio"]
    assert (audio[AGENT]["signaling"], audio[AGENT]["media"]) == ("WSS", "DTLS-SRTP")
    assert audio[AGENT]["srtp_profile"]
    assert audio[CUSTOMER] == {
        "signaling": "UDP",
        "media": "RTP",
        "srtp_profile": None,
        "codec": "PCMU",
    }
    by_trunk = document["steps"][20]["audio"]["62345678"]
    assert (by_trunk["signaling"], by_trunk["media"]) == ("UDP", "RTP")
    assert document["steps"][3]["digits"] == "1234#"
    recording = next(each["recording"] for each in document["steps"] if each["name"] == "record")
    assert (recording["left"], recording["right"]) == ([CUSTOMER], [AGENT])
    assert recording["state"] == "complete"
    assert document["versions"]["agent-endpoint"]
