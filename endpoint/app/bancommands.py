"""`bans list` and `bans lift`: who is not listened to, and why a phone is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.setupcommands import answered, loaded_or_fail
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire

bans_app = typer.Typer(
    help="Sources that are not listened to: they tried too many passwords.", no_args_is_help=True
)


def why_banned(ban: wire.Ban) -> str:
    """Who is banned, until when, and why."""
    whose = f", the last for {ban.user}" if ban.user else ""
    return (
        f"{ban.source} is banned until {_until(ban)}: {ban.failures} wrong passwords came from "
        f"there{whose}"
    )


def how_to_lift(ban: wire.Ban) -> str:
    """What ends a ban before its time."""
    return f"agent-endpoint bans lift {ban.source}"


def _until(ban: wire.Ban) -> str:
    return f"{(datetime.now(UTC) + timedelta(seconds=ban.left_s)).astimezone():%H:%M:%S}"


@bans_app.command("list")
def list_bans(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every source that is banned, whose password was tried, and for how long yet."""
    output = Output(as_json)
    found = answered(output, config, lambda client: client.bans())
    table = listed("source", "user tried last", "wrong passwords", "until")
    for ban in found:
        table.add_row(ban.source, Text(ban.user), str(ban.failures), _until(ban))
    if not found:
        output.result({"ok": True, "bans": found}, "Nobody is banned.")
        return
    hint = Text(f"To listen to one again: {how_to_lift(found[0])}", "dim")
    output.result({"ok": True, "bans": found}, table, hint)


@bans_app.command("lift")
def lift_ban(
    source: Annotated[str, typer.Argument(help="As `bans list` shows it, or an address of it.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Listen to a source again."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def lift() -> None:
        async with running_client(loaded.config) as client:
            try:
                await client.lift_ban(source)
            except RequestRefused as error:
                raise CommandFailed(ExitCode.FAILED, f"{source} is not banned") from error

    output.run(lift())
    result = {"ok": True, "source": source}
    output.result(result, good(f"{source} is listened to again"))
