"""REST of stations that a program is: where its audio comes from and goes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from endpoint import plaintext
from endpoint.app.bodies import BadRequest, read_body
from endpoint.app.native import NativeView
from endpoint.callcontrol.commands import Rejection
from endpoint.errors import MediaError
from endpoint.gateways.native import audiomessages as audio
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import LegId
from endpoint.legs.leg import Leg
from endpoint.legs.program import ProgramLeg


@dataclass(frozen=True, slots=True)
class ProgramRoutes:
    """Handlers over the legs of stations whose kind is `program`."""

    view: NativeView
    legs: Callable[[LegId], Leg | None]
    """Those that live, by their names."""
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [web.put(f"{wire.API}/calls/{{call}}/audio", self.audio)]

    async def audio(self, request: web.Request) -> web.Response:
        """`PUT /calls/{call}/audio`."""
        wanted = await read_body(request, audio.AttachAudio, timeout_s=self.body_timeout_s)
        leg = self.legs(self._leg(request.match_info["call"], wanted.device))
        if not isinstance(leg, ProgramLeg):
            text = f"the station of {wanted.device} is not for a program"
            expected = 'a device of a [[station]] with kind = "program"'
            raise BadRequest(409, wire.Refused("no_program", text, "$.device", expected))
        try:
            found = await leg.attach(wanted.port)
        except MediaError as error:
            raise BadRequest(503, wire.Refused("media_unavailable", str(error))) from error
        address = audio.AudioAddress(found.host, found.rtp_port, found.ssrc)
        return web.Response(body=plaintext.encode(address), content_type="application/json")

    def _leg(self, call: str, device: str) -> LegId:
        for one in self.view.controller.calls():
            for connection in one.connections:
                if one.id == call and connection.device == device and connection.is_live:
                    return connection.leg
        text = f"there is no call {call} of {device}"
        raise BadRequest(404, wire.Refused(str(Rejection.UNKNOWN_CALL), text))
