"""Passwords of agents: what is kept of them, and what is found out by asking."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from endpoint.agents.directory import Passwords
from endpoint.agents.model import AgentId
from endpoint.app.agentpasswords import AgentPasswords
from endpoint.errors import StorageError

pytestmark = pytest.mark.unit

ANNA = AgentId("1001")
RIGHT = "correct-horse-battery"
Kept = list[tuple[AgentId, str, str]]


class CountingHasher(PasswordHasher):
    """As quick as it can be, and counts what it did."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # its name
        self.verified += 1
        return bool(super().verify(hash, password))


@pytest.fixture
def kept() -> Kept:
    return []


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def passwords(kept: Kept, hasher: CountingHasher) -> Iterator[AgentPasswords]:
    async def keep(agent: AgentId, before: str, after: str) -> None:
        kept.append((agent, before, after))

    with AgentPasswords(keep, hasher) as passwords:
        yield passwords


async def test_a_password_is_right_for_its_agent_alone(passwords: AgentPasswords) -> None:
    asked: Passwords = passwords
    passwords.load({ANNA: await passwords.hash(RIGHT)})
    assert await asked.is_right(ANNA, RIGHT)
    assert not await asked.is_right(ANNA, RIGHT + " ")
    assert not await asked.is_right(ANNA, "")
    assert not await asked.is_right(AgentId("1002"), RIGHT)


async def test_who_is_not_there_costs_as_much_as_who_is(
    passwords: AgentPasswords, hasher: CountingHasher
) -> None:
    """A hash is computed for each, with the parameters that all have."""
    passwords.load({ANNA: await passwords.hash(RIGHT)})
    for asked, agent in enumerate((ANNA, AgentId("nobody"), AgentId("1002")), start=1):
        await passwords.is_right(agent, "wrong")
        assert hasher.verified == asked


async def test_what_is_kept_says_nothing_and_is_another_each_time(
    passwords: AgentPasswords,
) -> None:
    first, second = [await passwords.hash(RIGHT) for _ in range(2)]
    assert first.startswith("$argon2id$")
    assert first != second
    passwords.load({ANNA: first})
    assert first not in repr(passwords)


async def test_a_hash_of_older_parameters_is_made_anew_when_its_password_is_shown(
    passwords: AgentPasswords, kept: Kept, hasher: CountingHasher
) -> None:
    old = CountingHasher(time_cost=2).hash(RIGHT)
    passwords.load({ANNA: old})
    assert not await passwords.is_right(ANNA, "wrong")
    assert kept == []
    assert await passwords.is_right(ANNA, RIGHT)
    ((agent, before, after),) = kept
    assert (agent, before) == (ANNA, old)
    assert not hasher.check_needs_rehash(after)
    assert await passwords.is_right(ANNA, RIGHT)
    assert len(kept) == 1, "it counts from then on"


async def test_a_database_that_is_away_keeps_nobody_out(hasher: CountingHasher) -> None:
    async def keep(*_: str) -> None:
        raise StorageError("away")

    with AgentPasswords(keep, hasher) as passwords:
        passwords.load({ANNA: CountingHasher(time_cost=2).hash(RIGHT)})
        assert await passwords.is_right(ANNA, RIGHT)


@pytest.mark.parametrize("kept_hash", ["", "x", "$argon2id$v=19$m=8,t=1,p=1$!$!", "$2b$12$abc"])
async def test_a_hash_that_is_none_fits_nothing(passwords: AgentPasswords, kept_hash: str) -> None:
    passwords.load({ANNA: kept_hash})
    assert not await passwords.is_right(ANNA, "")
    assert not await passwords.is_right(ANNA, kept_hash)


async def test_a_password_is_the_same_however_a_keyboard_composes_it(
    passwords: AgentPasswords,
) -> None:
    passwords.load({ANNA: await passwords.hash("m\u00fcde-Stra\u00dfe-1234")})
    assert await passwords.is_right(ANNA, "mu\u0308de-Stra\u00dfe-1234")
    assert not await passwords.is_right(ANNA, "mude-Strasse-1234\ud800")


async def test_a_password_that_was_taken_away_is_wrong(passwords: AgentPasswords) -> None:
    passwords.load({ANNA: await passwords.hash(RIGHT)})
    passwords.forget({ANNA})
    assert not passwords.has(ANNA)
    assert not await passwords.is_right(ANNA, RIGHT)


async def test_by_default_the_library_says_how_hard_it_is() -> None:
    """RFC 9106 §4, the second recommended option: 64 MiB."""

    async def keep(*_: str) -> None: ...

    with AgentPasswords(keep) as passwords:
        assert "$m=65536,t=3,p=4$" in await passwords.hash(RIGHT)


async def test_a_password_that_was_changed_while_it_was_looked_at_is_right_no_longer(
    passwords: AgentPasswords,
) -> None:
    passwords.load({ANNA: await passwords.hash(RIGHT)})
    another = await passwords.hash("another-of-sixteen")
    same = await passwords.hash(RIGHT)
    await passwords.is_right(ANNA, "")
    for hashed, is_right in ((same, True), (another, False)):
        asked = asyncio.ensure_future(passwords.is_right(ANNA, RIGHT))  # noqa: TID251  # it waits
        await asyncio.sleep(0)
        passwords.add({ANNA: hashed})
        assert await asked is is_right
