"""Commands that drive calls: `dial`, `answer`, `hang-up`, `hold` and the like."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client, running_or_own
from endpoint.app.exitcodes import ExitCode
from endpoint.app.following import Outcome, Story, about, outcome_of, told
from endpoint.app.output import CommandFailed, Json, Output
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.client.client import EndpointClient, Frames
from endpoint.client.errors import RequestRefused
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
    _check_digits(digits, "--digits", fewest=0)
    loaded = loaded_or_fail(output, config)

    async def main() -> Story:
        async with running_or_own(loaded) as (client, started):
            if started:
                await _ready_to_dial(client, device, wait)
            async with client.events() as frames:
                await anext(frames)
                accepted = await client.make_call(
                    device, destination, calling_number=show, withhold=withhold
                )
                story = Story(accepted.call)
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
            story, leave = Story(call), detach and not started
            return await _stay(
                client, frames, device, story, output, duration_s=duration, leave=leave
            )

    _conclude(output, output.run(main()))


@calls_app.command("hang-up")
def hang_up(
    device: Device,
    call: CallOption = None,
    wait: Wait = 10.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Take a device out of its call."""
    _command(device, call, config, as_json, EndpointClient.clear, wait)


@calls_app.command()
def hold(
    device: Device,
    call: CallOption = None,
    wait: Wait = 10.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Put a device's call aside; the other end hears music."""
    _command(device, call, config, as_json, EndpointClient.hold, wait)


@calls_app.command()
def retrieve(
    device: Device,
    call: CallOption = None,
    wait: Wait = 10.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Take a held call back."""
    _command(device, call, config, as_json, EndpointClient.retrieve, wait)


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
    wait: Wait = 90.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Transfer a device's call; the device leaves when the other has answered.

    Waits until it has, or does not. Ctrl-C waits no longer; the transfer goes on.
    """
    if (destination is None) == (other is None):
        raise typer.BadParameter("expected a destination, or --other CALL")

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        if other is not None:
            return await client.bring_together(who, which, other)
        return await client.transfer(who, which, destination or "")

    _command(device, call, config, as_json, ask, wait)


@calls_app.command()
def press(
    device: Device,
    digits: Annotated[str, typer.Argument(help="0-9, *, #, A-D.")],
    call: CallOption = None,
    wait: Wait = 30.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Send DTMF to the other end of a device's call."""
    _check_digits(digits, "DIGITS", fewest=1)
    _command(
        device,
        call,
        config,
        as_json,
        lambda client, who, which: client.press(who, which, digits),
        wait,
    )


# -- inside -----------------------------------------------------------------------------------


def _check_digits(digits: str, hint: str, *, fewest: int) -> None:
    if not re.fullmatch(f"[0-9*#A-D]{{{fewest},64}}", digits):
        text = f"expected {fewest} to 64 of 0-9, *, #, A-D"
        raise typer.BadParameter(text, param_hint=hint)


def _command(
    device: str,
    call: str | None,
    config: Path | None,
    as_json: bool,
    ask: Callable[[EndpointClient, str, str], Awaitable[wire.Accepted]],
    wait_s: float,
) -> None:
    """Ask for something, and say what became of it."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> tuple[wire.Accepted, Outcome]:
        async with running_client(loaded.config) as client, client.events() as frames:
            await anext(frames)
            which = call or await only_call(client, device)
            try:
                accepted = await ask(client, device, which)
            except RequestRefused as error:
                raise await _in_plain_words(client, device, which, error) from error
            return accepted, await outcome_of(accepted, device, frames, output, timeout_s=wait_s)

    accepted, outcome = output.run(main())
    found = {"command": accepted.command, "call": accepted.call, "event": outcome.event}
    if not outcome.done:
        output.fail(CommandFailed(ExitCode.CALL_FAILED, outcome.text, found))
    output.result({"ok": True, **found}, Text.assemble(("✔ ", "green"), outcome.text))


_WORDS = {
    "AnswerCall": "answer",
    "ClearConnection": "hang-up",
    "GenerateDigits": "press",
    "HoldCall": "hold",
    "RetrieveCall": "retrieve",
    "SingleStepTransfer": "transfer",
}
"""Commands of call control that are commands here."""


async def _in_plain_words(
    client: EndpointClient, device: str, call: str, error: RequestRefused
) -> Exception:
    """What a device can do instead, where what it is to the call is in the way."""
    if error.reason not in ("invalid_state", "not_established"):
        return error
    try:
        parties = (await client.call(call)).parties
    except RequestRefused:  # it is over by now
        return error
    for party in parties:
        if _takes_part(party, device):
            able = [word for name, word in _WORDS.items() if name in party.commands]
            text = f"{device} can't: to this call it is {party.state!r}"
            text += f", and can {', '.join(able)}" if able else ""
            return CommandFailed(ExitCode.CALL_FAILED, text, {"reason": error.reason})
    return error


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
    """Follow a call to its end. SIGINT, SIGTERM and the end of its duration hang up."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            for number in (signal.SIGINT, signal.SIGTERM):
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
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return story


def _conclude(output: Output, story: Story) -> None:
    if story.established:
        output.result({"ok": True, **story.as_json()})
        return
    why = story.outcome.get("text") or story.outcome.get("cause") or "the call was not answered"
    output.fail(CommandFailed(ExitCode.CALL_FAILED, str(why), story.as_json()))
