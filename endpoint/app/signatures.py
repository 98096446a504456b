"""What proves that a webhook's message is the endpoint's, and new: as Standard Webhooks has it.

Its libraries, of a dozen languages, check it; so there is none of ours for that.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode

SECRET_PREFIX = "whsec_"
"""So that who finds one in a log or a repository knows what it is."""
_SECRET_OCTETS = 32


def new_secret() -> str:
    """One that nobody can guess."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(_SECRET_OCTETS)).decode()


def signed(secret: str, message: str, at: int, body: bytes) -> str:
    """The header `Webhook-Signature` of a message, by its id, at a time in seconds since 1970."""
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.digest(key, f"{message}.{at}.".encode() + body, "sha256")
    return f"v1,{b64encode(mac).decode()}"
