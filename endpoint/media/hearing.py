"""Listeners, recordings, detectors of digits: what hears along and touches no audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from endpoint.audio.dtmf import DtmfDetector
from endpoint.audio.frame import FRAME_MS, SAMPLE_RATE_HZ, WIDEBAND_HZ, Samples
from endpoint.errors import MediaError
from endpoint.media.messages import Heard, PortName, RecordingInfo
from endpoint.media.port import RtpPort
from endpoint.media.sink import SinkPort
from endpoint.media.tap import Listener, Recording, Tap


@dataclass(frozen=True, slots=True)
class _Ear:
    """One that hears along. A tap is None where the port has no such side."""

    port: RtpPort | SinkPort
    received: Tap | None
    sent: Tap | None

    def hear_received(self, now: float, sample_rate_hz: int) -> Samples:
        """What comes from the far end in this tick."""
        return _taken(self.received, now, sample_rate_hz)

    def hear_sent(self, now: float, sample_rate_hz: int) -> Samples:
        """What the port hears in this tick."""
        if isinstance(self.port, SinkPort):
            return self.port.take(now)
        return _taken(self.sent, now, sample_rate_hz)

    def detach(self) -> None:
        if isinstance(self.port, RtpPort):
            if self.received is not None:
                self.port.inbound.untap()
            if self.sent is not None:
                self.port.outbound.untap()


class Hearing:
    """All that hears along in a plane.

    `failed` is told of a recording that stopped, `pressed` of a digit that a far end sent as tones,
    with its duration in ms.
    """

    def __init__(
        self, failed: Callable[[str, str], None], pressed: Callable[[PortName, str, int], None]
    ) -> None:
        self._failed = failed
        self._pressed = pressed
        self._detectors: dict[PortName, tuple[DtmfDetector, _Ear]] = {}
        self._listeners: dict[PortName, tuple[Listener, _Ear]] = {}
        self._recordings: dict[str, tuple[Recording, _Ear]] = {}

    def __bool__(self) -> bool:
        return bool(self._listeners or self._recordings or self._detectors)

    def detect_digits(self, port: RtpPort) -> None:
        """Look for tones of digits in what comes from a far end, until the port closes."""
        self._detectors[port.name] = DtmfDetector(), _Ear(port, port.inbound.tap(), None)

    def listen(self, port: RtpPort | SinkPort, keep_s: float) -> None:
        """Keep what a port hears (a sink) or gets from its far end (RTP)."""
        self._stop_listening(port.name)
        received = None
        if isinstance(port, RtpPort):
            received = port.inbound.tap()
        listener = Listener(keep_s, _sample_rate_of(port))
        self._listeners[port.name] = listener, _Ear(port, received, None)

    def heard(self, port: PortName, last_ms: int) -> Heard:
        """What a listener kept. Raises MediaError where nobody listens."""
        if port not in self._listeners:
            raise MediaError(f"nobody listens to port {port!r}")
        listener, _ = self._listeners[port]
        return Heard(listener.last(last_ms), listener.sample_rate_hz)

    def record(self, name: str, port: RtpPort | SinkPort, path: str) -> None:
        """Begin a recording. Raises MediaError: the name is taken, or the file can't be opened."""
        if name in self._recordings:
            raise MediaError(f"recording {name!r} runs already")
        recording = Recording(path, _sample_rate_of(port))
        received = sent = None
        if isinstance(port, RtpPort):
            received, sent = port.inbound.tap(), port.outbound.tap()
        self._recordings[name] = recording, _Ear(port, received, sent)

    def finish(self, name: str) -> RecordingInfo:
        """End a recording. Raises MediaError: there is none, or its last part was not written."""
        if name not in self._recordings:
            raise MediaError(f"no recording {name!r}")
        recording, ear = self._recordings.pop(name)
        ear.detach()
        try:
            recording.finish()
        except OSError as exc:
            raise MediaError(f"recording {name!r}: {exc.strerror}") from exc
        return RecordingInfo(recording.path, recording.duration_ms)

    def forget(self, port: RtpPort | SinkPort) -> None:
        """A port closes: its listener goes, its recordings are finished."""
        self._stop_listening(port.name)
        if port.name in self._detectors:
            _, ear = self._detectors.pop(port.name)
            ear.detach()
        for name, (_, ear) in list(self._recordings.items()):
            if ear.port is port:
                try:
                    self.finish(name)
                except MediaError as exc:
                    self._failed(name, str(exc))

    def tick(self, now: float) -> None:
        """Move all on by 20 ms."""
        for port, (detector, ear) in self._detectors.items():
            for digit, duration_ms in detector.receive_presses(
                ear.hear_received(now, SAMPLE_RATE_HZ)
            ):
                self._pressed(port, digit, duration_ms)
        for listener, ear in self._listeners.values():
            is_far = isinstance(ear.port, RtpPort)
            hear = ear.hear_received if is_far else ear.hear_sent
            listener.hear(hear(now, listener.sample_rate_hz))
        for name, (recording, ear) in list(self._recordings.items()):
            at = now, recording.sample_rate_hz
            try:
                recording.record(ear.hear_received(*at), ear.hear_sent(*at))
            except OSError as exc:
                del self._recordings[name]
                ear.detach()
                recording.abandon()
                self._failed(name, exc.strerror or str(exc))

    def _stop_listening(self, port: PortName) -> None:
        if port in self._listeners:
            _, ear = self._listeners.pop(port)
            ear.detach()


def _sample_rate_of(port: RtpPort | SinkPort) -> int:
    """Enough for what is said and heard there as it stands now."""
    if isinstance(port, SinkPort):
        return SAMPLE_RATE_HZ
    codecs = port.inbound.codec, port.outbound.codec
    is_wide = any(c is not None and c.sample_rate_hz > SAMPLE_RATE_HZ for c in codecs)
    return WIDEBAND_HZ if is_wide else SAMPLE_RATE_HZ


def _taken(tap: Tap | None, now: float, sample_rate_hz: int) -> Samples:
    if tap is None:
        return np.zeros(sample_rate_hz * FRAME_MS // 1000, dtype=np.int16)
    return tap.take(now, sample_rate_hz)
