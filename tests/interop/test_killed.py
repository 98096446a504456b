"""F2: our process is killed in calls and started again: they end as lost; their peers hear it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from endpoint.callcontrol.model import CallId, CallRecord
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import Cause, Side

from .peers.baresip import Baresip
from .peers.kamailio import Kamailio
from .peers.process import in_use
from .peers.sipp import Sipp, register
from .serving import PATIENCE_S, Serving, gone

pytestmark = pytest.mark.interop

AGENTS = ("6001", "6002", "6003", "6004", "6005")
WAYS = ("udp", "tcp", "tls")
BYE_S = 5.0
"""So soon after the endpoint is back its peers must have heard that their calls are over."""
TALK_S = 3.0
"""How long calls in which nothing happens go on before they are killed."""


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    """With five stations; and phones that have a certificate, so that it may call back by TLS."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "phones-ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "phone.pem"))
    async with Serving(
        tmp_path / "endpoint",
        extensions=["7001", "7002", "7003", "7004", "7005"],
        stations={device: 600.0 + 100 * n for n, device in enumerate(AGENTS)},
        settings={"SIP__TLS_CA": tmp_path / "phones-ca.pem"},
    ) as serving:
        yield serving


def telephone(serving: Serving, directory: Path, user: str, way: str = "udp") -> Baresip:
    secret = way == "tls"
    return Baresip(
        directory / user,
        user,
        serving.sip_tls if secret else serving.sip,
        password=serving.password,
        transport=way,
        ca_file=serving.state.tls / "ca.pem" if secret else None,
        certificate=directory / "phone.pem" if secret else None,
    )


def assert_lost(record: CallRecord, *, answered: bool) -> None:
    assert (record.ending.cause, record.ending.released_by) == (Cause.LOST, Side.ENDPOINT)
    assert (record.established_at is not None) is answered
    assert record.started_at < record.ended_at <= datetime.now(UTC)
    moments = [each.moments for each in record.connections if each.moments is not None]
    assert len(moments) == len(record.connections)
    for each in moments:
        assert each.initiated_at <= (each.established_at or each.initiated_at) <= record.ended_at
        assert each.ended_at == record.ended_at
    assert all(each.ending.cause is Cause.LOST for each in record.connections)


async def test_f2_every_phone_of_a_killed_endpoint_hears_that_its_call_is_over(
    serving: Serving, tmp_path: Path
) -> None:
    """BYE by UDP, TCP and TLS where it talks, CANCEL where it rings, 503 where it waits for us.

    Each call has one record; what the killed process had is gone: its children and its ports.
    """
    async with AsyncExitStack() as stack:
        users = ("7001", "7002", "7003", "7004", "7005")
        ways = (*WAYS, "udp", "udp")
        talking, ringing, waiting = [], "7004", "7005"
        phones = {}
        for user, way in zip(users, ways, strict=True):
            phones[user] = await stack.enter_async_context(telephone(serving, tmp_path, user, way))
        for agent, user in zip(AGENTS, users[:4], strict=False):
            await serving.client.make_call(agent, user)
            await phones[user].ringing()
            if user != ringing:
                await phones[user].accept()
                await serving.in_state(user, "connected")
                talking.append(user)
        await phones[waiting].dial("7004")
        await phones[waiting].event("CALL_RINGING")

        children = await serving.kill()
        assert children
        await gone(children)
        assert not in_use(serving.sip_port)
        assert await serving.records() == []

        await serving.start()
        for user in users[:4]:
            await phones[user].closed()
        assert "503" in str(await phones[waiting].closed())
        records = {record.calling: record for record in await serving.records()}
        assert len(await serving.records()) == len(records) == 5
        for record in records.values():
            assert_lost(record, answered=record.called in talking)
        assert await serving.client.calls() == []
        await serving.noted_nothing()

        # By UDP nobody has seen anything of our death: that phone is called at once.
        await serving.client.make_call("6001", "7001")
        await phones["7001"].ringing()


