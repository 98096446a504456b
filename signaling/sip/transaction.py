"""Transactions as objects: `machines` with the messages, flows and timers that they work on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from signaling.errors import LocalProtocolError
from signaling.sip.flow import Flow
from signaling.sip.headers import CSeq
from signaling.sip.machines import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    TIMERS,
    Action,
    Input,
    State,
    Table,
)
from signaling.sip.message import Headers, Request, Response, respond
from signaling.sip.timers import Timers


@dataclass(frozen=True, slots=True)
class TimerSettings:
    """RFC 3261's base timers, in seconds (Table 4); all others follow from them."""

    t1_s: float = 0.5
    """The round trip that is assumed."""
    t2_s: float = 4.0
    """The longest pause between retransmissions."""
    t4_s: float = 5.0
    """How long a message may stay in the network."""
    trying_s: float = 0.2
    """An INVITE that nobody has answered by then gets a 100 (RFC 3261 §17.2.1)."""

    @property
    def timeout_s(self) -> float:
        """64*T1: timers B, F, H, J, L and M, and all that RFC 3261 bounds like them."""
        return 64 * self.t1_s


class Failure(StrEnum):
    """Why a transaction ended without a final response."""

    TIMEOUT = "timeout"
    TRANSPORT = "transport"

    @property
    def status(self) -> int:
        """The status that stands for it (RFC 3261 §8.1.3.1)."""
        return 408 if self is Failure.TIMEOUT else 503


def ignore_failure(failure: Failure, now: float) -> None:
    """The failure hook of a user whom it does not matter to."""


def _ignore(message: Request | Response, now: float) -> None:
    """The hook of nobody."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every transaction needs of the layer that holds it."""

    timers: Timers
    settings: TimerSettings
    send: Callable[[Flow, bytes, float], None]
    ended: Callable[[Transaction], None]
    """Told once, when the transaction is TERMINATED."""


class Transaction(ABC):
    """What the four machines share: the walk through the table, and the timers."""

    table: Table
    state: State

    def __init__(self, request: Request, flow: Flow, surroundings: Surroundings) -> None:
        self.request = request
        self.flow = flow
        self.on_failure: Callable[[Failure, float], None] = ignore_failure
        self._around = surroundings
        self._last: bytes = b""
        self._pause_s = 0.0
        self._steps = 0
        """That are being taken: one may bring about another."""

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.request.method} {self.request.cseq.number} {self.state} {self.flow}>"

    def handle_timer(self, name: str, now: float) -> None:
        """A timer, named as its input, has fired."""
        self._step(Input(name), now)

    def flow_failed(self, now: float) -> None:
        """Nothing can be sent or received on the flow any more."""
        self._step(Input.TRANSPORT_ERROR, now)

    def forget(self) -> None:
        """End at once, telling nobody: nothing is owed or waited for any more."""
        if self.state is not State.TERMINATED:
            self.state = State.TERMINATED
            self._around.timers.stop(self, *TIMERS)
            self._around.ended(self)
            self._let_go()

    def _step(self, happened: Input, now: float, message: Request | Response | None = None) -> None:
        row = self.table.get(self.state, {}).get(happened)
        if row is None:
            return
        self.state, actions = row
        known = self.table.get(self.state, {})
        self._around.timers.stop(self, *(timer for timer in TIMERS if timer not in known))
        if self.state is State.TERMINATED:
            self._around.ended(self)
        self._steps += 1
        try:
            for action in actions:
                self._act(action, now, message)
        finally:
            self._steps -= 1
            if self.state is State.TERMINATED and not self._steps:
                self._let_go()

    def _act(self, action: Action, now: float, message: Request | Response | None) -> None:
        settings = self._around.settings
        unreliable = not self.flow.reliable
        match action:
            case Action.SEND:
                if message is not None:
                    self._send(message, now)
            case Action.RESEND:
                if self._last:
                    self._around.send(self.flow, self._last, now)
            case Action.SEND_ACK:
                self._send_ack(message, now)
            case Action.SEND_TRYING:
                self._send(respond(self.request, 100), now)
            case Action.STOP_TRYING:
                self._around.timers.stop(self, Input.TIMER_TRYING)
            case Action.PASS_UP:
                self._pass_up(message, now)
            case Action.REPORT_TIMEOUT:
                self.on_failure(Failure.TIMEOUT, now)
            case Action.REPORT_TRANSPORT:
                self.on_failure(Failure.TRANSPORT, now)
            case Action.START_A:  # doubles without a bound of its own: timer B ends it
                if unreliable:
                    self._start(Input.TIMER_A, now, self._next_pause(settings.timeout_s))
            case Action.START_E:
                if unreliable:
                    self._start(Input.TIMER_E, now, self._next_pause(settings.t2_s))
            case Action.START_E_SLOW:
                if unreliable:
                    self._start(Input.TIMER_E, now, settings.t2_s)
            case Action.START_G:
                if unreliable:
                    self._start(Input.TIMER_G, now, self._next_pause(settings.t2_s))
            case Action.START_D:
                self._start(Input.TIMER_D, now, settings.timeout_s if unreliable else 0.0)
            case Action.START_I:
                self._start(Input.TIMER_I, now, settings.t4_s if unreliable else 0.0)
            case Action.START_J:
                self._start(Input.TIMER_J, now, settings.timeout_s if unreliable else 0.0)
            case Action.START_K:
                self._start(Input.TIMER_K, now, settings.t4_s if unreliable else 0.0)
            case Action.START_B:
                self._start(Input.TIMER_B, now, settings.timeout_s)
            case Action.START_F:
                self._start(Input.TIMER_F, now, settings.timeout_s)
            case Action.START_H:
                self._start(Input.TIMER_H, now, settings.timeout_s)
            case Action.START_L:
                self._start(Input.TIMER_L, now, settings.timeout_s)
            case Action.START_M:
                self._start(Input.TIMER_M, now, settings.timeout_s)
            case Action.START_TRYING:
                self._start(Input.TIMER_TRYING, now, settings.trying_s)
            case Action.START_ABANDON:
                self._start(Input.TIMER_ABANDON, now, settings.timeout_s)

    def _start(self, timer: Input, now: float, seconds: float) -> None:
        if seconds:
            self._around.timers.start(self, timer, now + seconds)
        else:
            self._step(timer, now)

    def _send_ack(self, response: Request | Response | None, now: float) -> None:
        raise LocalProtocolError("only a client transaction sends ACK")

    @abstractmethod
    def _pass_up(self, message: Request | Response | None, now: float) -> None: ...

    def _let_go(self) -> None:
        """Know no user any more, who knows this transaction: neither could be forgotten at once."""
        self.on_failure = ignore_failure

    def _send(self, message: Request | Response, now: float) -> None:
        self._last = message.serialise()
        self._around.send(self.flow, self._last, now)

    def _next_pause(self, longest_s: float) -> float:
        doubled = self._pause_s * 2 or self._around.settings.t1_s
        self._pause_s = min(doubled, longest_s)
        return self._pause_s


