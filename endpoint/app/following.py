"""What becomes of calls and commands, by the events that tell it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Output
from endpoint.app.words import in_words, why
from endpoint.callcontrol.commands import CommandName
from endpoint.client.client import Frames
from endpoint.client.errors import EndpointUnreachable
from endpoint.gateways.native import messages as wire

OUT_OF_IT = ("null", "fail")
"""States of a party that has left the call, or did not come into it."""
SOUND = ("SoundDeviceLost", "SoundDeviceReturned")


@dataclass(slots=True)
class Story:
    """What became of one call, as its events told it."""

    call: str
    devices: set[str] = field(default_factory=set)
    """Those of ours that have had part in it: how their sound devices are belongs to it."""
    established: bool = False
    over: bool = False
    outcome: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def note(self, frame: wire.EventFrame) -> None:
        """Take an event in."""
        self.events.append(frame.event)
        if not frame.fields["from_outside"]:
            self.devices.add(str(frame.fields["device"]))
        if frame.event == "Established":
            self.established = True
        elif frame.event == "CallCleared":
            self.over = True
            kept = ("cause", "sip_status", "q850", "released_by", "text")
            self.outcome = {key: frame.fields.get(key) for key in kept}

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "call": self.call,
            "established": self.established,
            "events": self.events,
            **self.outcome,
        }


async def about(frames: Frames, story: Story, output: Output) -> AsyncIterator[wire.EventFrame]:
    """The events of one call, noted and shown, up to its last."""
    async for frame in told(frames):
        if not isinstance(frame, wire.EventFrame):
            continue
        if frame.fields.get("call") == story.call:
            story.note(frame)
            output.progress(_line(frame))
            yield frame
        elif frame.event in SOUND and frame.fields["device"] in story.devices:
            output.progress(_line(frame))
        if story.over:
            return


async def told(frames: Frames) -> AsyncIterator[wire.Frame]:
    """Every frame. Raises `EndpointUnreachable` when no more can come."""
    async for frame in frames:
        yield frame
    raise EndpointUnreachable("the endpoint is gone; what became of its calls is not known")


def _line(frame: wire.EventFrame) -> Text:
    at = frame.at.astimezone().strftime("%H:%M:%S  ")
    return Text.assemble((at, "dim"), in_words(frame.event, frame.fields))


# -- one command ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    done: bool
    text: str
    """In plain words."""
    event: str = ""
    """That told it."""


async def outcome_of(
    accepted: wire.Accepted, device: str, frames: Frames, output: Output, *, timeout_s: float
) -> Outcome:
    """Wait for the event that says what became of a command.

    Raises `CommandFailed` where none does in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            async for frame in told(frames):
                if isinstance(frame, wire.EventFrame) and frame.fields.get("call") == accepted.call:
                    found = decided(accepted.command, device, frame)
                    if found is not None:
                        return found
                    if meanwhile := _meanwhile(accepted.command, frame):
                        output.progress(meanwhile)
    except TimeoutError:
        pass
    raise CommandFailed(
        ExitCode.CALL_FAILED,
        f"nothing has come of it in {timeout_s:g} s; it goes on: agent-endpoint status",
        {"command": accepted.command, "call": accepted.call},
    )


def decided(command: str, device: str, frame: wire.EventFrame) -> Outcome | None:
    """What an event of its call says became of a device's command; None: nothing yet."""
    if (text := _done(command, device, frame)) is not None:
        return Outcome(True, text, frame.event)
    if (text := _in_vain(command, device, frame)) is not None:
        return Outcome(False, text, frame.event)
    return None


def _is_own(device: str, frame: wire.EventFrame) -> bool:
    return frame.fields["device"] == device and not frame.fields["from_outside"]


