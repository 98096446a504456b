"""A program's end of its audio: frames of 20 ms to and from the endpoint, by RTP on loopback.

One socket and one beat serve all calls of an agent. What is to be said waits in a queue that is
bounded, as is what was heard: who gives too much waits, who listens too late loses the oldest.
"""

from __future__ import annotations

import asyncio
import random
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import numpy as np

from endpoint.audio.frame import FRAME_MS, WIDEBAND_HZ, Samples
from endpoint.gateways.native import audiomessages as wire
from endpoint.media.rtp import HEADER, VERSION, RtpPacket, parse_rtp
from endpoint.media.telephone_event import EventReceiver

RATE_HZ = WIDEBAND_HZ
"""Of the frames."""
FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000
"""Of one frame: 320."""
LOOPBACK = "127.0.0.1"
L16, EVENTS = 97, 101
"""Payload types, as `wire.AttachAudio` says."""

_FRAME_S = FRAME_MS / 1000
_QUEUE_FRAMES = 50
_HEARD_FRAMES = 100
_SILENT_AFTER_S = 3 * _FRAME_S
_MOST_LATE_FRAMES = 10
"""A loop that was held up longer leaves out what it should have said: it goes on from now."""
_SILENCE: Samples = np.zeros(FRAME_SAMPLES, dtype=np.int16)


class Heard(AsyncIterator[Samples]):
    """The frames of a call from now on: int16, (320,) at 16 kHz, one every 20 ms.

    Silence where nothing comes. The iteration ends with the call. At most 2 s wait to be taken.
    """

    def __init__(self) -> None:
        self._waiting: deque[Samples] = deque(maxlen=_HEARD_FRAMES)
        self._news = asyncio.Event()
        self._is_over = False
        self.lost = 0
        """Frames that were not taken in time."""

    def put(self, frame: Samples) -> None:
        """One more."""
        self.lost += len(self._waiting) == _HEARD_FRAMES
        self._waiting.append(frame)
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._is_over = True
        self._news.set()

    async def __anext__(self) -> Samples:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Mouth:
    """What is to be said in one call: a bounded queue of frames."""

    def __init__(self) -> None:
        self._frames: deque[Samples] = deque()
        self._changed = asyncio.Event()
        self._cleared = 0
        self._is_over = False

    async def put(self, samples: Samples) -> bool:
        """Let this follow what waits; waits itself while a second does.

        False: it was cleared meanwhile, or the call is over, and this is not said to its end.
        """
        if samples.ndim != 1 or samples.dtype != np.int16:
            found = f"{samples.dtype}, {samples.ndim} dimensions"
            raise ValueError(f"found {found}; expected int16 samples of 16 kHz in one dimension")
        cleared = self._cleared
        for start in range(0, len(samples), FRAME_SAMPLES):
            if not await self._until(lambda: len(self._frames) < _QUEUE_FRAMES, cleared):
                return False
            frame = samples[start : start + FRAME_SAMPLES]
            self._frames.append(np.pad(frame, (0, FRAME_SAMPLES - len(frame))))
        return True

    async def said(self) -> bool:
        """Until nothing waits to be said. False as in `put`."""
        return await self._until(lambda: not self._frames, self._cleared)

    def clear(self) -> None:
        """Say nothing of what waits."""
        self._frames.clear()
        self._cleared += 1
        self._changed.set()

    def end(self) -> None:
        """The call is over."""
        self._is_over = True
        self.clear()

    def take(self) -> Samples:
        """The next 20 ms; silence where nothing waits."""
        if not self._frames:
            return _SILENCE
        self._changed.set()
        return self._frames.popleft()

    async def _until(self, true: Callable[[], bool], cleared: int) -> bool:
        while not self._is_over and self._cleared == cleared:
            if true():
                return True
            self._changed.clear()
            await self._changed.wait()
        return False


class CallAudio:
    """The audio of one call, for as long as it lives."""

    def __init__(self) -> None:
        self.mouth = Mouth()
        self.digits: asyncio.Queue[str | None] = asyncio.Queue()
        """What was pressed at the other end; None at the end of the call."""
        self._ears: weakref.WeakSet[Heard] = weakref.WeakSet()
        self._is_over = False

    def listen(self) -> Heard:
        """The frames from now on."""
        heard = Heard()
        if self._is_over:
            heard.end()
        self._ears.add(heard)
        return heard

    def hear(self, frame: Samples) -> None:
        """What was heard in 20 ms."""
        for heard in self._ears:
            heard.put(frame)

    def end(self) -> None:
        """The call is over."""
        if not self._is_over:
            self._is_over = True
            self.mouth.end()
            self.digits.put_nowait(None)
            for heard in self._ears:
                heard.end()


