"""Telephones that cost little and miss nothing: each says a tone and keeps every packet it gets.

All share one user agent; each has a socket of its own. A telephone answers by itself, or rings
until it is cancelled, and talks on while it is held: whoever hears it then, hears it by a fault of
ours. Its tone is a whole number of cycles in a packet of 20 ms, so each packet by itself tells
exactly whose voice is in it.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from endpoint.audio.codec import G711, decode, encode
from endpoint.audio.tones import amplitude_of
from endpoint.media.rtcp import is_rtcp
from endpoint.media.rtp import HEADER, HEADER_SIZE
from signaling.errors import LocalProtocolError
from signaling.sip.auth import DigestCredentials
from signaling.sip.overload import CallLimits
from signaling.sip.rates import Rate
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Account,
    Ended,
    InviteSession,
    Registered,
    Reinvited,
    UserAgent,
    UserAgentConfig,
)

HOST = "127.0.0.1"
UNLIMITED = CallLimits(rate=Rate(10_000, 10_000))
"""All are called by one endpoint, as fast as it can: none of them says that it has too much."""
PACKET = 160
PACKET_S = 0.02
GRID_HZ = 50
"""Tones that are apart by this much don't disturb each other, in one packet."""
MUSIC, PROGRESS = "music", "progress"
"""What the endpoint itself says: music on hold; ring-back and busy."""
OURS_HZ = {MUSIC: 650, PROGRESS: 400}
"""Of the grid, near one of its tones and far from the other's."""
LEVEL_DBOV = -24.0
_PRESENT, _OURS_PRESENT = 0.16, 0.5
"""Of a whole packet's tone: 3 ms of a voice are found. What is ours is no multiple of the grid."""
_SO_TIMESTAMPNS = 35
"""Not in the module."""
_SLOTS = 20
"""Of a millisecond: telephones talk one after the other, as those of a network do."""
_SDP = """\
v=0
o=- 1 {version} IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio {port} RTP/AVP 0
a=rtpmap:0 PCMU/8000
a={direction}
"""
_ANSWERS = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class Arrived(NamedTuple):
    """A packet that came."""

    at: float
    """By the kernel's clock, `CLOCK_REALTIME`."""
    ssrc: int
    sequence: int
    payload: bytes


class Telephone:
    """One user's telephone; one call at a time."""

    def __init__(self, user: str, tone_hz: int, level_dbov: float, *, answers: bool) -> None:
        if tone_hz % GRID_HZ:
            raise ValueError(f"{tone_hz} Hz is no multiple of {GRID_HZ} Hz")
        self.user = user
        self.tone_hz = tone_hz
        self.answers = answers
        """Else it rings until it is cancelled."""
        self.received: list[Arrived] = []
        """All packets so far, of all calls; may be cleared between calls."""
        self.sent = 0
        """Packets so far, of all calls."""
        self.calls = 0
        """How many it has had."""
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = int(self.socket.getsockname()[1])
        """Where it takes RTP."""
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._voice = voice(tone_hz, level_dbov)
        self._to: tuple[str, int] | None = None
        self._session: InviteSession | None = None
        self._sequence, self._timestamp, self._versions = 0, 0, 0

    @property
    def is_in_call(self) -> bool:
        """Whether it has answered a call that is not over."""
        return self._to is not None

    @property
    def is_busy(self) -> bool:
        """Whether it rings or is in a call."""
        return self._session is not None

    def close(self) -> None:
        """Take its socket away."""
        self._read()
        self.socket.close()

    async def take(self, session: InviteSession) -> None:
        """Answer a call, or ring, and stay with it until it is over."""
        if self._session is not None:
            session.reject(486)
            return
        self._session = session
        try:
            # A caller may give up meanwhile; that is told among the events.
            with suppress(LocalProtocolError):
                session.ring()
                if self.answers:
                    session.accept(self._agree(session.sdp))
            async for event in session.events():
                match event:
                    case Reinvited(sdp=sdp):
                        with suppress(LocalProtocolError):
                            session.answer_reinvite(self._agree(sdp))
                    case Ended():
                        break
                    case _:
                        pass
        finally:
            self._session = self._to = None

    def take_turn(self) -> None:
        """Read all that has come, and say the next packet, if it is in a call.

        Nobody is woken by what comes: the kernel has noted when it did.
        """
        self._read()
        if self._to is None:
            return
        header = HEADER.pack(0x80, 0, self._sequence, self._timestamp, self.tone_hz)
        with suppress(OSError):  # the far end is gone, and its BYE on its way
            self.socket.sendto(header + self._voice, self._to)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + PACKET) & 0xFFFFFFFF
        self.sent += 1

    def _agree(self, sdp: bytes | None) -> bytes:
        offer = (sdp or b"").decode()
        host, port = (
            re.search(r"^c=IN IP4 (\S+)", offer, re.M),
            re.search(r"^m=audio (\d+)", offer, re.M),
        )
        if host is None or port is None:
            raise ValueError(f"an offer without an address: {offer!r}")
        if self._to is None:
            self.calls += 1
        self._to = host[1], int(port[1])
        asked = re.search(r"^a=(sendonly|recvonly|inactive)\s*$", offer, re.M)
        direction = _ANSWERS[asked[1]] if asked else "sendrecv"
        self._versions += 1
        text = _SDP.format(port=self.port, version=self._versions, direction=direction)
        return text.replace("\n", "\r\n").encode()

    def _read(self) -> None:
        with suppress(OSError):
            while True:
                packet, control, _, _ = self.socket.recvmsg(2048, 256)
                if len(packet) <= HEADER_SIZE or is_rtcp(packet[1]):
                    continue
                seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
                _, _, sequence, _, ssrc = HEADER.unpack_from(packet)
                at = seconds + nanoseconds / 1e9
                self.received.append(Arrived(at, ssrc, sequence, packet[HEADER_SIZE:]))


