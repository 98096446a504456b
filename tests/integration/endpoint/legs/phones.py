"""Telephones of the test: a user agent and a media port of their own, and buttons to push.

They share nothing with the exchange but loopback sockets: what they hear is decoded from RTP.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np

from endpoint.audio.analysis import heard
from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.legs.base import Source
from endpoint.legs.info import TRICKLE_ICE
from endpoint.legs.ports import SOUNDS
from endpoint.media import messages as m
from endpoint.media.link import LocalLink, MediaLink
from endpoint.media.settings import MediaSettings
from signaling.sdp.description import Codec, Direction, SessionDescription
from signaling.sdp.negotiation import BROWSER_CODECS, Negotiated
from signaling.sdp.security import AgreedDtls
from signaling.sip.auth import DigestCredentials
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Account,
    Answered,
    Confirmed,
    Ended,
    InviteRequest,
    InviteSession,
    Progress,
    Registered,
    Registration,
    Reinvited,
    SessionEvent,
    UserAgent,
    UserAgentConfig,
)

WAIT_S = 15.0
PASSWORD = "correct horse"
REALM = "agent-endpoint"
TONES_HZ = {"6001": 697.0, "6002": 941.0, "10086": 1209.0, "10087": 1477.0}
SIGNATURES = {
    **{name: (hz,) for name, hz in TONES_HZ.items()},
    "moh": tuple(SOUNDS[Source.MUSIC_ON_HOLD][0].frequencies_hz),
}
E = TypeVar("E", bound=SessionEvent)
_numbers = itertools.count(1)


class Line:
    """One call of a phone."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.session: InviteSession
        self.agreed: Negotiated | None = None
        self.audio: AudioEnd
        self._sent: SessionDescription
        self._events: AsyncIterator[SessionEvent]
        self.reinvites: list[Direction | None] = []
        """Directions that the far end offered in its re-INVITEs."""

    @property
    def port(self) -> str:
        return self.audio.port

    def begin(self, session: InviteSession) -> None:
        self.session = session
        self._events = session.events()

    async def open(self, protection: Protection | None = None, *, controlling: bool = True) -> None:
        """Open a port that speaks the phone's tone, by default as the phone dials."""
        name = f"{self.phone.user}-{next(_numbers)}"
        self.audio = AudioEnd(self.phone.link, name, protection or self.phone.protection)
        if self.phone.codecs is not None:
            self.audio.codecs = self.phone.codecs
        elif self.audio.protection is Protection.WEBRTC:
            self.audio.codecs = BROWSER_CODECS
        await self.audio.open(controlling=controlling)
        await self.phone.link.request(m.StartListening(port=self.port))
        self.phone.link.send(
            m.SetRoutes(group=self.port, routes=[m.RouteTo(source=self.phone.tone, sink=self.port)])
        )

    def offer(self, direction: Direction = Direction.SENDRECV) -> bytes:
        self._sent = self.audio.offer(direction)
        return self.phone.rewrite(self._sent.serialise())

    async def take_answer(self, sdp: bytes | None) -> None:
        answer = None if sdp is None else self.phone.reread(sdp)
        await self._agree(self.audio.accept(self._sent, answer))

    async def answer_to(self, sdp: bytes | None) -> bytes:
        assert sdp is not None
        self._sent, agreed = await self.audio.answer(self.phone.reread(sdp))
        await self._agree(agreed)
        return self.phone.rewrite(self._sent.serialise())

    async def pick_up(self) -> None:
        """Answer a call that rings here, and wait for the ACK."""
        offer = self.session.sdp
        asked = Protection.of(SessionDescription.parse(offer)) if offer is not None else None
        await self.open(asked, controlling=offer is None)
        if offer is None:
            self.session.accept(self.offer())
            confirmed = await self.until(Confirmed)
            await self.take_answer(confirmed.sdp)
            return
        self.session.accept(await self.answer_to(offer))
        await self.until(Confirmed)

    async def until(self, kind: type[E]) -> E:
        """The next event of a kind; re-INVITEs that come meanwhile are answered."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await anext(self._events)
                if isinstance(event, Reinvited):
                    await self._take_reinvite(event.sdp)
                if isinstance(event, kind):
                    return event

    async def serve(self, reinvites: int) -> None:
        """Answer what comes until so many re-INVITEs have come in all."""
        while len(self.reinvites) < reinvites:
            await self.until(Reinvited)

    async def _take_reinvite(self, sdp: bytes | None) -> None:
        assert sdp is not None
        self.reinvites.append(SessionDescription.parse(sdp).media[0].direction)
        if self.phone.refuse_reinvites:
            self.session.reject_reinvite(self.phone.refuse_reinvites)
        else:
            self.session.answer_reinvite(await self.answer_to(sdp))

    async def reoffer(self, direction: Direction) -> int:
        """The phone's own hold or retrieve button. Returns the final status."""
        async with asyncio.timeout(WAIT_S):
            status, sdp = await self.session.reinvite(self.offer(direction))
        if status == 200:
            await self.take_answer(sdp)
        return status

    async def move(self) -> None:
        """Go on from another port, as a phone that changes its network does."""
        self.audio.close()
        await self.open()
        await self.reoffer(Direction.SENDRECV)

    async def hears(self, *expected: str) -> None:
        """Wait until exactly this is heard."""
        await hears(self.phone.link, self.port, set(expected))

    def press(self, digits: str) -> None:
        self.phone.link.send(m.SendDigits(port=self.port, digits=digits))

    async def digit(self) -> str:
        """The next digit that comes."""
        async with asyncio.timeout(WAIT_S):
            while True:
                notice = await anext(self.phone.notices)
                if isinstance(notice, m.DigitReceived) and notice.port == self.port:
                    return notice.digit

    @property
    def described(self) -> bytes:
        """What the phone said last, as it was meant."""
        return self._sent.serialise()

    @property
    def local_ufrag(self) -> str | None:
        """What the phone said last."""
        return self._sent.media[0].attribute("ice-ufrag")

    @property
    def agreed_ufrag(self) -> str:
        """What it was told last."""
        assert self.agreed is not None
        assert isinstance(self.agreed.security, AgreedDtls)
        return self.agreed.security.ice.ufrag

    def go_silent(self) -> None:
        """Vanish from the network, as far as audio goes."""
        self.audio.close()

    async def _agree(self, agreed: Negotiated) -> None:
        self.agreed = agreed
        await self.audio.agree(agreed)


