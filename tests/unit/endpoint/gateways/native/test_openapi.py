"""The documents of the native interface: whole, true to the table, and with what the code says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from endpoint.agents.events import AgentEvents
from endpoint.callcontrol.events import Event
from endpoint.gateways.native.asyncapi import asyncapi
from endpoint.gateways.native.openapi import openapi
from endpoint.gateways.native.operations import OPEN, OPERATIONS
from endpoint.gateways.native.webhookmessages import HEADERS

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi("1.2.3")


@pytest.fixture(scope="module")
def events() -> dict[str, Any]:
    return asyncapi("1.2.3")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_operation_is_in_it_once(document: dict[str, Any]) -> None:
    told = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert told == set(OPERATIONS)
    names = [each["operationId"] for one in document["paths"].values() for each in one.values()]
    assert len(names) == len(set(names))


def test_what_is_put_may_be_new(document: dict[str, Any]) -> None:
    for path in ("/extensions/{extension}", "/directory/agents/{agent}"):
        answers = document["paths"][path]["put"]["responses"]
        assert answers["201"] == answers["200"]
    assert "201" not in document["paths"]["/plan/rules/{rule}"]["put"]["responses"]


@pytest.mark.parametrize("which", ["document", "events"])
def test_every_reference_leads_somewhere(which: str, request: pytest.FixtureRequest) -> None:
    whole = request.getfixturevalue(which)
    for reference in references(whole):
        found: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    json.dumps(whole)


def test_fields_say_what_they_mean(document: dict[str, Any]) -> None:
    dial = document["components"]["schemas"]["MakeCall"]
    assert dial["properties"]["device"]["description"] == "Who dials."
    assert dial["properties"]["device"]["pattern"] == "^[A-Za-z0-9_.+*#-]+$"
    assert dial["required"] == ["device", "destination"]


def test_what_needs_no_token_says_so(document: dict[str, Any]) -> None:
    open_ = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
        if told.get("security") == []
    }
    assert open_ == set(OPEN)


def test_every_websocket_is_told(events: dict[str, Any]) -> None:
    served = {path for method, path in OPERATIONS if path.endswith("/events")}
    assert {each["address"] for each in events["channels"].values()} == served


def test_every_event_is_told_with_its_fields(events: dict[str, Any]) -> None:
    schemas = events["components"]["schemas"]
    for kind in (*get_args(Event), *get_args(AgentEvents)):
        assert schemas[f"{kind.__name__}Fields"]["description"]
    delivered = schemas["DeliveredFields"]["properties"]
    assert {"call", "device", "calling_name", "early_media"} <= set(delivered)
    assert delivered["calling_name"]["description"] == "How the caller is shown."


def test_what_webhooks_are_told_is_told(document: dict[str, Any]) -> None:
    told = document["webhooks"]["event"]["post"]
    assert {each["name"] for each in told["parameters"]} == set(HEADERS)
    kinds = told["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert [each["$ref"].rpartition("/")[2] for each in kinds] == [
        "EventFrame",
        "Snapshot",
        "AgentEventFrame",
        "AgentSnapshot",
        "WebhookTest",
    ]
