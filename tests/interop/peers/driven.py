"""A JsSIP user agent driven by JSON: commands in, replies and events out."""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from typing import Any

from .feed import Feed, PeerError

Event = dict[str, Any]


class DrivenJsSip(ABC):
    """What tests/interop/jssip/phone.js takes and tells, wherever it runs.

    Args:
        user: user part of its address.
        domain: host part of its address.
    """

    def __init__(self, user: str, domain: str) -> None:
        self.user, self.domain = user, domain
        self.events: Feed[Event] = Feed(f"JsSIP {user}")
        """By `event`: registered, incoming, progress, confirmed, hold, dtmf, ended, failed…"""
        self._replies: Feed[Event] = Feed(f"JsSIP {user} replies")
        self._ids = itertools.count(1)

    @abstractmethod
    async def _write(self, text: str) -> None:
        """Hand over one command."""

    def _said(self, text: str) -> None:
        message = json.loads(text)
        if "id" in message:
            self._replies.put(message)
        else:
            self._told(message)

    def _told(self, event: Event) -> None:
        self.events.put(event)

    def _ended(self, why: str) -> None:
        self.events.end(why)
        self._replies.end(why)

    # -- what it is told ------------------------------------------------------------------------

    async def command(self, do: str, **arguments: object) -> Any:
        """Give a command and return its result.

        Raises:
            PeerError: it threw.
        """
        number = next(self._ids)
        await self._write(json.dumps({"id": number, "do": do, **arguments}))
        reply = await self._replies.next(lambda r: r["id"] == number, f"reply to {do}")
        if not reply["ok"]:
            raise PeerError(f"JsSIP {self.user} can't {do}: {reply['text']}")
        return reply["result"]

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

    async def hold(self, *, update: bool = False) -> bool:
        """Offer sendonly, by re-INVITE or UPDATE; tell whether the far end agreed."""
        return bool(await self.command("hold", update=update))

    async def resume(self, *, update: bool = False) -> bool:
        """Offer sendrecv, by re-INVITE or UPDATE; tell whether the far end agreed."""
        return bool(await self.command("unhold", update=update))

    async def transfer(self, target: str, *, attended: bool = False) -> None:
        """Send its first call elsewhere (REFER); `attended`: to whom its last call is with."""
        await self.command("refer", target=f"sip:{target}@{self.domain}", attended=attended)

    async def referred(self, what: str) -> int | None:
        """Wait until it was told so of its REFER: `accepted` or `failed` are the outcomes."""
        event = await self.events.next(
            lambda e: e["event"] == "refer" and e["what"] == what, f"refer {what}"
        )
        status = event["status"]
        return None if status is None else int(status)

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
