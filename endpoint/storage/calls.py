"""Call records: what stays of each call, and how it is found again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    Select,
    and_,
    exists,
    func,
    insert,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased
from sqlalchemy.sql.elements import ColumnElement

from endpoint.callcontrol.model import CallDirection, CallId, CallRecord
from endpoint.errors import StorageError
from endpoint.plaintext import clean
from endpoint.storage.database import Database
from endpoint.storage.schema import LONGEST_SEARCHED, CallRow, DatumRow, PartyRow, UtcDateTime

LARGEST_PAGE = 1000
"""Records that one search gives."""
_FEW = 20_000
"""Up to so many matches are collected; of more, one is soon found by looking at one by one."""
_MOMENTS = ("started_at", "delivered_at", "established_at", "ended_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RecordRefused(StorageError):
    """The database can be used, and has no place for a record as it is."""


class BadCursor(StorageError):
    """A cursor that no search gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records are looked for; what is not said leaves none out."""

    since: datetime | None = None
    """Those that began then or later,"""
    until: datetime | None = None
    """and before this."""
    device: str = ""
    """Who had part in it: this very device; a caller from outside is none."""
    number: str = ""
    """How a number in it begins: who called, who was called, who had part."""
    cause: str = ""
    """Why it ended."""
    direction: str = ""
    """`inbound`, `outbound`."""
    established: bool | None = None
    """Whether they could talk."""
    minimum_s: float | None = None
    """For so long at least they could."""
    data: tuple[tuple[str, str], ...] = ()
    """Keys with their texts, all of which it carries."""
    call: str = ""
    """The very call."""
    interaction: str = ""
    """The calls of one interaction."""
    agents: frozenset[str] | None = None
    """One of these had part in it, by what was noted then; None: whoever had."""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some of what was looked for, the latest first."""

    records: tuple[CallRecord, ...]
    next: str = ""
    """Where the next page begins; empty where there is none."""


@contextmanager
def refusing() -> Iterator[None]:
    """What the database will never take is `RecordRefused`; else it may take it another time."""
    try:
        yield
    except StorageError as error:
        # Class 22 is bad data, class 23 a broken constraint.
        state = str(getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) or "")
        bad = isinstance(error.__cause__, DataError | IntegrityError)
        if bad or state.startswith(("22", "23")):
            raise RecordRefused(str(error)) from error
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise RecordRefused(str(error)) from error


class StoredCallRecords:
    """The call records of one tenant; what call control writes to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, *records: CallRecord) -> set[CallId]:
        """Keep records, all or none; of a call that has one already it is left as it is.

        Returns the calls whose record is new. Raises `StorageError`; `RecordRefused` where one of
        them will never be kept.
        """
        with refusing():
            return await self._write(records)

    async def _write(self, records: Sequence[CallRecord]) -> set[CallId]:
        tenant = self._database.tenant_id
        by_call: dict[str, CallRecord] = {}
        for record in records:
            by_call.setdefault(record.call, record)
        if not by_call:
            return set()
        rows = [_columns(record) | {"tenant_id": tenant} for record in by_call.values()]
        dialect = sqlite if self._database.sqlite else postgresql
        adding = (
            dialect.insert(CallRow)
            .on_conflict_do_nothing(index_elements=["tenant_id", "call"])
            .returning(CallRow.call, CallRow.id)
        )
        async with self._database.session() as session:
            new = {row.call: row.id for row in await session.execute(adding, rows)}
            parties = [
                {"record_id": number, "number": each, "kind": kind, "tenant_id": tenant}
                for call, number in new.items()
                for each, kind in _numbers(by_call[call])
            ]
            if parties:
                await session.execute(insert(PartyRow), parties)
            data = [
                {"record_id": number, "key": key, "value": _searched(text), "tenant_id": tenant}
                for call, number in new.items()
                for key, text in by_call[call].data.items()
            ]
            if data:
                await session.execute(insert(DatumRow), data)
        return {CallId(call) for call in new}

    async def read(self, call: str) -> CallRecord | None:
        """The record of a call; None where it has none."""
        async with self._database.session() as session:
            row = await session.scalar(
                select(CallRow).where(
                    CallRow.tenant_id == self._database.tenant_id, CallRow.call == clean(call)
                )
            )
            return None if row is None else _record(row)

    async def latest(self, limit: int = 100) -> Sequence[CallRecord]:
        """The latest records, newest first."""
        return (await self.search(limit=limit)).records

    async def search(
        self, wanted: RecordFilter | None = None, *, limit: int = 100, after: str = ""
    ) -> RecordPage:
        """Look for records, the latest first, from where a former page ended.

        Raises `StorageError`; `BadCursor` where `after` is none.
        """
        wanted = wanted or RecordFilter()
        tenant = self._database.tenant_id
        limit = max(1, min(limit, LARGEST_PAGE))
        async with self._database.session() as session:
            found = (
                select(CallRow.id)
                .where(CallRow.tenant_id == tenant, *_conditions(wanted))
                .order_by(CallRow.started_at.desc(), CallRow.id.desc())
                .limit(limit + 1)
            )
            if after:
                at, number = _decoded(after)
                place = tuple_(literal(at, UtcDateTime), literal(number))
                found = found.where(tuple_(CallRow.started_at, CallRow.id) < place)
            for beside in _beside(wanted, tenant):
                found = found.where(await _met(session, beside))
            numbers = list(await session.scalars(found))
            # Only now the rows themselves, which are large.
            rows = await session.scalars(
                select(CallRow)
                .where(CallRow.id.in_(numbers[:limit]))
                .order_by(CallRow.started_at.desc(), CallRow.id.desc())
            )
            page = list(rows)
        following = _encoded(page[-1]) if len(numbers) > limit else ""
        return RecordPage(tuple(map(_record, page)), following)


def talked_ms(record: CallRecord) -> int | None:
    """How long they could talk; None where they never could."""
    if record.established_at is None:
        return None
    return round((record.ended_at - record.established_at) / timedelta(milliseconds=1))


# -- looking ------------------------------------------------------------------------------------


def _conditions(wanted: RecordFilter) -> Iterable[ColumnElement[bool]]:
    """What the row itself says."""
    if wanted.call:
        yield CallRow.call == clean(wanted.call)
    if wanted.since is not None:
        yield CallRow.started_at >= wanted.since
    if wanted.until is not None:
        yield CallRow.started_at < wanted.until
    if wanted.direction:
        yield CallRow.direction == wanted.direction
    if wanted.cause:
        yield CallRow.cause == wanted.cause
    if wanted.established is not None:
        there = CallRow.talked_ms.is_not(None)
        yield there if wanted.established else ~there
    if wanted.minimum_s is not None:
        yield CallRow.talked_ms >= round(1000 * wanted.minimum_s)
    for key, text in wanted.data:
        if len(whole := clean(text)) > LONGEST_SEARCHED:
            yield CallRow.data[clean(key)].as_string() == whole


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is looked for by another index than that of searches."""

    condition: ColumnElement[bool]
    of_record: ColumnElement[int] | InstrumentedAttribute[int]
    """The record that has it."""
    of_tenant: ColumnElement[bool]
    """Where all that have it are looked for; of one record its tenant is known."""


