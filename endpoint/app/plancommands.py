"""`plan`: rules of the dial plan, and what would happen to a number.

Where an endpoint runs it is asked, so that a rule counts at once; else the database is.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.config import Loaded
from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output
from endpoint.app.setupcommands import configured_database, loaded_or_fail
from endpoint.app.state import StateDirectory
from endpoint.client.errors import EndpointUnreachable
from endpoint.gateways.native import planmessages as wire
from endpoint.legs.base import DeviceId

if TYPE_CHECKING:
    from endpoint.app.planbook import PlanDesk

plan_app = typer.Typer(help="Where numbers go: rules of the dial plan.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The rule's name.")]
Pattern = Annotated[
    str | None,
    typer.Option(help="Numbers that it takes: 0800123, 0*, _0[1-9]X. (docs/dialplan.md)."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--trunk",
        help="TRUNK[,strip=N][,add=TEXT][,to=NUMBER], tried in this order. With --in its name.",
    ),
]
Callers = Annotated[
    list[str] | None, typer.Option("--caller", help="Pattern of who may; may be repeated.")
]
To = Annotated[str | None, typer.Option("--to", help="The device of ours that is meant.")]
Refuse = Annotated[bool | None, typer.Option("--refuse", help="Refuse what it takes.")]
Emergency = Annotated[bool | None, typer.Option("--emergency", help="Let nothing keep it back.")]
Incoming = Annotated[bool | None, typer.Option("--in", help="For calls that come by trunks.")]
Position = Annotated[int | None, typer.Option(help="Lower ones are looked at first.")]
HoursOption = Annotated[
    str | None, typer.Option("--hours", help="As mon-fri 08:00-18:00, sat+hol 09:00-12:00.")
]
Zone = Annotated[str | None, typer.Option("--time-zone", help="Of --hours; by default UTC.")]
Holidays = Annotated[
    list[str] | None, typer.Option("--holiday", help="2026-12-25 or 12-25; may be repeated.")
]
Shown = Annotated[str | None, typer.Option(help="The caller's number that is shown.")]
Location = Annotated[
    str | None, typer.Option(help="Where callers are, as a URI; with --emergency.")
]
Premium = Annotated[
    bool | None, typer.Option("--premium/--no-premium", help="Also numbers of plan.refused.")
]
CauseOption = Annotated[str | None, typer.Option("--cause", help="With --refuse, as busy.")]
Words = Annotated[str | None, typer.Option("--text", help="Why, with --refuse.")]
Enabled = Annotated[bool | None, typer.Option("--on/--off", help="Whether it counts.")]


_OF_ACTION = {
    "trunk": {"lines", "shown", "premium"},
    "device": {"device"},
    "refuse": {"cause", "text"},
    "emergency": {"lines", "shown", "location"},
}
_OF_ACTIONS = {key for keys in _OF_ACTION.values() for key in keys}
"""What is said of some actions, and is of no use to others."""
_CAUSES = get_args(get_type_hints(wire.PlanRule)["cause"])


@asynccontextmanager
async def plan_desk(loaded: Loaded) -> AsyncIterator[PlanDesk]:
    """The endpoint that runs; where none does the database, with the configuration's trunks."""
    config = loaded.config
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(running_client(config))
            await client.health()
        except EndpointUnreachable as error:
            state = StateDirectory(config.state.directory)
            if state.is_held():
                # What is written beside it would count at its next start, and be said to count now.
                raise EndpointUnreachable(
                    f"an endpoint runs with state directory {state.path} and does not answer "
                    f"({error}); nothing was changed: try again, or stop it"
                ) from error
        else:
            yield client
            return
        # Imported at use: who asks an endpoint that runs needs neither a plan nor a database.
        from endpoint.app.facts import dial_plan, outside_trunks
        from endpoint.app.planbook import PlanBook
        from endpoint.callcontrol.dialplan import PlanInUse
        from endpoint.storage.extensions import Extensions
        from endpoint.storage.plan import StoredPlanRules

        database = await stack.enter_async_context(configured_database(config))
        extensions, trunks = Extensions(database), outside_trunks(config)
        accounts = {account.device for account in config.device_accounts}

        async def extension(number: DeviceId) -> DeviceId | None:
            found = await extensions.resolve(number)
            return DeviceId(found) if found is not None else None

        book = PlanBook(
            StoredPlanRules(database),
            PlanInUse(dial_plan(config, trunks), _now, lambda device: device in accounts),
            may_show={trunk.name: trunk.numbers for trunk in trunks},
            extension=extension,
        )
        await book.load()
        yield book


