"""Files that are encrypted as they are written: what is on disk can be read whatever happens.

A header with a salt, then chunks: the length of what follows, and AES-256-GCM of up to a second of
the file. The key is made from the operator's and the salt (HKDF), so each file has its own and the
nonce can count. The last chunk is marked as such (the STREAM construction): a file that was cut is
told from one that is whole, and chunks can't be left out or change places.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from errno import ENOSPC, ESPIPE
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from endpoint.errors import MediaError
from endpoint.media.recordingmessages import KEY_SIZE as KEY_SIZE

_MAGIC = b"AGENTREC\x01"
_SALT = 16
_HEAD = len(_MAGIC) + _SALT
_LENGTH = struct.Struct(">I")
_LAST = 0x80000000
"""Of a length: this chunk is the last one."""
_MOST = 1 << 24
_TAG = 16


class SealedWriter:
    """Takes octets for an unbuffered file that it is given; `flush` seals what has come."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._cipher, head = _begun(key, os.urandom(_SALT))
        self._number = 0
        self._waiting = bytearray()
        _write_all(file, head)

    def write(self, octets: bytes) -> int:
        """Keep octets until the next `flush`."""
        self._waiting += octets
        return len(octets)

    def seek(self, place: int, whence: int = 0, /) -> int:
        """What is sealed can't be written again."""
        raise OSError(ESPIPE, "what is sealed stays as it is")

    def flush(self) -> None:
        """Seal what has come since the last time. Raises OSError."""
        if self._waiting:
            self._seal(last=False)

    def finish(self) -> None:
        """Seal the rest, and say that this was all. The file stays open. Raises OSError."""
        self._seal(last=True)

    def _seal(self, *, last: bool) -> None:
        octets, self._waiting = bytes(self._waiting), bytearray()
        sealed = self._cipher.encrypt(_nonce(self._number, last=last), octets, None)
        self._number += 1
        _write_all(self._file, _LENGTH.pack(len(sealed) | (_LAST if last else 0)) + sealed)


class SealedReader:
    """A sealed file as it was, from any place. Not for several threads at once."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Open it. Raises MediaError: it is none, or the key is another one; OSError."""
        self._file = path.open("rb")
        try:
            head = self._file.read(_HEAD)
            if len(head) < _HEAD or not head.startswith(_MAGIC):
                raise MediaError(f"{path.name} is no encrypted recording")
            self._cipher, _ = _begun(key, head[len(_MAGIC) :])
            self._chunks: list[tuple[int, int, int, bool]] = []
            """Where each is, where what is in it begins, how long it is, whether it is the last."""
            self.size = 0
            """Of what was written."""
            self.is_whole = False
            """Its end was written too."""
            self._index(os.fstat(self._file.fileno()).st_size)
            if self._chunks:
                self._open(0)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, size: int) -> bytes:
        """So many octets from there, fewer at the end. Raises MediaError, OSError."""
        found = bytearray()
        number = max(0, bisect_right(self._chunks, start, key=_begins) - 1)
        while number < len(self._chunks) and _begins(self._chunks[number]) < start + size:
            begins = _begins(self._chunks[number])
            found += self._open(number)[max(0, start - begins) : start + size - begins]
            number += 1
        return bytes(found)

    def _index(self, end: int) -> None:
        at = _HEAD
        while at + _LENGTH.size <= end and not self.is_whole:
            self._file.seek(at)
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            last, length = bool(length & _LAST), length & ~_LAST
            at += _LENGTH.size
            if not _TAG <= length <= _MOST or at + length > end:
                break  # the writer was killed while it wrote this one
            self._chunks.append((at, self.size, length, last))
            self.size += length - _TAG
            self.is_whole = last
            at += length

    def _open(self, number: int) -> bytes:
        at, _, length, last = self._chunks[number]
        self._file.seek(at)
        sealed = self._file.read(length)
        try:
            return self._cipher.decrypt(_nonce(number, last=last), sealed, None)
        except InvalidTag:
            raise MediaError("the recording was changed, or its key is another one") from None


def _begins(chunk: tuple[int, int, int, bool]) -> int:
    return chunk[1]


def _begun(key: bytes, salt: bytes) -> tuple[AESGCM, bytes]:
    """The cipher of one file, and how the file begins."""
    derived = HKDF(SHA256(), KEY_SIZE, salt, b"agent-endpoint recording").derive(key)
    return AESGCM(derived), _MAGIC + salt


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))


def _write_all(file: BinaryIO, octets: bytes) -> None:
    # An unbuffered file says by a short count that the disk is full.
    if file.write(octets) < len(octets):
        raise OSError(ENOSPC, "the disk is full")
