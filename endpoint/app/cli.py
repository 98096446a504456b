"""`agent-endpoint`: the command line. Exit codes are in `exitcodes`.

Every module of commands is loaded for each of them, so what few need is imported at use: an
endpoint, its database and its media take two seconds to load, and most commands only ask one.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from endpoint import __version__
from endpoint.app import telemetry
from endpoint.app.agentcommand import agent
from endpoint.app.bancommands import bans_app
from endpoint.app.callcommands import calls_app
from endpoint.app.config import Loaded, load
from endpoint.app.context import ConfigFile
from endpoint.app.databasecommands import db_app
from endpoint.app.directorycommands import modes_app, reasons_app, skills_app
from endpoint.app.exitcodes import ExitCode
from endpoint.app.garbage import GarbageRounds, set_aside
from endpoint.app.headroom import leave_no_core_dumps, raise_descriptor_limit
from endpoint.app.interfacecommands import api_app
from endpoint.app.ivrcommands import ivr_app
from endpoint.app.output import Json, Output, ending_signals
from endpoint.app.overview import Overview
from endpoint.app.partycommands import parties_app
from endpoint.app.plancommands import plan_app
from endpoint.app.queuecommands import queues_app
from endpoint.app.recordcommands import records_app
from endpoint.app.recordingcommands import recordings_app
from endpoint.app.registration import register
from endpoint.app.rostercommands import agents_app
from endpoint.app.settings import WILDCARDS, LogSettings
from endpoint.app.setupcommands import (
    config_app,
    extension_app,
    loaded_or_fail,
    show_token,
)
from endpoint.app.soundcommands import sound_app
from endpoint.app.statecommands import state_app
from endpoint.app.tablecommands import trunk_app
from endpoint.app.tenantcommands import tenant_app
from endpoint.app.tokencommands import tokens_app
from endpoint.app.tracecommands import trace_app
from endpoint.app.webhookcommands import webhooks_app

if TYPE_CHECKING:
    from endpoint.app.wiring import Endpoint

app = typer.Typer(
    name="agent-endpoint",
    cls=Overview,
    help="A call-centre agent's telephone on a server, controlled by a program.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config_app, name="config")
app.add_typer(extension_app, name="extension")
app.add_typer(trunk_app, name="trunk")
app.add_typer(db_app, name="db")
app.add_typer(bans_app, name="bans")
app.add_typer(tokens_app, name="tokens")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(api_app, name="api")
app.add_typer(sound_app, name="sound")
app.add_typer(plan_app, name="plan")
app.add_typer(ivr_app, name="ivr")
app.add_typer(agents_app, name="agents")
app.add_typer(skills_app, name="skills")
app.add_typer(queues_app, name="queues")
app.add_typer(modes_app, name="modes")
app.add_typer(reasons_app, name="reasons")
db_app.add_typer(agents_app, name="agent")
db_app.add_typer(tenant_app, name="tenant")
app.add_typer(recordings_app, name="recordings")
app.add_typer(calls_app)
app.add_typer(records_app, name="calls")
app.add_typer(parties_app)
app.add_typer(state_app)
app.add_typer(trace_app)
app.command()(register)
app.command()(agent)
app.command("token")(show_token)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A call-centre agent's telephone on a server, controlled by a program."""


@app.command()
def serve(config: ConfigFile = None, as_json: Json = False) -> None:
    """Run the endpoint until SIGTERM, SIGHUP or Ctrl-C.

    The first signal lets calls end (calls.drain_timeout_s), a second one hangs them up at once.
    """
    output = Output(as_json)
    loaded = loaded_or_fail(output, config, files=True)
    telemetry.configure(loaded.config.log, unblocked=True)
    raise_descriptor_limit()
    leave_no_core_dumps()
    output.run(_serve(loaded, output))


async def _serve(loaded: Loaded, output: Output) -> None:
    with set_aside():  # its part of a first look would hold up who has just come
        from endpoint.app.wiring import Endpoint

    stop = asyncio.Event()
    hurry = asyncio.Event()

    def signalled() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, signalled)
    async with Endpoint(
        loaded.config, origins=loaded.origins, reread=lambda: load(loaded.path).config
    ) as endpoint:
        _announce(endpoint, loaded, output)
        with GarbageRounds(lambda: endpoint.controller.calls() != ()):
            await stop.wait()
            output.progress("Stopping: no new calls; press Ctrl-C again to hang up at once.")
            async with asyncio.TaskGroup() as group:
                drain = group.create_task(endpoint.drain())
                waiting = group.create_task(hurry.wait())
                await asyncio.wait((drain, waiting), return_when=asyncio.FIRST_COMPLETED)
                drain.cancel()
                waiting.cancel()


