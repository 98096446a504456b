"""ICE and DTLS-SRTP as a packet transport: aiortc's transports under our RTP.

The only file that touches private names of aioice 0.13.0 and aiortc 1.16.0;
tests/unit/endpoint/media/test_webrtc.py fails when one moves. Packets are told apart by their first
octet (RFC 7983) before any of them is queued: SRTP goes straight to the port, DTLS only from an
address that ICE has authenticated, so that a stranger's ClientHello or alert can't break in.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Final

from aioice import ice, stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aiortc import RTCIceServer
from aiortc.rtcdtlstransport import (
    SRTP_PROFILES,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
    State,
    certificate_digest,
)
from aiortc.rtcicetransport import (
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceTransport,
    connection_kwargs,
)
from OpenSSL import SSL

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.latch import Address
from endpoint.media.settings import MediaSettings
from endpoint.media.srtp import SrtpSession
from endpoint.media.transport import LARGEST, PacketReceiver, Send

_STRONG_HASHES: Final = ("sha-256", "sha-384", "sha-512")
_MOST_CANDIDATES: Final = 64
_MOST_HANDSHAKE_WAITING: Final = 32
_REPEAT_FLIGHT_S: Final = 0.06
"""OpenSSL repeats what was lost after a second; a call is up before that."""
_LAST_REPEAT_S: Final = 0.24
_CERTIFICATE_LASTS_S: Final = 86_400.0
_ICE_WORD: Final = re.compile(r"[0-9A-Za-z+/]+")
_PROFILES: Final = {
    b"SRTP_AES128_CM_SHA1_80": m.SrtpProfile.AES_CM_128_HMAC_SHA1_80,
    b"SRTP_AEAD_AES_128_GCM": m.SrtpProfile.AEAD_AES_128_GCM,
    b"SRTP_AEAD_AES_256_GCM": m.SrtpProfile.AEAD_AES_256_GCM,
}


class _Certificate(RTCCertificate):
    """One certificate and one TLS context for all ports: a context costs 0.65 ms."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
        return self._context

    @property
    def fingerprint(self) -> m.Fingerprint:
        return m.Fingerprint("sha-256", certificate_digest(self._cert, "sha-256"))


class _Certificates:
    """The certificate of this process, a new one every day."""

    def __init__(self) -> None:
        self._current: _Certificate | None = None
        self._until = 0.0

    def current(self) -> _Certificate:
        now = monotonic()
        if self._current is None or now > self._until:
            self._current = _Certificate.generateCertificate()
            self._until = now + _CERTIFICATE_LASTS_S
        return self._current


_certificates: Final = _Certificates()


