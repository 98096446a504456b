"""What is open is found by the next process, however this one died."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import pytest
from structlog.testing import capture_logs

from endpoint.app.openstate import OpenState

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "open.jsonl"


def left(path: Path) -> dict[str, list[int]]:
    state = OpenState(path, list[int])
    with state.opened():
        return dict(state.left)


def test_what_was_open_is_left_as_it_was_last(path: Path) -> None:
    with OpenState(path, list[int]).opened() as state:
        state.put("a", [1])
        state.put("b", [2])
        state.put("a", [1, 1])
        state.drop("b")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        octets = path.read_bytes()
    path.write_bytes(octets)
    assert left(path) == {"a": [1, 1]}
    assert left(path) == {"a": [1, 1]}, "it stays until somebody is done with it"


def test_what_is_done_with_is_gone_and_an_empty_file_is_left(path: Path) -> None:
    path.write_text('\n{"key":"a","value":[1]}')
    with OpenState(path, list[int]).opened() as state:
        state.drop("a")
    assert path.read_bytes() == b""


@pytest.mark.parametrize("cut", range(1, 24))
def test_a_line_that_was_cut_spoils_no_other(path: Path, cut: int) -> None:
    path.write_bytes(b'\n{"key":"a","value":[1]}' + b'\n{"key":"b","value":[2]}'[:cut])
    with OpenState(path, list[int]).opened() as state:
        state.put("c", [3])
        octets = path.read_bytes()
    path.write_bytes(octets)
    assert left(path) == {"a": [1], "c": [3]}


def test_what_is_over_is_cleared_away_while_something_stays_open(path: Path) -> None:
    with OpenState(path, list[int]).opened() as state:
        state.put("stays", [0])
        for number in range(3000):
            state.put(f"{number}", list(range(500)))
            state.drop(f"{number}")
        assert path.stat().st_size < 2_000_000
        octets = path.read_bytes()
    path.write_bytes(octets)
    assert left(path) == {"stays": [0]}


@contextmanager
def files_no_longer_than(octets: int) -> Iterator[None]:
    """As on a disk that is nearly full: a write that goes beyond is cut, the next one refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_there_is_no_room_to_write_anew_stays_as_it_was(path: Path) -> None:
    """And goes on from there: a rewriting that was cut would have lost what is open."""
    opened = {f"{number}": list(range(100)) for number in range(30)}
    with OpenState(path, list[int]).opened() as state:
        for key, value in opened.items():
            state.put(key, value)
        octets = path.read_bytes()
    path.write_bytes(octets)
    with capture_logs() as told, files_no_longer_than(len(octets) // 2):
        found = OpenState(path, list[int])
        with found.opened():
            assert found.left == opened
    assert [each["event"] for each in told] == ["what is open can't be noted"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    room = files_no_longer_than(len(octets) + 8)
    with capture_logs() as told, room, OpenState(path, list[int]).opened() as state:
        state.put("more", list(range(100)))
    assert [each["event"] for each in told] == ["what is open can't be noted"]
    assert left(path) == opened


def test_a_note_takes_no_longer_the_more_is_open(path: Path) -> None:
    def fastest(state: OpenState[list[int]]) -> float:
        def once(number: int) -> float:
            begun = perf_counter()
            state.put("one", [number])
            return perf_counter() - begun

        return min(map(once, range(50)))

    with OpenState(path, list[int]).opened() as state:
        alone = fastest(state)
        for number in range(20_000):
            state.put(f"{number}", [number])
        assert fastest(state) < 20 * alone


def test_a_full_disk_is_said_and_ends_nothing() -> None:
    state = OpenState(Path("/dev/full"), list[int])
    state._file = os.open("/dev/full", os.O_WRONLY)
    with capture_logs() as told:
        state.put("a", [1])
        state.put("b", [2])
    os.close(state._file)
    assert [each["event"] for each in told] == ["what is open can't be noted"]


def test_what_is_no_text_is_noted_as_good_as_can_be(path: Path) -> None:
    """JSON holds UTF-8 alone; whoever keeps octets of a far end has them in another form."""
    with OpenState(path, str).opened() as state:
        state.put("a\udce4", "\udce4")
        state.put("b\udce4", "c")
        state.drop("b\udce4")
        assert len(state) == 1
    with OpenState(path, str).opened() as state:
        assert state.left == {"a\ufffd": "\ufffd"}


def test_signs_of_life_are_shown_while_something_is_open(path: Path) -> None:
    with OpenState(path, list[int]).opened() as state:
        state.put("a", [1])
        os.utime(path, (1_000_000_000, 1_000_000_000))
        state.show_life()
        assert path.stat().st_mtime > 1_000_000_000
        octets = path.read_bytes()
    path.write_bytes(octets)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    found = OpenState(path, list[int])
    with found.opened():
        assert found.last_sign.timestamp() == 1_000_000_000
