"""Recordings by a process of their own: who is on which side, and what it costs whom."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import monotonic

import av
import msgspec
import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.frame import Samples
from endpoint.audio.resample import resample
from endpoint.audio.wav import mend
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media import recordingmessages as r
from endpoint.media.link import Link, LocalLink, WorkerLink
from endpoint.media.pool import MediaPool, in_turn
from endpoint.media.process import WorkerLost
from endpoint.media.recorder import RecorderProcess
from endpoint.media.sealed import SealedReader
from tests.integration.endpoint.media.conftest import SETTINGS, PhoneMaker, Studio
from tests.integration.endpoint.media.phone import PCMA, PCMU, SIGNATURES
from tests.integration.endpoint.media.test_forwarding import assert_one_legal_sender

pytestmark = pytest.mark.integration

SPACE = 64 << 20
"""More than any recording of a test needs."""


def sides(path: Path) -> tuple[Samples, Samples]:
    """What is on the left and on the right, at 8 kHz, by a decoder that is not ours."""
    parts = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.channels == 2
        resampler = av.AudioResampler("s16", "stereo", 16000)
        for frame in container.decode(stream):
            parts += [each.to_ndarray().reshape(-1, 2) for each in resampler.resample(frame)]
    both = np.concatenate([np.zeros((0, 2), np.int16), *parts])
    return resample(both[:, 0], 16000, 8000), resample(both[:, 1], 16000, 8000)


def hears(side: Samples, window: int = 3200) -> set[str]:
    """What is anywhere in it but for its ends, by 400 ms at a time or less."""
    begins = range(1600, len(side) - window - 1600, 400)
    return {name for at in begins for name in heard(side[at : at + window], SIGNATURES)}


class Tape:
    """A recorder and the planes whose voices it has, with what tests say of it in few words."""

    def __init__(self, recorder: RecorderProcess, studio: Studio) -> None:
        self.recorder = recorder
        self.studio = studio
        self.link = studio.link
        self.closed: dict[str, asyncio.Future[r.RecordingClosed]] = {}
        self.lost = asyncio.Event()
        self._numbers = count(1)

    async def begin(
        self, path: Path, format: r.Format = r.Format.WAV, *, key: bytes = b"", least_free: int = 0
    ) -> str:
        name = path.name
        self.closed[name] = asyncio.get_running_loop().create_future()
        await self.recorder.open(
            r.OpenRecording(
                recording=name,
                path=str(path),
                format=format,
                sample_rate_hz=16000,
                at=monotonic(),
                key=key,
                least_free=least_free,
            )
        )
        return name

    async def put(self, name: str, left: str = "", right: str = "") -> list[int]:
        """Who is on it: ports of one letter each."""
        numbers = {port: next(self._numbers) for port in left + right}
        self.recorder.send(
            r.SetVoices(
                recording=name,
                at=monotonic(),
                left=[numbers[port] for port in left],
                right=[numbers[port] for port in right],
            )
        )
        for port, number in numbers.items():
            port = {"m": "music"}.get(port, port)
            await self.link.request(m.StartVoice(voice=number, port=port))
        return list(numbers.values())

    async def end(self, name: str) -> r.RecordingClosed:
        self.recorder.send(r.CloseRecording(recording=name, at=monotonic()))
        return await self.until_closed(name)

    async def until_closed(self, name: str) -> r.RecordingClosed:
        async with asyncio.timeout(30):
            return await self.closed[name]

    async def keep_notices(self) -> None:
        async for notice in self.recorder.notices():
            if isinstance(notice, WorkerLost):
                self.lost.set()
            else:
                self.closed[notice.recording].set_result(notice)


@asynccontextmanager
async def taping(
    make: Callable[[list[int]], Link] = lambda ends: LocalLink(
        msgspec.structs.replace(SETTINGS, recorder=os.dup(ends[0]))
    ),
    workers: int = 1,
    silent_s: float = 5.0,
) -> AsyncIterator[Tape]:
    async with (
        asyncio.TaskGroup() as group,
        RecorderProcess(workers, silent_s=silent_s) as recorder,
        make(recorder.descriptors) as link,
    ):
        studio = Studio(link)
        group.create_task(studio.keep_notices())
        await link.request(m.OpenPlayer("music", [m.Segment([523.0, 659.0], 1000)]))
        tape = Tape(recorder, studio)
        group.create_task(tape.keep_notices())
        yield tape


async def until_grown(path: Path, octets: int) -> None:
    async with asyncio.timeout(30):
        while not path.exists() or path.stat().st_size < octets:  # noqa: ASYNC240
            await asyncio.sleep(0.02)
            continue


@pytest.mark.parametrize("format", list(r.Format))
async def test_each_is_on_his_own_side_and_the_call_stays_forwarded(
    phone: PhoneMaker, tmp_path: Path, format: r.Format
) -> None:
    path = tmp_path / "2026" / "11" / "call"
    async with taping() as tape:
        a, b = await phone("A"), await phone("B")
        await tape.studio.connect(a)
        await tape.studio.connect(b)
        await tape.studio.route("AB", "BA")
        await b.until_packets(5)
        start = len(b.heard)
        name = await tape.begin(path, format)
        await tape.put(name, left="A", right="B")
        await b.until_packets(100)
        done = await tape.end(name)
        left, right = sides(path)
    assert hears(left) == {"A"}
    assert hears(right) == {"B"}
    assert done.failure == ""
    assert abs(len(left) // 8 - done.duration_ms) <= 100
    assert done.duration_ms >= 1900
    assert (done.size, done.sha256) == (
        path.stat().st_size,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    # It was forwarded all the while, not mixed.
    assert_one_legal_sender(b)
    assert not any(each.packet.marker for each in b.heard[start:])


def longest_silence(side: Samples) -> tuple[int, int]:
    """From which sample to which nothing is heard."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], side != 0, [1]])))
    begins, ends = edges[::2], edges[1::2]
    longest = int((ends - begins).argmax())
    return int(begins[longest]), int(ends[longest])


