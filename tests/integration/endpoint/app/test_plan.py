"""The dial plan by REST and by the command line, with an endpoint that runs and without."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import process_time, thread_time
from typing import Any

import pytest
from structlog.testing import capture_logs

from endpoint.app import certificates
from endpoint.app.directory import Directory
from endpoint.app.exitcodes import ExitCode
from endpoint.app.facts import dial_plan, outside_trunks
from endpoint.app.planbook import PlanBook, PlanRejected
from endpoint.app.settings import Config
from endpoint.app.state import StateDirectory
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.dialplan import Action, Line, PlanInUse, Rule
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import planmessages as wire
from endpoint.legs.base import Cause, DeviceId
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.extensions import Extension, Extensions
from endpoint.storage.plan import StoredPlanRules
from signaling.sip.message import Request
from signaling.sip.uri import Uri

from . import commandline
from .conftest import configuration

pytestmark = pytest.mark.integration

FRIDAY = datetime(2026, 11, 27, 10, tzinfo=UTC)
TRUNKS = [
    {
        "name": "carrier",
        "peers": ["sip:127.0.0.1:9"],
        "numbers": ["+4930*"],
        "default_number": "+49301",
        "incoming": [{"match": "+49301", "to": "6002"}],
        "options_interval_s": 0,
    },
    {"name": "second", "peers": ["sip:127.0.0.1:9"], "order": 2, "options_interval_s": 0},
]


cli = partial(commandline.cli, "plan")


@pytest.fixture
def here(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with trunks that every command finds."""
    monkeypatch.setenv("AGENT_ENDPOINT_TRUNK", json.dumps(TRUNKS))
    return here


def client_of(endpoint: Endpoint) -> EndpointClient:
    trust = certificates.client_context(endpoint.certificate.authority)
    url = f"https://localhost:{endpoint.http.port}"
    return EndpointClient(url, endpoint.token, ssl_context=trust)


async def test_a_rule_counts_as_soon_as_it_is_accepted(here: Path) -> None:
    """And no longer than it is there; what is refused is in the records."""
    config = configuration(here / "state", trunk=TRUNKS)
    async with Endpoint(config) as endpoint, client_of(endpoint) as client:
        help_ = wire.PlanRule("help", "115", "emergency")
        await client.add_plan_rule(help_)
        urgent = endpoint.server.config.user_agent.is_urgent
        dialled = ("112", "115", "6002", "1120")
        calls = [Request("INVITE", Uri("sip", number, host="h")) for number in dialled]
        assert [urgent(call) for call in calls] == [True, True, False, False]
        await client.remove_plan_rule("help")
        closed = wire.PlanRule("closed", "0*", "refuse", text="Closed on Fridays.")
        assert await client.add_plan_rule(closed) == closed
        with pytest.raises(RequestRefused, match="Closed on Fridays") as caught:
            await client.make_call("6002", "030123")
        assert (caught.value.status, caught.value.reason) == (403, "number_refused")
        assert await endpoint.journal.settled(10)
        assert await endpoint.journal.settled(60)
        (record,) = await endpoint.records.latest(5)
        assert (record.calling, record.called, record.connections) == ("6002", "030123", ())
        assert (record.ending.cause, record.ending.text) == (
            Cause.NUMBER_REFUSED,
            "Closed on Fridays.",
        )
        operator = wire.PlanRule("closed", "0*", "device", device="6003")
        await client.change_plan_rule("closed", operator)
        accepted = await client.make_call("6002", "030123")
        async with asyncio.timeout(20), client.events(after=0) as frames:
            async for frame in frames:
                if getattr(frame, "event", "") == "Established":
                    break
        call = await client.call(accepted.call)
        assert {party.device for party in call.parties} == {"6002", "6003"}
        await client.end("6002", accepted.call)
        await client.remove_plan_rule("closed")
        assert (await client.plan()).rules == []
        answer = await client.ask_plan(wire.AskPlan("030123", "6002"))
        assert [(each.trunk, each.up) for each in answer.courses] == [
            ("carrier", True),
            ("second", True),
        ]
        await mistakes_are_told(client)
        await a_command_is_for_the_endpoint_that_runs(endpoint)


async def a_command_is_for_the_endpoint_that_runs(endpoint: Endpoint) -> None:
    """It is found by the configuration, as its commands find it."""
    arguments = ("plan", "add", "closed", "--pattern", "0*", "--refuse")
    program = await asyncio.create_subprocess_exec(sys.executable, "-m", "endpoint", *arguments)
    async with asyncio.timeout(150):
        assert await program.wait() == 0
    assert [rule.name for rule in endpoint.plan.plan.rules] == ["closed"]


