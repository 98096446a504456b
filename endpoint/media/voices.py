"""What is recorded leaves the media worker: each packet as it came, with when it came.

Nothing is decoded, and no jitter buffer runs, in the process that forwards: whoever writes the file
has both, on the times that are told here. A writer that reads too slowly, or not at all, is handed
what was kept for it later; beyond some seconds the oldest is let go, and is silence in the file.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque

from endpoint.audio.frame import FRAME_MS, WIDEBAND_HZ
from endpoint.media.messages import PayloadType
from endpoint.media.player import Player, Playing
from endpoint.media.port import RtpPort
from endpoint.media.recordingmessages import CODEC, END, NOISE, Entry, encode, encode_codec

_HANDED_S = 0.1
_FRAME_S = FRAME_MS / 1000
_BEHIND_S = 5 * _FRAME_S
"""Ticks that are missed by more are let go."""
_ENTRIES_A_RECORD = 100
"""Of 20 ms of L16 at 16 kHz each they are 64 KiB: less than a record may have."""
_MOST_KEPT = 4 << 20
_SEND_BUFFER = 1 << 20
_LINEAR = PayloadType(0, "L16", WIDEBAND_HZ)


class Voice:
    """One that is recorded, for one recording."""

    def __init__(self, number: int, entries: list[Entry]) -> None:
        self.number = number
        self._entries = entries

    def packet(self, timestamp: int, payload: bytes, now: float) -> None:
        """Audio that came."""
        self._entries.append((self.number, now, timestamp, payload))

    def noise(self, payload: bytes, now: float) -> None:
        """Comfort noise that came."""
        self._entries.append((self.number, now, NOISE, payload))

    def codec(self, codec: PayloadType | None, now: float) -> None:
        """What follows has this codec."""
        self._entries.append((self.number, now, CODEC, encode_codec(codec)))

    def end(self, now: float) -> None:
        """Nothing follows."""
        self._entries.append((self.number, now, END, b""))


class _Sound:
    """A sound of ours, which has no packets of its own."""

    def __init__(self, player: Player, voice: Voice, now: float) -> None:
        self.player = player
        self.voice = voice
        self._playing = Playing(player)
        self._at = now
        voice.codec(_LINEAR, now)

    def tick(self, now: float) -> None:
        """The next 20 ms, on a time that a tick which was late does not shift."""
        self._at += _FRAME_S
        if now - self._at > _BEHIND_S:
            self._at = now
        timestamp = self._playing.position * WIDEBAND_HZ * FRAME_MS // 1000
        frame = self._playing.frame(WIDEBAND_HZ)
        self.voice.packet(timestamp & 0xFFFFFFFF, frame.astype(">i2").tobytes(), self._at)
        self._playing.advance()


class Voices:
    """All that is recorded in a plane."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is that of the socket to the writer; -1: there is none."""
        self._loop = asyncio.get_running_loop()
        self._entries: list[Entry] = []
        self._waiting: deque[bytes] = deque()
        self._kept = 0
        self._far: dict[int, tuple[RtpPort, Voice]] = {}
        self._ours: dict[int, _Sound] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        if descriptor >= 0:
            self._socket = socket.socket(fileno=descriptor)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def __bool__(self) -> bool:
        """Whether the clock is needed: for sounds of ours, which come by no packets."""
        return bool(self._ours)

    @property
    def can_record(self) -> bool:
        """Whether there is a writer."""
        return self._socket is not None

    def begin(self, number: int, port: RtpPort | Player, now: float) -> None:
        """Hand over what comes from a port, until `end`."""
        self.end(number, now)
        voice = Voice(number, self._entries)
        if isinstance(port, RtpPort):
            self._far[number] = port, voice
            port.inbound.record(voice, now)
        else:
            self._ours[number] = _Sound(port, voice, now)
        if self._timer is None:
            self._timer = self._loop.call_later(_HANDED_S, self._hand_over)

    def end(self, number: int, now: float) -> None:
        """Hand over no more of it."""
        far, ours = self._far.pop(number, None), self._ours.pop(number, None)
        if far is not None:
            far[0].inbound.record_no_more(far[1])
            far[1].end(now)
        if ours is not None:
            ours.voice.end(now)

    def forget(self, port: RtpPort | Player, now: float) -> None:
        """A port closes."""
        for number, (source, _) in [*self._far.items()]:
            if source is port:
                self.end(number, now)
        for number, sound in [*self._ours.items()]:
            if sound.player is port:
                self.end(number, now)

    def tick(self, now: float) -> None:
        """Sounds of ours go on by 20 ms."""
        for sound in self._ours.values():
            sound.tick(now)

    def close(self) -> None:
        """Hand over what there is, and close."""
        if self._timer is not None:
            self._timer.cancel()
        self._send()
        if self._socket is not None:
            self._socket.close()

    def _hand_over(self) -> None:
        is_busy = self._far or self._ours or self._entries or self._waiting
        self._timer = self._loop.call_later(_HANDED_S, self._hand_over) if is_busy else None
        self._send()

    def _send(self) -> None:
        entries = self._entries
        for begin in range(0, len(entries), _ENTRIES_A_RECORD):
            record = encode(entries[begin : begin + _ENTRIES_A_RECORD])
            self._waiting.append(record)
            self._kept += len(record)
        entries.clear()
        while self._kept > _MOST_KEPT:
            self._kept -= len(self._waiting.popleft())
        if self._socket is None:
            return
        try:
            while self._waiting:
                self._socket.send(self._waiting[0])
                self._kept -= len(self._waiting.popleft())
        except OSError:
            return  # It does not read now: the next time.
