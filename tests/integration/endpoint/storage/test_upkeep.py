"""A database is checked, copied while it is used, and brought back; on both databases."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from endpoint.errors import StorageError
from endpoint.storage.database import Database, head, sqlite_url
from endpoint.storage.extensions import Credential, Extension, Extensions
from endpoint.storage.upkeep import backup, examine, restore

pytestmark = pytest.mark.integration


def credential(number: str) -> Credential:
    return Credential(number, "agent-endpoint", "MD5", "0" * 32)


async def test_a_copy_that_is_made_while_it_is_used_comes_back_whole(
    database: Database, url: str, tmp_path: Path
) -> None:
    extensions = Extensions(database)
    await extensions.add(Extension("6001", aliases=("4000",)), [credential("6001")])
    copy = tmp_path / "copy"
    is_copied = asyncio.Event()

    async def use() -> int:
        number = 7000
        while not is_copied.is_set():
            number += 1
            await extensions.add(Extension(str(number)), [credential(str(number))])
        return number

    async with asyncio.TaskGroup() as group:
        using = group.create_task(use())
        await backup(database, copy)
        is_copied.set()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    await extensions.remove("6001")
    await database.dispose()

    await restore(Database(url), copy)
    async with Database(url) as again:
        numbers = [extension.number for extension in await Extensions(again).all()]
        assert await Extensions(again).resolve("4000") == "6001"
        assert (await examine(again)).faults == []
    # Of one moment: what was stored up to then, and nothing after it.
    stored = [str(number) for number in range(7001, using.result() + 1)]
    assert numbers == ["6001", *stored[: len(numbers) - 1]]


async def test_a_backup_never_goes_over_a_file(database: Database, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(StorageError, match="there already"):
        await backup(database, taken)
    assert taken.read_text() == "mine"


async def test_what_is_no_backup_replaces_nothing(
    database: Database, url: str, tmp_path: Path
) -> None:
    await Extensions(database).add(Extension("6001"), [])
    letter = tmp_path / "letter"
    letter.write_bytes(b"not a backup" * 1000)
    with pytest.raises(StorageError, match=r"can't be copied|failed"):
        await restore(database, letter)
    async with Database(url) as again:
        assert [each.number for each in await Extensions(again).all()] == ["6001"]


async def test_what_is_found_is_counted(database: Database) -> None:
    await Extensions(database).add(Extension("6001"), [credential("6001")])
    found = await examine(database)
    assert (found.schema, found.faults) == (head(), [])
    assert found.size_bytes > 0
    assert {name: found.rows[name] for name in ("tenant", "extension", "credential", "alias")} == {
        "tenant": 1,
        "extension": 1,
        "credential": 1,
        "alias": 0,
    }


async def test_an_empty_database_is_told_what_it_lacks(url: str, tmp_path: Path) -> None:
    (tmp_path / "endpoint.sqlite3").touch()
    database = Database(url)
    found = await examine(database)
    assert found.faults == [
        f"the schema is none, this program needs {head()}; run: agent-endpoint db migrate"
    ]
    await database.dispose()


async def test_a_row_that_belongs_nowhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "endpoint.sqlite3"
    async with Database(sqlite_url(path)) as database:
        with closing(sqlite3.connect(path)) as raw:  # which heeds no foreign keys
            raw.execute("INSERT INTO alias (tenant_id, extension_id, number) VALUES (1, 77, '1')")
            raw.commit()
        assert (await examine(database)).faults == [
            "1 rows of alias belong to rows that are not there"
        ]


async def test_damage_is_found_and_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "endpoint.sqlite3"
    async with Database(sqlite_url(path)) as database:
        for number in range(7000, 7100):
            await Extensions(database).add(Extension(str(number)), [credential(str(number))])
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'uq_extension_tenant_id_number'"
            " OR tbl_name = 'extension' AND type = 'index'"
        ).fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size + 100)
        file.write(b"\xff" * (size - 200))
    damaged = Database(sqlite_url(path))
    try:
        try:
            (fault,) = (await examine(damaged)).faults
        except StorageError as error:
            fault = str(error)
        assert "agent-endpoint db restore FILE" in fault
        with pytest.raises(StorageError, match=r"damaged|malformed"):
            await backup(damaged, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
    finally:
        await damaged.dispose()
