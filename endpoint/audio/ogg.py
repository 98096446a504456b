"""Files of Opus in Ogg whose writer was killed: cut behind the last whole page (RFC 3533)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from endpoint.errors import AudioError

_PAGE = struct.Struct("<4sBBqIIIB")
"""Capture pattern, version, type, granule position, serial, sequence, checksum, segments."""
_CHECKSUM_AT = 22
_POLYNOMIAL = 0x04C11DB7
_OPUS_HEAD = struct.Struct("<8sBBH")
"""Magic, version, channels, pre-skip (RFC 7845 §5.1)."""
_CLOCK_A_MS = 48
"""Granule positions of Opus count 48 kHz, whatever the audio was (RFC 7845 §4)."""
_NO_PACKET_ENDS = -1


class _Page(NamedTuple):
    begins: int
    ends: int
    position: int


def mend(path: Path) -> int:
    """Take away what follows the last whole page, and say how long the audio is, in milliseconds.

    Raises OSError, AudioError.
    """
    with path.open("r+b") as file:
        pages = _pages(file)
        while pages and not _is_intact(file, pages[-1]):
            pages.pop()
        if not pages:
            raise AudioError(f"{path.name} is no Ogg file")
        file.truncate(pages[-1].ends)
        ends = max(page.position for page in pages)
        return max(0, ends - _skipped(file, pages[0])) // _CLOCK_A_MS


def _pages(file: BinaryIO) -> list[_Page]:
    """All that are there in full length, by their headers."""
    end = file.seek(0, 2)
    found: list[_Page] = []
    at = 0
    while at + _PAGE.size <= end:
        file.seek(at)
        pattern, version, _, position, _, _, _, segments = _PAGE.unpack(file.read(_PAGE.size))
        sizes = file.read(segments)
        ends = at + _PAGE.size + segments + sum(sizes)
        if (pattern, version) != (b"OggS", 0) or len(sizes) < segments or ends > end:
            break
        found.append(_Page(at, ends, position if position != _NO_PACKET_ENDS else 0))
        at = ends
    return found


def _is_intact(file: BinaryIO, page: _Page) -> bool:
    file.seek(page.begins)
    octets = file.read(page.ends - page.begins)
    (said,) = struct.unpack_from("<I", octets, _CHECKSUM_AT)
    return checksum(octets[:_CHECKSUM_AT] + bytes(4) + octets[_CHECKSUM_AT + 4 :]) == int(said)


def _skipped(file: BinaryIO, first: _Page) -> int:
    """What a player leaves out at the beginning: the encoder's own delay."""
    file.seek(first.begins)
    octets = file.read(first.ends - first.begins)
    at = _PAGE.size + octets[_PAGE.size - 1]
    if len(octets) < at + _OPUS_HEAD.size or not octets.startswith(b"OpusHead", at):
        raise AudioError("an Ogg file without Opus")
    return int(_OPUS_HEAD.unpack_from(octets, at)[3])


def checksum(octets: bytes) -> int:
    """CRC-32 as Ogg has it: not reflected, and begun with 0 (RFC 3533 §6)."""
    value = 0
    for octet in octets:
        value = (value << 8) & 0xFFFFFFFF ^ _TABLE[value >> 24 ^ octet]
    return value


def _row(value: int) -> int:
    value <<= 24
    for _ in range(8):
        value = (value << 1) ^ (_POLYNOMIAL if value & 0x80000000 else 0)
    return value & 0xFFFFFFFF


_TABLE = [_row(value) for value in range(256)]
