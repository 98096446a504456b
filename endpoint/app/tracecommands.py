"""`trace`: the SIP of a call as a ladder, a picture, or a file for Wireshark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.formats import TraceFormat
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import tracemessages as wire

trace_app = typer.Typer()

_FILES = {".svg": TraceFormat.SVG, ".pcapng": TraceFormat.PCAPNG, ".txt": TraceFormat.TEXT}


@trace_app.command()
def trace(
    call: Annotated[
        str | None, typer.Argument(help="As `trace` lists it, or `last`; without it, the list.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it there: .svg, .pcapng (Wireshark) or .txt."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Every message as on the wire.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """What was said in SIP in a call, also in one that is over.

    Digests, keys, passwords, pressed digits and texts are blotted out.
    `sip.trace_bytes` says how much is kept.
    """
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    if file is not None and file.suffix not in _FILES:
        raise typer.BadParameter(f"expected one of {', '.join(_FILES)}", param_hint="--output")
    if file is not None and call is None:
        raise typer.BadParameter("expected a call, or last", param_hint="CALL")

    async def read() -> tuple[wire.Traces, wire.Trace | None, bytes]:
        async with running_client(loaded.config) as client:
            known = wire.Traces([])
            wanted = call
            if wanted in (None, "last"):
                known = await client.traces()
                if wanted is None:
                    return known, None, b""
                if not known.traces:
                    raise CommandFailed(ExitCode.FAILED, "no call was made since the start")
                wanted = known.traces[-1].call
            assert wanted is not None
            try:
                found = await client.trace(wanted)
                kind = TraceFormat.TEXT if file is None else _FILES[file.suffix]
                return known, found, await client.trace_as(wanted, kind)
            except RequestRefused as error:
                raise CommandFailed(ExitCode.FAILED, error.refused.text) from error

    known, found, drawn = output.run(read())
    if found is None:
        output.result({"ok": True, "traces": known.traces}, _listed(known))
        return
    if file is not None:
        try:
            file.write_bytes(drawn)
        except OSError as error:
            output.fail(CommandFailed(ExitCode.FAILED, f"{file}: {error.strerror}"))
        done = good(f"{len(found.messages)} messages are in {file}")
        output.result({"ok": True, "call": found.call, "file": str(file)}, done)
        return
    shown = [Text(drawn.decode().rstrip("\n"))]
    if full:
        shown += [_whole(message) for message in found.messages]
    # Cut or wrapped, a message would not be what was on the wire.
    output.result({"ok": True, "trace": found}, *shown, soft_wrap=True)


def _listed(known: wire.Traces) -> Table | str:
    if not known.traces:
        return "No SIP is kept yet."
    table = listed("call", "began", "parties", "messages", whole=("call", "began"))
    for each in known.traces:
        began = each.began_at.astimezone().strftime("%H:%M:%S")
        table.add_row(each.call, began, Text(", ".join(each.parties)), str(each.messages))
    return table


def _whole(message: wire.SipMessage) -> Text:
    way = "to" if message.sent else "from"
    head = (
        f"\n{message.at.isoformat()} {way} {message.party} ({message.transport} {message.peer})\n"
    )
    return Text.assemble((head, "bold"), message.text.replace("\r\n", "\n"))
