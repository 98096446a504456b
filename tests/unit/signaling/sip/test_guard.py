"""The guard: rates, bans and what strangers are answered, each in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from signaling.sip.bans import BanRule
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.guard import Guard, GuardSettings, SourceBanned, SourceLimited
from signaling.sip.overload import CallLimits, Overload
from signaling.sip.rates import Rate
from signaling.sip.source import source_of

pytestmark = pytest.mark.unit

SETTINGS = GuardSettings(
    source_rate=Rate(10, 20),
    stranger_rate=Rate(100, 200),
    flow_rate=Rate(50, 100),
    known_for_s=3600.0,
    bans=BanRule(failures=10, window_s=60.0, ban_s=300.0),
    sources=100,
)
PHONE = Flow(TransportKind.UDP, "192.0.2.1", 5060)
NEIGHBOUR = replace(PHONE, port=40_000)
"""Behind the same NAT as the phone."""
ELSEWHERE = replace(PHONE, host="198.51.100.9")
SIZE = 400


def guard(is_exempt: Callable[[str], bool] = lambda host: False, **changes: object) -> Guard:
    return Guard(replace(SETTINGS, **changes), is_exempt)  # type: ignore[arg-type]  # by name


def admitted(door: Guard, flow: Flow, count: int, now: float = 0.0) -> int:
    return sum(door.admits(flow, SIZE, now) for _ in range(count))


def guess(door: Guard, flow: Flow, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        door.failed(flow, "6001", now)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("host.example", "host.example"),
        ("a:b", "a:b"),
    ],
)
def test_one_ipv6_network_is_one_source(host: str, source: str) -> None:
    assert source_of(host) == source


# -- rates ------------------------------------------------------------------------------------


def test_a_source_has_a_rate_whatever_ports_it_uses() -> None:
    door = guard()
    ports = [replace(PHONE, port=1024 + i) for i in range(100)]
    assert sum(door.admits(flow, SIZE, 0.0) for flow in ports) == 20
    assert admitted(door, PHONE, 100, now=1.0) == 10
    assert admitted(door, ELSEWHERE, 10, now=1.0) == 10


def test_all_strangers_together_have_a_rate() -> None:
    door = guard()
    strangers = [replace(PHONE, host=f"198.51.{i // 250}.{i % 250}") for i in range(1000)]
    assert sum(door.admits(flow, SIZE, 0.0) for flow in strangers) == 200


def test_a_known_flow_goes_on_whatever_is_flooded_beside_it() -> None:
    door = guard()
    door.know(PHONE, 0.0)
    strangers = [replace(PHONE, host=f"198.51.{i // 250}.{i % 250}") for i in range(1000)]
    for flow in [NEIGHBOUR] * 100 + strangers:
        door.admits(flow, SIZE, 0.0)
    assert admitted(door, PHONE, 100) == 100
    assert admitted(door, PHONE, 1) == 0, "it has a rate too"
    assert admitted(door, PHONE, 100, now=1.0) == 50


def test_who_is_not_heard_of_for_long_is_a_stranger_again() -> None:
    door = guard()
    door.know(PHONE, 0.0)
    assert admitted(door, PHONE, 50, now=3600.0) == 20


def test_a_connection_that_closed_is_known_no_longer() -> None:
    door = guard()
    connection = Flow(TransportKind.WSS, "192.0.2.1", 443, "ws", 7)
    door.know(connection, 0.0)
    door.closed(connection)
    assert admitted(door, connection, 50) == 20


def test_exempt_networks_have_no_limit() -> None:
    door = guard(lambda host: host == "192.0.2.1")
    guess(door, PHONE, 50)
    assert admitted(door, PHONE, 1000) == 1000
    assert door.may_answer(PHONE, 10**6, 0.0)
    assert door.bans(0.0) == []


def test_it_is_told_once_a_minute_that_messages_are_dropped() -> None:
    door = guard()
    admitted(door, PHONE, 100)
    assert door.take_notices() == [SourceLimited(source_of(PHONE.host))]
    admitted(door, PHONE, 100, now=59.0)
    assert door.take_notices() == []
    admitted(door, PHONE, 100, now=60.0)
    assert door.take_notices() == [SourceLimited(source_of(PHONE.host))]


# -- bans -------------------------------------------------------------------------------------


def test_ten_wrong_digests_in_a_minute_are_a_ban_of_five_minutes() -> None:
    door = guard()
    guess(door, NEIGHBOUR, 9)
    assert admitted(door, NEIGHBOUR, 1) == 1
    guess(door, PHONE, 1, now=59.0)
    assert admitted(door, NEIGHBOUR, 1, now=60.0) == 0
    assert admitted(door, ELSEWHERE, 1, now=60.0) == 1
    (ban,) = door.bans(60.0)
    assert (ban.source, ban.user, ban.failures, ban.until) == ("192.0.2.1", "6001", 10, 359.0)
    assert door.take_notices() == [SourceBanned(ban, 300.0)]
    assert admitted(door, NEIGHBOUR, 1, now=358.9) == 0
    assert admitted(door, NEIGHBOUR, 1, now=359.0) == 1
    assert door.bans(359.0) == []


def test_ten_in_more_than_a_minute_are_none() -> None:
    door = guard()
    for second in range(0, 140, 7):
        guess(door, NEIGHBOUR, 1, now=float(second))
    assert door.bans(140.0) == []


def test_a_registered_phone_at_a_banned_address_is_unharmed() -> None:
    door = guard()
    door.know(PHONE, 0.0)
    guess(door, NEIGHBOUR, 10)
    assert admitted(door, NEIGHBOUR, 1) == 0
    assert admitted(door, PHONE, 10) == 10


def test_who_guesses_from_a_flow_that_was_known_is_banned_too() -> None:
    door = guard()
    door.know(PHONE, 0.0)
    guess(door, PHONE, 10)
    assert admitted(door, PHONE, 1) == 0


def test_another_address_of_the_same_ipv6_network_is_banned_too() -> None:
    door = guard()
    guess(door, replace(PHONE, host="2001:db8::1"), 10)
    assert admitted(door, replace(PHONE, host="2001:db8::2"), 1) == 0
    assert admitted(door, replace(PHONE, host="2001:db8:0:1::1"), 1) == 1


def test_a_ban_is_lifted_by_any_address_of_its_source() -> None:
    door = guard()
    guess(door, replace(PHONE, host="2001:db8::1"), 10)
    assert not door.lift("192.0.2.1")
    assert door.lift("2001:db8::77")
    assert door.bans(0.0) == []
    assert admitted(door, replace(PHONE, host="2001:db8::1"), 1) == 1


# -- answers ----------------------------------------------------------------------------------


def test_strangers_are_sent_at_most_twice_what_they_sent() -> None:
    door = guard()
    assert not door.may_answer(PHONE, 1, 0.0)
    door.admits(PHONE, 200, 0.0)
    assert door.may_answer(PHONE, 390, 0.0)
    assert not door.may_answer(PHONE, 11, 0.0)
    assert not door.may_answer(ELSEWHERE, 100, 0.0)


def test_silence_saves_up_no_more_than_one_long_answer() -> None:
    door = guard(source_rate=Rate(1000, 10_000), stranger_rate=Rate(1000, 10_000))
    for _ in range(1000):
        door.admits(PHONE, 1000, 0.0)
    assert not door.may_answer(PHONE, 65_537, 0.0)
    assert door.may_answer(PHONE, 65_536, 0.0)


def test_connections_and_known_sources_are_answered_without_counting() -> None:
    door = guard()
    assert door.may_answer(Flow(TransportKind.WSS, "192.0.2.1", 443, "ws", 1), 10_000, 0.0)
    door.know(NEIGHBOUR, 0.0)  # without rport it is answered at the port of its Via
    assert door.may_answer(PHONE, 10_000, 0.0)


# -- memory -----------------------------------------------------------------------------------


def test_memory_is_bounded_however_many_sources_there_are() -> None:
    door = guard(stranger_rate=Rate(10**6, 10**6))
    for i in range(5000):
        flow = replace(PHONE, host=f"10.{i // 250}.{i % 250}.1")
        door.know(flow, 0.0)
        door.failed(flow, "6001", 0.0)
        admitted(door, replace(flow, port=9), 30)
        door.may_answer(flow, 1, 0.0)
    for i in range(500):
        guess(door, replace(PHONE, host=f"172.16.0.{i}"), 10)
    kept = (
        *(door._bans._bans, door._bans._failures, door._known._flows, door._known._sources),
        *(door._sources._buckets, door._flows._buckets, door._credit, door._told),
    )
    assert [len(entries) <= 100 for entries in kept] == [True] * len(kept)


# -- overload ---------------------------------------------------------------------------------


def test_new_calls_have_a_rate_and_a_number_at_once() -> None:
    overload = Overload(CallLimits(rate=Rate(2, 4), at_once=10))
    assert [overload.admits(9, 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert overload.admits(9, 0.5)
    assert not overload.admits(10, 60.0)
    assert overload.admits(0, 60.0)


def test_refused_calls_are_told_once_a_minute() -> None:
    overload = Overload(CallLimits(at_once=0))
    assert [overload.is_news(now) for now in (1.0, 2.0, 60.9, 61.0, 62.0)] == [
        *(True, False, False),
        *(True, False),
    ]
