"""What telephones that subscribe are told of our devices: presence, calls, waiting messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from endpoint.app.directory import Directory
from endpoint.callcontrol.controller import CallController
from endpoint.callcontrol.events import CallEvent, Diverted, Event
from endpoint.callcontrol.feed import EventsMissed
from endpoint.callcontrol.model import Call, Connection, ConnectionState, Interaction
from endpoint.legs.base import (
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    TrunkDown,
    TrunkUp,
)
from signaling.server import SipServer
from signaling.sip.event_documents import (
    DialogState,
    MessageSummary,
    Package,
    PhoneDialog,
    Presence,
)
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri

_STATES = {
    ConnectionState.INITIATED: DialogState.TRYING,
    ConnectionState.ALERTING: DialogState.EARLY,
    ConnectionState.CONNECTED: DialogState.CONFIRMED,
    ConnectionState.HOLD: DialogState.CONFIRMED,
    ConnectionState.QUEUED: DialogState.CONFIRMED,
}


class Mailboxes(Protocol):
    """Who keeps messages for devices."""

    def summary(self, device: str) -> MessageSummary:
        """How many wait."""


class NoMailboxes:
    """There is no voicemail: nothing waits."""

    def summary(self, device: str) -> MessageSummary:
        """None."""
        return MessageSummary()


class DevicesToWatch:
    """Reads the controller and the directory; `follow` tells the server of each change."""

    def __init__(
        self,
        controller: CallController,
        directory: Directory,
        *,
        domain: str,
        reaches_telephone: Callable[[DeviceId], bool],
        mailboxes: Mailboxes | None = None,
    ) -> None:
        """Set up; `reaches_telephone` says whether a remote agent's can be called now."""
        self._controller = controller
        self._directory = directory
        self._domain = domain
        self._reaches_telephone = reaches_telephone
        self._mailboxes = mailboxes or NoMailboxes()

    # -- signaling.watchers.DeviceStates ----------------------------------------------------------

    async def knows(self, user: str) -> bool:
        """Whether it is a device of ours; one that was added since is looked up."""
        if user not in self._directory and not self._is_registered(user):
            await self._directory.refresh()
        return user in self._directory or self._is_registered(user)

    def presence(self, user: str) -> Presence:
        """Reachable: by a telephone, a page, an account or a trunk; a station always is."""
        kinds = [kind for known in self._directory.find([user]) for kind in known.kinds]
        talks = any(own.state is not ConnectionState.ALERTING for _, _, own in self._own(user))
        is_reached = self._is_registered(user) or self._reaches_telephone(DeviceId(user))
        return Presence(is_reached or not {"station", "ivr"}.isdisjoint(kinds), talks)

    def dialogs(self, user: str) -> Sequence[PhoneDialog]:
        """Its calls that live."""
        return [
            PhoneDialog(call.id, state, own is call.connections[0], self._other(call, own))
            for _, call, own in self._own(user)
            if (state := _STATES.get(own.state)) is not None
        ]

    def messages(self, user: str) -> MessageSummary:
        """What waits in its mailbox."""
        return self._mailboxes.summary(user)

    # -- changes ----------------------------------------------------------------------------------

    async def follow(self, server: SipServer) -> None:
        """Tell who watches, until the controller stops."""
        while True:
            try:
                async for numbered in self._controller.subscribe():
                    self._tell(server, numbered.event)
            except EventsMissed:
                server.changed(known.device for known in self._directory.all())
            else:
                return

    def _tell(self, server: SipServer, event: Event) -> None:
        if isinstance(event, DeviceRegistered | DeviceUnregistered):
            server.changed([event.device], [Package.PRESENCE])
        elif isinstance(event, TrunkUp | TrunkDown):
            agents = [known.device for known in self._directory.remote_agents()]
            server.changed(agents, [Package.PRESENCE])
        elif isinstance(event, CallEvent):
            users = {event.device, event.calling, event.called}
            if isinstance(event, Diverted):
                users.add(event.diverted_to)
            server.changed(users, [Package.PRESENCE, Package.DIALOG])

    # -- inside -----------------------------------------------------------------------------------

    def _is_registered(self, user: str) -> bool:
        return self._controller.is_registered(DeviceId(user))

    def _own(self, user: str) -> Sequence[tuple[Interaction, Call, Connection]]:
        return self._controller.whereabouts.connections_of(DeviceId(user))

    def _other(self, call: Call, own: Connection) -> NameAddr:
        """Whom it talks with: by name where that is the caller."""
        calls = own is call.connections[0]
        device = call.called if calls else call.calling
        name = "" if calls else call.calling_name
        return NameAddr(name, Uri("sip", device, host=self._domain))
