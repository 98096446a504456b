"""Webhooks: a POST to an address that is allowed, bounded in time. Flows have an object back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from endpoint.ivr.model import AskWebhook
from endpoint.plaintext import clean

LARGEST = 65_536
"""Octets that an answer may have."""
LONGEST_TEXT = 1024
"""Characters of one text that is taken from it."""
_JSON = {"Content-Type": "application/json"}


class WebhookFailed(Exception):
    """It has no answer that is of use; the text is a word for the flow, as `unreachable`."""


def opened_session() -> aiohttp.ClientSession:
    """For webhooks alone: cookies and proxies of the environment are none of their business."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())


def is_within(url: str, prefixes: Iterable[str]) -> bool:
    """Whether an address, as it would be asked, begins as one of those that are allowed.

    Raises ValueError for what is no address.
    """
    asked = str(URL(url))
    return any(asked.startswith(str(URL(prefix))) for prefix in prefixes)


@asynccontextmanager
async def posted(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    *,
    within: Iterable[str],
    timeout_s: float,
    headers: Mapping[str, str] = _JSON,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to a body, which was taken; it is read within the same time.

    Raises WebhookFailed.
    """
    try:
        if not is_within(url, within):
            raise WebhookFailed("not_allowed")
        async with (
            asyncio.timeout(timeout_s),
            # An address that nobody has allowed is not asked because an allowed one says so.
            session.post(URL(url), data=body, headers=headers, allow_redirects=False) as response,
        ):
            if not 200 <= response.status < 300:
                raise WebhookFailed(f"status_{response.status}")
            yield response
    except TimeoutError:
        raise WebhookFailed("timed_out") from None
    except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
        raise WebhookFailed("unreachable") from error


async def ask(session: aiohttp.ClientSession, asked: AskWebhook) -> dict[str, str]:
    """The variables that a webhook answers. Raises WebhookFailed."""
    told = json.dumps(dict(asked.body)).encode()
    async with posted(
        session, asked.url, told, within=asked.within, timeout_s=asked.timeout_s
    ) as response:
        body = await response.content.read(LARGEST + 1)
        while len(body) <= LARGEST and (more := await response.content.read(LARGEST)):
            body += more
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
                values[variable] = clean(str(value))
            case _:
                raise WebhookFailed("no_field")
    return values
