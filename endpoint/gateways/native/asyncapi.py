"""The AsyncAPI document of the native interface's WebSocket, made of its frames and the events."""

from __future__ import annotations

from typing import Any, get_args

from endpoint.agents.events import AgentEvents
from endpoint.callcontrol.events import Event
from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.openapi import field_texts, schemas

Document = dict[str, Any]

_EVENTS: tuple[type, ...] = (*get_args(Event), *get_args(AgentEvents))
_SNAPSHOT = "What is true now: the first frame, and where events were lost."
_FRAMES = {
    "snapshot": (wire.Snapshot, _SNAPSHOT),
    "event": (wire.EventFrame, "One event, in its order."),
    "credentials": (wire.CredentialsExpiring, "The token is about to end, and so is the socket."),
    "agentSnapshot": (agents.AgentSnapshot, _SNAPSHOT),
    "agentEvent": (agents.AgentEventFrame, "One event of an agent's log, in its order."),
}
_CHANNELS = {
    "events": (
        "/events",
        "Everything that happens, as far as it is about who reads.",
        ("snapshot", "event", "credentials"),
    ),
    "agent": (
        "/agents/{agent}/events",
        "The log of an agent who is logged on: its states, and its calls.",
        ("agentSnapshot", "agentEvent", "credentials"),
    ),
}


def asyncapi(version: str) -> Document:
    """AsyncAPI 3.0."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "agent-endpoint",
            "version": version,
            "description": "Events of calls, registrations and trunks. Offer the subprotocol "
            f"`{wire.SUBPROTOCOL}`; where a header can't be set, `{wire.BEARER_SUBPROTOCOL}TOKEN` "
            "as a second one. Close code 4401: the token is over.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "localhost:8443",
                "pathname": wire.API,
                "protocol": "wss",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": {
            name: _channel(address, text, frames)
            for name, (address, text, frames) in _CHANNELS.items()
        },
        "operations": {
            f"read-{name}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{frame}"} for frame in frames],
            }
            for name, (_, _, frames) in _CHANNELS.items()
        },
        "components": {
            "messages": {
                name: {
                    "name": kind.__name__,
                    "title": text.rstrip("."),
                    "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
                }
                for name, (kind, text) in _FRAMES.items()
            },
            "schemas": {
                **schemas(kind for kind, _ in _FRAMES.values()),
                **{
                    f"{kind.__name__}Fields": _fields(kind)
                    for kind in (*get_args(Event), *get_args(AgentEvents))
                },
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _channel(address: str, text: str, frames: tuple[str, ...]) -> Document:
    query = {
        "from": {"type": "integer", "description": "Resume behind this event; -N: the last N."},
        "run": {"type": "string", "description": "Of which start of the endpoint it is."},
    }
    found: Document = {
        "address": address,
        "description": text,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in frames},
    }
    if "{agent}" in address:
        # Its numbers go on over restarts, and it has no other past than is kept.
        query = {"from": {"type": "integer", "description": "Resume behind this event."}}
        found["parameters"] = {"agent": {"description": "Its number."}}
    return found | {"bindings": {"ws": {"query": {"type": "object", "properties": query}}}}


def _fields(kind: type) -> Document:
    """What `fields` of an event frame holds, where `event` is of this name."""
    names = [
        name
        for base in reversed(kind.__mro__[:-1])
        for name in vars(base).get("__annotations__", {})
    ]
    return {
        "title": kind.__name__,
        "description": (kind.__doc__ or "").strip(),
        "type": "object",
        "properties": {
            name: {"description": text} if (text := field_texts(kind).get(name)) else {}
            for name in names
        },
        "required": names,
    }
