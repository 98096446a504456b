"""Stacks on a virtual network in virtual time: what is sent arrives late, or as `faults` says."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import TypeVar

from signaling.errors import TransportError
from signaling.sip.events import (
    Event,
    RegistrationChanged,
    RequestReceived,
    SessionChanged,
    SessionEvent,
)
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.invite import InviteUsage
from signaling.sip.message import Message, Request, Response, parse_message
from signaling.sip.stack import Stack, StackConfig
from signaling.sip.uri import Uri

T = TypeVar("T")
DELAY_S = 0.01
OFFER = b"v=0\r\noffer\r\n"
ANSWER = b"v=0\r\nanswer\r\n"


def summary(message: Message) -> str:
    """`INVITE`, or `180 INVITE` for a response to it."""
    if isinstance(message, Request):
        return message.method
    assert isinstance(message, Response)
    return f"{message.status} {message.cseq.method}"


class Party:
    """One stack, its address, and what it was told."""

    def __init__(self, network: Network, name: str, host: str, **config: object) -> None:
        self.network = network
        self.name = name
        self.host = host
        self.port = 5060
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] | None = None
        self.sent: list[Message] = []
        settings: dict[str, object] = {
            "local_uri": self.local_uri,
            "user_agent": "",
            "random": Random(name),
        }
        self.stack = Stack(StackConfig(**(settings | config)))  # type: ignore[arg-type]

    @property
    def address(self) -> NameAddr:
        return NameAddr("", Uri.parse(f"sip:{self.name}@{self.host}"))

    @property
    def uri(self) -> Uri:
        return Uri.parse(f"sip:{self.name}@{self.host}:{self.port}")

    def local_uri(self, flow: Flow, user: str | None) -> Uri:
        if flow.transport is TransportKind.UDP:
            return Uri("sip", user, host=self.host, port=self.port)
        return Uri("sip", user, host=f"{self.name}.invalid", parameters=(("transport", "ws"),))

    # -- what happened --------------------------------------------------------------------------

    def told(self, kind: type[T]) -> list[T]:
        """Events of one kind, session and registration events unwrapped."""
        found = []
        for event in self.events:
            inner = (
                event.event if isinstance(event, SessionChanged | RegistrationChanged) else event
            )
            if isinstance(inner, kind):
                found.append(inner)
        return found

    def session_events(self) -> list[SessionEvent]:
        return [event.event for event in self.events if isinstance(event, SessionChanged)]

    # -- acting ---------------------------------------------------------------------------------

    def call(self, other: Party, sdp: bytes | None = OFFER, **kwargs: object) -> InviteUsage:
        session = self.stack.invite(
            other.uri,
            kwargs.pop("flow", None) or self.network.flow(self, other),  # type: ignore[arg-type]
            from_=self.address,
            to=other.address,
            sdp=sdp,
            now=self.network.now,
            **kwargs,  # type: ignore[arg-type]
        )
        self.network.drain(self)
        return session

    def incoming(self) -> InviteUsage:
        """Open the session of the INVITE that came last."""
        received = self.told(RequestReceived)[-1]
        session = self.stack.open_session(received.transaction, now=self.network.now)
        assert session is not None
        self.network.drain(self)
        return session

    def do(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call a method that takes `now`, then drain."""
        result = act(*args, now=self.network.now, **kwargs)
        self.network.drain(self)
        return result


Faults = Callable[[str, str, str, int], list[float]]
"""(from, to, summary, how many such were before) to delays of the copies that arrive."""


def no_faults(source: str, target: str, what: str, before: int) -> list[float]:
    return [DELAY_S]


def drop(*lost: tuple[str, int]) -> Faults:
    """Lose the given messages: (summary, times)."""
    times = dict(lost)

    def faults(source: str, target: str, what: str, before: int) -> list[float]:
        return [] if before < times.get(what, 0) else [DELAY_S]

    return faults


