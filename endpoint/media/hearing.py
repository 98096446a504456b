"""Listeners and recordings: what hears along on a port without touching its audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from endpoint.audio.frame import Samples
from endpoint.errors import MediaError
from endpoint.media.messages import PortName, RecordingInfo
from endpoint.media.port import RtpPort
from endpoint.media.sink import SILENCE, SinkPort
from endpoint.media.tap import Listener, Recording, Tap


@dataclass(frozen=True, slots=True)
class _Ear:
    """One that hears along. A tap is None where the port has no such side."""

    port: RtpPort | SinkPort
    received: Tap | None
    sent: Tap | None

    def detach(self) -> None:
        if isinstance(self.port, RtpPort):
            if self.received is not None:
                self.port.inbound.untap(self.received)
            if self.sent is not None:
                self.port.outbound.untap(self.sent)


class Hearing:
    """All listeners and recordings of a plane. `failed` is told of a recording that stopped."""

    def __init__(self, delay_ms: int, failed: Callable[[str, str], None]) -> None:
        self._delay_ms = delay_ms
        self._failed = failed
        self._listeners: dict[PortName, tuple[Listener, _Ear]] = {}
        self._recordings: dict[str, tuple[Recording, _Ear]] = {}

    def __bool__(self) -> bool:
        return bool(self._listeners or self._recordings)

    def listen(self, port: RtpPort | SinkPort, keep_s: float) -> None:
        """Keep what a port hears (a sink) or gets from its far end (RTP)."""
        self._stop_listening(port.name)
        received = None
        if isinstance(port, RtpPort):
            received = Tap(self._delay_ms)
            port.inbound.tap(received)
        self._listeners[port.name] = Listener(keep_s), _Ear(port, received, None)

    def heard(self, port: PortName, last_ms: int) -> bytes:
        """What a listener kept. Raises MediaError where nobody listens."""
        if port not in self._listeners:
            raise MediaError(f"nobody listens to port {port!r}")
        return self._listeners[port][0].last(last_ms)

    def record(self, name: str, port: RtpPort | SinkPort, path: str) -> None:
        """Begin a recording. Raises MediaError: the name is taken, or the file can't be opened."""
        if name in self._recordings:
            raise MediaError(f"recording {name!r} runs already")
        recording = Recording(path)
        received = sent = None
        if isinstance(port, RtpPort):
            received, sent = Tap(self._delay_ms), Tap(self._delay_ms)
            port.inbound.tap(received)
            port.outbound.tap(sent)
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
        for name, (_, ear) in list(self._recordings.items()):
            if ear.port is port:
                try:
                    self.finish(name)
                except MediaError as exc:
                    self._failed(name, str(exc))

    def tick(self) -> None:
        """Move all on by 20 ms."""
        sinks: dict[SinkPort, Samples] = {}
        for listener, ear in self._listeners.values():
            listener.hear(_received(ear) if isinstance(ear.port, RtpPort) else _sent(ear, sinks))
        for name, (recording, ear) in list(self._recordings.items()):
            try:
                recording.record(_received(ear), _sent(ear, sinks))
            except OSError as exc:
                del self._recordings[name]
                ear.detach()
                recording.abandon()
                self._failed(name, exc.strerror or str(exc))

    def _stop_listening(self, port: PortName) -> None:
        if port in self._listeners:
            _, ear = self._listeners.pop(port)
            ear.detach()


def _received(ear: _Ear) -> Samples:
    return SILENCE if ear.received is None else ear.received.take()


def _sent(ear: _Ear, sinks: dict[SinkPort, Samples]) -> Samples:
    """What the port hears; a sink port gives each frame away once, to all that hear along."""
    if isinstance(ear.port, SinkPort):
        if ear.port not in sinks:
            sinks[ear.port] = ear.port.take()
        return sinks[ear.port]
    return SILENCE if ear.sent is None else ear.sent.take()
