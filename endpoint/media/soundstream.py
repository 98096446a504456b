"""What is between a sound device's blocks of 20 ms and RTP, without either of them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from endpoint.audio.arrival import DelaySettings
from endpoint.audio.codec import codec_named
from endpoint.audio.deviceclock import DeviceClock
from endpoint.audio.frame import FRAME_MS, WIDEBAND_HZ, Samples
from endpoint.audio.playout import Playout
from endpoint.audio.rateconverter import convert
from endpoint.audio.tones import Segment, render
from endpoint.errors import MediaError
from endpoint.media.rtcp import is_rtcp
from endpoint.media.rtp import HEADER, VERSION, parse_rtp
from endpoint.media.soundmessages import CODEC

_BLOCK_S = FRAME_MS / 1000
_TICKS = WIDEBAND_HZ * FRAME_MS // 1000
_RING = 50
"""Packets, a second: the oldest go where the device has stopped to ask."""
_DELAY = DelaySettings(least_ms=20.0, start_ms=40.0)


class Microphone:
    """A device's blocks to packets of L16, which count by the device's clock."""

    def __init__(
        self, send: Callable[[bytes], object], *, gain_db: float = 0.0, suppression: int = 0
    ) -> None:
        """`suppression` of noise: 0 (none) to 4. Raises MediaError where that is not installed."""
        self.gain_db = gain_db
        self._send = send
        self._quieten = _suppressor(suppression) if suppression else None
        self._ssrc = random.getrandbits(32)
        self._sequence = random.getrandbits(15)
        self._timestamp = random.getrandbits(32)
        self.begin(WIDEBAND_HZ)

    def begin(self, sample_rate_hz: int) -> None:
        """The device was opened: blocks of 20 ms, of that rate, from now on."""
        self._rate_hz = sample_rate_hz
        self._before: Samples = np.zeros(sample_rate_hz * FRAME_MS // 1000, dtype=np.int16)

    def capture(self, block: Samples) -> None:
        """The next block."""
        frame = convert(block[None], self._before[None], self._rate_hz, WIDEBAND_HZ)[0]
        self._before = block
        if self._quieten is not None:
            frame = self._quieten(frame)
        payload = amplified(frame, self.gain_db).astype(">i2").tobytes()
        header = HEADER.pack(VERSION, CODEC.number, self._sequence, self._timestamp, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + _TICKS) & 0xFFFFFFFF
        self._send(header + payload)


class Speaker:
    """Packets of L16 to a device's blocks.

    Packets that are late are waited for, and the device's clock is followed, by the jitter buffer.
    `receive` and `play` may be called by two threads.
    """

    def __init__(self, *, gain_db: float = 0.0) -> None:
        self.gain_db = gain_db
        self._ring: deque[tuple[float, int, bytes]] = deque(maxlen=_RING)
        self.begin(WIDEBAND_HZ)

    @property
    def playout(self) -> Playout:
        """Its jitter buffer."""
        return self._playout

    def begin(self, sample_rate_hz: int) -> None:
        """The device was opened: blocks of 20 ms, of that rate, from now on."""
        codec = codec_named(CODEC.encoding, CODEC.clock_rate_hz)
        assert codec is not None
        self._ring.clear()
        self._playout = Playout(codec, _DELAY)
        self._clock = DeviceClock(_BLOCK_S)
        self._rate_hz = sample_rate_hz
        self._before: Samples = np.zeros(_TICKS, dtype=np.int16)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take what the plane sends; its reports are of no concern here."""
        if len(datagram) > 1 and is_rtcp(datagram[1]):
            return
        packet = parse_rtp(memoryview(datagram))
        if packet is not None and packet.payload_type == CODEC.number:
            self._ring.append((now, packet.timestamp, bytes(packet.payload)))

    def play(self, now: float) -> Samples:
        """The next block."""
        heard_at = self._clock.step(now)
        while self._ring:
            came_at, timestamp, payload = self._ring.popleft()
            self._playout.put(timestamp, payload, came_at)
        frame = amplified(self._playout.take(heard_at), self.gain_db)
        before, self._before = self._before, frame
        block: Samples = convert(frame[None], before[None], WIDEBAND_HZ, self._rate_hz)[0]
        return block


class Ringer:
    """A cadence, over and over."""

    def __init__(self, cadence: Sequence[Segment], *, gain_db: float = 0.0) -> None:
        self.gain_db = gain_db
        self._cadence = cadence
        self.begin(WIDEBAND_HZ)

    def begin(self, sample_rate_hz: int) -> None:
        """The device was opened: blocks of 20 ms, of that rate, from now on."""
        self._size = sample_rate_hz * FRAME_MS // 1000
        round_ = render(self._cadence, sample_rate_hz)
        self._round: Samples = round_ if len(round_) else np.zeros(self._size, dtype=np.int16)
        self._at = 0

    def play(self, now: float) -> Samples:
        """The next block."""
        places = np.arange(self._at, self._at + self._size)
        self._at = (self._at + self._size) % len(self._round)
        return amplified(np.take(self._round, places, mode="wrap"), self.gain_db)


def amplified(samples: Samples, gain_db: float) -> Samples:
    """Louder or softer; clips, never wraps."""
    if not gain_db:
        return samples
    louder = samples.astype(np.float32) * 10.0 ** (gain_db / 20.0)
    result: Samples = np.clip(np.rint(louder), -32768, 32767).astype(np.int16)
    return result


def _suppressor(level: int) -> Callable[[Samples], Samples]:
    """WebRTC's. It takes 10 ms of 16 kHz at a time."""
    try:
        made: Any = import_module("webrtc_noise_gain")
    except ImportError as exc:
        raise MediaError(
            "noise suppression is not installed: pip install 'agent-endpoint[noise]'"
        ) from exc
    processor = made.AudioProcessor(0, level)

    def quieten(frame: Samples) -> Samples:
        halves = (part.astype("<i2").tobytes() for part in np.split(frame, 2))
        quiet = b"".join([bytes(processor.Process10ms(half).audio) for half in halves])
        return np.frombuffer(quiet, "<i2").astype(np.int16)

    return quieten
