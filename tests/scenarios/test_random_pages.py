"""Random call control under BasicCall's pages: one that is loaded anew shows what it showed.

Whoever does what, and by whatever interface: a page that has been told of each thing shows the same
as one that looks at the calls as they stand.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from endpoint.agents.model import Agent, AgentId
from endpoint.agents.session import FinishWrapUp, SetNotReady, SetReady
from endpoint.callcontrol.model import ConnectionState
from endpoint.errors import CommandRejected
from tests.scenarios.basiccall import Page
from tests.scenarios.centre import Centre, open_centre
from tests.scenarios.test_random_calls import AGENTS, Draw, act
from tests.virtual_time import run_virtual

pytestmark = pytest.mark.scenario

DIRECTORY = tuple(
    Agent(AgentId(f"100{number}"), f"Agent {number}", "sales", wrap_up_s=10)
    for number in range(1, 4)
)
WISHES = {"leave": SetNotReady(), "ready": SetReady(anyway=True), "written": FinishWrapUp()}


async def agent_acts(centre: Centre, draw: Draw) -> None:
    """One wishes something of the roster."""
    agent = AgentId(draw(st.sampled_from([each.id for each in DIRECTORY])))
    wish = WISHES[draw(st.sampled_from([*WISHES]))]
    with suppress(CommandRejected):
        await centre.do(wish, agent)


def is_about_to_ring(centre: Centre, page: Page) -> bool:
    """Its telephone is being called, which is told when it rings; till then it shows what was."""
    found = centre.desk.controller.whereabouts.connections_of(page.fold.device)
    return any(own.state is ConnectionState.NULL for _, _, own in found)


def has_called_itself(centre: Centre, page: Page) -> bool:
    """What is told of one of its connections could be about the other."""
    device = page.fold.device
    found = centre.desk.controller.whereabouts.connections_of(device)
    return any(sum(c.device == device for c in call.connections) > 1 for _, call, _ in found)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_page_that_is_loaded_anew_shows_what_it_showed(data: st.DataObject) -> None:
    async def walk() -> None:
        async with open_centre(agents=DIRECTORY, check=False) as centre:
            centre.desk.exchange.registered("6003")
            for agent, device in zip(DIRECTORY, AGENTS, strict=True):
                await centre.log_on(agent.id, device, password=None)
            pages = {agent.id: Page(centre, agent.id) for agent in DIRECTORY}
            for _ in range(data.draw(st.integers(1, 25))):
                if data.draw(st.integers(0, 9)) == 0:
                    await agent_acts(centre, data.draw)
                await act(centre.desk, data.draw)
                for agent_id, page in list(pages.items()):
                    told = await page.told()
                    if has_called_itself(centre, page):
                        del pages[agent_id]
                    if agent_id not in pages or is_about_to_ring(centre, page):
                        continue
                    anew = Page(centre, agent_id)
                    note(f"{agent_id}: {page.fold.calls}")
                    note(f"{agent_id}: {' '.join(told)} | {page.fold!r}")
                    assert anew.fold.state is page.fold.state, agent_id
                    assert anew.fold.current == page.fold.current, agent_id
            await asyncio.sleep(0.1)

    run_virtual(walk())
