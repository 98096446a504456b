"""Who may act for which device, and what a route needs before it is served."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from aiohttp import web

from endpoint.agents.identity import INSTALLATION, Identity, of_agent
from endpoint.agents.model import Agent, AgentId, Role
from endpoint.app.rights import Rights, check_declared
from endpoint.callcontrol.commands import CommandName
from endpoint.gateways.native.operations import OPERATIONS, Whose
from endpoint.legs.base import DeviceId

pytestmark = pytest.mark.unit

ANN = Agent(AgentId("1001"), department="sales", devices=("6001", "61*"))
BOB = Agent(AgentId("1002"), department="sales")
SUE = Agent(AgentId("2001"), department="support")


class Desks:
    """Who is logged on where."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self.agents = agents

    def agent_at(self, device: DeviceId) -> Agent | None:
        return self.agents.get(device)

    def dials_for(self, device: DeviceId) -> str:
        return ""


def rights(**agents: Agent) -> Rights:
    desks = Desks({name.removeprefix("at_"): agent for name, agent in agents.items()})
    known = {agent.id: agent for agent in (ANN, BOB, SUE)}
    calls = {"c1": [DeviceId("6002"), DeviceId("6003")]}
    return Rights(desks, lambda call: calls.get(call, []), known.get)


def monitor(*departments: str) -> Identity:
    return of_agent(Agent(AgentId("9001"), role=Role.MONITOR, supervises=departments))


def test_a_device_is_of_who_is_logged_on_there() -> None:
    found = rights(at_6002=ANN, at_6003=BOB)
    assert found.may_act(of_agent(ANN), "6002")
    assert not found.may_act(of_agent(ANN), "6003")


def test_a_device_where_nobody_is_is_of_who_may_log_on_there_by_name() -> None:
    found = rights(at_6103=BOB)
    assert found.may_act(of_agent(ANN), "6001")
    assert found.may_act(of_agent(ANN), "6102")
    assert not found.may_act(of_agent(ANN), "6103")  # somebody else sits there now
    assert not found.may_act(of_agent(ANN), "6002")
    assert not found.may_act(of_agent(BOB), "6002")  # who may log on anywhere is not everywhere


def test_who_may_log_on_anywhere_may_bring_its_ears_to_a_free_device() -> None:
    found = rights(at_6003=SUE)
    assert found.may_stand(of_agent(BOB), "6002")
    assert not found.may_stand(of_agent(BOB), "6003")
    assert not found.may_stand(of_agent(ANN), "6002")


def test_a_monitor_acts_for_its_departments_an_administrator_for_all() -> None:
    found = rights(at_6002=ANN, at_6003=SUE)
    assert [found.may_act(monitor("sales"), each) for each in ("6002", "6003")] == [True, False]
    assert not found.may_act(monitor(), "6002")
    assert found.may_act(INSTALLATION, "6003")


def test_a_call_is_seen_by_whose_device_is_in_it() -> None:
    found = rights(at_6002=ANN, at_6004=SUE)
    assert found.sees_call(of_agent(ANN), "c1")
    assert found.sees_call(monitor("sales"), "c1")
    assert not found.sees_call(of_agent(SUE), "c1")
    assert not found.sees_call(monitor("support"), "c1")
    assert not found.sees_call(of_agent(ANN), "of-nobody")


def test_nothing_is_served_of_which_nobody_has_said_who_may() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    check_declared([web.get("/healthz", handler), web.delete("/api/v1/bans/{source:.+}", handler)])
    with pytest.raises(ValueError, match="who may POST /api/v1/bans"):
        check_declared([web.post("/api/v1/bans", handler)])


def test_each_command_can_be_asked_for_and_says_who_acts() -> None:
    found = [each for each in OPERATIONS.values() if each.commands]
    assert {name for each in found for name in each.commands} == set(CommandName)
    assert all(each.whose is Whose.DEVICE and each.actor == "device" for each in found)


def test_what_is_about_a_device_says_which() -> None:
    """In the path, or in a field of the body: else nobody could be asked whether he may."""
    for each in OPERATIONS.values():
        match each.whose:
            case Whose.DEVICE:
                assert each.actor or "{device}" in each.path
            case Whose.STATION:
                assert "{device}" in each.path
            case Whose.CALL:
                assert "{call}" in each.path
            case Whose.AGENT:
                assert "{agent}" in each.path
            case Whose.NOBODYS | Whose.ANYBODYS | Whose.FOUND | Whose.TENANT | Whose.HOUSE:
                pass
