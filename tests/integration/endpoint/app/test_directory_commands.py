"""The directory by the command line, with an endpoint that runs and without."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from endpoint.agents.model import AgentId
from endpoint.app.directoryimport import EXPECTED_PASSWORD
from endpoint.app.exitcodes import ExitCode
from endpoint.app.wiring import Endpoint

from .commandline import cli
from .conftest import configuration

pytestmark = pytest.mark.integration

PASSWORD = "a-Night-in-Lisbon-7"
EXPECTED_CODE = "1 to 32 letters, digits or _ . @ -, beginning with a letter or digit"


def test_a_centre_is_set_up_and_changed_before_an_endpoint_runs(here: Path) -> None:
    assert cli("agents", "list") == "No agents. Add one: agent-endpoint agents add -h\n"
    cli("skills", "add", "sales", "--name", "Sales")
    made = cli("agents", "add", "1001", "--name", "Anna", "--skill", "sales:9", "--device", "60*",
               "--generate", "--json")  # fmt: skip
    assert len(made["password"]) == 20
    assert made["agent"]["skills"] == [{"skill": "sales", "level": 9}]
    cli("agents", "change", "1001", "--role", "monitor", "--supervises", "Europe", "--device", "")
    cli("agents", "password", "1001", "--password-stdin", given=f"{PASSWORD}\n")
    (anna,) = cli("agents", "list", "--json")["agents"]
    assert anna == {
        "id": "1001", "name": "Anna", "department": "", "role": "monitor",
        "supervises": ["Europe"], "skills": [{"skill": "sales", "level": 9}], "wrap_up_s": 0.0,
        "devices": [], "enabled": True, "dials_for_skill": False, "has_password": True,
    }  # fmt: skip
    changed = cli("agents", "change", "1001", "--dials-for-skill", "--json")["agent"]
    assert changed["dials_for_skill"]
    assert cli("agents", "change", "1001", "--no-dials-for-skill", "--json")["agent"] == changed | {
        "dials_for_skill": False
    }
    cli("queues", "add", "sales", "--skill", "sales:3", "--overflow", "after=60,device=6009",
        "--most-waiting", "9")  # fmt: skip
    cli("queues", "change", "sales", "--priority", "5", "--most-waiting", "0")
    shown = cli("queues", "settings", "sales", "--json")["queue"]
    assert shown["overflow"] == {"after_s": 60.0, "waiting": None, "queue": "", "device": "6009"}
    assert (shown["priority"], shown["most_waiting"]) == (5, None)
    cli("queues", "change", "sales", "--overflow", "")
    assert cli("queues", "settings", "sales", "--json")["queue"]["overflow"] is None
    cli("modes", "add", "9", "--name", "training", "--basic", "non_real_time")
    cli("reasons", "change", "meal", "--name", "Lunch", "--no-visible")
    assert "training" in cli("modes", "list")
    assert "Lunch" in cli("reasons", "show", "meal")
    cli("queues", "remove", "sales")
    cli("db", "agent", "remove", "1001")
    assert cli("agents", "list", "--json")["agents"] == []


def test_what_is_wrong_is_told_and_changes_nothing(here: Path) -> None:
    cli("skills", "add", "sales")
    cli("agents", "add", "1001", "--skill", "sales")
    said = cli("agents", "add", "1002", "--skill", "french:10", "--wrap-up", "-1",
               code=ExitCode.CALL_FAILED)  # fmt: skip
    assert all(each in said for each in ("skills[0].skill", "skills[0].level", "--wrap-up"))
    assert "there is a agent" not in said
    for arguments, code, words in (
        (("agents", "add", "1001"), ExitCode.CALL_FAILED, "1001 already"),
        (("agents", "show", "1009"), ExitCode.CALL_FAILED, "there is no agent 1009"),
        (("agents", "remove", "1009"), ExitCode.CALL_FAILED, "there is no agent 1009"),
        (("agents", "change", "1009", "--name", "x"), ExitCode.CALL_FAILED, "no agent 1009"),
        (("agents", "change", "1001"), ExitCode.USAGE, "what is to be changed"),
        (("agents", "change", "1001", "--role", "king"), ExitCode.USAGE, "one of agent"),
        (("agents", "add", "1003", "--skill", "sales:x"), ExitCode.USAGE, "CODE:LEVEL"),
        (("skills", "remove", "sales"), ExitCode.CALL_FAILED, "in use by agent 1001"),
        (("queues", "add", "q"), ExitCode.CALL_FAILED, "a skill at least"),
        (("queues", "add", "q", "--overflow", "soon"), ExitCode.USAGE, "after=SECONDS"),
        (("agents", "password", "1001"), ExitCode.USAGE, "--generate or --password-stdin"),
        (("agents", "import", "gone.csv"), ExitCode.FAILED, "can't be read"),
    ):
        assert words in " ".join(cli(*arguments, code=code).split()), arguments
    wrong = cli("db", "agent", "add", "10 04", "--name", "x" * 400, "--role", "king", "--wrap-up",
                "soon", "--skill", "sales:10", "--device", "6 1", "--password-stdin", "--json",
                given="short\n", code=ExitCode.USAGE)  # fmt: skip
    assert wrong["mistakes"] == [
        "--role: found 'king', expected one of agent, monitor, administrator",
        "--wrap-up: found 'soon', expected a number, with a point",
        "--name: found more, expected up to 300 characters",
        "password: it is too weak: it has 5 characters, expected at least 16",
        f"ID: found 10 04, expected {EXPECTED_CODE}",
        "--device, devices[0]: found 6 1, expected a device, as 6001, or its beginning and *",
        "--skill, skills[0].level: found 10, expected 1 to 9",
    ]
    wrong = cli("queues", "change", "sales", "--json", "--ring", "long", code=ExitCode.CALL_FAILED)
    assert wrong["text"] == "there is no queue sales"
    weak = cli("agents", "add", "1004", "--password-stdin", given="short\n", code=ExitCode.FAILED)
    assert "too weak" in weak
    assert [each["id"] for each in cli("agents", "list", "--json")["agents"]] == ["1001"]


def test_a_file_comes_in_whole_or_not_at_all(here: Path) -> None:
    cli("skills", "import", "-", given="code,name\nsales,Sales\nenglish,\n")
    wrong = "id,skills,wrap_up_s,password\n1001,sales:12,,\n1002,french,soon,\n1003,,-1,short\n"
    said = cli("agents", "import", "-", "--json", given=wrong, code=ExitCode.FAILED)
    assert said["mistakes"] == [
        "line 2, column skills: found 12, expected 1 to 9",
        "line 3, column wrap_up_s: found 'soon', expected a number, with a point",
        "line 3, column skills: found french, expected a skill of the directory: english, sales",
        "line 4, column wrap_up_s: found -1, expected 0 to 86400 seconds",
        f"line 4, column password: found 5 characters, expected {EXPECTED_PASSWORD}",
    ]
    assert cli("agents", "list", "--json")["agents"] == []
    right = f"id,name,skills,password\n1001,=Anna(),sales:9; english,{PASSWORD}\n1002,Ben,,\n"
    (here / "agents.csv").write_text(right)
    assert cli("agents", "import", "agents.csv", "--check", "--json")["kept"] is False
    assert cli("agents", "list", "--json")["agents"] == []
    done = cli("agents", "import", "agents.csv", "--generate", "--json")
    assert (done["added"], [*done["passwords"]]) == (2, ["1002"])
    again = cli("agents", "import", "agents.csv", "--json")
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 11)
    out = cli("agents", "export")
    assert '"1001","\'=Anna()","","agent","","english:5; sales:9"' in out
    assert PASSWORD not in out
    cli("agents", "import", "-", "--only", given="id\n1002\n")
    (ben,) = cli("agents", "list", "--json")["agents"]
    assert (ben["id"], ben["name"], ben["has_password"]) == ("1002", "Ben", True)
    before = cli("agents", "list", "--json")
    cli("agents", "import", "-", "--only", given=cli("agents", "export"))
    assert cli("agents", "list", "--json") == before


def test_extensions_come_in_and_keep_what_is_not_said(here: Path) -> None:
    """Their passwords, where the file has none; and nothing of what is wrong somewhere."""
    given = f"number,name,aliases,password\n6001,Desk,4000; 4001,{PASSWORD}\n6002,Lab,,short\n"
    (here / "extensions.csv").write_text(given)
    done = cli("extension", "import", "extensions.csv", "--json")
    assert (done["added"], done["changed"], done["weak"]) == (2, 0, ["6002"])
    out = cli("extension", "export")
    assert '"6001","Desk","4000; 4001"' in out
    assert PASSWORD not in out
    before = proofs(here)
    assert len(before) == 6
    moved = "number,aliases\n6001,4001\n6002,4000\n6003,\n"
    cli("extension", "import", "-", given=moved, code=ExitCode.FAILED)
    assert cli("extension", "export") == out
    checked = cli("extension", "import", "-", "--generate", "--check", "--json", given=moved)
    assert "passwords" not in checked
    assert cli("extension", "export") == out
    done = cli("extension", "import", "-", "--generate", "--json", given=moved)
    assert [*done["passwords"]] == ["6003"]
    assert '"6001","Desk","4001"' in cli("extension", "export")
    assert before < proofs(here), "those that were there have the passwords that they had"
    cli("extension", "import", "-", given=f"number,password\n6002,{PASSWORD}\n")
    assert len(proofs(here)) == 9
    assert not before <= proofs(here)


def proofs(here: Path) -> set[tuple[str, str]]:
    """What is kept of passwords."""
    with closing(sqlite3.connect(here / "state" / "endpoint.sqlite3")) as database:
        return {*database.execute("SELECT username, ha1 FROM credential")}


def test_trunks_go_out_and_come_as_configuration(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = {"name": "carrier", "peers": ["sip:192.0.2.1"], "numbers": ["+4930*"]}
    monkeypatch.setenv("AGENT_ENDPOINT_TRUNK", json.dumps([trunk]))
    out = cli("trunk", "export")
    assert '"\'+4930*"' in out
    monkeypatch.delenv("AGENT_ENDPOINT_TRUNK")
    toml = cli("trunk", "import", "-", given=out)
    assert toml.splitlines()[:2] == ["[[trunk]]", 'name = "carrier"']
    (here / "endpoint.toml").write_text(toml)
    assert cli("trunk", "export", "--config", "endpoint.toml") == out
    said = cli("trunk", "import", "-", given="name,order\nx,soon\n", code=ExitCode.FAILED)
    assert "line 2, column order: found 'soon', expected a number" in said


async def program(*arguments: str) -> int:
    """A command as a program of its own: it asks the endpoint that this one is."""
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", "endpoint", *arguments)
    async with asyncio.timeout(150):
        return await started.wait()


async def test_an_endpoint_that_runs_has_a_change_at_once(here: Path) -> None:
    config = configuration(here / "state", media={"webrtc_ready": False})
    (here / "agents.csv").write_text(f"id,name,password\n1001,Anna,{PASSWORD}\n")
    async with Endpoint(config) as endpoint:
        in_use = endpoint.directory_book.in_use
        assert await program("agents", "import", "agents.csv") == 0
        assert [each.name for each in in_use.agents()] == ["Anna"]
        assert await in_use.is_password(AgentId("1001"), PASSWORD)
        refused = await program("agents", "change", "1001", "--wrap-up", "-1")
        assert refused == ExitCode.CALL_FAILED
        assert await program("agents", "remove", "1001") == 0
        assert in_use.agents() == ()
        assert not await in_use.is_password(AgentId("1001"), PASSWORD)
