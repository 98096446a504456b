"""The server's certificate: the operator's, or one that a local CA makes in the state directory.

The CA lives as long as the directory, so that people trust it once; the certificate is made anew
when it nears its end or its names change.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from endpoint.app.settings import WILDCARDS, Config, is_loopback, name_of
from endpoint.app.state import StateDirectory, write_private
from endpoint.errors import ConfigurationError

RENEW_BEFORE = timedelta(days=30)
LIFETIME = timedelta(days=365)
"""Browsers refuse server certificates of more than 398 days."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Files for a TLS server, and what its clients must trust."""

    certificate: Path
    key: Path
    authority: Path | None
    """The local CA's certificate; None for an operator's own certificate."""
    names: tuple[str, ...]
    """Host names and addresses that it proves."""
    not_after: datetime
    leaf: str
    """PEM of the certificate alone, without its chain."""
    subject: str
    """Whose it is, as RFC 4514 writes it."""


def server_names(config: Config) -> list[str]:
    """The names by which people may reach us here."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    names += [config.http.host, config.sip_advertised_host, config.advertised_host]
    if config.basiccall.enabled:
        names.append(config.basiccall.host)
    return list(dict.fromkeys(name for name in names if name not in WILDCARDS))


def public_host(host: str, config: Config, certificate: ServerCertificate) -> str:
    """By what name other machines reach what listens on `host`, as it is written in an URL.

    One that the certificate proves, as browsers want it: what is configured, else what an operator
    had certified. Where nothing is known of it, the name that is good here.
    """
    if is_loopback(host):
        return name_of(host)  # nobody else does
    configured = [name for name in (host, config.advertised_host) if name not in WILDCARDS]
    certified: list[str] = []
    if certificate.authority is None:
        certified = [
            name for name in certificate.names if not (name.startswith("*.") or is_loopback(name))
        ]
    proved = [name for name in configured if _proves(certificate, name)]
    return name_of(next(iter([*proved, *certified, *configured]), host))


def _proves(certificate: ServerCertificate, name: str) -> bool:
    name, names = name.lower(), {each.lower() for each in certificate.names}
    return name in names or f"*.{name.partition('.')[2]}" in names


def provide(config: Config, state: StateDirectory, now: datetime) -> ServerCertificate:
    """The certificate to serve with; made or renewed where it is ours to make.

    Raises `ConfigurationError` for an operator's files that can't be used.
    """
    if config.http.certificate is not None and config.http.key is not None:
        return operators(config.http.certificate, config.http.key)
    authority, names = state.tls / "ca.pem", server_names(config)
    found = local(state)
    if found and set(names) <= set(found.names) and found.not_after - now > RENEW_BEFORE:
        return found
    ca = _authority(state, authority)
    leaf = ca.issue_cert(
        *names,
        common_name="localhost",
        not_before=now - timedelta(hours=1),
        not_after=now + LIFETIME,
    )
    write_private(state.tls / "server.key", leaf.private_key_pem.bytes())
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    write_private(state.tls / "server.pem", chain)
    return _described(state.tls / "server.pem", state.tls / "server.key", authority)


def local(state: StateDirectory) -> ServerCertificate | None:
    """The certificate that was made here before, None where there is none that can be used."""
    paths = (state.tls / "server.pem", state.tls / "server.key", state.tls / "ca.pem")
    if not all(path.is_file() for path in paths):
        return None
    try:
        found = _described(*paths)
        server_context(found)  # a renewal that was cut in two leaves a key of another certificate
    except (OSError, ValueError):
        return None
    return found


def server_context(certificate: ServerCertificate) -> ssl.SSLContext:
    """TLS 1.2 or newer, HTTP/1.1 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate.certificate, certificate.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_context(authority: Path | None) -> ssl.SSLContext:
    """Checks the far end against the system's CAs, or against the one CA given."""
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _authority(state: StateDirectory, path: Path) -> trustme.CA:
    key = state.tls / "ca.key"
    if path.is_file() and key.is_file():
        try:
            return trustme.CA.from_pem(path.read_bytes(), key.read_bytes())
        except ValueError as error:
            raise ConfigurationError(
                [f"{path}: the local CA is damaged ({error}); remove {state.tls} to make a new one"]
            ) from error
    ca = trustme.CA(organization_name="agent-endpoint", organization_unit_name="local CA")
    write_private(key, ca.private_key_pem.bytes())
    write_private(path, ca.cert_pem.bytes())
    return ca


def operators(certificate: Path, key: Path) -> ServerCertificate:
    """An operator's own. Raises `ConfigurationError` for files that can't be used."""
    mistakes: list[str] = []
    for setting, path in (("http.certificate", certificate), ("http.key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            mistakes.append(
                f"{setting}: found {str(path.absolute())!r} ({error.strerror}), expected a PEM file"
            )
    if mistakes:
        raise ConfigurationError(mistakes)
    try:
        load_pem_private_key(key.read_bytes(), password=None)
        described = _described(certificate, key, None)
        server_context(described)
    except (ValueError, TypeError, ssl.SSLError) as error:
        mistake = (
            f"http.certificate, http.key: found {str(certificate.absolute())!r} and "
            f"{str(key.absolute())!r}, "
            f"expected a PEM certificate chain and its key without a passphrase ({error})"
        )
        raise ConfigurationError([mistake]) from error
    return described


def _described(certificate: Path, key: Path, authority: Path | None) -> ServerCertificate:
    leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    pem = leaf.public_bytes(Encoding.PEM).decode("ascii")
    names, subject = tuple(_names(leaf)), leaf.subject.rfc4514_string()
    return ServerCertificate(
        certificate, key, authority, names, leaf.not_valid_after_utc, pem, subject
    )


def _names(leaf: x509.Certificate) -> Sequence[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in addresses if not isinstance(address, _NETWORKS)),
    ]


_NETWORKS = (ipaddress.IPv4Network, ipaddress.IPv6Network)


def wall_clock() -> datetime:
    """Certificates and records are of the wall clock; nothing else is."""
    return datetime.now(UTC)
