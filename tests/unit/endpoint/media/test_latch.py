from __future__ import annotations

import pytest

from endpoint.media.latch import Address, Latch

pytestmark = pytest.mark.unit

SIGNALLED = ("192.0.2.1", 4000)
SAME_HOST = ("192.0.2.1", 4002)
OTHER_HOST = ("198.51.100.7", 4000)


@pytest.fixture
def latch() -> Latch:
    return Latch(SIGNALLED, 10.0, other_port_s=0.2, other_host_s=3.0)


def proven(
    latch: Latch,
    address: Address,
    times: list[float],
    *,
    ssrc: int = 1,
    start: int = 65535,
    is_negotiated: bool = True,
) -> list[bool]:
    return [
        latch.is_proven(address, ssrc, (start + n) & 0xFFFF, is_negotiated=is_negotiated, now=now)
        for n, now in enumerate(times)
    ]


def test_the_signalled_address_is_believed_at_its_first_packet(latch: Latch) -> None:
    assert proven(latch, SIGNALLED, [10.0]) == [True]


def test_another_port_of_that_host_needs_a_moment_and_three_packets(latch: Latch) -> None:
    assert proven(latch, SAME_HOST, [10.0, 10.02, 10.04, 10.19]) == [False] * 4
    assert proven(latch, SAME_HOST, [10.21], start=65539) == [True]


def test_another_host_needs_three_seconds(latch: Latch) -> None:
    times = [10 + n * 0.02 for n in range(150)]
    assert not any(proven(latch, OTHER_HOST, times))
    assert proven(latch, OTHER_HOST, [13.0], start=65535 + 150) == [True]


def test_late_guesses_need_three_packets_in_order_too(latch: Latch) -> None:
    assert proven(latch, OTHER_HOST, [20.0, 20.0, 20.0]) == [False, False, True]


def test_a_spray_of_random_packets_is_never_believed(latch: Latch) -> None:
    for n in range(1000):
        address = ("198.51.100.7", 1000 + n % 40)
        assert not latch.is_proven(
            address, n, n * 7919 & 0xFFFF, is_negotiated=True, now=20.0 + n / 1000
        )


def test_another_payload_type_than_was_negotiated_proves_nothing(latch: Latch) -> None:
    assert proven(latch, OTHER_HOST, [20.0] * 5, is_negotiated=False) == [False] * 5


def test_a_changing_ssrc_proves_nothing(latch: Latch) -> None:
    for n in range(10):
        assert not latch.is_proven(OTHER_HOST, n, n, is_negotiated=True, now=20.0)
