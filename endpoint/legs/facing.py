"""Whom a leg talks with, as far as that is known before they talk."""

from __future__ import annotations

from endpoint.legs.audio_end import Protection
from endpoint.legs.base import DeviceId, InteractionId, LegId, LegRole
from endpoint.legs.browser import BrowserStations
from endpoint.legs.leg import Leg
from endpoint.legs.line import OwnRegistrar
from endpoint.legs.ports import LegPorts
from endpoint.media.messages import PortName
from signaling.sdp.negotiation import OPUS


class Facing:
    """Looks among all legs for those that a leg will face, so that little stands between them."""

    def __init__(
        self,
        legs: dict[LegId, Leg],
        ports: LegPorts,
        browsers: BrowserStations,
        registrar: OwnRegistrar,
    ) -> None:
        self._legs = legs
        self._ports = ports
        self._browsers = browsers
        self._registrar = registrar

    def encodings(
        self, interaction: InteractionId, role: LegRole, device: DeviceId
    ) -> tuple[str, ...]:
        """Codecs of whom a leg of this role talks with, most wanted first, as far as known.

        That is who came last to the other side of its interaction; before anybody is there, the
        device that a station calls.
        """
        for leg in reversed(self._legs.values()):
            if leg.interaction == interaction and leg.role is not role and leg.encodings:
                return leg.encodings
        if role is not LegRole.STATION:
            return ()
        if (browser := self._browsers.of(device)) is not None:
            return browser.encodings
        is_webrtc = self._registrar.protections(device) == {Protection.WEBRTC}
        return (OPUS.encoding,) if is_webrtc else ()

    def port(self, leg: LegId) -> PortName:
        """A port of somebody whom a leg will talk with; empty where none is known.

        Of who is in its interaction; before anybody is there, of the page that it calls.
        """
        found = self._legs.get(leg)
        if found is None:
            return ""
        for other in reversed(self._legs.values()):
            is_there = other is not found and other.interaction == found.interaction
            if is_there and (port := self._ports.heard_at(other.id)):
                return port
        browser = self._browsers.of(found.called) if found.called is not None else None
        return browser.id if browser is not None else ""
