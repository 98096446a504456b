"""Calls are recorded, found, fetched by ranges, deleted; and what a kill or a full disk leaves."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from endpoint.app import certificates
from endpoint.app.openstate import OpenState
from endpoint.app.recordings import RecordingArchive
from endpoint.app.state import StateDirectory
from endpoint.app.wiring import Endpoint
from endpoint.audio.analysis import heard
from endpoint.audio.frame import Samples
from endpoint.client.client import EndpointClient, Frames
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import InteractionId, RecordingId
from endpoint.legs.recordings import FileState, RecordedFile, RecordingSettings
from endpoint.media.recordingmessages import Format
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.recordings import StoredRecordings

from .conftest import configuration

pytestmark = pytest.mark.integration

A, B = "6002", "6003"
TONES = {A: (440.0,), B: (700.0,)}
PATIENCE_S = 30.0
KEY = "00112233445566778899aabbccddeeff" * 2


def sides(octets: bytes) -> tuple[Samples, Samples]:
    """What is on the left and on the right, at 16 kHz, by a decoder that is not ours."""
    parts = []
    with av.open(BytesIO(octets)) as container:
        resampler = av.AudioResampler("s16", "stereo", 16000)
        for frame in container.decode(audio=0):
            parts += [each.to_ndarray().reshape(-1, 2) for each in resampler.resample(frame)]
    both = np.concatenate([np.zeros((0, 2), np.int16), *parts])
    return both[:, 0], both[:, 1]


def hears(side: Samples) -> set[str]:
    """Who is anywhere on it but for its ends, by 400 ms at a time."""
    begins = range(3200, len(side) - 9600, 1600)
    ears = (heard(side[at : at + 6400], TONES, sample_rate_hz=16000) for at in begins)
    return {name for each in ears for name in each}


class Desk:
    """An endpoint, and what it tells."""

    def __init__(self, endpoint: Endpoint, client: EndpointClient, frames: Frames) -> None:
        self.endpoint = endpoint
        self.client = client
        self.frames = frames
        self.told: list[str] = []

    async def until(self, event: str) -> dict[str, Any]:
        """The fields of the next event of that kind."""
        async with asyncio.timeout(PATIENCE_S):
            async for frame in self.frames:
                if isinstance(frame, wire.EventFrame):
                    self.told.append(frame.event)
                    if frame.event == event:
                        return frame.fields
        raise AssertionError("the endpoint has gone")

    async def talk(self) -> str:
        """A calls B, who answers."""
        call = (await self.client.make_call(A, B)).call
        await self.until("Established")
        return call

    async def record(self, call: str, seconds: float = 2.0) -> wire.Recording:
        """Have a call recorded for so long, and return what is known then."""
        await self.client.record(A, call)
        recording = str((await self.until("RecordingStarted"))["recording"])
        await self.until_long(recording, seconds)
        await self.client.stop_recording(A, call)
        await self.until("RecordingStopped")
        return await self.until_state(recording, "complete")

    async def until_long(self, recording: str, seconds: float) -> None:
        """Until so much of it is on disk: in WAV, 64 kB a second, in Opus 10 of tones."""
        rate = 64_000 if self.endpoint.config.recordings.format == "wav" else 10_000
        directory = self.endpoint.recordings.settings.directory
        async with asyncio.timeout(PATIENCE_S):
            while sum(one.stat().st_size for one in directory.rglob(recording)) < rate * seconds:
                await asyncio.sleep(0.02)
                continue

    async def until_listed(self, call: str, state: str) -> None:
        """Until the list has one recording of a call, in this state."""
        async with asyncio.timeout(PATIENCE_S):
            while [each.state for each in await self.client.recordings(call=call)] != [state]:
                await asyncio.sleep(0.05)
                continue

    async def until_state(self, recording: str, state: str) -> wire.Recording:
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.client.recording(recording)).state != state:
                await asyncio.sleep(0.02)
                continue
        return found

    def path(self, recording: wire.Recording) -> Path:
        directory = self.endpoint.recordings.settings.directory
        return directory / f"{recording.started_at:%Y/%m/%d}" / recording.recording


@asynccontextmanager
async def running(directory: Path, **settings: Any) -> AsyncIterator[Desk]:
    async with Endpoint(configuration(directory, **settings)) as endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with (
            EndpointClient(url, endpoint.token, ssl_context=trust) as client,
            client.events() as frames,
        ):
            yield Desk(endpoint, client, frames)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    return path


@pytest.mark.parametrize(
    ("format", "sealed"),
    [
        pytest.param("opus", False, id="opus"),
        pytest.param("wav", True, id="wav, encrypted"),
        pytest.param("opus", True, id="opus, encrypted", marks=pytest.mark.soak),
        pytest.param("wav", False, id="wav", marks=pytest.mark.soak),
    ],
)
async def test_a_call_is_recorded_and_its_file_fetched_whole_and_by_ranges(
    tmp_path: Path, key_file: Path, format: str, sealed: bool
) -> None:
    settings = {"format": format, **({"key_file": key_file} if sealed else {})}
    async with running(tmp_path / "state", recordings=settings) as desk:
        call = await desk.talk()
        recording = await desk.record(call)
        # The row comes behind what is noted of it.
        await desk.until_listed(call, "complete")
        whole = await desk.client.recorded_audio(recording.recording)
        rest = await desk.client.recorded_audio(recording.recording, start=30)
        on_disk = desk.path(recording).read_bytes()
        mode = desk.path(recording).stat().st_mode & 0o777
        await desk.client.end(A, call)
        await desk.until("CallCleared")
    assert rest == whole[30:]
    assert mode == 0o600
    assert (recording.size, recording.sha256) == (
        len(on_disk),
        hashlib.sha256(on_disk).hexdigest(),
    )
    assert recording.encrypted is sealed
    assert (on_disk == whole) is not sealed
    assert (recording.left, recording.right) == ([B], [A])
    left, right = sides(whole)
    assert (hears(left), hears(right)) == ({B}, {A})
    assert abs(len(left) / 16 - recording.duration_ms) < 100


async def test_a_pause_is_silence_in_the_file_and_stands_in_its_row(tmp_path: Path) -> None:
    async with running(tmp_path / "state", recordings={"format": "wav"}) as desk:
        call = await desk.talk()
        await desk.client.record(A, call)
        recording = str((await desk.until("RecordingStarted"))["recording"])
        await desk.until_long(recording, 1.5)
        assert (await desk.client.call(call)).recording == recording
        await desk.client.pause_recording(A, call)
        await desk.until("RecordingPaused")
        assert (await desk.client.call(call)).recording_paused
        await desk.until_long(recording, 3.5)
        await desk.client.resume_recording(A, call)
        await desk.until("RecordingResumed")
        await desk.until_long(recording, 5.0)
        await desk.client.end(A, call)
        await desk.until("CallCleared")
        found = await desk.until_state(recording, "complete")
        left, right = sides(await desk.client.recorded_audio(recording))
    (pause,) = found.pauses
    assert pause.ended_at is not None
    begins, ends = (
        round((at - found.started_at).total_seconds() * 16000)
        for at in (pause.started_at, pause.ended_at)
    )
    assert not left[begins + 8000 : ends - 8000].any()
    assert not right[begins + 8000 : ends - 8000].any()
    assert hears(left[: begins - 3200]) == {B}
    assert hears(right[ends + 3200 :]) == {A}


async def test_by_rule_it_begins_by_itself_and_who_dies_meanwhile_is_replaced(
    tmp_path: Path,
) -> None:
    """The process that writes is killed: the call goes on, and another file with it."""
    rules = [{"name": "all", "devices": ["60*"]}]
    async with running(tmp_path / "state", recordings={"format": "wav"}, recording=rules) as desk:
        call = await desk.talk()
        started = await desk.until("RecordingStarted")
        assert started["rule"] == "all"
        await desk.until_long(str(started["recording"]), 1.5)
        pid = desk.endpoint.recorder.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        failed = await desk.until("RecordingFailed")
        again = await desk.until("RecordingStarted")
        assert failed["recording"] == started["recording"] != again["recording"]
        await desk.until_long(str(again["recording"]), 1.5)
        await desk.client.end(A, call)
        await desk.until("CallCleared")
        await desk.until_state(str(again["recording"]), "complete")
        first = await desk.until_state(str(started["recording"]), "lost")
        for each in (started, again):
            left, right = sides(await desk.client.recorded_audio(str(each["recording"])))
            assert (hears(left), hears(right)) == ({B}, {A})
        assert first.size > 0
        assert first.duration_ms > 1000


async def test_its_row_stays_when_the_file_is_deleted_by_hand_or_by_age(tmp_path: Path) -> None:
    settings = {"format": "wav", "keep_days": 30}
    async with running(tmp_path / "state", recordings=settings) as desk:
        call = await desk.talk()
        first, second = await desk.record(call, 0.5), await desk.record(call, 0.5)
        assert first.recording != second.recording
        archive = desk.endpoint.recordings
        known = await archive.get(first.recording)
        assert known is not None
        deleted = await desk.client.delete_recording(first.recording)
        await archive.store.put(known)  # by whoever was about to note it
        assert (deleted.state, deleted.sha256) == ("deleted", first.sha256)
        assert not desk.path(first).exists()
        with pytest.raises(RequestRefused) as refusal:
            await desk.client.recorded_audio(first.recording)
        assert refusal.value.status == 410
        now = datetime.now(UTC)
        assert await archive.expire_once(now + timedelta(days=29)) == 0
        assert desk.path(second).exists()
        assert await archive.expire_once(now + timedelta(days=31)) == 1
        assert not desk.path(second).exists()
        states = {each.recording: each.state for each in await desk.client.recordings()}
        assert states == {first.recording: "deleted", second.recording: "deleted"}
        with pytest.raises(RequestRefused) as refusal:
            await desk.client.recording("nobody")
        assert refusal.value.status == 404
        for query in ("state=none", "limit=0", "limit=x", "limit=0000019999"):
            with pytest.raises(RequestRefused, match="expected"):
                await desk.client._send("GET", f"/recordings?{query}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk of its own takes root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


async def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, small_disk: Path
) -> None:
    """F12: the call goes on, what was recorded can be played, and with room the next one works."""
    settings = {"format": "wav", "directory": small_disk, "min_free_mb": 0}
    async with running(tmp_path / "state", recordings=settings) as desk:
        call = await desk.talk()
        (small_disk / "ballast").write_bytes(bytes(800_000))
        await desk.client.record(A, call)
        started = await desk.until("RecordingStarted")
        failed = await desk.until("RecordingFailed")
        assert "space" in failed["text"]
        recording = await desk.until_state(str(started["recording"]), "failed")
        assert "space" in recording.text
        left, _ = sides(await desk.client.recorded_audio(recording.recording))
        assert hears(left) == {B}
        assert (await desk.client.call(call)).recording is None
        (small_disk / "ballast").unlink()
        desk.path(recording).unlink()
        again = await desk.record(call, 1.5)
        left, right = sides(await desk.client.recorded_audio(again.recording))
        assert (hears(left), hears(right)) == ({B}, {A})


async def test_where_less_room_is_left_than_there_must_be_none_begins(
    tmp_path: Path, small_disk: Path
) -> None:
    settings = {"format": "wav", "directory": small_disk, "min_free_mb": 2}
    async with running(tmp_path / "state", recordings=settings) as desk:
        call = await desk.talk()
        await desk.client.record(A, call)
        failed = await desk.until("RecordingFailed")
        assert failed["text"].endswith("less than 2 MB are free on the disk")
        await desk.until_state(str(failed["recording"]), "failed")
        assert (await desk.client.call(call)).recording is None


def children_of(pid: int) -> list[int]:
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


_SERVE = """
import asyncio, sqlite3, sys
from pathlib import Path
from tests.integration.endpoint.app.test_recordings import running

