"""Trunks: lines to the public network, through peers that take turns, or through an account.

A number goes to the trunks that the dial plan says, in that order: to the first that can show the
caller's number, lives and has a line free; where that one fails before anything rang, to its next
peer, and then to the next trunk. What a trunk's networks send us is taken without a digest, and is
for whom the plan means by the called number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random, SystemRandom

from endpoint.legs.base import (
    Cause,
    DeviceId,
    LegId,
    PlaceLeg,
    RegistrationEvent,
    Side,
    TrunkDown,
    TrunkEvent,
    TrunkUp,
)
from endpoint.legs.line import (
    NO_TRANSFERS,
    AccountSettings,
    OutsideAccounts,
    Refusal,
    Target,
    Transfers,
    Way,
    shown,
)
from endpoint.legs.numbering import (
    Course,
    Numbering,
    NumberRefused,
    NumberRule,
    TrunkNumbers,
    Ways,
    matches,
    telephone_of,
)
from endpoint.legs.peer import AccountPeer, Peer, PeerSettings, StaticPeer, in_order
from endpoint.legs.session import CallSession
from endpoint.legs.terms import AudioTerms
from signaling.peers import TrustedPeers
from signaling.sip.headers import NameAddr
from signaling.sip.identity import ANONYMOUS, Claim, caller_of, identity_headers, number_of
from signaling.sip.liveness import LivenessSettings, LivenessState
from signaling.sip.uri import Uri
from signaling.supervision import Work
from signaling.user_agent import UserAgent


@dataclass(frozen=True, slots=True)
class TrunkSettings:
    """A line to the public network."""

    name: str
    peers: tuple[PeerSettings, ...] = ()
    account: AccountSettings | None = None
    """In place of peers: registered at its server, whose calls come over that registration."""
    networks: tuple[str, ...] = ()
    """Where its calls come from; what comes from there needs no digest."""
    order: int = 1
    """A lower one is tried before a higher one."""
    outgoing: tuple[NumberRule, ...] = (NumberRule("*"),)
    """Which numbers it takes, and how they are dialled there: for the dial plan."""
    incoming: tuple[NumberRule, ...] = ()
    """Which of its numbers mean which devices: for the dial plan."""
    numbers: tuple[str, ...] = ()
    """The callers' numbers that it may show, also as beginnings with `*`; empty: any."""
    device_numbers: Mapping[DeviceId, str] = field(default_factory=dict)
    """What is shown for a device that asks for nothing else."""
    default_number: str = ""
    """What is shown for all others; empty: the device itself."""
    domain: str = ""
    """Host of our address there, as some peers want it; empty: our own. Not with an account."""
    claim: Claim = Claim.ASSERTED
    """How the number is said; with `NONE` the trunk's own word for who calls is not believed."""
    audio: AudioTerms = field(default_factory=AudioTerms)
    transfers: Transfers = NO_TRANSFERS
    """How its far ends are transferred, and whether they may transfer."""
    most_calls: int | None = None
    """At once, both ways."""
    first_response_s: float = 4.0
    """See `Way`."""
    liveness: LivenessSettings | None = field(default_factory=LivenessSettings)
    """How its peers are asked whether they live; None: they are taken to."""


@dataclass(frozen=True, slots=True)
class PeerState:
    """How one of its peers is."""

    name: str
    state: LivenessState
    text: str
    """Why it takes no calls."""


@dataclass(frozen=True, slots=True)
class TrunkState:
    """How a trunk is now."""

    name: str
    up: bool
    calls: int
    most_calls: int | None
    peers: tuple[PeerState, ...]


def numbers_of(trunks: Iterable[TrunkSettings]) -> tuple[TrunkNumbers, ...]:
    """What the dial plan needs of trunks."""
    ordered = sorted(trunks, key=lambda each: each.order)
    return tuple(TrunkNumbers(each.name, each.outgoing, each.incoming) for each in ordered)


