"""Mutants of real messages, of strangers and in calls that live: SipParseError or nothing (P7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

import pytest

from signaling.errors import SipParseError
from signaling.sip.auth import DigestClient, DigestCredentials, DigestServer, ha1
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.framing import KeepAlive, StreamFramer
from signaling.sip.headers import AuthChallenge, AuthCredentials, CSeq, NameAddr, Via
from signaling.sip.message import Message, Response, respond
from signaling.sip.uri import Uri
from tests.fuzzing import BUDGET, fuzz
from tests.unit.signaling.sip.messages import request
from tests.unit.signaling.sip.peer import FAR, Peer
from tests.vectors.rfc4475_outcomes import ROWS

pytestmark = [pytest.mark.unit, pytest.mark.timeout(120)]

TORTURE = [row.octets for row in ROWS]
LINES = sorted({line for octets in TORTURE for line in octets.split(b"\r\n") if line})
URIS = [
    b"sip:alice:secret@[2001:db8::1]:5060;transport=udp;lr?Subject=x&Replaces=a%40b",
    b"sips:%61lice@EXAMPLE.com;maddr=192.0.2.1;ttl=1;user=phone;method=INVITE",
    b"tel:+1-201-555-0123;phone-context=example.com;isub=1",
]
DIGESTS = [
    (
        b'Digest username="6001", realm="example.com", nonce="1.2.3", uri="sip:example.com", '
        b'response="0123456789abcdef0123456789abcdef", algorithm=MD5, cnonce="0a4f", qop=auth, '
        b"nc=00000001"
    ),
    b'Digest realm="example.com", nonce="1.2", qop="auth,auth-int", algorithm=SHA-256, stale=TRUE',
    b"NTLM abcd==",
]
STREAM = Flow(TransportKind.TLS, FAR.host, FAR.port, "tls", 1)
_TURN = 500
"""Mutants after which time passes, so that what they have begun ends."""


def text(octets: bytes) -> str:
    """Header text as the parser gives it."""
    return octets.decode("utf-8", "surrogateescape")


def every(read: Sequence[Callable[[str], object]], octets: bytes) -> None:
    for reader in read:
        with suppress(SipParseError):
            reader(text(octets))


class Target:
    """A stack with a call each way, and what was said in them as the corpus."""

    def __init__(self, flow: Flow = FAR) -> None:
        self.peer = Peer(flow, max_transactions=100)
        self.count = 0
        out = self.peer.established_call()
        incoming = self.peer.established_incoming()
        self.peer.do(out.info, "text/plain", b"?")
        self.peer.do(incoming.reinvite, b"offer")
        said = [message for message in self.peer.out if not isinstance(message, Response)]
        answers = [respond(message, 200, to_tag="t1") for message in said]  # type: ignore[arg-type]
        self.corpus = [
            *TORTURE,
            *(message.serialise() for message in (*self.peer.out, *answers)),
            *(request(method).serialise() for method in ("OPTIONS", "REGISTER", "BYE", "CANCEL")),
        ]

    def take(self, octets: bytes, message: Message | SipParseError | None = None) -> None:
        """Octets as they came; `message` is what a framer has made of them."""
        self.peer.stack.receive_message(octets, self.peer.flow, self.peer.now, message)
        self.peer.stack.take_output()
        self.peer.stack.take_events()
        self.count += 1
        if self.count % _TURN == 0:
            self.peer.now += 64.0
            self.peer.stack.handle_timer(self.peer.now)
            self.peer.stack.take_output()
            self.peer.stack.take_events()
            assert self.peer.stack.transaction_count <= 2 * _TURN


@BUDGET
def test_p7_datagrams(seconds: float) -> None:
    target = Target()
    fuzz(target.take, target.corpus, seconds)


@BUDGET
def test_p7_streams_in_pieces(seconds: float) -> None:
    target = Target(STREAM)
    chance = Random(1)

    def feed(octets: bytes) -> None:
        framer = StreamFramer()
        while octets:
            piece = chance.choice((1, 7, 100, len(octets)))
            for framed, raw in framer.receive_frames(octets[:piece]):
                if not isinstance(framed, KeepAlive):
                    target.take(raw, framed)
            octets = octets[piece:]

    fuzz(feed, target.corpus, seconds)


@BUDGET
def test_p7_addresses(seconds: float) -> None:
    def read(octets: bytes) -> None:
        with suppress(SipParseError):
            uri = Uri.parse(text(octets))
            assert Uri.parse(str(uri)) == uri
            uri.equivalent(uri.for_request())
        every((NameAddr.parse_many, Via.parse_many, CSeq.parse), octets)

    fuzz(read, [*URIS, *LINES], seconds)


@BUDGET
def test_p7_digests(seconds: float) -> None:
    """Credentials at a server, challenges at a client."""
    server = DigestServer("example.com", b"s", random=Random(1))
    client = DigestClient(DigestCredentials("6001", None, "secret"), Random(1))
    secrets = [("MD5", ha1("6001", "example.com", "secret"))]

    def read(octets: bytes) -> None:
        with suppress(SipParseError):
            given = [AuthCredentials.parse(text(octets))]
            server.username(given)
            server.verify("REGISTER", "sip:example.com", given, secrets, "192.0.2.1", 1.0)
        with suppress(SipParseError):
            AuthChallenge.parse(text(octets))
        challenged = respond(request("REGISTER"), 401, to_tag="t")
        line = text(octets).replace("\r", " ").replace("\n", " ")  # no header has them
        challenged.headers.add("WWW-Authenticate", line)
        if client.take_challenge(challenged):
            client.authorise("REGISTER", "sip:example.com")

    fuzz(read, DIGESTS, seconds)
