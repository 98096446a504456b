"""`recordings list`, `show`, `fetch` and `delete`: what was recorded, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.setupcommands import answered, loaded_or_fail
from endpoint.gateways.native import messages as wire

recordings_app = typer.Typer(
    help="Recordings of calls: customers on the left, agents on the right.", no_args_is_help=True
)

Recording = Annotated[str, typer.Argument(metavar="RECORDING", help="As `recordings list` shows.")]


@recordings_app.command("list")
def list_recordings(
    call: Annotated[str, typer.Option(help="Of a call, or of an interaction.")] = "",
    state: Annotated[str, typer.Option(help="recording, complete, failed, lost or deleted.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 20,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """The latest recordings, newest first."""
    output = Output(as_json)
    found = answered(
        output, config, lambda client: client.recordings(call=call, state=state, limit=limit)
    )
    table = listed("started", "length", "left", "right", "state", "recording", whole=("recording",))
    for each in found:
        table.add_row(
            f"{each.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
            _length(each),
            ", ".join(each.left),
            ", ".join(each.right),
            each.state,
            each.recording,
        )
    shown = table if found else "Nothing was recorded."
    output.result({"ok": True, "recordings": found}, shown)


@recordings_app.command("show")
def show_recording(recording: Recording, config: ConfigFile = None, as_json: Json = False) -> None:
    """All that is known of a recording."""
    output = Output(as_json)
    found = answered(output, config, lambda client: client.recording(recording))
    output.result({"ok": True, "recording": found}, _table(found))


@recordings_app.command("fetch")
def fetch_recording(
    recording: Recording,
    to: Annotated[
        Path | None, typer.Option("--to", help="File; by default by date and name, here.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write a recording's audio to a file here. One that is encrypted is decrypted."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def read() -> tuple[wire.Recording, bytes]:
        async with running_client(loaded.config) as client:
            found = await client.recording(recording)
            return found, await client.recorded_audio(recording)

    found, octets = output.run(read())
    path = to or Path(found.file_name)
    try:
        path.write_bytes(octets)
    except OSError as error:
        text = f"can't write {path}: {error.strerror}"
        output.fail(CommandFailed(ExitCode.FAILED, text))
    result = {"ok": True, "recording": recording, "file": str(path), "size": len(octets)}
    output.result(result, good(f"{path} ({_length(found)})"))


@recordings_app.command("delete")
def delete_recording(
    recording: Recording, config: ConfigFile = None, as_json: Json = False
) -> None:
    """Delete a recording's file; what is known of it stays."""
    output = Output(as_json)
    found = answered(output, config, lambda client: client.delete_recording(recording))
    said = good(f"the file of {recording} is deleted")
    output.result({"ok": True, "recording": found}, said)


def _length(recording: wire.Recording) -> str:
    seconds = round(recording.duration_ms / 1000)
    return f"{seconds // 60}:{seconds % 60:02}"


def _table(found: wire.Recording) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    ended = f" to {found.ended_at.astimezone():%H:%M:%S}" if found.ended_at else ""
    rows = {
        "call": found.call,
        "state": found.state + (f": {found.text}" if found.text else ""),
        "when": f"{found.started_at.astimezone():%Y-%m-%d %H:%M:%S}{ended}",
        "length": _length(found),
        "left": ", ".join(found.left) or "nobody",
        "right": ", ".join(found.right) or "nobody",
        "recorded": f"by the rule {found.rule}" if found.rule else f"for {found.by}",
        "pauses": str(len(found.pauses)),
        "format": f"{found.format}, {found.sample_rate_hz} Hz"
        + (", encrypted on disk" if found.encrypted else ""),
        "size": f"{found.size} octets",
        "sha256": found.sha256,
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table