class Telephones:
    """Opened by `telephones`."""

    def __init__(self, server: str, password: str, user_agent: UserAgent) -> None:
        host, _, port = server.rpartition(":")
        self._registrar = Uri("sip", None, host=host, port=int(port))
        self._password = password
        self._user_agent = user_agent
        self._group = asyncio.TaskGroup()
        self._round = asyncio.Event()
        self.by_user: dict[str, Telephone] = {}

    async def add(
        self, user: str, tone_hz: int, level_dbov: float = LEVEL_DBOV, *, answers: bool = True
    ) -> Telephone:
        """One more, registered."""
        telephone = self.by_user[user] = Telephone(user, tone_hz, level_dbov, answers=answers)
        account = Account(
            user,
            Uri("sip", user, host=self._registrar.host),
            DigestCredentials(user, password=self._password),
            registrar=self._registrar,
        )
        outcome = await self._user_agent.register(account).outcome()
        if not isinstance(outcome, Registered):
            raise ConnectionError(f"{user} is not registered: {outcome}")
        return telephone

    async def until(self, is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until packets, or the end of a call, have made something true."""
        async with asyncio.timeout(timeout_s):
            while not is_so():
                await self._round.wait()

    async def run(self) -> None:
        """Take calls and talk, for ever."""
        try:
            async with self._group:
                self._group.create_task(self._talk())
                async for session in self._user_agent.invitations():
                    self._group.create_task(
                        self.by_user[session.local.uri.user or ""].take(session)
                    )
        finally:
            for each in self.by_user.values():
                each.close()

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        due, slot = loop.time(), 0
        while True:
            for each in list(self.by_user.values())[slot::_SLOTS]:
                each.take_turn()
            slot = (slot + 1) % _SLOTS
            if not slot:
                self._round.set()
                self._round = asyncio.Event()
            due += PACKET_S / _SLOTS
            await asyncio.sleep(due - loop.time())


@asynccontextmanager
async def telephones(server: str, password: str) -> AsyncIterator[Telephones]:
    """Telephones at a registrar, `host:port` over UDP; none yet. All are gone at the end."""
    async with UserAgent(UserAgentConfig(calls=UNLIMITED)) as user_agent:
        await user_agent.listen_udp(HOST, 0)
        opened = Telephones(server, password, user_agent)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(opened.run())
            try:
                yield opened
            finally:
                running.cancel()


def voice(tone_hz: int, level_dbov: float = LEVEL_DBOV) -> bytes:
    """A packet of a tone. Each begins at another phase, so that many together don't clip."""
    phase = 2 * np.pi * tone_hz * tone_hz / 8000
    turns = 2 * np.pi * tone_hz * np.arange(PACKET) / 8000
    return encode(G711.PCMU, (np.sin(turns + phase) * amplitude_of(level_dbov)).astype(np.int16))


def voices(
    payloads: Sequence[bytes], tones_hz: Mapping[str, int], level_dbov: float = LEVEL_DBOV
) -> list[frozenset[str]]:
    """Who is in each of the packets, by name; the endpoint's own sounds are `MUSIC`, `PROGRESS`."""
    names = [*tones_hz, *OURS_HZ]
    heard = presence(payloads, tones_hz, level_dbov)
    return [frozenset(names[at] for at in np.flatnonzero(row)) for row in heard]


def presence(
    payloads: Sequence[bytes], tones_hz: Mapping[str, int], level_dbov: float = LEVEL_DBOV
) -> npt.NDArray[np.bool_]:
    """The same as a table: a row a packet, a column for each tone, then for `OURS_HZ`."""
    # One that is longer, which ends a mix, is looked at from both ends.
    windows = [
        end[:PACKET].ljust(PACKET, bytes([G711.PCMU.silence]))
        for payload in payloads
        for end in (payload, payload[-PACKET:])
    ]
    samples = decode(G711.PCMU, b"".join(windows)).reshape(-1, PACKET)
    bins = [hz // GRID_HZ for hz in (*tones_hz.values(), *OURS_HZ.values())]
    enough = [_PRESENT * amplitude_of(level_dbov)] * len(tones_hz)
    enough += [_OURS_PRESENT * amplitude_of(LEVEL_DBOV)] * len(OURS_HZ)
    # A row for each end; without packets none, of which there is no transform.
    spectrum = np.abs(np.fft.rfft(samples, axis=1)) if payloads else np.zeros((0, PACKET))
    loud = spectrum[:, bins] * 2 / PACKET > enough
    present: npt.NDArray[np.bool_] = loud[::2] | loud[1::2]
    return present


def tones_for(users: Collection[str]) -> dict[str, int]:
    """A tone for each, apart from the others and from the endpoint's own sounds."""
    return {user: 1000 + 400 * number for number, user in enumerate(users)}
