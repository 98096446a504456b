"""Call records over HTTP, below `/api/v1/records`: found, explained, taken away as a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from typing import TypeVar

from aiohttp import web

from endpoint.app.access import identity_of, refusal
from endpoint.app.bodies import BadRequest, json_answer
from endpoint.app.journal import SETTLE_S, RecordJournal
from endpoint.app.recordexport import TYPES, ExportFormat, heading, lines
from endpoint.app.recordings import RecordingArchive, encode_recording
from endpoint.app.rights import Rights
from endpoint.callcontrol.explanation import explain
from endpoint.callcontrol.model import CallDirection, CallRecord
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import Cause
from endpoint.storage.calls import LARGEST_PAGE, BadCursor, RecordFilter, StoredCallRecords

T = TypeVar("T")
_PAGE = 100
_EXPORTED_AT_ONCE = 500
_LONGEST = 256
_LIKE = re.compile(r"(?P<key>[A-Za-z0-9_.:-]{1,64})=(?P<text>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RecordRoutes:
    """Handlers over what is stored."""

    records: StoredCallRecords
    journal: RecordJournal
    recordings: RecordingArchive
    rights: Rights

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [
            web.get(f"{wire.API}/records", self.search),
            web.get(f"{wire.API}/records/export", self.export),
            web.get(f"{wire.API}/records/{{call}}", self.record),
        ]

    async def search(self, request: web.Request) -> web.Response:
        """`GET /records`."""
        asked = _asked(request, ("limit", "after"))
        wanted = self._wanted(request, asked)
        limit = _number(asked.one("limit"), "limit", 1, LARGEST_PAGE)
        await self.journal.settled(SETTLE_S)
        try:
            page = await self.records.search(
                wanted,
                limit=_PAGE if limit is None else int(limit),
                after=asked.one("after") or "",
            )
        except BadCursor as error:
            raise _bad("after", str(error), "next of an answer") from error
        return json_answer(wire.Records(list(page.records), page.next))

    async def record(self, request: web.Request) -> web.Response:
        """`GET /records/{call}`."""
        await self.journal.settled(SETTLE_S)
        agents = self.rights.agents_of(identity_of(request))
        found = await self.records.read(request.match_info["call"])
        if found is None or not (agents is None or had_part(found, agents)):
            text = "no call that is over has this name"
            return refusal(404, wire.Refused("unknown_call", text))
        files = await self.recordings.find(call=found.call, agents=agents)
        recorded = [encode_recording(file) for file in files]
        return json_answer(wire.RecordFound(found, explain(found), recorded))

    def _wanted(self, request: web.Request, asked: Asked) -> RecordFilter:
        """What a query looks for, of what who asks may see. Raises `BadRequest`."""
        wanted, mine = record_filter(asked), self.rights.agents_of(identity_of(request))
        if mine is None:
            return wanted
        return replace(wanted, agents=mine if wanted.agents is None else mine & wanted.agents)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """`GET /records/export`: as many as there are, in pieces."""
        asked = _asked(request, ("format",))
        wanted = self._wanted(request, asked)
        kind = _of(ExportFormat, asked.one("format") or "csv", "format")
        await self.journal.settled(SETTLE_S)
        page = await self.records.search(wanted, limit=_EXPORTED_AT_ONCE)
        answer = web.StreamResponse(
            headers={"Content-Disposition": f'attachment; filename="calls.{kind}"'}
        )
        answer.content_type = TYPES[kind]
        answer.charset = "utf-8"
        await answer.prepare(request)
        await answer.write(heading(kind))
        while True:
            await answer.write(lines(page.records, kind))
            if not page.next:
                break
            # Should that fail, the connection breaks: a file that is cut must not look whole.
            page = await self.records.search(wanted, limit=_EXPORTED_AT_ONCE, after=page.next)
        await answer.write_eof()
        return answer


def had_part(record: CallRecord, agents: Container[str]) -> bool:
    """Whether one of these agents was in a call."""
    return any(each.agent in agents for each in record.connections)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query says, by its names."""

    words: Mapping[str, list[str]]

    def one(self, name: str) -> str | None:
        """The one word of a name. Raises `BadRequest` for several."""
        found = self.words.get(name, [])
        if len(found) > 1:
            raise _bad(name, "found twice", "once")
        return found[0] if found else None


_NAMES = (
    *("since", "until", "device", "number", "cause", "direction", "established", "minimum_s"),
    *("data", "call", "interaction", "agent"),
)


def _asked(request: web.Request, more: Iterable[str]) -> Asked:
    names = (*_NAMES, *more)
    words: dict[str, list[str]] = {}
    for name, word in request.query.items():
        if name not in names:
            raise _bad(name, "not known", ", ".join(names))
        if not 0 < len(word) <= _LONGEST and name != "data":
            raise _bad(name, f"{len(word)} characters", f"1 to {_LONGEST} characters")
        words.setdefault(name, []).append(word)
    return Asked(words)


def record_filter(asked: Asked) -> RecordFilter:
    """What a query looks for. Raises `BadRequest`."""
    direction, cause = asked.one("direction"), asked.one("cause")
    established = asked.one("established")
    if established not in (None, "true", "false"):
        raise _bad("established", established, "true or false")
    return RecordFilter(
        since=moment(asked.one("since"), "since"),
        until=moment(asked.one("until"), "until"),
        device=asked.one("device") or "",
        number=asked.one("number") or "",
        cause=_of(Cause, cause, "cause") if cause else "",
        direction=_of(CallDirection, direction, "direction") if direction else "",
        established=None if established is None else established == "true",
        minimum_s=_number(asked.one("minimum_s"), "minimum_s", 0, 10**9),
        data=tuple(map(_datum, asked.words.get("data", []))),
        call=asked.one("call") or "",
        interaction=asked.one("interaction") or "",
        agents=None if (agent := asked.one("agent")) is None else frozenset((agent,)),
    )


def _datum(word: str) -> tuple[str, str]:
    found = _LIKE.fullmatch(word)
    if found is None:
        raise _bad("data", word, "KEY=TEXT")
    return found["key"], found["text"]


def moment(word: str | None, name: str) -> datetime | None:
    """A moment of a query; None where none is said. Raises `BadRequest`."""
    expected = "a moment with its zone, as 2026-11-28T14:00:00+01:00 or 2026-11-28T13:00:00Z"
    if word is None:
        return None
    try:
        # In a query + is a space, unless it is written as %2B.
        at = datetime.fromisoformat(word.replace(" ", "+") if "T" in word else word)
    except ValueError as error:
        raise _bad(name, word, expected) from error
    if at.tzinfo is None:
        raise _bad(name, word, expected)
    return at


def _number(word: str | None, name: str, least: float, most: float) -> float | None:
    if word is None:
        return None
    try:
        number = float(word)
    except ValueError as error:
        raise _bad(name, word, f"a number from {least} to {most}") from error
    if not isfinite(number) or not least <= number <= most:
        raise _bad(name, word, f"a number from {least} to {most}")
    return number


def _of(kind: Callable[[str], T], word: str, name: str) -> T:
    try:
        return kind(word)
    except ValueError as error:
        words = ", ".join(str(each) for each in kind)  # type: ignore[attr-defined]  # an enum
        raise _bad(name, word, f"one of {words}") from error


def _bad(name: str, found: str, expected: str) -> BadRequest:
    text = f"found {found[:64]!r}"
    return BadRequest(400, wire.Refused("bad_field", text, field=name, expected=expected))
