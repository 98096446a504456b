"""Our agent registered at an outside Kamailio: calls with a baresip behind it, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
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
    DigitDetected,
    DigitsGenerated,
    Established,
    Held,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.stack import Direction
from signaling.sip.uri import Uri
from signaling.user_agent import UserAgent

from .desk import Desk
from .peers.baresip import Baresip
from .peers.chromium import Chromium
from .peers.hearing import hear
from .peers.jssip import JsSip
from .peers.kamailio import Kamailio
from .peers.rtpengine import Rtpengine
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("6002")
AGENT_HZ, CUSTOMER_HZ = 1400, 1010


def outside(kamailio: Kamailio, server: str, directory: Path, **account: object) -> Desk:
    """The agent 6001, a tone station, with an account at Kamailio."""
    return Desk(
        directory,
        stations={AGENT: AGENT_HZ},
        webrtc=True,
        settings={
            "account": [
                {
                    "device": AGENT,
                    "server": server,
                    "domain": kamailio.address,
                    "password": kamailio.password,
                    "ca": str(kamailio.ca_file) if _is_secret(server) else None,
                    "expires_s": 60,
                    "media": "rtp",
                    **account,
                }
            ]
        },
    )


def _is_secret(server: str) -> bool:
    return server.startswith(("wss:", "sips:")) or server.endswith("=tls")


@pytest.fixture(
    params=[
        *[(scheme, "rtp") for scheme in ("wss", "ws", "udp", "tcp", "tls")],
        ("wss", "webrtc"),
        ("udp", "webrtc"),
    ],
    ids="-".join,
)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """How signalling goes to the server, and how audio."""
    scheme, media = request.param
    return str(scheme), str(media)


@pytest.fixture
async def server(way: tuple[str, str], tmp_path: Path) -> AsyncIterator[Kamailio]:
    """Kamailio; with rtpengine where audio is WebRTC, for the customer's telephone knows RTP."""
    async with AsyncExitStack() as stack:
        relay = None
        if way[1] == "webrtc":
            relay = (await stack.enter_async_context(Rtpengine(tmp_path / "rtpengine"))).control
        yield await stack.enter_async_context(Kamailio(tmp_path / "kamailio", rtpengine=relay))


@pytest.fixture
async def desk(server: Kamailio, way: tuple[str, str], tmp_path: Path) -> AsyncIterator[Desk]:
    scheme, media = way
    urls = {
        "wss": server.wss_url,
        "ws": server.ws_url,
        "udp": f"sip:{server.address}",
        "tcp": server.tcp_uri,
        "tls": server.tls_uri,
    }
    async with outside(server, urls[scheme], tmp_path / "state", media=media) as endpoint:
        await endpoint.event(DeviceRegistered, device=AGENT)
        yield endpoint


@pytest.fixture
async def customer(server: Kamailio, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "customer",
        CUSTOMER,
        server.address,
        password=server.password,
        tone_hz=CUSTOMER_HZ,
    ) as phone:
        yield phone


async def test_the_agent_calls_holds_retrieves_presses_keys_and_hangs_up(
    desk: Desk, customer: Baresip
) -> None:
    await desk.do(MakeCall(AGENT, CUSTOMER))
    assert (await customer.ringing())["peeruri"].startswith(f"sip:{AGENT}@")
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

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
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_the_customer_calls_holds_retrieves_presses_keys_and_hangs_up(
    desk: Desk, customer: Baresip
) -> None:
    await customer.dial(AGENT)
    await customer.established()
    await desk.event(Established, device=AGENT)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await customer.hold()
    await desk.event(Held, device=CUSTOMER)
    await hear({desk.ear(AGENT): MUSIC_HZ, customer: set()})

    await customer.resume()
    await desk.event(Retrieved, device=CUSTOMER)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await customer.send_digits("5")
    assert (await desk.event(DigitDetected, device=CUSTOMER)).digits == "5"
    await customer.hang_up()
    assert (await desk.cleared()).cause is Cause.NORMAL


@pytest.mark.parametrize("scheme", ["wss", "udp"])
async def test_the_agent_is_known_by_the_gruu_that_kamailio_gives(
    kamailio: Kamailio, tmp_path: Path, scheme: str
) -> None:
    """What the customer's telephone sends in the call goes to that address, by Kamailio to us."""
    url = kamailio.wss_url if scheme == "wss" else f"sip:{kamailio.address}"
    async with (
        outside(kamailio, url, tmp_path / "state", gruu=True) as desk,
        Baresip(
            tmp_path / "customer",
            CUSTOMER,
            kamailio.address,
            password=kamailio.password,
            tone_hz=CUSTOMER_HZ,
        ) as customer,
    ):
        await desk.event(DeviceRegistered, device=AGENT)
        for begin in (desk.do(MakeCall(AGENT, CUSTOMER)), customer.dial(AGENT)):
            await begin
            if begin.__name__ == "do":
                await customer.ringing()
                await customer.accept()
            await desk.event(Established)
            await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
            await customer.hold()
            await desk.event(Held, device=CUSTOMER)
            await customer.hang_up()
            assert (await desk.cleared()).cause is Cause.NORMAL
        log = (tmp_path / "customer" / "baresip-6002.log").read_text()
        assert f"sip:{AGENT}@" in log
        assert ";gr=urn:uuid:" in log