def _announce(endpoint: Endpoint, loaded: Loaded, output: Output) -> None:
    from endpoint.app.doctor import check_accounts, check_basiccall

    running = endpoint.running
    token = str(endpoint.state.token_file)
    if loaded.config.http.token is not None:
        token = loaded.origins.get("http.token", "the configuration")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("page and REST", Text(endpoint.page_url, "bold"))
    table.add_row("token", f"{token}   (agent-endpoint token{output.with_config})")
    table.add_row("SIP over WSS", running.wss)
    table.add_row("SIP over UDP", running.sip_udp)
    if running.sip_tcp:
        table.add_row("SIP over TCP", running.sip_tcp)
    if running.sip_tls:
        table.add_row("SIP over TLS", running.sip_tls)
    if running.basiccall:
        table.add_row("BasicCall pages", running.basiccall)
    if running.plain_url:
        table.add_row("without TLS", f"{running.plain_url}   (this machine only)")
    authority = endpoint.certificate.authority
    if authority is not None:
        table.add_row("local CA", f"{authority}   (trust it in browsers and phones)")
    if loaded.config.http.host in WILDCARDS:
        table.add_row("open to", "every network that reaches this machine")
    warnings = list(loaded.warnings) + [
        f"{check.name}: {check.text}; {check.cure}"
        for check in (*check_accounts(loaded.config), *check_basiccall(loaded.config))
        if check.outcome != "ok"
    ]
    for warning in warnings:
        table.add_row(Text("! warning", "bold yellow"), Text(warning, "yellow"))
    ready = {
        "ok": True,
        "page": endpoint.page_url,
        "wss": running.wss,
        "sip_udp": running.sip_udp,
        "sip_tcp": running.sip_tcp,
        "sip_tls": running.sip_tls,
        "plain": running.plain_url,
        "basiccall": running.basiccall,
        "token": token,
        "ca": str(authority) if authority else None,
        "pid": running.pid,
        "warnings": warnings,
    }
    output.result(ready, table)
    sys.stdout.flush()


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Leave after the last step; exit 0 if all was right.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Walk through call control with five telephones of its own, and show who hears whom.

    Each is a process that sends one tone and finds the other's in what it hears.
    """
    from endpoint.app.demo import run

    telemetry.configure(LogSettings(level="error"))
    ok = Output(as_json).run(run(once=once, as_json=as_json, console=Console()))
    if not ok:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def doctor(config: ConfigFile = None, as_json: Json = False) -> None:
    """Examine ports, certificate, clock, addresses, credentials, codecs; say what to do."""
    from endpoint.app.doctor import examine

    telemetry.configure(LogSettings(level="error"))
    output = Output(as_json)
    checks = output.run(examine(config))
    table = Table.grid(padding=(0, 2))
    look = {"ok": ("✔", "green"), "warning": ("!", "bold yellow"), "failed": ("✘", "bold red")}
    for check in checks:
        sign, style = look[check.outcome]
        text = Text(check.text)
        if check.cure:
            text.append(f"\n→ {check.cure}", "bold")
        table.add_row(Text(sign, style), check.name, text)
    failed = [check.name for check in checks if check.outcome == "failed"]
    found = {"ok": not failed, "checks": [check.as_json() for check in checks]}
    output.result(found, table)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


@app.command("version")
def show_version(as_json: Json = False) -> None:
    """Print the versions of this program and of what it stands on."""
    packages = ("agent-endpoint", "aiohttp", "msgspec", "numpy", "sqlalchemy", "uvloop", "aiortc")
    found = {name: _version(name) for name in packages} | {"python": platform.python_version()}
    known = {name: number for name, number in found.items() if number is not None}
    table = Table.grid(padding=(0, 2))
    for name, number in known.items():
        table.add_row(name, number)
    Output(as_json).result(known, table)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
