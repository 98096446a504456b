"""A party: a telephone in a process of its own, that sends a tone and tells what it receives.

`python -m endpoint.rig.party` reads its `PartySettings` from the first line of stdin, then one
order a line. It is a SIP phone with real sockets, and speaks RTP, SRTP or WebRTC. The media plane,
SIP, SDP and one end of a call's audio are the endpoint's own code; its legs and call control are
not. So parties prove who hears whom; that others understand us is proven with others.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from contextlib import suppress
from importlib import import_module

import msgspec
import numpy as np

from endpoint.audio.analysis import heard
from endpoint.errors import EndpointError
from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaSettings, WorkerLost
from endpoint.rig import orders
from endpoint.rig.orders import AnswerMode, CallState, PartySettings, PhoneOrder, Status
from signaling.errors import LocalProtocolError, SdpError, SignalingError
from signaling.sdp.description import Codec, Direction, SessionDescription
from signaling.sdp.negotiation import (
    G722,
    OPUS,
    OPUS_TELEPHONE_EVENTS,
    PCMA,
    PCMU,
    TELEPHONE_EVENTS,
    Negotiated,
)
from signaling.sip.auth import DigestCredentials
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.transport.tls import TlsPolicy
from signaling.user_agent import (
    Account,
    Answered,
    Confirmed,
    EarlyAnswer,
    Ended,
    InfoReceived,
    InviteRequest,
    InviteSession,
    Progress,
    Referred,
    Refreshed,
    Registered,
    Registration,
    RegistrationFailed,
    Reinvited,
    Role,
    Unregistered,
    UserAgent,
    UserAgentConfig,
)

TONE = "tone"
CONNECTION = "server"
CODECS = {codec.encoding: codec for codec in (PCMU, PCMA, G722, OPUS)}
EVENTS = (TELEPHONE_EVENTS, OPUS_TELEPHONE_EVENTS)


class OrderRefused(Exception):
    """The order does not fit the party's state."""