def _now() -> datetime:
    return datetime.now(UTC)


@plan_app.command("list")
def list_rules(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every rule, as they are looked at, and what the configuration says."""
    output = Output(as_json)
    plan = output.run(_plan(loaded_or_fail(output, config)))
    table = Table(box=None, pad_edge=False)
    for title in ("position", "rule", "", "takes", "of", "when", "goes to"):
        table.add_column(title, overflow="fold")
    for rule in plan.rules:
        table.add_row(
            str(rule.position),
            Text(rule.name if rule.enabled else f"{rule.name} (off)"),
            rule.direction,
            Text(rule.pattern),
            Text(", ".join(rule.callers) or "anybody"),
            Text(f"{rule.hours} {rule.time_zone}" if rule.hours else "always"),
            Text(_goal(rule)),
        )
    beside = Text(
        f"emergency: {', '.join(plan.emergency) or 'none'}; "
        f"refused unless a rule says premium: {len(plan.refused)} patterns (plan.refused)",
        "dim",
    )
    empty = "No rules: trunks take what their `outgoing` says. Add one: agent-endpoint plan add -h"
    output.result({"ok": True, "plan": plan}, table if plan.rules else empty, beside)


async def _plan(loaded: Loaded) -> wire.Plan:
    async with plan_desk(loaded) as desk:
        return await desk.plan()


def _goal(rule: wire.PlanRule) -> str:
    lines = " → ".join(
        f"{line.trunk} as {line.to}"
        if line.to
        else f"{line.trunk}"
        + (f" without {line.strip}" if line.strip else "")
        + (f" with {line.add} before" if line.add else "")
        for line in rule.lines
    )
    by = f" (by {', '.join(rule.trunks)})" if rule.trunks else ""
    match rule.action:
        case "trunk":
            return lines + (f", shown {rule.shown}" if rule.shown else "")
        case "device":
            return rule.device + by
        case "refuse":
            return f"nobody: {rule.text or rule.cause}{by}"
        case "emergency":
            return f"emergency{': ' if lines else ''}{lines}, then any trunk"


@plan_app.command("add")
def add_rule(
    name: Name,
    pattern: Annotated[
        str, typer.Option(help="Numbers that it takes: 0800123, 0*, _0[1-9]X. (docs/dialplan.md).")
    ],
    trunk: Where = None,
    to: To = None,
    refuse: Refuse = None,
    emergency: Emergency = None,
    incoming: Incoming = None,
    position: Position = None,
    caller: Callers = None,
    hours: HoursOption = None,
    time_zone: Zone = None,
    holiday: Holidays = None,
    shown: Shown = None,
    location: Location = None,
    premium: Premium = None,
    cause: CauseOption = None,
    text: Words = None,
    enabled: Enabled = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Add a rule. It goes to trunks, to a device (--to), or nowhere (--refuse)."""
    given = {
        "name": name,
        "pattern": pattern,
        **_action(trunk, to, refuse, emergency, incoming),
        **_facts(
            position,
            caller,
            hours,
            time_zone,
            holiday,
            shown,
            location,
            premium,
            cause,
            text,
            enabled,
        ),
    }
    output = Output(as_json)
    rule = _rule(given, output)
    loaded = loaded_or_fail(output, config)

    async def keep() -> wire.PlanRule:
        async with plan_desk(loaded) as desk:
            return await desk.add_plan_rule(rule)

    made = output.run(keep())
    _done(output, made, "is added")


@plan_app.command("change")
def change_rule(
    name: Name,
    rename: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    pattern: Pattern = None,
    trunk: Where = None,
    to: To = None,
    refuse: Refuse = None,
    emergency: Emergency = None,
    incoming: Incoming = None,
    position: Position = None,
    caller: Callers = None,
    hours: HoursOption = None,
    time_zone: Zone = None,
    holiday: Holidays = None,
    shown: Shown = None,
    location: Location = None,
    premium: Premium = None,
    cause: CauseOption = None,
    text: Words = None,
    enabled: Enabled = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Change what is said of a rule; the rest stays. Empty text, as --hours '', takes away."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    facts = _facts(
        position, caller, hours, time_zone, holiday, shown, location, premium, cause, text, enabled
    )
    if rename is not None:
        facts["name"] = rename
    if pattern is not None:
        facts["pattern"] = pattern

    async def change() -> wire.PlanRule:
        async with plan_desk(loaded) as desk:
            before = next((r for r in (await desk.plan()).rules if r.name == name), None)
            if before is None:
                raise CommandFailed(ExitCode.FAILED, f"there is no rule {name}")
            plain: dict[str, Any] = msgspec.to_builtins(before)
            inward = incoming or before.direction == "in"
            action = _action(trunk, to, refuse, emergency, inward)
            if (now := action.get("action", before.action)) != before.action:
                for key in _OF_ACTIONS - _OF_ACTION[now]:
                    plain.pop(key, None)
            facts.update(action)
            return await desk.change_plan_rule(name, _rule({**plain, **facts}, output))

    _done(output, output.run(change()), "is changed")


@plan_app.command("remove")
def remove_rule(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Forget a rule."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def forget() -> None:
        async with plan_desk(loaded) as desk:
            await desk.remove_plan_rule(name)

    output.run(forget())
    output.result({"ok": True, "rule": name}, Text.assemble(("✔ ", "green"), f"{name} is removed"))


@plan_app.command("export")
def export_rules(config: ConfigFile = None) -> None:
    """Print all rules as JSON, for `plan import`."""
    output = Output(True)
    plan = output.run(_plan(loaded_or_fail(output, config)))
    text = msgspec.json.format(msgspec.json.encode({"rules": plan.rules}), indent=2)
    typer.echo(text.decode())


@plan_app.command("import")
def import_rules(
    file: Annotated[Path, typer.Argument(help="What `plan export` printed; - is standard input.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Keep the rules of a file in the place of all that there are, or change nothing."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    try:
        octets = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        wanted = msgspec.json.decode(octets, type=wire.PlanOfRules)
    except OSError as error:
        output.fail(CommandFailed(ExitCode.FAILED, f"{file} can't be read: {error.strerror}"))
    except msgspec.DecodeError as error:
        why = f"{file}: {error}; expected what `agent-endpoint plan export` printed"
        output.fail(CommandFailed(ExitCode.FAILED, why))

    async def bring() -> wire.Plan:
        async with plan_desk(loaded) as desk:
            return await desk.replace_plan(wanted.rules)

    plan = output.run(bring())
    done = Text.assemble(("✔ ", "green"), f"{len(plan.rules)} rules are kept")
    output.result({"ok": True, "plan": plan}, done)


@plan_app.command("test")
def ask_number(
    number: Annotated[str, typer.Argument(help="As it would be dialled, or called by a trunk.")],
    calling: Annotated[str, typer.Option("--from", help="Who dials, as 6001.")] = "",
    at: Annotated[str, typer.Option("--at", help="Another time, as 2026-12-25T10:00+01:00.")] = "",
    trunk: Annotated[str, typer.Option(help="The trunk that it comes from.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Say what would happen to a number, and why. Nobody is called."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    try:
        when = datetime.fromisoformat(at) if at else None
    except ValueError as error:
        expected = "2026-12-25T10:00 or 2026-12-25T10:00+01:00"
        raise typer.BadParameter(f"--at: found {at!r}, expected as {expected}") from error
    if when is not None and when.tzinfo is None:
        when = when.astimezone()

    async def ask() -> wire.PlanAnswer:
        async with plan_desk(loaded) as desk:
            return await desk.ask_plan(wire.AskPlan(number, calling, when, trunk))

    answer = output.run(ask())
    leads = answer.kind not in ("refused", "unknown")
    steps = Table.grid(padding=(0, 2))
    for step in answer.steps:
        sign = ("✔", "green") if step.taken else ("–", "dim")
        steps.add_row(Text(*sign), Text(step.rule), Text(step.why, "" if step.taken else "dim"))
    head = Text.assemble(
        (f"{'✔' if leads else '✘'} ", "green" if leads else "bold red"), _in_words(answer)
    )
    output.result({"ok": leads, "answer": answer}, head, steps)
    if not leads:
        raise typer.Exit(ExitCode.CALL_FAILED)


def _in_words(answer: wire.PlanAnswer) -> str:
    match answer.kind:
        case "device":
            return f"{answer.number} is {answer.device} ({answer.rule})"
        case "remote":
            return f"{answer.number} is the remote agent {answer.device} ({answer.rule})"
        case "account":
            return f"{answer.number} goes to the server of the caller's account"
        case "trunk" | "emergency":
            what = "is an emergency and goes" if answer.kind == "emergency" else "goes"
            ways = ", then ".join(
                f"to {each.trunk} as {each.number}"
                + (f" showing {each.shown}" if each.shown else "")
                + (" (down now)" if each.up is False else "")
                for each in answer.courses
            )
            ways = ways or "to the server of the caller's account"
            return f"{answer.number} {what} {ways} ({answer.rule})"
        case "refused" | "unknown":
            return f"{answer.number} leads nowhere: {answer.text} ({answer.cause})"


def _done(output: Output, rule: wire.PlanRule, what: str) -> None:
    said = Text.assemble(("✔ ", "green"), f"{rule.name} {what}: {rule.pattern} → {_goal(rule)}")
    output.result({"ok": True, "rule": rule}, said)


def _action(
    trunk: list[str] | None,
    to: str | None,
    refuse: bool | None,
    emergency: bool | None,
    incoming: bool | None,
) -> dict[str, Any]:
    """What becomes of a number, from options of which one at most can be right."""
    goals = {"--to": to is not None, "--refuse": refuse, "--emergency": emergency}
    chosen = [name for name, given in goals.items() if given]
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other")
    said: dict[str, Any] = {"direction": "in"} if incoming else {}
    if trunk:
        said |= {"trunks": trunk} if incoming else {"lines": list(map(_line, trunk))}
    if to is not None:
        return {**said, "action": "device", "device": to}
    if refuse:
        return {**said, "action": "refuse"}
    if emergency:
        return {**said, "action": "emergency"}
    if trunk and not incoming:
        return {**said, "action": "trunk"}
    return said


def _line(text: str) -> dict[str, Any]:
    trunk, *facts = text.split(",")
    line: dict[str, Any] = {"trunk": trunk}
    for fact in facts:
        key, equals, value = fact.partition("=")
        if key not in ("strip", "add", "to") or not equals:
            raise typer.BadParameter(f"--trunk: found {fact!r}, expected strip=, add= or to=")
        if key == "strip" and not value.isdecimal():
            raise typer.BadParameter(f"--trunk: found strip={value}, expected a number")
        line[key] = int(value) if key == "strip" else value
    return line


def _facts(
    position: int | None,
    caller: list[str] | None,
    hours: str | None,
    time_zone: str | None,
    holiday: list[str] | None,
    shown: str | None,
    location: str | None,
    premium: bool | None,
    cause: str | None,
    text: str | None,
    enabled: bool | None,
) -> dict[str, Any]:
    """What was said; an empty text in a list takes the list away."""
    said = {
        "position": position,
        "callers": None if caller is None else [each for each in caller if each],
        "hours": hours,
        "time_zone": time_zone,
        "holidays": None if holiday is None else [each for each in holiday if each],
        "shown": shown,
        "location": location,
        "premium": premium,
        "cause": cause,
        "text": text,
        "enabled": enabled,
    }
    return {key: value for key, value in said.items() if value is not None}


def _rule(given: dict[str, Any], output: Output) -> wire.PlanRule:
    if "action" not in given:
        raise typer.BadParameter("say where numbers go: --trunk, --to, --refuse or --emergency")
    try:
        return msgspec.convert(given, wire.PlanRule)
    except msgspec.ValidationError as error:
        if (cause := given.get("cause")) not in (None, *_CAUSES):
            why = f"--cause: found {cause!r}, expected one of {', '.join(_CAUSES)}"
            output.fail(CommandFailed(ExitCode.FAILED, why))
        output.fail(CommandFailed(ExitCode.FAILED, str(error)))
