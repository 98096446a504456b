"""A call of PJSIP's, as the legs see it: what is asked of its process, and what that tells."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from endpoint.errors import MediaError
from endpoint.legs.base import Cause, DigitKind, Side
from endpoint.legs.cause import ProcessLost, cause_of_end
from endpoint.legs.pjsipsession import PjsipSession
from endpoint.legs.terms import LOCAL_L16
from endpoint.media.messages import Command, Done
from endpoint.media.pjsip import messages as w
from signaling.errors import LocalProtocolError
from signaling.sdp.description import Direction, SessionDescription
from signaling.sdp.negotiation import LocalAudio, make_offer
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request, parse_message
from signaling.user_agent import (
    Answered,
    Confirmed,
    Ended,
    InfoReceived,
    Progress,
    Reinvited,
    SessionEvent,
)

pytestmark = pytest.mark.unit

E = TypeVar("E", bound=SessionEvent)

FLOW = Flow(TransportKind.UDP, "192.0.2.1", 5060, "pjsip", 1)
WE, THEY = NameAddr.parse("<sip:6001@h>"), NameAddr.parse("<sip:6009@h>")
PLANE = LocalAudio("127.0.0.1", 20000, 1, codecs=(LOCAL_L16,))
PROCESS_PORT = 41000
INVITE = (
    b"INVITE sip:6001@127.0.0.1:5070;ob SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"From: <sip:6009@h>;tag=a\r\nTo: <sip:6001@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:6009@192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
)


class Line:
    """Keeps what is asked; refuses where told so."""

    audio_host = "127.0.0.1"
    digits = DigitKind.EVENTS

    def __init__(self) -> None:
        self.asked: list[Command[Done]] = []
        self.refuses = False
        self.works: list[asyncio.Task[None]] = []

    async def request(self, command: Command[Done]) -> Done:
        self.asked.append(command)
        if self.refuses:
            raise MediaError("not now")
        return Done()

    def send(self, command: Command[Done]) -> None:
        self.asked.append(command)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.works.append(asyncio.get_running_loop().create_task(work))


def offer(direction: Direction = Direction.SENDRECV) -> bytes:
    return make_offer(PLANE, direction).serialise()


def direction_of(sdp: bytes | None) -> Direction:
    assert sdp is not None
    described = SessionDescription.parse(sdp)
    assert described.media[0].port == PROCESS_PORT
    return described.direction_of(described.media[0])


async def told(session: PjsipSession, kind: type[E]) -> E:
    event = await anext(session.events())
    assert isinstance(event, kind), event
    return event


async def placed(line: Line) -> PjsipSession:
    session = PjsipSession(line, "a", FLOW, local=WE, remote=THEY)
    session.place("<sip:6009@h>", "", (), offer())
    session.take(w.CallPlaced("a", "call-id", PROCESS_PORT))
    await asyncio.sleep(0)
    return session


async def answered(line: Line) -> PjsipSession:
    session = await placed(line)
    session.take(w.CallConfirmed("a", "call-id", "ours", "theirs"))
    await told(session, Answered)
    return session


async def test_a_call_is_placed_rings_and_is_answered() -> None:
    line = Line()
    session = await placed(line)
    assert line.asked == [w.PlaceCall("a", "<sip:6009@h>", "", [], "127.0.0.1", 20000)]
    assert not session.is_heard
    session.take(w.CallProgress("a", 180, "Ringing"))
    assert (await told(session, Progress)).status == 180
    assert session.is_heard
    session.take(w.CallHeard("a"))
    early = await told(session, Progress)
    assert (early.status, direction_of(early.sdp)) == (183, Direction.SENDRECV)
    session.take(w.CallConfirmed("a", "call-id", "ours", "theirs"))
    assert direction_of((await told(session, Answered)).sdp) is Direction.SENDRECV
    assert session.replaces_header() == "call-id;to-tag=theirs;from-tag=ours"


async def test_a_call_that_the_process_does_not_take_has_failed() -> None:
    line = Line()
    line.refuses = True
    session = await placed(line)
    ended = await told(session, Ended)
    assert (ended.status, ended.reason_text) == (503, "not now")


async def test_a_call_that_came_in_is_described_rung_and_answered() -> None:
    line = Line()
    request = parse_message(INVITE)
    assert isinstance(request, Request)
    session = PjsipSession(
        line, "in-1", FLOW, local=WE, remote=THEY, invite=request, rtp_port=PROCESS_PORT
    )
    assert direction_of(session.sdp) is Direction.SENDRECV
    assert session.request.uri.user == "6001"
    session.ring()
    session.ring(offer())
    session.accept(offer())
    session.take(w.CallConfirmed("in-1", "call-id", "", "theirs"))
    await told(session, Confirmed)
    assert line.asked == [
        w.RingCall("in-1"),
        w.RingCall("in-1", "127.0.0.1", 20000),
        w.AnswerCall("in-1", "127.0.0.1", 20000),
    ]
    with pytest.raises(LocalProtocolError):  # a tag of ours was never seen
        session.replaces_header()


async def test_a_hold_of_ours_is_told_as_the_far_end_answers_it() -> None:
    line = Line()
    session = await answered(line)
    for status, wanted in ((488, None), (200, Direction.RECVONLY)):
        holding = asyncio.create_task(session.reinvite(lambda: offer(Direction.SENDONLY)))  # noqa: TID251
        await asyncio.sleep(0)
        assert line.asked[-1] == w.HoldCall("a", True)
        session.take(w.HoldAnswered("a", status))
        said, sdp = await holding
        assert said == status
        assert sdp is None if wanted is None else direction_of(sdp) is wanted
    asked = len(line.asked)
    assert (await session.reinvite(offer(Direction.SENDONLY)))[0] == 200
    assert len(line.asked) == asked, "the far end is held already"


async def test_a_hold_that_can_not_be_sent_is_refused() -> None:
    line = Line()
    session = await answered(line)
    line.refuses = True
    assert await session.reinvite(offer(Direction.SENDONLY)) == (491, None)


async def test_a_hold_of_theirs_is_an_offer() -> None:
    session = await answered(Line())
    session.take(w.FarEndHeld("a", True))
    assert direction_of((await told(session, Reinvited)).sdp) is Direction.SENDONLY
    assert session.answer_reinvite(offer())
    session.take(w.FarEndHeld("a", False))
    assert direction_of((await told(session, Reinvited)).sdp) is Direction.SENDRECV


async def test_digits_go_both_ways() -> None:
    line = Line()
    session = await answered(line)
    assert await session.info("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n") == 200
    assert line.asked[-1] == w.SendDigit("a", "5", 160, by_info=False)
    assert await session.info("application/trickle-ice-sdpfrag", b"") == 415
    line.refuses = True
    assert await session.info("application/dtmf", b"5") == 503
    session.take(w.DigitHeard("a", "#", 120))
    heard = await told(session, InfoReceived)
    assert (heard.content_type, heard.body) == (
        "application/dtmf-relay",
        b"Signal=#\r\nDuration=120\r\n",
    )


@pytest.mark.parametrize("refuses", [False, True], ids=["sent", "not sent"])
async def test_a_transfer_has_one_outcome(refuses: bool) -> None:
    line = Line()
    session = await answered(line)
    line.refuses = refuses
    refer = session.refer(NameAddr.parse("<sip:6008@h>"))
    await asyncio.gather(*line.works)
    session.take(w.ReferTold("a", 100, "Trying", False))
    session.take(w.ReferTold("a", 486, "Busy Here", True))
    assert (await refer.outcome()).status == (503 if refuses else 486)


async def test_a_lost_process_ends_its_calls_with_a_cause() -> None:
    session = await answered(Line())
    refer = session.refer(NameAddr.parse("<sip:6008@h>"))
    session.lose("killed")
    session.lose("killed again")
    ended = await told(session, Ended)
    assert isinstance(ended.error, ProcessLost)
    assert cause_of_end(ended, answered=True, rang=True) == (Cause.MEDIA_LOST, Side.ENDPOINT)
    assert (await refer.outcome()).status == 503
    with pytest.raises(StopAsyncIteration):
        await anext(session.events())


async def test_nothing_is_asked_after_the_end() -> None:
    line = Line()
    session = await answered(line)
    session.hang_up(486)
    assert line.asked[-1] == w.EndCall("a", 486)
    session.take(w.CallEnded("a", 200, "OK", 16, True))
    ended = await told(session, Ended)
    assert (ended.status, ended.q850, ended.by_remote) == (None, 16, True)
    asked = len(line.asked)
    session.hang_up()
    with pytest.raises(LocalProtocolError):
        await session.reinvite(offer())
    assert len(line.asked) == asked
