"""When a secret is strong enough to be open to the network, and how a strong one is made."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError

if TYPE_CHECKING:
    from endpoint.storage.extensions import Extension

SHORTEST = 16
"""Characters; below that a secret can be guessed over the network in time."""
FEWEST_DIFFERENT = 6
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Nothing that is mistaken for something else when it is typed into a phone."""


def weakness(secret: str, username: str = "") -> str | None:
    """What is wrong with a secret, for a person; None where it will do."""
    if len(secret) < SHORTEST:
        return f"it has {len(secret)} characters, expected at least {SHORTEST}"
    if len(set(secret)) < FEWEST_DIFFERENT:
        return f"it has fewer than {FEWEST_DIFFERENT} different characters"
    if len(username) > 2 and username.lower() in secret.lower():
        return "it holds the user name"
    return None


def new_password() -> str:
    """20 characters that can be typed: 115 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(20))


def check_secrets(
    config: Config, token: str, extensions: Iterable[Extension], origins: Mapping[str, str]
) -> None:
    """Refuse to be open to other machines behind a weak secret.

    Raises `ConfigurationError`; each mistake holds the command that mends it.
    """
    if not config.open_hosts:
        return
    listening = " and ".join(
        f"{section}.host = {host!r}"
        for section, host in (
            ("http", config.http.host),
            ("sip", config.sip.host),
            ("basiccall", config.basiccall.host),
        )
        if section in config.open_hosts
    )
    mistakes: list[str] = []
    if (fault := weakness(token)) is not None:
        where = origins.get("http.token", "the state directory")
        cure = "run: agent-endpoint token --new"
        if config.http.token is not None:
            cure = f"remove it from {where}, then {cure}"
        mistakes.append(
            f"http.token ({where}): too weak for {listening}: {fault}; to mend it, {cure}"
        )
    mistakes += [
        f"extension {extension.number}: its password is too weak for {listening}; to mend it, run: "
        f"agent-endpoint extension add {extension.number} --generate --replace"
        for extension in extensions
        if extension.weak
    ]
    if mistakes:
        raise ConfigurationError(mistakes)
