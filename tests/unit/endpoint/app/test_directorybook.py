"""The directory's book: many things at once, and who waits meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from endpoint.agents.directory import Contents
from endpoint.agents.model import AgentId
from endpoint.app import directorybook
from endpoint.app.agentpasswords import AgentPasswords
from endpoint.app.directorybook import DirectoryBook, DirectoryRejected
from endpoint.errors import StorageError
from endpoint.gateways.native import directorymessages as wire

pytestmark = pytest.mark.unit


class MemoryStore:
    """Keeps all in memory; away where it is told so."""

    def __init__(self) -> None:
        self.kept = Contents()
        self.is_away = False

    async def load(self) -> tuple[Contents, Mapping[AgentId, str]]:
        return self.kept, {}

    async def save(self, before: Contents, after: Contents, hashes: Mapping[AgentId, str]) -> None:
        if self.is_away:
            raise StorageError("away")
        assert before == self.kept
        self.kept = after

    async def rehash(self, agent: AgentId, before: str, after: str) -> None:
        raise AssertionError("nobody logs on here")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def book(store: MemoryStore) -> AsyncIterator[DirectoryBook]:
    with AgentPasswords(store.rehash) as passwords:
        book = DirectoryBook(store, passwords)
        await book.load()
        yield book


async def test_the_loop_that_moves_calls_does_not_look_at_all_of_a_directory(
    book: DirectoryBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands of agents that would hold it up for tenths of a second."""
    threads: set[threading.Thread] = set()
    for name in ("after_import", "mistakes_in", "plain_of"):
        work: Callable[..., object] = getattr(directorybook, name)

        def noted(*given: object, work: Callable[..., object] = work) -> object:
            threads.add(threading.current_thread())
            return work(*given)

        monkeypatch.setattr(directorybook, name, noted)
    await book.bring_into_directory(
        wire.DirectoryImport([wire.Agent("1001")], passwords={"1001": "a-Night-in-Lisbon-7"})
    )
    await book.directory()
    assert threads
    assert threading.main_thread() not in threads


async def test_what_could_not_be_kept_does_not_count(
    book: DirectoryBook, store: MemoryStore
) -> None:
    store.is_away = True
    with pytest.raises(StorageError):
        await book.add_to_directory("skills", wire.Skill("sales"))
    assert book.in_use.skills() == ()
    store.is_away = False
    await book.add_to_directory("skills", wire.Skill("sales"))
    assert [skill.code for skill in book.in_use.skills()] == ["sales"]


async def test_of_many_at_once_none_is_lost(book: DirectoryBook, store: MemoryStore) -> None:
    """Each begins with what the one before has left."""
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(book.add_to_directory("skills", wire.Skill(f"s{number}")))
    assert len(store.kept.skills) == len(book.in_use.skills()) == 20


async def test_of_two_of_one_name_one_is_taken(book: DirectoryBook) -> None:
    both = [book.add_to_directory("skills", wire.Skill("sales", name)) for name in ("A", "B")]
    kept, refused = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(kept, wire.Skill)
    assert isinstance(refused, DirectoryRejected)
    assert refused.refused.error == "taken"