class Network:
    """Parties by name; messages in flight; the clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.faults: Faults = no_faults
        self.parties: list[Party] = []
        self.ladder: list[str] = []
        """`alice > bob: INVITE`, as sent."""
        self.arrived: list[str] = []
        self._flight: list[tuple[float, int, Party, Flow, bytes]] = []
        self._connections: dict[int, tuple[Party, Party]] = {}
        self._sent: dict[tuple[str, str, str], int] = {}
        self._count = 0

    def party(self, name: str, **config: object) -> Party:
        party = Party(self, name, f"192.0.2.{len(self.parties) + 1}", **config)
        self.parties.append(party)
        return party

    def flow(self, source: Party, target: Party) -> Flow:
        """The datagram flow between two."""
        return Flow(TransportKind.UDP, target.host, target.port, "udp")

    def connect(self, client: Party, server: Party) -> Flow:
        """A WebSocket; returns the client's end."""
        self._count += 1
        number = self._count
        self._connections[number] = client, server
        return Flow(TransportKind.WS, server.host, 80, "ws", number)

    def disconnect(self, flow: Flow) -> None:
        """Both ends learn that the connection is gone."""
        ends = self._connections.pop(flow.connection)
        for party, peer in (ends, ends[::-1]):
            party.stack.flow_closed(self._as_seen(party, peer, flow.connection), self.now)
            self.drain(party)

    def _as_seen(self, party: Party, peer: Party, connection: int) -> Flow:
        return Flow(TransportKind.WS, peer.host, 80, "ws", connection)

    def drain(self, party: Party) -> None:
        for flow, octets in party.stack.take_output():
            self._transmit(party, flow, octets)
        fresh = party.stack.take_events()
        party.events += fresh
        if party.on_event is not None:
            for event in fresh:
                party.on_event(event)

    def _transmit(self, source: Party, flow: Flow, octets: bytes) -> None:
        message = parse_message(octets)
        source.sent.append(message)
        if flow.connection:
            ends = self._connections.get(flow.connection)
            if ends is None:
                source.stack.flow_closed(flow, self.now, TransportError("the socket is closed"))
                self.drain(source)
                return
            target = ends[1] if ends[0] is source else ends[0]
            arrival = self._as_seen(target, source, flow.connection)
        else:
            found = [party for party in self.parties if party.host == flow.host]
            if not found:
                return
            target = found[0]
            arrival = Flow(TransportKind.UDP, source.host, source.port, "udp")
        what = summary(message)
        key = source.name, target.name, what
        before = self._sent.get(key, 0)
        self._sent[key] = before + 1
        self.ladder.append(f"{source.name} > {target.name}: {what}")
        delays = [DELAY_S] if flow.connection else self.faults(*key, before)
        for delay in delays:
            self._count += 1
            heapq.heappush(self._flight, (self.now + delay, self._count, target, arrival, octets))

    def run(self, seconds: float = 1e9) -> None:
        """Let time pass until nothing moves, or for so long."""
        end = self.now + seconds
        for party in self.parties:
            self.drain(party)
        while True:
            times = [self._flight[0][0]] if self._flight else []
            times += [
                deadline
                for party in self.parties
                if (deadline := party.stack.next_deadline()) is not None
            ]
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            while self._flight and self._flight[0][0] <= self.now:
                _, _, target, flow, octets = heapq.heappop(self._flight)
                target.stack.receive_message(octets, flow, self.now)
                self.drain(target)
            for party in self.parties:
                party.stack.handle_timer(self.now)
                self.drain(party)
        if seconds < 1e8:
            self.now = end

    def assert_idle(self) -> None:
        """After everything nothing is left."""
        self.run()
        assert [party.stack for party in self.parties if not party.stack.is_idle] == []


def auto_answer(party: Party, *, ring: bool = True, sdp: bytes = ANSWER) -> list[InviteUsage]:
    """Let a party answer every call; returns the sessions as they come."""
    sessions: list[InviteUsage] = []

    def handle(event: Event) -> None:
        if isinstance(event, RequestReceived) and event.request.method == "INVITE":
            session = party.stack.open_session(event.transaction, now=party.network.now)
            if session is None:
                return
            sessions.append(session)
            if ring:
                session.ring(now=party.network.now)
            session.accept(sdp, now=party.network.now)
            party.network.drain(party)

    party.on_event = handle
    return sessions
