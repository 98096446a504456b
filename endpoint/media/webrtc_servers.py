"""URLs of STUN and TURN servers (RFC 7064, RFC 7065)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from endpoint.errors import MediaError
from endpoint.media import messages as m

_URL: Final = re.compile(
    r"(?P<scheme>stun|turn|turns):"
    r"(\[(?P<literal>[0-9a-f:.]+)\]|(?P<name>[0-9a-z]([0-9a-z.-]{0,252}[0-9a-z])?))"
    r"(:(?P<port>[0-9]{1,5}))?"
    r"(\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class StunServer:
    """Says how our address is seen from outside."""

    address: tuple[str, int]
    """A name may be in it."""


@dataclass(frozen=True, slots=True)
class TurnServer:
    """Relays packets."""

    address: tuple[str, int]
    transport: str
    """udp or tcp."""
    is_tls: bool
    username: str | None
    credential: str | None


def parse_server(server: m.IceServer) -> StunServer | TurnServer:
    """Read one.

    Raises:
        MediaError: its URL is none that can be used; the text names only what no credential is in.
    """
    match = _URL.fullmatch(server.url)
    if match is None:
        raise MediaError(
            "no ICE server: its URL is none of stun:host:port, turn:host:port?transport=udp (or "
            "tcp), turns:host:port"
        )
    scheme, transport = match["scheme"].lower(), (match["transport"] or "").lower()
    port = int(match["port"] or (5349 if scheme == "turns" else 3478))
    address = match["literal"] or match["name"], port
    if not 0 < port < 65536 or (scheme == "stun" and transport):
        raise MediaError(f"no ICE server: {server.url!r}")
    if scheme == "stun":
        return StunServer(address)
    if scheme == "turns" and transport == "udp":
        raise MediaError(f"TURN over DTLS is not spoken: {server.url!r}")
    return TurnServer(
        address,
        "tcp" if scheme == "turns" else transport or "udp",
        scheme == "turns",
        server.username,
        server.credential,
    )
