"""How long state machines are walked at random: sixty walks in `make test`, 500 in `make soak`."""

from __future__ import annotations

from unittest import TestCase

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine


def brief(machine: type[RuleBasedStateMachine], *, steps: int = 40) -> type[TestCase]:
    """The same sixty walks each time."""
    return _walks(machine, settings(max_examples=60, stateful_step_count=steps, derandomize=True))


def long(machine: type[RuleBasedStateMachine]) -> type[TestCase]:
    """500 walks of 50 steps, other ones each time."""
    return pytest.mark.soak(_walks(machine, settings(max_examples=500, stateful_step_count=50)))


def _walks(machine: type[RuleBasedStateMachine], how: settings) -> type[TestCase]:
    walked: type[RuleBasedStateMachine] = type(machine.__name__, (machine,), {})
    case: type[TestCase] = walked.TestCase
    case.settings = settings(  # type: ignore[attr-defined]  # hypothesis reads it there
        how, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return case
