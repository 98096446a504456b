"""One command about a call from the command line: which call is meant, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.following import Outcome, outcome_of
from endpoint.app.options import Shared, sharing
from endpoint.app.output import CommandFailed, Json, Output, good
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.callcontrol.commands import CommandName, Rejection
from endpoint.callcontrol.transitions import NEEDS_OTHER_CALL
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire

Device = Annotated[str, typer.Argument(help="The device of ours, as 6001.")]
CallOption = Annotated[str | None, typer.Option("--call", help="Which call, if it has several.")]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait at most.", min=0.0)]


class How(NamedTuple):
    """What every command is told."""

    wait_s: float
    """How long for what comes of it."""
    config: Path | None
    as_json: bool


Ask = Callable[[EndpointClient, str, str], Awaitable[wire.Accepted]]
"""Asks for something about a device in a call."""


def with_options(*, wait_s: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of all, `--wait --config --json`: it gets them as its `how`."""
    options = {
        "wait_s": Shared(Wait, wait_s),
        "config": Shared(ConfigFile, None),
        "as_json": Shared(Json, False),
    }
    return sharing("how", options, How)


def command(
    name: CommandName,
    device: str,
    call: str | None,
    ask: Ask,
    how: How,
    *,
    beside: str | None = None,
) -> None:
    """Ask for something, and say what became of it. `beside`: it is about a call of that device."""
    output = Output(how.as_json)
    loaded = loaded_or_fail(output, how.config)

    async def main() -> tuple[wire.Accepted, Outcome]:
        async with running_client(loaded.config) as client, client.events() as frames:
            await anext(frames)
            which = call or await (
                call_with(client, beside, name, device)
                if beside
                else only_call(client, device, name)
            )
            try:
                accepted = await ask(client, device, which)
            except RequestRefused as error:
                raise await _in_plain_words(client, name, device, which, error) from error
            return accepted, await outcome_of(
                accepted, device, frames, output, timeout_s=how.wait_s
            )

    accepted, outcome = output.run(main())
    found = {"command": accepted.command, "call": accepted.call, "event": outcome.event}
    if not outcome.done:
        output.fail(CommandFailed(ExitCode.CALL_FAILED, outcome.text, found))
    output.result({"ok": True, **found}, good(outcome.text))


async def only_call(client: EndpointClient, device: str, name: CommandName | None = None) -> str:
    """The one call that a device is in, or else the one that a command can mean.

    A command about two calls means the one that is held. Raises `CommandFailed` where there is
    none, or several.
    """
    own = await _calls_of(client, device)
    if not own:
        raise CommandFailed(ExitCode.CALL_FAILED, f"{device} is in no call")
    if name is not None and len(own) > 1:
        able = {call: party for call, party in own.items() if _can_mean(name, party)}
        if not able:
            text = f"{device} can't: it is in several calls{_and_can(own.values(), name)}"
            raise CommandFailed(ExitCode.CALL_FAILED, text)
        own = able if len(able) == 1 else own
    return _only(own, device, "--call")


async def call_with(client: EndpointClient, beside: str, name: CommandName, device: str) -> str:
    """The one call where a command can be about a party; of several, that of the device itself.

    Raises `CommandFailed`, as `only_call`.
    """
    found = {
        call.call: party
        for call in await client.calls()
        for party in call.parties
        if party.device == beside and name in party.of_others
    }
    if not found:
        return await only_call(client, beside)
    own = {call: found[call] for call in await _calls_of(client, device) if call in found}
    return _only(own or found, beside, "--call")


async def party_named(client: EndpointClient, call: str, number: str) -> int:
    """The connection of a party of a call, by its number. Raises `CommandFailed`."""
    parties = (await client.call(call)).parties
    found = [each.connection for each in parties if each.device == number and each.state != "null"]
    if len(found) != 1:
        there = ", ".join(each.device for each in parties if each.state != "null")
        text = f"expected one of that call as --party: {there}; found {number} {len(found)} times"
        raise CommandFailed(ExitCode.CALL_FAILED, text)
    return found[0]


