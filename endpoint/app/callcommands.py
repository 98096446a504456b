"""Commands about calls and registrations: `dial`, `answer`, `hang-up`, `hold`, …, `register`."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from endpoint.app.config import Loaded
from endpoint.app.context import ConfigFile, running_client, running_or_own
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output
from endpoint.app.registration import keep_registered
from endpoint.app.settings import AccountSettings
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.client.client import EndpointClient, Frames
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.gateways.native import messages as wire

calls_app = typer.Typer()

Device = Annotated[str, typer.Argument(help="The device of ours, as 6001.")]
CallOption = Annotated[str | None, typer.Option("--call", help="Which call, if it has several.")]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait at most.", min=0.0)]
Duration = Annotated[
    float | None,
    typer.Option("--duration", help="Hang up so many seconds after the answer.", min=0.0),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Leave when it is answered; the call goes on in `serve`.")
]

FAREWELL_S = 10.0
"""How long a call that we hang up may take to end."""


@dataclass(slots=True)
class _Story:
    """What became of one call, as its events told it."""

    call: str
    established: bool = False
    over: bool = False
    outcome: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def note(self, frame: wire.EventFrame) -> None:
        self.events.append(frame.event)
        if frame.event == "Established":
            self.established = True
        elif frame.event == "CallCleared":
            self.over = True
            kept = ("cause", "sip_status", "q850", "released_by", "text")
            self.outcome = {key: frame.fields.get(key) for key in kept}

    def as_json(self) -> dict[str, Any]:
        return {
            "call": self.call,
            "established": self.established,
            "events": self.events,
            **self.outcome,
        }


# -- calls ------------------------------------------------------------------------------------


@calls_app.command()
def dial(
    destination: Annotated[str, typer.Argument(help="Number or device, as 10086 or 10086-W1234.")],
    device: Annotated[str, typer.Option("--from", help="The device of ours that dials.")],
    digits: Annotated[str, typer.Option(help="DTMF to send after the answer.")] = "",
    show: Annotated[
        str, typer.Option(metavar="NUMBER", help="The caller's number to show, of the trunk's.")
    ] = "",
    withhold: Annotated[
        bool, typer.Option("--withhold", help="Do not let the far end know who calls.")
    ] = False,
    duration: Duration = None,
    detach: Detach = False,
    wait: Wait = 30.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Dial from a device of ours and stay with the call. Ctrl-C hangs up.

    Uses the endpoint that runs; where none does, one is started for the call.
    """
    output = Output(as_json)
    if not re.fullmatch("[0-9*#A-D]{0,64}", digits):
        raise typer.BadParameter("expected at most 64 of 0-9, *, #, A-D", param_hint="--digits")
    loaded = loaded_or_fail(output, config)

    async def main() -> _Story:
        async with running_or_own(loaded) as (client, started):
            if started:
                await _reachable(client, device, wait)
            async with client.events() as frames:
                await anext(frames)
                accepted = await client.make_call(
                    device, destination, calling_number=show, withhold=withhold
                )
                story = _Story(accepted.call)
                leave = detach and not started
                return await _stay(
                    client,
                    frames,
                    device,
                    story,
                    output,
                    digits=digits,
                    duration_s=duration,
                    leave=leave,
                )

    _conclude(output, output.run(main()))


