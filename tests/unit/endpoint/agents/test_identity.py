"""Whom an identity may act about, by its role, and for how long it proves something."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from endpoint.agents.identity import (
    INSTALLATION,
    OF_ROLE,
    Identity,
    Scope,
    narrowed,
    of_agent,
)
from endpoint.agents.model import Agent, AgentId, Role

pytestmark = pytest.mark.unit

OWN = Agent(AgentId("1001"), department="sales")
COLLEAGUE = Agent(AgentId("1002"), department="sales")
STRANGER = Agent(AgentId("2001"), department="support")


@pytest.mark.parametrize(
    ("identity", "about"),
    [
        (of_agent(OWN), [OWN]),
        (of_agent(replace(OWN, supervises=("sales",))), [OWN]),  # an agent supervises nobody
        (of_agent(replace(OWN, role=Role.MONITOR)), [OWN]),
        (of_agent(replace(OWN, role=Role.MONITOR, supervises=("sales",))), [OWN, COLLEAGUE]),
        (of_agent(replace(OWN, role=Role.MONITOR, supervises=("support",))), [OWN, STRANGER]),
        (of_agent(replace(OWN, role=Role.ADMINISTRATOR)), [OWN, COLLEAGUE, STRANGER]),
        (INSTALLATION, [OWN, COLLEAGUE, STRANGER]),
    ],
)
def test_a_role_says_about_whom(identity: Identity, about: list[Agent]) -> None:
    assert [each for each in (OWN, COLLEAGUE, STRANGER) if identity.is_about(each)] == about


def test_nobody_without_an_agent_is_about_an_agent_without_a_name() -> None:
    """A machine that is no administrator is about no agent, also of no department."""
    machine = replace(INSTALLATION, role=Role.AGENT)
    assert not machine.is_about(Agent(AgentId("")))


def test_a_token_is_for_less_than_its_role_never_for_more() -> None:
    identity = narrowed(of_agent(OWN), frozenset({Scope.CALLS_READ, Scope.ADMIN_WRITE}))
    assert identity.may(Scope.CALLS_READ)
    assert not identity.may(Scope.CALLS_WRITE)
    assert not identity.may(Scope.ADMIN_WRITE)


def test_no_role_but_the_administrator_administers() -> None:
    for role in Role:
        administers = {Scope.ADMIN_READ, Scope.ADMIN_WRITE} & OF_ROLE[role]
        assert bool(administers) == (role is Role.ADMINISTRATOR)


def test_an_identity_ends_when_its_time_has_come() -> None:
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    identity = replace(of_agent(OWN), expires_at=now)
    assert identity.is_over(now)
    assert not identity.is_over(now - timedelta(seconds=1))
    assert not INSTALLATION.is_over(now)
