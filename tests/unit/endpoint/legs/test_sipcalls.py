from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from endpoint.legs.base import DeviceId, InteractionId, LegId
from endpoint.legs.leg import Leg
from endpoint.legs.sipcalls import MOST_INTERACTIONS, SipCall, SipCalls

pytestmark = pytest.mark.unit

ONE = InteractionId("one")
AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")


class FakeLeg:
    def __init__(self, interaction: InteractionId, *call_ids: str) -> None:
        self.id = LegId("leg")
        self.interaction = interaction
        self.sip_call_ids: Sequence[str] = call_ids


def leg(interaction: InteractionId, *call_ids: str) -> Leg:
    return cast("Leg", FakeLeg(interaction, *call_ids))


def test_the_calls_of_an_interaction_are_known_while_it_lives_and_after_it() -> None:
    calls, agent, customer = SipCalls(), leg(ONE, "a"), leg(ONE)
    calls.began(agent, AGENT)
    calls.began(customer, CUSTOMER)
    assert calls.of(ONE) == [SipCall(AGENT, "a")]
    cast("FakeLeg", customer).sip_call_ids = ["b", "c"]
    told = [SipCall(AGENT, "a"), SipCall(CUSTOMER, "b"), SipCall(CUSTOMER, "c")]
    assert calls.of(ONE) == told
    calls.ended(customer)
    calls.ended(agent)
    assert calls.of(ONE) == told


def test_a_leg_that_goes_on_elsewhere_has_the_calls_of_both_places() -> None:
    calls, first, second = SipCalls(), leg(ONE, "a"), leg(ONE, "b")
    calls.began(first, AGENT)
    calls.began(second, CUSTOMER)
    calls.ended(first)
    assert calls.of(ONE) == [SipCall(AGENT, "a"), SipCall(CUSTOMER, "b")]


def test_the_oldest_are_forgotten_but_not_while_they_live() -> None:
    calls, lives = SipCalls(), leg(ONE, "lives")
    calls.began(lives, AGENT)
    for number in range(MOST_INTERACTIONS + 5):
        over = leg(InteractionId(f"over {number}"), f"{number}")
        calls.began(over, CUSTOMER)
        calls.ended(over)
    assert calls.of(ONE) == [SipCall(AGENT, "lives")]
    assert calls.of(InteractionId("over 0")) == []
    assert len(calls.interactions()) <= MOST_INTERACTIONS + 1


def test_a_leg_that_moved_to_another_interaction_is_forgotten_all_the_same() -> None:
    calls, moved = SipCalls(), leg(ONE, "a")
    calls.began(moved, AGENT)
    moved.interaction = InteractionId("two")
    calls.ended(moved)
    cast("FakeLeg", moved).sip_call_ids = []
    assert calls.of(ONE) == [SipCall(AGENT, "a")]
    for number in range(MOST_INTERACTIONS):
        over = leg(InteractionId(f"over {number}"))
        calls.began(over, CUSTOMER)
        calls.ended(over)
    assert calls.of(ONE) == []