async def other_call(client: EndpointClient, device: str, call: str) -> str:
    """The one call that a device is in beside another. Raises `CommandFailed`, as `only_call`."""
    own = await _calls_of(client, device)
    rest = {other: party for other, party in own.items() if other != call}
    if not rest:
        text = f"{device} can't: it has no other call{_and_can(own.values())}"
        raise CommandFailed(ExitCode.CALL_FAILED, text)
    return _only(rest, device, "--other")


# -- inside -----------------------------------------------------------------------------------


_WORDS = {
    CommandName.ALTERNATE_CALL: "swap",
    CommandName.ANSWER_CALL: "answer",
    CommandName.CLEAR_CALL: "end",
    CommandName.CLEAR_CONNECTION: "hang-up",
    CommandName.CONFERENCE_CALL: "conference",
    CommandName.CONSULTATION_CALL: "consult",
    CommandName.ASSOCIATE_DATA: "data",
    CommandName.DEFLECT_CALL: "deflect",
    CommandName.LEND_CALL: "lend",
    CommandName.GENERATE_DIGITS: "press",
    CommandName.HOLD_CALL: "hold",
    CommandName.PARK_CALL: "park",
    CommandName.RECONNECT_CALL: "reconnect",
    CommandName.RETRIEVE_CALL: "retrieve",
    CommandName.SET_MICROPHONE_MUTE: "mute",
    CommandName.START_RECORDING: "record",
    CommandName.PAUSE_RECORDING: "record pause",
    CommandName.RESUME_RECORDING: "record resume",
    CommandName.STOP_RECORDING: "record stop",
    CommandName.SINGLE_STEP_CONFERENCE: "add",
    CommandName.SINGLE_STEP_TRANSFER: "transfer",
    CommandName.TRANSFER_CALL: "transfer",
}
"""Commands of call control that are commands here."""


async def _calls_of(client: EndpointClient, device: str) -> dict[str, wire.Party]:
    """What a device is to each call that it takes part in."""
    return {
        call.call: party
        for call in await client.calls()
        for party in call.parties
        if party.device == device and not party.from_outside and party.state != "null"
    }


def _only(calls: dict[str, wire.Party], device: str, option: str) -> str:
    match list(calls):
        case [call]:
            return call
        case several:
            names = " | ".join(several)
            raise CommandFailed(
                ExitCode.CALL_FAILED, f"{device} is in several calls: {option} {names}"
            )


def _can_mean(name: CommandName, party: wire.Party) -> bool:
    return name in party.commands and (name not in NEEDS_OTHER_CALL or party.state == "hold")


def _and_can(parties: Iterable[wire.Party], refused: CommandName | None = None) -> str:
    """What it can do instead."""
    able = {name for party in parties for name in party.commands}
    words = {word for name, word in _WORDS.items() if name in able}
    words -= {_WORDS[refused]} if refused in _WORDS else set()
    return f", and can {', '.join(sorted(words))}" if words else ""


async def _in_plain_words(
    client: EndpointClient, name: CommandName, device: str, call: str, error: RequestRefused
) -> Exception:
    """What a device can do instead, where what it is to its calls is in the way."""
    own = await _calls_of(client, device)
    match error.reason:
        case Rejection.DEVICE_BUSY if own:
            why = "it is in another call"
        case Rejection.AMBIGUOUS_CALL if len(own) == 1:
            why = "it has no other call"
        case Rejection.NOT_ESTABLISHED if call not in own:
            why = "nobody talks in that call"
        case Rejection.NOT_ESTABLISHED if name in NEEDS_OTHER_CALL:
            why = "nobody has answered its other call"
        case Rejection.INVALID_STATE | Rejection.NOT_ESTABLISHED if call in own:
            why = f"to this call it is {own[call].state!r}"
            own = {call: own[call]}
        case _:
            return error
    text = f"{device} can't: {why}{_and_can(own.values(), name)}"
    return CommandFailed(ExitCode.CALL_FAILED, text, {"reason": error.reason})
