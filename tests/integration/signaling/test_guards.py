"""Guessers, floods and reflection against a live registrar, and the phones beside them."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from aiohttp import ClientSession, WSMsgType

from signaling.server import SipServerConfig
from signaling.sip.bans import BanRule
from signaling.sip.flow import TransportKind
from signaling.sip.guard import GuardSettings
from signaling.sip.message import Response
from signaling.sip.overload import CallLimits
from signaling.sip.rates import Rate
from signaling.user_agent import UserAgentConfig
from tests.integration.signaling.raw import RawClient, digest, md5_challenge
from tests.integration.signaling.stage import REALM, USERS, Stage, ending, until, within

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

GUESSER = "127.0.0.2"


async def guess(client: RawClient, word: str, user: str = "6001") -> int:
    return (await client.authorised("REGISTER", user, word)).status


async def is_dropped(client: RawClient, stage: Stage) -> bool:
    """Whether a request of the client's is not answered, though one sent after it is."""
    client.send(client.request("OPTIONS"))
    async with RawClient(stage.udp_port) as other:
        assert await other.is_answered()
    return client.recorder.messages.empty()


async def test_s4_ten_wrong_passwords_have_a_source_dropped_and_nobody_else(stage):
    with structlog.testing.capture_logs() as logs:
        async with RawClient(stage.udp_port, GUESSER) as guesser:
            for number in range(10):
                assert await guess(guesser, f"word{number}") == 401
            assert await is_dropped(guesser, stage)
            async with RawClient(stage.udp_port, GUESSER) as same_source:
                assert await is_dropped(same_source, stage)
    (ban,) = stage.server.bans()
    assert (ban.source, ban.user) == (GUESSER, "6001")
    assert [log["source"] for log in logs if log["event"].startswith("source banned")] == [GUESSER]
    async with RawClient(stage.udp_port) as right:
        assert (await right.authorised("REGISTER", "6001", USERS["6001"])).status == 200


async def test_s4_a_phone_that_is_registered_from_there_is_unharmed(stage):
    async with RawClient(stage.udp_port, GUESSER) as phone:
        assert (await phone.authorised("REGISTER", "6001", USERS["6001"])).status == 200
        async with RawClient(stage.udp_port, GUESSER) as guesser:
            for number in range(10):
                await guess(guesser, f"word{number}")
            assert await is_dropped(guesser, stage)
        assert (await phone.authorised("REGISTER", "6001", USERS["6001"])).status == 200


async def test_who_answers_wrongly_twice_is_told_to_stop_and_each_counts(stage):
    """Another 401 has a phone ask again by itself, with the same password, until it is banned."""
    async with RawClient(stage.udp_port, GUESSER) as phone:

        async def answers(challenged: Response, user: str, word: str) -> Response:
            value = digest(md5_challenge(challenged), "REGISTER", "sip:127.0.0.1", user, word)
            headers = (f"Authorization: {value}",)
            return await phone.ask(phone.request("REGISTER", user=user, headers=headers))

        for user in ("6001", "nobody"):
            again = await phone.authorised("REGISTER", user, "wrong")
            assert again.status == 401
            refused = await answers(again, user, "wrong")
            assert (refused.status, refused.headers.get("WWW-Authenticate")) == (403, None)
        again = await phone.authorised("REGISTER", "6001", "wrong")
        assert (await answers(again, "6001", USERS["6001"])).status == 200
        for _ in range(2):
            again = await phone.authorised("REGISTER", "6001", "wrong")
            await answers(again, "6001", "wrong")
        assert stage.server.bans() == []
        await phone.authorised("REGISTER", "6001", "wrong")
        (ban,) = stage.server.bans()
        assert (ban.source, ban.failures) == (GUESSER, 10)


