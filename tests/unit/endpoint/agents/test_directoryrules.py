"""What a directory refuses: each mistake by its field, all of them at once."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from endpoint.agents.directory import (
    Contents,
    NoAnswer,
    Overflow,
    QueueSettings,
    Skill,
    SkillWanted,
)
from endpoint.agents.directoryrules import (
    MOST,
    TYPES,
    Item,
    Kind,
    items_of,
    key_of,
    mistakes_in,
    with_items,
    with_standard,
)
from endpoint.agents.model import (
    STANDARD_MODES,
    Agent,
    AgentId,
    BasicMode,
    LeaveReason,
    Role,
    SkillLevel,
    WorkMode,
)

pytestmark = pytest.mark.unit

ANNA = Agent(AgentId("1001"), "Anna", skills=(SkillLevel("sales"),))
SALES = QueueSettings("sales", skills=(SkillWanted("sales"),))
MODE = WorkMode(0, "ready", BasicMode.NORMAL)
REASON = LeaveReason("rest", "Rest")
CENTRE = Contents((ANNA,), (Skill("sales"),), (SALES,), (MODE,), (REASON,))


def fields_of(contents: Contents) -> list[tuple[str, str]]:
    return [(each.key, each.field) for each in mistakes_in(contents)]


def test_a_whole_centre_has_no_mistakes() -> None:
    assert mistakes_in(CENTRE) == []
    assert mistakes_in(Contents()) == []


@pytest.mark.parametrize(
    ("agent", "field"),
    [
        (replace(ANNA, id=AgentId("=1001")), "id"),
        (replace(ANNA, id=AgentId("")), "id"),
        (replace(ANNA, id=AgentId("1" * 33)), "id"),
        (replace(ANNA, name="two\nlines"), "name"),
        (replace(ANNA, name=" Anna"), "name"),
        (replace(ANNA, name="a" * 129), "name"),
        (replace(ANNA, department="a;b"), "department"),
        (replace(ANNA, role=Role.MONITOR, supervises=("Sales", "")), "supervises[1]"),
        (replace(ANNA, supervises=("Sales",)), "supervises"),
        (replace(ANNA, wrap_up_s=-1), "wrap_up_s"),
        (replace(ANNA, wrap_up_s=float("nan")), "wrap_up_s"),
        (replace(ANNA, devices=("60*", "*60")), "devices[1]"),
        (replace(ANNA, skills=(SkillLevel("sales"), SkillLevel("french"))), "skills[1].skill"),
        (replace(ANNA, skills=(SkillLevel("sales"), SkillLevel("sales"))), "skills[1].skill"),
        (replace(ANNA, skills=(SkillLevel("sales", 10),)), "skills[0].level"),
    ],
)
def test_an_agent_s_mistake_is_named(agent: Agent, field: str) -> None:
    assert fields_of(replace(CENTRE, agents=(agent,))) == [(agent.id, field)]


@pytest.mark.parametrize(
    ("queue", "field"),
    [
        (replace(SALES, code="a b"), "code"),
        (replace(SALES, name="\x1b[2J"), "name"),
        (replace(SALES, skills=()), "skills"),
        (replace(SALES, skills=(SkillWanted("french"),)), "skills[0].skill"),
        (replace(SALES, skills=(SkillWanted("sales"), SkillWanted("sales"))), "skills[1].skill"),
        (replace(SALES, skills=(SkillWanted("sales", 0),)), "skills[0].level"),
        (replace(SALES, priority=10), "priority"),
        (replace(SALES, ring_s=0), "ring_s"),
        (replace(SALES, rest_s=float("inf")), "rest_s"),
        (replace(SALES, no_answer=NoAnswer.LEAVE), "no_answer_reason"),
        (replace(SALES, no_answer=NoAnswer.LEAVE, no_answer_reason="gone"), "no_answer_reason"),
        (replace(SALES, no_answer_reason="rest"), "no_answer_reason"),
        (replace(SALES, announce_every_s=1), "announce_every_s"),
        (replace(SALES, music="../../etc/passwd"), "music"),
        (replace(SALES, music="/etc/passwd"), "music"),
        (replace(SALES, most_waiting=0), "most_waiting"),
        (replace(SALES, overflow=Overflow(device="6001")), "overflow"),
        (replace(SALES, overflow=Overflow(5, queue="x", device="6001")), "overflow"),
        (replace(SALES, overflow=Overflow(0, device="6001")), "overflow.after_s"),
        (replace(SALES, overflow=Overflow(waiting=0, device="6001")), "overflow.waiting"),
        (replace(SALES, overflow=Overflow(5, device="a b")), "overflow.device"),
        (replace(SALES, overflow=Overflow(5, queue="sales")), "overflow.queue"),
        (replace(SALES, overflow=Overflow(5, queue="gone")), "overflow.queue"),
    ],
)
def test_a_queue_s_mistake_is_named(queue: QueueSettings, field: str) -> None:
    found = fields_of(replace(CENTRE, queues=(queue,)))
    assert {key for key, _ in found} == {queue.code}
    assert field in [each for _, each in found]


def test_queues_may_help_each_other_and_leave_the_rest_to_the_flow() -> None:
    """A call goes into no queue that it has been in, whatever they say of each other."""
    day = replace(SALES, code="day", overflow=Overflow(5, queue="night"))
    night = replace(SALES, code="night", overflow=Overflow(5, queue="day"))
    flow = replace(SALES, overflow=Overflow(waiting=9))
    assert mistakes_in(replace(CENTRE, queues=(day, night, flow))) == []


@pytest.mark.parametrize(
    ("mode", "field"),
    [
        (replace(MODE, code=-1), "code"),
        (replace(MODE, name=""), "name"),
        (replace(MODE, basic=BasicMode.NONE), "basic"),
        (replace(MODE, skill="french"), "skill"),
        (replace(MODE, basic=BasicMode.LEAVE, skill="sales"), "skill"),
        (replace(MODE, position=10**7), "position"),
    ],
)
def test_a_work_mode_s_mistake_is_named(mode: WorkMode, field: str) -> None:
    assert fields_of(replace(CENTRE, modes=(mode,))) == [(str(mode.code), field)]


def test_every_mistake_is_told_at_once() -> None:
    wrong = Contents(
        agents=(replace(ANNA, wrap_up_s=-1),),
        queues=(replace(SALES, priority=99),),
        reasons=(LeaveReason("a b", "c\x00"),),
    )
    assert set(fields_of(wrong)) == {
        ("1001", "wrap_up_s"),
        ("1001", "skills[0].skill"),
        ("sales", "skills[0].skill"),
        ("sales", "priority"),
        ("a b", "code"),
        ("a b", "name"),
    }


def test_a_value_that_is_repeated_can_do_no_harm() -> None:
    """Neither to a terminal nor by its length."""
    (mistake,) = mistakes_in(replace(CENTRE, agents=(replace(ANNA, name="\x1b[2J" + "a" * 999),)))
    assert mistake.text.isprintable()
    assert len(mistake.text) < 200


def test_what_is_there_twice_is_refused() -> None:
    for kind in Kind:
        items = items_of(CENTRE, kind)
        found = mistakes_in(with_items(CENTRE, kind, items * 2))
        assert [(each.kind, each.key, each.expected) for each in found] == [
            (kind, key_of(items[0]), f"each {kind.one} once")
        ]


def test_there_is_a_most_of_each() -> None:
    skills = tuple(Skill(f"s{number}") for number in range(MOST + 1))
    (mistake,) = mistakes_in(Contents(skills=skills))
    assert (mistake.found, mistake.expected) == ("5001 of them", "up to 5000")


def test_kinds_are_the_fields_of_the_contents() -> None:
    assert [each.value for each in Kind] == [each.name for each in dataclasses.fields(Contents)]
    for kind in Kind:
        assert all(isinstance(each, TYPES[kind]) for each in items_of(CENTRE, kind))


def test_things_are_held_in_one_order_however_they_come() -> None:
    skills = (SkillLevel("b"), SkillLevel("a"))
    agents: list[Item] = [Agent(AgentId("2"), skills=skills), Agent(AgentId("1"))]
    held = with_items(Contents(), Kind.AGENTS, agents).agents
    assert held == (Agent(AgentId("1")), Agent(AgentId("2"), skills=skills[::-1]))


def test_the_standard_ones_are_there_to_be_changed() -> None:
    assert with_standard(Contents(), Kind.MODES).modes == STANDARD_MODES
    assert len(with_standard(Contents(), Kind.REASONS).reasons) == 4
    assert with_standard(CENTRE, Kind.MODES) == CENTRE
