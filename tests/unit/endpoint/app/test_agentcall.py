"""What an agent is to a call in which his device stands more than once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from endpoint.app.agentcall import party_of
from endpoint.app.following import decided
from endpoint.callcontrol.commands import CommandName
from endpoint.gateways.native import messages as wire

pytestmark = pytest.mark.unit


def party(device: str, state: str, connection: int, parked_by: str | None = None) -> wire.Party:
    return wire.Party(device, connection, False, "station", state, False, [], parked_by=parked_by)


@pytest.mark.parametrize("before", ["fail", "null"])
def test_who_came_again_is_what_he_is_now(before: str) -> None:
    now = party("6001", "connected", 3)
    parties = [party("6002", "connected", 1), party("6001", before, 2), now]
    assert party_of("6001", parties) is now
    assert party_of("6001", parties[:2]) is parties[1]
    assert party_of("6003", parties) is None


def test_he_comes_before_a_place_of_his_where_the_call_is_parked() -> None:
    place, rings = party("6001", "queued", 2, "6001"), party("6001", "alerting", 3)
    assert party_of("6001", [place, rings]) is rings
    assert party_of("6001", [place]) is place


def test_a_supervisor_is_told_only_of_those_that_are_in_the_call() -> None:
    parties = [party("6002", "connected", 1), party("6001", "fail", 2)]
    parties += [party("6001", "connected", 3), party("6900", "connected", 4)]
    at = datetime.now(UTC)
    call = wire.Call("c-1", "outbound", "6001", "", False, "6002", None, None, at, at, at, parties)
    fields = {"device": "6900", "from_outside": False, "participation": "silent", "beside": "6002"}
    told = decided(CommandName.JOIN_CALL, "6900", wire.EventFrame(1, at, "Joined", fields, call))
    assert told is not None
    assert told.text == "6900 listens to 6002, 6001; nobody hears it"
