"""`calls`: calls that are over. Listed, shown with why they ended, exported."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.formats import ExportFormat
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.setupcommands import answered, loaded_or_fail
from endpoint.callcontrol.model import CallRecord, ConnectionRecord, Moments
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import LegQuality

records_app = typer.Typer(help="Calls that are over: find, explain and export them.")

Since = Annotated[
    str | None,
    typer.Option(help="Began then or later: 2026-11-28, 2026-11-28T14:00; local time."),
]
Until = Annotated[str | None, typer.Option(help="Began before then.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Had part in it.")]
Number = Annotated[str, typer.Option(help="How a number in it begins.")]
CauseOption = Annotated[str, typer.Option("--cause", help="Why it ended, as busy.")]
Direction = Annotated[str, typer.Option(help="inbound or outbound.")]
Established = Annotated[
    bool | None, typer.Option("--answered/--unanswered", help="Whether they could talk.")
]
Minimum = Annotated[float | None, typer.Option(help="Could talk so many seconds at least.", min=0)]
Data = Annotated[
    list[str] | None, typer.Option(metavar="KEY=TEXT", help="Carries that; repeatable.")
]
Interaction = Annotated[str, typer.Option(help="Of the same interaction.")]
AgentOption = Annotated[str, typer.Option("--agent", help="Had part in it.")]
Query = list[tuple[str, str]]


@records_app.command("list")
def list_calls(
    since: Since = None,
    until: Until = None,
    device: DeviceOption = "",
    number: Number = "",
    cause: CauseOption = "",
    direction: Direction = "",
    established: Established = None,
    minimum: Minimum = None,
    data: Data = None,
    interaction: Interaction = "",
    agent: AgentOption = "",
    limit: Annotated[int, typer.Option(help="So many at most.", min=1, max=1000)] = 20,
    after: Annotated[str, typer.Option(help="`next` of the page before.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Calls that are over, the latest first."""
    output = Output(as_json)
    query = _query(since, until, device, number, cause, direction, established, minimum, data)
    query += _named(interaction=interaction, agent=agent)
    query += [("limit", str(limit)), *([("after", after)] if after else [])]
    page = answered(output, config, lambda client: client.records(query))
    table = listed("call", "began", "from", "to", "talked", "cause", "SIP", right=("talked", "SIP"))
    for record in page.records:
        table.add_row(
            record.call,
            _local(record.started_at),
            Text(record.calling),
            Text(record.called),
            _talked(record),
            str(record.ending.cause),
            str(record.ending.sip_status or ""),
        )
    shown: list[RenderableType] = [table if page.records else "No calls."]
    if page.next:
        shown.append(Text(f"More: --after {page.next}", "dim"))
    output.result({"ok": True, "calls": page.records, "next": page.next}, *shown)


