"""What a port needs of the way its packets go, however protected, and the buffer they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from endpoint.media import messages as m
from endpoint.media.latch import Address

if TYPE_CHECKING:
    from endpoint.media.inbound import Inbound

LARGEST: Final = 2048
BUFFER: Final = bytearray(LARGEST)
"""One for the process: a packet is out again before the next one is read into it."""
VIEWS: Final = [memoryview(BUFFER)[:size] for size in range(LARGEST + 1)]
"""The buffer cut at each size, so that the fast path makes no object to send a packet."""

READ_AT_MOST: Final = 16
"""Datagrams a turn that are no audio of the far end."""

ReceiveInto = Callable[[bytearray], int]
"""Read a packet of the proven source, in the clear; OSError where there is none."""
Send = Callable[[bytes | memoryview], object]


class LocalIce(NamedTuple):
    """Our end of a WebRTC port, as in `WebRtcAddress`."""

    ufrag: str
    pwd: str
    candidates: list[str]
    fingerprints: list[m.Fingerprint]
    complete: bool

    def described(self, ssrc: int, cname: str) -> m.WebRtcAddress:
        """With what the port adds."""
        ufrag, pwd, candidates, fingerprints, complete = self
        return m.WebRtcAddress(ufrag, pwd, candidates, fingerprints, ssrc, cname, complete=complete)


class PacketReceiver(Protocol):
    """The port, as its transport sees it."""

    inbound: Inbound
    """Takes RTP, and RTCP that shares its port. Its `receive_into` is the transport's to set."""

    def rtcp_received(self, datagram: memoryview, now: float) -> None:
        """RTCP came on a port of its own."""

    def outlet_changed(self) -> None:
        """`PacketTransport.outlet` is another."""


class PacketTransport(Protocol):
    """Carries the packets of one port to and from the one far end that it believes."""

    foreign_packets: int
    """From elsewhere: dropped."""

    @property
    def refused_packets(self) -> int:
        """Not authentic, or replayed: dropped."""

    @property
    def srtp_profile(self) -> m.SrtpProfile | None:
        """How what comes is protected; None: not at all, or not known yet."""

    @property
    def proven(self) -> Address | None:
        """The one source that is believed; None until it is known."""

    @property
    def outlet(self) -> Send | None:
        """Where RTP goes; None while nobody can be sent to."""

    def attach(self, receiver: PacketReceiver) -> None:
        """Deliver from now on. Called once."""

    def set_remote(self, remote: m.Remote, now: float) -> None:
        """Take the negotiated far end; may be called again.

        Raises:
            MediaError: it can't be used; nothing has changed.
        """

    async def restart_ice(self, command: m.RestartIce) -> LocalIce:
        """Prepare another ICE session under the same port. Raises MediaError."""

    def add_candidates(self, candidates: Sequence[str], *, complete: bool) -> None:
        """Take more of a WebRTC far end's candidates. Raises MediaError."""

    def doubt(self) -> None:
        """Nothing comes from the proven source: count who else sends. It stays the proven one."""

    def send_rtcp(self, datagram: bytes) -> None:
        """Send a report, if it is known where to."""

    def close(self) -> None:
        """Give the sockets back."""
