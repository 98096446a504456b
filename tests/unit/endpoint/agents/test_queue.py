"""Who is offered to whom: by priority and who came first; to the best, then the longest idle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoint.agents import queue as q
from endpoint.agents.directory import NoAnswer, Overflow, QueueSettings, SkillWanted
from endpoint.agents.model import AgentId, SkillLevel
from endpoint.agents.queue import (
    Action,
    Announce,
    Answer,
    Divert,
    GiveUp,
    Member,
    Move,
    Offer,
    SetAside,
    State,
    Ticket,
    TurnAway,
    Withdraw,
)
from endpoint.legs.base import DeviceId

pytestmark = pytest.mark.unit

A, B, C = DeviceId("6001"), DeviceId("6002"), DeviceId("6003")
ONE, TWO, THREE = Ticket(1), Ticket(2), Ticket(3)
SALES, HELP = "sales", "help"
TALK, REPAIR = SkillLevel("talk"), SkillLevel("repair")


def member(device: DeviceId, *skills: SkillLevel, free: bool = True, since: float = 0.0) -> Member:
    return Member(device, AgentId(f"1{device[1:]}"), skills or (TALK,), free, since)


def state(*members: Member, **changes: object) -> State:
    """Sales wants somebody who talks; help somebody who talks or, better than 3, repairs."""
    sales = QueueSettings(SALES, skills=(SkillWanted("talk"),), ring_s=20, rest_s=10)
    help_ = QueueSettings(HELP, skills=(SkillWanted("talk"), SkillWanted("repair", 4)))
    sales = replace(sales, **changes)  # type: ignore[arg-type] # a name that is none fails
    return State({SALES: sales, HELP: help_}, members=by_device(members))


def by_device(members: Iterable[Member]) -> dict[DeviceId, Member]:
    return {each.device: each for each in members}


def busy(state: State, *devices: DeviceId) -> State:
    changed = {each: replace(state.members[each], free=False) for each in devices}
    return replace(state, members={**state.members, **changed})


def entered(state: State, *tickets: Ticket, queue: str = SALES, now: float = 0) -> State:
    for ticket in tickets:
        state, _ = q.enter(state, ticket, queue, now)
    return state


# -- whom ---------------------------------------------------------------------------------------


def test_who_comes_is_offered_to_who_is_free() -> None:
    waiting, actions = q.enter(state(member(A, free=False), member(B)), ONE, SALES, 0)
    assert actions == (Offer(ONE, B),)
    assert q.deadline(waiting) == 20


def test_the_best_goes_before_who_was_idle_for_longest() -> None:
    best = member(B, SkillLevel("talk", 9), since=50)
    assert q.enter(state(member(A, since=1), best), ONE, SALES, 60)[1] == (Offer(ONE, B),)


def test_of_equals_who_was_idle_for_longest_then_by_number() -> None:
    three = (member(A, since=30), member(B, since=10), member(C, since=20))
    assert q.enter(state(*three), ONE, SALES, 60)[1] == (Offer(ONE, B),)
    assert q.enter(state(member(B), member(A)), ONE, SALES, 60)[1] == (Offer(ONE, A),)


def test_a_level_counts_for_its_own_skill_alone_and_from_the_lowest_that_is_wanted_on() -> None:
    below = member(A, SkillLevel("repair", 3))
    enough = member(B, SkillLevel("repair", 4), SkillLevel("other", 9))
    better = member(C, SkillLevel("talk", 5), SkillLevel("repair", 2))
    assert q.enter(state(below), ONE, HELP, 0)[1] == (TurnAway(ONE, "nobody"),)
    assert q.enter(state(below, enough), ONE, HELP, 0)[1] == (Offer(ONE, B),)
    assert q.enter(state(below, enough, better), ONE, HELP, 0)[1] == (Offer(ONE, C),)


def test_one_who_serves_two_queues_rings_for_one_call() -> None:
    waiting, actions = q.enter(state(member(A)), ONE, SALES, 0)
    assert actions == (Offer(ONE, A),)
    waiting, actions = q.enter(waiting, TWO, HELP, 1)
    assert actions == ()
    assert q.settle(waiting, 2)[1] == ()


# -- who first ------------------------------------------------------------------------------------


def test_who_came_first_is_first_in_all_queues() -> None:
    waiting = busy(state(member(A)), A)
    waiting, _ = q.enter(waiting, ONE, HELP, 0)
    waiting = entered(waiting, TWO, now=1)
    waiting = entered(waiting, THREE, now=2)
    assert [q.position(waiting, each) for each in (ONE, TWO, THREE, Ticket(4))] == [1, 1, 2, 0]
    assert q.seen(waiting, [member(A)], 3)[1] == (Offer(ONE, A),)


def test_a_higher_priority_goes_first() -> None:
    waiting = entered(busy(state(member(A), priority=3), A), ONE)
    waiting, _ = q.enter(waiting, TWO, SALES, 1, priority=9)
    waiting, _ = q.enter(waiting, THREE, SALES, 2, priority=1)
    assert [q.position(waiting, each) for each in (ONE, TWO, THREE)] == [2, 1, 3]
    assert q.seen(waiting, [member(A)], 3)[1] == (Offer(TWO, A),)


def test_who_is_ready_is_offered_at_once_what_waits() -> None:
    waiting = entered(busy(state(member(A), member(B)), A, B), ONE, TWO)
    assert q.seen(waiting, [member(A), member(B, since=9)], 9)[1] == (
        Offer(ONE, A),
        Offer(TWO, B),
    )


def test_who_leaves_frees_the_agent_for_the_next() -> None:
    waiting = entered(state(member(A)), ONE, TWO)
    waiting, actions = q.leave(waiting, ONE, 2)
    assert actions == (Offer(TWO, A),)
    assert q.leave(waiting, ONE, 3)[1] == ()


# -- no answer ------------------------------------------------------------------------------------


def test_where_it_is_not_answered_the_next_one_is_tried_and_the_place_is_kept() -> None:
    waiting = entered(state(member(A), member(B)), ONE)
    assert q.settle(waiting, 19)[1] == ()
    waiting, actions = q.settle(waiting, 20)
    assert actions == (Withdraw(ONE),)
    assert q.settle(waiting, 21)[1] == ()
    waiting, actions = q.enter(waiting, TWO, SALES, 21)
    assert actions == (Offer(TWO, B),)
    waiting, actions = q.refused(waiting, ONE, 22)
    assert [each.ticket for each in waiting.waiting] == [ONE, TWO]
    assert actions == ()  # B rings for the second call, A rests
    waiting, actions = q.refused(waiting, TWO, 23)
    assert actions == ()
    assert q.deadline(waiting) == 32
    assert q.settle(waiting, 31.9)[1] == ()
    assert q.settle(waiting, 32)[1] == (Offer(ONE, A),)


def test_who_did_not_answer_is_idle_from_then_on() -> None:
    waiting = entered(state(member(A, since=1), member(B, since=2), rest_s=1), ONE)
    waiting, actions = q.refused(waiting, ONE, 5)
    assert actions == (Offer(ONE, B),)
    waiting, _ = q.leave(waiting, ONE, 6)
    waiting, _ = q.seen(waiting, [member(A, since=1), member(B, since=4)], 10)
    assert q.enter(waiting, TWO, SALES, 10)[1] == (Offer(TWO, B),)


def test_who_did_not_answer_is_set_aside_where_the_queue_says_so() -> None:
    leaves = {"no_answer": NoAnswer.LEAVE, "no_answer_reason": "away"}
    waiting = entered(state(member(A), **leaves), ONE)
    waiting, actions = q.refused(waiting, ONE, 5)
    assert actions == (SetAside(AgentId("1001"), "away"),)
    assert q.settle(waiting, 100)[1] == ()
    # He is offered what waits as soon as he is ready again.
    assert q.seen(waiting, [member(A)], 6)[1] == (Offer(ONE, A),)


def test_nobody_is_set_aside_whose_telephone_could_not_be_called_or_where_no_agent_is() -> None:
    leaves = {"no_answer": NoAnswer.LEAVE}
    for at, rang in ((member(A), False), (replace(member(A), agent=None), True)):
        waiting = entered(state(at, **leaves), ONE)
        waiting, actions = q.refused(waiting, ONE, 5, rang=rang)
        assert actions == ()
        assert q.deadline(waiting) == 15
        assert q.settle(waiting, 15)[1] == (Offer(ONE, A),)


def test_where_the_telephone_is_lost_it_is_taken_back_at_once_and_nobody_is_blamed() -> None:
    """Also where it is back before the far end has said that it rings no more."""
    waiting = entered(state(member(A), member(B, since=1), no_answer=NoAnswer.LEAVE), ONE)
    lost = replace(member(A, free=False), reachable=False)
    waiting, actions = q.seen(waiting, [lost, member(B, since=1)], 5)
    assert actions == (Withdraw(ONE, unanswered=False),)
    assert q.settle(waiting, 30)[1] == ()
    waiting, actions = q.seen(waiting, [member(A), member(B, since=1)], 31)
    assert actions == ()
    waiting, actions = q.refused(waiting, ONE, 32)
    assert actions == (Offer(ONE, B),)
    # Who lets it ring then is.
    waiting, _ = q.settle(waiting, 52)
    assert q.refused(waiting, ONE, 53)[1] == (SetAside(AgentId("1002"), ""), Offer(ONE, A))


def test_a_queue_or_an_agent_may_be_gone_when_it_has_rung() -> None:
    waiting = entered(state(member(A), member(B, since=1)), ONE)
    gone, _ = q.seen(waiting, [member(B, free=False)], 5)
    gone, actions = q.refused(gone, ONE, 6)
    assert actions == ()
    assert [each.device for each in gone.serving(gone.queues[SALES])] == [B]
    assert q.seen(gone, [member(A)], 7)[1] == (Offer(ONE, A),)
    closed, actions = q.configured(waiting, [], 5)
    assert actions == ()
    assert q.refused(closed, ONE, 6)[1] == (TurnAway(ONE, "unknown_queue"),)


def test_who_could_serve_has_the_skill_and_who_is_gone_is_forgotten() -> None:
    waiting = entered(state(member(A), member(B, SkillLevel("other"))), ONE)
    assert [each.device for each in waiting.serving(waiting.queues[SALES])] == [A]
    waiting, _ = q.refused(waiting, ONE, 5)
    assert waiting.passed_over == {A: 5}
    waiting, _ = q.seen(waiting, [member(B)], 6)
    assert waiting.passed_over == {}


# -- nobody, too many, too long -------------------------------------------------------------------


def test_nobody_who_could_come_no_such_queue_and_a_closed_one_turn_away() -> None:
    assert q.enter(state(), ONE, SALES, 0)[1] == (TurnAway(ONE, "nobody"),)
    assert q.enter(state(member(A)), ONE, "other", 0)[1] == (TurnAway(ONE, "unknown_queue"),)
    assert q.enter(state(member(A), enabled=False), ONE, SALES, 0)[1] == (TurnAway(ONE, "closed"),)
    waiting = entered(busy(state(member(A)), A), ONE)
    gone, actions = q.seen(waiting, [], 5)
    assert (gone.waiting, actions) == ((), (TurnAway(ONE, "nobody"),))


def test_a_queue_that_is_closed_serves_those_who_wait_and_one_that_is_gone_does_not() -> None:
    waiting = entered(busy(state(member(A)), A), ONE)
    closed = [replace(each, enabled=False) for each in waiting.queues.values()]
    waiting, actions = q.configured(waiting, closed, 1)
    assert actions == ()
    assert q.seen(waiting, [member(A)], 2)[1] == (Offer(ONE, A),)
    assert q.configured(waiting, [], 2)[1] == (TurnAway(ONE, "unknown_queue"),)


def test_who_comes_when_too_many_wait_is_turned_away() -> None:
    waiting = entered(busy(state(member(A), most_waiting=1), A), ONE)
    waiting, actions = q.enter(waiting, TWO, SALES, 1)
    assert actions == (TurnAway(TWO, "full"),)
    assert [each.ticket for each in waiting.waiting] == [ONE]


def test_who_is_to_be_called_back_later_is_due_from_then_on() -> None:
    later = q.Place(ONE, SALES, 0, not_before=100)
    assert [later.is_due(now) for now in (99.9, 100, 100.1)] == [False, True, True]
    assert q.Place(ONE, SALES, 0).is_due(0)


def test_who_is_to_be_called_back_later_stands_in_nobodys_way_until_then() -> None:
    later = q.Place(ONE, SALES, 0, not_before=100)
    told = {"announce_every_s": 10, "most_waiting": 1}
    waiting, actions = q.resume(busy(state(member(A), **told), A), later, 0)
    assert actions == ()
    assert q.deadline(waiting) == 100
    waiting, actions = q.enter(waiting, TWO, SALES, 1)
    assert actions == (), "the queue has room for one"
    assert waiting.waiting_in(SALES)[1].began_at == 1
    waiting, actions = q.settle(waiting, 11)
    assert actions == (Announce(TWO, 1, None),)
    assert q.seen(waiting, [member(A)], 99)[1] == (Offer(TWO, A),)
    waiting, actions = q.settle(waiting, 100)
    assert actions == (Announce(TWO, 2, None),)
    assert q.seen(waiting, [member(A)], 101)[1] == (Offer(ONE, A),)


def test_who_has_waited_for_too_long_goes_on_and_keeps_when_he_came() -> None:
    over = Overflow(after_s=30, queue=HELP)
    waiting = entered(busy(state(member(A), overflow=over), A), ONE)
    waiting, _ = q.enter(waiting, TWO, HELP, 10)
    assert q.settle(waiting, 29.9)[1] == ()
    waiting, actions = q.settle(waiting, 30)
    assert actions == (Move(ONE, SALES, HELP),)
    assert [q.position(waiting, each) for each in (ONE, TWO)] == [1, 2]
    assert q.deadline(waiting) is None


def test_he_does_not_while_it_rings_for_him() -> None:
    over = Overflow(after_s=10, queue=HELP)
    waiting = entered(state(member(A), overflow=over), ONE)
    waiting, actions = q.settle(waiting, 15)
    assert actions == ()
    assert q.refused(waiting, ONE, 16)[1] == (Move(ONE, SALES, HELP),)


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (Overflow(waiting=1, queue=HELP), Move(TWO, SALES, HELP)),
        (Overflow(waiting=1, device="6009"), Divert(TWO, DeviceId("6009"))),
        (Overflow(waiting=1), TurnAway(TWO, "overflow")),
    ],
)
def test_too_many_go_on_at_once(over: Overflow, expected: Action) -> None:
    waiting, actions = q.enter(busy(state(member(A), overflow=over), A), ONE, SALES, 0)
    assert actions == ()
    waiting, actions = q.enter(waiting, TWO, SALES, 1)
    assert actions == (expected,)
    queues = {each.ticket: each.queue for each in waiting.waiting}
    assert queues == {ONE: SALES, **({TWO: HELP} if isinstance(expected, Move) else {})}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (Overflow(after_s=30, device="6009"), Divert(ONE, DeviceId("6009"))),
        (Overflow(after_s=30), TurnAway(ONE, "overflow")),
    ],
)
def test_who_has_waited_for_too_long_goes_out_of_the_queues(
    over: Overflow, expected: Action
) -> None:
    waiting = entered(busy(state(member(A), overflow=over), A), ONE)
    waiting, actions = q.settle(waiting, 30)
    assert (waiting.waiting, actions) == ((), (expected,))


def test_only_those_of_the_same_queue_count() -> None:
    over = Overflow(after_s=30, queue=HELP)
    waiting = busy(state(member(A), overflow=over, most_waiting=1), A)
    full = replace(waiting.queues[HELP], most_waiting=2)
    waiting = replace(waiting, queues={**waiting.queues, HELP: full})
    waiting = entered(waiting, TWO, queue=HELP)
    waiting, actions = q.enter(waiting, ONE, SALES, 1)
    assert actions == ()
    place = waiting.place(ONE)
    assert place is not None
    assert place.began_at == 1
    moved, actions = q.settle(waiting, 31)
    assert actions == (Move(ONE, SALES, HELP),)
    waiting = entered(waiting, THREE, queue=HELP, now=2)
    assert q.settle(waiting, 31)[1] == ()
    assert q.enter(moved, THREE, HELP, 32)[1] == (TurnAway(THREE, "full"),)


def test_who_can_go_nowhere_waits_on_and_nobody_goes_round() -> None:
    """To a queue that is closed, full, unserved, unknown; or where he has been."""
    over = Overflow(after_s=30, queue=HELP)
    one = entered(busy(state(member(A), overflow=over), A), ONE)
    help_ = one.queues[HELP]
    for other in (
        replace(help_, enabled=False),
        replace(help_, most_waiting=0),
        replace(help_, skills=(SkillWanted("repair"),)),
        replace(help_, code="x"),
    ):
        queues = {SALES: one.queues[SALES], other.code: other}
        waiting, actions = q.settle(replace(one, queues=queues), 30)
        assert actions == ()
        assert (q.position(waiting, ONE), q.deadline(waiting)) == (1, None)
    back = replace(help_, overflow=Overflow(after_s=5, queue=SALES))
    waiting, actions = q.settle(replace(one, queues={**one.queues, HELP: back}), 30)
    assert actions == (Move(ONE, SALES, HELP),)
    waiting, actions = q.settle(waiting, 35)
    assert actions == ()
    assert q.deadline(waiting) is None


# -- what callers are told ------------------------------------------------------------------------


def test_how_a_queue_is_changed_counts_for_those_who_wait_in_it() -> None:
    over = Overflow(after_s=30, device="6009")
    waiting = entered(state(member(A, free=False), overflow=over), ONE)
    plain = {SALES: replace(waiting.queues[SALES], overflow=None), HELP: waiting.queues[HELP]}
    without, _ = q.configured(waiting, plain.values(), 5)
    assert q.deadline(without) is None
    assert q.settle(without, 30)[1] == ()
    with_both = replace(plain[SALES], overflow=over, announce_every_s=10)
    told, _ = q.configured(without, [with_both, plain[HELP]], 7)
    assert q.deadline(told) == 10
    told, actions = q.settle(told, 10)
    assert actions == (Announce(ONE, 1, None),)
    assert q.settle(told, 30)[1] == (Divert(ONE, DeviceId("6009")),)


def test_who_could_go_nowhere_goes_on_when_the_queues_are_others() -> None:
    waiting = entered(
        state(member(A, free=False), overflow=Overflow(after_s=30, queue="none")), ONE
    )
    waiting, actions = q.settle(waiting, 30)
    assert actions == ()
    assert q.deadline(waiting) is None
    there = {**waiting.queues, "none": replace(waiting.queues[SALES], code="none", overflow=None)}
    assert q.configured(waiting, there.values(), 40)[1] == (Move(ONE, SALES, "none"),)


def test_positions_are_announced_every_so_often_but_not_while_it_rings() -> None:
    waiting = busy(state(member(A), announce_every_s=30, announce_wait=True), A)
    waiting = entered(waiting, ONE)
    waiting = entered(waiting, TWO, now=10)
    waiting, actions = q.settle(waiting, 30)
    assert actions == (Announce(ONE, 1, None),)
    waiting = q.answered(waiting, SALES, Answer(60, 2))
    waiting, actions = q.settle(waiting, 40)
    assert actions == (Announce(TWO, 2, 60),)
    waiting, actions = q.seen(waiting, [member(A)], 60)
    assert actions == (Offer(ONE, A),)
    assert q.refused(waiting, ONE, 62)[1] == (Announce(ONE, 1, 30),)


def test_how_long_it_may_take_is_told_where_the_queue_says_so() -> None:
    waiting = entered(busy(state(member(A), announce_every_s=30), A), ONE)
    waiting = q.answered(waiting, SALES, Answer(60, 2))
    assert q.settle(waiting, 30)[1] == (Announce(ONE, 1, None),)


def test_a_step_takes_as_long_as_those_of_the_latest_who_were_answered() -> None:
    waiting = state(member(A))
    assert q.wait_of(waiting, SALES, 1) is None
    for _ in range(q.RECENT):
        waiting = q.answered(waiting, SALES, Answer(1000, 1))
    for number in range(q.RECENT):
        waiting = q.answered(waiting, SALES, Answer(30, 1 if number % 2 else 2))
    assert q.wait_of(waiting, SALES, 3) == pytest.approx(60)
    assert q.wait_of(waiting, HELP, 3) is None


def test_it_is_kept_from_which_place_a_call_began() -> None:
    waiting = entered(busy(state(member(A)), A), ONE, TWO)
    waiting, _ = q.enter(waiting, THREE, SALES, 5, priority=5)
    places = {each.ticket: each.began_at for each in waiting.waiting}
    assert places == {ONE: 1, TWO: 2, THREE: 1}


# -- call-back ------------------------------------------------------------------------------------


def test_who_is_to_be_called_back_keeps_his_place_and_has_time() -> None:
    over = Overflow(after_s=30, queue=HELP)
    waiting = busy(state(member(A), overflow=over, announce_every_s=20), A)
    waiting = entered(waiting, ONE, TWO)
    waiting, actions = q.call_back(waiting, ONE, 10)
    assert actions == ()
    assert [q.position(waiting, each) for each in (ONE, TWO)] == [1, 2]
    waiting, actions = q.settle(waiting, 30)
    assert actions == (Move(TWO, SALES, HELP),)
    waiting, actions = q.seen(waiting, [], 40)
    assert actions == (TurnAway(TWO, "nobody"),)
    assert q.seen(waiting, [member(A)], 50)[1] == (Offer(ONE, A),)


def test_whoever_was_to_be_called_back_before_we_began_has_his_place() -> None:
    waiting = entered(busy(state(member(A)), A), TWO, now=5)
    waiting, actions = q.resume(waiting, q.Place(ONE, SALES, since=-100, tries=2), 6)
    assert actions == ()
    assert q.seen(waiting, [member(A)], 7)[1] == (Offer(ONE, A),)
    waiting, _ = q.seen(waiting, [member(A)], 7)
    assert q.not_reached(waiting, ONE, 8)[1] == (GiveUp(ONE), Offer(TWO, A))
    assert q.resume(State(), q.Place(ONE, "gone", 0), 1)[1] == (TurnAway(ONE, "unknown_queue"),)


def test_nobody_can_ask_for_it_while_it_rings_for_him() -> None:
    waiting = entered(state(member(A)), ONE)
    same, actions = q.call_back(waiting, ONE, 1)
    assert actions == ()
    place = same.place(ONE)
    assert place is not None
    assert not place.calls_back


def test_who_does_not_answer_is_called_again_later_and_so_often() -> None:
    waiting = entered(busy(state(member(A), member(B)), A, B), ONE)
    waiting, _ = q.call_back(waiting, ONE, 1)
    now = 10.0
    for tried in range(1, q.CALL_BACK_TRIES + 1):
        waiting, actions = q.seen(waiting, [member(A)], now)
        assert actions == (Offer(ONE, A),)
        waiting, actions = q.not_reached(waiting, ONE, now + 30)
        if tried == q.CALL_BACK_TRIES:
            assert actions == (GiveUp(ONE),)
            assert waiting.waiting == ()
            return
        assert actions == ()
        now += 30 + q.CALL_BACK_AGAIN_S
        assert q.deadline(waiting) == now
        assert q.settle(waiting, now - 1)[1] == ()


def test_who_is_to_be_called_again_and_has_no_agent_wakes_nobody_over_and_over() -> None:
    goes_on = state(member(A, free=False), overflow=Overflow(after_s=30), announce_every_s=10)
    waiting, _ = q.call_back(entered(goes_on, ONE), ONE, 1)
    assert q.deadline(waiting) is None
    waiting, _ = q.seen(waiting, [member(A)], 2)
    waiting, _ = q.seen(waiting, [member(A, free=False)], 3)
    waiting, _ = q.not_reached(waiting, ONE, 4)
    assert q.deadline(waiting) == 304
    waiting, actions = q.settle(waiting, 304)
    assert actions == ()
    assert q.deadline(waiting) is None
    assert q.seen(waiting, [member(A)], 400)[1] == (Offer(ONE, A),)


def test_an_agent_who_does_not_answer_costs_who_is_called_back_no_try() -> None:
    waiting = entered(busy(state(member(A)), A), ONE)
    waiting, _ = q.call_back(waiting, ONE, 1)
    waiting, _ = q.seen(waiting, [member(A)], 2)
    waiting, _ = q.refused(waiting, ONE, 22)
    place = waiting.place(ONE)
    assert place is not None
    assert (place.tries, place.at) == (0, None)
    assert q.settle(waiting, 32)[1] == (Offer(ONE, A),)


def test_what_is_said_of_who_does_not_wait_is_harmless() -> None:
    waiting = state(member(A))
    for said in (
        q.leave(waiting, ONE, 1),
        q.refused(waiting, ONE, 1),
        q.call_back(waiting, ONE, 1),
        q.not_reached(waiting, ONE, 1),
    ):
        assert said == (waiting, ())
    waiting = entered(busy(waiting, A), ONE)
    for said in (q.refused(waiting, ONE, 1), q.not_reached(waiting, ONE, 1)):
        assert said == (waiting, ())


# -- whatever happens -----------------------------------------------------------------------------

HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "enter",
                "leave",
                "refused",
                "seen",
                "settle",
                "call_back",
                "not_reached",
                "configured",
            ]
        ),
        st.integers(1, 6),
        st.sampled_from([SALES, HELP]),
        st.tuples(*[st.sampled_from([True, False, None])] * 3),
        st.floats(0, 30),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(HAPPENINGS)
def test_nobody_rings_for_two_and_whoever_can_be_served_is(
    happenings: list[tuple[str, int, str, tuple[bool | None, ...], float]],
) -> None:
    over = Overflow(after_s=25, waiting=3, queue=HELP)
    waiting, now = state(member(A), overflow=over, announce_every_s=7), 0.0
    for what, number, queue, free, after in happenings:
        now += after
        ticket = Ticket(number)
        match what:
            case "enter":
                waiting, _ = q.leave(waiting, ticket, now)
                waiting, _ = q.enter(waiting, ticket, queue, now, number)
            case "leave":
                waiting, _ = q.leave(waiting, ticket, now)
            case "refused":
                waiting, _ = q.refused(waiting, ticket, now)
            case "seen":
                there = [
                    member(device, free=is_free)
                    for device, is_free in zip((A, B, C), free, strict=True)
                    if is_free is not None
                ]
                waiting, _ = q.seen(waiting, there, now)
            case "call_back":
                waiting, _ = q.call_back(waiting, ticket, now)
            case "not_reached":
                waiting, _ = q.not_reached(waiting, ticket, now)
            case "configured":
                changed = replace(
                    waiting.queues[queue],
                    overflow=over if free[0] else None,
                    announce_every_s=7 if free[1] else 0,
                    enabled=free[2] is not None,
                )
                queues = {**waiting.queues, queue: changed}
                waiting, _ = q.configured(waiting, queues.values(), now)
            case _:
                waiting, _ = q.settle(waiting, now)
        rung = [each.at for each in waiting.waiting if each.at is not None]
        assert len(rung) == len(set(rung))
        deadline = q.deadline(waiting)
        assert deadline is None or deadline > now
        idle = [each for each in waiting.waiting if each.at is None]
        assert idle == sorted(idle, key=lambda each: each.rank)
        due = [each for each in idle if each.not_before is None or each.not_before <= now]
        for each in waiting.members.values():
            if each.free and each.device not in waiting.rests and each.device not in rung:
                assert not due
        again, actions = q.settle(waiting, now)
        assert (again, actions) == (waiting, ())  # one drain is enough
        deadline = q.deadline(waiting)
        assert deadline is None or deadline > now
