"""`tokens list`, `add` and `revoke`: what proves who asks, beside the installation's own token."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, get_args

import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good
from endpoint.app.setupcommands import answered, loaded_or_fail
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import tokenmessages as wire

tokens_app = typer.Typer(
    help="Tokens of agents, who have them for their password, and of programs.",
    no_args_is_help=True,
)
_DAY_S = 86_400
SCOPES: tuple[wire.ScopeWord, ...] = get_args(wire.ScopeWord)


def _when(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}" if at is not None else "-"


@tokens_app.command("list")
def list_tokens(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every token that is not over: whose it is, and what it is for."""
    output = Output(as_json)
    found = answered(output, config, lambda client: client.tokens())
    table = Table(box=None, pad_edge=False)
    for title in ("token", "whose", "since", "last used", "ends", "for"):
        table.add_column(title)
    for token in found:
        whose = token.name or f"agent {token.agent}"
        scopes = "everything" if set(token.scopes) == set(SCOPES) else " ".join(token.scopes)
        moments = (token.created_at, token.used_at, token.expires_at)
        table.add_row(token.token, Text(whose), *map(_when, moments), scopes)
    hint = Text("To end one: agent-endpoint tokens revoke TOKEN", "dim")
    result = {"ok": True, "tokens": found}
    output.result(result, *([table, hint] if found else ["There are no tokens."]))


@tokens_app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="What the program is called: letters, digits, . _ -")],
    scope: Annotated[
        list[str],
        typer.Option("--scope", help=f"What it is for, once for each: {', '.join(SCOPES)}."),
    ],
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, help="It ends by itself after so many.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a token for a program. It is printed once: only its hash is kept."""
    output = Output(as_json)
    wanted = [each for each in SCOPES if each in scope]
    if unknown := sorted(set(scope) - set(SCOPES)):
        text = f"--scope {unknown[0]}: expected one of {', '.join(SCOPES)}"
        output.fail(CommandFailed(ExitCode.USAGE, text))
    loaded = loaded_or_fail(output, config)

    async def add() -> wire.IssuedToken:
        async with running_client(loaded.config) as client:
            try:
                return await client.add_program(
                    name, wanted, None if days is None else days * _DAY_S
                )
            except RequestRefused as error:
                raise CommandFailed(ExitCode.FAILED, str(error)) from error

    issued = output.run(add())
    result = {"ok": True, "token": issued.token, "access_token": issued.access_token}
    output.result(result, issued.access_token)


@tokens_app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Its name, as `tokens list` shows it.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """End a token at once, and the WebSockets that were opened with it."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def revoke() -> None:
        async with running_client(loaded.config) as client:
            try:
                await client.revoke_token(token)
            except RequestRefused as error:
                raise CommandFailed(ExitCode.FAILED, f"there is no token {token}") from error

    output.run(revoke())
    told = good(f"{token} proves nothing any more")
    output.result({"ok": True, "token": token}, told)
