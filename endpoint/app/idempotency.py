"""`Idempotency-Key`: a request that is made again, as nobody heard the answer, is done once.

As draft-ietf-httpapi-idempotency-key-header has it. That a request has begun, and what it was
answered, is noted before the answer goes out, so that a kill changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from endpoint.app.access import IDENTITY, identity_of, refusal
from endpoint.app.bodies import BadRequest, read_whole
from endpoint.app.openstate import OpenState
from endpoint.app.rights import operation_of
from endpoint.gateways.native import messages as wire

log = structlog.get_logger(__name__)

KEY = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_KEY = re.compile(r"[!-~]{1,128}")
_MOST = 10_000
"""Keys that are kept; beyond, the oldest go."""
_KEPT_HEADERS = (hdrs.CONTENT_TYPE, hdrs.LOCATION, hdrs.ETAG)


class Once(msgspec.Struct, frozen=True):
    """What is noted of a request."""

    at: datetime
    body: str
    """A hash of what was sent."""
    status: int = 0
    """0: it has begun, and no answer is known."""
    answer: str = ""
    headers: dict[str, str] = {}


@dataclass(slots=True)
class Idempotency:
    """Remembers requests by who made them, where, and the key."""

    notes: OpenState[Once]
    keep_s: float
    body_timeout_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _done: dict[str, Once] = field(default_factory=dict)
    """The oldest first."""
    _running: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._done.update(sorted(self.notes.left.items(), key=lambda item: item[1].at))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Do it, or say again what became of it."""
        operation = operation_of(request)
        if (
            KEY not in request.headers
            or operation is None
            or not operation.keyed
            or IDENTITY not in request
        ):
            return await handler(request)
        given = request.headers.getall(KEY)
        if len(given) != 1 or not _KEY.fullmatch(given[0]):
            expected = "1 to 128 visible characters, once"
            raise BadRequest(400, wire.Refused("bad_key", "can't be taken", KEY, expected))
        body = hashed(await read_whole(request, timeout_s=self.body_timeout_s))
        identity = identity_of(request)
        # Not by the token: who has renewed it meanwhile asks again all the same.
        who = identity.agent or identity.credential
        key = hashed("\0".join((who, request.path, given[0])).encode())
        while (running := self._running.get(key)) is not None:
            await asyncio.wait([running])
        self._forget()
        if (known := self._done.get(key)) is not None:
            return _again(known, body)
        return await self._do(key, body, request, handler)

    async def _do(
        self, key: str, body: str, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        begun = Once(self.now(), body)
        self._running[key] = asyncio.get_running_loop().create_future()
        self._note(key, begun)
        done: Once | None = None
        try:
            answer = await handler(request)
            if isinstance(answer, web.Response) and answer.status < 400:
                content = answer.body if isinstance(answer.body, bytes) else b""
                headers = {
                    name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers
                }
                done = msgspec.structs.replace(
                    begun, status=answer.status, answer=content.decode(), headers=headers
                )
                self._note(key, done)
            return answer
        finally:
            if done is None:
                # Refused, our fault, or who asked went away: to ask again is to have it done.
                self._done.pop(key, None)
                self.notes.drop(key)
            self._running.pop(key).set_result(None)

    def _note(self, key: str, once: Once) -> None:
        self._done[key] = once
        self.notes.put(key, once)

    def _forget(self) -> None:
        over = self.now() - timedelta(seconds=self.keep_s)
        while self._done:
            oldest = next(iter(self._done))
            if len(self._done) <= _MOST and self._done[oldest].at > over:
                return
            del self._done[oldest]
            self.notes.drop(oldest)


def _again(known: Once, body: str) -> web.Response:
    if known.body != body:
        text = "the key was used for a request with another body; take a new key"
        return refusal(422, wire.Refused("key_reused", text, KEY))
    if not known.status:
        text = "the endpoint died while it did this: see what became of it, then take a new key"
        return refusal(409, wire.Refused("outcome_unknown", text, KEY))
    return web.Response(
        status=known.status,
        body=known.answer.encode(),
        headers={**known.headers, REPLAYED: "true"},
    )


def hashed(octets: bytes) -> str:
    """Of what may be long, or nobody's to read in a file."""
    return hashlib.sha256(octets).hexdigest()
