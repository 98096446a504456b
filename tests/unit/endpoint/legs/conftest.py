from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from endpoint.callcontrol.dialplan import PlanInUse
from endpoint.legs.base import DeviceId
from endpoint.legs.exchange import LegExchange
from endpoint.legs.leg import LegSettings
from endpoint.legs.trunk import TrunkSettings
from tests.fakes.numbering import plan_of
from tests.unit.endpoint.legs.fakes import Desk, FakeMedia, FakeServer

ALIASES = {DeviceId("8002"): DeviceId("6002")}


async def extension(device: DeviceId) -> DeviceId | None:
    device = ALIASES.get(device, device)
    return device if device.startswith("60") else None


@pytest.fixture
def leg_settings() -> LegSettings:
    """Overridden by modules that need other waits."""
    return LegSettings(domain="example.test", shutdown_timeout_s=0.0)


@pytest.fixture
def trunks() -> list[TrunkSettings]:
    """Overridden by modules that have some."""
    return []


@pytest.fixture
def plan(trunks: list[TrunkSettings]) -> PlanInUse:
    """What the trunks say of numbers; overridden by modules that have rules beside."""
    return plan_of(trunks)


@pytest.fixture
async def desk(
    leg_settings: LegSettings, trunks: list[TrunkSettings], plan: PlanInUse
) -> AsyncIterator[Desk]:
    server, media = FakeServer(), FakeMedia()
    exchange = LegExchange(
        cast("Any", server),
        cast("Any", media),
        settings=leg_settings,
        extension=extension,
        trunks=trunks,
        numbering=plan,
    )
    desk = Desk(server, media, await exchange.__aenter__())
    yield desk
    await desk.close()
    assert exchange.leg_count == 0
    assert media.open_ports == set()
