"""`[agents]`: how agents that are logged on are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from endpoint.app.section import STRICT, Seconds

if TYPE_CHECKING:
    from endpoint.agents.ownership import Liveness
    from endpoint.agents.roster import RosterSettings


class AgentsSettings(BaseModel):
    """`[agents]`: agents that are logged on (docs/agents.md)."""

    model_config = STRICT

    grace_s: Seconds = 60
    """A client that has lost its event WebSocket may be away for so long; then its agent is logged
    off. A call is never cut by that.
    """
    wrap_up: Literal["queue", "all"] = "queue"
    """After which calls there is something to write down: those of queues, or all that were
    answered; for as long as each agent's `wrap_up_s` says.
    """
    log_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] = 30
    """Events of agents are kept for so long: to be read again after a lost connection, and for
    reports.
    """


def liveness(settings: AgentsSettings) -> Liveness:
    """When a client that listens by the native WebSocket counts as gone."""
    from endpoint.agents.ownership import Liveness

    return Liveness(grace_s=settings.grace_s)


def roster_settings(settings: AgentsSettings) -> RosterSettings:
    """What the roster is made from."""
    from endpoint.agents.roster import RosterSettings

    return RosterSettings(after_all_calls=settings.wrap_up == "all")
