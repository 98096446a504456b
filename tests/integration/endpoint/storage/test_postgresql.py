"""What is PostgreSQL's alone."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from endpoint.errors import StorageError
from endpoint.storage.database import PATIENT_TIMEOUT_S, Database

from .conftest import emptied

pytestmark = pytest.mark.integration


async def test_an_operator_migrates_it_and_is_told_how(postgresql: str) -> None:
    await emptied(postgresql)
    with pytest.raises(StorageError, match="agent-endpoint db migrate"):
        async with Database(postgresql):
            pass


async def test_a_server_that_is_not_there_is_a_storage_error() -> None:
    with pytest.raises(StorageError):
        async with Database("postgresql://nobody@/none?host=/nowhere"):
            pass


@pytest.mark.parametrize("host", ["db:1x", "ca:nary@db:1x"])
def test_a_url_that_is_none_is_not_repeated(host: str) -> None:
    with pytest.raises(StorageError, match="URL") as refused:
        Database(f"postgresql://me:canary@{host}/endpoint")
    assert "nary" not in str(refused.value)


async def test_who_asks_waits_no_longer_than_it_is_patient(postgresql: str) -> None:
    await emptied(postgresql)
    new = Database(postgresql)
    await new.migrate()
    await new.dispose()
    async with Database(postgresql) as other, Database(postgresql) as database:
        async with other.session() as session:
            await session.execute(text("LOCK TABLE tenant IN ACCESS EXCLUSIVE MODE"))
            database.answer_timeout_s = 0.2
            with pytest.raises(StorageError, match="did not answer in time"):
                await database.ask()
        database.answer_timeout_s = PATIENT_TIMEOUT_S
        await database.ask()
