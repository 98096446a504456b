"""Traced SIP as a pcapng file, for Wireshark and sngrep (draft-ietf-opsawg-pcapng).

Every message is written as one UDP datagram over IP, whatever carried it: so each is whole, in the
clear, and known to every reader. What carried it is said in the packet's comment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from signaling.sip.trace import TracedMessage

MEDIA_TYPE: Final = "application/x-pcapng"

_SECTION: Final = 0x0A0D0D0A
_BYTE_ORDER: Final = 0x1A2B3C4D
_INTERFACE: Final = 1
_PACKET: Final = 6
_LINK_RAW: Final = 101
"""LINKTYPE_RAW: a packet begins with its IP header."""
_COMMENT: Final = 1
_FLAGS: Final = 2
_INBOUND, _OUTBOUND = 1, 2
_IF_TSRESOL: Final = 9
_MICROSECONDS: Final = 6
_UDP: Final = 17
_TTL: Final = 64


def format_pcapng(messages: Iterable[TracedMessage]) -> bytes:
    """A whole file. `at` of the messages is taken for seconds of UTC since 1970."""
    section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
    interface = struct.pack("<HHI", _LINK_RAW, 0, 0)
    interface += _options([(_IF_TSRESOL, bytes([_MICROSECONDS]))])
    blocks = [_block(_SECTION, section), _block(_INTERFACE, interface)]
    blocks += [_block(_PACKET, _packet(message)) for message in messages]
    return b"".join(blocks)


def _packet(message: TracedMessage) -> bytes:
    datagram = _datagram(message)
    micros = round(message.at * 1_000_000)
    head = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(datagram), len(datagram))
    way = _OUTBOUND if message.sent else _INBOUND
    options = [(_COMMENT, message.transport.encode()), (_FLAGS, struct.pack("<I", way))]
    return head + _padded(datagram) + _options(options)


def _datagram(message: TracedMessage) -> bytes:
    (source, source_port), (target, target_port) = message.way
    # Together with the headers within what UDP can say; no message of ours comes near.
    payload = message.octets[:65_000]
    size = 8 + len(payload)
    udp = struct.pack("!HHHH", source_port, target_port, size, 0)
    ends = source.packed + target.packed
    pseudo = ends + struct.pack("!HH", _UDP, size)
    checksum = _checksum(pseudo + udp + payload) or 0xFFFF
    udp = struct.pack("!HHHH", source_port, target_port, size, checksum)
    if source.version == 6:
        ip = struct.pack("!IHBB", 6 << 28, size, _UDP, _TTL) + ends
    else:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0, _TTL, _UDP, 0) + ends
        ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return ip + udp + payload


def _checksum(octets: bytes) -> int:
    """Of RFC 1071."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(int.from_bytes(octets[at : at + 2]) for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    written = (struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    return b"".join(written) + struct.pack("<HH", 0, 0)


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def _padded(octets: bytes) -> bytes:
    return octets + b"\0" * (-len(octets) % 4)
