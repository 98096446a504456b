"""`agent-endpoint db`: what it says and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from endpoint.app.exitcodes import ExitCode
from endpoint.app.state import StateDirectory
from endpoint.storage.database import head, revisions

from .commandline import cli

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def state(here: Path) -> StateDirectory:
    return StateDirectory(here / "state")


def db(*arguments: str, code: ExitCode = ExitCode.OK) -> Any:
    return cli("db", *arguments, "--json", code=code)


def test_a_database_is_made_checked_migrated_and_brought_back(tmp_path: Path) -> None:
    assert "agent-endpoint db init" in db("check", code=ExitCode.STORAGE)["text"]
    assert db("init") == {"ok": True, "before": None, "schema": head()}
    assert db("init")["before"] == head()
    found = db("check")
    assert (found["ok"], found["schema"], found["rows"]["tenant"]) == (True, head(), 1)
    copy = str(tmp_path / "copy")
    assert db("backup", copy)["size_bytes"] > 0
    oldest = revisions()[0]
    assert db("migrate", "--to", oldest)["schema"] == oldest
    assert "agent-endpoint db migrate" in db("check", code=ExitCode.FAILED)["faults"][0]
    assert db("migrate") == {"ok": True, "before": oldest, "schema": head()}
    db("restore", copy)
    assert db("check")["ok"]
    assert "there already" in db("backup", copy, code=ExitCode.STORAGE)["text"]


@pytest.mark.parametrize("arguments", [("init",), ("migrate",), ("restore", "copy")])
def test_nothing_is_changed_under_an_endpoint_that_runs(
    state: StateDirectory, arguments: tuple[str, ...]
) -> None:
    db("init")
    db("backup", "copy")
    with state.held():
        assert "another agent-endpoint" in db(*arguments, code=ExitCode.PORT_TAKEN)["text"]
        assert db("check")["ok"]