async def main():
    state, format, database = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    async with running(state, recordings={"format": format}) as desk:
        call = await desk.talk()
        if database == "locked":
            held = sqlite3.connect(state / "endpoint.sqlite3", isolation_level=None)
            held.execute("BEGIN IMMEDIATE")
        await desk.client.record("6002", call)
        recording = (await desk.until("RecordingStarted"))["recording"]
        assert (await desk.client.recording(recording)).state == "recording"
        await desk.until_long(recording, 2.5)
        known = await desk.endpoint.recordings.store.get(recording)
        print("recording", recording, "known" if known else "unknown", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("format", "database"),
    [
        ("wav", "free"),
        ("opus", "locked"),
        pytest.param("opus", "free", marks=pytest.mark.soak),
        pytest.param("wav", "locked", marks=pytest.mark.soak),
    ],
)
async def test_what_was_recorded_when_we_were_killed_is_closed_as_lost_and_plays(
    tmp_path: Path, format: str, database: str
) -> None:
    """F2: kill -9 of the endpoint and of all its processes at once, also before it had a row."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SERVE, str(tmp_path / "state"), format, database),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while (line := await process.stdout.readline()) and line[:10] != b"recording ":
                continue
        _, recording, known = line.decode().split()
        for pid in (process.pid, *children_of(process.pid)):
            os.kill(pid, signal.SIGKILL)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert known == ("known" if database == "free" else "unknown")
    if format == "opus":  # as of a page that was being written
        (file,) = (tmp_path / "state" / "recordings").rglob(recording)
        with file.open("ab") as end:
            end.write(file.read_bytes()[-1500:-1000])
    async with running(tmp_path / "state", recordings={"format": format}) as desk:
        found = await desk.client.recording(recording)
        assert found.state == "lost"
        assert found.duration_ms > 2000
        assert (found.left, found.right) == ([B], [A])
        assert [each.recording for each in await desk.client.recordings(call=found.call)] == [
            recording
        ]
        octets = desk.path(found).read_bytes()
        assert (found.size, found.sha256) == (len(octets), hashlib.sha256(octets).hexdigest())
        left, right = sides(await desk.client.recorded_audio(recording))
        assert abs(len(left) / 16 - found.duration_ms) < 100
        assert (hears(left), hears(right)) == ({B}, {A})


@pytest.mark.parametrize("octets", [None, b"Og"], ids=["no file", "a beginning"])
async def test_what_we_were_killed_in_before_anything_could_be_played_has_failed_and_says_so(
    tmp_path: Path, octets: bytes | None
) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepared()
    noted = being_recorded()
    name = noted.recording
    with OpenState(state.open_recordings, RecordedFile).opened() as notes:
        notes.put(name, noted)
    path = state.recordings / noted.path
    path.parent.mkdir(parents=True)
    if octets is not None:
        path.write_bytes(octets)
    async with running(tmp_path / "state") as desk:
        found = await desk.client.recording(name)
    assert (found.state, found.size) == ("failed", len(octets or b""))
    assert ("killed" if octets is None else "no Ogg file") in found.text


async def test_who_was_told_of_a_recording_finds_it_while_its_row_comes_in(tmp_path: Path) -> None:
    """Also where the store was read just before it was there, and answers just after."""
    file = being_recorded()

    class Slow(StoredRecordings):
        async def find(self, **asked: Any) -> Sequence[RecordedFile]:
            found = await super().find(**asked)
            await archive.put(file)
            return found

    async with Database(sqlite_url(tmp_path / "endpoint.sqlite3")) as database:
        archive = RecordingArchive(Slow(database), RecordingSettings(tmp_path), keep_days=0)
        archive.expect(file)
        assert await archive.find() == [file]
        assert await archive.find() == [file]


def being_recorded() -> RecordedFile:
    name = "e23d4b18-b74e-5a62-b7bf-a56cfe849db0"
    return RecordedFile(
        recording=RecordingId(name),
        interaction=InteractionId("one"),
        call="one-1",
        path=f"2026/11/29/{name}",
        format=Format.OPUS,
        sample_rate_hz=16000,
        encrypted=False,
        state=FileState.RECORDING,
        started_at=datetime(2026, 11, 29, tzinfo=UTC),
    )
