"""Lines: how a device is reached, and how the outside reaches us.

A line is asked for the places to send an INVITE to. The first line that leads to the device wins:
our own registrar; for numbers that are not ours what the dial plan says (`numbering.py`): the
caller's account at an outside sipWsServer, or trunks (`trunk.py`).
"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    DigitKind,
    InteractionId,
    LegId,
    LegRole,
    PlaceLeg,
    Side,
)
from endpoint.legs.base import RegistrationEvent as RegistrationNotice
from endpoint.legs.cause import cause_of_error, cause_of_status
from endpoint.legs.numbering import (
    Numbering,
    NumberRefused,
    NumberRule,
    Ways,
    telephone_of,
)
from endpoint.legs.pjsip import PjsipLines
from endpoint.legs.session import CallSession
from endpoint.legs.terms import LOCAL, AudioTerms, Protection
from signaling import registrar
from signaling.errors import SipParseError
from signaling.server import SipServer
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.identity import ANONYMOUS
from signaling.sip.uri import Uri
from signaling.transport.tls import TlsPolicy
from signaling.user_agent import (
    Account,
    Registered,
    RegistrationEvent,
    RegistrationFailed,
    Unregistered,
    UserAgent,
)


class MediaEngine(StrEnum):
    """Whose SIP and RTP an account's calls are."""

    ENDPOINT = "endpoint"
    """Ours."""
    PJSIP = "pjsip"
    """PJSIP's, in a process of its own."""


_WEBSOCKETS = (TransportKind.WS, TransportKind.WSS)
_LOSSES: dict[registrar.Loss, Cause] = {
    registrar.Loss.REMOVED: Cause.NORMAL,
    registrar.Loss.CONNECTION_LOST: Cause.UNREACHABLE,
    registrar.Loss.REPLACED: Cause.NORMAL,
    registrar.Loss.WITHDRAWN: Cause.UNAUTHORISED,
}


class Way(Protocol):
    """What a target belongs to, where that counts its calls and wants to know of failures."""

    name: str
    first_response_s: float
    """Longer than this nobody waits for a first response, `100 Trying` among them."""

    def enter(self, leg: LegId) -> bool:
        """Count a leg's call, until the leg is over or enters another way. False: it is full."""

    def fail(self) -> None:
        """It did not take a call."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """What a line does about transfers (RFC 3515)."""

    by_refer: bool = False
    """Its far end is asked to call the new party, instead of our staying in the middle."""
    accepts: bool = False
    """Its far end may ask us for one."""
    are_ours: bool = False
    """Its far ends are phones of our devices, and dial for them."""


NO_TRANSFERS = Transfers()
OF_OUR_PHONES = Transfers(accepts=True, are_ours=True)
"""A phone that is registered with us may transfer whom it talks with."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place to send an INVITE to."""

    uri: Uri
    """The Request-URI."""
    from_: NameAddr
    to: NameAddr
    flow: Flow | None = None
    """The one way there; None resolves the URI's host."""
    credentials: DigestCredentials | None = None
    contact_user: str | None = None
    audio: AudioTerms = field(default_factory=AudioTerms)
    """How audio is to go there."""
    routes: tuple[NameAddr, ...] = ()
    """The proxies on the way (Path of a phone, Service-Route of an account)."""
    transfers: Transfers = field(default_factory=Transfers)
    """How who is reached there is transferred, and may transfer."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones of the INVITE."""
    turn: int = 0
    """Those of a later turn are rung where none of an earlier one has taken the call."""
    way: Way | None = None
    is_phone: bool = False
    """A telephone that is registered with us: where it redirects to is a number, for any line."""
    hosts: frozenset[str] = frozenset()
    """Of a line outside: hosts of it beside the target's own, where a 3xx may lead."""
    numbers: tuple[NumberRule, ...] = ()
    """What the line takes: to no other number may a 3xx lead. Empty: it takes any."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no way to a device."""

    cause: Cause
    text: str
    sip_status: int | None = None
    refused_by: Side = Side.NETWORK


class Line(Protocol):
    """A way to devices."""

    def targets(self, request: PlaceLeg) -> Sequence[Target] | Refusal:
        """Where to send the INVITE, all of a turn at once; empty: it does not lead there."""


