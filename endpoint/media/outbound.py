"""What goes to a far end beside what is forwarded: our own frames, digits, taps on all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from endpoint.audio.codec import G711, encode
from endpoint.audio.frame import Samples
from endpoint.media.messages import PayloadType
from endpoint.media.payload import audio_of, events_of, law_of
from endpoint.media.rtp import Sender, parse_rtp
from endpoint.media.tap import Tap
from endpoint.media.telephone_event import DigitSender, EventPacket, Pause, ToneFrame

_Send = Callable[[bytes | memoryview], object]


class Outbound:
    """One far end's side of the sending: its codecs, its packet size, its socket."""

    def __init__(self) -> None:
        self.sender = Sender()
        self.sends: list[PayloadType] = []
        """What the far end takes; the first audio is what we encode."""
        self._digits = DigitSender()
        self._taps: list[Tap] = []
        self._outlet: _Send = _nowhere
        self._payload_type = 0
        self._packet_size = 160
        self._unsent = b""

    @property
    def law(self) -> G711 | None:
        """How audio of our own is encoded; None while unknown, or where we can't."""
        return law_of(audio_of(self.sends))

    @property
    def has_digits(self) -> bool:
        """True while digits wait to be sent."""
        return bool(self._digits)

    def negotiate(self, sends: list[PayloadType], ptime_ms: int) -> None:
        """What the far end takes, and how much of it a packet."""
        self.sends = sends
        audio = audio_of(sends)
        self._payload_type = audio.number if audio is not None else 0
        self._packet_size = 8 * ptime_ms

    def open(self, outlet: _Send | None) -> None:
        """Where packets go from now on; None: nowhere."""
        self._outlet = outlet or _nowhere
        # Without a tap the sender calls the socket itself.
        self.sender.send = self._send_tapped if self._taps else self._outlet

    def tap(self, tap: Tap) -> None:
        """Show a tap what the far end hears."""
        self._taps.append(tap)
        self.open(self._outlet)

    def untap(self, tap: Tap) -> None:
        """Show it no more."""
        self._taps = [other for other in self._taps if other is not tap]
        self.open(self._outlet)

    def interrupt(self) -> None:
        """What was sent so far has ended; what follows is another source."""
        self.sender.interrupt()
        self._unsent = b""

    def send_frame(self, codes: bytes, now: float) -> None:
        """Send the next 20 ms of audio of our own, in packets of the negotiated size."""
        self._unsent += codes
        size = self._packet_size
        while len(self._unsent) >= size:
            self._send(self.sender.frame(self._payload_type, self._unsent[:size], now))
            self._unsent = self._unsent[size:]

    def catch_up(self, samples: Samples, now: float) -> None:
        """Send at once what a mix had kept waiting; what is forwarded next comes after it."""
        if self.law is None:
            return
        codes = self._unsent + encode(self.law, samples)
        self._unsent = b""
        for start in range(0, len(codes), self._packet_size):
            packet = codes[start : start + self._packet_size]
            self._send(self.sender.frame(self._payload_type, packet, now))

    def add_digits(self, digits: str, duration_ms: int, gap_ms: int) -> bool:
        """Let digits wait to be sent. False where neither events nor tones can be."""
        in_band = None if self._event_type is not None else self.law
        if self._event_type is None and in_band is None:
            return False
        self._digits.add(digits, duration_ms, gap_ms, in_band)
        return True

    def send_digit_step(self, now: float) -> str:
        """Send the next 20 ms of the digits that wait. Returns the digits that are out by it."""
        step, finished = self._digits.take()
        match step:
            case EventPacket(payload, begins):
                if (event_type := self._event_type) is not None:
                    packet = self.sender.event(event_type, payload, begins=begins, now=now)
                    self._send(packet)
            case ToneFrame(codes):
                self.send_frame(codes, now)
            case Pause():
                pass
        return finished

    @property
    def _event_type(self) -> int | None:
        audio = audio_of(self.sends)
        return events_of(self.sends, audio.clock_rate_hz) if audio is not None else None

    def _send(self, packet: bytes) -> None:
        # A far end that is not there, or a full buffer, costs this packet and nothing else.
        with contextlib.suppress(OSError):
            self.sender.send(packet)

    def _send_tapped(self, packet: bytes | memoryview) -> None:
        rtp = parse_rtp(memoryview(packet))
        if rtp is not None:
            law = next((law_of(p) for p in self.sends if p.number == rtp.payload_type), None)
            if law is not None:
                codes = bytes(rtp.payload)
                for tap in self._taps:
                    tap.receive(rtp.timestamp, law, codes)
        self._outlet(packet)


def _nowhere(packet: bytes | memoryview) -> None:
    """Nobody is there to be sent to."""