class Telephone:
    """One leg of the device: what goes to it and comes from it, for the call that is active."""

    def __init__(self, address: wire.AudioAddress) -> None:
        self.to = (address.host, address.port)
        self.active: CallAudio | None = None
        self._ssrc = random.getrandbits(32)
        self._sequence = random.getrandbits(16)
        self._timestamp = random.getrandbits(32)
        self._events = EventReceiver()
        self._rest: Samples = np.zeros(0, dtype=np.int16)
        self._heard_at = 0.0

    def packet(self) -> bytes:
        """The next 20 ms to send."""
        frame = self.active.mouth.take() if self.active is not None else _SILENCE
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        header = HEADER.pack(VERSION, L16, self._sequence, self._timestamp, self._ssrc)
        return header + frame.astype(">i2").tobytes()

    def receive(self, packet: RtpPacket, now: float) -> None:
        """Take what came from the endpoint."""
        if packet.payload_type == EVENTS:
            told = self._events.receive(packet.timestamp, packet.payload, now, RATE_HZ)
            self._press([one.digit for one in told])
        elif packet.payload_type == L16 and len(packet.payload) % 2 == 0:
            samples = np.frombuffer(packet.payload, ">i2").astype(np.int16)
            samples = np.concatenate([self._rest, samples])
            whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
            self._rest = samples[whole:]
            self._heard_at = now
            for frame in samples[:whole].reshape(-1, FRAME_SAMPLES):
                self._hear(frame)

    def beat(self, now: float) -> None:
        """20 ms have passed: where nothing came in the last ones, that was silence."""
        self._press([one.digit for one in self._events.expire(now)])
        if now - self._heard_at > _SILENT_AFTER_S:
            self._hear(_SILENCE)

    def _hear(self, frame: Samples) -> None:
        if self.active is not None:
            self.active.hear(frame)

    def _press(self, digits: list[str]) -> None:
        if self.active is not None:
            for digit in digits:
                self.active.digits.put_nowait(digit)


class ProgramAudio(asyncio.DatagramProtocol):
    """The socket and the beat of a program's audio: `async with ProgramAudio() as audio`."""

    def __init__(self) -> None:
        self._telephones: dict[int, Telephone] = {}
        """By the SSRC of what comes from them."""
        self._transport: asyncio.DatagramTransport
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(LOOPBACK, 0)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()

    @property
    def port(self) -> int:
        """Where it takes RTP."""
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def attach(self, address: wire.AudioAddress, audio: CallAudio) -> None:
        """Let a call be the one that is talked in at a telephone of the device."""
        telephone = self._telephones.get(address.ssrc)
        if telephone is None:
            telephone = self._telephones[address.ssrc] = Telephone(address)
        telephone.active = audio
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due_at = loop.time()
            self._timer = loop.call_at(self._due_at, self._beat)

    def leave(self, audio: CallAudio) -> None:
        """A call is put aside, or over."""
        for telephone in self._telephones.values():
            if telephone.active is audio:
                telephone.active = None

    def forget(self, ssrc: int) -> None:
        """A telephone of the device is in no call any more."""
        self._telephones.pop(ssrc, None)
        if not self._telephones and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def datagram_received(self, data: bytes, _address: tuple[str | object, int]) -> None:
        """See `DatagramProtocol`."""
        packet = parse_rtp(memoryview(data))
        telephone = self._telephones.get(packet.ssrc) if packet is not None else None
        if packet is not None and telephone is not None:
            telephone.receive(packet, asyncio.get_running_loop().time())

    def error_received(self, exc: Exception) -> None:
        """A telephone that has just gone: nothing to be done."""

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._due_at > _MOST_LATE_FRAMES * _FRAME_S:
            self._due_at = now
        while self._due_at <= now:
            self._due_at += _FRAME_S
            for telephone in self._telephones.values():
                self._transport.sendto(telephone.packet(), telephone.to)
                telephone.beat(now)
        self._timer = loop.call_at(self._due_at, self._beat)