class ClientTransaction(Transaction):
    """A request of ours on its way. `start` sends it."""

    def __init__(
        self,
        request: Request,
        flow: Flow,
        surroundings: Surroundings,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[Failure, float], None],
    ) -> None:
        super().__init__(request, flow, surroundings)
        invite = request.method == "INVITE"
        self.table = INVITE_CLIENT if invite else CLIENT
        self.state = State.CALLING if invite else State.TRYING
        self.on_response = on_response
        self.on_failure = on_failure

    def start(self, now: float) -> None:
        """Send the request."""
        self._step(Input.REQUEST, now, self.request)

    def receive(self, response: Response, now: float) -> None:
        """Take a response that was matched to this transaction (RFC 3261 §17.1.3)."""
        self._step(_response_input(response.status), now, response)

    def abandon(self, now: float) -> None:
        """Wait no more for an answer (INVITE only); the failure hook is not called."""
        self._step(Input.ABANDON, now)

    @property
    def is_answered(self) -> bool:
        """Whether a final response came, or none will."""
        return self.state not in (State.CALLING, State.TRYING, State.PROCEEDING)

    def _pass_up(self, message: Request | Response | None, now: float) -> None:
        if isinstance(message, Response):
            self.on_response(message, now)

    def _let_go(self) -> None:
        super()._let_go()
        self.on_response = _ignore

    def _send_ack(self, response: Request | Response | None, now: float) -> None:
        if isinstance(response, Response):
            self._around.send(self.flow, self._ack(response).serialise(), now)

    def _ack(self, response: Response) -> Request:
        """The ACK of a 3xx-6xx, hop by hop (RFC 3261 §17.1.1.3)."""
        sent = self.request
        headers = Headers()
        headers.add("Via", str(sent.via))
        headers.add("Max-Forwards", "70")
        for route in sent.headers.get_all("Route"):
            headers.add("Route", route)
        headers.add("From", sent.headers.get("From") or "")
        headers.add("To", response.headers.get("To") or "")
        headers.add("Call-ID", sent.call_id)
        headers.add("CSeq", str(CSeq(sent.cseq.number, "ACK")))
        return Request("ACK", sent.uri, headers)


class ServerTransaction(Transaction):
    """A request of the far end, and our answers to it."""

    def __init__(
        self,
        id: str,
        request: Request,
        flow: Flow,
        surroundings: Surroundings,
        *,
        source: Flow,
        to_tag: str,
    ) -> None:
        super().__init__(request, flow, surroundings)
        invite = request.method == "INVITE"
        self.id = id
        self.source = source
        """Where the request came from; `flow` is where its answers go."""
        self.to_tag = to_tag
        """What our answers add to a To without a tag."""
        self.table = INVITE_SERVER if invite else SERVER
        self.state = State.PROCEEDING if invite else State.TRYING
        self.on_ack: Callable[[Request, float], None] = _ignore
        """Told of an ACK with the branch of an INVITE that was answered 2xx."""
        self.on_cancel: Callable[[Request, float], None] = _ignore
        """Told of a CANCEL, which is answered already, while no final response is out."""

    def start(self, now: float) -> None:
        """The request came."""
        self._step(Input.CREATED, now)

    def receive(self, request: Request, now: float) -> None:
        """Take a repeated request, or the ACK, that was matched to it (RFC 3261 §17.2.3)."""
        self._step(Input.ACK if request.method == "ACK" else Input.REQUEST, now, request)

    def respond(self, response: Response, now: float) -> None:
        """Send a response; one that the state does not allow is discarded (RFC 3261 §17.2.1)."""
        self._step(_response_input(response.status), now, response)

    def flow_closed(self, now: float) -> None:
        """The flow is gone. An answer may have another way, over a new connection (§18.2.2)."""
        flow = self.flow
        if flow.connection and flow.transport.is_stream:
            self.flow = flow.at(flow.host, self.request.via.port or flow.transport.default_port)
        else:
            self.flow_failed(now)

    @property
    def is_answered(self) -> bool:
        """Whether a final response went out, or none can."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def _pass_up(self, message: Request | Response | None, now: float) -> None:
        if isinstance(message, Request):
            self.on_ack(message, now)

    def _let_go(self) -> None:
        super()._let_go()
        self.on_ack = self.on_cancel = _ignore


def _response_input(status: int) -> Input:
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE
