"""An RTP port: a source and a sink of audio with a far end, its RTCP and its time-outs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from endpoint.audio.arrival import DelaySettings
from endpoint.audio.coder import EncoderSettings
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.inbound import Inbound
from endpoint.media.observer import Observer
from endpoint.media.outbound import Outbound
from endpoint.media.payload import audio_of
from endpoint.media.rtcp import Reporter
from endpoint.media.settings import MediaSettings
from endpoint.media.telephone_event import Digit
from endpoint.media.transport import PacketTransport
from endpoint.media.xr import VOIP_METRICS

_REPORTS_COUNT = 3
"""So many times our own interval; the far end's is no longer by much."""


class PortOwner(Protocol):
    """Who is told what happens on a port."""

    def tell(self, notice: m.Notice) -> None:
        """Something for the control plane."""

    def outlet_changed(self, port: RtpPort) -> None:
        """Its far end can be sent to, or no longer, or another way."""

    def codec_changed(self, port: RtpPort) -> None:
        """The far end sends another codec than it did."""

    def event_begun(self, port: RtpPort) -> None:
        """A telephone event has begun; `expire_event` must be called while it is open."""

    def digits_heard(self, port: RtpPort, digits: list[Digit]) -> None:
        """Telephone events have ended."""


class RtpPort:
    """A source (`inbound`) and a sink (`outbound`) with a far end, over any packet transport."""

    def __init__(
        self,
        name: m.PortName,
        transport: PacketTransport,
        settings: MediaSettings,
        owner: PortOwner,
        *,
        rtp_timeout_s: float,
    ) -> None:
        self.name = name
        self.remote: m.Remote | None = None
        self.relays_digits = True
        """Digits of others may be sent on to its far end."""
        self._transport = transport
        self._settings = settings
        self._owner = owner
        self._rtp_timeout_s = rtp_timeout_s
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        delay = DelaySettings(
            least_ms=settings.jitter_least_ms,
            start_ms=settings.jitter_start_ms,
            most_ms=settings.jitter_most_ms,
        )
        encoding = EncoderSettings(
            bit_rate=settings.opus_bit_rate, complexity=settings.opus_complexity
        )
        self.outbound = Outbound(delay, encoding)
        self.inbound = Inbound(self, delay)
        self.cname = f"{random.getrandbits(64):016x}"
        self._reporter = Reporter(self.cname, self.outbound.sender, self.inbound.source)
        self._observer = Observer(
            self.inbound,
            self.outbound,
            transport,
            self._reporter.remote,
            settings.quality_window_s,
            _REPORTS_COUNT * settings.rtcp_interval_s,
        )
        self._is_timed_out = False
        self._packets_reported = 0
        transport.attach(self)

    @property
    def can_send(self) -> bool:
        """True when the far end is known and wants audio."""
        remote = self.remote
        return remote is not None and remote.sending and self._transport.outlet is not None

    @property
    def ssrc(self) -> int:
        """Of what it sends."""
        return self.outbound.sender.ssrc

    @property
    def transport(self) -> PacketTransport:
        """How its packets go."""
        return self._transport

    def set_remote(self, remote: m.Remote) -> None:
        """Take the negotiated far end. A new address starts the search for the source anew.

        Raises:
            MediaError: the address can't be used, or no audio is named; nothing has changed.
        """
        if audio_of(remote.send) is None or audio_of(remote.receive) is None:
            raise MediaError("no audio codec was negotiated")
        if not 1 <= remote.ptime_ms <= 200:
            raise MediaError(f"packets of {remote.ptime_ms} ms")
        now = monotonic()
        self._transport.set_remote(remote, now)
        self.remote = remote
        self.inbound.negotiate(remote.receive)
        self.outbound.negotiate(remote.send, remote.ptime_ms)
        self._open_outlet()
        self.inbound.heard_at = now
        self._is_timed_out = False
        self._watch_silence()
        self._reporter.extended = tuple(remote.reports)
        self._reporter.restart()
        self._observer.restart(remote.ptime_ms, now)
        self._later("look", self._observer.interval_s, self._look)
        if "report" not in self._timers:
            self._later("report", self._report_wait_s() / 2, self._report)

    def expire_event(self, now: float) -> bool:
        """See `Inbound.expire_event`."""
        return self.inbound.expire_event(now)

    def statistics(self, levels_dbov: Sequence[float | None] = ()) -> m.Statistics:
        """Counts since the port was opened, and how it is now.

        `levels_dbov`: of everybody whom the far end should hear; None: not known.
        """
        return self._observer.statistics(self.remote, levels_dbov, monotonic())

    def close(self) -> None:
        """Say BYE to a far end that is known, and close."""
        if self.remote is not None:
            self._transport.send_rtcp(self._reporter.goodbye(monotonic()))
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.outbound.open(None)
        self._transport.close()

    # -- what the transport tells -------------------------------------------------------------

    def outlet_changed(self) -> None:
        """See `PacketReceiver`."""
        self._open_outlet()
        self._owner.outlet_changed(self)

    def _open_outlet(self) -> None:
        self.outbound.open(self._transport.outlet if self.can_send else None)

    # -- what the inbound side tells ----------------------------------------------------------

    def first_packet(self) -> None:
        """See `InboundOwner`."""
        self._owner.tell(m.FirstPacket(self.name))

    def codec_changed(self) -> None:
        """See `InboundOwner`."""
        self._owner.codec_changed(self)

    def event_begun(self) -> None:
        """See `InboundOwner`."""
        self._owner.event_begun(self)

    def digits_heard(self, digits: list[Digit]) -> None:
        """See `InboundOwner`."""
        self._owner.digits_heard(self, digits)

    def rtcp_received(self, datagram: memoryview, now: float) -> None:
        """See `InboundOwner` and `PacketReceiver`."""
        if not self._reporter.receive(datagram, now):
            self.inbound.malformed_packets += 1

    # -- RTCP and time-outs -------------------------------------------------------------------

    def _report(self) -> None:
        sender = self.outbound.sender
        has_sent = sender.packets != self._packets_reported
        self._packets_reported = sender.packets
        asked = VOIP_METRICS in self._reporter.extended
        metrics = self._observer.metrics() if asked else None
        report = self._reporter.report(monotonic(), sends=has_sent, metrics=metrics)
        self._transport.send_rtcp(report)
        self._later("report", self._report_wait_s(), self._report)

    def _look(self) -> None:
        self._observer.look()
        if self.remote is not None and self.remote.receiving and self._observer.hears_nothing:
            self._transport.doubt()
        self._later("look", self._observer.interval_s, self._look)

    def _report_wait_s(self) -> float:
        return self._settings.rtcp_interval_s * random.uniform(0.5, 1.5)

    def _watch_silence(self) -> None:
        """Look again when the far end could have been silent for too long."""
        if self._rtp_timeout_s <= 0 or self.remote is None or not self.remote.receiving:
            self._cancel("silence")
            return
        left_s = self.inbound.last_heard + self._rtp_timeout_s - monotonic()
        if left_s > 0:
            self._is_timed_out = False
        elif not self._is_timed_out:
            self._is_timed_out = True
            self._owner.tell(m.MediaTimedOut(self.name))
        wait_s = left_s if left_s > 0 else self._rtp_timeout_s
        self._later("silence", wait_s + 0.01, self._watch_silence)

    def _later(self, name: str, wait_s: float, act: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = self._loop.call_later(wait_s, act)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
