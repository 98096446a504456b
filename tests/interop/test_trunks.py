"""Trunks with peers that we did not write: calls both ways, fail-over, digits, SRTP."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from endpoint.app.asking import only_call
from endpoint.callcontrol.commands import (
    ClearConnection,
    GenerateDigits,
    HoldCall,
    MakeCall,
    RetrieveCall,
    SingleStepTransfer,
)
from endpoint.callcontrol.events import (
    Delivered,
    DigitDetected,
    DigitsGenerated,
    Established,
    Held,
)
from endpoint.client.client import EndpointClient
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, TrunkDown, TrunkUp

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.process import free_port
from .peers.sipp import Sipp
from .peers.sound import dtmf_in, write_digits

pytestmark = pytest.mark.interop

AGENT, PHONE, CUSTOMER = DeviceId("6001"), DeviceId("6002"), DeviceId("30999")
AGENT_HZ, CUSTOMER_HZ = 1400, 1010
DID = "+4930100"


def office(
    directory: Path,
    *peers: str,
    sip_port: int = 0,
    sip: Mapping[str, Any] | None = None,
    **trunk: Any,
) -> Desk:
    """The agents 6001, a tone, and 6002, who has a telephone; their numbers go by one trunk."""
    facts = {
        "name": "carrier",
        "peers": list(peers),
        "outgoing": [{"match": "0*", "strip": 1}],
        "incoming": [{"match": DID, "to": AGENT}],
        "numbers": ["+4930*"],
        "default_number": DID,
        "options_interval_s": 0,
        **trunk,
    }
    settings = {
        "trunk": [facts],
        "calls": {"answer_timeout_s": 8.0},
        "sip": {"port": sip_port, "tls_port": 0, **(sip or {})},
    }
    return Desk(
        directory / "state", extensions=[PHONE], stations={AGENT: AGENT_HZ}, settings=settings
    )


def carrier(directory: Path, **facts: Any) -> Baresip:
    """A telephone that knows nobody and is registered nowhere: the far end of a trunk."""
    said = {"tone_hz": CUSTOMER_HZ, "register": False, "outbound": False, **facts}
    return Baresip(directory / "carrier", CUSTOMER, "127.0.0.1:9", password="unused", **said)


def at(phone: Baresip) -> str:
    return f"sip:127.0.0.1:{phone.sip_port}"


@pytest.fixture
def silent() -> Iterator[str]:
    """A peer that takes every datagram and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        yield f"sip:127.0.0.1:{hole.getsockname()[1]}"


async def calls_out(desk: Desk, phone: Baresip) -> None:
    """The agent dials the customer's number, who picks up; they hear each other."""
    await desk.do(MakeCall(AGENT, f"0{CUSTOMER}"))
    await phone.ringing()
    await phone.accept()
    await desk.event(Established, device=CUSTOMER_DIALLED)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})


CUSTOMER_DIALLED = DeviceId(f"0{CUSTOMER}")


async def test_calls_go_out_and_come_in_with_the_numbers_of_the_trunk(tmp_path: Path) -> None:
    phone = carrier(tmp_path)
    async with office(tmp_path, at(phone)) as desk, phone:
        await desk.do(MakeCall(AGENT, f"0{CUSTOMER}", calling_number="+4930777"))
        assert (await phone.ringing())["peeruri"].startswith("sip:+4930777@")
        await phone.accept()
        await desk.event(Established, device=CUSTOMER_DIALLED)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})
        await desk.do(GenerateDigits(AGENT, "12#"))
        assert await phone.digits(3) == "12#"
        await phone.send_digits("7")
        assert (await desk.event(DigitDetected, device=CUSTOMER_DIALLED)).digits == "7"
        await phone.hang_up()
        await phone.closed()
        assert (await desk.cleared()).cause is Cause.NORMAL

        await phone.dial(f"sip:{DID}@{desk.sip}")
        rang = await desk.event(Delivered, device=AGENT)
        assert (rang.calling, rang.called) == (CUSTOMER, AGENT)
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await phone.closed()
        await desk.cleared()

        await phone.dial(f"sip:+4930199@{desk.sip}")
        assert "404" in (await phone.closed())["param"]


