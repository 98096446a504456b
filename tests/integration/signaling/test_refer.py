"""REFER and Replaces between a phone and the server, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from signaling.sip.flow import TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Answered,
    Confirmed,
    Ended,
    InviteRequest,
    InviteSession,
    ReferAccepted,
    ReferCompleted,
    ReferProgress,
    Referred,
)
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.stage import ANSWER, OFFER, Stage, ending, next_event, until

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

CAROL = NameAddr("", Uri("sip", "6003", host="127.0.0.1"))
ALICE = NameAddr("", Uri("sip", "6001", host="127.0.0.1"))


async def talking(stage: Stage) -> tuple[InviteSession, InviteSession]:
    """A phone has dialled, the server has answered: the phone's session and the server's."""
    phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    offered.accept(ANSWER)
    assert isinstance(await next_event(dialled), Answered)
    assert isinstance(await next_event(offered), Confirmed)
    return dialled, offered


async def test_a_phone_refers_and_hears_the_outcome(stage):
    dialled, offered = await talking(stage)
    refer = dialled.refer(CAROL, referred_by=ALICE)
    asked = await next_event(offered)
    assert isinstance(asked, Referred)
    assert asked.refer_to.user == "6003"
    assert asked.referred_by is not None
    assert asked.replaced is None
    asked.accept()
    events = refer.events()
    assert await until(events, ReferProgress) == ReferProgress(100, "Trying")
    asked.progress(180)
    assert await until(events, ReferProgress) == ReferProgress(180, "Ringing")
    asked.complete(486)
    assert await until(events, ReferCompleted) == ReferCompleted(486, "Busy Here")
    dialled.bye()
    assert (await ending(offered)).by_remote


async def test_the_server_refers_and_the_phone_refuses(stage):
    dialled, offered = await talking(stage)
    refer = offered.refer(CAROL)
    asked = await next_event(dialled)
    assert isinstance(asked, Referred)
    asked.refuse(603)
    async with asyncio.timeout(PATIENCE_S):
        assert await refer.outcome() == ReferCompleted(603, "Decline")
    assert offered.ended is None


async def test_who_refers_and_hangs_up_still_hears_the_outcome(stage):
    dialled, offered = await talking(stage)
    refer = dialled.refer(CAROL)
    asked = await next_event(offered)
    assert isinstance(asked, Referred)
    asked.accept()
    events = refer.events()
    await until(events, ReferAccepted)
    dialled.bye()
    await ending(offered)
    asked.complete(200)
    assert await until(events, ReferCompleted) == ReferCompleted(200, "OK")


async def test_a_refer_names_the_call_of_ours_that_it_replaces(stage):
    dialled, offered = await talking(stage)
    phone = await (await stage.phone("6002", TransportKind.UDP)).registered()
    consulting = phone.dial("10086")
    consulted = await stage.invitation()
    consulted.accept(ANSWER)
    assert isinstance(await next_event(consulting), Answered)
    assert isinstance(await next_event(consulted), Confirmed)
    headers = (("Replaces", consulting.replaces_header()),)
    consulting.refer(NameAddr("", Uri("sip", "10086", host="127.0.0.1", headers=headers)))
    asked = await next_event(consulted)
    assert isinstance(asked, Referred)
    assert asked.replaced is consulted
    asked.refuse(603)
    assert offered.ended is dialled.ended is None


async def test_an_invite_with_replaces_takes_a_call_over(stage):
    dialled, offered = await talking(stage)
    phone = await (await stage.phone("6002", TransportKind.UDP)).registered()
    target = Uri("sip", "10086", host="127.0.0.1", port=stage.udp_port)
    new = phone.agent.invite(
        InviteRequest(
            target=target,
            from_=NameAddr("", Uri("sip", "6002", host="127.0.0.1")),
            to=NameAddr("", target),
            sdp=OFFER,
            credentials=phone.credentials(),
            headers=(("Replaces", dialled.replaces_header()),),
        )
    )
    taking = await stage.invitation()
    assert taking.replaces is offered
    taking.accept(ANSWER)
    assert isinstance(await next_event(new), Answered)
    assert (await ending(offered)).reason_text == "Replaced"
    assert isinstance(await until(dialled.events(), Ended), Ended)


async def test_leaving_tells_whoever_waits_for_an_outcome(stage):
    phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    offered.accept(ANSWER)
    assert isinstance(await next_event(dialled), Answered)
    refer = dialled.refer(CAROL)
    assert isinstance(await until(offered.events(), Referred), Referred)
    await phone.leave()
    async with asyncio.timeout(PATIENCE_S):
        assert (await refer.outcome()).status in (408, 503)
