"""Everything that can be asked of the native interface: each path once, and who may.

One table. What is served is checked against it at the start, who asks at each request, and the
OpenAPI document is written from it; so none of the three can say something else than the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

from msgspec import Struct

from endpoint.agents.identity import Scope
from endpoint.callcontrol.commands import CommandName
from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import audiomessages as audio
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import planmessages as plan
from endpoint.gateways.native import queuemessages as queues
from endpoint.gateways.native import tenantmessages as tenants
from endpoint.gateways.native import tokenmessages as tokens
from endpoint.gateways.native import tracemessages as traces
from endpoint.gateways.native import webhookmessages as webhooks
from endpoint.gateways.native.directoryoperations import DIRECTORY, EXTENSIONS
from endpoint.gateways.native.operation import Operation as Operation
from endpoint.gateways.native.operation import Query as Query
from endpoint.gateways.native.operation import Whose as Whose
from endpoint.gateways.native.operation import reading as _get
from endpoint.legs.recordings import FileState

_NUMBER = {"type": "integer", "minimum": 1, "maximum": 1000}
_SECONDS = {"type": "number", "minimum": 0, "maximum": 10**9}
_DATUM = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}=.+$"}
_MOMENT = {"type": "string", "format": "date-time"}
_FORMAT = {"type": "string", "enum": ["json", "text", "svg", "pcapng"]}


def _command(word: str, name: CommandName, body: type[Struct], text: str) -> Operation:
    return Operation(
        "POST",
        f"/calls/{{call}}/{word}" if word else "/calls",
        Scope.CALLS_WRITE,
        Whose.DEVICE,
        text,
        wire.Accepted,
        202,
        body,
        commands=(name,),
        refusals=(404, 409, 429),
    )


_RECORD_QUERY = (
    Query("since", "Not before.", _MOMENT),
    Query("until", "Before.", _MOMENT),
    Query("device", "A device of ours that took part."),
    Query("number", "A number, or how it ends."),
    Query("cause", "Why it ended."),
    Query("direction", "Who began it.", {"type": "string", "enum": ["outbound", "inbound"]}),
    Query("established", "Whether somebody answered.", {"type": "boolean"}),
    Query("minimum_s", "At least so long.", _SECONDS),
    Query("data", "KEY=TEXT that it carried.", _DATUM, repeated=True),
    Query("call", "The call itself."),
    Query("interaction", "All calls of an interaction."),
    Query("agent", "An agent who had part in it."),
)

_N = CommandName
CALLS = (
    _get("/calls", Scope.CALLS_READ, Whose.FOUND, "The calls that live.", wire.Calls),
    _get("/calls/{call}", Scope.CALLS_READ, Whose.CALL, "One call.", wire.Call, refusals=(404,)),
    _get(
        "/calls/{call}/quality",
        Scope.CALLS_READ,
        Whose.CALL,
        "How its parties are heard and hear.",
        wire.CallQuality,
        refusals=(404,),
    ),
    _command("", _N.MAKE_CALL, wire.MakeCall, "Pick a device's station up and dial."),
    _command("answer", _N.ANSWER_CALL, wire.OfDevice, "Pick up for a device that rings."),
    _command("hold", _N.HOLD_CALL, wire.OfDevice, "Put the call aside."),
    _command("retrieve", _N.RETRIEVE_CALL, wire.OfDevice, "Take a held call back."),
    _command("digits", _N.GENERATE_DIGITS, wire.Press, "Send DTMF to the others."),
    _command("clear", _N.CLEAR_CONNECTION, wire.Clear, "Leave the call, or drop a party."),
    _command("end", _N.CLEAR_CALL, wire.OfDevice, "End the call for all."),
    _command("consult", _N.CONSULTATION_CALL, wire.Consult, "Hold, and call somebody else."),
    _command("alternate", _N.ALTERNATE_CALL, wire.OfTwoCalls, "Swap two calls."),
    _command("reconnect", _N.RECONNECT_CALL, wire.OfTwoCalls, "Leave one call, take the other."),
    _command("conference", _N.CONFERENCE_CALL, wire.OfTwoCalls, "Bring two calls together."),
    _command("add", _N.SINGLE_STEP_CONFERENCE, wire.AddParty, "Call somebody into the call."),
    _command("join", _N.JOIN_CALL, wire.Join, "Listen to a call, whisper, come in."),
    _command("intercept", _N.INTERCEPT_CALL, wire.Intercept, "Take another's place."),
    _command("pickup", _N.DIRECTED_PICKUP_CALL, wire.PickUp, "Take what rings elsewhere."),
    _command("park", _N.PARK_CALL, wire.Park, "Leave the call; it waits with music."),
    _command("lend", _N.LEND_CALL, wire.Lend, "Let the other talk elsewhere and come back."),
    _command("deflect", _N.DEFLECT_CALL, wire.Deflect, "Send a ringing call on."),
    _command("mute", _N.SET_MICROPHONE_MUTE, wire.Mute, "Let nobody hear the device."),
    _command("data", _N.ASSOCIATE_DATA, wire.GiveData, "Give the call data that follow it."),
    replace(
        _command("transfer", _N.SINGLE_STEP_TRANSFER, wire.TransferTo, "Transfer the call."),
        text="Transfer the call to somebody, or let the others of two calls talk.",
        commands=(_N.SINGLE_STEP_TRANSFER, _N.TRANSFER_CALL),
    ),
    _command("record", _N.START_RECORDING, wire.OfDevice, "Have the call recorded."),
    _command("pause-recording", _N.PAUSE_RECORDING, wire.OfDevice, "Record silence."),
    _command("resume-recording", _N.RESUME_RECORDING, wire.OfDevice, "Record on."),
    _command("stop-recording", _N.STOP_RECORDING, wire.OfDevice, "Record no more."),
    Operation(
        "PUT",
        "/calls/{call}/audio",
        Scope.CALLS_WRITE,
        Whose.DEVICE,
        "Be the ears and mouth of a station that is a program.",
        audio.AudioAddress,
        body=audio.AttachAudio,
        refusals=(404, 409, 503),
    ),
    _get(
        "/calls/{call}/trace",
        Scope.ADMIN_READ,
        Whose.TENANT,
        "What was said in SIP in a call, also in one that is over.",
        traces.Trace,
        Query("format", "As what.", _FORMAT),
        refusals=(404,),
        also=("text/plain", "image/svg+xml", "application/x-pcapng"),
    ),
)

_DEVICE = "/devices/{device}"
DEVICES = (
    _get("/devices", Scope.CALLS_READ, Whose.FOUND, "Devices of ours.", wire.Devices),
    _get(
        "/registrations",
        Scope.CALLS_READ,
        Whose.FOUND,
        "What was last heard of telephones and accounts.",
        wire.Registrations,
    ),
    Operation(
        "POST",
        f"{_DEVICE}/texts",
        Scope.CALLS_WRITE,
        Whose.DEVICE,
        "Send a text to a device's telephones.",
        wire.TextSent,
        body=wire.SendText,
        acts="sender",
        refusals=(404,),
    ),
    _get(
        f"{_DEVICE}/sound",
        Scope.CALLS_READ,
        Whose.DEVICE,
        "The sound devices of a station.",
        audio.Sound,
        refusals=(404,),
    ),
    Operation(
        "PUT",
        f"{_DEVICE}/sound",
        Scope.CALLS_WRITE,
        Whose.DEVICE,
        "Give a station other sound devices.",
        audio.Sound,
        body=audio.ChooseSound,
        refusals=(404,),
    ),
    Operation(
        "POST",
        f"{_DEVICE}/media",
        Scope.CALLS_WRITE,
        Whose.STATION,
        "Become the device's telephone, by an SDP offer for WebRTC.",
        audio.Media,
        201,
        audio.MediaOffer,
        media=("application/sdp",),
        refusals=(404, 422, 503),
    ),
    Operation(
        "PUT",
        f"{_DEVICE}/media/{{media}}",
        Scope.CALLS_WRITE,
        Whose.STATION,
        "Offer anew: another direction, ICE begun anew.",
        audio.Media,
        200,
        audio.MediaOffer,
        media=("application/sdp",),
        refusals=(404, 410, 412, 422, 503),
    ),
    Operation(
        "PATCH",
        f"{_DEVICE}/media/{{media}}",
        Scope.CALLS_WRITE,
        Whose.STATION,
        "Tell candidates that were found after the offer (RFC 8840).",
        None,
        204,
        media=("application/trickle-ice-sdpfrag",),
        refusals=(404, 410, 412, 428, 503),
    ),
    Operation(
        "DELETE",
        f"{_DEVICE}/media/{{media}}",
        Scope.CALLS_WRITE,
        Whose.STATION,
        "Be the device's telephone no more.",
        None,
        204,
        refusals=(404, 410),
    ),
)

_ONE_RECORDING = "/recordings/{recording}"
RECORDS = (
    _get(
        "/records",
        Scope.RECORDS_READ,
        Whose.FOUND,
        "Calls that are over, newest first.",
        wire.Records,
        *_RECORD_QUERY,
        Query("limit", "So many at most.", _NUMBER),
        Query("after", "`next` of an answer: those that follow."),
    ),
    _get(
        "/records/export",
        Scope.RECORDS_READ,
        Whose.FOUND,
        "All of them as a file.",
        "text/csv",
        *_RECORD_QUERY,
        Query("format", "As what.", {"type": "string", "enum": ["csv", "jsonl"]}),
        also=("application/jsonl",),
    ),
    _get(
        "/records/{call}",
        Scope.RECORDS_READ,
        Whose.FOUND,
        "One call that is over, and why it ended, in words.",
        wire.RecordFound,
        refusals=(404,),
    ),
    _get("/traces", Scope.ADMIN_READ, Whose.TENANT, "Calls whose SIP is kept.", traces.Traces),
    _get(
        "/recordings",
        Scope.RECORDINGS_READ,
        Whose.FOUND,
        "The latest recordings.",
        wire.Recordings,
        Query("call", "Of a call, or of its interaction."),
        Query("state", "In which state.", {"type": "string", "enum": ["", *FileState]}),
        Query("limit", "So many at most.", _NUMBER),
    ),
    _get(
        _ONE_RECORDING,
        Scope.RECORDINGS_READ,
        Whose.FOUND,
        "What is known of a recording.",
        wire.Recording,
        refusals=(404,),
    ),
    _get(
        f"{_ONE_RECORDING}/audio",
        Scope.RECORDINGS_READ,
        Whose.FOUND,
        "Its file, whole or by ranges.",
        "audio/*",
        refusals=(404, 409, 410, 416),
    ),
    Operation(
        "DELETE",
        _ONE_RECORDING,
        Scope.RECORDINGS_WRITE,
        Whose.TENANT,
        "Delete its file; what is known of it stays.",
        wire.Recording,
        refusals=(404, 409),
    ),
)


def _plan(method: str, path: str, text: str, **more: Any) -> Operation:
    return Operation(
        method,
        path,
        Scope.ADMIN_WRITE,
        Whose.TENANT,
        text,
        refusals=(404, 409, 422),
        refused=plan.PlanRefused,
        **more,
    )


ADMINISTRATION = (
    _get("/trunks", Scope.ADMIN_READ, Whose.TENANT, "Every trunk.", wire.Trunks),
    _get("/ivr", Scope.ADMIN_READ, Whose.TENANT, "Every IVR.", queues.Ivrs),
    _get("/queues", Scope.AGENTS_READ, Whose.TENANT, "Every queue.", queues.Queues),
    Operation(
        "POST",
        "/queues/{queue}/call-backs",
        Scope.AGENTS_WRITE,
        Whose.TENANT,
        "Have somebody called back who does not wait.",
        queues.CallBack,
        201,
        body=queues.AskCallBack,
        refusals=(404, 409),
    ),
    Operation(
        "DELETE",
        "/queues/{queue}/call-backs/{call_back}",
        Scope.AGENTS_WRITE,
        Whose.TENANT,
        "Call somebody back no more.",
        None,
        204,
        refusals=(404, 409),
    ),
    _get("/bans", Scope.ADMIN_READ, Whose.TENANT, "Who is not listened to.", wire.Bans),
    Operation(
        "DELETE",
        "/bans/{source}",
        Scope.ADMIN_WRITE,
        Whose.TENANT,
        "Listen to a source again.",
        None,
        204,
        refusals=(404,),
    ),
    _get("/plan", Scope.ADMIN_READ, Whose.TENANT, "The dial plan.", plan.Plan),
    _plan(
        "POST",
        "/plan/rules",
        "Add a rule.",
        answer=plan.PlanRule,
        status=201,
        body=plan.PlanRule,
    ),
    _plan("PUT", "/plan/rules", "Have these rules alone.", answer=plan.Plan, body=plan.PlanOfRules),
    _plan(
        "PUT",
        "/plan/rules/{rule}",
        "Change a rule.",
        answer=plan.PlanRule,
        body=plan.PlanRule,
    ),
    _plan("DELETE", "/plan/rules/{rule}", "Remove a rule.", status=204),
    replace(
        _plan(
            "POST",
            "/plan/test",
            "Ask where a number would go.",
            answer=plan.PlanAnswer,
            body=plan.AskPlan,
        ),
        scope=Scope.ADMIN_READ,
    ),
    _get("/health", Scope.CALLS_READ, Whose.ANYBODYS, "How the endpoint is.", wire.Health),
    _get(
        "/events",
        Scope.CALLS_READ,
        Whose.FOUND,
        "The event WebSocket; see the AsyncAPI document.",
        "",
        Query("from", "Resume behind this event; -N: begin with the last N."),
        Query("run", "Of which start of the endpoint that number is."),
        refusals=(426,),
    ),
)


TOKENS = (
    Operation(
        "POST",
        "/tokens",
        None,
        Whose.NOBODYS,
        "Log in: a token for an agent's password.",
        tokens.IssuedToken,
        201,
        tokens.AskToken,
        refusals=(429,),
    ),
    Operation(
        "POST",
        "/tokens/refresh",
        None,
        Whose.NOBODYS,
        "The next token, for the refresh token of the last.",
        tokens.IssuedToken,
        201,
        tokens.RefreshToken,
    ),
    Operation(
        "POST",
        "/tokens/programs",
        Scope.ADMIN_WRITE,
        Whose.TENANT,
        "A token for a program.",
        tokens.IssuedToken,
        201,
        tokens.AddProgram,
        refusals=(409,),
    ),
    _get(
        "/tokens",
        Scope.AGENTS_READ,
        Whose.FOUND,
        "Tokens that are not over; of an agent its own.",
        tokens.Tokens,
    ),
    Operation(
        "DELETE",
        "/tokens/{token}",
        None,
        Whose.FOUND,
        "End a token at once, and the sockets that were opened with it.",
        None,
        204,
        refusals=(404,),
    ),
    _get("/identity", None, Whose.ANYBODYS, "Who asks, and what it may.", tokens.Asking),
)


def _webhook(method: str, path: str, text: str, **more: Any) -> Operation:
    whole = f"/webhooks{path}"
    scope = Scope.ADMIN_READ if method == "GET" else Scope.ADMIN_WRITE
    return Operation(method, whole, scope, Whose.TENANT, text, **more)


_ONE = "/{webhook}"
WEBHOOKS = (
    _webhook("GET", "", "Programs that are told of events by HTTP.", answer=webhooks.Webhooks),
    _webhook(
        "POST",
        "",
        "Have a program told of events.",
        answer=webhooks.IssuedWebhook,
        status=201,
        body=webhooks.AddWebhook,
        refusals=(409,),
    ),
    _webhook("GET", _ONE, "How it goes.", answer=webhooks.Webhook, refusals=(404,)),
    _webhook(
        "PATCH",
        _ONE,
        "Have it told, or nothing for now.",
        answer=webhooks.Webhook,
        body=webhooks.ChangeWebhook,
        refusals=(404,),
    ),
    _webhook("DELETE", _ONE, "Tell it nothing any more.", status=204, refusals=(404,)),
    _webhook(
        "POST",
        f"{_ONE}/retry",
        "Try at once, and what was given up too.",
        answer=webhooks.WebhookRetried,
        status=202,
        refusals=(404, 409),
    ),
    _webhook(
        "POST",
        f"{_ONE}/test",
        "Tell it something that is no event, once.",
        answer=webhooks.WebhookTested,
        refusals=(404,),
    ),
)

_ONE_TENANT = "/tenants/{tenant}"
TENANTS = (
    _get("/tenants", Scope.ADMIN_READ, Whose.HOUSE, "All tenants.", tenants.Tenants),
    Operation(
        "POST",
        "/tenants",
        Scope.ADMIN_WRITE,
        Whose.HOUSE,
        "Add a tenant, that is empty.",
        tenants.Tenant,
        201,
        tenants.Tenant,
        refusals=(409,),
    ),
    Operation(
        "PUT",
        _ONE_TENANT,
        Scope.ADMIN_WRITE,
        Whose.HOUSE,
        "Give it another domain, from its process's next start on.",
        tenants.Tenant,
        body=tenants.TenantDomain,
        refusals=(404, 409),
    ),
    Operation(
        "DELETE",
        _ONE_TENANT,
        Scope.ADMIN_WRITE,
        Whose.HOUSE,
        "Remove a tenant.",
        None,
        204,
        query=(Query("content", "With all that it has.", {"type": "boolean"}),),
        refusals=(404, 409),
    ),
)

_ONE_AGENT = "/agents/{agent}"


def _of_agent(word: str, text: str, body: type[Struct] | None = None) -> Operation:
    return Operation(
        "POST",
        f"{_ONE_AGENT}/{word}",
        Scope.AGENTS_WRITE,
        Whose.AGENT,
        text,
        agents.AgentCommandDone,
        body=body,
        refusals=(409, 429),
    )


AGENTS = (
    _get("/agents", Scope.AGENTS_READ, Whose.FOUND, "Agents, as they are now.", agents.Agents),
    _get(
        _ONE_AGENT,
        Scope.AGENTS_READ,
        Whose.AGENT,
        "One agent.",
        agents.AgentNow,
        refusals=(404,),
    ),
    replace(
        _of_agent("log-on", "Log an agent on, or take its session over.", agents.LogOnAgent),
        answer=agents.AgentLoggedOn,
        refusals=(404, 409, 429),
    ),
    _get(
        f"{_ONE_AGENT}/times",
        Scope.AGENTS_READ,
        Whose.AGENT,
        "How long it was what, as far as its log is kept.",
        agents.AgentTimes,
        Query("since", "A moment with its zone; by default the beginning of today (UTC)."),
        Query("until", "Likewise; by default now."),
        refusals=(404,),
    ),
    _of_agent("log-off", "Log it off; in a call, after it."),
    _of_agent("ready", "Let queues offer calls; in a call, after it."),
    _of_agent("not-ready", "Let queues offer none.", agents.NotReady),
    _of_agent("work-mode", "Work in another way.", agents.ChooseWorkMode),
    _of_agent("finish-wrap-up", "What there was to do of the last call is done."),
    _get(
        f"{_ONE_AGENT}/events",
        Scope.AGENTS_READ,
        Whose.AGENT,
        "The WebSocket of an agent's log; see the AsyncAPI document.",
        "",
        Query("from", "Resume behind this event."),
        refusals=(404, 409, 426, 429),
    ),
)


SELF = (
    Operation("GET", "/openapi.json", None, Whose.NOBODYS, "This document.", "application/json"),
    Operation(
        "GET",
        "/asyncapi.json",
        None,
        Whose.NOBODYS,
        "The document of the WebSockets.",
        "application/json",
    ),
)


def by_key(operations: Iterable[Operation]) -> dict[tuple[str, str], Operation]:
    """By method and path. Raises ValueError where one is there twice."""
    found: dict[tuple[str, str], Operation] = {}
    for each in operations:
        if each.key in found:
            raise ValueError(f"{each.method} {each.path} is declared twice")
        found[each.key] = each
    return found


OPERATIONS = by_key(
    chain(
        *(CALLS, DEVICES, RECORDS, ADMINISTRATION, TENANTS, TOKENS, WEBHOOKS, AGENTS, SELF),
        DIRECTORY,
        EXTENSIONS,
    )
)
"""All, by method and path."""

OPEN = frozenset(key for key, each in OPERATIONS.items() if each.whose is Whose.NOBODYS)
"""Those that are answered without a token."""
