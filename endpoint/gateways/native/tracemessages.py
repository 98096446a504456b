"""The SIP of a call, as the native interface and its clients say it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class SipMessage(Struct, frozen=True):
    """One message of a call, as the endpoint sent or received it."""

    at: datetime
    sent: bool
    """True: from the endpoint to the party."""
    transport: str
    peer: str
    """`host:port` of the far end."""
    party: str
    """The device whose telephone that is."""
    label: str
    """Method or status, and what the description asks for."""
    text: str
    """As on the wire; digests, keys, passwords, pressed digits and texts are blotted out."""


class Trace(Struct, frozen=True):
    """`GET /calls/{call}/trace`."""

    call: str
    parties: list[str]
    messages: list[SipMessage]


class TraceSummary(Struct, frozen=True):
    """A call whose SIP is kept."""

    call: str
    """For `GET /calls/{call}/trace`."""
    parties: list[str]
    began_at: datetime
    messages: int


class Traces(Struct, frozen=True):
    """`GET /traces`, the latest last."""

    traces: list[TraceSummary]
