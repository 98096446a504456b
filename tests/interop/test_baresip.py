"""baresip registered at our own server: calls both ways, with audio proved by tones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import (
    ClearConnection,
    GenerateDigits,
    HoldCall,
    MakeCall,
    RetrieveCall,
)
from endpoint.callcontrol.events import (
    ConnectionCleared,
    Delivered,
    DigitDetected,
    DigitsGenerated,
    Established,
    Held,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered, Side
from signaling.sip import stun

from .desk import Desk
from .peers.baresip import Baresip
from .peers.feed import PeerError
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")
AGENT_HZ, CUSTOMER_HZ = 1400, 1010


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Agent 6001 is a tone station; 10086 is an extension for a phone."""
    async with Desk(
        tmp_path / "state", extensions=[CUSTOMER], stations={AGENT: AGENT_HZ}
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def customer(desk: Desk) -> AsyncIterator[Baresip]:
    async with desk.telephone(CUSTOMER, CUSTOMER_HZ) as phone:
        yield phone


async def talking(desk: Desk, customer: Baresip) -> None:
    """The agent has called the customer, who has answered."""
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await customer.ringing()
    await desk.event(Delivered, device=CUSTOMER)
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await customer.established()
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})


async def test_the_agent_calls_holds_retrieves_presses_keys_and_hangs_up(
    desk: Desk, customer: Baresip
) -> None:
    await talking(desk, customer)

    await desk.do(HoldCall(AGENT))
    await desk.event(Held, device=AGENT)
    await hear({desk.ear(AGENT): set(), customer: MUSIC_HZ})

    await desk.do(RetrieveCall(AGENT))
    await desk.event(Retrieved, device=AGENT)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await desk.do(GenerateDigits(AGENT, "1234#"))
    await desk.event(DigitsGenerated)
    assert await customer.digits(5) == "1234#"

    await desk.do(ClearConnection(AGENT))
    await customer.closed()
    over = await desk.cleared()
    assert (over.cause, over.released_by) == (Cause.NORMAL, Side.ENDPOINT)
    await hear({customer: set()})


async def test_the_customer_holds_retrieves_presses_keys_and_hangs_up(
    desk: Desk, customer: Baresip
) -> None:
    await talking(desk, customer)

    await customer.hold()
    await desk.event(Held, device=CUSTOMER)
    await hear({desk.ear(AGENT): MUSIC_HZ, customer: set()})

    await customer.resume()
    await desk.event(Retrieved, device=CUSTOMER)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await customer.send_digits("7#")
    assert (await desk.event(DigitDetected, device=CUSTOMER)).digits == "7"
    assert (await desk.event(DigitDetected, device=CUSTOMER)).digits == "#"

    await customer.hang_up()
    gone = await desk.event(ConnectionCleared, device=CUSTOMER)
    assert gone.cause is Cause.NORMAL
    await desk.cleared()

    assert await desk.endpoint.journal.settled(60)
    (record,) = await desk.endpoint.records.latest()
    of_agent, of_customer = record.connections
    assert of_agent.quality is None  # no network is between
    assert of_customer.quality is not None
    assert of_customer.quality.codec in ("PCMU", "PCMA", "G722", "OPUS")
    for way in (of_customer.quality.received, of_customer.quality.sent):
        assert way.packets > 50
    assert of_customer.quality.received.loss_percent is not None
    assert of_customer.quality.received.jitter_ms is not None
    assert of_customer.moments is not None
    assert len(of_customer.moments.holds) == 1


async def test_the_customer_calls_the_agent(desk: Desk, customer: Baresip) -> None:
    await customer.dial(AGENT)
    await desk.event(Delivered, device=AGENT)
    await customer.established()
    await desk.event(Established, device=AGENT)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await desk.do(ClearConnection(AGENT))
    await customer.closed()
    await desk.cleared()


async def test_two_phones_of_ours_call_each_other(tmp_path: Path) -> None:
    async with (
        Desk(tmp_path / "state", extensions=[AGENT, CUSTOMER]) as desk,
        Baresip(
            tmp_path / "agent", AGENT, desk.sip, password=desk.password, tone_hz=AGENT_HZ
        ) as agent,
        Baresip(
            tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password, tone_hz=CUSTOMER_HZ
        ) as customer,
    ):
        await agent.dial(CUSTOMER)
        await customer.ringing()
        await customer.accept()
        await agent.established()
        await desk.event(Established, device=CUSTOMER)
        await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

        await desk.do(HoldCall(AGENT))
        await desk.event(Held, device=AGENT)
        await hear({agent: set(), customer: MUSIC_HZ})

        await desk.do(RetrieveCall(AGENT))
        await desk.event(Retrieved, device=AGENT)
        await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

        await agent.send_digits("42")
        assert await customer.digits(2) == "42"
        await customer.hang_up()
        await agent.closed()
        await desk.cleared()