class Phone:
    """A telephone with a number and a tone of its own."""

    def __init__(self, user: str, user_agent: UserAgent, link: LocalLink) -> None:
        self.user = user
        self.user_agent = user_agent
        self.link = link
        self.tone = f"tone-{user}"
        self.codecs: tuple[Codec, ...] | None = None
        """What it has; None: all that we have."""
        self.protection = Protection.RTP
        """How it dials; it answers as it is asked."""
        self.rewrite: Callable[[bytes], bytes] = lambda sdp: sdp
        """What becomes of its descriptions on the way."""
        self.reread: Callable[[bytes], bytes] = lambda sdp: sdp
        """What becomes of others' on their way to it."""
        self.refuse_reinvites = 0
        """A status to refuse them with."""
        self.notices = link.notices()
        self.registration: Registration
        self._address = NameAddr("", Uri("sip", user, host="127.0.0.1"))

    async def open(self) -> None:
        segment = m.Segment(frequencies_hz=[TONES_HZ[self.user]], duration_ms=1000)
        await self.link.request(m.OpenPlayer(port=self.tone, cadence=[segment]))

    async def register(
        self, port: int, *, url: str | None = None, password: str = PASSWORD
    ) -> None:
        """Register over UDP, or over the WebSocket at `url`."""
        if url is not None:
            self.user_agent.connect("server", url)
            self.protection = Protection.WEBRTC
        else:
            await self.user_agent.listen_udp("127.0.0.1", 0)
        self.registration = self.user_agent.register(
            Account(
                name=self.user,
                aor=self._address.uri,
                registrar=Uri("sip", host="127.0.0.1", port=port),
                credentials=DigestCredentials(self.user, password=password),
                connection="server" if url is not None else None,
            )
        )
        async with asyncio.timeout(WAIT_S):
            outcome = await self.registration.outcome()
        assert isinstance(outcome, Registered), outcome

    async def dial(self, number: str, *, late_offer: bool = False) -> Line:
        """Call somebody; returns when the INVITE is out."""
        flow = self.registration.flow
        assert flow is not None
        target = Uri("sip", number, host="127.0.0.1")
        line = Line(self)
        await line.open(controlling=not late_offer)
        line.begin(
            self.user_agent.invite(
                InviteRequest(
                    target=target,
                    from_=self._address,
                    to=NameAddr("", target),
                    sdp=None if late_offer else line.offer(),
                    flow=flow,
                    credentials=DigestCredentials(self.user, password=PASSWORD),
                )
            )
        )
        return line

    async def rings(self) -> Line:
        """The next call that comes in, told that it rings."""
        async with asyncio.timeout(WAIT_S):
            session = await anext(self.user_agent.invitations())
        session.ring()
        line = Line(self)
        line.begin(session)
        return line


@asynccontextmanager
async def phone(user: str, *, trickles: bool = False) -> AsyncIterator[Phone]:
    """A phone that is switched on and not registered."""
    config = UserAgentConfig(supported=(TRICKLE_ICE,) if trickles else ())
    settings = MediaSettings(rtp_port_low=24000, rtp_port_high=25999, rtcp_interval_s=1.0)
    async with LocalLink(settings) as link, UserAgent(config) as user_agent:
        made = Phone(user, user_agent, link)
        await made.open()
        yield made


async def hears(link: MediaLink, port: str, expected: set[str]) -> None:
    """Wait until exactly this is heard at a port."""
    found: set[str] = set()
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                audio = await link.request(m.ReadHeard(port=port, last_ms=400))
                samples = np.frombuffer(audio.samples, dtype="<i2")
                found = heard(samples, SIGNATURES, sample_rate_hz=audio.sample_rate_hz)
                if found == expected:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{port} hears {found}, not {expected}") from None


__all__ = ["Answered", "Ended", "Line", "Phone", "Progress", "hears", "phone"]
