"""Tokens of agents and programs: made, used, renewed, stolen, revoked, over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType

import pytest

from endpoint.agents.attempts import Guesses
from endpoint.agents.credentials import StoredToken
from endpoint.agents.directory import Contents, DirectoryInUse, KnownPasswords
from endpoint.agents.identity import INSTALLATION, OF_ROLE, Kind, Scope, narrowed
from endpoint.agents.model import Agent, AgentId, Role
from endpoint.app.credentialsettings import TokenSettings
from endpoint.app.tokens import TokenBook, TokenRefused, hash_of
from endpoint.errors import StorageError

pytestmark = pytest.mark.unit

ANN, MAX, GONE = AgentId("1001"), AgentId("9001"), AgentId("1009")
AGENTS = (
    Agent(ANN),
    Agent(MAX, role=Role.MONITOR, supervises=("sales",)),
    Agent(GONE, enabled=False),
)
PASSWORDS = {ANN: "of-ann", MAX: "of-max", GONE: "of-gone"}


WINDOW_S = 60.0


class Kept:
    """A store in memory, that can be away."""

    def __init__(self) -> None:
        self.tokens: dict[str, StoredToken] = {}
        self.away = False
        self.asked = asyncio.Event()
        self.may_put = asyncio.Event()
        self.may_put.set()
        self.noted = 0

    async def all(self) -> Sequence[StoredToken]:
        return [*self.tokens.values()]

    async def put(self, tokens: Iterable[StoredToken]) -> None:
        self.asked.set()
        await asyncio.sleep(0)
        await self.may_put.wait()
        if self.away:
            raise StorageError("away")
        self.tokens |= {token.hash: token for token in tokens}

    async def used(self, moments: Mapping[str, datetime]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StorageError("away")
        self.noted += 1
        self.tokens = {
            key: replace(each, used_at=moments.get(each.name, each.used_at))
            for key, each in self.tokens.items()
        }

    async def remove(self, hashes: Iterable[str]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StorageError("away")
        for each in hashes:
            self.tokens.pop(each, None)


class World:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 28, 12, tzinfo=UTC)
        self.kept = Kept()
        self.directory = DirectoryInUse(KnownPasswords(PASSWORDS), Contents(agents=AGENTS))
        self.book = self.started()

    def started(self) -> TokenBook:
        return TokenBook(self.kept, self.directory, TokenSettings(), now=lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def world() -> World:
    return World()


async def test_an_agent_gets_a_token_for_its_password(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    identity = await world.book.identify(issued.access)
    assert identity == issued.identity
    assert (identity.kind, identity.agent, identity.role) == (Kind.AGENT, ANN, Role.AGENT)
    assert identity.scopes == OF_ROLE[Role.AGENT]
    assert identity.expires_at == world.now + timedelta(seconds=TokenSettings().access_s)


async def test_what_is_kept_of_a_token_is_no_token(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    kept = repr(world.kept.tokens)
    assert issued.access not in kept
    assert issued.refresh not in kept
    for hashed in world.kept.tokens:
        assert await world.book.identify(hashed) is None


async def test_every_token_is_another_of_256_bits(world: World) -> None:
    made = [await world.book.log_in("1001", "of-ann", "192.0.2.1") for _ in range(200)]
    found = {each.access for each in made} | {each.refresh for each in made}
    assert len(found) == 400
    assert {len(each.partition("_")[2]) for each in found} == {43}  # 32 octets in base64


@pytest.mark.parametrize(
    ("agent", "password"),
    [("1001", "of-max"), ("1001", ""), ("4711", "of-ann"), ("1009", "of-gone"), ("", "")],
)
async def test_nobody_else_gets_one_and_all_hear_the_same(
    world: World, agent: str, password: str
) -> None:
    with pytest.raises(TokenRefused) as refused:
        await world.book.log_in(agent, password, "192.0.2.1")
    assert (refused.value.reason, str(refused.value)) == (
        "unauthorised",
        "no such agent, or another password",
    )


async def test_who_guesses_must_wait_and_locks_nobody_out_elsewhere(world: World) -> None:
    for _ in range(TokenSettings().attempts_per_minute):
        with pytest.raises(TokenRefused, match="another password"):
            await world.book.log_in("1001", "guess", "192.0.2.66")
    with pytest.raises(TokenRefused) as refused:
        await world.book.log_in("1001", "of-ann", "192.0.2.66")
    assert refused.value.reason == "too_many_attempts"
    assert 0 < refused.value.wait_s <= WINDOW_S
    await world.book.log_in("1001", "of-ann", "192.0.2.1")
    await world.book.log_in("9001", "of-max", "192.0.2.66")


async def test_many_guesses_at_once_are_not_all_tried(world: World) -> None:
    guesses = (world.book.log_in("1001", "guess", "192.0.2.66") for _ in range(100))
    found = await asyncio.gather(*guesses, return_exceptions=True)
    reasons = [each.reason for each in found if isinstance(each, TokenRefused)]
    assert reasons.count("unauthorised") == TokenSettings().attempts_per_minute
    assert len(reasons) == 100


def test_a_source_may_not_try_all_agents_nor_all_sources_one() -> None:
    now = 0.0
    guesses = Guesses(2, clock=lambda: now)

    def guess(agent: str, source: str) -> None:
        assert guesses.wait_s(agent, source) == 0
        guesses.begin(agent, source)
        guesses.fail(source)

    for number in range(10):
        guess(str(number), "192.0.2.66")
    assert guesses.wait_s("another", "192.0.2.66") == WINDOW_S
    for number in range(20):
        guess("1001", f"198.51.100.{number}")
    assert guesses.wait_s("1001", "203.0.113.1") == WINDOW_S
    now = WINDOW_S
    assert guesses.wait_s("1001", "203.0.113.1") == 0
    assert guesses.wait_s("another", "192.0.2.66") == 0


def test_a_house_that_comes_to_work_at_once_guesses_nothing() -> None:
    guesses = Guesses(2, clock=lambda: 0.0)
    for number in range(100):
        assert guesses.wait_s(str(number), "192.0.2.66") == 0
        guesses.begin(str(number), "192.0.2.66")
    for number in range(100):
        guesses.forgive(str(number), "192.0.2.66")
    assert guesses.wait_s("1001", "192.0.2.66") == 0


async def test_right_passwords_count_for_nothing(world: World) -> None:
    for _ in range(TokenSettings().attempts_per_minute * 2):
        await world.book.log_in("1001", "of-ann", "192.0.2.1")


async def test_a_token_is_over_by_the_wall_clock(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    world.passes(TokenSettings().access_s - 1)
    assert await world.book.identify(issued.access) is not None
    world.passes(1)
    assert await world.book.identify(issued.access) is None
    assert not world.book.stands(issued.identity)
    # A clock that is set back: what it says counts, as the token says a moment.
    world.passes(-3600)
    assert await world.book.identify(issued.access) is not None


async def test_a_refresh_token_is_no_access_token(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    assert await world.book.identify(issued.refresh) is None
    with pytest.raises(TokenRefused):
        await world.book.refresh(issued.access)


async def test_a_token_is_renewed(world: World) -> None:
    first = await world.book.log_in("1001", "of-ann", "192.0.2.1", ["calls:read"])
    world.passes(TokenSettings().access_s)
    second = await world.book.refresh(first.refresh)
    assert second.identity.credential == first.identity.credential
    assert second.identity.scopes == {Scope.CALLS_READ}
    assert await world.book.identify(second.access) == second.identity
    third = await world.book.refresh(second.refresh)
    assert await world.book.identify(third.access) is not None
    world.passes(TokenSettings().refresh_s)
    with pytest.raises(TokenRefused):
        await world.book.refresh(third.refresh)


async def test_a_refresh_token_that_is_used_twice_ends_all_of_its_family(world: World) -> None:
    first = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    other = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    second = await world.book.refresh(first.refresh)
    with pytest.raises(TokenRefused, match="used before"):
        await world.book.refresh(first.refresh)
    assert await world.book.identify(first.access) is None
    assert await world.book.identify(second.access) is None
    with pytest.raises(TokenRefused):
        await world.book.refresh(second.refresh)
    assert await world.book.identify(other.access) is not None


async def test_of_two_that_come_together_with_one_refresh_token_neither_goes_on(
    world: World,
) -> None:
    first = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    found = await asyncio.gather(
        world.book.refresh(first.refresh),
        world.book.refresh(first.refresh),
        return_exceptions=True,
    )
    assert all(isinstance(each, TokenRefused) for each in found)
    assert world.kept.tokens == {}


async def test_what_could_not_be_kept_was_not_used(world: World) -> None:
    first = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    world.kept.away = True
    with pytest.raises(StorageError):
        await world.book.refresh(first.refresh)
    world.kept.away = False
    await world.book.refresh(first.refresh)


async def test_tokens_outlive_the_process(world: World) -> None:
    live = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    spent = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    await world.book.refresh(spent.refresh)
    again = world.started()
    await again.load()
    assert await again.identify(live.access) == live.identity
    with pytest.raises(TokenRefused, match="used before"):
        await again.refresh(spent.refresh)


async def test_what_is_over_is_forgotten(world: World) -> None:
    await world.book.log_in("1001", "of-ann", "192.0.2.1")
    world.passes(TokenSettings().refresh_s)
    await world.book.forget_over()
    assert world.kept.tokens == {}


async def test_a_revoked_token_is_over_at_once_and_whoever_watches_is_told(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    told: list[bool] = []
    world.book.watch(lambda: told.append(world.book.stands(issued.identity)))
    assert await world.book.revoke(issued.identity.credential)
    assert told == [False]
    assert await world.book.identify(issued.access) is None
    with pytest.raises(TokenRefused):
        await world.book.refresh(issued.refresh)
    assert not await world.book.revoke(issued.identity.credential)


async def test_a_token_is_revoked_without_the_database_and_stays_so(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    world.kept.away = True
    with pytest.raises(StorageError):
        await world.book.revoke(issued.identity.credential)
    assert await world.book.identify(issued.access) is None
    world.kept.away = False
    await world.book.forget_over()
    again = world.started()
    await again.load()
    assert await again.identify(issued.access) is None


@pytest.mark.parametrize(
    "changed",
    [
        Agent(ANN, enabled=False),
        Agent(ANN, role=Role.MONITOR),
        Agent(AgentId("1002")),
    ],
)
async def test_who_is_another_now_does_not_go_on_as_who_it_was(
    world: World, changed: Agent
) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    assert world.book.stands(issued.identity)
    world.directory.replace(Contents(agents=(changed,)))
    assert not world.book.stands(issued.identity)
    found = await world.book.identify(issued.access)
    assert found is None or found.role is Role.MONITOR


async def test_a_monitor_who_lost_a_department_is_another(world: World) -> None:
    issued = await world.book.log_in("9001", "of-max", "192.0.2.1")
    world.directory.replace(Contents(agents=(replace(AGENTS[1], supervises=("support",)),)))
    assert not world.book.stands(issued.identity)
    found = await world.book.identify(issued.access)
    assert found is not None
    assert found.departments == ("support",)


async def test_a_token_is_for_no_more_than_its_role(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1", ["calls:read", "admin:write"])
    assert issued.identity.scopes == {Scope.CALLS_READ}


async def test_a_program_has_a_token_for_what_it_does(world: World) -> None:
    issued = await world.book.add_program("crm", ["calls:read"], 60, INSTALLATION)
    identity = await world.book.identify(issued.access)
    assert identity is not None
    assert (identity.kind, identity.agent, identity.scopes) == (
        Kind.MACHINE,
        None,
        {Scope.CALLS_READ},
    )
    world.passes(60)
    assert await world.book.identify(issued.access) is None


async def test_nobody_gives_away_what_it_has_not(world: World) -> None:
    by = narrowed(INSTALLATION, frozenset({Scope.ADMIN_WRITE, Scope.CALLS_READ}))
    with pytest.raises(TokenRefused, match="recordings:read"):
        await world.book.add_program("spy", ["calls:read", "recordings:read"], None, by)
    await world.book.add_program("crm", ["calls:read"], None, by)
    with pytest.raises(TokenRefused, match="there is a program crm"):
        await world.book.add_program("crm", ["calls:read"], None, by)


async def test_an_agent_is_told_of_its_own_tokens_alone(world: World) -> None:
    ann = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    await world.book.log_in("9001", "of-max", "192.0.2.1")
    await world.book.add_program("crm", ["calls:read"], None, INSTALLATION)
    assert [each.name for each in world.book.of(ann.identity)] == [ann.identity.credential]
    assert len(world.book.of(INSTALLATION)) == 3


def test_the_name_of_a_token_says_nothing_of_it() -> None:
    assert hash_of("a") != hash_of("b")
    assert len(hash_of("ü\udc80")) == 64


async def test_another_password_ends_every_token_also_where_the_database_is_away(
    world: World,
) -> None:
    first = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    second = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    world.kept.away = True
    with pytest.raises(StorageError):
        await world.book.revoke_of("1001")
    assert await world.book.identify(first.access) is None
    assert await world.book.identify(second.access) is None


async def test_a_token_that_was_being_made_ends_with_the_others(world: World) -> None:
    world.kept.may_put.clear()
    asked = asyncio.ensure_future(  # noqa: TID251  # it must wait
        world.book.log_in("1001", "of-ann", "192.0.2.1")
    )
    await world.kept.asked.wait()
    await world.book.revoke_of("1001")
    world.kept.may_put.set()
    with pytest.raises(TokenRefused) as refused:
        await asked
    assert refused.value.reason == "unauthorised"
    assert world.kept.tokens == {}


async def test_whether_a_token_stands_takes_no_longer_where_there_are_many(world: World) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")

    def steps() -> int:
        counted = 0

        def count(frame: FrameType, event: str, _: object) -> object:
            nonlocal counted
            counted += 1
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            assert world.book.stands(issued.identity)
        finally:
            sys.settrace(before)
        return counted

    few = steps()
    for _ in range(300):
        await world.book.log_in("9001", "of-max", "192.0.2.1")
    newest = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    issued = newest
    assert steps() < 2 * few


async def test_who_gets_the_number_of_one_who_was_removed_does_not_get_its_tokens(
    world: World,
) -> None:
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    world.directory.replace(Contents(agents=AGENTS[1:]))
    world.directory.replace(Contents(agents=(Agent(ANN, "Another"), *AGENTS[1:])))
    assert await world.book.identify(issued.access) is None
    with pytest.raises(TokenRefused):
        await world.book.refresh(issued.refresh)
    await world.book.forget_over()
    assert world.kept.tokens == {}
    issued = await world.book.log_in("1001", "of-ann", "192.0.2.1")
    while_away = Contents(agents=AGENTS[1:])
    world.directory = DirectoryInUse(KnownPasswords(PASSWORDS), while_away)
    started = world.started()
    await started.load()
    world.directory.replace(Contents(agents=AGENTS))
    assert await started.identify(issued.access) is None


async def test_when_a_token_was_used_last_is_known_to_the_minute(world: World) -> None:
    issued = await world.book.log_in(ANN, "of-ann", "a")
    begun = world.now

    def used_at() -> datetime | None:
        (token,) = world.book.of(INSTALLATION)
        return token.used_at

    assert used_at() is None
    world.passes(75)
    assert await world.book.identify("aea_" + "x" * 43) is None
    assert used_at() is None
    for _ in range(100):
        await world.book.identify(issued.access)
    assert used_at() == begun + timedelta(seconds=60)
    assert world.kept.noted == 0
    for _ in range(2):
        await world.book.keep_uses()
    assert world.kept.noted == 1

    world.passes(60)
    assert world.book.stands(issued.identity)  # by an open WebSocket
    assert used_at() == begun + timedelta(seconds=120)
    world.passes(60)
    renewed = await world.book.refresh(issued.refresh)
    assert used_at() == begun + timedelta(seconds=180)
    world.kept.away = True
    with pytest.raises(StorageError):
        await world.book.keep_uses()
    await world.book.close()
    world.kept.away = False
    await world.book.close()

    world.book = world.started()
    await world.book.load()
    assert used_at() == begun + timedelta(seconds=180)
    await world.book.revoke(renewed.identity.credential)
    await world.book.keep_uses()
    assert world.book.of(INSTALLATION) == []
