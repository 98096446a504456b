"""pytest fixtures of the rig: `pytest_plugins = ["endpoint.rig.plugin"]`.

Needs pytest-asyncio. A test reads as the scenario::

    async def test_hold_plays_music(fleet):
        await fleet.add("6001", server="wss://localhost:8443/sip", password=…)
        await fleet.add("10086", server="udp:127.0.0.1:5060", password=…)
        await fleet.parties["6001"].dial("10086")
        await fleet.becomes({"6001": ["10086"], "10086": ["6001"]})
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from endpoint.rig.fleet import Fleet


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Telephones in processes of their own, ended with the test."""
    async with Fleet() as parties:
        yield parties
