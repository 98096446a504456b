"""Rules of the dial plan are kept: on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from endpoint.callcontrol.dialplan import Action, Direction, Line, Rule
from endpoint.callcontrol.planrules import PlanRules
from endpoint.errors import StorageError
from endpoint.legs.base import Cause
from endpoint.storage.database import Database
from endpoint.storage.plan import StoredPlanRules

pytestmark = pytest.mark.integration

ABROAD = Rule(
    "abroad",
    "_00X.",
    Action.TRUNK,
    position=20,
    callers=("60*",),
    hours="mon-fri 08:00-18:00",
    time_zone="Europe/Berlin",
    holidays=("12-25",),
    lines=(Line("first", strip=2, add="+"), Line("second", to="112")),
    shown="+49301",
    premium=True,
    enabled=False,
)
NIGHT = Rule("Nachts, 夜", "+49301", Action.DEVICE, Direction.IN, trunks=("first",), device="999")
CLOSED = Rule("closed", "*", Action.REFUSE, cause=Cause.BUSY, text="Closed.", position=-1)
FIRE = Rule("fire", "112", Action.EMERGENCY, location="https://lis.example/1")


async def test_a_rule_comes_back_as_it_was_and_in_its_order(database: Database) -> None:
    rules: PlanRules = StoredPlanRules(database)
    assert await rules.all() == []
    for rule in (NIGHT, ABROAD, FIRE, CLOSED):
        assert await rules.add(rule)
    assert await rules.all() == [CLOSED, ABROAD, NIGHT, FIRE]


async def test_a_name_is_a_rule_s_alone(database: Database) -> None:
    rules = StoredPlanRules(database)
    assert await rules.add(CLOSED)
    assert await rules.add(FIRE)
    assert not await rules.add(replace(FIRE, name="closed"))
    assert await rules.change("closed", replace(CLOSED, name="fire")) is False
    assert await rules.change("gone", CLOSED) is None
    assert await rules.change("closed", replace(ABROAD, name="open")) is True
    assert await rules.all() == [replace(ABROAD, name="open"), FIRE]
    assert await rules.remove("open")
    assert not await rules.remove("open")
    assert await rules.all() == [FIRE]


async def test_all_are_replaced_or_none(database: Database) -> None:
    rules = StoredPlanRules(database)
    await rules.replace([CLOSED, FIRE])
    await rules.replace([ABROAD])
    assert await rules.all() == [ABROAD]
    with pytest.raises(StorageError):
        await rules.replace([FIRE, FIRE])
    assert await rules.all() == [ABROAD]


async def test_tenants_have_rules_of_their_own(database: Database) -> None:
    rules = StoredPlanRules(database)
    assert await rules.add(CLOSED)
    async with database.session() as session:
        await session.execute(text("insert into tenant (name) values ('other')"))
        other = await session.scalar(text("select id from tenant where name = 'other'"))
    own, database.tenant_id = database.tenant_id, other
    assert await rules.all() == []
    assert await rules.add(replace(CLOSED, text="Other."))
    assert await rules.change("closed", replace(CLOSED, text="Changed.")) is True
    database.tenant_id = own
    assert await rules.all() == [CLOSED]
