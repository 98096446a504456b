"""The media plane: ports, routes and one clock behind the messages. Runs in any asyncio loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from importlib import import_module
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from endpoint.audio import tones
from endpoint.audio.dtmf import DIGITS
from endpoint.audio.frame import SAMPLE_RATE_HZ, WIDEBAND_HZ
from endpoint.audio.wav import Sound, read_wav
from endpoint.errors import AudioError, MediaError
from endpoint.media import messages as m
from endpoint.media.clock import FrameClock
from endpoint.media.hearing import Hearing
from endpoint.media.player import Player
from endpoint.media.port import RtpPort
from endpoint.media.readers import Readers
from endpoint.media.routetable import check_gains
from endpoint.media.settings import MediaSettings
from endpoint.media.sink import SinkPort
from endpoint.media.sockets import PortRange, open_loopback_pair
from endpoint.media.switchboard import Port, Switchboard
from endpoint.media.telephone_event import Digit
from endpoint.media.transport import PacketTransport
from endpoint.media.udp import UdpTransport
from endpoint.media.voices import Voices

if TYPE_CHECKING:
    from endpoint.media.webrtc import WebRtcTransport

_LATELY_S = 0.1
_LARGEST_FILE = 64 << 20
_LONGEST_MEMORY_S = 10.0
_LONGEST_CADENCE_MS = 120_000
_LONGEST_DIGIT_MS = 8000


class Plane:
    """Does what the commands say; `tell` gets each command's answer, and the notices.

    Use as `async with Plane(…) as plane`; every port is closed at its end.
    """

    def __init__(
        self, settings: MediaSettings, tell: Callable[[m.Reply | m.Failed | m.Notice], None]
    ) -> None:
        self.tell = tell
        self._settings = settings
        self._range = PortRange(settings.bind_host, settings.rtp_port_low, settings.rtp_port_high)
        self._switchboard = Switchboard(
            ended=lambda player: tell(m.PlaybackEnded(player.name)),
            digits_sent=lambda port, digits: tell(m.DigitsSent(port.name, digits)),
        )
        self._hearing = Hearing(
            failed=lambda name, text: tell(m.RecordingFailed(name, text)),
            pressed=lambda port, digit, duration_ms: tell(
                m.DigitReceived(port, digit, duration_ms, in_band=True)
            ),
        )
        self._voices = Voices(settings.recorder)
        self._open_events: set[RtpPort] = set()
        self._clock = FrameClock(self._tick)
        self.readers = Readers()
        self._tasks = asyncio.TaskGroup()
        self._gathering: dict[m.PortName, tuple[int, asyncio.Task[None]]] = {}
        """WebRTC ports that gather candidates: the command to answer, and who does it."""

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        await self._tasks.__aexit__(None, None, None)
        self.readers.close()

    def handle(self, command: m.AnyCommand) -> None:
        """Do one command. It is answered before this returns, but for a file that is read."""
        try:
            result = self._do(command)
        except MediaError as exc:
            self.tell(m.Failed(command.id, str(exc)))
        except Exception as exc:
            # Our mistake, which the loop shows; nobody need wait for an answer until time is up.
            self.tell(m.Failed(command.id, f"the media plane failed: {exc!r}"))
            raise
        else:
            if result is not None:
                self.tell(m.Reply(command.id, result))
        self._mind_clock()

    def streams(self) -> int:
        """How many far ends send at the moment."""
        since = monotonic() - _LATELY_S
        ports = self._switchboard.ports.values()
        return sum(isinstance(port, RtpPort) and port.inbound.last_heard > since for port in ports)

    def close(self) -> None:
        """Close every port and finish every recording."""
        self._clock.stop()
        for name in list(self._gathering):
            self._stop_gathering(name, "was closed")
        for port in list(self._switchboard.ports.values()):
            self._close(port)
        self._voices.close()

    def _do(self, command: m.AnyCommand) -> m.Result | None:
        now = monotonic()
        match command:
            case m.OpenRtpPort():
                return self._open_rtp(command)
            case m.SetRemote(port):
                rtp_port = self._rtp(port)
                rtp_port.set_remote(command)
                self._switchboard.changed(rtp_port, now)
            case m.OpenWebRtcPort(port):
                self._free(port)
                self._gather(command, partial(self._open_web_rtc, command))
                return None
            case m.RestartIce(port):
                self._gather(command, partial(self._restart_ice, self._rtp(port), command))
                return None
            case m.SetWebRtcRemote(port):
                rtp_port = self._rtp(port)
                rtp_port.set_remote(command)
                self._switchboard.changed(rtp_port, now)
            case m.AddCandidates(port, candidates, complete):
                self._rtp(port).transport.add_candidates(candidates, complete=complete)
            case m.OpenPlayer():
                self._open_player(command)
            case m.OpenFilePlayer():
                self._open_file_player(command)
                return None
            case m.OpenSink(port):
                self._free(port)
                self._switchboard.add(SinkPort(port))
            case m.ClosePort(port):
                if port in self._switchboard.ports or port not in self._gathering:
                    closing = self._port(port)
                    last = self._statistics(closing) if isinstance(closing, RtpPort) else None
                    self._close(closing)
                    self.tell(m.PortClosed(port, last))
                self._stop_gathering(port, "was closed")
            case m.SetRoutes(group, routes):
                check_gains(routes)
                self._switchboard.set_routes(group, routes, now)
            case m.SendDigits():
                self._send_digits(command, now)
            case m.StartRecording(recording, port, path):
                self._hearing.record(recording, self._hears(port), path)
            case m.StopRecording(recording):
                return self._hearing.finish(recording)
            case m.StartVoice(voice, port):
                source = self._port(port)
                if isinstance(source, SinkPort) or not self._voices.can_record:
                    raise MediaError(f"port {port!r} can't be recorded")
                self._voices.begin(voice, source, now)
            case m.StopVoice(voice):
                self._voices.end(voice, now)
            case m.StartListening(port, keep_s):
                if not 0 < keep_s <= _LONGEST_MEMORY_S:
                    raise MediaError(f"a listener keeps at most {_LONGEST_MEMORY_S:g} s")
                self._hearing.listen(self._hears(port), keep_s)
            case m.ReadHeard(port, last_ms):
                return self._hearing.heard(port, last_ms)
            case m.ReadStatistics(port):
                return self._statistics(self._rtp(port))
            case m.Ping():
                pass
        return m.Done()

    # -- ports --------------------------------------------------------------------------------

    def _port(self, name: m.PortName) -> Port:
        port = self._switchboard.ports.get(name)
        if port is None:
            raise MediaError(f"no port {name!r}")
        return port

    def _rtp(self, name: m.PortName) -> RtpPort:
        port = self._port(name)
        if not isinstance(port, RtpPort):
            raise MediaError(f"port {name!r} has no far end")
        return port

    def _hears(self, name: m.PortName) -> RtpPort | SinkPort:
        port = self._port(name)
        if isinstance(port, Player):
            raise MediaError(f"port {name!r} hears nothing")
        return port

    def _free(self, name: m.PortName) -> None:
        if name in self._switchboard.ports or name in self._gathering:
            raise MediaError(f"port {name!r} is open already")

    def _open_rtp(self, command: m.OpenRtpPort) -> m.RtpAddress:
        self._free(command.port)
        pair = open_loopback_pair() if command.on_loopback else self._range.open_pair()
        transport = UdpTransport(
            pair, self._settings, self.readers, strict_source=command.strict_source
        )
        port = self._add_rtp(command, transport)
        return m.RtpAddress(*transport.address, port.ssrc, port.cname)

    def _add_rtp(
        self, command: m.OpenRtpPort | m.OpenWebRtcPort, transport: PacketTransport
    ) -> RtpPort:
        timeout_s = command.rtp_timeout_s
        port = RtpPort(command.port, transport, self._settings, self, rtp_timeout_s=timeout_s)
        port.relays_digits = command.relays_digits
        if command.detects_tones:
            self._hearing.detect_digits(port)
        self._switchboard.add(port)
        return port

    async def _open_web_rtc(self, command: m.OpenWebRtcPort) -> m.WebRtcAddress:
        # A plain worker does without all that comes with it, and live calls go on meanwhile.
        loop = asyncio.get_running_loop()
        webrtc = await loop.run_in_executor(None, import_module, "endpoint.media.webrtc")
        transport: WebRtcTransport = webrtc.WebRtcTransport(
            command, self._settings, self._range.open_one, self.readers, self._tasks, self.tell
        )
        local = await transport.open()
        port = self._add_rtp(command, transport)
        return local.described(port.ssrc, port.cname)

    async def _restart_ice(self, port: RtpPort, command: m.RestartIce) -> m.WebRtcAddress:
        local = await port.transport.restart_ice(command)
        return local.described(port.ssrc, port.cname)

    def _gather(
        self,
        command: m.OpenWebRtcPort | m.RestartIce,
        gather: Callable[[], Coroutine[None, None, m.WebRtcAddress]],
    ) -> None:
        """Answer a command when candidates are gathered; the last one for a port counts."""
        self._stop_gathering(command.port, "is gathering anew")
        task = self._tasks.create_task(self._answer(command, gather), name=f"gather {command.port}")
        self._gathering[command.port] = command.id, task

    async def _answer(
        self,
        command: m.OpenWebRtcPort | m.RestartIce,
        gather: Callable[[], Coroutine[None, None, m.WebRtcAddress]],
    ) -> None:
        answer: m.Reply | m.Failed
        try:
            answer = m.Reply(command.id, await gather())
        except MediaError as exc:
            answer = m.Failed(command.id, str(exc))
        except Exception as exc:
            # As in `handle`; a group of tasks must not end for one of them.
            answer = m.Failed(command.id, f"the media plane failed: {exc!r}")
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a WebRTC port could not gather candidates", "exception": exc}
            )
        self._gathering.pop(command.port, None)
        self.tell(answer)

    def _stop_gathering(self, name: m.PortName, why: str) -> None:
        if name in self._gathering:
            number, task = self._gathering.pop(name)
            task.cancel()
            self.tell(m.Failed(number, f"port {name!r} {why}"))

    def _open_player(self, command: m.OpenPlayer) -> None:
        self._free(command.port)
        if sum(segment.duration_ms for segment in command.cadence) > _LONGEST_CADENCE_MS:
            raise MediaError(f"a cadence is at most {_LONGEST_CADENCE_MS} ms")
        player = Player(command.port, loop=command.loop)
        player.load(tones.render(command.cadence))
        self._switchboard.add(player)

    def _open_file_player(self, command: m.OpenFilePlayer) -> None:
        """The file is read and resampled in a thread, and answered for when that is done."""
        self._free(command.port)
        player = Player(command.port, loop=command.loop)
        self._switchboard.add(player)
        reading = asyncio.get_running_loop().run_in_executor(None, _read_sound, command.path)
        reading.add_done_callback(partial(self._file_read, command, player))

    def _file_read(
        self, command: m.OpenFilePlayer, player: Player, reading: asyncio.Future[Sound]
    ) -> None:
        if reading.cancelled() or self._switchboard.ports.get(player.name) is not player:
            self.tell(m.Failed(command.id, f"port {player.name!r} was closed"))
            return
        error = reading.exception()
        if error is None:
            sound = reading.result()
            player.load(sound.samples, sound.sample_rate_hz, pause_ms=command.pause_ms)
            self.tell(m.Reply(command.id, m.Done()))
        else:
            self._close(player)
            reason = error.strerror if isinstance(error, OSError) else error
            self.tell(m.Failed(command.id, f"can't play {command.path}: {reason}"))
        self._mind_clock()

    def _statistics(self, port: RtpPort) -> m.Statistics:
        return port.statistics(self._switchboard.levels_to(port))

    def _close(self, port: Port) -> None:
        now = monotonic()
        self._switchboard.remove(port, now)
        if isinstance(port, RtpPort | SinkPort):
            self._hearing.forget(port)
        if not isinstance(port, SinkPort):
            self._voices.forget(port, now)
        if isinstance(port, RtpPort):
            self._open_events.discard(port)
            port.close()

    # -- digits -------------------------------------------------------------------------------

    def _send_digits(self, command: m.SendDigits, now: float) -> None:
        port = self._rtp(command.port)
        digits = command.digits.upper()
        if not digits or set(digits) - set(DIGITS):
            raise MediaError("digits are 0-9, *, # and A-D")
        if not (40 <= command.duration_ms <= _LONGEST_DIGIT_MS and 0 <= command.gap_ms <= 10_000):
            raise MediaError("a digit lasts 40 to 8000 ms, the gap after it at most 10 s")
        if not port.can_send:
            raise MediaError(f"the far end of port {command.port!r} takes no audio")
        if not port.outbound.add_digits(digits, command.duration_ms, command.gap_ms):
            raise MediaError(f"the far end of port {command.port!r} takes no digits")
        self._switchboard.changed(port, now)

    def digits_heard(self, port: RtpPort, digits: list[Digit]) -> None:
        """See `PortOwner`."""
        for digit in digits:
            self.tell(m.DigitReceived(port.name, digit.digit, digit.duration_ms))
            self._switchboard.relay_digit(port, digit.digit, digit.duration_ms, monotonic())
        self._mind_clock()

    def event_begun(self, port: RtpPort) -> None:
        """See `PortOwner`."""
        self._open_events.add(port)
        self._mind_clock()

    def outlet_changed(self, port: RtpPort) -> None:
        """See `PortOwner`."""
        self._switchboard.changed(port, monotonic())
        self._mind_clock()

    def codec_changed(self, port: RtpPort) -> None:
        """See `PortOwner`."""
        self._switchboard.changed(port, monotonic())
        self._mind_clock()

    # -- the clock ----------------------------------------------------------------------------

    def _mind_clock(self) -> None:
        if self._switchboard.is_busy or self._hearing or self._open_events or self._voices:
            self._clock.start()
        else:
            self._clock.stop()

    def _tick(self) -> None:
        now = monotonic()
        self._switchboard.tick(now)
        self._hearing.tick(now)
        self._voices.tick(now)
        for port in list(self._open_events):
            if not port.expire_event(now):
                self._open_events.discard(port)
        self._mind_clock()


def _read_sound(path: str) -> Sound:
    """In narrow or wide band. Raises AudioError, OSError, or ValueError for no possible path."""
    with Path(path).open("rb") as file:
        octets = file.read(_LARGEST_FILE + 1)
    if len(octets) > _LARGEST_FILE:
        raise AudioError(f"a file is at most {_LARGEST_FILE >> 20} MiB")
    sound = read_wav(octets)
    rate_hz = WIDEBAND_HZ if sound.sample_rate_hz >= WIDEBAND_HZ else SAMPLE_RATE_HZ
    return Sound(sound.at(rate_hz), rate_hz)
