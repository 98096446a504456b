"""`agent-endpoint ivr`: flows are checked, listed and drawn without an endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from endpoint.app.cli import app
from endpoint.app.exitcodes import ExitCode
from endpoint.ivr import hashes

pytestmark = pytest.mark.unit


def run(*arguments: str, given: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(app, ["ivr", *arguments], input=given)
    return result.exit_code, result.output


def test_a_flow_is_checked(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('start = "a"\n[node.a]\nkind = "hangup"\n')
    bad.write_text('start = "b"\n\n[node.a]\nkind = "hang"\n')
    code, text = run("check", str(good), "survey")
    assert (code, " ".join(text.split())) == (0, f"{good}, survey: no mistakes.")
    code, text = run("check", str(good), str(bad))
    assert code == ExitCode.CONFIGURATION
    assert "bad.toml:4: node.a.kind: found 'hang', expected one of play" in text
    code, text = run("check", str(bad), "--json")
    assert code == ExitCode.CONFIGURATION
    assert {each["line"] for each in json.loads(text)["mistakes"]} == {1, 4}


def test_shipped_flows_are_listed_and_drawn() -> None:
    code, text = run("list", "--json")
    assert code == 0
    names = {each["flow"] for each in json.loads(text)["flows"]}
    assert names == {"distributors", "password", "survey", "welcome"}
    assert run("list")[1].count("\n") == 1 + len(names)
    assert "▶ rate (menu)" in run("show", "survey")[1]
    assert run("show", "survey", "--mermaid")[1].startswith("flowchart TD\n")
    assert json.loads(run("show", "survey", "--json")[1])["flow"]["start"] == "rate"
    code, text = run("show", "none")
    assert (code, text.partition(": can't be read: No such file")[0]) == (3, "✘ none")


def test_a_case_of_a_branch_for_no_text_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "flow.toml"
    file.write_text("""
start = "known"
[node.known]
kind = "branch"
on = "{caller}"
cases = { "" = "nobody", "10086" = "end" }
otherwise = "end"
[node.nobody]
kind = "hangup"
[node.end]
kind = "hangup"
""")
    assert '""        → nobody' in run("show", str(file))[1]
    assert '|"#quot;#quot;"| n_nobody' in run("show", str(file), "--mermaid")[1]


def test_the_schema_is_printed() -> None:
    assert json.loads(run("schema")[1])["$ref"] == "#/$defs/Flow"


def test_a_hash_is_made_of_what_is_read() -> None:
    code, text = run("hash", "--json", given="4711\n")
    assert code == 0
    assert hashes.matches("4711", json.loads(text)["hash"])
    assert run("hash", given="secret\n")[0] == ExitCode.USAGE