@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_calls_go_out_and_come_in_over_tcp_and_over_tls_with_srtp(
    tmp_path: Path, way: str
) -> None:
    secret = way == "tls"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "carrier-ca.pem"))
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "carrier.pem"))
    facts = {"certificate": tmp_path / "carrier.pem", "srtp": True} if secret else {}
    phone = carrier(tmp_path, **facts)
    peer = f"sip:127.0.0.1:{phone.tls_port if secret else phone.sip_port};transport={way}"
    trunk = {"srtp": "required" if secret else "off"}
    believed = {"tls_ca": str(tmp_path / "carrier-ca.pem")}
    async with office(tmp_path, peer, sip=believed, **trunk) as desk, phone:
        await calls_out(desk, phone)
        await desk.do(ClearConnection(AGENT))
        await phone.closed()
        assert (await desk.cleared()).cause is Cause.NORMAL

        ours = desk.sip_tls if secret else desk.sip_tcp
        await phone.dial(f"sip:{DID}@{ours};transport={way}")
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})
        await phone.hang_up()
        await desk.cleared()


async def test_a_number_that_is_not_the_trunk_s_is_never_sent(tmp_path: Path) -> None:
    async with office(tmp_path, "sip:127.0.0.1:9") as desk:
        await desk.do(MakeCall(AGENT, f"0{CUSTOMER}", calling_number="+4989123"))
        over = await desk.cleared()
        assert (over.cause, over.sip_status) == (Cause.CALLER_NOT_ALLOWED, None)


async def test_the_call_finds_the_one_peer_of_four_that_takes_it(
    tmp_path: Path, silent: str
) -> None:
    phone = carrier(tmp_path)
    dead = f"sip:127.0.0.1:{free_port()}"
    async with Sipp(tmp_path, "uas_unavailable", "127.0.0.1:9", user=CUSTOMER, status=503) as sipp:
        peers = [f"sip:127.0.0.1:{sipp.sip_port}", silent, dead]
        ranked = [{"uri": uri, "priority": rank} for rank, uri in enumerate(peers)]
        trunk = {"peers": [*ranked, {"uri": at(phone), "priority": 9}], "first_response_s": 0.4}
        async with office(tmp_path, **trunk) as desk, phone:
            await calls_out(desk, phone)
            await sipp.finished()
            await desk.do(ClearConnection(AGENT))
            await phone.closed()
            await desk.cleared()


async def test_after_it_has_rung_no_other_peer_is_tried(tmp_path: Path, silent: str) -> None:
    async with Sipp(tmp_path, "uas_refuses", "127.0.0.1:9", user=CUSTOMER, status=503) as sipp:
        peers = [f"sip:127.0.0.1:{sipp.sip_port}", {"uri": silent, "priority": 2}]
        async with office(tmp_path, peers=peers) as desk:
            await desk.do(MakeCall(AGENT, f"0{CUSTOMER}"))
            await sipp.finished()
            over = await desk.cleared()
            assert (over.cause, over.sip_status) == (Cause.NETWORK_FAILURE, 503)


async def test_a_trunk_that_is_down_is_told_and_comes_back(tmp_path: Path) -> None:
    phone = carrier(tmp_path)
    async with office(tmp_path, at(phone), options_interval_s=0.5) as desk:
        assert (await desk.event(TrunkDown)).cause is Cause.UNREACHABLE
        await desk.do(MakeCall(AGENT, f"0{CUSTOMER}"))
        assert (await desk.cleared()).cause is Cause.TRUNKS_DOWN
        async with phone:
            await desk.event(TrunkUp, trunk="carrier")
            await calls_out(desk, phone)
            await desk.do(ClearConnection(AGENT))
            await phone.closed()
            await desk.cleared()


