"""An extension under a password, of which nothing is kept that could be used elsewhere."""

from __future__ import annotations

from endpoint.app.secrecy import weakness
from endpoint.storage.extensions import Credential, Extension, Extensions
from signaling.sip.auth import DigestAlgorithm, ha1


def credentials(number: str, realm: str, password: str) -> list[Credential]:
    """What is stored for a password: one HA1 for each algorithm."""
    return [
        Credential(number, realm, str(algorithm), ha1(number, realm, password, str(algorithm)))
        for algorithm in DigestAlgorithm
    ]


async def add_extension(
    extensions: Extensions,
    realm: str,
    extension: Extension,
    password: str,
    *,
    replace: bool = False,
) -> Extension:
    """Store an extension under a password, of which only HA1s are kept. Raises `StorageError`."""
    weak = weakness(password, extension.number) is not None
    stored = Extension(
        extension.number, extension.display_name, extension.aliases, (realm,), weak=weak
    )
    await extensions.add(stored, credentials(extension.number, realm, password), replace=replace)
    return stored
