"""The embedded sipWsServer: registrar and digest over UDP, WS and WSS, for phones of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from aiohttp import web

from signaling.registrar import Expired, Registered, Unregistered
from signaling.sip.flow import Flow
from signaling.sip.uri import Uri
from signaling.user_agent import InviteRequest, InviteSession, UserAgent


class Credentials(Protocol):
    """Who may register and call."""

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        """(algorithm, HA1 in hex) pairs of a user; empty for one that is not known."""


class SipServer:
    """`async with SipServer(config, credentials) as server`."""

    user_agent: UserAgent

    async def listen_udp(self, host: str, port: int) -> tuple[str, int]: ...
    async def websocket_route(self, request: web.Request) -> web.StreamResponse: ...
    def targets(self, user: str) -> list[tuple[Uri, Flow | None]]:
        """Where a user's phones are, best q first; the flow is given where the phone has its own open socket."""
        ...

    def invite(self, invitation: InviteRequest) -> InviteSession: ...
    def invitations(self) -> AsyncIterator[InviteSession]: ...
    def registrations(self) -> AsyncIterator[Registered | Unregistered | Expired]: ...
