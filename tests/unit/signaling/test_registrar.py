"""The registrar, rule by rule: RFC 3261 §10.3 and RFC 5626 §6."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.registrar import (
    Binding,
    Expired,
    Loss,
    RegisterAnswer,
    Registered,
    Registrar,
    RegistrarSettings,
    Unregistered,
)
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.message import Request, parse_message
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.machine import brief, long

pytestmark = pytest.mark.unit

UDP = Flow(TransportKind.UDP, "192.0.2.7", 5060, "udp", 0)
SOCKET = Flow(TransportKind.WSS, "192.0.2.8", 40000, "ws", 1)
OTHER_SOCKET = Flow(TransportKind.WSS, "192.0.2.8", 40001, "ws", 2)
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'


def register(
    *contacts: str,
    expires: int | None = None,
    call_id: str = "call-1",
    cseq: int = 1,
    to: str = "<sip:6001@example.com>",
    uri: str = "sip:example.com",
    headers: tuple[str, ...] = (),
) -> Request:
    lines = [
        f"REGISTER {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1",
        "Max-Forwards: 70",
        f"From: {to};tag=1",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *(f"Contact: {contact}" for contact in contacts),
        *([] if expires is None else [f"Expires: {expires}"]),
        *headers,
        "Content-Length: 0",
    ]
    request = parse_message("\r\n".join([*lines, "", ""]).encode())
    assert isinstance(request, Request)
    return request


def test_whom_an_address_leads_to_is_text() -> None:
    registrar = Registrar(RegistrarSettings(), Random(1))
    assert registrar.resolve(Uri.parse("sip:6001%ff@example.com")) == ("6001\ufffd", None)


def contacts(answer: RegisterAnswer) -> list[str]:
    assert answer.status == 200
    return [value for name, value in answer.headers if name == "Contact"]


def where(registrar: Registrar, user: str = "6001", now: float = 0.0) -> list[str]:
    return [str(binding.contact.uri) for binding in registrar.bindings(user, now)]


def test_a_contact_is_bound_for_what_it_asks():
    registrar = Registrar()
    answer = registrar.register(register("<sip:6001@192.0.2.7>;expires=600"), UDP, 0.0)
    assert contacts(answer) == ["<sip:6001@192.0.2.7>;expires=600"]
    (event,) = registrar.take_events()
    assert isinstance(event, Registered)
    assert (event.binding.user, event.expires_s, event.refreshed) == ("6001", 600, False)


@pytest.mark.parametrize(
    ("parameter", "header", "granted"),
    [
        (None, None, 3600),
        (None, 1200, 1200),
        ("expires=900", 1200, 900),
        ("expires=nonsense", None, 3600),
        ("expires=nonsense", 1200, 3600),
        ("expires=1_0", None, 3600),
        (None, 100_000, 7200),
        ("expires=4294967295", None, 7200),
    ],
)
def test_the_granted_lifetime(parameter, header, granted):
    contact = "<sip:6001@192.0.2.7>" + (f";{parameter}" if parameter else "")
    answer = Registrar().register(register(contact, expires=header), UDP, 0.0)
    assert contacts(answer) == [f"<sip:6001@192.0.2.7>;expires={granted}"]


def test_too_brief_is_423_with_the_minimum_and_binds_nothing():
    registrar = Registrar()
    answer = registrar.register(register("<sip:6001@192.0.2.7>;expires=59"), UDP, 0.0)
    assert (answer.status, list(answer.headers)) == (423, [("Min-Expires", "60")])
    assert where(registrar) == []


def test_an_hour_is_never_too_brief_whatever_the_setting():
    registrar = Registrar(RegistrarSettings(minimum_expires_s=5000))
    assert registrar.register(register("<sip:a@h>;expires=3600"), UDP, 0.0).status == 200
    assert registrar.register(register("<sip:b@h>;expires=3599", cseq=2), UDP, 0.0).status == 423


def test_several_contacts_are_told_best_q_first_then_the_latest():
    registrar = Registrar()
    registrar.register(
        register("<sip:old@h>;q=0.5", "<sip:low@h>;q=0.1", "<sip:plain@h>"), UDP, 0.0
    )
    registrar.register(register("<sip:new@h>;q=0.5", call_id="call-2"), UDP, 1.0)
    assert where(registrar, now=1.0) == ["sip:plain@h", "sip:new@h", "sip:old@h", "sip:low@h"]


def test_a_register_without_contact_only_asks():
    registrar = Registrar()
    registrar.register(register("<sip:6001@h>;expires=600"), UDP, 0.0)
    registrar.take_events()
    answer = registrar.register(register(cseq=2), UDP, 100.0)
    assert contacts(answer) == ["<sip:6001@h>;expires=500"]
    assert registrar.take_events() == []


def test_a_refresh_restarts_the_lifetime_and_says_so():
    registrar = Registrar()
    registrar.register(register("<sip:6001@h>;expires=600"), UDP, 0.0)
    registrar.register(register("<sip:6001@h>;expires=600", cseq=2), UDP, 500.0)
    assert where(registrar, now=1000.0) == ["sip:6001@h"]
    events = registrar.take_events()
    assert [event.refreshed for event in events if isinstance(event, Registered)] == [False, True]


def test_contacts_are_the_same_by_the_rules_of_uris_not_by_spelling():
    registrar = Registrar()
    registrar.register(register("<sip:%36001@H.example;transport=UDP>"), UDP, 0.0)
    registrar.register(register("<sip:6001@h.EXAMPLE;transport=udp>", cseq=2), UDP, 0.0)
    assert len(where(registrar)) == 1


@pytest.mark.parametrize("cseq", [4, 5])
def test_an_older_or_equal_cseq_of_the_same_call_changes_nothing(cseq):
    registrar = Registrar()
    registrar.register(register("<sip:6001@h>", cseq=5), UDP, 0.0)
    registrar.take_events()
    late = register("<sip:6001@other>", "<sip:6001@h>;expires=0", cseq=cseq)
    assert registrar.register(late, UDP, 0.0).status == 500
    assert where(registrar) == ["sip:6001@h"]
    assert registrar.take_events() == []


def test_another_call_id_starts_its_own_count():
    registrar = Registrar()
    registrar.register(register("<sip:6001@h>;expires=600", cseq=5), UDP, 0.0)
    answer = registrar.register(
        register("<sip:6001@h>;expires=700", call_id="call-2", cseq=1), UDP, 0.0
    )
    assert contacts(answer) == ["<sip:6001@h>;expires=700"]


def test_expires_0_takes_one_contact_back():
    registrar = Registrar()
    registrar.register(register("<sip:a@h>", "<sip:b@h>"), UDP, 0.0)
    registrar.take_events()
    answer = registrar.register(register("<sip:a@h>;expires=0", cseq=2), UDP, 0.0)
    assert contacts(answer) == ["<sip:b@h>;expires=3600"]
    (event,) = registrar.take_events()
    assert isinstance(event, Unregistered)
    assert event.loss is Loss.REMOVED


def test_taking_back_what_is_not_there_succeeds_quietly():
    registrar = Registrar()
    assert contacts(registrar.register(register("<sip:a@h>", expires=0), UDP, 0.0)) == []
    assert registrar.take_events() == []


def test_star_with_expires_0_takes_all_back():
    registrar = Registrar()
    registrar.register(register("<sip:a@h>", "<sip:b@h>"), UDP, 0.0)
    answer = registrar.register(register("*", expires=0, cseq=2), UDP, 0.0)
    assert contacts(answer) == []
    assert registrar.users() == []


@pytest.mark.parametrize("expires", [None, 1, 3600])
def test_star_with_anything_else_is_400(expires):
    registrar = Registrar()
    registrar.register(register("<sip:a@h>"), UDP, 0.0)
    assert registrar.register(register("*", expires=expires, cseq=2), UDP, 0.0).status == 400
    assert where(registrar) == ["sip:a@h"]


def test_star_that_is_late_for_one_binding_removes_none():
    registrar = Registrar()
    registrar.register(register("<sip:a@h>", call_id="call-1", cseq=1), UDP, 0.0)
    registrar.register(register("<sip:b@h>", call_id="call-2", cseq=9), UDP, 0.0)
    late = register("*", expires=0, call_id="call-2", cseq=9)
    assert registrar.register(late, UDP, 0.0).status == 500
    assert len(where(registrar)) == 2


def test_one_bad_contact_spoils_the_whole_request():
    registrar = Registrar()
    answer = registrar.register(register("<sip:a@h>", "<mailto:b@h>"), UDP, 0.0)
    assert answer.status == 400
    assert where(registrar) == []
    assert registrar.take_events() == []


def test_a_contact_named_twice_in_one_request_is_one_binding():
    registrar = Registrar()
    answer = registrar.register(
        register("<sip:a@h>;expires=600", "<sip:a@h>;expires=700"), UDP, 0.0
    )
    assert contacts(answer) == ["<sip:a@h>;expires=700"]


def test_contact_parameters_come_back_as_such():
    """RFC 4475 cparam01: a contact parameter never turns into a URI parameter."""
    registrar = Registrar()
    answer = registrar.register(register("sip:+19725552222@gw1.example.net;unknownparam"), UDP, 0.0)
    (contact,) = contacts(answer)
    assert contact.startswith("<sip:+19725552222@gw1.example.net>;")
    assert where(registrar) == ["sip:+19725552222@gw1.example.net"]


def test_uri_parameters_come_back_in_the_uri():
    """RFC 4475 cparam02."""
    registrar = Registrar()
    registrar.register(register("<sip:+19725552222@gw1.example.net;unknownparam>"), UDP, 0.0)
    assert where(registrar) == ["sip:+19725552222@gw1.example.net;unknownparam"]


def test_escaped_headers_stay_in_the_uri():
    """RFC 4475 regescrt."""
    registrar = Registrar()
    uri = "sip:user@example.com?Route=%3Csip:sip.example.com%3E"
    registrar.register(register(f"<{uri}>"), UDP, 0.0)
    assert where(registrar) == [uri]


def test_a_nul_in_a_user_name_shortens_nothing():
    """RFC 4475 escnull."""
    registrar = Registrar()
    to = "<sip:null-%00-null@example.com>"
    request = register("<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>", to=to)
    assert registrar.register(request, UDP, 0.0).status == 200
    assert registrar.users() == ["null-\0-null"]
    assert len(where(registrar, "null-\0-null")) == 2


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<isbn:2983792873>", 400),
        ("<tel:+15551234>", 400),
        ("<sip:example.com>", 404),
        ("<sip:6001@elsewhere.example>", 404),
        ("<sip:6001@example.com:5070;transport=ws>", None),
        ("<sips:6001@EXAMPLE.com>", None),
    ],
)
def test_the_address_of_record_must_be_one_of_ours(to, status):
    registrar = Registrar(RegistrarSettings(domains=frozenset({"example.com"})))
    request = register("<sip:a@h>", to=to)
    refusal = registrar.check(request)
    assert (refusal.status if refusal else None) == status
    assert registrar.register(request, UDP, 0.0).status == (status or 200)


def test_a_request_for_another_domain_is_404():
    registrar = Registrar(RegistrarSettings(domains=frozenset({"example.com"})))
    refusal = registrar.check(register("<sip:a@h>", uri="sip:elsewhere.example"))
    assert refusal is not None
    assert refusal.status == 404


def test_too_many_contacts_are_refused_whole():
    registrar = Registrar(RegistrarSettings(maximum_contacts=2))
    registrar.register(register("<sip:a@h>"), UDP, 0.0)
    assert registrar.register(register("<sip:b@h>", "<sip:c@h>", cseq=2), UDP, 0.0).status == 403
    assert where(registrar) == ["sip:a@h"]


def test_what_is_not_refreshed_expires():
    registrar = Registrar()
    registrar.register(register("<sip:a@h>;expires=60", "<sip:b@h>;expires=90"), UDP, 0.0)
    registrar.take_events()
    assert registrar.next_deadline() == 60.0
    registrar.handle_timer(60.0)
    (event,) = registrar.take_events()
    assert isinstance(event, Expired)
    assert event.binding.contact.uri.user == "a"
    assert registrar.next_deadline() == 90.0


def test_an_expired_binding_is_no_target_even_before_its_timer_ran():
    registrar = Registrar()
    registrar.register(register("<sip:a@h>;expires=60"), UDP, 0.0)
    assert where(registrar, now=60.0) == []


def test_a_lost_socket_takes_its_bindings_along_and_no_others():
    registrar = Registrar()
    registrar.register(register("<sip:a@one.invalid;transport=ws>"), SOCKET, 0.0)
    registrar.register(register("<sip:a@two.invalid;transport=ws>", call_id="2"), OTHER_SOCKET, 0.0)
    registrar.register(register("<sip:a@192.0.2.7>", call_id="3"), UDP, 0.0)
    registrar.take_events()
    registrar.flow_closed(SOCKET)
    (event,) = registrar.take_events()
    assert isinstance(event, Unregistered)
    assert event.loss is Loss.CONNECTION_LOST
    assert event.binding.flow == SOCKET
    assert len(where(registrar)) == 2


def test_a_phone_that_came_back_on_a_new_socket_does_not_lose_by_the_old_one():
    registrar = Registrar()
    registrar.register(register("<sip:a@one.invalid;transport=ws>"), SOCKET, 0.0)
    registrar.register(register("<sip:a@one.invalid;transport=ws>", cseq=2), OTHER_SOCKET, 0.0)
    registrar.flow_closed(SOCKET)
    assert where(registrar) == ["sip:a@one.invalid;transport=ws"]


def test_the_same_instance_and_reg_id_replace_the_contact():
    """RFC 5626 §6: the instance is the phone, whatever contact it invents today."""
    registrar = Registrar()
    headers = ("Supported: path, outbound",)
    registrar.register(
        register(f"<sip:a@x.invalid>;reg-id=1;{INSTANCE}", headers=headers), SOCKET, 0.0
    )
    registrar.take_events()
    answer = registrar.register(
        register(f"<sip:a@y.invalid>;reg-id=1;{INSTANCE}", call_id="2", headers=headers),
        OTHER_SOCKET,
        0.0,
    )
    assert ("Require", "outbound") in answer.headers
    assert where(registrar) == ["sip:a@y.invalid"]
    lost, made = registrar.take_events()
    assert isinstance(lost, Unregistered)
    assert lost.loss is Loss.REPLACED
    assert isinstance(made, Registered)
    assert not made.refreshed


def test_other_reg_ids_are_other_flows_of_one_phone():
    registrar = Registrar()
    registrar.register(register(f"<sip:a@x.invalid>;reg-id=1;{INSTANCE}"), SOCKET, 0.0)
    registrar.register(
        register(f"<sip:a@y.invalid>;reg-id=2;{INSTANCE}", call_id="2"), OTHER_SOCKET, 0.0
    )
    assert len(where(registrar)) == 2


def test_a_phone_that_learns_to_name_itself_is_still_one_phone():
    registrar = Registrar()
    registrar.register(register("<sip:a@x.invalid>"), SOCKET, 0.0)
    registrar.register(register(f"<sip:a@x.invalid>;reg-id=1;{INSTANCE}", cseq=2), SOCKET, 0.0)
    assert where(registrar) == ["sip:a@x.invalid"]


def test_a_reg_id_without_instance_means_nothing():
    registrar = Registrar()
    answer = registrar.register(
        register("<sip:a@x.invalid>;reg-id=1", headers=("Supported: outbound",)), SOCKET, 0.0
    )
    assert "Require" not in dict(answer.headers)
    registrar.register(register("<sip:a@y.invalid>;reg-id=1", call_id="2"), SOCKET, 0.0)
    assert len(where(registrar)) == 2


def test_two_reg_ids_in_one_request_are_400():
    request = register(
        f"<sip:a@x.invalid>;reg-id=1;{INSTANCE}", f"<sip:a@y.invalid>;reg-id=2;{INSTANCE}"
    )
    assert Registrar().register(request, SOCKET, 0.0).status == 400


Place = tuple[str, str, int | None]


def place(binding: Binding) -> Place:
    return binding.user, str(binding.contact.uri), binding.reg_id


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes in whatever order: what the events tell is what is bound."""

    def __init__(self) -> None:
        super().__init__()
        self.registrar = Registrar(RegistrarSettings(maximum_contacts=3))
        self.now = 0.0
        self.told: set[Place] = set()
        self.cseq = 0

    @rule(
        user=st.sampled_from(["6001", "6002"]),
        places=st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=0, max_size=3),
        expires=st.sampled_from([0, 30, 60, 600, 100_000]),
        call_id=st.sampled_from(["1", "2"]),
        late=st.booleans(),
        flow=st.sampled_from([UDP, SOCKET, OTHER_SOCKET]),
        instance=st.booleans(),
    )
    def a_register(self, user, places, expires, call_id, late, flow, instance):
        self.cseq += 1
        tail = f";reg-id=1;{INSTANCE}" if instance and len(places) == 1 else ""
        request = register(
            *(f"<sip:{place}@host>{tail}" for place in places),
            to=f"<sip:{user}@example.com>",
            expires=expires,
            call_id=call_id,
            cseq=1 if late else self.cseq,
        )
        self.registrar.handle_timer(self.now)
        self.listen()
        before = self.bound()
        answer = self.registrar.register(request, flow, self.now)
        if answer.status != 200:
            assert self.bound() == before
            assert self.registrar.take_events() == []

    @rule()
    def a_star(self):
        self.cseq += 1
        answer = self.registrar.register(
            register("*", expires=0, call_id="3", cseq=self.cseq), UDP, self.now
        )
        assert answer.status == 200
        assert where(self.registrar, now=self.now) == []

    @rule(flow=st.sampled_from([UDP, SOCKET, OTHER_SOCKET]))
    def a_closed_flow(self, flow):
        self.registrar.flow_closed(flow)

    @rule(seconds=st.sampled_from([1, 59, 60, 7200]))
    def time_passes(self, seconds):
        self.now += seconds
        self.registrar.handle_timer(self.now)

    @invariant()
    def events_tell_what_is_bound(self):
        self.listen()
        assert self.told == self.bound()

    @invariant()
    def no_user_holds_too_much_or_too_long(self):
        for user in ("6001", "6002"):
            held = self.registrar.bindings(user, self.now)
            assert len(held) <= 3
            assert all(self.now < binding.expires_at <= self.now + 7200 for binding in held)

    def bound(self) -> set[Place]:
        return {
            place(binding)
            for user in self.registrar.users()
            for binding in self.registrar.bindings(user, self.now)
        }

    def listen(self) -> None:
        for event in self.registrar.take_events():
            match event:
                case Registered():
                    assert event.refreshed == (place(event.binding) in self.told)
                    self.told.add(place(event.binding))
                case Unregistered() | Expired():
                    self.told.remove(place(event.binding))


TestAnyOrder = brief(AnyOrder)
TestAnyOrderForLong = long(AnyOrder)
