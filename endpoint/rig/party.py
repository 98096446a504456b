"""A party: a telephone in a process of its own, that sends a tone and tells what it receives.

`python -m endpoint.rig.party` reads its `PartySettings` from the first line of stdin, then one
order a line. It is a SIP phone with real sockets, and uses nothing of the endpoint's legs and call
control but their end of audio: over a WebSocket it speaks WebRTC as a browser does, else RTP.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys

import msgspec
import numpy as np

from endpoint.audio.analysis import heard
from endpoint.errors import EndpointError
from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaSettings, WorkerLost
from endpoint.rig import orders
from endpoint.rig.orders import AnswerMode, CallState, PartySettings, PhoneOrder, Status
from signaling.errors import SdpError, SignalingError
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.negotiation import Negotiated
from signaling.sip.auth import DigestCredentials
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Account,
    Answered,
    Confirmed,
    Ended,
    InfoReceived,
    InviteRequest,
    InviteSession,
    Progress,
    Registered,
    Registration,
    RegistrationFailed,
    Reinvited,
    Role,
    Unregistered,
    UserAgent,
    UserAgentConfig,
)

LINE = "line"
TONE = "tone"
CONNECTION = "server"


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
        self._audio: AudioEnd | None = None
        self._offered: SessionDescription | None = None
        self._direction = Direction.SENDRECV
        self._aor = Uri("sip", settings.name, host=settings.domain)

    def _become(self, **changes: object) -> None:
        self._status = msgspec.structs.replace(self._status, **changes)
        self.report(self._status)

    # -- registration --------------------------------------------------------------------------

    def register(self, group: asyncio.TaskGroup) -> None:
        """Connect, register, and follow both for ever."""
        kind, _, address = self.settings.server.partition(":")
        if kind == "udp":
            host, _, port = address.rpartition(":")
            registrar = Uri("sip", None, host=host, port=int(port))
            connection = None
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
            expires_s=self.settings.expires_s,
        )
        self._registrar = registrar
        self._account = account
        self._registration = self._user_agent.register(account)
        group.create_task(self._follow_registration())
        group.create_task(self._follow_invitations(group))
        group.create_task(self._follow_media())

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
            if isinstance(notice, m.DigitReceived):
                self._become(digits=self._status.digits + notice.digit)
            elif isinstance(notice, WorkerLost):
                raise RuntimeError(notice.reason)

    # -- calls ---------------------------------------------------------------------------------

    async def _follow_invitations(self, group: asyncio.TaskGroup) -> None:
        async for session in self._user_agent.invitations():
            mode = self.settings.answer
            if self._session is not None or mode is AnswerMode.BUSY:
                session.reject(486)
            elif mode is AnswerMode.DECLINE:
                session.reject(603)
            else:
                await self._open(session)
                self._become(
                    call=CallState.RINGING, peer=session.remote.uri.user or "", **_FRESH_CALL
                )
                session.ring()
                group.create_task(self._follow_call(session))
                wants_answer = "answer-after" in (session.request.headers.get("Call-Info") or "")
                if mode is AnswerMode.AUTOMATIC or (mode is AnswerMode.WHEN_TOLD and wants_answer):
                    await self._answer()

    async def _open(self, session: InviteSession | None) -> None:
        """A fresh port that sends our tone: as we are asked, or as fits the way to our server."""
        if self._audio is not None:
            self._audio.close()
        offer = session.sdp if session is not None else None
        protection = Protection.RTP
        if offer is not None:
            protection = Protection.of(SessionDescription.parse(offer))
        elif not self.settings.server.startswith("udp:"):
            protection = Protection.WEBRTC
        self._audio = AudioEnd(self._media, LINE, protection)
        await self._audio.open(controlling=offer is None)
        self._media.send(m.StartListening(port=LINE))
        self._offered = None
        self._direction = Direction.SENDRECV
        self._session = session
        self._media.send(m.SetRoutes(group=LINE, routes=[m.RouteTo(TONE, LINE)]))

    async def _answer(self) -> None:
        session = self._ringing()
        if session.sdp is None:
            self._offered = self._our_audio().offer()
            session.accept(self._offered.serialise())
            return
        try:
            session.accept(await self._answer_to(session.sdp))
        except SdpError as exc:
            session.reject(exc.status_hint)

    async def _answer_to(self, offer: bytes) -> bytes:
        answer, agreed = await self._our_audio().answer(offer, self._direction)
        await self._connect(agreed)
        return answer.serialise()

    async def _connect(self, agreed: Negotiated) -> None:
        await self._our_audio().agree(agreed)
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
                    await self._take_offer(session, sdp)
                case InfoReceived():
                    pass
                case Ended() as ended:
                    # The port stays open until the next call: audio that still comes is heard.
                    self._media.send(m.SetRoutes(group=LINE, routes=[]))
                    self._session = None
                    self._become(
                        call=CallState.ENDED,
                        released_by_peer=ended.by_remote,
                        sip_status=ended.status or 0,
                    )

    async def _take_answer(self, sdp: bytes | None) -> None:
        if sdp is not None and self._offered is not None:
            await self._connect(self._our_audio().accept(self._offered, sdp))
            self._offered = None

    async def _take_offer(self, session: InviteSession, sdp: bytes | None) -> None:
        if sdp is None:
            self._offered = self._our_audio().offer(self._direction)
            session.answer_reinvite(self._offered.serialise())
            return
        try:
            session.answer_reinvite(await self._answer_to(sdp))
        except SdpError as exc:
            session.reject_reinvite(exc.status_hint)

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
            case orders.SendDigits():
                self._connected()
                await self._media.request(m.SendDigits(port=LINE, digits=order.digits))
            case orders.HangUp():
                if self._session is not None:
                    self._session.hang_up()
            case orders.Listen():
                return await self._listen(order)
        return []

    async def _dial(self, destination: str, group: asyncio.TaskGroup) -> None:
        if self._session is not None:
            raise OrderRefused(f"{self.settings.name} is in a call")
        await self._open(None)
        self._offered = self._our_audio().offer()
        target = Uri("sip", destination, host=self._registrar.host, port=self._registrar.port)
        session = self._user_agent.invite(
            InviteRequest(
                target=target,
                from_=NameAddr("", self._aor),
                to=NameAddr("", Uri("sip", destination, host=self.settings.domain)),
                sdp=self._offered.serialise(),
                flow=self._registration.flow if self._registration else None,
                credentials=self._account.credentials,
                contact_user=self.settings.name,
            )
        )
        self._session = session
        self._become(call=CallState.DIALLING, peer=destination, **_FRESH_CALL)
        group.create_task(self._follow_call(session))

    async def _reinvite(self, direction: Direction) -> None:
        session = self._connected()
        audio = self._our_audio()
        offer = audio.offer(direction)
        status, sdp = await session.reinvite(offer.serialise())
        if status // 100 != 2 or sdp is None:
            raise OrderRefused(f"the re-INVITE was answered {status}")
        self._direction = direction
        await self._connect(audio.accept(offer, sdp))

    async def _listen(self, order: orders.Listen) -> list[str]:
        if self._audio is None:
            return []
        sound = await self._media.request(m.ReadHeard(port=LINE, last_ms=order.last_ms))
        samples = np.frombuffer(sound.samples, dtype="<i2")
        return sorted(heard(samples, order.signatures, sample_rate_hz=sound.sample_rate_hz))

    def _our_audio(self) -> AudioEnd:
        if self._audio is None:
            raise OrderRefused(f"{self.settings.name} has no call")
        return self._audio

    def _ringing(self) -> InviteSession:
        if self._session is None or self._session.role is not Role.UAS:
            raise OrderRefused(f"nothing rings at {self.settings.name}")
        return self._session

    def _connected(self) -> InviteSession:
        if self._session is None or self._status.call is not CallState.CONNECTED:
            raise OrderRefused(f"{self.settings.name} is not in a call: {self._status.call}")
        return self._session


_FRESH_CALL: dict[str, object] = {
    "digits": "",
    "held_by_peer": False,
    "released_by_peer": False,
    "sip_status": 0,
}


class Reporter:
    """Writes reports to stdout, a line each."""

    def __call__(self, report: orders.Done | orders.Refused | Status) -> None:
        """Write one at once."""
        sys.stdout.buffer.write(orders.encode(report) + b"\n")
        sys.stdout.buffer.flush()


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
    ports = MediaSettings(
        rtp_port_low=settings.rtp_port_first, rtp_port_high=settings.rtp_port_last
    )
    # What is followed ends when the user agent and the media link close, and the group then too.
    async with (
        asyncio.TaskGroup() as group,
        LocalLink(ports) as media,
        UserAgent(UserAgentConfig()) as user_agent,
    ):
        tone = m.Segment([settings.tone_hz], 1000)
        await media.request(m.OpenPlayer(port=TONE, cadence=[tone]))
        if settings.server.startswith("udp:"):
            await user_agent.listen_udp("127.0.0.1", 0)
        phone = Phone(settings, user_agent, media, Reporter())
        phone.register(group)
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
