"""Bodies of requests, of a known shape and size, or what was expected; and those of answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from endpoint import plaintext
from endpoint.app.access import refusal
from endpoint.gateways.native.messages import Refused

T = TypeVar("T", bound=msgspec.Struct)
_AT = re.compile(r"^(?P<fault>.*?)(?: - at `(?P<field>\$.*)`)?$", re.DOTALL)


class BadRequest(Exception):
    """A request that can't be understood; carries its answer."""

    def __init__(self, status: int, refused: Refused) -> None:
        super().__init__(refused.text)
        self.status = status
        self.refused = refused

    def answer(self) -> web.Response:
        """What to say."""
        return refusal(self.status, self.refused)


def json_answer(message: object, status: int = 200) -> web.Response:
    """An answer that holds a message."""
    octets = plaintext.encode(message)
    return web.Response(status=status, body=octets, content_type="application/json")


@dataclass(frozen=True, slots=True)
class BodyCheck:
    """What a body is judged by once it is read: whether who asks may."""

    kind: type[msgspec.Struct] | None
    """What it is declared to be."""
    check: Callable[[web.Request, msgspec.Struct], None]
    """Raises `BadRequest`. Knows no request itself: that knows its check."""


BODY_CHECK = web.RequestKey("body_check", BodyCheck)
"""There at every request below `/api/v1`."""


async def read_body(request: web.Request, kind: type[T], *, timeout_s: float) -> T:
    """Read and check a body of JSON. Raises `BadRequest`, also where who asks may not."""
    body = decode(await read_octets(request, "application/json", timeout_s=timeout_s), kind)
    if (check := request.get(BODY_CHECK)) is not None:
        if check.kind is not kind:
            raise TypeError(f"{request.path} is declared with another body than {kind.__name__}")
        check.check(request, body)
    return body


async def read_octets(request: web.Request, *types: str, timeout_s: float) -> bytes:
    """Read a body of one of these media types. Raises `BadRequest`."""
    if request.content_type not in types or hdrs.CONTENT_ENCODING in request.headers:
        # A form of another site can't send this type without a preflight.
        raise BadRequest(
            415,
            Refused(
                "unsupported_type",
                f"found {request.content_type}",
                field="Content-Type",
                expected=f"{' or '.join(types)}, not compressed",
            ),
        )
    return await read_whole(request, timeout_s=timeout_s)


async def read_whole(request: web.Request, *, timeout_s: float) -> bytes:
    """Read a body, whatever it is. Raises `BadRequest`; at once, where it says how long it is."""
    limit = request.client_max_size
    too_large = Refused("too_large", "the body is too long", expected=f"at most {limit} octets")
    if (request.content_length or 0) > limit:
        raise BadRequest(413, too_large)
    try:
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        raise BadRequest(408, Refused("too_slow", "the body did not come in time")) from None
    except web.HTTPRequestEntityTooLarge as error:
        raise BadRequest(413, too_large) from error


def decode(octets: bytes, kind: type[T]) -> T:
    """JSON to a message. Raises `BadRequest` for anything that is not exactly one."""
    try:
        message = msgspec.json.decode(octets, type=kind)
        # Only now, that the shape is known to be flat: which of two equal keys counts is nobody's
        # to guess.
        found = json.loads(octets, object_pairs_hook=_refuse_duplicates)
    except msgspec.ValidationError as error:
        fault = _AT.match(str(error))
        assert fault is not None
        raise BadRequest(
            400,
            Refused(
                "bad_field",
                fault["fault"],
                field=fault["field"] or "$",
                expected=_expected(kind, fault["field"] or ""),
            ),
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            400, Refused("bad_json", str(error), field="$", expected="one JSON object")
        ) from None
    except _Duplicate as error:
        raise BadRequest(
            400, Refused("bad_json", "found twice", field=f"$.{error}", expected="each field once")
        ) from None
    if b"\\u0000" in octets and plaintext.cleaned(found) != found:
        # PostgreSQL would keep another text than the one that was answered with.
        raise BadRequest(
            400, Refused("bad_json", "a text holds a NUL", field="$", expected="no \\u0000")
        )
    return message


class _Duplicate(Exception):
    """A key that is there twice."""


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _Duplicate(key)
        seen.add(key)
    return dict(pairs)


def _expected(kind: type[msgspec.Struct], field: str) -> str:
    """What a field should be, in words; for the whole object, its fields."""
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
    properties = schema["properties"]
    wanted = properties.get(field.removeprefix("$."))
    if wanted is None:
        required = set(schema.get("required", ()))
        return ", ".join(name if name in required else f"{name}?" for name in properties)
    if "enum" in wanted:
        return f"one of {', '.join(map(str, wanted['enum']))}"
    kinds = wanted.get("anyOf", [wanted])
    words = [" or ".join(each.get("type", "object") for each in kinds)]
    if "minLength" in wanted or "maxLength" in wanted:
        words.append(f"of {wanted.get('minLength', 0)} to {wanted.get('maxLength')} characters")
    if "pattern" in wanted:
        words.append(f"like {wanted['pattern']}")
    return " ".join(words)
