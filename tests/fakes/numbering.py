"""The dial plan of trunks that have no rules but their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from endpoint.callcontrol.dialplan import DialPlan, PlanInUse
from endpoint.legs.trunk import TrunkSettings, numbers_of


def plan_of(trunks: Iterable[TrunkSettings], **facts: Any) -> PlanInUse:
    """A plan, on a Friday at noon."""
    friday = datetime(2026, 11, 27, 12, tzinfo=UTC)
    return PlanInUse(DialPlan(trunks=numbers_of(trunks), **facts), lambda: friday)