@records_app.command()
def show(
    call: Annotated[str, typer.Argument(help="As `calls list` names it, or `last`.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """What happened in a call that is over, and why it ended."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> wire.RecordFound:
        async with running_client(loaded.config) as client:
            wanted = call
            if call == "last":
                page = await client.records([("limit", "1")])
                if not page.records:
                    raise CommandFailed(ExitCode.FAILED, "no call is over yet")
                wanted = page.records[0].call
            try:
                return await client.record_of(wanted)
            except RequestRefused as error:
                raise CommandFailed(ExitCode.FAILED, error.refused.text) from error

    found = output.run(main())
    record = found.record
    head = Text.assemble((f"Call {record.call}", "bold"), f"  {_local(record.started_at)}")
    sentences = [Text(f"· {each}") for each in found.explanation]
    sentences += [
        Text(
            f"· Recorded: {each.duration_ms / 1000:.1f} s, {each.state}; "
            f"agent-endpoint recordings fetch {each.recording}"
        )
        for each in found.recordings
    ]
    output.result(
        {
            "ok": True,
            "record": record,
            "explanation": found.explanation,
            "recordings": found.recordings,
        },
        head,
        *sentences,
        _parties(record),
    )


@records_app.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(help="Where to; its end says as what. Without: CSV, printed.")
    ] = None,
    kind: Annotated[
        ExportFormat | None, typer.Option("--format", help="As what, whatever the name.")
    ] = None,
    since: Since = None,
    until: Until = None,
    device: DeviceOption = "",
    number: Number = "",
    cause: CauseOption = "",
    direction: Direction = "",
    established: Established = None,
    minimum: Minimum = None,
    data: Data = None,
    interaction: Interaction = "",
    agent: AgentOption = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write calls that are over into a file: .csv for a spreadsheet, .jsonl for a program."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    ends = {f".{each}": each for each in ExportFormat}
    if kind is None:
        kind = ExportFormat.CSV if file is None else ends.get(file.suffix)
    if kind is None:
        raise typer.BadParameter(f"expected a name in {' or '.join(ends)}", param_hint="FILE")
    query = _query(since, until, device, number, cause, direction, established, minimum, data)
    query += _named(interaction=interaction, agent=agent)
    query.append(("format", kind))

    async def main() -> int:
        octets = 0
        async with running_client(loaded.config) as client:
            try:
                with sys.stdout.buffer if file is None else file.open("wb") as target:
                    async for piece in client.exported_records(query):
                        octets += target.write(piece)
                    target.flush()
            except OSError as error:
                raise CommandFailed(ExitCode.FAILED, f"{file}: {error.strerror}") from error
        return octets

    octets = output.run(main())
    if file is not None:
        done = good(f"{octets} octets are in {file}")
        output.result({"ok": True, "file": str(file), "octets": octets}, done)


# -- inside -----------------------------------------------------------------------------------


def _query(
    since: str | None,
    until: str | None,
    device: str,
    number: str,
    cause: str,
    direction: str,
    established: bool | None,
    minimum_s: float | None,
    data: list[str] | None,
) -> Query:
    words = {
        "since": moment(since, "--since"),
        "until": moment(until, "--until"),
        "device": device,
        "number": number,
        "cause": cause,
        "direction": direction,
        "established": "" if established is None else str(established).lower(),
        "minimum_s": "" if minimum_s is None else f"{minimum_s:g}",
    }
    return _named(**words) + [("data", each) for each in data or []]


def _named(**words: str) -> Query:
    return [(name, word) for name, word in words.items() if word]


def moment(word: str | None, hint: str) -> str:
    """A moment of the command line, with its zone, where none is said that of this machine."""
    if word is None:
        return ""
    try:
        return datetime.fromisoformat(word).astimezone().isoformat()
    except ValueError as error:
        expected = "expected as 2026-11-28 or 2026-11-28T14:00"
        raise typer.BadParameter(f"found {word!r}, {expected}", param_hint=hint) from error


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _talked(record: CallRecord) -> str:
    if record.established_at is None:
        return "–"
    return f"{(record.ended_at - record.established_at).total_seconds():.1f} s"


def _parties(record: CallRecord) -> Table:
    table = listed("device", "came", "rang", "answered", "held", "left", "because", "audio")
    for each in record.connections:
        table.add_row(Text(each.device), *_times(record, each), _audio(each.quality))
    return table


def _times(record: CallRecord, connection: ConnectionRecord) -> list[str]:
    moments = connection.moments or Moments(record.started_at)

    def since(at: datetime | None) -> str:
        return "–" if at is None else f"{(at - record.started_at).total_seconds():.3f}"

    held_s = sum(
        (each.ended_at - each.began_at).total_seconds()
        for each in moments.holds
        if each.ended_at is not None
    )
    return [
        since(moments.initiated_at),
        since(moments.delivered_at),
        since(moments.established_at),
        f"{held_s:.1f} s" if moments.holds else "–",
        since(moments.ended_at),
        f"{connection.ending.cause} by {connection.ending.released_by}",
    ]


def _audio(quality: LegQuality | None) -> str:
    if quality is None:
        return "–"
    ways = [
        f"{way} MOS {each.mos:.1f}"
        for way, each in (("from", quality.received), ("to", quality.sent))
        if each.mos is not None
    ]
    return ", ".join((quality.codec, *ways))
