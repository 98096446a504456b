"""Who writes into a `LogPipe` waits for nobody, and nothing is lost untold."""

from __future__ import annotations

import fcntl
import os
import queue

import pytest

from endpoint.logpipe import LogPipe

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0
LINE = b"a line\n"


def test_what_is_not_read_is_held_then_dropped_and_told_when_it_is_read() -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    told: queue.Queue[int] = queue.Queue()
    held = 10 * size
    pipe = LogPipe(writing, told.put, held_bytes=held)
    lines = 2 * held // len(LINE)
    for _ in range(lines):
        assert pipe.write(LINE) == len(LINE)
    # The pipe has taken some, and one write is under way, which is held until it is done.
    assert held // len(LINE) <= lines - pipe.dropped <= (held + size) // len(LINE) + 1
    assert not pipe.written(0)
    assert told.empty()
    kept = LINE * (lines - pipe.dropped)
    read = b""
    while len(read) < len(kept):
        read += os.read(reading, size)
    assert read == kept
    assert told.get(timeout=PATIENCE_S) == pipe.dropped
    assert pipe.written(PATIENCE_S)
    pipe.write(LINE)
    assert os.read(reading, size) == LINE
    for end in (reading, writing):
        os.close(end)


def test_what_nobody_can_read_any_more_is_dropped() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    pipe = LogPipe(writing, lambda _: None)
    for _ in range(3):
        pipe.write(LINE)
    assert pipe.written(PATIENCE_S)
    assert pipe.dropped == 3
    os.close(writing)


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    pipe = LogPipe(writing, lambda _: None)
    for _ in range(3):
        pipe.write(b"." * size)
    read = 0
    while read < 3 * size:
        read += len(os.read(reading, size))
    assert pipe.written(PATIENCE_S)
    assert pipe.dropped == 0
    for end in (reading, writing):
        os.close(end)