class OwnRegistrar:
    """Devices whose phones are registered at our own sipWsServer."""

    def __init__(
        self,
        server: SipServer,
        domain: str,
        *,
        websocket_media: Protection,
        telephone_media: Protection,
        tls_media: Protection,
    ) -> None:
        self._server = server
        self._domain = domain
        self._websocket_media = websocket_media
        self._telephone_media = telephone_media
        self._tls_media = tls_media
        self._instances: dict[InteractionId, tuple[DeviceId, str]] = {}

    def narrow(self, interaction: InteractionId, device: DeviceId, instance: str) -> None:
        """In this interaction the device is that one phone: its GRUU was called (RFC 5627)."""
        self._instances[interaction] = device, instance

    def forget(self, interaction: InteractionId) -> None:
        """The interaction is over."""
        self._instances.pop(interaction, None)

    def targets(self, request: PlaceLeg) -> Sequence[Target] | Refusal:
        """The device's phones, best first."""
        device, instance = self._instances.get(request.interaction, (None, None))
        if device != request.device:
            instance = None
        caller = Uri("sip", request.on_behalf_of or request.calling, host=self._domain)
        from_ = ANONYMOUS if request.withheld else NameAddr(shown(request.calling_name), caller)
        to = NameAddr("", Uri("sip", request.device, host=self._domain))
        return [
            Target(
                uri=phone.uri,
                flow=phone.flow,
                routes=phone.routes,
                from_=from_,
                to=to,
                audio=AudioTerms(self.protection(phone.flow)),
                transfers=OF_OUR_PHONES,
                is_phone=True,
            )
            for phone in self._server.targets(request.device, instance)
        ]

    def take(self, event: registrar.RegistrarEvent) -> RegistrationNotice | None:
        """What a binding's event means for its device; None where that is no news."""
        device = DeviceId(event.binding.user)
        match event:
            case registrar.Registered(binding=binding, expires_s=expires_s, refreshed=refreshed):
                if refreshed:
                    return None
                return DeviceRegistered(device, str(binding.contact.uri), expires_s)
            case registrar.Unregistered(loss=loss):
                return self._gone(device, _LOSSES[loss], str(loss))
            case registrar.Expired():
                return self._gone(device, Cause.NOT_REGISTERED, "registration expired")

    def _gone(self, device: DeviceId, cause: Cause, text: str) -> RegistrationNotice | None:
        if self._server.targets(device):  # another phone of the device is there still
            return None
        return DeviceUnregistered(device, cause, text=text)

    def protections(self, device: DeviceId) -> set[Protection]:
        """What is offered to the phones of a device."""
        return {self.protection(phone.flow) for phone in self._server.targets(device)}

    def protection(self, flow: Flow | None) -> Protection:
        """What is offered to a phone that is reached so: who speaks WebSocket is a browser."""
        if flow is not None and flow.transport in _WEBSOCKETS:
            return self._websocket_media
        if flow is not None and flow.transport is TransportKind.TLS:
            return self._tls_media
        return self._telephone_media


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """A device's account at an outside sipWsServer."""

    device: DeviceId
    uri: str
    """Address of record, as `sip:6002@pbx.example`."""
    server: str
    """`wss://host:port/path`, `ws://…`, or a SIP URI, as `sip:host:port` or `sips:host`."""
    username: str
    """For the digest; mostly the user of `uri`."""
    password: str | None = None
    ha1: Mapping[str, str] | None = None
    """Algorithm → HA1, where the password is not kept. Needs `realm`."""
    realm: str | None = None
    """Prove who we are to this realm alone; None: to the one that the server registers us by."""
    display_name: str = ""
    expires_s: int = 600
    ssl_context: ssl.SSLContext | None = None
    """Whose certificates a WSS server may show; None: the system's."""
    tls: TlsPolicy | None = None
    """The same of a server that is reached by SIP over TLS."""
    digits: DigitKind = DigitKind.EVENTS
    """How they are sent there, and looked for."""
    trunk: str = ""
    """Whose account it is where it is no device's: calls to it are for many."""
    media: Protection | None = None
    """What is offered there; None: WebRTC to a WebSocket server, else RTP."""
    instance: str | None = None
    """The telephone's lasting name, a URN; with it the server is asked for outbound (RFC 5626)."""
    gruu: bool = False
    """Be the GRUU that the server gives in calls (RFC 5627)."""
    transfers: Transfers = field(default_factory=Transfers)
    """How its far ends are transferred, and whether they may transfer."""
    engine: MediaEngine = MediaEngine.ENDPOINT
    """With `PJSIP` over UDP or TCP alone; its far ends may transfer, whatever `transfers` says."""

    @property
    def over_websocket(self) -> bool:
        """The server is reached over WS or WSS."""
        return self.server.startswith(("ws://", "wss://"))

    @property
    def protection(self) -> Protection:
        """What is offered there."""
        if self.media is not None:
            return self.media
        return Protection.WEBRTC if self.over_websocket else Protection.RTP

    @property
    def audio(self) -> AudioTerms:
        """What its server wants of audio."""
        if self.engine is MediaEngine.PJSIP:
            return LOCAL
        return AudioTerms(self.protection, digits=self.digits)


