"""The table of call control: what a device may do in each state of its connection.

Theory: a command is about one connection, and the connection's state decides (ECMA-269 §6.1.5). A
command that is not in the row of the state is refused. Hold, digits and transfers also need
somebody at the other end: while the far party still rings, the caller is `connected` and can only
give up. The buttons that a client may show are derived from here, never kept beside it.
"""

from __future__ import annotations

from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.model import Call, Connection, ConnectionState, Participation

ALLOWED: dict[ConnectionState, frozenset[CommandName]] = {
    ConnectionState.NULL: frozenset({CommandName.MAKE_CALL}),
    ConnectionState.INITIATED: frozenset(
        {CommandName.ASSOCIATE_DATA, CommandName.CLEAR_CONNECTION}
    ),
    ConnectionState.ALERTING: frozenset(
        {
            CommandName.ANSWER_CALL,
            CommandName.ASSOCIATE_DATA,
            CommandName.CLEAR_CONNECTION,
            CommandName.DEFLECT_CALL,
        }
    ),
    ConnectionState.CONNECTED: frozenset(
        {
            CommandName.HOLD_CALL,
            CommandName.GENERATE_DIGITS,
            CommandName.ASSOCIATE_DATA,
            CommandName.CLEAR_CONNECTION,
            CommandName.CLEAR_CALL,
            CommandName.CONSULTATION_CALL,
            CommandName.LEND_CALL,
            CommandName.PARK_CALL,
            CommandName.SET_MICROPHONE_MUTE,
            CommandName.SINGLE_STEP_CONFERENCE,
            CommandName.SINGLE_STEP_TRANSFER,
            CommandName.TRANSFER_CALL,
            CommandName.START_RECORDING,
            CommandName.PAUSE_RECORDING,
            CommandName.RESUME_RECORDING,
            CommandName.STOP_RECORDING,
        }
    ),
    ConnectionState.HOLD: frozenset(
        {
            CommandName.RETRIEVE_CALL,
            CommandName.ASSOCIATE_DATA,
            CommandName.CLEAR_CONNECTION,
            CommandName.CLEAR_CALL,
            CommandName.CONSULTATION_CALL,
            CommandName.PARK_CALL,
            CommandName.ALTERNATE_CALL,
            CommandName.RECONNECT_CALL,
            CommandName.CONFERENCE_CALL,
            CommandName.SET_MICROPHONE_MUTE,
            CommandName.SINGLE_STEP_CONFERENCE,
            CommandName.SINGLE_STEP_TRANSFER,
            CommandName.TRANSFER_CALL,
            CommandName.START_RECORDING,
            CommandName.PAUSE_RECORDING,
            CommandName.RESUME_RECORDING,
            CommandName.STOP_RECORDING,
        }
    ),
    ConnectionState.QUEUED: frozenset({CommandName.CLEAR_CONNECTION}),
    ConnectionState.FAIL: frozenset(),
}
"""For each state, the commands that it allows. A missing entry is a refusal."""

