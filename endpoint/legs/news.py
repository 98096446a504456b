"""What our sipWsServer tells beside calls: who registers, who is banned, who has sent a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from endpoint.legs.base import (
    DeviceId,
    ExchangeEvent,
    SourceBanned,
    TextReceived,
)
from endpoint.legs.line import OwnRegistrar
from signaling.server import SipServer
from signaling.supervision import Work


class ServerNews:
    """Reads it, and tells it as events."""

    def __init__(
        self, server: SipServer, registrar: OwnRegistrar, emit: Callable[[ExchangeEvent], None]
    ) -> None:
        self._server = server
        self._registrar = registrar
        self._emit = emit

    def works(self) -> Iterator[tuple[str, Work]]:
        """What reads each, by name."""
        yield "registrations", self._read_registrations
        yield "bans", self._read_bans
        yield "texts", self._read_texts

    async def _read_registrations(self) -> None:
        async for event in self._server.registrations():
            notice = self._registrar.take(event)
            if notice is not None:
                self._emit(notice)

    async def _read_texts(self) -> None:
        async for text in self._server.texts():
            self._emit(
                TextReceived(
                    DeviceId(text.recipient), DeviceId(text.sender), text.text, text.status
                )
            )

    async def _read_bans(self) -> None:
        async for begun in self._server.bans_begun():
            ban, device = begun.ban, DeviceId(begun.ban.user or "")
            self._emit(SourceBanned(ban.source, device, ban.failures, begun.for_s))
