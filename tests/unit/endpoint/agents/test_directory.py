"""What is asked of a directory, and who is told that it has changed."""

from __future__ import annotations

import pytest

from endpoint.agents.directory import (
    STANDARD_REASONS,
    Contents,
    Directory,
    DirectoryInUse,
    KnownPasswords,
    QueueSettings,
    SkillWanted,
)
from endpoint.agents.model import (
    STANDARD_MODES,
    Agent,
    AgentId,
    BasicMode,
    LeaveReason,
    WorkMode,
)

pytestmark = pytest.mark.unit

ANNA, BEN = Agent(AgentId("1001"), "Anna"), Agent(AgentId("1002"), "Ben")


def directory_of(contents: Contents) -> DirectoryInUse:
    return DirectoryInUse(KnownPasswords({ANNA.id: "right"}), contents)


def test_agents_are_found_by_number_and_listed_by_it() -> None:
    directory: Directory = directory_of(Contents(agents=(BEN, ANNA)))
    assert directory.agents() == (ANNA, BEN)
    assert directory.agent(BEN.id) == BEN
    assert directory.agent(AgentId("1003")) is None


def test_an_empty_directory_has_the_standard_modes_and_reasons() -> None:
    directory = directory_of(Contents())
    assert directory.modes() == STANDARD_MODES
    assert set(directory.reasons()) == set(STANDARD_REASONS)
    assert directory.mode(0) == STANDARD_MODES[0]


def test_a_centre_that_names_its_modes_has_no_others() -> None:
    """Their order is the one that was given, not that of their codes."""
    late = WorkMode(1, "late", BasicMode.NORMAL, position=2)
    early = WorkMode(2, "early", BasicMode.NORMAL, position=1)
    reason = LeaveReason("dentist", "Dentist")
    directory = directory_of(Contents(modes=(late, early), reasons=(reason,)))
    assert directory.modes() == (early, late)
    assert directory.mode(0) is None
    assert directory.reasons() == (reason,)
    assert directory.reason("rest") is None


def test_whoever_watches_is_told_of_a_change_until_he_looks_away() -> None:
    directory, told = directory_of(Contents()), list[int]()
    look_away = directory.watch(lambda: told.append(directory.version))
    queue = QueueSettings("sales", skills=(SkillWanted("1001"),))
    directory.replace(Contents(queues=(queue,)))
    assert directory.queue("sales") == queue
    directory.replace(Contents(queues=(queue,)))
    assert told == [directory.version], "the same again is no change"
    look_away()
    directory.replace(Contents())
    assert len(told) == 1


@pytest.mark.parametrize(
    ("agent", "password", "right"),
    [("1001", "right", True), ("1001", "", False), ("1009", "right", False), ("1009", "", False)],
)
async def test_a_password_is_right_for_its_agent_alone(
    agent: str, password: str, right: bool
) -> None:
    assert await directory_of(Contents()).is_password(AgentId(agent), password) is right
