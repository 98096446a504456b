"""What call control knows and tells, as messages of the native interface. Pure."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.events import Event, masked
from endpoint.callcontrol.model import Call, Connection, Interaction
from endpoint.callcontrol.routes import heard_in
from endpoint.callcontrol.transitions import (
    NEEDS_OTHER_CALL,
    OF_LENDERS,
    allowed_for,
    allowed_to_others,
)
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import (
    Announcement,
    DeviceRegistered,
    DeviceUnregistered,
    LegId,
    RegistrationEvent,
    Source,
)


def encode_call(
    interaction: Interaction,
    call: Call,
    ours: Container[str],
    in_several: Container[str] = frozenset(),
) -> wire.Call:
    """A call, with what each device hears in it and may do now.

    Args:
        interaction: whose call it is.
        call: which.
        ours: the devices that we may command.
        in_several: those that are in another call too: it takes two to bring them together.
    """
    heard = heard_in(interaction, call)
    numbers: dict[LegId, str] = {each.leg: each.number for each in call.connections}

    def party(connection: Connection) -> wire.Party:
        allowed = allowed_for(call, connection)
        of_several = connection.device in in_several
        of_one = NEEDS_OTHER_CALL if call.away is None else NEEDS_OTHER_CALL - OF_LENDERS
        allowed -= {CommandName.CONSULTATION_CALL} if of_several else of_one
        sources = heard.get(connection.leg, []) if connection.is_live else []
        return wire.Party(
            device=connection.number,
            connection=connection.id,
            from_outside=connection.from_outside,
            role=str(connection.role),
            state=str(connection.state),
            media_confirmed=connection.media_confirmed,
            # Somebody outside has a telephone of his own.
            commands=sorted(map(str, allowed)) if connection.device in ours else [],
            participation=str(connection.participation),
            beside=numbers.get(connection.beside) if connection.beside else None,
            muted=connection.muted,
            hears=[
                "announcement"
                if isinstance(source, Announcement)
                else _SOUNDS[source]
                if isinstance(source, Source)
                else numbers[source]
                for source in sources
            ],
            parked_by=connection.parked_by,
            of_others=sorted(map(str, allowed_to_others(call, connection))),
        )

    return wire.Call(
        call=call.id,
        direction=str(call.direction),
        calling=call.calling,
        calling_name=call.calling_name,
        withheld=call.withheld,
        called=call.called,
        first_called=call.first_called,
        last_redirection=call.last_redirection,
        started_at=call.started_at,
        delivered_at=call.delivered_at,
        established_at=call.established_at,
        parties=[party(connection) for connection in call.connections],
        data=dict(call.data),
        recording=call.recording.id if call.recording is not None else None,
        recording_paused=call.recording is not None and call.recording.paused,
    )


_SOUNDS = {
    Source.MUSIC_ON_HOLD: "music",
    Source.RING_BACK: "ring-back",
    Source.BUSY: "busy tone",
}


def encode_fields(event: Event) -> dict[str, object]:
    """All that an event says. Digits that were pressed are masked."""
    fields: dict[str, object] = msgspec.to_builtins(masked(event))
    return fields


def encode_registration(event: RegistrationEvent) -> wire.Registration:
    """What an event says of a device's registration."""
    match event:
        case DeviceRegistered():
            return wire.Registration(
                device=event.device,
                registered=True,
                server=event.server,
                contact=event.contact,
                expires_s=event.expires_s,
                cause="",
                sip_status=None,
                text="",
            )
        case DeviceUnregistered():
            return wire.Registration(
                device=event.device,
                registered=False,
                server=event.server,
                contact="",
                expires_s=0,
                cause=str(event.cause),
                sip_status=event.sip_status,
                text=event.text,
            )