def _done(command: str, device: str, frame: wire.EventFrame) -> str | None:
    """The words of an event that says that it is done."""
    event, fields = frame.event, frame.fields
    about, is_own = str(fields["device"]), _is_own(device, frame)
    talks = f"{device} talks with {_others(frame, device)}"
    match command, event:
        case CommandName.RECONNECT_CALL, "Retrieved":  # also by whom it has lent
            return f"{talks} again"
        case CommandName.HOLD_CALL, "Held" if is_own:
            return f"{device} holds its call with {_others(frame, device)}"
        case CommandName.RETRIEVE_CALL, "Retrieved" if is_own:
            return f"{talks} again"
        case CommandName.ALTERNATE_CALL, "Retrieved" if is_own:
            return f"{talks} again, and holds its other call"
        case CommandName.CONSULTATION_CALL, "Established":
            return f"{talks}, and holds its other call"
        case CommandName.LEND_CALL, "Established":
            others = _others(frame, about)
            return f"{others} talks with {about}, and {device} has it back afterwards"
        case CommandName.CONFERENCE_CALL, "Conferenced" if is_own:
            return talks
        case CommandName.SINGLE_STEP_CONFERENCE, "Joined" if fields["beside"] == device:
            return f"{about} has come into the call of {device}"
        case CommandName.JOIN_CALL, "Joined" if is_own:
            return _joined(device, frame)
        case CommandName.DEFLECT_CALL, "Established":
            return f"{about} has taken the call"
        case CommandName.SET_MICROPHONE_MUTE, "MicrophoneMute" if is_own:
            return f"nobody hears {device}" if fields["muted"] else f"{device} is heard"
        case (
            (CommandName.START_RECORDING, "RecordingStarted")
            | (CommandName.PAUSE_RECORDING, "RecordingPaused")
            | (CommandName.RESUME_RECORDING, "RecordingResumed")
            | (CommandName.STOP_RECORDING, "RecordingStopped")
        ):
            return f"{in_words(event, fields)} ({fields['recording']})"
        case CommandName.GENERATE_DIGITS, "DigitsGenerated":
            return in_words(event, fields)
        case ((CommandName.SINGLE_STEP_TRANSFER | CommandName.TRANSFER_CALL), "Transferred"):
            return f"{fields['transferred_to']} has taken the place of {device}"
        case CommandName.INTERCEPT_CALL, "Transferred":
            return f"{device} has taken the place of {about}"
        case CommandName.INTERCEPT_CALL, "ConnectionCleared" if (
            fields["releasing_device"] == device and not is_own
        ):  # it was in the call already
            return f"{device} has taken the place of {about}"
        case CommandName.CLEAR_CONNECTION, "ConnectionCleared" | "Failed" if (
            is_own or fields["releasing_device"] == device
        ):
            return f"{about} has left the call"
        case CommandName.PARK_CALL, "Queued":
            return f"the call waits at {about}"
        case CommandName.DIRECTED_PICKUP_CALL, "Established" if is_own:
            return talks
        case CommandName.ASSOCIATE_DATA, "CallInformation":
            carried = ", ".join(f"{key}={text}" for key, text in fields["data"].items())
            return f"the call carries {carried or 'no data'}"
        case ((CommandName.CLEAR_CONNECTION | CommandName.CLEAR_CALL), "CallCleared"):
            return "the call is over"
        case _:
            return None


def _in_vain(command: str, device: str, frame: wire.EventFrame) -> str | None:
    """The words of an event that says that nothing comes of it."""
    event, fields = frame.event, frame.fields
    about, is_own = str(fields["device"]), _is_own(device, frame)
    match command, event:
        case (
            (CommandName.START_RECORDING, "RecordingFailed")
            | (CommandName.GENERATE_DIGITS, "DigitsFailed")
            | (
                CommandName.SINGLE_STEP_TRANSFER
                | CommandName.TRANSFER_CALL
                | CommandName.INTERCEPT_CALL,
                "TransferFailed",
            )
        ):
            return in_words(event, fields)
        case (
            (
                CommandName.CONSULTATION_CALL
                | CommandName.DEFLECT_CALL
                | CommandName.LEND_CALL
                | CommandName.SINGLE_STEP_CONFERENCE
            ),
            "Failed",
        ) if not is_own:
            return f"{about} did not take the call: {why(fields)}"
        case CommandName.JOIN_CALL, "Failed" | "ConnectionCleared" if is_own:
            return f"{device} did not come into the call: {why(fields)}"
        case CommandName.DIRECTED_PICKUP_CALL, "Failed" | "ConnectionCleared" if is_own:
            return f"{device} did not get the call: {why(fields)}"
        case _, "CallCleared":
            return f"the call ended meanwhile: {why(fields)}"
        case _:
            return None


def _joined(device: str, frame: wire.EventFrame) -> str:
    """Whom a supervisor hears, and who hears it."""
    match frame.fields["participation"]:
        case "silent":
            return f"{device} listens to {_others(frame, device)}; nobody hears it"
        case "whisper":
            beside = frame.fields["beside"]
            return f"{device} listens to {_others(frame, device)}; {beside} alone hears it"
        case _:
            return f"{device} talks with {_others(frame, device)}"


def _others(frame: wire.EventFrame, device: str) -> str:
    parties = frame.call.parties if frame.call is not None else []
    others = [
        party.device
        for party in parties
        if party.state not in OUT_OF_IT and (party.device != device or party.from_outside)
    ]
    return ", ".join(others) or "nobody"


def _meanwhile(command: str, frame: wire.EventFrame) -> str:
    """What a person who waits for somebody to answer wants to know; else nothing."""
    match frame.event:
        case "Transferring" if command != CommandName.TRANSFER_CALL:  # who is there already
            return f"{frame.fields['transferred_to']} is being called"
        case "Delivered":
            return f"{frame.fields['device']} rings"
        case _:
            return ""
