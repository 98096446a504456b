"""Calls that were refused before anybody had part in them: what is kept of them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import structlog

from endpoint.callcontrol.model import CallDirection, CallId, CallRecord, Ending
from endpoint.callcontrol.turn import ended_by_us
from endpoint.legs.base import DeviceId, InteractionId, OfferRefused

log = structlog.get_logger(__name__)


class Records(Protocol):
    """Where records are kept."""

    async def write(self, record: CallRecord) -> None:
        """Keep one record."""


def refused_record(
    interaction: InteractionId,
    number: int,
    direction: CallDirection,
    calling: DeviceId,
    called: DeviceId,
    ending: Ending,
    now: datetime,
) -> CallRecord:
    """A call that nobody had part in; `number` tells those of one interaction apart."""
    return CallRecord(
        interaction=interaction,
        call=CallId(f"{interaction}-refused-{number}"),
        direction=direction,
        calling=calling,
        called=called,
        started_at=now,
        delivered_at=None,
        established_at=None,
        ended_at=now,
        ending=ending,
        connections=(),
    )


def record_of_offer(offer: OfferRefused, now: datetime) -> CallRecord:
    """Of a call that a trunk brought."""
    ending = ended_by_us(offer.cause, text=offer.text)
    return refused_record(
        offer.interaction, 1, CallDirection.INBOUND, offer.calling, offer.called, ending, now
    )


async def keep(records: Records, record: CallRecord) -> None:
    """A call that was refused is no reason to break others, neither is its record."""
    try:
        await records.write(record)
    except Exception:
        log.exception("record of a refused call is lost", call=record.call)