class Kept(Protocol):
    """A registration that is kept, as `Registration` is; whoever speaks SIP for it."""

    @property
    def flow(self) -> Flow | None:
        """How calls of the account go; None: not at all now."""

    @property
    def credentials(self) -> DigestCredentials | None:
        """What its calls may prove."""

    @property
    def service_route(self) -> tuple[NameAddr, ...]:
        """The proxies that its calls go by."""

    def unregister(self) -> None:
        """Remove the binding; then `Unregistered`."""


@dataclass(slots=True)
class OutsideAccount:
    """An account that is being kept registered."""

    settings: AccountSettings
    account: Account
    registration: Kept
    failure: Refusal | None = None
    """Why it is not registered now."""

    @property
    def server(self) -> str:
        """The outside server's name, as events say it."""
        return self.account.aor.host

    def owns(self, session: CallSession) -> bool:
        """The INVITE came to this account, by the way that it is registered over."""
        return (
            self.registration.flow is not None
            and session.flow == self.registration.flow
            and session.request.uri.user == self.account.aor.user
        )

    def take(self, event: Registered | RegistrationFailed) -> RegistrationNotice | None:
        """Note what became of it; None where that is no news."""
        device = self.settings.device
        if isinstance(event, Registered):
            self.failure = None
            return DeviceRegistered(device, str(event.contact), event.expires_s, self.server)
        failure = _failure(event, self.server)
        if failure == self.failure:
            return None
        self.failure = failure
        return DeviceUnregistered(
            device, failure.cause, failure.sip_status, self.server, failure.text
        )


