"""UDP as a packet transport, plain or SRTP with keys from SDP: two sockets, one source believed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import socket
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.latch import Address, Latch
from endpoint.media.readers import Readers
from endpoint.media.rtcp import is_rtcp
from endpoint.media.rtp import parse_rtp
from endpoint.media.settings import MediaSettings
from endpoint.media.sockets import canonical, disconnect, family_of
from endpoint.media.transport import BUFFER, VIEWS, LocalIce, PacketReceiver, Send

if TYPE_CHECKING:
    from endpoint.media.srtp import SrtpSession

_TRUST_KERNEL_AFTER_S = 0.05
_READ_AT_MOST = 512
_READ_A_TURN = 16


class UdpTransport:
    """A `PacketTransport` over UDP.

    With keys (`SetRemote.srtp`) only what is authentic is looked at further, and nothing is sent in
    the clear. It believes one source (see `Latch`), connects its socket to that, and from then on
    the kernel drops everybody else, uncounted. Until `set_remote` it accepts and sends nothing.
    """

    def __init__(
        self,
        pair: tuple[socket.socket, socket.socket],
        settings: MediaSettings,
        readers: Readers,
        *,
        strict_source: bool = False,
    ) -> None:
        """Take a pair of bound sockets; with `strict_source` no address but the signalled one."""
        self.foreign_packets = 0
        self._is_strict = strict_source
        self._socket, self._rtcp_socket = pair
        self._settings = settings
        self._readers = readers
        self._loop = asyncio.get_running_loop()
        self._receiver: PacketReceiver
        self._remote: m.SetRemote | None = None
        self._signalled: Address | None = None
        self._signalled_rtcp: Address | None = None
        self._latch: Latch | None = None
        self._proven: Address | None = None
        self._rtcp_to: Address | None = None
        self._is_connected = False
        self._is_doubted = False
        self._is_rtcp_learnt = False
        self._srtp: SrtpSession | None = None
        self._refused_before = 0
        self._trusting: asyncio.TimerHandle | None = None

    @property
    def refused_packets(self) -> int:
        """See `PacketTransport`."""
        return self._refused_before + (self._srtp.refused_packets if self._srtp is not None else 0)

    @property
    def address(self) -> tuple[str, int, int]:
        """Host, RTP and RTCP port, as bound."""
        host, port = self._socket.getsockname()[:2]
        return host, port, port + 1

    @property
    def srtp_profile(self) -> m.SrtpProfile | None:
        """See `PacketTransport`."""
        return self._srtp.profile if self._srtp is not None else None

    @property
    def proven(self) -> Address | None:
        """See `PacketTransport`."""
        return self._proven

    @property
    def outlet(self) -> Send | None:
        """See `PacketTransport`: a connected socket's own method, where it can be."""
        to = self._proven or self._signalled
        if self._remote is None or to is None or _is_nowhere(self._remote.host):
            return None
        send = self._socket.send if self._is_connected else partial(self._send_to, to)
        return send if self._srtp is None else self._srtp.protecting(send)

    def attach(self, receiver: PacketReceiver) -> None:
        """See `PacketTransport`."""
        self._receiver = receiver
        receiver.inbound.receive_into = self._socket.recv_into
        self._readers.add(self._socket, self._read_some)
        self._readers.add(self._rtcp_socket, self._read_rtcp)

    def set_remote(self, remote: m.Remote, now: float) -> None:
        """See `PacketTransport`. A new address starts the search for the source anew."""
        if not isinstance(remote, m.SetRemote):
            raise MediaError("this port speaks no WebRTC")
        if family_of(remote.host) != self._socket.family:
            raise MediaError(f"{remote.host} can't be reached from {self.address[0]}")
        if not 0 < remote.rtp_port < 65536 or not 0 < remote.rtcp_port < 65536:
            raise MediaError(f"no ports: {remote.rtp_port}, {remote.rtcp_port}")
        self._take_keys(remote.srtp)
        self._remote = remote
        # 0.0.0.0 is how old phones say hold: nothing goes there, and the source stays who it is,
        # during the hold and after it.
        if _is_nowhere(remote.host):
            return
        host = canonical(remote.host)
        if (host, remote.rtp_port) != self._signalled:
            self._search_source((host, remote.rtp_port), now)
        if (host, remote.rtcp_port) != self._signalled_rtcp:
            self._signalled_rtcp = self._rtcp_to = host, remote.rtcp_port
            self._is_rtcp_learnt = False

    async def restart_ice(self, command: m.RestartIce) -> LocalIce:
        """See `PacketTransport`."""
        raise MediaError("this port speaks no WebRTC")

    def add_candidates(self, candidates: Sequence[str], *, complete: bool) -> None:
        """See `PacketTransport`."""
        raise MediaError("this port speaks no WebRTC")

    def doubt(self) -> None:
        """See `PacketTransport`. With its next packet the kernel vouches for it again."""
        if self._is_connected:
            self._is_doubted = True
            self._listen_to_all()
            self._receiver.outlet_changed()

    def send_rtcp(self, datagram: bytes) -> None:
        """See `PacketTransport`."""
        to = self._proven or self._signalled
        if self._remote is None or self._rtcp_to is None or to is None:
            return
        report = datagram if self._srtp is None else self._srtp.protect_rtcp(datagram)
        if not report:
            return
        with contextlib.suppress(OSError):
            if self._remote.rtcp_mux:
                self._socket.sendto(report, to)
            else:
                self._rtcp_socket.sendto(report, self._rtcp_to)

    def close(self) -> None:
        """See `PacketTransport`."""
        self._trust_later(None)
        for opened in (self._socket, self._rtcp_socket):
            self._readers.remove(opened)
            opened.close()

    # -- SRTP ---------------------------------------------------------------------------------

    def _take_keys(self, keys: m.SrtpKeys | None) -> None:
        if keys is None:
            if self._srtp is not None:
                raise MediaError("what was protected is never sent in the clear")
            return
        if self._srtp is not None and self._srtp.has(keys):
            return
        # A plain worker does without libsrtp.
        from endpoint.media.srtp import SrtpSession

        renewed = SrtpSession(keys, self._srtp)
        self._refused_before = self.refused_packets
        self._srtp = renewed
        self._receiver.inbound.receive_into = renewed.clearing(self._socket.recv_into)

    # -- whom it believes ---------------------------------------------------------------------

    def _search_source(self, signalled: Address, now: float) -> None:
        self._signalled = signalled
        self._latch = Latch(
            signalled,
            now,
            other_port_s=math.inf if self._is_strict else self._settings.latch_other_port_s,
            other_host_s=math.inf if self._is_strict else self._settings.latch_other_host_s,
        )
        self._proven = None
        self._is_doubted = False
        self._listen_to_all()

    def _listen_to_all(self) -> None:
        if self._is_connected:
            self._is_connected = False
            disconnect(self._socket)
        self._trust_later(None)
        self._readers.add(self._socket, self._read_some)

    def _prove(self, address: Address) -> None:
        """This is the far end, until the control plane says another."""
        self._proven = address
        if address != self._signalled:
            self._rtcp_to = address[0], min(address[1] + 1, 65535)
        self._connect(address)

    def _connect(self, address: Address) -> None:
        # Where the socket can't be connected, every packet's address goes on being looked at.
        with contextlib.suppress(OSError):
            self._socket.connect(address)
            self._is_connected = True
            self._trust_later(_TRUST_KERNEL_AFTER_S)
        self._receiver.outlet_changed()

    def _trust_later(self, wait_s: float | None) -> None:
        if self._trusting is not None:
            self._trusting.cancel()
        self._trusting = (
            None if wait_s is None else self._loop.call_later(wait_s, self._trust_kernel)
        )

    def _trust_kernel(self) -> None:
        """Once what came before the socket was connected is read, only the far end is heard."""
        for _ in range(_READ_AT_MOST):
            if not self._read_guarded():
                self._readers.add(self._socket, self._receiver.inbound.read)
                return
        self._trust_later(_TRUST_KERNEL_AFTER_S)

    def _read_some(self) -> None:
        """Read on: a loop that turns by the beat (see `Pace`) has strangers fill the queue else."""
        for _ in range(_READ_A_TURN):
            if not self._read_guarded():
                return

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
        # Before a source is proven anybody's packet may be authentic; after that, only its own.
        is_foreign = self._proven is not None and (host, port) != self._proven
        if self._srtp is not None and not is_foreign:
            size = self._srtp.unprotect(size)
            if not size:
                return True
        if not is_foreign and self._is_believed((host, port), VIEWS[size], now):
            if self._is_doubted:
                self._is_doubted = False
                self._connect((host, port))
            self._receiver.inbound.receive(size, now)
        else:
            self.foreign_packets += 1
        return True

    def _is_believed(self, address: Address, datagram: memoryview, now: float) -> bool:
        if self._proven is not None:
            return True
        packet = parse_rtp(datagram)
        if self._latch is None or packet is None or is_rtcp(datagram[1]):
            return False
        is_negotiated = self._receiver.inbound.is_negotiated(packet.payload_type)
        if not self._latch.is_proven(
            address, packet.ssrc, packet.sequence, is_negotiated=is_negotiated, now=now
        ):
            return False
        self._prove(address)
        return True

    def _send_to(self, address: Address, packet: bytes | memoryview) -> None:
        self._socket.sendto(packet, address)

    def _read_rtcp(self) -> None:
        try:
            datagram, (host, port, *_) = self._rtcp_socket.recvfrom(2048)
        except OSError:
            return
        if self._rtcp_to is None or host != self._rtcp_to[0]:
            self.foreign_packets += 1
            return
        if self._srtp is not None and not (datagram := self._srtp.unprotect_rtcp(datagram)):
            return
        self._receiver.rtcp_received(memoryview(datagram), monotonic())
        # Behind a NAT reports come from a port of its own choice: the first one tells.
        ssrc = int.from_bytes(datagram[4:8])
        if (
            self._proven is not None
            and not self._is_rtcp_learnt
            and ssrc == self._receiver.inbound.source.ssrc
        ):
            self._rtcp_to, self._is_rtcp_learnt = (host, port), True


def _is_nowhere(host: str) -> bool:
    return ipaddress.ip_address(host).is_unspecified