async def test_a_browser_behind_kamailio_calls_the_agent(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    async with (
        outside(kamailio, kamailio.wss_url, tmp_path / "state") as desk,
        JsSip(
            tmp_path / "browser",
            CUSTOMER,
            kamailio.wss_url,
            domain=kamailio.address,
            password=kamailio.password,
            ca_file=kamailio.ca_file,
            tone_hz=CUSTOMER_HZ,
        ) as browser,
    ):
        await desk.event(DeviceRegistered, device=AGENT)
        await browser.dial(AGENT)
        await browser.established()
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, browser: {AGENT_HZ}})
        await browser.hang_up()
        await desk.cleared()


async def test_a_page_behind_kamailio_calls_the_agent(kamailio: Kamailio, tmp_path: Path) -> None:
    async with (
        outside(kamailio, kamailio.wss_url, tmp_path / "state") as desk,
        Chromium(
            tmp_path / "browser",
            CUSTOMER,
            kamailio.wss_url,
            domain=kamailio.address,
            password=kamailio.password,
            tone_hz=CUSTOMER_HZ,
        ) as browser,
    ):
        await desk.event(DeviceRegistered, device=AGENT)
        await browser.dial(AGENT)
        await browser.established()
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, browser: {AGENT_HZ}})
        await desk.do(HoldCall(AGENT))
        await desk.event(Held, device=AGENT)
        await hear({desk.ear(AGENT): set(), browser: MUSIC_HZ})
        await desk.do(RetrieveCall(AGENT))
        await desk.event(Retrieved, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, browser: {AGENT_HZ}})
        await browser.hang_up()
        await desk.cleared()


async def test_somebody_who_is_not_there(kamailio: Kamailio, tmp_path: Path) -> None:
    async with outside(kamailio, kamailio.wss_url, tmp_path / "state") as desk:
        await desk.event(DeviceRegistered, device=AGENT)
        await desk.do(MakeCall(AGENT, "6999"))
        assert (await desk.cleared()).sip_status == 480
        await desk.do(MakeCall(AGENT, "nobody"))
        over = await desk.cleared()
        assert (over.cause, over.sip_status) == (Cause.UNKNOWN_DEVICE, 404)


async def test_a_wrong_password(kamailio: Kamailio, tmp_path: Path) -> None:
    async with outside(kamailio, kamailio.wss_url, tmp_path / "state", password="wrong") as desk:
        refused = await desk.event(DeviceUnregistered, device=AGENT)
        assert (refused.cause, refused.sip_status) == (Cause.UNAUTHORISED, 401)


@pytest.mark.parametrize("way", ["wss", "tls"])
async def test_a_certificate_that_nobody_vouches_for(
    kamailio: Kamailio, tmp_path: Path, way: str
) -> None:
    server = kamailio.wss_url if way == "wss" else kamailio.tls_uri
    async with outside(kamailio, server, tmp_path / "state", ca=None) as desk:
        refused = await desk.event(DeviceUnregistered, device=AGENT)
        assert refused.cause is Cause.CERTIFICATE_REFUSED
        assert 'add ca = "FILE.pem"' in refused.text


async def test_a_certificate_of_another_name(tmp_path: Path) -> None:
    """RFC 5922 §7.3: the name that was asked for must be proved, though the CA is trusted."""
    async with (
        Kamailio(tmp_path / "kamailio", names=["pbx.example"]) as kamailio,
        outside(kamailio, kamailio.tls_uri, tmp_path / "state") as desk,
    ):
        refused = await desk.event(DeviceUnregistered, device=AGENT)
        assert refused.cause is Cause.CERTIFICATE_REFUSED
        assert "not for 127.0.0.1, but for pbx.example" in refused.text


async def test_a_request_that_is_too_large_for_a_datagram_goes_by_tcp(kamailio: Kamailio) -> None:
    sent: list[TransportKind] = []

    def note(direction: Direction, flow: Flow, octets: bytes, now: float) -> None:
        if direction is Direction.SENT:
            sent.append(flow.transport)

    async with UserAgent(trace=note) as agent:
        await agent.listen_udp("127.0.0.1", 0)
        target = Uri.parse(f"sip:{kamailio.address}")
        me = NameAddr("", Uri.parse("sip:6001@127.0.0.1"))
        for body in (b"", bytes(1300)):
            done = await agent.request(
                OutOfDialogRequest(
                    method="OPTIONS",
                    target=target,
                    from_=me,
                    to=me,
                    body=body,
                    content_type="text/plain",
                )
            )
            assert done.status == 200
    assert sent == [TransportKind.UDP, TransportKind.TCP]


async def test_a_server_that_is_not_there(kamailio: Kamailio, tmp_path: Path) -> None:
    async with outside(kamailio, "ws://127.0.0.1:9", tmp_path / "state") as desk:
        gone = await desk.event(DeviceUnregistered, device=AGENT)
        assert gone.cause is Cause.UNREACHABLE
