"""A call's audio between the bridge and the media plane: L16 over RTP, on this machine."""

from __future__ import annotations

import contextlib
import ctypes
import random
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

from endpoint.audio.frame import FRAME_MS
from endpoint.media.pjsip.messages import PAYLOAD_TYPE, SAMPLE_RATE_HZ
from endpoint.media.rtp import HEADER, MARKER, VERSION, parse_rtp

if TYPE_CHECKING:
    from endpoint.media.pjsip.library import Library

FRAME_SAMPLES: Final = SAMPLE_RATE_HZ * FRAME_MS // 1000
FRAME_OCTETS: Final = 2 * FRAME_SAMPLES
_MOST_WAITING: Final = 4
"""Frames. The two clocks differ: what is more is let go, and delay never grows."""
_READ_A_TICK: Final = 16
_DATAGRAM: Final = 2048
_PATIENCE: Final = 10
"""Ticks without a packet of the far end's, before nothing is passed on: so the media plane sees
that it has gone silent, as it does with every other far end."""


class Channel:
    """One way through the bridge, both directions; lasts as long as the process, call after call.

    Its two slots play and keep one frame each tick, from and into memory: no code of ours is called
    by PJSIP for audio.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._played = ctypes.create_string_buffer(FRAME_OCTETS)
        self._kept = ctypes.create_string_buffer(FRAME_OCTETS)
        self._source = library.source(self._played)
        self._sink = library.sink(self._kept)
        self._socket: socket.socket | None = None
        self._is_connected = False
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._slot = -1
        self._call = -1
        self._packets = 0
        self._quiet = _PATIENCE
        self._sequence = self._timestamp = self._ssrc = 0
        self._was_quiet = True

    @property
    def is_free(self) -> bool:
        """No call has it."""
        return self._socket is None

    def open(self, host: str) -> int:
        """Take it for a call. Returns the port where the media plane's audio is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind((host, 0))
        self._is_connected = False
        self._sequence, self._timestamp = random.getrandbits(16), random.getrandbits(32)
        self._ssrc = random.getrandbits(32)
        port: int = opened.getsockname()[1]
        return port

    def face(self, host: str, port: int) -> None:
        """Where the media plane is: what comes from elsewhere is not heard."""
        if self._socket is not None and port:
            self._socket.connect((host, port))
            self._is_connected = True

    def join(self, call: int) -> None:
        """Be heard in a call, and hear it; said again whenever its audio has changed."""
        slot = self._library.slot_of(call)
        if self._slot not in (-1, slot) and self._call != call:
            self._library.disconnect(self._source, self._slot)
            self._library.disconnect(self._slot, self._sink)
        self._call, self._slot = call, slot
        self._packets = self._library.packets_of(call)
        if slot >= 0:
            self._library.connect(self._source, slot)
            self._library.connect(slot, self._sink)

    def close(self) -> None:
        """The call is over; its slot has gone with it."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._slot, self._call, self._quiet = None, -1, -1, _PATIENCE
        self._waiting.clear()

    def before_tick(self) -> None:
        """Give the bridge the next frame of what the media plane sends."""
        if self._socket is None or not self._is_connected:
            return
        with contextlib.suppress(OSError):  # nothing more, or the plane's port is gone
            for _ in range(_READ_A_TICK):
                packet = parse_rtp(memoryview(self._socket.recv(_DATAGRAM)))
                if packet is not None and packet.payload_type == PAYLOAD_TYPE:
                    self._waiting.append(bytes(packet.payload))
        payload = self._waiting.popleft() if self._waiting else b""
        samples = np.frombuffer(payload[: len(payload) & ~1], ">i2").astype("<i2")
        self._played.raw = samples.tobytes()[:FRAME_OCTETS].ljust(FRAME_OCTETS, b"\0")
        self._kept.raw = bytes(FRAME_OCTETS)

    def after_tick(self) -> None:
        """Pass on what the bridge has heard of the call."""
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if self._socket is None or not self._is_connected or self._slot < 0:
            return
        packets = self._library.packets_of(self._call)
        self._quiet = self._quiet + 1 if packets == self._packets else 0
        self._packets = packets
        if self._quiet >= _PATIENCE:
            self._was_quiet = True
            return
        kind = PAYLOAD_TYPE | (MARKER if self._was_quiet else 0)
        self._was_quiet = False
        self._sequence = (self._sequence + 1) & 0xFFFF
        header = HEADER.pack(VERSION, kind, self._sequence, self._timestamp, self._ssrc)
        audio = np.frombuffer(self._kept.raw, "<i2").astype(">i2").tobytes()
        with contextlib.suppress(OSError):
            self._socket.send(header + audio)
