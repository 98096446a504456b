"""The directory is kept: on SQLite and on PostgreSQL, each tenant's by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event, text

from endpoint.agents.directory import (
    Contents,
    NoAnswer,
    Overflow,
    QueueSettings,
    Skill,
    SkillWanted,
)
from endpoint.agents.directoryrules import DirectoryStore, mistakes_in
from endpoint.agents.model import (
    Agent,
    AgentId,
    BasicMode,
    LeaveReason,
    Role,
    SkillLevel,
    WorkMode,
)
from endpoint.errors import StorageError
from endpoint.storage.database import Database
from endpoint.storage.directory import StoredDirectory

pytestmark = pytest.mark.integration

ANNA = Agent(
    AgentId("1001"),
    "Anna 安娜",
    "Sales",
    Role.MONITOR,
    supervises=("Sales", "Night, 2"),
    skills=(SkillLevel("english", 9), SkillLevel("sales")),
    wrap_up_s=12.5,
    devices=("6001", "70*"),
    dials_for_skill=True,
)
BEN = Agent(AgentId("1002"), enabled=False)
CENTRE = Contents(
    agents=(ANNA, BEN),
    skills=(Skill("english", "English"), Skill("sales")),
    queues=(
        QueueSettings("night", skills=(SkillWanted("sales"),)),
        QueueSettings(
            "sales",
            "Sales",
            (SkillWanted("english", 3), SkillWanted("sales")),
            priority=9,
            ring_s=12.5,
            rest_s=0,
            no_answer=NoAnswer.LEAVE,
            no_answer_reason="rest",
            overflow=Overflow(after_s=90, waiting=5, queue="night"),
            announce_every_s=30,
            announce_wait=True,
            music="wait/calm.wav",
            call_back=True,
            most_waiting=20,
            enabled=False,
        ),
    ),
    modes=(
        WorkMode(0, "ready", BasicMode.NORMAL),
        WorkMode(7, "English alone", BasicMode.NORMAL, "english", visible=False, position=-4),
    ),
    reasons=(LeaveReason("rest", "Rest"), LeaveReason("secret", "", visible=False)),
)
NOTHING = Contents()


async def test_all_comes_back_as_it_was(database: Database) -> None:
    assert mistakes_in(CENTRE) == []
    store: DirectoryStore = StoredDirectory(database)
    assert await store.load() == (NOTHING, {})
    await store.save(NOTHING, CENTRE, {ANNA.id: "$argon2id$1"})
    assert await store.load() == (CENTRE, {ANNA.id: "$argon2id$1"})


async def test_what_differs_is_kept_and_the_password_stays(database: Database) -> None:
    """An agent who is changed, one who goes, one who comes; a skill that nobody has any more."""
    store = StoredDirectory(database)
    await store.save(NOTHING, CENTRE, {ANNA.id: "$argon2id$1", BEN.id: "$argon2id$2"})
    anna = replace(ANNA, name="Anne", skills=(SkillLevel("sales", 2),))
    carl = Agent(AgentId("1003"), skills=(SkillLevel("sales", 9),))
    night = replace(CENTRE.queues[0], skills=(SkillWanted("sales", 4),), most_waiting=3)
    after = Contents(
        agents=(anna, carl),
        skills=(Skill("sales", "Sales"),),
        queues=(night,),
        modes=(replace(CENTRE.modes[0], name="here"),),
        reasons=CENTRE.reasons[:1],
    )
    await store.save(CENTRE, after, {carl.id: "$argon2id$3"})
    assert await store.load() == (after, {ANNA.id: "$argon2id$1", carl.id: "$argon2id$3"})
    await store.save(after, NOTHING, {})
    assert await store.load() == (NOTHING, {})


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(replace(NOTHING, agents=(ANNA,), skills=CENTRE.skills), id="taken"),
        pytest.param(replace(NOTHING, agents=(replace(BEN, id="1009"), BEN)), id="taken at last"),
    ],
)
async def test_what_somebody_else_has_kept_meanwhile_is_not_lost(
    database: Database, after: Contents
) -> None:
    """Neither is a part kept."""
    store = StoredDirectory(database)
    await store.save(NOTHING, CENTRE, {})
    with pytest.raises(StorageError, match="somebody else has changed the directory"):
        await store.save(NOTHING, after, {})
    assert await store.load() == (CENTRE, {})


async def test_an_agent_that_is_gone_is_not_changed(database: Database) -> None:
    store = StoredDirectory(database)
    with pytest.raises(StorageError, match="somebody else"):
        await store.save(Contents(agents=(BEN,)), Contents(agents=(replace(BEN, name="B"),)), {})
    with pytest.raises(StorageError, match="somebody else"):
        await store.save(NOTHING, NOTHING, {BEN.id: "$argon2id$1"})


async def test_a_hash_is_replaced_only_where_it_is_still_kept(database: Database) -> None:
    """Another password may have been set while the old one was checked."""
    store = StoredDirectory(database)
    await store.save(NOTHING, Contents(agents=(BEN,)), {BEN.id: "new"})
    await store.rehash(BEN.id, "old", "old, hashed again")
    assert (await store.load())[1] == {BEN.id: "new"}
    await store.rehash(BEN.id, "new", "new, hashed again")
    assert (await store.load())[1] == {BEN.id: "new, hashed again"}


async def test_rows_that_nobody_can_read_are_left_out(database: Database) -> None:
    """As where somebody wrote one by hand; the others count."""
    store = StoredDirectory(database)
    await store.save(NOTHING, CENTRE, {})
    async with database.session() as session:
        await session.execute(text("UPDATE agent SET role = 'king' WHERE number = '1002'"))
    assert (await store.load())[0] == replace(CENTRE, agents=(ANNA,))


async def test_tenants_with_the_same_numbers_do_not_meet(
    database: Database, elsewhere: Database
) -> None:
    """Whatever one does, all of the other's stays as it was."""
    ours, theirs = StoredDirectory(database), StoredDirectory(elsewhere)
    other = replace(
        CENTRE,
        agents=(replace(ANNA, name="Eve", skills=(SkillLevel("sales", 1),)), BEN),
        reasons=(LeaveReason("rest", "Elsewhere"),),
    )
    await theirs.save(NOTHING, other, {ANNA.id: "theirs"})
    assert await ours.load() == (NOTHING, {})
    await ours.save(NOTHING, CENTRE, {ANNA.id: "ours"})
    await ours.rehash(ANNA.id, "theirs", "stolen")
    await ours.rehash(ANNA.id, "ours", "ours again")
    changed = replace(CENTRE, agents=(replace(ANNA, name="Anne", skills=()),), modes=())
    await ours.save(CENTRE, changed, {ANNA.id: "ours anew"})
    assert await ours.load() == (changed, {ANNA.id: "ours anew"})
    await ours.save(changed, NOTHING, {})
    assert await theirs.load() == (other, {ANNA.id: "theirs"})


async def test_no_statement_leaves_the_tenant_out(database: Database) -> None:
    """Each that reads, changes or deletes asks for it; each that inserts says it."""
    statements: list[str] = []

    def note(_c: object, _k: object, statement: str, *_rest: object) -> None:
        statements.append(" ".join(statement.split()))

    store = StoredDirectory(database)
    await store.save(NOTHING, CENTRE, {})
    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await store.load()
        await store.rehash(ANNA.id, "a", "b")
        anna = replace(ANNA, name="Anne", skills=ANNA.skills[:1])
        carl = Agent(AgentId("1003"), skills=ANNA.skills)
        await store.save(CENTRE, replace(CENTRE, agents=(anna, carl)), {carl.id: "hash"})
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) > 12
    for statement in statements:
        verb, _, rest = statement.partition(" ")
        where = rest if verb == "INSERT" else rest.partition(" WHERE ")[2]
        assert "tenant_id" in where, statement
