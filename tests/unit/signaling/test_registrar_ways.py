"""How the registrar leads to a phone: Path (RFC 3327), outbound (RFC 5626), GRUU (RFC 5627)."""

from __future__ import annotations

from random import Random

import pytest

from signaling.registrar import RegisterAnswer, Registrar
from signaling.sip.gruu import Gruus
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request, parse_message
from signaling.sip.uri import Uri
from tests.unit.signaling.test_registrar import (
    INSTANCE,
    OTHER_SOCKET,
    SOCKET,
    UDP,
    register,
    where,
)

pytestmark = pytest.mark.unit

URN = "urn:uuid:00000000-0000-1000-8000-000A95A0E128"
EDGE = "<sip:token@edge.example.com;lr;ob>"
PLAIN_PROXY = "<sip:proxy.example.com;lr>"
VIA_A_PROXY = "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK2"
SUPPORTED = "Supported: path, outbound, gruu"


def values(answer: RegisterAnswer, name: str) -> list[str]:
    return [value for header, value in answer.headers if header == name]


def gruus(answer: RegisterAnswer) -> tuple[Uri, Uri]:
    (text,) = values(answer, "Contact")
    named = NameAddr.parse(text)
    public, temporary = named.parameter("pub-gruu"), named.parameter("temp-gruu")
    assert public
    assert temporary
    return Uri.parse(public), Uri.parse(temporary)


def flow_register(*headers: str, reg_id: int | None = 1, **kwargs: object) -> Request:
    numbered = "" if reg_id is None else f";reg-id={reg_id}"
    contact = f"<sip:6001@x.invalid>{numbered};{INSTANCE}"
    return register(contact, headers=(SUPPORTED, *headers), **kwargs)


# -- Path ------------------------------------------------------------------------------------------


def test_the_proxies_that_a_register_came_by_lead_back_to_the_phone() -> None:
    registrar = Registrar()
    lines = (f"Path: {PLAIN_PROXY}", f"Path: {EDGE}", VIA_A_PROXY, "Supported: path")
    answer = registrar.register(register("<sip:6001@h>", headers=lines), UDP, 0.0)
    assert values(answer, "Path") == [PLAIN_PROXY, EDGE]
    (binding,) = registrar.phones("6001", 0.0)
    assert [str(hop) for hop in binding.path] == [PLAIN_PROXY, EDGE]


def test_a_phone_that_does_not_know_path_is_not_told_of_it() -> None:
    registrar = Registrar()
    lines = (f"Path: {EDGE}", VIA_A_PROXY)
    answer = registrar.register(register("<sip:6001@h>", headers=lines), UDP, 0.0)
    assert values(answer, "Path") == []
    assert registrar.phones("6001", 0.0)[0].path != ()


@pytest.mark.parametrize("path", ["<sip:strict.example.com>", "<tel:1;lr>", "<<>"])
def test_a_path_that_can_not_be_a_route_binds_nothing(path: str) -> None:
    registrar = Registrar()
    request = register("<sip:6001@h>", headers=(f"Path: {path}",))
    assert registrar.register(request, UDP, 0.0).status == 400
    assert where(registrar) == []


def test_a_path_follows_each_refresh() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:6001@h>", headers=(f"Path: {EDGE}",)), UDP, 0.0)
    registrar.register(register("<sip:6001@h>", cseq=2), UDP, 1.0)
    assert registrar.phones("6001", 1.0)[0].path == ()


# -- outbound --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flow", "timer"), [(UDP, "29"), (SOCKET, "120")])
def test_a_phone_is_told_that_its_flow_is_kept_and_how_often_to_show_that_it_lives(
    flow, timer
) -> None:
    answer = Registrar().register(flow_register(), flow, 0.0)
    assert values(answer, "Require") == ["outbound"]
    assert values(answer, "Flow-Timer") == [timer]


def test_behind_a_proxy_that_keeps_the_flow_the_proxy_says_how_often() -> None:
    answer = Registrar().register(flow_register(f"Path: {EDGE}", VIA_A_PROXY), UDP, 0.0)
    assert values(answer, "Require") == ["outbound"]
    assert values(answer, "Flow-Timer") == []


@pytest.mark.parametrize("headers", [(VIA_A_PROXY,), (VIA_A_PROXY, f"Path: {PLAIN_PROXY}")])
def test_behind_a_proxy_that_does_not_keep_the_flow_there_is_no_outbound(headers) -> None:
    """RFC 5626 §6: 439, so that the phone registers without."""
    registrar = Registrar()
    assert registrar.register(flow_register(*headers), UDP, 0.0).status == 439
    assert where(registrar) == []
    answer = registrar.register(flow_register(*headers, reg_id=None, cseq=2), UDP, 0.0)
    assert answer.status == 200
    assert values(answer, "Require") == []


def test_a_phone_with_two_flows_is_rung_by_the_latest_and_by_the_other_when_that_fails() -> None:
    """RFC 5626 §5.3: never by both at once."""
    registrar = Registrar()
    registrar.register(flow_register(reg_id=1, call_id="1"), SOCKET, 0.0)
    registrar.register(flow_register(reg_id=2, call_id="2"), OTHER_SOCKET, 1.0)
    assert [phone.flow for phone in registrar.phones("6001", 1.0)] == [OTHER_SOCKET]
    registrar.flow_closed(OTHER_SOCKET)
    assert [phone.flow for phone in registrar.phones("6001", 1.0)] == [SOCKET]


