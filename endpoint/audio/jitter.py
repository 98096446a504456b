"""A small jitter buffer of fixed delay, for what is mixed or recorded (forwarding has none)."""

from __future__ import annotations

_CAPACITY = 8192
"""A second of samples; a power of two, so that the place of a timestamp survives its wrap."""
_IDLE_READS = 25
_LATE_IN_A_ROW = 3
_WATCHED_PACKETS = 128
_SURPLUS = 320


def signed_difference(difference: int) -> int:
    """A difference of two RTP timestamps, which wrap at 32 bit, as -2^31 to 2^31 - 1."""
    return ((difference + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class JitterBuffer:
    """Puts code bytes where their RTP timestamp says, and reads them `delay` samples later.

    One byte is one sample (G.711), so a lost packet is silence that nobody has overwritten. The
    buffer is anchored anew at the first packet, after half a second without any, and where the
    timestamp jumps; a far end whose clock runs faster than ours is caught up by a skip.
    """

    def __init__(self, silence: int, delay: int) -> None:
        self._delay = delay
        self._silence = b""
        self._ring = bytearray()
        self._anchored = False
        self._head = 0
        """Timestamp of the next sample to read."""
        self._ahead = 0
        """Samples from the head to the end of the newest packet."""
        self._idle_reads = 0
        self._late_in_a_row = 0
        self._watched = 0
        self._least_ahead = _CAPACITY
        self.late_packets = 0
        """Came after their time to be heard; dropped."""
        self.reset(silence)

    @property
    def is_active(self) -> bool:
        """True while packets come."""
        return self._anchored

    def reset(self, silence: int) -> None:
        """Forget what waits: another sender, or another codec with this silence."""
        self._silence = bytes((silence,))
        self._ring = bytearray(self._silence * _CAPACITY)
        self._anchored = False

    def put(self, timestamp: int, codes: bytes | memoryview) -> None:
        """Take the payload of one packet."""
        size = len(codes)
        if size > _CAPACITY // 2:
            return
        if not self._anchored:
            self._anchor(timestamp)
        offset = signed_difference(timestamp - self._head)
        if offset < 0:
            self.late_packets += 1
            self._late_in_a_row += 1
            if self._late_in_a_row < _LATE_IN_A_ROW:
                return
        if not 0 <= offset <= _CAPACITY - size:
            self._anchor(timestamp)
            offset = self._delay
        self._late_in_a_row = 0
        self._ahead = max(self._ahead, offset + size)
        place = timestamp % _CAPACITY
        first = min(size, _CAPACITY - place)
        self._ring[place : place + first] = codes[:first]
        self._ring[: size - first] = codes[first:]
        self._watch_drift(offset + size)

    def take(self, size: int) -> bytes:
        """The next samples to be heard, as code bytes; silence where there are none."""
        if not self._anchored:
            return self._silence * size
        place = self._head % _CAPACITY
        codes = bytes(self._ring[place : place + size])
        codes += self._ring[: size - len(codes)]
        self._skip(size)
        if self._ahead:
            self._idle_reads = 0
        else:
            self._idle_reads += 1
            self._anchored = self._idle_reads < _IDLE_READS
        return codes

    def rest(self) -> bytes:
        """All that has come and was not taken yet, which stays."""
        place = self._head % _CAPACITY
        ahead = self._ahead if self._anchored else 0
        return (bytes(self._ring[place:]) + self._ring[:place])[:ahead]

    def _anchor(self, timestamp: int) -> None:
        """From now on, `timestamp` is heard after the delay."""
        if self._ahead:
            self._ring[:] = self._silence * _CAPACITY
        self._head = (timestamp - self._delay) & 0xFFFFFFFF
        self._ahead = self._idle_reads = self._late_in_a_row = self._watched = 0
        self._least_ahead = _CAPACITY
        self._anchored = True

    def _skip(self, size: int) -> None:
        """Move the head on, leaving silence behind."""
        place = self._head % _CAPACITY
        first = min(size, _CAPACITY - place)
        self._ring[place : place + first] = self._silence * first
        self._ring[: size - first] = self._silence * (size - first)
        self._head = (self._head + size) & 0xFFFFFFFF
        self._ahead = max(0, self._ahead - size)

    def _watch_drift(self, ahead: int) -> None:
        """Where even the latest of many packets came early, give back the surplus."""
        self._least_ahead = min(self._least_ahead, ahead)
        self._watched += 1
        if self._watched >= _WATCHED_PACKETS:
            surplus = self._least_ahead - self._delay
            if surplus > _SURPLUS:
                self._skip(surplus)
            self._watched = 0
            self._least_ahead = _CAPACITY
