"""SIP of the latest calls as it was on the wire, over HTTP: ladder, picture, capture file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from endpoint import plaintext
from endpoint.app.access import refusal
from endpoint.app.formats import TraceFormat
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import tracemessages as traces
from endpoint.legs.base import InteractionId
from endpoint.legs.sipcalls import SipCall, SipCalls
from endpoint.rig.ladder import Rung, draw, rungs
from endpoint.rig.laddersvg import draw_svg
from signaling.sip.flow import Flow
from signaling.sip.pcapng import MEDIA_TYPE, format_pcapng
from signaling.sip.stack import Direction
from signaling.sip.trace import TraceBook, TracedMessage, without_secrets


class Traces:
    """Keeps what is said in SIP, without secrets, and passes it on to a capture server."""

    def __init__(
        self,
        most_octets: int,
        local_address: Callable[[Flow], tuple[str, int] | None],
        capture: Callable[[TracedMessage], None] | None = None,
    ) -> None:
        self.book = TraceBook(most_octets)
        self._local_address = local_address
        self._capture = capture

    def remember(self, direction: Direction, flow: Flow, octets: bytes, _now: float) -> None:
        """For the SIP stack: a message was received, or is about to be sent."""
        if not octets.strip():
            return
        message = TracedMessage(
            datetime.now(UTC).timestamp(),
            direction is Direction.SENT,
            flow,
            without_secrets(octets),
            self._local_address(flow),
        )
        self.book.add(message)
        if self._capture is not None:
            self._capture(message)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of one interaction."""

    calls: Sequence[SipCall]
    messages: Sequence[TracedMessage]

    @property
    def parties(self) -> list[str]:
        return list(dict.fromkeys(call.device for call in self.calls))

    @property
    def ladder(self) -> list[Rung]:
        devices = {call.call_id: call.device for call in self.calls}
        return rungs(self.messages, lambda peer, call_id: devices.get(call_id, peer))


@dataclass(frozen=True, slots=True)
class TraceRoutes:
    """Handlers over the traces, and whose each SIP call was."""

    traces: Traces
    sip_calls: SipCalls

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        return [
            web.get(f"{wire.API}/traces", self.all),
            web.get(f"{wire.API}/calls/{{call}}/trace", self.one),
        ]

    async def all(self, _request: web.Request) -> web.Response:
        """`GET /traces`: the calls that something is kept of, the latest last."""
        found = ((id, self._find(id)) for id in self.sip_calls.interactions())
        summaries = [
            traces.TraceSummary(str(id), each.parties, _when(each.messages[0]), len(each.messages))
            for id, each in found
            if each.messages
        ]
        return web.Response(
            body=plaintext.encode(traces.Traces(summaries)), content_type="application/json"
        )

    async def one(self, request: web.Request) -> web.Response:
        """`GET /calls/{call}/trace?format=…`; also of a call that is over."""
        call = request.match_info["call"]
        try:
            wanted = TraceFormat(request.query.get("format", TraceFormat.JSON))
        except ValueError:
            text = f"expected one of {', '.join(TraceFormat)}"
            return refusal(400, wire.Refused("bad_field", text, "format"))
        found = self._find(InteractionId(call))
        if not found.messages:
            text = "no SIP of such a call is kept: it never was, had none, or is long over"
            return refusal(404, wire.Refused("unknown_call", text))
        match wanted:
            case TraceFormat.TEXT:
                lines = draw(found.ladder, found.parties)
                return web.Response(text="\n".join(lines) + "\n")
            case TraceFormat.SVG:
                picture = draw_svg(found.ladder, found.parties, title=f"SIP of call {call}")
                return web.Response(text=picture, content_type="image/svg+xml")
            case TraceFormat.PCAPNG:
                return web.Response(body=format_pcapng(found.messages), content_type=MEDIA_TYPE)
            case TraceFormat.JSON:
                said = [_said(rung) for rung in found.ladder]
                body = plaintext.encode(traces.Trace(call, found.parties, said))
                return web.Response(body=body, content_type="application/json")

    def _find(self, call: str) -> _Found:
        """Of an interaction, or of a call, whose id is the interaction's with a number."""
        interaction, _, _ = call.rpartition("-")
        calls = self.sip_calls.of(InteractionId(call)) or self.sip_calls.of(
            InteractionId(interaction)
        )
        return _Found(calls, self.traces.book.of(each.call_id for each in calls))


def _said(rung: Rung) -> traces.SipMessage:
    message = rung.message
    return traces.SipMessage(
        _when(message),
        message.sent,
        message.transport,
        message.peer,
        rung.party,
        rung.label,
        message.octets.decode("utf-8", "replace"),
    )


def _when(message: TracedMessage) -> datetime:
    return datetime.fromtimestamp(message.at, UTC)