async def mistakes_are_told(client: EndpointClient) -> None:
    """Each with its field; nothing is changed by what is not whole."""
    bad = wire.PlanRule(
        "bad", "_1.2", "trunk", hours="noon", lines=[wire.PlanLine("gone", strip=-1)]
    )
    with pytest.raises(RequestRefused) as caught:
        await client.add_plan_rule(bad)
    assert (caught.value.status, caught.value.reason) == (400, "bad_rule")
    for field in ("pattern", "hours", "lines[0].trunk", "lines[0].strip"):
        assert f"{field}: " in str(caught.value)
    whole = wire.PlanRule("whole", "1*", "refuse")
    await client.add_plan_rule(whole)
    for request, status, reason in (
        (client.add_plan_rule(whole), 409, "name_taken"),
        (client.change_plan_rule("gone", whole), 404, "unknown_rule"),
        (client.remove_plan_rule("gone"), 404, "unknown_rule"),
        (client.replace_plan([whole, whole]), 400, "bad_rule"),
        (client.replace_plan([whole, bad]), 400, "bad_rule"),
        (client.ask_plan(wire.AskPlan("1", trunk="gone")), 400, "bad_field"),
    ):
        with pytest.raises(RequestRefused) as refused:
            await request
        assert (refused.value.status, refused.value.reason) == (status, reason)
    assert (await client.plan()).rules == [whole]
    many = [wire.PlanRule(f"{number:04}", f"7{number}", "refuse") for number in range(2000)]
    assert (await client.replace_plan(many)).rules == many
    assert (await client.replace_plan([])).rules == []
    assert (await client.plan()).emergency == ["112", "911"]


async def nobody(number: DeviceId) -> DeviceId | None:
    return None


@asynccontextmanager
async def opened_book(
    database: Database, trunks: list[dict[str, Any]], clock: datetime
) -> AsyncIterator[PlanBook]:
    """The book without an endpoint around it."""
    config = Config.model_validate({"trunk": trunks})
    made = outside_trunks(config)
    extensions = Extensions(database)

    async def extension(number: DeviceId) -> DeviceId | None:
        found = await extensions.resolve(number)
        return DeviceId(found) if found is not None else None

    book = PlanBook(
        StoredPlanRules(database),
        PlanInUse(dial_plan(config, made), lambda: clock),
        directory=Directory(config, extensions),
        may_show={trunk.name: trunk.numbers for trunk in made},
        extension=extension,
        is_up=lambda: {"second": False},
    )
    await book.load()
    yield book


async def test_what_would_happen_is_told_with_every_rule(tmp_path: Path) -> None:
    async with (
        Database(sqlite_url(tmp_path / "db")) as database,
        opened_book(database, TRUNKS, FRIDAY) as book,
    ):
        await Extensions(database).add(Extension("6009", aliases=("8009",)), [])
        lines = [wire.PlanLine("second", add="9"), wire.PlanLine("carrier", strip=1, add="+49")]
        await book.add_plan_rule(
            wire.PlanRule("city", "_0Z.", "trunk", lines=lines, shown="+49305")
        )
        night = wire.PlanRule("night", "+49301", "device", "in", device="6003", hours="sat")
        await book.add_plan_rule(night)

        async def answer(number: str, **facts: Any) -> wire.PlanAnswer:
            return await book.ask_plan(wire.AskPlan(number, **facts))

        city = await answer("030123", calling="6002")
        assert [(each.trunk, each.number, each.shown, each.up) for each in city.courses] == [
            ("second", "9030123", "+49305", False),
            ("carrier", "+4930123", "+49305", None),
        ]
        assert [step.rule for step in city.steps if step.taken] == ["rule city"]
        alias = await answer("8009")
        assert (alias.kind, alias.device) == ("device", "6009")
        cut = await answer("09-00123")
        assert (cut.kind, cut.cause) == ("refused", "number_refused")
        friday = await answer("+49301", trunk="carrier")
        saturday = await answer("+49301", trunk="carrier", at=FRIDAY + timedelta(days=1))
        assert (friday.device, saturday.device) == ("6002", "6003")
        with pytest.raises(PlanRejected, match="expected a time zone"):
            await answer("1", at=FRIDAY.replace(tzinfo=None))


class HeldOnce(StoredPlanRules):
    """The first that reads the rules has them, and is held before it can say so."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.has_read, self.go_on = asyncio.Event(), asyncio.Event()

    async def all(self) -> Sequence[Rule]:
        found = await super().all()
        if not self.has_read.is_set():
            self.has_read.set()
            await self.go_on.wait()
        return found


async def test_a_rule_that_was_accepted_counts_whoever_changes_others_meanwhile(
    tmp_path: Path,
) -> None:
    async with Database(sqlite_url(tmp_path / "db")) as database:
        config = Config.model_validate({})
        rules, in_use = HeldOnce(database), PlanInUse(dial_plan(config, []), lambda: FRIDAY)
        directory = Directory(config, Extensions(database))
        book = PlanBook(rules, in_use, directory=directory, may_show={}, extension=nobody)
        async with asyncio.TaskGroup() as group:
            group.create_task(book.add_plan_rule(wire.PlanRule("early", "1", "refuse")))
            await rules.has_read.wait()
            late = group.create_task(book.add_plan_rule(wire.PlanRule("late", "2", "refuse")))
            # Without an order the late one is done by then, and the early one undoes it.
            await asyncio.wait([late], timeout=0.3)
            rules.go_on.set()
        assert [each.name for each in in_use.plan.rules] == ["early", "late"]


async def test_what_can_not_be_read_does_not_count_and_is_told(tmp_path: Path) -> None:
    """A trunk was taken out of the configuration; a rule was made by hand."""
    async with Database(sqlite_url(tmp_path / "db")) as database:
        rules = StoredPlanRules(database)
        await rules.add(Rule("hand-made", "_1.2", Action.REFUSE))
        await rules.add(Rule("city", "0*", Action.TRUNK, lines=(Line("second"),)))
        with capture_logs() as logs:
            async with opened_book(database, TRUNKS[:1], FRIDAY) as book:
                assert [rule.name for rule in (await book.plan()).rules] == ["city"]
                answer = await book.ask_plan(wire.AskPlan("030123"))
                assert (answer.kind, answer.cause) == ("refused", "trunks_down")
    told = {log["event"]: log["rule"] for log in logs if "dial plan" in log["event"]}
    assert told == {
        "a rule of the dial plan does not count": "hand-made",
        "a rule of the dial plan has trunks that are gone": "city",
    }


async def test_thousands_of_rules_are_read_and_checked_beside_the_loop(tmp_path: Path) -> None:
    """It is the loop that all calls wait for: what is done in it is little of what is done."""
    many = [
        wire.PlanRule(f"{at:04}", f"_7{at:04}X.", "device", device="6001", callers=["6*"])
        for at in range(2000)
    ]
    async with (
        Database(sqlite_url(tmp_path / "db")) as database,
        opened_book(database, TRUNKS, FRIDAY) as book,
    ):
        await book.replace_plan(many)

        async def measured(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
            loop_s, all_s = thread_time(), process_time()
            await work()
            return thread_time() - loop_s, process_time() - all_s

        loop_s, all_s = await measured(book.load)
        assert loop_s < all_s / 2
        for work in (book.plan, partial(book.change_plan_rule, "0000", many[0])):
            loop_s, _ = await measured(work)
            assert loop_s < all_s / 2, "of what reading and checking them takes"


def test_a_rule_is_not_kept_beside_an_endpoint_that_runs_and_does_not_answer(here: Path) -> None:
    state = StateDirectory(here / "state").prepared()
    with state.held():
        told = cli("add", "a", "--pattern", "1", "--refuse", "--json", code=ExitCode.UNREACHABLE)
        assert "runs with state directory" in told["text"]
    assert cli("list", "--json")["plan"]["rules"] == []


def test_rules_by_the_command_line_without_an_endpoint(here: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("AGENT_ENDPOINT_IVR", json.dumps([{"code": "6003", "flow": "survey"}]))
    assert "No rules" in cli("list")
    city = ("--trunk", "second", "--trunk", "carrier,strip=1,add=+49", "--shown", "+49305")
    made = cli("add", "city", "--pattern", "_0Z.", *city, "--json")
    assert made["rule"]["lines"] == [
        {"trunk": "second"},
        {"trunk": "carrier", "strip": 1, "add": "+49"},
    ]
    cli("add", "abroad", "--pattern", "00*", "--refuse", "--text", "Ask first.", "--caller", "60*")
    cli("add", "night", "--in", "--pattern", "+49301", "--to", "6003", "--trunk", "carrier")
    cli("add", "fire", "--pattern", "110", "--emergency", "--location", "https://lis.example/1")
    listed = " ".join(cli("list").split())
    assert "second → carrier without 1 with +49 before" in listed
    assert "6003 (by carrier)" in listed

    told = cli("test", "030123", "--from", "6001", "--json")
    assert (told["ok"], told["answer"]["rule"]) == (True, "rule city")
    refused = " ".join(cli("test", "0033", "--from", "6001", code=ExitCode.CALL_FAILED).split())
    assert "leads nowhere: Ask first. (number_refused)" in refused
    assert "✔ rule abroad takes 00*" in refused
    assert cli("test", "0033", "--from", "7001", "--json")["answer"]["kind"] == "trunk"
    assert cli("test", "+49301", "--trunk", "carrier", "--json")["answer"]["device"] == "6003"
    assert "is an emergency" in cli("test", "110")

    changed = cli("change", "abroad", "--to", "6003", "--caller", "", "--rename", "desk", "--json")
    assert changed["rule"] == {
        "name": "desk",
        "pattern": "00*",
        "action": "device",
        "time_zone": "UTC",
        "device": "6003",
    }
    cli("change", "desk", "--hours", "mon 08:00-09:00", "--time-zone", "Europe/Berlin")
    monday = ("--at", "2026-11-30T08:30+01:00", "--json")
    assert cli("test", "0033", *monday)["answer"]["kind"] == "device"
    cli("change", "city", "--trunk", "carrier", "--off")
    exported = cli("export")
    cli("export", "exported.json")
    assert (here / "exported.json").read_text() == exported
    assert "can't be written" in cli("export", "none/rules.json", code=ExitCode.FAILED)
    rules = {rule["name"]: rule for rule in json.loads(exported)["rules"]}
    assert (rules["city"]["shown"], rules["city"]["enabled"]) == ("+49305", False)
    cli("remove", "city")
    (here / "rules.json").write_text(exported)
    assert len(cli("import", "rules.json", "--json")["plan"]["rules"]) == 4


def test_a_rule_that_leads_to_nobody_is_kept_and_told(here: Path, monkeypatch: Any) -> None:
    """Who it is for may come later; until then whoever looks is told that its calls fail."""
    monkeypatch.setenv("AGENT_ENDPOINT_IVR", json.dumps([{"code": "999", "flow": "survey"}]))
    add = ("add", "night", "--pattern", "1")
    why = "there is no device 6009 now, and its calls fail; there are 999"
    made = cli(*add, "--to", "6009", "--json")
    assert (made["ok"], made["warning"]) == (True, why)
    assert f"! {why}" in cli("change", "night", "--position", "5")
    assert "6009 (nobody has it)" in cli("list")
    told = cli("test", "1", "--json", code=ExitCode.CALL_FAILED)["answer"]
    assert (told["kind"], told["cause"]) == ("unknown", "unknown_device")
    assert told["text"] == f"rule night leads to 6009: {why}"
    assert "!" not in cli("change", "night", "--to", "999")
    assert "warning" not in cli("change", "night", "--refuse", "--json")
    assert cli("list", "--json")["plan"].get("missing", {}) == {}


def test_a_list_in_a_pipe_has_each_rule_in_one_line_and_a_narrow_terminal_all_of_it(
    here: Path, monkeypatch: Any
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    name, text = "a name of more words than a column has", "Nobody is called here. " * 6
    cli("add", name, "--pattern", "0123456789" * 6, "--refuse", "--text", text.strip())
    (line,) = [each for each in cli("list").splitlines() if name in each]
    assert "0123456789" * 6 in line
    assert text.strip() in line
    assert len([each for each in cli("test", "1").splitlines() if name in each]) == 1
    monkeypatch.setenv("COLUMNS", "60")
    narrow = cli("list")
    assert all(len(each) <= 60 for each in narrow.splitlines())
    assert "…" not in narrow
    for word in (*name.split(), *text.split()):
        assert word in narrow


def test_what_the_command_line_can_not_do_is_told(here: Path) -> None:
    wrong = cli("add", "a", "--pattern", "_1.2", "--trunk", "gone", "--json", code=6)
    assert "pattern: " in wrong["text"]
    assert "lines[0].trunk: found 'gone', expected one of carrier, second" in wrong["text"]
    for arguments in (
        ("add", "a", "--pattern", "1"),
        ("add", "a", "--pattern", "1", "--to", "1", "--refuse"),
        ("add", "a", "--pattern", "1", "--trunk", "carrier,cut=1"),
        ("add", "a", "--pattern", "1", "--trunk", "carrier,strip=x"),
        ("test", "1", "--at", "noon"),
    ):
        cli(*arguments, code=2)
    for arguments in (("change", "a", "--off"), ("remove", "a")):
        told = cli(*arguments, "--json", code=ExitCode.CALL_FAILED)
        assert (told["text"], told["reason"]) == ("there is no rule a", "unknown_rule")
    (here / "bad.json").write_text('{"rules": [{"name": "a"}]}')
    assert "pattern" in cli("import", "bad.json", "--json", code=1)["text"]
    assert "can't be read: No such file" in cli("import", "none", "--json", code=1)["text"]
    cause = ("--refuse", "--cause", "nothing", "--json")
    told = cli("add", "a", "--pattern", "1", *cause, code=1)["text"]
    assert told.startswith("--cause: found 'nothing', expected one of number_refused, ")