class _Protocol(ice.StunProtocol):
    """Tells datagrams apart by their first octet."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not isinstance(data, bytes) or not data:
            return
        first = data[0]
        if 127 < first < 192:
            self._connection.owner.srtp_received(data, (addr[0], addr[1]))
        elif first < 4:
            with contextlib.suppress(KeyError, AssertionError):
                # STUN that lacks what its kind must have.
                super().datagram_received(data, addr)
        elif 19 < first < 64:
            self._connection.dtls_received(data, (addr[0], addr[1]))


class _Connection(ice.Connection):
    """ICE on our own address and port; knows whom it has authenticated, and says when it is up."""

    def __init__(
        self,
        owner: WebRtcTransport,
        settings: MediaSettings,
        open_socket: Callable[[], socket.socket],
        *,
        relay_only: bool,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.owner = owner
        self.proven: set[Address] = set()
        """Senders of checks that were made with our password, and pairs that work."""
        self.decided = asyncio.Event()
        self.host_protocol: _Protocol | None = None
        self.host_socket: socket.socket | None = None
        self._settings = settings
        self._open_socket = open_socket
        self._relay_only = relay_only

    @property
    def nominated(self) -> ice.CandidatePair | None:
        """The pair that carries packets."""
        return self._nominated.get(1)

    async def gather_candidates(self) -> None:
        self._local_candidates_start = True
        self._local_candidates = await self._gather()
        self._local_candidates_end = True

    async def _gather(self) -> list[Candidate]:
        """Our own address, then what servers say of it in time."""
        candidates: list[Candidate] = []

        async def reflexive(protocol: ice.StunProtocol, server: tuple[str, int]) -> None:
            candidate, _ = await ice.server_reflexive_candidate(protocol, server)
            candidates.append(candidate)

        async def relayed(server: tuple[str, int]) -> None:
            candidate, protocol = await ice.relayed_candidate(
                component=1,
                # It would tell the address that is to stay hidden.
                hide_related_address=self._relay_only,
                protocol_factory=lambda: _Protocol(self),
                turn_server=server,
                turn_username=self.turn_username,
                turn_password=self.turn_password,
                turn_ssl=self.turn_ssl,
                turn_transport=self.turn_transport,
            )
            self._protocols.append(protocol)
            candidates.append(candidate)

        host = None if self._relay_only else await self._open_host()
        async with asyncio.TaskGroup() as group:
            if host is not None:
                candidates.append(host.local_candidate)
                if self.stun_server is not None:
                    group.create_task(self._in_time(reflexive(host, self.stun_server)))
            if self.turn_server is not None:
                group.create_task(self._in_time(relayed(self.turn_server)))
        if not candidates:
            raise MediaError("no TURN server has answered")
        return candidates

    async def _open_host(self) -> _Protocol:
        """Our own socket, on our own address and port."""
        bound = self._open_socket()
        try:
            loop = asyncio.get_running_loop()
            _, protocol = await loop.create_datagram_endpoint(lambda: _Protocol(self), sock=bound)
        except BaseException:
            bound.close()
            raise
        self.host_protocol, self.host_socket = protocol, bound
        self._protocols.append(protocol)
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
        return protocol

    async def _in_time(self, asking: Awaitable[None]) -> None:
        """A server that does not answer costs its candidate, and nothing else."""
        with contextlib.suppress(OSError, TimeoutError, stun.TransactionError):
            async with asyncio.timeout(self._settings.gathering_s):
                await asking

    def request_received(
        self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        super().request_received(message, addr, protocol)
        # Authentic, but kept back until we know the far end, who sends its ClientHello already.
        early = self._early_checks
        if early and early[-1][0] is message:
            self.proven.add(addr)

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        self.proven.add(addr)
        super().check_incoming(message, addr, protocol)

    def check_complete(self, pair: ice.CandidatePair) -> None:
        if pair.state is ice.CandidatePair.State.SUCCEEDED:
            self.proven.add(pair.remote_addr)
        before = self.nominated
        super().check_complete(pair)
        if self.nominated is not None and self.nominated is not before:
            # connect() itself looks every 20 ms only, and later not at all.
            self.decided.set()
            self.owner.pair_changed()

    def dtls_received(self, data: bytes, address: Address) -> None:
        if address not in self.proven:
            self.owner.foreign_packets += 1
        elif self._queue.qsize() < _MOST_HANDSHAKE_WAITING:
            super().data_received(data, 1)

    def data_received(self, data: bytes, component: int) -> None:
        """Drop what began as STUN and is none: nobody bounds aioice's queue, and DTLS reads it."""
        self.owner.foreign_packets += 1

    async def query_consent(self) -> None:
        """Ask on, as RFC 7675 §5.1 says; sending stops at the very end of the last consent."""
        consented = monotonic()
        expiry_s, interval_s = self._settings.consent_expiry_s, self._settings.consent_interval_s
        while (left_s := consented + expiry_s - monotonic()) > 0:
            await asyncio.sleep(min(left_s, interval_s * random.uniform(0.8, 1.2)))
            pair, password = self.nominated, self.remote_password
            if pair is None or password is None:
                continue
            request, asked = self.build_request(pair, nominate=False), monotonic()
            with contextlib.suppress(stun.TransactionError):
                await pair.protocol.request(
                    request,
                    pair.remote_addr,
                    integrity_key=password.encode(),
                    retransmissions=0,
                )
                consented = asked
        self.owner.fail(m.PortFailure.CONSENT_LOST)


