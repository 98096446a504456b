"""What the client asks about extensions."""

from __future__ import annotations

from urllib.parse import quote

from endpoint.client.plan import Asks
from endpoint.gateways.native import extensionmessages as wire


class ExtensionRequests:
    """Part of `EndpointClient`. Each raises as its other methods do."""

    async def extensions(self: Asks) -> list[wire.Extension]:
        """All, without their secrets."""
        return (await self._ask("GET", "/extensions", wire.Extensions)).extensions

    async def extension(self: Asks, number: str) -> wire.Extension:
        """One, without its secrets."""
        return await self._ask("GET", _at(number), wire.Extension)

    async def put_extension(
        self: Asks, number: str, extension: wire.PutExtension
    ) -> wire.KeptExtension:
        """This, whether there was one or not; with a password that was made, which is told once."""
        return await self._ask("PUT", _at(number), wire.KeptExtension, extension)

    async def remove_extension(self: Asks, number: str) -> None:
        """One less; what its telephones have registered is over."""
        await self._send("DELETE", _at(number))


def _at(number: str) -> str:
    return f"/extensions/{quote(number, safe='')}"
