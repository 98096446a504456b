"""Who has proven nothing guesses passwords, and asks who there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from endpoint.client.errors import RequestRefused

from .office import ANNA, PIN, Office, configuration, office_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

MOST = 2
"""Of one agent; five times as many of all of them."""


@pytest_asyncio.fixture(loop_scope="module")
async def wary(tmp_path: Path) -> AsyncIterator[Office]:
    config = configuration(tmp_path, {"trust_agent_id": []}, tokens={"attempts_per_minute": MOST})
    async with office_of(config) as office:
        yield office
        await office.close()


async def test_s19_who_tries_one_password_at_all_agents_waits_at_every_way_in(
    wary: Office,
) -> None:
    heard = set()
    for number in (*range(1001, 1005), *range(2001, 2007)):
        async with wary.page(str(number), code="0000") as page:
            await page.until("onFunctionSwitch")
            await page.logon()
            heard.add(await page.until("onLogonFailed"))
    ((_, code, text),) = heard
    assert (code, text) == ("wrong_password", "no such agent, or another password")
    async with wary.page(code=PIN) as page:
        await page.until("onFunctionSwitch")
        await page.logon()
        assert (await page.until("onLogonFailed"))[1] == "too_many_attempts"
    with pytest.raises(RequestRefused) as refused:
        await wary.client.log_in(ANNA, PIN)
    assert refused.value.status == 429
