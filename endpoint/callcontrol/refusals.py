"""Refusals of commands: a stable word, and a text that names device, call, state and what to do."""

from __future__ import annotations

from endpoint.callcontrol.commands import Command, CommandName, Rejection
from endpoint.callcontrol.dialstring import DialString, parse_dial_string
from endpoint.callcontrol.model import Call, Connection
from endpoint.callcontrol.transitions import ALLOWED, allowed_for
from endpoint.errors import CommandRejected, DialStringError


def refused(reason: str, command: Command, why: str) -> CommandRejected:
    """A refusal; `reason` is a `Rejection`, or the reason of a `DialStringError`."""
    return CommandRejected(str(reason), f"{command.name} by {command.device}: {why}")


def dial_string_of(command: Command, destination: str) -> DialString:
    """What a command dials. Raises CommandRejected."""
    try:
        return parse_dial_string(destination)
    except DialStringError as error:
        raise refused(error.reason, command, str(error)) from error


def check_not_transferred(command: Command, call: Call) -> None:
    """Let nobody else come in, or take a place, while somebody is about to take one.

    Raises: CommandRejected.
    """
    if call.transfer is not None:
        why = f"call {call.id} is being transferred to {call.transfer.to}"
        raise refused(Rejection.TRANSFERRING, command, why)


def check_allowed(command: Command, call: Call, connection: Connection) -> None:
    """Let a command pass if the table allows it.

    Raises: CommandRejected.
    """
    allowed = allowed_for(call, connection)
    if command.name in allowed:
        return
    state = f"{connection.number} is {connection.state} in call {call.id}"
    may = f"allowed now: {', '.join(sorted(allowed)) or 'nothing'}"
    if command.name is CommandName.MAKE_CALL:
        raise refused(Rejection.DEVICE_BUSY, command, f"{state}; {may}")
    waits = connection.is_live and not call.is_established
    if waits and command.name in ALLOWED[connection.state]:
        raise refused(
            Rejection.NOT_ESTABLISHED, command, f"{state} that nobody answered yet; {may}"
        )
    raise refused(Rejection.INVALID_STATE, command, f"{state}; {may}")
