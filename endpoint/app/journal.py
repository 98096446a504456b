"""Journals: on the disk before something is told, in the database soon after.

What is to be kept is appended to a file and synced; what comes at once goes together. A task brings
it into the database in batches, and empties the file when all is there. So no call and no agent
waits for a database that is locked, full or away, and what was written when we were killed is
brought in at the next start. Bringing something in twice changes nothing: that is for the database
to see to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec
import structlog

from endpoint import plaintext
from endpoint.callcontrol.controller import Keeper, once
from endpoint.callcontrol.model import CallRecord
from endpoint.errors import StorageError
from endpoint.storage.calls import RecordRefused

log = structlog.get_logger(__name__)

T = TypeVar("T")
Kept = TypeVar("Kept")
Taken = TypeVar("Taken", contravariant=True)
BATCH = 50
"""Things that are brought in together, where the database is fast enough for that."""
RETRY_S = 1.0
"""How long to wait before a database that refused is asked again."""
SETTLE_S = 0.5
"""How long a reader waits for records that are on their way into the database."""
FAREWELL_S = 5.0
"""How long leaving waits for the database; what it does not take then stays in the file."""
RESERVE_BYTES = 2**20
"""Kept aside on the disk for the records of calls that end when it is full."""


class Store(Protocol[Taken]):
    """Where things go in the end."""

    async def write(self, *things: Taken) -> object:
        """Keep them, all or none.

        Raises `StorageError`; `RecordRefused` where one of them never will be.
        """


class Journal(Generic[Kept]):
    """Keeps things, one way or the other: `async with Journal(store, path, …) as journal`."""

    def __init__(
        self,
        store: Store[Kept],
        path: Path,
        kind: type[Kept],
        name: str,
        *,
        keep: Keeper = once,
        linger_s: float = 0.0,
    ) -> None:
        """Set up.

        Args:
            store: the database.
            path: the file.
            kind: what is kept.
            name: what it is called, for people: `call records`.
            keep: keeps alive what brings things into the database.
            linger_s: so long the database is left alone, so that more goes into it at once.
        """
        self._store = store
        self._path = path
        self._kind = kind
        self._name = name
        self._keep = keep
        self._linger_s = linger_s
        self._group = asyncio.TaskGroup()
        self._bringing: asyncio.Task[None] | None = None
        self._reserve = path.with_name(path.name + ".reserve")
        self._thread = ThreadPoolExecutor(1, name)
        """One: what is asked of the file is done in its order."""
        self._file = -1
        self._asked: list[tuple[bytes, Kept, asyncio.Future[None]]] = []
        self._appending: asyncio.Task[None] | None = None
        self._waiting: deque[Kept] = deque()
        """On the disk, and not known to be in the database."""
        self._unkept = b""
        """Lines that the file has not taken."""
        self._batch = BATCH
        self._news = asyncio.Event()
        self._tried = asyncio.Event()
        """Set, and made anew, when the database was asked once more."""
        self._trouble = ""
        """What the database said last; empty where it takes records."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path.name}, {len(self._waiting)} wait>"

    async def __aenter__(self) -> Self:
        """Open the file, and take what an earlier run has left in it. Raises `StorageError`."""
        try:
            left = await self._in_thread(self._open)
        except OSError as error:
            self._thread.shutdown()
            raise StorageError(f"{self._path}: {error.strerror}; {self._name} go there") from error
        for line in left:
            try:
                self._waiting.append(msgspec.json.decode(line, type=self._kind))
            except msgspec.DecodeError:  # cut by the crash that made it
                log.error("a line can't be read", kept=self._name, length=len(line))
        if self._waiting:
            log.info("what an earlier run has kept is brought in", **self._about())
            self._news.set()
        await self._group.__aenter__()
        keeping = self._keep(self._name, self._bring_in)
        self._bringing = self._group.create_task(keeping, name=f"{self._name}, kept")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bringing is not None:
            self._bringing.cancel()
        await self._group.__aexit__(None, None, None)
        with contextlib.suppress(StorageError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                while self._waiting:
                    await self._bring_some_in()
        await self._empty()
        if self._waiting:
            log.error("the database takes nothing: it waits for the next start", **self._about())
        await self._in_thread(self._close)
        self._thread.shutdown()

    def _about(self) -> dict[str, Any]:
        return {"kept": self._name, "waiting": len(self._waiting)}

    @property
    def waiting(self) -> int:
        """Things that the database has not taken yet."""
        return len(self._waiting)

    @property
    def left(self) -> list[Kept]:
        """Those things, in their order."""
        return list(self._waiting)

    def put(self, thing: Kept) -> asyncio.Future[None]:
        """Keep something; it is on the disk when the future is done, in the order of being put.

        Where the disk takes nothing, not even what was kept aside for that, the future has the
        `OSError`: it is in memory, and in the database if that takes it.
        """
        written = asyncio.get_running_loop().create_future()
        self._asked.append((self._encode(thing) + b"\n", thing, written))
        if self._appending is None:
            self._appending = self._group.create_task(self._append(), name=f"{self._name}, file")
        return written

    def _encode(self, thing: Kept) -> bytes:
        return plaintext.encode(thing)

    def _named(self, thing: Kept) -> dict[str, Any]:
        """Which one it is, for the log."""
        return {"kept": self._name}

    @property
    def trouble(self) -> str:
        """Why things wait; empty where none does."""
        return self._trouble if self._waiting else ""

    # -- for whoever reads -----------------------------------------------------------------------

    async def settled(self, timeout_s: float) -> bool:
        """Wait until what has been written so far is in the database; False where it is not."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._waiting:
                    await self._tried.wait()
        except TimeoutError:
            return False
        return True

    async def _bring_in(self) -> None:
        """Bring things in as they come. Never returns."""
        while True:
            await self._news.wait()
            if self._linger_s:
                await asyncio.sleep(self._linger_s)
            self._news.clear()
            try:
                while self._waiting:
                    await self._bring_some_in()
                await self._empty()
            except StorageError as error:
                if str(error) != self._trouble:
                    log.error("the database takes nothing", **self._about(), reason=str(error))
                self._trouble = str(error)
                await asyncio.sleep(RETRY_S)
                self._news.set()
            else:
                if self._trouble:
                    log.info("the database takes things again", kept=self._name)
                self._trouble = ""

    # -- into the database ----------------------------------------------------------------------

    async def _bring_some_in(self) -> None:
        some = list(islice(self._waiting, self._batch))
        try:
            try:
                await self._store.write(*some)
            except RecordRefused:
                # One of them must not keep all others.
                some = some[:1]
                await self._bring_one_in(some[0])
            except StorageError:
                # It may have had no time for so many: on a slow machine none would ever come in.
                self._batch = max(1, len(some) // 2)
                raise
            self._batch = min(BATCH, 2 * self._batch)
            for _ in some:
                self._waiting.popleft()
        finally:
            tried, self._tried = self._tried, asyncio.Event()
            tried.set()

    async def _bring_one_in(self, thing: Kept) -> None:
        try:
            await self._store.write(thing)
        except RecordRefused as error:
            log.error("the database refuses it", **self._named(thing), reason=str(error))
            with contextlib.suppress(OSError):
                await self._in_thread(partial(self._put_aside, self._encode(thing) + b"\n"))

    # -- the file -------------------------------------------------------------------------------

    async def _append(self) -> None:
        """Put what was asked for into the file, all of it at once, until nothing is."""
        while self._asked:
            asked, self._asked = self._asked, []
            octets = b"".join(line for line, _, _ in asked)
            failure: OSError | None = None
            try:
                await self._in_thread(partial(self._sync, self._unkept + octets))
                self._unkept = b""
            except Exception as error:
                # Kept for when there is room again; what is the database's by then is no loss.
                self._unkept += octets
                failure = error if isinstance(error, OSError) else OSError(0, repr(error))
            self._waiting.extend(thing for _, thing, _ in asked)
            self._news.set()
            for _, _, written in asked:
                if written.done():
                    continue  # whoever asked has gone
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(OSError(failure.errno, failure.strerror))
        self._appending = None

    async def _empty(self) -> None:
        """Empty the file, unless it holds what the database has not got.

        Nothing is awaited between looking and asking, and the thread does what it is asked in turn.
        """
        if not self._waiting and not self._asked and self._appending is None:
            self._unkept = b""
            try:
                await self._in_thread(self._truncate)
            except OSError as error:
                log.warning("journal is not emptied", **self._about(), reason=str(error))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> list[bytes]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        octets = self._path.read_bytes()
        if octets and not octets.endswith(b"\n"):
            os.write(self._file, b"\n")
        self._keep_reserve()
        return octets.splitlines()

    def _sync(self, octets: bytes) -> None:
        end = os.fstat(self._file).st_size
        try:
            self._write(octets)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            try:
                os.ftruncate(self._file, end)
                self._write(octets)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, end)
                raise

    def _write(self, octets: bytes) -> None:
        while octets:
            octets = octets[os.write(self._file, octets) :]
        os.fsync(self._file)

    def _truncate(self) -> None:
        if os.fstat(self._file).st_size:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
        self._keep_reserve()

    def _keep_reserve(self) -> None:
        if self._reserve.exists():
            return
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)

    def _put_aside(self, line: bytes) -> None:
        aside = self._path.with_name(self._path.name + ".refused")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with os.fdopen(os.open(aside, flags, 0o600), "ab") as file:
            file.write(line)

    def _close(self) -> None:
        os.close(self._file)


class RecordJournal(Journal[CallRecord]):
    """Keeps call records: `async with RecordJournal(records, path) as journal`."""

    def __init__(self, records: Store[CallRecord], path: Path, *, keep: Keeper = once) -> None:
        """Set up; `keep` keeps alive what brings records into the database."""
        super().__init__(records, path, CallRecord, "call records", keep=keep)

    def _named(self, record: CallRecord) -> dict[str, Any]:
        return {"kept": self._name, "call": record.call}

    async def write(self, record: CallRecord) -> None:
        """Keep a record; it is on the disk when this returns.

        Where the disk is full, and what was kept aside as well, the database may still take it, and
        it is waited for once. After that it is kept in memory alone: a call must end.
        """
        try:
            await asyncio.shield(self.put(record))
        except OSError as error:
            log.critical("call record is not on the disk", call=record.call, reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._tried.wait()
