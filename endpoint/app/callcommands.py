"""Commands that drive calls: `dial`, `answer`, `hang-up`, `hold` and the like."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client, running_or_own
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.client.client import EndpointClient, Frames
from endpoint.client.errors import EndpointUnreachable
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
                await _ready_to_dial(client, device, wait)
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
            return await ask(client, device, call or await only_call(client, device))

    accepted = output.run(main())
    result = {"ok": True, "command": accepted.command, "call": accepted.call}
    output.result(result, Text.assemble(("✔ ", "green"), f"{accepted.command} accepted"))


async def only_call(client: EndpointClient, device: str) -> str:
    """The one call that a device is in. Raises `CommandFailed` where it is in none, or several."""
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


async def _ready_to_dial(client: EndpointClient, device: str, timeout_s: float) -> None:
    """Wait at an endpoint that has only just begun until a device has its phone and its line.

    Of a line that does not come the call itself says why.
    """
    reachable = False
    with suppress(TimeoutError):
        async with client.events() as frames, asyncio.timeout(timeout_s):
            async for _ in _told(frames):
                devices = await client.devices()
                mine = next((one for one in devices if one.device == device), None)
                if mine is None:
                    raise CommandFailed(
                        ExitCode.CALL_FAILED,
                        f"{device} is no device of ours: no extension, account or station",
                    )
                reachable = mine.reachable
                if reachable and await _is_line_decided(client, mine):
                    return
    if not reachable:
        raise CommandFailed(
            ExitCode.CALL_FAILED,
            f"{device} did not register within {timeout_s:g} s: no phone of it",
        )


async def _is_line_decided(client: EndpointClient, device: wire.DeviceState) -> bool:
    """Whether the device's account, or else each trunk's, is registered or was refused."""
    if "account" in device.kinds:
        known = await client.registrations()
        return any(
            one.device == device.device and one.server not in ("", "browser") for one in known
        )
    return not any(
        peer.state == "unknown"
        for trunk in await client.trunks()
        if not trunk.up
        for peer in trunk.peers
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
