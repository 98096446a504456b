"""Webhooks, as the native interface tells of them: a program is told of events without a socket."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from endpoint.gateways.native.messages import Device
from endpoint.gateways.native.tokenmessages import AgentNumber

HEADERS = {
    "Webhook-Name": "Of the webhook.",
    "Webhook-Source": "Whose `number` it is: `events`, or `agents/` and the agent's number.",
    "Webhook-Event": "The event's name, `snapshot`, or `test`.",
    "Webhook-Id": "Of the message: the same at each try.",
    "Webhook-Timestamp": "Of this try, in seconds since 1970.",
    "Webhook-Signature": "`v1,` and in Base64 HMAC-SHA256 of id, timestamp and body, with dots "
    "between, by what stands in Base64 behind `whsec_` in the secret (Standard Webhooks).",
}
"""What each message has beside its body."""

WebhookName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+\Z")]


class AddWebhook(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /webhooks`."""

    name: WebhookName
    """What lists, the log and the header `Webhook-Name` call it."""
    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    """Who is told; must begin as one of `webhooks.allowed`."""
    events: Annotated[list[str], Meta(max_length=100)] = []
    """Names of events, as `Established`; empty: all."""
    agents: Annotated[list[AgentNumber], Meta(max_length=256)] = []
    """Their logs are told, as at `/agents/{agent}/events`."""
    devices: Annotated[list[Device], Meta(max_length=256)] = []
    """Events about these are told, as at `/events`. Neither: all of them, and those of agents."""
    enabled: bool = True


class ChangeWebhook(Struct, frozen=True, forbid_unknown_fields=True):
    """`PATCH /webhooks/{webhook}`."""

    enabled: bool
    """Else nothing is told; what happens meanwhile is told later, as far as it is kept."""


class UndeliveredEvent(Struct, frozen=True):
    """What nobody took for too long."""

    id: str
    """As `Webhook-Id` says it."""
    source: str
    """`events`, or `agents/` and the agent's number."""
    event: str
    given_up_at: datetime
    tries: int
    failure: str
    """Of the last try, as `status_500`, `timed_out`, `unreachable`."""


class WebhookPlace(Struct, frozen=True):
    """How far a webhook has come in what it is told."""

    source: str
    """`events`, or `agents/` and the agent's number."""
    number: int
    """Of the last event that was taken, or is none of those that it is told."""
    waiting: int
    """So many events are behind it."""


class Webhook(Struct, frozen=True):
    """Who is told, of what, and how that goes."""

    name: str
    url: str
    events: list[str]
    agents: list[str]
    devices: list[str]
    enabled: bool
    created_at: datetime
    taken: int
    """Messages since the endpoint has begun."""
    failures: int
    """Tries that nobody took, since then."""
    failing: int
    """Tries that nobody took since the last that somebody did."""
    last_failure: str
    """As `status_500`; empty: there was none."""
    places: list[WebhookPlace]
    waiting: int
    """Events behind all places."""
    undelivered: list[UndeliveredEvent]
    """What was given up, the oldest first."""
    forgotten: int
    """What was given up and is not kept, since the endpoint has begun."""


class IssuedWebhook(Struct, frozen=True):
    """201 of `POST /webhooks`."""

    webhook: Webhook
    secret: str
    """By which messages are signed. It is told this once."""


class Webhooks(Struct, frozen=True):
    """`GET /webhooks`."""

    webhooks: list[Webhook]


class WebhookRetried(Struct, frozen=True):
    """202 of `POST /webhooks/{webhook}/retry`."""

    retrying: int
    """So much of what was given up is told again."""


class WebhookTested(Struct, frozen=True):
    """200 of `POST /webhooks/{webhook}/test`."""

    taken: bool
    failure: str
    """Why not, as `status_500`; empty where it was."""


class WebhookTest(Struct, frozen=True, tag="test"):
    """What a test tells."""

    webhook: str
    time: datetime
