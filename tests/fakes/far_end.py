"""A port of the media plane without a network: packets in by hand, packets out kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from endpoint.media import messages as m
from endpoint.media.latch import Address
from endpoint.media.port import RtpPort
from endpoint.media.rtp import HEADER, RtpPacket, parse_rtp
from endpoint.media.settings import MediaSettings
from endpoint.media.telephone_event import Digit
from endpoint.media.transport import BUFFER, LocalIce, PacketReceiver, Send


class KeepingTransport:
    """A `PacketTransport` whose packets go nowhere; they are kept where that is asked for."""

    foreign_packets = 0
    refused_packets = 0
    authenticated_packets = 0
    proven: Address | None = None

    def __init__(self, *, keeps: bool) -> None:
        self.sent: list[RtpPacket] = []
        self._keeps = keeps

    @property
    def outlet(self) -> Send | None:
        return self._send

    def attach(self, receiver: PacketReceiver) -> None: ...
    def set_remote(self, remote: m.Remote, now: float) -> None: ...
    def add_candidates(self, candidates: Sequence[str], *, complete: bool) -> None: ...
    def send_rtcp(self, datagram: bytes) -> None: ...
    def close(self) -> None: ...

    async def restart_ice(self, command: m.RestartIce) -> LocalIce:
        raise NotImplementedError

    def _send(self, packet: bytes | memoryview) -> None:
        if self._keeps:
            parsed = parse_rtp(memoryview(bytes(packet)))
            assert parsed is not None
            self.sent.append(parsed)


class Nobody:
    """A `PortOwner` whom nothing moves, unless a test wants to be told of a codec."""

    def __init__(self) -> None:
        self.on_codec: Callable[[RtpPort], None] = lambda port: None

    def tell(self, notice: m.Notice) -> None: ...
    def outlet_changed(self, port: RtpPort) -> None: ...
    def event_begun(self, port: RtpPort) -> None: ...
    def digits_heard(self, port: RtpPort, digits: list[Digit]) -> None: ...

    def codec_changed(self, port: RtpPort) -> None:
        self.on_codec(port)


class FarEnd:
    """A port, and a far end that says payloads of 20 ms over and over. Needs a running loop."""

    def __init__(
        self,
        name: str,
        codecs: Sequence[m.PayloadType],
        payloads: Sequence[bytes] = (),
        *,
        ptime_ms: int = 20,
        keeps: bool = True,
    ) -> None:
        self._transport = KeepingTransport(keeps=keeps)
        self.owner = Nobody()
        self.port = RtpPort(name, self._transport, MediaSettings(), self.owner, rtp_timeout_s=0)
        self.negotiate(codecs, ptime_ms)
        self.payloads = payloads
        self._count = 0
        self._timestamp = 0xFFFFF000
        """Near its wrap, so that everybody crosses it."""

    def negotiate(self, codecs: Sequence[m.PayloadType], ptime_ms: int = 20) -> None:
        """What it takes and sends; it speaks the first."""
        self.codec = codecs[0]
        listed = list(codecs)
        self.port.set_remote(
            m.SetRemote(self.port.name, "127.0.0.1", 4000, 4001, listed, listed, ptime_ms=ptime_ms)
        )

    @property
    def heard(self) -> list[RtpPacket]:
        """What was sent to it."""
        return self._transport.sent

    def speak(self, now: float) -> None:
        """Its next packet comes, if it has anything to say."""
        if self.payloads:
            self.receive(self.codec.number, self.payloads[self._count % len(self.payloads)], now)

    def receive(self, payload_type: int, payload: bytes, now: float) -> None:
        """A packet of it comes, of 20 ms."""
        number = 65500 + self._count & 0xFFFF
        header = HEADER.pack(0x80, payload_type, number, self._timestamp, 7)
        packet = header + payload
        BUFFER[: len(packet)] = packet
        self._count += 1
        self._timestamp = (self._timestamp + self.codec.clock_rate_hz // 50) & 0xFFFFFFFF
        self.port.inbound.receive(len(packet), now)
