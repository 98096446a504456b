"""What call records cost: to commands, while calls end all the time; and to whoever looks for some.

Commands are measured in this process, over telephones that are played: between command and event
there is nothing then but call control, and what records add to it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Final

from endpoint.app.journal import RecordJournal
from endpoint.callcontrol import commands
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import Established, Held, Retrieved
from endpoint.callcontrol.model import (
    CallDirection,
    CallId,
    CallRecord,
    ConnectionRecord,
    Ending,
    Moments,
)
from endpoint.callcontrol.runner import CallRecords
from endpoint.errors import StorageError
from endpoint.legs.base import (
    CAUSES,
    AudioFigures,
    Cause,
    DeviceId,
    InteractionId,
    LegQuality,
    LegRole,
    Side,
)
from endpoint.storage.calls import RecordFilter, StoredCallRecords
from endpoint.storage.database import Database, sqlite_url
from tests.bench.report import Row
from tests.bench.rtpload import Ground
from tests.bench.signalling import quantile
from tests.fakes.exchange import FakeExchange

ENDING_A_SECOND: Final = 20
COMMANDS_A_SECOND: Final = 50
DAY: Final = datetime(2026, 11, 21, tzinfo=UTC)
QUALITY: Final = LegQuality("PCMU", AudioFigures(3000, 0.5, 3.1, 4.2), AudioFigures(3000), 21.0)
BATCH: Final = 100
EACH: Final = 5
"""Times that each search is asked; the median counts."""


# -- what a record's writing costs commands -------------------------------------------------------


class NoRecords:
    """Keeps nothing."""

    async def write(self, record: CallRecord) -> None:
        """Nothing."""


@asynccontextmanager
async def kept(directory: Path) -> AsyncIterator[CallRecords]:
    """The journal, with its database."""
    async with (
        Database(sqlite_url(directory / "commands.sqlite3")) as database,
        RecordJournal(StoredCallRecords(database), directory / "journal") as journal,
    ):
        yield journal


class Calls:
    """One call that is commanded, and others that end."""

    def __init__(self, controller: CallController, exchange: FakeExchange) -> None:
        self._controller = controller
        self._exchange = exchange
        self._events = controller.subscribe()
        self.took_ms: list[float] = []
        self.ended = 0

    async def command(self, seconds: float) -> None:
        """Hold and retrieve, again and again: from each command until its event is told."""
        call = await self._talking("6001", "10086")
        pairs = (commands.HoldCall, Held), (commands.RetrieveCall, Retrieved)
        for number in range(round(seconds * COMMANDS_A_SECOND)):
            command, event = pairs[number % 2]
            began = perf_counter()
            await self._controller.submit(command(DeviceId("6001"), call))
            async for numbered in self._events:
                if isinstance(numbered.event, event):
                    break
            self.took_ms.append(1000 * (perf_counter() - began))
            await asyncio.sleep(1 / COMMANDS_A_SECOND)

    async def end_others(self) -> None:
        """Calls that begin and end, until it is cancelled."""
        while True:
            device = f"7{self.ended:05}"
            await self._controller.submit(commands.MakeCall(DeviceId(device), "10010"))
            (await self._exchange.placed("10010")).answer()
            await asyncio.sleep(1 / ENDING_A_SECOND)
            await self._controller.submit(commands.ClearConnection(DeviceId(device)))
            self.ended += 1
            self._exchange.forget_what_is_over()

    async def _talking(self, device: str, number: str) -> CallId:
        accepted = await self._controller.submit(commands.MakeCall(DeviceId(device), number))
        (await self._exchange.placed(number)).answer()
        async for numbered in self._events:
            if isinstance(numbered.event, Established):
                break
        return accepted.call


async def commanded(records: CallRecords, seconds: float) -> Calls:
    """Commands while calls end, with their records kept there."""
    exchange = FakeExchange()
    async with CallController(exchange, records) as controller, asyncio.TaskGroup() as group:
        calls = Calls(controller, exchange)
        ending = group.create_task(calls.end_others())
        await calls.command(seconds)
        ending.cancel()
    return calls


async def record_writing(ground: Ground) -> list[Row]:
    """Commands of one call while others end, with their records kept and without."""
    best: tuple[float, float, int] | None = None
    for number in range(ground.rounds):
        ground.say(f"records: commands while {ENDING_A_SECOND} calls a second end, round {number}")
        directory = ground.folder / f"records-{number}"
        directory.mkdir()
        async with AsyncExitStack() as stack:
            without = await commanded(NoRecords(), ground.seconds)
            journal = await stack.enter_async_context(kept(directory))
            with_them = await commanded(journal, ground.seconds)
        figures = (
            quantile(with_them.took_ms, 0.99),
            quantile(without.took_ms, 0.99),
            with_them.ended,
        )
        if best is None or figures[0] - figures[1] < best[0] - best[1]:
            best = figures
    assert best is not None
    ours, bare, ended = best
    return [
        Row(
            name="record-write",
            what=f"what records add to command → event, p99; {ended} calls ended meanwhile",
            unit="ms",
            ours=max(0.0, ours - bare),
            limit=5.0,
            details={"with_ms": ours, "without_ms": bare, "calls_ended": float(ended)},
        )
    ]


# -- what a search takes --------------------------------------------------------------------------


def made(number: int, of: int, chance: random.Random) -> CallRecord:
    """One of very many; agent 6001 has had his calls long ago, 6002 a few."""
    agent = DeviceId(f"6{chance.randrange(100, 300)}")
    if number < of // 20:
        agent = DeviceId("6001")
    elif number % (of // 40) == 7:
        agent = DeviceId("6002")
    customer = DeviceId(f"13{chance.randrange(10**9):09}")
    inbound = chance.random() < 0.3
    calling, called = (customer, agent) if inbound else (agent, customer)
    began = DAY - timedelta(days=365 * (1 - number / of))
    answered = chance.random() < 0.7
    cause = Cause.NORMAL if answered else chance.choice([Cause.BUSY, Cause.NO_ANSWER])
    if number % (of // 10) == 3:
        cause = Cause.TRUNKS_DOWN
    talked_s = chance.expovariate(1 / 120)
    ended = began + timedelta(seconds=20 + talked_s)
    established = began + timedelta(seconds=20) if answered else None
    ending = Ending(cause, Side.DEVICE, customer, q850=CAUSES[cause].q850)
    moments = Moments(began, began + timedelta(seconds=1), established, (), ended)
    own, other = (
        ConnectionRecord(device, role, False, ending, True, role is LegRole.LINE and inbound)
        for device, role in ((agent, LegRole.STATION), (customer, LegRole.LINE))
    )
    return CallRecord(
        InteractionId(f"{number:016x}"),
        CallId(f"{number:016x}-1"),
        CallDirection.INBOUND if inbound else CallDirection.OUTBOUND,
        calling,
        called,
        began,
        began + timedelta(seconds=1),
        established,
        ended,
        ending,
        tuple(replace(each, moments=moments, quality=QUALITY) for each in (own, other)),
        data={"campaign": "autumn", "order": str(number)},
    )


SEARCHES: Final[dict[str, RecordFilter]] = {
    "latest": RecordFilter(),
    "one-day": RecordFilter(since=DAY - timedelta(days=200), until=DAY - timedelta(days=199)),
    "device-many": RecordFilter(device="6123"),
    "device-few": RecordFilter(device="6002"),
    "device-long-ago": RecordFilter(device="6001"),
    "number": RecordFilter(number="13912"),
    "number-many": RecordFilter(number="1"),
    "number-none": RecordFilter(number="99"),
    "cause-many": RecordFilter(cause="busy"),
    "cause-few": RecordFilter(cause="trunks_down"),
    "cause-none": RecordFilter(cause="lost"),
    "direction": RecordFilter(direction="inbound"),
    "unanswered": RecordFilter(established=False),
    "long": RecordFilter(minimum_s=900),
    "longer-than-any": RecordFilter(minimum_s=10**6),
    "data-one": RecordFilter(data=(("order", "4711"),)),
    "data-all": RecordFilter(data=(("campaign", "autumn"),)),
    "call": RecordFilter(call=f"{4711:016x}-1"),
    "interaction": RecordFilter(interaction=f"{4711:016x}"),
    "device-and-cause": RecordFilter(device="6123", cause="busy", established=False),
    "number-and-cause-none": RecordFilter(number="1", cause="lost"),
}
"""Each thing that is documented to be asked, and what is dear of it."""


async def record_search(ground: Ground) -> list[Row]:
    """Each documented search in very many records."""
    chance, count = random.Random(1), ground.records
    async with Database(sqlite_url(ground.folder / "search.sqlite3")) as database:
        records = StoredCallRecords(database)
        for begin in range(0, count, BATCH):
            if begin % 20_000 == 0:
                ground.say(f"records: {begin} of {count} written")
            some = [made(number, count, chance) for number in range(begin, begin + BATCH)]
            while True:
                with suppress(StorageError):  # it had no time for so many: once more, and no harm
                    await records.write(*some)
                    break
        ground.say("records: searched")
        took_ms = dict[str, float]()
        for name, wanted in SEARCHES.items():
            took_ms[name] = await median_ms(records, wanted)
        page = await records.search(limit=1)
        middle = (await records.search(RecordFilter(until=DAY - timedelta(days=180)), limit=1)).next
        took_ms["page-in-the-middle"] = await median_ms(records, RecordFilter(), after=middle)
        assert page.records
    worst = max(took_ms, key=lambda name: took_ms[name])
    return [
        Row(
            name="record-search",
            what=f"each documented search in {count} records, SQLite; the slowest: {worst}",
            unit="ms",
            ours=took_ms[worst],
            limit=100.0,
            details=took_ms,
        )
    ]


async def median_ms(records: StoredCallRecords, wanted: RecordFilter, after: str = "") -> float:
    """The first page of 100."""
    took = []
    for _ in range(EACH):
        began = perf_counter()
        await records.search(wanted, after=after)
        took.append(1000 * (perf_counter() - began))
    return quantile(took, 0.5)


async def records(ground: Ground) -> list[Row]:
    """Both."""
    return [*await record_writing(ground), *await record_search(ground)]
