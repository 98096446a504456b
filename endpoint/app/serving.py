"""All that HTTP serves: the handlers of each part, over the parts of a running endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from endpoint.app.agentroutes import AgentRoutes
from endpoint.app.agentsocket import AgentSocket
from endpoint.app.agentview import AgentView
from endpoint.app.bans import BanRoutes
from endpoint.app.directoryroutes import DirectoryRoutes
from endpoint.app.eventsocket import EventSocket
from endpoint.app.extensionbook import ExtensionBook
from endpoint.app.extensionroutes import ExtensionRoutes
from endpoint.app.facts import leg_settings
from endpoint.app.idempotency import Idempotency
from endpoint.app.interface import InterfaceRoutes
from endpoint.app.ivr import IvrRoutes
from endpoint.app.media import MediaRoutes
from endpoint.app.native import NativeView
from endpoint.app.observing import Observing, Parts
from endpoint.app.plan import PlanRoutes
from endpoint.app.programs import ProgramRoutes
from endpoint.app.recordings import RecordingRoutes
from endpoint.app.records import RecordRoutes
from endpoint.app.rest import RestRoutes
from endpoint.app.rights import Rights
from endpoint.app.rostersettings import liveness
from endpoint.app.sound import SoundRoutes
from endpoint.app.tenantroutes import TenantRoutes
from endpoint.app.texts import TextRoutes
from endpoint.app.tokenroutes import TokenRoutes
from endpoint.app.traces import TraceRoutes, Traces
from endpoint.app.webhookroutes import WebhookRoutes
from endpoint.storage.tenants import Tenants

if TYPE_CHECKING:
    from endpoint.app.wiring import Endpoint


def routes(
    endpoint: Endpoint, agents: AgentView, rights: Rights, traces: Traces
) -> list[web.RouteDef]:
    """Method, path, handler; and what looks at each request before its handler does."""
    config, exchange = endpoint.config, endpoint.exchange
    patience_s, client = config.http.body_timeout_s, liveness(config.agents)
    view = agents.calls
    once = Idempotency(endpoint.notes.idempotency_keys, config.http.idempotency_s, patience_s)
    endpoint.http.application.middlewares.extend((rights.middleware, once.middleware))
    events = EventSocket(view, rights, endpoint.live)
    return [
        *RestRoutes(view, rights, patience_s, alarms=endpoint.alarms).routes(),
        *PlanRoutes(endpoint.plan_book, patience_s).routes(),
        *DirectoryRoutes(endpoint.directory_book, patience_s).routes(),
        *ExtensionRoutes(_extension_book(endpoint, view), patience_s).routes(),
        *AgentRoutes(
            endpoint.roster, agents, client, patience_s, endpoint.agent_journal.states
        ).routes(),
        *AgentSocket(endpoint.roster, agents, client, endpoint.live).routes(),
        *RecordRoutes(endpoint.records, endpoint.journal, endpoint.recordings, rights).routes(),
        *TenantRoutes(Tenants(endpoint.database), patience_s).routes(),
        *BanRoutes(endpoint.server).routes(),
        *TokenRoutes(endpoint.tokens, patience_s).routes(),
        *WebhookRoutes(endpoint.webhooks, patience_s).routes(),
        *InterfaceRoutes().routes(),
        *IvrRoutes(endpoint.ivrs, endpoint.queues, patience_s).routes(),
        *TraceRoutes(traces, exchange.sip_calls).routes(),
        *TextRoutes(
            endpoint.server, view.directory, leg_settings(config).domain, patience_s
        ).routes(),
        *SoundRoutes(exchange.sounds, patience_s).routes(),
        *RecordingRoutes(endpoint.recordings, endpoint.records, endpoint.journal, rights).routes(),
        *MediaRoutes(view, exchange.browsers, patience_s).routes(),
        *ProgramRoutes(view, exchange.leg, patience_s).routes(),
        *events.routes(),
        *_observing(endpoint, events).routes(),
    ]


def _extension_book(endpoint: Endpoint, view: NativeView) -> ExtensionBook:
    return ExtensionBook(
        endpoint.extensions,
        endpoint.config.sip.realm,
        forget=endpoint.server.forget,
        changed=view.directory.refresh,
    )


def _observing(endpoint: Endpoint, events: EventSocket) -> Observing:
    """What monitors ask."""
    parts = Parts(
        database=endpoint.database,
        controller=endpoint.controller,
        exchange=endpoint.exchange,
        server=endpoint.server,
        media_workers=endpoint.media_workers,
        supervision=endpoint.supervision,
        connections=lambda: endpoint.http.connections,
        event_sockets=lambda: events.clients,
        queues=endpoint.queues,
    )
    return Observing(parts, endpoint.metrics, endpoint.config.http.metrics, endpoint.http.access)
