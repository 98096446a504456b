"""The sound devices of a station over HTTP, at `/api/v1/devices/{device}/sound`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiohttp import web

from endpoint import plaintext
from endpoint.app.access import refusal
from endpoint.app.bodies import read_body
from endpoint.gateways.native import audiomessages as audio
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import DeviceId, SoundUse
from endpoint.legs.sound import SoundDevices, SoundStations
from endpoint.legs.soundchoice import SoundChoice, checked_sound


@dataclass(frozen=True, slots=True)
class SoundRoutes:
    """Handlers over the stations that have sound devices."""

    sounds: SoundStations
    body_timeout_s: float

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        path = f"{wire.API}/devices/{{device}}/sound"
        return [web.get(path, self.read), web.put(path, self.choose)]

    async def read(self, request: web.Request) -> web.Response:
        """`GET /devices/{device}/sound`."""
        sound = self.sounds.of(DeviceId(request.match_info["device"]))
        return _no_sound(request) if sound is None else _told(sound)

    async def choose(self, request: web.Request) -> web.Response:
        """`PUT /devices/{device}/sound`."""
        wanted = await read_body(request, audio.ChooseSound, timeout_s=self.body_timeout_s)
        sound = self.sounds.of(DeviceId(request.match_info["device"]))
        if sound is None:
            return _no_sound(request)
        chosen: dict[SoundUse, SoundChoice] = {}
        for use in SoundUse:
            name, gain_db = getattr(wanted, use), getattr(wanted, f"{use}_gain_db")
            choice = sound.station.choices[use]
            if name is not None:
                made = replace(choice, name=name)
                try:
                    checked_sound(name, use)
                    if made.file is not None and made != choice:
                        # Whoever may call need not be told what is on our disk, or have it played.
                        raise ValueError(f"found {name!r}, a file is for the configuration to name")
                except ValueError as error:
                    text = str(error)
                    return refusal(400, wire.Refused("bad_field", text, f"$.{use}"))
                choice = made
            if gain_db is not None:
                choice = replace(choice, gain_db=gain_db)
            chosen[use] = choice
        self.sounds.choose(sound.station.device, chosen)
        return _told(sound)


def _no_sound(request: web.Request) -> web.Response:
    text = f"{request.match_info['device']} is no station of kind sound"
    return refusal(404, wire.Refused("unknown_device", text))


def _told(sound: SoundDevices) -> web.Response:
    parts = [
        audio.SoundPart(str(use), choice.name, choice.gain_db, sound.failures.get(use, ""))
        for use, choice in sound.station.choices.items()
    ]
    told = audio.Sound(sound.station.device, parts, sound.leg is not None)
    return web.Response(body=plaintext.encode(told), content_type="application/json")
