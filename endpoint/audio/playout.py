"""From packets as they come to audio as it is heard: the adaptive jitter buffer.

For what is mixed or recorded; forwarding has none.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from endpoint.audio.arrival import Arrivals, DelaySettings
from endpoint.audio.codec import AudioCodec
from endpoint.audio.comfort_noise import ComfortNoise, NoiseFloor, level_in
from endpoint.audio.frame import FRAME_MS, Samples
from endpoint.audio.jitter import signed_difference
from endpoint.audio.pitch import HISTORY_MS
from endpoint.audio.timescale import lengthen, shorten
from endpoint.errors import AudioError

_SLACK_MS = 10.0
"""The delay may be as far from what is wanted before anything is done about it."""
_HURRY_MS = 40.0
"""And when as far, it is done even where it may be heard."""
_OVERRUN_MS = 100.0
"""Over the most delay that is allowed: what waits is dropped."""
_IDLE_MS = 500.0
_NOISE_AFTER_MS = 40.0
_JUMP_MS = 3000.0
_LATE_IN_A_ROW = 25
_CAPACITY = 512
"""Packets: five seconds of 10 ms."""
_REMEMBERED = 64
_LOSS_MEMORY = 0.998
"""Of the share of lost packets, from one packet to the next: ten seconds."""
_LOSSY = 0.003


class Playout:
    """One stream: `put` its packets in any order, `take` 20 ms of audio each 20 ms.

    The delay is what `Arrivals` wants: more is given back and less is made up by a period of the
    voice at a time, which also follows a far end whose clock is not ours. What is missing when it
    is due is concealed. While the delay is shorter than it should be, or nothing has come at all,
    the packet is waited for besides: what was only late is not thrown away. The stream begins anew
    where the timestamp jumps, and half a second after the last packet.
    """

    def __init__(self, codec: AudioCodec, settings: DelaySettings | None = None) -> None:
        self._codec = codec
        self._settings = settings or DelaySettings()
        self._rate_hz = codec.sample_rate_hz
        self._frame = self._rate_hz * FRAME_MS // 1000
        self._decoder = codec.decoder()
        self._arrivals = Arrivals(codec.clock_rate_hz, self._settings)
        self._noise = ComfortNoise()
        self._floor = NoiseFloor()
        self._announced_dbov: float | None = None
        """The level of a comfort noise packet, until there is audio again."""
        self._packets: dict[int, bytes] = {}
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)
        self._newest: int | None = None
        """Timestamp, as all here one that does not wrap, of the newest packet."""
        self._head = 0
        """Timestamp of what is decoded next."""
        self._packet_ticks = codec.clock_rate_hz * FRAME_MS // 1000
        history = np.zeros(self._rate_hz * HISTORY_MS // 1000, dtype=np.int16)
        self._heard: Samples = history
        """The end of what was decoded."""
        self._waiting: Samples = history[:0]
        """Decoded, not taken yet."""
        self._is_active = False
        self._idle_ms = 0.0
        self._late_in_a_row = 0
        self._loss = 0.0
        """The share of packets that were lost, lately; runs of them count as one."""
        self._gap_before = -1
        """The packet before which the last of them was."""
        self.late_packets = 0
        """Came after their time; dropped."""
        self.duplicate_packets = 0
        self.discarded_packets = 0
        """Came, but the delay had become too long to hear them."""
        self.bad_packets = 0
        """Could not be decoded."""
        self.concealed_ms = 0.0
        """Audio that was made up for what was lost or late."""
        self.delay_ms = 0.0
        """From the arrival of the fastest packets to when they are heard, at the last `take`."""

    @property
    def is_active(self) -> bool:
        """True while packets come."""
        return self._is_active

    @property
    def target_ms(self) -> float:
        """The delay wanted.

        Where packets get lost and each carries a copy of the one before, it waits for the copy.
        """
        wanted_ms = self._arrivals.target_ms
        if self._codec.has_fec and self._loss > _LOSSY:
            wanted_ms += 1000 * self._packet_ticks / self._codec.clock_rate_hz
        return min(wanted_ms, self._settings.most_ms)

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter (RFC 3550 §6.4.1)."""
        return self._arrivals.jitter_ms

    def put(self, timestamp: int, payload: bytes, now: float) -> None:
        """Take a packet that came at `now`, in seconds; one without a payload is ignored."""
        if not payload:
            return
        ticks = self._unwrap(timestamp)
        if ticks in self._recent:
            self.duplicate_packets += 1
            return
        is_jump = self._is_jump(ticks, now)
        if is_jump:
            self._arrivals = Arrivals(self._codec.clock_rate_hz, self._settings)
        if is_jump or not self._is_active:
            self._begin(ticks)
        self._recent.append(ticks)
        self._arrivals.receive(ticks, now)
        if not self._is_active:
            self._is_active = True
            lead_ms = self.target_ms - self._arrivals.delay_ms(ticks, now)
            lead = max(0, round(lead_ms * self._rate_hz / 1000))
            self._waiting = np.zeros(lead, dtype=np.int16)
        if len(self._packets) >= _CAPACITY:
            self.discarded_packets += 1
            return
        if ticks < self._head:
            self.late_packets += 1
            self._late_in_a_row += 1
            return
        self._late_in_a_row = 0
        self._announced_dbov = None
        self._newest = ticks if self._newest is None else max(ticks, self._newest)
        self._packets[ticks] = payload

    def put_noise(self, payload: bytes) -> None:
        """Take a comfort noise packet: nobody speaks from now on until the next audio packet."""
        self._announced_dbov = level_in(payload)

    def take(self, now: float) -> Samples:
        """The 20 ms that are heard at `now`."""
        if not self._is_active:
            return np.zeros(self._frame, dtype=np.int16)
        self._drop_overrun(now)
        while len(self._waiting) < self._frame and self._is_active:
            self._advance(now)
        if len(self._waiting) < self._frame:
            missing = np.zeros(self._frame - len(self._waiting), dtype=np.int16)
            self._waiting = np.concatenate([self._waiting, missing])
        frame, self._waiting = self._waiting[: self._frame], self._waiting[self._frame :]
        return frame

    def _unwrap(self, timestamp: int) -> int:
        if self._newest is None:
            return timestamp
        return self._newest + signed_difference(timestamp - self._newest)

    def _is_jump(self, ticks: int, now: float) -> bool:
        if self._newest is None or self._late_in_a_row >= _LATE_IN_A_ROW:
            return True
        return abs(self._arrivals.delay_ms(ticks, now)) > _JUMP_MS

    def _begin(self, ticks: int) -> None:
        """Hear this packet first."""
        self._packets.clear()
        self._recent.clear()
        self._head = self._newest = ticks
        self._is_active = False
        self._idle_ms = 0.0
        self._late_in_a_row = 0

    def _delay(self, now: float) -> float:
        """Of the next sample that is decoded, were it heard after all that waits already."""
        waiting_ms = 1000 * len(self._waiting) / self._rate_hz
        self.delay_ms = self._arrivals.delay_ms(self._head, now) + waiting_ms
        return self.delay_ms

    def _advance(self, now: float) -> None:
        """Decode, conceal or skip once."""
        surplus_ms = self._delay(now) - self.target_ms
        payload = self._packets.pop(self._head, None)
        if payload is not None:
            self._idle_ms = 0.0
            self._loss *= _LOSS_MEMORY
            self._decode(payload, surplus_ms)
            return
        for overlapped in [ticks for ticks in self._packets if ticks < self._head]:
            del self._packets[overlapped]
            self.discarded_packets += 1
        if not self._packets:
            self._wait()
            return
        following = min(self._packets)
        gap = following - self._head
        if following != self._gap_before:
            self._gap_before = following
            self._loss += 1 - _LOSS_MEMORY
        if surplus_ms > _SLACK_MS:
            # So much time has been filled already, while there was nothing to decode.
            self._head += min(gap, max(1, self._ticks(surplus_ms)))
        elif surplus_ms >= -_SLACK_MS:
            self._conceal(min(gap, self._packet_ticks), self._packets[following])
        else:
            self._wait()

    def _decode(self, payload: bytes, surplus_ms: float) -> None:
        try:
            samples = self._decoder.decode(payload)
        except AudioError:
            self.bad_packets += 1
            self._conceal(self._packet_ticks, None)
            return
        self._packet_ticks = max(1, len(samples) * self._codec.clock_rate_hz // self._rate_hz)
        self._head += self._packet_ticks
        self._floor.hear(samples, self._rate_hz)
        before = self._heard
        self._remember(samples)
        force = abs(surplus_ms) > _HURRY_MS
        if surplus_ms > _SLACK_MS:
            samples = shorten(before, samples, self._rate_hz, force=force)
        elif surplus_ms < -_SLACK_MS:
            samples = lengthen(before, samples, self._rate_hz, force=force)
        self._waiting = np.concatenate([self._waiting, samples])

    def _conceal(self, ticks: int, following: bytes | None) -> None:
        """Fill in what was lost."""
        samples = max(1, ticks * self._rate_hz // self._codec.clock_rate_hz)
        made = self._decoder.conceal(samples, following)
        self._head += ticks
        self.concealed_ms += 1000 * samples / self._rate_hz
        self._remember(made)
        self._waiting = np.concatenate([self._waiting, made])

    def _wait(self) -> None:
        """Fill the frame without going on: what comes later may only be late."""
        samples = self._frame - len(self._waiting)
        made = self._silence(samples)
        if self._announced_dbov is None:
            self.concealed_ms += 1000 * samples / self._rate_hz
            guess = self._decoder.conceal(samples)
            noisy = self._idle_ms >= _NOISE_AFTER_MS
            summed = guess.astype(np.int32) + made if noisy else guess
            made = np.clip(summed, -32768, 32767).astype(np.int16)
            self._idle_ms += 1000 * samples / self._rate_hz
            self._is_active = self._idle_ms < _IDLE_MS
        self._remember(made)
        self._waiting = np.concatenate([self._waiting, made])

    def _silence(self, samples: int) -> Samples:
        """What the far end's room sounds like when nobody speaks."""
        level_dbov = self._announced_dbov
        if level_dbov is None:
            level_dbov = self._floor.level_dbov
        return self._noise.make(samples, level_dbov)

    def _remember(self, samples: Samples) -> None:
        size = len(self._heard)
        self._heard = np.concatenate([self._heard, samples])[-size:]

    def _drop_overrun(self, now: float) -> None:
        """Where far too much waits, go on to where it is not."""
        delay_ms = self._delay(now)
        if not self._packets or delay_ms <= self._settings.most_ms + _OVERRUN_MS:
            return
        due = self._head + self._ticks(delay_ms - self.target_ms)
        self._head = min(due, max(self._packets))
        gone = [ticks for ticks in self._packets if ticks < self._head]
        self.discarded_packets += len(gone)
        for ticks in gone:
            del self._packets[ticks]
        self._head = min(self._packets)

    def _ticks(self, duration_ms: float) -> int:
        return int(duration_ms * self._codec.clock_rate_hz / 1000)
