"""A party that sends a tone by RTP and listens, for peers that have no audio of their own."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Iterator
from typing import Self

import numpy as np

from .feed import Feed
from .process import free_rtp_port
from .sound import RATE_HZ, Samples, tone, tones_in, ulaw_decode, ulaw_encode

PTIME_S = 0.02
_SAMPLES = int(RATE_HZ * PTIME_S)
_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_PCMU, _TELEPHONE_EVENT = 0, 101
_DIGITS = "0123456789*#ABCD"
_SETTLE_MS = 100


class ToneParty(asyncio.DatagramProtocol):
    """`async with ToneParty(tone_hz) as party`: listens, and sends once it knows where to."""

    host = "127.0.0.1"

    def __init__(self, tone_hz: int) -> None:
        self.tone_hz = tone_hz
        self.port = free_rtp_port()
        self._digits: Feed[str] = Feed(f"tone party {tone_hz}")
        self._loop = asyncio.get_running_loop()
        second = ulaw_encode(tone(tone_hz, 1.0))
        self._frames = [second[i : i + _SAMPLES] for i in range(0, len(second), _SAMPLES)]
        self._heard: list[Samples] = []
        self._heard_samples = 0
        self._last_event: int | None = None
        self._destination: tuple[str, int] | None = None
        self._sequence = self._timestamp = 0
        self._event: list[bytes] = []
        self._event_samples = 0
        """How long the event that is being sent has lasted."""
        self._ticking: asyncio.TimerHandle | None = None
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        self._transport, _ = await self._loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.host, self.port)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        self._transport.close()

    # -- sending --------------------------------------------------------------------------------

    def follow(self, sdp: str) -> None:
        """Send, or not, as the far end's description says: address, port and direction."""
        connection = re.search(r"^c=IN IP4 (\S+)", sdp, re.M)
        media = re.search(r"^m=audio (\d+) ", sdp, re.M)
        assert connection is not None, sdp
        assert media is not None, sdp
        if re.search(r"^a=(sendonly|inactive)\s*$", sdp, re.M):
            self.stop()
        else:
            self.send_to(connection[1], int(media[1]))

    def send_to(self, host: str, port: int) -> None:
        """Send the tone there, a packet every 20 ms."""
        self._destination = (host, port)
        if self._ticking is None:
            self._tick(self._loop.time())

    def stop(self) -> None:
        """Send nothing more; go on listening."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def send_digit(self, digit: str, *, duration_ms: int = 100) -> None:
        """Send a telephone-event in place of the tone, its end three times (RFC 4733 §2.5.1.4)."""
        assert not self._event, "one digit at a time"
        event = _DIGITS.index(digit)
        steps = list(range(_SAMPLES, duration_ms * RATE_HZ // 1000 + 1, _SAMPLES))
        self._event = [_EVENT.pack(event, 10, step) for step in steps]
        self._event += [_EVENT.pack(event, 0x80 | 10, steps[-1])] * 3

    def _tick(self, due_s: float) -> None:
        self._ticking = self._loop.call_at(due_s + PTIME_S, self._tick, due_s + PTIME_S)
        assert self._destination is not None
        packet = self._next_packet()
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._transport.sendto(packet, self._destination)

    def _next_packet(self) -> bytes:
        if self._event:
            # All packets of one event carry the time of its start (RFC 4733 §2.2).
            packet = self._header(_TELEPHONE_EVENT, marker=not self._event_samples)
            self._event_samples += _SAMPLES
            return packet + self._event.pop(0)
        self._timestamp += self._event_samples
        self._event_samples = 0
        frame = self._frames[self._sequence % len(self._frames)]
        packet = self._header(_PCMU)
        self._timestamp = (self._timestamp + _SAMPLES) & 0xFFFFFFFF
        return packet + frame

    def _header(self, payload_type: int, *, marker: bool = False) -> bytes:
        kind = payload_type | (0x80 if marker else 0)
        return _HEADER.pack(0x80, kind, self._sequence, self._timestamp, self.port)

    # -- listening ------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if len(data) <= _HEADER.size:
            return
        _, kind, _, timestamp, _ = _HEADER.unpack_from(data)
        payload = data[_HEADER.size :]
        if kind & 0x7F == _PCMU:
            self._heard.append(ulaw_decode(payload))
            self._heard_samples += len(payload)
        elif kind & 0x7F == _TELEPHONE_EVENT and payload[1] & 0x80:
            if timestamp != self._last_event:
                self._digits.put(_DIGITS[payload[0]])
            self._last_event = timestamp

    async def digits_received(self, count: int) -> str:
        """Wait for so many telephone-events (RFC 4733), each counted once, and return them."""
        return "".join([await self._digits.next(lambda _: True, "digit") for _ in range(count)])

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms` that it receives; no packets, no tones."""
        start = self._heard_samples + _SETTLE_MS * RATE_HZ // 1000
        stop = start + ms * RATE_HZ // 1000
        deadline = self._loop.time() + (_SETTLE_MS + 2 * ms) / 1000 + 0.2
        for _ in self._ticks_until(deadline):
            if self._heard_samples >= stop:
                break
            await asyncio.sleep(PTIME_S)
        samples = np.concatenate([np.zeros(0, np.int16), *self._heard])
        return tones_in(samples[start:stop])

    def _ticks_until(self, deadline_s: float) -> Iterator[None]:
        while self._loop.time() < deadline_s:
            yield
