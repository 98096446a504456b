"""`agent-endpoint agent`: an agent in a terminal, or without one."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.text import Text

from endpoint.app import telemetry
from endpoint.app.agentsettings import FILE, NULL
from endpoint.app.context import ConfigFile
from endpoint.app.mistakes import expected
from endpoint.app.output import Output, Screen
from endpoint.app.settings import Config, LogSettings
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.app.words import in_words
from endpoint.errors import EndpointError

if TYPE_CHECKING:
    from endpoint.app.agent import Agent

PASSWORD_VARIABLE = "AGENT_PASSWORD"


def agent(
    extension: Annotated[
        str, typer.Option(help="His extension, or RP_ and the number of his telephone.")
    ],
    sip_ws_server: Annotated[
        str,
        typer.Option(help="wss://…, ws://…, sip:… or sips:…; by default the endpoint that runs."),
    ] = "",
    input: Annotated[
        str,
        typer.Option(
            help="What he speaks by: a name of `sound list`, default, null, tone:HZ or file:PATH."
        ),
    ] = NULL,
    output: Annotated[
        str,
        typer.Option(help="What he hears by: a name of `sound list`, default, null or file:PATH."),
    ] = NULL,
    ringer: Annotated[str, typer.Option(help="Where he is rung; by default --output.")] = "",
    auto_answer: Annotated[
        bool, typer.Option("--auto-answer", help="He takes every call at once.")
    ] = False,
    password_file: Annotated[
        Path | None,
        typer.Option(help=f"Its first line is the password; else ${PASSWORD_VARIABLE}, or asked."),
    ] = None,
    username: Annotated[str, typer.Option(help="By default the extension.")] = "",
    domain: Annotated[str, typer.Option(help="By default the server's host.")] = "",
    ca: Annotated[
        Path | None, typer.Option(help="PEM file of the CA that signed the server's certificate.")
    ] = None,
    media: Annotated[str, typer.Option(help="rtp, srtp or webrtc; by default as it fits.")] = "",
    config: ConfigFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="No screen: one JSON object for each event.")
    ] = False,
) -> None:
    """Be an agent: dial, answer, hold, consult, swap, confer, transfer, by single keys.

    With --sip-ws-server an endpoint of its own registers him there.

    Without it he is a device of the endpoint that runs.

    Without a terminal, or with --json, events are told line by line until SIGTERM.
    """
    out = Output(as_json)
    has_screen = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    base = loaded_or_fail(out, config).config if config is not None else None
    telemetry.configure(LogSettings(level="error"))
    if has_screen:  # over which a log would be written
        logging.disable()
    if sip_ws_server:
        said = {
            "server": sip_ws_server,
            "password": _password(password_file),
            "username": username,
            "domain": domain,
            "ca": ca,
            "media": media,
            "input": _whole(input),
            "output": _whole(output),
            "ringer": ringer,
        }
        one = _made(extension, base, auto_answer, said)
        place, audio = f"at {sip_ws_server}", f"speaks by {input}, hears by {output}"
    else:
        _refuse_what_is_for_a_server(said=auto_answer or bool(ringer) or {input, output} != {NULL})
        from endpoint.app.agent import Agent  # at use: it can be an endpoint of its own

        try:
            one = Agent.running(extension, config)
        except EndpointError as error:
            out.fail(error)
        place, audio = "at the endpoint that runs", "levels are shown in a call"
    out.run(_on_screen(one, place, audio) if has_screen else _told(one, out))


def _refuse_what_is_for_a_server(*, said: bool) -> None:
    """What an endpoint that runs has in its configuration. Raises `BadParameter`."""
    if said:
        raise typer.BadParameter(
            "--input, --output, --ringer and --auto-answer are for --sip-ws-server; "
            "at the endpoint that runs its [[agent]] says so"
        )


def _made(extension: str, base: Config | None, auto_answer: bool, said: dict[str, Any]) -> Agent:
    """An agent with an endpoint of his own. Raises `BadParameter`."""
    if extension.startswith("RP_") and (base is None or not base.trunk):
        raise typer.BadParameter(
            f"{extension} speaks by his telephone: expected --config with a [[trunk]] that leads "
            "there, or no --sip-ws-server, at an endpoint that runs"
        )
    given = {name: value for name, value in said.items() if value}
    from endpoint.app.agent import Agent

    try:
        return Agent(extension, config=base, auto_answer=auto_answer, **given)
    except ValidationError as error:
        fault = error.errors()[0]
        named = [str(part) for part in fault["loc"] if isinstance(part, str) and part != "agent"]
        field = named[0] if named else "device"
        option = {"device": "extension", "server": "sip-ws-server"}.get(field, field)
        told = fault["type"] == "value_error"
        text = str(fault["ctx"]["error"]) if told else f"expected {expected(fault)}"
        raise typer.BadParameter(text, param_hint=f"--{option.replace('_', '-')}") from error


def _password(file: Path | None) -> str:
    """From its file, the environment, or who sits there; never an argument, which others see."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").split("\n", 1)[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{file}: {error}", param_hint="--password-file") from error
    if secret := os.environ.pop(PASSWORD_VARIABLE, ""):
        return secret
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"give --password-file or ${PASSWORD_VARIABLE}")
    return str(typer.prompt("Password", hide_input=True))


def _whole(name: str) -> str:
    """A file by its whole path: a relative one goes by the working directory."""
    path = name.removeprefix(FILE)
    return f"{FILE}{Path(path).expanduser().absolute()}" if path not in ("", name) else name


async def _on_screen(agent: Agent, place: str, audio: str) -> None:
    from endpoint.app.terminal import Terminal

    console = Screen()
    console.print(f"{agent.device} {place} …")
    async with agent:
        await Terminal(agent, place=place, audio=audio, console=console).run()


async def _told(agent: Agent, out: Output) -> None:
    """Without a screen: what happens, until somebody ends us."""
    async with agent:
        events = agent.events()
        out.tell({"event": "ready", "device": agent.device}, Text(f"{agent.device} is ready"))
        async for frame in events:
            if "call" in frame.fields:
                at = f"{frame.at.astimezone():%H:%M:%S}"
                words = Text.assemble((f"{at}  ", "dim"), in_words(frame.event, frame.fields))
                out.tell({"event": frame.event, **frame.fields}, words)