async def test_s4_a_ban_can_be_lifted(stage):
    async with RawClient(stage.udp_port, GUESSER) as guesser:
        for number in range(10):
            await guess(guesser, f"word{number}")
        assert await is_dropped(guesser, stage)
        assert stage.server.lift_ban(GUESSER)
        assert not stage.server.lift_ban(GUESSER)
        assert await guesser.is_answered()
    assert stage.server.bans() == []


async def test_s4_an_invented_nonce_tries_no_password(stage):
    """Its answer does not depend on the password; so it counts for no ban either."""
    async with RawClient(stage.udp_port, GUESSER) as guesser:
        challenge = md5_challenge(await guesser.ask(guesser.request("REGISTER")))
        challenge.parameters["nonce"] = "0.0.0"
        for word in [USERS["6001"], *(f"word{number}" for number in range(12))]:
            value = digest(challenge, "REGISTER", "sip:127.0.0.1", "6001", word)
            headers = (f"Authorization: {value}",)
            response = await guesser.ask(guesser.request("REGISTER", headers=headers))
            assert response.status == 401
            assert "stale=true" in (response.headers.get("WWW-Authenticate") or "")
    assert stage.server.bans() == []


async def test_a_browser_s_socket_that_guesses_is_not_listened_to(server_context, trusting_context):
    """Over a WebSocket too; the very address may keep the phones that it has."""
    rule = GuardSettings(bans=BanRule(failures=1))
    config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(guard=rule))
    async with Stage(server_context, trusting_context, config) as stage:
        good = await (await stage.phone("6002", TransportKind.WS)).registered()
        bad = await stage.phone("6001", TransportKind.WS)
        bad.register(password="wrong")
        await bad.registration_event()
        assert [ban.source for ban in stage.server.bans()] == ["127.0.0.1"]
        session = stage.call("6002")
        await good.invitation()
        session.cancel()
        await ending(session)


# -- floods -----------------------------------------------------------------------------------


async def test_a_source_over_its_rate_is_dropped_and_others_are_not(
    server_context, trusting_context
):
    rates = GuardSettings(source_rate=Rate(1, 10))
    config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(guard=rates))
    async with Stage(server_context, trusting_context, config) as stage:
        phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
        async with RawClient(stage.udp_port) as flood:  # from the phone's own address
            for _ in range(100):
                flood.send(flood.request("OPTIONS"))
            async with RawClient(stage.udp_port, GUESSER) as other:
                assert await other.is_answered()
            assert flood.recorder.messages.qsize() <= 12
        dialled = phone.dial("6002")
        offered = await stage.invitation()
        offered.reject(486)
        assert (await ending(dialled)).status == 486


async def test_s7_a_stranger_s_keep_alives_over_connections_have_its_rate(
    server_context, trusting_context
):
    rates = GuardSettings(source_rate=Rate(0.001, 10))
    config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(guard=rates))
    async with ClientSession() as http:
        async with Stage(server_context, trusting_context, config) as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.tcp_port)
            url = f"ws://127.0.0.1:{stage.ws_port}/sip"
            socket = await http.ws_connect(url, protocols=("sip",))
            for _ in range(5):
                writer.write(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"\r\n"
                await socket.send_str("\r\n\r\n")
                assert (await socket.receive()).data == "\r\n"
            await socket.send_str("\r\n\r\n")
            writer.write(b"\r\n\r\n")
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        assert (await socket.receive()).type is WSMsgType.CLOSE


@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "INVITE", "BYE", "SUBSCRIBE", "X"])
async def test_s7_no_more_than_twice_what_came_is_sent_to_a_stranger(stage, method):
    async with RawClient(stage.udp_port, GUESSER) as victim:
        brief = (
            f"{method} sip:1 SIP/2.0\r\nv:SIP/2.0/UDP h;branch=z9hG4bK%d;rport\r\n"
            f"f:<sip:1@h>;tag=1\r\nt:<sip:1@h>\r\ni:%d\r\nCSeq:1 {method}\r\nm:<sip:h>\r\n\r\n"
        )
        requests = [(brief % (number, number)).encode() for number in range(50)]
        for request in requests:
            victim.send(request)
        async with RawClient(stage.udp_port) as other:
            assert await other.is_answered()
        answers = []
        while not victim.recorder.messages.empty():
            answers.append(victim.recorder.messages.get_nowait()[0])
        assert sum(map(len, answers)) <= 2 * sum(map(len, requests))
        assert answers, "most of them are answered nevertheless"


