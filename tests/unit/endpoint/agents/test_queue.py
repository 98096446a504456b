"""Who is offered to whom: first come, first served; devices take turns."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoint.agents import queue as q
from endpoint.agents.queue import Offer, Presence, Queue, Skill, Ticket, TurnAway, Withdraw
from endpoint.legs.base import DeviceId

pytestmark = pytest.mark.unit

A, B, C = DeviceId("6001"), DeviceId("6002"), DeviceId("6003")
ONE, TWO, THREE = Ticket(1), Ticket(2), Ticket(3)
FREE, BUSY, GONE = Presence(True), Presence(True, True), Presence()
SKILLS = {
    "1001": Skill("1001", (A, B), ring_s=20, rest_s=10),
    "1002": Skill("1002", (B, C), ring_s=20, rest_s=10),
}


def queue(**presence: Presence) -> Queue:
    devices = {"a": A, "b": B, "c": C}
    return Queue(SKILLS, presence={devices[name]: each for name, each in presence.items()})


def test_who_comes_is_offered_to_a_free_device() -> None:
    waiting, actions = q.enter(queue(a=BUSY, b=FREE), ONE, "1001", 0)
    assert actions == (Offer(ONE, B),)
    assert q.deadline(waiting) == 20


def test_nobody_that_can_be_reached_and_no_such_skill_turn_away() -> None:
    assert q.enter(queue(c=FREE), ONE, "1001", 0)[1] == (TurnAway(ONE, "nobody"),)
    assert q.enter(queue(a=FREE), ONE, "1009", 0)[1] == (TurnAway(ONE, "unknown_skill"),)
    waiting, _ = q.enter(queue(a=BUSY), ONE, "1001", 0)
    waiting, actions = q.seen(waiting, {A: GONE}, 5)
    assert (waiting.waiting, actions) == ((), (TurnAway(ONE, "nobody"),))


def test_who_came_first_is_first_when_a_device_gets_free() -> None:
    waiting, _ = q.enter(queue(a=BUSY, b=BUSY), ONE, "1001", 0)
    waiting, actions = q.enter(waiting, TWO, "1001", 1)
    assert actions == ()
    assert [q.position(waiting, each) for each in (ONE, TWO, THREE)] == [1, 2, 0]
    waiting, actions = q.seen(waiting, {A: BUSY, B: FREE}, 2)
    assert actions == (Offer(ONE, B),)
    # One device is offered to one call at a time.
    assert q.seen(waiting, {A: BUSY, B: FREE}, 3)[1] == ()
    assert q.seen(waiting, {A: FREE, B: FREE}, 4)[1] == (Offer(TWO, A),)


def test_where_it_is_not_answered_the_next_one_is_tried_and_the_place_is_kept() -> None:
    waiting, _ = q.enter(queue(a=FREE, b=FREE), ONE, "1001", 0)
    assert q.settle(waiting, 19)[1] == ()
    waiting, actions = q.settle(waiting, 20)
    assert actions == (Withdraw(ONE),)
    assert q.settle(waiting, 21)[1] == ()
    waiting, _ = q.enter(waiting, TWO, "1001", 21)
    waiting, actions = q.refused(waiting, ONE, 22)
    assert [each.ticket for each in waiting.waiting] == [ONE, TWO]
    assert actions == ()  # B rings for the second call
    waiting, actions = q.refused(waiting, TWO, 23)
    assert actions == ()
    assert q.deadline(waiting) == 32
    assert q.settle(waiting, 32)[1] == (Offer(ONE, A),)


def test_devices_take_turns() -> None:
    waiting = queue(a=FREE, b=FREE)
    rung = []
    for number in range(4):
        waiting, actions = q.enter(waiting, Ticket(number), "1001", number)
        (offer,) = actions
        assert isinstance(offer, Offer)
        rung.append(offer.device)
        waiting, _ = q.leave(waiting, Ticket(number), number)
    assert rung == [A, B, A, B]


def test_who_leaves_frees_the_device_for_the_next() -> None:
    waiting, _ = q.enter(queue(a=FREE), ONE, "1001", 0)
    waiting, _ = q.enter(waiting, TWO, "1001", 1)
    waiting, actions = q.leave(waiting, ONE, 2)
    assert actions == (Offer(TWO, A),)
    assert q.leave(waiting, ONE, 3) == (waiting, ())


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "leave", "refused", "seen", "settle"]),
        st.integers(1, 5),
        st.sampled_from(["1001", "1002"]),
        st.tuples(*[st.sampled_from([FREE, BUSY, GONE])] * 3),
        st.floats(0, 30),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(HAPPENINGS)
def test_nobody_is_offered_to_two_and_whoever_can_be_served_is(
    happenings: list[tuple[str, int, str, tuple[Presence, ...], float]],
) -> None:
    waiting, now = queue(a=FREE), 0.0
    for what, number, skill, presence, after in happenings:
        now += after
        ticket = Ticket(number)
        match what:
            case "enter":
                if waiting.place(ticket) is None:
                    waiting, _ = q.enter(waiting, ticket, skill, now)
            case "leave":
                waiting, _ = q.leave(waiting, ticket, now)
            case "refused":
                waiting, _ = q.refused(waiting, ticket, now)
            case "seen":
                waiting, _ = q.seen(waiting, dict(zip((A, B, C), presence, strict=True)), now)
            case _:
                pass
        waiting, _ = q.settle(waiting, now)
        rung = [each.at for each in waiting.waiting if each.at is not None]
        assert len(rung) == len(set(rung))
        # Nothing is left to be done at once, and what is to be done later has its time.
        assert q.settle(waiting, now) == (waiting, ())
        idle = [each for each in waiting.waiting if each.at is None]
        for place in idle:
            for device in SKILLS[place.skill].devices:
                free = waiting.presence.get(device) == FREE and device not in rung
                assert not free or waiting.rests[device] > now
        resting = idle and waiting.rests
        assert not resting or q.deadline(waiting) is not None