class Phone:
    """One telephone, one call at a time."""

    def __init__(
        self, settings: PartySettings, user_agent: UserAgent, media: LocalLink, report: Reporter
    ) -> None:
        self.settings = settings
        self._user_agent = user_agent
        self._media = media
        self.report = report
        self._status = Status()
        self._registration: Registration | None = None
        self._session: InviteSession | None = None
        self._end: AudioEnd | None = None
        self._ends = 0
        self._offered: SessionDescription | None = None
        self._direction = Direction.SENDRECV
        self._aor = Uri("sip", settings.name, host=settings.domain)

    def _begin(self, call: CallState, peer: str) -> None:
        """Of the last call nothing stands any more."""
        now = self._status
        self._status = Status(
            now.registered, now.registration_failure, now.address, call=call, peer=peer
        )
        self.report(self._status)

    def _become(self, **changes: object) -> None:
        status = msgspec.structs.replace(self._status, **changes)
        if status != self._status:
            self._status = status
            self.report(status)

    def serve(self, group: asyncio.TaskGroup, address: tuple[str, int] | None) -> None:
        """Take calls, at a UDP address where it has one, and register where it has a server."""
        if address is not None:
            self._become(address=f"{address[0]}:{address[1]}")
        group.create_task(self._follow_invitations(group))
        group.create_task(self._follow_media())
        if self.settings.server:
            self._register(group)

    # -- registration --------------------------------------------------------------------------

    def _register(self, group: asyncio.TaskGroup) -> None:
        """Connect, register, and follow both for ever."""
        kind, _, address = self.settings.server.partition(":")
        tls = None
        if kind in ("udp", "tls"):
            host, _, port = address.rpartition(":")
            scheme = "sips" if kind == "tls" else "sip"
            registrar = Uri(scheme, None, host=host, port=int(port))
            connection = None
            if kind == "tls":
                tls = TlsPolicy(_tls_context(self.settings.ca_file))
        else:
            context = _tls_context(self.settings.ca_file) if kind == "wss" else None
            self._user_agent.connect(CONNECTION, self.settings.server, context)
            registrar = Uri("sip", None, host=self.settings.domain)
            connection = CONNECTION
        account = Account(
            self.settings.name,
            self._aor,
            DigestCredentials(self.settings.name, password=self.settings.password),
            registrar=registrar,
            connection=connection,
            tls=tls,
            expires_s=self.settings.expires_s,
        )
        self._registrar = registrar
        self._account = account
        self._registration = self._user_agent.register(account)
        group.create_task(self._follow_registration())

    async def _follow_registration(self) -> None:
        async for event in self._user_agent.registration_events():
            match event:
                case Registered():
                    self._become(registered=True, registration_failure="")
                case RegistrationFailed(status=status, text=text):
                    self._become(registered=False, registration_failure=f"{status} {text}")
                case Unregistered():
                    self._become(registered=False)

    async def _follow_media(self) -> None:
        async for notice in self._media.notices():
            if isinstance(notice, WorkerLost):
                raise RuntimeError(notice.reason)
            if isinstance(notice, m.RecordingFailed) or self._session is None:
                continue
            if self._end is None or notice.port != self._end.port:
                continue
            if isinstance(notice, m.DigitReceived):
                self._become(digits=self._status.digits + notice.digit)
            elif isinstance(notice, m.PortConnected):
                self._become(connections=self._status.connections + 1)
            elif isinstance(notice, m.PortFailed):
                self._become(media_failure=notice.failure)

    # -- calls ---------------------------------------------------------------------------------

    async def _follow_invitations(self, group: asyncio.TaskGroup) -> None:
        async for session in self._user_agent.invitations():
            mode = self.settings.answer
            if self._session is not None or mode is AnswerMode.BUSY:
                session.reject(486)
            elif mode is AnswerMode.DECLINE:
                session.reject(603)
            else:
                await self._open(session, controlling=session.sdp is None)
                self._begin(CallState.RINGING, session.remote.uri.user or "")
                group.create_task(self._follow_call(session))
                wants_answer = "answer-after" in (session.request.headers.get("Call-Info") or "")
                # A caller may have left meanwhile; that is told among the events of the call.
                with suppress(LocalProtocolError):
                    session.ring()
                    if mode is AnswerMode.AUTOMATIC or (
                        mode is AnswerMode.WHEN_TOLD and wants_answer
                    ):
                        await self._answer()

    async def _open(self, session: InviteSession | None, *, controlling: bool) -> AudioEnd:
        """A fresh port that sends our tone."""
        if self._end is not None:
            self._end.close()
        self._ends += 1
        end = AudioEnd(self._media, f"line-{self._ends}", self.settings.protection)
        if self.settings.codecs:
            end.codecs = _codecs(self.settings.codecs)
        self._session, self._end, self._offered = session, None, None
        await end.open(controlling=controlling)
        self._end = end
        self._direction = Direction.SENDRECV
        self._media.send(m.StartListening(port=end.port))
        self._media.send(m.SetRoutes(group="call", routes=[m.RouteTo(TONE, end.port)]))
        return end

    async def _answer(self) -> None:
        session, end = self._ringing(), self._audio()
        if session.sdp is None:
            self._offered = end.offer()
            session.accept(self._offered.serialise())
            return
        try:
            answer, agreed = await end.answer(session.sdp, self._direction)
        except SdpError as exc:
            session.reject(exc.status_hint)
            return
        # Audio may follow at once.
        await self._agree(end, agreed)
        session.accept(answer.serialise())

    async def _agree(self, end: AudioEnd, agreed: Negotiated) -> None:
        await end.agree(agreed)
        self._become(held_by_peer=agreed.far_end_holds)

    async def _follow_call(self, session: InviteSession) -> None:
        async for event in session.events():
            match event:
                case Progress(status=status):
                    if status in (180, 183):
                        self._become(call=CallState.RINGING)
                case Answered(sdp=sdp) | Confirmed(sdp=sdp):
                    await self._take_answer(sdp)
                    self._become(call=CallState.CONNECTED)
                case Reinvited(sdp=sdp):
                    with suppress(LocalProtocolError):  # as above
                        await self._take_offer(session, sdp)
                case InfoReceived() | EarlyAnswer() | Refreshed():
                    pass
                case Referred() as referred:
                    referred.refuse(603)
                case Ended() as ended:
                    # The port stays open until the next call: audio that still comes is heard.
                    self._media.send(m.SetRoutes(group="call", routes=[]))
                    self._session = None
                    self._become(
                        call=CallState.ENDED,
                        released_by_peer=ended.by_remote,
                        sip_status=ended.status or 0,
                    )

    async def _take_answer(self, sdp: bytes | None) -> None:
        if sdp is not None and self._offered is not None:
            offered, self._offered = self._offered, None
            end = self._audio()
            await self._agree(end, end.accept(offered, sdp))

    async def _take_offer(self, session: InviteSession, sdp: bytes | None) -> None:
        end = self._audio()
        if sdp is None:
            self._offered = end.offer(self._direction)
            session.answer_reinvite(self._offered.serialise())
            return
        try:
            answer, agreed = await end.answer(sdp, self._direction)
        except SdpError as exc:
            session.reject_reinvite(exc.status_hint)
            return
        await self._agree(end, agreed)
        session.answer_reinvite(answer.serialise())

    # -- orders --------------------------------------------------------------------------------

    async def obey(self, order: PhoneOrder, group: asyncio.TaskGroup) -> list[str]:
        """Carry out an order; returns what was heard, for `Listen`."""
        match order:
            case orders.Dial():
                await self._dial(order.destination, group)
            case orders.Answer():
                await self._answer()
            case orders.Hold():
                await self._reinvite(Direction.SENDONLY)
            case orders.Retrieve():
                await self._reinvite(Direction.SENDRECV)
            case orders.RestartIce():
                self._connected()
                await self._audio().restart()
                await self._reinvite(self._direction)
            case orders.SendDigits():
                self._connected()
                port = self._audio().port
                await self._media.request(m.SendDigits(port=port, digits=order.digits))
            case orders.HangUp():
                if self._session is not None:
                    self._session.hang_up()
            case orders.Listen():
                return await self._listen(order)
        return []

    async def _dial(self, destination: str, group: asyncio.TaskGroup) -> None:
        if self._session is not None:
            raise OrderRefused(f"{self.settings.name} is in a call")
        if self._registration is None:
            raise OrderRefused(f"{self.settings.name} has no server to dial by")
        end = await self._open(None, controlling=True)
        self._offered = end.offer()
        target = Uri("sip", destination, host=self._registrar.host, port=self._registrar.port)
        session = self._user_agent.invite(
            InviteRequest(
                target=target,
                from_=NameAddr("", self._aor),
                to=NameAddr("", Uri("sip", destination, host=self.settings.domain)),
                sdp=self._offered.serialise(),
                flow=self._registration.flow,
                credentials=self._account.credentials,
                contact_user=self.settings.name,
            )
        )
        self._session = session
        self._begin(CallState.DIALLING, destination)
        group.create_task(self._follow_call(session))

    async def _reinvite(self, direction: Direction) -> None:
        session, end = self._connected(), self._audio()
        offer = end.offer(direction)
        status, sdp = await session.reinvite(offer.serialise())
        if status // 100 != 2:
            await end.drop_restart()
            raise OrderRefused(f"the re-INVITE was answered {status}")
        self._direction = direction
        await self._agree(end, end.accept(offer, sdp))

    async def _listen(self, order: orders.Listen) -> list[str]:
        if (end := self._end) is None:
            return []
        await self._measure(end)
        sound = await self._media.request(m.ReadHeard(port=end.port, last_ms=order.last_ms))
        samples = np.frombuffer(sound.samples, dtype="<i2")
        return sorted(heard(samples, order.signatures, sample_rate_hz=sound.sample_rate_hz))

    async def _measure(self, end: AudioEnd) -> None:
        """Tell what really comes, and how."""
        counted = await self._media.request(m.ReadStatistics(port=end.port))
        if counted.packets_received:
            profile = counted.srtp_profile
            self._become(
                protection=Protection.RTP if profile is None else end.protection,
                srtp_profile=profile,
                codec=counted.codec,
            )

    def _audio(self) -> AudioEnd:
        if self._end is None:
            raise OrderRefused(f"{self.settings.name} has no call")
        return self._end

    def _ringing(self) -> InviteSession:
        if self._session is None or self._session.role is not Role.UAS:
            raise OrderRefused(f"nothing rings at {self.settings.name}")
        return self._session

    def _connected(self) -> InviteSession:
        if self._session is None or self._status.call is not CallState.CONNECTED:
            raise OrderRefused(f"{self.settings.name} is not in a call: {self._status.call}")
        return self._session