@calls_app.command()
def answer(
    device: Device,
    duration: Duration = None,
    detach: Detach = False,
    wait: Wait = 60.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Answer the call that rings at a device, or the next one, and stay with it."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> _Story:
        async with running_or_own(loaded) as (client, started), client.events() as frames:
            call = await _ringing(frames, device, wait)
            await client.answer(device, call)
            story, leave = _Story(call), detach and not started
            return await _stay(
                client, frames, device, story, output, duration_s=duration, leave=leave
            )

    _conclude(output, output.run(main()))


@calls_app.command("hang-up")
def hang_up(
    device: Device, call: CallOption = None, config: ConfigFile = None, as_json: Json = False
) -> None:
    """Take a device out of its call."""
    _command(device, call, config, as_json, EndpointClient.clear)


@calls_app.command()
def hold(
    device: Device, call: CallOption = None, config: ConfigFile = None, as_json: Json = False
) -> None:
    """Put a device's call aside; the other end hears music."""
    _command(device, call, config, as_json, EndpointClient.hold)


@calls_app.command()
def retrieve(
    device: Device, call: CallOption = None, config: ConfigFile = None, as_json: Json = False
) -> None:
    """Take a held call back."""
    _command(device, call, config, as_json, EndpointClient.retrieve)


@calls_app.command()
def transfer(
    device: Device,
    destination: Annotated[
        str | None, typer.Argument(help="Who takes the device's place, as 6002.")
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(help="Instead of a destination: another call of the device, by its name."),
    ] = None,
    call: CallOption = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Transfer a device's call; the device leaves when the other has answered."""
    if (destination is None) == (other is None):
        raise typer.BadParameter("expected a destination, or --other CALL")

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        if other is not None:
            return await client.bring_together(who, which, other)
        return await client.transfer(who, which, destination or "")

    _command(device, call, config, as_json, ask)


@calls_app.command()
def press(
    device: Device,
    digits: Annotated[str, typer.Argument(help="0-9, *, #, A-D.")],
    call: CallOption = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Send DTMF to the other end of a device's call."""
    _command(
        device,
        call,
        config,
        as_json,
        lambda client, who, which: client.press(who, which, digits),
    )


@calls_app.command()
def status(config: ConfigFile = None, as_json: Json = False) -> None:
    """Devices, registrations and calls of the endpoint that runs."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> tuple[
        wire.Health, list[wire.DeviceState], list[wire.Registration], list[wire.Call]
    ]:
        async with running_client(loaded.config) as client:
            return (
                await client.health(),
                await client.devices(),
                await client.registrations(),
                await client.calls(),
            )

    health, devices, registrations, calls = output.run(main())
    where = Table(title="Devices", title_justify="left", box=None, pad_edge=False)
    for title in ("device", "is", "reached at"):
        where.add_column(title)
    # Where it is reached goes before why it is not reached elsewhere.
    by_use = sorted(registrations, key=lambda one: one.registered)
    places = {one.device: one for one in by_use}
    for device in devices:
        place = places.get(device.device)
        at = "" if place is None else _whereabouts(place)
        state = "in a call" if device.calls else "reachable" if device.reachable else "away"
        where.add_row(device.device, state, Text(at))
    going = Table(title="Calls", title_justify="left", box=None, pad_edge=False)
    for title in ("call", "from", "to", "parties"):
        going.add_column(title)
    for call in calls:
        parties = ", ".join(f"{party.device} {party.state}" for party in call.parties)
        going.add_row(call.call, call.calling, call.called, parties)
    found = {
        "ok": health.ok,
        "health": health,
        "devices": devices,
        "registrations": registrations,
        "calls": calls,
    }
    alarms = [Text(f"! {alarm}", "bold red") for alarm in health.alarms]
    output.result(found, where, going if calls else "No calls.", *alarms)


@calls_app.command()
def trunks(config: ConfigFile = None, as_json: Json = False) -> None:
    """Trunks of the endpoint that runs, their peers, and why one takes no calls."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> list[wire.Trunk]:
        async with running_client(loaded.config) as client:
            return await client.trunks()

    found = output.run(main())
    table = Table(box=None, pad_edge=False)
    for title in ("trunk", "is", "calls", "peer", "is", "because"):
        table.add_column(title)
    for trunk in found:
        calls = (
            f"{trunk.calls}" if trunk.most_calls is None else f"{trunk.calls}/{trunk.most_calls}"
        )
        head = (trunk.trunk, "up" if trunk.up else "down", calls)
        for number, peer in enumerate(trunk.peers):
            cells = (*(head if number == 0 else ("", "", "")), peer.peer, peer.state)
            table.add_row(*cells, Text(peer.text))
    result = {"ok": all(trunk.up for trunk in found), "trunks": found}
    output.result(result, table if found else "No trunks.")


def _whereabouts(place: wire.Registration) -> str:
    if place.registered and place.server == "browser":
        return "a browser's page"
    return place.contact or place.text or place.cause


@calls_app.command()
def quality(
    device: Annotated[
        str | None, typer.Argument(help="The device of ours, as 6001; by default all calls.")
    ] = None,
    call: CallOption = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """How the parties of calls are heard and hear, and why there is no audio."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> list[wire.CallQuality]:
        async with running_client(loaded.config) as client:
            if call is not None:
                return [await client.quality(call)]
            if device is not None:
                return [await client.quality(await _only_call(client, device))]
            found = []
            for one in await client.calls():
                with suppress(RequestRefused):  # it has ended meanwhile
                    found.append(await client.quality(one.call))
            return found

    calls = output.run(main())
    shown = [drawn for one in calls for drawn in _quality(one)]
    output.result({"ok": True, "calls": calls}, *(shown or ["No calls."]))


_WELL = frozenset({"fine", "beginning", "held", "not_routed", "no_far_end"})
"""Nothing is wrong: it is meant so. The page says the same."""


def _quality(call: wire.CallQuality) -> list[RenderableType]:
    """A line for each direction of each party, and a word about what is not fine."""
    table = Table(title=f"Call {call.call}", title_justify="left", box=None, pad_edge=False)
    for title in ("device", "audio", "is", "MOS", "loss", "jitter", "level", "round trip"):
        table.add_column(title, justify="left" if title in ("device", "audio", "is") else "right")
    notes: list[RenderableType] = []
    for party in call.parties:
        for way, audio in (("from it", party.received), ("to it", party.sent)):
            if audio is None:
                table.add_row(party.device, way, Text("no network between", "dim"))
                continue
            is_fine, is_well = audio.diagnosis == "fine", audio.diagnosis in _WELL
            table.add_row(
                party.device,
                way,
                Text(audio.diagnosis.replace("_", " "), "green" if is_well else "bold red"),
                _figure(audio.mos, ""),
                _figure(audio.loss_percent, " %"),
                _figure(audio.jitter_ms, " ms"),
                _figure(audio.level_dbov, " dBov"),
                _figure(party.round_trip_ms, " ms"),
            )
            if not is_fine:
                notes.append(Text(f"{party.device}, {way}: {audio.text}"))
    ways = [
        Text(f"{party.device}: " + " · ".join(filter(None, (party.codec, party.protection))))
        for party in call.parties
        if party.codec or party.protection
    ]
    return [table, *ways, *notes]


def _figure(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.1f}{unit}"


# -- registration -----------------------------------------------------------------------------


@calls_app.command()
def register(
    device: Device,
    server: Annotated[
        str | None,
        typer.Option(
            help="wss://host/path, ws://…, sip:host; else its account in the configuration."
        ),
    ] = None,
    username: Annotated[str | None, typer.Option(help="By default the device.")] = None,
    domain: Annotated[str | None, typer.Option(help="By default the server's host.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of the CA to trust for wss.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="Holds the password.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    expires: Annotated[int | None, typer.Option(help="Seconds to ask for; 600.", min=10)] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Register, un-register, leave: a test of an account.")
    ] = False,
    wait: Wait = 30.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Register a device at an outside sipWsServer and keep it so; Ctrl-C takes it back.

    What the options say goes before what its account in the configuration says.
    """
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    if password_stdin and password_file is not None:
        raise typer.BadParameter("give one of --password-file or --password-stdin")
    password = SecretStr(sys.stdin.readline().rstrip("\r\n")) if password_stdin else None
    options = {
        "server": server,
        "username": username,
        "domain": domain,
        "ca": ca,
        "password": password,
        "password_file": password_file,
        "expires_s": expires,
    }
    account = _account(loaded, device, {key: said for key, said in options.items() if said})
    output.run(keep_registered(loaded.config, account, output, once=once, timeout_s=wait))


def _account(loaded: Loaded, device: str, said: dict[str, Any]) -> AccountSettings:
    """The device's account as configured, with what the options said put over it."""
    configured = next((one for one in loaded.config.account if one.device == device), None)
    fields: dict[str, Any] = configured.model_dump() if configured else {"device": device}
    if "password" in said or "password_file" in said:
        fields |= {"password": None, "password_file": None}
    fields |= said
    if "server" not in fields:
        raise typer.BadParameter(f"{device} has no account in the configuration; give --server")
    if not fields.get("password") and not fields.get("password_file"):
        if not sys.stdin.isatty():
            raise typer.BadParameter("give one of --password-file or --password-stdin")
        fields["password"] = SecretStr(typer.prompt("Password", hide_input=True))
    try:
        return AccountSettings.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        option = str(fault["loc"][0] if fault["loc"] else "server").removesuffix("_s")
        hint = "DEVICE" if option == "device" else f"--{option}"
        text = fault["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(text, param_hint=hint) from error


# -- inside -----------------------------------------------------------------------------------


def _command(
    device: str,
    call: str | None,
    config: Path | None,
    as_json: bool,
    ask: Callable[[EndpointClient, str, str], Awaitable[wire.Accepted]],
) -> None:
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> wire.Accepted:
        async with running_client(loaded.config) as client:
            return await ask(client, device, call or await _only_call(client, device))

    accepted = output.run(main())
    result = {"ok": True, "command": accepted.command, "call": accepted.call}
    output.result(result, Text.assemble(("✔ ", "green"), f"{accepted.command} accepted"))


async def _only_call(client: EndpointClient, device: str) -> str:
    own = [
        call.call
        for call in await client.calls()
        if any(_takes_part(party, device) for party in call.parties)
    ]
    match own:
        case [call]:
            return call
        case []:
            raise CommandFailed(ExitCode.CALL_FAILED, f"{device} is in no call")
        case several:
            raise CommandFailed(
                ExitCode.CALL_FAILED, f"{device} is in several calls: --call {' | '.join(several)}"
            )


def _takes_part(party: wire.Party, device: str) -> bool:
    return party.device == device and not party.from_outside and party.state != "null"


async def _reachable(client: EndpointClient, device: str, timeout_s: float) -> None:
    """Wait until a device is registered at an endpoint that has only just begun."""
    async with client.events() as frames:
        try:
            async with asyncio.timeout(timeout_s):
                async for frame in frames:
                    mine = [one for one in frame.devices if one.device == device]
                    if any(one.reachable for one in mine):
                        return
                    if isinstance(frame, wire.Snapshot) and not mine:
                        raise CommandFailed(
                            ExitCode.CALL_FAILED,
                            f"{device} is no device of ours: no extension, account or station",
                        )
        except TimeoutError:
            pass
    raise CommandFailed(
        ExitCode.CALL_FAILED, f"{device} did not register within {timeout_s:g} s: no phone of it"
    )


async def _ringing(frames: Frames, device: str, timeout_s: float) -> str:
    """The call that rings at a device, now or soon."""
    try:
        async with asyncio.timeout(timeout_s):
            async for frame in _told(frames):
                calls = frame.calls if isinstance(frame, wire.Snapshot) else [frame.call]
                for call in calls:
                    if call is not None and _rings(call, device):
                        return call.call
    except TimeoutError:
        pass
    raise CommandFailed(ExitCode.CALL_FAILED, f"no call rang at {device} in {timeout_s:g} s")


def _rings(call: wire.Call, device: str) -> bool:
    return any(party.device == device and "AnswerCall" in party.commands for party in call.parties)


async def _stay(
    client: EndpointClient,
    frames: Frames,
    device: str,
    story: _Story,
    output: Output,
    *,
    digits: str = "",
    duration_s: float | None = None,
    leave: bool,
) -> _Story:
    """Follow a call to its end. SIGINT, SIGTERM and the end of its duration hang up."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, lambda: limit.reschedule(loop.time()))
            async for frame in _about(frames, story, output):
                if frame.event != "Established":
                    continue
                if digits:
                    await client.press(device, story.call, digits)
                if leave:
                    return story
                if duration_s is not None:
                    limit.reschedule(loop.time() + duration_s)
    except TimeoutError:
        await client.clear(device, story.call)
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                async for _ in _about(frames, story, output):
                    pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return story


async def _about(frames: Frames, story: _Story, output: Output) -> AsyncIterator[wire.EventFrame]:
    """The events of one call, noted and shown, up to its last."""
    async for frame in _told(frames):
        if isinstance(frame, wire.EventFrame) and frame.fields.get("call") == story.call:
            story.note(frame)
            output.progress(_line(frame))
            yield frame
        if story.over:
            return


async def _told(frames: Frames) -> AsyncIterator[wire.Frame]:
    """Every frame. Raises `EndpointUnreachable` when no more can come."""
    async for frame in frames:
        yield frame
    raise EndpointUnreachable("the endpoint is gone; what became of its calls is not known")


def _line(frame: wire.EventFrame) -> Text:
    fields = frame.fields
    about = [str(fields.get("device") or "")]
    about += [str(fields[key]) for key in ("cause", "sip_status", "text") if fields.get(key)]
    return Text.assemble(
        (frame.at.astimezone().strftime("%H:%M:%S  "), "dim"),
        (f"{frame.event:<20}", "bold"),
        " · ".join(about),
    )


def _conclude(output: Output, story: _Story) -> None:
    if story.established:
        output.result({"ok": True, **story.as_json()})
        return
    why = story.outcome.get("text") or story.outcome.get("cause") or "the call was not answered"
    output.fail(CommandFailed(ExitCode.CALL_FAILED, str(why), story.as_json()))