class OutsideAccounts:
    """The accounts at outside sipWsServers; as a line, each leads wherever its server leads."""

    def __init__(self, user_agent: UserAgent, pjsip: PjsipLines | None = None) -> None:
        """Set up; without `pjsip` all are registered by our own stack."""
        self._user_agent = user_agent
        self._pjsip = pjsip
        self._numbers = itertools.count(1)
        self._of_device: dict[DeviceId, OutsideAccount] = {}
        self._of_name: dict[str, OutsideAccount] = {}
        """Those too that are being taken back."""

    def has(self, device: DeviceId) -> bool:
        """Whether a device has an account."""
        return device in self._of_device

    def add(self, settings: AccountSettings) -> None:
        """Register a device outside, in place of an account that it has.

        Raises SipParseError for a `uri` or a `sip:` `server` that is none.
        """
        aor = _sip_uri(settings.uri)
        over_websocket = settings.over_websocket
        registrar = None if over_websocket else _sip_uri(settings.server)
        self.remove(settings.device)
        name = f"account-{next(self._numbers)}"
        if over_websocket:
            self._user_agent.connect(name, settings.server, settings.ssl_context)
        account = Account(
            name=name,
            aor=aor,
            credentials=DigestCredentials(
                username=settings.username,
                realm=settings.realm,
                password=settings.password,
                ha1=settings.ha1,
            ),
            registrar=registrar,
            connection=name if over_websocket else None,
            display_name=settings.display_name,
            expires_s=settings.expires_s,
            instance=settings.instance,
            gruu=settings.gruu,
            tls=settings.tls,
        )
        registration: Kept
        if self._pjsip is not None and settings.engine is MediaEngine.PJSIP:
            label = settings.trunk or settings.device
            registration = self._pjsip.register(account, label, settings.digits)
        else:
            registration = self._user_agent.register(account)
        outside = OutsideAccount(settings, account, registration)
        self._of_device[settings.device] = self._of_name[name] = outside

    def remove(self, device: DeviceId) -> None:
        """Take a device's account back from its server. Harmless where it has none."""
        outside = self._of_device.pop(device, None)
        if outside is not None:
            outside.registration.unregister()

    def remove_all(self) -> None:
        """Take back every account."""
        for device in list(self._of_device):
            self.remove(device)

    def targets(self, request: PlaceLeg) -> Sequence[Target] | Refusal:
        """The called number at the caller's server, over the caller's own registered flow."""
        outside = self._of_device.get(request.calling)
        if outside is None or request.role is LegRole.STATION:
            return []
        if request.calling_number not in ("", outside.account.aor.user):
            return Refusal(
                Cause.CALLER_NOT_ALLOWED,
                f"the account at {outside.server} shows {outside.account.aor.user} and no other",
                refused_by=Side.ENDPOINT,
            )
        flow = outside.registration.flow
        if flow is None or outside.failure is not None:
            return outside.failure or Refusal(
                Cause.UNREACHABLE, f"{outside.server} is not connected yet"
            )
        aor = outside.account.aor
        uri = Uri("sip", request.device, host=aor.host, port=aor.port)
        name = shown(request.calling_name or outside.settings.display_name)
        return [
            Target(
                uri=uri,
                from_=ANONYMOUS if request.withheld else NameAddr(name, aor),
                to=NameAddr("", uri),
                flow=flow,
                credentials=outside.registration.credentials,
                contact_user=aor.user,
                audio=outside.settings.audio,
                routes=outside.registration.service_route,
                transfers=outside.settings.transfers,
                headers=(("Privacy", "id"),) if request.withheld else (),
            )
        ]

    def of(self, device: DeviceId) -> OutsideAccount | None:
        """A device's account."""
        return self._of_device.get(device)

    def owner(self, session: CallSession) -> OutsideAccount | None:
        """The account that an INVITE came in on."""
        return next((own for own in self._of_device.values() if own.owns(session)), None)

    async def take(self, event: RegistrationEvent) -> RegistrationNotice | None:
        """What a registration event means for its device; None where that is no news."""
        outside = self._of_name.get(event.account.name)
        if outside is None:
            return None
        device = outside.settings.device
        match event:
            case Registered() | RegistrationFailed():
                return outside.take(event) if self._of_device.get(device) is outside else None
            case Unregistered():
                del self._of_name[event.account.name]
                await self._user_agent.disconnect(event.account.name)
                if device in self._of_device:  # another account has taken its place
                    return None
                return DeviceUnregistered(device, Cause.NORMAL, None, outside.server)


def _sip_uri(text: str) -> Uri:
    uri = Uri.parse(text)
    if not uri.is_sip:
        raise SipParseError(f"{text} is no SIP address")
    return uri


def _failure(event: RegistrationFailed, server: str) -> Refusal:
    if event.error is not None:
        cause, text = cause_of_error(event.error), f"{server}: {event.text}"
        if cause is Cause.CERTIFICATE_REFUSED:
            text += '; where a private CA signed it, add ca = "FILE.pem" to the account'
        return Refusal(cause, text)
    if event.status is None:
        return Refusal(Cause.UNREACHABLE, f"{server}: {event.text}")
    cause = cause_of_status(event.status)
    return Refusal(cause, f"{server}: {event.status} {event.text}", event.status)


class Trunking(Protocol):
    """The trunks, as lines know them."""

    def targets(self, request: PlaceLeg, ways: Ways) -> Sequence[Target] | Refusal:
        """Where to send the INVITE, in turns; never empty where there is a course."""


