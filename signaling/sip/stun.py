"""STUN's Binding method as SIP keep-alives over UDP use it (RFC 5626 §4.4.2, RFC 5389)."""

from __future__ import annotations

import struct
from ipaddress import ip_address

_MAGIC_COOKIE = 0x2112A442
_REQUEST, _SUCCESS = 0x0001, 0x0101
_XOR_MAPPED_ADDRESS = 0x0020
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_FAMILIES = {4: 1, 6: 2}


def is_stun(octets: bytes) -> bool:
    """Whether it can be no SIP: two zero bits first, then the cookie (RFC 5626 §8)."""
    return (
        len(octets) >= _HEADER.size
        and octets[0] < 0x40
        and octets[4:8] == _MAGIC_COOKIE.to_bytes(4, "big")
    )


def binding_request(transaction: bytes) -> bytes:
    """Ask how we are seen; `transaction` has 12 octets."""
    return _HEADER.pack(_REQUEST, 0, _MAGIC_COOKIE, transaction)


def answer(octets: bytes, host: str, port: int) -> bytes | None:
    """Tell who asked how it is seen; None for anything but a Binding request.

    What the request holds beside its header is not looked at: a keep-alive needs nothing of it.
    """
    kind, length, _, transaction = _HEADER.unpack_from(octets)
    if kind != _REQUEST or length != len(octets) - _HEADER.size:
        return None
    address = ip_address(host)
    mask = _MAGIC_COOKIE.to_bytes(4, "big") + transaction
    hidden = bytes(a ^ b for a, b in zip(address.packed, mask, strict=False))
    value = struct.pack("!xBH", _FAMILIES[address.version], port ^ (_MAGIC_COOKIE >> 16)) + hidden
    attribute = _ATTRIBUTE.pack(_XOR_MAPPED_ADDRESS, len(value)) + value
    return _HEADER.pack(_SUCCESS, len(attribute), _MAGIC_COOKIE, transaction) + attribute


def seen_address(octets: bytes) -> tuple[bytes, tuple[str, int]] | None:
    """A Binding response's transaction and how we are seen; None for anything else."""
    kind, _, _, transaction = _HEADER.unpack_from(octets)
    if kind != _SUCCESS:
        return None
    place = _HEADER.size
    mask = _MAGIC_COOKIE.to_bytes(4, "big") + transaction
    while place + _ATTRIBUTE.size <= len(octets):
        name, length = _ATTRIBUTE.unpack_from(octets, place)
        value = octets[place + _ATTRIBUTE.size : place + _ATTRIBUTE.size + length]
        if name == _XOR_MAPPED_ADDRESS and len(value) in (8, 20):
            port = int.from_bytes(value[2:4], "big") ^ (_MAGIC_COOKIE >> 16)
            packed = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
            return transaction, (str(ip_address(packed)), port)
        place += _ATTRIBUTE.size + (length + 3 & ~3)
    return None
