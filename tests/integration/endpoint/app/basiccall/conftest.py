"""The offices and floors that tests of pages made for BasicCall are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.virtual_endpoint import have_it_in_this_loop

from .floor import Floor, open_floor
from .office import Office, configuration, office_of


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with office_of(configuration(tmp_path_factory.mktemp("house"))) as office:
        yield office


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    directory = tmp_path_factory.mktemp("strict")
    async with office_of(
        configuration(directory, {"trust_agent_id": [], "keep_logon_s": 0.1})
    ) as office:
        yield office


@pytest_asyncio.fixture(loop_scope="module")
async def office(house: Office) -> AsyncIterator[Office]:
    yield house
    await house.close()


@pytest_asyncio.fixture(loop_scope="module")
async def strict_office(strict_house: Office) -> AsyncIterator[Office]:
    """Where nobody is believed who has proven nothing."""
    yield strict_house
    await strict_house.close()


@pytest.fixture
def anna_inits_with() -> str:
    """Nothing, and she is logged on; else what her page has sent with Init, and she is not."""
    return ""


@pytest.fixture
async def floor(
    one_clock: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, anna_inits_with: str
) -> AsyncIterator[Floor]:
    """Three agents and customers at a carrier, in virtual time."""
    have_it_in_this_loop(monkeypatch)
    async with open_floor(tmp_path, anna=anna_inits_with) as floor:
        yield floor
