from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from endpoint.legs.base import DeviceId
from endpoint.legs.exchange import LegExchange
from endpoint.legs.leg import LegSettings
from tests.unit.endpoint.legs.fakes import Desk, FakeMedia, FakeServer


async def extension(device: DeviceId) -> DeviceId | None:
    return device if device.startswith("60") else None


@pytest.fixture
def leg_settings() -> LegSettings:
    """Overridden by modules that need other waits."""
    return LegSettings(domain="example.test", shutdown_timeout_s=0.0)


@pytest.fixture
async def desk(leg_settings: LegSettings) -> AsyncIterator[Desk]:
    server, media = FakeServer(), FakeMedia()
    exchange = LegExchange(
        cast("Any", server), cast("Any", media), settings=leg_settings, extension=extension
    )
    desk = Desk(server, media, await exchange.__aenter__())
    yield desk
    await desk.close()
    assert exchange.leg_count == 0
    assert media.open_ports == set()
