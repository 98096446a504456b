"""The endpoint under test: whole, with its media process, asked by commands and told by events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from endpoint.app.enrolment import add_extension
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.commands import Command, CommandAccepted
from endpoint.callcontrol.events import CallCleared, Event
from endpoint.callcontrol.feed import Subscription
from endpoint.legs.base import DeviceId, DeviceRegistered
from endpoint.media.pool import Placement, together
from endpoint.storage.extensions import Extension

from .peers.baresip import Baresip
from .peers.feed import PeerError
from .peers.sound import RATE_HZ, tones_in

EventKind = TypeVar("EventKind", bound=Event)

_SETTLE_S = 0.16


@dataclass(frozen=True)
class Ear:
    """What a station hears, for `hear`."""

    desk: Desk
    device: str

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms`."""
        return await self.desk.heard(self.device, ms=ms)


class Desk:
    """`async with Desk(...) as desk`: an endpoint on free ports of loopback.

    Args:
        directory: its state.
        extensions: numbers that may register, all with `Desk.password`.
        stations: device to the tone that it says; devices without a phone.
        settings: more of the configuration.
        placement: which media worker takes a port.
        webrtc: it has browsers, so what they need is loaded at its start. That takes a third of
            all the processor time that a media process takes to start.
    """

    password = "interop-desk-7ZqKx4"

    def __init__(
        self,
        directory: Path,
        *,
        extensions: Sequence[str] = (),
        stations: Mapping[str, float] | None = None,
        settings: Mapping[str, Any] | None = None,
        placement: Placement = together,
        webrtc: bool = False,
    ) -> None:
        given = dict(settings or {})
        self._extensions = extensions
        self.config = Config.model_validate(
            {
                "http": {"port": 0, "plain_port": 0},
                "sip": {"port": 0},
                "state": {"directory": directory},
                "station": [
                    {"device": device, "kind": "tone", "frequency_hz": tone_hz}
                    for device, tone_hz in (stations or {}).items()
                ],
                **given,
                "media": {"webrtc_ready": webrtc, **given.get("media", {})},
            }
        )
        self.endpoint = Endpoint(self.config, placement=placement)
        self.told: list[Event] = []
        """Events so far, as far as they were read."""
        self._events: Subscription
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.endpoint)
            for number in self._extensions:
                await add_extension(
                    self.endpoint.extensions,
                    self.config.sip.realm,
                    Extension(number),
                    self.password,
                )
            self._events = self.endpoint.controller.subscribe(after=0)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def sip(self) -> str:
        """`host:port` of the embedded sipWsServer over UDP."""
        host, port = self.endpoint.sip_address
        return f"{host}:{port}"

    @property
    def sip_tcp(self) -> str:
        """The same over TCP."""
        return self.endpoint.running.sip_tcp

    @property
    def sip_tls(self) -> str:
        """The same over TLS."""
        return self.endpoint.running.sip_tls

    @property
    def ca_file(self) -> Path:
        """PEM of the CA that signed the endpoint's certificate."""
        authority = self.endpoint.certificate.authority
        assert authority is not None
        return authority

    @asynccontextmanager
    async def telephone(self, user: DeviceId, tone_hz: int) -> AsyncIterator[Baresip]:
        """Yield a baresip that is registered here as one of the extensions, and says a tone."""
        directory = self.config.state.directory.parent / user
        async with Baresip(
            directory, user, self.sip, password=self.password, tone_hz=tone_hz
        ) as phone:
            await self.event(DeviceRegistered, device=user)
            yield phone

    async def do(self, command: Command) -> CommandAccepted:
        """Submit a command."""
        return await self.endpoint.controller.submit(command)

    async def event(
        self, kind: type[EventKind], *, timeout_s: float = 15.0, **fields: Any
    ) -> EventKind:
        """Wait for the next event of this kind with these fields; what came before is passed over.

        Raises:
            PeerError: it did not come in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                async for numbered in self._events:
                    event = numbered.event
                    self.told.append(event)
                    if isinstance(event, kind) and all(
                        getattr(event, name) == value for name, value in fields.items()
                    ):
                        return event
        except TimeoutError:
            pass
        told = "".join(f"\n  {event}" for event in self.told[-20:])
        raise PeerError(f"no {kind.__name__} with {fields}{told}")

    async def cleared(self, **fields: Any) -> CallCleared:
        """Wait until a call is over and its record is written."""
        return await self.event(CallCleared, **fields)

    def ear(self, device: str) -> Ear:
        """Return the listener at a station."""
        return Ear(self, device)

    async def heard(self, device: str, *, ms: int = 400) -> set[int]:
        """Return the tones that a station hears in the next `ms`."""
        legs = [
            connection.leg
            for call in self.endpoint.controller.calls()
            for connection in call.connections
            if connection.device == DeviceId(device) and connection.is_live
        ]
        assert len(legs) == 1, f"{device} has {len(legs)} legs"
        await asyncio.sleep(_SETTLE_S + ms / 1000)  # the window itself
        heard = await self.endpoint.exchange.read_heard(legs[0], ms)
        samples = np.frombuffer(heard.samples, "<i2")
        assert heard.sample_rate_hz == RATE_HZ
        return tones_in(samples)
