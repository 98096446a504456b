"""From packets as they come to audio as it is heard: the adaptive jitter buffer.

For what is mixed, recorded or listened to; forwarding has none.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable

import numpy as np

from endpoint.audio import opus
from endpoint.audio.arrival import Arrivals, DelaySettings
from endpoint.audio.codec import AudioCodec, Encoding, decode, encode
from endpoint.audio.comfort_noise import ComfortNoise, NoiseFloor, level_in
from endpoint.audio.frame import FRAME_MS, Samples
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
_LOOK_BACK_MS = 1000
_DRIFT_PACKETS = 6

Packet = tuple[int, bytes, float]
"""One that came: its timestamp, its payload, when (in seconds). Bare: one is made a packet."""


class Playout:
    """One stream: `put` its packets in any order, `take` 20 ms of audio each 20 ms.

    The delay is what `Arrivals` wants: more is given back and less is made up by a period of the
    voice at a time, which also follows a far end whose clock is not ours. What is missing when it
    is due is concealed. While the delay is shorter than it should be, or nothing has come at all,
    the packet is waited for besides: what was only late is not thrown away. The stream begins anew
    where the timestamp jumps, and half a second after the last packet.

    G.711 stays encoded, a code byte a sample, until somebody must know how it sounds: `read` gives
    it as it is, for many streams to be decoded by one look-up.
    """

    def __init__(self, codec: AudioCodec, settings: DelaySettings | None = None) -> None:
        self.codec = codec
        self._settings = settings or DelaySettings()
        self._law = codec.law
        self._rate_hz = codec.sample_rate_hz
        self._clock_rate_hz = codec.clock_rate_hz
        self._width = 2 if self._law is None else 1
        """Octets a sample, of what waits."""
        self._frame = self._rate_hz * FRAME_MS // 1000 * self._width
        self._nothing = bytes(2) if self._law is None else bytes((self._law.silence,))
        self._octets_a_ms = self._rate_hz * self._width / 1000
        self._decoder = codec.decoder()
        self._arrivals = Arrivals(codec.clock_rate_hz, self._settings)
        self._noise = ComfortNoise()
        self._floor = NoiseFloor()
        self._rest: tuple[int, float] | None = None
        """Behind which timestamp nobody speaks, and the level there, until there is audio again."""
        self._pauses = False
        """The far end has said (Opus, DTX) that it sends nothing because nobody speaks."""
        self._packets: dict[int, bytes] = {}
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)
        self._newest: int | None = None
        """Timestamp, as all here one that does not wrap, of the newest packet."""
        self._head = 0
        """Timestamp of what is heard next."""
        self._packet_ticks = self._frame_ticks = codec.clock_rate_hz * FRAME_MS // 1000
        self._heard: Samples = np.zeros(self._rate_hz * HISTORY_MS // 1000, dtype=np.int16)
        """The end of what was heard, up to what is in `_unheeded`."""
        self._unheeded: list[bytes] = []
        """What was heard since, as it waited; nobody has had to look at it."""
        self._waiting = b""
        """Due, not taken yet: code bytes of G.711, else linear."""
        self._is_fluent = False
        """What was heard last is what came, so that the next packet follows on it as it is."""
        self._is_active = False
        self._is_new = True
        """Nothing of the stream has been heard."""
        self._idle_ms = 0.0
        self._drift_ms = 0.0
        """By how much the delay has been too long, of late."""
        self._late_in_a_row = 0
        self._loss = 0.0
        """The share of packets that were lost, lately; runs of them count as one."""
        self._gap_before = -1
        """The packet before which the last of them was."""
        self.target_ms = self._arrivals.target_ms
        """The delay wanted. Where packets get lost and each carries a copy of the one before, it
        waits for the copy."""
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
        """From the arrival of the fastest packets to when they are heard, at the last packet."""

    @property
    def is_active(self) -> bool:
        """True while packets come."""
        return self._is_active

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter (RFC 3550 §6.4.1)."""
        return self._arrivals.jitter_ms

    @property
    def waiting_ms(self) -> float:
        """How much has come that nobody has heard, with the gaps in it."""
        if not self._is_active or self._newest is None:
            return 0.0
        ticks = max(0, self._newest + self._packet_ticks - self._head)
        return 1000 * ticks / self._clock_rate_hz + len(self._waiting) / self._octets_a_ms

    def put(self, timestamp: int, payload: bytes, now: float) -> None:
        """Take a packet that came at `now`, in seconds; one without a payload is ignored."""
        if not payload:
            return
        newest = self._newest
        if newest is None:
            ticks = timestamp
        else:
            # The difference of two timestamps that wrap at 32 bit is -2^31 to 2^31 - 1.
            ticks = newest + ((timestamp - newest + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            if ticks <= newest and ticks in self._recent:
                self.duplicate_packets += 1
                return
        is_jump = self._is_jump(ticks, now)
        if is_jump:
            self._arrivals = Arrivals(self._clock_rate_hz, self._settings)
        if is_jump or not self._is_active:
            self._begin(ticks)
        self._recent.append(ticks)
        self._arrivals.receive(ticks, now)
        self._aim()
        self._is_active = True
        if len(self._packets) >= _CAPACITY:
            self.discarded_packets += 1
            return
        if ticks < self._head:
            self.late_packets += 1
            self._late_in_a_row += 1
            return
        self._late_in_a_row = 0
        if self._newest is None or ticks > self._newest:
            self._newest = ticks
        self._packets[ticks] = payload

    def catch_up(self, latest: Iterable[Packet], now: float) -> None:
        """Begin with what came just before anybody listened, so that it is heard at once.

        As far as it would wait yet, had it been listened to: then there is nothing to wait for.
        What is older is for the memory of the decoder alone.
        """
        for timestamp, payload, at in latest:
            if 1000 * (now - at) <= self._settings.start_ms - _SLACK_MS:
                self.put(timestamp, payload, at)
                self._is_new = False
            elif self.codec.has_memory:
                with contextlib.suppress(AudioError):
                    self._decoder.decode(payload)

    def put_noise(self, payload: bytes) -> None:
        """Take a comfort noise packet: nobody speaks from now on until the next audio packet."""
        if self._newest is not None:
            self._rest = self._newest, level_in(payload)

    def take(self, now: float) -> Samples:
        """The 20 ms that are heard at `now`."""
        return self.decoded(self.read(now))

    def read(self, now: float) -> bytes:
        """As `take`, not decoded: code bytes where the codec is G.711, else linear samples."""
        if not self._is_active:
            return self._nothing * (self._frame // self._width)
        while len(self._waiting) < self._frame and self._is_active:
            self._advance(now)
        missing = self._frame - len(self._waiting)
        if missing > 0:
            self._waiting += self._nothing * (missing // self._width)
        frame = self._waiting[: self._frame]
        self._waiting = self._waiting[self._frame :]
        return frame

    def rest(self) -> Samples:
        """All that has come and waits to be heard, up to the first gap. It goes on waiting."""
        while self._is_active and (payload := self._packets.pop(self._head, None)) is not None:
            self._hear(payload, 0.0)
        return self.decoded(self._waiting)

    def decoded(self, octets: bytes) -> Samples:
        """What `read` gives, as samples."""
        if self._law is None:
            return np.frombuffer(octets, dtype=np.int16)
        return decode(self._law, octets)

    def _is_jump(self, ticks: int, now: float) -> bool:
        if self._newest is None or self._late_in_a_row >= _LATE_IN_A_ROW:
            return True
        return abs(self._arrivals.delay_ms(ticks, now)) > _JUMP_MS

    def _begin(self, ticks: int) -> None:
        """Hear this packet first."""
        self._packets.clear()
        self._recent.clear()
        self._head = self._newest = ticks
        self._is_new = True
        self._rest = None
        self._pauses = False
        self._drift_ms = 0.0
        self._waiting = b""
        self._idle_ms = 0.0
        self._late_in_a_row = 0

    def _aim(self) -> None:
        wanted_ms = self._arrivals.target_ms
        if self._loss > _LOSSY and self.codec.has_fec:
            wanted_ms += 1000 * self._packet_ticks / self._clock_rate_hz
        self.target_ms = min(wanted_ms, self._settings.most_ms)

    def _delay(self, now: float) -> float:
        """Of the next packet, were it heard after all that waits already."""
        waiting_ms = len(self._waiting) / self._octets_a_ms
        self.delay_ms = self._arrivals.delay_ms(self._head, now) + waiting_ms
        return self.delay_ms

    def _advance(self, now: float) -> None:
        """Hear, conceal or skip once."""
        delay_ms = self._delay(now)
        if self._is_new:
            # Not when it came but when it is due: the ticks have a phase of their own.
            self._is_new = False
            lead_ms = max(0.0, self.target_ms - delay_ms)
            self._waiting += self._nothing * round(lead_ms * self._rate_hz / 1000)
            return
        if delay_ms > self._settings.most_ms + _OVERRUN_MS and self._packets:
            self._drop_overrun(delay_ms)
            delay_ms = self._delay(now)
        surplus_ms = delay_ms - self.target_ms
        payload = self._packets.pop(self._head, None)
        if payload is not None:
            self._idle_ms = 0.0
            self._loss *= _LOSS_MEMORY
            self._hear(payload, surplus_ms)
            return
        for overlapped in [ticks for ticks in self._packets if ticks < self._head]:
            del self._packets[overlapped]
            self.discarded_packets += 1
        if not self._packets:
            self._wait()
            return
        following = min(self._packets)
        gap = following - self._head
        if following != self._gap_before and not self._pauses:
            self._gap_before = following
            self._loss += 1 - _LOSS_MEMORY
        if surplus_ms > _SLACK_MS:
            # So much time has been filled already, while there was nothing to hear.
            self._head += min(gap, max(1, self._ticks(surplus_ms)))
        elif surplus_ms >= -_SLACK_MS:
            step = max(self._packet_ticks, self._frame_ticks)
            # A copy is of what is right before its packet.
            self._conceal(min(gap, step), self._packets[following] if gap <= step else None)
        else:
            self._wait()

    def _hear(self, payload: bytes, surplus_ms: float) -> None:
        """Let the next packet wait to be taken, a little longer or shorter where it must be."""
        if not self._packets:
            # Nothing waits behind it: it could not be heard any sooner, and a shorter one would
            # leave a hole. So it is where the whole path has become longer.
            surplus_ms = min(surplus_ms, 0.0)
        # One tick that was late, or one packet, is no reason.
        self._drift_ms += (surplus_ms - self._drift_ms) / _DRIFT_PACKETS
        is_even = min(abs(surplus_ms), abs(self._drift_ms)) <= _SLACK_MS
        if self._rest is not None and self._head > self._rest[0]:
            self._rest = None
        if self._law is not None and is_even and self._is_fluent:
            self._packet_ticks = len(payload)
            self._head += self._packet_ticks
            self._heed_later(payload)
            self._waiting += payload
            return
        if self._law is not None:
            self._look_back()
        try:
            samples = self._decoder.decode(payload)
        except AudioError:
            self.bad_packets += 1
            self._conceal(self._packet_ticks, None)
            return
        self._is_fluent = True
        self._pauses = self.codec.encoding is Encoding.OPUS and len(payload) <= opus.DTX_OCTETS
        self._packet_ticks = max(1, len(samples) * self._clock_rate_hz // self._rate_hz)
        self._head += self._packet_ticks
        if is_even and self._law is None:
            octets = samples.tobytes()
            self._heed_later(octets)
            self._waiting += octets
            return
        self._look_back()
        before = self._heard
        self._floor.hear(samples, self._rate_hz)
        self._remember(samples)
        force = abs(surplus_ms) > _HURRY_MS
        if surplus_ms > _SLACK_MS:
            samples = shorten(before, samples, self._rate_hz, force=force)
        elif surplus_ms < -_SLACK_MS:
            samples = lengthen(before, samples, self._rate_hz, force=force)
        self._wait_for(samples)

    def _conceal(self, ticks: int, following: bytes | None) -> None:
        """Fill in what was lost, or was never sent because nobody spoke."""
        self._look_back()
        samples = max(1, ticks * self._rate_hz // self._clock_rate_hz)
        made = self._rest_of(samples)
        if made is None:
            made = self._decoder.conceal(samples, following)
            self._is_fluent = False
            if not self._pauses:
                self.concealed_ms += 1000 * samples / self._rate_hz
        self._head += ticks
        self._remember(made)
        self._wait_for(made)

    def _wait(self) -> None:
        """Fill the frame without going on: what comes later may only be late."""
        self._look_back()
        samples = (self._frame - len(self._waiting)) // self._width
        made = self._rest_of(samples)
        if made is None:
            made = self._decoder.conceal(samples)
            self._is_fluent = False
            if not self._pauses:
                made = self._fade(made)
        self._remember(made)
        self._wait_for(made)

    def _rest_of(self, samples: int) -> Samples | None:
        """As many samples of the noise that was announced for now; None where none was."""
        if self._rest is None or self._head <= self._rest[0]:
            return None
        return self._noise.make(samples, self._rest[1])

    def _fade(self, guess: Samples) -> Samples:
        """Nothing comes, and nobody has said why: soon it sounds like a line without a voice."""
        duration_ms = 1000 * len(guess) / self._rate_hz
        self.concealed_ms += duration_ms
        if self._idle_ms >= _NOISE_AFTER_MS:
            noise = self._noise.make(len(guess), self._floor.level_dbov)
            summed = guess.astype(np.int32) + noise
            guess = np.clip(summed, -32768, 32767).astype(np.int16)
        self._idle_ms += duration_ms
        self._is_active = self._idle_ms < _IDLE_MS
        return guess

    def _wait_for(self, samples: Samples) -> None:
        """Let samples wait to be taken."""
        self._waiting += samples.tobytes() if self._law is None else encode(self._law, samples)

    def _heed_later(self, octets: bytes) -> None:
        """These were heard as they came; how they sound matters when something is missing."""
        self._unheeded.append(octets)
        if len(self._unheeded) * self._packet_ticks * 1000 >= _LOOK_BACK_MS * self._clock_rate_hz:
            self._look_back()

    def _look_back(self) -> None:
        """Learn from what was heard since the last time."""
        if not self._unheeded:
            return
        octets = b"".join(self._unheeded)
        self._unheeded.clear()
        samples = self.decoded(octets) if self._law is None else self._decoder.decode(octets)
        self._floor.hear(samples, self._rate_hz)
        self._remember(samples)

    def _remember(self, samples: Samples) -> None:
        size = len(self._heard)
        self._heard = np.concatenate([self._heard, samples[-size:]])[-size:]

    def _drop_overrun(self, delay_ms: float) -> None:
        """Where far too much waits, go on to where it is not."""
        due = self._head + self._ticks(delay_ms - self.target_ms)
        self._head = min(due, max(self._packets))
        gone = [ticks for ticks in self._packets if ticks < self._head]
        self.discarded_packets += len(gone)
        for ticks in gone:
            del self._packets[ticks]

    def _ticks(self, duration_ms: float) -> int:
        return int(duration_ms * self._clock_rate_hz / 1000)
