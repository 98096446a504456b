"""What goes to a far end beside what is forwarded: our own frames, digits, taps on all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from endpoint.audio.arrival import DelaySettings
from endpoint.audio.codec import G711, AudioCodec, encode
from endpoint.audio.coder import Encoder, EncoderSettings
from endpoint.audio.concealment import Concealer
from endpoint.audio.frame import Samples
from endpoint.audio.resample import resample
from endpoint.errors import AudioError
from endpoint.media.messages import PayloadType
from endpoint.media.payload import codec_of, encodable_of, encoder_settings, events_of
from endpoint.media.rtp import Sender, parse_rtp
from endpoint.media.tap import Tap
from endpoint.media.telephone_event import DigitSender, EventPacket, Pause, ToneFrame

_Send = Callable[[bytes | memoryview], object]
_NO_SAMPLES: Samples = np.zeros(0, dtype=np.int16)


class Outbound:
    """One far end's side of the sending: its codecs, its packet size, its socket."""

    def __init__(
        self, delay: DelaySettings | None = None, encoding: EncoderSettings | None = None
    ) -> None:
        self.sender = Sender()
        self.sends: list[PayloadType] = []
        """What the far end takes; the first that we can encode is what our own audio goes in."""
        self.codec: AudioCodec | None = None
        """Of our own audio; None while unknown, or where we can't."""
        self.law: G711 | None = None
        """That codec, where it is one of these."""
        self._encoding = encoding or EncoderSettings()
        self._encoder_settings = self._encoding
        self._encoder: Encoder | None = None
        self._digits = DigitSender()
        self._tap = Tap(delay)
        self._tapped: dict[int, AudioCodec | None] = {}
        self._outlet: _Send = _nowhere
        self._payload_type = 0
        self._packet_samples = 160
        self._packet_ticks = 160
        self._unsent_codes = b""
        self._unsent = _NO_SAMPLES
        self._own_at: float | None = None
        """When the frame on its way is sent; the sender knows only when it was due."""

    @property
    def has_digits(self) -> bool:
        """True while digits wait to be sent."""
        return bool(self._digits)

    def negotiate(self, sends: list[PayloadType], ptime_ms: int) -> None:
        """What the far end takes, and how much of it a packet."""
        self.sends = sends
        self._tapped = {p.number: codec_of(p) for p in sends}
        ours = encodable_of(sends)
        codec = codec_of(ours)
        if ours is None or codec is None:
            self.codec = self.law = None
            return
        settings = encoder_settings(ours, self._encoding)
        packet_ms = codec.packet_ms(ptime_ms)
        packet_samples = packet_ms * codec.sample_rate_hz // 1000
        if (codec, settings) != (self.codec, self._encoder_settings):
            self._encoder = None
            self._drop_unsent()
        self.codec, self.law = codec, codec.law
        self._encoder_settings = settings
        self._payload_type = ours.number
        self._packet_samples = packet_samples
        self._packet_ticks = packet_ms * codec.clock_rate_hz // 1000
        if not self.sender.packets:
            self.sender.use_clock(codec.clock_rate_hz)

    def open(self, outlet: _Send | None) -> None:
        """Where packets go from now on; None: nowhere."""
        self._outlet = outlet or _nowhere
        # Without a tap the sender calls the socket itself.
        self.sender.send = self._send_tapped if self._tap.is_heard else self._outlet

    def tap(self) -> Tap:
        """What the far end hears, for one more to hear along until `untap`."""
        self._tap.join()
        self.open(self._outlet)
        return self._tap

    def untap(self) -> None:
        """One fewer hears along."""
        self._tap.leave()
        self.open(self._outlet)

    def interrupt(self) -> None:
        """What was sent so far has ended; what follows is another source."""
        self.sender.interrupt()
        self._drop_unsent()

    def send_frame(self, samples: Samples, now: float) -> None:
        """Send the next 20 ms of audio of our own, at the codec's rate, in packets of its size."""
        codec, size = self.codec, self._packet_samples
        if codec is None:
            return
        if self.law is not None:
            self.send_codes(encode(self.law, samples), now)
            return
        if len(self._unsent):
            samples = np.concatenate([self._unsent, samples])
        while len(samples) >= size:
            packet, samples = samples[:size], samples[size:]
            # What can't be encoded is not sent; all others are, in the same tick.
            with contextlib.suppress(AudioError):
                if self._encoder is None:
                    self._encoder = codec.encoder(self._encoder_settings)
                self._send_audio(self._encoder.encode(packet), self._packet_ticks, now)
        self._unsent = samples

    def send_codes(self, codes: bytes, now: float) -> None:
        """As `send_frame`, for G.711 that is encoded already."""
        size = self._packet_samples
        if self._unsent_codes:
            codes = self._unsent_codes + codes
        while len(codes) >= size:
            self._send_audio(codes[:size], size, now)
            codes = codes[size:]
        self._unsent_codes = codes

    def catch_up(self, samples: Samples, sample_rate_hz: int, now: float) -> None:
        """Send at once what a mix had kept waiting; what is forwarded next comes after it."""
        if self.codec is None:
            return
        size = self._packet_samples
        waited = resample(samples, sample_rate_hz, self.codec.sample_rate_hz)
        if self.law is not None:
            codes = self._unsent_codes + encode(self.law, waited)
            self._unsent_codes = b""
            # The last packet takes what is too little for one of its own.
            whole = max(0, len(codes) // size - 1) * size
            self.send_codes(codes[:whole], now)
            if codes[whole:]:
                self._send_audio(codes[whole:], len(codes) - whole, now)
        else:
            missing = -(len(self._unsent) + len(waited)) % size
            # Not by silence: that is a click, and what is forwarded next may be decoded wrongly for
            # long, as Opus goes by what was there before.
            voice = Concealer(self.codec.sample_rate_hz)
            voice.hear(waited)
            self.send_frame(np.concatenate([waited, voice.conceal(missing)]), now)

    def add_digits(self, digits: str, duration_ms: int, gap_ms: int) -> bool:
        """Let digits wait to be sent. False where neither events nor tones can be."""
        if (events := self._events) is not None:
            self._digits.add_events(digits, duration_ms, gap_ms, events.clock_rate_hz)
        elif self.codec is not None:
            self._digits.add_tones(digits, duration_ms, gap_ms, self.codec.sample_rate_hz)
        else:
            return False
        return True

    def send_digit_step(self, now: float) -> str:
        """Send the next 20 ms of the digits that wait. Returns the digits that are out by it."""
        step, finished = self._digits.take()
        match step:
            case EventPacket(payload, begins, advance):
                if (events := self._events) is not None:
                    packet = self.sender.event(
                        events.number, payload, begins=begins, now=now, advance=advance
                    )
                    self._send(packet)
            case ToneFrame(samples):
                self.send_frame(samples, now)
            case Pause():
                self._send_pause(now)
        return finished

    def _send_pause(self, now: float) -> None:
        """Let a jitter buffer not run dry between two digits.

        One that does goes on with the next audio that it has, and so passes over the event in
        between: Chromium, and the last digit.
        """
        codec = self.codec
        if codec is not None and codec.clock_rate_hz == self.sender.rate_hz:
            self.send_frame(np.zeros(codec.sample_rate_hz // 50, dtype=np.int16), now)

    @property
    def _events(self) -> PayloadType | None:
        """By the clock of what was sent last."""
        return events_of(self.sends, self.sender.rate_hz)

    def _drop_unsent(self) -> None:
        self._unsent_codes, self._unsent = b"", _NO_SAMPLES

    def _send_audio(self, payload: bytes, ticks: int, now: float) -> None:
        codec, sender = self.codec, self.sender
        if codec is not None and codec.clock_rate_hz != sender.rate_hz:
            sender.use_clock(codec.clock_rate_hz)
        packet = sender.frame(self._payload_type, payload, now, ticks)
        self._own_at = now
        self._send(packet)
        self._own_at = None

    def _send(self, packet: bytes) -> None:
        # A far end that is not there, or a full buffer, costs this packet and nothing else.
        with contextlib.suppress(OSError):
            self.sender.send(packet)

    def _send_tapped(self, packet: bytes | memoryview) -> None:
        rtp = parse_rtp(memoryview(packet))
        codec = self._tapped.get(rtp.payload_type) if rtp is not None else None
        if rtp is not None and codec is not None:
            self._tap.use(codec)
            now = self.sender.at if self._own_at is None else self._own_at
            self._tap.receive(rtp.timestamp, bytes(rtp.payload), now)
        self._outlet(packet)


def _nowhere(packet: bytes | memoryview) -> None:
    """Nobody is there to be sent to."""
