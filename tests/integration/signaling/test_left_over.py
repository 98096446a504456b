"""Calls of a user agent that died, ended by the one that comes after it at the same address."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from signaling.keeping import KeptCall
from signaling.sip.flow import TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.kept import Stage
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, Confirmed, Ended, InviteRequest, UserAgent
from signaling.user_agent import UserAgentConfig as Config

from .stage import ANSWER, OFFER

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

PATIENCE_S = 30.0


class Notes(dict[str, KeptCall]):
    """What a process would find, in a file of JSON."""

    def put(self, key: str, kept: KeptCall) -> None:
        self[key] = msgspec.json.decode(msgspec.json.encode(kept), type=KeptCall)

    def drop(self, key: str) -> None:
        self.pop(key, None)


def phone() -> UserAgent:
    return UserAgent(Config(name="phone", trusted_peers=("127.0.0.1",)))


def invitation(port: int) -> InviteRequest:
    me, target = Uri("sip", "6001", host="a.test"), Uri("sip", "6002", host="127.0.0.1", port=port)
    return InviteRequest(target, NameAddr("", me), NameAddr("", target), OFFER)


async def died(notes: Notes, port: int) -> tuple[Notes, int, UserAgent]:
    """An agent that has called a phone, and says nothing any more."""
    agent = UserAgent(Config(close_timeout_s=0), keeper=notes)
    await agent.__aenter__()
    _, own = await agent.listen_udp("127.0.0.1", 0)
    agent.invite(invitation(port))
    return notes, own, agent


async def buried(agent: UserAgent) -> None:
    """Its sockets are closed without a word."""
    agent._layer.send = lambda flow, octets: None  # type: ignore[method-assign]
    await agent.__aexit__(None, None, None)


@pytest.mark.parametrize("answers", [True, False])
async def test_an_answered_call_gets_bye_and_one_that_rings_cancel(answers: bool) -> None:
    async with phone() as far, asyncio.timeout(PATIENCE_S):
        _, port = await far.listen_udp("127.0.0.1", 0)
        notes, own, agent = await died(Notes(), port)
        session = await anext(aiter(far.invitations()))
        session.ring()
        stage = Stage.CALLING
        if answers:
            session.accept(ANSWER)
            assert isinstance(await anext(aiter(session.events())), Confirmed)
            stage = Stage.ANSWERED
        left = Notes(notes)
        assert [kept.stage for kept in left.values()] == [stage]
        await buried(agent)

        async with UserAgent(Config(), keeper=left) as next_one:
            await next_one.listen_udp("127.0.0.1", own)
            next_one.end_left_over(dict(left))
            async for event in session.events():
                if isinstance(event, Ended):
                    assert event.by_remote
                    assert event.q850 == 41 or not answers
            await emptied(left)


async def test_a_caller_that_waits_for_us_is_refused() -> None:
    notes = Notes()
    async with phone() as far, asyncio.timeout(PATIENCE_S):
        await far.listen_udp("127.0.0.1", 0)
        agent = UserAgent(Config(close_timeout_s=0, trusted_peers=("127.0.0.1",)), keeper=notes)
        await agent.__aenter__()
        _, own = await agent.listen_udp("127.0.0.1", 0)
        calling = far.invite(invitation(own))
        (await anext(aiter(agent.invitations()))).ring()
        left = Notes(notes)
        assert [kept.stage for kept in left.values()] == [Stage.RINGING]
        await buried(agent)

        async with UserAgent(Config(), keeper=left) as next_one:
            await next_one.listen_udp("127.0.0.1", own)
            next_one.end_left_over(dict(left))
            async for event in calling.events():
                assert not isinstance(event, Answered)
            assert calling.ended is not None
            assert calling.ended.status == 503
            assert left == {}


async def test_a_caller_whose_name_is_no_utf_8_is_kept_as_he_is() -> None:
    """One such INVITE ended the endpoint: what it noted of the call could be no JSON."""
    notes, name = Notes(), "J\udcf6rg"
    async with phone() as far, asyncio.timeout(PATIENCE_S):
        await far.listen_udp("127.0.0.1", 0)
        agent = UserAgent(Config(close_timeout_s=0, trusted_peers=("127.0.0.1",)), keeper=notes)
        await agent.__aenter__()
        _, own = await agent.listen_udp("127.0.0.1", 0)
        wanted = invitation(own)
        caller = NameAddr(name, Uri("sip", name, host="a.test"))
        calling = far.invite(replace(wanted, from_=caller))
        taken = await anext(aiter(agent.invitations()))
        taken.accept(ANSWER)
        assert isinstance(await anext(aiter(taken.events())), Confirmed)
        left = Notes(notes)
        assert [kept.user for kept in left.values()] == ["J\N{REPLACEMENT CHARACTER}rg"]
        await buried(agent)

        async with UserAgent(Config(), keeper=left) as next_one:
            await next_one.listen_udp("127.0.0.1", own)
            next_one.end_left_over(dict(left))
            async for _ in calling.events():
                pass
            assert calling.ended is not None
            assert calling.ended.by_remote
            await emptied(left)


async def test_a_call_that_ends_is_noted_no_more() -> None:
    async with phone() as far, asyncio.timeout(PATIENCE_S):
        _, port = await far.listen_udp("127.0.0.1", 0)
        notes = Notes()
        async with UserAgent(Config(), keeper=notes) as agent:
            await agent.listen_udp("127.0.0.1", 0)
            session = agent.invite(invitation(port))
            theirs = await anext(aiter(far.invitations()))
            theirs.accept(ANSWER)
            assert isinstance(await anext(aiter(session.events())), Answered)
            assert len(notes) == 1
            theirs.hang_up()
            async for _ in session.events():
                pass
            assert notes == {}


async def test_what_is_noted_is_no_call_of_ours_is_let_go() -> None:
    """As where somebody wrote into the file."""
    async with UserAgent() as agent:
        _, port = await agent.listen_udp("127.0.0.1", 0)
        flow = (await agent.flow_to(Uri("sip", host="127.0.0.1", port=port))).at("127.0.0.1", port)
        notes = Notes(
            {"a": KeptCall(Stage.CALLING, flow, "no SIP"), "b": KeptCall(Stage.ANSWERED, flow)}
        )
        agent._keeping._keeper = notes
        agent.end_left_over(dict(notes))
        assert notes == {}
        assert flow.transport is TransportKind.UDP


async def emptied(notes: Notes) -> None:
    while notes:  # noqa: ASYNC110 - nobody tells of the far end's answer
        await asyncio.sleep(0.01)