class Reporter:
    """Writes reports to stdout, a line each."""

    def __call__(self, report: orders.Done | orders.Refused | Status) -> None:
        """Write one at once."""
        sys.stdout.buffer.write(orders.encode(report) + b"\n")
        sys.stdout.buffer.flush()


def _codecs(names: list[str]) -> tuple[Codec, ...]:
    """Codecs by their names, in this order, and events by the clock of each."""
    return (*(CODECS[name] for name in names), *EVENTS)


def _tls_context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", buffering=0)
    )
    return reader


async def main() -> None:
    """Be a party until told to quit, or until the rig is gone."""
    reader = await _lines()
    settings = msgspec.json.decode(await reader.readline(), type=PartySettings)
    if settings.protection is Protection.WEBRTC:
        # The first call would wait for it, and a browser has it at hand.
        import_module("endpoint.media.webrtc")
    ports = MediaSettings(
        rtp_port_low=settings.rtp_port_first, rtp_port_high=settings.rtp_port_last
    )
    # Who has a server takes its calls alone.
    callers = () if settings.server else ("127.0.0.1",)
    # What is followed ends when the user agent and the media link close, and the group then too.
    async with (
        asyncio.TaskGroup() as group,
        LocalLink(ports) as media,
        UserAgent(UserAgentConfig(trusted_peers=callers)) as user_agent,
    ):
        # Not quite even, as no voice is: Opus goes by what was there before, and where a decoder
        # has mistaken that, an even tone would never put it right.
        louder = m.Segment([settings.tone_hz], 1000)
        softer = m.Segment([settings.tone_hz], 1000, -13.0)
        await media.request(m.OpenPlayer(port=TONE, cadence=[louder, softer]))
        address = None
        if not settings.server or settings.server.startswith("udp:"):
            address = await user_agent.listen_udp("127.0.0.1", 0)
        phone = Phone(settings, user_agent, media, Reporter())
        phone.serve(group, address)
        await _obey(phone, reader, group)


async def _obey(phone: Phone, reader: asyncio.StreamReader, group: asyncio.TaskGroup) -> None:
    while line := await reader.readline():
        order = orders.decode_order(line)
        if isinstance(order, orders.Quit):
            return
        try:
            names = await phone.obey(order, group)
        except (OrderRefused, SignalingError, EndpointError) as exc:
            phone.report(orders.Refused(order.number, str(exc)))
        else:
            phone.report(orders.Done(order.number, names))


if __name__ == "__main__":
    asyncio.run(main())
