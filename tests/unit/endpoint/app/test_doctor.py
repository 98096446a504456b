"""What the doctor says of a configuration's secrets: only of those that are some, and lie open."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.app.config import load
from endpoint.app.doctor import check_configuration, check_credentials, check_secret_files
from endpoint.app.state import StateDirectory

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("url", "is_secret"),
    [
        ("sqlite:////srv/endpoint/tenants.sqlite3", False),
        ("postgresql://endpoint@db.example.com/endpoint", False),
        ("postgresql://endpoint:a-Night-in-Lisbon-7@db.example.com/endpoint", True),
    ],
)
def test_a_database_is_a_secret_where_its_password_is_told(
    tmp_path: Path, url: str, is_secret: bool
) -> None:
    file = tmp_path / "acme.toml"
    file.write_text(f'[database]\nurl = "{url}"\n')
    file.chmod(0o644)
    check = check_configuration(load(file))
    assert (check.outcome, bool(check.cure)) == (("warning" if is_secret else "ok"), is_secret)


@pytest.mark.parametrize(("mode", "is_open"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_password_that_everybody_may_read_is_told(
    tmp_path: Path, mode: int, is_open: bool
) -> None:
    secret, file = tmp_path / "6001.secret", tmp_path / "agent-endpoint.toml"
    secret.write_text("a-Night-in-Lisbon-7\n")
    secret.chmod(mode)
    file.write_text(
        'account = [{ device = "6001", server = "sip:pbx", password_file = "6001.secret" }]\n'
        'agent = [{ device = "6002", server = "sip:pbx", password_file = "6001.secret" }]\n'
    )
    cures = [check.cure for check in check_secret_files(load(file).config)]
    assert cures == ([f"chmod 600 {secret}"] if is_open else [])


async def test_a_tenant_that_is_not_there_has_one_cure(tmp_path: Path) -> None:
    file = tmp_path / "acme.toml"
    file.write_text(
        f'tenant = {{ name = "acme" }}\nstate = {{ directory = "{tmp_path}/acme" }}\n'
        f'database = {{ url = "sqlite:///{tmp_path}/tenants.sqlite3" }}\n'
    )
    loaded = load(file)
    (check,) = await check_credentials(loaded, StateDirectory(loaded.config.state.directory))
    assert check.outcome == "failed"
    assert check.text.endswith("run: agent-endpoint db tenant add acme")
    assert not check.cure
