"""A process that writes call records as the endpoint does, and may be killed: `python -m` this.

Each line of its input is a command: `write CALL…`, at once; `limit`, after which no file may grow,
as on a full disk; `unlimit`; `settle`, until all is in the database. It answers each with a line:
`ready`, `kept CALL`, `done`. Arguments: the database, the journal.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

import structlog

from endpoint.app.journal import RecordJournal
from endpoint.storage.calls import StoredCallRecords
from endpoint.storage.database import Database, sqlite_url
from tests.unit.endpoint.app.test_journal import record


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(file: str, path: str) -> None:
    loop = asyncio.get_running_loop()
    database = Database(sqlite_url(Path(file)))
    journal = RecordJournal(StoredCallRecords(database), Path(path))

    async def write(call: str) -> None:
        await journal.write(record(call))
        say(f"kept {call}")

    async with database, journal:
        say("ready")
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            match line.split():
                case ["write", *calls]:
                    await asyncio.gather(*map(write, calls))
                case ["limit"]:
                    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
                case ["unlimit"]:
                    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                case ["settle"]:
                    assert await journal.settled(60)
            say("done")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:]))
