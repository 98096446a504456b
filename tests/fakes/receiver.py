"""A receiver that notes what a transport delivers, and lets a test wait for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from signaling.errors import SipParseError, TransportError
from signaling.sip.flow import Flow
from signaling.sip.message import Message

PATIENCE_S = 20.0
"""Bounds every wait in these tests; nothing takes as long unless it is broken."""


@dataclass
class Recorder:
    messages: asyncio.Queue[tuple[bytes, Flow]] = field(default_factory=asyncio.Queue)
    opened_flows: asyncio.Queue[Flow] = field(default_factory=asyncio.Queue)
    closed_flows: asyncio.Queue[tuple[Flow, TransportError | None]] = field(
        default_factory=asyncio.Queue
    )
    pings: int = 0

    def received(
        self, octets: bytes, flow: Flow, message: Message | SipParseError | None = None
    ) -> None:
        self.messages.put_nowait((octets, flow))

    def pinged(self, flow: Flow) -> bool:
        self.pings += 1
        return True

    def opened(self, flow: Flow) -> None:
        self.opened_flows.put_nowait(flow)

    def closed(self, flow: Flow, error: TransportError | None) -> None:
        self.closed_flows.put_nowait((flow, error))

    async def message(self) -> tuple[bytes, Flow]:
        async with asyncio.timeout(PATIENCE_S):
            return await self.messages.get()

    async def opening(self) -> Flow:
        async with asyncio.timeout(PATIENCE_S):
            return await self.opened_flows.get()

    async def closing(self) -> tuple[Flow, TransportError | None]:
        async with asyncio.timeout(PATIENCE_S):
            return await self.closed_flows.get()
