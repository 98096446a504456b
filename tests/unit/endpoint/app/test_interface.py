"""What the interface says of itself is made once, and one document at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest
from aiohttp.test_utils import make_mocked_request

from endpoint.app import interface

pytestmark = pytest.mark.unit


async def test_one_document_is_made_at_a_time_and_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page asks for both at once, and Python's parser fails in two threads."""
    busy, made = threading.Lock(), Counter[str]()

    def make(name: str) -> str:
        assert busy.acquire(blocking=False), "two at once"
        made[name] += 1
        threading.Event().wait(0.05)  # here the other would come in
        busy.release()
        return name

    monkeypatch.setattr(interface, "document", make)
    routes = interface.InterfaceRoutes()
    request = make_mocked_request("GET", "/")
    both = (routes.openapi, routes.asyncapi)
    answers = await asyncio.gather(*(ask(request) for ask in (*both, *both)))
    assert [each.text for each in answers] == ["openapi", "asyncapi", "openapi", "asyncapi"]
    assert made == {"openapi": 1, "asyncapi": 1}
