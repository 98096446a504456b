"""Where SIP listens: UDP, TCP and TLS at one address, or at every address of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from endpoint.app.facts import sip_tls_context
from endpoint.app.ports import PortTaken, is_taken
from endpoint.app.renewal import CertificateInUse
from endpoint.app.sipsettings import SipSettings
from endpoint.errors import ConfigurationError
from signaling.errors import TransportError
from signaling.server import SipServer

SocketAddress = tuple[str, int]


class SipAddresses(NamedTuple):
    """What is bound; None: the settings want none."""

    udp: SocketAddress
    tcp: SocketAddress | None = None
    tls: SocketAddress | None = None


async def listen_sip(
    server: SipServer, sip: SipSettings, certificate: CertificateInUse
) -> SipAddresses:
    """Bind all that the settings say. Raises PortTaken, ConfigurationError."""
    bound = await _listen_on(server, sip, certificate, sip.host, sip.port, sip.tls_port)
    if sip.host == "::":  # every address of this machine, those of IPv4 too
        tls_port = bound.tls[1] if bound.tls else 0
        await _listen_on(server, sip, certificate, "0.0.0.0", bound.udp[1], tls_port)
    return bound


async def _listen_on(
    server: SipServer,
    sip: SipSettings,
    certificate: CertificateInUse,
    host: str,
    port: int,
    tls_port: int,
) -> SipAddresses:
    tcp: SocketAddress | None = None
    tls: SocketAddress | None = None
    with _named("SIP over UDP", host, port, "sip.port", udp=True):
        udp = await server.listen_udp(host, port)
    if sip.tcp:
        with _named("SIP over TCP", host, port, "sip.port"):
            tcp = await server.listen_tcp(host, port)
    if sip.tls:
        context = certificate.context(partial(sip_tls_context, client_authority=sip.tls_client_ca))
        with _named("SIP over TLS", host, tls_port, "sip.tls_port"):
            tls = await server.listen_tls(host, tls_port, context)
    return SipAddresses(udp, tcp, tls)


@contextmanager
def _named(use: str, host: str, port: int, setting: str, *, udp: bool = False) -> Iterator[None]:
    """Says which setting is in the way of a listener."""
    try:
        yield
    except TransportError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and is_taken(cause):
            raise PortTaken(use, host, port, setting, udp=udp) from error
        raise ConfigurationError([f"sip.host: found {host!r}: {error}"]) from error
