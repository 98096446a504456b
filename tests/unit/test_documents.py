"""What the documents say is there."""

from __future__ import annotations

import inspect
import json
import re
import typing
from pathlib import Path

import pytest
import typer

import endpoint.app
from endpoint.agents.events import AgentEvents
from endpoint.agents.logon import Refusal
from endpoint.app import Agent, Call
from endpoint.app.cli import app
from endpoint.app.exitcodes import ExitCode
from endpoint.app.settings import Config
from endpoint.callcontrol.events import Event
from endpoint.gateways.native.operations import OPERATIONS

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
        *REPOSITORY.glob("certs/*.md"),
    ]
)
RFC_ROW = re.compile(r"^\| \d{4} \|")
HAZARD_ROW = re.compile(r"^\| [SFP]\d+(, [SFP]\d+)* \|")
ONE_SCREEN = 60


def rows(document: str, row: re.Pattern[str]) -> list[list[str]]:
    lines = (REPOSITORY / "docs" / document).read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if row.match(line)
    ]


def assert_test_exists(test: str) -> None:
    path, _, name = test.partition("::")
    file = REPOSITORY / "tests" / path
    assert file.is_file(), path
    assert re.search(rf"^\s*(async )?def {re.escape(name)}\(", file.read_text(), re.MULTILINE), name


@pytest.mark.parametrize(
    "row", rows("rfc.md", RFC_ROW), ids=lambda row: f"{row[0]}-{row[1]}-{row[2][:30]}"
)
def test_a_claim_names_a_test_that_exists(row: list[str]) -> None:
    _, section, claim, side, test = row
    assert section
    assert claim
    assert side in ("accept", "send", "both")
    assert_test_exists(test)


@pytest.mark.parametrize(
    "row", rows("security.md", HAZARD_ROW), ids=lambda row: f"{row[0]}-{row[1][:30]}"
)
def test_a_hazard_names_a_test_that_exists(row: list[str]) -> None:
    _, hazard, test = row
    assert hazard
    assert_test_exists(test)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_leads_to_a_file(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_readme_is_one_screen() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= ONE_SCREEN


def test_the_exit_codes_are_those_of_the_program() -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {code.name: code.value for code in ExitCode}


def test_the_commands_are_those_of_the_program() -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text().partition("## Exit codes")[0]
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    told = {
        name.split()[0] for cell in cells if "`" in cell for name in re.findall(r"`([^`]+)`", cell)
    }
    subcommands = {"list", "remove", "check", "lift", "use", "migrate", "backup", "restore"}
    subcommands |= {"show", "fetch", "delete", "export", "revoke"}
    assert told - subcommands == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_events_of_the_native_interface_are_those_that_are_told() -> None:
    text = (
        (REPOSITORY / "docs" / "native.md")
        .read_text()
        .partition("## Events")[2]
        .partition("\n## ")[0]
    )
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert told == {kind.__name__ for kind in typing.get_args(Event)}


def test_the_events_of_agents_are_those_that_are_told() -> None:
    text = (REPOSITORY / "docs" / "agents.md").read_text().partition("| event |")[2]
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert told == {kind.__name__ for kind in typing.get_args(AgentEvents)}


def test_each_refusal_of_an_agents_client_is_told() -> None:
    text = (REPOSITORY / "docs" / "agents.md").read_text()
    told = set(re.findall(r"`(\w+)`", text)) | {"owned", "not_logged_on"}
    assert {str(each) for each in Refusal} <= told


def test_the_requests_of_the_native_interface_are_those_that_are_served() -> None:
    text = (REPOSITORY / "docs" / "native.md").read_text()
    told = set(re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) (/\S+)` \|", text, re.MULTILINE))
    # That these are those that are served is checked when an endpoint starts.
    assert told == set(OPERATIONS)


def public_names(kind: type) -> set[str]:
    """Methods, properties, and what `__init__` sets with a word below it."""
    said = re.findall(
        r"^        self\.([a-z]\w*)(?:: [^=\n]*)?(?: = .*)?\n        \"\"\"",
        inspect.getsource(kind),
        re.M,
    )
    return {name for name in vars(kind) if not name.startswith("_")} | set(said)


@pytest.mark.parametrize("kind", [Agent, Call])
def test_every_name_of_the_python_interface_is_told_and_shown(kind: type) -> None:
    document = (REPOSITORY / "docs" / "python.md").read_text()
    section = document.partition(f"\n## {kind.__name__}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    assert told == public_names(kind)
    examples = "".join(path.read_text() for path in (REPOSITORY / "docs/examples").glob("*.py"))
    shown = set(re.findall(r"\.(\w+)", examples))
    assert told <= shown
    assert set(endpoint.app.__all__) <= set(re.findall(r"\w+", examples)) & set(
        re.findall(r"\w+", document)
    )


def test_the_ports_of_the_readme_are_the_defaults() -> None:
    text = (REPOSITORY / "README.md").read_text()
    config = Config()
    sip, http = config.sip, config.http
    for port in (http.port, http.plain_port, sip.port, sip.tls_port, config.basiccall.port):
        assert re.search(rf"^\| {port} (TCP|UDP) \|", text, re.MULTILINE), port
    assert f"| {config.media.port_first}–{config.media.port_last} UDP |" in text


def test_what_the_readme_dials_from_can_dial() -> None:
    """Each block of commands by itself: from a device that the block has."""
    blocks = re.findall(r"^```\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.M | re.S)
    dialling = [block for block in blocks if " --from " in block]
    assert len(dialling) == 2
    for block in dialling:
        (device,) = set(re.findall(r" --from (\w+)", block))
        assert re.search(rf'station.*device"? ?[:=] "{device}"', block, re.IGNORECASE)


def test_the_lock_file_of_the_test_peer_names_no_download_address() -> None:
    lock = json.loads(
        (REPOSITORY / "tests" / "interop" / "jssip" / "package-lock.json").read_text()
    )
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
