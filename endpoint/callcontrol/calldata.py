"""Data of a client that follows a call (ECMA-269: AssociateData, correlator data).

Keys and texts of its own, that call control never reads: a consultation begins with those of the
call that is put aside, and where two calls become one their data does too. Whoever reads the call's
events, or its record, has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import AssociateData, MakeCall, Rejection
from endpoint.callcontrol.model import Call, CallId, Connection, IvrStep, Waits
from endpoint.callcontrol.refusals import refused
from endpoint.callcontrol.turn import Turn
from endpoint.legs.base import DeviceId, IvrQueued, IvrVisited

LARGEST = 8192
"""Octets of UTF-8 that all keys and texts of a call may have together."""
LONGEST_PATH = 1000
"""Nodes that the record of a call tells; a flow may go round for hours."""
OUTBOUND = "outbound"
"""The outcome of a step of a call that was made for a queue."""
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def associate(turn: Turn, call: Call, own: Connection, command: AssociateData) -> None:
    """Set keys, or take them away where their text is empty. Raises CommandRejected."""
    _put(turn, call, own, given(command, call.data))


def visited(turn: Turn, call_id: CallId, at: IvrVisited) -> None:
    """An IVR's call has come to a node, or something came of the one where it is."""
    call = turn.call(call_id)
    path, last = call.ivr_path, call.ivr_path[-1:]
    if at.result and [(each.flow, each.node) for each in last] == [(at.flow, at.node)]:
        path = (*path[:-1], replace(path[-1], outcome=at.result))
    elif len(path) < LONGEST_PATH:
        path = (*path, IvrStep(turn.now, at.flow, at.node, at.result))
    turn.put_call(replace(call, ivr_path=path))


def queued(turn: Turn, call_id: CallId, own: Connection, at: IvrQueued) -> None:
    """An IVR's call waits in a queue; where it was in another one, it has gone on from there."""
    call = turn.call(call_id)
    if call.waits is None or call.waits.queue != at.queue:
        turn.left_queue(call_id, own, "overflow")
        call = turn.call(call_id)
        path = call.ivr_path
        last = path[-1]  # who waits has come to the node where he does
        if not last.queue:
            path = (*path[:-1], replace(last, queue=at.queue))
        elif len(path) < LONGEST_PATH:
            path = (*path, IvrStep(turn.now, last.flow, last.node, queue=at.queue))
        waits = Waits(at.leg, at.queue, turn.now)
        turn.put_call(replace(call, ivr_path=path, waits=waits))
    turn.publish(
        told.WaitsInQueue(
            **turn.facts(turn.call(call_id), own),
            queue=at.queue,
            position=at.position,
            wait_s=at.wait_s,
            offered_to=at.offered_to,
        )
    )


def made_for(turn: Turn, call: Call, queue: str) -> Call:
    """A device of ours has made the call for a queue: it is that one's from its beginning."""
    if not queue:
        return call
    step = IvrStep(turn.now, "", "", OUTBOUND, queue)
    data = call.data
    if _size(more := {**data, "OutboundOf": queue}) <= LARGEST:
        data = more
    call = replace(call, data=data, ivr_path=(*call.ivr_path, step))
    turn.put_call(call)
    return call


def queue_of(turn: Turn, device: DeviceId, number: DeviceId) -> str:
    """Whose queue's call it is where a device dials a number; empty: no queue's."""
    settings = turn.state.settings
    return "" if number in turn.state.ours else settings.queue_of(device, number)


def given(command: AssociateData | MakeCall, before: Mapping[str, str]) -> dict[str, str]:
    """The data with what a command gives. Raises CommandRejected."""
    if wrong := [key for key in command.data if not _KEY.fullmatch(key)]:
        why = f"a key is 1 to 64 of A-Z, a-z, 0-9 and _.:-, which {len(wrong)} of them are not"
        raise refused(Rejection.BAD_DATA, command, why)
    data = {key: text for key, text in {**before, **command.data}.items() if text}
    if _size(data) > LARGEST:
        why = f"it would be {_size(data)} octets; expected {LARGEST} at most"
        raise refused(Rejection.BAD_DATA, command, why)
    return data


def join(turn: Turn, call: Call, own: Connection, other: Call) -> None:
    """Another call has gone into this one: its texts are the newer ones, as far as they fit."""
    data = dict(call.data)
    for key, text in other.data.items():
        if _size(more := {**data, key: text}) <= LARGEST:
            data = more
    if data != call.data:
        _put(turn, call, own, data)


def _put(turn: Turn, call: Call, own: Connection, data: dict[str, str]) -> None:
    call = replace(turn.call(call.id), data=data)
    turn.put_call(call)
    turn.publish(told.CallInformation(**turn.facts(call, own), data=data))


def _size(data: Mapping[str, str]) -> int:
    return sum(len(key) + len(text.encode(errors="surrogatepass")) for key, text in data.items())
