"""Who is on the recording of a call: a pure function of the state, beside the routes.

On it is whoever somebody in the conversation hears: so who is muted, holds, whispers or only
listens is not, nor is any sound of ours, nor what is said while nobody hears it. Customers are on
the left, agents on the right.
"""

from __future__ import annotations

from dataclasses import dataclass

from endpoint.callcontrol.model import Call, Connection, ConnectionState, Interaction, Recording
from endpoint.callcontrol.routes import heard_in
from endpoint.legs.base import LegRole, RecordingSide, Track


@dataclass(frozen=True, slots=True)
class Running:
    """A recording that runs, and who is on it now."""

    call: Call
    recording: Recording
    tracks: frozenset[Track]


def running(interaction: Interaction) -> dict[str, Running]:
    """Those of an interaction, by their names. That of a call that is over is over too.

    Nor does one run that is still announced.
    """
    return {
        call.recording.id: Running(call, call.recording, tracks(interaction, call, call.recording))
        for call in interaction.calls
        if call.recording is not None
        and call.recording.announcement is None
        and not call.is_cleared
    }


def tracks(interaction: Interaction, call: Call, recording: Recording) -> frozenset[Track]:
    """Who is on it now. Nobody while it is paused."""
    if recording.paused:
        return frozenset()
    parties = {each.leg: each for each in call.connections if each.is_party}
    hearers = heard_in(interaction, call)
    heard = {source for sink in parties.keys() & hearers for source in hearers[sink]}
    return frozenset(
        Track(leg, side_of(interaction, call, each), each.number)
        for leg, each in parties.items()
        if leg in heard and each.state is ConnectionState.CONNECTED
    )


def side_of(interaction: Interaction, call: Call, party: Connection) -> RecordingSide:
    """Left is who is not ours; where all are, it is whom the call was made to."""

    def is_ours(each: Connection) -> bool:
        if each.from_outside:
            return False
        return each.role is LegRole.STATION or each.number in interaction.ours

    if all(map(is_ours, call.connections)):
        is_left = party.number == call.called
    else:
        is_left = not is_ours(party)
    return RecordingSide.LEFT if is_left else RecordingSide.RIGHT