# -- GRUU ------------------------------------------------------------------------------------------


def test_a_phone_that_asks_is_told_its_gruus_and_both_lead_to_it_alone() -> None:
    registrar = Registrar()
    public, temporary = gruus(registrar.register(flow_register(), SOCKET, 0.0))
    registrar.register(register("<sip:6001@other>", call_id="2"), UDP, 0.0)
    assert str(public) == f"sip:6001@example.com;gr={URN}"
    assert "6001" not in str(temporary)
    assert temporary.parameter("gr") == ""
    for gruu in (public, temporary):
        found = registrar.resolve(gruu)
        assert found is not None
        user, instance = found
        (phone,) = registrar.phones(user, 0.0, instance)
        assert phone.flow == SOCKET
    assert len(registrar.phones("6001", 0.0)) == 2


@pytest.mark.parametrize(
    "request_",
    [
        register(f"<sip:6001@h>;{INSTANCE}"),
        register("<sip:6001@h>", headers=("Supported: gruu",)),
    ],
    ids=["does not ask", "no instance"],
)
def test_others_are_told_none(request_: Request) -> None:
    answer = Registrar().register(request_, UDP, 0.0)
    assert "gruu" not in values(answer, "Contact")[0]


def test_temporary_gruus_are_new_each_time_and_all_lead_to_the_phone() -> None:
    registrar = Registrar()
    told = [
        gruus(registrar.register(flow_register(cseq=number), SOCKET, 0.0))[1] for number in (1, 2)
    ]
    assert told[0] != told[1]
    assert [registrar.resolve(gruu) for gruu in told] == [("6001", URN.lower())] * 2


def test_temporary_gruus_end_with_the_registration_and_with_its_call_id() -> None:
    registrar = Registrar()
    _, first = gruus(registrar.register(flow_register(call_id="1"), SOCKET, 0.0))
    _, second = gruus(registrar.register(flow_register(call_id="2"), SOCKET, 0.0))
    assert registrar.resolve(first) is None
    assert registrar.resolve(second) is not None
    registrar.flow_closed(SOCKET)
    assert registrar.resolve(second) is None


def test_a_public_gruu_outlives_the_registration_and_then_leads_to_no_phone() -> None:
    registrar = Registrar()
    public, _ = gruus(registrar.register(flow_register(), SOCKET, 0.0))
    registrar.flow_closed(SOCKET)
    assert registrar.resolve(public) == ("6001", URN)
    assert registrar.phones("6001", 0.0, URN) == []


@pytest.mark.parametrize(
    "text",
    [
        "sip:tgruu.@example.com;gr",
        "sip:tgruu.aaaa@example.com;gr",
        f"sip:tgruu.{'a' * 39}@example.com;gr",
        "sip:tgruu.%C3%A9@example.com;gr",
        "sip:example.com;gr=urn:uuid:1",
        "sip:6001@example.com;gr",
    ],
)
def test_a_made_up_gruu_leads_to_nobody(text: str) -> None:
    registrar = Registrar()
    registrar.register(flow_register(), SOCKET, 0.0)
    assert registrar.resolve(Uri.parse(text)) is None


def test_a_contact_that_is_a_gruu_names_its_binding() -> None:
    """So the calls of a phone that comes back on a new connection are found."""
    registrar = Registrar()
    public, temporary = gruus(registrar.register(flow_register(), SOCKET, 0.0))
    (binding,) = registrar.phones("6001", 0.0)
    assert all(registrar.names(uri, binding) for uri in (public, temporary, binding.contact.uri))
    other = Uri.parse("sip:6001@example.com;gr=urn:uuid:1")
    assert not registrar.names(other, binding)
    assert not registrar.names(Uri.parse("sip:6001@y.invalid"), binding)


def test_ten_thousand_temporary_gruus_are_all_different_and_take_no_memory() -> None:
    made = Gruus(b"secret", Random(1))
    aor = Uri.parse("sip:6001@example.com")
    told = {str(made.issue(aor, "6001", URN, "1")[1]) for _ in range(10_000)}
    assert len(told) == 10_000
    assert len(made._owners) == 1


def test_the_gruus_of_another_registrar_are_not_ours() -> None:
    aor = Uri.parse("sip:6001@example.com")
    ours, theirs = Gruus(b"ours", Random(1)), Gruus(b"theirs", Random(1))
    ours.issue(aor, "6001", URN, "1")
    assert ours.resolve(theirs.issue(aor, "6001", URN, "1")[1]) is None


def test_a_register_parses_as_a_phone_writes_it() -> None:
    """JsSIP's, shortened."""
    octets = (
        "REGISTER sip:example.com SIP/2.0\r\n"
        "Via: SIP/2.0/WSS x.invalid;branch=z9hG4bK1\r\nMax-Forwards: 69\r\n"
        "To: <sip:6001@example.com>\r\nFrom: <sip:6001@example.com>;tag=t\r\n"
        "Call-ID: c\r\nCSeq: 1 REGISTER\r\n"
        'Contact: <sip:abc@x.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance="'
        f'<{URN}>";expires=600\r\n'
        "Expires: 600\r\nSupported: path,gruu,outbound\r\nContent-Length: 0\r\n\r\n"
    )
    request = parse_message(octets.encode())
    assert isinstance(request, Request)
    public, _ = gruus(Registrar().register(request, SOCKET, 0.0))
    assert str(public) == f"sip:6001@example.com;gr={URN}"
