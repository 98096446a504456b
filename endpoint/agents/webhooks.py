"""Webhooks: who is told of events by HTTP, of which, and what could not be told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, get_args

from endpoint.agents.events import AgentEvents
from endpoint.callcontrol.events import Event

EVENTS = "events"
"""The source that is the events of calls and devices; of each start of the endpoint its own."""
KNOWN_EVENTS = frozenset(kind.__name__ for kind in (*get_args(Event), *get_args(AgentEvents)))

Places = Mapping[str, int]
"""By source, the number of the last event that was taken: `agents/1001`, `events/6f0c…`."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told, and of what."""

    name: str
    url: str
    secret: str = field(repr=False)
    """Signs what is told. We must be able to sign, so it is kept as it is."""
    key: str
    """Part of what names a message: of two webhooks of one name, one after the other, another."""
    events: tuple[str, ...] = ()
    """Names; empty: all."""
    agents: tuple[str, ...] = ()
    """Whose logs are told, with the calls of their devices."""
    devices: tuple[str, ...] = ()
    """Of these alone events are told; with neither: of all, and what is told of all agents."""
    enabled: bool = True
    created_at: datetime = datetime.min

    def wants(self, event: str) -> bool:
        """Whether it is to be told of an event of that name."""
        return not self.events or event in self.events

    @property
    def has_events(self) -> bool:
        """Whether it is told of calls and devices as such, not by the log of an agent."""
        return bool(self.devices) or not self.agents

    def has_log(self, agent: str) -> bool:
        """Whether it is told what is in an agent's log."""
        return agent in self.agents or not (self.agents or self.devices)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to be told: the body is the same at each try."""

    id: str
    source: str
    event: str
    """Its name, or `snapshot`."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that nobody took for too long."""

    message: Message
    given_up_at: datetime
    tries: int
    failure: str
    """Of the last try."""


class WebhookStore(Protocol):
    """Where webhooks are kept. Everything raises StorageError."""

    async def all(self) -> Sequence[tuple[Webhook, Places]]:
        """Every one of the tenant."""

    async def put(self, webhook: Webhook, places: Places) -> None:
        """Keep one and what it has taken, in place of that of the same name."""

    async def remove(self, name: str) -> None:
        """Keep one no longer, nor what could not be told to it."""

    async def keep_places(self, name: str, places: Places) -> None:
        """What it has taken."""

    async def undelivered(self, name: str) -> Sequence[Undelivered]:
        """What could not be told to it, the oldest first."""

    async def put_undelivered(self, name: str, kept: Undelivered) -> None:
        """Keep one, in place of that of the same message."""

    async def remove_undelivered(self, name: str, messages: Iterable[str]) -> None:
        """Keep these no longer, by their ids."""
