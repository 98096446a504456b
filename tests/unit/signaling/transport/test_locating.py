"""Where a SIP URI leads (RFC 3263 §4), asked of a resolver that answers from a zone."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from signaling.errors import TransportError
from signaling.sip.flow import TransportKind
from signaling.sip.uri import Uri
from signaling.transport.locating import (
    MOST_TRIED,
    Destination,
    DnsResolver,
    Locator,
    Naptr,
    Srv,
    in_order,
)

pytestmark = pytest.mark.unit

UDP, TCP, TLS = TransportKind.UDP, TransportKind.TCP, TransportKind.TLS
ALL = {(kind, ipv6) for kind in (UDP, TCP, TLS) for ipv6 in (False, True)}


class Zone:
    """What is in DNS; notes what was asked."""

    def __init__(self) -> None:
        self.naptrs: dict[str, list[Naptr]] = {}
        self.srvs: dict[str, list[Srv]] = {}
        self.hosts: dict[str, list[str]] = {}
        self.asked: list[str] = []

    async def naptr(self, domain: str) -> list[Naptr]:
        self.asked.append(f"NAPTR {domain}")
        return self.naptrs.get(domain, [])

    async def srv(self, name: str) -> list[Srv]:
        self.asked.append(f"SRV {name}")
        return self.srvs.get(name, [])

    async def addresses(self, host: str) -> list[str]:
        self.asked.append(f"A {host}")
        if host not in self.hosts:
            raise TransportError(f"host {host} can't be resolved")
        return self.hosts[host]


@pytest.fixture
def zone() -> Zone:
    """The example of RFC 3263 §4: TLS before TCP before UDP; two servers for TCP."""
    zone = Zone()
    zone.naptrs["example.com"] = [
        Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com"),
        Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
        Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(10, 50, "s", "SIP+D2S", "_sip._sctp.example.com"),
    ]
    zone.srvs["_sips._tcp.example.com"] = [Srv(0, 1, 5061, "tls.example.com")]
    zone.srvs["_sip._tcp.example.com"] = [
        Srv(1, 1, 5060, "server2.example.com"),
        Srv(0, 1, 5070, "server1.example.com"),
    ]
    zone.srvs["_sip._udp.example.com"] = [Srv(0, 1, 5080, "server1.example.com")]
    zone.hosts = {
        "example.com": ["192.0.2.9"],
        "tls.example.com": ["192.0.2.3"],
        "server1.example.com": ["192.0.2.1", "2001:db8::1"],
        "server2.example.com": ["192.0.2.2"],
    }
    return zone


async def places(
    zone: Zone, uri: str, families: set[tuple[TransportKind, bool]] | None = None
) -> list[tuple[TransportKind, str, int]]:
    search = await Locator(zone, Random(1)).locate(Uri.parse(uri), families or ALL)
    found = []
    while search.has_more and (place := await search.next()) is not None:
        found.append((place.transport, place.host, place.port))
    return found


async def test_naptr_says_the_transport_and_srv_the_host(zone: Zone) -> None:
    assert await places(zone, "sip:example.com") == [(TLS, "192.0.2.3", 5061)]


async def test_a_transport_that_we_do_not_have_is_passed_over(zone: Zone) -> None:
    without = {(kind, ipv6) for kind, ipv6 in ALL if kind is not TLS}
    assert await places(zone, "sip:example.com", without) == [
        (TCP, "192.0.2.1", 5070),
        (TCP, "2001:db8::1", 5070),
        (TCP, "192.0.2.2", 5060),
    ]


async def test_sips_goes_by_tls_alone(zone: Zone) -> None:
    assert await places(zone, "sips:example.com") == [(TLS, "192.0.2.3", 5061)]
    del zone.naptrs["example.com"], zone.srvs["_sips._tcp.example.com"]
    assert await places(zone, "sips:example.com") == [(TLS, "192.0.2.9", 5061)]


async def test_without_naptr_each_transport_s_srv_is_asked_for(zone: Zone) -> None:
    zone.naptrs.clear()
    assert await places(zone, "sip:example.com") == [
        (UDP, "192.0.2.1", 5080),
        (UDP, "2001:db8::1", 5080),
        (TCP, "192.0.2.1", 5070),
        (TCP, "2001:db8::1", 5070),
        (TCP, "192.0.2.2", 5060),
    ]


async def test_without_any_of_them_it_is_udp_at_the_default_port(zone: Zone) -> None:
    zone.naptrs.clear()
    zone.srvs.clear()
    assert await places(zone, "sip:example.com") == [(UDP, "192.0.2.9", 5060)]


async def test_a_transport_in_the_uri_skips_naptr(zone: Zone) -> None:
    assert await places(zone, "sip:example.com;transport=udp") == [
        (UDP, "192.0.2.1", 5080),
        (UDP, "2001:db8::1", 5080),
    ]
    assert await places(zone, "sip:example.com;transport=tls") == [(TLS, "192.0.2.3", 5061)]
    assert not any(question.startswith("NAPTR") for question in zone.asked)


async def test_a_port_in_the_uri_skips_naptr_and_srv(zone: Zone) -> None:
    assert await places(zone, "sip:example.com:5099") == [(UDP, "192.0.2.9", 5099)]
    assert await places(zone, "sip:example.com:5099;transport=tcp") == [(TCP, "192.0.2.9", 5099)]
    assert await places(zone, "sips:example.com:5099") == [(TLS, "192.0.2.9", 5099)]
    assert set(zone.asked) == {"A example.com"}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:192.0.2.7", (UDP, "192.0.2.7", 5060)),
        ("sip:192.0.2.7;transport=tcp", (TCP, "192.0.2.7", 5060)),
        ("sips:[2001:db8::7]", (TLS, "2001:db8::7", 5061)),
        ("sips:192.0.2.7;transport=tcp", (TLS, "192.0.2.7", 5061)),
        ("sip:example.com;maddr=192.0.2.8", (UDP, "192.0.2.8", 5060)),
    ],
)
async def test_a_number_is_asked_nobody_about(zone: Zone, uri: str, expected: object) -> None:
    assert await places(zone, uri) == [expected]
    assert zone.asked == []


async def test_what_a_tls_server_must_prove_is_the_domain_not_its_host(zone: Zone) -> None:
    """RFC 5922 §4: whoever answers DNS must not choose the name."""
    search = await Locator(zone, Random(1)).locate(Uri.parse("sips:example.com"), ALL)
    assert await search.next() == Destination(TLS, "192.0.2.3", 5061, "example.com")


async def test_a_host_without_an_address_is_passed_over(zone: Zone) -> None:
    del zone.hosts["server1.example.com"]
    assert await places(zone, "sip:example.com;transport=tcp") == [(TCP, "192.0.2.2", 5060)]
    zone.hosts.clear()
    with pytest.raises(TransportError, match="can't be resolved"):
        await places(zone, "sip:example.com")


async def test_a_host_is_asked_for_when_those_before_it_have_failed(zone: Zone) -> None:
    """Else the first would wait for a host that nobody knows, or knows late."""
    uri = Uri.parse("sip:example.com;transport=tcp")
    search = await Locator(zone, Random(1)).locate(uri, ALL)
    assert await search.next() == Destination(TCP, "192.0.2.1", 5070, "example.com")
    assert zone.asked == ["SRV _sip._tcp.example.com", "A server1.example.com"]
    assert search.has_more


async def test_no_more_is_tried_than_a_call_can_wait_for(zone: Zone) -> None:
    zone.srvs["_sips._tcp.example.com"] = [
        Srv(0, 1, port, f"{port}.example.com") for port in range(5000)
    ]
    zone.hosts.update((f"{port}.example.com", ["192.0.2.1", "192.0.2.2"]) for port in range(5000))
    assert len(await places(zone, "sip:example.com")) == MOST_TRIED
    assert len(zone.asked) < 3 * MOST_TRIED
    zone.naptrs["example.com"] = [
        Naptr(0, 0, "s", "SIP+D2T", f"_sip._tcp.{number}.example.com") for number in range(5000)
    ]
    zone.asked.clear()
    assert await places(zone, "sip:example.com")
    assert len(zone.asked) < 3 * MOST_TRIED


async def test_addresses_of_a_family_that_we_do_not_have_are_passed_over(zone: Zone) -> None:
    assert await places(zone, "sip:example.com;transport=udp", {(UDP, True)}) == [
        (UDP, "2001:db8::1", 5080)
    ]
    with pytest.raises(TransportError, match="no address"):
        await places(zone, "sip:server2.example.com:5060", {(UDP, True)})
    with pytest.raises(TransportError, match=r"no UDP listener can reach 192\.0\.2\.1"):
        await places(zone, "sip:192.0.2.1", {(UDP, True)})


async def test_a_dot_says_that_there_is_no_such_service(zone: Zone) -> None:
    zone.srvs["_sips._tcp.example.com"] = [Srv(0, 0, 0, "")]
    assert (await places(zone, "sip:example.com"))[0] == (TCP, "192.0.2.1", 5070)


@pytest.mark.parametrize(
    "uri", ["sip:192.0.2.1;transport=sctp", "sips:192.0.2.1;transport=udp", "sip:h;transport=ws"]
)
async def test_a_transport_that_nobody_here_speaks_is_an_error(zone: Zone, uri: str) -> None:
    with pytest.raises(TransportError, match="transport"):
        await places(zone, uri)


def test_weights_are_shares_and_priorities_an_order() -> None:
    """RFC 2782."""
    random = Random(1)
    records = [Srv(1, 10, 5060, "last"), Srv(0, 10, 5060, "seldom"), Srv(0, 30, 5060, "often")]
    firsts: Counter[str] = Counter()
    for _ in range(2000):
        ordered = in_order(records, random)
        assert ordered[-1].target == "last"
        assert len(ordered) == len(records)
        firsts[ordered[0].target] += 1
    assert 0.6 < firsts["often"] / 2000 < 0.85
    assert in_order([Srv(0, 0, 1, "a"), Srv(0, 0, 2, "b")], random)


def test_records_without_number_are_put_in_order_at_once() -> None:
    """In a time that grows with their square they would stop all calls for half a minute."""
    records = [Srv(0, 1, port, "a") for port in range(60_000)]
    assert sorted(each.port for each in in_order(records, Random(1))) == list(range(60_000))


async def test_names_of_this_machine_alone_are_asked_nobody_about() -> None:
    resolver = DnsResolver("192.0.2.53", timeout_s=0.01)
    assert await resolver.naptr("localhost") == []
    assert await resolver.srv("_sip._udp.pbx.invalid") == []
    assert await resolver.addresses("localhost")
    assert resolver._resolver is None
