"""`db tenant`, and that each command is of the tenant of its configuration alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.storage.database import sqlite_url

from .commandline import cli

pytestmark = pytest.mark.integration

ACME, GLOBEX = "acmeworld", "globexworld"
LISTS = [
    *(["extension", "list"], ["agents", "list"], ["skills", "list"], ["queues", "list"]),
    *(["modes", "list"], ["reasons", "list"], ["plan", "list"]),
    *(["agents", "export"], ["extension", "export"], ["plan", "export"]),
]


def test_the_command_line_is_of_one_tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "xdg"))
    monkeypatch.setenv("AGENT_ENDPOINT_DATABASE__URL", sqlite_url(here / "all.sqlite3"))

    def enter(tenant: str) -> None:
        monkeypatch.setenv("AGENT_ENDPOINT_TENANT__NAME", tenant)
        monkeypatch.setenv("AGENT_ENDPOINT_STATE__DIRECTORY", str(here / tenant))

    enter(ACME)
    assert "db tenant add acmeworld" in cli("extension", "list", "--json", code=8)["text"]
    for name in (ACME, GLOBEX):
        made = cli("db", "tenant", "add", name, "--domain", f"{name}.Example.com", "--json")
        assert made == {"ok": True, "name": name, "domain": f"{name}.example.com"}
    assert "already" in cli("db", "tenant", "add", ACME, "--json", code=1)["text"]
    assert cli("db", "tenant", "list", "--json")["tenants"] == [
        {"name": ACME, "domain": f"{ACME}.example.com"},
        {"name": "default", "domain": ""},
        {"name": GLOBEX, "domain": f"{GLOBEX}.example.com"},
    ]
    for name in (ACME, GLOBEX):
        enter(name)
        cli("extension", "add", "6001", "--name", name, "--generate")
        cli("skills", "add", "sales", "--name", name)
        cli("queues", "add", "sales", "--name", name, "--skill", "sales")
        cli("modes", "add", "7", "--name", name, "--basic", "normal")
        cli("reasons", "add", "dentist", "--name", name)
        cli("agents", "add", "1001", "--name", name, "--generate")
        cli("plan", "add", "rule", "--pattern", "0800*", "--refuse", "--text", name)
    for name, other in ((ACME, GLOBEX), (GLOBEX, ACME)):
        enter(name)
        for command in LISTS:
            said = cli(*command)
            assert name in said, command
            assert other not in said, command
    cli("agents", "remove", "1001")
    enter(ACME)
    assert ACME in cli("agents", "list")
    assert "not empty" in cli("db", "tenant", "remove", GLOBEX, "--json", code=8)["text"]
    cli("db", "tenant", "change", GLOBEX, "--domain", "")
    cli("db", "tenant", "remove", GLOBEX, "--with-content")
    assert ACME in cli("agents", "list")
    assert [each["name"] for each in cli("db", "tenant", "list", "--json")["tenants"]] == [
        ACME,
        "default",
    ]
    assert "no tenant" in cli("db", "tenant", "remove", GLOBEX, "--json", code=1)["text"]
