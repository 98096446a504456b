"""The registrar's bindings (RFC 3261 §10.3, RFC 5626 §6), pure: `now` in, events out.

Which proxies lead to a phone is kept with its binding (Path, RFC 3327). An instance that asks for
it is told its GRUUs (RFC 5627).

An address of record is known by its user part alone: one registrar serves one tenant, and a phone
may name it by any of its `domains` (none given: by any host). Parameters, port and scheme of the To
URI do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random, SystemRandom
from secrets import token_bytes

from signaling.errors import SipParseError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.grammar import as_utf8, lower
from signaling.sip.gruu import Gruus, is_gruu
from signaling.sip.headers import STAR, NameAddr
from signaling.sip.message import Request
from signaling.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class RegistrarSettings:
    """Limits of one registrar."""

    default_expires_s: int = 3600
    minimum_expires_s: int = 60
    maximum_expires_s: int = 7200
    maximum_contacts: int = 10
    """Bindings an address of record may hold."""
    domains: frozenset[str] = frozenset()
    """Hosts that we serve, lower case; empty admits any."""
    stream_flow_timer_s: int = 120
    """How often a phone with outbound must show that its connection lives (RFC 5626 §5.4)."""
    datagram_flow_timer_s: int = 29
    """The same over UDP, where a NAT forgets soon (RFC 5626 §4.4.2)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One place where a user can be reached."""

    user: str
    contact: NameAddr
    """As registered, without `expires`; its URI keeps its parameters and headers."""
    call_id: str
    cseq: int
    expires_at: float
    flow: Flow
    """By which it was registered."""
    q: float
    instance: str | None = None
    """The URN of `+sip.instance`, without its angle brackets (RFC 5626 §4.1)."""
    reg_id: int | None = None
    """Which of its flows, where the instance has several (RFC 5626 §4.2)."""
    path: tuple[NameAddr, ...] = ()
    """The proxies that lead to it, ours first: the Route of what is sent to it (RFC 3327 §5.3)."""

    @property
    def bound_to_flow(self) -> bool:
        """The phone is reached over its own connection only, and gone with it."""
        return self.flow.connection != 0

    def gives_way_to(self, new: Binding) -> bool:
        """Whether a new binding takes its place (RFC 3261 §10.3 step 7, RFC 5626 §6).

        A phone with an instance may bind one URI over several flows, told apart by `reg-id`.
        """
        if new.reg_id is not None and self.reg_id is not None:
            return self.is_of(new.instance) and self.reg_id == new.reg_id
        return self.contact.uri.equivalent(new.contact.uri)

    def is_same_as(self, new: Binding) -> bool:
        """Whether a new binding but refreshes this one."""
        named = (self.instance, self.reg_id) == (new.instance, new.reg_id)
        return named and self.contact.uri.equivalent(new.contact.uri)

    def is_of(self, instance: str | None) -> bool:
        """Whether it is that instance's; URNs are the same in any case (RFC 8141 §3.1)."""
        if instance is None or self.instance is None:
            return instance is self.instance
        return lower(instance) == lower(self.instance)


class Loss(StrEnum):
    """Why a binding ended."""

    REMOVED = "removed"
    """The phone said so."""
    CONNECTION_LOST = "connection lost"
    REPLACED = "replaced"
    """The same instance registered another contact."""
    WITHDRAWN = "withdrawn"
    """Its user may register no more, or by another password alone."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A binding was made or refreshed."""

    binding: Binding
    expires_s: int
    refreshed: bool


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A binding was taken back, replaced, withdrawn, or lost with its connection."""

    binding: Binding
    loss: Loss


@dataclass(frozen=True, slots=True)
class Expired:
    """A binding was not refreshed in time."""

    binding: Binding


RegistrarEvent = Registered | Unregistered | Expired


@dataclass(frozen=True, slots=True)
class RegisterAnswer:
    """What to answer a REGISTER."""

    status: int
    reason: str | None = None
    headers: Sequence[tuple[str, str]] = ()


class _Refused(Exception):
    """A REGISTER that changes nothing; carries its answer."""

    def __init__(self, status: int, reason: str, *headers: tuple[str, str]) -> None:
        super().__init__(reason)
        self.answer = RegisterAnswer(status, reason, headers)


@dataclass(slots=True)
class _Update:
    """One REGISTER's changes, gathered first so that all or none take place."""

    held: Sequence[Binding]
    """What there was."""
    bindings: list[Binding]
    """What there will be."""
    events: list[RegistrarEvent] = field(default_factory=list)


