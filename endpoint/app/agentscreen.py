"""What a terminal agent sees, as one screen: pure, made from what is known now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from endpoint.callcontrol.commands import CommandName
from endpoint.gateways.native import messages as wire

_STATES = {
    "initiated": ("dialling", "yellow"),
    "alerting": ("rings", "bold yellow"),
    "connected": ("talking", "bold green"),
    "hold": ("held", "cyan"),
    "queued": ("waits", "cyan"),
    "fail": ("failed", "bold red"),
    "null": ("over", "dim"),
}
_KEYS = (
    ("a", "answer", CommandName.ANSWER_CALL),
    ("h", "hold", CommandName.HOLD_CALL),
    ("h", "take back", CommandName.RETRIEVE_CALL),
    ("c", "consult", CommandName.CONSULTATION_CALL),
    ("s", "swap", CommandName.ALTERNATE_CALL),
    ("b", "back", CommandName.RECONNECT_CALL),
    ("f", "conference", CommandName.CONFERENCE_CALL),
    ("t", "transfer", CommandName.SINGLE_STEP_TRANSFER),
    ("m", "mute", CommandName.SET_MICROPHONE_MUTE),
    ("0-9*#", "tones", CommandName.GENERATE_DIGITS),
    ("x", "hang up", CommandName.CLEAR_CONNECTION),
)
_LOUDEST_DBOV, _SOFTEST_DBOV = -6.0, -60.0
_BAR = 12
_QUALITY_ROWS = 4
_FIXED_ROWS = 8
"""Head, four rules, two rows of keys, one to type in."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call."""

    number: str
    """Who is at the other end, or several."""
    name: str
    state: str
    """What the agent is to it, as of a party."""
    is_answered: bool
    is_muted: bool
    seconds: int
    """Since it began, or was answered."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything that is shown."""

    device: str
    place: str
    """Where he is registered, or what has become of it."""
    is_well: bool
    """He can be called."""
    clock: str
    audio: str
    """What he speaks and hears by."""
    calls: Sequence[CallRow] = ()
    chosen: int = 0
    """The call that keys are about."""
    commands: Sequence[str] = ()
    """What may be asked of it, or of all, now."""
    parties: Sequence[wire.PartyQuality] = ()
    """Those with a network between, in the call that he talks in."""
    events: Sequence[str] = ()
    """What has happened, the newest last."""
    said: str = ""
    """The word for the last key."""
    is_refused: bool = False
    """That is bad news."""
    prompt: str | None = None
    """What is asked for; None: nothing."""
    typed: str = ""
    width: int = 80
    height: int = 24


def drawn(screen: Screen) -> RenderableType:
    """The screen, exactly as high as it may be."""
    head = Table.grid(expand=True)
    head.add_column(no_wrap=True, ratio=1)
    head.add_column(justify="right")
    sign = Text("● ", "green") if screen.is_well else Text("○ ", "bold red")
    who = Text.assemble(sign, (screen.device, "bold"), ("  " + screen.place, "dim"))
    head.add_row(who, Text(screen.clock, "dim"))
    rows = max(1, len(screen.calls)) + max(1, min(len(screen.parties), _QUALITY_ROWS))
    room = max(1, screen.height - rows - _FIXED_ROWS)
    events = [Text(line, "dim", no_wrap=True, overflow="ellipsis") for line in screen.events]
    shown = events[-room:]
    return Group(
        head,
        _rule(),
        *_calls(screen),
        _rule(),
        *_quality(screen),
        _rule(),
        *shown,
        *[Text("")] * (room - len(shown)),
        _rule(),
        *_keys(screen),
        _line(screen),
    )


def bar(level_dbov: float | None) -> Text:
    """A level, as it looks."""
    if level_dbov is None:
        return Text("·" * _BAR, "dim")
    share = (level_dbov - _SOFTEST_DBOV) / (_LOUDEST_DBOV - _SOFTEST_DBOV)
    count = round(max(0.0, min(1.0, share)) * _BAR)
    return Text.assemble(("█" * count, "green"), ("·" * (_BAR - count), "dim"))


def _calls(screen: Screen) -> list[RenderableType]:
    if not screen.calls:
        return [Text("  No call. d dials.", "dim")]
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    table.add_column(no_wrap=True, width=14)
    table.add_column(no_wrap=True, width=6)
    table.add_column(no_wrap=True, width=6, justify="right")
    for index, call in enumerate(screen.calls):
        word, style = _STATES.get(call.state, (call.state, ""))
        if call.state == "connected" and not call.is_answered:
            word, style = "calling", "yellow"
        who = Text(call.number, "bold" if index == screen.chosen else "")
        if call.name:
            who.append(f"  {call.name}", "dim")
        muted = Text("muted" if call.is_muted else "", "bold red")
        time = f"{call.seconds // 60:02}:{call.seconds % 60:02}"
        mark = "▶" if index == screen.chosen else ""
        table.add_row(mark, who, Text(word, style), muted, Text(time, "dim"))
    return [table]


def _quality(screen: Screen) -> list[RenderableType]:
    if not screen.parties:
        return [Text(f"  {screen.audio}", "dim", no_wrap=True, overflow="ellipsis")]
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for _ in range(2):
        table.add_column(width=1)
        table.add_column(width=_BAR)
        table.add_column(width=7, justify="right", no_wrap=True)
    table.add_column(width=19, no_wrap=True, justify="right")
    for party in screen.parties[:_QUALITY_ROWS]:
        cells: list[RenderableType] = [Text(party.device)]
        for arrow, audio in (("←", party.received), ("→", party.sent)):
            level = audio.level_dbov if audio else None
            cells += [arrow, bar(level), _figure(level, "dB")]
        cells.append(_verdict(party))
        table.add_row(*cells)
    return [table]


def _verdict(party: wire.PartyQuality) -> Text:
    received = party.received
    if received is None or received.mos is None:
        return Text("")
    style = "green" if received.mos >= 3.6 else "yellow" if received.mos >= 2.6 else "bold red"
    loss = "" if received.loss_percent is None else f"  {received.loss_percent:.1f} % lost"
    return Text.assemble((f"MOS {received.mos:.1f}", style), loss)


def _figure(value: float | None, unit: str) -> Text:
    return Text("–" if value is None else f"{value:.0f} {unit}", "dim")


def _keys(screen: Screen) -> list[RenderableType]:
    """Two lines of keys: those that mean something now, by what the endpoint says."""
    known = [("d", "dial")] if not screen.calls else []
    known += [(key, word) for key, word, command in _KEYS if command in screen.commands]
    known += [("↑↓", "choose")] if len(screen.calls) > 1 else []
    lines = [Text(" ")]
    for key, word in (*known, ("q", "quit")):
        shown = Text.assemble((key, "bold reverse"), f" {word}   ")
        if len(lines[-1]) + len(shown) > screen.width:
            lines.append(Text(" "))
        lines[-1].append_text(shown)
    return [*lines[:2], *[Text("")] * (2 - len(lines))]


def _line(screen: Screen) -> Text:
    if screen.prompt is not None:
        return Text.assemble((f" {screen.prompt} ", "bold cyan"), screen.typed, ("▏", "blink"))
    return Text(" " + screen.said, "bold red" if screen.is_refused else "", no_wrap=True)


def _rule() -> RenderableType:
    return Rule(style="dim")
