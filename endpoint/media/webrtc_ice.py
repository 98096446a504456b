"""ICE of one WebRTC port: aioice's connection on our own socket, with whom it has authenticated.

This and webrtc_dtls.py are the only files that touch private names, here of aioice 0.13.0;
tests/unit/endpoint/media/test_webrtc.py fails when one moves. Packets are told apart by their first
octet (RFC 7983) before any of them is queued: SRTP goes straight to the port, DTLS only from an
address that ICE has authenticated, so that a stranger's ClientHello or alert can't break in.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final, Protocol

from aioice import ice, stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.latch import Address
from endpoint.media.readers import Readers
from endpoint.media.settings import MediaSettings
from endpoint.media.sockets import open_facing
from endpoint.media.transport import BUFFER, LARGEST, READ_AT_MOST, VIEWS, Send
from endpoint.media.webrtc_servers import StunServer, TurnServer

_MOST_CANDIDATES: Final = 64
_MOST_PROVEN: Final = 100
"""Whoever has our password could name any number of third parties as its own addresses, each of
which we would check (RFC 8445 §6.1.2.5 and §19.5.1)."""
_MOST_CONFLICTS: Final = 8
_GOODBYE_S: Final = 2.0
"""A TURN server that has died is not waited for any longer; aioice would, for a minute."""
_CONSENT_RETRANSMISSIONS: Final = 3
"""With them a response is waited for that takes up to 7.5 s, and no 2.5 s pass without asking."""
_HIGHEST_PREFERENCE: Final = 65535


class IceOwner(Protocol):
    """Who is told what happens on a connection."""

    def srtp_received(self, size: int) -> None:
        """A datagram in `BUFFER` that may be SRTP, of somebody who is authenticated."""

    def dtls_received(self, data: bytes) -> None:
        """A datagram that may be DTLS, of somebody who is authenticated."""

    def foreign_received(self) -> None:
        """A datagram was dropped."""

    def pair_changed(self) -> None:
        """A pair works and is to be used, or another one from now on."""

    def lost(self, failure: m.PortFailure) -> None:
        """Nothing may be sent any more, or nothing can be."""


class _Protocol(ice.StunProtocol):
    """Tells datagrams apart by their first octet."""

    def __init__(self, connection: IceConnection) -> None:
        super().__init__(connection)
        self._connection = connection

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not isinstance(data, bytes) or not data:
            return
        first = data[0]
        if 127 < first < 192:
            if len(data) <= LARGEST:
                BUFFER[: len(data)] = data
                self._connection.srtp_received(len(data), (addr[0], addr[1]))
        elif first < 4:
            with contextlib.suppress(KeyError, AssertionError, struct.error):
                # STUN that lacks what its kind must have, or has it too short.
                super().datagram_received(data, addr)
        elif 19 < first < 64:
            self._connection.dtls_received(data, (addr[0], addr[1]))


class HostTransport(asyncio.DatagramTransport):
    """Our own port. SRTP stays in the buffer that it is read into; the rest is the protocol's.

    asyncio's and uvloop's would make an object of every packet, and ask the kernel twice for it.
    Whom the nominated pair leads to has a socket of its own on the same port: see `face`.
    """

    def __init__(
        self,
        bound: socket.socket,
        protocol: _Protocol,
        connection: IceConnection,
        readers: Readers,
    ) -> None:
        super().__init__()
        self.facing: socket.socket | None = None
        """Connected to the far end; None before there is a pair, or where it can't be had."""
        self._faced: Address | None = None
        self._socket = bound
        self._protocol = protocol
        self._connection = connection
        self._readers = readers
        readers.add(bound, partial(self._read, bound))
        protocol.connection_made(self)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send now; what can't be is lost, as any datagram may be."""
        with contextlib.suppress(OSError):
            self._socket.sendto(data, addr)

    def outlet(self, address: Address) -> Send:
        """How packets go to an address. What can't be sent is an OSError."""
        if self.facing is not None and self._faced == address:
            return self.facing.send
        return lambda packet: self._socket.sendto(packet, address)

    def face(self, address: Address | None) -> None:
        """Have a socket for this far end alone, in place of one for another."""
        if self.facing is not None:
            self._readers.remove(self.facing)
            self.facing.close()
            self.facing = None
        if address is not None:
            with contextlib.suppress(OSError):
                self.facing = open_facing(self._socket, address)
                self._faced = address
                self.read_facing(None)

    def read_facing(self, reader: Callable[[], None] | None) -> None:
        """Let another read what comes from the far end; None: as what comes from elsewhere."""
        if self.facing is not None:
            self._readers.add(self.facing, reader or partial(self._read, self.facing))

    def receive_other(self, size: int) -> None:
        """A datagram in `BUFFER`, of the far end, that is no SRTP."""
        if self._faced is not None:
            self._protocol.datagram_received(bytes(VIEWS[size]), self._faced)

    def close(self) -> None:
        """Give the port back."""
        if self._socket.fileno() >= 0:
            self.face(None)
            self._readers.remove(self._socket)
            self._socket.close()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def _read(self, source: socket.socket) -> None:
        # On to the next packet of audio: where the loop turns by the beat (see `Pace`), a flood of
        # anything else would fill the kernel's queue.
        for _ in range(READ_AT_MOST):
            try:
                size, address = source.recvfrom_into(BUFFER)
            except OSError:
                return
            if 127 < BUFFER[0] < 192 and size:
                if self._connection.srtp_received(size, address[:2]):
                    return
            else:
                self._protocol.datagram_received(bytes(VIEWS[size]), address)


