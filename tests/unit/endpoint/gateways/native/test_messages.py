"""Requests are strict, answers are lenient: an older client reads a newer server."""

from __future__ import annotations

import msgspec
import pytest

from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire

pytestmark = pytest.mark.unit


def test_a_field_that_a_newer_server_adds_is_ignored() -> None:
    octets = b'{"command":"MakeCall","call":"c","interaction":"i","colour":"blue"}'
    accepted = msgspec.json.decode(octets, type=wire.Accepted)
    assert accepted == wire.Accepted("MakeCall", "c", "i")


def test_a_field_that_the_server_does_not_know_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"device":"6001","colour":"blue"}', type=wire.OfDevice)


def test_a_refusal_says_only_what_there_is_to_say() -> None:
    octets = msgspec.json.encode(wire.Refused("word", "text"))
    assert msgspec.json.decode(octets) == {"error": "word", "text": "text"}


def test_a_refusal_tells_a_person_where_and_what_was_expected() -> None:
    refused = RequestRefused(400, wire.Refused("bad_field", "found 1", "$.device", "a string"))
    assert str(refused) == "found 1 ($.device: expected a string)"
    assert (refused.status, refused.reason) == (400, "bad_field")


async def test_a_client_that_was_not_entered_asks_nothing() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await EndpointClient("http://127.0.0.1:1", "token").health()