async def test_whoever_is_on_it_no_longer_is_silence_of_the_same_length(
    phone: PhoneMaker, tmp_path: Path
) -> None:
    path = tmp_path / "pause"
    async with taping() as tape:
        a, b = await phone("A"), await phone("B")
        await tape.studio.connect(a)
        await tape.studio.connect(b)
        await tape.studio.route("AB", "BA")
        name = await tape.begin(path)
        await tape.put(name, left="A", right="B")
        await b.until_packets(60)
        paused = monotonic()
        await tape.put(name)
        await b.until_packets(35)
        resumed = monotonic()
        await tape.put(name, left="A", right="B")
        await b.until_packets(60)
        await tape.end(name)
        left, right = sides(path)
    for side, who in ((left, "A"), (right, "B")):
        first, last = longest_silence(side)
        assert (last - first) / 8000 == pytest.approx(resumed - paused, rel=0.25)
        assert hears(side[:first], 1600) == hears(side[last:], 1600) == {who}


async def test_several_are_mixed_on_a_side_and_codecs_may_differ_and_change(
    phone: PhoneMaker, tmp_path: Path
) -> None:
    path = tmp_path / "conference"
    async with taping() as tape:
        a, b, c = await phone("A", PCMU, PCMA), await phone("B", PCMA), await phone("C")
        for each in (a, b, c):
            await tape.studio.connect(each)
        name = await tape.begin(path)
        await tape.put(name, left="AC", right="Bm")
        await tape.studio.until_counted("A", lambda one: one.packets_received > 25)
        a.speak(PCMA)
        await tape.studio.until_counted("A", lambda one: one.packets_received > 100)
        await tape.end(name)
        left, right = sides(path)
    assert heard(left[4000:7200], SIGNATURES) == {"A", "C"}
    assert hears(left) == {"A", "C"}
    assert hears(right) == {"B", "moh"}


async def test_late_and_lost_packets_are_what_a_listener_would_have_heard(
    phone: PhoneMaker, tmp_path: Path
) -> None:
    """Packets out of order, each tenth lost: the tone goes on, as long as it was."""
    path = tmp_path / "jitter"
    async with taping() as tape:
        a = await phone("A")
        await tape.studio.connect(a, talks=False)
        name = await tape.begin(path)
        await tape.put(name, left="A")
        a.talk_to(tape.studio.addresses["A"], swaps=True)
        send, sent = a.send_packet, count()

        def now_and_then(to: tuple[str, int], kind: int, payload: bytes) -> None:
            if next(sent) % 10 != 9:
                send(to, kind, payload)
            else:
                a.sequence = (a.sequence + 1) & 0xFFFF

        a.send_packet = now_and_then  # type: ignore[method-assign]
        await tape.studio.until_counted("A", lambda one: one.packets_received > 100)
        done = await tape.end(name)
        left, _ = sides(path)
    assert done.duration_ms > 1900
    windows = [
        heard(left[begin : begin + 3200], SIGNATURES)
        for begin in range(6400, len(left) - 4800, 800)
    ]
    # Where the machine halts for a moment there is a hole, in four of these windows.
    assert {name for window in windows for name in window} == {"A"}
    assert windows.count({"A"}) >= len(windows) - 4


async def test_voices_of_two_media_workers_are_on_one_recording(
    phone: PhoneMaker, tmp_path: Path
) -> None:
    path = tmp_path / "spread"

    def pool(ends: list[int]) -> Link:
        settings = [msgspec.structs.replace(SETTINGS, recorder=end) for end in ends]
        return MediaPool([WorkerLink(each) for each in settings], placement=in_turn())  # type: ignore[return-value]

    async with taping(pool, workers=2) as tape:
        a, b = await phone("A"), await phone("B")
        await tape.studio.connect(a)
        await tape.studio.connect(b)
        await tape.studio.route("AB", "BA")
        await b.until(lambda: b.hears() == {"A"})
        name = await tape.begin(path)
        await tape.put(name, left="A", right="Bm")
        await b.until_packets(100)
        await tape.end(name)
        left, right = sides(path)
    assert hears(left) == {"A"}
    assert hears(right) == {"B", "moh"}


KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("format", "key"),
    [
        pytest.param(r.Format.WAV, b"", id="wav"),
        pytest.param(r.Format.OPUS, KEY, id="opus, sealed"),
        pytest.param(r.Format.OPUS, b"", id="opus", marks=pytest.mark.soak),
        pytest.param(r.Format.WAV, KEY, id="wav, sealed", marks=pytest.mark.soak),
    ],
)
async def test_it_can_be_played_up_to_the_last_second_when_its_writer_is_killed(
    phone: PhoneMaker, tmp_path: Path, format: r.Format, key: bytes
) -> None:
    """And the process is begun anew, and takes another recording of the call that goes on."""
    path, second = tmp_path / "killed", tmp_path / "second"
    async with taping() as tape:
        a, b = await phone("A"), await phone("B")
        await tape.studio.connect(a)
        await tape.studio.connect(b)
        await tape.studio.route("AB", "BA")
        name = await tape.begin(path, format, key=key)
        begun = monotonic()
        await tape.put(name, left="A", right="B")
        await until_grown(path, 128_000 if format is r.Format.WAV else 12_000)
        pid = tape.recorder.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        lasted_s = monotonic() - begun
        async with asyncio.timeout(20):
            await tape.lost.wait()
        await b.until_packets(25)
        assert b.hears() == {"A"}
        name = await tape.begin(second, format)
        await tape.put(name, left="A", right="B")
        await b.until_packets(75)
        await tape.end(name)
    if key:
        reader = SealedReader(path, key)
        assert not reader.is_whole
        octets = reader.read(0, reader.size)
        reader.close()
        path.unlink()
        path.write_bytes(octets)
    if format is r.Format.WAV:
        mend(path)
    left, right = sides(path)
    assert len(left) / 8000 > lasted_s - 1.5  # the machine's own delay beside the second
    assert heard(left[-3600:-400], SIGNATURES) == {"A"}
    assert heard(right[-3600:-400], SIGNATURES) == {"B"}
    assert [hears(each) for each in sides(second)] == [{"A"}, {"B"}]


async def test_a_writer_that_hangs_is_replaced_and_nobody_s_audio_waits(
    phone: PhoneMaker, tmp_path: Path
) -> None:
    async with taping(silent_s=1.0) as tape:
        a, b = await phone("A"), await phone("B")
        await tape.studio.connect(a)
        await tape.studio.connect(b)
        await tape.studio.route("AB", "BA")
        name = await tape.begin(tmp_path / "hung")
        await tape.put(name, left="A", right="B")
        pid = tape.recorder.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        start = len(b.heard)
        async with asyncio.timeout(30):
            await tape.lost.wait()
        assert tape.recorder.pid != pid
        assert b.hears() == {"A"}
        assert len(b.heard) > start + 25
        name = await tape.begin(tmp_path / "next")
        await tape.put(name, left="A", right="B")
        await b.until_packets(75)
        await tape.end(name)
    assert hears(sides(tmp_path / "next")[0]) == {"A"}


async def test_without_room_it_ends_by_itself_and_says_so(
    phone: PhoneMaker, tmp_path: Path
) -> None:
    async with taping() as tape:
        a = await phone("A")
        await tape.studio.connect(a)
        with pytest.raises(MediaError, match=r"less than \d+ MB are free"):
            await tape.begin(tmp_path / "never", least_free=1 << 60)
        (tmp_path / "there").write_text("mine")
        with pytest.raises(MediaError, match="exists"):
            await tape.begin(tmp_path / "there")
        assert not (tmp_path / "never").exists()
        assert (tmp_path / "there").read_text() == "mine"


async def test_what_the_control_plane_leaves_is_finished(phone: PhoneMaker, tmp_path: Path) -> None:
    path = tmp_path / "left"
    async with taping() as tape:
        a = await phone("A")
        await tape.studio.connect(a)
        name = await tape.begin(path, r.Format.OPUS)
        await tape.put(name, left="A")
        await tape.studio.until_counted("A", lambda one: one.packets_received > 75)
    left, _ = sides(path)
    assert len(left) > 8 * 1300
    assert hears(left) == {"A"}


async def test_who_can_not_be_recorded_is_refused(studio: Studio) -> None:
    with pytest.raises(MediaError, match="can't be recorded"):
        await studio.link.request(m.StartVoice(voice=1, port="music"))
    await studio.link.request(m.StopVoice(voice=1))
