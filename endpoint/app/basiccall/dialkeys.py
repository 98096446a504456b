"""Numbers that a page has encrypted, or may not show: `EncryptDial`.

Whoever has the page reads what it sends, and a key of DES that is in a page is nobody's secret: it
keeps numbers from the eyes of agents, and from nobody else. Of an RSA key the private half is here
alone.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from endpoint.app.basiccall.settings import BasicCallSettings
from endpoint.errors import CommandRejected, ConfigurationError

RSA, DES = "2", "3"
"""`encryptMode`s."""
_OAEP = OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_DES_OCTETS = 8


@dataclass(frozen=True, slots=True)
class DialKeys:
    """Those that are set up."""

    rsa: RSAPrivateKey | None = field(default=None, repr=False)
    des: bytes | None = field(default=None, repr=False)

    @classmethod
    def loaded(cls, settings: BasicCallSettings) -> Self:
        """From the files and texts that the settings name. Raises ConfigurationError."""
        rsa: RSAPrivateKey | None = None
        if (path := settings.rsa_key_file) is not None:
            key = "basiccall.rsa_key_file"
            try:
                found = load_pem_private_key(path.read_bytes(), password=None)
            except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
                why = f"{key}: found {str(path)!r}, expected an RSA private key as PEM: {error}"
                raise ConfigurationError([why]) from None
            if not isinstance(found, RSAPrivateKey):
                raise ConfigurationError([f"{key}: found another key than one of RSA"])
            rsa = found
        given = settings.des_key
        return cls(rsa, given.get_secret_value().encode() if given is not None else None)

    def number(self, mode: str, sent: str) -> str:
        """What was dialled. Raises CommandRejected; nothing in it tells what was found."""
        if mode not in (RSA, DES):
            return sent
        name, setting = {RSA: ("rsa", "rsa_key_file"), DES: ("des", "des_key")}[mode]
        if (self.rsa if mode == RSA else self.des) is None:
            why = (
                f"encryptMode {mode} ({name}) needs a key, and none is set up: basiccall.{setting}"
            )
            raise CommandRejected("not_supported", why)
        try:
            octets = base64.b64decode(sent, validate=True)
            return (self._by_rsa(octets) if mode == RSA else self._by_des(octets)).decode("ascii")
        except (binascii.Error, ValueError):
            why = f"phoneNum: expected a number, encrypted ({name}) with our key, as base64"
            raise CommandRejected("bad_field", why) from None

    def _by_rsa(self, octets: bytes) -> bytes:
        assert self.rsa is not None
        return self.rsa.decrypt(octets, _OAEP)

    def _by_des(self, octets: bytes) -> bytes:
        assert self.des is not None
        # One key three times is DES. Mode and padding are those of pages; one block tells nothing.
        deciphering = Cipher(TripleDES(self.des * 3), modes.ECB()).decryptor()
        unpadding = PKCS7(8 * _DES_OCTETS).unpadder()
        padded = deciphering.update(octets) + deciphering.finalize()
        return unpadding.update(padded) + unpadding.finalize()
