"""What an agent is shown of calls and events: its own, from when it comes in until it has left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from endpoint.agents.identity import INSTALLATION, of_agent
from endpoint.agents.model import Agent, AgentId
from endpoint.app.rights import Rights
from endpoint.app.sight import Sight
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import DeviceId

pytestmark = pytest.mark.unit

ANN = Agent(AgentId("1001"))
NOW = datetime(2026, 11, 28, tzinfo=UTC)


class AtHerDesk:
    def agent_at(self, device: DeviceId) -> Agent | None:
        return ANN if device == "6001" else None

    def dials_for(self, device: DeviceId) -> str:
        return ""


@pytest.fixture
def sight() -> Sight:
    return Sight(Rights(AtHerDesk(), lambda _: [], lambda _: None), of_agent(ANN))


def party(device: str, state: str = "connected", *, from_outside: bool = False) -> wire.Party:
    return wire.Party(device, 1, from_outside, "station", state, True, [])


def call(name: str, *parties: wire.Party) -> wire.Call:
    return wire.Call(
        name, "inbound", "x", "", False, "y", None, None, NOW, None, None, list(parties)
    )


def event(
    event: str, device: str, of: wire.Call | None = None, name: str = "c1", **fields: Any
) -> wire.EventFrame:
    told = {"call": name, "device": device, "from_outside": False, **fields}
    return wire.EventFrame(1, NOW, event, {k: v for k, v in told.items() if v != ""}, of)


OWN = call("c1", party("6001"), party("6002"))
OTHERS = call("c2", party("6002"), party("6003"))


def test_calls_of_others_are_not_shown(sight: Sight) -> None:
    assert sight.calls([OWN, OTHERS]) == [OWN]


def test_a_caller_from_outside_who_says_her_number_is_not_her(sight: Sight) -> None:
    assert sight.calls([call("c3", party("6001", from_outside=True), party("6002"))]) == []


def test_a_call_that_she_has_left_is_not_shown(sight: Sight) -> None:
    assert sight.calls([call("c3", party("6001", "null"), party("6002"))]) == []


def test_events_of_others_are_not_shown(sight: Sight) -> None:
    assert sight.frame(event("Established", "6002", OTHERS, "c2")) is None
    assert sight.frame(event("CallCleared", "6002", None, "c2")) is None
    assert sight.frame(event("DeviceRegistered", "6002", name="")) is None
    assert sight.frame(event("TrunkDown", "", name="", trunk="t")) is None
    assert sight.frame(event("SourceBanned", "6001", name="")) is None


def test_she_is_told_of_a_call_from_when_she_comes_in_until_it_is_over(sight: Sight) -> None:
    for frame in (
        event("Delivered", "6001", OWN),
        event("Established", "6002", OWN),
        event("ConnectionCleared", "6001", call("c1", party("6001", "null"), party("6002"))),
        event("CallCleared", "6002"),
    ):
        assert sight.frame(frame) is not None
    assert sight.frame(event("CallCleared", "6002")) is None


def test_what_others_do_in_it_when_she_has_left_is_not_shown(sight: Sight) -> None:
    sight.frame(event("Established", "6001", OWN))
    left = call("c1", party("6001", "null"), party("6002"), party("6003"))
    assert sight.frame(event("Transferred", "6001", left)) is not None
    assert sight.frame(event("Held", "6002", left)) is None
    shown = sight.frame(event("ConnectionCleared", "6001", left))
    assert shown is not None
    assert shown.call is None


def test_an_event_brings_no_other_calls_or_devices_along(sight: Sight) -> None:
    frame = wire.EventFrame(
        1,
        NOW,
        "Held",
        {"call": "c1", "device": "6002", "from_outside": False},
        OWN,
        devices=[state("6001"), state("6002")],
        others=[OTHERS],
    )
    shown = sight.frame(frame)
    assert shown is not None
    assert [each.device for each in shown.devices] == ["6001"]
    assert shown.others == []


def state(device: str) -> wire.DeviceState:
    return wire.DeviceState(device, ["station"], "", True, [], [], [], [])


def test_a_snapshot_holds_her_own(sight: Sight) -> None:
    told = wire.Snapshot(
        "run",
        7,
        NOW,
        False,
        [OWN, OTHERS],
        [],
        [state("6001"), state("6002")],
        [wire.Trunk("t", True, 0, 1, [])],
    )
    shown = sight.snapshot(told)
    assert ([each.call for each in shown.calls], shown.trunks) == (["c1"], [])
    assert [each.device for each in shown.devices] == ["6001"]
    # The end of a call that was in it is told.
    assert sight.frame(event("CallCleared", "6002")) is not None


def test_an_administrator_is_shown_all() -> None:
    sight = Sight(Rights(AtHerDesk(), lambda _: [], lambda _: None), INSTALLATION)
    frame = event("SourceBanned", "6009", name="")
    assert sight.frame(frame) is frame
    assert sight.calls([OWN, OTHERS]) == [OWN, OTHERS]
