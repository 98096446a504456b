"""What an attacker may try on the server: who is asked for digest, and what does not pass."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from signaling import registrar
from signaling.decisions import AdmitSubscription
from signaling.registrar import RegistrarSettings
from signaling.server import SipServer, SipServerConfig
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.message import Response
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, UserAgent, UserAgentConfig
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.raw import RawClient, digest, md5_challenge
from tests.integration.signaling.stage import (
    ANSWER,
    REALM,
    USERS,
    Stage,
    StaticCredentials,
    ending,
    until,
    within,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

CLAIM = (
    f'Authorization: Digest username="6001", realm="{REALM}", uri="sip:127.0.0.1", '
    'nonce="0", response="0"'
)
"""Names a user, so that it is looked up."""
METHODS = ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER"]
METHODS += ["NOTIFY", "INFO", "UPDATE", "PRACK", "BYE", "CANCEL"]


TABLE = Path(__file__).parents[3] / "docs" / "security.md"
PEER = "127.0.0.2"


def told_answers() -> Iterator[tuple[str, str, str]]:
    """Method, who, and what the table of the documentation says."""
    text = TABLE.read_text().partition("<!-- answers: begin -->")[2].partition("<!--")[0]
    for line in text.strip().splitlines()[2:]:
        methods, *answers = (cell.strip() for cell in line.strip("|").split("|"))
        for method in re.findall(r"`(\w+)`", methods):
            for who, answer in zip(("stranger", "own", "other", "peer"), answers, strict=True):
                yield method, who, answer


@pytest.mark.parametrize(("method", "who", "answer"), list(told_answers()))
async def test_s1_requests_are_answered_as_the_table_says(
    server_context, trusting_context, method, who, answer
):
    config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(trusted_peers=(PEER,)))
    async with (
        Stage(server_context, trusting_context, config) as stage,
        RawClient(stage.udp_port, PEER if who == "peer" else "127.0.0.1") as client,
    ):
        headers: tuple[str, ...] = ()
        if who in ("own", "other"):
            # By the challenge of a REGISTER: a nonce serves any method.
            challenge = md5_challenge(await client.ask(client.request("REGISTER")))
            value = digest(challenge, method, "sip:127.0.0.1", "6001", USERS["6001"])
            headers = (f"Authorization: {value}",)
        user = "6002" if who == "other" else "6001"
        client.send(client.request(method, user=user, headers=headers))
        match answer:
            case "nothing":
                assert await client.is_answered()
                assert client.recorder.messages.empty()
            case "a call":
                offered = await stage.invitation()
                assert offered.authenticated_user == ("6001" if who == "own" else None)
                offered.reject(486)
                assert (await client.response()).status == 486
            case status:
                assert (await client.response()).status == int(status)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("to_tag", [None, "no-such-dialog"])
async def test_without_digest_nothing_happens(stage: Stage, method: str, to_tag: str | None):
    async with RawClient(stage.udp_port) as client:
        response = await client.ask(client.request(method, to="6002", to_tag=to_tag))
        assert response.status in (401, 403, 405, 481)
        if method in ("REGISTER", "INVITE", "MESSAGE") and to_tag is None:
            assert response.status == 401
        assert await client.is_answered()
    assert stage.server.bindings("6002") == []
    await stage.server.__aexit__(None, None, None)
    assert [session async for session in stage.server.invitations()] == []


async def test_an_ack_is_never_answered(stage):
    async with RawClient(stage.udp_port) as client:
        client.send(client.request("ACK"))
        assert await client.is_answered()


async def test_options_is_answered_to_anybody_and_tells_what_we_can(stage):
    async with RawClient(stage.udp_port) as client:
        response = await client.ask(client.request("OPTIONS", user="stranger"))
    assert response.status == 200
    allowed = (response.headers.get("Allow") or "").split(", ")
    assert {"INVITE", "REGISTER", "BYE"} <= set(allowed)


async def test_sha_256_is_offered_first_and_md5_too(stage):
    async with RawClient(stage.udp_port) as client:
        response = await client.ask(client.request("REGISTER"))
    offered = response.headers.get_all("WWW-Authenticate")
    assert ["SHA-256" in offered[0], "algorithm=MD5" in offered[1]] == [True, True]


async def test_a_good_digest_registers(stage):
    async with RawClient(stage.udp_port) as client:
        assert (await client.authorised("REGISTER", "6001", USERS["6001"])).status == 200
    assert len(stage.server.bindings("6001")) == 1


def shape(response: Response) -> tuple[int, list[str], int]:
    """All of an answer that does not change from one to the next."""
    return response.status, [name for name, _ in response.headers.items()], len(response.body)


async def test_an_unknown_user_is_told_what_a_wrong_password_is_told(stage):
    async with RawClient(stage.udp_port) as client:
        for method in ("REGISTER", "INVITE"):
            known = await client.authorised(method, "6001", "guess")
            unknown = await client.authorised(method, "6999", "guess")
            assert known.status == 401
            assert shape(known) == shape(unknown)


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
async def test_another_from_than_the_digest_user_is_403(stage, method):
    async with RawClient(stage.udp_port) as client:
        response = await client.authorised(method, "6001", USERS["6001"], user="6002")
        assert response.status == 403
    assert stage.server.bindings("6002") == []


async def test_another_to_than_the_digest_user_is_403_for_register(stage):
    async with RawClient(stage.udp_port) as client:
        response = await client.authorised("REGISTER", "6001", USERS["6001"], to="6002")
        assert response.status == 403
    assert stage.server.bindings("6002") == []


@pytest.mark.parametrize("header", ["P-Asserted-Identity", "P-Preferred-Identity"])
async def test_another_asserted_identity_is_403(stage, header):
    async with RawClient(stage.udp_port) as client:
        headers = (f"{header}: <sip:6002@127.0.0.1>",)
        response = await client.authorised("INVITE", "6001", USERS["6001"], headers=headers)
        assert response.status == 403


async def test_a_replayed_register_is_challenged_again_and_binds_nothing(stage):
    refused: list[str | None] = []
    stage.server._on_refused = lambda flow, user: refused.append(user)
    async with RawClient(stage.udp_port) as client:
        challenged = await client.ask(client.request("REGISTER"))
        value = digest(
            md5_challenge(challenged), "REGISTER", "sip:127.0.0.1", "6001", USERS["6001"]
        )
        headers = (f"Authorization: {value}",)
        assert (await client.ask(client.request("REGISTER", headers=headers))).status == 200
        await within(stage.server.registrations())
        replayed = await client.ask(client.request("REGISTER", headers=headers))
        assert replayed.status == 401
        assert md5_challenge(replayed).parameters["stale"].lower() == "true"
        assert refused == ["6001"]
        assert len(stage.server.bindings("6001")) == 1


async def test_credentials_for_one_method_do_not_serve_for_another(stage):
    async with RawClient(stage.udp_port) as client:
        challenged = await client.ask(client.request("REGISTER"))
        value = digest(
            md5_challenge(challenged), "REGISTER", "sip:127.0.0.1", "6001", USERS["6001"]
        )
        headers = (f"Authorization: {value}",)
        assert (await client.ask(client.request("INVITE", headers=headers))).status == 401


async def test_credentials_for_one_uri_do_not_serve_for_another(stage):
    async with RawClient(stage.udp_port) as client:
        challenged = await client.ask(client.request("INVITE"))
        uri = "sip:10086@127.0.0.1"
        value = digest(md5_challenge(challenged), "INVITE", uri, "6001", USERS["6001"])
        elsewhere = client.request(
            "INVITE", uri="sip:0900@127.0.0.1", headers=(f"Authorization: {value}",)
        )
        assert (await client.ask(elsewhere)).status in (400, 401)


async def test_a_nonce_serves_its_own_source_only(stage):
    async with RawClient(stage.udp_port) as here, RawClient(stage.udp_port, "127.0.0.2") as there:
        challenged = await here.ask(here.request("REGISTER"))
        value = digest(
            md5_challenge(challenged), "REGISTER", "sip:127.0.0.1", "6001", USERS["6001"]
        )
        stolen = there.request("REGISTER", headers=(f"Authorization: {value}",))
        assert (await there.ask(stolen)).status == 401


async def test_a_nonce_of_another_run_is_stale_and_not_refused_for_good(stage, unused_udp_port):
    async with RawClient(stage.udp_port) as client:
        challenged = await client.ask(client.request("REGISTER"))
    value = digest(md5_challenge(challenged), "REGISTER", "sip:127.0.0.1", "6001", USERS["6001"])
    async with SipServer(SipServerConfig(realm=REALM), StaticCredentials()) as restarted:
        await restarted.listen_udp("127.0.0.1", unused_udp_port)
        async with RawClient(unused_udp_port) as client:
            again = client.request("REGISTER", headers=(f"Authorization: {value}",))
            response = await client.ask(again)
            assert response.status == 401
            assert md5_challenge(response).parameters["stale"].lower() == "true"


@pytest.mark.parametrize(
    "value",
    [
        "Digest",
        "Basic dXNlcjpwYXNz",
        'Digest username="6001"',
        f'Digest username="6001", realm="{REALM}", nonce="", uri="", response=""',
        'Digest username="6001", username="6002"',
        "NoOneKnowsThisScheme opaque-data=here",
    ],
)
async def test_odd_credentials_register_nobody(stage, value):
    async with RawClient(stage.udp_port) as client:
        headers = (f"Authorization: {value}",)
        response = await client.ask(client.request("REGISTER", headers=headers))
        assert response.status in (400, 401)
        assert await client.is_answered()
    assert stage.server.bindings("6001") == []


async def test_a_user_name_that_no_database_can_hold_is_just_unknown(unused_udp_port):
    class Database(StaticCredentials):
        async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
            assert username.encode()
            return await super().lookup(username, realm)

    refused: list[str | None] = []
    config = SipServerConfig(realm=REALM)
    async with SipServer(
        config, Database(), on_refused=lambda flow, user: refused.append(user)
    ) as server:
        await server.listen_udp("127.0.0.1", unused_udp_port)
        async with RawClient(unused_udp_port) as client:
            challenged = await client.ask(client.request("REGISTER"))
            value = digest(md5_challenge(challenged), "REGISTER", "sip:127.0.0.1", "NAME", "wrong")
            request = client.request("REGISTER", headers=(f"Authorization: {value}",))
            response = await client.ask(request.replace(b"NAME", b"\xff"))
            assert response.status == 401
    assert refused == [None]


async def test_a_trusted_peer_calls_without_digest_but_does_not_register(
    server_context, trusting_context
):
    config = SipServerConfig(
        realm=REALM, user_agent=UserAgentConfig(trusted_peers=("127.0.0.2/32",))
    )
    async with Stage(server_context, trusting_context, config) as stage:
        async with RawClient(stage.udp_port, "127.0.0.2") as trunk:
            trunk.send(trunk.request("INVITE", user="10086"))
            offered = await stage.invitation()
            assert offered.authenticated_user is None
            offered.reject(486)
            assert (await trunk.response()).status == 486
            assert (await ending(offered)).status == 486
            assert (await trunk.ask(trunk.request("REGISTER"))).status == 401
        async with RawClient(stage.udp_port) as stranger:
            assert (await stranger.ask(stranger.request("INVITE"))).status == 401


async def test_a_failure_of_the_lookup_ends_one_request_only(stage):
    class Broken:
        async def lookup(self, username, realm):
            raise RuntimeError("the database is gone")

    stage.server._credentials = Broken()
    async with RawClient(stage.udp_port) as client:
        assert (await client.ask(client.request("REGISTER", headers=(CLAIM,)))).status == 500
        assert await client.is_answered()


async def test_more_requests_than_may_wait_are_turned_away(server_context, trusting_context):
    config = SipServerConfig(realm=REALM, user_agent=UserAgentConfig(maximum_pending=1))
    gate = asyncio.Event()

    class Slow(StaticCredentials):
        async def lookup(self, username, realm):
            await gate.wait()
            return await super().lookup(username, realm)

    async with Stage(server_context, trusting_context, config) as stage:
        stage.server._credentials = Slow()
        async with RawClient(stage.udp_port) as client:
            client.send(client.request("REGISTER", headers=(CLAIM,)))
            client.send(client.request("REGISTER", headers=(CLAIM,)))
            turned_away = await client.response()
            assert turned_away.status == 503
            assert turned_away.headers.get("Retry-After") == "5"
            gate.set()
            assert (await client.response()).status == 401


async def test_a_phone_that_proved_who_it_is_may_be_silent(server_context, trusting_context):
    """The idle limit of a WebSocket ends with its first good digest."""
    stage = Stage(server_context, trusting_context)
    async with stage:
        phone = await (await stage.phone("6001", TransportKind.WS)).registered()
        assert phone.registration is not None
        listener = stage.server.user_agent._layer._websocket
        (connection,) = listener._connections.values()
        assert connection._kept


async def test_a_socket_lost_while_its_user_is_looked_up_binds_nothing(stage):
    asked, gate = asyncio.Event(), asyncio.Event()

    class Slow(StaticCredentials):
        async def lookup(self, username, realm):
            asked.set()
            await gate.wait()
            return await super().lookup(username, realm)

    stage.server._credentials = Slow()
    phone = await stage.phone("6001", TransportKind.WS)
    phone.register()
    await asked.wait()
    await phone.leave()
    gate.set()
    async with RawClient(stage.udp_port) as client:
        assert await client.is_answered()
    assert stage.server.bindings("6001") == []


async def test_who_had_us_connect_by_its_contact_is_no_server_of_ours() -> None:
    """A far end names where it is reached; a call that outlives its connection goes there."""
    connected: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    listening = [
        await asyncio.start_server(lambda _, writer: connected.put_nowait(writer), "127.0.0.1", 0)
        for _ in range(2)
    ]
    provider, stranger = (each.sockets[0].getsockname()[1] for each in listening)
    async with UserAgent() as agent:
        agent.open_streams("provider")
        way = Uri.parse(f"sip:127.0.0.1:{provider};transport=tcp")
        flow = await agent.flow_to(way, "provider")
        agent._layer.send(flow.at("127.0.0.1", stranger), b"BYE sip:b@h SIP/2.0\r\n\r\n")
        writers = [await asyncio.wait_for(connected.get(), PATIENCE_S) for _ in listening]
        (opened,) = (each for each in agent._open_flows if each.port == stranger)
        assert not agent.is_server_of_ours(opened)
        assert agent.is_server_of_ours(flow)
        for writer in writers:
            writer.close()
        for each in listening:
            each.close()


async def test_nobody_takes_over_a_call_of_another_by_its_contact(stage: Stage) -> None:
    """Its connection is lost, and somebody else registers where its phone was."""
    phone = await (await stage.phone("6001", TransportKind.TCP)).registered()
    call = stage.call("6001")
    (await phone.invitation()).accept(ANSWER)
    await until(call.events(), Answered)
    (binding,) = stage.server.bindings("6001")
    stage.cut(binding.flow)
    await until(stage.server.registrations(), registrar.Unregistered)
    elsewhere = Flow(TransportKind.TCP, "127.0.0.1", 9, "stream", 4711)
    stage.server._came_back(replace(binding, user="6002", flow=elsewhere))
    assert call.flow != elsewhere
    stage.server._came_back(replace(binding, flow=elsewhere))
    assert call.flow == elsewhere


async def test_a_fault_of_ours_with_one_subscription_ends_nothing_else() -> None:
    def opened(usage: object) -> None:
        raise KeyError("a state that nobody thought of")

    async def admit(request: object, flow: Flow) -> AdmitSubscription:
        return AdmitSubscription(60, opened, lambda usage: None)

    allow = ("INVITE", "ACK", "BYE", "OPTIONS", "SUBSCRIBE")
    async with UserAgent(UserAgentConfig(allow=allow), handler=admit) as agent:
        _, port = await agent.listen_udp("127.0.0.1", 0)
        async with RawClient(port) as client:
            taken = await client.ask(client.request("SUBSCRIBE", headers=("Event: dialog",)))
            assert taken.status == 200
            assert await client.is_answered()


DOMAIN = "acme.example.com"


@pytest.mark.parametrize(
    ("method", "whose", "uri", "status"),
    [
        ("INVITE", "globex.example.com", f"sip:6002@{DOMAIN}", 403),
        ("MESSAGE", "globex.example.com", f"sip:6002@{DOMAIN}", 403),
        ("SUBSCRIBE", "globex.example.com", f"sip:6002@{DOMAIN}", 403),
        ("INVITE", DOMAIN, "sip:6002@globex.example.com", 404),
        ("MESSAGE", DOMAIN, "sip:6002@globex.example.com", 404),
        ("REGISTER", DOMAIN, "sip:globex.example.com", 404),
        ("REGISTER", "globex.example.com", f"sip:{DOMAIN}", 404),
    ],
)
async def test_s6_an_address_of_a_domain_that_is_not_served_is_nobodys(
    server_context, trusting_context, method, whose, uri, status
):
    """Neither whom it is from nor whom it is for: there may be one of that number there."""
    config = SipServerConfig(realm=REALM, registrar=RegistrarSettings(domains=frozenset({DOMAIN})))
    async with (
        Stage(server_context, trusting_context, config) as stage,
        RawClient(stage.udp_port, domain=whose) as client,
    ):
        body, headers = b"", ("Event: presence",)
        if method == "MESSAGE":
            body, headers = b"Guten Tag", ("Content-Type: text/plain",)
        if method == "REGISTER":  # of which it is said before anybody looks who asks
            answer = await client.ask(client.request(method, uri=uri))
        else:
            answer = await client.authorised(
                method, "6001", USERS["6001"], uri=uri, headers=headers, body=body
            )
        assert answer.status == status
        # Who knows us by our address alone means nobody else.
        client.domain = DOMAIN
        own = await client.authorised("REGISTER", "6001", USERS["6001"], uri=f"sip:{DOMAIN}")
        assert own.status == 200
        client.domain = "127.0.0.1"
        headers = ("Content-Type: text/plain",)
        own = await client.authorised(
            "MESSAGE",
            "6001",
            USERS["6001"],
            uri="sip:6002@127.0.0.1",
            headers=headers,
            body=b"Guten Tag",
        )
        assert own.status == 480  # 6002 has no telephone now
