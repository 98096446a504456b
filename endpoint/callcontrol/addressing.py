"""Which call a command means, where it does not name it, and whose interaction that is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from endpoint.callcontrol.commands import (
    CallCommand,
    CommandOfOthers,
    DirectedPickupCall,
    PairCommand,
    ReconnectCall,
    Rejection,
    SupervisionCommand,
)
from endpoint.callcontrol.model import Call, CallId, Connection, ConnectionState, Interaction
from endpoint.callcontrol.pickup import to_be_had
from endpoint.callcontrol.refusals import refused
from endpoint.callcontrol.transitions import allowed_for
from endpoint.callcontrol.whereabouts import Whereabouts
from endpoint.legs.base import DeviceId, InteractionId


def addressed(
    command: CallCommand, whereabouts: Whereabouts, living: Iterable[Interaction]
) -> tuple[InteractionId, CallCommand]:
    """Whose command it is, and the command with its calls named. `living`: all interactions.

    Raises: CommandRejected.
    """
    if isinstance(command, PairCommand):
        command = _with_both(command, whereabouts)
    interaction, call = _find(command, whereabouts, living)
    return interaction, replace(command, call=call)


def _find(
    command: CallCommand, whereabouts: Whereabouts, living: Iterable[Interaction]
) -> tuple[InteractionId, CallId]:
    if command.call is not None:
        if (found := whereabouts.call(command.call)) is not None:
            return found[0].id, command.call
        raise refused(Rejection.UNKNOWN_CALL, command, f"there is no call {command.call}")
    device = command.beside if isinstance(command, CommandOfOthers) else command.device
    own = list(whereabouts.connections_of(device))
    if isinstance(command, DirectedPickupCall):
        own = list(_to_be_had_at(device, living)) or own
    if not own:
        why = f"{device} is in no call"
        if device == command.device:
            why += "; allowed now: MakeCall"
        raise refused(Rejection.UNKNOWN_CALL, command, why)
    if len(own) > 1:
        able = [each for each in own if _could_mean(command, *each[1:])]
        own = able if len(able) == 1 else own
    if len(own) > 1:
        calls = ", ".join(f"{call.id} ({each.state})" for _, call, each in own)
        why = f"{device} is in several calls; name one of {calls}"
        raise refused(Rejection.AMBIGUOUS_CALL, command, why)
    ((interaction, call, _),) = own
    return interaction.id, call.id


def _to_be_had_at(
    device: DeviceId, living: Iterable[Interaction]
) -> Iterator[tuple[Interaction, Call, Connection]]:
    for interaction in living:
        for call in interaction.calls:
            connection = to_be_had(call, device)
            if connection is not None:
                yield interaction, call, connection


def _could_mean(command: CallCommand, call: Call, connection: Connection) -> bool:
    """Whether a command that names no call could be about this one."""
    if isinstance(command, SupervisionCommand):
        return connection.state is ConnectionState.CONNECTED
    return command.name in allowed_for(call, connection)


def _with_both(command: PairCommand, whereabouts: Whereabouts) -> PairCommand:
    """A command about two calls with both of them named."""
    own = list(whereabouts.connections_of(command.device))
    ids = {call.id for _, call, _ in own}
    call, other = command.call, command.other
    if isinstance(command, ReconnectCall) and other is None:
        lent = [
            each
            for _, each, mine in own
            if each.away is not None and mine.held_for != each.away and call in (None, each.id)
        ]
        if len(lent) == 1:
            return replace(command, call=lent[0].id, other=lent[0].away)
    if call is None:
        held = [
            call.id
            for _, call, each in own
            if each.state is ConnectionState.HOLD and call.id != other
        ]
        if len(held) != 1:
            why = f"{command.device} holds {len(held)} calls; name the one that goes on"
            raise refused(Rejection.AMBIGUOUS_CALL, command, why)
        (call,) = held
    if other is None:
        rest = ids - {call}
        if len(rest) != 1:
            why = f"{command.device} is in {len(rest)} other calls; it takes one, or its name"
            raise refused(Rejection.AMBIGUOUS_CALL, command, why)
        (other,) = rest
    return replace(command, call=call, other=other)
