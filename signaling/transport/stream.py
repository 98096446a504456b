"""One TCP or TLS connection: messages out of it and into it, and what it may cost us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import cast

from signaling.errors import CertificateRefused, SipParseError, TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.framing import KeepAlive, StreamFramer
from signaling.sip.message import DEFAULT_LIMITS, Limits
from signaling.transport import Receiver
from signaling.transport.tls import TlsPolicy

PING, PONG = b"\r\n\r\n", b"\r\n"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Limits and timers of TCP and TLS connections, both ends."""

    limits: Limits = DEFAULT_LIMITS
    """Of one message; past them it is refused and the connection closed."""
    header_timeout_s: float = 10.0
    """From the first octet of a message to the end of its headers; of the TLS handshake too."""
    body_timeout_s: float = 30.0
    """From there to the end of its body."""
    idle_timeout_s: float = 120.0
    """Silence after which we close a connection that we accepted and `keep` was not called for."""
    maximum_connections: int = 2000
    maximum_connections_per_source: int = 20
    exempt: tuple[str, ...] = ()
    """Networks that this is not asked of: proxies, offices behind one NAT."""
    maximum_backlog: int = 1 << 20
    """Octets that may wait for a slow reader; past it the connection is closed."""
    connect_timeout_s: float = 10.0
    address_timeout_s: float = 3.0
    """The same where a message waits that has, or had, another way."""
    close_timeout_s: float = 2.0
    ping_s: float = 120.0
    """Between keep-alives on connections that we opened: 80-100 % of it (RFC 5626 §4.4.1)."""
    pong_timeout_s: float = 10.0


