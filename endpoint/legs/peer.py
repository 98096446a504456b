"""The far ends of a trunk: where it sends calls, and whether that takes any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, RegistrationEvent
from endpoint.legs.line import AccountSettings, OutsideAccounts, Refusal
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.liveness import LivenessSettings, LivenessState, PeerDown, PeerUp
from signaling.sip.uri import Uri
from signaling.user_agent import UserAgent
from signaling.watch import Watch


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """One far end of a static trunk."""

    uri: Uri
    """Without a user: `sip:host`, `sip:host:port;transport=tcp`."""
    priority: int = 1
    """Those with a lower one are tried first,"""
    weight: int = 1
    """and among equals this many times as often as one of weight 1."""


class Peer(ABC):
    """One far end of a trunk."""

    priority: int = 1
    weight: int = 1
    name: str
    """Its address, for people."""
    domain: str
    """Host of the caller's address there."""
    user: str | None = None
    """What our Contact there is called; None: the number that is shown."""
    state: LivenessState = LivenessState.UNKNOWN
    failure: Refusal | None = None
    """Why it takes no calls."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.state}>"

    @property
    def is_up(self) -> bool:
        """Nothing is known against it."""
        return self.state is not LivenessState.DOWN

    @property
    def flow(self) -> Flow | None:
        """The one way there; None: its host is resolved."""
        return None

    @property
    def credentials(self) -> DigestCredentials | None:
        """For its challenges."""
        return None

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """The proxies on the way."""
        return ()

    @abstractmethod
    async def run(self, changed: Callable[[], None]) -> None:
        """Open it, and tell whenever its state changes, until cancelled."""

    @abstractmethod
    def uri(self, number: str) -> Uri:
        """The Request-URI of a number there."""

    def leads_to(self, flow: Flow) -> bool:
        """What comes over a flow comes from it, whatever its address."""
        return False

    def suspect(self) -> None:  # noqa: B027  a peer that is not asked has nothing to look at
        """A call failed there: look again soon."""

    def take(self, notice: RegistrationEvent) -> bool:
        """News of a registration; False where it is none of its own."""
        return False


class StaticPeer(Peer):
    """A host that takes our calls because it knows our address."""

    def __init__(
        self,
        user_agent: UserAgent,
        settings: PeerSettings,
        domain: str,
        liveness: LivenessSettings | None,
    ) -> None:
        self.priority, self.weight = settings.priority, settings.weight
        self.name = str(settings.uri).partition(":")[2]
        self.domain = domain
        self._uri = settings.uri
        self._user_agent = user_agent
        self._liveness = liveness
        self._watch: Watch | None = None

    async def run(self, changed: Callable[[], None]) -> None:
        """See `Peer`: asked by OPTIONS, where that is wanted."""
        if self._liveness is None:
            self.state = LivenessState.UP
            changed()
            return
        self._watch = self._user_agent.watch(self._uri, settings=self._liveness)
        try:
            async for event in self._watch.events():
                match event:
                    case PeerUp():
                        self.state, self.failure = LivenessState.UP, None
                    case PeerDown(status, text):
                        self.state = LivenessState.DOWN
                        reason = f"{self.name}: {text}"
                        self.failure = Refusal(Cause.UNREACHABLE, reason, status)
                changed()
        finally:
            self._watch.stop()

    def uri(self, number: str) -> Uri:
        """See `Peer`."""
        return replace(self._uri, user=number)

    def suspect(self) -> None:
        """See `Peer`."""
        if self._watch is not None:
            self._watch.suspect()


class AccountPeer(Peer):
    """A server where we are registered, and that knows us by that."""

    def __init__(self, accounts: OutsideAccounts, trunk: str, settings: AccountSettings) -> None:
        self._accounts = accounts
        # No device can be called so.
        self._settings = replace(settings, device=DeviceId(f"trunk {trunk}"), trunk=trunk)
        aor = Uri.parse(settings.uri)
        self.name, self.user, self.domain = settings.server, aor.user, aor.host
        self._aor = aor
        self._changed: Callable[[], None] = lambda: None

    async def run(self, changed: Callable[[], None]) -> None:
        """See `Peer`: registered from now on; the exchange takes all accounts back at its end."""
        self._changed = changed
        self._accounts.add(self._settings)

    @property
    def is_up(self) -> bool:
        """See `Peer`: it has to be registered."""
        return self.state is LivenessState.UP and self.flow is not None

    @property
    def flow(self) -> Flow | None:
        """See `Peer`."""
        outside = self._accounts.of(self._settings.device)
        return outside.registration.flow if outside is not None else None

    @property
    def credentials(self) -> DigestCredentials | None:
        """See `Peer`."""
        outside = self._accounts.of(self._settings.device)
        return outside.registration.credentials if outside is not None else None

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """See `Peer`."""
        outside = self._accounts.of(self._settings.device)
        return outside.registration.service_route if outside is not None else ()

    def uri(self, number: str) -> Uri:
        """See `Peer`."""
        return Uri("sip", number, host=self._aor.host, port=self._aor.port)

    def leads_to(self, flow: Flow) -> bool:
        """See `Peer`."""
        return flow == self.flow

    def take(self, notice: RegistrationEvent) -> bool:
        """See `Peer`."""
        if notice.device != self._settings.device:
            return False
        if isinstance(notice, DeviceRegistered):
            self.state, self.failure = LivenessState.UP, None
        else:
            self.state = LivenessState.DOWN
            self.failure = Refusal(notice.cause, notice.text, notice.sip_status)
        self._changed()
        return True


def in_order(peers: Iterable[Peer], random: Random) -> list[Peer]:
    """By priority, and among equals by chance as their weights are (as RFC 2782 has it)."""

    def rank(peer: Peer) -> tuple[int, float]:
        # The greatest of weighted draws u^(1/w): each is first as often as its weight says.
        return peer.priority, -(random.random() ** (1 / peer.weight))

    return sorted(peers, key=rank)
