"""What an outside server learns of the inside: nothing but what it must be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.storage.extensions import Extension
from signaling.server import SipServer, SipServerConfig
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.stack import Direction
from signaling.sip.uri import Uri
from signaling.user_agent import Account, InviteRequest, UserAgent, UserAgentConfig
from tests.integration.signaling.stage import OFFER, REALM, USERS, StaticCredentials, ending, within

from .conftest import PASSWORD, configuration

pytestmark = pytest.mark.integration

INSIDE, OUTSIDE = "127.0.0.2", "127.0.0.3"
INNER_OFFER = OFFER.replace(b"127.0.0.1", b"10.9.8.7").replace(b"s=-", b"s=inner-session")
INNER_NAME = "inner-phone/9.9"


@pytest.mark.parametrize("hide", [True, False])
async def test_an_outside_server_learns_nothing_of_the_phone_that_calls(
    tmp_path: Path, hide: bool
) -> None:
    """6001's phone calls through 6001's account outside; where asked, we don't say what we are."""
    sent: list[bytes] = []

    def trace(way: Direction, flow: Flow, octets: bytes, now: float) -> None:
        if way is Direction.SENT and flow.host == OUTSIDE:
            sent.append(octets)

    async with SipServer(SipServerConfig(realm=REALM), StaticCredentials()) as outer:
        _, outer_port = await outer.listen_udp(OUTSIDE, 0)
        account = {
            "device": "6001",
            "server": f"sip:{OUTSIDE}:{outer_port}",
            "password": USERS["6001"],
        }
        config = configuration(
            tmp_path / "state",
            sip={"hide_from": [f"{OUTSIDE}/32"] if hide else []},
            account=[account],
        )
        async with (
            Endpoint(config, trace=trace) as endpoint,
            UserAgent(UserAgentConfig(name=INNER_NAME)) as phone,
        ):
            realm, (host, port) = config.sip.realm, endpoint.sip_address
            await add_extension(endpoint.extensions, realm, Extension("6001"), PASSWORD)
            await within(outer.registrations())
            await phone.listen_udp(INSIDE, 0)
            mine = DigestCredentials("6001", password=PASSWORD)
            server = Uri("sip", host=host, port=port)
            aor = Uri("sip", "6001", host=host)
            await phone.register(
                Account(name="6001", aor=aor, credentials=mine, registrar=server)
            ).outcome()
            dialled = phone.invite(
                InviteRequest(
                    target=Uri("sip", "10086", host=host, port=port),
                    from_=NameAddr("", aor),
                    to=NameAddr("", Uri("sip", "10086", host=host)),
                    sdp=INNER_OFFER,
                    credentials=mine,
                )
            )
            came = await within(outer.invitations())
            assert came.request.uri.user == "10086"
            came.reject(486)
            assert (await ending(dialled)).status == 486
            call_id = dialled.call_id.encode()
    said = b"".join(sent)
    assert said.count(b"INVITE sip:10086@") == 2  # one without a proof before
    for inner in (INSIDE.encode(), b"10.9.8.7", INNER_NAME.encode(), b"inner-session", call_id):
        assert inner not in said, inner
    for name in (b"User-Agent: ", b"agent-endpoint"):
        assert (name in said) is not hide
