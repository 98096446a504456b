"""REST of browser stations: a page's audio by offer and answer, below `/devices/{device}/media`.

Conventions are those of WHIP (RFC 9725): 201 with Location, the ICE session as ETag, candidates by
PATCH with If-Match. Unlike there, a further offer (PUT) changes a session and begins ICE anew.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import hdrs, web

from endpoint import plaintext
from endpoint.app.bodies import BadRequest, decode, read_octets
from endpoint.app.native import NativeView
from endpoint.errors import MediaError
from endpoint.gateways.native import audiomessages as audio
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import DeviceId
from endpoint.legs.browser import BrowserSession, BrowserStations
from signaling.errors import SdpError
from signaling.sdp.description import SessionDescription
from signaling.sdp.ice import FRAGMENT_CONTENT_TYPE, IceFragment

JSON, SDP = "application/json", "application/sdp"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MediaRoutes:
    """Handlers over the browser stations of the exchange."""

    view: NativeView
    browsers: BrowserStations
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        sessions = f"{wire.API}/devices/{{device}}/media"
        return [
            web.post(sessions, self.open),
            web.put(f"{sessions}/{{media}}", self.renew),
            web.patch(f"{sessions}/{{media}}", self.add_candidates),
            web.delete(f"{sessions}/{{media}}", self.close),
        ]

    async def open(self, request: web.Request) -> web.Response:
        """`POST /devices/{device}/media`."""
        device = await self._device(request)
        if not self.view.controller.takes_new_calls:
            raise BadRequest(503, wire.Refused("shutting_down", "the endpoint is about to stop"))
        offer = await self._offer(request)
        session, answer = await _negotiated(self.browsers.open(device, offer))
        response = _described(request, session, answer, 201)
        response.headers[hdrs.LOCATION] = f"{request.rel_url.raw_path}/{session.id}"
        return response

    async def renew(self, request: web.Request) -> web.Response:
        """`PUT /devices/{device}/media/{media}`."""
        offer = await self._offer(request)
        session = self._session(request)
        async with session.changing:
            _check_match(request, self._session(request))
            answer = await _negotiated(self.browsers.renew(session, offer))
            return _described(request, session, answer, 200)

    async def add_candidates(self, request: web.Request) -> web.Response:
        """`PATCH /devices/{device}/media/{media}`."""
        octets = await read_octets(request, FRAGMENT_CONTENT_TYPE, timeout_s=self.body_timeout_s)
        session = self._session(request)
        if hdrs.IF_MATCH not in request.headers:
            raise BadRequest(
                428,
                wire.Refused(
                    "precondition_required",
                    "say to which ICE session the candidates belong",
                    field="If-Match",
                    expected="the ETag of the last answer",
                ),
            )
        async with session.changing:
            _check_match(request, self._session(request))
            try:
                fragment = IceFragment.parse(octets)
                if fragment.ufrag != session.ice:
                    raise SdpError(
                        "ice-ufrag is not that of the last offer: begin ICE anew by PUT of an offer"
                    )
                await session.end.add_candidates(octets)
            except SdpError as error:
                raise BadRequest(
                    400, wire.Refused("bad_fragment", str(error), "body", "RFC 8840 §9")
                ) from error
            except MediaError as error:
                raise _unavailable(error) from error
        return web.Response(status=204)

    async def close(self, request: web.Request) -> web.Response:
        """`DELETE /devices/{device}/media/{media}`."""
        self.browsers.close(self._session(request))
        return web.Response(status=204)

    # -- inside ---------------------------------------------------------------------------------

    async def _device(self, request: web.Request) -> DeviceId:
        device = request.match_info["device"]
        if device not in self.view.directory:
            await self.view.directory.refresh()
        if device not in self.view.directory:
            raise BadRequest(404, wire.Refused("unknown_device", "no such device of ours"))
        return DeviceId(device)

    def _session(self, request: web.Request) -> BrowserSession:
        device = DeviceId(request.match_info["device"])
        found = self.browsers.find(device, request.match_info["media"])
        if found is not None:
            return found
        if self.browsers.of(device) is not None:
            raise BadRequest(410, wire.Refused("replaced", f"another page stands for {device}"))
        raise BadRequest(404, wire.Refused("unknown_media", "no such session, or it is over"))

    async def _offer(self, request: web.Request) -> bytes:
        """An offer in the body, as it is or in JSON; it can be read."""
        octets = await read_octets(request, SDP, JSON, timeout_s=self.body_timeout_s)
        field = "body"
        if request.content_type == JSON:
            octets, field = decode(octets, audio.MediaOffer).sdp.encode(), "$.sdp"
        try:
            SessionDescription.parse(octets)
        except SdpError as error:
            raise BadRequest(
                400, wire.Refused("bad_sdp", str(error), field, "a description (RFC 8866)")
            ) from error
        return octets


async def _negotiated(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except SdpError as error:
        raise BadRequest(
            422,
            wire.Refused(
                "incompatible_media",
                str(error),
                expected="one m=audio of WebRTC, with Opus or G.711 (RFC 8827)",
            ),
        ) from error
    except MediaError as error:
        raise _unavailable(error) from error


def _unavailable(error: MediaError) -> BadRequest:
    return BadRequest(503, wire.Refused("media_unavailable", str(error)))


def _check_match(request: web.Request, session: BrowserSession) -> None:
    """If-Match, where it is there, names the session's ICE as it is now (RFC 9110 §13.1.1)."""
    wanted = request.if_match
    if wanted is not None and not any(tag.value in (session.ice, "*") for tag in wanted):
        raise BadRequest(
            412,
            wire.Refused(
                "precondition_failed",
                "ICE was begun anew meanwhile",
                field="If-Match",
                expected=f'"{session.ice}"',
            ),
        )


def _described(
    request: web.Request, session: BrowserSession, answer: bytes, status: int
) -> web.Response:
    """Our answer, in the type of the offer."""
    kind = request.content_type
    if kind == JSON:
        told = audio.Media(session.device, session.id, session.ice, answer.decode())
        answer = plaintext.encode(told)
    response = web.Response(status=status, body=answer, content_type=kind)
    response.etag = session.ice
    return response
