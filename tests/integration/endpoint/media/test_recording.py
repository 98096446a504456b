from __future__ import annotations

import asyncio
import os
import resource
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.frame import Samples
from endpoint.audio.tones import tone
from endpoint.audio.wav import Sound, WavWriter, read_wav
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.link import WorkerLink
from tests.integration.endpoint.media.conftest import PhoneMaker, Studio, Talking
from tests.integration.endpoint.media.phone import PCMA, PCMU, SIGNATURES
from tests.integration.endpoint.media.test_forwarding import assert_one_legal_sender

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


def channels(path: Path) -> tuple[Samples, Samples]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0].astype(np.int16), both[:, 1].astype(np.int16)


def voices_in(samples: Samples) -> set[str]:
    """Who is heard in any 200 ms of it: where the machine halted for a moment there is a hole."""
    windows = (heard(samples[at : at + 1600], SIGNATURES) for at in range(0, len(samples), 800))
    return {name for window in windows for name in window}


async def test_a_recording_has_the_far_end_left_and_what_it_hears_right(
    studio: Studio, talking: Talking, tmp_path: Path
) -> None:
    _, b = talking
    await b.until_packets(5)
    path = tmp_path / "call.wav"
    await studio.link.request(m.StartRecording("r", "A", str(path)))
    start = len(b.heard)
    await b.until_packets(50)
    await studio.route("mA", "mB")
    await b.until_packets(50)
    done = await studio.link.request(m.StopRecording("r"))
    left, right = channels(path)
    assert done == m.RecordingInfo(str(path), len(left) // 8)
    assert voices_in(left[1600:7200]) == {"A"}
    assert voices_in(right[1600:7200]) == {"B"}
    assert heard(right[-3200:], SIGNATURES) == {"moh"}
    assert heard(left[-3200:], SIGNATURES) == {"A"}
    # It was forwarded all the while, not mixed.
    assert_one_legal_sender(b)
    voices = [each.packet for each in b.heard[start : start + 40]]
    assert not any(p.marker for p in voices)


async def test_both_sides_of_a_recording_are_on_one_clock(
    studio: Studio, phone: PhoneMaker, tmp_path: Path
) -> None:
    """A hears its own voice back (an echo): both channels must begin together."""
    a, b = await phone("A", PCMU), await phone("B", PCMA)
    await studio.connect(a, talks=False)
    await studio.connect(b, talks=False)
    path = tmp_path / "echo.wav"
    await studio.link.request(m.StartRecording("r", "A", str(path)))
    await studio.link.request(m.OpenPlayer("beep", [m.Segment([1010.0], 1000)], loop=False))
    a.talk_to(studio.addresses["A"])
    await studio.link.request(m.SetRoutes("x", [m.RouteTo("beep", "A")]))
    await studio.until_notice(m.PlaybackEnded)
    await studio.link.request(m.StopRecording("r"))
    left, right = channels(path)
    begins = [int(np.argmax(np.abs(side) > 500)) for side in (left, right)]
    assert abs(begins[0] - begins[1]) <= 8 * 60


async def test_a_sink_records_what_it_hears(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "sink.wav"
    await studio.link.request(m.OpenSink("S"))
    await studio.link.request(m.StartRecording("r", "S", str(path)))
    await studio.link.request(m.SetRoutes("x", [m.RouteTo("music", "S")]))
    await studio.link.request(m.StartListening("S"))
    async with asyncio.timeout(20):
        while len((await studio.link.request(m.ReadHeard("S", 600))).samples) < 9600:
            await asyncio.sleep(0.02)
            continue
    await studio.link.request(m.ClosePort("S"))
    left, right = channels(path)
    assert not left.any()
    assert heard(right[-3200:], SIGNATURES) == {"moh"}
    with pytest.raises(MediaError, match="no recording"):
        await studio.link.request(m.StopRecording("r"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_a_full_disk_stops_the_recording_and_nothing_else(
    studio: Studio, talking: Talking, tmp_path: Path
) -> None:
    _, b = talking
    path = tmp_path / "full.wav"
    # A file may not grow beyond this: half a second is written, the next one is not.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        await studio.link.request(m.StartRecording("r", "A", str(path)))
        failed = await studio.until_notice(m.RecordingFailed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed[0].recording == "r"
    assert len(read_wav(path.read_bytes()).samples) == 4000
    await b.until_packets(25)
    assert b.hears() == {"A"}
    assert_one_legal_sender(b)


async def test_a_recording_that_can_not_begin_is_refused(studio: Studio, tmp_path: Path) -> None:
    await studio.link.request(m.OpenSink("S"))
    for command, text in (
        (m.StartRecording("r", "S", str(tmp_path / "no" / "such.wav")), "No such file"),
        (m.StartRecording("r", "S", "/dev/full"), "full"),
        (m.StartRecording("r", "music", str(tmp_path / "x.wav")), "hears nothing"),
        (m.StartRecording("r", "Z", str(tmp_path / "x.wav")), "no port"),
    ):
        with pytest.raises(MediaError, match=text):
            await studio.link.request(command)
    await studio.link.request(m.StartRecording("r", "S", str(tmp_path / "x.wav")))
    with pytest.raises(MediaError, match="runs already"):
        await studio.link.request(m.StartRecording("r", "S", str(tmp_path / "y.wav")))


@pytest.mark.virtual_time(False)
async def test_a_file_can_be_played_after_its_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "killed.wav"
    async with WorkerLink() as link:
        await link.request(m.OpenPlayer("music", [m.Segment([523.0, 659.0], 1000)]))
        await link.request(m.OpenSink("S"))
        await link.request(m.SetRoutes("x", [m.RouteTo("music", "S")]))
        await link.request(m.StartRecording("r", "S", str(path)))
        async with asyncio.timeout(20):
            while not path.exists() or path.stat().st_size < 44 + 32000:
                await link.request(m.Ping())
                await asyncio.sleep(0.02)
                continue
        assert link.pid is not None
        os.kill(link.pid, 9)
        async for _ in link.notices():
            break
    _, right = channels(path)
    assert len(right) >= 8000
    assert heard(right[-3200:], SIGNATURES) == {"moh"}


async def test_a_file_is_played_to_its_end_once(
    studio: Studio, phone: PhoneMaker, tmp_path: Path
) -> None:
    path = tmp_path / "prompt.wav"
    with path.open("wb", buffering=0) as file:
        WavWriter(file, 16000, 1).write(tone(1010.0, 700, -12.0, 16000))
    b = await phone("B")
    await studio.connect(b, talks=False)
    await studio.link.request(m.OpenFilePlayer("prompt", str(path)))
    await studio.link.request(m.SetRoutes("x", [m.RouteTo("prompt", "B")]))
    assert await studio.until_notice(m.PlaybackEnded) == [m.PlaybackEnded("prompt")]
    assert b.count() == 35
    assert b.hears() == {"A"}


@pytest.mark.parametrize("seconds", [0.1, 8])
async def test_a_file_is_read_beside_the_audio(
    studio: Studio,
    phone: PhoneMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """Reading and resampling takes as long as it takes; the loop that carries audio waits not."""
    path = tmp_path / "long.wav"
    with path.open("wb", buffering=0) as file:
        WavWriter(file, 48000, 2).write(np.zeros((int(48000 * seconds), 2), dtype=np.int16))
    readers = []

    def reading(octets: bytes) -> Sound:
        readers.append(threading.current_thread())
        return read_wav(octets)

    monkeypatch.setattr("endpoint.media.plane.read_wav", reading)
    b = await phone("B")
    await studio.connect(b, talks=False)
    studio.link.send(m.OpenFilePlayer("prompt", str(path), loop=True))
    await studio.link.request(m.SetRoutes("x", [m.RouteTo("prompt", "B")]))
    await b.until_packets(20)
    assert readers != [threading.main_thread()]


async def test_a_file_that_would_fill_the_memory_is_refused(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(MediaError, match="at most"):
        await studio.link.request(m.OpenFilePlayer("prompt", str(path)))


async def test_a_listener_that_would_not_fit_into_an_answer_is_refused(studio: Studio) -> None:
    await studio.link.request(m.OpenSink("S"))
    for keep_s in (11.0, 0.0, float("inf")):
        with pytest.raises(MediaError, match="at most 10 s"):
            await studio.link.request(m.StartListening("S", keep_s))


async def test_a_path_that_no_file_can_have_is_refused(studio: Studio) -> None:
    await studio.link.request(m.OpenSink("S"))
    for command in (m.OpenFilePlayer("prompt", "a\0b"), m.StartRecording("r", "S", "a\0b")):
        with pytest.raises(MediaError, match="null"):
            async with asyncio.timeout(5):
                await studio.link.request(command)


@pytest.mark.parametrize(
    ("octets", "text"), [(None, "No such file"), (b"ID3", "not a WAV"), (bytes(1 << 21), "not a")]
)
async def test_a_file_that_can_not_be_played_is_refused(
    studio: Studio, tmp_path: Path, octets: bytes | None, text: str
) -> None:
    path = tmp_path / "bad.wav"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(MediaError, match=text):
        await studio.link.request(m.OpenFilePlayer("prompt", str(path)))
    # Its name is free again.
    await studio.link.request(m.OpenSink("prompt"))
