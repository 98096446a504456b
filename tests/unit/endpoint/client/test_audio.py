"""What a program says and hears, without its socket."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from endpoint.client.audio import EVENTS, FRAME_SAMPLES, L16, CallAudio, Heard, Mouth, Telephone
from endpoint.gateways.native.audiomessages import AudioAddress
from endpoint.media.rtp import RtpPacket, parse_rtp

pytestmark = pytest.mark.unit

FRAME = np.arange(FRAME_SAMPLES, dtype=np.int16)


async def test_what_is_played_is_said_in_frames_the_last_one_filled_with_silence() -> None:
    mouth = Mouth()
    assert await mouth.put(np.concatenate([FRAME, FRAME[:10]]))
    assert (mouth.take() == FRAME).all()
    assert (mouth.take()[:11] == [*FRAME[:10], 0]).all()
    assert not mouth.take().any()


async def test_who_has_more_than_a_second_to_say_waits_for_room() -> None:
    mouth = Mouth()
    speaking = asyncio.ensure_future(mouth.put(np.tile(FRAME, 51)))  # noqa: TID251
    await asyncio.sleep(0)
    assert not speaking.done()
    mouth.take()
    assert await speaking


async def test_clearing_ends_what_is_said_and_whoever_waits_to_say_more() -> None:
    mouth = Mouth()
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(mouth.put(np.tile(FRAME, 200)))
        waiting = group.create_task(mouth.said())
        await asyncio.sleep(0)
        mouth.clear()
    assert (speaking.result(), waiting.result()) == (False, False)
    assert not mouth.take().any()
    assert await mouth.put(FRAME)
    assert (mouth.take() == FRAME).all()


async def test_said_is_when_nothing_waits() -> None:
    mouth = Mouth()
    await mouth.put(FRAME)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(mouth.said())
        await asyncio.sleep(0)
        assert not waiting.done()
        mouth.take()
    assert waiting.result()


async def test_nothing_is_said_in_a_call_that_is_over() -> None:
    mouth = Mouth()
    mouth.end()
    assert not await mouth.put(FRAME)
    assert not await mouth.said()


@pytest.mark.parametrize("samples", [FRAME.astype(np.float32), FRAME.reshape(2, -1)])
async def test_what_is_no_sound_is_refused_in_words(samples: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match="expected int16 samples of 16 kHz in one dimension"):
        await Mouth().put(samples)


async def test_who_listens_too_late_loses_the_oldest_and_is_told_how_much() -> None:
    heard = Heard()
    for number in range(103):
        heard.put(np.full(FRAME_SAMPLES, number, dtype=np.int16))
    heard.end()
    frames = [frame async for frame in heard]
    assert (frames[0][0], frames[-1][0], heard.lost) == (3, 102, 3)


async def test_every_listener_of_a_call_hears_all_from_when_it_began() -> None:
    audio = CallAudio()
    first = audio.listen()
    audio.hear(FRAME)
    second = audio.listen()
    audio.hear(FRAME + 1)
    audio.end()
    assert len([frame async for frame in first]) == 2
    assert len([frame async for frame in second]) == 1
    assert [frame async for frame in audio.listen()] == []


def telephone() -> tuple[Telephone, CallAudio]:
    made, audio = Telephone(AudioAddress("127.0.0.1", 20_000, 1)), CallAudio()
    made.active = audio
    return made, audio


def packet(kind: int, payload: bytes, timestamp: int = 0) -> RtpPacket:
    return RtpPacket(False, kind, 0, timestamp, 1, memoryview(payload))


async def test_a_telephone_sends_every_20_ms_what_is_said_or_silence() -> None:
    made, audio = telephone()
    await audio.mouth.put(FRAME)
    sent = [parse_rtp(memoryview(made.packet())) for _ in range(3)]
    assert all(one is not None and one.payload_type == L16 for one in sent)
    numbers = [(one.sequence, one.timestamp) for one in sent if one is not None]
    (first, at), *rest = numbers
    assert rest == [
        ((first + step) & 0xFFFF, (at + step * FRAME_SAMPLES) & 0xFFFFFFFF) for step in (1, 2)
    ]
    said = [np.frombuffer(one.payload, ">i2") for one in sent if one is not None]
    assert (said[0] == FRAME).all()
    assert not said[1].any()
    made.active = None
    assert len(made.packet()) == len(made.packet())


async def test_packets_of_any_length_become_frames_and_half_a_sample_is_dropped() -> None:
    made, audio = telephone()
    heard = audio.listen()
    octets = FRAME.astype(">i2").tobytes()
    made.receive(packet(L16, octets[:200]), 1.0)
    made.receive(packet(L16, octets[200:] + octets[:100]), 1.01)
    made.receive(packet(L16, octets[:33]), 1.02)
    made.receive(packet(72, octets), 1.02)
    made.receive(packet(L16, octets[100:]), 1.03)
    audio.end()
    frames = [frame async for frame in heard]
    assert len(frames) == 2
    assert all((frame == FRAME).all() for frame in frames)


async def test_where_nothing_comes_silence_is_heard_and_a_digit_ends() -> None:
    made, audio = telephone()
    heard = audio.listen()
    made.receive(packet(L16, FRAME.astype(">i2").tobytes()), 1.0)
    made.receive(packet(EVENTS, bytes([5, 10, 6, 64])), 1.0)
    made.beat(1.04)
    assert audio.digits.empty()
    made.beat(1.2)
    audio.end()
    assert [bool(frame.any()) async for frame in heard] == [True, False]
    assert audio.digits.get_nowait() == "5"
