"""Commands about a call of one device: `dial`, `answer`, `hang-up`, `hold` and the like."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer

from endpoint.app.asking import CallOption, Device, How, Wait, command, party_named, with_options
from endpoint.app.context import ConfigFile, running_or_own
from endpoint.app.exitcodes import ExitCode
from endpoint.app.following import Story, about, told
from endpoint.app.output import CommandFailed, Json, Output, ending_signals
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.callcontrol.commands import CommandName
from endpoint.client.client import EndpointClient, Frames
from endpoint.gateways.native import messages as wire

calls_app = typer.Typer()

Duration = Annotated[
    float | None,
    typer.Option("--duration", help="Hang up so many seconds after the answer.", min=0.0),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Leave when it is answered; the call goes on in `serve`.")
]

FAREWELL_S = 10.0
"""How long a call that we hang up may take to end."""


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
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="KEY=TEXT", help="Data that follows the call; repeatable."),
    ] = None,
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
    _check_digits(digits, "--digits", fewest=0)
    texts = _parsed(data or [], "--data")
    loaded = loaded_or_fail(output, config)

    async def main() -> Story:
        async with running_or_own(loaded) as (client, started):
            if started:
                await _ready_to_dial(client, device, wait)
            async with client.events() as frames:
                await anext(frames)
                accepted = await client.make_call(
                    device, destination, calling_number=show, withhold=withhold, data=texts
                )
                story = Story(accepted.call, {device})
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

    async def main() -> Story:
        async with running_or_own(loaded) as (client, started), client.events() as frames:
            call = await _ringing(frames, device, wait)
            await client.answer(device, call)
            story, leave = Story(call, {device}), detach and not started
            return await _stay(
                client, frames, device, story, output, duration_s=duration, leave=leave
            )

    _conclude(output, output.run(main()))


@calls_app.command("hang-up")
@with_options(wait_s=10.0)
def hang_up(
    how: How,
    device: Device,
    call: CallOption = None,
    party: Annotated[
        str | None,
        typer.Option("--party", help="Drop this one instead: its number, also of one outside."),
    ] = None,
) -> None:
    """Take a device out of its call, or another party that it talks with or supervises."""

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        named = None if party is None else await party_named(client, which, party)
        return await client.clear(who, which, named)

    command(CommandName.CLEAR_CONNECTION, device, call, ask, how, beside=party)


@calls_app.command()
@with_options(wait_s=10.0)
def data(
    how: How,
    device: Device,
    texts: Annotated[
        list[str], typer.Argument(metavar="KEY=TEXT…", help="As order=4711; order= takes it away.")
    ],
    call: CallOption = None,
) -> None:
    """Give a device's call data that follows it, as to whom it is transferred."""
    given = _parsed(texts, "KEY=TEXT")

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await client.give_data(who, which, given)

    command(CommandName.ASSOCIATE_DATA, device, call, ask, how)


@calls_app.command()
@with_options(wait_s=10.0)
def hold(how: How, device: Device, call: CallOption = None) -> None:
    """Put a device's call aside; the other end hears music."""
    command(CommandName.HOLD_CALL, device, call, EndpointClient.hold, how)


@calls_app.command()
@with_options(wait_s=10.0)
def retrieve(how: How, device: Device, call: CallOption = None) -> None:
    """Take a held call back."""
    command(CommandName.RETRIEVE_CALL, device, call, EndpointClient.retrieve, how)


@calls_app.command()
@with_options(wait_s=30.0)
def press(
    how: How,
    device: Device,
    digits: Annotated[str, typer.Argument(help="0-9, *, #, A-D.")],
    call: CallOption = None,
) -> None:
    """Send DTMF to the other end of a device's call."""
    _check_digits(digits, "DIGITS", fewest=1)

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await client.press(who, which, digits)

    command(CommandName.GENERATE_DIGITS, device, call, ask, how)


@calls_app.command()
@with_options(wait_s=10.0)
def mute(how: How, device: Device, call: CallOption = None) -> None:
    """Let nobody in its call hear a device; it hears as before."""
    _mute(device, call, how, muted=True)


@calls_app.command()
@with_options(wait_s=10.0)
def unmute(how: How, device: Device, call: CallOption = None) -> None:
    """Let a device be heard again."""
    _mute(device, call, how, muted=False)


@calls_app.command()
@with_options(wait_s=10.0)
def end(how: How, device: Device, call: CallOption = None) -> None:
    """End a device's call for everybody in it."""
    command(CommandName.CLEAR_CALL, device, call, EndpointClient.end, how)


class Recorder(StrEnum):
    """What is done about the recording of a call."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


_RECORDER = {
    Recorder.START: (CommandName.START_RECORDING, EndpointClient.record),
    Recorder.PAUSE: (CommandName.PAUSE_RECORDING, EndpointClient.pause_recording),
    Recorder.RESUME: (CommandName.RESUME_RECORDING, EndpointClient.resume_recording),
    Recorder.STOP: (CommandName.STOP_RECORDING, EndpointClient.stop_recording),
}


@calls_app.command()
@with_options(wait_s=10.0)
def record(
    how: How,
    device: Device,
    what: Annotated[
        Recorder, typer.Argument(help="A pause is silence of the same length.")
    ] = Recorder.START,
    call: CallOption = None,
) -> None:
    """Record a device's call: customers on the left, agents on the right."""
    name, ask = _RECORDER[what]
    command(name, device, call, ask, how)


# -- inside -----------------------------------------------------------------------------------


def _check_digits(digits: str, hint: str, *, fewest: int) -> None:
    if not re.fullmatch(f"[0-9*#A-D]{{{fewest},64}}", digits):
        text = f"expected {fewest} to 64 of 0-9, *, #, A-D"
        raise typer.BadParameter(text, param_hint=hint)


def _parsed(texts: list[str], hint: str) -> dict[str, str]:
    """`KEY=TEXT` of the command line; what a key may be is said by the endpoint."""
    found = dict[str, str]()
    for each in texts:
        key, equals, text = each.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"found {each!r}, expected as order=4711", param_hint=hint)
        found[key] = text
    return found


def _mute(device: str, call: str | None, how: How, *, muted: bool) -> None:
    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await client.mute(who, which, muted=muted)

    command(CommandName.SET_MICROPHONE_MUTE, device, call, ask, how)


async def _ready_to_dial(client: EndpointClient, device: str, timeout_s: float) -> None:
    """Wait at an endpoint that has only just begun until a device has its phone and its line.

    Of a line that does not come the call itself says why.
    """
    reachable = False
    with suppress(TimeoutError):
        async with client.events() as frames, asyncio.timeout(timeout_s):
            async for _ in told(frames):
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
            async for frame in told(frames):
                if isinstance(frame, wire.CredentialsExpiring):
                    continue
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
    story: Story,
    output: Output,
    *,
    digits: str = "",
    duration_s: float | None = None,
    leave: bool,
) -> Story:
    """Follow a call to its end. What ends a command, and the end of its duration hang up."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            for number in ending_signals():
                loop.add_signal_handler(number, lambda: limit.reschedule(loop.time()))
            async for frame in about(frames, story, output):
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
                async for _ in about(frames, story, output):
                    pass
    finally:
        for number in ending_signals():
            loop.remove_signal_handler(number)
    return story


def _conclude(output: Output, story: Story) -> None:
    if story.established:
        output.result({"ok": True, **story.as_json()})
        return
    why = story.outcome.get("text") or story.outcome.get("cause") or "the call was not answered"
    output.fail(CommandFailed(ExitCode.CALL_FAILED, str(why), story.as_json()))
