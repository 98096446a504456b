"""Texts to a device's telephones over HTTP, at `/api/v1/devices/{device}/texts`."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from endpoint import plaintext
from endpoint.app.access import refusal
from endpoint.app.bodies import read_body
from endpoint.app.directory import Directory
from endpoint.gateways.native import messages as wire
from signaling.server import SipServer
from signaling.textmessages import LONGEST_OCTETS


@dataclass(frozen=True, slots=True)
class TextRoutes:
    """Handlers over the embedded sipWsServer."""

    server: SipServer
    directory: Directory
    domain: str
    """Of our devices' addresses."""
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [web.post(f"{wire.API}/devices/{{device}}/texts", self.send)]

    async def send(self, request: web.Request) -> web.Response:
        """`POST /devices/{device}/texts`: 200 says what its telephones said."""
        wanted = await read_body(request, wire.SendText, timeout_s=self.body_timeout_s)
        recipient = request.match_info["device"]
        await self.directory.refresh()
        for device in (recipient, wanted.sender):
            if device not in self.directory:
                return refusal(
                    404, wire.Refused("unknown_device", f"{device} is no device of ours")
                )
        if len(wanted.text.encode()) > LONGEST_OCTETS:
            too_long = wire.Refused(
                "too_large", "the text is too long", "$.text", f"at most {LONGEST_OCTETS} octets"
            )
            return refusal(413, too_long)
        status = await self.server.send_text(
            wanted.sender, recipient, wanted.text, domain=self.domain
        )
        sent = wire.TextSent(recipient, status == 200, status)
        return web.Response(body=plaintext.encode(sent), content_type="application/json")
