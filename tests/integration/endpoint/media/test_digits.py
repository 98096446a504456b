from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.codec import G711, encode
from endpoint.audio.dtmf import render_digit
from endpoint.audio.frame import frames_of
from endpoint.errors import MediaError
from endpoint.media import messages as m
from tests.integration.endpoint.media.conftest import PhoneMaker, Studio, Talking
from tests.integration.endpoint.media.phone import PCMA, PCMU, events
from tests.integration.endpoint.media.test_forwarding import assert_one_legal_sender

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


async def test_our_digits_arrive_each_once_and_the_voice_waits(
    studio: Studio, talking: Talking
) -> None:
    _, b = talking
    await b.until_packets(10)
    start = len(b.heard)
    await studio.link.request(m.SendDigits("B", "1234#"))
    assert await studio.until_notice(m.DigitsSent) == [m.DigitsSent("B", "1234#")]
    await b.until_packets(30)
    packets = [each.packet for each in b.heard[start:]]
    numbers = [n for n, p in enumerate(packets) if p.payload_type == 101]
    between = packets[numbers[0] : numbers[-1] + 1]
    within = [p for p in between if p.payload_type == 101]
    # Of the voice nothing, but silence of ours in each gap.
    silence = encode(G711.PCMU, np.zeros(160, dtype=np.int16))
    assert {bytes(p.payload) for p in between if p.payload_type == 0} == {silence}
    assert {p.payload_type for p in between} == {0, 101}
    digits = [p.payload[0] for p in within if p.marker]
    assert digits == [1, 2, 3, 4, 11]
    assert len({p.timestamp for p in within}) == 5
    for timestamp in {p.timestamp for p in within}:
        ends = [p for p in within if p.timestamp == timestamp and p.payload[1] & 0x80]
        assert len(ends) == 3
    assert b.hears() == {"A"}
    assert_one_legal_sender(b)


async def test_digits_go_out_to_a_far_end_that_hears_nothing_else(
    studio: Studio, phone: PhoneMaker
) -> None:
    b = await phone("B", PCMA, events(100))
    await studio.connect(b, talks=False)
    await studio.link.request(m.SendDigits("B", "9"))
    await studio.until_notice(m.DigitsSent)
    silence = encode(G711.PCMA, np.zeros(160, dtype=np.int16))
    heard = [each.packet for each in b.heard]
    assert {p.payload_type for p in heard} <= {8, 100}
    assert {p.payload[0] for p in heard if p.payload_type == 100} == {9}
    assert all(bytes(p.payload) == silence for p in heard if p.payload_type == 8)


@pytest.mark.parametrize("codec", [PCMU, PCMA])
async def test_without_events_digits_are_tones(
    studio: Studio, phone: PhoneMaker, codec: m.PayloadType
) -> None:
    b = await phone("B", codec)
    await studio.connect(b, talks=False)
    await studio.link.request(m.SendDigits("B", "159d"))
    await studio.until_notice(m.DigitsSent)
    b.count()  # The last of it may wait in the socket.
    assert b.digits_in_audio() == "159D"


async def test_a_second_command_waits_for_the_first(studio: Studio, phone: PhoneMaker) -> None:
    b = await phone("B")
    await studio.connect(b, talks=False)
    studio.link.send(m.SendDigits("B", "1", 40, 0))
    studio.link.send(m.SendDigits("B", "2", 40, 0))
    sent = await studio.until_notice(m.DigitsSent, 2)
    assert [notice.digits for notice in sent] == ["1", "2"]
    assert [h.packet.payload[0] for h in b.heard if h.packet.marker] == [1, 2]


async def test_every_press_is_told_once_whatever_was_lost(
    studio: Studio, phone: PhoneMaker
) -> None:
    a = await phone("A")
    await studio.connect(a)
    a.press("1")
    a.press("1")
    a.press("2", lost={0, 1, 2})
    a.press("3", lost={4, 5, 6})
    a.press("#", lost={5, 6})
    a.press("0", lost={3, 4, 5, 6})
    digits = await studio.until_notice(m.DigitReceived, 6)
    assert "".join(notice.digit for notice in digits) == "1123#0"
    assert digits[0].duration_ms == 100


async def test_tones_are_found_while_they_are_forwarded_untouched(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A", PCMU), await phone("B", PCMU)
    await studio.connect(a, talks=False, detects_tones=True)
    await studio.connect(b)
    await studio.route("AB", "BA")
    pause = np.zeros(1600, dtype=np.int16)
    pressed = [("1", 100), ("9", 100), ("#", 600), ("D", 100)]
    keys = [part for press in pressed for part in (render_digit(*press), pause)]
    frames = frames_of(np.concatenate([*keys, pause, pause]), 8000)
    a.say([encode(G711.PCMU, frame) for frame in frames])
    a.talk_to(studio.addresses["A"])
    told = (await studio.until_notice(m.DigitReceived, 4))[:4]
    assert "".join(notice.digit for notice in told) == "19#D"
    assert all(notice.in_band for notice in told)
    # How long it was heard to be pressed: what is late on a busy machine adds some concealment.
    assert max(told, key=lambda notice: notice.duration_ms).digit == "#"
    assert b.digits_in_audio().startswith("19#")
    sent = {encode(G711.PCMU, frame) for frame in frames}
    assert all(bytes(each.packet.payload) in sent for each in b.heard)
    assert_one_legal_sender(b)


async def test_digits_that_go_another_way_are_not_sent_on_as_tones(
    studio: Studio, phone: PhoneMaker
) -> None:
    a, b, c = await phone("A"), await phone("B", PCMU), await phone("C", PCMU)
    await studio.connect(a)
    await studio.connect(b, talks=False, relays_digits=False)
    await studio.connect(c, talks=False)
    await studio.route("AB", "AC")
    await b.until_packets(10)
    a.press("5")
    await c.until(lambda: c.digits_in_audio() == "5")
    assert b.digits_in_audio() == ""


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (m.SendDigits("B", ""), "digits are"),
        (m.SendDigits("B", "12x"), "digits are"),
        (m.SendDigits("B", "1", 20), "40 to 8000 ms"),
        (m.SendDigits("B", "1", 100, -1), "gap"),
        (m.SendDigits("Z", "1"), "no port"),
        (m.SendDigits("music", "1"), "no far end"),
    ],
)
async def test_digits_that_can_not_be_sent_are_refused(
    studio: Studio, phone: PhoneMaker, command: m.SendDigits, text: str
) -> None:
    await studio.connect(await phone("B"), talks=False)
    with pytest.raises(MediaError, match=text):
        await studio.link.request(command)


async def test_digits_need_a_far_end_that_takes_them(studio: Studio, phone: PhoneMaker) -> None:
    b = await phone("B")
    await studio.link.request(m.OpenRtpPort("B"))
    with pytest.raises(MediaError, match="takes no audio"):
        await studio.link.request(m.SendDigits("B", "1"))
    await studio.link.request(b.remote("B", sending=False))
    with pytest.raises(MediaError, match="takes no audio"):
        await studio.link.request(m.SendDigits("B", "1"))
