"""Each decision of call control has a test that fails where it is another (`mutants.py`)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.unit.endpoint.callcontrol.mutants import EQUIVALENT, ROOT, mutants

pytestmark = pytest.mark.unit


def survivors(*options: str) -> set[str]:
    """Those that no test has noticed, in a process of their own."""
    program = [sys.executable, "-m", "tests.unit.endpoint.callcontrol.mutants", *options]
    done = subprocess.run(program, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = [json.loads(line) for line in done.stdout.splitlines()]
    assert tried
    return {line["mutant"] for line in tried if not line["caught_by"]}


def test_a_handful_of_changes_is_noticed() -> None:
    """One of each kind; which, says the seed."""
    assert survivors("--no-walks", "--only", "5", "--seed", "2") <= set(EQUIVALENT)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_change_is_noticed() -> None:
    """What is not is named, with the reason why it changes nothing."""
    assert survivors() == set(EQUIVALENT)


def test_what_changes_nothing_is_told_by_its_name() -> None:
    names = [each.name for each in mutants()]
    assert len(set(names)) == len(names) > 500
    assert set(EQUIVALENT) <= set(names)
    assert all(EQUIVALENT.values())
