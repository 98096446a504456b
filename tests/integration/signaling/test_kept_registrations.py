"""Registrations of a server that died, found by the one that comes after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from signaling.keptbindings import KeptBinding
from signaling.registrar import Expired, Registered
from signaling.server import SipServer, SipServerConfig
from signaling.sip.flow import Flow, TransportKind

from .stage import REALM, StaticCredentials, within

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

UDP = Flow(TransportKind.UDP, "127.0.0.1", 40000, "udp0")


def kept(**more: object) -> KeptBinding:
    soon = datetime.now(UTC) + timedelta(seconds=300)
    contact = "<sip:6001@127.0.0.1:40000>"
    return replace(KeptBinding("6001", contact, "c1", 7, soon, UDP, 1.0), **more)  # type: ignore[arg-type]


class Notes(dict[str, KeptBinding]):
    """In a file of JSON."""

    def put(self, key: str, kept: KeptBinding) -> None:
        found = msgspec.json.decode(msgspec.json.encode((key, kept)), type=tuple[str, KeptBinding])
        self[found[0]] = found[1]

    def drop(self, key: str) -> None:
        self.pop(key, None)


async def test_a_phone_is_known_as_it_was_and_told_of() -> None:
    notes = Notes()
    server = SipServer(SipServerConfig(realm=REALM), StaticCredentials(), binding_keeper=notes)
    async with server:
        left = {"a": kept(instance="urn:uuid:1", path=("<sip:edge.test;lr>",))}
        server.restore(left)
        event = await within(server.registrations())
        assert isinstance(event, Registered)
        (binding,) = server.bindings("6001")
        assert event.binding == binding
        assert (binding.call_id, binding.cseq, binding.flow) == ("c1", 7, UDP)
        assert [str(route) for route in binding.path] == ["<sip:edge.test;lr>"]
        assert 290 < binding.expires_at - server.user_agent.now() < 301
        (again,) = notes.values()
        assert again.user == "6001"
        assert abs((again.expires_at - left["a"].expires_at).total_seconds()) < 1


async def test_a_phone_whose_name_is_no_utf_8_is_known_as_it_was() -> None:
    notes = Notes()
    config = SipServerConfig(realm=REALM)
    async with SipServer(config, StaticCredentials(), binding_keeper=notes) as server:
        octets = {
            "contact": '"J\xf6rg" <sip:%f6@127.0.0.1>',
            "call_id": "\xf6",
            "instance": "<\xf6>",
        }
        server.restore({"a": kept(**octets)})
        (binding,) = server.bindings("6001")
        assert binding.contact.display_name == "J\udcf6rg"
        (again,) = notes.values()
        assert (again.call_id, again.instance) == ("\xf6", "<\xf6>")
        assert again.contact == '"J\xf6rg" <sip:%F6@127.0.0.1>'


async def test_what_expired_meanwhile_or_can_not_be_read_is_let_go() -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    connection = replace(UDP, connection=3)
    left = {
        "expired": kept(expires_at=past),
        "nonsense": kept(contact="no contact"),
        "gone": kept(flow=connection),
    }
    notes = Notes(left)
    server = SipServer(SipServerConfig(realm=REALM), StaticCredentials(), binding_keeper=notes)
    async with server:
        server.restore(left)
        assert server.bindings("6001") == []
        assert notes == {}


async def test_one_that_expires_is_noted_no_more() -> None:
    notes = Notes()
    server = SipServer(SipServerConfig(realm=REALM), StaticCredentials(), binding_keeper=notes)
    async with server:
        server.restore({"a": kept(expires_at=datetime.now(UTC) + timedelta(milliseconds=300))})
        assert len(notes) == 1
        assert isinstance(await within(server.registrations()), Registered)
        assert isinstance(await within(server.registrations()), Expired)
        assert notes == {}
