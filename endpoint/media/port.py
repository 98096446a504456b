"""An RTP port: a pair of sockets, the one far end that it believes, RTCP."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.inbound import BUFFER, VIEWS, Inbound
from endpoint.media.latch import Address, Latch
from endpoint.media.outbound import Outbound
from endpoint.media.payload import audio_of
from endpoint.media.rtcp import Reporter, is_rtcp
from endpoint.media.rtp import parse_rtp
from endpoint.media.settings import MediaSettings
from endpoint.media.sockets import canonical, disconnect, family_of
from endpoint.media.telephone_event import Digit

_TRUST_KERNEL_AFTER_S = 0.05
_READ_AT_MOST = 512


class PortOwner(Protocol):
    """Who is told what happens on a port."""

    def tell(self, notice: m.Notice) -> None:
        """Something for the control plane."""

    def codec_changed(self, port: RtpPort) -> None:
        """The far end sends another codec than it did."""

    def event_begun(self, port: RtpPort) -> None:
        """A telephone event has begun; `expire_event` must be called while it is open."""

    def digits_heard(self, port: RtpPort, digits: list[Digit]) -> None:
        """Telephone events have ended."""


class RtpPort:
    """A source (`inbound`) and a sink (`outbound`) with a far end, over plain UDP.

    It believes one source (see `Latch`), connects its socket to that, and from then on the kernel
    drops everybody else, uncounted. Until `set_remote` it accepts nothing and sends nothing.
    """

    def __init__(
        self,
        name: m.PortName,
        pair: tuple[socket.socket, socket.socket],
        settings: MediaSettings,
        owner: PortOwner,
        *,
        rtp_timeout_s: float,
    ) -> None:
        self.name = name
        self.remote: m.SetRemote | None = None
        self._socket, self._rtcp_socket = pair
        self._settings = settings
        self._owner = owner
        self._rtp_timeout_s = rtp_timeout_s
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.outbound = Outbound()
        self.inbound = Inbound(self._socket.recv_into, self)
        self._cname = f"{random.getrandbits(64):016x}"
        self._reporter = Reporter(self._cname, self.outbound.sender, self.inbound.source)
        self._signalled: Address | None = None
        self._signalled_rtcp: Address | None = None
        self._latch: Latch | None = None
        self._proven: Address | None = None
        self._rtcp_to: Address | None = None
        self._is_connected = False
        self._is_rtcp_learnt = False
        self._foreign_packets = 0
        self._is_timed_out = False
        self._packets_reported = 0
        self._loop.add_reader(self._socket, self._read_guarded)
        self._loop.add_reader(self._rtcp_socket, self._read_rtcp)

    @property
    def address(self) -> m.RtpAddress:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return m.RtpAddress(host, port, port + 1, self.outbound.sender.ssrc, self._cname)

    @property
    def can_send(self) -> bool:
        """True when the far end is known and wants audio."""
        remote = self.remote
        return remote is not None and remote.sending and not _is_nowhere(remote.host)

    def set_remote(self, remote: m.SetRemote) -> None:
        """Take the negotiated far end. A new address starts the search for the source anew.

        Raises:
            MediaError: the address can't be used, or no audio is named; nothing has changed.
        """
        if family_of(remote.host) != self._socket.family:
            raise MediaError(f"{remote.host} can't be reached from {self.address.host}")
        if not 0 < remote.rtp_port < 65536 or not 0 < remote.rtcp_port < 65536:
            raise MediaError(f"no ports: {remote.rtp_port}, {remote.rtcp_port}")
        if audio_of(remote.send) is None or audio_of(remote.receive) is None:
            raise MediaError("no audio codec was negotiated")
        if not 1 <= remote.ptime_ms <= 200:
            raise MediaError(f"packets of {remote.ptime_ms} ms")
        now = monotonic()
        self.remote = remote
        # 0.0.0.0 is how old phones say hold: nothing goes there, and the source stays who it is,
        # during the hold and after it.
        if not _is_nowhere(remote.host):
            host = canonical(remote.host)
            if (host, remote.rtp_port) != self._signalled:
                self._search_source((host, remote.rtp_port), now)
            if (host, remote.rtcp_port) != self._signalled_rtcp:
                self._signalled_rtcp = self._rtcp_to = host, remote.rtcp_port
                self._is_rtcp_learnt = False
        self.inbound.negotiate(remote.receive)
        self.outbound.negotiate(remote.send, remote.ptime_ms)
        self._open_outlet()
        self.inbound.heard_at = now
        self._is_timed_out = False
        self._watch_silence()
        if "report" not in self._timers:
            self._later("report", self._report_wait_s() / 2, self._report)

    def expire_event(self, now: float) -> bool:
        """See `Inbound.expire_event`."""
        return self.inbound.expire_event(now)

    def statistics(self) -> m.Statistics:
        """Counts since the port was opened."""
        inbound, view = self.inbound, self._reporter.remote
        source, trip_s = inbound.source, view.round_trip_s
        return m.Statistics(
            packets_received=source.expected - source.lost,
            packets_expected=source.expected,
            packets_lost=source.lost,
            packets_sent=self.outbound.sender.packets,
            packets_foreign=self._foreign_packets,
            packets_malformed=inbound.malformed_packets,
            packets_late=inbound.late_packets,
            jitter_ms=round(source.jitter / 8, 3),
            received_level_dbov=inbound.level_dbov(),
            remote_lost=view.lost,
            round_trip_ms=None if trip_s is None else round(1000 * trip_s, 3),
            codec=inbound.current.encoding if inbound.current is not None else "",
            remote="" if self._proven is None else _text_of(self._proven),
        )

    def close(self) -> None:
        """Say BYE to a far end that is known, and close."""
        if self.remote is not None:
            self._send_rtcp(self._reporter.goodbye(monotonic()))
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.outbound.open(None)
        for opened in (self._socket, self._rtcp_socket):
            self._loop.remove_reader(opened)
            opened.close()

    # -- whom it believes ---------------------------------------------------------------------

    def _search_source(self, signalled: Address, now: float) -> None:
        self._signalled = signalled
        self._latch = Latch(
            signalled,
            now,
            other_port_s=self._settings.latch_other_port_s,
            other_host_s=self._settings.latch_other_host_s,
        )
        self._proven = None
        if self._is_connected:
            self._is_connected = False
            disconnect(self._socket)
        self._cancel("trust")
        self._loop.add_reader(self._socket, self._read_guarded)

    def _prove(self, address: Address) -> None:
        """This is the far end, until the control plane says another."""
        self._proven = address
        if address != self._signalled:
            self._rtcp_to = address[0], min(address[1] + 1, 65535)
        # Where the socket can't be connected, every packet's address goes on being looked at.
        with contextlib.suppress(OSError):
            self._socket.connect(address)
            self._is_connected = True
            self._later("trust", _TRUST_KERNEL_AFTER_S, self._trust_kernel)
        self._open_outlet()

    def _trust_kernel(self) -> None:
        """Once what came before the socket was connected is read, only the far end is heard."""
        for _ in range(_READ_AT_MOST):
            if not self._read_guarded():
                self._loop.add_reader(self._socket, self.inbound.read)
                return
        self._later("trust", _TRUST_KERNEL_AFTER_S, self._trust_kernel)

    def _read_guarded(self) -> bool:
        """Read a packet from anybody. Returns False when there is none."""
        try:
            size, (host, port, *_) = self._socket.recvfrom_into(BUFFER)
        except BlockingIOError:
            return False
        except OSError:
            # An ICMP error of something that we sent; packets may wait behind it.
            return True
        now = monotonic()
        if self._is_believed((host, port), VIEWS[size], now):
            self.inbound.receive(size, now)
        else:
            self._foreign_packets += 1
        return True

    def _is_believed(self, address: Address, datagram: memoryview, now: float) -> bool:
        if self._proven is not None:
            return address == self._proven
        packet = parse_rtp(datagram)
        if self._latch is None or packet is None or is_rtcp(datagram[1]):
            return False
        is_negotiated = self.inbound.is_negotiated(packet.payload_type)
        if not self._latch.is_proven(
            address, packet.ssrc, packet.sequence, is_negotiated=is_negotiated, now=now
        ):
            return False
        self._prove(address)
        return True

    def _open_outlet(self) -> None:
        to = self._proven or self._signalled
        if not self.can_send or to is None:
            self.outbound.open(None)
        elif self._is_connected:
            self.outbound.open(self._socket.send)
        else:
            self.outbound.open(partial(self._send_to, to))

    def _send_to(self, address: Address, packet: bytes | memoryview) -> None:
        self._socket.sendto(packet, address)

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
        """See `InboundOwner`."""
        if not self._reporter.receive(datagram, now):
            self.inbound.malformed_packets += 1

    # -- RTCP and time-outs -------------------------------------------------------------------

    def _read_rtcp(self) -> None:
        try:
            datagram, (host, port, *_) = self._rtcp_socket.recvfrom(2048)
        except OSError:
            return
        if self._rtcp_to is None or host != self._rtcp_to[0]:
            self._foreign_packets += 1
            return
        self.rtcp_received(memoryview(datagram), monotonic())
        # Behind a NAT reports come from a port of its own choice: the first one tells.
        ssrc = int.from_bytes(datagram[4:8])
        if (
            self._proven is not None
            and not self._is_rtcp_learnt
            and ssrc == self.inbound.source.ssrc
        ):
            self._rtcp_to, self._is_rtcp_learnt = (host, port), True

    def _report(self) -> None:
        sender = self.outbound.sender
        has_sent = sender.packets != self._packets_reported
        self._packets_reported = sender.packets
        self._send_rtcp(self._reporter.report(monotonic(), sends=has_sent))
        self._later("report", self._report_wait_s(), self._report)

    def _report_wait_s(self) -> float:
        return self._settings.rtcp_interval_s * random.uniform(0.5, 1.5)

    def _send_rtcp(self, datagram: bytes) -> None:
        to = self._proven or self._signalled
        if self.remote is None or self._rtcp_to is None or to is None:
            return
        with contextlib.suppress(OSError):
            if self.remote.rtcp_mux:
                self._socket.sendto(datagram, to)
            else:
                self._rtcp_socket.sendto(datagram, self._rtcp_to)

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


def _is_nowhere(host: str) -> bool:
    return ipaddress.ip_address(host).is_unspecified


def _text_of(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
