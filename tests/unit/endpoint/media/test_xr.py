from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.media.xr import Block, LastReferenceTime, ReferenceTime, VoipMetrics, parse_blocks

pytestmark = pytest.mark.unit

METRICS = VoipMetrics(
    ssrc=0x01020304,
    loss=0.25,
    discard=0.125,
    burst_density=0.5,
    gap_density=0.0625,
    burst_ms=120,
    gap_ms=4000,
    round_trip_ms=80,
    end_system_ms=60,
    signal_dbm=-19,
    rating=82,
    listening_mos=4.2,
    conversation_mos=4.1,
    delay_ms=40,
)


def parsed(octets: bytes) -> list[Block]:
    return list(parse_blocks(memoryview(octets)))


def test_blocks_are_read_as_they_were_written() -> None:
    blocks: list[Block] = [ReferenceTime(7, 9 << 16), LastReferenceTime(5, 6, 7), METRICS]
    assert parsed(b"".join(block.serialise() for block in blocks)) == blocks


def test_voip_metrics_have_the_layout_of_section_4_7() -> None:
    assert METRICS.serialise().hex(" ", 4) == (
        "07000008 01020304 40208010 00780fa0 0050003c ed7f7f10 527f2a29 c0000028 00280028"
    )


def test_what_is_not_known_is_said_to_be_unavailable() -> None:
    (block,) = parsed(VoipMetrics(1).serialise())
    assert block == VoipMetrics(1)


def test_a_reference_time_is_said_back_by_its_middle() -> None:
    assert ReferenceTime(0x0001ABCD, 0xFFFF0000).middle == 0xABCDFFFF


def test_blocks_of_other_kinds_and_sizes_are_skipped() -> None:
    other = bytes((6, 0, 0, 1)) + bytes(4)
    odd = bytes((4, 0, 0, 1)) + bytes(4) + bytes((7, 0, 0, 2)) + bytes(8)
    assert parsed(other + odd + METRICS.serialise()) == [METRICS]


def test_a_block_that_is_cut_short_ends_the_packet() -> None:
    assert parsed(METRICS.serialise() + METRICS.serialise()[:-1]) == [METRICS]
    assert parsed(METRICS.serialise() + b"\x07\0\0") == [METRICS]


@given(st.binary(max_size=100), st.sampled_from([4, 5, 7]))
def test_noise_never_raises(noise: bytes, kind: int) -> None:
    parsed(noise)
    parsed(bytes((kind, 0, 0, len(noise) // 4)) + noise)


@given(
    st.builds(
        VoipMetrics,
        st.integers(0, 2**32 - 1),
        *[st.floats(-1e6, 1e6)] * 8,
        st.integers(-1000, 1000),
        *[st.floats(0, 1e3)] * 4,
    )
)
def test_figures_out_of_range_are_cut_to_it(metrics: VoipMetrics) -> None:
    assert len(metrics.serialise()) == 36
