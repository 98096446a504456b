"""A phone that changes its codecs in the middle of a call (RFC 3264 §8.3.2), and is heard on."""

from __future__ import annotations

import asyncio

import pytest

from endpoint.legs.audio_end import Protection
from endpoint.legs.base import FarEndHold
from signaling.sdp.description import Codec, Direction
from signaling.sdp.negotiation import (
    OPUS,
    OPUS_TELEPHONE_EVENTS,
    PCMA,
    PCMU,
    TELEPHONE_EVENTS,
)
from tests.integration.endpoint.legs.conftest import Office
from tests.integration.endpoint.legs.phones import Answered, Line

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

PCM = (PCMU, PCMA, TELEPHONE_EVENTS)
OPUS_ALONE = (OPUS, OPUS_TELEPHONE_EVENTS)
OPUS_FIRST = (OPUS, PCMU, PCMA, TELEPHONE_EVENTS, OPUS_TELEPHONE_EVENTS)


async def talk_in_pcm(office: Office, changing: str, protection: Protection) -> tuple[Line, Line]:
    """6001 calls 10086. Which of them will change speaks so protected, and knows PCM alone yet."""
    phones = {
        user: await office.phone(
            user, websocket=user == changing and protection is Protection.WEBRTC
        )
        for user in ("6001", "10086")
    }
    for phone in phones.values():
        phone.codecs = PCM
    if changing == "6001":
        phones[changing].protection = protection
    a = await phones["6001"].dial("10086")
    b = await phones["10086"].rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    await hear_each_other(a, b)
    return a, b


async def hear_each_other(a: Line, b: Line) -> None:
    await a.hears(b.phone.user)
    await b.hears(a.phone.user)


def spoken(line: Line) -> str:
    assert line.agreed is not None
    return line.agreed.send[0].encoding


@pytest.mark.parametrize("codecs", [OPUS_ALONE, OPUS_FIRST], ids=["opus", "opus and PCM"])
@pytest.mark.parametrize(
    ("changing", "protection"),
    [
        ("6001", Protection.RTP),
        ("6001", Protection.SRTP),
        ("6001", Protection.WEBRTC),
        ("10086", Protection.RTP),
        ("10086", Protection.WEBRTC),
    ],
    ids=[
        "a caller",
        "a caller by SRTP",
        "a browser that calls",
        "who is called",
        "a called browser",
    ],
)
async def test_a_phone_that_goes_over_to_opus_is_heard_on_and_held(
    office: Office, changing: str, protection: Protection, codecs: tuple[Codec, ...]
) -> None:
    a, b = await talk_in_pcm(office, changing, protection)
    caller, called = await office.operator.talk()
    line, leg = (a, caller) if changing == "6001" else (b, called)
    line.audio.codecs = codecs
    assert await line.reoffer(Direction.SENDRECV) == 200
    # The other one has PCM alone: where this one has it too, that is forwarded.
    assert spoken(line) == ("OPUS" if codecs is OPUS_ALONE else "PCMU")
    await hear_each_other(a, b)
    # What it speaks now is in our own offers too.
    for reinvites, act in ((1, office.exchange.hold), (2, office.exchange.resume)):
        async with asyncio.TaskGroup() as phones:
            act(leg)
            phones.create_task(line.serve(reinvites))
            assert (await office.operator.saw(FarEndHold)).accepted
    await hear_each_other(a, b)


async def test_a_caller_with_nothing_but_opus_talks_with_a_telephone(office: Office) -> None:
    agent, customer = await office.phone("6001"), await office.phone("10086")
    agent.codecs = OPUS_ALONE
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    assert (spoken(a), spoken(b)) == ("OPUS", "PCMU")
    await hear_each_other(a, b)


async def test_opus_of_a_telephone_is_forwarded_to_a_browser(office: Office) -> None:
    agent, customer = await office.phone("6001"), await office.phone("10086", websocket=True)
    agent.codecs = OPUS_FIRST
    a = await agent.dial("10086")
    b = await customer.rings()
    await b.pick_up()
    await a.take_answer((await a.until(Answered)).sdp)
    assert (spoken(a), spoken(b)) == ("OPUS", "OPUS")
    await hear_each_other(a, b)


async def test_codecs_that_nobody_here_has_are_refused_and_the_call_goes_on(office: Office) -> None:
    a, b = await talk_in_pcm(office, "6001", Protection.RTP)
    a.audio.codecs = (Codec(97, "ILBC"),)
    assert await a.reoffer(Direction.SENDRECV) == 488
    await hear_each_other(a, b)
