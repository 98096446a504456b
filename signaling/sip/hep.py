"""Traced SIP for a capture server as Homer: HEP3 (HOMER Encapsulation Protocol, version 3)."""

from __future__ import annotations

import struct
from typing import Final

from signaling.sip.flow import TransportKind
from signaling.sip.trace import TracedMessage

_MAGIC: Final = b"HEP3"
_GENERIC: Final = 0
"""The vendor whose chunks everybody knows."""
_SIP: Final = 1
_IPV4, _IPV6 = 2, 10
_TCP, _UDP = 6, 17


def format_hep(message: TracedMessage, *, capture_id: int, password: str = "") -> bytes:
    """One HEP3 packet. `at` of the message is taken for seconds of UTC since 1970."""
    (source, source_port), (target, target_port) = message.way
    is_ipv6 = source.version == 6
    seconds, micros = divmod(round(message.at * 1_000_000), 1_000_000)
    is_udp = message.flow.transport is TransportKind.UDP
    chunks = [
        (1, bytes([_IPV6 if is_ipv6 else _IPV4])),
        (2, bytes([_UDP if is_udp else _TCP])),
        (5 if is_ipv6 else 3, source.packed),
        (6 if is_ipv6 else 4, target.packed),
        (7, struct.pack("!H", source_port)),
        (8, struct.pack("!H", target_port)),
        (9, struct.pack("!I", seconds)),
        (10, struct.pack("!I", micros)),
        (11, bytes([_SIP])),
        (12, struct.pack("!I", capture_id)),
    ]
    if password:
        chunks.append((14, password.encode()))
    chunks.append((15, message.octets[:65_000]))
    body = b"".join(
        struct.pack("!HHH", _GENERIC, kind, 6 + len(value)) + value for kind, value in chunks
    )
    return _MAGIC + struct.pack("!H", 6 + len(body)) + body
