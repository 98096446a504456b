"""A server that is found by NAPTR and SRV of a real DNS server; the first of its hosts is dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Established
from endpoint.legs.base import DeviceId, DeviceRegistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.dnsmasq import Dnsmasq
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.process import free_port

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("6002")
AGENT_HZ, CUSTOMER_HZ = 1400, 1010
DOMAIN = "pbx.example.com"


@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_the_server_of_a_domain_is_found_and_a_dead_host_passed_over(
    tmp_path: Path, way: str
) -> None:
    async with Kamailio(tmp_path / "kamailio", names=[DOMAIN]) as kamailio:
        secure = way == "tls"
        service, name = ("SIPS+D2T", "_sips._tcp") if secure else ("SIP+D2T", "_sip._tcp")
        port = kamailio.tls_port if secure else kamailio.sip_port
        records = [
            f"naptr-record={DOMAIN},20,50,s,SIP+D2U,,_sip._udp.{DOMAIN}",
            f"naptr-record={DOMAIN},10,50,s,{service},,{name}.{DOMAIN}",
            f"srv-host={name}.{DOMAIN},dead.example.com,{free_port()},0,1",
            f"srv-host={name}.{DOMAIN},living.example.com,{port},1,1",
            "host-record=dead.example.com,127.0.0.1",
            "host-record=living.example.com,127.0.0.1",
        ]
        account = {
            "device": AGENT,
            "server": f"sips:{DOMAIN}" if secure else f"sip:{DOMAIN}",
            "password": kamailio.password,
            "ca": str(kamailio.ca_file),
        }
        async with (
            Dnsmasq(tmp_path / "dns", records) as dns,
            Desk(
                tmp_path / "state",
                stations={AGENT: AGENT_HZ},
                settings={"account": [account], "sip": {"port": 0, "dns": dns.address}},
            ) as desk,
            Baresip(
                tmp_path / "customer",
                CUSTOMER,
                kamailio.address,
                password=kamailio.password,
                tone_hz=CUSTOMER_HZ,
            ) as customer,
        ):
            registered = await desk.event(DeviceRegistered, device=AGENT)
            assert registered.server == DOMAIN
            assert f"transport={way}" in registered.contact
            await desk.do(MakeCall(AGENT, CUSTOMER))
            await customer.ringing()
            await customer.accept()
            await desk.event(Established, device=CUSTOMER)
            await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
            await desk.do(ClearConnection(AGENT))
            await customer.closed()
            await desk.cleared()