async def test_a_phone_of_the_agent_is_rung_when_a_command_dials_for_it(tmp_path: Path) -> None:
    async with (
        Desk(tmp_path / "state", extensions=[AGENT], stations={CUSTOMER: CUSTOMER_HZ}) as desk,
        Baresip(
            tmp_path / "agent", AGENT, desk.sip, password=desk.password, tone_hz=AGENT_HZ
        ) as agent,
    ):
        await desk.do(MakeCall(AGENT, CUSTOMER))
        await agent.ringing()
        await agent.accept()
        await desk.event(Established, device=CUSTOMER)
        await hear({agent: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await agent.closed()
        await desk.cleared()


async def test_the_customer_declines(desk: Desk, customer: Baresip) -> None:
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await customer.ringing()
    await customer.hang_up()
    over = await desk.cleared()
    assert (over.cause, over.sip_status) == (Cause.BUSY, 486)


async def test_the_agent_gives_up_while_it_rings(desk: Desk, customer: Baresip) -> None:
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await customer.ringing()
    await desk.do(ClearConnection(AGENT))
    await customer.closed()
    assert (await desk.cleared()).cause is Cause.CANCELLED


async def test_the_phone_takes_its_binding_back_when_it_ends(desk: Desk, tmp_path: Path) -> None:
    async with Baresip(tmp_path / "customer", CUSTOMER, desk.sip, password=desk.password):
        await desk.event(DeviceRegistered, device=CUSTOMER)
    assert (await desk.event(DeviceUnregistered, device=CUSTOMER)).cause is Cause.NORMAL


async def test_its_flow_is_kept_kept_alive_by_stun_and_named_by_a_gruu(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5626, RFC 5627: it asks for both; its Contact in calls is then an address of ours."""
    shown = asyncio.Event()

    def answer(octets: bytes, host: str, port: int) -> bytes | None:
        shown.set()
        return stun_answer(octets, host, port)

    stun_answer = stun.answer
    monkeypatch.setattr(stun, "answer", answer)
    registrar = desk.endpoint.server._registrar
    registrar.settings = replace(registrar.settings, datagram_flow_timer_s=2)
    async with Baresip(
        tmp_path / "outbound",
        CUSTOMER,
        desk.sip,
        password=desk.password,
        tone_hz=CUSTOMER_HZ,
        account=";sipnat=outbound",
        uuid="9b2f0c3e-7d41-4d0a-9a53-0c1f6b1f2a77",
    ) as phone:
        await desk.event(DeviceRegistered, device=CUSTOMER)
        (binding,) = desk.endpoint.server.bindings(CUSTOMER)
        assert (binding.reg_id, binding.instance is not None) == (1, True)
        async with asyncio.timeout(10):
            await shown.wait()
        await talking(desk, phone)
        (session,) = desk.endpoint.server.user_agent.sessions()
        assert session.remote_target is not None
        assert desk.endpoint.server.resolve(session.remote_target) == (CUSTOMER, binding.instance)
        await desk.do(ClearConnection(AGENT))
        await phone.closed()
        await phone.dial(AGENT)
        await phone.established()
        await desk.event(Established, device=AGENT)
        await desk.do(ClearConnection(AGENT))
        await phone.closed()


@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_over_tcp_and_over_tls_with_srtp(tmp_path: Path, way: str) -> None:
    """Registered, called, held and calling over a connection."""
    secret = way == "tls"
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(
            Desk(
                tmp_path / "state",
                extensions=[CUSTOMER],
                stations={AGENT: AGENT_HZ},
                settings={"media": {"telephones": "srtp" if secret else "rtp"}},
            )
        )
        customer = await stack.enter_async_context(
            Baresip(
                tmp_path / "customer",
                CUSTOMER,
                desk.sip_tls if secret else desk.sip_tcp,
                password=desk.password,
                tone_hz=CUSTOMER_HZ,
                transport=way,
                ca_file=desk.ca_file if secret else None,
                srtp=secret,
            )
        )
        registered = await desk.event(DeviceRegistered, device=CUSTOMER)
        assert f"transport={way}" in registered.contact
        await talking(desk, customer)
        await desk.do(HoldCall(AGENT))
        await desk.event(Held, device=AGENT)
        await hear({desk.ear(AGENT): set(), customer: MUSIC_HZ})
        await desk.do(ClearConnection(AGENT))
        await customer.closed()
        await desk.cleared()
        figures = desk.endpoint.metrics.text().decode()
        for figure in ("loss_ratio", "jitter_seconds"):
            counted = [line for line in figures.splitlines() if f"leg_{figure}_count" in line]
            assert f'agent_endpoint_leg_{figure}_count{{direction="received"}} 1.0' in counted

        await customer.dial(AGENT)
        await customer.established()
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await customer.hang_up()
        assert (await desk.cleared()).cause is Cause.NORMAL


async def test_a_phone_with_a_wrong_password_has_nobody_at_its_address_banned(
    desk: Desk, tmp_path: Path
) -> None:
    """It asks again by itself for as long as it is challenged, ten times at once."""
    with pytest.raises(PeerError, match="403"):
        async with Baresip(tmp_path / "wrong", CUSTOMER, desk.sip, password="wrong"):
            pass
    assert desk.endpoint.server.bans() == []
    async with Baresip(tmp_path / "right", CUSTOMER, desk.sip, password=desk.password):
        await desk.event(DeviceRegistered, device=CUSTOMER)