class StreamConnection(asyncio.Protocol):
    """One connection, either end.

    `on_end(connection, error)` is called once, also where `opened` was never told.
    """

    def __init__(
        self,
        kind: TransportKind,
        listener: str,
        number: int,
        receiver: Receiver,
        settings: StreamSettings,
        on_end: Callable[[StreamConnection, TransportError | None], None],
        *,
        name: str = "",
        tls: TlsPolicy | None = None,
        random: Random | None = None,
    ) -> None:
        """`random` marks a connection that we open: it is pinged. `tls`, `name`: for those."""
        self.flow = Flow(kind, "", 0, listener, number, name)
        self.local_address: tuple[str, int] = ("", 0)
        self.failure: TransportError | None = None
        """Why it ends, where that is known."""
        self._receiver = receiver
        self._settings = settings
        self._on_end = on_end
        self._tls = tls
        self._random = random
        self._framer = StreamFramer(settings.limits)
        self._transport: asyncio.Transport | None = None
        self._told = False
        self._kept = random is not None
        self._began: float | None = None
        """Since when the headers, or the body, of a message are waited for."""
        self._in_body = False
        self._deadline: float | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._ping: asyncio.TimerHandle | None = None
        self._force: asyncio.TimerHandle | None = None
        self.over = asyncio.Event()
        """Set when it is gone."""
        self._awaits_pong = False
        self._answers_pings = False

    def __repr__(self) -> str:
        return f"<StreamConnection {self.flow}>"

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, octets: bytes) -> None:
        """Send one message; never blocks. Raises TransportError."""
        if self._transport is None or self._transport.is_closing():
            raise TransportError(f"the connection {self.flow} is closed")
        if self._transport.get_write_buffer_size() + len(octets) > self._settings.maximum_backlog:
            error = TransportError(f"{self.flow} does not keep up")
            self._fail(error)
            raise error
        self._transport.write(octets)

    def keep(self) -> None:
        """No idle limit from now on; TCP tells whether it lives."""
        self._kept = True
        self._watch()

    def close(self) -> None:
        """Send what waits, then close; by force where the far end does not take it in time."""
        if self.is_open and self._transport is not None:
            self._transport.close()
            self._force = asyncio.get_running_loop().call_later(
                self._settings.close_timeout_s, self._transport.abort
            )

    def _fail(self, error: TransportError) -> None:
        self.failure = self.failure or error
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is up, TLS included."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        here = transport.get_extra_info("sockname") or ("", 0)
        kind, name, listener = self.flow.transport, self.flow.name, self.flow.listener
        host, number = str(peer[0]).partition("%")[0], self.flow.connection
        self.flow = Flow(kind, host, int(peer[1]), listener, number, name)
        self.local_address = str(here[0]).partition("%")[0], int(here[1])
        _prepare(transport.get_extra_info("socket"))
        if self._tls is not None:
            try:
                self._tls.check(transport.get_extra_info("ssl_object"), name or host)
            except CertificateRefused as error:
                self._fail(error)
                return
        self._told = True
        self._receiver.opened(self.flow)
        self._watch()
        self._ping_later()

    def data_received(self, octets: bytes) -> None:
        """Octets came."""
        if not self._told or not self.is_open:
            return
        if self._random is not None and octets.startswith(PONG) and not self._framer.waiting:
            self._answers_pings = True
            octets = octets[len(PONG) :]
        self._awaits_pong = pinged = False
        for item, raw in self._framer.receive_frames(octets):
            self._began = None
            if isinstance(item, KeepAlive):
                pinged = True
                continue
            self._receiver.received(raw, self.flow, item)
            if isinstance(item, SipParseError) and item.fatal:
                self.failure = TransportError(f"{self.flow} does not speak SIP: {item}")
                self.close()  # once what it was answered is out
        if pinged and self._receiver.pinged(self.flow):
            with contextlib.suppress(TransportError):
                self.send(PONG)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._transport = None
        for timer in (self._limit, self._ping, self._force):
            if timer is not None:
                timer.cancel()
        if exc is not None and self.failure is None:
            self.failure = TransportError(f"{self.flow} is lost: {reason(exc)}")
        self.over.set()
        self._on_end(self, self.failure)
        if self._told:
            self._receiver.closed(self.flow, self.failure)

    # -- time --------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Set the limit that holds now."""
        now, settings = asyncio.get_running_loop().time(), self._settings
        self._deadline = None
        if self._framer.waiting:
            if self._began is None or self._in_body is not self._framer.waits_for_body:
                self._began, self._in_body = now, self._framer.waits_for_body
            limit_s = settings.body_timeout_s if self._in_body else settings.header_timeout_s
            self._deadline = self._began + limit_s
        elif not self._kept:
            self._deadline = now + settings.idle_timeout_s
        if self._deadline is not None and (
            self._limit is None or self._deadline < self._limit.when()
        ):
            self._limit_at(self._deadline)

    def _limit_at(self, when: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = asyncio.get_running_loop().call_at(when, self._check_limit)

    def _check_limit(self) -> None:
        self._limit = None
        if self._deadline is None:
            return
        if self._deadline > asyncio.get_running_loop().time():
            self._limit_at(self._deadline)
        elif self._framer.waiting:
            self._fail(TransportError(f"{self.flow} is too slow: a message is not complete"))
        else:
            self.failure = TransportError(f"{self.flow} was idle")
            self.close()

    def _ping_later(self) -> None:
        if self._random is not None:
            pause_s = self._settings.ping_s * self._random.uniform(0.8, 1.0)
            self._ping = asyncio.get_running_loop().call_later(pause_s, self._send_ping)

    def _send_ping(self) -> None:
        if self._framer.waiting:  # it lives
            self._ping_later()
            return
        with contextlib.suppress(TransportError):
            self.send(PING)
            self._awaits_pong = True
            self._ping = asyncio.get_running_loop().call_later(
                self._settings.pong_timeout_s, self._check_pong
            )

    def _check_pong(self) -> None:
        # Many servers do not know RFC 5626: who has never answered is not taken for dead.
        if self._awaits_pong and self._answers_pings:
            self._fail(TransportError(f"{self.flow} answers no keep-alive any more"))
            return
        self._awaits_pong = False
        self._ping_later()


def reason(error: BaseException) -> str:
    """Why there is no connection, for a person."""
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return f"TLS fails ({error.reason}); does it speak TLS on this port?"
        case OSError() if error.errno:
            return os.strerror(error.errno)
        case _:
            return str(error) or type(error).__name__


def _prepare(connection: socket.socket | None) -> None:
    """Have the kernel send each message at once, and notice within a minute who is gone.

    Else a 200 waits for the far end's ACK of the 180 before it, 40 ms. asyncio sees to that where
    it made the socket, not where it was accepted by one of `create_server`.
    """
    if connection is None:
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 30_000),
    ):
        number = getattr(socket, option, None)  # not on every system
        if number is not None:
            connection.setsockopt(socket.IPPROTO_TCP, number, value)
