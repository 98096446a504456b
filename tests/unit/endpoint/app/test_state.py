"""The state directory: private, held by one endpoint at a time."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from endpoint.app.state import Running, StateDirectory, StateInUse, write_private
from endpoint.errors import ConfigurationError

pytestmark = pytest.mark.unit

RUNNING = Running(
    1, "https://localhost:8443/", "", "127.0.0.1:5060", "wss://localhost:8443/sip", "PEM"
)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state").prepared()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_what_is_in_it(state: StateDirectory) -> None:
    state.token()
    assert (mode(state.path), mode(state.token_file)) == (0o700, 0o600)


def test_the_token_is_made_once(state: StateDirectory) -> None:
    token = state.token()
    assert len(token) >= 32
    assert state.token() == token
    assert state.new_token() != token
    assert state.stored_token() != token


def test_without_a_token_there_is_none(state: StateDirectory) -> None:
    assert state.stored_token() is None


def test_a_private_file_replaces_one_that_was_open_to_others(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert (file.read_bytes(), mode(file)) == (b"new", 0o600)


def test_one_endpoint_holds_it_at_a_time(state: StateDirectory) -> None:
    with state.held(), state.announced(RUNNING):
        with pytest.raises(StateInUse, match="pid 1, https://localhost:8443/"), state.held():
            pass
        assert state.running() == RUNNING
    assert state.running() is None
    with state.held():
        pass


def test_a_directory_that_can_not_be_made_is_a_mistake_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="set AGENT_ENDPOINT_STATE__DIRECTORY"):
        StateDirectory(tmp_path / "file" / "state").prepared()


def test_a_state_directory_is_of_the_tenant_that_was_first_in_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state").prepared()
    state.token()  # as a command makes one before the first start
    assert state.kept_for("acme") is state
    state.keep_for("acme")
    state.installation()
    assert state.kept_for("acme") is state
    with pytest.raises(ConfigurationError, match=r"of tenant 'acme'.*for tenant 'default'"):
        state.keep_for("default")


def test_one_of_before_there_were_tenants_is_the_default_ones(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state").prepared()
    state.installation()
    with pytest.raises(ConfigurationError, match="of tenant 'default'"):
        state.kept_for("acme")
    state.keep_for("default")
    assert state.tenant_file.read_text() == "default\n"
