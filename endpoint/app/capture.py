"""What is said in SIP, sent on to a capture server as Homer (HEP3 over UDP)."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import structlog

from endpoint.app.settings import CaptureSettings
from signaling.sip.hep import format_hep
from signaling.sip.trace import TracedMessage

log = structlog.get_logger(__name__)


class Capture(asyncio.DatagramProtocol):
    """`async with Capture(settings) as capture`. A server that is not there costs no call."""

    def __init__(self, settings: CaptureSettings) -> None:
        self._settings = settings
        self._transport: asyncio.DatagramTransport | None = None
        self._failing = ""

    async def __aenter__(self) -> Self:
        host, port = self._settings.address
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: self, remote_addr=(host, port)
            )
        except OSError as error:
            log.warning("no SIP is captured", server=self._settings.server, reason=str(error))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def send(self, message: TracedMessage) -> None:
        """Send one on; what can't be sent is lost."""
        if self._transport is not None:
            password = self._settings.password
            secret = password.get_secret_value() if password is not None else ""
            packet = format_hep(message, capture_id=self._settings.id, password=secret)
            self._transport.sendto(packet)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there; said once for each reason."""
        if str(exc) != self._failing:
            self._failing = str(exc)
            log.warning("SIP is not captured", server=self._settings.server, reason=str(exc))
