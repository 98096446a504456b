from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest

from endpoint.audio.tones import tone
from endpoint.media.channel import make_pair
from endpoint.media.messages import PayloadType
from endpoint.media.mixdown import Heard, Mixdown, VoiceBox
from endpoint.media.player import Player
from endpoint.media.recordingmessages import CODEC, END, Entry, decode_entries, encode_codec
from endpoint.media.voices import Voices

pytestmark = pytest.mark.unit


def received(end: socket.socket) -> list[Entry]:
    end.setblocking(False)
    entries: list[Entry] = []
    try:
        while record := end.recv(1 << 18):
            entries += decode_entries(record)
    except BlockingIOError:
        pass
    return entries


async def test_a_writer_that_does_not_read_is_handed_the_latest_and_nothing_grows() -> None:
    ours, theirs = make_pair()
    voices = Voices(ours.detach())
    player = Player("tone", loop=True)
    player.load(tone(440.0, 1000, -12.0, 16000), 16000)
    voices.begin(1, player, 0.0)
    ticks = 20_000  # 6 minutes of 32 kB a second
    for number in range(1, ticks + 1):
        voices.tick(number / 50)
        if not number % 100:
            voices._send()
    assert voices._kept <= 4 << 20
    got = received(theirs)
    while voices._waiting:
        voices._send()
        got += received(theirs)
    assert len(got) < ticks
    assert got[-1][1] == pytest.approx(ticks / 50)
    voices.close()
    theirs.close()


async def test_what_is_over_says_so_once() -> None:
    ours, theirs = make_pair()
    voices = Voices(ours.detach())
    player = Player("tone", loop=True)
    voices.begin(7, player, 1.0)
    assert voices
    voices.forget(player, 2.0)
    voices.end(7, 3.0)
    assert not voices
    voices.close()
    assert [entry[:3] for entry in received(theirs)] == [(7, 1.0, CODEC), (7, 2.0, END)]
    theirs.close()


async def test_without_a_writer_nothing_can_be_recorded() -> None:
    voices = Voices(-1)
    assert not voices.can_record
    voices.close()
    await asyncio.sleep(0)


def codes(box: VoiceBox, number: int, begin: float, count: int) -> None:
    box.take([(number, begin, CODEC, encode_codec(PayloadType(0, "PCMU")))])
    box.take((number, begin + n / 50, 160 * n, bytes([0]) * 160) for n in range(count))


def test_it_is_written_alike_however_late_the_writer_looks() -> None:
    taken = []
    for steps in ([0.1 * n for n in range(1, 21)], [2.0]):
        box, mixdown = VoiceBox(), Mixdown(16000, 0.0)
        codes(box, 1, 0.0, 100)
        mixdown.change(0.5, [1], [])
        mixdown.change(1.5, [], [1])
        frames = [f for until in steps for f in mixdown.frames(until, box.voices)]
        taken.append(np.concatenate(frames))
    early, late = taken
    assert early.shape == late.shape
    assert (early == late).all()
    left, right = (np.abs(early[:, side]) > 500 for side in (0, 1))
    assert not left[: 16 * 490].any()
    assert left[16 * 700 : 16 * 1480].all()
    assert not left[16 * 1520 :].any()
    assert not right[: 16 * 1490].any()
    assert right[16 * 1600 : 16 * 1900].all()


def test_no_frame_is_made_behind_its_end() -> None:
    mixdown = Mixdown(8000, 10.0)
    mixdown.ends_at = 10.1
    assert len(list(mixdown.frames(99.0, {}))) in (5, 6)
    assert mixdown.is_over


def test_voices_that_nobody_wants_are_forgotten() -> None:
    box = VoiceBox()
    codes(box, 1, 0.0, 1)
    codes(box, 2, 0.0, 1)
    box.take([(2, 1.0, END, b"")])
    box.forget({2}, 5.0)
    assert set(box.voices) == {1, 2}
    box.forget(set(), 5.0)
    assert set(box.voices) == {1}
    box.forget(set(), 50.0)
    assert not box.voices


def test_garbage_from_a_worker_harms_nobody() -> None:
    heard = Heard(0.0)
    heard.take((1, 0.0, CODEC, b"\xff"))
    heard.take((1, 0.0, 5, b"abc"))
    assert not heard.frame(1.0, 8000).any()