# -- overload ---------------------------------------------------------------------------------


async def test_new_calls_over_the_limit_are_503_with_retry_after_and_live_ones_go_on(
    server_context, trusting_context
):
    user_agent = UserAgentConfig(calls=CallLimits(at_once=1, retry_after_s=7))
    config = SipServerConfig(realm=REALM, user_agent=user_agent)
    async with Stage(server_context, trusting_context, config) as stage:
        phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
        first = phone.dial("6002")
        live = await stage.invitation()
        live.accept(b"v=0\r\n")
        await until(first.events(), object)
        async with RawClient(stage.udp_port) as caller:
            refused = await caller.authorised("INVITE", "6001", USERS["6001"])
            assert (refused.status, refused.headers.get("Retry-After")) == (503, "7")
        assert await first.info("text/plain", b"still there") == 200
        first.bye()
        assert (await ending(live)).by_remote
        second = phone.dial("6002")
        (await stage.invitation()).reject(486)
        assert (await ending(second)).status == 486


async def test_neither_limit_keeps_an_urgent_call_of_a_user_back(server_context, trusting_context):
    user_agent = UserAgentConfig(
        calls=CallLimits(at_once=0),
        is_short=lambda: True,
        is_urgent=lambda invite: invite.uri.user == "112",
    )
    config = SipServerConfig(realm=REALM, user_agent=user_agent)
    async with Stage(server_context, trusting_context, config) as stage:
        phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
        assert (await ending(phone.dial("6002"))).status == 503
        urgent = phone.dial("112")
        (await within(stage.server.invitations())).reject(486)
        assert (await ending(urgent)).status == 486


async def test_a_flood_of_unproven_invites_uses_up_no_calls(server_context, trusting_context):
    user_agent = UserAgentConfig(calls=CallLimits(rate=Rate(0.001, 1)))
    config = SipServerConfig(realm=REALM, user_agent=user_agent)
    async with Stage(server_context, trusting_context, config) as stage:
        phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
        async with RawClient(stage.udp_port, GUESSER) as stranger:
            for _ in range(50):
                assert (await stranger.ask(stranger.request("INVITE"))).status == 401
        dialled = phone.dial("6002")
        (await within(stage.server.invitations())).reject(486)
        assert (await ending(dialled)).status == 486


async def test_what_comes_from_an_exempt_network_has_no_limit(server_context, trusting_context):
    rates = GuardSettings(source_rate=Rate(1, 1), bans=BanRule(failures=1))
    agent = UserAgentConfig(guard=rates, exempt=(f"{GUESSER}/32",))
    config = SipServerConfig(realm=REALM, user_agent=agent)
    async with Stage(server_context, trusting_context, config) as stage:
        async with RawClient(stage.udp_port, GUESSER) as trunk:
            for _ in range(5):
                assert await guess(trunk, "wrong") == 401
        assert stage.server.bans() == []


async def test_a_request_that_is_dropped_costs_no_more_than_a_look_at_its_source(
    stage, monkeypatch
):
    read = asyncio.Event()
    async with RawClient(stage.udp_port, GUESSER) as guesser:
        for number in range(10):
            await guess(guesser, f"word{number}")
        stack = stage.server.user_agent._stack
        monkeypatch.setattr(stack, "receive_message", lambda *_: read.set())
        guesser.send(guesser.request("INVITE"))
        monkeypatch.undo()
        assert await is_dropped(guesser, stage)
    assert not read.is_set()