def peers_of(
    settings: TrunkSettings, user_agent: UserAgent, accounts: OutsideAccounts, domain: str
) -> Sequence[Peer]:
    """The ends of a trunk, that are not open yet."""
    if settings.account is not None:
        return [AccountPeer(accounts, settings.name, settings.account)]
    here = settings.domain or domain
    return [StaticPeer(user_agent, each, here, settings.liveness) for each in settings.peers]


class Trunk(Way):
    """One trunk, its peers and its calls."""

    def __init__(
        self,
        settings: TrunkSettings,
        peers: Sequence[Peer],
        occupy: Callable[[LegId, Trunk], bool],
        numbering: Numbering,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.first_response_s = settings.first_response_s
        self.peers = peers
        self.calls: set[LegId] = set()
        self._occupy = occupy
        self._numbering = numbering
        self._networks = TrustedPeers(settings.networks)

    def __repr__(self) -> str:
        return f"<Trunk {self.name} {len(self.calls)} calls>"

    # -- as a way -------------------------------------------------------------------------------

    def enter(self, leg: LegId) -> bool:
        """See `Way`."""
        return self._occupy(leg, self)

    def fail(self) -> None:
        """See `Way`: its peers are asked at once whether they live."""
        for peer in self.peers:
            peer.suspect()

    @property
    def is_full(self) -> bool:
        """No further call may go over it."""
        most = self.settings.most_calls
        return most is not None and len(self.calls) >= most

    @property
    def is_up(self) -> bool:
        """Some peer may take calls."""
        return any(peer.is_up for peer in self.peers)

    def refuses(self, request: PlaceLeg, course: Course) -> Refusal | None:
        """Why the trunk takes no such call now, whatever its number."""
        number = self.number_for(request, course)
        if not self.may_show(number):
            return Refusal(
                Cause.CALLER_NOT_ALLOWED,
                f"trunk {self.name} does not show {number}: "
                "give one of its numbers, or the device one in its device_numbers",
                refused_by=Side.ENDPOINT,
            )
        if not self.is_up:
            failures = [peer.failure.text for peer in self.peers if peer.failure is not None]
            text = "; ".join(failures) or "it is not registered yet"
            return Refusal(
                Cause.TRUNKS_DOWN, f"trunk {self.name} is down: {text}", refused_by=Side.ENDPOINT
            )
        if self.is_full:
            most = self.settings.most_calls
            return Refusal(
                Cause.TRUNK_FULL,
                f"trunk {self.name} has all of its {most} calls",
                refused_by=Side.ENDPOINT,
            )
        return None

    @property
    def believes(self) -> bool:
        """What its far ends say of their callers, and ask of us, is taken for true."""
        return self.settings.claim is not Claim.NONE

    @property
    def state(self) -> TrunkState:
        """How it is now."""
        peers = tuple(
            PeerState(peer.name, peer.state, peer.failure.text if peer.failure else "")
            for peer in self.peers
        )
        return TrunkState(self.name, self.is_up, len(self.calls), self.settings.most_calls, peers)

    # -- numbers --------------------------------------------------------------------------------

    def number_for(self, request: PlaceLeg, course: Course) -> str:
        """The number that is to be shown for a caller."""
        settings = self.settings
        of_device = settings.device_numbers.get(request.calling) or settings.default_number
        return request.calling_number or course.shown or of_device or request.calling

    def emergency_number_for(self, request: PlaceLeg, course: Course) -> str:
        """The number by which who is in need is called back: the plan's, else one of the trunk's.

        What a client wants to be shown counts for nothing, and no call fails for it.
        """
        of_trunk = self.number_for(replace(request, calling_number=""), replace(course, shown=""))
        may = (each for each in (course.shown, of_trunk) if each and self.may_show(each))
        return next(may, self.settings.default_number or of_trunk)

    def may_show(self, number: str) -> bool:
        """Whether the trunk lets us show it."""
        numbers = self.settings.numbers
        return not numbers or any(matches(number, pattern) for pattern in numbers)

    def owns(self, session: CallSession) -> bool:
        """The INVITE came from one of its networks, or over its registration."""
        flow = session.flow
        if flow is None:
            return False
        return flow.host in self._networks or any(peer.leads_to(flow) for peer in self.peers)

    def device_for(self, session: CallSession) -> DeviceId | NumberRefused:
        """Whom an INVITE of the trunk is for, by the dial plan.

        Some servers call the account that is registered and tell the number in To alone.
        """
        request = session.request
        caller = number_of(caller_of(request, trusted=self.believes).address.uri)
        found = self._numbering.incoming(self.name, number_of(request.uri), caller)
        is_account = number_of(request.uri) in [peer.user for peer in self.peers]
        if isinstance(found, NumberRefused) and not found.by_rule and is_account:
            return self._numbering.incoming(self.name, number_of(request.to.uri), caller)
        return found

    # -- calls out ------------------------------------------------------------------------------

    def targets(
        self, request: PlaceLeg, course: Course, random: Random, *, emergency: bool = False
    ) -> Iterator[Target]:
        """An INVITE for each peer that may take calls, in the order in which they are tried.

        In an emergency also for those that seem to be dead, after the others, and for a trunk that
        has all of its calls: its far end may know better.
        """
        shown_number = self.number_for(request, course)
        claim, number = self.settings.claim, course.number
        headers: tuple[tuple[str, str], ...] = ()
        peers = in_order([peer for peer in self.peers if peer.is_up], random)
        if emergency:
            shown_number = self.emergency_number_for(request, course)
            request = replace(request, withheld=False)
            peers = [*peers, *in_order([peer for peer in self.peers if not peer.is_up], random)]
            headers = location_headers(course.location)
        for peer in peers:
            caller = NameAddr(
                shown(request.calling_name), Uri("sip", shown_number, host=peer.domain)
            )
            uri = peer.uri(number)
            yield Target(
                uri=uri,
                from_=ANONYMOUS if request.withheld else caller,
                to=NameAddr("", uri.without_parameters()),
                flow=peer.flow,
                routes=peer.routes,
                credentials=peer.credentials,
                contact_user=peer.user,
                audio=self.settings.audio,
                transfers=self.settings.transfers,
                headers=(*identity_headers(caller, claim, withheld=request.withheld), *headers),
                way=EmergencyWay(self) if emergency else self,
                hosts=frozenset(each.uri(number).host for each in self.peers),
                numbers=course.rules,
            )


def location_headers(location: str) -> tuple[tuple[str, str], ...]:
    """Where who is in need is, by reference (RFC 6442 §4.1), for routing too (§4.2)."""
    if not location:
        return ()
    return (("Geolocation", f"<{location}>"), ("Geolocation-Routing", "yes"))


class EmergencyWay(Way):
    """A trunk for who is in need: it counts the call, and is never full."""

    def __init__(self, trunk: Trunk) -> None:
        self.name = trunk.name
        self.first_response_s = trunk.first_response_s
        self._trunk = trunk

    def enter(self, leg: LegId) -> bool:
        """See `Way`."""
        self._trunk.enter(leg)
        return True

    def fail(self) -> None:
        """See `Way`."""
        self._trunk.fail()


class Trunks:
    """All trunks; `tell` hears of each that goes up or down."""

    def __init__(
        self,
        user_agent: UserAgent,
        accounts: OutsideAccounts,
        settings: Iterable[TrunkSettings],
        domain: str,
        tell: Callable[[TrunkEvent], None],
        numbering: Numbering,
        random: Random | None = None,
    ) -> None:
        """Set up; registered ones have their accounts among `accounts`, once they are `open`."""
        self._numbering = numbering
        self._tell = tell
        self._random = random or SystemRandom()
        self._of_leg: dict[LegId, Trunk] = {}
        self._told: dict[str, bool] = {}
        self._trunks = [
            Trunk(each, peers_of(each, user_agent, accounts, domain), self._occupy, numbering)
            for each in sorted(settings, key=lambda each: each.order)
        ]

    def __repr__(self) -> str:
        return f"<Trunks {self._trunks}>"

    def __iter__(self) -> Iterator[Trunk]:
        return iter(self._trunks)

    # -- their life -----------------------------------------------------------------------------

    def works(self) -> Iterator[tuple[str, Work]]:
        """For each peer by name: open it and follow what becomes of it, until cancelled."""
        for trunk in self._trunks:
            for peer in trunk.peers:
                name = f"peer {peer.name} of trunk {trunk.settings.name}"
                yield name, partial(peer.run, partial(self._turned, trunk))

    def take(self, notice: RegistrationEvent) -> bool:
        """News of an account; False where it is none of a trunk's."""
        return any(peer.take(notice) for trunk in self._trunks for peer in trunk.peers)

    def _turned(self, trunk: Trunk) -> None:
        """Tell, where some peer takes calls now and none did, or the other way round."""
        states = [peer.state for peer in trunk.peers]
        if LivenessState.UP in states:
            up = True
        elif all(state is LivenessState.DOWN for state in states):
            up = False
        else:
            return  # not known yet
        if self._told.get(trunk.name) is up:
            return
        self._told[trunk.name] = up
        failures = [peer.failure for peer in trunk.peers if peer.failure is not None]
        text = "; ".join(failure.text for failure in failures)
        if up:
            self._tell(TrunkUp(trunk.name, text))
        else:
            last = failures[-1]
            self._tell(TrunkDown(trunk.name, last.cause, last.sip_status, text))

    # -- calls ----------------------------------------------------------------------------------

    def targets(self, request: PlaceLeg, ways: Ways) -> Sequence[Target] | Refusal:
        """See `Trunking`. What stands against all trunks of the courses is the refusal."""
        found: list[Target] = []
        against: list[Refusal] = []
        trunks = {trunk.name: trunk for trunk in self._trunks}
        for course in ways.courses:
            trunk = trunks[course.trunk]
            refusal = None if ways.emergency else trunk.refuses(request, course)
            if refusal is None:
                found += trunk.targets(request, course, self._random, emergency=ways.emergency)
            else:
                against.append(refusal)
        if found:
            return [replace(target, turn=turn) for turn, target in enumerate(found)]
        if against:
            return max(against, key=lambda refusal: _NEAREST.index(refusal.cause))
        names = ", ".join(course.trunk for course in ways.courses) or "no trunk"
        text = f"{names}: there is no far end that could be tried"
        return Refusal(Cause.TRUNKS_DOWN, text, refused_by=Side.ENDPOINT)

    def of(self, session: CallSession) -> Trunk | None:
        """The trunk that an INVITE came from; of several there, the one whose number is called."""
        owners = [trunk for trunk in self._trunks if trunk.owns(session)]
        called = (trunk for trunk in owners if isinstance(trunk.device_for(session), str))
        return next(called, owners[0] if owners else None)

    def leave(self, leg: LegId) -> None:
        """The leg is over, or was refused."""
        trunk = self._of_leg.pop(leg, None)
        if trunk is not None:
            trunk.calls.discard(leg)

    def rename(self, leg: LegId, to: LegId) -> None:
        """Another leg goes on with the call."""
        trunk = self._of_leg.pop(leg, None)
        if trunk is not None:
            self._of_leg[to] = trunk
            trunk.calls.discard(leg)
            trunk.calls.add(to)

    def reach_telephone_of(self, device: DeviceId) -> bool:
        """Whether it is a remote agent, to whose telephone a trunk leads that is up."""
        number = telephone_of(device)
        ways = None if number is None else self._numbering.outgoing(number, device)
        ups = {trunk.name for trunk in self._trunks if trunk.is_up}
        return isinstance(ways, Ways) and any(course.trunk in ups for course in ways.courses)

    def _occupy(self, leg: LegId, trunk: Trunk) -> bool:
        if self._of_leg.get(leg) is trunk:
            return True
        self.leave(leg)
        if trunk.is_full:
            return False
        self._of_leg[leg] = trunk
        trunk.calls.add(leg)
        return True


_NEAREST = (Cause.CALLER_NOT_ALLOWED, Cause.TRUNKS_DOWN, Cause.TRUNK_FULL)
"""What is told where trunks refuse for several reasons: the last of these, which came nearest."""
