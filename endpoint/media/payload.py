"""Payload types as negotiated: which one is audio, which one events, which one we can decode."""

from __future__ import annotations

from collections.abc import Iterable

from endpoint.audio.codec import G711
from endpoint.media.messages import PayloadType

_TELEPHONE_EVENT = "TELEPHONE-EVENT"


def is_event(payload_type: PayloadType) -> bool:
    """True for telephone events (RFC 4733)."""
    return payload_type.encoding == _TELEPHONE_EVENT


def audio_of(payload_types: Iterable[PayloadType]) -> PayloadType | None:
    """The first that is audio."""
    return next((p for p in payload_types if not is_event(p)), None)


def events_of(payload_types: Iterable[PayloadType], rate_hz: int) -> int | None:
    """The number of the telephone events that have the audio's clock (RFC 4733 §2.1)."""
    numbers = (p.number for p in payload_types if is_event(p) and p.clock_rate_hz == rate_hz)
    return next(numbers, None)


def law_of(payload_type: PayloadType | None) -> G711 | None:
    """The table for it; None for what we can't encode and decode."""
    if payload_type is None or payload_type.encoding not in G711.__members__:
        return None
    return G711[payload_type.encoding]
