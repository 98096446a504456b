"""A far end that knows our dialogs and garbles what it says: nothing raises, everything ends."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from signaling.sip.events import Ended
from signaling.sip.invite import InviteUsage
from signaling.sip.message import Request, respond
from tests.unit.signaling.sip.peer import CONTACT, Peer

pytestmark = pytest.mark.unit

PIECES = (
    *(b"\r", b"\n", b"\0", b"\r\n", b"\r\n ", b" ", b'"', b"<", b">", b";", b",", b"@", b":", b"["),
    *(b"\xff", b"%00", b";tag=x", b"SIP/2.0 ", b"sip:", b"\r\nContact: *", b"\r\nRecord-Route: x"),
    *(b"\r\nRoute: <sip:x>", b"\r\nReason: ;", b"\r\nExpires: -1", b"99999999999", b"200", b"491"),
)


def garbled(random: Random, octets: bytes) -> bytes:
    text = bytearray(octets)
    for _ in range(random.randint(0, 3)):
        place = random.randrange(len(text))
        match random.randrange(3):
            case 0:
                text[place : place + 1] = bytes([random.randrange(256)])
            case 1:
                text[place:place] = random.choice(PIECES)
            case _:
                del text[place : place + random.randint(1, 8)]
    return bytes(text)


def an_answer(random: Random, peer: Peer) -> bytes | None:
    """To one of the last things that we asked."""
    asked = [message for message in peer.out[-6:] if isinstance(message, Request)]
    if not asked:
        return None
    status = random.choice((100, 180, 183, 200, 200, 202, 302, 401, 407, 408, 481, 487, 491, 500))
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')
    return respond(
        random.choice(asked),
        status,
        to_tag=random.choice(("t1", "t2")),
        headers=[CONTACT, challenge, ("Proxy-Authenticate", challenge[1])],
        body=random.choice((b"", b"sdp")),
        content_type="application/sdp",
    ).serialise()


def a_request(random: Random, peer: Peer, session: InviteUsage, cseq: int) -> bytes:
    method = random.choice(("INVITE", "ACK", "BYE", "INFO", "OPTIONS", "CANCEL", "UPDATE", "NEW"))
    return peer.in_dialog(
        method,
        session,
        cseq=random.choice((1, cseq, cseq, 2**32 - 1)),
        from_tag=session.remote.tag,
        headers=(("Content-Type", "application/sdp"),),
        body=b"sdp",
    ).serialise()


def something_of_ours(random: Random, session: InviteUsage) -> Callable[..., object]:
    return random.choice(
        (
            lambda now: session.is_confirmed and session.reinvite(b"x", now=now),
            lambda now: session.is_confirmed and session.info("text/plain", b"x", now=now),
            lambda now: session.answer_reinvite(b"x", now=now),
            lambda now: session.reject_reinvite(488, now=now),
            lambda now: session.hang_up(now=now) if random.random() < 0.1 else None,
        )
    )


@pytest.mark.parametrize("seed", range(40))
def test_garbled_messages_raise_nothing_and_leave_nothing(seed: int) -> None:
    random = Random(seed)
    peer = Peer()
    session = random.choice(
        (peer.call, peer.incoming, peer.established_call, peer.established_incoming)
    )()
    for cseq in range(2, 40):
        octets = (
            an_answer(random, peer)
            if random.random() < 0.5
            else a_request(random, peer, session, cseq)
        )
        if octets is not None:
            peer.stack.receive_message(garbled(random, octets), peer.flow, peer.now)
            peer.stack.take_output()
            peer.events += peer.stack.take_events()
        peer.do(something_of_ours(random, session))
        peer.run(random.choice((0, 0, 0.6)))
    peer.run(200)
    peer.do(session.hang_up)
    peer.assert_idle()
    assert [type(event) for event in peer.session_events()].count(Ended) == 1
