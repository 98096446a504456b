"""F2 of pages for BasicCall: the endpoint is killed in a call, and its page goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.gateways.native import directorymessages as directory
from tests.softphone import SoftPhone, soft_phone

from .peers.process import free_port
from .serving import Serving

pytestmark = pytest.mark.interop

AGENT, OWN, OTHER = "1001", "6001", "6002"


async def talks(page: SoftPhone) -> None:
    """With a colleague's telephone."""
    await page.do("CallInner", destSPType="EXT", destSPIns=OTHER)
    await page.event("CallInnerBegin")
    await page.shows(26)


async def test_f2_a_page_whose_endpoint_is_killed_in_a_call_goes_on_by_its_session(
    tmp_path: Path,
) -> None:
    port = free_port()
    serving = Serving(
        tmp_path / "endpoint",
        stations={OWN: 350, OTHER: 620},
        settings={"BASICCALL__ENABLED": True, "BASICCALL__PORT": port},
    )
    url = f"ws://127.0.0.1:{port}/"
    async with serving:
        agents = [directory.Agent(AGENT, "Anna", wrap_up_s=600)]
        await serving.client.bring_into_directory(directory.DirectoryImport(agents=agents))
        async with soft_phone(url, AGENT, OWN) as page:
            await page.until("onInited")
            await page.logon()
            await page.shows(3)
            await talks(page)
            shown = page.delegator_id
            await serving.kill(whole=True)
            await page.until("onWSClose")
        await serving.start()
        async with soft_phone(url, AGENT, OWN, delegator_id=shown) as page:
            assert await page.until("onInited") == shown
            # The call went with the process: its end is not shown twice, and there is no other.
            assert page.state == 3
            assert page.co_infos == {}
            await talks(page)
            await page.do("DropCall")
            await page.event("DevDisconnected")
            await page.shows(3)
        await serving.noted_nothing()  # a page hears of its own end, and the call's comes after it
        causes = sorted(str(each.ending.cause) for each in await serving.records())
        assert causes == ["lost", "normal"]
