"""`webhooks list`, `add`, `remove`, `retry` and the like: programs that are told of events."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from endpoint.app.context import ConfigFile
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.setupcommands import answered
from endpoint.gateways.native import webhookmessages as wire

webhooks_app = typer.Typer(
    help="Programs that are told of events by HTTP (docs/webhooks.md).", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="What it is called.")]


@webhooks_app.command("list")
def list_webhooks(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every webhook: how much was taken, what waits, what was given up."""
    output = Output(as_json)
    found = answered(output, config, lambda client: client.webhooks())
    figures = ("taken", "waiting", "given up")
    table = listed("webhook", "address", "told of", *figures, "state", right=figures)
    for each in found:
        who = [*(f"agent {agent}" for agent in each.agents), *each.devices]
        of = " ".join([*each.events, *who]) or "everything"
        state = Text("well", "green") if not each.failing else Text(each.last_failure, "bold red")
        if not each.enabled:
            state = Text("disabled", "dim")
        row = (str(each.taken), str(each.waiting), str(len(each.undelivered)))
        table.add_row(each.name, Text(each.url), Text(of), *row, state)
    output.result({"ok": True, "webhooks": found}, table if found else "There are no webhooks.")


@webhooks_app.command("add")
def add_webhook(
    name: Annotated[str, typer.Argument(help="What it is called: letters, digits, . _ -")],
    url: Annotated[str, typer.Argument(help="Who is told; begins as one of webhooks.allowed.")],
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Once for each event; without: all.")
    ] = None,
    agent: Annotated[
        list[str] | None, typer.Option("--agent", help="Once for each agent whose log is told.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", help="Once for each device that is told of.")
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Tell it nothing for now.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Have a program told of events. The secret that signs them is printed, this once."""
    output = Output(as_json)
    wanted = wire.AddWebhook(name, url, event or [], agent or [], device or [], not disabled)
    issued = answered(output, config, lambda client: client.add_webhook(wanted))
    output.result({"ok": True, "webhook": name, "secret": issued.secret}, issued.secret)


@webhooks_app.command("remove")
def remove_webhook(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Tell it nothing any more; what it was not told yet is forgotten."""
    output = Output(as_json)
    answered(output, config, lambda client: client.remove_webhook(name))
    _done(output, name, f"{name} is told nothing any more")


@webhooks_app.command("enable")
def enable_webhook(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Tell it what comes, and what has happened since it was disabled, as far as that is kept."""
    output = Output(as_json)
    answered(output, config, lambda client: client.enable_webhook(name))
    _done(output, name, f"{name} is told")


@webhooks_app.command("disable")
def disable_webhook(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Tell it nothing for now."""
    output = Output(as_json)
    answered(output, config, lambda client: client.enable_webhook(name, False))
    _done(output, name, f"{name} is told nothing until: agent-endpoint webhooks enable {name}")


@webhooks_app.command("retry")
def retry_webhook(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Try at once, and what was given up too."""
    output = Output(as_json)
    retrying = answered(output, config, lambda client: client.retry_webhook(name))
    told = good(f"{retrying} that were given up are told again")
    output.result({"ok": True, "webhook": name, "retrying": retrying}, told)


@webhooks_app.command("test")
def try_webhook(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Tell it something that is no event, once, and say whether it was taken."""
    output = Output(as_json)
    tested = answered(output, config, lambda client: client.test_webhook(name))
    if not tested.taken:
        output.fail(CommandFailed(ExitCode.FAILED, f"{name} did not take it: {tested.failure}"))
    _done(output, name, f"{name} has taken it")


def _done(output: Output, name: str, text: str) -> None:
    told = good(text)
    output.result({"ok": True, "webhook": name}, told)