async def test_f2_a_call_by_our_account_over_wss_ends_when_the_account_is_back(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    """The connection died with us: BYE goes by the new one."""
    account = {
        "device": "6001",
        "server": kamailio.wss_url,
        "domain": kamailio.address,
        "password": kamailio.password,
        "ca": str(kamailio.ca_file),
        "expires_s": 60,
        "media": "rtp",
    }
    async with (
        Serving(
            tmp_path / "endpoint",
            stations={"6001": 1400.0},
            settings={"ACCOUNT": json.dumps([account])},
        ) as serving,
        Baresip(
            tmp_path / "customer", "6002", kamailio.address, password=kamailio.password
        ) as customer,
    ):
        await serving.registered("6001")
        await serving.client.make_call("6001", "6002")
        await customer.ringing()
        await customer.accept()
        await serving.in_state("6002", "connected")
        await serving.kill()
        await serving.start()
        await customer.closed()
        (record,) = await serving.records()
        assert_lost(record, answered=True)
        await serving.registered("6001")


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(False, id="control plane", marks=pytest.mark.soak),
        pytest.param(True, id="all processes"),
    ],
)
async def test_f2_sipp_gets_a_bye_in_calls_that_it_made_and_that_it_took(
    serving: Serving, tmp_path: Path, whole: bool
) -> None:
    """The dialogs go on where they were: tags, CSeq and target are those that SIPp knows."""
    port = await register(tmp_path, serving.sip, user="7001", password=serving.password)
    async with (
        Sipp(tmp_path, "uas", serving.sip, user="7001", sip_port=port) as called,
        Sipp(
            tmp_path,
            "uac",
            serving.sip,
            user="7002",
            password=serving.password,
            target="6002",
        ) as calling,
    ):
        await serving.client.make_call("6001", "7001")
        for device in ("7001", "6002"):
            await serving.in_state(device, "connected")
        await gone(await serving.kill(whole=whole))
        await serving.start()
        for peer in (called, calling):
            await peer.finished(timeout_s=BYE_S)
            assert [each.split(" ", 1)[0] for each in peer.received()].count("BYE") == 1
    records = {record.calling: record for record in await serving.records()}
    assert records.keys() == {"6001", "7002"}
    for record in records.values():
        assert_lost(record, answered=True)
    await serving.noted_nothing()


@pytest.mark.parametrize("outbound", [pytest.param(True, marks=pytest.mark.soak), False])
async def test_f2_an_account_that_comes_back_leaves_no_binding_of_the_killed_one(
    kamailio: Kamailio, tmp_path: Path, outbound: bool
) -> None:
    """Its connection died with it, and the new one is another address: Kamailio has one binding.

    By its instance it replaces the old one itself; without one we must.
    """
    account = {
        "device": "6001",
        "server": kamailio.tcp_uri,
        "domain": kamailio.address,
        "password": kamailio.password,
        "expires_s": 600,
        "outbound": outbound,
    }
    async with Serving(tmp_path / "endpoint", settings={"ACCOUNT": json.dumps([account])}) as one:
        await one.registered("6001")
        (before,) = await bindings(kamailio, tmp_path / "before")
        await one.kill()
        assert await bindings(kamailio, tmp_path / "killed") == [before]
        await one.start()
        await one.registered("6001")
        async with asyncio.timeout(PATIENCE_S):
            for number in itertools.count():
                now = await bindings(kamailio, tmp_path / f"after-{number}")
                if before not in now:
                    break
        assert len(now) == 1


async def bindings(kamailio: Kamailio, directory: Path) -> list[str]:
    """Where Kamailio reaches 6001."""
    async with Sipp(
        directory, "register_query", kamailio.address, user="6001", password=kamailio.password
    ) as sipp:
        await sipp.finished()
        answer = sipp.received()[-1]
    lines = [line for line in answer.splitlines() if line.startswith("Contact:")]
    return re.findall("<(sip:[^>]*)>", " ".join(lines))


async def calls_with_kills(serving: Serving, *, calls: int, seed: int) -> None:
    """Two calls at a time, hung up or killed at any moment: each has one record at the end."""
    chance = random.Random(seed)
    accepted: set[str] = set()
    over: set[str] = set()
    while len(accepted) < calls:
        async with serving.client.events() as frames:
            for agent, other in (("6001", "6002"), ("6003", "6004")):
                accepted.add((await serving.client.make_call(agent, other)).call)
            told = 0
            last = chance.randrange(1, 40)  # events of two whole calls
            # Where fewer come, it is killed in calls that only talk.
            with suppress(TimeoutError):
                async with asyncio.timeout(TALK_S):
                    while told < last:
                        frame = await anext(frames)
                        told += 1
                        if not isinstance(frame, wire.EventFrame):
                            continue
                        if frame.event == "Established" and chance.random() < 0.5:
                            for call in await serving.client.calls():
                                with suppress(RequestRefused):
                                    await serving.client.clear(call.calling, call.call)
                        if frame.event == "CallCleared":
                            over.add(frame.fields["call"])
                            if len(over & accepted) == len(accepted):
                                break
        await serving.kill(whole=chance.random() < 0.5)
        await serving.start()
    records = {record.call: record for record in await serving.records()}
    assert len(await serving.records()) == len(records)
    assert records.keys() == accepted
    assert all(records[CallId(call)].ending.cause is Cause.NORMAL for call in over)
    lost = sum(record.ending.cause is Cause.LOST for record in records.values())
    assert lost > 0


async def test_f2_kill_after_kill_loses_and_doubles_no_record(serving: Serving) -> None:
    """And a call that was told to be over keeps the ending that it had."""
    await calls_with_kills(serving, calls=6, seed=1)


@pytest.mark.soak
async def test_f2_no_record_of_500_calls_with_kills_is_lost_or_doubled(serving: Serving) -> None:
    await calls_with_kills(serving, calls=500, seed=2)