class Lines:
    """All lines, each asked for what the dial plan says is its own."""

    def __init__(
        self,
        registrar: Line,
        accounts: OutsideAccounts,
        extension: Callable[[DeviceId], Awaitable[DeviceId | None]],
        trunks: Trunking,
        numbering: Numbering,
    ) -> None:
        """Set up; `extension` says which numbers are ours, and so not for the trunks."""
        self._registrar = registrar
        self._accounts = accounts
        self._extension = extension
        self._trunks = trunks
        self._numbering = numbering

    async def resolve(self, request: PlaceLeg) -> Sequence[Target] | Refusal:
        """Where to send the INVITE for a leg; never empty.

        A remote agent's station is a telephone of the public network, where we know the agent: else
        whoever reaches us could dial out by his name. One that is registered here, as by another
        endpoint that has an account for him, is reached there: that one calls his telephone.
        """
        is_line = request.role is LegRole.LINE
        if is_line and self._numbering.is_emergency(request.device):
            # A phone that is registered here by such a number is nobody who could help.
            return self._in_need(request)
        telephone = telephone_of(request.device)
        registered = self._registrar.targets(request)
        if telephone is None and registered:
            return registered
        if not await self._is_ours(request.device):
            return registered or self._outside(request)
        if telephone is None:
            return self._accounts.targets(request) or Refusal(
                Cause.NOT_REGISTERED, f"no phone of {request.device} is registered", 480
            )
        if registered and not self._accounts.has(request.device):
            return registered
        # Whoever calls him: it is the agent whose telephone that is.
        ways = self._numbering.outgoing(telephone, request.device)
        if isinstance(ways, Ways) and ways.courses:
            outside = replace(request, device=telephone, role=LegRole.LINE)
            return self._trunks.targets(outside, ways)
        if isinstance(ways, NumberRefused) and ways.by_rule:
            return refusal_of(ways)
        text = f"no trunk takes {telephone}, of {request.device}"
        return Refusal(Cause.UNKNOWN_DEVICE, text, 404)

    def _outside(self, request: PlaceLeg) -> Sequence[Target] | Refusal:
        unknown = Refusal(Cause.UNKNOWN_DEVICE, f"nobody knows {request.device}", 404)
        if request.role is LegRole.STATION:
            return unknown
        by_account = self._accounts.has(request.calling)
        ways = self._numbering.outgoing(request.device, request.calling, by_account=by_account)
        if isinstance(ways, NumberRefused):
            return refusal_of(ways) if ways.by_rule else unknown
        if ways.by_account:
            return self._accounts.targets(request) or unknown
        return self._trunks.targets(request, ways) if ways.courses else unknown

    def _in_need(self, request: PlaceLeg) -> Sequence[Target] | Refusal:
        """By each trunk, and then by the caller's account, as whoever he is there."""
        by_account = self._accounts.has(request.calling)
        ways = self._numbering.outgoing(request.device, request.calling, by_account=by_account)
        if isinstance(ways, NumberRefused):
            return refusal_of(ways)
        trunks = self._trunks.targets(request, ways) if ways.courses else []
        account = self._accounts.targets(replace(request, calling_number="", withheld=False))
        found = [*(() if isinstance(each, Refusal) else each for each in (trunks, account))]
        targets = [target for some in found for target in some]
        for refusal in (account, trunks):
            if not targets and isinstance(refusal, Refusal):
                return refusal
        return [replace(target, turn=turn) for turn, target in enumerate(targets)]

    async def meant(self, number: DeviceId, calling: DeviceId) -> DeviceId | NumberRefused | None:
        """The device of ours that a number means, or why it is refused; None: it goes outside."""
        device = await self._extension(number)
        if device is not None and not self._numbering.is_emergency(number):
            return device
        ways = self._numbering.outgoing(number, calling, by_account=self._accounts.has(calling))
        if isinstance(ways, NumberRefused):
            return ways if ways.by_rule else None
        return ways.device

    async def _is_ours(self, device: DeviceId) -> bool:
        return self._accounts.has(device) or await self._extension(device) is not None


def refusal_of(refused: NumberRefused) -> Refusal:
    """What the dial plan refuses, refused by us."""
    return Refusal(refused.cause, refused.text, refused_by=Side.ENDPOINT)


def shown(name: str) -> str:
    """A display name without what could end a header field."""
    return "".join(character for character in name if character.isprintable())[:128]
