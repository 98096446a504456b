"""JsSIP in node: the SIP stack that browsers run, over WebSocket; its media is a `ToneParty`."""

from __future__ import annotations

import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from .feed import Feed, PeerError
from .process import Process, require
from .tone_party import ToneParty

Event = dict[str, Any]

PEER = Path(__file__).parents[1] / "jssip"


class JsSip:
    """`async with JsSip(...) as phone`: registered on entry unless told otherwise.

    Args:
        directory: for its log.
        user: user part of its address.
        url: `wss://host:port/path`.
        domain: host part of its address.
        password: for the server's digest.
        ca_file: whom to trust on WSS.
        tone_hz: what its tone party says.
        origin: the page it claims to come from.
    """

    def __init__(
        self,
        directory: Path,
        user: str,
        url: str,
        *,
        domain: str,
        password: str,
        ca_file: Path | None = None,
        tone_hz: int = 1130,
        register: bool = True,
        origin: str | None = None,
    ) -> None:
        self.user, self.domain = user, domain
        self.events: Feed[Event] = Feed(f"JsSIP {user}")
        """By `event`: registered, incoming, progress, confirmed, hold, dtmf, ended, failed…"""
        self.party = ToneParty(tone_hz)
        self._replies: Feed[Event] = Feed(f"JsSIP {user} replies")
        self._ids = itertools.count(1)
        self._directory = directory
        self._register = register
        self._settings = {
            "url": url,
            "uri": f"sip:{user}@{domain}",
            "password": password,
            "ca": None if ca_file is None else str(ca_file),
            "origin": origin,
            "media": {"host": self.party.host, "port": self.party.port},
        }
        self._stack = AsyncExitStack()
        self.process: Process

    async def __aenter__(self) -> Self:
        program = require("node", "nodejs")
        if not (PEER / "node_modules").is_dir():
            pytest.fail("tests/interop/jssip has no node_modules: run make peers")
        self._directory.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.party)
            self.process = Process(
                [program, PEER / "peer.js", json.dumps(self._settings)],
                directory=self._directory,
                name=f"jssip-{self.user}",
                on_line=self._said,
            )
            await stack.enter_async_context(self.process)
            await self.event("ready")
            await self.command("start")
            if self._register:
                await self.event("connected")
                await self.register()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # -- what it is told ------------------------------------------------------------------------

    async def command(self, do: str, **arguments: object) -> Event:
        """Give a command of peer.js and return its reply.

        Raises:
            PeerError: JsSIP threw.
        """
        number = next(self._ids)
        self.process.write(json.dumps({"id": number, "do": do, **arguments}))
        reply = await self._replies.next(lambda r: r["id"] == number, f"reply to {do}")
        if not reply["ok"]:
            raise PeerError(f"JsSIP {self.user} can't {do}: {reply['text']}")
        return reply

    async def register(self) -> None:
        """Register, and wait for the 200.

        Raises:
            PeerError: the server refused, or can't be reached.
        """
        await self.command("register")
        event = await self.events.next(
            lambda e: e["event"] in ("registered", "registration_failed"), "registration"
        )
        if event["event"] != "registered":
            raise PeerError(f"JsSIP {self.user} is not registered: {event}")

    async def unregister(self) -> None:
        """Take all its bindings away, and wait for the 200."""
        await self.command("unregister")
        await self.event("unregistered")

    async def dial(self, target: str) -> None:
        """Call a SIP address, or a user of its own domain."""
        await self.command(
            "call", target=target if ":" in target else f"sip:{target}@{self.domain}"
        )

    async def accept(self) -> None:
        """Answer the call that rings."""
        await self.command("answer")

    async def hold(self) -> bool:
        """Offer sendonly (re-INVITE); tell whether the far end agreed."""
        return bool((await self.command("hold"))["result"])

    async def resume(self) -> bool:
        """Offer sendrecv (re-INVITE); tell whether the far end agreed."""
        return bool((await self.command("unhold"))["result"])

    async def send_digits(self, digits: str) -> None:
        """Send DTMF as INFO, JsSIP's default."""
        await self.command("dtmf", digits=digits, transport="INFO")

    async def hang_up(self) -> None:
        """End the call: BYE, CANCEL or a refusal, as its state needs."""
        await self.command("hang_up")

    # -- what it tells --------------------------------------------------------------------------

    async def event(self, kind: str, *, timeout_s: float = 15.0) -> Event:
        """Wait for its next event of this kind."""
        return await self.events.next(lambda e: e["event"] == kind, kind, timeout_s=timeout_s)

    async def ringing(self) -> Event:
        """Wait until a call comes in."""
        return await self.event("incoming")

    async def established(self) -> Event:
        """Wait until its call is up: answered, and the ACK sent or received."""
        return await self.event("confirmed")

    async def closed(self) -> Event:
        """Wait until its call is over; `cause` and `by` say why."""
        return await self.events.next(
            lambda e: e["event"] in ("ended", "failed"), "end of the call"
        )

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms` that its party receives."""
        return await self.party.heard(ms=ms)

    def _said(self, line: str) -> None:
        if not line.startswith("{"):
            return
        message = json.loads(line)
        if "id" in message:
            self._replies.put(message)
            return
        if message["event"] == "remote_sdp":
            self.party.follow(message["sdp"])
        self.events.put(message)