class Registrar:
    """Bindings of all users. Not thread-safe; every method leaves it consistent."""

    def __init__(
        self, settings: RegistrarSettings | None = None, random: Random | None = None
    ) -> None:
        self.settings = settings or RegistrarSettings()
        self._bindings: dict[str, list[Binding]] = {}
        self._events: list[RegistrarEvent] = []
        self._gruus = Gruus(token_bytes(32), random or SystemRandom())

    def restore(self, binding: Binding, now: float) -> None:
        """A binding that was made before this registrar began."""
        self._store(binding.user, [*self._bindings.get(binding.user, ()), binding])
        expires_s = round(binding.expires_at - now)
        self._events.append(Registered(binding, expires_s, refreshed=False))

    def check(self, request: Request) -> RegisterAnswer | None:
        """What is wrong with a REGISTER whoever sent it (steps 1 and 5); None where nothing is."""
        try:
            self._user(request.to.uri, request.uri)
        except _Refused as refused:
            return refused.answer
        return None

    def register(self, request: Request, flow: Flow, now: float) -> RegisterAnswer:
        """Carry out a REGISTER whose sender may do so, and say what to answer."""
        self.handle_timer(now)
        try:
            user = self._user(request.to.uri, request.uri)
            update = self._update(user, request, flow, now)
        except _Refused as refused:
            return refused.answer
        except SipParseError as error:
            return RegisterAnswer(400, str(error))
        self._store(user, update.bindings)
        self._events.extend(update.events)
        return self._answer(user, request, flow, now)

    def bindings(self, user: str, now: float) -> list[Binding]:
        """Where a user can be reached now: highest q first, among equals the latest refreshed."""
        held = reversed(self._bindings.get(user, ()))
        return sorted((b for b in held if b.expires_at > now), key=lambda b: -b.q)

    def phones(self, user: str, now: float, instance: str | None = None) -> list[Binding]:
        """Those bindings to ring together, at one instance alone where one is given.

        An instance that has several flows is rung by its latest alone; the others are for when that
        one fails (RFC 5626 §5.3).
        """
        rung: list[Binding] = []
        for binding in self.bindings(user, now):
            again = binding.reg_id is not None and any(
                other.reg_id is not None and other.is_of(binding.instance) for other in rung
            )
            if not again and (instance is None or binding.is_of(instance)):
                rung.append(binding)
        return rung

    def resolve(self, uri: Uri) -> tuple[str, str | None] | None:
        """The user that an address of ours leads to, and the instance where it is a GRUU.

        None where it leads to nobody: a temporary GRUU whose instance is registered no more.
        """
        if is_gruu(uri):
            return self._gruus.resolve(uri)
        return None if uri.user is None else (as_utf8(uri.user), None)

    def names(self, uri: Uri, binding: Binding) -> bool:
        """Whether an address is that of a binding: its contact, or a GRUU of its instance."""
        if is_gruu(uri):
            user, instance = self._gruus.resolve(uri) or ("", None)
            return user == binding.user and instance is not None and binding.is_of(instance)
        contact = binding.contact.uri
        if binding.flow.transport.is_stream:  # who connects anew has another port
            return (contact.user, contact.host) == (uri.user, uri.host)
        return contact.equivalent(uri)

    def users(self) -> list[str]:
        """All users that have a binding."""
        return list(self._bindings)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone: so are the bindings that were made over it (RFC 5626 §7)."""
        for user, bindings in list(self._bindings.items()):
            lost = [
                binding for binding in bindings if binding.bound_to_flow and binding.flow == flow
            ]
            if lost:
                self._store(user, [binding for binding in bindings if binding not in lost])
                self._events += [Unregistered(binding, Loss.CONNECTION_LOST) for binding in lost]

    def forget(self, user: str) -> None:
        """Let go of all that a user has registered."""
        gone = self._bindings.get(user, [])
        self._store(user, [])
        self._events += [Unregistered(binding, Loss.WITHDRAWN) for binding in gone]

    def handle_timer(self, now: float) -> None:
        """Let go of what expired by `now`."""
        for user, bindings in list(self._bindings.items()):
            expired = [binding for binding in bindings if binding.expires_at <= now]
            if expired:
                self._store(user, [binding for binding in bindings if binding not in expired])
                self._events += [Expired(binding) for binding in expired]

    def next_deadline(self) -> float | None:
        """When `handle_timer` is due."""
        return min((b.expires_at for held in self._bindings.values() for b in held), default=None)

    def take_events(self) -> list[RegistrarEvent]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    # -- steps of RFC 3261 §10.3 -------------------------------------------------------------------

    def _user(self, address: Uri, registrar: Uri) -> str:
        """Steps 1 and 5: the address of record, where it is one of ours."""
        if not address.is_sip:
            raise _Refused(400, "To Is Not A SIP Address")
        if address.user is None:
            raise _Refused(404, "No Such Address Of Record")
        domains = self.settings.domains
        if domains and not (address.host in domains and registrar.host in domains):
            raise _Refused(404, "Domain Not Served")
        return address.user

    def _update(self, user: str, request: Request, flow: Flow, now: float) -> _Update:
        held = list(self._bindings.get(user, ()))
        contacts = request.contacts
        cseq = request.cseq.number
        if contacts is STAR:
            return self._remove_all(held, request)
        if sum(contact.parameter("reg-id") is not None for contact in contacts) > 1:
            raise _Refused(400, "More Than One reg-id")  # RFC 5626 §6
        path = _path(request)
        outbound = _first_hop_knows_outbound(request, path)
        update = _Update(held, list(held))
        for contact in contacts:
            if not contact.uri.is_sip:
                raise _Refused(400, "Contact Is Not A SIP Address")
            expires_s = self._granted(contact, request)
            reg_id = _reg_id(contact)
            if reg_id is not None and not outbound and "outbound" in request.supported:
                raise _Refused(439, "First Hop Lacks Outbound Support")  # RFC 5626 §6
            self._apply(
                update,
                Binding(
                    user=user,
                    contact=_without_expires(contact),
                    call_id=request.call_id,
                    cseq=cseq,
                    expires_at=now + expires_s,
                    flow=flow,
                    q=contact.q,
                    instance=_instance(contact),
                    reg_id=reg_id if outbound else None,
                    path=path,
                ),
                expires_s,
            )
        if len(update.bindings) > self.settings.maximum_contacts:
            raise _Refused(403, "Too Many Contacts")
        return update

    def _remove_all(self, held: list[Binding], request: Request) -> _Update:
        """Step 6: `Contact: *`."""
        if request.expires != 0:
            raise _Refused(400, "Contact * Needs Expires 0")
        for binding in held:
            _refuse_stale(binding, request.call_id, request.cseq.number)
        return _Update(held, [], [Unregistered(binding, Loss.REMOVED) for binding in held])

    def _granted(self, contact: NameAddr, request: Request) -> int:
        """Step 7: the lifetime that a contact gets, in seconds; 423 for one that is too short."""
        wanted = contact.expires
        if wanted is None:
            wanted = request.expires
        if wanted is None:
            wanted = self.settings.default_expires_s
        # §10.3 allows 423 only below one hour, whatever the setting.
        shortest = min(self.settings.minimum_expires_s, 3600)
        if 0 < wanted < shortest:
            raise _Refused(423, "Interval Too Brief", ("Min-Expires", str(shortest)))
        return min(wanted, self.settings.maximum_expires_s)

    def _apply(self, update: _Update, new: Binding, expires_s: int) -> None:
        """Add, refresh, replace or remove one binding in the update."""
        old = [binding for binding in update.bindings if binding.gives_way_to(new)]
        for binding in old:
            if binding in update.held:  # else this very request named the place twice
                _refuse_stale(binding, new.call_id, new.cseq)
            update.bindings.remove(binding)
        loss = Loss.REPLACED if expires_s else Loss.REMOVED
        gone = [binding for binding in old if not (expires_s and binding.is_same_as(new))]
        update.events += [Unregistered(binding, loss) for binding in gone]
        if expires_s:
            update.bindings.append(new)
            update.events.append(Registered(new, expires_s, refreshed=len(gone) < len(old)))

    def _answer(self, user: str, request: Request, flow: Flow, now: float) -> RegisterAnswer:
        """Step 8: every current binding, with what is left of its life."""
        headers = []
        for binding in self.bindings(user, now):
            left_s = max(1, round(binding.expires_at - now))
            contact = binding.contact.with_parameter("expires", str(left_s))
            if "gruu" in request.supported and binding.instance is not None:
                public, temporary = self._gruus.issue(
                    request.to.uri, user, binding.instance, binding.call_id
                )
                contact = contact.with_parameter("pub-gruu", str(public))
                contact = contact.with_parameter("temp-gruu", str(temporary))
            headers.append(("Contact", str(contact)))
        if "path" in request.supported:
            headers += [("Path", str(hop)) for hop in _path(request)]  # RFC 3327 §5.3
        contacts = request.contacts
        outbound = contacts is not STAR and any(
            _reg_id(contact) is not None for contact in contacts
        )
        if outbound and "outbound" in request.supported:
            headers.append(("Require", "outbound"))  # RFC 5626 §6
            if len(request.vias) == 1:  # else its flow ends at the first proxy, which says so
                headers.append(("Flow-Timer", str(self._flow_timer_s(flow))))
        return RegisterAnswer(200, headers=headers)

    def _flow_timer_s(self, flow: Flow) -> int:
        if flow.transport is TransportKind.UDP:
            return self.settings.datagram_flow_timer_s
        return self.settings.stream_flow_timer_s

    def _store(self, user: str, bindings: list[Binding]) -> None:
        if bindings:
            self._bindings[user] = bindings
        else:
            self._bindings.pop(user, None)
        self._gruus.keep(user, [binding.instance for binding in bindings if binding.instance])


def _refuse_stale(binding: Binding, call_id: str, cseq: int) -> None:
    """Steps 6 and 7: a request no newer than what it would change fails as a whole."""
    if binding.call_id == call_id and cseq <= binding.cseq:
        raise _Refused(500, "CSeq Out Of Order")


def _instance(contact: NameAddr) -> str | None:
    text = contact.parameter("+sip.instance") or ""
    return text.removeprefix("<").removesuffix(">") or None


def _path(request: Request) -> tuple[NameAddr, ...]:
    """The proxies that lead to the phone, ours first. Raises SipParseError, and _Refused.

    Kept too where the phone does not say that it knows Path (RFC 3327 §5.3): nothing else reaches
    it.
    """
    hops = tuple(
        hop for line in request.headers.get_all("Path") for hop in NameAddr.parse_many(line)
    )
    if not all(hop.uri.is_sip and hop.uri.has_parameter("lr") for hop in hops):
        raise _Refused(400, "Path Is Not Of Loose Routers")
    return hops


def _first_hop_knows_outbound(request: Request, path: Sequence[NameAddr]) -> bool:
    """Whether the phone's flow ends here, or at a proxy that keeps it (RFC 5626 §6, §5.1)."""
    if path:
        return path[-1].uri.has_parameter("ob")
    return len(request.vias) == 1


def _reg_id(contact: NameAddr) -> int | None:
    """The `reg-id`, which means nothing without an instance (RFC 5626 §6)."""
    text = contact.parameter("reg-id") or ""
    if not contact.parameter("+sip.instance") or not (text.isascii() and text.isdigit()):
        return None
    return int(text[:10])


def _without_expires(contact: NameAddr) -> NameAddr:
    kept = tuple((name, value) for name, value in contact.parameters if name.lower() != "expires")
    return NameAddr(contact.display_name, contact.uri, kept)
