"""Pages of a CRM with the vendor's own scripts, at an office with a carrier and real audio."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import ClearCall, GenerateDigits, MakeCall
from endpoint.errors import CommandRejected
from endpoint.legs.base import DeviceId
from endpoint.storage.extensions import Extension, Extensions
from tests.integration.endpoint.app.basiccall.conftest import configuration, office_of
from tests.integration.endpoint.app.basiccall.test_audio import (
    HZ,
    REMOTE,
    Floor,
    carrier_of,
    free_port,
    trunk,
)

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


def both_ways(port: int, ours: list[str], theirs: list[str]) -> dict[str, Any]:
    return trunk(port, "", "") | {
        "incoming": [{"match": each} for each in ours],
        "outgoing": [{"match": each} for each in theirs],
    }


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def whole_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    ours, theirs = free_port(), free_port()
    inside, outside = ["6*", "900"], ["1*"]
    config = configuration(
        tmp_path_factory.mktemp("office"),
        {"second_port": 0},
        http={"port": 0, "plain_port": 0, "origins": [ORIGIN]},
        sip={"port": ours, "tcp": False, "tls": False},
        station=[
            {"device": device, "kind": "tone", "frequency_hz": HZ[device]}
            for device in ("6002", "6003")
        ],
        agent=[{"device": "6001", "input": "tone:350"}],
        trunk=[both_ways(theirs, inside, outside)],
    )
    outside_world = carrier_of(tmp_path_factory.mktemp("carrier"), theirs, ours)
    other_way = type(outside_world.trunk[0]).model_validate(both_ways(ours, outside, inside))
    async with (
        Endpoint(outside_world.model_copy(update={"trunk": [other_way]})) as carrier,
        office_of(config, passwords=False) as office,
    ):
        for endpoint in (carrier, office.endpoint):
            events = endpoint.controller.subscribe(0)
            while not all(each.up for each in endpoint.exchange.trunks()):
                await anext(events)
        extensions = Extensions(office.endpoint.database)
        realm = office.endpoint.config.sip.realm
        await add_extension(extensions, realm, Extension(REMOTE, ""), "not-used-8Zx")
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