async def test_digits_go_out_in_info_and_nothing_of_the_agent_s_telephone_does(
    tmp_path: Path,
) -> None:
    async with Sipp(tmp_path, "uas", "127.0.0.1:9", user=CUSTOMER) as sipp:
        async with (
            office(tmp_path, f"sip:127.0.0.1:{sipp.sip_port}", dtmf="info") as desk,
            Baresip(
                tmp_path / "agent", PHONE, desk.sip, password=desk.password, tone_hz=AGENT_HZ
            ) as phone,
        ):
            await desk.event(DeviceRegistered, device=PHONE)
            await desk.do(MakeCall(PHONE, f"0{CUSTOMER}"))
            await phone.ringing()
            await phone.accept()
            await desk.event(Established, device=CUSTOMER_DIALLED)
            await hear({phone: {AGENT_HZ}})  # the far end's echo
            await desk.do(GenerateDigits(PHONE, "5#"))
            assert (await desk.event(DigitsGenerated)).digits == "5#"
            await phone.send_digits("7")
            assert (await desk.event(DigitsGenerated)).digits == "7"
            await hear({phone: {AGENT_HZ}})
            await desk.do(ClearConnection(PHONE))
            await sipp.finished()
        told = sipp.messages()
        pressed = [line for line in told.splitlines() if line.startswith("Signal=")]
        assert pressed == ["Signal=5", "Signal=#", "Signal=7"]
        for secret in (PHONE, str(phone.sip_port), "baresip"):
            assert secret not in told


async def test_digits_in_info_of_both_forms_and_who_was_called_first(tmp_path: Path) -> None:
    async with (
        office(tmp_path, "sip:127.0.0.1:9") as desk,
        Sipp(tmp_path, "uac_trunk", desk.sip, user="4989555", target=DID) as sipp,
    ):
        rang = await desk.event(Delivered, device=AGENT)
        assert (rang.calling, rang.calling_name) == ("+4989123", "Customer")
        assert (rang.first_called, rang.last_redirection) == ("+49301", "+49302")
        digits = [(await desk.event(DigitDetected, device="+4989123")).digits for _ in range(2)]
        await sipp.finished()
        assert digits == ["1", "9"]
        await desk.cleared()


async def test_a_caller_who_is_withheld_is_anonymous(tmp_path: Path) -> None:
    async with (
        office(tmp_path, "sip:127.0.0.1:9") as desk,
        Sipp(tmp_path, "uac_withheld", desk.sip, user="4989555", target=DID) as sipp,
    ):
        rang = await desk.event(Delivered, device=AGENT)
        assert (rang.calling, rang.calling_name, rang.withheld) == ("anonymous", "", True)
        await sipp.finished()
        await desk.cleared()
        assert await desk.endpoint.journal.settled(10)
        (record,) = await desk.endpoint.records.latest(1)
        assert record.calling == "anonymous"


async def test_a_caller_whose_number_is_no_text_is_answered_like_others(tmp_path: Path) -> None:
    """One such INVITE ended the endpoint with all its calls."""
    async with (
        office(tmp_path, "sip:127.0.0.1:9") as desk,
        Sipp(tmp_path, "uac_claims", desk.sip, user="%e4%f6", target=DID) as sipp,
    ):
        talks = await desk.event(Established, device=AGENT)
        assert talks.calling == "\N{REPLACEMENT CHARACTER}" * 2
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
        assert (await desk.cleared()).cause is Cause.NORMAL


