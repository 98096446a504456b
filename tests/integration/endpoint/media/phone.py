"""A far end for media tests: a socket that talks in a tone and keeps what it hears."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from endpoint.audio.analysis import heard
from endpoint.audio.codec import G711, decode, encode
from endpoint.audio.dtmf import DIGITS, DtmfDetector
from endpoint.audio.frame import Samples, frames_of
from endpoint.audio.tones import CALL_PROGRESS_HZ, MUSIC_ON_HOLD_HZ, PARTY_TONES_HZ, tone
from endpoint.media import messages as m
from endpoint.media.rtcp import is_rtcp
from endpoint.media.rtp import HEADER, RtpPacket, parse_rtp

SIGNATURES = {
    "moh": MUSIC_ON_HOLD_HZ,
    "ring-back": (CALL_PROGRESS_HZ,),
    **{name: (hz,) for name, hz in zip("ABCDE", PARTY_TONES_HZ, strict=False)},
}
PCMU = m.PayloadType(0, "PCMU")
PCMA = m.PayloadType(8, "PCMA")


def events(number: int) -> m.PayloadType:
    """Telephone events under a number of the test's choice."""
    return m.PayloadType(number, "TELEPHONE-EVENT")


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet as it came, with when it did."""

    packet: RtpPacket
    at: float


class Phone:
    """One RTP far end on loopback. Use as `async with Phone("A") as phone`."""

    def __init__(
        self,
        name: str,
        *,
        codecs: Iterable[m.PayloadType] = (PCMU, events(101)),
        host: str = "127.0.0.1",
        ssrc: int | None = None,
    ) -> None:
        self.name = name
        self.codecs = list(codecs)
        self.heard: list[Heard] = []
        self.reports: list[bytes] = []
        self.muxed_reports: list[bytes] = []
        self.ssrc = 0x1000 + ord(name[0]) if ssrc is None else ssrc
        self.sequence = 65500
        """Near its wrap, so that every test crosses it."""
        self.timestamp = 0xFFFFFF00
        self._host = host
        self._to: tuple[str, int] | None = None
        self._frames_sent = 0
        self.speak(self.codecs[0])
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.rtp, self.rtcp = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        for opened, receive in ((self.rtp, self._receive), (self.rtcp, self._receive_report)):
            opened.setblocking(False)
            opened.bind((self._host, 0))
            self._loop.add_reader(opened, receive, opened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hush()
        for opened in (self.rtp, self.rtcp):
            self._loop.remove_reader(opened)
            opened.close()

    @property
    def port(self) -> int:
        """Where it takes RTP."""
        return int(self.rtp.getsockname()[1])

    def remote(self, port: m.PortName, **changes: object) -> m.SetRemote:
        """What its SDP would say of it to a port of ours."""
        described = m.SetRemote(
            port,
            self._host,
            self.port,
            int(self.rtcp.getsockname()[1]),
            self.codecs,
            self.codecs,
        )
        return msgspec.structs.replace(described, **changes)

    def speak(self, codec: m.PayloadType) -> None:
        """Use this codec from now on."""
        self._codec = codec
        frequency_hz = SIGNATURES.get(self.name, (PARTY_TONES_HZ[0],))[0]
        frames = frames_of(tone(frequency_hz, 1000, -15.0))
        self._voice = [encode(G711[codec.encoding], frame) for frame in frames]

    def talk_to(self, address: m.RtpAddress, *, ptime_ms: int = 20, swaps: bool = False) -> None:
        """Send its tone until hushed; with `swaps` the second of two packets goes first."""
        self._to = (address.host, address.rtp_port)
        self._frames_a_packet = ptime_ms // 20
        self._swaps = swaps
        self._due = self._loop.time()
        self._talk()

    def count_in(self, address: m.RtpAddress, codes: Iterable[int]) -> None:
        """Send packets of 20 ms that are full of one code each."""
        self._voice = [bytes([code]) * 160 for code in codes]
        self._frames_sent = -1
        self.talk_to(address)

    def say(self, voice: list[bytes]) -> None:
        """Say these packets over and over in place of the tone."""
        self._voice = voice
        self._frames_sent = -1

    def press(self, digit: str, *, lost: Collection[int] = ()) -> None:
        """Send the seven packets of a key press of 100 ms, but those that get lost."""
        to = self._to
        assert to is not None
        event_type = next(p.number for p in self.codecs if p.encoding == "TELEPHONE-EVENT")
        for number in range(7):
            flags = 0x8A if number >= 4 else 0x0A
            duration = min(number + 1, 5) * 160
            payload = bytes([DIGITS.index(digit), flags]) + duration.to_bytes(2)
            if number in lost:
                self.sequence = (self.sequence + 1) & 0xFFFF
            else:
                self.send_packet(to, event_type, payload)
        self.timestamp = (self.timestamp + 1280) & 0xFFFFFFFF

    def digits_in_audio(self) -> str:
        """The digits whose tones are in all that it heard."""
        return "".join(DtmfDetector().receive_audio(self.audio(last_ms=60_000)))

    def hush(self) -> None:
        """Say no more."""
        self._to = None

    def send_audio(self, to: tuple[str, int], payload: bytes | None = None) -> None:
        """Send one packet of its tone, or of what is given."""
        voice = payload or self._next_frame()
        self.send_packet(to, self._codec.number, voice)
        self.timestamp = (self.timestamp + len(voice)) & 0xFFFFFFFF

    def send_packet(self, to: tuple[str, int], payload_type: int, payload: bytes) -> None:
        """Send one packet with the timestamp as it is."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        header = HEADER.pack(0x80, payload_type, self.sequence, self.timestamp, self.ssrc)
        self.rtp.sendto(header + payload, to)

    def audio(self, last_ms: int = 400) -> Samples:
        """The end of what it heard, decoded, in the order in which it came."""
        laws = {p.number: G711[p.encoding] for p in self.codecs if p.encoding in G711.__members__}
        parts: list[Samples] = []
        wanted = last_ms * 8
        for each in reversed(self.heard):
            if wanted <= 0:
                break
            if each.packet.payload_type in laws:
                parts.insert(0, decode(laws[each.packet.payload_type], each.packet.payload))
                wanted -= len(each.packet.payload)
        return np.concatenate([np.zeros(0, dtype=np.int16), *parts])

    def hears(self, last_ms: int = 400) -> set[str]:
        """The signatures in the end of what it heard."""
        return heard(self.audio(last_ms), SIGNATURES)

    async def until(self, is_so: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until packets have made something true."""
        async with asyncio.timeout(timeout_s):
            while not is_so():
                self._arrived.clear()
                await self._arrived.wait()

    async def until_packets(self, count: int) -> list[RtpPacket]:
        """Wait for the next so many packets, and return them."""
        start = len(self.heard)
        await self.until(lambda: len(self.heard) >= start + count)
        return [each.packet for each in self.heard[start : start + count]]

    def count(self) -> int:
        """How many packets have come so far, with those that still wait in its socket."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._receive(self.rtp)
        return len(self.heard)

    def take(self, count: int) -> None:
        """Wait for the next so many packets without the loop: nothing else runs here meanwhile."""
        until = len(self.heard) + count
        self.rtp.settimeout(20)
        while len(self.heard) < until:
            self._receive(self.rtp)
        self.rtp.setblocking(False)

    def _receive(self, opened: socket.socket) -> None:
        datagram = opened.recv(2048)
        packet = parse_rtp(memoryview(datagram))
        if is_rtcp(datagram[1]):
            self.muxed_reports.append(datagram)
        elif packet is not None:
            self.heard.append(Heard(packet, self._loop.time()))
        self._arrived.set()

    def _receive_report(self, opened: socket.socket) -> None:
        self.reports.append(opened.recv(2048))
        self._arrived.set()

    def _talk(self) -> None:
        if self._to is None:
            return
        count = 2 if self._swaps else 1
        packets = []
        for _ in range(count):
            voice = [self._next_frame() for _ in range(self._frames_a_packet)]
            packets.append((self.sequence + 1, self.timestamp, b"".join(voice)))
            self.sequence = (self.sequence + 1) & 0xFFFF
            self.timestamp = (self.timestamp + len(packets[-1][2])) & 0xFFFFFFFF
        after = self.sequence, self.timestamp
        for number, timestamp, payload in reversed(packets):
            self.sequence, self.timestamp = number - 1, timestamp
            self.send_packet(self._to, self._codec.number, payload)
        self.sequence, self.timestamp = after
        self._due += 0.02 * self._frames_a_packet * count
        self._loop.call_at(self._due, self._talk)

    def _next_frame(self) -> bytes:
        self._frames_sent += 1
        return self._voice[self._frames_sent % len(self._voice)]
