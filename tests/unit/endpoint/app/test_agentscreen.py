"""The screen of a terminal agent, and the keys of a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from endpoint.app.agentscreen import CallRow, Screen, bar, drawn
from endpoint.app.keyboard import BACK, DOWN, ENTER, ESCAPE, UP, keys_in
from endpoint.callcontrol.commands import CommandName
from endpoint.gateways.native import messages as wire

pytestmark = pytest.mark.unit

HEARD = wire.AudioQuality("fine", "", 4.4, 0.0, 1.0, -18.0, 100, 0)
SENT = wire.AudioQuality("fine", "", None, None, None, None, 100, None)
PARTY = wire.PartyQuality(
    "10086", True, "line", "connected", "PCMU", "", "127.0.0.1:1", 1.0, HEARD, SENT
)
TALKING = CallRow("10086", "Ann", "connected", is_answered=True, is_muted=True, seconds=62)
EMPTY = Screen("6002", "registered at pbx", True, "12:00:00", "speaks by default")


def lines(screen: Screen) -> list[str]:
    console = Console(width=screen.width, height=screen.height, force_terminal=False)
    with console.capture() as captured:
        console.print(drawn(screen))
    return captured.get().splitlines()


@pytest.mark.parametrize("events", [0, 3, 50])
@pytest.mark.parametrize("calls", [0, 1, 4])
@pytest.mark.parametrize("size", [(80, 24), (60, 20), (132, 50)])
def test_it_is_as_high_as_the_terminal_and_no_wider(
    events: int, calls: int, size: tuple[int, int]
) -> None:
    width, height = size
    every = [str(name) for name in CommandName]
    screen = replace(
        EMPTY,
        place="not registered at a.very.long.name.example.com: " + "no " * 40,
        calls=[replace(TALKING, number="a number " * 12)] * calls,
        parties=[PARTY] * calls,
        events=[f"event {number} " + "x" * 90 for number in range(events)],
        commands=every,
        width=width,
        height=height,
    )
    shown = lines(screen)
    assert len(shown) == height
    assert max(map(len, shown)) <= width
    if events == 50:
        assert any("event 49" in line for line in shown)


def test_a_call_with_its_levels_and_the_keys_that_mean_something() -> None:
    screen = replace(
        EMPTY,
        calls=[TALKING, CallRow("6003", "", "hold", True, False, 5)],
        parties=[PARTY],
        commands=[CommandName.HOLD_CALL, CommandName.ALTERNATE_CALL],
        said="held",
    )
    text = "\n".join(lines(screen))
    assert "▶ 10086  Ann" in text
    for word in ("talking", "muted", "01:02", "held", "MOS 4.4", "0.0 % lost", "-18 dB"):
        assert word in text
    assert "h hold   s swap   ↑↓ choose   q quit" in text
    assert "transfer" not in text


def test_what_is_asked_for_is_shown_as_it_is_typed() -> None:
    assert lines(replace(EMPTY, prompt="Dial:", typed="100"))[-1].startswith(" Dial: 100")


def test_who_can_not_be_called_is_told_so() -> None:
    assert lines(replace(EMPTY, is_well=False, place="not registered"))[0].startswith("○ 6002")


def test_a_call_that_nobody_has_answered_is_calling() -> None:
    screen = replace(EMPTY, calls=[replace(TALKING, is_answered=False)])
    assert "calling" in "\n".join(lines(screen))


@pytest.mark.parametrize(
    ("level_dbov", "full"), [(None, 0), (-127.0, 0), (-60.0, 0), (-33.0, 6), (-6.0, 12), (0.0, 12)]
)
def test_a_bar_is_as_long_as_it_is_loud(level_dbov: float | None, full: int) -> None:
    assert bar(level_dbov).plain == "█" * full + "·" * (12 - full)


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("d10*#", ["d", "1", "0", "*", "#"]),
        ("\r\n\x7f\x08", [ENTER, ENTER, BACK, BACK]),
        ("\x1b[A\x1bOB", [UP, DOWN]),
        ("\x1b", [ESCAPE]),
        ("\x1b[3~x\x1b[1;5C", ["x"]),
        ("\x00é", ["é"]),
    ],
)
def test_what_a_terminal_sends_is_keys(sent: str, keys: list[str]) -> None:
    assert list(keys_in(sent)) == keys
