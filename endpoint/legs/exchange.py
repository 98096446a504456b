"""The exchange: all legs, all lines, and the one ordered stream of what happens to them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DigitDetected,
    DigitKind,
    Exchange,
    ExchangeEvent,
    InteractionId,
    LegDiverted,
    LegId,
    LegQuality,
    LegReleased,
    LegRole,
    OfferRefused,
    PlaceLeg,
    RecordingEnded,
    RecordingId,
    RecordingRequest,
    Route,
    Side,
    Track,
)
from endpoint.legs.browser import BrowserLeg, BrowserStations
from endpoint.legs.facing import Facing
from endpoint.legs.leg import Leg, LegSettings, Surroundings
from endpoint.legs.line import (
    NO_TRANSFERS,
    OF_OUR_PHONES,
    AccountSettings,
    Lines,
    OutsideAccounts,
    OwnRegistrar,
)
from endpoint.legs.news import ServerNews
from endpoint.legs.numbering import Nowhere, Numbering, NumberRefused
from endpoint.legs.offered import OfferedLeg, RefusalLog, dialled, offer_of
from endpoint.legs.pjsip import PjsipLines, PjsipSettings
from endpoint.legs.placed import PlacedLeg
from endpoint.legs.ports import LegPorts
from endpoint.legs.recordings import Recordings
from endpoint.legs.redirection import Deflection, Redirections
from endpoint.legs.referrals import Referrals
from endpoint.legs.remote import RemoteLeg, RemoteTelephones
from endpoint.legs.session import CallSession
from endpoint.legs.sip import SipLeg
from endpoint.legs.sipcalls import SipCalls
from endpoint.legs.sound import SoundLeg, SoundStation, SoundStations
from endpoint.legs.station import Station
from endpoint.legs.terms import AudioTerms
from endpoint.legs.trunk import Trunk, Trunks, TrunkSettings, TrunkState
from endpoint.media import messages as m
from endpoint.media.link import MediaLink, WorkerLost
from signaling.server import SipServer
from signaling.sip.auto_answer import answer_after_s
from signaling.sip.identity import number_of
from signaling.supervision import Supervision
from signaling.user_agent import RegistrationEvent

_NO_ERROR = (None, None, None)

log = structlog.get_logger(__name__)


async def _nobody(device: DeviceId) -> DeviceId | None:
    return None


class LegExchange(Exchange):
    """Implements `Exchange` over a SIP server and a media plane.

    Use as `async with LegExchange(server, link) as exchange`, inside both. Leaving releases every
    leg and takes every outside account back, within `settings.shutdown_timeout_s`.
    """

    def __init__(
        self,
        server: SipServer,
        media: MediaLink,
        *,
        settings: LegSettings | None = None,
        accounts: Sequence[AccountSettings] = (),
        stations: Sequence[Station | SoundStation] = (),
        trunks: Sequence[TrunkSettings] = (),
        numbering: Numbering | None = None,
        extension: Callable[[DeviceId], Awaitable[DeviceId | None]] = _nobody,
        pjsip: PjsipSettings | None = None,
        recordings: Recordings | None = None,
        supervision: Supervision | None = None,
    ) -> None:
        """Set up; nothing happens before entering.

        Args:
            server: our own sipWsServer; entered already.
            media: the media plane; entered already.
            settings: deployment facts and waits.
            accounts: devices registered at outside sipWsServers.
            stations: devices without signalling, reached when no phone of theirs is registered.
            trunks: ways to numbers that are not ours. The networks of theirs must be among those
                that the server trusts.
            numbering: the dial plan, which says what goes to them, and to whom what comes from them
                goes; without it no trunk leads anywhere.
            extension: the extension of ours that a number means; None for a number that is not
                ours. Tells 480 from 404.
            pjsip: for accounts whose calls are PJSIP's.
            recordings: where calls are recorded; none can be without.
            supervision: keeps our readers alive, and counts.
        """
        self._supervision = supervision or Supervision()
        self.settings = settings or LegSettings()
        self._server = server
        self._media = media
        self._ports = LegPorts(
            media,
            audio=self.settings.audio,
            music_file=self.settings.music_file,
            announcements=self.settings.announcements,
            sounds=self.settings.sounds,
            beside=lambda leg: self._faces.port(leg),
        )
        self._recordings = recordings
        if recordings is not None:
            recordings.attach(media, self._ports, self._emit)
        self.browsers = BrowserStations(media, self.settings, self._emit)
        """Devices that a page's audio stands for: asked by the native interface."""
        self.telephones = RemoteTelephones(self._emit, self._rename)
        """Those of remote agents that stay up between calls."""
        self.sounds = SoundStations((), self._emit)
        """Sound devices of stations that have some: asked by the native interface."""
        self._stations: dict[DeviceId, Station] = {}
        for station in stations:
            self.set_station(station)
        self.pjsip = PjsipLines(
            pjsip or PjsipSettings(),
            self._supervision,
            registration=self._take_registration,
            invited=self._take_invitation,
            emit=self._emit,
        )
        """Accounts whose calls are PJSIP's."""
        self._accounts = OutsideAccounts(server.user_agent, self.pjsip)
        self._first_accounts = accounts
        self._registrar = OwnRegistrar(
            server,
            self.settings.domain,
            websocket_media=self.settings.websocket_media,
            telephone_media=self.settings.telephone_media,
            tls_media=self.settings.tls_media or self.settings.telephone_media,
        )
        self._refusals = RefusalLog()
        self._numbering = numbering = numbering or Nowhere()
        self._trunks = Trunks(
            server.user_agent, self._accounts, trunks, self.settings.domain, self._emit, numbering
        )
        self._lines = Lines(self._registrar, self._accounts, extension, self._trunks, numbering)
        self._extension = extension
        self.sip_calls = SipCalls()
        """Asked by whoever draws a ladder."""
        self._legs: dict[LegId, Leg] = {}
        self._faces = Facing(self._legs, self._ports, self.browsers, self._registrar)
        self._referrals = Referrals(self._emit, self._leg_with)
        self._events: asyncio.Queue[ExchangeEvent | None] = asyncio.Queue()
        self._group = asyncio.TaskGroup()
        self._readers: list[asyncio.Task[None]] = []
        self._leg_tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def __repr__(self) -> str:
        return f"<LegExchange {len(self._legs)} legs, {self._ports.open_count} ports>"

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        await self.pjsip.__aenter__()
        try:
            await self._ports.open_sounds()
            for account in self._first_accounts:
                self._accounts.add(account)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        for name, reader in (
            ("invitations", self._read_invitations),
            ("accounts", self._read_accounts),
            ("media notices", self._read_notices),
            *ServerNews(self._server, self._registrar, self._emit).works(),
            *self._trunks.works(),
            *([("recordings", self._recordings.run)] if self._recordings is not None else []),
        ):
            keeping = self._supervision.keep(name, reader)
            self._readers.append(self._group.create_task(keeping, name=f"{name}, kept"))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        self._accounts.remove_all()
        self.telephones.let_go()
        for leg in list(self._legs.values()):
            leg.release(Cause.NORMAL)
        if self._leg_tasks:
            await asyncio.wait(self._leg_tasks, timeout=self.settings.shutdown_timeout_s)
        if self._recordings is not None:
            await self._recordings.close()
        for task in (*self._leg_tasks, *self._readers):
            task.cancel()
        await self.pjsip.__aexit__(None, None, None)
        try:
            # A failure of the body is its caller's own: it must not come back inside a group.
            cancelled = isinstance(error, asyncio.CancelledError)
            await self._group.__aexit__(*((kind, error, trace) if cancelled else _NO_ERROR))
        finally:
            self.browsers.close_all()
            self._ports.close_sounds()
            self._events.put_nowait(None)

    # -- Exchange -------------------------------------------------------------------------------

    def place(self, request: PlaceLeg) -> None:
        """See `Exchange`."""
        telephone = self.telephones.free(request.device)
        if telephone is None or self._closing:
            self._live(self._leg_for(request), request.device)
            return
        self._rename(telephone, request.leg, request.interaction)
        self.sip_calls.began(telephone, request.device)
        telephone.serve(request, self._facing(request))

    def alert(self, leg: LegId, *, early_media: bool = False) -> None:
        """See `Exchange`."""
        self._do(leg, lambda found: found.alert(early_media=early_media))

    def answer(self, leg: LegId) -> None:
        """See `Exchange`. A phone that rings is rung anew and asked to pick up by itself."""
        self._do(leg, Leg.answer)

    def release(self, leg: LegId, cause: Cause) -> None:
        """See `Exchange`."""
        self._do(leg, lambda found: found.release(cause))

    def hold(self, leg: LegId) -> None:
        """See `Exchange`."""
        self._do(leg, Leg.hold)

    def resume(self, leg: LegId) -> None:
        """See `Exchange`."""
        self._do(leg, Leg.resume)

    def send_digits(self, leg: LegId, digits: str) -> None:
        """See `Exchange`."""
        self._do(leg, lambda found: found.send_digits(digits))

    def tell_transfer(self, leg: LegId, sip_status: int) -> None:
        """See `Exchange`."""
        self._referrals.tell(leg, sip_status)

    def refer(self, leg: LegId, destination: DeviceId, replacing: LegId | None = None) -> None:
        """See `Exchange`."""
        found = self._legs.get(leg)
        other = None if replacing is None else self._legs.get(replacing)
        if isinstance(found, SipLeg):
            found.refer(destination, other if isinstance(other, SipLeg) else None)

    def move(self, leg: LegId, interaction: InteractionId) -> None:
        """See `Exchange`."""
        found = self._legs.get(leg)
        if found is not None:
            before, found.interaction = found.interaction, interaction
            self._forget_if_over(before)

    def set_routes(self, interaction: InteractionId, routes: Sequence[Route]) -> None:
        """See `Exchange`."""
        self._ports.set_routes(interaction, routes)

    async def last_quality(self, leg: LegId) -> LegQuality | None:
        """See `Exchange`."""
        return await self._ports.last_quality(leg)

    def begin_recording(self, request: RecordingRequest) -> None:
        """See `Exchange`."""
        if self._recordings is None:
            self._emit(RecordingEnded(request.recording, "no recordings are kept here"))
        else:
            self._recordings.begin(request)

    def set_tracks(self, recording: RecordingId, tracks: Sequence[Track], *, paused: bool) -> None:
        """See `Exchange`."""
        if self._recordings is not None:
            self._recordings.set_tracks(recording, tracks, paused=paused)

    def end_recording(self, recording: RecordingId) -> None:
        """See `Exchange`."""
        if self._recordings is not None:
            self._recordings.end(recording)

    async def events(self) -> AsyncIterator[ExchangeEvent]:
        """See `Exchange`. Ends when the exchange closes."""
        while (event := await self._events.get()) is not None:
            yield event

    # -- beyond call control --------------------------------------------------------------------

    def register(self, account: AccountSettings) -> None:
        """Register a device at an outside sipWsServer, in place of an account that it has.

        Then `DeviceRegistered` or `DeviceUnregistered`. Raises SipParseError for addresses that
        are none.
        """
        self._accounts.add(account)

    def unregister(self, device: DeviceId) -> None:
        """Take a device's outside account back. Then `DeviceUnregistered`."""
        self._accounts.remove(device)

    def trunks(self) -> list[TrunkState]:
        """How each trunk is now, in the order in which they are tried."""
        return [trunk.state for trunk in self._trunks]

    def has_account(self, device: DeviceId) -> bool:
        """Whether a device has an account at an outside server."""
        return self._accounts.has(device)

    def reaches_telephone(self, device: DeviceId) -> bool:
        """Whether it is a remote agent's, and its telephone can be called."""
        return self._trunks.reach_telephone_of(device)

    def set_station(self, station: Station | SoundStation) -> None:
        """Give a device a station without signalling, in place of one that it has."""
        if isinstance(station, SoundStation):
            self.sounds.set(station)
        else:
            self._stations[station.device] = station

    @property
    def leg_count(self) -> int:
        """Legs that live."""
        return len(self._leg_tasks)

    async def wait_idle(self) -> None:
        """Until no leg lives, as before a shutdown."""
        while self._leg_tasks:
            await asyncio.wait(self._leg_tasks)

    def restart_ice(self, leg: LegId) -> None:
        """Look for a new way for the audio of a WebRTC leg, as when our network has changed."""
        if isinstance(found := self._legs.get(leg), SipLeg):
            found.restart_ice()

    def leg(self, leg: LegId) -> Leg | None:
        """One that lives."""
        return self._legs.get(leg)

    async def read_heard(self, leg: LegId, last_ms: int = 400) -> m.Heard:
        """What came lately from a leg's far end, or was heard by a station. Raises MediaError."""
        return await self._ports.read_heard(leg, last_ms)

    async def read_statistics(self, leg: LegId) -> m.Statistics:
        """Counts, loss, jitter and level of a leg. Raises MediaError."""
        return await self._ports.read_statistics(leg)

    async def start_recording(self, leg: LegId, path: str) -> None:
        """Record a leg: left what it says, right what it hears. Raises MediaError."""
        await self._ports.start_recording(leg, path)

    async def stop_recording(self, leg: LegId) -> m.RecordingInfo:
        """Finish a leg's recording. Raises MediaError."""
        return await self._ports.stop_recording(leg)

    # -- legs -----------------------------------------------------------------------------------

    def _leg_for(self, request: PlaceLeg, redirections: Redirections | None = None) -> Leg:
        browser = self.browsers.of(request.device)
        if browser is not None:
            return BrowserLeg(request, browser, self._ports, self.settings, self._emit)
        if not self._registrar.targets(request):
            around = Surroundings(self._ports, self.settings, self._emit)
            if (sound := self.sounds.of(request.device)) is not None:
                return SoundLeg(request, sound, around)
            if (station := self._stations.get(request.device)) is not None:
                return station.leg(request, around)
        make: Callable[..., PlacedLeg] = PlacedLeg
        if self.settings.keep_up_of(request.device):
            make = partial(RemoteLeg, telephones=self.telephones)
        return make(
            request,
            self._ports,
            self.settings,
            self._emit,
            faced=self._facing(request),
            referrals=self._referrals,
            resolve=self._lines.resolve,
            invite=partial(self.pjsip.invite, self._server.invite),
            redirections=redirections
            or Redirections(
                request.leg,
                request.device,
                self.settings.maximum_redirections,
                self._numbering.premium,
            ),
            deflect=self._deflect,
        )

    async def _deflect(self, leg: PlacedLeg, to: Deflection) -> bool:
        """Reach a leg elsewhere, as a phone of ours asks; False where that may not be.

        An outside caller, and an agent's own telephone, may be sent to devices of ours alone: it
        would be the phone that dials then, and nobody that may.
        """
        request = leg.request
        meant = await self._lines.meant(to.number, request.calling)
        device = to.number if isinstance(meant, NumberRefused) else meant or to.number
        is_ours = isinstance(meant, str) or self._is_station(to.number)
        if leg.is_leaving:
            return False
        if request.auto_answer:
            refusal = "a device that dials is not called elsewhere"
        elif request.role is LegRole.STATION and not is_ours:
            refusal = f"{request.calling} may call devices of ours alone"
        elif isinstance(meant, NumberRefused) and not is_ours:
            refusal = meant.text
            leg.refuse_number(meant)
        elif not leg.redirections.enter(device):
            refusal = "the call has been there"
        else:
            log.info("call deflected", leg=leg.id, device=request.device, to=device)
            self._emit(LegDiverted(leg.id, device))
            leg.give_way()
            elsewhere = replace(request, device=device, interaction=leg.interaction)
            self._live(self._leg_for(elsewhere, leg.redirections), elsewhere.device)
            return True
        leg.redirections.refuse(to.number, refusal)
        return False

    def _is_station(self, device: DeviceId) -> bool:
        """Whether a device has a telephone here, whatever the directory says."""
        is_local = any(each.of(device) is not None for each in (self.browsers, self.sounds))
        return is_local or device in self._stations or bool(self._server.targets(device))

    def _facing(self, request: PlaceLeg) -> Callable[[], Sequence[str]]:
        return partial(self._faces.encodings, request.interaction, request.role, request.calling)

    def _leg_with(self, session: CallSession) -> LegId | None:
        for leg in self._legs.values():
            if isinstance(leg, SipLeg) and leg.session is session:
                return leg.id
        return None

    def _live(self, leg: Leg, device: DeviceId) -> None:
        if self._closing:
            self._emit(LegReleased(leg.id, Cause.OVERLOAD, Side.ENDPOINT, text="shutting down"))
            return
        self._legs[leg.id] = leg
        self.sip_calls.began(leg, device)
        task = self._group.create_task(self._run(leg), name=f"leg {leg.id}")
        self._leg_tasks.add(task)
        task.add_done_callback(self._leg_tasks.discard)

    def _rename(self, leg: Leg, to: LegId, interaction: InteractionId) -> None:
        """A leg goes on by another name, in another interaction."""
        self._legs.pop(leg.id, None)
        self._ports.rename(leg.id, to)
        self._trunks.rename(leg.id, to)
        self.sip_calls.ended(leg)
        before = leg.interaction
        leg.id, leg.interaction = to, interaction
        self._legs[to] = leg
        self._forget_if_over(before)

    async def _run(self, leg: Leg) -> None:
        try:
            await leg.run()
        finally:
            if self._legs.get(leg.id, leg) is leg:  # else another one goes on in its place
                self._legs.pop(leg.id, None)
                self._trunks.leave(leg.id)
            self.sip_calls.ended(leg)
            self._forget_if_over(leg.interaction)

    def _forget_if_over(self, interaction: InteractionId) -> None:
        if all(leg.interaction != interaction for leg in self._legs.values()):
            self._registrar.forget(interaction)

    def _do(self, leg: LegId, action: Callable[[Leg], None]) -> None:
        found = self._legs.get(leg)
        if found is None:
            log.debug("no such leg", leg=leg)
        else:
            action(found)

    def _emit(self, event: ExchangeEvent) -> None:
        match event:
            case LegReleased():
                self._legs.pop(event.leg, None)
                self._trunks.leave(event.leg)
            case DigitDetected():
                self._relay_digit(event)
            case _:
                pass
        self._events.put_nowait(event)

    def _relay_digit(self, pressed: DigitDetected) -> None:
        """Send a digit on that does not go with the audio.

        Telephone-events and tones do, except to a far end that takes digits in INFO alone.
        """
        for leg in self._ports.listeners_of(pressed.leg):
            if (hearer := self._legs.get(leg)) is not None and hearer.hears_digits:
                hearer.hear_digit(pressed.digit)
        for leg in self._ports.only_listeners_of(pressed.leg):
            hearer = self._legs.get(leg)
            if hearer is None or hearer.hears_digits:
                continue
            if DigitKind.INFO in (pressed.kind, hearer.digit_kind):
                hearer.send_digits(pressed.digit)

    # -- readers --------------------------------------------------------------------------------

    async def _read_invitations(self) -> None:
        async for session in self._server.invitations():
            self._take_invitation(session)

    def _take_invitation(self, session: CallSession) -> None:
        try:
            self._offer(session)
        except Exception:
            log.exception("invitation failed", session=session.id)
            session.hang_up(500)

    def _offer(self, session: CallSession) -> None:
        """See whose call it is, and for whom: a phone's, an account's, a trunk's, a stranger's."""
        leg = LegId(f"in-{secrets.token_hex(8)}")
        trunk: Trunk | None = None
        called: str | NumberRefused | None
        called, instance = dialled(self._server, session)
        terms, transfers = AudioTerms(self._registrar.protection(session.flow)), NO_TRANSFERS
        if session.authenticated_user is not None:
            transfers = OF_OUR_PHONES
        elif (account := self._accounts.owner(session)) is not None and not account.settings.trunk:
            called, instance = account.settings.device, None
            terms, transfers = account.settings.audio, account.settings.transfers
        elif (trunk := self._trunks.of(session)) is not None:
            called, instance = trunk.device_for(session), None
            terms, transfers = trunk.settings.audio, trunk.settings.transfers
        if isinstance(called, NumberRefused):
            self._refuse(session, trunk, called)
            return
        if not called or self._closing:
            session.hang_up(404 if not called else 503)
            return
        replaces = None if session.replaces is None else self._leg_with(session.replaces)
        replaced = None if replaces is None else self._legs.get(replaces)
        if session.replaces is not None and replaced is None:
            session.hang_up(481)
            return
        if trunk is not None and not trunk.enter(leg):
            full = f"trunk {trunk.name} has all of its {trunk.settings.most_calls} calls"
            self._refuse(session, trunk, NumberRefused(Cause.TRUNK_FULL, full))
            return
        offered = offer_of(leg, session, DeviceId(called), trunk)
        if replaced is not None:
            offered = replace(offered, interaction=replaced.interaction, replaces=replaced.id)
        if instance is not None:
            self._registrar.narrow(offered.interaction, offered.called, instance)
        self._live(
            OfferedLeg(
                session,
                offered,
                self._ports,
                self.settings,
                self._emit,
                faced=partial(
                    self._faces.encodings, offered.interaction, offered.role, offered.called
                ),
                referrals=self._referrals,
                terms=terms,
                transfers=transfers,
                answer_after_s=partial(self._answer_after_s, session, called, trunk),
                refusals=self._refusals,
            ),
            offered.calling,
        )

    def _refuse(self, session: CallSession, trunk: Trunk | None, why: NumberRefused) -> None:
        """A trunk's call comes no further: its caller is told so, and whoever keeps records."""
        assert trunk is not None  # of others no number is refused here
        session.hang_up(*why.answer)
        called = DeviceId(number_of(session.request.uri))
        said = offer_of(LegId(""), session, called, trunk)
        self._emit(
            OfferRefused(said.interaction, trunk.name, said.calling, called, why.cause, why.text)
        )

    async def _answer_after_s(
        self, session: CallSession, called: str, trunk: Trunk | None
    ) -> float | None:
        """The caller's wish that the called picks up by itself, where it may have one."""
        wish = answer_after_s(session.request)
        if wish is None:
            return None
        # The device has its rule by whatever it is called: an alias, or with digits to dial after.
        number = DeviceId(called.partition("-")[0])
        device = await self._extension(number) or number
        rules = self.settings.auto_answer_devices
        rule = rules.get(device) or rules.get(called) or self.settings.auto_answer
        trusts = trunk.believes if trunk is not None else self._server.is_trusted(session.flow)
        trusts = trusts or session.authenticated_user is not None
        return wish if rule.allows(trusted=trusts) else None

    async def _read_accounts(self) -> None:
        async for event in self._server.user_agent.registration_events():
            await self._take_registration(event)

    async def _take_registration(self, event: RegistrationEvent) -> None:
        notice = await self._accounts.take(event)
        if notice is not None and not self._trunks.take(notice):
            self._emit(notice)

    async def _read_notices(self) -> None:
        async for notice in self._media.notices():
            if isinstance(notice, WorkerLost):
                self._lose_media(notice)
                continue
            if isinstance(notice, m.RecordingFailed):
                log.warning("recording ended", leg=notice.recording, reason=notice.text)
                continue
            if isinstance(notice, m.PortClosed):
                self._ports.figures.take(notice)
            if self.browsers.take(notice):
                continue
            leg = self._ports.leg_of(notice.port)
            found = self._legs.get(leg) if leg is not None else None
            if found is not None:
                found.receive_notice(notice)

    def _lose_media(self, lost: WorkerLost) -> None:
        for leg in self._ports.lose(lost.ports):
            self._do(leg, lambda found: found.lose_media(lost.reason))
        self.browsers.lose(lost.ports, lost.reason)
