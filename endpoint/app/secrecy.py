"""When a secret is strong enough to be open to the network, and how a strong one is made."""

from __future__ import annotations

import secrets

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
    if username and len(username) > 2 and username.lower() in secret.lower():
        return "it holds the user name"
    return None


def new_password() -> str:
    """20 characters that can be typed: 115 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(20))