class _Gatherer(RTCIceGatherer):
    """With a connection of ours, before RTCIceTransport takes it."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__(iceServers=[])
        self._connection: _Connection = connection


class _Dtls(RTCDtlsTransport):
    """Says why it failed, and gives the keys to our own SRTP."""

    failure = m.PortFailure.HANDSHAKE
    keys: m.SrtpKeys | None = None

    @property
    def is_connecting(self) -> bool:
        return self._state is State.CONNECTING

    @property
    def is_connected(self) -> bool:
        return self._state is State.CONNECTED

    @property
    def is_server(self) -> bool:
        return self._role == "server"

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:
        self.failure = m.PortFailure.WRONG_FINGERPRINT
        super()._validate_peer_identity(remoteParameters)

    def _setup_srtp(self) -> None:
        self.failure = m.PortFailure.NO_PROFILE
        selected = self._ssl.get_selected_srtp_profile() if self._ssl is not None else b""
        profile = next((p for p in SRTP_PROFILES if p.openssl_profile == selected), None)
        if profile is None or self._ssl is None:
            self._set_state(State.FAILED)
            return
        size = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        client, server = (
            m.SrtpKey(_PROFILES[selected], profile.get_key_and_salt(material, index))
            for index in range(2)
        )
        self.keys = m.SrtpKeys(server, client) if self.is_server else m.SrtpKeys(client, server)


class WebRtcTransport:
    """A `PacketTransport` over ICE and DTLS-SRTP. Nothing ever goes or is taken in the clear.

    `open` gathers; then it lives in a task of `tasks` until `close`, and tells `PortConnected` or
    `PortFailed`.
    """

    def __init__(
        self,
        command: m.OpenWebRtcPort,
        settings: MediaSettings,
        open_socket: Callable[[], socket.socket],
        tasks: asyncio.TaskGroup,
        tell: Callable[[m.Notice], None],
    ) -> None:
        servers = [RTCIceServer(s.url, s.username, s.credential) for s in command.ice_servers]
        try:
            arguments = connection_kwargs(servers)
        except ValueError:
            raise MediaError("an ICE server is none: stun:host:port or turn:host:port") from None
        self.name = command.port
        self.foreign_packets = 0
        self._settings = settings
        self._tasks = tasks
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._receiver: PacketReceiver
        self._connection = _Connection(
            self,
            settings,
            open_socket,
            relay_only=command.relay_only,
            ice_controlling=command.controlling,
            **arguments,
        )
        self._gatherer = _Gatherer(self._connection)
        self._ice = RTCIceTransport(self._gatherer)
        self._certificate = _certificates.current()
        self._dtls = _Dtls(self._ice, [self._certificate])
        self._send_flight = self._ice._send
        self._ice._send = self._send_handshake
        self._repeating: asyncio.TimerHandle | None = None
        self._remote: m.SetWebRtcRemote | None = None
        self._candidates_seen = 0
        self._is_complete = False
        self._known: asyncio.Future[m.SetWebRtcRemote] = self._loop.create_future()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._srtp: SrtpSession | None = None
        self._datagram = b""

    async def open(self) -> tuple[str, str, list[str], list[m.Fingerprint]]:
        """Gather. Returns user name fragment, password, candidates, fingerprints.

        Raises MediaError: no port is free.
        """
        try:
            await self._gatherer.gather()
        except BaseException:
            await self._ice.stop()
            raise
        self._tasks.create_task(self._live(), name=f"WebRTC {self.name}")
        connection = self._connection
        candidates = [candidate.to_sdp() for candidate in connection.local_candidates]
        fingerprints = [self._certificate.fingerprint]
        return connection.local_username, connection.local_password, candidates, fingerprints

    @property
    def refused_packets(self) -> int:
        """See `PacketTransport`."""
        return self._srtp.refused_packets if self._srtp is not None else 0

    @property
    def proven(self) -> Address | None:
        """See `PacketTransport`: the far end of the nominated pair."""
        pair = self._connection.nominated
        return pair.remote_addr if pair is not None else None

    @property
    def outlet(self) -> Send | None:
        """See `PacketTransport`."""
        pair, srtp = self._connection.nominated, self._srtp
        if pair is None or srtp is None or self._over.done():
            return None
        protect, send_to, address = srtp.protect, self._sending(pair), pair.remote_addr

        def send(packet: bytes | memoryview) -> None:
            if protected := protect(packet):
                # Not to be tried again with the same index.
                with contextlib.suppress(OSError):
                    send_to(protected, address)

        return send

    def attach(self, receiver: PacketReceiver) -> None:
        """See `PacketTransport`."""
        self._receiver = receiver
        receiver.inbound.receive_into = self._receive_into

    def set_remote(self, remote: m.Remote, now: float) -> None:
        """See `PacketTransport`. Once known, ICE and DTLS values stay: others need another port."""
        if not isinstance(remote, m.SetWebRtcRemote):
            raise MediaError("a WebRTC port never speaks plain RTP")
        if not any(f.hash.lower() in _STRONG_HASHES for f in remote.fingerprints):
            raise MediaError("no fingerprint that can be trusted")
        if not (4 <= len(remote.ufrag) <= 256 and 22 <= len(remote.pwd) <= 256) or not (
            _ICE_WORD.fullmatch(remote.ufrag) and _ICE_WORD.fullmatch(remote.pwd)
        ):
            raise MediaError("no user name fragment or password of ICE")
        if self._remote is not None and _identity(remote) != _identity(self._remote):
            raise MediaError("another ICE or DTLS session needs another port")
        self.add_candidates(remote.candidates, complete=remote.candidates_complete)
        self._remote = remote
        if not self._known.done():
            self._known.set_result(remote)

    def add_candidates(self, candidates: Sequence[str], *, complete: bool) -> None:
        """See `PacketTransport`. What we can't use of them is left out."""
        found: list[Candidate | None] = []
        for text in candidates:
            try:
                candidate = Candidate.from_sdp(text.removeprefix("candidate:"))
            except ValueError:
                raise MediaError(f"not a candidate: {text[:80]!r}") from None
            is_usable = candidate.component == 1 and candidate.transport.lower() == "udp"
            if is_usable and 0 < candidate.port < 65536:
                found.append(candidate)
        found = found[: _MOST_CANDIDATES - self._candidates_seen]
        if self._is_complete:
            return
        self._candidates_seen += len(found)
        if complete:
            self._is_complete = True
            found.append(None)
        self._tasks.create_task(self._add(found), name=f"candidates {self.name}")

    def send_rtcp(self, datagram: bytes) -> None:
        """See `PacketTransport`."""
        pair = self._connection.nominated
        if pair is not None and self._srtp is not None and not self._over.done():
            with contextlib.suppress(OSError):
                self._sending(pair)(self._srtp.protect_rtcp(datagram), pair.remote_addr)

    def close(self) -> None:
        """See `PacketTransport`; the goodbye to DTLS and TURN goes out a moment later."""
        if not self._over.done():
            self._over.set_result(None)

    # -- what the connection tells ------------------------------------------------------------

    def srtp_received(self, data: bytes, address: Address) -> None:
        """A datagram that may be SRTP, from anybody."""
        if address not in self._connection.proven:
            self.foreign_packets += 1
        elif self._srtp is not None and len(data) <= LARGEST:
            self._datagram = data
            self._receiver.inbound.read()

    def pair_changed(self) -> None:
        """Packets go another way now."""
        if self._srtp is not None:
            self._receiver.outlet_changed()

    def fail(self, failure: m.PortFailure) -> None:
        """It has ended, and not because we closed it."""
        if self._over.done():
            return
        self._over.set_result(None)
        self._receiver.outlet_changed()
        self._tell(m.PortFailed(self.name, failure))

    # -- its life -----------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                connecting = group.create_task(self._connect())
                await self._over
                connecting.cancel()
        finally:
            if self._repeating is not None:
                self._repeating.cancel()
            await self._dtls.stop()
            await self._ice.stop()

    async def _connect(self) -> None:
        remote = await self._known
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                failure = await self._establish(remote)
        except TimeoutError:
            failure = m.PortFailure.TIMED_OUT
        except Exception as exc:
            # One port's end; the tasks of all others must not end with it.
            failure = m.PortFailure.BROKEN
            self._loop.call_exception_handler({"message": "WebRTC failed", "exception": exc})
        if failure is not None:
            self.fail(failure)

    async def _establish(self, remote: m.SetWebRtcRemote) -> m.PortFailure | None:
        parameters = RTCIceParameters(remote.ufrag, remote.pwd, remote.ice_lite)
        async with asyncio.TaskGroup() as group:
            checking = group.create_task(self._ice.start(parameters))
            checking.add_done_callback(lambda _: self._connection.decided.set())
            # At nomination: ICE's own end is seen up to 20 ms later.
            await self._connection.decided.wait()
            if self._connection.nominated is None:
                return m.PortFailure.NO_ROUTE
            self._dtls._set_role(remote.role.value)
            fingerprints = [RTCDtlsFingerprint(f.hash, f.value) for f in remote.fingerprints]
            await self._dtls.start(RTCDtlsParameters(fingerprints))
            if self._dtls.keys is None or not self._dtls.is_connected:
                checking.cancel()
                return self._dtls.failure
            self._srtp = SrtpSession(self._dtls.keys)
            self._dtls.on("statechange", self._look)
            self._ice.on("statechange", self._look)
            self._receiver.outlet_changed()
            self._tell(m.PortConnected(self.name, self._dtls.keys.send.profile))
        self._look()
        return None

    def _look(self) -> None:
        if not self._dtls.is_connected or self._ice.state in ("failed", "closed"):
            self.fail(m.PortFailure.CLOSED)

    async def _add(self, candidates: list[Candidate | None]) -> None:
        # Names of mDNS are looked up side by side; the end comes after all have begun.
        adds = (self._connection.add_remote_candidate(candidate) for candidate in candidates)
        await asyncio.gather(*adds, return_exceptions=True)

    # -- packets ------------------------------------------------------------------------------

    def _receive_into(self, buffer: bytearray) -> int:
        data, self._datagram = self._datagram, b""
        buffer[: len(data)] = data
        size = self._srtp.unprotect(len(data)) if self._srtp is not None else 0
        if not size:
            raise BlockingIOError
        return size

    def _sending(self, pair: ice.CandidatePair) -> Callable[[memoryview, Address], object]:
        """How datagrams go along a pair: our own socket's method, or by a TURN server."""
        connection = self._connection
        if pair.protocol is connection.host_protocol and connection.host_socket is not None:
            return connection.host_socket.sendto
        relay = pair.protocol.transport
        return lambda packet, address: relay.sendto(bytes(packet), address)

    async def _send_handshake(self, data: bytes) -> None:
        """Send a flight of DTLS, and again soon while nothing comes of it.

        A copy that was not needed is dropped by the far end's replay window.
        """
        await self._send_flight(data)
        if self._repeating is not None:
            self._repeating.cancel()
        if self._dtls.is_connecting:
            self._repeat_later(data, _REPEAT_FLIGHT_S)

    def _repeat_later(self, data: bytes, wait_s: float) -> None:
        self._repeating = self._loop.call_later(wait_s, self._repeat, data, wait_s)

    def _repeat(self, data: bytes, waited_s: float) -> None:
        pair = self._connection.nominated
        # The server's last flight goes once more when we are up: nobody can ask for it.
        is_last = self._dtls.is_connected and self._dtls.is_server
        if pair is None or self._over.done() or not (self._dtls.is_connecting or is_last):
            return
        with contextlib.suppress(OSError):
            pair.protocol.transport.sendto(data, pair.remote_addr)
        if self._dtls.is_connecting and waited_s < _LAST_REPEAT_S:
            self._repeat_later(data, 2 * waited_s)


def _identity(remote: m.SetWebRtcRemote) -> tuple[object, ...]:
    prints = {(f.hash.lower(), f.value.upper()) for f in remote.fingerprints}
    return remote.ufrag, remote.pwd, remote.role, prints
