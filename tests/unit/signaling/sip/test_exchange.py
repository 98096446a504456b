"""Challenges of our requests (RFC 3261 §22.2), and to whom we prove nothing (S15)."""

from __future__ import annotations

import pytest

from signaling.sip.auth import DigestCredentials
from signaling.sip.events import Ended, ReinviteCompleted, RequestCompleted
from signaling.sip.message import Request
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.peer import ALICE, BOB, CONTACT, FAR, WS, Peer

pytestmark = pytest.mark.unit

MINE = DigestCredentials("bob", "example.com", "secret")
SECRET_HEADERS = ("Authorization", "Proxy-Authorization")


def challenge(
    status: int = 407, realm: str = "example.com", nonce: str = "n1", more: str = ""
) -> tuple[tuple[str, str], ...]:
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    return ((name, f'Digest realm="{realm}", nonce="{nonce}", qop="auth"{more}'),)


def proofs(peer: Peer) -> list[str]:
    """Methods of all that went out with credentials."""
    return [
        message.method
        for message in peer.out
        if isinstance(message, Request) and any(name in message.headers for name in SECRET_HEADERS)
    ]


def ask(peer: Peer, credentials: DigestCredentials | None = MINE) -> None:
    peer.do(
        peer.stack.request,
        OutOfDialogRequest(
            method="MESSAGE",
            target=Uri.parse("sip:192.0.2.1"),
            from_=BOB,
            to=ALICE,
            body=b"hello",
            content_type="text/plain",
            credentials=credentials,
        ),
        peer.flow,
    )


@pytest.mark.parametrize(
    ("status", "header"), [(401, "Authorization"), (407, "Proxy-Authorization")]
)
def test_challenged_request_goes_out_again_with_credentials(
    peer: Peer, status: int, header: str
) -> None:
    ask(peer)
    first = peer.requests()[-1]
    peer.answer(status, headers=challenge(status))
    second = peer.requests()[-1]
    assert header in second.headers
    assert (second.call_id, second.from_, second.body) == (first.call_id, first.from_, b"hello")
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert first.via.branch != second.via.branch
    peer.answer(200)
    (completed,) = peer.told(RequestCompleted)
    assert completed.status == 200
    assert completed.response is not None
    peer.assert_idle()


def test_refused_credentials_are_not_given_again(peer: Peer) -> None:
    ask(peer)
    for nonce in ("n1", "n2", "n3"):
        peer.answer(401, headers=challenge(401, nonce=nonce))
    assert len(proofs(peer)) == 1
    assert [done.status for done in peer.told(RequestCompleted)] == [401]


def test_stale_nonce_is_tried_once_more_and_no_oftener(peer: Peer) -> None:
    ask(peer)
    peer.answer(401, headers=challenge(401))
    for nonce in ("n2", "n3", "n4"):
        peer.answer(401, headers=challenge(401, nonce=nonce, more=", stale=true"))
    assert len(proofs(peer)) == 2
    assert len(peer.requests()) == 3


@pytest.mark.parametrize(
    "credentials",
    [
        None,
        DigestCredentials("bob", "other.example.com", "secret"),
        DigestCredentials("bob", "example.com", "secret", host="192.0.2.200"),
    ],
    ids=["none", "other realm", "other host"],
)
def test_credentials_stay_with_their_realm_and_host(
    peer: Peer, credentials: DigestCredentials | None
) -> None:
    ask(peer, credentials)
    peer.answer(401, headers=challenge(401))
    assert proofs(peer) == []
    assert [done.status for done in peer.told(RequestCompleted)] == [401]


def test_host_of_the_first_route_counts(peer: Peer) -> None:
    credentials = DigestCredentials("bob", "example.com", "secret", host="192.0.2.50")
    route = ALICE.parse("<sip:192.0.2.50;lr>")
    peer.call(credentials=credentials, routes=[route])
    peer.answer(407, headers=challenge())
    assert proofs(peer) == ["INVITE"]


def test_unanswered_request_is_408_and_a_lost_flow_503() -> None:
    peer = Peer()
    ask(peer)
    peer.run(33)
    (completed,) = peer.told(RequestCompleted)
    assert (completed.status, completed.response, completed.error) == (408, None, None)
    peer = Peer(WS)
    ask(peer)
    peer.stack.flow_closed(WS, peer.now)
    peer.drain()
    (completed,) = peer.told(RequestCompleted)
    assert (completed.status, completed.response) == (503, None)
    assert completed.error is not None


# -- sessions -----------------------------------------------------------------------------------


