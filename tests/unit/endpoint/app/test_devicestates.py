"""What telephones are told of devices: from what call control and the directory know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from endpoint.app.devicestates import DevicesToWatch
from endpoint.app.directory import KnownDevice
from endpoint.callcontrol.events import CallCleared, Diverted, NumberedEvent
from endpoint.callcontrol.feed import EventsMissed
from endpoint.callcontrol.model import Call, ConnectionState, Interaction
from endpoint.callcontrol.whereabouts import Whereabouts
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    InteractionId,
    RegistrationEvent,
    TextReceived,
    TrunkDown,
    TrunkUp,
)
from signaling.sip.event_documents import (
    DialogState,
    MessageSummary,
    Package,
    PhoneDialog,
    Presence,
)
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from tests.unit.endpoint.callcontrol.build import call

pytestmark = pytest.mark.unit

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@dataclass
class Controller:
    now: list[Call] = field(default_factory=list)
    heard: list[RegistrationEvent] = field(default_factory=list)
    feeds: list[list[Any]] = field(default_factory=list)

    @property
    def whereabouts(self) -> Whereabouts:
        found = Whereabouts()
        found.put(Interaction(InteractionId("i"), calls=tuple(self.now)))
        return found

    def registrations(self) -> tuple[RegistrationEvent, ...]:
        return tuple(self.heard)

    def is_registered(self, device: DeviceId) -> bool:
        return any(isinstance(e, DeviceRegistered) and e.device == device for e in self.heard)

    async def subscribe(self) -> AsyncIterator[NumberedEvent]:
        for number, event in enumerate(self.feeds.pop(0)):
            if isinstance(event, Exception):
                raise event
            yield NumberedEvent(number, NOW, event)


@dataclass
class Devices:
    known: dict[str, KnownDevice] = field(default_factory=dict)
    added: dict[str, KnownDevice] = field(default_factory=dict)
    """Since it was read last."""

    def __contains__(self, device: object) -> bool:
        return device in self.known

    def all(self) -> list[KnownDevice]:
        return list(self.known.values())

    def find(self, devices: Iterable[str]) -> list[KnownDevice]:
        return [self.known[device] for device in devices if device in self.known]

    def remote_agents(self) -> list[KnownDevice]:
        return [known for known in self.all() if known.device.startswith("RP_")]

    async def refresh(self) -> None:
        self.known |= self.added


@dataclass
class Server:
    told: list[tuple[set[str], set[Package]]] = field(default_factory=list)

    def changed(self, users: Iterable[str], packages: Iterable[Package] = tuple(Package)) -> None:
        self.told.append((set(users), set(packages)))


@dataclass
class Desk:
    controller: Controller = field(default_factory=Controller)
    devices: Devices = field(default_factory=Devices)
    server: Server = field(default_factory=Server)
    telephones: set[str] = field(default_factory=set)
    """The remote agents' that can be called."""

    @property
    def states(self) -> DevicesToWatch:
        return DevicesToWatch(
            cast("Any", self.controller),
            cast("Any", self.devices),
            domain="example.test",
            reaches_telephone=self.telephones.__contains__,
        )

    async def follow(self, *feeds: list[Any]) -> list[tuple[set[str], set[Package]]]:
        self.controller.feeds = list(feeds)
        await self.states.follow(cast("Any", self.server))
        return self.server.told


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.devices.known = {
        "6001": KnownDevice("6001", ("extension",)),
        "6002": KnownDevice("6002", ("station",)),
    }
    return made


def remote(user: str, name: str = "") -> NameAddr:
    return NameAddr(name, Uri("sip", user, host="example.test"))


async def test_devices_are_known_also_those_added_since_and_nobody_else(desk: Desk) -> None:
    desk.devices.added["6003"] = KnownDevice("6003", ("extension",))
    desk.controller.heard = [DeviceRegistered(DeviceId("6009"), "sip:6009@h", 60)]
    states = desk.states
    assert [await states.knows(user) for user in ("6001", "6003", "6009", "6999")] == [
        True,
        True,
        True,
        False,
    ]


def test_a_remote_agent_is_reachable_while_a_trunk_leads_to_his_telephone(desk: Desk) -> None:
    assert desk.states.presence("RP_9138") == Presence(is_reachable=False)
    desk.telephones.add("RP_9138")
    assert desk.states.presence("RP_9138") == Presence(is_reachable=True)


