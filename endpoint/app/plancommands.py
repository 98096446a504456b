"""`plan`: rules of the dial plan, and what would happen to a number.

Where an endpoint runs it is asked, so that a rule counts at once; else the database is.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec
import typer
from rich.table import Column, Table
from rich.text import Text

from endpoint import plaintext
from endpoint.app.config import Loaded
from endpoint.app.context import ConfigFile, answering_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.planoptions import PATTERN, RuleOptions, of_a_rule
from endpoint.app.setupcommands import configured_database, loaded_or_fail
from endpoint.errors import CommandRejected
from endpoint.gateways.native import planmessages as wire
from endpoint.legs.base import DeviceId

if TYPE_CHECKING:
    from endpoint.app.planbook import PlanDesk

plan_app = typer.Typer(help="Where numbers go: rules of the dial plan.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The rule's name.")]
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
        client = await stack.enter_async_context(answering_client(config))
        if client is not None:
            yield client
            return
        # Imported at use: who asks an endpoint that runs needs neither a plan nor a database.
        from endpoint.app.directory import Directory
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
            directory=Directory(config, extensions),
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
    table = listed("position", "rule", "", "takes", "of", "when", "goes to")
    for rule in plan.rules:
        table.add_row(
            str(rule.position),
            Text(rule.name if rule.enabled else f"{rule.name} (off)"),
            rule.direction,
            Text(rule.pattern),
            Text(", ".join(rule.callers) or "anybody"),
            Text(f"{rule.hours} {rule.time_zone}" if rule.hours else "always"),
            Text(_goal(rule) + (" (nobody has it)" if rule.name in plan.missing else "")),
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
@of_a_rule
def add_rule(name: Name, pattern: Annotated[str, PATTERN], said: RuleOptions) -> None:
    """Add a rule. It goes to trunks, to a device (--to), or nowhere (--refuse)."""
    output = Output(said.as_json)
    action = said.action(bool(said.incoming))
    rule = _rule({"name": name, "pattern": pattern, **action, **said.facts()}, output)
    loaded = loaded_or_fail(output, said.config)

    async def keep() -> Kept:
        async with plan_desk(loaded) as desk:
            return await _kept(desk, await desk.add_plan_rule(rule))

    _done(output, output.run(keep()), "is added")


@plan_app.command("change")
@of_a_rule
def change_rule(
    name: Name,
    said: RuleOptions,
    rename: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    pattern: Annotated[str | None, PATTERN] = None,
) -> None:
    """Change what is said of a rule; the rest stays. Empty text, as --hours '', takes away."""
    output = Output(said.as_json)
    loaded = loaded_or_fail(output, said.config)
    facts = said.facts()
    if rename is not None:
        facts["name"] = rename
    if pattern is not None:
        facts["pattern"] = pattern

    async def change() -> Kept:
        async with plan_desk(loaded) as desk:
            before = next((r for r in (await desk.plan()).rules if r.name == name), None)
            if before is None:
                raise CommandRejected("unknown_rule", f"there is no rule {name}")
            plain: dict[str, Any] = msgspec.to_builtins(before)
            action = said.action(bool(said.incoming) or before.direction == "in")
            if (now := action.get("action", before.action)) != before.action:
                for key in _OF_ACTIONS - _OF_ACTION[now]:
                    plain.pop(key, None)
            facts.update(action)
            made = await desk.change_plan_rule(name, _rule({**plain, **facts}, output))
            return await _kept(desk, made)

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
    output.result({"ok": True, "rule": name}, good(f"{name} is removed"))


@plan_app.command("export")
def export_rules(
    file: Annotated[
        Path | None, typer.Argument(help="Written to; by default it is printed.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """All rules as JSON, for `plan import`."""
    output = Output(file is None)
    plan = output.run(_plan(loaded_or_fail(output, config)))
    text = msgspec.json.format(plaintext.encode({"rules": plan.rules}), indent=2)
    if file is None:
        typer.echo(text.decode())
        return
    try:
        file.write_bytes(text + b"\n")
    except OSError as error:
        output.fail(CommandFailed(ExitCode.FAILED, f"{file} can't be written: {error.strerror}"))
    done = f"{len(plan.rules)} rules are in {file}"
    output.result({"ok": True}, good(done))


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
    done = good(f"{len(plan.rules)} rules are kept")
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
    steps = Table.grid(*(Column(overflow="fold") for _ in range(3)), padding=(0, 2))
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


class Kept(NamedTuple):
    """A rule that is kept."""

    rule: wire.PlanRule
    missing: str
    """Why it leads to nobody; empty: it does not."""


async def _kept(desk: PlanDesk, rule: wire.PlanRule) -> Kept:
    missing = (await desk.plan()).missing if rule.device else {}
    return Kept(rule, missing.get(rule.name, ""))


def _done(output: Output, kept: Kept, what: str) -> None:
    rule, missing = kept
    said = good(f"{rule.name} {what}: {rule.pattern} → {_goal(rule)}")
    warning = [Text.assemble(("! ", "bold yellow"), missing)] if missing else []
    result = {"ok": True, "rule": rule, **({"warning": missing} if missing else {})}
    output.result(result, said, *warning)


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
