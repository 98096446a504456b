"""`ivr`: the flows of the IVR, checked, listed and drawn; hashes for passwords."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from endpoint import plaintext
from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, listed
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.gateways.native import queuemessages as wire
from endpoint.ivr import drawing, flow, hashes

ivr_app = typer.Typer(help="Flows of the IVR.", no_args_is_help=True)

Directory = Annotated[
    Path | None,
    typer.Option("--directory", help="Looked in first for sounds and the like, as of an [[ivr]]."),
]
Language = Annotated[
    flow.Language, typer.Option("--language", help="Whose sounds are taken, as of an [[ivr]].")
]


@ivr_app.command()
def check(
    flows: Annotated[list[str], typer.Argument(metavar="FLOW…", help="A file, or a shipped flow.")],
    directory: Directory = None,
    language: Language = "en",
    as_json: Json = False,
) -> None:
    """Look for mistakes in flows: each with its file, line, field, and what was expected."""
    # Imported at use, here and below: what checks the sounds of flows is for these alone.
    from endpoint.ivr import library
    from endpoint.ivr.library import Place
    from endpoint.ivr.reading import FlowError

    output = Output(as_json)
    mistakes = []
    for name in flows:
        try:
            library.load(Place(library.file_of(name), directory, language))
        except FlowError as error:
            mistakes += error.mistakes
    if mistakes:
        found = {"mistakes": [msgspec.to_builtins(each) for each in mistakes]}
        text = "\n".join(map(str, mistakes))
        output.fail(CommandFailed(ExitCode.CONFIGURATION, text, found))
    output.result({"ok": True}, f"{', '.join(flows)}: no mistakes.")


@ivr_app.command("list")
def list_flows(as_json: Json = False) -> None:
    """The flows that come with the program."""
    from endpoint.ivr import library
    from endpoint.ivr.library import Place

    loaded = {name: library.load(Place(library.file_of(name))) for name in library.shipped()}
    table = listed("flow", "nodes", "what it is")
    for name, made in loaded.items():
        table.add_row(name, str(len(made.node)), Text(made.title))
    facts = [
        {"flow": name, "title": made.title, "nodes": len(made.node)}
        for name, made in loaded.items()
    ]
    Output(as_json).result({"ok": True, "flows": facts}, table)


@ivr_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="FLOW", help="A file, or a shipped flow.")],
    directory: Directory = None,
    language: Language = "en",
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="As a flowchart of Mermaid, for a document.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Draw a flow: its nodes from the start on, and where each leads."""
    from endpoint.ivr import library
    from endpoint.ivr.library import Place
    from endpoint.ivr.reading import FlowError

    output = Output(as_json)
    try:
        made = library.load(Place(library.file_of(name), directory, language))
    except FlowError as error:
        output.fail(CommandFailed(ExitCode.CONFIGURATION, str(error)))
    drawn = drawing.mermaid(made) if mermaid else drawing.drawn(made)
    output.result({"ok": True, "flow": msgspec.to_builtins(made)}, Text(drawn), soft_wrap=True)


@ivr_app.command()
def status(config: ConfigFile = None, as_json: Json = False) -> None:
    """The IVRs of the endpoint that runs, calls in them, and calls that wait for a skill."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def ask() -> tuple[list[wire.Ivr], list[wire.Queue]]:
        async with running_client(loaded.config) as client:
            return await client.ivrs(), await client.queues()

    ivrs, queues = output.run(ask())
    table = listed("code", "flow", "calls", "is")
    for ivr in ivrs:
        state = Text("\n".join([*ivr.mistakes, "as it was before"]), "bold red")
        state = state if ivr.mistakes else Text(ivr.title)
        table.add_row(ivr.code, ivr.flow, str(ivr.calls), state)
    lines = listed("queue", "free", "reachable", "waiting", "longest")
    for queue in queues:
        longest = f"{queue.longest_s:.0f} s" if queue.waiting else ""
        facts = (queue.free, queue.reachable, len(queue.waiting))
        lines.add_row(queue.queue, *map(str, facts), longest)
    result = {"ok": not any(ivr.mistakes for ivr in ivrs), "ivr": ivrs, "queues": queues}
    output.result(result, table if ivrs else "No IVRs.", lines if queues else "No queues.")


@ivr_app.command()
def schema() -> None:
    """Print the JSON Schema of a flow's file, for an editor."""
    typer.echo(msgspec.json.format(plaintext.encode(flow.schema())).decode())


@ivr_app.command("hash")
def make_hash(as_json: Json = False) -> None:
    """Make the hash of a password, for `verify`: asks for it, or reads it from standard input."""
    if sys.stdin.isatty():
        secret = typer.prompt("Password, in keys of a telephone", hide_input=True)
    else:
        secret = sys.stdin.readline()
    secret = secret.strip()
    if not secret or set(secret) - set(flow.KEYS):
        raise typer.BadParameter("expected one or more of 0-9, *, #, A-D")
    made = hashes.make(secret)
    Output(as_json).result({"ok": True, "hash": made}, Text(made), soft_wrap=True)
