"""Records of calls that have ended outlive a kill -9, a locked database and a full disk: once."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from endpoint.app.journal import RESERVE_BYTES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[4]
ENOUGH_BYTES = 4 * 2**20


class Writer:
    """The process that writes records."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.kept: list[str] = []
        """Calls whose record it has called kept."""

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        """Its next line; empty where it has died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        word, _, call = line.strip().partition(" ")
        if word == "kept" and line.endswith("\n"):
            self.kept.append(call)
        return word

    def do(self, line: str) -> None:
        self.say(line)
        while (word := self.heard()) != "done":
            assert word, "it has died"

    def kill(self) -> None:
        """As by kill -9; what it has said until then still counts."""
        self.process.kill()
        while self.heard():
            pass


@contextmanager
def writing(directory: Path, database: Path | None = None) -> Iterator[Writer]:
    file = database or directory / "endpoint.sqlite3"
    module = "tests.integration.endpoint.app.recordwriter"
    with subprocess.Popen(
        [sys.executable, "-m", module, str(file), str(directory / "unwritten")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        writer = Writer(process)
        try:
            assert writer.heard() == "ready"
            yield writer
        finally:
            process.kill()


def stored(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [call for (call,) in database.execute("SELECT call FROM call_record ORDER BY call")]


def calls_with_kills(directory: Path, calls: int, kills: int, seed: int) -> None:
    """Write as many, be killed as often, now and then with the database locked meanwhile."""
    chance = random.Random(seed)
    names = iter([f"i{number}-1" for number in range(calls)])
    kept = list[str]()
    file = directory / "endpoint.sqlite3"
    for _ in range(kills):
        with writing(directory) as writer:
            locked = closing(sqlite3.connect(file)) if chance.random() < 0.5 else None
            if locked is not None:
                locked.thing.execute("BEGIN IMMEDIATE")
            share = calls // kills
            writer.say("write " + " ".join(next(names) for _ in range(share)))
            for _ in range(chance.randrange(share)):
                writer.heard()
            writer.kill()
            if locked is not None:
                locked.thing.close()
            kept += writer.kept
    with writing(directory) as writer:
        writer.do("settle")
    found = stored(file)
    assert len(found) == len(set(found)), "doubled"
    assert set(kept) <= set(found), "lost"
    assert kept


def test_no_record_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    calls_with_kills(tmp_path, calls=60, kills=2, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(4))
def test_no_record_of_five_hundred_calls_is_lost_or_doubled_by_kills(
    tmp_path: Path, seed: int
) -> None:
    calls_with_kills(tmp_path, calls=500, kills=25, seed=seed)


def test_records_outlive_a_time_when_no_file_may_grow(tmp_path: Path) -> None:
    """Neither the database nor the journal takes any: they are kept in memory, and a call ends."""
    with writing(tmp_path) as writer:
        writer.do("write i1-1")
        writer.do("settle")
        writer.do("limit")
        writer.do("write i2-1 i3-1")
        writer.do("unlimit")
        writer.do("settle")
        writer.do("write i4-1")
        writer.do("settle")
    assert stored(tmp_path / "endpoint.sqlite3") == ["i1-1", "i2-1", "i3-1", "i4-1"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    place = tmp_path / "small"
    place.mkdir()
    size = ENOUGH_BYTES + RESERVE_BYTES
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_on_a_full_disk_there_is_room_for_records(small_disk: Path) -> None:
    """Kept aside for them. So they outlive a kill -9 too, though the database takes none."""
    with writing(small_disk) as writer:
        writer.do("write i1-1")
        writer.do("settle")
        fill(small_disk / "others")
        writer.do("write " + " ".join(f"j{number}-1" for number in range(50)))
        writer.kill()
    (small_disk / "others").unlink()
    with writing(small_disk) as writer:
        writer.do("settle")
    assert len(stored(small_disk / "endpoint.sqlite3")) == 51


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as others:
        try:
            while True:
                others.write(b"x" * 4096)
        except OSError:
            os.fsync(others.fileno())
