from __future__ import annotations

import pytest
from pydantic import ValidationError

from endpoint.app.facts import media_settings, media_workers
from endpoint.app.settings import AccountSettings, Config, MediaSettings, SipSettings, dns_server

pytestmark = pytest.mark.unit


PIN = "sha256//" + 43 * "A" + "="


def account(server: str, **settings: object) -> AccountSettings:
    given = {"device": "6001", "server": server, "password": "x", **settings}
    return AccountSettings.model_validate(given)


@pytest.mark.parametrize(
    ("server", "over_tls"),
    [
        ("sip:pbx", False),
        ("sip:pbx;transport=udp", False),
        ("sip:pbx:5070;transport=tcp", False),
        ("sip:[2001:db8::1]:5070;transport=TLS", True),
        ("sips:pbx.example.com", True),
        ("sips:192.0.2.1:5061;transport=tcp", True),
        ("wss://pbx/ws", False),
    ],
)
def test_a_server_says_by_which_transport_it_is_reached(server: str, over_tls: bool) -> None:
    assert account(server).over_tls is over_tls
    assert account(server).server == server


@pytest.mark.parametrize(
    "server", ["tls:pbx:5061", "sip:pbx;transport=sctp", "sips:pbx;transport=udp", "sip:u@pbx"]
)
def test_a_server_by_another_transport_is_refused_with_what_was_expected(server: str) -> None:
    with pytest.raises(ValidationError, match="expected wss://") as refused:
        account(server)
    assert "u@" not in str(refused.value).partition("[type")[0]


def test_what_is_for_tls_is_refused_elsewhere() -> None:
    assert account("sips:pbx", pin=PIN).pin == PIN
    with pytest.raises(ValidationError, match="are for sips:"):
        account("sip:pbx", pin=PIN)
    with pytest.raises(ValidationError, match="expected sha256"):
        account("sips:pbx", pin="sha256//short")
    with pytest.raises(ValidationError, match="expected both, or neither"):
        account("sips:pbx", certificate="me.pem")


def test_with_any_free_port_for_sip_that_of_tls_is_free_too() -> None:
    assert SipSettings().tls_port == 5061
    assert SipSettings(port=0).tls_port == 0
    assert SipSettings(port=0, tls_port=5071).tls_port == 5071


def test_what_is_exempt_from_limits_is_a_network() -> None:
    limits = {"exempt": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]}
    assert Config.model_validate({"sip": {"limits": limits}}).sip.limits.exempt == limits["exempt"]
    with pytest.raises(ValidationError, match="is no network"):
        Config.model_validate({"sip": {"limits": {"exempt": ["pbx.example.com"]}}})


@pytest.mark.parametrize(
    ("written", "server"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_a_dns_server_is_an_address(written: str, server: tuple[str, int]) -> None:
    assert SipSettings(dns=written).dns == written
    assert dns_server(written) == server


@pytest.mark.parametrize("written", ["dns.example.com", "192.0.2", "192.0.2.53:0", "192.0.2.53:x"])
def test_what_is_no_dns_server(written: str) -> None:
    with pytest.raises(ValidationError, match="expected an address"):
        SipSettings(dns=written)


def test_media_workers_share_the_ports_out_and_keep_to_their_cores() -> None:
    media = MediaSettings(workers=3, port_first=20001, port_last=20021, cpus=[4, 2, 0])
    config = Config(media=media)
    each = media_settings(config)
    assert [(one.rtp_port_low, one.rtp_port_high) for one in each] == [
        (20002, 20007),
        (20008, 20013),
        (20014, 20021),
    ]
    assert [one.cpu_affinity for one in each] == [(4,), (2,), (0,)]
    names = [worker.name for worker in media_workers(config)]
    assert names == ["media worker 1", "media worker 2", "media worker 3"]
    (only,) = media_settings(Config())
    assert (only.rtp_port_low, only.rtp_port_high, only.cpu_affinity) == (20000, 29999, ())


def test_each_media_worker_has_ports_and_where_cores_are_named_a_core() -> None:
    with pytest.raises(ValidationError, match="there are 2 pairs of ports"):
        MediaSettings(workers=3, port_first=20000, port_last=20003)
    with pytest.raises(ValidationError, match="cpus names 1, expected one for each"):
        MediaSettings(workers=2, cpus=[3])