class IceConnection(ice.Connection):
    """ICE on our own address and port; knows whom it has authenticated, and says when it is up.

    It never gives up by itself: a far end that we can't reach may still reach us (RFC 8863). How
    long it may take is its owner's business.
    """

    def __init__(
        self,
        owner: IceOwner,
        settings: MediaSettings,
        open_socket: Callable[[], socket.socket],
        servers: Sequence[StunServer | TurnServer],
        readers: Readers,
        *,
        relay_only: bool,
        controlling: bool,
    ) -> None:
        policy = ice.TransportPolicy.RELAY if relay_only else ice.TransportPolicy.ALL
        super().__init__(ice_controlling=controlling, transport_policy=policy)
        self.owner = owner
        self.proven: set[Address] = set()
        """Senders of checks that were made with our password, and pairs that work."""
        self._host_protocol: _Protocol | None = None
        self._host: HostTransport | None = None
        self._settings = settings
        self._open_socket = open_socket
        self._servers = servers
        self._readers = readers
        self._relay_only = relay_only
        self._told: set[str] = set()
        """The far end's candidates."""
        self._conflicts = 0
        self._is_complete = False

    @property
    def nominated(self) -> ice.CandidatePair | None:
        """The pair that carries packets."""
        return self._nominated.get(1)

    # -- our own candidates -------------------------------------------------------------------

    def open(self) -> None:
        """Take a socket, where our own address may be shown.

        Raises:
            MediaError: no port is free.
        """
        self._local_candidates_start = self._local_candidates_end = True
        if self._relay_only:
            return
        bound, protocol = self._open_socket(), _Protocol(self)
        self._host_protocol, self._host = (
            protocol,
            HostTransport(bound, protocol, self, self._readers),
        )
        address, port = bound.getsockname()[:2]
        address = self._settings.ice_host or address
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", address),
            component=1,
            transport="udp",
            priority=candidate_priority(1, "host"),
            host=address,
            port=port,
            type="host",
        )
        self._protocols.append(protocol)
        self._local_candidates.append(protocol.local_candidate)

    async def ask_servers(self, within_s: float, found: Callable[[Candidate], None]) -> None:
        """Ask all servers at once; who does not answer in time costs its candidate alone."""

        async def in_time(asking: Awaitable[Candidate | None]) -> None:
            # UnicodeError: a name that can't be one.
            failures = OSError, UnicodeError, TimeoutError, stun.TransactionError
            with contextlib.suppress(*failures):
                async with asyncio.timeout(within_s):
                    candidate = await asking
                if candidate is not None and not self._is_known(candidate):
                    self._local_candidates.append(candidate)
                    found(candidate)

        async with asyncio.TaskGroup() as group:
            for index, server in enumerate(self._servers):
                # No two candidates of a kind have one priority (RFC 8445 §5.1.2).
                preference = _HIGHEST_PREFERENCE - index
                match server:
                    case StunServer():
                        if self._host_protocol is not None:
                            asking = self._reflexive(self._host_protocol, server, preference)
                            group.create_task(in_time(asking))
                    case TurnServer():
                        group.create_task(in_time(self._relayed(server, preference)))

    async def _reflexive(
        self, protocol: _Protocol, server: StunServer, preference: int
    ) -> Candidate | None:
        """How our socket is seen by a server of its own family."""
        loop = asyncio.get_running_loop()
        is_ipv6 = ":" in protocol.local_candidate.host
        (_, _, _, _, address), *_ = await loop.getaddrinfo(
            *server.address,
            family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
            type=socket.SOCK_DGRAM,
        )
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        response, _ = await protocol.request(request, (str(address[0]), server.address[1]))
        seen = response.attributes.get("XOR-MAPPED-ADDRESS")
        if seen is None:
            return None
        base = protocol.local_candidate
        return Candidate(
            foundation=candidate_foundation("srflx", "udp", base.host),
            component=1,
            transport="udp",
            priority=candidate_priority(1, "srflx", preference),
            host=seen[0],
            port=seen[1],
            type="srflx",
            related_address=base.host,
            related_port=base.port,
        )

    async def _relayed(self, server: TurnServer, preference: int) -> Candidate:
        candidate, protocol = await ice.relayed_candidate(
            component=1,
            # It would tell the address that is to stay hidden.
            hide_related_address=self._relay_only,
            protocol_factory=lambda: _Protocol(self),
            turn_server=server.address,
            turn_username=server.username,
            turn_password=server.credential,
            turn_ssl=server.is_tls,
            turn_transport=server.transport,
        )
        candidate.priority = candidate_priority(1, "relay", preference)
        self._protocols.append(protocol)
        # What the far end has told already is for this way too.
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        return candidate

    def _is_known(self, candidate: Candidate) -> bool:
        """Another of the same address and base says nothing new (RFC 8445 §5.1.3)."""
        place = candidate.host, candidate.port
        return any((known.host, known.port) == place for known in self._local_candidates)

    # -- the far end --------------------------------------------------------------------------

    async def check(self, remote: m.SetWebRtcRemote) -> None:
        """Look for a pair that works; its owner is told. Then keep asking for consent."""
        self.remote_is_lite = remote.ice_lite
        if remote.ice_lite:
            # It checks nothing, and so has nothing to nominate (RFC 8445 §6.1.1).
            self.ice_controlling = True
        self.remote_username, self.remote_password = remote.ufrag, remote.pwd
        with contextlib.suppress(ConnectionError):
            # When it was closed.
            await self.connect()

    def room_for(self, candidates: Sequence[Candidate], *, complete: bool) -> Sequence[Candidate]:
        """What may still be added of the far end's candidates."""
        if self._is_complete:
            return []
        self._is_complete = complete
        # Each description tells those again that were told before.
        new = {text: c for c in candidates if (text := c.to_sdp()) not in self._told}
        taken = list(new.items())[: _MOST_CANDIDATES - len(self._told)]
        self._told.update(text for text, _ in taken)
        return [candidate for _, candidate in taken]

    async def add(self, candidates: Sequence[Candidate]) -> None:
        """Take some; names of mDNS are looked up side by side, and one not found is left out."""
        adds = (self.add_remote_candidate(candidate) for candidate in candidates)
        await asyncio.gather(*adds, return_exceptions=True)

    async def close(self) -> None:
        """Give the socket back, and say goodbye to TURN servers."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await super().close()
        except TimeoutError:
            # One by one they are told; those that wait behind the dead one, now.
            for protocol in self._protocols:
                protocol.transport.close()

    # -- packets ------------------------------------------------------------------------------

    @property
    def outlet(self) -> Send | None:
        """How packets go along the nominated pair; None without one."""
        pair = self.nominated
        if pair is None:
            return None
        if self._host is not None and pair.protocol is self._host_protocol:
            return self._host.outlet(pair.remote_addr)
        relay, address = pair.protocol.transport, pair.remote_addr
        return lambda packet: relay.sendto(bytes(packet), address)

    @property
    def direct(self) -> HostTransport | None:
        """Our own port where it faces the far end; None where it does not."""
        return self._host if self._host is not None and self._host.facing is not None else None

    def send_datagram(self, data: bytes) -> None:
        """Send along the nominated pair, if there is one."""
        if (pair := self.nominated) is not None:
            with contextlib.suppress(OSError):
                pair.protocol.transport.sendto(data, pair.remote_addr)

    # -- what aioice tells --------------------------------------------------------------------

    def request_received(
        self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        """Take a check; whoever has our password may send DTLS."""
        super().request_received(message, addr, protocol)
        # Authentic, but kept back until we know the far end, who sends its ClientHello already.
        early = self._early_checks
        if early and early[-1][0] is message:
            self._prove(addr)

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        """An authentic check, which lacks nothing that is needed of it."""
        if "PRIORITY" in message.attributes and self._prove(addr):
            super().check_incoming(message, addr, protocol)

    def _prove(self, address: Address) -> bool:
        """Believe who sends from there, unless that are too many by now."""
        if len(self.proven) < _MOST_PROVEN:
            self.proven.add(address)
        return address in self.proven

    def switch_role(self, ice_controlling: bool) -> None:
        """Who leads has changed."""
        self._conflicts += ice_controlling is not self.ice_controlling
        super().switch_role(ice_controlling)

    async def check_start(self, pair: ice.CandidatePair) -> None:
        """Check, and again at each conflict of roles, but not with who answers nothing else."""
        if self._conflicts <= _MOST_CONFLICTS:
            await super().check_start(pair)
        else:
            self.check_state(pair, ice.CandidatePair.State.FAILED)
            self.check_complete(pair)

    def check_complete(self, pair: ice.CandidatePair) -> None:
        """One of our own checks has ended."""
        if pair.state is ice.CandidatePair.State.SUCCEEDED:
            self.proven.add(pair.remote_addr)
        before = self.nominated
        super().check_complete(pair)
        if self.nominated is not None and self.nominated is not before:
            if self._host is not None:
                is_direct = self.nominated.protocol is self._host_protocol
                self._host.face(self.nominated.remote_addr if is_direct else None)
            # connect() itself looks every 20 ms only, and later not at all.
            self.owner.pair_changed()

    def srtp_received(self, size: int, address: Address) -> bool:
        """A datagram in `BUFFER` that may be SRTP, from anybody. Returns whether it was taken."""
        if address in self.proven:
            self.owner.srtp_received(size)
            return True
        self.owner.foreign_received()
        return False

    def dtls_received(self, data: bytes, address: Address) -> None:
        """A datagram that may be DTLS, from anybody."""
        if address in self.proven:
            self.owner.dtls_received(data)
        else:
            self.owner.foreign_received()

    def data_received(self, data: bytes, component: int) -> None:
        """Drop what began as STUN and is none: nobody reads aioice's queue."""
        self.owner.foreign_received()

    def protocol_lost(self, protocol: ice.StunProtocol) -> None:
        """A TURN server has dropped us, or our socket has broken."""
        pair = self.nominated
        if pair is not None and pair.protocol is protocol:
            self.owner.lost(m.PortFailure.CLOSED)

    async def query_consent(self) -> None:
        """Ask on, as RFC 7675 §5.1 says; sending stops at the very end of the last consent.

        A check begins at its time even where the one before is still without an answer: on a path
        that has come back, the next one must not wait.
        """
        consented = monotonic()
        expiry_s, interval_s = self._settings.consent_expiry_s, self._settings.consent_interval_s

        async def ask(pair: ice.CandidatePair, password: str) -> None:
            nonlocal consented
            asked = monotonic()
            with contextlib.suppress(stun.TransactionError, TimeoutError):
                async with asyncio.timeout(expiry_s):
                    await pair.protocol.request(
                        self.build_request(pair, nominate=False),
                        pair.remote_addr,
                        integrity_key=password.encode(),
                        retransmissions=_CONSENT_RETRANSMISSIONS,
                    )
                consented = max(consented, asked)

        async with asyncio.TaskGroup() as checks:
            running: set[asyncio.Task[None]] = set()
            while (left_s := consented + expiry_s - monotonic()) > 0:
                await asyncio.sleep(min(left_s, interval_s * random.uniform(0.8, 1.2)))
                pair, password = self.nominated, self.remote_password
                if pair is not None and password is not None:
                    check = checks.create_task(ask(pair, password))
                    running.add(check)
                    check.add_done_callback(running.discard)
            for check in running:
                check.cancel()
        self.owner.lost(m.PortFailure.CONSENT_LOST)


def parse_candidates(texts: Sequence[str]) -> list[Candidate]:
    """Read the values of `a=candidate`. What we can't use of them is left out.

    Raises:
        MediaError: one is none.
    """
    found: list[Candidate] = []
    for text in texts:
        try:
            candidate = Candidate.from_sdp(text.removeprefix("candidate:"))
        except ValueError:
            raise MediaError(f"not a candidate: {text[:80]!r}") from None
        is_usable = candidate.component == 1 and candidate.transport.lower() == "udp"
        if is_usable and 0 < candidate.port < 65536 and _is_somebody(candidate.host):
            found.append(candidate)
    return found


def _is_somebody(host: str) -> bool:
    """Whether an address is one of a single host; a name may be."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    return not (address.is_multicast or address.is_unspecified or host == "255.255.255.255")