def test_challenged_invite_goes_on_as_one_session(peer: Peer) -> None:
    """Its ACK of the 2xx has the same credentials (§22.1) and the number of the second INVITE."""
    session = peer.call(credentials=MINE)
    peer.answer(407, headers=challenge())
    invite = peer.requests()[-1]
    peer.answer(180, to=invite)
    peer.answer(200, to=invite, sdp=b"answer")
    ack = peer.last()
    assert isinstance(ack, Request)
    assert ack.cseq.number == 2
    name = "Proxy-Authorization"
    assert ack.headers.get(name) == invite.headers.get(name) != None  # noqa: E711
    peer.do(session.bye)
    bye = peer.last()
    assert bye.cseq.number == 3
    assert name not in bye.headers


def test_wrong_password_ends_the_call(peer: Peer) -> None:
    peer.call(credentials=MINE)
    peer.answer(407, headers=challenge())
    peer.answer(407, headers=challenge(nonce="n2"))
    assert peer.told(Ended) == [Ended(True, 407, "Proxy Authentication Required")]
    assert proofs(peer) == ["INVITE"]
    peer.assert_idle()


def test_challenge_after_ringing_is_the_called_partys(peer: Peer) -> None:
    """S15: a 180 says that the proxy let the INVITE through."""
    peer.call(credentials=MINE)
    peer.answer(180)
    peer.answer(407, headers=challenge())
    assert proofs(peer) == []
    assert peer.told(Ended)[0].status == 407


def through_a_proxy(peer: Peer, credentials: DigestCredentials) -> object:
    """A call by way of a proxy at 192.0.2.1 to a phone at 192.0.2.66."""
    session = peer.call(credentials=credentials)
    peer.answer(407, headers=challenge())
    invite = peer.requests()[-1]
    invite.headers.add("Record-Route", "<sip:192.0.2.1;lr>")
    contact = ("Contact", "<sip:mallory@192.0.2.66>")
    peer.answer(200, to=invite, sdp=b"answer", headers=(contact,))
    peer.ladder()
    return session


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("realm", ["example.com", "mallory.example"])
@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE"])
def test_called_party_draws_no_credentials_from_us(
    peer: Peer, status: int, realm: str, method: str
) -> None:
    """S15: it answers our request in the dialog with a challenge, new nonce each time."""
    session = through_a_proxy(peer, MINE)
    match method:
        case "BYE":
            peer.do(session.bye)  # type: ignore[attr-defined]
        case "INFO":
            peer.do(session.info, "text/plain", b"?")  # type: ignore[attr-defined]
        case _:
            peer.do(session.reinvite, b"hold")  # type: ignore[attr-defined]
    for nonce in ("n7", "n8"):
        peer.answer(status, headers=challenge(status, realm, nonce))
    assert proofs(peer) == []
    assert [message.method for message in peer.requests()] == [method]


def test_direct_callee_elsewhere_draws_no_credentials_either(peer: Peer) -> None:
    session = peer.call(credentials=MINE)
    peer.answer(200, sdp=b"answer", headers=(("Contact", "<sip:mallory@192.0.2.66>"),))
    peer.do(session.bye)
    peer.answer(401, headers=challenge(401))
    assert proofs(peer) == []


def test_server_that_is_the_far_end_itself_may_challenge_in_the_dialog(peer: Peer) -> None:
    """A back-to-back user agent: the Contact is the server, with nobody between."""
    session = peer.call(credentials=MINE)
    peer.answer(407, headers=challenge())
    peer.answer(200, sdp=b"answer", headers=(CONTACT,))
    operation = peer.do(session.reinvite, b"hold")
    peer.answer(407, headers=challenge(nonce="n2"))
    peer.answer(200, sdp=b"held")
    assert peer.told(ReinviteCompleted) == [ReinviteCompleted(operation, 200, b"held")]
    peer.do(session.bye)
    peer.answer(401, headers=challenge(401, nonce="n3"))
    peer.answer(200)
    assert proofs(peer) == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
    peer.assert_idle()


def test_proxy_that_challenges_in_the_dialog_needs_the_setting(peer: Peer) -> None:
    credentials = DigestCredentials("bob", "example.com", "secret", in_dialog=True)
    session = through_a_proxy(peer, credentials)
    peer.do(session.bye)  # type: ignore[attr-defined]
    peer.answer(407, headers=challenge(nonce="n2"))
    assert proofs(peer) == ["BYE"]


def test_sessions_that_came_to_us_have_no_credentials(peer: Peer) -> None:
    session = peer.established_incoming()
    peer.do(session.bye)
    peer.answer(401, headers=challenge(401))
    assert proofs(peer) == []
    assert FAR in peer.flows
    peer.assert_idle()
