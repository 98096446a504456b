"""What is counted of a call that is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from endpoint.app.metrics import Metrics
from endpoint.callcontrol.model import CallDirection, CallId, CallRecord, ConnectionRecord, Ending
from endpoint.errors import StorageError
from endpoint.legs.base import (
    AudioFigures,
    Cause,
    DeviceId,
    InteractionId,
    LegQuality,
    LegRole,
    Side,
)

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ENDING = Ending(Cause.NORMAL, Side.DEVICE)


def record() -> CallRecord:
    quality = LegQuality(
        "PCMU",
        AudioFigures(500, loss_percent=2, jitter_ms=4, mos=4.1),
        AudioFigures(500, loss_percent=None, jitter_ms=None, mos=None),
    )
    leg = ConnectionRecord(DeviceId("10086"), LegRole.LINE, False, ENDING, True, quality=quality)
    return CallRecord(
        interaction=InteractionId("i1"),
        call=CallId("i1-1"),
        direction=CallDirection.OUTBOUND,
        calling=DeviceId("6001"),
        called=DeviceId("10086"),
        started_at=NOON,
        delivered_at=None,
        established_at=NOON + timedelta(seconds=3),
        ended_at=NOON + timedelta(seconds=63),
        ending=ENDING,
        connections=(leg, replace(leg, quality=None)),
    )


class Kept:
    async def write(self, record: CallRecord) -> None:
        pass


class Away:
    async def write(self, record: CallRecord) -> None:
        raise StorageError("away")


async def test_how_each_leg_was_heard_is_counted_where_it_is_known() -> None:
    metrics = Metrics(lambda: 0.0)
    await metrics.measured(Kept()).write(record())
    lines = metrics.text().decode().splitlines()
    received = '{direction="received"}'
    assert f"agent_endpoint_leg_mos_sum{received} 4.1" in lines
    assert f"agent_endpoint_leg_mos_count{received} 1.0" in lines
    assert f"agent_endpoint_leg_loss_ratio_sum{received} 0.02" in lines
    assert f"agent_endpoint_leg_jitter_seconds_sum{received} 0.004" in lines
    assert not [line for line in lines if 'direction="sent"' in line]
    assert "agent_endpoint_call_setup_seconds_sum 3.0" in lines
    assert 'agent_endpoint_call_duration_seconds_sum{direction="outbound"} 60.0' in lines
    assert 'agent_endpoint_call_records_total{outcome="kept"} 1.0' in lines
    assert "10086" not in "\n".join(lines)


async def test_a_record_that_could_not_be_kept_is_counted_and_raised() -> None:
    metrics = Metrics(lambda: 0.0)
    with pytest.raises(StorageError):
        await metrics.measured(Away()).write(record())
    assert 'agent_endpoint_call_records_total{outcome="failed"} 1.0' in metrics.text().decode()
