"""The bench's own tools, at a small load: every packet unchanged, on its leg, in order."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bench.media import Bench
from tests.bench.rtpengine import bencode

pytestmark = pytest.mark.integration


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the load generator is C")
async def test_every_packet_of_forty_legs_arrives_as_it_was_sent(tmp_path: Path) -> None:
    run = await Bench(tmp_path, legs=40, seconds=2.0).ours()
    assert run.load.sent == 40 * 100
    assert run.load.intact == run.load.sent
    assert run.load.wrong_leg == run.load.changed == run.load.repeated == 0
    assert run.load.deaf_legs == run.load.breaks == 0
    assert run.cpu_ms > 0


def test_the_ng_protocol_is_bencode() -> None:
    assert bencode({"b": ["x", 7], "a": b"\x00"}) == b"d1:a1:\x001:bl1:xi7eee"