def _beside(wanted: RecordFilter, tenant: int) -> Iterable[_Beside]:
    party, datum = PartyRow.__table__.c, DatumRow.__table__.c
    if wanted.device:
        own = and_(party.number == _searched(wanted.device), party.kind == "device")
        yield _Beside(own, party.record_id, party.tenant_id == tenant)
    if wanted.number:
        begins = _searched(wanted.number)
        among = and_(party.number >= begins, party.number < _behind(begins), party.kind != "agent")
        yield _Beside(among, party.record_id, party.tenant_id == tenant)
    if wanted.agents is not None:
        yield _Beside(_is_of(wanted.agents), party.record_id, party.tenant_id == tenant)
    for key, text in wanted.data:
        same = and_(datum.key == clean(key), datum.value == _searched(text))
        yield _Beside(same, datum.record_id, datum.tenant_id == tenant)
    if wanted.interaction:
        other = aliased(CallRow)
        # Of an interaction there are few, whosever they are; by tenant all would be looked through.
        yield _Beside(other.interaction == clean(wanted.interaction), other.id, true())


def _is_of(agents: Iterable[str]) -> ColumnElement[bool]:
    party = PartyRow.__table__.c
    return and_(party.number.in_(map(_searched, agents)), party.kind == "agent")


def calls_of(agents: Iterable[str], tenant: int) -> Select[str]:
    """The names of calls that one of these agents had part in."""
    party = PartyRow.__table__.c
    found = select(CallRow.call).join(PartyRow, party.record_id == CallRow.id)
    return found.where(party.tenant_id == tenant, _is_of(agents))


async def _met(session: AsyncSession, beside: _Beside) -> ColumnElement[bool]:
    """Few matches are collected first, and of many each record is asked whether it is one.

    Either way alone takes seconds where the other takes milliseconds.
    """
    matching = select(beside.of_record).where(beside.of_tenant, beside.condition)
    some = matching.limit(_FEW + 1).subquery()
    count = await session.scalar(select(func.count()).select_from(some)) or 0
    if count <= _FEW:
        return CallRow.id.in_(matching)
    return exists().where(beside.of_record == CallRow.id, beside.condition)


def _behind(begins: str) -> str:
    """The first text, in the order of code points, behind all that begin so."""
    return begins + "\U0010ffff"


def _encoded(row: CallRow) -> str:
    return f"{(row.started_at - _EPOCH) // timedelta(microseconds=1)}-{row.id}"


def _decoded(cursor: str) -> tuple[datetime, int]:
    found = re.fullmatch(r"(\d{1,17})-(\d{1,18})", cursor, re.ASCII)
    if found is None:
        raise BadCursor(f"no search gave the cursor {cursor[:64]!r}")
    try:
        return _EPOCH + timedelta(microseconds=int(found[1])), int(found[2])
    except OverflowError as error:
        raise BadCursor(f"no search gave the cursor {cursor[:64]!r}") from error


# -- rows ---------------------------------------------------------------------------------------


def _columns(record: CallRecord) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    for name in _MOMENTS:
        plain[name] = getattr(record, name)
    plain["cause"] = str(record.ending.cause)
    plain["talked_ms"] = talked_ms(record)
    return plain


def _record(row: CallRow) -> CallRecord:
    plain = {name: getattr(row, name) for name in CallRecord.__slots__}
    return msgspec.convert(plain, CallRecord)


def _numbers(record: CallRecord) -> set[tuple[str, str]]:
    """By which numbers a call is found, and as what."""
    devices = {each.device for each in record.connections if not each.from_outside}
    if record.direction is CallDirection.OUTBOUND:
        devices.add(record.calling)
    found = {(record.calling, "calling"), (record.called, "called")}
    found |= {(device, "device") for device in devices}
    parties = {(_searched(number), kind) for number, kind in found}
    agents = {_searched(each.agent) for each in record.connections if each.agent}
    return parties | {(agent, "agent") for agent in agents}


def _searched(text: str) -> str:
    return clean(text)[:LONGEST_SEARCHED]
