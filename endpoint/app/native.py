"""The native interface's view of the endpoint: call control's nouns as messages for clients."""

from __future__ import annotations

import secrets

import msgspec

from endpoint.app.directory import Directory, KnownDevice
from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import NumberedEvent, masked
from endpoint.callcontrol.model import Call, Connection
from endpoint.callcontrol.transitions import allowed_for
from endpoint.client import messages as wire
from endpoint.legs.base import DeviceRegistered, DeviceUnregistered, RegistrationEvent


class NativeView:
    """Reads the controller and the directory; changes nothing."""

    def __init__(self, controller: CallController, directory: Directory) -> None:
        self.controller = controller
        self.directory = directory
        self.run = secrets.token_hex(4)
        """Of this start of the endpoint."""

    def calls(self) -> list[wire.Call]:
        """The calls that live."""
        return [self._call(call) for call in self.controller.calls()]

    def call(self, call: str) -> wire.Call | None:
        """One call that lives, None where it is over or never was."""
        found = next((one for one in self.controller.calls() if one.id == call), None)
        return self._call(found) if found else None

    def registrations(self) -> list[wire.Registration]:
        """What was last heard of each device at each server."""
        return [registration(event) for event in self.controller.registrations()]

    def devices(self) -> list[wire.DeviceState]:
        """Every device of ours, as last read from the directory."""
        return [self._device(known) for known in self.directory.all()]

    def snapshot(self, *, missed: bool) -> wire.Snapshot:
        """All that is true now."""
        return wire.Snapshot(
            run=self.run,
            number=self.controller.last_number,
            time=self.controller.clock(),
            missed=missed,
            calls=self.calls(),
            registrations=self.registrations(),
            devices=self.devices(),
        )

    def frame(self, numbered: NumberedEvent) -> wire.EventFrame:
        """An event, with what it is about as that is now. Digits that were pressed are masked."""
        event = numbered.event
        call: wire.Call | None = None
        registered: wire.Registration | None = None
        if isinstance(event, DeviceRegistered | DeviceUnregistered):
            registered = registration(event)
            about = [event.device]
        else:
            call = self.call(event.call)
            about = [event.device, event.calling, event.called]
        return wire.EventFrame(
            number=numbered.number,
            at=numbered.at,
            event=type(event).__name__,
            fields=msgspec.to_builtins(masked(event)),
            call=call,
            registration=registered,
            devices=[self._device(known) for known in self.directory.find(about)],
        )

    def _call(self, call: Call) -> wire.Call:
        return wire.Call(
            call=call.id,
            direction=str(call.direction),
            calling=call.calling,
            calling_name=call.calling_name,
            called=call.called,
            started_at=call.started_at,
            delivered_at=call.delivered_at,
            established_at=call.established_at,
            parties=[self._party(call, connection) for connection in call.connections],
        )

    def _party(self, call: Call, connection: Connection) -> wire.Party:
        ours = connection.device in self.directory
        return wire.Party(
            device=connection.device,
            role=str(connection.role),
            state=str(connection.state),
            media_confirmed=connection.media_confirmed,
            # Somebody outside has a telephone of his own.
            commands=sorted(map(str, allowed_for(call, connection))) if ours else [],
        )

    def _device(self, known: KnownDevice) -> wire.DeviceState:
        calls = [
            call.id
            for call in self.controller.calls()
            if any(each.device == known.device and each.is_live for each in call.connections)
        ]
        registered = any(
            isinstance(event, DeviceRegistered) and event.device == known.device
            for event in self.controller.registrations()
        )
        return wire.DeviceState(
            device=known.device,
            kinds=list(known.kinds),
            display_name=known.display_name,
            reachable=registered or "station" in known.kinds,
            calls=[str(call) for call in calls],
            commands=[] if calls else [str(CommandName.MAKE_CALL)],
        )


def registration(event: RegistrationEvent) -> wire.Registration:
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
