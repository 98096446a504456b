"""Webhooks of flows: one POST of a JSON object, one object back; bounded in time and size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import aiohttp
from yarl import URL

from endpoint.ivr.interpreter import AskWebhook

LARGEST = 65_536
"""Octets that an answer may have."""
LONGEST_TEXT = 1024
"""Characters of one text that is taken from it."""


class WebhookFailed(Exception):
    """It has no answer that is of use; the text is a word for the flow, as `unreachable`."""


async def ask(session: aiohttp.ClientSession, asked: AskWebhook) -> dict[str, str]:
    """The variables that a webhook answers. Raises WebhookFailed."""
    try:
        url = URL(asked.url)
        if not any(str(url).startswith(str(URL(prefix))) for prefix in asked.within):
            raise WebhookFailed("not_allowed")
        async with (
            asyncio.timeout(asked.timeout_s),
            # An address that nobody has allowed is not asked because an allowed one says so.
            session.post(url, json=dict(asked.body), allow_redirects=False) as response,
        ):
            if not 200 <= response.status < 300:
                raise WebhookFailed(f"status_{response.status}")
            body = await response.content.read(LARGEST + 1)
            while len(body) <= LARGEST and (more := await response.content.read(LARGEST)):
                body += more
    except TimeoutError:
        raise WebhookFailed("timed_out") from None
    except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
        raise WebhookFailed("unreachable") from error
    if len(body) > LARGEST:
        raise WebhookFailed("too_large")
    return taken(body, asked.answers)


def taken(body: bytes, answers: Mapping[str, str]) -> dict[str, str]:
    """Variables from the fields of an answer. Raises WebhookFailed where one is not there."""
    if not answers:
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WebhookFailed("no_object")
    values: dict[str, str] = {}
    for field, variable in answers.items():
        match found.get(field):
            case bool(value):
                values[variable] = "true" if value else "false"
            case str() | int() | float() as value if len(str(value)) <= LONGEST_TEXT:
                values[variable] = str(value)
            case _:
                raise WebhookFailed("no_field")
    return values