NEEDS_ESTABLISHED = frozenset(
    {
        CommandName.HOLD_CALL,
        CommandName.GENERATE_DIGITS,
        CommandName.CONSULTATION_CALL,
        CommandName.LEND_CALL,
        CommandName.PARK_CALL,
        CommandName.ALTERNATE_CALL,
        CommandName.CONFERENCE_CALL,
        CommandName.SINGLE_STEP_CONFERENCE,
        CommandName.SINGLE_STEP_TRANSFER,
        CommandName.TRANSFER_CALL,
        CommandName.START_RECORDING,
        CommandName.PAUSE_RECORDING,
        CommandName.RESUME_RECORDING,
        CommandName.STOP_RECORDING,
    }
)
"""Commands that also need an established call."""
ENDS = frozenset({CommandName.CLEAR_CONNECTION, CommandName.CLEAR_CALL})
"""All that can be done in a call that has failed, while its caller hears so."""
OF_SUPERVISORS = frozenset(
    {
        CommandName.ANSWER_CALL,
        CommandName.CLEAR_CONNECTION,
        CommandName.SET_MICROPHONE_MUTE,
        CommandName.START_RECORDING,
        CommandName.PAUSE_RECORDING,
        CommandName.RESUME_RECORDING,
        CommandName.STOP_RECORDING,
    }
)
"""All that one who only listens or whispers may do in its call: it is no party of it."""
OF_LENDERS = frozenset({CommandName.RECONNECT_CALL})
"""What can be done besides in a call whose other party is lent to another one."""
OF_OTHERS = frozenset(
    {CommandName.JOIN_CALL, CommandName.INTERCEPT_CALL, CommandName.DIRECTED_PICKUP_CALL}
)
"""Commands about a call of another device, whose state decides (`supervision.py`, `pickup.py`)."""
TALKS = (ConnectionState.CONNECTED, ConnectionState.HOLD)
"""Whoever is so in an established call can be supervised."""
TO_BE_HAD = (ConnectionState.ALERTING, ConnectionState.QUEUED)
"""What is so can be picked up."""
NEEDS_OTHER_CALL = frozenset(
    {
        CommandName.ALTERNATE_CALL,
        CommandName.RECONNECT_CALL,
        CommandName.CONFERENCE_CALL,
        CommandName.TRANSFER_CALL,
    }
)
"""Commands that also need another call of the device."""

OF_CALLED = frozenset({CommandName.DEFLECT_CALL})
"""Commands of whom the call, or a pick-up, is for."""
OF_RECORDINGS = frozenset(
    {
        CommandName.START_RECORDING,
        CommandName.PAUSE_RECORDING,
        CommandName.RESUME_RECORDING,
        CommandName.STOP_RECORDING,
    }
)
"""Commands of which the call's recording decides too."""


def of_recording(call: Call) -> frozenset[CommandName]:
    """What can be done about the call's recording: it begins, pauses, goes on and ends in turn."""
    if call.recording is None:
        names = [CommandName.START_RECORDING]
    elif call.recording.paused:
        names = [CommandName.STOP_RECORDING, CommandName.RESUME_RECORDING]
    else:
        names = [CommandName.STOP_RECORDING, CommandName.PAUSE_RECORDING]
    return frozenset(names)


def allowed_commands(state: ConnectionState, *, established: bool = True) -> frozenset[CommandName]:
    """What a device in this state may do; `established`: the call has been answered."""
    allowed = ALLOWED[state]
    return allowed if established else allowed - NEEDS_ESTABLISHED


def allowed_to_others(call: Call, connection: Connection) -> frozenset[CommandName]:
    """What other devices may do about a connection now, as far as they are permitted to."""
    if not connection.is_live or call.outcome is not None:
        return frozenset()
    if connection.state in TO_BE_HAD:
        return frozenset({CommandName.DIRECTED_PICKUP_CALL, CommandName.CLEAR_CONNECTION})
    if connection.state not in TALKS or not (call.is_established and connection.is_party):
        return frozenset({CommandName.CLEAR_CONNECTION})
    able = {CommandName.JOIN_CALL, CommandName.INTERCEPT_CALL, CommandName.CLEAR_CONNECTION}
    if call.transfer is not None:
        able.remove(CommandName.INTERCEPT_CALL)
    return frozenset(able)


def allowed_for(call: Call, connection: Connection) -> frozenset[CommandName]:
    """What the connection's device may do in its call now: its buttons."""
    if not connection.is_live:
        return frozenset()
    allowed = allowed_commands(connection.state, established=call.is_established)
    allowed -= OF_RECORDINGS - of_recording(call)
    if call.is_established and connection.picks_up is None:
        allowed -= OF_CALLED  # who is called into a call can't send anybody else
    if connection.participation is not Participation.ACTIVE:
        return allowed & OF_SUPERVISORS
    if call.away is not None and connection.held_for != call.away:
        allowed |= OF_LENDERS
    # Alone, and hears why: there is nobody whom anything but its end could be about.
    return allowed if call.outcome is None else allowed & ENDS