async def test_s12_a_caller_who_says_the_number_of_a_device_is_never_that_device(
    tmp_path: Path,
) -> None:
    """SIPp calls our telephone and says that it is the agent, who talks with a customer, then not.

    It would fail at a re-INVITE, an INFO, or an end before that of the telephone's own command.
    """
    customer = carrier(tmp_path)
    incoming = [{"match": DID, "to": PHONE}]
    telephone_hz = 1800
    async with (
        office(tmp_path, at(customer), incoming=incoming) as desk,
        customer,
        Baresip(
            tmp_path / "phone", PHONE, desk.sip, password=desk.password, tone_hz=telephone_hz
        ) as telephone,
    ):
        await desk.event(DeviceRegistered, device=PHONE)
        await calls_out(desk, customer)
        trust = ssl.create_default_context(cafile=desk.ca_file)
        async with (
            EndpointClient(desk.endpoint.url, desk.endpoint.token, ssl_context=trust) as client,
            Sipp(tmp_path, "uac_claims", desk.sip, user=AGENT, target=DID) as sipp,
        ):
            await telephone.ringing()
            await telephone.accept()
            talks = await desk.event(Established, device=PHONE)
            assert (talks.calling, talks.called) == (AGENT, PHONE)
            devices = {each.device: each.calls for each in await client.devices()}
            assert talks.call not in devices[AGENT]
            assert len(devices[AGENT]) == 1
            assert devices[PHONE] == [talks.call]
            assert await only_call(client, AGENT) == devices[AGENT][0]

            await desk.do(HoldCall(AGENT))
            await desk.event(Held, device=AGENT, from_outside=False)
            await desk.do(RetrieveCall(AGENT))
            await desk.do(GenerateDigits(AGENT, "1"))
            assert await customer.digits(1) == "1"
            await desk.do(ClearConnection(AGENT))
            await customer.closed()
            await desk.cleared(device=AGENT, from_outside=False)

            for command in (HoldCall(AGENT), ClearConnection(AGENT)):
                with pytest.raises(CommandRejected) as refusal:
                    await desk.do(command)
                assert refusal.value.reason == "unknown_call"
            with pytest.raises(CommandRejected) as refusal:
                await desk.do(SingleStepTransfer(AGENT, f"0{CUSTOMER}", talks.call))
            assert refusal.value.reason == "not_in_call"
            await hear({telephone: {telephone_hz}})  # the stranger's echo
            await desk.do(ClearConnection(PHONE))
            await sipp.finished()
            await desk.cleared(device=AGENT, from_outside=True)


async def test_digits_are_tones_both_ways_where_the_trunk_has_them_in_band(
    tmp_path: Path,
) -> None:
    spoken = write_digits(tmp_path / "digits.wav", "159D")
    phone = carrier(tmp_path, says=spoken)
    async with office(tmp_path, at(phone), dtmf="inband") as desk, phone:
        await desk.do(MakeCall(AGENT, f"0{CUSTOMER}"))
        await phone.ringing()
        await phone.accept()
        await desk.event(Established, device=CUSTOMER_DIALLED)
        heard = [
            (await desk.event(DigitDetected, device=CUSTOMER_DIALLED)).digits for _ in range(8)
        ]
        assert "159D" in "".join(heard)
        await hear({phone: {AGENT_HZ}})
        await desk.do(GenerateDigits(AGENT, "2222222222"))
        assert dtmf_in(await phone.listen(ms=800)) == {"2"}
        await desk.event(DigitsGenerated)
        await hear({phone: {AGENT_HZ}})
        await phone.hang_up()
        await desk.cleared()


async def test_srtp_is_required_both_ways(tmp_path: Path) -> None:
    phone = carrier(tmp_path, account=";mediaenc=srtp-mand")
    async with office(tmp_path, at(phone), srtp="required") as desk, phone:
        await calls_out(desk, phone)
        await desk.do(ClearConnection(AGENT))
        await phone.closed()
        await desk.cleared()
        await phone.dial(f"sip:{DID}@{desk.sip}")
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})
        (call,) = desk.endpoint.controller.calls()
        counted = await desk.endpoint.exchange.read_statistics(call.connections[0].leg)
        assert counted.srtp_profile == "AES_CM_128_HMAC_SHA1_80"
        await phone.hang_up()
        await desk.cleared()


