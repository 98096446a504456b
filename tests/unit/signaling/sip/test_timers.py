from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from signaling.sip.timers import Timers

pytestmark = pytest.mark.unit


@dataclass(eq=False)
class Owner:
    timers: Timers
    fired: list[tuple[str, float]] = field(default_factory=list)
    restart_s: float | None = None

    def handle_timer(self, name: str, now: float) -> None:
        self.fired.append((name, now))
        if self.restart_s is not None and len(self.fired) < 3:
            self.timers.start(self, name, now + self.restart_s)


def test_timers_fire_in_order_of_time_when_they_are_due() -> None:
    timers = Timers()
    owner = Owner(timers)
    timers.start(owner, "late", 3.0)
    timers.start(owner, "early", 1.0)
    assert timers.next_deadline() == 1.0
    timers.fire(0.9)
    assert owner.fired == []
    timers.fire(3.0)
    assert owner.fired == [("early", 3.0), ("late", 3.0)]
    assert timers.next_deadline() is None
    assert len(timers) == 0


def test_starting_again_moves_a_timer() -> None:
    timers = Timers()
    owner = Owner(timers)
    timers.start(owner, "a", 1.0)
    timers.start(owner, "a", 5.0)
    assert len(timers) == 1
    assert timers.next_deadline() == 5.0
    timers.fire(4.0)
    assert owner.fired == []


def test_stopped_timer_does_not_fire() -> None:
    timers = Timers()
    owner, other = Owner(timers), Owner(timers)
    timers.start(owner, "a", 1.0)
    timers.start(other, "a", 2.0)
    timers.stop(owner, "a", "never started")
    assert not timers.is_running(owner, "a")
    assert timers.is_running(other, "a")
    timers.fire(9.0)
    assert owner.fired == []
    assert other.fired == [("a", 9.0)]


def test_timer_started_for_now_fires_in_the_same_drain() -> None:
    timers = Timers()
    owner = Owner(timers, restart_s=0.0)
    timers.start(owner, "a", 1.0)
    timers.fire(1.0)
    assert len(owner.fired) == 3


def test_stopped_timers_do_not_pile_up() -> None:
    timers = Timers()
    owner = Owner(timers)
    for i in range(10_000):
        timers.start(owner, "a", 1000.0 + i)
    assert len(timers._heap) < 100
    assert repr(timers) == "<Timers running=1 next=10999.0>"
