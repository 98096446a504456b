"""The native interface's view of the endpoint: what is true now, and each event with it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

from endpoint.app.directory import Directory, KnownDevice
from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import NumberedEvent
from endpoint.callcontrol.model import Call, CallId, Connection, Interaction
from endpoint.errors import MediaError
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.encode import encode_call, encode_fields, encode_registration
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    LineFull,
    RegistrationEvent,
    SoundDeviceLost,
    SoundDeviceReturned,
    SourceBanned,
    TextReceived,
    TrunkDown,
    TrunkUp,
)
from endpoint.legs.browser import BROWSER
from endpoint.legs.exchange import LegExchange
from endpoint.legs.remote import TELEPHONE
from endpoint.media.messages import Statistics


def still_news(events: Iterable[RegistrationEvent]) -> list[RegistrationEvent]:
    """Leave out telephones that have gone from devices that are reached elsewhere.

    An account that fails at its outside server stays: somebody has to look at that.
    """
    told = list(events)
    reached = {event.device for event in told if isinstance(event, DeviceRegistered)}
    return [
        event
        for event in told
        if isinstance(event, DeviceRegistered)
        or event.device not in reached
        or (event.server not in ("", BROWSER, TELEPHONE) and event.cause is not Cause.NORMAL)
    ]


class NativeView:
    """Reads the controller, the legs and the directory; changes nothing."""

    def __init__(
        self, controller: CallController, exchange: LegExchange, directory: Directory
    ) -> None:
        self.controller = controller
        self._exchange = exchange
        self.directory = directory
        self.run = secrets.token_hex(4)
        """Of this start of the endpoint."""

    def calls(self) -> list[wire.Call]:
        """The calls that live."""
        return self._encoded(self._living())

    def calls_of(self, device: str) -> list[wire.Call]:
        """Those that a device takes part in."""
        own = self.controller.whereabouts.connections_of(DeviceId(device))
        return self._encoded((interaction, call) for interaction, call, _ in own)

    def call_of(self, device: str, call: str) -> wire.Call | None:
        """One that a device takes part in; None where it does not, or no longer."""
        own = self.controller.whereabouts.connections_of(DeviceId(device))
        found = [(interaction, each) for interaction, each, _ in own if each.id == call]
        return self._encoded(found)[0] if found else None

    def call(self, call: str) -> wire.Call | None:
        """One call that lives, None where it is over or never was."""
        found = self.controller.whereabouts.living(CallId(call))
        return None if found is None else self._encoded([found])[0]

    def _living(self) -> list[tuple[Interaction, Call]]:
        return [
            (interaction, call)
            for interaction in self.controller.interactions()
            for call in interaction.calls
            if not call.is_cleared
        ]

    def _encoded(self, found: Iterable[tuple[Interaction, Call]]) -> list[wire.Call]:
        return [
            encode_call(interaction, call, self.directory, self._in_several(call))
            for interaction, call in found
        ]

    def _in_several(self, call: Call) -> set[str]:
        """Who of its parties is in another call too."""
        devices = {each.device for each in call.connections if each.is_live and each.device}
        connections_of = self.controller.whereabouts.connections_of
        return {device for device in devices if len(connections_of(device)) > 1}

    async def quality(self, call: str) -> wire.CallQuality | None:
        """How the parties of a call that lives are heard and hear; None as in `call`."""
        found = self.controller.whereabouts.living(CallId(call))
        if found is None:
            return None
        live = [connection for connection in found[1].connections if connection.is_live]
        parties = await asyncio.gather(*(self._quality(connection) for connection in live))
        return wire.CallQuality(call, list(parties))

    async def _quality(self, connection: Connection) -> wire.PartyQuality:
        try:
            counted = await self._exchange.read_statistics(connection.leg)
        except MediaError:
            # A station without a network, or a leg whose port is not open yet, or no longer.
            counted = None
        sound = self._exchange.sounds.of(connection.device) if connection.device else None
        # What goes to a sound device does not leave this machine.
        is_sound = sound is not None and sound.leg is not None and sound.leg.id == connection.leg
        return wire.PartyQuality(
            device=connection.number,
            from_outside=connection.from_outside,
            role=str(connection.role),
            state=str(connection.state),
            codec=counted.codec if counted else "",
            protection=_protection(counted) if counted and not is_sound else "",
            remote=counted.remote if counted and not is_sound else "",
            round_trip_ms=counted.round_trip_ms if counted else None,
            received=_received(counted) if counted else None,
            sent=_sent(counted) if counted else None,
        )

    def registrations(self) -> list[wire.Registration]:
        """What was last heard of each device at each server, where that is still news."""
        return [encode_registration(event) for event in still_news(self.controller.registrations())]

    def trunks(self) -> list[wire.Trunk]:
        """Every trunk, in the order in which they are tried."""
        return [
            wire.Trunk(
                trunk=trunk.name,
                up=trunk.up,
                calls=trunk.calls,
                most_calls=trunk.most_calls,
                peers=[
                    wire.TrunkPeer(peer.name, str(peer.state), peer.text) for peer in trunk.peers
                ],
            )
            for trunk in self._exchange.trunks()
        ]

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
            trunks=self.trunks(),
        )

    async def learn(self, numbered: NumberedEvent) -> None:
        """An extension that was added since: know it before it is told of. Raises StorageError."""
        event = numbered.event
        if isinstance(event, DeviceRegistered) and event.device not in self.directory:
            await self.directory.refresh()

    def frame(self, numbered: NumberedEvent) -> wire.EventFrame:
        """An event, with what it is about as that is now. Digits that were pressed are masked."""
        event = numbered.event
        call: wire.Call | None = None
        registered: wire.Registration | None = None
        trunk: wire.Trunk | None = None
        others: list[wire.Call] = []
        if isinstance(event, DeviceRegistered | DeviceUnregistered):
            registered = encode_registration(event)
            about = [event.device]
        elif isinstance(event, LineFull):
            about = []
        elif isinstance(event, TrunkUp | TrunkDown):
            trunk = next((one for one in self.trunks() if one.trunk == event.trunk), None)
            about = [DeviceId(known.device) for known in self.directory.remote_agents()]
        elif isinstance(event, SourceBanned | SoundDeviceLost | SoundDeviceReturned):
            about = [event.device]
        elif isinstance(event, TextReceived):
            about = [event.device, event.sender]
        else:
            about = [event.device, event.calling, event.called]
            calls_of = self.controller.whereabouts.calls_of
            found = {each[1].id: each for device in about for each in calls_of(device)}
            at = found.pop(event.call, None)
            call = self.call(event.call) if at is None else self._encoded([at])[0]
            others = self._encoded(found.values())
        return wire.EventFrame(
            number=numbered.number,
            at=numbered.at,
            event=type(event).__name__,
            fields=encode_fields(event),
            call=call,
            registration=registered,
            trunk=trunk,
            devices=[self._device(known) for known in self.directory.find(about)],
            others=others,
        )

    def _device(self, known: KnownDevice) -> wire.DeviceState:
        own = self.controller.whereabouts.connections_of(DeviceId(known.device))
        permissions = self.controller.settings.calls.permissions
        registered = self.controller.is_registered(DeviceId(known.device))
        return wire.DeviceState(
            device=known.device,
            kinds=list(known.kinds),
            display_name=known.display_name,
            reachable=registered
            or not {"station", "ivr"}.isdisjoint(known.kinds)
            or self._exchange.reaches_telephone(DeviceId(known.device)),
            calls=[str(call.id) for _, call, _ in own],
            commands=[] if own else [str(CommandName.MAKE_CALL)],
            supervises=list(permissions.supervises(DeviceId(known.device))),
            picks_up=list(permissions.picks_up(DeviceId(known.device))),
        )


def _protection(counted: Statistics) -> str:
    keys = "DTLS-SRTP" if counted.is_dtls else "SRTP"
    profile = counted.srtp_profile
    if profile is None:
        # Until DTLS has agreed keys, no audio goes.
        return "" if counted.is_dtls or not counted.codec else "unprotected"
    # AEAD_AES_256_GCM is AES-256-GCM to everybody but the RFC.
    return f"{keys} ({profile.removeprefix('AEAD_').replace('_', '-')})"


def _received(counted: Statistics) -> wire.AudioQuality:
    return wire.AudioQuality(
        diagnosis=str(counted.diagnosis_received),
        text=counted.diagnosis_received.text,
        mos=counted.mos,
        loss_percent=counted.loss_percent,
        jitter_ms=counted.jitter_ms,
        level_dbov=counted.received_level_dbov,
        packets=counted.packets_received,
        lost=counted.packets_lost,
    )


def _sent(counted: Statistics) -> wire.AudioQuality:
    return wire.AudioQuality(
        diagnosis=str(counted.diagnosis_sent),
        text=counted.diagnosis_sent.text,
        mos=counted.remote_mos,
        loss_percent=counted.remote_loss_percent,
        jitter_ms=counted.remote_jitter_ms,
        level_dbov=counted.sent_level_dbov,
        packets=counted.packets_sent,
        lost=counted.remote_lost,
    )
