"""Pages of a CRM with the vendor's own scripts, at an office with a carrier and real audio."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
import pytest_asyncio

from endpoint.callcontrol.commands import ClearCall, GenerateDigits, MakeCall
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId
from tests.integration.endpoint.app.basiccall.floor import Floor, open_house

from .phone import ORIGIN, Crm, crm_of


@pytest.fixture(autouse=True, scope="session")
def scripts_are_given() -> None:
    if "VENDOR_SCRIPT" not in os.environ:
        pytest.skip("the vendor's scripts are not ours to have: make interop-vendor SCRIPT=…")


@dataclass
class Shop(Floor):
    """The office, and the customers of its carrier."""

    @property
    def uri(self) -> str:
        """Where pages go."""
        return self.office.url

    async def calls_in(self, number: str, customer: str = "10086") -> None:
        """A customer calls."""
        command = MakeCall(DeviceId(customer), number, data={})
        await self.carrier.controller.submit(command)

    async def keys(self, digits: str, customer: str = "10086") -> None:
        """A customer presses keys."""
        await self.carrier.controller.submit(GenerateDigits(DeviceId(customer), digits))

    async def hangs_up(self, *customers: str) -> None:
        """Customers hang up."""
        controller = self.carrier.controller
        for customer in map(DeviceId, customers):
            for _, call, _ in controller.whereabouts.connections_of(customer):
                with suppress(CommandRejected):  # it is over meanwhile
                    await controller.submit(ClearCall(customer, call.id))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def whole_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    pages = {"port": 0, "plain_port": 0, "origins": [ORIGIN]}
    async with open_house(tmp_path_factory.mktemp("shop"), http=pages) as (office, carrier):
        yield Shop(office, carrier)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(whole_shop: Shop) -> AsyncIterator[Shop]:
    """At the end nobody talks any more, and everybody has gone home."""
    yield whole_shop
    await whole_shop.hangs_up("10086", "10087")
    await whole_shop.office.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def crm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crm]:
    async with crm_of(tmp_path_factory.mktemp("crm")) as crm:
        yield crm
