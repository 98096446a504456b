"""One stack, and a far end that is played message by message."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from signaling.sip.auth import DigestCredentials
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
from signaling.sip.message import Message, Request, Response, parse_message, respond
from signaling.sip.stack import Stack, StackConfig
from signaling.sip.stun import is_stun
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.network import summary

T = TypeVar("T")
FAR = Flow(TransportKind.UDP, "192.0.2.1", 5060, "udp")
"""Where the far end is: Alice of `messages.request`."""
WS = Flow(TransportKind.WS, "192.0.2.1", 80, "ws", 1)
ALICE = NameAddr.parse("<sip:alice@192.0.2.1>")
BOB = NameAddr.parse("<sip:bob@192.0.2.2>")
CONTACT = ("Contact", "<sip:alice@192.0.2.1:5060>")


def local_uri(flow: Flow, user: str | None) -> Uri:
    return Uri("sip", user, host="192.0.2.2", port=5060)


class Peer:
    """The stack is Bob's, at 192.0.2.2."""

    def __init__(self, flow: Flow = FAR, **config: object) -> None:
        self.flow = flow
        self.now = 0.0
        self.out: list[Message] = []
        self.flows: list[Flow] = []
        self.events: list[Event] = []
        settings: dict[str, object] = {
            "local_uri": local_uri,
            "user_agent": "",
            "random": Random(7),
        }
        self.stack = Stack(StackConfig(**(settings | config)))  # type: ignore[arg-type]

    # -- doing ----------------------------------------------------------------------------------

    def drain(self) -> None:
        for flow, octets in self.stack.take_output():
            if octets == b"\r\n\r\n" or is_stun(octets):
                continue
            self.out.append(parse_message(octets))
            self.flows.append(flow)
        self.events += self.stack.take_events()

    def do(self, act: Callable[..., T], *args: object, **kwargs: object) -> T:
        result = act(*args, now=self.now, **kwargs)
        self.drain()
        return result

    def receive(self, message: Message | bytes, flow: Flow | None = None) -> None:
        octets = message if isinstance(message, bytes) else message.serialise()
        self.stack.receive_message(octets, flow or self.flow, self.now)
        self.drain()

    def receive_stun(self, octets: bytes) -> None:
        self.stack.receive_message(octets, self.flow, self.now)
        self.drain()

    def run(self, seconds: float = 1e6) -> None:
        end = self.now + seconds
        while (deadline := self.stack.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.stack.handle_timer(deadline)
            self.drain()
        if seconds < 1e6:
            self.now = end

    def call(
        self,
        sdp: bytes | None = b"offer",
        credentials: DigestCredentials | None = None,
        **kwargs: object,
    ) -> InviteUsage:
        """Bob calls Alice."""
        return self.do(
            self.stack.invite,
            Uri.parse("sip:alice@192.0.2.1"),
            self.flow,
            from_=BOB,
            to=ALICE,
            sdp=sdp,
            credentials=credentials,
            **kwargs,
        )

    def answer(
        self,
        status: int,
        *,
        to: Request | None = None,
        tag: str | None = "t1",
        sdp: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (CONTACT,),
    ) -> Response:
        """Alice answers the last request that is not an ACK, or the given one."""
        asked = to or self.requests()[-1]
        response = respond(
            asked,
            status,
            to_tag=tag,
            headers=headers,
            body=sdp,
            content_type="application/sdp" if sdp else None,
        )
        self.receive(response)
        return response

    def established_call(self, **kwargs: object) -> InviteUsage:
        """Bob called, Alice answered."""
        session = self.call(**kwargs)  # type: ignore[arg-type]
        self.answer(200, sdp=b"answer")
        return session

    def incoming(
        self, sdp: bytes = b"offer", flow: Flow | None = None, **fields: object
    ) -> InviteUsage:
        """Alice calls Bob, who lets the INVITE proceed."""
        headers = fields.pop("headers", ())
        headers += (("Content-Type", "application/sdp"),) if sdp else ()  # type: ignore[operator]
        self.receive(request(headers=headers, body=sdp, **fields), flow)  # type: ignore[arg-type]
        session = self.do(self.stack.open_session, self.told(RequestReceived)[-1].transaction)
        assert session is not None
        return session

    def established_incoming(self, **kwargs: object) -> InviteUsage:
        """Alice called, Bob answered, Alice acknowledged."""
        session = self.incoming(**kwargs)  # type: ignore[arg-type]
        self.do(session.accept, b"answer")
        self.receive(self.in_dialog("ACK", session, cseq=1))
        return session

    def in_dialog(
        self, method: str, session: InviteUsage, *, cseq: int = 2, **fields: object
    ) -> Request:
        """A request of Alice in the session's dialog."""
        tags = {"from_tag": session.remote.tag or None, "to_tag": session.local.tag}
        branch = {"branch": f"z9hG4bK{method}{cseq}"}
        settings: dict[str, object] = tags | branch
        settings |= {"cseq": cseq, "call_id": session.call_id} | fields
        return request(method, **settings)  # type: ignore[arg-type]

    # -- seeing ---------------------------------------------------------------------------------

    def ladder(self) -> list[str]:
        """What went out since it was asked last."""
        seen = [summary(message) for message in self.out]
        self.out.clear()
        self.flows.clear()
        return seen

    def requests(self) -> list[Request]:
        return [m for m in self.out if isinstance(m, Request) and m.method != "ACK"]

    def last(self) -> Message:
        return self.out[-1]

    def told(self, kind: type[T]) -> list[T]:
        """Events of one kind, session and registration events unwrapped."""
        found: list[T] = []
        for event in self.events:
            inner = (
                event.event if isinstance(event, SessionChanged | RegistrationChanged) else event
            )
            if isinstance(inner, kind):
                found.append(inner)
        return found

    def session_events(self) -> list[SessionEvent]:
        return [event.event for event in self.events if isinstance(event, SessionChanged)]

    def assert_idle(self) -> None:
        self.run()
        assert self.stack.is_idle, self.stack
