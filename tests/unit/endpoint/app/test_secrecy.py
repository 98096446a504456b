"""A weak secret keeps the endpoint from being open to others, and the message mends it."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from endpoint.app.secrecy import check_secrets, new_password, weakness
from endpoint.app.settings import Config, HttpSettings
from endpoint.errors import ConfigurationError
from endpoint.storage.extensions import Extension

pytestmark = pytest.mark.unit

STRONG = "Zk3nVq8rTfL2mXw9bHcD"
OPEN = Config.model_validate({"host": "0.0.0.0"})


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ("", "it has 0 characters"),
        ("short", "it has 5 characters, expected at least 16"),
        ("aaaaaaaabbbbbbbb", "fewer than 6 different"),
        ("x6001-y6001-z6001-", "it holds the user name"),
    ],
)
def test_what_is_weak_is_said(secret: str, fault: str) -> None:
    assert fault in (weakness(secret, "6001") or "")


def test_a_made_password_is_strong_and_never_the_same() -> None:
    passwords = {new_password() for _ in range(100)}
    assert len(passwords) == 100
    assert all(weakness(password, "6001") is None for password in passwords)


def test_on_loopback_a_weak_secret_will_do() -> None:
    check_secrets(Config(), "weak", [Extension("6001", weak=True)], {})


def test_open_to_others_every_weak_secret_is_refused_with_the_command_that_mends_it() -> None:
    extensions = [Extension("6001", weak=True), Extension("6002"), Extension("6003", weak=True)]
    with pytest.raises(ConfigurationError) as refused:
        check_secrets(OPEN, "weak", extensions, {})
    token, first, second = refused.value.mistakes
    assert token.endswith("run: agent-endpoint token --new")
    assert first.endswith("run: agent-endpoint extension add 6001 --generate --replace")
    assert second.startswith("extension 6003: its password is too weak for http.host = '0.0.0.0'")


def test_a_configured_token_is_to_be_removed_where_it_stands() -> None:
    config = OPEN.model_copy(update={"http": HttpSettings(host="0.0.0.0", token=SecretStr("weak"))})
    with pytest.raises(ConfigurationError) as refused:
        check_secrets(config, "weak", [], {"http.token": "/etc/agent-endpoint/config.toml"})
    (mistake,) = refused.value.mistakes
    assert "remove it from /etc/agent-endpoint/config.toml, then run" in mistake


def test_strong_secrets_may_be_open() -> None:
    check_secrets(OPEN, STRONG, [Extension("6001")], {})
