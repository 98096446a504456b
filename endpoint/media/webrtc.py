"""ICE and DTLS-SRTP as a packet transport, and how its ICE is restarted under a call.

A path is one ICE connection (one socket, one pair of credentials) with the DTLS association whose
datagrams go by it. A restart prepares another path beside the one in use; packets move to it when
it works, and the old one is heard until the far end has moved too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Final

from aioice.candidate import Candidate

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.containment import contained
from endpoint.media.latch import Address
from endpoint.media.readers import Readers
from endpoint.media.settings import MediaSettings
from endpoint.media.srtp import SrtpSession
from endpoint.media.transport import LocalIce, PacketReceiver, Send
from endpoint.media.webrtc_dtls import DtlsAssociation, certificates, strongest
from endpoint.media.webrtc_ice import HostTransport, IceConnection, parse_candidates
from endpoint.media.webrtc_servers import parse_server

_ICE_WORD: Final = re.compile(r"[0-9A-Za-z+/]+")
_LINGER_S: Final = 0.5
"""So long an old path is heard after the first packet by the new one: some are on their way."""


class _Path:
    """One ICE connection, and the association whose datagrams go by it."""

    def __init__(
        self,
        transport: WebRtcTransport,
        association: DtlsAssociation,
        make_connection: Callable[[_Path], IceConnection],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.association = association
        self.connection = make_connection(self)
        self.remote: m.SetWebRtcRemote | None = None
        """The far end, from when it begins to connect."""
        self.is_closed = False
        self._transport = transport
        self._tasks = tasks
        self._jobs: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_up(self) -> bool:
        """True while packets go both ways."""
        has_way = not self.is_closed and self.connection.nominated is not None
        return has_way and self.association.srtp is not None

    def begin(self, remote: m.SetWebRtcRemote, within_s: float) -> None:
        """Connect."""
        self.remote = remote
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(within_s, self._transport.timed_out, self)
        self.spawn(partial(self.connection.check, remote))

    def in_time(self) -> None:
        """It is up, or needs to be no longer."""
        if self._deadline is not None:
            self._deadline.cancel()

    def add(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        """Take candidates of the far end."""
        if taken := self.connection.room_for(candidates, complete=complete):
            self.spawn(partial(self.connection.add, taken))

    def spawn(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do something until it is closed."""
        job = self._tasks.create_task(self._guard(work))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _guard(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        with contained("a WebRTC port broke"):
            await work()
            return
        with contained("the end of a WebRTC port broke"):
            self.lost(m.PortFailure.BROKEN)

    def close(self) -> None:
        """Give the socket back; the goodbye to a TURN server goes out a moment later."""
        if self.is_closed:
            return
        self.is_closed = True
        self.in_time()
        for job in self._jobs:
            job.cancel()
        self._tasks.create_task(self._guard(self.connection.close), name="close ICE")

    # -- what the connection tells ------------------------------------------------------------

    def srtp_received(self, size: int) -> None:
        """See `IceOwner`."""
        if self.association.srtp is not None:
            self._transport.receive(size, self)

    def dtls_received(self, data: bytes) -> None:
        """See `IceOwner`."""
        self.association.receive(data)

    def foreign_received(self) -> None:
        """See `IceOwner`."""
        self._transport.foreign_packets += 1

    def pair_changed(self) -> None:
        """See `IceOwner`."""
        if not self.is_closed:
            self._transport.pair_changed(self)

    def lost(self, failure: m.PortFailure) -> None:
        """See `IceOwner`."""
        self._transport.fail(self, failure)


class WebRtcTransport:
    """A `PacketTransport` over ICE and DTLS-SRTP. Nothing ever goes or is taken in the clear.

    `open` gathers; from then on it lives in tasks of `tasks` until `close`, and tells how it fares.
    Raises MediaError for an ICE server that is none.
    """

    def __init__(
        self,
        command: m.OpenWebRtcPort,
        settings: MediaSettings,
        open_socket: Callable[[], socket.socket],
        readers: Readers,
        tasks: asyncio.TaskGroup,
        tell: Callable[[m.Notice], None],
    ) -> None:
        self.name = command.port
        self.foreign_packets = 0
        self._sessions: list[SrtpSession] = []
        """Of every handshake."""
        self._readers = readers
        self._servers = [parse_server(server) for server in command.ice_servers]
        self._command = command
        self._settings = settings
        self._open_socket = open_socket
        self._tasks = tasks
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._receiver: PacketReceiver
        self._current: _Path
        """By it packets go, or it is how they are to go first; stays when it is lost."""
        self._prepared: _Path | None = None
        """A restart: takes the place of the current path when it is up."""
        self._old: _Path | None = None
        """Only heard, until its packets have come."""
        self._leaving: asyncio.TimerHandle | None = None
        self._size = 0
        self._came_by: _Path
        self._direct: HostTransport | None = None
        """Where the port reads by itself what the far end sends."""

    async def open(self) -> LocalIce:
        """Gather.

        Raises:
            MediaError: no port is free, or no relay where nothing else may be used.
        """
        association = DtlsAssociation(certificates.current(), self._association_over)
        self._current = await self._prepare(association, controlling=self._command.controlling)
        return self._local(self._current)

    async def restart_ice(self, command: m.RestartIce) -> LocalIce:
        """See `PacketTransport`."""
        if self._current.remote is None:
            raise MediaError(f"port {self.name!r} has no ICE session that could be restarted")
        path = await self._prepare(self._current.association, controlling=command.controlling)
        if command.new_association:
            path.association = DtlsAssociation(certificates.current(), self._association_over)
        else:
            # Meanwhile an earlier restart may have come up, with another.
            path.association = self._current.association
        self._drop_prepared()
        self._prepared = path
        return self._local(path)

    async def _prepare(self, association: DtlsAssociation, *, controlling: bool) -> _Path:
        relay_only, settings = self._command.relay_only, self._settings
        path = _Path(
            self,
            association,
            lambda path: IceConnection(
                path,
                settings,
                self._open_socket,
                self._servers,
                self._readers,
                relay_only=relay_only,
                controlling=controlling,
            ),
            self._tasks,
        )
        connection = path.connection
        try:
            connection.open()
            if self._servers and not self._command.trickle:
                await connection.ask_servers(settings.gathering_s, lambda candidate: None)
                if not connection.local_candidates:
                    raise MediaError("no TURN server has answered")
            elif relay_only and not self._servers:
                raise MediaError("there is no TURN server")
        except BaseException:
            await connection.close()
            raise
        if self._servers and self._command.trickle:
            path.spawn(partial(self._trickle, path))
        return path

    async def _trickle(self, path: _Path) -> None:
        connection = path.connection
        ufrag = connection.local_username

        def found(candidate: Candidate) -> None:
            self._tell(m.CandidatesFound(self.name, [candidate.to_sdp()], False, ufrag))

        await connection.ask_servers(self._settings.connect_timeout_s, found)
        self._tell(m.CandidatesFound(self.name, [], True, ufrag))
        if not connection.local_candidates:
            self.fail(path, m.PortFailure.NO_ROUTE)

    def _local(self, path: _Path) -> LocalIce:
        connection = path.connection
        return LocalIce(
            connection.local_username,
            connection.local_password,
            [candidate.to_sdp() for candidate in connection.local_candidates],
            [path.association.certificate.fingerprint],
            not (self._servers and self._command.trickle),
        )

    @property
    def refused_packets(self) -> int:
        """See `PacketTransport`."""
        return sum(session.refused_packets for session in self._sessions)

    @property
    def srtp_profile(self) -> m.SrtpProfile | None:
        """See `PacketTransport`."""
        srtp = self._current.association.srtp
        return srtp.profile if srtp is not None else None

    @property
    def proven(self) -> Address | None:
        """See `PacketTransport`: the far end of the nominated pair."""
        pair = self._current.connection.nominated
        return pair.remote_addr if pair is not None else None

    @property
    def outlet(self) -> Send | None:
        """See `PacketTransport`."""
        path = self._current
        srtp, outlet = path.association.srtp, path.connection.outlet
        if path.is_closed or srtp is None or outlet is None:
            return None
        return srtp.protecting(outlet)

    def attach(self, receiver: PacketReceiver) -> None:
        """See `PacketTransport`."""
        self._receiver = receiver
        receiver.inbound.receive_into = self._receive_into

    def set_remote(self, remote: m.Remote, now: float) -> None:
        """See `PacketTransport`. Other ICE values are the answer to a restart."""
        if not isinstance(remote, m.SetWebRtcRemote):
            raise MediaError("a WebRTC port never speaks plain RTP")
        if not strongest(remote.fingerprints):
            raise MediaError("no fingerprint that can be trusted")
        if not (4 <= len(remote.ufrag) <= 256 and 22 <= len(remote.pwd) <= 256) or not (
            _ICE_WORD.fullmatch(remote.ufrag) and _ICE_WORD.fullmatch(remote.pwd)
        ):
            raise MediaError("no user name fragment or password of ICE")
        candidates = parse_candidates(remote.candidates)
        path = self._answered_by(remote)
        if path is self._prepared and path.remote is None:
            if not remote.new_association:
                path.association = self._current.association
            elif path.association is self._current.association:
                # The far end's wish, not ours.
                certificate = path.association.certificate
                path.association = DtlsAssociation(certificate, self._association_over)
        elif path is self._current and self._prepared is not None:
            was_last_hope = path.is_closed and self._prepared.remote is not None
            self._drop_prepared()
            if was_last_hope:
                self._tell(m.PortFailed(self.name, m.PortFailure.NO_ROUTE))
        if path.remote is None:
            path.begin(remote, self._settings.connect_timeout_s)
        path.add(candidates, complete=remote.candidates_complete)

    def _answered_by(self, remote: m.SetWebRtcRemote) -> _Path:
        """The path that a description of the far end is for. Raises MediaError."""
        current, prepared = self._current, self._prepared
        for path in (current, prepared):
            if path is None or path.remote is None or _ice_of(path.remote) != _ice_of(remote):
                continue
            if _dtls_of(path.remote) != _dtls_of(remote):
                raise MediaError("another DTLS association comes with an ICE restart")
            return path
        if current.remote is None:
            return current
        if prepared is None or prepared.remote is not None:
            raise MediaError("another ICE session comes with an ICE restart")
        if not remote.new_association:
            if _dtls_of(current.remote) != _dtls_of(remote):
                raise MediaError("another fingerprint or role comes with a new association")
            if current.association.is_over:
                raise MediaError("the DTLS association has ended: a new one must be agreed on")
        return prepared

    def add_candidates(self, candidates: Sequence[str], *, complete: bool) -> None:
        """See `PacketTransport`."""
        path, prepared = self._current, self._prepared
        if prepared is not None and prepared.remote is not None:
            path = prepared
        path.add(parse_candidates(candidates), complete=complete)

    def doubt(self) -> None:
        """See `PacketTransport`: all who send are looked at in any case."""

    def send_rtcp(self, datagram: bytes) -> None:
        """See `PacketTransport`."""
        path = self._current
        srtp, outlet = path.association.srtp, path.connection.outlet
        if path.is_closed or srtp is None or outlet is None:
            return
        if report := srtp.protect_rtcp(datagram):
            with contextlib.suppress(OSError):
                outlet(report)

    def close(self) -> None:
        """See `PacketTransport`; the goodbye to a TURN server goes out a moment later."""
        self._drop_old()
        self._drop_prepared()
        self._current.association.end()
        self._current.close()

    # -- what the paths and associations tell -------------------------------------------------

    def pair_changed(self, path: _Path) -> None:
        """A path has a pair that works, or another one."""
        association = path.association
        if association.srtp is not None:
            if path is self._prepared:
                self._up(path)
            elif path is self._current:
                self._read_directly()
                self._receiver.outlet_changed()
        elif path is not self._old and path.remote is not None:
            association.send = path.connection.send_datagram
            if association.is_new:
                association.begin(path.remote, self._connected, self._tasks)

    def _connected(self, association: DtlsAssociation) -> None:
        """A handshake has ended well."""
        if association.srtp is not None:
            self._sessions.append(association.srtp)
        for path in (self._prepared, self._current):
            if path is not None and path.association is association and path.is_up:
                self._up(path)
                return

    def _up(self, path: _Path) -> None:
        path.in_time()
        if path is self._prepared:
            before, self._current, self._prepared = self._current, path, None
            before.in_time()
            self._drop_old()
            if not before.is_closed:
                self._old = before
        path.association.send = path.connection.send_datagram
        self._read_directly()
        self._receiver.outlet_changed()
        if path.association.srtp is not None:
            self._tell(m.PortConnected(self.name, path.association.srtp.profile))

    def timed_out(self, path: _Path) -> None:
        """It has had its time to connect."""
        if path.connection.nominated is None:
            self.fail(path, m.PortFailure.NO_ROUTE)
        else:
            self._association_over(path.association, m.PortFailure.TIMED_OUT)

    def fail(self, path: _Path, failure: m.PortFailure) -> None:
        """A path has ended, and not because we closed it. What else works goes on."""
        if path.is_closed:
            return
        if path is self._old:
            self._drop_old()
        elif path is self._prepared:
            self._drop_prepared()
            notice = m.PortFailed if self._current.is_closed else m.RestartFailed
            self._tell(notice(self.name, failure))
        else:
            path.close()
            self._read_directly()
            self._receiver.outlet_changed()
            # The restart that is under way tells how it ends.
            if self._prepared is None or self._prepared.remote is None:
                self._tell(m.PortFailed(self.name, failure))

    def _association_over(self, association: DtlsAssociation, failure: m.PortFailure) -> None:
        """One can't be, or is no longer, and no path that needs it."""
        association.end()
        if failure is m.PortFailure.WRONG_FINGERPRINT:
            # Whoever has answered a restart for the far end may be who is on the old path too.
            self._current.association.end()
        for path in (self._old, self._current, self._prepared):
            if path is not None and path.remote is not None and path.association.is_over:
                self.fail(path, failure)

    # -- packets ------------------------------------------------------------------------------

    def receive(self, size: int, path: _Path) -> None:
        """A datagram in `BUFFER` that may be SRTP, from the far end's address."""
        self._size, self._came_by = size, path
        if self._direct is None:
            self._receiver.inbound.read()
        elif size := _clear(path, size):
            # By another way than the one that is read directly: queued, or relayed.
            self._receiver.inbound.receive(size, monotonic())

    def _receive_into(self, buffer: bytearray) -> int:
        if not (size := _clear(self._came_by, self._size)):
            raise BlockingIOError
        if self._old is not None and self._leaving is None and self._came_by is self._current:
            self._leaving = self._loop.call_later(_LINGER_S, self._drop_old)
        return size

    def _read_directly(self) -> None:
        """Let the port read the far end's socket by itself, where there is no other path."""
        before, path, inbound = self._direct, self._current, self._receiver.inbound
        srtp, direct = path.association.srtp, path.connection.direct
        if self._old is not None or not path.is_up:
            direct = None
        self._direct = direct
        if before is not None and before is not direct:
            before.read_facing(None)
        inbound.receive_into = self._receive_into
        if direct is not None and direct.facing is not None and srtp is not None:
            inbound.receive_into = srtp.clearing(direct.facing.recv_into, direct.receive_other)
            direct.read_facing(inbound.read)

    # -- paths that are no longer used --------------------------------------------------------

    def _drop_prepared(self) -> None:
        path, self._prepared = self._prepared, None
        self._drop(path)

    def _drop_old(self) -> None:
        path, self._old = self._old, None
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if path is not None:
            self._drop(path)
            self._read_directly()

    def _drop(self, path: _Path | None) -> None:
        if path is None:
            return
        if path.association is not self._current.association:
            path.association.end()
        path.close()


def _clear(path: _Path, size: int) -> int:
    """Make what is in `BUFFER` clear. Returns its size then; 0: refused."""
    srtp = path.association.srtp
    return srtp.unprotect(size) if srtp is not None else 0


def _ice_of(remote: m.SetWebRtcRemote) -> tuple[str, str]:
    return remote.ufrag, remote.pwd


def _dtls_of(remote: m.SetWebRtcRemote) -> tuple[object, ...]:
    return remote.role, {(f.hash.lower(), f.value.upper()) for f in remote.fingerprints}