async def test_who_watches_a_remote_agent_is_told_when_a_trunk_goes_down(desk: Desk) -> None:
    desk.devices.known["RP_9138"] = KnownDevice("RP_9138", ("extension",))
    told = await desk.follow([TrunkDown("carrier", Cause.UNREACHABLE), TrunkUp("carrier")])
    assert told == [({"RP_9138"}, {Package.PRESENCE})] * 2


def test_a_device_is_reachable_while_it_is_registered_and_a_station_always(desk: Desk) -> None:
    assert desk.states.presence("6001") == Presence(is_reachable=False)
    assert desk.states.presence("6002") == Presence(is_reachable=True)
    desk.controller.heard = [DeviceRegistered(DeviceId("6001"), "sip:6001@h", 60)]
    assert desk.states.presence("6001") == Presence(is_reachable=True)
    desk.controller.heard = [DeviceUnregistered(DeviceId("6001"), Cause.NORMAL)]
    assert desk.states.presence("6001") == Presence(is_reachable=False)


@pytest.mark.parametrize(
    ("caller", "called", "told"),
    [
        (ConnectionState.INITIATED, ConnectionState.NULL, (DialogState.TRYING, None)),
        (ConnectionState.CONNECTED, ConnectionState.ALERTING, ("confirmed", "early")),
        (ConnectionState.CONNECTED, ConnectionState.CONNECTED, ("confirmed", "confirmed")),
        (ConnectionState.HOLD, ConnectionState.CONNECTED, ("confirmed", "confirmed")),
    ],
)
def test_the_calls_of_caller_and_called(desk: Desk, caller, called, told) -> None:
    desk.controller.now = [call(d6001=caller, d6002=called)]
    for device, other, is_initiator, state in (
        ("6001", "6002", True, told[0]),
        ("6002", "6001", False, told[1]),
    ):
        expected = (
            [PhoneDialog("i-1", DialogState(state), is_initiator, remote(other))] if state else []
        )
        assert desk.states.dialogs(device) == expected
    rings_only = called in (ConnectionState.ALERTING,)
    assert desk.states.presence("6002").is_on_the_phone is not rings_only


def test_who_has_left_a_call_has_none(desk: Desk) -> None:
    desk.controller.now = [call(d6001=ConnectionState.CONNECTED, d6002=ConnectionState.FAIL)]
    assert desk.states.dialogs("6002") == []
    assert not desk.states.presence("6002").is_on_the_phone


def test_without_voicemail_nothing_waits(desk: Desk) -> None:
    assert desk.states.messages("6001") == MessageSummary(new=0, old=0)


async def test_what_happens_is_told_to_who_watches(desk: Desk) -> None:
    cleared = CallCleared(
        interaction=InteractionId("i"),
        call=call(d6001=ConnectionState.CONNECTED).id,
        device=DeviceId("6001"),
        state=ConnectionState.NULL,
        calling=DeviceId("6001"),
        called=DeviceId("6002"),
    )
    registered = DeviceRegistered(DeviceId("6001"), "sip:6001@h", 60)
    text = TextReceived(DeviceId("6001"), DeviceId("6002"), "x", 200)
    assert await desk.follow([registered, text, cleared]) == [
        ({"6001"}, {Package.PRESENCE}),
        ({"6001", "6002"}, {Package.PRESENCE, Package.DIALOG}),
    ]


async def test_whom_a_call_is_forwarded_to_is_told_of_too(desk: Desk) -> None:
    diverted = Diverted(
        interaction=InteractionId("i"),
        call=call(d6001=ConnectionState.CONNECTED).id,
        device=DeviceId("6002"),
        state=ConnectionState.ALERTING,
        calling=DeviceId("6001"),
        called=DeviceId("6002"),
        diverted_to=DeviceId("6003"),
    )
    ((users, _),) = await desk.follow([diverted])
    assert users == {"6001", "6002", "6003"}


async def test_after_events_that_were_missed_all_is_told_anew(desk: Desk) -> None:
    assert await desk.follow([EventsMissed(1, 2)], []) == [({"6001", "6002"}, set(Package))]
