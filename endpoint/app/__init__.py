"""The program, and its Python API: `from endpoint.app import Agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endpoint.app.agent import Agent
    from endpoint.app.agentcall import AgentError, Call, CallFailed

__all__ = ["Agent", "AgentError", "Call", "CallFailed"]


def __getattr__(name: str) -> object:
    """Import at use: who asks for `endpoint.app.settings` needs no endpoint."""
    match name:
        case "Agent":
            from endpoint.app.agent import Agent

            return Agent
        case "AgentError" | "Call" | "CallFailed":
            from endpoint.app import agentcall

            return getattr(agentcall, name)
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
