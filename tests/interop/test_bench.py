"""The bench itself, at a small load: all audio whole. Its figures are judged by `make bench`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.bench.__main__ import BENCHES
from tests.bench.report import Of, Row, as_json, audio_faults
from tests.bench.rtpengine import bencode
from tests.bench.rtpload import Ground, Load, Quantiles

from .peers.process import require

pytestmark = pytest.mark.interop

WHOLE = Load(
    legs=2,
    seconds=1,
    sent=100,
    intact=100,
    intact_percent=100,
    changed=0,
    wrong_leg=0,
    repeated=0,
    breaks=0,
    deaf_legs=0,
    latency_ms=Quantiles(0.1, 0.2, 0.3),
    lateness_ms=Quantiles(0, 0, 0),
)


LONG = {
    *("webrtc", "memory", "switching", "conference", "interactions", "recovery"),
    *("records", "centre"),
}
"""Ten seconds and more, however small the load: `make soak` runs these."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.soak] if name in LONG else []) for name in BENCHES],
)
async def test_a_bench_runs_and_hears_all_audio_whole(name: str, tmp_path: Path) -> None:
    require("gcc", "gcc")
    require("rtpengine", "rtpengine-daemon")
    said: list[str] = []
    ground = Ground(
        tmp_path,
        said.append,
        legs=4,
        few_legs=2,
        seconds=1.6,
        rounds=1,
        times=2,
        calls_s=1,
        records=5_000,
    )
    rows = await BENCHES[name](ground)
    assert said
    assert rows
    for row in rows:
        assert [audio_faults(load) for load in row.loads] == [[]] * len(row.loads)
        assert row.ours >= 0
        assert row.peer is None or row.peer > 0
    assert as_json(rows)


def test_a_row_fails_where_its_limit_is_missed() -> None:
    row = Row(name="a", what="", unit="ms", ours=3, peer=2, limit=1.5, of=Of.RATIO)
    assert row.faults == []
    assert Row(name="a", what="", unit="ms", ours=3, peer=2, limit=1.4, of=Of.RATIO).faults
    assert Row(name="a", what="", unit="ms", ours=3, limit=1, of=Of.RATIO).faults
    assert Row(name="a", what="", unit="ms", ours=3).faults == []


def test_a_bench_that_breaks_is_a_row_that_fails() -> None:
    row = Row.of_broken("a", ExceptionGroup("tasks", [OSError("no port")]))
    assert row.faults == ["OSError: no port"]
    assert '"ours":null' in as_json([row])


@pytest.mark.parametrize(
    "harm",
    [{"intact_percent": 99.98}, {"wrong_leg": 1}, {"changed": 1}, {"deaf_legs": 1}, {"breaks": 1}],
)
def test_a_row_fails_where_audio_was_harmed(harm: dict[str, float]) -> None:
    harmed = msgspec.structs.replace(WHOLE, **harm)
    assert Row(name="a", what="", unit="ms", ours=3, loads=[WHOLE]).faults == []
    assert Row(name="a", what="", unit="ms", ours=3, loads=[WHOLE, harmed]).faults


def test_the_ng_protocol_is_bencode() -> None:
    assert bencode({"b": ["x", 7], "a": b"\x00"}) == b"d1:a1:\x001:bl1:xi7eee"