@pytest.mark.parametrize(
    ("account", "profile"), [(";mediaenc=srtp", "AES_CM_128_HMAC_SHA1_80"), ("", None)]
)
async def test_srtp_is_spoken_where_both_know_it(
    tmp_path: Path, account: str, profile: str | None
) -> None:
    phone = carrier(tmp_path, account=account)
    async with office(tmp_path, at(phone), srtp="optional") as desk, phone:
        await calls_out(desk, phone)
        (call,) = desk.endpoint.controller.calls()
        counted = await desk.endpoint.exchange.read_statistics(call.connections[1].leg)
        assert counted.srtp_profile == profile
        await desk.do(ClearConnection(AGENT))
        await phone.closed()
        await desk.cleared()
        await phone.dial(f"sip:{DID}@{desk.sip}")
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, phone: {AGENT_HZ}})
        (call,) = desk.endpoint.controller.calls()
        counted = await desk.endpoint.exchange.read_statistics(call.connections[0].leg)
        assert counted.srtp_profile == profile
        await phone.hang_up()
        await desk.cleared()


async def test_who_speaks_no_srtp_gets_no_call_where_it_is_required(tmp_path: Path) -> None:
    phone = carrier(tmp_path)
    async with office(tmp_path, at(phone), srtp="required") as desk, phone:
        await desk.do(MakeCall(AGENT, f"0{CUSTOMER}"))
        await phone.closed()
        assert (await desk.cleared()).cause is Cause.INCOMPATIBLE_MEDIA
        await phone.dial(f"sip:{DID}@{desk.sip}")
        assert "488" in (await phone.closed())["param"]


@pytest.mark.parametrize("way", ["udp", "tcp"])
async def test_kamailio_carries_calls_both_ways_without_a_password(
    tmp_path: Path, way: str
) -> None:
    port = free_port()
    server = Kamailio(tmp_path / "kamailio", trunk=f"127.0.0.1:{port};transport={way}")
    peer = f"sip:{server.address};transport={way}"
    desk = office(tmp_path, peer, sip_port=port, options_interval_s=0.5)
    async with server, desk, behind(server, tmp_path) as customer:
        await desk.event(TrunkUp, trunk="carrier")
        await desk.do(MakeCall(AGENT, "06002"))
        assert (await customer.ringing())["peeruri"].startswith(f"sip:{DID}@")
        await customer.accept()
        await desk.event(Established, device="06002")
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await customer.closed()
        await desk.cleared()

        await customer.dial(DID)
        assert (await desk.event(Delivered, device=AGENT)).calling == "6002"
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await customer.hang_up()
        await desk.cleared()


async def test_an_account_at_kamailio_is_a_trunk(kamailio: Kamailio, tmp_path: Path) -> None:
    account = {
        "device": "carrier",
        "username": "6009",
        "server": f"sip:{kamailio.address}",
        "domain": kamailio.address,
        "password": kamailio.password,
        "expires_s": 60,
    }
    trunk = {
        "name": "carrier",
        "account": "carrier",
        "outgoing": [{"match": "0*", "strip": 1}],
        "incoming": [{"match": "6009", "to": AGENT}],
        "default_number": "6009",
    }
    async with (
        Desk(
            tmp_path / "state",
            stations={AGENT: AGENT_HZ},
            settings={"account": [account], "trunk": [trunk]},
        ) as desk,
        behind(kamailio, tmp_path) as customer,
    ):
        await desk.event(TrunkUp, trunk="carrier")
        assert not [event for event in desk.told if isinstance(event, DeviceRegistered)]
        await desk.do(MakeCall(AGENT, "06002"))
        await customer.ringing()
        await customer.accept()
        await desk.event(Established, device="06002")
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await customer.hang_up()
        await desk.cleared()
        await customer.dial("6009")
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await customer.closed()
        await desk.cleared()


def behind(server: Kamailio, directory: Path) -> Baresip:
    """A customer's telephone at Kamailio."""
    return Baresip(
        directory / "customer",
        "6002",
        server.address,
        password=server.password,
        tone_hz=CUSTOMER_HZ,
    )
